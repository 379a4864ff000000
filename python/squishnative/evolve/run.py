"""A run of evolution, or of a rival strategy, in a folder.

    settings.json      what was asked for
    environment.json   what clusters cost on this machine, measured when the run began
    generation-00/     the ancestor; then generation-01/, ...
        member-0.squish       float32, every cluster in its place: what offspring are made of
        member-0.i8.squish    what is shipped: compacted, weights of the budget's type
        member-0.json         written last, so that it says: this individual is whole
    checkpoint.pt      of the individual that trains now, after its last whole epoch

Every individual depends on the settings, the environment, its parents' files and its number alone.
A run that is killed continues the unfinished one and comes to the same result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Optional

import numpy as np
import torch

from squishnative import __version__
from squishnative.evolve.budget import Budget, Counts, Genes, Planner
from squishnative.evolve.clusters import HEIGHT, density, genome_of
from squishnative.evolve.compact import compact
from squishnative.evolve.encoding import draw_synapses
from squishnative.evolve.environment import Environment, measure_environment
from squishnative.evolve.filters import importance, keep_blocks, sort_filters
from squishnative.evolve.individual import (
    Individual,
    confusion_of,
    individuals,
    logits_of,
    measured_seconds,
)
from squishnative.evolve.offspring import Sample, bear, planner_within, set_masks
from squishnative.evolve.selection import fittest
from squishnative.evolve.settings import EVOLVE, PAPER, Settings, begin, saved_settings
from squishnative.evolve.strategies import STRATEGIES
from squishnative.net import load
from squishnative.spec import NetSpec
from squishnative.train.dataset import Dataset, hold_out, read_dataset
from squishnative.train.files import load_state, save_json, save_state, write_atomically
from squishnative.train.folders import SKIPPED
from squishnative.train.network import Network
from squishnative.train.recipe import Recipe
from squishnative.train.run import CALIBRATION_IMAGES, MARGIN, as_input, middle, prepare, read_net
from squishnative.train.trainer import Trainer, accuracy

CHECKPOINT = "checkpoint.pt"

__all__ = ["Individual", "Settings", "begin", "evolve", "individuals", "saved_settings"]


def saved_environment(folder: Path) -> Environment:
    """What the run measured of its machine."""
    return Environment(**json.loads((folder / "environment.json").read_text()))


def evolve(
    folder: Path, report: Callable[[Individual], None], *, data: Optional[Dataset] = None
) -> list[Individual]:
    """Runs, or continues, the run that `begin` made; report is called after each individual."""
    settings = saved_settings(folder)
    return _Run(folder, settings, report, data).go()


class _Run:
    def __init__(
        self,
        folder: Path,
        settings: Settings,
        report: Callable[[Individual], None],
        data: Optional[Dataset],
    ) -> None:
        self.folder, self.settings, self.report = folder, settings, report
        self.ancestor = read_net(settings.ancestor)
        dataset = data or read_dataset(settings.data, self.ancestor.input, margin=MARGIN)
        save_json(folder / SKIPPED, dataset.skipped)
        if self.ancestor.labels != dataset.labels:
            raise ValueError(
                f"the ancestor's classes are {self.ancestor.labels}, the data's {dataset.labels}"
            )
        self.train, held_out = hold_out(dataset.train, settings.held_out, settings.seed)
        self.held_out = replace(held_out, images=middle(held_out.images, self.ancestor.input))
        self.val = dataset.val
        self.environment = self._environment()
        self.planner = Planner(self.ancestor, self.environment, settings.dtype)
        self._check_budget()

    def go(self) -> list[Individual]:
        settings = self.settings
        makers = {EVOLVE: self._offspring, PAPER: self._paper_offspring}
        self._individual(0, 0, self._ancestor)
        if settings.strategy not in makers:
            self._individual(1, 0, self._rival)
            return individuals(self.folder)
        for generation in range(1, settings.generations + 1):
            for number in range(settings.population):
                self._individual(generation, number, makers[settings.strategy])
            if self._ends_with(generation):
                break
        return individuals(self.folder)

    def _ends_with(self, generation: int) -> bool:
        """Whether a generation lost more than it may, or met the budget in the paper's way."""
        settings, (ancestor, *offspring) = self.settings, individuals(self.folder)
        last = [i for i in offspring if i.generation == generation]
        if settings.max_drop is not None:
            lost = ancestor.fitness - max(i.fitness for i in last)
            if 100 * lost > settings.max_drop:
                return True
        if settings.strategy != PAPER or settings.max_bytes is None:
            return False
        return min(i.shipped_bytes for i in last) <= settings.max_bytes

    def _check_budget(self) -> None:
        """Refuses at once what no net of the last generation can meet."""
        last, planner = self.settings.generations, self.planner
        if self.settings.strategy == PAPER:
            return
        if self.settings.strategy == EVOLVE:
            genome = genome_of(self.ancestor)
            equal = {name: np.ones(len(alive) * HEIGHT) for name, alive in genome.items()}
            kept = keep_blocks(equal, genome, self._share(last) ** self.settings.heredity.narrowing)
            planner = planner_within(self.ancestor, kept, self.environment, self.settings.dtype)
        planner.counts(self.budget(last), {})

    def _environment(self) -> Environment:
        file = self.folder / "environment.json"
        if not file.exists():
            measured = measure_environment(self.ancestor, self.settings.threads, self.settings.seed)
            save_json(file, measured.to_dict())
        return saved_environment(self.folder)

    def _individual(self, generation: int, number: int, make: Callable[[int, int], _Made]) -> None:
        file = self.folder / f"generation-{generation:02}" / f"member-{number}.json"
        if file.exists():
            return
        begin = time.perf_counter()
        made = make(generation, number)
        seconds = time.perf_counter() - begin
        file.parent.mkdir(exist_ok=True)
        individual = self._save(file, made, generation, number)
        individual.training_seconds = seconds
        save_json(file, asdict(individual))
        self.report(individual)

    def _ancestor(self, _generation: int, _number: int) -> _Made:
        sample = self._sample(np.random.default_rng([self.settings.seed, 0]))
        network = prepare(self.ancestor, sample.images)
        worth = importance(network, sample.images, sample.classes)
        return _Made(sort_filters(self.ancestor, worth), {}, [])

    def _offspring(self, generation: int, number: int) -> _Made:
        settings = self.settings
        rng = np.random.default_rng([settings.seed, generation, number])
        parents = self._parents(generation)
        pairs = [(self._read(parent), parent.genes) for parent in parents]
        sample = self._sample(rng)
        budget = self.budget(generation)
        newborn = bear(
            pairs, self.environment, budget, self._share(generation), settings.heredity, sample, rng
        )
        int8 = generation > settings.generations - settings.int8_generations
        recipe = replace(settings.recipe, int8=int8 and settings.dtype == "i8")
        trainer = self._trainer(newborn.network, recipe, int(rng.integers(2**31)))
        losses = self._train(trainer)
        names = [parent.name for parent in parents]
        return _Made(trainer.averaged.to_spec(), newborn.genes, names, newborn.screened, losses)

    def _paper_offspring(self, generation: int, number: int) -> _Made:
        """As published: one parent, synapses drawn one by one, no budget but the factors."""
        settings = self.settings
        rng = np.random.default_rng([settings.seed, generation, number])
        parent = self._parents(generation)[0]
        spec = self._read(parent)
        alive = {
            name: draw_synapses(conv.weight, settings.cluster_factor, settings.synapse_factor, rng)
            for layer in spec.layers
            for name, conv in layer.named_convs()
        }
        sample = self._sample(rng)
        network = prepare(spec, sample.images)
        set_masks(network, alive)
        network.refit_batch_norms(sample.images)
        trainer = self._trainer(network, settings.recipe, int(rng.integers(2**31)))
        losses = self._train(trainer)
        return _Made(trainer.averaged.to_spec(), {}, [parent.name], [], losses)

    def _rival(self, _generation: int, _number: int) -> _Made:
        """The other strategies: one individual with the training of all generations."""
        settings = self.settings
        rng = np.random.default_rng([settings.seed])
        sample = self._sample(rng)
        network = prepare(self.ancestor, sample.images)
        counts = self.planner.counts(self.budget(settings.generations), {})
        hook = STRATEGIES[settings.strategy](network, counts)
        network.refit_batch_norms(sample.images)
        epochs = settings.recipe.epochs * settings.generations * settings.population
        recipe = replace(settings.recipe, epochs=epochs)
        trainer = self._trainer(network, recipe, int(rng.integers(2**31)))
        trainer.before_step = hook
        int8_epochs = settings.recipe.epochs * settings.population * settings.int8_generations
        losses = self._train(trainer, int8_from=epochs - int8_epochs)
        return _Made(trainer.averaged.to_spec(), {}, ["generation-00/member-0"], [], losses)

    def _train(self, trainer: Trainer, int8_from: Optional[int] = None) -> list[float]:
        """The losses of the epochs. Begins where a killed one left its checkpoint.

        int8_from: epochs before weights are rounded, where the recipe does not say.
        """
        checkpoint, losses = self.folder / CHECKPOINT, []
        if checkpoint.exists():
            state = load_state(checkpoint)
            if state["seed"] == trainer.seed:  # of this individual, not of one that was finished
                trainer.restore(state["trainer"])
                losses = state["losses"]
        while trainer.epochs_done < trainer.recipe.epochs:
            if int8_from is not None:
                late = trainer.epochs_done >= int8_from and self.settings.dtype == "i8"
                trainer.network.set_int8(late)
            losses.append(trainer.run_epoch().loss)
            state = {"seed": trainer.seed, "trainer": trainer.state(), "losses": losses}
            save_state(checkpoint, state)
        return losses

    def budget(self, generation: int) -> Budget:
        """Of a generation: geometric from the ancestor's cost to what was asked for."""
        costs = [
            None
            if last is None
            else first * (last / first) ** (generation / self.settings.generations)
            for first, last in self._first_and_last()
        ]
        return Budget(costs[0], costs[1], self.settings.dtype)

    def _share(self, generation: int) -> float:
        """The least that a generation's budget leaves of what the ancestor costs."""
        budget, ((size, _), (seconds, _)) = self.budget(generation), self._first_and_last()
        return min((budget.bytes or size) / size, (budget.seconds or seconds) / seconds, 1.0)

    def _first_and_last(self) -> list[tuple[float, Optional[float]]]:
        """What the ancestor costs and what the last generation may: bytes, seconds."""
        totals = self.planner.totals
        return [
            (self.planner.bytes(totals), self.settings.max_bytes),
            (self.planner.seconds(totals), self.settings.max_seconds),
        ]

    def _parents(self, generation: int) -> list[Individual]:
        before = [i for i in individuals(self.folder) if i.generation == generation - 1]
        ranked = fittest(before)
        return ranked[: self.settings.parents]

    def _read(self, individual: Individual) -> NetSpec:
        return read_net(str(self.folder / f"{individual.name}.squish"))

    def _sample(self, rng: np.random.Generator) -> Sample:
        count = min(CALIBRATION_IMAGES, len(self.train))
        chosen = rng.choice(len(self.train), count, replace=False)
        return Sample(
            as_input(self.train.images[chosen], self.ancestor.input),
            torch.from_numpy(self.train.classes[chosen]),
        )

    def _trainer(self, network: Network, recipe: Recipe, seed: int) -> Trainer:
        teacher = Network(self.ancestor, normed=False)
        return Trainer(network, self.train, recipe, seed, teacher, device=self.settings.device)

    def _save(self, file: Path, made: _Made, generation: int, number: int) -> Individual:
        spec = made.spec
        spec.about = (
            f"squishnative {__version__}: squish {self.settings.strategy}, seed "
            f"{self.settings.seed}, generation {generation}, member {number}"
        )
        stem = file.with_suffix("")
        shipped = compact(spec)
        dtype = self.settings.dtype
        contents = {name: shipped.to_bytes(name) for name in ("f32", "f16", "i8", "i4")}
        path = stem.with_suffix(f".{dtype}.squish")
        write_atomically(path, lambda f: f.write(contents[dtype]))
        write_atomically(stem.with_suffix(".squish"), lambda f: f.write(spec.to_bytes()))
        genome = genome_of(spec)
        counts: Counts = {name: int(alive.sum()) for name, alive in genome.items()}
        with load(path, threads=self.settings.threads) as net:
            fitness = accuracy(logits_of(net, self.held_out), self.held_out.classes)
            logits = logits_of(net, self.val)
            seconds = measured_seconds(net)
        return Individual(
            generation,
            number,
            made.parents,
            fitness,
            accuracy(logits, self.val.classes),
            dtype,
            {name: len(content) for name, content in contents.items()},
            self.planner.seconds(counts),
            seconds,
            density(genome),
            {name: float(alive.mean()) for name, alive in genome.items()},
            made.genes,
            confusion_of(logits, self.val.classes),
            made.screened,
            made.losses,
            len(made.losses),
        )


@dataclass
class _Made:
    """An individual before it is measured."""

    spec: NetSpec
    genes: Genes
    parents: list[str]
    screened: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
