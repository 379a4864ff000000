"""The engine in integers beside the reference in Python, which shares no code with it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import squishnative
from nets import random_net
from squishnative.evolve.clusters import members, sums
from squishnative.reference import integer_logits
from squishnative.spec import INPUT, Activation, Conv, Fire, InputSpec, NetSpec
from squishnative.timing import time_interleaved
from squishnative.train.architecture import squeezenet


def held_in_bytes(spec: NetSpec, seed: int) -> NetSpec:
    """The net with an activation for each convolution: random scales and zeros."""
    rng = np.random.default_rng(seed)

    def some() -> Activation:
        zero = int(rng.integers(0, 256)) if rng.random() < 0.5 else 0
        return Activation(float(np.float32(rng.uniform(0.004, 0.03))), zero)

    sources = spec.activation_sources()
    read = {source: some() for source in [INPUT, *range(len(spec.layers))]}
    for layer in spec.layers:
        if isinstance(layer, Conv):
            layer.conv.activation = read[sources[layer.input]]
        elif isinstance(layer, Fire):
            layer.squeeze.activation = read[sources[layer.input]]
            squeezed = some()
            for expand in (layer.expand1x1, layer.expand3x3):
                if expand is not None:
                    expand.activation = squeezed
    return spec


@pytest.mark.parametrize("seed", range(16))
def test_engine_and_reference_agree_to_the_bit(seed: int, tmp_path: Path) -> None:
    spec, images = random_net(seed)
    file = tmp_path / "net.squish"
    held_in_bytes(spec, seed).save(file, "i8" if seed % 2 else "i4")
    pixels = np.random.default_rng(seed).integers(
        0, 256, (2, *images.shape[2:], images.shape[1]), np.uint8
    )
    for batch in (images, pixels):
        wanted = integer_logits(file, batch)
        for isa in squishnative.available_isas():
            net = squishnative.load(file, isa=isa, storage="i8")
            np.testing.assert_array_equal(net.infer(batch), wanted)
        np.testing.assert_array_equal(
            squishnative.load(file, device="reference").infer(batch), wanted
        )


def test_floats_of_the_same_file(tmp_path: Path) -> None:
    spec, images = random_net(3)
    plain, held = tmp_path / "plain.squish", tmp_path / "held.squish"
    spec.save(plain, "i8")
    held_in_bytes(spec, 3).save(held, "i8")
    net = squishnative.load(held, storage="f32")
    assert net.storage == "f32"
    np.testing.assert_array_equal(net.infer(images), squishnative.load(plain).infer(images))
    with pytest.raises(ValueError, match="not made for integer arithmetic: layer 0"):
        squishnative.load(plain, storage="i8")


def test_what_a_net_in_integers_says_of_itself(tmp_path: Path) -> None:
    file = tmp_path / "net.squish"
    held_in_bytes(random_net(5)[0], 5).save(file, "i8")
    net = squishnative.load(file, storage="i8")
    assert net.storage == "i8"
    assert " i8, 1 thread" in repr(net)
    assert "i8_cluster_16x4_" in net.explain()
    assert "the file is made for integer arithmetic" in net.explain()
    assert net.model.why_not_in_integers == ""
    floats = squishnative.load(file, storage="f32")
    assert "in floats, though the file is made for integers (storage i8)" in floats.explain()


@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.parametrize(("dtype", "density"), [("i8", 0.15), ("i4", 1.0)])
def test_auto_takes_what_is_faster(dtype: str, density: float, tmp_path: Path) -> None:
    """Or what is nearly as fast: without dot products these two differ by 2.5 and 0.6 times."""
    spec, rng = squeezenet("1.1", 10), np.random.default_rng(1)
    for layer in spec.layers:
        for _, conv in layer.named_convs():
            alive = rng.random(sums(conv.weight).shape) < density
            conv.weight = conv.weight * members(alive, conv.weight.shape)
    spec.input = InputSpec(height=96, width=96)
    file = tmp_path / "net.squish"
    held_in_bytes(spec, 1).save(file, dtype)
    pixels = np.zeros((1, 96, 96, 3), np.uint8)
    for isa in squishnative.available_isas():
        nets = {s: squishnative.load(file, isa=isa, storage=s) for s in ("f32", "i8")}
        chosen = squishnative.load(file, isa=isa).storage
        calls = {storage: partial(net.infer, pixels) for storage, net in nets.items()}
        least = {storage: t.minimum for storage, t in time_interleaved(calls, 0.3).items()}
        assert least[chosen] < 1.5 * min(least.values()), (isa, least)
