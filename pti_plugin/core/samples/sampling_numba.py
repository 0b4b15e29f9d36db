"""Compiled loops of sampling; what each does, and the shape of the tables, is told in sampling_numpy.

Cells are taken eight at a time where they are all of one class, and the search for cells of another class works on
bits, 64 cells a word. Imported lazily, because it imports numba.
"""

import numpy as np

from ..common.compiled import compiled

_LOW_BITS, _HIGH_BITS = np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(0x8080808080808080)
_EACH_BYTE, _TO_ONE_BYTE = np.uint64(0x0101010101010101), np.uint64(0x0102040810204080)
_ALL_BITS, _ONE = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(1)


def _line_buffer(lines, cells):
    """Return zeroed lines of cells, (lines, bytes), and the same memory as words of eight cells each."""
    memory = np.zeros((lines, -(-cells // 8) + 1), dtype=np.uint64)
    return memory.view(np.uint8), memory


@compiled
def _copy(cells, line):
    # much faster than an assignment to a slice
    for i in range(cells.size):
        line[i] = cells[i]


@compiled
def _any(words, start):
    """Return whether any of eight words, which are 64 cells, holds a class."""
    found = np.uint64(0)
    for word in range(start, start + 8):
        found |= words[word]
    return found != 0


# the edge buffer ------------------------------------------------------------------------------------------------------

@compiled
def _bits(word):
    """Return eight bits that say which of the eight bytes of a word are not 0."""
    word = (((word & _LOW_BITS) + _LOW_BITS) | word) & _HIGH_BITS
    return ((word >> np.uint64(7)) * _TO_ONE_BYTE) >> np.uint64(56)


@compiled
def _copy_line(cells, row, first, side, circle, line):
    """Fill a line with a row of the grid from place ``first`` on, and what is round it; 0 beyond the grid."""
    width = cells.shape[1]
    if row < 0 or row >= cells.shape[0]:
        line[:] = 0
        return
    _copy(cells[row], line[first:])
    if circle:
        _copy(cells[row, width - side:], line[first - side:])
        _copy(cells[row, :side], line[first + width:])


@compiled
def _pack(cells, row, side, circle, first, lines, words, changes, below):
    """Fill bits (words × rows from ``row`` on): where a cell differs from the next one, and from the one below it."""
    number, height = changes.shape[0] - 1, changes.shape[1]
    _copy_line(cells, row, first, side, circle, lines[0])
    for line in range(height):
        odd = line & 1
        _copy_line(cells, row + line + 1, first, side, circle, lines[1 - odd])
        here, under = words[odd], words[1 - odd]
        for word in range(number):
            along, down = np.uint64(0), np.uint64(0)
            differs = np.uint64(0)
            for at in range(8 * word, 8 * word + 8):
                differs |= here[at] ^ ((here[at] >> np.uint64(8)) | (here[at + 1] << np.uint64(56)))
                differs |= here[at] ^ under[at]
            for group in range(8 if differs else 0):
                at = 8 * word + group
                eight = here[at]
                next_cells = (eight >> np.uint64(8)) | (here[at + 1] << np.uint64(56))
                if eight != next_cells:
                    along |= _bits(eight ^ next_cells) << np.uint64(8 * group)
                if eight != under[at]:
                    down |= _bits(eight ^ under[at]) << np.uint64(8 * group)
            changes[word, line] = along
            below[word, line] = down


@compiled
def _mark(cells, kind, line, words, mine, filled):
    """Fill bits (kinds × words × rows): which cells of a strip have a buffer of a kind; ``filled``: words with any."""
    height, width = cells.shape
    for row in range(height):
        _copy(cells[row], line)
        for word in range(filled.shape[0]):
            for group in range(8 if _any(words, 8 * word) else 0):
                eight = words[8 * word + group]
                if eight == 0:
                    continue
                filled[word, row] = True
                code = eight & np.uint64(255)
                if eight == code * _EACH_BYTE:
                    if kind[code] >= 0:
                        mine[kind[code], word, row] |= np.uint64(255) << np.uint64(8 * group)
                    continue
                for i in range(8):
                    code = eight >> np.uint64(8 * i) & np.uint64(255)
                    if code != 0 and kind[code] >= 0:
                        mine[kind[code], word, row] |= _ONE << np.uint64(8 * group + i)


@compiled
def _double(changes):
    """Fill level n + 1 from level n: whether any of the 2^n cells from a cell on differs from its next one."""
    levels, number, height = changes.shape
    for level in range(levels - 1):
        ahead = 1 << level
        whole, shift = ahead // 64, np.uint64(ahead % 64)
        for word in range(number):
            target, source = changes[level + 1, word], changes[level, word]
            _copy(source, target)
            if word + whole + 1 < number:
                one, other = changes[level, word + whole], changes[level, word + whole + 1]
                for line in range(height):
                    target[line] |= (one[line] >> shift) | ((other[line] << _ONE) << (np.uint64(63) - shift))
            elif word + whole < number:
                for line in range(height):
                    target[line] |= changes[level, word + whole, line] >> shift


@compiled
def _gather(plane, word, row, along, place, found):
    """Add to ``found`` the bits that lie ``place`` bits from those of some words, from a word and row on.

    The words follow each other in a row (``along``; planes are rows × words), or from row to row (words × rows).
    """
    word += place // 64
    shift, number = np.uint64(place % 64), found.size
    if along:
        one, other = plane[row, word:word + number], plane[row, word + 1:word + 1 + number]
    else:
        one, other = plane[word, row:row + number], plane[word + 1, row:row + number]
    for i in range(number):
        found[i] |= (one[i] >> shift) | ((other[i] << _ONE) << (np.uint64(63) - shift))


@compiled
def _meets(changes, below, word, row, along, low, high, found):
    """Fill ``found`` with bits, word by word: whether the intervals of a cell hold another class.

    Neighbouring intervals overlap, so another class in them shows as a change within a row or from row to row.
    """
    found[:] = 0
    for place in range(low.size):
        first, last = np.int64(low[place]), np.int64(high[place])
        if first > last:
            continue
        if last > first:
            level = 0
            while (2 << level) <= last - first:
                level += 1
            _gather(changes[level], word, row + place, along, first, found)
            _gather(changes[level], word, row + place, along, last - (1 << level), found)
        if place + 1 < low.size and low[place + 1] <= high[place + 1]:
            anchor = min(max(0, first, np.int64(low[place + 1])), last, np.int64(high[place + 1]))
            _gather(below, word, row + place, along, anchor, found)


@compiled
def _judge_words(changes, below, word, row, along, torn, outer_low, outer_high, inner_low, inner_high, mask, own, near,
                 sure, found):
    """Add to ``near`` and ``sure`` which cells of ``own`` have another class in their outer and inner intervals."""
    anything = np.uint64(0)
    for i in range(own.size):
        anything |= own[i]
    if anything & mask == 0:
        return
    if torn:
        for i in range(own.size):
            near[i] |= own[i] & mask
            sure[i] |= own[i] & mask
        return
    _meets(changes, below, word, row, along, outer_low, outer_high, found)
    anything = np.uint64(0)
    for i in range(own.size):
        new = found[i] & own[i] & mask
        near[i] |= new
        anything |= new
    if anything == 0:
        return
    _meets(changes, below, word, row, along, inner_low, inner_high, found)
    for i in range(own.size):
        sure[i] |= found[i] & own[i] & mask


@compiled
def _judge(changes, below, mine, origin, row, shape, tile, torn, outer_low, outer_high, inner_low, inner_high, maybe,
           surely):
    """Fill bits: which cells have another class in their outer (``maybe``) and inner (``surely``) intervals."""
    height, width = shape
    tile_rows, tile_columns, across = tile
    along = tile_rows == 1
    buffer = np.empty(max(tile_rows, (width + 63) // 64), np.uint64)
    for top in range(0, height, tile_rows):
        bottom = min(top + tile_rows, height)
        for begin in range(0, width, tile_columns):
            end = min(begin + tile_columns, width)
            at = (row + top) // tile_rows * across + begin // tile_columns
            start, stop = begin // 64, (end + 63) // 64
            # several tiles may share a word
            mask = _ALL_BITS if tile_columns >= 64 else ((_ONE << np.uint64(end - begin)) - _ONE) << np.uint64(
                begin % 64)
            for use in range(mine.shape[0]):
                tables = (outer_low[use, at], outer_high[use, at], inner_low[use, at], inner_high[use, at])
                if along:
                    own = mine[use, top]
                    while start < stop and own[start] == 0:
                        start += 1
                    while start < stop and own[stop - 1] == 0:
                        stop -= 1
                    _judge_words(changes, below, start + origin, top, along, torn[at], *tables, mask, own[start:stop],
                                 maybe[top, start:stop], surely[top, start:stop], buffer[:stop - start])
                    start, stop = begin // 64, (end + 63) // 64
                else:
                    for word in range(start, stop):
                        _judge_words(changes, below, word + origin, top, along, torn[at], *tables, mask,
                                     mine[use, word, top:bottom], maybe[word, top:bottom], surely[word, top:bottom],
                                     buffer[:bottom - top])


@compiled
def _unpack(cells, filled, maybe, surely, out):
    """Fill ``out`` (0 before) with the cells that have no other class in their inner intervals; return the unsure."""
    height, width = cells.shape
    number = 0
    for line in range(height):
        for word in range(filled.shape[0]):
            if not filled[word, line]:
                continue
            near = surely[word, line]
            unsure = maybe[word, line] & ~near
            while unsure:
                unsure &= unsure - _ONE
                number += 1
            start, stop = word * 64, min(word * 64 + 64, width)
            if near == 0:
                _copy(cells[line, start:stop], out[line, start:stop])
            elif near != _ALL_BITS:
                for i in range(stop - start):
                    out[line, start + i] = 0 if near >> np.uint64(i) & _ONE else cells[line, start + i]
    rows, columns = np.empty(number, np.int64), np.empty(number, np.int64)
    number = 0
    for line in range(height):
        for word in range(filled.shape[0]):
            unsure = maybe[word, line] & ~surely[word, line]
            if unsure == 0:
                continue
            for i in range(64):
                if unsure >> np.uint64(i) & _ONE:
                    rows[number], columns[number] = line, word * 64 + i
                    number += 1
    return rows, columns


def erode(cells, row, pad, circle, tile, kind, torn, outer_low, outer_high, inner_low, inner_high, out):
    """As sampling_numpy.erode."""
    (reach, side), (height, width) = pad, out.shape
    origin, across = -(-side // 64), -(-width // 64)
    number = across + 2 * origin

    def plane(*before, words=across, rows=height, dtype=np.uint64):
        # words whose intervals are the same lie next to each other: those of a column of a tile, or of a row
        stored = np.zeros((*before, rows, words) if tile[0] == 1 else (*before, words, rows), dtype=dtype)
        return stored, stored.swapaxes(-1, -2) if tile[0] == 1 else stored

    # one word more, since bits are taken from two words at once
    wide = {"words": number + 1, "rows": height + 2 * reach}
    (changes, to_change), (below, to_below) = plane(max(int(2 * side).bit_length(), 1), **wide), plane(**wide)
    _pack(cells, row - reach, side, bool(circle), 64 * origin, *_line_buffer(2, 64 * number), to_change[0], to_below)
    _double(to_change)
    (mine, to_mine), (maybe, from_maybe), (surely, from_surely) = plane(len(outer_low)), plane(), plane()
    filled = plane(dtype=bool)[1]
    own, (line, words) = cells[row:row + height], _line_buffer(1, 64 * across)
    _mark(own, kind, line[0], words[0], to_mine, filled)
    _judge(changes, below, mine, origin, row, out.shape, tile, torn, outer_low, outer_high, inner_low, inner_high,
           maybe, surely)
    return _unpack(own, filled, from_maybe, from_surely, out)


@compiled
def doubtful_pairs(cells, rows, columns, tile, kind, outer_low, outer_high, inner_low, inner_high):
    """As sampling_numpy.doubtful_pairs, in another order."""
    height, width = cells.shape
    reach = outer_low.shape[2] // 2
    number = 0
    found = np.empty((3, 0), np.int64)
    for fill in range(2):
        if fill:
            found = np.empty((3, number), np.int64)
        number = 0
        for i in range(rows.size):
            code = cells[rows[i], columns[i]]
            use = kind[code]
            place = rows[i] // tile[0] * tile[2] + columns[i] // tile[1]
            for step in range(2 * reach + 1):
                line = rows[i] + step - reach
                first, last = inner_low[use, place, step], inner_high[use, place, step]
                along = outer_low[use, place, step]
                while along <= outer_high[use, place, step]:
                    if first <= along <= last:
                        along = last + 1
                        continue
                    column = columns[i] + along
                    along += 1
                    if 0 <= line < height and 0 <= column < width and cells[line, column] == code:
                        continue
                    if fill:
                        found[0, number], found[1, number], found[2, number] = i, line, column
                    number += 1
    return found[0], found[1], found[2]


# counting and drawing ------------------------------------------------------------------------------------------------

@compiled
def _tile_counts(cells, row, tile, line, words, counts):
    height, width = cells.shape
    tile_rows, tile_columns, across = tile
    for own in range(height):
        _copy(cells[own], line)
        base = (row + own) // tile_rows * across
        for start in range(0, width, 64):
            if not _any(words, start // 8):
                continue
            for group in range(start // 8, start // 8 + 8):
                eight = words[group]
                if eight == 0:
                    continue
                # tiles begin at a multiple of eight cells
                here = counts[base + 8 * group // tile_columns]
                code = eight & np.uint64(255)
                if eight == code * _EACH_BYTE:
                    here[code] += 8
                    continue
                for i in range(8):
                    code = eight >> np.uint64(8 * i) & np.uint64(255)
                    if code != 0:
                        here[code] += 1


def tile_counts(cells, row, tile, counts):
    """As sampling_numpy.tile_counts."""
    line, words = _line_buffer(1, -(-cells.shape[1] // 64) * 64)
    _tile_counts(cells, row, tile, line[0], words[0], counts)


@compiled
def _mixed(key):
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


@compiled
def _smallest_keys(cells, row, addend, limit, line, words):
    height, width = cells.shape
    rows, columns, keys = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint64)
    number = 0
    for fill in range(2):
        if fill:
            rows, columns, keys = np.empty(number, np.int64), np.empty(number, np.int64), np.empty(number, np.uint64)
        number = 0
        for own in range(height):
            base = (np.uint64(row + own) << np.uint64(32)) + addend
            _copy(cells[own], line)
            for group in range((width + 7) // 8):
                if words[group] == 0:
                    continue
                for column in range(8 * group, min(8 * group + 8, width)):
                    code = line[column]
                    if code != 0:
                        key = _mixed(base + np.uint64(column))
                        if key <= limit[code]:
                            if fill:
                                rows[number], columns[number], keys[number] = row + own, column, key
                            number += 1
    return rows, columns, keys


def smallest_keys(cells, row, addend, limit):
    """As sampling_numpy.smallest_keys."""
    line, words = _line_buffer(1, cells.shape[1])
    return _smallest_keys(cells, row, addend, limit, line[0], words[0])


@compiled
def _recode(cells, table, line, words):
    height, width = cells.shape
    for row in range(height):
        _copy(cells[row], line)
        for group in range((width + 7) // 8):
            if words[group] != 0:
                for column in range(8 * group, min(8 * group + 8, width)):
                    cells[row, column] = table[line[column]]


def recode(cells, table):
    """As sampling_numpy.recode."""
    line, words = _line_buffer(1, cells.shape[1])
    _recode(cells, table, line[0], words[0])


@compiled
def _runs(cells, line, words):
    height, width = cells.shape
    found = np.empty((4, 0), np.int64)
    number = 0
    for fill in range(2):
        if fill:
            found = np.empty((4, number), np.int64)
        number = 0
        for row in range(height):
            _copy(cells[row], line)
            # one place more, which holds no class
            code, start = np.uint8(0), 0
            for group in range(width // 8 + 1):
                if words[group] == code * _EACH_BYTE:
                    continue
                for column in range(8 * group, min(8 * group + 8, width + 1)):
                    if line[column] == code:
                        continue
                    if code != 0:
                        if fill:
                            found[0, number], found[1, number] = row, start
                            found[2, number], found[3, number] = column - 1, code
                        number += 1
                    code, start = line[column], column
    return found[0], found[1], found[2], found[3]


def runs(cells):
    """As sampling_numpy.runs."""
    line, words = _line_buffer(1, cells.shape[1])
    return _runs(cells, line[0], words[0])


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
def _number_of_bits(word):
    word -= (word >> _ONE) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * _EACH_BYTE) >> np.uint64(56)


@compiled
def _set_bits(words, first, last):
    """Set the bits from ``first`` to ``last`` of a line of words."""
    begin, end = first // 64, last // 64
    from_first = _ALL_BITS << np.uint64(first % 64)
    to_last = _ALL_BITS >> np.uint64(63 - last % 64)
    if begin == end:
        words[begin] |= from_first & to_last
        return
    words[begin] |= from_first
    for word in range(begin + 1, end):
        words[word] = _ALL_BITS
    words[end] |= to_last


@compiled
def _count_line(words, origin, width, tile_columns, code, counts):
    """Add the bits of a line to the counts of their tiles, and set them to 0; ``origin``: the word of column 0."""
    for word in range(words.size):
        bits = words[word]
        if bits == 0:
            continue
        words[word] = 0
        first = 64 * (word - origin)
        tile = min(max(first, 0), width - 1) // tile_columns
        if tile == min(max(first + 63, 0), width - 1) // tile_columns:
            counts[tile, code] += _number_of_bits(bits)
            continue
        for i in range(64):
            if bits >> np.uint64(i) & _ONE:
                counts[min(max(first + i, 0), width - 1) // tile_columns, code] += 1


@compiled
def _rim_counts(first_row, last_row, run_rows, starts, stops, codes, tile, tiles_down, width, kind, low, high, pad,
                counts, covered, used):
    tile_rows, tile_columns, across = tile
    reach = low.shape[2] // 2
    origin = (pad + 63) // 64
    begin = end = 0
    for row in range(first_row, last_row):
        while begin < run_rows.size and run_rows[begin] < row - reach:
            begin += 1
        end = max(begin, end)
        while end < run_rows.size and run_rows[end] <= row + reach:
            end += 1
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
            used[code] = True
            _set_bits(covered[code], max(first, -pad) + 64 * origin, min(last, width + pad - 1) + 64 * origin)
        line = min(max(row // tile_rows, 0), tiles_down - 1) * across
        for code in range(256):
            if used[code]:
                used[code] = False
                _count_line(covered[code], origin, width, tile_columns, code, counts[line:line + across])


def rim_counts(first_row, last_row, run_rows, starts, stops, codes, tile, tiles_down, width, kind, low, high, pad,
               counts):
    """As sampling_numpy.rim_counts."""
    _rim_counts(first_row, last_row, run_rows, starts, stops, codes, tile, tiles_down, width, kind, low, high, pad,
                counts, np.zeros((256, -(-width // 64) + 2 * -(-pad // 64)), dtype=np.uint64),
                np.zeros(256, dtype=bool))
