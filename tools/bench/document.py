"""Measures everything that docs/benchmarks.md shows and writes it there.

    python tools/bench/document.py --squish-bench build/release/tools/bench/squish-bench

Makes the nets, compares the engines on them with batches of 1 and of 8 and on the package's nets,
measures our own engine with and without Winograd convolutions, and replaces the results in the
document.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, Optional

from compare import Comparison, compare, load_average, machine
from make_nets import RECIPES, make_net, make_nets
from peers import PEERS
from squishnative.nets import names, path_of
from squishnative.spec import InputSpec

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- results: replaced by tools/bench/document.py -->", "<!-- end of results -->"
BATCHES = (1, 8)
ITERATIONS = 400
COMPARED = ("dense", "clusters33", "clusters15", "clusters15x4", "filters60")
DIRECT = ("dense", "clusters15", "clusters15all")
SIZE = 160  # pixels of a side, of the package's nets
DENSE = f"dense{SIZE}"  # what they would be without evolution
TITLES = {name: recipe.title for name, recipe in RECIPES.items()} | {DENSE: "dense"}

Net = dict[str, Any]  # as squish-bench's JSON has it


@dataclass(frozen=True)
class Measured:
    """Everything that the document shows. The reports are squish-bench's."""

    day: date
    load: Optional[float]  # before
    comparisons: list[Comparison]
    shipped: Comparison  # on the package's nets
    planned: dict[str, Any]  # of all nets, with the time of each step
    direct: dict[str, Any]  # without Winograd


def measure(squish_bench: Path, seconds: float, engines: Sequence[str]) -> Measured:
    """Takes about ten minutes."""
    load = load_average()
    with tempfile.TemporaryDirectory() as folder:
        files = {file.stem: file for file in make_nets(Path(folder))}
        compared = [files[name] for name in COMPARED]
        direct = [files[name] for name in DIRECT]
        dense = make_net("dense")
        dense.input = InputSpec(height=SIZE, width=SIZE)
        shipped = [Path(folder) / f"{DENSE}.squish", *(Path(path_of(net)) for net in names())]
        dense.save(shipped[0])
        return Measured(
            datetime.now(timezone.utc).date(),
            load,
            [compare(compared, batch, 1, seconds, engines) for batch in BATCHES],
            compare(shipped, 1, 1, seconds, engines),
            _squish_bench(squish_bench, files.values(), Path(folder), "--profile"),
            _squish_bench(squish_bench, direct, Path(folder), "--direct"),
        )


def _squish_bench(binary: Path, nets: Iterable[Path], folder: Path, option: str) -> dict[str, Any]:
    report = folder / "report.json"
    command = [str(binary), *map(str, nets), f"--iters={ITERATIONS}", f"--json={report}", option]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    measured: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return measured


def results(measured: Measured, cpu: str) -> str:
    """The Markdown between the marks."""
    planned = measured.planned
    busy = "" if measured.load is None else f", load average {measured.load:.1f} before"
    peak = planned["core_flops"] / 1e9
    compiler, version = planned["machine"]["compiler"], planned["version"]
    return "\n\n".join(
        [
            f"Measured on {measured.day} at version {version} on {cpu}, one thread{busy}; "
            f"{compiler}.\nMilliseconds an image, least / median (times ours, of the least); "
            "`compare.py`:",
            *(comparison.markdown(TITLES) for comparison in measured.comparisons),
            "In the nets with 33 % and 15 % of clusters conv1 and conv10 are dense; clusters are "
            "16x1 but where it is said. The other engines run sparse nets as dense.",
            f"The package's nets, and a dense one of their size, {SIZE}x{SIZE}:",
            measured.shipped.markdown(TITLES),
            f"`squish-bench NETS --iters {ITERATIONS}`, batch 1, a peak of {peak:.0f} GFLOP/s:",
            _table(planned["nets"]),
            "The same without Winograd (`--direct`), the way sparse clusters are computed:",
            _table(measured.direct["nets"]),
            _aim(_by_name(planned), _by_name(measured.direct), planned["core_flops"]),
        ]
    )


def _aim(planned: dict[str, Net], direct: dict[str, Net], peak: float) -> str:
    """How far the 15 % net is from four times the speed of the dense one, and why."""

    def times(nets: dict[str, Net], name: str) -> str:
        return f"{nets[name]['speed_to_first']:.2f}x"

    sparse = planned["clusters15"]
    share = 100 * _share(sparse, "conv1")
    floor = 2 * sparse["macs_run"] / peak
    reach = planned["dense"]["seconds"]["min"] / floor
    return textwrap.fill(
        "**The aim** is a net with 15 % of its clusters at least 4x as fast as our own dense net. "
        f"It is {times(planned, 'clusters15')} as fast, {times(planned, 'clusters15all')} with "
        f"every layer sparse; against direct convolutions {times(direct, 'clusters15')} and "
        f"{times(direct, 'clusters15all')}. Winograd's algorithm made the dense net faster and "
        f"does nothing for sparse clusters. conv1, dense in the 15 % net, takes {share:.0f} % "
        f"of its time; all multiply-adds that this net runs take {1e3 * floor:.2f} ms at the "
        f"core's peak, and the dense net {reach:.1f}x as long.",
        width=120,
    )


def _by_name(report: dict[str, Any]) -> dict[str, Net]:
    return {Path(net["path"]).stem: net for net in report["nets"]}


def _share(net: Net, layer: str) -> float:
    """Of the net's time, what this layer takes; a step is "conv1+pool1" where a pool is fused."""
    seconds = {step["layer"].split("+")[0]: step["seconds"] for step in net["steps"]}
    return float(seconds[layer] / sum(seconds.values()))


def _table(nets: Sequence[Net]) -> str:
    header = ["net", "file kB", "clusters", "least ms", "median", "of peak", "to dense"]
    rows = [header, ["---"] + ["---:"] * (len(header) - 1)]
    rows += [
        [
            TITLES[Path(net["path"]).stem],
            f"{net['file_bytes'] / 1e3:.0f}",
            f"{100 * net['cluster_density']:.3g} %",
            f"{1e3 * net['seconds']['min']:.3f}",
            f"{1e3 * net['seconds']['median']:.3f}",
            f"{100 * net['fraction_of_peak']:.0f} %",
            f"{net['speed_to_first']:.2f}x",
        ]
        for net in nets
    ]
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
    parser.add_argument("--engines", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument(
        "--seconds", type=float, default=3, help="time for each engine with each net [3]"
    )
    parser.add_argument("--document", type=Path, default=DOCUMENT, metavar="FILE")
    options = parser.parse_args()
    try:
        text = options.document.read_text(encoding="utf-8")
        replace_results(text, "")  # a document without marks should fail before the measurement
        measured = measure(options.squish_bench, options.seconds, options.engines)
        options.document.write_text(
            replace_results(text, results(measured, options.cpu)), encoding="utf-8"
        )
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"document.py: {error}")


if __name__ == "__main__":
    main()
