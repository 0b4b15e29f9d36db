"""A source delivers the same values however it is stored, and the right ones on another grid."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, osr
from warp_reference import ROUNDED, Places, check, class_areas

from pti_plugin.core.common.errors import GridError, InputError
from pti_plugin.core.rasters import raster, warping
from pti_plugin.core.rasters.gdal_errors import open_raster
from pti_plugin.core.rasters.grid import Grid, epsg_wkt
from pti_plugin.core.rasters.raster import (
    CLASS,
    NO_CLASS,
    NUMBER,
    SourceReader,
    display_name,
    on_grid,
    read_info,
    source,
    values_at,
)
from support import ROOT, TRANSFORM, read_raster, write_raster

EXPECTED = np.array([[np.nan, -2.5, 0.0, 1.0], [7.5, np.nan, -9.0, 0.0]])
SPHERE = "+proj=laea +lat_0=90 +lon_0=180 +R=6371228 +units=m"
STEREOGRAPHIC_71 = "+proj=stere +lat_0=90 +lat_ts=71 +lon_0=0 +datum=WGS84 +units=m"
SINUSOIDAL = "+proj=sinu +lon_0=0 +R=6371007.181 +units=m"
HOMOLOSINE = "+proj=igh +datum=WGS84 +units=m"


def read(path, kind=NUMBER, band=1, **changes):
    """Read a whole raster on its own grid."""
    item = dataclasses.replace(source(path, kind, band), **changes)
    return SourceReader().read(item, 0, item.grid.height, 0, item.grid.width)


def add_mask(path, valid):
    """Give a GeoTIFF a mask for the whole data set."""
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
    dataset.GetRasterBand(1).GetMaskBand().WriteArray(np.where(valid, 255, 0).astype("uint8"))
    dataset.FlushCache()
    return path


# the nodata contract ---------------------------------------------------------------------------------------------

def test_nan_is_nodata_and_zero_is_a_value(tmp_path):
    for dtype in ("float32", "float64"):
        path = write_raster(tmp_path / f"{dtype}.tif", EXPECTED, dtype=dtype)
        np.testing.assert_array_equal(read(path), EXPECTED)


@pytest.mark.parametrize("dtype, nodata", [
    ("float32", -9999), ("float64", -9999), ("float32", float("nan")), ("float64", 1e300), ("float32", 0.1),
    ("float32", -3.4028234663852886e38), ("float32", 1e20), ("float32", -9999.9)])
def test_declared_nodata_of_floats(tmp_path, dtype, nodata):
    path = write_raster(tmp_path / "x.tif", np.where(np.isnan(EXPECTED), nodata, EXPECTED), dtype=dtype, nodata=nodata)
    np.testing.assert_array_equal(read(path), EXPECTED)


def test_float32_nodata_declared_in_rounded_decimals(tmp_path):
    # as programs write it in text: not the float32 itself, but it stands for it
    path = write_raster(tmp_path / "x.tif", np.where(np.isnan(EXPECTED), -3.4028234663852886e38, EXPECTED),
                        dtype="float32")
    vrt = str(tmp_path / "x.vrt")
    gdal.Translate(vrt, path, format="VRT")
    text = open(vrt, encoding="utf-8").read()
    with open(vrt, "w", encoding="utf-8") as stream:
        stream.write(text.replace("<ColorInterp>", "<NoDataValue>-3.40282346638529e+38</NoDataValue><ColorInterp>"))
    np.testing.assert_array_equal(read(vrt), EXPECTED)


@pytest.mark.parametrize("dtype, nodata", [("uint8", 255), ("int16", -32768), ("uint16", 65535), ("int32", -2147483648),
                                           ("uint32", 4294967295), ("int16", 127)])
def test_declared_nodata_of_integers(tmp_path, dtype, nodata):
    values = np.array([[nodata, 0, 1], [2, 254 if dtype == "uint8" else 300, nodata]])
    path = write_raster(tmp_path / "x.tif", values, dtype=dtype, nodata=nodata)
    np.testing.assert_array_equal(read(path), np.where(values == nodata, np.nan, values))
    np.testing.assert_array_equal(read(path, CLASS), np.where(values == nodata, NO_CLASS, values))


@pytest.mark.parametrize("dtype, nodata", [("uint8", -9999), ("uint8", 256), ("uint8", 1.5), ("int16", 40000)])
def test_nodata_that_the_type_cannot_hold_matches_nothing(tmp_path, dtype, nodata):
    path = write_raster(tmp_path / "x.tif", np.array([[0, 1, 241], [255, 2, 64]]), dtype=dtype)
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.GetRasterBand(1).SetNoDataValue(nodata)
    declared = dataset.GetRasterBand(1).GetNoDataValue()
    dataset = None
    assert declared == nodata
    np.testing.assert_array_equal(read(path), [[0, 1, 241], [255, 2, 64]])


def test_zero_declared_nodata_is_nodata(tmp_path):
    path = write_raster(tmp_path / "x.tif", np.array([[0, 1], [2, 0]]), dtype="uint8", nodata=0)
    np.testing.assert_array_equal(read(path), [[np.nan, 1], [2, np.nan]])


def test_signed_bytes_are_signed(tmp_path):
    path = write_raster(tmp_path / "x.tif", np.array([[255, 1], [0, 128]]), dtype="uint8",
                        options=["PIXELTYPE=SIGNEDBYTE"])
    dataset = gdal.Open(path)
    if dataset.GetRasterBand(1).GetMetadataItem("PIXELTYPE", "IMAGE_STRUCTURE") != "SIGNEDBYTE":
        pytest.skip("this GDAL has a type of its own for signed bytes")
    np.testing.assert_array_equal(read(path), [[-1, 1], [0, -128]])


def test_scale_and_offset_are_applied_and_nodata_is_compared_before(tmp_path):
    stored = np.array([[-32768, 0, 100], [27315, -9999, -11000]])
    path = write_raster(tmp_path / "x.tif", stored, dtype="int16", nodata=-32768, scale=0.01, offset=150.0)
    expected = np.where(stored == -32768, np.nan, stored * 0.01 + 150)
    np.testing.assert_allclose(read(path), expected, rtol=1e-15)
    # 200 as nodata of the stored numbers must not take the value 200 of the scaled ones
    path = write_raster(tmp_path / "y.tif", np.array([[200, 100], [20000, 0]]), dtype="int16", nodata=200, scale=2)
    np.testing.assert_array_equal(read(path), [[np.nan, 200], [40000, 0]])


def test_classes_are_not_scaled(tmp_path):
    path = write_raster(tmp_path / "x.tif", np.array([[10, 20]]), dtype="uint8", scale=0.5, offset=3)
    np.testing.assert_array_equal(read(path, CLASS), [[10, 20]])


def test_units_are_converted_after_the_bands_own_scale(tmp_path):
    path = write_raster(tmp_path / "x.tif", np.array([[27315, 0]]), dtype="uint16", nodata=0, scale=0.01)
    np.testing.assert_allclose(read(path, scale=1.0, offset=-273.15), [[0, np.nan]], atol=1e-9)


def test_flag_codes_are_stored_codes(tmp_path):
    path = write_raster(tmp_path / "x.tif", np.array([[250, 100], [211, 254]]), dtype="uint8", scale=0.5, nodata=254)
    np.testing.assert_array_equal(read(path, flags=(250, 211)), [[np.nan, 50], [np.nan, np.nan]])
    np.testing.assert_array_equal(read(path, CLASS, flags=(250,)), [[NO_CLASS, 100], [211, NO_CLASS]])


@pytest.mark.parametrize("internal", ["YES", "NO"])
def test_a_mask_of_the_data_set_is_nodata(tmp_path, internal):
    valid = ~np.isnan(EXPECTED)
    gdal.SetConfigOption("GDAL_TIFF_INTERNAL_MASK", internal)
    path = add_mask(write_raster(tmp_path / "x.tif", np.nan_to_num(EXPECTED, nan=5.0), dtype="float32"), valid)
    gdal.SetConfigOption("GDAL_TIFF_INTERNAL_MASK", None)
    np.testing.assert_array_equal(read(path), EXPECTED)


def test_mask_and_declared_nodata_both_count(tmp_path):
    values = np.array([[1.0, 2.0], [-9999.0, 4.0]])
    path = add_mask(write_raster(tmp_path / "x.tif", values, dtype="float32", nodata=-9999),
                    np.array([[True, False], [True, True]]))
    np.testing.assert_array_equal(read(path), [[1, np.nan], [np.nan, 4]])


def test_an_alpha_band_is_a_mask_and_no_layer(tmp_path):
    alpha = np.where(np.isnan(EXPECTED), 0, 255)
    path = write_raster(tmp_path / "x.tif", np.stack([np.nan_to_num(EXPECTED, nan=3), alpha]), dtype="float32",
                        options=["ALPHA=YES"])
    assert read_info(path).bands == 1
    assert source(path, single_band=True).band == 1
    np.testing.assert_array_equal(read(path), EXPECTED)


def test_infinite_numbers_are_nodata(tmp_path):
    path = write_raster(tmp_path / "x.tif", np.array([[np.inf, 1.0, -np.inf]]), dtype="float32")
    np.testing.assert_array_equal(read(path), [[np.nan, 1, np.nan]])


@pytest.mark.parametrize("value", [0.25, 1e10, np.inf])
def test_a_class_raster_holds_whole_numbers(tmp_path, value):
    path = write_raster(tmp_path / "x.tif", np.array([[1.0, value, np.nan]]), dtype="float32")
    with pytest.raises(InputError, match=r"x\.tif holds the value .* where whole-numbered codes are expected"):
        read(path, CLASS)


def test_whole_numbers_stored_as_floats_are_classes(tmp_path):
    path = write_raster(tmp_path / "x.tif", np.array([[-1.0, 0.0, np.nan]]), dtype="float32")
    np.testing.assert_array_equal(read(path, CLASS), [[-1, 0, NO_CLASS]])


def test_complex_numbers_are_refused(tmp_path):
    path = write_raster(tmp_path / "x.tif", np.ones((2, 2), dtype="complex64"))
    with pytest.raises(InputError, match="complex numbers"):
        read(path)


def test_a_value_outside_the_plausible_range_is_an_error_naming_it(tmp_path):
    path = write_raster(tmp_path / "x.tif", np.array([[1.0, 250.0]]), dtype="float32")
    with pytest.raises(InputError, match=r"x\.tif holds the value 250, outside the plausible 0 to 100"):
        read(path, valid=(0.0, 100.0))
    np.testing.assert_array_equal(read(path, valid=(0.0, 250.0)), [[1, 250]])


def test_what_lies_beyond_the_raster_is_nodata(tmp_path):
    path = write_raster(tmp_path / "x.tif", EXPECTED, dtype="float32")
    window = SourceReader().read(source(path), -1, 4, -2, 8)
    np.testing.assert_array_equal(window[1:3, 2:6], EXPECTED)
    window[1:3, 2:6] = np.nan
    assert np.isnan(window).all()
    assert (SourceReader().read(source(path, CLASS), 5, 2, 0, 3) == NO_CLASS).all()


# files -----------------------------------------------------------------------------------------------------------

def test_a_vrt_is_read_with_its_scale(tmp_path):
    path = write_raster(tmp_path / "x.tif", np.array([[100, 200], [0, 300]]), dtype="int16", nodata=0, scale=0.01)
    vrt = str(tmp_path / "x.vrt")
    gdal.BuildVRT(vrt, [path])
    np.testing.assert_allclose(read(vrt), read(path))
    assert np.nanmax(read(vrt)) == 3


def test_a_netcdf_variable_is_read_by_its_subdataset(tmp_path):
    if gdal.GetDriverByName("netCDF") is None:
        pytest.skip("this GDAL has no netCDF")
    tif = write_raster(tmp_path / "x.tif", np.array([[[1, 2], [-99, 4]], [[5, 6], [7, 8]]]), dtype="int16", nodata=-99,
                       crs="EPSG:4326", transform=(10, 0.5, 0, 70, 0, -0.5))
    file = str(tmp_path / "x.nc")
    gdal.Translate(file, tif, format="netCDF")
    names = [name for name, _ in gdal.Open(file).GetSubDatasets()]
    assert len(names) == 2
    np.testing.assert_array_equal(read(names[0]), [[1, 2], [np.nan, 4]])
    assert display_name(names[1]) == "x.nc:Band2"
    assert read_info(names[0]).grid.same(read_info(tif).grid)
    vrt = str(tmp_path / "x.vrt")
    gdal.Translate(vrt, names[1], format="VRT")
    np.testing.assert_array_equal(read(vrt), [[5, 6], [7, 8]])
    with pytest.raises(InputError, match=r"holds no raster band\. Choose one of its variables: .*Band1.*Band2"):
        read_info(file)


def test_several_bands_are_refused_where_one_is_expected(tmp_path):
    path = write_raster(tmp_path / "x.tif", np.ones((3, 2, 2)), dtype="float32")
    with pytest.raises(InputError, match=r"x\.tif has 3 bands where a single layer is expected"):
        source(path, single_band=True)
    assert source(path, band=3).name == "x.tif (band 3)"
    with pytest.raises(InputError, match=r"has no band 4; it has 3"):
        source(path, band=4)


def test_no_crs_and_no_georeference_are_refused_with_the_remedy(tmp_path):
    bare = write_raster(tmp_path / "bare.tif", EXPECTED, dtype="float32", crs=None)
    with pytest.raises(GridError, match=r"bare\.tif has no CRS\. Assign the right one"):
        read_info(bare)
    adrift = write_raster(tmp_path / "adrift.tif", EXPECTED, dtype="float32", transform=None)
    with pytest.raises(GridError, match=r"adrift\.tif has no georeference"):
        read_info(adrift)


def test_a_missing_file_and_a_file_that_is_no_raster(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.tif does not exist\. Check the path"):
        read_info(tmp_path / "nowhere.tif")
    (tmp_path / "text.tif").write_text("not a raster", encoding="utf-8")
    with pytest.raises(InputError, match=r"text\.tif cannot be opened"):
        read_info(tmp_path / "text.tif")


def test_a_truncated_file_is_an_error_and_never_values(tmp_path):
    rng = np.random.default_rng(3)
    path = write_raster(tmp_path / "x.tif", rng.normal(size=(300, 300)), dtype="float32",
                        options=["COMPRESS=DEFLATE", "TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64"])
    content = open(path, "rb").read()
    with open(path, "wb") as stream:
        stream.write(content[:len(content) * 2 // 3])
    with pytest.raises(InputError, match=r"x\.tif cann?ot be (read|opened)"):
        read(path)


def test_flipped_bytes_in_a_compressed_block_are_an_error(tmp_path):
    path = write_raster(tmp_path / "x.tif", np.random.default_rng(3).normal(size=(256, 256)), dtype="float32",
                        options=["COMPRESS=DEFLATE", "TILED=YES"])
    content = bytearray(open(path, "rb").read())
    middle = len(content) // 2
    content[middle:middle + 64] = bytes(byte ^ 0xFF for byte in content[middle:middle + 64])
    with open(path, "wb") as stream:
        stream.write(content)
    with pytest.raises(InputError, match=r"x\.tif cannot be read at row"):
        read(path)


def test_a_sample_is_decimated_but_never_blind(tmp_path):
    values = np.full((1400, 1400), np.nan)
    path = write_raster(tmp_path / "none.tif", values, dtype="float32", nodata=-1)
    assert np.isnan(SourceReader().sample(source(path))).all()
    values[1399, 1398] = 4
    path = write_raster(tmp_path / "one.tif", values, dtype="float32", nodata=-1)
    assert np.nanmax(SourceReader().sample(source(path))) == 4
    values[:] = np.arange(1400)[:, None]
    path = write_raster(tmp_path / "all.tif", values, dtype="float32", nodata=-1)
    sample = SourceReader().sample(source(path))
    assert sample.shape == (512, 512) and 1390 < np.nanmax(sample) <= 1399


OPEN = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
from pti_plugin.core.rasters.raster import SourceReader, source
paths = [os.path.join(sys.argv[1], f"{i}.tif") for i in range(150)]
items = [source(path) for path in paths]
readers, most = [SourceReader() for _ in range(4)], 0
for number in (*range(150), *range(150)):
    for reader in readers:
        assert reader.read(items[number], 0, 1, 0, 1)[0, 0] == number, number
    most = max(most, sum(os.readlink(f"/proc/self/fd/{name}").startswith(sys.argv[1])
                         for name in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{name}")))
print(most)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files cannot be counted here")
def test_more_files_than_may_be_open_are_read_in_turn_by_all_readers_together(tmp_path):
    """Half of the 200 files that may be open are left to others, whatever the number of readers."""
    for number in range(150):
        write_raster(tmp_path / f"{number}.tif", np.full((2, 2), number), dtype="float32")
    done = subprocess.run([sys.executable, "-c", OPEN, str(tmp_path)], capture_output=True, text=True, cwd=ROOT,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert 20 < int(done.stdout) <= 104


# warping ---------------------------------------------------------------------------------------------------------

TARGETS = {
    "polar, seam inside": Grid(epsg_wkt(6931), (-4000000.0, 50000.0, 0.0, 4000000.0, 0.0, -50000.0), 160, 160),
    "finer": Grid(epsg_wkt(3995), (-500000.0, 10000.0, 0.0, 800000.0, 0.0, -10000.0), 110, 130),
    "degrees": Grid(epsg_wkt(4326), (-180.0, 1.25, 0.0, 90.0, 0.0, -1.25), 288, 36),
}
ALASKA = Grid(epsg_wkt(3338), (-800000.0, 5000.0, 0.0, 2400000.0, 0.0, -5000.0), 260, 280)
#: CRS, transform, columns, rows of sources that all reach from the pole to 40° N or further
LAYOUTS = {
    "degrees -180 to 180": ("EPSG:4326", (-180, 0.5, 0, 90, 0, -0.5), 720, 110),
    "degrees 0 to 360": ("EPSG:4326", (0, 0.5, 0, 90, 0, -0.5), 720, 110),
    "polar stereographic": ("EPSG:3995", (-6200000, 40000, 0, 6200000, 0, -40000), 310, 310),
    "LAEA on a sphere": (SPHERE, (-6000000, 40000, 0, 6000000, 0, -40000), 300, 300),
    "rows from the south": ("EPSG:4326", (-180, 0.5, 0, 35, 0, 0.5), 720, 110),
    "columns twice": ("EPSG:4326", (-180, 0.5, 0, 90, 0, -0.5), 724, 110),
    "stereographic at 71": (STEREOGRAPHIC_71, (-6200000, 40000, 0, 6200000, 0, -40000), 310, 310),
    "sinusoidal": (SINUSOIDAL, (-20020000, 40000, 0, 10010000, 0, -40000), 1001, 140),
    "homolosine": (HOMOLOSINE, (-20040000, 40000, 0, 8720000, 0, -40000), 1002, 113),
}
#: meridians at which a source ends or is torn open
SEAMS = {"degrees -180 to 180": (180,), "rows from the south": (180,), "columns twice": (180, -178),
         "degrees 0 to 360": (0,), "sinusoidal": (180,), "homolosine": (180, -40)}


def layout(folder, name, values=None, seed=1, kind=NUMBER):
    """Write a source of that layout; random values with holes unless given. Returns its path."""
    crs, transform, columns, rows = LAYOUTS[name]
    if values is None:
        rng = np.random.default_rng(seed)
        values = rng.integers(1, 9, (rows, columns)) if kind == CLASS else rng.normal(size=(rows, columns))
        values = np.where(rng.random(values.shape) < 0.1, -9999, values)
    return write_raster(folder / f"{name}.tif", np.broadcast_to(values, (rows, columns)), crs=crs, transform=transform,
                        nodata=-9999, dtype="int16" if kind == CLASS else "float64")


def warped_whole(path, target, resampling):
    """The same by one call of gdalwarp on the whole raster, without approximation."""
    x0, a, _, y0, _, e = target.transform
    dataset = gdal.Warp("", path, format="MEM", dstSRS=target.wkt, width=target.width, height=target.height,
                        outputBounds=(x0, y0 + e * target.height, x0 + a * target.width, y0), resampleAlg=resampling,
                        errorThreshold=0, dstNodata=-9999, outputType=gdal.GDT_Float64,
                        warpOptions=["SAMPLE_GRID=YES", "SOURCE_EXTRA=50"] + (
                            ["XSCALE=1", "YSCALE=1"] if resampling == "bilinear" else []))
    values = dataset.GetRasterBand(1).ReadAsArray()
    return np.where(values == -9999, np.nan, values)


def read_on(path, target, kind=NUMBER, step=None):
    """Read a source on a grid, at once or in windows of ``step`` cells."""
    item, reader = on_grid(source(path, kind), target), SourceReader()
    if step is None:
        return item, reader.read(item, 0, target.height, 0, target.width)
    parts = [[reader.read(item, row, min(step, target.height - row), column, min(step, target.width - column))
              for column in range(0, target.width, step)] for row in range(0, target.height, step)]
    return item, np.block(parts)


def exceptional_cells(grid, name):
    """Cells that hold or touch the pole, or that lie within a cell's width of a seam of the source."""
    lattice = np.meshgrid(np.arange(-1, grid.width + 2), np.arange(-1, grid.height + 2))
    longitude, latitude = (values.reshape(lattice[0].shape) for values in grid.lonlat(*lattice))
    found = np.zeros((grid.height, grid.width), dtype=bool)
    seams = [np.mod(longitude - meridian + 180, 360) - 180 for meridian in SEAMS.get(name, ())]
    for row in range(4):
        for column in range(4):
            part = np.s_[row:row + grid.height, column:column + grid.width]
            found |= latitude[part] > 90 - 1e-9
            for seam in seams:
                for other in (np.s_[0:grid.height, 0:grid.width], np.s_[3:3 + grid.height, 0:grid.width]):
                    found |= (seam[part] * seam[other] <= 1e-9) & (np.abs(seam[part] - seam[other]) < 180)
    return found


