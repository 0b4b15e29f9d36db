"""Small sources in every kind of CRS and place, on the polar grid: nothing where they do not lie, and where they lie
what pyproj and clipped polygons make of them."""

import numpy as np
import pytest
from warp_reference import Places, carried, check

from pti_plugin.core.rasters.align import polar_grid
from pti_plugin.core.rasters.grid import Grid, epsg_wkt
from pti_plugin.core.rasters.raster import CLASS, NO_CLASS, NUMBER, SourceReader, on_grid, source
from support import write_raster

CRS = pytest.importorskip("pyproj").CRS

COARSE = 120_000.0
LOW, HIGH, CLASSES, NODATA = 10.0, 50.0, range(5), 255
NORTH, SOUTH = "EPSG:6931", "EPSG:6932"
SINUSOIDAL = "+proj=sinu +lon_0=0 +R=6371007.181 +units=m"
HOMOLOSINE = "+proj=igh +datum=WGS84 +units=m"
SPHERE = "+proj=laea +lat_0=90 +lon_0=0 +R=6371228 +units=m"
#: 3031 and 3976 turned over, and the sphere of Hughes
POLAR = ("EPSG:3413", "EPSG:3995", "EPSG:3411", "EPSG:5041", "EPSG:32661",
         "+proj=stere +lat_0=90 +lat_ts=71 +lon_0=0 +datum=WGS84 +units=m",
         "+proj=stere +lat_0=90 +lat_ts=70 +lon_0=0 +R=6378273 +units=m")
LAEA = ("EPSG:3571", "EPSG:3575", "EPSG:3408", "EPSG:6931", SPHERE)
PLACES = ((10, 62), (-150, 70), (179, 66), (90, 89), (-60, 48), (-120, 85))


def round_place(crs, longitude, latitude, cell, columns=13, rows=9):
    """Return a source of square cells round a place: (CRS, transform, columns, rows)."""
    x, y = (float(part) for part in carried("EPSG:4326", crs, longitude, latitude))
    return crs, (x - cell * columns / 2, cell, 0.0, y + cell * rows / 2, 0.0, -cell), columns, rows


def box(west, north, step, columns, rows):
    """Return a source in degrees."""
    return "EPSG:4326", (west, step, 0.0, north, 0.0, -step), columns, rows


PAIRS = {
    **{f"UTM {zone} N": round_place(f"EPSG:{32600 + zone}", 6 * zone - 183 + zone % 5 - 2, 46 + zone * 0.6, 20_000.0)
       for zone in range(1, 61)},
    **{f"UTM {zone} S": round_place(f"EPSG:{32700 + zone}", 6 * zone - 183, -50 - zone / 2, 20_000.0)
       for zone in range(1, 61, 6)},
    **{f"{crs[:30]} {place}": round_place(crs, *place, 30_000.0) for crs in (*POLAR, *LAEA) for place in PLACES},
    **{f"sinusoidal {place}": round_place(SINUSOIDAL, *place, 30_000.0, 20, 12)
       for place in (*PLACES, (-179, 60), (0, 89.9))},
    **{f"homolosine {place}": round_place(HOMOLOSINE, *place, 30_000.0, 20, 12)
       for place in (*PLACES, (-40, 60), (-39, 80), (0, 89))},
    **{f"{crs} {place}": round_place(crs, *place, 30_000.0)
       for crs, place in (("EPSG:3338", (-150, 65)), ("EPSG:3347", (-90, 60)), ("EPSG:3857", (30, 70)),
                          ("EPSG:3857", (179, 60)), ("EPSG:2163", (-100, 50)))},
    **{f"degrees from {west}, {north}": box(west, north, step, columns, rows)
       for west, north, step, columns, rows in (
           (100, 70, 0.5, 20, 12), (-150, 66, 0.25, 16, 10), (-10, 56, 0.5, 30, 10), (0, 72, 0.5, 20, 12),
           (350, 66, 0.5, 16, 10), (170, 66, 0.5, 40, 12), (200, 75, 0.5, 16, 10), (-180, 60, 0.5, 10, 8),
           (175, 60, 0.5, 10, 8), (-185, 70, 0.5, 20, 8), (300, 84, 1.0, 30, 8), (-30, 90, 1.0, 30, 8),
           (170, 90, 0.5, 30, 8), (0, 90, 3.0, 30, 8), (-90, 90, 6.0, 30, 8), (-180, 90, 6.0, 59, 8),
           (-179, 90, 2.0, 179, 8), (1, 90, 2.0, 179, 20))},
    "the Earth from -180": box(-180, 90, 6, 60, 30), "the Earth from 0": box(0, 90, 6, 60, 30),
    "centres on the pole": box(-3, 93, 6, 60, 9), "some columns twice": box(-180, 90, 6, 62, 9),
    "from the south": ("EPSG:4326", (-180, 6.0, 0, 42.0, 0, 6.0), 60, 8),
    "a row round the Earth": box(-180, 66, 1, 360, 1), "a column to the pole": box(20, 90, 1, 1, 40),
}


