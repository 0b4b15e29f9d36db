"""Series put in time: names against axes, orders, starts, layers without a time, and the slopes that come of it."""

import calendar
import datetime
import time

import netCDF4
import numpy as np
import pytest

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.rasters.raster import read_info
from pti_plugin.core.rasters.stamp_names import Stamp
from pti_plugin.core.rasters.time_axis import (
    DAILY,
    AxisOptions,
    dated,
    index_of,
    layer_stamps,
    named_stamps,
    series,
    stamp_of_day,
    stamp_text,
)
from pti_plugin.core.rasters.time_decoding import Moment
from pti_plugin.core.series.composites import CompositeOptions, composite_series
from pti_plugin.core.series.trends import TrendOptions, trend_rasters
from support import Log, read_raster, write_raster

#: what every trend below is
SLOPE = 0.1


def write_nc(path, held, values, units="days since 1970-01-01", **attributes):
    """Write a netCDF file with a variable ``v`` along ``time`` and return its path."""
    with netCDF4.Dataset(path, "w") as file:
        for name, places, unit in (("lat", [70.0, 69.5, 69.0], "degrees_north"),
                                   ("lon", [100.0, 100.5], "degrees_east")):
            file.createDimension(name, len(places))
            file.createVariable(name, "f8", (name,))[:] = places
            file[name].units = unit
        file.createDimension("time", len(held))
        file.createVariable("time", "f8", ("time",))[:] = held
        file["time"].setncatts({"units": units, **attributes})
        file.createVariable("v", "f4", ("time", "lat", "lon"))[:] = np.asarray(values, dtype=float)[:, None, None]
    return str(path)


def days_since_1970(*date):
    return (datetime.date(*date) - datetime.date(1970, 1, 1)).days


def write_layers(folder, values):
    """Write a raster for every (name, value) and return the paths as a folder has them, in alphabetical order."""
    return sorted(write_raster(folder / f"{name}.tif", np.full((3, 4), value), dtype="float32")
                  for name, value in values)


def trend(paths, folder, **options):
    """Return (slope, sign, log) of one cell."""
    outputs = {name: str(folder / f"{name}.tif") for name in ("slope", "sign")}
    log = Log()
    with Staging(paths) as staging:
        trend_rasters(paths, outputs, staging, log, TrendOptions(**options))
        staging.commit()
    return read_raster(outputs["slope"])[1, 1], read_raster(outputs["sign"])[1, 1], log


def rises(paths, folder, **options):
    """Say that the trend is the right one and return its log."""
    slope, sign, log = trend(paths, folder, **options)
    assert slope == pytest.approx(SLOPE, rel=2e-3) and sign == 1
    return log


def texts(paths, period, log=None, **options):
    return [stamp_text(layer.index, period) for layer in series(paths, AxisOptions(period, **options), log or Log())]


def monthly(years):
    """Yield (year, month, value) of a series that rises by SLOPE a year, with a strong season."""
    for year in years:
        for month in range(1, 13):
            yield year, month, SLOPE * (year - min(years) + (month - 1) / 12) + 10 * np.sin(month)


# names in the order of a folder --------------------------------------------------------------------------------------

MONTHS = [calendar.month_abbr[month] for month in range(13)]


@pytest.mark.parametrize("form", ["lst_{name}_{year}", "lst_{year}_{name}", "{name}{year}", "lst_{month:02d}_{year}",
                                  "lst_{year}{month:02d}", "15{name}{year}", "CHELSA_tas_{month:02d}_{year}_V.2.1"])
def test_monthly_names_give_the_right_slope(tmp_path, form):
    paths = write_layers(tmp_path, [(form.format(name=MONTHS[month], year=year, month=month), value)
                                    for year, month, value in monthly(range(2000, 2006))])
    if form != "lst_{year}{month:02d}":
        with pytest.raises(InputError, match="out of order.*SORT"):
            trend(paths, tmp_path, period=12)
    rises(paths, tmp_path, period=12, sort=True)


def test_day_first_names_are_refused_until_it_is_stated(tmp_path):
    paths = write_layers(tmp_path, [(f"lst_01.{month:02d}.{year}", value)
                                    for year, month, value in monthly(range(2000, 2006))])
    with pytest.raises(InputError, match="'01.01.2000' in lst_01.01.2000.tif can be read as day, month.*DATE_FORMAT"):
        trend(paths, tmp_path, period=12, sort=True)
    rises(paths, tmp_path, period=12, sort=True, date_format="%d.%m.%Y")


