"""ONNX files of SqueezeNet shape to a NetSpec.

Nodes are taken in order. A convolution waits under the name of the value that it makes;
BatchNormalization and Relu change it in place, and a Concat of two expands behind one squeeze turns
three of them into a Fire.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import numpy as np

from squishnative.convert import batch_norm
from squishnative.convert.errors import ConvertError
from squishnative.convert.naming import name_layers
from squishnative.convert.onnx_graph import Array, Graph, Node, load_graph
from squishnative.convert.onnx_window import auto_pad, stride_and_padding, widen
from squishnative.spec import (
    INPUT,
    Add,
    Conv,
    ConvSpec,
    Fire,
    FloatArray,
    GlobalAveragePool,
    InputSpec,
    Layer,
    MaxPool,
    NetSpec,
    Padding,
    Pair,
    Shape,
)

DEFAULT_SIZE = 224
_FLATTENING = ("Flatten", "Reshape", "Squeeze")


def read_onnx(path: Path, size: Optional[Pair] = None) -> tuple[NetSpec, dict[str, str], list[str]]:
    """The net, the file's metadata, and notes for people. size: over the graph's own."""
    graph = load_graph(path)
    builder = _Builder(graph, _input_shape(graph, size))
    for node in graph.nodes:
        builder.add(node)
    return builder.net(), graph.metadata, builder.notes


def _input_shape(graph: Graph, size: Optional[Pair]) -> Shape:
    if len(graph.input_shape) != 4:
        raise ConvertError(
            f"input {graph.input!r} has {len(graph.input_shape)} dimensions, wanted 4: (N, C, H, W)"
        )
    _, channels, height, width = graph.input_shape
    if size is not None:
        height, width = size
    return channels or 3, height or DEFAULT_SIZE, width or DEFAULT_SIZE


@dataclass
class _Step:
    """A layer under construction. sources: the values that it reads.

    order: the graph's channel k is the layer's channel order[k]; None where they are the same.
    """

    layer: Layer
    sources: list[str]
    shape: Shape
    order: Optional[tuple[int, ...]] = None


class _Builder:
    def __init__(self, graph: Graph, input_shape: Shape) -> None:
        self._graph = graph
        self._input_shape = input_shape
        self._uses = graph.uses()
        self._steps: dict[str, _Step] = {}  # by the value that the layer makes
        self._rank: dict[str, int] = {}  # of values that lost dimensions: (N, C, 1, 1) to (N, C)
        self.notes: list[str] = []
        self._handlers: dict[str, Callable[[Node], None]] = {
            "Add": self._add,
            "AveragePool": self._average_pool,
            "BatchNormalization": self._batch_norm,
            "Concat": self._concat,
            "Conv": self._conv,
            "Flatten": self._flatten,
            "GlobalAveragePool": self._global_average_pool,
            "MaxPool": self._max_pool,
            "ReduceMean": self._reduce_mean,
            "Relu": self._relu,
            "Reshape": self._flatten,
            "Softmax": self._softmax,
            "Squeeze": self._flatten,
        }

    def add(self, node: Node) -> None:
        handler = self._handlers.get(node.op)
        if handler is None:
            supported = ", ".join(
                [*self._handlers, "Constant", "ConstantOfShape", "Dropout", "Identity"]
            )
            raise ConvertError(
                f"{node}: no such layer in a .squish file; supported are {supported}"
            )
        wanted = 2 if node.op == "Add" else 1
        inputs = node.inputs[:wanted]
        try:
            if len(inputs) < wanted or "" in inputs:
                raise ConvertError(f"its inputs are {list(node.inputs)}, wanted {wanted}")
            handler(node)
        except ValueError as error:
            raise ConvertError(f"{node}: {error}") from None

    def net(self) -> NetSpec:
        if self._graph.output not in self._steps:
            raise ConvertError(f"output {self._graph.output!r} is made by no layer")
        if self._steps[self._graph.output].order is not None:
            raise ConvertError(
                f"output {self._graph.output!r} comes from a Fire with expand3x3 before expand1x1, "
                "wanted a convolution between them, to bring its channels in order"
            )
        number = {value: k for k, value in enumerate(self._steps)}
        number[self._graph.input] = INPUT
        for step in self._steps.values():
            sources = [number[value] for value in step.sources]
            if isinstance(step.layer, Add):
                step.layer.inputs = (sources[0], sources[1])
            else:
                step.layer.input = sources[0]
        layers = [step.layer for step in self._steps.values()]
        name_layers(layers)
        channels, height, width = self._input_shape
        return NetSpec(InputSpec(channels, height, width), layers)

    # Nodes that make a layer

    def _conv(self, node: Node) -> None:
        weight = self._weights(node, 1)
        if weight is None or weight.ndim != 4:
            raise ConvertError("wanted weights (O, I, H, W)")
        if node.integer("group", 1) != 1:
            raise ConvertError(f"group {node.integer('group', 1)}, wanted 1")
        bias = self._weights(node, 2)
        if bias is None:
            bias = np.zeros(weight.shape[0], np.float32)
        kernel = (weight.shape[2], weight.shape[3])
        stride, padding = self._window(node, kernel)
        order = self._order(node.inputs[0])
        if order is not None and weight.shape[1] == len(order):
            weight = weight[:, np.argsort(order)]
        weight, padding = widen(weight, padding)
        conv = ConvSpec(weight, bias, stride, padding, relu=False)
        self._append(node, Conv("", INPUT, conv), order=None)

    def _max_pool(self, node: Node) -> None:
        kernel = node.pair("kernel_shape")
        stride, padding = self._window(node, kernel)
        pool = MaxPool("", INPUT, kernel, stride, padding, bool(node.integer("ceil_mode", 0)))
        self._append(node, pool, order=self._order(node.inputs[0]))

    def _add(self, node: Node) -> None:
        a, b = (self._order(value) for value in node.inputs[:2])
        if a != b:
            raise ConvertError(
                "adds to a Fire with expand3x3 before expand1x1 what has its channels in another "
                "order: export the net with expand1x1 first"
            )
        self._append(node, Add("", (INPUT, INPUT)), inputs=2, order=a)

    def _global_average_pool(self, node: Node) -> None:
        self._append(node, GlobalAveragePool("", INPUT), order=self._order(node.inputs[0]))

    def _average_pool(self, node: Node) -> None:
        kernel = node.pair("kernel_shape")
        _, height, width = self._shape(node.inputs[0])
        _, padding = self._window(node, kernel)
        if kernel != (height, width) or any(padding):
            raise ConvertError(
                f"kernel {kernel} with padding {padding}, wanted the whole map: {(height, width)}"
            )
        self._global_average_pool(node)

    def _reduce_mean(self, node: Node) -> None:
        if self._axes(node, rank=4) != {2, 3}:
            raise ConvertError(f"over axes {self._axes(node, 4)}, wanted height and width: 2 and 3")
        self._global_average_pool(node)
        if not node.integer("keepdims", 1):
            self._rank[node.output] = 2

    def _concat(self, node: Node) -> None:
        """Turns squeeze, expand1x1 and expand3x3 into a Fire."""
        if len(node.inputs) == 1:
            self._rename(node)
            return
        expands = [self._steps[value] for value in node.inputs if value in self._steps]
        squeezes = {step.sources[0] for step in expands}
        axis = node.integer("axis", 1)  # opset 3 and older: 1 where it is left out
        if axis not in (1, -3) or len(node.inputs) != 2 or len(expands) != 2 or len(squeezes) != 1:
            raise ConvertError(
                "not a Fire: wanted axis 1 and two convolutions that read one squeeze, "
                f"got axis {axis} and {list(node.inputs)}"
            )
        squeeze_value = squeezes.pop()
        reads = [*node.inputs, squeeze_value, squeeze_value]
        for value in reads:
            if value not in self._steps or self._uses[value] != reads.count(value):
                raise ConvertError(f"not a Fire: {value!r} is read from outside it")
        squeeze = self._steps[squeeze_value]
        convs = [_fire_conv(step.layer) for step in (squeeze, *expands)]
        order = None
        if [conv.kernel for conv in convs[1:]] == [(3, 3), (1, 1)]:
            convs[1:] = [convs[2], convs[1]]
            one, three = (conv.out_channels for conv in convs[1:])
            order = (*range(one, one + three), *range(one))
        fire = Fire("", INPUT, *convs)
        shape = fire.output_shape(self._shape(squeeze.sources[0]))
        for value in set(reads):
            del self._steps[value]
        self._steps[node.output] = _Step(fire, squeeze.sources, shape, order)

    # Nodes that change the layer before them

    def _batch_norm(self, node: Node) -> None:
        step = self._step_before(node)
        if not isinstance(step.layer, Conv) or step.layer.conv.relu:
            raise ConvertError("wanted a Conv without Relu before it, to fold it into")
        if node.integer("training_mode", 0):
            raise ConvertError("training_mode 1, wanted 0: export the net for inference")
        parts = [self._weights(node, k) for k in range(1, 5)]
        if any(part is None for part in parts):
            raise ConvertError("wanted four constant parameters")
        gamma, beta, mean, var = (part for part in parts if part is not None)
        conv = step.layer.conv
        epsilon = node.number("epsilon", 1e-5)
        conv.weight, conv.bias = batch_norm.fold(
            conv.weight, conv.bias, gamma, beta, mean, var, epsilon
        )
        self._rename(node)

    def _relu(self, node: Node) -> None:
        step = self._step_before(node)
        if isinstance(step.layer, Conv):
            step.layer.conv.relu = True
        elif isinstance(step.layer, Add):
            step.layer.relu = True
        elif not isinstance(step.layer, Fire):  # its output is not negative: Relu changes nothing
            raise ConvertError(f"stands after {type(step.layer).__name__}, wanted a Conv or an Add")
        self._rename(node)

    def _flatten(self, node: Node) -> None:
        """(N, C, 1, 1) to (N, C): Flatten, Reshape or Squeeze behind the global pool."""
        channels, height, width = self._step_before(node).shape
        if (height, width) != (1, 1):
            raise ConvertError(
                f"flattens a map of {height} x {width}, wanted 1 x 1 behind a global pool"
            )
        rank = self._rank.get(node.inputs[0], 4)
        left = 2
        if node.op == "Squeeze":
            axes = self._axes(node, rank)
            if not axes or min(axes) < 2:
                raise ConvertError(f"axes {axes}, wanted some of height and width: 2 and 3")
            left = rank - len(axes)
        elif node.op == "Flatten" and node.integer("axis", 1) % rank != 1:
            raise ConvertError(f"axis {node.integer('axis', 1)}, wanted 1")
        elif node.op == "Reshape":
            self._check_reshape(node, channels)
        self._rename(node)
        self._rank[node.output] = left

    def _check_reshape(self, node: Node, channels: int) -> None:
        if "shape" in node.attributes:  # opset 4 and older
            shape = node.integers("shape")
        elif len(node.inputs) == 1:  # to a computed shape: the output's rank shows which
            if self._graph.output_rank != 2:
                raise ConvertError(f"the net's output has rank {self._graph.output_rank}, wanted 2")
            return
        else:
            shape = self._integers(node, 1)
        if len(shape) != 2 or shape[1] not in (channels, -1, 0):
            raise ConvertError(f"to {shape}, wanted (N, {channels})")

    def _softmax(self, node: Node) -> None:
        readers = [reader for reader in self._graph.nodes if node.output in reader.inputs]
        if any(reader.op not in _FLATTENING for reader in readers):
            raise ConvertError("wanted at the net's end only")
        rank = self._rank.get(node.inputs[0], 4)
        axis = node.integer("axis", 1 if self._graph.opset < 13 else -1)
        if axis % rank != 1:
            raise ConvertError(f"axis {axis} of {rank} dimensions, wanted the classes' axis 1")
        self._rename(node)
        self._rank[node.output] = rank
        self.notes.append("The Softmax at the end is dropped: a .squish net gives logits.")

    # What the handlers share

    def _append(
        self, node: Node, layer: Layer, order: Optional[tuple[int, ...]], inputs: int = 1
    ) -> None:
        sources = list(node.inputs[:inputs])
        shapes = [self._shape(value) for value in sources]
        self._steps[node.output] = _Step(layer, sources, layer.output_shape(*shapes), order)

    def _order(self, value: str) -> Optional[tuple[int, ...]]:
        return self._steps[value].order if value in self._steps else None

    def _rename(self, node: Node) -> None:
        """The layer that made the node's input now makes its output."""
        step = self._step_before(node)
        del self._steps[node.inputs[0]]
        self._steps[node.output] = step

    def _step_before(self, node: Node) -> _Step:
        """The layer before, which nothing but this node reads: so it can be changed in place."""
        value = node.inputs[0]
        step = self._steps.get(value)
        if step is None:
            raise ConvertError(f"its input {value!r} is not made by a layer")
        if self._uses[value] > 1:
            raise ConvertError(f"its input {value!r} is read elsewhere too, without the {node.op}")
        return step

    def _shape(self, value: str) -> Shape:
        if value == self._graph.input:
            return self._input_shape
        if value in self._steps and self._rank.get(value, 4) == 4:
            return self._steps[value].shape
        raise ConvertError(f"its input {value!r} is not a feature map that a layer before it makes")

    def _weights(self, node: Node, index: int) -> Optional[FloatArray]:
        """A constant input as float32, None where it is left out."""
        array = self._constant(node, index)
        if array is None:
            return None
        if not np.issubdtype(array.dtype, np.floating):
            raise ConvertError(f"input {node.inputs[index]!r} is {array.dtype}, wanted floats")
        return np.array(array, dtype=np.float32, order="C")

    def _integers(self, node: Node, index: int) -> list[int]:
        array = self._constant(node, index)
        return [] if array is None else [int(value) for value in array.ravel()]

    def _constant(self, node: Node, index: int) -> Optional[Array]:
        if index >= len(node.inputs) or not node.inputs[index]:
            return None
        name = node.inputs[index]
        if name not in self._graph.constants:
            raise ConvertError(f"input {index} {name!r} is computed, wanted a constant")
        return self._graph.constants[name]

    def _axes(self, node: Node, rank: int) -> set[int]:
        """From the attribute of older opsets or the input of newer ones."""
        axes = node.integers("axes", []) or self._integers(node, 1)
        return {axis % rank for axis in axes}

    def _window(self, node: Node, kernel: Pair) -> tuple[Pair, Padding]:
        stride, padding = stride_and_padding(node, kernel, self._shape(node.inputs[0]))
        if auto_pad(node).startswith("SAME") and stride != (1, 1):
            self.notes.append(f"{node}: its auto_pad holds for this input size; others may differ.")
        return stride, padding


def _fire_conv(layer: Layer) -> ConvSpec:
    if not isinstance(layer, Conv):
        raise ConvertError(f"not a Fire: {type(layer).__name__} in the place of a convolution")
    return layer.conv
