"""Who runs a problem on a GPU: PyTorch in several ways, and this engine.

A rival's maker returns a call without arguments that starts one batch, on images and with an output
that stay where they are, and returns the output. It raises RivalError where it cannot.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Optional

import numpy as np
import squishnative
import torch
from gpu_problems import Problem
from squishnative.quantise import quantise
from squishnative.spec import INPUT, Add, Conv, ConvSpec, Fire, Layer, MaxPool, NetSpec
from torch import nn

Run = Callable[[], Any]

COMPILED = ("reduce-overhead", "max-autotune")
PRECISIONS = ("f32", "tf32", "f16")

CALIBRATED = 8  # images of noise, where a net is made for integers

QUEUED_CALLS = 10
BUSY_CYCLES = 40_000_000  # of the device, 20 ms: longer than the calls take to be queued


class RivalError(Exception):
    """Why a rival cannot run here."""


def use_precision(precision: str) -> None:
    """Whether PyTorch's float32 convolutions may round their operands to TF32.

    A switch of the whole process, which calls look at, not only makers; compiled nets are compiled
    again where it has changed.
    """
    torch.backends.cudnn.benchmark = True  # its convolutions are chosen by measuring them,
    torch.backends.cudnn.benchmark_limit = 0  # all that there are
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


class TorchNet(nn.Module):
    """A NetSpec as PyTorch's users write it: modules, ReLU in place, torch.cat."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.sources = [layer.inputs for layer in spec.layers]
        self.layers = nn.ModuleList(_module(layer) for layer in spec.layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> logits (N, classes), or a map where the net ends in one."""
        values = {INPUT: images}
        for k, (sources, layer) in enumerate(zip(self.sources, self.layers)):
            values[k] = layer(*(values[source] for source in sources))
        last = values[len(self.layers) - 1]
        return last.flatten(1) if last.shape[2:] == (1, 1) else last


class TorchFire(nn.Module):
    """Squeeze, expands, concatenation."""

    def __init__(self, layer: Fire) -> None:
        super().__init__()
        self.squeeze = _conv(layer.squeeze)
        expands = [conv for conv in (layer.expand1x1, layer.expand3x3) if conv is not None]
        self.expands = nn.ModuleList(_conv(conv) for conv in expands)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, expand1x1 + expand3x3, H, W)."""
        squeezed = self.squeeze(x)
        return torch.cat([expand(squeezed) for expand in self.expands], 1)


class TorchAdd(nn.Module):
    """A bypass."""

    def __init__(self, layer: Add) -> None:
        super().__init__()
        self.relu = layer.relu

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Elementwise."""
        return torch.relu_(a + b) if self.relu else a + b


def _module(layer: Layer) -> nn.Module:
    if isinstance(layer, Conv):
        return _conv(layer.conv)
    if isinstance(layer, Fire):
        return TorchFire(layer)
    if isinstance(layer, MaxPool):
        padding = _both_sides(layer.padding)
        return nn.MaxPool2d(layer.kernel, layer.stride, padding, ceil_mode=layer.ceil_mode)
    if isinstance(layer, Add):
        return TorchAdd(layer)
    return nn.AdaptiveAvgPool2d(1)


def _conv(spec: ConvSpec) -> nn.Module:
    o, i, height, width = spec.weight.shape
    padding = _both_sides(spec.padding)
    conv = nn.Conv2d(i, o, (height, width), spec.stride, padding)
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(spec.weight))
        conv.bias.copy_(torch.from_numpy(spec.bias))  # type: ignore[union-attr]
    return nn.Sequential(conv, nn.ReLU(inplace=True)) if spec.relu else conv


def _both_sides(padding: tuple[int, int, int, int]) -> tuple[int, int]:
    if padding[:2] != padding[2:]:
        raise RivalError(f"torch pads both sides alike, this net has {padding}")
    return padding[:2]


@dataclass(frozen=True)
class TorchRival:
    """PyTorch with one way to run, one precision and one layout."""

    mode: str  # "eager", "graph" (CUDA's, of eager), or a mode of torch.compile
    precision: str
    channels_last: bool
    on_device: ClassVar[bool] = True  # its images and logits

    @property
    def name(self) -> str:
        """For tables."""
        layout = "channels_last" if self.channels_last else "contiguous"
        mode = f"compile {self.mode}" if self.mode in COMPILED else self.mode
        return f"torch {mode}, {layout}"

    @torch.inference_mode()
    def make(self, problem: Problem, images: torch.Tensor) -> Run:
        """Ready to run; compiling may take minutes."""
        if images.device.type != "cuda" and self.mode != "eager":
            raise RivalError(f"{self.mode} is for CUDA")
        use_precision(self.precision)
        dtype = torch.float16 if self.precision == "f16" else torch.float32
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        images = images.to(dtype).contiguous(memory_format=layout)
        net = TorchNet(problem.spec).eval().to(images.device, dtype, memory_format=layout)  # type: ignore[call-overload]
        if self.mode == "graph":
            return _graph_of(net, images)
        call: Callable[[torch.Tensor], torch.Tensor] = net
        if self.mode in COMPILED:
            # Its errors are of kernels that it tried and gave up.
            logging.getLogger("torch._inductor").setLevel(logging.CRITICAL)
            torch._dynamo.mark_static_address(images)  # else each call would copy them
            call = torch.compile(net, mode=self.mode, dynamic=False)

        def run() -> torch.Tensor:
            with torch.inference_mode():
                return call(images)

        with redirect_stderr(io.StringIO()):  # max-autotune tells there of each kernel it tries
            run()
        return run


@dataclass(frozen=True)
class Replay:
    """Runs a CUDA graph, and keeps what it reads: a graph knows addresses, and owns only its pool.

    Without that, others get the memory of images and weights, or the next capture unmaps it, as
    torch.cuda.graph() empties the cache first.
    """

    graph: torch.cuda.CUDAGraph
    net: nn.Module
    images: torch.Tensor
    output: torch.Tensor

    def __call__(self) -> torch.Tensor:
        """Starts one batch."""
        self.graph.replay()
        return self.output


def _graph_of(net: nn.Module, images: torch.Tensor) -> Run:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())  # which converts the images
    with torch.cuda.stream(stream):  # cuDNN chooses and allocates before the capture
        for _ in range(3):
            net(images)
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output: torch.Tensor = net(images)
    return Replay(graph, net, images, output)


@dataclass(frozen=True)
class OurRival:
    """This engine. Raises RivalError where the session has not what is asked for."""

    precision: str = "f32"  # of activations and weights in the device's memory; "i8": in integers
    weights: str = "f32"  # as the file stores them
    on_device: bool = True  # images and logits are tensors on the device, else NumPy arrays
    tune: bool = False  # plans that the device has measured

    @property
    def name(self) -> str:
        """For tables."""
        place = "" if self.on_device else ", from and to the host"
        stored = "" if self.weights == self.precision else f", {self.weights} weights"
        tuned = ", tuned" if self.tune else ""
        return f"squishnative{tuned}{stored}{place}"

    def save(self, problem: Problem, folder: Path) -> Path:
        """The net's file, if it is not there already.

        In integers it is one whose activations were measured on noise, which takes seconds.
        """
        spec = problem.spec
        file = folder / f"{problem.name.replace(' ', '_')}-{self.weights}-{self.precision}.squish"
        if file.exists():
            return file
        if self.precision == "i8":
            _, channels, height, width = problem.shape
            rng = np.random.default_rng(0)
            pixels = rng.integers(0, 256, (CALIBRATED, height, width, channels), np.uint8)
            spec = quantise(spec, pixels, self.weights)
        spec.save(file, dtype=self.weights)
        return file

    def make(
        self,
        problem: Problem,
        images: torch.Tensor,
        folder: Path,
        logits: Optional[torch.Tensor] = None,
    ) -> Run:
        """Ready to run. `folder`: for the net's file. `logits`: to share with others of ours."""
        file = self.save(problem, folder)
        try:
            net = squishnative.load(
                file, device=images.device.type, storage=self.precision, tune=self.tune
            )
        except ValueError as error:
            raise RivalError(str(error)) from None
        if not self.on_device:
            batch = images.cpu().numpy()
            out = net.infer(batch)
            return lambda: net.infer(batch, out=out)
        if images.device.type != "cuda":
            raise RivalError("tensors on the device need CUDA")
        if logits is None:
            of_one = net.infer(images[:1].cpu().numpy()).shape[1:]
            logits = torch.empty((len(images), *of_one), device=images.device)
        outputs = logits
        stream = torch.cuda.current_stream().cuda_stream
        try:
            net.infer(images, out=outputs, stream=stream)
        except (TypeError, ValueError) as error:
            raise RivalError(f"no tensors on the device: {error}") from None

        def run() -> torch.Tensor:
            net.infer(images, out=outputs, stream=stream)
            return outputs

        return run


class Clock:
    """Seconds of calls on a device."""

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self._cuda:
            torch.cuda.synchronize()

    def lost(self) -> bool:
        """Whether the device answers nothing any more, as after an illegal memory access.

        Errors of that kind stay for as long as the process lives; all others leave the device well.
        """
        try:
            self.wait()
        except RuntimeError:
            return True
        return False

    def throughput(self, run: Run, calls: int) -> float:
        """Seconds a call of so many in a row, as the device sees them."""
        if not self._cuda:
            begin = time.perf_counter()
            for _ in range(calls):
                run()
            return (time.perf_counter() - begin) / calls
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        for _ in range(calls):
            run()
        last.record()
        last.synchronize()
        return float(first.elapsed_time(last)) / 1e3 / calls

    def queued(self, run: Run) -> list[float]:
        """Seconds of a call that was queued before the device came to it: the device's own time.

        What a call costs its caller is in throughput() and latency(); nothing here without CUDA.
        """
        if not self._cuda:
            return []
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(BUSY_CYCLES)
        first.record()
        for _ in range(QUEUED_CALLS):
            run()
        last.record()
        last.synchronize()
        return [float(first.elapsed_time(last)) / 1e3 / QUEUED_CALLS]

    def latency(self, run: Run) -> float:
        """Seconds of one call, until its result is there, as the caller sees them."""
        self.wait()
        begin = time.perf_counter()
        run()
        self.wait()
        return time.perf_counter() - begin
