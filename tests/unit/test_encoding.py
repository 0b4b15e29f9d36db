"""What stored values mean, by every way in: one written truth, read as layer, bands, series, sample, point and warp.

The truth is what NumPy wrote; no function of the plugin takes part in making it.
"""

import itertools
import os

import h5py
import netCDF4
import numpy as np
import pytest
from osgeo import gdal, osr
from product_cases import CASES
from pyhdf.SD import SD, SDC
from ways_of_reading import assert_every_way

from pti_plugin.core.common.errors import GridError, InputError
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.rasters.blocks import OutputSpec, RasterWriter
from pti_plugin.core.rasters.encoding import _valid_range
from pti_plugin.core.rasters.raster import (
    CLASS,
    NO_CLASS,
    Series,
    SourceReader,
    exact_in_float32,
    read_info,
    source,
)
from pti_plugin.core.series.composites import CompositeOptions, composite_series
from pti_plugin.core.series.trends import TrendOptions, trend_rasters
from support import TRANSFORM, Log, write_raster

ROWS, COLUMNS, LAYERS = 5, 7, 3
TYPES = {"int8": np.int8, "uint8": np.uint8, "int16": np.int16, "uint16": np.uint16, "int32": np.int32,
         "float32": np.float32, "float64": np.float64}
SIGNED_BYTES = int(gdal.VersionInfo()) < 3070000


def truth(seed, dtype, nodata, masked, scale, offset):
    """Return (stored, mask, values): what is written, and what must be read (NaN for nodata)."""
    rng = np.random.default_rng(seed)
    low, high = {"int8": (-60, 60), "uint8": (0, 250), "uint16": (0, 60000)}.get(dtype, (-3000, 3000))
    stored = rng.integers(low, high, (LAYERS, ROWS, COLUMNS)).astype(TYPES[dtype])
    if dtype.startswith("float"):
        stored += rng.integers(0, 4, stored.shape).astype(stored.dtype) / 4
        stored[:, 3, 3] = np.nan
    if nodata is not None:
        stored[:, rng.random((ROWS, COLUMNS)) < 0.2] = nodata
    mask = np.where(rng.random((ROWS, COLUMNS)) < 0.3, 0, 255).astype(np.uint8) if masked else None
    values = stored.astype(np.float64) * scale + offset
    gone = np.isnan(stored.astype(np.float64))
    if nodata is not None:
        gone |= stored == TYPES[dtype](nodata)
    if mask is not None:
        gone |= mask == 0
    values[gone] = np.nan
    return stored, mask, values


def write_layers(path, stored, mask, how, dtype, nodata, scale, offset):
    """Write the layers as bands of one GeoTIFF; ``how`` the mask is kept: '', alpha or mask."""
    bands = len(stored) + (how == "alpha")
    code = gdal.GDT_Byte if dtype == "int8" and SIGNED_BYTES else getattr(
        gdal, {"int8": "GDT_Int8", "uint8": "GDT_Byte", "int16": "GDT_Int16", "uint16": "GDT_UInt16",
               "int32": "GDT_Int32", "float32": "GDT_Float32", "float64": "GDT_Float64"}[dtype])
    options = ["PHOTOMETRIC=MINISBLACK", "ALPHA=NO"] + (["PIXELTYPE=SIGNEDBYTE"] if dtype == "int8" and SIGNED_BYTES
                                                       else [])
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), COLUMNS, ROWS, bands, code, options)
    dataset.SetGeoTransform(TRANSFORM)
    system = osr.SpatialReference()
    system.ImportFromEPSG(6931)
    dataset.SetProjection(system.ExportToWkt())
    for number, layer in enumerate(stored, start=1):
        band = dataset.GetRasterBand(number)
        if nodata is not None:
            band.SetNoDataValue(float(nodata))
        if (scale, offset) != (1.0, 0.0):
            band.SetScale(scale)
            band.SetOffset(offset)
        raw = np.ascontiguousarray(layer)
        band.WriteArray(raw.view(np.uint8) if dtype == "int8" and SIGNED_BYTES else raw)
    if how == "alpha":
        band = dataset.GetRasterBand(bands)
        band.SetColorInterpretation(gdal.GCI_AlphaBand)
        band.WriteArray(mask.view(np.int8) if dtype == "int8" and not SIGNED_BYTES else mask)
    dataset.FlushCache()
    if how == "mask":
        dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
        dataset.GetRasterBand(1).GetMaskBand().WriteArray(mask)
    dataset = None
    return str(path)


