"""The page: which figures and pictures it holds, and in which words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import shapely
from markupsafe import Markup
from PIL import Image
from rasterio.crs import CRS
from rasterio.windows import Window

from roadmask import __version__
from roadmask.dataset.lattice import PIXEL_KEY, Ground, crs_key, reprojected
from roadmask.grid import TileGrid
from roadmask.predictions.lattice import felt_reach
from roadmask.report.changes import found_changes
from roadmask.report.figures import (
    Line,
    Points,
    legend,
    line_chart,
    split_map,
    square_chart,
)
from roadmask.report.pictures import (
    Array,
    Bands,
    Picture,
    as_jpeg,
    as_png,
    class_picture,
    error_picture,
    overview,
    probability_picture,
    read_classes,
    read_classes_reduced,
    read_part,
    read_reduced,
    shrunk,
)
from roadmask.report.quality import label_quality
from roadmask.report.reading import Scene, Sources, Windows
from roadmask.style import UNKNOWN
from roadmask.style import legend as class_legend

SPLITS = ("train", "val", "test")
# More would make the page heavy, and nobody looks at all of them.
MOST_OVERVIEWS = 6
OVERVIEW_SIDE = 760
MOST_REMARKS = 20
MOST_NAMED = 8
TILE_SIDE = 320
# Pictures of the worst, of the middle and of the best tiles.
WORST_TILES, OTHER_TILES = 4, 2
SAMPLE_TILES = 6
MOST_TILES = WORST_TILES + 2 * OTHER_TILES
# Longer tables are cut: a page of a whole state would not open.
MOST_SCENES = 300
# A tile with less road says little: one wrong pixel decides its IoU.
LEAST_ROAD = 0.01
# From here on labels have a gap that a person should know of.
MUCH_UNKNOWN = 0.01
# By how much the measure of the seams may differ from 1, which is none.
SEAM_SLACK = 0.02
# As stage predictions has it.
PIXEL_SIZE_SLACK = 0.05
NOTHING = "–"
# Between two limits, with no break on either side.
TO = "\u2060–\u2060"
# Stage model leaves it beside the history.
SAMPLES = "augmentation.png"


@dataclass(frozen=True)
class Headline:
    """A figure at the top of the page."""

    value: str
    name: str
    meaning: str


@dataclass(frozen=True)
class Chart:
    """Curves with what belongs to them."""

    title: str
    drawing: Markup
    key: Markup


@dataclass(frozen=True)
class Overview:
    """A scene as a whole."""

    name: str
    picture: Picture


@dataclass(frozen=True)
class TilePictures:
    """One place, shown in several ways."""

    name: str
    caption: str
    pictures: tuple[tuple[str, Picture], ...]


@dataclass(frozen=True)
class Figure:
    """A figure and the limits of its interval, as text."""

    value: str
    limits: str


@dataclass(frozen=True)
class FigureRow:
    """One figure of all classes, and of them together."""

    name: str
    of_classes: tuple[Figure, ...]
    together: Figure | None


@dataclass(frozen=True)
class ConfusionCell:
    """How much of a class in truth was predicted as one."""

    pixels: int
    share: float
    limits: str


@dataclass(frozen=True)
class Comparison:
    """The figures of the prediction against one truth.

    Attributes
    ----------
    title
        Against what.
    truth
        What it is called before a class's name.
    names
        The classes, ``other`` first.
    rows
        The figures.
    mean_iou
        Over all classes.
    accuracy
        The share of pixels that are right.
    pixels, blocks
        Of ground.
    has_intervals
        Whether there are any.
    confusion
        For each class of the truth, what became of it.
    charts
        Precision over recall, and calibration.
    reliability
        By class, the rows of its table of calibration.
    """

    title: str
    truth: str
    names: tuple[str, ...]
    rows: tuple[FigureRow, ...]
    mean_iou: Figure
    accuracy: Figure
    pixels: int
    blocks: int
    has_intervals: bool
    confusion: tuple[tuple[ConfusionCell, ...], ...]
    charts: tuple[Chart, ...]
    reliability: dict[str, list[tuple[str, ...]]]


def render(sources: Sources, settings: Mapping[str, str]) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    sources
        What the stages before left.
    settings
        Settings of the run by their keys.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": figure,
        "percent": percent,
        "count": count,
        "short": lambda text: text[:12],
        "setting": setting,
    }
    template = environment.get_template("template.html")
    return template.render(
        version=__version__,
        card=sources.card,
        models=[
            (path.name, sha256)
            for path, sha256 in zip(sources.paths.models, sources.model_sha256, strict=True)
        ],
        scenes=sources.scenes,
        facts=common_facts(sources.scenes),
        metrics=sources.metrics,
        has_reference="reference" in (sources.metrics or {}),
        masks=mask_figures(sources),
        headlines=list(headlines(sources)),
        remarks=remarks(sources),
        overviews=list(overviews(sources)),
        tiles=list(
            sample_tiles(sources) if sources.tiles is None else test_tiles(sources, sources.tiles)
        ),
        comparisons=list(comparisons(sources)),
        charts=list(charts(sources)),
        samples=training_samples(sources),
        history=sources.history,
        best_epoch=best_epoch(sources),
        selection=sources.selection,
        quality=label_quality(sources.selection),
        dataset=sources.dataset,
        vectors=sources.vectors,
        network=sources.network,
        changes=found_changes(sources, lambda scene: bands_of(sources, scene)),
        split_names=SPLITS,
        map=block_map(sources),
        legend=class_legend(sources.card.classes, sources.card.colours),
        unknown=UNKNOWN,
        settings=settings,
        least_road=LEAST_ROAD,
        most_scenes=MOST_SCENES,
        in_pixels=all(scene.grid.crs is None for scene in sources.scenes),
    )


def figure(value: float | None, digits: int = 3) -> str:
    """Return a figure from 0 to 1 as text."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def percent(share: float | None) -> str:
    """Return a share as text."""
    return NOTHING if share is None else f"{100 * share:.2f} %"


