"""Cells have their true ground area in any CRS, and grids that differ say in what."""

import threading

import numpy as np
import pytest
from osgeo import gdal, osr

from pti_plugin.core.common.errors import GridError
from pti_plugin.core.rasters.grid import (
    AREA_UNITS_PER_KM2,
    TOLERANCE_CELLS,
    Grid,
    composed,
    coordinate_transformation,
    epsg_wkt,
    on_kept_thread,
    require_same,
    transform_points,
)

pyproj = pytest.importorskip("pyproj")
SPHERE = "+proj=laea +lat_0=90 +lon_0=0 +R=6371228 +units=m"
#: CRS, cell size in its unit
SYSTEMS = [(4326, 0.01), (4326, 0.25), (3995, 1000), (3413, 1000), (6931, 1000), (32633, 1000), (3995, 25000)]


def wkt_of(definition):
    reference = osr.SpatialReference()
    reference.SetFromUserInput(definition)
    return reference.ExportToWkt()


def grid_at(crs, latitude, longitude, size, rows=3, columns=4, angle=0.0):
    """A small grid whose first corner is at a place; ``angle`` turns it."""
    x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(longitude, latitude)
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return Grid(epsg_wkt(crs), (x, size * cosine, size * sine, y, size * sine, -size * cosine), columns, rows)


def geodesic_area_km2(grid, row, column):
    """Area of a cell as a geodesic polygon with 25 points an edge, by PROJ."""
    steps = np.linspace(0, 1, 26)[:-1]
    columns = column + np.concatenate([steps, np.ones(25), 1 - steps, np.zeros(25)])
    rows = row + np.concatenate([np.zeros(25), steps, np.ones(25), 1 - steps])
    change = pyproj.Transformer.from_crs(pyproj.CRS.from_wkt(grid.wkt), 4326, always_xy=True)
    longitude, latitude = change.transform(*grid.xy(columns, rows))
    return abs(pyproj.Geod(ellps="WGS84").polygon_area_perimeter(longitude, latitude)[0]) / 1e6


@pytest.mark.parametrize("latitude", [45, 55, 65, 75, 85])
@pytest.mark.parametrize("crs, size", SYSTEMS)
def test_cell_areas_equal_geodesic_polygons(crs, size, latitude):
    grid = grid_at(crs, latitude, 15.0 if crs == 32633 else 100.0, size)
    areas = grid.cell_areas(0, grid.height, 0, grid.width) / AREA_UNITS_PER_KM2
    assert areas.shape == (3, 4)
    for row in range(3):
        for column in range(4):
            assert areas[row, column] == pytest.approx(geodesic_area_km2(grid, row, column), rel=1e-3)


@pytest.mark.parametrize("crs, size", [(3995, 1000), (4326, 0.05), (32633, 2000), (6931, 1000)])
def test_areas_of_a_rotated_grid(crs, size):
    grid = grid_at(crs, 66.0, 15.0, size, angle=30)
    areas = grid.cell_areas(0, 3, 0, 4) / AREA_UNITS_PER_KM2
    assert areas[2, 3] == pytest.approx(geodesic_area_km2(grid, 2, 3), rel=1e-3)
    assert areas[0, 0] == pytest.approx(geodesic_area_km2(grid, 0, 0), rel=1e-3)


def test_a_conformal_projection_overstates_area_as_the_method_says():
    overstated = {}
    for latitude in (45, 55, 65):
        area = grid_at(3995, latitude, 0.0, 1000, 1, 1).cell_areas(0, 1, 0, 1)[0, 0] / AREA_UNITS_PER_KM2
        overstated[latitude] = round(100 * (1 / area - 1))
    # method, section 8: 30 % at 45° N, 14 % at 55° N, 4 % at 65° N
    assert overstated == {45: 30, 55: 14, 65: 4}


def test_a_global_grid_of_degrees_covers_the_whole_ellipsoid():
    grid = Grid(epsg_wkt(4326), (-180, 1, 0, 90, 0, -1), 360, 180)
    geod = pyproj.Geod(ellps="WGS84")
    e2 = 1 - (geod.b / geod.a) ** 2
    e = np.sqrt(e2)
    surface = 2 * np.pi * geod.a ** 2 * (1 + (1 - e2) / e * np.arctanh(e))
    assert grid.cell_areas(0, 180, 0, 360).sum() / 1e4 == pytest.approx(surface, rel=1e-12)


def test_areas_on_a_sphere_are_those_of_the_sphere():
    reference = osr.SpatialReference()
    reference.ImportFromProj4("+proj=longlat +R=6371228 +no_defs")
    grid = Grid(reference.ExportToWkt(), (0, 1, 0, 61, 0, -1), 2, 1)
    expected = 6371228.0 ** 2 * np.radians(1) * (np.sin(np.radians(61)) - np.sin(np.radians(60)))
    assert grid.cell_areas(0, 1, 0, 2)[0] / 1e4 == pytest.approx([expected] * 2, rel=1e-9)


