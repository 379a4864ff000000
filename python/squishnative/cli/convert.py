"""`squish convert`."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from squishnative.convert import convert as convert_checkpoint
from squishnative.layers import LARGEST_EXTENT


class Dtype(str, Enum):
    """Types that weights are stored in."""

    F32 = "f32"
    F16 = "f16"
    I8 = "i8"
    I4 = "i4"


class Encoding(str, Enum):
    """Forms that weights are stored in."""

    SMALLEST = "smallest"
    DENSE = "dense"
    CLUSTER16X1 = "cluster16x1"
    CLUSTER16X4 = "cluster16x4"
    SYNAPSE = "synapse"


class Interpolation(str, Enum):
    """How images are resized."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


def _numbers(option: str, text: Optional[str]) -> Optional[list[float]]:
    if text is None:
        return None
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"got {text!r}, wanted numbers such as 0.5,0.5,0.5", param_hint=option
        ) from None


def convert(
    checkpoint: Annotated[
        Path, typer.Argument(show_default=False, help=".pth, .pt, .safetensors or .onnx")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", show_default=False, help="The .squish file to write."),
    ],
    labels: Annotated[
        Optional[Path],
        typer.Option(
            show_default=False,
            help="Class names: a name a line or index<TAB>id<TAB>name. [default: the checkpoint's]",
        ),
    ] = None,
    dtype: Annotated[Dtype, typer.Option(help="Type of the stored weights.")] = Dtype.F32,
    encoding: Annotated[
        Encoding, typer.Option(help="Form of the stored weights; zeros cost nothing in most.")
    ] = Encoding.SMALLEST,
    size: Annotated[
        Optional[int],
        typer.Option(
            min=1,
            max=LARGEST_EXTENT,
            show_default=False,
            help="Pixels of a side of its images. [default: the checkpoint's, else 224]",
        ),
    ] = None,
    resize: Annotated[
        Optional[int],
        typer.Option(
            min=0,
            max=LARGEST_EXTENT,
            show_default=False,
            help="Shorter side before the crop, 0 to squash. [default: in proportion to the size]",
        ),
    ] = None,
    mean: Annotated[
        Optional[str],
        typer.Option(
            metavar="R,G,B",
            show_default=False,
            help="What is taken from pixels of 0..1. [default: the checkpoint's, else ImageNet's]",
        ),
    ] = None,
    std: Annotated[
        Optional[str],
        typer.Option(
            metavar="R,G,B",
            show_default=False,
            help="What they are then divided by. [default: the checkpoint's, else ImageNet's]",
        ),
    ] = None,
    interpolation: Annotated[
        Optional[Interpolation],
        typer.Option(
            show_default=False, help="For resizing. [default: the checkpoint's, else bilinear]"
        ),
    ] = None,
    about: Annotated[
        Optional[str],
        typer.Option(show_default=False, help="Text about the net, kept in the file."),
    ] = None,
) -> None:
    """Turns a checkpoint into a .squish file.

    Reads torchvision's SqueezeNet 1.0 and 1.1, of any widths and number of classes, and ONNX files
    of SqueezeNet shape.

    squish convert squeezenet1_1.pth -o net.squish --labels imagenet.txt
    squish convert evolved.onnx -o evolved.squish --dtype f16
    """
    result = convert_checkpoint(
        checkpoint,
        output,
        labels=labels,
        dtype=dtype.value,
        encoding=encoding.value,
        size=size,
        resize=resize,
        mean=_numbers("--mean", mean),
        std=_numbers("--std", std),
        interpolation=None if interpolation is None else interpolation.value,
        about=about,
    )
    for note in result.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{output}: {len(result.net.layers)} layers, {result.bytes:,} bytes")
