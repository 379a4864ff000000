"""A net as Python sees it, between a checkpoint and a `.squish` file.

Readers of checkpoints (`squishnative.convert`) and the trainer build a `NetSpec`; `NetSpec.save` writes it
through the engine's writer. Weights are NumPy float32 arrays in PyTorch's order (O, I, H, W).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Optional, Union

import numpy as np
import numpy.typing as npt

from squishnative import _core

FloatArray = npt.NDArray[np.float32]
Pair = tuple[int, int]
Padding = tuple[int, int, int, int]  # top, left, bottom, right
Shape = tuple[int, int, int]  # channels, height, width of one image's activation
PathLike = Union[str, "os.PathLike[str]"]

INPUT = -1  # an `input` that means the net's own


@dataclass
class ConvSpec:
    """A convolution. weight (O, I, H, W), bias (O,)."""

    weight: FloatArray
    bias: FloatArray
    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    relu: bool = True

    @property
    def out_channels(self) -> int:
        return int(self.weight.shape[0])

    @property
    def in_channels(self) -> int:
        return int(self.weight.shape[1])

    @property
    def kernel(self) -> Pair:
        return int(self.weight.shape[2]), int(self.weight.shape[3])

    def output_shape(self, shape: Shape) -> Shape:
        """Raises ValueError where the arrays are not a convolution or it does not fit `shape`."""
        self._check_arrays()
        if shape[0] != self.in_channels:
            raise ValueError(f"weight wants {self.in_channels} input channels, got {shape[0]}")
        height, width = _slide(shape, self.kernel, self.stride, self.padding, ceil_mode=False)
        return self.out_channels, height, width

    def _check_arrays(self) -> None:
        if self.weight.ndim != 4 or 0 in self.weight.shape:
            raise ValueError(f"weight must be (O, I, H, W) without zeros, got {self.weight.shape}")
        if self.bias.shape != (self.out_channels,):
            raise ValueError(f"bias must be ({self.out_channels},), got {self.bias.shape}")
        for what, array in (("weight", self.weight), ("bias", self.bias)):
            if array.dtype != np.float32:
                raise ValueError(f"{what} must be float32, got {array.dtype}")
            if not np.isfinite(array).all():
                raise ValueError(f"{what} has values that are not finite")


@dataclass
class Conv:
    """A convolution that stands alone."""

    name: str
    input: int
    conv: ConvSpec

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.input,)

    def named_convs(self) -> Iterator[tuple[str, ConvSpec]]:
        yield self.name, self.conv

    def output_shape(self, shape: Shape) -> Shape:
        return self.conv.output_shape(shape)


@dataclass
class Fire:
    """squeeze 1x1 -> [expand1x1 | expand3x3], concatenated; ReLU after each. An absent expand is None."""

    name: str
    input: int
    squeeze: ConvSpec
    expand1x1: Optional[ConvSpec]
    expand3x3: Optional[ConvSpec]

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.input,)

    def named_convs(self) -> Iterator[tuple[str, ConvSpec]]:
        yield f"{self.name}/squeeze", self.squeeze
        if self.expand1x1 is not None:
            yield f"{self.name}/expand1x1", self.expand1x1
        if self.expand3x3 is not None:
            yield f"{self.name}/expand3x3", self.expand3x3

    def output_shape(self, shape: Shape) -> Shape:
        _check_fire_conv("squeeze", self.squeeze, 1)
        squeezed = self.squeeze.output_shape(shape)
        channels = 0
        for what, conv, kernel in (("expand1x1", self.expand1x1, 1), ("expand3x3", self.expand3x3, 3)):
            if conv is not None:
                _check_fire_conv(what, conv, kernel)
                channels += conv.output_shape(squeezed)[0]
        if channels == 0:
            raise ValueError("both expands are absent; a Fire needs at least one")
        return channels, shape[1], shape[2]


@dataclass
class MaxPool:
    """Max pooling; padding never wins the maximum."""

    name: str
    input: int
    kernel: Pair = (3, 3)
    stride: Pair = (2, 2)
    padding: Padding = (0, 0, 0, 0)
    ceil_mode: bool = True

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.input,)

    def named_convs(self) -> Iterator[tuple[str, ConvSpec]]:
        return iter(())

    def output_shape(self, shape: Shape) -> Shape:
        height, width = _slide(shape, self.kernel, self.stride, self.padding, self.ceil_mode)
        return shape[0], height, width


@dataclass
class Add:
    """Bypass: the sum of two layers of one shape."""

    name: str
    inputs: Pair
    relu: bool = False

    def named_convs(self) -> Iterator[tuple[str, ConvSpec]]:
        return iter(())

    def output_shape(self, a: Shape, b: Shape) -> Shape:
        if a != b:
            raise ValueError(f"the two inputs must have one shape, got {a} and {b}")
        return a


@dataclass
class GlobalAveragePool:
    """The mean over height and width."""

    name: str
    input: int

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.input,)

    def named_convs(self) -> Iterator[tuple[str, ConvSpec]]:
        return iter(())

    def output_shape(self, shape: Shape) -> Shape:
        return shape[0], 1, 1


Layer = Union[Conv, Fire, MaxPool, Add, GlobalAveragePool]


@dataclass
class InputSpec:
    """What the net eats; mean and std on the scale 0..1. resize 0: squash to (height, width)."""

    channels: int = 3
    height: int = 224
    width: int = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    resize: int = 256
    interpolation: str = "bilinear"


@dataclass
class NetSpec:
    """A whole net. `layers[k]`'s output is named k by later layers' `input`."""

    input: InputSpec
    layers: list[Layer] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    about: str = ""

    def shapes(self, height: Optional[int] = None, width: Optional[int] = None) -> list[Shape]:
        """The output shape of every layer for an image of height x width (default: the input's own).

        Raises ValueError, naming the layer, where the layers do not fit each other or that size.
        """
        image = (
            self.input.channels,
            self.input.height if height is None else height,
            self.input.width if width is None else width,
        )
        shapes: list[Shape] = []
        for k, layer in enumerate(self.layers):
            try:
                for source in layer.inputs:
                    if not INPUT <= source < k:
                        raise ValueError(f"input {source} must be {INPUT} or an earlier layer")
                sources = [image if source == INPUT else shapes[source] for source in layer.inputs]
                shapes.append(layer.output_shape(*sources))
            except ValueError as error:
                raise ValueError(f"layer {k} {layer.name!r}: {error}") from None
        return shapes

    @property
    def output_shape(self) -> Shape:
        """Of the last layer, which is the net's output."""
        if not self.layers:
            raise ValueError("the net has no layers")
        return self.shapes()[-1]

    @property
    def classes(self) -> int:
        return self.output_shape[0]

    def validate(self) -> None:
        """Raises ValueError where the layers do not fit together or the labels do not fit the classes."""
        classes = self.classes
        names = [layer.name for layer in self.layers]
        for name in names:
            if not name or names.count(name) > 1:
                raise ValueError(f"layer names must be distinct and not empty, got {name!r}")
        if self.labels and len(self.labels) != classes:
            raise ValueError(f"got {len(self.labels)} labels for a net of {classes} classes")
        for what, values in (("mean", self.input.mean), ("std", self.input.std)):
            if len(values) != self.input.channels:
                raise ValueError(f"{what} has {len(values)} values for {self.input.channels} channels")

    def to_bytes(self, dtype: str = "f32", encoding: str = "smallest") -> bytes:
        """The bytes of a `.squish` file.

        dtype: "f32", "f16" or "i8" (with a scale for each output channel).
        encoding: "smallest" chooses for each convolution; "dense", "cluster16x1", "cluster16x4", "synapse".
        Raises ValueError on a net that does not fit together or a value that is not one of these.
        """
        return self._writer(dtype, encoding).to_bytes()

    def save(self, path: PathLike, dtype: str = "f32", encoding: str = "smallest") -> None:
        """Writes a `.squish` file; arguments as for `to_bytes`. Raises OSError where it cannot be written."""
        self._writer(dtype, encoding).save(os.fspath(path))

    def _writer(self, dtype: str, encoding: str) -> _core.NetWriter:
        self.validate()
        writer = _core.NetWriter(
            self.input.channels,
            self.input.height,
            self.input.width,
            list(self.input.mean),
            list(self.input.std),
            self.input.resize,
            self.input.interpolation,
        )
        for layer in self.layers:
            _write_layer(writer, layer, dtype, encoding)
        writer.set_labels(self.labels)
        writer.set_about(self.about)
        return writer

    @staticmethod
    def from_model(model: _core.Model) -> NetSpec:
        """The net of a loaded file, its weights decoded to float32."""
        channels, height, width = model.input_shape
        return NetSpec(
            InputSpec(
                channels,
                height,
                width,
                tuple(model.mean),
                tuple(model.std),
                model.resize,
                model.interpolation,
            ),
            [_layer_of(info) for info in model.layers],
            list(model.labels),
            model.about,
        )


def _slide(shape: Shape, kernel: Pair, stride: Pair, padding: Padding, ceil_mode: bool) -> Pair:
    """Height and width of what a sliding window makes of `shape`."""
    if min(kernel) < 1 or min(stride) < 1:
        raise ValueError(f"kernel {kernel} and stride {stride} must be at least 1")
    top, left, bottom, right = padding
    if min(padding) < 0 or max(top, bottom) >= kernel[0] or max(left, right) >= kernel[1]:
        raise ValueError(f"padding {padding} must be at least 0 and below the kernel {kernel}")
    return (
        _extent(shape[1], kernel[0], stride[0], top, bottom, ceil_mode),
        _extent(shape[2], kernel[1], stride[1], left, right, ceil_mode),
    )


def _extent(size: int, kernel: int, stride: int, before: int, after: int, ceil_mode: bool) -> int:
    span = size + before + after - kernel
    if span < 0:
        raise ValueError(f"{size} pixels padded by {before} + {after} are fewer than the kernel's {kernel}")
    if not ceil_mode:
        return span // stride + 1
    count = -(-span // stride) + 1
    # As in PyTorch, the last window must begin inside the input or the padding before it.
    return count - 1 if (count - 1) * stride >= size + before else count


def _check_fire_conv(what: str, conv: ConvSpec, kernel: int) -> None:
    pad = kernel // 2
    wanted = ((kernel, kernel), (1, 1), (pad, pad, pad, pad), True)
    got = (conv.kernel, conv.stride, conv.padding, conv.relu)
    if got != wanted:
        raise ValueError(f"{what} must have (kernel, stride, padding, relu) {wanted}, got {got}")


def _write_layer(writer: _core.NetWriter, layer: Layer, dtype: str, encoding: str) -> None:
    if isinstance(layer, Conv):
        c = layer.conv
        writer.conv(
            layer.name, layer.input, c.weight, c.bias, c.stride, c.padding, c.relu, dtype, encoding
        )
    elif isinstance(layer, Fire):
        squeeze, expand1x1, expand3x3 = (
            None if c is None else (c.weight, c.bias)
            for c in (layer.squeeze, layer.expand1x1, layer.expand3x3)
        )
        assert squeeze is not None
        writer.fire(layer.name, layer.input, squeeze, expand1x1, expand3x3, dtype, encoding)
    elif isinstance(layer, MaxPool):
        writer.max_pool(
            layer.name, layer.input, layer.kernel, layer.stride, layer.padding, layer.ceil_mode
        )
    elif isinstance(layer, Add):
        writer.add(layer.name, layer.inputs, layer.relu)
    else:
        writer.global_average_pool(layer.name, layer.input)


def _layer_of(info: _core.LayerInfo) -> Layer:
    if info.kind == "conv":
        return Conv(info.name, info.inputs[0], _conv_of(info.convs[0]))
    if info.kind == "fire":
        squeeze, expand1x1, expand3x3 = (
            _conv_of(conv) if conv.out_channels else None for conv in info.convs
        )
        assert squeeze is not None
        return Fire(info.name, info.inputs[0], squeeze, expand1x1, expand3x3)
    if info.kind == "max_pool":
        return MaxPool(
            info.name, info.inputs[0], info.kernel, info.stride, info.padding, info.ceil_mode
        )
    if info.kind == "add":
        return Add(info.name, (info.inputs[0], info.inputs[1]), info.relu)
    return GlobalAveragePool(info.name, info.inputs[0])


def _conv_of(info: _core.ConvInfo) -> ConvSpec:
    return ConvSpec(info.weight(), info.bias(), info.stride, info.padding, info.relu)
