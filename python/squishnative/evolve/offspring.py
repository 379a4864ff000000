"""Birth: from parents to a network whose clusters are drawn, before it is trained.

The parents' weights are averaged, which gives a good net because all descend from one ancestor and
were trained briefly since. Several sets of clusters are drawn by the encoding, and the one that
does best on images before any training is born.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from squishnative.evolve.budget import Budget, Counts, Genes, Planner
from squishnative.evolve.clusters import Genome, Strengths, genome_of, members, sums
from squishnative.evolve.compact import compact
from squishnative.evolve.encoding import draw_clusters
from squishnative.evolve.environment import Environment
from squishnative.evolve.filters import Kept, filled, importance, keep_blocks, region
from squishnative.spec import NetSpec
from squishnative.train.network import Network
from squishnative.train.run import prepare

_IMAGES_AT_ONCE = 64


@dataclass(frozen=True)
class Heredity:
    """How offspring differ from their parents.

    narrowing: filters go as this power of the share of the cost that is left; at 0 none go.
    temperature: of the encoding. mutation: deviation of the genes. regrowth: share of the clusters
    that are taken from those dead in the parents, by their gradient. candidates: drawn for each
    birth.
    """

    narrowing: float = 0.35
    temperature: float = 0.05
    mutation: float = 0.15
    regrowth: float = 0.05
    candidates: int = 4


@dataclass(frozen=True)
class Sample:
    """Images with their classes that births are judged on: (N, C, H, W) as the net eats them."""

    images: torch.Tensor
    classes: torch.Tensor


@dataclass
class Newborn:
    """A network with masks, and what it inherited. screened: the candidates' losses."""

    network: Network
    genes: Genes
    screened: list[float]


def planner_within(
    spec: NetSpec, kept: Kept, environment: Environment, dtype: str, width: int
) -> Planner:
    """Counts clusters of the net that these filters leave."""
    left = filled(spec, region(spec, kept, width), width)
    return Planner(compact(left), environment, dtype, width)


def mate(parents: Sequence[NetSpec]) -> NetSpec:
    """The mean of the parents' weights; they must be of one shape."""
    child = copy.deepcopy(parents[0])
    convs = [
        [conv for layer in parent.layers for _, conv in layer.named_convs()] for parent in parents
    ]
    mine = [conv for layer in child.layers for _, conv in layer.named_convs()]
    for conv, theirs in zip(mine, zip(*convs)):
        conv.weight = np.mean([c.weight for c in theirs], axis=0, dtype=np.float64).astype("f4")
        conv.bias = np.mean([c.bias for c in theirs], axis=0, dtype=np.float64).astype("f4")
    return child


def bear(
    parents: Sequence[tuple[NetSpec, Genes]],
    environment: Environment,
    budget: Budget,
    share: float,
    heredity: Heredity,
    sample: Sample,
    rng: np.random.Generator,
) -> Newborn:
    """One offspring of one or more parents, which fits the budget.

    share: what the budget leaves of the ancestor's cost, which the number of filters follows.
    """
    parent, width = mate([spec for spec, _ in parents]), budget.width
    network = prepare(parent, sample.images)
    kept = keep_blocks(
        importance(network, sample.images, sample.classes),
        genome_of(parent),
        share**heredity.narrowing,
    )
    possible = region(parent, kept, width)
    planner = planner_within(parent, kept, environment, budget.dtype, width)
    worth, urge = magnitudes(network, width), gradients(network, sample, width)
    inherited = {
        name: float(np.mean([genes.get(name, 0.0) for _, genes in parents]))
        for name in planner.names
    }
    best: Optional[tuple[float, Genes, Genome]] = None
    losses = []
    for _ in range(heredity.candidates):
        genes = {
            name: gene + float(rng.normal(0, heredity.mutation)) for name, gene in inherited.items()
        }
        counts = planner.counts(budget, genes)
        genome = draw(worth, urge, possible, counts, heredity, rng)
        losses.append(screen(network, genome, sample, width))
        if best is None or losses[-1] < best[0]:
            best = losses[-1], genes, genome
    assert best is not None, "at least one candidate"
    set_clusters(network, best[2], width)
    network.refit_batch_norms(sample.images)
    return Newborn(network, best[1], losses)


