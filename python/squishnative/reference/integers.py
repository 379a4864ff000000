"""A net in integers, to the bit: cpp/format/layout.h, INTEGER ARITHMETIC.

A second opinion on what an engine computes for a net that is made for integers. Every operation on
float32 rounds by itself here, because NumPy does one at a time; sums of convolutions are exact in
float64, where integers are up to 2^53.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from squishnative.reference.forward import window_max
from squishnative.reference.reader import Integers, read_stored
from squishnative.spec import (
    INPUT,
    Activation,
    Add,
    Conv,
    ConvSpec,
    Fire,
    FloatArray,
    InputSpec,
    Layer,
    MaxPool,
    NetSpec,
)

_CHUNK = 16  # images at a time, to bound the memory
_LARGEST_BYTE = 255
_LARGEST_SUM = 2**31 - 1
_LARGEST_RESULT = 2.0**30

Float64Array = npt.NDArray[np.float64]
File = Union[bytes, str, "os.PathLike[str]"]


class _Held(NamedTuple):
    """An activation (N, C, H, W): whole numbers from 0 to 255 if it has a form, else floats."""

    array: FloatArray
    form: Optional[Activation]

    @property
    def values(self) -> FloatArray:
        """What the bytes stand for."""
        if self.form is None:
            return self.array
        # The difference of two bytes is exact.
        return np.float32(self.form.scale) * (self.array - np.float32(self.form.zero))


class _IntegerNet(NamedTuple):
    """A net that is made for integers. forms: of the net's input, [-1], and each layer's output."""

    spec: NetSpec
    integers: Mapping[str, Integers]
    forms: Mapping[int, Optional[Activation]]


def integer_logits(net: File, batch: npt.NDArray[Any]) -> FloatArray:
    """What every engine computes in integers, to the bit.

    net: a path, or the bytes of a file.
    batch: (N, C, H, W) float32, normalised, or (N, H, W, C) uint8, normalised here with the net's
    mean and std.
    Returns float32 (N, classes), or (N, C, H, W) where the last map is not 1 x 1.
    Raises ValueError, naming the convolution, where the net is not made for integers.
    """
    made = _integer_net(net)
    chunks = [_run(made, batch[k : k + _CHUNK]) for k in range(0, len(batch), _CHUNK)]
    logits = np.concatenate(chunks)
    return logits[:, :, 0, 0] if logits.shape[2:] == (1, 1) else logits


def check_made_for_integers(net: File) -> None:
    """Raises ValueError, naming the convolution, where a file's net is not made for integers."""
    _integer_net(net)


def _integer_net(net: File) -> _IntegerNet:
    data = net if isinstance(net, bytes) else Path(net).read_bytes()
    spec, integers = read_stored(data)
    forms = _forms(spec, integers)
    made = _IntegerNet(spec, integers, forms)
    for k, layer in enumerate(spec.layers):
        for name, conv in layer.named_convs():
            squeezes = isinstance(layer, Fire) and conv is layer.squeeze
            output = _squeezed_form(layer) if squeezes else forms[k]
            _check_sums(name, conv, integers[name], output)
    return made


def _forms(spec: NetSpec, integers: Mapping[str, Integers]) -> dict[int, Optional[Activation]]:
    """How each activation is held, where its readers agree."""
    sources = spec.activation_sources()
    found: dict[int, Activation] = {}
    for layer in spec.layers:
        squeezed: dict[int, Activation] = {}
        for name, conv in layer.named_convs():
            if name not in integers:
                raise ValueError(f"'{name}' is not made for integers: its weights are floats")
            if conv.activation is None:
                raise ValueError(f"'{name}' is not made for integers: it has no activation scale")
            source = sources[layer.inputs[0]]
            expands = isinstance(layer, Fire) and conv is not layer.squeeze
            agreed = squeezed if expands else found
            wanted = agreed.setdefault(source, conv.activation)
            if wanted != conv.activation:
                raise ValueError(
                    f"'{name}' is not made for integers: got {conv.activation}, another reader of "
                    f"the same activation has {wanted}"
                )
    return {k: found.get(source) for k, source in sources.items()}


def _squeezed_form(layer: Layer) -> Optional[Activation]:
    assert isinstance(layer, Fire)
    expand = layer.expand1x1 or layer.expand3x3
    assert expand is not None
    return expand.activation


def _check_sums(
    name: str, conv: ConvSpec, integers: Integers, output: Optional[Activation]
) -> None:
    """A sum is at most 255 times those of the absolute values, whatever the bytes and zeros."""
    assert conv.activation is not None
    sums = _LARGEST_BYTE * np.abs(integers.values.astype(np.int64)).sum((1, 2, 3))
    if sums.max() > _LARGEST_SUM:
        raise ValueError(
            f"'{name}' is not made for integers: its sums may reach {sums.max():,}, "
            f"wanted at most {_LARGEST_SUM:,}"
        )
    if output is None:
        return
    scale = integers.scale.astype(np.float64) * conv.activation.scale / output.scale
    bias = np.abs(conv.bias.astype(np.float64)) / output.scale
    results = sums * scale + bias + _LARGEST_BYTE
    if not results.max() < _LARGEST_RESULT:
        raise ValueError(
            f"'{name}' is not made for integers: what it makes may reach {results.max():.3g} steps "
            f"of {output.scale:.3g}, wanted below 2^30"
        )


