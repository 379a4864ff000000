"""What a checkpoint that cannot be converted raises."""

from __future__ import annotations


class ConvertError(ValueError):
    """The checkpoint is not a net that a `.squish` file can hold; the message names the tensor or node."""
