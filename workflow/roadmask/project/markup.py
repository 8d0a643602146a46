"""Small pieces of the XML in which QGIS keeps projects and styles."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement

from rasterio.coords import BoundingBox
from rasterio.crs import CRS


def element(tag: str, *children: Element, **attributes: object) -> Element:
    """Make an element with children; attributes are written as text."""
    made = Element(tag, {name: str(value) for name, value in attributes.items()})
    made.extend(children)
    return made


def text_element(tag: str, text: object, **attributes: object) -> Element:
    """Make an element that holds text."""
    made = element(tag, **attributes)
    made.text = str(text)
    return made


def options(values: Mapping[str, str]) -> Element:
    """Make QGIS's map of named text values."""
    entries = [
        element("Option", name=name, type="QString", value=value) for name, value in values.items()
    ]
    return element("Option", *entries, type="Map")


def spatial_reference(crs: CRS | None) -> Element:
    """Describe a CRS by its definition and, where an authority has exactly this one, its code.

    Parameters
    ----------
    crs
        None for a layer that lies nowhere.

    Returns
    -------
    xml.etree.ElementTree.Element
        QGIS reads the code where there is one, else the definition.
    """
    reference = element("spatialrefsys", nativeFormat="Wkt")
    if crs is not None:
        SubElement(reference, "wkt").text = crs.to_wkt()
        code = crs.to_epsg()
        # A CRS that merely resembles one of the register's keeps its own definition.
        if code is not None and CRS.from_epsg(code) == crs:
            SubElement(reference, "authid").text = f"EPSG:{code}"
    return reference


def extent(bounds: BoundingBox, tag: str = "extent") -> Element:
    """Write four coordinates the way QGIS reads a layer's or the canvas's extent."""
    corners = {"xmin": bounds.left, "ymin": bounds.bottom, "xmax": bounds.right, "ymax": bounds.top}
    return element(tag, *(text_element(name, repr(value)) for name, value in corners.items()))
