"""Activations in bytes: which scales are chosen, and what that leaves of a net."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import numpy as np
import numpy.typing as npt
import pytest
import squishnative
import torch
from nets import random_net
from pictures import LABELS, SIZE
from squishnative import reference
from squishnative.cli.main import app
from squishnative.quantise import quantise
from squishnative.quantise.histogram import Histogram, of_range
from squishnative.spec import (
    INPUT,
    Activation,
    Add,
    Conv,
    ConvSpec,
    Fire,
    FloatArray,
    GlobalAveragePool,
    InputSpec,
    Layer,
    MaxPool,
    NetSpec,
)
from squishnative.train.dataset import read_for_calibration
from squishnative.train.run import read_net
from tiny_net import pixels, tiny_spec
from typer.testing import CliRunner, Result

pytestmark = pytest.mark.usefixtures("one_thread")

f32 = np.float32


# Scales


def histogram_of(*parts: FloatArray) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(torch.from_numpy(part.astype(f32)))
    return histogram


def error(values: FloatArray, activation: Activation) -> float:
    """The sum of squares, of each value by itself."""
    scale, zero = activation
    steps = np.clip(np.rint(values.astype(np.float64) / scale) + zero, 0, 255) - zero
    return float(((steps * scale - values) ** 2).sum())


def drawn(name: str, count: int = 20000) -> FloatArray:
    rng = np.random.default_rng(0)
    values = {
        "uniform": rng.uniform(0, 3, count),
        "normal": rng.standard_normal(count),
        "ReLU": rng.standard_normal(count).clip(0),
        "exponential": rng.exponential(0.01, count),
        "skewed": rng.exponential(100, count) - 30,
        "negative": -rng.exponential(1, count),
        "outlier": np.append(rng.standard_normal(count).clip(0), 60),
    }
    return values[name].astype(f32)


@pytest.mark.parametrize("name", ["uniform", "ReLU", "exponential", "outlier"])
def test_the_scale_is_about_the_best_there_is(name: str) -> None:
    values = drawn(name)
    chosen = histogram_of(values).best_activation()
    assert chosen.zero == 0
    others = values.max() / 255 * np.linspace(0.05, 1.1, 400)
    best = min(error(values, Activation(float(scale), 0)) for scale in others)
    assert error(values, chosen) <= 1.02 * best


@pytest.mark.parametrize("name", ["normal", "skewed", "negative", "ReLU"])
def test_scale_and_zero_are_about_the_best_there_are(name: str) -> None:
    values = drawn(name, 4000)
    chosen = histogram_of(values).best_activation()
    whole = (values.max() - min(0, values.min())) / 255
    others = [
        Activation(float(whole * share), zero)
        for share in np.linspace(0.3, 1.05, 26)
        for zero in range(0, 256, 3)
    ]
    assert error(values, chosen) <= 1.1 * min(error(values, other) for other in others)


def test_outliers_are_clipped() -> None:
    """1,000,000 c^2 / (12 * 255^2) of rounding and (60 - c)^2 are least at c = 26."""
    chosen = histogram_of(drawn("outlier", 2_000_000)).best_activation()
    assert 255 * chosen.scale == pytest.approx(26, rel=0.03)
    uniform = histogram_of(drawn("uniform")).best_activation()
    assert 255 * uniform.scale == pytest.approx(3, rel=0.01)


def test_outliers_are_clipped_on_both_sides() -> None:
    """1,000,000 (2 c)^2 / (12 * 255^2) and 2 (60 - c)^2 are least at c = 17."""
    values = np.append(drawn("normal", 1_000_000), [-60, 60])
    scale, zero = histogram_of(values).best_activation()
    assert 255 * scale == pytest.approx(2 * 17, rel=0.15)
    assert 100 < zero < 155


def test_values_may_come_in_any_parts() -> None:
    values = np.concatenate([1e-6 * drawn("normal"), drawn("normal"), 1e4 * drawn("normal", 9)])
    wanted = histogram_of(values).best_activation()
    for parts in (np.split(values, [100, 5000]), np.array_split(values[::-1], 7)):
        assert histogram_of(*parts).best_activation() == wanted


def test_nothing_but_zeros_has_any_scale() -> None:
    zeros = histogram_of(np.zeros(5, f32))
    assert zeros.best_activation() == Activation(1.0, 0)
    assert zeros.best_activation(8.0) == Activation(8.0, 0)


def test_a_scale_is_no_less_than_it_must_be() -> None:
    histogram = histogram_of(drawn("normal"))
    assert histogram.best_activation(0.5).scale == 0.5
    assert histogram.best_activation(1e-3) == histogram.best_activation()


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_refuses_values_that_are_not_finite(value: float) -> None:
    with pytest.raises(ValueError, match="wanted finite ones"):
        histogram_of(np.array([0, value], f32))


@pytest.mark.parametrize(
    ("low", "high"), [(-2.1, 2.6), (-1, 1), (0, 1), (-1, 0), (1, 3), (-7, -1), (-0.1, 9), (0, 0)]
)
def test_a_range_is_reached_as_finely_as_may_be(low: float, high: float) -> None:
    scale, zero = of_range(low, high)
    least, most = -zero * scale, (255 - zero) * scale
    rounding = 1e-6 * (high - low)
    assert least <= min(low, 0) + rounding
    assert most >= max(high, 0) - rounding
    if low != high:
        assert most - least <= (max(high, 0) - min(low, 0)) * 255 / 254 + rounding


# Nets


def conv(
    outputs: int, inputs: int, relu: bool = True, weight: float = 1.0, bias: float = 0.0
) -> ConvSpec:
    shape = (outputs, inputs, 1, 1)
    return ConvSpec(np.full(shape, weight, f32), np.full(outputs, bias, f32), relu=relu)


def net_of(*layers: Layer) -> NetSpec:
    return NetSpec(InputSpec(1, 4, 4, (0.5,), (0.5,)), list(layers))


def chosen(spec: NetSpec) -> dict[str, Optional[Activation]]:
    return {name: conv.activation for layer in spec.layers for name, conv in layer.named_convs()}


def zero(found: Optional[Activation]) -> int:
    assert found is not None
    return found.zero


def test_readers_of_one_activation_agree() -> None:
    found = chosen(quantise(tiny_spec(), pixels(8)))
    assert None not in found.values()
    assert found["fire2/expand1x1"] == found["fire2/expand3x3"] != found["fire2/squeeze"]
    assert len(set(found.values())) == 6
    two = net_of(
        Conv("first", INPUT, conv(1, 1)),
        MaxPool("pool", 0, (1, 1), (1, 1)),
        MaxPool("again", 1, (1, 1), (1, 1)),
        Conv("after", 2, conv(1, 1)),
        Conv("beside", 0, conv(1, 1)),
        Add("sum", (3, 4)),
    )
    found = chosen(quantise(two, pixels(2, 1, 4)))
    assert found["after"] == found["beside"] != found["first"]


def test_the_input_reaches_from_black_to_white() -> None:
    spec = tiny_spec()
    spec.input.mean, spec.input.std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.2)
    found = chosen(quantise(spec, pixels(1) // 4))["conv1"]
    assert found is not None
    assert found.scale == pytest.approx(6 / 254, rel=1e-6)
    assert found.zero in (127, 128)
    pooled = net_of(MaxPool("pool", INPUT), Conv("conv", 0, conv(1, 1)))
    assert chosen(quantise(pooled, pixels(1, 1, 4)))["conv"] == of_range(-1, 1)


@pytest.mark.parametrize(
    ("layers", "negative"),
    [
        ([Conv("first", INPUT, conv(1, 1))], False),
        ([Conv("first", INPUT, conv(1, 1, relu=False))], True),
        ([Conv("first", INPUT, conv(1, 1, relu=False)), GlobalAveragePool("mean", 0)], True),
        ([Conv("first", INPUT, conv(1, 1, relu=False)), Add("sum", (0, 0), relu=True)], False),
        ([Conv("first", INPUT, conv(1, 1)), Add("sum", (0, 0))], False),
        ([Conv("first", INPUT, conv(1, 1)), Add("sum", (0, INPUT))], True),
        ([Fire("first", INPUT, conv(1, 1), conv(1, 1), None)], False),
        ([MaxPool("pool", INPUT, (1, 1), (1, 1))], True),
    ],
)
def test_zero_is_the_byte_0_where_nothing_is_negative(layers: list[Layer], negative: bool) -> None:
    last = Conv("last", len(layers) - 1, conv(1, 1))
    batch = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1) * 16
    assert (zero(chosen(quantise(net_of(*layers, last), batch))["last"]) > 0) == negative


def test_a_pool_does_not_hide_what_others_read() -> None:
    """The pool has no negative values, but another convolution reads the activation itself."""
    layers: list[Layer] = [
        Conv("first", INPUT, conv(1, 1, relu=False)),
        MaxPool("pool", 0, (4, 4), (1, 1)),
        Conv("after", 1, conv(1, 1)),
        Conv("beside", 0, conv(1, 1)),
    ]
    batch = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1) * 16
    pooled = quantise(net_of(*layers[:3]), batch)
    assert zero(chosen(pooled)["after"]) == 0
    both = net_of(*layers, GlobalAveragePool("mean", 3), Add("sum", (2, 4)))
    assert zero(chosen(quantise(both, batch))["after"]) > 100


@pytest.mark.parametrize("dtype", ["i8", "i4"])
def test_weights_are_measured_as_the_file_rounds_them(dtype: str) -> None:
    stored = reference.read(tiny_spec().to_bytes(dtype))
    wanted = chosen(quantise(stored, pixels(8), dtype))
    assert chosen(quantise(tiny_spec(), pixels(8), dtype)) == wanted
    assert chosen(quantise(tiny_spec(), pixels(8), {"i8": "i4", "i4": "i8"}[dtype])) != wanted


@pytest.mark.parametrize(("dtype", "share"), [("i8", 0.03), ("i4", 0.03)])
def test_logits_stay_close_to_those_of_the_file_in_floats(dtype: str, share: float) -> None:
    spec, batch = tiny_spec(), pixels(64)
    data = quantise(spec, batch[:32], dtype).to_bytes(dtype)
    exact, _ = reference.run(data, batch[32:])
    off = np.sqrt(((reference.integer_logits(data, batch[32:]) - exact) ** 2).mean())
    assert 0 < off < share * exact.std()


def test_the_net_in_floats_stays_what_it_is() -> None:
    spec = tiny_spec()
    made = quantise(spec, pixels(4), "i4")
    assert set(chosen(spec).values()) == {None}
    for dtype in ("i4", "f32"):
        assert made.in_floats().to_bytes(dtype) == spec.to_bytes(dtype)
    assert (made.labels, made.about) == (spec.labels, spec.about)


def test_the_same_images_choose_the_same_again() -> None:
    once = quantise(tiny_spec(), pixels(20))
    assert quantise(once, pixels(20)).to_bytes("i8") == once.to_bytes("i8")
    assert quantise(tiny_spec(), pixels(20)[::2]).to_bytes("i8") != once.to_bytes("i8")


@pytest.mark.parametrize("bias", [-6e4, 1e-6])
def test_a_net_that_is_nearly_dead_is_made_for_integers(bias: float) -> None:
    """A thousand weights cancel and leave the bias, but bytes might come that do not cancel."""
    wide = Conv("wide", INPUT, conv(1000, 1))
    weight = np.resize(np.array([1, -1], f32), (1, 1000, 1, 1))
    cancelling = Conv("cancelling", 0, ConvSpec(weight, np.full(1, bias, f32)))
    spec = net_of(wide, cancelling, Conv("last", 1, conv(1, 1)))
    white = np.full((1, 4, 4, 1), 255, np.uint8)
    made = quantise(spec, white)
    reference.check_made_for_integers(made.to_bytes("i8"))
    found = chosen(made)["last"]
    assert found is not None
    assert found.scale == 1 if bias < 0 else found.scale < 1e-3


BAD: dict[str, tuple[npt.NDArray[np.generic], str, str]] = {
    "dtype": (pixels(1), "f16", "dtype: got 'f16', wanted 'i8' or 'i4'"),
    "floats": (pixels(1).astype(f32), "i8", r"images: got float32 .*wanted uint8 \(N, H, W, 3\)"),
    "one image": (pixels(1)[0], "i8", r"images: got uint8 \(24, 24, 3\), wanted uint8 \(N, H"),
    "planes": (pixels(1).transpose(0, 3, 1, 2), "i8", r"got uint8 \(1, 3, 24, 24\)"),
    "none": (pixels(0), "i8", "images: got none"),
    "small": (pixels(1, size=2), "i8", "layer 0 'conv1': 2 pixels padded"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_say_got_and_wanted(case: str) -> None:
    images, dtype, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        quantise(tiny_spec(), images, dtype)  # type: ignore[arg-type]


def test_arguments_of_another_type() -> None:
    with pytest.raises(TypeError, match="spec: got str, wanted a NetSpec"):
        quantise("net.squish", pixels(1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="images: got list, wanted a NumPy array"):
        quantise(tiny_spec(), [1])  # type: ignore[arg-type]


def test_names_the_convolution_that_no_bytes_suit() -> None:
    wide = Conv("wide", INPUT, conv(40000, 1))
    last = Conv("last", 0, ConvSpec(np.ones((1, 40000, 1, 2), f32), np.zeros(1, f32)))
    with pytest.raises(ValueError, match=r"'last' is not made for integers: its sums may reach 2,"):
        quantise(net_of(wide, last), pixels(1, 1, 4))
    large = [Conv(f"c{k}", k - 1, conv(1, 1, weight=1e6, bias=6e4)) for k in range(8)]
    with pytest.raises(ValueError, match="the input of 'c7': got values up to inf, wanted finite"):
        quantise(net_of(*large), pixels(1, 1, 4))
    with pytest.raises(ValueError, match="no convolutions"):
        quantise(net_of(MaxPool("pool", INPUT)), pixels(1, 1, 4))


# The engine


@pytest.mark.parametrize("seed", range(12))
def test_engines_compute_what_the_reference_computes(seed: int, tmp_path: Path) -> None:
    """To the bit, with scales that suit the net and with zeros that do not."""
    spec, batch = random_net(seed)
    rng = np.random.default_rng(seed)
    side = spec.input.height
    images = rng.integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    dtype = ("i8", "i4")[seed % 2]
    made = quantise(spec, images, dtype)
    if seed % 3 == 0:
        moved: dict[Optional[Activation], Activation] = {}
        for layer in made.layers:
            for _, one in layer.named_convs():
                other = Activation(float(f32(rng.uniform(0.02, 0.1))), int(rng.integers(0, 80)))
                one.activation = moved.setdefault(one.activation, other)
    file = tmp_path / "net.squish"
    made.save(file, dtype)
    wanted = [reference.integer_logits(file, x) for x in (images, batch)]
    nets = [squishnative.load(file, storage="i8", isa=isa) for isa in squishnative.available_isas()]
    nets += [
        squishnative.load(file, storage="i8", threads=2),
        squishnative.load(file, storage="i8", device="reference"),
    ]
    for net in nets:
        for x, logits in zip((images, batch), wanted):
            np.testing.assert_array_equal(net.infer(x), logits, err_msg=net.isa)


# The command


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, ancestor: Path) -> Path:
    """A net of the pictures' classes, in int4."""
    file = tmp_path_factory.mktemp("trained") / "net.squish"
    read_net(str(ancestor)).save(file, "i4")
    return file


