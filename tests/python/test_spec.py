from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Optional

import numpy as np
import pytest
from squishnative.spec import (
    INPUT,
    Activation,
    Add,
    Conv,
    ConvSpec,
    Fire,
    GlobalAveragePool,
    InputSpec,
    MaxPool,
    NetSpec,
)


def conv(outputs: int, inputs: int, kernel: int = 1, pad: int = 0) -> ConvSpec:
    weight = np.ones((outputs, inputs, kernel, kernel), np.float32)
    return ConvSpec(weight, np.zeros(outputs, np.float32), padding=(pad, pad, pad, pad))


def net() -> NetSpec:
    return NetSpec(
        InputSpec(height=9, width=7),
        [
            Conv("conv1", INPUT, conv(4, 3, 3)),
            Fire("fire2", 0, conv(2, 4), conv(1, 2), conv(3, 2, 3, pad=1)),
            Add("add2", (0, 1)),
            MaxPool("pool2", 2, (2, 2)),
            GlobalAveragePool("mean", 3),
        ],
    )


def test_shapes() -> None:
    assert net().shapes() == [(4, 7, 5), (4, 7, 5), (4, 7, 5), (4, 4, 3), (4, 1, 1)]
    assert net().shapes(11, 11)[3] == (4, 5, 5)
    assert net().classes == 4


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    from squishnative._core import Model

    original = net()
    original.labels = ["a", "b", "c", "d"]
    original.save(tmp_path / "net.squish")
    loaded = NetSpec.from_model(Model.load(str(tmp_path / "net.squish")))
    assert loaded.to_bytes() == original.to_bytes() == (tmp_path / "net.squish").read_bytes()


def quantised() -> NetSpec:
    """Another activation of every convolution."""
    spec = net()
    convs = [conv for layer in spec.layers for _, conv in layer.named_convs()]
    for k, one in enumerate(convs):
        one.activation = Activation(float(np.float32(0.1 * (k + 1))), k)
    return spec


def activations(spec: NetSpec) -> list[Optional[Activation]]:
    return [conv.activation for layer in spec.layers for _, conv in layer.named_convs()]


@pytest.mark.parametrize("dtype", ["f32", "i4"])
def test_activations_come_back(dtype: str) -> None:
    from squishnative._core import Model

    loaded = NetSpec.from_model(Model.from_bytes(quantised().to_bytes(dtype)))
    assert activations(loaded) == activations(quantised())
    assert [a and a.zero for a in activations(loaded)] == [0, 1, 2, 3]


def test_a_net_in_floats_is_a_copy_without_activations() -> None:
    spec = quantised()
    assert spec.in_floats().to_bytes() == net().to_bytes()
    assert activations(spec) == activations(quantised())


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        (Activation(0.0, 0), "scale must be from .*e-13 to 1099511627776.0, got 0.0"),
        (Activation(2.0**41, 0), "scale must be .* got 2199023255552.0"),
        (Activation(float("nan"), 0), "scale must be .* got nan"),
        (Activation(1.0, 256), "zero must be from 0 to 255, got 256"),
        (Activation(1.0, -1), "zero must be from 0 to 255, got -1"),
        (Activation(1.0, 0.5), "zero must be from 0 to 255, got 0.5"),  # type: ignore[arg-type]
    ],
)
def test_rejects_activations_that_a_file_cannot_hold(activation: Activation, message: str) -> None:
    spec = net()
    spec.layers[1].expand3x3.activation = activation  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=f"'fire2': activation: {message}"):
        spec.validate()


def break_weight(spec: NetSpec, weight: np.ndarray) -> None:
    first = spec.layers[0]
    assert isinstance(first, Conv)
    first.conv = replace(first.conv, weight=weight)


def test_rejects_channels_that_do_not_fit() -> None:
    spec = net()
    break_weight(spec, np.ones((4, 5, 3, 3), np.float32))
    with pytest.raises(ValueError, match="layer 0 'conv1': weight wants 5 input channels, got 3"):
        spec.validate()


def test_rejects_values_that_are_not_finite() -> None:
    spec = net()
    break_weight(spec, np.full((4, 3, 3, 3), np.nan, np.float32))
    with pytest.raises(ValueError, match="'conv1': weight has values that are not finite"):
        spec.validate()


def test_rejects_other_dtypes() -> None:
    spec = net()
    break_weight(spec, np.ones((4, 3, 3, 3)))
    with pytest.raises(ValueError, match="weight must be float32, got float64"):
        spec.validate()


def test_rejects_a_later_layer_as_input() -> None:
    spec = net()
    spec.layers[1].input = 1  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="'fire2': input 1 must be -1 or an earlier layer"):
        spec.validate()


