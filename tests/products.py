"""Writers of small files that are built like the products of section 1 of the method, rows I1 to I14.

Each writer makes a file under the name the data centre gives it, with the product's variables, data types, scale, fill
values, flags and CRS, on the product's extent but with cells some 50 to 100 times as wide, and returns its path as str.
``values`` is a function of longitude and latitude (degrees, arrays) that gives the true values in the product's
physical unit, NaN where there are none; a writer's default covers the product's range with ``field`` or its codes with
``classes``. ``area(0)`` holds nodata whatever the values, ``area(1)``, ``area(2)`` … the product's flags in ascending
order. The docstrings say what is assumed; the rest is as the readers and pages of the real files describe it.
"""

import os
from collections import namedtuple
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np

from support import write_raster

LONGITUDE_LATITUDE = "EPSG:4326"
#: of the whole earth, in lines from the north
DEGREE = (-180.0, 1.0, 0.0, 90.0, 0.0, -1.0)
HALF_DEGREE = (-180.0, 0.5, 0.0, 90.0, 0.0, -0.5)
#: 180° W, 90° N, 180° E, 90° S as HDF-EOS writes them: degrees, minutes and seconds in one number
GEOGRAPHIC_CORNERS = (-180000000.0, 90000000.0, 180000000.0, -90000000.0)

CCI_V3_CRS = "+proj=stere +lat_0=90 +lat_ts=71 +lon_0=0 +datum=WGS84 +units=m +no_defs"
#: width in metres of a real cell, and the centre of the first one
CCI_V3_CELL, CCI_V3_FIRST = 926.625433138333, (-6111475.22239475, 4114895.09469662)
#: of the sphere of EASE-Grid 1, on which the IPA map is drawn
IPA_CRS = "+proj=laea +lat_0=90 +lon_0=0 +R=6371228 +units=m +no_defs"
IPA_CELL = 12533.7625
GLCC_CRS = "+proj=igh +R=6370997 +units=m +no_defs"
CAVM_CRS = "+proj=laea +lat_0=90 +lon_0=180 +datum=WGS84 +units=m +no_defs"
SOILGRIDS_CRS = "ESRI:54052"
MODIS_RADIUS = 6371007.181
MODIS_CRS = f"+proj=sinu +R={MODIS_RADIUS} +units=m +no_defs"
#: width of a tile of the MODIS sinusoidal grid, m
MODIS_TILE = np.pi * MODIS_RADIUS / 18
EASE2_NORTH = "EPSG:6931"
ARCTIC_STEREOGRAPHIC = "EPSG:3995"

PERMAFROST_DEPTHS = {"GST": 0.0, "T1m": 1.0, "T2m": 2.0, "T5m": 5.0, "T10m": 10.0}
LANDCOVER_CODES = (10, 11, 12, 20, 30, 40, 50, 60, 61, 62, 70, 71, 72, 80, 81, 82, 90, 100, 110, 120, 121, 122, 130,
                   140, 150, 151, 152, 153, 160, 170, 180, 190, 200, 201, 202, 210, 220)
CAVM_CODES = (1, 2, 3, 4, 5, 21, 22, 23, 24, 31, 32, 33, 34, 41, 42, 43, 91, 92, 93, 99)
GLCC_CODES = tuple(range(1, 97))
IPA_CODES = tuple(range(1, 26))
PEAT_CODES = (1, 255, 2, 255)
SNOW_FLAGS = (211, 250, 253, 254)
FREEZE_THAW_FLAGS = (252, 253, 254)

Cells = namedtuple("Cells", "longitude latitude transform crs")
Cells.__doc__ = """Centres in degrees as (rows, columns), NaN outside the domain of the projection, and their grid."""


def field(longitude, latitude, low, high):
    """Return a number between ``low`` and ``high`` that varies smoothly all over the earth, over pole and date line."""
    longitude, latitude = np.radians(longitude), np.radians(latitude)
    x, y, z = np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)
    return low + (high - low) * (0.5 + 0.25 * (np.sin(2.2 * x + 0.7) + np.cos(2.7 * y - z)))


def classes(longitude, latitude, codes):
    """Return one of ``codes`` by equal sectors of longitude from 180° W, the first one there; NaN stays NaN."""
    longitude = np.asarray(longitude, dtype="float64")
    outside = np.isnan(longitude)
    sector = np.floor((np.where(outside, 0.0, longitude) + 180.0) / 360.0 * len(codes)).astype(int)
    found = np.asarray(codes, dtype="float64")[np.clip(sector, 0, len(codes) - 1)]
    return np.where(outside | np.isnan(latitude), np.nan, found)


def area(number):
    """Return west, south, east, north of the area with nodata (0) or with the flag of that number, up to 14."""
    west = -176.0 + 24.0 * number
    return west, 58.0, west + 16.0, 70.0


