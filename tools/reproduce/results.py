"""Writes what the runs of make.py came to into docs/reproduction.md.

python tools/reproduce/results.py RUNS --cpu 'an AMD EPYC'
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from experiments import EXPERIMENTS, SEEDS, STRATEGIES
from squishnative import load
from squishnative.report.summary import PAPER, Member, Summary, summarise
from squishnative.timing import time_interleaved

DOCUMENT = Path(__file__).parents[2] / "docs" / "reproduction.md"
BEGIN, END = "<!-- results: replaced by tools/reproduce/results.py -->", "<!-- end of results -->"
ORIGINAL_BYTES = 4.8e6  # SqueezeNet v1.1 with 1000 classes, as the paper counts
SECONDS, TURN = 1.0, 8  # of calls, for each net; calls in a row
ALEXNET_BYTES = 240e6  # as the paper's 253x and 0.95 MB say
TITLES = {
    "imagenette": "Imagenette, from ImageNet weights (which have seen these images)",
    "imagenette-16x4": "Imagenette, from ImageNet weights, clusters of 16x4",
    "imagenette-scratch": "Imagenette, from scratch",
    "imagenet10-64": "ImageNet-10 at 64 pixels, from ImageNet weights (which have seen them)",
    "cifar10": "CIFAR-10, from ImageNet weights",
}
RIVALS = {
    **{strategy: strategy for strategy in STRATEGIES},
    "evolve-population4": "evolve, four offspring a generation",
    "gradual-population4": "gradual, as long",
}


def results(runs: Path, cpu: str) -> str:
    """The Markdown between the marks, of those runs that are there."""
    families = {
        name: timed(runs / name) for name in TITLES if any((runs / name).glob("family/*.json"))
    }
    parts = [
        f"Latency: one image, one thread of {cpu}, float32 arithmetic; the median of calls, all "
        "nets of a family in turn."
    ]
    parts += [_against_the_paper(families)]
    for name, summary in families.items():
        (dense,) = (e.ancestor for e in EXPERIMENTS if e.name == name and e.ancestor)
        setting = _setting(summary, runs / dense)
        parts += [f"### {TITLES[name]}", setting, _family(summary), _factors(summary)]
    rivals = {
        title: [runs / f"imagenet10-64-{name}-{seed}" for seed in SEEDS]
        for name, title in RIVALS.items()
    }
    rivals = {
        title: folders
        for title, folders in rivals.items()
        if all(any(run.glob("family/*.json")) for run in folders)
    }
    if len(rivals) > 1:
        parts += ["### Against other ways to the same budget", _rivals(rivals)]
    return "\n\n".join(parts)


def timed(run: Path) -> Summary:
    """The run with latencies that compare, whatever the machine did while it was evolved."""
    summary = summarise(run)
    nets = {
        m.individual.name: load(run / f"{m.individual.name}.squish", storage="f32")
        for m in summary.shown
    }
    images = {
        name: np.zeros((1, *net.input_shape[1:], net.input_shape[0]), np.uint8)
        for name, net in nets.items()
    }
    calls = {name: partial(net.infer, images[name]) for name, net in nets.items()}
    timings = time_interleaved(calls, SECONDS, turn=TURN)
    for m in summary.shown:
        m.individual.seconds = timings[m.individual.name].median
    return summary


def _against_the_paper(families: dict[str, Summary]) -> str:
    (large, best), (small, least) = PAPER
    columns = {name: s for name, s in families.items() if name.startswith("imagenette")}
    rows = [["", "paper", *(TITLES[name] for name in columns)]]

    def row(title: str, paper: str, *ours: str) -> None:
        rows.append([title, paper, *ours])

    ends = [
        (s.ancestor.individual, _largest(s).individual, s.shown[-1].individual)
        for s in columns.values()
    ]
    row("images", "ImageNet-10, not published", *("Imagenette, 10 classes" for _ in ends))
    row(
        "dense net with 10 classes",
        "not given",
        *(f"{100 * dense.val_accuracy:.1f} %" for dense, _, _ in ends),
    )
    row(
        "largest of the family",
        f"{large / 1e6:.2f} MB, {100 * best:.1f} %",
        *(f"{i.shipped_bytes / 1e6:.3f} MB, {100 * i.val_accuracy:.1f} %" for _, i, _ in ends),
    )
    row(
        "smallest",
        f"{small / 1e6:.2f} MB, {100 * least:.1f} %",
        *(f"{i.shipped_bytes / 1e6:.3f} MB, {100 * i.val_accuracy:.1f} %" for _, _, i in ends),
    )
    row(
        "points between them",
        f"{100 * (best - least):.1f}",
        *(f"{100 * (a.val_accuracy - b.val_accuracy):.1f}" for _, a, b in ends),
    )
    row(
        "smaller than SqueezeNet v1.1",
        "5.17x",
        *(f"{ORIGINAL_BYTES / i.shipped_bytes:.0f}x" for _, _, i in ends),
    )
    row(
        "smaller than AlexNet",
        "253x",
        *(f"{ALEXNET_BYTES / i.shipped_bytes:,.0f}x" for _, _, i in ends),
    )
    row(
        "images/s, largest to smallest",
        "156 to 256 (Jetson TX1)",
        *(f"{1 / a.seconds:,.0f} to {1 / b.seconds:,.0f} (this CPU)" for _, a, b in ends),
    )
    row(
        "faster, smallest than largest",
        "1.64x",
        *(f"{a.seconds / b.seconds:.2f}x" for _, a, b in ends),
    )
    return markdown(rows)


def _largest(summary: Summary) -> Member:
    """Of the family: like the paper's, a net that has lost something."""
    return next(m for m in summary.shown if m.individual.generation > 0)


