"""Rasters as other programs write them that were once read wrong, or refused although they are fine.

They are made with GDAL's own tools, netCDF4 and h5py; what is right is what NumPy wrote.
"""

import re

import h5py
import netCDF4
import numpy as np
import pytest
from osgeo import gdal, osr
from ways_of_reading import assert_every_way

from pti_plugin.core.common.errors import GridError, InputError
from pti_plugin.core.rasters.containers import georeferenced
from pti_plugin.core.rasters.grid import epsg_wkt
from pti_plugin.core.rasters.raster import CLASS, Series, SourceReader, read_info, source, values_at
from support import write_raster

CELLS = np.array([[5, 7, 9, 11], [0, 3, 20, 21], [1, 2, 4, 6]])


def without(value, values=CELLS):
    """``values`` as float64 with NaN for the cells that are ``value`` in CELLS."""
    return np.where(CELLS == value, np.nan, values)


def cells_of(path):
    return SourceReader().read(source(path), 0, *CELLS.shape[:1], 0, CELLS.shape[1])


def refused(path, match):
    with pytest.raises(InputError, match=match):
        cells_of(path)


# CRS and extent put right


@pytest.mark.parametrize("dtype, nodata", [("uint8", -1), ("uint8", -9999), ("uint8", 256), ("int16", np.nan),
                                           ("uint16", -32768), ("int16", 65535)])
def test_another_crs_does_not_make_nodata_of_zero(tmp_path, dtype, nodata):
    path = write_raster(tmp_path / "a.tif", CELLS.astype(dtype), nodata=nodata)
    assert_every_way(georeferenced(path, epsg_wkt(3413)), CELLS[None].astype(float), [1])


def test_another_crs_keeps_nodata(tmp_path):
    path = write_raster(tmp_path / "a.tif", CELLS.astype("int16"), nodata=20, scale=0.5)
    assert_every_way(georeferenced(path, epsg_wkt(3413)), without(20, CELLS * 0.5)[None], [1])


# nodata and attributes


@pytest.mark.parametrize("dtype, stated, stored", [
    ("float32", "-3.40282e+38", np.finfo("f4").min), ("float32", "-1.7976931348623157e+308", np.finfo("f4").min),
    ("float64", "-1.79769e+308", np.finfo("f8").min), ("float32", "1e+20", np.float32(1e20)),
    ("float32", "-inf", -np.inf), ("float32", "-999.9", np.float32(-999.9))])
def test_a_nodata_value_may_be_rounded(tmp_path, dtype, stated, stored):
    path = write_raster(tmp_path / "a.tif", np.where(CELLS == 20, stored, CELLS).astype(dtype))
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.GetRasterBand(1).SetNoDataValue(float(stated))
    dataset = None
    assert_every_way(path, without(20)[None], [1])


def test_nodata_of_half_precision_is_found(tmp_path):
    cells = np.where(CELLS == 20, -9999, CELLS).astype("float32")
    path = write_raster(tmp_path / "a.tif", cells, nodata=-9999, options=["NBITS=16"])
    assert_every_way(path, without(20)[None], [1])


@pytest.mark.parametrize("attributes, right", [
    ({"_FillValue": "0"}, CELLS.astype(float)),
    ({"_FillValue": "0", "missing_value": "0"}, CELLS.astype(float)),
    ({"missing_value": "20"}, without(20)),
    ({"missing_value": "{20, 3}"}, np.where(CELLS == 3, np.nan, without(20))),
    ({"missing_value": "20s"}, without(20)),
    ({"missing_value": "none, 20 is a value"}, CELLS.astype(float)),
    ({"missing_value": ""}, CELLS.astype(float)),
])
def test_only_a_number_that_holds_now_is_nodata(tmp_path, attributes, right):
    path = write_raster(tmp_path / "a.tif", CELLS.astype("int16"), nodata=-32768, metadata=attributes)
    assert_every_way(path, right[None], [1])


def test_attributes_of_converted_real_numbers_do_not_count(tmp_path):
    """They may speak of the stored integers that a file was made from."""
    leftover = {"_FillValue": "3", "missing_value": "20", "valid_range": "0 10", "scale_factor": "0.1"}
    path = write_raster(tmp_path / "a.tif", CELLS.astype("float32"), metadata=leftover)
    assert_every_way(path, CELLS[None].astype(float), [1])


