"""The project file itself: groups, layers, themes, CRS and extent, as one archive.

QGIS documents its format by its code alone; what stands here is what QGIS 3.22 writes, less
what it fills in by itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from rasterio.coords import BoundingBox
from rasterio.crs import CRS

from roadmask.files import replacing
from roadmask.project.markup import element, extent, spatial_reference, text_element

DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
# The oldest version that is to open it; a later one reads older projects without a word.
QGIS_VERSION = "3.22.0"
# Of an extent's sides, beyond each of them.
MARGIN = 0.05
# The earliest time that an archive can hold.
NO_TIME = (1980, 1, 1, 0, 0, 0)


def relative(path: Path, folder: Path) -> str:
    """Return a file's path as a project in `folder` names it: both can be moved together."""
    return f"./{Path(os.path.relpath(path, folder)).as_posix()}"


@dataclass(frozen=True)
class Layer:
    """A layer as the project has it.

    Attributes
    ----------
    name
        As people see it.
    source
        Relative to the project, in QGIS's terms (``./split.gpkg|layername=blocks``).
    provider
        ``gdal`` or ``ogr``.
    crs, bounds
        Its CRS, and its extent there; no extent where it holds nothing.
    style
        What its element holds of QGIS's style: renderer, labels and so on.
    geometry
        ``Polygon``, ``Line`` or ``Point``; None for rasters.
    is_shown
        Whether it is seen when the project opens.
    below_scale
        The scale's denominator from which on it is drawn.
    """

    name: str
    source: str
    provider: str
    crs: CRS | None
    bounds: BoundingBox | None
    style: tuple[Element, ...]
    geometry: str | None = None
    is_shown: bool = False
    below_scale: int | None = None

    @property
    def key(self) -> str:
        """A name for QGIS that no other layer has, the same in every run."""
        plain = re.sub(r"[^A-Za-z0-9]+", "_", self.name)
        digest = hashlib.sha256(f"{self.source}\n{self.name}".encode()).hexdigest()
        return f"{plain}_{digest[:12]}"


@dataclass(frozen=True)
class Group:
    """Layers under one heading, the uppermost first."""

    name: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Project:
    """All that the file says.

    Attributes
    ----------
    title
        The project's title.
    crs
        Of the map; layers in others are brought into it.
    bounds
        The ground that it is about, in `crs`. The map opens at it, with a margin around.
    groups
        The uppermost first.
    themes
        By its name, the layers that it shows.
    """

    title: str
    crs: CRS
    bounds: BoundingBox
    groups: tuple[Group, ...]
    themes: Mapping[str, Sequence[Layer]] = field(default_factory=dict)

    @property
    def layers(self) -> list[Layer]:
        """All layers, the uppermost first."""
        return [layer for group in self.groups for layer in group.layers]


def write_project(path: Path, project: Project) -> None:
    """Write a project as ``.qgz``, whose bytes depend on what it says alone."""
    member = zipfile.ZipInfo(f"{path.stem}.qgs", date_time=NO_TIME)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = 0o644 << 16
    member.create_system = 3
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(member, project_text(project))


def project_text(project: Project) -> str:
    """Return the content of the ``.qgs`` file."""
    root = element(
        "qgis",
        element("homePath", path=""),
        text_element("title", project.title),
        element("projectCrs", spatial_reference(project.crs)),
        _tree(project),
        _canvas(project),
        element("projectlayers", *(_map_layer(layer) for layer in project.layers)),
        element("layerorder", *(element("layer", id=layer.key) for layer in project.layers)),
        _properties(),
        _themes(project),
        _view(project),
        projectname=project.title,
        version=QGIS_VERSION,
    )
    ElementTree.indent(root)
    return DOCTYPE + ElementTree.tostring(root, encoding="unicode") + "\n"


def _tree(project: Project) -> Element:
    groups = [
        element(
            "layer-tree-group",
            *(
                element(
                    "layer-tree-layer",
                    id=layer.key,
                    name=layer.name,
                    source=layer.source,
                    providerKey=layer.provider,
                    checked=_check(layer.is_shown),
                    expanded=int(layer.is_shown and layer.provider == "ogr"),
                )
                for layer in group.layers
            ),
            name=group.name,
            checked=_check(True),
            expanded=int(any(layer.is_shown for layer in group.layers)),
        )
        for group in project.groups
    ]
    return element("layer-tree-group", *groups)


def _check(is_on: bool) -> str:
    return "Qt::Checked" if is_on else "Qt::Unchecked"


def _canvas(project: Project) -> Element:
    """Return what the main window's map opens at."""
    return element(
        "mapcanvas",
        extent(_with_margin(project.bounds)),
        text_element("rotation", 0),
        element("destinationsrs", spatial_reference(project.crs)),
        name="theMapCanvas",
        annotationsVisible=1,
    )


def _with_margin(bounds: BoundingBox) -> BoundingBox:
    """Return an extent with room on all sides, for what is written beside features at its edge."""
    across = MARGIN * (bounds.right - bounds.left)
    up = MARGIN * (bounds.top - bounds.bottom)
    return BoundingBox(
        bounds.left - across, bounds.bottom - up, bounds.right + across, bounds.top + up
    )


def _map_layer(layer: Layer) -> Element:
    scale = layer.below_scale
    attributes: dict[str, object] = {
        "type": "raster" if layer.geometry is None else "vector",
        "styleCategories": "AllStyleCategories",
        "hasScaleBasedVisibilityFlag": int(scale is not None),
        "minScale": scale or 1e8,
        "maxScale": 0,
        "autoRefreshEnabled": 0,
    }
    if layer.geometry is not None:
        is_labelled = any(part.tag == "labeling" for part in layer.style)
        attributes |= {
            "geometry": layer.geometry,
            "labelsEnabled": int(is_labelled),
            "readOnly": 0,
        }
    provider = text_element("provider", layer.provider)
    if layer.geometry is not None:
        provider.set("encoding", "UTF-8")
    return element(
        "maplayer",
        *([] if layer.bounds is None else [extent(layer.bounds)]),
        text_element("id", layer.key),
        text_element("datasource", layer.source),
        text_element("layername", layer.name),
        element("srs", spatial_reference(layer.crs)),
        provider,
        *layer.style,
        **attributes,
    )


def _properties() -> Element:
    return element(
        "properties",
        element("Paths", text_element("Absolute", "false", type="bool")),
        element("SpatialRefSys", text_element("ProjectionsEnabled", 1, type="int")),
        # No label that the map's edge cuts: there is room on another side of its feature.
        element("PAL", text_element("ShowingPartialsLabels", "false", type="bool")),
    )


def _themes(project: Project) -> Element:
    presets = [
        element(
            "visibility-preset",
            *(
                element("layer", id=layer.key, style="default", visible=1, expanded=0)
                for layer in layers
            ),
            name=name,
        )
        for name, layers in project.themes.items()
    ]
    return element("visibility-presets", *presets)


def _view(project: Project) -> Element:
    bounds = project.bounds
    return element(
        "ProjectViewSettings",
        element(
            "DefaultViewExtent",
            spatial_reference(project.crs),
            xmin=repr(bounds.left),
            ymin=repr(bounds.bottom),
            xmax=repr(bounds.right),
            ymax=repr(bounds.top),
        ),
        UseProjectScales=0,
        rotation=0,
    )
