"""Arrays of CUDA devices: what is taken and refused, without a device; the rest on one."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, Optional

import numpy as np
import pytest
import squishnative
import torch
from squishnative import Net, _core
from squishnative.arrays import is_on_cuda, on_its_device, stream_handle
from tiny_net import CLASSES, SIZE, floats, pixels
from torch.utils.dlpack import from_dlpack

ACCEPTED = "is on a CUDA device, the net on 'cpu'"  # the last check there is before the device
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Interface:
    """Says of a NumPy array that it is a device's."""

    def __init__(self, array: Any, **changes: object) -> None:
        self.array = array
        described = dict(array.__array_interface__)
        described.pop("descr")
        self.__cuda_array_interface__ = {**described, **changes}


class Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("sizes", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
        ("owner", ctypes.c_void_p),
        ("deleter", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
    )


class Dlpack:
    """A producer whose memory is the host's, and which says what it is told to."""

    def __init__(self, array: Any, code: int = 2, bits: int = 32, device_type: int = 2) -> None:
        self.array = array
        self.streams: list[int] = []
        self.deleted = 0
        extents = ctypes.c_int64 * array.ndim
        strides = [stride // array.itemsize for stride in array.strides]
        self.tensor = Tensor(
            data=array.ctypes.data,
            device_type=device_type,
            rank=array.ndim,
            code=code,
            bits=bits,
            lanes=1,
            sizes=extents(*array.shape),
            strides=extents(*strides),
            deleter=ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._delete),
        )

    def _delete(self, _: int) -> None:
        self.deleted += 1

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.tensor.device_type, 0

    def __dlpack__(self, *, stream: Optional[int] = None) -> object:
        assert stream is not None
        self.streams.append(stream)
        new = ctypes.pythonapi.PyCapsule_New
        new.restype = ctypes.py_object
        new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.tensor), b"dltensor", None)


class Refuses(Dlpack):
    def __dlpack__(self, *, stream: Optional[int] = None) -> object:
        raise BufferError("requires grad")


@pytest.fixture
def session(net: Net) -> _core.Session:
    return net._open()


@pytest.mark.parametrize("batch", [floats(2), pixels(2)], ids=["floats", "pixels"])
@pytest.mark.parametrize("out", [None, Interface(np.zeros((2, CLASSES), np.float32))])
def test_takes_what_is_described_well(session: _core.Session, batch: Any, out: object) -> None:
    code, bits = (2, 32) if batch.dtype == np.float32 else (1, 8)
    described = Interface(batch, strides=batch.strides)
    for array in (Interface(batch), described, Dlpack(batch, code, bits)):
        with pytest.raises(ValueError, match=ACCEPTED):
            session.enqueue(array, out)


