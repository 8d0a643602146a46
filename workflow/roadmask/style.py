"""Colours of class rasters: the table inside the file and the QGIS style beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from roadmask.files import write_text

Colour = tuple[int, int, int, int]

OTHER = 0
UNKNOWN = 255
OTHER_COLOUR: Colour = (0, 0, 0, 0)
UNKNOWN_COLOUR: Colour = (150, 150, 150, 255)
# The first is road, warm against roofs and trees; the rest tell apart at a glance.
CLASS_COLOURS: tuple[Colour, ...] = (
    (240, 110, 30, 255),
    (60, 130, 220, 255),
    (90, 190, 90, 255),
    (200, 60, 160, 255),
    (240, 210, 60, 255),
    (110, 80, 200, 255),
    (40, 190, 190, 255),
    (160, 110, 60, 255),
    (220, 50, 50, 255),
    (150, 200, 40, 255),
)


def legend(class_names: Sequence[str]) -> list[tuple[int, str, Colour]]:
    """List value, name and colour of all that a class raster can hold.

    Parameters
    ----------
    class_names
        The classes in their order, which count from 1; without ``other``.

    Returns
    -------
    list of tuple
        ``other`` first, which is transparent, and ``not known`` last.
    """
    entries = [(OTHER, "other", OTHER_COLOUR)]
    for value, name in enumerate(class_names, start=1):
        entries.append((value, name, CLASS_COLOURS[(value - 1) % len(CLASS_COLOURS)]))
    return [*entries, (UNKNOWN, "not known", UNKNOWN_COLOUR)]


def colour_table(class_names: Sequence[str]) -> dict[int, Colour]:
    """Return the colour table of a class raster, value to red, green, blue, alpha.

    GeoTIFF drops the alpha of a palette; the QGIS style beside the raster keeps it.
    """
    return {value: colour for value, _, colour in legend(class_names)}


def write_paletted_qml(path: str | Path, classes: Sequence[tuple[int, str, Colour]]) -> None:
    """Write a QGIS style for a class raster; QGIS loads it when the raster's stem is the same.

    Parameters
    ----------
    path
        The ``.qml`` file.
    classes
        Value, name and red, green, blue, alpha of each class; alpha 0 shows what lies below.
    """
    entries = "\n".join(
        f'        <paletteEntry value="{value}" label={quoteattr(name)} '
        f'color="#{red:02x}{green:02x}{blue:02x}" alpha="{alpha}"/>'
        for value, name, (red, green, blue, alpha) in classes
    )
    write_text(
        path,
        f"""<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.16" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <rasterTransparency/>
      <colorPalette>
{entries}
      </colorPalette>
    </rasterrenderer>
    <brightnesscontrast brightness="0" contrast="0" gamma="1"/>
    <huesaturation saturation="0" grayscaleMode="0"/>
    <rasterresampler maxOversampling="2"/>
  </pipe>
  <blendMode>0</blendMode>
</qgis>
""",
    )
