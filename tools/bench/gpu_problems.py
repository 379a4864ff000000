"""The nets that compare_gpu.py measures."""

from __future__ import annotations

from dataclasses import dataclass

import make_nets
import numpy as np
import squishnative
from squishnative import nets
from squishnative.spec import (
    INPUT,
    Conv,
    ConvSpec,
    Fire,
    GlobalAveragePool,
    InputSpec,
    MaxPool,
    NetSpec,
)

DENSITIES = ("dense", "clusters33", "clusters15", "clusters15x4")  # of make_nets.RECIPES
SHIPPED = tuple(nets.names())


@dataclass(frozen=True)
class Problem:
    """A net and the batch it runs on."""

    name: str
    spec: NetSpec
    batch: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """N, C, H, W of the input."""
        image = self.spec.input
        return (self.batch, image.channels, image.height, image.width)


def squeezenet_1_1(density: str, batch: int, extent: int = 224) -> Problem:
    """The nets of the CPU's benchmarks: 10 classes, random weights."""
    spec = make_nets.make_net(density)
    spec.input.height = spec.input.width = extent
    return Problem(density, spec, batch)


def shipped(name: str, batch: int) -> Problem:
    """A net that comes with the package, on images of its own size."""
    with squishnative.load(name) as net:
        return Problem(name, NetSpec.from_model(net.model).in_floats(), batch)


def kernelbench_17(batch: int = 128, extent: int = 256) -> Problem:
    """KernelBench's level 3, problem 17: one Fire, whose output alone is 4.3 GB."""
    rng = np.random.default_rng(17)
    net = NetSpec(_image(extent), [_fire("fire", INPUT, rng, 3, 6, 64)])
    return Problem("kernelbench 17", net, batch)


def kernelbench_18(batch: int = 64, extent: int = 512) -> Problem:
    """KernelBench's level 3, problem 18: SqueezeNet 1.0 with 1000 classes."""
    rng = np.random.default_rng(18)
    net = NetSpec(_image(extent), [Conv("conv1", INPUT, _conv(rng, 96, 3, 7, stride=2))])
    net.layers.append(MaxPool("pool1", 0, ceil_mode=True))
    channels = 96
    for number, (squeeze, expand) in enumerate(make_nets.FIRES, start=2):
        last = len(net.layers) - 1
        net.layers.append(_fire(f"fire{number}", last, rng, channels, squeeze, expand))
        channels = 2 * expand
        if number in (4, 8):
            net.layers.append(MaxPool(f"pool{number}", last + 1, ceil_mode=True))
    net.layers.append(Conv("conv10", len(net.layers) - 1, _conv(rng, 1000, channels, 1)))
    net.layers.append(GlobalAveragePool("pool10", len(net.layers) - 1))
    return Problem("kernelbench 18", net, batch)


def _image(extent: int) -> InputSpec:
    return InputSpec(height=extent, width=extent)


def _fire(
    name: str, source: int, rng: np.random.Generator, channels: int, squeeze: int, expand: int
) -> Fire:
    return Fire(
        name,
        source,
        _conv(rng, squeeze, channels, 1),
        _conv(rng, expand, squeeze, 1),
        _conv(rng, expand, squeeze, 3, pad=1),
    )


def _conv(
    rng: np.random.Generator, o: int, i: int, kernel: int, stride: int = 1, pad: int = 0
) -> ConvSpec:
    # He's initialisation: activations keep their size.
    scale = np.float32(np.sqrt(2 / (i * kernel * kernel)))
    weight = scale * rng.standard_normal((o, i, kernel, kernel), np.float32)
    bias = rng.uniform(0, 0.1, o).astype(np.float32)
    return ConvSpec(weight, bias, (stride, stride), (pad,) * 4)
