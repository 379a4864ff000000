"""Crops that are made once: what they are, who sees them, what they change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pictures import SIZE
from squishnative.spec import InputSpec
from squishnative.train import run
from squishnative.train.augment import augment, normalise
from squishnative.train.dataset import Dataset
from squishnative.train.recipe import Recipe
from squishnative.train.run import Settings, begin, train
from squishnative.train.seeds import mix
from squishnative.train.teacher import Taught
from squishnative.train.views import Views

SPEC = InputSpec(height=SIZE, width=SIZE, resize=SIZE)

pytestmark = pytest.mark.usefixtures("one_thread")


class Looker:
    """A teacher that remembers what it was shown; of an image it says its mean."""

    def __init__(self) -> None:
        self.images = 0

    def __call__(self, x: torch.Tensor) -> Taught:
        self.images += len(x)
        return Taught(x.mean((2, 3)), x.amax((2, 3)))


def views_of(data: Dataset, teacher: Looker, count: int = 2, seed: int = 0) -> Views:
    return Views(data.train, SPEC, Recipe(views=count, scale=0.5), seed, teacher)


def test_a_teacher_looks_at_each_view_once(data: Dataset) -> None:
    teacher = Looker()
    views, everyone = views_of(data, teacher), torch.arange(len(data.train))
    for number, looked in ((0, 1), (0, 1), (1, 2), (2, 2), (7, 2)):
        x, taught = views.take(number, everyone)
        assert taught is not None
        assert torch.equal(taught.logits, x.mean((2, 3)))
        assert taught.features is not None
        assert torch.equal(taught.features, x.amax((2, 3)))
        assert teacher.images == looked * len(data.train)


def test_views_are_counted_in_a_circle(data: Dataset) -> None:
    views, some = views_of(data, Looker(), count=3), torch.tensor([5, 0, 2])
    first, second, fourth = (views.take(number, some)[0] for number in (0, 1, 3))
    assert torch.equal(first, fourth)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("kept", [True, False], ids=["views", "fresh"])
def test_crops_are_the_same_in_mixed_precision(data: Dataset, kept: bool) -> None:
    """Coordinates in bfloat16 moved them, and who asked first mattered."""

    def crops() -> torch.Tensor:
        if kept:
            return views_of(data, Looker()).take(0, torch.arange(len(data.train)))[0]
        generator, images = torch.Generator().manual_seed(1), torch.from_numpy(data.train.images)
        return augment(images, (SIZE, SIZE), Recipe(), generator)

    wanted = crops()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(crops(), wanted)


def test_images_are_those_that_were_chosen(data: Dataset) -> None:
    views = views_of(data, Looker())
    everyone, _ = views.take(0, torch.arange(len(data.train)))
    chosen, _ = views.take(0, torch.tensor([7, 3]))
    assert torch.equal(chosen, everyone[[7, 3]])
    assert chosen.shape == (2, 3, SIZE // 2, SIZE // 2)


def test_the_seed_decides(data: Dataset) -> None:
    def look(seed: int, first: int) -> torch.Tensor:
        views = views_of(data, Looker(), seed=seed)
        views.take(first, torch.tensor([0]))
        return views.take(1, torch.tensor([4, 2]))[0]

    assert torch.equal(look(1, first=0), look(1, first=1))  # not the order they were asked for in
    assert not torch.equal(look(1, first=0), look(2, first=0))


def test_a_net_without_a_teacher_has_views_too(data: Dataset) -> None:
    x, taught = Views(data.train, SPEC, Recipe(views=1), 0).take(0, torch.tensor([1]))
    assert x.shape == (1, 3, SIZE, SIZE)
    assert taught is None


@pytest.mark.parametrize("views", [0, 2])
def test_a_killed_distillation_continues_to_the_same_bits(
    views: int, pictures: Path, data: Dataset, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=4, batch=12, lr=0.05, views=views)
    plain = Settings(str(pictures), width=0.25, size=SIZE, resize=SIZE, recipe=recipe)
    begin(tmp_path / "teacher", plain)
    teacher = train(tmp_path / "teacher", lambda _: None, data=data)
    nets = []
    for name, kill_after in (("whole", 0), ("killed", 3)):
        begin(tmp_path / name, Settings(**{**plain.__dict__, "teacher": str(teacher)}))

        def kill(progress: run.Progress, at: int = kill_after) -> None:
            if progress.epoch.number == at:
                raise KeyboardInterrupt

        if kill_after:
            with pytest.raises(KeyboardInterrupt):
                train(tmp_path / name, kill, data=data)
        nets.append(train(tmp_path / name, lambda _: None, data=data).read_bytes())
    assert nets[0] == nets[1]
    assert nets[0] != teacher.read_bytes()


def test_crops_are_augmentations_rounded_to_whole_pixels(data: Dataset) -> None:
    recipe = Recipe(views=2)
    x, _ = Views(data.train, SPEC, recipe, 3).take(1, torch.arange(10))
    images = torch.from_numpy(data.train.images[:64])  # as many as are cut at a time
    generator = torch.Generator().manual_seed(mix(3, 1))
    exact = normalise(augment(images, (SIZE, SIZE), recipe, generator)[:10], SPEC)
    half_a_level = 0.5 / 255 / min(SPEC.std)
    assert float((x - exact).abs().max()) <= half_a_level * 1.001


def test_mixed_images_have_no_views() -> None:
    with pytest.raises(ValueError, match=r"views: got 4 with mixup 0\.2"):
        Recipe(views=4, mixup=0.2)
