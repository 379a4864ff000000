"""The layers of a net as Python sees them, and the shapes that they make."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Optional, Union

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Pair = tuple[int, int]
Padding = tuple[int, int, int, int]  # top, left, bottom, right
Shape = tuple[int, int, int]  # channels, height, width of one image's activation
PathLike = Union[str, "os.PathLike[str]"]

INPUT = -1  # an `input` that means the net's own
LARGEST_WINDOW = 255  # of kernels, strides and padding: a `.squish` file has a byte for each
LARGEST_EXTENT = 65535  # of channels, heights and widths: two bytes
LARGEST_BYTE = 255
ACTIVATION_SCALES = (2.0**-40, 2.0**40)  # the least and the largest of an activation


class Activation(NamedTuple):
    """How what a convolution reads is held in bytes: q stands for scale * (q - zero).

    scale: from 2^-40 to 2^40, kept as float32. zero: from 0 to 255. What is computed with it:
    cpp/format/layout.h, INTEGER ARITHMETIC.
    """

    scale: float
    zero: int

    def check(self) -> None:
        """Raises ValueError where a file cannot hold it."""
        low, high = ACTIVATION_SCALES
        if not low <= self.scale <= high:
            raise ValueError(f"activation: scale must be from {low} to {high}, got {self.scale}")
        if not isinstance(self.zero, int) or not 0 <= self.zero <= LARGEST_BYTE:
            raise ValueError(f"activation: zero must be from 0 to {LARGEST_BYTE}, got {self.zero}")


@dataclass
class ConvSpec:
    """A convolution. weight (O, I, H, W), bias (O,).

    activation: of its input, in a net that is made for integer arithmetic. What trains or changes
    weights must leave it out: it holds for the net that it was measured in.
    """

    weight: FloatArray
    bias: FloatArray
    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    relu: bool = True
    activation: Optional[Activation] = None

    @property
    def out_channels(self) -> int:
        """O."""
        return int(self.weight.shape[0])

    @property
    def in_channels(self) -> int:
        """I."""
        return int(self.weight.shape[1])

    @property
    def kernel(self) -> Pair:
        """Height and width of the window, in pixels."""
        return int(self.weight.shape[2]), int(self.weight.shape[3])

    def output_shape(self, shape: Shape) -> Shape:
        """What it makes of `shape`.

        Raises ValueError where the arrays are no convolution or do not fit `shape`, and on an
        activation that a file cannot hold.
        """
        self._check_arrays()
        if self.activation is not None:
            self.activation.check()
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


class _Layer:
    """What all layers have in common."""

    def named_convs(self) -> Iterator[tuple[str, ConvSpec]]:
        """The convolutions that are there, named "conv1" or, in a Fire, "fire2/squeeze"."""
        return iter(())


class _OneInputLayer(_Layer):
    input: int

    @property
    def inputs(self) -> tuple[int, ...]:
        """As an Add has them."""
        return (self.input,)


@dataclass
class Conv(_OneInputLayer):
    """A convolution that stands alone."""

    name: str
    input: int
    conv: ConvSpec

    def named_convs(self) -> Iterator[tuple[str, ConvSpec]]:
        """As _Layer has it."""
        yield self.name, self.conv

    def output_shape(self, shape: Shape) -> Shape:
        """What it makes of `shape`. Raises ValueError where it does not fit."""
        return self.conv.output_shape(shape)


@dataclass
class Fire(_OneInputLayer):
    """squeeze 1x1 -> [expand1x1 | expand3x3], concatenated; ReLU after each.

    An absent expand is None.
    """

    name: str
    input: int
    squeeze: ConvSpec
    expand1x1: Optional[ConvSpec]
    expand3x3: Optional[ConvSpec]

    def named_convs(self) -> Iterator[tuple[str, ConvSpec]]:
        """As _Layer has it."""
        yield f"{self.name}/squeeze", self.squeeze
        if self.expand1x1 is not None:
            yield f"{self.name}/expand1x1", self.expand1x1
        if self.expand3x3 is not None:
            yield f"{self.name}/expand3x3", self.expand3x3

    def output_shape(self, shape: Shape) -> Shape:
        """What it makes of `shape`. Raises ValueError where it does not fit."""
        _check_fire_conv("squeeze", self.squeeze, 1)
        squeezed = self.squeeze.output_shape(shape)
        channels = 0
        expands = (("expand1x1", self.expand1x1, 1), ("expand3x3", self.expand3x3, 3))
        for what, conv, kernel in expands:
            if conv is not None:
                _check_fire_conv(what, conv, kernel)
                channels += conv.output_shape(squeezed)[0]
        if channels == 0:
            raise ValueError("both expands are absent; a Fire needs at least one")
        return channels, shape[1], shape[2]


@dataclass
class MaxPool(_OneInputLayer):
    """Max pooling; padding never wins the maximum."""

    name: str
    input: int
    kernel: Pair = (3, 3)
    stride: Pair = (2, 2)
    padding: Padding = (0, 0, 0, 0)
    ceil_mode: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        """What it makes of `shape`. Raises ValueError where it does not fit."""
        height, width = _slide(shape, self.kernel, self.stride, self.padding, self.ceil_mode)
        return shape[0], height, width


@dataclass
class Add(_Layer):
    """Bypass: the sum of two layers of one shape."""

    name: str
    inputs: Pair
    relu: bool = False

    def output_shape(self, a: Shape, b: Shape) -> Shape:
        """The shape of both. Raises ValueError where it does not fit."""
        if a != b:
            raise ValueError(f"the two inputs must have one shape, got {a} and {b}")
        return a


@dataclass
class GlobalAveragePool(_OneInputLayer):
    """The mean over height and width."""

    name: str
    input: int

    def output_shape(self, shape: Shape) -> Shape:
        """What it makes of `shape`. Raises ValueError where it does not fit."""
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


def _slide(shape: Shape, kernel: Pair, stride: Pair, padding: Padding, ceil_mode: bool) -> Pair:
    """Height and width of what a sliding window makes of `shape`."""
    for what, pair in (("kernel", kernel), ("stride", stride)):
        if min(pair) < 1 or max(pair) > LARGEST_WINDOW:
            raise ValueError(f"{what} must be from 1 to {LARGEST_WINDOW}, got {pair}")
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
        raise ValueError(f"{size} pixels padded by {before} + {after} for a kernel of {kernel}")
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
