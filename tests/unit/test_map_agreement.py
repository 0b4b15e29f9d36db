"""The agreement of map and index by latitude is a plain count of the cells away from the training points."""

import numpy as np
import pytest

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.common.ranks import CODES
from pti_plugin.core.mapping import map_agreement
from pti_plugin.core.mapping.coverage import bands_of
from pti_plugin.core.rasters.blocks import Window
from pti_plugin.core.rasters.grid import Grid, epsg_wkt

pytest.importorskip("scipy")

#: cells of half a degree, which differ in area
ROWS, COLUMNS, STEP, WEST, NORTH = 60, 80, 0.5, 10.0, 90.0
GRID = Grid(epsg_wkt(4326), (WEST, STEP, 0.0, NORTH, 0.0, -STEP), COLUMNS, ROWS)
WHOLE = Window(0, ROWS, 0, COLUMNS)


@pytest.fixture(scope="module")
def scene():
    """Map and index that agree on most cells, holes in both, and training points here and there."""
    rng = np.random.default_rng(8)
    index = rng.choice([0, *CODES], (ROWS, COLUMNS)).astype(np.uint8)
    reference = np.where(rng.random(index.shape) < 0.6, index, rng.choice([0, *CODES], index.shape)).astype(np.uint8)
    samples = np.zeros(60, dtype=[("longitude", "<f8"), ("latitude", "<f8")])
    samples["longitude"], samples["latitude"] = rng.uniform(5, 55, 60), rng.uniform(58, 90, 60)
    return index, reference, samples


def far_from(samples, buffer_km):
    """Where the centres lie so far from every sample, by the geodesics of PROJ; and their latitudes."""
    geodesic = pytest.importorskip("pyproj").Geod(ellps="WGS84")
    longitude, latitude = np.meshgrid(WEST + STEP * (np.arange(COLUMNS) + 0.5), NORTH - STEP * (np.arange(ROWS) + 0.5))
    far = np.ones(longitude.shape, dtype=bool)
    for place in samples:
        away = geodesic.inv(longitude, latitude, *(np.full(longitude.shape, place[name])
                                                   for name in ("longitude", "latitude")))[2]
        far &= away >= 1000 * buffer_km
    return far, latitude


def areas_of(latitude):
    """km² of the cells on the ellipsoid, by the authalic function of the latitudes of their edges."""
    flattening = 1 / 298.257223563
    e = np.sqrt(flattening * (2 - flattening))

    def above(degrees):
        sine = np.sin(np.radians(degrees))
        return sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e

    band = above(latitude + STEP / 2) - above(latitude - STEP / 2)
    return 6378.137 ** 2 * (1 - e ** 2) / 2 * np.radians(STEP) * band


def rows_of(found, buffer_km=100.0):
    return {row["line"]: row for row in map_agreement.latitude_rows(found, buffer_km)}


@pytest.mark.parametrize("buffer_km", [0.0, 100.0])
def test_shares_by_latitude_are_those_of_a_plain_count(scene, buffer_km):
    index, reference, samples = scene
    points = map_agreement.TrainingPoints(samples, buffer_km)
    rows = rows_of(map_agreement.matrices(map_agreement.tally(index, reference, GRID, WHOLE, points)), buffer_km)
    far, latitude = far_from(samples, buffer_km)
    compared, areas = far & (index > 0) & (reference > 0), areas_of(latitude)
    assert buffer_km == 0 or 500 < compared.sum() < ((index > 0) & (reference > 0)).sum() - 500
    places = {code: place for place, code in enumerate((11, 12, 13, 21, 22, 23, 31, 32, 33, 40))}
    apart = np.abs(np.vectorize(places.get)(np.where(compared, index, 11))
                   - np.vectorize(places.get)(np.where(compared, reference, 11)))
    bands = {"all": compared, **{f"{south} to {south + 5}° N": compared & (latitude > south) & (latitude < south + 5)
                                 for south in range(60, 90, 5)}}
    assert len(rows) == 3 * len(bands)
    for band, here in bands.items():
        whole = areas[here].sum()
        for kind, value in (("compared", whole), ("agreement", 100 * areas[here & (apart == 0)].sum() / whole),
                            ("within one rank", 100 * areas[here & (apart <= 1)].sum() / whole)):
            row = rows[f"{kind}: latitude {band}"]
            assert (row["value"], row["n"]) == (pytest.approx(value, rel=1e-6), here.sum()), (kind, band)
            assert row["section"] == "agreement by latitude" and row["low"] is None


def test_blocks_do_not_matter(scene):
    index, reference, samples = scene
    points = map_agreement.TrainingPoints(samples, 100.0)
    whole = map_agreement.tally(index, reference, GRID, WHOLE, points)
    parts = None
    for row in range(0, ROWS, 17):
        for column in range(0, COLUMNS, 23):
            window = Window(row, min(17, ROWS - row), column, min(23, COLUMNS - column))
            cells = (slice(row, row + window.rows), slice(column, column + window.columns))
            found = map_agreement.tally(index[cells], reference[cells], GRID, window, points)
            if parts is None:
                parts = found
            else:
                parts.update(found)
    assert (parts.cells, parts.area) == (whole.cells, whole.area)


def test_the_pole_belongs_to_the_last_band_and_no_place_to_none():
    assert bands_of(np.array([90.0, 89.9, 85.0, 0.0, -0.1, -90.0, np.nan])).tolist()[:6] == [85, 85, 85, 0, -5, -90]
    assert bands_of(np.array([np.nan, np.inf])).max() < -90


def test_no_cell_to_compare_is_an_error(scene):
    index, reference, samples = scene
    for ranked, buffer_km in ((index, 5000.0), (np.zeros_like(index), 0.0)):
        found = map_agreement.tally(ranked, reference, GRID, WHOLE, map_agreement.TrainingPoints(samples, buffer_km))
        with pytest.raises(InputError, match="Lower BUFFER_KM, or leave REFERENCE out"):
            map_agreement.panel_rows(map_agreement.matrices(found), buffer_km)
