from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from nets import SqueezeNet, TorchNet, random_net
from shared_data import SQUEEZENET, needs_shared_data, photographs
from squishnative import reference
from squishnative._core import Model
from squishnative.convert import read
from squishnative.reference import forward
from squishnative.reference.reader import read_stored
from squishnative.spec import (
    INPUT,
    Activation,
    Conv,
    ConvSpec,
    FloatArray,
    GlobalAveragePool,
    InputSpec,
    NetSpec,
)

ENCODINGS = ("smallest", "dense", "cluster16x1", "cluster16x4", "synapse")


def torch_logits(net: NetSpec, batch: FloatArray) -> FloatArray:
    with torch.no_grad():
        logits: FloatArray = TorchNet(net)(torch.from_numpy(batch)).numpy()
    return logits


@pytest.mark.parametrize("seed", range(5))
def test_float64_execution_agrees_far_below_the_bound(seed: int) -> None:
    net, batch = random_net(seed)
    logits, bound = reference.run(net, batch)
    with torch.no_grad():
        exact = TorchNet(net).double()(torch.from_numpy(batch).double()).numpy()
    assert (abs(exact - logits) <= 1e-6 * bound).all()


@pytest.mark.parametrize("seed", [1, 4, 5])
def test_bound_is_too_small_for_float16_weights(seed: int) -> None:
    net, batch = random_net(seed)
    logits, bound = reference.run(net, batch)
    rounded, _ = reference.run(net.to_bytes("f16"), batch)
    assert (abs(rounded - logits) > bound).any()


@needs_shared_data
def test_bound_holds_and_is_tight_on_photographs(
    record_property: Callable[[str, object], None],
) -> None:
    net = read(SQUEEZENET).net
    batch = photographs(4)
    logits, bound = reference.run(net, batch)
    ratio = (abs(torch_logits(net, batch) - logits) / bound).max()
    record_property("largest error / bound", float(ratio))
    print(f"largest error / bound {ratio:.3f}, bound / scale {bound.max() / abs(logits).max():.1e}")
    assert ratio <= 1
    assert bound.max() < 1e-4 * abs(logits).max()


def test_correlated_paths_stay_within_half_of_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of the modelled size, injected at random, against what the variances predict.

    The variances take errors of different activations as independent, which they are not.
    """
    torch.manual_seed(1)
    net = spec_of(SqueezeNet("1.1"))
    batch = np.random.default_rng(1).standard_normal((1, 3, 65, 65), dtype=np.float32)
    logits, bound = reference.run(net, batch)
    exact_conv = forward._conv

    def noisy_conv(
        conv: ConvSpec, source: forward.Activation, winograd: bool
    ) -> forward.Activation:
        linear = ConvSpec(conv.weight, conv.bias, conv.stride, conv.padding, relu=False)
        x, variance = exact_conv(linear, (source[0], torch.zeros_like(source[0])), winograd)
        x = x + variance.sqrt() * torch.randn_like(x)
        return x.clamp(min=0) if conv.relu else x, torch.zeros_like(x)

    monkeypatch.setattr(forward, "_conv", noisy_conv)
    errors = np.stack([reference.run(net, batch)[0] - logits for _ in range(24)])
    measured = np.sqrt((errors**2).mean(axis=0))
    predicted = bound / reference.LAMBDA
    assert (measured > 0).any()
    assert (measured <= reference.LAMBDA / 2 * predicted).all()


def test_few_roundings_are_at_most_their_sum() -> None:
    """Two products and a bias: three roundings of at most u * (sum |w x| + |b|)."""
    weight = np.array([[[[0.5]], [[-2.0]]]], np.float32)
    conv = Conv("conv", INPUT, ConvSpec(weight, np.array([3.0], np.float32), relu=False))
    net = NetSpec(InputSpec(2, 1, 1, (0.0, 0.0), (1.0, 1.0)), [conv])
    _, bound = reference.run(net, np.array([1.0, 1.0], np.float32).reshape(1, 2, 1, 1))
    assert bound == pytest.approx(3 * forward.UNIT_ROUNDOFF * 5.5)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1)])
def test_bound_is_wider_for_winograd(kernel: int, stride: int) -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 3, kernel, kernel)).astype(np.float32)
    conv = ConvSpec(weight, np.zeros(4, np.float32), (stride, stride), relu=False)
    net = NetSpec(InputSpec(3, 9, 9), [Conv("conv", INPUT, conv)])
    batch = rng.standard_normal((1, 3, 9, 9)).astype(np.float32)
    _, with_tiles = reference.run(net, batch)
    _, without = reference.run(net, batch, winograd=False)
    assert (without < with_tiles).all() == ((kernel, stride) == (3, 1))
    assert (without <= with_tiles).all()


def winograd_float32(x: FloatArray, weight: FloatArray) -> FloatArray:
    """F(2x2, 3x3) on one image (C, H, W) with H and W even: (O, H - 2, W - 2)."""
    bt = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float32)
    g = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
    at = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float32)
    transformed = g @ weight @ g.T
    y = np.empty((weight.shape[0], x.shape[1] - 2, x.shape[2] - 2), np.float32)
    for row in range(0, y.shape[1], 2):
        for column in range(0, y.shape[2], 2):
            tile = bt @ x[:, row : row + 4, column : column + 4] @ bt.T
            products = np.zeros((weight.shape[0], 4, 4), np.float32)
            for channel in range(x.shape[0]):
                products += transformed[:, channel] * tile[channel]
            y[:, row : row + 2, column : column + 2] = at @ products @ at.T
    return y


@pytest.mark.parametrize("density", [1.0, 0.05])
def test_winograds_tiles_stay_within_the_bound(density: float) -> None:
    """Lone pixels leave errors in outputs of their tile that do not see them."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((24, 16, 18), dtype=np.float32)
    x *= rng.random(x.shape) < density
    weight = rng.standard_normal((8, 24, 3, 3), dtype=np.float32)
    conv = ConvSpec(weight, np.zeros(8, np.float32), relu=False)
    net = NetSpec(InputSpec(24, 16, 18), [Conv("conv", INPUT, conv)])
    exact, bound = reference.run(net, x[None])
    error = abs(winograd_float32(x, weight) - exact[0])
    assert error.max() > 0
    assert (error <= bound[0]).all()


