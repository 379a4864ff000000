from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_runtime
import pytest
import squishnative
import torch
from nets import SqueezeNet, TorchNet, random_net
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import (
    GraphMaker,
    assert_matches_onnxruntime,
    fire_with_expand3x3_first,
    random_batch,
    refused,
    with_functions,
)
from squishnative import reference
from squishnative.convert import convert, read
from squishnative.spec import Add, Conv, Fire, FloatArray, GlobalAveragePool, MaxPool
from torch import nn


def export(module: nn.Module, batch: FloatArray, path: Path, dynamo: bool, **options: Any) -> None:
    """By torch's new exporter or the old one, both of which talk a lot."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = (torch.from_numpy(batch),)
        torch.onnx.export(module.eval(), inputs, path, dynamo=dynamo, verbose=False, **options)


class Head(nn.Module):
    """SqueezeNet's features under the heads that people write."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.net = SqueezeNet("1.1", 7, 21, ((4, 5, 6),) * 8)
        self.kind = kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.net.classifier[:3](self.net.features(x))
        if self.kind == "mean":
            return x.mean((2, 3))
        if self.kind == "mean, squeeze":
            return x.mean((2, 3), keepdim=True).squeeze(3).squeeze(2)
        if self.kind == "average pool, view":
            return nn.functional.avg_pool2d(x, (6, 6)).view(x.size(0), -1)
        return torch.softmax(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1), 1)


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_exports_of_random_nets(tmp_path: Path, seed: int, dynamo: bool) -> None:
    net, batch = random_net(seed)
    module = TorchNet(net)
    export(module, batch, tmp_path / "net.onnx", dynamo)
    converted = read(tmp_path / "net.onnx").net
    assert converted.input.height == net.input.height
    logits, bound = reference.run(converted, batch)
    with torch.no_grad():
        assert (abs(module(torch.from_numpy(batch)).numpy() - logits) <= bound).all()


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_exports_of_squeezenet_have_its_fires(tmp_path: Path, version: str, dynamo: bool) -> None:
    torch.manual_seed(0)
    module = SqueezeNet(version, 3, 21, ((4, 5, 6),) * 8)
    export(module, random_batch(1, 3, 97, 97), tmp_path / "net.onnx", dynamo)
    names = [layer.name for layer in read(tmp_path / "net.onnx").net.layers]
    assert [name for name in names if name.startswith("fire")] == [f"fire{k}" for k in range(2, 10)]
    assert names[0] == "conv1"
    assert names[-2:] == ["conv10", "pool10"]


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("kind", ["mean", "mean, squeeze", "average pool, view", "softmax"])
def test_exports_with_other_heads(tmp_path: Path, kind: str, dynamo: bool) -> None:
    torch.manual_seed(0)
    module = Head(kind)
    batch = random_batch(2, 3, 97, 97)
    if dynamo:
        options: dict[str, Any] = {"dynamic_shapes": ({0: "N"},)}
    else:
        options = {"input_names": ["x"], "dynamic_axes": {"x": {0: "N"}}}
    export(module, batch, tmp_path / "net.onnx", dynamo, **options)
    conversion = read(tmp_path / "net.onnx")
    logits, bound = reference.run(conversion.net, batch)
    with torch.no_grad():
        wanted = module(torch.from_numpy(batch)).numpy()
    if kind == "softmax":
        assert "Softmax" in conversion.notes[0]
        # A change d of logits changes a probability by at most a factor exp(2 d); Softmax itself
        # rounds an exponential, a sum of the classes and a quotient.
        rounding = (logits.shape[1] + 4) * np.finfo(np.float32).eps
        logits = torch.softmax(torch.from_numpy(logits), 1).numpy()
        bound = logits * (np.expm1(2 * bound.max(axis=1, keepdims=True)) + rounding)
    assert (abs(wanted - logits) <= bound).all()


def test_layers_of_a_graph_by_hand(tmp_path: Path) -> None:
    g = GraphMaker()
    x = g.node("MaxPool", g.conv("x", 8, 3, 3, strides=[2, 2]), kernel_shape=[3, 3], strides=[2, 2])
    fire = g.fire(g.node("Dropout", x), 8, 2, 3, 5)
    g.node("GlobalAveragePool", g.node("Relu", g.node("Add", x, fire)))
    path = g.save(tmp_path / "net.onnx")
    assert [type(layer) for layer in read(path).net.layers] == [
        Conv,
        MaxPool,
        Fire,
        Add,
        GlobalAveragePool,
    ]
    assert_matches_onnxruntime(path, random_batch(2, 3, 16, 16))