def in_area(longitude, latitude, number):
    """Return where a place lies in ``area(number)``."""
    west, south, east, north = area(number)
    return (longitude >= west) & (longitude <= east) & (latitude >= south) & (latitude <= north)


@lru_cache(maxsize=32)
def cells(transform, columns, rows, crs):
    """Return the Cells of a grid, read-only; ``crs`` is what GDAL understands."""
    from osgeo import osr

    grid, earth = osr.SpatialReference(), osr.SpatialReference()
    if grid.SetFromUserInput(crs) != 0:
        raise ValueError(f"unknown CRS {crs}")
    earth.SetFromUserInput(LONGITUDE_LATITUDE)
    x = transform[0] + transform[1] * (np.arange(columns) + 0.5)
    y = transform[3] + transform[5] * (np.arange(rows) + 0.5)
    x, y = np.meshgrid(x, y)
    if grid.IsGeographic():
        return Cells(_fixed(x), _fixed(y), transform, crs)
    metres = np.column_stack([x.ravel(), y.ravel()])
    places = _transformed(metres, grid, earth)
    # Some inverse projections answer outside their domain too, with a place that lies elsewhere.
    again = _transformed(places, earth, grid)
    places[~(np.hypot(*(again - metres).T) < 1.0)] = np.nan
    longitude, latitude = (_fixed(column.reshape(x.shape)) for column in places.T)
    return Cells(longitude, latitude, transform, crs)


def _fixed(array):
    array.setflags(write=False)
    return array


def _transformed(points, source, target):
    """Return (n, 2) points in another SpatialReference, NaN where there is none or it was NaN."""
    from osgeo import gdal, osr

    for system in (source, target):
        system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    found = np.full(points.shape, np.nan)
    known = np.isfinite(points).all(axis=1)
    raising = osr.GetUseExceptions()
    # A point outside the domain is an answer here, not an error.
    osr.DontUseExceptions()
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    try:
        transformation = osr.CoordinateTransformation(source, target)
        found[known] = np.array(transformation.TransformPoints(points[known].tolist()))[:, :2]
    finally:
        gdal.PopErrorHandler()
        if raising:
            osr.UseExceptions()
    found[~np.isfinite(found).all(axis=1)] = np.nan
    return found


def stored(where, values, dtype, fill, scale=1.0, offset=0.0, flags=()):
    """Return ``values`` as the file holds them: packed, with ``fill`` in area 0 and each flag in its own area.

    An integer ``dtype`` rounds; ``fill`` None leaves 0 there.
    """
    with np.errstate(invalid="ignore"):
        found = (np.asarray(values(where.longitude, where.latitude), dtype="float64") - offset) / scale
    empty = np.isnan(found) | np.isnan(where.longitude) | in_area(where.longitude, where.latitude, 0)
    if np.dtype(dtype).kind in "iu":
        found = np.rint(np.where(empty, 0.0, found))
    packed = np.where(empty, 0 if fill is None else fill, found).astype(dtype)
    for number, flag in enumerate(flags, start=1):
        packed[in_area(where.longitude, where.latitude, number)] = flag
    return packed


def ranging(low, high):
    """Return ``values`` that go from ``low`` to ``high``."""
    return lambda longitude, latitude: field(longitude, latitude, low, high)


def one_of(codes):
    """Return ``values`` that take every one of ``codes``."""
    return lambda longitude, latitude: classes(longitude, latitude, codes)


def sevenths(longitude, latitude):
    """Return a permafrost fraction as the CCI's seven ensemble members give it, %, NaN where all say there is none."""
    members = np.rint(field(longitude, latitude, -1.5, 8.5)).clip(0, 7)
    return np.where(members > 0, members / 7.0 * 100.0, np.nan)


# the containers -----------------------------------------------------------------------------------------------------

Variable = namedtuple("Variable", "name dimensions values attributes fill", defaults=(None,))
Variable.__doc__ = """A variable of a netCDF file: the values as stored, and the attributes beside _FillValue."""


def write_netcdf(path, sizes, variables, attributes=None):
    """Write a netCDF-4 file of Variables; ``sizes`` is {dimension: length}, None for the unlimited one."""
    from netCDF4 import Dataset

    with Dataset(os.fspath(path), "w", format="NETCDF4") as file:
        for name, size in sizes.items():
            file.createDimension(name, size)
        for variable in variables:
            values = np.asarray(variable.values)
            made = file.createVariable(variable.name, values.dtype, variable.dimensions, fill_value=variable.fill,
                                       zlib=values.ndim > 1)
            made.set_auto_maskandscale(False)
            made.setncatts(variable.attributes)
            if variable.dimensions:
                made[:] = values
            else:
                made.assignValue(values)
        file.setncatts({"Conventions": "CF-1.7", **(attributes or {})})
    return os.fspath(path)


