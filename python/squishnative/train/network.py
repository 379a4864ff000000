"""A NetSpec as a PyTorch module that can be trained and turned back into a NetSpec.

Every convolution but the head gets a batch norm, put in so that the function stays the same
(`Network.insert_batch_norms`) and folded away by `Network.to_spec`. A convolution can have a mask
of weights that live, and can round its weights as an int8 or int4 file will (quantisation-aware
training).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Optional

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from squishnative.convert import batch_norm
from squishnative.spec import (
    Add,
    Conv,
    ConvSpec,
    Fire,
    InputSpec,
    Layer,
    MaxPool,
    NetSpec,
)

Call = Callable[["TrainableConv", torch.Tensor], torch.Tensor]

_LEVELS = {"i8": 127, "i4": 7}  # each side of zero
# A norm's eps bounds what folding multiplies a filter by that no image moves: 1 / sqrt(eps).
_EPS = 1e-3
_CONSTANT = 1e-6  # variance of an output that counts as none; activations have unit size
_LEAST_LENGTH = 1e-6


class TrainableConv(nn.Module):
    """A convolution, its mask, its batch norm (or bias, in the head) and its ReLU."""

    mask: Optional[torch.Tensor]

    def __init__(self, spec: ConvSpec, normed: bool) -> None:
        super().__init__()
        self.dropout = 0.0  # the share of its inputs that is dropped while training
        self.stride, self.relu = spec.stride, spec.relu
        self.padding = spec.padding
        self.weight = nn.Parameter(torch.from_numpy(spec.weight.copy()))
        bias = torch.from_numpy(spec.bias.copy())
        self.bias = None if normed else nn.Parameter(bias)
        self.norm = nn.BatchNorm2d(spec.out_channels, eps=_EPS) if normed else None
        if self.norm is not None:
            with torch.no_grad():
                self.norm.bias.copy_(bias)
        # Of the weight's shape, 1 where it lives. Not a parameter, so that decay never moves it.
        self.register_buffer("mask", None)
        self.dtype = "f32"  # of the file whose rounding is imitated

    def live_weight(self) -> torch.Tensor:
        """The weight that convolves: masked and rounded as a file of `dtype` will be."""
        weight = self.weight if self.mask is None else self.weight * self.mask
        return rounded(weight, self.dtype)

    def convolve(self, x: torch.Tensor) -> torch.Tensor:
        """Without norm and ReLU."""
        top, left, bottom, right = self.padding
        if (top, left) != (bottom, right):
            x, top, left = F.pad(x, (left, right, top, bottom)), 0, 0
        return F.conv2d(x, self.live_weight(), self.bias, self.stride, (top, left))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, I, H, W) -> (N, O, H', W')."""
        y = self.convolve(F.dropout(x, self.dropout, self.training) if self.dropout else x)
        if self.norm is not None:
            y = self.norm(y)
        return F.relu(y, inplace=True) if self.relu else y

    @torch.no_grad()
    def calibrate(self, x: torch.Tensor) -> torch.Tensor:
        """As forward, for a convolution whose norm is fresh, and sets the norm to the identity.

        Its statistics become those of x, its scale and shift undo them: y = conv(x) + bias still.
        """
        if self.norm is None:
            return self.forward(x)
        mean, scale = self._fit_norm(x)
        self.norm.weight.copy_(scale)
        self.norm.bias.add_(mean)
        return self._normed(x)

    @torch.no_grad()
    def refit(self, x: torch.Tensor) -> torch.Tensor:
        """As forward in training, and fits the norm's statistics to x, not its scale and shift."""
        if self.norm is None:
            return self.forward(x)
        self._fit_norm(x)
        return self._normed(x)

    def _fit_norm(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Fits the statistics to x, and divides every filter for an output of unit variance.

        So the steps of training suit all filters, those that lost most of their weights too. A
        filter whose output is constant is made one of unit length.
        Returns the means that there were before, and the scales that undo it.
        """
        assert self.norm is not None
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        var, mean = torch.var_mean(self.convolve(x), (0, 2, 3))
        length = self.live_weight().square().sum((1, 2, 3)).sqrt().clamp(min=_LEAST_LENGTH)
        moves = var > _CONSTANT
        divisor = torch.where(moves, var.sqrt(), length)
        self.weight.div_(divisor.view(-1, 1, 1, 1))
        self.norm.running_mean.copy_(mean / divisor)
        self.norm.running_var.fill_(1 - self.norm.eps)  # of which the norm adds eps
        # Undone in a constant output, its weights would grow from generation to generation.
        return mean, torch.where(moves, divisor, divisor.clamp(max=1))

    def _normed(self, x: torch.Tensor) -> torch.Tensor:
        """As forward, with the running statistics."""
        assert self.norm is not None
        n = self.norm
        y = F.batch_norm(
            self.convolve(x), n.running_mean, n.running_var, n.weight, n.bias, False, 0.0, n.eps
        )
        return F.relu(y) if self.relu else y

    @torch.no_grad()
    def to_spec(self) -> ConvSpec:
        """Masked, rounded, the norm folded in."""
        weight = self.live_weight().float().cpu().numpy()
        if self.norm is None:
            assert self.bias is not None
            bias = self.bias.float().cpu().numpy().copy()
        else:
            norm = self.norm
            parts = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
            gamma, beta, mean, var = (p.float().cpu().numpy() for p in parts if p is not None)
            weight, bias = batch_norm.fold(weight, None, gamma, beta, mean, var, norm.eps)
        weight = np.ascontiguousarray(weight)
        return ConvSpec(weight, bias, self.stride, self.padding, self.relu)


class Network(nn.Module):
    """The layers of a NetSpec, in its order. Input (N, C, H, W) normalised float32."""

    def __init__(self, spec: NetSpec, normed: bool = True) -> None:
        """The batch norms' statistics are unset: `insert_batch_norms` or train next.

        normed: False for a net that only runs, a teacher: without batch norms.
        Raises ValueError on a net that does not fit together.
        """
        super().__init__()
        spec.validate()
        self._spec = NetSpec(copy.copy(spec.input), spec.layers, list(spec.labels), spec.about)
        named = [pair for layer in spec.layers for pair in layer.named_convs()]
        self._head = named[-1][0]
        self.convs = nn.ModuleDict(
            {_key(name): TrainableConv(conv, normed and name != self._head) for name, conv in named}
        )

    def named_convs(self) -> Iterator[tuple[str, TrainableConv]]:
        """The convolutions as the file names them: "conv1", "fire2/squeeze", ..."""
        for layer in self._spec.layers:
            for name, _ in layer.named_convs():
                yield name, self._conv(name)

    @property
    def input(self) -> InputSpec:
        """What the net eats."""
        return self._spec.input

    def check_size(self, height: int, width: int) -> None:
        """Raises ValueError, naming the layer, where images of this size do not fit the net."""
        self._spec.shapes(height, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, classes) logits."""
        return self.run(x, TrainableConv.forward)

    def forward_with_features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As forward, and what the head reads, (N, F), the mean over height and width."""
        features: list[torch.Tensor] = []

        def call(conv: TrainableConv, x: torch.Tensor) -> torch.Tensor:
            if conv is head:
                features.append(x.mean((2, 3)))
            return conv(x)  # type: ignore[no-any-return]

        head = self._conv(self._head)
        return self.run(x, call), features[0]

    @torch.no_grad()
    def insert_batch_norms(self, images: torch.Tensor) -> None:
        """Sets fresh batch norms from normalised images (N, C, H, W), the function unchanged."""
        self.run(images, TrainableConv.calibrate)

    @torch.no_grad()
    def refit_batch_norms(self, images: torch.Tensor) -> torch.Tensor:
        """Fits the norms' statistics to images after weights have gone; returns the logits."""
        return self.run(images, TrainableConv.refit)

    @torch.no_grad()
    def to_spec(self) -> NetSpec:
        """The net as a file holds it: batch norms folded, masked weights zero."""
        layers = [self._trained(layer) for layer in self._spec.layers]
        spec = self._spec
        return NetSpec(copy.copy(spec.input), layers, list(spec.labels), spec.about)

    def drop_out(self, share: float) -> None:
        """From now on this share of the head's inputs is dropped while training."""
        self._conv(self._head).dropout = share

    def round_to(self, dtype: str) -> None:
        """From now on weights are rounded as a file of this type will be; f32 and f16: not."""
        for _, conv in self.named_convs():
            conv.dtype = dtype

    def _conv(self, name: str) -> TrainableConv:
        conv = self.convs[_key(name)]
        assert isinstance(conv, TrainableConv)
        return conv

    def run(self, x: torch.Tensor, call: Call) -> torch.Tensor:
        """As forward, with `call` for each convolution: to look at what goes into it."""
        # PyTorch's max pool on CPUs is ten times faster in this order of memory.
        x = x.contiguous(memory_format=torch.channels_last)
        values = [x]  # values[k + 1] is layer k's output
        for layer in self._spec.layers:
            sources = [values[source + 1] for source in layer.inputs]
            values.append(self._compute(layer, sources, call))
        return values[-1].flatten(1)

    def _compute(self, layer: Layer, sources: list[torch.Tensor], call: Call) -> torch.Tensor:
        x = sources[0]
        if isinstance(layer, Conv):
            return call(self._conv(layer.name), x)
        if isinstance(layer, Fire):
            squeeze, *expands = (self._conv(name) for name, _ in layer.named_convs())
            x = call(squeeze, x)
            return torch.cat([call(expand, x) for expand in expands], 1)
        if isinstance(layer, MaxPool):
            return _max_pool(layer, x)
        if isinstance(layer, Add):
            y = x + sources[1]
            return F.relu(y) if layer.relu else y
        return x.mean((2, 3), keepdim=True)

    def _trained(self, layer: Layer) -> Layer:
        if isinstance(layer, Conv):
            return Conv(layer.name, layer.input, self._conv(layer.name).to_spec())
        if isinstance(layer, Fire):
            convs = {
                name.rpartition("/")[2]: self._conv(name).to_spec()
                for name, _ in layer.named_convs()
            }
            return Fire(
                layer.name,
                layer.input,
                convs["squeeze"],
                convs.get("expand1x1"),
                convs.get("expand3x3"),
            )
        return copy.copy(layer)


def rounded(weight: torch.Tensor, dtype: str) -> torch.Tensor:
    """The weight at the levels of an int8 or int4 file, a scale for each output channel.

    What a reader makes of such a file (`cpp/format/encode.cc`), but for the scale, which the file
    rounds up to f16, where normal by 1/1024 at most. By how much depends on the batch norm's scale,
    which is folded in at export; a weight is an eighth of a level off at most, too little to move
    it to another one. A filter's largest weight sets its scale. Clipped for the sake of finer
    levels, a trained net lost more (int4 before any more training: 92.9 to 89.9 %, clipped at 3.5
    deviations 87.1 %). The gradient passes unchanged (straight-through estimator, Bengio 2013).
    """
    levels = _LEVELS.get(dtype)
    if levels is None:
        return weight
    with torch.no_grad():
        largest = weight.abs().amax((1, 2, 3), keepdim=True)
        scale = (largest / levels).clamp(min=torch.finfo(torch.float32).tiny)
        change = (weight / scale).round() * scale - weight
    return weight + change


def _max_pool(layer: MaxPool, x: torch.Tensor) -> torch.Tensor:
    top, left, bottom, right = layer.padding
    if (top, left) != (bottom, right):
        x = F.pad(x, (left, right, top, bottom), value=-torch.inf)
        top = left = 0
    return F.max_pool2d(x, layer.kernel, layer.stride, (top, left), ceil_mode=layer.ceil_mode)


def _key(name: str) -> str:
    """A name that nn.ModuleDict takes: no dots, not empty."""
    return name.replace(".", ":")
