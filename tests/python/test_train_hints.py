"""Hints: features that imitate the teacher's."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from squishnative.spec import NetSpec
from squishnative.train.dataset import Dataset
from squishnative.train.hints import Hints
from squishnative.train.recipe import Recipe
from squishnative.train.run import begin, train
from squishnative.train.teacher import Taught, teacher_of
from squishnative.train.trainer import Trainer
from test_train_run import same
from training import settings, trainer_of

pytestmark = pytest.mark.usefixtures("one_thread")


def test_begin_with_the_regression() -> None:
    torch.manual_seed(0)
    own = torch.randn(500, 12) + 3
    taught = own @ torch.randn(12, 30) + torch.randn(30)
    hints = Hints(own, taught)
    assert hints(own, taught).item() < 1e-3
    unrelated = torch.randn(500, 30) * 7 - 2
    assert 0.9 < Hints(own, unrelated)(own, unrelated).item() < 1


def test_features_that_never_move_teach_nothing() -> None:
    own, taught = torch.randn(50, 4), torch.full((50, 3), 7.0)
    hints = Hints(own, taught)
    assert hints(own, taught).item() == pytest.approx(0, abs=1e-6)


def taught_trainer(data: Dataset, hints: float, seed: int = 1) -> Trainer:
    """One whose teacher knows what the labels say: a net that was trained on them."""
    parent = trainer_of(data)
    for _ in range(4):
        parent.run_epoch()
    trainer = trainer_of(data, seed=1)
    teacher = teacher_of(parent.averaged.to_spec(), "cpu", features=True)
    recipe = Recipe(epochs=6, batch=12, lr=0.02, distillation=1.0, hints=hints, views=2)
    return Trainer(trainer.network, data.train, recipe, seed, teacher)


def missed(trainer: Trainer) -> float:
    """What a regression from the student's features misses of the teacher's, on training images."""
    x, taught = trainer._look(torch.arange(60), torch.Generator())
    assert taught is not None
    assert taught.features is not None
    with torch.no_grad():
        own = trainer.network.eval().forward_with_features(x)[1]
        return float(Hints(own, taught.features)(own, taught.features))


def test_pull_features_towards_the_teachers(data: Dataset) -> None:
    """On the mean of some seeds: of so few steps one may tell little."""
    seeds = range(4)
    without, hinted = ([taught_trainer(data, h, seed) for seed in seeds] for h in (0.0, 3.0))
    begun = [missed(trainer) for trainer in hinted]
    for trainer in (*without, *hinted):
        for _ in range(6):
            trainer.run_epoch()
    ended = [missed(trainer) for trainer in hinted]
    assert sum(ended) < 0.9 * sum(missed(trainer) for trainer in without)
    assert all(after < before for after, before in zip(ended, begun))


def test_are_part_of_the_state(data: Dataset) -> None:
    whole, killed, resumed = (taught_trainer(data, 1.0) for _ in range(3))
    for _ in range(3):
        whole.run_epoch()
    killed.run_epoch()
    resumed.restore(copy.deepcopy(killed.state()))
    for _ in range(2):
        resumed.run_epoch()
    assert same(resumed.network, whole.network)


def test_need_a_teacher(data: Dataset) -> None:
    trainer = trainer_of(data, hints=1.0)
    trainer.run_epoch()
    assert trainer.state()["hints"] is None


def test_a_run_has_them(pictures: Path, data: Dataset, tmp_path: Path) -> None:
    begin(tmp_path / "teacher", settings(pictures, epochs=1))
    teacher = train(tmp_path / "teacher", lambda _: None, data=data)
    nets = []
    for name, hints, distillation in (
        ("with", 1.0, 0.5),
        ("again", 1.0, 0.5),
        ("without", 0.0, 0.5),
        ("alone", 1.0, 0.0),
        ("untaught", 0.0, 0.0),
    ):
        wanted = settings(pictures, epochs=1)
        recipe = replace(wanted.recipe, hints=hints, distillation=distillation)
        begin(tmp_path / name, replace(wanted, teacher=str(teacher), recipe=recipe))
        nets.append(train(tmp_path / name, lambda _: None, data=data).read_bytes())
    assert nets[0] == nets[1]
    assert len(set(nets)) == 4


def test_a_teachers_features_are_those_of_its_head(data: Dataset) -> None:
    spec: NetSpec = trainer_of(data).averaged.to_spec()
    x = torch.randn(2, 3, spec.input.height, spec.input.width)
    taught: Taught = teacher_of(spec, "cpu", features=True)(x)
    assert taught.features is not None
    assert taught.features.shape == (2, spec.layers[-2].conv.in_channels)  # type: ignore[union-attr]
