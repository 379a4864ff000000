from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import LABELS, make_pictures
from PIL import Image
from squishnative.preprocess import Preprocessing
from squishnative.spec import InputSpec
from squishnative.train.dataset import (
    Dataset,
    DatasetError,
    Split,
    hold_out,
    read_dataset,
    read_for_calibration,
)
from squishnative.train.geometry import engines_view, seen_by_the_engine, training_view

SPEC = InputSpec(height=32, width=32, resize=36)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "pictures", train=3, val=2)


def tar_of(folder: Path, path: Path, mode: str) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        archive.add(folder, folder.name)
    return path


def test_reads_a_folder_in_the_order_of_names(folder: Path) -> None:
    data = read_dataset(folder, SPEC)
    assert data.labels == LABELS
    assert data.train.images.shape == (9, 40, 40, 3)
    assert data.train.classes.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert data.val.names == [f"val/{label}/{n:03}.png" for label in LABELS for n in range(2)]


def test_prepares_images_as_the_net_will(folder: Path) -> None:
    data = read_dataset(folder, SPEC)
    prepare = Preprocessing(3, 32, 32, 36, "bilinear")
    for image, name in zip(data.val.images, data.val.names):
        np.testing.assert_array_equal(image, prepare(folder / name))


def test_keeps_a_margin_around_training_images(folder: Path) -> None:
    data = read_dataset(folder, SPEC)
    assert data.train.images.shape[1:] == (40, 40, 3)
    assert data.val.images.shape[1:] == (32, 32, 3)


@pytest.mark.parametrize("resize", [0, 24, 32, 36, 48])
@pytest.mark.parametrize("size", [(32, 32), (32, 24), (20, 32)])
def test_training_images_as_the_engine_sees_the_same_photographs(
    size: tuple[int, int], resize: int
) -> None:
    spec = InputSpec(height=size[0], width=size[1], resize=resize)
    x, y = np.meshgrid(np.linspace(0, 1, 300), np.linspace(0, 1, 200))
    smooth = np.stack([x, y, (np.sin(9 * x) + np.cos(7 * y) + 2) / 4], 2)
    image = Image.fromarray(np.rint(smooth * 255).astype(np.uint8))
    seen = seen_by_the_engine(np.stack([training_view(spec)(image)]), spec)[0].astype(int)
    wanted = engines_view(spec)(image).astype(int)
    inside = wanted.max(2) > 0  # where a crop is larger than the resized image, the rest is black
    assert seen.shape == wanted.shape
    # Both are cut at whole pixels, of images of different sizes: up to a pixel apart either way.
    across, down = np.diff(wanted, axis=1)[inside[:, 1:] & inside[:, :-1]], np.diff(wanted, axis=0)
    down = down[inside[1:] & inside[:-1]]
    assert np.abs(seen - wanted)[inside].max() <= np.abs(across).max() + np.abs(down).max()


def test_training_sees_all_of_a_square_photograph() -> None:
    square = Image.fromarray(np.zeros((64, 64, 3), np.uint8))
    square.paste((255, 255, 255), (1, 1, 63, 63))
    rim = training_view(SPEC)(square)
    assert rim[0].max() < 200
    assert rim[:, -1].max() < 200
    assert engines_view(SPEC)(square).min() == 255


