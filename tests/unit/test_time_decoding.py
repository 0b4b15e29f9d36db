"""Coordinates of time in files, decoded: calendars, units, names, bounds, and ways into the file.

The references are cftime and xarray used directly, and dates known from how a file was made.
"""

import calendar as gregorian
import datetime
import itertools

import cftime
import netCDF4
import numpy as np
import pytest
import xarray
from osgeo import gdal, osr

from pti_plugin.core.common import packages
from pti_plugin.core.common.errors import DependencyError, InputError
from pti_plugin.core.rasters.containers import georeferenced
from pti_plugin.core.rasters.dimensions import Dimension, parse_select, selected_bands, varying
from pti_plugin.core.rasters.raster import read_info
from pti_plugin.core.rasters.time_axis import DAILY, AxisOptions, layer_stamps, series, stamp_of, stamp_text
from pti_plugin.core.rasters.time_decoding import Moment, decode, is_time, time_dimension
from support import Log, write_raster

CALENDARS = ("standard", "gregorian", "proleptic_gregorian", "noleap", "365_day", "all_leap", "366_day", "360_day",
             "julian")
UNITS = ("microseconds", "milliseconds", "seconds", "minutes", "hours", "days", "msec", "s", "hr", "d")
NAMES = ("time", "valid_time", "T", "year", "day", "date", "step_of_record")
REFERENCES = ("1850-01-01", "1970-01-01 00:00:00", "1900-01-01 12:00:0.0", "1990-06-15T06:30:00Z", "1-1-1 00:00:00")


def write_nc(path, coordinates, values=None, more=()):
    """Write a netCDF file of one variable ``v`` and return its path.

    ``coordinates``: {name: (values, attributes)} of the outer dimensions; ``more``: (name, dimensions, values,
    attributes) of further variables.
    """
    shape = [len(held) for held, _ in coordinates.values()]
    with netCDF4.Dataset(path, "w") as file:
        for name, held, units in (("lat", [70.0, 69.5, 69.0], "degrees_north"),
                                  ("lon", [100.0, 100.5], "degrees_east")):
            file.createDimension(name, len(held))
            file.createVariable(name, "f8", (name,))[:] = held
            file[name].units = units
        for name, (held, attributes) in coordinates.items():
            held = np.asarray(held)
            file.createDimension(name, len(held))
            variable = file.createVariable(name, str if held.dtype.kind in "OU" else held.dtype, (name,))
            variable[:] = held.astype(object) if held.dtype.kind in "OU" else held
            variable.setncatts(attributes)
        for name, dimensions, held, attributes in more:
            held = np.asarray(held)
            for dimension, size in zip(dimensions, held.shape):
                if dimension not in file.dimensions:
                    file.createDimension(dimension, size)
            variable = file.createVariable(name, held.dtype, dimensions)
            variable[...] = held
            variable.setncatts(attributes)
        variable = file.createVariable("v", "f4", (*coordinates, "lat", "lon"))
        variable[:] = (np.zeros(shape) if values is None else np.asarray(values))[..., None, None]
    return str(path)


def stamps(path, period, log=None, **options):
    """Return the stamps of a raster as texts."""
    layers = series([str(path)], AxisOptions(period, **options), log or Log())
    return [stamp_text(layer.index, period) for layer in layers]


def moments(path):
    info = read_info(str(path))
    return decode(time_dimension(info.dimensions), info.name).moments


