"""The files of tests/products.py: what GDAL finds in them, and that every cell holds the true value of its place."""

from collections import namedtuple

import numpy as np
import pytest

import products as p

pytest.importorskip("netCDF4")
pytest.importorskip("h5py")
pytest.importorskip("pyhdf")

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


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_gdal_finds_the_structure_and_every_cell_its_true_value(case, tmp_path):
    from osgeo import gdal

    dataset = gdal.Open(case.write(tmp_path))
    names = [name for name, _ in dataset.GetSubDatasets()]
    # GDAL opens a container of one array at once and lists nothing.
    assert bool(names) == (case.subdataset is not None)
    if case.subdataset:
        dataset = gdal.Open(next(name for name in names if name.replace("/", ":").endswith(f":{case.subdataset}")))
    band, crs = dataset.GetRasterBand(1), dataset.GetSpatialRef()
    assert dataset.GetDriver().ShortName == case.driver and dataset.RasterCount == 1
    assert gdal.GetDataTypeName(band.DataType) == case.dtype and band.GetUnitType() == case.unit
    # newer GDAL takes the fill value of an HDF5 array for its nodata
    assert band.GetNoDataValue() == case.nodata or (case.nodata is None and band.GetNoDataValue() in case.flags)
    assert band.GetScale() == pytest.approx(case.scale)
    assert crs is None if case.crs is None else case.crs in crs.ExportToProj4()

    transform, system = dataset.GetGeoTransform(), case.place or crs.ExportToWkt()
    if isinstance(system, tuple):
        assert transform == (0, 1, 0, 0, 0, 1)
        transform, system = system
    where = p.cells(transform, dataset.RasterXSize, dataset.RasterYSize, system)
    found = band.ReadAsArray().astype("float64")
    flags = case.flags or (case.nodata,)
    flagged = np.zeros(found.shape, bool)
    for number, flag in enumerate(flags):
        area = p.in_area(where.longitude, where.latitude, number)
        # A tile may lie elsewhere than some areas.
        assert (area.any() or found.size < 5000) and (found[area] == flag).all()
        flagged |= area
    empty = np.isnan(where.longitude) | np.isin(found, flags[0]) | flagged
    true = case.values(where.longitude, where.latitude)
    scale = case.scale or 1.0
    tolerance = 0.5 if case.values is p.sevenths else 0.501 * scale if case.dtype != "Float32" else 1e-4
    assert (~empty).mean() > 0.1
    assert np.abs(found * scale - true)[~empty].max() <= tolerance
    if case.values is not p.sevenths and case.write not in (p.ipa, p.cavm, p.peatland_map):
        assert not (empty & ~flagged & ~np.isnan(where.longitude)).any()


def test_the_files_have_the_names_under_which_they_are_published(tmp_path):
    from pathlib import Path

    written = [p.obu(tmp_path, "MAGTM"), p.cci_permafrost_v3(tmp_path, "ALT", 2002), p.cci_permafrost_v4(tmp_path),
               p.landcover_cci_netcdf(tmp_path, 2020), p.landcover_cci_netcdf(tmp_path, 2012), p.mod10cm(tmp_path),
               p.mod10cm(tmp_path, 2004, 3), p.glass_ndvi(tmp_path, 2024, 361),
               p.soilgrids(tmp_path, "wv0033", "5-15")]
    assert [Path(path).name for path in written] == [
        "UiO_PEX_MAGTM_5.0_20181127_2000_2016_NH.tif",
        "ESACCI-PERMAFROST-L4-ALT-ERA5_MODISLST_BIASCORRECTED-AREA4_PP-2002-fv03.0.nc",
        "ESACCI-PERMAFROST-L4-PFR-MODISLST_CRYOGRID-AREA4_PP-2005-fv04.0.nc",
        "C3S-LC-L4-LCCS-Map-300m-P1Y-2020-v2.1.1.nc",
        "ESACCI-LC-L4-LCCS-Map-300m-P1Y-2012-v2.0.7cds.nc",
        "MOD10CM.A2001001.061.2020039000000.hdf",
        "MOD10CM.A2004061.061.2020039000000.hdf",
        "GLASS13B01.V10.A2024361.2023068.hdf",
        "wv0033_5-15cm_mean_1000.tif"]


def test_the_rows_of_cci_v4_run_from_the_south_in_the_file_and_from_the_north_in_gdal(tmp_path):
    from netCDF4 import Dataset
    from osgeo import gdal

    path = p.cci_permafrost_v4(tmp_path, "ALT")
    with Dataset(path) as file:
        file.set_auto_maskandscale(False)
        assert file["lat"][0] == 25.25 and file["lat"][-1] == 84.75 and file.dimensions["time"].isunlimited()
        stored = file["ALT"][0]
    found = gdal.Open(f'NETCDF:"{path}":ALT').ReadAsArray()
    assert (found == stored[::-1]).all() and (found != stored).any()


def test_every_code_of_a_class_product_occurs(tmp_path):
    from osgeo import gdal

    for write, codes in ((p.ipa, p.IPA_CODES), (p.landcover_cci_geotiff, p.LANDCOVER_CODES), (p.cavm, p.CAVM_CODES),
                         (p.glcc_goode, p.GLCC_CODES), (p.glcc_raw, p.GLCC_CODES), (p.peatland_map, (1, 2))):
        dataset = gdal.Open(write(tmp_path))
        assert set(codes) <= set(np.unique(dataset.ReadAsArray()).tolist()), write.__name__


def test_the_same_call_writes_the_same_bytes(tmp_path):
    from pathlib import Path

    for write in (p.cci_permafrost_v3, p.mod10cm, p.freeze_thaw_hdf5, p.landcover_cci_netcdf):
        first = Path(write(tmp_path)).read_bytes()
        assert Path(write(tmp_path)).read_bytes() == first, write.__name__