def test_day_first_names_with_a_day_above_12_say_so(tmp_path):
    paths = write_layers(tmp_path, [(f"lst_15.{month:02d}.{year}", value)
                                    for year, month, value in monthly(range(2000, 2006))])
    log = rises(paths, tmp_path, period=12, sort=True)
    assert any("15.01.2000 are read as day, month and year" in warning for warning in log.warnings)


def test_winters_keep_their_gaps(tmp_path):
    years = [year for year in range(1990, 2010) if year not in (1995, 1996, 1997, 2003)]
    for form in ("snow_{0}-{1}", "snow_{0}_{1}", "snow_{0}-{2:02d}"):
        folder = tmp_path / form.format("a", "b", 0)
        folder.mkdir()
        paths = write_layers(folder, [(form.format(year, year + 1, (year + 1) % 100), SLOPE * (year - 1990))
                                      for year in years])
        log = rises(paths, folder, min_share=0.5)
        assert any("no layer for 1995 to 1997 (3), 2003;" in warning for warning in log.warnings)
        with pytest.raises(InputError, match="PERIOD is 12, but the layers carry only years"):
            trend(paths, folder, period=12)


def test_numbers_without_years_need_a_start_and_their_order(tmp_path):
    paths = write_layers(tmp_path, [(f"magt_{number}", SLOPE * number) for number in range(1, 16)])
    with pytest.raises(InputError, match="magt_1.tif carries no time.*magt_15.tif comes before magt_2.tif.*Give START"):
        trend(paths, tmp_path)
    with pytest.raises(InputError, match="counted from START.*magt_15.tif comes before magt_2.tif.*SORT"):
        trend(paths, tmp_path, start="2000")
    log = rises(paths, tmp_path, start="2000", sort=True)
    assert any("magt_1.tif as 2000 to magt_15.tif as 2014" in line for line in log.lines)
    natural = sorted(paths, key=lambda path: int(path.rpartition("_")[2][:-4]))
    assert texts(natural, 1, start="2000") == [str(year) for year in range(2000, 2015)]


def test_layers_without_a_time_are_refused(tmp_path):
    paths = write_layers(tmp_path, [(letter, 1.0) for letter in "abcdef"])
    for period in (1, 12):
        with pytest.raises(InputError, match="a.tif carries no time that can be read.*START.*DATE_FORMAT"):
            trend(paths, tmp_path, period=period)
    bands = write_raster(tmp_path / "bands.tif", np.ones((6, 3, 4)), dtype="float32")
    with pytest.raises(InputError, match="bands.tif band 1 carries no time"):
        trend([bands], tmp_path)
    assert texts([bands], 1, start="1990") == [str(year) for year in range(1990, 1996)]


def test_a_start_that_the_stamps_contradict_is_said(tmp_path):
    paths = write_layers(tmp_path, [(f"magt_{year}", SLOPE * year) for year in (2000, 2001, 2002, 2004)])
    log = Log()
    assert texts(paths, 1, log, start="2000") == ["2000", "2001", "2002", "2003"]
    assert ["magt_2004.tif carries the time 2004, but counted from START it is 2003" in warning
            for warning in log.warnings] == [True]
    with pytest.raises(InputError, match="out of order: magt_2002.tif"):
        texts(paths[::-1], 1, start="2000")
    assert texts(paths[::-1], 1, start="2000", sort=True)[0] == "2000"
    # what a start agrees with needs no word, and what it makes clear is no fault
    log = Log()
    texts(paths[:3], 1, log, start="2000")
    assert log.warnings == []
    paths = write_layers(tmp_path, [(f"b_01.{month:02d}.2000", 1.0) for month in range(1, 13)])
    assert texts(paths, 12, start="2000-01") == [f"2000-{month:02d}" for month in range(1, 13)]


