"""What the folders of training and evolution have in common: settings.json, and who may begin."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from squishnative import __version__
from squishnative.train.files import save_json

S = TypeVar("S")

SETTINGS = "settings.json"
SKIPPED = "skipped.json"  # [name, why] of the images that were left out


def begin_run(
    folder: Path, run_format: int, settings: dict[str, Any], came: Iterable[Path]
) -> None:
    """Writes settings.json. Raises FileExistsError where a file of `came`, a result, is there."""
    for made in came:
        if made.exists():
            text = "a run is there already: --resume continues it"
            raise FileExistsError(errno.EEXIST, text, str(made))
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
            raise ValueError(f"run format {found}, this version continues format {run_format}")
        return make(values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"'{file}': not the settings of a run: {error}") from error


def skipped_images(folder: Path) -> list[tuple[str, str]]:
    """(name, why) of the images that the run left out."""
    file = folder / SKIPPED
    return [(name, why) for name, why in json.loads(file.read_text())] if file.exists() else []
