"""A net as Python sees it, between a checkpoint and a `.squish` file.

Readers of checkpoints (`squishnative.convert`) and the trainer build a `NetSpec`; `NetSpec.save`
writes it through the engine's writer. Weights are NumPy float32 arrays in PyTorch's order
(O, I, H, W).
"""

from __future__ import annotations

import copy
import math
import os
from dataclasses import dataclass, field
from numbers import Real
from typing import Optional

from squishnative import _core
from squishnative.layers import (
    INPUT,
    LARGEST_EXTENT,
    LARGEST_WINDOW,
    Activation,
    Add,
    Conv,
    ConvSpec,
    Fire,
    FloatArray,
    GlobalAveragePool,
    InputSpec,
    Layer,
    MaxPool,
    Padding,
    Pair,
    PathLike,
    Shape,
)

__all__ = [
    "INPUT",
    "LARGEST_EXTENT",
    "LARGEST_WINDOW",
    "Activation",
    "Add",
    "Conv",
    "ConvSpec",
    "Fire",
    "FloatArray",
    "GlobalAveragePool",
    "InputSpec",
    "Layer",
    "MaxPool",
    "NetSpec",
    "Padding",
    "Pair",
    "PathLike",
    "Shape",
]


@dataclass
class NetSpec:
    """A whole net. `layers[k]`'s output is named k by later layers' `input`."""

    input: InputSpec
    layers: list[Layer] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    about: str = ""

    def shapes(self, height: Optional[int] = None, width: Optional[int] = None) -> list[Shape]:
        """The output shape of every layer for an image of height x width, by default the input's.

        Raises ValueError, naming the layer, where the layers do not fit each other or that size.
        """
        image = (
            self.input.channels,
            self.input.height if height is None else height,
            self.input.width if width is None else width,
        )
        shapes: list[Shape] = []
        for k, layer in enumerate(self.layers):
            try:
                for source in layer.inputs:
                    if not INPUT <= source < k:
                        raise ValueError(f"input {source} must be {INPUT} or an earlier layer")
                sources = [image if source == INPUT else shapes[source] for source in layer.inputs]
                shapes.append(layer.output_shape(*sources))
            except ValueError as error:
                raise ValueError(f"layer {k} {layer.name!r}: {error}") from None
        return shapes

    @property
    def output_shape(self) -> Shape:
        """Of the last layer, which is the net's output."""
        if not self.layers:
            raise ValueError("the net has no layers")
        return self.shapes()[-1]

    @property
    def classes(self) -> int:
        """Channels of the output."""
        return self.output_shape[0]

    def validate(self) -> None:
        """Raises ValueError where the input, layers, labels, mean and std do not fit together."""
        for what, least in (("channels", 1), ("height", 1), ("width", 1), ("resize", 0)):
            value = getattr(self.input, what)
            if not least <= value <= LARGEST_EXTENT:
                raise ValueError(
                    f"the input's {what} must be from {least} to {LARGEST_EXTENT}, got {value}"
                )
        classes = self.classes
        names = [layer.name for layer in self.layers]
        for name in names:
            if not name or names.count(name) > 1:
                raise ValueError(f"layer names must be distinct and not empty, got {name!r}")
        for text in (*names, *self.labels, self.about):
            if not _is_unicode(text):
                raise ValueError(f"names, labels and about must be Unicode text, got {text!r}")
        if self.labels and len(self.labels) != classes:
            raise ValueError(f"got {len(self.labels)} labels for a net of {classes} classes")
        for what, values in (("mean", self.input.mean), ("std", self.input.std)):
            if len(values) != self.input.channels:
                channels = self.input.channels
                raise ValueError(f"{what} has {len(values)} values for {channels} channels")
            if not all(isinstance(value, Real) and math.isfinite(value) for value in values):
                raise ValueError(f"{what} must be finite numbers, got {tuple(values)}")
        if min(self.input.std) <= 0:
            raise ValueError(f"std must be above 0, got {tuple(self.input.std)}")

    def in_floats(self) -> NetSpec:
        """A copy without activations: the same net, computed in floats by whoever runs it."""
        spec = copy.deepcopy(self)
        for layer in spec.layers:
            for _, conv in layer.named_convs():
                conv.activation = None
        return spec

    def to_bytes(
        self, dtype: str = "f32", encoding: str = "smallest", compress: bool = True
    ) -> bytes:
        """The bytes of a `.squish` file.

        dtype: "f32", "f16", "i8" or "i4". Integers have a scale for each output channel. Scales,
        and biases of other types than f32, are f16.
        encoding: "smallest" chooses for each convolution; "dense", "cluster16x1", "cluster16x4" and
        "synapse" are for all.
        compress: entropy-code integer weights where that takes fewer bytes.
        Raises ValueError on a net that does not fit together and on another dtype or encoding.
        """
        return self._writer(dtype, encoding, compress).to_bytes()

    def save(
        self,
        path: PathLike,
        dtype: str = "f32",
        encoding: str = "smallest",
        compress: bool = True,
    ) -> None:
        """Writes a `.squish` file. As `to_bytes`; OSError where it cannot be written."""
        self._writer(dtype, encoding, compress).save(os.fspath(path))

    def _writer(self, dtype: str, encoding: str, compress: bool) -> _core.NetWriter:
        self.validate()
        writer = _core.NetWriter(
            self.input.channels,
            self.input.height,
            self.input.width,
            list(self.input.mean),
            list(self.input.std),
            self.input.resize,
            self.input.interpolation,
        )
        for layer in self.layers:
            _write_layer(writer, layer, (dtype, encoding, compress))
        writer.set_labels(self.labels)
        writer.set_about(self.about)
        return writer

    def activation_sources(self) -> dict[int, int]:
        """Of the net's input and each layer's output: which one it is held in bytes like.

        An activation and a max pool of it are held alike, so these have the one before the pools.
        """
        sources = {INPUT: INPUT}
        for k, layer in enumerate(self.layers):
            sources[k] = sources[layer.input] if isinstance(layer, MaxPool) else k
        return sources

    def activations(self) -> dict[int, Optional[Activation]]:
        """How the net's input and each layer's output are held in bytes: as a reader says.

        None: in floats. Of a net that is made for integers all readers say the same.
        """
        sources = self.activation_sources()
        found: dict[int, Optional[Activation]] = {}
        for layer in self.layers:
            for _, conv in layer.named_convs():
                if not (isinstance(layer, Fire) and conv is not layer.squeeze):
                    found[sources[layer.inputs[0]]] = conv.activation
        return {k: found.get(source) for k, source in sources.items()}

    @staticmethod
    def from_model(model: _core.Model) -> NetSpec:
        """The net of a loaded file, its weights decoded to float32."""
        channels, height, width = model.input_shape
        return NetSpec(
            InputSpec(
                channels,
                height,
                width,
                tuple(model.mean),
                tuple(model.std),
                model.resize,
                model.interpolation,
            ),
            [_layer_of(info) for info in model.layers],
            list(model.labels),
            model.about,
        )


