"""NVRTC 11.8, the last that compiles for the Jetsons before Orin, as PyPI has it.

It stands for the CUDA of JetPack 4 (10.2) and compiles device code only, in seconds, without a GPU,
a driver or a toolkit.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACKAGES = ("nvidia-cuda-nvrtc-cu11", "nvidia-cuda-runtime-cu11")  # the library; cuda_fp16.h

# NVRTC has no C library.
STDINT = """
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
"""


class CompilerMissingError(Exception):
    """Why a compiler that is asked for is not here."""


class CompileError(Exception):
    """What the compiler said."""


def compile_kernels(
    source: str, kernels: Sequence[str], architecture: str, include: Sequence[Path]
) -> str:
    """Compiles C++14 for real hardware, "sm_53"; returns ptxas's report about each kernel.

    `kernels`: names of templates' instances and all, as C++ writes them outside any namespace.
    """
    folder = _package_folder("cuda_nvrtc") / "lib"
    library = ctypes.CDLL(str(folder / "libnvrtc.so.11.2"))  # so named in all of 11.2 to 11.8
    options = [
        f"--gpu-architecture={architecture}",
        "--std=c++14",
        "--ptxas-options=--verbose",
        *(f"--include-path={path}" for path in include),
        f"--include-path={_package_folder('cuda_runtime') / 'include'}",
    ]
    program = ctypes.c_void_p()
    headers, names = _strings([STDINT]), _strings(["stdint.h"])
    handle = ctypes.byref(program)
    _check(library.nvrtcCreateProgram(handle, source.encode(), b"kernels", 1, headers, names))
    try:
        for kernel in kernels:
            _check(library.nvrtcAddNameExpression(program, kernel.encode()))
        with _own_locale():
            status = library.nvrtcCompileProgram(program, len(options), _strings(options))
        size = ctypes.c_size_t()
        _check(library.nvrtcGetProgramLogSize(program, ctypes.byref(size)))
        log = ctypes.create_string_buffer(size.value)
        _check(library.nvrtcGetProgramLog(program, log))
    finally:
        library.nvrtcDestroyProgram(handle)
    text = log.value.decode()
    if status != 0:
        raise CompileError(f"NVRTC 11.8 for {architecture}:\n{text}")
    return text


@contextmanager
def _own_locale() -> Iterator[None]:
    """NVRTC leaves the thread in the C locale, where Python takes text files for ASCII."""
    c = ctypes.CDLL(None)
    c.uselocale.restype, c.uselocale.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    before = c.uselocale(None)
    try:
        yield
    finally:
        c.uselocale(before)


def _package_folder(name: str) -> Path:
    # The packages share the folder "nvidia", which other packages may own.
    try:
        spec = importlib.util.find_spec(f"nvidia.{name}")
    except ModuleNotFoundError:
        spec = None
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise CompilerMissingError(f"no NVRTC 11.8: pip install {' '.join(PACKAGES)}")
    return Path(folders[0])


def _strings(texts: Sequence[str]) -> Any:
    return (ctypes.c_char_p * len(texts))(*(text.encode() for text in texts))


def _check(status: int) -> None:
    if status != 0:
        raise CompileError(f"NVRTC: status {status}")
