"""Images to the uint8 pixels that a net eats: decode, orient, resize, centre crop.

The geometry is torchvision's `Resize(resize)` and `CenterCrop((height, width))` on Pillow images,
to the pixel, so that a net sees here what it saw in training. Mean and std are the engine's part.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple, Union

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from squishnative import _core
from squishnative.arrays import as_array

# A path, a Pillow image, or uint8 (H, W, 3) in any form that Net.infer takes.
ImageSource = Union[str, "os.PathLike[str]", Image.Image, npt.NDArray[np.uint8]]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
_MODES = {1: "L", 3: "RGB"}

# What cameras and the web make. Pillow reads more, for some of it (EPS, PDF, ...) by running other
# programs, and most of the rest are documents, films and data of instruments.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")

# Of an image after resizing. A strip of 60000 x 1 pixels would become one of gigabytes.
_MOST_PIXELS = 2**25


class Preprocessing(NamedTuple):
    """How a net wants its images. resize 0: squashed to (height, width), aspect ratio lost."""

    channels: int
    height: int
    width: int
    resize: int
    interpolation: str

    @classmethod
    def of(cls, model: _core.Model) -> Preprocessing:
        """What the model's file says."""
        return cls(*model.input_shape, model.resize, model.interpolation)

    def __call__(self, source: ImageSource) -> npt.NDArray[np.uint8]:
        """One image of any size -> (height, width, channels) uint8.

        Raises OSError where a file cannot be opened, ValueError where it is no image that can be
        read or prepared, all of which name the file; ValueError where the net does not take grey or
        RGB images, TypeError for an object that is no image.
        """
        if self.channels not in _MODES:
            raise ValueError(
                f"the net takes {self.channels} channels, images have 1 or 3: use infer()"
            )
        image = _open(source)
        try:
            pixels = np.asarray(self._fit(_to_mode(image, _MODES[self.channels])))
        except (ValueError, OSError) as error:
            raise ValueError(f"{_name(source)}: {error}") from error
        except MemoryError:
            raise MemoryError(f"{_name(source)}: not enough memory to resize it") from None
        return pixels.reshape(self.height, self.width, self.channels)

    def _fit(self, image: Image.Image) -> Image.Image:
        resample = _FILTERS[self.interpolation]
        if self.resize == 0:
            return image.resize((self.width, self.height), resample)
        width, height = _shorter_side(image.size, self.resize)
        if width * height > _MOST_PIXELS:
            raise ValueError(
                f"{image.width}x{image.height} pixels would become {width}x{height}, wanted at "
                f"most {_MOST_PIXELS:,} in all: cut it to the part that matters"
            )
        image = image.resize((width, height), resample)
        left = _crop_offset(width, self.width)
        top = _crop_offset(height, self.height)
        # Black outside the image.
        return image.crop((left, top, left + self.width, top + self.height))


def readable_formats() -> list[str]:
    """What Pillow calls the formats that are read."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]  # an older Pillow lacks some


def is_hidden(name: str) -> bool:
    """Whether a file or folder is one that systems and editors leave beside images."""
    return name == "__MACOSX" or (name.startswith(".") and name != "..")


def photo_suffixes() -> set[str]:
    """The suffixes of image files that are read: ".jpg" and so on, in small letters."""
    suffixes = Image.registered_extensions()  # loads Pillow's plug-ins
    return {suffix for suffix, made in suffixes.items() if made in _FORMATS}


def _shorter_side(size: tuple[int, int], target: int) -> tuple[int, int]:
    """(width, height) scaled: the shorter side to `target`, the longer one cut to whole pixels."""
    width, height = size
    if width <= height:
        return target, int(target * height / width)
    return int(target * width / height), target


def _crop_offset(extent: int, crop: int) -> int:
    """Where a centred crop begins; below 0 where it is the larger one, and the image padded."""
    if crop > extent:
        return -((crop - extent) // 2)
    return round((extent - crop) / 2)


def _open(source: ImageSource) -> Image.Image:
    if isinstance(source, Image.Image):
        return ImageOps.exif_transpose(source)
    if isinstance(source, (str, os.PathLike)):
        return _read(source)
    try:
        pixels = as_array(source)
    except TypeError as error:
        raise TypeError(
            f"image: got {type(source).__name__}, wanted a path, a Pillow image or an array: "
            "uint8 (H, W, 3)"
        ) from error
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"image: got {pixels.dtype} {pixels.shape}, wanted uint8 (H, W, 3)")
    return Image.fromarray(pixels)


def _name(source: ImageSource) -> str:
    return f"'{os.fspath(source)}'" if isinstance(source, (str, os.PathLike)) else "image"


def _read(path: Union[str, os.PathLike[str]]) -> Image.Image:
    try:
        with Image.open(path, formats=readable_formats()) as image:
            return ImageOps.exif_transpose(image)  # a copy, decoded: the file may be closed
    except MemoryError:
        raise MemoryError(f"{_name(path)}: not enough memory to decode it") from None
    except Exception as error:
        # Pillow's decoders raise what their formats make them stumble over: SyntaxError,
        # struct.error, ...
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the file system: missing, forbidden, a directory
        raise ValueError(f"'{os.fspath(path)}': no image that can be read: {error}") from error


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.mode in ("I", "F"):  # Pillow would cut off at 255, whatever the values mean
        raise ValueError(f"mode {image.mode!r} has no fixed range, convert it to 8 bits first")
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    """0..65535 to 0..255, rounded to nearest."""
    wide: npt.NDArray[Any] = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((wide + 128) // 257).astype(np.uint8))
