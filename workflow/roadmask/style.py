"""Colours of class rasters: the table inside the file and the QGIS style beside it."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from roadmask.files import write_text

Rgb = tuple[int, int, int]
Colour = tuple[int, int, int, int]

OTHER = 0
UNKNOWN = 255
OTHER_COLOUR: Colour = (0, 0, 0, 0)
UNKNOWN_COLOUR: Colour = (150, 150, 150, 255)
# The first is road, warm against roofs and trees; the rest tell apart at a glance.
CLASS_COLOURS: tuple[Rgb, ...] = (
    (240, 110, 30),
    (60, 130, 220),
    (90, 190, 90),
    (200, 60, 160),
    (240, 210, 60),
    (110, 80, 200),
    (40, 190, 190),
    (160, 110, 60),
    (220, 50, 50),
    (150, 200, 40),
)
# Turning the hue by this share of the circle keeps many colours apart.
GOLDEN = 0.618033988749895
# What the colours beyond those take in turns, so that neighbours in hue differ besides.
LIGHTNESS = (0.45, 0.65, 0.3)
SATURATION = (0.9, 0.6)


def class_colours(count: int, given: Sequence[Rgb | None] = ()) -> tuple[Rgb, ...]:
    """Return the colours of the classes from 1 on.

    Parameters
    ----------
    count
        Number of classes.
    given
        Colours that the label source itself has for them, None or missing where it has none.

    Returns
    -------
    tuple of (int, int, int)
        One a class: the given one, or one of the palette, which never ends.
    """
    wanted = [*given, *[None] * count][:count]
    return tuple(_from_palette(i) if colour is None else colour for i, colour in enumerate(wanted))


def _from_palette(index: int) -> Rgb:
    if index < len(CLASS_COLOURS):
        return CLASS_COLOURS[index]
    further = index - len(CLASS_COLOURS)
    lightness = LIGHTNESS[further % len(LIGHTNESS)]
    saturation = SATURATION[further // len(LIGHTNESS) % len(SATURATION)]
    red, green, blue = colorsys.hls_to_rgb(index * GOLDEN % 1, lightness, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)


def legend(
    class_names: Sequence[str], colours: Sequence[Rgb | None] = ()
) -> list[tuple[int, str, Colour]]:
    """List value, name and colour of all that a class raster can hold.

    Parameters
    ----------
    class_names
        The classes in their order, which count from 1; without ``other``.
    colours
        As `class_colours` takes them.

    Returns
    -------
    list of tuple
        ``other`` first, which is transparent, and ``not known`` last.
    """
    chosen = class_colours(len(class_names), colours)
    return [
        (OTHER, "other", OTHER_COLOUR),
        *(
            (value, name, (*colour, 255))
            for value, (name, colour) in enumerate(zip(class_names, chosen, strict=True), start=1)
        ),
        (UNKNOWN, "not known", UNKNOWN_COLOUR),
    ]


def colour_table(
    class_names: Sequence[str], colours: Sequence[Rgb | None] = ()
) -> dict[int, Colour]:
    """Return the colour table of a class raster, value to red, green, blue, alpha.

    GeoTIFF drops the alpha of a palette; the QGIS style beside the raster keeps it.
    """
    return {value: colour for value, _, colour in legend(class_names, colours)}


def category_names(class_names: Sequence[str]) -> list[str]:
    """Return GDAL's names of the values 0, 1, 2 and so on of a class raster, as XML lines."""
    names = ("other", *class_names)
    lines = (f"  <Category>{escape(name)}</Category>" for name in names)
    return ["<CategoryNames>", *lines, "</CategoryNames>"]


def write_category_names(raster: Path, class_names: Sequence[str]) -> None:
    """Write the names of a class raster's values where GDAL looks for them.

    A GeoTIFF has no place for them inside, so GDAL keeps them in ``x.tif.aux.xml``.

    Parameters
    ----------
    raster
        The GeoTIFF.
    class_names
        The classes from 1 on.
    """
    inner = "\n".join(f"    {line}" for line in category_names(class_names))
    write_text(
        raster.with_name(f"{raster.name}.aux.xml"),
        f'<PAMDataset>\n  <PAMRasterBand band="1">\n{inner}\n  </PAMRasterBand>\n</PAMDataset>\n',
    )


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
