"""The reference of integer arithmetic against sums by hand, and plain loops over single numbers."""

from __future__ import annotations

import itertools
from typing import Optional

import numpy as np
import numpy.typing as npt
import pytest
from squishnative.reference import check_made_for_integers, integer_logits, read
from squishnative.reference.reader import read_stored
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
from tiny_net import floats, pixels, tiny_spec

f32 = np.float32
ONE = Activation(1.0, 0)


def conv(
    weight: object,
    bias: object = 0.0,
    activation: Optional[Activation] = ONE,
    relu: bool = False,
    pad: int = 0,
) -> ConvSpec:
    """weight: (O, I), or (O, I, H, W)."""
    array = np.array(weight, f32)
    if array.ndim == 2:
        array = array[:, :, None, None]
    biases = np.broadcast_to(np.array(bias, f32), array.shape[:1]).copy()
    return ConvSpec(array, biases, padding=(pad,) * 4, relu=relu, activation=activation)


def net_of(*layers: Layer, channels: int = 1) -> NetSpec:
    spec = InputSpec(channels, 3, 3, (0.0,) * channels, (1.0,) * channels)
    return NetSpec(spec, list(layers))


def row(*values: float) -> FloatArray:
    """One image, one channel, one row."""
    return np.array(values, f32).reshape(1, 1, 1, -1)


def run(net: NetSpec, batch: npt.NDArray[np.generic], dtype: str = "i8") -> list[float]:
    logits: list[float] = integer_logits(net.to_bytes(dtype), batch).ravel().tolist()
    return logits


# Sums by hand. Weights of 127 times a power of two are integers of 127 with that scale.


def test_the_input_becomes_bytes() -> None:
    """Steps of 0.5 from -4 on: ties go to even bytes, what is outside to the ends."""
    net = net_of(Conv("conv", INPUT, conv([[127]], activation=Activation(0.5, 8))))
    got = run(net, row(-1, -0.25, 0.25, 0.2, -9, 1000))
    assert got == [127 * value for value in (-1, 0, 0, 0, -4, (255 - 8) * 0.5)]
    assert run(net, row(0.75)) == [127 * 1.0]  # 9.5 to 10


