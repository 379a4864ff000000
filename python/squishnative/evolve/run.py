"""A run of evolution, or of a rival strategy, in a folder.

    settings.json      what was asked for
    environment.json   what clusters cost on this machine, measured when the run began
    generation-00/     the ancestor; then generation-01/, ...
        member-0.squish       float32, every cluster in its place: what offspring are made of
        member-0.i8.squish    what is shipped: compacted, weights of the budget's type
        member-0.json         written last, so that it says: this individual is whole

Every individual depends on the settings, the environment, its parents' files and its number alone.
A run that is killed begins the unfinished one anew and comes to the same result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch

from squishnative import __version__
from squishnative.evolve.budget import Budget, Counts, Genes, Planner
from squishnative.evolve.clusters import density, genome_of
from squishnative.evolve.compact import compact
from squishnative.evolve.environment import Environment, measure_environment
from squishnative.evolve.offspring import Heredity, Sample, bear
from squishnative.evolve.selection import fittest
from squishnative.evolve.strategies import STRATEGIES
from squishnative.net import Net, load
from squishnative.spec import FloatArray, InputSpec, NetSpec
from squishnative.timing import time_interleaved
from squishnative.train.dataset import Classes, Dataset, Split, read_dataset
from squishnative.train.files import save_json, write_atomically
from squishnative.train.network import Network
from squishnative.train.recipe import Recipe
from squishnative.train.run import CALIBRATION_IMAGES, MARGIN, as_input, middle, prepare, read_net
from squishnative.train.trainer import Trainer, accuracy

FORMAT = 1  # of the run folder
EVOLVE = "evolve"
_BATCH = 32  # images of a call while accuracy is measured


@dataclass(frozen=True)
class Settings:
    """What `squish evolve` was asked for. Paths as they were given.

    max_bytes, max_seconds: the last generation's budget; earlier ones approach it geometrically
    from the ancestor's cost. population: offspring a generation. parents: of each, at most.
    recipe: of one individual's training. int8_generations: how many of the last ones train with
    weights rounded as the file's.
    """

    data: str
    ancestor: str
    max_bytes: Optional[float] = None
    max_seconds: Optional[float] = None
    dtype: str = "i8"
    strategy: str = EVOLVE
    generations: int = 8
    population: int = 1
    parents: int = 2
    int8_generations: int = 3
    held_out: float = 0.1  # of the training images: what fitness is measured on
    threads: int = 1  # of the engine whose time is measured
    seed: int = 0
    device: str = "cpu"  # PyTorch's
    recipe: Recipe = field(default_factory=lambda: Recipe(epochs=6))
    heredity: Heredity = field(default_factory=Heredity)

    def __post_init__(self) -> None:
        """Raises ValueError on a setting out of range."""
        if self.max_bytes is None and self.max_seconds is None:
            raise ValueError("wanted a budget: max_bytes, max_seconds or both")
        for name, value, least in (
            ("generations", self.generations, 1),
            ("population", self.population, 1),
            ("parents", self.parents, 1),
            ("int8_generations", self.int8_generations, 0),
            ("threads", self.threads, 1),
        ):
            if value < least:
                raise ValueError(f"{name}: got {value}, must be at least {least}")
        if self.parents > 5:
            raise ValueError(f"parents: got {self.parents}, must be at most 5")
        if self.strategy not in (EVOLVE, *STRATEGIES):
            known = ", ".join((EVOLVE, *STRATEGIES))
            raise ValueError(f"strategy: got {self.strategy!r}, wanted one of {known}")

    def to_dict(self) -> dict[str, Any]:
        """For settings.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """The inverse. Raises TypeError or ValueError on names and values that are none."""
        nested = {"recipe": Recipe(**values["recipe"]), "heredity": Heredity(**values["heredity"])}
        return cls(**{**values, **nested})


@dataclass
class Individual:
    """What member-N.json says. accuracies 0..1, of the shipped file on the engine.

    fitness is measured on held-out training images, val_accuracy on images that decide nothing.
    seconds_predicted: by the environment, which selection sees. seconds: measured, for people.
    """

    generation: int
    number: int
    parents: list[str]
    fitness: float
    val_accuracy: float
    dtype: str  # of the shipped file's weights
    bytes: dict[str, int]  # of the shipped net by type of its weights
    seconds_predicted: float
    seconds: float
    density: float
    densities: dict[str, float]
    genes: Genes
    confusion: list[list[int]]  # val images by [class][what the net says]
    screened: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # of each epoch
    epochs: int = 0
    training_seconds: float = 0.0

    @property
    def name(self) -> str:
        """`generation-03/member-1`."""
        return f"generation-{self.generation:02}/member-{self.number}"

    @property
    def shipped_bytes(self) -> int:
        """Of the shipped file."""
        return self.bytes[self.dtype]


def begin(folder: Path, settings: Settings) -> None:
    """Makes the folder of a new run. Raises FileExistsError where there is a run already."""
    file = folder / "settings.json"
    if file.exists():
        raise FileExistsError(17, "a run is there already: --resume continues it", str(file))
    folder.mkdir(parents=True, exist_ok=True)
    saved = {"format": FORMAT, "squishnative": __version__, **settings.to_dict()}
    save_json(file, saved)


def saved_settings(folder: Path) -> Settings:
    """Of a run that was begun. Raises ValueError on another version's folder, OSError on none."""
    file = folder / "settings.json"
    try:
        values = json.loads(file.read_text())
        found = values.pop("format")
        values.pop("squishnative")
        if found != FORMAT:
            raise ValueError(f"run format {found}, this version continues format {FORMAT}")
        return Settings.from_dict(values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"'{file}': not the settings of a run: {error}") from error


