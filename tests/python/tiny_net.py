"""A net of a few kilobytes with every kind of layer, for tests of the Python side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from squishnative.spec import (
    INPUT,
    Add,
    Conv,
    ConvSpec,
    Fire,
    FloatArray,
    GlobalAveragePool,
    InputSpec,
    MaxPool,
    NetSpec,
)

SIZE = 24
CLASSES = 7
LABELS = [f"class {index}" for index in range(CLASSES)]


def tiny_spec(channels: int = 3, ends_in_map: bool = False) -> NetSpec:
    """conv 3x3/2, pool, two Fires with a bypass, conv 1x1, average; the same weights always."""
    rng = np.random.default_rng(0)

    def conv(
        outputs: int, inputs: int, kernel: int, stride: int = 1, pad: int = 0, relu: bool = True
    ) -> ConvSpec:
        spread = np.sqrt(2 / (inputs * kernel * kernel))
        weight = rng.normal(0, spread, (outputs, inputs, kernel, kernel)).astype(np.float32)
        bias = rng.normal(0, 0.1, outputs).astype(np.float32)
        return ConvSpec(weight, bias, (stride, stride), (pad,) * 4, relu)

    def fire(name: str, source: int) -> Fire:
        return Fire(name, source, conv(5, 20, 1), conv(9, 5, 1), conv(11, 5, 3, pad=1))

    net = NetSpec(InputSpec(channels, SIZE, SIZE, (0.5,) * channels, (0.25,) * channels, 28))
    net.layers = [
        Conv("conv1", INPUT, conv(20, channels, 3, stride=2)),
        MaxPool("pool1", 0),
        fire("fire2", 1),
        fire("fire3", 2),
        Add("bypass3", (2, 3)),
        Conv("conv4", 4, conv(CLASSES, 20, 1, relu=False)),
    ]
    if not ends_in_map:
        net.layers.append(GlobalAveragePool("pool4", 5))
    net.labels = list(LABELS)
    net.about = "for tests"
    return net


def save_tiny_net(folder: Path, channels: int = 3, ends_in_map: bool = False) -> Path:
    """Writes the net and returns its path."""
    path = folder / f"tiny{channels}{'map' * ends_in_map}.squish"
    tiny_spec(channels, ends_in_map).save(path)
    return path


def floats(count: int, channels: int = 3, size: int = SIZE) -> FloatArray:
    """(count, channels, size, size) float32, normal."""
    return np.random.default_rng(1).standard_normal((count, channels, size, size), np.float32)


def pixels(count: int, channels: int = 3, size: int = SIZE) -> npt.NDArray[np.uint8]:
    """(count, size, size, channels) uint8."""
    shape = (count, size, size, channels)
    return np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
