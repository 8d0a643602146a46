"""What a run is to make from what: the settings and the sources, put in the rules' terms."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from planning import checks
from planning import settings as keys
from planning.codehash import CodeHashes
from planning.comparison import Comparison, compare
from planning.errors import PlanningError
from planning.flights import flights
from planning.settings import Layer, Settings
from planning.sources import Catalogue, Scenes, Source, normal
from planning.teaching import chosen
from roadmask.demo import layout
from roadmask.errors import InputError
from roadmask.model.card import read_card

# Sheets that share one start of TensorFlow: 12 s among so many are little, and a sheet that
# changes takes no more than these with it.
BATCH = 16

# How many scenes without a mask are named.
TOLD = 5

# What each way of labelling takes besides `labels.method` and `classes`.
LABEL_KEYS = {
    "regions": ("labels.max_road_width",),
    "buffer": ("labels.ends", "labels.max_road_width"),
    "polygons": (),
    "raster": ("labels.threshold", "labels.raster.resample", "labels.raster.tolerance"),
}
USES_LINES = ("regions", "buffer")

# The demo city's layers, where the settings name no others.
DEMO_LAYERS = {
    "street_lines": layout.STREET_LINES,
    "centerlines": layout.CENTERLINES,
    "labels.reference": layout.TRUTH,
}


@dataclass(frozen=True)
class LayerUse:
    """A vector layer as rules use it.

    Attributes
    ----------
    files
        The rule's inputs.
    arguments
        What the stage is told.
    fingerprint
        The state of the files; empty where a job of the run makes them.
    """

    files: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    fingerprint: str = ""


@dataclass
class Plan:
    """All that the Snakefile's rules need to know.

    Attributes
    ----------
    settings
        The checked settings.
    workflow
        The folder that holds the package ``roadmask``.
    """

    settings: Settings
    workflow: Path
    _catalogue: Catalogue = field(default_factory=Catalogue)
    _layers: dict[tuple[str, str | None], LayerUse] = field(default_factory=dict)

    @cached_property
    def _leaves(self) -> dict[str, object]:
        # An empty `classes` means its default, which can't stand in config.yaml.
        return keys.leaves(self.settings) | {"classes": self.settings.class_values}

    @cached_property
    def _hashes(self) -> CodeHashes:
        return CodeHashes(self.workflow)

    def code(self, module: str) -> str:
        """Return the parameter that changes when the code of a stage does."""
        return f"code={self._hashes.of(f'roadmask.{module}')}"

    def code_files(self, module: str) -> list[Path]:
        """Return the files that the code of a stage consists of."""
        return self._hashes.files(f"roadmask.{module}")

    def options(self, *names: str) -> list[str]:
        """Return leaves as arguments; a section stands for all its leaves, null for none."""
        chosen = (
            (key, value)
            for name in names
            for key, value in self._leaves.items()
            if key == name or key.startswith(f"{name}.")
        )
        return [keys.argument(key, value) for key, value in chosen if value is not None]

    def shown_settings(self) -> list[str]:
        """Return the leaves that differ from their defaults, for people to read."""
        defaults = keys.leaves(Settings())
        return [
            f"--setting={keys.argument(key, value).removeprefix('--')}"
            for key, value in keys.leaves(self.settings).items()
            if value != defaults[key]
        ]

    @property
    def exports_model(self) -> bool:
        """Whether the network is wanted in other formats, or pictures of its layers."""
        return bool(self.settings.model.export or self.settings.model.activations)

    @cached_property
    def scenes(self) -> Scenes:
        """The scenes of the run."""
        if self.settings.is_demo:
            # Computed, not looked for: the files come into being during the run.
            training = {
                name: Source(path, (path,))
                for name, path in zip(layout.SCENES, layout.IMAGERY, strict=True)
            }
        else:
            training = self._catalogue.pictures("imagery.paths", self.settings.imagery.paths)
        paths = self.settings.prediction.paths
        prediction = (
            self._catalogue.pictures("prediction.paths", paths) if paths else dict(training)
        )
        return Scenes(training, prediction)

    @property
    def training(self) -> list[str]:
        """Names of the scenes with labels."""
        return list(self.scenes.training)

    @cached_property
    def teaching(self) -> list[str]:
        """Names of the scenes that teach how road looks, in their order."""
        return chosen(self.training)

    @property
    def prediction(self) -> list[str]:
        """Names of the scenes to predict on."""
        return list(self.scenes.prediction)

    def source(self, scene: str) -> Source:
        """Return the picture that becomes a scene."""
        return self.scenes.all[scene]

    def source_state(self, scene: str) -> str:
        """Return the fingerprint of a scene's picture; empty where the run itself makes it."""
        is_made_here = self.settings.is_demo and scene in self.scenes.training
        return "" if is_made_here else self.source(scene).fingerprint

    def layer(self, key: str, flag: str | None = None) -> LayerUse:
        """Return how the layer under a config key is used; empty where it is not set.

        Rules ask for each sheet anew, so the answer is kept.

        Parameters
        ----------
        key
            Its section, such as ``street_lines``.
        flag
            What the stage calls it; `key` where nothing is given.
        """
        if (key, flag) not in self._layers:
            self._layers[key, flag] = self._looked_up(key, flag or key)
        return self._layers[key, flag]

    def _looked_up(self, key: str, flag: str) -> LayerUse:
        section: object = self.settings
        for part in key.split("."):
            section = getattr(section, part)
        if not isinstance(section, Layer):
            raise TypeError(f"{key} is no layer")
        values = keys.leaves(section)
        files: tuple[str, ...] = ()
        fingerprint = ""
        if section.path is not None:
            source = self._catalogue.layer(f"{key}.path", section.path)
            files, fingerprint = source.files, source.fingerprint
            values["path"] = source.path
        elif self.settings.is_demo and key in DEMO_LAYERS:
            built_in = DEMO_LAYERS[key]
            files = tuple(built_in_files(built_in.path))
            if key == "centerlines" and values["width_field"] is None and values["width"] is None:
                values["width_field"] = built_in.width_field
                values["width_unit"] = built_in.width_unit
            for name in ("path", "layer", "where"):
                values[name] = getattr(built_in, name) if values[name] is None else values[name]
        else:
            return LayerUse()
        arguments = (
            keys.argument(f"{flag}.{name}", value)
            for name, value in values.items()
            if value is not None
        )
        return LayerUse(files, tuple(arguments), fingerprint)

    def label_layer(self, key: str) -> LayerUse:
        """Return how labels use a layer; the roadbeds are for one way of labelling alone."""
        return LayerUse() if self._is_idle(key) else self.layer(key)

    def _is_idle(self, key: str) -> bool:
        return key == "labels.polygons" and self.settings.labels.method != "polygons"

    @property
    def label_answer(self) -> LayerUse:
        """The polygons that labels are held against.

        The demo city's own truth is not among them: nothing but the evaluation sees it.
        """
        if self.settings.labels.reference.path is None:
            return LayerUse()
        return self.layer("labels.reference", flag="reference")

    def files(self, key: str) -> list[str]:
        """Return the files that a leaf names as a rule's input; none where it names none here."""
        return [file for source in self._named(key) for file in source.files]

    def state(self, key: str) -> str:
        """Return the fingerprint of the files that a leaf names; empty where it names none."""
        return " ".join(source.fingerprint for source in self._named(key))

    def _named(self, key: str) -> list[Source]:
        is_name = key == "model.weights" and self.settings.network().file is None
        value = None if is_name else self._leaves[key]
        paths = value if isinstance(value, list) else [] if value is None else [value]
        return [self._catalogue.table(key, str(path)) for path in paths]

    @property
    def draws_lines(self) -> bool:
        """Whether there are lines to draw."""
        return self.settings.is_demo or self.settings.centerlines.path is not None

    @property
    def scores_vectors(self) -> bool:
        """Whether the map's lines tell how good the network of the predicted streets is."""
        return (
            not self.predicts_only
            and self.draws_lines
            and set(self.training) <= set(self.prediction)
        )

    @property
    def predicted_with_map(self) -> list[str]:
        """The predicted scenes of whose roads the map tells which pass over one another."""
        if self.predicts_only or not self.draws_lines:
            return []
        return [name for name in self.prediction if name in self.scenes.training]

    @property
    def labels_from_lines(self) -> bool:
        """Whether labels are made from lines."""
        return self.settings.labels.method in USES_LINES

    @property
    def labels_from_regions(self) -> bool:
        """Whether labels are decided from evidence, which is then recorded."""
        return self.settings.labels.method == "regions"

    def label_options(self) -> list[str]:
        """Return the settings that the chosen way of labelling uses, and no others."""
        method = self.settings.labels.method
        return self.options("labels.method", "labels.shift", "classes", *LABEL_KEYS[method])

    def label_source(self, scene: str) -> Source | None:
        """Return the ready mask of a scene, where labels are such."""
        pattern = self.settings.labels.raster.path
        if self.settings.labels.method != "raster" or pattern is None:
            return None
        path = pattern.replace("{scene}", scene)
        return self._catalogue.picture("labels.raster.path", path)

    def require_label_rasters(self) -> None:
        """Refuse a run that would end at a scene without its ready mask.

        Raises
        ------
        PlanningError
            Naming the first of the files that are not there.
        """
        problems: list[str] = []
        for scene in [] if self.predicts_only else self.training:
            try:
                self.label_source(scene)
            except PlanningError as error:
                problems += error.problems
        if problems:
            others = len(problems) - TOLD
            more = [f"labels.raster.path: and {others} more scenes have none"] if others > 0 else []
            raise PlanningError(*problems[:TOLD], *more)

    def require_layers(self) -> None:
        """Refuse a run whose jobs would end at a layer, field or filter that its file hasn't.

        Raises
        ------
        PlanningError
            Naming all of them.
        """
        sources = {
            key: self._catalogue.layer(f"{key}.path", layer.path)
            for key, layer in checks.layers(self.settings)
            if layer.path is not None and self._is_read(key, layer.path)
        }
        if not sources:
            return
        # Half a second, which a run without files of its own need not wait.
        from planning.layers import problems  # noqa: PLC0415

        found = [*problems(self.settings, sources)]
        if found:
            raise PlanningError(*found)

    def _is_read(self, key: str, path: str) -> bool:
        """Whether a layer of this run is there already, and used."""
        is_made_here = self.settings.is_demo and normal(path) in layout.OUTPUTS
        return not (self._is_idle(key) or is_made_here)

    def require_bands_of_network(self) -> None:
        """Refuse `prediction.bands` that are not as many as those of a ready network.

        Raises
        ------
        PlanningError
            If they are not, or the network's file does not tell.
        """
        given = self.settings.prediction.bands
        if given is None or not self.predicts_only:
            return
        for path in self.files("prediction.model"):
            try:
                sought = len(read_card(path).bands)
            except InputError as error:
                raise PlanningError(f"prediction.model: {error}") from None
            if sought != len(given):
                problem = checks.wrong_number_of_bands(len(given), sought)
                raise PlanningError(f"prediction.bands: {problem}")

    def require_label_sources(self) -> None:
        """Refuse to make labels without what they are made from.

        With `prediction.model` the settings need none, but somebody may ask for masks by name.

        Raises
        ------
        PlanningError
            Naming the keys that are not set.
        """
        problems = [*map(str, checks.missing_label_sources(self.settings))]
        if problems:
            raise PlanningError(*problems)

    @property
    def predicts_only(self) -> bool:
        """Whether a ready model is applied, and nothing is trained."""
        return self.settings.prediction.model is not None

    def is_trained_on(self, scene: str) -> bool:
        """Whether the network of this run learns from a scene."""
        return not self.predicts_only and scene in self.scenes.training

    @cached_property
    def flights(self) -> dict[str, list[str]]:
        """The scenes that are brought to the training's tone together, by their flight's name."""
        if self.settings.prediction.tone == "none":
            return {}
        training, prediction = self.scenes.training, self.scenes.prediction
        if not self.predicts_only:
            return flights(prediction, known=training)
        # Scenes that are only scored must not be waited for, nor change the others' flight.
        scored = {name: training[name] for name in training if name not in prediction}
        return flights(prediction, known={}) | {
            f"{name}_scored": scenes for name, scenes in flights(scored, known={}).items()
        }

    @property
    def has_map(self) -> bool:
        """Whether there is a map to hold pictures against, whatever is trained on."""
        return not any(checks.missing_label_sources(self.settings))

    @property
    def remarks(self) -> list[str]:
        """What a person should know before the run that is no reason to refuse it."""
        settings = self.settings
        map_paths = (
            settings.street_lines.path,
            settings.centerlines.path,
            settings.labels.polygons.path,
            settings.labels.raster.path,
        )
        if not self.predicts_only or settings.in_pixels or not any(map_paths):
            return []
        return [
            f"warning: {problem}; without it there is no map, so changes are left out"
            for problem in checks.missing_label_sources(settings)
        ]

    @cached_property
    def comparison(self) -> Comparison:
        """Which scenes are held against the map."""
        return compare(
            training={} if self.predicts_only else self.scenes.training,
            prediction=self.scenes.prediction,
            obstacle=self._obstacle,
        )

    def _obstacle(self, scene: str) -> str | None:
        """Return why nothing can be compared on a scene, as far as the settings tell."""
        if self.settings.in_pixels:
            return "the pictures lie nowhere on the ground, so streets have no length there"
        if not self.has_map:
            return "there is no map: what labels.method needs is not set"
        try:
            self.label_source(scene)
        except PlanningError:
            return "labels.raster.path names no file for it"
        return None

    def flight_files(self, batch: Collection[str]) -> list[str]:
        """Return the files of the flights that these scenes belong to."""
        return [
            f"{self.settings.results}/tone/flights/{name}.json"
            for name, scenes in self.flights.items()
            if not set(batch).isdisjoint(scenes)
        ]

    @cached_property
    def batches(self) -> dict[str, list[str]]:
        """The sheets that one job predicts, by the batch's name."""
        training, prediction = self.scenes.training, self.scenes.prediction
        # Apart, so that imagery to predict on comes and goes without touching the scored sheets,
        # and the target `predictions` makes none besides.
        groups = (
            [name for name in training if name in prediction],
            [name for name in prediction if name not in training],
            [name for name in training if name not in prediction],
        )
        chunks = [chunk for group in groups for chunk in batches(group)]
        return {f"batch_{number:04d}": chunk for number, chunk in enumerate(chunks, start=1)}

    @cached_property
    def sheet_groups(self) -> dict[str, list[str]]:
        """The sheets among which neighbours are looked for, by the group's name.

        Sheets that are scored see one another alone, so that their figures stay as they are
        while imagery to predict on comes and goes; that imagery sees all sheets.
        """
        if self.predicts_only:
            groups = {"predicted": self.prediction}
            if set(self.training) - set(self.prediction):
                groups["scored"] = self.training
            return groups
        groups = {"scored": self.training}
        others = [name for name in self.prediction if name not in self.scenes.training]
        if others:
            # Sheets whose bands stand for others can't continue one another's picture.
            is_apart = self.settings.prediction.bands is not None
            groups["predicted"] = others if is_apart else list(self.scenes.all)
        return groups

    def bands_of(self, batch: list[str]) -> list[str]:
        """Return the option that names a batch's bands; those trained on are in the model."""
        return self.options("prediction.bands") if self.group_of(batch) == "predicted" else []

    def group_of(self, batch: list[str]) -> str:
        """Return the group in which the sheets of a batch look for their neighbours."""
        groups = self.sheet_groups.items()
        return next((name for name, sheets in groups if set(batch) <= set(sheets)), "")


