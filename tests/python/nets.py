"""Random nets for tests: as a NetSpec, and as a torch module that shares no code with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from squishnative.spec import (
    INPUT,
    Add,
    Conv,
    ConvSpec,
    Fire,
    FloatArray,
    GlobalAveragePool,
    InputSpec,
    Layer,
    MaxPool,
    NetSpec,
)
from torch import nn

DENSITIES = (1.0, 0.3, 0.1, 0.0)
SIZES = (227, 97, 65, 64, 47)  # at 227, 97 and 65 ceil and floor pooling differ
UNITS = ((16, 1), (16, 4), (1, 1))  # clusters of 16x1 and 16x4 channels, single synapses


def random_net(seed: int, batch: int = 2) -> tuple[NetSpec, FloatArray]:
    """A net and a batch (N, 3, H, W) for it. The seed decides both."""
    maker = _NetMaker(np.random.default_rng(seed))
    net = maker.net()
    shape = (batch, net.input.channels, net.input.height, net.input.width)
    return net, maker.rng.standard_normal(shape, dtype=np.float32)


def sparsify(
    weight: FloatArray, density: float, unit: tuple[int, int], rng: np.random.Generator
) -> FloatArray:
    """Zeroes all but a share of the (output x input channels) units at each kernel position."""
    rows, columns = unit
    out_channels, in_channels, height, width = weight.shape
    shape = (-(-out_channels // rows), -(-in_channels // columns), height, width)
    lives = rng.random(shape) < density
    mask = lives.repeat(rows, axis=0).repeat(columns, axis=1)[:out_channels, :in_channels]
    return np.where(mask, weight, np.float32(0))


@dataclass
class _Tip:
    """The end of the net so far."""

    layer: int
    channels: int
    size: int


class _NetMaker:
    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._density = float(rng.choice(DENSITIES))
        self._unit = UNITS[rng.integers(len(UNITS))]
        self._layers: list[Layer] = []

    def net(self) -> NetSpec:
        size = int(self.rng.choice(SIZES))
        tip = self._stem(size)
        while tip.size > 4 and len(self._layers) < 12:
            if self.rng.random() < 0.35 or tip.size > 40:
                tip = self._pool(tip)
            else:
                tip = self._bypassed_fire(tip)
        tip = self._bypassed_fire(tip)
        classes = int(self.rng.integers(1, 40))
        conv = self._conv(tip.channels, classes, 1, relu=bool(self.rng.integers(2)))
        tip = self._append(Conv("classifier", tip.layer, conv), tip.size)
        self._append(GlobalAveragePool("mean", tip.layer), 1)
        return NetSpec(InputSpec(height=size, width=size), self._layers)

    def _stem(self, size: int) -> _Tip:
        kernel, pad = ((3, 0), (3, 1), (7, 0), (7, 3))[self.rng.integers(4)]
        conv = self._conv(3, self._width(), kernel, stride=2, pad=pad)
        return self._append(Conv("stem", INPUT, conv), (size + 2 * pad - kernel) // 2 + 1)

    def _pool(self, tip: _Tip) -> _Tip:
        ceil_mode = bool(self.rng.integers(2))
        kernel, pad = ((3, 0), (3, 1), (2, 0))[self.rng.integers(3)]
        pads = (pad, pad, pad, pad)
        name = f"pool{len(self._layers)}"
        pool = MaxPool(name, tip.layer, (kernel, kernel), (2, 2), pads, ceil_mode)
        return self._append(pool, pool.output_shape((tip.channels, tip.size, tip.size))[1])

    def _bypassed_fire(self, tip: _Tip) -> _Tip:
        """A Fire, in half of the nets' places with a simple or complex bypass around it."""
        fire = self._append(self._fire(tip), tip.size)
        if self.rng.random() < 0.5:
            return fire
        around = tip
        if tip.channels != fire.channels:
            conv = self._conv(tip.channels, fire.channels, 1, relu=False)
            around = self._append(Conv(f"bypass{len(self._layers)}", tip.layer, conv), tip.size)
        relu = bool(self.rng.integers(2))
        add = Add(f"add{len(self._layers)}", (fire.layer, around.layer), relu)
        return self._append(add, tip.size)

    def _fire(self, tip: _Tip) -> Fire:
        squeeze = self._conv(tip.channels, self._width(), 1)
        absent = self.rng.choice(["none", "expand1x1", "expand3x3"], p=[0.7, 0.15, 0.15])
        width = squeeze.out_channels
        one = None if absent == "expand1x1" else self._conv(width, self._width(), 1)
        three = None if absent == "expand3x3" else self._conv(width, self._width(), 3, pad=1)
        return Fire(f"fire{len(self._layers)}", tip.layer, squeeze, one, three)

    def _width(self) -> int:
        return int(self.rng.integers(1, 50))

    def _conv(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        pad: int = 0,
        relu: bool = True,
    ) -> ConvSpec:
        weight = self.rng.standard_normal((outputs, inputs, kernel, kernel), dtype=np.float32)
        weight = sparsify(weight, self._density, self._unit, self.rng)
        # He's scale for the weights that live keeps the activations of deep sparse nets alive too.
        live = max(np.count_nonzero(weight) / outputs, 1)
        weight *= np.float32(np.sqrt(2 / live))
        bias = 0.1 * self.rng.standard_normal(outputs, dtype=np.float32)
        return ConvSpec(weight, bias, (stride, stride), (pad, pad, pad, pad), relu)

    def _append(self, layer: Layer, size: int) -> _Tip:
        self._layers.append(layer)
        channels = NetSpec(InputSpec(height=999, width=999), self._layers).output_shape[0]
        return _Tip(len(self._layers) - 1, channels, size)


