"""Filters that nobody reads, removed from the net physically; its logits stay the same.

Removed in whole blocks of 16 and from where they stand, and only together with all four inputs of a
16x4 cluster, so that the clusters of the filters that stay are the same ones as before. Of layers
whose widths are no multiples of 4, which foreign nets may have, some that nobody reads stay.
"""

from __future__ import annotations

import copy
from typing import Optional

import numpy as np
import numpy.typing as npt

from squishnative.evolve.clusters import HEIGHT, QUAD
from squishnative.spec import Add, Conv, ConvSpec, Fire, GlobalAveragePool, Layer, MaxPool, NetSpec

Channels = npt.NDArray[np.bool_]


def compact(spec: NetSpec) -> NetSpec:
    """The same function with fewer filters."""
    compacted = copy.deepcopy(spec)
    while _remove_unread(compacted):
        pass
    return compacted


def _remove_unread(spec: NetSpec) -> bool:
    """One sweep from the output to the input; whether anything was removed."""
    removed = False
    widths = [shape[0] for shape in spec.shapes()]
    for k in reversed(range(len(spec.layers) - 1)):
        layer = spec.layers[k]
        if isinstance(layer, Fire):
            removed |= _narrow_squeeze(layer)
        if not isinstance(layer, (Conv, Fire)):
            continue
        kept = _whole_blocks(_read(spec, k, widths[k]), _segments(layer))
        if kept.all():
            continue
        _keep_outputs(layer, kept)
        _keep_inputs(spec, k, kept)
        removed = True
        widths = [shape[0] for shape in spec.shapes()]
    return removed


def _narrow_squeeze(fire: Fire) -> bool:
    expands = [conv for conv in (fire.expand1x1, fire.expand3x3) if conv is not None]
    read = np.logical_or.reduce([_reads(conv) for conv in expands])
    kept = _whole_blocks(read, [fire.squeeze.out_channels])
    if kept.all():
        return False
    _keep_filters(fire.squeeze, kept)
    for conv in expands:
        conv.weight = np.ascontiguousarray(conv.weight[:, kept])
    return True


def _reads(conv: ConvSpec) -> Channels:
    """Which input channels a convolution looks at."""
    looked: Channels = (conv.weight != 0).any((0, 2, 3))
    return looked


def _read(spec: NetSpec, k: int, channels: int) -> Channels:
    """Which of layer k's channels some later layer looks at."""
    read = np.zeros(channels, bool)
    for later, layer in enumerate(spec.layers):
        if k not in layer.inputs:
            continue
        if isinstance(layer, Conv):
            read |= _reads(layer.conv)
        elif isinstance(layer, Fire):
            read |= _reads(layer.squeeze)
        elif isinstance(layer, MaxPool):
            read |= _read(spec, later, channels)
        else:  # a sum keeps its channels where they are, and an output is read by the caller
            assert isinstance(layer, (Add, GlobalAveragePool))
            read[:] = True
    return read


def _segments(layer: Layer) -> list[int]:
    """The widths of the convolutions that make a layer's output."""
    if isinstance(layer, Conv):
        return [layer.conv.out_channels]
    assert isinstance(layer, Fire)
    return [c.out_channels for c in (layer.expand1x1, layer.expand3x3) if c is not None]


def _whole_blocks(read: Channels, segments: list[int]) -> Channels:
    """True for all of a block that has a channel that is read; for the first, where none is.

    And for those that share the quads of four channels with their neighbours.
    """
    kept = np.zeros_like(read)
    begin = 0
    for width in segments:
        for at in range(begin, begin + width, HEIGHT):
            end = min(at + HEIGHT, begin + width)
            cuts_quads = at % QUAD != 0 or (end % QUAD != 0 and end < len(read))
            kept[at:end] = cuts_quads or read[at:end].any()
        begin += width
    if not kept.any():
        kept[: min(HEIGHT, segments[0])] = True
    return kept


def _keep_outputs(layer: Layer, kept: Channels) -> None:
    if isinstance(layer, Conv):
        _keep_filters(layer.conv, kept)
        return
    assert isinstance(layer, Fire)
    begin = 0
    for which in ("expand1x1", "expand3x3"):
        conv: Optional[ConvSpec] = getattr(layer, which)
        if conv is not None:
            part = kept[begin : begin + conv.out_channels]
            begin += conv.out_channels
            _keep_filters(conv, part)
            if not part.any():
                setattr(layer, which, None)


def _keep_filters(conv: ConvSpec, kept: Channels) -> None:
    conv.weight = np.ascontiguousarray(conv.weight[kept])
    conv.bias = np.ascontiguousarray(conv.bias[kept])


def _keep_inputs(spec: NetSpec, k: int, kept: Channels) -> None:
    """In all readers of layer k, through the pools between."""
    for later, layer in enumerate(spec.layers):
        if k not in layer.inputs:
            continue
        if isinstance(layer, MaxPool):
            _keep_inputs(spec, later, kept)
            continue
        assert isinstance(layer, (Conv, Fire))
        conv = layer.conv if isinstance(layer, Conv) else layer.squeeze
        conv.weight = np.ascontiguousarray(conv.weight[:, kept])
