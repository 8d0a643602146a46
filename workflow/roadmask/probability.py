"""Probabilities as the bytes that rasters hold and that counts go by."""

from typing import Final

CERTAIN: Final = 254
"""Stands for a probability of 1, and 0 for one of 0; 255 is where none is known."""