def test_a_composite_needs_a_time_where_order_or_years_matter(tmp_path):
    paths = write_layers(tmp_path, [(letter, float(place % 3)) for place, letter in enumerate("abcd")])

    def make(series_output=None, **options):
        log = Log()
        with Staging(paths) as staging:
            composite_series(paths, {"composite": str(tmp_path / "mean.tif"), "series": series_output}, staging, log,
                             CompositeOptions(**options))
            staging.commit()
        return read_raster(tmp_path / "mean.tif")[0, 0], log

    value, log = make()
    assert value == np.mean([0, 1, 2, 0])
    assert any("no time stamps: the mean is of the layers as they are" in warning for warning in log.warnings)
    with pytest.raises(InputError, match="years are not known.*START"):
        make(str(tmp_path / "series.tif"))
    with pytest.raises(InputError, match="years are not known.*START"):
        make(statistic="annual_maximum", period=12)
    with pytest.raises(InputError, match="not known which is the most recent.*START.*TIE to lowest_code"):
        make(statistic="majority")
    assert make(statistic="majority", tie="lowest_code")[0] == 0
    assert make(statistic="majority", start="2000")[0] == 0


# the name of a file against its time axis ----------------------------------------------------------------------------

def test_annual_files_stamped_at_their_end_are_of_the_year_in_their_name(tmp_path):
    paths = [write_nc(tmp_path / f"CCI-ALT-{year}-fv05.0.nc", [days_since_1970(year + 1, 1, 1)],
                      [SLOPE * (year - 1997)], standard_name="time") for year in range(1997, 2005)]
    log = Log()
    assert texts(paths, 1, log) == [str(year) for year in range(1997, 2005)]
    assert len(log.warnings) == 1
    for said in ("CCI-ALT-1997-fv05.0.nc", "the time axis says 1998-01-01", "the name of the file 1997", "8 files",
                 "the name counts"):
        assert said in log.warnings[0]


@pytest.mark.parametrize(("period", "form", "step"), [
    (12, "x_{0:%Y-%m}.nc", "month"), (DAILY, "x_{0:%Y%m%d}.nc", "day"), (12, "x_{0:%Y}.nc", "year")])
