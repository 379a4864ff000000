"""Puts the family of the run "imagenette" into the package, and its figures into the nets' card.

Run as: python tools/reproduce/ship.py RUNS DATA

DATA: the folder with imagenette-224.tar. The nets are made for integer arithmetic by photographs of
its training part.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import squishnative
from experiments import IMAGENETTE
from results import markdown, replace_results
from squishnative import _core
from squishnative.quantise import quantise
from squishnative.report.summary import Member, summarise
from squishnative.spec import NetSpec
from squishnative.train.dataset import Dataset, read_for_calibration

NETS = Path(__file__).parents[2] / "python" / "squishnative" / "nets"
BEGIN = "<!-- results: replaced by tools/reproduce/ship.py -->"
# Of the family, largest first. What is smaller than these is right too seldom to be of use.
NAMES = ("imagenette-l", "imagenette-m", "imagenette-s")
CALIBRATED = 512  # photographs
DTYPE = "i4"


def ship(source: Path, target: Path, photographs: Dataset) -> list[float]:
    """Writes the net; the share of val that it has right in floats and in integers."""
    model = _core.Model.load(str(source))
    if model.why_not_in_integers:
        quantise(NetSpec.from_model(model), photographs.train.images, DTYPE).save(target, DTYPE)
    else:
        target.write_bytes(source.read_bytes())
    val = photographs.val
    shares = []
    for storage in ("f32", "i8"):
        with squishnative.load(target, storage=storage) as net:
            right = [
                net.infer(val.images[k : k + 1]).argmax() == label
                for k, label in enumerate(val.classes)
            ]
        shares.append(sum(right) / len(right))
    return shares


def card(shipped: dict[str, Member], shares: dict[str, list[float]], dense: Member) -> str:
    """The table of the card."""
    rows = [["net", "bytes", "val accuracy", "in floats", "dense float32 net", "MACs"]]
    for name, member in shipped.items():
        floats, integers = shares[name]
        rows.append(
            [
                name,
                f"{(NETS / f'{name}.squish').stat().st_size:,}",
                f"{100 * integers:.2f} %",
                f"{100 * floats:.2f} %",
                f"{100 * dense.individual.val_accuracy:.2f} %",
                f"{member.macs / 1e6:.1f} M",
            ]
        )
    return markdown(rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, metavar="RUNS")
    parser.add_argument("data", type=Path, metavar="DATA")
    options = parser.parse_args()
    run = options.runs / "imagenette"
    family = summarise(run)
    shipped = dict(zip(NAMES, family.shown[1:]))
    if len(shipped) < len(NAMES):
        sys.exit(f"ship.py: {run}: got {len(shipped)} nets, wanted {len(NAMES)}")
    shares = {}
    for name, member in shipped.items():
        source = run / f"{member.individual.name}.squish"
        spec = NetSpec.from_model(_core.Model.load(str(source)))
        photographs = read_for_calibration(options.data / IMAGENETTE, spec.input, CALIBRATED)
        shares[name] = ship(source, NETS / f"{name}.squish", photographs)
        print(f"{name}.squish")
    replace_results(NETS / "README.md", BEGIN, card(shipped, shares, family.ancestor))


if __name__ == "__main__":
    main()
