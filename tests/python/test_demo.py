"""`squish demo`, with fewer epochs than it has for people."""

from __future__ import annotations

from pathlib import Path

import pytest
import squishnative

pytest.importorskip("sklearn", reason="needs scikit-learn")

from squishnative.demo import run as demo
from squishnative.demo import training
from squishnative.demo.digits import HELD_OUT, LABELS, SIZE, load_digits


@pytest.mark.slow
def test_demo_leaves_a_net_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "EPOCHS", 3)
    demo.run(tmp_path, seed=0)
    printed = capsys.readouterr().out
    for word in ("accuracy  PyTorch", "accuracy  engine", "parity", "rounding", "speed"):
        assert word in printed
    images = sorted((tmp_path / "images").iterdir())
    with squishnative.load(tmp_path / "digits.squish") as net:
        assert net.labels == LABELS
        assert net.input_shape == (3, SIZE, SIZE)
        assert len(net.predict(images, k=1)) == demo.SAVED_IMAGES


def test_held_out_digits_are_not_trained_on() -> None:
    digits = load_digits(seed=0)
    assert len(digits.test_images) == len(digits.test_classes) == HELD_OUT
    assert len(digits.train_images) + HELD_OUT == 1797
    seen = {image.tobytes() for image in digits.train_images}
    assert not any(image.tobytes() in seen for image in digits.test_images)


def test_a_wrong_engine_is_noticed(tmp_path: Path) -> None:
    digits = load_digits(seed=0)
    file = demo._convert(training.SqueezeNet(10).eval(), tmp_path)
    with squishnative.load(file) as net:
        images = digits.test_images[:4]
        logits = net.infer(images)
        demo._check(net, images, logits)
        logits[2, 3] += 0.01 * abs(logits).max()
        with pytest.raises(RuntimeError, match="more than rounding explains"):
            demo._check(net, images, logits)
