"""Composites of a raster series: one layer from many, and the annual series on the way there.

Method, section 2 (D1, D8, D9, D11, D13, D15 and the majority of D7) and section 9. A series of any length is read a
few layers at a time and put together year by year, so memory depends on the block and not on the length.
"""

import re
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from ..common.errors import InputError
from ..rasters.blocks import FLOAT_NODATA, OutputSpec, run_blocks
from ..rasters.gdal_errors import open_raster
from ..rasters.process_state import bounded_cache
from ..rasters.product_sources import Reading
from ..rasters.products import RECOGNISE
from ..rasters.raster import CLASS, NO_CLASS, Series, SourceReader, exact_in_float32, scaling
from ..rasters.recognition import STATED
from ..rasters.series_sources import Region, open_series
from ..rasters.time_axis import (
    DAILY,
    AxisOptions,
    date_of,
    dated,
    days_of_month,
    month_of,
    named_stamps,
    stamp_text,
    steps_a_year,
    steps_of_year,
    year_of,
)
from ..rasters.units import check_range, is_no_unit, refuse_unit_change, sample_mean, unit_named
from .gap_filling import (
    FILL_YEARS,
    LINEAR,
    LONGEST_NIGHT,
    NIGHTS,
    fill_nights,
    longest_night,
    mean_of_first,
    nearest_first,
)
from .season_gaps import USUAL, SeasonSums, scaled_days

MEAN, MAXIMUM, POSITIVE_SUM, SNOW_MEAN, FROZEN_DAYS, MAJORITY, MONTHLY = STATISTICS = (
    "mean", "annual_maximum", "annual_positive_sum", "snow_year_mean", "frozen_days", "majority", "monthly_mean")
TITLES = {MEAN: "mean of all layers", MAXIMUM: "mean of the annual maxima",
          POSITIVE_SUM: "mean of the annual sums of positive values", SNOW_MEAN: "mean of the snow-year means",
          FROZEN_DAYS: "frozen days a year", MAJORITY: "majority class", MONTHLY: "mean of the monthly means"}
#: range of the values where no preset tells it: % of snow, states of a day
EXPECTED = {SNOW_MEAN: (0.0, 100.0), FROZEN_DAYS: (0.0, 3.0)}
#: what they need: several layers a year, classes
ANNUAL, CLASSES = (MAXIMUM, POSITIVE_SUM, SNOW_MEAN, FROZEN_DAYS), (FROZEN_DAYS, MAJORITY)
DROPPED, SCALED = PARTIAL_YEARS = ("dropped", "scaled")
#: what becomes of gaps of a cell inside a year
BY_SEASON, AS_THEY_ARE = GAPS = ("by_season", "as_they_are")
RECENT, LOWEST = TIES = ("most_recent_year", "lowest_code")
#: roles of products whose frozen days are counted: the state of the whole day, and at one overpass
FREEZE_THAW, OVERPASS = "freeze_thaw", "freeze_thaw_overpass"
#: layers read at once
GROUP = 32
#: different classes a block may hold; more are numbers
MOST_CLASSES = 256
COUNT_NODATA = 65535


