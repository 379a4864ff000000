"""The environment that a net must live in: the bytes and the time that its clusters cost.

Times are measured once on the engine, when a run begins, and kept in its folder: latencies that
were measured again for every net would make each run's result another one.
"""

from __future__ import annotations

import contextlib
import copy
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from squishnative import _core
from squishnative.evolve.clusters import genome_of, members, sums
from squishnative.evolve.encoding import draw_clusters
from squishnative.net import load
from squishnative.spec import NetSpec
from squishnative.timing import seconds_of_an_image

# Two random nets of these densities tell what a cluster costs; both run the sparse kernels.
_PROBES = (0.1, 0.4)
_ITERATIONS = 30


@dataclass(frozen=True)
class Environment:
    """What nets of one shape cost on one machine.

    cluster_seconds: of one living cluster, by convolution. fixed_seconds: of a net without any that
    has as many filters as were measured, `filters` in all convolutions; 0: not known.
    machine: the CPU, instruction set and threads that were measured, or another device.
    """

    cluster_seconds: dict[str, float]
    fixed_seconds: float
    machine: str
    filters: int = 0

    def fixed_seconds_of(self, filters: int) -> float:
        """Of a net with fewer filters, empty ones left out.

        Half of it goes with the filters, as bias, ReLU and pools do: so forecasts of nets with 5 to
        29 % of their clusters, evolved on Imagenette and ImageNet-10, were within 5 % of what was
        measured. With 1.5 % the forecast was 30 % too long; with nothing left out, 44 %.
        """
        share = filters / self.filters if self.filters else 1.0
        return self.fixed_seconds * (1 + share) / 2

    def to_dict(self) -> dict[str, Any]:
        """For environment.json; `Environment(**values)` is the inverse."""
        return asdict(self)


def measure_environment(spec: NetSpec, threads: int, seed: int, device: str = "cpu") -> Environment:
    """Times random sparse nets of this shape, one image a call, layer by layer and whole.

    threads, device: as in `squishnative.load`. Raises DeviceError where there is no such device.
    """
    rng = np.random.default_rng(seed)
    thin, thick = (_probe(_random_net(spec, density, rng), threads, device) for density in _PROBES)
    steps = {n: _step(n, device) for layer in spec.layers for n, _ in layer.named_convs()}
    slope: dict[str, float] = {}
    for step in steps.values():
        clusters = thick.clusters[step] - thin.clusters[step]
        slope[step] = max(0.0, thick.seconds[step] - thin.seconds[step]) / max(1, clusters)
    living = sum(slope[step] * thin.clusters[step] for step in slope)
    return Environment(
        {name: slope[step] for name, step in steps.items()},
        max(0.0, thin.call_seconds - living),
        f"{_cpu()}, {thin.isa}, {threads} thread{'s' * (threads > 1)}"
        if device == "cpu"
        else device,
        sum(conv.out_channels for layer in spec.layers for _, conv in layer.named_convs()),
    )


def _cpu() -> str:
    """As Linux names it, or the architecture: Arm's kernels give numbers alone."""
    with contextlib.suppress(OSError):
        found = re.search(
            r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M
        )
        if found:
            return found[1].strip()
    return platform.machine()


class _Probe(NamedTuple):
    call_seconds: float  # from bytes to logits
    seconds: dict[str, float]  # of each of the engine's steps
    clusters: dict[str, int]  # that live in its convolutions
    isa: str


def _probe(spec: NetSpec, threads: int, device: str) -> _Probe:
    session = _core.Session(_core.Model.from_bytes(spec.to_bytes()), device, threads)
    shape = (1, spec.input.channels, spec.input.height, spec.input.width)
    batch = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    steps = session.profile(batch, _ITERATIONS)
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "net.squish"
        spec.save(file)
        with load(file, device, threads) as net:
            call_seconds = seconds_of_an_image(net)
    clusters: dict[str, int] = {}
    for name, alive in genome_of(spec).items():
        step = _step(name, device)
        clusters[step] = clusters.get(step, 0) + int(alive.sum())
    seconds: dict[str, float] = {}
    for ran in steps:
        step = _step(ran.layer.split("+")[0], device)  # without the pool in it
        seconds[step] = seconds.get(step, 0.0) + ran.seconds
    return _Probe(call_seconds, seconds, clusters, session.isa)


def _step(conv: str, device: str) -> str:
    """What is timed with a convolution: both expands of a Fire; on CUDA all of the Fire.

    There it may be one kernel or two, and that depends on its density.
    """
    if device != "cpu":
        return conv.partition("/")[0]
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
