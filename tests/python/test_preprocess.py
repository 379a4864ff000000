"""Images to pixels, against what torchvision did and against plain arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from squishnative.preprocess import Preprocessing

ORIENTATION = 0x0112  # the EXIF tag
IMAGENET = Preprocessing(3, 224, 224, 256, "bilinear")

# What torchvision 0.28's Resize(resize) and CenterCrop((32, 33)) did to images of these sizes:
# (width, height), resize, (width, height) after Resize, (left, top) of the crop; below 0: padding.
TORCHVISION = [
    ((37, 61), 29, (29, 47), (-2, 8)),
    ((37, 61), 30, (30, 49), (-1, 8)),
    ((37, 61), 36, (36, 59), (2, 14)),
    ((61, 37), 29, (47, 29), (7, -1)),
    ((61, 37), 36, (59, 36), (13, 2)),
    ((61, 37), 45, (74, 45), (20, 6)),
    ((40, 40), 30, (30, 30), (-1, -1)),
    ((41, 199), 45, (45, 218), (6, 93)),
    ((33, 34), 29, (29, 29), (-2, -1)),
    ((33, 34), 45, (45, 46), (6, 7)),
    ((20, 201), 30, (30, 301), (-1, 134)),
    ((20, 201), 45, (45, 452), (6, 210)),
]


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width * 1000 + height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(("size", "resize", "resized", "corner"), TORCHVISION)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_geometry_is_torchvisions(
    size: tuple[int, int],
    resize: int,
    resized: tuple[int, int],
    corner: tuple[int, int],
    interpolation: str,
) -> None:
    image = noise(*size)
    left, top = corner
    wanted = Image.new("RGB", (33, 32))
    wanted.paste(image.resize(resized, Image.Resampling[interpolation.upper()]), (-left, -top))
    pixels = Preprocessing(3, 32, 33, resize, interpolation)(image)
    np.testing.assert_array_equal(pixels, np.asarray(wanted))


def test_crop_takes_the_centre() -> None:
    image = noise(12, 10)
    how = Preprocessing(3, 4, 6, 10, "bilinear")  # 10: the shorter side as it is
    np.testing.assert_array_equal(how(image), np.asarray(image)[3:7, 3:9])


def test_crop_rounds_halves_to_even_as_torchvision_does() -> None:
    image = noise(13, 15)
    how = Preprocessing(3, 4, 10, 13, "bilinear")  # offsets 5.5 -> 6 and 1.5 -> 2
    np.testing.assert_array_equal(how(image), np.asarray(image)[6:10, 2:12])


def test_crop_beyond_the_image_is_black() -> None:
    how = Preprocessing(3, 10, 10, 4, "bilinear")
    pixels = how(Image.new("RGB", (4, 4), (255, 255, 255)))
    wanted = np.zeros((10, 10, 3), np.uint8)
    wanted[3:7, 3:7] = 255
    np.testing.assert_array_equal(pixels, wanted)


def test_squash_takes_the_whole_image() -> None:
    image = noise(8, 4)
    how = Preprocessing(3, 4, 8, 0, "nearest")
    np.testing.assert_array_equal(how(image), np.asarray(image))


def test_orientation_is_applied(tmp_path: Path) -> None:
    upright = noise(6, 4)
    array = np.asarray(upright)
    how = Preprocessing(3, 4, 6, 0, "nearest")
    lying = {3: array[::-1, ::-1], 6: np.rot90(array, 1), 8: np.rot90(array, -1)}
    for orientation, stored in lying.items():
        path = tmp_path / f"{orientation}.png"
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
        np.testing.assert_array_equal(how(path), array)


def test_grey_becomes_three_equal_channels() -> None:
    grey = noise(8, 8).convert("L")
    pixels = Preprocessing(3, 8, 8, 0, "nearest")(grey)
    for channel in range(3):
        np.testing.assert_array_equal(pixels[..., channel], np.asarray(grey))


def test_transparency_is_dropped() -> None:
    image = noise(8, 8)
    clear = image.copy()
    clear.putalpha(3)
    pixels = Preprocessing(3, 8, 8, 0, "nearest")(clear)
    np.testing.assert_array_equal(pixels, np.asarray(image))


@pytest.mark.parametrize("mode", ["CMYK", "P", "1", "LA", "YCbCr", "HSV"])
def test_other_modes_become_rgb_as_pillow_says(mode: str) -> None:
    image = noise(8, 8).convert("L").convert(mode) if mode == "LA" else noise(8, 8).convert(mode)
    pixels = Preprocessing(3, 8, 8, 0, "nearest")(image)
    np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))


def test_sixteen_bits_are_scaled_to_eight() -> None:
    deep = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    wanted = np.rint(deep / 257).astype(np.uint8)
    image = Image.fromarray(deep)
    assert image.mode.startswith("I;16")
    pixels = Preprocessing(1, 8, 8, 0, "nearest")(image)
    np.testing.assert_array_equal(pixels[..., 0], wanted)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_modes_without_a_range_are_refused(mode: str) -> None:
    with pytest.raises(ValueError, match=f"mode '{mode}' has no fixed range"):
        IMAGENET(Image.new(mode, (8, 8)))
