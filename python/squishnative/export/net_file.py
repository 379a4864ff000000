"""The exporter's front: picks a writer by the output's suffix."""

from __future__ import annotations

import os
from pathlib import Path

from squishnative import _core, nets
from squishnative.export.onnx_file import to_onnx
from squishnative.export.safetensors_file import to_safetensors
from squishnative.spec import NetSpec, PathLike

_WRITERS = {".onnx": to_onnx, ".safetensors": to_safetensors}


def export(net_path: PathLike, output: PathLike) -> None:
    """Writes the net of a `.squish` file as `.onnx` or `.safetensors`, by `output`'s suffix.

    Weights are float32: f16 and integers are widened, absent ones are 0. It is the net of floats:
    the activations of a net made for integer arithmetic (`ConvSpec.activation`) are left out.
    Labels and preprocessing go along as metadata, which `squishnative.convert` reads back.

    Raises ValueError on another suffix or a missing package, FormatError on a bad `.squish` file,
    OSError where a file cannot be read or written.
    """
    path = Path(output)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        wanted = " or ".join(_WRITERS)
        raise ValueError(f"{path}: suffix {path.suffix!r}, wanted {wanted}")
    net = NetSpec.from_model(
        _core.Model.from_bytes(Path(nets.path_of(os.fspath(net_path))).read_bytes())
    )
    path.write_bytes(writer(net))
