"""What a call costs from Python (`make bench`): SqueezeNet 1.1 of 10 classes, 224x224, one thread.

A group holds rivals, which run right after each other. Ours are checked against the float64 twin.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import squishnative
import torch
from nets import SqueezeNet
from pytest_benchmark.fixture import BenchmarkFixture
from squishnative import Net, reference
from squishnative.convert import convert
from squishnative.spec import FloatArray
from tiny_net import floats

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
BATCHES = [1, 8, 64]

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def network() -> SqueezeNet:
    torch.manual_seed(0)
    return SqueezeNet("1.1").eval()


@pytest.fixture(scope="module")
def file(network: SqueezeNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    torch.save(network.state_dict(), folder / "net.pth")
    convert(folder / "net.pth", folder / "net.squish", mean=MEAN.tolist(), std=STD.tolist())
    return folder / "net.squish"


@pytest.fixture(scope="module")
def squeezenet(file: Path) -> Net:
    return squishnative.load(file)


@pytest.fixture(params=BATCHES, ids=[f"batch {count}" for count in BATCHES])
def images(request: pytest.FixtureRequest) -> Pixels:
    shape = (request.param, 224, 224, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def normalise(images: Pixels) -> FloatArray:
    """What a caller without the engine's uint8 input does, with NumPy alone."""
    scaled = (images.astype(np.float32) / np.float32(255) - MEAN) / STD
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def assert_right(net: Net, batch: npt.NDArray[np.generic], logits: FloatArray) -> None:
    exact, bound = reference.run(net.path, batch[:1])
    assert (np.abs(logits[:1] - exact) <= bound).all()


def test_float_input(benchmark: BenchmarkFixture, squeezenet: Net, images: Pixels) -> None:
    benchmark.group = f"infer, batch {len(images)}"
    batch = normalise(images)
    assert_right(squeezenet, batch, benchmark(squeezenet.infer, batch))


def test_uint8_input(benchmark: BenchmarkFixture, squeezenet: Net, images: Pixels) -> None:
    benchmark.group = f"infer, batch {len(images)}"
    assert_right(squeezenet, images, benchmark(squeezenet.infer, images))


def test_out(benchmark: BenchmarkFixture, squeezenet: Net, images: Pixels) -> None:
    benchmark.group = f"infer, batch {len(images)}"
    batch, out = normalise(images), np.empty((len(images), 10), np.float32)
    assert_right(squeezenet, batch, benchmark(squeezenet.infer, batch, out))


def test_torch(benchmark: BenchmarkFixture, network: SqueezeNet, images: Pixels) -> None:
    benchmark.group = f"infer, batch {len(images)}"
    batch = torch.from_numpy(normalise(images))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            benchmark(network, batch)
    finally:
        torch.set_num_threads(threads)


def test_numpy_normalisation(benchmark: BenchmarkFixture, images: Pixels) -> None:
    """What uint8 input saves its caller."""
    benchmark.group = f"infer, batch {len(images)}"
    benchmark(normalise, images)


def test_load(benchmark: BenchmarkFixture, file: Path) -> None:
    benchmark.group = "load"
    assert benchmark(squishnative.load, file).classes == 10


def test_call_of_a_tiny_net(benchmark: BenchmarkFixture, net: Net) -> None:
    """Mostly what Python and the binding take."""
    benchmark.group = "overhead of a call"
    batch = floats(1)
    assert_right(net, batch, benchmark(net.infer, batch))


def test_call_of_a_numpy_function(benchmark: BenchmarkFixture) -> None:
    """The yardstick for it: a NumPy call that makes an array."""
    benchmark.group = "overhead of a call"
    benchmark(np.zeros, (1, 7), np.float32)