@dataclass(frozen=True)
class CompositeOptions:
    """``statistic`` of STATISTICS; ``period`` layers a year (365 or 366: daily); ``season_start``: month the year
    begins with, 0 for the statistic's own.

    ``fill``: missing and empty layers of years with at least ``min_share`` of their layers get the mean of the same
    season, of the FILL_YEARS nearest years or of all in ``fill_years`` ("all", "2002-2009"); other years are left out
    of annual statistics. Frozen days: days with ``frozen_code``; years with fewer than ``min_days`` valid days are
    ``partial``: dropped, or scaled up where they have ``min_share``. ``gaps`` by_season: a year of a cell counts where
    it has ``min_share`` of its seasons, and what it lacks is filled (season_gaps); as_they_are: every value counts as
    it comes. ``night`` linear: gaps of a snow year get the values between their neighbours. ``tie``: rule of the
    majority. Monthly means: months of which a cell has less than ``min_share`` of the days are nodata there.
    ``min_latitude``: cells whose centre lies south of it are nodata. ``sort``, ``start``, ``date_format`` and
    ``select`` are those of the time axis (AxisOptions); ``product`` to ``flags`` say how the files are read (Reading).
    """

    statistic: str = MEAN
    period: int = 1
    season_start: int = 0
    fill: bool = True
    fill_years: str = ""
    min_share: float = 0.75
    frozen_code: int = 0
    min_days: int = 350
    partial: str = DROPPED
    gaps: str = BY_SEASON
    night: str = LINEAR
    tie: str = RECENT
    sort: bool = False
    start: str = ""
    date_format: str = ""
    select: str = ""
    min_latitude: float = -90.0
    product: str = RECOGNISE
    products: str = ""
    variable: str = ""
    wkt: str = ""
    extent: tuple = ()
    units: str = ""
    valid: tuple = ()
    flags: tuple = ()

    @property
    def steps(self):
        """Steps a year on the time axis."""
        return steps_a_year(self.period)

    @property
    def by_season(self):
        """Whether gaps of a cell are judged season by season."""
        return self.gaps == BY_SEASON and self.period > 1 and self.statistic != MAJORITY

    @property
    def nights(self):
        """Whether gaps of a year are filled between their neighbours."""
        return self.night == LINEAR and self.statistic == SNOW_MEAN

    @property
    def first_month(self):
        """Month the year begins with."""
        return self.season_start or (7 if self.statistic == SNOW_MEAN else 1)

    def check(self):
        """Raise InputError for values out of their range and choices that do not go together."""
        for name, value, choices in (("STATISTIC", self.statistic, STATISTICS), ("TIE", self.tie, TIES),
                                     ("PARTIAL_YEARS", self.partial, PARTIAL_YEARS), ("GAPS", self.gaps, GAPS),
                                     ("NIGHT", self.night, NIGHTS)):
            if value not in choices:
                raise InputError(f"{name} is '{value}'; it must be one of {', '.join(choices)}.")
        if self.period < 1:
            raise InputError(f"PERIOD is {self.period}; it is the number of layers a year: 1 for annual, 12 for "
                             f"monthly, 46 for 8-day, 365 for daily series.")
        if not 0 <= self.season_start <= 12:
            raise InputError(f"SEASON_START is {self.season_start}; it is the month the year begins with, 1 to 12.")
        if self.statistic == FROZEN_DAYS and self.steps != DAILY:
            raise InputError(f"PERIOD is {self.period}, but frozen days are counted in daily layers. Set PERIOD to "
                             f"365.")
        if self.statistic == MONTHLY and self.steps != DAILY:
            raise InputError(f"PERIOD is {self.period}, but monthly means are made of daily layers. Set PERIOD to 365.")
        if self.statistic in ANNUAL and self.period == 1:
            raise InputError(f"PERIOD is 1, but the {TITLES[self.statistic]} needs several layers a year. Set PERIOD "
                             f"to their number, for example 12 or 46.")
        check_range(self.valid)
        if not 0 <= self.min_share <= 1:
            raise InputError(f"MIN_SHARE is {self.min_share:g}; it must lie between 0 and 1.")
        if not 1 <= self.min_days <= 365:
            raise InputError(f"MIN_DAYS is {self.min_days}; it must lie between 1 and 365.")
        self.donor_years()

    def donor_years(self):
        """Return the set of years that layers are filled from, or None for the nearest ones."""
        text = self.fill_years.strip().lower()
        if not text:
            return None
        if text == "all":
            return range(10000)
        years = set()
        for part in text.split(","):
            found = re.fullmatch(r"\s*(\d{4})(?:\s*-\s*(\d{4}))?\s*", part)
            if not found or found[2] and found[2] < found[1]:
                raise InputError(f"FILL_YEARS is '{self.fill_years}'; write years such as 2002-2009 or 2002, 2005, or "
                                 f"all.")
            years.update(range(int(found[1]), int(found[2] or found[1]) + 1))
        return years


@dataclass(frozen=True)
class Year:
    """What a year, or a month counted from year 0, is made of: ``number`` names it, ``length`` is its steps, ``layers``
    the places of its layers, and ``filled`` one tuple of donor layers for every step that is filled. ``rows`` are the
    steps of the layers inside the year, then of those filled; ``seasons`` the season of every step."""

    number: int
    length: int
    layers: tuple
    filled: tuple = ()
    rows: tuple = ()
    seasons: tuple = ()

    def expected(self, seasons):
        """Return how many steps the year has of each of so many ``seasons``."""
        return np.bincount(self.seasons, minlength=seasons)