def test_the_pairs_are_many():
    assert len(PAIRS) >= 150 and sum(name.startswith("UTM") for name in PAIRS) == 70


def on(crs, transform, columns, rows):
    """Return the Grid of a target in these terms."""
    return Grid(epsg_wkt(int(crs.split(":")[1])), tuple(map(float, transform)), columns, rows)


def targets(name):
    """Return the polar grid in coarse cells, and a grid of fine cells round the middle of the source."""
    crs = SOUTH if name.endswith(" S") else NORTH
    source_crs, transform, columns, rows = PAIRS[name]
    x, y = (float(part) for part in carried(source_crs, crs, transform[0] + transform[1] * columns / 2,
                                            transform[3] + transform[5] * rows / 2))
    degrees = source_crs == "EPSG:4326"
    step = min(abs(transform[5]) * 111_000 if degrees else transform[1], 100_000.0) / 2.5
    size = 48
    whole = polar_grid(cell=COARSE)
    return ((crs, whole.transform, whole.width, whole.height),
            (crs, (round(x - step * size / 2), step, 0.0, round(y + step * size / 2), 0.0, -step), size, size))


@pytest.mark.parametrize("name", PAIRS)
def test_a_source_lies_where_it_lies(tmp_path, name):
    rng = np.random.default_rng(sum(map(ord, name)))
    crs, transform, columns, rows = PAIRS[name]
    holes = rng.random((rows, columns)) < 0.1
    numbers = np.where(holes, np.nan, rng.uniform(LOW, HIGH, (rows, columns)).astype(np.float32))
    classes = np.where(holes, NODATA, rng.integers(0, len(CLASSES), (rows, columns)))
    # as WKT: a deprecated code would be written as its successor's
    crs = CRS.from_user_input(crs).to_wkt("WKT1_GDAL")
    paths = {NUMBER: write_raster(tmp_path / "number.tif", numbers, crs=crs, transform=transform, nodata=-9999,
                                  dtype="float32"),
             CLASS: write_raster(tmp_path / "class.tif", classes, crs=crs, transform=transform, nodata=NODATA,
                                 dtype="uint8")}
    met = 0
    for target in targets(name):
        grid = on(*target)
        row, column = (part.ravel() for part in np.mgrid[0:grid.height, 0:grid.width])
        places = Places(PAIRS[name], target, row, column)
        for kind, path in paths.items():
            item = on_grid(source(path, kind), grid)
            found = SourceReader().read(item, 0, grid.height, 0, grid.width).ravel()
            check(np.where(found == NO_CLASS, np.nan, found), places, numbers if kind == NUMBER else np.where(
                holes, np.nan, classes), item.resampling)
            met += np.isfinite(found[found != NO_CLASS]).sum()
    assert met > 50
