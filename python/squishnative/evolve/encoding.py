"""The genetic encoding: how probable it is that a synapse, or a cluster of them, is inherited.

`synapse_probabilities`, `cluster_probabilities` and `draw_synapses` are the published one (Shafiee
et al., arXiv 1606.04393, 1609.01360; SquishedNets, 1711.07459):

    P(s_i = 1) = exp(|w_i| / z - 1)                       z: the largest |w|
    P(s_c = 1) = exp(sum of trunc(|w_i|), i in c, / Z - 1)    Z: the largest such sum
    an offspring's synapse lives with F_c P(s_c) * F_s P(s_i)

trunc sets what is below a threshold to zero; it does not round to integers. `draw_clusters` is the
modern one, for clusters that the engine skips and for an exact number of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from squishnative.evolve.clusters import Alive
from squishnative.spec import FloatArray

Probabilities = npt.NDArray[np.float64]

GROUPS = {"filter": (1, 2, 3), "kernel": (2, 3)}  # the axes of (O, I, H, W) that a cluster spans


def synapse_probabilities(weight: FloatArray) -> Probabilities:
    """exp(|w| / z - 1) for every weight; 1/e throughout where all are zero."""
    return np.exp(_relative(np.abs(weight.astype(np.float64))) - 1)


def cluster_probabilities(
    weight: FloatArray, cluster: str, truncate_below: float = 0.0
) -> Probabilities:
    """exp(sum / Z - 1) of each cluster, in a shape that broadcasts to the weight's.

    weight: (O, I, H, W). cluster: "filter" or "kernel". truncate_below: magnitudes below it count
    as zero. Raises ValueError on another cluster.
    """
    if cluster not in GROUPS:
        raise ValueError(f"cluster: got {cluster!r}, wanted one of {', '.join(GROUPS)}")
    magnitude = np.abs(weight.astype(np.float64))
    truncated = np.where(magnitude < truncate_below, 0.0, magnitude)
    return np.exp(_relative(truncated.sum(GROUPS[cluster], keepdims=True)) - 1)


def draw_synapses(
    weight: FloatArray,
    cluster_factor: float,
    synapse_factor: float,
    rng: np.random.Generator,
    cluster: str = "filter",
    truncate_below: float = 0.0,
) -> npt.NDArray[np.bool_]:
    """The published encoding: which synapses of an only parent the offspring inherits.

    weight: (O, I, H, W). A synapse that is zero in the parent is not there to be inherited.
    cluster_factor, synapse_factor: the environment's F_c and F_s, 0 to 1.
    Raises ValueError where a factor is not.
    """
    for name, factor in (("cluster_factor", cluster_factor), ("synapse_factor", synapse_factor)):
        if not 0 <= factor <= 1:
            raise ValueError(f"{name}: got {factor}, must be 0 to 1")
    clusters = cluster_factor * cluster_probabilities(weight, cluster, truncate_below)
    synapses = synapse_factor * synapse_probabilities(weight)
    survives = rng.random(clusters.shape) < clusters
    inherited: npt.NDArray[np.bool_] = survives & (rng.random(weight.shape) < synapses)
    inherited &= weight != 0
    return inherited


def draw_clusters(
    strength: npt.NDArray[np.float64], count: int, temperature: float, rng: np.random.Generator
) -> Alive:
    """Exactly `count` clusters, drawn without replacement with probability exp(strength / (z T)).

    The same exponential of relative strength; but z is the strength at the margin of what can
    live, not the largest, and the temperature T says how far chance reaches across that margin: in
    the published encoding, the weakest of all is only e times less probable than the strongest. T
    = 0 takes the strongest. strength: any shape, at least 0.
    """
    flat = strength.ravel()
    alive = np.zeros(flat.size, bool)
    if count >= flat.size:
        return ~alive.reshape(strength.shape)
    margin = np.partition(flat, flat.size - count - 1)[flat.size - count - 1] if count else 0.0
    scale = temperature * margin
    # Of keys "log probability + Gumbel noise" the largest are a draw without replacement.
    keys = flat + scale * rng.gumbel(size=flat.size) if scale > 0 else flat
    alive[np.argsort(-keys, kind="stable")[:count]] = True
    return alive.reshape(strength.shape)


def _relative(values: Probabilities) -> Probabilities:
    """To the largest of the array; zeros stay zeros."""
    largest = values.max(initial=0.0)
    return values / largest if largest > 0 else values