def count(number: float) -> str:
    """Return a whole number with its thousands apart."""
    return f"{int(number):,}".replace(",", "\u202f")


def setting(value: object) -> str:
    """Return a setting's value as it stands in YAML."""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Facts:
    """What all scenes have in common, and what each has of its own."""

    common: dict[str, str]
    own: tuple[str, ...]


def common_facts(scenes: Sequence[Scene]) -> Facts:
    """Part the facts that are the same for all scenes from those that need a column."""
    values = {name: {scene.facts[name] for scene in scenes} for name in scenes[0].facts}
    if len(scenes) == 1:
        return Facts({}, tuple(values))
    return Facts(
        {name: next(iter(held)) for name, held in values.items() if len(held) == 1},
        tuple(name for name, held in values.items() if len(held) > 1),
    )


def headlines(sources: Sources) -> Iterator[Headline]:
    """Yield the figures that stand at the top."""
    metrics = sources.metrics
    if metrics is not None:
        for against, words in (("labels", "the labels"), ("reference", "the reference")):
            if against not in metrics:
                continue
            found = metrics[against]
            road = main_class(list(found["iou"]))
            limits = found["intervals"]
            yield Headline(
                figure(found["iou"][road]),
                f"{road} IoU against {words}",
                "prediction, on test ground that training never saw" + _likely(limits["iou"][road]),
            )
            over = " and ".join(found["iou"]) if len(found["iou"]) == 2 else "all classes"
            yield Headline(
                figure(found["mean_iou"]),
                f"mean IoU against {words}",
                f"over {over}{_likely(limits['mean_iou'])}",
            )
        if metrics["masks"]["iou"] is not None:
            yield Headline(
                figure(metrics["masks"]["iou"]),
                "mask IoU against the reference",
                "labels, on all ground; not known counts as wrong"
                + _likely(metrics["masks"]["intervals"]["iou"]),
            )
        yield Headline(
            percent(metrics["masks"]["unknown_share"]),
            "of the labels not known",
            "left out of training and of the figures against labels",
        )
    predicted = [scene for scene in sources.scenes if scene.is_predicted]
    pixels = sum(scene.grid.width * scene.grid.height for scene in predicted)
    yield Headline(
        count(len(predicted)),
        "scenes predicted" if len(predicted) != 1 else "scene predicted",
        f"{pixels / 1e6:.1f} million pixels",
    )
    if sources.seam is not None:
        yield Headline(
            f"{sources.seam:.2f}",
            "seams",
            "jump of the probability where windows meet, over that in one window; 1 is none",
        )
    yield _halo(sources.windows, sources.card.reach)
    if sources.dataset is not None:
        tiles = {split: sources.dataset["splits"][split]["tiles"] for split in SPLITS}
        yield Headline(
            count(sum(tiles.values())),
            "tiles in the data set",
            ", ".join(f"{count(number)} {split}" for split, number in tiles.items()),
        )


