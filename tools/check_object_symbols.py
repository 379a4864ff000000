"""Checks that objects built for one instruction set share no code with the rest of the program.

Of an inline function that several objects hold, the linker keeps any one copy. Were it the one
compiled with AVX-512, the program would die on every CPU without it. So all that a kernel file
shows the linker, strong, weak or unique, is its kernel table.

    check_object_symbols.py NM OBJECT...
"""

from __future__ import annotations

import re
import subprocess
import sys

# The engine's kernels, of floats and of integers, and squish-bench's loop of multiply-adds.
KERNEL_TABLE = re.compile(r"squish::k\w+(?:Kernels|Integers|RgbQuads)|squish::bench::k\w+FmaLoop")


def external_symbols(nm: str, path: str) -> list[str]:
    """Lists the names that an object defines for the linker, demangled."""
    command = [nm, "--demangle", "--extern-only", "--defined-only", path]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.split(maxsplit=2)[2] for line in listing.splitlines()]


def complaints(nm: str, path: str) -> list[str]:
    """Lists what is wrong with an object, a line each."""
    tables, others = 0, []
    for name in external_symbols(nm, path):
        if KERNEL_TABLE.fullmatch(name):
            tables += 1
        else:
            others.append(f"{path}: shows the linker {name}")
    if tables != 1:
        others.append(f"{path}: {tables} kernel tables, wanted 1")
    return others


def main(nm: str, paths: list[str]) -> int:
    """Prints the complaints; returns the exit status."""
    found = [line for path in paths for line in complaints(nm, path)]
    print("\n".join(found) or f"{len(paths)} objects share no code")
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: check_object_symbols.py NM OBJECT...")
    sys.exit(main(sys.argv[1], sys.argv[2:]))