def places_of(path, target, rows, columns):
    """Return the Places of cells of a target on a source."""
    crs, transform, width, height = LAYOUTS.get(Path(path).stem, (None,) * 4)
    info = read_info(path).grid
    source_terms = (crs or info.wkt, transform or info.transform, width or info.width, height or info.height)
    return Places(source_terms, (target.wkt, target.transform, target.width, target.height), rows, columns)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("kind", [NUMBER, CLASS])
def test_warped_cells_are_what_pyproj_and_clipped_polygons_make_of_the_source(tmp_path, name, target, kind):
    path, grid = layout(tmp_path, name, kind=kind), TARGETS[target]
    item, found = read_on(path, grid, kind)
    assert item.resampling == {("finer", NUMBER): "bilinear", ("finer", CLASS): "near"}.get(
        (target, kind), "average" if kind == NUMBER else "mode")
    assert (found > NO_CLASS).mean() > 0.5
    # cells across the pole or a seam of the source have a test of their own
    rows, columns = np.nonzero(~exceptional_cells(grid, name))
    some = np.random.default_rng(4).choice(rows.size, 1000, replace=False)
    rows, columns = rows[some], columns[some]
    values = np.where(found == NO_CLASS, np.nan, found)[rows, columns]
    check(values, places_of(path, grid, rows, columns), read_raster(path), item.resampling)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("kind", [NUMBER, CLASS])
