"""Puts the family of the run "imagenette" into the package, and its figures into the nets' card.

Run as: python tools/reproduce/ship.py RUNS
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from results import markdown, replace_results
from squishnative.report.summary import Member, summarise

NETS = Path(__file__).parents[2] / "python" / "squishnative" / "nets"
BEGIN = "<!-- results: replaced by tools/reproduce/ship.py -->"
# Of the family, largest first. What is smaller than these is right too seldom to be of use.
NAMES = ("imagenette-l", "imagenette-m", "imagenette-s")


def card(shipped: dict[str, Member], dense: Member) -> str:
    """The table of the card."""
    rows = [["net", "bytes", "val accuracy", "dense float32 net", "MACs"]]
    for name, member in shipped.items():
        i = member.individual
        rows.append(
            [
                name,
                f"{i.shipped_bytes:,}",
                f"{100 * i.val_accuracy:.2f} %",
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
    run = parser.parse_args().runs / "imagenette"
    family = summarise(run)
    shipped = dict(zip(NAMES, family.shown[1:]))
    if len(shipped) < len(NAMES):
        sys.exit(f"ship.py: {run}: got {len(shipped)} nets, wanted {len(NAMES)}")
    for name, member in shipped.items():
        shutil.copy(run / f"{member.individual.name}.squish", NETS / f"{name}.squish")
        print(f"{name}.squish")
    replace_results(NETS / "README.md", BEGIN, card(shipped, family.ancestor))


if __name__ == "__main__":
    main()
