"""PyTorch's devices."""

from __future__ import annotations

import torch


def check_device(device: str) -> None:
    """Raises ValueError where PyTorch has no such device here."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter without CUDA compiled in
        raise ValueError(f"device {device!r}: {error}") from None
