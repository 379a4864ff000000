"""The steps of the demo and what it prints."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from squishnative import reference
from squishnative.convert import convert
from squishnative.demo.digits import LABELS, SIZE, Digits, Pixels, load_digits
from squishnative.demo.training import EPOCHS, MEAN, STD, SqueezeNet, normalise, train
from squishnative.net import Net, load
from squishnative.tables import format_table, percent
from squishnative.timing import format_seconds, time_interleaved

FloatArray = npt.NDArray[np.float32]

SAVED_IMAGES = 20


def run(folder: Path, seed: int) -> None:
    """Trains, converts, infers, compares; leaves `digits.squish` and some images in the folder.

    Raises RuntimeError where the engine's logits are further from the exact ones than rounding
    explains.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digits = load_digits(seed)
    print(f"data      {len(digits.train_images)} handwritten digits to train with, ", end="")
    print(f"{len(digits.test_images)} held out, {SIZE}x{SIZE} pixels")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network = _train(digits, seed)
        file = _convert(network, folder)
        with load(file) as net, torch.inference_mode():
            _compare(network, net, digits)
            _measure(network, net, digits.test_images)
    finally:
        torch.set_num_threads(threads)
    images = _save_images(digits, folder / "images")
    print(f"\nThe net is {file}. Next:")
    for command in (f"infer {file} {images}", f"inspect {file} --plan", f"bench {file}"):
        print(f"  squish {command}")


def _train(digits: Digits, seed: int) -> SqueezeNet:
    begin = time.perf_counter()
    watched = sys.stdout.isatty()

    def report(epoch: int, loss: float) -> None:
        if watched:
            print(f"\rtraining  epoch {epoch} of {EPOCHS}, loss {loss:.3f} ", end="", flush=True)

    network = train(digits.train_images, digits.train_classes, seed, report)
    seconds = time.perf_counter() - begin
    print("\r" * watched + f"training  {EPOCHS} epochs with PyTorch in {seconds:.0f} s, one thread")
    return network


def _convert(network: SqueezeNet, folder: Path) -> Path:
    checkpoint, file = folder / "digits.pth", folder / "digits.squish"
    torch.save(network.state_dict(), checkpoint)
    about = "squish demo: scikit-learn's handwritten digits"
    made = convert(
        checkpoint, file, labels=LABELS, size=SIZE, resize=SIZE, mean=MEAN, std=STD, about=about
    )
    print(f"converted {checkpoint} -> {file}, {made.bytes:,} bytes")
    return file


def _compare(network: SqueezeNet, net: Net, digits: Digits) -> None:
    theirs = network(normalise(digits.test_images)).numpy()
    ours = net.infer(digits.test_images)
    for name, logits in (("PyTorch", theirs), ("engine", ours)):
        right = int((logits.argmax(1) == digits.test_classes).sum())
        print(
            f"accuracy  {name:8}{percent(right / len(logits))} ({right} of {len(logits)} held out)"
        )
    difference = float(np.abs(theirs - ours).max())
    scale = float(np.abs(theirs).max())
    print(f"parity    logits differ by at most {difference:.1e}; the largest is {scale:.1f}")
    _check(net, digits.test_images, ours)


def _check(net: Net, images: Pixels, logits: FloatArray) -> None:
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


def _measure(network: SqueezeNet, net: Net, images: Pixels) -> None:
    rows = [_race(network, net, normalise(images[:batch])) for batch in (1, 64)]
    print(f"speed     one thread, median of calls in turn, ISA {net.isa}")
    table = format_table(["batch", "PyTorch", "engine", "faster"], rows)
    print("\n".join(f"          {line}" for line in table.splitlines()))


def _race(network: SqueezeNet, net: Net, batch: torch.Tensor) -> list[str]:
    rivals = {"PyTorch": lambda: network(batch), "engine": lambda: net.infer(batch)}
    timings = time_interleaved(rivals, seconds=1.0)
    theirs, ours = timings["PyTorch"].median, timings["engine"].median
    return [f"{len(batch)}", format_seconds(theirs), format_seconds(ours), f"{theirs / ours:.1f}x"]


def _save_images(digits: Digits, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    chosen = zip(digits.test_images[:SAVED_IMAGES], digits.test_classes)
    for number, (image, digit) in enumerate(chosen):
        Image.fromarray(image).save(folder / f"{number:02}_a_{digit}.png")
    return folder
