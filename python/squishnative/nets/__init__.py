"""Nets that come with the package: `squishnative.load("imagenette-s")`. README.md is their card."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Union

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Of all nets that come with the package, in alphabetical order."""
    return sorted(file.stem for file in _FOLDER.glob("*.squish"))


def path_of(net: Union[str, os.PathLike[str]]) -> str:
    """The path of the net's file; what is not the name of a net here is a path already.

    A file of such a name in the working directory is called `./NAME`. Names are strings: a
    `pathlib.Path`, which drops the `./`, is always a path.
    """
    if isinstance(net, str) and net in names():
        return str(_FOLDER / f"{net}.squish")
    return os.fspath(net)
