"""Slope in true metres: against analytic surfaces on the ellipsoid, gdaldem, planes, gaps; and what is refused."""

from dataclasses import dataclass

import numpy as np
import pytest

from pti_plugin.core.common.errors import GridError, InputError
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.ensembles import topography
from pti_plugin.core.ensembles.topography import SlopeOptions, horn_differences, lattice_spacing, metric, slope
from pti_plugin.core.rasters.blocks import Settings, Window
from pti_plugin.core.rasters.grid import Grid, coordinate_transformation, epsg_wkt
from pti_plugin.core.rasters.raster import read_info
from support import ROOT, Log, read_raster, standing, write_raster

LAEA = "+proj=laea +lat_0=68 +lon_0=120 +datum=WGS84 +units=m"


def run(path, folder, target=None, settings=None, elevation=False, **options):
    outputs = {"slope": str(folder / "slope.tif"), "elevation": str(folder / "elevation.tif") if elevation else None}
    log = Log()
    with Staging([path]) as staging:
        result = slope(path, outputs, staging, log, SlopeOptions(**options), target, settings)
        staging.commit()
    return read_raster(outputs["slope"]), result["cells"], log


def crs_wkt(text):
    from osgeo import osr

    reference = osr.SpatialReference()
    reference.SetFromUserInput(text)
    return reference.ExportToWkt()


def patch_at(crs, longitude, latitude, cell, size=41):
    """Return the Grid of ``size`` cells a side around a place."""
    x, y, _ = coordinate_transformation(epsg_wkt(4326), crs_wkt(crs)).TransformPoint(longitude, latitude)
    return Grid(crs_wkt(crs), (x - size / 2 * cell, cell, 0.0, y + size / 2 * cell, 0.0, -cell), size, size)


def write_on(path, values, grid, **options):
    return write_raster(path, values, crs=grid.wkt, transform=grid.transform, **options)


@dataclass(frozen=True)
class Plane:
    """Elevation a·X + b·Y + c·Z of the geocentric position: smooth everywhere, the pole and the seam included."""

    a: float = 0.03
    b: float = 0.05
    c: float = 0.02

    def parts(self, longitude, latitude):
        a, f = 6378137.0, 1 / 298.257223563
        e2 = f * (2 - f)
        lon, lat = np.radians(longitude), np.radians(latitude)
        normal = a / np.sqrt(1 - e2 * np.sin(lat) ** 2)
        meridian = a * (1 - e2) / np.sqrt(1 - e2 * np.sin(lat) ** 2) ** 3
        return lon, lat, normal, meridian, e2

    def elevation(self, longitude, latitude):
        lon, lat, normal, _, e2 = self.parts(longitude, latitude)
        return (self.a * normal * np.cos(lat) * np.cos(lon) + self.b * normal * np.cos(lat) * np.sin(lon)
                + self.c * normal * (1 - e2) * np.sin(lat))

    def gradient(self, longitude, latitude):
        """Analytic gradient in m per m: the part of (a, b, c) that lies in the plane touching the ellipsoid."""
        lon, lat, _, _, _ = self.parts(longitude, latitude)
        east = -self.a * np.sin(lon) + self.b * np.cos(lon)
        north = -np.sin(lat) * (self.a * np.cos(lon) + self.b * np.sin(lon)) + self.c * np.cos(lat)
        return np.hypot(east, north)


class Waves:
    """Elevation A·sin(m·lon)·cos(n·lat), whose gradient needs the radii of curvature of the ellipsoid."""

    def elevation(self, longitude, latitude):
        lon, lat = np.radians(longitude), np.radians(latitude)
        return 900 * np.sin(60 * lon) * np.cos(45 * lat)

    def gradient(self, longitude, latitude):
        lon, lat, normal, meridian, _ = Plane().parts(longitude, latitude)
        east = 900 * 60 * np.cos(60 * lon) * np.cos(45 * lat) / (normal * np.cos(lat))
        north = -900 * 45 * np.sin(60 * lon) * np.sin(45 * lat) / meridian
        return np.hypot(east, north)


