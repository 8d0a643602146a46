"""Stage `selection`: what a tile holds, what is said of it, and by whom."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tile_makers import grid_at, make_scene, striped, textured

from roadmask.__main__ import main
from roadmask.errors import InputError, SettingError
from roadmask.quality.columns import Shares
from roadmask.quality.reference import SCORED_COLUMNS
from roadmask.quality.shares import measure
from roadmask.selection import Limits, judge, name_fraction, read_review
from roadmask.selection_summary import kind, summarize, unknown_tiles

LIMITS = Limits(0.01, 0.95, 0.1, 0.5, 0.2)
SEEN = np.ones((32, 32), bool)
shares = st.floats(0, 1).map(lambda value: round(value, 6))


def held(road=0.2, nodata=0.0, unknown=0.0):
    return Shares(road, nodata, unknown, 0.0, 0.0)


class TestMeasure:
    def test_shares_have_the_denominators_of_the_contract(self):
        valid = np.zeros((32, 32), bool)
        valid[:16] = True  # 512 of 1024 pixels
        label = np.zeros((32, 32), np.uint8)
        label[:4] = 255  # 128 of the 512 are not known
        label[4:7] = 1  # 96 of the 384 known
        label[7] = 2  # and 32 of another class
        label[16:] = 1  # no picture: counts for nothing
        result = measure(textured(3, 32, 32), valid, label)
        assert result.nodata_share == 0.5
        assert result.unknown_share == 0.25
        assert result.road_share == round(128 / 384, 6)

    def test_unknown_label_without_picture_is_nodata_alone(self):
        valid = SEEN.copy()
        valid[:, 16:] = False
        label = np.where(valid, 0, 255).astype(np.uint8)
        result = measure(textured(3, 32, 32), valid, label)
        assert (result.nodata_share, result.unknown_share) == (0.5, 0.0)

    def test_nothing_to_divide_by_gives_zero(self):
        label = np.zeros((32, 32), np.uint8)
        assert measure(textured(3, 32, 32), ~SEEN, label) == Shares(0.0, 1.0, 0.0, 0.0, 0.0)

    def test_saturated_in_some_band(self):
        image = textured(3, 32, 32)
        image[1, :8] = 255
        image[2, 4:12] = 0
        assert measure(image, SEEN, np.zeros((32, 32), np.uint8)).saturated_share == 12 / 32

    def test_blank_cells_count_whole_and_only_where_flat_in_every_band(self):
        image = textured(3, 40, 40)  # cells at the far edges are cut off
        valid = np.ones((40, 40), bool)
        image[:, :16, :16] = np.array([10, 20, 30], np.uint8)[:, None, None]
        image[:2, 16:32, :16] = 99  # the third band still varies
        image[:, 32:, 32:] = 5
        result = measure(image, valid, np.zeros((40, 40), np.uint8))
        assert result.blank_share == (256 + 64) / 1600

    def test_flat_picture_beside_nodata_is_blank(self):
        image = textured(3, 32, 32)
        valid = SEEN.copy()
        valid[:, 5:] = False
        image[:, valid] = 200
        assert measure(image, valid, np.zeros((32, 32), np.uint8)).blank_share == 1.0


class TestJudge:
    @pytest.mark.parametrize(
        ("tile", "verdict", "scope", "reason"),
        [
            (held(), "keep", "all", ""),
            (held(road=0.01), "keep", "all", ""),
            (held(road=0.95), "keep", "all", ""),
            (held(road=0.003), "drop", "train", "road_share 0.003 < selection.min_road_share 0.01"),
            (held(road=0.96), "drop", "train", "road_share 0.96 > selection.max_road_share 0.95"),
            (
                held(nodata=0.51),
                "drop",
                "all",
                "nodata_share 0.51 > selection.max_nodata_share 0.5",
            ),
            (
                held(road=0.99, nodata=0.6, unknown=0.3),
                "drop",
                "all",
                "nodata_share 0.6 > selection.max_nodata_share 0.5; "
                "unknown_share 0.3 > selection.max_unknown_share 0.2; "
                "road_share 0.99 > selection.max_road_share 0.95",
            ),
            (held(road=0.0, nodata=1.0), "drop", "all", "no picture at all"),
        ],
    )
    def test_limits(self, tile, verdict, scope, reason):
        result = judge("t", tile, LIMITS, {})
        assert (result.verdict, result.scope, result.reason) == (verdict, scope, reason)

    def test_nothing_known_is_dropped_whatever_the_limits(self):
        lenient = Limits(0, 1, 1, 1, 1)
        assert judge("t", held(road=0, unknown=1), lenient, {}).reason == "no known label at all"
        assert judge("t", held(road=0, nodata=1), lenient, {}).reason == "no picture at all"

    def test_share_of_empty_tiles(self):
        names = [f"s_r{row:03d}_c{column:03d}" for row in range(50) for column in range(50)]
        verdicts = [judge(name, held(road=0), LIMITS, {}) for name in names]
        kept = [verdict for verdict in verdicts if verdict.verdict == "keep"]
        assert 0.08 < len(kept) / len(names) < 0.12
        assert all("selection.empty_share 0.1" in verdict.reason for verdict in verdicts)
        assert {verdict.scope for verdict in verdicts if verdict not in kept} == {"train"}
        assert judge("t", held(road=0), Limits(0.01, 1, 1, 1, 1), {}).verdict == "keep"
        assert judge("t", held(road=0), Limits(0.01, 1, 0, 1, 1), {}).verdict == "drop"

    @given(shares, shares, shares, st.sampled_from(["keep", "drop"]))
    def test_a_person_wins(self, road, nodata, unknown, verdict):
        result = judge("t", held(road, nodata, unknown), LIMITS, {"t": verdict})
        assert (result.verdict, result.scope) == (verdict, "all")
        assert result.reason == f"{verdict} by selection.review"

    @given(shares, shares, shares, st.text(max_size=5))
    def test_every_tile_left_out_has_a_reason(self, road, nodata, unknown, name):
        result = judge(name, held(road, nodata, unknown), LIMITS, {})
        assert result.verdict == "keep" or result.reason
        assert 0 <= name_fraction(name) < 1

    @given(shares, shares, shares)
    def test_a_tile_dropped_for_its_road_share_alone_binds_training_alone(
        self, road, nodata, unknown
    ):
        result = judge("t", held(road, nodata, unknown), LIMITS, {})
        hard = nodata > 0.5 or unknown > 0.2
        assert (result.scope == "train") == (not hard and result.verdict == "drop")

    def test_limits_are_checked(self):
        with pytest.raises(SettingError, match=r"selection\.min_road_share: 0\.5 is above"):
            Limits(0.5, 0.4, 0.1, 0.5, 0.2)
        with pytest.raises(SettingError, match=r"selection\.empty_share: 2 is no share"):
            Limits(0.1, 0.4, 2, 0.5, 0.2)


class TestReview:
    def test_reads_what_spreadsheets_write(self, tmp_path):
        path = tmp_path / "review.csv"
        path.write_text(
            '\ufeffNote, Tile ,verdict\r\n"a, b",s_r000_c000,Keep\r\n\r\n,s_r000_c001, drop\r\n'
            ",s_r000_c001,drop\r\n",
            encoding="utf-8",
        )
        assert read_review(path) == {"s_r000_c000": "keep", "s_r000_c001": "drop"}

    def test_semicolons_part_columns_too(self, tmp_path):
        path = tmp_path / "review.csv"
        path.write_bytes(b"tile;verdict;note\r\na;keep;1,5 m off\r\nb;drop;\r\n")
        assert read_review(path) == {"a": "keep", "b": "drop"}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "line 1 does not name the columns tile and verdict"),
            ("tile verdict\na keep\n", "line 1 does not name"),
            ("tile;verdict\na;keep\nb,drop\n", "line 3 has 1 of 2 columns"),
            ("tile,verdict\na,keep\nb\n", "line 3 has 1 of 2 columns"),
            ("tile,verdict\n\na,maybe\n", "line 3 holds tile 'a', verdict 'maybe'"),
            ("tile,verdict\na,keep\na,drop\n", "line 3 says drop of a, another line the opposite"),
        ],
    )
    def test_says_which_line_is_wrong(self, tmp_path, text, message):
        path = tmp_path / "review.csv"
        path.write_text(text)
        with pytest.raises(InputError, match=f"{path}: {message}"):
            read_review(path)

    def test_missing_or_binary(self, tmp_path):
        with pytest.raises(InputError, match=r"Correct selection\.review"):
            read_review(tmp_path / "none.csv")
        (tmp_path / "x.csv").write_bytes(b"tile,verdict\n\xff\xfe,keep\n")
        with pytest.raises(InputError, match="UTF-8"):
            read_review(tmp_path / "x.csv")


LIMITS_GIVEN = (
    "--selection.min_road_share=0.01",
    "--selection.max_road_share=0.95",
    "--selection.empty_share=0",
    "--selection.max_nodata_share=0.5",
    "--selection.max_unknown_share=0.2",
)


def measured(scene, folder: Path) -> Path:
    """Measure a scene's tiles as the stage does, and return the table."""
    table = folder / "measures" / "s.csv"
    code = main(
        [
            *("measure", str(scene.scene), "--mask", str(scene.mask)),
            *("--looks", str(scene.looks)),
            *("--tiles", str(scene.tiles), "--masks", str(scene.masks)),
            *("--output", str(table), "--offset", str(folder / "offsets" / "s.json")),
        ]
    )
    return table if code == 0 else Path()


