"""Folders of products as data centres deliver them: real names, folders, formats and counts, on small grids.

Each writer makes a folder and returns what its layers hold, as an array (layers, rows, columns) in the product's unit
with NaN where there is no value, and what tells the layers apart. ``share`` is the part of the real number of files.
"""

import os
import zipfile
from calendar import monthrange
from collections import namedtuple
from datetime import date, timedelta
from pathlib import Path

import numpy as np

import products as p
from support import write_raster

Delivered = namedtuple("Delivered", "values times files")
Delivered.__doc__ = """Values by layer, what names each (a year, (year, month) or a date), and the number of files."""

#: cells along and across the small grids
COLUMNS, ROWS = 24, 12
GLOBAL = (-180.0, 360 / COLUMNS, 0.0, 90.0, 0.0, -180 / ROWS)
EASE2 = (-9e6, 1.8e7 / ROWS, 0.0, 9e6, 0.0, -1.8e7 / ROWS)
RUBBISH = ("CHECKSUMS.md5", "Thumbs.db", "00README.txt", ".listing")


def _random(*seed):
    return np.random.default_rng(seed)


def _rubbish(folder):
    """Leave beside the data what portals and systems leave."""
    for name in RUBBISH:
        (Path(folder) / name).write_text("x", encoding="utf-8")


def snow(folder, share=1.0):
    """MOD10CM: 300 months as HDF4 in folders by year; flags in a tenth of the cells, an older production of one."""
    months = [(year, month) for year in range(2001, 2026) for month in range(1, 13)][:max(36, round(300 * share))]
    values = []
    for year, month in months:
        rng = _random(year, month)
        stored = rng.integers(0, 101, (ROWS, COLUMNS)).astype("uint8")
        flagged = rng.random(stored.shape) < 0.1
        stored[flagged] = rng.choice([211, 250, 253, 254, 255], flagged.sum())
        place = Path(folder) / str(year)
        place.mkdir(parents=True, exist_ok=True)
        name = f"MOD10CM.A{year}{date(year, month, 1).timetuple().tm_yday:03d}.061"
        _hdf_eos(place / f"{name}.2021039000000.hdf", "MOD_CMG_Snow_5km", "Snow_Cover_Monthly_CMG", stored, {
            "long_name": "Monthly snow cover extent, 5km", "units": "none", "_FillValue": np.uint8(255)},
            p.GEOGRAPHIC_CORNERS)
        values.append(np.where(stored > 100, np.nan, stored))
    first = Path(folder) / "2001" / "MOD10CM.A2001001.061.2020001000000.hdf"
    _hdf_eos(first, "MOD_CMG_Snow_5km", "Snow_Cover_Monthly_CMG", np.full((ROWS, COLUMNS), 7, "uint8"), {},
             p.GEOGRAPHIC_CORNERS)
    _rubbish(folder)
    return Delivered(np.array(values), months, len(months) + 1)


def _hdf_eos(path, grid, name, stored, about, corners, **projection):
    p.write_hdf_eos_grid(path, grid, corners, {name: (stored, about)}, **projection)


def permafrost(folder):
    """Permafrost_CCI version 5: 25 years of the fraction as netCDF, in the archive's folders; none is nodata."""
    latitude = 85.0 - 60.0 * (np.arange(ROWS) + 0.5) / ROWS
    longitude = -180.0 + 360.0 * (np.arange(COLUMNS) + 0.5) / COLUMNS
    years, values = list(range(1997, 2022)), []
    for year in years:
        rng = _random(year)
        stored = rng.integers(0, 101, (ROWS, COLUMNS)).astype("uint8")
        stored[rng.random(stored.shape) < 0.3] = 255
        source = "MODISLST_CRYOGRID" if year >= 2003 else "ERA5_MODISLST_BIASCORRECTED"
        place = Path(folder) / "v05.0" / "northern_hemisphere" / str(year)
        place.mkdir(parents=True)
        time = p.Variable("time", ("time",), np.array([p.days(year, 7, 1)]), {
            "standard_name": "time", "units": "days since 1970-01-01 00:00:00", "calendar": "standard"})
        # rows from the south, as the archive has them
        variables = [time, p.Variable("lat", ("lat",), latitude[::-1], {"standard_name": "latitude",
                                                                        "units": "degrees_north"}),
                     p.Variable("lon", ("lon",), longitude, {"standard_name": "longitude", "units": "degrees_east"}),
                     p.Variable("PFR", ("time", "lat", "lon"), stored[np.newaxis, ::-1], {"units": "percent"}, 255),
                     p.Variable("PFR_uncertainty", ("time", "lat", "lon"), stored[np.newaxis, ::-1] * 0, {}, 255)]
        p.write_netcdf(place / f"ESACCI-PERMAFROST-L4-PFR-{source}-AREA4_PP-{year}-fv05.0.nc",
                       {"time": None, "lat": ROWS, "lon": COLUMNS}, variables)
        # no permafrost is stored as nodata
        values.append(np.where(stored == 255, 0.0, stored))
    _rubbish(folder)
    return Delivered(np.array(values), years, len(years))


