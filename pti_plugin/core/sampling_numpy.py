"""The loops of sampling in plain NumPy, for where numba is missing; sampling_numba has the same ones, compiled.

Tables of intervals have the shape (kinds, tiles, 2 × reach + 1): for a kind of distance, a tile of the grid and an
offset in rows from -reach to reach, the columns (low to high, relative to a cell) that are nearer than the distance;
none where low > high. A tile has ``tile`` = (rows, columns, tiles across) cells. ``kind`` gives the table of every
class code, -1 for none. Both modules give the same result to the bit.
"""

import numpy as np

#: mark of a cell of which the intervals alone do not tell whether it is far enough from the edge
UNSURE = 255


def run_lengths(cells, left, right):
    """Fill ``left`` and ``right`` with the number of neighbours of the same class on end, capped at their type."""
    most = np.iinfo(left.dtype).max
    columns = np.arange(cells.shape[1])
    change = np.ones(cells.shape, dtype=bool)
    change[:, 1:] = cells[:, 1:] != cells[:, :-1]
    start = np.maximum.accumulate(np.where(change, columns, 0), axis=1)
    left[:] = np.minimum(columns - start, most)
    change[:, :-1] = change[:, 1:]
    change[:, -1] = True
    end = np.minimum.accumulate(np.where(change, columns, cells.shape[1])[:, ::-1], axis=1)[:, ::-1]
    right[:] = np.minimum(end - columns, most)


def erode(cells, left, right, pad, row, tile, kind, torn, outer_low, outer_high, inner_low, inner_high, out):
    """Fill ``out`` with the class of every cell that has no cell of another class in its intervals, else 0 or UNSURE.

    ``cells`` and the run lengths are wider than ``out`` by ``pad`` = (rows, columns) on every side; ``row`` is the
    first row of ``out`` on the grid, where a tile begins. A cell that has one in its outer but not in its inner
    intervals is UNSURE.
    """
    height, width = out.shape
    tile_rows, tile_columns, across = tile
    out[:] = 0
    for top in range(0, height, tile_rows):
        bottom = min(top + tile_rows, height)
        for start in range(0, width, tile_columns):
            stop = min(start + tile_columns, width)
            place = (row + top) // tile_rows * across + start // tile_columns
            here = cells[pad[0] + top:pad[0] + bottom, pad[1] + start:pad[1] + stop]
            if here.any():
                _erode_tile(cells, left, right, pad, (top, bottom, start, stop), here, kind, torn[place],
                            (outer_low[:, place], outer_high[:, place]), (inner_low[:, place], inner_high[:, place]),
                            out[top:bottom, start:stop])


def _erode_tile(cells, left, right, pad, place, here, kind, torn, outer, inner, out):
    kinds = kind[here]
    free = (here != 0) & (kinds < 0)
    out[free] = here[free]
    if torn:
        return
    for value in np.unique(kinds[here != 0]):
        if value >= 0:
            mine = (here != 0) & (kinds == value)
            sure = mine & ~_meets(cells, left, right, pad, place, here, outer[0][value], outer[1][value])
            out[sure] = here[sure]
            rest = mine & ~sure
            if rest.any():
                unsure = rest & ~_meets(cells, left, right, pad, place, here, inner[0][value], inner[1][value])
                out[unsure] = UNSURE


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


def doubtful_pairs(cells, pad, row, rows, columns, tile, kind, outer_low, outer_high, inner_low, inner_high):
    """Return (number of the cell, rows, columns) of the cells of another class that make some cells UNSURE.

    ``rows`` and ``columns`` of the unsure cells and those returned are relative to ``out`` of ``erode``.
    """
    codes = cells[rows + pad[0], columns + pad[1]]
    groups = ((rows + row) // tile[0] * tile[2] + columns // tile[1]) * 256 + kind[codes]
    order = np.argsort(groups, kind="stable")
    found = []
    for part in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        place, use = divmod(int(groups[part[0]]), 256)
        down, along = _between(outer_low[use, place], outer_high[use, place], inner_low[use, place],
                               inner_high[use, place])
        others = cells[rows[part][:, None] + pad[0] + down, columns[part][:, None] + pad[1] + along]
        number, offset = np.nonzero(others != codes[part][:, None])
        number = part[number]
        found.append((number, rows[number] + down[offset], columns[number] + along[offset]))
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

    ``row``: first one on the grid; ``addend``: what the seed adds to a cell's place; see sampling.cell_keys.
    """
    rows, columns = np.nonzero(cells)
    keys = mixed((rows.astype(np.uint64) + np.uint64(row) << np.uint64(32)) + columns.astype(np.uint64) + addend)
    found = keys <= limit[cells[rows, columns]]
    return rows[found] + row, columns[found], keys[found]


def mixed(key):
    """Return the splitmix64 finaliser of uint64 numbers."""
    with np.errstate(over="ignore"):
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


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
