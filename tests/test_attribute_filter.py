"""Filters are refused with what to write instead, and the same in every format."""

from __future__ import annotations

import geopandas as gpd
import pyogrio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import LineString

from roadmask.attribute_filter import check_filter, fields_of
from roadmask.errors import SettingError

FIELDS = {
    "STATUS": "text",
    "RW_TYPE": "number",
    "ST_WIDTH": "text",
    "LANES": "number",
    "D": "other",
}

FINE = [
    "STATUS = '2'",
    "status = '2' and rw_type not in (4, 5, 6)",
    "RW_TYPE = '2'",
    "RW_TYPE NOT IN ('4', '12')",
    "\"STATUS\" <> '2'",
    "STATUS IS NOT NULL OR LANES IS NULL",
    "STATUS LIKE '2%' AND NOT (LANES > 3)",
    "CAST(ST_WIDTH AS float) > 30",
    "CAST(RW_TYPE AS character) LIKE '1%'",
    "LANES BETWEEN 1 AND 3 AND STATUS = '2'",
    "LANES > -1",
    "'2' = STATUS",
    "STATUS = 'it''s 2 = 3'",
    "STATUS > 'abc'",
    "FID = 3",
    "OGR_GEOMETRY = 'POINT'",
    "D = 1",
]

WRONG = [
    ("STATUS = 2", "Write STATUS = '2'"),
    ("2 = STATUS", "Write '2' = STATUS"),
    ("STATUS<>-2", "Write STATUS<>'-2'"),
    ("STATUS IN (1, '2',3)", "Write STATUS IN ('1', '2','3')"),
    ("STATUS NOT IN (1)", "Write STATUS NOT IN ('1')"),
    ("LANES = 2 AND status = 2", "Write LANES = 2 AND status = '2'"),
    ("ST_WIDTH > 30", "Write CAST(ST_WIDTH AS float) > 30"),
    ("ST_WIDTH > '30'", "Write CAST(ST_WIDTH AS float) > 30"),
    ("ST_WIDTH BETWEEN 1 AND '30'", "Write CAST(ST_WIDTH AS float) BETWEEN 1 AND 30"),
    ("STATUS LIKE 2", "Write STATUS LIKE '2'"),
    ("RW_TYPE = 'street'", "RW_TYPE, which holds numbers in this file"),
    ("RW_TYPE LIKE '1%'", "CAST(RW_TYPE AS character) LIKE '1%'"),
    ("STATUS = NULL", "Write STATUS IS NULL"),
    ("STATUSS = '2'", "Did you mean STATUS? Its fields are STATUS, RW_TYPE"),
    ('STATUS = "2"', "use single quotes: '2'"),
    ("STATUS = '2", "is not closed"),
]


@pytest.mark.parametrize("where", FINE)
def test_lets_pass(where):
    check_filter(where, FIELDS, "street_lines.where")


@pytest.mark.parametrize(("where", "advice"), WRONG)
def test_refuses_with_advice(where, advice):
    with pytest.raises(SettingError) as error:
        check_filter(where, FIELDS, "street_lines.where")
    assert str(error.value).startswith("street_lines.where: ")
    assert advice in str(error.value)


@pytest.mark.parametrize("where", [wrong for wrong, advice in WRONG if advice.startswith("Write ")])
def test_its_own_advice_passes(where):
    with pytest.raises(SettingError) as error:
        check_filter(where, FIELDS, "x")
    corrected = error.value.remedy.removeprefix("Write ").partition(" or ")[0]
    check_filter(corrected, FIELDS, "x")


def test_names_the_field_that_a_shapefile_cut():
    with pytest.raises(SettingError, match="Did you mean STREET_WID"):
        check_filter("STREET_WIDTH > 1", {"STREET_WID": "number"}, "x")


def test_knows_the_formats_own_names():
    check_filter("ogc_fid > 1", {}, "x", built_in=("ogc_fid",))
    with pytest.raises(SettingError, match="no fields at all"):
        check_filter("ogc_fid > 1", {}, "x")


def test_lists_the_fields_of_a_filter():
    assert fields_of("lanes > 1 AND \"STATUS\" = 'D'", list(FIELDS)) == ["STATUS", "LANES"]


@given(st.text(alphabet="STATUS RW_TYPE'\"()=<>2,.-%", max_size=40))
def test_answers_any_text_with_an_error_or_nothing(where):
    try:
        check_filter(where, FIELDS, "x")
    except SettingError as error:
        assert str(error).startswith("x: ")


@pytest.fixture(scope="module")
def formats(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    frame = gpd.GeoDataFrame(
        {"STATUS": ["1", "2", "2", "10"], "RW_TYPE": [1, 2, 4, 12]},
        geometry=[LineString([(i, 0), (i, 9)]) for i in range(4)],
        crs=2263,
    )
    paths = [folder / f"x.{ending}" for ending in ("shp", "gpkg", "geojson", "gdb", "fgb")]
    for path in paths:
        frame.to_file(path, engine="pyogrio")
    return paths


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("STATUS = '2'", 2),
        ("RW_TYPE = '2'", 1),
        ("RW_TYPE NOT IN ('4', '12')", 2),
        ("RW_TYPE > '2'", 2),
        ("CAST(STATUS AS float) > 2", 1),
        ("CAST(RW_TYPE AS character) LIKE '1%'", 2),
        ("RW_TYPE BETWEEN '2' AND '4'", 2),
    ],
)
def test_what_passes_means_the_same_in_every_format(formats, where, expected):
    check_filter(where, {"STATUS": "text", "RW_TYPE": "number"}, "x")
    assert [len(pyogrio.read_dataframe(path, where=where)) for path in formats] == [expected] * 5