def _halo(windows: Windows, reach: int | None) -> Headline:
    """Say what each window sees besides its own ground, what that costs and what it leaves."""
    felt = felt_reach(reach)
    looks = "at the whole window"
    if reach is not None and felt is not None:
        looks = f"{count(reach)} pixels far, of which {count(felt)} move its probabilities"
    is_spared = felt is not None and felt <= windows.halo
    return Headline(
        f"{count(windows.halo)} px",
        "halo",
        f"on each side of a window of {count(windows.size)}; the network looks {looks}: a "
        f"window's edge {'is not' if is_spared else 'may be'} felt; cost: it sees "
        f"{windows.cost:.2f} pixels for each of a large sheet",
    )


def _likely(limits: Sequence[float] | None) -> str:
    return "" if limits is None else f"; 95 % interval {interval_text(limits)}"


def main_class(names: Sequence[str]) -> str:
    """Return the class that a reader asks for first: the road, or the first but ``other``."""
    return "road" if "road" in names else names[1]


def remarks(sources: Sources) -> list[str]:
    """Return what a person should look at before trusting the figures, the first of it."""
    found = list(all_remarks(sources))
    hidden = len(found) - MOST_REMARKS
    return found if hidden <= 0 else [*found[:MOST_REMARKS], f"and {count(hidden)} more of these"]


def all_remarks(sources: Sources) -> Iterator[str]:
    """Yield what a person should look at before trusting the figures."""
    if sources.dataset is not None:
        yield from sources.dataset["warnings"]
    if sources.metrics is not None:
        yield from _remarks_on_metrics(sources.metrics)
    if sources.selection is not None:
        yield from _remarks_on_selection(sources.selection)
    yield from _remarks_on_labels(sources.scenes)
    yield from _remarks_on_pixels(sources)
    if sources.seam is not None and abs(sources.seam - 1) > SEAM_SLACK:
        yield (
            f"Where windows meet, the probability jumps {sources.seam:.2f} times as much as in "
            f"one window, which should be 1.00 ± {SEAM_SLACK:.2f}: seams may show. Write a larger "
            f"prediction.overlap than {sources.windows.halo}"
        )


def _remarks_on_metrics(metrics: Mapping[str, Any]) -> Iterator[str]:
    for against in ("labels", "reference"):
        for note in metrics.get(against, {}).get("notes", ()):
            yield f"Against {against}: {note}"
    for name, found in metrics["masks"]["scenes"].items():
        share = found["unknown_share"]
        if share is not None and share > MUCH_UNKNOWN:
            yield f"{name}: {percent(share)} of its label is not known"


def _remarks_on_selection(selection: Mapping[str, Any]) -> Iterator[str]:
    for key, words in (
        ("mostly_blank", "show one flat colour in more than half of their ground"),
        ("mostly_saturated", "are at the darkest or brightest value in most of their ground"),
    ):
        if selection[key]:
            yield f"{count(selection[key])} tiles {words}: see selection/"
    for scene in selection.get("offsets", {}).get("too_far", ()):
        yield f"{scene}: its labels lie off its picture, see “Quality of the labels”"
    for tile in selection.get("review", {}).get("without_a_tile", ()):
        yield f"selection.review names {tile}, which no scene has"


