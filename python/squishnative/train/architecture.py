"""NetSpecs to begin with: a SqueezeNet without training, and a new head for a trained one."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Optional

import numpy as np

from squishnative.convert.squeezenet import VERSIONS, Version
from squishnative.spec import (
    INPUT,
    Conv,
    ConvSpec,
    Fire,
    FloatArray,
    GlobalAveragePool,
    InputSpec,
    Layer,
    MaxPool,
    NetSpec,
)

# (squeeze, expand1x1 = expand3x3) of fire2 to fire9, in 1.0 and 1.1 alike.
_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
_CONV1 = {"1.0": 96, "1.1": 64}


def squeezenet(version: str, classes: int, width: float = 1.0, seed: Optional[int] = 0) -> NetSpec:
    """SqueezeNet 1.0 or 1.1 with random weights (He et al. 2015) and a head without ReLU.

    width multiplies every layer's channels, rounded to multiples of 16. Raises ValueError on a
    version that is not there.
    """
    stages = _version(version).stages
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    channels = 3
    fires = iter(_FIRES)
    for _, name in stages:
        source = len(layers) - 1
        if name == "conv1":
            kernel = _version(version).kernel
            conv = _conv(rng, channels, _scaled(_CONV1[version], width), kernel, stride=2)
            layers.append(Conv(name, INPUT, conv))
            channels = conv.out_channels
        elif name.startswith("fire"):
            squeeze, expand = (_scaled(wide, width) for wide in next(fires))
            layers.append(
                Fire(
                    name,
                    source,
                    _conv(rng, channels, squeeze, 1),
                    _conv(rng, squeeze, expand, 1),
                    _conv(rng, squeeze, expand, 3),
                )
            )
            channels = 2 * expand
        else:
            layers.append(MaxPool(name, source))
    return NetSpec(InputSpec(), layers + _head(rng, len(layers) - 1, channels, classes))


def with_new_head(spec: NetSpec, labels: Sequence[str], seed: int = 0) -> NetSpec:
    """The net with its last convolution replaced by a random one without ReLU for `labels`.

    Raises ValueError where the net does not end in a convolution and a global average.
    """
    *body, conv, pool = spec.layers if len(spec.layers) > 1 else [None, None]
    if not isinstance(conv, Conv) or not isinstance(pool, GlobalAveragePool):
        raise ValueError("wanted a net that ends in a convolution and a global average pool")
    rng = np.random.default_rng(seed)
    head = _head(rng, conv.input, conv.conv.in_channels, len(labels))
    layers = [copy.deepcopy(layer) for layer in body if layer is not None] + head
    return NetSpec(copy.deepcopy(spec.input), layers, list(labels), spec.about)


def _head(rng: np.random.Generator, source: int, channels: int, classes: int) -> list[Layer]:
    # Without a ReLU: behind one, a class whose logits begin below zero never learns.
    weight = rng.normal(0, 0.01, (classes, channels, 1, 1)).astype(np.float32)
    conv = ConvSpec(weight, np.zeros(classes, np.float32), relu=False)
    return [Conv("conv10", source, conv), GlobalAveragePool("pool10", source + 1)]


def _conv(
    rng: np.random.Generator, inputs: int, outputs: int, kernel: int, stride: int = 1
) -> ConvSpec:
    deviation = math.sqrt(2 / (inputs * kernel**2))
    weight: FloatArray = rng.normal(0, deviation, (outputs, inputs, kernel, kernel)).astype(
        np.float32
    )
    pad = kernel // 2 if stride == 1 else 0
    bias = np.zeros(outputs, np.float32)
    return ConvSpec(weight, bias, (stride, stride), (pad, pad, pad, pad))


def _version(name: str) -> Version:
    for version in VERSIONS:
        if version.name == name:
            return version
    known = ", ".join(version.name for version in VERSIONS)
    raise ValueError(f"SqueezeNet version: got {name!r}, wanted one of {known}")


def _scaled(channels: int, width: float) -> int:
    return max(16, round(channels * width / 16) * 16)
