"""Areas by rank and by zone are true ground areas, belong to the right zone, and leave nothing out in silence."""

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from osgeo import gdal, ogr, osr

from pti_plugin.core.common import ranks
from pti_plugin.core.common.errors import Cancelled, GridError, InputError, OutputError
from pti_plugin.core.common.exact_sums import Addends, total
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.common.tables import read_csv
from pti_plugin.core.index.pti import map_areas
from pti_plugin.core.rasters.blocks import Settings, Window
from pti_plugin.core.rasters.exclusion import LeftOutClasses
from pti_plugin.core.rasters.grid import Grid, coordinate_transformation, epsg_wkt
from pti_plugin.core.zonal import zones
from pti_plugin.core.zonal.polygon_area import polygon_area_km2
from pti_plugin.core.zonal.polygon_rings import edges_of
from pti_plugin.core.zonal.zone_polygons import NO_NAME, Zone, ZoneCells, ZoneLayer, read_zones
from pti_plugin.core.zonal.zones import FIELDS, WHOLE, ZoneInputs, summarize_zones
from support import TRANSFORM, Log, standing, write_raster

#: 100 x 100 cells of 25 km round the pole
POLAR = (-1250000.0, 25000.0, 0.0, 1250000.0, 0.0, -25000.0)
PROJECTIONS = (4326, 3995, 6931)


def polygon(*rings):
    """An ogr polygon of rings of points, the first point not repeated."""
    made = ogr.Geometry(ogr.wkbPolygon)
    for points in rings:
        ring = ogr.Geometry(ogr.wkbLinearRing)
        for x, y in [*points, points[0]]:
            ring.AddPoint_2D(float(x), float(y))
        made.AddGeometry(ring)
    return made


def rectangle(west, south, east, north):
    return polygon([(west, south), (east, south), (east, north), (west, north)])


def layer(*features, epsg=6931):
    """A ZoneLayer of (name, geometry or None) pairs, ids from 1."""
    return ZoneLayer("ecoregions.gpkg", epsg_wkt(epsg) if epsg else "",
                     [(place, name, None if geometry is None else bytes(geometry.ExportToWkb()))
                      for place, (name, geometry) in enumerate(features, start=1)])


def carried(points, source, target, steps=400):
    """Points of straight edges between ``points`` in one CRS, in another."""
    corners = np.array([*points, points[0]], dtype=float)
    share = np.arange(steps)[:, None] / steps
    line = np.concatenate([a + share * (b - a) for a, b in zip(corners[:-1], corners[1:])])
    change = coordinate_transformation(epsg_wkt(source), epsg_wkt(target))
    return [point[:2] for point in change.TransformPoints(line.tolist())]


def geodesic_km2(lonlat):
    """The reference: Karney's area of a polygon whose edges are geodesics, here short ones."""
    pyproj = pytest.importorskip("pyproj")
    longitude, latitude = np.array(lonlat).T
    return abs(pyproj.Geod(ellps="WGS84").polygon_area_perimeter(longitude, latitude)[0]) / 1e6


def summarize(tmp_path, pti, settings=None, outputs=None, **inputs):
    log = Log()
    outputs = {"table": str(tmp_path / "zones.csv"), **(outputs or {})}
    with Staging() as staging:
        result = summarize_zones(ZoneInputs(str(pti), **inputs), outputs, staging, log, settings)
        staging.commit()
    return {row["zone"]: row for row in result["rows"]}, log


def codes_of(shares, cells):
    """A row of ``cells`` ranks with the shares {rank: %}."""
    row = np.concatenate([np.full(round(cells * share / 100), rank) for rank, share in shares.items()])
    assert row.size == cells
    return row


@pytest.fixture(scope="module")
def pti(tmp_path_factory):
    """A polar map of all ranks with a hole, and its array."""
    rng = np.random.default_rng(3)
    codes = rng.choice(ranks.CODES, (100, 100))
    codes[40:45, 60:70] = 0
    folder = tmp_path_factory.mktemp("map")
    return write_raster(folder / "pti.tif", codes, nodata=0, dtype="uint8", transform=POLAR), codes


@pytest.mark.parametrize("latitude", [45, 55, 65, 75])
@pytest.mark.parametrize("epsg", PROJECTIONS)
def test_areas_of_polygons_are_those_on_the_ellipsoid(latitude, epsg):
    corners = [(20, latitude - 1), (26, latitude - 1.5), (25, latitude + 1), (21, latitude + 1.5)]
    if epsg == 4326:
        own, reference = corners, carried(corners, 4326, 4326)
    else:
        own = carried(corners, 4326, epsg, steps=1)
        reference = carried(own, epsg, 4326)
    assert polygon_area_km2([polygon(own)], epsg_wkt(epsg)) == pytest.approx(geodesic_km2(reference), rel=2e-6)


@pytest.mark.parametrize("latitude", [45, 55, 65, 75])
@pytest.mark.parametrize("epsg", PROJECTIONS)
def test_the_same_areas_come_from_a_raster(tmp_path, latitude, epsg):
    corners = [(20, latitude - 1), (26, latitude - 1.5), (25, latitude + 1), (21, latitude + 1.5)]
    x, y = np.array(carried(corners, 4326, epsg)).T
    step = 0.02 if epsg == 4326 else 2000.0
    transform = (x.min() - step, step, 0.0, y.max() + step, 0.0, -step)
    shape = int((y.max() - y.min()) / step) + 3, int((x.max() - x.min()) / step) + 3
    raster = write_raster(tmp_path / "pti.tif", np.full(shape, 21), nodata=0, dtype="uint8", crs=f"EPSG:{epsg}",
                          transform=transform)
    rows, _ = summarize(tmp_path, raster, layer=layer(("here", polygon(corners)), epsg=4326))
    area = geodesic_km2(carried(corners, 4326, 4326))
    # centres on a lattice miss the area by some cells of the border: about 800 km of it, 2 km wide, signs at random
    assert rows["here"]["area_km2"] == pytest.approx(area, rel=1.5e-3)
    assert rows["here"]["polygon_km2"] == pytest.approx(area, rel=1e-6)


