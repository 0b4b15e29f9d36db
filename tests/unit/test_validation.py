"""Stations are paired, ranked and compared by the method, whatever the order they come in."""

import csv
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pti_plugin.core.common.errors import InputError, OutputError
from pti_plugin.core.common.profiles import AS_PUBLISHED, DEFENSIBLE
from pti_plugin.core.common.ranks import CODES, ORDER
from pti_plugin.core.index.pti import PtiOptions
from pti_plugin.core.insitu.station_files import read_stations
from pti_plugin.core.insitu.stations import StationSeries
from pti_plugin.core.insitu.validation import (
    FIELDS,
    NO_DATA,
    OFF_MAP,
    ValidationOptions,
    station_rank,
    station_trend,
    validate,
    write_table,
)
from pti_plugin.core.rasters.vector import write_points

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


def numbers(function):
    """Answers for a raster whose value is ``function(longitude, latitude)``, NaN where it has none."""
    def values(longitudes, latitudes):
        found = np.array([function(*place) for place in zip(longitudes, latitudes)], dtype=float)
        return found, np.where(np.isnan(found), NO_DATA, "")
    return values


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
    by_place = sorted(result.rows, key=lambda row: row["latitude"])
    assert [row["site_rank"] for row in by_place] == stations
    differences = [ORDER[b] - ORDER[a] for a, b in zip(stations, on_map)]
    assert [row["rank_diff"] for row in by_place] == differences
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


