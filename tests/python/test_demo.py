"""`squish demo`, with fewer epochs than it has for people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import squishnative

pytest.importorskip("sklearn", reason="needs scikit-learn")

from squishnative.demo import run as demo
from squishnative.demo.digits import HELD_OUT, LABELS, SIZE, load_digits
from squishnative.spec import InputSpec
from squishnative.train.architecture import squeezenet


@pytest.mark.slow
def test_demo_leaves_nets_that_run_and_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "RECIPE", replace(demo.RECIPE, epochs=3))
    monkeypatch.setattr(demo, "GENERATION_EPOCHS", 1)
    monkeypatch.setattr(demo, "MATURE_EPOCHS", 1)
    demo.run(tmp_path, seed=1)
    demo.run(tmp_path, seed=0)  # replaces the other one's nets
    printed = capsys.readouterr().out
    for word in ("accuracy  PyTorch", "accuracy  engine", "parity", "rounding", "speed", "alive"):
        assert word in printed
    images = sorted((tmp_path / "images").iterdir())
    smallest = tmp_path / "family" / "family" / "generation-03-member-0.squish"
    assert smallest.stat().st_size <= demo.MAX_BYTES * 1.005
    for file in (tmp_path / "digits.squish", smallest):
        with squishnative.load(file) as net:
            assert net.labels == LABELS
            assert net.input_shape == (3, SIZE, SIZE)
            assert len(net.predict(images, k=1)) == demo.SAVED_IMAGES
    assert "generation-03" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_anothers_report_is_left_alone_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"no earlier report's page"):
        demo.run(tmp_path, seed=0)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_held_out_digits_are_not_trained_on() -> None:
    digits = load_digits(seed=0)
    assert len(digits.val) == HELD_OUT
    assert len(digits.train) + HELD_OUT == 1797
    seen = {image.tobytes() for image in digits.train.images}
    assert not any(image.tobytes() in seen for image in digits.val.images)


def test_a_wrong_engine_is_noticed(tmp_path: Path) -> None:
    spec = squeezenet("1.1", 10, width=0.5)
    spec.input = InputSpec(height=SIZE, width=SIZE)
    spec.save(tmp_path / "net.squish")
    with squishnative.load(tmp_path / "net.squish") as net:
        images = load_digits(seed=0).val.images[:4]
        logits = net.infer(images)
        demo._check(net, images, logits)
        logits[2, 3] += 0.01 * abs(logits).max()
        with pytest.raises(RuntimeError, match="more than rounding explains"):
            demo._check(net, images, logits)