def test_other_files_stamped_at_their_end_are_too(tmp_path, period, form, step):
    firsts = {"month": [datetime.date(2000 + i // 12, i % 12 + 1, 1) for i in range(14)],
              "day": [datetime.date(2000, 2, 25) + datetime.timedelta(i) for i in range(8)],
              "year": [datetime.date(year, 12, 1) for year in range(2000, 2004)]}[step]
    after = {"month": lambda day: datetime.date(day.year + day.month // 12, day.month % 12 + 1, 1),
             "day": lambda day: day + datetime.timedelta(1),
             "year": lambda day: datetime.date(day.year + 1, 1, 1)}[step]
    paths = [write_nc(tmp_path / form.format(day), [days_since_1970(*after(day).timetuple()[:3])], [1.0])
             for day in firsts]
    log = Log()
    expected = [day.isoformat() if period == DAILY else f"{day:%Y-%m}" for day in firsts]
    assert texts(paths, period, log) == expected
    assert any("states the end of the interval" in warning for warning in log.warnings)


def test_yearly_files_of_months_stamped_at_their_ends(tmp_path):
    paths = [write_nc(tmp_path / f"tas_{year}.nc", [days_since_1970(year + month // 12, month % 12 + 1, 1)
                                                    for month in range(1, 13)], np.zeros(12)) for year in (2000, 2001)]
    log = Log()
    assert texts(paths, 12, log) == [f"{year}-{month:02d}" for year in (2000, 2001) for month in range(1, 13)]
    assert any("tas_2000.nc: the time axis says 2001-01-01, the name of the file 2000" in warning
               for warning in log.warnings)


def test_any_other_difference_is_said_and_the_axis_counts(tmp_path):
    paths = [write_nc(tmp_path / f"x_{year + 3}.nc", [days_since_1970(year, 7, 1)], [1.0])
             for year in range(1990, 1996)]
    log = Log()
    assert texts(paths, 1, log) == [str(year) for year in range(1990, 1996)]
    assert len(log.warnings) == 1 and "says 1990-07-01, the name of the file 1993 (6 files" in log.warnings[0]
    assert log.warnings[0].endswith("the time axis counts.")
    described = [write_raster(tmp_path / f"y_{year}.tif", np.ones((3, 4)), dtype="float32",
                              descriptions=[str(year + 1)]) for year in range(1990, 1996)]
    log = Log()
    assert texts(described, 1, log) == [str(year) for year in range(1991, 1997)]
    assert "the band says 1991, the name of the file 1990" in log.warnings[0]


def test_names_that_agree_or_say_nothing_bring_no_word(tmp_path):
    for number, (name, held) in enumerate((
            ("x_{0}", [(1, 1)]), ("x_{0}", [(12, 31)]), ("x_{0}-07", [(7, 15)]), ("A{0}182", [(7, 1)]),
            ("v2019_{0}", [(7, 1)]), ("x_2019", [(7, 1)]), ("x", [(7, 1)]), ("x_1990-2019_v{0}", [(1, 1), (6, 1)]))):
        log = Log()
        paths = []
        for year in (2001, 2002, 2003):
            folder = tmp_path / f"{number}_{year}"
            folder.mkdir()
            paths.append(write_nc(folder / f"{name.format(year)}.nc", [days_since_1970(year, *day) for day in held],
                                  np.ones(len(held))))
        texts(paths, 1 if len(held) == 1 else 12, log)
        assert [warning for warning in log.warnings if "no layer for" not in warning] == [], name


def test_ambiguous_names_do_not_matter_where_the_axis_tells(tmp_path):
    paths = [write_nc(tmp_path / f"x_{year}0101_{2030 - year}0305.nc", [days_since_1970(year, 1, 1)], [1.0])
             for year in range(2001, 2006)]
    assert texts(paths, 1) == [str(year) for year in range(2001, 2006)]


# gaps, duplicates, mixtures ------------------------------------------------------------------------------------------

def test_gaps_of_an_axis_keep_the_slope(tmp_path):
    years = [year for year in range(1990, 2020) if not 2000 <= year <= 2005]
    path = write_nc(tmp_path / "a.nc", [year * 10000 + 701 for year in years],
                    [SLOPE * (year - 1990) for year in years], units="day as %Y%m%d.%f")
    log = rises([path], tmp_path, min_share=0.5)
    assert any("no layer for 2000 to 2005 (6);" in warning for warning in log.warnings)


def test_a_daily_gap_on_29_february_is_told_for_calendars_without_it(tmp_path):
    path = write_nc(tmp_path / "a.nc", np.arange(730.0), np.zeros(730), units="days since 2000-01-01",
                    calendar="noleap")
    log = Log()
    texts([path], DAILY, log)
    assert log.warnings == ["The series has no layer for 2000-02-29; the gap is kept in the time axis."]


def test_times_in_a_row_are_told_as_first_and_last():
    days = [stamp_of_day(datetime.date(2003, 2, 26) + datetime.timedelta(day)) for day in range(5)]
    assert named_stamps(days, DAILY) == "2003-02-26 to 2003-03-02 (5)"
    assert named_stamps([24, 25, 30, 36, 37, 38], 12) == "2-01, 2-02, 2-07, 3-01 to 3-03 (3)"
    assert named_stamps(range(2000, 2060, 2), 1).endswith("2036, 2038 and 10 more")


def test_layers_let_through_without_a_time_have_none(tmp_path):
    paths = write_layers(tmp_path, [(letter, 1.0) for letter in "ab"])
    layers = series(paths, AxisOptions(1, undated=True), Log())
    assert [layer.index for layer in layers] == [None, None] and not dated(layers)


def test_years_of_any_length_can_be_placed(tmp_path):
    path = write_nc(tmp_path / "a.nc", np.arange(20.0), np.zeros(20), units="years since 0850-01-01", calendar="noleap")
    assert [layer.index for layer in series([path], AxisOptions(1), Log())] == list(range(850, 870))


def test_many_bands_are_decoded_at_once(tmp_path):
    path = write_nc(tmp_path / "a.nc", np.arange(7300.0), np.zeros(7300), units="days since 1990-01-01")
    info = read_info(path)
    start = time.process_time()
    found = layer_stamps([info], DAILY, Log())
    assert len(set(found)) == 7300 and time.process_time() - start < 2


@pytest.mark.parametrize("period", [2, 4, 24, 36, 52, 73, 365])
def test_steps_of_a_year_are_of_equal_length_and_take_every_day(period):
    for year in (2003, 2004):
        for number in range(1, 366 + (year == 2004)):
            day = datetime.date(year, 1, 1) + datetime.timedelta(number - 1)
            # the last day of a leap year is of the last step
            expected = [year * period + max(step for step in range(period) if step * length / period <= number - 1)
                        for length in (365, 360)]
            for moment in (Stamp(year, day_of_year=number), Stamp(year, day.month, day.day),
                           Moment(year, day.month, day.day, number, 365)):
                assert index_of(moment, period) == expected[0], (moment, period)
            if number <= 360:
                assert index_of(Moment(year, 1 + (number - 1) // 30, 1, number, 360), period) == expected[1]
    assert index_of(Stamp(2003, 7), period) is None