def test_a_full_source_leaves_no_holes_at_the_pole_or_the_seam(tmp_path, name, target, kind):
    path = layout(tmp_path, name, np.array([[7]]), kind=kind)
    _, found = read_on(path, TARGETS[target], kind)
    grid = TARGETS[target]
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    latitude = grid.lonlat(columns, rows)[1]
    inside = latitude > 46
    if target == "degrees":
        # a cell that touches the pole may have a footprint without width
        inside[0] = False
    assert inside.sum() > 1000
    np.testing.assert_allclose(found[inside], 7, rtol=1e-12)


def smooth(longitude, latitude):
    """A field without seam or pole: the geocentric x and z of a place."""
    longitude, latitude = np.radians(longitude), np.radians(latitude)
    return 10 + 5 * np.cos(latitude) * np.cos(longitude - np.radians(160)) + np.sin(latitude)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", LAYOUTS)
def test_cells_across_the_seam_and_round_the_pole_have_the_values_of_their_place(tmp_path, name, target):
    grid = TARGETS[target]
    crs, transform, columns, rows = LAYOUTS[name]
    own = read_info(layout(tmp_path, name, np.array([[0]]))).grid
    values = smooth(*own.lonlat(*np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)))
    _, found = read_on(layout(tmp_path, name, np.nan_to_num(values, nan=-9999)), grid)
    place = grid.lonlat(*np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5))
    inside = (place[1] > 46) & ~np.isnan(found)
    if target == "degrees":
        inside[0] = False
    # half a source cell, since gdalwarp knows a footprint by two of its corners
    step = 5 * np.radians(0.25) if crs == "EPSG:4326" else 5 * transform[1] / 2 / 6371000
    # far from a central meridian these lay a cell aslant: its corners are so many half cells from its centre (in the
    # homolosine 6 at 85° N, 150° from the meridian of its lobe)
    step *= {"sinusoidal": np.pi, "homolosine": 6}.get(name, 1)
    assert np.abs(found - smooth(*place))[inside].max() < 1.2 * step


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("kind", [NUMBER, CLASS])
def test_a_cell_does_not_depend_on_the_window_it_is_read_in(tmp_path, name, kind):
    # larger than one tile of the warper, so that windows cross tiles
    target = Grid(epsg_wkt(6931), (-4000000.0, 25000.0, 0.0, 4000000.0, 0.0, -25000.0), 320, 300)
    path = layout(tmp_path, name, kind=kind)
    whole = read_on(path, target, kind)[1]
    for step in (37, 300):
        np.testing.assert_array_equal(read_on(path, target, kind, step)[1], whole)


