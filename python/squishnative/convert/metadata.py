"""Labels and preprocessing as the string pairs that ONNX and safetensors files carry.

The exporter writes them and the converter reads them back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from squishnative.convert.errors import ConvertError
from squishnative.spec import InputSpec, NetSpec

_INPUT, _LABELS, _ABOUT = "squish.input", "squish.labels", "squish.about"


def to_metadata(net: NetSpec) -> dict[str, str]:
    """Of labels, preprocessing and the text about the net."""
    return {
        _INPUT: json.dumps(asdict(net.input)),
        _LABELS: json.dumps(net.labels, ensure_ascii=False),
        _ABOUT: net.about,
    }


def apply_metadata(net: NetSpec, metadata: Mapping[str, str]) -> bool:
    """Sets what `to_metadata` wrote; returns whether the preprocessing was there."""
    if _LABELS in metadata:
        labels = _json(metadata, _LABELS)
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise ConvertError(f"metadata {_LABELS!r}: wanted a list of strings")
        net.labels = labels
    net.about = metadata.get(_ABOUT, net.about)
    if _INPUT not in metadata:
        return False
    net.input = _input(_json(metadata, _INPUT))
    return True


def _input(fields: Any) -> InputSpec:
    try:
        return InputSpec(
            int(fields["channels"]),
            int(fields["height"]),
            int(fields["width"]),
            tuple(float(value) for value in fields["mean"]),
            tuple(float(value) for value in fields["std"]),
            int(fields["resize"]),
            str(fields["interpolation"]),
        )
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise ConvertError(
            f"metadata {_INPUT!r}: wanted the fields of InputSpec ({error})"
        ) from error


def _json(metadata: Mapping[str, str], key: str) -> Any:
    try:
        return json.loads(metadata[key])
    except (ValueError, RecursionError) as error:
        raise ConvertError(f"metadata {key!r}: not JSON ({error})") from error
