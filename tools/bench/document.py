"""Measures everything that docs/benchmarks.md shows and writes it there.

    python tools/bench/document.py --squish-bench build/release/tools/bench/squish-bench

Makes the nets, compares the engines on them with batches of 1 and of 8, measures our own engine
with and without Winograd convolutions, and replaces the results in the document.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from compare import compare, load_average, machine
from make_nets import RECIPES, make_nets
from peers import PEERS

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- results: written by tools/bench/document.py -->", "<!-- end of results -->"
BATCHES = (1, 8)


def results(squish_bench: Path, cpu: str, seconds: float) -> str:
    """The Markdown between the marks."""
    load = load_average()
    with tempfile.TemporaryDirectory() as folder:
        nets = make_nets(Path(folder))
        tables = [compare(nets, batch, 1, seconds, list(PEERS)).markdown() for batch in BATCHES]
        planned = _measure(squish_bench, nets, Path(folder), [])
        direct = _measure(squish_bench, nets, Path(folder), ["--direct"])
    date = datetime.now(timezone.utc).date()
    busy = "" if load is None else f", load average {load:.1f} before"
    return "\n".join(
        [
            f"{cpu}, 1 thread, {date}{busy}.",
            "",
            *(f"- `{name}`: {recipe.what}" for name, recipe in RECIPES.items()),
            "",
            "### Against other engines",
            "",
            "Milliseconds an image, least / median; in brackets the least as a multiple of ours.",
            "",
            "\n\n".join(tables),
            "",
            "### This engine",
            "",
            f"The core's peak: {planned['core_flops'] / 1e9:.0f} GFLOP/s with {planned['isa']}.",
            "",
            _table(planned["nets"], direct["nets"]),
        ]
    )


def _measure(
    squish_bench: Path, nets: Sequence[Path], folder: Path, options: Sequence[str]
) -> dict[str, Any]:
    report = folder / "report.json"
    command = [str(squish_bench), *map(str, nets), "--iters=400", f"--json={report}", *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    measured: dict[str, Any] = json.loads(report.read_text())
    return measured


def _table(planned: Sequence[dict[str, Any]], direct: Sequence[dict[str, Any]]) -> str:
    header = [
        "net",
        "weights",
        "clusters",
        "file kB",
        "MMACs",
        "run",
        "least ms",
        "median",
        "of peak",
        "speed",
        "least ms without Winograd",
        "of peak",
        "speed",
    ]
    rows = [header, ["---"] + ["---:"] * (len(header) - 1)]
    for net, plain in zip(planned, direct):
        rows.append(
            [
                Path(net["path"]).stem,
                f"{net['density']:.0%}",
                f"{net['cluster_density']:.0%}",
                f"{net['file_bytes'] / 1e3:.0f}",
                f"{net['macs'] / 1e6:.1f}",
                f"{net['macs_run'] / 1e6:.1f}",
                f"{1e3 * net['seconds']['min']:.2f}",
                f"{1e3 * net['seconds']['median']:.2f}",
                f"{net['fraction_of_peak']:.0%}",
                f"{net['speed_to_first']:.2f}x",
                f"{1e3 * plain['seconds']['min']:.2f}",
                f"{plain['fraction_of_peak']:.0%}",
                f"{plain['speed_to_first']:.2f}x",
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def replace_results(document: str, text: str) -> str:
    """The document with `text` between its marks. Raises ValueError where it has none."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"wanted the lines {BEGIN!r} and {END!r}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--squish-bench", type=Path, required=True, metavar="BINARY")
    parser.add_argument("--cpu", default=machine(), help="how to call the CPU [its own name]")
    parser.add_argument(
        "--seconds", type=float, default=3, help="time for each engine with each net [3]"
    )
    parser.add_argument("--document", type=Path, default=DOCUMENT, metavar="FILE")
    options = parser.parse_args()
    try:
        text = options.document.read_text()
        replace_results(text, "")  # a document without marks should fail before the measurement
        measured = results(options.squish_bench, options.cpu, options.seconds)
        options.document.write_text(replace_results(text, measured))
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"document.py: {error}")


if __name__ == "__main__":
    main()
