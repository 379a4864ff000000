"""What a model of a processor says that the inner loops of the convolution kernels take.

    python tools/bench/model_kernels.py --cpu cortex-a72 neoverse-n1

NOT a measurement: llvm-mca issues the instructions that the compiler made as the processor's
description in LLVM says, with every load in the first cache. For processors that are not at hand:
of two ways to write a loop it tells which one fills the multipliers better, and what a cluster
costs beside another one. Matrix products (integers_neoni8mm) have two loops, the shorter one for
columns that lie side by side. Needs a compiler for the processor and llvm-mca (Debian:
g++-aarch64-linux-gnu, llvm-19). Cortex-A57 and A72 share a description; that of Cortex-A76 is
neoverse-n1.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from squishnative.tables import format_table

ROOT = Path(__file__).parents[2]
ISA = ROOT / "cpp" / "cpu" / "isa"
ITERATIONS = 200

FLAGS = {  # beside those of all files
    "integers_neondot": ["-march=armv8.2-a+dotprod"],
    "integers_neoni8mm": ["-march=armv8.2-a+dotprod+i8mm", "-fno-schedule-insns"],
}
KERNELS = ("kernels_neon", "integers_neon", "integers_neondot", "integers_neoni8mm")

# A kernel: rows, pixels, values from one to the next, blocks.
TILE = re.compile(
    r"(?:Float|Integer)Conv(?:InPairs)?(?:ILb0EE)?4tileILi(\d+)ELi(\d+)ELi(\d+)ELi(\d+)E"
)
FUNCTION = re.compile(r"^([A-Za-z_]\w*):")
LABEL = re.compile(r"^(\.L\w+):")
BRANCH = re.compile(r"\t(?:b\.?[a-z]{2}|cbn?z|tbn?z)\t(?:.*,\s*)?(\.L\w+)$")
PRODUCT = re.compile(r"fmla|sdot|smmla|smlal|smull")
CYCLES = re.compile(r"Total Cycles:\s+(\d+)")


class ModelError(Exception):
    """A tool that is missing or that failed."""


@dataclass(frozen=True)
class Loop:
    """An inner loop of a tile: a turn is a cluster of 16 outputs, or two, at each of its pixels."""

    pixels: int
    instructions: tuple[str, ...]

    @property
    def products(self) -> int:
        """Instructions that multiply."""
        return sum(bool(PRODUCT.match(line)) for line in self.instructions)

    @property
    def clusters(self) -> int:
        """Of a turn: matrix products take columns in pairs."""
        return 2 if any(line.startswith("smmla") for line in self.instructions) else 1

    @property
    def in_memory(self) -> int:
        """Loads and stores of what registers had no room for."""
        return sum("[sp" in line for line in self.instructions)


def tile_loops(assembly: str, step: int = 16) -> Iterator[Loop]:
    """The loops of each tile of one row and one block that multiply, by pixels and length.

    `step`: values from a pixel to the next one, which name the kernel.
    """
    longest: dict[tuple[int, str], Loop] = {}  # of those that begin at the same label
    lines = assembly.splitlines()
    pixels, labels = 0, dict[str, int]()
    for at, line in enumerate(lines):
        if name := FUNCTION.match(line):
            tile = TILE.search(name[1])
            fits = tile is not None and tile.group(1, 3, 4) == ("1", str(step), "1")
            pixels, labels = int(tile[2]) if tile and fits else 0, {}
        elif label := LABEL.match(line):
            labels[label[1]] = at
        elif (branch := BRANCH.match(line)) and pixels and branch[1] in labels:
            body = tuple(
                text.strip() for text in lines[labels[branch[1]] : at] if re.match(r"\t[^.]", text)
            )
            known = longest.get((pixels, branch[1]))
            if known is None or len(body) > len(known.instructions):
                longest[pixels, branch[1]] = Loop(pixels, body)
    loops = (loop for loop in longest.values() if loop.products > 0)
    return iter(sorted(loops, key=lambda loop: (loop.pixels, len(loop.instructions))))


def compile_kernels(compiler: str, name: str) -> str:
    """The assembly of one file of cpp/cpu/isa."""
    includes = [f"-I{ROOT / 'cpp'}", f"-I{ROOT / 'cpp' / 'include'}"]
    flags = ["-std=c++17", "-O3", "-ffp-contract=off", *FLAGS.get(name, []), *includes]
    return _output([compiler, *flags, "-S", "-o", "-", str(ISA / f"{name}.cc")])


def cycles(mca: str, cpu: str, loop: Loop) -> float:
    """Of one turn of the loop."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "loop.s"
        source.write_text("\n".join(loop.instructions) + "\n")
        options = [f"-mcpu={cpu}", "-mattr=+dotprod,+i8mm", f"-iterations={ITERATIONS}"]
        said = _output([mca, "-mtriple=aarch64", *options, str(source)])
    found = CYCLES.search(said)
    if found is None:
        raise ModelError(f"{mca}: no total of cycles in what it said")
    return int(found[1]) / ITERATIONS


def _output(command: Sequence[str]) -> str:
    if shutil.which(command[0]) is None:
        raise ModelError(f"{command[0]}: not found")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ModelError(f"{command[0]} failed: {done.stderr.strip()[:500]}")
    return done.stdout


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kernels", nargs="*", metavar="FILE", help=f"of {', '.join(KERNELS)}")
    parser.add_argument(
        "--cpu", nargs="+", default=["cortex-a72", "neoverse-n1"], help="LLVM's names"
    )
    parser.add_argument("--step", type=int, default=16, help="values from pixel to pixel")
    parser.add_argument("--compiler", default="aarch64-linux-gnu-g++")
    parser.add_argument("--mca", default="llvm-mca-19")
    options = parser.parse_args()
    unknown = set(options.kernels) - set(KERNELS)
    if unknown:
        parser.error(f"got {', '.join(sorted(unknown))}, wanted some of {', '.join(KERNELS)}")
    rows = []
    try:
        for name in options.kernels or KERNELS:
            loops = list(tile_loops(compile_kernels(options.compiler, name), options.step))
            if not loops:
                raise ModelError(f"{name}: has no loops for pixels {options.step} values apart")
            for loop in loops:
                clusters = loop.clusters * loop.pixels
                each = [cycles(options.mca, cpu, loop) / clusters for cpu in options.cpu]
                counts = (loop.pixels, len(loop.instructions), loop.in_memory)
                rows.append([name, *map(str, counts), *(f"{count:.2f}" for count in each)])
    except ModelError as error:
        sys.exit(f"model_kernels.py: {error}")
    print("Cycles a cluster and pixel: a model, not measured\n")
    header = ["kernels", "pixels", "instructions", "in memory", *options.cpu]
    print(format_table(header, rows, left=1))


if __name__ == "__main__":
    main()
