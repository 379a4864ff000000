from __future__ import annotations

import contextlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import squishnative
from evolution import settings, small
from squishnative.cli.main import app
from squishnative.evolve import run
from squishnative.evolve.budget import Budget, Planner
from squishnative.evolve.clusters import genome_of
from squishnative.evolve.compact import compact
from squishnative.evolve.offspring import genome
from squishnative.evolve.run import Individual, begin, evolve, young
from squishnative.evolve.selection import fittest
from squishnative.evolve.settings import FORMAT
from squishnative.evolve.strategies import STRATEGIES
from squishnative.spec import FloatArray, NetSpec
from squishnative.train.dataset import Dataset
from squishnative.train.folders import alone_in
from squishnative.train.geometry import as_input
from squishnative.train.recipe import Recipe
from squishnative.train.run import prepare, read_net
from squishnative.train.trainer import Epoch, Trainer
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
class TestRun:
    def test_every_generation_is_smaller_and_within_the_budget(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        begin(tmp_path, settings(pictures, ancestor))
        seen: list[Individual] = []
        shipped = evolve(tmp_path, seen.append, data=data)
        members = young(tmp_path)
        assert [m.name for m in seen] == [m.name for m in [*members, *reversed(shipped)]]
        assert [m.generation for m in members] == [0, 1, 1, 2, 2]
        assert members[3].parents == [m.name for m in fittest(members[1:3])]
        assert members[0].bytes["i8"] > members[1].bytes["i8"] > members[3].bytes["i8"]
        assert members[3].bytes["i8"] <= 12e3

    @pytest.mark.parametrize(
        ("dtype", "shape", "storage"),
        [
            ("f32", "16x1", "auto"),
            ("f16", "16x4", "auto"),
            ("i8", "16x1", "auto"),
            ("i8", "16x4", "f32"),
            ("i4", "16x1", "f32"),
            ("i4", "16x4", "i8"),
        ],
    )
    def test_the_family_is_what_its_files_say(
        self,
        dtype: str,
        shape: str,
        storage: str,
        pictures: Path,
        data: Dataset,
        ancestor: Path,
        tmp_path: Path,
    ) -> None:
        most = {"f32": 60e3, "f16": 30e3, "i8": 12e3, "i4": 9e3}[dtype]
        asked = settings(
            pictures, ancestor, dtype=dtype, max_bytes=most, cluster_shape=shape, storage=storage
        )
        begin(tmp_path, asked)
        shipped = evolve(tmp_path, lambda _: None, data=data)
        assert shipped[-1].generation == 2
        assert shipped[-1].shipped_bytes <= most
        for member in shipped:
            file = tmp_path / f"{member.name}.squish"
            assert file.stat().st_size == member.shipped_bytes == member.bytes[dtype]
            assert member.parents == [member.name.replace("family/", "").replace("-m", "/m")]
            assert len(member.losses) == 2
            with squishnative.load(file, storage=storage) as net:
                assert (net.model.why_not_in_integers == "") == asked.engine.integers
                logits = net.infer(np.ascontiguousarray(data.val.images))
                stored = [conv for layer in net.model.layers for conv in layer.convs]
                assert {conv.dtype for conv in stored if conv.out_channels} == {dtype}
            assert (logits.argmax(1) == data.val.classes).mean() == member.val_accuracy
            width = asked.width(run.saved_environment(tmp_path))
            density = density_of(read_net(str(file)), width, read_net(str(ancestor)))
            assert density == pytest.approx(member.density)
            if member.generation > 0 and shape == "16x4":  # whole ones live and die
                columns = density_of(read_net(str(file)), 1, read_net(str(ancestor)))
                assert columns == pytest.approx(density, rel=0.15)
            assert np.trace(member.confusion) == (logits.argmax(1) == data.val.classes).sum()

    def test_ships_a_net_of_each_size_that_was_asked_for(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        wanted = {"max_bytes": 12e3, "larger_bytes": (22e3, 35e3), "generations": 4}
        begin(tmp_path, settings(pictures, ancestor, **wanted))
        shipped = evolve(tmp_path, lambda _: None, data=data)
        assert len(shipped) == 3
        assert len({member.generation for member in shipped}) == 3
        for member, size in zip(shipped, (35e3, 22e3, 12e3)):
            assert 0.9 * size <= member.shipped_bytes <= size

    def test_maturity_keeps_the_clusters_and_no_more(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        # In floats: for integers filters get another order.
        begin(tmp_path, settings(pictures, ancestor, storage="f32"))
        for member in evolve(tmp_path, lambda _: None, data=data):
            before, after = (
                genome_of(compact(read_net(str(tmp_path / f"{name}.squish"))))
                for name in (member.parents[0], member.name)
            )
            assert before.keys() == after.keys()
            assert all((before[name] | ~alive).all() for name, alive in after.items())
            living = [sum(int(alive.sum()) for alive in g.values()) for g in (before, after)]
            assert living[1] >= 0.98 * living[0]  # rounding may leave nothing of a cluster

    def test_a_killed_run_comes_to_the_same_family(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        # With what goes along from one individual to the next in memory.
        recipe = Recipe(epochs=1, batch=12, views=2, hints=1.0)
        asked = settings(pictures, ancestor, recipe=recipe)
        begin(tmp_path / "whole", asked)
        shipped = evolve(tmp_path / "whole", lambda _: None, data=data)
        begin(tmp_path / "killed", asked)
        # Another machine's times would be another run's: its environment is part of it.
        measured = (tmp_path / "whole" / "environment.json").read_text(encoding="utf-8")
        (tmp_path / "killed" / "environment.json").write_text(measured, encoding="utf-8")
        for _ in range(8):
            kill_after_one(lambda k: evolve(tmp_path / "killed", k, data=data))
        nets = sorted((tmp_path / "whole").glob("*/*.squish"))
        assert len(nets) == 5 + len(shipped)
        for net in nets:
            twin = tmp_path / "killed" / net.relative_to(tmp_path / "whole")
            assert twin.read_bytes() == net.read_bytes()

    def test_individuals_depend_on_files_and_their_numbers_alone(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        """So processes on copies of a run's folder can train its family side by side."""
        begin(tmp_path, settings(pictures, ancestor))
        shipped = evolve(tmp_path, lambda _: None, data=data)
        for member in shipped:
            net, record = (tmp_path / f"{member.name}.{kind}" for kind in ("squish", "json"))
            wanted = net.read_bytes()
            net.unlink()
            record.unlink()
            made: list[Individual] = []
            evolve(tmp_path, made.append, data=data)
            assert [one.name for one in made] == [member.name]
            assert net.read_bytes() == wanted

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_rivals_end_with_a_file_as_large_as_was_asked_for(
        self, strategy: str, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        begin(tmp_path, settings(pictures, ancestor, strategy=strategy))
        members = evolve(tmp_path, lambda _: None, data=data)
        assert [m.epochs for m in members] == [6]  # 2 generations of 2, an epoch each, and maturity
        # What RigL grew where this small a net has no gradient has no weights either.
        least = 0.7 if strategy == "rigl" else 0.9
        assert least * 12e3 <= members[0].shipped_bytes <= 12e3
        plan = Planner(read_net(str(ancestor)), run.saved_environment(tmp_path), "i8")
        uncompressed = plan.counts(Budget(bytes=12e3), {})
        got = genome_of(read_net(str(tmp_path / f"{members[0].name}.squish")))
        living = sum(int(alive.sum()) for alive in got.values())
        assert strategy == "rigl" or living >= 0.98 * sum(uncompressed.values())

    @pytest.mark.parametrize("width", [1, 4])
    def test_rigl_moves_no_more_than_can_come_back(self, width: int, data: Dataset) -> None:
        """Convolutions that the budget leaves dense stay dense, whatever the gradients."""
        spec = small()
        network = prepare(spec, as_input(data.train.images[::3], spec.input))
        totals = {name: alive.size for name, alive in genome_of(spec, width).items()}
        counts = {n: t if k % 2 else max(1, t // 3) for k, (n, t) in enumerate(totals.items())}
        hook = STRATEGIES["rigl"](network, counts, width)
        recipe = Recipe(epochs=2, batch=12, lr=0.05)
        trainer = Trainer(network, data.train, recipe, 0, before_step=hook)
        for _ in range(2):
            trainer.run_epoch()
            living = {name: int(alive.sum()) for name, alive in genome(network, width).items()}
            assert living == counts

    @pytest.mark.parametrize("killed_in", [3, 6])  # young, and mature or already rounded
    @pytest.mark.parametrize(("strategy", "views"), [("evolve", 0), ("evolve", 3), ("gradual", 0)])
    def test_a_run_killed_while_it_trains_comes_to_the_same_net(
        self,
        strategy: str,
        views: int,
        killed_in: int,
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
            family=1,
            recipe=Recipe(epochs=4, batch=12, views=views),
        )
        for name in ("whole", "killed"):
            begin(tmp_path / name, wanted)
        evolve(tmp_path / "whole", lambda _: None, data=data)
        measured = (tmp_path / "whole" / "environment.json").read_text(encoding="utf-8")
        (tmp_path / "killed" / "environment.json").write_text(measured, encoding="utf-8")
        run_epoch, epochs = Trainer.run_epoch, 0

        def killed(trainer: Trainer) -> Epoch:
            nonlocal epochs
            epochs += 1
            if epochs == killed_in:
                raise KeyboardInterrupt
            return run_epoch(trainer)

        monkeypatch.setattr(Trainer, "run_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            evolve(tmp_path / "killed", lambda _: None, data=data)
        (member,) = evolve(tmp_path / "killed", lambda _: None, data=data)
        assert epochs == 7  # four and two, and the one that was killed
        net = f"{member.name}.squish"
        assert (tmp_path / "killed" / net).read_bytes() == (tmp_path / "whole" / net).read_bytes()

    @pytest.mark.parametrize("strategy", ["evolve", "gradual"])
    def test_a_run_killed_before_its_net_was_written_comes_to_the_same_net(
        self, strategy: str, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        wanted = settings(
            pictures, ancestor, strategy=strategy, generations=1, population=1, family=1
        )
        begin(tmp_path, wanted)
        (member,) = evolve(tmp_path, lambda _: None, data=data)
        net = tmp_path / f"{member.name}.squish"
        before = net.read_bytes()
        for suffix in (".squish", ".json"):
            net.with_suffix(suffix).unlink()
        (again,) = evolve(tmp_path, lambda _: None, data=data)
        assert net.read_bytes() == before
        # The time of the process that was killed is in the checkpoint.
        assert again.training_seconds > 0.5 * member.training_seconds > 0

    def test_two_processes_do_not_continue_one_run(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        begin(tmp_path, settings(pictures, ancestor))
        with alone_in(tmp_path), pytest.raises(RuntimeError, match="another process"):
            evolve(tmp_path, lambda _: None, data=data)

    def test_the_papers_way_thins_generation_by_generation(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        wanted = settings(
            pictures, ancestor, strategy="paper", population=1, generations=3, max_bytes=None
        )
        begin(tmp_path, wanted)
        evolve(tmp_path, lambda _: None, data=data)
        members = young(tmp_path)
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
        shipped = evolve(tmp_path, lambda _: None, data=data)
        members = young(tmp_path)
        best = {m.generation: m.fitness for m in sorted(members, key=lambda m: m.fitness)}
        *before, last = sorted(best)
        assert all(best[generation] >= best[0] for generation in before)
        assert best[last] < best[0] or last == 4
        assert all(best[m.generation] >= best[0] for m in shipped)
        assert evolve(tmp_path, lambda _: None, data=data) == shipped
        assert young(tmp_path) == members

    def test_what_was_asked_for_and_missed_is_said(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        wanted = settings(pictures, ancestor, max_seconds=1.0, max_drop=100.0)
        begin(tmp_path, wanted)
        evolve(tmp_path, lambda _: None, data=data)
        assert run.missed(tmp_path) == []
        for change, sentence in (
            ({"max_bytes": 1e3}, "no net has at most 1,000 bytes: the smallest has "),
            ({"max_seconds": 1e-7}, "no net takes at most 0.1 us an image: the fastest takes "),
            ({"max_drop": -200.0}, "generation 2 lost .* points .*: it ended the run"),
        ):
            asked = replace(wanted, **change)  # type: ignore[arg-type]
            about = {"format": FORMAT, "squishnative": "test", **asked.to_dict()}
            (tmp_path / "settings.json").write_text(json.dumps(about), encoding="utf-8")
            (said,) = run.missed(tmp_path)
            assert re.match(sentence, said)
        for file in tmp_path.glob("family/*.json"):
            file.unlink()
        assert run.missed(tmp_path)[-1] == "no net is shipped"

    def test_half_a_generation_does_not_end_a_run(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        """Killed between two siblings: the better one may be the one to come."""
        begin(tmp_path, settings(pictures, ancestor, max_drop=100.0))
        for _ in range(4):
            kill_after_one(lambda k: evolve(tmp_path, k, data=data))
        first = tmp_path / "generation-02" / "member-0.json"
        first.write_text(
            json.dumps({**json.loads(first.read_text(encoding="utf-8")), "fitness": -1.0}),
            encoding="utf-8",
        )
        evolve(tmp_path, lambda _: None, data=data)
        assert young(tmp_path)[-1].name == "generation-02/member-1"

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


def density_of(spec: NetSpec, width: int, ancestor: NetSpec) -> float:
    """Living clusters over all of the ancestor's."""
    living = sum(int(alive.sum()) for alive in genome_of(spec, width).values())
    return living / sum(alive.size for alive in genome_of(ancestor, width).values())


def synapses(spec: NetSpec) -> list[FloatArray]:
    return [conv.weight for layer in spec.layers for _, conv in layer.named_convs()]


def kill_after_one(go: Callable[[Callable[[Individual], None]], object]) -> None:
    def kill(_: Individual) -> None:
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        go(kill)


@pytest.mark.slow
def test_from_the_command_line_to_a_report(pictures: Path, ancestor: Path, tmp_path: Path) -> None:
    cli = CliRunner()
    family = str(tmp_path / "family")
    budget = ["--max-bytes", "15kB", "--generations", "1", "--epochs", "1"]
    budget += ["--batch", "12", "--family", "1", "--mature-epochs", "1"]
    common = ["--data", str(pictures), "--ancestor", str(ancestor), *budget]
    done = cli.invoke(app, ["evolve", "-o", family, *common])
    assert done.exit_code == 0, done.output
    assert "family/generation-01-member-0" in done.output
    again = cli.invoke(app, ["evolve", "-o", family, *common])
    assert isinstance(again.exception, FileExistsError)
    assert cli.invoke(app, ["evolve", "-o", family, "--resume"]).exit_code == 0
    assert not re.search("skipped", done.stderr)
    rival = str(tmp_path / "rival")
    assert cli.invoke(app, ["evolve", "-o", rival, "--strategy", "rigl", *common]).exit_code == 0
    done = cli.invoke(app, ["report", family, rival])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "family" / "report.html").read_text(encoding="utf-8")
    figures = json.loads((tmp_path / "family" / "report.json").read_text(encoding="utf-8"))
    members = figures["runs"][0]["members"]
    names = [f"generation-{k:02}/member-0" for k in range(2)] + ["family/generation-01-member-0"]
    assert [m["name"] for m in members] == names
    for member in (members[0], members[2]):
        assert f"{member['bytes'][member['dtype']]:,}" in page
        factors = member["factors"]
        product = factors["head"] * factors["evolution"] * factors["encoding"]
        assert product * factors["precision"] == pytest.approx(factors["total"])
    assert page.count("<svg") == 5
    assert re.findall(r"(?:src|href)=.((?!#|data:)[^\"']*)", page) == []  # self-contained
    assert "Against other runs" in page


@pytest.mark.parametrize(
    ("option", "value"), [("--max-bytes", "50 cats"), ("--max-latency", "1kB"), ("--max-bytes", "")]
)
def test_budgets_that_are_none(option: str, value: str, tmp_path: Path) -> None:
    paths = ["--data", "d", "--ancestor", "a"]
    done = CliRunner().invoke(app, ["evolve", "-o", str(tmp_path), *paths, option, value])
    assert done.exit_code == 2
    assert f"got '{value}', wanted a number" in done.output.replace("\n", " ")
