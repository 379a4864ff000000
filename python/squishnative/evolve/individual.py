"""An individual as its file says it, and how it is measured."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from squishnative.evolve.budget import Genes
from squishnative.net import Net
from squishnative.spec import FloatArray
from squishnative.train.dataset import Classes, Split

_BATCH = 32  # images of a call while accuracy is measured


@dataclass
class Individual:
    """What its .json says. accuracies 0..1, of the file on the engine.

    A young one is what offspring are made of: every cluster in its place, float32. A mature one is
    shipped: compacted, weights of the budget's type, trained to the end.
    fitness is measured on held-out training images, val_accuracy on images that decide nothing.
    seconds_predicted: by the environment, which selection sees. seconds: measured, for people; of a
    young one but the ancestor as it would be shipped. storage: what the engine computed it in then.
    """

    generation: int
    number: int
    mature: bool
    parents: list[str]
    fitness: float
    val_accuracy: float
    dtype: str  # of its file's weights
    bytes: dict[str, int]  # of the compacted net's file by type of its weights
    seconds_predicted: float
    seconds: float
    storage: str
    density: float  # of clusters, against the ancestor's
    densities: dict[str, float]  # of each convolution
    genes: Genes
    confusion: list[list[int]]  # val images by [class][what the net says]
    screened: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # of each epoch
    epochs: int = 0
    training_seconds: float = 0.0

    @staticmethod
    def name_of(generation: int, number: int, mature: bool) -> str:
        """`generation-03/member-1`, or `family/generation-03-member-1` of the same one, mature."""
        place = f"generation-{generation:02}", f"member-{number}"
        return "family/" + "-".join(place) if mature else "/".join(place)

    @property
    def name(self) -> str:
        """Where its files are in the run's folder, without their suffixes."""
        return self.name_of(self.generation, self.number, self.mature)

    @property
    def shipped_bytes(self) -> int:
        """Of the compacted net's file."""
        return self.bytes[self.dtype]


def young(folder: Path) -> list[Individual]:
    """All that are whole, oldest first."""
    return _read(folder, "generation-*/member-*.json")


def family(folder: Path) -> list[Individual]:
    """Those that are shipped, oldest first, which is largest first."""
    return _read(folder, "family/*.json")


def _read(folder: Path, pattern: str) -> list[Individual]:
    found = [_read_one(file) for file in folder.glob(pattern)]
    return sorted(found, key=lambda individual: (individual.generation, individual.number))


def _read_one(file: Path) -> Individual:
    try:
        return Individual(**json.loads(file.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{file}': not what a run says of an individual: {error}") from error


def logits_of(net: Net, split: Split) -> FloatArray:
    """What the engine makes of the images, bytes as they are."""
    parts = range(0, len(split), _BATCH)
    return np.concatenate([net.infer(split.images[k : k + _BATCH]) for k in parts])


def confusion_of(logits: FloatArray, classes: Classes) -> list[list[int]]:
    """Images by class and by what the logits say."""
    counts = np.zeros((logits.shape[1], logits.shape[1]), np.int64)
    np.add.at(counts, (classes, logits.argmax(1)), 1)
    return [[int(count) for count in row] for row in counts]
