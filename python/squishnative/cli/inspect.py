"""`squish inspect`."""

import json
from typing import Annotated, Any

import typer

from squishnative import _core
from squishnative.cli.parameters import Json, NetFile, Size
from squishnative.layer_table import LayerRow, layer_rows, layer_table
from squishnative.net import Net, load


def inspect(
    net: NetFile,
    size: Size = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what the engine runs on this machine, and why.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Prints what a net is made of.

    For each layer: shapes, encoding (ans: entropy-coded as well), density, bytes, multiply-adds.

    squish inspect net.squish
    squish inspect net.squish --size 128
    squish inspect net.squish --plan
    """
    with load(net) as loaded:
        height, width = (size, size) if size else loaded.input_shape[1:]
        rows = layer_rows(loaded.model, height, width)
        steps = loaded.steps((height, width)) if plan else []
        if as_json:
            document = _document(loaded.model, rows, steps)
            if plan:
                document["memory"] = _memory(loaded.memory((height, width)))
            print(json.dumps(document, indent=2))
        elif plan:
            print(loaded.explain((height, width)))
            memory = loaded.memory((height, width))
            parts = ", ".join(f"{name} {count:,}" for name, count in _memory(memory).items())
            print(f"\nmemory with one thread: {memory.total:,} bytes: {parts}")
        else:
            print(_head(loaded), layer_table(rows), sep="\n\n")


def _head(net: Net) -> str:
    model = net.model
    channels, height, width = model.input_shape
    resize = f"shorter side to {model.resize}, centre crop" if model.resize else "squashed"
    labels = ", ".join(model.labels[:3]) + (", ..." if len(model.labels) > 3 else "")
    lines = [
        f"input    {channels}x{height}x{width}, {resize}, {model.interpolation}",
        f"mean     {_numbers(model.mean)}   std {_numbers(model.std)}",
        f"classes  {model.classes}" + (f": {labels}" if labels else ", without names"),
        f"file     {model.file_bytes:,} bytes, {_arithmetic(model)}",
    ]
    if model.about:
        lines.append(f"about    {model.about}")
    return "\n".join(lines)


def _arithmetic(model: _core.Model) -> str:
    why_not = model.why_not_in_integers
    return f"made for floats ({why_not})" if why_not else "made for integer arithmetic"


def _memory(use: _core.MemoryUse) -> dict[str, int]:
    return {name: getattr(use, name) for name in ("model", "weights", "activations", "scratch")}


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:.3g}" for value in values)


def _document(
    model: _core.Model, rows: list[LayerRow], steps: list[_core.StepInfo]
) -> dict[str, Any]:
    document = {
        "input": {
            "shape": model.input_shape,
            "resize": model.resize,
            "interpolation": model.interpolation,
            "mean": model.mean,
            "std": model.std,
        },
        "classes": model.classes,
        "labels": model.labels,
        "about": model.about,
        "file_bytes": model.file_bytes,
        "layers": [row._asdict() for row in rows],
    }
    if steps:
        document["plan"] = [
            {
                "layer": step.layer,
                "kernel": step.kernel,
                "why": step.why,
                "output": step.output,
                "density": step.density,
                "cluster_density": step.cluster_density,
                "macs": step.macs,
                "macs_run": step.macs_run,
            }
            for step in steps
        ]
    return document