def test_the_model_zoos_form(tmp_path: Path) -> None:
    """Opset 7 as converted from Caffe: weights among the inputs, ceil pools by padding, softmax."""
    g = GraphMaker((1, 3, 16, 16), opset=7)
    g.as_inputs = True
    x = g.conv("x", 8, 3, 3, strides=[2, 2], pads=[0, 0, 0, 0])
    x = g.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])
    x = g.fire(x, 8, 2, 3, 5)
    x = g.node("AveragePool", g.conv(x, 4, 8), kernel_shape=[3, 3], pads=[0, 0, 0, 0])
    conversion = read(g.save(tmp_path / "net.onnx", x))
    assert_matches_onnxruntime(tmp_path / "net.onnx", random_batch(1, 3, 16, 16))
    g.node("Softmax", x)
    conversion = read(g.save(tmp_path / "softmax.onnx"))
    assert conversion.net.output_shape == (4, 1, 1)
    assert "Softmax" in conversion.notes[0]


@pytest.mark.parametrize("mode", ["VALID", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("size", [15, 16])
def test_auto_pad(tmp_path: Path, mode: str, size: int) -> None:
    g = GraphMaker((1, 3, size, size))
    x = g.conv("x", 4, 3, 3, strides=[2, 2], auto_pad=mode)
    x = g.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], auto_pad=mode)
    g.node("GlobalAveragePool", g.conv(x, 4, 4, 2, auto_pad=mode))
    path = g.save(tmp_path / "net.onnx")
    assert_matches_onnxruntime(path, random_batch(1, 3, size, size))
    assert any("auto_pad" in note for note in read(path).notes) == mode.startswith("SAME")


def test_batch_normalization_is_folded(tmp_path: Path) -> None:
    g = GraphMaker()
    x = g.conv("x", 4, 3, 3, relu=False)
    parts = [
        np.array([0.5, -1, 2, 1], np.float32),
        np.array([1, 0, -1, 2], np.float32),
        np.array([0, 1, 2, -3], np.float32),
    ]
    parts.append(np.array([1, 0.5, 2, 3], np.float32))
    x = g.node("BatchNormalization", x, *map(g.constant, parts), epsilon=1e-3)
    g.node("GlobalAveragePool", g.node("Relu", x))
    path = g.save(tmp_path / "net.onnx")
    net = read(path).net
    assert [type(layer) for layer in net.layers] == [Conv, GlobalAveragePool]
    batch = random_batch(2, 3, 16, 16)
    weight, bias = (numpy_helper.to_array(t).astype(np.float64) for t in g.initializers[:2])
    gamma, beta, mean, var = (part.reshape(-1, 1, 1).astype(np.float64) for part in parts)
    x64 = torch.nn.functional.conv2d(
        torch.from_numpy(batch).double(), torch.from_numpy(weight), torch.from_numpy(bias)
    ).numpy()
    wanted = np.maximum(gamma * (x64 - mean) / np.sqrt(var + 1e-3) + beta, 0).mean(axis=(2, 3))
    logits, bound = reference.run(net, batch)
    assert (abs(wanted - logits) <= bound).all()


def test_constants_as_nodes_and_raw_data(tmp_path: Path) -> None:
    g = GraphMaker()
    weight = random_batch(4, 3, 1, 1)
    as_floats = helper.make_tensor("w", TensorProto.FLOAT, weight.shape, weight.ravel().tolist())
    bias = numpy_helper.from_array(np.zeros(4, np.float32))
    x = g.node("Conv", "x", g.node("Constant", value=as_floats), g.node("Constant", value=bias))
    g.node("GlobalAveragePool", x)
    assert_matches_onnxruntime(g.save(tmp_path / "net.onnx"), random_batch(1, 3, 16, 16))


def test_size_of_a_dynamic_graph(tmp_path: Path) -> None:
    g = GraphMaker(("N", 3, "H", "W"))
    g.node("GlobalAveragePool", g.conv("x", 4, 3))
    path = g.save(tmp_path / "net.onnx")
    assert read(path).net.input.height == 224
    assert read(path, size=(32, 48)).net.input.width == 48


