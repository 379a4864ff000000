"""Kernel, stride and padding of an ONNX Conv or pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from squishnative.convert.errors import ConvertError
from squishnative.convert.onnx_graph import Node
from squishnative.spec import Padding, Pair, Shape


def pair(node: Node, attribute: str, default: Optional[Pair] = None) -> Pair:
    """An attribute of two numbers: height and width."""
    values: Optional[Sequence[int]] = node.attributes.get(attribute, default)
    if values is None or len(values) != 2:
        raise ConvertError(f"{attribute} {values}, wanted two numbers")
    return values[0], values[1]


def stride_and_padding(node: Node, kernel: Pair, shape: Shape) -> tuple[Pair, Padding]:
    """shape: of the node's input, which "SAME" padding depends on."""
    if pair(node, "dilations", (1, 1)) != (1, 1):
        raise ConvertError(f"dilations {node.attributes['dilations']}, wanted [1, 1]")
    stride = pair(node, "strides", (1, 1))
    mode = auto_pad(node)
    if mode == "NOTSET":
        pads = node.attributes.get("pads", [0, 0, 0, 0])
        if len(pads) != 4:
            raise ConvertError(f"pads {pads}, wanted four numbers")
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
    mode: bytes = node.attributes.get("auto_pad", b"NOTSET")
    return mode.decode()


def _same(size: int, kernel: int, stride: int, mode: str) -> Pair:
    """Padding before and after, such that the output has ceil(size / stride) pixels."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if mode == "SAME_UPPER" else (large, small)
