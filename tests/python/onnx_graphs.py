"""ONNX files by hand, for tests of the converter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import onnx
import onnx_runtime
import pytest
from onnx import TensorProto, helper, numpy_helper
from squishnative import reference
from squishnative.convert import ConvertError, read
from squishnative.spec import FloatArray

Shape = Sequence[Union[int, str, None]]


def random_batch(*shape: int) -> FloatArray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


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


def fire_with_expand3x3_first(g: GraphMaker, source: str, inputs: int) -> str:
    squeezed = g.conv(source, 4, inputs)
    three = g.conv(squeezed, 5, 4, 3, pads=[1, 1, 1, 1])
    return g.node("Concat", three, g.conv(squeezed, 3, 4), axis=1)


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


def refused(g: GraphMaker, tmp_path: Path, message: str) -> None:
    """Asserts that the converter refuses the graph with this message."""
    with pytest.raises(ConvertError, match=message):
        read(g.save(tmp_path / "net.onnx"))
