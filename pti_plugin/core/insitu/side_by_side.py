"""The validated map, other maps and every single product at the same stations, so that they can be compared.

What is compared over different stations cannot be set side by side: one map may be asked only where all are easy. So
shares and errors are of the stations at which every map of the table has a value; how many it has by itself stands
beside them. Method, section 6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..assessment.small_sample import spearman
from ..common.errors import InputError
from ..common.ranks import BY_CODE, NO_RANK, ORDER
from ..index.pti import PtiOptions, rank_cells
from ..index.rank_stability import find_products
from ..rasters.raster import NO_CLASS
from .validation import ValidationResult

#: columns of the table: name, unit, description
COLUMNS = (
    ("map", "", "Map or product"),
    ("kind", "", "the map validated, PTI map, single product, ground temperature"),
    ("with_rank", "stations", "Ranked stations at which it has a rank"),
    ("ranks_compared", "stations", "Ranked stations at which every map has a rank"),
    ("exact_percent", "%", "Of these, how many have the station's rank"),
    ("within_one_percent", "%", "Of these, how many are at most one rank off"),
    ("spearman", "", "Spearman's r with the station's rank at these"),
    ("tiers_compared", "stations", "Temperature sites at which every map has a tier"),
    ("tier_percent", "%", "Of these, how many have the station's tier"),
    ("with_magt", "stations", "Temperature sites at which it has a temperature"),
    ("magt_compared", "stations", "Temperature sites at which everything with a temperature has one"),
    ("magt_bias", "degC", "Mean ground temperature, map less station, at these"),
    ("magt_rmse", "degC", "Root of the mean square of the same"),
    ("magt_mae", "degC", "Mean of the size of the same"),
)
VALIDATED, PTI_MAP, PRODUCT, TEMPERATURE = "the map validated", "PTI map", "single product", "ground temperature"


@dataclass(frozen=True)
class AtStations:
    """What a map says at the rows of a ValidationResult: ``ranks`` (0 = none), ``tiers`` ('' = none) and ``magt`` in °C
    with NaN, each an array of their length, or None where it has no such thing at all."""

    name: str
    kind: str
    ranks: np.ndarray | None = None
    tiers: np.ndarray | None = None
    magt: np.ndarray | None = None


def of_ranks(name: str, kind: str, ranks, magt=None) -> AtStations:
    """Return the AtStations of a PTI map; ``ranks`` are float with NaN or 0 for none. Raises InputError for others."""
    codes = np.nan_to_num(np.asarray(ranks, dtype=float)).astype(int)
    strange = sorted(set(codes.tolist()) - set(BY_CODE) - {NO_RANK})
    if strange:
        raise InputError(f"{name} holds the value {strange[0]}, which is no PTI rank ({', '.join(map(str, BY_CODE))}).")
    return AtStations(name, kind, codes, _tiers(codes), magt)


def of_product(name: str, magt, percent, signs, thresholds: PtiOptions) -> AtStations:
    """Return the AtStations of a single product: Table 3 by its own temperature (°C) and percent (%), NaN for none.

    It is permafrost where its percent is above 0. ``signs``: the trends of MAGT and ALT as −1, 0, 1 with NaN, or None:
    it has tiers then, and no ranks.
    """
    base = np.where(np.isnan(percent), NO_CLASS, (percent > 0).astype(np.int32))
    known = signs is not None
    trends = [np.where(np.isnan(sign), NO_CLASS, np.nan_to_num(sign)).astype(np.int32) for sign in signs] if known \
        else [np.zeros(len(magt), dtype=np.int32)] * 2
    ranks = rank_cells(magt, *trends, percent, base, thresholds)[0].astype(int)
    return AtStations(name, PRODUCT, ranks if known else None, _tiers(ranks), magt)


def of_products(pp: dict, magt: dict, signs, thresholds: PtiOptions) -> tuple:
    """Return ([AtStations of every single product], what to warn of).

    ``pp`` and ``magt``: {file name: values at the stations in % and °C, NaN for none}; layers belong to one product as
    their names tell. Where these do not tell, or without ``pp``, temperatures are compared and nothing else.
    """
    warnings = []
    if pp and magt:
        try:
            products = find_products(list(pp), list(magt))
        except InputError as error:
            warnings.append(f"The products are compared by their temperature only: {str(error).split(' Say with')[0]}")
        else:
            layers = [list(pp.values()), list(magt.values())]
            return [of_product(product.name, layers[1][product.magt[0]], layers[0][product.pp[0]], signs, thresholds)
                    for product in products], warnings
    return [AtStations(name, PRODUCT, magt=values) for name, values in magt.items()], warnings


def _tiers(codes):
    return np.array([BY_CODE[code].tier if code else "" for code in codes.tolist()], dtype=object)


def side_by_side(result: ValidationResult, name: str, others: list) -> list:
    """Return the rows of the table, dicts by COLUMNS, the validated map called ``name`` first, then ``others``.

    A map without any rank, tier or temperature at the stations does not count among those that must all have one.
    """
    rows = result.rows
    own = of_ranks(name, VALIDATED, [row["map_rank"] or 0 for row in rows])
    if any(row["map_magt"] is not None for row in rows):
        others = [AtStations("MAGT beside it", TEMPERATURE, magt=_floats(rows, "map_magt")), *others]
    maps = [own, *others]
    ranked = np.array([bool(row["site_rank"]) for row in rows])
    tiered = np.array([bool(row["site_magt"]) and bool(row["site_tier"]) for row in rows])
    measured = np.array([row["magt"] is not None for row in rows])
    has = {"ranks": [_has(one.ranks, ranked, lambda codes: codes != NO_RANK) for one in maps],
           "tiers": [_has(one.tiers, tiered, lambda tiers: tiers != "") for one in maps],
           "magt": [_has(one.magt, measured, lambda values: ~np.isnan(values)) for one in maps]}
    common = {what: _all([here for here in each if here is not None and here.any()], len(rows))
              for what, each in has.items()}
    return [_row(one, i, rows, has, common) for i, one in enumerate(maps)]


def _has(values, where, known):
    return None if values is None else where & known(values).astype(bool)


def _all(masks, size):
    return np.logical_and.reduce(masks) if masks else np.zeros(size, dtype=bool)


def _floats(rows, name):
    return np.array([math.nan if row[name] is None else row[name] for row in rows], dtype=float)


def _row(one, place, rows, has, common):
    row = dict.fromkeys(name for name, *_ in COLUMNS)
    row.update(map=one.name, kind=one.kind)
    if one.ranks is not None:
        row["with_rank"] = int(has["ranks"][place].sum())
        here = common["ranks"] & has["ranks"][place]
        row["ranks_compared"] = int(here.sum())
        if here.any():
            mapped = [ORDER[code] for code in one.ranks[here].tolist()]
            station = [ORDER[rows[i]["site_rank"]] for i in np.flatnonzero(here)]
            misses = np.abs(np.subtract(mapped, station))
            row["exact_percent"] = 100 * float((misses == 0).mean())
            row["within_one_percent"] = 100 * float((misses <= 1).mean())
            if len(mapped) > 3:
                correlation = spearman(station, mapped).r
                row["spearman"] = None if math.isnan(correlation) else correlation
    if one.tiers is not None:
        here = common["tiers"] & has["tiers"][place]
        row["tiers_compared"] = int(here.sum())
        if here.any():
            row["tier_percent"] = 100 * float(np.mean([one.tiers[i] == rows[i]["site_tier"]
                                                       for i in np.flatnonzero(here)]))
    if one.magt is not None:
        row["with_magt"] = int(has["magt"][place].sum())
        here = common["magt"] & has["magt"][place]
        row["magt_compared"] = int(here.sum())
        if here.any():
            misses = (one.magt - _floats(rows, "magt"))[here].tolist()
            row["magt_bias"] = math.fsum(misses) / len(misses)
            row["magt_rmse"] = math.sqrt(math.fsum(miss * miss for miss in misses) / len(misses))
            row["magt_mae"] = math.fsum(map(abs, misses)) / len(misses)
    return row


def sentences(table: list) -> list:
    """Return what the log says of the rows of side_by_side."""
    told = []
    for row in table:
        parts = []
        if row["exact_percent"] is not None:
            parts.append(f"exact rank {row['exact_percent']:.0f} %, within one {row['within_one_percent']:.0f} % (n = "
                         f"{row['ranks_compared']})")
        if row["tier_percent"] is not None:
            parts.append(f"same tier {row['tier_percent']:.0f} % (n = {row['tiers_compared']})")
        if row["magt_bias"] is not None:
            parts.append(f"MAGT bias {row['magt_bias']:+.2f} °C, RMSE {row['magt_rmse']:.2f} °C (n = "
                         f"{row['magt_compared']})")
        told.append(f"At the same stations, {row['map']} ({row['kind']}): "
                    + (", ".join(parts) if parts else "no value at any of them") + ".")
    return told
