"""Net.infer on good input: the right numbers, from any array that holds them."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import squishnative
import torch
from squishnative import Net, reference
from squishnative.arrays import as_array
from squishnative.spec import FloatArray
from tiny_net import CLASSES, LABELS, SIZE, floats, pixels, save_tiny_net


def assert_logits(logits: FloatArray, net: Net, batch: Any) -> None:
    exact, bound = reference.run(net.path, batch)
    assert logits.dtype == np.float32
    assert logits.shape == exact.shape
    excess = np.abs(logits - exact) - bound
    worst = np.unravel_index(excess.argmax(), excess.shape)
    assert excess.max() <= 0, (
        f"at {worst}: got {logits[worst]}, wanted {exact[worst]} within {bound[worst]}"
    )


@pytest.mark.parametrize("isa", squishnative.available_isas())
@pytest.mark.parametrize("count", [1, 3])
def test_float_logits_are_within_the_bound(net_file: Path, isa: str, count: int) -> None:
    net = squishnative.load(net_file, isa=isa)
    assert net.isa == isa
    assert_logits(net.infer(floats(count)), net, floats(count))


@pytest.mark.parametrize("isa", squishnative.available_isas())
def test_uint8_logits_are_within_the_bound(net_file: Path, isa: str) -> None:
    net = squishnative.load(net_file, isa=isa)
    assert_logits(net.infer(pixels(3)), net, pixels(3))


def test_reference_device_is_within_the_bound(net_file: Path) -> None:
    net = squishnative.load(net_file, device="reference")
    assert net.isa == ""
    assert_logits(net.infer(floats(2)), net, floats(2))


@pytest.mark.parametrize("device", ["abacus", "cuda:999", "cuda:x"])
def test_a_device_that_is_not_here_is_refused(net_file: Path, device: str) -> None:
    """With CUDA in the build or not, with a driver on the machine or not."""
    with pytest.raises(squishnative.DeviceError, match=device):
        squishnative.load(net_file, device=device)
    net = squishnative.load(net_file)
    assert_logits(net.infer(floats(1)), net, floats(1))


def test_other_sizes_run(net: Net) -> None:
    for size in (SIZE - 5, SIZE + 9):
        batch = floats(2, size=size)
        assert_logits(net.infer(batch), net, batch)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channel_counts_run(tmp_path: Path, channels: int) -> None:
    net = squishnative.load(save_tiny_net(tmp_path, channels))
    for batch in (floats(2, channels), pixels(2, channels)):
        assert_logits(net.infer(batch), net, batch)


def test_a_net_that_ends_in_a_map_gives_four_axes(tmp_path: Path) -> None:
    net = squishnative.load(save_tiny_net(tmp_path, ends_in_map=True))
    logits = net.infer(floats(2))
    assert logits.ndim == 4
    assert_logits(logits, net, floats(2))


class Interface:
    """Nothing but __array_interface__."""

    def __init__(self, array: FloatArray) -> None:
        self._array = array
        self.__array_interface__ = array.__array_interface__


class ArrayMethod:
    """Nothing but __array__."""

    def __init__(self, array: FloatArray) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> FloatArray:
        return self._array


@pytest.mark.parametrize("wrap", [torch.from_numpy, Interface, ArrayMethod])
def test_other_arrays_are_read_in_place(net: Net, wrap: Any) -> None:
    batch = floats(2)
    assert as_array(wrap(batch)).ctypes.data == batch.ctypes.data
    np.testing.assert_array_equal(net.infer(wrap(batch)), net.infer(batch))


def test_torch_tensors_of_uint8_are_read_in_place(net: Net) -> None:
    tensor = torch.from_numpy(pixels(2))
    assert as_array(tensor).ctypes.data == tensor.data_ptr()
    np.testing.assert_array_equal(net.infer(tensor), net.infer(pixels(2)))


def test_torch_tensors_with_the_negative_bit_keep_their_sign(net: Net) -> None:
    batch = torch.from_numpy(floats(2))
    negative = torch.complex(torch.zeros_like(batch), -batch).conj().imag
    assert negative.is_neg()
    np.testing.assert_array_equal(net.infer(negative), net.infer(batch))


def test_masked_arrays_are_refused(net: Net) -> None:
    with pytest.raises(TypeError, match="got a masked array"):
        net.infer(np.ma.masked_greater(floats(1), 0))


def test_contiguous_input_is_not_copied(net: Net) -> None:
    batch, out = floats(64), np.empty((64, CLASSES), np.float32)
    assert as_array(batch) is batch
    net.infer(batch, out=out)
    tracemalloc.start()
    try:
        net.infer(batch, out=out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < batch.nbytes // 10


def test_strided_input_is_copied_to_c_order(net: Net) -> None:
    batch = floats(2)
    wanted = net.infer(batch)
    strided = [
        np.asfortranarray(batch),
        np.concatenate([batch, batch], axis=3)[..., :SIZE],
        np.ascontiguousarray(batch[:, :, ::-1])[:, :, ::-1],
        torch.from_numpy(batch).to(memory_format=torch.channels_last),
    ]
    for same in strided:
        np.testing.assert_array_equal(net.infer(same), wanted)


def test_unaligned_input_is_copied(net: Net) -> None:
    batch = floats(2)
    raw = np.empty(batch.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(np.float32).reshape(batch.shape)
    unaligned[...] = batch
    assert not unaligned.flags.aligned
    np.testing.assert_array_equal(net.infer(unaligned), net.infer(batch))


def test_read_only_input_runs(net: Net) -> None:
    batch = floats(1)
    batch.flags.writeable = False
    assert net.infer(batch).shape == (1, CLASSES)


def test_out_is_filled_and_returned(net: Net) -> None:
    out = np.full((3, CLASSES), np.nan, np.float32)
    assert net.infer(floats(3), out=out) is out
    np.testing.assert_array_equal(out, net.infer(floats(3)))


def test_results_do_not_depend_on_threads_or_batch(net_file: Path) -> None:
    batch = floats(5)
    wanted = squishnative.load(net_file).infer(batch)
    for threads in (2, 3):
        np.testing.assert_array_equal(
            squishnative.load(net_file, threads=threads).infer(batch), wanted
        )
    single = squishnative.load(net_file)
    np.testing.assert_array_equal(
        np.concatenate([single.infer(image[None]) for image in batch]), wanted
    )


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_only_cuda_is_tuned(net_file: Path, device: str) -> None:
    with pytest.raises(ValueError, match=f"tune: device '{device}' is not tuned, wanted a CUDA"):
        squishnative.load(net_file, device=device, tune=True)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_storage_that_there_is_not(net_file: Path, device: str) -> None:
    assert squishnative.load(net_file, device=device).storage == "f32"
    assert squishnative.load(net_file, device=device, storage="f32").storage == "f32"
    for storage, why in {
        "f16": f"storage: got 'f16', device '{device}' has 'f32' and 'i8'",
        "f8": "storage: got 'f8', wanted 'auto', 'f32', 'f16' or 'i8'",
        "i8": "storage: got 'i8', the file is not made for integer arithmetic: layer 0 'conv1': ",
    }.items():
        with pytest.raises(ValueError, match=why):
            squishnative.load(net_file, device=device, storage=storage)


def test_what_a_net_says_of_itself(net: Net, net_file: Path) -> None:
    assert net.path == str(net_file.resolve())
    assert net.input_shape == (3, SIZE, SIZE)
    assert net.classes == CLASSES
    assert net.labels == LABELS
    assert repr(net) == (
        f"<squishnative.Net 'tiny3.squish': 7 classes, input 3x24x24, cpu {net.isa}, 1 thread>"
    )


def test_explain_names_every_layer(net: Net) -> None:
    table = net.explain()
    for name in ("conv1", "fire2", "fire3", "bypass3", "conv4", "total"):
        assert name in table
    assert sum(step.macs for step in net.steps()) == sum(
        step.macs for step in net.steps((SIZE, SIZE))
    )
    assert net.explain(48) == net.explain((48, 48))
    assert sum(step.macs for step in net.steps((48, 48))) > sum(step.macs for step in net.steps())


def test_memory_grows_with_the_image_and_the_threads(net_file: Path) -> None:
    with squishnative.load(net_file) as net, squishnative.load(net_file, threads=2) as two:
        own, larger, of_two = net.memory(), net.memory(2 * SIZE), two.memory()
    parts = own.model, own.weights, own.activations, own.scratch
    assert own.model == net_file.stat().st_size
    assert own.total == sum(parts)
    assert all(part > 0 for part in parts)
    assert (larger.model, larger.weights) == (own.model, own.weights)
    assert larger.activations > 2 * own.activations
    assert (of_two.activations, of_two.scratch) == (2 * own.activations, 2 * own.scratch)
    model, weights, activations, scratch = parts
    assert repr(own) == (
        f"MemoryUse({model=}, {weights=}, {activations=}, {scratch=}, total={own.total})"
    )
    with squishnative.load(net_file, device="reference") as truth:
        assert truth.memory().total == own.model
        with pytest.raises(ValueError, match="too small for the net"):
            truth.memory(1)


def test_profile_measures_every_step(net: Net) -> None:
    table = net.profile(floats(2), iterations=3).splitlines()
    assert "us" in table[0].split()
    assert len(table) == len(net.explain().splitlines())
    assert table[-1].startswith("total")
    assert "100.0%" in table[-1]


def test_pickle_loads_the_same_file_again(net: Net) -> None:
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.infer(floats(1)), net.infer(floats(1)))


def test_file_names_need_not_be_ascii_or_utf8(net_file: Path, tmp_path: Path) -> None:
    for name in ("käse 猫.squish", b"\xff\xfe.squish".decode("utf8", "surrogateescape")):
        path = tmp_path / name
        path.write_bytes(net_file.read_bytes())
        assert squishnative.load(path).classes == CLASSES
        assert squishnative.load(str(path)).classes == CLASSES
