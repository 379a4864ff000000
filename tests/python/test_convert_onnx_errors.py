from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import (
    GraphMaker,
    fire_with_expand3x3_first,
    random_batch,
    refused,
    with_functions,
)
from squishnative.convert import ConvertError, read


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