def test_a_cap_round_the_pole_is_the_same_in_every_crs():
    circle = [(longitude, 60.0) for longitude in np.arange(-180, 180, 0.05)]
    expected = 2 * math.pi * 6371007.181 ** 2 * 1e-6 * (1 - 0.8650334)  # the authalic latitude of 60° has this sine
    in_degrees = polygon_area_km2([rectangle(-180, 60, 180, 90)], epsg_wkt(4326))
    assert in_degrees == pytest.approx(expected, rel=1e-3)
    for epsg in (3995, 6931):
        drawn = polygon(carried(circle, 4326, epsg, steps=1))
        assert polygon_area_km2([drawn], epsg_wkt(epsg)) == pytest.approx(in_degrees, rel=1e-6)
    assert polygon_area_km2([rectangle(-180, -90, 180, 90)], epsg_wkt(4326)) == pytest.approx(510065621.724, rel=1e-9)


@pytest.mark.parametrize("corners", [
    [(0, 0), (1e6, 0), (1e6, 1e6), (0, 1e6)],
    [(0, 0), (0, -1e6), (1e6, -1e6), (1e6, 1e6), (-1e6, 1e6), (-1e6, 0)],
    [(-1e6, -1e6), (1e6, -1e6), (1e6, 1e6), (-1e6, 1e6)],
    [(-1e6, 0), (1e6, 0), (1e6, 1e6), (-1e6, 1e6)],
    [(1e6, 1e6), (-1e6, 1e6), (-1e6, -1e6), (1e6, -1e6)],
], ids=["corner on the pole", "notch at the pole", "round the pole", "edge across the pole", "clockwise"])
def test_polygons_at_the_pole_have_their_equal_area(corners):
    x, y = np.array([*corners, corners[0]], dtype=float).T
    planar = abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2e6
    for _ in range(4):
        assert polygon_area_km2([polygon(corners)], epsg_wkt(6931)) == pytest.approx(planar, rel=2e-6)
        corners = [(-y, x) for x, y in corners]


def test_holes_are_left_out():
    with_hole = polygon([(20, 60), (24, 60), (24, 63), (20, 63)], [(21, 61), (22, 61), (22, 62), (21, 62)])
    parts = [polygon_area_km2([part], epsg_wkt(4326)) for part in (with_hole, rectangle(20, 60, 24, 63),
                                                                   rectangle(21, 61, 22, 62))]
    assert parts[0] == pytest.approx(parts[1] - parts[2], rel=1e-12)


def brute_force(zone, grid):
    """Mask of the cells whose centre lies in a polygon given in degrees, asked of GEOS point by point.

    Centres are asked a hair aside, and with longitudes that run on.
    """
    column, row = np.meshgrid(np.arange(grid.width) + 0.5 + 1e-6, np.arange(grid.height) + 0.5 + 1e-6)
    longitude, latitude = grid.lonlat(column, row)
    inside = np.zeros(longitude.shape, dtype=bool)
    west, east, south, north = zone.GetEnvelope()
    point = ogr.Geometry(ogr.wkbPoint)
    for place in np.ndindex(inside.shape):
        for x in (longitude[place] - 360, longitude[place], longitude[place] + 360):
            if west <= x <= east and south <= latitude[place] <= north:
                point.SetPoint_2D(0, x, latitude[place])
                inside[place] |= zone.Contains(point)
    return inside


def cells(zone, grid, epsg):
    runs = ZoneCells(epsg_wkt(epsg), grid).runs(Zone("z", (zone,), 0.0))
    mask = np.zeros(grid.height * grid.width, dtype=bool)
    mask[runs.within(Window(0, grid.height, 0, grid.width))] = True
    assert mask.sum() == runs.cells
    return mask.reshape(grid.height, grid.width)


