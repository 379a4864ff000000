"""The pictures of a report, as SVG text."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any, Optional

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator

from squishnative.report.summary import PAPER, PAPER_SPEEDS, Member, Summary

_COLOURS = ("#0b6e4f", "#c1666b", "#4281a4", "#d4a017", "#7d5ba6", "#555555")
# Text stays text; ids do not change from one writing to the next. Every text repeats the list of
# fonts: one name of them halves the page.
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "squish",
    "font.size": 10,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
}


def accuracy_over_bytes(summaries: Sequence[Summary]) -> str:
    """Accuracy over the shipped file's bytes, the paper's points with them."""
    figure, axes = _axes("file size", "val accuracy, %")
    _families(axes, summaries, lambda m: m.individual.shipped_bytes)
    _paper(axes, [size for size, _ in PAPER], "SquishedNets paper (its own data)")
    _logarithmic(axes, "B")
    return _svg(figure, axes)


def accuracy_over_latency(summaries: Sequence[Summary]) -> str:
    """Accuracy over the measured time of one image, the paper's points with them."""
    figure, axes = _axes("latency of one image", "val accuracy, %")
    _families(axes, summaries, lambda m: m.individual.seconds)
    _paper(axes, [1 / speed for speed in PAPER_SPEEDS], "SquishedNets paper, Jetson TX1 GPU")
    _logarithmic(axes, "s")
    return _svg(figure, axes)


def density_map(summary: Summary) -> str:
    """The share of clusters that live, by convolution and net of the family."""
    shown = summary.shown
    names = list(shown[0].individual.densities)
    table = np.array([[100 * m.individual.densities[name] for name in names] for m in shown])
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(11, 1.6 + 0.32 * len(shown)), layout="constrained")
        axes = figure.subplots()
        axes.imshow(table, cmap="YlGn", vmin=0, vmax=100, aspect="auto")
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(shown)), [_kilobytes(m.individual.shipped_bytes) for m in shown])
        for (row, column), value in np.ndenumerate(table):
            colour = "white" if value > 60 else "black"
            text = f"{value:.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
        return _svg(figure)


def confusion(member: Member, labels: Sequence[str]) -> str:
    """True classes down, what the net says across; images."""
    counts = np.array(member.individual.confusion)
    side = min(9.0, 2.5 + 0.45 * len(labels))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(side + 1, side), layout="constrained")
        axes = figure.subplots()
        shares = counts / counts.sum(1, keepdims=True).clip(1)
        # No clip path: ids of hidden pictures are the same as those of the one that is open.
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, clip_on=False)
        axes.set_xticks(range(len(labels)), labels, rotation=90)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlabel("the net says")
        axes.set_ylabel("it is")
        if len(labels) <= 20:
            for row, column in np.argwhere(counts):
                colour = "white" if shares[row, column] > 0.5 else "black"
                text = str(counts[row, column])
                axes.text(column, row, text, ha="center", va="center", color=colour)
        return _svg(figure)


def family_tree(summary: Summary) -> str:
    """Who descends from whom, by generation and accuracy; mature nets in colour.

    Sizes are of files of the run's dtype, whatever the individual's own is.
    """
    last = max(m.individual.generation for m in summary.members)
    figure, axes = _axes("generation", "val accuracy, %", width=max(7.0, 0.7 * last))
    places = {
        m.individual.name: (m.individual.generation, 100 * m.individual.val_accuracy)
        for m in summary.members
    }
    for m in summary.members:
        for parent in m.individual.parents:
            (x0, y0), (x1, y1) = places[parent], places[m.individual.name]
            axes.plot([x0, x1], [y0, y1], color="#bbbbbb", zorder=1)
    for m in summary.members:
        colour = _COLOURS[0] if m.individual.mature else "#bbbbbb"
        axes.scatter(*places[m.individual.name], color=colour, zorder=2)
    axes.set_xlim(-0.3, last + 0.9)  # labels stand at the right
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(y=0.1)
    bottom, top = axes.get_ylim()
    line = 0.04 * (top - bottom)
    free: dict[float, float] = {}  # by generation, above the labels that stand already
    for m in sorted(summary.members, key=lambda m: m.individual.val_accuracy):
        x, y = places[m.individual.name]
        place = max(y, free.get(x, bottom))
        free[x] = place + line
        axes.annotate(
            _kilobytes(m.individual.bytes[summary.settings.dtype]),
            (x, place),
            textcoords="offset points",
            xytext=(5, 3),
            fontsize=8,
            color=_COLOURS[0] if m.individual.mature else "#666666",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
        )
    return _svg(figure)


def _families(axes: Axes, summaries: Sequence[Summary], x: Callable[[Member], float]) -> None:
    for colour, summary in zip(cycle(_COLOURS), summaries):
        style = "-o" if len(summary.shown) > 2 else "o"
        label = f"{summary.settings.strategy} ({summary.name})"
        accuracies = [100 * m.individual.val_accuracy for m in summary.shown]
        axes.plot([x(m) for m in summary.shown], accuracies, style, color=colour, label=label)


def _paper(axes: Axes, x: Sequence[float], label: str) -> None:
    axes.plot(x, [100 * right for _, right in PAPER], "k*", markersize=11, label=label)


def _axes(x: str, y: str, width: float = 7.0) -> tuple[Figure, Axes]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, 4.2), layout="constrained")
        axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes


def _logarithmic(axes: Axes, unit: str) -> None:
    """Labels at 1, 2, 5, 10, ...: those of the decades alone leave most of a family without any."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter(unit))
    axes.minorticks_off()


def _kilobytes(size: int) -> str:
    return f"{size / 1e3:.0f} kB"


def _svg(figure: Figure, axes: Optional[Axes] = None) -> str:
    if axes is not None and axes.get_legend_handles_labels()[0]:
        # Above the axes: within them it hides points of a comparison.
        place = (0.0, 1.0)
        axes.legend(loc="lower left", bbox_to_anchor=place, ncol=2, fontsize=9, frameon=False)
    text = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