@pytest.mark.parametrize(("stream", "number"), [(0, 1), (1, 1), (2, 2), (0x7F00, 0x7F00)])
def test_a_producer_is_told_the_stream_and_gets_its_tensor_back(
    session: _core.Session, stream: int, number: int
) -> None:
    batch = Dlpack(floats(1))
    with pytest.raises(ValueError, match=ACCEPTED):
        session.enqueue(batch, None, stream)
    assert batch.streams == [number]
    assert batch.deleted == 1


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (Interface(floats(1).astype(np.float64)), r"batch: got dtype float64, wanted float32"),
        (Interface(floats(1).astype(">f4")), r"batch: got dtype >f4"),
        (Interface(floats(1)[0]), r"batch: got float32 \(3, .*add the batch axis"),
        (Interface(floats(1)[:, :2]), r"wanted float32 \(N, 3, H, W\)"),
        (Interface(floats(1), strides=(0, 4, 4, 4)), r"must be C-contiguous"),
        (Interface(floats(1), strides=(4,)), r"must be C-contiguous"),
        (Interface(floats(1), data=(2, False)), r"must be C-contiguous and aligned"),
        (Interface(floats(1), shape=(1, 3, -1, 24)), r"its sizes are none"),
        (Interface(floats(1), shape=(2**40, 3, 2**40, 24)), r"its sizes are none"),
        (Interface(floats(1), shape="big"), r"no valid 'shape'"),
        (Interface(floats(1), data=None), r"no valid 'data'"),
        (Interface(floats(1), typestr=4), r"no valid 'typestr'"),
        (Interface(floats(1), stream="now"), r"no valid 'stream'"),
        (Interface(floats(1), mask=Interface(floats(1))), r"has a mask"),
        (Dlpack(floats(1), code=4, bits=16), r"batch: got dtype bfloat16, wanted float32"),
        (Dlpack(floats(1), bits=64), r"batch: got dtype float64"),
        (Dlpack(floats(1), device_type=10), r"lies on DLPack's device type 10"),
        (Dlpack(floats(2)[:, :, ::2]), r"must be C-contiguous"),
        (torch.zeros(1, 3, SIZE, SIZE), r"batch: lies in host memory"),
        (Refuses(floats(1)), r"batch: requires grad"),
        ([1, 2], r"got list, wanted an array of a CUDA device"),
    ],
)
def test_refuses_other_batches(session: _core.Session, batch: object, message: str) -> None:
    before = batch.deleted if isinstance(batch, Dlpack) else 0
    with pytest.raises((TypeError, ValueError), match=message):
        session.enqueue(batch)
    if isinstance(batch, Dlpack) and batch.streams:
        assert batch.deleted == before + 1


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((1, CLASSES), np.float32), r"out: got shape \(1, \d+\), wanted \(2, \d+\)"),
        (np.zeros((2, CLASSES)), r"out: got dtype float64"),
        (np.zeros((2, 2 * CLASSES), np.float32)[:, ::2], r"out: must be C-contiguous"),
    ],
)
def test_refuses_other_outputs(session: _core.Session, out: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        session.enqueue(Interface(floats(2)), Interface(out))


def test_refuses_outputs_that_it_must_not_write_to(session: _core.Session) -> None:
    out = np.zeros((2, CLASSES), np.float32)
    with pytest.raises(ValueError, match="out: is read-only"):
        session.enqueue(Interface(floats(2)), Interface(out, data=(out.ctypes.data, True)))
    batch = floats(2)
    within = batch.reshape(-1)[: 2 * CLASSES].reshape(2, CLASSES)
    with pytest.raises(ValueError, match="out: shares memory with the batch"):
        session.enqueue(Interface(batch), Interface(within))
    with pytest.raises(TypeError, match="out: got int, wanted an array of a CUDA device"):
        session.enqueue(Interface(batch), 7)


def test_a_net_on_the_cpu_has_nothing_to_wait_for(net: Net) -> None:
    with pytest.raises(squishnative.DeviceError, match="'cpu' computes in the host's memory"):
        net.synchronise()


def test_a_stream_is_for_arrays_of_a_device(net: Net) -> None:
    with pytest.raises(TypeError, match="stream: the batch is in host memory"):
        net.infer(floats(1), stream=7)


def test_streams_of_other_libraries() -> None:
    class Protocol:
        def __cuda_stream__(self) -> tuple[int, int]:
            return 0, 11

    class Torch:
        cuda_stream = 12

    class Cupy:
        ptr = 13

    streams = (None, Protocol(), Torch(), Cupy(), 14)
    assert [stream_handle(stream) for stream in streams] == [0, 11, 12, 13, 14]
    for wrong in (True, "now", 1.5, object()):
        with pytest.raises(TypeError, match="wanted a cudaStream_t as a number"):
            stream_handle(wrong)
    for number in (-1, 2**64):
        with pytest.raises(ValueError, match="no cudaStream_t"):
            stream_handle(number)


def test_where_arrays_are() -> None:
    assert is_on_cuda(Interface(floats(1)))
    assert is_on_cuda(Dlpack(floats(1)))
    for array in (floats(1), torch.zeros(1), torch.zeros(1, device="meta"), [1.0]):
        assert not is_on_cuda(array)


def test_torch_is_on_the_tensors_device_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tensor(torch.Tensor):
        is_cuda = True
        device = torch.device("cuda:3")

    class Device:
        def __init__(self, device: torch.device) -> None:
            self.device = device

        def __enter__(self) -> None:
            entered.append(self.device)

        def __exit__(self, *_: object) -> None:
            entered.append(None)

    entered: list[Optional[torch.device]] = []
    monkeypatch.setattr(torch.cuda, "device", Device)
    with on_its_device(torch.zeros(1).as_subclass(Tensor)):
        assert entered == [torch.device("cuda:3")]
    assert entered.pop() is None
    for other in (torch.zeros(1), Interface(floats(1)), Dlpack(floats(1))):
        with on_its_device(other):
            assert len(entered) == 1


@needs_gpu
class TestOnAGpu:
    @pytest.fixture
    def cuda_net(self, net: Net) -> Iterator[Net]:
        with squishnative.load(net.path, device="cuda") as loaded:
            yield loaded

    @pytest.mark.parametrize("batch", [floats(3), pixels(3)], ids=["floats", "pixels"])
    def test_tensors_in_and_out_without_a_copy(self, cuda_net: Net, batch: Any) -> None:
        wanted = cuda_net.infer(batch)
        tensor = torch.from_numpy(batch).cuda()
        stream = torch.cuda.Stream()
        made = cuda_net.infer(tensor, stream=stream)
        assert (made.shape, made.device) == ((3, CLASSES), "cuda:0")
        for theirs in (from_dlpack(made), torch.as_tensor(made, device="cuda")):
            np.testing.assert_array_equal(theirs.cpu().numpy(), wanted)
        out = torch.empty(3, CLASSES, device="cuda")
        assert cuda_net.infer(tensor, out=out, stream=stream) is out
        cuda_net.synchronise()
        np.testing.assert_array_equal(out.cpu().numpy(), wanted)

    def test_a_tuned_net_computes_the_same(self, cuda_net: Net) -> None:
        batch = floats(3)
        with squishnative.load(cuda_net.path, device="cuda", tune=True) as tuned:
            first = tuned.infer(batch)
            np.testing.assert_allclose(first, cuda_net.infer(batch), rtol=1e-4, atol=1e-4)
            np.testing.assert_array_equal(tuned.infer(batch), first)
            assert " ways the fastest " in str(tuned.explain())

    def test_what_is_under_way_is_waited_for(self, cuda_net: Net) -> None:
        batch = floats(3)
        late, ours = torch.cuda.Stream(), torch.cuda.Stream()
        with torch.cuda.stream(late):
            torch.cuda._sleep(100_000_000)
            tensor = torch.from_numpy(batch).cuda(non_blocking=True)
            made = cuda_net.infer(tensor, stream=ours)
        np.testing.assert_array_equal(from_dlpack(made).cpu().numpy(), cuda_net.infer(batch))

    def test_the_stream_that_wrote_need_not_be_there_any_more(self, cuda_net: Net) -> None:
        batch = floats(3)
        tensor = torch.from_numpy(batch).cuda()
        made = cuda_net.infer(tensor, stream=torch.cuda.Stream())
        assert made.__cuda_array_interface__["stream"] == 1  # the legacy stream, which never goes

    def test_input_that_is_not_finite_is_told_once(self, cuda_net: Net) -> None:
        cuda_net.infer(torch.full((1, 3, SIZE, SIZE), float("nan"), device="cuda"))
        with pytest.raises(ValueError, match="not finite"):
            cuda_net.synchronise()
        cuda_net.synchronise()

    def test_an_output_in_host_memory_is_refused(self, cuda_net: Net) -> None:
        batch = torch.zeros(1, 3, SIZE, SIZE, device="cuda")
        with pytest.raises((TypeError, ValueError), match="out: "):
            cuda_net.infer(batch, out=torch.zeros(1, CLASSES))