def freeze_thaw(folder, ending, share=1.0):
    """PER-FT: 20 years of days as GeoTIFF or HDF5, by year; codes 0 to 3 and masks, HDF5 without georeference."""
    import h5py

    where = p.cells(EASE2, ROWS, ROWS, p.EASE2_NORTH)
    first, days = date(2003, 1, 1), max(730, round(7300 * share))
    values, times = [], [first + timedelta(number) for number in range(days)]
    for day in times:
        rng = _random(day.toordinal())
        stored = rng.integers(0, 4, (ROWS, ROWS)).astype("uint8")
        masked = rng.random(stored.shape) < 0.02
        stored[masked] = rng.choice([252, 253, 254, 255], masked.sum())
        place = Path(folder) / str(day.year)
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"AMSR_36V_CO_FT_{day.year}_day{day.timetuple().tm_yday:03d}_v04.{ending}"
        if ending == "tif":
            write_raster(path, stored, crs=p.EASE2_NORTH, transform=EASE2)
        else:
            with h5py.File(path, "w") as file:
                file.create_dataset("FT", data=stored)
                file.create_dataset("cell_lat", data=where.latitude.astype("float32"))
                file.create_dataset("cell_lon", data=where.longitude.astype("float32"))
        values.append(np.where(stored > 3, np.nan, stored))
    _rubbish(folder)
    return Delivered(np.array(values), times, days)


def greenness(folder, share=1.0):
    """GLASS NDVI: 46 composites of 25 years as HDF4 in folders by year, without scale and fill in the file."""
    dates = [(year, 1 + 8 * place) for year in range(2000, 2025) for place in range(46)][:max(92, round(1150 * share))]
    values = []
    for year, day in dates:
        rng = _random(year, day)
        stored = rng.integers(-1000, 9001, (ROWS, COLUMNS)).astype("int16")
        stored[rng.random(stored.shape) < 0.1] = 25500
        place = Path(folder) / "NDVI" / "MODIS" / "0.05" / str(year)
        place.mkdir(parents=True, exist_ok=True)
        _hdf_eos(place / f"GLASS13B01.V10.A{year}{day:03d}.2023068.hdf", "GLASS13B01", "NDVI", stored,
                 {"long_name": "NDVI", "fillvalue": np.int16(25500)}, p.GEOGRAPHIC_CORNERS)
        values.append(np.where(stored == 25500, np.nan, stored * 1e-4))
    _rubbish(folder)
    return Delivered(np.array(values), dates, len(dates))


#: tiles of the MODIS grid, and cells along each
TILES, TILE_CELLS = ((20, 1), (20, 2), (21, 2)), 6


def surface_temperature(folder, share=1.0):
    """GLASS LST: a year of daily tiles in folders by year and day, K as uint16 x 0.01; one tile is missing on a day."""
    days = [date(2001, 1, 1) + timedelta(number) for number in range(max(59, round(365 * share)))]
    values = np.full((len(days), 2 * TILE_CELLS, 2 * TILE_CELLS), np.nan)
    files = 0
    for number, day in enumerate(days):
        yday = day.timetuple().tm_yday
        place = Path(folder) / "2001" / f"{yday:03d}"
        place.mkdir(parents=True)
        for column, row in TILES:
            if yday == 40 and (column, row) == (21, 2):
                continue
            rng = _random(yday, column, row)
            stored = rng.integers(23000, 30001, (TILE_CELLS, TILE_CELLS)).astype("uint16")
            stored[rng.random(stored.shape) < 0.2] = 0
            left, top = (column - 18) * p.MODIS_TILE, (9 - row) * p.MODIS_TILE
            _hdf_eos(place / f"GLASS06A01.V01.A2001{yday:03d}.h{column:02d}v{row:02d}.2022021.hdf", "GLASS06A01", "LST",
                     stored, {"units": "K", "_FillValue": np.uint16(0), "scale_factor": np.float64(0.01),
                              "add_offset": np.float64(0.0)},
                     (left, top, left + p.MODIS_TILE, top - p.MODIS_TILE), projection="GCTP_SNSOID",
                     parameters=[f"ProjParams=({p.MODIS_RADIUS:.6f},{','.join('0' * 12)})", "SphereCode=-1"])
            across, down = (column - 20) * TILE_CELLS, (row - 1) * TILE_CELLS
            values[number, down:down + TILE_CELLS, across:across + TILE_CELLS] = np.where(
                stored == 0, np.nan, stored * 0.01 - 273.15)
            files += 1
    _rubbish(folder)
    return Delivered(values, days, files)


DEPTHS = ((0, 5), (5, 15), (15, 30), (30, 60), (60, 100))


def soil(folder, ending):
    """SoilGrids: four properties at five depths, as GeoTIFF, or as VRT over tiles of GeoTIFF as the maker delivers."""
    from osgeo import gdal

    values = {}
    for place, (name, factor) in enumerate(p.SOILGRIDS_FACTORS.items()):
        low, high = p.SOILGRIDS_RANGES[name]
        layers = _random(place).integers(low, high + 1, (5, ROWS, COLUMNS)).astype("int16")
        layers[:, 0, :3] = -32768
        for layer, (top, bottom) in zip(layers, DEPTHS):
            stem = f"{name}_{top}-{bottom}cm_mean"
            if ending == "tif":
                write_raster(Path(folder) / f"{stem}.tif", layer, nodata=-32768, crs=p.SOILGRIDS_CRS, transform=(
                    -2e6, 1e5, 0, 8e6, 0, -1e5))
                continue
            inside = Path(folder) / stem
            inside.mkdir(parents=True)
            halves = [write_raster(inside / f"tile_{half}.tif", layer[:, half * 12:half * 12 + 12], nodata=-32768,
                                   crs=p.SOILGRIDS_CRS, transform=(-2e6 + half * 12e5, 1e5, 0, 8e6, 0, -1e5))
                      for half in (0, 1)]
            gdal.BuildVRT(os.fspath(Path(folder) / f"{stem}.vrt"), halves).FlushCache()
        values[name] = np.where(layers == -32768, np.nan, layers / factor)
    return values


def month_lengths(year):
    """Return the number of days of the months of a year."""
    return [monthrange(year, month)[1] for month in range(1, 13)]


def zipped(path, *members):
    """Write a zip of (name inside, file) pairs and return its path."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name, source in members:
            file.write(source, name)
    return os.fspath(path)
