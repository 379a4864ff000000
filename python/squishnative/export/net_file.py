"""The exporter's front: picks a writer by the output's suffix."""

from __future__ import annotations

from pathlib import Path

from squishnative import _core, nets
from squishnative.export.onnx_file import to_integer_onnx, to_onnx
from squishnative.export.safetensors_file import to_safetensors
from squishnative.spec import FloatArray, NetSpec, PathLike

_WRITERS = {".onnx": to_onnx, ".safetensors": to_safetensors}


def export(net_path: PathLike, output: PathLike, *, integers: bool = False) -> None:
    """Writes the net of a `.squish` file as `.onnx` or `.safetensors`, by `output`'s suffix.

    Weights are float32: f16 and integers are widened, absent ones are 0. It is the net of floats:
    the activations of a net made for integer arithmetic (`ConvSpec.activation`) are left out.
    Labels and preprocessing go along as metadata, which `squishnative.convert` reads back.

    integers: the net of integers instead, `.onnx` only: int8 weights and uint8 activations between
    pairs of QuantizeLinear and DequantizeLinear. What another engine makes of it differs from this
    one's by how it rounds: some bytes by one; but on x86 without VNNI such engines add products of
    int8 weights in 16 bits, which saturate (those of int4 weights fit). `squishnative.convert` does
    not read it back.

    Raises ValueError on another suffix, a missing package, or a file that is not made for integers
    where these are wanted, FormatError on a bad `.squish` file, OSError where a file cannot be read
    or written.
    """
    path = Path(output)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        wanted = " or ".join(_WRITERS)
        raise ValueError(f"{path}: suffix {path.suffix!r}, wanted {wanted}")
    if integers and writer is not to_onnx:
        raise ValueError(f"{path}: integers go into .onnx only, got suffix {path.suffix!r}")
    source = Path(nets.path_of(net_path))
    model = _core.Model.from_bytes(source.read_bytes())
    if not integers:
        path.write_bytes(writer(NetSpec.from_model(model)))
        return
    if model.why_not_in_integers:
        raise ValueError(f"{source}: not made for integer arithmetic: {model.why_not_in_integers}")
    path.write_bytes(to_integer_onnx(NetSpec.from_model(model), _scales(model)))


def _scales(model: _core.Model) -> list[FloatArray]:
    """Of each convolution's weights, which are integers."""
    scales: list[FloatArray] = []
    for layer in model.layers:
        for conv in layer.convs:
            if conv.out_channels:  # an expand that is there
                scale = conv.scale()
                assert scale is not None
                scales.append(scale)
    return scales
