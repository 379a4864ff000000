"""`squish report`: what a run of evolution came to, as one HTML page and as JSON."""

from __future__ import annotations
