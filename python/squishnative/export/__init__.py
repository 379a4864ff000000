"""`.squish` files back to formats that other programs run.

from squishnative.export import export
export("net.squish", "net.onnx")  # or "net.safetensors"

`squishnative.convert` reads both back.
"""

from __future__ import annotations

from squishnative.export.net_file import export

__all__ = ["export"]