def test_windows_too_large_for_memory_are_warped_in_parts(tmp_path, monkeypatch):
    path = layout(tmp_path, "degrees -180 to 180")
    whole = read_on(path, TARGETS["polar, seam inside"])[1]
    monkeypatch.setattr(warping, "SOURCE_CELLS", 30_000)
    np.testing.assert_array_equal(read_on(path, TARGETS["polar, seam inside"])[1], whole)


def test_warped_windows_beyond_the_target_are_nodata(tmp_path):
    item = on_grid(source(layout(tmp_path, "polar stereographic", np.array([[3.0]]))), TARGETS["polar, seam inside"])
    window = SourceReader().read(item, -2, 5, 158, 5)
    assert np.isnan(window[:2]).all() and np.isnan(window[:, 2:]).all()
    whole = SourceReader().read(item, 0, 160, 0, 160)
    np.testing.assert_array_equal(window[2:, :2], whole[:3, 158:])


def test_a_source_on_the_same_grid_is_not_warped(tmp_path):
    path = write_raster(tmp_path / "x.tif", EXPECTED, dtype="float32")
    item = on_grid(source(path), Grid(epsg_wkt(6931), TRANSFORM, 4, 2))
    assert item.target is None
    np.testing.assert_array_equal(SourceReader().read(item, 0, 2, 0, 4), EXPECTED)


