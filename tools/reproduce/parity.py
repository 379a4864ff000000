"""Compares every net of run folders on the engine with PyTorch and float64, on all val images.

    python tools/reproduce/parity.py --data FOLDER_OR_TAR RUN...

A line a net: how far the engine's logits are from PyTorch's, how much of what rounding may add to
float64 they use, and how many images both call right. Fails where the bound or the count is not
met.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from squishnative import load, reference
from squishnative.train.dataset import Split, read_dataset
from squishnative.train.network import Network
from squishnative.train.run import read_net
from squishnative.train.trainer import logits_of

BATCH = 64


def nets_of(run: Path) -> list[Path]:
    """What a run ships: of `squish train` its net, of `squish evolve` the family."""
    return sorted([*run.glob("net.squish"), *run.glob("family/*.squish")])


def compare(file: Path, val: Split) -> tuple[str, bool]:
    """The line of a net, and whether all is as it must be."""
    with load(file, storage="f32") as net:
        parts = range(0, len(val), BATCH)
        ours = np.concatenate([net.infer(val.images[k : k + BATCH]) for k in parts])
    theirs = logits_of(Network(read_net(str(file)), normed=False), val.images)
    exact, bound = reference.run(file, val.images)
    used = float((abs(ours - exact) / bound).max())
    right = [int((logits.argmax(1) == val.classes).sum()) for logits in (ours, theirs, exact)]
    line = (
        f"{abs(ours - theirs).max():.1e} from PyTorch, largest logit {abs(theirs).max():.1f}, "
        f"{100 * used:.0f} % of the bound; right: engine {right[0]}, PyTorch {right[1]}, "
        f"float64 {right[2]} of {len(val)}"
    )
    return line, used <= 1 and right[0] == right[1] == right[2]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    options = parser.parse_args()
    files = [file for run in options.runs for file in nets_of(run)]
    if not files:
        sys.exit("parity.py: no nets in these folders")
    good, seen = True, None
    for file in files:
        spec = read_net(str(file)).input
        if spec != seen:
            val, seen = read_dataset(options.data, spec).val, spec
        line, fits = compare(file, val)
        good = good and fits
        print(f"{file}: {line}", flush=True)
    sys.exit(not good)


if __name__ == "__main__":
    main()