@pytest.mark.parametrize("dtype, declared, how, scaled", [
    case for case in itertools.product(TYPES, (False, True), ("", "alpha", "mask"), (False, True))
    if not (case[0] == "int8" and case[2] == "alpha")])
def test_a_geotiff_means_the_same_by_every_way_in(tmp_path, dtype, declared, how, scaled):
    nodata = {"int8": -128, "uint8": 255}.get(dtype, 17) if declared else None
    scale, offset = (0.5, -20.0) if scaled else (1.0, 0.0)
    stored, mask, values = truth(len(dtype), dtype, nodata, bool(how), scale, offset)
    path = write_layers(tmp_path / "bands.tif", stored, mask, how, dtype, nodata, scale, offset)
    assert_every_way(path, values)
    single = write_layers(tmp_path / "single.tif", stored[:1], mask, how, dtype, nodata, scale, offset)
    assert_every_way(single, values[:1], [1])


@pytest.mark.parametrize("dtype, scaled, declared", list(itertools.product(TYPES, (False, True), (False, True))))
def test_a_virtual_raster_passes_on_what_its_files_mean(tmp_path, dtype, scaled, declared):
    nodata = {"int8": -128, "uint8": 255}.get(dtype, 17) if declared else None
    scale, offset = (0.5, -20.0) if scaled else (1.0, 0.0)
    stored, mask, values = truth(7, dtype, nodata, False, scale, offset)
    paths = [write_layers(tmp_path / f"{i}.tif", layer[None], mask, "", dtype, nodata, scale, offset)
             for i, layer in enumerate(stored)]
    stacked = str(tmp_path / "stacked.vrt")
    gdal.BuildVRT(stacked, paths, separate=True).FlushCache()
    assert_every_way(stacked, values)
    mosaic = str(tmp_path / "mosaic.vrt")
    gdal.BuildVRT(mosaic, paths[:1]).FlushCache()
    assert_every_way(mosaic, values[:1], [1])
    text = gdal.Translate("", paths[0], format="VRT").GetMetadata("xml:VRT")[0]
    assert_every_way(text, values[:1], [1])
    # a virtual raster of a virtual raster
    above = str(tmp_path / "above.vrt")
    gdal.BuildVRT(above, [stacked]).FlushCache()
    assert_every_way(above, values)


def test_a_virtual_raster_that_loses_a_mask_or_mixes_scales_is_refused(tmp_path):
    stored, mask, _ = truth(3, "int16", None, True, 0.5, 0.0)
    masked = write_layers(tmp_path / "masked.tif", stored[:1], mask, "alpha", "int16", None, 0.5, 0.0)
    plain = write_layers(tmp_path / "plain.tif", stored[:1], None, "", "int16", None, 0.5, 0.0)
    other = write_layers(tmp_path / "other.tif", stored[1:2], None, "", "int16", None, 0.25, 0.0)
    lost = str(tmp_path / "lost.vrt")
    gdal.BuildVRT(lost, [masked, plain], separate=True).FlushCache()
    with pytest.raises(InputError, match="leaves out the mask or alpha band"):
        read_info(lost)
    text = (f'<VRTDataset rasterXSize="{COLUMNS}" rasterYSize="{ROWS}"><SRS>EPSG:6931</SRS><GeoTransform>-100000, '
            f'25000, 0, 100000, 0, -25000</GeoTransform><VRTRasterBand dataType="Int16" band="1">'
            + "".join(f'<SimpleSource><SourceFilename relativeToVRT="0">{path}</SourceFilename>'
                      f"<SourceBand>1</SourceBand></SimpleSource>" for path in (plain, other))
            + "</VRTRasterBand></VRTDataset>")
    with pytest.raises(InputError, match="store their values in different ways"):
        read_info(text)


