"""Who has offspring and who is shipped: the Pareto front of accuracy, bytes and time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol, TypeVar

import numpy as np


class Candidate(Protocol):
    """What selection looks at."""

    generation: int
    fitness: float
    seconds_predicted: float

    @property
    def shipped_bytes(self) -> int:
        """Of the file."""


C = TypeVar("C", bound=Candidate)


def beats(ours: tuple[float, ...], theirs: tuple[float, ...]) -> bool:
    """Whether costs are nowhere higher than others and somewhere lower."""
    return ours != theirs and all(mine <= other for mine, other in zip(ours, theirs))


def dominates(a: Candidate, b: Candidate) -> bool:
    """Whether a is nowhere worse than b and somewhere better."""
    return beats(
        (-a.fitness, a.shipped_bytes, a.seconds_predicted),
        (-b.fitness, b.shipped_bytes, b.seconds_predicted),
    )


def front(candidates: Sequence[C]) -> list[C]:
    """Those that no other dominates, in their order."""
    return [c for c in candidates if not any(dominates(o, c) for o in candidates)]


def fittest(candidates: Sequence[C]) -> list[C]:
    """All of them: front after front, each by accuracy."""
    ranked: list[C] = []
    left = list(candidates)
    while left:
        best = front(left)
        ranked += sorted(best, key=lambda c: -c.fitness)
        left = [c for c in left if not any(c is b for b in best)]
    return ranked


def fittest_of_each(candidates: Sequence[C]) -> list[C]:
    """One of each generation; candidates: whole generations in their order."""
    generations = groupby(candidates, key=lambda c: c.generation)
    return [max(members, key=lambda c: c.fitness) for _, members in generations]


def spread(candidates: Sequence[C], count: int) -> list[C]:
    """At most `count` nets of different sizes, largest first: the fittest of their generations.

    candidates: whole generations in their order. The smallest and the largest are among them, the
    others as near to a geometric series of sizes between those as there are.
    """
    best = fittest_of_each(candidates)
    left = sorted(best, key=lambda c: c.shipped_bytes)  # how good they get, maturity shows
    chosen: list[C] = []
    for size in np.geomspace(left[0].shipped_bytes, left[-1].shipped_bytes, count):
        if not left:
            break
        nearest = min(left, key=lambda c: abs(float(np.log(c.shipped_bytes / size))))
        left.remove(nearest)
        chosen.append(nearest)
    return sorted(chosen, key=lambda c: -c.shipped_bytes)
