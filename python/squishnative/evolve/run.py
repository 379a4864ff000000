"""A run of evolution, or of a rival strategy, in a folder.

    settings.json      what was asked for
    environment.json   what clusters cost on this machine, measured when the run began
    generation-00/     the ancestor; then generation-01/, ...
        member-0.squish    a young individual: what offspring are made of
        member-0.json      written last, so that it says: this individual is whole
    family/            the mature individuals that are shipped, named after the young ones
        generation-03-member-0.squish, .json
    checkpoint.pt      of the individual that trains now, after its last whole epoch

Every individual depends on the settings, the environment, its parents' files and its number alone.
A run that is killed continues the unfinished one and comes to the same result.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Optional

from squishnative import __version__
from squishnative.evolve.budget import BYTES
from squishnative.evolve.clusters import genome_of
from squishnative.evolve.compact import compact
from squishnative.evolve.environment import Environment, measure_environment
from squishnative.evolve.individual import (
    Individual,
    confusion_of,
    family,
    logits_of,
    measured_seconds,
    young,
)
from squishnative.evolve.selection import fittest, fittest_of_each, spread
from squishnative.evolve.settings import EVOLVE, PAPER, Settings, begin, saved_settings
from squishnative.evolve.synthesis import Made, Synthesis
from squishnative.net import load
from squishnative.train.dataset import Dataset, hold_out, read_dataset
from squishnative.train.files import save_json, write_atomically
from squishnative.train.folders import SKIPPED, alone_in
from squishnative.train.geometry import seen_by_the_engine
from squishnative.train.run import read_net
from squishnative.train.trainer import accuracy

__all__ = ["Individual", "Settings", "begin", "evolve", "family", "saved_settings", "young"]


def saved_environment(folder: Path) -> Environment:
    """What the run measured of its machine."""
    return Environment(**json.loads((folder / "environment.json").read_text()))


def evolve(
    folder: Path,
    report: Callable[[Individual], None],
    *,
    data: Optional[Dataset] = None,
    after_epoch: Callable[[], None] = lambda: None,
) -> list[Individual]:
    """Runs, or continues, the run that `begin` made; report is called after each individual.

    data: the dataset, where the caller has read it already. Returns the family, largest first.
    Raises RuntimeError where another process continues the run.
    """
    with alone_in(folder):
        return _Run(folder, saved_settings(folder), report, data, after_epoch).go()


class _Run:
    def __init__(
        self,
        folder: Path,
        settings: Settings,
        report: Callable[[Individual], None],
        data: Optional[Dataset],
        after_epoch: Callable[[], None],
    ) -> None:
        self.folder, self.settings, self.report = folder, settings, report
        ancestor = read_net(settings.ancestor)
        dataset = data or read_dataset(settings.data, ancestor.input)
        save_json(folder / SKIPPED, dataset.skipped)
        if ancestor.labels != dataset.labels:
            raise ValueError(
                f"the ancestor's classes are {ancestor.labels}, the data's {dataset.labels}"
            )
        train, held_out = hold_out(dataset.train, settings.held_out, settings.seed)
        seen = seen_by_the_engine(held_out.images, ancestor.input)
        self.held_out = replace(held_out, images=seen)
        self.val = dataset.val
        file = folder / "environment.json"
        if not file.exists():
            measured = measure_environment(ancestor, settings.threads, settings.seed)
            save_json(file, measured.to_dict())
        environment = saved_environment(folder)
        self.synthesis = Synthesis(folder, settings, ancestor, environment, train, after_epoch)

    def go(self) -> list[Individual]:
        settings, synthesis = self.settings, self.synthesis
        self._individual(0, 0, False, synthesis.ancestor)
        if settings.strategy not in (EVOLVE, PAPER):
            self._individual(1, 0, True, synthesis.rival)
            return family(self.folder)
        for generation in range(1, settings.generations + 1):
            parents = self._parents(generation)
            bear = {EVOLVE: synthesis.offspring, PAPER: synthesis.paper_offspring}
            for number in range(settings.population):
                make = partial(bear[settings.strategy], generation, number, parents)
                self._individual(generation, number, False, make)
            if self._ends_with(generation):
                break
        for one in reversed(self._grown_up()):  # the one that was asked for first
            make = partial(synthesis.mature, one)
            self._individual(one.generation, one.number, True, make)
        return family(self.folder)

    def _grown_up(self) -> list[Individual]:
        """Those that are shipped, largest first."""
        fit = [i for i in young(self.folder) if not self._lost(i)]
        sizes = self.synthesis.sizes
        if not sizes:
            return spread(fit, self.settings.family)
        return fittest_of_each([i for i in fit if i.generation in sizes])

    def _parents(self, generation: int) -> list[Individual]:
        before = [i for i in young(self.folder) if i.generation == generation - 1]
        return fittest(before)[: self.settings.parents]

    def _ends_with(self, generation: int) -> bool:
        """Whether a generation lost more than it may, or met the budget in the paper's way."""
        settings = self.settings
        last = [i for i in young(self.folder) if i.generation == generation]
        if all(self._lost(i) for i in last):
            return True
        if settings.strategy != PAPER or settings.max_bytes is None:
            return False
        return min(i.bytes[settings.dtype] for i in last) <= settings.max_bytes

    def _lost(self, individual: Individual) -> bool:
        """Whether it lost more against the ancestor than it may."""
        if self.settings.max_drop is None:
            return False
        ancestor, *_ = young(self.folder)
        return 100 * (ancestor.fitness - individual.fitness) > self.settings.max_drop

    def _individual(
        self, generation: int, number: int, mature: bool, make: Callable[[], Made]
    ) -> None:
        place = self.folder / Individual.name_of(generation, number, mature)
        file = place.with_suffix(".json")
        if file.exists():
            return
        made = make()
        made.spec.about = (
            f"squishnative {__version__}: squish {self.settings.strategy}, seed "
            f"{self.settings.seed}, {place.parent.name}/{place.name}"
        )
        file.parent.mkdir(exist_ok=True)
        net = place.with_suffix(".squish")
        write_atomically(net, lambda f: f.write(made.spec.to_bytes(made.dtype)))
        individual = self._measured(made, generation, number, mature)
        individual.training_seconds = self.synthesis.training_seconds
        save_json(file, asdict(individual))
        self.report(individual)

    def _measured(self, made: Made, generation: int, number: int, mature: bool) -> Individual:
        compacted = compact(made.spec)
        living = {name: int(alive.sum()) for name, alive in genome_of(compacted).items()}
        planner = self.synthesis.planner
        living = {name: living.get(name, 0) for name in planner.names}
        with TemporaryDirectory() as scratch:
            file = Path(scratch) / "net.squish"
            compacted.save(file, made.dtype)
            with load(file, threads=self.settings.threads) as net:
                fitness = accuracy(logits_of(net, self.held_out), self.held_out.classes)
                logits = logits_of(net, self.val)
                seconds = measured_seconds(net)
        return Individual(
            generation,
            number,
            mature,
            made.parents,
            fitness,
            accuracy(logits, self.val.classes),
            made.dtype,
            {name: len(compacted.to_bytes(name)) for name in BYTES},
            planner.seconds(living),
            seconds,
            sum(living.values()) / sum(planner.totals.values()),
            {name: count / planner.totals[name] for name, count in living.items()},
            made.genes,
            confusion_of(logits, self.val.classes),
            made.screened,
            made.losses,
            len(made.losses),
        )
