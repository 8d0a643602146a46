"""What the project shows: the layers that a run made, with their groups, order and themes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rasterio.coords import BoundingBox
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from roadmask.errors import InputError
from roadmask.project import styles
from roadmask.project.document import Group, Layer, Project
from roadmask.project.raster_layers import (
    Mosaic,
    class_styles,
    likeness_styles,
    opened,
    picture_styles,
    probability_styles,
    raster_layers,
    read_mosaics,
)
from roadmask.project.vector_layers import CHANGES, PIECES, SPLIT, network, vector_layers


@dataclass(frozen=True)
class Made:
    """The files that a run made, as far as it made them.

    Attributes
    ----------
    pictures, masks, looks, predictions, probability
        Manifests of mosaics.
    pieces, split
        GeoPackages.
    vectors, changes
        GeoPackages, or lists of them.
    """

    pictures: Path
    masks: Path | None = None
    looks: Path | None = None
    predictions: Path | None = None
    probability: Path | None = None
    pieces: Path | None = None
    split: Path | None = None
    vectors: Path | None = None
    changes: Path | None = None


def describe(made: Made, folder: Path) -> Project:
    """Put the layers of a run together.

    Parameters
    ----------
    made
        The run's files.
    folder
        Where the project will stand; its paths are relative to it.

    Returns
    -------
    Project
        In the CRS that most pictures have, at the extent of all pictures.

    Raises
    ------
    InputError
        If no picture lies anywhere on the ground, or a file can't be read.
    """
    mosaics = read_mosaics(made.pictures)
    if not mosaics:
        raise InputError(
            made.pictures,
            "no picture has a CRS, so there is no map to open",
            "Give the pictures a place on the ground, or leave this stage out",
        )
    pictures = raster_layers(made.pictures, folder, "Picture", picture_styles, is_shown=True)
    masks = raster_layers(made.masks, folder, "Mask", class_styles, is_shown=True)
    looks = raster_layers(made.looks, folder, "Looks like road", likeness_styles)
    predictions = raster_layers(
        made.predictions, folder, "Prediction", class_styles, is_shown=not masks
    )
    probability = raster_layers(made.probability, folder, "Probability", probability_styles)
    pieces = vector_layers(made.pieces, folder, PIECES)
    split = vector_layers(made.split, folder, SPLIT)
    vectors = vector_layers(made.vectors, folder, network(_class_colours(made)))
    changes = vector_layers(made.changes, folder, CHANGES)
    groups = {
        "Changes": changes,
        "Road network": vectors,
        "Split": split,
        "Pieces of ground": pieces,
        "Predictions": [*predictions, *probability],
        "Labels": [*masks, *looks],
        "Pictures": pictures,
    }
    themes = {
        "Changes": [*changes, *masks] if changes else [],
        "Labels": masks,
        "Looks": looks,
        "Predictions": predictions,
        "Probability": probability,
        "Pieces of ground": pieces,
        "Road network": vectors,
        "Split": split,
    }
    crs = _main_crs(mosaics)
    return Project(
        title="Roads",
        crs=crs,
        bounds=_joined(pictures, crs),
        groups=tuple(Group(name, tuple(layers)) for name, layers in groups.items() if layers),
        themes={name: [*layers, *pictures] for name, layers in themes.items() if layers},
    )


def _class_colours(made: Made) -> dict[str, styles.Rgba]:
    """Return the colours of the classes by name, as the class rasters have them."""
    for manifest in (made.predictions, made.masks):
        if manifest is not None:
            for mosaic in read_mosaics(manifest):
                return styles.class_colours(mosaic.path.with_suffix(".qml"))
    return {}


def _main_crs(mosaics: Sequence[Mosaic]) -> CRS:
    """Return the CRS that most sheets have."""
    sheets: dict[str, int] = {}
    for mosaic in mosaics:
        sheets[mosaic.crs] = sheets.get(mosaic.crs, 0) + mosaic.sheets
    chosen = max(sorted(sheets), key=lambda label: sheets[label])
    path = next(mosaic.path for mosaic in mosaics if mosaic.crs == chosen)
    with opened(path) as dataset:
        return dataset.crs


def _joined(layers: Sequence[Layer], crs: CRS) -> BoundingBox:
    """Return the extent of all layers, in one CRS."""
    boxes = [
        layer.bounds if layer.crs == crs else transform_bounds(layer.crs, crs, *layer.bounds)
        for layer in layers
        if layer.bounds is not None and layer.crs is not None
    ]
    left, bottom, right, top = zip(*boxes, strict=True)
    return BoundingBox(min(left), min(bottom), max(right), max(top))