def test_a_virtual_raster_that_computes_values_keeps_its_own_statement(tmp_path):
    stored, _, values = truth(3, "int16", None, False, 0.5, -20.0)
    path = write_layers(tmp_path / "packed.tif", stored[:1], None, "", "int16", None, 0.5, -20.0)
    unpacked = str(tmp_path / "unpacked.vrt")
    gdal.Translate(unpacked, path, format="VRT", unscale=True, outputType=gdal.GDT_Float32).FlushCache()
    assert_every_way(unpacked, values[:1], [1])


@pytest.mark.parametrize("dtype, unsigned, fills, limited", [
    case for case in itertools.product(("i1", "i2", "i4", "f4"), (False, True), ("none", "fill", "missing", "both"),
                                       (False, True)) if not (case[0] == "f4" and case[1])])
def test_a_netcdf_variable_means_what_cf_says(tmp_path, dtype, unsigned, fills, limited):
    rng = np.random.default_rng(5)
    meant = np.dtype(dtype.replace("i", "u") if unsigned else dtype)
    stored = rng.integers(2, 200 if meant == np.uint8 else 100, (LAYERS, ROWS, COLUMNS)).astype(meant)
    if meant == np.uint16:
        stored[:, 0, 1] = 60000
    if meant == np.uint8:
        stored[:, 0, 1] = 199
    # beyond what the signed type holds, in which netCDF writes the range of an unsigned one
    most = 50000 if meant == np.uint16 else 90
    codes = {"none": (), "fill": (50,), "missing": (60,), "both": (50, 60)}[fills]
    for place, code in enumerate(codes):
        stored[:, 1 + place, 2:4] = code
    path = str(tmp_path / "a.nc")
    with netCDF4.Dataset(path, "w") as file:
        for name, values in (("time", np.arange(LAYERS)), ("lat", 70.0 - np.arange(ROWS)),
                             ("lon", np.arange(COLUMNS) + 10.0)):
            file.createDimension(name, len(values))
            axis = file.createVariable(name, "f8", (name,))
            axis[:] = values
            axis.units = {"time": "years since 2000-01-01", "lat": "degrees_north", "lon": "degrees_east"}[name]
        variable = file.createVariable("v", dtype, ("time", "lat", "lon"),
                                       fill_value=np.array(50, dtype) if "fill" in fills or fills == "both" else None)
        variable.set_auto_maskandscale(False)
        if unsigned:
            variable.setncattr("_Unsigned", "true")
        if fills in ("missing", "both"):
            variable.missing_value = np.array(60, dtype)
        if limited:
            variable.valid_range = np.array([10, most], meant).view(dtype)
        variable.scale_factor, variable.add_offset = 0.5, 3.0
        variable[:] = stored.view(dtype) if unsigned else stored
    values = stored * 0.5 + 3.0
    for code in codes:
        values[stored == code] = np.nan
    if limited:
        values[(stored < 10) | (stored > most)] = np.nan
    if dtype == "i4" and unsigned:
        with pytest.raises(InputError, match="from 2,147,483,648 on would become negative"):
            read_info(path)
        return
    if dtype == "i1" and unsigned and not limited and SIGNED_BYTES:
        # older GDAL cannot convert unsigned bytes of netCDF at all; that must not pass in silence
        with pytest.raises(InputError, match="cannot be read"):
            SourceReader().read(source(path), 0, ROWS, 0, COLUMNS)
        return
    assert_every_way(path, values)


@pytest.mark.parametrize("limits, kept", [({"valid_min": 5.25}, slice(9, None)), ({"valid_max": 5.25}, slice(0, 10)),
                                          ({"valid_min": 2.25, "valid_max": 5.25}, slice(3, 10))])
