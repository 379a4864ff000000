"""Holds every CUDA kernel to its budget of registers and shared memory, for GPUs old and new.

    python tools/cuda/kernel_budgets.py            says which kernels are over their budget
    python tools/cuda/kernel_budgets.py --update   writes the budgets anew, from what they take now

Compiles the kernels with nvcc, and with NVRTC 11.8 for what nvcc 13 has forgotten; no GPU needed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nvrtc import CompileError, CompilerMissingError, compile_kernels

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "cuda" / "kernels"
TABLE = ROOT / "cuda" / "kernel_budgets.txt"

JETSONS = ("sm_53", "sm_62", "sm_72")  # TX1 and the first Nano; TX2; Xavier
# The oldest of this nvcc, of which a block may have the least shared memory; Orin; Hopper.
CURRENT = ("sm_75", "sm_87", "sm_90")
NVCC = "13.0"  # another one gives out registers as it likes

HEADER = f"""\
# What each CUDA kernel may take: bytes of static shared memory a block, bytes of stack a thread,
# and registers a thread by architecture, in eights, as the hardware gives them out. None may spill.
# Measured with NVRTC 11.8 ({", ".join(JETSONS)}) and nvcc {NVCC} ({", ".join(CURRENT)}).
# Written by: python tools/cuda/kernel_budgets.py --update
"""


@dataclass(frozen=True)
class Usage:
    """What ptxas says of one kernel on one architecture."""

    registers: int
    shared: int
    stack: int  # of it spills are a part
    spills: int


@dataclass(frozen=True)
class Budget:
    """A line of the table."""

    registers: Mapping[str, int]  # by architecture
    shared: int
    stack: int


ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_\w+'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def read_report(report: str) -> dict[str, Usage]:
    """What `ptxas --verbose` prints, by kernel: "conv<float, 1, false>"."""
    usages: dict[str, Usage] = {}
    mangled, frame = "", (0, 0, 0)
    for line in report.splitlines():
        if match := ENTRY.search(line):
            mangled = match[1]
        elif match := FRAME.search(line):
            frame = (int(match[1]), int(match[2]), int(match[3]))
        elif match := USED.search(line):
            shared = SHARED.search(line)
            usages[mangled] = Usage(
                int(match[1]), int(shared[1]) if shared else 0, frame[0], frame[1] + frame[2]
            )
    return dict(zip(_kernel_names(usages), usages.values()))


def _kernel_names(mangled: Iterable[str]) -> list[str]:
    """Names within squish::cuda, without what they return and take."""
    done = subprocess.run(
        ["c++filt", "--no-params"],
        input="\n".join(mangled),
        check=True,
        capture_output=True,
        text=True,
    )
    return [line.split("squish::cuda::", 1)[1] for line in done.stdout.splitlines()]


def measure_with_nvcc(architecture: str) -> dict[str, Usage]:
    """The kernels of this build: all that kernels.cu names."""
    nvcc = find_nvcc()
    options = ["-std=c++17", "-O3", f"-arch={architecture}", "-cubin", "-Xptxas=--verbose"]
    include = [f"-I{path}" for path in (ROOT, ROOT / "cpp", ROOT / "cpp" / "include")]
    command = [nvcc, *options, *include, "-o", "/dev/null", str(SOURCES / "kernels.cu")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise CompileError(f"nvcc for {architecture}:\n{done.stdout}")
    return read_report(done.stdout)


def find_nvcc() -> str:
    """Where nvcc is, as cmake/SquishCuda.cmake looks for it."""
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if nvcc is None:
        raise CompilerMissingError("no nvcc")
    said = subprocess.run([nvcc, "--version"], check=True, capture_output=True, text=True).stdout
    if f"release {NVCC}," not in said:
        raise CompilerMissingError(
            f"the budgets are for nvcc {NVCC}, here is {said.splitlines()[-1]}"
        )
    return nvcc


def measure_with_nvrtc(architecture: str, kernels: Iterable[str]) -> dict[str, Usage]:
    """The same source, for GPUs that nvcc 13 has forgotten."""
    source = "".join(
        f'#include "cuda/kernels/{path.name}"\n' for path in sorted(SOURCES.glob("*.cuh"))
    )
    names = [f"squish::cuda::{kernel}" for kernel in kernels]
    return read_report(compile_kernels(source, names, architecture, [ROOT, ROOT / "cpp"]))


def measure(architecture: str, kernels: Iterable[str]) -> dict[str, Usage]:
    """With the compiler that knows this architecture. `kernels`: what NVRTC is asked for."""
    if architecture in JETSONS:
        return measure_with_nvrtc(architecture, kernels)
    return measure_with_nvcc(architecture)


def over_budget(
    architecture: str, usages: Mapping[str, Usage], budgets: Mapping[str, Budget]
) -> list[str]:
    """Lists what is wrong, a line each."""
    found = [
        f"{architecture}: {kernel} is in the table, but is no kernel any more"
        for kernel in budgets.keys() - usages.keys()
    ]
    for kernel, usage in usages.items():
        if usage.spills > 0:
            found.append(
                f"{architecture}: {kernel} spills: {usage.spills} bytes of loads and stores"
            )
        budget = budgets.get(kernel)
        if budget is None:
            found.append(f"{architecture}: {kernel} has no budget")
            continue
        for what, got, most in (
            ("registers a thread", usage.registers, budget.registers[architecture]),
            ("bytes of shared memory a block", usage.shared, budget.shared),
            ("bytes of stack a thread", usage.stack, budget.stack),
        ):
            if got > most:
                found.append(f"{architecture}: {kernel} takes {got} {what}, its budget is {most}")
    return sorted(found)


def read_table(text: str) -> dict[str, Budget]:
    """The budgets by kernel."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    architectures = lines[0].split()[2:-1]
    budgets = {}
    for line in lines[1:]:
        *figures, kernel = line.split(None, 2 + len(architectures))
        shared, stack, *registers = (int(figure) for figure in figures)
        budgets[kernel] = Budget(dict(zip(architectures, registers)), shared, stack)
    return budgets


