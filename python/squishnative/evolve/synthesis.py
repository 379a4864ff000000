"""Synthesis: how individuals are made and trained, each from files, the settings and its number."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Optional

import numpy as np
import torch

from squishnative.evolve.budget import (
    Budget,
    Counts,
    Genes,
    Planner,
    before_compression,
    file_bytes,
    within,
)
from squishnative.evolve.clusters import HEIGHT, genome_of
from squishnative.evolve.compact import compact
from squishnative.evolve.encoding import draw_synapses
from squishnative.evolve.environment import Environment
from squishnative.evolve.filters import importance, keep_blocks, sort_filters
from squishnative.evolve.individual import Individual
from squishnative.evolve.offspring import Sample, bear, planner_within, set_masks
from squishnative.evolve.settings import EVOLVE, PAPER, Settings
from squishnative.evolve.strategies import STRATEGIES, one_shot
from squishnative.quantise import quantise
from squishnative.spec import NetSpec
from squishnative.timing import format_seconds
from squishnative.train.dataset import Split
from squishnative.train.files import load_state, save_state
from squishnative.train.geometry import as_input, seen_by_the_engine
from squishnative.train.network import Network
from squishnative.train.recipe import Recipe
from squishnative.train.run import CALIBRATION_IMAGES, prepare, read_net
from squishnative.train.teacher import teacher_of
from squishnative.train.trainer import Trainer
from squishnative.train.views import Views

CHECKPOINT = "checkpoint.pt"
SHIPPED_CALIBRATION = 512  # images; more made no difference
TIMED_CALIBRATION = 16  # where nothing but the time is wanted
_MATURITY = 1  # sets a mature individual's draws apart from those of the same one's birth
_YOUNG_WARMUP = 0.5  # epochs; an individual goes on at the rate that its parents had


@dataclass
class Made:
    """An individual before it is measured. dtype: what its weights were rounded to."""

    spec: NetSpec
    dtype: str = "f32"
    genes: Genes = field(default_factory=dict)
    parents: list[str] = field(default_factory=list)
    screened: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


class Synthesis:
    """Makes the individuals of one run, in its folder."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        ancestor: NetSpec,
        environment: Environment,
        images: Split,
        after_epoch: Callable[[], None],
    ) -> None:
        """images: what individuals train on, with a margin.

        Raises ValueError on a budget that no net can meet.
        """
        self.folder, self.settings = folder, settings
        self._width = settings.width(environment)
        self.planner = Planner(ancestor, environment, settings.dtype, self._width)
        self._ancestor_bytes = file_bytes(ancestor, settings.dtype)
        self.sizes = self._generations_of_sizes()
        self._dense, self._environment, self._images = ancestor, environment, images
        self._after_epoch = after_epoch
        self.training_seconds = 0.0  # of the last individual, killed processes included
        self._check_budget()
        self._teacher = teacher_of(ancestor, settings.device, settings.recipe.hints > 0)
        self._views: Optional[Views] = None
        if settings.recipe.views:
            self._views = Views(
                images,
                ancestor.input,
                settings.recipe,
                settings.seed,
                self._teacher,
                settings.device,
            )

    def ancestor(self) -> Made:
        """The dense net, its filters in the order of their importance."""
        sample = self._sample(np.random.default_rng([self.settings.seed, 0]))
        network = prepare(self._dense, sample.images)
        worth = importance(network, sample.images, sample.classes)
        return Made(sort_filters(self._dense, worth))

    def offspring(self, generation: int, number: int, parents: list[Individual]) -> Made:
        """Drawn by the encoding to meet the generation's budget, and trained."""
        rng = self._random(generation, number)
        pairs = [(self._read(parent), parent.genes) for parent in parents]
        sample = self._sample(rng)
        share = self._share(generation)
        budget = before_compression(self._budget(generation), compact(pairs[0][0]))
        if budget.seconds is not None:
            budget = replace(budget, seconds=budget.seconds / slower_than_forecast(parents))
        heredity = self.settings.heredity
        newborn = bear(pairs, self._environment, budget, share, heredity, sample, rng)
        spec, losses = self._young(newborn.network, rng)
        names = [parent.name for parent in parents]
        return Made(spec, "f32", newborn.genes, names, newborn.screened, losses)

    def paper_offspring(self, generation: int, number: int, parents: list[Individual]) -> Made:
        """As published: one parent, synapses drawn one by one, no budget but the factors."""
        settings = self.settings
        rng = self._random(generation, number)
        spec = self._read(parents[0])
        alive = {
            name: draw_synapses(
                conv.weight,
                settings.cluster_factor,
                settings.synapse_factor,
                rng,
                settings.cluster,
                settings.truncate_below,
            )
            for layer in spec.layers
            for name, conv in layer.named_convs()
        }
        sample = self._sample(rng)
        network = prepare(spec, sample.images)
        set_masks(network, alive)
        network.refit_batch_norms(sample.images)
        grown, losses = self._young(network, rng)
        return Made(grown, parents=[parents[0].name], losses=losses)

    def mature(self, individual: Individual) -> Made:
        """The same clusters, trained to the end for a file of the budget's type.

        Filters that nobody reads are gone before, so that they cost no time in training either.
        """
        settings = self.settings
        rng = self._random(individual.generation, individual.number, _MATURITY)
        spec = compact(self._read(individual))
        network = prepare(spec, self._sample(rng).images)
        alive = {n: conv.weight != 0 for layer in spec.layers for n, conv in layer.named_convs()}
        set_masks(network, alive)
        recipe = replace(settings.recipe, epochs=settings.mature_epochs, dtype=settings.dtype)
        trainer = self._trainer(network, recipe, rng)
        losses = self._train(trainer)
        grown = compact(trainer.averaged.to_spec())  # rounding leaves whole clusters zero
        if settings.strategy == EVOLVE and individual.generation > 0:  # the ancestor has no budget
            grown = compact(within(grown, self._budget(individual.generation)))
        shipped = self.as_shipped(grown, SHIPPED_CALIBRATION)
        return Made(shipped, settings.dtype, individual.genes, [individual.name], losses=losses)

    def rival(self) -> Made:
        """The other strategies: one individual, with all the training that evolution's would get.

        Under one learning rate that falls to 0; weights are rounded in the last mature_epochs.
        """
        settings = self.settings
        rng = np.random.default_rng([settings.seed])
        sample = self._sample(rng)
        network = prepare(self._dense, sample.images)
        budget = self._budget(settings.generations)
        counts = self._rivals_counts(network, budget)
        hook = STRATEGIES[settings.strategy](network, counts, self._width)
        network.refit_batch_norms(sample.images)
        before = settings.recipe.epochs * settings.generations * settings.population
        recipe = replace(settings.recipe, epochs=before + settings.mature_epochs)
        trainer = self._trainer(network, recipe, rng)
        trainer.before_step = hook
        losses = self._train(trainer, float_epochs=before)
        grown = compact(within(compact(trainer.averaged.to_spec()), budget))
        shipped = self.as_shipped(grown, SHIPPED_CALIBRATION)
        return Made(shipped, settings.dtype, parents=["generation-00/member-0"], losses=losses)

    def as_shipped(self, spec: NetSpec, images: int) -> NetSpec:
        """Made for the arithmetic that was asked for, by at most so many training images."""
        if not self.settings.engine.integers:
            return spec
        count = min(images, len(self._images))
        rng = np.random.default_rng([self.settings.seed])
        chosen = rng.choice(len(self._images), count, replace=False)
        seen = seen_by_the_engine(self._images.images[chosen], self._dense.input)
        return quantise(spec, seen, self.settings.dtype)

    def _rivals_counts(self, network: Network, budget: Budget) -> Counts:
        """For a net that compresses as the strongest clusters of this one do."""
        pruned = copy.deepcopy(network)
        one_shot(pruned, self.planner.counts(budget, {}), self._width)
        return self.planner.counts(before_compression(budget, compact(pruned.to_spec())), {})

    def _young(self, network: Network, rng: np.random.Generator) -> tuple[NetSpec, list[float]]:
        recipe = replace(self.settings.recipe, annealed=False, warmup=_YOUNG_WARMUP)
        trainer = self._trainer(network, recipe, rng)
        losses = self._train(trainer)
        return trainer.averaged.to_spec(), losses

    def _train(self, trainer: Trainer, float_epochs: int = 0) -> list[float]:
        """The losses of the epochs. Begins where a killed one left its checkpoint.

        float_epochs: before weights are rounded as settings.dtype, where the recipe does not say.
        """
        checkpoint, losses, earlier = self.folder / CHECKPOINT, [], 0.0
        if checkpoint.exists():
            state = load_state(checkpoint)
            if state["seed"] == trainer.seed:  # of this individual, not of one that was finished
                trainer.restore(state["trainer"])
                losses, earlier = state["losses"], state["seconds"]
        begin = time.perf_counter()
        while trainer.epochs_done < trainer.recipe.epochs:
            if float_epochs and trainer.epochs_done >= float_epochs:
                trainer.round_to(self.settings.dtype)
            losses.append(trainer.run_epoch().loss)
            state = {
                "seed": trainer.seed,
                "trainer": trainer.state(),
                "losses": losses,
                "seconds": earlier + time.perf_counter() - begin,
            }
            save_state(checkpoint, state)
            self._after_epoch()
        if float_epochs:  # also of a run that was killed after its last epoch
            trainer.round_to(self.settings.dtype)
        self.training_seconds = earlier + time.perf_counter() - begin
        return losses

    def _trainer(self, network: Network, recipe: Recipe, rng: np.random.Generator) -> Trainer:
        return Trainer(
            network,
            self._images,
            recipe,
            int(rng.integers(2**31)),
            self._teacher,
            views=self._views,
            device=self.settings.device,
        )

    def _random(self, *number: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, *number])

    def _read(self, individual: Individual) -> NetSpec:
        return read_net(str(self.folder / f"{individual.name}.squish"))

    def _sample(self, rng: np.random.Generator) -> Sample:
        count = min(CALIBRATION_IMAGES, len(self._images))
        chosen = rng.choice(len(self._images), count, replace=False)
        return Sample(
            as_input(self._images.images[chosen], self._dense.input),
            torch.from_numpy(self._images.classes[chosen]),
        )

    def _budget(self, generation: int) -> Budget:
        """Of a generation: the size that was asked for, or on a geometric way to the last one."""
        size, seconds = self._on_the_way(generation)
        settings = self.settings
        return Budget(self.sizes.get(generation, size), seconds, settings.dtype, self._width)

    def _on_the_way(self, generation: int) -> list[Optional[float]]:
        """Bytes and seconds, geometric from the ancestor's cost to the last generation's."""
        return [
            None
            if last is None
            else first * (last / first) ** (generation / self.settings.generations)
            for first, last in self._first_and_last()
        ]

    def _generations_of_sizes(self) -> dict[int, float]:
        """Which generation has each of the sizes that were asked for; none for a single one.

        Raises ValueError on sizes beyond the ancestor's, or nearer to each other than generations.
        """
        settings, most = self.settings, self._ancestor_bytes
        if not settings.larger_bytes or settings.max_bytes is None:
            return {}
        sizes = {settings.generations: settings.max_bytes}
        way = {g: self._on_the_way(g)[0] or 0.0 for g in range(1, settings.generations)}
        for size in sorted(settings.larger_bytes):
            if size >= most:
                raise ValueError(
                    f"a net of {size:,.0f} bytes: the ancestor's file has {most:,} already"
                )
            nearest = min(way, key=lambda g: abs(math.log(way[g] / size)), default=0)
            if nearest == 0 or nearest in sizes:
                raise ValueError(
                    f"a net of {size:,.0f} bytes: too few generations, {settings.generations}"
                )
            sizes[nearest] = size
        return sizes

    def _share(self, generation: int) -> float:
        """The least that a generation's budget leaves of what the ancestor costs."""
        budget, ((size, _), (seconds, _)) = self._budget(generation), self._first_and_last()
        least = 1.0
        if budget.bytes is not None:
            least = min(least, budget.bytes / size)
        if budget.seconds is not None:
            least = min(least, budget.seconds / seconds)
        return least

    def _first_and_last(self) -> list[tuple[float, Optional[float]]]:
        """What the ancestor costs and what the last generation may: bytes, seconds."""
        totals = self.planner.totals
        return [
            (self._ancestor_bytes, self.settings.max_bytes),
            (self.planner.seconds(totals), self.settings.max_seconds),
        ]

    def _check_budget(self) -> None:
        """Refuses at once what no net of the last generation can meet, or any net does."""
        settings, planner, dense = self.settings, self.planner, self._dense
        limits = [(first, last) for first, last in self._first_and_last() if last is not None]
        if limits and all(last >= first for first, last in limits):
            size, seconds = self._ancestor_bytes, format_seconds(planner.seconds(planner.totals))
            raise ValueError(
                f"the ancestor is within the budget already: {size:,} bytes as {settings.dtype}, "
                f"{seconds} an image by the forecast"
            )
        if settings.strategy == PAPER:
            return
        last = settings.generations
        if settings.strategy == EVOLVE:
            genome = genome_of(dense)
            equal = {name: np.ones(len(alive) * HEIGHT) for name, alive in genome.items()}
            kept = keep_blocks(equal, genome, self._share(last) ** settings.heredity.narrowing)
            planner = planner_within(dense, kept, self._environment, settings.dtype, self._width)
        planner.counts(self._budget(last), {})


def slower_than_forecast(parents: Sequence[Individual]) -> float:
    """What the parents' measured latencies say of the forecast for their offspring.

    Within a quarter, as a busy machine measures anything. The ancestor says nothing: dense layers
    run other kernels than those that the forecast knows.
    """
    ratios = [p.seconds / p.seconds_predicted for p in parents if p.generation > 0]
    return min(max(sum(ratios) / len(ratios), 0.8), 1.25) if ratios else 1.0
