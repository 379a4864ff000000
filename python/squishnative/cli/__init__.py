"""The console script `squish`. One file a command; the commands raise, `main` words the errors."""

from __future__ import annotations

from squishnative.cli.main import main

__all__ = ["main"]