@pytest.mark.parametrize(("suffix", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tar.xz", "w:xz")])
def test_a_tar_file_holds_the_same_as_the_folder(
    folder: Path, tmp_path: Path, suffix: str, mode: str
) -> None:
    packed = read_dataset(tar_of(folder, tmp_path / f"data.{suffix}", mode), SPEC)
    plain = read_dataset(folder, SPEC)
    np.testing.assert_array_equal(packed.train.images, plain.train.images)
    np.testing.assert_array_equal(packed.val.classes, plain.val.classes)


def test_reads_zstandard(folder: Path, tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    plain = tar_of(folder, tmp_path / "data.tar", "w")
    packed = tmp_path / "data.tar.zst"
    packed.write_bytes(zstandard.compress(plain.read_bytes()))
    np.testing.assert_array_equal(
        read_dataset(packed, SPEC).val.images, read_dataset(folder, SPEC).val.images
    )


def test_reads_zstandard_of_two_frames(folder: Path, tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    plain = tar_of(folder, tmp_path / "data.tar", "w").read_bytes()
    file = tmp_path / "data.tar.zst"
    file.write_bytes(zstandard.compress(plain[:9999]) + zstandard.compress(plain[9999:]))
    assert len(read_dataset(file, SPEC).train) == 9


def test_calibrates_on_images_of_all_classes_as_the_engine_sees_them(folder: Path) -> None:
    whole, some = read_dataset(folder, SPEC), read_for_calibration(folder, SPEC, 4)
    names = [f"train/{name}.png" for name in ("across/000", "across/002", "down/001", "plain/000")]
    assert some.train.names == names
    assert some.train.classes.tolist() == [0, 0, 1, 2]
    for image, name in zip(some.train.images, names):
        np.testing.assert_array_equal(image, engines_view(SPEC)(folder / name))
    np.testing.assert_array_equal(some.val.images, whole.val.images)
    assert len(read_for_calibration(folder, SPEC, 10).train) == 9


def test_calibrates_without_images_that_are_broken(folder: Path) -> None:
    for broken in (folder / "train" / "down").iterdir():
        broken.write_bytes(b"no image")
    some = read_for_calibration(folder, SPEC, 6)
    assert some.train.classes.tolist() == [0, 0, 2, 2]
    assert [name for name, _ in some.skipped] == ["train/down/000.png", "train/down/001.png"]
    (folder / "train" / "across" / "000.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"no training image that can be read; train/across/000"):
        read_for_calibration(folder, SPEC, 1)


def test_other_names_of_val_and_other_files_around(folder: Path) -> None:
    (folder / "val").rename(folder / "test")
    (folder / "classes.json").write_text("{}", encoding="utf-8")
    (folder / "train" / "across" / "notes.txt").write_text("none", encoding="utf-8")
    assert len(read_dataset(folder, SPEC).val) == 6


def test_lists_broken_images_and_skips_them(folder: Path) -> None:
    (folder / "train" / "down" / "001.png").write_bytes(b"no image")
    data = read_dataset(folder, SPEC)
    assert len(data.train) == 8
    assert [name for name, _ in data.skipped] == ["train/down/001.png"]


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_images_of_other_modes_become_rgb(folder: Path, mode: str) -> None:
    suffix = {"CMYK": "jpg"}.get(mode, "png")
    rgb = Image.open(folder / "train" / "down" / "000.png")
    image = (
        Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257)
        if mode == "I;16"
        else rgb.convert(mode)
    )
    image.save(folder / "train" / "down" / f"new.{suffix}")
    data = read_dataset(folder, SPEC)
    assert not data.skipped
    new = data.train.images[data.train.names.index(f"train/down/new.{suffix}")]
    assert abs(new.mean() - np.asarray(rgb).mean()) < 12


def test_the_test_split_is_not_mixed_into_val(folder: Path) -> None:
    (folder / "test" / "images").mkdir(parents=True)
    (folder / "val" / "down" / "000.png").rename(folder / "test" / "images" / "000.png")
    data = read_dataset(folder, SPEC)
    assert data.labels == LABELS
    assert all(name.startswith("val/") for name in data.val.names)
    assert len(data.val) == 5


def test_folders_may_be_links(folder: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "train").symlink_to(folder / "train")
    (linked / "val").mkdir()
    for label in LABELS:
        (linked / "val" / label).symlink_to(folder / "val" / label)
    (linked / "round").symlink_to(linked)  # does not end
    assert read_dataset(linked, SPEC).val.names == read_dataset(folder, SPEC).val.names


def test_formats_that_run_other_programs_are_no_images(folder: Path, tmp_path: Path) -> None:
    picture = Image.open(folder / "train" / "down" / "000.png").convert("RGB")
    picture.save(folder / "train" / "down" / "new.eps")
    picture.save(tmp_path / "disguised.eps")
    (tmp_path / "disguised.eps").rename(folder / "train" / "down" / "disguised.png")
    for source in (folder, tar_of(folder, tmp_path / "data.tar", "w")):
        data = read_dataset(source, SPEC)
        skipped = [name.rpartition("/")[2] for name, _ in data.skipped]
        assert skipped == ["disguised.png", "new.eps"]
        assert not [name for name in data.train.names if name.endswith(".eps")]


class TestRefuses:
    def test_a_damaged_zstandard_file(self, folder: Path, tmp_path: Path) -> None:
        zstandard = pytest.importorskip("zstandard")
        whole = zstandard.compress(tar_of(folder, tmp_path / "data.tar", "w").read_bytes())
        file = tmp_path / "data.tar.zst"
        file.write_bytes(whole[:100] + b"damage" + whole[106:])
        with pytest.raises(DatasetError, match=r"data\.tar\.zst"):
            read_dataset(file, SPEC)

    def test_a_folder_without_images(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="no images in <class> folders below train/"):
            read_dataset(tmp_path, SPEC)

    def test_training_images_alone(self, folder: Path) -> None:
        (folder / "val").rename(folder / "other")
        with pytest.raises(DatasetError, match="below val/"):
            read_dataset(folder, SPEC)

    def test_one_class(self, folder: Path) -> None:
        for split in ("train", "val"):
            for label in LABELS[1:]:
                (folder / split / label).rename(folder / f"{split}-{label}")
        with pytest.raises(DatasetError, match="only one class, 'across'"):
            read_dataset(folder, SPEC)

    @pytest.mark.parametrize(("here", "there"), [("train", "val"), ("val", "train")])
    def test_a_class_of_one_split(self, folder: Path, here: str, there: str) -> None:
        (folder / there / "down").rename(folder / "down")
        with pytest.raises(DatasetError, match=f"'down' has images in {here}, none in {there}"):
            read_dataset(folder, SPEC)

    def test_an_empty_class(self, folder: Path) -> None:
        (folder / "train" / "empty").mkdir()
        with pytest.raises(DatasetError, match="train/empty: a class without images"):
            read_dataset(folder, SPEC)

    @pytest.mark.parametrize("split", ["train", "val"])
    @pytest.mark.parametrize("kept", [[], ["notes.txt", ".DS_Store", "._000.png"], ["000.heic"]])
    def test_a_class_without_images_wherever_it_is(
        self, folder: Path, tmp_path: Path, split: str, kept: list[str]
    ) -> None:
        shutil.rmtree(folder / split / "down")
        (folder / split / "down").mkdir()
        for name in kept:
            (folder / split / "down" / name).write_bytes(b"no image")
        wrapped = tmp_path / "wrapped" / "test"
        wrapped.mkdir(parents=True)
        folder.rename(wrapped / "pictures")
        for source in (
            wrapped / "pictures",
            wrapped.parent,
            tar_of(wrapped, tmp_path / "data.tar", "w"),
        ):
            with pytest.raises(DatasetError, match=f"{split}/down: a class without images") as e:
                read_dataset(source, SPEC)
            assert ("000.heic: not an image that is read: .heic" in str(e.value)) == (
                "000.heic" in kept
            )

    def test_a_class_of_links_that_lead_nowhere(self, folder: Path, tmp_path: Path) -> None:
        for split in ("train", "val"):
            (folder / split / "down").rename(tmp_path / split)
            (folder / split / "down").symlink_to(tmp_path / split)
        packed = tar_of(folder, tmp_path / "data.tar", "w")
        assert read_dataset(folder, SPEC).labels == LABELS
        with pytest.raises(DatasetError, match=r"train/down: .*links in archives"):
            read_dataset(packed, SPEC)
        shutil.rmtree(tmp_path / "train")
        with pytest.raises(DatasetError, match=r"train/down: .*leads nowhere"):
            read_dataset(folder, SPEC)

    def test_two_folders_of_training_images(self, folder: Path, tmp_path: Path) -> None:
        both = tmp_path / "both"
        for name in ("a", "b"):
            shutil.copytree(folder, both / name)
        with pytest.raises(DatasetError, match="images in both a/train and b/train"):
            read_dataset(both, SPEC)
        shutil.rmtree(both / "a" / "val")
        with pytest.raises(DatasetError, match="images in both a/train and b/train"):
            read_dataset(both, SPEC)

    def test_folders_that_cannot_be_looked_into(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "lost+found").mkdir()
        shut = ["lost+found"]
        listdir: Callable[[Path], list[str]] = os.listdir

        def guarded(path: Path) -> list[str]:
            if path.name in shut:
                raise PermissionError(13, "Permission denied", str(path))
            return listdir(path)

        monkeypatch.setattr(os, "listdir", guarded)
        assert len(read_dataset(folder, SPEC).train) == 9
        shut.append("down")
        with pytest.raises(PermissionError, match="down"):
            read_dataset(folder, SPEC)

    def test_a_class_of_broken_images(self, folder: Path) -> None:
        for file in (folder / "val" / "down").iterdir():
            file.write_bytes(b"")
        with pytest.raises(
            DatasetError, match=r"val/down: a class without images .*val/down/000\.png"
        ):
            read_dataset(folder, SPEC)

    def test_what_is_no_tar_file(self, tmp_path: Path) -> None:
        file = tmp_path / "data.tar"
        file.write_bytes(b"no tar")
        with pytest.raises(DatasetError, match="neither a folder nor a tar file"):
            read_dataset(file, SPEC)

    def test_a_tar_file_that_ends_early(self, folder: Path, tmp_path: Path) -> None:
        whole = tar_of(folder, tmp_path / "whole.tar", "w")
        with tarfile.open(whole) as archive:
            inside = archive.getmembers()[-1]
        file = tmp_path / "data.tar"
        # In an image, in the header of one, before it, and before the mark of the end.
        for size in (
            inside.offset_data + 10,
            inside.offset + 10,
            inside.offset,
            inside.offset_data + (inside.size + 511) // 512 * 512,
        ):
            file.write_bytes(whole.read_bytes()[:size])
            with pytest.raises(DatasetError, match=r"data\.tar: the archive is damaged or cut"):
                read_dataset(file, SPEC)

    @pytest.mark.parametrize(("suffix", "mode"), [("gz", "w:gz"), ("bz2", "w:bz2"), ("xz", "w:xz")])
    def test_compressed_tar_files_that_end_early(
        self, folder: Path, tmp_path: Path, suffix: str, mode: str
    ) -> None:
        file = tar_of(folder, tmp_path / f"data.tar.{suffix}", mode)
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 3 // 4])
        with pytest.raises(DatasetError, match=rf"data\.tar\.{suffix}: "):
            read_dataset(file, SPEC)

    @pytest.mark.parametrize("place", [0.3, 0.6, -8], ids=["early", "late", "checksum"])
    def test_a_gzip_file_with_a_byte_that_fell_over(
        self, folder: Path, tmp_path: Path, place: float
    ) -> None:
        """Whose tar file may still look whole, but for some images' pixels."""
        file = tar_of(folder, tmp_path / "data.tar.gz", "w:gz")
        content = bytearray(file.read_bytes())
        content[int(place * len(content)) if place > 0 else int(place)] ^= 1
        file.write_bytes(content)
        with pytest.raises(DatasetError, match=r"data\.tar\.gz: "):
            read_dataset(file, SPEC)

    def test_a_zstandard_file_that_ends_early(self, folder: Path, tmp_path: Path) -> None:
        zstandard = pytest.importorskip("zstandard")
        whole = zstandard.compress(tar_of(folder, tmp_path / "data.tar", "w").read_bytes())
        file = tmp_path / "data.tar.zst"
        for size in (len(whole) // 4, len(whole) - 1):
            file.write_bytes(whole[:size])
            with pytest.raises(DatasetError, match=r"data\.tar\.zst: .* cut short"):
                read_dataset(file, SPEC)

    def test_a_tar_file_with_a_damaged_header(self, folder: Path, tmp_path: Path) -> None:
        file = tar_of(folder, tmp_path / "data.tar", "w")
        with tarfile.open(file) as archive:
            inside = archive.getmembers()[-3]
        content = bytearray(file.read_bytes())
        content[inside.offset : inside.offset + 8] = b"damaged!"
        file.write_bytes(content)
        with pytest.raises(DatasetError, match="the archive is damaged"):
            read_dataset(file, SPEC)

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            read_dataset(tmp_path / "data.tar", SPEC)


def test_held_out_images_are_a_share_of_each_class(data: Dataset) -> None:
    left, taken = hold_out(data.train, 0.25, 0)
    assert np.bincount(taken.classes).tolist() == [6, 6, 6]
    assert sorted(left.names + taken.names) == sorted(data.train.names)
    assert hold_out(data.train, 0.25, 0)[1].names == taken.names
    assert hold_out(data.train, 0.25, 1)[1].names != taken.names


def test_holding_out_leaves_an_image_of_each_class(data: Dataset) -> None:
    left, taken = hold_out(hold_out(data.train, 0.9, 0)[0], 0.99, 0)
    assert np.bincount(left.classes).tolist() == [1, 1, 1]
    assert np.bincount(taken.classes).tolist() == [1, 1, 1]


def test_holding_out_of_one_image_names_the_class(folder: Path) -> None:
    for number in (1, 2):
        (folder / "train" / "plain" / f"00{number}.png").unlink()
    data = read_dataset(folder, SPEC)
    with pytest.raises(ValueError, match=r"pictures: class 'plain' has .* 'train/plain/000\.png'"):
        hold_out(data.train, 0.25, 0)
    unnamed = Split(data.train.images, data.train.classes, data.train.names)
    with pytest.raises(ValueError, match=r"^class 2 has one training image"):
        hold_out(unnamed, 0.25, 0)