def _run(net: _IntegerNet, batch: npt.NDArray[Any]) -> FloatArray:
    held = {INPUT: _hold(_normalised(net.spec.input, batch), net.forms[INPUT])}
    for k, layer in enumerate(net.spec.layers):
        sources = [held[source] for source in layer.inputs]
        if isinstance(layer, Conv):
            held[k] = _conv(layer.conv, net.integers[layer.name], sources[0], net.forms[k])
        elif isinstance(layer, Fire):
            held[k] = _fire(layer, net.integers, sources[0], net.forms[k])
        elif isinstance(layer, MaxPool):
            largest = window_max(layer, torch.from_numpy(sources[0].array), -torch.inf)
            held[k] = _Held(largest.numpy(), sources[0].form)
        elif isinstance(layer, Add):
            total = sources[0].values + sources[1].values
            held[k] = _hold(_relu(total) if layer.relu else total, net.forms[k])
        else:
            held[k] = _hold(_average(sources[0].values), net.forms[k])
    return held[len(net.spec.layers) - 1].values


def _normalised(spec: InputSpec, batch: npt.NDArray[Any]) -> FloatArray:
    if batch.dtype == np.float32:
        return batch
    if batch.dtype != np.uint8:
        raise ValueError(f"batch has dtype {batch.dtype}, wanted float32 or uint8")
    # A file has float32 of these; what is computed of them is rounded once, from float64.
    mean, std = (np.array(v, np.float32).astype(np.float64) for v in (spec.mean, spec.std))
    scale, shift = (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)
    planes = batch.transpose(0, 3, 1, 2).astype(np.float32)
    normalised: FloatArray = planes * _by_channel(scale) + _by_channel(shift)
    return normalised


def _hold(values: FloatArray, form: Optional[Activation]) -> _Held:
    if form is None:
        return _Held(values, None)
    inverse = np.float32(1) / np.float32(form.scale)
    with np.errstate(over="ignore"):  # infinity is 255 as well
        steps = values * inverse + np.float32(form.zero)
    return _Held(_to_bytes(steps, 0), form)


def _to_bytes(steps: FloatArray, low: int) -> FloatArray:
    """Rounded, ties to even; of what is no number 0."""
    numbers = np.nan_to_num(np.rint(steps))
    rounded: FloatArray = numbers.clip(np.float32(low), np.float32(_LARGEST_BYTE))
    return rounded


def _conv(conv: ConvSpec, integers: Integers, x: _Held, form: Optional[Activation]) -> _Held:
    assert conv.activation is not None
    sums = _sums(conv, integers.values, x.array - np.float32(conv.activation.zero))
    scale = integers.scale.astype(np.float64) * np.float64(np.float32(conv.activation.scale))
    bias = conv.bias.astype(np.float64)
    if form is None:
        y = sums * _by_channel(scale.astype(np.float32)) + _by_channel(bias.astype(np.float32))
        return _Held(_relu(y) if conv.relu else y, None)
    step = np.float64(np.float32(form.scale))
    factor = (scale / step).astype(np.float32)
    term = (bias / step + form.zero).astype(np.float32)
    steps = sums * _by_channel(factor) + _by_channel(term)
    return _Held(_to_bytes(steps, form.zero if conv.relu else 0), form)


def _sums(conv: ConvSpec, values: npt.NDArray[np.int8], x: FloatArray) -> FloatArray:
    """The exact sums, rounded to float32. x: (N, I, H, W), whole numbers; 0 is padding."""
    top, left, bottom, right = conv.padding
    padded = F.pad(torch.from_numpy(x).double(), (left, right, top, bottom))
    sums = F.conv2d(padded, torch.from_numpy(values).double(), stride=conv.stride)
    return sums.float().numpy()


def _fire(
    fire: Fire, integers: Mapping[str, Integers], x: _Held, form: Optional[Activation]
) -> _Held:
    (name, squeeze), *expands = fire.named_convs()
    squeezed = _conv(squeeze, integers[name], x, _squeezed_form(fire))
    made = [_conv(conv, integers[name], squeezed, form).array for name, conv in expands]
    return _Held(np.concatenate(made, axis=1), form)


def _relu(x: FloatArray) -> FloatArray:
    return np.where(x < 0, np.float32(0), x)


def _average(x: FloatArray) -> FloatArray:
    """Row by row, from left to right, one float32 addition after the other."""
    flat = x.reshape(*x.shape[:2], -1)
    total = np.zeros(flat.shape[:2], np.float32)
    for k in range(flat.shape[2]):
        total += flat[:, :, k]
    return (total * (np.float32(1) / np.float32(flat.shape[2])))[:, :, None, None]


def _by_channel(values: FloatArray) -> FloatArray:
    return values.reshape(1, -1, 1, 1)
