"""A preset's extent is given only to files that have the product's cells, or lie where it says by their own arrays."""

import shutil

import numpy as np
import pytest

import products as p
from pti_plugin.core.common.errors import InputError
from pti_plugin.core.rasters.opening import opened
from pti_plugin.core.rasters.products import read_products
from support import Log

h5py = pytest.importorskip("h5py")
PRODUCTS = read_products()
GLOBAL = "EPSG:3410"
WIDE = PRODUCTS["freeze_thaw_25km"]


def write(path, codes, where=None, names=("cell_lat", "cell_lon")):
    """Write HDF5 without georeference, the latitudes and longitudes of Cells ``where`` beside the codes."""
    with h5py.File(path, "w") as file:
        file.create_dataset("FT", data=codes.astype("uint8"), compression="gzip")
        if where is not None:
            file.create_dataset(names[0], data=where.latitude.astype("float32"))
            file.create_dataset(names[1], data=where.longitude.astype("float32"))
    return str(path)


def global_cells(columns, rows):
    west, east, south, north = WIDE.extent
    transform = (west, (east - west) / columns, 0.0, north, 0.0, (south - north) / rows)
    return p.cells(transform, columns, rows, GLOBAL)


def test_every_preset_with_an_extent_states_its_cells():
    placed = [product for product in PRODUCTS.values() if product.extent]
    assert {product.name for product in placed} == {"glcc_goode", "glcc", "perft", "perft_overpass", "freeze_thaw_25km",
                                                    "mod10cm", "glass_ndvi"}
    for product in placed:
        west, east, south, north = product.extent
        assert product.crs and product.shape == tuple(round(side / product.cell)
                                                      for side in (east - west, north - south))
        assert all(abs(side / product.cell - round(side / product.cell)) < 1e-4
                   for side in (east - west, north - south)), product.name


def test_the_wide_record_is_not_the_narrow_one(tmp_path):
    codes = np.zeros((586, 1383))
    path = write(tmp_path / "AMSR_36V_CO_FT_2010_day360_v04.h5", codes)
    with pytest.raises(InputError, match=r"1383 x 586 cells and no georeference, but PER-FT .* has 3000 x 3000 cells "
                                         r"of 6000.*Files that begin with SMMR_ or SSMI_ .*Set EXTENT and CRS"):
        opened(path, PRODUCTS["perft"])
    # under its own name it lies where it is
    info = opened(shutil.copy(path, tmp_path / "SSMI_37V_CO_FT_2010_day360_v05.1.h5"), WIDE)
    assert info.grid.transform[1] == pytest.approx(25067.525) and info.grid.transform[5] == pytest.approx(-25067.525)


def test_the_extent_of_the_wide_record_is_that_of_its_grid():
    """NSIDC's global grid: 1383 x 586 cells, the equator and Greenwich in the middle."""
    from pyproj import Transformer

    change = Transformer.from_crs("EPSG:4326", GLOBAL, always_xy=True)
    assert change.transform(180.0, 0.0)[0] == pytest.approx(WIDE.extent[1], abs=1.0)
    assert change.transform(0.0, 86.7167)[1] == pytest.approx(WIDE.extent[3], abs=60.0)


def test_arrays_that_agree_place_a_file_of_any_size(tmp_path):
    path = write(tmp_path / "SSMI_37V_CO_FT_2010_day360_v05.1.h5", np.zeros((146, 345)), global_cells(345, 146))
    info = opened(path, WIDE)
    assert (info.grid.width, info.grid.height) == (345, 146)
    narrow = opened(p.freeze_thaw_hdf5(tmp_path), PRODUCTS["perft"])
    assert narrow.grid.width == 180 and narrow.grid.transform[:2] == (-9e6, 1e5)


@pytest.mark.parametrize("names", [("cell_lat", "cell_lon"), ("latitude", "longitude"), ("Lat", "LON")])
def test_arrays_that_contradict_the_extent_stop_the_run(tmp_path, names):
    path = write(tmp_path / "AMSR_36V_CO_FT_2010_day360_v04.h5", np.zeros((586, 1383)), global_cells(1383, 586),
                 names)
    with pytest.raises(InputError, match=r"AMSR_36V_CO_FT_2010_day360_v04\.h5: the latitudes and longitudes in the "
                                         r"file lie up to .* cells away from where the extent"):
        opened(path, PRODUCTS["perft"])
    # also where the user states the extent
    with pytest.raises(InputError, match="the latitudes and longitudes in the file lie up to"):
        opened(path, None, None, "FT", p._wkt("EPSG:6931"), (-9e6, 9e6, -9e6, 9e6))
    info = opened(path, None, variable="FT", wkt=p._wkt(GLOBAL), extent=WIDE.extent)
    assert info.grid.width == 1383


@pytest.mark.parametrize("turn", [np.flipud, np.fliplr, np.transpose])
def test_rows_or_columns_the_other_way_are_seen(tmp_path, turn):
    where = p.cells((-9e6, 1e5, 0.0, 9e6, 0.0, -1e5), 180, 180, "EPSG:6931")
    turned = where._replace(latitude=turn(where.latitude), longitude=turn(where.longitude))
    path = write(tmp_path / "AMSR_36V_CO_FT_2010_day360_v04.h5", np.zeros((180, 180)), turned)
    with pytest.raises(InputError, match="latitudes and longitudes in the file lie up to"):
        opened(path, PRODUCTS["perft"])


def test_arrays_of_fill_values_say_nothing(tmp_path):
    empty = p.Cells(np.full((586, 1383), -999.0), np.full((586, 1383), -999.0), None, None)
    path = write(tmp_path / "SSMI_37V_CO_FT_2010_day360_v05.1.h5", np.zeros((586, 1383)), empty)
    assert opened(path, WIDE).grid.width == 1383
    short = p.Cells(np.full((100, 100), -999.0), np.full((100, 100), -999.0), None, None)
    path = write(tmp_path / "SSMI_37V_CO_FT_2010_day361_v05.1.h5", np.zeros((100, 100)), short)
    with pytest.raises(InputError, match="100 x 100 cells and no georeference"):
        opened(path, WIDE)


def test_a_coarser_copy_is_taken_and_said(tmp_path):
    pytest.importorskip("pyhdf")
    log = Log()
    info = opened(p.mod10cm(tmp_path, structure=False), PRODUCTS["mod10cm"], log)
    assert info.grid.transform == (-180, 1, 0, 90, 0, -1)
    assert any("360 x 180 cells" in text and "7200 x 3600: it is taken for a coarser copy" in text
               for text in log.warnings)
    for shape in ((180, 300), (200, 360), (181, 360)):
        path = p.write_hdf4(tmp_path / "MOD10CM.A2001001.061.hdf", np.ones(shape, "uint8"), "Snow_Cover_Monthly_CMG",
                            {})
        with pytest.raises(InputError, match=f"has {shape[1]} x {shape[0]} cells and no georeference, but MOD10CM"):
            opened(path, PRODUCTS["mod10cm"])
