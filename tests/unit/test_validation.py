"""Stations are paired, ranked and compared by the method, whatever the order they come in."""

import csv
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pti_plugin.core.errors import InputError, OutputError
from pti_plugin.core.geodesic import distance_m
from pti_plugin.core.profiles import AS_PUBLISHED, DEFENSIBLE
from pti_plugin.core.pti import PtiOptions
from pti_plugin.core.ranks import CODES, ORDER
from pti_plugin.core.stations import StationSeries, read_series
from pti_plugin.core.validation import (
    FIELDS,
    NO_DATA,
    OFF_MAP,
    ValidationOptions,
    pair_sites,
    station_rank,
    station_trend,
    validate,
    write_table,
)
from pti_plugin.core.vector import write_points

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "insitu"
RISING, FALLING, FLAT = 0.05, -0.05, 0.0


def station(site, latitude, longitude, mean, slope=FLAT, n=9, first=2007):
    """A site whose ``n`` annual values rise or fall strictly, or alternate without a trend, about ``mean``."""
    offsets = np.arange(n) - (n - 1) / 2
    values = mean + slope * offsets if slope else mean + np.resize([0.01, -0.01], n)
    return StationSeries(site, site, float(latitude), float(longitude), None, 10.0,
                         dict(zip(range(first, first + n), values.tolist())))


def constant_map(rank, reason=""):
    return lambda longitudes, latitudes: (np.full(len(longitudes), float(rank)), np.full(len(longitudes), reason))


def pair_ids(pairs):
    return [(pair.magt and pair.magt.site, pair.alt and pair.alt.site) for pair in pairs]


# pairing

def test_the_nearest_sites_pair_first_and_each_once():
    magt = [station("T1", 65.000, 10, -2), station("T2", 65.010, 10, -2), station("T3", 66, 10, -2)]
    alt = [station("A1", 65.008, 10, 0.5), station("A2", 64.990, 10, 0.5), station("A3", 60, 10, 0.5)]
    pairs = pair_sites(magt, alt, 5)
    # A1 is the nearest to both T1 and T2, but nearer to T2
    assert pair_ids(pairs) == [("T1", "A2"), ("T2", "A1"), ("T3", None), (None, "A3")]
    assert pairs[0].distance_km == pytest.approx(distance_m(65, 10, 64.99, 10) / 1000)
    assert "the nearest, A1, is 110" in pairs[2].reason and "within 5 km" in pairs[3].reason


def test_a_site_whose_partners_are_taken_says_so():
    pairs = pair_sites([station("T1", 65, 10, -2), station("T2", 65.01, 10, -2)], [station("A1", 65, 10, 1)], 5)
    assert pair_ids(pairs) == [("T1", "A1"), ("T2", None)] and "nearer partners" in pairs[1].reason


def test_ties_go_by_site_id_and_any_order_of_input_gives_the_same_pairs():
    magt = [station(site, 65, 10, -2) for site in ("T10", "T2", "T1")]
    alt = [station(site, 65, 10 + shift, 0.5) for site, shift in (("A2", 0.01), ("A10", 0.01), ("A1", -0.01))]
    expected = [("T1", "A1"), ("T2", "A2"), ("T10", "A10")]
    for own, others in itertools.product(itertools.permutations(magt), itertools.permutations(alt)):
        assert pair_ids(pair_sites(own, others, 5)) == expected


def test_pairing_equals_a_brute_force_search():
    random = np.random.default_rng(7)
    magt = [station(f"T{i}", *random.uniform((64, 10), (64.5, 11)), -2) for i in range(30)]
    alt = [station(f"A{i}", *random.uniform((64, 10), (64.5, 11)), 0.5) for i in range(25)]
    free_magt, free_alt, expected = set(range(30)), set(range(25)), set()
    while True:
        candidates = [(distance_m(magt[i].latitude, magt[i].longitude, alt[j].latitude, alt[j].longitude), i, j)
                      for i in free_magt for j in free_alt]
        if not candidates or min(candidates)[0] > 4000:
            break
        _, i, j = min(candidates)
        free_magt.remove(i)
        free_alt.remove(j)
        expected.add((f"T{i}", f"A{j}"))
    found = {pair for pair in pair_ids(pair_sites(magt, alt, 4)) if None not in pair}
    assert found == expected and 5 < len(found) < 25


def test_sites_across_the_dateline_are_close():
    assert pair_ids(pair_sites([station("T", 66, 179.99, -2)], [station("A", 66, -179.99, 1)], 5)) == [("T", "A")]


