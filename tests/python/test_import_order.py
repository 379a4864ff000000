"""The module beside torch and on its own, each in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

INFER = """
import numpy as np
net = squishnative.load({path!r}, threads=2)
logits = net.infer(np.ones((2, 3, 24, 24), np.float32))
assert logits.shape == (2, 7) and np.isfinite(logits).all()
"""
TORCH = """
a = torch.randn(64, 64)
assert torch.allclose((a @ a).double(), a.double() @ a.double(), atol=1e-3)
"""


def run(*parts: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "\n".join(parts)], capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize(
    "imports",
    ["import squishnative, torch", "import torch, squishnative", "import squishnative"],
    ids=["before torch", "after torch", "without torch"],
)
def test_runs_in_any_import_order(net_file: Path, imports: str) -> None:
    parts = [imports, INFER.format(path=str(net_file))]
    if "torch" in imports:
        parts += [TORCH, INFER.format(path=str(net_file))]
    done = run(*parts)
    assert (done.returncode, done.stderr) == (0, "")


def test_import_pulls_in_nothing_heavy() -> None:
    heavy = {"torch", "onnx", "onnxruntime", "sklearn", "rich", "typer"}
    done = run(
        "import sys, squishnative",
        f"print(sorted({heavy!r} & set(sys.modules)))",
    )
    assert done.stdout.strip() == "[]"
