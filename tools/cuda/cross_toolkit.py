"""Makes a CUDA toolkit that builds programs for 64-bit Arm (Jetson Orin, Grace) on x86-64.

    python tools/cuda/cross_toolkit.py build/cross-cuda

The compiler is this machine's nvcc; headers and libraries for Arm are the wheels that PyPI has of
the same version (38 MB). cmake/aarch64-cuda.cmake uses what comes out.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

WHEELS = ("nvidia-cuda-runtime", "nvidia-cuda-crt", "nvidia-cuda-cccl", "nvidia-cuda-nvcc")
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_17_aarch64")
TARGET = "targets/sbsa-linux"  # where nvcc looks for what belongs to Arm


class ToolkitError(Exception):
    """Why none can be made here."""


def find_toolkit() -> tuple[Path, str]:
    """This machine's toolkit and its version, "13.0"."""
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if nvcc is None:
        raise ToolkitError("no nvcc")
    # It may be a script that calls another one, which knows where it lies.
    options = ["--dryrun", "--verbose", "-x", "cu", "-c", "/dev/null", "-o", "/dev/null"]
    dry = subprocess.run([nvcc, *options], capture_output=True, text=True).stderr
    said = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    root = re.search(r"^#\$ TOP=(.+)$", dry, re.MULTILINE)
    version = re.search(r"release (\d+\.\d+),", said)
    if root is None or version is None:
        raise ToolkitError(f"{nvcc} says neither where it lies nor its release: {said!r}")
    return Path(root[1]).resolve(), version[1]


def download(version: str, folder: Path) -> list[Path]:
    """The wheels for Arm."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    wanted = [f"{wheel}=={version}.*" for wheel in WHEELS]
    command = [*pip, "--only-binary=:all:", *platforms, "--dest", str(folder), *wanted]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ToolkitError(f"pip could not download {', '.join(wanted)}: {done.stderr.strip()}")
    return sorted(folder.glob("*.whl"))


def unpack(wheels: Sequence[Path], target: Path) -> None:
    """Their headers and libraries: nvidia/cu13/include/... to target/include/..."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                parts = Path(name).parts
                if parts[0] != "nvidia" or len(parts) < 4 or parts[2] not in ("include", "lib"):
                    continue
                file = target.joinpath(*parts[2:])
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.read(name))


def make(destination: Path) -> None:
    """Made aside and then put in place, so that what is there is whole."""
    toolkit, version = find_toolkit()
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent) as scratch:
        root = Path(scratch) / "toolkit"
        (root / "bin").mkdir(parents=True)
        for tool in (toolkit / "bin").iterdir():
            (root / "bin" / tool.name).symlink_to(tool)
        for name in ("nvcc", "nvcc.profile"):  # nvcc looks for all else from where it lies itself
            (root / "bin" / name).unlink()
            shutil.copy2(toolkit / "bin" / name, root / "bin" / name)
        (root / "nvvm").symlink_to(toolkit / "nvvm")
        unpack(download(version, Path(scratch)), root / TARGET)
        # What CMake looks for.
        (root / "targets/aarch64-linux").symlink_to("sbsa-linux")
        for library in (root / TARGET / "lib").glob("*.so.*"):
            library.with_suffix("").symlink_to(library.name)
        (root / TARGET / "lib/stubs").mkdir()
        if destination.exists():
            shutil.rmtree(destination)
        root.rename(destination)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("destination", type=Path, metavar="FOLDER")
    try:
        make(parser.parse_args().destination.absolute())
    except (OSError, ToolkitError) as error:
        sys.exit(f"cross_toolkit.py: {error}")


if __name__ == "__main__":
    main()
