"""Measures this engine and PyTorch on a GPU, interleaved in one run; prints Markdown, writes JSON.

    python tools/bench/compare_gpu.py --json results.json
    python tools/bench/compare_gpu.py --device cpu --extent 64 --batch 1 --seconds 0   # a rehearsal

The nets: SqueezeNet 1.1 with 10 classes, dense and with 33 and 15 % of its clusters, and the
problems 17 and 18 of KernelBench's level 3. Before anything is timed, everybody's logits are
compared with those of this engine on the CPU. Who cannot run, or whose turn would come too late, is
named and left out.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Optional, Union

import gpu_problems
import numpy as np
import squishnative
import torch
from gpu_problems import DENSITIES, Problem
from gpu_rivals import Clock, OurRival, RivalError, Run, TorchRival
from squishnative.spec import FloatArray
from squishnative.timing import format_seconds

# Of logits, as a share of the largest: what rounding explains. KernelBench allows 1e-2.
PARITY = {"f32": 1e-3, "tf32": 1e-2, "f16": 1e-2}
WEIGHTS = ("f32", "f16", "i8")
CHECKED_IMAGES = 2  # of a batch: the CPU needs seconds for a whole one of 64 at 512x512
TURN_SECONDS = 0.02  # of calls in a row, so that the clock's own cost vanishes
ROUNDS = 5  # at least

Rival = Union[TorchRival, OurRival]


@dataclass(frozen=True)
class Entry:
    """What was measured of one rival on one problem. Seconds are a batch's."""

    problem: str
    batch: int
    rival: str
    precision: str
    difference: float  # of logits from the CPU's: the largest, as a share of the largest logit
    latency: float  # least of single calls, each waited for
    throughput_min: float  # of calls in a row, the least and the median of their means
    throughput_median: float


def rivals_of(problem: Problem) -> Iterator[Rival]:
    """Ours first; PyTorch on dense nets alone, as it runs sparse ones no faster."""
    yield OurRival()
    yield OurRival(weights="i8")
    yield OurRival("f16", "f16")
    if problem.name in DENSITIES:
        yield OurRival(on_device=False)
    if problem.name in DENSITIES[1:]:
        return
    for precision in ("f32", "tf32", "f16"):
        yield TorchRival("graph", precision, channels_last=True)
    for precision in ("f32", "f16"):
        yield TorchRival("eager", precision, channels_last=True)
        yield TorchRival("reduce-overhead", precision, channels_last=True)
    yield TorchRival("eager", "f32", channels_last=False)
    yield TorchRival("max-autotune", "f16", channels_last=True)
    yield TorchRival("max-autotune", "tf32", channels_last=True)


class Contest:
    """All rivals on one problem."""

    def __init__(self, problem: Problem, device: str, folder: Path, deadline: float) -> None:
        """deadline: of time.monotonic(); rivals are made ready until then."""
        self.problem, self._clock = problem, Clock(device)
        self.left_out: dict[str, str] = {}
        rng = np.random.default_rng(0)
        host = rng.standard_normal(problem.shape, np.float32)
        images = torch.from_numpy(host).to(device)
        # By what weights are stored as: that their rounding moves logits is nobody's error.
        wanted = {w: _on_cpu(problem, host[:CHECKED_IMAGES], w, folder) for w in WEIGHTS}
        self._ready: list[tuple[Rival, float, Run]] = []
        for rival in rivals_of(problem):
            name = f"{rival.name}, {rival.precision}"
            if time.monotonic() > deadline:
                self.left_out[name] = "no time left"
                continue
            try:
                if isinstance(rival, OurRival):
                    weights, made = rival.weights, rival.make(problem, images, folder)
                else:
                    weights, made = "f32", rival.make(problem, images)
                difference = _difference(made(), wanted[weights])
            except RivalError as error:
                self.left_out[name] = str(error)
                continue
            except (RuntimeError, MemoryError) as error:  # torch: out of memory, no compiler, ...
                self.left_out[name] = str(error).splitlines()[0]
                continue
            if not difference <= PARITY[rival.precision]:
                raise ValueError(
                    f"{name} on {problem.name}, batch {problem.batch}: logits differ by "
                    f"{difference:.2g} of the largest, rounding is below {PARITY[rival.precision]}"
                )
            self._ready.append((rival, difference, made))

    def measure(self, seconds: float) -> list[Entry]:
        """seconds: for each rival. In turn, so that a GPU that grows hot slows all of them."""
        calls = [max(1, round(TURN_SECONDS / self._once(run))) for _, _, run in self._ready]
        means: list[list[float]] = [[] for _ in self._ready]
        latencies: list[list[float]] = [[] for _ in self._ready]
        end = time.monotonic() + seconds * len(self._ready)
        while time.monotonic() < end or any(len(taken) < ROUNDS for taken in means):
            for k, (_, _, run) in enumerate(self._ready):
                run()
                latencies[k].append(self._clock.latency(run))
                means[k].append(self._clock.throughput(run, calls[k]))
        return [
            Entry(
                self.problem.name,
                self.problem.batch,
                rival.name,
                rival.precision,
                difference,
                min(latencies[k]),
                min(means[k]),
                median(means[k]),
            )
            for k, (rival, difference, _) in enumerate(self._ready)
        ]

    def _once(self, run: Run) -> float:
        for _ in range(3):
            run()
        return self._clock.latency(run)


