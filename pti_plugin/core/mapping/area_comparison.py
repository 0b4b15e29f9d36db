"""Areas by rank of the predicted map beside those of the conceptual index that it learned, and their correction.

A classified map counts its errors into its areas. Where the index is known wall to wall, so is its share of every
predicted rank, and the areas of the whole map can be corrected by it (Olofsson et al. 2014): the area predicted as
each rank is dealt out to the ranks that the index has there.
"""

import math

import numpy as np

from ..assessment.accuracy_panel import row
from ..assessment.area_estimation import StratifiedSample
from ..common import ranks
from ..rasters.grid import AREA_UNITS_PER_KM2

SECTION = "area by rank"
#: columns that join the table of areas: both on the cells that have a rank in both, then the whole map corrected
COLUMNS = ("conceptual_km2", "predicted_km2", "difference_km2", "difference_percent", "adjusted_km2")
NET, GROSS = "net area that changes its rank", "area that changes its rank"


def compare(pairs, mapped):
    """Return {rank: dict of COLUMNS}, shares in % by NET and GROSS.

    ``pairs``: Counter of areas by 256 · predicted + conceptual rank; ``mapped``: {rank: area} of the whole map; both in
    integer area units. A rank without conceptual area has no difference in percent (None).
    """
    matrix = np.zeros((len(ranks.CODES), len(ranks.CODES)))
    for key, area in pairs.items():
        matrix[ranks.ORDER[key >> 8], ranks.ORDER[key & 255]] = area / AREA_UNITS_PER_KM2
    whole = np.array([mapped.get(code, 0) / AREA_UNITS_PER_KM2 for code in ranks.CODES])
    predicted, conceptual = matrix.sum(axis=1), matrix.sum(axis=0)
    adjusted = adjusted_areas(matrix, whole)
    found = {}
    for i, code in enumerate(ranks.CODES):
        difference = float(predicted[i] - conceptual[i])
        found[code] = dict(zip(COLUMNS, (
            round(float(conceptual[i]), 3), round(float(predicted[i]), 3), round(difference, 3),
            round(100 * difference / float(conceptual[i]), 3) if conceptual[i] else None,
            round(float(adjusted[i]), 3))))
    total = matrix.sum()
    net = 50 * float(np.abs(predicted - conceptual).sum()) / total if total else math.nan
    return found, {NET: net, GROSS: 100 * (1 - float(np.trace(matrix)) / total) if total else math.nan}


def adjusted_areas(matrix, mapped):
    """Return the areas (classes,) that the reference gives the whole map, in the unit of ``mapped``.

    ``matrix`` (classes, classes): area by predicted and reference class where both are known; ``mapped`` (classes,):
    area of each predicted class on the whole map. A predicted class that is nowhere compared is left as it is.
    """
    known = matrix.sum(axis=1) > 0
    adjusted = np.where(known, 0.0, mapped)
    if mapped[known].sum() > 0:
        strata = (matrix[None] * np.eye(len(matrix))[:, :, None])[known]
        sample = StratifiedSample(strata, mapped[known], by_class=False)
        adjusted = adjusted + sample.total * sample.shares.sum(axis=0)
    return adjusted


def metric_rows(found, shares, cells):
    """Return what ``compare`` gives as rows of a metrics table; ``cells``: number of cells compared."""
    rows = [row(SECTION, NET, shares[NET], cells, meaning="Half the sum of the differences of the areas by rank, on "
                "the cells that have a rank in both: what would have to change its rank for the areas to agree."),
            row(SECTION, GROSS, shares[GROSS], cells, meaning="Share of the area where the two have another rank; what "
                "is exchanged between ranks cancels out in the areas.")]
    for code, line in found.items():
        rows += [
            row(SECTION, f"conceptual area of rank {code}", line["conceptual_km2"], None, "km²",
                meaning="Of the conceptual index, on the cells that have a rank in both."),
            row(SECTION, f"predicted area of rank {code}", line["predicted_km2"], None, "km²",
                expected=line["conceptual_km2"], meaning="Of the map, on the same cells; expected is the conceptual "
                "area."),
            row(SECTION, f"adjusted area of rank {code}", line["adjusted_km2"], None, "km²",
                expected=line["conceptual_km2"], meaning="Of the whole map, corrected by the index's share of every "
                "predicted rank (Olofsson et al. 2014).")]
    return rows


def sentence(found, shares):
    """Return what the log says of the comparison."""
    worst = max(found, key=lambda code: abs(found[code]["difference_percent"] or 0.0))
    return (f"Areas by rank against REFERENCE: net {shares[NET]:.2f} % of the area changes its rank; the largest "
            f"difference is that of rank {worst}, {found[worst]['difference_percent'] or 0:+.1f} %.")
