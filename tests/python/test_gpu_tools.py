"""What measures on a GPU, rehearsed on the CPU."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import compare_gpu
import gpu_problems
import pytest
import torch
from gpu_rivals import OurRival, TorchRival
from squishnative.spec import NetSpec

TOOLS = Path(compare_gpu.__file__).parents[1]
CONTEST = ["--device", "cpu", "--problems", "clusters15", "--batch", "2", "--extent", "48"]


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
        lambda _: [
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


def test_another_net_is_not_timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make = TorchRival.make

    def wrong(self: TorchRival, problem: gpu_problems.Problem, images: torch.Tensor) -> Any:
        run = make(self, problem, images)
        return lambda: run() * 1.01

    monkeypatch.setattr(TorchRival, "make", wrong)
    problem = gpu_problems.squeezenet_1_1("dense", 1, 48)
    with pytest.raises(ValueError, match=r"eager.* on dense, batch 1: logits differ by 0\.01"):
        compare_gpu.Contest(problem, "cpu", tmp_path, time.monotonic() + 600)


def test_who_comes_too_late_is_named(tmp_path: Path) -> None:
    problem = gpu_problems.squeezenet_1_1("dense", 1, 48)
    contest = compare_gpu.Contest(problem, "cpu", tmp_path, time.monotonic() - 1)
    assert set(contest.left_out.values()) == {"no time left"}
    assert contest.measure(0) == []


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
