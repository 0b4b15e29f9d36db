"""Refusals that no other test meets: each names the file or the value, and what to do.

``make raises`` lists the refusals of the core that no test reaches.
"""

import contextlib
from resource import RLIMIT_FSIZE, getrlimit, setrlimit
from types import SimpleNamespace

import numpy as np
import pytest
from osgeo import gdal

from pti_plugin.core.assessment.accuracy_assessment import Points, compare_points
from pti_plugin.core.assessment.confusion_table import read_classes
from pti_plugin.core.common.errors import InputError, OutputError, PtiError
from pti_plugin.core.common.profiles import profile
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.resources import resource
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.ensembles.features import Feature
from pti_plugin.core.index.pti import check_trend_years
from pti_plugin.core.insitu.station_files import read_stations
from pti_plugin.core.insitu.stations import ALT, MAGT
from pti_plugin.core.insitu.text_tables import decoded
from pti_plugin.core.insitu.validation import ValidationOptions
from pti_plugin.core.learning import ubjson
from pti_plugin.core.learning.folds import block_folds
from pti_plugin.core.learning.learner import TrainingOptions
from pti_plugin.core.mapping.applicability import applicability
from pti_plugin.core.mapping.map_agreement import check_buffer
from pti_plugin.core.rasters.align import AlignOptions, align
from pti_plugin.core.rasters.blocks import OutputSpec, RasterWriter, Window
from pti_plugin.core.rasters.dimensions import Dimension, parse_select, selected_bands
from pti_plugin.core.rasters.grid import epsg_wkt
from pti_plugin.core.rasters.raster import read_info
from pti_plugin.core.rasters.tiles import mosaicked
from pti_plugin.core.rasters.time_decoding import decode
from pti_plugin.core.rasters.vector import write_points
from pti_plugin.core.samples.sample_file import read_sample_features
from pti_plugin.core.samples.sampling_rules import read_rules
from pti_plugin.core.series.composites import CompositeOptions, composite_series
from pti_plugin.core.series.trends import _REFERENCES, TrendOptions, trend_rasters
from pti_plugin.core.zonal.zones import ZoneInputs, predictor_bands, summarize_zones
from support import Log, standing, write_raster


@contextlib.contextmanager
def files_of_at_most(size):
    """Let no file grow beyond ``size`` bytes, as on a full disk; Python ignores the signal and the write fails."""
    soft, hard = getrlimit(RLIMIT_FSIZE)
    setrlimit(RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        setrlimit(RLIMIT_FSIZE, (soft, hard))


# ---- rasters --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 4096, 70_000])
def test_a_raster_that_the_disk_does_not_take_is_refused_and_removed(tmp_path, size):
    source = write_raster(tmp_path / "source.tif", np.zeros((300, 300)))
    output = tmp_path / "out" / "result.tif"
    output.parent.mkdir()
    values = np.random.default_rng(1).normal(size=(300, 300)).astype("float32")
    with pytest.raises(OutputError, match=r"result\.tif"), Staging([source]) as staging, files_of_at_most(size):
        writer = RasterWriter(OutputSpec(str(output), "float32", -9999.0, bands=("values",)),
                              read_info(source).grid, staging)
        writer.write(Window(0, 300, 0, 300), values)
        writer.close()
        staging.commit()
    assert standing(output.parent) == {}


def test_one_of_band_and_select_is_enough(tmp_path):
    path = write_raster(tmp_path / "layers.tif", np.zeros((3, 4, 4)))
    with pytest.raises(InputError, match="BAND and SELECT both choose.*give one of them"), Staging([path]) as staging:
        align([path], str(tmp_path / "out.tif"), staging, Log(), AlignOptions(band=2, select="1..2"))


def test_complex_numbers_are_refused(tmp_path):
    path = write_raster(tmp_path / "radar.tif", np.zeros((4, 4)), dtype="complex64")
    with pytest.raises(InputError, match=r"radar\.tif holds complex numbers; PTI reads real ones"):
        read_info(path)


def test_a_mask_that_cannot_be_read_names_the_file_and_the_row(tmp_path):
    path = tmp_path / "cut.tif"
    values = np.random.default_rng(2).choice([0, 255], (4, 600, 600))
    write_raster(path, values.astype("uint8"), options=["TILED=YES", "INTERLEAVE=BAND", "COMPRESS=DEFLATE"])
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 4])
    with pytest.raises(InputError, match=r"cut\.tif.*cannot be read.*Get the file again"):
        read_info(str(path))