def test_pixels_are_normalised_with_rounded_constants() -> None:
    """What no convolution reads stays in floats: of one pixel the mean is what the net eats."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.256, 0.27)
    assert f32(1 / (255 * float(f32(0.27)))) != f32(1) / (f32(255) * f32(0.27))
    net = NetSpec(InputSpec(3, 1, 1, mean, std), [GlobalAveragePool("mean", INPUT)])
    batch = np.arange(256, dtype=np.uint8).repeat(3).reshape(256, 1, 1, 3)
    wanted = []
    for pixel in range(256):
        for m, s in zip(mean, std):
            scale, shift = 1 / (255 * float(f32(s))), -float(f32(m)) / float(f32(s))
            wanted.append(float(f32(f32(pixel) * f32(scale)) + f32(shift)))
    assert run(net, batch) == wanted


def test_a_convolution_of_bytes_to_floats() -> None:
    """3 * 127 * 0.25 - 2 * 64 * 0.25 and a bias."""
    net = net_of(Conv("conv", INPUT, conv([[31.75, -16]], 0.5)), channels=2)
    assert run(net, np.array([3, 2], f32).reshape(1, 2, 1, 1)) == [3 * 31.75 - 2 * 16 + 0.5]


def test_a_convolution_of_bytes_to_bytes() -> None:
    """127 x in steps of 127 * 4 from zero 3 on: ties to even, from 0 to 255 without a ReLU."""
    first = Conv("first", INPUT, conv([[127]], activation=Activation(1.0, 100)))
    second = Conv("second", 0, conv([[127]], activation=Activation(127.0 * 4, 3)))
    got = run(net_of(first, second), row(0, 2, 6, -14, -100, 155))
    made = [3, 4, 4, 0, 0, 42]  # of 3, 3.5, 4.5, -0.5, -22, 41.75
    assert got == [127 * 127 * 4 * (byte - 3) for byte in made]


def test_under_a_relu_the_zero_is_the_least_byte() -> None:
    first = Conv("first", INPUT, conv([[127]], activation=Activation(1.0, 100), relu=True))
    second = Conv("second", 0, conv([[127]], activation=Activation(127.0, 3)))
    assert run(net_of(first, second), row(-5, -1, 0, 1, 7)) == [
        127 * 127 * w for w in (0, 0, 0, 1, 7)
    ]


def test_the_bias_is_in_steps_of_the_output() -> None:
    first = Conv("first", INPUT, conv([[127], [127]], [2.0, -1.0]))
    second = Conv("second", 0, conv([[127, 0], [0, 127]], activation=Activation(2.0, 10)))
    got = run(net_of(first, second), row(0, 0))
    assert got == [254 * w for w in (1, 1, 0, 0)]  # 1 + 10; -0.5 + 10 to 10


def test_bias_and_zero_are_rounded_once() -> None:
    """Their sum is above 2.5 as a float32; of a bias that was rounded before, it would be 2.5."""
    bias, step, zero = 0.6669921875, float(f32(1.3339847326278687)), 3
    assert np.rint(f32(-bias / step + zero)) == 3 != np.rint(f32(-bias / step) + f32(zero))
    first = Conv("first", INPUT, conv([[1]], -bias))
    second = Conv("second", 0, conv([[127]], activation=Activation(step, zero)))
    assert run(net_of(first, second), row(0)) == [0]


def test_padding_is_exactly_zero() -> None:
    """Around a single pixel of byte 30 with zero 20, a window of 3x3 sees 10 and eight zeros."""
    weight = np.full((1, 1, 3, 3), 127, f32)
    net = net_of(Conv("conv", INPUT, conv(weight, activation=Activation(1.0, 20), pad=1)))
    assert run(net, row(10)) == [1270]


def test_sums_are_rounded_to_float32_once() -> None:
    """Odd and above 2^24: no float32."""
    weight = np.full((1, 1, 3, 255), 127, f32)
    weight[0, 0, 0, 0] = 1
    total = 255 * (764 * 127 + 1)
    assert total % 2 == 1
    assert 2**24 < total < 2**25
    net = net_of(Conv("conv", INPUT, conv(weight)))
    net.input.width = 255
    assert run(net, np.full((1, 1, 3, 255), 255, f32)) == [float(f32(total))]


def test_max_pools_take_the_largest_byte() -> None:
    pool = MaxPool("pool", INPUT, (1, 2), (1, 2))
    net = net_of(pool, Conv("conv", 0, conv([[127]], activation=Activation(1.0, 10))))
    assert run(net, row(-3, -7, 2, 5, -99)) == [127 * w for w in (-3, 5, -10)]


def test_sums_of_layers_are_of_values_and_become_bytes() -> None:
    """Of -20 in bytes, which is -10, and a convolution's own float."""
    form = Activation(1.0, 10)
    first = Conv("first", INPUT, conv([[127]], 0.25, activation=form))  # read by the sum alone
    after = Conv("after", 1, conv([[127]], activation=Activation(127.0, 5)))
    net = net_of(first, Add("sum", (0, INPUT), relu=False), after)
    # -10 * 127 + 0.25 - 10 is below -5 steps; 3 * 127 + 0.25 + 3 is 3.03 steps.
    assert run(net, row(-20, 3)) == [127 * 127 * -5, 127 * 127 * 3]
    net.layers[1] = Add("sum", (0, INPUT), relu=True)
    assert run(net, row(-20, 3)) == [0, 127 * 127 * 3]


def test_averages_add_from_left_to_right() -> None:
    """Row by row: in another order the last bits differ."""
    step = f32(0.1)
    first = Conv("conv", INPUT, conv([[127.0]], activation=Activation(float(step), 0)))
    net = net_of(first, GlobalAveragePool("mean", 0))
    image = np.random.default_rng(0).integers(0, 256, (5, 7)).astype(f32)

    def mean(values: FloatArray) -> float:
        total = f32(0)
        for value in values:
            total = f32(total + f32(127 * value) * step)
        return float(f32(total * f32(f32(1) / f32(values.size))))

    # 0.1 of a byte is its float by a rounding at most.
    assert run(net, (image * step)[None, None]) == [mean(image.ravel())]
    assert mean(image.ravel()) != mean(image.T.ravel())


def test_averages_that_a_convolution_reads_become_bytes() -> None:
    mean = GlobalAveragePool("mean", 0)
    first = Conv("first", INPUT, conv([[127]]))
    net = net_of(first, mean, Conv("last", 1, conv([[127]], activation=Activation(127.0, 0))))
    assert run(net, row(1, 2, 5, 3)) == [127 * 127 * 3]  # 2.75
    assert run(net, row(1, 2, 4, 3)) == [127 * 127 * 2]  # 2.5


