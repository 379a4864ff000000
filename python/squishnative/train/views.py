"""Training images as steps take them, and what the teacher says of them.

A teacher has to see the very crop that its student sees, which is a third of the time of a small
student's step: 303 ms for 64 crops of 128 pixels and a net of 0.6 of the widths, 210 where they
were cut and taught before (one thread, Zen 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import torch

from squishnative.spec import InputSpec
from squishnative.train.augment import augment, normalise
from squishnative.train.dataset import Split
from squishnative.train.recipe import Recipe
from squishnative.train.seeds import mix
from squishnative.train.teacher import Taught, Teacher

_CHUNK = 64  # images that are cut and taught at a time


@dataclass(frozen=True)
class _View:
    crops: torch.Tensor  # (N, H, W, C) uint8
    taught: Optional[Taught]  # None without a teacher


class Views:
    """Of each image `recipe.views` crops, made when they are first asked for and then kept.

    They depend on the images, the recipe and the seed alone, so that several trainings can share
    them. Memory: a byte for each channel of each pixel of all crops.
    """

    def __init__(
        self,
        split: Split,
        spec: InputSpec,
        recipe: Recipe,
        seed: int,
        teacher: Optional[Teacher] = None,
        device: str = "cpu",
    ) -> None:
        self.teacher = teacher
        self._images = torch.from_numpy(split.images)
        self._spec, self._recipe, self._seed, self._device = spec, recipe, seed, device
        self._kept: dict[int, _View] = {}

    def take(self, number: int, chosen: torch.Tensor) -> tuple[torch.Tensor, Optional[Taught]]:
        """Some images in view `number`, counted on in a circle.

        Returns (N, C, H, W) as the net eats them, on the device, and what the teacher says of them.
        """
        number %= self._recipe.views
        if number not in self._kept:
            self._kept[number] = self._make(number)
        view = self._kept[number]
        taught = None if view.taught is None else view.taught.of(chosen, self._device)
        return self._eaten(view.crops[chosen]), taught

    def _make(self, number: int) -> _View:
        # Who asks first must not matter, and some who do are in autocast.
        with torch.autocast(torch.device(self._device).type, enabled=False):
            return self._cut(number)

    def _cut(self, number: int) -> _View:
        generator = torch.Generator().manual_seed(mix(self._seed, number))
        size = crop_size(self._spec, self._recipe)
        crops, taught = [], []  # type: list[torch.Tensor], list[Taught]
        for images in self._images.split(_CHUNK):
            cut = augment(images.to(self._device), size, self._recipe, generator)
            rounded = cut.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().contiguous()
            crops.append(rounded)
            if self.teacher is not None:
                taught.append(self.teacher(self._eaten(rounded)))
        return _View(torch.cat(crops), Taught.joined(taught) if taught else None)

    def _eaten(self, crops: torch.Tensor) -> torch.Tensor:
        return normalise(crops.to(self._device).permute(0, 3, 1, 2).float(), self._spec)


def crop_size(spec: InputSpec, recipe: Recipe) -> tuple[int, int]:
    """Height and width of the crops that are trained on."""
    return round(recipe.scale * spec.height), round(recipe.scale * spec.width)
