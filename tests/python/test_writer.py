"""_core.NetWriter and what Model reads back: the engine's file as Python sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from squishnative import _core
from squishnative.spec import FloatArray

WEIGHT = np.random.default_rng(0).standard_normal((20, 3, 3, 3), np.float32)
WEIGHT[::2] = 0
BIAS = (np.arange(20) / 3 - 2).astype(np.float32)


def writer(channels: int = 3, mean: int = 3) -> _core.NetWriter:
    return _core.NetWriter(channels, 9, 11, [0.5] * mean, [0.25] * channels, 12, "bicubic")


def one_conv(**options: Any) -> _core.NetWriter:
    net = writer()
    weight: FloatArray = options.pop("weight", WEIGHT)
    assert net.conv("conv1", -1, weight, options.pop("bias", BIAS), **options) == 0
    return net


@pytest.mark.parametrize("encoding", ["dense", "cluster16x1", "cluster16x4", "synapse"])
@pytest.mark.parametrize("dtype", ["f32", "f16", "i8", "i4"])
def test_weights_come_back(encoding: str, dtype: str) -> None:
    data = one_conv(encoding=encoding, dtype=dtype).to_bytes()
    [layer] = _core.Model.from_bytes(data).layers
    [conv] = layer.convs
    assert (conv.encoding, conv.dtype) == (encoding, dtype)
    assert conv.live_weights == np.count_nonzero(conv.weight())
    wanted_bias = BIAS if dtype == "f32" else BIAS.astype("f2").astype("f4")
    np.testing.assert_array_equal(conv.bias(), wanted_bias)
    largest = np.abs(WEIGHT).max(axis=(1, 2, 3), keepdims=True)
    # Half a step: none for f32, 2^-11 of the value for f16, for i8 1/254 and for i4 1/14 of the
    # channel's largest and what it takes to round up to an f16.
    allowed = {
        "f32": np.zeros_like(WEIGHT),
        "f16": np.abs(WEIGHT) * 2.0**-11,
        "i8": np.broadcast_to(largest / 254 * (1 + 2.0**-10), WEIGHT.shape),
        "i4": np.broadcast_to(largest / 14 * (1 + 2.0**-10), WEIGHT.shape),
    }[dtype]
    assert (np.abs(conv.weight() - WEIGHT) <= allowed).all()


@pytest.mark.parametrize("encoding", ["dense", "cluster16x1", "cluster16x4", "synapse"])
def test_int4_takes_the_bytes_that_the_layout_says(encoding: str) -> None:
    # 17 x 3 of 3x3: 459 weights, an odd number. 0.01 rounds to 0 of 7 levels.
    rng = np.random.default_rng(1)
    weight = rng.choice([0, 0.01, 1], (17, 3, 3, 3), p=[0.5, 0.3, 0.2]).astype(np.float32)
    weight[:, 0, 0, 0] = 1
    weight[:, 2, 1] = 0
    data = one_conv(
        weight=weight, bias=BIAS[:17], dtype="i4", encoding=encoding, compress=False
    ).to_bytes()
    [conv] = _core.Model.from_bytes(data).layers[0].convs
    rows, columns = {"cluster16x1": (16, 1), "cluster16x4": (16, 4)}.get(encoding, (1, 1))

    def clusters(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        padded = np.zeros((32, 4, 3, 3), bool)
        padded[:17, :3] = mask
        return padded.reshape(32 // rows, rows, 4 // columns, columns, 3, 3)

    exist = clusters(np.ones_like(weight, bool))
    live = clusters(weight == 1).any(axis=(1, 3), keepdims=True) | (encoding == "dense")
    stored = int((exist & live).sum())
    bits = 0 if encoding == "dense" else int(exist.any(axis=(1, 3)).sum())
    assert conv.payload_bytes == 2 * 17 + 2 * 17 + -(-bits // 8) + -(-stored // 2)
    assert (conv.weight() != 0).sum() == conv.live_weights == (weight == 1).sum()


def test_a_channel_of_zeros_is_zeros_as_int4() -> None:
    [conv] = _core.Model.from_bytes(one_conv(dtype="i4").to_bytes()).layers[0].convs
    assert (conv.weight()[::2] == 0).all()
    assert (conv.weight()[1::2] != 0).any(axis=(1, 2, 3)).all()


def test_smallest_leaves_zeros_out() -> None:
    sizes = {
        encoding: len(one_conv(encoding=encoding).to_bytes())
        for encoding in ("dense", "cluster16x1", "cluster16x4", "synapse", "smallest")
    }
    assert sizes["smallest"] == min(sizes.values()) < sizes["dense"]


def test_everything_about_a_net_comes_back(tmp_path: Path) -> None:
    net = one_conv(stride=(2, 1), padding=(0, 1, 2, 1), relu=False)
    net.max_pool("pool1", 0, (3, 2), (2, 2), (1, 0, 0, 1), ceil_mode=True)
    filters = np.ones((4, 20, 1, 1), np.float32), np.zeros(4, np.float32), (2.0**-40, 255)
    wide = np.ones((20, 4, 3, 3), np.float32), np.zeros(20, np.float32), None
    net.fire("fire2", 1, filters, None, wide)
    net.add("add2", (1, 2), relu=True)
    net.global_average_pool("pool2", 3)
    net.set_labels([f"ä{i}" for i in range(20)])
    net.set_about("für Menschen")
    path = tmp_path / "net.squish"
    net.save(path)
    model = _core.Model.load(path)
    assert model.file_bytes == path.stat().st_size
    assert (model.input_shape, model.resize, model.interpolation) == ((3, 9, 11), 12, "bicubic")
    assert (model.mean, model.std) == ([0.5] * 3, [0.25] * 3)
    assert (model.classes, model.labels[19], model.about) == (20, "ä19", "für Menschen")
    conv, pool, fire, add, average = model.layers
    assert [layer.kind for layer in model.layers] == [
        "conv",
        "max_pool",
        "fire",
        "add",
        "global_average_pool",
    ]
    assert (conv.convs[0].stride, conv.convs[0].padding) == ((2, 1), (0, 1, 2, 1))
    assert not conv.convs[0].relu
    assert [c.activation for c in (*conv.convs, *fire.convs)] == [None, (2.0**-40, 255), None, None]
    assert (pool.kernel, pool.stride, pool.padding) == ((3, 2), (2, 2), (1, 0, 0, 1))
    assert pool.ceil_mode
    assert [c.out_channels for c in fire.convs] == [4, 0, 20]
    assert (add.inputs, add.relu) == ([1, 2], True)
    assert average.inputs == [3]
    assert model.layer_shapes(9, 11)[0] == (20, 5, 11)


def test_layers_keep_their_model_alive() -> None:
    conv = _core.Model.from_bytes(one_conv().to_bytes()).layers[0].convs[0]
    np.testing.assert_array_equal(conv.weight(), WEIGHT)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "net.squish"
    one_conv().save(str(path))
    old = path.read_bytes()
    with pytest.raises(ValueError, match="kLayers"):
        writer().save(str(path))
    assert path.read_bytes() == old
    with pytest.raises(FileNotFoundError) as missing:
        one_conv().save(str(tmp_path / "none" / "net.squish"))
    assert missing.value.filename == str(tmp_path / "none" / "net.squish")
    (tmp_path / "folder.squish").mkdir()
    with pytest.raises(IsADirectoryError):
        one_conv().save(str(tmp_path / "folder.squish"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.squish", "net.squish"]


def test_an_activation_comes_back() -> None:
    [conv] = _core.Model.from_bytes(one_conv(activation=(0.1, 7)).to_bytes()).layers[0].convs
    assert conv.activation == (float(np.float32(0.1)), 7)


@pytest.mark.parametrize(("scale", "zero"), [(2.0**41, 0), (-1.0, 0), (1.0, 256), (1.0, -1)])
def test_an_activation_that_a_file_cannot_hold_is_refused(scale: float, zero: int) -> None:
    with pytest.raises(ValueError, match=r"'conv1'.*activation_(scale|zero)"):
        one_conv(activation=(scale, zero)).to_bytes()


BAD_CONVS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "dtype": ({"dtype": "f8"}, ValueError, "dtype: got 'f8', wanted"),
    "encoding": ({"encoding": "zip"}, ValueError, "encoding: got 'zip', wanted"),
    "float64": ({"weight": WEIGHT.astype("f8")}, TypeError, "'conv1': weight: got dtype float64"),
    "rank": ({"weight": WEIGHT[0]}, ValueError, "'conv1': weight: got 3 axes, wanted 4"),
    "bias": ({"bias": BIAS[:5]}, ValueError, "'conv1'.*bias.*20"),
    "NaN": ({"weight": np.full_like(WEIGHT, np.nan)}, ValueError, "'conv1'.*finite"),
    "f16 overflow": ({"weight": WEIGHT * 1e6, "dtype": "f16"}, ValueError, "'conv1'.*f16"),
    "f16 bias": (
        {"bias": BIAS * 1e5, "dtype": "i8"},
        ValueError,
        "'conv1'.*bias 0 is -200000.*f16",
    ),
    "i8 overflow": ({"weight": WEIGHT * 1e9, "dtype": "i8"}, ValueError, "'conv1'.*i8 holds"),
    "i4 overflow": ({"weight": WEIGHT * 1e9, "dtype": "i4"}, ValueError, "'conv1'.*i4 holds"),
}


@pytest.mark.parametrize("case", BAD_CONVS)
def test_bad_convolutions_say_got_and_wanted(case: str) -> None:
    options, error, message = BAD_CONVS[case]
    with pytest.raises(error, match=message):
        one_conv(**options)


def test_bad_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="interpolation: got 'area', wanted"):
        _core.NetWriter(3, 9, 11, [0.5] * 3, [0.25] * 3, 12, "area")
    net = writer(mean=2)
    net.conv("conv1", -1, WEIGHT, BIAS)
    with pytest.raises(ValueError, match="mean"):
        net.to_bytes()
