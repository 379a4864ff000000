"""What `squish evolve` was asked for, and its place in the run's folder."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

from squishnative.evolve.budget import BYTES
from squishnative.evolve.clusters import WIDTHS
from squishnative.evolve.encoding import GROUPS
from squishnative.evolve.environment import Engine, Environment
from squishnative.evolve.offspring import Heredity
from squishnative.evolve.strategies import STRATEGIES
from squishnative.quantise import DTYPES
from squishnative.train.device import check_device
from squishnative.train.folders import begin_run, read_settings
from squishnative.train.recipe import LEARNING_RATES, Recipe

FORMAT = 8  # of the run folder; no two commands have the same
EVOLVE = "evolve"
PAPER = "paper"
AUTO = "auto"
STORAGES = (AUTO, "f32", "f16", "i8")
# Of young individuals, which come with their parents' features and have the ancestor to imitate:
# it alone is listened to, and crops are mild. The reproduction page says what was compared.
RECIPE = Recipe(
    epochs=6,
    optimiser="adamw",
    lr=LEARNING_RATES["adamw"],
    crop=0.6,
    distillation=1.0,
    temperature=4.0,
    hints=1.0,
)


@dataclass(frozen=True)
class Settings:
    """What `squish evolve` was asked for. Paths as they were given.

    max_bytes, max_seconds: the last generation's budget, of a file of `dtype`; earlier ones
    approach it geometrically from the ancestor's cost. max_drop: points of fitness that a
    generation may lose against the ancestor before the run ends. population: offspring a
    generation. parents: of each, at most. recipe: of one individual's training, at a learning rate
    that stays. family: how many nets are shipped. mature_epochs: of the training of each of those,
    with weights rounded as the file's and a learning rate that falls to 0. larger_bytes: files that
    are shipped besides max_bytes, instead of a family of nets of any sizes between. cluster_shape:
    what lives and dies, "16x1" or "16x4", outputs by inputs; in integers, one takes as long as the
    other; "auto" is "16x4" where they are computed and time is the only budget, but for the paper's
    way, which has clusters of its own. storage: what nets
    are shipped for, as in `squishnative.load`; "auto": for integers where dtype is "i8" or "i4".
    """

    data: str
    ancestor: str
    max_bytes: Optional[float] = None
    larger_bytes: tuple[float, ...] = ()
    max_seconds: Optional[float] = None
    max_drop: Optional[float] = None
    dtype: str = "i8"
    storage: str = AUTO
    cluster_shape: str = AUTO
    strategy: str = EVOLVE
    generations: int = 10
    population: int = 1
    parents: int = 2
    family: int = 5
    mature_epochs: int = 30
    # The paper's way: F_c, F_s, what a cluster is, and below which magnitude weights do not count.
    cluster_factor: float = 0.9
    synapse_factor: float = 0.9
    cluster: str = "filter"
    truncate_below: float = 0.0
    held_out: float = 0.1  # of the training images: what fitness is measured on
    threads: int = 1  # of the engine whose time is measured
    engine_device: str = "cpu"  # that it is measured on, as in `squishnative.load`
    seed: int = 0
    device: str = "cpu"  # PyTorch's
    torch_threads: int = 0  # PyTorch's, on which results depend; 0: its own choice
    recipe: Recipe = RECIPE
    heredity: Heredity = field(default_factory=Heredity)

    def __post_init__(self) -> None:
        """Raises ValueError on a setting out of range."""
        if self.strategy != PAPER and self.max_bytes is None and self.max_seconds is None:
            raise ValueError("wanted a budget: max_bytes, max_seconds or both")
        for name, most in (("max_bytes", self.max_bytes), ("max_seconds", self.max_seconds)):
            if most is not None and not 0 < most < math.inf:
                raise ValueError(f"{name}: got {most:g}, must be positive")
        if self.max_drop is not None and self.strategy in STRATEGIES:
            raise ValueError(f"max_drop: strategy {self.strategy!r} has no generations to end with")
        if self.larger_bytes:
            sizes = [self.max_bytes or 0.0, *self.larger_bytes]
            text = ", ".join(f"{size:g}" for size in sizes)
            if self.strategy != EVOLVE:
                raise ValueError(f"sizes: got {text}, but strategy {self.strategy!r} takes one")
            if not 0 < sizes[0] < min(self.larger_bytes) or len(set(sizes)) < len(sizes):
                raise ValueError(f"sizes: got {text}, must be positive and differ, smallest first")
        for name, value, least in (
            ("generations", self.generations, 1),
            ("population", self.population, 1),
            ("parents", self.parents, 1),
            ("family", self.family, 1),
            ("mature_epochs", self.mature_epochs, 1),
            ("threads", self.threads, 1),
            ("truncate_below", self.truncate_below, 0),
        ):
            if value < least:
                raise ValueError(f"{name}: got {value}, must be at least {least}")
        if self.parents > 5:
            raise ValueError(f"parents: got {self.parents}, must be at most 5")
        for name in ("cluster_factor", "synapse_factor"):
            if not 0 <= (factor := getattr(self, name)) <= 1:
                raise ValueError(f"{name}: got {factor}, must be 0 to 1")
        if self.cluster not in GROUPS:
            raise ValueError(f"cluster: got {self.cluster!r}, wanted one of {', '.join(GROUPS)}")
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.engine_device):
            got = self.engine_device
            raise ValueError(f"engine_device: got {got!r}, wanted cpu, cuda or cuda:1")
        if self.dtype not in BYTES:
            raise ValueError(f"dtype: got {self.dtype!r}, wanted one of {', '.join(BYTES)}")
        if self.storage not in STORAGES:
            known = ", ".join(STORAGES)
            raise ValueError(f"storage: got {self.storage!r}, wanted one of {known}")
        if self.storage == "i8" and self.dtype not in DTYPES:
            known = " or ".join(DTYPES)
            raise ValueError(f"dtype: got {self.dtype!r}, wanted {known} with storage 'i8'")
        if self.storage == "f16" and self.engine_device == "cpu":
            raise ValueError("storage: got 'f16', the engine's device 'cpu' has 'f32' and 'i8'")
        if self.cluster_shape not in (AUTO, *WIDTHS):
            known = ", ".join((AUTO, *WIDTHS))
            raise ValueError(f"cluster_shape: got {self.cluster_shape!r}, wanted one of {known}")
        if self.cluster_shape != AUTO and self.strategy == PAPER:
            got = self.cluster_shape
            raise ValueError(
                f"cluster_shape: got {got!r}, strategy 'paper' has clusters of its own"
            )
        if self.strategy not in (EVOLVE, PAPER, *STRATEGIES):
            known = ", ".join((EVOLVE, PAPER, *STRATEGIES))
            raise ValueError(f"strategy: got {self.strategy!r}, wanted one of {known}")

    def width(self, environment: Environment) -> int:
        """Input channels of a cluster."""
        if self.cluster_shape != AUTO:
            return WIDTHS[self.cluster_shape]
        only_time = self.max_seconds is not None and self.max_bytes is None
        return environment.inputs if only_time and self.strategy != PAPER else 1

    @property
    def engine(self) -> Engine:
        """That nets are measured on."""
        return Engine(self.engine_device, self.threads, self.storage, self.dtype)

    @property
    def epochs(self) -> int:
        """Of training in the whole run, if nothing ends it early; a rival ships a family of one."""
        shipped = self.family if self.strategy in (EVOLVE, PAPER) else 1
        if self.larger_bytes:
            shipped = 1 + len(self.larger_bytes)
        young = self.generations * self.population * self.recipe.epochs
        return young + shipped * self.mature_epochs

    def to_dict(self) -> dict[str, Any]:
        """For settings.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """The inverse. Raises TypeError or ValueError on names and values that are none."""
        nested = {"recipe": Recipe(**values["recipe"]), "heredity": Heredity(**values["heredity"])}
        return cls(**{**values, **nested, "larger_bytes": tuple(values["larger_bytes"])})


def begin(folder: Path, settings: Settings) -> None:
    """Makes the folder of a new run.

    Raises FileExistsError where one has come to something or files are another's, RuntimeError
    where another process runs it, ValueError on a device that is not here.
    """
    check_device(settings.device)
    begin_run(folder, FORMAT, settings.to_dict())


def saved_settings(folder: Path) -> Settings:
    """Of a run that was begun. Raises ValueError on another version's folder, OSError on none."""
    return read_settings(folder, FORMAT, Settings.from_dict)
