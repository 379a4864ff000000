"""What measures on a GPU, rehearsed on the CPU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import compare_gpu
import gpu_problems
import pytest
import torch
from gpu_rivals import OurRival, TorchRival
from squishnative.spec import NetSpec

TOOLS = Path(compare_gpu.__file__).parents[1]
CONTEST = ["--device", "cpu", "--problems", "clusters15", "--extent", "48", "--batch", "2"]


def parameters(spec: NetSpec) -> int:
    convs = [conv for layer in spec.layers for _, conv in layer.named_convs()]
    return sum(conv.weight.size + conv.bias.size for conv in convs)


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
            OurRival(),
            TorchRival("eager", "f32", channels_last=True),
            TorchRival("graph", "f16", channels_last=True),
        ],
    )
    file = tmp_path / "results.json"
    run_main(monkeypatch, *CONTEST, "--seconds", "0", "--json", str(file))
    report: dict[str, Any] = json.loads(file.read_text())
    assert [entry["rival"] for entry in report["entries"]] == [
        "squishnative, from and to the host",
        "squishnative, i8 weights, from and to the host",
        "torch eager, channels_last",
    ]
    for entry in report["entries"]:
        assert entry["problem"] == "clusters15"
        assert entry["batch"] == 2
        assert 0 <= entry["difference"] < 1e-5
        assert 0 < entry["throughput_min"] <= entry["throughput_median"]
        assert entry["latency"] > 0
    assert {left["rival"]: left["why"] for left in report["left_out"]} == {
        "squishnative, f32": "tensors on the device need CUDA",
        "torch graph, channels_last, f16": "graph is for CUDA",
    }
    assert report["machine"]["torch"] == torch.__version__
    assert "| torch eager, channels_last | f32 |" in capsys.readouterr().out


def off_by_a_percent(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """PyTorch computes something else for batches of this size."""
    make = TorchRival.make

    def wrong(self: TorchRival, problem: gpu_problems.Problem, images: torch.Tensor) -> Any:
        run = make(self, problem, images)
        return (lambda: run() * 1.01) if problem.batch == batch else run

    monkeypatch.setattr(TorchRival, "make", wrong)


def test_another_net_is_not_timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    off_by_a_percent(monkeypatch, 1)
    problem = gpu_problems.squeezenet_1_1("dense", 1, 48)
    rivals = [TorchRival("eager", "f32", channels_last=True)]
    contest = compare_gpu.Contest(problem, rivals, "cpu", tmp_path, time.monotonic() + 600)
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
                raise RuntimeError("CUDA error: unspecified launch failure\nand what to do")
            return measure(self, seconds)

        monkeypatch.setattr(compare_gpu.Contest, "measure", broken)
    file = tmp_path / "results.json"
    with pytest.raises(SystemExit) as ended:
        run_main(monkeypatch, *CONTEST, "3", "--seconds", "0", "--json", str(file))
    assert ended.value.code == 1
    report: dict[str, Any] = json.loads(file.read_text())
    ours, theirs = "squishnative, from and to the host", "torch eager, channels_last"
    timed = [(entry["batch"], entry["rival"]) for entry in report["entries"]]
    assert timed == [(2, ours)] * (breaks == "logits") + [(3, ours), (3, theirs)]
    (left,) = report["left_out"]
    assert left["batch"] == 2
    if breaks == "logits":
        assert left["rival"] == theirs + ", f32"
    else:
        assert left["rival"] == "everybody"
        assert left["why"] == "CUDA error: unspecified launch failure"


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
    assert [entry["batch"] for entry in json.loads(file.read_text())["entries"]] == [2]
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
    problem = gpu_problems.squeezenet_1_1("dense", 1, 48)
    ours = OurRival(on_device=False)
    rivals: list[compare_gpu.Rival] = [ours, TorchRival("eager", "f32", channels_last=True)]
    contest = compare_gpu.Contest(problem, rivals, "cpu", tmp_path, time.monotonic() - 1)
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
    problem = gpu_problems.squeezenet_1_1("dense", 1, 48)
    rivals = [TorchRival("eager", precision, channels_last=True) for precision in seen]
    compare_gpu.Contest(problem, rivals, "cpu", tmp_path, time.monotonic() + 600).measure(0)
    assert seen == {"f32": {False}, "tf32": {True}}


def test_compiled_rivals_have_a_pass_of_their_own() -> None:
    problem = gpu_problems.squeezenet_1_1("dense", 1, 48)
    names = [rival.name for rival in compare_gpu.rivals_of(problem)]
    compiled = [rival.name for rival in compare_gpu.rivals_of(problem, True)]
    assert not any("compile" in name for name in names)
    assert compiled[0] == names[0] == OurRival().name
    assert sum("compile" in name for name in compiled) == 4


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_without_a_gpu_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="PyTorch sees no CUDA device"):
        run_main(monkeypatch)


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="for machines without a GPU")
def test_the_check_needs_a_gpu_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [TOOLS / "gpu_check.sh", tmp_path / "results"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "no GPU: nvidia-smi says" in done.stderr
    assert not (tmp_path / "results").exists()


def test_the_check_says_what_it_has_no_time_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'NVIDIA Nothing'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("GPU_CHECK_SECONDS", "0")
    results = tmp_path / "results"
    done = subprocess.run([TOOLS / "gpu_check.sh", results], capture_output=True, text=True)
    assert done.returncode == 1
    name, *parts = (results / "summary.txt").read_text().splitlines()
    assert name == "NVIDIA Nothing"
    for part in ("configure", "kernels and nets", "the package", "memcheck", "beside PyTorch"):
        assert any(line.startswith(part) and "LEFT OUT: " in line for line in parts), part
    assert all("LEFT OUT: " in line for line in parts)