def select(scene, output: Path, *more: str) -> int:
    table = measured(scene, output.parent / f"of_{output.stem}")
    if not table.name:
        return 1
    verdicts = table.with_name("verdicts.csv")
    code = main(["selection", str(table), "--output", str(verdicts), *LIMITS_GIVEN, *more])
    return code or main(
        [
            *("score", str(verdicts), "--mask", str(scene.mask), "--manifest", str(scene.tiles)),
            *("--output", str(output), "--classes", '{"road": 1}'),
        ]
    )


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["tile"]: row for row in csv.DictReader(file)}


class TestCommand:
    @pytest.fixture
    def scene(self, tmp_path):
        label = striped(100, 70)
        label[32:64, 32:64] = 0
        return make_scene(
            tmp_path,
            "s",
            grid_at(987000, 200000, 70, 100),
            label=label,
            outside=["s_r001_c000"],
        )

    def test_every_tile_is_judged_and_nothing_deleted(self, scene, tmp_path):
        before = sorted(path for path in tmp_path.rglob("*.tif"))
        assert select(scene, tmp_path / "selection" / "s.csv") == 0
        rows = rows_of(tmp_path / "selection" / "s.csv")
        assert list(rows) == [f"s_r{row:03d}_c{col:03d}" for row in range(4) for col in range(3)]
        assert tuple(rows["s_r000_c000"]) == SCORED_COLUMNS
        assert rows["s_r000_c000"]["verdict"] == "keep"
        assert rows["s_r001_c001"]["scope"] == "train"
        assert rows["s_r001_c000"]["reason"] == "outside area"
        assert rows["s_r001_c000"]["verdict"] == "drop"
        # 6 of 32 columns and 4 of 32 rows lie in the scene
        assert float(rows["s_r000_c002"]["nodata_share"]) == pytest.approx(26 / 32, abs=1e-6)
        assert float(rows["s_r003_c000"]["nodata_share"]) == pytest.approx(28 / 32, abs=1e-6)
        assert float(rows["s_r000_c000"]["road_share"]) == pytest.approx(247 / 1015, abs=1e-6)
        assert sorted(path for path in tmp_path.rglob("*.tif")) == before

    def test_several_classes_may_fill_a_tile(self, tmp_path):
        label = np.full((64, 96), 3, np.uint8)
        label[:, :32] = 0
        label[32:, 32:64] = 255
        scene = make_scene(tmp_path, "s", grid_at(987000, 200000, 96, 64), label=label)
        several = '--classes={"road": 1, "water": 2, "land": 3}'
        assert select(scene, tmp_path / "s.csv", several) == 0
        rows = rows_of(tmp_path / "s.csv")
        verdicts = {name[-9:]: (row["verdict"], row["scope"]) for name, row in rows.items()}
        assert verdicts == {
            "r000_c000": ("drop", "train"),  # none of the classes, and empty_share is 0
            "r001_c000": ("drop", "train"),
            "r000_c001": ("keep", "all"),
            "r000_c002": ("keep", "all"),
            "r001_c001": ("drop", "all"),  # not known
            "r001_c002": ("keep", "all"),
        }
        assert rows["s_r000_c002"]["road_share"] == "1.000000"
        assert select(scene, tmp_path / "s.csv") == 0
        assert rows_of(tmp_path / "s.csv")["s_r000_c002"]["verdict"] == "drop"

    def test_blank_pictures_are_listed_with_their_reason(self, tmp_path):
        image = textured(3, 64, 96)
        image[:, :32, :32] = 255
        image[:, 32:, :32] = np.reshape([10, 20, 30], (3, 1, 1))
        image[:, 40, 40] = 0
        scene = make_scene(tmp_path, "s", grid_at(987000, 200000, 96, 64), image=image)
        assert select(scene, tmp_path / "s.csv") == 0
        reasons = {name[-9:]: row["reason"] for name, row in rows_of(tmp_path / "s.csv").items()}
        blank = {name for name, reason in reasons.items() if reason.startswith("blank picture")}
        assert blank == {"r000_c000", "r001_c000"}

    def test_same_bytes_again(self, scene, tmp_path):
        for name in ("a.csv", "b.csv"):
            select(scene, tmp_path / name)
        assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()

    def test_review_wins_but_brings_back_no_tile_that_was_never_cut(self, scene, tmp_path, capsys):
        review = tmp_path / "review.csv"
        review.write_text(
            "tile,verdict\ns_r000_c000,drop\ns_r001_c001,keep\ns_r001_c000,keep\nother_r0,keep\n"
        )
        assert select(scene, tmp_path / "s.csv", f"--selection.review={review}") == 0
        rows = rows_of(tmp_path / "s.csv")
        assert (rows["s_r000_c000"]["verdict"], rows["s_r000_c000"]["scope"]) == ("drop", "all")
        assert rows["s_r001_c001"]["verdict"] == "keep"
        assert rows["s_r001_c000"]["verdict"] == "drop"
        assert "s_r001_c000: selection.review keeps it, but" in capsys.readouterr().err

    def test_labels_of_another_cut_are_refused(self, scene, tmp_path, capsys):
        other = make_scene(tmp_path / "other", "s", grid_at(987000, 200000, 70, 100), size=16)
        mixed = replace(scene, masks=other.masks)
        assert select(mixed, tmp_path / "s.csv") == 1
        assert "size is not the same" in capsys.readouterr().err

    def test_a_label_tile_that_lies_elsewhere_is_refused(self, scene, tmp_path, capsys):
        import rasterio

        path = scene.masks.with_suffix("") / "s_r000_c000.tif"
        with rasterio.open(path, "r+") as dataset:
            dataset.transform = dataset.transform * dataset.transform.translation(1, 0)
        assert select(scene, tmp_path / "s.csv") == 1
        assert f"error: {path}: its pixels lie at" in capsys.readouterr().err
        assert not (tmp_path / "s.csv").exists()

    def test_summary(self, scene, tmp_path, capsys):
        select(scene, tmp_path / "s.csv")
        review = tmp_path / "review.csv"
        review.write_text("tile,verdict\ns_r000_c000,drop\ns_r001_c000,keep\nt_r000_c000,keep\n")
        output = tmp_path / "summary.json"
        code = main(
            [
                *("selection-summary", str(tmp_path / "s.csv"), "--output", str(output)),
                f"--selection.review={review}",
            ]
        )
        assert code == 0
        summary = json.loads(output.read_text())
        assert summary["tiles"] == 12 == sum(summary["verdicts"].values())
        assert summary["verdicts"]["drop in training"] == 1
        assert summary["reasons"]["drop"]["outside area"] == 1
        assert summary["reasons"]["drop"]["nodata_share > selection.max_nodata_share 0.5"] == sum(
            row["reason"].startswith("nodata") for row in rows_of(tmp_path / "s.csv").values()
        )
        assert summary["review"] == {"tiles": 3, "without_a_tile": ["s_r001_c000", "t_r000_c000"]}
        printed = capsys.readouterr().err
        assert "12  tiles in 1 scenes" in printed
        assert "no scene has 2 tiles, of 3 tiles named there: s_r001_c000, t_r000_c000" in printed


