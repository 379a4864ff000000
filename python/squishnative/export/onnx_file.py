"""A net as an ONNX file that any runtime takes: opset 17, dynamic batch.

In float32, or in integers: each activation that the file holds in bytes is quantised and
dequantised where it is made, and weights are dequantised int8 (ONNX's "QDQ" form, which ONNX
Runtime, OpenVINO and TensorRT compute in integers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from squishnative.convert.metadata import to_metadata
from squishnative.export.onnx_graph import Graph, IntegerGraph
from squishnative.spec import INPUT, FloatArray, Layer, MaxPool, NetSpec, Shape

OPSET = 17
_IR_VERSION = 8  # the one of opset 17: newer ones lock older runtimes out


def to_onnx(net: NetSpec) -> bytes:
    """The file's bytes.

    Input "input": (N, C, H, W) float32, normalised, at the net's own size. Output "logits":
    (N, classes), or (N, C, H, W) where the last map is not 1 x 1.
    """
    return _to_onnx(net, None)


def to_integer_onnx(net: NetSpec, scales: Sequence[FloatArray]) -> bytes:
    """The same of a net that is made for integer arithmetic, with that arithmetic.

    scales: (O,) of each convolution's weights, in their order: weight = scale * an int8.
    """
    return _to_onnx(net, scales)


def _to_onnx(net: NetSpec, scales: Optional[Sequence[FloatArray]]) -> bytes:
    try:
        import onnx
        from onnx import helper
    except ImportError as error:
        raise ValueError("writing .onnx needs the package onnx: squishnative[convert]") from error
    net.validate()
    graph = Graph() if scales is None else IntegerGraph(scales)
    forms = {} if scales is None else net.activations()
    image = graph.held("input", forms.get(INPUT))
    values: list[str] = []
    for k, layer in enumerate(_portable_layers(net)):
        inputs = [image if source == INPUT else values[source] for source in layer.inputs]
        values.append(graph.held(graph.layer(layer, inputs, forms.get(k)), forms.get(k)))
    output_shape: tuple[int, ...] = net.output_shape
    if output_shape[1:] == (1, 1):
        graph.append("Flatten", "flatten", [values[-1]], "logits", axis=1)
        output_shape = output_shape[:1]
    else:
        graph.append("Identity", "output", [values[-1]], "logits")
    shape = ("N", net.input.channels, net.input.height, net.input.width)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "squishnative",
            [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, shape)],
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
