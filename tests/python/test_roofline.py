from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import roofline
from roofline import DEVICES, Device, model_seconds
from squishnative.spec import (
    INPUT,
    Conv,
    ConvSpec,
    Fire,
    GlobalAveragePool,
    InputSpec,
    Layer,
    MaxPool,
    NetSpec,
)


def conv(o: int, i: int, kernel: int, pad: int = 0) -> ConvSpec:
    return ConvSpec(
        np.ones((o, i, kernel, kernel), np.float32), np.zeros(o, np.float32), (1, 1), (pad,) * 4
    )


def net() -> NetSpec:
    layers: list[Layer] = [
        Conv("stem", INPUT, conv(16, 3, 1)),
        MaxPool("pool", 0, (2, 2), (2, 2)),
        Fire("fire", 1, conv(16, 16, 1), conv(16, 16, 1), conv(16, 16, 3, 1)),
        Conv("head", 2, conv(10, 32, 1)),
        GlobalAveragePool("average", 3),
    ]
    return NetSpec(InputSpec(height=8, width=8, resize=8), layers)


STEM = (48, 48 * 64, 3 * 64 + 16 * 16)  # living weights, multiply-adds, values read and written
FIRE = (256 + 256 + 2304, (256 + 256 + 2304) * 16, 16 * 16 + 32 * 16)
HEAD = (320, 320 * 16, 32 * 16 + 10)


@pytest.mark.parametrize(("precision", "size"), [("f32", 4), ("f16", 2)])
def test_each_layer_takes_the_longer_of_arithmetic_and_memory(precision: str, size: int) -> None:
    for flops, bandwidth in ((1e9, 1e30), (1e30, 1e9), (1e9, 1e9)):
        device = Device("test", {"f32": flops, "f16": flops}, bandwidth)
        wanted = sum(
            max(2 * macs / flops, (weights + values) * size / bandwidth)
            for weights, macs, values in (STEM, FIRE, HEAD)
        )
        assert model_seconds(net(), device, precision) == pytest.approx(wanted)


def test_clusters_that_are_dead_cost_nothing() -> None:
    arithmetic = Device("test", {"f32": 1e9}, 1e30)
    sparse = net()
    fire = sparse.layers[2]
    assert isinstance(fire, Fire)
    assert fire.expand3x3 is not None
    fire.expand3x3.weight[:, 1:] = 0
    saved = model_seconds(net(), arithmetic, "f32") - model_seconds(sparse, arithmetic, "f32")
    assert saved == pytest.approx(2 * (2304 - 144) * 16 / 1e9)


def test_it_says_that_it_is_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "small.squish"
    net().save(file)
    monkeypatch.setattr("sys.argv", ["roofline.py", str(file)])
    roofline.main()
    said = capsys.readouterr().out
    assert said.startswith("Jetson TX1: a model, not measured")
    assert f"{1 / model_seconds(net(), DEVICES['tx1'], 'f32'):.0f}/s" in said
    monkeypatch.setattr("sys.argv", ["roofline.py", str(tmp_path / "none.squish")])
    with pytest.raises(SystemExit, match=r"none\.squish"):
        roofline.main()