@pytest.mark.parametrize("calendar", CALENDARS)
def test_every_calendar_unit_and_name_is_decoded_as_cftime_does(tmp_path, calendar):
    rng = np.random.default_rng(len(calendar))
    # every unit with every date to count from, over any two calendars in turn
    cases = list(itertools.product(UNITS, REFERENCES))[CALENDARS.index(calendar) % 2::2]
    for place, (unit, reference) in enumerate(cases):
        name = NAMES[place % len(NAMES)]
        units = f"{unit} since {reference}"
        years = np.sort(rng.choice(np.arange(1951, 2049), 5, replace=False))
        dates = [cftime.datetime(int(year), int(rng.integers(1, 13)), int(rng.integers(1, 29)), int(rng.integers(24)),
                                 int(rng.integers(60)), calendar=calendar) for year in years]
        held = cftime.date2num(dates, units, calendar)
        attributes = {"units": units, "calendar": calendar}
        if place % 3 == 0:
            attributes["axis"] = "T"
        path = write_nc(tmp_path / f"{place}.nc", {name: (np.asarray(held), attributes)})
        with xarray.open_dataset(path, decode_times=xarray.coders.CFDatetimeCoder(use_cftime=True)) as data:
            expected = data[name].values
        found = moments(path)
        assert [tuple(moment[:4]) for moment in found] == [
            (date.year, date.month, date.day, date.dayofyr) for date in expected], units
        assert stamps(path, 1) == [str(year) for year in years]
        assert stamps(path, 12) == [f"{date.year}-{date.month:02d}" for date in dates]


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_every_month_of_long_series_is_its_own(tmp_path, calendar, place):
    # 1,380 months, as a climate model gives them, by their first day, their middle or their last day
    dates = []
    for year, month in itertools.product(range(1900, 2015), range(1, 13)):
        first = cftime.datetime(year, month, 1, calendar=calendar)
        dates.append({"first": first, "last": cftime.datetime(year, month, first.daysinmonth, calendar=calendar),
                      "middle": first + datetime.timedelta(days=first.daysinmonth / 2)}[place])
    units = "days since 1850-01-01"
    path = write_nc(tmp_path / "a.nc", {"time": (cftime.date2num(dates, units, calendar),
                                                 {"units": units, "calendar": calendar})})
    log = Log()
    assert stamps(path, 12, log) == [f"{year}-{month:02d}" for year in range(1900, 2015) for month in range(1, 13)]
    assert log.warnings == []


def test_days_of_other_calendars(tmp_path):
    units = "days since 2000-01-01"
    path = write_nc(tmp_path / "noleap.nc", {"time": (np.arange(730.0), {"units": units, "calendar": "noleap"})})
    found = stamps(path, DAILY, Log())
    expected = [datetime.date(2000, 1, 1) + datetime.timedelta(day) for day in range(731)]
    assert found == [day.isoformat() for day in expected if (day.month, day.day) != (2, 29)]
    # each of 365 days has a step of its own
    assert len({layer.index for layer in series([path], AxisOptions(365), Log())}) == 730
    path = write_nc(tmp_path / "360.nc", {"time": (np.arange(360.0), {"units": units, "calendar": "360_day"})})
    with pytest.raises(InputError, match="2000-02-30 of its own calendar.*PERIOD to the days of its year, 360"):
        stamps(path, DAILY)
    indices = [layer.index for layer in series([path], AxisOptions(360), Log())]
    assert indices == list(range(2000 * 360, 2001 * 360))


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day"])
def test_composites_of_8_days_keep_their_place_in_the_year(tmp_path, calendar):
    dates = [cftime.datetime(year, 1, 1, calendar=calendar) + datetime.timedelta(days=8 * step)
             for year in (2000, 2001) for step in range(45)]
    units = "hours since 1900-01-01"
    path = write_nc(tmp_path / "a.nc", {"time": (cftime.date2num(dates, units, calendar),
                                                 {"units": units, "calendar": calendar})})
    assert [layer.index for layer in series([path], AxisOptions(46), Log())] == [
        year * 46 + step for year in (2000, 2001) for step in range(45)]


