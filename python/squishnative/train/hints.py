"""Hints: a student whose features say what its teacher's say, not its logits alone.

The features are those that the head reads, averaged over the image. Ten logits are all alike once a
teacher is sure of an image; hundreds of features are not (FitNets, Romero et al. 2015).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

_LEAST_DEVIATION = 0.05  # of the teacher's features; those that are nearly constant teach nothing
_RIDGE = 1e-2  # of the regression, as a share of the features' variance


class Hints(nn.Module):
    """A linear map from the student's features to the teacher's, trained along and then dropped."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, own: torch.Tensor, taught: torch.Tensor) -> None:
        """Begins with the ridge regression of a sample's features: (N, S) own, (N, T) taught."""
        super().__init__()
        own, taught = own.float(), taught.float()
        self.register_buffer("mean", taught.mean(0))
        self.register_buffer("deviation", taught.std(0).clamp(min=_LEAST_DEVIATION))
        self.map = nn.Linear(own.shape[1], taught.shape[1])
        with torch.no_grad():
            centre = own.mean(0)
            x, y = own - centre, (taught - self.mean) / self.deviation
            ridge = _RIDGE * len(x) * x.var() * torch.eye(x.shape[1], device=x.device)
            weight = torch.linalg.solve(x.T @ x + ridge, x.T @ y)
            self.map.weight.copy_(weight.T)
            self.map.bias.copy_(-(centre @ weight))

    def forward(self, own: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
        """The mean square of what is missed, where 1 is what the mean of all images misses."""
        return F.mse_loss(self.map(own.float()), (taught - self.mean) / self.deviation)
