"""Files that are either the old one or the whole new one, whenever the process is killed."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Writes beside `path`, flushes to the disk, renames. What was there stays on any error."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def save_json(path: Path, value: object) -> None:
    """As `write_atomically`."""
    text = json.dumps(value, indent=1) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def save_state(path: Path, state: object) -> None:
    """What `torch.load(weights_only=True)` can read, as `write_atomically`."""
    whole = io.BytesIO()  # torch has errors of its own for a full disk
    torch.save(state, whole)
    write_atomically(path, lambda file: file.write(whole.getbuffer()))


def load_state(path: Path) -> Any:
    """What `save_state` wrote. Raises ValueError on another file, OSError where it is absent."""
    with path.open("rb") as file:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch's readers raise a dozen types
            raise ValueError(f"'{path}': no checkpoint that can be read: {error}") from error