@dataclass(frozen=True)
class CompositeKernel:
    """The arithmetic of one block. ``scales``: (scale, offset) that turn each layer as read into units;
    ``no_class``: nodata of the majority; ``names`` and ``unit`` of the layers."""

    years: tuple
    count: int
    scales: tuple
    options: CompositeOptions
    wanted: tuple
    no_class: float
    names: tuple
    unit: str = ""

    def __call__(self, arrays, window, grid):
        """Return composite, count and annual series of a block, and its tallies."""
        south = grid.south_of(self.options.min_latitude, window.row, window.rows, window.column, window.columns)
        stream = _Stream(_without(arrays["INPUT"], south), self.count, self.scales, self.options)
        shape = (window.rows, window.columns)
        if self.options.statistic == MAJORITY:
            result, number = self._majority(stream, shape)
            tally = Counter(cells=int((number > 0).sum()), empty=int((number == 0).sum()))
            return {"composite": result, "count": number, "values": number}, {"cells": tally}
        if self.options.statistic == FROZEN_DAYS:
            found = self._frozen_years(stream, shape)
        else:
            found = self._plain(stream, shape)
            self._mend(stream, found)
        refuse_unit_change([stream.levels.get(place, np.nan) for place in range(self.count)], self.names, self.unit)
        composite = np.full(shape, np.nan)
        np.divide(found.total, found.number, out=composite, where=found.number > 0)
        if found.balanced is not None:
            composite.reshape(-1)[found.balanced[0]] = found.balanced[1]
        out = {"composite": composite, "count": found.number, "values": found.own}
        if found.annual:
            out["series"] = np.stack(found.annual)
        tally = Counter(cells=int((found.number > 0).sum()), empty=int((found.number == 0).sum()),
                        positive=int((found.total > 0).sum()))
        return out, {"cells": tally, "partial": found.partial, "gaps": found.gaps}

    def _plain(self, stream, shape):
        """Return the Found of all years as they are."""
        found = Found(shape)
        for year in self.years:
            value, values, filled, added = self._year(year, stream, shape)
            found.filled += filled
            known = values > 0
            if self.options.statistic == MONTHLY:
                known = values >= max(1, self.options.min_share * year.length)
                value[~known] = np.nan
            found.own += np.where(known, values - filled, 0).astype(np.uint16)
            found.gaps["cell_years"] += int(known.sum())
            found.number += values if self.options.statistic == MEAN else known
            np.add(found.total, added, out=found.total, where=known)
            if "series" in self.wanted:
                found.annual.append(value.astype(np.float32))
        found.gaps["values"] = int(found.own.sum(dtype=np.int64))
        return found

    def _mend(self, stream, found):
        """Read the cells that have gaps again, and judge and fill these season by season."""
        options = self.options
        if not options.nights and not (options.by_season and self.years[0].seasons):
            return
        values = found.own.astype(np.int64) + found.filled
        place = np.flatnonzero((values > 0) & (values < sum(year.length for year in self.years)))
        if not place.size:
            return
        sums, own, nights = self._season_sums(stream, found.number.shape, place)
        found.gaps.update(cells_with_gaps=place.size, nights=nights)
        has_layers = np.zeros(len(sums.counts), dtype=bool)
        for year in self.years:
            has_layers[[year.seasons[row] for row in year.rows]] = True
        found.gaps["lacking"] = int(((sums.counts == 0) & has_layers[:, None]).any(axis=0).sum())
        if not options.by_season:
            # nights are filled, and every value counts
            years = sums.plain_means()
        elif options.statistic == MAXIMUM:
            years = sums.maxima(options.min_share)
            found.gaps["hidden_peaks"] = int(sums.hidden_peaks().sum())
        else:
            years = sums.years(options.min_share, options.statistic != POSITIVE_SUM)
        used = ~np.isnan(years.value)
        if "series" in self.wanted:
            for annual, value in zip(found.annual, years.value):
                annual.reshape(-1)[place] = value
        if options.statistic == MEAN:
            found.balanced = place, sums.mean()
            return
        found.gaps.update(left_out=int((years.has & ~used).sum()), filled_years=int((years.missing > 0).sum()),
                          filled_values=int(years.missing.sum(dtype=np.int64)),
                          lost=int((~used.any(axis=0)).sum()))
        found.number.reshape(-1)[place] = used.sum(axis=0)
        total, values = np.zeros(place.size), np.zeros(place.size, dtype=np.uint16)
        for year in range(len(self.years)):
            np.add(total, years.value[year], out=total, where=used[year])
            values += np.where(used[year], own[year], 0).astype(np.uint16)
        found.total.reshape(-1)[place] = total
        found.own.reshape(-1)[place] = values

    def _season_sums(self, stream, shape, place):
        """Return (SeasonSums of the cells at ``place``, their values a year, values filled in nights)."""
        options = self.options
        seasons = 1 + max(max(year.seasons) for year in self.years)
        sums = SeasonSums([year.expected(seasons) for year in self.years], place.size, options.statistic == MAXIMUM)
        own = np.zeros((len(self.years), place.size), dtype=np.uint16)
        nights = 0
        for number, year in enumerate(self.years):
            part = np.full((year.length if options.nights else 0, place.size), np.nan)
            for i, (row, layer) in enumerate(zip(year.rows, stream.layers(year, shape))):
                values = layer.reshape(-1)[place].astype(np.float64)
                if i < len(year.layers):
                    own[number] += ~np.isnan(values)
                if options.nights:
                    part[row] = values
                else:
                    sums.add(number, year.seasons[row],
                             np.maximum(values, 0) if options.statistic == POSITIVE_SUM else values)
            if options.nights:
                there = np.zeros(year.length, dtype=bool)
                there[list(year.rows)] = True
                nights += int(fill_nights(part, there, longest_night(options.steps)).sum())
                for row in np.flatnonzero(there):
                    sums.add(number, year.seasons[row], part[row])
        return sums, own, nights

    def _year(self, year, stream, shape):
        """Return (annual value or NaN, values it has, those of filled layers, what it adds to the total)."""
        statistic = self.options.statistic
        sums, number = np.zeros(shape), np.zeros(shape, dtype=np.uint16)
        filled = np.zeros(shape if year.filled else 1, dtype=np.uint16)
        highest = np.full(shape, np.nan)
        for i, layer in enumerate(stream.layers(year, shape)):
            known = ~np.isnan(layer)
            number += known
            if i >= len(year.layers):
                filled += known
            if statistic == MAXIMUM:
                np.fmax(highest, layer, out=highest)
            else:
                np.add(sums, layer, out=sums, where=layer > 0 if statistic == POSITIVE_SUM else known)
        if statistic == MAXIMUM:
            value = highest
        elif statistic == POSITIVE_SUM:
            value = np.where(number > 0, sums, np.nan)
        else:
            value = np.full(shape, np.nan)
            np.divide(sums, number, out=value, where=number > 0)
        return value, number, filled, sums if statistic == MEAN else value

    def _frozen_years(self, stream, shape):
        """Return the Found of the frozen days, whose gaps are filled from the same month."""
        options = self.options
        found = Found(shape)
        months = 12 if options.by_season else 1
        frozen, valid = np.zeros((2, len(self.years), months, *shape), dtype=np.uint8 if months == 12 else np.uint16)
        for number, year in enumerate(self.years):
            for row, layer in zip(year.rows, stream.layers(year, shape)):
                month = year.seasons[row] if options.by_season else 0
                frozen[number, month] += layer == options.frozen_code
                valid[number, month] += ~np.isnan(layer)
        seen = valid.sum(axis=1, dtype=np.uint16)
        days = frozen.sum(axis=1, dtype=np.float64)
        if options.by_season:
            length = np.array([year.length for year in self.years])[:, None, None]
            gap = np.flatnonzero(((seen > 0) & (seen < length)).any(axis=0))
            if gap.size:
                flat = (array.reshape(len(self.years), months, -1)[:, :, gap] for array in (frozen, valid))
                days.reshape(len(self.years), -1)[:, gap] = scaled_days(
                    *flat, np.array([year.expected(months) for year in self.years]))
                found.gaps["cells_with_gaps"] = gap.size
        for number, year in enumerate(self.years):
            value, here = days[number], seen[number]
            short = here < options.min_days
            found.partial[year.number] += int((short & (here > 0)).sum())
            if options.partial == SCALED:
                enough = short & (here >= max(1, options.min_share * year.length))
                if not options.by_season:
                    value[enough] *= year.length / here[enough]
                short &= ~enough
            value[short] = np.nan
            used = ~np.isnan(value)
            lacking = np.where(used, year.length - here.astype(np.int64), 0) if options.by_season else np.zeros(1)
            found.gaps.update(cell_years=int((here > 0).sum()), left_out=int(((here > 0) & ~used).sum()),
                              filled_years=int((lacking > 0).sum()), filled_values=int(lacking.sum()),
                              values=int(here.sum(dtype=np.int64)))
            found.number += used
            found.own += np.where(used, here, 0).astype(np.uint16)
            np.add(found.total, value, out=found.total, where=used)
            if "series" in self.wanted:
                found.annual.append(value.astype(np.float32))
        found.gaps["lost"] = int(((found.number == 0) & (seen > 0).any(axis=0)).sum())
        return found

    def _majority(self, stream, shape):
        votes, latest = {}, {}
        number = np.zeros(shape, dtype=np.uint16)
        place = 0
        for year in self.years:
            for layer in stream.layers(year, shape):
                place += 1
                known = ~np.isnan(layer)
                number += known
                for code in np.unique(layer[known]).tolist():
                    if code not in votes:
                        if len(votes) == MOST_CLASSES:
                            raise InputError(f"The layers hold more than {MOST_CLASSES} different values: they are "
                                             f"numbers and not classes. Choose another STATISTIC.")
                        votes[code], latest[code] = np.zeros((2, *shape), dtype=np.uint16)
                    here = layer == code
                    votes[code] += here
                    latest[code][here] = place
        result = np.full(shape, self.no_class, dtype=np.int32)
        most, last = np.zeros(shape, dtype=np.uint16), np.zeros(shape, dtype=np.uint16)
        for code in sorted(votes):
            better = votes[code] > most
            if self.options.tie == RECENT:
                better |= (votes[code] == most) & (latest[code] > last)
            result[better] = int(code)
            most[better], last[better] = votes[code][better], latest[code][better]
        return result, number


