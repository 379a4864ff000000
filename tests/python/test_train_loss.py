"""What a step of training minimises, against NumPy; and what moves beside it."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import pytest
import torch
from squishnative.train.dataset import Dataset
from squishnative.train.recipe import OPTIMISERS
from squishnative.train.teacher import Taught
from squishnative.train.trainer import Trainer, _beta
from training import trainer_of

pytestmark = pytest.mark.usefixtures("one_thread")

Doubles = npt.NDArray[np.float64]
CHOSEN = torch.tensor([0, 9, 18, 27, 30, 35])
SMOOTHING = 0.1


def log_softmax(logits: Doubles) -> Doubles:
    logits = logits - logits.max(1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)))


def cross_entropy(logits: Doubles, classes: npt.NDArray[np.int64]) -> float:
    wanted = np.full(logits.shape, SMOOTHING / logits.shape[1])
    wanted[np.arange(len(classes)), classes] += 1 - SMOOTHING
    return float(-(wanted * log_softmax(logits)).sum(1).mean())


class Watched:
    """A network's answers are these, whatever it sees; which is kept."""

    def __init__(self, trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = np.random.default_rng(3)
        self.own, self.theirs = (2 * rng.standard_normal((2, len(CHOSEN), 3))).astype(np.float64)
        self.images = torch.from_numpy(rng.standard_normal((len(CHOSEN), 3, 8, 8), np.float32))
        self.seen = torch.empty(0)
        monkeypatch.setattr(trainer.network, "forward_with_features", self._answer)
        monkeypatch.setattr(trainer, "_look", lambda *_: (self.images, None))

    def _answer(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen = x
        return torch.from_numpy(self.own), x.mean((2, 3))


@pytest.mark.parametrize(("distillation", "temperature"), [(1.0, 4.0), (0.3, 2.0), (0.5, 1.0)])
def test_distillation(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, distillation: float, temperature: float
) -> None:
    """Hinton et al. 2015: softened labels, times the square of what softened them."""
    trainer = trainer_of(data, distillation=distillation, temperature=temperature)
    assert trainer.recipe.label_smoothing == SMOOTHING
    watched = Watched(trainer, monkeypatch)
    trainer.teacher = lambda _: Taught(torch.from_numpy(watched.theirs), None)
    found = trainer._loss(CHOSEN, torch.Generator().manual_seed(1)).item()
    aim, own = (log_softmax(logits / temperature) for logits in (watched.theirs, watched.own))
    apart = (np.exp(aim) * (aim - own)).sum(1).mean()
    labels = cross_entropy(watched.own, data.train.classes[CHOSEN.numpy()])
    wanted = (1 - distillation) * labels + distillation * temperature**2 * apart
    assert found == pytest.approx(wanted, rel=1e-6)


def test_mixup(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zhang et al. 2018: labels are mixed as images are."""
    trainer = trainer_of(data, mixup=1.0)
    watched = Watched(trainer, monkeypatch)
    found = trainer._loss(CHOSEN, torch.Generator().manual_seed(5)).item()
    generator = torch.Generator().manual_seed(5)
    share = _beta(1.0, generator)
    partner = torch.randperm(len(CHOSEN), generator=generator)
    assert 0.1 < share < 0.9
    mixed = share * watched.images + (1 - share) * watched.images[partner]
    torch.testing.assert_close(watched.seen, mixed)
    classes = data.train.classes[CHOSEN.numpy()]
    own, others = (cross_entropy(watched.own, c) for c in (classes, classes[partner.numpy()]))
    assert own != pytest.approx(others, rel=1e-3)
    assert found == pytest.approx(share * own + (1 - share) * others, rel=1e-6)


@pytest.mark.parametrize("annealed", [True, False])
def test_the_rate_rises_and_falls_unless_others_continue(data: Dataset, annealed: bool) -> None:
    trainer = trainer_of(data, epochs=4, warmup=1.0, annealed=annealed, lr=0.5)
    steps = trainer.steps_per_epoch
    rates = [trainer.lr_of(step) for step in range(4 * steps)]
    assert rates[0] == pytest.approx(0.5 / steps)
    assert rates == sorted(rates[:steps]) + sorted(rates[steps:], reverse=True)
    half = rates[2 * steps]
    assert half == pytest.approx(0.25 if annealed else 0.5)
    assert rates[-1] < 0.05 if annealed else rates[-1] == 0.5


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_kernels_decay_and_nothing_else(data: Dataset, optimiser: str) -> None:
    trainer = trainer_of(data, optimiser=optimiser)
    decays = {
        id(p): group["weight_decay"]
        for group in trainer._optimiser.param_groups
        for p in group["params"]
    }
    for name, parameter in trainer.network.named_parameters():
        kernel = parameter.ndim == 4
        assert decays[id(parameter)] == (OPTIMISERS[optimiser] if kernel else 0), name
    assert len(decays) == len(list(trainer.network.parameters()))


def test_the_average_is_of_all_steps_at_first(data: Dataset) -> None:
    """So that the beginning is forgotten."""
    trainer = trainer_of(data, ema=0.25)
    wanted = copy.deepcopy(trainer.averaged.state_dict())
    for step, decay in ((1, 1 / 11), (2, 2 / 12), (9, 0.25)):
        with torch.no_grad():
            for parameter in trainer.network.parameters():
                parameter.add_(0.5)
        trainer.step = step
        trainer._average()
        now = trainer.averaged.state_dict()
        for name, _ in trainer.network.named_parameters():
            wanted[name] = decay * wanted[name] + (1 - decay) * trainer.network.state_dict()[name]
            torch.testing.assert_close(now[name], wanted[name])
