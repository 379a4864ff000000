"""Clusters: what the engine skips when it is zero, and so what evolution removes.

A cluster is 16 output channels at one input channel and kernel position (`cpp/format/layout.h`). A
convolution's clusters are an array (ceil(O / 16), I, H, W).
"""

from __future__ import annotations

import copy

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


def without_weakest(spec: NetSpec, count: int) -> NetSpec:
    """A copy without that many living clusters, but one of each convolution.

    Weak are those whose norm is small beside the largest of their convolution.
    """
    weaker = copy.deepcopy(spec)
    convs = [conv for layer in weaker.layers for _, conv in layer.named_convs()]
    norms = [np.sqrt(sums(conv.weight.astype(np.float64) ** 2)) for conv in convs]
    shares = [np.where(n > 0, n / max(n.max(), 1e-30), np.inf) for n in norms]
    for share in shares:
        share[share == 1] = np.inf  # the strongest stays
    order = np.sort(np.concatenate([share.ravel() for share in shares]))
    last = order[min(count, len(order)) - 1] if count else -1.0
    for conv, share in zip(convs, shares):
        dies = (share <= last) & np.isfinite(share)
        conv.weight = conv.weight * ~members(dies, conv.out_channels)
    return weaker


def genome_of(spec: NetSpec) -> Genome:
    """A cluster lives if one of its weights is not zero, as the engine has it."""
    return {
        name: sums(conv.weight != 0) > 0
        for layer in spec.layers
        for name, conv in layer.named_convs()
    }
