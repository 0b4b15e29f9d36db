"""Received files of every kind, damaged in ways that hypothesis draws: each is used, or refused in a sentence.

None ends the process, keeps it busy, takes its memory or shows a traceback.

PTI_FUZZ=full (make fuzz) draws many by SEED; otherwise a few are drawn, the same every time. A file that did harm is
kept in build/found; those of the past are in tests/data/found and are used again by every run.
"""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_world
from received import PLANTED, TABLES, a_record
from user_process import User, harm

from pti_plugin.core.common.provenance import SUFFIX
from pti_plugin.core.common.tables import to_csv
from support import ROOT, TRANSFORM, write_raster

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis comes with 'make setup'")
hypothesis.configuration.set_hypothesis_home_dir(os.path.join(os.environ.get("TMPDIR", "/tmp"), "pti-hypothesis"))
st = hypothesis.strategies

FULL = os.environ.get("PTI_FUZZ") == "full"
FOUND, KEPT = ROOT / "tests" / "data" / "found", ROOT / "build" / "found"
#: cases of each kind: (make test, make fuzz)
SIZES = {"raster": (25, 2500), "tool": (10, 2000), "table": (60, 3500), "report": (25, 1500), "record": (40, 1500),
         "layout": (3, 200), "model3": (4, 500)}

ODD_NUMBERS = (0, 1, -1, 2, 0.5, 255, 256, 65_535, -32_768, 2**31 - 1, 2**53, 1e-300, 1e30, 1e38, -3.4e38, 1e300,
               float("nan"), float("inf"), float("-inf"))
ODD_TEXTS = ("", " ", "0", "-1", "1e999", "nan", "inf", "1_0", "0x10", "١", "1,5", "½", "true", "None", "a\0b",
             "\ufeff", "\x1b[31m", "é" * 5000, "[% env('USER_SECRET') %]", "../../x", "/etc/passwd", "nul",
             "2001-02-30", "0000-00-00", "days since 0000-01-01", "days since 1900-01-01", "hours since x", "degC", "K",
             "%", "1 1 1", '"', "'", ";", "\t", "\r", "{", "[" * 500, *PLANTED)
odd_number, odd_text = st.sampled_from(ODD_NUMBERS), st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=12))
share = st.floats(0, 1, exclude_max=True)


def settings(kind):
    """Return what a test draws by: few cases, always the same, or many by SEED."""
    # a file that did harm is kept as it was drawn: to look for a smaller one may take half a minute a try
    many = hypothesis.settings(max_examples=SIZES[kind][FULL], derandomize=not FULL, database=None, deadline=None,
                               suppress_health_check=list(hypothesis.HealthCheck), print_blob=False,
                               phases=[hypothesis.Phase.generate])
    return lambda test: many(hypothesis.seed(int(os.environ.get("SEED", "1")))(test) if FULL else test)


class Fuzz:
    """Sends files to the process and keeps those that do harm."""

    def __init__(self, folder):
        self.folder, self.user = folder, User(ROOT / "tests" / "fuzzing.py", folder / "scratch")
        self.cases, self.used, self.peak = {}, 0, 0
        self.good = small_rasters(folder)

    def use(self, kind, path=None, **more):
        """Use a file; fails where it does harm."""
        given = {"kind": kind, **more, **({"path": str(path)} if path else {})}
        taken, result = self.user.use(given)
        self.cases[kind] = self.cases.get(kind, 0) + 1
        self.used += result == "used"
        self.peak = max(self.peak, taken)
        problem = harm(taken, result)
        if problem and path:
            KEPT.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, KEPT / f"{kind}-{'-'.join(map(str, more.values()))}{Path(path).suffix}")
        assert not problem, (given, problem)


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory):
    found = Fuzz(tmp_path_factory.mktemp("fuzz"))
    yield found
    found.user.end()
    print(f"\n{sum(found.cases.values())} cases {found.cases}, {found.used} used, the others refused; "
          f"{found.peak >> 20} MiB at most")


