from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import onnx
import onnx_runtime
import pytest
import squishnative
import torch
from nets import SqueezeNet, TorchNet, random_net
from onnx import TensorProto, helper, numpy_helper
from squishnative import reference
from squishnative.convert import ConvertError, convert, read
from squishnative.spec import Add, Conv, Fire, FloatArray, GlobalAveragePool, MaxPool
from torch import nn


def random_batch(*shape: int) -> FloatArray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


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


Shape = Sequence[Union[int, str, None]]


class GraphMaker:
    """An ONNX graph by hand: the net's input is "x", its output the last node's."""

    def __init__(self, shape: Shape = ("N", 3, 16, 16), opset: int = 17) -> None:
        self.shape, self.opset = shape, opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.as_inputs = False  # list the initializers as inputs too, as old files do
        self._rng = np.random.default_rng(1)

    def constant(self, array: Any) -> str:
        name = f"constant{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        output = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], f"{op}_{output}", **attributes))
        return output

    def conv(
        self,
        source: str,
        outputs: int,
        inputs: int,
        kernel: int = 1,
        relu: bool = True,
        **attributes: Any,
    ) -> str:
        weight = self._rng.standard_normal((outputs, inputs, kernel, kernel), dtype=np.float32)
        bias = self._rng.standard_normal(outputs, dtype=np.float32)
        value = self.node("Conv", source, self.constant(weight), self.constant(bias), **attributes)
        return self.node("Relu", value) if relu else value

    def fire(self, source: str, inputs: int, squeeze: int, one: int, three: int) -> str:
        squeezed = self.conv(source, squeeze, inputs)
        left = self.conv(squeezed, one, squeeze)
        right = self.conv(squeezed, three, squeeze, 3, pads=[1, 1, 1, 1])
        return self.node("Concat", left, right, axis=1)

    def save(self, path: Path, output: Optional[str] = None) -> Path:
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)]
        if self.as_inputs:
            inputs += [
                helper.make_tensor_value_info(t.name, t.data_type, t.dims)
                for t in self.initializers
            ]
        output = output or self.nodes[-1].output[0]
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
        graph = helper.make_graph(self.nodes, "net", inputs, outputs, self.initializers)
        opset = [helper.make_opsetid("", self.opset)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
        return path


def assert_matches_onnxruntime(path: Path, batch: FloatArray) -> None:
    wanted = onnx_runtime.run(path, batch)
    logits, bound = reference.run(read(path).net, batch)
    assert abs(wanted).max() > 0
    assert (abs(wanted.reshape(logits.shape) - logits) <= bound).all()


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


def refused(g: GraphMaker, tmp_path: Path, message: str) -> None:
    with pytest.raises(ConvertError, match=message):
        read(g.save(tmp_path / "net.onnx"))


def test_names_an_unknown_node(tmp_path: Path) -> None:
    g = GraphMaker()
    g.node("GlobalAveragePool", g.node("LeakyRelu", g.conv("x", 4, 3)))
    refused(g, tmp_path, r"node 'LeakyRelu_value2' \(LeakyRelu\): no such layer.*supported are Add")


def test_names_the_domain_of_an_unknown_node(tmp_path: Path) -> None:
    g = GraphMaker()
    g.node("Conv", "x", g.constant(random_batch(4, 3, 1, 1)), domain="com.example")
    refused(g, tmp_path, r"\(com.example.Conv\): no such layer")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"group": 3}, "group 3, wanted 1"),
        ({"dilations": [2, 2]}, r"dilations \[2, 2\], wanted \[1, 1\]"),
        ({"auto_pad": "SAME"}, "auto_pad 'SAME'"),
    ],
)
def test_names_a_convolution_of_another_kind(
    tmp_path: Path, attributes: dict[str, Any], message: str
) -> None:
    g = GraphMaker()
    g.conv("x", 3, 3, **attributes)
    refused(g, tmp_path, rf"node 'Conv_value0' \(Conv\): {message}")


def test_names_a_convolution_of_other_channels(tmp_path: Path) -> None:
    g = GraphMaker()
    g.conv("x", 3, 5)
    refused(g, tmp_path, r"\(Conv\): weight wants 5 input channels, got 3")


