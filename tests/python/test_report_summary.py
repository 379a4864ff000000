"""The figures of a report that are counted from weights."""

from __future__ import annotations

import copy
from dataclasses import replace

from evolution import small
from squishnative.evolve.individual import Individual
from squishnative.report.summary import _macs, factors_of, live_weights
from squishnative.spec import Conv, GlobalAveragePool


def test_heads_are_found_wherever_they_stand() -> None:
    """A net may average before its last convolution."""
    spec = small()
    *body, head, average = spec.layers
    assert isinstance(head, Conv)
    assert isinstance(average, GlobalAveragePool)
    turned = copy.deepcopy(spec)
    turned.layers = [
        *body,
        replace(average, input=len(body) - 1),
        replace(head, input=len(body)),
    ]
    individual = Individual.__new__(Individual)
    individual.dtype, individual.bytes = "i8", {"f32": 9000, "i8": 3000}
    found = [factors_of(individual, net, 10_000, net).head for net in (spec, turned)]
    assert found[0] == found[1] > 1


def test_single_zeros_are_computed_and_dead_clusters_are_not() -> None:
    spec = small()
    _, conv = next(iter(spec.layers[0].named_convs()))
    weights, macs = live_weights(spec), _macs(spec)
    conv.weight[3, 1, 2, 0] = 0  # its cluster has other weights
    assert (live_weights(spec), _macs(spec)) == (weights, macs)
    conv.weight[:16, 1, 2, 0] = 0
    _, height, width = spec.shapes()[0]
    assert live_weights(spec) == weights - 16
    assert _macs(spec) == macs - 16 * height * width