def test_the_order_of_stations_does_not_matter(tmp_path):
    pairs = [pair_of(place, CODES[place % 9]) for place in range(12)]
    magt, alt = map(list, zip(*pairs))
    # two records of one id, a lone site of each kind, and years that come out of order
    magt += [replace(magt[0], values={year: -9.0 for year in range(2000, 2009)}), station("T99", 80, 10, -2)]
    alt += [station("A99", 81, 10, 1)]
    shuffled_years = replace(magt[3], values=dict(reversed(magt[3].values.items())))
    the_map = mapped({place: CODES[(place * 5) % 10] for place in range(12)})
    others = numbers(lambda longitude, latitude: -0.1 * latitude), numbers(lambda longitude, latitude: latitude - 60)
    expected = validate(magt, alt, the_map, None, *others)
    write_table(tmp_path / "expected.csv", expected.rows)
    random = np.random.default_rng(3)
    for _ in range(5):
        random.shuffle(magt)
        random.shuffle(alt)
        found = validate([shuffled_years if site.site == "T3" else site for site in magt], alt, the_map, None, *others)
        assert found == expected
        write_table(tmp_path / "found.csv", found.rows)
        assert (tmp_path / "found.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()
    assert expected.summary["compared"] == 12


def test_the_largest_misses_come_first_and_sites_alone_last():
    ranks_on_map = {0: 11, 1: 12, 2: 33, 3: 22}
    pairs = [pair_of(place, 11) for place in range(4)]
    untestable = [station("T5", 65, 10, -6, RISING, 3), station("A5", 65, 10, 1, RISING, 3)]
    result = validate([magt for magt, _ in pairs] + [untestable[0], station("T7", 67, 10, -2)],
                      [alt for _, alt in pairs] + [untestable[1], station("A8", 68, 10, 1)],
                      mapped({**ranks_on_map, 5: 11, 7: 22, 8: 22}))
    assert [row["site_magt"] or row["site_alt"] for row in result.rows] == ["T2", "T3", "T1", "T0", "T5", "T7", "A8"]
    assert [row["match"] for row in result.rows] == ["further", "further", "one off", "exact", "", "", ""]


# temperature, permafrost percent and tiers of the map

def test_bias_and_errors_of_the_maps_temperature_are_those_of_numpy_and_scipy():
    stats = pytest.importorskip("scipy.stats")
    magt = [station(f"T{i}", 60 + i, 10, -8 + 1.1 * i, n=5) for i in range(8)]
    on_map = np.array([-7.1, -7.6, -5.0, -3.1, -4.4, -1.9, 0.2, math.nan])

    def magt_values(longitudes, latitudes):
        values = np.array([on_map[int(latitude - 60)] for latitude in latitudes])
        return values, np.where(np.isnan(values), OFF_MAP, "")

    result = validate(magt, [], constant_map(21), magt_values=magt_values)
    measured = np.array([np.mean(list(site.values.values())) for site in magt])
    misses = (on_map - measured)[:7]
    assert result.summary["magt_agreement"] == {
        "n": 7, "bias": pytest.approx(misses.mean()), "mae": pytest.approx(np.abs(misses).mean()),
        "rmse": pytest.approx(np.sqrt((misses ** 2).mean())),
        "r": pytest.approx(stats.pearsonr(measured[:7], on_map[:7])[0])}
    rows = {row["site_magt"]: row for row in result.rows}
    assert rows["T0"]["magt_diff"] == pytest.approx(misses[0]) and rows["T0"]["map_magt"] == -7.1
    assert rows["T7"]["map_magt"] is None and "MAGT raster: off the map" in rows["T7"]["note"]
    assert any("bias" in sentence and "map less station" in sentence for sentence in result.sentences)
    assert validate(magt, [], constant_map(21)).summary["magt_agreement"] is None


def test_a_temperature_raster_without_a_value_at_any_station_is_said():
    nowhere = numbers(lambda longitude, latitude: math.nan)
    result = validate([pair_of(0, 21)[0]], [], constant_map(21), magt_values=nowhere)
    assert result.summary["magt_agreement"] is None
    assert any("no value at any temperature site" in warning for warning in result.warnings)
    json.dumps(result.summary, allow_nan=False)


def test_the_maps_percent_gives_rank_40_and_its_absence_is_said():
    pairs = [pair_of(place, 22) for place in range(3)]
    percent = numbers(lambda longitude, latitude: {60: 9.9, 61: 10.0}.get(int(latitude), math.nan))
    with_percent = validate(*zip(*pairs), constant_map(40), pp_values=percent)
    rows = {row["site_magt"]: row for row in with_percent.rows}
    assert [rows[f"T{i}"]["site_rank"] for i in range(3)] == [40, 22, 22]
    assert [rows[f"T{i}"]["match"] for i in range(3)] == ["exact", "further", "further"]
    assert [rows[f"T{i}"]["map_pp"] for i in range(3)] == [9.9, 10.0, None]
    assert "PP raster: no data here" in rows["T2"]["note"]
    assert (with_percent.summary["station_isolated"], with_percent.summary["tier"]["count"]) == (1, 1)
    assert any("no independent agreement" in warning for warning in with_percent.warnings)
    without = validate(*zip(*pairs), constant_map(40))
    assert "impossible" in without.summary["rank_40"]
    assert any("Rank 40 is impossible without a permafrost percent." in sentence for sentence in without.sentences)
    assert without.summary["tier"]["count"] == 0


def test_tiers_of_map_and_stations_are_counted_map_down_and_stations_across():
    stations = [11, 12, 21, 22, 31, 32, 33]
    on_map = [11, 21, 21, 22, 40, 23, 33]
    pairs = [pair_of(place, rank) for place, rank in enumerate(stations)]
    found = validate(*zip(*pairs), mapped(dict(enumerate(on_map)))).summary
    tiers = ["cold", "cool", "warm", "isolated"]
    expected = [[0] * 4 for _ in tiers]
    for station_code, map_code in zip(stations, on_map):
        expected[map_code // 10 - 1][station_code // 10 - 1] += 1
    assert found["tier_confusion"] == {"labels": tiers, "matrix": expected}
    assert sum(expected[i][i] for i in range(4)) == found["tier"]["count"]
    empty = validate([pair_of(0, 21)[0]], [], mapped({})).summary["tier_confusion"]
    assert empty == {"labels": tiers, "matrix": [[0] * 4] * 4}


# bad input

def test_sites_without_usable_coordinates_are_refused_by_name():
    good, alt = pair_of(0, 21)
    for bad in (replace(good, site="T8", latitude=None), replace(good, site="T8", longitude=math.nan),
                replace(good, site="T8", latitude=128.0)):
        with pytest.raises(InputError, match="1 temperature site.*T8"):
            validate([good, bad], [alt], constant_map(21))
        with pytest.raises(InputError, match="1 thaw depth site.*T8"):
            validate([good], [alt, bad], constant_map(21))


def north_of_50(longitudes, latitudes):
    """A map that ends at 50° N."""
    on_map = np.asarray(latitudes) > 50
    return np.where(on_map, 21.0, math.nan), np.where(on_map, "", OFF_MAP)


def test_a_site_that_would_be_on_the_map_with_its_coordinates_exchanged_is_named():
    pairs = [pair_of(place, 21) for place in range(4)]
    swapped, south = station("T_swapped", 10, 65, -2), station("T_south", 10, 20, -2)
    result = validate([magt for magt, _ in pairs] + [swapped, south], [alt for _, alt in pairs], north_of_50)
    assert (result.summary["off_map"], result.summary["swapped"], result.summary["compared"]) == (2, 1, 4)
    told = [warning for warning in result.warnings if "exchanged" in warning]
    assert len(told) == 1 and "T_swapped" in told[0] and "T_south" not in told[0]
    notes = {row["site_magt"]: row["note"] for row in result.rows}
    assert "look swapped" in notes["T_swapped"] and "look swapped" not in notes["T_south"]


@pytest.mark.parametrize("kind", ["temperature", "thaw-depth"])
def test_a_table_whose_sites_all_look_swapped_is_refused(kind):
    magt, alt = (list(sites) for sites in zip(*(pair_of(place, 21) for place in range(4))))
    exchanged = [replace(site, latitude=site.longitude, longitude=site.latitude)
                 for site in (magt if kind == "temperature" else alt)]
    with pytest.raises(InputError, match=f"All 4 {kind} sites lie off the map.*exchanged"):
        validate(*((exchanged, alt) if kind == "temperature" else (magt, exchanged)), north_of_50)
    # off the map as they stand, and exchanged as well: nothing to suspect
    far = [replace(site, latitude=-5.0, longitude=20.0 + i) for i, site in enumerate(magt)]
    assert validate(far, [], north_of_50).summary["off_map"] == 4


def test_sites_that_share_a_place_or_an_id_are_kept_and_named():
    magt, alt = (list(sites) for sites in zip(*(pair_of(place, 21) for place in range(3))))
    same_place = replace(magt[0], site="T0b", latitude=magt[0].latitude + 1e-5)
    same_id = replace(magt[1], latitude=70.0)
    result = validate([*magt, same_place, same_id], alt, constant_map(21))
    assert (result.summary["magt_sites"], result.summary["same_place"]) == (5, 4)
    told = [warning for warning in result.warnings if "share a place or an id" in warning]
    assert len(told) == 1 and "T0 and T0b; T1 and T1" in told[0]
    assert not any("share" in warning for warning in validate(magt, alt, constant_map(21)).warnings)


def test_no_pair_at_all_is_a_result_with_the_agreement_of_tiers():
    magt = [pair_of(place, 21)[0] for place in range(5)]
    for alt, told in (([], "No thaw-depth sites were given"),
                      ([station("A", 20, 10, 1)], "No temperature site has a thaw-depth site within 5 km")):
        result = validate(magt, alt, constant_map(22))
        assert (result.summary["compared"], result.summary["tier"]["count"]) == (0, 5)
        assert any(told in warning for warning in result.warnings)
        json.dumps(result.summary, allow_nan=False)


def test_a_pair_kept_without_elevations_under_a_limit_is_noted_and_counted():
    magt, alt = pair_of(0, 21)
    result = validate([replace(magt, elevation_m=100.0)], [alt], constant_map(21),
                      ValidationOptions(max_elevation_m=50.0))
    assert "the limit of 50 m was not applied" in result.rows[0]["note"]
    assert (result.summary["paired"], result.summary["without_elevation"]) == (1, 1)
    assert any("no elevation" in warning for warning in result.warnings)
    assert "within 5 km and 50 m of elevation" in result.sentences[0]
    known = validate([replace(magt, elevation_m=100.0)], [replace(alt, elevation_m=70.0)], constant_map(21),
                     ValidationOptions(max_elevation_m=50.0))
    assert (known.rows[0]["pair_elev"], known.rows[0]["elev_m"], known.rows[0]["note"]) == (-30.0, 100.0, "")


def test_choices_out_of_range_are_refused():
    for choice, value in (("max_elevation_m", -1.0), ("alpha", 0.0), ("thresholds", PtiOptions(cold=2.0))):
        with pytest.raises(InputError):
            validate([pair_of(0, 21)[0]], [], constant_map(21), ValidationOptions(**{choice: value}))


def test_stations_off_the_map_without_rank_and_by_neighbour_are_counted_and_noted():
    pairs = [pair_of(place, 21) for place in range(5)]
    reasons = {0: OFF_MAP, 1: OFF_MAP, 2: NO_DATA, 3: "nearest valid cell 2 cells away"}
    result = validate(*zip(*pairs), mapped({3: 21, 4: 22}, reasons))
    assert [result.summary[key] for key in ("off_map", "no_data", "from_neighbour", "compared")] == [2, 1, 1, 2]
    by_place = sorted(result.rows, key=lambda row: row["latitude"])
    assert [row["note"] for row in by_place] == [
        OFF_MAP, OFF_MAP, NO_DATA, "map value from the nearest valid cell 2 cells away", ""]
    assert [row["match"] for row in by_place] == ["", "", "", "exact", "one off"]


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
    # four years reach p = 0.083, which the defensible profile believes at no level
    four = [station("T", 65, 10, -2, RISING, 4)], [station("A", 65, 10, 1, RISING, 4)]
    ranks = {profile.name: validate(*four, constant_map(23), ValidationOptions(profile=profile, alpha=0.1)).rows[0][
        "site_rank"] for profile in (DEFENSIBLE, AS_PUBLISHED)}
    assert ranks == {"defensible": None, "as_published": 23}
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
    named = validate([pair_of(0, 21)[0]], [], constant_map(21), ValidationOptions(trained=("NIEER", "Other")))
    assert named.warnings[0] == validate([pair_of(0, 21)[0]], [], constant_map(21)).warnings[0]
    assert "NIEER was trained on 1,002 boreholes" in named.warnings[1] and "Other was trained" in named.warnings[2]
    assert named.summary["trained_on_boreholes"] == "NIEER, Other"


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
    magt, _ = read_stations(REAL / "pvir_MAGT_inSitu_v3_2020.csv", "magt")
    alt, _ = read_stations(REAL / "pvir_inSitu_alt.csv", "alt")
    result = validate(magt, alt, constant_map(22))
    assert validate(magt[::-1], alt[::-1], constant_map(22)) == result
    assert (result.summary["magt_sites"], result.summary["alt_sites"]) == (396, 232)
    assert 20 < result.summary["paired"] < 100
    assert all(row["pair_km"] <= 5 for row in result.rows if row["pair_km"] is not None)
    assert len(result.rows) == 396 + 232 - result.summary["paired"]
