"""Writing the demo city: sheets as JP2, the map as shapefiles, the truth as a GeoPackage."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import numpy.typing as npt
import rasterio
import shapely
from affine import Affine
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from roadmask.demo.layout import EPSG, PIXEL, SOUTH, WEST, Sheet
from roadmask.demo.vectors import Feature
from roadmask.files import replacing, replacing_folder

# A fifth of the size without compression: no loss that the eye sees, and quick to read. Tiles
# let a reader skip what it does not need.
JP2_OPTIONS = {
    "driver": "JP2OpenJPEG",
    "QUALITY": "20",
    "REVERSIBLE": "NO",
    "RESOLUTIONS": "5",
    "BLOCKXSIZE": "512",
    "BLOCKYSIZE": "512",
    "YCBCR420": "NO",
    "YCC": "NO",
    "GMLJP2": "NO",
    "GeoJP2": "YES",
}


def on_the_map(geometry: BaseGeometry) -> BaseGeometry:
    """Move a geometry from the ground's own corner to New York's State Plane, in feet."""
    moved = shapely.transform(geometry, lambda xy: xy + np.array([WEST, SOUTH]))
    # The heights are left alone by a transform of x and y.
    return shapely.transform(
        geometry,
        lambda xyz: np.round(xyz + np.array([WEST, SOUTH, 0.0])[: xyz.shape[1]], 4),
        include_z=bool(moved.has_z),
    )


def write_sheet(path: Path, sheet: Sheet, picture: npt.NDArray[np.uint8]) -> None:
    """Write one sheet.

    Parameters
    ----------
    path : pathlib.Path
        The JP2 file.
    sheet : Sheet
        Where it lies.
    picture : numpy.ndarray of uint8, shape (4, rows, columns)
        Red, green, blue, near infrared.
    """
    count, rows, columns = picture.shape
    north = SOUTH + sheet.south + sheet.height
    with (
        replacing(path) as temporary,
        rasterio.open(
            temporary,
            "w",
            width=columns,
            height=rows,
            count=count,
            dtype="uint8",
            crs=f"EPSG:{EPSG}",
            transform=Affine(PIXEL, 0, WEST + sheet.west, 0, -PIXEL, north),
            **JP2_OPTIONS,
        ) as target,
    ):
        target.write(picture)


def _frame(features: list[Feature]) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(
        [feature.fields for feature in features],
        geometry=[on_the_map(feature.geometry) for feature in features],
        crs=CRS.from_epsg(EPSG),
    )


def write_shapefile(path: Path, features: list[Feature], *, heights: bool) -> None:
    """Write line features as a shapefile, all its files at once.

    Parameters
    ----------
    path : pathlib.Path
        The ``.shp`` file; its side files come to lie beside it.
    features : list of Feature
        Lines, all with the same fields.
    heights : bool
        Whether the shapefile holds PolylineZ.
    """
    with replacing_folder(path.parent / f".{path.stem}") as folder:
        _frame(features).to_file(
            folder / path.name,
            engine="pyogrio",
            driver="ESRI Shapefile",
            encoding="UTF-8",
            promote_to_multi=False,
            geometry_type="LineString Z" if heights else "LineString",
        )
    folder = path.parent / f".{path.stem}"
    for part in sorted(folder.iterdir()):
        part.replace(path.parent / part.name)
    folder.rmdir()


def write_geopackage(path: Path, layers: dict[str, list[Feature]]) -> None:
    """Write polygons or lines as layers of one GeoPackage.

    Parameters
    ----------
    path : pathlib.Path
        The ``.gpkg`` file.
    layers : dict
        Features by the layer's name; none of the layers is empty.
    """
    with replacing(path) as temporary:
        for name, features in layers.items():
            _frame(features).to_file(temporary, engine="pyogrio", driver="GPKG", layer=name)