def _remarks_on_labels(scenes: Sequence[Scene]) -> Iterator[str]:
    """Yield the scenes whose label is one value all over: an empty file, or a wrong one."""
    blank = [
        f"{scene.name} ({name})"
        for scene in scenes
        for name, share in (scene.shares or {}).items()
        if share == 1
    ]
    if blank:
        more = len(blank) - MOST_NAMED
        listed = ", ".join(blank[:MOST_NAMED]) + (f" and {count(more)} more" if more > 0 else "")
        noun = "scene" if len(blank) == 1 else "scenes"
        yield f"The label is one value all over in {count(len(blank))} {noun}: {listed}"


def _remarks_on_pixels(sources: Sources) -> Iterator[str]:
    """Yield the scenes that show the network ground of another size than it learned."""
    trained_on = sources.card.pixel_metres
    for scene in sources.scenes:
        if scene.seen_metres is None or scene.grid.crs is None or trained_on is None:
            continue
        if abs(scene.seen_metres / trained_on - 1) > PIXEL_SIZE_SLACK:
            yield (
                f"{scene.name}: its pixels measure {scene.seen_metres:.3g} m, those that the "
                f"network was trained on {trained_on:.3g} m"
            )


def mask_figures(sources: Sources) -> dict[str, dict[str, Any]]:
    """Return, by scene, what is known of its mask's quality."""
    return {} if sources.metrics is None else sources.metrics["masks"]["scenes"]


def comparisons(sources: Sources) -> Iterator[Comparison]:
    """Yield the prediction's figures against labels and, where there is one, the reference."""
    metrics = sources.metrics
    if metrics is None:
        return
    for against, title in (
        ("labels", "Against the labels"),
        ("reference", "Against the reference"),
    ):
        if against not in metrics:
            continue
        found = metrics[against]
        yield Comparison(
            title=title,
            truth="labelled" if against == "labels" else "truly",
            names=tuple(found["classes"]),
            rows=tuple(figure_rows(found, metrics)),
            mean_iou=_figure(found["mean_iou"], found["intervals"]["mean_iou"]),
            accuracy=_figure(found["pixel_accuracy"], found["intervals"]["pixel_accuracy"]),
            pixels=found["pixels"],
            blocks=found["blocks"],
            has_intervals=found["intervals"]["mean_iou"] is not None,
            confusion=tuple(_confusion(found)),
            charts=tuple(comparison_charts(found, against, sources.curves or (), title)),
            reliability={
                name: list(_reliability_rows(found, name)) for name in found["reliability"]
            }
            if found["brier"] is not None
            else {},
        )


