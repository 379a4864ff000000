"""`squish quantise`."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import numpy as np
import numpy.typing as npt
import typer

from squishnative import _core
from squishnative.cli.messages import name_skipped
from squishnative.cli.parameters import NetFile, Size, TorchThreads
from squishnative.net import Net, load
from squishnative.spec import NetSpec

_BATCH = 64


class IntegerDtype(str, Enum):
    """Types that weights of integer arithmetic are stored in."""

    I8 = "i8"
    I4 = "i4"


def quantise(
    net: NetFile,
    data: Annotated[
        Path,
        typer.Option(
            show_default=False,
            help="Folder or tar file: train/<class>/<image>, val/<class>/<image>.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", show_default=False, help="The .squish file to write."),
    ],
    images: Annotated[int, typer.Option(min=1, help="Of train, to measure activations on.")] = 512,
    dtype: Annotated[
        Optional[IntegerDtype],
        typer.Option(
            show_default=False, help="Type of the stored weights. [default: the file's, else i8]"
        ),
    ] = None,
    size: Size = None,
    threads: TorchThreads = 0,
) -> None:
    """Makes a net for integer arithmetic: activations in 8 bits.

    How large each activation gets is measured on photographs; the engine can then compute the new
    file in integers: faster on most CPUs, and with --storage i8 the same results on all. Weights
    become int8 where they are floats; a file of int4 weights keeps them. Filters are put into an
    order in which integers have less to multiply. Says how many photographs of val are right before
    and after. --size: the new file is for images of this size. Needs the
    extra [train].

    squish quantise net.squish --data photos -o net8.squish
    squish quantise imagenette-m --data photos -o net8.squish --images 1024
    """
    import torch  # takes seconds

    from squishnative.quantise import quantise as quantised
    from squishnative.train.dataset import read_for_calibration

    if threads:
        torch.set_num_threads(threads)
    with load(net, storage="f32") as before:
        spec = NetSpec.from_model(before.model)
        if size is not None:
            spec.input.resize = round(
                spec.input.resize * size / min(spec.input.height, spec.input.width)
            )
            spec.input.height = spec.input.width = size
        stored = _stored_dtype(before.model) if dtype is None else dtype.value
        photos = read_for_calibration(data, spec.input, images)
        name_skipped(photos.skipped)
        quantised(spec, photos.train.images, stored).save(output, stored)
        typer.echo(
            f"{output}: {output.stat().st_size:,} bytes, {stored} weights, "
            f"measured on {len(photos.train)} images"
        )
        if before.classes != len(photos.labels) or before.labels not in ([], photos.labels):
            typer.echo("squish: val is not counted: its classes are not the net's", err=True)
            return
        pixels, classes = photos.val.images, photos.val.classes
        with load(output, storage="i8") as after:
            for what, one in (("floats", before), ("integers", after)):
                right = int((_labels(one, pixels) == classes).sum())
                share = 100 * right / len(classes)
                typer.echo(
                    f"{what:9} {right:,} of {len(classes):,} val images are right, {share:.2f} %"
                )


def _stored_dtype(model: _core.Model) -> str:
    dtypes = {conv.dtype for layer in model.layers for conv in layer.convs if conv.out_channels}
    return "i4" if dtypes == {"i4"} else "i8"


def _labels(net: Net, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The likeliest class of each image."""
    parts = [net.infer(pixels[k : k + _BATCH]) for k in range(0, len(pixels), _BATCH)]
    labels: npt.NDArray[np.int64] = np.concatenate(parts).argmax(1)
    return labels
