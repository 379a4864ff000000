"""`squish demo`."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for the nets, the report and some images."),
    ] = Path("demo"),
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Of the split and the training.")
    ] = 0,
) -> None:
    """Trains a small net, runs it and evolves it.

    The data are scikit-learn's 1797 scans of handwritten digits; three quarters train a SqueezeNet
    of half the usual widths, the others measure it: accuracy, agreement with PyTorch, speed of
    both. Then three generations make it smaller and faster, and a report is written. Takes a
    minute or two. Needs squishnative[demo].

    squish demo
    squish demo --output /tmp/demo --seed 1
    """
    try:
        from squishnative.demo.run import run  # PyTorch takes seconds to import

        run(output, seed)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error}; the demo needs more than the rest: pip install 'squishnative[demo]'"
        ) from error
