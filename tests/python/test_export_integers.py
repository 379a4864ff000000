"""The integer net as ONNX in ONNX Runtime, an engine that shares nothing with this one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_runtime
import onnxruntime
import pytest
import squishnative
from nets import random_net
from squishnative.convert import read
from squishnative.export import export
from squishnative.reference import integer_logits
from squishnative.spec import INPUT, Activation, Conv, ConvSpec, Fire, FloatArray, NetSpec

LARGEST = {"i8": 127, "i4": 7}


def on_a_grid(spec: NetSpec, dtype: str, seed: int) -> NetSpec:
    """The net with weights, biases and activations that are whole numbers of powers of two.

    Then no float rounds, and what is held in bytes is the same in any order of operations. Zeros
    are even: ONNX adds them after rounding ties to even, this library before.
    """
    rng = np.random.default_rng(seed)

    def some() -> Activation:
        return Activation(2.0 ** int(rng.integers(-7, -4)), 2 * int(rng.integers(0, 64)))

    sources = spec.activation_sources()
    held = {source: some() for source in [INPUT, *range(len(spec.layers))]}
    for layer in spec.layers:
        squeezed = some()
        for _, conv in layer.named_convs():
            expands = isinstance(layer, Fire) and conv is not layer.squeeze
            conv.activation = squeezed if expands else held[sources[layer.inputs[0]]]
            _round_to_grid(conv, LARGEST[dtype])
    return spec


def _round_to_grid(conv: ConvSpec, largest: int) -> None:
    """A filter's largest weight becomes that integer: the writer then has the step as its scale."""
    assert conv.activation is not None
    top = np.abs(conv.weight).max(initial=0) or 1
    step = 2.0 ** math.ceil(math.log2(float(top) / largest))
    whole = np.rint(conv.weight / step)
    for row in whole.reshape(len(whole), -1):
        if row.any():
            row[np.abs(row).argmax()] = largest
    conv.weight = (whole * step).astype(np.float32)
    sum_step = step * conv.activation.scale
    conv.bias = (np.rint(conv.bias / sum_step).clip(-1024, 1024) * sum_step).astype(np.float32)


def unoptimised(path: Path, batch: FloatArray) -> FloatArray:
    """What the file says, node by node."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    output: FloatArray
    (output,) = session.run(None, {"input": batch})
    return output


@pytest.mark.parametrize("seed", range(24))
def test_onnx_runtime_computes_the_same(tmp_path: Path, seed: int) -> None:
    dtype = "i8" if seed % 2 else "i4"
    spec, batch = random_net(seed)
    del spec.layers[-1]  # means are sums in another order
    batch = (np.rint(batch * 512) / 512).astype(np.float32)
    file = tmp_path / "net.squish"
    on_a_grid(spec, dtype, seed).save(file, dtype)
    export(file, file.with_suffix(".onnx"), integers=True)
    wanted = integer_logits(file, batch)
    made = unoptimised(file.with_suffix(".onnx"), batch)
    np.testing.assert_array_equal(made, wanted)


@pytest.mark.parametrize("seed", range(0, 24, 2))
def test_optimised_it_computes_the_same_in_integers(tmp_path: Path, seed: int) -> None:
    """Of int4 weights, whose products fit 16 bits on any CPU."""
    spec, batch = random_net(seed)
    del spec.layers[-1]
    batch = (np.rint(batch * 512) / 512).astype(np.float32)
    file = tmp_path / "net.squish"
    on_a_grid(spec, "i4", seed).save(file, "i4")
    export(file, file.with_suffix(".onnx"), integers=True)
    made = onnx_runtime.run(file.with_suffix(".onnx"), batch)
    np.testing.assert_array_equal(made, integer_logits(file, batch))


def one_filter_each(*filters: tuple[float, float], step: float = 2.0**-7) -> list[ConvSpec]:
    """A convolution whose filters have one weight everywhere, between two that copy."""
    held = Activation(2.0**-8, 0)
    weight = np.zeros((len(filters), 3, 5, 5), np.float32)
    weight[:] = np.array([w for w, _ in filters], np.float32)[:, None, None, None] * step
    bias = np.array([b for _, b in filters], np.float32)
    copies = [np.eye(k, dtype=np.float32)[:, :, None, None] for k in (3, len(filters))]
    first, last = (
        ConvSpec(copy, np.zeros(len(copy), np.float32), activation=held) for copy in copies
    )
    return [first, ConvSpec(weight, bias, padding=(2, 2, 2, 2), activation=held), last]


@pytest.mark.parametrize(
    ("filters", "step"),
    [
        ([(0, 0.5), (0, 0), (1, 0.25), (0, -1)], 2.0**-7),  # some of zeros
        ([(0, 0.5), (0, 0), (0, 1e-3)], 2.0**-7),  # all
        ([(127, 0.5), (0, 7.996)], 2.0**-20),
        ([(127, 7.996), (127, -7.996)], 2.0**-20),  # near the largest int32, which sums are beyond
        ([(127, 7.996), (100, -7.996)], 2.0**-20),  # beyond it
    ],
)
def test_strange_filters(tmp_path: Path, filters: list[tuple[float, float]], step: float) -> None:
    spec = NetSpec(
        random_net(0)[0].input,
        [Conv(f"c{k}", k - 1, conv) for k, conv in enumerate(one_filter_each(*filters, step=step))],
    )
    file = tmp_path / "net.squish"
    spec.save(file, "i8")
    export(file, file.with_suffix(".onnx"), integers=True)
    shape = (1, 3, spec.input.height, spec.input.width)
    batch = np.random.default_rng(0).uniform(0.5, 1, shape).astype(np.float32)
    wanted = integer_logits(file, batch)
    for run in (unoptimised, onnx_runtime.run):
        made = run(file.with_suffix(".onnx"), batch)
        np.testing.assert_allclose(made, wanted, rtol=0, atol=1.01 * 2.0**-8)  # a step


def test_names_that_two_convolutions_share(tmp_path: Path) -> None:
    """A Fire's squeeze and a convolution of that name."""
    rng = np.random.default_rng(0)
    held = Activation(2.0**-6, 0)

    def conv(o: int, i: int, kernel: int, size: float) -> ConvSpec:
        weight = size * rng.standard_normal((o, i, kernel, kernel), dtype=np.float32)
        pad = kernel // 2
        return ConvSpec(
            weight, np.zeros(o, np.float32), padding=(pad,) * 4, relu=True, activation=held
        )

    spec = NetSpec(
        random_net(0)[0].input,
        [
            Conv("f/squeeze", INPUT, conv(8, 3, 1, 0.1)),
            Fire("f", 0, conv(8, 8, 1, 1.0), conv(8, 8, 1, 0.5), conv(8, 8, 3, 0.1)),
        ],
    )
    file = tmp_path / "net.squish"
    spec.save(file, "i8")
    export(file, file.with_suffix(".onnx"), integers=True)
    shape = (1, 3, spec.input.height, spec.input.width)
    batch = rng.standard_normal(shape, dtype=np.float32)
    ours = squishnative.load(file, storage="i8").infer(batch)
    made = unoptimised(file.with_suffix(".onnx"), batch)
    assert abs(made - ours).max() < 0.02 * abs(ours).max()


