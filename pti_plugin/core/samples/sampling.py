"""Samples for learning: random cells of every PTI class, apart from each other and inside the edge of their class.

Every cell gets a pseudo-random key from its place and the seed. The cells of a class that lie inside its edge and lack
no more predictors than allowed are taken in the order of their keys, each unless it is too near one taken before, until
there are as many as asked. So a sample depends neither on how the raster is read nor on the number of threads.
Distances are those on the WGS 84 ellipsoid, from cell centre to cell centre. Method, section 5; the paper's section
2.2.4.

Candidates are looked at in rounds, the smallest keys first, and what lies surely too near the points of a round is
closed before the next: memory holds two bytes a cell of the raster, the candidates of one round, and the predictors of
the cells that may be drawn where those take little.
"""

import hashlib
import statistics
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from ..common import ranks
from ..common.errors import InputError
from ..ensembles.features import codes_as_float, missing_limit
from ..rasters.blocks import SINGLE_THREADED, TILE, InlineExecutor, Settings, ThreadExecutor, all_read, plan_windows
from ..rasters.cell_keys import seed_addend
from ..rasters.exclusion import LeftOutClasses, excluding
from ..rasters.geodesic import distance_m, geocentric_km, longest_chord_km
from ..rasters.process_state import bounded_cache
from ..rasters.raster import CLASS, Series, SourceReader, exact_in_float32, read_info, source
from .edge_buffer import STRIP, Ground, inside_edges, kernels, kinds_of
from .sampling_rules import Rule, packing_bound, random_estimate, rim_km

#: candidates a round: so many times as many as are still wanted or may fit, within these numbers a class
_CANDIDATES, _FEWEST, _MOST = 6, 2_000, 200_000
#: predictors of all cells that may be drawn are kept if they take no more, else the stack is read once more
_KEPT_BYTES = 512 << 20
_LAST_KEY = (1 << 64) - 1

MET, CELLS, BUFFER, PREDICTORS, SPACING = ("request met", "too few cells", "edge buffer", "missing predictors",
                                           "spacing")


@dataclass(frozen=True)
class Samples:
    """Training points: ``x`` float32 (n, features) in the order of ``features``, ``y`` PTI codes, WGS 84 places.

    NaN in ``x`` is a missing predictor. ``rows`` and ``columns`` are their cells, None for points that do not come from
    a raster; ``areas``: {rank: km²} of the map they were drawn from, None where it is not known.
    """

    x: np.ndarray
    y: np.ndarray
    longitude: np.ndarray
    latitude: np.ndarray
    features: tuple
    rows: np.ndarray = None
    columns: np.ndarray = None
    areas: dict = None

    def checksum(self):
        """Return the SHA-256 of predictors, classes and places, so that the same samples are known again."""
        digest = hashlib.sha256()
        # a NaN has many bit patterns; they all say the same
        x = np.where(np.isnan(self.x), np.float32(np.nan), self.x)
        for values in (x, self.y.astype(np.int64), self.longitude, self.latitude):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def check(self):
        """Raise InputError where the samples cannot train a classifier."""
        codes, counts = np.unique(self.y, return_counts=True)
        unknown = [int(code) for code in codes if code not in ranks.BY_CODE]
        if unknown:
            raise InputError(f"The samples hold the class {unknown[0]}, which is no PTI rank. "
                             f"The ranks are {', '.join(map(str, ranks.CODES))}.")
        if len(codes) < 2:
            raise InputError("The samples hold fewer than two PTI ranks; there is nothing to tell apart.")
        few = [f"{code} ({count})" for code, count in zip(codes, counts) if count < 5]
        if few:
            raise InputError(f"These ranks have fewer than 5 samples: {', '.join(few)}. Lower the spacing or leave "
                             f"them out.")
        never = [feature.name for feature, values in zip(self.features, self.x.T) if np.isnan(values).all()]
        if never:
            raise InputError(f"No sample has the predictor {', '.join(never)}. Leave it out, or check its nodata "
                             f"value and its extent.")