def kernel_slope(grid, surface):
    """Slope in m per m by the kernel, from elevation in double precision on the grid widened by one cell."""
    columns, rows = np.meshgrid(np.arange(-1, grid.width + 1) + 0.5, np.arange(-1, grid.height + 1) + 0.5)
    across, down, whole = horn_differences(surface.elevation(*grid.lonlat(columns, rows)))
    assert whole.all()
    return topography.steepness(across, down, metric(grid, Window(0, grid.height, 0, grid.width)))


@pytest.mark.parametrize("latitude", [50, 70, 85])
@pytest.mark.parametrize(("crs", "cell"), [("EPSG:4326", 0.002), ("EPSG:3995", 100), ("EPSG:3413", 100),
                                           ("EPSG:6931", 100), ("EPSG:6931", 1000)])
@pytest.mark.parametrize("surface", [Plane(), Waves()], ids=["plane", "waves"])
def test_an_analytic_surface_has_its_slope_on_every_grid(crs, cell, latitude, surface):
    grid = patch_at(crs, 33.0, latitude, cell)
    columns, rows = np.meshgrid(np.arange(41) + 0.5, np.arange(41) + 0.5)
    expected = surface.gradient(*grid.lonlat(columns, rows))
    steep = expected > 0.2 * expected.max()
    assert steep.mean() > 0.5
    np.testing.assert_allclose(kernel_slope(grid, surface)[steep], expected[steep], rtol=0.005)


@pytest.mark.parametrize("crs", ["EPSG:3995", "EPSG:3413", "EPSG:6931"])
@pytest.mark.parametrize(("cell", "size"), [(1000, 41), (1000, 300), (25000, 31)])
def test_the_pole_is_no_special_place(crs, cell, size):
    grid = patch_at(crs, 0.0, 90.0, cell, size)
    columns, rows = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    expected = Plane().gradient(*grid.lonlat(columns, rows))
    np.testing.assert_allclose(kernel_slope(grid, Plane()), expected, rtol=5e-4)


def test_the_seam_of_the_longitudes_is_no_special_place():
    grid = patch_at("EPSG:6931", 180.0, 72.0, 1000)
    columns, rows = np.meshgrid(np.arange(41) + 0.5, np.arange(41) + 0.5)
    longitude, latitude = grid.lonlat(columns, rows)
    assert longitude.min() < -179 and longitude.max() > 179
    np.testing.assert_allclose(kernel_slope(grid, Plane()), Plane().gradient(longitude, latitude), rtol=1e-4)


@pytest.mark.parametrize(("crs", "place", "cell"), [
    ("EPSG:3995", (10, 50), 1000), ("EPSG:3413", (10, 80), 1000), ("EPSG:6931", (150, 47), 1000),
    ("EPSG:6931", (0, 89.9), 5000), ("EPSG:32606", (-149, 64), 30), ("EPSG:3338", (-150, 66), 1000),
    ("EPSG:3857", (20, 75), 1000), ("EPSG:3576", (30, 60), 1000)])
def test_the_lattice_costs_less_than_a_part_in_ten_thousand(crs, place, cell, monkeypatch):
    grid = patch_at(crs, *place, cell, 200)
    window = Window(37, 150, 21, 160)
    assert lattice_spacing(grid) > 1
    coarse = np.broadcast_arrays(*metric(grid, window))
    monkeypatch.setattr(topography, "LATTICE_CELLS", 1)
    fine = np.broadcast_arrays(*metric(grid, window))
    scale = np.sqrt(fine[0] * fine[2])
    for values, exact in zip(coarse, fine):
        assert np.abs((values - exact) / scale).max() < 1e-4


def test_the_metric_does_not_depend_on_the_window():
    grid = patch_at("EPSG:3995", 10, 60, 1000, 300)
    whole = metric(grid, Window(0, 300, 0, 300))
    for window in (Window(0, 300, 0, 300), Window(31, 7, 65, 100), Window(299, 1, 299, 1)):
        part = metric(grid, window)
        for values, all_values in zip(part, whole):
            np.testing.assert_array_equal(values, all_values[window.row:window.row + window.rows,
                                                             window.column:window.column + window.columns])


