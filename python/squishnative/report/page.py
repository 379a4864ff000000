"""The HTML page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import jinja2

from squishnative import __version__
from squishnative.report import plots
from squishnative.report.summary import Summary, summarise
from squishnative.train.files import write_atomically


def write_report(folders: Sequence[Path], output: Path) -> list[Path]:
    """Writes `output` (.html) and the same figures beside it as .json.

    folders: run folders; the first is the family that is shown whole, the others are compared with
    it. Raises ValueError and OSError as `summarise`, ValueError on an output that ends in .json.
    """
    if output.suffix == ".json":
        raise ValueError(f"'{output}': the page's name, its figures go into a .json beside it")
    summaries = [summarise(folder) for folder in folders]
    figures = {"squishnative": __version__, "runs": [s.to_dict() for s in summaries]}
    page = render(summaries)
    beside = output.with_suffix(".json")
    write_atomically(beside, lambda file: file.write(json.dumps(figures, indent=1).encode()))
    write_atomically(output, lambda file: file.write(page.encode()))
    return [output, beside]


def render(summaries: Sequence[Summary]) -> str:
    """The page's text; it loads nothing from elsewhere."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("squishnative.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    family = summaries[0]
    smallest = family.shown[-1]
    return environment.get_template("template.html").render(
        version=__version__,
        family=family,
        rivals=summaries[1:],
        smallest=smallest,
        over_bytes=plots.accuracy_over_bytes(summaries),
        over_latency=plots.accuracy_over_latency(summaries),
        tree=plots.family_tree(family),
        densities=plots.density_map(family),
        confusion=plots.confusion(smallest, family.labels),
        settings=json.dumps(family.settings.to_dict(), indent=1),
    )
