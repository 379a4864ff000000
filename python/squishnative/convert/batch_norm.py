"""Batch normalisation folded into the convolution before it.

At inference y = gamma * (conv(x) - mean) / sqrt(var + eps) + beta is one convolution again, with
weights scaled for each output channel. Computed in float64 and rounded once.
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from squishnative.convert.errors import ConvertError
from squishnative.convert.tensors import Tensors
from squishnative.spec import FloatArray

TORCH_EPS = 1e-5  # of torch.nn.BatchNorm2d; a state dict does not hold it

_PARTS = ("weight", "bias", "running_mean", "running_var")


def fold(
    weight: FloatArray,
    bias: Optional[FloatArray],
    gamma: FloatArray,
    beta: FloatArray,
    mean: FloatArray,
    var: FloatArray,
    eps: float = TORCH_EPS,
) -> tuple[FloatArray, FloatArray]:
    """The weight and bias of the convolution and norm in one.

    weight is (O, I, H, W), the others (O,).

    Raises ConvertError where a size differs from O or var + eps is not positive.
    """
    channels = (weight.shape[0],)
    for what, array in (("gamma", gamma), ("beta", beta), ("mean", mean), ("variance", var)):
        if array.shape != channels:
            raise ConvertError(f"batch norm {what} has shape {array.shape}, wanted {channels}")
    if not (var.astype(np.float64) + eps > 0).all():
        raise ConvertError(f"batch norm variance + eps must be positive, got {var.min()} + {eps}")
    scale = gamma.astype(np.float64) / np.sqrt(var.astype(np.float64) + eps)
    centred = (0.0 if bias is None else bias.astype(np.float64)) - mean.astype(np.float64)
    return (
        (weight * scale[:, None, None, None]).astype(np.float32),
        (centred * scale + beta).astype(np.float32),
    )


def fold_state_dict(tensors: Tensors, eps: float = TORCH_EPS) -> Tensors:
    """Folds every batch norm of a state dict; what is left has the names of a net without.

    The norm `X_bn.*` or `X.bn.*` belongs to the convolution `X.weight` or `X.conv.weight`, which
    becomes `X.weight`.
    """
    folded = dict(tensors)
    for mean_name in [name for name in tensors if name.endswith(".running_mean")]:
        norm = mean_name[: -len(".running_mean")]
        stem = norm[: -len("_bn")] if norm.endswith(("_bn", ".bn")) else ""
        conv = next((c for c in (stem, f"{stem}.conv") if f"{c}.weight" in folded), None)
        if not stem or conv is None:
            raise ConvertError(
                f"batch norm {norm!r} belongs to no convolution: wanted a name such as 'X_bn' or "
                "'X.bn' beside 'X.weight' or 'X.conv.weight'"
            )
        missing = [part for part in _PARTS if f"{norm}.{part}" not in folded]
        if missing:
            raise ConvertError(f"batch norm {norm!r} has no tensor {missing[0]!r}")
        parts = [folded.pop(f"{norm}.{part}") for part in _PARTS]
        folded.pop(f"{norm}.num_batches_tracked", None)
        weight, bias = folded.pop(f"{conv}.weight"), folded.pop(f"{conv}.bias", None)
        try:
            gamma, beta, mean, var = parts
            weight, bias = fold(weight, bias, gamma, beta, mean, var, eps)
            folded[f"{stem}.weight"], folded[f"{stem}.bias"] = weight, bias
        except ConvertError as error:
            raise ConvertError(f"{norm}: {error}") from None
    return folded
