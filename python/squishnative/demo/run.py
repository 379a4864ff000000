"""The steps of the demo and what it prints."""

from __future__ import annotations

import errno
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from squishnative import reference
from squishnative.demo.digits import LABELS, SIZE, load_digits
from squishnative.evolve import run as evolution
from squishnative.net import Net, load
from squishnative.report.page import check_output, write_report
from squishnative.spec import FloatArray, InputSpec
from squishnative.tables import format_table, percent
from squishnative.timing import format_seconds, time_interleaved
from squishnative.train import run as training
from squishnative.train.architecture import squeezenet
from squishnative.train.augment import normalise
from squishnative.train.dataset import Dataset, Images
from squishnative.train.folders import SETTINGS
from squishnative.train.network import Network
from squishnative.train.recipe import Recipe

EPOCHS = 24
GENERATIONS = 3
GENERATION_EPOCHS = 4
MATURE_EPOCHS = 10
MAX_BYTES = 40e3
SAVED_IMAGES = 20
_DATA = "scikit-learn's digits"

# Digits are not mirrored, and what is cut off one makes it another.
RECIPE = Recipe(epochs=EPOCHS, lr=0.1, crop=0.8, mirror=False)


def run(folder: Path, seed: int) -> None:
    """Trains, evolves, infers, compares; leaves `digits.squish`, a family, a report and images.

    What an earlier demo left in the folder is replaced. Raises FileExistsError where another run or
    another's report.html is there, RuntimeError where the engine's logits are further from the
    exact ones than rounding explains.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "report.html"
    check_output(report)
    _remove_earlier([folder / "dense", folder / "family"])
    digits = load_digits(seed)
    print(f"data      {len(digits.train)} handwritten digits to train with, ", end="")
    print(f"{len(digits.val)} held out, {SIZE}x{SIZE} pixels")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more gain nothing with convolutions this small
    try:
        file = _train(folder, digits, seed)
        network = Network(training.read_net(str(file)), normed=False).eval()
        with load(file) as net, torch.inference_mode():
            _compare(network, net, digits)
            _measure(network, net, digits.val.images)
        _evolve(folder / "family", file, digits, seed)
    finally:
        torch.set_num_threads(threads)
    write_report([folder / "family"], report)
    images = _save_images(digits, folder / "images")
    print(f"\nThe dense net is {file}, its family in {folder / 'family'}, and about it: {report}")
    for command in (f"infer {file} {images}", f"inspect {file} --plan", f"bench {file}"):
        print(f"  squish {command}")


def _remove_earlier(runs: list[Path]) -> None:
    """What an earlier demo left; nothing where one of them is another's."""
    runs = [run for run in runs if (run / SETTINGS).exists()]
    for run in runs:
        if f'"data": "{_DATA}"' not in (run / SETTINGS).read_text(errors="replace"):
            text = "a run that is no demo's: wanted another folder"
            raise FileExistsError(errno.EEXIST, text, str(run))
    for run in runs:
        shutil.rmtree(run)


def _train(folder: Path, digits: Dataset, seed: int) -> Path:
    """A SqueezeNet 1.1 of half the usual widths."""
    begin = time.perf_counter()
    spec = squeezenet("1.1", len(LABELS), width=0.5, seed=seed)
    spec.input = InputSpec(height=SIZE, width=SIZE, resize=SIZE)
    spec.save(folder / "untrained.squish")
    settings = training.Settings(
        _DATA,
        init=str(folder / "untrained.squish"),
        size=SIZE,
        resize=SIZE,
        seed=seed,
        recipe=RECIPE,
    )
    training.begin(folder / "dense", settings)
    made = training.train(folder / "dense", lambda _: None, data=digits)
    file = folder / "digits.squish"
    made.replace(file)
    seconds = time.perf_counter() - begin
    print(f"training  {EPOCHS} epochs with PyTorch in {seconds:.0f} s, one thread")
    return file


