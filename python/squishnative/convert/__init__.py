"""Checkpoints to `.squish` files.

    from squishnative.convert import convert
    result = convert("squeezenet1_1.pth", "net.squish", labels="imagenet.txt")
    print(result.bytes, *result.notes)

Reads torchvision-named SqueezeNet 1.0 and 1.1 state dicts (`.pth`, `.pt`, `.safetensors`; any
widths and class count) and ONNX files of SqueezeNet shape (`.onnx`).
"""

from __future__ import annotations

from squishnative.convert.checkpoint import Conversion, convert, read
from squishnative.convert.errors import ConvertError

__all__ = ["Conversion", "ConvertError", "convert", "read"]
