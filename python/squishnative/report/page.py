"""The HTML page."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import jinja2

from squishnative import __version__
from squishnative.report import plots
from squishnative.report.summary import Summary, summarise
from squishnative.train.files import write_atomically

# In the template, and in that of version 0.1.0 before it had the first.
_MARKS = (
    b'<meta name="generator" content="squishnative report">',
    b": a family of SquishedNets</title>",
)


def write_report(folders: Sequence[Path], output: Path) -> list[Path]:
    """Writes `output` (.html) and the same figures beside it as .json.

    folders: run folders; the first is the family that is shown whole, the others are compared with
    it. An earlier report is replaced; any other file or folder there raises OSError, and then
    neither is written. Raises ValueError and OSError as `summarise`, ValueError on an output that
    ends in .json.
    """
    beside = check_output(output)
    summaries = [summarise(folder) for folder in folders]
    figures = {"squishnative": __version__, "runs": [s.to_dict() for s in summaries]}
    page = render(summaries)
    write_atomically(beside, lambda file: file.write(json.dumps(figures, indent=1).encode()))
    write_atomically(output, lambda file: file.write(page.encode()))
    return [output, beside]


def check_output(output: Path) -> Path:
    """Raises what `write_report` would on this name; returns that of the figures."""
    if output.suffix == ".json":
        raise ValueError(f"'{output}': the page's name, its figures go into a .json beside it")
    _check_replaceable(output, _is_page, "page")
    beside = output.with_suffix(".json")
    _check_replaceable(beside, _is_figures, "figures, which go beside its page")
    return beside


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
    shipped = family.shown[:0:-1] or family.shown  # smallest first
    return environment.get_template("template.html").render(
        version=__version__,
        family=family,
        rivals=summaries[1:],
        over_bytes=plots.accuracy_over_bytes(summaries),
        over_latency=plots.accuracy_over_latency(summaries),
        tree=plots.family_tree(family),
        densities=plots.density_map(family),
        confusions=[(m, plots.confusion(m, family.labels)) for m in shipped],
        settings=json.dumps(family.settings.to_dict(), indent=1),
    )


def _check_replaceable(file: Path, is_earlier: Callable[[Path], bool], what: str) -> None:
    """Raises OSError where something else than an earlier report's file would be lost."""
    if file.is_dir():
        text = f"a folder is there: wanted a file's name, say {file / 'report.html'}"
        raise IsADirectoryError(errno.EISDIR, text, str(file))
    if file.exists() and not (file.is_file() and is_earlier(file)):
        text = f"a file is there that is no earlier report's {what}: wanted another -o"
        raise FileExistsError(errno.EEXIST, text, str(file))


def _is_page(file: Path) -> bool:
    with file.open("rb") as page:
        head = page.read(4096)
    return any(mark in head for mark in _MARKS)


def _is_figures(file: Path) -> bool:
    try:
        figures = json.loads(file.read_bytes())
    except ValueError:
        return False
    return isinstance(figures, dict) and {"squishnative", "runs"} <= figures.keys()