def test_limits_in_units_are_valid_themselves_on_either_side(tmp_path, limits, kept):
    stored = np.arange(12, dtype=np.int16).reshape(3, 4)
    with netCDF4.Dataset(tmp_path / "limits.nc", "w") as file:
        for name, values in (("lat", (62.5, 61.5, 60.5)), ("lon", (10.5, 11.5, 12.5, 13.5))):
            file.createDimension(name, len(values))
            axis = file.createVariable(name, "f8", (name,))
            axis[:], axis.units = values, {"lat": "degrees_north", "lon": "degrees_east"}[name]
        variable = file.createVariable("v", "i2", ("lat", "lon"))
        variable.set_auto_maskandscale(False)
        variable.setncatts({"scale_factor": 0.5, "add_offset": 0.75, **limits})
        variable[:] = stored
    expected = np.full(12, np.nan)
    expected[kept] = stored.ravel()[kept] * 0.5 + 0.75
    found = SourceReader().read(source(str(tmp_path / "limits.nc")), 0, 3, 0, 4)
    np.testing.assert_array_equal(found, expected.reshape(3, 4).astype("float32"))


def test_attributes_of_hdf_count_where_gdal_leaves_them_aside(tmp_path):
    stored = np.arange(12, dtype=np.int16).reshape(3, 4)
    values = stored * 0.1
    values[(stored == 3) | (stored > 9)] = np.nan
    wkt = write_info(tmp_path).grid.wkt
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, factor in (("grid/T", 0.1), ("grid/U", 0.5)):
            variable = file.create_dataset(name, data=stored)
            variable.attrs.update({"scale_factor": factor, "_FillValue": np.int16(3), "units": "K",
                                   "valid_range": np.array([0, 9], np.int16)})
    four = SD(str(tmp_path / "a.hdf"), SDC.WRITE | SDC.CREATE | SDC.TRUNC)
    variable = four.create("T", SDC.INT16, stored.shape)
    variable[:] = stored
    for name, kind, value in (("scale_factor", SDC.FLOAT64, 0.1), ("_FillValue", SDC.INT16, 3),
                              ("valid_range", SDC.INT16, [0, 9]), ("units", SDC.CHAR, "K")):
        variable.attr(name).set(kind, value)
    variable.endaccess()
    four.end()
    for place in (f'HDF5:"{tmp_path / "a.h5"}"://grid/T', str(tmp_path / "a.hdf")):
        text = gdal.Translate("", place, format="VRT", outputSRS=wkt,
                              outputBounds=(0, 300000, 400000, 0)).GetMetadata("xml:VRT")[0]
        assert read_info(text).units == ("K",)
        assert_every_way(text, values[None], [1])


def write_info(folder):
    return read_info(write_raster(folder / "grid.tif", np.ones((3, 4))))


def test_a_scale_that_stands_in_an_attribute_alone_is_refused_where_it_may_be_a_leftover(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.ones((3, 4), np.int16), metadata={"scale_factor": 0.1})
    with pytest.raises(InputError, match="may be scaled already.*gdal_edit.py -scale 0.1"):
        read_info(path)


def test_the_scale_of_modis_land_divides(tmp_path):
    stored = np.array([[-3000, -2000, 0], [5000, 8000, 10000]], dtype=np.int16)
    values = np.array([[np.nan, -0.2, 0.0], [0.5, 0.8, 1.0]])

    def written(name, **options):
        return write_raster(tmp_path / name, stored, scale=10000, offset=0, nodata=options.get("nodata"),
                            metadata={"scale_factor": 10000, "valid_range": "-2000, 10000"})

    path = written("MOD13A3.A2001182.h12v02.061.2020083000000_NDVI.tif", nodata=-3000)
    assert_every_way(path, values[None], [1])
    assert_every_way(written("MYD13A2.A2001182_undeclared.tif"), values[None], [1])
    assert "divisor" in read_info(path).encodings[0].note
    with pytest.raises(InputError, match="the scale may be a divisor"):
        read_info(written("ndvi.tif"))
    # small factors multiply, in MODIS products too
    small = write_raster(tmp_path / "MOD11C3.A2001001.tif", stored, scale=0.02, metadata={"valid_range": "0, 65535"})
    assert np.nanmax(SourceReader().read(source(small), 0, 2, 0, 3)) == pytest.approx(200.0)


