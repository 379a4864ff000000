"""Evolutionary synthesis: generations of ever smaller nets from one ancestor.

An individual is a `.squish` file; its genome is which clusters of weights live. `encoding` draws
what an offspring inherits, `environment` measures what clusters cost on the engine, `budget` turns
that into numbers of clusters, `offspring` makes a newborn network, `run` keeps it all in a folder.
Needs the extra [train].
"""

from __future__ import annotations
