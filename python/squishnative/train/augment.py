"""Batches as the net sees them: normalised, and in training cropped, mirrored and recoloured.

All randomness comes from the caller's generator, so that an epoch can be repeated exactly.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from squishnative.spec import InputSpec
from squishnative.train.recipe import Recipe

_ASPECT = math.log(4 / 3)  # the most that a crop is wider than high, or higher than wide


def normalise(pixels: torch.Tensor, spec: InputSpec) -> torch.Tensor:
    """(N, C, H, W) on the scale 0..255 -> what the net eats."""
    mean = torch.tensor(spec.mean, device=pixels.device).view(-1, 1, 1)
    std = torch.tensor(spec.std, device=pixels.device).view(-1, 1, 1)
    return (pixels / 255 - mean) / std


def augment(
    images: torch.Tensor, size: tuple[int, int], recipe: Recipe, generator: torch.Generator
) -> torch.Tensor:
    """(N, H, W, C) uint8 -> (N, C, *size) float32 on the scale 0..255, randomly transformed.

    In float32 wherever it is called: in autocast `affine_grid` would put bfloat16 pixels where they
    are not, by up to 0.36 of 200.
    """
    with torch.autocast(images.device.type, enabled=False):
        return _augment(images, size, recipe, generator)


def _augment(
    images: torch.Tensor, size: tuple[int, int], recipe: Recipe, generator: torch.Generator
) -> torch.Tensor:
    count = len(images)

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.empty(count).uniform_(low, high, generator=generator)

    area, aspect = uniform(recipe.crop, 1).sqrt(), (uniform(-_ASPECT, _ASPECT) / 2).exp()
    width, height = (area * aspect).clamp(max=1), (area / aspect).clamp(max=1)
    mirror = 1 - 2.0 * (uniform(0, 1) < 0.5 * recipe.mirror)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 0, 2] = mirror * width, uniform(-1, 1) * (1 - width)
    theta[:, 1, 1], theta[:, 1, 2] = height, uniform(-1, 1) * (1 - height)
    brightness, contrast = (uniform(1 - recipe.jitter, 1 + recipe.jitter) for _ in range(2))
    pixels = images.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(
        theta.to(images.device), [count, images.shape[3], *size], align_corners=False
    )
    crops = F.grid_sample(
        pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return _recolour(crops, brightness.to(images.device), contrast.to(images.device))


def _recolour(
    pixels: torch.Tensor, brightness: torch.Tensor, contrast: torch.Tensor
) -> torch.Tensor:
    mean = pixels.mean((1, 2, 3), keepdim=True)
    contrast, brightness = contrast.view(-1, 1, 1, 1), brightness.view(-1, 1, 1, 1)
    return ((pixels - mean) * contrast + mean * brightness).clamp(0, 255)
