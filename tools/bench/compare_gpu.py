"""Measures this engine and PyTorch on a GPU, interleaved in one run; prints Markdown, writes JSON.

    python tools/bench/compare_gpu.py --json results.json
    python tools/bench/compare_gpu.py --compiled --json compiled.json
    python tools/bench/compare_gpu.py --device cpu --extent 64 --batch 1 --seconds 0   # a rehearsal

The nets: SqueezeNet 1.1 with 10 classes, dense and with 33 and 15 % of its clusters, those that
come with the package, and the problems 17 and 18 of KernelBench's level 3. torch.compile, which may
take minutes to be ready, has passes of its own: --compiled, one of all nets for each of --modes.
Before anything is timed, everybody's logits are compared with those of this engine on the CPU. Who
cannot run, or whose turn would come too late, is named and left out; so is who fails, and the exit
status is then 1. It is 1, too, where problems were left out for want of time, and where the device
is lost, which ends everything. The JSON file is written after each problem.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Optional, Union

import gpu_problems
import numpy as np
import squishnative
import torch
from gpu_problems import DENSITIES, SHIPPED, Problem
from gpu_rivals import COMPILED, Clock, OurRival, RivalError, Run, TorchRival, use_precision
from squishnative.spec import FloatArray
from squishnative.timing import format_seconds

# Of logits, as a share of the largest: what rounding explains. KernelBench allows 1e-2. Integers
# are the same on every device, to the bit.
PARITY = {"f32": 1e-3, "tf32": 1e-2, "f16": 1e-2, "i8": 0.0}
WEIGHTS = ("f32", "f16", "i8")
BATCHES = (1, 256, 64, 8)  # those first that there may be no time for later
TUNED_BATCHES = (1, 256)  # tuning takes seconds
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
    on_device: Optional[float]  # median of calls that the device finds queued; None on the host


class DeviceLostError(Exception):
    """The device answers nothing any more, whoever asks."""


def rivals_of(problem: Problem, mode: Optional[str] = None) -> Iterator[Rival]:
    """Ours first; PyTorch on dense nets alone, as it runs sparse ones no faster.

    mode: of torch.compile, whose nets are then the only ones of PyTorch.
    """
    yield OurRival()
    yield OurRival("f16", "f16")
    if mode is not None:
        # max-autotune needs a minute or more for each.
        precisions = ("f16", "tf32") if mode == "max-autotune" else ("f16", "f32", "tf32")
        for precision in precisions:
            yield TorchRival(mode, precision, channels_last=True)
        return
    kernelbench = problem.name not in (*DENSITIES, *SHIPPED)
    dense = problem.name == DENSITIES[0]
    if kernelbench or (dense and problem.batch in TUNED_BATCHES):
        yield OurRival(tune=True)
        yield OurRival("f16", "f16", tune=True)
        if dense:
            yield OurRival("i8", "i8", tune=True)
    if problem.name not in SHIPPED:
        yield OurRival(weights="i8")
    if not kernelbench:
        yield OurRival("i8", "i8")
        yield OurRival(on_device=False)
    if problem.name in (*DENSITIES[1:], *SHIPPED):
        return
    for precision in ("f32", "tf32", "f16"):
        yield TorchRival("graph", precision, channels_last=True)
    for precision in ("f32", "f16"):
        yield TorchRival("eager", precision, channels_last=True)
    yield TorchRival("eager", "f32", channels_last=False)


class Contest:
    """All rivals on one problem."""

    def __init__(self, problem: Problem, device: str, folder: Path) -> None:
        """folder: for files, which are of use for other batches of the same net, too."""
        self.problem, self._device, self._folder = problem, device, folder
        self._logits: Optional[torch.Tensor] = None  # for ours on the device: of 17 they are 4.3 GB
        self._clock = Clock(device)
        self._ready: list[tuple[Rival, float, Run]] = []
        self.left_out: dict[str, str] = {}
        self.failed = False  # somebody computes something else, which is nobody's choice

    def prepare(self, rivals: Iterable[Rival], deadline: float) -> None:
        """deadline: of time.monotonic(); other engines than ours are made ready until then."""
        problem, folder = self.problem, self._folder
        rng = np.random.default_rng(0)
        host = rng.standard_normal(problem.shape, np.float32)
        images = torch.from_numpy(host).to(self._device)
        # By what weights are stored as: that their rounding moves logits is nobody's error.
        wanted = {w: _on_cpu(problem, host[:CHECKED_IMAGES], w, folder) for w in WEIGHTS}
        for rival in rivals:
            name = _title(rival)
            if isinstance(rival, TorchRival) and time.monotonic() > deadline:
                self.left_out[name] = "no time left"
                continue
            try:
                with self._turn(rival):
                    if isinstance(rival, OurRival):
                        made = rival.make(problem, images, folder, self._logits)
                        expected = wanted[rival.weights]
                        if rival.precision == "i8":
                            expected = _infer(
                                rival.save(problem, folder), host[:CHECKED_IMAGES], "i8"
                            )
                    else:
                        made, expected = rival.make(problem, images), wanted["f32"]
                    logits = made()
                    difference = _difference(logits, expected)
                    if isinstance(rival, OurRival) and isinstance(logits, torch.Tensor):
                        self._logits = logits
            except RivalError as error:
                self.left_out[name] = str(error)
                continue
            except (RuntimeError, MemoryError) as error:  # torch: out of memory, no compiler, ...
                self.left_out[name] = _first_line(error)
                continue
            if not difference <= PARITY[rival.precision]:
                self.left_out[name] = (
                    f"logits differ by {difference:.2g} of the largest, rounding is below "
                    f"{PARITY[rival.precision]}"
                )
                self.failed = True
                continue
            self._ready.append((rival, difference, made))

    def measure(self, seconds: float) -> list[Entry]:
        """seconds: for each rival. In turn, so that a GPU that grows hot slows all of them."""
        calls = [max(1, round(TURN_SECONDS / self._once(*ready))) for ready in self._ready]
        means: list[list[float]] = [[] for _ in self._ready]
        latencies: list[list[float]] = [[] for _ in self._ready]
        queued: list[list[float]] = [[] for _ in self._ready]
        end = time.monotonic() + seconds * len(self._ready)
        while time.monotonic() < end or any(len(taken) < ROUNDS for taken in means):
            for k, (rival, _, run) in enumerate(self._ready):
                with self._turn(rival):
                    run()
                    latencies[k].append(self._clock.latency(run))
                    means[k].append(self._clock.throughput(run, calls[k]))
                    if rival.on_device:
                        queued[k] += self._clock.queued(run)
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
                median(queued[k]) if queued[k] else None,
            )
            for k, (rival, difference, _) in enumerate(self._ready)
        ]

    def _once(self, rival: Rival, _: float, run: Run) -> float:
        with self._turn(rival):
            for _ in range(3):
                run()
            return self._clock.latency(run)

    @contextmanager
    def _turn(self, rival: Rival) -> Iterator[None]:
        """Of this rival, in its precision; the device that is lost in it is lost by its name."""
        use_precision(rival.precision)
        try:
            yield
        except Exception as error:
            if not self._clock.lost():
                raise
            raise DeviceLostError(f"{_title(rival)}: {_first_line(error)}") from error


def _title(rival: Rival) -> str:
    return f"{rival.name}, {rival.precision}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _on_cpu(problem: Problem, images: FloatArray, weights: str, folder: Path) -> FloatArray:
    file = folder / "wanted.squish"
    problem.spec.save(file, dtype=weights)
    return _infer(file, images, "f32")


def _infer(file: Path, images: FloatArray, storage: str) -> FloatArray:
    with squishnative.load(file, storage=storage) as net:
        return net.infer(images)


def _difference(got: Any, wanted: FloatArray) -> float:
    part = got[: len(wanted)]
    values = part.float().cpu().numpy() if isinstance(part, torch.Tensor) else part
    return float(np.abs(values - wanted).max() / np.abs(wanted).max())


def problems(names: Sequence[str], batches: Sequence[int], extent: int) -> Iterator[Problem]:
    """First KernelBench's, which have batches and sizes of their own, or a rehearsal's."""
    real = extent >= 224
    if "kernelbench17" in names:
        yield gpu_problems.kernelbench_17(*(() if real else (2, extent)))
    if "kernelbench18" in names:
        yield gpu_problems.kernelbench_18(*(() if real else (2, extent)))
    for batch in batches:
        for density in DENSITIES:
            if density in names:
                yield gpu_problems.squeezenet_1_1(density, batch, extent)
        for name in SHIPPED:
            if name in names:
                yield gpu_problems.shipped(name, batch)


def markdown(entries: Sequence[Entry]) -> str:
    """A table a problem and batch, whose first row is ours; ratios are of least times in a row."""
    lines = []
    for key in dict.fromkeys((entry.problem, entry.batch) for entry in entries):
        found = [entry for entry in entries if (entry.problem, entry.batch) == key]
        lines += [
            f"\n**{key[0]}, batch {key[1]}**\n",
            "| | precision | in a row: least / median | times the first | on the device | alone "
            "| differs by |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for e in found:
            row = f"{format_seconds(e.throughput_min)} / {format_seconds(e.throughput_median)}"
            times = e.throughput_min / found[0].throughput_min
            device = "" if e.on_device is None else format_seconds(e.on_device)
            rest = f"{times:.2f} | {device} | {format_seconds(e.latency)} | {e.difference:.1e}"
            lines.append(f"| {e.rival} | {e.precision} | {row} | {rest} |")
        ratios = list(_ratios(found))
        if ratios:
            lines.append("\n" + "; ".join(ratios) + ".")
    return "\n".join(lines)


def _ratios(entries: Sequence[Entry]) -> Iterator[str]:
    """Of one problem: ours of each precision, and tuned, beside PyTorch's best of the same."""
    for precision in PARITY:
        of_it = [entry for entry in entries if entry.precision == precision]
        theirs = [entry for entry in of_it if entry.rival.startswith("torch ")]
        ours = [entry for entry in of_it if entry not in theirs]
        if ours and theirs:
            best = min(theirs, key=lambda entry: entry.throughput_min)
            tuned = [entry for entry in ours if entry.rival == OurRival(tune=True).name]
            times = [f"{best.throughput_min / e.throughput_min:.2f}x" for e in (ours[0], *tuned)]
            yield f"{precision}: ours {', tuned '.join(times)} as fast as {best.rival}"


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