# ---- series ---------------------------------------------------------------------------------------------------------

def composite(paths, folder, **options):
    with Staging(paths) as staging:
        composite_series(paths, {"composite": str(folder / "out.tif")}, staging, Log(), CompositeOptions(**options))


def test_the_most_recent_class_needs_a_time(tmp_path):
    path = write_raster(tmp_path / "cover.tif", np.ones((3, 2, 2)), dtype="uint8")
    with pytest.raises(InputError, match="not known which is the most recent.*START.*or set TIE to"):
        composite([path], tmp_path, statistic="majority")


def test_monthly_means_are_made_of_daily_layers(tmp_path):
    path = write_raster(tmp_path / "series.tif", np.ones((3, 2, 2)), descriptions=["2001", "2002", "2003"])
    with pytest.raises(InputError, match="PERIOD is 12, but monthly means are made of daily layers. Set PERIOD to 365"):
        composite([path], tmp_path, statistic="monthly_mean", period=12)


def test_months_with_too_few_days_are_named(tmp_path):
    path = write_raster(tmp_path / "days.tif", np.ones((2, 2, 2)), descriptions=["2001-01-01", "2001-01-02"])
    with pytest.raises(InputError, match=r"No month has 80 % of its days \(MIN_SHARE\)"):
        composite([path], tmp_path, statistic="monthly_mean", period=365, min_share=0.8, gaps="as_they_are")


# ---- samples and the model ------------------------------------------------------------------------------------------

def test_samples_in_too_few_blocks_cannot_be_dealt(tmp_path):
    near = SimpleNamespace(longitude=np.linspace(20, 20.1, 40), latitude=np.linspace(70, 70.1, 40))
    with pytest.raises(InputError, match=r"fall into \d blocks of 500 km; at least 5 are needed. Lower BLOCK_KM"):
        block_folds(near, 500, 1)
    folds, blocks = block_folds(near, 1, 1)
    assert blocks >= 5 and set(folds) == set(range(5))


def test_samples_that_cannot_measure_a_distance_have_no_area_of_applicability():
    features = [Feature("a", "soil", False), Feature("b", "soil", False)]
    gappy = np.array([[1, np.nan], [2, np.nan], [np.nan, 1], [np.nan, 3]])
    with pytest.raises(InputError, match="fewer than two training samples have all predictors"):
        applicability(gappy, features, [1.0, 1.0], [0, 1, 0, 1], Progress())
    # only those with a gap differ
    alike = np.array([[1, 5], [1, 5], [2, np.nan], [np.nan, 6]])
    with pytest.raises(InputError, match="all training samples are alike"):
        applicability(alike, features, [1.0, 1.0], [0, 1, 0, 1], Progress())


def test_predictors_and_groups_are_as_many():
    pytest.importorskip("matplotlib")
    from pti_plugin.core.reporting.figures import shap_bars

    with pytest.raises(InputError, match="There are 2 predictors but 1 groups; give one for each"):
        shap_bars(["a", "b"], ["soil"], [1.0, 2.0])


# ---- stations -------------------------------------------------------------------------------------------------------

CALM = """Site Code,Site Name,Location,,Method,SITE AVERAGES OF THE THAW DEPTH (cm),,,Site Code
,,LAT,LONG,,2001,2002,2003,
U1,Ridge,71 19' N,156 36' W,100,30,35,42,U1
"""
BLOCK = "Site Code,Site Name,Location,,Method,SITE AVERAGES OF THE THAW DEPTH (%s),,,Site Code\n"
LONG = "site,latitude,longitude,depth_m,year,magt_degC\nA,65.5,-150.25,10,2010,-2.5\n"
#: rows of a year of days at one site
DAYS = "".join(f"A,2010-{month:02d}-{day:02d},-3\n" for month in range(1, 13) for day in range(1, 29))


