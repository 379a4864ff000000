"""How much of a photograph training sees, and how the same photograph looks to the engine.

The engine resizes the shorter side to `spec.resize` and cuts the middle out (`preprocess`): a net
of 128 pixels with a resize of 146 sees 77 % of a square photograph. Random crops are cut out of the
whole photograph, larger and smaller ones, so that objects are on average as large as there. Both
mistakes, crops out of the middle alone and measuring on whole photographs, cost accuracy (Touvron
et al. 2019, "Fixing the train-test resolution discrepancy").
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from squishnative.preprocess import Preprocessing
from squishnative.spec import InputSpec
from squishnative.train.augment import normalise

# Training images are kept this much larger than the net's input, for random crops.
MARGIN = 1.25


def training_view(spec: InputSpec) -> Preprocessing:
    """Of a training image: as much of it as has the net's aspect ratio, MARGIN times as large."""
    height, width = (round(MARGIN * side) for side in (spec.height, spec.width))
    if spec.resize == 0:
        return Preprocessing(spec.channels, height, width, 0, spec.interpolation)
    resize = round(MARGIN * spec.resize / _zoom(spec))
    return Preprocessing(spec.channels, height, width, resize, spec.interpolation)


def engines_view(spec: InputSpec) -> Preprocessing:
    """Of an image that is measured on: what `Net.predict` makes of it, to the pixel."""
    return Preprocessing(spec.channels, spec.height, spec.width, spec.resize, spec.interpolation)


def seen_by_the_engine(images: npt.NDArray[np.uint8], spec: InputSpec) -> npt.NDArray[np.uint8]:
    """Training images (N, H, W, C) as the engine sees the same photographs: at the net's size.

    But for what resizing twice blurs.
    """
    height, width = (round(side / _zoom(spec)) for side in images.shape[1:3])
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    pixels = torch.from_numpy(images[:, top : top + height, left : left + width])
    resized = F.interpolate(
        pixels.permute(0, 3, 1, 2).float(),
        (spec.height, spec.width),
        mode="bilinear",
        antialias=True,
    )
    rounded = resized.round().clamp(0, 255).to(torch.uint8)
    return rounded.permute(0, 2, 3, 1).contiguous().numpy()


def as_input(images: npt.NDArray[np.uint8], spec: InputSpec) -> torch.Tensor:
    """The same as the net eats them: (N, C, H, W) float32."""
    pixels = torch.from_numpy(seen_by_the_engine(images, spec))
    return normalise(pixels.permute(0, 3, 1, 2).float(), spec)


def _zoom(spec: InputSpec) -> float:
    """The side of what training sees of a photograph, over that of what the engine cuts out."""
    if spec.resize == 0:
        return 1.0
    return max(1.0, spec.resize / max(spec.height, spec.width))
