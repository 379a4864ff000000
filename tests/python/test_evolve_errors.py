"""What evolution refuses, and what it says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from evolution import environment, settings
from squishnative.cli.main import app
from squishnative.evolve.run import begin, evolve, young
from squishnative.train.dataset import Dataset
from squishnative.train.run import read_net
from test_evolve_run import kill_after_one
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("one_thread")


class TestRefuses:
    @pytest.mark.parametrize(
        ("wanted", "message"),
        [
            ({"max_bytes": None}, "wanted a budget: max_bytes, max_seconds or both"),
            ({"generations": 0}, "generations: got 0, must be at least 1"),
            ({"dtype": "i5"}, "dtype: got 'i5', wanted one of f32, f16, i8, i4"),
            ({"family": 0}, "family: got 0, must be at least 1"),
            ({"parents": 6}, "parents: got 6, must be at most 5"),
            ({"strategy": "luck"}, "strategy: got 'luck', wanted one of evolve, paper, one-shot"),
            ({"larger_bytes": (12e3,)}, "sizes: got 12000, 12000, must be positive and differ"),
            ({"larger_bytes": (3e4, 3e4)}, "sizes: got 12000, 30000, 30000, must be positive"),
            ({"larger_bytes": (3e4,), "max_bytes": None, "max_seconds": 1.0}, "got 0, 30000"),
            ({"larger_bytes": (3e4,), "strategy": "rigl"}, "but strategy 'rigl' takes one"),
            ({"max_bytes": 0.0}, "max_bytes: got 0, must be positive"),
            ({"max_seconds": float("nan")}, "max_seconds: got nan, must be positive"),
            ({"strategy": "rigl", "max_drop": 1.0}, "max_drop: strategy 'rigl' has no generations"),
            ({"engine_device": "tpu"}, "engine_device: got 'tpu', wanted cpu, cuda or cuda:1"),
            ({"storage": "f64"}, "storage: got 'f64', wanted one of auto, f32, f16, i8"),
            (
                {"storage": "i8", "dtype": "f16"},
                "dtype: got 'f16', wanted i8 or i4 with storage 'i8'",
            ),
            (
                {"storage": "f16"},
                "storage: got 'f16', the engine's device 'cpu' has 'f32' and 'i8'",
            ),
            (
                {"cluster_shape": "16x4", "strategy": "paper"},
                "cluster_shape: got '16x4', strategy 'paper' has clusters of its own",
            ),
            ({"cluster_shape": "4x4"}, "cluster_shape: got '4x4', wanted one of auto, 16x1, 16x4"),
            ({"cluster_factor": 1.5}, "cluster_factor: got 1.5, must be 0 to 1"),
            ({"cluster": "layer"}, "cluster: got 'layer', wanted one of filter, kernel"),
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
        with pytest.raises(ValueError, match="budget of 5,000 bytes: the emptiest net has"):
            evolve(tmp_path, lambda _: None, data=data)
        assert young(tmp_path) == []

    @pytest.mark.parametrize(
        ("sizes", "message"),
        [
            ((1e7,), "a net of 10,000,000 bytes: the ancestor's file has"),
            ((20e3, 20.5e3), "a net of 20,500 bytes: too few generations, 2"),
        ],
    )
    def test_sizes_that_no_generation_has(
        self,
        sizes: tuple[float, ...],
        message: str,
        pictures: Path,
        data: Dataset,
        ancestor: Path,
        tmp_path: Path,
    ) -> None:
        begin(tmp_path, settings(pictures, ancestor, larger_bytes=sizes))
        with pytest.raises(ValueError, match=message):
            evolve(tmp_path, lambda _: None, data=data)
        assert young(tmp_path) == []

    def test_another_ancestor_than_the_run_began_with(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        mine = tmp_path / "mine.squish"
        mine.write_bytes(ancestor.read_bytes())
        begin(tmp_path / "run", settings(pictures, mine))
        kill_after_one(lambda k: evolve(tmp_path / "run", k, data=data))
        replace(read_net(str(mine)), about="another").save(mine)
        with pytest.raises(ValueError, match=r"the ancestor's file is .*; the run began with"):
            evolve(tmp_path / "run", lambda _: None, data=data)

    def test_a_budget_that_the_ancestor_meets(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        begin(tmp_path, settings(pictures, ancestor, max_bytes=10e6))
        with pytest.raises(ValueError, match=r"the ancestor is within the budget already: "):
            evolve(tmp_path, lambda _: None, data=data)

    def test_an_individual_that_cannot_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "generation-00").mkdir()
        (tmp_path / "generation-00" / "member-0.json").write_text("{,", encoding="utf-8")
        with pytest.raises(ValueError, match=r"member-0\.json': not what a run says"):
            young(tmp_path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ("{,", "not what a run measures of a machine: Expecting property name"),
            ("[1]", "not what a run measures of a machine: .* must be a mapping"),
            ({"storage": "auto"}, "got storage 'auto', wanted one of f32, f16, i8"),
            ({"filters": -1}, "got -1 filters"),
            ({"fixed_seconds": -1.0}, "wanted times of pieces and of the rest, from 0 on"),
            ({"fixed_seconds": "1"}, "not what a run measures of a machine: "),
            ({"rate": 1.0}, "unexpected keyword argument 'rate'"),
            ({"piece_seconds": {}}, "has no time of the ancestor's 'conv1'"),
        ],
    )
    def test_an_environment_that_nobody_measured(
        self,
        change: object,
        message: str,
        pictures: Path,
        data: Dataset,
        ancestor: Path,
        tmp_path: Path,
    ) -> None:
        begin(tmp_path, settings(pictures, ancestor))
        costs = environment(read_net(str(ancestor)))
        values = costs.to_dict()
        text = change if isinstance(change, str) else json.dumps({**values, **dict(change)})  # type: ignore[call-overload]
        (tmp_path / "environment.json").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=rf"environment\.json': .*{message}"):
            evolve(tmp_path, lambda _: None, data=data)
        assert young(tmp_path) == []

    def test_an_ancestor_of_other_classes(
        self, pictures: Path, data: Dataset, ancestor: Path, tmp_path: Path
    ) -> None:
        begin(tmp_path, settings(pictures, ancestor))
        with pytest.raises(ValueError, match=r"the ancestor's classes are .*, the data's"):
            evolve(tmp_path, lambda _: None, data=replace(data, labels=["a", "b", "c"]))

    def test_a_run_of_another_version(self, pictures: Path, ancestor: Path, tmp_path: Path) -> None:
        begin(tmp_path, settings(pictures, ancestor))
        file = tmp_path / "settings.json"
        file.write_text(
            json.dumps({**json.loads(file.read_text(encoding="utf-8")), "format": 3}),
            encoding="utf-8",
        )
        with pytest.raises(ValueError, match="run format 3"):
            evolve(tmp_path, lambda _: None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cluster-factor", "0.1"], "--cluster-factor: is of --strategy paper"),
        (["--cluster", "kernel"], "--cluster: is of --strategy paper"),
        (["--family", "2", "--max-bytes", "50kB"], "--family: not beside several --max-bytes"),
    ],
)
def test_options_that_would_do_nothing(options: list[str], message: str, tmp_path: Path) -> None:
    wanted = ["--data", "d", "--ancestor", "net.squish", "--max-bytes", "100kB"]
    done = CliRunner().invoke(app, ["evolve", "-o", str(tmp_path / "run"), *wanted, *options])
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert not (tmp_path / "run").exists()
