"""Compiled kernel of the tree ensemble: margins of many cells, bit-sliced.

Imported lazily, because it imports numba.

A block of cells is looked at as bits: one bit mask for every condition of the trees, 1 where a cell goes to the right.
Going down a tree then means selecting, for all cells at once, between the masks of the nodes of a level by the masks
of the levels above, which is vector code; the bits of all levels together number the leaf. Cell i of a block is bit
i // BYTES of byte i % BYTES, so that bits turn into leaf numbers without any shuffling.
"""

import math

import numpy as np

from ..common.compiled import compiled

#: cells of a block, as bits of words and of bytes
WORDS = 32
BYTES = 8 * WORDS
CELLS = 64 * WORDS
#: levels of a tree that are bit-sliced; nodes below are visited cell by cell
LEVELS = 6
#: XGBoost takes this and all above for no category
_NO_CATEGORY = 1 << 24
_ZERO, _ONE, _TWO, _FOUR = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(4)
_SINGLES, _QUARTERS, _HALVES = (np.uint64(pattern * 0x0101010101010101) for pattern in (0x55, 0x33, 0x0F))


@compiled
def _select(bit, zero, one):
    return zero ^ ((zero ^ one) & bit)


@compiled
def _select_two(masks, row_0, row_1, bit, out):
    zero, one = masks[row_0], masks[row_1]
    for w in range(WORDS):
        out[w] = _select(bit[w], zero[w], one[w])


@compiled
def _select_four(masks, rows, first, upper, lower, out):
    a, b, c, d = masks[rows[first]], masks[rows[first + 1]], masks[rows[first + 2]], masks[rows[first + 3]]
    for w in range(WORDS):
        out[w] = _select(upper[w], _select(lower[w], a[w], b[w]), _select(lower[w], c[w], d[w]))


@compiled
def _descend(masks, rows, levels, bits, part):
    """Fill ``bits`` (LEVELS, WORDS): 1 where a cell goes right at that level of a tree; 0 below its last level.

    ``rows``: mask of every node in heap order. ``part``: work space (8, WORDS). Every loop reads a handful of rows, or
    the compiler would not make vector code of it.
    """
    bits_0, bits_1, bits_2, bits_3, bits_4, bits_5 = bits[0], bits[1], bits[2], bits[3], bits[4], bits[5]
    for level in range(levels, LEVELS):
        out = bits[level]
        for w in range(WORDS):
            out[w] = _ZERO
    if levels > 0:
        root = masks[rows[0]]
        for w in range(WORDS):
            bits_0[w] = root[w]
    if levels > 1:
        _select_two(masks, rows[1], rows[2], bits_0, bits_1)
    if levels > 2:
        _select_four(masks, rows, 3, bits_0, bits_1, bits_2)
    if levels > 3:
        for i in range(2):
            _select_four(masks, rows, 7 + 4 * i, bits_1, bits_2, part[i])
        for w in range(WORDS):
            bits_3[w] = _select(bits_0[w], part[0, w], part[1, w])
    if levels > 4:
        for i in range(4):
            _select_four(masks, rows, 15 + 4 * i, bits_2, bits_3, part[i])
        for w in range(WORDS):
            bits_4[w] = _select(bits_0[w], _select(bits_1[w], part[0, w], part[1, w]),
                                _select(bits_1[w], part[2, w], part[3, w]))
    if levels > 5:
        for i in range(8):
            _select_four(masks, rows, 31 + 4 * i, bits_3, bits_4, part[i])
        for w in range(WORDS):
            bits_5[w] = _select(
                bits_0[w],
                _select(bits_1[w], _select(bits_2[w], part[0, w], part[1, w]),
                        _select(bits_2[w], part[2, w], part[3, w])),
                _select(bits_1[w], _select(bits_2[w], part[4, w], part[5, w]),
                        _select(bits_2[w], part[6, w], part[7, w])))


