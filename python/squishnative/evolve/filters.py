"""Filters: which blocks of 16 stay, so that narrower nets come about and not only sparser ones.

A filter costs bytes for its bias, scale and bits of occupancy even where all its clusters are dead;
a block of 16 that nobody reads is removed from the file (`compact`).
"""

from __future__ import annotations

import copy
import math

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from squishnative.evolve.clusters import HEIGHT, Genome, members
from squishnative.spec import (
    INPUT,
    Add,
    Conv,
    ConvSpec,
    Fire,
    GlobalAveragePool,
    MaxPool,
    NetSpec,
)
from squishnative.train.network import Network

Importance = dict[str, npt.NDArray[np.float64]]  # of each filter of each convolution but the head
Kept = dict[str, npt.NDArray[np.bool_]]  # of each convolution: which output channels stay

_PARTS = 8  # that the images are cut into: the importance is a mean of squares over them


def importance(network: Network, images: torch.Tensor, classes: torch.Tensor) -> Importance:
    """How much the loss changes when a filter is taken away, to the first order.

    The square of the loss's gradient by a gate on the filter's output (Molchanov et al. 2019),
    which the norm's scale and shift tell: gate * (scale * x + shift).
    """
    network.eval()
    normed = [(name, conv.norm) for name, conv in network.named_convs() if conv.norm is not None]
    total = {name: np.zeros(norm.weight.numel()) for name, norm in normed}
    for batch, wanted in zip(images.chunk(_PARTS), classes.chunk(_PARTS)):
        network.zero_grad()
        F.cross_entropy(network(batch), wanted).backward()
        for name, norm in normed:
            assert norm.weight.grad is not None
            assert norm.bias.grad is not None
            gate = norm.weight * norm.weight.grad + norm.bias * norm.bias.grad
            total[name] += gate.detach().double().square().numpy()
    network.zero_grad()
    return total


def sort_filters(spec: NetSpec, worth: Importance) -> NetSpec:
    """The same function with the filters of each convolution in the order of their importance.

    So that those of little importance stand in blocks of their own. A net with an Add is returned
    as it is: both sides of a sum have one order.
    """
    if any(isinstance(layer, Add) for layer in spec.layers):
        return spec
    ordered = copy.deepcopy(spec)
    orders = {INPUT: np.arange(spec.input.channels)}  # of each layer's output
    for k, layer in enumerate(ordered.layers):
        before = orders[layer.inputs[0]]
        if isinstance(layer, Conv):
            orders[k] = _order(worth, layer.name, layer.conv.out_channels)
            layer.conv.weight = layer.conv.weight[:, before]
            _sort(layer.conv, orders[k])
        elif isinstance(layer, Fire):
            within = _order(worth, f"{layer.name}/squeeze", layer.squeeze.out_channels)
            layer.squeeze.weight = layer.squeeze.weight[:, before]
            _sort(layer.squeeze, within)
            parts, begin = [], 0
            for name, conv in list(layer.named_convs())[1:]:
                order = _order(worth, name, conv.out_channels)
                conv.weight = conv.weight[:, within]
                _sort(conv, order)
                parts.append(order + begin)
                begin += conv.out_channels
            orders[k] = np.concatenate(parts)
        else:
            orders[k] = before
    return ordered


def keep_blocks(worth: Importance, alive: Genome, share: float) -> Kept:
    """The most important blocks of each convolution: `share` of all, at least one.

    alive: of the parents; a block without a living cluster is never kept.
    """
    kept: Kept = {}
    for name, filters in worth.items():
        starts = np.arange(0, filters.size, HEIGHT)
        blocks = np.add.reduceat(filters, starts)
        living = alive[name].any((1, 2, 3))
        count = max(1, min(math.ceil(share * blocks.size - 1e-9), int(living.sum())))
        chosen = np.zeros(blocks.size, bool)
        chosen[np.argsort(-np.where(living, blocks, -1.0), kind="stable")[:count]] = True
        kept[name] = chosen.repeat(HEIGHT)[: filters.size]
    return kept


def region(spec: NetSpec, kept: Kept, width: int) -> Genome:
    """The clusters that may live: of filters that are kept, reading channels that are kept."""
    channels = {INPUT: np.ones(spec.input.channels, bool)}  # of each layer's output
    found: Genome = {}

    def add(name: str, shape: tuple[int, ...], inputs: npt.NDArray[np.bool_]) -> None:
        outputs = kept.get(name, np.ones(shape[0], bool))
        blocks = np.logical_or.reduceat(outputs, np.arange(0, shape[0], HEIGHT))
        read = np.logical_or.reduceat(inputs, np.arange(0, shape[1], width))
        found[name] = np.broadcast_to(
            blocks[:, None, None, None] & read[:, None, None], (blocks.size, read.size, *shape[2:])
        ).copy()

    for k, layer in enumerate(spec.layers):
        inputs = channels[layer.inputs[0]]
        if isinstance(layer, Fire):
            add(f"{layer.name}/squeeze", layer.squeeze.weight.shape, inputs)
            inputs = kept[f"{layer.name}/squeeze"]
            expands = list(layer.named_convs())[1:]
            for name, conv in expands:
                add(name, conv.weight.shape, inputs)
            channels[k] = np.concatenate([kept[name] for name, _ in expands])
        elif isinstance(layer, Conv):
            add(layer.name, layer.conv.weight.shape, inputs)
            channels[k] = kept.get(layer.name, np.ones(layer.conv.out_channels, bool))
        else:
            assert isinstance(layer, (Add, GlobalAveragePool, MaxPool))
            both = [channels[source] for source in layer.inputs]
            channels[k] = np.logical_or.reduce(both)
    return found


def filled(spec: NetSpec, living: Genome, width: int) -> NetSpec:
    """The net with every weight of these clusters 1 and all others 0: to count bytes with."""
    full = copy.deepcopy(spec)
    for layer in full.layers:
        for name, conv in layer.named_convs():
            conv.weight = members(living[name], conv.weight.shape, width).astype(np.float32)
    return full


def _order(worth: Importance, name: str, channels: int) -> npt.NDArray[np.int64]:
    if name not in worth:  # the head, whose order is the labels'
        return np.arange(channels)
    return np.argsort(-worth[name], kind="stable")


def _sort(conv: ConvSpec, order: npt.NDArray[np.int64]) -> None:
    conv.weight = np.ascontiguousarray(conv.weight[order])
    conv.bias = np.ascontiguousarray(conv.bias[order])
