"""Annual statistics of cells with gaps inside a year: which years are complete enough, and what fills the gaps.

Method, section 9. A season of a cell is usual where the cell has it in at least a quarter of the years. A year counts
where it has a share of its usual seasons (of those around the usual peak for a maximum); what it lacks is filled with
the mean of the same season in all years of the cell. Seasons are the steps of a year, of daily series its months.
"""

from dataclasses import dataclass

import numpy as np

#: share of the years from which on a season of a cell is usual
USUAL = 0.25


@dataclass
class YearsOfCells:
    """What the annual statistics of n cells over so many years came to.

    ``value``: (years, n) float64, NaN where the year does not count; ``has``: (years, n) whether it has any value;
    ``missing``: (years, n) values that were filled in years that count.
    """

    value: np.ndarray
    has: np.ndarray
    missing: np.ndarray


class SeasonSums:
    """Sums of seasons and years of ``cells`` cells, gathered one step at a time.

    ``expected``: steps of every season in every year, shape (years, seasons). ``maximum``: years have their highest
    value, otherwise their sum.
    """

    def __init__(self, expected, cells, maximum=False):
        self.expected = np.asarray(expected)
        years, seasons = self.expected.shape
        self._maximum = maximum
        self._bits = self.expected.max() == 1
        self._there = np.zeros((years, -(-seasons // 8) if self._bits else seasons, cells), dtype=np.uint8)
        self.sums, self.counts = np.zeros((seasons, cells)), np.zeros((seasons, cells), dtype=np.uint16)
        self.year = np.full((years, cells), np.nan if maximum else 0.0)

    def add(self, year, season, values):
        """Add the values (n,) of one step, NaN = gap."""
        known = ~np.isnan(values)
        if self._bits:
            self._there[year, season // 8] |= known.astype(np.uint8) << np.uint8(season % 8)
        else:
            self._there[year, season] += known
        self.counts[season] += known
        np.add(self.sums[season], values, out=self.sums[season], where=known)
        if self._maximum:
            np.fmax(self.year[year], values, out=self.year[year])
        else:
            np.add(self.year[year], values, out=self.year[year], where=known)

    def there(self, year, season):
        """Return how many steps of a season a year has, (n,) uint8."""
        if self._bits:
            return self._there[year, season // 8] >> np.uint8(season % 8) & np.uint8(1)
        return self._there[year, season]

    def steps_there(self):
        """Return how many steps every year has, (years, n) uint16."""
        number = np.zeros(self.year.shape, dtype=np.uint16)
        for year, season in np.ndindex(*self.expected.shape):
            number[year] += self.there(year, season)
        return number

    def means(self):
        """Return the mean of every season, (seasons, n), NaN where a cell never has it."""
        return np.divide(self.sums, self.counts, out=np.full(self.sums.shape, np.nan), where=self.counts > 0)

    def usual(self):
        """Return which seasons are usual, (seasons, n) bool."""
        return (self.counts > 0) & (self.counts >= USUAL * self.expected.sum(axis=0)[:, None])

    def hidden_peaks(self):
        """Return which cells have the highest mean in a season that is not usual, (n,) bool."""
        means, usual = np.where(self.counts > 0, self.means(), -np.inf), self.usual()
        return means.max(axis=0) > np.where(usual, means, -np.inf).max(axis=0)

    def mean(self):
        """Return the mean balanced over the seasons, (n,): that of their means, each by its steps."""
        return _balanced(self.means(), self.expected.sum(axis=0))

    def plain_means(self):
        """Return the YearsOfCells of the means of all values that a year has."""
        number = self.steps_there()
        value = np.divide(self.year, number, out=np.full(self.year.shape, np.nan), where=number > 0)
        return YearsOfCells(value, number > 0, np.zeros(value.shape, dtype=np.uint16))

    def years(self, min_share, mean=False):
        """Return the YearsOfCells of sums, or with ``mean`` of means: years with ``min_share`` of their usual seasons.

        What a year lacks is filled with the mean of its season; seasons that a cell never has stay out of every year.
        """
        means, usual = self.means(), self.usual()
        years, cells = self.year.shape
        found = YearsOfCells(np.full((years, cells), np.nan), np.zeros((years, cells), dtype=bool),
                             np.zeros((years, cells), dtype=np.uint16))
        for year, expected in enumerate(self.expected):
            total, steps, share = self.year[year].copy(), np.zeros(cells), _Share(cells)
            for season, length in enumerate(expected):
                there = self.there(year, season)
                lacking = np.where(self.counts[season] > 0, length - there.astype(np.int16), 0)
                np.add(total, lacking * means[season], out=total, where=lacking > 0)
                steps += np.where(self.counts[season] > 0, length, 0)
                share.add(there, length, usual[season])
                found.missing[year] += lacking.astype(np.uint16)
            found.has[year] = share.has
            used = share.enough(min_share)
            found.value[year, used] = total[used] / steps[used] if mean else total[used]
            found.missing[year, ~used] = 0
        return found

    def maxima(self, min_share):
        """Return the YearsOfCells of maxima: years with ``min_share`` of the seasons around the cell's usual peak.

        The peak is the usual season with the highest mean; around it lie those within half a month, one at least.
        """
        means, usual = self.means(), self.usual()
        years, cells = self.year.shape
        seasons = len(means)
        peak = np.where(usual, means, -np.inf).argmax(axis=0)
        reach = max(1, seasons // 24)
        has = ~np.isnan(self.year)
        value = np.full((years, cells), np.nan)
        for year, expected in enumerate(self.expected):
            share = _Share(cells)
            for season, length in enumerate(expected):
                share.add(self.there(year, season), length, usual[season] & (np.abs(season - peak) <= reach))
            used = share.enough(min_share)
            value[year, used] = self.year[year, used]
        return YearsOfCells(value, has, np.zeros((years, cells), dtype=np.uint16))


class _Share:
    """The share of steps that a year of cells has of those it needs."""

    def __init__(self, cells):
        self._there, self._needed, self.has = np.zeros(cells), np.zeros(cells), np.zeros(cells, dtype=bool)

    def add(self, there, length, needed):
        self.has |= there > 0
        self._there += np.where(needed, there, 0)
        self._needed += np.where(needed, length, 0)

    def enough(self, share):
        return self.has & (self._needed > 0) & (self._there >= share * self._needed - 1e-9)


def _balanced(means, steps):
    total, weight = np.zeros(means.shape[1]), np.zeros(means.shape[1])
    for season, length in enumerate(steps):
        known = ~np.isnan(means[season])
        np.add(total, length * means[season], out=total, where=known)
        weight += np.where(known, length, 0)
    return np.divide(total, weight, out=np.full(weight.shape, np.nan), where=weight > 0)


def scaled_days(days, valid, expected):
    """Return the days of every year scaled to its length month by month, (years, n) float64.

    ``days`` and ``valid``: (years, months, n) days of a kind and days with a value; ``expected``: (years, months) days
    of the calendar. A month takes the share of its own valid days; one that has none that of the same month in all
    years. NaN where a cell never has a month.
    """
    years, months, cells = days.shape
    result = np.zeros((years, cells))
    for month in range(months):
        of_days, of_valid = (array[:, month].sum(axis=0, dtype=np.float64) for array in (days, valid))
        usual = np.divide(of_days, of_valid, out=np.full(cells, np.nan), where=of_valid > 0)
        for year in range(years):
            here = valid[year, month]
            share = np.divide(days[year, month], here, out=usual.copy(), where=here > 0)
            lacking = int(expected[year, month]) - here.astype(np.int16)
            result[year] += days[year, month]
            np.add(result[year], lacking * share, out=result[year], where=lacking > 0)
    return result
