"""Small nets, budgets and settings for the tests of evolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import squishnative
import torch
from nets import SqueezeNet
from pictures import SIZE
from squishnative.convert.squeezenet import from_state_dict
from squishnative.evolve.budget import Planner
from squishnative.evolve.clusters import genome_of
from squishnative.evolve.environment import Environment
from squishnative.evolve.offspring import Heredity, Sample
from squishnative.evolve.run import Settings
from squishnative.spec import FloatArray, InputSpec, NetSpec
from squishnative.train.architecture import squeezenet
from squishnative.train.dataset import Dataset
from squishnative.train.geometry import as_input
from squishnative.train.recipe import Recipe


def small(seed: int = 0) -> NetSpec:
    spec = squeezenet("1.1", 3, width=0.25, seed=seed)
    spec.input = InputSpec(height=SIZE, width=SIZE, resize=SIZE)
    return spec


def uneven(seed: int = 0) -> NetSpec:
    """Fires of widths that are no multiples of 16, nor of 4."""
    torch.manual_seed(seed)
    module = SqueezeNet("1.1", 3, 3, ((26, 50, 66),) * 4 + ((39, 53, 65),) * 4)
    spec = from_state_dict({name: tensor.numpy() for name, tensor in module.state_dict().items()})
    spec.input = InputSpec(height=SIZE, width=SIZE, resize=SIZE)
    return spec


def environment(spec: NetSpec) -> Environment:
    return Environment(dict.fromkeys(genome_of(spec), 1e-06), 1e-5, "test", "f32")


def planner(spec: NetSpec, dtype: str = "i8", width: int = 1) -> Planner:
    return Planner(spec, environment(spec), dtype, width)


def sample(data: Dataset, spec: NetSpec) -> Sample:
    return Sample(
        as_input(data.train.images[::3], spec.input), torch.from_numpy(data.train.classes[::3])
    )


def settings(pictures: Path, ancestor: Path, **wanted: object) -> Settings:
    default: dict[str, object] = {
        "max_bytes": 12e3,
        "generations": 2,
        "population": 2,
        "family": 2,
        "mature_epochs": 2,
        "recipe": Recipe(epochs=1, batch=12),
        "heredity": Heredity(candidates=2),
    }
    return Settings(str(pictures), str(ancestor), **{**default, **wanted})  # type: ignore[arg-type]


def assert_same(a: NetSpec, b: NetSpec, batch: FloatArray, folder: Path) -> None:
    def logits(spec: NetSpec) -> FloatArray:
        spec.save(folder / "net.squish")
        with squishnative.load(folder / "net.squish", device="reference") as net:
            return net.infer(batch)

    wanted = logits(a)
    np.testing.assert_allclose(logits(b), wanted, rtol=1e-6, atol=1e-6 * abs(wanted).max())
