"""Clusters: what the engine skips when it is zero, and so what evolution removes.

A cluster is 16 output channels at one input channel and kernel position (`cpp/format/layout.h`). A
convolution's clusters are an array (ceil(O / 16), I, H, W).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from squishnative.spec import NetSpec

HEIGHT = 16

Alive = npt.NDArray[np.bool_]  # (ceil(O / HEIGHT), I, H, W)
Genome = dict[str, Alive]  # of each convolution, by the name that the file gives it
Strengths = dict[str, npt.NDArray[np.float64]]


def sums(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """(O, I, H, W) -> the sum within each cluster, (ceil(O / 16), I, H, W) float64."""
    starts = np.arange(0, values.shape[0], HEIGHT)
    total: npt.NDArray[np.float64] = np.add.reduceat(values.astype(np.float64), starts, axis=0)
    return total


def members(alive: Alive, out_channels: int) -> npt.NDArray[np.bool_]:
    """The inverse of `sums`: (O, I, H, W), True for the weights of clusters that live."""
    return alive.repeat(HEIGHT, axis=0)[:out_channels]


def genome_of(spec: NetSpec) -> Genome:
    """A cluster lives if one of its weights is not zero, as the engine has it."""
    return {
        name: sums(conv.weight != 0) > 0
        for layer in spec.layers
        for name, conv in layer.named_convs()
    }