def test_areas_do_not_depend_on_the_window_or_the_direction_of_rows():
    grid = grid_at(3995, 70, 20, 12500, 40, 50)
    whole = grid.cell_areas(0, 40, 0, 50)
    np.testing.assert_array_equal(whole[7:19, 11:30], grid.cell_areas(7, 12, 11, 19))
    x0, a, _, y0, _, e = grid.transform
    upside_down = Grid(grid.wkt, (x0, a, 0, y0 + 40 * e, 0, -e), 50, 40)
    np.testing.assert_allclose(upside_down.cell_areas(0, 40, 0, 50)[::-1], whole, rtol=1e-9)


def test_feet_are_not_taken_for_metres():
    definition = "+proj=laea +lat_0=90 +lon_0=0 +datum=WGS84 +units=us-ft"
    grid = Grid(wkt_of(definition), (0, 1000, 0, 0, 0, -1000), 2, 2)
    assert grid.cell_areas(0, 1, 0, 1)[0, 0] / 1e4 == pytest.approx((1000 * 1200 / 3937) ** 2, rel=1e-9)


@pytest.mark.parametrize("code, equal_area, geographic", [
    (6931, True, False), (3571, True, False), (102008, True, False), (3995, False, False), (3413, False, False),
    (32633, False, False), (4326, False, True), (6933, True, False)])
def test_equal_area_projections_are_known(code, equal_area, geographic):
    reference = osr.SpatialReference()
    if code == 102008:
        reference.ImportFromProj4("+proj=aea +lat_1=20 +lat_2=60 +lat_0=40 +lon_0=-96 +datum=NAD83")
    else:
        reference.ImportFromEPSG(code)
    grid = Grid(reference.ExportToWkt(), (0, 1, 0, 0, 0, -1), 1, 1)
    assert (grid.is_equal_area, grid.is_geographic) == (equal_area, geographic)


BASE = Grid(epsg_wkt(6931), (-100000.0, 25000.0, 0.0, 100000.0, 0.0, -25000.0), 8, 6)


def changed(wkt=BASE.wkt, transform=BASE.transform, width=8, height=6):
    return Grid(wkt, transform, width, height)


@pytest.mark.parametrize("other, phrases", [
    (changed(wkt=epsg_wkt(3995)), ["its CRS is EPSG:3995, not EPSG:6931"]),
    (changed(width=9), ["it has 9 x 6 cells, not 8 x 6"]),
    (changed(transform=(-100000.0, 20000.0, 0, 100000.0, 0, -25000.0)),
     ["its cells are 20000 x 25000, not 25000 x 25000"]),
    (changed(transform=(-87500.0, 25000.0, 0, 100000.0, 0, -25000.0)), ["it is shifted by 0.5 cells"]),
    (changed(transform=(-100000.0, 25000.0, 0, -50000.0, 0, 25000.0)),
     ["its first row is the southernmost one, not the northernmost one (gdalwarp turns it)"]),
    (changed(wkt=epsg_wkt(4326), width=3, transform=(0, 1, 0, 0, 0, -1)),
     ["its CRS is EPSG:4326, not EPSG:6931", "it has 3 x 6 cells, not 8 x 6",
      "its cells are 1 x 1, not 25000 x 25000"]),
])
def test_differences_name_crs_size_cell_and_shift(other, phrases):
    assert BASE.differences(other) == phrases
    assert not BASE.same(other)


@pytest.mark.parametrize("share, same", [(0.5, True), (2.0, False)])
def test_rounding_in_headers_is_tolerated_and_no_more(share, same):
    step = share * TOLERANCE_CELLS * 25000
    shifted = changed(transform=(-100000.0 + step, 25000.0, 0, 100000.0, 0, -25000.0))
    assert BASE.same(shifted) is same
    # a cell size that is off by so little that the far edge is off by less than the tolerance
    wider = changed(transform=(-100000.0, 25000.0 + step / 8, 0, 100000.0, 0, -25000.0))
    assert BASE.same(wider) is same


def test_the_same_crs_in_other_words_is_the_same():
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(6931)
    assert BASE.same(changed(wkt=reference.ExportToWkt(["FORMAT=WKT2_2018"])))
    assert BASE.same(changed(wkt=wkt_of(reference.ExportToProj4())))
    assert not BASE.same(changed(wkt=wkt_of(SPHERE)))


def test_every_file_that_differs_is_named_with_the_remedy():
    others = [("same.tif", BASE), ("wide.tif", changed(width=9)), ("polar.tif", changed(wkt=epsg_wkt(3995)))]
    with pytest.raises(GridError) as caught:
        require_same(("first.tif", BASE), others, "Do this.")
    assert str(caught.value) == (
        "wide.tif is not on the grid of first.tif: it has 9 x 6 cells, not 8 x 6. polar.tif is not on the grid of "
        "first.tif: its CRS is EPSG:3995, not EPSG:6931. Do this.")
    require_same(("first.tif", BASE), others[:1], "Do this.")


def test_positions_go_to_coordinates_and_back():
    grid = grid_at(32633, 66.0, 15.0, 1000, angle=25)
    columns, rows = np.array([0.0, 1.5, 4]), np.array([0.0, 2.25, 3])
    back = grid.cells_at(*grid.xy(columns, rows))
    np.testing.assert_allclose(back, [columns, rows], atol=1e-6)
    assert grid.cell_size == pytest.approx((1000, 1000))
    assert grid.describe() == "EPSG:32633, cells of 1000 x 1000, 4 columns x 3 rows"


