"""Net.predict: images of any kind to labels."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import squishnative
from PIL import Image
from squishnative import Net
from squishnative.ranking import softmax, top_k
from tiny_net import CLASSES, LABELS, pixels, save_tiny_net


def test_every_form_of_an_image_gives_the_same(net: Net, tmp_path: Path) -> None:
    array = pixels(1, size=40)[0]
    path = tmp_path / "image.png"
    Image.fromarray(array).save(path)
    predictions = net.predict([array, Image.fromarray(array), path, str(path)], k=3)
    assert len(predictions) == 4
    assert all(one == predictions[0] for one in predictions)


def test_probabilities_are_the_softmax_of_the_logits(net: Net) -> None:
    array = pixels(1)[0]
    logits = net.infer(net.preprocess(array)[None])[0].astype(np.float64)
    exponentials = np.exp(logits)
    [ranked] = net.predict([array], k=CLASSES)
    assert [p.index for p in ranked] == np.argsort(-logits).tolist()
    assert [p.label for p in ranked] == [LABELS[p.index] for p in ranked]
    for p in ranked:
        wanted = exponentials[p.index] / exponentials.sum()
        assert abs(p.probability - wanted) <= 8 * np.finfo(np.float64).eps * wanted * CLASSES


def test_images_of_many_sizes_run_in_batches(net: Net) -> None:
    images = [pixels(1, size=size)[0] for size in range(20, 31)]
    together = net.predict(iter(images), k=2, batch_size=4)
    assert together == [net.predict([image], k=2)[0] for image in images]


def test_k_is_cut_to_the_classes_and_must_be_positive(net: Net) -> None:
    assert len(net.predict([pixels(1)[0]], k=1000)[0]) == CLASSES
    with pytest.raises(ValueError, match="k: got 0"):
        net.predict([pixels(1)[0]], k=0)


def test_no_images_no_predictions(net: Net) -> None:
    assert net.predict([]) == []
    with pytest.raises(ValueError, match="k: got 0"):
        net.predict([], k=0)


def test_one_image_is_not_a_list(net: Net) -> None:
    with pytest.raises(TypeError, match=r"got one str, wanted a list"):
        net.predict("cat.jpg")
    with pytest.raises(TypeError, match=r"got one Image, wanted a list"):
        net.predict(Image.new("RGB", (8, 8)))  # type: ignore[arg-type]


def test_a_net_that_ends_in_a_map_has_no_ranking(tmp_path: Path) -> None:
    net = squishnative.load(save_tiny_net(tmp_path, ends_in_map=True))
    with pytest.raises(ValueError, match=r"wanted \(N, 7\)"):
        net.predict([pixels(1)[0]])


def test_grey_nets_take_coloured_images(tmp_path: Path) -> None:
    net = squishnative.load(save_tiny_net(tmp_path, channels=1))
    assert net.preprocess(pixels(1)[0]).shape == (24, 24, 1)
    assert len(net.predict([pixels(1)[0]])[0]) == 5


def test_nets_of_four_channels_take_no_images(tmp_path: Path) -> None:
    net = squishnative.load(save_tiny_net(tmp_path, channels=4))
    with pytest.raises(ValueError, match="takes 4 channels"):
        net.predict([pixels(1)[0]])


def test_equal_logits_keep_their_order() -> None:
    [ranked] = top_k(np.array([[1, 2, 1, 2]], np.float32), [], 4)
    assert [p.index for p in ranked] == [1, 3, 0, 2]
    assert [p.label for p in ranked] == ["1", "3", "0", "2"]


def test_ranks_go_by_logit_where_probabilities_underflow() -> None:
    [ranked] = top_k(np.array([[-2000, 2000, -1000]], np.float32), [], 3)
    assert [p.index for p in ranked] == [1, 2, 0]
    assert [p.probability for p in ranked] == [1.0, 0.0, 0.0]


def test_softmax_of_large_logits_is_finite() -> None:
    np.testing.assert_array_equal(softmax(np.full((1, 4), 3e38, np.float32)), np.full((1, 4), 0.25))


def test_images_that_cannot_be_read_are_named(net: Net, tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("no image", encoding="utf-8")
    truncated = tmp_path / "truncated.png"
    buffer = io.BytesIO()
    Image.fromarray(pixels(1, size=64)[0]).save(buffer, "PNG")
    truncated.write_bytes(buffer.getvalue()[:2000])
    for path in (text, truncated):
        with pytest.raises(ValueError, match=f"{path.name}.*no image that can be read"):
            net.predict([path])
    with pytest.raises(FileNotFoundError):
        net.predict([tmp_path / "none.png"])


def test_images_that_cannot_be_prepared_are_named(net: Net, tmp_path: Path) -> None:
    strip, floats = tmp_path / "strip.png", tmp_path / "floats.tiff"
    Image.new("L", (60000, 1)).save(strip)
    Image.new("F", (30, 30)).save(floats)
    with pytest.raises(ValueError, match=r"strip.png': 60000x1 pixels would become 1680000x28"):
        net.predict([strip])
    with pytest.raises(ValueError, match=r"image: 60000x1 pixels would become"):
        net.predict([Image.open(strip)])
    with pytest.raises(ValueError, match=r"floats.tiff': mode 'F' has no fixed range"):
        net.predict([floats])


def test_what_only_pillow_takes_for_an_image_is_refused(net: Net, tmp_path: Path) -> None:
    """Pillow hands EPS to Ghostscript, whatever the file is called."""
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (30, 30)).save(path, "EPS")
    with pytest.raises(ValueError, match=r"photo.jpg': no image that can be read"):
        net.predict([path])


@pytest.mark.parametrize(
    ("logits", "error", "message"),
    [
        (np.zeros(CLASSES, np.float32), ValueError, r"got shape \(7,\), wanted \(N, 7\)"),
        (np.zeros((2, 6), np.float32), ValueError, r"got shape \(2, 6\), wanted \(N, 7\)"),
        (np.zeros((2, 7), np.int32), TypeError, "got dtype int32, wanted a floating-point type"),
        (np.full((1, 7), np.nan, np.float32), ValueError, "got values that are not finite"),
    ],
)
def test_rank_checks_its_logits(
    net: Net, logits: np.ndarray, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"logits: {message}"):
        net.rank(logits)


@pytest.mark.parametrize(
    "array", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)]
)
def test_arrays_that_are_no_images_are_refused(net: Net, array: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"wanted uint8 \(H, W, 3\)"):
        net.predict([array])


@pytest.mark.parametrize("thing", [3, b"cat.jpg", None])
def test_what_is_no_image_at_all_is_refused(net: Net, thing: Any) -> None:
    with pytest.raises(TypeError, match=f"image: got {type(thing).__name__}, wanted a path, a Pil"):
        net.predict([thing])
