from __future__ import annotations

import copy
import csv
import json
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import squishnative
import torch
from pictures import LABELS, SIZE, make_pictures
from squishnative.cli.main import app
from squishnative.spec import Activation
from squishnative.train import run
from squishnative.train.architecture import squeezenet
from squishnative.train.augment import normalise
from squishnative.train.dataset import Dataset, Split, hold_out
from squishnative.train.files import save_state, write_atomically
from squishnative.train.network import Network
from squishnative.train.recipe import Recipe
from squishnative.train.run import begin, train
from squishnative.train.teacher import Taught, teacher_of
from squishnative.train.trainer import Trainer, accuracy, logits_of
from training import settings, trainer_of
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("one_thread")


def same(a: Network, b: Network) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values())
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.slow
def test_learns_and_the_engine_agrees_with_pytorch(
    pictures: Path, data: Dataset, tmp_path: Path
) -> None:
    begin(tmp_path, settings(pictures, epochs=14))
    seen: list[run.Progress] = []
    file = train(tmp_path, seen.append, data=data)
    assert [p.epoch.number for p in seen] == list(range(1, 15))
    with squishnative.load(file) as net:
        assert net.labels == LABELS
        assert net.input_shape == (3, SIZE, SIZE)
        logits = net.infer(np.ascontiguousarray(data.val.images))
        share = accuracy(logits, data.val.classes)
        assert share == seen[-1].val_accuracy
        assert share > 0.8
        photo = pictures / data.val.names[0]
        assert net.predict([photo])[0][0].label == LABELS[int(logits[0].argmax())]


def test_the_log_has_a_line_an_epoch(pictures: Path, data: Dataset, tmp_path: Path) -> None:
    begin(tmp_path, settings(pictures, epochs=2))
    train(tmp_path, lambda _: None, data=data)
    rows = list(csv.DictReader((tmp_path / "log.csv").open(encoding="utf-8")))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["lr"]) < 0.05
    assert (
        json.loads((tmp_path / "settings.json").read_text(encoding="utf-8"))["format"] == run.FORMAT
    )


def test_a_killed_run_continues_to_the_same_bits(
    pictures: Path, data: Dataset, tmp_path: Path
) -> None:
    begin(tmp_path / "whole", settings(pictures, mixup=0.2))
    whole = train(tmp_path / "whole", lambda _: None, data=data)
    begin(tmp_path / "killed", settings(pictures, mixup=0.2))

    def kill(progress: run.Progress) -> None:
        if progress.epoch.number in (2, 3):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed", kill, data=data)
    assert not (tmp_path / "killed" / "net.squish").exists()
    resumed = train(tmp_path / "killed", lambda _: None, data=data)
    assert resumed.read_bytes() == whole.read_bytes()
    whole_log = [
        row["loss"] for row in csv.DictReader((tmp_path / "whole/log.csv").open(encoding="utf-8"))
    ]
    log = [
        row["loss"] for row in csv.DictReader((tmp_path / "killed/log.csv").open(encoding="utf-8"))
    ]
    assert log == whole_log


def test_the_seed_decides(data: Dataset) -> None:
    one, again, other = (trainer_of(data, seed) for seed in (1, 1, 2))
    for trainer in (one, again, other):
        torch.rand(7)  # the world's own generator must not matter
        trainer.run_epoch()
    assert same(one.network, again.network)
    assert not same(one.network, other.network)


def test_the_average_follows_the_weights(data: Dataset) -> None:
    trainer = trainer_of(data, ema=0.0)
    trainer.run_epoch()
    assert same(trainer.averaged, trainer.network)
    slow = trainer_of(data, ema=0.999)
    slow.run_epoch()
    assert not same(slow.averaged, slow.network)


def test_the_learning_rate_rises_and_falls_to_nothing(data: Dataset) -> None:
    rates: list[float] = []
    trainer = trainer_of(data, warmup=1.0)
    trainer.before_step = lambda t: rates.append(t.lr_of(t.step))
    for _ in range(4):
        trainer.run_epoch()
    assert len(rates) == trainer.steps == 4 * 6
    assert rates[0] < 0.25 * max(rates)
    assert rates[-1] < 0.02 * max(rates)
    assert rates[6:] == sorted(rates[6:], reverse=True)


