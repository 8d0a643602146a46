"""Drawings as SVG: curves, and the map of the split.

They are written by hand, in the page's own colours and fonts: so they follow its dark and
light scheme, are small, and have the same bytes every time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import shapely
from markupsafe import Markup, escape

WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 22, 40
SQUARE_WIDTH, SQUARE_HEIGHT = 320, 300
DOT = 2.2
DASHES = ("", "6 4", "2 3", "8 3 2 3")
SERIES_COLOURS = 6

MAP_WIDTH = 1000
# More shapes than this make a page heavy and a map that nobody can read.
MOST_SHAPES = 20_000


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes
    ----------
    name
        What the legend calls it.
    values
        One for each place along the axis; None leaves a gap.
    style
        Which of the colours and dashes.
    """

    name: str
    values: tuple[float | None, ...]
    style: int = 0


def line_chart(
    title: str,
    xs: Sequence[float],
    lines: Sequence[Line],
    *,
    x_label: str,
    marked: float | None = None,
    marked_label: str = "",
) -> Markup:
    """Draw curves over one axis.

    Parameters
    ----------
    title
        What a reader who can't see the picture is told.
    xs
        Places along the axis, ascending.
    lines
        The curves.
    x_label
        Name of the axis.
    marked, marked_label
        A place to mark, and what stands beside it.
    """
    known = [value for line in lines for value in line.values if value is not None]
    ticks = nice_ticks(min(known, default=0.0), max(known, default=1.0))
    x_ticks = [tick for tick in nice_ticks(xs[0], xs[-1]) if xs[0] <= tick <= xs[-1]]
    x_ticks = [tick for tick in x_ticks if tick == round(tick)] or [xs[0]]
    frame = Frame(WIDTH, HEIGHT, (xs[0], xs[-1]), (ticks[0], ticks[-1]))
    parts = frame.begin(title, x_ticks, ticks, x_label)
    if marked is not None:
        place = _number(frame.across(marked))
        parts.append(f'<path class="mark" d="M{place} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(
            f'<text x="{place}" y="{TOP - 6}" class="tick x">{escape(marked_label)}</text>'
        )
    for line in lines:
        points = [
            None if value is None else (frame.across(x), frame.down(value))
            for x, value in zip(xs, line.values, strict=True)
        ]
        parts.append(f'<path {_stroke(line.style)} d="{_path(points)}"/>')
        parts += [_dot(line.style, *point, DOT) for point in points if point is not None]
    parts.append("</svg>")
    return Markup("".join(parts))


@dataclass(frozen=True)
class Frame:
    """Where values lie in a drawing.

    Attributes
    ----------
    width, height
        Of the drawing.
    xs, ys
        The range of both axes.
    """

    width: int
    height: int
    xs: tuple[float, float]
    ys: tuple[float, float]

    def across(self, x: float) -> float:
        """Return a value's place along the drawing's width; in its middle if there is but one."""
        low, high = self.xs
        share = (x - low) / (high - low) if high > low else 0.5
        return LEFT + share * (self.width - LEFT - RIGHT)

    def down(self, y: float) -> float:
        """Return a value's place along the drawing's height, from the top."""
        low, high = self.ys
        return TOP + (high - y) / (high - low) * (self.height - TOP - BOTTOM)

    def begin(
        self, title: str, x_ticks: Sequence[float], y_ticks: Sequence[float], x_label: str
    ) -> list[str]:
        """Return the start of a drawing: its axes, their marks and names."""
        foot = self.height - BOTTOM
        parts = [
            f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(title)}">'
        ]
        for tick in y_ticks:
            y = _number(self.down(tick))
            parts.append(f'<path class="grid" d="M{LEFT} {y}H{self.width - RIGHT}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y}" class="tick y">{tick_text(tick)}</text>')
        for tick in x_ticks:
            x = _number(self.across(tick))
            parts.append(f'<path class="axis" d="M{x} {foot}v4"/>')
            parts.append(f'<text x="{x}" y="{foot + 16}" class="tick x">{tick_text(tick)}</text>')
        parts.append(f'<path class="axis" d="M{LEFT} {foot}H{self.width - RIGHT}"/>')
        parts.append(
            f'<text x="{(LEFT + self.width - RIGHT) / 2:g}" y="{self.height - 6}" class="tick x">'
            f"{escape(x_label)}</text>"
        )
        return parts


@dataclass(frozen=True)
class Points:
    """Places in a square from 0 to 1.

    Attributes
    ----------
    name
        What the legend calls them.
    places
        Across and up.
    limits
        For each of them low and high, or None; empty where there are no intervals.
    marked
        A place that stands out.
    style
        Which of the colours and dashes.
    """

    name: str
    places: tuple[tuple[float, float], ...]
    limits: tuple[tuple[float, float] | None, ...] = ()
    marked: tuple[float, float] | None = None
    style: int = 0