def netcdf(path, dtype, stored, **attributes):
    with netCDF4.Dataset(path, "w") as file:
        for name, values in (("lat", 70.0 - np.arange(len(CELLS))), ("lon", np.arange(CELLS.shape[1]) + 10.0)):
            file.createDimension(name, len(values))
            axis = file.createVariable(name, "f8", (name,))
            axis[:] = values
            axis.units = {"lat": "degrees_north", "lon": "degrees_east"}[name]
        variable = file.createVariable("v", dtype, ("lat", "lon"))
        variable.set_auto_maskandscale(False)
        variable.setncatts(attributes)
        variable[:] = stored
    return str(path)


@pytest.mark.parametrize("limits", [
    {"valid_range": np.array([0, 10], "f4")}, {"valid_min": np.float64(0), "valid_max": np.float64(10)},
    {"valid_range": np.array([0, 1000], "i2")}])
def test_a_valid_range_of_packed_integers_is_in_units_where_netcdf_says_so(tmp_path, limits):
    path = netcdf(tmp_path / "a.nc", "i2", CELLS * 100, scale_factor=np.float32(0.01), **limits)
    right = np.where(CELLS > 10, np.nan, CELLS)
    assert_every_way(path, right[None], [1])
    assert_every_way(georeferenced(path, epsg_wkt(4326)), right[None], [1])


def test_a_valid_range_beyond_the_type_is_in_units(tmp_path):
    path = netcdf(tmp_path / "a.nc", "i2", CELLS * 100, scale_factor=10.0, add_offset=90000.0, valid_min=80000,
                  valid_max=101000)
    assert_every_way(path, np.where(CELLS > 11, np.nan, CELLS * 1000.0 + 90000)[None], [1])


def test_a_valid_range_in_units_of_packed_bytes_is_refused(tmp_path):
    path = netcdf(tmp_path / "a.nc", "i1", CELLS, scale_factor=np.float32(5), valid_range=np.array([0, 100], "f4"))
    refused(path, "valid range in units")


def test_a_valid_range_of_unsigned_integers_is_given_with_their_sign(tmp_path):
    stored = np.where(CELLS == 20, 65533, CELLS).astype("u2")
    stored[0, 0] = 65000
    path = netcdf(tmp_path / "a.nc", "i2", stored.view("i2"), _Unsigned="true", valid_range=np.array([0, -6], "i2"))
    assert_every_way(path, np.where(stored == 65533, np.nan, stored)[None].astype(float), [1])


def test_text_is_no_missing_value_of_netcdf(tmp_path):
    path = netcdf(tmp_path / "a.nc", "f4", CELLS, missing_value="see 1998, 3 and 20 are values")
    assert_every_way(path, CELLS[None].astype(float), [1])


