"""What `Net.explain` and `Net.profile` print."""

from __future__ import annotations

from collections.abc import Sequence

from squishnative import _core
from squishnative.tables import format_table, percent, shape_text

_HEADER = ("layer", "kernel", "why", "output", "density", "clusters", "MMACs", "run")


def explain_table(steps: Sequence[_core.StepInfo]) -> str:
    """One line a step and a total.

    density: of weights; clusters: of 16x1 clusters; MMACs: millions of multiply-adds an image,
    first those of the dense mathematics, then those that run.
    """
    rows = [_cells(step) for step in steps]
    return format_table(_HEADER, [*rows, _total(steps)], left=3)


def profile_table(steps: Sequence[_core.StepInfo]) -> str:
    """The same with the time an image takes in each step, its share, and the speed of what runs."""
    total = sum(step.seconds for step in steps)
    rows = [[*_cells(step), *_time(step.macs_run, step.seconds, total)] for step in steps]
    rows.append([*_total(steps), *_time(sum(step.macs_run for step in steps), total, total)])
    return format_table([*_HEADER, "us", "share", "GMAC/s"], rows, left=3)


def _cells(step: _core.StepInfo) -> list[str]:
    return [
        step.layer,
        step.kernel,
        step.why,
        shape_text(step.output),
        percent(step.density),
        percent(step.cluster_density),
        _millions(step.macs),
        _millions(step.macs_run),
    ]


def _total(steps: Sequence[_core.StepInfo]) -> list[str]:
    macs = sum(step.macs for step in steps)
    macs_run = sum(step.macs_run for step in steps)
    return ["total", "", "", "", "", "", _millions(macs), _millions(macs_run)]


def _time(macs: int, seconds: float, total: float) -> list[str]:
    if seconds <= 0:  # below the clock's resolution
        return ["0.0", "0.0%", ""]
    return [f"{seconds * 1e6:.1f}", percent(seconds / total), f"{macs / seconds * 1e-9:.1f}"]


def _millions(macs: int) -> str:
    return f"{macs * 1e-6:.2f}"
