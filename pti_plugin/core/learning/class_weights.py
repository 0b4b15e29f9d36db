"""Weights of the classes in training: none, balanced by their counts, or by the area that each rank has on the map.

A sample drawn with as many points of every rank is not the map: where ranks are to count as much as the area they
cover, each point stands for the area of its rank divided by the number of points.
"""

import numpy as np

from ..common import ranks
from ..common.errors import InputError
from ..common.tables import read_csv
from ..index.pti import map_areas

NONE, BALANCED, AREA = CLASS_WEIGHTS = ("none", "balanced", "area")


def sample_weights(y, kind, areas=None):
    """Return weights float32 (n,) of samples of the PTI ranks ``y``, with mean 1, or None for ``none``.

    ``areas``: {rank: area or other weight of the whole rank}, for ``area``. Raises InputError for a rank without one.
    """
    if kind == NONE:
        return None
    codes, place, counts = np.unique(y, return_inverse=True, return_counts=True)
    if kind == BALANCED:
        totals = np.ones(len(codes))
    else:
        lacking = [str(code) for code in codes if not areas.get(int(code), 0) > 0]
        if lacking:
            raise InputError(f"The samples hold the ranks {', '.join(lacking)}, which have no area. Give a table or a "
                             f"PTI raster that has them, or leave the samples out.")
        totals = np.array([float(areas[int(code)]) for code in codes])
    weights = (totals / counts)[np.ravel(place)]
    return (weights / weights.mean()).astype(np.float32)


def areas_of_raster(path, progress):
    """Return {rank: area in km²} of a PTI raster; raises InputError for codes that are no ranks."""
    return {row["rank"]: row["area_km2"] for row in map_areas(path, progress)}


def areas_of_table(path):
    """Return {rank: area} of a CSV table with the columns rank and area_km2 (or weight), as Build PTI writes it.

    Raises InputError for missing columns, ranks that are none, values that are no positive numbers.
    """
    rows = read_csv(path)
    column = next((name for name in ("area_km2", "weight") if rows and name in rows[0]), None)
    if column is None or "rank" not in rows[0]:
        raise InputError(f"The table {path} needs the columns 'rank' and 'area_km2' (or 'weight').")
    areas = {}
    for row in rows:
        if row["rank"] not in ranks.BY_CODE:
            raise InputError(f"The table {path} has the rank '{row['rank']}', which is none. The ranks are "
                             f"{', '.join(map(str, ranks.CODES))}.")
        value = row[column]
        if not isinstance(value, float) or not value >= 0 or value == float("inf"):
            raise InputError(f"The table {path} has the {column} '{value}' for rank {row['rank']:g}; give a number.")
        areas[int(row["rank"])] = value
    return areas
