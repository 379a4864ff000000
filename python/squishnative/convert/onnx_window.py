"""Kernel, stride and padding of an ONNX Conv or pool."""

from __future__ import annotations

import numpy as np

from squishnative.convert.errors import ConvertError
from squishnative.convert.onnx_graph import MOST_VALUES, Node
from squishnative.spec import LARGEST_WINDOW, FloatArray, Padding, Pair, Shape


def stride_and_padding(node: Node, kernel: Pair, shape: Shape) -> tuple[Pair, Padding]:
    """shape: of the node's input, which "SAME" padding depends on."""
    dilations = node.pair("dilations", (1, 1))
    if dilations != (1, 1):
        raise ConvertError(f"dilations {list(dilations)}, wanted [1, 1]")
    stride = node.pair("strides", (1, 1))
    if min(stride) < 1:
        raise ConvertError(f"strides {list(stride)}, wanted at least 1")
    mode = auto_pad(node)
    if mode == "NOTSET":
        pads = node.integers("pads", [0, 0, 0, 0])
        if len(pads) != 4 or min(pads) < 0 or max(pads) > LARGEST_WINDOW:
            raise ConvertError(f"pads {pads}, wanted four from 0 to {LARGEST_WINDOW}")
        return stride, (pads[0], pads[1], pads[2], pads[3])
    if mode == "VALID":
        return stride, (0, 0, 0, 0)
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise ConvertError(f"auto_pad {mode!r}, wanted NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    top, bottom = _same(shape[1], kernel[0], stride[0], mode)
    left, right = _same(shape[2], kernel[1], stride[1], mode)
    return stride, (top, left, bottom, right)


def auto_pad(node: Node) -> str:
    """The attribute, "NOTSET" where it is left out."""
    return node.text("auto_pad", "NOTSET")


def widen(weight: FloatArray, padding: Padding) -> tuple[FloatArray, Padding]:
    """The same convolution with a kernel that is larger than its padding, as a .squish file wants.

    Zeros around the kernel and as much padding more change nothing. SqueezeNet 1.0 as its authors
    published it has a 1x1 convolution, conv10, with padding 1. Raises ConvertError where the zeros
    would be very many.
    """
    top, left, bottom, right = padding
    height, width = weight.shape[2:]
    above, below = max(bottom - height + 1, 0), max(top - height + 1, 0)
    before, after = max(right - width + 1, 0), max(left - width + 1, 0)
    size = weight.shape[0] * weight.shape[1] * (above + height + below) * (before + width + after)
    if size > max(weight.size, MOST_VALUES):
        raise ConvertError(f"padding {padding} is too wide for a kernel of {(height, width)}")
    widened = np.pad(weight, ((0, 0), (0, 0), (above, below), (before, after)))
    return widened, (top + above, left + before, bottom + below, right + after)


def _same(size: int, kernel: int, stride: int, mode: str) -> Pair:
    """Padding before and after, such that the output has ceil(size / stride) pixels."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if mode == "SAME_UPPER" else (large, small)
