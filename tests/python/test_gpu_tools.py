"""What measures on a GPU, rehearsed on the CPU."""

from __future__ import annotations

import contextlib
import fnmatch
import gc
import json
import os
import re
import shutil
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional

import compare_gpu
import gpu_problems
import gpu_rivals
import pytest
import torch
from gpu_rivals import Clock, OurRival, TorchRival
from squishnative import nets
from squishnative.quantise import quantise
from squishnative.spec import NetSpec

TOOLS = Path(compare_gpu.__file__).parents[1]
CONTEST = ["--device", "cpu", "--problems", "clusters15", "--extent", "48", "--batch", "2"]


def parameters(spec: NetSpec) -> int:
    convs = [conv for layer in spec.layers for _, conv in layer.named_convs()]
    return sum(conv.weight.size + conv.bias.size for conv in convs)


def contest_of(
    rivals: Sequence[compare_gpu.Rival], folder: Path, seconds: float = 600
) -> compare_gpu.Contest:
    """seconds: that are left."""
    problem = gpu_problems.squeezenet_1_1("dense", 1, 48)
    contest = compare_gpu.Contest(problem, "cpu", folder)
    contest.prepare(rivals, time.monotonic() + seconds)
    return contest


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["compare_gpu.py", *arguments])
    compare_gpu.main()


def test_problems_are_kernelbenchs() -> None:
    fire, net = gpu_problems.kernelbench_17(), gpu_problems.kernelbench_18()
    assert parameters(fire.spec) == (3 * 6 + 6) + (6 * 64 + 64) + (6 * 9 * 64 + 64)
    assert fire.shape == (128, 3, 256, 256)
    assert fire.spec.shapes()[-1] == (128, 256, 256)
    assert parameters(net.spec) == 1_248_424  # torchvision's squeezenet1_0
    assert net.shape == (64, 3, 512, 512)
    assert net.spec.shapes()[-1] == (1000, 1, 1)


def test_a_rehearsal_measures_and_writes_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        compare_gpu,
        "rivals_of",
        lambda *_: [
            OurRival(on_device=False),
            OurRival(weights="i8", on_device=False),
            OurRival("i8", "i8", on_device=False),
            OurRival(),
            OurRival(tune=True),
            TorchRival("eager", "f32", channels_last=True),
            TorchRival("graph", "f16", channels_last=True),
        ],
    )
    file = tmp_path / "results.json"
    run_main(monkeypatch, *CONTEST, "--seconds", "0", "--json", str(file))
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert [entry["rival"] for entry in report["entries"]] == [
        "squishnative, from and to the host",
        "squishnative, i8 weights, from and to the host",
        "squishnative, from and to the host",
        "torch eager, channels_last",
    ]
    for entry in report["entries"]:
        assert entry["problem"] == "clusters15"
        assert entry["batch"] == 2
        assert 0 <= entry["difference"] < 1e-5
        assert 0 < entry["throughput_min"] <= entry["throughput_median"]
        assert entry["latency"] > 0
        assert entry["on_device"] is None
    assert {left["rival"]: left["why"] for left in report["left_out"]} == {
        "squishnative, f32": "tensors on the device need CUDA",
        "squishnative, tuned, f32": "tune: device 'cpu' is not tuned, wanted a CUDA device",
        "torch graph, channels_last, f16": "graph is for CUDA",
    }
    assert report["machine"]["torch"] == torch.__version__
    out = capsys.readouterr().out
    assert "| torch eager, channels_last | f32 |" in out
    ours, _, _, theirs = (entry["throughput_min"] for entry in report["entries"])
    assert f"\nf32: ours {theirs / ours:.2f}x as fast as torch eager, channels_last.\n" in out


def test_ratios_are_of_equal_precision_and_the_best_of_pytorch() -> None:
    def entry(rival: str, precision: str, seconds: float) -> compare_gpu.Entry:
        return compare_gpu.Entry(
            "dense", 8, rival, precision, 0, seconds, seconds, 2 * seconds, None
        )

    entries = [
        entry("squishnative", "f32", 0.2),
        entry("squishnative", "f16", 0.1),
        entry("squishnative, i8 weights", "f32", 0.01),
        entry("squishnative, tuned", "f16", 0.025),
        entry("torch eager", "f32", 0.4),
        entry("torch graph", "f32", 0.3),
        entry("torch graph", "tf32", 0.02),
        entry("torch graph", "f16", 0.05),
    ]
    last = compare_gpu.markdown(entries).splitlines()[-1]
    assert last == (
        "f32: ours 1.50x as fast as torch graph; "
        "f16: ours 0.50x, tuned 2.00x as fast as torch graph."
    )
    assert compare_gpu.markdown(entries[:3]).splitlines()[-1].startswith("| squishnative, i8")


