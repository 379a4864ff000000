from __future__ import annotations

import numpy as np
import pytest
import torch
from evolution import environment, planner, sample, small
from squishnative.evolve.budget import Budget
from squishnative.evolve.clusters import genome_of
from squishnative.evolve.compact import compact
from squishnative.evolve.offspring import Heredity, Sample, bear, draw, genome, gradients, mate
from squishnative.train.dataset import Dataset
from squishnative.train.network import Network
from squishnative.train.run import prepare

pytestmark = pytest.mark.usefixtures("one_thread")


class TestBirth:
    def test_an_offspring_has_as_many_clusters_as_planned(self, data: Dataset) -> None:
        spec = small()
        rng, share = np.random.default_rng(0), 0.4
        plan, costs = planner(spec), environment(spec)
        budget = Budget(bytes=plan.bytes(plan.totals) * share)
        clusters = Heredity(narrowing=0.0)
        born = bear([(spec, {})], costs, budget, share, clusters, sample(data, spec), rng)
        counts = plan.counts(budget, born.genes)
        assert {n: int(a.sum()) for n, a in genome(born.network, 1).items()} == counts
        assert len(born.screened) == clusters.candidates
        again = {n: int(a.sum()) for n, a in genome_of(born.network.to_spec()).items()}
        assert again == counts

    def test_filters_go_too_and_the_file_is_as_small_as_planned(self, data: Dataset) -> None:
        spec = small()
        rng, share = np.random.default_rng(0), 0.4
        plan = planner(spec)
        most = plan.bytes(plan.totals) * share
        narrow = Heredity(narrowing=0.6)
        budget = Budget(bytes=most)
        born = bear([(spec, {})], environment(spec), budget, share, narrow, sample(data, spec), rng)
        shipped = compact(born.network.to_spec())
        filters = [
            sum(conv.out_channels for layer in net.layers for _, conv in layer.named_convs())
            for net in (spec, shipped)
        ]
        assert 0.4 * filters[0] < filters[1] < 0.9 * filters[0]  # the narrow layers have one block
        assert 0.9 * most < len(shipped.to_bytes("i8", "cluster16x1")) <= most

    def test_dead_clusters_come_back_where_the_gradient_is_large(self) -> None:
        strength = np.array([5.0, 4, 3, 2, 0, 0, 0, 0]).reshape(8, 1, 1, 1)
        urge = np.array([9.0, 9, 9, 9, 1, 8, 2, 3]).reshape(8, 1, 1, 1)
        still = Heredity(temperature=0, regrowth=0.25)
        rng = np.random.default_rng(0)
        everywhere = {"c": np.ones((8, 1, 1, 1), bool)}
        alive = draw({"c": strength}, {"c": urge}, everywhere, {"c": 4}, still, rng)["c"].ravel()
        assert alive.tolist() == [True, True, True, False, False, True, False, False]
        full = draw({"c": strength}, {"c": urge}, everywhere, {"c": 6}, still, rng)["c"].ravel()
        assert full.sum() == 6
        assert full[[0, 1, 2, 3, 5, 7]].all()

    def test_the_gradient_of_many_images_is_that_of_their_parts(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And they never are in memory at once."""
        spec = small()
        rng = np.random.default_rng(0)
        shape = (64, 3, spec.input.height, spec.input.width)
        images = torch.from_numpy(rng.standard_normal(shape, np.float32))
        classes = torch.from_numpy(rng.integers(0, 3, 64))
        network = prepare(spec, images)
        wanted = gradients(network, Sample(images, classes), 1)
        seen: list[int] = []
        run = Network.forward

        def counted(self: Network, x: torch.Tensor) -> torch.Tensor:
            seen.append(len(x))
            return run(self, x)

        monkeypatch.setattr(Network, "forward", counted)
        twice = Sample(torch.cat([images, images]), torch.cat([classes, classes]))
        found = gradients(network, twice, 1)
        assert seen == [64, 64]
        for name, strengths in wanted.items():
            largest = strengths.max()
            assert largest > 0
            np.testing.assert_allclose(found[name], strengths, rtol=0, atol=1e-4 * largest)

    def test_nothing_comes_back_where_it_cannot_be(self) -> None:
        """Of filters that go, and of channels that nobody makes any more."""
        rng = np.random.default_rng(1)
        possible = {"c": rng.random((6, 5, 3, 3)) < 0.5}
        strength = {"c": rng.random((6, 5, 3, 3)) * (rng.random((6, 5, 3, 3)) < 0.8)}
        urge = {"c": rng.random((6, 5, 3, 3))}
        for count in (1, 20, int(possible["c"].sum())):
            alive = draw(strength, urge, possible, {"c": count}, Heredity(regrowth=0.3), rng)["c"]
            assert alive.sum() == count
            assert not (alive & ~possible["c"]).any()

    def test_a_child_of_two_is_their_mean(self) -> None:
        one, two = small(1), small(2)
        child = mate([one, two])
        for layers in zip(child.layers, one.layers, two.layers):
            for (_, c), (_, a), (_, b) in zip(*(layer.named_convs() for layer in layers)):
                np.testing.assert_allclose(c.weight, (a.weight + b.weight) / 2, atol=1e-7)