def write_table(measured: Mapping[str, Mapping[str, Usage]]) -> str:
    """The table of kernels that take this much, by architecture and kernel."""
    architectures = list(measured)
    rows = [["shared", "stack", *architectures, "kernel"]]
    for kernel in sorted(set().union(*measured.values())):
        usages = [measured[architecture][kernel] for architecture in architectures]
        shared, stack = max(u.shared for u in usages), max(u.stack for u in usages)
        registers = [str(-(-usage.registers // 8) * 8) for usage in usages]
        rows.append([str(shared), str(stack), *registers, kernel])
    return HEADER + "".join(
        "".join(f"{cell:>6} " for cell in row[:-1]) + f" {row[-1]}\n" for row in rows
    )


def update() -> None:
    """Writes the table anew."""
    current = {architecture: measure_with_nvcc(architecture) for architecture in CURRENT}
    kernels = list(current[CURRENT[0]])
    jetsons = {architecture: measure_with_nvrtc(architecture, kernels) for architecture in JETSONS}
    TABLE.write_text(write_table({**jetsons, **current}), encoding="utf-8")


def check() -> list[str]:
    """Lists what is over budget, on every architecture."""
    budgets = read_table(TABLE.read_text(encoding="utf-8"))
    return [
        line
        for architecture in (*JETSONS, *CURRENT)
        for line in over_budget(architecture, measure(architecture, budgets), budgets)
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help="write the budgets anew")
    try:
        if parser.parse_args().update:
            update()
        elif found := check():
            sys.exit("\n".join([*found, "If it must be so: kernel_budgets.py --update"]))
    except (CompileError, CompilerMissingError) as error:
        sys.exit(f"kernel_budgets.py: {error}")


if __name__ == "__main__":
    main()