@pytest.mark.parametrize("text, quantity, columns, said", [
    (CALM[:CALM.index("U1")], ALT, None, r"holds the headers of a CALM table and no site"),
    (CALM + BLOCK % "cm" + ",,LAT,LONG,,2001,2002,2004,\n", ALT, None, "line 5: '2004' stands where the year 2003"),
    (CALM + BLOCK % "cm" + ",,LAT,LONG,,2002,2003,2004,\n", ALT, None,
     "line 5: this block has other years than the first; give every block the same years"),
    (CALM + BLOCK % "m", ALT, None, "line 4: the table states more than one unit; bring it to one"),
    (CALM + ",Bog,65.5,-150,100,30,40,50,\n", ALT, None, "line 4: the row has values but no site code"),
    (LONG.replace("magt_degC", "temp_upper,temp_lower").replace("-2.5", "-2.5,-3"), MAGT, None,
     "several columns that may hold the mean annual ground temperature: .*Name the right one, for example 'value="),
    (LONG, MAGT, "magt_degC", "The column list has 'magt_degC'; write it as 'value=Temp; year=Year', with the keys"),
    (LONG, MAGT, "unit=furlong", "The column list has 'unit=furlong'; a unit is one of °C, K"),
    (LONG, MAGT, "latitude_side=E", "The column list has 'latitude_side=E'; the side is N or S"),
    (LONG, MAGT, "dates=backwards", "The column list has 'dates=backwards'; write 'day first' or 'month first'"),
    (LONG.replace("latitude", "latitude,lat_min").replace("65.5", "65,30"), MAGT, None,
     "gives the latitude in several columns .latitude, lat_min.*Write it in one column"),
    (LONG.replace("latitude", "lat_n,lat_s").replace("65.5", "65.5,65.5"), MAGT, None,
     "several columns of the latitude that count towards different sides: lat_n, lat_s.*'latitude=lat_n'"),
    ("site,latitude,longitude,year," + ",".join(map(str, range(1, 13))) + "\nA,65,20,2010" + ",-3" * 12 + "\n", MAGT,
     None, "columns 1 to 12, which may be months or depths.*head them Jan to Dec or 01 to 12"),
    ("site,date,temperature\nA,25.01.2010,-3\nA,01.25.2010,-3\n" + DAYS, MAGT, None,
     r"dates in two orders: '25\.01\.2010' in line 2 has the day first, '01\.25\.2010' in line 3 the month"),
    ("Date12 [DDMMYYYYhhmm],Simulation_Period,0.5\n01/01/2010 00:00,0,-3\n", MAGT, None,
     "is output of the model GEOtop, not a measurement"),
    ("Date/Depth,0.5_m,50_cm,100_cm\n2010-01-01,-3,-3,-3\n", MAGT, None, "states? different units|two columns"),
    ("Date/Depth,0.5_m,100_cm\n2010-01-01,-3,-3\n", MAGT, None,
     "the headers of the depths state different units; bring them to one"),
    ("Date/Depth,0.5,1\n", MAGT, None, "has no readings below its header|needs a header line and rows below it"),
    ("site,date,temperature\n" + DAYS + ",2011-01-01,-3\n", MAGT, None, "line 338: the row has no site id"),
    ("site,date,temperature\nA,2010-01-01,-3\nA,2010-01-02,-3\n", MAGT, None,
     "holds no usable mean annual ground temperature.*at least 350 days"),
    (LONG.replace("65.5", "65.5x"), MAGT, None, "the latitude '65.5x' .*71 19' N"),
    (LONG.replace("-2.5", "cold"), MAGT, None, r"line 2: .*'cold' is not a number(?!.*19' N)"),
    (LONG + "A,65.5,-150.25,10,2010,-2.25\n", MAGT, None,
     r"1 value\(s\) for a site, depth and year that already has another: site A at 10 m in 2010 \(line 3\).*Keep one"),
    ("site latitude longitude\n", MAGT, None, "has no columns: none of semicolon, tab, comma and . divides its header"),
    (LONG.replace("magt_degC", "magt,unit").replace("-2.5", "-2.5,cm"), MAGT, None,
     r"line 2: cm is no unit of a mean annual ground temperature \(line 2\); correct the unit"),
])
def test_what_a_station_file_leaves_open_is_refused(tmp_path, text, quantity, columns, said):
    path = tmp_path / "stations.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said) as refused:
        read_stations(path, quantity, columns)
    assert "stations.csv" in str(refused.value) or "column list" in str(refused.value)