@pytest.mark.parametrize("name", nets.names())
def test_nets_of_the_package_are_measured_at_their_own_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "results.json"
    arguments = ["--device", "cpu", "--problems", name, "--extent", "48", "--batch", "2"]
    run_main(monkeypatch, *arguments, "--seconds", "0", "--json", str(file))
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    (entry,) = report["entries"]
    assert (entry["problem"], entry["batch"]) == (name, 2)
    assert entry["rival"] == OurRival(on_device=False).name
    assert gpu_problems.shipped(name, 2).shape == (2, 3, 160, 160)
    assert not any("torch" in left["rival"] for left in report["left_out"])


def off_by_a_percent(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """PyTorch computes something else for batches of this size."""
    make = TorchRival.make

    def wrong(self: TorchRival, problem: gpu_problems.Problem, images: torch.Tensor) -> Any:
        run = make(self, problem, images)
        return (lambda: run() * 1.01) if problem.batch == batch else run

    monkeypatch.setattr(TorchRival, "make", wrong)


def test_another_net_is_not_timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    off_by_a_percent(monkeypatch, 1)
    contest = contest_of([TorchRival("eager", "f32", channels_last=True)], tmp_path)
    assert contest.failed
    (why,) = contest.left_out.values()
    assert why.startswith("logits differ by 0.01 of the largest")
    assert contest.measure(0) == []


@pytest.mark.parametrize("breaks", ["logits", "clock"])
def test_what_goes_wrong_is_told_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, breaks: str
) -> None:
    rivals = [OurRival(on_device=False), TorchRival("eager", "f32", channels_last=True)]
    monkeypatch.setattr(compare_gpu, "rivals_of", lambda *_: rivals)
    if breaks == "logits":
        off_by_a_percent(monkeypatch, 2)
    else:
        measure = compare_gpu.Contest.measure

        def broken(self: compare_gpu.Contest, seconds: float) -> list[compare_gpu.Entry]:
            if self.problem.batch == 2:
                raise RuntimeError("no algorithm for this\nand what to do")
            return measure(self, seconds)

        monkeypatch.setattr(compare_gpu.Contest, "measure", broken)
    file = tmp_path / "results.json"
    with pytest.raises(SystemExit) as ended:
        run_main(monkeypatch, *CONTEST, "3", "--seconds", "0", "--json", str(file))
    assert ended.value.code == 1
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    ours, theirs = "squishnative, from and to the host", "torch eager, channels_last"
    timed = [(entry["batch"], entry["rival"]) for entry in report["entries"]]
    assert timed == [(2, ours)] * (breaks == "logits") + [(3, ours), (3, theirs)]
    (left,) = report["left_out"]
    assert left["batch"] == 2
    if breaks == "logits":
        assert left["rival"] == theirs + ", f32"
    else:
        assert left["rival"] == "everybody"
        assert left["why"] == "no algorithm for this"


ILLEGAL = "CUDA error: an illegal memory access was encountered"


@pytest.mark.parametrize("call", [1, 2], ids=["made ready", "measured"])
def test_a_lost_device_ends_all_but_what_was_found(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    call: int,
) -> None:
    """Its error comes back from every call that follows."""
    calls: list[int] = []  # of the second problem's rival
    make = OurRival.make

    def sticky(self: OurRival, problem: gpu_problems.Problem, *rest: Any) -> Any:
        run = make(self, problem, *rest)

        def broken() -> Any:
            if problem.batch == 3:
                calls.append(problem.batch)
                if len(calls) >= call:
                    raise RuntimeError(ILLEGAL + "\nand what to do")
            return run()

        return broken

    monkeypatch.setattr(OurRival, "make", sticky)
    monkeypatch.setattr(Clock, "lost", lambda _: len(calls) >= call)
    rivals = [TorchRival("graph", "f16", channels_last=True), OurRival(on_device=False)]
    monkeypatch.setattr(compare_gpu, "rivals_of", lambda *_: rivals)
    file = tmp_path / "results.json"
    why = f"the device is lost: squishnative, from and to the host, f32: {ILLEGAL}"
    with pytest.raises(SystemExit, match=f"clusters15, batch 3: {why}; nothing more"):
        run_main(monkeypatch, *CONTEST, "3", "4", "--seconds", "0", "--json", str(file))
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert {entry["batch"] for entry in report["entries"]} == {2}
    assert [(left["batch"], left["why"]) for left in report["left_out"]] == [
        (2, "graph is for CUDA"),
        (3, "graph is for CUDA"),
        (3, why),
    ]
    assert "Traceback" not in capsys.readouterr().err


