"""Measures this engine and others on the same nets, interleaved in one run, and prints Markdown.

    python tools/bench/compare.py NET.squish... --batch 1 8 --json results.json
    python tools/bench/compare.py NET.squish... --data photos

Every net is exported to ONNX, which the other engines read or convert. Before anything is timed,
each engine's logits are compared with ours in float32. Engines that cannot run are named and left
out. Those called -int8 run one net of integers, ours as its .squish file and the others as `squish
export --integers` writes it: the net's own where its file is made for integers, otherwise as
`squish quantise` makes it. Images are noise; with --data they are its photographs, some of those to
train with tell an int8 net its ranges, and it is counted how many of the others each engine gets
right.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt
import squishnative
from peers import INT8, OURS, PEERS, PeerError, Run, Task, in_batches, version
from squishnative.export import export
from squishnative.spec import FloatArray
from squishnative.timing import Timing, time_interleaved

Pixels = npt.NDArray[np.uint8]  # (N, H, W, C)

# Engines may use algorithms of their own, Winograd's with its larger errors among them; a wrong net
# or a wrong layout of its input is off by far more than this share of the largest logit.
PARITY, PARITY_INT8 = 1e-3, 0.1
# Calls an engine makes in a row: a user's program runs one engine, with warm caches.
TURN = 5
CALIBRATED = 200  # photographs that int8 is calibrated with, at least


@dataclass(frozen=True)
class Rival:
    """One engine with one net, ready to run."""

    engine: str
    net: str
    run: Run
    images: FloatArray
    difference: float  # of logits from ours: the largest, as a share of our largest logit
    accuracy: Optional[float]  # 0..1, where there are photographs


@dataclass(frozen=True)
class Entry:
    """What was measured of a rival; seconds are an image's."""

    engine: str
    net: str
    difference: float
    seconds: Timing
    accuracy: Optional[float] = None


@dataclass(frozen=True)
class Comparison:
    """Every engine on every net, with batches of one size. Our engine comes first."""

    batch: int
    entries: list[Entry]
    left_out: dict[str, str]  # engine: why

    def markdown(self, titles: Optional[Mapping[str, str]] = None) -> str:
        """A table whose rows are engines, whose columns are nets, under their names or `titles`."""
        nets = list(dict.fromkeys(entry.net for entry in self.entries))
        engines = list(dict.fromkeys(entry.engine for entry in self.entries))
        found = {(entry.engine, entry.net): entry for entry in self.entries}
        heads = [(titles or {}).get(net, net) for net in nets]
        rows = [[f"batch {self.batch}", *heads], ["---"] + ["---:"] * len(nets)]
        for engine in engines:
            cells = [_cell(found.get((engine, net)), found[engines[0], net]) for net in nets]
            rows.append([engine, *cells])
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        lines += [f"\nLeft out: {engine}, {why}." for engine, why in self.left_out.items()]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        entries = [{**asdict(entry), "seconds": entry.seconds._asdict()} for entry in self.entries]
        return {"batch": self.batch, "entries": entries, "left_out": self.left_out}


def _cell(entry: Optional[Entry], ours: Entry) -> str:
    """`1.23 / 1.31 (2.50x), 91.81 %`: milliseconds, least and median, times ours, accuracy."""
    if entry is None:
        return "–"
    text = f"{1e3 * entry.seconds.minimum:.2f} / {1e3 * entry.seconds.median:.2f}"
    if entry is not ours:
        text += f" ({_times(entry, ours):.2f}x)"
    return text if entry.accuracy is None else f"{text}, {100 * entry.accuracy:.2f} %"


def _times(entry: Entry, ours: Entry) -> float:
    return entry.seconds.minimum / ours.seconds.minimum


def compare(
    nets: Sequence[Path],
    batch: int,
    threads: int,
    seconds: float,
    engines: Sequence[str],
    data: Optional[str] = None,
) -> Comparison:
    """Times our engine and `engines` (keys of PEERS) on all nets in turn, `seconds` for each pair.

    data: photographs, a folder or tar file as `squish train` takes; needs the extra [train].
    Raises ValueError where an engine's logits are not ours: then it does not run the same net.
    """
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        rivals = [
            rival
            for k, net in enumerate(nets)
            for rival in _rivals(
                net, batch, threads, engines, Path(folder) / str(k), left_out, data
            )
        ]
        calls = {str(k): partial(rival.run, rival.images) for k, rival in enumerate(rivals)}
        timings = time_interleaved(calls, seconds, turn=TURN)
    entries = []
    for rival, timing in zip(rivals, timings.values()):
        minimum, median, p90 = (seconds / batch for seconds in timing[:3])
        an_image = Timing(minimum, median, p90, timing.calls)
        entries.append(Entry(rival.engine, rival.net, rival.difference, an_image, rival.accuracy))
    return Comparison(batch, entries, left_out)


