"""Whether the doubt finds bad labels, on a city with faults planted in its map."""

from __future__ import annotations

import sys

import pandas as pd
import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import planted_faults


def test_the_tenth_is_counted_as_the_benchmark_says():
    table = pd.DataFrame(
        {
            "tile": [f"t{number:02d}" for number in range(30)],
            "doubt": [number / 30 for number in range(30)],
            "reference_iou": [0.5, *[0.99] * 26, 0.2, float("nan"), 0.89],
        }
    )
    assert planted_faults.found(table) == (2, 3, 3)


@pytest.mark.slow
def test_the_tenth_that_is_doubted_most_holds_the_bad_labels(tmp_path):
    folder = tmp_path / "city"
    planted_faults.build(folder, 23, 0.1)
    caught = possible = 0
    for plan in planted_faults.PLANS:
        out = folder / plan.replace(" ", "_")
        method = planted_faults.spoil(folder, out, plan, 23)
        found, bad, count = planted_faults.found(planted_faults.measure(folder, out, method))
        caught, possible = caught + found, possible + min(bad, count)
    assert possible >= 15
    assert caught >= 0.8 * possible
