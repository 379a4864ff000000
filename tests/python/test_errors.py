"""Bad files, bad options and bad calls: a clear exception that says got and wanted."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import squishnative
import torch
from squishnative import Net
from tiny_net import CLASSES, SIZE, floats, pixels


def test_exceptions_are_what_callers_expect() -> None:
    assert issubclass(squishnative.FormatError, ValueError)
    assert issubclass(squishnative.DeviceError, RuntimeError)
    assert squishnative.FormatError.__module__ == "squishnative"


# Files


def test_a_missing_file_is_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        squishnative.load(tmp_path / "none.squish")
    assert caught.value.filename == str(tmp_path / "none.squish")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        squishnative.load(tmp_path)


def test_other_bytes_are_a_format_error_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "text.squish"
    path.write_text("not a net, but long enough to hold the header of one", encoding="utf-8")
    with pytest.raises(squishnative.FormatError, match=r"text\.squish"):
        squishnative.load(path)


def test_a_name_that_is_not_utf8_is_in_the_message(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.squish")
    try:
        Path(path).write_bytes(bytes(100))
    except OSError:
        pytest.skip("file systems of macOS have no such names")
    with pytest.raises(squishnative.FormatError) as caught:
        squishnative.load(path)
    assert path in str(caught.value)


def test_a_later_version_is_refused_naming_both(net_file: Path, tmp_path: Path) -> None:
    data = bytearray(net_file.read_bytes())
    data[8] = 7
    path = tmp_path / "later.squish"
    path.write_bytes(data)
    with pytest.raises(squishnative.FormatError, match=r"version 7.*version 1"):
        squishnative.load(path)


def test_a_flipped_byte_is_a_format_error(net_file: Path, tmp_path: Path) -> None:
    data = bytearray(net_file.read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "flipped.squish"
    path.write_bytes(data)
    with pytest.raises(squishnative.FormatError):
        squishnative.load(path)


# Options


def test_absent_devices_are_device_errors(net_file: Path) -> None:
    with pytest.raises(squishnative.DeviceError, match="'tpu'"):
        squishnative.load(net_file, device="tpu")


def test_absent_isas_are_device_errors(net_file: Path) -> None:
    absent = "neon" if "avx2" in squishnative.available_isas() else "avx512"
    with pytest.raises(squishnative.DeviceError, match=f"got '{absent}'.*scalar"):
        squishnative.load(net_file, isa=absent)


@pytest.mark.parametrize("threads", [0, -1, 65536, 2**40])
def test_threads_must_be_a_sensible_number(net_file: Path, threads: int) -> None:
    with pytest.raises(ValueError, match=f"threads: got {threads}, must be from 1 to 65535"):
        squishnative.load(net_file, threads=threads)


@pytest.mark.parametrize("threads", [2.0, True, "2", None])
def test_threads_must_be_a_whole_number(net_file: Path, threads: Any) -> None:
    with pytest.raises(TypeError, match=f"threads: got {threads!r}, wanted a whole number"):
        squishnative.load(net_file, threads=threads)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": None}, "device: got None, wanted a string"),
        ({"isa": 3}, "isa: got 3, wanted a string"),
        ({"storage": b"f32"}, "storage: got b'f32', wanted a string"),
        ({"tune": "no"}, "tune: got 'no', wanted True or False"),
    ],
)
def test_options_of_another_type(net_file: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        squishnative.load(net_file, **options)


# Batches

NAN = floats(1)
NAN[0, 1, 2, 3] = np.nan
INFINITE = floats(1)
INFINITE[0, 0, 0, 0] = -np.inf

BAD_BATCHES: dict[str, tuple[Any, type[Exception], str]] = {
    "float64": (floats(1).astype("f8"), TypeError, "got dtype float64, wanted float32"),
    "float16": (floats(1).astype("f2"), TypeError, "got dtype float16, wanted float32"),
    "int64": (pixels(1).astype("i8"), TypeError, "got dtype int64, wanted float32"),
    "big endian": (floats(1).astype(">f4"), TypeError, "got dtype >f4, wanted float32"),
    "torch float64": (torch.zeros(1, 3, SIZE, SIZE).double(), TypeError, "got dtype float64"),
    "torch bfloat16": (torch.zeros(1, 3, SIZE, SIZE).bfloat16(), TypeError, "torch.bfloat16"),
    "torch meta": (torch.zeros(1, 3, SIZE, SIZE, device="meta"), ValueError, "is on meta, wanted"),
    "torch conjugate": (torch.zeros(1, 3, SIZE, SIZE).mul(1j).conj(), TypeError, "complex64"),
    "torch sparse": (torch.zeros(1, 3, SIZE, SIZE).to_sparse(), TypeError, "torch.strided"),
    "list": ([[1.0]], TypeError, "got list, wanted a NumPy array"),
    "None": (None, TypeError, "got NoneType, wanted a NumPy array"),
    "single float image": (floats(1)[0], ValueError, r"\(3, 24, 24\).*add the batch axis"),
    "single uint8 image": (pixels(1)[0], ValueError, r"\(24, 24, 3\).*add the batch axis"),
    "two axes": (floats(1)[0, 0], ValueError, r"\(24, 24\), wanted float32 \(N, 3, H, W\)"),
    "five axes": (floats(1)[None], ValueError, r"\(1, 1, 3, 24, 24\), wanted"),
    "channels last float": (
        np.zeros((1, SIZE, SIZE, 3), np.float32),
        ValueError,
        r"float32 \(1, 24, 24, 3\), wanted float32 \(N, 3, H, W\)",
    ),
    "channels first uint8": (
        np.zeros((1, 3, SIZE, SIZE), np.uint8),
        ValueError,
        r"uint8 \(1, 3, 24, 24\), wanted uint8 \(N, H, W, 3\)",
    ),
    "empty": (floats(0), ValueError, "got 0 images"),
    "too small": (floats(1, size=2), ValueError, "got 2x2 pixels, too small"),
    "no pixels": (floats(1)[:, :, :0], ValueError, "got 0x24 pixels"),
    "NaN": (NAN, ValueError, "finite"),
    "infinite": (INFINITE, ValueError, "finite"),
}


@pytest.mark.parametrize("case", BAD_BATCHES)
def test_bad_batches_say_got_and_wanted(net: Net, case: str) -> None:
    batch, error, message = BAD_BATCHES[case]
    with pytest.raises(error, match=message):
        net.infer(batch)
    assert net.infer(floats(1)).shape == (1, CLASSES)  # the net is as good as before


def test_a_tensor_that_requires_grad_says_detach(net: Net) -> None:
    with pytest.raises(TypeError, match=r"detach"):
        net.infer(torch.zeros(1, 3, SIZE, SIZE, requires_grad=True))


class OnDevice:
    """What a CUDA array shows of itself before anybody touches its memory."""

    device = "cuda:1"

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 1

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("must not be asked for its memory")


def test_device_memory_is_refused_by_name(net: Net) -> None:
    with pytest.raises(ValueError, match=r"is on cuda:1, wanted CPU memory"):
        net.infer(OnDevice())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_tensors_are_refused_by_name(net: Net) -> None:
    with pytest.raises(ValueError, match=r"is on cuda:0, wanted CPU memory"):
        net.infer(torch.zeros(1, 3, SIZE, SIZE, device="cuda"))


# out=

READ_ONLY = np.zeros((2, CLASSES), np.float32)
READ_ONLY.flags.writeable = False

BAD_OUTS: dict[str, tuple[Any, type[Exception], str]] = {
    "shape": (
        np.zeros((2, CLASSES + 1), np.float32),
        ValueError,
        r"got shape \(2, 8\), wanted \(2, 7\)",
    ),
    "rank": (np.zeros(2 * CLASSES, np.float32), ValueError, r"got shape \(14,\), wanted \(2, 7\)"),
    "dtype": (np.zeros((2, CLASSES)), TypeError, "got dtype float64, wanted float32"),
    "layout": (np.zeros((CLASSES, 2), np.float32).T, ValueError, "C-contiguous"),
    "read-only": (READ_ONLY, ValueError, "read-only"),
    "torch": (torch.zeros(2, CLASSES), TypeError, "got Tensor, wanted a float32 NumPy array"),
}


@pytest.mark.parametrize("case", BAD_OUTS)
def test_bad_outs_say_got_and_wanted(net: Net, case: str) -> None:
    out, error, message = BAD_OUTS[case]
    with pytest.raises(error, match=f"out: .*{message}"):
        net.infer(floats(2), out=out)


def test_out_may_not_share_memory_with_the_batch(net: Net) -> None:
    batch = floats(2)
    with pytest.raises(ValueError, match="shares memory"):
        net.infer(batch, out=batch.reshape(-1)[: 2 * CLASSES].reshape(2, CLASSES))


# Other calls


def test_a_closed_net_refuses_every_call(net_file: Path) -> None:
    net = squishnative.load(net_file)
    net.close()
    net.close()
    calls: list[Any] = [
        lambda: net.infer(floats(1)),
        lambda: net.predict([pixels(1)[0]]),
        net.explain,
        lambda: net.profile(floats(1)),
        lambda: pickle.dumps(net),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"'tiny3\.squish' is closed"):
            call()
    assert "closed" in repr(net)


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (0, ValueError, "size: got 0, must be from 1 to 65535"),
        ((24, 2**20), ValueError, "size: got 1048576, must be"),
        (24.0, TypeError, "size: got 24.0, wanted a whole number"),
        ((24, 24, 24), ValueError, r"size: got \(24, 24, 24\), wanted one side or"),
    ],
)
def test_bad_sizes_say_got_and_wanted(
    net: Net, size: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        net.explain(size)


def test_profile_needs_an_iteration(net: Net) -> None:
    with pytest.raises(ValueError, match="iterations: got 0"):
        net.profile(floats(1), iterations=0)