def _on_cpu(problem: Problem, images: FloatArray, weights: str, folder: Path) -> FloatArray:
    file = folder / "wanted.squish"
    problem.spec.save(file, dtype=weights)
    with squishnative.load(file) as net:
        return net.infer(images)


def _difference(got: Any, wanted: FloatArray) -> float:
    part = got[: len(wanted)]
    values = part.float().cpu().numpy() if isinstance(part, torch.Tensor) else part
    return float(np.abs(values - wanted).max() / np.abs(wanted).max())


def problems(names: Sequence[str], batches: Sequence[int], extent: int) -> Iterator[Problem]:
    """KernelBench's have batches and sizes of their own, or a rehearsal's."""
    for batch in batches:
        for density in DENSITIES:
            if density in names:
                yield gpu_problems.squeezenet_1_1(density, batch, extent)
    real = extent >= 224
    if "kernelbench17" in names:
        yield gpu_problems.kernelbench_17(*(() if real else (2, extent)))
    if "kernelbench18" in names:
        yield gpu_problems.kernelbench_18(*(() if real else (2, extent)))


def markdown(entries: Sequence[Entry]) -> str:
    """A table a problem and batch, whose first row is ours; ratios are of the least times."""
    lines = []
    for key in dict.fromkeys((entry.problem, entry.batch) for entry in entries):
        found = [entry for entry in entries if (entry.problem, entry.batch) == key]
        lines += [
            f"\n**{key[0]}, batch {key[1]}**\n",
            "| | precision | in a row: least / median | times the first | alone | differs by |",
            "| --- | --- | ---: | ---: | ---: | ---: |",
        ]
        for e in found:
            row = f"{format_seconds(e.throughput_min)} / {format_seconds(e.throughput_median)}"
            times = e.throughput_min / found[0].throughput_min
            rest = f"{times:.2f} | {format_seconds(e.latency)} | {e.difference:.1e}"
            lines.append(f"| {e.rival} | {e.precision} | {row} | {rest} |")
    return "\n".join(lines)


def machine(device: str) -> dict[str, Optional[str]]:
    """What the figures depend on."""
    on_gpu = device == "cuda"
    return {
        "device": torch.cuda.get_device_name() if on_gpu else platform.machine(),
        "driver": _said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "squishnative": squishnative.__version__,
        "commit": _said("git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"),
    }


def _said(*command: str) -> Optional[str]:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip().splitlines()[0]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*DENSITIES, "kernelbench17", "kernelbench18"]
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--problems", nargs="+", choices=names, default=names)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--extent", type=int, default=224, help="pixels of a side [224]")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each rival [0.3]")
    parser.add_argument(
        "--limit", type=float, default=300, help="seconds after which no more are made ready [300]"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    if min(options.batch) < 1 or options.seconds < 0:
        parser.error("--batch must be at least 1, --seconds not negative")
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("compare_gpu.py: PyTorch sees no CUDA device; --device cpu is a rehearsal")
    deadline = time.monotonic() + options.limit
    entries: list[Entry] = []
    left_out: list[dict[str, Any]] = []
    for problem in problems(options.problems, options.batch, options.extent):
        with tempfile.TemporaryDirectory() as folder:
            try:
                contest = Contest(problem, options.device, Path(folder), deadline)
            except (OSError, ValueError) as error:
                sys.exit(f"compare_gpu.py: {error}")
            found = contest.measure(options.seconds)
        entries += found
        print(markdown(found), flush=True)
        for rival, why in contest.left_out.items():
            left_out.append(
                {"problem": problem.name, "batch": problem.batch, "rival": rival, "why": why}
            )
            print(f"\nLeft out: {rival}: {why}.", flush=True)
    if options.json:
        report = {
            "machine": machine(options.device),
            "entries": [asdict(entry) for entry in entries],
            "left_out": left_out,
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
