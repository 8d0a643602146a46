"""How the layers of the project look: renderers and labels in QGIS's XML.

The names and numbers are those that QGIS 3.22 itself writes; later versions read them too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from roadmask.errors import InputError
from roadmask.project.markup import element, options, text_element

Rgba = tuple[int, int, int, int]
Limits = Sequence[tuple[float, float]]

# Where QGIS puts a label: its own numbers.
BESIDE_POINT, PARALLEL, HORIZONTAL, OUTSIDE = 0, 2, 4, 8

# How much of the picture shows through a class raster.
OPACITY = 0.5
# From nothing over violet and red to yellow. Each step differs from the next in lightness too,
# so it is read by those who see no colours, and the picture shows through all of them.
RAMP: tuple[tuple[float, Rgba], ...] = (
    (0.0, (20, 10, 60, 0)),
    (0.1, (60, 15, 110, 80)),
    (0.25, (95, 20, 125, 140)),
    (0.5, (185, 55, 115, 165)),
    (0.75, (245, 125, 70, 165)),
    (1.0, (255, 225, 90, 150)),
)
SYMBOL_CLASSES = {"fill": "SimpleFill", "line": "SimpleLine", "marker": "SimpleMarker"}
COLOUR_CHANNELS = ("red", "green", "blue")


@dataclass(frozen=True)
class Symbol:
    """What one kind of feature is drawn with.

    Attributes
    ----------
    kind
        ``fill``, ``line`` or ``marker``.
    layers
        From the lowest up: the options of each of its layers.
    """

    kind: str
    layers: tuple[Mapping[str, str], ...]

    def xml(self, name: str) -> Element:
        """Return the symbol under a name."""
        drawn = [
            element(
                "layer",
                options(values),
                **{"class": SYMBOL_CLASSES[self.kind], "enabled": 1, "locked": 0, "pass": number},
            )
            for number, values in enumerate(self.layers)
        ]
        return element("symbol", *drawn, type=self.kind, name=name, alpha=1, clip_to_extent=1)


def colour_text(colour: Rgba) -> str:
    """Write a colour as QGIS does."""
    return ",".join(map(str, colour))


def fill(colour: Rgba, outline: Rgba, width: float = 0.3, pattern: str = "solid") -> Symbol:
    """Return the symbol of an area; `width` in millimetres on the screen."""
    return Symbol(
        "fill",
        (
            {
                "color": colour_text(colour),
                "style": pattern,
                "outline_color": colour_text(outline),
                "outline_style": "solid",
                "outline_width": f"{width:g}",
                "outline_width_unit": "MM",
                "joinstyle": "miter",
            },
        ),
    )


def line(colour: Rgba, width: float, casing: Rgba | None = None, style: str = "solid") -> Symbol:
    """Return the symbol of a line, over a wider one where there is a casing."""

    def drawn(ink: Rgba, millimetres: float, dashes: str) -> dict[str, str]:
        return {
            "line_color": colour_text(ink),
            "line_style": dashes,
            "line_width": f"{millimetres:g}",
            "line_width_unit": "MM",
            "capstyle": "round",
            "joinstyle": "round",
        }

    below = [] if casing is None else [drawn(casing, width + 0.6, "solid")]
    return Symbol("line", (*below, drawn(colour, width, style)))


def marker(colour: Rgba, outline: Rgba, size: float, shape: str = "circle") -> Symbol:
    """Return the symbol of a point; `size` in millimetres on the screen."""
    return Symbol(
        "marker",
        (
            {
                "name": shape,
                "color": colour_text(colour),
                "outline_color": colour_text(outline),
                "outline_width": "0.3",
                "outline_width_unit": "MM",
                "size": f"{size:g}",
                "size_unit": "MM",
            },
        ),
    )


def _ordering(attribute: str | None) -> list[Element]:
    """Return the order of drawing: ascending, so that the greatest lies on top."""
    if attribute is None:
        return []
    clause = text_element("orderByClause", f'"{attribute}"', asc=1, nullsFirst=1)
    return [element("orderby", clause)]


def single(symbol: Symbol) -> Element:
    """Return a renderer that draws all features alike."""
    return element("renderer-v2", element("symbols", symbol.xml("0")), type="singleSymbol")


def categorized(
    attribute: str,
    categories: Sequence[tuple[str, str, Symbol]],
    order_by: str | None = None,
) -> Element:
    """Return a renderer that draws features by the value of an attribute.

    Parameters
    ----------
    attribute
        The field.
    categories
        Value, label and symbol of each.
    order_by
        A field whose greatest value is drawn on top.
    """
    entries = [
        element("category", value=value, label=label, symbol=number, render="true", type="string")
        for number, (value, label, _) in enumerate(categories)
    ]
    symbols = [symbol.xml(str(number)) for number, (_, _, symbol) in enumerate(categories)]
    return element(
        "renderer-v2",
        element("categories", *entries),
        element("symbols", *symbols),
        *_ordering(order_by),
        type="categorizedSymbol",
        attr=attribute,
        enableorderby=int(order_by is not None),
        forceraster=0,
        symbollevels=0,
    )


def graduated(attribute: str, ranges: Sequence[tuple[float, float, str, Symbol]]) -> Element:
    """Return a renderer that draws features by the range that an attribute falls in.

    Parameters
    ----------
    attribute
        The field. Features without a value are not drawn.
    ranges
        Lowest and highest value, label and symbol of each.
    """
    entries = [
        element("range", lower=low, upper=high, label=label, symbol=number, render="true")
        for number, (low, high, label, _) in enumerate(ranges)
    ]
    symbols = [symbol.xml(str(number)) for number, (*_, symbol) in enumerate(ranges)]
    return element(
        "renderer-v2",
        element("ranges", *entries),
        element("symbols", *symbols),
        type="graduatedSymbol",
        attr=attribute,
        graduatedMethod="GraduatedColor",
    )


def table_order(attribute: str) -> Element:
    """Return the order of the attribute table: the greatest first."""
    return element("attributetableconfig", sortExpression=f'"{attribute}"', sortOrder=1)


def labels(
    expression: str,
    *,
    ink: Rgba = (20, 20, 20, 255),
    size: float = 9,
    below_scale: int | None = None,
    priority: str | None = None,
    placement: int = HORIZONTAL,
) -> Element:
    """Return labels with a white halo, in QGIS's own font, which is there everywhere.

    Parameters
    ----------
    expression
        What they say, as a QGIS expression.
    ink, size
        Their colour, and their size in points.
    below_scale
        The scale's denominator from which on they are shown.
    priority
        An expression from 0 to 10: where two have no room, the greater is shown.
    placement
        One of the numbers above.
    """
    buffer = element(
        "text-buffer",
        bufferDraw=1,
        bufferSize=0.9,
        bufferSizeUnits="MM",
        bufferColor="255,255,255,230",
        bufferOpacity=1,
    )
    style = element(
        "text-style",
        buffer,
        fieldName=expression,
        isExpression=1,
        fontSize=f"{size:g}",
        fontSizeUnit="Point",
        textColor=colour_text(ink),
        textOpacity=1,
    )
    rendering = element(
        "rendering",
        drawLabels=1,
        obstacle=1,
        obstacleFactor=1,
        fontLimitPixelSize=0,
        scaleVisibility=int(below_scale is not None),
        scaleMin=0,
        scaleMax=below_scale or 0,
    )
    settings = element(
        "settings",
        style,
        element("text-format"),
        element("placement", placement=placement, priority=5, dist=1, distUnits="MM"),
        rendering,
        *([] if priority is None else [_priority(priority)]),
        calloutType="simple",
    )
    return element("labeling", settings, type="simple")


def _priority(expression: str) -> Element:
    value = element(
        "Option",
        element("Option", name="active", type="bool", value="true"),
        element("Option", name="expression", type="QString", value=expression),
        element("Option", name="type", type="int", value=3),
        name="Priority",
        type="Map",
    )
    collection = element(
        "Option",
        element("Option", name="name", type="QString", value=""),
        element("Option", value, name="properties", type="Map"),
        element("Option", name="type", type="QString", value="collection"),
        type="Map",
    )
    return element("dd_properties", collection)


def _pipe(renderer: Element, zoomed_out: str | None = None) -> Element:
    resampler = {} if zoomed_out is None else {"zoomedOutResampler": zoomed_out}
    return element(
        "pipe",
        renderer,
        element("brightnesscontrast", brightness=0, contrast=0, gamma=1),
        element("huesaturation", saturation=0, grayscaleMode=0),
        element("rasterresampler", maxOversampling=2, **resampler),
    )


def picture(bands: Sequence[int], limits: Limits | None, alpha: int | None) -> Element:
    """Return the style of a picture.

    Parameters
    ----------
    bands
        One for grey, or those shown as red, green and blue; 1-based.
    limits
        For each, the values that become black and full; None where bytes are shown as they are.
    alpha
        The band that says what is to be seen through, which may be the raster's mask.
    """
    common = {"opacity": 1, "alphaBand": -1 if alpha is None else alpha}
    contrasts = (
        []
        if limits is None
        else [
            element(
                "contrastEnhancement" if len(bands) == 1 else f"{channel}ContrastEnhancement",
                text_element("minValue", f"{low:g}"),
                text_element("maxValue", f"{high:g}"),
                text_element("algorithm", "StretchToMinimumMaximum"),
            )
            for channel, (low, high) in zip(COLOUR_CHANNELS, limits, strict=False)
        ]
    )
    if len(bands) == 1:
        renderer = element(
            "rasterrenderer",
            *contrasts,
            type="singlebandgray",
            grayBand=bands[0],
            gradient="BlackToWhite",
            **common,
        )
    else:
        chosen = {f"{name}Band": band for name, band in zip(COLOUR_CHANNELS, bands, strict=True)}
        renderer = element("rasterrenderer", *contrasts, type="multibandcolor", **chosen, **common)
    return _pipe(renderer, zoomed_out="bilinear")


def probability(band: int, highest: int) -> Element:
    """Return the style of a band of probabilities.

    Parameters
    ----------
    band
        1-based.
    highest
        The value that stands for certainty.
    """
    items = [
        element(
            "item",
            value=f"{share * highest:g}",
            label=f"{100 * share:g} %",
            color="#{:02x}{:02x}{:02x}".format(*colour[:3]),
            alpha=colour[3],
        )
        for share, colour in RAMP
    ]
    # Written out, for the legend's bar would show the raster's own numbers.
    legend = element("rampLegendSettings", useContinuousLegend=0)
    shader = element(
        "colorrampshader",
        *items,
        legend,
        colorRampType="INTERPOLATED",
        classificationMode=1,
        minimumValue=0,
        maximumValue=highest,
        clip=0,
    )
    return _pipe(
        element(
            "rasterrenderer",
            element("rastershader", shader),
            type="singlebandpseudocolor",
            band=band,
            opacity=1,
            alphaBand=-1,
            classificationMin=0,
            classificationMax=highest,
        )
    )


def classes(style: Path) -> Element:
    """Return the style that a class raster has beside it, half seen through.

    Parameters
    ----------
    style
        Its ``.qml``.

    Raises
    ------
    InputError
        If the file is not there or is no style of a raster.
    """
    pipe, renderer = _read_style(style)
    renderer.set("opacity", f"{OPACITY:g}")
    return pipe


def class_colours(style: Path) -> dict[str, Rgba]:
    """Return the colour of each class by its name, from the style of a class raster.

    Raises
    ------
    InputError
        As `classes` does.
    """
    colours = {}
    for entry in _read_style(style)[1].iter("paletteEntry"):
        red, green, blue = bytes.fromhex(entry.get("color", "").removeprefix("#"))
        colours[entry.get("label", "")] = (red, green, blue, int(entry.get("alpha", 255)))
    return colours


def _read_style(style: Path) -> tuple[Element, Element]:
    """Return what draws a raster, and the renderer in it."""
    remedy = "Remove the file and run again"
    try:
        pipe = ElementTree.parse(style).find("pipe")
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(style, f"it can't be read ({error})", remedy) from error
    renderer = None if pipe is None else pipe.find("rasterrenderer")
    if pipe is None or renderer is None:
        raise InputError(style, "it is no QGIS style of a raster", remedy)
    return pipe, renderer