def square_chart(
    title: str,
    series: Sequence[Points],
    *,
    x_label: str,
    y_label: str,
    diagonal: bool = False,
) -> Markup:
    """Draw places in a square from 0 to 1.

    Parameters
    ----------
    title
        What a reader who can't see the picture is told.
    series
        The places; those with intervals get dots.
    x_label, y_label
        Names of the axes.
    diagonal
        Whether to draw where both are equal.
    """
    frame = Frame(SQUARE_WIDTH, SQUARE_HEIGHT, (0.0, 1.0), (0.0, 1.0))
    ticks = nice_ticks(0.0, 1.0)
    parts = frame.begin(title, ticks, ticks, x_label)
    parts.append(f'<text x="{LEFT - 30}" y="{TOP - 10}" class="tick">{escape(y_label)}</text>')
    if diagonal:
        ends = [(frame.across(end), frame.down(end)) for end in (0.0, 1.0)]
        parts.append(f'<path class="mark" d="{_path(ends)}"/>')
    for held in series:
        points = [(frame.across(x), frame.down(y)) for x, y in held.places]
        parts.append(f'<path {_stroke(held.style)} d="{_path(points)}"/>')
        for point, limits in zip(points, held.limits, strict=False):
            parts.append(_dot(held.style, *point, 2 * DOT))
            if limits is not None:
                low, high = (_number(frame.down(limit)) for limit in limits)
                place = _number(point[0])
                parts.append(f'<path {_colour("bar line", held.style)} d="M{place} {low}V{high}"/>')
        if held.marked is not None:
            x, y = held.marked
            parts.append(_dot(held.style, frame.across(x), frame.down(y), 3 * DOT))
    parts.append("</svg>")
    return Markup("".join(parts))


def _dot(style: int, x: float, y: float, radius: float) -> str:
    return (
        f'<circle {_colour("dot", style)} cx="{_number(x)}" cy="{_number(y)}" '
        f'r="{_number(radius)}"/>'
    )


def _colour(kind: str, style: int) -> str:
    return f'class="{kind} s{style % SERIES_COLOURS}"'


def _stroke(style: int) -> str:
    dashes = DASHES[style % len(DASHES)]
    return _colour("line", style) + (f' stroke-dasharray="{dashes}"' if dashes else "")


def legend(lines: Sequence[Line | Points]) -> Markup:
    """Return the key of a chart's curves."""
    return Markup(
        '<span class="legend">'
        + "".join(
            f'<span><svg viewBox="0 0 28 8" aria-hidden="true"><path {_stroke(line.style)} '
            f'd="M1 4H27"/></svg>{escape(line.name)}</span>'
            for line in lines
        )
        + "</span>"
    )


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers, evenly spaced, that enclose a range.

    Parameters
    ----------
    low, high
        The range.
    count
        How many there should be, roughly.
    """
    if high <= low:
        slack = abs(low) / 2 or 1.0
        low, high = low - slack, high + slack
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def tick_text(value: float) -> str:
    """Return a tick's label, without noise from binary fractions."""
    return f"{value:.6g}"


def _path(points: Iterable[tuple[float, float] | None]) -> str:
    """Join points, and begin anew after a gap."""
    parts, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        parts.append(f"{pen}{_number(point[0])} {_number(point[1])}")
        pen = "L"
    return "".join(parts)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def split_map(
    blocks: Mapping[str, Sequence[shapely.Polygon]],
    left_out: Sequence[shapely.Polygon],
    scenes: Mapping[str, shapely.Polygon],
) -> Markup | None:
    """Draw where the blocks of each split lie.

    Parameters
    ----------
    blocks
        By split, its blocks.
    left_out
        The tiles that no split has, which are drawn pale.
    scenes
        By name, its outline, in the same coordinates.

    Returns
    -------
    Markup or None
        None where there are more shapes than a page should hold.
    """
    shapes = [shape for held in blocks.values() for shape in held]
    if len(shapes) + len(left_out) + len(scenes) > MOST_SHAPES:
        return None
    left, bottom, right, top = shapely.total_bounds([*shapes, *scenes.values()])
    scale = MAP_WIDTH / (right - left)
    height = round((top - bottom) * scale)

    def drawn(polygons: Iterable[shapely.Polygon]) -> str:
        return "".join(_ring(polygon, left, top, scale) for polygon in polygons)

    counts = ", ".join(f"{len(held)} {split}" for split, held in blocks.items())
    parts = [
        f'<svg class="map" viewBox="-4 -4 {MAP_WIDTH + 8} {height + 8}" role="img" '
        f'aria-label="{escape(f"Map of the blocks: {counts}")}">'
    ]
    parts += [
        f'<path class="block {escape(split)}" d="{drawn(held)}"/>' for split, held in blocks.items()
    ]
    if left_out:
        parts.append(f'<path class="left-out" d="{drawn(left_out)}"/>')
    for name, outline in scenes.items():
        x, y = outline.centroid.x, outline.centroid.y
        parts.append(f'<path class="sheet" d="{drawn([outline])}"/>')
        if len(scenes) <= 50:
            parts.append(
                f'<text class="sheet-name" x="{(x - left) * scale:.0f}" '
                f'y="{(top - y) * scale:.0f}">{escape(name)}</text>'
            )
    parts.append("</svg>")
    return Markup("".join(parts))


def _ring(polygon: shapely.Polygon, left: float, top: float, scale: float) -> str:
    points = [
        f"{(x - left) * scale:.0f} {(top - y) * scale:.0f}"
        for x, y in shapely.get_coordinates(polygon.exterior)[:-1]
    ]
    return f"M{'L'.join(points)}Z"