def test_a_source_elsewhere_is_refused(tmp_path):
    path = write_raster(tmp_path / "south.tif", np.ones((5, 5)), crs="EPSG:4326", transform=(10, 1, 0, -40, 0, -1))
    with pytest.raises(GridError, match=r"south\.tif does not overlap the target grid \(EPSG:6931"):
        on_grid(source(path), TARGETS["polar, seam inside"])


def test_a_source_that_covers_a_corner_only_is_used_there(tmp_path):
    path = write_raster(tmp_path / "corner.tif", np.full((4, 4), 5.0),
                        transform=(3900000, 25000, 0, -3900000, 0, -25000))
    _, found = read_on(path, TARGETS["polar, seam inside"])
    # the average gives cells that only touch the source a value too, as gdalwarp does
    assert found[159, 159] == 5 and 4 <= np.isfinite(found).sum() <= 9


def test_warping_with_gdal_exceptions_on_keeps_the_cells_that_have_an_image(tmp_path):
    # the south pole has no place in the polar stereographic source; with exceptions it once emptied whole tiles
    path = layout(tmp_path, "polar stereographic", np.array([[3.0]]))
    globe = Grid(epsg_wkt(6931), (-14000000.0, 200000.0, 0.0, 14000000.0, 0.0, -200000.0), 140, 140)
    silent = read_on(path, globe)[1]
    gdal.UseExceptions()
    osr.UseExceptions()
    try:
        raising = read_on(path, globe)[1]
    finally:
        osr.DontUseExceptions()
        gdal.DontUseExceptions()
    assert (silent == 3).sum() > 1000
    np.testing.assert_array_equal(raising, silent)


