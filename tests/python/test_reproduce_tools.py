from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import make
import parity
import pytest
import results
import typer.main
from evolution import settings
from experiments import EXPERIMENTS, Experiment
from squishnative import reference
from squishnative.cli.main import app
from squishnative.evolve import run
from squishnative.train.dataset import Dataset


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_every_experiment_is_a_call_that_squish_understands(
    experiment: Experiment, tmp_path: Path
) -> None:
    line = make.command(experiment, tmp_path / "runs", tmp_path / "data")
    assert line[:3] == [sys.executable, "-m", "squishnative"]
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    context = commands[line[3]].make_context(line[3], line[4:])  # raises where it does not
    given = context.params
    assert given["output"] == tmp_path / "runs" / experiment.name
    for name, value in experiment.options.items():
        got = given[name.replace("-", "_")]
        assert (got or []) == list(value) if isinstance(value, tuple) else str(got) == str(value)


def test_ancestors_come_before_their_families() -> None:
    names = [experiment.name for experiment in EXPERIMENTS]
    assert len(set(names)) == len(names)
    for number, experiment in enumerate(EXPERIMENTS):
        assert experiment.ancestor is None or experiment.ancestor in names[:number]


def test_chosen_runs_bring_their_dense_nets() -> None:
    assert [e.name for e in make.chosen("imagenette")] == ["imagenette-dense", "imagenette"]
    assert [e.name for e in make.chosen("*rigl-2")] == [
        "imagenet10-64-dense",
        "imagenet10-64-rigl-2",
    ]
    assert make.chosen("*") == EXPERIMENTS
    assert make.chosen("nothing") == []


def test_a_run_that_was_begun_is_continued(tmp_path: Path) -> None:
    experiment = EXPERIMENTS[0]
    folder = tmp_path / experiment.name
    folder.mkdir()
    # All that a call with wrong paths leaves:
    (folder / "settings.json").write_text("{}", encoding="utf-8")
    assert "--resume" not in make.command(experiment, tmp_path, tmp_path)
    (folder / "checkpoint.pt").write_bytes(b"")
    assert "--resume" in make.command(experiment, tmp_path, tmp_path)


@pytest.mark.parametrize(("status", "family"), [(1, True), (1, False), (2, True)])
def test_a_family_that_missed_its_budget_does_not_end_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, family: bool
) -> None:
    calls: list[list[str]] = []

    def ended(line: list[str]) -> subprocess.CompletedProcess[bytes]:
        calls.append(line)
        return subprocess.CompletedProcess(line, status)

    monkeypatch.setattr(subprocess, "run", ended)
    first, *others = make.chosen("cifar10*")
    assert others
    for experiment in (first, *others):
        (tmp_path / experiment.name / "family").mkdir(parents=True)
        if family:
            (tmp_path / experiment.name / "family" / "0.json").write_text("{}", encoding="utf-8")
    options = [str(tmp_path), "--data", str(tmp_path), "--only", "cifar10*"]
    monkeypatch.setattr(sys, "argv", ["make.py", *options])
    if status == 1 and family:
        make.main()
        assert len(calls) == 1 + len(others)
    else:
        with pytest.raises(SystemExit, match=f"{first.name} failed"):
            make.main()
        assert len(calls) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_family_becomes_tables(
    pictures: Path,
    data: Dataset,
    ancestor: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "imagenette"
    run.begin(folder, settings(pictures, ancestor, dtype="i4", max_bytes=9e3))
    family = run.evolve(folder, lambda _: None, data=data)
    dense = tmp_path / "imagenette-dense"
    dense.mkdir()
    (dense / "log.csv").write_text("epoch,seconds\n1,1800\n2,3600\n", encoding="utf-8")
    monkeypatch.setattr(results, "SECONDS", 0.01)
    text = results.results(tmp_path, "some core")
    for member in family:
        assert f"{member.shipped_bytes:,}" in text
        assert f"{100 * member.val_accuracy:.2f} %" in text
    assert "| smaller than SqueezeNet v1.1 | 5.17x |" in text
    assert "the dense net's own training: 2 epochs in 1.5 hours" in text
    tables = [part for part in text.split("\n\n") if part.startswith("|")]
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1

    files = parity.nets_of(folder)
    assert [file.stem for file in files] == [m.name.partition("/")[2] for m in family]
    line, fits = parity.compare(files[-1], data.val)
    assert fits, line
    assert f"of {len(data.val)}" in line


@pytest.mark.usefixtures("one_thread")
def test_parity_fails_where_logits_differ(
    data: Dataset, ancestor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parity.compare(ancestor, data.val)[1]
    logits, bound = reference.run(ancestor, data.val.images)
    monkeypatch.setattr(reference, "run", lambda *_: (logits + 1e-3, bound))
    line, fits = parity.compare(ancestor, data.val)
    assert not fits
    assert "% of the bound" in line