class Report:
    """Everything that was found so far, on paper and in a file."""

    def __init__(self, device: str, file: Optional[Path]) -> None:
        self._file, self._machine = file, machine(device)
        self._entries: list[Entry] = []
        self._left_out: list[dict[str, Any]] = []

    def add(self, problem: Problem, entries: Sequence[Entry], left_out: Mapping[str, str]) -> None:
        """Of one problem. The file is whole whenever somebody ends this program."""
        self._entries += entries
        print(markdown(entries), flush=True)
        for rival, why in left_out.items():
            self._left_out.append(
                {"problem": problem.name, "batch": problem.batch, "rival": rival, "why": why}
            )
            print(f"\nLeft out: {rival}: {why}.", flush=True)
        if self._file is None:
            return
        report = {
            "machine": self._machine,
            "entries": [asdict(entry) for entry in self._entries],
            "left_out": self._left_out,
        }
        scratch = self._file.with_name(self._file.name + ".part")
        scratch.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        scratch.replace(self._file)


def compete(
    problem: Problem,
    mode: Optional[str],
    options: argparse.Namespace,
    folder: Path,
    begin: float,
    report: Report,
) -> bool:
    """One problem; whether all went well. Whatever goes wrong with it is its own affair.

    folder: for files of nets. begin: of the run, as time.monotonic() told it.

    Except for the device: raises DeviceLostError, when all that was found has been reported.
    """
    left_out: dict[str, str] = {}
    found: list[Entry] = []
    lost = ""
    try:
        forget()
        contest = Contest(problem, options.device, folder)
        left_out = contest.left_out
        contest.prepare(rivals_of(problem, mode), begin + options.limit)
        found = contest.measure(options.seconds)
        failed = contest.failed
    except Exception as error:
        failed = True
        left_out["everybody"] = _first_line(error)
        if Clock(options.device).lost():
            lost = left_out["everybody"] = f"the device is lost: {_first_line(error)}"
        else:
            traceback.print_exc()
    report.add(problem, found, left_out)
    if lost:
        raise DeviceLostError(f"{problem.name}, batch {problem.batch}: {lost}")
    return not failed


