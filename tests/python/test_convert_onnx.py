from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from nets import SqueezeNet, TorchNet, random_net
from onnx import TensorProto, helper, numpy_helper
from squishnative import reference
from squishnative.convert import ConvertError, read
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
        # Softmax moves by at most twice the largest change of a logit, relative to itself.
        logits, bound = torch.softmax(torch.from_numpy(logits), 1).numpy(), 2 * bound + 1e-6
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
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {"x": batch})
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


def test_names_a_fire_with_expand3x3_first(tmp_path: Path) -> None:
    g = GraphMaker()
    x = g.conv("x", 4, 3)
    three = g.conv(x, 2, 4, 3, pads=[1, 1, 1, 1])
    g.node("Concat", three, g.conv(x, 2, 4), axis=1)
    refused(g, tmp_path, "expand3x3 comes before expand1x1")


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