def test_names_weights_that_are_computed(tmp_path: Path) -> None:
    g = GraphMaker()
    weight = g.node("Abs", g.constant(random_batch(4, 3, 1, 1)))
    g.node("Conv", "x", weight)
    refused(g, tmp_path, "Abs")


def test_names_a_concat_that_is_not_a_fire(tmp_path: Path) -> None:
    g = GraphMaker()
    g.node("Concat", g.conv("x", 4, 3), g.conv("x", 4, 3), axis=1)
    refused(g, tmp_path, r"\(Concat\): not a Fire")


def test_names_a_concat_over_pixels(tmp_path: Path) -> None:
    g = GraphMaker()
    x = g.conv("x", 4, 3)
    g.node("Concat", g.conv(x, 2, 4), g.conv(x, 2, 4), axis=2)
    refused(g, tmp_path, "wanted axis 1")


def fire_with_expand3x3_first(g: GraphMaker, source: str, inputs: int) -> str:
    squeezed = g.conv(source, 4, inputs)
    three = g.conv(squeezed, 5, 4, 3, pads=[1, 1, 1, 1])
    return g.node("Concat", three, g.conv(squeezed, 3, 4), axis=1)


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


def test_names_a_fire_with_expand3x3_first_that_nothing_brings_in_order(tmp_path: Path) -> None:
    g = GraphMaker()
    g.node("GlobalAveragePool", fire_with_expand3x3_first(g, "x", 3))
    refused(g, tmp_path, "comes from a Fire with expand3x3 before expand1x1")


def test_names_a_sum_of_channels_in_two_orders(tmp_path: Path) -> None:
    g = GraphMaker()
    x = g.conv("x", 8, 3)
    g.node("Add", x, fire_with_expand3x3_first(g, x, 8))
    refused(g, tmp_path, r"\(Add\): adds to a Fire with expand3x3 before expand1x1")


def test_names_a_fire_that_is_read_inside(tmp_path: Path) -> None:
    g = GraphMaker()
    x = g.conv("x", 4, 3)
    fire = g.node("Concat", g.conv(x, 2, 4), g.conv(x, 2, 4, 3, pads=[1, 1, 1, 1]), axis=1)
    g.node("Add", x, fire)
    refused(g, tmp_path, r"not a Fire: 'value1' is read from outside it")


def test_names_a_fire_without_relu(tmp_path: Path) -> None:
    g = GraphMaker()
    x = g.conv("x", 4, 3)
    three = g.conv(x, 2, 4, 3, relu=False, pads=[1, 1, 1, 1])
    g.node("Concat", g.conv(x, 2, 4), three, axis=1)
    refused(g, tmp_path, r"\(Concat\): expand3x3 must have")


def test_names_a_relu_whose_input_is_read_elsewhere(tmp_path: Path) -> None:
    g = GraphMaker()
    x = g.conv("x", 4, 3, relu=False)
    g.node("Add", x, g.node("Relu", x))
    refused(g, tmp_path, r"\(Relu\): its input 'value0' is read elsewhere too")


def test_names_a_relu_after_a_pool(tmp_path: Path) -> None:
    g = GraphMaker()
    g.node("Relu", g.node("MaxPool", "x", kernel_shape=[2, 2]))
    refused(g, tmp_path, r"\(Relu\): stands after MaxPool")


def test_names_an_average_over_a_part(tmp_path: Path) -> None:
    g = GraphMaker()
    g.node("AveragePool", g.conv("x", 4, 3), kernel_shape=[4, 4])
    refused(g, tmp_path, r"\(AveragePool\): kernel \(4, 4\).* wanted the whole map: \(16, 16\)")


def test_names_a_flatten_of_a_map(tmp_path: Path) -> None:
    g = GraphMaker()
    g.node("Flatten", g.conv("x", 4, 3))
    refused(g, tmp_path, r"\(Flatten\): flattens a map of 16 x 16")


def test_names_a_softmax_over_pixels(tmp_path: Path) -> None:
    g = GraphMaker()
    g.node("Softmax", g.node("GlobalAveragePool", g.conv("x", 4, 3)), axis=3)
    refused(g, tmp_path, r"\(Softmax\): axis 3 of 4 dimensions")


