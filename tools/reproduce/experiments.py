"""The runs behind docs/reproduction.md: what `squish` is called with, in the order of need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

IMAGENETTE, TINY, CIFAR = "imagenette-224.tar", "imagenet10-64.tar", "cifar10.tar.zst"
PRETRAINED = "squeezenet1_1.pth"
STRATEGIES = ("evolve", "one-shot", "gradual", "rigl")
SEEDS = (0, 1, 2)

# "mature-epochs": 40 is --mature-epochs 40; a tuple is an option that is given so many times
Options = dict[str, object]


@dataclass(frozen=True)
class Experiment:
    """One run folder. data, init: files of the data folder. ancestor: an experiment before it."""

    name: str
    data: str
    options: Options = field(default_factory=dict)
    init: Optional[str] = None
    ancestor: Optional[str] = None

    @property
    def command(self) -> str:
        """Of `squish`."""
        return "train" if self.ancestor is None else "evolve"


def _family(name: str, data: str, variant: str = "", /, **options: object) -> Experiment:
    """variant: of the family, after its name; the ancestor is the same."""
    given = {key.replace("_", "-"): value for key, value in options.items()}
    return Experiment(f"{name}{variant}", data, given, ancestor=f"{name}-dense")


# 160 pixels, all of the photograph; trained on crops of 128.
_FIXRES: Options = {"size": 160, "resize": 160, "scale": 0.8}

# With one offspring a generation nobody is chosen by fitness: nearly all images are for training.
_ALONE: Options = {"held_out": 0.02, "dtype": "i4", "threads": 1}


def _contest(strategy: str, suffix: str = "", **options: object) -> list[Experiment]:
    """A tenth of the clusters by a strategy, or what the options say, once for each seed."""
    common: Options = {
        "strategy": strategy,
        "max-bytes": ("93kB",),  # a tenth of the clusters, as int8
        "dtype": "i8",
        "generations": 6,
        "epochs": 2,
        "family": 1,
        "mature-epochs": 12,
        "views": 12,
        "held-out": 0.02,
        "threads": 1,
        **{key.replace("_", "-"): value for key, value in options.items()},
    }
    return [
        Experiment(
            f"imagenet10-64-{strategy}{suffix}-{seed}",
            TINY,
            {**common, "seed": seed},
            ancestor="imagenet10-64-dense",
        )
        for seed in SEEDS
    ]


EXPERIMENTS = [
    Experiment(
        "imagenette-dense",
        IMAGENETTE,
        {**_FIXRES, "epochs": 40, "mixup": 0.1, "threads": 1},
        init=PRETRAINED,
    ),
    _family(
        "imagenette",
        IMAGENETTE,
        max_bytes=("100kB", "50kB", "25kB", "12.5kB"),
        generations=9,
        epochs=3,
        mature_epochs=100,
        scale=0.8,
        views=16,
        **_ALONE,
    ),
    _family(
        "imagenette",
        IMAGENETTE,
        "-16x4",
        max_bytes=("100kB", "50kB", "25kB"),
        cluster_shape="16x4",
        generations=7,
        epochs=3,
        mature_epochs=100,
        scale=0.8,
        views=16,
        **_ALONE,
    ),
    Experiment(
        "imagenette-scratch-dense",
        IMAGENETTE,
        {**_FIXRES, "epochs": 100, "lr": 0.1, "mixup": 0.2, "threads": 1},
    ),
    _family(
        "imagenette-scratch",
        IMAGENETTE,
        max_bytes=("100kB", "50kB", "25kB"),
        generations=7,
        epochs=3,
        mature_epochs=60,
        scale=0.8,
        views=16,
        **_ALONE,
    ),
    Experiment(
        "cifar10-dense",
        CIFAR,
        {"size": 64, "resize": 64, "epochs": 4, "mixup": 0.1, "threads": 1},
        init=PRETRAINED,
    ),
    _family(
        "cifar10",
        CIFAR,
        max_bytes=("100kB", "50kB"),
        generations=5,
        epochs=1,
        mature_epochs=4,
        views=4,
        **_ALONE,
    ),
    Experiment(
        "imagenet10-64-dense",
        TINY,
        {"size": 64, "epochs": 30, "mixup": 0.2, "threads": 1},
        init=PRETRAINED,
    ),
    _family(
        "imagenet10-64",
        TINY,
        max_bytes=("100kB", "50kB", "25kB"),
        generations=7,
        epochs=3,
        mature_epochs=24,
        views=12,
        **_ALONE,
    ),
    *(run for strategy in STRATEGIES for run in _contest(strategy)),
    # Evolution with selection, and the best of its rivals at the same cost: 60 epochs.
    *_contest("evolve", "-population4", population=4, held_out=0.1),
    *_contest("gradual", "-population4", population=4, held_out=0.1),
    # In integers, as much time for each shape of clusters.
    *(
        run
        for shape in ("16x1", "16x4")
        for run in _contest(
            "evolve", f"-48us-{shape}", max_bytes=(), max_latency="48us", cluster_shape=shape
        )
    ),
]
