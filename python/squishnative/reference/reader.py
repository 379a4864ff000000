"""`.squish` bytes to a NetSpec, in Python and NumPy alone. cpp/format/layout.h specifies the bytes.

A twin, not a guard: it checks magic, version and checksums and trusts the rest. The engine's parser
is the one that stands before untrusted files.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from squishnative.spec import (
    Add,
    Conv,
    ConvSpec,
    Fire,
    GlobalAveragePool,
    InputSpec,
    Layer,
    MaxPool,
    NetSpec,
)

MAGIC = b"\x89SQSH\r\n\x1a"
VERSION = 1

_HEADER = struct.Struct("<8sIIQII")
_SECTION = struct.Struct("<IIQQ")
_INPUT = struct.Struct("<HHHHB3x")
_LAYER = struct.Struct("<BBHIHHHBx8B8x")
_CONV = struct.Struct("<HH8BBBBxfIQQ")

_OPTIONAL = 0x80000000
_SECTION_INPUT, _STRINGS, _LAYERS, _CONVS, _WEIGHTS = 1, 2, 3, 4, 5
_LABELS, _ABOUT = 6 | _OPTIONAL, 7 | _OPTIONAL

_LAYER_CONV, _LAYER_FIRE, _LAYER_MAX_POOL, _LAYER_ADD, _LAYER_MEAN = 1, 2, 3, 4, 5
_DENSE, _CLUSTER_16X1, _CLUSTER_16X4, _SYNAPSE = 0, 1, 2, 3
_F32, _F16, _I8, _I4 = 0, 1, 2, 3
_DTYPES: dict[int, npt.DTypeLike] = {
    _F32: np.dtype("<f4"),
    _F16: np.dtype("<f2"),
    _I8: np.dtype("i1"),
}
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
_RELU, _CEIL = 1, 2
_CLUSTER_ROWS = 16

Bits = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]


def read(data: bytes) -> NetSpec:
    """The net in the bytes of a `.squish` file, weights widened to float32. Raises ValueError."""
    sections = _sections(data)
    convs = [_conv(record, sections[_WEIGHTS]) for record in _CONV.iter_unpack(sections[_CONVS])]
    layers = [
        _layer(record, convs, sections[_STRINGS])
        for record in _LAYER.iter_unpack(sections[_LAYERS])
    ]
    labels = _labels(sections[_LABELS]) if _LABELS in sections else []
    return NetSpec(
        _input(sections[_SECTION_INPUT]), layers, labels, sections.get(_ABOUT, b"").decode()
    )


def _sections(data: bytes) -> dict[int, bytes]:
    magic, version, crc, size, count, _ = _HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION or size != len(data):
        raise ValueError(
            f"magic {magic!r}, version {version}, {size} bytes; "
            f"wanted {MAGIC!r}, {VERSION}, {len(data)}"
        )
    table_end = _HEADER.size + count * _SECTION.size
    if crc != zlib.crc32(data[:12] + bytes(4) + data[16:table_end]):
        raise ValueError("the header's checksum is wrong")
    sections = {}
    for kind, crc, offset, size in _SECTION.iter_unpack(data[_HEADER.size : table_end]):
        sections[kind] = data[offset : offset + size]
        if crc != zlib.crc32(sections[kind]):
            raise ValueError(f"section {kind:#x}: the checksum is wrong")
    return sections


def _input(section: bytes) -> InputSpec:
    channels, height, width, resize, interpolation = _INPUT.unpack_from(section)
    values = np.frombuffer(section, "<f4", 2 * channels, _INPUT.size).tolist()
    return InputSpec(
        channels,
        height,
        width,
        tuple(values[:channels]),
        tuple(values[channels:]),
        resize,
        _INTERPOLATIONS[interpolation],
    )


def _layer(record: tuple[Any, ...], convs: list[ConvSpec], strings: bytes) -> Layer:
    kind, flags, name_bytes, name_offset, first, second, first_conv, _, *window = record
    name = strings[name_offset : name_offset + name_bytes].decode()
    kernel, stride, padding = tuple(window[:2]), tuple(window[2:4]), tuple(window[4:])
    if kind == _LAYER_CONV:
        return Conv(name, first - 1, convs[first_conv])
    if kind == _LAYER_FIRE:
        squeeze, *expands = convs[first_conv : first_conv + 3]
        one, three = (conv if len(conv.bias) else None for conv in expands)
        return Fire(name, first - 1, squeeze, one, three)
    if kind == _LAYER_MAX_POOL:
        return MaxPool(name, first - 1, kernel, stride, padding, bool(flags & _CEIL))
    if kind == _LAYER_ADD:
        return Add(name, (first - 1, second - 1), bool(flags & _RELU))
    if kind == _LAYER_MEAN:
        return GlobalAveragePool(name, first - 1)
    raise ValueError(f"layer {name!r}: unknown kind {kind}")


def _conv(record: tuple[Any, ...], weights: bytes) -> ConvSpec:
    out_channels, in_channels, *window, flags, encoding, kind, _, _, offset, size = record
    payload = _Payload(weights[offset : offset + size])
    bias = payload.take("<f4" if kind == _F32 else "<f2", out_channels)
    scaled = kind in (_I8, _I4)
    scale = payload.take("<f2", out_channels) if scaled else np.ones(out_channels, "<f2")
    shape = (out_channels, in_channels, window[0], window[1])
    where = _stored(encoding, np.arange(np.prod(shape)).reshape(shape), payload)
    weight = np.zeros(shape, np.float32)
    count = len(where)
    weight.ravel()[where] = (
        payload.take_int4(count) if kind == _I4 else payload.take(_DTYPES[kind], count)
    )
    return ConvSpec(
        weight * scale[:, None, None, None],
        bias.astype(np.float32),
        (window[2], window[3]),
        (window[4], window[5], window[6], window[7]),
        bool(flags & _RELU),
    )


def _stored(encoding: int, index: Indices, payload: _Payload) -> Indices:
    """The flat indices of the weights that the payload holds, in its order.

    index: (O, I, H, W), each weight's own flat index.
    """
    if encoding == _DENSE:
        return index.ravel()
    if encoding == _SYNAPSE:
        return index.ravel()[payload.take_bits(index.size)]
    clusters = list(_clusters(index, {_CLUSTER_16X1: 1, _CLUSTER_16X4: 4}[encoding]))
    live = payload.take_bits(len(clusters))
    alive = [cluster for cluster, lives in zip(clusters, live) if lives]
    return np.concatenate([np.empty(0, np.intp), *alive])


def _clusters(index: Indices, columns: int) -> Iterator[Indices]:
    """The flat indices of each cluster of 16 x columns channels, in the file's order."""
    out_channels, in_channels, height, width = index.shape
    for row in range(0, out_channels, _CLUSTER_ROWS):
        for y in range(height):
            for x in range(width):
                for column in range(0, in_channels, columns):
                    rows = slice(row, row + _CLUSTER_ROWS)
                    yield index[rows, column : column + columns, y, x].ravel()


class _Payload:
    """Takes the parts of a convolution's payload, each at a multiple of four bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, dtype: npt.DTypeLike, count: int) -> npt.NDArray[Any]:
        dtype = np.dtype(dtype)
        part = np.frombuffer(self._data, dtype, count, self._at)
        self._at += -(-part.nbytes // 4) * 4
        return part

    def take_int4(self, count: int) -> npt.NDArray[np.int8]:
        pairs = self.take(np.uint8, -(-count // 2))
        # Each value at the top of a byte of its own, from where the shift brings its sign along.
        return (np.stack([pairs << 4, pairs], axis=1).view(np.int8) >> 4).ravel()[:count]

    def take_bits(self, count: int) -> Bits:
        packed = self.take(np.uint8, -(-count // 8))
        return np.unpackbits(packed, count=count, bitorder="little").astype(np.bool_)


def _labels(section: bytes) -> list[str]:
    (count,) = struct.unpack_from("<I", section)
    sizes = struct.unpack_from(f"<{count}I", section, 4)
    ends = np.cumsum(sizes) + 4 + 4 * count
    return [section[end - size : end].decode() for end, size in zip(ends, sizes)]
