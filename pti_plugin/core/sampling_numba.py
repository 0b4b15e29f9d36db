"""Compiled loops of sampling; what each does, and the shape of the tables, is told in sampling_numpy.

Imported lazily, because it imports numba.
"""

import numpy as np

from .compiled import compiled

#: mark of a cell of which the intervals alone do not tell whether it is far enough from the edge
UNSURE = np.uint8(255)


@compiled
def _run_lengths(cells, left, right, most):
    height, width = cells.shape
    for row in range(height):
        run = -1
        for column in range(width):
            run = run + 1 if column == 0 or cells[row, column] == cells[row, column - 1] else 0
            left[row, column] = min(run, most)
        run = -1
        for column in range(width - 1, -1, -1):
            run = run + 1 if column == width - 1 or cells[row, column] == cells[row, column + 1] else 0
            right[row, column] = min(run, most)


def run_lengths(cells, left, right):
    """As sampling_numpy.run_lengths."""
    _run_lengths(cells, left, right, np.iinfo(left.dtype).max)


@compiled
def _meets(cells, left, right, own, row, column, low, high, need, found):
    """Fill ``found`` for cells in a line, from (row, column) on: whether their intervals hold another class.

    ``need`` (2 numbers) has the type of the run lengths: like compared with like is vector code.
    """
    reach = low.size // 2
    found[:] = 0
    for place in range(low.size):
        first, last = low[place], high[place]
        if first > last:
            continue
        anchor = min(max(0, first), last)
        need[0], need[1] = anchor - first, last - anchor
        before, after = need[0], need[1]
        line, start = row + place - reach, column + anchor
        there = cells[line, start:start + own.size]
        to_left, to_right = left[line, start:start + own.size], right[line, start:start + own.size]
        for i in range(own.size):
            found[i] |= (there[i] != own[i]) | (to_left[i] < before) | (to_right[i] < after)


@compiled
def erode(cells, left, right, pad, row, tile, kind, torn, outer_low, outer_high, inner_low, inner_high, out):
    """As sampling_numpy.erode."""
    height, width = out.shape
    tile_rows, tile_columns, across = tile
    maybe, surely = np.empty(tile_columns, np.uint8), np.empty(tile_columns, np.uint8)
    need = np.empty(2, left.dtype)
    for top in range(0, height, tile_rows):
        for start in range(0, width, tile_columns):
            place = (row + top) // tile_rows * across + start // tile_columns
            stop = min(start + tile_columns, width)
            for line in range(top, min(top + tile_rows, height)):
                own = cells[pad[0] + line, pad[1] + start:pad[1] + stop]
                result = out[line, start:stop]
                for i in range(own.size):
                    result[i] = own[i] if kind[own[i]] < 0 else 0
                if torn[place]:
                    continue
                for use in range(outer_low.shape[0]):
                    present = False
                    for i in range(own.size):
                        present |= own[i] != 0 and kind[own[i]] == use
                    if not present:
                        continue
                    _meets(cells, left, right, own, pad[0] + line, pad[1] + start, outer_low[use, place],
                           outer_high[use, place], need, maybe[:own.size])
                    doubt = False
                    for i in range(own.size):
                        if own[i] != 0 and kind[own[i]] == use:
                            result[i] = 0 if maybe[i] else own[i]
                            doubt |= maybe[i] != 0
                    if doubt:
                        _meets(cells, left, right, own, pad[0] + line, pad[1] + start, inner_low[use, place],
                               inner_high[use, place], need, surely[:own.size])
                        for i in range(own.size):
                            if own[i] != 0 and kind[own[i]] == use and maybe[i] and not surely[i]:
                                result[i] = UNSURE


@compiled
def doubtful_pairs(cells, pad, row, rows, columns, tile, kind, outer_low, outer_high, inner_low, inner_high):
    """As sampling_numpy.doubtful_pairs, in another order."""
    reach = outer_low.shape[2] // 2
    number = 0
    found = np.empty((3, 0), np.int64)
    for fill in range(2):
        if fill:
            found = np.empty((3, number), np.int64)
        number = 0
        for i in range(rows.size):
            code = cells[rows[i] + pad[0], columns[i] + pad[1]]
            use = kind[code]
            place = (rows[i] + row) // tile[0] * tile[2] + columns[i] // tile[1]
            for step in range(2 * reach + 1):
                line = rows[i] + step - reach
                for along in range(outer_low[use, place, step], outer_high[use, place, step] + 1):
                    if inner_low[use, place, step] <= along <= inner_high[use, place, step]:
                        continue
                    if cells[line + pad[0], columns[i] + along + pad[1]] != code:
                        if fill:
                            found[0, number], found[1, number], found[2, number] = i, line, columns[i] + along
                        number += 1
    return found[0], found[1], found[2]


@compiled
def tile_counts(cells, row, tile, counts):
    """As sampling_numpy.tile_counts."""
    height, width = cells.shape
    tile_rows, tile_columns, across = tile
    for line in range(height):
        base = (row + line) // tile_rows * across
        for start in range(0, width, tile_columns):
            place = base + start // tile_columns
            for column in range(start, min(start + tile_columns, width)):
                code = cells[line, column]
                if code != 0:
                    counts[place, code] += 1


@compiled
def _mixed(key):
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


