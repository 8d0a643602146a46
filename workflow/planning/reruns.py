"""Which stages run again when a key changes: the README's table, which a test holds to.

A key stands here with all that runs again, because users ask what a change costs, not what it
touches first.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from planning import teaching

STEPS = (
    "demo",
    "scenes",
    "tiles",
    "lines",
    "line tiles",
    "masks",
    "mask tiles",
    "selection",
    "dataset",
    "model",
    "exports",
    "predictions",
    "vectors",
    "changes",
    "project",
    "evaluation",
    "report",
)

# The step that each rule belongs to; those that predict have names and numbers.
RULES = {
    "build_demo": "demo",
    "convert_scene": "scenes",
    "cut_scene": "tiles",
    "measure_tone": "predictions",
    "join_flight": "predictions",
    "draw_lines": "lines",
    "cut_lines": "line tiles",
    "label_scene": "masks",
    "mosaic_masks": "masks",
    "cut_masks": "mask tiles",
    "learn_looks": "selection",
    "see_looks": "selection",
    "measure_tiles": "selection",
    "check_offsets": "selection",
    "select_tiles": "selection",
    "score_tiles": "selection",
    "summarize_selection": "selection",
    "write_review": "selection",
    "write_dataset": "dataset",
    "train_model": "model",
    "export_model": "exports",
    "find_neighbours_*": "predictions",
    "predict_*": "predictions",
    "classify_*": "predictions",
    "mosaic_predictions": "predictions",
    "draw_vectors": "vectors",
    "score_vectors": "vectors",
    "draw_map": "changes",
    "label_map": "changes",
    "find_changes": "changes",
    "evaluate": "evaluation",
    "mosaic_scenes": "project",
    "mosaic_probability": "project",
    "mosaic_looks": "project",
    "join_pieces": "project",
    "write_project": "project",
    "write_report": "report",
}


def step_of(rule: str) -> str | None:
    """Return the step of a rule, or None for one that only gathers others."""
    return next((step for name, step in RULES.items() if fnmatch.fnmatch(rule, name)), None)


def _since(step: str) -> tuple[str, ...]:
    return STEPS[STEPS.index(step) :]


@dataclass(frozen=True)
class Row:
    """Keys and what runs again when one of them changes.

    Attributes
    ----------
    keys
        Dotted names; ``*`` stands for any rest.
    steps
        All steps that run again.
    note
        Where that holds for some scenes or methods alone.
    """

    keys: tuple[str, ...]
    steps: tuple[str, ...]
    note: str = ""


_AFTER_SELECTION = _since("selection")
_OF_LINES = ("lines", "line tiles", *_since("masks"))
_OF_TILES = ("tiles", "line tiles", "mask tiles", *_AFTER_SELECTION)

TABLE = (
    Row(
        ("dataset",),
        ("report",),
        "which shows the settings; going to or from `demo` changes everything",
    ),
    Row(("results",), _since("scenes"), "another folder begins empty"),
    Row(("demo.*",), STEPS, "`dataset: demo`"),
    Row(
        ("imagery.paths",),
        _since("scenes"),
        "of an added sheet its own steps, and from `dataset` on what all sheets share; `selection` "
        f"of all sheets where the added one is among the {teaching.MOST} that teach the looks",
    ),
    Row(("imagery.crs", "imagery.nodata"), _since("scenes")),
    Row(
        ("imagery.georeference",),
        tuple(step for step in _since("scenes") if step != "project"),
        "and `project` where the pictures keep a place",
    ),
    Row(("imagery.bands", "imagery.scale", "tiles.*"), _OF_TILES),
    Row(("area.*",), ("tiles", "line tiles", *_since("masks"))),
    Row(
        ("street_lines.*", "centerlines.*", "lines.halo"),
        _OF_LINES,
        "`regions` and `buffer`; else only what is drawn",
    ),
    Row(("labels.method",), _since("masks")),
    Row(("labels.max_road_width",), _since("masks"), "`regions` and `buffer`"),
    Row(("labels.ends",), _since("masks"), "`buffer`"),
    Row(("labels.polygons.*",), _since("masks"), "`polygons`"),
    Row(("labels.raster.*", "labels.threshold"), _since("masks"), "`raster`"),
    Row(("labels.islands.*", "classes"), _since("masks")),
    Row(("labels.shift",), _OF_LINES, "of a sheet's map; `raster` and `polygons`: masks and on"),
    Row(
        ("labels.max_shift",),
        ("selection", "report"),
        "what is said of the offsets; with `on_shift: error` all that follows",
    ),
    Row(("labels.on_shift",), _AFTER_SELECTION, "what may end a run comes before the data set"),
    Row(
        ("labels.reference.*",),
        ("selection", "evaluation", "report"),
        "the tiles' scores; no tile is judged anew",
    ),
    Row(
        ("selection.review_tiles",),
        ("selection", "report"),
        "the page for reviewing, and the report's list of settings",
    ),
    Row(("vectors.*",), ("vectors", "project", "report")),
    Row(("changes.*",), ("changes", "project", "report")),
    Row(("evaluation.*",), _since("evaluation")),
    Row(("selection.*",), _AFTER_SELECTION),
    Row(("split.*",), _since("dataset")),
    Row(
        ("model.export", "model.activations"),
        ("exports", "report"),
        "which shows the settings",
    ),
    Row(("model.*", "training.*"), _since("model")),
    Row(
        ("prediction.paths",),
        ("scenes", "predictions", "vectors", "changes", "project", "report"),
        "of added sheets, and of those in one folder with them where `prediction.tone` matches it; "
        "tiles, labels, data set and model stay, and so do the figures",
    ),
    Row(
        ("prediction.model",),
        ("predictions", "vectors", "changes", "project", "report"),
        "which is all that the default target then makes; `changes` where there is a map",
    ),
    Row(
        ("prediction.tone",),
        ("predictions", "vectors", "changes", "project", "report"),
        "of imagery from other folders than what was trained on",
    ),
    Row(
        ("prediction.bands",),
        ("predictions", "vectors", "changes", "project", "report"),
        "of imagery that is not trained on",
    ),
    Row(
        (
            "prediction.window",
            "prediction.overlap",
            "prediction.augmentation",
            "prediction.resample",
        ),
        _since("predictions"),
    ),
    Row(
        ("prediction.threshold",),
        _since("predictions"),
        "from the probabilities that are there: the network does not run again",
    ),
)


def row_of(key: str) -> Row:
    """Return the row that a leaf falls under.

    Raises
    ------
    KeyError
        If the table does not know it.
    """
    for row in TABLE:
        if any(fnmatch.fnmatchcase(key, pattern) for pattern in row.keys):
            return row
    raise KeyError(key)


def markdown() -> str:
    """Return the table as it stands in the README."""
    lines = ["| key | runs again | where |", "| --- | --- | --- |"]
    for row in TABLE:
        names = " ".join(f"`{key}`" for key in row.keys)
        lines.append(f"| {names} | {_shortened(row.steps)} | {row.note} |")
    return "\n".join(lines) + "\n"


def _shortened(steps: tuple[str, ...]) -> str:
    """Name steps, the unbroken run to the last one by its ends."""
    if not steps:
        return "nothing"
    if steps == STEPS:
        return "everything"
    count = (
        next(
            number
            for number in range(len(steps), -1, -1)
            if steps[len(steps) - number :] == STEPS[-number:]
        )
        if steps[-1] == STEPS[-1]
        else 0
    )
    if count <= 2:
        return ", ".join(steps)
    first = steps[: len(steps) - count]
    return ", ".join([*first, f"{STEPS[-count]} and all that follows"])