def sheets_beside(index: str | Path, batch: Iterable[str]) -> list[str]:
    """Return the sheets that a batch's windows see beyond the borders of its own.

    Parameters
    ----------
    index
        The file that command `neighbours` wrote.
    batch
        Names of sheets.

    Raises
    ------
    PlanningError
        If the file can't be read.
    """
    try:
        found = _neighbours(Path(index), Path(index).stat().st_mtime_ns)
        return sorted({other for name in batch for other in found[name]})
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise PlanningError(f"{index} can't be read ({error!r}). Remove it and run again") from None


@lru_cache(maxsize=4)
def _neighbours(index: Path, _state: int) -> dict[str, list[str]]:
    """Read who lies beside whom, anew when the file's state is another: each batch asks."""
    found: dict[str, list[str]] = json.loads(index.read_text(encoding="utf-8"))["neighbours"]
    return found


def batches(names: Iterable[str], size: int = BATCH) -> Iterator[list[str]]:
    """Cut sorted names into batches of about `size`.

    The names themselves decide where a batch ends, not their number: a sheet that is added or
    taken away changes its own batch alone, where counting would shift all that follow.
    """
    ordered = sorted(names)
    if 0 < len(ordered) <= size:
        yield ordered
        return
    batch: list[str] = []
    for name in ordered:
        batch.append(name)
        if zlib.crc32(name.encode()) % size == 0 or len(batch) == 2 * size:
            yield batch
            batch = []
    if batch:
        yield batch