@pytest.mark.parametrize("name", ["imagenette-s", "imagenette-l"])
def test_the_packages_nets_in_integers_of_onnx_runtime(tmp_path: Path, name: str) -> None:
    """Nearer to ours than the net of floats: some bytes differ by one, and what comes of them."""
    path = tmp_path / "net.onnx"
    export(name, path, integers=True)
    pixels = np.random.default_rng(0).standard_normal((8, 3, 20, 20), dtype=np.float32)
    batch = pixels.repeat(8, axis=2).repeat(8, axis=3)
    ours = squishnative.load(name, storage="i8").infer(batch)
    floats = squishnative.load(name, storage="f32").infer(batch)
    theirs = onnx_runtime.run(path, batch)
    assert abs(theirs - ours).mean() < 0.6 * abs(floats - ours).mean()


def integer_net(path: Path, **changes: Any) -> Path:
    spec, _ = random_net(5)
    spec = on_a_grid(spec, "i8", 5)
    for layer in spec.layers:
        for _, conv in layer.named_convs():
            for field, value in changes.items():
                setattr(conv, field, value)
    spec.save(path, "i8")
    return path


def test_what_the_file_holds(tmp_path: Path) -> None:
    file = integer_net(tmp_path / "net.squish")
    export(file, file.with_suffix(".onnx"), integers=True)
    graph = onnx.load(file.with_suffix(".onnx")).graph
    held = {constant.name: constant.data_type for constant in graph.initializer}
    weights = {name: kind for name, kind in held.items() if name.endswith(".weight.values")}
    biases = {name: kind for name, kind in held.items() if name.endswith(".bias.values")}
    convs = sum(node.op_type == "Conv" for node in graph.node)
    assert len(weights) == len(biases) == convs > 0
    assert set(weights.values()) == {onnx.TensorProto.INT8}
    assert set(biases.values()) == {onnx.TensorProto.INT32}


def test_biases_beyond_int32_are_added_in_floats(tmp_path: Path) -> None:
    weight = np.full((4, 3, 1, 1), 2.0**-24, np.float32)
    conv = ConvSpec(weight, np.full(4, 1000, np.float32), activation=Activation(2.0**-20, 0))
    spec = NetSpec(random_net(0)[0].input, [Conv("conv", INPUT, conv)])
    spec.save(tmp_path / "net.squish", "i8")
    export(tmp_path / "net.squish", tmp_path / "net.onnx", integers=True)
    shape = (1, 3, spec.input.height, spec.input.width)
    made = unoptimised(tmp_path / "net.onnx", np.zeros(shape, np.float32))
    np.testing.assert_array_equal(made, np.full_like(made, 1000))


def test_says_why_not(tmp_path: Path) -> None:
    file = integer_net(tmp_path / "net.squish", activation=None)
    with pytest.raises(ValueError, match=r"net\.squish: not made for integer arithmetic: layer 0"):
        export(file, tmp_path / "net.onnx", integers=True)
    assert not (tmp_path / "net.onnx").exists()
    with pytest.raises(ValueError, match=r"net\.safetensors: integers go into \.onnx only"):
        export(file, tmp_path / "net.safetensors", integers=True)


def test_convert_refuses_it_by_the_name_of_a_node(tmp_path: Path) -> None:
    file = integer_net(tmp_path / "net.squish")
    export(file, file.with_suffix(".onnx"), integers=True)
    with pytest.raises(ValueError, match="QuantizeLinear"):
        read(file.with_suffix(".onnx"))