# Whole nets, against loops


def made_for_integers(spec: NetSpec) -> NetSpec:
    """tiny_spec with scales that are not powers of two."""
    forms = {
        INPUT: Activation(float(f32(0.017)), 113),
        0: Activation(float(f32(0.021)), 0),  # and the pool of it, 1
        2: Activation(float(f32(0.013)), 0),
        4: Activation(float(f32(0.019)), 7),
    }
    inside = Activation(float(f32(0.0077)), 1)
    for layer in spec.layers:
        if isinstance(layer, Conv):
            layer.conv.activation = forms[layer.input]
        if isinstance(layer, Fire):
            layer.squeeze.activation = forms[0 if layer.input == 1 else layer.input]
            for expand in (layer.expand1x1, layer.expand3x3):
                assert expand is not None
                expand.activation = inside
    return spec


def plain_conv(
    x: npt.NDArray[np.int64],
    name: str,
    spec: ConvSpec,
    data: bytes,
    output: Optional[Activation],
) -> npt.NDArray[np.generic]:
    """One image (I, H, W), in whole numbers; a number at a time."""
    values, scale = read_stored(data)[1][name]
    form = spec.activation
    assert form is not None
    pad, step = spec.padding[0], spec.stride[0]
    centred = np.pad(x - form.zero, ((0, 0), (pad, pad), (pad, pad)))
    _, height, width = spec.output_shape((x.shape[0], x.shape[1], x.shape[2]))
    made = np.empty((spec.out_channels, height, width), np.int64 if output else f32)
    for o in range(spec.out_channels):
        m = float(scale[o]) * form.scale
        c = float(spec.bias[o])
        if output:
            m, c = m / output.scale, c / output.scale + output.zero
        for i, j in itertools.product(range(height), range(width)):
            rows, columns = slice(i * step, i * step + spec.kernel[0]), slice(j * step, None)
            window = centred[:, rows, columns][:, :, : spec.kernel[1]]
            total = int((values[o].astype(np.int64) * window).sum())
            y = f32(f32(f32(total) * f32(m)) + f32(c))
            if output:
                low = output.zero if spec.relu else 0
                made[o, i, j] = min(max(round(float(y)), low), 255)  # Python rounds ties to even
            else:
                made[o, i, j] = max(y, f32(0)) if spec.relu else y
    return made


def plain_bytes(x: FloatArray, form: Activation) -> npt.NDArray[np.int64]:
    inverse = f32(1 / form.scale)
    steps = [f32(f32(v * inverse) + f32(form.zero)) for v in x.ravel()]
    return np.array([min(max(round(float(s)), 0), 255) for s in steps]).reshape(x.shape)


def plain_run(data: bytes, image: FloatArray) -> FloatArray:
    """tiny_spec's layers, one after the other."""
    layers = {layer.name: layer for layer in read(data).layers}

    def specs(name: str) -> dict[str, ConvSpec]:
        return dict(layers[name].named_convs())

    def fire(x: npt.NDArray[np.int64], name: str, output: Optional[Activation]) -> FloatArray:
        convs = specs(name)
        inside = convs[f"{name}/expand1x1"].activation
        x = plain_conv(x, f"{name}/squeeze", convs[f"{name}/squeeze"], data, inside)  # type: ignore[assignment]
        expands = [f"{name}/expand1x1", f"{name}/expand3x3"]
        return np.concatenate([plain_conv(x, e, convs[e], data, output) for e in expands])

    forms = {
        name: next(iter(specs(name).values())).activation
        for name in ("conv1", "fire2", "fire3", "conv4")
    }
    assert all(forms.values())
    x = plain_bytes(image, forms["conv1"])  # type: ignore[arg-type]
    x = plain_conv(x, "conv1", specs("conv1")["conv1"], data, forms["fire2"])  # type: ignore[assignment]
    starts = range(0, x.shape[1] - 2, 2)
    x = np.stack(
        [[x[:, i : i + 3, j : j + 3].max((1, 2)) for j in starts] for i in starts]
    ).transpose(2, 0, 1)
    two = fire(x, "fire2", forms["fire3"])
    three = fire(two, "fire3", None)  # type: ignore[arg-type]
    form = forms["fire3"]
    assert form is not None
    values = f32(form.scale) * (two - form.zero).astype(f32)
    x = plain_bytes(values + three, forms["conv4"])  # type: ignore[arg-type]
    y = plain_conv(x, "conv4", specs("conv4")["conv4"], data, None)
    logits = []
    for plane in y:
        total = f32(0)
        for value in plane.ravel():
            total = f32(total + value)
        logits.append(f32(total * f32(1 / f32(plane.size))))
    return np.array(logits, f32)


