"""ImageNet's weights, as torchvision publishes them."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

# The eight digits of each name are what its SHA-256 begins with.
_FILES = {"1.0": "squeezenet1_0-b66bff10.pth", "1.1": "squeezenet1_1-b8a52dc0.pth"}
_URL = "https://download.pytorch.org/models"


def pretrained(version: str) -> Path:
    """The checkpoint of a SqueezeNet with 1000 classes, fetched where torch's cache lacks it.

    Raises ValueError on a version that is none, OSError where the network does not give it.
    """
    if version not in _FILES:
        raise ValueError(f"version: got {version!r}, wanted one of {', '.join(_FILES)}")
    name = _FILES[version]
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        digest = name.rpartition("-")[2].partition(".")[0]
        url = f"{_URL}/{name}"
        try:
            torch.hub.download_url_to_file(url, str(file), digest, sys.stderr.isatty())
        except (OSError, RuntimeError) as error:  # no network; another file than was wanted
            raise OSError(f"{url}: {error}; wanted it there or in '{file.parent}'") from error
    return file
