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

from squishnative.report.summary import PAPER, Member, Summary

_COLOURS = ("#0b6e4f", "#c1666b", "#4281a4", "#d4a017", "#7d5ba6", "#555555")
# Text stays text; ids do not change from one writing to the next.
_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "squish", "font.size": 10}


def accuracy_over_bytes(summaries: Sequence[Summary]) -> str:
    """Accuracy over the shipped file's bytes, the paper's points with them."""
    figure, axes = _axes("file size", "val accuracy, %")
    _families(axes, summaries, lambda m: m.individual.shipped_bytes / 1e3)
    size, right = zip(*PAPER)
    axes.plot(
        [s / 1e3 for s in size],
        [100 * share for share in right],
        "k*",
        markersize=11,
        label="SquishedNets paper (its own data)",
    )
    axes.set_xscale("log")
    _readable_ticks(axes, (30, 50, 100, 200, 500, 1000, 2000), "kB")
    return _svg(figure, axes)


def accuracy_over_latency(summaries: Sequence[Summary]) -> str:
    """Accuracy over the measured time of one image."""
    figure, axes = _axes("latency of one image, ms", "val accuracy, %")
    _families(axes, summaries, lambda m: m.individual.seconds * 1e3)
    axes.set_xlim(left=0)
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
        axes.set_yticks(range(len(shown)), [_kilobytes(m) for m in shown])
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
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(labels)), labels, rotation=90)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlabel("the net says")
        axes.set_ylabel("it is")
        if len(labels) <= 20:
            for (row, column), count in np.ndenumerate(counts):
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=colour)
        return _svg(figure)


def family_tree(summary: Summary) -> str:
    """Who descends from whom, by generation and accuracy; mature nets in colour."""
    figure, axes = _axes("generation", "val accuracy, %")
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
        axes.annotate(
            _kilobytes(m),
            places[m.individual.name],
            textcoords="offset points",
            xytext=(7, 0) if m.individual.mature else (0, 7),
            va="center" if m.individual.mature else "bottom",
            ha="left" if m.individual.mature else "center",
            fontsize=8,
        )
    return _svg(figure)


def _families(axes: Axes, summaries: Sequence[Summary], x: Callable[[Member], float]) -> None:
    for colour, summary in zip(cycle(_COLOURS), summaries):
        style = "-o" if len(summary.shown) > 2 else "o"
        label = f"{summary.settings.strategy} ({summary.name})"
        accuracies = [100 * m.individual.val_accuracy for m in summary.shown]
        axes.plot([x(m) for m in summary.shown], accuracies, style, color=colour, label=label)


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes


def _readable_ticks(axes: Axes, values: Sequence[int], unit: str) -> None:
    low, high = axes.get_xlim()
    shown = [value for value in values if low <= value <= high]
    axes.set_xticks(shown, [f"{value} {unit}" for value in shown])
    axes.minorticks_off()


def _kilobytes(member: Member) -> str:
    return f"{member.individual.shipped_bytes / 1e3:.0f} kB"


def _svg(figure: Figure, axes: Optional[Axes] = None) -> str:
    if axes is not None and axes.get_legend_handles_labels()[0]:
        axes.legend()
    text = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
