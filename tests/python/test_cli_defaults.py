"""The settings of Python and the options of the commands: one default for each."""

from __future__ import annotations

import inspect
from typing import Any, Callable

from squishnative.cli.evolve import evolve as evolve_command
from squishnative.cli.train import train as train_command
from squishnative.evolve.run import Settings as EvolveSettings
from squishnative.train.recipe import rate
from squishnative.train.run import Settings as TrainSettings


def of_command(command: Callable[..., None]) -> dict[str, Any]:
    parameters = inspect.signature(command).parameters.values()
    found = {one.name: one.default for one in parameters if one.default is not one.empty}
    return {
        **found,
        "torch_threads": found["threads"],
        "threads": found.get("engine_threads"),
        "lr": rate(found["lr"], found["optimiser"]),
    }


def of_settings(settings: Any) -> dict[str, Any]:
    return {**settings.recipe.to_dict(), **settings.__dict__}


def assert_shared(options: dict[str, Any], settings: dict[str, Any], *names: str) -> None:
    shared = (options.keys() & settings.keys()) - {"data", "ancestor", "max_bytes", "threads"}
    assert {name: options[name] for name in shared} == {name: settings[name] for name in shared}
    assert {"lr", "epochs", "crop", "seed", "torch_threads", *names} <= shared


def test_train() -> None:
    assert_shared(of_command(train_command), of_settings(TrainSettings("photos")), "size", "width")


def test_evolve() -> None:
    options = of_command(evolve_command)
    settings = of_settings(EvolveSettings("photos", "net.squish", max_bytes=1e5))
    assert_shared(options, settings, "family", "strategy", "mature_epochs", "engine_device")
    assert options["threads"] == settings["threads"]