# ---- damage ---------------------------------------------------------------------------------------------------------

#: bytes that are changed: (place, byte), and where the file is cut
damage = st.tuples(st.lists(st.tuples(share, st.integers(0, 255)), max_size=6), st.one_of(st.none(), share))


def damaged(content, harmed):
    """Return bytes with some of them changed, and cut."""
    content = bytearray(content)
    for place, value in harmed[0]:
        if content:
            content[int(place * len(content))] = value
    return bytes(content if harmed[1] is None else content[:int(harmed[1] * len(content))])


#: a cell that gets another text, a row or column that goes, or comes twice: (what, row, column, text)
edits = st.lists(st.tuples(st.sampled_from(("cell", "cell", "cell", "drop", "twice", "less", "more", "column")), share,
                           share, odd_text), min_size=1, max_size=5)


def edited(rows, changes):
    """Return a table with the ``edits`` made."""
    rows = [list(row) for row in rows]
    for what, at_row, at_column, text in changes:
        if not rows:
            break
        row = int(at_row * len(rows))
        column = int(at_column * max(1, len(rows[row])))
        if what == "drop":
            del rows[row]
        elif what == "twice":
            rows.insert(row, list(rows[row]))
        elif what == "less":
            del rows[row][column:]
        elif what == "more":
            rows[row].append(text)
        elif what == "column":
            for cells in rows:
                del cells[column:column + 1]
        elif rows[row]:
            rows[row][min(column, len(rows[row]) - 1)] = text
    return rows


def csv_bytes(rows, delimiter=","):
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode("utf-8", "surrogatepass")


odd_json = st.one_of(st.none(), st.booleans(), odd_number, odd_text, st.just([]), st.just({}), st.just([[[[1]]]]),
                     st.just({"a": {"b": []}}), st.integers(-2**70, 2**70))
json_edits = st.lists(st.tuples(st.lists(share, min_size=1, max_size=6), st.sampled_from(("set", "set", "drop", "add")),
                                odd_json, odd_text), min_size=1, max_size=4)


def json_edited(value, changes):
    """Return nested values with some of them replaced, left out or added."""
    value = json.loads(json.dumps(value))
    for path, what, drawn, name in changes:
        # drawn values may be one object
        new = copy.deepcopy(drawn)
        parent = value
        for depth, step in enumerate(path, start=1):
            keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
            if not keys:
                break
            key = keys[int(step * len(keys))]
            if not isinstance(parent[key], (dict, list)) or depth == len(path):
                if what == "drop":
                    del parent[key]
                elif what == "add" and isinstance(parent, dict):
                    parent[name] = new
                else:
                    parent[key] = new
                break
            parent = parent[key]
    return value


# ---- rasters --------------------------------------------------------------------------------------------------------

def small_rasters(folder):
    """Return the bytes of a good netCDF and of a virtual raster, which lies beside its source."""
    import netCDF4
    from osgeo import gdal

    path = folder / "good.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as data:
        for name, size in (("time", 4), ("y", 6), ("x", 7)):
            data.createDimension(name, size)
            data.createVariable(name, "f8", (name,))
        data["time"].units, data["time"].calendar = "days since 2001-01-01", "standard"
        data["time"][:] = np.arange(4) * 365.25 + 180
        data["x"][:], data["y"][:] = np.arange(7) * 0.5 + 60.25, 75.25 - np.arange(6) * 0.5
        data["x"].units, data["y"].units = "degrees_east", "degrees_north"
        data["x"].standard_name, data["y"].standard_name = "longitude", "latitude"
        layer = data.createVariable("lst", "i2", ("time", "y", "x"), fill_value=-999)
        layer.units, layer.scale_factor, layer.add_offset = "K", 0.01, 250.0
        layer.valid_range = np.array([-20_000, 20_000], "i2")
        layer[:] = 260 + np.arange(168).reshape(4, 6, 7) / 10
    write_raster(folder / "part.tif", np.arange(42.0).reshape(6, 7), nodata=-9999.0, scale=0.5, offset=-10.0)
    gdal.BuildVRT(str(folder / "good.vrt"), [str(folder / "part.tif")]).FlushCache()
    return {"nc": path.read_bytes(), "vrt": (folder / "good.vrt").read_text(encoding="utf-8")}


