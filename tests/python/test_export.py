from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_runtime
import pytest
import torch
from nets import SqueezeNet, random_net
from safetensors.numpy import load_file
from squishnative import reference
from squishnative._core import FormatError
from squishnative.convert import convert, read
from squishnative.export import export
from squishnative.spec import INPUT, Activation, Conv, ConvSpec, InputSpec, MaxPool, NetSpec


def exported(net: NetSpec, path: Path, dtype: str = "f32") -> Path:
    net.save(path.with_suffix(".squish"), dtype)
    export(path.with_suffix(".squish"), path)
    return path


@pytest.mark.parametrize("dtype", ["f16", "i8", "i4"])
def test_compact_weights_are_widened(tmp_path: Path, dtype: str) -> None:
    net, batch = random_net(4)
    path = exported(net, tmp_path / "net.onnx", dtype)
    logits, bound = reference.run(path.with_suffix(".squish"), batch)
    assert (abs(onnx_runtime.run(path, batch) - logits) <= bound).all()


@pytest.mark.parametrize("suffix", [".onnx", ".safetensors"])
def test_activations_are_left_out(tmp_path: Path, suffix: str) -> None:
    net, _ = labelled_squeezenet()
    for layer in net.layers:
        for _, conv in layer.named_convs():
            conv.activation = Activation(0.5, 3)
    quantised = read(exported(net, tmp_path / f"quantised{suffix}", "i8")).net
    floats = read(exported(net.in_floats(), tmp_path / f"net{suffix}", "i8")).net
    assert quantised.to_bytes() == floats.to_bytes()


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 0, 0, 1), (0, 1, 2, 1), (2, 1, 0, 2)])
@pytest.mark.parametrize("size", [(13, 14), (11, 12)])
def test_padding_on_each_side(
    tmp_path: Path, ceil_mode: bool, padding: tuple[int, int, int, int], size: tuple[int, int]
) -> None:
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3), dtype=np.float32)
    conv = ConvSpec(weight, np.array([0, 1, 2, 3], np.float32), (2, 1), padding)
    net = NetSpec(
        InputSpec(height=size[0], width=size[1]),
        [
            Conv("conv", INPUT, conv),
            MaxPool("pool", 0, (3, 3), (2, 3), padding, ceil_mode),
        ],
    )
    path = exported(net, tmp_path / "net.onnx")
    batch = np.random.default_rng(1).standard_normal((2, 3, *size), dtype=np.float32)
    logits, bound = reference.run(net, batch)
    wanted = onnx_runtime.run(path, batch)
    assert wanted.shape == logits.shape == (2, *net.output_shape)
    assert (abs(wanted - logits) <= bound).all()


def labelled_squeezenet(version: str = "1.1") -> tuple[NetSpec, SqueezeNet]:
    from squishnative.convert.squeezenet import from_state_dict

    torch.manual_seed(0)
    module = SqueezeNet(version, 3, 21, ((4, 5, 6),) * 4 + ((7, 0, 9),) + ((8, 9, 0),) * 3)
    state = {name: t.numpy() for name, t in module.state_dict().items() if t.numel()}
    net = from_state_dict(state)
    net.input = InputSpec(3, 65, 97, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), 0, "bicubic")
    net.labels = ["cat", "Käfer", "eel"]
    net.about = "made by a test"
    return net, module


@pytest.mark.parametrize("suffix", [".onnx", ".safetensors"])
def test_round_trip_loses_nothing(tmp_path: Path, suffix: str) -> None:
    net, _ = labelled_squeezenet()
    path = exported(net, tmp_path / f"net{suffix}")
    conversion = convert(path, tmp_path / "back.squish")
    assert conversion.notes == []
    back, wanted = conversion.net, read_squish(tmp_path / "net.squish")
    assert (back.input, back.labels, back.about) == (wanted.input, wanted.labels, wanted.about)
    batch = np.random.default_rng(0).standard_normal((1, 3, 65, 97), dtype=np.float32)
    np.testing.assert_array_equal(reference.run(back, batch), reference.run(net, batch))


