"""Weights make ranks count as asked, and areas come from a raster or a table alike."""

import numpy as np
import pytest

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.common.profiles import AS_PUBLISHED, DEFENSIBLE
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.learning.class_weights import areas_of_raster, areas_of_table, prior_of, sample_weights
from pti_plugin.core.rasters.exclusion import LeftOutClasses
from support import Log, write_raster

Y = np.repeat([11, 22, 40], [60, 30, 10])


def shares(weights):
    return [float(weights[Y == code].sum() / weights.sum()) for code in (11, 22, 40)]


def test_none_is_no_weight_at_all():
    assert sample_weights(Y, "none") is None


def test_balanced_ranks_count_the_same_and_the_mean_weight_is_one():
    weights = sample_weights(Y, "balanced")
    assert weights.dtype == np.float32 and weights.mean() == pytest.approx(1)
    assert shares(weights) == pytest.approx([1 / 3] * 3)


def test_areas_decide_whatever_the_number_of_points():
    weights = sample_weights(Y, "area", {11: 500.0, 22: 1500.0, 40: 2000.0, 13: 9.0})
    assert weights.mean() == pytest.approx(1) and shares(weights) == pytest.approx([0.125, 0.375, 0.5])


def test_a_rank_of_the_map_that_no_sample_has_is_told_whatever_the_weights():
    for kind in ("auto", "none", "area"):
        log = Log()
        prior_of(Y, kind, {11: 500.0, 22: 300.0, 40: 100.0, 13: 99.0, 21: 1.0, 33: 0.0}, DEFENSIBLE, log)
        told, = log.warnings
        assert told.startswith("No sample has rank 13, 21: 10 % of the area")
    log = Log()
    prior_of(Y, "auto", {11: 500.0, 22: 300.0, 40: 100.0, 33: 0.0}, DEFENSIBLE, log)
    assert not log.warnings


@pytest.mark.parametrize("areas", [{11: 5.0, 40: 1.0}, {11: 5.0, 22: 0.0, 40: 1.0}])
def test_a_rank_without_area_is_refused(areas):
    with pytest.raises(InputError, match="ranks 22, which have no area"):
        sample_weights(Y, "area", areas)


def test_areas_of_a_raster_are_true_areas(tmp_path):
    # two rows of degrees: the northern one is smaller
    path = write_raster(tmp_path / "p.tif", np.array([[11, 11, 0], [22, 11, 40]]), dtype="uint8", nodata=0,
                        crs="EPSG:4326", transform=(10.0, 1.0, 0.0, 71.0, 0.0, -1.0))
    from pyproj import Geod

    def area(south):
        step = np.linspace(10, 11, 101)
        ring = np.concatenate([step, step[::-1]]), np.concatenate([np.full(101, south), np.full(101, south + 1.0)])
        return abs(Geod(ellps="WGS84").polygon_area_perimeter(*ring)[0]) / 1e6

    cover = write_raster(tmp_path / "cover.tif", np.array([[210, 130, 130], [130, 0, 220]]), dtype="uint8", nodata=0,
                         crs="EPSG:4326", transform=(10.0, 1.0, 0.0, 71.0, 0.0, -1.0))
    land = areas_of_raster(path, Progress(), LeftOutClasses(cover))
    assert [land[code] for code in (11, 22, 40)] == pytest.approx([area(70) + area(69), area(69), 0], rel=1e-4)
    found = areas_of_raster(path, Progress())
    assert [found[code] for code in (11, 22, 40)] == pytest.approx(
        [2 * area(70) + area(69), area(69), area(69)], rel=1e-4)


def test_areas_of_a_table(tmp_path):
    path = tmp_path / "areas.csv"
    path.write_text("rank,label,cells,area_km2\n11,Cold,5,12.5\n40,Isolated,0,0\n", encoding="utf-8")
    assert areas_of_table(path) == {11: 12.5, 40: 0.0}
    path.write_text("rank,weight\n11,2\n", encoding="utf-8")
    assert areas_of_table(path) == {11: 2.0}


@pytest.mark.parametrize("text, said", [
    ("", "needs the columns 'rank' and 'area_km2'"), ("rank,cells\n11,2\n", "needs the columns"),
    ("code,area_km2\n11,2\n", "needs the columns"), ("rank,area_km2\n14,2\n", "the rank '14.0', which is none"),
    ("rank,area_km2\n11,much\n", "area_km2 'much' for rank 11"), ("rank,area_km2\n11,-1\n", "area_km2 '-1.0'"),
    ("rank,area_km2\n11,\n", "area_km2 'None'")])
def test_tables_that_cannot_be_used_are_refused(tmp_path, text, said):
    path = tmp_path / "areas.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        areas_of_table(path)


AREAS = {11: 500.0, 22: 1500.0, 40: 2000.0}


def test_ranks_count_as_their_areas_unless_the_paper_is_followed():
    prior = prior_of(Y, "auto", AREAS, DEFENSIBLE, Log())
    assert prior.kind == "area_matched" and prior.matched and prior.areas == AREAS
    assert shares(prior.weights) == pytest.approx([0.125, 0.375, 0.5])
    published = prior_of(Y, "auto", AREAS, AS_PUBLISHED, Log())
    assert published.kind == "none" and published.weights is None and not published.matched
    assert not prior_of(Y, "area", AREAS).matched


def test_areas_that_are_not_known_are_warned_of_or_refused():
    log = Log()
    prior = prior_of(Y, "auto", None, DEFENSIBLE, log)
    assert prior.kind == "none" and prior.weights is None
    assert len(log.warnings) == 1 and "Give WEIGHTS" in log.warnings[0]
    assert prior_of(Y, "auto", None, AS_PUBLISHED, log).kind == "none" and len(log.warnings) == 1
    for kind in ("area", "area_matched"):
        with pytest.raises(InputError, match=f"CLASS_WEIGHTS is {kind}, but there is nothing to measure"):
            prior_of(Y, kind, None)
