"""Torchvision-named SqueezeNet 1.0 and 1.1 state dicts to a NetSpec.

The two versions differ in where the pools stand, and so in the numbers of the Fires in `features`.
Widths and the class count are free: evolution changes them. The net ends in conv, ReLU, average
pool.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

import numpy as np

from squishnative.convert.errors import ConvertError
from squishnative.convert.tensors import Tensors
from squishnative.spec import (
    INPUT,
    Conv,
    ConvSpec,
    Fire,
    GlobalAveragePool,
    InputSpec,
    Layer,
    MaxPool,
    NetSpec,
)

CLASSIFIER = "classifier.1"


@dataclass(frozen=True)
class Version:
    """Where the layers of a version stand in torchvision's `features`."""

    name: str
    kernel: int  # of conv1, whose stride is 2 and padding 0
    fires: tuple[int, ...]
    pools: tuple[int, ...]

    @property
    def stages(self) -> list[tuple[int, str]]:
        """(index in `features`, layer name) from conv1 to the last Fire, named as in the paper."""
        stages = {0: "conv1"}
        stages.update({index: f"fire{n}" for n, index in enumerate(self.fires, start=2)})
        for index in self.pools:
            before = max(i for i in stages if i < index)
            stages[index] = "pool" + stages[before].lstrip("convfire")
        return sorted(stages.items())


VERSIONS = (
    Version("1.0", 7, (3, 4, 5, 7, 8, 9, 10, 12), (2, 6, 11)),
    Version("1.1", 3, (3, 4, 6, 7, 9, 10, 11, 12), (2, 5, 8)),
)


def from_state_dict(tensors: Tensors) -> NetSpec:
    """The net of tensors without batch norms (see `batch_norm.fold_state_dict`).

    Raises ConvertError on what does not fit.
    """
    for wanted in ("features.0.weight", f"{CLASSIFIER}.weight"):
        if wanted not in tensors:
            raise ConvertError(
                f"not a torchvision-named SqueezeNet: wanted {wanted!r}, got {_some(tensors)}"
            )
    version = _version(tensors)
    reader = _Reader(tensors)
    layers: list[Layer] = []
    image = tensors["features.0.weight"]
    channels = image_channels = image.shape[1] if image.ndim == 4 else 3
    for index, name in version.stages:
        source = len(layers) - 1
        key = f"features.{index}"
        if index == 0:
            conv = reader.conv(key, channels, version.kernel, stride=2)
            layers.append(Conv(name, INPUT, conv))
            channels = conv.out_channels
        elif index in version.fires:
            fire = reader.fire(name, source, key, channels)
            layers.append(fire)
            channels = sum(
                c.out_channels for c in (fire.expand1x1, fire.expand3x3) if c is not None
            )
        else:
            layers.append(MaxPool(name, source))
    layers.append(Conv("conv10", len(layers) - 1, reader.conv(CLASSIFIER, channels, 1)))
    layers.append(GlobalAveragePool("pool10", len(layers) - 1))
    reader.check_all_used(version)
    return NetSpec(InputSpec(channels=image_channels), layers)


def _version(tensors: Tensors) -> Version:
    matches = [re.fullmatch(r"features\.([0-9]{1,4})\.squeeze\.weight", name) for name in tensors]
    found = {int(match[1]) for match in matches if match}
    for version in VERSIONS:
        if found == set(version.fires):
            return version
    wanted = " or ".join(f"{version.name}'s {version.fires}" for version in VERSIONS)
    raise ConvertError(f"Fires stand at features {tuple(sorted(found))}, wanted {wanted}")


class _Reader:
    """Takes convolutions out of a state dict, checks their shapes, and knows what nobody took."""

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        self._used: set[str] = set()

    def conv(self, key: str, in_channels: int, kernel: int, stride: int = 1) -> ConvSpec:
        conv = self.optional_conv(key, in_channels, kernel, stride)
        if conv is None:
            raise ConvertError(f"tensor '{key}.weight' is missing or has no output channels")
        return conv

    def optional_conv(
        self, key: str, in_channels: int, kernel: int, stride: int = 1
    ) -> Optional[ConvSpec]:
        """None for a convolution that is absent or zero channels wide."""
        name = f"{key}.weight"
        weight = self._tensors.get(name)
        if weight is None:
            return None
        self._used |= {name, f"{key}.bias"}
        if weight.ndim != 4 or weight.shape[1:] != (in_channels, kernel, kernel):
            wanted = f"(any, {in_channels}, {kernel}, {kernel})"
            raise ConvertError(f"tensor {name!r} has shape {weight.shape}, wanted {wanted}")
        channels = weight.shape[0]
        bias = self._tensors.get(f"{key}.bias", np.zeros(channels, np.float32))
        if bias.shape != (channels,):
            raise ConvertError(f"tensor '{key}.bias' has shape {bias.shape}, wanted ({channels},)")
        if channels == 0:
            return None
        pad = kernel // 2 if stride == 1 else 0
        return ConvSpec(weight, bias, (stride, stride), (pad, pad, pad, pad))

    def fire(self, name: str, source: int, key: str, in_channels: int) -> Fire:
        squeeze = self.conv(f"{key}.squeeze", in_channels, 1)
        expand1x1 = self.optional_conv(f"{key}.expand1x1", squeeze.out_channels, 1)
        expand3x3 = self.optional_conv(f"{key}.expand3x3", squeeze.out_channels, 3)
        if expand1x1 is None and expand3x3 is None:
            raise ConvertError(f"{key!r} has neither 'expand1x1.weight' nor 'expand3x3.weight'")
        return Fire(name, source, squeeze, expand1x1, expand3x3)

    def check_all_used(self, version: Version) -> None:
        left = {name: t for name, t in self._tensors.items() if name not in self._used}
        if left:
            raise ConvertError(f"no place in SqueezeNet {version.name} for {_some(left)}")


def _some(tensors: Tensors) -> str:
    """The first few tensors with their shapes."""
    shown = [f"{name!r} {array.shape}" for name, array in list(tensors.items())[:4]]
    return ", ".join(shown) + (f" and {len(tensors) - 4} more" if len(tensors) > 4 else "")
