"""The engines that compare.py runs beside ours, each from one ONNX file, in float32 or int8.

A peer's maker imports the engine, so that those that are not installed cost nothing but a line.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import squishnative
from squishnative import _core
from squishnative.export import export
from squishnative.spec import (
    INPUT,
    Add,
    Conv,
    ConvSpec,
    Fire,
    FloatArray,
    Layer,
    MaxPool,
    NetSpec,
)

Run = Callable[[FloatArray], FloatArray]


class PeerError(Exception):
    """Why a peer cannot run this net here."""


@dataclass(frozen=True)
class Task:
    """What a peer is to run: one net, on batches of one shape, with this many threads."""

    squish: Path
    onnx: Path  # the same net; a peer may write files of its own beside it
    shape: tuple[int, int, int, int]  # N, C, H, W
    threads: int
    calibration: npt.NDArray[np.uint8]  # images (N, H, W, C) that tell an int8 net its ranges


def ours_int8(task: Task) -> Run:
    """This engine in integer arithmetic."""
    return squishnative.load(_in_integers(task), threads=task.threads, storage="i8").infer


def onnxruntime(task: Task) -> Run:
    """ONNX Runtime's CPU provider."""
    return _onnxruntime(task, int8=False)


def onnxruntime_int8(task: Task) -> Run:
    """The same with our net of integers."""
    return _onnxruntime(task, int8=True)


def _onnxruntime(task: Task, int8: bool) -> Run:
    ort = importlib.import_module("onnxruntime")
    file = _in_integers_as_onnx(task) if int8 else task.onnx
    options = ort.SessionOptions()
    options.intra_op_num_threads = task.threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda batch: np.asarray(session.run(["logits"], {"input": batch})[0])


def openvino(task: Task) -> Run:
    """OpenVINO's CPU plugin; without the hint it would compute in bfloat16 where the CPU can."""
    return _openvino(task, int8=False)


def openvino_int8(task: Task) -> Run:
    """The same with our net of integers."""
    return _openvino(task, int8=True)


