"""Pseudo-random numbers of cells: made of place and seed alone, so that blocks and threads change nothing."""

import numpy as np


def cell_keys(rows, columns, seed):
    """Return a pseudo-random uint64 for every cell: the splitmix64 finaliser of its place and the seed."""
    with np.errstate(over="ignore"):
        return mixed((np.asarray(rows, dtype=np.uint64) << np.uint64(32)) + np.asarray(columns, dtype=np.uint64)
                     + seed_addend(seed))


def seed_addend(seed):
    """Return what a seed adds to the place of a cell, uint64."""
    return np.uint64((int(seed) * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % (1 << 64))


def mixed(key):
    """Return the splitmix64 finaliser of uint64 numbers."""
    with np.errstate(over="ignore"):
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))
