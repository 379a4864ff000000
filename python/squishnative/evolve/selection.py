"""Who has offspring: the Pareto front of accuracy, bytes and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """What selection looks at."""

    fitness: float
    seconds_predicted: float

    @property
    def shipped_bytes(self) -> int:
        """Of the file."""


C = TypeVar("C", bound=Candidate)


def dominates(a: Candidate, b: Candidate) -> bool:
    """Whether a is nowhere worse than b and somewhere better."""
    ours = (-a.fitness, a.shipped_bytes, a.seconds_predicted)
    theirs = (-b.fitness, b.shipped_bytes, b.seconds_predicted)
    return ours != theirs and all(mine <= other for mine, other in zip(ours, theirs))


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
