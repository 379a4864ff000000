from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import SqueezeNet, sparsify
from safetensors.torch import save_file
from shared_data import LABELS, SQUEEZENET, needs_shared_data, photographs
from squishnative import reference
from squishnative._core import Model, Session
from squishnative.convert import ConvertError, convert, read
from squishnative.spec import FloatArray
from torch import nn

ODD_FIRES = (
    *((5, 7, 9), (3, 17, 1), (16, 16, 16), (1, 1, 1)),
    *((8, 33, 20), (9, 5, 4), (6, 2, 50), (11, 19, 23)),
)


def batch_of(size: int, count: int = 2) -> FloatArray:
    return np.random.default_rng(0).standard_normal((count, 3, size, size), dtype=np.float32)


def assert_same_logits(checkpoint: Path, module: nn.Module, batch: FloatArray) -> None:
    logits, bound = reference.run(read(checkpoint).net, batch)
    with torch.no_grad():
        wanted = module.eval()(torch.from_numpy(batch)).numpy()
    assert abs(wanted).max() > 0
    assert (abs(wanted - logits) <= bound).all()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvision_state_dict(tmp_path: Path, version: str, suffix: str) -> None:
    torch.manual_seed(0)
    module = SqueezeNet(version, 7, 96 if version == "1.0" else 64)
    path = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save(module.state_dict(), path)
    else:
        save_file(module.state_dict(), path)
    assert_same_logits(path, module, batch_of(97))


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_evolved_widths(tmp_path: Path, version: str) -> None:
    torch.manual_seed(0)
    module = SqueezeNet(version, 3, 21, ODD_FIRES)
    torch.save(module.state_dict(), tmp_path / "net.pt")
    assert_same_logits(tmp_path / "net.pt", module, batch_of(65))


@pytest.mark.parametrize("absent", ["expand1x1", "expand3x3"])
@pytest.mark.parametrize("leave_out", [True, False])
def test_absent_expand(tmp_path: Path, absent: str, leave_out: bool) -> None:
    """Left out of the file, or zero channels wide."""
    torch.manual_seed(0)
    widths = (4, 0, 6) if absent == "expand1x1" else (4, 6, 0)
    module = SqueezeNet("1.1", 3, 21, (*ODD_FIRES[:4], widths, *ODD_FIRES[5:]))
    state = module.state_dict()
    if leave_out:
        state = {name: tensor for name, tensor in state.items() if tensor.numel()}
    torch.save(state, tmp_path / "net.pth")
    assert_same_logits(tmp_path / "net.pth", module, batch_of(65))


def test_batch_norm_is_folded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = SqueezeNet("1.1", 3, 21, ODD_FIRES, batch_norm=True).eval()
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    module.double()  # folded weights are rounded to float32, so a float32 run is not its truth
    torch.save(module.state_dict(), tmp_path / "net.pth")
    batch = batch_of(65)
    logits, bound = reference.run(read(tmp_path / "net.pth").net, batch)
    with torch.no_grad():
        wanted = module(torch.from_numpy(batch).double()).numpy()
    assert (abs(wanted - logits) <= bound).all()


def test_data_parallel_and_nested_state_dict(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = SqueezeNet("1.1", 3, 21, ODD_FIRES)
    state = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 7}, tmp_path / "net.pth")
    assert_same_logits(tmp_path / "net.pth", module, batch_of(65))


def test_half_precision_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = SqueezeNet("1.1", 3, 21, ODD_FIRES).bfloat16()
    torch.save(module.state_dict(), tmp_path / "net.pth")
    assert_same_logits(tmp_path / "net.pth", module.float(), batch_of(65))


def test_convert_writes_what_the_engine_runs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = SqueezeNet("1.1", 3, 21, ODD_FIRES)
    torch.save(module.state_dict(), tmp_path / "net.pth")
    result = convert(
        tmp_path / "net.pth",
        tmp_path / "net.squish",
        labels=["cat", "dog", "eel"],
        size=65,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        interpolation="bicubic",
        about="made by a test",
    )
    assert result.bytes == (tmp_path / "net.squish").stat().st_size
    assert result.notes == []
    model = Model.load(str(tmp_path / "net.squish"))
    assert (model.input_shape, model.resize) == ((3, 65, 65), 74)
    assert (model.mean, model.std) == ([0.5] * 3, [0.25] * 3)
    assert model.interpolation == "bicubic"
    assert (model.labels, model.about) == (["cat", "dog", "eel"], "made by a test")
    batch = batch_of(65)
    logits, bound = reference.run(tmp_path / "net.squish", batch)
    assert (abs(Session(model).run(batch) - logits) <= bound).all()


