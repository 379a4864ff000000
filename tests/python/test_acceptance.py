"""From checkpoint to logits at full size, against PyTorch, ONNX Runtime and float64.

Our engine and its opponents are each within `reference.run`'s bound of the exact logits, so within
twice the bound of each other.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_runtime
import pytest
import squishnative
import torch
from nets import SqueezeNet, TorchNet, random_net
from PIL import Image
from shared_data import (
    FOLDER,
    LABELS,
    SQUEEZENET,
    needs_shared_data,
    photograph_paths,
    photographs,
    photographs_as_pixels,
)
from squishnative import reference
from squishnative.convert import convert
from squishnative.export import export
from squishnative.spec import FloatArray
from test_convert_onnx import export as torch_export

pytestmark = pytest.mark.slow

PHOTOGRAPHS = 40
BUILD = Path(__file__).parents[2] / "build"
# By architecture: presets of which `make test` builds one, and what runs it here.
ARM_PRESETS = {"aarch64": ["aarch64-cuda", "aarch64"], "armhf": ["armhf"]}
ARM_RUN = {
    "aarch64": ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"],
    "armhf": ["qemu-arm-static", "-L", "/usr/arm-linux-gnueabihf"],
}


@dataclass
class Pretrained:
    """The ImageNet net and what others make of all photographs."""

    net: Path
    module: SqueezeNet
    batch: FloatArray
    torch_logits: FloatArray
    logits: npt.NDArray[np.float64]
    bound: npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    net = tmp_path_factory.mktemp("pretrained") / "squeezenet.squish"
    convert(SQUEEZENET, net, labels=LABELS)
    module = SqueezeNet("1.1", 1000)
    module.load_state_dict(torch.load(SQUEEZENET.with_suffix(".pth"), weights_only=True))
    batch = photographs(PHOTOGRAPHS)
    with torch.no_grad():
        torch_logits = module.eval()(torch.from_numpy(batch)).numpy()
    logits, bound = reference.run(net, batch)
    assert (abs(torch_logits - logits) <= bound).all()
    return Pretrained(net, module, batch, torch_logits, logits, bound)


def check(
    got: FloatArray, wanted: Pretrained, record_property: Callable[[str, object], None]
) -> None:
    used = float((abs(got - wanted.logits) / wanted.bound).max())
    difference = abs(got - wanted.torch_logits)
    record_property("largest error / bound", float(used))
    print(f"error / bound {used:.3f}, largest difference from PyTorch {difference.max():.1e}")
    assert used <= 1
    assert (difference <= 2 * wanted.bound).all()
    np.testing.assert_array_equal(got.argmax(1), wanted.torch_logits.argmax(1))


@needs_shared_data
@pytest.mark.parametrize("isa", squishnative.available_isas())
def test_photographs(
    pretrained: Pretrained, isa: str, record_property: Callable[[str, object], None]
) -> None:
    with squishnative.load(pretrained.net, isa=isa) as net:
        assert net.isa == isa
        check(net.infer(pretrained.batch), pretrained, record_property)


@needs_shared_data
def test_photographs_from_the_file_to_the_label(pretrained: Pretrained) -> None:
    """What a user does: predict. `photographs` prepares them on its own, as torchvision does."""
    paths, names = photograph_paths(PHOTOGRAPHS), LABELS.read_text(encoding="utf-8").splitlines()
    with squishnative.load(pretrained.net) as net:
        pixels = np.stack([net.preprocess(path) for path in paths])
        np.testing.assert_array_equal(pixels, photographs_as_pixels(PHOTOGRAPHS))
        logits, bound = reference.run(pretrained.net, pixels)
        assert (abs(net.infer(pixels) - logits) <= bound).all()
        predictions = net.predict(paths, k=1)
    probabilities = torch.softmax(torch.from_numpy(pretrained.torch_logits).double(), 1).numpy()
    likeliest = pretrained.torch_logits.argmax(1)
    for [prediction], wanted, exact, off in zip(predictions, likeliest, probabilities, bound):
        assert prediction.index == wanted
        assert prediction.label == names[wanted].split("\t")[-1]
        # Both logits are off by at most the bound, and the quotient that makes a probability of
        # them by at most its double.
        assert abs(prediction.probability / exact[wanted] - 1) <= np.expm1(4 * off.max())


@needs_shared_data
@pytest.mark.parametrize("dynamo", [False, True])
def test_photographs_through_onnx(
    pretrained: Pretrained,
    dynamo: bool,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    torch_export(pretrained.module, pretrained.batch[:1], tmp_path / "net.onnx", dynamo)
    convert(tmp_path / "net.onnx", tmp_path / "net.squish")
    with squishnative.load(tmp_path / "net.squish") as net:
        check(net.infer(pretrained.batch), pretrained, record_property)


def logits_on_arm(architecture: str, cpu: str, net: Path, *arguments: str) -> FloatArray:
    files = [BUILD / preset / "tools/infer/squish-infer" for preset in ARM_PRESETS[architecture]]
    binary = next((file for file in files if file.is_file()), None)
    emulator = ARM_RUN[architecture]
    if binary is None or shutil.which(emulator[0]) is None:
        pytest.skip(f"needs `make test-{architecture}` and {emulator[0]}")
    command = [*emulator, "-cpu", cpu, str(binary), str(net), "--as-is", "--logits", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return np.array([float(line) for line in done.stdout.split()], "f4")


on_arm = pytest.mark.parametrize(
    ("architecture", "cpu"),
    [
        ("aarch64", "cortex-a57"),
        ("aarch64", "max"),
        ("armhf", "cortex-a7"),
        ("armhf", "cortex-a9,neon=off"),
    ],
)


@needs_shared_data
@on_arm
def test_photograph_on_arm(
    pretrained: Pretrained, tmp_path: Path, architecture: str, cpu: str
) -> None:
    photo = sorted((FOLDER / "photos").iterdir())[0]
    with squishnative.load(pretrained.net) as net:
        pixels = net.preprocess(photo)
    Image.fromarray(pixels).save(tmp_path / "photo.ppm")
    logits, bound = reference.run(pretrained.net, pixels[None])
    for isa in ("scalar",) if "neon=off" in cpu else ("neon", "scalar"):
        got = logits_on_arm(
            architecture, cpu, pretrained.net, str(tmp_path / "photo.ppm"), "--isa", isa
        )
        assert (abs(got - logits[0]) <= bound[0]).all()
        assert got.argmax() == logits[0].argmax()


@on_arm
def test_integers_on_arm_are_those_of_this_machine(
    tmp_path: Path, architecture: str, cpu: str
) -> None:
    for file in sorted((Path(squishnative.__file__).parent / "nets").glob("*.squish")):
        with squishnative.load(file, storage="i8") as net:
            size = net.input_shape[1:]
            pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "image.ppm")
            got = logits_on_arm(architecture, cpu, file, str(tmp_path / "image.ppm"))
            np.testing.assert_array_equal(got, net.infer(pixels[None])[0])


@pytest.mark.parametrize("seed", range(200))
def test_random_nets_against_torch_and_onnxruntime(tmp_path: Path, seed: int) -> None:
    net, batch = random_net(seed)
    net.save(tmp_path / "net.squish")
    export(tmp_path / "net.squish", tmp_path / "net.onnx")
    with squishnative.load(tmp_path / "net.squish", threads=1 + seed % 3) as loaded:
        got = loaded.infer(batch)
    from_onnxruntime = onnx_runtime.run(tmp_path / "net.onnx", batch)
    with torch.no_grad():
        from_torch = TorchNet(net)(torch.from_numpy(batch)).numpy()
    logits, bound = reference.run(net, batch)
    for engine, found in (("ours", got), ("onnxruntime", from_onnxruntime), ("torch", from_torch)):
        assert (abs(found - logits) <= bound).all(), engine
