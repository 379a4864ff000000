"""`squish export`."""

from pathlib import Path
from typing import Annotated

import typer

from squishnative.cli.parameters import NetFile
from squishnative.export import export as export_net


def export(
    net: NetFile,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            show_default=False,
            help="The file to write; its suffix says what: .onnx or .safetensors.",
        ),
    ],
) -> None:
    """Writes a net for other programs, as a net of floats.

    squish export net.squish -o net.onnx
    squish export net.squish -o net.safetensors
    """
    export_net(net, output)
    typer.echo(f"{output}: {output.stat().st_size:,} bytes")