@pytest.mark.parametrize("scale", [0.0, np.inf, np.nan])
def test_a_scale_that_gives_no_values_is_refused(tmp_path, scale):
    path = write_raster(tmp_path / "a.tif", np.ones((3, 4), np.int16), scale=scale)
    with pytest.raises(InputError, match="which give no values"):
        read_info(path)


def test_four_layers_of_bytes_are_no_picture(tmp_path):
    stack = np.arange(48, dtype=np.uint8).reshape(4, 3, 4)
    labelled = write_raster(tmp_path / "labelled.tif", stack)
    assert gdal.Open(labelled).GetRasterBand(4).GetColorInterpretation() == gdal.GCI_AlphaBand
    with pytest.raises(InputError, match="labelled as the alpha band of a picture, but holds other values"):
        read_info(labelled)
    stack[3] = [[0, 255, 255, 0]] * 3
    picture = read_info(write_raster(tmp_path / "picture.tif", stack))
    assert picture.bands == 3
    path = str(tmp_path / "ours.tif")
    with Staging() as staging:
        writer = RasterWriter(OutputSpec(path, "uint8", 255, ("a", "b", "c", "d")), picture.grid, staging)
        writer.write(type("Window", (), {"row": 0, "rows": 3, "column": 0, "columns": 4}), stack)
        writer.close()
        staging.commit()
    info = read_info(path)
    assert info.bands == 4 and not info.encodings[0].masked
    found = SourceReader().read_series(Series(tuple(source(path, CLASS, band=i, info=info) for i in range(1, 5))),
                                       0, 3, 0, 4)
    np.testing.assert_array_equal(np.where(found == NO_CLASS, 255, found), stack)


def test_an_alpha_band_that_is_not_the_last_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.ones((3, 3, 4), np.float32), options=["PHOTOMETRIC=MINISBLACK"])
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.GetRasterBand(2).SetColorInterpretation(gdal.GCI_AlphaBand)
    dataset = None
    with pytest.raises(InputError, match="Band 2 of a.tif is an alpha band"):
        read_info(path)


@pytest.mark.parametrize("fill, dtype", [(-9999, "int16"), (-9999, "float32"), (-32768, "int16"), (65535, "uint16"),
                                         (-3.4e38, "float32"), (1e20, "float64"), (9.96921e36, "float32")])
@pytest.mark.parametrize("layers", [1, 3])
def test_a_fill_value_that_no_file_declares_is_refused_not_averaged(tmp_path, fill, dtype, layers):
    values = np.full((layers, 4, 4), 20, dtype=dtype)
    values[:, :2, :2] = fill
    values[:, 3] = 25
    path = write_raster(tmp_path / "a.tif", values, dtype=dtype)
    info = read_info(path)
    items = tuple(source(path, band=i + 1, info=info) for i in range(layers))
    for read in (lambda: SourceReader().read(items[0], 0, 4, 0, 4),
                 lambda: SourceReader().read_series(Series(items, single=exact_in_float32(info)), 0, 4, 0, 4),
                 lambda: SourceReader().sample(items[0])):
        with pytest.raises(InputError, match="looks like a fill value that the file does not declare"):
            read()
    declared = write_raster(tmp_path / "b.tif", values, dtype=dtype, nodata=fill)
    assert np.isnan(SourceReader().read(source(declared), 0, 4, 0, 4)[:2, :2]).all()


def test_values_that_only_look_like_fill_are_values(tmp_path):
    depths = np.linspace(-10400, 120, 40 * 40).reshape(40, 40).round().astype(np.int16)
    depths[0, 0] = -9999
    path = write_raster(tmp_path / "sea_floor.tif", depths)
    assert SourceReader().read(source(path), 0, 40, 0, 40)[0, 0] == -9999