@compiled
def _leaf_numbers(bits, out):
    """Fill ``out`` (8 * WORDS,), a byte for every cell, with its leaf; level 0 of ``bits`` is the lowest bit.

    Transposes squares of 8 × 8 bits, eight of them in a word, by halves, quarters and single bits.
    """
    for w in range(WORDS):
        a, b, c, d = bits[0, w], bits[1, w], bits[2, w], bits[3, w]
        e, f, g, h = bits[4, w], bits[5, w], _ZERO, _ZERO
        a, e = _exchange(a, e, _FOUR, _HALVES)
        b, f = _exchange(b, f, _FOUR, _HALVES)
        c, g = _exchange(c, g, _FOUR, _HALVES)
        d, h = _exchange(d, h, _FOUR, _HALVES)
        a, c = _exchange(a, c, _TWO, _QUARTERS)
        b, d = _exchange(b, d, _TWO, _QUARTERS)
        e, g = _exchange(e, g, _TWO, _QUARTERS)
        f, h = _exchange(f, h, _TWO, _QUARTERS)
        a, b = _exchange(a, b, _ONE, _SINGLES)
        c, d = _exchange(c, d, _ONE, _SINGLES)
        e, f = _exchange(e, f, _ONE, _SINGLES)
        g, h = _exchange(g, h, _ONE, _SINGLES)
        out[w], out[WORDS + w], out[2 * WORDS + w], out[3 * WORDS + w] = a, b, c, d
        out[4 * WORDS + w], out[5 * WORDS + w], out[6 * WORDS + w], out[7 * WORDS + w] = e, f, g, h


@compiled
def _exchange(low, high, shift, mask):
    """Exchange the upper bits of ``low`` with the lower ones of ``high``."""
    changed = ((low >> shift) ^ high) & mask
    return low ^ (changed << shift), high ^ changed


@compiled
def _pack(x, threshold, out):
    """Set the bits of ``out`` (BYTES,) where ``x`` (8, BYTES), float32, is not below ``threshold``; NaN is."""
    a, b, c, d, e, f, g, h = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
    for w in range(BYTES):
        out[w] = ((1 if a[w] >= threshold else 0) | (2 if b[w] >= threshold else 0) | (4 if c[w] >= threshold else 0)
                  | (8 if d[w] >= threshold else 0) | (16 if e[w] >= threshold else 0)
                  | (32 if f[w] >= threshold else 0) | (64 if g[w] >= threshold else 0)
                  | (128 if h[w] >= threshold else 0))


@compiled
def condition_masks(x, start, thresholds, first_threshold, categories, first_category, apart, masks, one_hot, missing):
    """Fill the masks of the conditions that all boosters share, of the cells from ``start`` of ``x`` (cells, features).

    ``thresholds``, float32, and ``categories``, float32 whole numbers, are those of each feature from ``first_…``
    [feature] to before the next one's. ``masks`` (rows, BYTES) uint8: x >= threshold, in two rows where ``apart`` is
    true, the first 1 and the second 0 where x is NaN, and in one row, 0 for NaN, otherwise. ``one_hot`` (categories,
    BYTES): x is the category, its fraction cut off as XGBoost does. ``missing`` (features, BYTES): x is NaN.
    """
    used = min(CELLS, x.shape[0] - start)
    column, flags = np.zeros((8, BYTES), np.float32), np.zeros((8, BYTES), np.float32)
    value, flag = column.reshape(-1), flags.reshape(-1)
    half = np.float32(0.5)
    for feature in range(x.shape[1]):
        for i in range(used):
            value[i] = x[start + i, feature]
        if apart:
            for i in range(used):
                flag[i] = value[i] != value[i]
            _pack(flags, half, missing[feature])
        for row in range(first_threshold[feature], first_threshold[feature + 1]):
            if apart:
                below, above = masks[2 * row + 1], masks[2 * row]
                _pack(column, thresholds[row], below)
                for w in range(BYTES):
                    above[w] = below[w] | missing[feature, w]
            else:
                _pack(column, thresholds[row], masks[row])
        first, end = first_category[feature], first_category[feature + 1]
        if end > first:
            for i in range(used):
                # a negative number is no category, not even -0.5, though -0 is 0
                value[i] = math.floor(value[i]) if 0 <= value[i] < _NO_CATEGORY else -1
            for row in range(first, end):
                for i in range(used):
                    flag[i] = value[i] == categories[row]
                _pack(flags, half, one_hot[row])