def test_the_learning_rate_stays_for_training_that_others_continue(data: Dataset) -> None:
    trainer = trainer_of(data, epochs=2, lr=0.03, annealed=False, warmup=0.5)
    rates = [trainer.lr_of(step) for step in range(trainer.steps)]
    assert rates[3:] == [0.03] * (trainer.steps - 3)
    assert rates[:3] == sorted(rates[:3])
    assert rates[0] == pytest.approx(0.01)


def test_distillation_pulls_towards_the_teacher(data: Dataset) -> None:
    """With the whole loss from it, labels do not matter: wrong ones leave the same weights."""
    spec = squeezenet("1.1", 3, width=0.25, seed=9)
    spec.input = replace(spec.input, height=SIZE, width=SIZE)
    teacher = Network(spec, normed=False).eval()
    ends = []
    for shift in (0, 1):
        shifted = replace(data.train, classes=(data.train.classes + shift) % 3)
        trainer = trainer_of(replace(data, train=shifted), distillation=1.0)
        trainer.teacher = lambda x: Taught(teacher(x))
        trainer.run_epoch()
        ends.append(trainer.network)
    assert same(*ends)


def test_the_engine_teaches_what_the_net_says() -> None:
    spec = squeezenet("1.1", 3, width=0.25, seed=9)
    batch = torch.randn(5, 3, SIZE, SIZE).to(memory_format=torch.channels_last)
    logits, features = Network(spec, normed=False).eval().forward_with_features(batch)
    taught = teacher_of(spec, "cpu", features=True)(batch)
    assert taught.features is not None
    assert not taught.logits.requires_grad
    torch.testing.assert_close(taught.logits, logits.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(taught.features, features.detach(), rtol=1e-4, atol=1e-4)
    assert teacher_of(spec, "cpu")(batch).features is None


def test_a_last_batch_of_one_image_is_left_out(data: Dataset) -> None:
    assert trainer_of(data, batch=71).steps_per_epoch == 1
    assert trainer_of(data, batch=70).steps_per_epoch == 2


def test_logits_are_those_of_the_normalised_images(data: Dataset) -> None:
    trainer = trainer_of(data)
    pixels = torch.from_numpy(data.val.images).permute(0, 3, 1, 2).float()
    x = normalise(pixels, trainer.network.input)
    with torch.no_grad():
        wanted = trainer.network.eval()(x).numpy()
    np.testing.assert_allclose(
        logits_of(trainer.network, data.val.images), wanted, rtol=1e-4, atol=1e-5
    )


def test_adamw_learns_and_its_state_is_kept(data: Dataset) -> None:
    whole, killed, resumed = (
        trainer_of(data, optimiser="adamw", lr=0.02, epochs=5) for _ in range(3)
    )
    losses = [whole.run_epoch().loss for _ in range(5)]
    assert losses[-1] < 0.9 * losses[0]
    killed.run_epoch()
    resumed.restore(copy.deepcopy(killed.state()))
    for _ in range(4):
        resumed.run_epoch()
    assert same(resumed.network, whole.network)


def test_an_optimiser_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"optimiser: got 'lion', wanted one of sgd, adamw"):
        Recipe(optimiser="lion")


