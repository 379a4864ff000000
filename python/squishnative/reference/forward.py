"""The forward pass in float64, and how far a float32 execution may be from it.

The bound, derived
------------------
Every rounding is fl(a op b) = (a op b)(1 + e), |e| <= u = 2^-24. The e are taken as independent
with mean zero (N. Higham and T. Mary, A New Approach to Probabilistic Rounding Error Analysis,
SIAM J. Sci. Comput. 41(5), 2019), and products of two e as nothing. Each activation carries the
variance V of its error; V = 0 for the input.

Convolution: s = b + the sum over n living weights of w x, in any order. V(s) is the sum of
  * sum w^2 V(x), which the inputs bring;
  * (n + 1) u^2 A^2, its own roundings. No partial sum exceeds A = |b| + sum |w x|, so n fused
    multiply-adds make n errors of at most u A. By Hoeffding's lemma these are sub-Gaussian with
    variance n u^2 A^2. Products rounded on their own add at most u^2 sum (w x)^2 <= u^2 A^2.
    Few roundings are at most their sum, (n + 1) u A: a deviation of (n + 1) u A / lambda.
    A 3x3 convolution of stride 1 may be computed in Winograd's tiles: A is then the larger of the
    two sums, and the transforms count as 8 more. winograd=False leaves that out.

Add: both variances, and u^2 s^2 for the one rounding.

ReLU and max pooling move no two values further apart, so V passes ReLU, and a pool takes the
largest V of each window. Where x < -lambda sqrt(V) the float32 value is negative too: V = 0.

Average over n values: as a convolution with n weights 1 / n, but for maps that are constant, as
nets with few living weights make them. There the model is wrong: equal values have equal errors,
and so have the roundings of their running sum. So the errors of equal values are added as they
are, not as variances, and the roundings are at least the worst case, n u A, which is lambda times
a deviation of n u A / lambda.

The bound is lambda sqrt(V), lambda = 8. Were all errors independent, a logit would miss it with a
probability below 2 exp(-lambda^2 / 2) = 3e-14. They are not quite: paths from one rounding meet
again further on. Random errors of the modelled size, sent through SqueezeNet 1.1, reach the logits
with 2 to 3 times the deviation sqrt(V) (tests/python/test_reference.py does this); that leaves
lambda = 2.7. But the model takes every partial sum at its largest, and so real errors are a
small part of the modelled: PyTorch's float32 on photographs stays below 0.1 of the bound.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Union

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from squishnative.reference import winograd as tiles
from squishnative.reference.reader import read
from squishnative.spec import INPUT, Add, Conv, ConvSpec, Fire, MaxPool, NetSpec

UNIT_ROUNDOFF = 2.0**-24
LAMBDA = 8.0

_CHUNK = 8  # images at a time, to bound the memory

Float64Array = npt.NDArray[np.float64]
Activation = tuple[
    torch.Tensor, torch.Tensor
]  # value and variance of its error, (N, C, H, W) float64


def run(
    net: Union[NetSpec, bytes, str, os.PathLike[str]],
    batch: npt.NDArray[Any],
    winograd: bool = True,
) -> tuple[Float64Array, Float64Array]:
    """The exact logits and the bound on a float32 execution's distance from them.

    net: a path, the bytes of a file, or a NetSpec.
    batch: (N, C, H, W) float32, normalised, or (N, H, W, C) uint8, normalised here with the net's
    mean and std.
    winograd: whether the execution may use Winograd's algorithm, for which the bound is wider.
    Returns two float64 arrays (N, classes), or (N, C, H, W) where the last map is not 1 x 1.
    """
    if isinstance(net, (str, os.PathLike)):
        net = Path(net).read_bytes()
    if isinstance(net, bytes):
        net = read(net)
    with torch.no_grad():
        chunks = [
            _forward(net, _prepare(net, batch[k : k + _CHUNK]), winograd)
            for k in range(0, len(batch), _CHUNK)
        ]
    logits, variance = (torch.cat(parts).numpy() for parts in zip(*chunks))
    if logits.shape[2:] == (1, 1):
        logits, variance = logits[:, :, 0, 0], variance[:, :, 0, 0]
    return logits, LAMBDA * np.sqrt(variance)


def _prepare(net: NetSpec, batch: npt.NDArray[Any]) -> Activation:
    x = torch.from_numpy(np.ascontiguousarray(batch)).double()
    if batch.dtype == np.float32:
        return x, torch.zeros_like(x)
    if batch.dtype != np.uint8:
        raise ValueError(f"batch has dtype {batch.dtype}, wanted float32 or uint8")
    mean = torch.tensor(net.input.mean, dtype=torch.float64).view(1, -1, 1, 1)
    std = torch.tensor(net.input.std, dtype=torch.float64).view(1, -1, 1, 1)
    x = x.permute(0, 3, 1, 2) / 255
    # In whatever order, a float32 (x / 255 - mean) / std rounds a few terms of at most this size.
    size = (x + mean.abs()) / std
    return (x - mean) / std, 4 * (UNIT_ROUNDOFF * size) ** 2


def _forward(net: NetSpec, image: Activation, winograd: bool) -> Activation:
    made: list[Activation] = []
    for layer in net.layers:
        inputs = [image if source == INPUT else made[source] for source in layer.inputs]
        if isinstance(layer, Conv):
            made.append(_conv(layer.conv, inputs[0], winograd))
        elif isinstance(layer, Fire):
            made.append(_fire(layer, inputs[0], winograd))
        elif isinstance(layer, MaxPool):
            made.append(_max_pool(layer, *inputs))
        elif isinstance(layer, Add):
            made.append(_add(layer, *inputs))
        else:
            made.append(_global_average(*inputs))
    return made[-1]


def _conv(conv: ConvSpec, source: Activation, winograd: bool) -> Activation:
    x, variance = source
    weight = torch.from_numpy(conv.weight.astype(np.float64))
    bias = torch.from_numpy(conv.bias.astype(np.float64)).view(1, -1, 1, 1)
    top, left, bottom, right = conv.padding
    x, variance = (F.pad(t, (left, right, top, bottom)) for t in (x, variance))
    y = F.conv2d(x, weight, stride=conv.stride) + bias
    brought = F.conv2d(variance, weight**2, stride=conv.stride)
    largest = F.conv2d(x.abs(), weight.abs(), stride=conv.stride)
    count = (weight != 0).sum(dim=(1, 2, 3)).view(1, -1, 1, 1) + 1
    if winograd and conv.kernel == (3, 3) and conv.stride == (1, 1):
        largest = torch.maximum(largest, tiles.largest_sums(x, weight))
        count = count + tiles.TRANSFORM_ROUNDINGS
    roundings = torch.minimum(count, (count / LAMBDA) ** 2)
    rounded = brought + roundings * (UNIT_ROUNDOFF * (largest + bias.abs())) ** 2
    return _relu(y, rounded) if conv.relu else (y, rounded)


def _relu(x: torch.Tensor, variance: torch.Tensor) -> Activation:
    surely_negative = x < -LAMBDA * variance.sqrt()
    return x.clamp(min=0), variance.masked_fill(surely_negative, 0)


def _fire(fire: Fire, source: Activation, winograd: bool) -> Activation:
    squeezed = _conv(fire.squeeze, source, winograd)
    expands = [
        _conv(c, squeezed, winograd) for c in (fire.expand1x1, fire.expand3x3) if c is not None
    ]
    values, variances = zip(*expands)
    return torch.cat(values, dim=1), torch.cat(variances, dim=1)


def _max_pool(pool: MaxPool, source: Activation) -> Activation:
    x, variance = source
    return window_max(pool, x, -torch.inf), window_max(pool, variance, 0.0)


def window_max(pool: MaxPool, x: torch.Tensor, outside: float) -> torch.Tensor:
    """(N, C, H, W) -> the largest of each window; outside: what padding counts as."""
    top, left, bottom, right = pool.padding
    rows = _reach(x.shape[2], pool.kernel[0], pool.stride[0], top, bottom, pool.ceil_mode)
    columns = _reach(x.shape[3], pool.kernel[1], pool.stride[1], left, right, pool.ceil_mode)
    # A negative padding crops what no window reaches.
    padding = (left, columns - left - x.shape[3], top, rows - top - x.shape[2])
    return F.max_pool2d(F.pad(x, padding, value=outside), pool.kernel, pool.stride)


def _reach(size: int, kernel: int, stride: int, before: int, after: int, ceil_mode: bool) -> int:
    """Pixels from the padding's begin to the last window's end."""
    begins = range(0, size + before + after - kernel + 1, stride)
    last = begins[-1]
    # ceil_mode adds a window for pixels left over, if it begins in the image or the padding before.
    if ceil_mode and last + kernel < size + before + after and last + stride < size + before:
        last += stride
    return last + kernel


def _add(add: Add, a: Activation, b: Activation) -> Activation:
    y = a[0] + b[0]
    variance = a[1] + b[1] + (UNIT_ROUNDOFF * y) ** 2
    return _relu(y, variance) if add.relu else (y, variance)


def _global_average(source: Activation) -> Activation:
    x, variance = source
    count = x.shape[2] * x.shape[3]
    y = x.mean(dim=(2, 3), keepdim=True)
    largest = x.abs().mean(dim=(2, 3), keepdim=True)
    roundings = max(count + 1, ((count + 1) / LAMBDA) ** 2)
    brought = _sum_of_maps(x.flatten(2), variance.flatten(2)) / count**2
    return y, brought[:, :, None, None] + roundings * (UNIT_ROUNDOFF * largest) ** 2


def _sum_of_maps(x: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """The variance of each map's sum: (N, C, H * W) -> (N, C). Equal values have equal errors."""
    ordered, order = x.sort(dim=2)
    deviation = variance.gather(2, order).sqrt()
    group = F.pad((ordered.diff(dim=2) != 0).cumsum(dim=2), (1, 0))
    return torch.zeros_like(deviation).scatter_add_(2, group, deviation).square().sum(dim=2)
