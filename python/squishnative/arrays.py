"""What callers hand to `Net.infer`, as NumPy arrays without a copy.

Shape and dtype are checked by the engine's binding, which must not trust anybody; here is only the
protocol.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# DLPack device types whose memory the CPU can read: CPU, CUDA pinned, ROCm pinned, CUDA managed.
_HOST_DEVICES = (1, 3, 11, 13)


def as_array(batch: Any) -> npt.NDArray[Any]:
    """The same memory as a C-contiguous array; a copy where it is not contiguous and aligned.

    batch: a NumPy array, a torch CPU tensor, or anything with `__dlpack__`, `__array_interface__`
    or `__array__`. Raises TypeError for anything else, ValueError where the memory is a device's.
    """
    array = batch if isinstance(batch, np.ndarray) else _from_protocol(batch)
    if array.flags.c_contiguous and array.flags.aligned:
        return array
    return np.require(array, requirements=["C_CONTIGUOUS", "ALIGNED"])


def _from_protocol(batch: Any) -> npt.NDArray[Any]:
    if hasattr(batch, "__dlpack__"):
        return _from_dlpack(batch)
    if hasattr(batch, "__array_interface__") or hasattr(batch, "__array__"):
        return np.asarray(batch)
    raise TypeError(
        f"batch: got {type(batch).__name__}, wanted a NumPy array, a torch CPU tensor or an object "
        "with __dlpack__, __array_interface__ or __array__"
    )


def _from_dlpack(batch: Any) -> npt.NDArray[Any]:
    try:
        device, _ = batch.__dlpack_device__()
    except ValueError:  # torch's "meta", which is no memory at all
        raise ValueError(f"batch: is on {batch.device}, wanted CPU memory") from None
    if int(device) not in _HOST_DEVICES:
        where = getattr(batch, "device", f"DLPack device type {int(device)}")
        raise ValueError(
            f"batch: is on {where}, wanted CPU memory: batch.cpu() copies a torch tensor"
        )
    if hasattr(batch, "resolve_neg"):
        batch = batch.resolve_neg()  # torch would hand out the memory without its pending sign
    try:
        return np.from_dlpack(batch)
    except (BufferError, RuntimeError) as error:  # bfloat16, a tensor that requires grad, ...
        dtype = getattr(batch, "dtype", "unknown dtype")
        raise TypeError(f"batch: got {type(batch).__name__} of {dtype}: {error}") from None
