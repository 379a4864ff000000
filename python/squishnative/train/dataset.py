"""Labelled photographs from a folder or a tar file, decoded once and kept as uint8.

    train/<class>/<image>    and    val/<class>/<image>    (or valid, validation, test: the first
                                                           of them that is there, no other)

The classes are the names of the folders in `train`, sorted. Images of `val` are prepared exactly as
`Net.predict` prepares them.
"""

from __future__ import annotations

import io
import os
import sys
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, Optional, Union

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console
from rich.progress import track

from squishnative.preprocess import Preprocessing, photo_suffixes, readable_formats
from squishnative.spec import InputSpec, PathLike
from squishnative.train.geometry import engines_view, training_view

IMAGE_SUFFIXES = frozenset(photo_suffixes())
VAL_NAMES = ("val", "valid", "validation", "test")

Images = npt.NDArray[np.uint8]  # (N, H, W, 3)
Classes = npt.NDArray[np.int64]  # (N,)


class DatasetError(ValueError):
    """The folder or archive holds no data to train with."""


@dataclass
class Split:
    """Images with their classes, in the order of their names."""

    images: Images
    classes: Classes
    names: list[str]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.names)


@dataclass
class Dataset:
    """What training and measuring need. skipped: (name, why) of images that cannot be read."""

    labels: list[str]
    train: Split
    val: Split
    skipped: list[tuple[str, str]] = field(default_factory=list)


class _Item(NamedTuple):
    split: str  # "train" or one of VAL_NAMES
    label: str
    name: str
    content: Union[Path, bytes]


def read_dataset(path: PathLike, spec: InputSpec) -> Dataset:
    """Decodes all images: those for training as `training_view` says, others as `spec` does.

    path: a folder, or a `.tar`, `.tar.gz`, `.tar.bz2`, `.tar.xz` or `.tar.zst` file.

    Raises DatasetError where there is no training image, no validation image, only one class, a
    class without images, or a class in one split alone; OSError where `path` cannot be read.
    """
    root = Path(path)
    items = _with_one_val(sorted(_items(root), key=lambda i: (i.split, i.label, i.name)))
    labels = _labels(items, root)
    numbers = {label: k for k, label in enumerate(labels)}
    prepare = {"train": training_view(spec), "val": engines_view(spec)}
    counts = Counter(item.split for item in items)
    images = {
        split: np.empty((counts[split], view.height, view.width, view.channels), np.uint8)
        for split, view in prepare.items()
    }
    read: dict[str, list[_Item]] = {"train": [], "val": []}
    skipped: list[tuple[str, str]] = []
    for item in _watched(items):
        try:
            images[item.split][len(read[item.split])] = _decode(item, prepare[item.split])
        except (OSError, ValueError) as error:
            skipped.append((item.name, str(error)))
        else:
            read[item.split].append(item)
    for split, found in read.items():
        for label in labels:
            if all(item.label != label for item in found):
                raise DatasetError(f"{root}: no image of {split}/{label} can be read")
    train, val = (
        Split(
            images[split][: len(found)],
            np.array([numbers[item.label] for item in found], np.int64),
            [item.name for item in found],
        )
        for split, found in read.items()
    )
    return Dataset(labels, train, val, skipped)


