"""PyTorch's devices."""

from __future__ import annotations

import torch


def check_device(device: str) -> None:
    """Raises ValueError on another device than CPUs and CUDA's, and where PyTorch has none here."""
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"device: got {device!r}, wanted cpu, cuda or cuda:1")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter without CUDA compiled in
        raise ValueError(f"device {device!r}: {error}") from None