def test_a_device_is_lost_where_even_waiting_for_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def illegal() -> None:
        raise RuntimeError(ILLEGAL)

    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    assert not Clock("cuda").lost()
    monkeypatch.setattr(torch.cuda, "synchronize", illegal)
    assert Clock("cuda").lost()
    assert not Clock("cpu").lost()


class FakeGraph:
    """Of CUDA: knows nothing of what it was captured from."""

    def replay(self) -> None: ...


class FakeStream:
    def wait_stream(self, _: object) -> None: ...

    def synchronize(self) -> None: ...


def test_a_graph_keeps_what_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "current_stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)
    monkeypatch.setattr(torch.cuda, "graph", contextlib.nullcontext)
    net, images = torch.nn.Linear(3, 2), torch.zeros(1, 3)
    read: list[Callable[[], object]] = [weakref.ref(images), weakref.ref(net.weight)]
    with torch.inference_mode():  # whose output does not keep them
        run = gpu_rivals._graph_of(net, images)
        wanted = net(images)
    del net, images
    gc.collect()
    assert all(kept() is not None for kept in read)
    assert torch.equal(run(), wanted)


def test_the_file_is_written_after_each_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compare_gpu, "rivals_of", lambda *_: [OurRival(on_device=False)])
    measure = compare_gpu.Contest.measure

    def interrupted(self: compare_gpu.Contest, seconds: float) -> list[compare_gpu.Entry]:
        if self.problem.batch == 3:
            raise KeyboardInterrupt
        return measure(self, seconds)

    monkeypatch.setattr(compare_gpu.Contest, "measure", interrupted)
    file = tmp_path / "results.json"
    with pytest.raises(KeyboardInterrupt):
        run_main(monkeypatch, *CONTEST, "3", "--seconds", "0", "--json", str(file))
    assert [
        entry["batch"] for entry in json.loads(file.read_text(encoding="utf-8"))["entries"]
    ] == [2]
    assert list(tmp_path.iterdir()) == [file]


def test_a_problem_is_forgotten_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_gpu, "rivals_of", lambda *_: [OurRival(on_device=False)])
    contests: list[weakref.ref[compare_gpu.Contest]] = []
    measure = compare_gpu.Contest.measure

    def watched(self: compare_gpu.Contest, seconds: float) -> list[compare_gpu.Entry]:
        assert [contest() for contest in contests] == [None] * len(contests)
        contests.append(weakref.ref(self))
        if self.problem.batch == 2:
            raise RuntimeError("an error keeps the frames that it came through")
        return measure(self, seconds)

    monkeypatch.setattr(compare_gpu.Contest, "measure", watched)
    with pytest.raises(SystemExit):
        run_main(monkeypatch, *CONTEST, "3", "4", "--seconds", "0")
    assert len(contests) == 3


def test_who_comes_too_late_is_named_but_ours_never_is(tmp_path: Path) -> None:
    ours = OurRival(on_device=False)
    contest = contest_of([ours, TorchRival("eager", "f32", channels_last=True)], tmp_path, -1)
    assert set(contest.left_out.values()) == {"no time left"}
    assert [entry.rival for entry in contest.measure(0)] == [ours.name]


def test_everybody_is_timed_in_a_precision_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make = TorchRival.make
    seen: dict[str, set[bool]] = {"f32": set(), "tf32": set()}

    def watched(self: TorchRival, problem: gpu_problems.Problem, images: torch.Tensor) -> Any:
        run = make(self, problem, images)

        def call() -> Any:
            seen[self.precision].add(torch.backends.cudnn.allow_tf32)
            return run()

        return call

    monkeypatch.setattr(TorchRival, "make", watched)
    rivals = [TorchRival("eager", precision, channels_last=True) for precision in seen]
    contest_of(rivals, tmp_path).measure(0)
    assert seen == {"f32": {False}, "tf32": {True}}


def test_problems_that_would_come_too_late_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compare_gpu, "rivals_of", lambda *_: [OurRival(on_device=False)])
    file = tmp_path / "results.json"
    with pytest.raises(SystemExit) as ended:
        run_main(monkeypatch, *CONTEST, "--seconds", "0", "--last", "-1", "--json", str(file))
    assert ended.value.code == 1
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert report["entries"] == []
    (left,) = report["left_out"]
    assert (left["rival"], left["why"]) == ("everybody", "no time left")


def test_a_net_of_integers_is_made_once_for_all_batches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[str] = []

    def counted(spec: NetSpec, *rest: Any) -> NetSpec:
        made.append("i8")
        return quantise(spec, *rest)

    monkeypatch.setattr(gpu_rivals, "quantise", counted)
    for batch in (1, 3):
        contest = compare_gpu.Contest(
            gpu_problems.squeezenet_1_1("dense", batch, 48), "cpu", tmp_path
        )
        contest.prepare([OurRival("i8", "i8", on_device=False)], time.monotonic())
        (entry,) = contest.measure(0)
        assert (entry.batch, entry.difference) == (batch, 0)
    assert made == ["i8"]


