"""Class names from a text file."""

from __future__ import annotations

from pathlib import Path

from squishnative.convert.errors import ConvertError


def read_labels(path: Path) -> list[str]:
    """One name a line, or `index<TAB>wnid<TAB>name` in order of index.

    Raises ConvertError, naming the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows' editors begin with a byte order mark
    except UnicodeDecodeError as error:
        raise ConvertError(f"{path}: labels must be UTF-8 text ({error})") from error
    lines = text.split("\n")  # not splitlines(): names may hold what Unicode calls a line's end too
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise ConvertError(f"{path}: no labels in it")
    return [_label(path, number, line) for number, line in enumerate(lines)]


def _label(path: Path, number: int, line: str) -> str:
    where = f"{path}:{number + 1}"
    fields = line.strip().split("\t")
    if len(fields) == 3:
        if fields[0] != str(number):
            raise ConvertError(
                f"{where}: index {fields[0]!r}, wanted {number}: the lines must be in order"
            )
    elif len(fields) != 1:
        raise ConvertError(
            f"{where}: {len(fields)} fields, wanted a name or index<TAB>wnid<TAB>name"
        )
    if not fields[-1]:
        raise ConvertError(f"{where}: the name is empty")
    return fields[-1]
