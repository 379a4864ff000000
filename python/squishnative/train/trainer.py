"""The loop: epochs that are functions of the state, the seed and their number, and of nothing else.

So a run that was killed continues from its last checkpoint to the same bits, on the same machine
with the same number of threads.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

from squishnative.train.augment import augment, normalise
from squishnative.train.dataset import Images, Split
from squishnative.train.hints import Hints
from squishnative.train.network import Network
from squishnative.train.recipe import OPTIMISERS, Recipe
from squishnative.train.seeds import mix
from squishnative.train.teacher import Taught, Teacher
from squishnative.train.views import Views, crop_size

EVALUATION_BATCH = 100
_HINT_SAMPLE = 1024  # images whose features hints begin with


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to. loss: the mean over its images; seconds: of training alone."""

    number: int  # from 1
    loss: float
    lr: float  # of its last step
    seconds: float


class Trainer:
    """Trains a network in place and keeps a moving average of its weights, `averaged`.

    before_step(trainer) is called before each step with `trainer.step` steps done; strategies that
    move masks hook in there. views: of these images, this recipe and this teacher, where several
    trainers share them; by default, a recipe that has views makes its own.
    """

    def __init__(
        self,
        network: Network,
        split: Split,
        recipe: Recipe,
        seed: int,
        teacher: Optional[Teacher] = None,
        before_step: Optional[Callable[[Trainer], None]] = None,
        views: Optional[Views] = None,
        device: str = "cpu",
    ) -> None:
        # torch's stub of `to` lacks this argument.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.to(device)
        self.network.drop_out(recipe.dropout)
        self.network.round_to(recipe.dtype)
        self.averaged = copy.deepcopy(network).eval()
        self.recipe, self.seed, self.device = recipe, seed, device
        self.teacher = teacher
        self.before_step = before_step
        self.epochs_done = self.step = 0
        self._images = torch.from_numpy(split.images)
        self._classes = torch.from_numpy(split.classes)
        self._spec = network.input
        self._crop = crop_size(network.input, recipe)
        self._views = views
        if recipe.views and views is None:
            self._views = Views(split, network.input, recipe, seed, teacher, device)
        network.check_size(*self._crop)
        self._hints = self._begin_hints()
        self._optimiser = _optimiser(network, recipe, self._hints)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch; a last one of a single image is left out: it has no variance."""
        count, rest = divmod(len(self._images), self.recipe.batch)
        return count + (rest > 1)

    @property
    def steps(self) -> int:
        """Of all epochs."""
        return self.recipe.epochs * self.steps_per_epoch

    def run_epoch(self) -> Epoch:
        """Trains for one epoch. Raises ValueError where the loss is no number any more."""
        begin = time.perf_counter()
        generator = torch.Generator().manual_seed(mix(self.seed, self.epochs_done))
        order = torch.randperm(len(self._images), generator=generator)
        batches = order.split(self.recipe.batch)[: self.steps_per_epoch]
        total = 0.0
        cuda = torch.device(self.device).type == "cuda"
        with torch.random.fork_rng(devices=[torch.device(self.device)] if cuda else []):
            torch.manual_seed(mix(self.seed, self.epochs_done) + 1)  # dropout's
            self.network.train()
            for chosen in batches:
                total += self._step(chosen, generator) * len(chosen)
        if not math.isfinite(total):
            raise ValueError(
                f"epoch {self.epochs_done + 1}: the loss is {total}; wanted a lower learning rate "
                f"than {self.recipe.lr:g}"
            )
        self.epochs_done += 1
        seconds = time.perf_counter() - begin
        lr = self.lr_of(self.step - 1)
        return Epoch(self.epochs_done, total / sum(map(len, batches)), lr, seconds)

    def lr_of(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        warmup = self.recipe.warmup * self.steps_per_epoch
        rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
        left = (1 + math.cos(math.pi * step / self.steps)) / 2 if self.recipe.annealed else 1.0
        return self.recipe.lr * rising * left

    def round_to(self, dtype: str) -> None:
        """From now on weights are rounded as a file of this type will be."""
        self.network.round_to(dtype)
        self.averaged.round_to(dtype)

    def state(self) -> dict[str, Any]:
        """All that the next epochs depend on, for `save_state`."""
        return {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "hints": None if self._hints is None else self._hints.state_dict(),
            "epochs_done": self.epochs_done,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from a `state` of the same net and recipe."""
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        if self._hints is not None:
            self._hints.load_state_dict(state["hints"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.epochs_done = state["epochs_done"]
        self.step = self.epochs_done * self.steps_per_epoch

    def loss_of_random_batch(self) -> torch.Tensor:
        """Of training images that the seed and the step choose, with the graph for a gradient."""
        generator = torch.Generator().manual_seed(mix(self.seed, self.step))
        chosen = torch.randperm(len(self._images), generator=generator)[: self.recipe.batch]
        with mixed_precision(self.recipe.amp, self.device):
            return self._loss(chosen, generator)

    def _step(self, chosen: torch.Tensor, generator: torch.Generator) -> float:
        if self.before_step is not None:
            self.before_step(self)
        for group in self._optimiser.param_groups:
            group["lr"] = self.lr_of(self.step)
        with mixed_precision(self.recipe.amp, self.device):
            loss = self._loss(chosen, generator)
        self._optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self._optimiser.step()
        self.step += 1
        self._average()
        return loss.item()

    def _loss(self, chosen: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        recipe = self.recipe
        x, taught = self._look(chosen, generator)
        classes = self._classes[chosen].to(self.device)
        share, partner = 1.0, classes
        if recipe.mixup > 0:
            share = _beta(recipe.mixup, generator)
            other = torch.randperm(len(x), generator=generator)
            x, partner = share * x + (1 - share) * x[other], classes[other]
        logits, features = self.network.forward_with_features(x)
        smoothing = recipe.label_smoothing
        loss = share * F.cross_entropy(logits, classes, label_smoothing=smoothing)
        if share < 1:
            loss = loss + (1 - share) * F.cross_entropy(logits, partner, label_smoothing=smoothing)
        if self.teacher is None or recipe.distillation == recipe.hints == 0:
            return loss
        if taught is None:
            with torch.no_grad():
                taught = self.teacher(x)
        aim = F.log_softmax(taught.logits / recipe.temperature, 1)
        own = F.log_softmax(logits.float() / recipe.temperature, 1)
        apart = F.kl_div(own, aim, reduction="batchmean", log_target=True)
        weight = recipe.distillation
        loss = (1 - weight) * loss + weight * recipe.temperature**2 * apart
        if self._hints is not None:
            assert taught.features is not None
            loss = loss + recipe.hints * self._hints(features, taught.features)
        return loss

    def _look(
        self, chosen: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, Optional[Taught]]:
        """The images as the net eats them; and what the teacher says, where that is known."""
        if self._views is not None:
            # Trainings that share views begin with different ones.
            return self._views.take(self.seed + self.epochs_done, chosen)
        images = self._images[chosen].to(self.device)
        pixels = augment(images, self._crop, self.recipe, generator)
        return normalise(pixels, self._spec), None

    @torch.no_grad()
    def _begin_hints(self) -> Optional[Hints]:
        if self.teacher is None or self.recipe.hints == 0:
            return None
        generator = torch.Generator().manual_seed(mix(self.seed, 0) + 2)
        sample = torch.randperm(len(self._images), generator=generator)[:_HINT_SAMPLE]
        own, theirs = [], []
        self.network.eval()
        for chosen in sample.split(self.recipe.batch):
            x, taught = self._look(chosen, generator)
            taught = self.teacher(x) if taught is None else taught
            assert taught.features is not None, "a recipe with hints has a teacher with features"
            own.append(self.network.forward_with_features(x)[1])
            theirs.append(taught.features)
        return Hints(torch.cat(own), torch.cat(theirs)).to(self.device)

    @torch.no_grad()
    def _average(self) -> None:
        # Early on, the average over all steps so far, so that the beginning is forgotten.
        decay = min(self.recipe.ema, self.step / (self.step + 10))
        mine = self.averaged.state_dict()
        for name, value in self.network.state_dict().items():
            if value.is_floating_point() and not name.endswith(".mask"):
                mine[name].lerp_(value, 1 - decay)
            else:
                mine[name].copy_(value)


def _optimiser(network: Network, recipe: Recipe, hints: Optional[Hints]) -> torch.optim.Optimizer:
    """Norms and biases do not decay."""
    parameters = [*network.parameters(), *([] if hints is None else hints.parameters())]
    groups = [
        {
            "params": [p for p in parameters if p.ndim > 1],
            "weight_decay": OPTIMISERS[recipe.optimiser],
        },
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999))
    return torch.optim.SGD(
        groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0
    )


@torch.no_grad()
def logits_of(
    network: Network, images: Images, device: str = "cpu", amp: bool = False
) -> npt.NDArray[np.float32]:
    """(N, H, W, C) uint8 -> (N, classes) float32, in evaluation mode."""
    network.eval()
    spec = network.input
    parts = []
    for k in range(0, len(images), EVALUATION_BATCH):
        batch = torch.from_numpy(images[k : k + EVALUATION_BATCH]).to(device)
        with mixed_precision(amp, device):
            x = normalise(batch.permute(0, 3, 1, 2).float(), spec)
            parts.append(network(x).float().cpu().numpy())
    return np.concatenate(parts)


def accuracy(logits: npt.NDArray[np.float32], classes: npt.NDArray[np.int64]) -> float:
    """The share of images whose largest logit is their class's."""
    return float((logits.argmax(1) == classes).mean())


@contextmanager
def mixed_precision(wanted: bool, device: str) -> Iterator[None]:
    """bfloat16 convolutions where the device is fast at them."""
    enabled = wanted and _has_bfloat16(torch.device(device))
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=enabled):
        yield


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # before: emulated, slowly
    try:
        return bool(torch.cpu._is_avx512_bf16_supported())
    except AttributeError:  # an older PyTorch
        return False


def _beta(alpha: float, generator: torch.Generator) -> float:
    """A draw of Beta(alpha, alpha), from the generator alone."""
    seed = int(torch.randint(2**31, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))
