"""A model of a device: a net's arithmetic and memory traffic at the rates of the data sheet.

    python tools/bench/roofline.py NET.squish... --device tx1

NOT a measurement and not a prediction. Each layer takes the longer of its multiply-adds (of
clusters that live) at the peak rate and its bytes at the memory's bandwidth: weights that live,
inputs read once, outputs written once. A pool after a convolution and a Fire's squeeze cost no
memory, as the kernels keep them on the chip. Real programs reach a part of the peak and pay for
launches; a cache that keeps one layer's output for the next may save some of the traffic.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import squishnative
from squishnative.spec import (
    INPUT,
    Conv,
    ConvSpec,
    Fire,
    GlobalAveragePool,
    Layer,
    MaxPool,
    NetSpec,
)
from squishnative.tables import format_table

CLUSTER = 16  # output channels that live or die together


@dataclass(frozen=True)
class Device:
    """From data sheets, at the highest clocks."""

    title: str
    flops: dict[str, float]  # a second, by precision; a multiply-add is two
    bandwidth: float  # bytes a second


DEVICES = {
    # 256 Maxwell cores at 998 MHz, half2 arithmetic at twice the rate; 64-bit LPDDR4 at 1600 MHz.
    "tx1": Device("Jetson TX1", {"f32": 511e9, "f16": 1022e9}, 25.6e9),
    # 128 of the same at 921.6 MHz.
    "nano": Device("Jetson Nano", {"f32": 236e9, "f16": 472e9}, 25.6e9),
}
BYTES = {"f32": 4, "f16": 2}  # of a weight or an activation


def model_seconds(spec: NetSpec, device: Device, precision: str) -> float:
    """Of one image."""
    shapes = spec.shapes()
    image = (spec.input.channels, spec.input.height, spec.input.width)
    total = 0.0
    for k, layer in enumerate(spec.layers):
        if _fused(spec, k):
            continue
        sources = [image if source == INPUT else shapes[source] for source in layer.inputs]
        output = shapes[k]
        if k + 1 < len(spec.layers) and _fused(spec, k + 1):
            output = shapes[k + 1]
        living = sum(_living(conv) for _, conv in layer.named_convs())
        values = sum(math.prod(shape) for shape in [*sources, output]) + living
        flops = 2 * _macs(layer, sources[0], shapes[k])
        memory = values * BYTES[precision] / device.bandwidth
        total += max(flops / device.flops[precision], memory)
    return total


def _fused(spec: NetSpec, k: int) -> bool:
    """A pool or an average that the convolution before it computes as well."""
    layer = spec.layers[k]
    if not isinstance(layer, (MaxPool, GlobalAveragePool)) or k == 0 or layer.inputs[0] != k - 1:
        return False
    readers = [other for other in spec.layers if k - 1 in other.inputs]
    return isinstance(spec.layers[k - 1], (Conv, Fire)) and len(readers) == 1


def _living(conv: ConvSpec) -> int:
    """Weights of clusters that live."""
    living = 0
    for first in range(0, conv.out_channels, CLUSTER):
        block = conv.weight[first : first + CLUSTER]
        living += int((block != 0).any(0).sum()) * len(block)
    return living


def _macs(layer: Layer, source: tuple[int, int, int], output: tuple[int, int, int]) -> int:
    if isinstance(layer, Conv):
        return _living(layer.conv) * output[1] * output[2]
    if isinstance(layer, Fire):
        expands = [conv for conv in (layer.expand1x1, layer.expand3x3) if conv is not None]
        squeezed = _living(layer.squeeze) * source[1] * source[2]
        return squeezed + sum(map(_living, expands)) * output[1] * output[2]
    return 0


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("nets", type=Path, nargs="+", metavar="NET.squish")
    parser.add_argument("--device", choices=DEVICES, default="tx1")
    options = parser.parse_args()
    device = DEVICES[options.device]
    rows = []
    for path in options.nets:
        try:
            with squishnative.load(path) as net:
                spec = NetSpec.from_model(net.model)
        except (OSError, ValueError) as error:
            sys.exit(f"roofline.py: {error}")
        seconds = [model_seconds(spec, device, precision) for precision in device.flops]
        rows.append([path.stem, *(f"{1e3 * s:.2f} ms, {1 / s:.0f}/s" for s in seconds)])
    print(f"{device.title}: a model, not measured; an image, images a second\n")
    print(format_table(["net", *device.flops], rows, left=1))


if __name__ == "__main__":
    main()
