"""The loops of sampling in plain NumPy, for where numba is missing; sampling_numba has the same ones, compiled.

Tables of intervals have the shape (kinds, tiles, 2 × reach + 1): for a kind of distance, a tile of the grid and an
offset in rows from -reach to reach, the columns (low to high, relative to a cell) that are nearer than the distance;
none where low > high. A tile has ``tile`` = (rows, columns, tiles across) cells. ``kind`` gives the table of every
class code, -1 for none. Both modules give the same result to the bit.
"""

import numpy as np

from ..rasters.cell_keys import mixed


def _padded(cells, row, height, pad, circle):
    """Return rows of the grid with what is round them: 0 beyond the grid, what follows on a closed circle."""
    (reach, side), width = pad, cells.shape[1]
    padded = np.zeros((height + 2 * reach, width + 2 * side), dtype=np.uint8)
    top, bottom = max(row - reach, 0), min(row + height + reach, len(cells))
    part = padded[top - row + reach:bottom - row + reach]
    part[:, side:side + width] = cells[top:bottom]
    if circle and side:
        part[:, :side] = cells[top:bottom, width - side:]
        part[:, side + width:] = cells[top:bottom, :side]
    return padded


def _run_lengths(cells):
    """Return how many neighbours of the same class on end every cell has to its left and to its right, int32."""
    columns = np.arange(cells.shape[1], dtype=np.int32)
    change = np.ones(cells.shape, dtype=bool)
    change[:, 1:] = cells[:, 1:] != cells[:, :-1]
    start = np.maximum.accumulate(np.where(change, columns, 0), axis=1)
    change[:, :-1] = change[:, 1:]
    change[:, -1] = True
    end = np.minimum.accumulate(np.where(change, columns, cells.shape[1])[:, ::-1], axis=1)[:, ::-1]
    return columns - start, end - columns


def erode(cells, row, pad, circle, tile, kind, torn, outer_low, outer_high, inner_low, inner_high, out):
    """Fill ``out`` with the class of every cell that has none of another class in its inner intervals, else 0.

    ``cells``: the whole grid; ``row``: the first row of ``out`` on it, where a tile begins; ``out``: rows of the grid,
    0 before; ``pad``: rows and columns that the intervals reach to either side; ``circle``: columns round the Earth, 0
    where the grid does not close the circle. Neighbouring intervals overlap. Cells in ``torn`` tiles become 0. Returns
    (rows, columns) in ``out`` of the cells that have another class in their outer intervals, but not in the inner ones.
    """
    height, width = out.shape
    tile_rows, tile_columns, across = tile
    padded = _padded(cells, row, height, pad, circle)
    left, right = _run_lengths(padded)
    unsure = np.zeros(out.shape, dtype=bool)
    for top in range(0, height, tile_rows):
        bottom = min(top + tile_rows, height)
        for start in range(0, width, tile_columns):
            stop = min(start + tile_columns, width)
            place = (row + top) // tile_rows * across + start // tile_columns
            here = padded[pad[0] + top:pad[0] + bottom, pad[1] + start:pad[1] + stop]
            if here.any():
                _erode_tile(padded, left, right, pad, (top, bottom, start, stop), here, kind, torn[place],
                            (outer_low[:, place], outer_high[:, place]), (inner_low[:, place], inner_high[:, place]),
                            out[top:bottom, start:stop], unsure[top:bottom, start:stop])
    return np.nonzero(unsure)


def _erode_tile(cells, left, right, pad, place, here, kind, torn, outer, inner, out, unsure):
    kinds = kind[here]
    free = (here != 0) & (kinds < 0)
    out[free] = here[free]
    if torn:
        return
    for value in np.unique(kinds[here != 0]):
        if value >= 0:
            mine = (here != 0) & (kinds == value)
            maybe = mine & _meets(cells, left, right, pad, place, here, outer[0][value], outer[1][value])
            surely = maybe.copy()
            if maybe.any():
                surely &= _meets(cells, left, right, pad, place, here, inner[0][value], inner[1][value])
            kept = mine & ~surely
            out[kept] = here[kept]
            unsure |= maybe & ~surely


