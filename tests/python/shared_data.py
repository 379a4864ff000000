"""Real weights and photographs, which are not part of the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from squishnative.spec import FloatArray

FOLDER = Path(__file__).parents[3] / "shared" / "data"
SQUEEZENET = FOLDER / "squeezenet1_1.safetensors"
LABELS = FOLDER / "imagenet1000.txt"

needs_shared_data = pytest.mark.skipif(
    not SQUEEZENET.is_file(), reason="needs the weights and photographs of ../shared/data"
)


def photograph_paths(count: int) -> list[Path]:
    return sorted((FOLDER / "photos").iterdir())[:count]


def photographs_as_pixels(count: int) -> npt.NDArray[np.uint8]:
    """(N, 224, 224, 3): torchvision's Resize(256) and CenterCrop(224)."""
    return np.stack([_crop(path) for path in photograph_paths(count)])


def photographs(count: int) -> FloatArray:
    """(N, 3, 224, 224), prepared as in training: cropped, then normalised."""
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    std = np.array([0.229, 0.224, 0.225], np.float32)
    scaled = photographs_as_pixels(count).astype(np.float32) / 255
    return np.ascontiguousarray(((scaled - mean) / std).transpose(0, 3, 1, 2))


def _crop(path: Path) -> npt.NDArray[np.uint8]:
    image = Image.open(path).convert("RGB")
    width, height = (256 * side // min(image.size) for side in image.size)
    left, top = round((width - 224) / 2), round((height - 224) / 2)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image.crop((left, top, left + 224, top + 224)))
