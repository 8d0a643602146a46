"""What the page says of the labels' quality: doubt, agreement with a reference, offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

WIDTH, HEIGHT = 460, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 18, 40
# Sheets in the table of offsets; the rest are in selection/summary.json.
MOST_SHEETS = 20


@dataclass(frozen=True)
class SheetOffset:
    """Where a sheet's labels lie beside its picture.

    Attributes
    ----------
    scene
        Its name.
    metres, sigma_metres
        How far, and the standard error; None where nothing can be told.
    shift
        The `labels.shift` that would help.
    too_far
        Whether it is above the limit.
    """

    scene: str
    metres: float | None
    sigma_metres: float | None
    shift: str
    too_far: bool


@dataclass(frozen=True)
class LabelQuality:
    """What is known of the labels of all scenes.

    Attributes
    ----------
    doubt, reference
        As ``selection/summary.json`` has them; None where there is nothing.
    doubt_chart, reference_chart
        Their histograms.
    offsets
        Of the sheets, the farthest first.
    limit
        What is too far, in words.
    """

    doubt: Mapping[str, Any] | None
    doubt_chart: Markup
    reference: Mapping[str, Any] | None
    reference_chart: Markup
    offsets: tuple[SheetOffset, ...]
    limit: str


def label_quality(selection: Mapping[str, Any] | None) -> LabelQuality | None:
    """Return what the page shows of the labels; None without a selection.

    Parameters
    ----------
    selection
        The content of ``selection/summary.json``.
    """
    if selection is None:
        return None
    doubt, reference = selection.get("doubt"), selection.get("reference")
    offsets = selection.get("offsets", {"limit": "", "too_far": [], "scenes": {}})
    return LabelQuality(
        doubt=doubt,
        doubt_chart=_chart("Tiles by the doubt about their label", "doubt", doubt),
        reference=reference,
        reference_chart=_chart(
            "Tiles by their label's IoU with the reference", "IoU with the reference", reference
        ),
        offsets=_offsets(offsets),
        limit=offsets["limit"],
    )


def _chart(title: str, axis: str, found: Mapping[str, Any] | None) -> Markup:
    return Markup("") if found is None else histogram(title, axis, found["histogram"])


def _offsets(offsets: Mapping[str, Any]) -> tuple[SheetOffset, ...]:
    found = [
        SheetOffset(
            scene,
            record["metres"],
            record["sigma_metres"],
            "" if record["shift"] is None else ", ".join(record["shift"]),
            scene in offsets["too_far"],
        )
        for scene, record in offsets["scenes"].items()
    ]
    found.sort(key=lambda sheet: (-(sheet.metres or 0.0), sheet.scene))
    return tuple(found[:MOST_SHEETS])


def histogram(title: str, axis: str, counts: Sequence[int]) -> Markup:
    """Draw how many tiles fall into equal classes from 0 to 1.

    The bars' height is the square root of the number, so that a few bad tiles among many
    good ones are seen; each says its number.

    Parameters
    ----------
    title
        What a reader who can't see the picture is told.
    axis
        Name of the axis.
    counts
        Tiles in each class.
    """
    wide = (WIDTH - LEFT - RIGHT) / len(counts)
    most = max(*counts, 1)
    base = HEIGHT - BOTTOM
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">'
    ]
    for index, count in enumerate(counts):
        tall = (count / most) ** 0.5 * (base - TOP)
        x = LEFT + index * wide
        low, high = index / len(counts), (index + 1) / len(counts)
        parts.append(
            f'<rect class="bar" x="{x + 1:.1f}" y="{base - tall:.1f}" width="{wide - 2:.1f}" '
            f'height="{tall:.1f}"><title>{low:.2f} to {high:.2f}: {count} tiles</title></rect>'
        )
        if count:
            parts.append(
                f'<text x="{x + wide / 2:.1f}" y="{base - tall - 4:.1f}" class="tick x">{count}'
                "</text>"
            )
    parts.append(f'<path class="axis" d="M{LEFT} {base}H{WIDTH - RIGHT}"/>')
    for step in range(5):
        x = LEFT + step / 4 * (WIDTH - LEFT - RIGHT)
        parts.append(f'<text x="{x:.1f}" y="{base + 16}" class="tick x">{step / 4:g}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:g}" y="{HEIGHT - 6}" class="tick x">'
        f"{escape(axis)}</text></svg>"
    )
    return Markup("".join(parts))
