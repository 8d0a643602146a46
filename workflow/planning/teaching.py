"""Which scenes teach how road looks in a city: few of a large one, and mostly the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

# What learning takes is bounded, and so is what a sheet that comes or goes makes anew.
MOST = 16


def chosen(names: Iterable[str], most: int = MOST) -> list[str]:
    """Choose scenes by hashes of their names.

    Parameters
    ----------
    names
        Of all scenes with labels.
    most
        How many are wanted, where there are as many.

    Returns
    -------
    list of str
        Sorted. A further name either changes nothing or takes the place of one: among n others
        that happens with a probability of `most` / (n + 1).
    """
    by_hash = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    return sorted(by_hash[:most])
