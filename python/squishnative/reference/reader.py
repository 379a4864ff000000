"""`.squish` bytes to a NetSpec, in Python and NumPy alone. cpp/format/layout.h specifies the bytes.

A twin, not a guard: it checks magic, version and checksums and trusts the rest. The engine's parser
is the one that stands before untrusted files.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from squishnative.spec import (
    Activation,
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
_CONV = struct.Struct("<HH8BBBBBfB3xQQ")

_OPTIONAL = 0x80000000
_SECTION_INPUT, _STRINGS, _LAYERS, _CONVS, _WEIGHTS = 1, 2, 3, 4, 5
_LABELS, _ABOUT = 6 | _OPTIONAL, 7 | _OPTIONAL

_LAYER_CONV, _LAYER_FIRE, _LAYER_MAX_POOL, _LAYER_ADD, _LAYER_MEAN = 1, 2, 3, 4, 5
_DENSE, _CLUSTER_16X1, _CLUSTER_16X4, _SYNAPSE = 0, 1, 2, 3
_F32, _F16, _I8, _I4 = 0, 1, 2, 3
_ANS = 1
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


class Integers(NamedTuple):
    """A convolution's weights as an int8 or int4 file holds them: weight = scale * value.

    values: (O, I, H, W) int8. scale: (O,) float32, each an f16.
    """

    values: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]


class _Stored(NamedTuple):
    conv: ConvSpec
    integers: Optional[Integers]  # None: of a type without a scale


def read(data: bytes) -> NetSpec:
    """The net in the bytes of a `.squish` file, weights widened to float32. Raises ValueError."""
    return read_stored(data)[0]


def read_stored(data: bytes) -> tuple[NetSpec, dict[str, Integers]]:
    """As read, and the integers of those convolutions that have them, by `named_convs`' names."""
    sections = _sections(data)
    stored = [_stored(record, sections[_WEIGHTS]) for record in _CONV.iter_unpack(sections[_CONVS])]
    convs = [one.conv for one in stored]
    layers = [
        _layer(record, convs, sections[_STRINGS])
        for record in _LAYER.iter_unpack(sections[_LAYERS])
    ]
    labels = _labels(sections[_LABELS]) if _LABELS in sections else []
    net = NetSpec(
        _input(sections[_SECTION_INPUT]), layers, labels, sections.get(_ABOUT, b"").decode()
    )
    names = [name for layer in layers for name, _ in layer.named_convs()]
    there = [one.integers for one in stored if one.conv.out_channels > 0]
    return net, {name: found for name, found in zip(names, there) if found is not None}


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


def _stored(record: tuple[Any, ...], weights: bytes) -> _Stored:
    out_channels, in_channels, *rest = record
    *window, flags, encoding, kind, compression, activation, zero, at, size = rest
    source = _CompressedPayload if compression == _ANS else _Payload
    payload = source(weights[at : at + size])
    bias = payload.take_channels("<f4" if kind == _F32 else "<f2", out_channels)
    scaled = kind in (_I8, _I4)
    scale = payload.take_channels("<f2", out_channels) if scaled else np.ones(out_channels, "<f2")
    shape = (out_channels, in_channels, window[0], window[1])
    stored = _indices(encoding, np.arange(np.prod(shape)).reshape(shape), payload)
    weight = np.zeros(shape, np.float32)
    weight.ravel()[stored] = payload.take_values(kind, len(stored))
    payload.expect_end()
    integers = Integers(weight.astype(np.int8), scale.astype(np.float32)) if scaled else None
    conv = ConvSpec(
        weight * scale[:, None, None, None],
        bias.astype(np.float32),
        (window[2], window[3]),
        (window[4], window[5], window[6], window[7]),
        bool(flags & _RELU),
        Activation(activation, zero) if activation else None,
    )
    return _Stored(conv, integers)


