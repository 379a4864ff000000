"""`squish infer`."""

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Optional

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from squishnative.cli.messages import one_line
from squishnative.cli.parameters import Device, Isa, NetFile, Storage, Threads
from squishnative.net import Net, load
from squishnative.preprocess import is_hidden, photo_suffixes
from squishnative.ranking import Prediction

MANY_FILES = 16  # from here on a progress bar is worth its lines


class Result(NamedTuple):
    """What became of a photo: predictions, or else why there are none."""

    file: Path
    predictions: list[Prediction]
    error: Optional[str] = None

    def as_json(self) -> dict[str, Any]:
        """One line of `--json`."""
        if self.error is not None:
            return {"file": str(self.file), "error": self.error}
        return {"file": str(self.file), "predictions": [asdict(p) for p in self.predictions]}

    def as_text(self) -> str:
        """The file and a line for each prediction."""
        lines = (f"  {100 * p.probability:5.1f} %  {p.label}" for p in self.predictions)
        return "\n".join([str(self.file), *lines])


def infer(
    net: NetFile,
    photos: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTO_OR_DIR...", show_default=False, help="Photos, and folders of photos."
        ),
    ],
    k: Annotated[int, typer.Option("-k", min=1, help="Labels a photo.")] = 5,
    threads: Threads = 1,
    batch: Annotated[int, typer.Option(min=1, help="Photos that run together.")] = 16,
    device: Device = "cpu",
    isa: Isa = None,
    storage: Storage = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object a line for each photo.")
    ] = False,
) -> None:
    """Prints the likeliest labels of photos.

    Photos that cannot be read are named on stderr and skipped; the exit code is then 1.

    squish infer net.squish cat.jpg
    squish infer net.squish holiday/ --json -k 1 > labels.jsonl
    """
    if "" in photos:  # of a shell's variable that is not set: as a path it would be all below here
        raise ValueError("'': wanted a photo or a folder of photos")
    files = list(find_photos(map(Path, photos)))
    failed = False
    with load(net, device, threads, isa, storage) as loaded:
        for result in _with_progress(classify(loaded, files, k, batch), len(files)):
            if result.error is not None:
                failed = True
                typer.echo(f"squish: skipped {result.error}", err=True)
            if as_json:
                print(json.dumps(result.as_json()))
            elif result.error is None:
                print(result.as_text())
    if failed:
        raise typer.Exit(1)


def find_photos(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as they are named; of folders, all below with the suffix of an image, sorted.

    Without hidden ones, which systems leave beside images. Raises ValueError on a folder that has
    none.
    """
    suffixes = photo_suffixes()
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        below = (file for file in path.rglob("*") if file.suffix.lower() in suffixes)
        seen = (f for f in below if not any(map(is_hidden, f.relative_to(path).parts)))
        found = sorted(file for file in seen if file.is_file())
        if not found:
            raise ValueError(f"'{path}': a folder without photos")
        yield from found


def classify(net: Net, files: Iterable[Path], k: int, batch: int) -> Iterator[Result]:
    """Predictions for every file, in order; a file that is no image costs only itself."""
    remaining = iter(files)
    while chunk := list(itertools.islice(remaining, batch)):
        pixels, errors = {}, {}
        for file in chunk:
            try:
                pixels[file] = net.preprocess(file)
            except (OSError, ValueError, MemoryError) as error:
                errors[file] = one_line(error)
        ranked: dict[Path, list[Prediction]] = {}
        if pixels:
            ranked = dict(zip(pixels, net.rank(net.infer(np.stack(list(pixels.values()))), k)))
        for file in chunk:
            yield Result(file, ranked.get(file, []), errors.get(file))


def _with_progress(results: Iterator[Result], total: int) -> Iterator[Result]:
    """The same results, with a bar on stderr where a person watches many."""
    if total < MANY_FILES or not sys.stderr.isatty():
        yield from results
        return
    columns = (TextColumn("photos"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Results that go to the same terminal pass through the bar, those that go to a file must not.
    redirect = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=redirect) as progress:
        yield from progress.track(results, total=total)