@dataclass(frozen=True)
class SampleOptions:
    """``across``: the spacing holds between points of different classes too, the larger of the two classes' spacings.

    ``strict``: more points asked for than can possibly fit are an error, not a warning. ``max_missing``: most
    predictors that a cell may lack, never more than half of them. ``left_out``: LeftOutClasses whose cells have no
    rank, and are an edge to the others, or None.
    """

    seed: int = 42
    across: bool = False
    strict: bool = False
    max_missing: int = 0
    left_out: LeftOutClasses = None


def draw_samples(pti_path, stack, per_class, spacing_km, seed, progress, options=None):
    """Return Samples of at most ``per_class`` cells a rank, at least ``spacing_km`` apart within a rank.

    ``options``: SampleOptions, whose seed is ``seed`` here. Raises InputError where the PTI is not on the
    stack's grid or has no ranks.
    """
    rules = [Rule(code, per_class, spacing_km, 0.0) for code in ranks.CODES]
    return sample_points(pti_path, stack, rules, progress, replace(options or SampleOptions(), seed=seed))[0]


def sample_points(pti_path, stack, rules, progress, options=None, settings=None):
    """Draw points by ``rules``; return (Samples in row order, table of what was asked, possible and achieved).

    The table has a dict a rule and a last one, of rank "all", for the points together, whose ``packing_bound`` is how
    many of the points asked for can fit. No rule is ever relaxed; a rank that gets fewer points than asked says in
    ``limited_by`` why, and ``lacking`` names the predictors of the cells that lack too many to be drawn. Warns of what
    cannot fit before it draws. Raises InputError where the PTI is not on the stack's grid, has no rank with enough
    predictors, or, if strict, where more is asked than fits; Cancelled.
    """
    options, settings = options or SampleOptions(), settings or Settings()
    pti = source(pti_path, CLASS, single_band=True)
    differences = stack.grid.differences(pti.grid)
    if differences:
        raise InputError(f"{pti.name} is not on the grid of the predictor stack {stack.name}: "
                         f"{'; '.join(differences)}. Build the PTI with the stack as its target grid.")
    pti = excluding(pti, options.left_out, progress.part(0, 0.1), settings)
    with bounded_cache(settings.memory_mb):
        draw = _Draw(pti, stack, rules, options, settings)
        draw.prepare(progress.part(0.1 if options.left_out else 0, 0.6))
        draw.state_bounds(progress)
        chosen = draw.points(progress.part(0.6, 0.8))
        if not len(chosen[0]):
            raise InputError(f"{pti.name} has no ranked cell with enough predictors of {stack.name} that meets the "
                             "rules: " + "; ".join(f"rank {row['rank']}: {row['limited_by']}" for row in draw.rows)
                             + ".")
        samples = draw.samples(*chosen, progress.part(0.8, 1))
    return samples, [*draw.rows, draw.total]


