from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import squishnative
import torch
from nets import TorchNet, random_net
from squishnative import _core, reference
from squishnative.spec import Add, Fire, FloatArray, NetSpec
from squishnative.train.architecture import squeezenet, with_new_head
from squishnative.train.augment import augment, normalise
from squishnative.train.network import Network, rounded
from squishnative.train.recipe import Recipe
from squishnative.train.rescale import rescaled

SIZE = 48


def small(seed: int = 0) -> NetSpec:
    spec = squeezenet("1.1", 3, width=0.25, seed=seed)
    spec.input.height = spec.input.width = SIZE
    rng = np.random.default_rng(seed)
    for layer in spec.layers:
        for _, conv in layer.named_convs():
            conv.bias[:] = rng.normal(0, 0.1, conv.bias.shape)
    return spec


def images(count: int = 8, size: int = SIZE) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(1).standard_normal((count, 3, size, size), dtype=np.float32)
    )


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))


@pytest.mark.parametrize("seed", range(12))
def test_is_the_same_function_as_the_net(seed: int) -> None:
    """Any NetSpec: ceil and padded pools, bypasses, absent expands, odd sizes."""
    spec, batch = random_net(seed)
    with torch.no_grad():
        got = Network(spec, normed=False).eval()(torch.from_numpy(batch))
        wanted = TorchNet(spec)(torch.from_numpy(batch)).flatten(1)
    close(got, wanted)


@pytest.mark.parametrize("seed", range(12))
def test_batch_norms_do_not_change_the_function(seed: int) -> None:
    spec, _ = random_net(seed)
    x = images(4, spec.input.height)
    network = Network(spec)
    network.insert_batch_norms(x)
    with torch.no_grad():
        close(network.eval()(x), Network(spec, normed=False).eval()(x))


def test_inserted_norms_know_the_images() -> None:
    """In training mode, where norms use the batch, the function is the same one too."""
    spec, x = small(), images()
    network = Network(spec)
    network.insert_batch_norms(x)
    with torch.no_grad():
        wanted = Network(spec, normed=False).eval()(x)
        got = network.train()(x)
    torch.testing.assert_close(got, wanted, rtol=1e-2, atol=1e-2 * float(wanted.abs().max()))


def test_to_spec_folds_what_training_left(tmp_path: Path) -> None:
    network = Network(small())
    network.insert_batch_norms(images())
    network.train()
    for _ in range(3):
        network(images()).square().mean().backward()
        with torch.no_grad():
            for parameter in network.parameters():
                assert parameter.grad is not None
                parameter.sub_(0.01 * torch.sign(parameter.grad))
                parameter.grad = None
    file = tmp_path / "net.squish"
    network.to_spec().save(file)
    batch = images().numpy()
    exact, bound = reference.run(file, batch)
    with torch.no_grad(), squishnative.load(file) as net:
        assert (abs(net.infer(batch) - exact) <= bound).all()
        close(network.eval()(images()), torch.from_numpy(exact).float())


