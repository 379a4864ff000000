"""The engine: pybind11 over cpp/include/squish, without arithmetic of its own."""

import os
from typing import Any, Optional, Union

import numpy as np
import numpy.typing as npt

PathLike = Union[str, bytes, os.PathLike[str], os.PathLike[bytes]]
_Filters = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], Optional[tuple[float, int]]]

__version__: str

class FormatError(ValueError): ...
class DeviceError(RuntimeError): ...

def available_isas() -> list[str]: ...

class StepInfo:
    @property
    def layer(self) -> str: ...
    @property
    def kernel(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def output(self) -> tuple[int, int, int]: ...
    @property
    def density(self) -> float: ...
    @property
    def cluster_density(self) -> float: ...
    @property
    def macs(self) -> int: ...
    @property
    def macs_run(self) -> int: ...
    @property
    def seconds(self) -> float: ...

class MemoryUse:
    """Bytes of memory; see squish/session.h."""

    @property
    def model(self) -> int:
        """Host memory that all sessions share: the file, and what is decompressed of it."""
    @property
    def weights(self) -> int:
        """As the kernels read them; this and what follows is memory of the device."""
    @property
    def activations(self) -> int:
        """Of all threads."""
    @property
    def scratch(self) -> int:
        """Of all threads: what kernels need beside."""
    @property
    def total(self) -> int: ...
    def __repr__(self) -> str:
        """`MemoryUse(model=1, weights=2, activations=3, scratch=4, total=10)`."""

class ConvInfo:
    """One convolution as the file stores it."""

    @property
    def out_channels(self) -> int: ...
    @property
    def in_channels(self) -> int: ...
    @property
    def kernel(self) -> tuple[int, int]: ...
    @property
    def stride(self) -> tuple[int, int]: ...
    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Top, left, bottom, right."""
    @property
    def relu(self) -> bool: ...
    @property
    def activation(self) -> Optional[tuple[float, int]]:
        """Scale and zero of its input, where that may be held in bytes."""
    @property
    def encoding(self) -> str:
        """One of "dense", "cluster16x1", "cluster16x4" or "synapse"."""
    @property
    def dtype(self) -> str:
        """One of "f32", "f16", "i8" or "i4"."""
    @property
    def compressed(self) -> bool:
        """Whether the weights are entropy-coded."""
    @property
    def payload_bytes(self) -> int: ...
    @property
    def live_weights(self) -> int: ...
    @property
    def live_clusters(self) -> int: ...
    @property
    def clusters(self) -> int: ...
    def weight(self) -> npt.NDArray[np.float32]:
        """(O, I, H, W), decoded; absent weights are 0."""
    def bias(self) -> npt.NDArray[np.float32]:
        """(O,)"""
    def scale(self) -> Optional[npt.NDArray[np.float32]]:
        """(O,), of integers: weight = scale * an int8. None of floats."""

class LayerInfo:
    """One layer as the file stores it."""

    @property
    def kind(self) -> str:
        """One of "conv", "fire", "max_pool", "add" or "global_average_pool"."""
    @property
    def name(self) -> str: ...
    @property
    def inputs(self) -> list[int]:
        """-1: the net's input; k: the output of layer k."""
    @property
    def relu(self) -> bool: ...
    @property
    def ceil_mode(self) -> bool: ...
    @property
    def kernel(self) -> tuple[int, int]: ...
    @property
    def stride(self) -> tuple[int, int]: ...
    @property
    def padding(self) -> tuple[int, int, int, int]: ...
    @property
    def convs(self) -> list[ConvInfo]: ...

class Model:
    @staticmethod
    def load(path: PathLike) -> Model: ...
    @staticmethod
    def from_bytes(data: bytes) -> Model: ...
    @property
    def input_shape(self) -> tuple[int, int, int]: ...
    @property
    def resize(self) -> int: ...
    @property
    def interpolation(self) -> str:
        """One of "nearest", "bilinear" or "bicubic"."""
    @property
    def mean(self) -> list[float]: ...
    @property
    def std(self) -> list[float]: ...
    @property
    def labels(self) -> list[str]: ...
    @property
    def about(self) -> str: ...
    @property
    def classes(self) -> int: ...
    @property
    def file_bytes(self) -> int: ...
    @property
    def why_not_in_integers(self) -> str:
        """Empty where the file is made for integer arithmetic, else why it is not."""
    @property
    def layers(self) -> list[LayerInfo]: ...
    def output_shape(self, height: int, width: int) -> tuple[int, int, int]: ...
    def layer_shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """The output shape of every layer."""

class DeviceArray:
    """float32 in the memory of a CUDA device, in C's order."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def __cuda_array_interface__(self) -> dict[str, object]: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __dlpack__(
        self,
        *,
        stream: Optional[int] = ...,
        max_version: object = ...,
        dl_device: Optional[tuple[int, int]] = ...,
        copy: Optional[bool] = ...,
    ) -> object: ...

class Session:
    def __init__(
        self,
        model: Model,
        device: str = ...,
        threads: int = ...,
        isa: str = ...,
        storage: str = ...,
        tune: bool = ...,
    ) -> None: ...
    def run(
        self,
        batch: Union[npt.NDArray[np.float32], npt.NDArray[np.uint8]],
        out: Optional[npt.NDArray[np.float32]] = ...,
    ) -> npt.NDArray[np.float32]:
        """C-contiguous (N, C, H, W) float32 or (N, H, W, C) uint8. Releases the GIL."""
    def enqueue(self, batch: object, out: Optional[object] = ..., stream: int = ...) -> object:
        """Arrays of the session's device; see squish/session.h."""
    def synchronise(self) -> None: ...
    def prepare(self, height: int, width: int) -> None: ...
    @property
    def model(self) -> Model: ...
    @property
    def device(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def isa(self) -> str: ...
    @property
    def storage(self) -> str:
        """What "auto" came to."""
    def explain(self, height: int, width: int) -> list[StepInfo]: ...
    def profile(self, batch: Any, iterations: int) -> list[StepInfo]: ...
    def memory(self, height: int, width: int) -> MemoryUse: ...

class NetWriter:
    """Collects layers and writes a .squish file.

    Layers are numbered from 0 in the order they are added; `inputs` name earlier ones, -1 is the
    net's input.
    """

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        mean: list[float],
        std: list[float],
        resize: int = ...,
        interpolation: str = ...,
    ) -> None: ...
    def conv(
        self,
        name: str,
        input: int,
        weight: npt.NDArray[np.float32],
        bias: Optional[npt.NDArray[np.float32]],
        stride: tuple[int, int] = ...,
        padding: tuple[int, int, int, int] = ...,
        relu: bool = ...,
        dtype: str = ...,
        encoding: str = ...,
        compress: bool = ...,
        activation: Optional[tuple[float, int]] = ...,
    ) -> int:
        """Returns the layer's number.

        dtype: "f32", "f16", "i8" or "i4". The last three store biases as f16: ValueError from 65520
        on.
        encoding: "smallest", "dense", "cluster16x1", "cluster16x4" or "synapse".
        compress: entropy-code integer weights where that takes fewer bytes.
        activation: scale and zero of its input, where that may be held in bytes.
        """
    def fire(
        self,
        name: str,
        input: int,
        squeeze: _Filters,
        expand1x1: Optional[_Filters],
        expand3x3: Optional[_Filters],
        dtype: str = ...,
        encoding: str = ...,
        compress: bool = ...,
    ) -> int:
        """Filters: (weight OIHW, bias, activation as of conv). All three are followed by ReLU."""
    def max_pool(
        self,
        name: str,
        input: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int, int, int] = ...,
        ceil_mode: bool = ...,
    ) -> int: ...
    def add(self, name: str, inputs: tuple[int, int], relu: bool = ...) -> int: ...
    def global_average_pool(self, name: str, input: int) -> int: ...
    def set_labels(self, labels: list[str]) -> None: ...
    def set_about(self, text: str) -> None: ...
    def to_bytes(self) -> bytes: ...
    def save(self, path: PathLike) -> None:
        """Writes beside `path` and renames: an old file stays whole until the new one is."""