def saved_environment(folder: Path) -> Environment:
    """What the run measured of its machine."""
    return Environment(**json.loads((folder / "environment.json").read_text()))


def individuals(folder: Path) -> list[Individual]:
    """All that are whole, oldest first."""
    files = sorted(folder.glob("generation-*/member-*.json"))
    found = [Individual(**json.loads(file.read_text())) for file in files]
    return sorted(found, key=lambda individual: (individual.generation, individual.number))


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
        if self.ancestor.labels != dataset.labels:
            raise ValueError(
                f"the ancestor's classes are {self.ancestor.labels}, the data's {dataset.labels}"
            )
        self.train, held_out = hold_out(dataset.train, settings.held_out, settings.seed)
        self.held_out = _middle(held_out, self.ancestor.input)
        self.val = dataset.val
        self.environment = self._environment()
        self.planner = Planner(self.ancestor, self.environment, settings.dtype)

    def go(self) -> list[Individual]:
        settings = self.settings
        if settings.strategy != EVOLVE:
            self._individual(0, 0, self._ancestor)
            self._individual(1, 0, self._rival)
            return individuals(self.folder)
        self._individual(0, 0, self._ancestor)
        for generation in range(1, settings.generations + 1):
            for number in range(settings.population):
                self._individual(generation, number, self._offspring)
        return individuals(self.folder)

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
        return _Made(self.ancestor, {}, [])

    def _offspring(self, generation: int, number: int) -> _Made:
        settings = self.settings
        rng = np.random.default_rng([settings.seed, generation, number])
        parents = self._parents(generation)
        pairs = [(self._read(parent), parent.genes) for parent in parents]
        sample = self._sample(rng)
        budget = self.budget(generation)
        newborn = bear(pairs, self.planner, budget, settings.heredity, sample, rng)
        int8 = generation > settings.generations - settings.int8_generations
        recipe = replace(settings.recipe, int8=int8 and settings.dtype == "i8")
        trainer = self._trainer(newborn.network, recipe, int(rng.integers(2**31)))
        losses = [trainer.run_epoch().loss for _ in range(recipe.epochs)]
        names = [parent.name for parent in parents]
        return _Made(trainer.averaged.to_spec(), newborn.genes, names, newborn.screened, losses)

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
        losses = []
        while trainer.epochs_done < epochs:
            late = trainer.epochs_done >= epochs - int8_epochs and settings.dtype == "i8"
            trainer.network.set_int8(late)
            losses.append(trainer.run_epoch().loss)
        return _Made(trainer.averaged.to_spec(), {}, ["generation-00/member-0"], [], losses)

    def budget(self, generation: int) -> Budget:
        """Of a generation: geometric from the ancestor's cost to what was asked for."""
        settings, totals = self.settings, self.planner.totals
        share = generation / settings.generations

        def between(first: float, last: Optional[float]) -> Optional[float]:
            return None if last is None else first * (last / first) ** share

        return Budget(
            between(self.planner.bytes(totals), settings.max_bytes),
            between(self.planner.seconds(totals), settings.max_seconds),
        )

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
        contents = {name: shipped.to_bytes(name) for name in ("f32", "f16", "i8")}
        path = stem.with_suffix(f".{dtype}.squish")
        write_atomically(path, lambda f: f.write(contents[dtype]))
        write_atomically(stem.with_suffix(".squish"), lambda f: f.write(spec.to_bytes()))
        genome = genome_of(spec)
        counts: Counts = {name: int(alive.sum()) for name, alive in genome.items()}
        with load(path, threads=self.settings.threads) as net:
            fitness = accuracy(_logits(net, self.held_out), self.held_out.classes)
            logits = _logits(net, self.val)
            seconds = _measured_seconds(net)
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
            _confusion(logits, self.val.classes),
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


def hold_out(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """A share of each class, at least one image, set aside: (what is left, what was taken)."""
    rng = np.random.default_rng([seed, 1])
    taken = np.zeros(len(split), bool)
    for label in np.unique(split.classes):
        images = np.flatnonzero(split.classes == label)
        if len(images) < 2:
            raise ValueError(f"class {label} has one training image, holding some out needs two")
        taken[rng.choice(images, max(1, round(share * len(images))), replace=False)] = True
    return _part(split, ~taken), _part(split, taken)


def _logits(net: Net, split: Split) -> FloatArray:
    """What the engine makes of the images, bytes as they are."""
    parts = range(0, len(split), _BATCH)
    return np.concatenate([net.infer(split.images[k : k + _BATCH]) for k in parts])


def _confusion(logits: FloatArray, classes: Classes) -> list[list[int]]:
    counts = np.zeros((logits.shape[1], logits.shape[1]), np.int64)
    np.add.at(counts, (classes, logits.argmax(1)), 1)
    return [[int(count) for count in row] for row in counts]


def _measured_seconds(net: Net) -> float:
    """Latency of one image: the median of calls."""
    image = np.zeros((1, net.input_shape[1], net.input_shape[2], net.input_shape[0]), np.uint8)
    return time_interleaved({"net": lambda: net.infer(image)}, seconds=0.2)["net"].median


def _middle(split: Split, spec: InputSpec) -> Split:
    return Split(middle(split.images, spec), split.classes, split.names)


def _part(split: Split, chosen: Any) -> Split:
    names = [split.names[k] for k in np.flatnonzero(chosen)]
    return Split(split.images[chosen], split.classes[chosen], names)