def test_rescaled_activations_have_unit_size_and_the_logits_stay() -> None:
    spec, x = small(), images()
    for layer in spec.layers[:-2]:
        for _, conv in layer.named_convs():
            conv.weight *= 3
    network = Network(rescaled(spec, x), normed=False).eval()
    sizes = []

    def look(conv: torch.nn.Module, y: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = conv(y)
        sizes.append(float(out.square().mean()))
        return out

    with torch.no_grad():
        wanted = Network(spec, normed=False).eval()(x)
        close(network.run(x, look), wanted)
    conv1, squeezes, expands = sizes[0], sizes[1:-1:3], (sizes[2::3], sizes[3:-1:3])
    np.testing.assert_allclose([conv1, *squeezes], 1, rtol=1e-3)
    np.testing.assert_allclose(np.mean(expands, axis=0), 1, rtol=1e-3)


def test_a_net_with_a_sum_is_not_rescaled() -> None:
    seeds = (s for s in range(50) if any(isinstance(x, Add) for x in random_net(s)[0].layers))
    spec, _ = random_net(next(seeds))
    assert rescaled(spec, images(2, spec.input.height)) is spec


def test_masked_weights_are_zero_in_the_file_and_get_no_gradient() -> None:
    network = Network(small())
    network.insert_batch_norms(images())
    conv = dict(network.named_convs())["fire5/expand3x3"]
    conv.mask = torch.zeros_like(conv.weight)
    conv.mask[:16, 3] = 1
    network.train()(images()).square().sum().backward()
    assert conv.weight.grad is not None
    assert (conv.weight.grad[conv.mask == 0] == 0).all()
    assert (conv.weight.grad[conv.mask == 1] != 0).any()
    weight = {n: c for layer in network.to_spec().layers for n, c in layer.named_convs()}
    np.testing.assert_array_equal(weight["fire5/expand3x3"].weight != 0, conv.mask.numpy() != 0)


@pytest.mark.parametrize(("dtype", "levels"), [("i8", 127), ("i4", 7)])
def test_trains_with_the_levels_that_a_file_holds(dtype: str, levels: int) -> None:
    """Filter by filter, up to the scale, which the batch norm and the file's f16 change."""
    network = Network(small())
    network.insert_batch_norms(images())
    network.round_to(dtype)
    stored = NetSpec.from_model(_core.Model.from_bytes(network.to_spec().to_bytes(dtype)))
    decoded = {n: c.weight for layer in stored.layers for n, c in layer.named_convs()}
    for name, conv in network.named_convs():
        weight = conv.weight.detach().numpy()
        used = levels_of(rounded(conv.weight.detach(), dtype).numpy(), levels)
        np.testing.assert_array_equal(abs(used), abs(levels_of(decoded[name], levels)))
        assert abs(used).max() == levels
        step = abs(weight).max((1, 2, 3), keepdims=True) / levels
        assert abs(used * step - weight).max() <= 0.5001 * step.max()
        assert (abs(used * step - weight) <= 0.5001 * step).all()


def levels_of(weight: FloatArray, levels: int) -> FloatArray:
    """Of each filter, in steps of its largest weight over `levels`; whole, to 1e-3."""
    largest = abs(weight).max((1, 2, 3), keepdims=True)
    steps = weight / np.where(largest > 0, largest, 1) * levels
    np.testing.assert_allclose(steps, steps.round(), atol=1e-3)
    return steps.round().astype(np.float32)


def test_no_rounding_for_float_files() -> None:
    weight = torch.randn(4, 3, 1, 1)
    for dtype in ("f32", "f16"):
        assert rounded(weight, dtype) is weight


@pytest.mark.parametrize("dtype", ["i8", "i4"])
def test_rounding_passes_the_gradient(dtype: str) -> None:
    weight = torch.randn(4, 3, 1, 1, requires_grad=True)
    (rounded(weight, dtype) * 2).sum().backward()
    torch.testing.assert_close(weight.grad, torch.full_like(weight, 2))
    assert (rounded(torch.zeros(2, 3, 1, 1), dtype) == 0).all()


def test_augmented_images_are_repeatable_and_normal() -> None:
    pixels = torch.randint(0, 255, (6, 60, 60, 3), dtype=torch.uint8)
    first, second = (
        augment(pixels, (48, 40), Recipe(), torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert first.shape == (6, 3, 48, 40)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert 0 <= float(first.min()) <= float(first.max()) <= 255
    x = normalise(torch.full((1, 3, 2, 2), 255.0), small().input)
    white = [(1 - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    torch.testing.assert_close(x[0, :, 0, 0], torch.tensor(white))


def test_without_crop_jitter_and_mirror_only_the_aspect_changes() -> None:
    """And a picture that is the same in every row and column stays."""
    still = Recipe(crop=1.0, jitter=0.0, mirror=False)
    plain = torch.full((4, 50, 50, 3), 77, dtype=torch.uint8)
    same = augment(plain, (40, 40), still, torch.Generator().manual_seed(0))
    torch.testing.assert_close(same, torch.full((4, 3, 40, 40), 77.0))
    ramp = torch.arange(50, dtype=torch.uint8).view(1, 1, 50, 1).expand(64, 50, 50, 3)
    turned = augment(ramp, (40, 40), still, torch.Generator().manual_seed(0))
    assert (turned[..., -1] > turned[..., 0]).all()
    mirrored = augment(ramp, (40, 40), Recipe(jitter=0.0), torch.Generator().manual_seed(0))
    rising = (mirrored[:, 0, 0, -1] > mirrored[:, 0, 0, 0]).sum()
    assert 16 < int(rising) < 48


def test_jitter_scales_brightness_and_contrast_of_each_image() -> None:
    recipe = Recipe(crop=1.0, mirror=False, jitter=0.25)
    halves = torch.full((400, 20, 20, 3), 100, dtype=torch.uint8)
    halves[:, :, 10:] = 140
    crops = augment(halves, (40, 40), recipe, torch.Generator().manual_seed(0))
    low, high = (crops[:, 0, 0, column] for column in (0, -1))
    contrast = (high - low) / 40
    # Both are uniform in 0.75 .. 1.25, of deviation 0.144. The middle of the two values is the mean
    # where the halves are as wide, and that is only so on average.
    assert 0.74 < float(contrast.min()) < 0.78
    assert 1.22 < float(contrast.max()) < 1.26
    assert abs(float(contrast.std()) - 0.144) < 0.02
    middle = (high + low) / 240
    assert abs(float(middle.mean()) - 1) < 0.03
    assert abs(float(middle.std()) - 0.144) < 0.02
    assert abs(float(torch.corrcoef(torch.stack([contrast, middle]))[0, 1])) < 0.15
    white = augment(torch.full_like(halves, 240), (4, 4), recipe, torch.Generator().manual_seed(0))
    assert 179 < float(white.min()) < 190
    assert float(white.max()) == 255


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_squeezenets_have_the_published_numbers_of_weights(version: str) -> None:
    spec = squeezenet(version, 1000)
    counts = sum(
        conv.weight.size + conv.bias.size
        for layer in spec.layers
        for _, conv in layer.named_convs()
    )
    assert counts == {"1.0": 1_248_424, "1.1": 1_235_496}[version]
    with pytest.raises(ValueError, match=r"got '2', wanted one of 1\.0, 1\.1"):
        squeezenet("2", 10)


def test_a_new_head_leaves_the_rest() -> None:
    spec = small()
    headed = with_new_head(spec, ["a", "b", "c", "d"])
    assert headed.classes == 4
    assert headed.labels == ["a", "b", "c", "d"]
    for old, new in zip(spec.layers[:-2], headed.layers[:-2]):
        for (_, a), (_, b) in zip(old.named_convs(), new.named_convs()):
            np.testing.assert_array_equal(a.weight, b.weight)
    body = copy.deepcopy(spec)
    del body.layers[-2:]
    with pytest.raises(ValueError, match="ends in a convolution and a global average"):
        with_new_head(body, ["a", "b"])


def test_filters_that_no_image_moves_do_not_grow() -> None:
    """Trained and turned into files again and again, as evolution does."""
    spec = small()
    fire = next(layer for layer in spec.layers if layer.name == "fire5")
    assert isinstance(fire, Fire)
    assert fire.expand3x3 is not None
    fire.squeeze.bias[:] = -100  # ReLU leaves nothing of it
    begin = abs(fire.expand3x3.weight).max()
    for _ in range(6):
        network = Network(spec)
        network.insert_batch_norms(images())
        network.train()
        for _ in range(30):
            network(images())
        spec = network.to_spec()
    after = next(layer for layer in spec.layers if layer.name == "fire5")
    assert isinstance(after, Fire)
    assert after.expand3x3 is not None
    assert abs(after.expand3x3.weight).max() < 40 * max(begin, 1)
