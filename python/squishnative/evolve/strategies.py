"""Ways to the same budget at the same training cost: evolution's rivals.

Each takes a network and the numbers of clusters, and returns what moves its masks before each step
of one long training. Clusters are chosen by magnitude of weights whose outputs have unit variance.

one-shot  removes all at the beginning, then trains.
gradual   removes by a cubic schedule (Zhu & Gupta 2017) over the first three quarters of training.
rigl      removes all at the beginning, then moves a share of the clusters to where the gradient is
          largest (Evci et al. 2020), a share that falls to zero over the first three quarters.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from squishnative.evolve.budget import Counts
from squishnative.evolve.clusters import Genome, Strengths, sums
from squishnative.evolve.encoding import draw_clusters
from squishnative.evolve.offspring import genome, magnitudes, set_clusters
from squishnative.train.network import Network
from squishnative.train.trainer import Trainer

BeforeStep = Callable[[Trainer], None]

UNTIL = 0.75  # share of the training after which clusters stay as they are
UPDATES = 40  # of the clusters within that share
_RIGL_SHARE = 0.3  # of the clusters that move in the first update


def one_shot(network: Network, counts: Counts, width: int) -> BeforeStep:
    """Masks the network at once."""
    set_clusters(network, _strongest(magnitudes(network, width), counts), width)
    return lambda _: None


def gradual(network: Network, counts: Counts, width: int) -> BeforeStep:
    """A hook that removes clusters as training goes on."""
    totals = {name: magnitude.size for name, magnitude in magnitudes(network, width).items()}
    set_clusters(network, _strongest(magnitudes(network, width), totals), width)

    def before_step(trainer: Trainer) -> None:
        if not _is_update(trainer):
            return
        left = (1 - min(1.0, trainer.step / (UNTIL * trainer.steps))) ** 3
        now = {name: round(count + (totals[name] - count) * left) for name, count in counts.items()}
        strongest = _strongest(magnitudes(trainer.network, width), now)
        set_clusters(trainer.network, strongest, width)

    return before_step


def rigl(network: Network, counts: Counts, width: int) -> BeforeStep:
    """Masks the network, and a hook that moves clusters."""
    set_clusters(network, _strongest(magnitudes(network, width), counts), width)

    def before_step(trainer: Trainer) -> None:
        if trainer.step == 0 or not _is_update(trainer):
            return
        done = trainer.step / (UNTIL * trainer.steps)
        share = _RIGL_SHARE / 2 * (1 + math.cos(math.pi * min(1.0, done)))
        set_clusters(trainer.network, _moved(trainer, counts, share, width), width)

    return before_step


STRATEGIES = {"one-shot": one_shot, "gradual": gradual, "rigl": rigl}


def _is_update(trainer: Trainer) -> bool:
    last = round(UNTIL * trainer.steps)
    every = max(1, last // UPDATES)
    return trainer.step == last or (trainer.step < last and trainer.step % every == 0)


def _strongest(strengths: Strengths, counts: Counts) -> Genome:
    still = np.random.default_rng(0)  # never asked at temperature 0
    return {name: draw_clusters(s, counts[name], 0.0, still) for name, s in strengths.items()}


def _dense_gradients(trainer: Trainer, width: int) -> Strengths:
    """Of each cluster, dead ones too, on a batch of the training images."""
    convs = dict(trainer.network.named_convs())
    masks = {name: conv.mask for name, conv in convs.items()}
    with torch.no_grad():
        for conv in convs.values():
            conv.weight.mul_(1 if conv.mask is None else conv.mask)
            conv.mask = None
    trainer.network.zero_grad()
    trainer.loss_of_random_batch().backward()
    found: Strengths = {}
    for name, conv in convs.items():
        assert conv.weight.grad is not None
        found[name] = np.sqrt(sums(conv.weight.grad.square().cpu().numpy(), width))
        conv.mask = masks[name]
    trainer.network.zero_grad()
    return found


def _moved(trainer: Trainer, counts: Counts, share: float, width: int) -> Genome:
    alive = genome(trainer.network, width)
    # No more than can come back: what is dense stays as it is.
    moving = {
        name: min(round(share * count), int((~alive[name]).sum())) for name, count in counts.items()
    }
    # Never a dead one, not in place of living ones whose weights are still zero either.
    weights = {
        name: np.where(alive[name], magnitude, -1.0)
        for name, magnitude in magnitudes(trainer.network, width).items()
    }
    kept = _strongest(weights, {name: counts[name] - moving[name] for name in counts})
    wanted = {
        name: np.where(alive[name], -1.0, gradient)  # below the dead that have no gradient
        for name, gradient in _dense_gradients(trainer, width).items()
    }
    grown = _strongest(wanted, moving)
    return {name: kept[name] | grown[name] for name in counts}
