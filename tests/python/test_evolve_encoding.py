from __future__ import annotations

import itertools
import math
from typing import Optional

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from squishnative.evolve.clusters import HEIGHT, genome_of, members, sums
from squishnative.evolve.encoding import (
    GROUPS,
    cluster_probabilities,
    draw_clusters,
    draw_synapses,
    synapse_probabilities,
)
from squishnative.spec import FloatArray
from squishnative.train.architecture import squeezenet

weights = arrays(
    np.float32, (4, 3, 2, 2), elements=st.floats(-2, 2, width=32, allow_subnormal=False)
)


def weight(seed: int = 0, scale: float = 0.1) -> FloatArray:
    return np.random.default_rng(seed).normal(0, scale, (5, 4, 3, 3)).astype(np.float32)


def brute_force_cluster(w: FloatArray, cluster: str, below: float) -> npt.NDArray[np.float64]:
    """Weight by weight, from the formula."""
    out_channels, in_channels, height, width = w.shape

    def total(o: int, i: Optional[int]) -> float:
        inputs = range(in_channels) if i is None else [i]
        found = (
            abs(float(w[o, c, y, x])) for c in inputs for y in range(height) for x in range(width)
        )
        return math.fsum(value for value in found if value >= below)

    pairs = [(o, i) for o in range(out_channels) for i in range(in_channels)]
    groups = {(o, i): total(o, None if cluster == "filter" else i) for o, i in pairs}
    largest = max(groups.values())
    result = np.empty(w.shape)
    for o, i in pairs:
        result[o, i] = math.exp((groups[o, i] / largest if largest else 0.0) - 1)
    return result


@pytest.mark.parametrize("cluster", GROUPS)
@pytest.mark.parametrize("below", [0.0, 0.05])
def test_cluster_probabilities_are_the_formula(cluster: str, below: float) -> None:
    got = np.broadcast_to(cluster_probabilities(weight(), cluster, below), weight().shape)
    np.testing.assert_allclose(got, brute_force_cluster(weight(), cluster, below), rtol=1e-12)


def test_synapse_probabilities_are_the_formula() -> None:
    w = weight()
    z = max(abs(float(value)) for value in w.flat)
    for got, value in zip(synapse_probabilities(w).flat, w.flat):
        assert got == pytest.approx(math.exp(abs(float(value)) / z - 1), rel=1e-12)


class TestThreeBugsOfAPublicReimplementation:
    """Each would change probabilities that a brute-force computation confirms."""

    def test_small_weights_are_not_truncated_to_whole_numbers(self) -> None:
        """Or every cluster of weights below 1 would have the probability 1/e."""
        probabilities = cluster_probabilities(weight(scale=0.01), "filter")
        assert probabilities.max() == 1
        assert len(np.unique(probabilities)) == 5

    def test_it_is_exp_of_x_minus_1_not_exp_of_x_less_1(self) -> None:
        """exp(0) - 1 is 0, exp(0 - 1) is 1/e; and e - 1 would be no probability."""
        w = np.array([0.0, 1.0], np.float32).reshape(2, 1, 1, 1)
        np.testing.assert_allclose(synapse_probabilities(w).ravel(), [1 / math.e, 1])
        np.testing.assert_allclose(cluster_probabilities(w, "filter").ravel(), [1 / math.e, 1])

    def test_z_is_the_largest_magnitude_not_the_largest_weight(self) -> None:
        w = np.array([-4.0, 2.0], np.float32).reshape(2, 1, 1, 1)
        np.testing.assert_allclose(synapse_probabilities(w).ravel(), [1, math.exp(-0.5)])
        assert synapse_probabilities(-abs(weight())).max() == 1


@given(weights)
@settings(deadline=None, max_examples=60)
def test_probabilities_are_probabilities_and_grow_with_magnitude(w: FloatArray) -> None:
    p = synapse_probabilities(w)
    assert (p >= 1 / math.e - 1e-12).all()
    assert (p <= 1).all()
    order = np.argsort(abs(w.ravel()), kind="stable")
    assert (np.diff(p.ravel()[order]) >= 0).all()
    np.testing.assert_array_equal(p, synapse_probabilities(-w))
    np.testing.assert_allclose(p, synapse_probabilities(w * 4), rtol=1e-6)