def test_rejects_a_fire_without_expands() -> None:
    spec = net()
    spec.layers[1] = Fire("fire2", 0, conv(2, 4), None, None)
    with pytest.raises(ValueError, match="both expands are absent"):
        spec.validate()


def test_rejects_a_fire_with_another_window() -> None:
    spec = net()
    spec.layers[1] = Fire("fire2", 0, conv(2, 4), None, conv(4, 2, 3, pad=0))
    with pytest.raises(ValueError, match="expand3x3 must have"):
        spec.validate()


def test_rejects_a_sum_of_two_shapes() -> None:
    spec = net()
    spec.layers[2] = Add("add2", (INPUT, 1))
    with pytest.raises(ValueError, match=r"one shape, got \(3, 9, 7\) and \(4, 7, 5\)"):
        spec.validate()


def test_rejects_a_size_that_is_too_small() -> None:
    with pytest.raises(ValueError, match=r"'conv1': 2 pixels padded by 0 \+ 0 for a kernel of 3"):
        net().shapes(2, 9)


def test_rejects_padding_as_wide_as_the_kernel() -> None:
    spec = net()
    spec.layers[3] = MaxPool("pool2", 2, (2, 2), padding=(2, 0, 0, 0))
    with pytest.raises(ValueError, match=r"padding .* below the kernel"):
        spec.validate()


@pytest.mark.parametrize("what", ["kernel", "stride"])
@pytest.mark.parametrize("extent", [0, 256, 2**40])
def test_rejects_windows_that_a_file_cannot_hold(what: str, extent: int) -> None:
    pool = MaxPool("pool", INPUT, (1, 1), (1, 1))
    setattr(pool, what, (1, extent))
    net = NetSpec(InputSpec(height=300, width=300), [pool])
    with pytest.raises(ValueError, match=rf"{what} must be from 1 to 255, got \(1, {extent}\)"):
        net.validate()


@pytest.mark.parametrize(
    ("what", "value"), [("channels", 0), ("height", 65536), ("width", 2**40), ("resize", -1)]
)
def test_rejects_inputs_that_a_file_cannot_hold(what: str, value: int) -> None:
    spec = net()
    setattr(spec.input, what, value)
    with pytest.raises(
        ValueError, match=rf"the input's {what} must be from . to 65535, got {value}"
    ):
        spec.validate()


def test_rejects_labels_that_are_not_one_a_class() -> None:
    spec = net()
    spec.labels = ["a", "b"]
    with pytest.raises(ValueError, match="2 labels for a net of 4 classes"):
        spec.validate()


@pytest.mark.parametrize("what", ["labels", "about"])
def test_rejects_text_that_is_not_unicode(what: str) -> None:
    spec = net()
    setattr(spec, what, ["a", "b", "\ud800", "d"] if what == "labels" else "\ud800")
    with pytest.raises(ValueError, match=r"must be Unicode text, got '.ud800'"):
        spec.validate()
    setattr(spec, what, ["a", "b", 3, "d"] if what == "labels" else 3)
    with pytest.raises(ValueError, match="must be Unicode text, got 3"):
        spec.validate()


def test_rejects_a_mean_of_other_channels() -> None:
    spec = net()
    spec.input.mean = (0.5,)
    with pytest.raises(ValueError, match="mean has 1 values for 3 channels"):
        spec.validate()
    spec.input.mean = (0.5, float("nan"), 0.5)
    with pytest.raises(ValueError, match=r"mean must be finite numbers, got \(0.5, nan, 0.5\)"):
        spec.validate()
    spec.input.mean = ("a", 0.5, 0.5)  # type: ignore[assignment]
    with pytest.raises(ValueError, match="mean must be finite numbers"):
        spec.validate()
    spec.input.mean, spec.input.std = (0.5, 0.5, 0.5), (1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match=r"std must be above 0, got \(1.0, 0.0, 1.0\)"):
        spec.validate()


@pytest.mark.parametrize("name", ["", "conv1"])
def test_rejects_names_that_do_not_tell_layers_apart(name: str) -> None:
    spec = net()
    spec.layers[4].name = name
    with pytest.raises(ValueError, match="distinct"):
        spec.validate()


def test_rejects_an_empty_net() -> None:
    with pytest.raises(ValueError, match="no layers"):
        NetSpec(InputSpec()).validate()


@pytest.mark.parametrize(("dtype", "encoding"), [("f64", "dense"), ("f32", "sparse")])
def test_rejects_unknown_dtypes_and_encodings(dtype: str, encoding: str) -> None:
    with pytest.raises(ValueError, match=r"f64|sparse"):
        net().to_bytes(dtype, encoding)
