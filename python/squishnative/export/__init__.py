"""`.squish` files back to formats that other programs run.

from squishnative.export import export
export("net.squish", "net.onnx")  # or "net.safetensors"

`squishnative.convert` reads ONNX back, and safetensors of nets that are torchvision's SqueezeNet to
the last ReLU. Heads that `squish train` made have none there, so that their files have the layers'
own names: weights for other programs.
"""

from __future__ import annotations

from squishnative.export.net_file import export

__all__ = ["export"]
