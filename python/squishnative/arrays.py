"""What callers hand to `Net.infer`: NumPy arrays without a copy, arrays of devices, streams.

Shape and dtype are checked by the engine's binding, which must not trust anybody; here is only the
protocol.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

# DLPack device types whose memory the CPU can read: CPU, CUDA pinned, ROCm pinned, CUDA managed.
_HOST_DEVICES = (1, 3, 11, 13)
_CUDA = 2


def as_array(batch: Any) -> npt.NDArray[Any]:
    """The same memory as a C-contiguous array; a copy where it is not contiguous and aligned.

    batch: a NumPy array, a torch CPU tensor, or anything with `__dlpack__`, `__array_interface__`
    or `__array__`. Raises TypeError for anything else and for masked arrays, ValueError where the
    memory is a device's.
    """
    array = batch if isinstance(batch, np.ndarray) else _from_protocol(batch)
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("batch: got a masked array, wanted one without: .filled(value) makes it")
    if array.flags.c_contiguous and array.flags.aligned:
        return array
    return np.require(array, requirements=["C_CONTIGUOUS", "ALIGNED"])


def is_on_cuda(array: Any) -> bool:
    """Whether its memory is a CUDA device's, as DLPack or `__cuda_array_interface__` say."""
    if isinstance(array, np.ndarray):
        return False
    if hasattr(array, "__dlpack_device__"):
        try:
            return int(array.__dlpack_device__()[0]) == _CUDA
        except ValueError:  # torch's "meta"
            return False
    return hasattr(array, "__cuda_array_interface__")


def on_its_device(array: Any) -> AbstractContextManager[object]:
    """Within it a torch tensor's device is torch's current one: others have no `__dlpack__`."""
    torch = sys.modules.get("torch")  # who has a tensor has imported it
    tensor: Any = getattr(torch, "Tensor", ())
    if torch is not None and isinstance(array, tensor) and array.is_cuda:
        device: AbstractContextManager[object] = torch.cuda.device(array.device)
        return device
    return nullcontext()


def stream_handle(stream: Any) -> int:
    """A cudaStream_t as a number.

    stream: None, the legacy default stream; the handle; or an object of torch (`cuda_stream`), CuPy
    (`ptr`) or with `__cuda_stream__`. Raises TypeError or ValueError on anything else.
    """
    if stream is None:
        return 0
    if hasattr(stream, "__cuda_stream__"):
        _, stream = stream.__cuda_stream__()
    for name in ("cuda_stream", "ptr"):
        stream = getattr(stream, name, stream)
    if isinstance(stream, bool) or not isinstance(stream, (int, np.integer)):
        raise TypeError(
            f"stream: got {type(stream).__name__}, wanted a cudaStream_t as a number, or an object "
            "with __cuda_stream__, cuda_stream or ptr"
        )
    if not 0 <= stream < 2**64:
        raise ValueError(f"stream: got {stream}, which is no cudaStream_t")
    return int(stream)


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
