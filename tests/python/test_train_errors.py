"""What training refuses, and what it says."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pictures import SIZE
from squishnative import nets
from squishnative.cli.main import app
from squishnative.train import pretrained
from squishnative.train.architecture import squeezenet
from squishnative.train.dataset import Dataset
from squishnative.train.folders import alone_in
from squishnative.train.recipe import Recipe
from squishnative.train.run import begin, initial_net, read_net, train
from training import settings, trainer_of
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_second_run_in_one_folder(pictures: Path, tmp_path: Path) -> None:
    begin(tmp_path, settings(pictures))
    begin(tmp_path, settings(pictures))  # the first one came to nothing
    (tmp_path / "checkpoint.pt").write_bytes(b"progress")
    with pytest.raises(FileExistsError, match="--resume continues it"):
        begin(tmp_path, settings(pictures))


def test_a_run_of_another_version(pictures: Path, tmp_path: Path) -> None:
    begin(tmp_path, settings(pictures))
    file = tmp_path / "settings.json"
    file.write_text(
        json.dumps({**json.loads(file.read_text(encoding="utf-8")), "format": 99}), encoding="utf-8"
    )
    with pytest.raises(ValueError, match="run format 99, made by another command"):
        train(tmp_path, lambda _: None)


def test_a_folder_of_evolution(pictures: Path, tmp_path: Path) -> None:
    begin(tmp_path, settings(pictures))
    (tmp_path / "generation-00").mkdir()
    (tmp_path / "generation-00" / "member-0.json").write_text("{}", encoding="utf-8")
    with pytest.raises(FileExistsError, match="--resume continues it"):
        begin(tmp_path, settings(pictures))


def test_settings_of_something_else(pictures: Path, tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"theme": "dark"}', encoding="utf-8")
    with pytest.raises(FileExistsError, match="not the settings of a run"):
        begin(tmp_path, settings(pictures))
    assert file.read_text(encoding="utf-8") == '{"theme": "dark"}'


@pytest.mark.parametrize("name", ["log.csv", "skipped.json", "environment.json", "net.squish"])
def test_files_of_others_stay(name: str, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match=f"not a run's.*{name}"):
        begin(tmp_path, settings(pictures))
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text(encoding="utf-8") == "mine"


def test_the_settings_of_a_run_under_way_stay(pictures: Path, tmp_path: Path) -> None:
    begin(tmp_path, settings(pictures, epochs=3))
    before = (tmp_path / "settings.json").read_text(encoding="utf-8")
    with alone_in(tmp_path), pytest.raises(RuntimeError, match="another process"):
        begin(tmp_path, settings(pictures, epochs=77))
    assert (tmp_path / "settings.json").read_text(encoding="utf-8") == before


def test_other_images_than_the_run_began_with(
    pictures: Path, data: Dataset, tmp_path: Path
) -> None:
    begin(tmp_path, settings(pictures, epochs=1))
    train(tmp_path, lambda _: None, data=data)
    darker = replace(data.train, images=data.train.images // 2)
    with pytest.raises(ValueError, match=r"the images are .*; the run began with "):
        train(tmp_path, lambda _: None, data=replace(data, train=darker))


def test_another_net_than_the_run_began_with(pictures: Path, data: Dataset, tmp_path: Path) -> None:
    init, run = tmp_path / "init.squish", tmp_path / "run"
    squeezenet("1.1", 3, width=0.25).save(init)
    begin(run, replace(settings(pictures, epochs=1), init=str(init)))
    train(run, lambda _: None, data=data)
    squeezenet("1.1", 3, width=0.5).save(init)
    with pytest.raises(ValueError, match=r"--init '.*' is sha256 .*; the run began with sha256"):
        train(run, lambda _: None, data=data)


def test_photographs_that_do_not_fill_the_net(pictures: Path) -> None:
    for resize in (1, SIZE - 1):
        with pytest.raises(ValueError, match=f"resize: got {resize}, wanted 0 or at least the"):
            initial_net(replace(settings(pictures), resize=resize))
    assert initial_net(replace(settings(pictures), resize=0)).input.resize == 0


def test_a_net_of_the_package_by_its_name() -> None:
    (name, *_) = nets.names()
    assert read_net(name).labels == read_net(nets.path_of(name)).labels
    assert nets.path_of(name) != name


def test_a_net_by_any_name(tmp_path: Path) -> None:
    (name, *_) = nets.names()
    copy = tmp_path / "a net"
    copy.write_bytes(Path(nets.path_of(name)).read_bytes())
    assert read_net(str(copy)).labels == read_net(name).labels
    for missing in ("nothere", "nothere.squish", "nothere.pth"):
        with pytest.raises(FileNotFoundError, match=missing):
            read_net(missing)


def test_hints_without_a_teacher(pictures: Path) -> None:
    with pytest.raises(ValueError, match="hints: got 1 without a teacher"):
        settings(pictures, hints=1.0)


def test_other_classes_than_the_run_began_with(
    pictures: Path, data: Dataset, tmp_path: Path
) -> None:
    begin(tmp_path, settings(pictures, epochs=1))
    train(tmp_path, lambda _: None, data=data)
    renamed = replace(data, labels=["across", "down", "zigzag"])
    with pytest.raises(ValueError, match=r"zigzag.*the run began with .*plain"):
        train(tmp_path, lambda _: None, data=renamed)


def test_two_processes_in_one_folder(pictures: Path, data: Dataset, tmp_path: Path) -> None:
    begin(tmp_path, settings(pictures))
    with alone_in(tmp_path), pytest.raises(RuntimeError, match="another process"):
        train(tmp_path, lambda _: None, data=data)


@pytest.mark.parametrize(
    ("classes", "labels", "mean", "message"),
    [
        (4, [], (0.485, 0.456, 0.406), "teacher's classes are 4"),
        (3, ["a", "b", "c"], (0.485, 0.456, 0.406), r"teacher's classes are \['a'"),
        (3, [], (0.5, 0.5, 0.5), r"mean: got \[0\.5"),
    ],
)
def test_a_teacher_of_other_things(
    classes: int,
    labels: list[str],
    mean: tuple[float, float, float],
    message: str,
    pictures: Path,
    data: Dataset,
    tmp_path: Path,
) -> None:
    teacher = squeezenet("1.1", classes, width=0.25)
    teacher.labels = labels
    teacher.input = replace(teacher.input, mean=mean)
    teacher.save(tmp_path / "teacher.squish")
    wanted = replace(settings(pictures), teacher=str(tmp_path / "teacher.squish"))
    begin(tmp_path / "run", wanted)
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", lambda _: None, data=data)


def test_a_device_that_is_not_here(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="device 'cuda:99'"):
        begin(tmp_path / "run", replace(settings(pictures), device="cuda:99"))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number(data: Dataset) -> None:
    trainer = trainer_of(data, lr=0.5)
    with torch.no_grad():
        next(trainer.network.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match=r"epoch 1: the loss is nan.* than 0\.5"):
        trainer.run_epoch()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 3, "squishnative": "0"}'])
def test_settings_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="not the settings of a run"):
        train(tmp_path, lambda _: None)


def test_a_checkpoint_that_is_damaged(pictures: Path, data: Dataset, tmp_path: Path) -> None:
    begin(tmp_path, settings(pictures))
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(ValueError, match="no checkpoint that can be read"):
        train(tmp_path, lambda _: None, data=data)


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", 0), ("batch", 1), ("ema", 1.5), ("distillation", -0.1)]
)
def test_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}: got {value}, must be at least"):
        Recipe(**{name: value})  # type: ignore[arg-type]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file that stands for torchvision's, and an empty cache."""
    folder = tmp_path / "published"
    folder.mkdir()
    content = b"a checkpoint"
    name = f"squeezenet1_1-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (folder / name).write_bytes(content)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(pretrained, "_URL", folder.as_uri())
    monkeypatch.setattr(pretrained, "_FILES", {"1.1": name})
    return folder / name