def built_in_files(path: str) -> list[str]:
    """Return the files of the demo city that make up the layer at `path`."""
    start = path.rpartition(".")[0] + "."
    others = [name for name in layout.OUTPUTS if name.startswith(start) and name != path]
    return [path, *others]


def summary(results: Path) -> list[str]:
    """Return the lines that a finished run ends with.

    Parameters
    ----------
    results
        The results folder.
    """
    lines = []
    selection = results / "selection" / "summary.json"
    if selection.is_file():
        lines += selection_lines(json.loads(selection.read_text(encoding="utf-8")))
    for name, what in (
        ("masks.vrt", "masks"),
        ("predictions", "predictions"),
        ("vectors", "vectors"),
        ("evaluation/metrics.json", "figures"),
        ("changes/changes.gpkg", "changes"),
        ("report/index.html", "report"),
        ("roads.qgz", "in QGIS"),
    ):
        if (results / name).exists():
            lines.append(f"{what}: {results / name}")
    return lines


def selection_lines(table: dict[str, Any]) -> list[str]:
    """Return the selection's summary as text: its tiles by verdict and reason.

    Parameters
    ----------
    table
        The content of ``selection/summary.json``.
    """
    lines = [f"{table['tiles']:>8} tiles in {len(table['scenes'])} scenes"]
    for verdict, count in table["verdicts"].items():
        lines.append(f"{count:>8} {verdict}")
        reasons = table["reasons"].get(verdict, {})
        lines += [f"{number:>8}   {reason}" for reason, number in reasons.items()]
    return lines