def _without(read, cells):
    """Return a function that reads layers as ``read`` does, NaN where ``cells`` is true."""
    if not cells.any():
        return read

    def masked(first, last):
        layers = read(first, last)
        layers[:, cells] = np.nan
        return layers

    return masked


class Found:
    """What a block came to: the ``total`` of the years that count, their ``number``, ``own`` values used and those of
    layers that were ``filled``, ``annual`` values, means ``balanced`` over the seasons (places, values), tallies."""

    def __init__(self, shape):
        self.total = np.zeros(shape)
        self.number, self.own, self.filled = np.zeros((3, *shape), dtype=np.uint16)
        self.annual, self.balanced = [], None
        self.partial, self.gaps = Counter(), Counter()


class _Stream:
    """The layers of a block in units, NaN = nodata, read in groups; ``levels``: a mean of every layer read."""

    def __init__(self, read, count, scales, options):
        self._read, self._count, self._scales, self._options = read, count, scales, options
        self._start, self._group, self.levels = 0, (), {}

    def layers(self, year, shape):
        """Yield the layers of a year in order of time, then those that are filled."""
        for place in year.layers:
            yield self._layer(place)
        for donors in year.filled:
            most = len(donors) if self._options.donor_years() else FILL_YEARS
            yield mean_of_first((self._in_units(self._read(place, place + 1)[0], place) for place in donors), shape,
                                most)

    def _layer(self, place):
        if not self._start <= place < self._start + len(self._group):
            self._start = place
            self._group = ()
            self._group = self._read(place, min(place + GROUP, self._count))
        return self._in_units(self._group[place - self._start], place)

    def _in_units(self, values, place):
        scale, offset = self._scales[place]
        if (scale, offset) != (1.0, 0.0):
            values = values.astype(np.float64) * scale + offset
        if self._options.statistic in CLASSES:
            _refuse_fractions(values)
        else:
            self.levels[place] = sample_mean(values)
        return values


