"""What is asked of a sample, rank by rank, and how many points can possibly meet it.

The paper's Table 3 and section 2.2.4; method, sections 5 and 8.
"""

import csv
import math
from collections import Counter
from dataclasses import dataclass, replace

from ..common import ranks
from ..common.errors import InputError
from ..common.resources import resource

_COLUMNS = ("rank", "samples", "spacing_km", "edge_buffer_km")
#: share of the plane that discs cover in the densest packing (Thue 1910; proof in Hales 2000)
DENSEST = math.pi / math.sqrt(12)
#: share they cover when placed at random until none fits any more (Feder 1980; Torquato et al. 2006)
SATURATED = 0.547
#: half the way round the Earth; no two places are further apart
_MOST_KM = 20_000.0
#: more than any training takes
_MOST_SAMPLES = 100_000_000


@dataclass(frozen=True)
class Rule:
    """How many ``samples`` of a ``rank``, how far apart, and how far inside the edge of the class (km)."""

    rank: int
    samples: int
    spacing_km: float
    edge_buffer_km: float


def read_rules(path=None):
    """Return the Rules of a CSV (the paper's where ``path`` is None) with columns rank, samples, spacing_km and

    edge_buffer_km; more columns are passed over, ranks without a line are not sampled. Raises InputError with the
    number of the line that is wrong.
    """
    path = path or resource("tables", "sampling_rules.csv")
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"The table of sampling rules {path} lacks the column {missing[0]}. Its columns are "
                                 f"{', '.join(_COLUMNS)}.")
            rules = {}
            for row in reader:
                rule = _rule(row, f"{path}, line {reader.line_num}")
                if rule.rank in rules:
                    raise InputError(f"{path}, line {reader.line_num}: rank {rule.rank} has a second line. Keep one.")
                rules[rule.rank] = rule
    except OSError as error:
        raise InputError(f"The table of sampling rules {path} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The table of sampling rules {path} is not a CSV table in UTF-8: {error}.") from error
    if not rules:
        raise InputError(f"The table of sampling rules {path} has no line below its header.")
    return tuple(rules[code] for code in ranks.CODES if code in rules)


def _rule(row, place):
    values = {}
    for name in _COLUMNS:
        text = (row[name] or "").strip()
        try:
            values[name] = float(text)
        except ValueError:
            raise InputError(f"{place}: {name} is '{text}', not a number.") from None
    for name in ("rank", "samples"):
        if not values[name].is_integer():
            raise InputError(f"{place}: {name} is {values[name]:g}, not a whole number.")
    if values["rank"] not in ranks.BY_CODE:
        raise InputError(f"{place}: rank is {values['rank']:g}, which is no PTI rank. The ranks are "
                         f"{', '.join(map(str, ranks.CODES))}.")
    if not 0 <= values["samples"] <= _MOST_SAMPLES:
        raise InputError(f"{place}: samples is {values['samples']:g}; it must be 0 or more, and at most "
                         f"{_MOST_SAMPLES:,}.")
    for name in ("spacing_km", "edge_buffer_km"):
        if not 0 <= values[name] <= _MOST_KM:
            raise InputError(f"{place}: {name} is {values[name]:g}; it must lie between 0 and {_MOST_KM:,.0f} km.")
    return Rule(int(values["rank"]), int(values["samples"]), values["spacing_km"], values["edge_buffer_km"])


def override(rules, samples=-1, spacing_km=-1, edge_buffer_km=-1):
    """Return ``rules`` with the same number, spacing or buffer for all, where that is 0 or more."""
    given = {name: value for name, value in (("samples", samples), ("spacing_km", spacing_km),
                                             ("edge_buffer_km", edge_buffer_km)) if value >= 0}
    return tuple(replace(rule, **given) for rule in rules)


def stated(rules):
    """Return what rules ask for as texts of every rank, {"samples", "spacing_km", "edge_buffer_km"}.

    A number that most ranks have stands alone, the ranks that have another follow it: "25, 40: 10".
    """
    return {name: _stated([(rule.rank, getattr(rule, name)) for rule in rules])
            for name in ("samples", "spacing_km", "edge_buffer_km")}


def _stated(of_ranks):
    counts = Counter(value for _, value in of_ranks)
    common, number = counts.most_common(1)[0]
    shown = [f"{common:g}"] if number > 1 or len(of_ranks) == 1 else []
    return ", ".join(shown + [f"{rank}: {value:g}" for rank, value in of_ranks if not shown or value != common])


def rim_km(spacing_km):
    """Return how far from a point of a packing the ground still counts as its own: spacing / √3."""
    return spacing_km / math.sqrt(3)


def packing_bound(area_km2, spacing_km):
    """Return how many points ``spacing_km`` apart an area holds in the densest, hexagonal packing: area / (√3/2 d²).

    Where the area includes the ground within ``rim_km`` of where points may lie, no placement in the plane has more.
    Round every point lies a disc of that radius; no place lies inside three discs, as three points at least d apart
    fit in no circle smaller than such a disc. Where two meet, the line between them cuts a segment of at most 60° off
    each, no two of which overlap. A segment's area grows more than in proportion to its angle, so what is cut off is at
    most six of 60°, and what is left at least the hexagon of √3/2 d² (Rogers's argument, as told in Hales, Cannonballs
    and Honeycombs, Notices of the AMS 47, 2000). On the round Earth the bound may be too low by 1 part in 10^6 at
    25 km, 10^5 at 100 km, 10^3 at 1,000 km.
    """
    return math.floor(area_km2 / (math.sqrt(3) / 2 * spacing_km ** 2) + 1e-9)


def random_estimate(area_km2, spacing_km):
    """Return near how many points random placement comes to its end on a wide area."""
    return math.floor(SATURATED / DENSEST * packing_bound(area_km2, spacing_km))