# ranks

def table_3(magt, trends):
    tier = 10 if magt < -3 else 20 if magt <= -1.5 else 30
    return tier + 1 + sum(trend == 1 for trend in trends)


@pytest.mark.parametrize("magt", [-9, -3.0001, -3, -2.9999, -1.5001, -1.5, -1.4999, 0, 2.9999, 3, 3.0001, 8])
def test_station_ranks_are_those_of_table_3(magt):
    for trends in itertools.product((1, 0, -1), repeat=2):
        found = station_rank(magt, *trends)
        if magt > 3:
            assert (found.rank, found.tier) == (None, "") and "upper limit" in found.reason
        else:
            assert found.rank == table_3(magt, trends)
            assert found.tier == ("cold", "cool", "warm")[found.rank // 10 - 1]


def test_the_norwegian_station_of_the_paper_gets_rank_21():
    magt = station("TSP_0714", 61.68, 8.37, -1.83, FALLING, first=2008)
    alt = station("N2", 61.68, 8.37, 2.0)
    trends = [station_trend(series.values) for series in (magt, alt)]
    assert [trend.sign for trend in trends] == [-1, 0]
    assert station_rank(-1.83, -1, 0).rank == 21
    result = validate([magt], [alt], constant_map(33))
    assert (result.rows[0]["site_rank"], result.rows[0]["site_tier"]) == (21, "cool")
    assert result.rows[0]["rank_diff"] == 5 and result.rows[0]["match"] == "further"


def test_an_untestable_trend_is_no_rank_but_a_tier_unless_as_published():
    for trends in ((None, 0), (1, None), (None, None)):
        defensible = station_rank(-2, *trends, profile=DEFENSIBLE)
        assert (defensible.rank, defensible.tier) == (None, "cool") and "not testable" in defensible.reason
        assert station_rank(-2, *trends, profile=AS_PUBLISHED).rank == table_3(-2, trends)


def test_rank_40_needs_a_permafrost_percent():
    assert station_rank(-2, 0, 0, pp=9.9) == station_rank(-2, None, None, pp=9.9)
    assert (station_rank(-2, 0, 0, pp=9.9).rank, station_rank(-2, 0, 0, pp=10).rank) == (40, 21)
    assert station_rank(3.5, 0, 0, pp=5).rank is None


def test_thresholds_can_be_moved():
    assert station_rank(-2.5, 0, 0, thresholds=PtiOptions(cold=-2.0, cool=-1.0)).rank == 11


# trends

@pytest.mark.parametrize("n, defensible, published", [(2, None, None), (3, None, 0), (4, None, 0), (5, 1, 1)])
def test_short_series_are_not_testable_or_as_published_never_a_trend(n, defensible, published):
    values = station("T", 65, 10, -2, RISING, n).values
    assert station_trend(values, DEFENSIBLE).sign == defensible
    as_published = station_trend(values, AS_PUBLISHED)
    assert as_published.sign == published
    assert ("can never give a trend" in as_published.note) == (n in (3, 4))


def test_a_level_that_n_cannot_reach_is_not_testable():
    values = station("T", 65, 10, -2, RISING, 5).values
    assert station_trend(values, DEFENSIBLE, alpha=0.01).sign is None
    assert station_trend(values, AS_PUBLISHED, alpha=0.01).sign == 0


# the comparison

TRENDS = {0: (FLAT, FLAT), 1: (RISING, FLAT), 2: (RISING, RISING)}


def pair_of(place, rank):
    """A pair of sites near 60 + ``place`` degrees north whose station rank is ``rank``."""
    magt_slope, alt_slope = TRENDS[rank % 10 - 1]
    mean = {1: -6, 2: -2, 3: 0}[rank // 10]
    return (station(f"T{place}", 60 + place, 10, mean, magt_slope),
            station(f"A{place}", 60 + place, 10.001, 1, alt_slope))


def mapped(by_latitude, reasons=None):
    def map_values(longitudes, latitudes):
        keys = [int(latitude - 60) for latitude in latitudes]
        return (np.array([by_latitude.get(key, math.nan) for key in keys], dtype=float),
                np.array([(reasons or {}).get(key, "" if key in by_latitude else NO_DATA) for key in keys]))
    return map_values


def test_matches_intervals_and_correlation_are_counted_in_the_order_of_ranks():
    stations = [11, 12, 13, 21, 22, 23, 31, 32, 33, 11, 21, 33]
    on_map = [11, 12, 21, 21, 23, 23, 31, 40, 31, 12, 33, 33]
    pairs = [pair_of(place, rank) for place, rank in enumerate(stations)]
    result = validate(*zip(*pairs), mapped(dict(enumerate(on_map))))
    assert [row["site_rank"] for row in result.rows] == stations
    differences = [ORDER[b] - ORDER[a] for a, b in zip(stations, on_map)]
    assert [row["rank_diff"] for row in result.rows] == differences
    assert result.summary["exact"]["count"] == sum(d == 0 for d in differences) == 6
    assert result.summary["within_one"]["count"] == sum(abs(d) <= 1 for d in differences) == 9
    stats = pytest.importorskip("scipy.stats")
    expected = stats.spearmanr([ORDER[rank] for rank in stations], [ORDER[rank] for rank in on_map])
    assert result.summary["spearman"]["r"] == pytest.approx(expected.correlation)
    assert result.summary["spearman"]["p"] == pytest.approx(expected.pvalue)
    interval = stats.binomtest(6, 12).proportion_ci(0.95, "wilson")
    assert (result.summary["exact"]["low"], result.summary["exact"]["high"]) == pytest.approx(tuple(interval))
    # 40 on the map agrees with no station's tier
    tiers = [str(a)[0] == str(b)[0] for a, b in zip(stations, on_map)]
    assert result.summary["tier"]["count"] == sum(tiers)
    assert any("rank 40" in warning and "1 site(s)" in warning for warning in result.warnings)


def test_the_order_of_stations_does_not_matter():
    pairs = [pair_of(place, CODES[place % 9]) for place in range(12)]
    magt, alt = map(list, zip(*pairs))
    the_map = mapped({place: CODES[(place * 5) % 10] for place in range(12)})
    expected = validate(magt, alt, the_map)
    random = np.random.default_rng(3)
    for _ in range(5):
        random.shuffle(magt)
        random.shuffle(alt)
        assert validate(magt, alt, the_map) == expected
    assert [row["site_magt"] for row in expected.rows] == [f"T{place}" for place in range(12)]


def test_stations_off_the_map_without_rank_and_by_neighbour_are_counted_and_noted():
    pairs = [pair_of(place, 21) for place in range(5)]
    reasons = {0: OFF_MAP, 1: OFF_MAP, 2: NO_DATA, 3: "nearest valid cell 2 cells away"}
    result = validate(*zip(*pairs), mapped({3: 21, 4: 22}, reasons))
    assert [result.summary[key] for key in ("off_map", "no_data", "from_neighbour", "compared")] == [2, 1, 1, 2]
    assert [row["note"] for row in result.rows] == [
        OFF_MAP, OFF_MAP, NO_DATA, "map value from the nearest valid cell 2 cells away", ""]
    assert [row["match"] for row in result.rows] == ["", "", "", "exact", "one off"]


def test_a_site_without_a_partner_is_compared_by_tier_only():
    lone = station("T9", 69, 10, -2, RISING)
    result = validate([pair_of(0, 22)[0], lone], [pair_of(0, 22)[1]], constant_map(22))
    row = next(row for row in result.rows if row["site_magt"] == "T9")
    assert (row["site_rank"], row["site_tier"], row["match"]) == (None, "cool", "")
    assert "no thaw depth site within 5 km" in row["note"]
    assert (result.summary["compared"], result.summary["tier"]["of"], result.summary["tier"]["count"]) == (1, 2, 2)
    # as published counts an untestable trend as none, but not a partner that does not exist
    published = validate([lone], [], constant_map(22), ValidationOptions(profile=AS_PUBLISHED))
    assert published.rows[0]["site_rank"] is None


def test_thaw_depth_sites_without_a_partner_stay_in_the_list():
    result = validate([station("T", 65, 10, -2)], [station("A", 70, 20, 1)], constant_map(21))
    assert (result.rows[1]["site_alt"], result.rows[1]["site_magt"], result.rows[1]["latitude"]) == ("A", "", 70)
    assert "no temperature site" in result.rows[1]["note"]
    assert any("raise the distance" in warning for warning in result.warnings)


def test_profiles_differ_for_series_of_three_years():
    magt, alt = station("T", 65, 10, -2, RISING, 3), station("A", 65, 10, 1, RISING, 3)
    defensible = validate([magt], [alt], constant_map(23))
    assert (defensible.rows[0]["site_rank"], defensible.summary["not_testable"]) == (None, 1)
    published = validate([magt], [alt], constant_map(23), ValidationOptions(profile=AS_PUBLISHED))
    assert (published.rows[0]["site_rank"], published.rows[0]["magt_trend"]) == (21, 0)
    assert any("can never show a trend" in warning for warning in published.warnings)
    two = replace(magt, values={2000: -2.0, 2001: -1.0})
    too_short = validate([two], [alt], constant_map(23), ValidationOptions(profile=AS_PUBLISHED))
    assert too_short.rows[0]["site_rank"] is None and too_short.rows[0]["site_tier"] == "cool"


def test_a_warm_station_is_excluded_and_counted():
    result = validate([station("T", 65, 10, 4)], [station("A", 65, 10, 1)], constant_map(33))
    assert (result.summary["too_warm"], result.rows[0]["site_rank"], result.rows[0]["site_tier"]) == (1, None, "")
    assert "upper limit" in result.rows[0]["note"] and result.summary["tier"]["of"] == 0


@pytest.mark.parametrize("n", [0, 1, 3])
def test_below_four_compared_stations_the_correlation_is_not_given_and_why(n):
    pairs = [pair_of(place, CODES[place]) for place in range(max(n, 1))]
    the_map = mapped({place: CODES[place] for place in range(n)})
    summary = validate(*zip(*pairs), the_map).summary
    json.dumps(summary, allow_nan=False)
    assert summary["spearman"] is None and f"there {'is' if n == 1 else 'are'} {n}" in summary["correlation_note"]


def test_a_map_of_one_rank_has_no_correlation():
    pairs = [pair_of(place, CODES[place]) for place in range(6)]
    summary = validate(*zip(*pairs), constant_map(22)).summary
    json.dumps(summary, allow_nan=False)
    assert summary["spearman"] is None and "all 6 map cells" in summary["correlation_note"]


def test_independence_is_always_spoken_of():
    assert "trained on boreholes" in validate([pair_of(0, 21)[0]], [], constant_map(21)).warnings[0]


def test_a_map_that_is_no_pti_map_and_missing_stations_are_refused():
    with pytest.raises(InputError, match="17"):
        validate([pair_of(0, 21)[0]], [], constant_map(17))
    with pytest.raises(InputError, match="no ground temperature site"):
        validate([], [], constant_map(21))
    with pytest.raises(InputError, match="-1"):
        validate([pair_of(0, 21)[0]], [], constant_map(21), ValidationOptions(max_distance_km=-1))


def test_table_and_layer_hold_the_fields_of_every_row(tmp_path):
    pairs = [pair_of(place, CODES[place]) for place in range(4)]
    rows = validate(*zip(*pairs), mapped({0: 11, 1: 12, 2: 40})).rows
    write_table(tmp_path / "stations.csv", rows)
    with open(tmp_path / "stations.csv", encoding="utf-8", newline="") as stream:
        read = list(csv.DictReader(stream))
    assert list(read[0]) == [name for name, *_ in FIELDS]
    for row, text in zip(rows, read):
        for name, kind, *_ in FIELDS:
            expected = row[name]
            if expected is None or expected == "":
                assert text[name] == ""
            else:
                assert kind(text[name]) == (pytest.approx(expected, rel=1e-8) if kind is float else expected)
    assert all(isinstance(row[name], (kind, type(None))) for row in rows for name, kind, *_ in FIELDS)
    for ending in ("gpkg", "shp"):
        write_points(tmp_path / f"stations.{ending}", rows, FIELDS, "longitude", "latitude", "stations")
    with pytest.raises(OutputError):
        write_table(tmp_path / "absent" / "stations.csv", rows)
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared field data are not present")
def test_the_real_tables_pair_the_same_in_any_order():
    magt, _ = read_series(REAL / "pvir_MAGT_inSitu_v3_2020.csv", "magt")
    alt, _ = read_series(REAL / "pvir_inSitu_alt.csv", "alt")
    result = validate(magt, alt, constant_map(22))
    assert validate(magt[::-1], alt[::-1], constant_map(22)) == result
    assert (result.summary["magt_sites"], result.summary["alt_sites"]) == (396, 232)
    assert 20 < result.summary["paired"] < 100
    assert all(row["pair_km"] <= 5 for row in result.rows if row["pair_km"] is not None)
    assert len(result.rows) == 396 + 232 - result.summary["paired"]
