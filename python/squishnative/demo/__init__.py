"""`squish demo`, the main job in small: train a net with PyTorch, convert it, run it."""

from __future__ import annotations
