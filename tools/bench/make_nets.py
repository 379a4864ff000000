"""Makes the benchmarks' nets: SqueezeNet v1.1 for 10 classes at 224x224, random weights.

    python tools/bench/make_nets.py FOLDER

Times do not depend on the values of weights, only on which are zero; so random ones will do.
"""

from __future__ import annotations

import argparse
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from squishnative.spec import (
    INPUT,
    Conv,
    ConvSpec,
    Fire,
    FloatArray,
    GlobalAveragePool,
    InputSpec,
    MaxPool,
    NetSpec,
)

FIRES = [(16, 64)] * 2 + [(32, 128)] * 2 + [(48, 192)] * 2 + [(64, 256)] * 2  # squeeze, each expand
POOLS_BEFORE = (2, 4, 6)  # these Fires
CLASSES = 10


@dataclass(frozen=True)
class Recipe:
    """How a net differs from the dense one."""

    title: str  # in tables
    what: str
    density: float = 1.0
    unit: int = 16  # output channels that live or die together: 16 a cluster, 1 a synapse
    inputs: int = 1  # input channels that do
    dense_ends: bool = True  # conv1 and conv10 keep all their weights
    width: float = 1.0  # the share of filters that remains, everywhere but in conv10


RECIPES = {
    "dense": Recipe("dense", "dense"),
    "clusters33": Recipe(
        "33 % of clusters", "33 % of the 16x1 clusters, conv1 and conv10 dense", 0.33
    ),
    "clusters15": Recipe(
        "15 % of clusters", "15 % of the 16x1 clusters, conv1 and conv10 dense", 0.15
    ),
    "clusters15x4": Recipe(
        "15 % of 16x4 clusters", "15 % of the 16x4 clusters, conv1 and conv10 dense", 0.15, inputs=4
    ),
    "clusters15all": Recipe(
        "15 % of clusters, every layer",
        "15 % of the 16x1 clusters of every layer",
        0.15,
        dense_ends=False,
    ),
    "filters60": Recipe("60 % of filters", "60 % of the filters, dense", width=0.6),
    "synapses33": Recipe(
        "33 % of single synapses: runs as dense",
        "33 % of the single weights, conv1 and conv10 dense",
        0.33,
        unit=1,
    ),
}


def make_net(name: str) -> NetSpec:
    """The net of a recipe; the name decides all its weights."""
    return _Builder(name, RECIPES[name]).net()


class _Builder:
    def __init__(self, name: str, recipe: Recipe) -> None:
        self._name = name
        self._recipe = recipe
        self._rng = np.random.default_rng(zlib.crc32(name.encode()))

    def net(self) -> NetSpec:
        channels = self._width(64)
        conv1 = self._conv(channels, 3, 3, is_end=True)
        conv1.stride = (2, 2)
        net = NetSpec(InputSpec(), [Conv("conv1", INPUT, conv1)])
        for number, (squeeze, expand) in enumerate(FIRES, start=2):
            if number in POOLS_BEFORE:
                net.layers.append(MaxPool(f"pool{number - 1}", len(net.layers) - 1))
            fire = self._fire(number, len(net.layers) - 1, channels, squeeze, expand)
            net.layers.append(fire)
            channels = 2 * self._width(expand)
        head = self._conv(CLASSES, channels, 1, is_end=True)
        net.layers.append(Conv("conv10", len(net.layers) - 1, head))
        net.layers.append(GlobalAveragePool("pool10", len(net.layers) - 1))
        net.about = f"benchmark net '{self._name}': {self._recipe.what}; random weights"
        return net

    def _fire(self, number: int, source: int, channels: int, squeeze: int, expand: int) -> Fire:
        inner, outer = self._width(squeeze), self._width(expand)
        return Fire(
            f"fire{number}",
            source,
            self._conv(inner, channels, 1),
            self._conv(outer, inner, 1),
            self._conv(outer, inner, 3, pad=1),
        )

    def _width(self, filters: int) -> int:
        return round(filters * self._recipe.width)

    def _conv(self, o: int, i: int, kernel: int, pad: int = 0, is_end: bool = False) -> ConvSpec:
        density = 1.0 if is_end and self._recipe.dense_ends else self._recipe.density
        # He's initialisation for the weights that live: activations keep their size.
        scale = np.sqrt(2 / (i * kernel * kernel * density))
        weight = self._rng.standard_normal((o, i, kernel, kernel), np.float32) * np.float32(scale)
        bias = self._rng.uniform(0, 0.1, o).astype(np.float32)
        return ConvSpec(weight * self._lives(weight, density), bias, padding=(pad,) * 4)

    def _lives(self, weight: FloatArray, density: float) -> FloatArray:
        sizes = self._recipe.unit, self._recipe.inputs
        units = [-(-channels // size) for channels, size in zip(weight.shape, sizes)]
        lives = self._rng.random((*units, *weight.shape[2:])) < density
        whole = lives.repeat(sizes[0], axis=0).repeat(sizes[1], axis=1)
        return whole[: weight.shape[0], : weight.shape[1]].astype(np.float32)


def make_nets(folder: Path) -> list[Path]:
    """Writes every recipe's net into the folder; returns the files in the order of the recipes."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name in RECIPES:
        files.append(folder / f"{name}.squish")
        make_net(name).save(files[-1])
    return files


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="made where it is missing")
    for file in make_nets(parser.parse_args().folder):
        print(f"{file}: {file.stat().st_size} bytes, {RECIPES[file.stem].what}")


if __name__ == "__main__":
    main()
