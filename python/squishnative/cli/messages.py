"""Errors as a person at a terminal wants them."""

from __future__ import annotations

import os
import sys


def one_line(error: BaseException) -> str:
    """The message on one line, with the name of the file that an OSError keeps beside it."""
    text = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        text = f"'{os.fsdecode(error.filename)}': {error.strerror}"
    return " ".join(text.split()) or type(error).__name__


def name_skipped(skipped: list[tuple[str, str]]) -> None:
    """Says on stderr which images a training or evolution leaves out, and why."""
    for name, why in skipped:
        print(f"squish: skipped '{name}': {' '.join(why.split())}", file=sys.stderr)
