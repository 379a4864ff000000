"""A net as an ONNX file that any runtime takes: float32, opset 17, dynamic batch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from squishnative.convert.metadata import to_metadata
from squishnative.convert.naming import distinct
from squishnative.spec import (
    INPUT,
    Add,
    Conv,
    ConvSpec,
    Fire,
    Layer,
    MaxPool,
    NetSpec,
    Padding,
    Shape,
)

if TYPE_CHECKING:
    import onnx

OPSET = 17
_IR_VERSION = 8  # the one of opset 17: newer ones lock older runtimes out


def to_onnx(net: NetSpec) -> bytes:
    """The file's bytes.

    Input "input": (N, C, H, W) float32, normalised, at the net's own size. Output "logits":
    (N, classes), or (N, C, H, W) where the last map is not 1 x 1.
    """
    try:
        import onnx
        from onnx import helper
    except ImportError as error:
        raise ValueError("writing .onnx needs the package onnx: squishnative[convert]") from error
    net.validate()
    graph = _Graph()
    values: list[str] = []
    for layer in _portable_layers(net):
        inputs = ["input" if source == INPUT else values[source] for source in layer.inputs]
        values.append(graph.layer(layer, inputs))
    output_shape: tuple[int, ...] = net.output_shape
    if output_shape[1:] == (1, 1):
        graph.append("Flatten", "flatten", [values[-1]], "logits", axis=1)
        output_shape = output_shape[:1]
    else:
        graph.append("Identity", "output", [values[-1]], "logits")
    image = ("N", net.input.channels, net.input.height, net.input.width)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "squishnative",
            [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, image)],
            [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ("N", *output_shape))],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="squishnative",
    )
    helper.set_model_props(model, to_metadata(net))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


class _Graph:
    """Collects nodes and weights. Methods named after a layer return the name of what it makes.

    Names of nodes must differ, and names of values, whatever the layers are called.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._nodes: set[str] = set()
        self._values = {"input", "logits"}

    def append(self, op: str, name: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        node = _claim(name, self._nodes)
        self.nodes.append(helper.make_node(op, inputs, [output], node, **attributes))

    def node(self, op: str, name: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """output: the name that its value has if no other value has it."""
        value = _claim(output, self._values)
        self.append(op, name, inputs, value, **attributes)
        return value

    def layer(self, layer: Layer, inputs: list[str]) -> str:
        name = layer.name
        if isinstance(layer, Conv):
            return self.conv(name, layer.conv, inputs)
        if isinstance(layer, Fire):
            return self.fire(layer, inputs)
        if isinstance(layer, MaxPool):
            return self.node(
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
            output = self.node("Add", name, inputs, f"{name}/sum" if layer.relu else name)
            return self.relu(name, output) if layer.relu else output
        return self.node("GlobalAveragePool", name, inputs, name)

    def conv(self, name: str, conv: ConvSpec, inputs: list[str]) -> str:
        from onnx import numpy_helper

        weights = [_claim(f"{name}.{part}", self._values) for part in ("weight", "bias")]
        for key, array in zip(weights, (conv.weight, conv.bias)):
            self.initializers.append(numpy_helper.from_array(array, key))
        output = self.node(
            "Conv",
            name,
            [*inputs, *weights],
            f"{name}/sum" if conv.relu else name,
            kernel_shape=conv.kernel,
            strides=conv.stride,
            pads=_pads(conv.padding),
        )
        return self.relu(name, output) if conv.relu else output

    def relu(self, name: str, value: str) -> str:
        return self.node("Relu", f"{name}/relu", [value], name)

    def fire(self, fire: Fire, inputs: list[str]) -> str:
        (squeeze_name, squeeze), *expands = fire.named_convs()
        squeezed = self.conv(squeeze_name, squeeze, inputs)
        outputs = [self.conv(name, conv, [squeezed]) for name, conv in expands]
        return self.node("Concat", fire.name, outputs, fire.name, axis=1)


def _claim(name: str, taken: set[str]) -> str:
    claimed = distinct(name, taken)
    taken.add(claimed)
    return claimed


def _portable_layers(net: NetSpec) -> list[Layer]:
    """The layers, pools changed where opset 17 would make another size of them.

    It does not say that the last window of a ceil pool must begin inside the image, as PyTorch and
    this library have it. That matters with padding, or with a stride beyond the kernel: there the
    pool becomes a floor pool, padded up to the end of its last window at the net's own size.
    """
    shapes = {INPUT: (net.input.channels, net.input.height, net.input.width)}
    shapes.update(enumerate(net.shapes()))
    return [
        _floor_pool(layer, shapes[layer.input], shapes[k])
        if isinstance(layer, MaxPool) and _is_ambiguous(layer)
        else layer
        for k, layer in enumerate(net.layers)
    ]


def _is_ambiguous(pool: MaxPool) -> bool:
    steps_over = pool.stride[0] > pool.kernel[0] or pool.stride[1] > pool.kernel[1]
    return pool.ceil_mode and (any(pool.padding) or steps_over)


def _floor_pool(pool: MaxPool, source: Shape, made: Shape) -> MaxPool:
    top, left, _, _ = pool.padding
    rows = (made[1] - 1) * pool.stride[0] + pool.kernel[0]
    columns = (made[2] - 1) * pool.stride[1] + pool.kernel[1]
    bottom, right = max(rows - top - source[1], 0), max(columns - left - source[2], 0)
    return replace(pool, padding=(top, left, bottom, right), ceil_mode=False)


def _pads(padding: Padding) -> list[int]:
    """ONNX's order is this library's: all begins, then all ends."""
    top, left, bottom, right = padding
    return [top, left, bottom, right]