def read_squish(path: Path) -> NetSpec:
    return reference.read(path.read_bytes())


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_safetensors_of_a_squeezenet_has_torchvisions_names(tmp_path: Path, version: str) -> None:
    net, module = labelled_squeezenet(version)
    tensors = load_file(exported(net, tmp_path / "net.safetensors"))
    state = {name: t.numpy() for name, t in module.state_dict().items() if t.numel()}
    assert tensors.keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(tensors[name], array, err_msg=name)


def test_safetensors_of_another_net_has_the_layers_names(tmp_path: Path) -> None:
    net, _ = random_net(4)
    tensors = load_file(exported(net, tmp_path / "net.safetensors"))
    convs = {name: conv for layer in net.layers for name, conv in layer.named_convs()}
    assert len(tensors) == 2 * len(convs)
    for name, conv in convs.items():
        np.testing.assert_array_equal(tensors[f"{name.replace('/', '.')}.weight"], conv.weight)
        np.testing.assert_array_equal(tensors[f"{name.replace('/', '.')}.bias"], conv.bias)


NAMES = [
    *("input", "logits", "flatten", "output", "a", "a/sum", "a.weight", "a.bias", "a/relu"),
    *("b/squeeze", "b.squeeze", "b/squeeze/sum", "b_2"),
]


def test_layers_may_be_called_as_they_like(tmp_path: Path) -> None:
    """Also as other values of an ONNX graph are, and with names that differ in / and . alone."""
    rng = np.random.default_rng(0)
    net = NetSpec(InputSpec(height=5, width=5))
    for k, name in enumerate(NAMES):
        weight = rng.standard_normal((3, 3, 1, 1), dtype=np.float32)
        bias = rng.standard_normal(3, dtype=np.float32)
        net.layers.append(Conv(name, k - 1, ConvSpec(weight, bias, relu=k % 2 == 0)))
    path = exported(net, tmp_path / "net.onnx")
    batch = rng.standard_normal((2, 3, 5, 5), dtype=np.float32)
    logits, bound = reference.run(net, batch)
    assert (abs(onnx_runtime.run(path, batch) - logits) <= bound).all()
    assert len(load_file(exported(net, tmp_path / "net.safetensors"))) == 2 * len(NAMES)


def test_a_squeezenet_with_another_pool_keeps_the_layers_names(tmp_path: Path) -> None:
    """torchvision's names do not say how a pool rounds."""
    net, _ = labelled_squeezenet()
    pool = net.layers[1]
    assert isinstance(pool, MaxPool)
    pool.ceil_mode = False
    tensors = load_file(exported(net, tmp_path / "net.safetensors"))
    assert "fire2.squeeze.weight" in tensors


def test_damaged_metadata_is_named(tmp_path: Path) -> None:
    net, _ = labelled_squeezenet()
    path = exported(net, tmp_path / "net.onnx")
    model = onnx.load(path)
    for key, value in (("squish.labels", "[1]"), ("squish.input", "{}"), ("squish.input", "{")):
        broken = onnx.ModelProto()
        broken.CopyFrom(model)
        onnx.helper.set_model_props(broken, {key: value})
        onnx.save(broken, tmp_path / "broken.onnx")
        with pytest.raises(ValueError, match=key):
            read(tmp_path / "broken.onnx")


def test_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"suffix '.tflite', wanted .onnx or .safetensors"):
        export(tmp_path / "net.squish", tmp_path / "net.tflite")


def test_damaged_net(tmp_path: Path) -> None:
    (tmp_path / "net.squish").write_bytes(b"not a net")
    with pytest.raises(FormatError):
        export(tmp_path / "net.squish", tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_missing_net(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        export(tmp_path / "net.squish", tmp_path / "net.onnx")