geotiffs = st.fixed_dictionaries({
    "dtype": st.sampled_from(("uint8", "int16", "uint16", "int32", "uint32", "float32", "float64", "complex64")),
    "shape": st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    # on the grid of the other layers, so that a tool comes to the values
    "fits": st.booleans(), "values": st.sampled_from(("noise", "warmth", "percent", "ranks", "cover", "large")),
    "nodata": st.one_of(st.none(), odd_number), "scale": st.one_of(st.none(), odd_number),
    "offset": st.one_of(st.none(), odd_number), "unit": st.one_of(st.none(), odd_text),
    "crs": st.sampled_from(("EPSG:6931", "EPSG:4326", "EPSG:3995", "EPSG:32633", None)),
    "transform": st.one_of(st.just(TRANSFORM), st.none(), st.tuples(*[odd_number] * 6),
                           st.tuples(*[st.floats(width=32)] * 6)),
    "metadata": st.dictionaries(st.sampled_from((
        "_FillValue", "valid_range", "valid_min", "missing_value", "flag_values", "scale_factor", "NODATA_VALUES",
        "TIFFTAG_DATETIME", "units", "AREA_OR_POINT", "PTI_PREDICTORS", "x#units", "time#units")),
        odd_text, max_size=3),
    "descriptions": st.lists(odd_text, min_size=3, max_size=3), "seed": st.integers(0, 99)})
rasters = st.one_of(
    st.tuples(st.just("tif"), geotiffs, st.one_of(st.just(([], None)), damage)),
    st.tuples(st.just("nc"), st.just(None), damage),
    st.tuples(st.just("vrt"), st.lists(st.tuples(share, st.one_of(odd_text, odd_number.map(str))), max_size=4),
              st.one_of(st.just(([], None)), damage)))


VALUES = {"noise": lambda rng, shape: rng.normal(0, 1, shape), "warmth": lambda rng, shape: rng.uniform(-9, 5, shape),
          "percent": lambda rng, shape: rng.integers(0, 101, shape),
          "ranks": lambda rng, shape: rng.choice([11, 12, 22, 33, 40], shape),
          "cover": lambda rng, shape: rng.choice([10, 70, 130, 210], shape),
          "large": lambda rng, shape: rng.normal(0, 1e30, shape)}


def made_raster(fuzz, drawn, tmp_path):
    """Write a drawn raster and return its path, None for one that GDAL does not write."""
    form, what, harmed = drawn
    # years are looked for in names
    path = tmp_path / f"received_2001.{form}"
    for old in tmp_path.glob("received*"):
        old.unlink()
    if form == "tif":
        rng = np.random.default_rng(what["seed"])
        shape = (what["shape"][0], small_world.ROWS, small_world.COLUMNS) if what["fits"] else what["shape"]
        crs, transform = ("EPSG:6931", small_world.TRANSFORM) if what["fits"] else (what["crs"], what["transform"])
        with np.errstate(all="ignore"):
            values = VALUES[what["values"]](rng, shape).astype(what["dtype"])
        try:
            write_raster(path, values, nodata=what["nodata"], crs=crs, transform=transform,
                         scale=what["scale"], offset=what["offset"], unit=_plain(what["unit"]),
                         metadata={key: _plain(text) for key, text in what["metadata"].items()},
                         descriptions=[_plain(text) for text in what["descriptions"]])
        except (OSError, ValueError, TypeError, RuntimeError, OverflowError, SystemError):
            return None
        content = path.read_bytes()
    elif form == "nc":
        content = fuzz.good["nc"]
    else:
        text = fuzz.good["vrt"].replace("part.tif", str(fuzz.folder / "part.tif")).replace(
            'relativeToVRT="1"', 'relativeToVRT="0"')
        for place, new in what:
            # a number or a word between quotes or tags
            spots = [i for i in range(len(text) - 1) if text[i] in '">' and text[i + 1] not in "<>\n "]
            start = spots[int(place * len(spots))] + 1
            end = min(i for i in (text.find('"', start), text.find("<", start), len(text)) if i >= start)
            text = text[:start] + new.replace("<", "&lt;").replace('"', "&quot;") + text[end:]
        content = text.encode("utf-8", "surrogatepass")
    path.write_bytes(damaged(content, harmed))
    return path