def forget() -> None:
    """Gives back what the problem before took: KernelBench's 17 needs gigabytes of the device."""
    if "torch._dynamo" in sys.modules:  # takes seconds to import
        torch._dynamo.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*DENSITIES, *SHIPPED, "kernelbench17", "kernelbench18"]
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--compiled", action="store_true", help="beside torch.compile: dense, batches 1, 256 and 64"
    )
    parser.add_argument(
        "--modes", nargs="+", choices=COMPILED, help="of torch.compile, in turn [all]"
    )
    parser.add_argument("--problems", nargs="+", choices=names)
    parser.add_argument("--batch", type=int, nargs="+", help="[1 256 64 8]")
    parser.add_argument("--extent", type=int, default=224, help="pixels of a side [224]")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each rival [0.3]")
    parser.add_argument(
        "--limit", type=float, default=300, help="seconds after which only ours is made ready [300]"
    )
    parser.add_argument(
        "--last", type=float, default=math.inf, help="seconds after which no problem is begun"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    wanted = options.problems or (["dense"] if options.compiled else names)
    batches = options.batch or [n for n in BATCHES if n != 8 or not options.compiled]
    modes: Sequence[Optional[str]] = (options.modes or COMPILED) if options.compiled else [None]
    if options.modes and not options.compiled:
        parser.error("--modes are --compiled's")
    if min(batches) < 1 or options.seconds < 0:
        parser.error("--batch must be at least 1, --seconds not negative")
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("compare_gpu.py: PyTorch sees no CUDA device; --device cpu is a rehearsal")
    begin = time.monotonic()
    report = Report(options.device, options.json)
    well = True
    try:
        with tempfile.TemporaryDirectory() as folder:
            for mode in modes:
                for problem in problems(wanted, batches, options.extent):
                    if time.monotonic() > begin + options.last:
                        report.add(problem, [], {"everybody": "no time left"})
                        well = False
                    else:
                        well &= compete(problem, mode, options, Path(folder), begin, report)
    except DeviceLostError as error:
        sys.exit(f"compare_gpu.py: {error}; nothing more can be measured")
    if not well:
        sys.exit(1)


if __name__ == "__main__":
    main()
