"""Every way a raster is read, for tests that hold one written truth against all of them."""

import numpy as np
import pyproj

from pti_plugin.core.rasters.grid import Grid
from pti_plugin.core.rasters.raster import (
    NUMBER,
    Series,
    SourceReader,
    exact_in_float32,
    on_grid,
    read_info,
    scaling,
    source,
    values_at,
)


def ways_in(path, bands=(1, 2, 3)):
    """Yield (name, array of layers in units, NaN = nodata) of every way a raster is read."""
    info = read_info(path)
    items = tuple(source(path, NUMBER, band=band, info=info) for band in bands)
    window = (0, info.grid.height, 0, info.grid.width)
    reader = SourceReader()
    yield "layer by layer", np.stack([reader.read(item, *window) for item in items])
    yield "series", reader.read_series(Series(items), *window)
    if exact_in_float32(info):
        stored = reader.read_series(Series(items, single=True), *window)
        yield "series as stored", np.stack([layer.astype(np.float64) * scaling(item)[0] + scaling(item)[1]
                                            for layer, item in zip(stored, items)])
    yield "sample", np.stack([reader.sample(item, max(info.grid.width, info.grid.height)) for item in items])
    yield "in parts", np.stack([np.concatenate([np.hstack([reader.read(item, row, 1, 0, 2), reader.read(
        item, row, 1, 2, info.grid.width - 2)]) for row in range(info.grid.height)]) for item in items])
    grid = info.grid
    if grid.wkt.startswith("PROJCS"):
        # the same cells in a grid of its own that is three cells larger all round
        a, b = grid.transform[1], grid.transform[5]
        larger = Grid(grid.wkt, (grid.transform[0] - 3 * a, a, 0, grid.transform[3] - 3 * b, 0, b), grid.width + 6,
                      grid.height + 6)
        warped = np.stack([reader.read(on_grid(item, larger), 0, larger.height, 0, larger.width) for item in items])
        inside = np.zeros(warped.shape[1:], dtype=bool)
        inside[3:-3, 3:-3] = True
        assert np.isnan(warped[:, ~inside]).all()
        yield "warped", warped[:, 3:-3, 3:-3]
    reader.close()


def at_points(path, values, bands):
    """Return (values found at some cells' centres, those that are right)."""
    info = read_info(path)
    rng = np.random.default_rng(1)
    rows, columns = rng.integers(0, info.grid.height, 60), rng.integers(0, info.grid.width, 60)
    x0, a, b, y0, d, e = info.grid.transform
    x, y = x0 + a * (columns + 0.5) + b * (rows + 0.5), y0 + d * (columns + 0.5) + e * (rows + 0.5)
    change = pyproj.Transformer.from_crs(info.grid.wkt, "EPSG:4326", always_xy=True)
    longitudes, latitudes = change.transform(x, y)
    back = change.transform(longitudes, latitudes, direction="INVERSE")
    # corners of a square map may lie off the Earth, or a second time on it
    with np.errstate(invalid="ignore"):
        on_earth = np.hypot(back[0] - x, back[1] - y) < 1e-3 * abs(a)
    longitudes, latitudes, rows, columns = (part[on_earth] for part in (longitudes, latitudes, rows, columns))
    found = [values_at(source(path, NUMBER, band=band, info=info), longitudes, latitudes)[0] for band in bands]
    return np.stack(found), values[:, rows, columns]


def assert_every_way(path, values, bands=(1, 2, 3)):
    for name, found in ways_in(path, bands):
        np.testing.assert_allclose(found, values, rtol=2e-7, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(*at_points(path, values, bands), rtol=2e-7, atol=1e-9, err_msg="points")