def _plain(text):
    """Return a text that GDAL's bindings take, which a file may hold all the same once it is damaged."""
    return None if text is None else text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


@settings("raster")
@hypothesis.given(drawn=rasters)
def test_rasters_are_read_or_refused(fuzz, drawn):
    path = made_raster(fuzz, drawn, fuzz.folder)
    hypothesis.assume(path)
    fuzz.use("raster", path)


@settings("tool")
@hypothesis.given(drawn=rasters, tool=st.sampled_from((
    "alignrasters", "trendrasters", "compositeseries", "slope", "depthmean", "ensemblepermafrost", "ensemblelandcover",
    "buildpti", "predictorstack", "samplepoints", "compareprofiles", "assessaccuracy", "summarizezones")),
    beside=st.booleans())
def test_tools_take_a_raster_or_refuse_it(fuzz, drawn, tool, beside):
    path = made_raster(fuzz, drawn, fuzz.folder)
    hypothesis.assume(path)
    fuzz.use("tool", path, tool=tool, beside=beside)


# ---- tables and records ---------------------------------------------------------------------------------------------

def _file(*parts):
    return list(csv.reader((ROOT / "pti_plugin" / "resources").joinpath(*parts).read_text(
        encoding="utf-8-sig").splitlines()))


STATIONS = [["site", "latitude", "longitude", "year", "depth_m", "magt_degC"],
            *([f"A{i}", "70.5", f"{20 + i}", str(year), "10", f"{-3.5 + i / 10:.2f}"] for i in range(2)
              for year in range(2001, 2005))]
READINGS = [["date", "T1", "T2"], *([f"2001-{month:02d}-15", "-3.5", "1.25"] for month in range(1, 13))]
GOOD_TABLES = {
    "magt": STATIONS, "alt": [[*row[:4], "alt_cm" if i == 0 else "55"] for i, row in enumerate(STATIONS)],
    "sites": [["id", "name", "latitude", "longitude", "elevation"], ["A1", "x", "70", "20", "5"],
              ["A2", "y", "71", "21", "6"]],
    "crosswalk": _file("tables", "landcover_crosswalk.csv")[:40],
    "areas": [["rank", "area_km2"], ["11", "5"], ["12", "6.5"], ["40", "1"]],
    "products": _file("tables", "products.csv")[:12],
    "ranges": [["role", "kind", "low", "high"], ["lst", "numeric", "-5", "5"], ["land_cover", "categorical", "", ""]],
    "matrix": [["", "1", "2", "3"], ["1", "50", "2", "1"], ["2", "3", "40", "0"], ["3", "1", "1", "30"]],
    "sizes": [["class", "area_km2"], ["1", "100"], ["2", "50"], ["3", "20"]],
    "classes": [["code", "name"], ["1", "tundra"], ["2", "forest"]],
    "rules": _file("tables", "sampling_rules.csv"),
}
#: monthly readings of one borehole, as another form of the first table
FORMS = st.sampled_from((",", ",", ";", "\t"))


@settings("table")
@hypothesis.given(name=st.sampled_from(sorted(GOOD_TABLES)), changes=edits, delimiter=FORMS, readings=st.booleans(),
                  harmed=st.one_of(st.just(([], None)), damage))
def test_tables_are_read_or_refused(fuzz, name, changes, delimiter, readings, harmed):
    rows = READINGS if readings and name == "magt" else GOOD_TABLES[name]
    path = fuzz.folder / f"{name}.csv"
    path.write_bytes(damaged(csv_bytes(edited(rows, changes), delimiter), harmed))
    fuzz.use("table", path, table=name)