def days(year, month=1, day=1, since=(1970, 1, 1)):
    """Return the days from ``since`` to a date."""
    return float((date(year, month, day) - date(*since)).days)


def centres(where):
    """Return x and y of the centres of the columns and of the rows."""
    rows, columns = where.longitude.shape
    x0, width, _, y0, _, height = where.transform
    return x0 + width * (np.arange(columns) + 0.5), y0 + height * (np.arange(rows) + 0.5)


def write_hdf4(path, values, name, attributes):
    """Write one scientific data set, and nothing else, into an HDF4 file."""
    from pyhdf.SD import SD, SDC

    file = SD(os.fspath(path), SDC.WRITE | SDC.CREATE | SDC.TRUNC)
    _data_set(file, name, values, attributes).endaccess()
    file.end()
    return os.fspath(path)


def write_hdf_eos_grid(path, grid, corners, fields, projection="GCTP_GEO", parameters=None):
    """Write an HDF-EOS2 grid: an HDF4 file with the group and the text block that tell EOS readers where it lies.

    ``corners`` are left, top, right, bottom as the block wants them (packed degrees, or metres), ``fields`` is
    {name: (values as stored, attributes)}, ``parameters`` the projection's lines of the block.
    """
    from pyhdf.HDF import HC, HDF
    from pyhdf.SD import SD, SDC
    from pyhdf.V import V  # noqa: F401  the module gives HDF its vgstart

    rows, columns = next(iter(fields.values()))[0].shape
    file = SD(os.fspath(path), SDC.WRITE | SDC.CREATE | SDC.TRUNC)
    references = []
    for name, (values, attributes) in fields.items():
        made = _data_set(file, name, values, attributes, f":{grid}")
        references.append(made.ref())
        made.endaccess()
    file.attr("HDFEOSVersion").set(SDC.CHAR, "HDFEOS_V2.19")
    types = {name: f"DFNT_{np.asarray(values).dtype.name.upper()}" for name, (values, _) in fields.items()}
    block = _structure(grid, columns, rows, corners, types, projection, parameters)
    file.attr("StructMetadata.0").set(SDC.CHAR, block)
    file.end()

    file = HDF(os.fspath(path), HC.WRITE)
    groups = file.vgstart()
    data, about, whole = (groups.create(name) for name in ("Data Fields", "Grid Attributes", grid))
    data._class = about._class = "GRID Vgroup"
    whole._class = "GRID"
    for reference in references:
        data.add(HC.DFTAG_NDG, reference)
    whole.insert(data)
    whole.insert(about)
    for group in (data, about, whole):
        group.detach()
    groups.end()
    file.close()
    return os.fspath(path)


def _data_set(file, name, values, attributes, suffix=""):
    from pyhdf.SD import SDC

    values = np.ascontiguousarray(values)
    made = file.create(name, getattr(SDC, values.dtype.name.upper()), values.shape)
    for number, dimension in enumerate(("YDim", "XDim")):
        made.dim(number).setname(dimension + suffix)
    for key, value in attributes.items():
        if isinstance(value, str):
            made.attr(key).set(SDC.CHAR, value)
        else:
            numbers = np.atleast_1d(value)
            kind = getattr(SDC, numbers.dtype.name.upper())
            made.attr(key).set(kind, numbers.tolist() if numbers.size > 1 else numbers[0].item())
    made[:] = values
    return made


def _structure(grid, columns, rows, corners, types, projection, parameters):
    """The text block StructMetadata.0 of a file with one grid."""
    left, top, right, bottom = corners
    lines = ["GROUP=SwathStructure", "END_GROUP=SwathStructure", "GROUP=GridStructure", "\tGROUP=GRID_1",
             f'\t\tGridName="{grid}"', f"\t\tXDim={columns}", f"\t\tYDim={rows}",
             f"\t\tUpperLeftPointMtrs=({left:.6f},{top:.6f})", f"\t\tLowerRightMtrs=({right:.6f},{bottom:.6f})",
             f"\t\tProjection={projection}", *(f"\t\t{line}" for line in parameters or ()),
             "\t\tGridOrigin=HDFE_GD_UL", "\t\tGROUP=Dimension", "\t\tEND_GROUP=Dimension", "\t\tGROUP=DataField"]
    for number, (name, kind) in enumerate(types.items(), start=1):
        lines += [f"\t\t\tOBJECT=DataField_{number}", f'\t\t\t\tDataFieldName="{name}"', f"\t\t\t\tDataType={kind}",
                  '\t\t\t\tDimList=("YDim","XDim")', f"\t\t\tEND_OBJECT=DataField_{number}"]
    lines += ["\t\tEND_GROUP=DataField", "\t\tGROUP=MergedFields", "\t\tEND_GROUP=MergedFields", "\tEND_GROUP=GRID_1",
              "END_GROUP=GridStructure", "GROUP=PointStructure", "END_GROUP=PointStructure", "END", ""]
    return "\n".join(lines)