def test_cells_with_a_node_off_the_projection_are_computed_one_by_one():
    # the node beyond the edge of the Mollweide ellipse has no place on Earth
    grid = Grid(crs_wkt("ESRI:54009"), (17_900_000.0, 1000.0, 0.0, 20_000.0, 0.0, -1000.0), 300, 40)
    window = Window(0, 40, 0, 300)
    columns, rows = np.meshgrid(np.arange(300) + 0.5, np.arange(40) + 0.5)
    on_earth = np.isfinite(grid.lonlat(columns + 1, rows)[0]) & np.isfinite(grid.lonlat(columns, rows + 1)[0])
    assert 0.2 < on_earth.mean() < 0.9
    needed = on_earth & (np.arange(300) > 100)
    tensor = metric(grid, window, needed)
    assert np.isfinite(tensor[0][needed]).all() and np.isnan(tensor[0][~on_earth & ~needed]).any()
    # Mollweide is equal-area: the determinant is the squared ground area of a cell
    area = np.sqrt(tensor[0] * tensor[2] - tensor[1] ** 2)[needed]
    np.testing.assert_allclose(area, 1e6, rtol=0.01)


def test_a_rotated_grid_of_degrees_is_measured_rightly():
    turned = Grid(epsg_wkt(4326), (30.0, 0.0016, 0.0012, 60.0, 0.0012, -0.0016), 21, 21)
    columns, rows = np.meshgrid(np.arange(21) + 0.5, np.arange(21) + 0.5)
    np.testing.assert_allclose(kernel_slope(turned, Plane()), Plane().gradient(*turned.lonlat(columns, rows)),
                               rtol=1e-4)


def test_an_inclined_plane_on_a_local_grid_is_exact(tmp_path):
    grid = patch_at(LAEA, 120, 68, 90, 30)
    columns, rows = np.meshgrid(np.arange(30.0), np.arange(30.0))
    path = write_on(tmp_path / "dem.tif", (500 + 0.03 * 90 * columns - 0.04 * 90 * rows).astype("float32"), grid)
    percent, cells, _ = run(path, tmp_path, unit="percent")
    np.testing.assert_allclose(percent, 5.0, rtol=1e-4)
    assert cells == {"elevation": 900, "slope": 900, "partial": 116, "lost": 0}
    degrees, _, _ = run(path, tmp_path)
    np.testing.assert_allclose(degrees, np.degrees(np.arctan(0.05)), rtol=1e-4)
    info = read_info(str(tmp_path / "slope.tif"))
    assert (info.units, info.descriptions) == (("degree",), ("slope",))


def test_gdaldem_agrees_on_the_central_meridian_of_utm(tmp_path):
    from osgeo import gdal

    grid = patch_at("EPSG:32633", 15, 60, 30, 80)
    rng = np.random.default_rng(2)
    path = write_on(tmp_path / "dem.tif", rng.normal(0, 20, (80, 80)).astype("float32"), grid)
    gdal.DEMProcessing(str(tmp_path / "gdal.tif"), path, "slope", slopeFormat="percent", alg="Horn")
    ours, _, _ = run(path, tmp_path, unit="percent")
    theirs = read_raster(tmp_path / "gdal.tif")
    inner = (slice(1, -1), slice(1, -1))
    # a metre of UTM is 1 / 0.9996 m of ground, so the true slope is 0.9996 of gdaldem's (in single precision)
    np.testing.assert_allclose(ours[inner], 0.9996 * theirs[inner], rtol=5e-6, atol=5e-5)
    assert ours[inner].mean() > 20


