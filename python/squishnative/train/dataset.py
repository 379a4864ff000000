"""Labelled photographs from a folder or a tar file, decoded once and kept as uint8.

    train/<class>/<image>    and    val/<class>/<image>    (or valid, validation, test: the first
                                                           of them with <class> folders, no other)

The classes are the names of the folders in `train`, sorted; images in folders below count for the
class. `train` and `val` are side by side, in the folder or archive itself or in a folder of it;
what is further inside is not looked at. Names that begin with a dot, and __MACOSX, are as if they
were not there. Links are followed in folders, not in archives.

Images of `val` are prepared exactly as `Net.predict` prepares them.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console
from rich.progress import track

from squishnative.preprocess import Preprocessing, readable_formats
from squishnative.spec import InputSpec, PathLike
from squishnative.train.archive import VAL_NAMES, Content, DatasetError, Parts, Tree, read_tree
from squishnative.train.geometry import engines_view, training_view

__all__ = [
    "Classes",
    "Dataset",
    "DatasetError",
    "Images",
    "Split",
    "hold_out",
    "read_dataset",
    "read_for_calibration",
]

Images = npt.NDArray[np.uint8]  # (N, H, W, 3)
Classes = npt.NDArray[np.int64]  # (N,)


@dataclass
class Split:
    """Images with their classes, in the order of their names.

    labels: the classes' names, source: where the images were read; for messages, where known.
    """

    images: Images
    classes: Classes
    names: list[str]
    labels: list[str] = field(default_factory=list)
    source: str = ""

    def __len__(self) -> int:
        """The number of images."""
        return len(self.names)


@dataclass
class Dataset:
    """What training and measuring need. skipped: (name, why) of the classes' files not used."""

    labels: list[str]
    train: Split
    val: Split
    skipped: list[tuple[str, str]] = field(default_factory=list)


class _Item(NamedTuple):
    split: str  # "train" or "val"
    label: str
    name: str
    content: Content


def read_dataset(path: PathLike, spec: InputSpec) -> Dataset:
    """Decodes all images: those for training as `training_view` says, others as `spec` does.

    path: a folder, or a `.tar`, `.tar.gz`, `.tar.bz2`, `.tar.xz` or `.tar.zst` file.

    Files in the classes' folders that are no images, or broken ones, are left out and listed.

    Raises DatasetError where `path` is no folder and no whole tar file, has not both splits or has
    `train` twice, where a class has no image that can be read or is in one split alone, and where
    there is only one class; OSError where `path`, or a folder of images, cannot be read.
    """
    return _read(Path(path), {"train": training_view(spec), "val": engines_view(spec)}, None)


def read_for_calibration(path: PathLike, spec: InputSpec, count: int) -> Dataset:
    """As read_dataset, but `train` has `count` images, of all classes in proportion, or all it has.

    They are decoded as those of `val`, as the engine sees them, and the others not at all. Raises
    DatasetError where none of them can be read.
    """
    view = engines_view(spec)
    dataset = _read(Path(path), {"train": view, "val": view}, count)
    if not len(dataset.train):
        name, why = dataset.skipped[0]
        raise DatasetError(f"{path}: no training image that can be read; {name}: {why}")
    return dataset


def _read(root: Path, prepare: dict[str, Preprocessing], count: Optional[int]) -> Dataset:
    """prepare: of each split. count: of the training images that are read; None: all."""
    tree = read_tree(root)
    folders = _split_folders(tree, root)
    items = sorted(_items(tree, folders), key=lambda i: (i.split, i.label, i.name))
    labels = _labels(tree, folders, items, root)
    if count is not None:
        items = _thinned(items, count)
    numbers = {label: k for k, label in enumerate(labels)}
    counts = Counter(item.split for item in items if not isinstance(item.content, str))
    images = {
        split: np.empty((counts[split], view.height, view.width, view.channels), np.uint8)
        for split, view in prepare.items()
    }
    read: dict[str, list[_Item]] = {"train": [], "val": []}
    skipped: list[tuple[str, str]] = []
    for item in _watched(items):
        try:
            image = _decode(item.content, prepare[item.split])
        except (OSError, ValueError) as error:
            skipped.append((item.name, str(error)))
        else:
            images[item.split][len(read[item.split])] = image
            read[item.split].append(item)
    for split, found in read.items():
        if split == "val" or count is None:
            _check_none_empty(root, folders[split], labels, found, skipped)
    train, val = (
        Split(
            images[split][: len(found)],
            np.array([numbers[item.label] for item in found], np.int64),
            [item.name for item in found],
            labels,
            str(root),
        )
        for split, found in read.items()
    )
    return Dataset(labels, train, val, skipped)


