"""`squish train` without its command line: a run folder, from settings to `net.squish`.

settings.json   what was asked for, and the version that ran it
skipped.json    images left out, and why
inputs.json     what tells the images and nets that the run began with from others
log.csv         a line an epoch; tensorboard/ the same, where tensorboard is installed
checkpoint.pt   the state after the last whole epoch
net.squish      the moving average of the weights, written at the end
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch

from squishnative import __version__, nets
from squishnative.convert import read
from squishnative.convert.checkpoint import SUFFIXES, default_resize
from squishnative.net import load
from squishnative.spec import NetSpec
from squishnative.train.architecture import squeezenet, with_new_head
from squishnative.train.dataset import Dataset, Split, hold_out, read_dataset
from squishnative.train.device import check_device
from squishnative.train.files import load_state, save_json, save_state, write_atomically
from squishnative.train.folders import (
    SKIPPED,
    alone_in,
    begin_run,
    check_inputs,
    digest_of_file,
    read_settings,
)
from squishnative.train.geometry import as_input
from squishnative.train.network import Network
from squishnative.train.recipe import Recipe
from squishnative.train.rescale import rescaled
from squishnative.train.teacher import Teacher, teacher_of
from squishnative.train.trainer import Epoch, Trainer, accuracy, logits_of

CALIBRATION_IMAGES = 256
FORMAT = 3  # of the run folder; no two commands have the same
CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Settings:
    """What `squish train` was asked for. Paths as they were given."""

    data: str
    init: Optional[str] = None  # a checkpoint or .squish file; None: from scratch
    teacher: Optional[str] = None
    torch_threads: int = 0  # PyTorch's, on which results depend; 0: its own choice
    version: str = "1.1"  # of the SqueezeNet, from scratch
    width: float = 1.0
    size: int = 128
    resize: Optional[int] = None  # shorter side before the crop; None: 256/224 of the size
    held_out: float = 0.0  # of the training images, left for `squish evolve` to measure fitness
    seed: int = 0
    device: str = "cpu"
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        """Raises ValueError on hints that nobody gives."""
        if self.teacher is None and self.recipe.hints:
            raise ValueError(f"hints: got {self.recipe.hints:g} without a teacher")

    def to_dict(self) -> dict[str, Any]:
        """For settings.json."""
        return {**self.__dict__, "recipe": self.recipe.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """The inverse. Raises TypeError or ValueError on names and values that are none."""
        return cls(**{**values, "recipe": Recipe(**values["recipe"])})


@dataclass(frozen=True)
class Progress:
    """A line of log.csv."""

    epoch: Epoch
    val_accuracy: float


def begin(folder: Path, settings: Settings) -> None:
    """Makes the folder of a new run.

    Raises FileExistsError where one has come to something or files are another's, RuntimeError
    where another process runs it, ValueError on a device that is not here.
    """
    check_device(settings.device)
    begin_run(folder, FORMAT, settings.to_dict())


def saved_settings(folder: Path) -> Settings:
    """Of a run that was begun. Raises ValueError on another version's folder, OSError on none."""
    return read_settings(folder, FORMAT, Settings.from_dict)


def train(
    folder: Path,
    report: Callable[[Progress], None],
    *,
    data: Optional[Dataset] = None,
    on_skipped: Callable[[list[tuple[str, str]]], None] = lambda _: None,
) -> Path:
    """Runs, or continues, the run that `begin` made, and returns the path of its net.

    report is called after each epoch. data: the dataset, where the caller has read it already.
    on_skipped is called with (name, why) of the images that are left out, before the first epoch.
    Raises RuntimeError where another process continues the run.
    """
    with alone_in(folder):
        return _train(folder, report, data, on_skipped)


def epochs_done(folder: Path) -> int:
    """Of a run; 0 of one that has just begun."""
    checkpoint = folder / CHECKPOINT
    done: int = load_state(checkpoint)["trainer"]["epochs_done"] if checkpoint.exists() else 0
    return done


def _train(
    folder: Path,
    report: Callable[[Progress], None],
    data: Optional[Dataset],
    on_skipped: Callable[[list[tuple[str, str]]], None],
) -> Path:
    settings = saved_settings(folder)
    spec = initial_net(settings)
    dataset = data or read_dataset(settings.data, spec.input)
    save_json(folder / SKIPPED, dataset.skipped)
    on_skipped(dataset.skipped)
    check_inputs(folder, _inputs(settings, dataset))
    images = dataset.train
    if settings.held_out:
        images, _ = hold_out(images, settings.held_out, settings.seed)
    known = spec.labels == dataset.labels
    headed = spec if known else with_new_head(spec, dataset.labels, settings.seed)
    count = min(CALIBRATION_IMAGES, len(images))
    chosen = np.random.default_rng(settings.seed).choice(len(images), count, replace=False)
    network = prepare(headed, as_input(images.images[chosen], spec.input))
    trainer = Trainer(
        network,
        images,
        settings.recipe,
        settings.seed,
        teacher=_teacher(settings, headed),
        device=settings.device,
    )
    log = Log(folder)
    checkpoint = folder / CHECKPOINT
    if checkpoint.exists():
        state = load_state(checkpoint)
        trainer.restore(state["trainer"])
        log.rows = state["log"]
    while trainer.epochs_done < settings.recipe.epochs:
        epoch = trainer.run_epoch()
        share = evaluate(trainer.averaged, dataset.val, settings.device)
        log.add(Progress(epoch, share))
        save_state(checkpoint, {"trainer": trainer.state(), "log": log.rows})
        report(Progress(epoch, share))
    net = folder / "net.squish"
    made = trainer.averaged.to_spec()
    made.about = f"squishnative {__version__}: squish train, seed {settings.seed}"
    write_atomically(net, lambda file: file.write(made.to_bytes()))
    return net


