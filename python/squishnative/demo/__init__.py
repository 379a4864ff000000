"""The main job in small: train a net with PyTorch, convert it, run it on the engine (`squish demo`)."""

from __future__ import annotations
