"""Sites pair nearest first, one to one, within the limits of distance and elevation, in whatever order they come."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from pti_plugin.core.insitu.pairing import Pair, pair_sites
from pti_plugin.core.insitu.stations import StationSeries
from pti_plugin.core.rasters.geodesic import distance_m


def station(site, latitude, longitude, elevation=None):
    return StationSeries(site, site, float(latitude), float(longitude), elevation, 10.0, {2010: -2.0})


def pair_ids(pairs):
    return [(pair.magt and pair.magt.site, pair.alt and pair.alt.site) for pair in pairs]


def test_the_nearest_sites_pair_first_and_each_once():
    magt = [station("T1", 65.000, 10), station("T2", 65.010, 10), station("T3", 66, 10)]
    alt = [station("A1", 65.008, 10), station("A2", 64.990, 10), station("A3", 60, 10)]
    pairs = pair_sites(magt, alt, 5)
    # A1 is the nearest to both T1 and T2, but nearer to T2
    assert pair_ids(pairs) == [("T1", "A2"), ("T2", "A1"), ("T3", None), (None, "A3")]
    assert pairs[0].distance_km == pytest.approx(distance_m(65, 10, 64.99, 10) / 1000)
    assert "the nearest, A1, is 110" in pairs[2].reason and "within 5 km" in pairs[3].reason


def test_a_site_whose_partners_are_taken_says_so():
    pairs = pair_sites([station("T1", 65, 10), station("T2", 65.01, 10)], [station("A1", 65, 10)], 5)
    assert pair_ids(pairs) == [("T1", "A1"), ("T2", None)] and "nearer partners" in pairs[1].reason


def test_ties_go_by_site_id_and_any_order_of_input_gives_the_same_pairs():
    magt = [station(site, 65, 10) for site in ("T10", "T2", "T1")]
    alt = [station(site, 65, 10 + shift) for site, shift in (("A2", 0.01), ("A10", 0.01), ("A1", -0.01))]
    expected = [("T1", "A1"), ("T2", "A2"), ("T10", "A10")]
    for own, others in itertools.product(itertools.permutations(magt), itertools.permutations(alt)):
        assert pair_ids(pair_sites(own, others, 5)) == expected


def test_pairing_equals_a_brute_force_search():
    random = np.random.default_rng(7)
    magt = [station(f"T{i}", *random.uniform((64, 10), (64.5, 11))) for i in range(30)]
    alt = [station(f"A{i}", *random.uniform((64, 10), (64.5, 11))) for i in range(25)]
    distances = {(i, j): float(distance_m(a.latitude, a.longitude, b.latitude, b.longitude))
                 for i, a in enumerate(magt) for j, b in enumerate(alt)}
    expected = set()
    while distances:
        (i, j), distance = min(distances.items(), key=lambda item: item[1])
        if distance > 4000:
            break
        expected.add((f"T{i}", f"A{j}"))
        distances = {key: value for key, value in distances.items() if key[0] != i and key[1] != j}
    found = {pair for pair in pair_ids(pair_sites(magt, alt, 4)) if None not in pair}
    assert found == expected and 5 < len(found) < 25


def test_sites_across_the_dateline_are_close():
    assert pair_ids(pair_sites([station("T", 66, 179.99)], [station("A", 66, -179.99)], 5)) == [("T", "A")]


def test_a_site_with_too_few_years_takes_no_partner_from_one_with_enough():
    long = {year: -2.0 for year in range(2000, 2006)}
    near, far = station("T1", 65, 10), replace(station("T2", 65.02, 10), values=long)
    alt = [replace(station("A1", 65, 10), values=long)]
    assert pair_ids(pair_sites([near, far], alt, 5)) == [("T1", "A1"), ("T2", None)]
    pairs = pair_sites([near, far], alt, 5, min_years=5)
    assert pair_ids(pairs) == [("T1", None), ("T2", "A1")] and "longer records" in pairs[0].reason
    # what is left is paired all the same
    assert pair_ids(pair_sites([near], alt, 5, min_years=5)) == [("T1", "A1")]


# elevation

def test_sites_of_different_elevation_do_not_pair_and_the_reason_names_the_difference():
    magt = [station("T", 65, 10, 1200.0)]
    alt = [station("A1", 65.001, 10, 700.0), station("A2", 65.02, 10, 1150.0)]
    assert pair_ids(pair_sites(magt, alt, 5)) == [("T", "A1"), (None, "A2")]
    # the nearest lies too low, so the second nearest is taken
    pairs = pair_sites(magt, alt, 5, 100)
    assert pair_ids(pairs) == [("T", "A2"), (None, "A1")]
    assert pairs[0].elevation_difference_m == -50
    assert pairs[1].reason == ("no temperature site within 5 km and 100 m of elevation; the nearest, T, lies 500 m "
                               "higher")
    alone = pair_sites(magt, alt[:1], 5, 100)
    assert "A1, lies 500 m lower" in alone[0].reason
    # a difference of just the limit is within it
    assert pair_ids(pair_sites(magt, alt[:1], 5, 500)) == [("T", "A1")]


@pytest.mark.parametrize("unknown", [None, float("nan")])
def test_a_site_without_elevation_is_paired_all_the_same(unknown):
    pairs = pair_sites([station("T", 65, 10, 1200.0)], [station("A", 65, 10, unknown)], 5, 100)
    assert pair_ids(pairs) == [("T", "A")] and pairs[0].elevation_difference_m is None
    assert Pair(pairs[0].magt, None).elevation_difference_m is None


def test_elevation_limits_hold_in_a_brute_force_search():
    random = np.random.default_rng(8)
    magt = [station(f"T{i}", *random.uniform((64, 10), (64.3, 10.6)), random.uniform(0, 400)) for i in range(20)]
    alt = [station(f"A{i}", *random.uniform((64, 10), (64.3, 10.6)), random.uniform(0, 400)) for i in range(20)]
    candidates = sorted((distance_m(a.latitude, a.longitude, b.latitude, b.longitude), a.site, b.site)
                        for a in magt for b in alt if abs(a.elevation_m - b.elevation_m) <= 150)
    expected = set()
    for distance, a, b in candidates:
        if distance <= 5000 and not any(a in pair or b in pair for pair in expected):
            expected.add((a, b))
    found = {pair for pair in pair_ids(pair_sites(magt, alt, 5, 150)) if None not in pair}
    assert found == expected and found != {pair for pair in pair_ids(pair_sites(magt, alt, 5)) if None not in pair}


def test_sites_of_one_id_pair_the_same_in_any_order():
    magt = [station("T", 65, 10), station("T", 65.01, 10), replace(station("T", 65, 10), values={2010: -3.0})]
    alt = [station("A", 65.01, 10), station("A", 65, 10)]
    expected = pair_sites(magt, alt, 5)
    for order in itertools.permutations(magt):
        assert pair_sites(order, alt[::-1], 5) == expected
