"""Seeds of the many draws of a run, all from the one that the user gave."""

from __future__ import annotations

import numpy as np


def mix(seed: int, number: int) -> int:
    """A seed for an epoch, step or view, unlike those of neighbouring seeds and numbers."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> 2)
