"""Fixtures of the tests of the Python side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import squishnative
from squishnative import Net
from tiny_net import save_tiny_net

if TYPE_CHECKING:
    from squishnative.train.dataset import Dataset


@pytest.fixture(scope="session")
def net_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small `.squish` file: see tiny_net.py."""
    return save_tiny_net(tmp_path_factory.mktemp("nets"))


@pytest.fixture
def net(net_file: Path) -> Iterator[Net]:
    with squishnative.load(net_file) as net:
        yield net


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of labelled pictures: see pictures.py."""
    from pictures import make_pictures

    return make_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def data(pictures: Path) -> Dataset:
    """The same pictures in memory, with a margin for crops."""
    from pictures import SIZE
    from squishnative.spec import InputSpec
    from squishnative.train.dataset import read_dataset

    return read_dataset(pictures, InputSpec(height=SIZE, width=SIZE, resize=SIZE))


@pytest.fixture(scope="session")
def ancestor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small net of these pictures' classes, not trained."""
    from evolution import small
    from pictures import LABELS

    file = tmp_path_factory.mktemp("ancestor") / "net.squish"
    spec = small()
    spec.labels = LABELS
    spec.save(file)
    return file


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch computes on one thread: nets this small gain nothing from more."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
