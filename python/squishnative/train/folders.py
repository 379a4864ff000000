"""What the folders of training and evolution have in common: settings.json, and who may begin."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from squishnative import __version__
from squishnative.train.files import save_json

S = TypeVar("S")

SETTINGS = "settings.json"
LOCK = "lock"
SKIPPED = "skipped.json"  # [name, why] of the files that were left out
INPUTS = "inputs.json"  # of the nets and images that the run began with
ENVIRONMENT = "environment.json"  # what evolution measured of the machine
_RESULTS = ("checkpoint.pt", "net.squish", "generation-*/*.json", "family/*.json")  # of any run
_NAMES = ("checkpoint.pt", "net.squish", "log.csv", "tensorboard", "generation-*", "family")


def begin_run(folder: Path, run_format: int, settings: dict[str, Any]) -> None:
    """Writes settings.json, and forgets what a run that came to nothing had measured.

    Raises FileExistsError where a run of any kind came to something, or where a file that runs
    write is another's; RuntimeError where another process runs this folder.
    """
    _refuse_files_of_others(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(folder):
        for made in (file for pattern in _RESULTS for file in folder.glob(pattern)):
            text = "a run is there already: --resume continues it"
            raise FileExistsError(errno.EEXIST, text, str(made))
        for old in (INPUTS, ENVIRONMENT):
            (folder / old).unlink(missing_ok=True)
        save_json(
            folder / SETTINGS, {"format": run_format, "squishnative": __version__, **settings}
        )


def _refuse_files_of_others(folder: Path) -> None:
    file = folder / SETTINGS
    if file.exists():
        if '"squishnative"' not in file.read_text(errors="replace"):
            text = "not the settings of a run: wanted another folder"
            raise FileExistsError(errno.EEXIST, text, str(file))
        return
    for pattern in (*_NAMES, SKIPPED, INPUTS, ENVIRONMENT):
        for found in folder.glob(pattern):
            text = "in a folder that is not a run's, but runs write it: wanted another folder"
            raise FileExistsError(errno.EEXIST, text, str(found))


def check_inputs(folder: Path, inputs: dict[str, str]) -> None:
    """Keeps what a run begins with, and compares with it when the run continues.

    inputs: of each, "the classes of 'photos' are" say, what was found. Raises ValueError where that
    is not what the run began with.
    """
    file = folder / INPUTS
    if not file.exists():
        save_json(file, inputs)
        return
    began = json.loads(file.read_text(encoding="utf-8"))
    for what, got in inputs.items():
        if began.get(what, got) != got:
            raise ValueError(f"{what} {got}; the run began with {began[what]}")


def digest_of_file(path: str) -> str:
    """What tells a file's bytes from others'."""
    return f"sha256 {hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]}"


def read_settings(folder: Path, run_format: int, make: Callable[[dict[str, Any]], S]) -> S:
    """What `begin_run` wrote, through `make`.

    Raises ValueError on the folder of another version and on what are no settings, OSError where
    there is no such folder.
    """
    file = folder / SETTINGS
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        found = values.pop("format")
        values.pop("squishnative")
        if found != run_format:
            raise ValueError(
                f"run format {found}, made by another command or version; this one continues "
                f"format {run_format}"
            )
        return make(values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"'{file}': not the settings of a run: {error}") from error


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Raises RuntimeError where another process runs this folder, OSError where there is none.

    The kernel gives the lock back when a process ends, however it ends.
    """
    with (folder / LOCK).open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"'{folder}': another process continues this run") from None
        yield