def hold_out(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """A share of each class, of two or more images one at least: (what is left, what was taken)."""
    rng = np.random.default_rng([seed, 1])
    taken = np.zeros(len(split), bool)
    for label in np.unique(split.classes):
        images = np.flatnonzero(split.classes == label)
        if len(images) < 2:
            raise ValueError(f"class {label} has one training image, holding some out needs two")
        count = min(max(1, round(share * len(images))), len(images) - 1)
        taken[rng.choice(images, count, replace=False)] = True
    return _part(split, ~taken), _part(split, taken)


def _watched(items: list[_Item]) -> Iterable[_Item]:
    """With a progress bar, where somebody looks."""
    console = Console(stderr=True)
    hidden = not console.is_terminal
    return track(items, "decoding", transient=True, console=console, disable=hidden)


def _decode(item: _Item, prepare: Preprocessing) -> Images:
    if isinstance(item.content, Path):
        return prepare(item.content)
    try:
        with Image.open(io.BytesIO(item.content), formats=readable_formats()) as image:
            image.load()
            return prepare(image)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise what their formats make them stumble over
        raise ValueError(f"no image that can be read: {error}") from error


def _with_one_val(items: list[_Item]) -> list[_Item]:
    """Without what is neither for training nor in the first of VAL_NAMES that has images."""
    there = {item.split for item in items}
    val = next((name for name in VAL_NAMES if name in there), None)
    renamed = (item._replace(split="val") if item.split == val else item for item in items)
    return [item for item in renamed if item.split in ("train", "val")]


def _labels(items: list[_Item], root: Path) -> list[str]:
    found = {split: {i.label for i in items if i.split == split} for split in ("train", "val")}
    for split, wanted in (("train", "train/"), ("val", "val/, valid/, validation/ or test/")):
        if not found[split]:
            raise DatasetError(
                f"{root}: no images in <class> folders below {wanted}, wanted both train and val"
            )
    for here, there in (("train", "val"), ("val", "train")):
        alone = sorted(found[here] - found[there])
        if alone:
            raise DatasetError(f"{root}: class {alone[0]!r} has images in {here}, none in {there}")
    if len(found["train"]) < 2:
        raise DatasetError(f"{root}: only one class, {min(found['train'])!r}; wanted two or more")
    return sorted(found["train"])


def _items(root: Path) -> Iterator[_Item]:
    if root.is_dir():
        for place, folders, names in os.walk(root, followlinks=True):
            here = Path(place).resolve()
            way = (here, *here.parents)
            folders[:] = [name for name in folders if Path(place, name).resolve() not in way]
            for file in (Path(place, name) for name in names):
                yield from _item(file.relative_to(root).as_posix(), file)
        for folder in root.glob("*/*"):
            _check_not_empty(folder, root)
        return
    with _open_tar(root) as archive:
        for member in archive:
            if member.isfile() and _place(member.name) is not None:
                content = archive.extractfile(member)
                assert content is not None
                yield from _item(member.name, content.read())


def _check_not_empty(folder: Path, root: Path) -> None:
    place = _place(folder.relative_to(root).as_posix() + "/any.png")
    if place is None or not folder.is_dir():
        return
    if not any(_place(p.relative_to(root).as_posix()) for p in folder.iterdir()):
        raise DatasetError(f"{folder}: a class without images")


def _item(name: str, content: Union[Path, bytes]) -> Iterator[_Item]:
    place = _place(name)
    if place is not None:
        yield _Item(*place, name, content)


def _place(name: str) -> Optional[tuple[str, str]]:
    """(split, class) of .../train/<class>/<image>; None for what is no image in such a place."""
    path = PurePosixPath(name)
    if path.suffix.lower() not in IMAGE_SUFFIXES or len(path.parts) < 3 or path.name[0] == ".":
        return None
    split, label = path.parts[-3:-1]
    return (split, label) if split in ("train", *VAL_NAMES) else None


@contextmanager
def _open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    with path.open("rb") as file:
        try:
            with tarfile.open(fileobj=_decompressed(file, path), mode="r|*") as archive:
                yield archive
        except _damage() as error:
            raise DatasetError(f"{path}: neither a folder nor a tar file: {error}") from None


def _damage() -> tuple[type[Exception], ...]:
    """What reading a damaged archive raises."""
    zstandard = sys.modules.get("zstandard")
    return (tarfile.TarError,) if zstandard is None else (tarfile.TarError, zstandard.ZstdError)


def _decompressed(file: BinaryIO, path: Path) -> BinaryIO:
    if path.suffix != ".zst":
        return file
    try:
        import zstandard
    except ImportError:
        raise DatasetError(f"{path}: pip install zstandard, or unpack it") from None
    return zstandard.ZstdDecompressor().stream_reader(file)


def _part(split: Split, chosen: Any) -> Split:
    names = [split.names[k] for k in np.flatnonzero(chosen)]
    return Split(split.images[chosen], split.classes[chosen], names)
