"""Which files there are, what belongs to them, and whether they changed."""

from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from planning.errors import PlanningError
from planning.sources import Catalogue, Scenes, Source


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def scenes(*patterns: str) -> dict[str, str]:
    found = Catalogue().pictures("imagery.paths", patterns)
    return {name: source.path for name, source in found.items()}


def refusal(*patterns: str) -> str:
    with pytest.raises(PlanningError) as caught:
        scenes(*patterns)
    return str(caught.value)


def test_files_and_globs() -> None:
    touch(
        "a/x.jp2", "a/y.jp2", "a/y.j2w", "a/y.jp2.aux.xml", "b/c/z.tif", "b/c/z.tfw", "b/w[1].png"
    )
    assert scenes("a/*", "./b//c/z.tif", "b/w[1].png") == {
        "x": "a/x.jp2",
        "y": "a/y.jp2",
        "z": "b/c/z.tif",
        "w[1]": "b/w[1].png",
    }
    assert list(scenes("**/*.tif", "a/x.jp2", "a/?.jp2")) == ["z", "x", "y"]
    assert scenes(str(Path("a/x.jp2").resolve()))["x"] == str(Path.cwd() / "a/x.jp2")


def test_two_files_with_one_stem_are_both_named() -> None:
    touch("a/x.jp2", "b/x.tif")
    message = refusal("a/*.jp2", "b/*.tif")
    assert "a/x.jp2 and b/x.tif would both be the scene 'x'" in message


def test_a_scene_whose_manifest_is_another_scenes_folder() -> None:
    touch("x.tif", "x.json.tif")
    assert "x.tif and x.json can't both be scenes" in refusal("*.tif")


def test_what_leads_nowhere_is_named_all_at_once() -> None:
    message = refusal("no.jp2", "none/*.jp2", "/vsizip/no.zip/*.jp2")
    assert "imagery.paths: there is no file 'no.jp2'" in message
    assert "imagery.paths: nothing matches 'none/*.jp2'" in message
    assert "there is no archive on the way to '/vsizip/no.zip/*.jp2'" in message
    assert str(Path.cwd()) in message


@pytest.mark.parametrize("name", ["a b.c [1] & $x; 'q'.jp2", "é ü.jp2", "a.b.c.jp2"])
def test_odd_names_that_work(name: str) -> None:
    touch(name)
    assert scenes(name) == {name.removesuffix(".jp2"): name}


def test_a_folder_stands_for_the_pictures_in_it() -> None:
    touch("sheets/a.jp2", "sheets/b.TIF", "sheets/b.tfw", "sheets/c.txt", "sheets/more/d.jp2")
    touch("other/e.png", "other/a.shp")
    assert scenes("sheets/", "other/e.png", "other") == {
        "a": "sheets/a.jp2",
        "b": "sheets/b.TIF",
        "e": "other/e.png",
    }


def test_a_folder_without_pictures_is_refused_with_what_to_write() -> None:
    touch("sheets/more/d.jp2")
    message = refusal("sheets")
    assert message.startswith("imagery.paths: the folder 'sheets' holds no picture (.jp2, .j2k, ")
    assert message.endswith("For those in folders in it, write sheets/**/*.jp2")
    assert scenes("sheets/**/*.jp2") == {"d": "sheets/more/d.jp2"}


def test_a_folder_is_no_single_picture_and_no_table() -> None:
    touch("sheets/a.jp2")
    with pytest.raises(
        PlanningError, match=r"is a folder. Name the pictures in it, such as sheets"
    ):
        Catalogue().picture("labels.raster.path", "sheets/")
    with pytest.raises(PlanningError, match=r"selection\.review: 'sheets' is a folder"):
        Catalogue().table("selection.review", "sheets")


@pytest.mark.parametrize(
    "name", ["a{b}.jp2", "a<b>.jp2", "a\nb.jp2", "a*b.jp2", "a\\b.jp2", "-a.jp2"]
)
def test_odd_names_that_are_refused(name: str) -> None:
    touch(name)
    with pytest.raises(PlanningError, match="Rename it"):
        Catalogue().picture("imagery.paths", name)


