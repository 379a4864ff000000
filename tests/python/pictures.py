"""A folder of labelled pictures that a net can learn in seconds: stripes across, down, and none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

LABELS = ["across", "down", "plain"]
SIZE = 32


def make_pictures(folder: Path, train: int = 24, val: int = 8, seed: int = 0) -> Path:
    """train/<label>/N.png and val/<label>/N.png, so many of each class."""
    rng = np.random.default_rng(seed)
    for split, count in (("train", train), ("val", val)):
        for label in LABELS:
            place = folder / split / label
            place.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(picture(label, rng)).save(place / f"{number:03}.png")
    return folder


def picture(label: str, rng: np.random.Generator, size: int = 40) -> np.ndarray:
    phase, period = rng.integers(8), rng.integers(6, 10)
    stripes = 160.0 * ((np.arange(size) + phase) % period < period // 2)
    grid = np.zeros((size, size)) if label == "plain" else np.tile(stripes, (size, 1))
    grid = grid.T if label == "across" else grid
    pixels = grid[:, :, None] + rng.uniform(20, 70, 3) + rng.normal(0, 8, (size, size, 3))
    return pixels.clip(0, 255).astype(np.uint8)
