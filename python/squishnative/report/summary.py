"""The figures of a report, read from run folders; `report.json` is these and nothing else."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from squishnative.evolve import run
from squishnative.evolve.clusters import members, sums
from squishnative.evolve.individual import Individual
from squishnative.evolve.selection import beats
from squishnative.evolve.settings import Settings
from squishnative.spec import ConvSpec, NetSpec
from squishnative.train.run import read_net

IMAGENET_CLASSES = 1000
# arXiv 1711.07459, abstract: SqueezeNet v1.1 for an unpublished "ImageNet-10"; (bytes, accuracy).
PAPER = ((2.4e6, 0.812), (0.95e6, 0.77))
PAPER_SPEEDS = (156, 256)  # images/s of the same two nets on a Jetson TX1


@dataclass(frozen=True)
class Factors:
    """What makes a file smaller than the 1000-class float32 net; their product is the whole.

    head: fewer classes. evolution: fewer weights. encoding: what bitmaps of clusters cost, and what
    leaving out single zeros and entropy coding save. precision: fewer bits a weight.
    """

    head: float
    evolution: float
    encoding: float
    precision: float

    @property
    def total(self) -> float:
        """Their product."""
        return self.head * self.evolution * self.encoding * self.precision


@dataclass(frozen=True)
class Member:
    """An individual as the report shows it."""

    individual: Individual
    live_weights: int
    macs: int  # of one image, in living 16x1 clusters; integers multiply the zeros of 16x4, too
    factors: Factors


@dataclass(frozen=True)
class Summary:
    """A run."""

    name: str
    settings: Settings
    machine: str
    labels: list[str]
    input_size: tuple[int, int]
    members: list[Member]

    @property
    def ancestor(self) -> Member:
        """The dense net, float32."""
        return self.members[0]

    @property
    def is_shipped(self) -> bool:
        """Whether there is a family already."""
        return any(m.individual.mature for m in self.members)

    @property
    def shown(self) -> list[Member]:
        """The ancestor and the family, or the young while there is none; largest first."""
        family = [m for m in self.members if m.individual.mature] or self.members[1:]
        return [self.ancestor, *sorted(family, key=lambda m: -m.individual.shipped_bytes)]

    def beaten_by(self, member: Member) -> Optional[str]:
        """The name of a net that is shown and nowhere worse, of as few bytes as there is; or None.

        Fewer right val images, a larger file or more time is worse; equal nets do not beat.
        """

        def costs(m: Member) -> tuple[float, float, float]:
            return m.individual.shipped_bytes, -m.individual.val_accuracy, m.individual.seconds

        better = [m for m in self.shown if beats(costs(m), costs(member))]
        return min(better, key=costs).individual.name if better else None

    def to_dict(self) -> dict[str, Any]:
        """For report.json."""
        return {
            "run": self.name,
            "settings": self.settings.to_dict(),
            "machine": self.machine,
            "labels": self.labels,
            "input_size": self.input_size,
            "members": [
                {
                    **asdict(m.individual),
                    "name": m.individual.name,
                    "live_weights": m.live_weights,
                    "macs": m.macs,
                    "factors": {**asdict(m.factors), "total": m.factors.total},
                    "beaten_by": self.beaten_by(m) if m in self.shown else None,
                }
                for m in self.members
            ],
        }


def summarise(folder: Path) -> Summary:
    """Reads a run folder. Raises ValueError where it holds no individual yet, OSError on none."""
    settings = run.saved_settings(folder)
    found = run.young(folder) + run.family(folder)
    if not found:
        raise ValueError(f"'{folder}': a run without an individual yet")
    ancestor = _read(folder, found[0])
    members = []
    for individual in found:
        spec = _read(folder, individual)
        live = live_weights(spec)
        members.append(
            Member(
                individual,
                live,
                _macs(spec),
                factors_of(individual, spec, found[0].bytes["f32"], ancestor),
            )
        )
    machine = run.saved_environment(folder).machine
    size = (ancestor.input.height, ancestor.input.width)
    return Summary(folder.name, settings, machine, ancestor.labels, size, members)


def factors_of(
    individual: Individual, spec: NetSpec, ancestor_bytes: int, ancestor: NetSpec
) -> Factors:
    """The whole way from the 1000-class net to this file, cut into steps. spec: what it holds."""
    *_, (_, head) = (named for layer in ancestor.layers for named in layer.named_convs())
    more = (IMAGENET_CLASSES - head.out_channels) * (head.in_channels + 1)
    needed, stored, shipped = 4 * live_weights(spec), individual.bytes["f32"], individual.dtype
    compressed = len(spec.to_bytes(shipped)) / len(spec.to_bytes(shipped, compress=False))
    return Factors(
        head=(ancestor_bytes + 4 * more) / ancestor_bytes,
        evolution=ancestor_bytes / needed,
        encoding=needed / stored / compressed,
        precision=stored / individual.shipped_bytes * compressed,
    )


def live_weights(spec: NetSpec) -> int:
    """Weights of living clusters, those that rounding made zero among them; and biases."""
    convs = [conv for layer in spec.layers for _, conv in layer.named_convs()]
    return sum(_computed(conv) + conv.bias.size for conv in convs)


def _computed(conv: ConvSpec) -> int:
    """Weights that are stored and multiplied: the engine skips clusters, not single zeros."""
    return int(members(sums(conv.weight != 0) > 0, conv.weight.shape).sum())


def _macs(spec: NetSpec) -> int:
    total = 0
    image = (spec.input.channels, spec.input.height, spec.input.width)
    shapes = [*spec.shapes(), image]  # of layer -1, the input, too
    for k, layer in enumerate(spec.layers):
        for name, conv in layer.named_convs():
            inside = name.endswith("squeeze") or name == layer.name
            _, height, width = conv.output_shape(shapes[layer.inputs[0]]) if inside else shapes[k]
            total += _computed(conv) * height * width
    return total


def _read(folder: Path, individual: Individual) -> NetSpec:
    return read_net(str(folder / f"{individual.name}.squish"))
