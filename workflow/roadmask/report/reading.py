"""What the stages before left, read and put in the report's terms."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import rasterio
from pyproj import CRS as ProjectedCRS  # noqa: N811 (rasterio has one of the same name)
from rasterio.io import DatasetReader

from roadmask.errors import InputError
from roadmask.files import sha256
from roadmask.grid import Grid
from roadmask.model.card import Card
from roadmask.model.joint import read_joint_card

AGAIN = "Remove it and run again"


@dataclass(frozen=True)
class Paths:
    """The files that a report is made from.

    Attributes
    ----------
    results
        The results folder, in which a scene's files are found by its name.
    predicted, labelled
        Names of the scenes with a prediction, and with a mask.
    models
        The ``.keras`` files; one, where the network was trained in this run.
    history, selection, dataset, evaluation
        What training left behind; None where a ready model was applied.
    vectors, network
        What stage vectors drew, and how the network scored; None where there is none.
    changes
        Where map and picture disagree, in numbers; the places lie beside it. None likewise.
    """

    results: Path
    predicted: tuple[str, ...]
    labelled: tuple[str, ...]
    models: tuple[Path, ...]
    history: Path | None
    selection: Path | None
    dataset: Path | None
    evaluation: Path | None
    vectors: Path | None = None
    network: Path | None = None
    changes: Path | None = None

    def scene(self, name: str) -> Path:
        """Return the picture of a scene."""
        return self.results / "scenes" / f"{name}.tif"

    def mask(self, name: str) -> Path:
        """Return the label raster of a scene."""
        return self.results / "masks" / f"{name}.tif"

    def prediction(self, name: str) -> Path:
        """Return the class raster of a scene."""
        return self.results / "predictions" / f"{name}.tif"

    def record(self, name: str) -> Path:
        """Return what stage predictions tells of a scene's windows."""
        return self.results / "predictions" / f"{name}.json"

    def probability(self, name: str) -> Path:
        """Return the probability raster of a scene."""
        return self.results / "predictions" / "probability" / f"{name}.tif"


@dataclass(frozen=True)
class Scene:
    """A scene and what is known of it.

    Attributes
    ----------
    name
        Its name.
    grid
        Its pixels.
    bands, dtype
        Of the source.
    source, georeference
        The file it was made from, and what told where it lies.
    shares
        Of each class and of what is not known in its mask; None without a mask.
    is_predicted
        Whether there is a prediction of it.
    seen_bands
        Which of its bands the network saw, in the network's order; None where it saw none.
    seen_metres
        The side of a pixel as the network saw it, which may have been resampled; None where it
        saw none.
    """

    name: str
    grid: Grid
    bands: int
    dtype: str
    source: str
    georeference: str
    shares: dict[str, float] | None
    is_predicted: bool
    seen_bands: tuple[int, ...] | None
    seen_metres: float | None

    @cached_property
    def facts(self) -> dict[str, str]:
        """What scenes often have in common, by its name in the table."""
        return {
            "CRS": self.crs_name,
            "pixel": self.pixel_text,
            "bands": f"{self.bands} × {self.dtype}",
            "georeference": self.georeference,
        }

    @property
    def crs_name(self) -> str:
        """The CRS in words, with its EPSG code where it has one."""
        if self.grid.crs is None:
            return "none"
        crs = ProjectedCRS.from_wkt(self.grid.crs.to_wkt())
        code = self.grid.crs.to_epsg()
        return f"EPSG:{code}, {crs.name}" if code else str(crs.name)

    @property
    def pixel_text(self) -> str:
        """The size of a pixel, in the CRS's unit and on the ground."""
        crs = self.grid.crs
        if crs is None:
            return "not known"
        unit = ProjectedCRS.from_wkt(crs.to_wkt()).axis_info[0].unit_name
        across = self.grid.transform
        edge = (across.a**2 + across.d**2) ** 0.5
        metres = " × ".join(f"{side:.3g}" for side in _distinct(self.grid.pixel_metres))
        return f"{metres} m" if unit == "metre" else f"{metres} m ({edge:.6g} {unit})"


@dataclass(frozen=True)
class Windows:
    """How the network saw the scenes, which is the same for all.

    Attributes
    ----------
    size, halo, step
        Pixels of a window's edge, of what it sees beyond its own ground on each side, and from
        one window to the next.
    """

    size: int
    halo: int
    step: int

    @property
    def cost(self) -> float:
        """Pixels that the network sees for each pixel of a large sheet."""
        return (self.size / self.step) ** 2


@dataclass(frozen=True)
class Sources:
    """All that the page is made of.

    Attributes
    ----------
    paths
        The files.
    scenes
        By name.
    card
        Of the model, or of the mean of several.
    model_sha256
        Of each file.
    windows
        In which it saw the scenes.
    seam
        The mean jump of the probability where windows meet, over that which one window has at
        the same place, over all predicted scenes; None where no scene has several windows.
    history
        One row an epoch; a figure that training could not tell is None.
    selection, dataset, metrics, vectors, network
        The content of the JSON files.
    tiles
        The rows of the evaluation's table on test ground, read anew every time: those of a
        state don't fit into memory.
    curves
        The rows of its table of thresholds.
    blocks, split_tiles
        The two layers of the split.
    """

    paths: Paths
    scenes: tuple[Scene, ...]
    card: Card
    model_sha256: tuple[str, ...]
    windows: Windows
    seam: float | None
    history: tuple[dict[str, float | None], ...] | None
    selection: dict[str, Any] | None
    dataset: dict[str, Any] | None
    metrics: dict[str, Any] | None
    tiles: Iterable[dict[str, str]] | None
    curves: tuple[dict[str, str], ...] | None
    blocks: gpd.GeoDataFrame | None
    split_tiles: gpd.GeoDataFrame | None
    vectors: dict[str, Any] | None = None
    network: dict[str, Any] | None = None
    changes: dict[str, Any] | None = None


