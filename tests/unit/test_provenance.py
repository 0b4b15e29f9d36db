"""The record beside a result holds enough to run it again."""

import hashlib
import json
import os

import numpy as np

from pti_plugin.core.profiles import AS_PUBLISHED, DEFENSIBLE, deviations
from pti_plugin.core.progress import Progress
from pti_plugin.core.provenance import build_record, checksum, describe_input, read_record, record_path, to_json
from pti_plugin.core.resources import plugin_version


def made(tmp_path, profile=DEFENSIBLE, **options):
    path = tmp_path / "in.tif"
    path.write_bytes(b"some raster")
    progress = Progress()
    progress.warn("12 cells have no MAGT.")
    return path, build_record("buildpti", {"COLD": -3.0, "PROFILE": 0}, [("MAGT", path)],
                              {"OUTPUT": tmp_path / "out.tif", "OUTPUT_REASON": None}, profile, progress, **options)


def test_inputs_have_size_and_checksum(tmp_path):
    path, record = made(tmp_path)
    assert record["inputs"] == [{"role": "MAGT", "path": str(path), "size_bytes": 11,
                                 "sha256": hashlib.sha256(b"some raster").hexdigest()}]


def test_large_files_are_summed_in_parts(tmp_path):
    content = os.urandom(9 << 20)
    (tmp_path / "large").write_bytes(content)
    assert checksum(tmp_path / "large", Progress()) == hashlib.sha256(content).hexdigest()


def test_a_variable_of_a_file_is_described_by_the_file(tmp_path):
    (tmp_path / "x.nc").write_bytes(b"netcdf")
    entry = describe_input("INPUT", f'NETCDF:"{tmp_path / "x.nc"}":T2m')
    assert entry["size_bytes"] == 6 and entry["path"].endswith(":T2m")
    assert describe_input("INPUT", "memory layer") == {"role": "INPUT", "path": "memory layer"}


def test_parameters_versions_warnings_and_results_are_there(tmp_path):
    _, record = made(tmp_path, seed=7, results={"area_km2": np.float64(3.5)})
    assert record["tool"] == "buildpti" and record["plugin_version"] == plugin_version()
    assert record["parameters"] == {"COLD": -3.0, "PROFILE": 0} and record["seed"] == 7
    assert record["outputs"] == {"OUTPUT": str(tmp_path / "out.tif")}
    assert record["warnings"] == ["12 cells have no MAGT."]
    assert {"python", "numpy", "gdal"} <= set(record["versions"])
    assert record["versions"]["numpy"] == np.__version__
    assert record["finished"].endswith("+00:00")


def test_every_departure_from_the_paper_is_listed_and_only_those(tmp_path):
    record = made(tmp_path)[1]
    assert record["profile"] == "defensible"
    departures = record["departures_from_the_paper"]
    assert departures["station_min_years"] == {"used": 5, "as_published": 3}
    assert departures["stratified_split"] == {"used": True, "as_published": False}
    assert departures == deviations(DEFENSIBLE)
    record = made(tmp_path, AS_PUBLISHED)[1]
    assert record["profile"] == "as_published" and record["departures_from_the_paper"] == {}


def test_the_record_is_found_beside_the_result(tmp_path):
    output = tmp_path / "map.v2.tif"
    assert record_path(output) == str(tmp_path / "map.v2.provenance.json")
    assert read_record(output) is None
    _, record = made(tmp_path, results={"cells": np.int64(3), "shares": np.array([1.5]).tolist(), "path": tmp_path})
    text = to_json(record)
    with open(record_path(output), "w", encoding="utf-8") as stream:
        stream.write(text)
    found = read_record(output)
    assert found == json.loads(text) and found["results"] == {"cells": 3, "shares": [1.5], "path": str(tmp_path)}
    (tmp_path / "map.v2.provenance.json").write_text("{", encoding="utf-8")
    assert read_record(output) is None
