"""Model cards of networks that exist for a test alone."""

from __future__ import annotations

from typing import Any

from roadmask.model.card import Card


def plain_card(**changes: Any) -> Card:
    """Return the card of a network that knows road alone, with some fields changed."""
    fields: dict[str, Any] = {
        "architecture": "test",
        "bands": (1, 2, 3),
        "scale": None,
        "classes": ("road",),
        "outputs": 1,
        "threshold": 0.5,
        "input_stride": 4,
        "pixel_metres": None,
        "settings": {},
        "dataset_sha256": "",
        "figures": {},
        "versions": {},
        "colours": ((240, 110, 30),),
    }
    return Card(**(fields | changes))
