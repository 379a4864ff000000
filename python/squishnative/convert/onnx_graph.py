"""An ONNX file as a plain list of nodes.

Constants are collected; nodes that do nothing at inference are taken out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import numpy.typing as npt

from squishnative.convert.errors import ConvertError

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]

_PASS_THROUGH = ("Identity", "Dropout")


@dataclass(frozen=True)
class Node:
    """One operation. inputs and outputs name values; "" is an optional input that is not there."""

    op: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]

    def __str__(self) -> str:
        return f"node {self.name or self.output!r} ({self.op})"


@dataclass
class Graph:
    """nodes stand in an order in which each value is made before it is used."""

    input: str
    input_shape: tuple[Optional[int], ...]  # None: dynamic
    output: str
    output_rank: int
    opset: int
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    def uses(self) -> Counter[str]:
        """How often each value is read; the graph's output counts."""
        counts = Counter(name for node in self.nodes for name in node.inputs)
        counts[self.output] += 1
        return counts


def load_graph(path: Path) -> Graph:
    """Raises ConvertError on a file that is not ONNX or has not one input and one output."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
        from onnx import inliner
    except ImportError as error:
        raise ConvertError("reading .onnx needs the package onnx: squishnative[convert]") from error
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise ConvertError(f"not an ONNX file ({error})") from error
    except onnx.checker.ValidationError as error:
        raise ConvertError(f"its external data cannot be read ({error})") from error
    if model.functions:
        model = inliner.inline_local_functions(model)
    graph = _frame(model)
    alias: dict[str, str] = {}
    for proto in model.graph.node:
        inputs = tuple(alias.get(name, name) for name in proto.input)
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        if proto.domain not in ("", "ai.onnx"):
            op = f"{proto.domain}.{proto.op_type}"
        else:
            op = proto.op_type
        if op == "Constant":
            graph.constants[proto.output[0]] = _constant(attributes)
        elif op in _PASS_THROUGH:
            alias[proto.output[0]] = inputs[0]
        elif op == "Reshape" and inputs[1] not in graph.constants:
            # x.view(x.size(0), -1): the nodes that compute the shape die with this input.
            graph.nodes.append(Node(op, proto.name, inputs[:1], proto.output[0], attributes))
        else:
            graph.nodes.append(Node(op, proto.name, inputs, proto.output[0], attributes))
    graph.output = alias.get(graph.output, graph.output)
    _drop_dead(graph)
    return graph


def _frame(model: onnx.ModelProto) -> Graph:
    """The graph without its nodes."""
    from onnx import numpy_helper

    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    # Before IR version 4 the initializers were inputs as well.
    inputs = [value for value in model.graph.input if value.name not in constants]
    for what, values in (("input", inputs), ("output", list(model.graph.output))):
        if len(values) != 1:
            names = [value.name for value in values]
            raise ConvertError(f"the graph has {len(values)} {what}s {names}, wanted one")
    dims = inputs[0].type.tensor_type.shape.dim
    opsets = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return Graph(
        input=inputs[0].name,
        input_shape=tuple(d.dim_value if d.dim_value > 0 else None for d in dims),
        output=model.graph.output[0].name,
        output_rank=len(model.graph.output[0].type.tensor_type.shape.dim),
        opset=max(opsets, default=1),
        constants=constants,
        metadata={entry.key: entry.value for entry in model.metadata_props},
    )


def _constant(attributes: dict[str, Any]) -> Array:
    from onnx import numpy_helper

    (name, value), *_ = attributes.items()
    if name == "value":
        return numpy_helper.to_array(value)
    if name in ("value_float", "value_floats", "value_int", "value_ints"):
        return np.asarray(value)
    raise ConvertError(f"a Constant with the attribute {name!r}, wanted a tensor or numbers")


def _drop_dead(graph: Graph) -> None:
    """Takes out nodes that the output does not need."""
    needed = {graph.output}
    kept = []
    for node in reversed(graph.nodes):
        if node.output in needed:
            needed.update(node.inputs)
            kept.append(node)
    graph.nodes = kept[::-1]
