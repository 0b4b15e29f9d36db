"""Point layers hold what was given, are the same bytes each time, and leave nothing behind when they fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from osgeo import gdal, ogr

from pti_plugin.core.common.errors import OutputError
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.rasters.vector import _reread, write_points

FIELDS = [("site", str, "", "id"), ("rank", int, "", "rank"), ("magt", float, "degC", "mean")]
ROWS = [
    {"site": "Juvvasshøe", "rank": 21, "magt": -1.83, "lon": 8.37, "lat": 61.68},
    {"site": "A", "rank": None, "magt": float("nan"), "lon": -150.25, "lat": 65.5},
    {"site": "", "rank": 40, "magt": 0.5, "lon": 179.99, "lat": 72.0},
]


def write(path, rows=ROWS, **options):
    write_points(path, rows, FIELDS, "lon", "lat", "stations", **options)


def read(path):
    source = ogr.Open(str(path))
    layer = source.GetLayer(0)
    authority = layer.GetSpatialRef().GetAuthorityCode(None)
    rows = [(feature.GetField("site") or "", feature.GetField("rank"), feature.GetField("magt"),
             round(feature.GetGeometryRef().GetX(), 9), round(feature.GetGeometryRef().GetY(), 9))
            for feature in layer]
    return authority, rows


def switch_exceptions(on):
    # GDAL stacks its handlers: they come off in the reverse of the order they went on
    if on:
        gdal.UseExceptions()
        ogr.UseExceptions()
    else:
        ogr.DontUseExceptions()
        gdal.DontUseExceptions()


@pytest.fixture(params=[False, True], ids=["exceptions off", "exceptions on"])
def exceptions(request):
    before = gdal.GetUseExceptions()
    switch_exceptions(request.param)
    yield request.param
    switch_exceptions(before)


@pytest.mark.parametrize("ending", ["gpkg", "geojson", "fgb", "shp", "json", "GPKG"])
def test_every_format_holds_the_points_in_their_order(tmp_path, ending, exceptions):
    path = tmp_path / f"points.{ending}"
    write(path)
    authority, rows = read(path)
    assert authority == "4326"
    assert rows == [("Juvvasshøe", 21, -1.83, 8.37, 61.68), ("A", None, None, -150.25, 65.5),
                    ("", 40, 0.5, 179.99, 72.0)]
    assert gdal.GetUseExceptions() == exceptions
    assert not [name for name in os.listdir(tmp_path) if "partial" in name]


def test_same_input_gives_the_same_bytes(tmp_path):
    for ending in ("gpkg", "geojson", "fgb"):
        first, second = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
        write(first)
        write(second)
        assert first.read_bytes() == second.read_bytes()
    assert gdal.GetConfigOption("OGR_CURRENT_DATE") is None


def test_an_existing_layer_is_replaced_with_its_stale_index(tmp_path):
    path = tmp_path / "points.shp"
    write(path, ROWS * 5)
    (tmp_path / "points.qix").write_bytes(b"old")
    write(path)
    assert len(read(path)[1]) == 3 and not (tmp_path / "points.qix").exists()


def test_no_rows_make_an_empty_layer(tmp_path):
    write(tmp_path / "empty.gpkg", [])
    assert read(tmp_path / "empty.gpkg") == ("4326", [])


def test_with_a_staging_the_layer_appears_at_its_commit(tmp_path):
    path = tmp_path / "points.gpkg"
    with Staging() as staging:
        write(path, staging=staging)
        assert not path.exists()
        staging.commit()
    assert len(read(path)[1]) == 3
    with Staging() as staging:
        write(tmp_path / "other.gpkg", staging=staging)
    assert os.listdir(tmp_path) == ["points.gpkg"]


def test_an_unknown_ending_lists_those_that_work(tmp_path):
    for name in ("points.csv", "points", "points.xyz"):
        with pytest.raises(OutputError, match=r"\.gpkg, \.geojson"):
            write(tmp_path / name)


def test_a_shapefile_does_not_cut_field_names(tmp_path):
    with pytest.raises(OutputError, match="much_too_long"):
        write_points(tmp_path / "a.shp", [], [("much_too_long", int, "", "")], "lon", "lat", "a")


def test_long_texts_are_cut_in_a_shapefile_only(tmp_path):
    rows = [{**ROWS[0], "site": "ø" * 300}]
    write(tmp_path / "a.shp", rows)
    write(tmp_path / "a.gpkg", rows)
    assert read(tmp_path / "a.shp")[1][0][0] == "ø" * 127
    assert read(tmp_path / "a.gpkg")[1][0][0] == "ø" * 300


def test_a_missing_folder_is_named(tmp_path, exceptions):
    with pytest.raises(OutputError, match="nowhere"):
        write(tmp_path / "nowhere" / "points.gpkg")


@pytest.mark.parametrize("ending", ["gpkg", "geojson", "fgb", "shp"])
def test_a_file_cut_short_is_noticed(tmp_path, ending, exceptions):
    path = tmp_path / f"points.{ending}"
    write(path, ROWS * 500)
    assert _reread(str(path), 1500) is None
    os.truncate(path, path.stat().st_size // 2)
    assert _reread(str(path), 1500) is not None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize("ending", ["gpkg", "geojson", "fgb", "shp"])
@pytest.mark.parametrize("switch", ["DontUseExceptions", "UseExceptions"])
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, ending, switch):
    # a limit on the size of files fails writes as a full disk does
    script = f"""
import resource, signal, sys
from osgeo import gdal, ogr
gdal.{switch}(); ogr.{switch}()
from pti_plugin.core.common.errors import OutputError
from pti_plugin.core.rasters.vector import write_points
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))
rows = [{{"site": "x" * 200, "lon": 1.0, "lat": 60.0}}] * 2000
try:
    write_points({str(tmp_path / f"points.{ending}")!r}, rows, [("site", str, "", "")], "lon", "lat", "stations")
except OutputError as error:
    print("refused:", error)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).resolve().parents[2],
                          capture_output=True, text=True, check=False)
    assert done.stdout.startswith("refused:"), done.stdout + done.stderr
    assert "points" in done.stdout and os.listdir(tmp_path) == []
