"""Small nets and settings for the tests of training."""

from __future__ import annotations

from pathlib import Path

from pictures import SIZE
from squishnative.spec import InputSpec
from squishnative.train.architecture import squeezenet
from squishnative.train.dataset import Dataset
from squishnative.train.geometry import as_input
from squishnative.train.recipe import Recipe
from squishnative.train.run import Settings, prepare
from squishnative.train.trainer import Trainer


def settings(pictures: Path, **recipe: object) -> Settings:
    wanted = {"epochs": 6, "batch": 12, "lr": 0.05, **recipe}
    return Settings(str(pictures), width=0.25, size=SIZE, resize=SIZE, recipe=Recipe(**wanted))  # type: ignore[arg-type]


def trainer_of(data: Dataset, seed: int = 0, **recipe: object) -> Trainer:
    spec = squeezenet("1.1", 3, width=0.25)
    spec.input = InputSpec(height=SIZE, width=SIZE, resize=SIZE)
    network = prepare(spec, as_input(data.train.images[::3], spec.input))
    wanted = {"epochs": 4, "batch": 12, "lr": 0.05, **recipe}
    return Trainer(network, data.train, Recipe(**wanted), seed)  # type: ignore[arg-type]
