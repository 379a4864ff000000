from __future__ import annotations

from dataclasses import replace

import pytest
from squishnative.evolve.individual import Individual
from squishnative.evolve.selection import dominates, fittest, front, spread
from squishnative.evolve.synthesis import slower_than_forecast


def individual(fitness: float, size: int, seconds: float, generation: int = 1) -> Individual:
    return Individual(
        generation=generation,
        number=0,
        mature=False,
        parents=[],
        fitness=fitness,
        val_accuracy=fitness,
        dtype="i8",
        bytes={"i8": size},
        seconds_predicted=seconds,
        seconds=seconds,
        storage="i8",
        density=1.0,
        densities={},
        genes={},
        confusion=[],
    )


def test_the_front_is_those_that_nobody_beats() -> None:
    good, small_, fast = individual(0.9, 9, 9), individual(0.8, 5, 9), individual(0.8, 9, 5)
    worse, twin = individual(0.8, 9, 9), individual(0.9, 9, 9)
    everyone = [worse, small_, good, fast, twin]
    assert front(everyone) == [small_, good, fast, twin]
    assert fittest(everyone)[-1] is worse
    assert fittest(everyone)[0].fitness == 0.9
    assert dominates(good, worse)
    assert not dominates(good, twin)


class TestSpread:
    def test_sizes_are_even_steps_from_the_largest_to_the_smallest(self) -> None:
        sizes = [1600, 1100, 800, 410, 390, 200, 100]
        everyone = [individual(1 - g / 10, size, size, g) for g, size in enumerate(sizes)]
        for count, wanted in (
            (5, [1600, 800, 410, 200, 100]),
            (3, [1600, 410, 100]),
            (2, [1600, 100]),
            (9, sizes),
        ):
            assert [i.shipped_bytes for i in spread(everyone, count)] == wanted
        assert [i.shipped_bytes for i in spread(everyone, 1)] == [100]

    def test_of_each_generation_the_fittest_whatever_the_young_of_others_do(self) -> None:
        ancestor = individual(0.9, 900, 9, 0)
        sick, well = individual(0.5, 400, 4), individual(0.8, 410, 4)
        last = individual(0.85, 300, 3, 2)
        assert spread([ancestor, sick, well], 5) == [ancestor, well]
        assert spread([ancestor, sick, well, last], 5) == [ancestor, well, last]


def test_forecasts_learn_from_what_was_measured() -> None:
    def measured(seconds: float, generation: int = 1) -> Individual:
        return replace(individual(0.9, 9, 1e-3, generation), seconds=seconds)

    assert slower_than_forecast([measured(1.1e-3), measured(1.2e-3)]) == pytest.approx(1.15)
    assert slower_than_forecast([measured(5e-3)]) == 1.25  # a busy machine
    assert slower_than_forecast([measured(1e-5)]) == 0.8
    assert slower_than_forecast([measured(5e-3, generation=0)]) == 1.0