def test_synapses_are_drawn_with_the_product_of_both() -> None:
    """Frequencies over many draws, within five deviations of a brute-force computation."""
    w, fc, fs, draws = weight(), 0.9, 0.8, 4000
    rng = np.random.default_rng(5)
    found = np.mean([draw_synapses(w, fc, fs, rng) for _ in range(draws)], axis=0)
    wanted = fc * brute_force_cluster(w, "filter", 0.0) * fs * synapse_probabilities(w)
    deviation = np.sqrt(wanted * (1 - wanted) / draws)
    assert (abs(found - wanted) < 5 * deviation).all()


def test_a_cluster_lives_or_dies_as_a_whole() -> None:
    """With a synapse factor that kills nothing of equal weights."""
    w = np.full((40, 3, 3, 3), 0.5, np.float32)
    alive = draw_synapses(w, 0.5, 1.0, np.random.default_rng(0))
    shares = alive.mean((1, 2, 3))
    assert set(shares) == {0.0, 1.0}


def test_what_died_is_not_inherited() -> None:
    w = weight()
    w[abs(w) < 0.1] = 0
    alive = draw_synapses(w, 1.0, 1.0, np.random.default_rng(0))
    assert not (alive & (w == 0)).any()


@pytest.mark.parametrize("factor", [-0.1, 1.1, float("nan")])
def test_refuses_factors_that_are_no_shares(factor: float) -> None:
    with pytest.raises(ValueError, match=r"cluster_factor: got .*, must be 0 to 1"):
        draw_synapses(weight(), factor, 0.5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="wanted one of filter, kernel"):
        cluster_probabilities(weight(), "layer")


@given(st.integers(0, 30), st.floats(0, 2), st.integers(0, 1000))
@settings(deadline=None, max_examples=100)
def test_draws_exactly_so_many_clusters(count: int, temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    strength = rng.random((2, 3, 2, 2))
    assert draw_clusters(strength, count, temperature, rng).sum() == min(count, 24)


def test_without_temperature_the_strongest_live() -> None:
    strength = np.random.default_rng(0).random((3, 4, 1, 1))
    alive = draw_clusters(strength, 5, 0.0, np.random.default_rng(1))
    assert strength[alive].min() > strength[~alive].max()


def test_clusters_are_drawn_with_the_exponential_of_their_strength() -> None:
    """One of four: P = exp(s / (z T)) / sum, z the second largest, over many draws."""
    strength, temperature, draws = np.array([1.0, 2.0, 3.0, 4.0]), 0.4, 4000
    rng = np.random.default_rng(3)
    found = (
        sum(draw_clusters(strength, 1, temperature, rng).astype(int) for _ in range(draws)) / draws
    )
    wanted = np.exp(strength / (3.0 * temperature))
    wanted /= wanted.sum()
    assert (abs(found - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / draws)).all()


@pytest.mark.parametrize("out_channels", [1, 15, 16, 17, 40])
@pytest.mark.parametrize(("in_channels", "width"), [(3, 1), (1, 4), (3, 4), (4, 4), (9, 4)])
def test_clusters_are_the_files(out_channels: int, in_channels: int, width: int) -> None:
    """16 output channels at some input channels and a position, the last ones smaller."""
    shape = (out_channels, in_channels, 2, 2)
    w = np.random.default_rng(0).random(shape).astype(np.float32)
    total = sums(w, width)
    blocks, groups = -(-out_channels // HEIGHT), -(-in_channels // width)
    assert total.shape == (blocks, groups, 2, 2)
    for b, i in itertools.product(range(blocks), range(groups)):
        part = w[HEIGHT * b : HEIGHT * (b + 1), width * i : width * (i + 1)]
        np.testing.assert_allclose(total[b, i], part.astype(float).sum((0, 1)))
    alive = total > np.median(total)
    spread = members(alive, shape, width)
    assert spread.shape == w.shape
    np.testing.assert_array_equal(sums(spread.astype(float), width) > 0, alive)


@pytest.mark.parametrize("width", [1, 4])
def test_a_genome_is_what_the_engine_counts(width: int) -> None:
    spec = squeezenet("1.1", 3, width=0.25)
    rng = np.random.default_rng(0)
    for layer in spec.layers:
        for _, conv in layer.named_convs():
            dead = rng.random(sums(conv.weight, width).shape) < 0.6
            conv.weight *= ~members(dead, conv.weight.shape, width)
    genome = genome_of(spec)
    from squishnative._core import Model

    infos = [c for layer in Model.from_bytes(spec.to_bytes()).layers for c in layer.convs]
    living = {name: int(alive.sum()) for name, alive in genome.items()}
    assert list(living.values()) == [info.live_clusters for info in infos if info.out_channels]
    everything = sum(alive.size for alive in genome.values())
    assert sum(living.values()) / everything == pytest.approx(0.4, abs=0.05)
