"""tools/bench/agreement.py, on a few photographs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import agreement
import numpy as np
import pytest
from squishnative.train.dataset import Dataset
from squishnative.train.run import read_net


@pytest.mark.usefixtures("one_thread")
def test_a_net_agrees_with_itself(
    pictures: Path, ancestor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "agreement.json"
    arguments = ["--data", str(pictures), "--json", str(file), "--weights", "f32", "f16"]
    monkeypatch.setattr(sys, "argv", ["agreement.py", str(ancestor), *arguments])
    with pytest.raises(SystemExit) as left:
        agreement.main()
    found = json.loads(file.read_text(encoding="utf-8"))
    assert [(one["weights"], one["storage"]) for one in found] == [("f32", "f32"), ("f16", "f32")]
    assert found[0]["same"] == found[0]["images"] > 0
    assert found[0]["difference"] == 0
    assert 0 < found[1]["difference"] < 1e-2
    assert left.value.code == any(one["same"] < 0.995 * one["images"] for one in found)


@pytest.mark.usefixtures("one_thread")
def test_other_labels_are_counted(
    data: Dataset, ancestor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = data.val.images
    classes = len(read_net(str(ancestor)).labels)
    answers = [np.eye(classes, dtype=np.float32)[[0] * len(images)]] * 2
    answers[1] = np.concatenate([np.roll(answers[1][:1], 1), answers[1][1:]])
    monkeypatch.setattr(agreement, "_logits", lambda *_: answers.pop(0))
    (one,) = agreement.agreements(ancestor, images, "cpu", ["f32"])
    assert (one.images, one.same, one.difference) == (len(images), len(images) - 1, 1)
    assert one.enough == (0.005 * len(images) >= 1)


def test_what_is_not_there_is_named(
    ancestor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "missing"
    monkeypatch.setattr(sys, "argv", ["agreement.py", str(ancestor), "--data", str(missing)])
    with pytest.raises(SystemExit, match=f"agreement.py: .*{missing}"):
        agreement.main()