def test_weights_of_torchvision_are_fetched_once(published: Path) -> None:
    file = pretrained.pretrained("1.1")
    assert file.read_bytes() == published.read_bytes()
    published.unlink()
    assert pretrained.pretrained("1.1") == file


def test_weights_of_torchvision_without_a_network(published: Path) -> None:
    published.unlink()
    with pytest.raises(OSError, match=r"file://.*; wanted it there or in '.*checkpoints'"):
        pretrained.pretrained("1.1")


def test_weights_of_torchvision_that_are_others(published: Path) -> None:
    published.write_bytes(b"something else")
    with pytest.raises(OSError, match="wanted it there"):
        pretrained.pretrained("1.1")
    with pytest.raises(ValueError, match=r"version: got '2\.0'"):
        pretrained.pretrained("2.0")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume", "--epochs", "50"], "--epochs: not beside --resume"),
        (["--data", "d", "--init", "net.pth", "--width", "2"], "the net of --init has its own"),
        (["--data", "d", "--init", "net.pth", "--version", "1.0"], "the net of --init has its own"),
        (["--data", "d", "--init", "torchvision", "--width", "2"], "--init has its own"),
        (["--data", "d", "--distillation", "0.9"], "--distillation: is of a --teacher"),
        (["--data", "d", "--temperature", "7"], "--temperature: is of a --teacher"),
    ],
)
def test_options_that_contradict(options: list[str], message: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train", "-o", str(tmp_path / "run"), *options])
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert not (tmp_path / "run").exists()
