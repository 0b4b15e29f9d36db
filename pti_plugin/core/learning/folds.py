"""Who is trained on and who is held out: random splits, stratified folds, and folds of spatial blocks.

Method, sections 5 and 8.
"""

import numpy as np

from ..common.errors import InputError
from ..rasters.grid import coordinate_transformation, epsg_wkt, transform_points

FOLDS = 5
#: equal-area coordinates of the northern hemisphere, in which blocks are squares
_EQUAL_AREA = 6931


def split(labels, test_share, seed, stratified):
    """Return (training rows, test rows), each sorted, of one random split."""
    rng = np.random.default_rng(seed)
    if not stratified:
        order = rng.permutation(len(labels))
        cut = round(len(labels) * test_share)
        return np.sort(order[cut:]), np.sort(order[:cut])
    test = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        test.append(rows[:max(1, round(len(rows) * test_share))])
    test = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), test), test


def stratified_folds(labels, seed=None):
    """Return the fold 0 to 4 of every sample (n,), each class dealt evenly: at random, or, without ``seed``, in runs
    of the order of the samples, as scikit-learn's StratifiedKFold does unless told to shuffle."""
    rng = None if seed is None else np.random.default_rng((seed, 1_000_003))
    folds = np.empty(len(labels), dtype=int)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if rng is None:
            folds[rows] = np.arange(len(rows)) * FOLDS // len(rows)
        else:
            rows = rng.permutation(rows)
            folds[rows] = np.arange(len(rows)) % FOLDS
    return folds


def block_folds(samples, block_km, seed):
    """Return (fold 0 to 4 of every sample (n,), number of blocks): whole blocks of ``block_km`` dealt at random.

    Raises InputError where the samples fall into fewer than five blocks.
    """
    change = coordinate_transformation(epsg_wkt(4326), epsg_wkt(_EQUAL_AREA))
    points = np.column_stack(transform_points(change, samples.longitude, samples.latitude))
    blocks = np.floor(points / (block_km * 1000)).astype(int)
    _, block = np.unique(blocks, axis=0, return_inverse=True)
    block = np.ravel(block)
    rng = np.random.default_rng((seed, 1_000_033))
    sizes = np.bincount(block)
    if len(sizes) < FOLDS:
        raise InputError(f"The samples fall into {len(sizes)} blocks of {block_km:g} km; at least {FOLDS} are "
                         f"needed. Lower BLOCK_KM.")
    # the largest blocks first, each to the emptiest fold, in random order among equals
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of, filled = np.empty(len(sizes), dtype=int), np.zeros(FOLDS, dtype=int)
    for number in order:
        fold_of[number] = int(filled.argmin())
        filled[fold_of[number]] += sizes[number]
    return fold_of[block], len(sizes)
