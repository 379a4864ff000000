"""Nodes and weights of an ONNX graph as the exporter collects them, in floats or in integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import numpy.typing as npt

from squishnative.convert.naming import distinct
from squishnative.spec import (
    Activation,
    Add,
    Conv,
    ConvSpec,
    Fire,
    FloatArray,
    Layer,
    MaxPool,
    Padding,
)

if TYPE_CHECKING:
    import onnx

_LARGEST_BYTE = 255
_STEPS_OF_A_LONE_BIAS = 2**20  # enough for all bits of an f16


class Graph:
    """Collects nodes and weights. Methods return the name of the value that they make.

    Names of nodes must differ, and names of values, whatever the layers are called.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._nodes: set[str] = set()
        self._values = {"input", "logits"}

    def append(self, op: str, name: str, inputs: list[str], output: str, **attributes: Any) -> None:
        """A node whose output has this very name."""
        from onnx import helper

        node = _claim(name, self._nodes)
        self.nodes.append(helper.make_node(op, inputs, [output], node, **attributes))

    def _node(self, op: str, name: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """output: the name that its value has if no other value has it."""
        value = _claim(output, self._values)
        self.append(op, name, inputs, value, **attributes)
        return value

    def held(self, value: str, form: Optional[Activation]) -> str:
        """The value as its readers find it."""
        del form
        return value

    def layer(self, layer: Layer, inputs: list[str], form: Optional[Activation]) -> str:
        """The layer's nodes. form: how what it makes is held."""
        name = layer.name
        if isinstance(layer, Conv):
            return self._conv(name, layer.conv, inputs)
        if isinstance(layer, Fire):
            return self._fire(layer, inputs, form)
        if isinstance(layer, MaxPool):
            return self._node(
                "MaxPool",
                name,
                inputs,
                name,
                kernel_shape=layer.kernel,
                strides=layer.stride,
                pads=_pads(layer.padding),
                ceil_mode=int(layer.ceil_mode),
            )
        if isinstance(layer, Add):
            output = self._node("Add", name, inputs, f"{name}/sum" if layer.relu else name)
            return self._relu(name, output) if layer.relu else output
        return self._node("GlobalAveragePool", name, inputs, name)

    def _conv(self, name: str, conv: ConvSpec, inputs: list[str]) -> str:
        output = self._sums(name, conv, inputs, f"{name}/sum" if conv.relu else name)
        return self._relu(name, output) if conv.relu else output

    def _sums(self, name: str, conv: ConvSpec, inputs: list[str], output: str) -> str:
        """Before the ReLU."""
        weight = self._constant(f"{name}.weight", conv.weight)
        bias = self._constant(f"{name}.bias", conv.bias)
        return self._conv_node(name, conv, [*inputs, weight, bias], output)

    def _conv_node(self, name: str, conv: ConvSpec, inputs: list[str], output: str) -> str:
        return self._node(
            "Conv",
            name,
            inputs,
            output,
            kernel_shape=conv.kernel,
            strides=conv.stride,
            pads=_pads(conv.padding),
        )

    def _constant(self, name: str, array: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper

        key = _claim(name, self._values)
        self.initializers.append(numpy_helper.from_array(array, key))
        return key

    def _relu(self, name: str, value: str) -> str:
        return self._node("Relu", f"{name}/relu", [value], name)

    def _fire(self, fire: Fire, inputs: list[str], form: Optional[Activation]) -> str:
        (squeeze_name, squeeze), *expands = fire.named_convs()
        squeezed = self.held(self._conv(squeeze_name, squeeze, inputs), expands[0][1].activation)
        outputs = [self.held(self._conv(name, conv, [squeezed]), form) for name, conv in expands]
        return self._node("Concat", fire.name, outputs, fire.name, axis=1)


class IntegerGraph(Graph):
    """What is held in bytes is quantised and dequantised.

    scales: of the convolutions' weights, in the order in which their layers are given.
    """

    def __init__(self, scales: Sequence[FloatArray]) -> None:
        super().__init__()
        self._scales = iter(scales)

    def held(self, value: str, form: Optional[Activation]) -> str:
        """What bytes leave of the value."""
        if form is None:
            return value
        constants = [
            self._constant(f"{value}.scale", np.array(form.scale, np.float32)),
            self._constant(f"{value}.zero", np.array(form.zero, np.uint8)),
        ]
        bytes_name, held_name = f"{value}/bytes", f"{value}/held"
        in_bytes = self._node(
            "QuantizeLinear", f"{value}/quantise", [value, *constants], bytes_name
        )
        return self._node(
            "DequantizeLinear", f"{value}/dequantise", [in_bytes, *constants], held_name
        )

    def _sums(self, name: str, conv: ConvSpec, inputs: list[str], output: str) -> str:
        held = conv.activation
        assert held is not None
        scale = _usable_scales(conv, next(self._scales), held)
        values = np.rint(conv.weight / scale[:, None, None, None]).astype(np.int8)
        weight = self._dequantised(f"{name}.weight", values, scale)
        # Sums have steps of these: a bias of whole steps is added as an integer.
        step = scale.astype(np.float64) * held.scale
        bias = np.rint(conv.bias / step)
        largest = abs(bias) + _LARGEST_BYTE * abs(values.astype(np.int64)).sum((1, 2, 3))
        if largest.max(initial=0) <= np.iinfo(np.int32).max:
            integers = bias.astype(np.int32)
            steps = self._dequantised(f"{name}.bias", integers, step.astype(np.float32))
            return self._conv_node(name, conv, [*inputs, weight, steps], output)
        # It is taken from the sums, as runtimes would make an Add part of the convolution.
        sums = self._conv_node(name, conv, [*inputs, weight], f"{name}/products")
        negative = self._constant(f"{name}.negative_bias", -conv.bias[:, None, None])
        return self._node("Sub", f"{name}/bias", [sums, negative], output)

    def _dequantised(self, name: str, values: npt.NDArray[Any], scale: FloatArray) -> str:
        constants = [
            self._constant(f"{name}.values", values),
            self._constant(f"{name}.scale", scale),
            self._constant(f"{name}.zero", np.zeros(len(scale), values.dtype)),
        ]
        return self._node("DequantizeLinear", f"{name}/dequantise", constants, name, axis=0)


def _usable_scales(conv: ConvSpec, scale: FloatArray, held: Activation) -> FloatArray:
    """Filters of zeros have a scale of 0. It gets one of which their bias is a whole multiple."""
    for_bias = np.abs(conv.bias) / (held.scale * _STEPS_OF_A_LONE_BIAS)
    usable = np.where(scale > 0, scale, np.where(for_bias > 0, for_bias, 1))
    return usable.astype(np.float32)


def _claim(name: str, taken: set[str]) -> str:
    claimed = distinct(name, taken)
    taken.add(claimed)
    return claimed


def _pads(padding: Padding) -> list[int]:
    """ONNX's order is this library's: all begins, then all ends."""
    top, left, bottom, right = padding
    return [top, left, bottom, right]
