from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import squishnative
import torch
from evolution import planner, settings, small, uneven
from squishnative import _core
from squishnative.evolve import environment, run
from squishnative.evolve.budget import Budget, Planner, before_compression, file_bytes, within
from squishnative.evolve.clusters import genome_of, members, sums, without_weakest
from squishnative.evolve.environment import Engine, Environment, measure_environment
from squishnative.spec import ConvSpec, InputSpec, NetSpec
from squishnative.train.architecture import squeezenet
from squishnative.train.dataset import Dataset
from squishnative.train.files import save_json
from squishnative.train.run import read_net
from test_evolve_run import density_of

STORAGES = {1: "f32", 4: "i8"}  # by the inputs of what is multiplied at once


class TestPlanner:
    @pytest.mark.parametrize("dtype", ["f32", "f16", "i8", "i4"])
    @pytest.mark.parametrize("share", [0.6, 0.3, 0.2])
    @pytest.mark.parametrize("make", [small, uneven])
    @pytest.mark.parametrize("width", [1, 4])
    def test_the_file_has_the_bytes_that_were_planned(
        self, dtype: str, share: float, make: Callable[[], NetSpec], width: int
    ) -> None:
        spec, encoding = make(), f"cluster16x{width}"
        dense = len(spec.to_bytes(dtype, encoding, compress=False))
        most = share * dense
        counts = planner(spec, dtype, width).counts(Budget(bytes=most), {})
        keep(spec, counts, width)
        spec.about = "squishnative 10.10.10: squish one-shot, seed 1234567890, family/member-0"
        got = len(spec.to_bytes(dtype, encoding, compress=False))
        assert got <= most
        assert got >= most * 0.9  # clusters are whole, and 26 convolutions round up

    def test_time_is_a_budget_too(self) -> None:
        plan = planner(small())
        whole = plan.seconds(plan.totals)
        counts = plan.counts(Budget(seconds=whole / 3), {})
        assert 0.3 * whole < plan.seconds(counts) <= whole / 3

    def test_without_need_everything_lives(self) -> None:
        plan = planner(small())
        assert plan.counts(Budget(), {}) == plan.totals

    def test_genes_move_clusters_between_layers(self) -> None:
        plan = planner(small())
        budget = Budget(bytes=plan.bytes(plan.totals) / 3)
        plain, moved = plan.counts(budget, {}), plan.counts(budget, {"fire9/expand3x3": 1.0})
        assert moved["fire9/expand3x3"] > 1.5 * plain["fire9/expand3x3"]
        assert moved["fire8/expand3x3"] < plain["fire8/expand3x3"]

    def test_a_budget_below_the_emptiest_net_is_refused(self) -> None:
        with pytest.raises(ValueError, match="budget of 100 bytes: the emptiest net has"):
            planner(small()).counts(Budget(bytes=100), {})


def keep(spec: NetSpec, counts: dict[str, int], width: int) -> None:
    """Zeroes all but so many clusters of each convolution."""
    for layer in spec.layers:
        for name, conv in layer.named_convs():
            alive = np.zeros(sums(conv.weight, width).shape, bool)
            alive.ravel()[: counts[name]] = True
            conv.weight *= members(alive, conv.weight.shape, width)


class TestPieces:
    """What the engine multiplies at once, counted in nets whose clusters are anywhere."""

    @pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.8, 1.0])
    @pytest.mark.parametrize(("width", "inputs"), [(1, 1), (1, 4), (4, 4), (4, 1)])
    def test_of_random_clusters(self, share: float, width: int, inputs: int) -> None:
        spec, rng = squeezenet("1.1", 10), np.random.default_rng(1)
        costs = Environment(dict.fromkeys(genome_of(spec), 1.0), 0.0, "test", STORAGES[inputs])
        counts = {}
        for layer in spec.layers:
            for name, conv in layer.named_convs():
                alive = rng.random(sums(conv.weight, width).shape) < share
                alive.ravel()[0] = True
                counts[name] = int(alive.sum())
                conv.weight = members(alive, conv.weight.shape, width).astype(np.float32)
        wanted = sum(alive.sum() for alive in genome_of(spec, inputs).values())
        got = Planner(spec, costs, "i8", width).seconds(counts)
        assert got == pytest.approx(wanted, rel=0.02)

    def test_wide_clusters_get_more_weights_in_the_same_time(self) -> None:
        spec = squeezenet("1.1", 10)
        costs = Environment(dict.fromkeys(genome_of(spec), 1.0), 0.0, "test", "i8")
        weights = {}
        for width in (1, 4):
            plan = Planner(spec, costs, "i8", width)
            seconds = plan.seconds(plan.totals) / 4
            counts = plan.counts(Budget(seconds=seconds), {})
            assert 0.98 * seconds < plan.seconds(counts) <= seconds
            weights[width] = width * sum(counts.values())
        assert weights[4] > 2 * weights[1]