def test_a_real_model_in_degrees_agrees_with_gdaldem_on_utm(tmp_path):
    from osgeo import gdal

    dem = tmp_path / "dem.tif"
    dem.write_bytes((ROOT / "tests" / "data" / "real" / "cop30_healy_excerpt.tif").read_bytes())
    ours, cells, _ = run(str(dem), tmp_path)
    assert cells["slope"] == 200 * 200
    gdal.Warp(str(tmp_path / "utm.tif"), str(dem), dstSRS="EPSG:32606", xRes=20, yRes=20, resampleAlg="cubic",
              dstNodata=-9999)
    gdal.DEMProcessing(str(tmp_path / "gdal.tif"), str(tmp_path / "utm.tif"), "slope", alg="Horn")
    gdal.Warp(str(tmp_path / "ours_utm.tif"), str(tmp_path / "slope.tif"), format="GTiff", dstSRS="EPSG:32606",
              xRes=20, yRes=20, resampleAlg="bilinear")
    theirs, again = read_raster(tmp_path / "gdal.tif"), read_raster(tmp_path / "ours_utm.tif")
    both = ~np.isnan(theirs) & ~np.isnan(again)
    difference = (again - theirs)[both]
    assert both.sum() > 25_000 and theirs[both].mean() > 3
    assert abs(difference.mean()) < 0.01 and np.abs(difference).mean() < 0.2
    # taking degrees for equal metres both ways, as gdaldem with one scale does, is a sixth too flat here
    gdal.DEMProcessing(str(tmp_path / "naive.tif"), str(dem), "slope", alg="Horn", scale=111120)
    assert abs(np.nanmean(read_raster(tmp_path / "naive.tif")) - np.nanmean(ours)) > 0.5


def plain_differences(elevation):
    """Horn's differences with gaps, cell by cell."""
    height, width = elevation.shape
    across, down = np.full((height - 2, width - 2), np.nan), np.full((height - 2, width - 2), np.nan)

    def one(before, middle, after):
        if not np.isnan(before) and not np.isnan(after):
            return (after - before) / 2
        if not np.isnan(middle) and not np.isnan(after):
            return after - middle
        return middle - before

    for r in range(1, height - 1):
        for c in range(1, width - 1):
            if np.isnan(elevation[r, c]):
                continue
            for result, line in ((across, [one(*elevation[r + k, c - 1:c + 2]) for k in (-1, 0, 1)]),
                                 (down, [one(*elevation[r - 1:r + 2, c + k]) for k in (-1, 0, 1)])):
                pairs = [(w, d) for w, d in zip((1, 2, 1), line) if not np.isnan(d)]
                if pairs:
                    result[r - 1, c - 1] = sum(w * d for w, d in pairs) / sum(w for w, _ in pairs)
    return across, down


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.85])
def test_gaps_are_what_a_plain_loop_makes_of_them(share):
    rng = np.random.default_rng(int(100 * share))
    elevation = rng.normal(0, 10, (30, 25))
    elevation[rng.random(elevation.shape) < share] = np.nan
    got, expected = horn_differences(elevation), plain_differences(elevation)
    for values, plain in zip(got, expected):
        np.testing.assert_allclose(values, plain, rtol=1e-12, atol=1e-12)
    assert got[2].all() == (share == 0)


def test_a_coast_does_not_flatten_a_plane(tmp_path):
    grid = patch_at(LAEA, 120, 68, 90, 40)
    columns, rows = np.meshgrid(np.arange(40.0), np.arange(40.0))
    dem = 500 + 2.7 * columns - 3.6 * rows
    dem[np.random.default_rng(5).random(dem.shape) < 0.3] = np.nan
    dem[:3, :3] = np.nan
    dem[1, 1] = 500
    path = write_on(tmp_path / "dem.tif", dem.astype("float32"), grid, nodata=-9999)
    percent, cells, log = run(path, tmp_path, unit="percent")
    known = ~np.isnan(percent)
    np.testing.assert_allclose(percent[known], 5.0, rtol=1e-3)
    assert np.isnan(percent[np.isnan(dem)]).all()
    assert cells["lost"] == (~np.isnan(dem) & ~known).sum() >= 1 and np.isnan(percent[1, 1])
    assert any(f"{cells['lost']} of {cells['elevation']} cells" in warning for warning in log.warnings)


def test_the_row_on_the_pole_of_a_grid_of_longitudes_has_no_slope(tmp_path):
    grid = Grid(epsg_wkt(4326), (-180.0, 10.0, 0.0, 90.5, 0.0, -1.0), 36, 4)
    path = write_on(tmp_path / "dem.tif", np.add.outer(np.arange(4.0), np.arange(36.0)).astype("float32"), grid)
    degrees, cells, _ = run(path, tmp_path)
    assert np.isnan(degrees[0]).all() and np.isfinite(degrees[1:]).all() and cells["lost"] == 36