def test_zeros_are_not_stored(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = SqueezeNet("1.1", 10)
    torch.save(module.state_dict(), tmp_path / "dense.pth")
    rng = np.random.default_rng(0)
    state: dict[str, Any] = {}
    for name, tensor in module.state_dict().items():
        if name.endswith("weight"):
            tensor = torch.from_numpy(sparsify(tensor.numpy(), 0.15, (16, 1), rng))
        state[name] = tensor
    torch.save(state, tmp_path / "sparse.pth")
    dense = convert(tmp_path / "dense.pth", tmp_path / "dense.squish").bytes
    before = (tmp_path / "dense.pth").read_bytes()
    with pytest.raises(ValueError, match=r"dense\.pth': the suffix of a checkpoint"):
        convert(tmp_path / "dense.pth", tmp_path / "dense.pth")
    assert (tmp_path / "dense.pth").read_bytes() == before
    sparse = convert(tmp_path / "sparse.pth", tmp_path / "sparse.squish").bytes
    assert sparse < 0.2 * dense


def test_says_when_preprocessing_is_a_guess(tmp_path: Path) -> None:
    torch.save(SqueezeNet("1.1", 3, 21, ODD_FIRES).state_dict(), tmp_path / "net.pth")
    [note] = read(tmp_path / "net.pth").notes
    assert "ImageNet's mean" in note
    assert "--mean" in note
    assert read(tmp_path / "net.pth").net.input.resize == 256


@needs_shared_data
def test_pretrained_net_on_photographs(tmp_path: Path) -> None:
    convert(SQUEEZENET, tmp_path / "net.squish", labels=LABELS)
    model = Model.load(str(tmp_path / "net.squish"))
    assert model.labels[:2] == ["tench", "goldfish"]
    module = SqueezeNet("1.1", 1000)
    weights = torch.load(SQUEEZENET.with_suffix(".pth"), weights_only=True)
    module.load_state_dict(weights)
    batch = photographs(4)
    with torch.no_grad():
        wanted = module.eval()(torch.from_numpy(batch)).numpy()
    logits, bound = reference.run(tmp_path / "net.squish", batch)
    assert (abs(wanted - logits) <= bound).all()
    assert (abs(Session(model).run(batch) - logits) <= bound).all()


def broken(tmp_path: Path, **changes: torch.Tensor) -> Path:
    """A checkpoint with tensors replaced; "__" stands for "." in the names."""
    state = dict(SqueezeNet("1.1", 3, 21, ODD_FIRES).state_dict())
    state.update({name.replace("__", "."): tensor for name, tensor in changes.items()})
    torch.save(state, tmp_path / "net.pth")
    return tmp_path / "net.pth"


def test_names_a_tensor_of_another_shape(tmp_path: Path) -> None:
    path = broken(tmp_path, features__6__squeeze__weight=torch.zeros(16, 99, 1, 1))
    wanted = r"'features.6.squeeze.weight' has shape \(16, 99, 1, 1\), wanted \(any, 18, 1, 1\)"
    with pytest.raises(ConvertError, match=wanted):
        read(path)


def test_names_a_bias_of_another_shape(tmp_path: Path) -> None:
    path = broken(tmp_path, classifier__1__bias=torch.zeros(4))
    with pytest.raises(ConvertError, match=r"'classifier.1.bias' has shape \(4,\), wanted \(3,\)"):
        read(path)


def test_names_a_kernel_of_another_size(tmp_path: Path) -> None:
    path = broken(tmp_path, features__0__weight=torch.zeros(21, 3, 7, 7))
    with pytest.raises(ConvertError, match=r"'features.0.weight' .* wanted \(any, 3, 3, 3\)"):
        read(path)


def test_names_a_tensor_without_a_place(tmp_path: Path) -> None:
    path = broken(tmp_path, classifier__4__weight=torch.zeros(3, 3))
    with pytest.raises(ConvertError, match=r"no place in SqueezeNet 1.1 for 'classifier.4.weight'"):
        read(path)


def test_names_a_tensor_that_is_not_finite(tmp_path: Path) -> None:
    path = broken(tmp_path, features__0__weight=torch.full((21, 3, 3, 3), torch.nan))
    with pytest.raises(ConvertError, match="'conv1': weight has values that are not finite"):
        read(path)


def test_names_a_tensor_of_integers(tmp_path: Path) -> None:
    path = broken(tmp_path, classifier__1__bias=torch.zeros(3, dtype=torch.int8))
    with pytest.raises(ConvertError, match=r"'classifier.1.bias' has dtype int8"):
        read(path)


PLAIN = torch.ones(3)
ODD_TENSORS: dict[str, tuple[torch.Tensor, str]] = {
    "sparse": (PLAIN.to_sparse(), "sparse_coo"),
    "without data": (PLAIN.to("meta"), "meta"),
    "quantised": (torch.quantize_per_tensor(PLAIN, 0.1, 0, torch.qint8), "qint8"),
    "complex": (PLAIN * 1j, "complex"),
    "conjugated": ((PLAIN * 1j).conj(), "complex"),
    "expanded": (torch.ones(1).expand(10**6, 10**6), "1000000000000 elements in 4 bytes"),
}


@pytest.mark.parametrize("case", ODD_TENSORS)
def test_names_a_tensor_that_is_not_plain_numbers(tmp_path: Path, case: str) -> None:
    tensor, message = ODD_TENSORS[case]
    path = broken(tmp_path, classifier__1__bias=tensor)
    with pytest.raises(ConvertError, match=rf"'classifier.1.bias'.*{message}"):
        read(path)


def test_tensors_with_the_negative_bit_are_read(tmp_path: Path) -> None:
    module = SqueezeNet("1.1", 3, 21, ODD_FIRES)
    state = dict(module.state_dict())
    bias = torch.complex(torch.zeros(3), -state["classifier.1.bias"]).conj().imag
    assert bias.is_neg()
    torch.save({**state, "classifier.1.bias": bias}, tmp_path / "net.pth")
    assert_same_logits(tmp_path / "net.pth", module, batch_of(65))


def test_names_a_key_that_is_no_text(tmp_path: Path) -> None:
    torch.save({3: torch.zeros(3)}, tmp_path / "net.pth")
    with pytest.raises(ConvertError, match="the name 3 is a int, wanted text"):
        read(tmp_path / "net.pth")


@pytest.mark.parametrize(
    "name", ["features.fire2.squeeze.weight", "squeeze.weight", "features.²3.squeeze.weight"]
)
def test_names_a_tensor_of_another_naming(tmp_path: Path, name: str) -> None:
    path = broken(tmp_path, **{name.replace(".", "__"): torch.zeros(1)})
    with pytest.raises(ConvertError, match=f"no place in SqueezeNet 1.1 for '{name}'"):
        read(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damage_is_a_convert_error(tmp_path: Path, suffix: str) -> None:
    """Whatever a library stumbles over; files whose damage is in a weight stay nets."""
    path = tmp_path / f"net{suffix}"
    state = SqueezeNet("1.1", 2, 2, ((1, 1, 1),) * 8).state_dict()
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    whole, rng, refusals = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(200):
        damaged = bytearray(whole)
        for place in rng.integers(len(damaged), size=rng.integers(1, 30)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read(path)
        except ConvertError:
            refusals += 1
    assert refusals > 0


def test_images_of_another_number_of_channels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = SqueezeNet("1.1", 3, 21, ODD_FIRES)
    module.features[0] = nn.Conv2d(1, 21, 3, stride=2)
    torch.save(module.state_dict(), tmp_path / "net.pth")
    with pytest.raises(ConvertError, match=r"images of 1 channels.*wanted mean and std"):
        read(tmp_path / "net.pth")
    net = read(tmp_path / "net.pth", mean=[0.5], std=[0.25]).net
    batch = batch_of(65)[:, :1]
    logits, bound = reference.run(net, batch)
    with torch.no_grad():
        wanted = module.eval()(torch.from_numpy(batch)).numpy()
    assert (abs(wanted - logits) <= bound).all()


def test_rejects_a_fire_without_expands(tmp_path: Path) -> None:
    path = broken(
        tmp_path,
        features__3__expand1x1__weight=torch.zeros(0, 5, 1, 1),
        features__3__expand1x1__bias=torch.zeros(0),
        features__3__expand3x3__weight=torch.zeros(0, 5, 3, 3),
        features__3__expand3x3__bias=torch.zeros(0),
    )
    with pytest.raises(ConvertError, match=r"'features.3' has neither"):
        read(path)


def test_rejects_fires_in_other_places(tmp_path: Path) -> None:
    path = broken(tmp_path, features__5__squeeze__weight=torch.zeros(1, 1, 1, 1))
    with pytest.raises(ConvertError, match=r"Fires stand at features \(3, 4, 5, 6, .*wanted 1.0's"):
        read(path)


def test_rejects_another_net(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(1, 3, 3, 3)}, tmp_path / "net.pth")
    with pytest.raises(ConvertError, match=r"wanted 'features.0.weight', got 'conv.weight'"):
        read(tmp_path / "net.pth")


def test_rejects_a_batch_norm_without_a_convolution(tmp_path: Path) -> None:
    path = broken(tmp_path, other_bn__running_mean=torch.zeros(3))
    with pytest.raises(ConvertError, match="'other_bn' belongs to no convolution"):
        read(path)


def test_names_a_missing_part_of_a_batch_norm(tmp_path: Path) -> None:
    path = broken(tmp_path, features__3__squeeze_bn__running_mean=torch.zeros(5))
    with pytest.raises(ConvertError, match=r"'features.3.squeeze_bn' has no tensor 'weight'"):
        read(path)


def test_refuses_code_in_a_checkpoint(tmp_path: Path) -> None:
    torch.save(SqueezeNet("1.1", 3, 21, ODD_FIRES), tmp_path / "net.pth")
    with pytest.raises(ConvertError, match="not a PyTorch state dict of plain tensors"):
        read(tmp_path / "net.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".onnx"])
@pytest.mark.parametrize("content", [b"", b"no checkpoint at all, but bytes"])
def test_refuses_other_files(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    with pytest.raises(ConvertError, match=path.name):
        read(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing.pth"):
        read(tmp_path / "missing.pth")


def test_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=r"suffix '.h5', wanted one of .pth"):
        read(tmp_path / "net.h5")
