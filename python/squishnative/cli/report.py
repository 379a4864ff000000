"""`squish report`."""

from pathlib import Path
from typing import Annotated, Optional

import typer


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            show_default=False,
            help="Folders of `squish evolve`; the first is shown whole, others are compared.",
        ),
    ],
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output", "-o", show_default=False, help="[default: report.html in the first folder]"
        ),
    ] = None,
) -> None:
    """Writes one self-contained HTML page about a family of nets, and its figures as JSON.

    The figures go beside the page. An earlier report is replaced, no other file.

    squish report family
    squish report family family-gradual family-rigl -o comparison.html
    """
    from squishnative.report.page import write_report  # matplotlib takes a while

    for file in write_report(runs, output or runs[0] / "report.html"):
        typer.echo(f"{file}")
