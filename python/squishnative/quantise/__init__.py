"""Nets made for integer arithmetic: how each activation is held in bytes, measured on images.

    from squishnative.quantise import quantise

    quantise(spec, images, "i4").save("net.squish", "i4")

Weights stay what they are and are rounded by the file's type, as ever; the layers' activations get
a scale and a zero (cpp/format/layout.h, INTEGER ARITHMETIC), and squeezes' filters another order
(order.py). Needs the extra [train].
"""

from __future__ import annotations

from squishnative.quantise.calibrate import DTYPES, quantise

__all__ = ["DTYPES", "quantise"]
