"""Which scenes are brought to the training's tone together."""

from __future__ import annotations

from pathlib import Path

from planning.flights import flights
from planning.plan import Plan
from planning.settings import Settings
from planning.sources import Scenes, Source


def sources(*paths: str) -> dict[str, Source]:
    return {Path(path).stem: Source(path, (path,)) for path in paths}


def test_a_flight_is_a_folder_or_an_archive() -> None:
    pictures = sources("a/1.jp2", "/vsizip/b.zip/2.jp2", "a/3.jp2", "/vsizip/b.zip/4.jp2")
    assert sorted(flights(pictures, known={}).values()) == [["1", "3"], ["2", "4"]]


def test_sheets_beside_training_sheets_are_of_their_flight() -> None:
    known = sources("a/1.jp2")
    pictures = sources("a/1.jp2", "a/2.jp2", "b/3.jp2")
    assert list(flights(pictures, known).values()) == [["3"]]
    assert flights(known, known) == {}


def test_a_flight_keeps_its_name_whatever_lies_beside_it() -> None:
    [name] = flights(sources("b/3.jp2"), known={})
    assert name in flights(sources("a/0.jp2", "b/3.jp2", "b/4.jp2", "c/9.jp2"), known={})


def plan(**prediction: object) -> Plan:
    own = {"dataset": "own", "imagery": {"paths": ["old/a.jp2"]}, "prediction": prediction}
    made = Plan(Settings.model_validate(own), Path())
    # Looked up only when asked for, and here there are no files.
    made.__dict__["scenes"] = Scenes(
        training=sources("old/a.jp2"), prediction=sources("new/b.jp2", "old/c.jp2")
    )
    return made


def test_what_lies_elsewhere_is_matched_unless_forbidden() -> None:
    assert list(plan().flights.values()) == [["b"]]
    assert plan(tone="none").flights == {}


def test_for_a_ready_model_every_folder_is_a_flight_and_scored_scenes_are_apart() -> None:
    made = plan(model="m.keras")
    assert sorted(made.flights.values()) == [["a"], ["b"], ["c"]]
    [scored] = [name for name, scenes in made.flights.items() if scenes == ["a"]]
    assert scored.endswith("_scored")
    assert made.flight_files(["a"]) == [f"results/tone/flights/{scored}.json"]
    assert made.flight_files(["x"]) == []


def test_a_sheet_needs_the_flights_of_the_sheets_beside_it() -> None:
    made = plan(model="m.keras")
    flights = [name for name, scenes in made.flights.items() if scenes in (["b"], ["c"])]
    assert made.flight_files(["b", "c"]) == [
        f"results/tone/flights/{name}.json" for name in flights
    ]
