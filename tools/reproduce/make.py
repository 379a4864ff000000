"""Makes the runs behind docs/reproduction.md; continues where it was stopped.

    python tools/reproduce/make.py RUNS --data FOLDER
    python tools/reproduce/make.py RUNS --data FOLDER --only 'imagenette'

FOLDER holds imagenette-224.tar, imagenet10-64.tar, cifar10.tar.zst and squeezenet1_1.pth. Hours:
each run is one process with one thread, so commands for different runs can go side by side.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

from experiments import EXPERIMENTS, Experiment


def command(experiment: Experiment, runs: Path, data: Path) -> list[str]:
    """What makes it, or continues it."""
    folder = runs / experiment.name
    begun = [sys.executable, "-m", "squishnative", experiment.command, "-o", str(folder)]
    if any(folder.glob("checkpoint.pt")) or any(folder.glob("generation-*/*.json")):
        return [*begun, "--resume"]
    options = {"data": data / experiment.data, **experiment.options}
    if experiment.init is not None:
        options["init"] = data / experiment.init
    if experiment.ancestor is not None:
        options["ancestor"] = runs / experiment.ancestor / "net.squish"
    for name, given in options.items():
        for value in given if isinstance(given, tuple) else (given,):
            begun += [f"--{name}", str(value)]
    return begun


def chosen(pattern: str) -> list[Experiment]:
    """Those of matching names and what they descend from, ancestors first."""
    wanted = {experiment.name for experiment in EXPERIMENTS if fnmatch(experiment.name, pattern)}
    wanted |= {experiment.ancestor or "" for experiment in EXPERIMENTS if experiment.name in wanted}
    return [experiment for experiment in EXPERIMENTS if experiment.name in wanted]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, metavar="RUNS")
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--only", default="*", metavar="PATTERN", help="of names; their dense nets are made first"
    )
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    for experiment in chosen(options.only):
        line = command(experiment, options.runs, options.data)
        print("squish", *line[3:], flush=True)
        status = subprocess.run(line).returncode
        if status == 1 and any((options.runs / experiment.name).glob("family/*.json")):
            print(f"make.py: {experiment.name} missed what was asked of it", flush=True)
        elif status:
            sys.exit(f"make.py: {experiment.name} failed")


if __name__ == "__main__":
    main()
