"""The folders and images below a folder, or of a tar file, which is read and never unpacked."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Optional, Union, cast

from squishnative.preprocess import is_hidden, photo_suffixes

IMAGE_SUFFIXES = frozenset(photo_suffixes())
_MEBIBYTE = 1 << 20
VAL_NAMES = ("val", "valid", "validation", "test")
SPLIT_NAMES = frozenset(("train", *VAL_NAMES))

Parts = tuple[str, ...]  # of a path below the root
Content = Union[Path, bytes, str]  # of an image; a str says why there is none


class DatasetError(ValueError):
    """The folder or archive holds no data to train with."""


class Tree:
    """What `read_tree` found."""

    def __init__(self) -> None:
        self.folders: set[Parts] = {()}
        self.files: dict[Parts, Content] = {}

    def add_folder(self, parts: Parts) -> None:
        """With those that it is in: an archive need not have them."""
        while parts not in self.folders:
            self.folders.add(parts)
            parts = parts[:-1]

    def add_file(self, parts: Parts, content: Content) -> None:
        """In place of an earlier one of the same name, as on unpacking an archive."""
        self.add_folder(parts[:-1])
        suffix = _suffix(parts)
        unread = f"not an image that is read: {suffix or 'no suffix'}"
        self.files[parts] = content if suffix in IMAGE_SUFFIXES else unread

    def add_lost(self, parts: Parts, why: str) -> None:
        """What might have been an image or, by its name, a folder of them: a class may hang on it.

        why: why it cannot be read.
        """
        self.add_folder(parts[:-1] if _suffix(parts) in IMAGE_SUFFIXES else parts)
        self.files[parts] = why


def read_tree(root: Path) -> Tree:
    """Of a folder, the paths of its images; of a tar file, their bytes.

    What has a hidden name (.x, __MACOSX) is left out; so is, of a tar file, what is in no folder of
    SPLIT_NAMES.

    Raises DatasetError where `root` is neither, or a damaged archive; OSError where it, or a folder
    of images in it, cannot be read.
    """
    tree = Tree()
    if root.is_dir():
        _add_files(tree, root, (), frozenset())
    else:
        _add_members(tree, root)
    return tree


def _add_files(tree: Tree, folder: Path, parts: Parts, above: frozenset[Path]) -> None:
    """above: the real folders on the way here, to which links may lead back."""
    here = folder.resolve()
    above = above.union((here, *here.parents))
    try:
        names = os.listdir(folder)
    except OSError:
        if parts and SPLIT_NAMES.isdisjoint(parts):
            return  # none of the data's: the lost+found of a disk
        raise
    for name in names:
        path, inside = folder / name, (*parts, name)
        if is_hidden(name):
            continue
        if os.path.isdir(path):  # Path's raises where it may not look
            tree.add_folder(inside)
            if path.resolve() not in above:
                _add_files(tree, path, inside, above)
        elif os.path.isfile(path):
            tree.add_file(inside, path)
        else:
            tree.add_lost(inside, "a link that leads nowhere, or no regular file")


def _add_members(tree: Tree, root: Path) -> None:
    trouble = "neither a folder nor a tar file, or one cut short"
    with root.open("rb") as file:
        try:
            stream = _decompressed(file, root)
            with tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Member) as archive:
                trouble = "the archive is damaged or cut short"
                for member in archive:
                    parts = _parts(member.name)
                    if parts is not None and not SPLIT_NAMES.isdisjoint(parts):
                        _add_member(tree, archive, member, parts)
            while stream is not file and stream.read(_MEBIBYTE):
                pass  # a checksum is at the end
        except _damage() as error:
            raise DatasetError(f"{root}: {trouble}: {error}") from None


def _add_member(
    tree: Tree, archive: tarfile.TarFile, member: tarfile.TarInfo, parts: Parts
) -> None:
    if member.isdir():
        tree.add_folder(parts)
    elif member.isfile() and _suffix(parts) in IMAGE_SUFFIXES:
        content = archive.extractfile(member)
        assert content is not None
        tree.add_file(parts, content.read())
    elif member.isfile():
        tree.add_file(parts, b"")  # no need to hold it
    elif member.islnk():  # the second name of a file that is packed once
        same = tree.files.get(_parts(member.linkname) or ())
        other = f"a link to what is not among the images: {member.linkname}"
        tree.add_file(parts, same if isinstance(same, bytes) else other)
    else:
        tree.add_lost(parts, "links in archives are not followed, and devices not read")


class _Member(tarfile.TarInfo):
    """Tells the end of an archive from a cut or damaged one, which for tarfile just ends too."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from None


def _parts(name: str) -> Optional[Parts]:
    """None of a hidden name."""
    parts = PurePosixPath(name.lstrip("/")).parts
    return None if any(is_hidden(part) for part in parts) else parts


def _suffix(parts: Parts) -> str:
    return PurePosixPath(parts[-1]).suffix.lower()


def _damage() -> tuple[type[Exception], ...]:
    """What reading a damaged archive raises."""
    zstandard = sys.modules.get("zstandard")
    errors = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error)
    return errors if zstandard is None else (*errors, zstandard.ZstdError)


def _decompressed(file: io.BufferedReader, path: Path) -> BinaryIO:
    if file.peek(2)[:2] == b"\x1f\x8b":
        return cast("BinaryIO", gzip.GzipFile(fileobj=file))  # tarfile's own does not check the sum
    if path.suffix.lower() != ".zst":
        return file
    try:
        import zstandard
    except ImportError:
        raise DatasetError(f"{path}: pip install zstandard, or unpack it") from None
    return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