def _inputs(settings: Settings, dataset: Dataset) -> dict[str, str]:
    paths = {"--init": settings.init, "--teacher": settings.teacher}
    return {
        **inputs_of(settings.data, dataset),
        **{
            f"{what} '{p}' is": digest_of_file(nets.path_of(p))
            for what, p in paths.items()
            if p is not None
        },
    }


def inputs_of(name: str, dataset: Dataset) -> dict[str, str]:
    """Of the images of a run, for `check_inputs`."""
    digest = hashlib.sha256()
    for split in (dataset.train, dataset.val):
        for part in (split.images, split.classes):
            digest.update(np.ascontiguousarray(part).data)
    return {
        f"'{name}': the classes are": ", ".join(dataset.labels),
        f"'{name}': the images are": f"{len(dataset.train):,} to train with, "
        f"{len(dataset.val):,} to judge by, sha256 {digest.hexdigest()[:16]}",
    }


def initial_net(settings: Settings) -> NetSpec:
    """The net that training begins with, its images' size set; the head is still the old one."""
    if settings.init is None:
        spec = squeezenet(settings.version, 2, settings.width, settings.seed)
    else:
        spec = read_net(settings.init)
    size, resize = settings.size, settings.resize
    if resize is None:
        resize = default_resize(size, size)
    elif 0 < resize < size:
        raise ValueError(f"resize: got {resize}, wanted 0 or at least the size, {size}")
    spec.input = replace(spec.input, height=size, width=size, resize=resize)
    return spec


def read_net(path: str) -> NetSpec:
    """A net of the package by its name, a `.squish` file, or what the converter reads.

    Raises ValueError on what is no net.

    Without activations: the nets that training and evolution make of it have others.
    """
    path = nets.path_of(path)
    if Path(path).suffix.lower() in SUFFIXES:
        return read(path).net
    return NetSpec.from_model(load(path).model).in_floats()


def prepare(spec: NetSpec, images: torch.Tensor) -> Network:
    """A network of the same function, with batch norms that know these images.

    images: (N, C, H, W) as the net eats them.
    """
    network = Network(rescaled(spec, images))
    network.insert_batch_norms(images)
    return network


def evaluate(network: Network, split: Split, device: str = "cpu") -> float:
    """Accuracy, 0..1."""
    return accuracy(logits_of(network, split.images, device), split.classes)


def _teacher(settings: Settings, pupil: NetSpec) -> Optional[Teacher]:
    if settings.teacher is None:
        return None
    spec = read_net(settings.teacher)
    if (spec.labels or pupil.labels) != pupil.labels or spec.classes != pupil.classes:
        raise ValueError(
            f"'{settings.teacher}': the teacher's classes are {spec.labels or spec.classes}, "
            f"the data's {pupil.labels}"
        )
    for name in ("channels", "mean", "std"):
        got, wanted = (np.array(getattr(net.input, name)) for net in (spec, pupil))
        if not np.allclose(got, wanted, rtol=1e-4):
            raise ValueError(f"'{settings.teacher}': {name}: got {got}, the net has {wanted}")
    return teacher_of(spec, settings.device, settings.recipe.hints > 0)


class Log:
    """log.csv, and TensorBoard's files where tensorboard is installed."""

    def __init__(self, folder: Path) -> None:
        self.rows: list[dict[str, float]] = []
        self._folder = folder
        self._writer = _tensorboard(folder / "tensorboard")

    def add(self, progress: Progress) -> None:
        """Appends a line; the file is written anew, so that it is always whole."""
        epoch = progress.epoch
        row = {
            "epoch": epoch.number,
            "loss": epoch.loss,
            "lr": epoch.lr,
            "val_accuracy": progress.val_accuracy,
            "seconds": epoch.seconds,
        }
        self.rows.append(row)
        text = io.StringIO()
        writer = csv.DictWriter(text, row)
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(
            self._folder / "log.csv", lambda file: file.write(text.getvalue().encode())
        )
        if self._writer is not None:
            for name in ("loss", "lr", "val_accuracy"):
                self._writer.add_scalar(name, row[name], epoch.number)
            self._writer.flush()


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
