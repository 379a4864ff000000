"""The settings of a training, all that decides its result but the net, the data and the seed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Optional

DTYPES = ("f32", "f16", "i8", "i4")  # of a file's weights
# The weight decay that suits each: AdamW's is apart from the gradient (Loshchilov & Hutter 2019).
OPTIMISERS = {"sgd": 1e-4, "adamw": 1e-2}
# The peak learning rate that suits each, where nobody says another.
LEARNING_RATES = {"sgd": 0.02, "adamw": 0.003}


def rate(wanted: Optional[float], optimiser: str) -> float:
    """The learning rate that is wanted, or the one that suits the optimiser."""
    return LEARNING_RATES.get(optimiser, 0.0) if wanted is None else wanted


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum, or AdamW; `lr` after a warm-up, under one cosine to 0."""

    epochs: int = 20
    batch: int = 64
    lr: float = 0.02
    optimiser: str = "sgd"
    momentum: float = 0.9  # AdamW's first; its second is 0.999
    warmup: float = 1.0  # epochs
    annealed: bool = True  # False: the rate stays, for training that others continue
    clip: float = 5.0  # largest norm of all gradients together
    # Random changes of each image: the least share of its area, recolouring, mirroring.
    crop: float = 0.35
    # The side of the crops that are trained on, as a share of the input's. A net does better on
    # somewhat larger objects than it was trained on (Touvron et al. 2019), and small crops are
    # cheap: trained at 128 pixels and measured at 160, SqueezeNet 1.1 gains a point on Imagenette.
    scale: float = 1.0
    # How many crops of each image there are, which epochs take in turn; 0: new ones in every epoch.
    # A teacher looks at each but once.
    views: int = 0
    jitter: float = 0.25
    mirror: bool = True
    label_smoothing: float = 0.1
    mixup: float = 0.0  # alpha of Beta(alpha, alpha); 0: off
    dropout: float = 0.1
    ema: float = 0.99  # decay a step of the weights' moving average, which is what is measured
    # Distillation: the teacher's share of the loss, and the temperature of both.
    distillation: float = 0.5
    temperature: float = 2.0
    hints: float = 0.0  # weight of the loss by which features imitate the teacher's (hints.py)
    dtype: str = "f32"  # quantisation-aware: weights are rounded as this type's, "i8" or "i4"
    amp: bool = True  # mixed precision where the device has bfloat16 instructions

    def __post_init__(self) -> None:
        """Raises ValueError on a setting out of range."""
        for name, least, most in (
            ("epochs", 1, None),
            ("batch", 2, None),
            ("lr", 0, None),
            ("momentum", 0, 1),
            ("warmup", 0, None),
            ("clip", 0, None),
            ("crop", 0.01, 1),
            ("scale", 0.1, 1),
            ("views", 0, None),
            ("jitter", 0, 1),
            ("label_smoothing", 0, 1),
            ("mixup", 0, None),
            ("dropout", 0, 1),
            ("ema", 0, 1),
            ("distillation", 0, 1),
            ("temperature", 0.1, None),
            ("hints", 0, None),
        ):
            value = getattr(self, name)
            if value < least or (most is not None and value > most):
                most_text = "" if most is None else f" and at most {most}"
                raise ValueError(f"{name}: got {value}, must be at least {least}{most_text}")
        if self.views and self.mixup:
            raise ValueError(
                f"views: got {self.views} with mixup {self.mixup}, which makes new images"
            )
        if self.optimiser not in OPTIMISERS:
            wanted = ", ".join(OPTIMISERS)
            raise ValueError(f"optimiser: got {self.optimiser!r}, wanted one of {wanted}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype: got {self.dtype!r}, wanted one of {', '.join(DTYPES)}")

    def to_dict(self) -> dict[str, object]:
        """For files."""
        return {f.name: getattr(self, f.name) for f in fields(self)}
