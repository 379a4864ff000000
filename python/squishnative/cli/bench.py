"""`squish bench`: the engine as Python sees it; squish-bench measures it without Python."""

import json
import platform
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Optional

import numpy as np
import numpy.typing as npt
import typer

from squishnative.cli.parameters import Device, Isa, Json, NetFile, Size, Storage, Threads
from squishnative.net import Net, load
from squishnative.spec import NetSpec
from squishnative.tables import format_table
from squishnative.timing import Timing, format_seconds, time_interleaved


class Rival(str, Enum):
    """Programs to compare with."""

    ONNXRUNTIME = "onnxruntime"


def bench(
    net: NetFile,
    batch: Annotated[int, typer.Option(min=1, help="Images a call.")] = 1,
    size: Size = None,
    threads: Threads = 1,
    device: Device = "cpu",
    isa: Isa = None,
    storage: Storage = "auto",
    tune: Annotated[
        bool, typer.Option("--tune", help="On a CUDA device: choose kernels by measuring them.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.0, help="Time to spend on each.")] = 2.0,
    against: Annotated[
        Optional[Rival],
        typer.Option(show_default=False, help="Measure this too, call by call in turn with ours."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measures how long a net takes.

    And how long others take with the same weights.

    squish bench net.squish
    squish bench net.squish --batch 8 --threads 2
    squish bench net.squish --against onnxruntime
    """
    with load(net, device, threads, isa, storage, tune) as loaded:
        channels, *shape = loaded.input_shape
        height, width = (size, size) if size else shape
        images = np.random.default_rng(0).standard_normal((batch, channels, height, width), "f4")
        rivals: dict[str, Callable[[], object]] = {"squishnative": lambda: loaded.infer(images)}
        difference = None
        if against is Rival.ONNXRUNTIME:
            run = _onnxruntime(loaded, (height, width), threads)
            difference = float(np.abs(run(images) - loaded.infer(images)).max())
            rivals["onnxruntime"] = lambda: run(images)
        timings = time_interleaved(rivals, seconds)
        report = _report(loaded, images.shape, threads, timings, difference)
    print(json.dumps(report, indent=2) if as_json else _text(report))


def _onnxruntime(
    net: Net, size: tuple[int, int], threads: int
) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    import onnxruntime

    from squishnative.export.onnx_file import to_onnx

    spec = NetSpec.from_model(net.model)
    spec.input.height, spec.input.width = size  # the file is for one size
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        to_onnx(spec), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda images: np.asarray(session.run(None, {name: images})[0])


def _report(
    net: Net,
    shape: tuple[int, ...],
    threads: int,
    timings: dict[str, Timing],
    difference: Optional[float],
) -> dict[str, Any]:
    return {
        "net": net.path,
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "isa": net.isa,
        "storage": net.storage,
        "threads": threads,
        "input": list(shape),
        "seconds": {name: timing._asdict() for name, timing in timings.items()},
        "max_logit_difference": difference,
    }


def _text(report: dict[str, Any]) -> str:
    images = report["input"][0]
    rows = [
        [
            name,
            *(format_seconds(timing[key]) for key in ("minimum", "median", "p90")),
            f"{images / timing['median']:.1f}",
            f"{timing['calls']}",
        ]
        for name, timing in report["seconds"].items()
    ]
    batch = "x".join(str(extent) for extent in report["input"])
    how = f"ISA {report['isa'] or 'none'}, {report['storage']}, threads {report['threads']}"
    lines = [
        f"{report['net']}, batch {batch} float32",
        f"{report['machine']}, {how}",
        "",
        format_table(["", "min", "median", "p90", "images/s", "calls"], rows),
    ]
    if report["max_logit_difference"] is not None:
        how = ", of integers from floats" if report["storage"] == "i8" else ""
        lines += ["", f"largest difference of logits{how}: {report['max_logit_difference']:.3g}"]
    return "\n".join(lines)