def _rivals(
    net: Path,
    batch: int,
    threads: int,
    engines: Sequence[str],
    folder: Path,
    left_out: dict[str, str],
    data: Optional[str],
) -> Iterator[Rival]:
    """Ours, then every peer that runs; the reasons of the others go to `left_out`.

    folder: of this net alone, for the files of the peers.
    """
    folder.mkdir()
    ours = squishnative.load(net, threads=threads, storage="f32")
    shape = (batch, *ours.input_shape)
    photographs = None if data is None else _read_photographs(data, net)
    pixels = photographs.to_train if photographs else _noise(shape)
    task = Task(net, folder / f"{net.stem}.onnx", shape, threads, calibration=pixels)
    images = (
        next(in_batches(photographs.others, batch)) if photographs else _normalised(pixels, ours)
    )
    logits = ours.infer(images)

    def accuracy(run: Run) -> Optional[float]:
        return photographs.accuracy(run, batch) if photographs else None

    name = f"{OURS} {squishnative.__version__}, {ours.isa}"
    yield Rival(name, net.stem, ours.infer, images, 0.0, accuracy(ours.infer))
    export(net, task.onnx)
    for engine in engines:
        if engine in left_out:
            continue
        try:
            run = PEERS[engine](task)
        except ImportError as error:
            left_out[engine] = f"not installed ({error})"
            continue
        except PeerError as error:
            left_out[engine] = str(error)
            continue
        bound = PARITY_INT8 if engine.endswith(INT8) else PARITY
        difference = _difference(f"{engine} on {net.stem}", run(images), logits, bound)
        yield Rival(f"{engine} {version(engine)}", net.stem, run, images, difference, accuracy(run))


def _noise(shape: tuple[int, int, int, int]) -> Pixels:
    count, channels, height, width = shape
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), np.uint8)


def _normalised(pixels: Pixels, net: squishnative.Net) -> FloatArray:
    """(N, H, W, C) -> (N, C, H, W) float32."""
    mean, std = (np.array(values, np.float32) for values in (net.model.mean, net.model.std))
    values = (pixels.astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


@dataclass(frozen=True)
class Photographs:
    """Of the size that a net eats; the others normalised: (N, C, H, W)."""

    to_train: Pixels  # CALIBRATED of them
    others: FloatArray
    classes: npt.NDArray[np.int64]  # of the others

    def accuracy(self, run: Run, batch: int) -> float:
        """The share of the others that get their class."""
        logits = np.concatenate([np.array(run(part)) for part in in_batches(self.others, batch)])
        return float((logits[: len(self.others)].argmax(1) == self.classes).mean())


def _read_photographs(data: str, net: Path) -> Photographs:
    import torch  # takes seconds
    from squishnative.train.augment import normalise
    from squishnative.train.dataset import read_dataset
    from squishnative.train.geometry import as_input
    from squishnative.train.run import read_net

    net_spec = read_net(str(net))
    spec = net_spec.input
    found = read_dataset(data, spec)
    if found.labels != net_spec.labels:
        raise ValueError(f"'{net}': knows other classes than the photographs in '{data}'")
    some = found.train.images[:: max(1, len(found.train.images) // CALIBRATED)]
    views = as_input(some, spec).permute(0, 2, 3, 1).numpy()
    mean, std = (np.array(values, np.float32) for values in (spec.mean, spec.std))
    pixels = np.rint((views * std + mean) * 255)
    return Photographs(
        pixels.clip(0, 255).astype(np.uint8),
        normalise(torch.from_numpy(found.val.images).permute(0, 3, 1, 2).float(), spec).numpy(),
        found.val.classes,
    )


def _difference(what: str, got: FloatArray, ours: FloatArray, bound: float) -> float:
    scale = float(np.abs(ours).max())
    if got.shape != ours.shape or scale == 0:
        raise ValueError(f"{what}: logits {got.shape}, ours are {ours.shape}, at most {scale}")
    difference = float(np.abs(got - ours).max()) / scale
    if not difference <= bound:
        raise ValueError(
            f"{what}: logits differ by {difference:.2g} of the largest, rounding is below {bound}"
        )
    return difference


def machine() -> str:
    """The CPU's model where the system names it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.split(": ", 1)[1] for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def load_average() -> Optional[float]:
    """Programs that wanted a CPU in the last minute, this one included; None where unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("nets", type=Path, nargs="+", metavar="NET.squish")
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="images a call [1]")
    parser.add_argument("--threads", type=int, default=1, help="threads of each engine [1]")
    parser.add_argument(
        "--seconds", type=float, default=2, help="time for each engine with each net [2]"
    )
    parser.add_argument("--engines", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--data", metavar="FOLDER_OR_TAR", help="photographs, to count right ones")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    if min(options.batch) < 1 or options.threads < 1 or options.seconds < 0:
        parser.error("--batch and --threads must be at least 1, --seconds not negative")
    before = load_average()
    try:
        comparisons = [
            compare(
                options.nets,
                batch,
                options.threads,
                options.seconds,
                options.engines,
                options.data,
            )
            for batch in options.batch
        ]
    except (OSError, ValueError) as error:
        sys.exit(f"compare.py: {error}")
    except ImportError as error:  # of a peer's library it is not an error
        sys.exit(f"compare.py: --data: {error}; the package's extra [train] has it")
    print(f"{machine()}, threads: {options.threads}. Milliseconds an image, least / median")
    print("(times ours, of the least).\n")
    print("\n\n".join(comparison.markdown() for comparison in comparisons))
    if options.json:
        report = {
            "machine": machine(),
            "threads": options.threads,
            "load_average": {"before": before, "after": load_average()},
            "comparisons": [comparison.as_dict() for comparison in comparisons],
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
