"""Checks that objects built for one instruction set share no code with the rest of the program.

Of an inline function that several objects hold, the linker keeps any one copy. Were it the one
compiled with AVX-512, the program would die on every CPU without it. So the kernel files may define
no symbol that the linker merges.

    check_object_symbols.py NM OBJECT...
"""

from __future__ import annotations

import subprocess
import sys

MERGED = {"V": "weak object", "W": "weak function", "u": "unique object"}


def merged_symbols(nm: str, path: str) -> list[str]:
    """Lists the symbols of an object that the linker merges with others of their name.

    Raises ValueError where the object defines no symbol at all: then `nm` has not read it.
    """
    command = [nm, "--demangle", "--defined-only", path]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    symbols = [line.split(maxsplit=2)[1:] for line in listing.splitlines()]
    if not symbols:
        raise ValueError(f"{path}: no symbols")
    return [f"{path}: {MERGED[kind]} {name}" for kind, name in symbols if kind in MERGED]


def main(nm: str, paths: list[str]) -> int:
    """Prints the offending symbols; returns the exit status."""
    found = [symbol for path in paths for symbol in merged_symbols(nm, path)]
    print("\n".join(found) or f"{len(paths)} objects share no code")
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: check_object_symbols.py NM OBJECT...")
    sys.exit(main(sys.argv[1], sys.argv[2:]))