def test_places_are_longitude_and_latitude_in_this_order():
    longitude, latitude = BASE.lonlat(np.array([4.0, 8.0]), np.array([4.0, 4.0]))
    assert latitude[0] == pytest.approx(90)
    expected = pyproj.Transformer.from_crs(6931, 4326, always_xy=True).transform(100000, 0)
    assert (longitude[1], latitude[1]) == pytest.approx(expected)


@pytest.fixture(params=[False, True], ids=["GDAL silent", "GDAL raises"])
def exceptions(request):
    """GDAL and OSR in both of their moods: inside QGIS another plugin may have switched exceptions on."""
    if not request.param:
        yield
        return
    gdal.UseExceptions()
    osr.UseExceptions()
    yield
    # they are a stack: the last one on is the first one off
    osr.DontUseExceptions()
    gdal.DontUseExceptions()


def test_points_without_an_image_do_not_take_the_others_with_them(exceptions):
    # a corner of a circumpolar equal-area square lies beyond the antipode and has no latitude
    change = coordinate_transformation(epsg_wkt(6931), epsg_wkt(4326))
    x = np.array([[-2e7, 0.0, 1e6], [1e6, 2e7, 0.0]])
    y = np.array([[2e7, 0.0, 0.0], [1e6, -2e7, -2e6]])
    longitude, latitude = transform_points(change, x, y)
    assert np.isnan(longitude).tolist() == np.isnan(latitude).tolist() == [[True, False, False], [False, True, False]]
    assert latitude[0, 1] == pytest.approx(90) and longitude[0, 2] == pytest.approx(90)
    assert transform_points(change, np.zeros(0), np.zeros(0))[0].shape == (0,)


@pytest.mark.parametrize("code", [6931, 3413, 31467])
def test_points_carried_together_are_those_carried_one_by_one(code):
    change = coordinate_transformation(epsg_wkt(code), epsg_wkt(4326))
    x, y = np.linspace(3.3e6, 3.7e6, 40), np.linspace(5.2e6, 6e6, 40)
    one_by_one = [change.TransformPoint(*place)[:2] for place in zip(x.tolist(), y.tolist())]
    for number in (1, 2, 40):
        np.testing.assert_array_equal(np.column_stack(transform_points(change, x[:number], y[:number])),
                                      one_by_one[:number])
    # one that is not a number has no image, and takes no other with it
    x[7] = np.nan
    longitude, latitude = transform_points(change, x, y)
    assert np.flatnonzero(np.isnan(longitude) | np.isnan(latitude)).tolist() == [7]
    assert (longitude[8], latitude[8]) == one_by_one[8]


def test_cells_off_the_earth_have_no_area(exceptions):
    definition = "+proj=ortho +lat_0=90 +lon_0=0 +R=6371228 +units=m"
    reference = osr.SpatialReference()
    reference.ImportFromProj4(definition)
    grid = Grid(reference.ExportToWkt(), (-7e6, 1e6, 0, 7e6, 0, -1e6), 14, 14)
    areas = grid.cell_areas(0, 14, 0, 14) / AREA_UNITS_PER_KM2
    assert areas[0, 0] == 0 and areas[7, 7] == pytest.approx(1e6, rel=0.03)


@pytest.mark.parametrize("definition, kept", [
    ("+proj=igh +datum=WGS84 +units=m", True), ("+proj=goode +R=6370997", True),
    ("+proj=sinu +R=6371007.181 +units=m", False), ("EPSG:4326", False)])
def test_composed_projections_are_used_on_one_thread_that_stays(definition, kept):
    # GDAL's cache of transformations outlives threads, and the parts of such projections do not survive theirs
    reference = osr.SpatialReference()
    reference.SetFromUserInput(definition)
    wkt, used = reference.ExportToWkt(), []
    assert composed(wkt, epsg_wkt(6931)) is kept
    x = np.linspace(-4e6, 4e6, 40)

    def work():
        change = coordinate_transformation(epsg_wkt(6931), wkt)
        used.append(transform_points(change, x, x[::-1] / 2))

    for _ in range(3):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    work()
    for found in used[1:]:
        np.testing.assert_array_equal(found, used[0])
    assert np.isfinite(used[0]).all()
    names = {on_kept_thread(threading.current_thread).name for _ in range(3)}
    assert len(names) == 1 and on_kept_thread(on_kept_thread, threading.current_thread).name in names
    if kept:
        assert not isinstance(coordinate_transformation(epsg_wkt(6931), wkt), osr.CoordinateTransformation)


def test_a_crs_of_another_body_is_refused():
    moon = epsg_wkt(6931).replace("6378137", "1737400").replace("298.257223563", "0")
    for source, target in ((moon, epsg_wkt(4326)), (epsg_wkt(4326), moon)):
        with pytest.raises(GridError, match="Places in the CRS .* cannot be found in .*[.] Assign the right CRS[.]"):
            coordinate_transformation(source, target)
