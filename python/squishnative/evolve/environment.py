"""The environment that a net must live in: the time that its clusters cost.

Times are measured once on the engine, when a run begins, and kept in its folder: latencies that
were measured again for every net would make each run's result another one.
"""

from __future__ import annotations

import contextlib
import copy
import math
import platform
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from squishnative.evolve.clusters import QUAD, genome_of, members, sums
from squishnative.evolve.encoding import draw_clusters
from squishnative.net import Net, load
from squishnative.quantise import DTYPES, quantise
from squishnative.spec import NetSpec
from squishnative.timing import seconds_of_an_image

# Two random nets of these densities tell what a piece costs; both run the sparse kernels.
_PROBES = (0.1, 0.4)
_ITERATIONS = 30
_ROUNDS = 4
_STORAGES = ("f32", "f16", "i8")
_IMAGES = 2  # of noise, that the probes' activations are measured on


@dataclass(frozen=True)
class Engine:
    """How nets are shipped and run: device, threads, storage as in `squishnative.load`.

    dtype: of their weights.
    """

    device: str = "cpu"
    threads: int = 1
    storage: str = "auto"
    dtype: str = "i8"

    @property
    def integers(self) -> bool:
        """Whether nets are made for integer arithmetic."""
        return self.dtype in DTYPES and self.storage in ("auto", "i8")

    def arithmetics(self) -> list[Engine]:
        """Those that "auto" chooses from when a net is loaded, each asked for by its name."""
        if self.device != "cpu" or self.storage != "auto" or not self.integers:
            return [self]
        return [replace(self, storage=storage) for storage in ("i8", "f32")]

    def load(self, file: Path, integers: bool = True) -> Net:
        """integers: whether the file is made for them, where it can be.

        Raises DeviceError where there is no such device.
        """
        storage = "f32" if self.storage == "i8" and not integers else self.storage
        return load(file, self.device, self.threads, None, storage)


@dataclass(frozen=True)
class Environment:
    """What nets of one shape cost on one machine.

    A piece is what the engine multiplies or skips at once, a cluster of the width that its
    arithmetic has. piece_seconds: of a living one, by convolution. fixed_seconds: of a net without
    any that has as many filters as were measured, `filters` in all convolutions; 0: not known.
    machine: the CPU, instruction set and threads that were measured, or another device. storage:
    what the engine computed them in.
    Raises ValueError on what no measurement gives.
    """

    piece_seconds: dict[str, float]
    fixed_seconds: float
    machine: str
    storage: str
    filters: int = 0

    def __post_init__(self) -> None:
        """Files are edited and damaged."""
        times = [self.fixed_seconds, *self.piece_seconds.values()]
        if not all(0 <= seconds < math.inf for seconds in times):
            raise ValueError("wanted times of pieces and of the rest, from 0 on")
        if self.filters < 0:
            raise ValueError(f"got {self.filters} filters")
        if self.storage not in _STORAGES:
            raise ValueError(f"got storage {self.storage!r}, wanted one of {', '.join(_STORAGES)}")

    @property
    def inputs(self) -> int:
        """Input channels of a piece."""
        return QUAD if self.storage == "i8" else 1

    def fixed_seconds_of(self, filters: int) -> float:
        """Of a net with fewer filters, empty ones left out.

        Half of it goes with the filters, as bias, ReLU and pools do: so forecasts of nets with 5 to
        29 % of their clusters, evolved on Imagenette and ImageNet-10, were within 7 % of what was
        measured in integers, and mostly in floats. With 1.5 % the forecast was 22 % too long, in
        floats 30 %.
        """
        share = filters / self.filters if self.filters else 1.0
        return self.fixed_seconds * (1 + share) / 2

    def to_dict(self) -> dict[str, Any]:
        """For environment.json; `Environment(**values)` is the inverse."""
        return asdict(self)

    def unknown(self, spec: NetSpec) -> list[str]:
        """The net's convolutions that were not measured."""
        names = [name for layer in spec.layers for name, _ in layer.named_convs()]
        return [name for name in names if name not in self.piece_seconds]


