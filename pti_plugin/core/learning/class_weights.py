"""The prior of the ranks in training: every point as one, balanced by counts, or by the area of each rank on the map.

A sample drawn with as many points of every rank is not the map: where ranks are to count as much as the area they
cover, each point stands for the area of its rank divided by the number of points.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..common import ranks
from ..common.errors import InputError
from ..common.profiles import DEFENSIBLE
from ..common.tables import read_csv
from ..index.pti import map_areas
from ..rasters.exclusion import exclusion_on
from ..rasters.raster import CLASS, source

NONE, BALANCED, AREA, AREA_MATCHED = KINDS = ("none", "balanced", "area", "area_matched")
AUTO = "auto"
CLASS_WEIGHTS = (AUTO, *KINDS)


@dataclass(frozen=True)
class Prior:
    """How ranks count in training: ``kind`` of KINDS, ``weights`` of the samples float32 (n,) or None where all count
    as one, and ``areas`` {rank: area} of the map in one unit, None where they are not known."""

    kind: str = NONE
    weights: np.ndarray = None
    areas: dict = None

    @property
    def matched(self):
        """True where rank factors bring the classified areas to those of the ranks."""
        return self.kind == AREA_MATCHED


def prior_of(y, kind, areas=None, profile=DEFENSIBLE, progress=None):
    """Return the Prior of samples of the PTI ranks ``y``; ``kind`` of CLASS_WEIGHTS, ``areas`` as in Prior.

    AUTO is the profile's kind where the areas are known, else NONE, of which ``progress`` is warned, as of ranks of the
    map that no sample has. Raises InputError where areas are needed and not known, or a rank has none.
    """
    unseen = {code: area for code, area in sorted((areas or {}).items()) if area > 0 and code not in set(y.tolist())}
    if unseen and progress is not None:
        share = 100 * sum(unseen.values()) / sum(areas.values())
        progress.warn(f"No sample has rank {', '.join(map(str, unseen))}: {share:.3g} % of the area by rank. The "
                      f"model does not know what it looks like, and its map gives that ground other ranks.")
    if kind == AUTO:
        kind = profile.class_weights
        if kind in (AREA, AREA_MATCHED) and not areas:
            kind = NONE
            progress.warn("The areas of the ranks on the map are not known, so every sample counts as one, and ranks "
                          "with more samples than their share of the area will come out too large. Give WEIGHTS, a "
                          "table of the area of each rank.")
    if kind in (AREA, AREA_MATCHED) and not areas:
        raise InputError(f"CLASS_WEIGHTS is {kind}, but there is nothing to measure. Give WEIGHTS, a table of the area "
                         f"of each rank.")
    return Prior(kind, sample_weights(y, kind, areas), areas)


def sample_weights(y, kind, areas=None):
    """Return weights float32 (n,) of samples of the PTI ranks ``y``, with mean 1, or None for ``none``.

    ``areas``: {rank: area or other weight of the whole rank}, for both kinds by area. Raises InputError for a rank
    without one.
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


def areas_of_raster(path, progress, left_out=None):
    """Return {rank: area in km²} of a PTI raster, without the cells of LeftOutClasses; raises InputError for codes that
    are no ranks."""
    item = source(path, CLASS, single_band=True)
    if left_out:
        item = replace(item, exclusion=exclusion_on(left_out, item.grid))
    return {row["rank"]: row["area_km2"] for row in map_areas(item, progress)}


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