def _evolve(folder: Path, ancestor: Path, digits: Dataset, seed: int) -> None:
    begin = time.perf_counter()
    settings = evolution.Settings(
        _DATA,
        str(ancestor),
        max_bytes=MAX_BYTES,
        generations=GENERATIONS,
        family=3,
        mature_epochs=MATURE_EPOCHS,
        seed=seed,
        recipe=replace(RECIPE, epochs=GENERATION_EPOCHS, lr=RECIPE.lr / 2),
    )
    evolution.begin(folder, settings)
    family = evolution.evolve(folder, lambda _: None, data=digits)
    seconds = time.perf_counter() - begin
    print(f"evolution {GENERATIONS} generations of {GENERATION_EPOCHS} epochs, then ", end="")
    print(f"{len(family)} nets of {MATURE_EPOCHS} more, in {seconds:.0f} s")
    rows = [
        [
            f"{individual.generation}",
            f"{individual.shipped_bytes:,}",
            percent(individual.density),
            percent(individual.val_accuracy),
            format_seconds(individual.seconds),
        ]
        for individual in family
    ]
    table = format_table(["generation", "bytes", "alive", "accuracy", "latency"], rows)
    print("\n".join(f"          {line}" for line in table.splitlines()))


def _compare(network: Network, net: Net, digits: Dataset) -> None:
    theirs = network(_normalised(digits.val.images, net)).numpy()
    ours = net.infer(digits.val.images)
    for name, logits in (("PyTorch", theirs), ("engine", ours)):
        right = int((logits.argmax(1) == digits.val.classes).sum())
        print(
            f"accuracy  {name:8}{percent(right / len(logits))} ({right} of {len(logits)} held out)"
        )
    difference = float(np.abs(theirs - ours).max())
    scale = float(np.abs(theirs).max())
    print(f"parity    logits differ by at most {difference:.1e}; the largest is {scale:.1f}")
    _check(net, digits.val.images, ours)


def _check(net: Net, images: Images, logits: FloatArray) -> None:
    """Independent of PyTorch's own rounding: the net in float64, and what float32 may add to it."""
    exact, bound = reference.run(net.path, images)
    error = np.abs(logits - exact)
    if (error > bound).any():
        worst = float((error - bound).max())
        raise RuntimeError(
            f"the engine's logits are off by {worst:.1e} more than rounding explains"
        )
    rounds = bound > 0  # a logit that its ReLU cuts to 0 has no error
    used = float((error[rounds] / bound[rounds]).max())
    print(f"          against float64 the engine uses {percent(used)} of what rounding may add")


def _measure(network: Network, net: Net, images: Images) -> None:
    rows = [_race(network, net, _normalised(images[:batch], net)) for batch in (1, 64)]
    print(f"speed     one thread, median of calls in turn, ISA {net.isa}")
    table = format_table(["batch", "PyTorch", "engine", "faster"], rows)
    print("\n".join(f"          {line}" for line in table.splitlines()))


def _race(network: Network, net: Net, batch: torch.Tensor) -> list[str]:
    rivals = {"PyTorch": lambda: network(batch), "engine": lambda: net.infer(batch)}
    timings = time_interleaved(rivals, seconds=1.0)
    theirs, ours = timings["PyTorch"].median, timings["engine"].median
    return [f"{len(batch)}", format_seconds(theirs), format_seconds(ours), f"{theirs / ours:.1f}x"]


def _normalised(images: Images, net: Net) -> torch.Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32."""
    spec = InputSpec(mean=tuple(net.model.mean), std=tuple(net.model.std))
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    return normalise(pixels, spec).contiguous()


def _save_images(digits: Dataset, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for earlier in folder.glob("[0-9][0-9]_a_[0-9].png"):
        earlier.unlink()
    chosen = zip(digits.val.images[:SAVED_IMAGES], digits.val.classes)
    for number, (image, digit) in enumerate(chosen):
        Image.fromarray(image).save(folder / f"{number:02}_a_{digit}.png")
    return folder