class _Draw:
    """One run: the cells that are still open, and the table as it grows."""

    def __init__(self, pti, stack, rules, options, settings):
        self._pti, self._stack, self._rules, self._options, self._settings = pti, stack, rules, options, settings
        self._ground = Ground(stack.grid)
        self._spacing = {rule.rank: rule.spacing_km for rule in rules}
        self.rows = [{"rank": rule.rank, "asked": rule.samples, "spacing_km": rule.spacing_km,
                      "edge_buffer_km": rule.edge_buffer_km} for rule in rules]
        self.total = {"rank": "all", "asked": sum(rule.samples for rule in rules)}
        self._likely = np.zeros(256, dtype=np.int64)
        self._open = self._used = None
        #: window → (places in it of the cells that may be drawn, their predictors)
        self._kept = {}

    # what may be drawn ---------------------------------------------------------------------------------------------

    def prepare(self, progress):
        """Find the cells that may be drawn, and count and measure them on the way."""
        ground, cells = self._ground, self._classes(progress.part(0, 0.2))
        counts = ground.counts(cells, progress)
        self._used = counts.max(axis=1) > 0
        self._note(counts, "cells", "area_km2")
        self._open, torn = inside_edges(cells, ground, self._used,
                                        {rule.rank: rule.edge_buffer_km for rule in self._rules},
                                        progress.part(0.2, 0.5), self._settings)
        if torn:
            progress.warn(f"{torn} cells are not drawn because the projection of {self._pti.name} is torn or strongly "
                          f"distorted round about them, so that their distance to the edge cannot be told.")
        asked = np.zeros(256, dtype=np.uint8)
        for rule in self._rules:
            asked[rule.rank] = rule.rank if rule.samples else 0
        self._recode(asked)
        del cells
        counts = ground.counts(self._open, progress)
        self._note(counts, "cells_inside", "area_inside_km2")
        self._bounds(progress.part(0.5, 0.6))
        self._close_incomplete(progress.part(0.6, 1))

    def _note(self, counts, name, area=None):
        for row in self.rows:
            row[name] = int(counts[:, row["rank"]].sum(dtype=np.int64))
            if area:
                row[area] = float((self._ground.areas * counts[:, row["rank"]]).sum())
        for column in filter(None, (name, area)):
            self.total[column] = sum(row[column] for row in self.rows)

    def _recode(self, table):
        """Replace the class of every open cell by its entry in ``table`` (256)."""
        for row in range(0, len(self._open), STRIP):
            kernels().recode(self._open[row:row + STRIP], table)

    def _classes(self, progress):
        """Return the ranks that have a rule, or could be another's edge, as uint8 of the whole grid, 0 = none."""
        grid = self._pti.grid
        cells = np.zeros((grid.height, grid.width), dtype=np.uint8)
        known = np.zeros(256, dtype=np.uint8)
        known[list(ranks.CODES)] = ranks.CODES
        # codes of a Byte band come as they are
        byte = read_info(self._pti.path).dtypes == ("Byte",)

        def read(reader, window):
            place = (window.row, window.rows, window.column, window.columns)
            if byte:
                values = reader.read_series(Series((self._pti,), codes=True), *place)[0]
            else:
                values = reader.read(self._pti, *place)
                values = np.where((values < 0) | (values > 255), 0, values).astype(np.uint8)
            kernels().recode(values, known)
            return values

        windows = plan_windows(grid, [self._pti], self._settings, 16)
        for window, part in self._read(read, windows, [self._pti], progress):
            cells[_slices(window)] = part
        return cells

    def _close_incomplete(self, progress):
        """Close the cells that lack too many predictors and tell which; keep the predictors of the others where they
        take little memory."""
        number = len(self._stack.sources)
        limit = missing_limit(self._options.max_missing, number)
        keep = 4 * number * self.total["cells_inside"] <= _KEPT_BYTES

        def work(layers, window):
            mine, absent = self._open[_slices(window)], np.isnan(layers)
            lacking = absent.sum(axis=0, dtype=np.int32)
            usable = lacking <= limit
            # rows: cells with all predictors, cells that may be drawn, then closed cells by the predictor they lack
            masks = [lacking == 0, usable, *(~usable & layer for layer in absent)]
            counts = np.stack([np.bincount(mine[mask], minlength=256) for mask in masks])
            if not keep:
                return usable, None, counts
            places = np.flatnonzero((mine != 0) & usable)
            return usable, (places.astype(np.int32), layers.reshape(number, -1)[:, places].T.copy()), counts

        windows = [window for window in self._stack_windows() if self._open[_slices(window)].any()]
        reader, counts = self._predictor_reader(work), np.zeros((number + 2, 256), dtype=np.int64)
        for window, (usable, kept, found) in self._read(reader, windows, self._stack.sources, progress):
            self._open[_slices(window)][~usable] = 0
            counts += found
            if keep:
                self._kept[window] = kept
        for row in (*self.rows, self.total):
            of_row = counts[:, row["rank"]] if row is not self.total else counts[:, 1:].sum(axis=1)
            row["cells_complete"], row["cells_usable"] = map(int, of_row[:2])
            row["lacking"] = "; ".join(f"{feature.name} {count}" for feature, count in
                                       zip(self._stack.features, of_row[2:].tolist()) if count)

    # reading -------------------------------------------------------------------------------------------------------

    def _stack_windows(self):
        """Return windows of the stack, small ones where it is tiled, so that few cells are read in vain."""
        settings = self._settings
        if not settings.block_size and all(item.block[0] < self._stack.grid.width for item in self._stack.sources):
            settings = replace(settings, block_size=TILE)
        return plan_windows(self._stack.grid, list(self._stack.sources), settings, 16 * len(self._stack.sources))

    def _predictor_reader(self, use):
        """Return a function that reads all predictors of a window, float32 with NaN, and hands them to ``use``."""
        sources = self._stack.sources
        info = read_info(sources[0].path)
        plain = exact_in_float32(info) and all(scale == (1.0, 0.0) for scale in info.scales)

        def read(reader, window):
            place = (window.row, window.rows, window.column, window.columns)
            if plain:
                return use(reader.read_series(Series(sources, single=True), *place), window)
            layers = np.empty((len(sources), window.rows, window.columns), dtype=np.float32)
            for i, item in enumerate(sources):
                values = reader.read(item, *place)
                layers[i] = codes_as_float(values, item.name) if item.kind == CLASS else values
            return use(layers, window)

        return read

    def _read(self, function, windows, sources, progress):
        """Yield (window, ``function(reader, window)``) of every window in order, read by threads."""
        readers = []

        def work(window):
            reader = readers.pop() if readers else SourceReader(self._settings.workers)
            result = function(reader, window)
            readers.append(reader)
            return result

        threaded = not any(item.driver in SINGLE_THREADED for item in all_read(sources))
        executor = ThreadExecutor(self._settings.workers) if threaded else InlineExecutor()
        for number, result in enumerate(executor.ordered(work, windows, progress.check), start=1):
            yield windows[number - 1], result
            progress.set(number / len(windows))
        for reader in readers:
            reader.close()

    # what can fit --------------------------------------------------------------------------------------------------

    def _bounds(self, progress):
        """Note how many points of every rank the ground holds, and all ranks together where they keep apart."""
        runs = _runs(self._open)
        areas = self._rim_areas(*runs, self._spacing, progress.part(0, 0.7))
        for row in self.rows:
            self._state_bound(row, areas[row["rank"]])
        together = self._room_together(runs, progress.part(0.7, 1)) if self._options.across else {}
        for name in ("packing_bound", "random_estimate"):
            fit = Counter()
            for row in self.rows:
                fit[row["spacing_km"]] += min(row["asked"], row[name])
            self.total[name] = sum(min(number, together.get(spacing, {name: number})[name])
                                   for spacing, number in fit.items())

    def _room_together(self, runs, progress):
        """Return {spacing > 0: bounds of all points of the ranks with that spacing, which share the ground}."""
        run_rows, starts, stops, codes = runs
        spacings = sorted({spacing for spacing in self._spacing.values() if spacing > 0})
        group = np.zeros(256, dtype=np.int64)
        for code, spacing in self._spacing.items():
            group[code] = spacings.index(spacing) + 1 if spacing > 0 else 0
        areas = self._rim_areas(run_rows, starts, stops, group[codes], dict(enumerate(spacings, start=1)), progress)
        return {spacing: {"packing_bound": packing_bound(area, spacing),
                          "random_estimate": random_estimate(area, spacing)}
                for spacing, area in zip(spacings, areas[1:])}

    def _state_bound(self, row, area_km2):
        spacing, most = row["spacing_km"], row["cells_inside"]
        row["packing_bound"] = min(packing_bound(area_km2, spacing), most) if spacing > 0 else most
        row["random_estimate"] = min(random_estimate(area_km2, spacing), most) if spacing > 0 else most

    def _rim_areas(self, run_rows, starts, stops, codes, spacing, progress):
        """Return the km² within ``rim_km`` of the cells of each class that has a spacing, (256,)."""
        ground = self._ground
        kind, distances = kinds_of({code: rim_km(distance) for code, distance in spacing.items()})
        here = kind[codes] >= 0
        counts = np.zeros((ground.tiles, 256), dtype=np.int32)
        if not here.any():
            return counts.sum(axis=0)
        run_rows, starts, stops, codes = (part[here] for part in (run_rows, starts, stops, codes))
        table = ground.intervals(distances, self._used)
        height, width, loops = ground.grid.height, ground.grid.width, kernels()
        for row in range(0, height, STRIP):
            progress.check()
            first = -table.reach if row == 0 else row
            last = height + table.reach if row + STRIP >= height else row + STRIP
            begin, end = np.searchsorted(run_rows, (first - table.reach, last + table.reach))
            loops.rim_counts(first, last, *(part[begin:end] for part in (run_rows, starts, stops, codes)), ground.tile,
                             ground.tiles_down, width, kind, table.outer_low, table.outer_high, table.side, counts)
            progress.set(row / height)
        return (ground.areas[:, None] * counts).sum(axis=0)

    def state_bounds(self, progress):
        """Warn of every rank of which more is asked than fits, or raise InputError if strict."""
        found = []
        for row in self.rows:
            if row["asked"] <= row["packing_bound"] or not row["cells_inside"]:
                continue
            text = f"Rank {row['rank']}: {row['asked']:,} points"
            if row["spacing_km"] > 0:
                found.append(f"{text} at least {row['spacing_km']:g} km apart are asked for, but the "
                             f"{row['area_inside_km2']:,.0f} km² inside the edge buffer hold no more than "
                             f"{row['packing_bound']:,} even in perfect hexagonal packing; random placement ends near "
                             f"{row['random_estimate']:,}.")
            else:
                found.append(f"{text} are asked for, but only {row['cells_inside']:,} cells lie inside the edge "
                             f"buffer.")
        total = self.total
        if total["asked"] > total["packing_bound"] and (found or self._options.across):
            found.append(f"All ranks together: of the {total['asked']:,} points asked for no more than "
                         f"{total['packing_bound']:,} can fit; random placement ends near "
                         f"{total['random_estimate']:,}.")
        if found and self._options.strict:
            raise InputError(" ".join([*found, "Ask for fewer points, or lower the spacing or the edge buffer."]))
        for text in found:
            progress.warn(f"{text} Fewer will be drawn; no rule is relaxed.")

    # drawing -------------------------------------------------------------------------------------------------------

    def points(self, progress):
        """Return (rows, columns, classes) of the points, in row order; complete the table."""
        room = np.zeros(256, dtype=np.int64)
        chord = np.zeros(256)
        for rule in self._rules:
            room[rule.rank] = rule.samples
            # a spacing of no length has a chord of no length
            chord[rule.rank] = longest_chord_km(rule.spacing_km)
        for row in self.rows:
            self._likely[row["rank"]] = row["random_estimate"]
        asked = int(room.sum())
        kind, distances = kinds_of(self._spacing)
        table = self._ground.intervals(distances, self._used) if distances else None
        taken = _Taken()
        above = np.zeros(256)
        loops = kernels()
        while True:
            rows, columns, codes = self._candidates(room, above, progress)
            if not len(rows):
                break
            places = geocentric_km(*self._stack.grid.lonlat(columns + 0.5, rows + 0.5))
            # a cell without a place on the Earth cannot be drawn
            known = np.isfinite(places).all(axis=1)
            settled = len(taken.codes)
            keep = loops.thin(np.concatenate([taken.places, places[known]]),
                              np.concatenate([taken.codes, codes[known]]), chord, room, self._options.across,
                              settled)[settled:]
            self._open[rows, columns] = 0
            new = [part[known][keep] for part in (rows, columns, codes, places)]
            taken.add(*new)
            progress.check()
            if table is not None:
                loops.paint(self._open, *new[:3], self._ground.tile, kind, table.inner_low, table.inner_high,
                            self._options.across, self._ground.circle)
            if (room[codes] <= 0).any():
                self._recode(np.where(room > 0, np.arange(256), 0).astype(np.uint8))
            progress.set(len(taken.codes) / max(asked, 1))
        order = np.lexsort((taken.columns, taken.rows))
        self._complete_table(taken, progress)
        return taken.rows[order], taken.columns[order], taken.codes[order]

    def _candidates(self, room, above, progress):
        """Return (rows, columns, classes) of the open cells with the smallest keys, in the order of the keys.

        ``above``: share of the keys of every class gone through so far; it is carried on. Keys are evenly spread, so a
        share of them is a share of the cells. Classes that keep apart are gone through together.
        """
        number = self._numbers(progress)
        wanted = np.clip(_CANDIDATES * np.minimum(room, self._likely), _FEWEST, _MOST)
        if self._options.across:
            share = np.full(256, wanted[number > 0].sum() / max(number.sum(), 1))
        else:
            share = wanted / np.maximum(number, 1)
        above[:] = np.where(share >= 1, 1.0, above + (1 - above) * np.minimum(share, 1))
        limit = np.array([_LAST_KEY if part >= 1 else int(part * 2.0 ** 64) for part in above], dtype=np.uint64)
        loops, addend = kernels(), seed_addend(self._options.seed)
        found = ThreadExecutor(self._settings.workers).ordered(
            lambda row: loops.smallest_keys(self._open[row:row + STRIP], row, addend, limit),
            range(0, len(self._open), STRIP), progress.check)
        rows, columns, keys = (np.concatenate(parts) for parts in zip(*found))
        order = np.argsort(keys, kind="stable")
        rows, columns = rows[order], columns[order]
        return rows, columns, self._open[rows, columns].astype(np.int64)

    def _numbers(self, progress):
        """Return how many open cells every class has, int64 (256)."""
        loops, counts = kernels(), np.zeros((1, 256), dtype=np.int32)
        for row in range(0, len(self._open), STRIP):
            progress.check()
            # the whole grid is one tile
            loops.tile_counts(self._open[row:row + STRIP], row, (*self._open.shape, 1), counts)
        return counts[0].astype(np.int64)

    def _complete_table(self, taken, progress):
        longitude, latitude = self._stack.grid.lonlat(taken.columns + 0.5, taken.rows + 0.5)
        for row in (*self.rows, self.total):
            here = np.ones(len(taken.codes), dtype=bool) if row is self.total else taken.codes == row["rank"]
            row["achieved"] = int(here.sum())
            distances = nearest_km(longitude[here], latitude[here], progress)
            row["nearest_km"] = float(distances.min()) if len(distances) else None
            row["median_nearest_km"] = statistics.median(distances.tolist()) if len(distances) else None
        for row in self.rows:
            row["limited_by"] = _limit(row)
            if not row["cells_usable"] and row["asked"]:
                progress.warn(f"Rank {row['rank']} has no cell with enough predictors and is not learned."
                              if row["limited_by"] != BUFFER else
                              f"Rank {row['rank']} has no cell {row['edge_buffer_km']:g} km inside its edge and is not "
                              f"learned.")
            elif row["achieved"] < row["asked"]:
                progress.info(f"Rank {row['rank']}: {row['achieved']} samples, {row['asked']} asked for "
                              f"({row['limited_by']}).")
        total = self.total
        if total["lacking"]:
            limit = missing_limit(self._options.max_missing, len(self._stack.features))
            progress.info(f"{total['cells_inside'] - total['cells_usable']} cells lack "
                          f"{f'more than {limit} predictors' if limit else 'a predictor'} and are not drawn (cells "
                          f"without each: {total['lacking']}).")

    def samples(self, rows, columns, codes, progress):
        """Return the Samples of cells in row order."""
        x = np.full((len(rows), len(self._stack.sources)), np.nan, dtype=np.float32)

        def inside(window):
            first, last = np.searchsorted(rows, (window.row, window.row + window.rows))
            return first + np.flatnonzero((columns[first:last] >= window.column)
                                          & (columns[first:last] < window.column + window.columns))

        def pick(layers, window):
            here = inside(window)
            return here, layers[:, rows[here] - window.row, columns[here] - window.column].T

        for window, (places, values) in self._kept.items():
            here = inside(window)
            wanted = (rows[here] - window.row) * window.columns + columns[here] - window.column
            x[here] = values[np.searchsorted(places, wanted)]
        windows = [] if self._kept else [window for window in self._stack_windows() if len(inside(window))]
        for _, (here, values) in self._read(self._predictor_reader(pick), windows, self._stack.sources, progress):
            x[here] = values
        longitude, latitude = self._stack.grid.lonlat(columns + 0.5, rows + 0.5)
        return Samples(x, codes, longitude, latitude, self._stack.features, rows, columns,
                       {row["rank"]: row["area_km2"] for row in self.rows if row["area_km2"] > 0})


