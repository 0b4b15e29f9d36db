"""The files of tests/products.py: what GDAL finds in them, and that every cell holds the true value of its place."""

import numpy as np
import pytest
from product_cases import CASES

import products as p

pytest.importorskip("netCDF4")
pytest.importorskip("h5py")
pytest.importorskip("pyhdf")


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