@pytest.mark.parametrize("dtype", ["i8", "i4"])
def test_whole_nets_are_the_loops_to_the_bit(dtype: str) -> None:
    data = made_for_integers(tiny_spec()).to_bytes(dtype)
    images = floats(2)
    logits = integer_logits(data, images)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits, [plain_run(data, image) for image in images])
    assert len(np.unique(logits)) == logits.size


def test_pixels_are_as_their_floats() -> None:
    data = made_for_integers(tiny_spec()).to_bytes("i8")
    batch = pixels(3)
    scale, shift = f32(1 / (255 * 0.25)), f32(-2)
    as_floats = np.ascontiguousarray((batch.astype(f32) * scale + shift).transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(integer_logits(data, batch), integer_logits(data, as_floats))


def test_many_images_are_as_one_at_a_time() -> None:
    data = made_for_integers(tiny_spec(ends_in_map=True)).to_bytes("i8")
    batch = floats(19)
    maps = integer_logits(data, batch)
    assert maps.shape == (19, 7, 5, 5)
    ones = [integer_logits(data, image[None]) for image in batch]
    np.testing.assert_array_equal(maps, np.concatenate(ones))


# What is not made for integers


def test_refuses_float_weights() -> None:
    spec = made_for_integers(tiny_spec())
    with pytest.raises(ValueError, match="'conv1' is not made for integers: its weights are flo"):
        integer_logits(spec.to_bytes("f16"), floats(1))


def test_refuses_a_convolution_without_activation() -> None:
    spec = made_for_integers(tiny_spec())
    spec.layers[3].expand3x3.activation = None  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=r"'fire3/expand3x3' is not .* it has no activation scale"):
        check_made_for_integers(spec.to_bytes("i8"))


def test_refuses_readers_that_do_not_agree() -> None:
    spec = made_for_integers(tiny_spec())
    spec.layers[3].expand3x3.activation = ONE  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=r"'fire3/expand3x3' is not.* got .*zero=0.*has .*zero=1"):
        check_made_for_integers(spec.to_bytes("i8"))


def test_readers_of_a_pool_and_of_what_it_reads_must_agree() -> None:
    pool, add = MaxPool("pool", INPUT, (1, 1), (1, 1)), Add("sum", (1, 2))
    convs = [Conv("a", INPUT, conv([[1]])), Conv("b", 0, conv([[1]], activation=Activation(1, 1)))]
    with pytest.raises(ValueError, match=r"'b' is not made for integers: got .*zero=1.* zero=0"):
        check_made_for_integers(net_of(pool, *convs, add).to_bytes("i8"))


@pytest.mark.parametrize(("channels", "fits"), [(33155, True), (33156, False)])
def test_refuses_sums_beyond_32_bits(channels: int, fits: bool) -> None:
    """2 * channels weights of 127, times bytes of 255."""
    assert (2 * channels * 127 * 255 < 2**31) == fits
    wide = Conv("wide", INPUT, conv(np.ones((channels, 1))))
    data = net_of(wide, Conv("last", 0, conv(np.ones((1, channels, 1, 2))))).to_bytes("i8")
    if fits:
        check_made_for_integers(data)
    else:
        with pytest.raises(ValueError, match=r"'last' is not.* may reach 2,147,514,120, wanted at"):
            check_made_for_integers(data)


@pytest.mark.parametrize(("step", "fits"), [(2.0**-22, False), (2.0**-21, True)])
def test_refuses_results_beyond_30_bits(step: float, fits: bool) -> None:
    """255 and a bias of 1 are 2^30 of the smaller steps."""
    first = Conv("first", INPUT, conv([[1]], 1.0))
    net = net_of(first, Conv("last", 0, conv([[1]], activation=Activation(step, 0))))
    if fits:
        check_made_for_integers(net.to_bytes("i8"))
    else:
        with pytest.raises(ValueError, match=r"'first' is not.* may reach 1.07e\+09 steps of 2.38"):
            check_made_for_integers(net.to_bytes("i8"))


def test_refuses_other_dtypes() -> None:
    data = made_for_integers(tiny_spec()).to_bytes("i8")
    with pytest.raises(ValueError, match="float64, wanted float32 or uint8"):
        integer_logits(data, floats(1).astype(np.float64))
