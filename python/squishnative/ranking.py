"""Logits to labels."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from squishnative.arguments import whole_number


@dataclass(frozen=True)
class Prediction:
    """One of the likeliest classes of an image."""

    label: str  # str(index) in a net without labels
    index: int
    probability: float  # 0..1, softmax over all classes


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(N, classes) logits -> (N, classes) probabilities, computed in float64."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def top_k(logits: npt.NDArray[np.float32], labels: Sequence[str], k: int) -> list[list[Prediction]]:
    """The k likeliest classes of each row of (N, classes) logits, likeliest first.

    All classes where there are fewer. Equal logits keep the order of their indices. labels: empty,
    or one a class.
    """
    k = whole_number("k", k, 1, sys.maxsize)
    # By logit, not by probability: those of unlikely classes may underflow to one and the same 0.
    order = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    probabilities = softmax(logits)
    return [
        [Prediction(labels[i] if labels else str(i), i, float(row[i])) for i in indices.tolist()]
        for row, indices in zip(probabilities, order)
    ]