def write_raw(path, values, x, y, width):
    """Write bytes without any header and an ESRI header beside them; ``x``, ``y``: centre of the first cell."""
    path = Path(path)
    rows, columns = values.shape
    path.write_bytes(np.ascontiguousarray(values, dtype="uint8").tobytes())
    path.with_suffix(".hdr").write_text(f"nrows {rows}\nncols {columns}\nnbits 8\nbyteorder I\nulxmap {x!r}\n"
                                        f"ulymap {y!r}\nxdim {width!r}\nydim {width!r}\n", encoding="ascii")
    return os.fspath(path)


def _geotiff(path, where, values, nodata=None, **more):
    return write_raster(path, values, nodata=nodata, crs=where.crs, transform=where.transform,
                        options=["COMPRESS=DEFLATE"], **more)


# I1 Obu, I2 NIEER ---------------------------------------------------------------------------------------------------

def obu(folder, layer="PERPROB", values=None):
    """The map of Obu et al. 2019: ``layer`` PERPROB, a fraction of 1, or MAGTM, °C; EPSG:3995.

    Assumed: 32-bit floats with nodata -9999.
    """
    day = {"PERPROB": 20181128, "MAGTM": 20181127}[layer]
    where = cells((-6e6, 50000.0, 0.0, 6e6, 0.0, -50000.0), 240, 240, ARCTIC_STEREOGRAPHIC)
    values = values or {"PERPROB": ranging(0.0, 1.0), "MAGTM": ranging(-15.0, 0.0)}[layer]
    path = Path(folder) / f"UiO_PEX_{layer}_5.0_{day}_2000_2016_NH.tif"
    return _geotiff(path, where, stored(where, values, "float32", -9999.0), -9999.0)


def nieer(folder, layer="MAGT", values=None):
    """The maps of Ran et al. 2022: ``layer`` probability (fraction of 1), MAGT (°C) or ALT (m).

    Assumed: names, longitude and latitude, 32-bit floats with nodata -9999. The published names were not found.
    """
    where = cells((-180.0, 1.0, 0.0, 85.0, 0.0, -1.0), 360, 65, LONGITUDE_LATITUDE)
    low, high = {"probability": (0.0, 1.0), "MAGT": (-15.0, 10.0), "ALT": (0.2, 4.0)}[layer]
    path = Path(folder) / f"NIEER_NH_{layer}_2000_2016.tif"
    return _geotiff(path, where, stored(where, values or ranging(low, high), "float32", -9999.0), -9999.0)


# I3 Permafrost_CCI --------------------------------------------------------------------------------------------------