def figure_names(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return the figures of a class and what the page calls them."""
    pixels, ground = f"{metrics['relaxed_pixels']} px", metrics["tolerance"]
    return {
        "iou": "IoU",
        "dice": "Dice",
        "precision": "precision",
        "recall": "recall",
        "relaxed_f1": f"relaxed F1, {pixels}",
        "relaxed_f1_ground": f"relaxed F1, {ground}",
        "boundary_f1": f"boundary F1, {pixels}",
        "boundary_f1_ground": f"boundary F1, {ground}",
        "average_precision": "average precision",
        "brier": "Brier score",
        "ece": "calibration error",
    }


def figure_rows(found: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[FigureRow]:
    """Yield the table of figures: a row a figure, so that few classes fit on a phone."""
    limits = found["intervals"]
    for key, name in figure_names(metrics).items():
        yield FigureRow(
            name=name,
            of_classes=tuple(
                _figure(held[key], limits["classes"][label][key])
                for label, held in found["classes"].items()
            ),
            # That of the IoU stands above the table: it is the one with `other` in it.
            together=None if key == "iou" else _figure(found[key], limits[key]),
        )


def _figure(value: float | None, limits: Sequence[float] | None) -> Figure:
    return Figure(figure(value, 4), interval_text(limits, 4))


def interval_text(limits: Sequence[float] | None, digits: int = 3) -> str:
    """Return an interval as text; empty where there is none."""
    return "" if limits is None else f"{limits[0]:.{digits}f}{TO}{limits[1]:.{digits}f}"


def percent_interval(limits: Sequence[float] | None) -> str:
    """Return an interval of shares as text; empty where there is none."""
    return "" if limits is None else f"{100 * limits[0]:.1f}{TO}{100 * limits[1]:.1f}\u00a0%"


def _confusion(found: Mapping[str, Any]) -> Iterator[tuple[ConfusionCell, ...]]:
    shares, limits = found["confusion_shares"], found["intervals"]["confusion_shares"]
    for row, counts in enumerate(found["confusion"]):
        yield tuple(
            ConfusionCell(number, shares[row][column] or 0.0, percent_interval(limits[row][column]))
            for column, number in enumerate(counts)
        )


def _reliability_rows(found: Mapping[str, Any], name: str) -> Iterator[tuple[str, ...]]:
    limits = found["intervals"]["reliability"][name]
    for row, limit in zip(found["reliability"][name], limits, strict=True):
        yield (
            f"{row['from']:.1f} to {row['to']:.1f}",
            count(row["pixels"]),
            figure(row["mean_probability"]),
            figure(row["observed"]),
            interval_text(limit["observed"]) or NOTHING,
        )


def comparison_charts(
    found: Mapping[str, Any], against: str, curves: Sequence[Mapping[str, str]], title: str
) -> Iterator[Chart]:
    """Yield precision over recall, and calibration, where there are probabilities."""
    shown = {}
    for name in found["classes"]:
        rows = [row for row in curves if row["against"] == against and row["class"] == name]
        if rows:
            shown[name] = _curve(name, rows, found)
    if shown:
        yield Chart(
            "Precision over recall",
            square_chart(
                f"{title}, precision over recall of {_listed(shown)} at every threshold",
                list(shown.values()),
                x_label="recall",
                y_label="precision",
            ),
            legend(list(shown.values())),
        )
    tables = {
        name: _calibration(name, rows, found)
        for name, rows in found["reliability"].items()
        if any(row["pixels"] for row in rows)
    }
    if tables:
        yield Chart(
            "Calibration",
            square_chart(
                f"{title}, share of pixels that are {_listed(tables)} over the probability",
                list(tables.values()),
                x_label="probability said",
                y_label="share that came true",
                diagonal=True,
            ),
            legend(list(tables.values())),
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _curve(name: str, rows: Sequence[Mapping[str, str]], found: Mapping[str, Any]) -> Points:
    """Return a class's curve; the place of the class raster is marked."""
    held = found["classes"][name]
    places = [(float(row["recall"]), float(row["precision"])) for row in rows if row["precision"]]
    # Most thresholds of a sure network lie on one spot.
    places = list(dict.fromkeys((round(x, 3), round(y, 3)) for x, y in places))
    return Points(
        name,
        tuple(places),
        marked=(held["recall"], held["precision"]),
        style=_style(name, found),
    )


def _style(name: str, found: Mapping[str, Any]) -> int:
    """Return the colour of a class in all drawings: the first is that of the single one."""
    return (list(found["classes"]).index(name) - 1) % len(found["classes"])


def _calibration(name: str, rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> Points:
    limits = found["intervals"]["reliability"][name]
    held = [
        ((row["mean_probability"], row["observed"]), limit["observed"])
        for row, limit in zip(rows, limits, strict=True)
        if row["pixels"]
    ]
    return Points(
        name,
        tuple(place for place, _ in held),
        tuple(limit for _, limit in held),
        style=_style(name, found),
    )


# --- curves --------------------------------------------------------------------------------


def best_epoch(sources: Sources) -> int | None:
    """Return the epoch whose weights were kept."""
    return None if sources.history is None else int(sources.card.figures["epoch"])


def training_samples(sources: Sources) -> Picture | None:
    """Return the sheet of samples that the training left, if it is there."""
    history = sources.paths.history
    path = history.with_name(SAMPLES) if history is not None else None
    if path is None or not path.is_file():
        return None
    with Image.open(path) as image:
        return as_jpeg(np.asarray(image), "tiles, and how augmentation changes them")


def charts(sources: Sources) -> Iterator[Chart]:
    """Yield loss, IoU and learning rate over the epochs."""
    history = sources.history
    if not history:
        return
    ious = [name for name in history[0] if name.startswith("val_iou_")]
    for title, columns in (
        ("Loss", {"loss": "training", "val_loss": "validation"}),
        (
            "IoU on validation",
            {"val_mean_iou": "mean"} | {name: name.removeprefix("val_iou_") for name in ious},
        ),
        ("Learning rate", {"learning_rate": "learning rate"}),
    ):
        lines = [
            Line(name, tuple(row[column] for row in history), style)
            for style, (column, name) in enumerate(columns.items())
        ]
        epochs = [row["epoch"] or 0.0 for row in history]
        yield Chart(
            title,
            line_chart(
                f"{title} over {len(history)} epochs",
                epochs,
                lines,
                x_label="epoch",
                marked=best_epoch(sources),
                marked_label="kept",
            ),
            legend(lines),
        )


# --- the split -----------------------------------------------------------------------------


def block_map(sources: Sources) -> Markup | None:
    """Draw the split; None in pixel mode, where pictures lie nowhere."""
    blocks, tiles = sources.blocks, sources.split_tiles
    if blocks is None or tiles is None or blocks.crs is None:
        return None
    key = crs_key(CRS.from_wkt(blocks.crs.to_wkt()))
    outlines = {
        scene.name: reprojected(Ground.of(scene.grid).outline, crs_key(scene.grid.crs), key)
        for scene in sources.scenes
        if scene.shares is not None and crs_key(scene.grid.crs) != PIXEL_KEY
    }
    return split_map(
        {split: _polygons(blocks, split) for split in SPLITS}, _polygons(tiles, ""), outlines
    )


def _polygons(layer: Any, split: str) -> list[shapely.Polygon]:  # noqa: ANN401 (a GeoDataFrame)
    return list(layer.geometry[layer["split"].fillna("") == split])


# --- pictures ------------------------------------------------------------------------------


def bands_of(sources: Sources, scene: Scene) -> Bands:
    """Return the bands of a scene that the network sees."""
    return Bands(scene.seen_bands or sources.card.bands, sources.card.scale)


def overviews(sources: Sources) -> Iterator[Overview]:
    """Yield pictures of whole scenes: of all, or of some spread over the list."""
    predicted = [scene for scene in sources.scenes if scene.is_predicted]
    for scene in spread(predicted, MOST_OVERVIEWS):
        path = sources.paths.scene(scene.name)
        background = read_reduced(path, bands_of(sources, scene), OVERVIEW_SIDE)
        shape = background.shape[0], background.shape[1]
        found = read_classes_reduced(sources.paths.prediction(scene.name), shape)
        label = (
            None
            if scene.shares is None
            else read_classes_reduced(sources.paths.mask(scene.name), shape)
        )
        alt = f"Scene {scene.name} with its prediction"
        yield Overview(
            scene.name,
            as_jpeg(
                overview(background, found, label, sources.card.colours),
                alt if label is None else f"{alt} and the outline of its label",
            ),
        )


def spread(items: Sequence[Scene], most: int) -> list[Scene]:
    """Return at most `most` items, the first and the last among them, evenly spread."""
    if len(items) <= most:
        return list(items)
    return [items[index * (len(items) - 1) // (most - 1)] for index in range(most)]


def test_tiles(sources: Sources, rows: Iterable[Mapping[str, str]]) -> Iterator[TilePictures]:
    """Yield the worst, the middle and the best tiles on test ground.

    Parameters
    ----------
    sources
        What the page is made of, with a data set.
    rows
        The evaluation's table of tiles.
    """
    if sources.dataset is None:
        return
    road = main_class(["other", *sources.card.classes])
    size, overlap = int(sources.dataset["tile_size"]), int(sources.dataset["tile_overlap"])
    scenes = {scene.name: scene for scene in sources.scenes}
    for kind, row in chosen_tiles(rows, road):
        scene = scenes[row["scene"]]
        step = TileGrid(scene.name, scene.grid, size, overlap).step
        window = Window(int(row["col"]) * step, int(row["row"]) * step, size, size)
        caption = (
            f"{kind}, {road} IoU {figure(float(row[f'iou_{road}']))}: of its pixels "
            f"{percent(float(row[f'missed_share_{road}']))} missed, "
            f"{percent(float(row[f'false_share_{road}']))} false alarm"
        )
        yield _pictures_of(sources, scene, window, row["tile"], caption)


def chosen_tiles(
    rows: Iterable[Mapping[str, str]], road: str
) -> list[tuple[str, Mapping[str, str]]]:
    """Choose the tiles that are shown, each with what it stands for.

    Parameters
    ----------
    rows
        The evaluation's table, which is read twice.
    road
        The class by whose IoU tiles are ordered.

    Returns
    -------
    list of tuple
        The worst, middle and best of the tiles with enough of that class in truth; none
        twice. All of them, worst first, where there are few.
    """
    ordered = sorted(
        (float(row[f"iou_{road}"]), row["tile"])
        for row in rows
        if row[f"iou_{road}"] and int(row[f"truth_{road}"]) >= LEAST_ROAD * int(row["pixels"])
    )
    kinds = [""] * len(ordered)
    if len(ordered) <= MOST_TILES:
        kinds = ["test tile"] * len(ordered)
    else:
        # The middle of those that are neither among the worst nor among the best.
        middle = WORST_TILES + (len(ordered) - MOST_TILES) // 2
        kinds[:WORST_TILES] = ["worst"] * WORST_TILES
        kinds[middle : middle + OTHER_TILES] = ["middle"] * OTHER_TILES
        kinds[-OTHER_TILES:] = ["best"] * OTHER_TILES
    chosen = {tile: kind for (_, tile), kind in zip(ordered, kinds, strict=True) if kind}
    held = {row["tile"]: row for row in rows if row["tile"] in chosen}
    return [(kind, held[tile]) for tile, kind in chosen.items()]


def sample_tiles(sources: Sources) -> Iterator[TilePictures]:
    """Yield the middle of some scenes, where no test ground is known."""
    predicted = [scene for scene in sources.scenes if scene.is_predicted]
    for scene in spread(predicted, SAMPLE_TILES):
        width, height = (min(TILE_SIDE, side) for side in (scene.grid.width, scene.grid.height))
        left, top = (scene.grid.width - width) // 2, (scene.grid.height - height) // 2
        window = Window(left, top, width, height)
        yield _pictures_of(sources, scene, window, scene.name, "its middle")


def _pictures_of(
    sources: Sources, scene: Scene, window: Window, name: str, caption: str
) -> TilePictures:
    """Show a window of a scene: the picture, the label where there is one, the prediction."""
    paths, classes, colours = sources.paths, sources.card.classes, sources.card.colours
    picture = read_part(paths.scene(scene.name), bands_of(sources, scene), window)
    found = read_classes(paths.prediction(scene.name), window)
    shown = [("picture", as_jpeg(_fitted(picture), f"{name}: picture"))]
    if scene.shares is not None:
        label = read_classes(paths.mask(scene.name), window)
        shown.append(
            ("label", as_png(_fitted(class_picture(label, picture, colours)), f"{name}: label"))
        )
    shown.append(
        (
            "prediction",
            as_png(_fitted(class_picture(found, picture, colours)), f"{name}: prediction"),
        )
    )
    if scene.shares is not None:
        errors = error_picture(picture, label, found, 1 if len(classes) == 1 else None, colours)
        shown.append(("errors", as_jpeg(_fitted(errors), f"{name}: where the two differ")))
    elif len(classes) == 1:
        probability = probability_picture(read_classes(paths.probability(scene.name), window))
        shown.append(("probability", as_png(_fitted(probability), f"{name}: probability")))
    return TilePictures(name, caption, tuple(shown))


def _fitted(picture: Array) -> Array:
    return shrunk(picture, TILE_SIDE, smooth=True)
