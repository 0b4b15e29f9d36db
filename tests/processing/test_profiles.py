"""What the two profiles make of the same series, as the tools are asked: against pymannkendall, NumPy and the sun."""

import shutil

import numpy as np
import pymannkendall
import pytest
from osgeo import gdal
from scipy.stats import norm

from pti_plugin.core.common.tables import read_csv
from pti_plugin.core.series.composites import STATISTICS
from support import ROOT, read_raster, record_in, write_raster

SAMPLE = ROOT / "resources" / "sample"
#: values of PROFILE
DEFENSIBLE, AS_PUBLISHED = 0, 1


def layers_of(path):
    """Return the numbers stored in all bands of a file, float64 with NaN."""
    dataset = gdal.Open(str(path))
    values = dataset.ReadAsArray().astype("float64")
    values[values == dataset.GetRasterBand(1).GetNoDataValue()] = np.nan
    return values if values.ndim == 3 else values[None]


def trend(run, folder, name, parameters):
    """Return {output: array} of the trend tool."""
    outputs = {f"OUTPUT_{key}": str(folder / f"{name}_{key}.tif") for key in ("SLOPE", "SIGN", "P", "SEASONS")}
    made = run("trendrasters", {**parameters, **outputs})
    return {key.removeprefix("OUTPUT_"): read_raster(path) for key, path in made.items()}


def seasonal_p(x, period):
    """Return (S, p of Hirsch 1982, p of Hirsch & Slack 1984) of series (steps, cells) by the formulas; for a period of
    1 the first p is that of Mann and Kendall."""
    years = x.reshape(-1, period, x.shape[1])
    number = (~np.isnan(years)).sum(axis=0).astype(float)
    s, shared, ranks = np.zeros(x.shape[1]), np.zeros((period, period, x.shape[1])), np.zeros(years.shape)
    for i in range(len(years)):
        for j in range(i + 1, len(years)):
            sign = np.nan_to_num(np.sign(years[j] - years[i]))
            s += sign.sum(axis=0)
            shared += sign[:, None] * sign
            ranks[j] += sign
            ranks[i] -= sign
    ties = np.zeros(number.shape)
    for layer in years:
        alike = (years == layer).sum(axis=0)
        ties += np.where(np.isnan(layer), 0, (alike - 1) * (2 * alike + 5))
    alone = ((number * (number - 1) * (2 * number + 5) - ties) / 18).sum(axis=0)
    # a gap has the middle rank
    ranks = (number + 1 + ranks) / 2
    together = (shared + 4 * np.einsum("ygc,yhc->ghc", ranks, ranks)
                - len(years) * (number[:, None] + 1) * (number + 1)) / 3
    # the test of 1984 has no continuity correction
    return (s, 2 * norm.sf((np.abs(s) - 1).clip(0) / np.sqrt(alone)),
            2 * norm.sf(np.abs(s) / np.sqrt(together.sum(axis=(0, 1)))))


def test_rising_land_surface_temperature_by_both_profiles(run, tmp_path):
    """With the covariances of the months the sample's rising share falls from 55 to 36 %."""
    # a copy, because QGIS keeps statistics beside what it opens
    path = shutil.copy(SAMPLE / "series" / "lst_monthly_2000-2020.tif", tmp_path)
    x = layers_of(path)
    full = ((~np.isnan(x)).reshape(-1, 12, *x.shape[1:]).sum(axis=0) >= 0.8 * 21).all(axis=0)
    assert full.sum() > 4000
    s, original, correlated = seasonal_p(x[:, full], 12)
    found = {}
    for profile, p in ((AS_PUBLISHED, original), (DEFENSIBLE, correlated)):
        made = trend(run, tmp_path, profile, {"INPUT": [path], "PERIOD": 12, "PROFILE": profile})
        np.testing.assert_allclose(made["P"][full], p, rtol=1e-4, atol=1e-12)
        np.testing.assert_array_equal(made["SIGN"][full], np.where(p < 0.05, np.sign(s), 0))
        found[profile] = 100 * (made["SIGN"][full] == 1).mean()
    assert found[AS_PUBLISHED] == pytest.approx(54.8, abs=0.3)
    assert found[DEFENSIBLE] == pytest.approx(36.4, abs=0.3)
    # the formulas above are the reference's own
    complete = np.flatnonzero(~np.isnan(x[12:, full]).any(axis=0))[::500]
    _, original, correlated = seasonal_p(x[12:, full][:, complete], 12)
    for i, column in enumerate(complete):
        series = x[12:, full][:, column]
        assert original[i] == pytest.approx(pymannkendall.seasonal_test(series, period=12).p, rel=1e-9)
        assert correlated[i] == pytest.approx(pymannkendall.correlated_seasonal_test(series, period=12).p, rel=1e-9)


