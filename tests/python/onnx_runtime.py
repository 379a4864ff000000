"""ONNX Runtime as an independent engine."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
from squishnative.spec import FloatArray


def run(path: Path, batch: FloatArray) -> FloatArray:
    """What the file's only output is for a batch. One thread: more would spin and slow others."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    [image] = session.get_inputs()
    output: FloatArray
    (output,) = session.run(None, {image.name: batch})
    return output
