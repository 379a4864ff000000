"""Training with PyTorch: images and a net in, a checkpoint and a `.squish` file out.

    from squishnative.train import Recipe, Trainer, read_dataset, squeezenet

`Network` trains any `NetSpec`; `Trainer` is the loop, which continues bit for bit where it was
killed. Needs the extra [train].
"""

from __future__ import annotations

from squishnative.train.architecture import squeezenet
from squishnative.train.dataset import Dataset, DatasetError, Split, read_dataset
from squishnative.train.network import Network
from squishnative.train.recipe import Recipe
from squishnative.train.trainer import Trainer

__all__ = [
    "Dataset",
    "DatasetError",
    "Network",
    "Recipe",
    "Split",
    "Trainer",
    "read_dataset",
    "squeezenet",
]
