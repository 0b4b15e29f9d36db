"""Every product of tests/products.py as a case: how it is written, and what GDAL says of the file."""

from collections import namedtuple

import products as p

Case = namedtuple("Case", "write values driver dtype nodata scale unit crs subdataset flags place",
                  defaults=("Byte", None, None, "", "", None, (), None))
Case.__doc__ = """A writer with its default values, and what GDAL says of the file.

``crs``: a part of its PROJ text, None where the file states none; ``place``: geotransform and CRS for such a file, or
the CRS alone; ``flags``: codes of the areas, that of area 0 first where it is not the nodata value.
"""

GEOGRAPHIC = "+proj=longlat +datum=WGS84"
CCI = "+proj=stere +lat_0=90 +lat_ts=71"
LANDCOVER = p.one_of(p.LANDCOVER_CODES)
MASKS = (255, *p.FREEZE_THAW_FLAGS)
FREEZE_THAW = p.one_of((0, 1, 2, 3))

CASES = {
    "Obu probability": Case(p.obu, p.ranging(0, 1), "GTiff", "Float32", -9999, crs="+lat_ts=71"),
    "Obu MAGT": Case(lambda folder: p.obu(folder, "MAGTM"), p.ranging(-15, 0), "GTiff", "Float32", -9999,
                     crs="+lat_ts=71"),
    "NIEER": Case(p.nieer, p.ranging(-15, 10), "GTiff", "Float32", -9999, crs=GEOGRAPHIC),
    "CCI v3 PFR": Case(p.cci_permafrost_v3, p.sevenths, "netCDF", "Byte", 255, None, "percent", CCI, "PFR"),
    "CCI v3 T2m": Case(lambda folder: p.cci_permafrost_v3(folder, "GTD", 1999), p.ranging(-12, 6), "netCDF", "Int16",
                       -32768, 0.01, "celsius", CCI, "T2m"),
    "CCI v3 T10m in K": Case(lambda folder: p.cci_permafrost_v3(folder, "GTD", kelvin=True), p.ranging(261.95, 279.95),
                             "netCDF", "Int16", -32768, 0.01, "K", CCI, "T10m"),
    "CCI v3 ALT": Case(lambda folder: p.cci_permafrost_v3(folder, "ALT"), p.ranging(0.2, 4), "netCDF", "UInt16", 65535,
                       0.01, "metres", CCI, "ALT"),
    "CCI v4 PFR": Case(p.cci_permafrost_v4, p.sevenths, "netCDF", "Byte", 255, None, "percent",
                       "+proj=longlat +ellps=WGS84", "PFR"),
    "CCI v5 ALT": Case(lambda folder: p.cci_permafrost_v4(folder, "ALT", version="05.0"), p.ranging(0.2, 4), "netCDF",
                       "UInt16", 65535, 0.01, "metres", "+proj=longlat +ellps=WGS84", "ALT"),
    "IPA": Case(p.ipa, p.one_of(p.IPA_CODES), "EHdr", flags=(0,), crs=None, place=p.IPA_CRS),
    "LandCover_CCI netCDF": Case(p.landcover_cci_netcdf, LANDCOVER, "netCDF", subdataset="lccs_class", flags=(0,),
                                 crs=None, place=p.LONGITUDE_LATITUDE),
    "LandCover_CCI GeoTIFF": Case(p.landcover_cci_geotiff, LANDCOVER, "GTiff", flags=(0,), crs=GEOGRAPHIC),
    "GLCC Goode": Case(p.glcc_goode, p.one_of(p.GLCC_CODES), "GTiff", flags=(0, 99, 100), crs="+proj=igh"),
    "GLCC raw": Case(p.glcc_raw, p.one_of(p.GLCC_CODES), "EHdr", flags=(100, 99, 100), crs=None,
                     place=p.LONGITUDE_LATITUDE),
    "CAVM": Case(p.cavm, p.one_of(p.CAVM_CODES), "GTiff", "Byte", 127, crs="+proj=laea +lat_0=90 +lon_0=180"),
    "PER-FT GeoTIFF": Case(p.freeze_thaw, FREEZE_THAW, "GTiff", flags=MASKS, crs="+proj=laea +lat_0=90 +lon_0=0"),
    "PER-FT HDF5": Case(p.freeze_thaw_hdf5, FREEZE_THAW, "HDF5Image", subdataset="FT", flags=MASKS, crs=None,
                        place=((-9e6, 1e5, 0.0, 9e6, 0.0, -1e5), p.EASE2_NORTH)),
    "MOD10CM": Case(p.mod10cm, p.ranging(0, 100), "HDF4Image", "Byte", 255, None, "none", "+proj=longlat +ellps=clrk66",
                    "Snow_Cover_Monthly_CMG", (255, *p.SNOW_FLAGS), p.LONGITUDE_LATITUDE),
    "MOD10CM, no structure": Case(lambda folder: p.mod10cm(folder, structure=False), p.ranging(0, 100), "HDF4Image",
                                  crs=None, flags=(255, *p.SNOW_FLAGS), place=(p.DEGREE, p.LONGITUDE_LATITUDE)),
    "GLASS LST": Case(p.glass_lst, lambda *place: p.field(*place, 230, 300) / 0.01, "GTiff", "UInt16", 0,
                      crs=GEOGRAPHIC),
    "GLASS LST tile": Case(p.glass_lst_tile, p.ranging(230, 300), "HDF4Image", "UInt16", 0, 0.01, "K",
                           "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181"),
    "GLASS NDVI": Case(p.glass_ndvi, p.ranging(-0.1, 0.9), "HDF4Image", "Int16", 25500, 0.0001, "none",
                       "+proj=longlat +ellps=clrk66", place=p.LONGITUDE_LATITUDE),
    "WorldClim": Case(p.worldclim_elevation, p.ranging(-100, 5000), "GTiff", "Int16", -32768, crs=GEOGRAPHIC),
    "SoilGrids": Case(lambda folder: p.soilgrids(folder, "bdod", "60-100"), p.ranging(20, 160), "GTiff", "Int16",
                      -32768, crs="+proj=igh"),
    "peat": Case(p.peatland_map, p.one_of(p.PEAT_CODES), "GTiff", "Byte", 255, crs=GEOGRAPHIC),
}
