"""Clusters: what the engine skips when it is zero, and so what evolution removes.

A cluster is 16 output channels at `width` input channels, 1 or 4, and one kernel position
(`cpp/format/layout.h`). A convolution's clusters are an array (ceil(O / 16), ceil(I / width), H,
W). Arithmetic in floats skips clusters of width 1, in integers those of width 4.
"""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt

from squishnative.spec import NetSpec

HEIGHT = 16
QUAD = 4  # input channels that integers multiply or skip together
WIDTHS = {"16x1": 1, "16x4": QUAD}  # by the shape's name

Alive = npt.NDArray[np.bool_]  # (ceil(O / HEIGHT), ceil(I / width), H, W)
Genome = dict[str, Alive]  # of each convolution, by the name that the file gives it
Strengths = dict[str, npt.NDArray[np.float64]]


def sums(values: npt.NDArray[np.floating], width: int = 1) -> npt.NDArray[np.float64]:
    """(O, I, H, W) -> sums within clusters, float64 (ceil(O / 16), ceil(I / width), H, W)."""
    total: npt.NDArray[np.float64] = values.astype(np.float64)
    for axis, size in enumerate((HEIGHT, width)):
        total = np.add.reduceat(total, np.arange(0, values.shape[axis], size), axis)
    return total


def members(alive: Alive, weights: tuple[int, ...], width: int = 1) -> npt.NDArray[np.bool_]:
    """The inverse of `sums`: True for the weights of clusters that live; weights: their shape."""
    whole = alive.repeat(HEIGHT, axis=0).repeat(width, axis=1)
    return whole[: weights[0], : weights[1]]


def without_weakest(spec: NetSpec, count: int, width: int = 1) -> NetSpec:
    """A copy without that many living clusters, but one of each convolution.

    Weak are those whose norm is small beside the largest of their convolution.
    """
    weaker = copy.deepcopy(spec)
    convs = [conv for layer in weaker.layers for _, conv in layer.named_convs()]
    norms = [np.sqrt(sums(conv.weight.astype(np.float64) ** 2, width)) for conv in convs]
    shares = [np.where(n > 0, n / max(n.max(), 1e-30), np.inf) for n in norms]
    for share in shares:
        share[share == 1] = np.inf  # the strongest stays
    order = np.sort(np.concatenate([share.ravel() for share in shares]))
    last = order[min(count, len(order)) - 1] if count else -1.0
    for conv, share in zip(convs, shares):
        dies = (share <= last) & np.isfinite(share)
        conv.weight = conv.weight * ~members(dies, conv.weight.shape, width)
    return weaker


def genome_of(spec: NetSpec, width: int = 1) -> Genome:
    """A cluster lives if one of its weights is not zero, as the engine has it."""
    return {
        name: sums(conv.weight != 0, width) > 0
        for layer in spec.layers
        for name, conv in layer.named_convs()
    }
