"""The converter's front: picks a reader, adds labels and preprocessing, writes the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Union

from squishnative.arguments import image_size, whole_number
from squishnative.convert import batch_norm, onnx_net, squeezenet, tensors
from squishnative.convert.errors import ConvertError
from squishnative.convert.labels import read_labels
from squishnative.convert.metadata import apply_metadata
from squishnative.spec import LARGEST_EXTENT, NetSpec, Pair, PathLike

SUFFIXES = (".pth", ".pt", ".safetensors", ".onnx")


@dataclass
class Conversion:
    """What a conversion made.

    notes: what a person should know, a sentence each. bytes: of the file written, 0 before.
    """

    net: NetSpec
    notes: list[str] = field(default_factory=list)
    bytes: int = 0


def convert(
    checkpoint: PathLike,
    output: PathLike,
    *,
    labels: Union[PathLike, Sequence[str], None] = None,
    dtype: str = "f32",
    encoding: str = "smallest",
    size: Union[int, Pair, None] = None,
    resize: Optional[int] = None,
    mean: Optional[Sequence[float]] = None,
    std: Optional[Sequence[float]] = None,
    interpolation: Optional[str] = None,
    about: Optional[str] = None,
) -> Conversion:
    """Reads a checkpoint and writes it as a `.squish` file.

    checkpoint, size, resize, mean, std, interpolation, labels, about: as for `read`.
    dtype, encoding: how weights are stored, as for `NetSpec.to_bytes`; "smallest" takes the
    cheapest form for each convolution, zeros left out.

    Raises ConvertError (a ValueError) on a checkpoint that is no such net, ValueError on a bad
    argument, OSError where a file cannot be read or written.
    """
    if Path(output).suffix.lower() in SUFFIXES:  # it may be this checkpoint
        raise ValueError(f"'{output}': the suffix of a checkpoint, wanted another, such as .squish")
    conversion = read(
        checkpoint,
        labels=labels,
        size=size,
        resize=resize,
        mean=mean,
        std=std,
        interpolation=interpolation,
        about=about,
    )
    conversion.net.save(output, dtype, encoding)
    conversion.bytes = Path(output).stat().st_size
    return conversion


def read(
    checkpoint: PathLike,
    *,
    labels: Union[PathLike, Sequence[str], None] = None,
    size: Union[int, Pair, None] = None,
    resize: Optional[int] = None,
    mean: Optional[Sequence[float]] = None,
    std: Optional[Sequence[float]] = None,
    interpolation: Optional[str] = None,
    about: Optional[str] = None,
) -> Conversion:
    """Reads a checkpoint without writing anything; weights are float32.

    checkpoint: `.pth`, `.pt`, `.safetensors` (torchvision's names) or `.onnx`.
    labels: the class names, or a file of them: a name a line or index<TAB>wnid<TAB>name.
    size: pixels, one side or (height, width). Default: what the checkpoint says, else 224.
    resize: pixels of the shorter side before the crop to `size`, 0 to squash. Default: what the
    checkpoint says; where that says nothing or `size` is given, size * 256 / 224.
    mean, std: a value a channel, on the scale 0..1. Default: what the checkpoint says, else
    ImageNet's.
    interpolation: "nearest", "bilinear" or "bicubic". Default: what the checkpoint says, else
    "bilinear".
    about: free text for people.
    """
    path = Path(checkpoint)
    pixels = None if size is None else image_size(size)
    conversion, prepared = _read_net(path, pixels)
    net = conversion.net
    if not prepared and (mean is None or std is None):
        if net.input.channels != len(net.input.mean):
            raise ConvertError(
                f"{path}: does not say how its images of {net.input.channels} channels are "
                "prepared: wanted mean and std (--mean and --std), a value a channel"
            )
        conversion.notes.append(
            "The checkpoint does not say how its images are prepared: ImageNet's mean and std are "
            "taken, others can be given (--mean and --std)."
        )
    if pixels is not None:
        net.input.height, net.input.width = pixels
        net.input.resize = default_resize(net.input.height, net.input.width)
    if resize is not None:
        net.input.resize = whole_number("resize", resize, 0, LARGEST_EXTENT)
    if mean is not None:
        net.input.mean = tuple(mean)
    if std is not None:
        net.input.std = tuple(std)
    if interpolation is not None:
        net.input.interpolation = interpolation
    if labels is not None:
        net.labels = _labels(labels)
    if about is not None:
        net.about = about
    try:
        net.validate()
    except ValueError as error:
        raise ConvertError(f"{path}: {error}") from None
    return conversion


def default_resize(height: int, width: int) -> int:
    """The shorter side before the crop, in ImageNet's usual proportion."""
    return round(min(height, width) * 256 / 224)


def _read_net(path: Path, size: Optional[Pair]) -> tuple[Conversion, bool]:
    """The net, and whether the file says how its images are prepared."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConvertError(f"{path}: suffix {suffix!r}, wanted one of {', '.join(SUFFIXES)}")
    # The readers' libraries word a missing or empty file each in their own way.
    with path.open("rb") as file:
        if not file.read(1):
            raise ConvertError(f"{path}: an empty file")
    try:
        if suffix == ".onnx":
            net, metadata, notes = onnx_net.read_onnx(path, size)
        else:
            metadata, notes = {}, []
            if suffix == ".safetensors":
                state, metadata = tensors.read_safetensors(path)
            else:
                state = tensors.read_torch(path)
            net = squeezenet.from_state_dict(batch_norm.fold_state_dict(state))
        prepared = apply_metadata(net, metadata)
    except ConvertError as error:
        raise ConvertError(f"{path}: {error}") from error
    except Exception as error:  # what damage makes the readers' libraries stumble over
        raise ConvertError(f"{path}: damaged: {type(error).__name__}: {error}") from error
    if not prepared:
        net.input.resize = default_resize(net.input.height, net.input.width)
    return Conversion(net, notes), prepared


def _labels(labels: Union[PathLike, Sequence[str]]) -> list[str]:
    if isinstance(labels, (list, tuple)):
        return [str(label) for label in labels]
    return read_labels(Path(labels))  # type: ignore[arg-type]
