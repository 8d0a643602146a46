"""Which scenes are held against the map, and what their labels are made for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from planning.flights import TRAINING, flight_names, folder_of
from planning.sources import Source


@dataclass(frozen=True)
class Comparison:
    """The scenes of stage `changes`.

    Attributes
    ----------
    labelled
        Scenes with a label that training uses as well.
    mapped
        Scenes whose label is made for the comparison alone.
    flights
        Flight and number of scenes, in the order of `labelled` and then `mapped`.
    without
        The scenes that can't be compared, by the reason.
    """

    labelled: tuple[str, ...]
    mapped: tuple[str, ...]
    flights: tuple[tuple[str, int], ...]
    without: Mapping[str, tuple[str, ...]]

    @property
    def scenes(self) -> tuple[str, ...]:
        """All scenes that are compared."""
        return (*self.labelled, *self.mapped)

    def files(self, labelled: str, mapped: str) -> list[str]:
        """Return a file of each scene, by a pattern with ``{scene}`` for either kind."""
        return [
            pattern.replace("{scene}", scene)
            for pattern, scenes in ((labelled, self.labelled), (mapped, self.mapped))
            for scene in scenes
        ]

    def arguments(self, files: Mapping[str, tuple[str, str]], results: str) -> list[str]:
        """Return what the stage is told: patterns, flights, and why scenes are left out.

        Parameters
        ----------
        files
            The two patterns of each option.
        results
            The results folder, which stands as ``<results>`` in the patterns.
        """
        scenes = {"scene": self.labelled, "mapped": self.mapped}
        options = {"scene": "--scenes", "mapped": "--mapped-scenes"}
        fields = [field for field in scenes if scenes[field]]
        told = [f"{options[field]}={'/'.join(scenes[field])}" for field in fields]
        for option, patterns in files.items() if fields else ():
            by_field = dict(zip(scenes, patterns, strict=True))
            told.append(f"--{option}")
            told += [
                by_field[field].replace("<results>", results).replace("{scene}", f"{{{field}}}")
                for field in fields
            ]
        for flight, count in self.flights:
            told += ["--flight", flight, str(count)]
        for reason, names in self.without.items():
            told += ["--without", reason, *names]
        return told


def compare(
    training: Mapping[str, Source],
    prediction: Mapping[str, Source],
    obstacle: Callable[[str], str | None],
) -> Comparison:
    """Find out what is compared.

    Parameters
    ----------
    training
        The sources of the scenes that are trained on; all of them are predicted too.
    prediction
        Those of the scenes to predict on.
    obstacle
        Tells why a scene can't be compared; None where it can.
    """
    without: dict[str, tuple[str, ...]] = {}
    possible = []
    for name in {**training, **prediction}:
        reason = obstacle(name)
        if reason is None:
            possible.append(name)
        else:
            without[reason] = (*without.get(reason, ()), name)
    home = {folder_of(source) for source in training.values()}
    labelled = [name for name in possible if name in training]
    folders = {name: folder_of(prediction[name]) for name in possible if name not in training}
    names = flight_names({*folders.values()} - home)
    flights: dict[str, list[str]] = {}
    for name, folder in folders.items():
        flights.setdefault(TRAINING if folder in home else names[folder], []).append(name)
    counted = [(TRAINING, len(labelled))] if labelled else []
    counted += [(flight, len(scenes)) for flight, scenes in flights.items()]
    mapped = [name for scenes in flights.values() for name in scenes]
    return Comparison(tuple(labelled), tuple(mapped), tuple(counted), without)
