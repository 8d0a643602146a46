"""What a killed training needs to go on from its last epoch.

The folder's name holds a hash of everything that determines the training, so other
settings, other data or another version of TensorFlow never take up old weights.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roadmask.files import replacing, write_json
from roadmask.model.history import Epoch

log = logging.getLogger(__name__)

Weights = Sequence[NDArray[Any]]

PREFIX = ".state-"
INDEX = "state.json"


@dataclass(frozen=True)
class State:
    """A training after an epoch.

    Attributes
    ----------
    rows
        The epochs so far.
    weights, average, optimizer
        The network's weights, their moving average and the optimizer's variables after the
        last of them.
    best
        The weights after the best of them.
    """

    rows: tuple[Epoch, ...]
    weights: Weights
    average: Weights
    optimizer: Weights
    best: Weights


class StateFolder:
    """Where the state lies between two epochs.

    Parameters
    ----------
    parent
        The folder of the model.
    determines
        What the training follows from, as JSON.
    """

    def __init__(self, parent: Path, determines: Mapping[str, Any]) -> None:
        text = json.dumps(determines, sort_keys=True)
        self.path = parent / f"{PREFIX}{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def save(self, state: State, best_epoch: int) -> None:
        """Write the state after an epoch; whatever moment it is killed at, one is whole."""
        self.path.mkdir(parents=True, exist_ok=True)
        last, best = f"epoch-{state.rows[-1].epoch}.npz", f"best-{best_epoch}.npz"
        if not (self.path / best).exists():
            _write_arrays(self.path / best, weights=state.best)
        _write_arrays(
            self.path / last,
            weights=state.weights,
            average=state.average,
            optimizer=state.optimizer,
        )
        # The index comes last: what it names is there.
        rows = [asdict(row) for row in state.rows]
        write_json(self.path / INDEX, {"rows": rows, "last": last, "best": best})
        for path in self.path.glob("*.npz"):
            if path.name not in (last, best):
                path.unlink()

    def load(self) -> State | None:
        """Return the state of the last epoch, or None where there is none."""
        try:
            index = json.loads((self.path / INDEX).read_text(encoding="utf-8"))
            last = _read_arrays(self.path / index["last"])
            best = _read_arrays(self.path / index["best"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            log.warning("%s is damaged (%r), so training starts anew", self.path, error)
            shutil.rmtree(self.path)
            return None
        return State(
            rows=tuple(Epoch(**row) for row in index["rows"]),
            weights=last["weights"],
            average=last["average"],
            optimizer=last["optimizer"],
            best=best["weights"],
        )

    def remove(self) -> None:
        """Remove this state and those that other settings left beside it."""
        for path in self.path.parent.glob(f"{PREFIX}*"):
            shutil.rmtree(path)


def _write_arrays(path: Path, **groups: Weights) -> None:
    arrays = {
        f"{name}-{number}": np.asarray(array)
        for name, group in groups.items()
        for number, array in enumerate(group)
    }
    # A plain dictionary of arrays; the stubs take it for NumPy's own keyword.
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def _read_arrays(path: Path) -> dict[str, list[NDArray[Any]]]:
    groups: dict[str, dict[int, NDArray[Any]]] = {}
    with np.load(path) as file:
        for name in file.files:
            group, number = name.rsplit("-", 1)
            groups.setdefault(group, {})[int(number)] = file[name]
    return {name: [group[number] for number in sorted(group)] for name, group in groups.items()}
