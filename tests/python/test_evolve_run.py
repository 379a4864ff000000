from __future__ import annotations

import contextlib
import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import squishnative
import torch
from nets import random_net
from pictures import LABELS, make_pictures
from squishnative.cli.main import app
from squishnative.evolve import run
from squishnative.evolve.budget import Budget, Planner
from squishnative.evolve.clusters import genome_of, members, sums
from squishnative.evolve.compact import compact
from squishnative.evolve.environment import Environment, measure_environment
from squishnative.evolve.filters import importance, keep_blocks, sort_filters
from squishnative.evolve.offspring import Heredity, Sample, bear, draw, genome, mate
from squishnative.evolve.run import Individual, Settings, begin, evolve
from squishnative.evolve.selection import dominates, fittest, front
from squishnative.evolve.strategies import STRATEGIES
from squishnative.spec import Fire, FloatArray, InputSpec, NetSpec
from squishnative.train.architecture import squeezenet
from squishnative.train.dataset import Dataset, hold_out, read_dataset
from squishnative.train.recipe import Recipe
from squishnative.train.run import as_input, prepare, read_net
from squishnative.train.trainer import Epoch, Trainer
from typer.testing import CliRunner

SIZE = 32


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def data(pictures: Path) -> Dataset:
    return read_dataset(pictures, InputSpec(height=SIZE, width=SIZE, resize=SIZE), margin=1.25)


@pytest.fixture(scope="module")
def ancestor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("ancestor") / "net.squish"
    spec = small()
    spec.labels = LABELS
    spec.save(file)
    return file


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def small(seed: int = 0) -> NetSpec:
    spec = squeezenet("1.1", 3, width=0.25, seed=seed)
    spec.input = InputSpec(height=SIZE, width=SIZE, resize=SIZE)
    return spec


def environment(spec: NetSpec) -> Environment:
    return Environment(dict.fromkeys(genome_of(spec), 1e-06), 1e-5, "test")


def planner(spec: NetSpec, dtype: str = "i8") -> Planner:
    return Planner(spec, environment(spec), dtype)


def sample(data: Dataset, spec: NetSpec) -> Sample:
    return Sample(
        as_input(data.train.images[::3], spec.input), torch.from_numpy(data.train.classes[::3])
    )


def settings(pictures: Path, ancestor: Path, **wanted: object) -> Settings:
    default: dict[str, object] = {
        "max_bytes": 12e3,
        "generations": 2,
        "population": 2,
        "int8_generations": 1,
        "recipe": Recipe(epochs=1, batch=12),
        "heredity": Heredity(candidates=2),
    }
    return Settings(str(pictures), str(ancestor), **{**default, **wanted})  # type: ignore[arg-type]


class TestPlanner:
    # Biases, scales and occupancies are more than 0.15 of so small a net's int4 file.
    @pytest.mark.parametrize(
        ("dtype", "share"),
        [*product(("f32", "f16", "i8"), (0.6, 0.3, 0.15)), ("i4", 0.6), ("i4", 0.3)],
    )
    def test_the_file_has_the_bytes_that_were_planned(self, dtype: str, share: float) -> None:
        spec = small()
        dense = len(spec.to_bytes(dtype, "cluster16x1"))
        most = share * dense
        counts = planner(spec, dtype).counts(Budget(bytes=most), {})
        keep(spec, counts)
        got = len(spec.to_bytes(dtype, "cluster16x1"))
        assert got <= most * 1.005  # alignment of sections
        assert got >= most * 0.93  # clusters are whole, and 26 convolutions round down

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
        with pytest.raises(ValueError, match=r"budget of 100 bytes: the emptiest net needs"):
            planner(small()).counts(Budget(bytes=100), {})


def keep(spec: NetSpec, counts: dict[str, int]) -> None:
    """Zeroes all but so many clusters of each convolution."""
    for layer in spec.layers:
        for name, conv in layer.named_convs():
            alive = np.zeros(sums(conv.weight).shape, bool)
            alive.ravel()[: counts[name]] = True
            conv.weight *= members(alive, conv.out_channels)


def test_the_environment_predicts_what_the_engine_takes() -> None:
    """Loosely: machines are noisy. A fifth of the clusters must be predicted well faster."""
    spec = squeezenet("1.1", 10)
    spec.input = InputSpec(height=96, width=96)
    found = measure_environment(spec, 1, 0)
    assert set(found.cluster_seconds) == set(genome_of(spec))
    assert found.fixed_seconds >= 0
    full = {name: np.ones_like(alive) for name, alive in genome_of(spec).items()}
    fifth = {name: np.arange(a.size).reshape(a.shape) % 5 == 0 for name, a in full.items()}
    assert 1e-5 < found.seconds(fifth) < 0.6 * found.seconds(full)
    assert Environment(**json.loads(json.dumps(found.to_dict()))) == found


