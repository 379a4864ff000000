"""A net's weights as a safetensors file, with torchvision's names where they say the whole net."""

from __future__ import annotations

from typing import Optional

from squishnative.convert.metadata import to_metadata
from squishnative.convert.naming import distinct
from squishnative.convert.squeezenet import CLASSIFIER, VERSIONS, Version, from_state_dict
from squishnative.convert.tensors import Tensors
from squishnative.spec import Conv, ConvSpec, Fire, MaxPool, NetSpec


def to_safetensors(net: NetSpec) -> bytes:
    """The file's bytes: `<convolution>.weight` (O, I, H, W) and `.bias` (O,), float32."""
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise ValueError(
            "writing .safetensors needs the package safetensors: squishnative[convert]"
        ) from error
    return bytes(save(state_dict(net), {"format": "pt", **to_metadata(net)}))


def state_dict(net: NetSpec) -> Tensors:
    """The tensors under torchvision's names, or else the layers' own: "fire2.squeeze.weight"."""
    for version in VERSIONS:
        tensors = _torchvision(net, version)
        if tensors is not None:
            return tensors
    convs: dict[str, ConvSpec] = {}
    for layer in net.layers:
        for name, conv in layer.named_convs():
            convs[distinct(name.replace("/", "."), convs)] = conv  # "a/b" beside "a.b"
    return _tensors(convs)


def _torchvision(net: NetSpec, version: Version) -> Optional[Tensors]:
    """None where the names would not bring the same net back."""
    stages = [*version.stages, (None, "conv10"), (None, "pool10")]
    if len(stages) != len(net.layers):
        return None
    convs: dict[str, ConvSpec] = {}
    for (index, _), layer in zip(stages, net.layers):
        key = CLASSIFIER if index is None else f"features.{index}"
        if isinstance(layer, Conv):
            convs[key] = layer.conv
        elif isinstance(layer, Fire):
            convs.update(
                (key + name[len(layer.name) :].replace("/", "."), conv)
                for name, conv in layer.named_convs()
            )
    tensors = _tensors(convs)
    try:
        back = from_state_dict(tensors)
    except ValueError:
        return None
    return tensors if _structure(back) == _structure(net) else None


def _structure(net: NetSpec) -> list[tuple[object, ...]]:
    """Everything but names and weights."""
    rows: list[tuple[object, ...]] = []
    for layer in net.layers:
        convs = [(c.weight.shape, c.stride, c.padding, c.relu) for _, c in layer.named_convs()]
        window: tuple[object, ...] = ()
        if isinstance(layer, MaxPool):
            window = (layer.kernel, layer.stride, layer.padding, layer.ceil_mode)
        rows.append((type(layer), layer.inputs, convs, window))
    return rows


def _tensors(convs: dict[str, ConvSpec]) -> Tensors:
    tensors: Tensors = {}
    for key, conv in convs.items():
        tensors[f"{key}.weight"] = conv.weight
        tensors[f"{key}.bias"] = conv.bias
    return tensors