def test_a_fixed_depth_that_no_site_has_names_another_choice(tmp_path):
    path = tmp_path / "stations.csv"
    path.write_text(LONG, encoding="utf-8")
    with pytest.raises(InputError, match=r"1 of 1 sites have no sensor within .* of 3 m; choose another depth, or"):
        read_stations(path, MAGT, depth_rule=3.0)


@pytest.mark.parametrize("name, content, said", [
    ("sites.json", b"{}", "holds metadata, not readings; give the .csv file beside it"),
    ("half.csv", "site;latitude\n".encode("utf-16") + b"\x00", "is not text in UTF-16 throughout"),
    # the first 64 kB are text, a byte further down is none
    ("long.csv", ("site,date,temperature\n" + 15 * DAYS + "Å,2011-01-01,-3\n").encode("latin-1"),
     "is not text in UTF-8 throughout.*save it as UTF-8"),
])
def test_what_is_no_text_of_stations_is_refused(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_stations(path, MAGT)


def test_a_sheet_that_is_refused_is_named(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")

    def saved(rows):
        book = openpyxl.Workbook()
        book.active.title = "readings"
        for row in rows:
            book.active.append(row)
        path = tmp_path / "stations.xlsx"
        book.save(path)
        return path

    with pytest.raises(InputError, match=r"stations\.xlsx is empty; station data need a header row and rows below it"):
        read_stations(saved([]), MAGT)
    header = ["site", "latitude", "longitude", "depth_m", "year", "magt_degC"]
    with pytest.raises(InputError, match=r"Keep one annual value|not a number.*\(sheet 'readings'\)"):
        read_stations(saved([header, ["A", 65.5, 20, 10, 2010, "cold"]]), MAGT)
    calm = [line.split(",") for line in CALM.splitlines()]
    with pytest.raises(InputError, match=r"line 1: a site stands before the row with LAT, LONG and the years.*sheet"):
        read_stations(saved([["U0", "Bog", 65.5, -150, 100, 30, 40, 50, "U0"], *calm]), ALT)
    with pytest.raises(InputError, match=r"\(sheet 'readings'\)"):
        read_stations(saved([["a", "b", "c"], [1, 2, 3], [4, 5, 6]]), MAGT)


@pytest.mark.parametrize("text, said", [
    ("id,latitude,longitude\n,65.5,-150\n", "line 2: the site has no id"),
    ("id,latitude,longitude\nA,65.5,-150\nA,66.5,-150\n", "line 3: the site A stands twice with different coordinates; "
                                                          "keep one row of it"),
])
def test_a_table_of_sites_tells_each_site_once(tmp_path, text, said):
    sites, path = tmp_path / "sites.csv", tmp_path / "readings.csv"
    sites.write_text(text, encoding="utf-8")
    path.write_text("site,date,temperature\n" + DAYS, encoding="utf-8")
    with pytest.raises(InputError, match=rf"sites\.csv, {said}"):
        read_stations(path, MAGT, sites=sites)


# ---- the time of layers ---------------------------------------------------------------------------------------------

def test_months_are_counted_from_midnight():
    time = Dimension("time", (1.0, 2.0), "months since 2000-01-01 06:00:00", "standard")
    with pytest.raises(InputError, match=r"'time' of series\.nc .*counts months or years from a time within a day.*"):
        decode(time, "series.nc")


def test_files_of_many_bands_without_a_time_are_no_list_of_layers(tmp_path):
    paths = [write_raster(tmp_path / f"part{name}.tif", np.ones((3, 2, 2)), dtype="float32") for name in "ab"]
    with pytest.raises(InputError, match=r"parta\.tif has 3 bands in a list of single layers\. Give one"):
        composite(paths, tmp_path)


@pytest.mark.parametrize("text", ["depth", "depth=", "=1", "depth=1; depth=2", "depth=1; Depth=2"])
def test_a_choice_of_layers_names_each_dimension_once(text):
    with pytest.raises(InputError, match=f"SELECT is '{text}'; write a dimension and a value, each dimension once"):
        parse_select(text)


# ---- the index and its trends ---------------------------------------------------------------------------------------

def test_two_trends_are_of_the_same_years():
    def info(name, first, last, layers):
        return SimpleNamespace(name=name, metadata={
            "PTI_FIRST_YEAR": first, "PTI_LAST_YEAR": last, "PTI_LAYERS": layers})

    with pytest.raises(InputError, match=r"different years: magt\.tif 2000–2019 \(20 layers\), alt\.tif 2000–2020 "
                                         r"\(21 layers\)\. Run the trend tool on the same years for both"):
        check_trend_years(info("magt.tif", "2000", "2019", "20"), info("alt.tif", "2000", "2020", "21"))
    with pytest.raises(InputError, match=r"alt\.tif 2000–2019 \(19 layers\)"):
        check_trend_years(info("magt.tif", "2000", "2019", "20"), info("alt.tif", "2000", "2019", "19"))
    check_trend_years(info("magt.tif", "2000", "2019", "20"), info("alt.tif", "2000", "2019", "20"))
    check_trend_years(info("magt.tif", "2000", "2019", "20"), info("alt.tif", None, None, None))


@pytest.mark.parametrize("name, reference", [
    ("s", "original_test"), ("variance", "original_test"), ("z", "original_test"), ("p", "original_test"),
    ("slope", "original_test"), ("z", "pre_whitening_modification_test"), ("slope", "pre_whitening_modification_test"),
    ("z", "trend_free_pre_whitening_modification_test"), ("variance", "hamed_rao_modification_test"),
    ("variance", "yue_wang_modification_test")])
def test_a_trend_that_pymannkendall_does_not_confirm_is_not_written(tmp_path, monkeypatch, name, reference):
    pymannkendall = pytest.importorskip("pymannkendall")
    field = {"variance": "var_s"}.get(name, name)
    test = getattr(pymannkendall, reference)
    method = next(key for key, value in _REFERENCES.items() if value == reference)
    monkeypatch.setattr(pymannkendall, reference, lambda *values, **options: (
        lambda result: result._replace(**{field: getattr(result, field) * 1.01 + 0.01}))(test(*values, **options)))
    rng = np.random.default_rng(4)
    paths = [write_raster(tmp_path / f"layer_{1990 + year}.tif", rng.normal(0.1 * year, 1, (3, 3)), dtype="float32")
             for year in range(20)]
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(PtiError, match=f"The self-check failed: {name} is .* where pymannkendall gives .*Nothing was "
                                       "written"), Staging(paths) as staging:
        trend_rasters(paths, {"sign": str(out / "sign.tif"), "slope": str(out / "slope.tif")}, staging, Log(),
                      TrendOptions(method=method))
    assert standing(out) == {}


# ---- vector layers, zones, samples ----------------------------------------------------------------------------------

@pytest.mark.parametrize("ending", [".gpkg", ".geojson", ".shp"])
@pytest.mark.parametrize("size", [0, 30_000])
def test_a_layer_that_the_disk_does_not_take_is_refused_and_removed(tmp_path, ending, size):
    path = tmp_path / f"points{ending}"
    rows = [{"x": i / 100, "y": 60.0, "text": "a word " * 30} for i in range(2000)]
    with pytest.raises(OutputError, match=f"points{ending}"), files_of_at_most(size):
        write_points(path, rows, [("text", str, "", "")], "x", "y", "points")
    assert standing(tmp_path) == {}


def test_zones_are_given_one_way(tmp_path):
    pti = write_raster(tmp_path / "pti.tif", np.full((3, 3), 11), nodata=0, dtype="uint8")
    with pytest.raises(InputError, match="ZONES and ZONES_RASTER are both given. Give the zones one way"):
        summarize_zones(ZoneInputs(pti, layer=object(), classes=pti), {}, None, Log())


def test_predictors_to_average_are_named_and_there(tmp_path):
    stack = write_raster(tmp_path / "stack.tif", np.ones((2, 3, 3)), descriptions=("lst", "soc"))
    nameless = write_raster(tmp_path / "nameless.tif", np.ones((2, 3, 3)), descriptions=("lst", ""))
    for paths, chosen, said in (([stack], "lst, soc, lst", "BANDS is 'lst, soc, lst'; it names a band twice"),
                                ([stack], "lst, slope", "names slope, but the predictors have the bands lst, soc"),
                                ([nameless], "", r"Band 2 of nameless\.tif has no name\. Name every band")):
        with pytest.raises(InputError, match=said):
            predictor_bands(paths, chosen, Log())


FEATURE = '{"name": "lst", "group": "climate", "categorical": false, "low": null, "high": null}'


@pytest.mark.parametrize("text, said", [
    ('{"version": 2, "features": []}', "have version 2; this plugin reads version 1. Draw the samples again"),
    ('{"version": 1, "features": []}', "are damaged, draw the samples again: features has 0 items"),
    ('{"version": 1, "features": [%s, %s]}' % (FEATURE, FEATURE), "are damaged, draw .*: lst is there twice"),
    ('{"version": 1, "features": [{"name": "lst"}]}', r"are damaged, draw the .*features\[0\]\.group is missing"),
    ('{"version": 1, "features": [%s], "area_km2": {"11": "wide"}}' % FEATURE,
     "are damaged, draw the .* is 'wide', not a number"),
    ("[]", "are damaged"), ("{", "are damaged"), ("", "are damaged")])
def test_predictors_that_came_with_samples_are_whole_or_refused(tmp_path, text, said):
    path = tmp_path / "samples.csv"
    (tmp_path / "samples.csv.features.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"samples\.csv\.features\.json {said}"):
        read_sample_features(path)


@pytest.mark.parametrize("options", [{"runs": 0}, {"rounds": 0}, {"max_depth": 0}])
def test_training_needs_a_run_a_round_and_a_depth(options):
    with pytest.raises(InputError, match="RUNS, ROUNDS and MAX_DEPTH must be at least 1"):
        TrainingOptions(**options).check()


@pytest.mark.parametrize("metres", [-1.0, float("inf"), float("nan")])
def test_the_largest_difference_in_elevation_is_a_number_of_metres(metres):
    with pytest.raises(InputError, match=r"difference in elevation of a pair is .* m; give 0 or more, or none"):
        ValidationOptions(max_elevation_m=metres).check()
    ValidationOptions(max_elevation_m=0.0).check()


def test_a_file_of_the_plugin_that_is_missing_asks_for_the_plugin_again():
    with pytest.raises(InputError, match=r"own file .*none\.csv is missing; install the plugin again"):
        resource("tables", "none.csv")


# ---- what is chosen, and what belongs together ----------------------------------------------------------------------

@pytest.mark.parametrize("chosen, said", [
    ({"level": "1"}, r"names the dimension 'level', which t\.nc does not have\. It has time, depth, member\."),
    ({"depth": "3"}, r"SELECT is depth=3, but t\.nc has no such value\. Choose one of: .*1.*2"),
    ({"depth": "deep"}, r"SELECT is depth=deep, but t\.nc has no such value"),
    ({"depth": "2"}, r"t\.nc differ along 2 dimensions.*Set SELECT to one value of each other one, .*member=a"),
])
def test_a_choice_of_layers_is_one_that_the_file_has(chosen, said):
    dimensions = (Dimension("time", (0, 0, 0, 0, 31, 31, 31, 31), "days since 2001-01-01"),
                  Dimension("depth", (1.0, 1.0, 2.0, 2.0) * 2, "m"), Dimension("member", ("a", "b") * 4))
    with pytest.raises(InputError, match=said):
        selected_bands("t.nc", dimensions, 8, chosen)
    assert selected_bands("t.nc", dimensions, 8, {"depth": "2", "member": "B"}) == [4, 8]
    with pytest.raises(InputError, match="SELECT names the dimension 'depth'.*It has none"):
        selected_bands("plain.tif", (), 3, {"depth": "1"})


def test_tiles_that_would_lose_something_are_not_joined(tmp_path):
    def tile(name, column, transform=None, **options):
        transform = transform or (column * 1e5, 25000.0, 0.0, 0.0, 0.0, -25000.0)
        return read_info(write_raster(tmp_path / name, np.ones((4, 4)), transform=transform, **options))

    slanted = tile("slanted.tif", 0, (0.0, 25000.0, 500.0, 0.0, 500.0, -25000.0))
    with pytest.raises(InputError, match=r"slanted\.tif is one of several tiles .* is rotated.*Merge them"):
        mosaicked([slanted, tile("a.tif", 1)], [1, 1], Log())
    masked = []
    for column in (0, 1):
        masked.append(tile(f"masked{column}.tif", column, dtype="uint8"))
        dataset = gdal.Open(masked[-1].path, gdal.GA_Update)
        dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
        dataset.GetRasterBand(1).GetMaskBand().WriteArray(np.eye(4, dtype="uint8") * 255)
        dataset = None
        masked[-1] = read_info(masked[-1].path)
    with pytest.raises(InputError, match=r"masked0\.tif is one of several tiles .* has a mask.*with a nodata"):
        mosaicked(masked, [1, 1], Log())


def test_names_and_distances_are_among_those_there_are():
    with pytest.raises(InputError, match="There is no profile 'best'; choose one of .*defensible"):
        profile("best")
    for distance in (-1.0, 5001.0, float("nan")):
        with pytest.raises(InputError, match="BUFFER_KM is .*; it must lie between 0 and 5000"):
            check_buffer(distance)
    check_buffer(0.0), check_buffer(5000.0)


def test_an_array_of_a_type_has_a_length():
    with pytest.raises(InputError, match="damaged or cut off at byte 8 .*a typed array without a length"):
        ubjson.loads(b"{U\x01a[$d]}")


def test_tables_that_are_no_text_are_refused(tmp_path):
    rules = tmp_path / "rules.csv"
    rules.write_bytes("rank,samples,spacing_km,edge_buffer_km\n11,5,1,é\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"sampling rules .*rules\.csv is not a CSV table in UTF-8"):
        read_rules(rules)
    (tmp_path / "samples.csv.features.json").write_bytes(b'{"version": 1, "features": ["\xe9"]}')
    with pytest.raises(InputError, match=r"features\.json cannot be read: .*Draw the samples again"):
        read_sample_features(tmp_path / "samples.csv")


def test_a_layer_that_breaks_off_names_the_file(tmp_path):
    # the header is whole and the last cells are missing
    path = tmp_path / "series_2001.tif"
    values = np.random.default_rng(3).normal(size=(20, 300, 300)).astype("float32")
    write_raster(path, values, descriptions=[str(2001 + i) for i in range(20)], options=["INTERLEAVE=BAND"])
    path.write_bytes(path.read_bytes()[:-path.stat().st_size // 3])
    with pytest.raises(InputError, match=r"series_2001\.tif.*cannot be read"), Staging([str(path)]) as staging:
        trend_rasters([str(path)], {"sign": str(tmp_path / "sign.tif")}, staging, Log(), TrendOptions())


@pytest.mark.parametrize("options, said", [
    ({"alpha": 0.0}, "ALPHA is 0; it must lie between 0 and 1"), ({"alpha": 1.0}, "ALPHA is 1; it must lie between"),
    ({"period": 0}, "PERIOD is 0; it is the number of layers a year: 1 for annual, 12 for"),
    ({"season_start": 0}, "SEASON_START is 0; it is the month the year begins with, 1 to 12"),
    ({"season_start": 13}, "SEASON_START is 13; it is the month")])
def test_choices_of_a_trend_out_of_their_range_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        TrendOptions(**options).check()


def trend(paths, folder, **options):
    with Staging(paths) as staging:
        trend_rasters(paths, {"step": str(folder / "step.tif")}, staging, Log(), TrendOptions(**options))


def test_a_step_lies_inside_the_series_and_a_series_has_layers(tmp_path):
    paths = [write_raster(tmp_path / f"layer_{year}.tif", np.full((2, 2), year / 7), dtype="float32")
             for year in range(1990, 2010)]
    for year in (1980, 1990, 2010):
        with pytest.raises(InputError, match=f"STEP_YEAR is {year}, which is not inside the series"):
            trend(paths, tmp_path, step_at=year)
    with pytest.raises(InputError, match="The series has no layer"):
        trend([], tmp_path)
    with pytest.raises(InputError, match="START is 'spring', which gives no year"):
        trend(paths[:1], tmp_path, start="spring")


@pytest.mark.parametrize("bins", [1, 257])
def test_bins_of_training_are_2_to_256(bins):
    with pytest.raises(InputError, match=f"MAX_BIN is {bins}; it must lie in 2 to 256"):
        TrainingOptions(max_bin=bins).check()


@pytest.mark.parametrize("text, said", [
    ("shade,tint\nred,one\n", "has no column of codes. Name it code, class or rank; its"),
    ("code,name\n", "has no line below its header|needs a header and at least one line below it"),
    ("code,name\n1,one,x\n2,two,y\n", "line 2: 3 values for 2 columns of the header"),
    ("code,name\n1,one\n1,uno\n", "line 3: the class 1 has a second line. Keep one")])
def test_a_table_of_classes_names_each_code_once(tmp_path, text, said):
    path = tmp_path / "classes.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"classes\.csv.*{said}"):
        read_classes(str(path))


def test_a_map_without_a_class_has_nothing_to_compare(tmp_path):
    path = write_raster(tmp_path / "empty.tif", np.zeros((3, 3)), nodata=0, dtype="uint8")
    points = Points(np.array([0.0]), np.array([0.0]), epsg_wkt(6931), [1], [1], None)
    with pytest.raises(InputError, match=r"empty\.tif holds no class at all: every cell is nodata"):
        compare_points(path, points, Log())


MONTHS = ("site,latitude,longitude,year,Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec\n"
          "A,65,20,2010" + ",-3" * 12 + "\n")


@pytest.mark.parametrize("text, quantity, columns, said", [
    ("site,latitude,longitude,2001 (cm),2002 (m)\nA,65,20,40,0.4\n", ALT, None,
     "The year columns of .*stations.csv state different units .cm, m.; bring them to one"),
    ("site,latitude,longitude,2001,X2001\nA,65,20,40,41\n", ALT, None, "has two columns for the year 2001; remove one"),
    (MONTHS.replace("Feb", "Jan"), MAGT, None, "has two columns for the month 'Jan'; remove one"),
    (MONTHS.replace("year,", "").replace("2010,", "").replace("Jan", "Jan 2010"), MAGT, None,
     "month columns with and without a year; write the year into all or none"),
    (LONG.replace("latitude", "latitude,northing").replace("65.5", "65.5,7200000"), MAGT, "latitude=northing",
     "the column 'northing' named as latitude holds projected coordinates by its header. Convert them to degrees"),
    ("site,date,temperature\nA,25.01.2010,-3\n" + DAYS, MAGT, "dates=month first",
     r"line 2: '25\.01\.2010' is no date with the month first, as the column list states"),
    ("date_yyyy-mm-dd,site_id,latitude,longitude\n2010-01-01,A,65,20\n", MAGT, None,
     "has no column headed by a depth, such as 0.5 or 0.5_m"),
    (LONG, MAGT, "unit=cm", "'unit=cm' in the column list is no unit of a mean annual ground temperature"),
    (LONG.replace("-2.5", "85"), MAGT, None, "85 °C in line 2 cannot be a mean annual ground temperature"),
    (LONG.replace("magt_degC", "magt_degC,unit").replace("-2.5", "-2.5,K"), MAGT, None,
     "the header 'magt_degC' states °C, but its rows state K"),
    ("\n\n", MAGT, None, "is empty; a station (table|file) needs a header line and rows below it"),
])
def test_what_columns_of_a_station_table_leave_open_is_refused(tmp_path, text, quantity, columns, said):
    path = tmp_path / "stations.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_stations(path, quantity, columns)


def test_a_column_of_a_model_between_months_is_passed_over(tmp_path):
    path = tmp_path / "stations.csv"
    path.write_text(MONTHS.replace("Jan,", "Jan_model,Jan,").replace("2010,", "2010,99,"), encoding="utf-8")
    (station,), _ = read_stations(path, MAGT)
    assert station.values == {2010: pytest.approx(-3)}


def test_a_spreadsheet_is_no_table_of_text():
    with pytest.raises(InputError, match="rules.csv is a spreadsheet, not text; save the sheet as CSV"):
        decoded("rules.csv", b"PK\x03\x04 and so on")
