"""Labelled photographs from a folder or a tar file, decoded once and kept as uint8.

    train/<class>/<image>    and    val/<class>/<image>    (or valid, validation, test)

The classes are the names of the folders in `train`, sorted. Images of `val` are prepared exactly as
`Net.predict` prepares them.
"""

from __future__ import annotations

import io
import tarfile
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

from squishnative.preprocess import Preprocessing
from squishnative.spec import InputSpec, PathLike
from squishnative.train.geometry import engines_view, training_view

IMAGE_SUFFIXES = frozenset(Image.registered_extensions())
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
    split: str  # "train" or "val"
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
    items = sorted(_items(root), key=lambda item: (item.split, item.label, item.name))
    labels = _labels(items, root)
    prepare = {"train": training_view(spec), "val": engines_view(spec)}
    decoded: dict[str, list[tuple[_Item, Images]]] = {"train": [], "val": []}
    skipped: list[tuple[str, str]] = []
    for item in _watched(items):
        try:
            decoded[item.split].append((item, _decode(item, prepare[item.split])))
        except (OSError, ValueError) as error:
            skipped.append((item.name, str(error)))
    for split, images in decoded.items():
        left = {item.label for item, _ in images}
        for label in labels:
            if label not in left:
                raise DatasetError(f"{root}: no image of {split}/{label} can be read")
    return Dataset(
        labels, _split(decoded["train"], labels), _split(decoded["val"], labels), skipped
    )


def hold_out(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """A share of each class, at least one image, set aside: (what is left, what was taken)."""
    rng = np.random.default_rng([seed, 1])
    taken = np.zeros(len(split), bool)
    for label in np.unique(split.classes):
        images = np.flatnonzero(split.classes == label)
        if len(images) < 2:
            raise ValueError(f"class {label} has one training image, holding some out needs two")
        taken[rng.choice(images, max(1, round(share * len(images))), replace=False)] = True
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
        with Image.open(io.BytesIO(item.content)) as image:
            image.load()
            return prepare(image)
    except Exception as error:  # Pillow's decoders raise what their formats make them stumble over
        raise ValueError(f"no image that can be read: {error}") from error


def _split(decoded: list[tuple[_Item, Images]], labels: list[str]) -> Split:
    numbers = {label: k for k, label in enumerate(labels)}
    return Split(
        np.stack([image for _, image in decoded]),
        np.array([numbers[item.label] for item, _ in decoded], np.int64),
        [item.name for item, _ in decoded],
    )


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
        files = ((p.relative_to(root).as_posix(), p) for p in root.rglob("*") if p.is_file())
        for name, file in files:
            yield from _item(name, file)
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
    if split == "train":
        return "train", label
    return ("val", label) if split in VAL_NAMES else None


@contextmanager
def _open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    with path.open("rb") as file:
        try:
            with tarfile.open(fileobj=_decompressed(file, path), mode="r|*") as archive:
                yield archive
        except tarfile.TarError as error:
            raise DatasetError(f"{path}: neither a folder nor a tar file: {error}") from None


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