def _setting(summary: Summary, dense: Path) -> str:
    height, width = summary.input_size
    hours = sum(m.individual.training_seconds for m in summary.members) / 3600
    epochs = sum(m.individual.epochs for m in summary.members)
    return (
        f"{height}x{width} pixels, seed {summary.settings.seed}, {epochs} epochs in {hours:.1f} "
        f"hours of one core; the dense net's own training: {_training(dense)}."
    )


def _training(dense: Path) -> str:
    """Of a run of `squish train`."""
    with (dense / "log.csv").open(encoding="utf-8") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    return f"{len(seconds)} epochs in {sum(seconds) / 3600:.1f} hours"


def _family(summary: Summary) -> str:
    dense = summary.ancestor.individual
    rows = [["net", "bytes", "of 4.8 MB", "val", "to dense", "ms", "images/s", "MACs", "clusters"]]
    for m in summary.shown:
        i = m.individual
        rows.append(
            [
                _title(m),
                f"{i.shipped_bytes:,}",
                f"1/{ORIGINAL_BYTES / i.shipped_bytes:.1f}",
                f"{100 * i.val_accuracy:.2f} %",
                f"{100 * (i.val_accuracy - dense.val_accuracy):+.2f}",
                f"{1e3 * i.seconds:.3f}",
                f"{1 / i.seconds:,.0f}",
                f"{m.macs / 1e6:.1f} M",
                f"{100 * i.density:.1f} %",
            ]
        )
    return markdown(rows)


def _factors(summary: Summary) -> str:
    rows = [["net", "head", "evolution", "encoding", "precision", "together"]]
    for m in summary.shown:
        f = m.factors
        parts = (f.head, f.evolution, f.encoding, f.precision)
        rows.append([_title(m), *(f"{part:.2f}x" for part in parts), f"{f.total:.1f}x"])
    return markdown(rows)


def _rivals(folders: dict[str, list[Path]]) -> str:
    rows = [
        ["strategy", "epochs", "minutes", "val of each seed", "mean", "deviation", "bytes", "ms"]
    ]
    for strategy, runs in folders.items():
        summaries = [timed(run) for run in runs]
        smallest = [summary.shown[-1].individual for summary in summaries]
        members = [[m.individual for m in summary.members] for summary in summaries]
        minutes = mean(sum(i.training_seconds for i in one) for one in members) / 60
        shares = [100 * i.val_accuracy for i in smallest]
        rows.append(
            [
                strategy,
                f"{sum(i.epochs for i in members[0])}",
                f"{minutes:.0f}",
                ", ".join(f"{share:.1f}" for share in shares),
                f"{mean(shares):.2f} %",
                f"{stdev(shares):.2f}",
                f"{mean(i.shipped_bytes for i in smallest):,.0f}",
                f"{1e3 * mean(i.seconds for i in smallest):.3f}",
            ]
        )
    return markdown(rows)


def _title(member: Member) -> str:
    i = member.individual
    return f"dense, {i.dtype}" if not i.mature else f"generation {i.generation}, {i.dtype}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row is its head."""
    head, *body = rows
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def replace_results(document: Path, begin: str, text: str) -> None:
    """Writes text between the lines `begin` and END. Raises ValueError where they are missing."""
    before, first, rest = document.read_text(encoding="utf-8").partition(begin)
    _, last, after = rest.partition(END)
    if not first or not last:
        raise ValueError(f"{document}: wanted the lines {begin!r} and {END!r}")
    document.write_text(f"{before}{first}\n\n{text}\n\n{last}{after}", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, metavar="RUNS")
    parser.add_argument("--cpu", required=True, help="how to call the CPU that was timed")
    parser.add_argument("--document", type=Path, default=DOCUMENT, metavar="FILE")
    options = parser.parse_args()
    replace_results(options.document, BEGIN, results(options.runs, options.cpu))


if __name__ == "__main__":
    main()
