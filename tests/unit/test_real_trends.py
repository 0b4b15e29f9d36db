"""Trends of real series equal pymannkendall cell by cell: NDVI, temperature, and ground temperature of sites."""

import csv

import numpy as np
import pymannkendall
import pytest
from osgeo import gdal

from pti_plugin.core.series.mann_kendall import NUMBA, NUMPY, engines, mann_kendall


@pytest.fixture(params=(NUMBA, NUMPY))
def engine(request):
    if request.param not in engines():
        pytest.skip("numba is not installed")
    return request.param


def compare(values, period, engine, expected, slope_tolerance=1e-9):
    """Assert that the trends of the columns of ``values`` (steps, series) are the ``expected`` of the reference."""
    trend = mann_kendall(values, period, engine=engine)
    for i, result in enumerate(expected):
        assert trend.s[i] == result.s
        # the reference keeps one digit less in the far tail, as 2 (1 - Phi)
        for ours, theirs in ((trend.variance[i], result.var_s), (trend.z[i], result.z), (trend.p[i], result.p)):
            assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-15)
        assert trend.slope[i] == pytest.approx(result.slope, rel=slope_tolerance,
                                               abs=slope_tolerance * np.nanmax(np.abs(values[:, i])))
    return trend


def seasonal(values, period):
    return [pymannkendall.seasonal_test(column.astype(np.float64), period=period) for column in values.T]


def annual(values):
    return [pymannkendall.original_test(column) for column in values.T]


@pytest.fixture(scope="module")
def ndvi(shared_data):
    """GIMMS NDVI of the Brooks Range, 360 months from 1982-01, every second cell with data, and the reference."""
    path = shared_data / "ndvi" / "gimms_ndvi3g_monthly_1982-2011_brooksrange_1-12deg.tif"
    months = gdal.Open(str(path)).ReadAsArray().reshape(360, -1)
    months = months[:, (~np.isnan(months)).sum(axis=0) >= 24][:, ::2]
    return months, seasonal(months, 12)


def test_gimms_ndvi_of_360_months(ndvi, engine):
    months, expected = ndvi
    assert months.shape[1] > 250
    trend = compare(months, 12, engine, expected, 1e-6)
    compare(months.astype(np.float64), 12, engine, expected)
    # snow gives the same value winter after winter: ties, which the plain variance of 12 seasons of 30 years lacks
    assert (trend.variance < 12 * 30 * 29 * 65 / 18).any()
    assert (trend.p < 0.05).any() and (trend.p > 0.05).any()


@pytest.fixture(scope="module")
def temperature(shared_data):
    """NCEP 2 m temperature, 783 months from 1948-01 (the last year has three), every 24th cell, and the reference."""
    path = shared_data / "temperature" / "ncep_r1_t2m_monthly_1948-2013_2.5deg_45N_rank20.nc"
    months = gdal.Open(str(path)).ReadAsArray().reshape(783, -1)[:, ::24]
    return months, seasonal(months, 12)


def test_ncep_temperature_of_783_months(temperature, engine):
    months, expected = temperature
    assert months.shape[1] == 120 and not np.isnan(months).any()
    compare(months, 12, engine, expected, 1e-6)
    trend = compare(months.astype(np.float64), 12, engine, expected)
    # the Arctic warms: 1948 to 2013 most cells rise significantly
    assert ((trend.p < 0.05) & (trend.s > 0)).mean() > 0.5


def number(text):
    return np.nan if text in ("NA", "") else float(text.replace(",", "."))


def by_year(rows, site, value):
    """Return (years, series): one column a site, its mean of ``value`` in each year, NaN where it has none."""
    found = {}
    for row in rows:
        measured = number(row[value])
        if not np.isnan(measured):
            found.setdefault(site(row), {}).setdefault(int(row["Year"]), []).append(measured)
    years = sorted({year for values in found.values() for year in values})
    place = {year: i for i, year in enumerate(range(years[0], years[-1] + 1))}
    series = np.full((len(place), len(found)), np.nan)
    for column, values in enumerate(found.values()):
        for year, measured in values.items():
            series[place[year], column] = np.mean(measured)
    return series[:, (~np.isnan(series)).sum(axis=0) >= 4]


def rows_of(path, separator):
    with open(path, encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream, delimiter=separator))


@pytest.fixture(scope="module", params=[("Temp", 300), ("MAGT_Permafrost_cci", 200)], ids=lambda param: param[0])
def ground(request, shared_data):
    """Annual ground temperature by site and depth, every third series, and the reference."""
    value, least = request.param
    rows = rows_of(shared_data / "insitu" / "pvir_MAGT_inSitu_v3_2020.csv", ";")
    series = by_year(rows, lambda row: (row["cci_ID"], row["Depth"]), value)[:, ::3]
    assert series.shape[1] >= least and np.isnan(series).any()
    return series, annual(series)


@pytest.fixture(scope="module", params=["Depth", "ALT_Permafrost_cci"])
def thaw(request, shared_data):
    """Annual thaw depth by site, and the reference."""
    rows = rows_of(shared_data / "insitu" / "pvir_inSitu_alt.csv", ",")
    series = by_year(rows, lambda row: (row["Source"], row["Code"], row["Name"]), request.param)
    assert series.shape[1] >= 100 and np.isnan(series).any()
    return series, annual(series)


def test_ground_temperature_of_sites_with_gaps(ground, engine):
    series, expected = ground
    compare(series, 1, engine, expected)


def test_thaw_depth_of_sites_with_gaps(thaw, engine):
    series, expected = thaw
    compare(series, 1, engine, expected)
