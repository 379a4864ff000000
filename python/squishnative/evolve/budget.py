"""How many clusters each convolution may keep, for a budget of bytes and time.

Densities follow Erdos-Renyi-Kernel (Evci et al. 2020), which leaves small layers dense, times what
the offspring's own genes say of each layer; the whole is scaled until the budget is just met.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Optional

from squishnative.evolve.clusters import HEIGHT, genome_of, without_weakest
from squishnative.evolve.environment import Environment
from squishnative.spec import ConvSpec, NetSpec
from squishnative.timing import format_seconds

BYTES = {"f32": 4, "f16": 2, "i8": 1, "i4": 0.5}  # of a weight

_ALIGNMENT = 16  # of a convolution's bytes in the file (cpp/format/layout.h)
_COMPRESSES_WORSE = 1.03
_ABOUT = 96  # characters, as many as runs write at most about a net

Genes = dict[str, float]  # of each convolution: the logarithm of what its density is multiplied by
Counts = dict[str, int]  # of each convolution: clusters that live


@dataclass(frozen=True)
class Budget:
    """What a net may cost, and what its clusters are. None: no limit.

    bytes: of the file with weights of `dtype`; a planner counts them before compression, see
    `before_compression`. width: input channels of a cluster.
    """

    bytes: Optional[float] = None
    seconds: Optional[float] = None
    dtype: str = "i8"
    width: int = 1


def before_compression(budget: Budget, like: NetSpec) -> Budget:
    """The same budget for a planner, where a net's weights compress as those of `like`.

    An offspring's compress a little worse than its parents', by 1 to 2 % from one generation to the
    next on Imagenette, and by up to 1 % when it is trained to the end.
    """
    if budget.bytes is None:
        return budget
    plain = len(like.to_bytes(budget.dtype, compress=False))
    left = len(like.to_bytes(budget.dtype)) / plain
    return replace(budget, bytes=budget.bytes / min(1.0, _COMPRESSES_WORSE * left))


def file_bytes(spec: NetSpec, dtype: str, encoding: str = "smallest", compress: bool = True) -> int:
    """Of the file that a run writes of this net, with what it says about it."""
    described = replace(spec, about=spec.about.ljust(_ABOUT))
    return len(described.to_bytes(dtype, encoding, compress))


def within(spec: NetSpec, budget: Budget) -> NetSpec:
    """The net without its weakest clusters, as few as the file has to lose to fit the budget.

    For what the forecast of compression was wrong by: clusters of small norm beside the largest of
    their convolution. Raises ValueError where no cluster can go any more.
    """
    most, living = budget.bytes, _living(spec)
    while most is not None and (size := file_bytes(spec, budget.dtype)) > most:
        cluster = HEIGHT * budget.width * BYTES[budget.dtype]
        spec = without_weakest(spec, math.ceil((size - most) / cluster), budget.width)
        before, living = living, _living(spec)
        if living == before:
            raise ValueError(_too_large(most, size))
    return spec


def _too_large(most: float, size: float) -> str:
    return f"budget of {most:,.0f} bytes: the emptiest net has {size:,.0f}"


def _living(spec: NetSpec) -> int:
    return sum(int(alive.sum()) for alive in genome_of(spec).values())


@dataclass(frozen=True)
class Shape:
    """A convolution as the budget sees it."""

    clusters: int
    pieces: int  # of all its weights, see Environment
    cluster_bytes: float  # of a whole one
    bytes: float  # of all
    share: float  # its density, up to a factor that all have in common

    def pieces_of(self, living: int) -> float:
        """That so many clusters live in, wherever they are.

        Those of the package's nets are 2 to 4 % more, in the order that filters are trained in; of
        expands, whose filters `quantise` then orders, some 10 % fewer. What was measured of an
        offspring's parents corrects its forecast.
        """
        if self.pieces >= self.clusters:
            return living * self.pieces / self.clusters
        dead = math.pow(1 - living / self.clusters, self.clusters / self.pieces)  # a whole piece
        return self.pieces * (1 - dead)


class Planner:
    """Turns genes into counts for nets of one shape."""

    def __init__(self, spec: NetSpec, environment: Environment, dtype: str, width: int = 1) -> None:
        self._environment = environment
        convs = [conv for layer in spec.layers for _, conv in layer.named_convs()]
        self._fixed_seconds = environment.fixed_seconds_of(sum(c.out_channels for c in convs))
        self._shapes: dict[str, Shape] = {}
        for layer in spec.layers:
            for name, conv in layer.named_convs():
                self._shapes[name] = _shape(conv, BYTES[dtype], width, environment.inputs)
        living = sum(shape.bytes // _ALIGNMENT * _ALIGNMENT for shape in self._shapes.values())
        self._fixed_bytes = file_bytes(spec, dtype, f"cluster16x{width}", compress=False) - living

    @property
    def names(self) -> list[str]:
        """Of the convolutions."""
        return list(self._shapes)

    @property
    def totals(self) -> Counts:
        """All clusters of each convolution."""
        return {name: shape.clusters for name, shape in self._shapes.items()}

    def bytes(self, counts: Counts) -> float:
        """Of the file before compression, as clusters: a few bytes a convolution too many."""
        total = self._fixed_bytes
        for name, count in counts.items():
            shape = self._shapes[name]
            size = min(count * shape.cluster_bytes, shape.bytes)
            total += math.ceil(size / _ALIGNMENT) * _ALIGNMENT
        return total

    def seconds(self, counts: Counts) -> float:
        """Predicted latency of one image."""
        costs = self._environment.piece_seconds
        return self._fixed_seconds + sum(
            costs[name] * self._shapes[name].pieces_of(count) for name, count in counts.items()
        )

    def counts(self, budget: Budget, genes: Genes) -> Counts:
        """As many clusters as fit the budget, at least one a convolution.

        Raises ValueError where not even that fits: what, got, wanted.
        """
        least = self._scaled(0.0, genes)
        size, seconds = self.bytes(least), self.seconds(least)
        if budget.bytes is not None and size > budget.bytes:
            raise ValueError(_too_large(budget.bytes, size))
        if budget.seconds is not None and seconds > budget.seconds:
            most, got = format_seconds(budget.seconds), format_seconds(seconds)
            raise ValueError(f"budget of {most} an image: the emptiest net needs {got}")
        low, high = 0.0, max(1 / self._share(name, genes) for name in self._shapes)
        if self._fits(self._scaled(high, genes), budget):
            return self._scaled(high, genes)
        for _ in range(50):
            middle = (low + high) / 2
            fits = self._fits(self._scaled(middle, genes), budget)
            low, high = (middle, high) if fits else (low, middle)
        return self._scaled(low, genes)

    def _fits(self, counts: Counts, budget: Budget) -> bool:
        small = budget.bytes is None or self.bytes(counts) <= budget.bytes
        fast = budget.seconds is None or self.seconds(counts) <= budget.seconds
        return small and fast

    def _share(self, name: str, genes: Genes) -> float:
        return self._shapes[name].share * math.exp(genes.get(name, 0.0))

    def _scaled(self, factor: float, genes: Genes) -> Counts:
        return {
            name: max(1, math.floor(min(1.0, factor * self._share(name, genes)) * shape.clusters))
            for name, shape in self._shapes.items()
        }


def _shape(conv: ConvSpec, weight_bytes: float, width: int, inputs_a_piece: int) -> Shape:
    outputs, inputs, rows, columns = conv.weight.shape
    positions = -(-outputs // HEIGHT) * rows * columns
    share = (outputs + inputs + rows + columns) / conv.weight.size
    return Shape(
        positions * -(-inputs // width),
        positions * -(-inputs // inputs_a_piece),
        # The last block's clusters are as high as there are channels left (cpp/format/layout.h).
        weight_bytes * min(HEIGHT, outputs) * min(width, inputs),
        weight_bytes * conv.weight.size,
        share,
    )
