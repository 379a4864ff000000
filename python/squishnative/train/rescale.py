"""The same net with activations of unit size everywhere, for one learning rate to suit all.

ReLU, max pool and average are positively homogeneous: what a convolution's weights are divided by,
the next one's can be multiplied by. Pretrained nets without batch norm need it; Caffe's SqueezeNet
ends in activations around 100, and a new head on top of them diverges.
"""

from __future__ import annotations

import copy

import torch

from squishnative.spec import INPUT, Add, Conv, ConvSpec, Fire, Layer, NetSpec
from squishnative.train.network import Network, TrainableConv


def rescaled(spec: NetSpec, images: torch.Tensor) -> NetSpec:
    """The net with every activation's root mean square over `images` 1, its logits unchanged.

    images: (N, C, H, W) normalised. A net with an Add is returned as it is: the two sides of a sum
    can only be scaled alike.
    """
    if any(isinstance(layer, Add) for layer in spec.layers):
        return spec
    sizes = _mean_squares(spec, images)
    factors = {INPUT: 1.0}  # of each layer's output: what it is larger by than it will be
    layers: list[Layer] = []
    last = [name for layer in spec.layers for name, _ in layer.named_convs()][-1]
    for k, layer in enumerate(spec.layers):
        before = factors[layer.inputs[0]]
        if isinstance(layer, Conv):
            factors[k] = 1.0 if layer.name == last else _factor([sizes[layer.name]])
            conv = _scaled(layer.conv, before, factors[k])
            layers.append(Conv(layer.name, layer.input, conv))
        elif isinstance(layer, Fire):
            within = _factor([sizes[f"{layer.name}/squeeze"]])
            expands = [name for name, _ in layer.named_convs()][1:]
            factors[k] = _factor([sizes[name] for name in expands])
            layers.append(_scaled_fire(layer, before, within, factors[k]))
        else:
            layers.append(copy.copy(layer))
            factors[k] = before
    return NetSpec(copy.copy(spec.input), layers, list(spec.labels), spec.about)


@torch.no_grad()
def _mean_squares(spec: NetSpec, images: torch.Tensor) -> dict[str, float]:
    """Of each convolution's output."""
    network = Network(spec, normed=False).eval()
    names = {conv: name for name, conv in network.named_convs()}
    found: dict[str, float] = {}

    def measure(conv: TrainableConv, x: torch.Tensor) -> torch.Tensor:
        y = conv.forward(x)
        found[names[conv]] = float(y.square().mean())
        return y

    network.run(images, measure)
    return found


def _factor(mean_squares: list[float]) -> float:
    size = (sum(mean_squares) / len(mean_squares)) ** 0.5
    return size if size > 0 else 1.0


def _scaled(conv: ConvSpec, before: float, after: float) -> ConvSpec:
    return ConvSpec(
        (conv.weight * (before / after)).astype("f4"),
        (conv.bias / after).astype("f4"),
        conv.stride,
        conv.padding,
        conv.relu,
    )


def _scaled_fire(fire: Fire, before: float, within: float, after: float) -> Fire:
    expands = [
        None if conv is None else _scaled(conv, within, after)
        for conv in (fire.expand1x1, fire.expand3x3)
    ]
    return Fire(fire.name, fire.input, _scaled(fire.squeeze, before, within), *expands)
