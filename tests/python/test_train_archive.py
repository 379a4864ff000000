"""Which folders and files of a folder or archive are classes and images."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import LABELS
from squishnative.train.dataset import Dataset, read_dataset
from test_train_dataset import SPEC, folder, tar_of

__all__ = ["folder"]  # a fixture


def test_nothing_outside_the_archive_is_read(folder: Path, tmp_path: Path) -> None:
    """Members are read, never extracted: a link or a path upwards is no image."""
    path = tmp_path / "data.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(folder, folder.name)
        for name, kind in (("hard", tarfile.LNKTYPE), ("link", tarfile.SYMTYPE)):
            link = tarfile.TarInfo(f"pictures/train/across/{name}.png")
            link.type, link.linkname = kind, "/etc/passwd"
            archive.addfile(link)
        archive.addfile(tarfile.TarInfo("pictures/train/across/empty.png"), io.BytesIO())
    data = read_dataset(path, SPEC)
    assert len(data.train) == 9
    assert [name.rpartition("/")[2] for name, _ in data.skipped] == [
        "empty.png",
        "hard.png",
        "link.png",
    ]


def test_archives_name_a_file_twice(folder: Path, tmp_path: Path) -> None:
    """A file of two names is packed once; of two files of a name the later counts."""
    across = folder / "train" / "across"
    os.link(across / "000.png", across / "again.png")
    path = tar_of(folder, tmp_path / "data.tar", "w")
    with tarfile.open(path, "a") as archive:
        archive.add(folder / "train" / "down" / "000.png", "pictures/train/across/001.png")
    data = read_dataset(path, SPEC)
    assert not data.skipped
    images = dict(zip(data.train.names, data.train.images))
    for same, other in (("across/again", "across/000"), ("across/001", "down/000")):
        np.testing.assert_array_equal(
            images[f"pictures/train/{same}.png"], images[f"pictures/train/{other}.png"]
        )
    assert len(data.train) == 10


@pytest.fixture(params=["folder", "tar", "wrapped"])
def read(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Callable[[], Dataset]:
    """The folder, once it is as a test wants it, as it is or packed or in a folder around."""

    def reader() -> Dataset:
        if request.param == "folder":
            return read_dataset(folder, SPEC)
        if request.param == "tar":
            return read_dataset(tar_of(folder, tmp_path / "data.tar", "w"), SPEC)
        (tmp_path / "around").mkdir()
        folder.rename(tmp_path / "around" / "pictures")
        return read_dataset(tmp_path / "around", SPEC)

    return reader


def ends(names: list[str]) -> list[str]:
    return [name.removeprefix("pictures/") for name in names]


def test_images_in_folders_of_a_class_count_for_it(
    folder: Path, read: Callable[[], Dataset]
) -> None:
    down = folder / "train" / "down"
    (down / "val" / "more").mkdir(parents=True)
    (down / "001.png").rename(down / "val" / "more" / "001.png")
    (folder / "val" / "plain" / "train").mkdir()
    (folder / "val" / "plain" / "000.png").rename(folder / "val" / "plain" / "train" / "000.png")
    data = read()
    assert data.labels == LABELS
    assert not data.skipped
    assert ends(data.train.names)[3:6] == [
        "train/down/000.png",
        "train/down/002.png",
        "train/down/val/more/001.png",
    ]
    assert data.train.classes.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert data.val.classes.tolist() == [0] * 2 + [1] * 2 + [2] * 2


def test_lists_files_of_a_class_that_are_no_images(
    folder: Path, read: Callable[[], Dataset]
) -> None:
    (folder / "train" / "down" / "sub").mkdir()
    (folder / "train" / "down" / "sub" / "x.HEIC").write_bytes(b"")
    (folder / "train" / "down" / "README").write_text("", encoding="utf-8")
    (folder / "train" / "README").write_text("", encoding="utf-8")  # in no class
    os.mkfifo(folder / "train" / "down" / "pipe.png")
    data = read()
    assert len(data.train) == 9
    names, why = zip(*data.skipped)
    assert ends(list(names)) == [
        "train/down/README",
        "train/down/pipe.png",
        "train/down/sub/x.HEIC",
    ]
    assert why[0] == "not an image that is read: no suffix"
    assert why[2] == "not an image that is read: .heic"


def test_hidden_files_and_folders_are_as_if_not_there(
    folder: Path, read: Callable[[], Dataset]
) -> None:
    for hidden in (
        "train/.ipynb_checkpoints",
        "train/__MACOSX",
        "val/down/.thumbs",
        ".cache/train",
    ):
        (folder / hidden).mkdir(parents=True)
        shutil.copy(folder / "train" / "down" / "000.png", folder / hidden / "000.png")
    shutil.copytree(folder / "train", folder / "__MACOSX" / "train")
    (folder / "train" / "down" / "._000.png").write_bytes(b"no image")
    (folder / "val" / "down" / ".DS_Store").write_bytes(b"")
    data = read()
    assert data.labels == LABELS
    assert (len(data.train), len(data.val), data.skipped) == (9, 6, [])


def test_a_split_that_is_not_used_may_be_empty(folder: Path, read: Callable[[], Dataset]) -> None:
    (folder / "test" / "down").mkdir(parents=True)
    (folder / "valid" / "other").mkdir(parents=True)
    (folder / "valid" / "other" / "x.heic").write_bytes(b"")
    data = read()
    assert (data.labels, len(data.val), data.skipped) == (LABELS, 6, [])


def test_a_file_is_no_split_and_no_class(folder: Path, read: Callable[[], Dataset]) -> None:
    (folder / "val").rename(folder / "test")
    (folder / "val").write_text("", encoding="utf-8")
    (folder / "train" / "down" / "train").write_text("", encoding="utf-8")
    (folder / "train" / "x.png").write_bytes(b"")
    data = read()
    assert ends([name for name, _ in data.skipped]) == ["train/down/train"]
    assert len(data.val) == 6


def test_classes_of_the_names_of_splits(folder: Path, read: Callable[[], Dataset]) -> None:
    for split in ("train", "val"):
        (folder / split / "down").rename(folder / split / "train")
        (folder / split / "plain").rename(folder / split / "val")
    data = read()
    assert data.labels == ["across", "train", "val"]
    assert (len(data.train), len(data.val)) == (9, 6)


def test_the_case_of_names(folder: Path, read: Callable[[], Dataset]) -> None:
    down = folder / "train" / "down"
    shutil.copy(down / "000.png", down / "A.PNG")
    shutil.copy(down / "000.png", down / "a.png")
    if len(list(down.iterdir())) == 4:
        pytest.skip("the file system takes them for one")
    data = read()
    assert ends(data.train.names)[6:8] == ["train/down/A.PNG", "train/down/a.png"]
    assert not data.skipped


def test_links_that_lead_round_end(folder: Path) -> None:
    down, plain = (folder / "train" / name for name in ("down", "plain"))
    (down / "plain").symlink_to(plain)
    (plain / "down").symlink_to(down)
    (down / "self.png").symlink_to("self.png")
    data = read_dataset(folder, SPEC)
    assert [name for name in data.train.names if name.count("/") > 3] == []
    assert [name for name, _ in data.skipped] == [
        "train/down/self.png",
        "train/plain/down/self.png",
    ]
