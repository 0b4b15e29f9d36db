"""Every limit that is a distance, a little on either side and, where the rule is exact, on it.

Limits of the index (MAGT and PP) are in test_pti.py, α and MIN_SHARE of trends in test_trends.py, those of composites,
of the mean over depth and of half a zone in tests/processing/test_every_output.py.
"""

import numpy as np
import pyproj
import pytest

from pti_plugin.core.common.progress import Progress
from pti_plugin.core.ensembles.features import read_stack
from pti_plugin.core.insitu.pairing import pair_sites
from pti_plugin.core.insitu.stations import StationSeries
from pti_plugin.core.mapping.map_agreement import TrainingPoints
from pti_plugin.core.rasters.blocks import Window
from pti_plugin.core.rasters.geodesic import distance_m
from pti_plugin.core.rasters.grid import Grid, epsg_wkt
from pti_plugin.core.samples.edge_buffer import Ground, inside_edges
from pti_plugin.core.samples.sampling import sample_points
from pti_plugin.core.samples.sampling_rules import Rule
from support import Log, write_raster

GEOD = pyproj.Geod(ellps="WGS84")
#: at these cells of the grids one row lies between the two places
ROW, COLUMNS = 20, (10, 16)
GRIDS = {"equal-area": (6931, (1e5, 1000.0, 0.0, -2e6, 0.0, -1000.0)),
         "degrees": (4326, (20.0, 0.02, 0.0, 70.0, 0.0, -0.02))}
#: chords stand for distances, and are exact to one part in 10^7
SIDES = [(1 - 1e-6, True), (1 + 1e-6, False)]


def two_places(name):
    """Return (grid, longitudes, latitudes, km between them) of two cells."""
    code, transform = GRIDS[name]
    grid = Grid(epsg_wkt(code), transform, 41, 41)
    longitude, latitude = grid.lonlat(np.array(COLUMNS) + 0.5, np.full(2, ROW + 0.5))
    return grid, longitude, latitude, GEOD.inv(longitude[0], latitude[0], longitude[1], latitude[1])[2] / 1000


def site(name, latitude, longitude, elevation=None):
    return StationSeries(name, name, latitude, longitude, elevation, 10.0, {2010: -2.0})


@pytest.mark.parametrize("most, pairs", [(0, True), (-1e-9, False), (1e-9, True)])
def test_sites_that_are_as_far_apart_as_allowed_are_a_pair(most, pairs):
    limit = float(distance_m(65.0, 10.0, 65.01, 10.02)) / 1000 + most
    found = pair_sites([site("T", 65.0, 10.0)], [site("A", 65.01, 10.02)], limit)
    assert (found[0].alt is not None) == pairs


@pytest.mark.parametrize("climb, pairs", [(100.0, True), (100.5, False), (-100.0, True), (-100.5, False)])
def test_sites_whose_elevations_differ_as_much_as_allowed_are_a_pair(climb, pairs):
    found = pair_sites([site("T", 65.0, 10.0, 250.0)], [site("A", 65.0, 10.0, 250.0 + climb)], 5, 100.0)
    assert (found[0].alt is not None) == pairs


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("factor, kept", SIDES)
def test_the_edge_buffer(name, factor, kept):
    grid, _, _, distance = two_places(name)
    cells = np.ones((41, 41), dtype=np.uint8)
    cells[ROW, COLUMNS[0]] = 2
    ground = Ground(grid)
    found, _ = inside_edges(cells, ground, np.ones(ground.tiles, dtype=bool), {1: distance * factor}, Progress())
    assert (found[ROW, COLUMNS[1]] == 1) == kept


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("factor, kept", SIDES)
def test_the_spacing_of_samples(tmp_path, name, factor, kept):
    _, _, _, distance = two_places(name)
    code, transform = GRIDS[name]
    cells = np.zeros((41, 41), dtype=np.uint8)
    cells[ROW, list(COLUMNS)] = 11
    given = {"crs": f"EPSG:{code}", "transform": transform}
    pti = write_raster(tmp_path / "pti.tif", cells, nodata=0, **given)
    stack = write_raster(tmp_path / "stack.tif", np.ones((1, 41, 41)), dtype="float32", descriptions=["lst"], **given)
    samples, _ = sample_points(pti, read_stack(stack), (Rule(11, 5, distance * factor, 0.0),), Log())
    assert len(samples.y) == (2 if kept else 1)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("factor, kept", SIDES)
def test_the_distance_from_the_training_points(name, factor, kept):
    grid, longitude, latitude, distance = two_places(name)
    samples = np.array([(longitude[0], latitude[0])], dtype=[("longitude", "f8"), ("latitude", "f8")])
    cells = np.zeros((41, 41), dtype=bool)
    cells[ROW, COLUMNS[1]] = True
    rows, _, _ = TrainingPoints(samples, distance * factor).away(cells, grid, Window(0, 41, 0, 41))
    assert len(rows) == int(kept)