GRIDS = {
    "polar": Grid(epsg_wkt(6931), (-5e6, 2.5e5, 0, 5e6, 0, -2.5e5), 40, 40),
    "polar, odd": Grid(epsg_wkt(3995), (-4.875e6, 2.5e5, 0, 4.875e6, 0, -2.5e5), 39, 39),
    "degrees": Grid(epsg_wkt(4326), (-180, 5, 0, 90, 0, -5), 72, 18),
    "degrees from 0": Grid(epsg_wkt(4326), (0, 5, 0, 90, 0, -5), 72, 18),
    "Mercator": Grid(epsg_wkt(3857), (-20037508.34, 1e6, 0, 15e6, 0, -1e6), 40, 12),
    "UTM at 180": Grid(epsg_wkt(32660), (-5e5, 1e5, 0, 8.5e6, 0, -1e5), 21, 30),
    "beside the pole": Grid(epsg_wkt(6931), (-1e6, 5e3, 0, -1e5, 0, -1e3), 406, 1),
    "turned": Grid(epsg_wkt(6931), (-4e6, 2e5, 5e4, 4e6, 6e4, -2e5), 38, 38),
}
SHAPES = {
    "cap": rectangle(-180, 62.3, 180, 90),
    "belt": rectangle(-180, 52.3, 180, 71.3),
    "long edges": rectangle(-100.3, 45.3, 70.3, 66.3),
    "beyond 180": rectangle(163.3, 55.3, 201.3, 72.3),
    "beyond -180": rectangle(-201.3, 55.3, -163.3, 72.3),
    "star with a hole": polygon([(20, 41), (85, 52), (150, 46), (120, 80), (60, 68), (30, 84)],
                                [(80, 58), (110, 55), (100, 70)]),
    "world": rectangle(-180, -90, 180, 90),
    "far south": rectangle(-180, -90, 180, -60.2),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_cells_of_a_zone_are_those_whose_centre_lies_in_it(grid):
    for name, shape in SHAPES.items():
        np.testing.assert_array_equal(cells(shape, grid, 4326), brute_force(shape, grid), err_msg=name)


@pytest.mark.parametrize("corners", [
    [(-2e6, -2e6), (3e6, -2e6), (1e6, 3.1e6)],
    [(-1e6, 5e5), (1e6, 5e5), (1e6, 3e6), (-1e6, 3e6)],
], ids=["round the pole", "across 180"])
@pytest.mark.parametrize("grid", [grid for name, grid in GRIDS.items() if name not in ("Mercator", "UTM at 180")])
def test_polar_polygons_keep_their_cells_on_every_grid(grid, corners):
    column, row = np.meshgrid(np.arange(grid.width) + 0.5 + 1e-6, np.arange(grid.height) + 0.5 + 1e-6)
    change = coordinate_transformation(grid.wkt, epsg_wkt(6931))
    drawn, expected = polygon(corners), []
    for x, y, _ in change.TransformPoints(np.column_stack([c.ravel() for c in grid.xy(column, row)]).tolist()):
        point = ogr.Geometry(ogr.wkbPoint)
        point.AddPoint_2D(x, y)
        expected.append(drawn.Contains(point))
    np.testing.assert_array_equal(cells(drawn, grid, 6931).ravel(), expected)


def test_a_polygon_that_the_map_tears_apart_is_refused_with_the_remedy():
    ring = polygon(carried([(longitude, 70.0) for longitude in range(-180, 180)], 4326, 6931, steps=1))
    with pytest.raises(InputError, match="Zone z .* EPSG:3857: it crosses the edge .* Reproject the zone layer"):
        cells(ring, GRIDS["Mercator"], 6931)


def test_neighbours_share_no_cell_and_leave_none_out():
    grid = GRIDS["polar"]
    lines = [-180, -122.5, -45, 0, 7.25, 90, 180]
    count = sum(cells(rectangle(west, south, east, north), grid, 4326).astype(int)
                for west, east in zip(lines, lines[1:]) for south, north in ((40, 61), (61, 90)))
    np.testing.assert_array_equal(count, cells(rectangle(-180, 40, 180, 90), grid, 4326))


def test_exact_sums_do_not_depend_on_the_order():
    rng = np.random.default_rng(1)
    values = rng.normal(size=5000) * 10.0 ** rng.integers(-200, 200, 5000)
    values[:3] = 0.0, 5e-324, -1.7e308
    addends, whole = Addends(values), np.arange(values.size)
    parted = addends.sums(whole[:1234])
    parted.update(addends.sums(whole[1234:]))
    assert parted == addends.sums(whole[::-1])
    assert total(parted) == sum(map(Fraction, values.tolist()))


def test_the_map_of_the_papers_area_shares_gives_them_back(tmp_path):
    # the paper's shares: rank 11, the tiers, rank 40
    shares = {11: 15.54, 12: 20.0, 13: 5.87, 21: 6.0, 22: 4.0, 23: 2.73, 31: 14.86, 32: 10.0, 33: 10.0, 40: 11.0}
    codes = codes_of(shares, 10000).reshape(100, 100)
    raster = write_raster(tmp_path / "a.tif", codes, nodata=0, dtype="uint8", transform=POLAR)
    row = summarize(tmp_path, raster)[0][WHOLE]
    assert [row[f"{tier}_percent"] for tier in ranks.TIERS] == [41.41, 12.73, 34.86, 11.0]
    assert row["area_11_km2"] / row["area_km2"] == pytest.approx(0.1554, abs=1e-9)
    assert row["area_km2"] == 10000 * 625.0 and row["cells"] == 10000


#: the paper's Table 5: ecoregion, first rank and %, second rank and % where the first has under 50 %
TABLE_5 = [
    ("Low Arctic tundra", 12, 80.7, None, None), ("Middle Arctic tundra", 11, 68.6, None, None),
    ("Interior Yukon-Alaska alpine tundra", 33, 36.4, 32, 24.0), ("Northern Canadian Shield taiga", 21, 34.2, 32, 31.2),
    ("Midwestern Canadian Shield forest", 40, 44.6, 32, 37.1), ("Bering tundra", 32, 36.6, 22, 33.0),
    ("East Siberian taiga", 11, 21.2, 32, 17.8), ("Trans-Baikal conifer forests", 33, 53.0, None, None),
]


def test_zones_with_the_shares_of_table_5_are_named_as_there(tmp_path):
    features, rows = [], []
    for place, (name, first, first_share, second, second_share) in enumerate(TABLE_5):
        shares = {first: first_share, **({second: second_share} if second else {})}
        others = [code for code in ranks.CODES if code not in shares]
        left = 1000 - sum(round(10 * share) for share in shares.values())
        rest = [others[i % len(others)] for i in range(left)]
        rows.append(np.concatenate([codes_of({code: 100}, round(10 * share)) for code, share in shares.items()]
                                   + [np.array(rest)]))
        features.append((name, rectangle(0, -(place + 1) * 1e3, 1e6, -place * 1e3)))
    raster = write_raster(tmp_path / "pti.tif", np.array(rows, dtype=int), nodata=0, dtype="uint8",
                          transform=(0, 1e3, 0, 0, 0, -1e3))
    found, _ = summarize(tmp_path, raster, layer=layer(*features))
    for name, *expected in TABLE_5:
        row = found[name]
        assert [row["first_rank"], row["first_percent"], row["second_rank"], row["second_percent"]] == expected


def test_the_table_has_the_promised_columns_and_its_first_row_is_the_whole_map(tmp_path, pti):
    summarize(tmp_path, pti[0], layer=layer(("b", rectangle(0, 0, 5e5, 5e5)), ("a", rectangle(-5e5, 0, 0, 5e5))))
    rows = read_csv(tmp_path / "zones.csv")
    assert [row["zone"] for row in rows] == [WHOLE, "a", "b"]
    assert list(rows[0])[:12] == ["zone", "area_km2", "pp_area_km2", "cells", "first_rank", "first_percent",
                                  "second_rank", "second_percent", "cold_percent", "cool_percent", "warm_percent",
                                  "isolated_percent"]
    assert list(rows[0])[12:] == [*(f"area_{code}_km2" for code in ranks.CODES), "polygon_km2"]
    assert rows[0]["pp_area_km2"] is None and rows[0]["polygon_km2"] is None
    assert rows[1]["polygon_km2"] == pytest.approx(250000, rel=1e-6)
    assert rows[1]["area_km2"] == 250000.0 == sum(rows[1][f"area_{code}_km2"] for code in ranks.CODES)


def predictors(tmp_path, codes, **options):
    """PP with gaps, and a stack of a number, a number scaled to 0–100 and classes; with their arrays."""
    rng = np.random.default_rng(9)
    percent = rng.uniform(0, 100, codes.shape)
    percent[:, :3] = np.nan
    bands = np.array([rng.normal(400, 300, codes.shape), rng.uniform(0, 100, codes.shape),
                      rng.integers(1, 5, codes.shape)]).astype("float32")
    bands[0, 10:20] = np.nan
    pp = write_raster(tmp_path / "pp.tif", percent, nodata=-9999, transform=POLAR, **options)
    stack = write_raster(tmp_path / "stack.tif", bands, nodata=-9999, transform=POLAR, **options,
                         descriptions=("elevation", "lst", "land_cover"))
    dataset = gdal.Open(stack, gdal.GA_Update)
    dataset.GetRasterBand(2).SetMetadata({"PTI_KIND": "number", "PTI_MIN": "-20", "PTI_MAX": "5",
                                          "PTI_RAW_UNIT": "degC"})
    dataset = None
    return pp, stack, percent, bands.astype(float)


def test_figures_equal_brute_force_and_do_not_depend_on_the_blocks(tmp_path, pti):
    path, codes = pti
    options = {"options": ("TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16")}
    pp, stack, percent, bands = predictors(tmp_path, codes, **options)
    zones = layer(("east", rectangle(1000, -9e5, 9e5, 9e5)), ("north", rectangle(-9e5, 1000, 9e5, 9e5)),
                  ("east", rectangle(8e5, -12e5, 12e5, 12e5)))
    inputs = {"layer": zones, "percent": pp, "predictors": (stack,)}
    found, log = summarize(tmp_path, path, Settings(threads=1), **inputs)
    table = (tmp_path / "zones.csv").read_bytes()
    for settings in (Settings(threads=2, block_size=7), Settings(threads=3, block_size=64)):
        summarize(tmp_path, path, settings, **inputs)
        assert (tmp_path / "zones.csv").read_bytes() == table

    x, y = np.meshgrid(POLAR[0] + 25e3 * (np.arange(100) + 0.5), POLAR[3] - 25e3 * (np.arange(100) + 0.5))
    masks = {"north": (abs(x) < 9e5) & (y > 1000) & (y < 9e5), WHOLE: np.ones(codes.shape, dtype=bool),
             "east": (x > 1000) & (x < 9e5) & (abs(y) < 9e5) | (x > 8e5) & (x < 12e5) & (abs(y) < 12e5)}
    for name, mask in masks.items():
        ranked, row = mask & (codes != 0), found[name]
        assert row["cells"] == ranked.sum() and row["area_km2"] == 625.0 * ranked.sum()
        for code in ranks.CODES:
            assert row[f"area_{code}_km2"] == 625.0 * (codes[mask] == code).sum()
        assert row["pp_area_km2"] == pytest.approx(6.25 * np.nansum(percent[ranked]), abs=1e-3)
        assert row["mean_elevation"] == pytest.approx(np.nanmean(bands[0][ranked]), rel=1e-12)
        assert row["mean_lst"] == pytest.approx(-20 + 0.25 * bands[1][ranked].mean(), rel=1e-12)
        assert "mean_land_cover" not in row
    assert any("land_cover: classes" in line for line in log.lines)
    assert any("lst: scaled 0–100" in line and "degC" in line for line in log.lines)
    assert any("PP is missing on 3.0" in warning for warning in log.warnings)
    assert any("elevation has data on 89." in warning for warning in log.warnings)
    assert any("Zones overlap on" in warning for warning in log.warnings)


def test_areas_and_means_of_a_map_in_degrees_are_weighted_with_the_ground(tmp_path):
    transform = (0, 1, 0, 90, 0, -1)
    codes = np.repeat([[11], [33]], 45, axis=0) * np.ones((1, 10), dtype=int)
    raster = write_raster(tmp_path / "pti.tif", codes, nodata=0, dtype="uint8", crs="EPSG:4326", transform=transform)
    latitude = np.repeat(89.5 - np.arange(90)[:, None], 10, axis=1)
    height = write_raster(tmp_path / "latitude.tif", latitude, crs="EPSG:4326", transform=transform)
    row = summarize(tmp_path, raster, predictors=(height,))[0][WHOLE]
    assert row["first_rank"] == 33 and row["cells"] == 900
    assert row["first_percent"] == pytest.approx(100 * 0.7057, abs=0.05)
    assert row["mean_latitude"] == pytest.approx(math.degrees(math.pi / 2 - 1), abs=0.2)


def test_chosen_bands_come_in_the_order_asked_and_unknown_ones_are_named(tmp_path, pti):
    _, stack, _, _ = predictors(tmp_path, pti[1])
    summarize(tmp_path, pti[0], predictors=(stack,), chosen="lst, elevation")
    assert list(read_csv(tmp_path / "zones.csv")[0])[-2:] == ["mean_lst", "mean_elevation"]
    for chosen, said in (("ndvi", "elevation, lst"), ("land_cover", "classes"), ("lst,lst", "twice")):
        with pytest.raises(InputError, match=said):
            summarize(tmp_path, pti[0], predictors=(stack,), chosen=chosen)
    with pytest.raises(InputError, match="name elevation"):
        summarize(tmp_path, pti[0], predictors=(stack, stack))


def test_a_damaged_range_of_a_predictor_is_refused(tmp_path, pti):
    _, stack, _, _ = predictors(tmp_path, pti[1])
    dataset = gdal.Open(stack, gdal.GA_Update)
    dataset.GetRasterBand(2).SetMetadataItem("PTI_MAX", "much")
    dataset = None
    with pytest.raises(InputError, match=r"range of lst in stack\.tif is no pair of numbers \(-20, much\)"):
        summarize(tmp_path, pti[0], predictors=(stack,))


def test_a_mean_of_nothing_but_zeros_is_zero(tmp_path, pti):
    stack = write_raster(tmp_path / "stack.tif", np.full(pti[1].shape, 100.0), transform=POLAR,
                         descriptions=("snow_trend",))
    dataset = gdal.Open(stack, gdal.GA_Update)
    # 100 x 0.004572 - 0.4572 is -5.6e-17
    dataset.GetRasterBand(1).SetMetadata({"PTI_KIND": "number", "PTI_MIN": "-0.4572", "PTI_MAX": "0",
                                          "PTI_RAW_UNIT": "%/year"})
    dataset = None
    rows, _ = summarize(tmp_path, pti[0], predictors=(stack,))
    assert rows[WHOLE]["mean_snow_trend"] == 0


def test_zones_can_come_as_classes(tmp_path, pti):
    path, codes = pti
    classes = np.where(np.arange(100) < 30, 5, np.where(np.arange(100) < 60, 0, 255)) + np.zeros((100, 1), dtype=int)
    koppen = write_raster(tmp_path / "koppen.tif", classes, nodata=255, dtype="uint8", transform=POLAR)
    dataset = gdal.Open(koppen, gdal.GA_Update)
    dataset.GetRasterBand(1).SetCategoryNames(["", "", "", "", "", "Tundra"])
    dataset = None
    rows, log = summarize(tmp_path, path, classes=koppen)
    assert list(rows) == [WHOLE, "0", "5 Tundra"]
    assert rows["5 Tundra"]["cells"] == (codes[:, :30] != 0).sum()
    assert any("2 zones hold 59." in line or "2 zones hold 60." in line for line in log.lines)
    with pytest.raises(InputError, match="one way"):
        summarize(tmp_path, path, classes=koppen, layer=layer(("a", rectangle(0, 0, 1e5, 1e5))))
    many = write_raster(tmp_path / "dem.tif", np.arange(10000).reshape(100, 100), transform=POLAR)
    with pytest.raises(InputError, match="dem.tif holds more than 1000 classes"):
        summarize(tmp_path, path, classes=many)


def test_zones_in_another_crs_have_the_same_cells(tmp_path, pti):
    corners = [(-9e5, 1000), (9e5, 1000), (9e5, 9e5), (-9e5, 9e5)]
    here = summarize(tmp_path, pti[0], layer=layer(("a", polygon(corners))))[0]["a"]
    for epsg in (3995, 3413, 3571):
        there = layer(("a", polygon(carried(corners, 6931, epsg, steps=50))), epsg=epsg)
        row = summarize(tmp_path, pti[0], layer=there)[0]["a"]
        assert row["cells"] == here["cells"]
        assert row["polygon_km2"] == pytest.approx(here["polygon_km2"], rel=1e-4)


def test_a_zone_in_parts_and_with_overlapping_parts_counts_its_ground_once(tmp_path, pti):
    many = ogr.Geometry(ogr.wkbMultiPolygon)
    for part in (rectangle(0, 0, 4e5, 4e5), rectangle(2e5, 0, 6e5, 4e5)):
        many.AddGeometry(part)
    rows, _ = summarize(tmp_path, pti[0], layer=layer((7, many), (7.0, rectangle(0, 0, 5e4, 5e4)), (10, many)))
    assert list(rows) == [WHOLE, "7", "10"]
    assert rows["7"]["polygon_km2"] == pytest.approx(240000, rel=1e-6)
    assert rows["7"]["cells"] == rows["10"]["cells"] <= 384


def test_arcs_and_heights_are_understood():
    arc = ogr.CreateGeometryFromWkt(
        "CURVEPOLYGON Z (CIRCULARSTRING Z (-1e5 0 1, 0 1e5 1, 1e5 0 1, 0 -1e5 1, -1e5 0 1))")
    zone, = read_zones(layer(("round", arc)), Log())
    assert zone.area_km2 == pytest.approx(math.pi * 1e4, rel=2e-5)


def test_the_whole_map_has_the_areas_of_the_area_table(tmp_path, pti):
    conformal = write_raster(tmp_path / "c.tif", pti[1], nodata=0, dtype="uint8", crs="EPSG:3995", transform=POLAR)
    row = summarize(tmp_path, conformal)[0][WHOLE]
    for entry in map_areas(conformal, Log()):
        assert row[f"area_{entry['rank']}_km2"] == entry["area_km2"]


def test_broken_and_missing_geometry_and_names_are_said_by_id(tmp_path, pti):
    bow_tie = polygon([(-5e5, -5e5), (5e5, 5e5), (5e5, -5e5), (-5e5, 5e5)])
    square, flat = rectangle(0, 0, 1e5, 1e5), polygon([(0, 0), (1e5, 0), (2e5, 0)])
    zones = layer(("tie", bow_tie), ("gone", None), (None, square), ("  ", square), ("flat", flat),
                  ("empty", ogr.Geometry(ogr.wkbMultiPolygon)))
    rows, log = summarize(tmp_path, pti[0], layer=zones)
    assert list(rows) == [WHOLE, "empty", "flat", "gone", "tie", NO_NAME]
    assert rows["tie"]["polygon_km2"] == pytest.approx(500000, rel=1e-6)
    assert rows["gone"]["area_km2"] == 0 and rows["gone"]["first_rank"] is None
    said = " ".join(log.warnings)
    assert "broken geometry, such as edges that cross (id 1)" in said
    assert "without a zone name (id 3, 4)" in said and "without a polygon that has an area (id 2, 5, 6)" in said


def test_polygons_that_run_off_the_earth_have_no_area_but_their_cells(tmp_path, pti):
    rows, log = summarize(tmp_path, pti[0], layer=layer(("quarter", rectangle(0, 0, 3e7, 3e7))))
    assert rows["quarter"]["cells"] == (pti[1][:50, 50:] != 0).sum() and math.isnan(rows["quarter"]["polygon_km2"])
    assert any("area of the polygons of zone quarter is not known" in warning for warning in log.warnings)


def test_small_and_distant_and_unranked_zones_are_listed_with_area_0_and_named(tmp_path, pti):
    zones = layer(("islet", rectangle(1000, 1000, 2000, 2000)), ("south", rectangle(0, -4e6, 1e5, -3e6)),
                  ("hole", rectangle(26e4, 16e4, 49e4, 24e4)), ("land", rectangle(0, 0, 1e5, 1e5)))
    rows, log = summarize(tmp_path, pti[0], layer=zones)
    assert [rows[name]["area_km2"] for name in ("islet", "south", "hole", "land")] == [0, 0, 0, 10000.0]
    assert rows["islet"]["polygon_km2"] == 1.0
    said = " ".join(log.warnings)
    assert "2 zones hold no centre of a cell" in said and "islet, south" in said
    assert "hold no ranked cell: hole" in said


@pytest.mark.parametrize("zones, said", [
    (layer(("a", rectangle(0, 0, 1, 1)), epsg=None), "no CRS"),
    (layer(), "no features"),
    (layer(("a", None)), "no polygon with an area"),
    (layer(("a", rectangle(5e5, 5e5, 6e5, 6e5)), epsg=4326), "no degrees"),
    (layer(("a", rectangle(-170, 60, 170, 70)), epsg=4326), "edge from longitude -170 to 170"),
    (layer(("a", polygon([(float("nan"), 0), (1, 0), (1, 1)]))), "no numbers"),
    (layer((WHOLE, rectangle(0, 0, 1e5, 1e5))), "Rename"),
    (ZoneLayer("z.gpkg", epsg_wkt(6931), [(3, "a", b"\x01\x03\x00")]), "feature 3 of z.gpkg cannot be read"),
], ids=["no CRS", "no features", "no polygons", "metres as degrees", "either way round", "not a number",
        "reserved name", "damaged"])
def test_zones_that_cannot_be_right_are_refused_and_leave_what_there_was(tmp_path, pti, zones, said):
    (tmp_path / "zones.csv").write_text("of an earlier run", encoding="utf-8")
    with pytest.raises(InputError, match=said):
        summarize(tmp_path, pti[0], layer=zones)
    assert standing(tmp_path) == {"zones.csv": b"of an earlier run"}


def test_a_polygon_divided_at_the_dateline_is_one_with_that_running_on(tmp_path):
    grid = GRIDS["polar"]
    raster = write_raster(tmp_path / "pti.tif", np.full((40, 40), 12), dtype="uint8", transform=grid.transform)
    divided = layer(("a", rectangle(160, 60, 180, 70)), ("a", rectangle(-180, 60, -165, 70)), epsg=4326)
    running = layer(("a", rectangle(160, 60, 195, 70)), epsg=4326)
    assert summarize(tmp_path, raster, layer=divided)[0] == summarize(tmp_path, raster, layer=running)[0]


def test_rasters_on_another_grid_or_in_another_unit_are_refused_by_name(tmp_path, pti):
    path, codes = pti
    shifted = write_raster(tmp_path / "shifted.tif", codes * 1.0, transform=TRANSFORM)
    for inputs in ({"percent": shifted}, {"predictors": (shifted,)}, {"classes": shifted}):
        with pytest.raises(GridError, match="shifted.tif is not on the grid of pti.tif"):
            summarize(tmp_path, path, **inputs)
    fraction = write_raster(tmp_path / "pp.tif", np.full(codes.shape, 0.5), transform=POLAR)
    with pytest.raises(InputError, match="looks like fraction"):
        summarize(tmp_path, path, percent=fraction)
    row = summarize(tmp_path, path, percent=fraction, units="pp.tif=fraction")[0][WHOLE]
    assert row["pp_area_km2"] == row["area_km2"] / 2
    wrong = write_raster(tmp_path / "codes.tif", np.full(codes.shape, 14), transform=POLAR)
    with pytest.raises(InputError, match="codes.tif holds the value 14"):
        summarize(tmp_path, wrong)
    empty = write_raster(tmp_path / "zero.tif", np.zeros(codes.shape, dtype="uint8"), transform=POLAR)
    with pytest.raises(InputError, match="zero.tif has no ranked cell"):
        summarize(tmp_path, empty)
    values = np.where(codes == 11, -3.4e38, codes).astype("float32")
    unstated = write_raster(tmp_path / "x.tif", values, transform=POLAR)
    with pytest.raises(InputError, match="x.tif holds the stored value -3.39.*nodata"):
        summarize(tmp_path, path, predictors=(unstated,))


@pytest.mark.parametrize("ending", ["gpkg", "geojson", "fgb"])
def test_the_layer_holds_the_figures_and_the_mended_polygons_in_their_crs(tmp_path, pti, ending):
    zones = layer(("b", rectangle(0, 0, 5e5, 5e5)), ("a", rectangle(-5e5, 0, 0, 5e5)), ("none", None))
    written = tmp_path / f"zones.{ending}"
    rows, _ = summarize(tmp_path, pti[0], layer=zones, outputs={"layer": str(written)})
    source = ogr.Open(str(written))
    features = source.GetLayer(0)
    assert [feature["zone"] for feature in features] == ["a", "b"]
    for feature in features:
        for name, kind, _, _ in FIELDS:
            assert feature[name] == rows[feature["zone"]][name], name
            assert feature[name] is None or isinstance(feature[name], kind)
        assert feature.GetGeometryRef().GetArea() == 25e10
    assert features.GetSpatialRef().IsSame(osr.SpatialReference(epsg_wkt(6931)))
    first = written.read_bytes()
    summarize(tmp_path, pti[0], layer=zones, outputs={"layer": str(written)})
    assert written.read_bytes() == first


def test_a_layer_that_cannot_be_written_is_refused_before_the_work(tmp_path, pti):
    for name, inputs, said in (("z.shp", {"layer": layer(("a", rectangle(0, 0, 1e5, 1e5)))}, "gpkg"),
                               ("z.gpkg", {}, "only where ZONES is given")):
        with pytest.raises((OutputError, InputError), match=said):
            summarize(tmp_path, pti[0], outputs={"layer": str(tmp_path / name)}, **inputs)
    assert standing(tmp_path) == {}


def test_a_cancelled_run_leaves_nothing(tmp_path, pti):
    class Impatient(Log):
        def set(self, fraction):
            if fraction > 0.3:
                self.stop()

    with pytest.raises(Cancelled), Staging() as staging:
        summarize_zones(ZoneInputs(pti[0], layer(("a", rectangle(0, 0, 1e5, 1e5)))), {"table": str(tmp_path / "a.csv")},
                        staging, Impatient(), Settings(threads=1, block_size=16))
    assert standing(tmp_path) == {}


def test_water_and_glaciers_count_in_no_area_and_no_mean(tmp_path):
    rng = np.random.default_rng(13)
    shape = (30, 40)
    index, cover = rng.choice([0, 11, 22, 40], shape), rng.choice([0, 130, 210, 220], shape)
    classes, percent = rng.choice([1, 2, 3], shape), rng.uniform(0, 100, shape).astype("float32")
    elevation = rng.normal(300, 200, shape).astype("float32")
    pti, exclude, zones, pp, dem = (
        write_raster(tmp_path / f"{name}.tif", values, nodata=nodata, dtype=dtype) for name, values, nodata, dtype in (
            ("pti", index, 0, "uint8"), ("cover", cover, 0, "uint8"), ("zones", classes, None, "uint8"),
            ("pp", percent, None, None), ("elevation", elevation, None, None)))
    rows, log = summarize(tmp_path, pti, classes=zones, percent=pp, predictors=(dem,),
                          left_out=LeftOutClasses(exclude))
    kept = (index > 0) & ~np.isin(cover, (210, 220))
    for zone, inside in ((WHOLE, kept), *((str(code), kept & (classes == code)) for code in (1, 2, 3))):
        row = rows[zone]
        assert row["cells"] == inside.sum() and row["area_km2"] == 625.0 * inside.sum()
        assert row["pp_area_km2"] == pytest.approx(6.25 * percent[inside].astype(float).sum(), abs=0.01)
        assert row["mean_elevation"] == pytest.approx(elevation[inside].astype(float).mean())
        for code in (11, 22, 40):
            assert row[f"area_{code}_km2"] == 625.0 * (inside & (index == code)).sum()
    out = (index > 0).sum() - kept.sum()
    assert out > 300
    assert any(f"{out:,} of {(index > 0).sum():,} cells of pti.tif, {625 * out:,} km²" in line for line in log.lines)
    with pytest.raises(InputError, match="no ranked cell outside the classes left out"):
        summarize(tmp_path, pti, left_out=LeftOutClasses(write_raster(tmp_path / "w.tif", np.full(shape, 210))))


@pytest.mark.parametrize("unit, shift, told", [("K", 273.15, "degC"), ("kelvin", 273.15, "degC"), ("degC", 0, "degC"),
                                               ("", 0, "")])
def test_means_of_land_surface_temperature_are_in_celsius_as_in_the_paper(tmp_path, unit, shift, told):
    rng = np.random.default_rng(2)
    values, trend = rng.uniform(0, 100, (12, 9)).astype("float32"), rng.normal(0, 0.1, (12, 9)).astype("float32")
    pti = write_raster(tmp_path / "pti.tif", np.full((12, 9), 12), nodata=0, dtype="uint8")
    stack = write_raster(tmp_path / "stack.tif", np.stack([values, trend, values]), descriptions=(
        "lst", "lst_trend", "probe"))
    dataset = gdal.Open(stack, gdal.GA_Update)
    for band, items in enumerate(({"PTI_MIN": "243.5", "PTI_MAX": "281.25", "PTI_RAW_UNIT": unit},
                                  {"PTI_RAW_UNIT": f"{unit}/year"}, {"PTI_RAW_UNIT": unit}), start=1):
        dataset.GetRasterBand(band).SetMetadata({"PTI_KIND": "number", **items})
    dataset = None
    log = Log()
    with Staging() as staging:
        result = summarize_zones(ZoneInputs(pti, predictors=(stack,)), {}, staging, log)
    units = {name: unit for name, _, unit, _ in result["fields"]}
    row = result["rows"][0]
    assert row["mean_lst"] == pytest.approx(243.5 + 0.3775 * values.astype(float).mean() - shift, rel=1e-9)
    assert row["mean_lst_trend"] == pytest.approx(trend.astype(float).mean(), rel=1e-9)
    # a band that is no predictor of the paper stays as it is
    assert row["mean_probe"] == pytest.approx(values.astype(float).mean(), rel=1e-9)
    assert units["mean_lst"] == told
    if shift and unit == "K":
        assert units["mean_lst_trend"] == "degC/year" and units["mean_probe"] == "K"
        assert any("lst: its means are in degC, in the layer it is in K" in line for line in log.lines)


@pytest.fixture(scope="module")
def compared_scene(pti, tmp_path_factory):
    """A reference that has the rank of the map on most cells and holes of its own, and training points."""
    rng = np.random.default_rng(12)
    reference = np.where(rng.random((100, 100)) < 0.6, pti[1], rng.choice(ranks.CODES, (100, 100)))
    reference[10:14] = 0
    path = write_raster(tmp_path_factory.mktemp("reference") / "index.tif", reference, nodata=0, dtype="uint8",
                        transform=POLAR)
    samples = np.zeros(30, dtype=[("longitude", "<f8"), ("latitude", "<f8")])
    samples["longitude"], samples["latitude"] = rng.uniform(-180, 180, 30), rng.uniform(79, 90, 30)
    return path, reference, samples


@pytest.mark.parametrize("buffer_km", [None, 150.0])
@pytest.mark.parametrize("settings", [None, Settings(2, 32)])
def test_the_agreement_with_the_index_by_zone_is_a_plain_count(pti, compared_scene, tmp_path, monkeypatch, buffer_km,
                                                               settings):
    pyproj = pytest.importorskip("pyproj")
    pytest.importorskip("scipy")
    path, reference, samples = compared_scene
    far = np.ones(reference.shape, dtype=bool)
    if buffer_km:
        monkeypatch.setattr(zones, "read_model", lambda name: SimpleNamespace(training_samples=lambda: samples))
        x, y = np.meshgrid(POLAR[0] + 25000 * (np.arange(100) + 0.5), POLAR[3] - 25000 * (np.arange(100) + 0.5))
        change = coordinate_transformation(epsg_wkt(6931), epsg_wkt(4326))
        centres = np.column_stack([x.ravel(), y.ravel()]).tolist()
        longitude, latitude = np.array(change.TransformPoints(centres))[:, :2].T
        for place in samples:
            away = pyproj.Geod(ellps="WGS84").inv(longitude, latitude, np.full(x.size, place["longitude"]),
                                                  np.full(x.size, place["latitude"]))[2]
            far &= away.reshape(far.shape) >= 1000 * buffer_km
        assert 1000 < far.sum() < 9000
    west = np.zeros(far.shape, dtype=bool)
    west[:, :50] = True
    rows, log = summarize(tmp_path, pti[0], settings, layer=layer(
        ("west", rectangle(-1250000, -1250000, 0, 1250000)), ("east", rectangle(0, -1250000, 1250000, 1250000)),
        ("hole", rectangle(-1250000, 900000, 1250000, 1000000))), reference=path,
        model="m.ptimodel" if buffer_km else None, buffer_km=buffer_km or 25.0)
    places = {code: place for place, code in enumerate((11, 12, 13, 21, 22, 23, 31, 32, 33, 40))}
    compared = far & (pti[1] > 0) & (reference > 0)
    apart = np.abs(np.vectorize(lambda code: places.get(code, 0))(pti[1])
                   - np.vectorize(lambda code: places.get(code, 0))(reference))
    for zone, inside in ((WHOLE, np.ones_like(west)), ("west", west), ("east", ~west)):
        here, row = compared & inside, rows[zone]
        assert (row["compared_cells"], row["compared_km2"]) == (here.sum(), pytest.approx(625 * here.sum()))
        # cells of an equal-area grid weigh alike
        assert row["agreement_percent"] == pytest.approx(100 * (apart[here] == 0).mean(), abs=1e-3)
        assert row["within_one_percent"] == pytest.approx(100 * (apart[here] <= 1).mean(), abs=1e-3)
    # what stands there without a reference stays as it is
    assert rows["west"]["cells"] == ((pti[1] > 0) & west).sum()
    assert (rows["hole"]["compared_cells"], rows["hole"]["agreement_percent"]) == (0, None)
    assert "1 zones hold no cell that can be compared with index.tif: hole." in log.warnings
    where = f"{buffer_km:g} km or more from all training points" if buffer_km else "near training points too"
    assert any(f"km² compared ({where}); by zone from " in line for line in log.lines)
    names = read_csv(tmp_path / "zones.csv")[0]
    assert list(names)[-4:] == ["compared_cells", "compared_km2", "agreement_percent", "within_one_percent"]


def test_without_a_reference_the_table_has_no_agreement_and_a_model_alone_is_refused(pti, compared_scene, tmp_path,
                                                                                    monkeypatch):
    path, _, samples = compared_scene
    rows, _ = summarize(tmp_path, pti[0])
    assert not any(name.startswith(("compared", "agreement")) for name in rows[WHOLE])
    with pytest.raises(InputError, match="MODEL is given without REFERENCE"):
        summarize(tmp_path, pti[0], model="m.ptimodel")
    monkeypatch.setattr(zones, "read_model", lambda name: SimpleNamespace(training_samples=lambda: samples))
    with pytest.raises(InputError, match=r"No cell has a rank in the map and in index\.tif and lies 5000 km .* Lower"):
        summarize(tmp_path, pti[0], reference=path, model="m.ptimodel", buffer_km=5000.0)
    with pytest.raises(InputError, match="BUFFER_KM is 6000"):
        summarize(tmp_path, pti[0], reference=path, buffer_km=6000.0)
    other = write_raster(tmp_path / "small.tif", np.full((9, 9), 11), nodata=0, dtype="uint8", transform=POLAR)
    with pytest.raises(GridError, match=r"small\.tif"):
        summarize(tmp_path, pti[0], reference=other)


def test_an_edge_is_the_same_from_either_side():
    rng = np.random.default_rng(2)
    # whole numbers, so that many edges stand upright or lie flat
    ring = rng.integers(0, 4, (200, 2)).astype(float)
    starts, ends = edges_of([np.vstack([ring, ring[:1]])])
    expected = [tuple(sorted((tuple(a), tuple(b)))) for a, b in zip(ring, np.roll(ring, -1, axis=0))]
    assert [(tuple(a), tuple(b)) for a, b in zip(starts, ends)] == expected