@pytest.mark.parametrize(
    ("kernel", "pads"), [(1, [1, 1, 1, 1]), (1, [2, 0, 0, 1]), (3, [1, 4, 0, 3]), (2, [0, 2, 3, 0])]
)
def test_padding_beyond_the_kernel(tmp_path: Path, kernel: int, pads: list[int]) -> None:
    """SqueezeNet 1.0 as its authors published it has a 1x1 convolution with padding 1."""
    g = GraphMaker()
    x = g.conv("x", 8, 3, 3, strides=[2, 2])
    g.node("GlobalAveragePool", g.conv(x, 4, 8, kernel, pads=pads, strides=[1, 2]))
    path = g.save(tmp_path / "net.onnx")
    batch = random_batch(2, 3, 16, 16)
    assert_matches_onnxruntime(path, batch)
    convert(path, tmp_path / "net.squish", mean=(0, 0, 0), std=(1, 1, 1))
    logits, bound = reference.run(tmp_path / "net.squish", batch)
    with squishnative.load(tmp_path / "net.squish") as net:
        assert (abs(net.infer(batch) - logits) <= bound).all()


@pytest.mark.parametrize("axis", [1, -3])
def test_concat_counts_its_axis_from_either_end(tmp_path: Path, axis: int) -> None:
    g = GraphMaker()
    x = g.conv("x", 4, 3)
    fire = g.node("Concat", g.conv(x, 2, 4), g.conv(x, 3, 4, 3, pads=[1, 1, 1, 1]), axis=axis)
    g.node("GlobalAveragePool", fire)
    assert_matches_onnxruntime(g.save(tmp_path / "net.onnx"), random_batch(1, 3, 16, 16))


def test_the_model_zoos_squeezenet(tmp_path: Path) -> None:
    """The one that the package onnx carries: its weights are ConstantOfShape."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    model = onnx.load(folder / "light_squeezenet.onnx")
    softmax = model.graph.node[-1]
    assert softmax.op_type == "Softmax"
    model.graph.output[0].name = softmax.input[0]  # the logits: all 1000 classes are equally likely
    model.graph.node.pop()
    onnx.save(model, tmp_path / "net.onnx")
    batch = abs(random_batch(1, 3, 224, 224))
    wanted = onnx_runtime.run(tmp_path / "net.onnx", batch)
    for path in (folder / "light_squeezenet.onnx", tmp_path / "net.onnx"):
        net = read(path).net
        assert [type(layer) for layer in net.layers].count(Fire) == 8
        logits, bound = reference.run(net, batch)
        assert abs(logits).max() > 0
        assert (abs(wanted.reshape(logits.shape) - logits) <= bound).all()


def test_reshape_of_old_opsets(tmp_path: Path) -> None:
    """Until opset 4 the shape was an attribute."""
    g = GraphMaker((1, 3, 16, 16), opset=1)
    g.node("Reshape", g.node("GlobalAveragePool", g.conv("x", 4, 3)), shape=[1, 4])
    assert read(g.save(tmp_path / "net.onnx")).net.output_shape == (4, 1, 1)
    g.node("Reshape", g.nodes[-1].input[0], shape=[1, 2, 2])
    refused(g, tmp_path, r"\(Reshape\): to \[1, 2, 2\], wanted \(N, 4\)")


def test_a_fire_with_expand3x3_first_is_brought_in_order(tmp_path: Path) -> None:
    """Through pools, sums and the next Fire; the convolution that reads it makes up for it."""
    g = GraphMaker()
    x = fire_with_expand3x3_first(g, "x", 3)
    x = g.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = g.node("Add", x, fire_with_expand3x3_first(g, x, 8))
    g.node("GlobalAveragePool", g.conv(x, 6, 8))
    path = g.save(tmp_path / "net.onnx")
    assert [type(layer) for layer in read(path).net.layers][:2] == [Fire, MaxPool]
    assert_matches_onnxruntime(path, random_batch(2, 3, 16, 16))


def test_functions_are_inlined(tmp_path: Path) -> None:
    chain = {f"f{k}": f"f{k + 1}" if k < 9 else "Relu" for k in range(10)}
    conv = read(with_functions(chain, tmp_path / "net.onnx")).net.layers[0]
    assert isinstance(conv, Conv)
    assert conv.conv.relu
