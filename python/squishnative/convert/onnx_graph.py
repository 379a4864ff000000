"""An ONNX file as a plain list of nodes.

Constants are collected; nodes that do nothing at inference are taken out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import numpy.typing as npt

from squishnative.convert.errors import ConvertError
from squishnative.spec import Pair

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]

_PASS_THROUGH = ("Identity", "Dropout")
# Of an array that is made out of nothing: a file of bytes must not ask for gigabytes.
_MOST_NESTED = 50  # functions that call functions
MOST_VALUES = 2**26


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

    def integer(self, attribute: str, default: int) -> int:
        """An attribute of one integer."""
        value = self.attributes.get(attribute, default)
        if not isinstance(value, int):
            raise ConvertError(f"{attribute} {value!r}, wanted an integer")
        return value

    def integers(self, attribute: str, default: Optional[list[int]] = None) -> list[int]:
        """An attribute of integers. Raises ConvertError where it is left out without a default."""
        value = self.attributes.get(attribute, default)
        if not isinstance(value, list) or not all(isinstance(i, int) for i in value):
            raise ConvertError(f"{attribute} {value!r}, wanted integers")
        return value

    def pair(self, attribute: str, default: Optional[Pair] = None) -> Pair:
        """An attribute of two integers: height and width."""
        values = self.integers(attribute, None if default is None else list(default))
        if len(values) != 2:
            raise ConvertError(f"{attribute} {values}, wanted two integers")
        return values[0], values[1]

    def text(self, attribute: str, default: str) -> str:
        """An attribute of text."""
        value = self.attributes.get(attribute, default.encode())
        if not isinstance(value, bytes):
            raise ConvertError(f"{attribute} {value!r}, wanted text")
        return value.decode(errors="backslashreplace")

    def number(self, attribute: str, default: float) -> float:
        """An attribute of one number."""
        value = self.attributes.get(attribute, default)
        if not isinstance(value, (int, float)):
            raise ConvertError(f"{attribute} {value!r}, wanted a number")
        return float(value)


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


def _check_functions(functions: Iterable[Any]) -> None:
    """Refuses functions that call themselves or are nested deeply.

    Inlining recurs, and in onnx 1.19, the last one for Python 3.9, it does so until the process
    dies.
    """
    calls = {
        (function.domain, function.name): {
            (node.domain, node.op_type) for node in _nodes_within(function.node)
        }
        for function in functions
    }
    depth: dict[tuple[str, str], int] = {}
    for _ in range(_MOST_NESTED + 1):  # each round settles what calls only what is settled
        for name, called in calls.items():
            known = [depth.get(other) for other in called if other in calls]
            if None not in known:
                depth[name] = 1 + max((d for d in known if d is not None), default=0)
    deep = [name for name in calls if depth.get(name, math.inf) > _MOST_NESTED]
    if not deep:
        return
    raise ConvertError(
        f"its function '{deep[0][1]}' cannot be inlined: it calls itself, or functions are nested "
        f"more than {_MOST_NESTED} deep"
    )


def _nodes_within(nodes: Iterable[Any]) -> Iterator[Any]:
    """Those of subgraphs too."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting.extend(graph.node)


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
        _check_functions(model.functions)
        try:
            model = inliner.inline_local_functions(model)
        except onnx.checker.ValidationError as error:
            raise ConvertError(f"its functions cannot be inlined ({error})") from error
    graph = _frame(model)
    alias: dict[str, str] = {}
    for proto in model.graph.node:
        node = _node(proto, alias)
        try:
            _add(graph, node, alias)
        except ConvertError as error:
            raise ConvertError(f"{node}: {error}") from None
    graph.output = alias.get(graph.output, graph.output)
    _drop_dead(graph)
    return graph


def _node(proto: onnx.NodeProto, alias: dict[str, str]) -> Node:
    from onnx import helper

    op = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
    inputs = tuple(alias.get(name, name) for name in proto.input)
    node = Node(op, proto.name, inputs, proto.output[0] if proto.output else "", {})
    for attribute in proto.attribute:
        try:
            node.attributes[attribute.name] = helper.get_attribute_value(attribute)
        except ValueError as error:
            raise ConvertError(f"{node}: {error}") from None
    return node


def _add(graph: Graph, node: Node, alias: dict[str, str]) -> None:
    """Appends the node, or keeps what it makes as a constant or as another name of its input."""
    if not node.output:
        raise ConvertError("has no output")
    if node.op == "Constant":
        graph.constants[node.output] = _constant(node.attributes)
    elif node.op == "ConstantOfShape" and node.inputs and node.inputs[0] in graph.constants:
        shape = graph.constants[node.inputs[0]]
        graph.constants[node.output] = _constant_of_shape(shape, node.attributes)
    elif node.op in _PASS_THROUGH:
        if not node.inputs:
            raise ConvertError("has no input")
        alias[node.output] = node.inputs[0]
    elif node.op == "Reshape" and len(node.inputs) > 1 and node.inputs[1] not in graph.constants:
        # x.view(x.size(0), -1): the nodes that compute the shape die with this input.
        graph.nodes.append(replace(node, inputs=node.inputs[:1]))
    else:
        graph.nodes.append(node)


def _frame(model: onnx.ModelProto) -> Graph:
    """The graph without its nodes."""
    constants = {t.name: _array(t) for t in model.graph.initializer}
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


def _array(tensor: Any) -> Array:
    from onnx import TensorProto, numpy_helper

    if not isinstance(tensor, TensorProto):
        raise ConvertError(f"got {type(tensor).__name__}, wanted a tensor")
    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:  # an unknown type, data of another length than its shape, ...
        raise ConvertError(f"tensor {tensor.name!r}: {type(error).__name__}: {error}") from error


def _constant(attributes: dict[str, Any]) -> Array:
    name, value = next(iter(attributes.items()), ("", None))
    if name == "value":
        return _array(value)
    if name in ("value_float", "value_floats", "value_int", "value_ints"):
        return np.asarray(value)
    raise ConvertError(f"its attribute is {name!r}, wanted a tensor or numbers")


def _constant_of_shape(shape: Array, attributes: dict[str, Any]) -> Array:
    value = _array(attributes["value"]) if "value" in attributes else np.zeros(1, np.float32)
    if not np.issubdtype(shape.dtype, np.integer):
        raise ConvertError(f"its shape is {shape.dtype}, wanted integers")
    extents = [int(extent) for extent in shape.ravel()]
    if value.size != 1 or min(extents, default=0) < 0 or math.prod(extents) > MOST_VALUES:
        raise ConvertError(
            f"makes {extents} of {value.size} values, wanted one value and "
            f"at most {MOST_VALUES} elements"
        )
    return np.full(extents, value.ravel()[0])


def _drop_dead(graph: Graph) -> None:
    """Takes out nodes that the output does not need."""
    needed = {graph.output}
    kept = []
    for node in reversed(graph.nodes):
        if node.output in needed:
            needed.update(node.inputs)
            kept.append(node)
    graph.nodes = kept[::-1]
