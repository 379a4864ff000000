"""Counts the photographs that get the same first label in fewer bits as in float32 on the CPU.

    python tools/bench/agreement.py --data FOLDER_OR_TAR dense/net.squish
    python tools/bench/agreement.py --data FOLDER_OR_TAR --device cuda --json agreement.json NET...

On all val images, with each net's weights stored anew as float32, f16 and int8 (--weights; of a net
that was trained for integers, only float32 and f16 tell something) and, where the device has it,
activations in f16. Fails where fewer than 99.5 % get the same.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from squishnative import DeviceError, load
from squishnative.spec import FloatArray
from squishnative.train.dataset import Images, read_dataset
from squishnative.train.run import read_net

LEAST = 0.995
BATCH = 64
WEIGHTS = ("f32", "f16", "i8")
STORAGE = {"cpu": ("f32",), "cuda": ("f32", "f16")}


@dataclass(frozen=True)
class Agreement:
    """Of one net, stored in one way, with itself in float32 on the CPU."""

    net: str
    weights: str  # as the file stores them
    storage: str  # of activations on the device
    images: int
    same: int  # first labels
    difference: float  # of logits, the largest, as a share of the largest logit

    @property
    def enough(self) -> bool:
        """Whether it is what is asked for."""
        return self.same >= LEAST * self.images


def agreements(
    file: Path, images: Images, device: str, stored_as: Sequence[str] = WEIGHTS
) -> Iterator[Agreement]:
    """images: (N, H, W, 3), of the net's own size."""
    spec = read_net(str(file))
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "net.squish"
        spec.save(stored, dtype="f32")
        wanted = _logits(stored, images, "cpu", "f32")
        for weights in stored_as:
            spec.save(stored, dtype=weights)
            for storage in STORAGE[device]:
                got = _logits(stored, images, device, storage)
                same = int((got.argmax(1) == wanted.argmax(1)).sum())
                difference = float(abs(got - wanted).max() / abs(wanted).max())
                yield Agreement(str(file), weights, storage, len(images), same, difference)


def _logits(file: Path, images: Images, device: str, storage: str) -> FloatArray:
    with load(file, device=device, storage=storage) as net:
        parts = range(0, len(images), BATCH)
        return np.concatenate([net.infer(images[k : k + BATCH]) for k in parts])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, metavar="FOLDER_OR_TAR")
    parser.add_argument("--device", choices=sorted(STORAGE), default="cpu")
    parser.add_argument("--weights", choices=WEIGHTS, nargs="+", default=WEIGHTS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("nets", type=Path, nargs="+", metavar="NET")
    options = parser.parse_args()
    found: list[Agreement] = []
    try:
        for file in options.nets:
            images = read_dataset(options.data, read_net(str(file)).input).val.images
            for agreement in agreements(file, images, options.device, options.weights):
                found.append(agreement)
                print(
                    f"{file}: weights {agreement.weights}, activations {agreement.storage}: "
                    f"{agreement.same} of {agreement.images} the same, logits differ by "
                    f"{agreement.difference:.1e}",
                    flush=True,
                )
    except (OSError, ValueError, DeviceError) as error:
        sys.exit(f"agreement.py: {error}")
    if options.json is not None:
        options.json.write_text(
            json.dumps([asdict(one) for one in found], indent=2) + "\n", encoding="utf-8"
        )
    sys.exit(not all(one.enough for one in found))


if __name__ == "__main__":
    main()