def test_trains_on_crops_of_the_scale_that_was_asked_for(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(data, scale=0.95)
    seen: list[torch.Size] = []
    forward = trainer.network.forward_with_features

    def watched(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(x.shape)
        return forward(x)

    monkeypatch.setattr(trainer.network, "forward_with_features", watched)
    trainer.run_epoch()
    assert {shape[2:] for shape in seen} == {(30, 30)}


def test_a_scale_that_the_net_does_not_admit_is_refused(data: Dataset) -> None:
    with pytest.raises(ValueError, match=r"layer 7 .pool5."):
        trainer_of(data, scale=0.75)


def test_the_size_before_the_crop_is_imagenets_or_what_was_asked_for(pictures: Path) -> None:
    asked = settings(pictures)
    assert run.initial_net(asked).input.resize == SIZE
    assert run.initial_net(replace(asked, resize=None, size=112)).input.resize == 128
    assert run.initial_net(replace(asked, resize=0)).input.resize == 0


def test_held_out_images_are_not_trained_on(
    pictures: Path, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are those on which `squish evolve` with the same seed measures fitness."""
    seen: list[str] = []

    class Spy(Trainer):
        def __init__(self, network: Network, split: Split, *rest: Any, **more: Any) -> None:
            seen.extend(split.names)
            super().__init__(network, split, *rest, **more)

    monkeypatch.setattr(run, "Trainer", Spy)
    begin(tmp_path, replace(settings(pictures, epochs=1), held_out=0.25, seed=3))
    train(tmp_path, lambda _: None, data=data)
    left, taken = hold_out(data.train, 0.25, 3)
    assert seen == left.names
    assert not set(seen) & set(taken.names)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_bytes(b"old")

    def fail(_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(file, fail)
    assert caught.value.filename == str(file)
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_disk_that_fills_while_a_state_is_written(tmp_path: Path) -> None:
    """The error is of the system and names the file, whatever torch makes of it."""
    file = tmp_path / "state"
    save_state(file, {"epoch": 1})
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            save_state(file, {"epoch": 2, "weights": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_net_of_these_classes_keeps_its_head(
    pictures: Path, data: Dataset, tmp_path: Path
) -> None:
    spec = squeezenet("1.1", 3, width=0.25, seed=4)
    spec.input = replace(spec.input, height=SIZE, width=SIZE, resize=SIZE)
    for labels in (LABELS, ["other", "classes", "three"]):
        spec.labels = labels
        spec.save(tmp_path / "init.squish")
        wanted = replace(settings(pictures, epochs=1, lr=0.0), init=str(tmp_path / "init.squish"))
        folder = tmp_path / labels[0]
        begin(folder, wanted)
        with squishnative.load(train(folder, lambda _: None, data=data)) as net:
            exact = logits_of(Network(spec, normed=False), data.val.images)
            # Nothing was learnt, but the norms' statistics follow the crops.
            same = np.corrcoef(net.infer(data.val.images).ravel(), exact.ravel())[0, 1] > 0.99
        assert same == (labels == LABELS)


def test_training_begins_from_any_net_file(pictures: Path, data: Dataset, tmp_path: Path) -> None:
    spec = squeezenet("1.1", 5, width=0.25, seed=4)
    spec.save(tmp_path / "init.squish")
    wanted = replace(settings(pictures, epochs=1, lr=0.0), init=str(tmp_path / "init.squish"))
    begin(tmp_path / "run", wanted)
    file = train(tmp_path / "run", lambda _: None, data=data)
    with squishnative.load(file) as net:
        trained = run.read_net(str(file))
        assert net.classes == 3
    # At a learning rate of 0 every filter is the same one, up to its scale.
    before, after = (net.layers[0].conv.weight for net in (spec, trained))  # type: ignore[union-attr]
    ratio = after / before
    first = np.broadcast_to(ratio[:, :1, :1, :1], ratio.shape)
    np.testing.assert_allclose(ratio, first, rtol=1e-4)


def test_training_takes_no_activations_along(tmp_path: Path) -> None:
    spec = squeezenet("1.1", 3, width=0.25)
    for layer in spec.layers:
        for _, conv in layer.named_convs():
            conv.activation = Activation(1.0, 0)
    spec.save(tmp_path / "net.squish", "i8")
    kept = [run.read_net(str(tmp_path / "net.squish")), Network(spec, normed=False).to_spec()]
    for net in kept:
        convs = [conv for layer in net.layers for _, conv in layer.named_convs()]
        assert [conv.activation for conv in convs] == [None] * 26


@pytest.mark.slow
def test_the_command_line_names_images_that_it_skipped(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "data", train=6, val=2)
    (folder / "train" / "down" / "000.png").write_bytes(b"")
    options = ["--data", str(folder), "-o", str(tmp_path / "run"), "--epochs", "1"]
    small = ["--width", "0.25", "--size", "32", "--batch", "8"]
    done = CliRunner().invoke(app, ["train", *options, *small])
    assert done.exit_code == 0, done.output
    assert "epoch   1 of 1" in done.output
    assert "squish: skipped 'train/down/000.png': " in done.stderr
    again = CliRunner().invoke(app, ["train", *options])
    assert isinstance(again.exception, FileExistsError)
