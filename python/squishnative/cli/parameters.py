"""Parameters that several commands share."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from squishnative.arguments import MOST_THREADS
from squishnative.layers import LARGEST_EXTENT

NetFile = Annotated[Path, typer.Argument(metavar="NET.squish", show_default=False, help="The net.")]
Threads = Annotated[int, typer.Option(min=1, max=MOST_THREADS, help="Threads that compute.")]
Device = Annotated[str, typer.Option(help='"cpu", or "reference": slow, exact, for comparisons.')]
Isa = Annotated[
    Optional[str],
    typer.Option(
        help='Instruction set: "avx512", "avx2", "neon", "scalar". [default: the best]',
        show_default=False,
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
