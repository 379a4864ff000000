"""Timing of rivals side by side, and of one net."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from squishnative.net import Net


class Timing(NamedTuple):
    """Seconds a call, over `calls` calls."""

    minimum: float
    median: float
    p90: float
    calls: int


def time_interleaved(
    rivals: Mapping[str, Callable[[], object]], seconds: float, warmup: int = 3, turn: int = 1
) -> dict[str, Timing]:
    """Calls the rivals in turn until `seconds` are spent on each on average, at least 5 rounds.

    In turn, because a machine that slows down, by heat or by neighbours, must slow all of them.
    turn: calls that a rival makes in a row. Of more than one the first is not timed: it finds the
    caches full of the others' data.
    """
    for _ in range(warmup):
        for call in rivals.values():
            call()
    samples: dict[str, list[float]] = {name: [] for name in rivals}
    end = time.perf_counter() + seconds * len(rivals)
    while time.perf_counter() < end or any(len(taken) < 5 for taken in samples.values()):
        for name, call in rivals.items():
            for k in range(turn):
                begin = time.perf_counter()
                call()
                if k > 0 or turn == 1:
                    samples[name].append(time.perf_counter() - begin)
    return {name: _summary(taken) for name, taken in samples.items()}


def seconds_of_an_image(net: Net, rounds: int = 4) -> float:
    """Latency of one image of bytes: the median of calls, in the fastest round.

    Neighbours on a machine slow whole rounds, and nothing makes one faster.
    """
    channels, height, width = net.input_shape
    image = np.zeros((1, height, width, channels), np.uint8)
    calls = {"net": lambda: net.infer(image)}
    return min(time_interleaved(calls, seconds=0.1)["net"].median for _ in range(rounds))


def _summary(samples: list[float]) -> Timing:
    p90 = statistics.quantiles(samples, n=10, method="inclusive")[-1]
    return Timing(min(samples), statistics.median(samples), p90, len(samples))


def format_seconds(seconds: float) -> str:
    """`13.2 us`, `4.56 ms` or `1.23 s`."""
    for scale, unit in ((1e-3, "us"), (1.0, "ms")):
        if seconds < scale:
            return f"{seconds / scale * 1e3:.3g} {unit}"
    return f"{seconds:.3g} s"