def _refuse_fractions(values):
    with np.errstate(invalid="ignore"):
        wrong = (values != np.rint(values)) & ~np.isnan(values)
    if wrong.any():
        raise InputError(f"The layers hold the value {values[wrong][0]:.6g} where whole-numbered classes are expected. "
                         f"Choose another STATISTIC or give the layers of classes.")


def composite_series(paths, outputs, staging, progress, options=None, settings=None, target=None):
    """Make a composite of a series and stage it.

    ``paths``: rasters of one grid, or tiles of one. ``outputs``: {"composite", "series", "count", "values": path or
    None}; the series has a band a year, or a month for monthly means, with that as description and TIME; "values" is
    the number of layers that have a value of their own in the years used. ``target``: a Grid; of the series' own one
    only the cells that it needs are computed. Returns a dict with the years, what was filled and left out, and tallies
    of cells. Raises InputError, GridError, OutputError, Cancelled.
    """
    options = options or CompositeOptions()
    options.check()
    if not paths:
        raise InputError("The series has no layer.")
    if outputs.get("series") and options.statistic == MAJORITY:
        raise InputError("OUTPUT_SERIES is not made for the majority class; leave it empty.")
    axis = AxisOptions(options.steps, options.sort, options.start, options.date_format, options.select, True)
    opened = open_series(paths, axis, Reading.of(options), progress, Region(target, options.min_latitude))
    _refuse_wrong_kind(opened, options, progress)
    layers, items, unit = opened.layers, _guarded(opened, options, progress), opened.unit
    with_years = dated(layers)
    if not with_years:
        _refuse_undated(options, outputs, len(layers), progress)
    single = all(map(exact_in_float32, opened.files.infos))
    fill = options.fill and with_years and options.statistic not in (*CLASSES, MONTHLY)
    empty = _empty(items, options, progress) if fill else set()
    if options.statistic == MONTHLY:
        years, record = _months(layers, options, progress)
    elif with_years:
        years, record = _years(layers, empty, options, fill, progress)
    else:
        years, record = (Year(0, len(layers), tuple(range(len(layers)))),), {"filled": []}
    scales = tuple(scaling(item) if single else (1.0, 0.0) for item in items)
    specs = _specs(outputs, opened, years, options, record, with_years)
    kernel = CompositeKernel(years, len(items), scales, options, tuple(name for name, path in outputs.items() if path),
                             specs["composite"].nodata, tuple(layer.label for layer in layers), unit)
    work = 300 if options.statistic == MAJORITY else 100 + 4 * len(years) * bool(outputs.get("series"))
    work += _work_of_gaps(years, options)
    tallies = run_blocks(opened.grid, {"INPUT": Series(items, single, min(GROUP, len(items)))}, kernel, specs, staging,
                         progress, settings, extra_bytes=work)
    cells = tallies["cells"]
    if not cells["cells"]:
        raise InputError(f"No cell has a value to composite, from {layers[0].label} to {layers[-1].label}. Check the "
                         f"nodata values of the layers, FLAGS, VALID and MIN_DAYS.")
    if options.statistic == FROZEN_DAYS:
        record["partial"] = _tell_partial(tallies["partial"], options, progress)
        if not cells["positive"]:
            progress.warn(f"No day has the code {options.frozen_code} (FROZEN_CODE); every cell has 0 frozen days.")
    if options.statistic != MAJORITY:
        record["gaps"] = _tell_gaps(tallies["gaps"], options, progress)
    progress.info(f"{TITLES[options.statistic].capitalize()}: {cells['cells']} cells have a value, {cells['empty']} "
                  f"have none.")
    named = _names(years, options) if with_years else []
    return {"statistic": options.statistic, "layers": len(layers), "cells": dict(cells), **record,
            "months" if options.statistic == MONTHLY else "years": named}