def test_archives() -> None:
    with zipfile.ZipFile("s.zip", "w") as archive:
        for name in ("in/x.jp2", "in/y.jp2", "in/y.j2w", "z.jp2", "deep/er/w.jp2"):
            archive.writestr(name, "")
    assert scenes("/vsizip/s.zip/in/*.jp2") == {
        "x": "/vsizip/s.zip/in/x.jp2",
        "y": "/vsizip/s.zip/in/y.jp2",
    }
    assert list(scenes("/vsizip/*.zip/*.jp2")) == ["z"]
    assert list(scenes("/vsizip/s.zip/**/[!x]*.jp2")) == ["w", "y", "z"]
    absolute = f"/vsizip/{Path('s.zip').resolve()}/z.jp2"
    source = Catalogue().pictures("imagery.paths", [absolute])["z"]
    assert source == Source(absolute, (str(Path("s.zip").resolve()),))
    assert "Name the pictures inside" in refusal("/vsizip/s.zip")
    with tarfile.open("t.tar", "w") as tar:
        tar.add("s.zip", "k.jp2")
    assert scenes("/vsitar/t.tar/*.jp2") == {"k": "/vsitar/t.tar/k.jp2"}


def test_a_broken_archive_is_named() -> None:
    Path("s.zip").write_text("no archive", encoding="utf-8")
    assert "s.zip can't be read as an archive" in refusal("/vsizip/s.zip/*.jp2")


def test_remote_files_have_no_input_and_no_fingerprint() -> None:
    addresses = [
        "/vsis3/bucket/a.tif",
        "/vsicurl/https://example.org/b.tif?token=1",
        "/vsizip//vsicurl/https://example.org/c.zip/c.tif",
    ]
    found = Catalogue().pictures("imagery.paths", addresses)
    assert list(found) == ["a", "b", "c"]
    assert [source.path for source in found.values()] == addresses
    assert {(source.files, source.fingerprint) for source in found.values()} == {((), "")}
    assert "one by one" in refusal("/vsis3/bucket/*.tif")


def test_sidecars_of_pictures() -> None:
    beside = ["x.jp2.aux.xml", "x.aux.xml", "x.j2w", "x.J2W", "x.wld", "x.prj", "x.TAB"]
    touch("x.jp2", "x.txt", "x.json", "xy.j2w", *beside)
    assert Catalogue().picture("k", "x.jp2").files == ("x.jp2", *sorted(beside))


def test_sidecars_of_layers() -> None:
    touch("l.shp", "l.shx", "l.dbf", "l.DBF", "l.cpg", "l.qix", "l.qml", "l.shp.xml", "ll.dbf")
    assert Catalogue().layer("k", "l.shp").files == (
        "l.shp",
        "l.DBF",
        "l.cpg",
        "l.dbf",
        "l.qix",
        "l.shx",
    )


def test_a_geopackages_journal_counts_when_something_is_in_it() -> None:
    touch("l.gpkg", "l.gpkg-wal", "l.gpkg-shm")
    assert Catalogue().layer("k", "l.gpkg").files == ("l.gpkg",)
    Path("l.gpkg-wal").write_text("pages", encoding="utf-8")
    assert Catalogue().layer("k", "l.gpkg").files == ("l.gpkg", "l.gpkg-wal")


def test_fingerprints_tell_size_time_and_members() -> None:
    touch("g.gdb/a", "x.jp2")
    print_of = {name: Catalogue().layer("k", name).fingerprint for name in ("x.jp2", "g.gdb")}
    os.utime("x.jp2", (1, 1))
    Path("g.gdb/a").write_text("changed", encoding="utf-8")
    for name, before in print_of.items():
        assert Catalogue().layer("k", name).fingerprint != before
    assert Catalogue().layer("k", "x.jp2").fingerprint == (
        "x.jp2 0 bytes 1970-01-01T00:00:01.000000000"
    )


def test_one_scene_is_one_file_in_training_and_prediction() -> None:
    touch("a/x.jp2", "b/x.jp2", "b/y.jp2")
    Path("link.jp2").symlink_to("a/x.jp2")
    first = Source("a/x.jp2", ("a/x.jp2",))
    with pytest.raises(PlanningError, match=r"b/x\.jp2 and a/x\.jp2 of imagery\.paths would both"):
        Scenes({"x": first}, {"x": Source("b/x.jp2", ("b/x.jp2",))})
    same = Scenes({"x": first}, {"x": Source("./a/x.jp2", ()), "y": Source("b/y.jp2", ())})
    assert {name: source.path for name, source in same.all.items()} == {
        "x": "a/x.jp2",
        "y": "b/y.jp2",
    }