class TorchNet(nn.Module):
    """A NetSpec as torch modules, float32. Symmetric padding only, as torch's layers have it."""

    def __init__(self, net: NetSpec) -> None:
        super().__init__()
        self._inputs = [layer.inputs for layer in net.layers]
        self._layers = nn.ModuleList(_module(layer) for layer in net.layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, classes)."""
        outputs: list[torch.Tensor] = []
        for inputs, layer in zip(self._inputs, self._layers):
            outputs.append(layer(*[x if source == INPUT else outputs[source] for source in inputs]))
        return torch.flatten(outputs[-1], 1)


def _module(layer: Layer) -> nn.Module:
    if isinstance(layer, Conv):
        return _conv_module(layer.conv)
    if isinstance(layer, Fire):
        return _FireModule(layer)
    if isinstance(layer, MaxPool):
        return nn.MaxPool2d(
            layer.kernel, layer.stride, layer.padding[:2], ceil_mode=layer.ceil_mode
        )
    if isinstance(layer, Add):
        return _AddModule(layer.relu)
    return nn.AdaptiveAvgPool2d((1, 1))


def _conv_module(spec: ConvSpec) -> nn.Module:
    assert spec.padding[:2] == spec.padding[2:]
    conv = nn.Conv2d(
        spec.in_channels, spec.out_channels, spec.kernel, spec.stride, spec.padding[:2]
    )
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(spec.weight))
        assert conv.bias is not None
        conv.bias.copy_(torch.from_numpy(spec.bias))
    return nn.Sequential(conv, nn.ReLU()) if spec.relu else conv


class _FireModule(nn.Module):
    def __init__(self, fire: Fire) -> None:
        super().__init__()
        self.squeeze = _conv_module(fire.squeeze)
        expands = [conv for conv in (fire.expand1x1, fire.expand3x3) if conv is not None]
        self.expands = nn.ModuleList(_conv_module(conv) for conv in expands)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze(x)
        return torch.cat([expand(x) for expand in self.expands], 1)


class _AddModule(nn.Module):
    def __init__(self, relu: bool) -> None:
        super().__init__()
        self.relu = relu

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.relu(a + b) if self.relu else a + b


class SqueezeNet(nn.Module):
    """SqueezeNet with torchvision's module names, any widths: fires are (squeeze, e1x1, e3x3)."""

    FIRES = tuple((width, 4 * width, 4 * width) for width in (16, 16, 32, 32, 48, 48, 64, 64))

    def __init__(
        self,
        version: str,
        classes: int = 10,
        conv1: int = 64,
        fires: tuple[tuple[int, int, int], ...] = FIRES,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        kernel, pools = {"1.0": (7, (0, 3, 7)), "1.1": (3, (0, 2, 4))}[version]
        layers: list[nn.Module] = [nn.Conv2d(3, conv1, kernel, stride=2), nn.ReLU()]
        channels = conv1
        for k, (squeeze, one, three) in enumerate(fires):
            if k in pools:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            layers.append(TorchvisionFire(channels, squeeze, one, three, batch_norm))
            channels = one + three
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(channels, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 1))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.flatten(self.classifier(self.features(x)), 1)


class TorchvisionFire(nn.Module):
    """A Fire; an expand of zero channels is there but not run, which torch could not."""

    def __init__(self, inputs: int, squeeze: int, one: int, three: int, batch_norm: bool) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, one, 1)
        self.expand3x3 = nn.Conv2d(squeeze, three, 3, padding=1)
        self._expands = [
            name for name, width in (("expand1x1", one), ("expand3x3", three)) if width
        ]
        self._batch_norm = batch_norm
        if batch_norm:
            self.squeeze_bn = nn.BatchNorm2d(squeeze)
            self.expand1x1_bn = nn.BatchNorm2d(one)
            self.expand3x3_bn = nn.BatchNorm2d(three)

    def _run(self, name: str, x: torch.Tensor) -> torch.Tensor:
        x = getattr(self, name)(x)
        return torch.relu(getattr(self, f"{name}_bn")(x) if self._batch_norm else x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self._run("squeeze", x)
        return torch.cat([self._run(name, x) for name in self._expands], 1)
