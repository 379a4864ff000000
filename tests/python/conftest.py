"""Fixtures of the tests of the Python side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import squishnative
from squishnative import Net
from tiny_net import save_tiny_net


@pytest.fixture(scope="session")
def net_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small `.squish` file: see tiny_net.py."""
    return save_tiny_net(tmp_path_factory.mktemp("nets"))


@pytest.fixture
def net(net_file: Path) -> Iterator[Net]:
    with squishnative.load(net_file) as net:
        yield net
