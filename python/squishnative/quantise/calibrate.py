"""Runs a net in floats over images and chooses the bytes of its activations by what it sees."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from squishnative import _core
from squishnative.layers import LARGEST_BYTE
from squishnative.quantise.histogram import Histogram, of_range
from squishnative.quantise.order import order_filters
from squishnative.reference.integers import check_made_for_integers
from squishnative.spec import INPUT, Activation, ConvSpec, Fire, InputSpec, NetSpec
from squishnative.train.augment import normalise
from squishnative.train.dataset import Images
from squishnative.train.network import Network, TrainableConv

_BATCH = 16
DTYPES = ("i8", "i4")  # of weights that integer arithmetic multiplies
_MOST_STEPS = 2.0**29  # of an output: half of what integer arithmetic admits


def quantise(spec: NetSpec, images: Images, dtype: str = "i8") -> NetSpec:
    """The net with an activation for each convolution, to be saved as `dtype`, "i8" or "i4".

    images: (N, H, W, C) uint8, some hundred of those that the net is for, of a size that it admits.

    The net's input reaches from the darkest to the brightest pixel. Other activations have the
    bytes that differ least, in squares, from what the net makes of the images in floats, with
    weights rounded as `dtype`. An activation and its max pools have the same. The filters of each
    Fire's squeeze come in an order in which the expands have few 16x4 clusters.

    Raises TypeError on what is no NetSpec or no array, ValueError on another dtype, on images that
    do not fit the net, on a net without convolutions, and, naming the convolution, where no bytes
    would do: sums beyond 32 bits, inputs that are not finite.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype: got {dtype!r}, wanted 'i8' or 'i4'")
    if not isinstance(spec, NetSpec):
        raise TypeError(f"spec: got {type(spec).__name__}, wanted a NetSpec")
    if not isinstance(images, np.ndarray):
        raise TypeError(f"images: got {type(images).__name__}, wanted a NumPy array")
    channels = spec.input.channels
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != channels:
        raise ValueError(
            f"images: got {images.dtype} {images.shape}, wanted uint8 (N, H, W, {channels})"
        )
    if len(images) == 0:
        raise ValueError("images: got none")
    spec = spec.in_floats()
    if not any(list(layer.named_convs()) for layer in spec.layers):
        raise ValueError("the net has no convolutions")
    order_filters(spec, _as_file(spec, dtype))
    rounded = _as_file(spec, dtype)
    rounded.shapes(*images.shape[1:3])
    chosen = _chosen(rounded, images)
    for layer in spec.layers:
        for name, conv in layer.named_convs():
            conv.activation = chosen[name]
    check_made_for_integers(spec.to_bytes(dtype, compress=False))
    return spec


@dataclass
class _Bytes:
    """An activation that is held in bytes, and the names of the convs that make it and read it.

    source: INPUT, or the layer that it is of. looked: of the readers, one of each input that is it
    or a max pool of it.
    """

    source: int
    makers: list[str]
    readers: list[str] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)


def _as_file(spec: NetSpec, dtype: str) -> NetSpec:
    """With the weights that a file of this type holds."""
    data = spec.to_bytes(dtype, compress=False)
    return NetSpec.from_model(_core.Model.from_bytes(data))


def _activations(spec: NetSpec) -> list[_Bytes]:
    """In the order in which they are made."""
    sources = spec.activation_sources()
    of_source = {INPUT: _Bytes(INPUT, [])}
    found = [of_source[INPUT]]
    looked_at = set()
    for k, layer in enumerate(spec.layers):
        names = [name for name, _ in layer.named_convs()]
        if names:
            (read,) = layer.inputs
            source = of_source[sources[read]]
            source.readers.append(names[0])
            if read not in looked_at:
                source.looked.append(names[0])
                looked_at.add(read)
        if isinstance(layer, Fire):
            found.append(_Bytes(k, names[:1], names[1:], names[1:2]))
            names = names[1:]
        if sources[k] == k:
            of_source[k] = _Bytes(k, names)
            found.append(of_source[k])
    return [one for one in found if one.readers]


def _chosen(spec: NetSpec, images: Images) -> dict[str, Activation]:
    """Of what each convolution reads."""
    activations = _activations(spec)
    histograms = _histograms(spec, images, activations)
    convs = {name: conv for layer in spec.layers for name, conv in layer.named_convs()}
    chosen: dict[str, Activation] = {}
    for one, histogram in zip(activations, histograms):
        if one.source == INPUT:
            activation = _of_pixels(spec.input)
        else:
            least = [_least_scale(convs[maker], chosen[maker]) for maker in one.makers]
            activation = histogram.best_activation(max(least, default=0.0))
        chosen.update(dict.fromkeys(one.readers, activation))
    return chosen


@torch.no_grad()
def _histograms(spec: NetSpec, images: Images, activations: list[_Bytes]) -> list[Histogram]:
    """One of each activation."""
    network = Network(spec, normed=False).eval()
    names = {conv: name for name, conv in network.named_convs()}
    found = [Histogram() for _ in activations]
    looked = {name: to for one, to in zip(activations, found) for name in one.looked}

    def look(conv: TrainableConv, x: torch.Tensor) -> torch.Tensor:
        name = names[conv]
        if name in looked:
            try:
                looked[name].add(x)
            except ValueError as error:
                raise ValueError(f"the input of '{name}': {error}") from None
        return conv.forward(x)

    for begin in range(0, len(images), _BATCH):
        pixels = torch.from_numpy(images[begin : begin + _BATCH]).permute(0, 3, 1, 2).float()
        network.run(normalise(pixels, spec.input), look)
    return found


def _of_pixels(spec: InputSpec) -> Activation:
    """From the darkest to the brightest pixel of all channels."""
    mean, std = np.array(spec.mean, np.float64), np.array(spec.std, np.float64)
    return of_range(float((-mean / std).min()), float(((1 - mean) / std).max()))


def _least_scale(conv: ConvSpec, activation: Activation) -> float:
    """Of its output, so that no bytes, however improbable, make more steps than are admitted."""
    weights = np.abs(conv.weight.astype(np.float64)).sum((1, 2, 3))
    reach = LARGEST_BYTE * activation.scale * weights + np.abs(conv.bias.astype(np.float64))
    return float(reach.max()) / _MOST_STEPS
