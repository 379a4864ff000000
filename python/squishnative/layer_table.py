"""The layer table of `squish inspect`: a row a convolution or layer without weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

from squishnative import _core
from squishnative.tables import format_table, percent, shape_text

_FIRE = ("squeeze", "expand1x1", "expand3x3")


class LayerRow(NamedTuple):
    """One row.

    Without weights: encoding and dtype None, density 1, bytes and MACs 0. Without a window: kernel
    and stride None.
    """

    name: str
    kind: str
    output: tuple[int, int, int]  # (channels, height, width)
    kernel: Optional[tuple[int, int]]
    stride: Optional[tuple[int, int]]
    encoding: Optional[str] = None
    compressed: bool = False
    dtype: Optional[str] = None
    density: float = 1.0  # weights that live / all
    weights: int = 0  # as if dense
    live_weights: int = 0
    bytes: int = 0
    macs: int = 0  # multiply-adds an image, as if dense


def layer_rows(model: _core.Model, height: int, width: int) -> list[LayerRow]:
    """The rows for images of height x width. Raises ValueError on a size the net does not admit."""
    shapes = model.layer_shapes(height, width)
    return [row for layer, shape in zip(model.layers, shapes) for row in _rows(layer, shape)]


def layer_table(rows: Sequence[LayerRow]) -> str:
    """The rows and their totals as text."""
    header = ("layer", "kind", "encoding", "dtype", "window", "output")
    numbers = ("density", "weights", "bytes", "MMACs")
    return format_table([*header, *numbers], [*(_cells(row) for row in rows), _total(rows)], left=5)


def _rows(layer: _core.LayerInfo, shape: tuple[int, int, int]) -> Iterator[LayerRow]:
    if not layer.convs:
        pool = layer.kind == "max_pool"
        yield LayerRow(
            name=layer.name,
            kind=layer.kind,
            output=shape,
            kernel=layer.kernel if pool else None,
            stride=layer.stride if pool else None,
        )
    for part, conv in enumerate(layer.convs):
        name = f"{layer.name}/{_FIRE[part]}" if layer.kind == "fire" else layer.name
        kernel_h, kernel_w = conv.kernel
        weights = conv.out_channels * conv.in_channels * kernel_h * kernel_w
        # Within a Fire all convolutions keep the size, so the layer's is each one's.
        output = (conv.out_channels, shape[1], shape[2])
        yield LayerRow(
            name=name,
            kind="conv",
            output=output,
            kernel=conv.kernel,
            stride=conv.stride,
            encoding=conv.encoding,
            compressed=conv.compressed,
            dtype=conv.dtype,
            density=conv.live_weights / weights if weights else 1.0,
            weights=weights,
            live_weights=conv.live_weights,
            bytes=conv.payload_bytes,
            macs=weights * shape[1] * shape[2],
        )


def _cells(row: LayerRow) -> list[str]:
    weighted = row.encoding is not None
    return [
        row.name,
        row.kind,
        f"{row.encoding or ''}{' ans' if row.compressed else ''}",
        row.dtype or "",
        f"{shape_text(row.kernel)} / {shape_text(row.stride)}" if row.kernel and row.stride else "",
        shape_text(row.output),
        percent(row.density) if weighted else "",
        f"{row.weights:,}" if weighted else "",
        f"{row.bytes:,}" if weighted else "",
        f"{row.macs * 1e-6:.2f}" if weighted else "",
    ]


def _total(rows: Sequence[LayerRow]) -> list[str]:
    weights = sum(row.weights for row in rows)
    live = sum(row.live_weights for row in rows)
    macs = sum(row.macs for row in rows)
    size = sum(row.bytes for row in rows)
    density = percent(live / weights) if weights else ""
    return ["total", *[""] * 5, density, f"{weights:,}", f"{size:,}", f"{macs * 1e-6:.2f}"]
