"""A second opinion on the engine: its own `.squish` reader and a PyTorch forward pass in float64.

Shares no code with the engine, so a mistake would have to be made twice. It also says how far a
float32 execution may be from the exact logits, so that no test needs a tolerance chosen by hand:

    net = squishnative.load("net.squish", storage="f32")
    logits, bound = reference.run("net.squish", batch)
    assert (abs(net.infer(batch) - logits) <= bound).all()

A net that is made for integer arithmetic has logits that are the same to the bit everywhere:

    logits = reference.integer_logits("net.squish", batch)

Needs PyTorch.
"""

from __future__ import annotations

from squishnative.reference.forward import LAMBDA, UNIT_ROUNDOFF, run
from squishnative.reference.integers import check_made_for_integers, integer_logits
from squishnative.reference.reader import read

__all__ = [
    "LAMBDA",
    "UNIT_ROUNDOFF",
    "check_made_for_integers",
    "integer_logits",
    "read",
    "run",
]