def test_a_model_with_a_row_on_the_pole_is_brought_to_a_polar_target(tmp_path):
    # ETOPO and other models have cells centred on the pole, which reach half a cell beyond it
    grid = Grid(epsg_wkt(4326), (-180.05, 0.1, 0.0, 90.05, 0.0, -0.1), 3600, 150)
    columns, rows = np.meshgrid(np.arange(3600) + 0.5, np.arange(150) + 0.5)
    surface = Plane(0.0003, 0.0005, 0)
    path = write_on(tmp_path / "dem.tif", surface.elevation(*grid.xy(columns, rows)).astype("float32"), grid)
    target = patch_at("EPSG:6931", 0, 90, 100_000, 20)
    degrees, cells, _ = run(path, tmp_path, target)
    columns, rows = np.meshgrid(np.arange(20) + 0.5, np.arange(20) + 0.5)
    expected = np.degrees(np.arctan(surface.gradient(*target.lonlat(columns, rows))))
    assert cells["slope"] == 400
    # the average of GDAL knows a cell by two corners, which is rough in the cells round the pole
    near = np.hypot(columns - 10, rows - 10) < 4
    np.testing.assert_allclose(degrees[~near], expected[~near], rtol=0.05)
    np.testing.assert_allclose(degrees[near], expected[near], rtol=0.3)


def test_feet_are_metres_where_the_file_declares_them(tmp_path):
    grid = patch_at(LAEA, 120, 68, 90, 12)
    dem = np.add.outer(np.zeros(12), 90 * 0.1 * np.arange(12.0)).astype("float32")
    metres, _, _ = run(write_on(tmp_path / "m.tif", dem, grid, unit="metre"), tmp_path, unit="percent")
    feet, _, log = run(write_on(tmp_path / "ft.tif", dem / 0.3048, grid, unit="ft"), tmp_path, unit="percent")
    np.testing.assert_allclose(feet, metres, rtol=1e-5)
    np.testing.assert_allclose(feet, 10, rtol=1e-4)
    assert any("elevation read as ft and converted to m" in line for line in log.lines)


def test_the_sea_floor_is_left_out_before_anything_is_averaged(tmp_path):
    grid = patch_at("EPSG:6931", 120, 68, 1000, 60)
    dem = np.full((60, 60), -3000.0)
    dem[:, 25:] = 100.0 + np.arange(35)
    path = write_on(tmp_path / "dem.tif", dem.astype("float32"), grid)
    x, cell, _, y, _, _ = grid.transform
    coarse = Grid(grid.wkt, (x, 10 * cell, 0.0, y, 0.0, -10 * cell), 6, 6)
    run(path, tmp_path, coarse, elevation=True, min_elevation=0)
    elevation = read_raster(tmp_path / "elevation.tif")
    assert np.isnan(elevation[:, :2]).all()
    np.testing.assert_allclose(elevation[:, 2], dem[0, 25:30].mean(), rtol=1e-6)
    assert np.nanmax(read_raster(tmp_path / "slope.tif")) < 0.1
    run(path, tmp_path, coarse)
    assert np.nanmax(read_raster(tmp_path / "slope.tif")) > 5


def test_the_elevation_is_averaged_to_the_target_and_written_in_metres(tmp_path):
    grid = patch_at("EPSG:6931", 60, 65, 250, 80)
    rng = np.random.default_rng(9)
    dem = (1000 + rng.normal(0, 50, (80, 80))).astype("float32")
    path = write_on(tmp_path / "dem.tif", dem, grid)
    x, cell, _, y, _, _ = grid.transform
    coarse = Grid(grid.wkt, (x, 4 * cell, 0.0, y, 0.0, -4 * cell), 20, 20)
    first, _, _ = run(path, tmp_path, coarse, elevation=True)
    elevation = read_raster(tmp_path / "elevation.tif")
    np.testing.assert_allclose(elevation, dem.reshape(20, 4, 20, 4).mean(axis=(1, 3), dtype=float), rtol=1e-6)
    assert read_info(str(tmp_path / "elevation.tif")).units == ("m",)
    # the slope of the elevation written is the slope written, and the working file does not stay
    other = tmp_path / "other"
    other.mkdir()
    np.testing.assert_array_equal(run(str(tmp_path / "elevation.tif"), other)[0], first)
    run(path, other, coarse)
    assert sorted(standing(other)) == ["slope.tif"]
    np.testing.assert_array_equal(read_raster(other / "slope.tif"), first)


