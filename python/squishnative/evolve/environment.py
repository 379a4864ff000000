"""The environment that a net must live in: the bytes and the time that its clusters cost.

Times are measured once on the engine, when a run begins, and kept in its folder: latencies that
were measured again for every net would make each run's result another one.
"""

from __future__ import annotations

import copy
import re
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from squishnative import _core
from squishnative.evolve.clusters import Genome, genome_of, members, sums
from squishnative.evolve.encoding import draw_clusters
from squishnative.spec import NetSpec

# Two random nets of these densities tell what a cluster costs; both run the sparse kernels.
_PROBES = (0.1, 0.4)
_ITERATIONS = 30


@dataclass(frozen=True)
class Environment:
    """What nets of one shape cost on one machine.

    cluster_seconds: of one living cluster, by convolution. fixed_seconds: of a net without any.
    machine: the instruction set and threads that were measured.
    """

    cluster_seconds: dict[str, float]
    fixed_seconds: float
    machine: str

    def seconds(self, genome: Genome) -> float:
        """Predicted latency of one image."""
        return self.fixed_seconds + sum(
            self.cluster_seconds[name] * int(alive.sum()) for name, alive in genome.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """For environment.json; `Environment(**values)` is the inverse."""
        return asdict(self)


def measure_environment(spec: NetSpec, threads: int, seed: int) -> Environment:
    """Times the layers of random sparse nets of this shape, batch 1."""
    rng = np.random.default_rng(seed)
    thin, thick = (_probe(_random_net(spec, density, rng), threads) for density in _PROBES)
    steps = {name: _step(name) for layer in spec.layers for name, _ in layer.named_convs()}
    slope: dict[str, float] = {}
    for step in steps.values():
        clusters = thick.clusters[step] - thin.clusters[step]
        slope[step] = max(0.0, thick.seconds[step] - thin.seconds[step]) / max(1, clusters)
    living = sum(slope[step] * thin.clusters[step] for step in slope)
    return Environment(
        {name: slope[step] for name, step in steps.items()},
        max(0.0, sum(thin.seconds.values()) - living),
        f"{thin.isa}, {threads} thread{'s' * (threads > 1)}",
    )


class _Probe(NamedTuple):
    seconds: dict[str, float]  # of each of the engine's steps
    clusters: dict[str, int]  # that live in its convolutions
    isa: str


def _probe(spec: NetSpec, threads: int) -> _Probe:
    session = _core.Session(_core.Model.from_bytes(spec.to_bytes()), "cpu", threads)
    shape = (1, spec.input.channels, spec.input.height, spec.input.width)
    batch = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    steps = session.profile(batch, _ITERATIONS)
    clusters: dict[str, int] = {}
    for name, alive in genome_of(spec).items():
        clusters[_step(name)] = clusters.get(_step(name), 0) + int(alive.sum())
    seconds = {step.layer.split("+")[0]: step.seconds for step in steps}
    return _Probe(seconds, clusters, session.isa)


def _step(conv: str) -> str:
    """The engine's step that runs a convolution: both expands of a Fire are one."""
    return re.sub(r"/expand[13]x[13]$", "/expand", conv)


def _random_net(spec: NetSpec, density: float, rng: np.random.Generator) -> NetSpec:
    """The net's shape with random weights in a share of its clusters, at least in one."""
    random = copy.deepcopy(spec)
    for layer in random.layers:
        for _, conv in layer.named_convs():
            strength = rng.random(sums(conv.weight).shape)
            count = max(1, round(density * strength.size))
            alive = members(draw_clusters(strength, count, 0.0, rng), conv.out_channels)
            conv.weight = (rng.standard_normal(conv.weight.shape) * alive).astype(np.float32)
    return random
