"""How large the partial sums of Winograd's F(2x2, 3x3) get.

A kernel may compute a dense 3x3 convolution as Y = A^T [(G g G^T) * (B^T d B)] A on tiles of 2 x 2
outputs (A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016). Its
sums hold terms that cancel in exact arithmetic, even of pixels that an output does not see, and so
it rounds more than the sum that it stands for.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

_INPUT = torch.tensor([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]).double()
_WEIGHT = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]).double()
_OUTPUT = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]]).double()  # of absolute values

TRANSFORM_ROUNDINGS = 8  # two additions in each of two directions, before and after the products


def largest_sums(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The sum of the absolute values of all products that make an output.

    x: (N, C, H, W), padded already, and weight: (O, C, 3, 3), float64.
    Returns (N, O, H - 2, W - 2).
    """
    height, width = x.shape[2] - 2, x.shape[3] - 2
    tiles = F.pad(x, (0, width % 2, 0, height % 2)).unfold(2, 4, 2).unfold(3, 4, 2)
    inputs = (_INPUT @ tiles @ _INPUT.T).abs()
    weights = (_WEIGHT @ weight @ _WEIGHT.T).abs()
    products = torch.einsum("ocij,nchwij->nohwij", weights, inputs)
    outputs = (_OUTPUT @ products @ _OUTPUT.T).transpose(
        3, 4
    )  # (N, O, tile row, 2, tile column, 2)
    return outputs.flatten(4, 5).flatten(2, 3)[:, :, :height, :width]