def test_a_target_finer_than_the_model_is_said(tmp_path):
    grid = patch_at("EPSG:6931", 60, 65, 1000, 20)
    path = write_on(tmp_path / "dem.tif", np.add.outer(np.arange(20.0), np.arange(20.0)).astype("float32"), grid)
    x, _, _, y, _, _ = grid.transform
    fine = Grid(grid.wkt, (x + 5000, 250.0, 0.0, y - 5000, 0.0, -250.0), 20, 20)
    assert any("finer than dem.tif" in warning for warning in run(path, tmp_path, fine)[2].warnings)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3995"])
def test_block_size_and_threads_do_not_change_a_byte(tmp_path, crs):
    cell = 0.01 if crs == "EPSG:4326" else 1000
    grid = patch_at(crs, 40, 66, cell, 300)
    dem = np.random.default_rng(3).normal(500, 100, (300, 300))
    dem[np.random.default_rng(4).random(dem.shape) < 0.02] = np.nan
    path = write_on(tmp_path / "dem.tif", dem.astype("float32"), grid, nodata=-9999)
    seen = []
    for block, threads in ((64, 1), (100, 2), (1000, 2), (0, 1)):
        folder = tmp_path / f"b{block}_{threads}"
        folder.mkdir()
        run(path, folder, settings=Settings(threads, block))
        seen.append(standing(folder))
    assert all(files == seen[0] for files in seen[1:])


@pytest.mark.parametrize(("values", "written", "options", "message"), [
    (9500.0, {}, {}, "holds the value 9500, outside the plausible -12000 to 9000"),
    (-32768.0, {}, {}, "outside the plausible.*nodata value"),
    (10.0, {"unit": "K"}, {}, "dem.tif declares the unit 'K', which is not known for elevation.*Set UNITS"),
    (29000.0, {"unit": "m"}, {}, "outside -12000 to 9000 m for elevation"),
    (29000.0, {}, {}, "outside the plausible"),
    (10.0, {}, {"unit": "radians"}, "UNIT is 'radians'.*degrees, percent"),
    (10.0, {}, {"min_elevation": -20000.0}, "MIN_ELEVATION is -20000"),
    (10.0, {}, {"min_elevation": 50.0}, "no elevation at or above MIN_ELEVATION, 50 m"),
    (-9999.0, {"nodata": -9999}, {}, "dem.tif has no elevation on the grid"),
])
def test_what_cannot_be_an_elevation_is_refused(tmp_path, values, written, options, message):
    path = write_raster(tmp_path / "dem.tif", np.full((6, 6), values, dtype="float32"), **written)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError, match=message):
        run(path, out, **options)
    assert standing(out) == {}


def test_files_that_do_not_fit_are_named(tmp_path):
    two = write_raster(tmp_path / "two.tif", np.zeros((2, 4, 4), dtype="float32"))
    with pytest.raises(InputError, match="two.tif has 2 bands where a single layer is expected"):
        run(two, tmp_path)
    row = write_raster(tmp_path / "row.tif", np.zeros((1, 9), dtype="float32"))
    with pytest.raises(InputError, match="No cell of row.tif has neighbours"):
        run(row, tmp_path)
    with pytest.raises(InputError, match="none.tif does not exist"):
        run(str(tmp_path / "none.tif"), tmp_path)
    far = Grid(epsg_wkt(4326), (10.0, 1.0, 0.0, -20.0, 0.0, -1.0), 5, 5)
    path = write_raster(tmp_path / "dem.tif", np.zeros((6, 6), dtype="float32"))
    with pytest.raises(GridError, match="dem.tif does not overlap the target grid"):
        run(path, tmp_path, far)
    assert not list(tmp_path.glob("slope*"))