def _openvino(task: Task, int8: bool) -> Run:
    ov = importlib.import_module("openvino")
    file = _in_integers_as_onnx(task) if int8 else task.onnx
    core = ov.Core()
    model = core.read_model(str(file))
    model.reshape(list(task.shape))
    hints = {
        "INFERENCE_NUM_THREADS": task.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(model, "CPU", hints).create_infer_request()
    return lambda batch: np.asarray(request.infer([batch], share_inputs=True)[0])


def ncnn(task: Task) -> Run:
    """ncnn, its model made by pnnx. It has no batches: images run one after the other."""
    library = importlib.import_module("ncnn")
    pnnx = importlib.import_module("pnnx")
    shape = ",".join(str(extent) for extent in (1, *task.shape[1:]))
    stem = task.onnx.with_suffix("")
    # Or it would write underscores for hyphens.
    files = [f"ncnnparam={stem}.ncnn.param", f"ncnnbin={stem}.ncnn.bin"]
    _convert([pnnx.EXEC_PATH, str(task.onnx), f"inputshape=[{shape}]", "fp16=0", *files])
    net = library.Net()
    net.opt.num_threads = task.threads
    net.opt.use_vulkan_compute = False
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
        setattr(net.opt, option, False)
    net.opt.use_bf16_storage = False
    if net.load_param(f"{stem}.ncnn.param") or net.load_model(f"{stem}.ncnn.bin"):
        raise PeerError("cannot load what pnnx wrote")

    def one(image: FloatArray) -> Any:
        with net.create_extractor() as extractor:
            extractor.input("in0", library.Mat(image))
            return np.array(extractor.extract("out0")[1])

    return lambda batch: np.stack([one(image) for image in batch])


def mnn(task: Task) -> Run:
    """MNN, its model made by its converter, of which only the compiled part is called.

    The command `mnnconvert` around it installs a telemetry client with pip and reports each use.
    """
    library = importlib.import_module("MNN")
    model = str(task.onnx.with_suffix(".mnn"))
    converter = [sys.executable, "-c", "import sys, _tools; _tools.mnnconvert(sys.argv)"]
    arguments = ["-f", "ONNX", "--modelFile", str(task.onnx), "--MNNModel", model, "--bizCode", "x"]
    _convert([*converter, *arguments])
    interpreter = library.Interpreter(model)
    config = {"numThread": task.threads, "precision": "high", "backend": "CPU"}
    session = interpreter.createSession(config)
    device_input = interpreter.getSessionInput(session)
    interpreter.resizeTensor(device_input, task.shape)
    interpreter.resizeSession(session)
    device_output = interpreter.getSessionOutput(session)

    def host_tensor(array: FloatArray) -> Any:
        return library.Tensor(
            array.shape, library.Halide_Type_Float, array, library.Tensor_DimensionType_Caffe
        )

    host_output = host_tensor(np.zeros(device_output.getShape(), np.float32))

    def run(batch: FloatArray) -> FloatArray:
        # `interpreter` and its tensors live as long as this function.
        device_input.copyFromHostTensor(host_tensor(batch))
        interpreter.runSession(session)
        device_output.copyToHostTensor(host_output)
        return np.asarray(host_output.getNumpyData())

    return run


def torch(task: Task) -> Run:
    """PyTorch, eager, one functional call a layer; channels last, its faster layout on CPUs."""
    library = importlib.import_module("torch")
    library.set_num_threads(task.threads)
    net = NetSpec.from_model(_core.Model.load(str(task.squish)))
    layers = [(layer.inputs, _torch_layer(library, layer)) for layer in net.layers]

    def run(batch: FloatArray) -> FloatArray:
        images = library.from_numpy(batch).contiguous(memory_format=library.channels_last)
        values = {INPUT: images}
        with library.inference_mode():
            for k, (inputs, layer) in enumerate(layers):
                values[k] = layer(*(values[source] for source in inputs))
        return np.asarray(values[len(layers) - 1].flatten(1))

    return run


def litert(task: Task) -> Run:
    """LiteRT: named here so that its absence from the tables is explained."""
    importlib.import_module("ai_edge_litert")
    raise PeerError(f"LiteRT reads .tflite, and its package makes none from {task.onnx.name}")


OURS = "squishnative"
INT8 = "-int8"
# In the order of the tables. The names are those of the distributions too, but for what INT8 adds.
PEERS: dict[str, Callable[[Task], Run]] = {
    f"{OURS}{INT8}": ours_int8,
    "onnxruntime": onnxruntime,
    f"onnxruntime{INT8}": onnxruntime_int8,
    "openvino": openvino,
    f"openvino{INT8}": openvino_int8,
    "ncnn": ncnn,
    "mnn": mnn,
    "torch": torch,
    "ai-edge-litert": litert,
}


def version(peer: str) -> str:
    """The version of an installed peer."""
    name = peer.replace(INT8, "")
    return squishnative.__version__ if name == OURS else importlib.metadata.version(name)


def in_batches(images: FloatArray, size: int) -> Iterator[FloatArray]:
    """Of one size: the last one is filled up with its last image."""
    for first in range(0, len(images), size):
        batch = images[first : first + size]
        yield np.concatenate([batch, batch[-1:].repeat(size - len(batch), axis=0)])


def _in_integers(task: Task) -> Path:
    """The net as a file that is made for integer arithmetic: its own, or what we make of it."""
    model = _core.Model.load(str(task.squish))
    if not model.why_not_in_integers:
        return task.squish
    file = task.onnx.with_name(f"{task.onnx.stem}{INT8}.squish")
    if not file.exists():
        quantise = importlib.import_module("squishnative.quantise").quantise
        convs = [conv for layer in model.layers for conv in layer.convs if conv.out_channels]
        dtype = "i4" if all(conv.dtype == "i4" for conv in convs) else "i8"
        quantise(NetSpec.from_model(model), task.calibration, dtype).save(file, dtype)
    return file


def _in_integers_as_onnx(task: Task) -> Path:
    file = task.onnx.with_name(f"{task.onnx.stem}{INT8}.onnx")
    if not file.exists():
        export(_in_integers(task), file, integers=True)
    return file


def _convert(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        last = done.stdout.strip().splitlines()[-1:] or ["no output"]
        raise PeerError(f"{Path(command[0]).name} ended with {done.returncode}: {last[0]}")


def _torch_layer(library: Any, layer: Layer) -> Callable[..., Any]:
    functional = library.nn.functional
    if isinstance(layer, Conv):
        return _torch_conv(library, layer.conv)
    if isinstance(layer, Fire):
        squeeze = _torch_conv(library, layer.squeeze)
        present = [conv for conv in (layer.expand1x1, layer.expand3x3) if conv is not None]
        expands = [_torch_conv(library, conv) for conv in present]

        def fire(x: Any) -> Any:
            squeezed = squeeze(x)
            return library.cat([expand(squeezed) for expand in expands], 1)

        return fire
    if isinstance(layer, MaxPool):
        window = (layer.kernel, layer.stride, _both_sides(layer.padding))
        return lambda x: functional.max_pool2d(x, *window, ceil_mode=layer.ceil_mode)
    if isinstance(layer, Add):
        return lambda a, b: functional.relu(a + b) if layer.relu else a + b
    return lambda x: functional.adaptive_avg_pool2d(x, 1)


def _torch_conv(library: Any, conv: ConvSpec) -> Callable[[Any], Any]:
    weight, bias = library.from_numpy(conv.weight), library.from_numpy(conv.bias)
    weight = weight.contiguous(memory_format=library.channels_last)
    padding = _both_sides(conv.padding)

    def run(x: Any) -> Any:
        y = library.nn.functional.conv2d(x, weight, bias, conv.stride, padding)
        return y.relu_() if conv.relu else y

    return run


def _both_sides(padding: tuple[int, int, int, int]) -> tuple[int, int]:
    if padding[:2] != padding[2:]:
        raise PeerError(f"torch pads both sides alike, this net has {padding}")
    return padding[:2]
