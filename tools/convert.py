#!/usr/bin/env python3
"""CHECKPOINT -o NET.squish: the same as `squish convert`."""

from __future__ import annotations

import sys

from squishnative.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "convert")
    main()
