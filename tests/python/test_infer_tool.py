"""squish-infer, the C++ tool, sees what Net.preprocess sees: Pillow's pixels."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL
import pytest
import squishnative
from PIL import Image
from squishnative.spec import INPUT, Conv, ConvSpec, InputSpec, NetSpec

ROOT = Path(__file__).parents[2]
HEIGHT, WIDTH = 9, 13

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def squish_infer() -> Path:
    """What a CMake preset for this machine built; SQUISH_INFER_DIR says where else to look."""
    folder = os.environ.get("SQUISH_INFER_DIR")
    presets = [ROOT / "build" / preset / "tools" / "infer" for preset in ("dev", "release")]
    found = [path / "squish-infer" for path in ([Path(folder)] if folder else presets)]
    found = [binary for binary in found if binary.is_file()]
    if not found:
        pytest.skip("no squish-infer: cmake --preset dev && cmake --build --preset dev")
    return found[0]


def save_identity(
    path: Path, channels: int = 3, resize: int = 0, interpolation: str = "bilinear"
) -> Path:
    """A net whose output is its input's pixels, 0 to 255."""
    image = InputSpec(
        channels, HEIGHT, WIDTH, (0.0,) * channels, (1 / 255,) * channels, resize, interpolation
    )
    weight = np.eye(channels, dtype=np.float32)[:, :, None, None]
    conv = ConvSpec(weight, np.zeros(channels, np.float32), relu=False)
    NetSpec(image, [Conv("same", INPUT, conv)]).save(path)
    return path


def run(binary: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(binary), *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def seen(binary: Path, *arguments: object, channels: int = 3) -> Pixels:
    """What the tool gives an identity net: (N, height, width, channels)."""
    done = run(binary, *arguments, "--logits")
    assert done.returncode == 0, done.stderr
    values = np.array([float(line) for line in done.stdout.split()])
    assert abs(values - values.round()).max() < 1e-3
    images = values.round().astype(np.uint8).reshape(-1, channels, HEIGHT, WIDTH)
    return images.transpose(0, 2, 3, 1)


def random_image(seed: int) -> Image.Image:
    """Noise, whose every pixel counts, from far smaller than the net's images to far larger."""
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 60, 2))
    shape = (height, width) if seed % 3 == 0 else (height, width, 3)
    return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resize", [0, 5, 9, 14, 40])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_pixels_are_pillows(
    squish_infer: Path, tmp_path: Path, channels: int, resize: int, interpolation: str
) -> None:
    net_file = save_identity(tmp_path / "net.squish", channels, resize, interpolation)
    paths = [tmp_path / f"{seed:02}.ppm" for seed in range(40)]
    for seed, path in enumerate(paths):
        random_image(seed).save(path)
    got = seen(squish_infer, net_file, *paths, channels=channels)
    with squishnative.load(net_file) as net:
        wanted = np.stack([net.preprocess(path) for path in paths])
    difference = abs(got.astype(int) - wanted).max(axis=(1, 2, 3))
    # Pillow before 13 resizes high images in another order, and rounds between.
    allowed = 0 if int(PIL.__version__.split(".")[0]) >= 13 else 1
    assert [k for k, most in enumerate(difference) if most > allowed] == []


def test_as_is_takes_images_as_they_are(squish_infer: Path, tmp_path: Path) -> None:
    net_file = save_identity(tmp_path / "net.squish", resize=20)
    pixels = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.ppm")
    got = seen(squish_infer, net_file, tmp_path / "image.ppm", "--as-is")
    assert (got == pixels).all()


def test_refuses_nets_of_huge_images_before_it_makes_one(
    squish_infer: Path, tmp_path: Path
) -> None:
    image = InputSpec(3, 65535, 65535, (0.0,) * 3, (1.0,) * 3, 0, "bilinear")
    conv = ConvSpec(np.ones((1, 3, 1, 1), np.float32), np.zeros(1, np.float32), relu=False)
    NetSpec(image, [Conv("only", INPUT, conv)]).save(tmp_path / "net.squish")
    random_image(1).save(tmp_path / "image.ppm")
    done = run(squish_infer, tmp_path / "net.squish", tmp_path / "image.ppm")
    assert done.returncode == 2
    assert "its input has 65535x65535 pixels" in done.stderr


def test_takes_folders_and_standard_input(squish_infer: Path, tmp_path: Path) -> None:
    net_file = save_identity(tmp_path / "net.squish")
    folder = tmp_path / "images"
    folder.mkdir()
    random_image(1).save(folder / "b.ppm")
    random_image(3).save(folder / "a.pgm")
    random_image(1).save(folder / "c.PPM", "ppm")
    (folder / ".hidden.ppm").write_text("no image", encoding="utf-8")
    (folder / "c.txt").write_text("no image", encoding="utf-8")
    got = seen(squish_infer, net_file, folder)
    assert (
        got == seen(squish_infer, net_file, folder / "a.pgm", folder / "b.ppm", folder / "c.PPM")
    ).all()
    piped = subprocess.run(
        [str(squish_infer), str(net_file), "-", "--logits"],
        input=(folder / "b.ppm").read_bytes(),
        capture_output=True,
        check=True,
    )
    alone = run(squish_infer, net_file, folder / "b.ppm", "--logits")
    assert piped.stdout.decode() == alone.stdout


def test_refuses_a_folder_without_images(squish_infer: Path, tmp_path: Path) -> None:
    net_file = save_identity(tmp_path / "net.squish")
    done = run(squish_infer, net_file, tmp_path)
    assert done.returncode == 2
    assert "has no *.ppm or *.pgm" in done.stderr


def test_refuses_logits_that_are_not_finite(squish_infer: Path, tmp_path: Path) -> None:
    """Weights that leave the range of float: no order of such labels means anything."""
    image = InputSpec(1, 1, 1, (0.0,), (1.0,), 0)
    net = NetSpec(image)
    for sign in (1, -1):
        weight = np.array([[3e38], [sign * 3e38]], np.float32)[:, :, None, None]
        weight = np.repeat(weight, 1 if sign == 1 else 2, axis=1)
        conv = ConvSpec(weight, np.zeros(2, np.float32), relu=False)
        net.layers.append(Conv(f"conv{len(net.layers)}", len(net.layers) - 1, conv))
    net.save(tmp_path / "net.squish")
    Image.fromarray(np.full((1, 1), 255, np.uint8)).save(tmp_path / "white.pgm")
    done = run(squish_infer, tmp_path / "net.squish", tmp_path / "white.pgm")
    assert done.returncode == 1
    assert "net: output 0 is inf" in done.stderr