def _indices(encoding: int, index: Indices, payload: _Payload | _CompressedPayload) -> Indices:
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

    def take_channels(self, dtype: npt.DTypeLike, count: int) -> npt.NDArray[Any]:
        return self._take(dtype, count)

    def take_values(self, kind: int, count: int) -> npt.NDArray[Any]:
        return self._take_int4(count) if kind == _I4 else self._take(_DTYPES[kind], count)

    def expect_end(self) -> None:
        """A plain payload's size is checked by what is taken from it."""

    def _take(self, dtype: npt.DTypeLike, count: int) -> npt.NDArray[Any]:
        dtype = np.dtype(dtype)
        part = np.frombuffer(self._data, dtype, count, self._at)
        self._at += -(-part.nbytes // 4) * 4
        return part

    def _take_int4(self, count: int) -> npt.NDArray[np.int8]:
        pairs = self._take(np.uint8, -(-count // 2))
        # Each value at the top of a byte of its own, from where the shift brings its sign along.
        return (np.stack([pairs << 4, pairs], axis=1).view(np.int8) >> 4).ravel()[:count]

    def take_bits(self, count: int) -> Bits:
        packed = self._take(np.uint8, -(-count // 8))
        return np.unpackbits(packed, count=count, bitorder="little").astype(np.bool_)


class _AdaptiveBit:
    """cpp/format/ans.h: how likely the next bit is a one, in 2**15."""

    def __init__(self) -> None:
        self.one, self._rate, self._left = 1 << 14, 1, 1

    def learn(self, bit: bool) -> None:
        if bit:
            self.one += ((1 << 15) - self.one) >> self._rate
        else:
            self.one -= self.one >> self._rate
        self._left -= 1
        if self._left == 0 and self._rate < 7:
            self._left = 1 << self._rate
            self._rate += 1


class _CompressedPayload:
    """Decodes the parts of a compressed payload: rANS, bit by bit, as cpp/format/ans.h has it."""

    def __init__(self, data: bytes) -> None:
        self._state = int.from_bytes(data[:4], "big")
        self._rest = iter(data[4:])

    def take_channels(self, dtype: npt.DTypeLike, count: int) -> npt.NDArray[Any]:
        high = [_AdaptiveBit() for _ in range(256)]
        halves = bytearray()
        for _ in range(count):
            halves.append(self._state & 0xFF)
            self._advance(self._state & 0xFF, 1, 8)
            halves.append(self._number(high, 8))
        return np.frombuffer(halves, dtype)

    def take_values(self, kind: int, count: int) -> npt.NDArray[Any]:
        bits = 4 if kind == _I4 else 8
        tree = [_AdaptiveBit() for _ in range(1 << bits)]
        return np.array([self._number(tree, bits) for _ in range(count)]) - (1 << (bits - 1))

    def take_bits(self, count: int) -> Bits:
        model = _AdaptiveBit()
        return np.array([self._bit(model) for _ in range(count)], np.bool_)

    def expect_end(self) -> None:
        if self._state != 1 << 23 or next(self._rest, None) is not None:
            raise ValueError("a compressed payload is damaged")

    def _number(self, tree: list[_AdaptiveBit], bits: int) -> int:
        node = 1
        for _ in range(bits):
            node = 2 * node + self._bit(tree[node])
        return node - (1 << bits)

    def _bit(self, model: _AdaptiveBit) -> bool:
        one = model.one
        bit = self._state & 0x7FFF < one
        self._advance(0 if bit else one, one if bit else (1 << 15) - one, 15)
        model.learn(bit)
        return bit

    def _advance(self, start: int, frequency: int, bits: int) -> None:
        state = frequency * (self._state >> bits) + (self._state & ((1 << bits) - 1)) - start
        while state < 1 << 23:
            byte = next(self._rest, None)
            if byte is None:
                raise ValueError("a compressed payload ends too early")
            state = state << 8 | byte
        self._state = state


def _labels(section: bytes) -> list[str]:
    (count,) = struct.unpack_from("<I", section)
    sizes = struct.unpack_from(f"<{count}I", section, 4)
    ends = np.cumsum(sizes) + 4 + 4 * count
    return [section[end - size : end].decode() for end, size in zip(ends, sizes)]
