"""A run of evolution, or of a rival strategy, in a folder.

    settings.json      what was asked for
    inputs.json        what tells the images and the ancestor that it began with from others
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
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Optional

from squishnative import __version__, nets
from squishnative.evolve.budget import BYTES, Planner
from squishnative.evolve.clusters import genome_of
from squishnative.evolve.compact import compact
from squishnative.evolve.environment import Environment, measure_environment
from squishnative.evolve.individual import (
    Individual,
    confusion_of,
    family,
    logits_of,
    young,
)
from squishnative.evolve.selection import fittest, fittest_of_each, spread
from squishnative.evolve.settings import EVOLVE, PAPER, Settings, begin, saved_settings
from squishnative.evolve.synthesis import TIMED_CALIBRATION, Made, Synthesis
from squishnative.spec import NetSpec
from squishnative.timing import format_seconds, seconds_of_an_image
from squishnative.train.dataset import Dataset, hold_out, read_dataset
from squishnative.train.files import save_json, write_atomically
from squishnative.train.folders import (
    ENVIRONMENT,
    SKIPPED,
    alone_in,
    check_inputs,
    digest_of_file,
)
from squishnative.train.geometry import seen_by_the_engine
from squishnative.train.run import inputs_of, read_net
from squishnative.train.trainer import accuracy

_SPARSE = 0.15  # of the clusters: a net like those that are shipped

__all__ = [
    "Individual",
    "Settings",
    "begin",
    "evolve",
    "family",
    "missed",
    "saved_settings",
    "young",
]


def saved_environment(folder: Path) -> Environment:
    """What the run measured of its machine. Raises ValueError where the file says no such thing."""
    file = folder / ENVIRONMENT
    try:
        return Environment(**json.loads(file.read_text(encoding="utf-8")))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"'{file}': not what a run measures of a machine: {error}") from error


def evolve(
    folder: Path,
    report: Callable[[Individual], None],
    *,
    data: Optional[Dataset] = None,
    after_epoch: Callable[[], None] = lambda: None,
    on_skipped: Callable[[list[tuple[str, str]]], None] = lambda _: None,
) -> list[Individual]:
    """Runs, or continues, the run that `begin` made; report is called after each individual.

    data: the dataset, where the caller has read it already. on_skipped is called with (name, why)
    of the images that are left out, before anything is trained. Returns the family, largest first;
    `missed` says what of it is not as asked. Raises RuntimeError where another process continues
    the run.
    """
    with alone_in(folder):
        settings = saved_settings(folder)
        return _Run(folder, settings, report, data, after_epoch, on_skipped).go()


def missed(folder: Path) -> list[str]:
    """What was asked of a run that has ended and did not come about, a sentence each."""
    settings, shipped = saved_settings(folder), family(folder)
    ancestor, *others = young(folder)
    said = []
    last = max(others or [ancestor], key=lambda i: (i.generation, i.fitness))
    if lost_too_much(last, ancestor, settings):
        points = 100 * (ancestor.fitness - last.fitness)
        said.append(
            f"generation {last.generation} lost {points:.1f} points on held-out images, "
            f"{settings.max_drop:g} were allowed: it ended the run"
        )
    if not shipped:
        return [*said, "no net is shipped"]
    if settings.max_bytes is not None:
        least = min(i.shipped_bytes for i in shipped)
        said += [
            f"no net has at most {most:,.0f} bytes: the smallest has {least:,}"
            for most in (*settings.larger_bytes, settings.max_bytes)
            if least > most
        ]
    if settings.max_seconds is not None:
        fastest = min(shipped, key=lambda i: i.seconds)
        if fastest.seconds > settings.max_seconds:
            said.append(
                f"no net takes at most {format_seconds(settings.max_seconds)} an image: the "
                f"fastest takes {format_seconds(fastest.seconds)} as it was measured, "
                f"{100 * (fastest.seconds / settings.max_seconds - 1):.2g} % more, "
                f"{format_seconds(fastest.seconds_predicted)} by the forecast"
            )
    return said


def fastest_environment(ancestor: NetSpec, settings: Settings) -> Environment:
    """Of the arithmetics that nets may be computed in, that of the sooner sparse net."""

    def seconds(environment: Environment) -> float:
        width = settings.width(environment)
        planner = Planner(ancestor, environment, settings.dtype, width)
        return planner.seconds({n: math.ceil(_SPARSE * c) for n, c in planner.totals.items()})

    engines = settings.engine.arithmetics()
    return min((measure_environment(ancestor, settings.seed, e) for e in engines), key=seconds)


def lost_too_much(individual: Individual, ancestor: Individual, settings: Settings) -> bool:
    """Whether it lost more of the ancestor's fitness than max_drop allows."""
    if settings.max_drop is None:
        return False
    return 100 * (ancestor.fitness - individual.fitness) > settings.max_drop


