"""The data: scikit-learn's 1797 handwritten digits, scans of 8x8 pixels, enlarged."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from squishnative.train.dataset import Dataset, Split

# Pixels of a side after enlarging. SqueezeNet's three pools leave 2x2 of them; of 32 they would
# leave a single one, and training reaches 90 % instead of 98 % in the same number of epochs.
SIZE = 48
HELD_OUT = 450  # a quarter
LABELS = [str(digit) for digit in range(10)]

Pixels = npt.NDArray[np.uint8]


def load_digits(seed: int) -> Dataset:
    """The scans, split at random with equal shares of each digit; the seed decides how."""
    from sklearn.datasets import load_digits as load_scans
    from sklearn.model_selection import train_test_split

    scans, classes = load_scans(return_X_y=True)
    images = np.stack([_enlarge(scan.reshape(8, 8)) for scan in scans])
    parts = train_test_split(
        np.arange(len(classes)), test_size=HELD_OUT, stratify=classes, random_state=seed
    )
    train, held_out = (
        Split(images[part], classes[part].astype(np.int64), [f"scan {k}" for k in part])
        for part in parts
    )
    return Dataset(LABELS, train, held_out)


def _enlarge(scan: npt.NDArray[np.float64]) -> Pixels:
    """(8, 8), ink 0..16 -> (SIZE, SIZE, 3) uint8."""
    grey = Image.fromarray(np.rint(scan * (255 / 16)).astype(np.uint8))
    return np.asarray(grey.resize((SIZE, SIZE), Image.Resampling.BILINEAR).convert("RGB"))