def test_names_a_softmax_inside(tmp_path: Path) -> None:
    g = GraphMaker()
    g.conv(g.node("Softmax", g.conv("x", 4, 3), axis=1), 2, 4)
    refused(g, tmp_path, r"\(Softmax\): wanted at the net's end only")


def test_names_a_mean_over_channels(tmp_path: Path) -> None:
    g = GraphMaker()
    g.node("ReduceMean", g.conv("x", 4, 3), axes=[1, 2])
    refused(g, tmp_path, r"\(ReduceMean\): over axes \{1, 2\}")


def test_names_an_input_that_is_not_images(tmp_path: Path) -> None:
    g = GraphMaker(("N", 3))
    g.node("Relu", "x")
    refused(g, tmp_path, "input 'x' has 2 dimensions, wanted 4")


HOSTILE: dict[str, tuple[str, tuple[str, ...], dict[str, Any], str]] = {
    "Identity without input": ("Identity", (), {}, r"\(Identity\): has no input"),
    "Relu without input": ("Relu", (), {}, r"\(Relu\): its inputs are \[\], wanted 1"),
    "Relu of nothing": ("Relu", ("",), {}, r"\(Relu\): its inputs are \[''\], wanted 1"),
    "Add of one": ("Add", ("x",), {}, r"\(Add\): its inputs are \['x'\], wanted 2"),
    "kernel of an integer": (
        "MaxPool",
        ("x",),
        {"kernel_shape": 3},
        r"\(MaxPool\): kernel_shape 3, wanted integers",
    ),
    "no kernel": ("MaxPool", ("x",), {}, r"\(MaxPool\): kernel_shape None, wanted integers"),
    "zero strides": (
        "MaxPool",
        ("x",),
        {"kernel_shape": [2, 2], "strides": [0, 1]},
        r"\(MaxPool\): strides \[0, 1\], wanted at least 1",
    ),
    "strides of text": (
        "MaxPool",
        ("x",),
        {"kernel_shape": [2, 2], "strides": "two"},
        r"\(MaxPool\): strides b'two', wanted integers",
    ),
    "auto_pad of integers": (
        "MaxPool",
        ("x",),
        {"kernel_shape": [2, 2], "auto_pad": [1, 2]},
        r"\(MaxPool\): auto_pad \[1, 2\], wanted text",
    ),
    "huge padding": (
        "MaxPool",
        ("x",),
        {"kernel_shape": [2, 2], "pads": [0, 0, 10**12, 0]},
        r"\(MaxPool\): pads \[0, 0, 1000000000000, 0\], wanted four from 0 to 255",
    ),
    "huge kernel": (
        "MaxPool",
        ("x",),
        {"kernel_shape": [2**40, 2], "pads": [255, 0, 255, 0]},
        r"\(MaxPool\): kernel must be from 1 to 255",
    ),
    "ceil_mode of text": (
        "MaxPool",
        ("x",),
        {"kernel_shape": [2, 2], "ceil_mode": "yes"},
        r"\(MaxPool\): ceil_mode b'yes', wanted an integer",
    ),
    "Constant without attribute": ("Constant", (), {}, r"\(Constant\): its attribute is ''"),
    "Constant of an integer": (
        "Constant",
        (),
        {"value": 3},
        r"\(Constant\): got int, wanted a tensor",
    ),
    "Reshape without shape": ("Reshape", ("x",), {}, r"\(Reshape\): its input 'x' is not made"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_names_a_node_that_is_not_as_onnx_has_it(tmp_path: Path, case: str) -> None:
    op, inputs, attributes, message = HOSTILE[case]
    g = GraphMaker()
    g.node(op, *inputs, **attributes)
    refused(g, tmp_path, message)


def conv_with(weight: TensorProto, tmp_path: Path) -> Path:
    g = GraphMaker()
    g.initializers.append(weight)
    g.node("GlobalAveragePool", g.node("Conv", "x", weight.name))
    return g.save(tmp_path / "net.onnx")


def test_names_weights_of_an_unknown_type(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(random_batch(4, 3, 1, 1), "w")
    weight.data_type = 99
    with pytest.raises(ConvertError, match=r"tensor 'w': .*99"):
        read(conv_with(weight, tmp_path))


def test_names_weights_of_another_length(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(random_batch(4, 3, 1, 1), "w")
    weight.raw_data = weight.raw_data[:-4]
    with pytest.raises(ConvertError, match="tensor 'w': "):
        read(conv_with(weight, tmp_path))


def test_refuses_padding_that_makes_gigabytes(tmp_path: Path) -> None:
    g = GraphMaker()
    g.conv(g.conv("x", 200, 3), 200, 200, pads=[250, 250, 250, 250])
    refused(g, tmp_path, r"padding \(250, 250, 250, 250\) is too wide for a kernel of \(1, 1\)")


def test_refuses_constants_of_gigabytes(tmp_path: Path) -> None:
    g = GraphMaker()
    weight = g.node("ConstantOfShape", g.constant(np.array([2**20, 3, 2**10, 2**10])))
    g.node("Conv", "x", weight)
    refused(g, tmp_path, r"\(ConstantOfShape\): makes \[1048576, 3, 1024, 1024\] of 1 values")


def test_names_a_batch_normalization_in_training(tmp_path: Path) -> None:
    g = GraphMaker()
    parts = [g.constant(np.ones(4, np.float32)) for _ in range(4)]
    g.node("BatchNormalization", g.conv("x", 4, 3, relu=False), *parts, training_mode=1)
    refused(g, tmp_path, r"\(BatchNormalization\): training_mode 1, wanted 0")


def with_functions(bodies: dict[str, str], path: Path) -> Path:
    """A net whose node calls "f0"; each function is a call of another one, or of Relu."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    g = GraphMaker()
    features = g.node("f0", g.conv("x", 4, 3, relu=False), domain="local")
    g.node("GlobalAveragePool", features)
    model = onnx.load(g.save(path))
    for name, called in bodies.items():
        domain = "local" if called in bodies else ""
        call = helper.make_node(called, ["a"], ["b"], domain=domain)
        model.functions.append(helper.make_function("local", name, ["a"], ["b"], [call], opsets))
    model.opset_import.append(opsets[1])
    onnx.save(model, path)
    return path


def test_functions_are_inlined(tmp_path: Path) -> None:
    chain = {f"f{k}": f"f{k + 1}" if k < 9 else "Relu" for k in range(10)}
    conv = read(with_functions(chain, tmp_path / "net.onnx")).net.layers[0]
    assert isinstance(conv, Conv)
    assert conv.conv.relu


@pytest.mark.parametrize(
    "bodies",
    [
        {"f0": "f0"},
        {"f0": "f1", "f1": "f2", "f2": "f1"},
        {f"f{k}": f"f{k + 1}" if k < 9999 else "Relu" for k in reversed(range(10_000))},
    ],
)
def test_refuses_functions_that_never_end(tmp_path: Path, bodies: dict[str, str]) -> None:
    with pytest.raises(ConvertError, match=r"function 'f.*' cannot be inlined: it calls itself"):
        read(with_functions(bodies, tmp_path / "net.onnx"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("squish.labels", "[" * 100_000),
        ("squish.labels", '{"a": 1}'),
        ("squish.input", '{"channels": Infinity}'),
        ("squish.input", '{"channels": 3, "height": 1e999}'),
        ("squish.input", "[]"),
        ("squish.input", "3"),
    ],
)
def test_names_metadata_that_is_damaged(tmp_path: Path, key: str, value: str) -> None:
    g = GraphMaker()
    g.node("GlobalAveragePool", g.conv("x", 4, 3))
    model = onnx.load(g.save(tmp_path / "net.onnx"))
    helper.set_model_props(model, {key: value})
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(ConvertError, match=f"metadata '{key}'"):
        read(tmp_path / "net.onnx")


def test_damage_is_a_convert_error(tmp_path: Path) -> None:
    """Whatever a library stumbles over; many of the files stay valid nets."""
    g = GraphMaker()
    g.node("GlobalAveragePool", g.conv(g.fire("x", 3, 2, 3, 4), 2, 7))
    path = g.save(tmp_path / "net.onnx")
    whole, rng, refusals = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(len(damaged), size=rng.integers(1, 6)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read(path)
        except ConvertError:
            refusals += 1
    assert 0 < refusals < 300
