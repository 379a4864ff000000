"""How the values of an activation are spread, and which bytes hold them with the least error."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from squishnative.layers import ACTIVATION_SCALES, LARGEST_BYTE, Activation

_HALF = 1 << 13  # bins on each side of zero
_TINY = 1e-300  # instead of nothing, to divide by
_FIRST_WIDTH = 2.0**-60  # of a bin; doubled until the largest value fits
_CLIPS = np.linspace(1.0, 0.1, 91)  # shares of a range that are tried
_FEWER_CLIPS = np.linspace(1.0, 0.2, 17)  # of two ends, in all pairs

Floats = npt.NDArray[np.float64]


class Histogram:
    """Counts values of any number in memory that does not grow."""

    def __init__(self) -> None:
        self._counts = np.zeros(2 * _HALF, np.int64)
        self._width = _FIRST_WIDTH

    def add(self, values: torch.Tensor) -> None:
        """values: float32, of any shape. Raises ValueError where they are not finite."""
        largest = float(values.abs().max())
        if not math.isfinite(largest):
            raise ValueError(f"got values up to {largest}, wanted finite ones")
        while largest >= _HALF * self._width:
            self._double()
        # Widths are powers of two: divisions are exact.
        bins = (values.flatten() / self._width).floor_().to(torch.int64) + _HALF
        self._counts += torch.bincount(bins, minlength=2 * _HALF).numpy()

    def best_activation(self, least_scale: float = 0.0) -> Activation:
        """The scale and zero with the least sum of squared errors, clipping included.

        The zero is the byte 0 where no value is negative.
        """
        if self._width == _FIRST_WIDTH:  # nothing but zeros, or as good as that
            return _activation(max(1.0, least_scale), 0)
        filled = np.flatnonzero(self._counts)
        low = min(0.0, float((filled[:1] - _HALF).sum() * self._width))
        high = max(0.0, float((filled[-1:] + 1 - _HALF).sum() * self._width))
        if low < 0:
            tried = [
                _between(low * below, high * above, least_scale)
                for below in _FEWER_CLIPS
                for above in _FEWER_CLIPS
            ]
        else:
            tried = [_between(0.0, high * clip, least_scale) for clip in _CLIPS]
        centres = (filled - _HALF + 0.5).astype(np.float64) * np.float64(self._width)
        errors = [_error(centres, self._counts[filled], activation) for activation in tried]
        return tried[int(np.argmin(errors))]

    def _double(self) -> None:
        """Twice the width, of half of the bins."""
        pairs = self._counts.reshape(-1, 2).sum(1)
        self._counts = np.pad(pairs, _HALF // 2)
        self._width *= 2


def of_range(low: float, high: float) -> Activation:
    """The finest bytes that reach from `low` to `high`, and zero."""
    low, high = min(0.0, low), max(0.0, high)
    zero = -low / max(high - low, _TINY) * LARGEST_BYTE
    tried = []
    for z in (math.floor(zero), math.ceil(zero)):
        below = -low / max(z, _TINY)
        above = high / max(LARGEST_BYTE - z, _TINY)
        tried.append((max(below, above), z))
    return _activation(*min(tried))


def _between(low: float, high: float, least_scale: float) -> Activation:
    """Bytes for this range, which holds zero; its ends may move by half of a step."""
    scale = max((high - low) / LARGEST_BYTE, least_scale)
    return _activation(scale, round(-low / max(scale, _TINY)))


def _activation(scale: float, zero: int) -> Activation:
    """With a scale that a file can hold; 1 where there is nothing but zeros."""
    return Activation(float(np.float32(np.clip(scale or 1.0, *ACTIVATION_SCALES))), zero)


def _error(values: Floats, counts: npt.NDArray[np.int64], activation: Activation) -> float:
    steps = np.rint(values / activation.scale).clip(
        -activation.zero, LARGEST_BYTE - activation.zero
    )
    return float(counts @ (steps * activation.scale - values) ** 2)
