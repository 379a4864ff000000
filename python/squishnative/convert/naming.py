"""Layer names as in the SqueezeNet paper: conv1, pool1, fire2 ... fire9, conv10, pool10."""

from __future__ import annotations

from collections.abc import Container, Sequence

from squishnative.spec import Add, Conv, Fire, Layer


def name_layers(layers: Sequence[Layer]) -> None:
    """Convolutions and Fires are counted; what stands between them takes the number before it."""
    number = 0
    taken: set[str] = set()
    for layer in layers:
        number += isinstance(layer, (Conv, Fire))
        layer.name = distinct(f"{_stem(layer)}{number}", taken)
        taken.add(layer.name)


def _stem(layer: Layer) -> str:
    if isinstance(layer, Conv):
        return "conv"
    if isinstance(layer, Fire):
        return "fire"
    return "add" if isinstance(layer, Add) else "pool"


def distinct(name: str, taken: Container[str]) -> str:
    """The name, with a number behind it where it is taken."""
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    return candidate
