"""Coverage: what becomes of every ranked cell, by rank and by latitude: sampled, predicted, and if not, why not."""

from collections import Counter, namedtuple

import numpy as np

from ..assessment.accuracy_panel import row
from ..common import ranks
from ..rasters.grid import AREA_UNITS_PER_KM2, epsg_wkt
from ..rasters.raster import cells_of

#: columns of the table; ``why`` names the predictors that the cells not predicted lack, or another reason
COLUMNS = ("rank", "latitude", "ranked_cells", "ranked_km2", "sampled_points", "sampled_km2", "predicted_cells",
           "predicted_km2", "incomplete_cells", "incomplete_km2", "not_predicted_cells", "not_predicted_km2", "why")
SECTION, ALL = "coverage", "all"
#: degrees of latitude in a band
BAND = 5
#: what became of a ranked cell
COMPLETE, INCOMPLETE, MASKED, UNSEEN, LACKING = range(5)
_PREDICTED = (COMPLETE, INCOMPLETE)
#: reasons that the log and the report name; the table has all
_NAMED = 4
#: a cell without a place on the Earth
_NOWHERE = -999

#: a kind of cells: rank, latitude of the band's southern edge, what became of them, which predictors they lack
Key = namedtuple("Key", "rank band state lacking")


def states(shape, inside, valid, unseen):
    """Return what became of the cells, uint8 array of COMPLETE … LACKING; INCOMPLETE is not told from COMPLETE here.

    ``inside``: where something is to be predicted, ``valid``: what was, ``unseen``: cells with an unknown category.
    """
    state = np.full(shape, LACKING, dtype=np.uint8)
    state[unseen] = UNSEEN
    state[valid] = COMPLETE
    state[~inside] = MASKED
    return state


def tally(state, absent, reference, grid, window):
    """Return ({Key: cells}, {Key: area in integer units}) of the ranked cells of a block.

    ``state``: see ``states``; ``absent``: bool (features, rows, columns); ``reference``: ranks, 0 for none.
    """
    cells, area = Counter(), Counter()
    rows, columns = np.nonzero(reference != ranks.NO_RANK)
    if not len(rows):
        return cells, area
    _, latitude = grid.lonlat(columns + window.column + 0.5, rows + window.row + 0.5)
    band = bands_of(latitude)
    areas = grid.cell_areas(window.row, window.rows, window.column, window.columns)[rows, columns]
    here, lacking = state[rows, columns].astype(np.int64), absent[:, rows, columns]
    here[(here == COMPLETE) & lacking.any(axis=0)] = INCOMPLETE
    # what a cell lacks is not the reason where it was not looked at or has an unknown category
    lacking &= np.isin(here, (INCOMPLETE, LACKING))
    ranked = reference[rows, columns].astype(np.int64)
    first, place = _kinds((ranked * 4096 + band + 1024) * 8 + here, lacking)
    sums = np.zeros(len(first), dtype=np.int64)
    np.add.at(sums, place, areas)
    for cell, count, size in zip(first.tolist(), np.bincount(place).tolist(), sums.tolist()):
        key = Key(int(ranked[cell]), int(band[cell]), int(here[cell]), tuple(np.flatnonzero(lacking[:, cell]).tolist()))
        cells[key] += count
        area[key] += size
    return cells, area


def _kinds(code, lacking):
    """Return (a cell of every kind, the kind of every cell) of cells that differ in ``code`` or in what they lack."""
    for start in range(0, len(lacking), 32):
        part = lacking[start:start + 32]
        flags = (1 << np.arange(len(part), dtype=np.int64)) @ part
        _, code = np.unique(code, return_inverse=True)
        code = np.ravel(code) << 32 | flags
    _, first, place = np.unique(code, return_index=True, return_inverse=True)
    return first, np.ravel(place)


def sampled(samples, grid):
    """Return ({(rank, band): points}, {(rank, band): area}) of training ``samples`` (structured array of a model).

    The area is that of the cells of ``grid`` that hold points, each once; points off the grid have none.
    """
    points, area = Counter(), Counter()
    rows, columns, inside = cells_of(grid, epsg_wkt(4326), samples["longitude"], samples["latitude"])
    bands = bands_of(samples["latitude"]).tolist()
    seen = set()
    for code, band, cell, on in zip(samples["pti"].tolist(), bands, zip(rows.tolist(), columns.tolist()), inside):
        points[code, band] += 1
        if on and cell not in seen:
            seen.add(cell)
            area[code, band] += int(grid.cell_areas(cell[0], 1, cell[1], 1)[0, 0])
    return points, area