def _meets(cells, left, right, pad, place, here, low, high):
    """True where the intervals round a cell of a tile hold a cell of another class."""
    top, bottom, start, stop = place
    found = np.zeros(here.shape, dtype=bool)
    reach = len(low) // 2
    for offset in range(-reach, reach + 1):
        first, last = int(low[offset + reach]), int(high[offset + reach])
        if first > last:
            continue
        anchor = min(max(0, first), last)
        window = (slice(pad[0] + offset + top, pad[0] + offset + bottom),
                  slice(pad[1] + anchor + start, pad[1] + anchor + stop))
        found |= (cells[window] != here) | (left[window] < anchor - first) | (right[window] < last - anchor)
    return found


def doubtful_pairs(cells, rows, columns, tile, kind, outer_low, outer_high, inner_low, inner_high):
    """Return (number of the cell, rows, columns) of the cells of another class that make some cells unsure.

    ``cells``: the whole grid; ``rows`` and ``columns``: the unsure cells. Those returned may lie beyond the grid, where
    there is no class. On a closed circle the intervals are exact, and no cell is unsure.
    """
    (height, width), codes = cells.shape, cells[rows, columns]
    groups = (rows // tile[0] * tile[2] + columns // tile[1]) * 256 + kind[codes]
    order = np.argsort(groups, kind="stable")
    found = []
    for part in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        place, use = divmod(int(groups[part[0]]), 256)
        down, along = _between(outer_low[use, place], outer_high[use, place], inner_low[use, place],
                               inner_high[use, place])
        line, column = rows[part][:, None] + down, columns[part][:, None] + along
        known = (line >= 0) & (line < height) & (column >= 0) & (column < width)
        others = np.where(known, cells[np.clip(line, 0, height - 1), np.clip(column, 0, width - 1)], 0)
        number, offset = np.nonzero(others != codes[part][:, None])
        found.append((part[number], line[number, offset], column[number, offset]))
    return tuple(np.concatenate(parts) for parts in zip(*found))


def _between(outer_low, outer_high, inner_low, inner_high):
    """Return (rows, columns) of the offsets that are in the outer intervals and not in the inner ones."""
    reach, down, along = len(outer_low) // 2, [], []
    for i, (first, last) in enumerate(zip(outer_low, outer_high)):
        columns = np.arange(first, last + 1)
        columns = columns[(columns < inner_low[i]) | (columns > inner_high[i])]
        along.append(columns)
        down.append(np.full(len(columns), i - reach))
    return np.concatenate(down), np.concatenate(along)


def tile_counts(cells, row, tile, counts):
    """Add to ``counts`` (tiles, 256) how many cells of every class the tiles have; ``row``: first one on the grid."""
    tile_rows, tile_columns, across = tile
    rows, columns = np.nonzero(cells)
    places = (rows + row) // tile_rows * across + columns // tile_columns
    np.add.at(counts, (places, cells[rows, columns]), 1)


def smallest_keys(cells, row, addend, limit):
    """Return (rows, columns, keys) of the cells whose key is at most the ``limit`` of their class, row by row.

    ``row``: first one on the grid; ``addend``: what the seed adds to a cell's place; see cell_keys.py.
    """
    rows, columns = np.nonzero(cells)
    keys = mixed((rows.astype(np.uint64) + np.uint64(row) << np.uint64(32)) + columns.astype(np.uint64) + addend)
    found = keys <= limit[cells[rows, columns]]
    return rows[found] + row, columns[found], keys[found]


def recode(cells, table):
    """Replace the class of every cell by its entry in ``table`` (256), where 0 stays 0."""
    cells[:] = table[cells]


def runs(cells):
    """Return (rows, first columns, last columns, classes) of the runs of equal cells other than 0, row by row."""
    begins, ends = cells != 0, cells != 0
    begins[:, 1:] &= cells[:, 1:] != cells[:, :-1]
    ends[:, :-1] &= cells[:, 1:] != cells[:, :-1]
    rows, starts = np.nonzero(begins)
    return rows, starts, np.nonzero(ends)[1], cells[rows, starts].astype(np.int64)


def thin(places, codes, chord, room, across, settled):
    """Return a mask of the points kept when they are taken in order and none may lie too near a kept one.

    ``places`` (n, 3) km; ``codes``: class of each; ``chord``: least chord of every class code, km; two points of
    different classes are compared only where ``across``, by the longer of their chords. The first ``settled`` points
    are kept already. ``room``: how many more of every class may be kept; it is counted down.
    """
    keep = np.zeros(len(places), dtype=bool)
    keep[:settled] = True
    longest = chord[codes].max() if across and len(codes) else 0.0
    taken = {}
    around = [(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)]
    for i, code in enumerate(codes):
        if i >= settled and room[code] <= 0:
            continue
        side = longest if across else chord[code]
        if side > 0:
            group = 0 if across else int(code)
            x, y, z = (int(step) for step in np.floor(places[i] / side))
            if i >= settled:
                near = [j for a, b, c in around for j in taken.get((group, x + a, y + b, z + c), ())]
                if near:
                    least = np.maximum(chord[codes[near]], chord[code])
                    if ((((places[near] - places[i]) ** 2).sum(axis=1)) < least * least).any():
                        continue
            taken.setdefault((group, x, y, z), []).append(i)
        if i >= settled:
            room[code] -= 1
            keep[i] = True
    return keep


def paint(cells, rows, columns, codes, tile, kind, low, high, across, circle):
    """Close (set to 0) the cells in the intervals round points: those of their class, or all where ``across``.

    ``circle``: columns round the Earth, 0 where the grid does not close the circle.
    """
    height, width = cells.shape
    reach = low.shape[2] // 2
    for row, column, code in zip(rows, columns, codes):
        if kind[code] < 0:
            continue
        place = row // tile[0] * tile[2] + column // tile[1]
        for line in range(max(row - reach, 0), min(row + reach + 1, height)):
            first = int(low[kind[code], place, line - row + reach]) + column
            last = int(high[kind[code], place, line - row + reach]) + column
            if first > last:
                continue
            parts = [(first, last)]
            if circle:
                parts += [(first + circle, last + circle), (first - circle, last - circle)]
            for start, stop in parts:
                part = cells[line, max(start, 0):max(min(stop + 1, width), 0)]
                part[part == code if not across else slice(None)] = 0


def rim_counts(first_row, last_row, run_rows, starts, stops, codes, tile, tiles_down, width, kind, low, high, pad,
               counts):
    """Add to ``counts`` (tiles, 256) how many cells of some rows are within reach of each class.

    ``run_rows``, ``starts``, ``stops`` (last column), ``codes``: the runs of cells of each class, row by row. Rows and
    columns go on beyond the grid by ``pad``; cells there count to the nearest tile.
    """
    tile_rows, tile_columns, across = tile
    reach = low.shape[2] // 2
    columns = np.clip(np.arange(-pad, width + pad), 0, width - 1) // tile_columns
    present = np.unique(codes)
    number = np.zeros(256, dtype=np.intp)
    number[present] = np.arange(len(present))
    for row in range(first_row, last_row):
        begin, end = np.searchsorted(run_rows, (row - reach, row + reach + 1))
        if begin == end:
            continue
        code, offset = codes[begin:end], row - run_rows[begin:end] + reach
        down = run_rows[begin:end] // tile_rows * across
        first = low[kind[code], down + starts[begin:end] // tile_columns, offset]
        empty = first > high[kind[code], down + starts[begin:end] // tile_columns, offset]
        first = starts[begin:end] + first
        last = stops[begin:end] + high[kind[code], down + stops[begin:end] // tile_columns, offset]
        used = ~empty & (first <= last)
        change = np.zeros((len(present), width + 2 * pad + 1), dtype=np.int32)
        np.add.at(change, (number[code[used]], np.maximum(first[used] + pad, 0)), 1)
        np.add.at(change, (number[code[used]], np.minimum(last[used] + pad + 1, width + 2 * pad)), -1)
        line = min(max(row // tile_rows, 0), tiles_down - 1) * across
        covered = np.cumsum(change[:, :-1], axis=1) > 0
        for place, value in enumerate(present):
            counts[line:line + across, value] += np.bincount(columns[covered[place]], minlength=across)
