"""What the folders of training and evolution have in common: settings.json, and who may begin."""

from __future__ import annotations

import errno
import fcntl
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
_RESULTS = ("checkpoint.pt", "net.squish", "generation-*/*.json", "family/*.json")  # of any run
SKIPPED = "skipped.json"  # [name, why] of the images that were left out


def begin_run(folder: Path, run_format: int, settings: dict[str, Any]) -> None:
    """Writes settings.json.

    Raises FileExistsError where a run of any kind came to something, or the file is another's.
    """
    for made in (file for pattern in _RESULTS for file in folder.glob(pattern)):
        text = "a run is there already: --resume continues it"
        raise FileExistsError(errno.EEXIST, text, str(made))
    file = folder / SETTINGS
    if file.exists() and '"squishnative"' not in file.read_text(errors="replace"):
        text = "not the settings of a run: wanted another folder"
        raise FileExistsError(errno.EEXIST, text, str(file))
    folder.mkdir(parents=True, exist_ok=True)
    save_json(folder / SETTINGS, {"format": run_format, "squishnative": __version__, **settings})


def read_settings(folder: Path, run_format: int, make: Callable[[dict[str, Any]], S]) -> S:
    """What `begin_run` wrote, through `make`.

    Raises ValueError on the folder of another version and on what are no settings, OSError where
    there is no such folder.
    """
    file = folder / SETTINGS
    try:
        values = json.loads(file.read_text())
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
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"'{folder}': another process continues this run") from None
        yield


def skipped_images(folder: Path) -> list[tuple[str, str]]:
    """(name, why) of the images that the run left out."""
    file = folder / SKIPPED
    return [(name, why) for name, why in json.loads(file.read_text())] if file.exists() else []
