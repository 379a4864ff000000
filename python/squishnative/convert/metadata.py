"""Labels and preprocessing as string pairs, which ONNX and safetensors files carry beside the weights.

The exporter writes them and the converter reads them back, so nothing is lost on the way out and in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from squishnative.convert.errors import ConvertError
from squishnative.spec import InputSpec, NetSpec

_INPUT, _LABELS, _ABOUT = "squish.input", "squish.labels", "squish.about"


def to_metadata(net: NetSpec) -> dict[str, str]:
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
    fields = _json(metadata, _INPUT)
    try:
        net.input = InputSpec(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})
    except (TypeError, KeyError) as error:
        raise ConvertError(f"metadata {_INPUT!r}: wanted the fields of InputSpec ({error})") from error
    return True


def _json(metadata: Mapping[str, str], key: str) -> object:
    try:
        return json.loads(metadata[key])
    except json.JSONDecodeError as error:
        raise ConvertError(f"metadata {key!r}: not JSON ({error})") from error
