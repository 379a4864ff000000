"""The figures of a report that are counted from weights."""

from __future__ import annotations

from evolution import small
from squishnative.report.summary import _macs, live_weights


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
