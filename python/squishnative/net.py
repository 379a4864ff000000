"""`Net`: a loaded classifier."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Optional, Union, overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from squishnative import _core, nets
from squishnative.arguments import MOST_THREADS, image_size, whole_number
from squishnative.arrays import as_array, is_on_cuda, on_its_device, stream_handle
from squishnative.plan_table import explain_table, profile_table
from squishnative.preprocess import ImageSource, Preprocessing
from squishnative.ranking import Prediction, top_k

PathLike = Union[str, "os.PathLike[str]"]
FloatArray = npt.NDArray[np.float32]
Size = Union[int, tuple[int, int]]  # one side or (height, width)


def load(
    path: PathLike,
    device: str = "cpu",
    threads: int = 1,
    isa: Optional[str] = None,
    storage: str = "auto",
    tune: bool = False,
) -> Net:
    """Loads a `.squish` file, or a net that comes with the package by its name: `squish nets`.

    device: "cpu"; "reference", plain loops in double precision that tests compare with; or, where
    the package was built with CUDA, "cuda" or "cuda:1".
    threads: threads that compute, 1 to 65535, obeyed exactly; 1 on other devices than "cpu".
    Results do not depend on it.
    isa: CPU instruction set, one of `available_isas()`. None: $SQUISH_FORCE_ISA if set, else the
    best here.
    storage: how activations and weights are kept and computed with. "f32": in floats, whatever the
    file. "i8": in integers, of a file that is made for them (`squish quantise`), to the same bits
    on every device. "f16": on a CUDA device. "auto", on "cpu": of a file that is made for integers,
    the faster of "i8" and "f32" by a forecast for this instruction set; `Net.storage` says which.
    On "reference" "i8" where the file is made for it, on a CUDA device "f32".
    tune: on a CUDA device, chooses kernels and tiles by measuring them for each pair of image and
    batch size, instead of by a model of the device: about a second before the first batch, for
    large ones up to some ten and forty times what one takes. `explain` shows what was measured for
    one image. Last bits of floats may then differ between nets that were loaded, not between calls
    of one.

    Raises OSError (FileNotFoundError, ...) where the file cannot be read, FormatError (a
    ValueError) where it is no valid net, ValueError or TypeError on bad options, DeviceError (a
    RuntimeError) where the device or the instruction set is absent.
    """
    return Net(path, device, threads, isa, storage, tune)


class Net:
    """A classifier in memory, made by `load`. A context manager, which closes it.

    Threads: calls from several threads are safe and wait for each other; the GIL is released while
    the engine works. For throughput on many cores give each thread its own net, or one net several
    `threads`.
    Processes: a net is pickled by its path. After a fork the child must load its own: calls on an
    inherited net raise RuntimeError, because the threads that computed did not come along.
    """

    def __init__(
        self,
        path: PathLike,
        device: str = "cpu",
        threads: int = 1,
        isa: Optional[str] = None,
        storage: str = "auto",
        tune: bool = False,
    ) -> None:
        """The same as `load`."""
        file = nets.path_of(path)
        threads = whole_number("threads", threads, 1, MOST_THREADS)
        for what, name in (("device", device), ("isa", isa or ""), ("storage", storage)):
            if not isinstance(name, str):
                raise TypeError(f"{what}: got {name!r}, wanted a string")
        if not isinstance(tune, bool):
            raise TypeError(f"tune: got {tune!r}, wanted True or False")
        # Python's own OSErrors: FileNotFoundError, IsADirectoryError, with errno.
        with open(file, "rb"):
            pass
        self._arguments = (os.path.abspath(file), device, threads, isa, storage, tune)
        self._model = _core.Model.load(file)
        self._preprocessing = Preprocessing.of(self._model)
        self._session: Optional[_core.Session] = _core.Session(
            self._model, device, threads, isa or "", storage, tune
        )

    @property
    def path(self) -> str:
        """Absolute path of the file."""
        return self._arguments[0]

    @property
    def model(self) -> _core.Model:
        """What the file stores: layers, weights, preprocessing."""
        return self._model

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) it was made for; `infer` takes any size its layers admit."""
        return self._model.input_shape

    @property
    def classes(self) -> int:
        """The number of classes: output channels."""
        return self._model.classes

    @property
    def labels(self) -> list[str]:
        """One name a class, or none."""
        return self._model.labels

    @property
    def isa(self) -> str:
        """The instruction set that runs: "avx512", "avx2", "neon", "scalar"; else ""."""
        return self._open().isa

    @property
    def storage(self) -> str:
        """What activations and weights are kept in: "f32", "i8" or "f16"."""
        return self._open().storage

    @overload
    def infer(self, batch: npt.NDArray[Any], out: Optional[FloatArray] = None) -> FloatArray: ...
    @overload
    def infer(self, batch: Any, out: Any = None, stream: Any = None) -> Any: ...
    def infer(self, batch: Any, out: Any = None, stream: Any = None) -> Any:
        """Runs a batch.

        batch: (N, C, H, W) float32, normalised by the caller with the file's mean and std, or
        (N, H, W, C) uint8, 0..255, which the engine normalises. A NumPy array, a torch CPU tensor,
        or anything with `__dlpack__`, `__array_interface__` or `__array__`. Not copied where it is
        C-contiguous; copied to C order where it is not. Other dtypes are refused, never converted.
        out: a C-contiguous, writable float32 array of the result's shape, to be filled and
        returned.

        Returns logits, (N, classes) float32; (N, classes, H, W) where the net ends in a map.
        Raises TypeError on a wrong dtype, ValueError on a wrong shape, an empty batch, a size that
        the net does not admit, input that is not finite, or a closed net.

        Arrays of a CUDA device, by DLPack or `__cuda_array_interface__`, are read and written where
        they are, by a net on that device. The call puts the work on `stream` (a torch or CuPy
        stream, an object with `__cuda_stream__`, or a handle; None: the legacy default stream) and
        returns at once. The batch must stay as it is until the work is done. `out` is then an array
        of the device too; without it the result is a `DeviceArray`, which `torch.from_dlpack` and
        others take without a copy. Input that is not finite is told by `synchronise`.
        """
        session = self._open()
        if session.device.startswith("cuda") and is_on_cuda(batch):
            with on_its_device(batch):
                return session.enqueue(batch, out, stream_handle(stream))
        if stream is not None:
            raise TypeError("stream: the batch is in host memory, which is run at once")
        if out is not None and not isinstance(out, np.ndarray):
            raise TypeError(f"out: got {type(out).__name__}, wanted a float32 NumPy array")
        return session.run(as_array(batch), out)

    def synchronise(self) -> None:
        """Waits for the batches of a CUDA device that `infer` was given.

        Raises ValueError where one of them was not finite, DeviceError where the device failed or
        the net is on none.
        """
        self._open().synchronise()

    def predict(
        self, images: Iterable[ImageSource], k: int = 5, batch_size: int = 16
    ) -> list[list[Prediction]]:
        """The k likeliest classes of each image, likeliest first.

        images: paths, Pillow images or (H, W, 3) uint8 arrays, each of its own size. They are
        turned upright (EXIF), made RGB, resized and cropped as the file says. Transparency is
        dropped.
        batch_size: images that run, and are in memory, at a time.

        Raises ValueError on an image that cannot be read or is too long for its width, OSError on a
        file that cannot be opened.
        """
        if isinstance(images, (str, os.PathLike, Image.Image)):
            raise TypeError(
                f"images: got one {type(images).__name__}, wanted a list: predict([image])"
            )
        batch_size = whole_number("batch_size", batch_size, 1, sys.maxsize)
        k = whole_number("k", k, 1, sys.maxsize)
        remaining = iter(images)
        predictions: list[list[Prediction]] = []
        while chunk := list(itertools.islice(remaining, batch_size)):
            pixels = np.stack([self._preprocessing(image) for image in chunk])
            predictions += self.rank(self.infer(pixels), k)
        return predictions

    def preprocess(self, image: ImageSource) -> npt.NDArray[np.uint8]:
        """One image -> (H, W, C) uint8 as `predict` hands it to the engine. Errors as there."""
        return self._preprocessing(image)

    def rank(self, logits: FloatArray, k: int = 5) -> list[list[Prediction]]:
        """(N, classes) logits -> the k likeliest classes of each row, likeliest first."""
        logits = np.asarray(logits)
        if logits.ndim != 2 or logits.shape[1] != self.classes:
            raise ValueError(
                f"logits: got shape {logits.shape}, wanted (N, {self.classes}): one vector an image"
            )
        if not np.issubdtype(logits.dtype, np.floating):
            raise TypeError(f"logits: got dtype {logits.dtype}, wanted a floating-point type")
        if not np.isfinite(logits).all():
            raise ValueError("logits: got values that are not finite")
        return top_k(logits, self.labels, k)

    def explain(self, size: Optional[Size] = None) -> str:
        """A text table of what runs for images of this size.

        size: one side or (height, width), default the file's.
        """
        return explain_table(self.steps(size))

    def memory(self, size: Optional[Size] = None) -> _core.MemoryUse:
        """Bytes that the engine holds where no image has been larger than this.

        `.model` (the file, and what is decompressed of it), `.weights` as the kernels read them,
        `.activations` and `.scratch` of all threads, and `.total`, their sum; Python and batches
        come on top. On a CUDA device: of one image, and all but `.model` memory of the device.

        size: one side or (height, width), default the file's.
        """
        height, width = self.input_shape[1:] if size is None else image_size(size)
        return self._open().memory(height, width)

    def profile(self, batch: Any, iterations: int = 20) -> str:
        """`explain` with the time each step takes an image: the least of the iterations."""
        return profile_table(self.profiled_steps(batch, iterations))

    def steps(self, size: Optional[Size] = None) -> list[_core.StepInfo]:
        """What `explain` shows, as objects."""
        height, width = self.input_shape[1:] if size is None else image_size(size)
        return self._open().explain(height, width)

    def profiled_steps(self, batch: Any, iterations: int = 20) -> list[_core.StepInfo]:
        """What `profile` shows, as objects."""
        iterations = whole_number("iterations", iterations, 1, 2**31 - 1)
        return self._open().profile(as_array(batch), iterations)

    def close(self) -> None:
        """Frees the engine's memory and threads, after calls under way. Closing twice is fine."""
        self._session = None

    def __enter__(self) -> Net:
        """The net itself."""
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Closes the net."""
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the path and the options, not the weights."""
        self._open()
        return load, self._arguments

    def __repr__(self) -> str:
        """`<squishnative.Net 'net.squish': 1000 classes, input 3x224x224, cpu avx2, 1 thread>`."""
        _, device, threads, *_ = self._arguments
        channels, height, width = self.input_shape
        session = self._session
        state = (
            "closed"
            if session is None
            else f"{device} {session.isa}".rstrip()
            + (f" {session.storage}" if session.storage != "f32" else "")
            + f", {threads} thread{'s' * (threads != 1)}"
        )
        return (
            f"<squishnative.Net {os.path.basename(self.path)!r}: {self.classes} classes, "
            f"input {channels}x{height}x{width}, {state}>"
        )

    def _open(self) -> _core.Session:
        session = self._session
        if session is None:
            raise ValueError(f"the net {os.path.basename(self.path)!r} is closed")
        return session
