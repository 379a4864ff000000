from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evolution import assert_same, sample, small, uneven
from nets import random_net
from pictures import SIZE
from squishnative.evolve.clusters import members, sums
from squishnative.evolve.compact import compact
from squishnative.evolve.filters import importance, keep_blocks, sort_filters
from squishnative.spec import Add, Fire, NetSpec
from squishnative.train.dataset import Dataset
from squishnative.train.run import prepare

pytestmark = pytest.mark.usefixtures("one_thread")


def widths(spec: NetSpec) -> int:
    return sum(conv.out_channels for layer in spec.layers for _, conv in layer.named_convs())


def has_sum(spec: NetSpec) -> bool:
    return any(isinstance(layer, Add) for layer in spec.layers)


class TestFilters:
    def test_sorted_filters_are_the_same_function(self, data: Dataset, tmp_path: Path) -> None:
        spec = small()
        x = sample(data, spec)
        worth = importance(prepare(spec, x.images), x.images, x.classes)
        ordered = sort_filters(spec, worth)
        batch = x.images[:4].numpy()
        assert_same(spec, ordered, batch, tmp_path)
        again = importance(prepare(ordered, x.images), x.images, x.classes)
        for name, values in again.items():
            assert (np.diff(values) <= 1e-3 * values.max()).all(), name

    def test_nets_with_a_sum_keep_their_order(self) -> None:
        spec, _ = random_net(next(k for k in range(99) if has_sum(random_net(k)[0])))
        rng = np.random.default_rng(0)
        worth = {
            name: rng.random(conv.out_channels)
            for layer in spec.layers
            for name, conv in layer.named_convs()
        }
        assert sort_filters(spec, worth).to_bytes() == spec.to_bytes()

    def test_importance_is_what_the_loss_says(self, data: Dataset) -> None:
        """A filter that nothing reads has none."""
        spec = small()
        fire = next(layer for layer in spec.layers if layer.name == "fire4")
        assert isinstance(fire, Fire)
        fire.squeeze.weight[:, 5] = 0
        x = sample(data, spec)
        worth = importance(prepare(spec, x.images), x.images, x.classes)
        assert worth["fire3/expand1x1"][5] == 0
        assert (np.delete(worth["fire3/expand1x1"], 5) > 0).sum() > 8
        assert "conv10" not in worth

    def test_the_best_blocks_are_kept_and_dead_ones_never(self) -> None:
        worth = {"c": np.repeat([1.0, 9, 5, 7], 16)}
        alive = {"c": np.ones((4, 2, 1, 1), bool)}
        alive["c"][1] = False
        for share, wanted in ((0.5, [2, 3]), (0.01, [3]), (1.0, [0, 2, 3])):
            kept = keep_blocks(worth, alive, share)["c"]
            assert np.flatnonzero(kept[::16]).tolist() == wanted


class TestCompact:
    @pytest.mark.parametrize("seed", range(20))
    def test_is_the_same_function(self, seed: int, tmp_path: Path) -> None:
        spec, batch = random_net(seed)
        assert_same(spec, compact(spec), batch, tmp_path)

    @pytest.mark.parametrize("seed", range(3))
    def test_clusters_stay_the_same_ones(self, seed: int) -> None:
        """Of any width: a filter that moves by less than a quad would change them all."""
        spec, rng = uneven(seed), np.random.default_rng(seed)
        for layer in spec.layers:
            for _, conv in layer.named_convs():
                alive = rng.random(sums(conv.weight, 4).shape) < 0.02
                conv.weight = conv.weight * members(alive, conv.weight.shape, 4)
        narrow = compact(spec)
        assert widths(narrow) < widths(spec)
        for layer in narrow.layers:
            for _, conv in layer.named_convs():
                alive = sums(conv.weight != 0, 4) > 0
                whole = members(alive, conv.weight.shape, 4)
                np.testing.assert_array_equal(conv.weight != 0, whole)

    def test_removes_what_nobody_reads(self, tmp_path: Path) -> None:
        spec = small()
        fire2, fire3 = (layer for layer in spec.layers if layer.name in ("fire2", "fire3"))
        assert isinstance(fire2, Fire)
        assert isinstance(fire3, Fire)
        assert fire2.expand1x1 is not None
        fire3.squeeze.weight[:, : fire2.expand1x1.out_channels] = 0  # nothing of fire2/expand1x1
        fire3.squeeze.weight[:, -1] = 0  # one filter: its block stays
        small_net = compact(spec)
        narrow = next(layer for layer in small_net.layers if layer.name == "fire2")
        assert isinstance(narrow, Fire)
        assert narrow.expand1x1 is None
        assert narrow.expand3x3 is not None
        assert fire2.expand3x3 is not None
        assert narrow.expand3x3.out_channels == fire2.expand3x3.out_channels
        assert len(small_net.to_bytes()) < len(spec.to_bytes())
        batch = np.random.default_rng(0).standard_normal((2, 3, SIZE, SIZE), dtype=np.float32)
        assert_same(spec, small_net, batch, tmp_path)

    def test_leaves_the_first_block_of_a_layer_that_nobody_reads(self, tmp_path: Path) -> None:
        spec = small()
        for layer in spec.layers:
            for name, conv in layer.named_convs():
                if name == "fire6/squeeze":
                    conv.weight[:] = 0
        narrow = compact(spec)
        fire5 = next(layer for layer in narrow.layers if layer.name == "fire5")
        widths = [conv.out_channels for _, conv in fire5.named_convs()]
        assert widths[1:] == [16]
        batch = np.random.default_rng(0).standard_normal((2, 3, SIZE, SIZE), dtype=np.float32)
        assert_same(spec, narrow, batch, tmp_path)
