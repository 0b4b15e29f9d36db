"""Maps and products at the same stations: the table equals a count by hand, over the stations that all have."""

import math

import numpy as np
import pytest

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.index.pti import PtiOptions
from pti_plugin.core.insitu.side_by_side import (
    COLUMNS,
    PTI_MAP,
    AtStations,
    of_product,
    of_products,
    of_ranks,
    sentences,
    side_by_side,
)
from pti_plugin.core.insitu.validation import ValidationResult

stats = pytest.importorskip("scipy.stats")

ORDER = (11, 12, 13, 21, 22, 23, 31, 32, 33, 40)
TIERS = dict(zip(ORDER, ["cold"] * 3 + ["cool"] * 3 + ["warm"] * 3 + ["isolated"]))


def result_of(site_ranks, map_ranks, magt, map_magt=None):
    """A ValidationResult of stations; 0 and NaN stand for none."""
    rows = []
    for i, (site, mapped, degrees) in enumerate(zip(site_ranks, map_ranks, magt)):
        rows.append({"site_magt": f"M{i}", "site_rank": int(site) or None, "site_tier": TIERS.get(int(site), ""),
                     "map_rank": int(mapped) or None, "magt": None if math.isnan(degrees) else float(degrees),
                     "map_magt": None if map_magt is None or math.isnan(map_magt[i]) else float(map_magt[i])})
    return ValidationResult(rows, {}, [], [])


@pytest.mark.parametrize("seed", range(10))
def test_figures_equal_a_count_over_the_stations_that_all_have(seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(12, 60)
    site, own, other, third = rng.choice([0, *ORDER], (4, n), p=[0.1, *[0.09] * 10])
    magt, one, two = rng.normal(-4, 2, (3, n))
    magt[rng.random(n) < 0.2] = np.nan
    one[rng.random(n) < 0.2] = np.nan
    table = side_by_side(result_of(site, own, magt), "map.tif", [
        of_ranks("other.tif", PTI_MAP, np.where(other == 0, np.nan, other.astype(float)), magt=one),
        of_ranks("third.tif", PTI_MAP, third, magt=two)])
    assert [tuple(row) for row in table] == [tuple(name for name, *_ in COLUMNS)] * 3
    common = (site > 0) & (own > 0) & (other > 0) & (third > 0)
    place = {code: i for i, code in enumerate(ORDER)}
    for row, codes in zip(table, (own, other, third)):
        assert row["with_rank"] == ((site > 0) & (codes > 0)).sum()
        assert row["ranks_compared"] == common.sum()
        step = np.array([abs(place[a] - place[b]) for a, b in zip(site[common], codes[common])])
        assert row["exact_percent"] == pytest.approx(100 * (step == 0).mean())
        assert row["within_one_percent"] == pytest.approx(100 * (step < 2).mean())
        expected = stats.spearmanr([place[a] for a in site[common]], [place[a] for a in codes[common]])[0]
        assert row["spearman"] == pytest.approx(expected)
        assert row["tier_percent"] == pytest.approx(
            100 * np.mean([TIERS[a] == TIERS[b] for a, b in zip(site[common], codes[common])]))
    measured = ~np.isnan(magt) & ~np.isnan(one)
    assert table[0]["magt_compared"] is None
    for row, values in zip(table[1:], (one, two)):
        misses = (values - magt)[measured]
        assert row["with_magt"] == (~np.isnan(magt) & ~np.isnan(values)).sum()
        assert row["magt_compared"] == measured.sum()
        assert [row[name] for name in ("magt_bias", "magt_rmse", "magt_mae")] == pytest.approx(
            [misses.mean(), np.sqrt((misses ** 2).mean()), np.abs(misses).mean()])


def test_a_map_without_any_value_takes_nothing_from_the_others_and_is_told():
    table = side_by_side(result_of([11, 12, 13], [11, 12, 21], [-5.0, -6.0, -7.0]), "map.tif", [
        of_ranks("away.tif", PTI_MAP, [np.nan] * 3), AtStations("x", "single product", magt=np.full(3, np.nan))])
    assert table[0]["ranks_compared"] == 3 and table[0]["exact_percent"] == pytest.approx(200 / 3)
    assert (table[1]["with_rank"], table[1]["ranks_compared"], table[1]["exact_percent"]) == (0, 0, None)
    told = sentences(table)
    assert "exact rank 67 %" in told[0] and told[1].endswith("away.tif (PTI map): no value at any of them.")
    assert "no value" in told[2]


def test_a_single_product_has_the_rank_of_table_3():
    magt = np.array([-5.0, -3.0, -1.5, 0.0, 3.5, -5.0, -5.0, np.nan])
    percent = np.array([90.0, 90, 90, 90, 90, 5, 0, 90])
    signs = [np.array([1.0, 0, 1, np.nan, 1, 1, 1, 1]), np.array([1.0, 1, -1, 0, 1, 1, 1, 1])]
    found = of_product("obu", magt, percent, signs, PtiOptions())
    assert found.ranks.tolist() == [13, 22, 22, 31, 0, 40, 0, 0]
    assert found.tiers.tolist() == ["cold", "cool", "cool", "warm", "", "isolated", "", ""]
    without = of_product("obu", magt, percent, None, PtiOptions())
    assert without.ranks is None and without.tiers.tolist() == found.tiers.tolist()


def test_layers_of_one_product_go_together_by_their_names():
    pp = {"obu_pp.tif": np.array([90.0]), "cci_pp.tif": np.array([5.0])}
    magt = {"cci_magt.tif": np.array([-5.0]), "obu_magt.tif": np.array([-2.0])}
    found, warnings = of_products(pp, magt, [np.array([1.0])] * 2, PtiOptions())
    assert {one.name: one.ranks.tolist() for one in found} == {"cci": [40], "obu": [23]} and not warnings
    found, warnings = of_products(pp, {"a.tif": magt["cci_magt.tif"], "b.tif": magt["obu_magt.tif"]}, None,
                                  PtiOptions())
    assert [one.name for one in found] == ["a.tif", "b.tif"] and all(one.ranks is None for one in found)
    assert "compared by their temperature only" in warnings[0] and "Say with PRODUCTS" not in warnings[0]
    assert [one.name for one in of_products({}, magt, None, PtiOptions())[0]] == list(magt)


def test_values_that_are_no_ranks_are_refused():
    with pytest.raises(InputError, match="x.tif holds the value 14, which is no PTI rank"):
        of_ranks("x.tif", PTI_MAP, [11.0, 14.0])