@compiled
def set_masks(shared, members, first_member, feature, apart, one_hot, missing, masks):
    """Fill the masks of a booster's category sets, which follow the ``shared`` conditions in ``masks``.

    Set s holds the rows ``members`` [first_member[s]:first_member[s + 1]] of ``one_hot`` and is one of ``feature`` [s].
    The bit is 1 where the cell's category is in the set; rows and NaN as in condition_masks. All masks as uint64
    (rows, WORDS).
    """
    for s in range(feature.size):
        row = 2 * (shared + s) + 1 if apart else shared + s
        out = masks[row]
        for w in range(WORDS):
            out[w] = _ZERO
        # four at a time, so that the compiler makes vector code of it
        place, end = first_member[s], first_member[s + 1]
        while place + 4 <= end:
            a, b = one_hot[members[place]], one_hot[members[place + 1]]
            c, d = one_hot[members[place + 2]], one_hot[members[place + 3]]
            for w in range(WORDS):
                out[w] |= a[w] | b[w] | c[w] | d[w]
            place += 4
        while place < end:
            a = one_hot[members[place]]
            for w in range(WORDS):
                out[w] |= a[w]
            place += 1
        if apart:
            above, absent = masks[row - 1], missing[feature[s]]
            for w in range(WORDS):
                above[w] = out[w] | absent[w]


@compiled
def _add_leaves(numbers, leaf, total):
    for i in range(CELLS):
        total[i] += leaf[numbers[i]]


@compiled
def _go_down(node, steps, masks, shift, condition, child):
    """Move ``node`` (CELLS,) of every cell down by ``steps`` levels; a leaf's children are the leaf itself."""
    for _ in range(steps):
        for b in range(8):
            for w in range(BYTES):
                here = node[b * BYTES + w]
                # without a branch, which would be foretold wrongly every other time
                node[b * BYTES + w] = child[2 * here + ((masks[condition[here] >> shift, w] >> b) & 1)]


@compiled
def margins(words, masks, apart, nodes, depth, leaves, deep, below, first_tree, condition, child, value, base, out):
    """Fill ``out`` (groups, CELLS) float32: ``base`` [group] plus the leaves of the group's trees, in their order.

    ``words`` and ``masks``: the same masks as uint64 (rows, WORDS) and uint8 (rows, BYTES). Of every tree: ``nodes``
    (63), two times the number of the condition and 1 more where NaN goes left; ``depth``; ``leaves`` (64), in the
    order of _leaf_numbers; ``deep``, -1 or the row of ``below`` (64) that gives the node reached after the
    bit-sliced levels. ``first_tree`` [group]. ``condition`` (as in ``nodes``), ``child`` (left and right of each) and
    ``value``: nodes of all trees, used for deep trees only.
    """
    bits, part = np.empty((LEVELS, WORDS), np.uint64), np.empty((8, WORDS), np.uint64)
    number_words, node = np.empty(8 * WORDS, np.uint64), np.empty(CELLS, np.int32)
    numbers = number_words.view(np.uint8)
    rows = np.empty(nodes.shape[1], np.int64)
    shift = 0 if apart else 1
    for group in range(first_tree.size - 1):
        total = out[group]
        for i in range(CELLS):
            total[i] = base[group]
        for tree in range(first_tree[group], first_tree[group + 1]):
            levels = min(depth[tree], LEVELS)
            for place in range((1 << levels) - 1):
                rows[place] = nodes[tree, place] >> shift
            _descend(words, rows, levels, bits, part)
            _leaf_numbers(bits, number_words)
            if deep[tree] < 0:
                _add_leaves(numbers, leaves[tree], total)
                continue
            reached = below[deep[tree]]
            for i in range(CELLS):
                node[i] = reached[numbers[i]]
            _go_down(node, depth[tree] - LEVELS, masks, shift, condition, child)
            for i in range(CELLS):
                total[i] += value[node[i]]


@compiled
def add_votes(margin, factors, start, votes, chances):
    """Add one booster's vote and class probabilities to ``votes`` and ``chances`` (cells, classes) from ``start``.

    ``margin`` (classes, CELLS). The vote is for the largest probability times factor, ``factors`` float32 (classes,).
    The probabilities are rounded as XGBoost's softmax rounds them, for the rounding decides ties; the first of equal
    classes is voted for.
    """
    classes = margin.shape[0]
    chance = np.empty(classes, np.float32)
    for i in range(min(CELLS, votes.shape[0] - start)):
        largest = margin[0, i]
        for k in range(1, classes):
            largest = max(largest, margin[k, i])
        total = 0.0
        for k in range(classes):
            chance[k] = math.exp(np.float32(margin[k, i] - largest))
            total += chance[k]
        divisor, voted = np.float32(total), 0
        for k in range(classes):
            chance[k] = chance[k] / divisor
            chances[start + i, k] += chance[k]
            if chance[k] * factors[k] > chance[voted] * factors[voted]:
                voted = k
        votes[start + i, voted] += 1