@pytest.mark.parametrize("transform, crs, size, match", [
    ((0, 1, 0, 0, 0, 1), "EPSG:4326", (274, 232), "latitudes from 0.5 to 273.5"),
    ((0, 1, 0, 0, 0, 1), "EPSG:4326", (40, 50), "pixel numbers for coordinates"),
    ((0, 1, 0, 0, 0, -1), "EPSG:6931", (40, 50), "pixel numbers for coordinates"),
    ((-180, 1, 0, 120, 0, -1), "EPSG:4326", (60, 360), "latitudes from 60.5 to 119.5"),
    ((400, 1, 0, 80, 0, -1), "EPSG:4326", (20, 200), "longitudes from 400.5 to 599.5"),
    ((500000, 1000, 0, 7000000, 0, -1000), "EPSG:4326", (20, 20), "latitudes"),
    ((-180, 0.25, 0, 90, 0, -0.25), "EPSG:3995", (180, 1440), "degrees in a CRS of metres"),
])
def test_a_raster_that_cannot_lie_where_it_says_is_refused(tmp_path, transform, crs, size, match):
    path = write_raster(tmp_path / "a.tif", np.ones(size, np.float32), transform=transform, crs=crs)
    with pytest.raises(GridError, match=match):
        read_info(path)


@pytest.mark.parametrize("transform, size", [
    ((-1.25, 2.5, 0, 91.25, 0, -2.5), (73, 144)),
    ((-180.125, 0.25, 0, 90.125, 0, -0.25), (721, 1440)),
    ((0, 1, 0, 0, 0, 1), (90, 360)),
    ((170, 0.5, 0, 80, 0, -0.5), (20, 40)),
])
def test_grids_with_a_centre_on_the_pole_or_beyond_the_date_line_are_read(tmp_path, transform, size):
    path = write_raster(tmp_path / "a.tif", np.ones(size, np.float32), transform=transform, crs="EPSG:4326")
    assert read_info(path).grid.height == size[0]


def run_trend(paths, folder, **options):
    outputs = {name: str(folder / f"{name}.tif") for name in ("slope", "sign")}
    with Staging() as staging:
        trend_rasters(paths, outputs, staging, Log(), TrendOptions(**options))
        staging.commit()
    reader = SourceReader()
    info = read_info(outputs["slope"])
    window = (0, info.grid.height, 0, info.grid.width)
    return [reader.read(source(path), *window) for path in outputs.values()]


def run_mean(paths, folder, **options):
    with Staging() as staging:
        composite_series(paths, {"composite": str(folder / "mean.tif")}, staging, Log(),
                         CompositeOptions(**{"period": 1, **options}))
        staging.commit()
    info = read_info(str(folder / "mean.tif"))
    return SourceReader().read(source(info.path, info=info), 0, info.grid.height, 0, info.grid.width)


def years(first, number):
    return [str(first + i) for i in range(number)]


def test_trend_and_mean_of_signed_bytes(tmp_path):
    stored = np.repeat(np.arange(-60, 60, 10, dtype=np.int8), ROWS * COLUMNS).reshape(12, ROWS, COLUMNS)
    path = write_layers(tmp_path / "series.tif", stored, None, "", "int8", None, 1.0, 0.0)
    dataset = gdal.Open(path, gdal.GA_Update)
    for number, year in enumerate(years(2000, 12), start=1):
        dataset.GetRasterBand(number).SetDescription(year)
    dataset = None
    slope, sign = run_trend([path], tmp_path)
    assert (slope == 10).all() and (sign == 1).all()
    assert (run_mean([path], tmp_path) == -5).all()


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_cells_under_alpha_have_no_trend_and_no_mean(tmp_path, dtype):
    stored = (np.arange(12)[:, None, None] * 2 + np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)).astype(dtype)
    mask = np.full((ROWS, COLUMNS), 255, np.uint8)
    mask[1:3, 2:5] = 0
    path = write_layers(tmp_path / "series.tif", stored, mask, "alpha", dtype, None, 1.0, 0.0)
    dataset = gdal.Open(path, gdal.GA_Update)
    for number, year in enumerate(years(2000, 12), start=1):
        dataset.GetRasterBand(number).SetDescription(year)
    dataset = None
    slope, sign = run_trend([path], tmp_path)
    mean = run_mean([path], tmp_path)
    for found, right in ((slope, 2.0), (sign, 1.0), (mean, stored.mean(axis=0))):
        np.testing.assert_allclose(found, np.where(mask == 0, np.nan, right), rtol=1e-6)


