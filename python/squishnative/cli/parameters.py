"""Parameters that several commands share."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from squishnative.arguments import MOST_THREADS
from squishnative.layers import LARGEST_EXTENT

NetFile = Annotated[
    str,  # Path would make NAME, a net of the package, of ./NAME
    typer.Argument(
        metavar="NET.squish",
        show_default=False,
        help="The net: a file, or a name that `squish nets` lists.",
    ),
]
Threads = Annotated[int, typer.Option(min=1, max=MOST_THREADS, help="Threads that compute.")]
Device = Annotated[
    str, typer.Option(help='"cpu"; "cuda", "cuda:1"; "reference": slow, exact, for comparisons.')
]
Isa = Annotated[
    Optional[str],
    typer.Option(
        help='Instruction set: "avx512", "avx2", "neon", "scalar". [default: the best]',
        show_default=False,
    ),
]
Storage = Annotated[
    str,
    typer.Option(
        help='"f32": floats; "i8": integers, of a file made for them; "f16", on CUDA; '
        '"auto": the faster of "i8" and "f32" by a forecast, on CUDA "f32".'
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Size = Annotated[
    Optional[int],
    typer.Option(
        min=1,
        max=LARGEST_EXTENT,
        help="Pixels of a side. [default: the file's]",
        show_default=False,
    ),
]

# Of `squish train` and `squish evolve`.
RunFolder = Annotated[
    Path, typer.Option("--output", "-o", show_default=False, help="Folder of the run.")
]
Data = Annotated[
    Optional[Path],
    typer.Option(
        show_default=False,
        help="Folder or tar file: train/<class>/<image>, val/<class>/<image>.",
    ),
]
Batch = Annotated[int, typer.Option(min=2, help="Images a step.")]
LearningRate = Annotated[
    Optional[float],
    typer.Option(
        min=0, show_default=False, help="Peak learning rate. [default: 0.02, of adamw 0.003]"
    ),
]
Optimiser = Annotated[str, typer.Option(help='"sgd", with momentum, or "adamw".')]
Temperature = Annotated[
    float, typer.Option(min=0.1, help="Of the teacher's and the net's logits in distillation.")
]
LabelSmoothing = Annotated[
    float, typer.Option(min=0, max=1, help="Share of a label that all classes get.")
]
Ema = Annotated[
    float,
    typer.Option(min=0, max=1, help="Decay a step of the moving average of weights that is kept."),
]
Mixup = Annotated[float, typer.Option(min=0, help="Alpha; 0 is off.")]
Distillation = Annotated[
    float, typer.Option(min=0, max=1, help="The teacher's share of the loss; labels have the rest.")
]
Hints = Annotated[
    float,
    typer.Option(
        min=0, help="Weight of the loss by which features imitate the teacher's; 0 is off."
    ),
]
Crop = Annotated[
    float, typer.Option(min=0.01, max=1, help="Least share of an image that a crop shows.")
]
Scale = Annotated[
    float,
    typer.Option(min=0.1, max=1, help="Side of the crops trained on, as a share of the input's."),
]
Views = Annotated[
    int,
    typer.Option(
        min=0,
        help="Crops of each image that epochs take in turn: a teacher looks at each but once, and "
        "memory holds them all. 0: new ones in every epoch.",
    ),
]
Mirror = Annotated[bool, typer.Option(help="Mirror images; not for letters, digits, signs.")]
Seed = Annotated[
    int,
    typer.Option(
        min=0, help="The same seed gives the same nets on the same CPU; but times are measured."
    ),
]
TorchThreads = Annotated[int, typer.Option(min=0, help="PyTorch's; 0: its own choice.")]
TorchDevice = Annotated[str, typer.Option(help='PyTorch\'s: "cpu", "cuda".')]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue the run in the folder, as it began.")
]