@pytest.mark.parametrize(("held", "attributes", "period", "expected"), [
    # absolute forms, years, parts of years
    ([19900701.0, 19910701.25], {"units": "day as %Y%m%d.%f"}, 12, ["1990-07", "1991-07"]),
    ([20000229, 20000331], {"units": "YYYYMMDD"}, DAILY, ["2000-02-29", "2000-03-31"]),
    ([20000229, 20000331], {}, 12, ["2000-02", "2000-03"]),
    ([199012.0, 199101.0], {"units": "month as %Y%m.%f"}, 12, ["1990-12", "1991-01"]),
    ([1990, 1991, 1995], {"units": "year"}, 1, ["1990", "1991", "1995"]),
    ([1990, 1991, 1995], {"units": "Year", "axis": "Z"}, 1, ["1990", "1991", "1995"]),
    ([1990.0, 1991.0], {"units": "1"}, 1, ["1990", "1991"]),
    ([1990.0, 1990.5, 1991.0], {"units": "years"}, 12, ["1990-01", "1990-07", "1991-01"]),
    ([2000 + month / 12 for month in range(25)], {"units": "year"}, 12,
     [f"{2000 + month // 12}-{month % 12 + 1:02d}" for month in range(25)]),
    (np.round([2000 + (month + 0.5) / 12 for month in range(24)], 3), {}, 12,
     [f"{2000 + month // 12}-{month % 12 + 1:02d}" for month in range(24)]),
    # months and years are those of the calendar
    (np.arange(1440), {"units": "months since 1850-01-01"}, 12,
     [f"{1850 + month // 12}-{month % 12 + 1:02d}" for month in range(1440)]),
    (np.arange(1440) + 0.5, {"units": "months since 1850-01-01 00:00:00", "calendar": "360_day"}, 12,
     [f"{1850 + month // 12}-{month % 12 + 1:02d}" for month in range(1440)]),
    (np.arange(600) + 0.5, {"units": "months since 1960-01-01"}, 12,
     [f"{1960 + month // 12}-{month % 12 + 1:02d}" for month in range(600)]),
    (np.arange(24), {"units": "month since 1960-01-15"}, 12,
     [f"{1960 + month // 12}-{month % 12 + 1:02d}" for month in range(24)]),
    (np.round(np.arange(60) / 12, 4), {"units": "years since 1960-01-01"}, 12,
     [f"{1960 + month // 12}-{month % 12 + 1:02d}" for month in range(60)]),
    # a thousandth of a month beside a whole one is no rounding any more
    ([-0.001, 0.999], {"units": "months since 2000-01-01"}, 12, ["1999-12", "2000-01"]),
    ([-0.0009, 0.9991], {"units": "months since 2000-01-01"}, 12, ["2000-01", "2000-02"]),
    (np.arange(40), {"units": "years since 1960-07-01"}, 1, [str(year) for year in range(1960, 2000)]),
    (np.arange(40) + 0.5, {"units": "years since 1960-01-01"}, 12, [f"{year}-07" for year in range(1960, 2000)]),
    # more units and dates to count from
    (np.array([0, 10]), {"units": "days since 1990-01-01", "scale_factor": 36.5, "add_offset": 31.0}, 12,
     ["1990-02", "1991-02"]),
    (np.array([0, 53, 105]), {"units": "weeks since 1990-01-01"}, 1, ["1990", "1991", "1992"]),
    (np.array([631152000, 946684800]) * 10 ** 9, {"units": "nanoseconds since 1970-01-01"}, 12, ["1990-01", "2000-01"]),
    ([0, 31], {"units": "days since 1990"}, 12, ["1990-01", "1990-02"]),
    ([0, 31], {"units": "days since 19900101"}, 12, ["1990-01", "1990-02"]),
    ([0, 31], {"units": "days since 1990/1/1"}, 12, ["1990-01", "1990-02"]),
    ([0, 31], {"units": "DAYS SINCE 1990-01-01 UTC"}, 12, ["1990-01", "1990-02"]),
    ([15.0, 39.0], {"units": "hours since 1899-12-31"}, DAILY, ["1899-12-31", "1900-01-01"]),
    ([7.0, 31.0], {"units": "hours since 1899-12-31"}, DAILY, ["1899-12-31", "1900-01-01"]),
    ([726834.0, 727199.0], {"units": "days since 0000-01-01", "calendar": "proleptic_gregorian"}, 1, ["1990", "1991"]),
])
def test_what_cftime_leaves_open(tmp_path, held, attributes, period, expected):
    path = write_nc(tmp_path / "a.nc", {"time": (np.asarray(held), attributes)})
    assert stamps(path, period) == expected


@pytest.mark.parametrize("units", ["days since 1970-01-01 00:00 +06:00", "hours since 1970-01-01 00:00:00 -7",
                                   "seconds since 1970-01-01 00:00 +01:00"])
def test_zones_of_time_count(tmp_path, units):
    dates = [cftime.datetime(2000, month, 1) for month in range(1, 13)]
    path = write_nc(tmp_path / "utc.nc", {"time": (cftime.date2num(dates, units), {"units": units})})
    assert stamps(path, 12) == [f"2000-{month:02d}" for month in range(1, 13)]
    # months that begin at midnight of the zone itself
    local = cftime.date2num(dates, units.split(" 00:00")[0])
    path = write_nc(tmp_path / "local.nc", {"time": (local, {"units": units})})
    assert stamps(path, 12) == [f"2000-{month:02d}" for month in range(1, 13)]


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("units", ["hours since 1900-01-01", "days since 1850-01-01", "seconds since 1970-01-01",
                                   "days since 1-1-1"])
def test_a_number_rounded_below_midnight_is_the_day_it_means(tmp_path, kind, units):
    dates = [cftime.datetime(year, month, 1, calendar="proleptic_gregorian") for year in range(1980, 2020)
             for month in range(1, 13)]
    exact = cftime.date2num(dates, units, "proleptic_gregorian").astype(float)
    held = np.nextafter(exact.astype(kind), np.zeros(1, kind))
    path = write_nc(tmp_path / "a.nc", {"time": (held, {"units": units, "calendar": "proleptic_gregorian"})})
    assert stamps(path, 12) == [f"{date.year}-{date.month:02d}" for date in dates]


