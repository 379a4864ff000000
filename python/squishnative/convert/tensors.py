"""Checkpoint files of tensors to a dict of NumPy float32 arrays."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squishnative.convert.errors import ConvertError
from squishnative.spec import FloatArray

if TYPE_CHECKING:
    import torch

Tensors = dict[str, FloatArray]


def read_torch(path: Path) -> Tensors:
    """A `.pth` or `.pt` state dict, also one under the key "state_dict".

    Read with weights_only: a checkpoint from the internet must not run code.
    """
    try:
        import torch
    except ImportError as error:
        raise ConvertError(
            "reading a PyTorch checkpoint needs the package torch; or save it as .safetensors"
        ) from error
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = str(error).strip().splitlines()
        raise ConvertError(
            f"not a PyTorch state dict of plain tensors: {reason[0] if reason else 'empty file'}"
        ) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not loaded:
        raise ConvertError(f"wanted a state dict (names to tensors), got {type(loaded).__name__}")
    tensors: Tensors = {}
    for name, value in loaded.items():
        if not isinstance(name, str):
            raise ConvertError(f"the name {name!r} is a {type(name).__name__}, wanted text")
        if not isinstance(value, torch.Tensor):
            raise ConvertError(f"{name!r} is a {type(value).__name__}, wanted a tensor")
        tensors[_plain(name)] = _float32(name, _array(name, value))
    return tensors


def _array(name: str, tensor: torch.Tensor) -> Any:
    what = f"tensor {name!r} ({tensor.dtype}, {tensor.layout}, {tensor.device})"
    try:
        stored = tensor.untyped_storage().nbytes()
        if tensor.numel() * tensor.element_size() > stored:  # stride 0: bytes that become gigabytes
            raise ConvertError(f"{what} has {tensor.numel()} elements in {stored} bytes")
        # NumPy has no bfloat16; float64 holds every float type that a checkpoint uses.
        plain = tensor.detach().double() if tensor.is_floating_point() else tensor.detach()
        return plain.resolve_conj().resolve_neg().numpy()
    except (RuntimeError, TypeError) as error:  # sparse, quantised, without data ("meta"), ...
        reason = str(error).strip().splitlines()[0]
        raise ConvertError(f"{what} is not plain numbers: {reason}") from error


def read_safetensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """A `.safetensors` file: its tensors and its metadata. Needs no torch."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ConvertError(
            "reading .safetensors needs the package safetensors: squishnative[convert]"
        ) from error
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {_plain(name): _float32(name, file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except SafetensorError as error:
        raise ConvertError(f"not a safetensors file: {error}") from error
    except TypeError as error:  # NumPy has no bfloat16
        raise ConvertError(f"a tensor type that NumPy does not have ({error})") from error


def _plain(name: str) -> str:
    """Without the prefix that torch.nn.DataParallel adds."""
    return name[len("module.") :] if name.startswith("module.") else name


def _float32(name: str, array: Any) -> FloatArray:
    # BatchNorm's step counter is the one integer that a float net's checkpoint holds.
    if not np.issubdtype(array.dtype, np.floating) and not name.endswith("num_batches_tracked"):
        raise ConvertError(f"tensor {name!r} has dtype {array.dtype}, wanted a floating-point type")
    return np.ascontiguousarray(array, dtype=np.float32)