class TestBirth:
    def test_an_offspring_has_as_many_clusters_as_planned(self, data: Dataset) -> None:
        spec = small()
        rng, share = np.random.default_rng(0), 0.4
        plan, costs = planner(spec), environment(spec)
        budget = Budget(bytes=plan.bytes(plan.totals) * share)
        clusters = Heredity(narrowing=0.0)
        born = bear([(spec, {})], costs, budget, share, clusters, sample(data, spec), rng)
        counts = plan.counts(budget, born.genes)
        assert {n: int(a.sum()) for n, a in genome(born.network).items()} == counts
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
        assert 0.9 * most < len(shipped.to_bytes("i8", "cluster16x1")) <= 1.005 * most

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

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_rivals_end_with_the_clusters_that_were_planned(
        self, strategy: str, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        begin(tmp_path, settings(pictures, ancestor, strategy=strategy))
        members = evolve(tmp_path, lambda _: None, data=data)
        assert [m.epochs for m in members] == [0, 4]  # 2 generations of 2, an epoch each
        spec = read_net(str(ancestor))
        found = run.saved_environment(tmp_path)
        plan = Planner(spec, found, "i8")
        counts = plan.counts(Budget(bytes=12e3), {})
        got = genome_of(read_net(str(tmp_path / f"{members[1].name}.squish")))
        living = {name: int(alive.sum()) for name, alive in got.items()}
        # What RigL grew where the gradient is zero has no weights yet.
        assert all(living[name] <= count for name, count in counts.items())
        assert strategy == "rigl" or living == counts


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


def assert_same(a: NetSpec, b: NetSpec, batch: FloatArray, folder: Path) -> None:
    def logits(spec: NetSpec) -> FloatArray:
        spec.save(folder / "net.squish")
        with squishnative.load(folder / "net.squish", device="reference") as net:
            return net.infer(batch)

    wanted = logits(a)
    np.testing.assert_allclose(logits(b), wanted, rtol=1e-6, atol=1e-6 * abs(wanted).max())


def individual(fitness: float, size: int, seconds: float) -> Individual:
    return Individual(
        1, 0, [], fitness, fitness, "i8", {"i8": size}, seconds, seconds, 1.0, {}, {}, []
    )


def test_the_front_is_those_that_nobody_beats() -> None:
    good, small_, fast = individual(0.9, 9, 9), individual(0.8, 5, 9), individual(0.8, 9, 5)
    worse, twin = individual(0.8, 9, 9), individual(0.9, 9, 9)
    everyone = [worse, small_, good, fast, twin]
    assert front(everyone) == [small_, good, fast, twin]
    assert fittest(everyone)[-1] is worse
    assert fittest(everyone)[0].fitness == 0.9
    assert dominates(good, worse)
    assert not dominates(good, twin)


def test_held_out_images_are_a_share_of_each_class(data: Dataset) -> None:
    left, taken = hold_out(data.train, 0.25, 0)
    assert np.bincount(taken.classes).tolist() == [6, 6, 6]
    assert sorted(left.names + taken.names) == sorted(data.train.names)
    assert hold_out(data.train, 0.25, 0)[1].names == taken.names
    assert hold_out(data.train, 0.25, 1)[1].names != taken.names


@pytest.mark.slow
class TestRun:
    def test_every_generation_is_smaller_and_within_the_budget(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        begin(tmp_path, settings(pictures, ancestor))
        seen: list[Individual] = []
        members = evolve(tmp_path, seen.append, data=data)
        assert [m.name for m in members] == [m.name for m in seen]
        assert [m.generation for m in members] == [0, 1, 1, 2, 2]
        assert members[3].parents == [m.name for m in fittest(members[1:3])]
        assert members[0].shipped_bytes > members[1].shipped_bytes > members[3].shipped_bytes
        assert members[3].shipped_bytes <= 12e3 * 1.005
        for member in members:
            file = tmp_path / f"{member.name}.i8.squish"
            assert file.stat().st_size == member.shipped_bytes
            with squishnative.load(file) as net:
                logits = net.infer(np.ascontiguousarray(data.val.images))
                assert (logits.argmax(1) == data.val.classes).mean() == member.val_accuracy
                assert np.trace(member.confusion) == (logits.argmax(1) == data.val.classes).sum()

    def test_a_killed_run_comes_to_the_same_family(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        begin(tmp_path / "whole", settings(pictures, ancestor))
        evolve(tmp_path / "whole", lambda _: None, data=data)
        begin(tmp_path / "killed", settings(pictures, ancestor))
        # Another machine's times would be another run's: its environment is part of it.
        measured = (tmp_path / "whole" / "environment.json").read_text()
        (tmp_path / "killed" / "environment.json").write_text(measured)
        for _ in range(6):
            kill_after_one(lambda k: evolve(tmp_path / "killed", k, data=data))
        nets = sorted((tmp_path / "whole").glob("generation-*/*.squish"))
        assert len(nets) == 10
        for net in nets:
            twin = tmp_path / "killed" / net.relative_to(tmp_path / "whole")
            assert twin.read_bytes() == net.read_bytes()

    @pytest.mark.parametrize("strategy", ["evolve", "gradual"])
    def test_a_run_killed_while_it_trains_comes_to_the_same_net(
        self,
        strategy: str,
        pictures: Path,
        data: Dataset,
        ancestor: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        wanted = settings(
            pictures,
            ancestor,
            strategy=strategy,
            generations=1,
            population=1,
            recipe=Recipe(epochs=4, batch=12),
        )
        for name in ("whole", "killed"):
            begin(tmp_path / name, wanted)
        evolve(tmp_path / "whole", lambda _: None, data=data)
        measured = (tmp_path / "whole" / "environment.json").read_text()
        (tmp_path / "killed" / "environment.json").write_text(measured)
        run_epoch, epochs = Trainer.run_epoch, 0

        def killed_in_the_third(trainer: Trainer) -> Epoch:
            nonlocal epochs
            epochs += 1
            if epochs == 3:
                raise KeyboardInterrupt
            return run_epoch(trainer)

        monkeypatch.setattr(Trainer, "run_epoch", killed_in_the_third)
        with pytest.raises(KeyboardInterrupt):
            evolve(tmp_path / "killed", lambda _: None, data=data)
        members = evolve(tmp_path / "killed", lambda _: None, data=data)
        assert epochs == 5  # two, the one that was killed, and the two that were left
        assert len(members[1].losses) == 4
        net = "generation-01/member-0.squish"
        assert (tmp_path / "killed" / net).read_bytes() == (tmp_path / "whole" / net).read_bytes()

    def test_the_papers_way_thins_generation_by_generation(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        wanted = settings(
            pictures, ancestor, strategy="paper", population=1, generations=3, max_bytes=None
        )
        begin(tmp_path, wanted)
        members = evolve(tmp_path, lambda _: None, data=data)
        assert [len(m.parents) for m in members] == [0, 1, 1, 1]
        nets = [read_net(str(tmp_path / f"{m.name}.squish")) for m in members]
        for parent, child in zip(nets, nets[1:]):
            pairs = zip(synapses(parent), synapses(child))
            assert all(((before != 0) | (after == 0)).all() for before, after in pairs)
            living = [sum(int((w != 0).sum()) for w in synapses(net)) for net in (parent, child)]
            assert 0.1 * living[0] < living[1] < 0.7 * living[0]

    def test_ends_when_more_is_lost_than_may_be(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        begin(tmp_path, settings(pictures, ancestor, max_drop=0.0, generations=4))
        members = evolve(tmp_path, lambda _: None, data=data)
        best = {m.generation: m.fitness for m in sorted(members, key=lambda m: m.fitness)}
        *before, last = sorted(best)
        assert all(best[generation] >= best[0] for generation in before)
        assert best[last] < best[0] or last == 4
        again = evolve(tmp_path, lambda _: None, data=data)
        assert [m.name for m in again] == [m.name for m in members]

    def test_half_a_generation_does_not_end_a_run(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        """Killed between two siblings: the better one may be the one to come."""
        begin(tmp_path, settings(pictures, ancestor, max_drop=100.0))
        for _ in range(4):
            kill_after_one(lambda k: evolve(tmp_path, k, data=data))
        first = tmp_path / "generation-02" / "member-0.json"
        first.write_text(json.dumps({**json.loads(first.read_text()), "fitness": -1.0}))
        members = evolve(tmp_path, lambda _: None, data=data)
        assert members[-1].name == "generation-02/member-1"

    def test_an_individual_without_its_json_is_made_anew(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        begin(tmp_path, settings(pictures, ancestor, generations=1))
        evolve(tmp_path, lambda _: None, data=data)
        made = tmp_path / "generation-01" / "member-1.squish"
        before = made.read_bytes()
        made.with_suffix(".json").unlink()
        made.write_bytes(b"half a fil")
        evolve(tmp_path, lambda _: None, data=data)
        assert made.read_bytes() == before


def synapses(spec: NetSpec) -> list[FloatArray]:
    return [conv.weight for layer in spec.layers for _, conv in layer.named_convs()]


def kill_after_one(go: Callable[[Callable[[Individual], None]], object]) -> None:
    def kill(_: Individual) -> None:
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        go(kill)


class TestRefuses:
    @pytest.mark.parametrize(
        ("wanted", "message"),
        [
            ({"max_bytes": None}, "wanted a budget: max_bytes, max_seconds or both"),
            ({"generations": 0}, "generations: got 0, must be at least 1"),
            ({"parents": 6}, "parents: got 6, must be at most 5"),
            ({"strategy": "luck"}, "strategy: got 'luck', wanted one of evolve, paper, one-shot"),
        ],
    )
    def test_settings_out_of_range(
        self, pictures: Path, ancestor: Path, wanted: dict[str, object], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            settings(pictures, ancestor, **wanted)

    def test_a_budget_that_no_net_can_meet(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        begin(tmp_path, settings(pictures, ancestor, max_bytes=5e3))
        with pytest.raises(ValueError, match="budget of 5000 bytes: the emptiest net needs"):
            evolve(tmp_path, lambda _: None, data=data)
        assert run.individuals(tmp_path) == []

    def test_an_ancestor_of_other_classes(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        begin(tmp_path, settings(pictures, ancestor))
        with pytest.raises(ValueError, match=r"the ancestor's classes are .*, the data's"):
            evolve(tmp_path, lambda _: None, data=replace(data, labels=["a", "b", "c"]))

    def test_a_run_of_another_version(self, pictures: Path, ancestor: Path, tmp_path: Path) -> None:
        begin(tmp_path, settings(pictures, ancestor))
        file = tmp_path / "settings.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "format": 2}))
        with pytest.raises(ValueError, match="run format 2"):
            evolve(tmp_path, lambda _: None)


@pytest.mark.slow
def test_from_the_command_line_to_a_report(pictures: Path, ancestor: Path, tmp_path: Path) -> None:
    cli = CliRunner()
    family = str(tmp_path / "family")
    budget = ["--max-bytes", "15kB", "--generations", "1", "--epochs", "1", "--batch", "12"]
    common = ["--data", str(pictures), "--ancestor", str(ancestor), *budget]
    done = cli.invoke(app, ["evolve", "-o", family, *common])
    assert done.exit_code == 0, done.output
    assert "generation-01/member-0" in done.output
    again = cli.invoke(app, ["evolve", "-o", family, *common])
    assert isinstance(again.exception, FileExistsError)
    assert cli.invoke(app, ["evolve", "-o", family, "--resume"]).exit_code == 0
    assert not re.search("skipped", done.stderr)
    rival = str(tmp_path / "rival")
    assert cli.invoke(app, ["evolve", "-o", rival, "--strategy", "rigl", *common]).exit_code == 0
    done = cli.invoke(app, ["report", family, rival])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "family" / "report.html").read_text()
    figures = json.loads((tmp_path / "family" / "report.json").read_text())
    members = figures["runs"][0]["members"]
    assert [m["name"] for m in members] == ["generation-00/member-0", "generation-01/member-0"]
    for member in members:
        assert f"{member['bytes']['i8']:,}" in page
        factors = member["factors"]
        product = factors["head"] * factors["evolution"] * factors["encoding"]
        assert product * factors["precision"] == pytest.approx(factors["total"])
    assert page.count("<svg") == 5
    assert re.findall(r"(?:src|href)=.((?!#|data:)[^\"']*)", page) == []  # self-contained
    assert "Against rivals" in page


@pytest.mark.parametrize(
    ("option", "value"), [("--max-bytes", "50 cats"), ("--max-latency", "1kB"), ("--max-bytes", "")]
)
def test_budgets_that_are_none(option: str, value: str, tmp_path: Path) -> None:
    paths = ["--data", "d", "--ancestor", "a"]
    done = CliRunner().invoke(app, ["evolve", "-o", str(tmp_path), *paths, option, value])
    assert done.exit_code == 2
    assert f"got '{value}', wanted a number" in done.output.replace("\n", " ")
