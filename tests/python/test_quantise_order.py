"""The order of squeezes' filters: what it leaves the same, and how good it is."""

from __future__ import annotations

import copy
import itertools
from typing import Optional

import numpy as np
import numpy.typing as npt
import pytest
import squishnative
from squishnative import _core, nets
from squishnative.quantise import quantise
from squishnative.quantise.order import (
    _change_of_groups,
    _members,
    best_order,
    count_quads,
    order_filters,
)
from squishnative.spec import Conv, ConvSpec, Fire, InputSpec, NetSpec


def sparse_conv(
    rng: np.random.Generator, outputs: int, inputs: int, kernel: int, density: float
) -> ConvSpec:
    """Weights in a share of the 16x1 clusters."""
    weight = rng.standard_normal((outputs, inputs, kernel, kernel)).astype(np.float32)
    blocks = -(-outputs // 16)
    alive = rng.random((blocks, inputs, kernel, kernel)) < density
    weight *= np.repeat(alive, 16, axis=0)[:outputs]
    return ConvSpec(weight, rng.standard_normal(outputs).astype(np.float32))


def sparse_fire(
    seed: int,
    widths: tuple[int, int, int] = (32, 64, 64),
    density: float = 0.3,
    squeeze_density: float = 1.0,
) -> Fire:
    rng = np.random.default_rng(seed)
    squeeze, expand1x1, expand3x3 = widths

    def expand(outputs: int, kernel: int) -> Optional[ConvSpec]:
        return sparse_conv(rng, outputs, squeeze, kernel, density) if outputs else None

    conv3x3 = expand(expand3x3, 3)
    if conv3x3 is not None:
        conv3x3.padding = (1, 1, 1, 1)
    return Fire(
        "fire",
        0,
        sparse_conv(rng, squeeze, 24, 1, squeeze_density),
        expand(expand1x1, 1),
        conv3x3,
    )


def net_of(fire: Fire, seed: int = 0) -> NetSpec:
    rng = np.random.default_rng(seed)
    first = Conv("first", -1, sparse_conv(rng, 24, 3, 3, 1))
    return NetSpec(InputSpec(3, 12, 13, (0.5,) * 3, (0.25,) * 3), [first, fire])


def ordered(fire: Fire) -> Fire:
    spec = copy.deepcopy(net_of(fire))
    order_filters(spec, net_of(fire))
    found = spec.layers[1]
    assert isinstance(found, Fire)
    return found


def squeeze_clusters(fire: Fire) -> int:
    weight = fire.squeeze.weight != 0
    blocks = [weight[first : first + 16].any(0) for first in range(0, len(weight), 16)]
    return int(np.sum(blocks))


CASES = {
    "many": {},
    "one kernel": {"widths": (32, 0, 64)},
    "the other": {"widths": (32, 64, 0)},
    "not whole quads": {"widths": (10, 20, 33)},
    "not whole blocks": {"widths": (37, 48, 48)},
    "few": {"widths": (3, 16, 16)},
    "nearly dead": {"density": 0.02},
    "dense": {"density": 1.0},
    "sparse squeeze": {"squeeze_density": 0.1},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_leaves_no_more_quads_nor_clusters_of_the_squeeze(case: str, seed: int) -> None:
    fire = sparse_fire(seed, **CASES[case])  # type: ignore[arg-type]
    after = ordered(fire)
    assert count_quads(after) <= count_quads(fire)
    assert squeeze_clusters(after) <= squeeze_clusters(fire)
    if case in ("many", "one kernel", "the other", "not whole blocks"):
        assert count_quads(after) < 0.97 * count_quads(fire)


@pytest.mark.parametrize("case", CASES)
def test_the_net_computes_the_same(case: str) -> None:
    fire = sparse_fire(5, **CASES[case])  # type: ignore[arg-type]
    images = np.random.default_rng(1).standard_normal((2, 3, 12, 13)).astype(np.float32)
    logits = []
    for each in (fire, ordered(fire)):
        model = _core.Model.from_bytes(net_of(each).to_bytes())
        logits.append(_core.Session(model, "reference", storage="f32").run(images))
    np.testing.assert_allclose(logits[0], logits[1], rtol=1e-5, atol=1e-4)


def test_dense_fires_stay_as_they_are() -> None:
    fire = sparse_fire(1, density=1.0)
    np.testing.assert_array_equal(best_order(fire), np.arange(32))


def test_the_same_net_gets_the_same_order() -> None:
    np.testing.assert_array_equal(best_order(sparse_fire(4)), best_order(sparse_fire(4)))


@pytest.mark.parametrize("seed", range(5))
def test_finds_the_best_of_all_orders_of_eight_filters(seed: int) -> None:
    fire = sparse_fire(seed, (8, 48, 48), 0.25)
    least = min(
        count_quads(_permuted(fire, [*quad, *sorted(set(range(8)) - set(quad))]))
        for quad in itertools.combinations(range(8), 4)
    )
    assert count_quads(_permuted(fire, list(best_order(fire)))) == least


def _permuted(fire: Fire, order: list[int]) -> Fire:
    fire = copy.deepcopy(fire)
    for expand in (fire.expand1x1, fire.expand3x3):
        assert expand is not None
        expand.weight = expand.weight[:, order]
    return fire


@pytest.mark.parametrize("columns", [7, 16, 33])
def test_the_change_of_an_exchange_is_what_counting_anew_says(columns: int) -> None:
    rng = np.random.default_rng(columns)
    living = (rng.random((20, columns)) < 0.3).astype(np.float32)
    groups = np.arange(columns) // 4

    def count(order: npt.NDArray[np.intp]) -> int:
        return int((_members(living[:, order], groups) > 0).sum())

    before = count(np.arange(columns))
    change = _change_of_groups(living, groups)
    for first, second in itertools.combinations(range(columns), 2):
        if groups[first] == groups[second]:
            continue
        order = np.arange(columns)
        order[[first, second]] = order[[second, first]]
        assert change[first, second] == count(order) - before


def test_quantise_orders_filters_by_the_weights_of_the_file() -> None:
    fire = sparse_fire(7)
    assert fire.expand3x3 is not None
    # Weights that int4 makes 0: clusters that live here and not in the file.
    weight = fire.expand3x3.weight
    fire.expand3x3.weight = np.where(weight == 0, 1e-4, weight).astype(np.float32)
    images = np.random.default_rng(2).integers(0, 256, (8, 12, 13, 3), np.uint8)
    made = quantise(net_of(fire), images, "i4")
    stored = NetSpec.from_model(_core.Model.from_bytes(made.to_bytes("i4"))).layers[1]
    plain = NetSpec.from_model(_core.Model.from_bytes(net_of(fire).to_bytes("i4"))).layers[1]
    assert isinstance(stored, Fire)
    assert isinstance(plain, Fire)
    assert count_quads(stored) < 0.97 * count_quads(plain)


@pytest.mark.parametrize("name", nets.names())
def test_nets_of_the_package_are_ordered(name: str) -> None:
    with squishnative.load(name) as net:
        fires = [f for f in NetSpec.from_model(net.model).layers if isinstance(f, Fire)]
    before = sum(count_quads(fire) for fire in fires)
    after = sum(count_quads(ordered(fire)) for fire in fires)
    assert after > 0.98 * before, "another search finds hardly fewer"