def _thinned(items: list[_Item], count: int) -> list[_Item]:
    """With `count` items of "train" that are images, evenly spaced."""
    train = [i for i in items if i.split == "train" and not isinstance(i.content, str)]
    if len(train) > count:
        train = [train[k * len(train) // count] for k in range(count)]
    return train + [item for item in items if item.split != "train"]


def hold_out(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """A share of each class, of two or more images one at least: (what is left, what was taken).

    Raises ValueError where a class has one image.
    """
    rng = np.random.default_rng([seed, 1])
    taken = np.zeros(len(split), bool)
    for label in np.unique(split.classes):
        images = np.flatnonzero(split.classes == label)
        if len(images) < 2:
            name = repr(split.labels[label]) if split.labels else label
            where = f"{split.source}: " if split.source else ""
            raise ValueError(
                f"{where}class {name} has one training image, '{split.names[images[0]]}'; "
                "holding some out needs two"
            )
        count = min(max(1, round(share * len(images))), len(images) - 1)
        taken[rng.choice(images, count, replace=False)] = True
    return _part(split, ~taken), _part(split, taken)


def _watched(items: list[_Item]) -> Iterable[_Item]:
    """With a progress bar, where somebody looks."""
    console = Console(stderr=True)
    hidden = not console.is_terminal
    return track(items, "decoding", transient=True, console=console, disable=hidden)


def _decode(content: Content, prepare: Preprocessing) -> Images:
    if isinstance(content, str):
        raise ValueError(content)
    if isinstance(content, Path):
        return prepare(content)
    try:
        with Image.open(io.BytesIO(content), formats=readable_formats()) as image:
            image.load()
            return prepare(image)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise what their formats make them stumble over
        raise ValueError(f"no image that can be read: {error}") from error


def _split_folders(tree: Tree, root: Path) -> dict[str, Parts]:
    """Of "train" and "val", the outermost two that are side by side and have class folders."""
    with_classes = {folder[:-1] for folder in tree.folders if folder}
    trains = sorted(folder for folder in with_classes if folder[-1:] == ("train",))
    found: list[dict[str, Parts]] = []
    for train in trains:
        beside = ((*train[:-1], name) for name in VAL_NAMES)
        val = next((folder for folder in beside if folder in with_classes), None)
        if val is not None:
            found.append({"train": train, "val": val})
    if not found:
        wanted = "val/, valid/, validation/ or test/" if trains else "train/"
        raise DatasetError(
            f"{root}: no images in <class> folders below {wanted}, wanted both train and val, "
            "side by side"
        )
    chosen = min(found, key=lambda folders: len(folders["train"]))
    train = chosen["train"]
    for other in trains:  # of which the images would be missed, where it is not a folder around
        if other != train[: len(other)] and len(other) <= len(train):
            both = sorted("/".join(folder) for folder in (train, other))
            raise DatasetError(f"{root}: images in both {both[0]} and {both[1]}; wanted one train")
    return chosen


def _items(tree: Tree, folders: dict[str, Parts]) -> Iterator[_Item]:
    """All that is in the classes' folders."""
    for split, folder in folders.items():
        depth = len(folder)
        for parts, content in tree.files.items():
            if parts[:depth] == folder and parts[: depth + 1] in tree.folders:
                yield _Item(split, parts[depth], "/".join(parts), content)


def _labels(tree: Tree, folders: dict[str, Parts], items: list[_Item], root: Path) -> list[str]:
    unread = [(item.name, item.content) for item in items if isinstance(item.content, str)]
    found: dict[str, list[str]] = {}
    for split, folder in folders.items():
        depth = len(folder)
        below = (f for f in tree.folders if len(f) > depth and f[:depth] == folder)
        found[split] = sorted({f[depth] for f in below})
        usable = [i for i in items if i.split == split and not isinstance(i.content, str)]
        _check_none_empty(root, folder, found[split], usable, unread)
    for here, there in (("train", "val"), ("val", "train")):
        alone = [label for label in found[here] if label not in found[there]]
        if alone:
            raise DatasetError(f"{root}: class {alone[0]!r} has images in {here}, none in {there}")
    if len(found["train"]) < 2:
        raise DatasetError(f"{root}: only one class, {found['train'][0]!r}; wanted two or more")
    return found["train"]


def _check_none_empty(
    root: Path, folder: Parts, labels: list[str], items: list[_Item], skipped: list[tuple[str, str]]
) -> None:
    """skipped: of which one is named, if the class has one."""
    full = {item.label for item in items}
    for label in labels:
        if label not in full:
            name = "/".join((*folder, label))
            about = (f"; {n}: {why}" for n, why in skipped if f"{n}/".startswith(f"{name}/"))
            raise DatasetError(
                f"{root}: {name}: a class without images that can be read{next(about, '')}"
            )


def _part(split: Split, chosen: Any) -> Split:
    names = [split.names[k] for k in np.flatnonzero(chosen)]
    return replace(split, images=split.images[chosen], classes=split.classes[chosen], names=names)