def cci_permafrost_v3(folder, variable="PFR", year=2005, values=None, kelvin=False, coarser=50):
    """Permafrost_CCI version 3: netCDF, polar stereographic with true scale at 71° N.

    ``variable``: PFR (%), ALT (m) or GTD (°C, or K with ``kelvin``), whose file holds five depths: ``values`` is the
    one of T2m, and each metre deeper is 0.1 °C warmer. Cells are ``coarser`` times as wide as the real ones. Assumed:
    GTD as int16 × 0.01, PFR as whole per cent.
    """
    step = coarser * CCI_V3_CELL
    left, top = CCI_V3_FIRST[0] - CCI_V3_CELL / 2, CCI_V3_FIRST[1] + CCI_V3_CELL / 2
    where = cells((left, step, 0.0, top, 0.0, -step), 14762 // coarser, 10353 // coarser, CCI_V3_CRS)
    x, y = centres(where)
    axes = [Variable("x", ("x",), x, {"standard_name": "projection_x_coordinate", "units": "m",
                                      "long_name": "x coordinate of projection"}),
            Variable("y", ("y",), y, {"standard_name": "projection_y_coordinate", "units": "m",
                                      "long_name": "y coordinate of projection"})]
    mapping = Variable("polar_stereographic", (), np.int32(0), {
        "grid_mapping_name": "polar_stereographic", "straight_vertical_longitude_from_pole": 0.0,
        "false_easting": 0.0, "false_northing": 0.0, "latitude_of_projection_origin": 90.0, "standard_parallel": 71.0,
        "longitude_of_prime_meridian": 0.0, "semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563})
    data = _permafrost(where, ("time", "y", "x"), variable, mapping.name, values, kelvin)
    return _cci_permafrost(folder, variable, year, "03.0", {"y": y.size, "x": x.size}, [*axes, mapping, *data])


def cci_permafrost_v4(folder, variable="PFR", year=2005, values=None, kelvin=False, version="04.0"):
    """Permafrost_CCI versions 4 and 5 (``version`` "05.0"): as version 3, but 0.01° cells from 25° to 85° N, the rows
    from the south."""
    where = cells((-180.0, 0.5, 0.0, 25.0, 0.0, 0.5), 720, 120, LONGITUDE_LATITUDE)
    longitude, latitude = centres(where)
    axes = [Variable("lon", ("lon",), longitude, {"standard_name": "longitude", "units": "degrees_east"}),
            Variable("lat", ("lat",), latitude, {"standard_name": "latitude", "units": "degrees_north"})]
    mapping = Variable("spatial_ref", (), np.int32(0), {
        "grid_mapping_name": "latitude_longitude", "longitude_of_prime_meridian": 0.0, "semi_major_axis": 6378137.0,
        "inverse_flattening": 298.257223563})
    data = _permafrost(where, ("time", "lat", "lon"), variable, mapping.name, values, kelvin)
    sizes = {"lat": latitude.size, "lon": longitude.size}
    return _cci_permafrost(folder, variable, year, version, sizes, [*axes, mapping, *data])


def _cci_permafrost(folder, variable, year, version, sizes, variables):
    source = "MODISLST_CRYOGRID" if year >= 2003 else "ERA5_MODISLST_BIASCORRECTED"
    time = Variable("time", ("time",), np.array([days(year, 7, 1)]),
                    {"standard_name": "time", "units": "days since 1970-01-01 00:00:00", "calendar": "standard"})
    path = Path(folder) / f"ESACCI-PERMAFROST-L4-{variable}-{source}-AREA4_PP-{year}-fv{version}.nc"
    return write_netcdf(path, {"time": None, **sizes}, [time, *variables],
                        {"time_coverage_start": f"{year}0101T000000Z", "time_coverage_end": f"{year}1231T235959Z"})


def _permafrost(where, dimensions, variable, mapping, values, kelvin):
    """The Variables with data of a Permafrost_CCI file, each followed by its uncertainty."""
    if variable == "GTD":
        values = values or ranging(-12.0, 6.0)
        zero, unit = (273.15, "K") if kelvin else (0.0, "celsius")
        layers = {name: lambda longitude, latitude, depth=depth:
                  values(longitude, latitude) + 0.1 * (depth - PERMAFROST_DEPTHS["T2m"]) + zero
                  for name, depth in PERMAFROST_DEPTHS.items()}
        dtype, fill, scale = "int16", -32768, 0.01
    elif variable == "PFR":
        layers, unit, dtype, fill, scale = {"PFR": values or sevenths}, "percent", "uint8", 255, None
    else:
        layers, unit, dtype, fill, scale = {"ALT": values or ranging(0.2, 4.0)}, "metres", "uint16", 65535, 0.01
    packing = {} if scale is None else {"scale_factor": np.float32(scale), "add_offset": np.float32(0.0)}
    shared = {"units": unit, "grid_mapping": mapping, **packing}
    found = []
    for name, layer in layers.items():
        packed = stored(where, layer, dtype, fill, scale or 1.0)
        found.append(Variable(name, dimensions, packed[np.newaxis],
                              {**shared, "ancillary_variables": f"{name}_uncertainty"}, fill))
        spread = np.where(packed == np.array(fill, dtype), packed, np.array(1, dtype))
        found.append(Variable(f"{name}_uncertainty", dimensions, spread[np.newaxis], shared, fill))
    return found


# I4 IPA map ---------------------------------------------------------------------------------------------------------

def ipa(folder, values=None):
    """The IPA map as bytes with an ESRI header and no CRS, nhipa.byte and nhipa.hdr; codes 1 to 25, 0 outside."""
    step, half = 10 * IPA_CELL, 72
    edge = -(half + 0.5) * step
    where = cells((edge, step, 0.0, -edge, 0.0, -step), 2 * half + 1, 2 * half + 1, IPA_CRS)
    codes = stored(where, values or one_of(IPA_CODES), "uint8", 0)
    codes[where.latitude < 20.0] = 0
    return write_raw(Path(folder) / "nhipa.byte", codes, -half * step, half * step, step)


# I5 LandCover_CCI ---------------------------------------------------------------------------------------------------

def landcover_cci_netcdf(folder, year=2020, values=None):
    """LandCover_CCI of one year as netCDF: classes in lccs_class beside four layers on quality.

    Before 2016 the ESA name with version 2.0.7, else the C3S one. The variable crs has a WKT, but no CF grid mapping.
    0 is no data and not declared as such.
    """
    where = cells(HALF_DEGREE, 720, 360, LONGITUDE_LATITUDE)
    longitude, latitude = centres(where)
    grid = ("time", "lat", "lon")
    codes = stored(where, values or one_of(LANDCOVER_CODES), "uint8", None)[np.newaxis]
    flags = np.array((0, *LANDCOVER_CODES), "uint8")
    about = {"long_name": "Land cover class defined in LCCS", "standard_name": "land_cover_lccs",
             "flag_values": flags, "valid_min": np.uint8(1), "valid_max": flags[-1],
             "flag_meanings": " ".join(["no_data", *(f"class_{code}" for code in LANDCOVER_CODES)]),
             "ancillary_variables": "processed_flag current_pixel_state observation_count change_count"}
    land = (codes != 0).astype("int8")
    since = {"standard_name": "time", "units": "days since 1970-01-01 00:00:00", "calendar": "gregorian"}
    variables = [
        Variable("time", ("time",), np.array([days(year)]), {**since, "bounds": "time_bounds"}),
        Variable("lat", ("lat",), latitude, {"standard_name": "latitude", "units": "degrees_north",
                                             "bounds": "lat_bounds"}),
        Variable("lon", ("lon",), longitude, {"standard_name": "longitude", "units": "degrees_east",
                                              "bounds": "lon_bounds"}),
        Variable("lccs_class", grid, codes, about),
        Variable("processed_flag", grid, land, {"long_name": "LC map processed area flag",
                                                "flag_values": np.array([0, 1], "int8")}, -1),
        Variable("current_pixel_state", grid, land, {"long_name": "LC pixel type mask"}, -1),
        Variable("observation_count", grid, land.astype("uint16"), {"long_name": "number of valid observations"}),
        Variable("change_count", grid, land.astype("uint8"), {"long_name": "number of class changes"}),
        Variable("crs", (), np.int32(0), {"wkt": _wkt(LONGITUDE_LATITUDE), "i2m": "0.5,0.0,0.0,-0.5,-180.0,90.0"}),
        Variable("time_bounds", ("time", "bounds"), np.array([[days(year), days(year, 12, 31)]]), {}),
        Variable("lat_bounds", ("lat", "bounds"), np.column_stack([latitude + 0.25, latitude - 0.25]), {}),
        Variable("lon_bounds", ("lon", "bounds"), np.column_stack([longitude - 0.25, longitude + 0.25]), {})]
    sizes = {"time": None, "lat": latitude.size, "lon": longitude.size, "bounds": 2}
    return write_netcdf(Path(folder) / f"{_landcover_name(year)}{'cds' if year < 2016 else ''}.nc", sizes, variables)


def landcover_cci_geotiff(folder, year=2015, values=None):
    """LandCover_CCI of one year as GeoTIFF, without a nodata value; 0 is no data."""
    where = cells(HALF_DEGREE, 720, 360, LONGITUDE_LATITUDE)
    codes = stored(where, values or one_of(LANDCOVER_CODES), "uint8", None)
    return _geotiff(Path(folder) / f"{_landcover_name(year)}.tif", where, codes)


def _landcover_name(year):
    return (f"ESACCI-LC-L4-LCCS-Map-300m-P1Y-{year}-v2.0.7" if year < 2016 else
            f"C3S-LC-L4-LCCS-Map-300m-P1Y-{year}-v2.1.1")


def _wkt(crs):
    from osgeo import osr

    system = osr.SpatialReference()
    system.SetFromUserInput(crs)
    return system.ExportToWkt()


# I6 GLCC, I7 CAVM ---------------------------------------------------------------------------------------------------

def glcc_goode(folder, values=None, crs=GLCC_CRS):
    """GLCC Global Ecosystems as GeoTIFF in Goode's homolosine on a sphere, 0 between the lobes and no nodata value.

    Codes 1 to 96, 99 in area 1 and 100 in area 2; area 0 is 0. ``crs`` None or another one is what the file claims.
    """
    where = cells((-20015500.0, 100000.0, 0.0, 8673500.0, 0.0, -100000.0), 400, 173, GLCC_CRS)
    codes = stored(where, values or one_of(GLCC_CODES), "uint8", None, flags=(99, 100))
    return _geotiff(Path(folder) / "gbogeg20.tif", where._replace(crs=crs), codes)


def glcc_raw(folder, values=None):
    """GLCC Global Ecosystems as bytes in longitude and latitude with an ESRI header, without a CRS; codes as above."""
    where = cells(DEGREE, 360, 180, LONGITUDE_LATITUDE)
    codes = stored(where, values or one_of(GLCC_CODES), "uint8", 100, flags=(99, 100))
    return write_raw(Path(folder) / "gbogegeo20.img", codes, -179.5, 89.5, 1.0)


def cavm(folder, values=None):
    """The raster CAVM, version 2, whose file is still called version 1: LAEA about 180°, nodata 127.

    Assumed: unsigned bytes and the extent; south of 50° N there is nodata here.
    """
    where = cells((-4.5e6, 50000.0, 0.0, 4.5e6, 0.0, -50000.0), 180, 180, CAVM_CRS)
    codes = stored(where, values or one_of(CAVM_CODES), "uint8", 127)
    codes[where.latitude < 50.0] = 127
    return _geotiff(Path(folder) / "raster_cavm_v1.tif", where, codes, 127)


# I8 PER-FT freeze/thaw ----------------------------------------------------------------------------------------------

def freeze_thaw_name(year, day, extension="tif"):
    """The name of a daily file; assumed after the names of the coarser record of the same makers."""
    return f"AMSR_36V_CO_FT_{year}_day{day:03d}_v02.{extension}"


def freeze_thaw(folder, year=2005, day=1, values=None):
    """The freeze/thaw state of one day as GeoTIFF on EASE-Grid 2.0: 0 to 3, masks 252 to 254, fill 255 (area 0).

    Assumed: the extent, and that no nodata value is set.
    """
    where = _ease2()
    codes = stored(where, values or one_of((0, 1, 2, 3)), "uint8", 255, flags=FREEZE_THAW_FLAGS)
    return _geotiff(Path(folder) / freeze_thaw_name(year, day), where, codes)


def freeze_thaw_hdf5(folder, year=2005, day=1, values=None):
    """The same as HDF5 without georeference, the latitudes and longitudes of the cells beside it; its names assumed."""
    import h5py

    where = _ease2()
    path = Path(folder) / freeze_thaw_name(year, day, "h5")
    codes = stored(where, values or one_of((0, 1, 2, 3)), "uint8", 255, flags=FREEZE_THAW_FLAGS)
    with h5py.File(path, "w") as file:
        made = file.create_dataset("FT", data=codes, compression="gzip")
        made.attrs["_FillValue"] = np.uint8(255)
        file.create_dataset("cell_lat", data=where.latitude.astype("float32"), compression="gzip")
        file.create_dataset("cell_lon", data=where.longitude.astype("float32"), compression="gzip")
        file.create_group("METADATA").attrs["year_day"] = f"{year} {day:03d}"
    return os.fspath(path)


def _ease2():
    return cells((-9e6, 100000.0, 0.0, 9e6, 0.0, -100000.0), 180, 180, EASE2_NORTH)


# I9 MOD10CM ---------------------------------------------------------------------------------------------------------

def mod10cm(folder, year=2001, month=1, values=None, structure=True):
    """MOD10CM of one month, HDF-EOS2: snow cover 0 to 100 %, flags 211, 250, 253, 254 in areas 1 to 4, fill 255.

    ``structure`` False leaves out what places it on the earth, as some tools do that copy such files.
    """
    where = cells(DEGREE, 360, 180, LONGITUDE_LATITUDE)
    cover = stored(where, values or ranging(0.0, 100.0), "uint8", 255, flags=SNOW_FLAGS)
    quality = np.where(cover <= 100, 0, cover).astype("uint8")
    snow = {"long_name": "Monthly snow cover extent, 5km", "units": "none", "format": "I3",
            "valid_range": np.array([0, 100], "uint8"), "_FillValue": np.uint8(255), "Mask_value": np.uint8(254),
            "Night_value": np.uint8(211), "Cell_resolution": "0.05 deg",
            "Key": "0-100=percent of snow, 211=night, 250=cloud, 253=no decision, 254=water mask, 255=fill"}
    day = date(year, month, 1).timetuple().tm_yday
    path = Path(folder) / f"MOD10CM.A{year}{day:03d}.061.2020039000000.hdf"
    if not structure:
        return write_hdf4(path, cover, "Snow_Cover_Monthly_CMG", snow)
    return write_hdf_eos_grid(path, "MOD_CMG_Snow_5km", GEOGRAPHIC_CORNERS, {
        "Snow_Cover_Monthly_CMG": (cover, snow),
        "Snow_Spatial_QA": (quality, {"long_name": "Snow cover per cell QA", "_FillValue": np.uint8(255)})})


# I10 GLASS LST, I11 GLASS NDVI --------------------------------------------------------------------------------------

def glass_lst(folder, year=2001, month=1, values=None):
    """GLASS monthly LST as GeoTIFF, K as uint16 × 0.01 with nodata 0, the scale not stated in the file.

    Assumed but for the scale: the name, the container, the nodata. ``values`` are K.
    """
    where = cells(DEGREE, 360, 180, LONGITUDE_LATITUDE)
    path = Path(folder) / f"GLASS_LST_monthly_{year}{month:02d}.tif"
    return _geotiff(path, where, stored(where, values or ranging(230.0, 300.0), "uint16", 0, 0.01), 0)


def glass_lst_tile(folder, year=2001, day=1, values=None, tile=(11, 2)):
    """GLASS daily LST, one tile of the MODIS sinusoidal grid as HDF-EOS2, with its scale and fill value.

    ``tile``: column and row of the tile, (11, 2) is in Alaska and its west beyond the edge of the earth. Assumed: the
    name of the grid and fill 0.
    """
    column, row = tile
    left, top = (column - 18) * MODIS_TILE, (9 - row) * MODIS_TILE
    where = cells((left, MODIS_TILE / 60, 0.0, top, 0.0, -MODIS_TILE / 60), 60, 60, MODIS_CRS)
    packed = stored(where, values or ranging(230.0, 300.0), "uint16", 0, 0.01)
    path = Path(folder) / f"GLASS06A01.V01.A{year}{day:03d}.h{column:02d}v{row:02d}.2022021.hdf"
    return write_hdf_eos_grid(
        path, "GLASS06A01", (left, top, left + MODIS_TILE, top - MODIS_TILE),
        {"LST": (packed, {"long_name": "land surface temperature", "units": "K", "_FillValue": np.uint16(0),
                          "scale_factor": np.float64(0.01), "add_offset": np.float64(0.0)})},
        projection="GCTP_SNSOID", parameters=[f"ProjParams=({MODIS_RADIUS:.6f},{','.join('0' * 12)})", "SphereCode=-1"])


def glass_ndvi(folder, year=2001, day=1, values=None):
    """GLASS NDVI of eight days from ``day`` of the year (1, 9 … 361) at 0.05° as HDF-EOS2.

    Assumed: int16 × 0.0001; 25500 is nodata as in the 250 m product.
    """
    where = cells(DEGREE, 360, 180, LONGITUDE_LATITUDE)
    packed = stored(where, values or ranging(-0.1, 0.9), "int16", 25500, 0.0001)
    path = Path(folder) / f"GLASS13B01.V10.A{year}{day:03d}.2023068.hdf"
    about = {"long_name": "NDVI", "units": "none", "valid_range": np.array([-2000, 10000], "int16"),
             "_FillValue": np.int16(25500), "scale_factor": np.float64(0.0001), "add_offset": np.float64(0.0)}
    return write_hdf_eos_grid(path, "GLASS13B01", GEOGRAPHIC_CORNERS, {"NDVI": (packed, about)})


# I12 elevation, I13 SoilGrids, I14 peat -----------------------------------------------------------------------------

def worldclim_elevation(folder, values=None):
    """The elevation of WorldClim 2.1, m, int16 with nodata -32768 (the sea in the real one)."""
    where = cells(DEGREE, 360, 180, LONGITUDE_LATITUDE)
    packed = stored(where, values or ranging(-100.0, 5000.0), "int16", -32768)
    return _geotiff(Path(folder) / "wc2.1_30s_elev.tif", where, packed, -32768)


#: values of SoilGrids as stored, and what one of the usual unit is stored as (g/kg, vol %, g/cm³, vol %)
SOILGRIDS_RANGES = {"soc": (50, 5000), "cfvo": (0, 600), "bdod": (20, 160), "wv0033": (100, 600)}
SOILGRIDS_FACTORS = {"soc": 10, "cfvo": 10, "bdod": 100, "wv0033": 10}


def soilgrids(folder, soil="soc", depth="0-5", values=None):
    """A 1 km layer of SoilGrids 2.0: int16 without a stated scale in interrupted Goode homolosine, nodata -32768.

    ``values`` are the integers as published: soc dg/kg, cfvo cm³/dm³, bdod cg/cm³, wv0033 0.001 cm³/cm³.
    """
    where = cells((-19950000.0, 100000.0, 0.0, 8361000.0, 0.0, -100000.0), 399, 145, SOILGRIDS_CRS)
    packed = stored(where, values or ranging(*SOILGRIDS_RANGES[soil]), "int16", -32768)
    return _geotiff(Path(folder) / f"{soil}_{depth}cm_mean_1000.tif", where, packed, -32768)


def peatland_map(folder, values=None):
    """The Global Peatland Map 2.0: 1 peat dominated, 2 peat in soil mosaic, nodata 255 for all else, dry land too."""
    where = cells(DEGREE, 360, 180, LONGITUDE_LATITUDE)
    codes = stored(where, values or one_of(PEAT_CODES), "uint8", 255)
    return _geotiff(Path(folder) / "peatGPA22WGS_2cl.tif", where, codes, 255)