class _Run:
    def __init__(
        self,
        folder: Path,
        settings: Settings,
        report: Callable[[Individual], None],
        data: Optional[Dataset],
        after_epoch: Callable[[], None],
        on_skipped: Callable[[list[tuple[str, str]]], None],
    ) -> None:
        self.folder, self.settings, self.report = folder, settings, report
        ancestor = read_net(settings.ancestor)
        dataset = data or read_dataset(settings.data, ancestor.input)
        save_json(folder / SKIPPED, dataset.skipped)
        on_skipped(dataset.skipped)
        if ancestor.labels != dataset.labels:
            raise ValueError(
                f"the ancestor's classes are {ancestor.labels}, the data's {dataset.labels}"
            )
        known = {"the ancestor's file is": digest_of_file(nets.path_of(settings.ancestor))}
        check_inputs(folder, {**inputs_of(settings.data, dataset), **known})
        train, held_out = hold_out(dataset.train, settings.held_out, settings.seed)
        seen = seen_by_the_engine(held_out.images, ancestor.input)
        self.held_out = replace(held_out, images=seen)
        self.val = dataset.val
        file = folder / ENVIRONMENT
        if not file.exists():
            save_json(file, fastest_environment(ancestor, settings).to_dict())
        self.environment = saved_environment(folder)
        if unknown := self.environment.unknown(ancestor):
            raise ValueError(f"'{file}': has no time of the ancestor's '{unknown[0]}'")
        self.synthesis = Synthesis(folder, settings, ancestor, self.environment, train, after_epoch)

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
        if settings.strategy != PAPER or (settings.max_bytes, settings.max_seconds) == (None, None):
            return False
        return any(
            i.bytes[settings.dtype] <= (settings.max_bytes or math.inf)
            and i.seconds <= (settings.max_seconds or math.inf)
            for i in last
        )

    def _lost(self, individual: Individual) -> bool:
        """Whether it lost more against the ancestor than it may."""
        return lost_too_much(individual, young(self.folder)[0], self.settings)

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
        settings, compacted = self.settings, compact(made.spec)
        width = settings.width(self.environment)
        genome = genome_of(compacted, width)
        planner = self.synthesis.planner
        living = {name: int(genome[name].sum()) if name in genome else 0 for name in planner.names}
        price = Planner(compacted, self.environment, made.dtype, width)
        with TemporaryDirectory() as scratch:
            file = Path(scratch) / "net.squish"
            compacted.save(file, made.dtype)
            with settings.engine.load(file, integers=mature) as net:
                fitness = accuracy(logits_of(net, self.held_out), self.held_out.classes)
                logits = logits_of(net, self.val)
                seconds, storage = seconds_of_an_image(net), net.storage
            if settings.engine.integers and not mature and generation > 0:
                timed = self.synthesis.as_shipped(compacted, TIMED_CALIBRATION)
                timed.save(file, settings.dtype)
                with settings.engine.load(file) as net:
                    seconds, storage = seconds_of_an_image(net), net.storage
        return Individual(
            generation,
            number,
            mature,
            made.parents,
            fitness,
            accuracy(logits, self.val.classes),
            made.dtype,
            {name: len(compacted.to_bytes(name)) for name in BYTES},
            price.seconds({name: int(alive.sum()) for name, alive in genome.items()}),
            seconds,
            storage,
            sum(living.values()) / sum(planner.totals.values()),
            {name: count / planner.totals[name] for name, count in living.items()},
            made.genes,
            confusion_of(logits, self.val.classes),
            made.screened,
            made.losses,
            len(made.losses),
        )
