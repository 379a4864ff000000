"""Arguments that callers get wrong: checked here, so that a message says got and wanted."""

from __future__ import annotations

import operator
from typing import Any, Union

from squishnative.layers import LARGEST_EXTENT, Pair

MOST_THREADS = 65535


def whole_number(what: str, value: Any, least: int, most: int) -> int:
    """`value` as an int. Raises TypeError on other types, bool among them, ValueError outside."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what}: got {value!r}, wanted a whole number")
    number = operator.index(value)
    if not least <= number <= most:
        raise ValueError(f"{what}: got {number}, must be from {least} to {most}")
    return number


def image_size(size: Union[int, Pair]) -> Pair:
    """(height, width) of one side or of both. Raises like `whole_number`."""
    sides = size if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2:
        raise ValueError(f"size: got {size!r}, wanted one side or (height, width)")
    height, width = (whole_number("size", side, 1, LARGEST_EXTENT) for side in sides)
    return height, width
