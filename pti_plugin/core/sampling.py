"""Samples for learning: random cells of every PTI class, a least distance apart, with their predictors.

Every cell gets a pseudo-random key from its place and the seed, and the smallest keys of a class are taken, so a
sample does not depend on how the raster is read. Method, section 5; the paper's section 2.2.4.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from . import ranks
from .errors import InputError
from .geodesic import FLATTENING, SEMI_MAJOR_M
from .raster import CLASS, NO_CLASS, SourceReader, source

_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Samples:
    """Training points: ``x`` float32 (n, features) in the order of ``features``, ``y`` PTI codes, WGS 84 places."""

    x: np.ndarray
    y: np.ndarray
    longitude: np.ndarray
    latitude: np.ndarray
    features: tuple

    def checksum(self):
        """Return the SHA-256 of predictors, classes and places, so that the same samples are known again."""
        digest = hashlib.sha256()
        for values in (self.x, self.y.astype(np.int64), self.longitude, self.latitude):
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


def cell_keys(rows, columns, seed):
    """Return a pseudo-random uint64 for every cell: the splitmix64 finaliser of its place and the seed."""
    with np.errstate(over="ignore"):
        key = (np.asarray(rows, dtype=np.uint64) << np.uint64(32)) + np.asarray(columns, dtype=np.uint64)
        key = key + np.uint64((int(seed) * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % (1 << 64))
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return key ^ (key >> np.uint64(31))


def draw_samples(pti_path, stack, per_class, spacing_km, seed, progress):
    """Return Samples of at most ``per_class`` cells a rank, at least ``spacing_km`` apart within a rank.

    Only cells whose predictors are all there are drawn. Raises InputError where the PTI is not on the stack's grid or
    has no ranks.
    """
    pti = source(pti_path, CLASS, single_band=True)
    differences = stack.grid.differences(pti.grid)
    if differences:
        raise InputError(f"{pti.name} is not on the grid of the predictor stack {stack.name}: "
                         f"{'; '.join(differences)}. Build the PTI with the stack as its target grid.")
    # with a spacing many candidates fall away, so more are kept than asked for
    kept = per_class if spacing_km <= 0 else max(40 * per_class, 200_000)
    candidates = _candidates(pti, stack, kept, seed, progress.part(0, 0.8))
    rows, columns, codes = [], [], []
    for code in ranks.CODES:
        if code not in candidates:
            progress.warn(f"Rank {code} has no cell with all predictors and is not learned.")
            continue
        row, column = candidates[code]
        if spacing_km > 0:
            chosen = _thin(*stack.grid.lonlat(column + 0.5, row + 0.5), spacing_km, per_class, progress)
            row, column = row[chosen], column[chosen]
        else:
            row, column = row[:per_class], column[:per_class]
        if len(row) < per_class:
            progress.info(f"Rank {code}: {len(row)} samples, {per_class} asked for.")
        rows.append(row)
        columns.append(column)
        codes.append(np.full(len(row), code))
    if not codes:
        raise InputError(f"{pti.name} has no ranked cell with all predictors of {stack.name}.")
    rows, columns, codes = np.concatenate(rows), np.concatenate(columns), np.concatenate(codes)
    order = np.lexsort((columns, rows))
    rows, columns, codes = rows[order], columns[order], codes[order]
    longitude, latitude = stack.grid.lonlat(columns + 0.5, rows + 0.5)
    return Samples(_predictors(stack, rows, columns, progress.part(0.8, 1)), codes, longitude, latitude,
                   stack.features)


def _read_valid(reader, stack, *place):
    """Read all predictors of a window as float32 (features, rows, columns), NaN for nodata."""
    layers = np.empty((len(stack.sources), place[1], place[3]), dtype=np.float32)
    for i, item in enumerate(stack.sources):
        values = reader.read(item, *place)
        layers[i] = np.where(values == NO_CLASS, np.nan, values) if item.kind == CLASS else values
    return layers


def _candidates(pti, stack, kept, seed, progress):
    """Return {rank: (rows, columns)} of the cells with the smallest keys, in the order of the keys."""
    reader, best = SourceReader(), {}
    for top in range(0, pti.grid.height, _ROWS_AT_ONCE):
        progress.check()
        height = min(_ROWS_AT_ONCE, pti.grid.height - top)
        classes = reader.read(pti, top, height, 0, pti.grid.width)
        ranked = (classes != NO_CLASS) & (classes != ranks.NO_RANK)
        if ranked.any():
            ranked &= ~np.isnan(_read_valid(reader, stack, top, height, 0, pti.grid.width)).any(axis=0)
        row, column = np.nonzero(ranked)
        code, row = classes[row, column], row + top
        key = cell_keys(row, column, seed)
        for value in np.unique(code):
            here = code == value
            old = best.get(int(value), (np.zeros(0, np.uint64), np.zeros(0, int), np.zeros(0, int)))
            merged = [np.concatenate([a, b[here]]) for a, b in zip(old, (key, row, column))]
            order = np.argsort(merged[0], kind="stable")[:kept]
            best[int(value)] = tuple(array[order] for array in merged)
        progress.set((top + height) / pti.grid.height)
    reader.close()
    return {code: (row, column) for code, (_, row, column) in best.items()}


def _thin(longitude, latitude, spacing_km, wanted, progress):
    """Return the indices kept when points are taken in order and none may lie closer than ``spacing_km``."""
    # chord of the distance, on the largest radius of curvature, so that no distance can fall short; cubes of that
    # side hold the neighbours of a point in 27 cubes
    largest = SEMI_MAJOR_M / 1000 / (1 - FLATTENING)
    chord = 2 * largest * np.sin(min(spacing_km / largest, np.pi) / 2)
    place = _geocentric_km(longitude, latitude)
    cubes = np.floor(place / chord).astype(np.int64)
    taken, chosen = {}, []
    around = [(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)]
    for i, (cube, point) in enumerate(zip(map(tuple, cubes), place)):
        if i % 4096 == 0:
            progress.check()
        near = [other for step in around
                for other in taken.get((cube[0] + step[0], cube[1] + step[1], cube[2] + step[2]), ())]
        if near and ((place[near] - point) ** 2).sum(axis=1).min() < chord * chord:
            continue
        taken.setdefault(cube, []).append(i)
        chosen.append(i)
        if len(chosen) == wanted:
            break
    return np.array(chosen, dtype=int)


def _geocentric_km(longitude, latitude):
    """Return places on the WGS 84 ellipsoid as (n, 3) geocentric coordinates in km."""
    longitude, latitude = np.radians(longitude), np.radians(latitude)
    e2 = FLATTENING * (2 - FLATTENING)
    normal = SEMI_MAJOR_M / 1000 / np.sqrt(1 - e2 * np.sin(latitude) ** 2)
    across = normal * np.cos(latitude)
    return np.stack([across * np.cos(longitude), across * np.sin(longitude), (1 - e2) * normal * np.sin(latitude)], 1)


def _predictors(stack, rows, columns, progress):
    """Return the predictors of cells in row order, float32 (n, features)."""
    reader = SourceReader()
    x = np.empty((len(rows), len(stack.sources)), dtype=np.float32)
    for top in range(0, stack.grid.height, _ROWS_AT_ONCE):
        progress.check()
        first, last = np.searchsorted(rows, (top, top + _ROWS_AT_ONCE))
        if first < last:
            height = min(_ROWS_AT_ONCE, stack.grid.height - top)
            layers = _read_valid(reader, stack, top, height, 0, stack.grid.width)
            x[first:last] = layers[:, rows[first:last] - top, columns[first:last]].T
        progress.set((top + _ROWS_AT_ONCE) / stack.grid.height)
    reader.close()
    return x