def test_the_last_second_of_a_year_stays_in_it(tmp_path):
    dates = [cftime.datetime(year, 12, 31, 23, 59, 59) for year in range(1996, 2006)]
    for units in ("seconds since 1970-01-01", "days since 1970-01-01", "milliseconds since 1970-01-01"):
        path = write_nc(tmp_path / "a.nc", {"time": (cftime.date2num(dates, units), {"units": units})})
        assert stamps(path, 12) == [f"{year}-12" for year in range(1996, 2006)]


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day"])
@pytest.mark.parametrize("step", ["day", "month", "year", "winter"])
@pytest.mark.parametrize("shift", [0.0, -0.5])
@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_bounds_say_which_interval_a_stamp_stands_for(tmp_path, calendar, step, shift, where):
    def date(*parts):
        return cftime.datetime(*parts, calendar=calendar)

    first = {"day": [date(2000, 2, 20) + datetime.timedelta(days=i) for i in range(30)],
             "month": [date(2000 + i // 12, i % 12 + 1, 1) for i in range(30)],
             "year": [date(1996 + i, 1, 1) for i in range(12)],
             "winter": [date(1996 + i, 7, 1) for i in range(12)]}[step]
    units = "days since 1990-01-01"
    edges = cftime.date2num(first, units, calendar).astype(float) + (shift if where == "end" else 0.0)
    bounds = np.column_stack([edges[:-1], edges[1:]])
    held = {"start": bounds[:, 0], "middle": bounds.mean(axis=1), "end": bounds[:, 1]}[where]
    path = write_nc(tmp_path / "a.nc", {"time": (held, {"units": units, "calendar": calendar, "bounds": "time_bnds"})},
                    more=[("time_bnds", ("time", "nv"), bounds, {})])
    period = {"day": 360 if calendar == "360_day" else DAILY, "month": 12}.get(step, 1)
    expected = [one.year * 360 + one.dayofyr - 1 if period == 360 else stamp_of(f"{one.year}-{one.month:02d}-"
                f"{one.day:02d}", period) for one in first[:-1]]
    log = Log()
    layers = series([f'NETCDF:"{path}":v'], AxisOptions(period), log)
    assert [layer.index for layer in layers] == expected
    years = [one.year for one in cftime.num2date(held, units, calendar)]
    elsewhere = period == 1 and years != [one.year for one in first[:-1]]
    assert any("bounds" in line for line in log.lines) == (where == "end" or elsewhere)


def test_years_that_begin_in_another_calendar_year_than_their_stamp_are_said(tmp_path):
    edges = cftime.date2num([cftime.datetime(year, 10, 1) for year in range(1989, 1996)], "days since 1980-01-01")
    held = edges[1:] - 1
    path = write_nc(tmp_path / "a.nc", {"time": (held, {"units": "days since 1980-01-01", "bounds": "time_bnds"})},
                    more=[("time_bnds", ("time", "nv"), np.column_stack([edges[:-1], edges[1:]]), {})])
    log = Log()
    assert stamps(f'NETCDF:"{path}":v', 1, log) == [str(year) for year in range(1989, 1995)]
    assert any("bounds do, and count" in line for line in log.lines)


@pytest.mark.parametrize("kind", ["float64", "int32"])
@pytest.mark.parametrize("attribute", ["_FillValue", "missing_value"])
@pytest.mark.parametrize("bounds", [False, True])
def test_a_missing_time_is_no_day(tmp_path, kind, attribute, bounds):
    # xarray makes NaT of it; a number that far off would pass as a year before the series
    held = np.arange(0, 3650, 365, dtype=kind)
    edges = np.column_stack([held, held + 365])
    held[5] = -9999
    path = str(tmp_path / "a.nc")
    with netCDF4.Dataset(path, "w") as file:
        for name, values in (("time", held), ("nv", np.arange(2)), ("lat", [70.0, 69.0]), ("lon", [100.0, 101.0])):
            file.createDimension(name, len(values))
            if name == "nv":
                continue
            file.createVariable(name, np.asarray(values).dtype, (name,), fill_value=-9999 if (
                name, attribute) == ("time", "_FillValue") else None)
            file[name].units = {"time": "days since 1990-01-01", "lat": "degrees_north"}.get(name, "degrees_east")
            file[name].set_auto_maskandscale(False)
            file[name][:] = values
        if attribute == "missing_value":
            file["time"].missing_value = held.dtype.type(-9999)
        if bounds:
            file["time"].bounds = "time_bnds"
            file.createVariable("time_bnds", held.dtype, ("time", "nv"))[:] = edges
        file.createVariable("v", "f4", ("time", "lat", "lon"))[:] = 0
    assert np.isnat(xarray.open_dataset(path)["time"].values).sum() == 1
    place = f'NETCDF:"{path}":v' if bounds else path
    with pytest.raises(InputError, match="The time axis 'time' .* holds a value that is missing.*START"):
        stamps(place, 1, sort=True)
    assert stamps(place, 1, start="1990") == [str(year) for year in range(1990, 2000)]


def test_packed_coordinates_are_unpacked_with_their_bounds(tmp_path):
    packed = np.arange(1, 13, dtype="int16")
    edges = np.column_stack([packed - 1, packed])
    attributes = {"units": "days since 2000-01-01", "calendar": "360_day", "scale_factor": 30.0, "add_offset": 0.0}
    for own in ({}, {"scale_factor": 30.0, "add_offset": 0.0}):
        path = write_nc(tmp_path / "a.nc", {"time": (packed * 30.0, {})}, more=[
            ("time_bnds", ("time", "nv"), edges, own)])
        with netCDF4.Dataset(path, "a") as file:
            file.set_auto_scale(False)
            file["time"].setncatts({**attributes, "bounds": "time_bnds"})
            file["time"][:] = packed
        assert stamps(f'NETCDF:"{path}":v', 12) == [f"2000-{month:02d}" for month in range(1, 13)]


def test_bounds_that_a_copy_lost_are_said(tmp_path):
    units = {"units": "days since 1970-01-01", "bounds": "time_bnds"}
    held = np.array([365.0, 730.0, 1096.0])
    path = write_nc(tmp_path / "a.nc", {"time": (held, units)}, more=[
        ("time_bnds", ("time", "nv"), np.column_stack([held - 365, held]), {})])
    assert stamps(f'NETCDF:"{path}":v', 1) == ["1970", "1971", "1972"]
    for name, bands in (("whole.vrt", None), ("part.vrt", [2, 3])):
        gdal.Translate(str(tmp_path / name), f'NETCDF:"{path}":v', format="VRT", bandList=bands)
    assert stamps(tmp_path / "whole.vrt", 1) == ["1970", "1971", "1972"]
    assert stamps(tmp_path / "part.vrt", 1) == ["1971", "1972"]
    virtual = georeferenced(f'NETCDF:"{path}":v', osr.SRS_WKT_WGS84_LAT_LONG, (10, 60, 11, 62))
    assert virtual.startswith("<VRTDataset") and stamps(virtual, 1) == ["1970", "1971", "1972"]
    copy = str(tmp_path / "copy.tif")
    gdal.Translate(copy, f'NETCDF:"{path}":v')
    log = Log()
    assert stamps(copy, 1, log) == ["1971", "1972", "1973"]
    assert any("declares bounds that cannot be read from this file; its times, such as 1971-01-01" in warning
               for warning in log.warnings)


@pytest.mark.parametrize(("held", "attributes", "problem"), [
    ([0, 365], {"units": "days since 0000-01-01"}, "a year 0, which this calendar does not have"),
    ([0, 365], {"units": "days since 0000-01-01", "calendar": "standard"}, "a year 0"),
    ([0, 365], {"units": "days since 1990-02-30"}, "1990-02-30, which its calendar does not have"),
    ([0, 365], {"units": "hours since 1990-01-01 00:00 EST"}, "'00:00 EST' is no time of day"),
    ([0, 365], {"units": "days since the beginning"}, "'the beginning', which is no date"),
    ([0, 365], {"units": "days since 1990-01-01", "calendar": "none"}, "a calendar that is not known"),
    ([0, 365], {"units": "fortnights since 1990-01-01"}, "'fortnights', which is no known unit"),
    ([0, 365], {"units": "days", "axis": "T"}, "counts from no date"),
    ([0, 1], {"units": "year", "axis": "T"}, "counts from no date"),
    ([20001301, 20001302], {"units": "day as %Y%m%d.%f"}, "2000-13-01, which its calendar does not have"),
    ([0.0, np.nan], {"units": "days since 1990-01-01"}, "no number"),
    (np.array([0, 31.001, 59.001, 90.001]) * 12 / 365.242198781, {"units": "months since 2001-01-01"},
     "1.938.* months, which is 2001-02 in months of the calendar and 2001-03 in months of 30.44 days"),
])
def test_what_cannot_be_known_is_refused(tmp_path, held, attributes, problem):
    path = write_nc(tmp_path / "a.nc", {"time": (np.asarray(held), attributes)})
    with pytest.raises(InputError, match=f"The time axis 'time' of a.nc.*{problem}.*START"):
        stamps(path, 1)
    assert len(stamps(path, 1, start="1990")) == len(held)


def test_other_dimensions_are_no_time():
    for name, units in (("depth", "m"), ("lev", "hPa"), ("member", ""), ("month", "1"), ("step", "hours"),
                        ("level", "years of age")):
        assert not is_time(Dimension(name, (1.0, 2.0), units))
    for name, units in (("month", "months since 2000-01-01"), ("depth", "days since 2000-01-01"), ("year", "")):
        assert is_time(Dimension(name, (2001.0, 2002.0), units))


def test_a_time_that_varies_goes_before_one_that_does_not():
    reference = Dimension("forecast_reference_time", (0.0, 0.0), "days since 2000-01-01", standard_name="time")
    valid = Dimension("valid", (1.0, 2.0), "days since 2000-01-01")
    assert time_dimension([reference, valid]) is valid
    assert time_dimension([Dimension("depth", (1.0, 2.0), "m")]) is None


# ways into the file --------------------------------------------------------------------------------------------------

YEARS = [datetime.date(year, 7, 1) for year in range(2000, 2006)]
SINCE = {"units": "days since 1970-01-01"}
HELD = np.array([(day - datetime.date(1970, 1, 1)).days for day in YEARS], dtype=float)
EXPECTED = [str(day.year) for day in YEARS]


def test_the_time_survives_virtual_rasters_and_copies(tmp_path):
    path = write_nc(tmp_path / "a.nc", {"time": (HELD, SINCE)})
    gdal.Translate(str(tmp_path / "copy.vrt"), path, format="VRT")
    gdal.Translate(str(tmp_path / "copy.tif"), path)
    gdal.BuildVRT(str(tmp_path / "built.vrt"), [path])
    gdal.Warp(str(tmp_path / "warped.vrt"), path, format="VRT", srcSRS="EPSG:4326", dstSRS="EPSG:6931")
    gdal.Translate(str(tmp_path / "twice.vrt"), str(tmp_path / "built.vrt"), format="VRT")
    gdal.Translate(str(tmp_path / "part.vrt"), str(tmp_path / "built.vrt"), format="VRT", bandList=[3, 2, 5])
    for name in ("a.nc", "copy.vrt", "copy.tif", "built.vrt", "warped.vrt", "twice.vrt"):
        infos = [read_info(str(tmp_path / name), "EPSG:4326")]
        assert [str(index) for index in layer_stamps(infos, 1, Log())] == EXPECTED, name
    assert layer_stamps([read_info(str(tmp_path / "part.vrt"), "EPSG:4326")], 1, Log()) == [2002, 2001, 2004]


def test_a_virtual_raster_of_many_files_has_their_times(tmp_path):
    single = [write_nc(tmp_path / f"{letter}.nc", {"time": (HELD[i:i + 1], SINCE)})
              for i, letter in enumerate("fbdace")]
    gdal.BuildVRT(str(tmp_path / "stack.vrt"), single, separate=True, outputSRS="EPSG:4326")
    assert stamps(tmp_path / "stack.vrt", 1) == EXPECTED
    named = [write_raster(tmp_path / f"lst_{year}.tif", np.ones((3, 4)), dtype="float32") for year in EXPECTED]
    gdal.BuildVRT(str(tmp_path / "named.vrt"), named, separate=True)
    assert stamps(tmp_path / "named.vrt", 1) == EXPECTED


def test_a_time_that_is_no_dimension_of_its_own_name(tmp_path):
    path = write_nc(tmp_path / "record.nc", {"record": (np.arange(6), {})}, more=[
        ("when", ("record",), HELD, {**SINCE, "standard_name": "time"})])
    with netCDF4.Dataset(path, "a") as file:
        file["v"].coordinates = "when lat lon"
    assert stamps(f'NETCDF:"{path}":v', 1) == EXPECTED
    path = write_nc(tmp_path / "single.nc", {}, more=[("when", (), HELD[3], {**SINCE, "standard_name": "time"})])
    with netCDF4.Dataset(path, "a") as file:
        file["v"].coordinates = "when"
    assert layer_stamps([read_info(f'NETCDF:"{path}":v')], 12, Log()) == [2003 * 12 + 6]


def test_arrays_of_hdf5_and_hdf4_have_the_times_of_their_scales(tmp_path):
    import h5py
    from pyhdf.SD import SD, SDC

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v"], file["time"] = np.zeros((6, 40, 50), "f4"), HELD
        file["time"].attrs.update(SINCE)
        file["time"].make_scale("time")
        file["v"].dims[0].attach_scale(file["time"])
    file = SD(str(tmp_path / "a.hdf"), SDC.WRITE | SDC.CREATE)
    held = file.create("v", SDC.FLOAT32, (6, 40, 50))
    held[:] = np.zeros((6, 40, 50), "f4")
    held.dim(0).setname("time")
    held.dim(0).setscale(SDC.FLOAT64, HELD.tolist())
    held.endaccess()
    scale = file.select("time")
    scale.units = SINCE["units"]
    scale.endaccess()
    file.end()
    for source in (f'HDF5:"{tmp_path / "a.h5"}"://v', str(tmp_path / "a.hdf")):
        virtual = str(tmp_path / "located.vrt")
        gdal.Translate(virtual, source, format="VRT", outputSRS="EPSG:6931", outputBounds=[0, 0, 5000, -4000])
        assert stamps(virtual, 1) == EXPECTED, source


def test_messages_of_grib_are_valid_when_they_say(tmp_path):
    data = gdal.GetDriverByName("MEM").Create("", 4, 3, 3, gdal.GDT_Float64)
    data.SetGeoTransform((100, 0.5, 0, 70, 0, -0.5))
    data.SetProjection(osr.SRS_WKT_WGS84_LAT_LONG)
    for band in range(3):
        data.GetRasterBand(band + 1).WriteArray(np.full((3, 4), 280.0))
    point, interval = ["DATA_ENCODING=IEEE_FLOATING_POINT"], ["DATA_ENCODING=IEEE_FLOATING_POINT"]
    for band in range(3):
        days = gregorian.monthrange(2000, band + 1)[1]
        shared = [f"BAND_{band + 1}_DISCIPLINE=0", f"BAND_{band + 1}_IDS=CENTER=98 SIGNF_REF_TIME=1 "
                  f"REF_TIME=2000-{band + 1:02d}-01T00:00:00Z"]
        fixed = "0 0 2 0 0 0 0 1 0 1 0 0 255 0 0"
        point += [*shared, f"BAND_{band + 1}_PDS_PDTN=0", f"BAND_{band + 1}_PDS_TEMPLATE_ASSEMBLED_VALUES={fixed}"]
        interval += [*shared, f"BAND_{band + 1}_PDS_PDTN=8", f"BAND_{band + 1}_PDS_TEMPLATE_ASSEMBLED_VALUES={fixed} "
                     f"2000 {band + 2} 1 0 0 0 1 0 0 2 2 {days} 255 0"]
    for name, options in (("point.grib2", point), ("interval.grib2", interval)):
        # a mean over a month is valid at its end, and stands for the month all the same
        gdal.GetDriverByName("GRIB").CreateCopy(str(tmp_path / name), data, options=options)
        assert stamps(tmp_path / name, 12) == ["2000-01", "2000-02", "2000-03"], name


def test_a_missing_cftime_is_one_sentence(tmp_path, monkeypatch):
    path = write_nc(tmp_path / "a.nc", {"time": (HELD, SINCE)})

    def absent(name):
        raise ModuleNotFoundError(f"No module named '{name}'")

    decode.cache_clear()
    monkeypatch.setattr(packages.importlib, "import_module", absent)
    with pytest.raises(DependencyError, match="'cftime' is needed for reading the time axis.*pip install cftime"):
        stamps(path, 1)
    # years alone, and a start of one's own, need none
    assert stamps(path, 1, start="2000") == EXPECTED
    path = write_nc(tmp_path / "years.nc", {"year": (np.arange(2000, 2006), {})})
    assert stamps(path, 1) == EXPECTED


# several dimensions --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("order", [("time", "depth"), ("depth", "time")])
@pytest.mark.parametrize("depths", [[0.1, 1.0, 2.5], [1, 2, 3], np.array(["top", "mid, wet", "low"], dtype=object)])
def test_several_dimensions_are_chosen_from(tmp_path, order, depths):
    coordinates = {"time": (HELD, SINCE), "depth": (np.asarray(depths), {})}
    values = np.arange(6)[:, None] * 10 + np.arange(3)
    values = values if order[0] == "time" else values.T
    path = write_nc(tmp_path / "a.nc", {name: coordinates[name] for name in order}, values)
    info = read_info(path)
    listed = "depth: " + ", ".join(str(depth) if isinstance(depth, str) else f"{depth:g}" for depth in depths)
    with pytest.raises(InputError, match="differ along 2 dimensions.*SELECT.*" + listed):
        series([path], AxisOptions(1), Log())
    for place, depth in enumerate(depths):
        layers = series([path], AxisOptions(1, select=f"Depth={depth}"), Log())
        assert [layer.index for layer in layers] == list(range(2000, 2006))
        bands = gdal.Open(path)
        held = [bands.GetRasterBand(layer.band).ReadAsArray()[0, 0] for layer in layers]
        assert held == [10 * year + place for year in range(6)]
    with pytest.raises(InputError, match="SELECT is depth=7, but a.nc has no such value. Choose one of: "):
        series([path], AxisOptions(1, select="depth=7"), Log())
    with pytest.raises(InputError, match="'height', which a.nc does not have. It has .*depth"):
        series([path], AxisOptions(1, select="height=1"), Log())
    # one time of all depths, which then are no series
    assert len(selected_bands(info.name, info.dimensions, info.bands, parse_select("time=2003-07-01"))) == 3


def test_three_dimensions_need_two_choices(tmp_path):
    path = write_nc(tmp_path / "a.nc", {"time": (HELD, SINCE), "depth": ([1.0, 2.0], {"units": "m"}),
                                        "member": ([1, 2, 3], {})})
    with pytest.raises(InputError, match=r"3 dimensions.*depth=1; member=1.*depth: 1, 2 \(m\); member: 1, 2, 3"):
        stamps(path, 1)
    with pytest.raises(InputError, match="differ along 2 dimensions.*for example depth=1"):
        stamps(path, 1, select="member=3")
    assert stamps(path, 1, select="depth=2; member=3") == EXPECTED


@pytest.mark.parametrize("text", ["depth", "depth=", "=1", "depth=1; depth=2"])
def test_a_malformed_choice_is_refused(text):
    with pytest.raises(InputError, match="SELECT is .*depth=1; member=3"):
        parse_select(text)


def test_a_dimension_of_one_value_needs_no_choice(tmp_path):
    path = write_nc(tmp_path / "a.nc", {"time": (HELD, SINCE), "height": ([2.0], {"units": "m"})})
    info = read_info(path)
    assert stamps(path, 1) == EXPECTED
    assert [dimension.name for dimension in varying(info.dimensions, range(1, 7))] == ["time"]


def test_bands_that_differ_in_depth_alone_are_no_series(tmp_path):
    path = write_nc(tmp_path / "a.nc", {"depth": ([0.1, 1.0, 2.0], {"units": "m"})})
    with pytest.raises(InputError, match="a.nc band 1 carries no time.*Its bands differ along depth.*START"):
        stamps(path, 1)


def test_moments_say_how_long_their_year_is(tmp_path):
    for calendar, expected in (("standard", [366, 365]), ("noleap", [365, 365]), ("360_day", [360, 360]),
                               ("all_leap", [366, 366]), ("julian", [366, 365])):
        path = write_nc(tmp_path / "a.nc", {"time": ([0.0, 400.0], {"units": "days since 2000-01-01",
                                                                    "calendar": calendar})})
        assert [moment.days_in_year for moment in moments(path)] == expected
    assert Moment(2000).month == 0


@pytest.mark.parametrize("words, in_a_day", [
    ("nanosecond nanoseconds nsec nsecs ns", 86400e9), ("microsecond microseconds us µs", 86400e6),
    ("millisecond milliseconds msec msecs ms", 86400e3), ("second seconds sec secs s", 86400.0),
    ("minute minutes min mins", 1440.0), ("hour hours hr hrs h", 24.0), ("day days d", 1.0), ("week weeks", 1 / 7)])
def test_every_word_for_a_unit_of_time(tmp_path, words, in_a_day):
    for word in words.split():
        held = np.array([0.0, 31.0, 59.0, 365.0]) * in_a_day
        path = write_nc(tmp_path / f"{word}.nc", {"time": (held, {"units": f"{word} since 2001-01-01"})})
        assert stamps(path, DAILY) == ["2001-01-01", "2001-02-01", "2001-03-01", "2002-01-01"], word


@pytest.mark.parametrize("words, months", [("month months mon mons", 1),
                                           ("year years yr yrs common_year common_years", 12)])
def test_every_word_for_months_and_years(tmp_path, words, months):
    for word in words.split():
        path = write_nc(tmp_path / f"{word}.nc", {"time": (np.arange(4), {"units": f"{word} since 2001-01-01"})})
        expected = [f"{2001 + months * i // 12}-{months * i % 12 + 1:02d}" for i in range(4)]
        assert stamps(path, 12) == expected, word