@pytest.mark.parametrize("file, kind", [
    ("cci_v3_pfr_median_ps71_13.9km.tif", NUMBER), ("cci_v3_alt_median1997-2019_ps71_13.9km.tif", NUMBER),
    ("ipa_nhipa_laea_12.5km.tif", CLASS)])
@pytest.mark.parametrize("target", ["polar, seam inside", "Alaska"])
def test_real_products_are_warped_as_by_pyproj_and_clipped_polygons(shared_data, file, kind, target):
    path = str(shared_data / "permafrost_maps" / file)
    grid = TARGETS.get(target, ALASKA)
    item, found = read_on(path, grid, kind)
    rows, columns = (part.ravel() for part in np.mgrid[0:grid.height, 0:grid.width])
    some = np.random.default_rng(4).choice(rows.size, 4000, replace=False)
    rows, columns = rows[some], columns[some]
    values = np.where(found == NO_CLASS, np.nan, found)[rows, columns]
    assert len(np.unique(found[found > NO_CLASS])) > 5
    check(values, places_of(path, grid, rows, columns), read_raster(path), item.resampling)
    if target == "polar, seam inside":
        np.testing.assert_array_equal(read_on(path, grid, kind, 61)[1], found)


# warping large grids -----------------------------------------------------------------------------------------------

NCEP = ("EPSG:4326", (-1.25, 2.5, 0, 91.25, 0, -2.5), 144, 22)


def test_cells_centred_on_the_pole_and_the_meridian_are_interpolated_between_their_centres(tmp_path):
    crs, transform, columns, rows = NCEP
    longitude, latitude = np.meshgrid(np.arange(columns) * 2.5, 90 - np.arange(rows) * 2.5)
    values = smooth(longitude, latitude)
    path = write_raster(tmp_path / "air.tif", values, crs=crs, transform=transform, dtype="float64")
    grid = TARGETS["polar, seam inside"]
    item, found = read_on(path, grid)
    assert item.resampling == "bilinear"
    place = grid.lonlat(*np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5))
    # by hand, round the circle; 88.75 is the last latitude below which both rows lie on the Earth
    inside = (place[1] > 46) & (place[1] < 87.5)
    x, y = np.mod(place[0], 360) / 2.5, (90 - place[1]) / 2.5
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    left, top, x, y = left[inside], top[inside], (x - left)[inside], (y - top)[inside]
    expected = ((values[top, left % 144] * (1 - x) + values[top, (left + 1) % 144] * x) * (1 - y)
                + (values[top + 1, left % 144] * (1 - x) + values[top + 1, (left + 1) % 144] * x) * y)
    np.testing.assert_allclose(found[inside], expected, rtol=0, atol=ROUNDED)
    np.testing.assert_allclose(found[place[1] > 86], smooth(*place)[place[1] > 86], rtol=0, atol=0.05)


@pytest.fixture
def approximate(monkeypatch):
    """Grids of any size are warped as large ones are."""
    monkeypatch.setattr(raster, "WARP_EXACT_CELLS", 0)


def test_only_large_grids_have_an_error_of_position(tmp_path):
    path = layout(tmp_path, "degrees -180 to 180")
    assert on_grid(source(path), TARGETS["finer"]).position_error == 0
    large = Grid(epsg_wkt(6931), (-4000000.0, 6000.0, 0.0, 4000000.0, 0.0, -6000.0), 1300, 1300)
    item = on_grid(source(path), large)
    assert 0 < item.position_error < raster.WARP_ERROR[NUMBER] / 4
    assert on_grid(source(path), TARGETS["finer"]).position_error == 0
    assert on_grid(item, item.grid) == source(path)


@pytest.mark.parametrize("column, top, exact", [(128, 256, True), (128, -60, False), (127.5, -200, False),
                                                (100, -600, False), (0, -3500, False)])
def test_positions_on_large_grids_are_right_within_the_stated_error(tmp_path, approximate, column, top, exact):
    # values that are their own column; with the pole above the middle of the rows, or within them
    path = write_raster(tmp_path / "x.tif", np.broadcast_to(np.arange(180.0), (200, 180)), crs="EPSG:4326",
                        transform=(-180, 2, 0, 90, 0, -0.25), dtype="float64")
    grid = Grid(epsg_wkt(6931), (-2000.0 * column, 2000.0, 0.0, 1000.0 * top, 0.0, -2000.0), 256, 256)
    item, found = read_on(path, grid)
    assert item.resampling == "bilinear" and item.position_error > 0
    reference = SourceReader().read(dataclasses.replace(item, position_error=0.0), 0, 256, 0, 256)
    wrong = np.nanmax(np.abs(found - reference))
    assert wrong <= item.position_error
    assert (wrong == 0) == exact


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("kind", [NUMBER, CLASS])
def test_large_grids_have_no_holes_and_do_not_depend_on_the_window(tmp_path, approximate, name, kind):
    target = Grid(epsg_wkt(6931), (-4000000.0, 25000.0, 0.0, 4000000.0, 0.0, -25000.0), 320, 300)
    path = layout(tmp_path, name, np.array([[7]]), kind=kind)
    inside = target.lonlat(*np.meshgrid(np.arange(320) + 0.5, np.arange(300) + 0.5))[1] > 46
    np.testing.assert_allclose(read_on(path, target, kind)[1][inside], 7, rtol=1e-12)
    path = layout(tmp_path, name, kind=kind)
    whole = read_on(path, target, kind)[1]
    np.testing.assert_array_equal(read_on(path, target, kind, 100)[1], whole)


@pytest.mark.parametrize("dtype, nodata, options", [
    ("uint8", 0, {}), ("uint8", None, {}), ("uint8", 255, {"flags": (0, 250)}), ("int16", -1, {}), ("float32", -1, {}),
    ("uint8", 0, {"keep": (1, 300)})])