class _Taken:
    """The points drawn so far."""

    def __init__(self):
        self.rows, self.columns, self.codes = (np.zeros(0, dtype=np.int64) for _ in range(3))
        self.places = np.zeros((0, 3))

    def add(self, rows, columns, codes, places):
        """Take more points."""
        for name, more in (("rows", rows), ("columns", columns), ("codes", codes), ("places", places)):
            setattr(self, name, np.concatenate([getattr(self, name), more]))


def _slices(window):
    return (slice(window.row, window.row + window.rows), slice(window.column, window.column + window.columns))


def _limit(row):
    """Return what kept a rank below what was asked."""
    if row["achieved"] >= row["asked"]:
        return MET
    for name, cause in (("cells", CELLS), ("cells_inside", BUFFER), ("cells_usable", PREDICTORS)):
        if row[name] < row["asked"]:
            return cause
    return SPACING


def _runs(cells):
    """Return (rows, first columns, last columns, classes) of the runs of equal cells other than 0, row by row."""
    loops, found = kernels(), []
    for row in range(0, len(cells), STRIP):
        rows, *rest = loops.runs(cells[row:row + STRIP])
        found.append((rows + row, *rest))
    return tuple(np.concatenate(parts) for parts in zip(*found))


def nearest_km(longitude, latitude, progress):
    """Return the geodesic distance in km from every point to its nearest neighbour; empty for fewer than two points."""
    number = len(longitude)
    if number < 2:
        return np.zeros(0)
    places = geocentric_km(longitude, latitude)
    neighbour, least = np.zeros(number, dtype=np.int64), np.full(number, np.inf)
    spread = np.ptp(places, axis=0)
    # the points lie on a surface: cubes that hold a few each to begin with, larger ones for those without neighbours
    side = max(float(np.linalg.norm(spread)) / np.sqrt(number), 1e-6)
    left = np.arange(number)
    while len(left):
        progress.check()
        _search_cubes(places, left, side, neighbour, least)
        left = left[least[left] > side * side]
        side *= 2
    return distance_m(latitude, longitude, latitude[neighbour], longitude[neighbour]) / 1000


def _search_cubes(places, wanted, side, neighbour, least):
    """Look for the nearest neighbours of the points ``wanted`` in the 27 cubes round each."""
    cubes = np.floor((places - places.min(axis=0)) / side).astype(np.int64) + 1
    across = cubes.max(axis=0) + 2
    flat = (cubes[:, 0] * across[1] + cubes[:, 1]) * across[2] + cubes[:, 2]
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    for a in (-1, 0, 1):
        for b in (-1, 0, 1):
            # three cubes in a row of z are one stretch of the order
            middle = flat[wanted] + (a * across[1] + b) * across[2]
            first, last = np.searchsorted(ordered, middle - 1), np.searchsorted(ordered, middle + 1, side="right")
            at, points = first.copy(), wanted
            while len(points):
                on = at < last
                at, last, points = at[on], last[on], points[on]
                other = order[at]
                distance = ((places[points] - places[other]) ** 2).sum(axis=1)
                better = (distance < least[points]) & (other != points)
                least[points[better]] = distance[better]
                neighbour[points[better]] = other[better]
                at = at + 1