def squish_quantise(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["quantise", *map(str, arguments)])


def files_in(folder: Path) -> Iterator[str]:
    return (path.name for path in sorted(folder.iterdir()))


def test_the_command_says_what_it_made(trained: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.squish"
    done = squish_quantise(trained, "--data", pictures, "-o", out, "--images", 30)
    assert done.exit_code == 0, done.output
    first, *lines = done.stdout.splitlines()
    assert first == f"{out}: {out.stat().st_size:,} bytes, i4 weights, measured on 30 images"
    model = squishnative.load(out).model
    assert {conv.dtype for layer in model.layers for conv in layer.convs} == {"i4"}
    data = read_for_calibration(pictures, NetSpec.from_model(model).input, 30)
    exact, _ = reference.run(trained, data.val.images)
    counted = {"floats": exact.argmax(1)}
    counted["integers"] = reference.integer_logits(out, data.val.images).argmax(1)
    for line, (what, labels) in zip(lines, counted.items()):
        right = int((labels == data.val.classes).sum())
        assert line == f"{what:9} {right} of 24 val images are right, {100 * right / 24:.2f} %"
    again = tmp_path / "again.squish"
    assert squish_quantise(trained, "--data", pictures, "-o", again, "--images", 30).exit_code == 0
    assert again.read_bytes() == out.read_bytes()


def test_float_weights_become_int8(ancestor: Path, pictures: Path, tmp_path: Path) -> None:
    for options, wanted in (([], "i8"), (["--dtype", "i4"], "i4")):
        done = squish_quantise(ancestor, "--data", pictures, "-o", tmp_path / "o.squish", *options)
        assert f" {wanted} weights, measured on 72 images" in done.stdout
        conv = squishnative.load(tmp_path / "o.squish").model.layers[0].convs[0]
        assert conv.dtype == wanted


def test_another_size_is_the_new_files(trained: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.squish"
    done = squish_quantise(trained, "--data", pictures, "-o", out, "--size", 2 * SIZE)
    assert done.exit_code == 0, done.output
    model = squishnative.load(out).model
    assert (model.input_shape, model.resize) == ((3, 2 * SIZE, 2 * SIZE), 2 * SIZE)


def test_a_net_of_other_classes_is_not_counted(pictures: Path, tmp_path: Path) -> None:
    spec = tiny_spec()
    spec.save(tmp_path / "net.squish")
    done = squish_quantise(tmp_path / "net.squish", "--data", pictures, "-o", tmp_path / "o.squish")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == "squish: val is not counted: its classes are not the net's\n"


def test_skipped_images_are_named(trained: Path, pictures: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(pictures, tmp_path / "pictures")
    (copy / "train" / LABELS[0] / "000.png").write_bytes(b"no image")
    done = squish_quantise(trained, "--data", copy, "-o", tmp_path / "out.squish")
    assert done.stderr.startswith(f"squish: skipped 'train/{LABELS[0]}/000.png': ")
    assert "measured on 71 images" in done.stdout


def test_what_fails_leaves_the_old_file(trained: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.squish"
    out.write_text("old", encoding="utf-8")
    bad = tmp_path / "bad.squish"
    bad.write_text("no net, but as long as the header of one is", encoding="utf-8")
    for net, data, error in (
        (trained, tmp_path / "none", FileNotFoundError),
        (trained, bad, ValueError),
        (bad, pictures, squishnative.FormatError),
        (tmp_path / "none.squish", pictures, FileNotFoundError),
    ):
        done = squish_quantise(net, "--data", data, "-o", out)
        assert isinstance(done.exception, error)
        assert out.read_text(encoding="utf-8") == "old"
    assert list(files_in(tmp_path)) == ["bad.squish", "out.squish"]
    done = squish_quantise(trained, "--data", pictures, "-o", tmp_path / "none" / "out.squish")
    assert isinstance(done.exception, FileNotFoundError)


def test_wrong_options_are_wrong_usage(trained: Path, pictures: Path, tmp_path: Path) -> None:
    needed = [trained, "--data", pictures, "-o", tmp_path / "out.squish"]
    for options in (["--dtype", "f16"], ["--images", 0], ["--size", 0]):
        assert squish_quantise(*needed, *options).exit_code == 2
    assert squish_quantise(trained, "-o", tmp_path / "out.squish").exit_code == 2