def test_summary_counts_each_reason_of_a_tile():
    row = {
        "tile": "a",
        "verdict": "drop",
        "scope": "all",
        "reason": "nodata_share 0.6 > selection.max_nodata_share 0.5; no known label at all",
        "blank_share": "0.9",
        "saturated_share": "0.1",
        "doubt": "0.42",
        "doubt_reason": "much of it is not known",
    }
    summary = summarize({"s": [row, row | {"tile": "b", "reason": "no known label at all"}]})
    assert summary["verdicts"] == {"drop": 2}
    assert summary["reasons"]["drop"] == {
        "no known label at all": 2,
        "nodata_share > selection.max_nodata_share 0.5": 1,
    }
    assert (summary["mostly_blank"], summary["mostly_saturated"]) == (2, 0)
    assert summary["doubt"]["histogram"][8] == 2
    assert summary["doubt"]["most"] == []  # whatever their doubt, a rule drops both
    assert summary["reference"] is None
    assert unknown_tiles(["a", "c"], {"s": [row]}) == ["c"]
    assert kind("outside area") == "outside area"


def test_summary_names_the_doubtful_that_no_rule_drops():
    row = {
        "scope": "all",
        "blank_share": "0",
        "saturated_share": "0",
        "doubt_reason": "its road surely looks like other ground",
    }
    verdicts = {
        "kept": ("keep", "", "0.5"),
        "blank": ("drop", "blank picture: nothing but flat colour", "0.9"),
        "by_person": ("drop", "drop by selection.review", "0.8"),
    }
    rows = [
        row | {"tile": tile, "verdict": verdict, "reason": reason, "doubt": doubt}
        for tile, (verdict, reason, doubt) in verdicts.items()
    ]
    found = summarize({"s": rows})["doubt"]
    assert [tile["tile"] for tile in found["most"]] == ["by_person", "kept"]
    assert sum(found["histogram"]) == 3