def measure_environment(spec: NetSpec, seed: int, engine: Engine) -> Environment:
    """Times random sparse nets of this shape, one image a call, layer by layer and whole.

    Raises DeviceError where there is no such device.
    """
    rng = np.random.default_rng(seed)
    with contextlib.ExitStack() as opened:
        thin, thick = probes = [
            _Probe(_random_net(spec, d, engine, rng), engine, opened) for d in _PROBES
        ]
        for _ in range(_ROUNDS):  # in turn, so that a machine that slows down slows both
            for probe in probes:
                probe.measure()
    steps = {n: _step(n, engine.device) for layer in spec.layers for n, _ in layer.named_convs()}
    slope: dict[str, float] = {}
    for step in steps.values():
        pieces = thick.pieces[step] - thin.pieces[step]
        slope[step] = max(0.0, thick.seconds[step] - thin.seconds[step]) / max(1, pieces)
    living = sum(slope[step] * thin.pieces[step] for step in slope)
    return Environment(
        {name: slope[step] for name, step in steps.items()},
        max(0.0, thin.call_seconds - living),
        thin.machine,
        thin.storage,
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


class _Probe:
    """A net on the engine, and the least times that were measured of it.

    call_seconds: from bytes to logits. seconds: of each of the engine's steps. pieces: that live in
    its convolutions. machine, storage: as Environment says them.
    """

    def __init__(self, spec: NetSpec, engine: Engine, opened: contextlib.ExitStack) -> None:
        """spec: made for the engine's arithmetic. opened: closes the net."""
        self.call_seconds = math.inf
        self.seconds: dict[str, float] = {}
        self._device = engine.device
        with TemporaryDirectory() as scratch:
            file = Path(scratch) / "net.squish"
            spec.save(file, engine.dtype if engine.integers else "f32")
            self._net = opened.enter_context(engine.load(file))
        self.storage = self._net.storage
        self.pieces: dict[str, int] = {}
        for name, alive in genome_of(spec, QUAD if self.storage == "i8" else 1).items():
            step = _step(name, engine.device)
            self.pieces[step] = self.pieces.get(step, 0) + int(alive.sum())
        self.machine = engine.device
        if engine.device == "cpu":
            threads = f"{engine.threads} thread{'s' * (engine.threads > 1)}"
            self.machine = f"{_cpu()}, {self._net.isa}, {threads}"
        shape = spec.input.height, spec.input.width, spec.input.channels
        self._image = np.random.default_rng(0).integers(0, 256, (1, *shape), dtype=np.uint8)

    def measure(self) -> None:
        """Once more."""
        seconds: dict[str, float] = {}
        for ran in self._net.profiled_steps(self._image, _ITERATIONS):
            step = _step(ran.layer.split("+")[0], self._device)  # without the pool in it
            seconds[step] = seconds.get(step, 0.0) + ran.seconds
        for step, taken in seconds.items():
            self.seconds[step] = min(taken, self.seconds.get(step, math.inf))
        self.call_seconds = min(self.call_seconds, seconds_of_an_image(self._net, rounds=1))


def _step(conv: str, device: str) -> str:
    """What is timed with a convolution: both expands of a Fire; on CUDA all of the Fire.

    There it may be one kernel or two, and that depends on its density.
    """
    if device != "cpu":
        return conv.partition("/")[0]
    return re.sub(r"/expand[13]x[13]$", "/expand", conv)


def _random_net(spec: NetSpec, density: float, engine: Engine, rng: np.random.Generator) -> NetSpec:
    """The net's shape with random weights in a share of its pieces, at least in one.

    Weights keep the scale of their inputs: activations far beyond it would not fit integers.
    """
    random = copy.deepcopy(spec)
    width = QUAD if engine.integers else 1
    for layer in random.layers:
        for _, conv in layer.named_convs():
            shape = conv.weight.shape
            strength = rng.random(sums(conv.weight, width).shape)
            count = max(1, round(density * strength.size))
            alive = members(draw_clusters(strength, count, 0.0, rng), shape, width)
            scale = 1 / np.sqrt(max(1, alive.sum() / shape[0]))
            conv.weight = (rng.standard_normal(shape) * alive * scale).astype(np.float32)
    if not engine.integers:
        return random
    size = spec.input.height, spec.input.width, spec.input.channels
    noise = rng.integers(0, 256, (_IMAGES, *size), dtype=np.uint8)
    return quantise(random, noise, engine.dtype)