@compiled
def smallest_keys(cells, row, addend, limit):
    """As sampling_numpy.smallest_keys."""
    height, width = cells.shape
    number = 0
    for line in range(height):
        base = (np.uint64(row + line) << np.uint64(32)) + addend
        for column in range(width):
            code = cells[line, column]
            if code != 0 and _mixed(base + np.uint64(column)) <= limit[code]:
                number += 1
    rows, columns = np.empty(number, np.int64), np.empty(number, np.int64)
    keys = np.empty(number, np.uint64)
    number = 0
    for line in range(height):
        base = (np.uint64(row + line) << np.uint64(32)) + addend
        for column in range(width):
            code = cells[line, column]
            if code != 0:
                key = _mixed(base + np.uint64(column))
                if key <= limit[code]:
                    rows[number], columns[number], keys[number] = row + line, column, key
                    number += 1
    return rows, columns, keys


@compiled
def _slot(x, y, z, group, mask):
    return (x * 73856093 ^ y * 19349663 ^ z * 83492791 ^ group * 50331653) & mask


@compiled
def _too_near(places, codes, i, chord, across, x, y, z, group, head, following):
    mask = head.size - 1
    for a in range(-1, 2):
        for b in range(-1, 2):
            for c in range(-1, 2):
                j = head[_slot(x + a, y + b, z + c, group, mask)]
                while j >= 0:
                    # other cubes may share the slot; their points are further away and do no harm
                    if across or codes[j] == codes[i]:
                        least = max(chord[codes[j]], chord[codes[i]])
                        dx, dy, dz = (places[j, 0] - places[i, 0], places[j, 1] - places[i, 1],
                                      places[j, 2] - places[i, 2])
                        if dx * dx + dy * dy + dz * dz < least * least:
                            return True
                    j = following[j]
    return False


@compiled
def _thin(places, codes, chord, room, across, settled, longest, keep, head, following):
    mask = head.size - 1
    for i in range(codes.size):
        code = codes[i]
        if i >= settled and room[code] <= 0:
            continue
        side = longest if across else chord[code]
        if side > 0.0:
            group = np.int64(0) if across else np.int64(code)
            x, y, z = (np.int64(np.floor(places[i, 0] / side)), np.int64(np.floor(places[i, 1] / side)),
                       np.int64(np.floor(places[i, 2] / side)))
            if i >= settled and _too_near(places, codes, i, chord, across, x, y, z, group, head, following):
                continue
            slot = _slot(x, y, z, group, mask)
            following[i] = head[slot]
            head[slot] = i
        if i >= settled:
            room[code] -= 1
        keep[i] = True


def thin(places, codes, chord, room, across, settled):
    """As sampling_numpy.thin."""
    keep = np.zeros(len(codes), dtype=bool)
    head = np.full(1 << max(int(len(codes)).bit_length(), 4), -1, dtype=np.int64)
    longest = float(chord[codes].max()) if across and len(codes) else 0.0
    _thin(places, codes, chord, room, across, settled, longest, keep, head, np.full(len(codes), -1, dtype=np.int64))
    return keep


@compiled
def paint(cells, rows, columns, codes, tile, kind, low, high, across, circle):
    """As sampling_numpy.paint."""
    height, width = cells.shape
    reach = low.shape[2] // 2
    for i in range(rows.size):
        row, column, code = rows[i], columns[i], codes[i]
        use = kind[code]
        if use < 0:
            continue
        place = row // tile[0] * tile[2] + column // tile[1]
        for line in range(max(row - reach, 0), min(row + reach + 1, height)):
            first = low[use, place, line - row + reach] + column
            last = high[use, place, line - row + reach] + column
            for at in range(first, last + 1):
                if circle:
                    at %= circle
                if 0 <= at < width and (across or cells[line, at] == code):
                    cells[line, at] = 0


@compiled
def _rim_counts(first_row, last_row, run_rows, starts, stops, codes, tile, tiles_down, width, kind, low, high, pad,
                counts, change):
    tile_rows, tile_columns, across = tile
    reach = low.shape[2] // 2
    wide = width + 2 * pad
    leftmost, rightmost = np.empty(256, np.int64), np.empty(256, np.int64)
    begin = end = 0
    for row in range(first_row, last_row):
        while begin < run_rows.size and run_rows[begin] < row - reach:
            begin += 1
        end = max(begin, end)
        while end < run_rows.size and run_rows[end] <= row + reach:
            end += 1
        leftmost[:] = wide
        rightmost[:] = -1
        for run in range(begin, end):
            code, offset = codes[run], row - run_rows[run] + reach
            use, down = kind[code], run_rows[run] // tile_rows * across
            at, to = down + starts[run] // tile_columns, down + stops[run] // tile_columns
            if low[use, at, offset] > high[use, at, offset]:
                continue
            first = starts[run] + np.int64(low[use, at, offset])
            last = stops[run] + np.int64(high[use, to, offset])
            if first > last:
                continue
            first, last = max(first + pad, 0), min(last + pad + 1, wide)
            change[code, first] += 1
            change[code, last] -= 1
            leftmost[code] = min(leftmost[code], first)
            rightmost[code] = max(rightmost[code], last)
        line = min(max(row // tile_rows, 0), tiles_down - 1) * across
        for code in range(256):
            covered = 0
            for column in range(leftmost[code], rightmost[code] + 1):
                covered += change[code, column]
                change[code, column] = 0
                if covered > 0:
                    counts[line + min(max(column - pad, 0), width - 1) // tile_columns, code] += 1


def rim_counts(first_row, last_row, run_rows, starts, stops, codes, tile, tiles_down, width, kind, low, high, pad,
               counts):
    """As sampling_numpy.rim_counts."""
    _rim_counts(first_row, last_row, run_rows, starts, stops, codes, tile, tiles_down, width, kind, low, high, pad,
                counts, np.zeros((256, width + 2 * pad + 1), dtype=np.int32))