class TestArithmetic:
    @pytest.mark.parametrize(
        ("wanted", "inputs", "width"),
        [
            ({"max_bytes": None, "max_seconds": 1.0}, 4, 4),
            ({"max_bytes": None, "max_seconds": 1.0}, 1, 1),
            ({"max_bytes": 1e4, "max_seconds": 1.0}, 4, 1),
            ({"cluster_shape": "16x4"}, 1, 4),
            ({"cluster_shape": "16x1", "max_bytes": None, "max_seconds": 1.0}, 4, 1),
            ({"strategy": "paper", "max_bytes": None, "max_seconds": 1.0}, 4, 1),
            ({"strategy": "paper", "max_bytes": None}, 4, 1),
        ],
    )
    def test_the_shape_of_clusters(
        self, wanted: dict[str, object], inputs: int, width: int
    ) -> None:
        asked = settings(Path("data"), Path("net.squish"), **wanted)
        assert asked.width(Environment({}, 0.0, "test", STORAGES[inputs])) == width

    @pytest.mark.parametrize(
        ("storage", "dtype", "costs", "chosen"),
        [
            ("auto", "i8", {"i8": 1.0, "f32": 1.0}, "f32"),  # of 16x1, most of 16x4 live
            ("auto", "i8", {"i8": 0.2, "f32": 1.0}, "i8"),
            ("i8", "i8", {"i8": 1.0}, "i8"),
            ("f32", "i8", {"f32": 1.0}, "f32"),
            ("auto", "f16", {"auto": 1.0}, "f32"),
        ],
    )
    def test_nets_are_priced_in_the_faster_one(
        self,
        storage: str,
        dtype: str,
        costs: dict[str, float],
        chosen: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        asked: list[str] = []

        def measure(spec: NetSpec, _: int, engine: Engine) -> Environment:
            asked.append(engine.storage)
            inputs = 4 if engine.storage == "i8" else 1
            piece = costs[engine.storage] * inputs
            return Environment(dict.fromkeys(genome_of(spec), piece), 0, "", STORAGES[inputs])

        monkeypatch.setattr(run, "measure_environment", measure)
        wanted = settings(Path("data"), Path("net.squish"), storage=storage, dtype=dtype)
        assert run.fastest_environment(squeezenet("1.1", 10), wanted).storage == chosen
        assert asked == list(costs)


@pytest.mark.timing
@pytest.mark.parametrize(
    ("engine", "inputs"),
    [(Engine(storage="i8"), 4), (Engine(dtype="f16"), 1), (Engine(storage="f32"), 1)],
)
def test_the_environment_predicts_what_the_engine_takes(engine: Engine, inputs: int) -> None:
    """Loosely: machines are noisy. A fifth of the clusters must be predicted well faster."""
    spec = squeezenet("1.1", 10)
    spec.input = InputSpec(height=96, width=96)
    found = measure_environment(spec, 0, engine)
    assert set(found.piece_seconds) == set(genome_of(spec))
    assert found.fixed_seconds >= 0
    assert found.inputs == inputs
    assert found.machine.endswith(", 1 thread")
    assert found.storage == ("i8" if inputs == 4 else "f32")
    plan = Planner(spec, found, "i8", inputs)
    fifth = {name: count // 5 for name, count in plan.totals.items()}
    assert 1e-5 < plan.seconds(fifth) < 0.6 * plan.seconds(plan.totals)
    assert found.fixed_seconds_of(found.filters) == found.fixed_seconds
    assert found.fixed_seconds_of(found.filters // 2) == pytest.approx(0.75 * found.fixed_seconds)
    assert Environment(**json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_budget_of_time_alone_evolves_what_integers_multiply(
    pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
) -> None:
    """16x4 clusters, half of the time that they may cost."""
    spec = read_net(str(ancestor))
    living = {name: 1e-6 * alive.size for name, alive in genome_of(spec, 4).items()}
    costs = Environment(dict.fromkeys(living, 1e-6), 1e-5, "test", "i8")
    most = 0.5 * sum(living.values())
    asked = settings(pictures, ancestor, max_bytes=None, max_seconds=most, storage="i8")
    run.begin(tmp_path, asked)
    save_json(tmp_path / "environment.json", costs.to_dict())
    shipped = run.evolve(tmp_path, lambda _: None, data=data)
    assert shipped[-1].generation == 2
    assert {member.storage for member in shipped[1:]} == {"i8"}
    net = read_net(str(tmp_path / f"{shipped[-1].name}.squish"))
    columns, quads = (density_of(net, width, spec) for width in (1, 4))
    assert columns == pytest.approx(quads, rel=0.15)  # whole quads live and die


class TestCompression:
    def test_a_planner_may_spend_what_compression_saves(self) -> None:
        spec = small()
        for dtype in ("i8", "i4"):
            left = len(spec.to_bytes(dtype)) / len(spec.to_bytes(dtype, compress=False))
            assert left < 0.95
            granted = before_compression(Budget(1e4, 2.0, dtype), spec)
            assert 1e4 < (granted.bytes or 0) < 1e4 / left
            assert (granted.seconds, granted.dtype) == (2.0, dtype)
        for dtype in ("f32", "f16"):
            assert before_compression(Budget(1e4, None, dtype), spec) == Budget(1e4, None, dtype)
        assert before_compression(Budget(None, 2.0, "i4"), spec) == Budget(None, 2.0, "i4")

    @pytest.mark.parametrize("dtype", ["f32", "i8", "i4"])
    @pytest.mark.parametrize("share", [0.99, 0.7])
    @pytest.mark.parametrize("width", [1, 4])
    def test_a_file_that_is_too_large_loses_its_weakest_clusters(
        self, dtype: str, share: float, width: int
    ) -> None:
        spec = small()
        budget = Budget(share * file_bytes(spec, dtype), None, dtype, width)
        most = budget.bytes or 0
        smaller = within(spec, budget)
        assert 0.96 * most <= file_bytes(smaller, dtype) <= most
        assert within(smaller, budget) is smaller
        weights = [sum(np.abs(c.weight).sum() for c in convs_of(net)) for net in (spec, smaller)]
        clusters = [
            sum(alive.sum() for alive in genome_of(net, width).values()) for net in (spec, smaller)
        ]
        assert clusters[1] / clusters[0] < weights[1] / weights[0] < 1

    def test_no_budget_of_bytes_is_always_met(self) -> None:
        spec = small()
        assert within(spec, Budget(None, 1.0, "i8")) is spec

    def test_a_size_that_the_emptiest_net_has_not_is_refused(self) -> None:
        with pytest.raises(ValueError, match="budget of 100 bytes: the emptiest net has"):
            within(small(), Budget(100, None, "i8"))


class TestWithoutWeakest:
    @pytest.mark.parametrize("count", [0, 1, 17, 200])
    @pytest.mark.parametrize("width", [1, 4])
    def test_so_many_die_and_nothing_else_changes(self, count: int, width: int) -> None:
        spec = small()
        weaker = without_weakest(spec, count, width)
        died = 0
        for before, after in zip(convs_of(spec), convs_of(weaker)):
            lived, lives = (sums(conv.weight != 0, width) > 0 for conv in (before, after))
            kept = members(lives, after.weight.shape, width)
            np.testing.assert_array_equal(after.weight, before.weight * kept)
            died += int(lived.sum() - lives.sum())
        assert died == count

    def test_the_strongest_of_each_convolution_stays(self) -> None:
        emptiest = without_weakest(small(), 10**6)
        assert all((conv.weight != 0).any() for conv in convs_of(emptiest))


def convs_of(spec: NetSpec) -> list[ConvSpec]:
    return [conv for layer in spec.layers for _, conv in layer.named_convs()]


def test_the_environment_of_a_cuda_device_knows_fires_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a GPU: steps as CUDA names them, whole Fires and apart, timed by their clusters."""
    spec = small()
    probes = []

    class Fake(contextlib.nullcontext[None]):
        isa, storage = "", "f32"

        def __init__(self, file: Path, *how: object) -> None:
            super().__init__()
            assert how == ("cuda", 1, None, "auto")
            genome = genome_of(NetSpec.from_model(_core.Model.load(str(file))))
            self.cost = {n: 1e-6 * int(alive.sum()) for n, alive in genome.items()}
            probes.append(self)

        def __enter__(self) -> Fake:  # type: ignore[override]
            return self

        def profiled_steps(self, *_: object) -> list[SimpleNamespace]:
            steps = [SimpleNamespace(layer="input", seconds=1e-6)]
            for name, seconds in self.cost.items():
                whole = self is not probes[0] and "/" in name  # the second probe's Fires
                layer = name.partition("/")[0] if whole else name
                steps.append(SimpleNamespace(layer=f"{layer}+pool", seconds=seconds))
            return steps

    monkeypatch.setattr(environment, "load", Fake)
    monkeypatch.setattr(environment, "seconds_of_an_image", lambda *_, **__: 1e-3)
    found = measure_environment(spec, 0, Engine("cuda"))
    assert (found.machine, found.storage, found.inputs) == ("cuda", "f32", 1)
    assert set(found.piece_seconds) == set(genome_of(spec))
    assert list(found.piece_seconds.values()) == pytest.approx([1e-6] * 26)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_an_environment_that_is_not_here() -> None:
    with pytest.raises(squishnative.DeviceError, match="cuda"):
        measure_environment(small(), 0, Engine("cuda"))