def draw(
    worth: Strengths,
    urge: Strengths,
    possible: Genome,
    counts: Counts,
    heredity: Heredity,
    rng: np.random.Generator,
) -> Genome:
    """`counts` clusters of each convolution among the possible ones.

    worth: of those that live in the parents. urge: of those that are dead, a share of which comes
    back; more of them where the parents have not enough.
    """
    genome: Genome = {}
    for name, count in counts.items():
        living = possible[name] & (worth[name] > 0)
        dead = possible[name] & ~living
        regrown = min(round(heredity.regrowth * count), int(dead.sum()))
        regrown = max(regrown, count - int(living.sum()))
        genome[name] = np.zeros_like(living)
        for among, strengths, number in (
            (living, worth[name], count - regrown),
            (dead, urge[name], regrown),
        ):
            drawn = draw_clusters(strengths[among], number, heredity.temperature, rng)
            genome[name][among] = drawn
    return genome


def magnitudes(network: Network, width: int) -> Strengths:
    """Of each cluster, the norm of its living weights.

    In a network that `train.run.prepare` made, weights make outputs of unit variance, so that the
    clusters of all filters compare. Weighing them by the size of the input channels or by the
    gradient was tried and is no better.
    """
    return {
        name: np.sqrt(sums(conv.live_weight().detach().square().cpu().numpy(), width))
        for name, conv in network.named_convs()
    }


def gradients(network: Network, sample: Sample, width: int) -> Strengths:
    """Of each cluster, the norm of the loss's gradient (RigL's criterion, Evci et al. 2020).

    In parts of a training batch's size, each with batch norms of its own: all at once would keep
    gigabytes of activations.
    """
    network.train()
    network.zero_grad()
    count = len(sample.images)
    parts = max(1, count // _IMAGES_AT_ONCE)
    for images, classes in zip(sample.images.chunk(parts), sample.classes.chunk(parts)):
        (F.cross_entropy(network(images), classes, reduction="sum") / count).backward()
    found = {
        name: np.sqrt(sums(conv.weight.grad.square().numpy(), width))  # type: ignore[union-attr]
        for name, conv in network.named_convs()
    }
    network.zero_grad()
    return found


@torch.no_grad()
def screen(network: Network, genome: Genome, sample: Sample, width: int) -> float:
    """The loss with these clusters, norms fitted to the images anew, before any training."""
    before = {key: value.clone() for key, value in network.state_dict().items()}
    set_clusters(network, genome, width)
    loss = float(F.cross_entropy(network.refit_batch_norms(sample.images), sample.classes))
    clear_masks(network)
    network.load_state_dict(before)
    return loss


def set_clusters(network: Network, genome: Genome, width: int) -> None:
    """Only these clusters live from now on."""
    convs = network.named_convs()
    set_masks(network, {n: members(genome[n], tuple(c.weight.shape), width) for n, c in convs})


def set_masks(network: Network, alive: dict[str, npt.NDArray[np.bool_]]) -> None:
    """Only these weights live from now on; alive has the shape of each convolution's weight."""
    for name, conv in network.named_convs():
        conv.mask = torch.from_numpy(alive[name]).to(conv.weight.device, conv.weight.dtype)
        with torch.no_grad():
            conv.weight.mul_(conv.mask)


def clear_masks(network: Network) -> None:
    """All weights live."""
    for _, conv in network.named_convs():
        conv.mask = None


def genome(network: Network, width: int) -> Genome:
    """The clusters that the masks leave."""
    found: Genome = {}
    for name, conv in network.named_convs():
        weight = conv.weight if conv.mask is None else conv.mask
        found[name] = sums((weight.detach() != 0).cpu().numpy(), width) > 0
    return found