def noon_sun(month, latitude):
    """Height of the sun at noon in the middle of a month, in degrees, by Spencer's series (1971)."""
    angle = 2 * np.pi * (30.4 * (month - 0.5) - 1) / 365
    declination = np.degrees(0.006918 - 0.399912 * np.cos(angle) + 0.070257 * np.sin(angle)
                             - 0.006758 * np.cos(2 * angle) + 0.000907 * np.sin(2 * angle))
    return 90 - latitude + declination


@pytest.fixture(scope="module")
def snow(tmp_path_factory):
    """The snow of the sample: (path, layers with flags, NaN where there is no land, latitude of the cells)."""
    pyproj = pytest.importorskip("pyproj")
    path = shutil.copy(SAMPLE / "series" / "snow_monthly_2000-2025.tif", tmp_path_factory.mktemp("snow"))
    west, cell, _, north, _, _ = gdal.Open(str(path)).GetGeoTransform()
    stored = layers_of(path)
    middle = west + cell * (np.arange(stored.shape[2]) + 0.5), north - cell * (np.arange(stored.shape[1]) + 0.5)
    latitude = pyproj.Transformer.from_crs("EPSG:6931", "EPSG:4326", always_xy=True).transform(
        *np.meshgrid(*middle))[1]
    return path, stored, latitude


def test_the_night_of_the_sample_is_where_the_sun_stays_low(snow):
    _, stored, latitude = snow
    months = (np.arange(300) + 6) % 12 + 1
    sun = np.stack([noon_sun(month, latitude) for month in months])
    night = stored == 211
    # 5 degrees, by an edge that moves from year to year
    known = ~np.isnan(stored)
    assert night[known & (sun < 2)].all() and not night[known & (sun > 9)].any()
    assert 0.3 < night[known & (np.abs(sun - 5) < 0.5)].mean() < 0.7
    assert set(np.unique(stored[known & ~night])) <= set(range(101))
    # months of night in every year: none in the south, three and four of them in the High Arctic
    always = np.stack([night[months == month].sum(axis=0) >= known[months == month].sum(axis=0)
                       for month in range(1, 13)]) & known.any(axis=0)
    number = always.sum(axis=0)
    assert number[latitude < 60].max() == 0 and (number >= 3).sum() > 100 and number.max() >= 4