@dataclass(frozen=True)
class TestTiles:
    """The rows of ``evaluation/tiles.csv`` that lie on test ground.

    Attributes
    ----------
    path
        The file.
    """

    path: Path

    def __iter__(self) -> Iterator[dict[str, str]]:
        """Read the file from its start."""
        return (row for row in _read_csv(self.path) if row["split"] == "test")


def read_sources(paths: Paths) -> Sources:
    """Read everything but pictures.

    Raises
    ------
    InputError
        If a file is missing or not what its stage writes.
    """
    evaluated = paths.evaluation
    records = {name: _read_json(paths.record(name)) for name in paths.predicted}
    first = records[paths.predicted[0]]
    split = None if paths.dataset is None else paths.dataset.with_name("split.gpkg")
    return Sources(
        paths=paths,
        scenes=tuple(_read_scene(paths, name, records.get(name)) for name in _all_names(paths)),
        card=read_joint_card(paths.models),
        model_sha256=tuple(sha256(path) for path in paths.models),
        windows=Windows(first["window"], first["halo"], first["step"]),
        seam=_seam(list(records.values())),
        history=None if paths.history is None else tuple(_read_history(paths.history)),
        selection=None if paths.selection is None else _read_json(paths.selection),
        dataset=None if paths.dataset is None else _read_json(paths.dataset),
        metrics=None if evaluated is None else _read_json(evaluated),
        tiles=None if evaluated is None else TestTiles(evaluated.with_name("tiles.csv")),
        curves=(
            None
            if evaluated is None
            else tuple(_read_csv(evaluated.with_name("precision_recall.csv")))
        ),
        blocks=None if split is None else _read_layer(split, "blocks"),
        split_tiles=None if split is None else _read_layer(split, "tiles"),
        vectors=None if paths.vectors is None else _read_json(paths.vectors),
        network=None if paths.network is None else _read_json(paths.network),
        changes=None if paths.changes is None else _read_json(paths.changes),
    )


@contextmanager
def opened(path: Path) -> Iterator[DatasetReader]:
    """Open a raster.

    Raises
    ------
    InputError
        If it can't be read.
    """
    try:
        with rasterio.open(path) as dataset:
            yield dataset
    except rasterio.errors.RasterioIOError as error:
        raise InputError(path, f"it can't be read ({error})", AGAIN) from error


def _all_names(paths: Paths) -> list[str]:
    return sorted({*paths.predicted, *paths.labelled})


def _read_scene(paths: Paths, name: str, record: Mapping[str, Any] | None) -> Scene:
    shares = None
    if name in paths.labelled:
        shares = dict(_read_json(paths.mask(name).with_suffix(".json"))["shares"])
    with opened(paths.scene(name)) as dataset:
        tags = dataset.tags()
        return Scene(
            name=name,
            grid=Grid.from_dataset(dataset),
            bands=dataset.count,
            dtype=dataset.dtypes[0],
            source=tags.get("ROADMASK_SOURCE", ""),
            georeference=tags.get("ROADMASK_GEOREFERENCE", ""),
            shares=shares,
            is_predicted=record is not None,
            seen_bands=None if record is None else _seen_bands(paths.prediction(name)),
            seen_metres=None if record is None else record["pixel_metres"],
        )


def _seen_bands(prediction: Path) -> tuple[int, ...]:
    """Return the bands of a scene that its prediction was made from."""
    with opened(prediction) as dataset:
        try:
            settings = json.loads(dataset.tags()["ROADMASK_SETTINGS"])
            return tuple(int(band) for band in settings["prediction.bands"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                prediction, "its tags don't say which bands were seen", AGAIN
            ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(path, f"it can't be read ({error})", AGAIN) from error
    return content


def _seam(records: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the mean jump where windows meet over that within one window at the same place."""
    means = []
    for kind in ("border", "inner"):
        seams = (record["seam"] for record in records)
        found = [(seam[f"{kind}_pairs"], seam[f"{kind}_jump"]) for seam in seams]
        pairs = sum(count for count, _ in found)
        means.append(sum(count * (mean or 0.0) for count, mean in found) / max(pairs, 1))
    return means[0] / means[1] if all(means) else None


def _read_csv(path: Path) -> Iterator[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
    except (OSError, ValueError) as error:
        raise InputError(path, f"it can't be read ({error})", AGAIN) from error


def _read_history(path: Path) -> Iterator[dict[str, float | None]]:
    for row in _read_csv(path):
        yield {name: float(cell) if cell else None for name, cell in row.items()}


def _read_layer(path: Path, layer: str) -> gpd.GeoDataFrame:
    try:
        return pyogrio.read_dataframe(path, layer=layer)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(path, f"it can't be read ({error})", AGAIN) from error


def _distinct(sides: tuple[float, float]) -> tuple[float, ...]:
    """Return one side where a pixel is square to a hundredth, else both."""
    return sides[:1] if abs(sides[0] / sides[1] - 1) < 0.01 else sides