@pytest.mark.parametrize("packed", [False, True])
def test_a_series_that_changes_from_kelvin_to_celsius_is_refused(tmp_path, packed):
    rng = np.random.default_rng(2)
    celsius = rng.normal(-8, 6, (14, 6, 6))
    paths = []
    for year, layer in enumerate(celsius, start=2000):
        values = layer + 273.15 if year < 2008 else layer
        stored = np.rint(values * 100).astype(np.int16) if packed else values.astype(np.float32)
        paths.append(write_raster(tmp_path / f"lst_{year}.tif", stored, scale=0.01 if packed else None))
    for run in (run_trend, run_mean):
        with pytest.raises(InputError, match="change their unit: lst_2000.tif looks like kelvin.*lst_2008.tif like"):
            run(paths, tmp_path)


def test_large_seasons_are_no_change_of_unit(tmp_path):
    values = np.concatenate([np.linspace(230, 300, 12), np.linspace(230, 300, 12)])
    paths = [write_raster(tmp_path / f"lst_{2000 + i // 12}-{1 + i % 12:02d}.tif", np.full((4, 4), value, np.float32))
             for i, value in enumerate(values)]
    assert run_mean(paths, tmp_path, period=12, statistic="mean") == pytest.approx(265.0)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_product_reads_the_same_by_every_way_in(case, tmp_path):
    path = case.write(tmp_path)
    dataset = gdal.Open(path)
    names = [name for name, _ in dataset.GetSubDatasets()]
    if case.subdataset:
        path = next(name for name in names if name.replace("/", ":").endswith(f":{case.subdataset}"))
        dataset = gdal.Open(path)
    stored = dataset.GetRasterBand(1).ReadAsArray().astype(np.float64)
    never = stored == np.float64(case.nodata if case.nodata is not None else np.nan)
    flagged = never | np.isin(stored, case.flags)
    transform, crs = case.place if isinstance(case.place, tuple) else (None, case.place)
    options = {} if crs is None else {"outputSRS": crs}
    if transform:
        height, width = stored.shape
        options["outputBounds"] = (transform[0], transform[3], transform[0] + width * transform[1],
                                   transform[3] + height * transform[5])
    text = gdal.Translate("", os.path.abspath(path) if os.path.exists(path) else path, format="VRT",
                          **options).GetMetadata("xml:VRT")[0]
    for place in [text] if crs is not None else [text, path]:
        found = SourceReader().read(source(place), 0, stored.shape[0], 0, stored.shape[1])
        # flags are nodata where the file's own valid range says so, else the preset does
        assert np.isnan(found[never]).all() and not np.isnan(found[~flagged]).any()
        known = ~np.isnan(found)
        np.testing.assert_allclose(found[known], (stored * (case.scale or 1.0))[known], rtol=1e-6)
        assert_every_way(place, found[None], [1])


@pytest.mark.parametrize("stated, unsigned, valid", [
    ("{10, -1}", True, (10, 255)), ("{0, -128}", True, (0, 128)), ("{5, 0}", True, ()), ("{10, -1}", False, ()),
    ("{-5, -1}", True, (-5, -1)), ("{7, 7}", True, ()), ("{1, 2, 3}", True, ()), ("{0, 90}", True, (0, 90))])
def test_a_range_of_unsigned_bytes_is_written_in_signed_ones(stated, unsigned, valid):
    assert _valid_range({"valid_range": stated}, "Byte", 1.0, 0.0, False, unsigned) == valid