def table(cells, area, points, names):
    """Return rows of COLUMNS: all together, by rank, by latitude, and by both.

    ``cells`` and ``area``: as ``tally`` gives them, ``points``: as ``sampled`` does; ``names``: of the predictors.
    """
    bands = sorted({key.band for key in cells})
    present = [code for code in ranks.CODES if any(key.rank == code for key in cells)]
    groups = [(None, None), *((code, None) for code in present), *((None, band) for band in bands),
              *((code, band) for code in present for band in bands)]
    return [line for line in (_line(cells, area, points, names, *group) for group in groups) if line["ranked_cells"]]


def _line(cells, area, points, names, code, band):
    def mine(rank, latitude):
        return code in (None, rank) and band in (None, latitude)

    keys = [key for key in cells if mine(key.rank, key.band)]
    kinds = {"ranked": keys, "predicted": [key for key in keys if key.state in _PREDICTED],
             "incomplete": [key for key in keys if key.state == INCOMPLETE],
             "not_predicted": [key for key in keys if key.state not in _PREDICTED]}
    line = {"rank": ALL if code is None else code, "latitude": ALL if band is None else band_name(band)}
    for name, members in kinds.items():
        line[f"{name}_cells"] = sum(cells[key] for key in members)
        line[f"{name}_km2"] = _km2(sum(area[key] for key in members))
    line["sampled_points"] = sum(number for place, number in points[0].items() if mine(*place))
    line["sampled_km2"] = _km2(sum(size for place, size in points[1].items() if mine(*place)))
    line["why"] = _why(kinds["not_predicted"], cells, area, names)
    return line


def _why(keys, cells, area, names):
    reasons_cells, reasons_area = Counter(), Counter()
    for key in keys:
        reason = {MASKED: "outside BASE", UNSEEN: "a category not seen in training"}.get(
            key.state, f"lack {', '.join(names[i] for i in key.lacking)}")
        reasons_cells[reason] += cells[key]
        reasons_area[reason] += area[key]
    ordered = sorted(reasons_area, key=lambda reason: (-reasons_area[reason], reason))
    return "; ".join(f"{reason}: {_km2(reasons_area[reason]):,.0f} km² ({reasons_cells[reason]} "
                     f"cell{'s' if reasons_cells[reason] > 1 else ''})" for reason in ordered)


def _named(why):
    """Return the reasons with the largest areas, and how many more there are."""
    reasons = why.split("; ")
    more = len(reasons) - _NAMED
    return why if more < 1 else "; ".join([*reasons[:_NAMED], f"and {more} further combinations"])


def _km2(units):
    return round(units / AREA_UNITS_PER_KM2, 3)


def bands_of(latitude):
    """Return the southern edges of the bands of latitudes (n,), in degrees, _NOWHERE for NaN; the pole is in the last.
    """
    edges = np.minimum(np.floor(np.nan_to_num(latitude) / BAND) * BAND, 90 - BAND)
    return np.where(np.isfinite(latitude), edges, _NOWHERE).astype(np.int64)


def band_name(south):
    """Return a band of latitude in words, by its southern edge."""
    if south == _NOWHERE:
        return "unknown"
    return (f"{south} to {south + BAND}° N" if south >= 0 else f"{-south - BAND} to {-south}° S")


def metric_rows(lines):
    """Return the lines of the table for all, by rank and by latitude as rows of a metrics table."""
    rows = []
    for line in lines:
        if ALL not in (line["rank"], line["latitude"]):
            continue
        place = f"rank {line['rank']}, latitude {line['latitude']}"
        for kind, meaning in (("ranked", "Cells with a rank in the conceptual index."),
                              ("predicted", "Of these, what the map has."),
                              ("incomplete", "Predicted although a predictor is missing."),
                              ("not_predicted", _named(line["why"]))):
            rows.append(row(SECTION, f"{kind}: {place}", line[f"{kind}_km2"], line[f"{kind}_cells"], "km²",
                            meaning=meaning))
        rows.append(row(SECTION, f"sampled: {place}", line["sampled_km2"], line["sampled_points"], "km²",
                        meaning="Cells that hold training points; n points."))
    return rows


def sentence(lines):
    """Return (what the log says of the whole, whether it is a warning)."""
    whole = lines[0]
    text = (f"Of {whole['ranked_km2']:,.0f} km² with a rank in REFERENCE, {whole['predicted_km2']:,.0f} km² are "
            f"predicted, {whole['incomplete_km2']:,.0f} km² of them with a missing predictor")
    if not whole["not_predicted_cells"]:
        return f"{text}; no ranked cell is lost.", False
    return (f"{text}; {whole['not_predicted_km2']:,.0f} km² ({whole['not_predicted_cells']} cells) are not: "
            f"{_named(whole['why'])}."), True
