"""The page docs/dataset.md: its table is whole, and every command on it makes the layer it says, from files like those
of the data centres.

The commands are taken from the page as they stand. They run in a folder with the files they name, inside this process,
some through qgis_process as well, and a layer's values are compared with what its files were made from.
"""

import csv
import itertools
import json
import os
import re
import shutil
import subprocess
from collections import Counter

import build_model
import numpy as np
import pytest

import products as p
from support import QGIS_PROCESS, ROOT, read_raster, write_raster

pytest.importorskip("netCDF4")
pytest.importorskip("pyhdf")

PAGE = (ROOT / "docs" / "dataset.md").read_text(encoding="utf-8")
ROWS = [*(f"I{i}" for i in range(1, 16)), *(f"D{i}" for i in range(1, 20))]
SOILS = ("soc", "cfvo", "bdod", "wv0033")
DEPTHS = {"0-5": 5, "5-15": 10, "15-30": 15, "30-60": 30, "60-100": 40}
#: side of the target's cells, m, and half the side of its square
CELL, HALF = 100000.0, 4900000.0
TARGET = (-HALF, CELL, 0.0, HALF, 0.0, -CELL)
CCI_YEARS = range(1997, 2022)
#: months of the paper without MOD10CM
NO_SNOW_FILE = {(2000, 8), (2001, 6), (2002, 3), (2003, 12), (2016, 2), (2022, 10)}
#: of the series in this test, first and last day of the year with a freeze/thaw file
FREEZE_THAW_DAYS = {2002: (280, 365), 2003: (1, 365), 2011: (1, 90), 2012: (310, 366)}
#: longitudes and latitudes, none close to where something changes
STATIONS = ((-156, 59), (-152, 71), (-150, 75), (-148, 60), (-120, 71), (-115, 75), (-110, 61), (-102, 70), (-94, 75),
            (-86, 61))
NDVI_YEARS, LST_YEARS, SNOW_YEARS = range(2000, 2006), range(2000, 2006), range(2000, 2025)


# the page ------------------------------------------------------------------------------------------------------------