def test_floats_of_hdf_are_scaled_too(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("grid/T", data=CELLS.astype("f4")).attrs.update(
            {"scale_factor": 0.5, "add_offset": 2.0, "_FillValue": np.float32(20)})
    text = gdal.Translate("", f'HDF5:"{tmp_path / "a.h5"}"://grid/T', format="VRT", outputSRS=epsg_wkt(6931),
                          outputBounds=(0, 300000, 400000, 0)).GetMetadata("xml:VRT")[0]
    assert_every_way(text, without(20, CELLS * 0.5 + 2)[None], [1])


def test_the_alpha_band_of_a_png_masks(tmp_path):
    bands = np.stack([CELLS, CELLS, CELLS, np.where(CELLS == 3, 0, 100)]).astype("u1")
    picture = write_raster(tmp_path / "a.tif", bands, options=["PHOTOMETRIC=RGB"])
    path = str(tmp_path / "a.png")
    gdal.Translate(path, picture, format="PNG").FlushCache()
    assert_every_way(path, np.stack([without(3)] * 3))


# fill values that no file declares


@pytest.mark.parametrize("fill, values", [
    (-9999, np.linspace(0, 6190, 12)), (-999, np.linspace(0, 3000, 12)), (1e20, CELLS), (-1e20, CELLS),
    (65535, np.linspace(0, 40000, 12)), (9999, np.linspace(0, 5000, 12))])
def test_undeclared_fill_is_refused_where_values_have_a_wide_range(tmp_path, fill, values):
    cells = np.where(CELLS == 20, fill, np.reshape(values, CELLS.shape)).astype("float32")
    path = write_raster(tmp_path / "a.tif", cells)
    for read in (lambda item: SourceReader().read(item, 0, 3, 0, 4), lambda item: SourceReader().read(item, 1, 1, 2, 1),
                 lambda item: SourceReader().read_series(Series((item,), single=True), 0, 3, 0, 4)):
        with pytest.raises(InputError, match="looks like a fill value that the file does not declare"):
            read(source(path))


def test_undeclared_fill_of_a_later_band_is_refused(tmp_path):
    layers = np.stack([CELLS] * 4).astype("int16")
    layers[2, 0, 0] = -9999
    path = write_raster(tmp_path / "a.tif", layers)
    items = tuple(source(path, band=band) for band in range(1, 5))
    with pytest.raises(InputError, match=r"a.tif \(band 3\) holds the stored value -9999"):
        SourceReader().read_series(Series(items, single=True), 0, 3, 0, 4)


def test_a_cell_that_only_looks_like_fill_is_read_by_itself(tmp_path):
    depths = np.arange(-3000, 1800, 3).reshape(40, 40).astype(np.int16)
    depths[16, 27] = -999
    path = write_raster(tmp_path / "sea_floor.tif", depths, transform=(100, 0.1, 0, 70, 0, -0.1), crs="EPSG:4326")
    assert SourceReader().read(source(path), 16, 1, 27, 1) == -999
    assert values_at(source(path), np.array([102.75]), np.array([68.35]))[0] == -999


@pytest.mark.parametrize("how", ["AVERAGE", "CUBIC"])
def test_a_sample_holds_no_values_that_overviews_invent(tmp_path, how):
    rng = np.random.default_rng(0)
    codes = rng.choice(np.array([1, 2, 17, 200], np.uint8), (1100, 1300))
    plain = write_raster(tmp_path / "a.tif", codes, transform=(-65000, 100, 0, 55000, 0, -100))
    path = str(tmp_path / "cog.tif")
    gdal.Translate(path, plain, format="COG", creationOptions=[f"OVERVIEW_RESAMPLING={how}"]).FlushCache()
    mosaic = str(tmp_path / "mosaic.vrt")
    gdal.BuildVRT(mosaic, [path]).FlushCache()
    for place in (path, mosaic):
        for size in (128, 512):
            sample = SourceReader().sample(source(place, CLASS), size)
            assert sample.shape == (size, size)
            assert set(np.unique(sample)) == {1, 2, 17, 200}


# virtual rasters


def virtual(path, files, **options):
    gdal.BuildVRT(str(path), files, **options).FlushCache()
    return str(path)


def masked_file(folder, name="masked.tif", **options):
    path = write_raster(folder / name, CELLS.astype("int16"), **options)
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
    dataset.GetRasterBand(1).GetMaskBand().WriteArray(np.where(CELLS == 20, 0, 255).astype(np.uint8))
    dataset = None
    return path


def test_cells_between_the_files_of_a_virtual_raster_are_not_zero(tmp_path):
    files = [write_raster(tmp_path / f"{i}.tif", CELLS.astype("int16"), transform=(i * 150000, 25000, 0, 0, 0, -25000))
             for i in range(2)]
    refused(virtual(tmp_path / "a.vrt", files), "has cells that no file covers")
    found = cells_of(virtual(tmp_path / "b.vrt", files, VRTNodata=-1))
    np.testing.assert_array_equal(found, CELLS)
    assert np.isnan(SourceReader().read(source(str(tmp_path / "b.vrt")), 0, 3, 4, 2)).all()
    touching = [write_raster(tmp_path / f"t{i}.tif", CELLS.astype("int16"),
                             transform=(i % 2 * 100000, 25000, 0, i // 2 * -75000, 0, -25000)) for i in range(4)]
    assert read_info(virtual(tmp_path / "c.vrt", touching)).grid.width == 8
    refused(virtual(tmp_path / "d.vrt", touching[:3]), "has cells that no file covers")


def test_hidden_nodata_is_refused_where_it_would_be_a_value(tmp_path):
    path = write_raster(tmp_path / "a.tif", CELLS.astype("int16"), nodata=20)
    refused(virtual(tmp_path / "a.vrt", [path], hideNodata=True, VRTNodata=0), "hides its nodata value 0")
    assert_every_way(virtual(tmp_path / "b.vrt", [path], hideNodata=True), without(20)[None], [1])


def test_alpha_that_is_not_made_of_the_masks_is_refused(tmp_path):
    path = masked_file(tmp_path)
    refused(virtual(tmp_path / "a.vrt", [path], addAlpha=True), "leaves out the mask")
    assert_every_way(virtual(tmp_path / "b.vrt", [path]), without(20)[None], [1])
    assert_every_way(virtual(tmp_path / "c.vrt", [path], VRTNodata=-1), without(20)[None], [1])


def derived(path, file, function, dtype, nodata=""):
    path.write_text(
        f'<VRTDataset rasterXSize="4" rasterYSize="3"><SRS>EPSG:6931</SRS><GeoTransform>-100000, 25000, 0, 100000, 0, '
        f'-25000</GeoTransform><VRTRasterBand dataType="{dtype}" band="1" subClass="VRTDerivedRasterBand">{nodata}'
        f"<PixelFunctionType>{function}</PixelFunctionType><SourceTransferType>Float64</SourceTransferType>"
        f"<SimpleSource><SourceFilename>{file}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        f"</VRTRasterBand></VRTDataset>")
    return str(path)


def test_a_virtual_raster_of_a_function_has_its_own_scale(tmp_path):
    path = write_raster(tmp_path / "a.tif", CELLS.astype("int16"), scale=0.1)
    assert_every_way(derived(tmp_path / "a.vrt", path, "sqrt", "Float64"), np.sqrt(CELLS)[None], [1])
    gone = write_raster(tmp_path / "b.tif", CELLS.astype("int16"), nodata=20)
    refused(derived(tmp_path / "b.vrt", gone, "sqrt", "Float64"), "computes its values from files with the nodata")
    right = np.where(CELLS == 20, np.nan, np.sqrt(CELLS))
    path = derived(tmp_path / "c.vrt", gone, "sqrt", "Float64", f"<NoDataValue>{np.sqrt(20)!r}</NoDataValue>")
    assert_every_way(path, right[None], [1])


def test_a_virtual_raster_that_scales_leaves_nodata_out(tmp_path):
    path = write_raster(tmp_path / "a.tif", CELLS.astype("int16"), nodata=20, scale=0.5)
    good = str(tmp_path / "a.vrt")
    gdal.Translate(good, path, format="VRT", unscale=True, outputType=gdal.GDT_Float32).FlushCache()
    assert_every_way(good, without(20, CELLS * 0.5)[None], [1])
    blind = tmp_path / "b.vrt"
    blind.write_text((tmp_path / "a.vrt").read_text().replace("<NODATA>20</NODATA>", ""))
    refused(blind, "does not leave those cells out")


def test_a_virtual_raster_that_makes_0_of_nodata_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.tif", CELLS.astype("int16"), nodata=20, scale=0.5)
    # cells of nodata are left out, and so stay 0, without a nodata value of its own
    gdal.Translate(str(tmp_path / "a.vrt"), path, format="VRT", unscale=True, outputType=gdal.GDT_Float32).FlushCache()
    gdal.Warp(str(tmp_path / "b.vrt"), path, format="VRT").FlushCache()
    for name in "ab":
        text = (tmp_path / f"{name}.vrt").read_text()
        stated = re.search(r"<NoDataValue>[^<]*</NoDataValue>", text).group()
        (tmp_path / f"{name}.vrt").write_text(text.replace(stated, ""))
        refused(str(tmp_path / f"{name}.vrt"), f"{name}.vrt computes its values from files with the nodata value 20, ")


def test_a_warped_virtual_raster_keeps_type_mask_and_scale(tmp_path):
    def warped(name, path, **options):
        gdal.Warp(str(tmp_path / name), path, format="VRT", **options).FlushCache()
        return str(tmp_path / name)

    refused(warped("a.vrt", masked_file(tmp_path)), "leaves out the mask")
    assert_every_way(warped("b.vrt", str(tmp_path / "masked.tif"), dstNodata=-1), without(20)[None], [1])
    assert_every_way(warped("c.vrt", str(tmp_path / "masked.tif"), dstAlpha=True), without(20)[None], [1])
    packed = write_raster(tmp_path / "packed.tif", CELLS.astype("int16"), scale=0.5, offset=2, nodata=20)
    assert_every_way(warped("d.vrt", packed), without(20, CELLS * 0.5 + 2)[None], [1])
    if int(gdal.VersionInfo()) < 3070000:
        signed = write_raster(tmp_path / "signed.tif", (CELLS - 10).astype("i1").view("u1"),
                              options=["PIXELTYPE=SIGNEDBYTE"])
        assert_every_way(warped("e.vrt", signed), (CELLS - 10.0)[None], [1])
        refused(warped("f.vrt", signed, resampleAlg="bilinear"), "warps signed bytes as if they were unsigned")


def test_a_relative_subdataset_inside_a_virtual_raster_is_found(tmp_path):
    path = netcdf(tmp_path / "a.nc", "i2", CELLS, scale_factor=0.5, missing_value=np.int16(20))
    text = gdal.Translate("", f'NETCDF:"{path}":v', format="VRT", outputSRS=epsg_wkt(4326)).GetMetadata("xml:VRT")[0]
    for left_out in ("Scale", "Offset", "NoDataValue"):
        start = text.find(f"<{left_out}>")
        text = text if start < 0 else text[:start] + text[text.index(f"</{left_out}>") + len(left_out) + 3:]
    start, end = text.index("<SourceFilename"), text.index("</SourceFilename>")
    text = text[:start] + '<SourceFilename relativeToVRT="1">NETCDF:"a.nc":v' + text[end:]
    text = "\n".join(line for line in text.split("\n") if "<MDI" not in line)
    (tmp_path / "a.vrt").write_text(text)
    assert_every_way(str(tmp_path / "a.vrt"), without(20, CELLS * 0.5)[None], [1])


def test_rounded_nodata_of_64_bit_integers_is_refused(tmp_path):
    path = str(tmp_path / "a.tif")
    dataset = gdal.GetDriverByName("GTiff").Create(path, 4, 3, 1, gdal.GDT_Int64)
    dataset.SetGeoTransform((0, 25000, 0, 0, 0, -25000))
    dataset.SetProjection(epsg_wkt(6931))
    lowest = np.iinfo(np.int64).min
    dataset.GetRasterBand(1).SetNoDataValue(lowest)
    dataset.GetRasterBand(1).WriteArray(np.where(CELLS == 20, lowest, CELLS))
    dataset = None
    assert_every_way(path, without(20)[None], [1])
    place = virtual(tmp_path / "a.vrt", [path])
    stated = gdal.Open(place)
    if stated.GetRasterBand(1).GetNoDataValue() == lowest:
        assert_every_way(place, without(20)[None], [1])
    else:
        refused(place, "GDAL rounds it")


# places


def local(text):
    reference = osr.SpatialReference()
    reference.ImportFromProj4(text)
    return reference.ExportToWkt()


@pytest.mark.parametrize("crs", ["+proj=aeqd +lat_0=63 +lon_0=-149", "+proj=laea +lat_0=71.3 +lon_0=-156.6",
                                 "+proj=tmerc +lat_0=68 +lon_0=18", "+proj=laea +lat_0=90 +units=km"])
def test_small_coordinates_round_a_place_of_ones_own_are_read(tmp_path, crs):
    path = write_raster(tmp_path / "a.tif", CELLS.astype("f4"), transform=(-20, 5, 0, 20, 0, -5), crs=local(crs))
    assert_every_way(path, CELLS[None].astype(float), [1])


@pytest.mark.parametrize("crs", ["EPSG:3995", "EPSG:6931", "EPSG:3338", "EPSG:32633",
                                 "+proj=stere +lat_0=90 +lat_ts=70", "+proj=laea +lat_0=90",
                                 "+proj=aea +lat_1=55 +lat_2=65 +lat_0=50 +lon_0=-154"])
def test_degrees_in_a_crs_of_metres_are_refused(tmp_path, crs):
    crs = local(crs) if crs.startswith("+") else crs
    path = write_raster(tmp_path / "a.tif", np.zeros((45, 360), "f4"), transform=(-180, 1, 0, 90, 0, -1), crs=crs)
    with pytest.raises(GridError, match="degrees in a CRS of metres"):
        read_info(path)