def test_constant_maps_are_averaged_within_the_bound() -> None:
    """Equal values round equally: the case that independent errors do not describe."""
    conv = ConvSpec(np.zeros((1, 3, 1, 1), np.float32), np.array([0.1], np.float32))
    net = NetSpec(InputSpec(), [Conv("conv", INPUT, conv), GlobalAveragePool("mean", 0)])
    logits, bound = reference.run(net, np.zeros((1, 3, 64, 64), np.float32))
    total = np.float32(0)
    for _ in range(64 * 64):
        total += np.float32(0.1)
    error = abs(float(total / np.float32(64 * 64)) - logits[0, 0])
    assert 0 < error <= bound[0, 0]


def test_uint8_batch_is_normalised() -> None:
    net, _ = random_net(3)
    side = net.input.height
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    scaled = (pixels / np.float32(255) - np.array(net.input.mean, np.float32)) / np.array(
        net.input.std, np.float32
    )
    batch = np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)
    logits, bound = reference.run(net, pixels)
    assert (abs(torch_logits(net, batch) - logits) <= bound).all()


def test_rejects_other_dtypes() -> None:
    net, batch = random_net(0)
    with pytest.raises(ValueError, match="float64, wanted float32 or uint8"):
        reference.run(net, batch.astype(np.float64))


@pytest.mark.parametrize("dtype", ["f32", "f16", "i8", "i4"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_reader_reads_what_the_engine_reads(dtype: str, encoding: str) -> None:
    for seed in range(4):
        net, _ = random_net(seed)
        net.labels = [f"class {k}" for k in range(net.classes)]
        net.about = "Größe"
        *_, (_, last) = (pair for layer in net.layers for pair in layer.named_convs())
        last.activation = Activation(0.1, 200)
        data = net.to_bytes(dtype, encoding)
        assert_same(reference.read(data), NetSpec.from_model(Model.from_bytes(data)))


@pytest.mark.parametrize("dtype", ["i8", "i4"])
def test_reader_gives_the_integers(dtype: str) -> None:
    net, _ = random_net(2)
    spec, integers = read_stored(net.to_bytes(dtype))
    convs = dict(pair for layer in spec.layers for pair in layer.named_convs())
    assert integers.keys() == convs.keys()
    for name, (values, scale) in integers.items():
        assert values.dtype == np.int8
        assert np.abs(values).max() <= {"i8": 127, "i4": 7}[dtype]
        np.testing.assert_array_equal(scale, scale.astype(np.float16))
        widened = values * scale[:, None, None, None]
        np.testing.assert_array_equal(widened, convs[name].weight)
    assert read_stored(net.to_bytes("f16"))[1] == {}


def test_f32_bytes_hold_every_weight() -> None:
    for encoding in ENCODINGS:
        net, _ = random_net(7)
        assert_same(reference.read(net.to_bytes("f32", encoding)), net)


def test_reader_rejects_damage() -> None:
    net, _ = random_net(0)
    data = bytearray(net.to_bytes())
    data[-1] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        reference.read(bytes(data))
    with pytest.raises(ValueError, match="wanted"):
        reference.read(bytes(data[:-1]))


def test_reader_rejects_a_later_version() -> None:
    net, _ = random_net(0)
    data = bytearray(net.to_bytes())
    data[8] = 2
    data[12:16] = zlib.crc32(bytes(data[:12])).to_bytes(4, "little")
    with pytest.raises(ValueError, match="version 2"):
        reference.read(bytes(data))


def assert_same(got: NetSpec, wanted: NetSpec) -> None:
    assert got.labels == wanted.labels
    assert got.about == wanted.about
    assert got.shapes() == wanted.shapes()
    np.testing.assert_array_equal(got.input.mean, np.array(wanted.input.mean, np.float32))
    np.testing.assert_array_equal(got.input.std, np.array(wanted.input.std, np.float32))
    for a, b in zip(got.layers, wanted.layers):
        assert (type(a), a.name, a.inputs) == (type(b), b.name, b.inputs)
        for (name, conv), (wanted_name, wanted_conv) in zip(a.named_convs(), b.named_convs()):
            assert name == wanted_name
            np.testing.assert_array_equal(conv.weight, wanted_conv.weight, err_msg=name)
            np.testing.assert_array_equal(conv.bias, wanted_conv.bias, err_msg=name)
            assert (conv.stride, conv.padding, conv.relu, conv.activation) == (
                wanted_conv.stride,
                wanted_conv.padding,
                wanted_conv.relu,
                wanted_conv.activation,
            )


def spec_of(module: SqueezeNet) -> NetSpec:
    from squishnative.convert.squeezenet import from_state_dict

    return from_state_dict({name: t.numpy() for name, t in module.state_dict().items()})
