"""A SqueezeNet 1.1 of half the usual widths and its training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from squishnative.demo.digits import Classes, Pixels

MEAN = (0.5, 0.5, 0.5)  # on the scale 0..1
STD = (0.5, 0.5, 0.5)
EPOCHS = 30
BATCH = 64
PEAK_LEARNING_RATE = 5e-3


class NormedConv(nn.Sequential):
    """A convolution and its batch norm, which the converter finds by these names and folds."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, pad: int = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, pad, bias=False)
        self.bn = nn.BatchNorm2d(outputs)


class Fire(nn.Module):
    """squeeze 1x1 -> [expand1x1 | expand3x3], each followed by ReLU."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = NormedConv(inputs, squeeze, 1)
        self.expand1x1 = NormedConv(squeeze, expand, 1)
        self.expand3x3 = NormedConv(squeeze, expand, 3, pad=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, 2 * expand, H, W)."""
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


class SqueezeNet(nn.Module):
    """Layers, and so the names in its state dict, as in torchvision's SqueezeNet 1.1."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            NormedConv(3, 32, 3, stride=2),
            nn.ReLU(),
            _pool(),
            Fire(32, 16, 32),
            Fire(64, 16, 32),
            _pool(),
            Fire(64, 32, 64),
            Fire(128, 32, 64),
            _pool(),
            Fire(128, 48, 96),
            Fire(192, 48, 96),
            Fire(192, 64, 128),
            Fire(256, 64, 128),
        )
        final = nn.Conv2d(256, classes, 1)
        # A ReLU follows: a class whose logits begin below it for every image would never learn.
        final.bias = nn.Parameter(torch.ones(classes))
        self.classifier = nn.Sequential(nn.Dropout(0.2), final, nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) normalised -> (N, classes) logits."""
        logits: torch.Tensor = self.classifier(self.features(x)).flatten(1)
        return logits


def normalise(images: Pixels) -> torch.Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return ((pixels - mean) / std).contiguous()


def train(
    images: Pixels, classes: Classes, seed: int, report: Callable[[int, float], None]
) -> SqueezeNet:
    """Trains for EPOCHS and calls report(epoch, mean loss) after each.

    The same seed gives the same net on the same machine. Meant for one thread: convolutions this
    small gain nothing from more, and lose much where another process wants the cores.
    """
    torch.manual_seed(seed)
    inputs, targets = normalise(images), torch.from_numpy(classes)
    net = SqueezeNet(int(targets.max()) + 1)
    batches = -(-len(inputs) // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_LEARNING_RATE, EPOCHS * batches)
    for epoch in range(EPOCHS):
        losses = []
        for chosen in torch.randperm(len(inputs)).split(BATCH):
            logits = net(inputs[chosen])
            loss = nn.functional.cross_entropy(logits, targets[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        report(epoch + 1, float(np.mean(losses)))
    return net.eval()


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)