def test_snow_under_polar_night_has_a_trend_by_the_months_that_it_has(run, snow, tmp_path):
    path, stored, latitude = snow
    x = np.where(stored > 100, np.nan, stored)
    has = (~np.isnan(x)).any(axis=0)
    parameters = {"INPUT": [path], "PERIOD": 12, "VALID": "0..100", "METHOD": 0}
    seasons = trend(run, tmp_path, "d", {**parameters, "PROFILE": DEFENSIBLE})
    steps = trend(run, tmp_path, "p", {**parameters, "PROFILE": AS_PUBLISHED})
    by_month = np.stack([(~np.isnan(x[month::12])).sum(axis=0) for month in range(12)])
    used = by_month >= 0.8 * 25
    np.testing.assert_array_equal(seasons["SEASONS"][has], np.where(used.sum(axis=0) >= 3, used.sum(axis=0), 0)[has])
    np.testing.assert_array_equal(np.isnan(steps["P"])[has], (by_month.sum(axis=0) < 0.8 * 300)[has])
    # three months of night a year are too many for the steps, and none for the seasons
    arctic = has & (latitude > 72)
    assert np.isnan(steps["P"])[arctic].mean() > 0.5 and not np.isnan(seasons["P"])[has].any()
    for row, column in np.argwhere(arctic & np.isnan(steps["P"]))[::25]:
        series = np.where(np.resize(used[:, row, column], 300), x[:, row, column], np.nan)
        expected = pymannkendall.seasonal_test(series, period=12)
        assert seasons["P"][row, column] == pytest.approx(expected.p, rel=1e-5)
        assert seasons["SLOPE"][row, column] == pytest.approx(expected.slope, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(("profile", "filled"), [(DEFENSIBLE, True), (AS_PUBLISHED, False)])
def test_snow_and_ndvi_of_cells_with_gaps_follow_the_profile(run, tmp_path, profile, filled):
    year = np.array([0, 0, 10, 60, 95, 100, 100, 100, 98, 90, 60, 5.0])
    cube = np.tile(year, 5)[:, None, None] + np.zeros((1, 1, 2))
    for month in (4, 5, 6, 7):
        cube[month::12, 0, 1] = np.nan
    stamps = [f"{2000 + i // 12}-{i % 12 + 1:02d}" for i in range(6, 66)]
    snow = write_raster(tmp_path / "snow.tif", cube, nodata=-1, dtype="float32", descriptions=stamps)
    made = run("compositeseries", {"INPUT": [snow], "PERIOD": 12, "STATISTIC": STATISTICS.index("snow_year_mean"),
                                   "PROFILE": profile, "OUTPUT": str(tmp_path / "mean.tif")})
    there = np.array([0, 1, 2, 3, 8, 9, 10, 11])
    expected = np.interp(np.arange(12), there, year[there]).mean() if filled else year[there].mean()
    np.testing.assert_allclose(read_raster(made["OUTPUT"]), [[year.mean(), expected]], rtol=1e-6)
    assert (year.mean() - expected > 15) == (not filled)

    peak = 0.1 + 0.6 * np.sin(np.pi * (np.arange(12) + 0.5) / 12)
    cube = np.tile(peak, 5)[:, None, None] + np.zeros((1, 1, 2))
    for number in (0, 2, 3):
        cube[12 * number + 3:12 * number + 9, 0, 1] = np.nan
    stamps = [f"{2000 + i // 12}-{i % 12 + 1:02d}" for i in range(60)]
    ndvi = write_raster(tmp_path / "ndvi.tif", cube, nodata=-1, dtype="float32", descriptions=stamps)
    made = run("compositeseries", {"INPUT": [ndvi], "PERIOD": 12, "STATISTIC": STATISTICS.index("annual_maximum"),
                                   "PROFILE": profile, "OUTPUT": str(tmp_path / "peak.tif"),
                                   "OUTPUT_COUNT": str(tmp_path / "years.tif")})
    lost = np.delete(peak, range(3, 9)).max()
    expected = peak.max() if filled else (2 * peak.max() + 3 * lost) / 5
    np.testing.assert_allclose(read_raster(made["OUTPUT"]), [[peak.max(), expected]], rtol=1e-6)
    assert read_raster(made["OUTPUT_COUNT"]).tolist() == [[5, 2 if filled else 5]]


def test_trends_from_2003_on_change_a_sixth_of_each_trend_and_a_quarter_of_the_ranks(run, tmp_path):
    """Every fifth cell of the sample's annual layers, on their own grid."""
    annual, cut = SAMPLE / "annual", (slice(None), slice(2, None, 5), slice(2, None, 5))
    series = {"MAGT": np.concatenate([layers_of(path)[cut] for path in sorted(annual.glob("cci_magt_*.tif"))]),
              "ALT": layers_of(annual / "cci_alt_1997-2021.tif")[cut]}
    stamps = [str(year) for year in range(1997, 2022)]
    known = (~np.isnan(series["MAGT"])).any(axis=0)
    celsius = np.full(known.shape, np.nan)
    # stored as hundredths of a kelvin above 150
    celsius[known] = np.nanmean(series["MAGT"][:, known], axis=0) / 100 + 150 - 273.15
    given = {"MAGT": celsius, "PP": np.where(np.isnan(celsius), np.nan, 90.0), "BASE": ~np.isnan(celsius)}
    given = {role: write_raster(tmp_path / f"{role}.tif", values, nodata=-9999, dtype="float32", unit=unit)
             for (role, values), unit in zip(given.items(), ("degC", "%", None))}
    signs, maps = {}, {}
    for first in (0, 2003):
        trends = {}
        for name, x in series.items():
            path = write_raster(tmp_path / f"{name}_series.tif", x, nodata=-32768, dtype="int16", descriptions=stamps)
            made = trend(run, tmp_path, f"{name}_{first}", {"INPUT": [path], "FIRST_YEAR": first})
            trends[f"{name}_TREND"] = str(tmp_path / f"{name}_{first}_SIGN.tif")
            part, expected = x[6:] if first else x, np.full(celsius.shape, np.nan)
            tested = (~np.isnan(part)).sum(axis=0) >= 0.8 * len(part)
            s, p, _ = seasonal_p(part[:, tested], 1)
            expected[tested] = np.where(p < 0.05, np.sign(s), 0)
            np.testing.assert_array_equal(made["SIGN"], expected)
            for i in range(0, len(p), 150):
                assert p[i] == pytest.approx(pymannkendall.original_test(part[:, tested][:, i]).p, rel=1e-9)
            signs[name, first] = expected
        maps[first] = run("buildpti", {**given, **trends, "OUTPUT": str(tmp_path / f"pti_{first}.tif")})["OUTPUT"]
    share = {name: 100 * (signs[name, 0] != signs[name, 2003])[~np.isnan(signs[name, 0] + signs[name, 2003])].mean()
             for name in series}
    rising = {name: 100 * ((signs[name, 0] > 0) != (signs[name, 2003] > 0))[
        ~np.isnan(signs[name, 0] + signs[name, 2003])].mean() for name in series}
    # of one trend alone 17 to 18 % of the cells change, whatever becomes of the other
    assert share["MAGT"] == pytest.approx(17.8, abs=1.5) and rising["ALT"] == pytest.approx(17.8, abs=1.5)
    tier = np.where(celsius < -3, 11, np.where(celsius <= -1.5, 21, 31))
    ranks = [np.where(celsius <= 3, tier + sum((signs[name, first] > 0).astype(int) for name in series), 0)
             for first in (0, 2003)]
    for first, expected in zip((0, 2003), ranks):
        np.testing.assert_array_equal(np.nan_to_num(read_raster(maps[first])), expected)
    table = run("compareprofiles", {"FIRST": maps[0], "SECOND": maps[2003], "OUTPUT": str(tmp_path / "change.tif"),
                                    "OUTPUT_TABLE": str(tmp_path / "change.csv")})["OUTPUT_TABLE"]
    rows = {row["item"]: row for row in read_csv(table) if row["section"] in ("summary", "runs")}
    ranked = ranks[0] > 0
    differs = (ranks[0] != ranks[1])[ranked]
    assert rows["different rank"]["cells"] == differs.sum()
    assert rows["different rank"]["share_percent"] == pytest.approx(100 * differs.mean(), abs=0.01)
    assert 24 < 100 * differs.mean() < 32
    assert [(name, row["first"], row["second"]) for name, row in rows.items() if name.endswith("FIRST_YEAR")] == [
        (f"trendrasters ({name}_TREND): FIRST_YEAR", 0, 2003) for name in ("MAGT", "ALT")]
    assert record_in(tmp_path / "change.provenance.json")["tool"] == "compareprofiles"