def _is_unicode(text: object) -> bool:
    """A string; Python's may hold halves of characters, which UTF-8 has not."""
    if not isinstance(text, str):
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _write_layer(writer: _core.NetWriter, layer: Layer, storage: tuple[str, str, bool]) -> None:
    if isinstance(layer, Conv):
        c = layer.conv
        writer.conv(
            layer.name,
            layer.input,
            c.weight,
            c.bias,
            c.stride,
            c.padding,
            c.relu,
            *storage,
            c.activation,
        )
    elif isinstance(layer, Fire):
        squeeze, expand1x1, expand3x3 = (
            None if c is None else (c.weight, c.bias, c.activation)
            for c in (layer.squeeze, layer.expand1x1, layer.expand3x3)
        )
        assert squeeze is not None
        writer.fire(layer.name, layer.input, squeeze, expand1x1, expand3x3, *storage)
    elif isinstance(layer, MaxPool):
        writer.max_pool(
            layer.name, layer.input, layer.kernel, layer.stride, layer.padding, layer.ceil_mode
        )
    elif isinstance(layer, Add):
        writer.add(layer.name, layer.inputs, layer.relu)
    else:
        writer.global_average_pool(layer.name, layer.input)


def _layer_of(info: _core.LayerInfo) -> Layer:
    if info.kind == "conv":
        return Conv(info.name, info.inputs[0], _conv_of(info.convs[0]))
    if info.kind == "fire":
        squeeze, expand1x1, expand3x3 = (
            _conv_of(conv) if conv.out_channels else None for conv in info.convs
        )
        assert squeeze is not None
        return Fire(info.name, info.inputs[0], squeeze, expand1x1, expand3x3)
    if info.kind == "max_pool":
        return MaxPool(
            info.name, info.inputs[0], info.kernel, info.stride, info.padding, info.ceil_mode
        )
    if info.kind == "add":
        return Add(info.name, (info.inputs[0], info.inputs[1]), info.relu)
    return GlobalAveragePool(info.name, info.inputs[0])


def _conv_of(info: _core.ConvInfo) -> ConvSpec:
    activation = None if info.activation is None else Activation(*info.activation)
    return ConvSpec(info.weight(), info.bias(), info.stride, info.padding, info.relu, activation)
