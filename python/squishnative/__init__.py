"""Inference for SqueezeNet-family image classifiers, from `.squish` files.

    import squishnative
    net = squishnative.load("net.squish")
    net.predict(["cat.jpg"], k=5)  # labels and probabilities
    net.infer(batch)               # (N, 3, H, W) float32 or (N, H, W, 3) uint8 -> (N, classes)

Checkpoints become `.squish` files through `squishnative.convert`, `.squish` files become ONNX or
safetensors through `squishnative.export`.
"""

from __future__ import annotations

from squishnative._core import DeviceError, FormatError, __version__, available_isas
from squishnative.net import Net, load
from squishnative.ranking import Prediction

__all__ = [
    "DeviceError",
    "FormatError",
    "Net",
    "Prediction",
    "__version__",
    "available_isas",
    "load",
]
