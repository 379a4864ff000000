"""Real weights and photographs, which are not part of the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from squishnative.spec import FloatArray

FOLDER = Path(__file__).parents[3] / "shared" / "data"
SQUEEZENET = FOLDER / "squeezenet1_1.safetensors"
LABELS = FOLDER / "imagenet1000.txt"

needs_shared_data = pytest.mark.skipif(
    not SQUEEZENET.is_file(), reason="needs the weights and photographs of ../shared/data"
)


def photographs(count: int) -> FloatArray:
    """(N, 3, 224, 224), prepared as in training: resize 256, centre crop, normalise."""
    paths = sorted((FOLDER / "photos").iterdir())[:count]
    return np.stack([_prepare(path) for path in paths])


def _prepare(path: Path) -> FloatArray:
    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    left, top = (width - 224) // 2, (height - 224) // 2
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
    mean, std = (
        np.array([0.485, 0.456, 0.406], np.float32),
        np.array([0.229, 0.224, 0.225], np.float32),
    )
    return np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1))