@settings("report")
@hypothesis.given(name=st.sampled_from(sorted(TABLES)), changes=edits, harmed=st.one_of(st.just(([], None)), damage),
                  drawn=st.integers(0, 19))
def test_tables_of_other_tools_are_shown_or_refused(fuzz, name, changes, harmed, drawn):
    rows = list(csv.reader(io.StringIO(to_csv(TABLES[name], list(dict.fromkeys(
        key for row in TABLES[name] for key in row))))))
    path = fuzz.folder / "shown.csv"
    path.write_bytes(damaged(csv_bytes(edited(rows, changes)), harmed))
    # figures take as long as fifty tables
    fuzz.use("report", path, name=name, figures=drawn == 7)


RECORDS = [a_record(), a_record(tool="trendrasters", parameters={"PERIOD": 12, "ALPHA": 0.05}, results={
    "cells": {"up": 5, "down": 1, "none": 3, "few": 1, "risky": 1}, "method": "original", "first": 1990, "last": 2000,
    "layers": 5}), a_record(tool="predictorstack", results={"predictors": [{"role": "lst", "unit": "K"}]}),
    a_record(tool="summarizezones", results={"units": {"mean_lst": "K"}}, run="a" * 32, chain="b" * 32)]
SAMPLES = {"version": 1, "features": [{"name": "a", "group": "g", "categorical": False, "low": 0.0, "high": 1.0}],
           "area_km2": {"11": 5.0}}


@settings("record")
@hypothesis.given(place=st.integers(0, len(RECORDS)), changes=json_edits,
                  harmed=st.one_of(st.just(([], None)), damage))
def test_records_are_read_or_passed_over(fuzz, place, changes, harmed):
    samples = place == len(RECORDS)
    path = fuzz.folder / ("s.geojson.features.json" if samples else f"map{SUFFIX}")
    content = json.dumps(json_edited(SAMPLES if samples else RECORDS[place], changes)).encode("utf-8", "replace")
    path.write_bytes(damaged(content, harmed))
    if samples:
        fuzz.use("table", path, table="features")
    else:
        fuzz.use("record", path)


# ---- layouts and models ---------------------------------------------------------------------------------------------

@settings("layout")
@hypothesis.given(texts=st.lists(odd_text, min_size=3, max_size=5), page=st.integers(0, 3))
def test_texts_on_a_page_stay_texts(fuzz, texts, page):
    fuzz.use("layout", texts=[text.encode("utf-8", "replace").decode("utf-8") for text in texts], page=page)


@settings("model3")
@hypothesis.given(harmed=damage, replaced=st.lists(st.tuples(share, odd_text), max_size=3))
def test_models_of_the_modeler_are_loaded_or_not(fuzz, harmed, replaced):
    text = (ROOT / "pti_plugin" / "resources" / "models" / "full_chain.model3").read_text(encoding="utf-8")
    for place, new in replaced:
        start = text.index('"', int(place * len(text) * 0.99)) + 1
        text = text[:start] + new.replace("<", "&lt;").replace('"', "&quot;") + text[text.index('"', start):]
    path = fuzz.folder / "received.model3"
    path.write_bytes(damaged(text.encode("utf-8", "surrogatepass"), harmed))
    fuzz.use("model3", path)


# ---- found ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", sorted(path.name for path in FOUND.glob("*-*")))
def test_files_that_did_harm_do_none_any_more(fuzz, tmp_path, name):
    """Their names say how they are used: kind, then what the kind needs, then what was wrong with them."""
    kind, what, _ = name.split("-", 2)
    path = tmp_path / (f"map{SUFFIX}" if kind == "record" else f"received{Path(name).suffix}")
    shutil.copy(FOUND / name, path)
    more = {"table": {"table": what}, "report": {"name": what, "figures": True},
            "tool": {"tool": what, "beside": True}}.get(kind, {})
    fuzz.use(kind, path, **more)