def _work_of_gaps(years, options):
    """Return the bytes a cell with gaps needs beside the layers: sums of seasons and what every year has of them."""
    seasons = 12 if options.steps == DAILY else options.steps
    if options.statistic == FROZEN_DAYS:
        return (2 * seasons + 12) * len(years) if options.by_season else 16 * len(years)
    if not (options.by_season or options.nights):
        return 0
    night = 40 * options.steps if options.nights else 0
    return 27 * seasons + (20 + (seasons if options.steps == DAILY else seasons // 8 + 1)) * len(years) + night


def _refuse_undated(options, outputs, count, progress):
    """Raise InputError where layers without a time cannot give the statistic; else say what is left undone."""
    if options.statistic in (*ANNUAL, MONTHLY) or outputs.get("series"):
        raise InputError("The layers carry no time stamps, so their years are not known. Give START, the time of the "
                         "first layer, such as 2000-07-01, or name the layers with their time.")
    if options.statistic == MAJORITY and options.tie == RECENT and count > 1:
        raise InputError(f"The layers carry no time stamps, so it is not known which is the most recent, to which TIE "
                         f"gives ties. Give START, the time of the first layer, or set TIE to {LOWEST}.")
    if options.fill and options.statistic not in CLASSES:
        progress.warn("The layers carry no time stamps: the mean is of the layers as they are, and none that is "
                      "missing or empty is filled.")


def _refuse_wrong_kind(opened, options, progress):
    """Refuse classes for statistics of numbers, and scaled numbers or other classes for statistics of classes."""
    layers, product = opened.layers, opened.product
    if product and options.statistic == FROZEN_DAYS:
        if OVERPASS in product.roles:
            progress.warn(f"{layers[0].label} holds the state at one overpass; what is counted are the days frozen "
                          f"then. The method needs the combined files (CO).")
        elif product.roles and FREEZE_THAW not in product.roles:
            raise InputError(f"{layers[0].label} is {product.title}, which has no frozen days. Choose another "
                             f"STATISTIC, or set PRODUCT.")
    elif product and product.kind == CLASS and options.statistic not in CLASSES:
        raise InputError(f"{layers[0].label} is {product.title}, whose codes have no {TITLES[options.statistic]}. Set "
                         f"STATISTIC to majority.")
    if options.statistic in CLASSES:
        for layer, item in zip(layers, opened.items):
            if scaling(item) != (1.0, 0.0):
                raise InputError(f"{layer.label} declares a scale or an offset: it holds numbers, and the "
                                 f"{TITLES[options.statistic]} needs classes. Choose another STATISTIC.")
        return
    dataset = open_raster(layers[0].path)
    band = dataset.GetRasterBand(layers[0].band)
    # asked before the names: GDAL reads those of a GeoTIFF's .aux.xml only then
    colours = band.GetColorTable()
    if any(band.GetCategoryNames() or ()):
        raise InputError(f"{layers[0].label} holds named classes, of which there is no {TITLES[options.statistic]}. "
                         f"Set STATISTIC to majority.")
    if colours is not None:
        progress.warn(f"{layers[0].label} has a colour for every code, as class rasters have; its codes are taken as "
                      f"numbers.")


def _guarded(opened, options, progress):
    """Return the Sources; whole numbers of no known product may only be what the statistic is of, so that flag codes
    of a file whose name tells nothing are no values."""
    items, found = opened.items, opened.files.found
    if found.product is not None or found.how == STATED or options.statistic not in EXPECTED:
        return items
    low, high = EXPECTED[options.statistic]
    if options.statistic == FROZEN_DAYS and not low <= options.frozen_code <= high:
        return items
    places = {place for place, item in enumerate(items) if not item.encoding.floating and item.encoding.plain
              and not item.valid} if is_no_unit(opened.unit) or unit_named(opened.unit) == "%" else set()
    if places:
        progress.info(f"The product is not known: a value outside {low:g} to {high:g} stops the run, as it may be a "
                      f"flag code. Give such codes in FLAGS, or set PRODUCT to none if all values are what they say.")
    return [replace(item, valid=(low, high)) if place in places else item for place, item in enumerate(items)]


def _empty(items, options, progress):
    """Return the places of layers without any value."""
    reader = SourceReader()
    places = set()
    with bounded_cache():
        for place, item in enumerate(items):
            progress.check()
            if not _has_value(reader, item):
                places.add(place)
    reader.close()
    return places


def _has_value(reader, item):
    def some(values):
        return not np.isnan(values).all()

    height, width = item.grid.height, item.grid.width
    # a look at the middle is enough for nearly every layer
    if some(reader.read(item, height // 2, min(64, height - height // 2), width // 2, min(64, width - width // 2))):
        return True
    if some(reader.sample(item, 128)):
        return True
    rows = max(1, (1 << 22) // width)
    return any(some(reader.read(item, row, min(rows, height - row), 0, width)) for row in range(0, height, rows))


def _months(layers, options, progress):
    """Return the months of daily layers as Years and the record of those that are left out for lack of days."""
    days = {}
    for place, layer in enumerate(layers):
        days.setdefault(month_of(layer.index), []).append(place)
    months, short = [], []
    for number in range(min(days), max(days) + 1):
        length, places = days_of_month(number), days.get(number, ())
        if places and len(places) >= options.min_share * length:
            months.append(Year(number, length, tuple(places)))
        else:
            short.append((stamp_text(number, 12), len(places), length))
    if short:
        progress.warn("Left out, because too few of their days are there (MIN_SHARE): "
                      + ", ".join(f"{month} ({here} of {length})" for month, here, length in short[:20])
                      + (f" and {len(short) - 20} more" if len(short) > 20 else "") + ".")
    if not months:
        raise InputError(f"No month has {100 * options.min_share:g} % of its days (MIN_SHARE).")
    return tuple(months), {"filled": [], "left_out": [month for month, _, _ in short]}


def _names(years, options):
    """Return what names the years, or the months, in tables and bands."""
    return [stamp_text(year.number, 12) if options.statistic == MONTHLY else year.number for year in years]


def _years(layers, empty, options, fill, progress):
    """Return the Years of the composite and the record of what was filled, is missing and was left out."""
    period, month = options.steps, options.first_month
    places = {layer.index: place for place, layer in enumerate(layers) if place not in empty}
    if not places:
        raise InputError(f"Every layer of the series is empty, {layers[0].label} and all after it: all cells are "
                         f"nodata. Check the nodata values, FLAGS and VALID.")
    chosen = options.donor_years()
    seasons = {}
    for index in places:
        if chosen is None or index // period in chosen:
            seasons.setdefault(index % period, []).append(index)
    years, filled, missing, dropped = [], [], [], []
    for number in range(year_of(layers[0].index, period, month), year_of(layers[-1].index, period, month) + 1):
        steps = steps_of_year(number, period, month)
        present = [step for step in steps if step in places]
        absent = [step for step in steps if step not in places]
        whole = len(present) >= options.min_share * len(steps) and present
        if not whole and options.statistic in ANNUAL and options.statistic != FROZEN_DAYS:
            dropped.append((number, len(present), len(steps)))
            continue
        donors, rows = [], list(present)
        for step in absent:
            nearest = nearest_first(step, seasons.get(step % period, ()))
            if fill and whole and not nearest and chosen is not None:
                raise InputError(f"FILL_YEARS is '{options.fill_years}', but none of these years has a layer of the "
                                 f"season of {stamp_text(step, period)}. Name other years.")
            if fill and whole and nearest:
                donors.append(tuple(places[other] for other in nearest))
                rows.append(step)
                filled.append(step)
            else:
                missing.append(step)
        if present:
            row_of = {step: row for row, step in enumerate(steps)}
            years.append(Year(number, len(steps), tuple(places[step] for step in present), tuple(donors),
                              tuple(row_of[step] for step in rows), _seasons(steps, period, month)))
    if not years:
        raise InputError(f"No year has {100 * options.min_share:g} % of its {period} layers (MIN_SHARE). Check PERIOD "
                         f"and START.")
    _tell_years(filled, missing, dropped, options, layers, progress)
    named = {name: [stamp_text(step, period) for step in steps] for name, steps in
             (("filled", filled), ("missing", missing))}
    return tuple(years), {**named, "left_out": [number for number, _, _ in dropped]}


def _seasons(steps, period, first_month):
    """Return the season of every step of a year: the step itself, of daily series the month."""
    if period == DAILY:
        return tuple((date_of(step).month - first_month) % 12 for step in steps)
    return tuple(range(len(steps)))


def _tell_years(filled, missing, dropped, options, layers, progress):
    def named(steps):
        return named_stamps(steps, options.steps)

    if filled:
        years = options.fill_years.strip()
        which = ("in all years" if years.lower() == "all" else f"in {years}" if options.donor_years()
                 else f"in the {FILL_YEARS} nearest years")
        progress.warn(f"Filled with the mean of the same season {which}: {named(filled)}.")
    outer = [step for step in missing if not layers[0].index < step < layers[-1].index]
    if outer:
        progress.warn(f"The first or last year is not complete; there is no layer for {named(outer)}.")
    if dropped:
        progress.warn("Left out, because too few of their layers are there (MIN_SHARE): "
                      + ", ".join(f"{year} ({here} of {length})" for year, here, length in dropped) + ".")


def _tell_partial(partial, options, progress):
    """Name the years with fewer than MIN_DAYS valid days; returns {year: cells}."""
    found = {year: cells for year, cells in sorted(partial.items()) if cells}
    if found:
        done = "left out there" if options.partial == DROPPED else \
            f"scaled up there, where they have {100 * options.min_share:g} % of the days, else left out"
        progress.warn(f"Years with fewer than {options.min_days} valid days are {done}: "
                      + ", ".join(f"{year} ({cells} cells)" for year, cells in found.items()) + ".")
    return found


def _tell_gaps(found, options, progress):
    """Say and return what was left out and filled because cells have gaps inside a year."""
    record = {name: found[name] for name in ("cell_years", "values", "cells_with_gaps", "left_out", "filled_years",
                                             "filled_values", "nights", "lacking", "hidden_peaks", "lost")}
    all_years, all_values = max(found["cell_years"], 1), max(found["values"], 1)
    if options.nights:
        record["share_filled_in_nights"] = found["nights"] / (all_values + found["nights"])
        if found["nights"]:
            progress.info(f"Gaps of snow years of up to {LONGEST_NIGHT} months are filled between the months before "
                          f"and after (NIGHT): {100 * record['share_filled_in_nights']:.2f} % of the values.")
    if found["left_out"] or found["filled_years"]:
        source_of = "the same month" if options.statistic == FROZEN_DAYS else "the same season in other years"
        filled = found["filled_values"] / (all_values + found["filled_values"])
        progress.warn(f"Gaps of cells inside a year: of {all_years} years of cells "
                      f"{100 * found['left_out'] / all_years:.2f} % are left out, and "
                      f"{100 * found['filled_years'] / all_years:.2f} % have values filled from {source_of} "
                      f"({100 * filled:.2f} % of the values).")
    if found["cells_with_gaps"] and options.statistic == MEAN:
        progress.info(f"{found['cells_with_gaps']} cells have gaps; their mean is that of the means of their seasons.")
    if found["lacking"]:
        progress.warn(f"{found['lacking']} cells lack at least one season in every year; what they get is of the "
                      f"seasons they have.")
    if found["hidden_peaks"]:
        progress.warn(f"{found['hidden_peaks']} cells have their highest season in fewer than {100 * USUAL:.0f} % of "
                      f"the years; the maxima of the other years are of lower seasons, and what these cells get is too "
                      f"low.")
    if found["lost"]:
        progress.warn(f"{found['lost']} cells have values, but no year that is complete enough; they are nodata.")
    return record


def _specs(outputs, opened, years, options, record, with_years):
    statistic = options.statistic
    unit = {FROZEN_DAYS: "d", MAJORITY: ""}.get(statistic, opened.unit)
    tags = {"PTI_STATISTIC": statistic, "PTI_LAYERS": len(opened.layers), "PTI_FILLED_LAYERS": len(record["filled"])}
    # sums and numbers of days are no values of the product
    tags.update({} if statistic in (POSITIVE_SUM, FROZEN_DAYS) else opened.files.record)
    numbers = tuple(map(str, _names(years, options)))
    if with_years:
        tags.update(PTI_FIRST_YEAR=numbers[0][:4], PTI_LAST_YEAR=numbers[-1][:4], PTI_SEASON_START=options.first_month)
        tags["PTI_MONTHS" if statistic == MONTHLY else "PTI_YEARS"] = len(years)
    small = {dtype for info in opened.files.infos for dtype in info.dtypes} <= {"Byte", "Int8", "Int16"}
    classes = ("int16", -32768) if small else ("int32", NO_CLASS)
    values = {MEAN: "values", MAJORITY: "values", MONTHLY: "months"}.get(statistic, "years")
    dtype, nodata = classes if statistic == MAJORITY else ("float32", FLOAT_NODATA)
    return {
        "composite": OutputSpec(outputs["composite"], dtype, nodata, (TITLES[statistic],), (unit,), metadata=tags),
        "series": OutputSpec(outputs.get("series"), "float32", FLOAT_NODATA, numbers, (unit,) * len(years),
                             metadata=tags, band_metadata=tuple({"TIME": number} for number in numbers)),
        "count": OutputSpec(outputs.get("count"), "uint16", COUNT_NODATA, (f"{values} used",), metadata=tags),
        "values": OutputSpec(outputs.get("values"), "uint16", COUNT_NODATA, ("values of the years used",),
                             metadata=tags),
    }
