"""`python -m squishnative`: the same as the console script `squish`."""

from __future__ import annotations

from squishnative.cli import main

if __name__ == "__main__":
    main()
