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
    integers: Annotated[
        bool,
        typer.Option(
            "--integers",
            help="Of a net that is made for integer arithmetic, that one: int8 weights and uint8 "
            "activations between QuantizeLinear and DequantizeLinear. Only .onnx.",
        ),
    ] = False,
) -> None:
    """Writes a net for other programs, as a net of floats or in integers.

    squish export net.squish -o net.onnx
    squish export net.squish -o net.safetensors
    squish export net8.squish -o net8.onnx --integers
    """
    export_net(net, output, integers=integers)
    typer.echo(f"{output}: {output.stat().st_size:,} bytes")