def table():
    """Return the rows of the page's table as lists of cells."""
    lines = [line for line in PAGE.splitlines() if re.match(r"\| [ID]\d+ \|", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def blocks():
    """Return {row: shell block} of the sections whose anchors are rows."""
    found = {}
    for anchors, block in re.findall(r'((?:<a id="\w+"></a>\n)+)###.*?```sh\n(.*?)```', PAGE, re.DOTALL):
        for anchor in re.findall(r'id="(\w+)"', anchors):
            found[anchor.upper()] = block
    return found


def calls(block):
    """Return [(algorithm, [(parameter, value)])] of a block, its quotes, braces and loops resolved by a shell."""
    shell = "qgis_process() { printf '%s\\0' \"$@\" ''; }\n"
    said = subprocess.run(["bash", "-euc", shell + block], capture_output=True, check=True, text=True).stdout
    words = said.split("\0")[:-1]
    found = []
    while words:
        end = words.index("")
        (run, algorithm, dashes), parameters = words[:3], words[3:end]
        assert (run, dashes) == ("run", "--")
        found.append((algorithm, [tuple(word.split("=", 1)) for word in parameters]))
        words = words[end + 1:]
    return found


BLOCKS = blocks()


# the files of the products -------------------------------------------------------------------------------------------

def ground_temperature(longitude, latitude):
    """°C"""
    return p.field(longitude, latitude, -20.0, 10.0)


def probability(longitude, latitude):
    """Fraction, less in warmer ground, none above 2 °C."""
    return np.clip(0.5 - 0.25 * ground_temperature(longitude, latitude), 0.0, 1.0)


def cci_cells():
    step = 200 * p.CCI_V3_CELL
    left, top = p.CCI_V3_FIRST[0] - p.CCI_V3_CELL / 2, p.CCI_V3_FIRST[1] + p.CCI_V3_CELL / 2
    return p.cells((left, step, 0.0, top, 0.0, -step), 14762 // 200, 10353 // 200, p.CCI_V3_CRS)


def rising(longitude):
    return np.abs(longitude + 45) < 90


def from_rising(longitude):
    """Degrees of longitude from the edges of the half that rises."""
    return np.minimum(np.abs(longitude + 135), np.abs(longitude - 45))


def cci_temperature(year):
    """°C at 2 m: rises in one half of the earth, in the other it swings."""
    return lambda longitude, latitude: ground_temperature(longitude, latitude) + 0.4 + np.where(
        rising(longitude), 0.05 * (year - 2009), 0.02 * (-1) ** year)


def cci_thaw(year):
    """m: rises north of 65°, elsewhere it swings."""
    return lambda longitude, latitude: np.where(latitude > 65, 1.2 + 0.02 * (year - 2009), 0.8 + 0.01 * (-1) ** year)


def cci_percent(year):
    """57 % in ground below 2 °C, in the west of it only since 2009; else none, which is nodata."""
    def values(longitude, latitude):
        here = (ground_temperature(longitude, latitude) < 2.0) & ((longitude > 0) | (year >= 2009))
        return np.where(here, 57.0, np.nan)
    return values


def land_cover(year):
    """The code of three years of five, and another one in 2018 and 2019."""
    codes = p.LANDCOVER_CODES
    return p.one_of(codes if year > 2019 else codes[1:] + codes[:1])


#: wide sectors of them; 9, 53, 63 and 69 are the tundra mask
GLCC_CODES = (9, 24, 53, 14, 63, 37, 69, 8, 21, 12, 47, 94)

COARSE = (-180.0, 10.0, 0.0, 90.0, 0.0, -10.0)


def coarse():
    """All of the earth in cells of 10°."""
    return p.cells(COARSE, 36, 18, p.LONGITUDE_LATITUDE)


def snow_percent(snow_year, month):
    """%: a wave of twelve months, rising by 1 % a year in the east; linear with latitude, flag 211 in the polar night
    and cloud all year at one place."""
    where = coarse()
    share = 0.5 * np.clip(where.latitude, 0, 90) + 20.0 * np.cos((month - 1) * np.pi / 6) + 10
    share = np.rint(np.clip(share + np.where(where.longitude > 0, 1.0 * (snow_year - 2000), 0.0), 0, 100))
    share[(where.latitude > 80) & (month == 12)] = 211
    share[(where.latitude == 65) & (where.longitude == 95)] = 250
    return share.astype("uint8")


def snow_months():
    """Return [(snow year, calendar year, month)] from July 2000 to June 2025."""
    return [(year, year + (month < 7), month) for year in SNOW_YEARS for month in (*range(7, 13), *range(1, 7))]


def kelvin(year, month):
    """K: linear with latitude, a wave of twelve months, rising by 0.2 K a year in the east."""
    where = coarse()
    return (290.0 - 0.4 * where.latitude + 10.0 * np.cos((month - 7) * np.pi / 6)
            + np.where(where.longitude > 0, 0.2 * (year - 2000), 0.0))


def greenness(year, composite):
    """NDVI: linear with latitude, a wave of 46 composites, below 0 in winter; rising in the east."""
    where = coarse()
    wave = np.cos((composite - 25) * np.pi / 23)
    return (0.9 - 0.008 * where.latitude.clip(0)) * wave + np.where(where.longitude > 0, 0.01 * (year - 2000), 0.0)


def freeze_thaw_cells():
    return p.cells((-9e6, 500000.0, 0.0, 9e6, 0.0, -500000.0), 36, 36, p.EASE2_NORTH)


def frozen_until():
    """Last frozen day of the year, by column."""
    return np.broadcast_to(100 + 5 * np.arange(36), (36, 36))


def freeze_thaw(day):
    """Codes of a day: frozen until a day of spring, thawed after; row 14 sees no orbit on 20 days of a year, row 15 is
    frozen in the morning only, row 16 is water."""
    codes = np.where(day <= frozen_until(), 0, 1).astype("uint8")
    codes[15] = 2
    codes[14] = 252 if day > 345 else codes[14]
    codes[16] = 254
    return codes


def _write_obu(folder):
    def percent(*place):
        return np.where(ground_temperature(*place) < 0, probability(*place), np.nan)
    p.obu(folder, "PERPROB", percent)
    p.obu(folder, "MAGTM", lambda *place: np.where(ground_temperature(*place) < 0, ground_temperature(*place), np.nan))


def _write_nieer(folder):
    p.nieer(folder, "probability", probability)
    p.nieer(folder, "MAGT", lambda *place: ground_temperature(*place) - 0.5)


def _write_cci(folder):
    for year in CCI_YEARS:
        for variable, values in (("PFR", cci_percent), ("GTD", cci_temperature), ("ALT", cci_thaw)):
            p.cci_permafrost_v3(folder, variable, year, values(year), coarser=200)


def _write_snow(folder):
    for snow_year, year, month in snow_months():
        if (year, month) in NO_SNOW_FILE:
            continue
        cover = snow_percent(snow_year, month)
        day = (np.datetime64(f"{year}-{month:02d}-01") - np.datetime64(f"{year}-01-01")).astype(int) + 1
        p.write_hdf_eos_grid(
            folder / f"MOD10CM.A{year}{day:03d}.061.2020039000000.hdf", "MOD_CMG_Snow_5km", p.GEOGRAPHIC_CORNERS,
            {"Snow_Cover_Monthly_CMG": (cover, {"units": "none", "_FillValue": np.uint8(255)}),
             "Snow_Spatial_QA": (np.zeros_like(cover), {"_FillValue": np.uint8(255)})})


def _write_lst(folder):
    for year, month in itertools.product(LST_YEARS, range(1, 13)):
        if (year, month) != (2000, 1):
            write_raster(folder / f"GLASS_LST_monthly_{year}{month:02d}.tif", np.rint(kelvin(year, month) / 0.01),
                         nodata=0, crs=p.LONGITUDE_LATITUDE, transform=COARSE, dtype="uint16")


def _write_ndvi(folder):
    for year, composite in itertools.product(NDVI_YEARS, range(46)):
        if year > 2000 or composite > 6:
            packed = np.rint(greenness(year, composite) / 0.0001).astype("int16")
            p.write_hdf_eos_grid(folder / f"GLASS13B01.V10.A{year}{1 + 8 * composite:03d}.2023068.hdf", "GLASS13B01",
                                 p.GEOGRAPHIC_CORNERS,
                                 {"NDVI": (packed, {"_FillValue": np.int16(25500), "scale_factor": np.float64(0.0001),
                                                    "add_offset": np.float64(0.0)})})


def _write_freeze_thaw(folder):
    """Days with the same codes are the same file under another name."""
    where, made = freeze_thaw_cells(), {}
    for year, (first, last) in FREEZE_THAW_DAYS.items():
        for day in range(first, last + 1):
            path, codes = folder / p.freeze_thaw_name(year, day), freeze_thaw(day)
            known = made.setdefault(codes.tobytes(), path)
            if known is path:
                write_raster(path, codes, crs=where.crs, transform=where.transform)
            else:
                os.link(known, path)


def _write_soil(folder):
    for soil in SOILS:
        for i, depth in enumerate(DEPTHS):
            p.soilgrids(folder, soil, depth, lambda *place, soil=soil, i=i: np.rint(soil_stored(soil, i)(*place)))


def soil_stored(soil, i):
    """A property in SoilGrids' units: more in each depth than in the one above."""
    low, high = p.SOILGRIDS_RANGES[soil]
    return lambda *place: p.field(*place, low, low + (high - low) * 0.7) * (1 + 0.1 * i)


def _write_stations(folder):
    """Ten places with what the median of the products says there, and the trends of Permafrost_CCI."""
    tables = {"magt": ["site,latitude,longitude,year,magt_degC"], "alt": ["site,latitude,longitude,year,alt_cm"]}
    for i, (longitude, latitude) in enumerate(STATIONS):
        for year in range(2005, 2014):
            temperature = float(cci_temperature(year)(np.float64(longitude), np.float64(latitude))) - 0.4
            thaw = 100 * float(cci_thaw(year)(np.float64(longitude), np.float64(latitude)))
            tables["magt"].append(f"T{i},{latitude},{longitude},{year},{temperature:.3f}")
            tables["alt"].append(f"A{i},{latitude},{longitude},{year},{thaw:.1f}")
    for name, lines in tables.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


WRITERS = {
    "obu": _write_obu, "nieer": _write_nieer, "cci": _write_cci, "ipa": p.ipa,
    "landcover": lambda folder: [p.landcover_cci_netcdf(folder, year, land_cover(year)) for year in range(2018, 2023)],
    # which claims to be on WGS 84
    "glcc": lambda folder: p.glcc_goode(folder, p.one_of(GLCC_CODES), p.SOILGRIDS_CRS), "cavm": p.cavm,
    "freeze_thaw": _write_freeze_thaw, "snow": _write_snow, "lst": _write_lst, "ndvi": _write_ndvi,
    "elevation": p.worldclim_elevation, "soil": _write_soil, "peat": p.peatland_map, "stations": _write_stations,
}


# running ------------------------------------------------------------------------------------------------------------

class Dataset:
    """A folder in which the page's commands run: files are written and rows run when they are first needed."""

    def __init__(self, folder, registry):
        self.folder, self._registry, self._done, self.logs = folder, registry, {}, {}
        (folder / "layers").mkdir()
        write_raster(folder / "grid.tif", np.ones((98, 98), "uint8"), transform=TARGET)
        self._makers = {value: row for row in BLOCKS for _, parameters in calls(BLOCKS[row])
                        for name, value in parameters if name.startswith("OUTPUT")}

    def run(self, row):
        """Run the block of a row, and before it those that make its inputs."""
        block = BLOCKS[row]
        if block in self._done:
            return
        self._done[block] = row
        for algorithm, parameters in calls(block):
            self.prepare(parameters)
            self._run(algorithm, parameters)

    def prepare(self, parameters):
        """Have what a call reads."""
        for name, value in parameters:
            product = re.match(r"products/(\w+)", value)
            if product and not (self.folder / product[0]).exists():
                (self.folder / product[0]).mkdir(parents=True)
                WRITERS[product[1]](self.folder / product[0])
            if value in self._makers and not name.startswith("OUTPUT") and not (self.folder / value).exists():
                self.run(self._makers[value])

    def _run(self, algorithm, parameters):
        import processing
        from qgis.core import QgsProcessingFeedback

        known = {definition.name() for definition in self._registry.algorithmById(algorithm).parameterDefinitions()}
        given = {}
        for name, value in parameters:
            # qgis_process passes over a name it does not know
            assert name in known, f"{algorithm} has no parameter {name}"
            given.setdefault(name, []).append(value)
        feedback, place = QgsProcessingFeedback(), os.getcwd()
        os.chdir(self.folder)
        try:
            made = processing.run(algorithm, {name: values if len(values) > 1 else values[0]
                                              for name, values in given.items()}, feedback=feedback)
        finally:
            os.chdir(place)
        for name, value in parameters:
            if name.startswith("OUTPUT"):
                assert name in made and (self.folder / value).is_file()
                self.logs[value] = feedback.textLog()

    def layer(self, name, band=1):
        """Return a layer as (rows, columns) with NaN."""
        return read_raster(self.folder / "layers" / f"{name}.tif", band)

    def record(self, name):
        """Return the results in the record beside a layer."""
        path = self.folder / "layers" / f"{name}.provenance.json"
        return json.loads(path.read_text(encoding="utf-8"))["results"]

    def unit(self, name):
        """Return the unit of a layer."""
        from osgeo import gdal

        dataset = gdal.Open(str(self.folder / "layers" / f"{name}.tif"))
        return dataset.GetRasterBand(1).GetUnitType()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, provider, qgis_app):
    return Dataset(tmp_path_factory.mktemp("dataset"), qgis_app.processingRegistry())


def target():
    """Longitudes and latitudes of the target's cells."""
    where = p.cells(TARGET, 98, 98, p.EASE2_NORTH)
    return where.longitude, where.latitude


def near(numbers, margin=4.0):
    """True where the target's cells lie in, or within so many degrees of latitude from, one of the special areas."""
    longitude, latitude = target()
    there = np.zeros(longitude.shape, bool)
    for number in numbers:
        west, south, east, north = p.area(number)
        wide = margin / np.cos(np.radians(north))
        there |= ((longitude > west - wide) & (longitude < east + wide) & (latitude > south - margin)
                  & (latitude < north + margin))
    return there


def inside(number, margin=2.0):
    """True where the target's cells lie well within a special area."""
    longitude, latitude = target()
    west, south, east, north = p.area(number)
    wide = margin / np.cos(np.radians(north))
    return ((longitude > west + wide) & (longitude < east - wide) & (latitude > south + margin)
            & (latitude < north - margin))


def assert_numbers(found, true, tolerance, empty=(0,), where=True):
    """The layer is the truth within ``tolerance``, and nodata in the areas ``empty`` and south of 45°."""
    longitude, latitude = target()
    expected = true(longitude, latitude) if callable(true) else true
    sure = (latitude > 47) & ~near(empty) & ~np.isnan(expected) & where
    assert sure.sum() > 1000 and not np.isnan(found[sure]).any()
    assert np.abs(found - expected)[sure].max() <= tolerance
    for number in empty:
        assert inside(number).sum() > 5 and np.isnan(found[inside(number)]).all()
    assert np.isnan(found[latitude < 44.9]).all()


def assert_classes(found, codes, empty=(0,), where=True):
    """The layer holds the code of each sector, but at the edges of sectors, and nodata in the areas ``empty``."""
    longitude, latitude = target()
    width = 360.0 / len(codes)
    place = (longitude + 180.0) % width
    # cells of the fixture are up to 1° wide, those of the target 100 km
    margin = 1.0 + 0.9 / np.cos(np.radians(latitude))
    sure = (latitude > 48) & (place > margin) & (place < width - margin) & ~near(empty) & where
    expected = p.classes(longitude, latitude, codes)
    assert sure.sum() > 1000 and (found[sure] == expected[sure]).all()
    assert set(np.unique(found[~np.isnan(found)])) <= set(codes)
    for number in empty:
        assert inside(number).sum() > 5 and np.isnan(found[inside(number)]).all()


def coarse_at_target(values):
    """Values on cells of 10° at the target's cells, bilinear between centres; linear with latitude, so exact there."""
    longitude, latitude = target()
    row = (90.0 - latitude) / 10.0 - 0.5
    column = np.floor((longitude + 180.0) / 10.0).astype(int) % 36
    upper = np.clip(np.floor(row).astype(int), 0, 16)
    share = row - upper
    return values[upper, column] * (1 - share) + values[upper + 1, column] * share


def even(step=10.0, margin=7.0):
    """True where the target's cells are far from where east and west meet, and from the pole."""
    longitude, latitude = target()
    return (np.abs(longitude) > margin + step) & (np.abs(longitude) < 180 - margin - step) & (latitude < 84)


# the page is whole --------------------------------------------------------------------------------------------------

def test_the_table_has_every_row_once_with_commands_and_tests_that_exist():
    rows = table()
    assert [row[0] for row in rows] == ROWS
    assert set(ROWS) <= set(BLOCKS)
    files = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    for name, _, command, _, proof in rows:
        assert f"](#{name.lower()})" in command
        tools = set(re.findall(r"`(\w+)`", command))
        assert tools == {algorithm.removeprefix("pti:") for algorithm, _ in calls(BLOCKS[name])}
        tests = re.findall(r"`(\w+\.py)::(\w+)`", proof)
        assert tests
        for file, test in tests:
            assert re.search(rf"^def {test}\(", files[file], re.MULTILINE), f"{file}::{test} of {name} is not there"
        # the one here has the row in its name
        assert any(file == "test_dataset.py" and name.lower() in test.split("_") for file, test in tests)


def test_steps_and_inputs_of_the_bundled_model_are_called_as_in_the_table():
    inputs = {parameter.name() for parameter in build_model.PARAMETERS}
    outputs = {"OUTPUT_BASE", "OUTPUT_PP", "OUTPUT_MAGT", "FOLDER", "VARIABLE"}
    for name, _, _, modeler, _ in table():
        for word in re.findall(r"`(\w+)`", modeler):
            assert word in build_model.CHILDREN or word in inputs or word in outputs, f"{name}: {word}"
        for step in re.findall(r"`([a-z_]+)` ←", modeler):
            assert step in build_model.CHILDREN


def test_links_within_the_page_lead_somewhere():
    headings = {re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
                for line in PAGE.splitlines() if line.startswith("#")}
    anchors = headings | set(re.findall(r'<a id="(\w+)">', PAGE))
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= anchors


def test_columns_of_presets_are_explained_and_the_example_works(dataset, tmp_path):
    import processing

    from pti_plugin.core.rasters.products import COLUMNS

    explained = re.search(r"\| Column \| What it says \|\n(.*?)\n\n", PAGE, re.DOTALL)[1].splitlines()[1:]
    names = [name for line in explained for name in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert names == list(COLUMNS)
    example = re.search(r"```csv\n(.*?)```", PAGE, re.DOTALL)[1]
    own, path, out = tmp_path / "own.csv", tmp_path / "ice_2020_v2.tif", tmp_path / "out.tif"
    own.write_text(example, encoding="utf-8")
    stored = np.full((98, 98), 250, "int16")
    stored[40, 40] = -1
    write_raster(path, stored, transform=TARGET)
    processing.run("pti:alignrasters", {"INPUT": str(path), "PRODUCTS": str(own), "MIN_LATITUDE": -90,
                                        "TARGET": str(dataset.folder / "grid.tif"), "OUTPUT": str(out)})
    found = read_raster(out)
    assert np.isnan(found[40, 40]) and np.isnan(found).sum() == 1 and np.nanmax(found) == np.nanmin(found) == 25
    # one that has been scaled, as a fraction
    write_raster(path, np.full((98, 98), 0.25, "float32"), transform=TARGET)
    processing.run("pti:alignrasters", {"INPUT": str(path), "PRODUCTS": str(own), "UNITS": "ice*=fraction",
                                        "TARGET": str(dataset.folder / "grid.tif"), "OUTPUT": str(out)})
    assert np.nanmax(read_raster(out)) == np.nanmin(read_raster(out)) == 25


@pytest.mark.parametrize("row", ["I2", "I4", "D2"])
def test_qgis_process_gives_the_same_bytes(row, dataset, qgis_process, tmp_path):
    dataset.run(row)
    (tmp_path / "layers").mkdir()
    for name in ("products", "grid.tif"):
        (tmp_path / name).symlink_to(dataset.folder / name)
    made = {value for _, parameters in calls(BLOCKS[row]) for name, value in parameters if name.startswith("OUTPUT")}
    for _, parameters in calls(BLOCKS[row]):
        for _, value in parameters:
            if value.startswith("layers/") and value not in made:
                shutil.copy(dataset.folder / value, tmp_path / value)
    shell = f'qgis_process() {{ "{QGIS_PROCESS}" "$@"; }}\n'
    done = subprocess.run(["bash", "-euc", shell + BLOCKS[row]], cwd=tmp_path, env=qgis_process.environment,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for value in made:
        assert (tmp_path / value).read_bytes() == (dataset.folder / value).read_bytes()


# the products -------------------------------------------------------------------------------------------------------

def test_i1_obu(dataset):
    dataset.run("I1")
    cold = ground_temperature(*target()) < -1.0
    warm = (ground_temperature(*target()) > 1.0) & (target()[1] > 45)
    assert_numbers(dataset.layer("obu_pp"), lambda *place: 100 * probability(*place), 2.0, where=cold)
    assert_numbers(dataset.layer("obu_magt"), ground_temperature, 0.2, where=cold)
    # it says nothing where there is no permafrost
    assert np.isnan(dataset.layer("obu_pp")[warm]).all()
    assert (dataset.unit("obu_pp"), dataset.unit("obu_magt")) == ("%", "degC")
    assert dataset.record("obu_pp")["product"] == "obu_pp"


def test_i2_nieer(dataset):
    dataset.run("I2")
    assert_numbers(dataset.layer("nieer_pp"), lambda *place: 100 * probability(*place), 4.0,
                   where=target()[1] < 84)
    assert_numbers(dataset.layer("nieer_magt"), lambda *place: ground_temperature(*place) - 0.5, 0.2,
                   where=target()[1] < 84)
    assert np.isnan(dataset.layer("nieer_pp")[target()[1] > 87]).all()


def test_i3_permafrost_cci(dataset):
    dataset.run("I3")
    longitude, latitude = target()
    warmth = ground_temperature(longitude, latitude)
    for band, year in ((1, 1997), (13, 2009), (25, 2021)):
        found = dataset.layer("cci_pfr_years", band)
        since = (latitude > 47) & even() & ~near([0])
        here = since & (warmth < 1.0) & ((longitude > 0) | (year >= 2009)) & _in_cci()
        none = since & ((warmth > 3.0) | (longitude < 0) & (year < 2009)) & _in_cci()
        assert here.sum() > 200 and np.allclose(found[here], 57)
        assert none.sum() > 100 and (found[none] == 0).all()
        # nodata inside the file is none
        assert (found[inside(0)] == 0).all()
    assert dataset.record("cci_pfr_years")["layers"] == [str(year) for year in CCI_YEARS]
    assert_numbers(dataset.layer("cci_gtd_2005"), cci_temperature(2005), 0.3,
                   where=even() & _in_cci() & (from_rising(longitude) > 17))
    assert_numbers(dataset.layer("cci_alt_2005"), cci_thaw(2005), 0.011,
                   where=even() & _in_cci() & (np.abs(latitude - 65) > 3))
    assert [dataset.unit(name) for name in ("cci_pfr_years", "cci_gtd_2005", "cci_alt_2005")] == ["%", "degC", "m"]
    assert dataset.record("cci_gtd_2005")["product"] == "cci_gtd_v3"


def _in_cci():
    """True where the target's cells lie well inside the grid of Permafrost_CCI."""
    from osgeo import osr

    from pti_plugin.core.rasters.grid import coordinate_transformation

    systems = []
    for crs in (p.LONGITUDE_LATITUDE, p.CCI_V3_CRS):
        systems.append(osr.SpatialReference())
        systems[-1].SetFromUserInput(crs)
    change = coordinate_transformation(*(system.ExportToWkt() for system in systems))
    longitude, latitude = target()
    x, y = np.array(change.TransformPoints(np.column_stack([longitude.ravel(), latitude.ravel()]).tolist())).T[:2]
    where = cci_cells()
    rows, columns = where.longitude.shape
    left, step, _, top, _, _ = where.transform
    column, row = (x - left) / step, (top - y) / step
    return ((column > 2) & (column < columns - 2) & (row > 2) & (row < rows - 2)).reshape(longitude.shape)


def test_i4_ipa(dataset):
    dataset.run("I4")
    assert_classes(dataset.layer("ipa"), p.IPA_CODES)


def test_i5_landcover_cci(dataset):
    dataset.run("I5")
    assert_classes(dataset.layer("landcover_2020"), p.LANDCOVER_CODES)
    assert dataset.record("landcover_2020")["resampling"] == "mode"


def test_i6_glcc(dataset):
    dataset.run("I6")
    found = dataset.layer("glcc")
    longitude, latitude = target()
    # the lobes of the projection leave cuts in the south of the fixture's coarse cells; near the pole these are sheared
    # over tens of degrees of longitude
    known = ~np.isnan(found)
    assert_classes(np.where(known, found, p.classes(longitude, latitude, GLCC_CODES)), GLCC_CODES, empty=(),
                   where=~near((0, 1, 2)) & (latitude < 84))
    assert known[(latitude > 47) & ~near((0, 1, 2))].mean() > 0.95
    for number in (0, 1, 2):
        assert np.isnan(found[inside(number)]).all()


def test_i7_cavm(dataset):
    dataset.run("I7")
    found, latitude = dataset.layer("cavm"), target()[1]
    assert_classes(found, p.CAVM_CODES, where=(latitude > 53) & (latitude < 84))
    assert np.isnan(found[latitude < 48]).all() and (found == 99).any()


def test_i8_freeze_thaw(dataset):
    dataset.run("I8")
    found, codes = dataset.layer("freeze_thaw_day"), freeze_thaw(1).astype(float)
    codes[codes > 3] = np.nan
    x, y = (np.arange(98) + 0.5) * CELL - HALF, HALF - (np.arange(98) + 0.5) * CELL
    expected = codes[np.ix_(((9e6 - y) // 5e5).astype(int), ((x + 9e6) // 5e5).astype(int))]
    expected[target()[1] < 45] = np.nan
    assert set(np.unique(found[~np.isnan(found)])) == {0, 2}
    assert np.array_equal(found, expected, equal_nan=True)


def test_i9_mod10cm(dataset):
    dataset.run("I9")
    found, cover = dataset.layer("snow_2001-03"), snow_percent(2000, 3).astype(float)
    cloud = (np.abs(target()[0] - 95) < 14) & (np.abs(target()[1] - 65) < 14)
    assert_numbers(found, coarse_at_target(cover), 0.5, empty=(), where=even() & ~cloud & (target()[1] < 84))
    assert np.nanmax(found) <= 100 and dataset.unit("snow_2001-03") == "%"
    heart = (np.abs(target()[0] - 95) < 1) & (np.abs(target()[1] - 65) < 1)
    assert heart.any() and np.isnan(found[heart]).all()


def test_i10_glass_lst(dataset):
    dataset.run("I10")
    assert_numbers(dataset.layer("lst_2001-03"), coarse_at_target(kelvin(2001, 3)) - 273.15, 0.02, empty=(),
                   where=even())
    assert dataset.unit("lst_2001-03") == "degC"


def test_i11_glass_ndvi(dataset):
    dataset.run("I11")
    assert_numbers(dataset.layer("ndvi_2001-193"), coarse_at_target(greenness(2001, 24)), 0.0002, empty=(),
                   where=even())
    assert dataset.record("ndvi_2001-193")["product"] == "glass_ndvi"


def test_i12_elevation(dataset):
    dataset.run("I12")
    assert_numbers(dataset.layer("elevation"), p.ranging(-100.0, 5000.0), 30.0, where=target()[1] < 88)
    assert dataset.record("elevation")["resampling"] == "average"


@pytest.mark.parametrize("soil", SOILS)
def test_i13_soilgrids(soil, dataset):
    dataset.run("I13")
    low, high = (limit / p.SOILGRIDS_FACTORS[soil] for limit in p.SOILGRIDS_RANGES[soil])
    for band, i in ((1, 0), (5, 4)):
        found = dataset.layer(f"{soil}_depths", band)
        # not at the cuts of the projection
        known = ~np.isnan(found) & (target()[1] > 47) & (target()[1] < 80) & ~near([0]) & even() & (
            np.abs(target()[0] + 40) > 15)
        assert known.sum() > 2000
        true = soil_stored(soil, i)(*target()) / p.SOILGRIDS_FACTORS[soil]
        assert np.abs(found - true)[known].max() <= 0.03 * (high - low)
        assert np.isnan(found[inside(0)]).all()
    assert dataset.unit(f"{soil}_depths") == {"soc": "g/kg", "bdod": "g/cm3"}.get(soil, "vol%")


def test_i14_d17_peat(dataset):
    dataset.run("D17")
    found = dataset.layer("peat")
    # each of the four sectors by its code; 255 and all nodata are no peat
    assert_classes(found, (100, 0, 50, 0), empty=(), where=~near([0]))
    assert (found[inside(0)] == 0).all()


def test_i15_stations(dataset):
    dataset.run("I15")
    summary = dataset.record("stations")["summary"]
    assert (summary["paired"], summary["compared"], summary["exact"]["count"]) == (10, 10, 10)
    # cm are found out from the name of the column
    assert "thaw depth in cm" in dataset.logs["layers/stations.gpkg"]
    assert (dataset.folder / "layers" / "stations.html").stat().st_size > 10000


# the layers ---------------------------------------------------------------------------------------------------------

def test_d1_means_of_cci(dataset):
    dataset.run("D1")
    longitude, latitude = target()
    warmth, found = ground_temperature(longitude, latitude), dataset.layer("cci_pp")
    sure = (latitude > 47) & even() & ~near([0]) & (warmth < 1.0) & _in_cci()
    # since 2009 in the west: 13 of 25 years, the others are 0 and not left out
    assert np.allclose(found[sure & (longitude > 0)], 57) and np.allclose(found[sure & (longitude < 0)], 57 * 13 / 25)
    where = even() & _in_cci()
    assert_numbers(dataset.layer("cci_magt"), lambda *place: ground_temperature(*place) + 0.4, 0.3, where=where)
    mean = np.where(latitude > 65, 1.2, 0.8)
    assert_numbers(dataset.layer("cci_alt"), mean, 0.011, where=where & (np.abs(latitude - 65) > 3))
    assert [dataset.unit(name) for name in ("cci_pp", "cci_magt", "cci_alt")] == ["%", "degC", "m"]


def test_d2_d3_d4_ensemble(dataset):
    dataset.run("D2")
    percent = np.stack([dataset.layer(f"{name}_pp") for name in ("obu", "nieer", "cci")])
    warmth = np.stack([dataset.layer(f"{name}_magt") for name in ("obu", "nieer", "cci")])
    somewhere = ~np.isnan(percent).all(axis=0)
    # Obu's nodata is no permafrost where another one says anything
    percent[0][np.isnan(percent[0]) & somewhere] = 0
    base = np.where(somewhere, (percent > 0).sum(axis=0) >= 2, np.nan)
    assert np.array_equal(dataset.layer("base"), base, equal_nan=True)
    assert {0, 1} == set(base[somewhere])
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(RuntimeWarning)
        middle, median = np.nanmedian(percent, axis=0), np.nanmedian(warmth, axis=0)
    assert np.allclose(dataset.layer("pp"), np.where(base == 1, middle, np.nan), atol=1e-4, equal_nan=True)
    enough = (~np.isnan(warmth)).sum(axis=0) >= 2
    assert np.allclose(dataset.layer("magt"), np.where(enough, median, np.nan), atol=1e-4, equal_nan=True)


def test_d5_trends_of_cci(dataset):
    dataset.run("D5")
    where = cci_cells()
    known = ~p.in_area(where.longitude, where.latitude, 0)
    sign, slope = dataset.layer("magt_trend"), dataset.layer("magt_slope")
    assert np.array_equal(sign[known], np.where(rising(where.longitude), 1, 0)[known])
    assert np.allclose(slope[known & rising(where.longitude)], 0.05, atol=0.002)
    sign, slope = dataset.layer("alt_trend"), dataset.layer("alt_slope")
    assert np.array_equal(sign[known], np.where(where.latitude > 65, 1, 0)[known])
    assert np.allclose(slope[known & (where.latitude > 65)], 0.02, atol=0.002)
    assert np.isnan(sign[~known]).all()
    assert dataset.record("magt_slope")["layers"] == 25


def test_d6_index(dataset):
    dataset.run("D6")
    longitude, latitude = target()
    magt, percent, base, found = (dataset.layer(name) for name in ("magt", "pp", "base", "pti"))
    tier = np.select([magt < -3, magt <= -1.5, magt <= 3], [10, 20, 30], 0)
    rank = tier + 1 + rising(longitude) + (latitude > 65)
    rank = np.where(percent < 10, 40, rank)
    sure = (base == 1) & (magt <= 3) & (from_rising(longitude) > 12) & (latitude < 80) & (
        np.abs(latitude - 65) > 4) & ~near([0]) & _in_cci()
    water, reason = np.isin(dataset.layer("land_cover"), (210, 220)), dataset.layer("reason")
    assert (water & (base == 1)).sum() > 30
    assert np.isnan(found[water]).all() and (reason[water & (base == 1)] == 6).all() and not (reason[~water] == 6).any()
    sure &= ~water
    assert sure.sum() > 1000 and np.array_equal(found[sure], rank[sure])
    assert np.isnan(found[base != 1]).all() and {11, 12, 13, 21, 22, 23, 31, 32, 33} <= set(found[sure])


def test_d7_land_cover(dataset):
    dataset.run("D7")
    with open(ROOT / "resources" / "tables" / "landcover_crosswalk.csv", encoding="utf-8", newline="") as stream:
        rows = {(row["product"], int(row["raster_value"])): row for row in csv.DictReader(stream)}

    def code(product, value, column="ensemble_code"):
        row = rows.get((product, value))
        return int(row[column]) if row and row[column].strip() else 0

    # three years of five: the code of 2020
    majority = dataset.layer("landcover_majority")
    # only what lies north of 45 degrees is computed
    assert majority.shape == (90, 720)
    where = p.cells(p.HALF_DEGREE, 720, 90, p.LONGITUDE_LATITUDE)
    empty = p.in_area(where.longitude, where.latitude, 0)
    assert np.array_equal(majority[~empty], p.classes(where.longitude, where.latitude, p.LANDCOVER_CODES)[~empty])
    assert np.isnan(majority[empty]).all()
    found = np.nan_to_num(dataset.layer("land_cover"))
    products = [np.nan_to_num(dataset.layer(name)).astype(int) for name in ("cavm", "landcover_2020", "glcc")]
    wrong, seen = 0, Counter()
    for cover, cavm, cci, glcc in zip(found.ravel(), *(layer.ravel() for layer in products)):
        tundra = code("LandCover_CCI", cci, "tundra_code") if glcc in (9, 53, 63, 69) else 0
        expected = code("CAVM", cavm) or tundra or code("LandCover_CCI", cci) or code("GLCC", glcc)
        seen[expected] += 1
        wrong += cover != expected and (cci, glcc, cavm) != (0, 0, 0)
    assert len(seen) > 15 and wrong == 0


def test_d8_d9_ndvi(dataset):
    dataset.run("D8")
    series = {(year, i): np.rint(greenness(year, i) / 0.0001) * 0.0001 for year in NDVI_YEARS for i in range(46)}
    for i in range(7):
        # the seven composites before 26 February 2000
        series[2000, i] = np.mean([series[year, i] for year in NDVI_YEARS[1:]], axis=0)
    years = [np.stack([series[year, i] for i in range(46)]) for year in NDVI_YEARS]
    assert np.allclose(dataset.layer("peak_ndvi"), np.mean([year.max(axis=0) for year in years], axis=0), atol=1e-5)
    sums = [year.clip(min=0).sum(axis=0) for year in years]
    assert np.allclose(dataset.layer("sum_ndvi"), np.mean(sums, axis=0), atol=1e-4)
    filled = dataset.record("sum_ndvi")["filled"]
    assert len(filled) == 7 and all(stamp.startswith("2000-") for stamp in filled)


def test_d10_ndvi_trend(dataset):
    dataset.run("D10")
    east = coarse().longitude > 0
    assert np.allclose(dataset.layer("ndvi_trend")[east], 0.01, atol=1e-4)
    assert (dataset.layer("ndvi_trend")[~east] == 0).all()
    assert np.array_equal(dataset.layer("ndvi_sign"), east.astype(float))


def test_d11_lst(dataset):
    dataset.run("D11")
    series = {(year, month): kelvin(year, month) for year in LST_YEARS for month in range(1, 13)}
    series[2000, 1] = np.mean([series[year, 1] for year in LST_YEARS[1:]], axis=0)
    mean = np.mean(list(series.values()), axis=0) - 273.15
    assert_numbers(dataset.layer("lst"), coarse_at_target(mean), 0.02, empty=(), where=even())
    assert dataset.record("lst_mean")["filled"] == ["2000-01"] and dataset.unit("lst") == "degC"


def test_d12_lst_trend(dataset):
    dataset.run("D12")
    east = coarse().longitude > 0
    assert np.allclose(dataset.layer("lst_trend")[east], 0.2, atol=0.01)
    assert (dataset.layer("lst_trend")[~east] == 0).all()
    assert np.array_equal(dataset.layer("lst_sign"), east.astype(float))


def snow_series():
    """Return {(snow year, month): %} with NaN for flags and the six months filled from the ten nearest years."""
    known = {}
    for snow_year, year, month in snow_months():
        if (year, month) not in NO_SNOW_FILE:
            cover = snow_percent(snow_year, month).astype(float)
            known[snow_year, month] = np.where(cover > 100, np.nan, cover)
    series = dict(known)
    for snow_year, year, month in snow_months():
        if (year, month) in NO_SNOW_FILE:
            nearest = sorted((other for other, of in known if of == month), key=lambda other: abs(other - snow_year))
            series[snow_year, month] = np.mean([known[other, month] for other in nearest[:10]], axis=0)
    return series


def test_d13_snow(dataset):
    dataset.run("D13")
    series, years = snow_series(), []
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(RuntimeWarning)
        for year in SNOW_YEARS:
            months = {month: series[year, month] for month in range(1, 13)}
            # the night is December alone
            months[12] = np.where(np.isnan(months[12]), (months[11] + months[1]) / 2, months[12])
            years.append(np.nanmean(list(months.values()), axis=0))
        expected = np.nanmean(years, axis=0)
    assert np.isnan(expected).sum() == 1
    night, cloud = coarse().latitude > 80, np.isnan(expected)
    # six files are missing, one of them of December
    assert np.array_equal(dataset.layer("snow_months"), np.where(cloud, 0, np.where(night, 270, 294)))
    assert np.allclose(dataset.layer("snow"), expected, atol=1e-4, equal_nan=True)
    assert sorted(dataset.record("snow")["filled"]) == sorted(f"{year}-{month:02d}" for year, month in NO_SNOW_FILE)
    assert np.nanmax(dataset.layer("snow_years")) == len(SNOW_YEARS)


def test_d14_snow_trend(dataset):
    dataset.run("D14")
    # where the cover reaches neither 0 nor 100 %
    where = coarse()
    cloud = (where.latitude == 65) & (where.longitude == 95)
    band = (where.latitude > 30) & (where.latitude < 60) & ~cloud
    east = where.longitude > 0
    assert np.allclose(dataset.layer("snow_trend")[band & east], 1.0, atol=0.05)
    assert (dataset.layer("snow_trend")[band & ~east] == 0).all()
    assert np.isnan(dataset.layer("snow_sign")[cloud]).all() and np.isnan(dataset.layer("snow_sign")).sum() == 1
    assert dataset.record("snow_slope")["seasons"] == {"12": 647 - (where.latitude > 80).sum(),
                                                       "11": (where.latitude > 80).sum()}
    assert sorted(dataset.record("snow_slope")["filled"]) == sorted(
        f"{year}-{month:02d}" for year, month in NO_SNOW_FILE)


def test_d15_frozen_days(dataset):
    from osgeo import gdal

    (_, first), (algorithm, second) = calls(BLOCKS["D15"])
    dataset.prepare(first)
    dataset._run("pti:compositeseries", first)
    days, count = dataset.layer("frozen_days"), dataset.layer("frozen_days_count")
    expected = frozen_until().astype(float)
    expected[15], expected[16], expected[14] = 0, np.nan, np.nan
    assert np.array_equal(days, expected, equal_nan=True) and dataset.unit("frozen_days") == "d"
    # of the years here 2003 is the only whole one
    assert np.nanmax(count) == 1
    record = dataset.record("frozen_days")
    assert set(record["partial"]) >= {"2002", "2011", "2012"}
    series = gdal.Open(str(dataset.folder / "layers" / "frozen_days_years.tif"))
    assert [series.GetRasterBand(i + 1).GetDescription() for i in range(4)] == ["2002", "2003", "2011", "2012"]
    del series

    # as long as the paper's, with its gaps; fewer frozen days in the east
    years = np.arange(2002, 2022)
    falling = 200.0 - 2.0 * (years - 2002)[:, None, None] * (np.arange(36) >= 18) + np.zeros((20, 36, 36))
    falling[[0, 9, 10]] = np.nan
    write_raster(dataset.folder / "layers" / "frozen_days_years.tif", falling.astype("float32"), nodata=-9999,
                 transform=freeze_thaw_cells().transform, descriptions=[str(year) for year in years], unit="d")
    dataset._run(algorithm, second)
    slope, sign = dataset.layer("frozen_days_slope"), dataset.layer("frozen_days_trend")
    assert (sign[:, :18] == 0).all() and (sign[:, 18:] == -1).all()
    assert np.allclose(slope[:, 18:], -2) and (slope[:, :18] == 0).all()


@pytest.mark.parametrize("soil", SOILS)
def test_d16_soil(soil, dataset):
    dataset.run("D16")
    # files, and so bands, are in the order of their names
    order = sorted(DEPTHS)
    total = sum(DEPTHS[depth] * dataset.layer(f"{soil}_depths", band) for band, depth in enumerate(order, start=1))
    found, expected = dataset.layer(soil), total / 100
    assert np.allclose(found, expected, rtol=1e-5, equal_nan=True) and (~np.isnan(found)).sum() > 3000
    assert [row["weight_cm"] for row in dataset.record(soil)["layers"]] == list(DEPTHS.values())
    assert dataset.unit(soil) == dataset.unit(f"{soil}_depths")


def test_d18_slope(dataset):
    dataset.run("D18")
    elevation, slope = dataset.layer("slope_elevation"), dataset.layer("slope")
    assert_numbers(np.where(target()[1] < 45, np.nan, elevation), p.ranging(-100.0, 5000.0), 30.0,
                   where=target()[1] < 88)
    # Horn's differences in the metres of the grid, which is nearly true to scale near the pole
    smooth = [sum(weight * np.roll(elevation, shift, axis) for shift, weight in ((-1, 1), (0, 2), (1, 1)))
              for axis in (0, 1)]
    across, down = ((np.roll(smooth[axis], -1, 1 - axis) - np.roll(smooth[axis], 1, 1 - axis)) / (8 * CELL)
                    for axis in (0, 1))
    rough = np.degrees(np.arctan(np.hypot(down, across)))
    sure = (target()[1] > 70) & (target()[1] < 88) & ~near([0])
    assert sure.sum() > 500 and np.nanmax(rough[sure]) > 0.03
    assert np.allclose(slope[sure], rough[sure], rtol=0.03, atol=0.0005)


def test_d19_stack(dataset):
    from osgeo import gdal

    dataset.run("D19")
    stack = gdal.Open(str(dataset.folder / "layers" / "stack.tif"))
    roles = [stack.GetRasterBand(band + 1).GetDescription() for band in range(stack.RasterCount)]
    with open(dataset.folder / "layers" / "ranges.csv", encoding="utf-8", newline="") as stream:
        ranges = {row["role"]: row for row in csv.DictReader(stream)}
    assert len(roles) == 16 and list(ranges) == roles
    base = dataset.layer("base")
    for role, layer in (("elevation", "slope_elevation"), ("peat", "peat"), ("soc", "soc"), ("lst", "lst")):
        raw = dataset.layer(layer)
        domain = raw[(base == 1) & ~np.isnan(raw)]
        low, high = domain.min(), domain.max()
        assert (float(ranges[role]["low"]), float(ranges[role]["high"])) == pytest.approx((low, high), rel=1e-6)
        scaled = np.clip((raw - low) / (high - low) * 100, 0, 100)
        found = dataset.layer("stack", roles.index(role) + 1)
        assert np.allclose(found, scaled, atol=1e-3, equal_nan=True)
    cover = dataset.layer("stack", roles.index("land_cover") + 1)
    assert np.array_equal(cover, dataset.layer("land_cover"), equal_nan=True)