def test_what_takes_seconds_is_tuned_where_it_counts() -> None:
    def tuned(problem: gpu_problems.Problem, mode: Optional[str] = None) -> list[str]:
        rivals = compare_gpu.rivals_of(problem, mode)
        return [r.precision for r in rivals if isinstance(r, OurRival) and r.tune]

    dense = {n: tuned(gpu_problems.squeezenet_1_1("dense", n, 48)) for n in compare_gpu.BATCHES}
    assert dense == {1: ["f32", "f16", "i8"], 256: ["f32", "f16", "i8"], 64: [], 8: []}
    assert tuned(gpu_problems.kernelbench_17(2, 48)) == ["f32", "f16"]
    assert tuned(gpu_problems.squeezenet_1_1("clusters15", 1, 48)) == []
    assert tuned(gpu_problems.squeezenet_1_1("dense", 1, 48), "max-autotune") == []


def test_compiled_rivals_have_passes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = gpu_problems.squeezenet_1_1("dense", 1, 48)
    names = [rival.name for rival in compare_gpu.rivals_of(problem)]
    assert not any("compile" in name for name in names)
    for mode, precisions in (("reduce-overhead", 3), ("max-autotune", 2)):
        compiled = [rival.name for rival in compare_gpu.rivals_of(problem, mode)]
        assert compiled[0] == names[0] == OurRival().name
        theirs = [name for name in compiled if name.startswith("torch ")]
        assert theirs == [f"torch compile {mode}, channels_last"] * precisions

    passes: list[tuple[Optional[str], str, int]] = []

    def competes(problem: gpu_problems.Problem, mode: Optional[str], *_: object) -> bool:
        passes.append((mode, problem.name, problem.batch))
        return True

    monkeypatch.setattr(compare_gpu, "compete", competes)
    options = ["--device", "cpu", "--extent", "48"]
    run_main(monkeypatch, *options, "--compiled")
    quick, slow = ([(mode, "dense", n) for n in (1, 256, 64)] for mode in gpu_rivals.COMPILED)
    assert passes == quick + slow  # all of the quick ones first
    passes.clear()
    run_main(monkeypatch, *options, "--compiled", "--modes", "max-autotune")
    assert passes == slow
    with pytest.raises(SystemExit) as ended:
        run_main(monkeypatch, *options, "--modes", "max-autotune")
    assert ended.value.code == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_without_a_gpu_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="PyTorch sees no CUDA device"):
        run_main(monkeypatch)


def test_the_checks_filters_find_tests() -> None:
    """GoogleTest passes with a filter that finds none."""
    sources = (TOOLS.parent / "tests" / "cuda").glob("*.cc")
    named = re.compile(r"^(?:TYPED_)?TEST(?:_[FP])?\((\w+), (\w+)\)", re.MULTILINE)
    tests = [f"{s}.{t}" for source in sources for s, t in named.findall(source.read_text("utf-8"))]
    script = (TOOLS / "gpu_check.sh").read_text("utf-8")
    filters = re.findall(r"(?:nets|few\+?|gtest_filter)='([^']+)'", script)
    patterns = [p for found in filters for p in found.strip(":").split(":")]
    assert len(patterns) > 25
    for pattern in patterns:
        plain = pattern.replace("/*.", ".").lstrip("*")  # of types, and of instances
        assert fnmatch.filter(tests, plain), pattern


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="for machines without a GPU")
def test_the_check_needs_a_gpu_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [TOOLS / "gpu_check.sh", tmp_path / "results"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "no GPU: nvidia-smi says" in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("parts", ["", "memcheck|^beside max"])
def test_the_check_says_what_it_has_no_time_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, parts: str
) -> None:
    monkeypatch.setenv("PARTS", parts)
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'NVIDIA Nothing'\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("GPU_CHECK_SECONDS", "0")
    results = tmp_path / "results"
    done = subprocess.run([TOOLS / "gpu_check.sh", results], capture_output=True, text=True)
    assert done.returncode == 1
    name, *left_out = (results / "summary.txt").read_text(encoding="utf-8").splitlines()
    assert name == "NVIDIA Nothing"
    assert all("LEFT OUT: " in line for line in left_out)
    some = ["configure", "build", "memcheck", "making of nets", "beside max-autotune"]
    names = [line.split("LEFT OUT")[0].strip() for line in left_out]
    if parts:
        assert names == some
    else:
        assert {*some, "kernels and nets", "the package", "beside PyTorch"} < set(names)
