"""What a checkpoint that cannot be converted raises."""

from __future__ import annotations


class ConvertError(ValueError):
    """The checkpoint is no net that a `.squish` file can hold; the message names tensor or node."""
