"""Times in names: the forms, sets of names, ranges, and what cannot be known from a name."""

import datetime
import itertools

import numpy as np
import pytest

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.rasters.stamp_names import (
    Ambiguous,
    Stamp,
    _agree,
    natural_order,
    stamp_in,
    stamps_in,
    years_of_span,
)
from pti_plugin.core.rasters.time_axis import DAILY, index_of, stamp_of, stamp_text

#: how a day is written, and how exact that is: 3 the day, 2 the month, 1 the year
PATTERNS = {
    "%Y-%m-%d": 3, "%Y_%m_%d": 3, "%Y.%m.%d": 3, "%Y%m%d": 3, "A%Y%j": 3, "%Y%j": 3, "%Y-%j": 3, "%Y_day%j": 3,
    "%d%b%Y": 3, "%d-%B-%Y": 3, "%Y-%b-%d": 3, "%Y%m%dT%H%M%S": 3, "%Y%m%d%H%M": 3, "%Y-%m-%dT%H:%M:%SZ": 3,
    "%Y-%m": 2, "%Y%m": 2, "%Y_%m": 2, "%b_%Y": 2, "%B%Y": 2, "%Y%b": 2, "%Y-%B": 2, "%b %Y": 2, "%m_%Y": 2, "%m.%Y": 2,
    "%Y": 1,
}
AROUND = (("lst_", ".v2"), ("CCI-", "-fv05.0"), ("", ""), ("MOD10CM.", ".061.2020039000000"), ("x5km_", "_north"))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("around", AROUND)
def test_every_form_is_read_as_it_was_written(pattern, around):
    rng = np.random.default_rng(len(pattern))
    days = sorted(datetime.date(1980, 1, 1) + datetime.timedelta(int(day)) for day in rng.integers(0, 14600, 40))
    days += [datetime.date(2000, 2, 29), datetime.date(2004, 12, 31), datetime.date(1999, 12, 31)]
    moments = [datetime.datetime(day.year, day.month, day.day, 13, 30, 15) for day in days]
    names = [around[0] + moment.strftime(pattern) + around[1] for moment in moments]
    if pattern.startswith("%m") and around[1].startswith(".061"):
        # 01.1980.061 holds more than one can tell
        names = [name.replace(".061", "-north") for name in names]
    exact = PATTERNS[pattern]
    for texts in (names, *([name] for name in names if exact > 1 or ".061" not in name)):
        found, notes = stamps_in(texts)
        for text, stamp, day in zip(texts, found, days if texts is names else [days[names.index(texts[0])]]):
            assert stamp is not None, text
            assert index_of(stamp, 1) == day.year, text
            assert index_of(stamp, 12) == (day.year * 12 + day.month - 1 if exact > 1 else None), text
            assert index_of(stamp, DAILY) == (stamp_of(day.isoformat(), DAILY) if exact > 2 else None), text
            assert index_of(stamp, 46) == (
                day.year * 46 + (day.timetuple().tm_yday - 1) // 8 if exact > 2 else None), text
        assert notes == []


@pytest.mark.parametrize(("text", "period", "expected"), [
    ("A2000060", 12, "2000-02"), ("A2000061", 12, "2000-03"), ("A2001060", 12, "2001-03"), ("A2004366", 12, "2004-12"),
    ("2000_day366", DAILY, "2000-12-31"), ("2000-02-29", 12, "2000-02"),
])
def test_days_of_leap_years_lie_in_their_month(text, period, expected):
    assert stamp_text(stamp_of(text, period), period) == expected


@pytest.mark.parametrize("text", [
    "m_1234_x", "2001-02-30", "A2001366", "20011301", "marsh", "Mayotte_2", "2020083000000", "x_1997-2021", "123200001",
    "UiO_PEX_MAGTM_2000_2016_NH", "200001-201612", "20000101-20161231", "12.13.199", "h20v01", "wc2.1_30s_elev",
])
def test_what_is_no_time(text):
    assert stamp_in(text) is None


def test_a_version_or_the_years_of_a_product_are_no_stamps():
    for before, after in (("UiO_20181128_2000_2016_", "_v20190101"), ("cci_1997-2021_", ""), ("v2015_", "_2020-05"),
                          ("T1999_", ""), ("", "_made1998")):
        names = [f"{before}{year}{after}" for year in range(1990, 2010)]
        assert [stamp.year for stamp in stamps_in(names)[0]] == list(range(1990, 2010))
        months = [f"{before}{year}-{month:02d}{after}" for year in (1998, 1999) for month in range(1, 13)]
        assert [index_of(stamp, 12) for stamp in stamps_in(months)[0]] == list(range(1998 * 12, 2000 * 12))
    assert {stamp.year for stamp in stamps_in(["UiO_2000_2016_a", "UiO_2000_2016_b"])[0] if stamp} == set()


@pytest.mark.parametrize("join", ["-", "_", "-to-", "_to_"])
@pytest.mark.parametrize("form", ["{0}{join}{1}", "{0}{join}{2:02d}", "{0}07{join}{1}06", "{0}0701{join}{1}0630",
                                  "{0}-07-01{join}{1}-06-30"])
def test_winters_are_named_after_their_first_year(form, join):
    if "2:02d" in form and "to" in join or form.startswith("{0}-07") and join == "-":
        return
    years = [year for year in range(1990, 2015) if year not in (1995, 1996, 2003)]
    names = ["snow_" + form.format(year, year + 1, (year + 1) % 100, join=join) + "_v1" for year in years]
    found, _ = stamps_in(names)
    assert [index_of(stamp, 1) for stamp in found] == years
    if "07" not in form:
        assert [index_of(stamp, 12) for stamp in found] == [None] * len(years)


def test_ranges_are_stamps_only_where_they_make_a_series():
    assert [stamp.year for stamp in stamps_in([f"x_{year}-{year + 4}" for year in range(1980, 2020, 5)])[0]] == list(
        range(1980, 2020, 5))
    # of one name alone, or of all names alike
    assert stamps_in(["x_1997-1998"])[0] == [None]
    assert stamps_in(["x_1997-1998_a", "x_1997-1998_b"])[0] == [None, None]
    # of unequal length, or in some names only
    for names in (["x_1997-2002", "x_2003-2021"], ["x_1997-2002", "x_b"], ["x_199701-200212", "x_200301-202112"]):
        with pytest.raises(InputError, match=r"x_1997.* carries two times, 1997\w* and 2002\w*.*such as x_%Y"):
            stamps_in(names)
    # months of a range that differ in length are equal all the same
    names = [f"{year}{month:02d}01-{year}{month:02d}{days:02d}" for year, month, days in (
        (2000, 1, 31), (2000, 2, 29), (2000, 3, 31), (2001, 2, 28))]
    assert [index_of(stamp, 12) for stamp in stamps_in(names)[0]] == [24000, 24001, 24002, 24013]
    # months written in two digits stay months
    months = [f"x_{year}-{month:02d}" for year in range(2000, 2010) for month in range(1, 13)]
    assert [index_of(stamp, 12) for stamp in stamps_in(months)[0]] == list(range(24000, 24120))


@pytest.mark.parametrize("separator", [".", "-", "_", "/"])
def test_day_and_month_are_told_apart_by_numbers_above_12_alone(separator):
    days = [datetime.date(2000, 1, 5) + datetime.timedelta(day) for day in range(0, 700, 9)]
    for code, said in (("%d.%m.%Y", "day, month and year"), ("%m.%d.%Y", "month, day and year")):
        names = [f"lst_{day.strftime(code.replace('.', separator))}" for day in days]
        found, notes = stamps_in(names)
        assert [index_of(stamp, DAILY) for stamp in found] == [stamp_of(day.isoformat(), DAILY) for day in days]
        assert len(notes) == 1 and said in notes[0]
    # the first days of the months can be read in both ways, until it is stated
    firsts = [datetime.date(2000, month, 1) for month in range(1, 13)]
    names = [f"lst_{day.strftime('%d.%m.%Y'.replace('.', separator))}" for day in firsts]
    found, notes = stamps_in(names)
    assert all(isinstance(stamp, Ambiguous) for stamp in found)
    assert [index_of(stamp, 1) for stamp in found] == [2000] * 12
    with pytest.raises(InputError, match="'01.01.2000' in x can be read as day, month.*DATE_FORMAT.*%d.%m.%Y"):
        index_of(found[0], 12, "x")
    stated, _ = stamps_in(names, "%d.%m.%Y".replace(".", separator))
    assert [index_of(stamp, 12) for stamp in stated] == [24000 + month for month in range(12)]
    with pytest.raises(InputError, match="do not all have day and month in one order.*DATE_FORMAT"):
        stamps_in(["a_25.02.2000", "a_02.25.2000"])


def test_two_times_in_a_name_are_refused_unless_they_agree():
    names = [f"LC08_{day}_{made}_T1" for day, made in (("20130501", "20170310"), ("20130517", "20170311"))]
    with pytest.raises(InputError, match="LC08_20130501_20170310_T1 carries two times, 20130501 and 2017.* LC08_%Y"):
        stamps_in(names)
    found, _ = stamps_in(names, "LC08_%Y%m%d")
    assert [stamp.day for stamp in found] == [1, 17]
    agreeing = ["S2A_20170105T013442_N0204_20170105T013443", "S2A_20170112T013442_N0204_20170112T013443"]
    assert [stamp.day for stamp in stamps_in(agreeing)[0]] == [5, 12]
    # the year beside a date of that year
    assert [stamp.month for stamp in stamps_in(["2001_x_2001-07", "2002_x_2002-08"])[0]] == [7, 8]


@pytest.mark.parametrize(("date_format", "text", "expected"), [
    ("%d.%m.%Y", "lst_01.02.2000", (2000, 2, 1, 0)), ("%d%m%Y", "lst_01022000_v1", (2000, 2, 1, 0)),
    ("%m_%y", "lst_02_97", (1997, 2, 0, 0)), ("%y%m", "lst_0202", (2002, 2, 0, 0)),
    ("%j_%Y", "x_060_2000", (2000, 0, 0, 60)),
    ("%b*%Y", "Feb_north_2000", (2000, 2, 0, 0)), ("made_%Y", "2001_made_2000", (2000, 0, 0, 0)),
    ("%d. %B %Y", "x 1. february 2000", (2000, 2, 1, 0)), ("%Y", "x_b", None), ("%d.%m.%Y", "31.02.2000", None),
])
def test_a_stated_form_is_the_only_one(date_format, text, expected):
    assert stamp_in(text, date_format) == expected


@pytest.mark.parametrize("date_format", ["%m", "%Y%Y", "%Y%H", "%d", "%Y %y", "%Y%m%b", "%Y%j%d", "%Y%d", "2001"])
def test_a_malformed_form_is_refused(date_format):
    with pytest.raises(InputError, match="DATE_FORMAT is '"):
        stamp_in("2001-07-15", date_format)


def test_a_stated_form_that_stands_twice_is_refused():
    with pytest.raises(InputError, match="holds DATE_FORMAT '%Y' several times"):
        stamp_in("2001_made_2020", "%Y")


def test_numbers_and_names_of_months_tell_an_order():
    for names, expected in (
            ([f"magt_{i}" for i in (1, 10, 2)], [1, 10, 2]), (["m1a", "m02a", "m10a"], [1, 2, 10]),
            (["x_Apr", "x_Aug", "x_Jan"], [4, 8, 1]), (["x_march_5", "x_sept_5"], [3, 9]),
            (["a", "b"], None), (["m1_t1", "m2_t2"], None), (["m1", "m01"], None), (["m1", "m2_x"], None)):
        assert natural_order(names) == expected, names


def test_bands_named_by_a_range():
    assert years_of_span("lc-1992_2015-v2", 24) == list(range(1992, 2016))
    assert years_of_span("lc-1992_2015-v2", 23) is None and years_of_span("lc", 2) is None


def test_what_a_stamp_text_says_is_read_back():
    for period, year, step in itertools.product((1, 12, 46, DAILY), (1999, 2000), range(0, 360, 7)):
        index = year * period + step % period
        if period == DAILY and index % DAILY == DAILY - 1 and year % 4:
            continue
        assert stamp_of(stamp_text(index, period), period) == index


@pytest.mark.parametrize("number", [1800, 1900, 2000, 2100])
@pytest.mark.parametrize("unit", ["m", "km", "cm", "mm", "ft", "nm", "hPa", "mbar"])
def test_a_height_a_wavelength_or_a_level_is_no_year(number, unit):
    for text in (f"alt_{number}{unit}", f"{number}{unit}_mean", f"{number} {unit}", f" {number}{unit} "):
        assert stamp_in(text) is None, text
    assert stamp_in(f"t_{number}{unit}_2003") == Stamp(2003)


@pytest.mark.parametrize("text", ["ALT 2001 m", "alt_2001_cm", "2001magt", "2001_mean", "2001max", "depth 2001, m"])
def test_a_year_may_stand_before_the_unit_of_the_values(text):
    assert stamp_in(text) == Stamp(2001)


@pytest.mark.parametrize("year", [2003, 2004])
def test_a_day_of_the_year_agrees_with_its_own_month_and_date_alone(year):
    for number in range(1, 366 + (year == 2004)):
        day = datetime.date(year, 1, 1) + datetime.timedelta(number - 1)
        counted = Stamp(year, day_of_year=number)
        assert [month for month in range(1, 13) if _agree(counted, Stamp(year, month))] == [day.month]
        assert _agree(Stamp(year, day.month, day.day), counted) and _agree(Stamp(year), counted)
        assert not _agree(counted, Stamp(year, day_of_year=number % 365 + 1)) and not _agree(counted, Stamp(year + 1))