def test_classes_of_any_type_are_counted_alike(tmp_path, dtype, nodata, options):
    rng = np.random.default_rng(5)
    classes = rng.integers(1, 9, (110, 720))
    missing = rng.random(classes.shape) < 0.1 if nodata is not None else np.zeros(classes.shape, dtype=bool)
    crs, transform, _, _ = LAYOUTS["degrees -180 to 180"]
    plain = write_raster(tmp_path / "plain.tif", np.where(missing, -9999, classes), crs=crs, transform=transform,
                         nodata=-9999, dtype="float64")
    stored = np.where(missing, nodata if nodata is not None else 0, classes)
    if "flags" in options:
        stored[missing] = rng.choice([0, 250, 255], missing.sum())
    path = write_raster(tmp_path / "x.tif", stored, crs=crs, transform=transform, nodata=nodata, dtype=dtype)
    grid = TARGETS["polar, seam inside"]
    item = dataclasses.replace(on_grid(source(path, CLASS), grid), **options)
    found = SourceReader().read(item, 0, grid.height, 0, grid.width)
    np.testing.assert_array_equal(found, read_on(plain, grid, CLASS)[1])
    assert set(np.unique(found)) - {NO_CLASS} == set(range(1, 9))


def test_more_codes_than_bytes_hold_are_counted(tmp_path):
    rng = np.random.default_rng(6)
    crs, transform, width, height = LAYOUTS["degrees -180 to 180"]
    for codes in (np.arange(256), np.arange(-300, 700), rng.integers(-2**31 + 1, 2**31 - 1, 400)):
        values = np.repeat(rng.choice(codes, (height, width // 2)), 2, axis=1)
        path = write_raster(tmp_path / "x.tif", values, crs=crs, transform=transform,
                            dtype="uint8" if codes.max() == 255 else "int32")
        grid = TARGETS["polar, seam inside"]
        item, found = read_on(path, grid, CLASS)
        rows, columns = np.nonzero(~exceptional_cells(grid, "degrees -180 to 180"))
        some = rng.choice(rows.size, 1000, replace=False)
        rows, columns = rows[some], columns[some]
        places = Places((crs, transform, width, height), (grid.wkt, grid.transform, 160, 160), rows, columns)
        check(found[rows, columns].astype(float), places, values.astype(float), item.resampling)


def test_classes_of_a_large_grid_are_those_of_the_largest_shares(shared_data):
    path = str(shared_data / "landcover" / "koppen_geiger_simplified_30s_45N.tif")
    grid = Grid(epsg_wkt(6931), (-2900000.0, 1000.0, 0.0, 2900000.0, 0.0, -1000.0), 1100, 1000)
    item, found = read_on(path, grid, CLASS)
    assert item.resampling == "mode" and item.position_error == raster.WARP_ERROR[CLASS]
    rows, columns = (part.ravel() for part in np.mgrid[0:grid.height, 0:grid.width])
    some = np.random.default_rng(4).choice(rows.size, 20_000, replace=False)
    rows, columns = rows[some], columns[some]
    places, values, found_there = places_of(path, grid, rows, columns), read_raster(path), found[rows, columns]
    classes = np.unique(values[~np.isnan(values)])
    share = class_areas(places, values, classes)
    any_data = share.sum(axis=1) > 0
    # positions are right within a twentieth of a source cell
    rim = share.sum(axis=1) < 0.1 * places.wide()
    assert ((found_there == NO_CLASS) == ~any_data)[~rim | ~any_data].mean() > 0.9999
    known = any_data & (found_there != NO_CLASS)
    taken = share[np.flatnonzero(known), np.searchsorted(classes, found_there[known])]
    assert known.sum() > 5000 and (share[known].max(axis=1) > taken).mean() < 0.002
    assert (taken >= share[known].max(axis=1) - 0.1 * places.wide()[known]).all()
    np.testing.assert_array_equal(read_on(path, grid, CLASS, 300)[1], found)


def test_numbers_of_a_large_grid_agree_with_gdalwarp(shared_data):
    path = str(shared_data / "dem" / "etopo5_5min_45N.tif")
    grid = Grid(epsg_wkt(6931), (-1100000.0, 1000.0, 0.0, 600000.0, 0.0, -1000.0), 1300, 1100)
    item, found = read_on(path, grid)
    assert item.resampling == "bilinear"
    expected = warped_whole(path, grid, "bilinear")
    # the last row of centres lies on the pole: gdalwarp does not look across it, nor across the seam
    place = grid.lonlat(*np.meshgrid(np.arange(1300) + 0.5, np.arange(1100) + 0.5))
    inside = (place[1] < 89.8) & (np.abs(place[0]) < 179.8)
    slope = np.hypot(*np.gradient(expected))
    difference = np.abs(found - expected)[inside]
    # no more than what the error of position makes of a slope
    assert (difference <= 0.2 * np.nanmax(slope)).all() and difference.mean() < 0.1 * np.nanmean(slope)


# values at points ------------------------------------------------------------------------------------------------

def test_values_at_points_search_the_nearest_valid_cell(tmp_path):
    rng = np.random.default_rng(8)
    values = np.where(rng.random((20, 30)) < 0.6, np.nan, rng.integers(1, 50, (20, 30)))
    path = write_raster(tmp_path / "x.tif", values, dtype="int16", nodata=-1)
    grid = read_info(path).grid
    columns, rows = rng.uniform(0, 30, 200), rng.uniform(0, 20, 200)
    longitudes, latitudes = grid.lonlat(columns, rows)
    for search in (0, 1, 3):
        found, distances = values_at(path, longitudes, latitudes, search=search)
        for i in range(200):
            row, column = int(rows[i]), int(columns[i])
            near = sorted((np.hypot(r - row, c - column), r, c) for r in range(20) for c in range(30)
                          if not np.isnan(values[r, c]) and np.hypot(r - row, c - column) <= search)
            if near:
                assert (found[i], distances[i]) == (values[near[0][1], near[0][2]], near[0][0])
            else:
                assert np.isnan(found[i]) and np.isinf(distances[i])


def test_points_off_the_raster_have_no_value_and_no_distance(tmp_path):
    path = write_raster(tmp_path / "x.tif", np.ones((2, 2)), dtype="uint8")
    found, distances = values_at(path, [0.0, 0.0], [10.0, -80.0], search=2)
    assert np.isnan(found).all() and np.isnan(distances).all()


@pytest.mark.parametrize("west", [-180, 0])
def test_longitudes_are_turned_into_the_rasters_range(tmp_path, west):
    values = np.mod(np.arange(36) * 10 + west, 360)[None]
    path = write_raster(tmp_path / "x.tif", np.repeat(values, 3, axis=0), dtype="int16", crs="EPSG:4326",
                        transform=(west, 10, 0, 80, 0, -10))
    longitudes = np.array([-175.0, -5, 5, 175, 185, 355])
    found, _ = values_at(path, longitudes, np.full(6, 65.0))
    np.testing.assert_array_equal(found, np.mod(longitudes // 10 * 10, 360))


def test_numbers_at_points_are_scaled(tmp_path):
    path = write_raster(tmp_path / "x.tif", np.array([[100, 250]]), dtype="int16", scale=0.01, crs="EPSG:4326",
                        transform=(10, 1, 0, 70, 0, -1))
    assert values_at(path, [10.5, 11.5], [69.5, 69.5], NUMBER)[0].tolist() == [1.0, 2.5]


def test_the_helper_of_these_tests_agrees(tmp_path):
    path = write_raster(tmp_path / "x.tif", EXPECTED, dtype="float32", nodata=-9999)
    np.testing.assert_array_equal(read_raster(path), read(path))


@pytest.mark.parametrize("kind, resampling", [(CLASS, "mode"), (NUMBER, "average")])
def test_a_source_that_covers_little_of_the_target_is_still_known_to_be_finer(tmp_path, kind, resampling):
    small = write_raster(tmp_path / "small.tif", np.ones((60, 60)), dtype="uint8", crs="EPSG:4326",
                         transform=(25.0, 0.05, 0.0, 68.0, 0.0, -0.05))
    wide = Grid(epsg_wkt(6931), (-4.9e6, 25000.0, 0.0, 4.9e6, 0.0, -25000.0), 392, 392)
    assert on_grid(source(small, kind), wide).resampling == resampling


def test_a_raster_that_is_one_file_too_many_is_not_called_of_unknown_format(tmp_path):
    resource = pytest.importorskip("resource")
    path = write_raster(tmp_path / "layer.tif", np.ones((4, 5), np.float32))
    limits, taken = resource.getrlimit(resource.RLIMIT_NOFILE), []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, limits[0]), limits[1]))
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                taken.append(open(path, "rb"))
        with pytest.raises(InputError, match=r"layer\.tif cannot be opened: too many open files.*ulimit"):
            open_raster(path)
    finally:
        for file in taken:
            file.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert open_raster(path) is not None


@pytest.mark.parametrize("east", ["degrees_east", "degree_east", "degrees_E", "degree_E", "m", ""])
@pytest.mark.parametrize("north", ["degrees_north", "degree_north", "degrees_N", "degree_N", "m", ""])
def test_units_of_the_coordinates_state_the_crs_where_both_do(tmp_path, east, north):
    path = write_raster(tmp_path / "a.tif", np.ones((2, 3)), crs=None, transform=(10.0, 1.0, 0.0, 70.0, 0.0, -1.0),
                        metadata={"lon#units": east, "lat#units": north, "lon#long_name": "degrees_east degrees_north"})
    if east.startswith("degree") and north.startswith("degree"):
        assert read_info(path).grid.is_geographic
    else:
        with pytest.raises(GridError, match="a.tif has no CRS"):
            read_info(path)


def test_what_gdal_quotes_of_a_file_need_be_no_text(tmp_path):
    write_raster(tmp_path / "a.tif", np.ones((3, 3)))
    gdal.Translate(str(tmp_path / "a.vrt"), str(tmp_path / "a.tif"), format="VRT")
    content = (tmp_path / "a.vrt").read_bytes()
    (tmp_path / "a.vrt").write_bytes(content.replace(b"<SourceFilename", b"<Sour\xb5 eFilename"))
    with pytest.raises(InputError, match=r"a\.vrt cannot be opened: Line \d+: .*'eFilename'|\ufffd") as told:
        read_info(tmp_path / "a.vrt")
    assert str(told.value).encode("utf-8")


def test_attributes_whose_names_are_no_text_are_read_as_text(tmp_path):
    """GDAL gives bytes for them."""
    netCDF4 = pytest.importorskip("netCDF4")
    with netCDF4.Dataset(tmp_path / "a.nc", "w", format="NETCDF3_CLASSIC") as data:
        for name, size, first, unit in (("tim", 2, 0, "days since 2001-01-01"), ("lat", 3, 60.0, "degrees_north"),
                                        ("lon", 4, 20.0, "degrees_east")):
            data.createDimension(name, size)
            data.createVariable(name, "f8", (name,))[:] = first + np.arange(size)
            data[name].units = unit
        data.createVariable("lst", "f4", ("tim", "lat", "lon"))[:] = np.arange(24).reshape(2, 3, 4)
        data["lst"].remark = "abcdefgh"
    content = (tmp_path / "a.nc").read_bytes()
    for old, new in ((b"abcdefgh", b"abcd\xff\xfegh"), (b"\0\0\0\x03tim\0", b"\0\0\0\x03t\xe4m\0")):
        assert old in content
        content = content.replace(old, new, 1)
    (tmp_path / "a.nc").write_bytes(content)
    info = read_info(tmp_path / "a.nc")
    assert info.band_metadata[0]["remark"] == "abcd\ufffd\ufffdgh"
    assert [name for name in [*info.metadata, *info.band_metadata[0]] if "t\ufffdm" in name]
