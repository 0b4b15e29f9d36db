"""Alignment: every product lands on the target grid with its true values; what cannot be right is refused."""

import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

import products as p
from pti_plugin.core.common.errors import Cancelled, GridError, InputError, OutputError
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.rasters import align as module
from pti_plugin.core.rasters.align import AlignOptions, align, polar_grid
from pti_plugin.core.rasters.blocks import Settings
from pti_plugin.core.rasters.grid import Grid, coordinate_transformation, epsg_wkt, transform_points
from pti_plugin.core.rasters.opening import opened
from pti_plugin.core.rasters.products import NONE, read_products
from pti_plugin.core.rasters.raster import CLASS, NUMBER, read_info
from support import Log, read_raster, standing, write_raster

pytest.importorskip("netCDF4")
pytest.importorskip("h5py")
pytest.importorskip("pyhdf")

CELL = 100_000.0
TARGET = polar_grid(cell=CELL)
#: half a target cell and the widest cell of a source, m: what lies within can reach a target cell
MARGIN = 175_000.0
#: share of its range by which a field may differ, anywhere and on average, beside the rounding of the file: its
#: steepest slope, 1.27 a radian, over some 45 km, a good third of the widest source cell, by which the cells averaged
#: may lie beside the target's
WORST, USUAL = 0.009, 0.0009


def run(files, folder, target=TARGET, settings=None, **options):
    """Align ``files`` to ``folder``/out.tif; return (bands as one array, result, log)."""
    files = [files] if isinstance(files, str) else files
    output, log = str(Path(folder) / "out.tif"), Log()
    with Staging(files) as staging:
        result = align(files, output, staging, log, AlignOptions(**options), target, settings)
        staging.commit()
    return bands(output), result, log


def bands(path):
    return np.stack([read_raster(path, band) for band in range(1, read_info(path).bands + 1)])


def refused(folder, files, *said, error=InputError, **options):
    """Assert that a run stops with a message that holds all of ``said``, and leaves nothing behind."""
    out = Path(folder) / "out"
    out.mkdir()
    (out / "out.tif").write_bytes(b"an older result")
    with pytest.raises(error) as caught:
        run(files, out, **options)
    for text in said:
        assert text in str(caught.value), caught.value
    # a run refused before it writes leaves what was there; no run leaves remains
    assert standing(out) in ({}, {"out.tif": b"an older result"})
    return str(caught.value)


def around():
    """Return longitudes and latitudes (9, rows, columns) of the centres of TARGET's cells, first, and of eight places
    MARGIN away from each."""
    _, a, _, _, _, e = TARGET.transform
    moves = [(0, 0)] + [(x, y) for x in (-MARGIN, 0, MARGIN) for y in (-MARGIN, 0, MARGIN) if (x, y) != (0, 0)]
    found = [p.cells((TARGET.transform[0] + x, a, 0.0, TARGET.transform[3] + y, 0.0, e), TARGET.width, TARGET.height,
                     p.EASE2_NORTH) for x, y in moves]
    return np.stack([where.longitude for where in found]), np.stack([where.latitude for where in found])


Case = namedtuple("Case", "write product kind values span flags absent south step", defaults=(0, None, -90.0, 0.0))
Case.__doc__ = """A file and what must become of it.

``values`` of longitude and latitude in the unit of the result; ``span``: low and high of that field, or all codes;
``flags``: number of flag areas beside that of nodata; ``absent``: what stands in for nodata; ``south``: southern edge;
``step``: the most by which the file rounds, as a share of the span.
"""


def number(write, product, low, high, flags=0, scale=1.0, offset=0.0, step=0.0):
    return Case(lambda folder: write(folder, p.ranging(low, high)), product, NUMBER,
                p.ranging(low * scale + offset, high * scale + offset),
                (low * scale + offset, high * scale + offset), flags, step=step)


def codes(write, product, of, flags=0, absent=None, south=-90.0, recode=None):
    values = p.one_of(tuple((recode or {}).get(code, code) for code in of))
    return Case(lambda folder: write(folder, p.one_of(of)), product, CLASS, values, of, flags, absent, south)


def some_permafrost(longitude, latitude):
    """A permafrost fraction with a wide area of none, which the file has as nodata."""
    percent = p.field(longitude, latitude, -60.0, 100.0)
    return np.where(percent < 0.5, np.nan, percent)


CASES = {
    "Obu probability": number(lambda f, v: p.obu(f, values=v), "obu_pp", 0, 1, scale=100),
    "Obu MAGT": number(lambda f, v: p.obu(f, "MAGTM", v), "obu_magt", -15, 0),
    "NIEER MAGT": number(lambda f, v: p.nieer(f, values=v), "nieer_magt", -15, 10),
    "CCI v3 PFR": Case(lambda f: p.cci_permafrost_v3(f, values=some_permafrost), "cci_pfr_v3", NUMBER,
                       lambda *place: np.nan_to_num(some_permafrost(*place)), (0, 100), 0, 0.0, step=0.005),
    "CCI v3 GTD": number(lambda f, v: p.cci_permafrost_v3(f, "GTD", values=v), "cci_gtd_v3", -12, 6),
    "CCI v3 GTD in K": number(lambda f, v: p.cci_permafrost_v3(f, "GTD", 1999, v, True), "cci_gtd_v3", -12, 6),
    "CCI v3 ALT": number(lambda f, v: p.cci_permafrost_v3(f, "ALT", values=v), "cci_alt_v3", 0.2, 4),
    "CCI v4 PFR": Case(lambda f: p.cci_permafrost_v4(f, values=some_permafrost), "cci_pfr", NUMBER,
                       lambda *place: np.nan_to_num(some_permafrost(*place)), (0, 100), 0, 0.0, step=0.005),
    "CCI v5 GTD": number(lambda f, v: p.cci_permafrost_v4(f, "GTD", 2023, v, version="05.0"), "cci_gtd", -12, 6),
    "CCI v5 ALT": number(lambda f, v: p.cci_permafrost_v4(f, "ALT", 2023, v, version="05.0"), "cci_alt", 0.2, 4),
    "IPA": codes(p.ipa, "ipa", p.IPA_CODES[:6], south=20.0),
    "LandCover_CCI netCDF": codes(lambda f, v: p.landcover_cci_netcdf(f, values=v), "landcover_cci",
                                  p.LANDCOVER_CODES),
    "LandCover_CCI GeoTIFF": codes(lambda f, v: p.landcover_cci_geotiff(f, values=v), "landcover_cci", (10, 220, 12)),
    "GLCC Goode": codes(p.glcc_goode, "glcc_goode", (1, 96, 9, 53, 63, 69), 2),
    "GLCC Goode without CRS": codes(lambda f, v: p.glcc_goode(f, v, None), "glcc_goode", (1, 96, 9, 53, 63, 69), 2),
    "GLCC Goode with a spheroid": codes(lambda f, v: p.glcc_goode(f, v, "+proj=igh +datum=WGS84"), "glcc_goode",
                                        (1, 96, 9, 53, 63, 69), 2),
    "GLCC raw": codes(p.glcc_raw, "glcc", (1, 96, 9, 53, 63, 69), 2),
    "CAVM": codes(p.cavm, "cavm", p.CAVM_CODES, south=50.0),
    "PER-FT GeoTIFF": codes(lambda f, v: p.freeze_thaw(f, values=v), "perft", (0, 1, 2, 3), 3),
    "PER-FT HDF5": codes(lambda f, v: p.freeze_thaw_hdf5(f, values=v), "perft", (0, 1, 2, 3), 3),
    "MOD10CM": number(lambda f, v: p.mod10cm(f, values=v), "mod10cm", 0, 100, 4, step=0.005),
    "MOD10CM, no structure": number(lambda f, v: p.mod10cm(f, values=v, structure=False), "mod10cm", 0, 100, 4,
                                    step=0.005),
    "GLASS LST": number(lambda f, v: p.glass_lst(f, values=v), "glass_lst", 230, 300, offset=-273.15),
    "GLASS LST tile": number(lambda f, v: p.glass_lst_tile(f, values=v), "glass_lst", 230, 300, offset=-273.15),
    "GLASS NDVI": number(lambda f, v: p.glass_ndvi(f, values=v), "glass_ndvi", -0.1, 0.9),
    "elevation": number(p.worldclim_elevation, "elevation", -100, 5000),
    **{f"SoilGrids {soil}": number(lambda f, v, soil=soil: p.soilgrids(f, soil, "15-30", v), f"soilgrids_{soil}",
                                   *p.SOILGRIDS_RANGES[soil], scale=1 / p.SOILGRIDS_FACTORS[soil],
                                   step=0.5 / np.ptp(p.SOILGRIDS_RANGES[soil]))
       for soil in p.SOILGRIDS_RANGES},
    "peat": codes(p.peatland_map, "gpm2", p.PEAT_CODES, absent=0.0, recode={1: 100, 2: 50, 255: 0}),
}


def reach(path, product, longitude, latitude):
    """Return which cells of TARGET have all their surroundings on the source, and which have none of them there."""
    info = opened(path, read_products()[product])
    x, y = transform_points(coordinate_transformation(epsg_wkt(4326), info.grid.wkt), longitude, latitude)
    column, row = info.grid.cells_at(x, y)
    on = (column >= 0) & (column <= info.grid.width) & (row >= 0) & (row <= info.grid.height)
    # GDAL's average itself smears a source by a cell beyond its edge
    near = (column >= -2) & (column <= info.grid.width + 2) & (row >= -2) & (row <= info.grid.height + 2)
    if product in ("glcc_goode", *(f"soilgrids_{soil}" for soil in p.SOILGRIDS_RANGES)):
        # the projection is cut at 40° W and at the date line, and squeezed at the pole
        east = np.where(longitude >= -40, longitude, longitude + 360)
        on &= (np.ptp(longitude, axis=0) < 180) & (np.ptp(east, axis=0) < 180) & (latitude < 85)
    return on.all(axis=0), ~near.any(axis=0)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_product_is_recognised_and_lands_with_its_true_values(case, tmp_path):
    path = case.write(tmp_path)
    found, result, _ = run(path, tmp_path)
    assert result["product"] == case.product and result["kind"] == case.kind and found.shape[0] == 1
    assert result["unit"] == read_products()[case.product].quantity.unit
    found = found[0]

    longitude, latitude = around()
    inside, outside = reach(path, case.product, longitude, latitude)
    inside &= (latitude > case.south).all(axis=0)
    empty = np.zeros(inside.shape, bool)
    near = np.zeros(inside.shape, bool)
    for place in range(case.flags + 1):
        there = p.in_area(longitude, latitude, place)
        near |= there.any(axis=0)
        within = there.all(axis=0) & inside
        # a tile lies elsewhere than the areas
        assert within.any() or inside.sum() < 100
        if place == 0 and case.absent is not None:
            assert (found[within] == case.absent).all()
        else:
            empty |= within
    assert np.isnan(found[empty]).all(), "flags and nodata must give no value"
    assert np.isnan(found[outside]).all(), "there is nothing beyond the source"

    true = case.values(longitude, latitude)
    clear = inside & ~near
    assert clear.sum() > 1000 or result["cells"]["valid"] < 200
    if case.kind == NUMBER:
        assert not np.isnan(found[clear]).any()
        low, high = case.span
        if case.absent is not None:
            # at the edge of none the average is of a kink
            clear &= (np.count_nonzero(true, axis=0) % len(true)) == 0
        error = np.abs(found - true[0])[clear] / (high - low)
        assert error.max() < WORST + case.step and error.mean() < USUAL + case.step / 5, (error.max(), error.mean())
    else:
        alike = clear & (true == true[0]).all(axis=0)
        assert alike.sum() > 200
        np.testing.assert_array_equal(found[alike], true[0][alike])
        # nothing appears that is not near by
        mixed = clear & ~np.isnan(found)
        assert (true == found).any(axis=0)[mixed].all() or len(case.span) > 8
        assert set(np.unique(found[mixed])) == set(np.unique(case.values(longitude[0], latitude[0])[clear]))


# the target ---------------------------------------------------------------------------------------------------------

def test_the_default_grid_is_all_north_of_45_degrees_in_cells_of_a_kilometre():
    grid = polar_grid()
    assert (grid.name, grid.cell_size, grid.width, grid.height) == ("EPSG:6931", (1000, 1000), 9780, 9780)
    # the square holds the circle of latitude with a cell or two to spare
    for x, y in ((0, 4_889_000), (-4_889_000, 0)):
        _, latitude = grid.lonlat(*grid.cells_at(x, y))
        assert 44.97 < latitude < 45.01
    assert polar_grid(epsg_wkt(6931)).same(grid)


def test_a_grid_of_ones_own_needs_all_of_it():
    grid = polar_grid(epsg_wkt(3995), 5000, (-1e6, 1_002_000, -5e5, 5e5))
    assert (grid.name, grid.width, grid.height) == ("EPSG:3995", 401, 200)
    assert grid.transform == (-1e6, 5000, 0, 5e5, 0, -5000)
    assert polar_grid(extent=(0, 10_000, 0, 5000)).width == 10
    for wkt, cell, extent in ((epsg_wkt(3995), 5000, ()), (epsg_wkt(3995), 0, (0, 1, 0, 1))):
        with pytest.raises(GridError, match="needs CELL_SIZE and TARGET_EXTENT too, or give TARGET"):
            polar_grid(wkt, cell, extent)


def test_on_its_own_grid_a_layer_passes_cell_by_cell(tmp_path):
    values = np.arange(48, dtype="float32").reshape(6, 8) - 20
    values[2, 3] = np.nan
    path = write_raster(tmp_path / "UiO_PEX_MAGTM_9.tif", values, nodata=-9999)
    grid = read_info(path).grid
    found, result, log = run(path, tmp_path, grid)
    np.testing.assert_array_equal(found[0], values)
    assert result["resampling"] == "none" and result["cells"] == {"valid": 47, "cells": 48, "anywhere": 47}
    assert (result["low"], result["high"]) == (-20, 27) and "97.9 %" in log.lines[-1]
    info = read_info(str(tmp_path / "out.tif"))
    assert info.grid.same(grid) and (info.units, info.dtypes) == (("degC",), ("Float32",))
    assert info.metadata["PTI_PRODUCT"] == "obu_magt"


def test_cells_south_of_the_limit_become_nodata(tmp_path):
    path = p.worldclim_elevation(tmp_path)
    whole, _, _ = run(path, tmp_path)
    cut, result, _ = run(path, tmp_path, min_latitude=60.0)
    latitude = around()[1][0]
    np.testing.assert_array_equal(np.isnan(cut[0]), np.isnan(whole[0]) | (latitude < 60))
    np.testing.assert_array_equal(cut[0][latitude >= 60], whole[0][latitude >= 60])
    assert result["cells"]["valid"] == np.isfinite(cut).sum()
    # of classes too
    cut, _, _ = run(p.peatland_map(tmp_path), tmp_path, min_latitude=60.0)
    assert (np.isnan(cut[0]) == (latitude < 60)).all()


# several layers -----------------------------------------------------------------------------------------------------

SMALL = polar_grid(cell=400_000.0)


@pytest.fixture(scope="module")
def years(tmp_path_factory):
    """Nine annual layers of thaw depth, each its own."""
    folder = tmp_path_factory.mktemp("years")
    return [p.cci_permafrost_v3(folder, "ALT", year, p.ranging(0.1, 1 + 0.1 * (year - 1999))) for year in
            range(2000, 2010)]


def test_layers_stand_in_order_of_time_whatever_the_order_they_are_given_in(years, tmp_path):
    found, result, _ = run([years[i] for i in (3, 0, 9, 5, 1, 2, 8, 4, 7, 6)], tmp_path, SMALL)
    assert result["layers"] == [str(year) for year in range(2000, 2010)]
    info = read_info(str(tmp_path / "out.tif"))
    assert [tags["TIME"] for tags in info.band_metadata] == list(info.descriptions) == result["layers"]
    assert info.units == ("m",) * 10
    # more layers than are brought over at once, each as if alone
    assert len(years) > module.LAYERS_AT_ONCE
    for number, path in enumerate(years):
        np.testing.assert_array_equal(found[number], run(path, tmp_path, SMALL)[0][0])


def test_the_result_does_not_depend_on_how_it_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LAYERS_AT_ONCE", 2)
    files = [p.glass_lst(tmp_path, 2001, month) for month in (1, 2, 3)]
    # tiles of the result and of the warper end inside
    target, made = polar_grid(cell=35_000.0), set()
    for settings in (Settings(1), Settings(3, block_size=100), Settings(2, 280), Settings(memory_mb=16)):
        run(files, tmp_path, target, settings)
        made.add((tmp_path / "out.tif").read_bytes())
    assert len(made) == 1


def test_bands_of_one_file_and_the_choice_of_one(tmp_path):
    values = np.arange(72, dtype="float32").reshape(3, 4, 6)
    path = write_raster(tmp_path / "heights.tif", values, nodata=-1, descriptions=["low", "", "high"], unit="m")
    grid = read_info(path).grid
    found, result, _ = run(path, tmp_path, grid)
    np.testing.assert_array_equal(found, values)
    assert result["layers"] == ["low", "heights.tif band 2", "high"] and result["unit"] == "m"
    found, result, _ = run(path, tmp_path, grid, band=3)
    np.testing.assert_array_equal(found, values[2:])
    assert result["layers"] == ["high"]
    refused(tmp_path, path, "BAND is 4, but heights.tif has 3.", band=4, target=grid)


def test_years_that_must_be_there(years, tmp_path):
    assert run(years, tmp_path, SMALL, years="2002-2005")[1]["layers"] == ["2002", "2003", "2004", "2005"]
    without = years[:4] + years[5:8] + years[9:]
    refused(tmp_path, without, "There is no layer for 2004, 2008 of YEARS 2000-2009. Add the files, or ask for other",
            years="2000-2009", target=SMALL)


def test_all_years_of_a_land_cover_in_one_file(tmp_path):
    values = np.repeat(np.array([10, 20, 30, 40, 50], "uint8"), 24).reshape(5, 4, 6)
    path = write_raster(tmp_path / "ESACCI-LC-L4-LCCS-Map-300m-P1Y-1992_1996-v2.0.7.tif", values)
    found, result, _ = run(path, tmp_path, GRID)
    np.testing.assert_array_equal(found, values)
    assert result["layers"] == ["1992", "1993", "1994", "1995", "1996"]
    np.testing.assert_array_equal(run(path, tmp_path, GRID, band=3)[0][0], 30)


@pytest.mark.parametrize("text", ["2009-2000", "2000", "all"])
def test_years_are_two(years, tmp_path, text):
    refused(tmp_path, years, f"YEARS is '{text}'; write the first and the last, such as 1997-2021.", years=text)


def test_years_need_layers_with_a_date(tmp_path):
    path = p.worldclim_elevation(tmp_path)
    refused(tmp_path, path, "YEARS needs several layers with time stamps, and PERIOD", years="2000-2001")


@pytest.mark.parametrize("write, steps, stamps", [
    (lambda f: [p.mod10cm(f, 2001, month) for month in (12, 2, 11)], 12, ["2001-02", "2001-11", "2001-12"]),
    (lambda f: [p.glass_ndvi(f, 2002, day) for day in (361, 1, 9)], 46, ["2002-001", "2002-009", "2002-361"]),
    (lambda f: [p.freeze_thaw(f, 2004, day) for day in (366, 60, 1)], 366, ["2004-01-01", "2004-02-29", "2004-12-31"]),
    (lambda f: [p.glass_lst(f, 2003, month) for month in (2, 1)], 12, ["2003-01", "2003-02"])])
def test_the_time_of_every_product_is_read_from_its_file_names(tmp_path, write, steps, stamps):
    from pti_plugin.core.rasters.time_axis import DAILY, AxisOptions, series

    _, result, _ = run(write(tmp_path), tmp_path, SMALL)
    assert result["layers"] == stamps
    # and from the result again
    layers = series([str(tmp_path / "out.tif")], AxisOptions(DAILY if steps == 366 else steps), Log())
    assert [layer.band for layer in layers] == [1, 2, 3][:len(stamps)] and layers[0].index // steps >= 2001


def test_a_period_of_ones_own_puts_layers_of_no_product_in_order(tmp_path):
    files = [write_raster(tmp_path / f"depth_{year}.tif", np.full((3, 4), year, "float32")) for year in (2003, 2001)]
    grid = read_info(files[0]).grid
    assert run(files, tmp_path, grid)[1]["layers"] == ["depth_2003.tif", "depth_2001.tif"]
    found, result, _ = run(files, tmp_path, grid, period=1)
    assert result["layers"] == ["2001", "2003"] and found[:, 0, 0].tolist() == [2001, 2003]


def test_layers_of_different_grids_are_refused(tmp_path):
    files = [write_raster(tmp_path / "a.tif", np.ones((3, 4))), write_raster(tmp_path / "b.tif", np.ones((3, 5)))]
    refused(tmp_path, files, "b.tif is not on the grid of a.tif: it has 5 x 3 cells, not 4 x 3", "runs of their own",
            error=GridError)


# numbers: scale, unit, nodata ---------------------------------------------------------------------------------------

def depths(folder, scale=1.0, name="UiO_PEX_MAGTM_1.tif", **more):
    values = np.linspace(-10, 4, 24).reshape(4, 6) * scale
    return write_raster(folder / name, values.astype("float32"), nodata=-9999, **more)


GRID = Grid(epsg_wkt(6931), (-100000.0, 25000.0, 0.0, 100000.0, 0.0, -25000.0), 6, 4)


def test_a_wrong_unit_attribute_is_said_and_not_believed(tmp_path):
    found, _, log = run(depths(tmp_path, unit="K"), tmp_path, GRID)
    np.testing.assert_allclose(found[0], np.linspace(-10, 4, 24).reshape(4, 6), rtol=1e-6)
    assert any("declares its unit as 'K', but its values run from -10 to 4; they are read as degC" in warning
               for warning in log.warnings), log.warnings


def test_a_unit_is_converted_and_a_stated_one_goes_before_the_declared(tmp_path):
    values = np.linspace(260, 290, 24).reshape(4, 6).astype("float32")
    path = write_raster(tmp_path / "UiO_PEX_MAGTM_1.tif", values, unit="kelvin")
    np.testing.assert_allclose(run(path, tmp_path, GRID)[0][0], values - 273.15, atol=1e-4)
    refused(tmp_path, path, "outside the plausible -60 to 60", units="*=degC", target=GRID)
    shutil.rmtree(tmp_path / "out")
    path = write_raster(tmp_path / "UiO_PEX_MAGTM_1.tif", values)
    refused(tmp_path, path, "UiO_PEX_MAGTM_1.tif runs from 260 to 290: that looks like K",
            "set UNITS to UiO_PEX_MAGTM_1.tif=K", target=GRID)
    np.testing.assert_allclose(run(path, tmp_path, GRID, units="uio*=K")[0][0], values - 273.15, atol=1e-4)


def test_an_unknown_unit_is_refused(tmp_path):
    refused(tmp_path, depths(tmp_path, unit="furlong"), "declares the unit 'furlong', which is not known for Obu mean "
            "annual ground temperature. Check that it is the right layer. Set UNITS to UiO_PEX_MAGTM_1.tif= and one of "
            "degC, K only if the layer is right and its unit is stated wrongly.", target=GRID)
    shutil.rmtree(tmp_path / "out")
    refused(tmp_path, depths(tmp_path), "UNITS says 'furlong' for UiO_PEX_MAGTM_1.tif, but Obu mean annual ground "
            "temperature is known in degC or K.", units="*=furlong", target=GRID)
    shutil.rmtree(tmp_path / "out")
    refused(tmp_path, depths(tmp_path), "'obu*' in UNITS matches none of the inputs", units="obu*=K", target=GRID)
    shutil.rmtree(tmp_path / "out")
    refused(tmp_path, depths(tmp_path, name="mine.tif"), "UNITS needs a product with a unit; set PRODUCT.",
            units="*=K", target=GRID)


def test_a_unit_of_one_layer_is_not_that_of_all(years, tmp_path):
    names = [read_info(opened(path, read_products()["cci_alt_v3"]).path).name for path in years[:2]]
    refused(tmp_path, years[:2], "UNITS does not say the same of every layer. State one unit of all, such as *=m",
            units=f"{names[1]}=m", target=SMALL)
    assert run(years[:2], tmp_path, SMALL, units="*.nc:ALT=m")[1]["unit"] == "m"


def test_layers_of_different_units_need_a_stated_one(tmp_path):
    files = [depths(tmp_path, name=f"UiO_PEX_MAGTM_{number}.tif", unit=unit) for number, unit in
             ((1, "degC"), (2, None))]
    refused(tmp_path, files, "The layers declare different units (none, degC). State theirs in UNITS.", target=GRID)
    assert run(files, tmp_path, GRID, units="*=degC")[1]["unit"] == "degC"


def test_a_fraction_and_percent_are_told_apart(tmp_path):
    share = np.linspace(0, 1, 24, dtype="float32").reshape(4, 6)
    fraction = write_raster(tmp_path / "NIEER_probability.tif", share)
    percent = write_raster(tmp_path / "UiO_PEX_PERPROB_1.tif", share * 100)
    # nobody knows which of the two NIEER has
    refused(tmp_path, fraction, "runs from 0 to 1: that looks like fraction", "NIEER_probability.tif=fraction",
            target=GRID)
    np.testing.assert_allclose(run(fraction, tmp_path, GRID, units="*=fraction")[0][0], share * 100, rtol=1e-6)
    # Obu has a fraction, but a file in % is taken as that
    np.testing.assert_allclose(run(percent, tmp_path, GRID)[0][0], share * 100, rtol=1e-6)


def test_metres_and_centimetres_are_told_apart(tmp_path):
    name = "ESACCI-PERMAFROST-L4-ALT-MODISLST_CRYOGRID-AREA4_PP-2005-fv03.0.tif"
    metres = np.linspace(0.02, 2, 24, dtype="float32").reshape(4, 6)
    path = write_raster(tmp_path / name, metres * 100)
    refused(tmp_path, path, "runs from 2 to 200: that looks like cm", f"{name}=cm", target=GRID)
    np.testing.assert_allclose(run(path, tmp_path, GRID, units="*=cm")[0][0], metres, rtol=1e-5)
    shutil.rmtree(tmp_path / "out")
    path = write_raster(tmp_path / name, metres / 100)
    refused(tmp_path, path, "reaches only 0.02, but a map of", "reaches 0.3 m at least", target=GRID)


def test_values_without_their_scale_contradict_the_preset(tmp_path):
    raw = np.linspace(0, 9000, 24).reshape(4, 6)
    path = write_raster(tmp_path / "GLASS_NDVI_2001001.tif", raw.astype("int16"))
    # whole numbers are packed: the preset's scale is theirs where the file states none
    np.testing.assert_allclose(run(path, tmp_path, GRID)[0][0], np.trunc(raw) * 1e-4, atol=1e-7)
    path = write_raster(tmp_path / "GLASS_NDVI_2001001.tif", raw.astype("float32"))
    refused(tmp_path, path, "runs from 0 to 9000, outside -1 to 1", "scale", target=GRID)
    path = write_raster(tmp_path / "GLASS_NDVI_2001001.tif", (raw * 1e-4).astype("float32"))
    np.testing.assert_allclose(run(path, tmp_path, GRID)[0][0], raw * 1e-4, atol=1e-6)
    path = write_raster(tmp_path / "GLASS_NDVI_2001001.tif", raw.astype("int16"), scale=1e-3, offset=-1.0)
    shutil.rmtree(tmp_path / "out")
    refused(tmp_path, path, "runs from -1 to 8", "outside -1 to 1", target=GRID)
    own = tmp_path / "own.csv"
    own.write_text("product,kind,files,low,high,scale\nndvi,number,GLASS_NDVI_*,-0.3,1,1\n", encoding="utf-8")
    path = write_raster(tmp_path / "GLASS_NDVI_2001001.tif", raw.astype("int16"))
    shutil.rmtree(tmp_path / "out")
    refused(tmp_path, path, "runs from 0 to 9000, outside -0.3 to 1", target=GRID, products=str(own))


def test_a_scale_in_the_file_is_not_applied_twice(tmp_path):
    raw = np.arange(100, 124).reshape(4, 6)
    path = write_raster(tmp_path / "soc_0-5cm_mean_1000.tif", raw.astype("int16"), scale=0.1)
    np.testing.assert_allclose(run(path, tmp_path, GRID)[0][0], raw * 0.1, rtol=1e-6)


def test_flags_valid_range_and_what_nodata_stands_for(tmp_path):
    values = np.arange(24, dtype="uint8").reshape(4, 6)
    path = write_raster(tmp_path / "cover.tif", values, nodata=23)
    plain = np.where(values == 23, np.nan, values)
    np.testing.assert_array_equal(run(path, tmp_path, GRID)[0][0], plain)
    np.testing.assert_array_equal(run(path, tmp_path, GRID, flags=(3, 5))[0][0],
                                  np.where(np.isin(values, (3, 5)), np.nan, plain))
    np.testing.assert_array_equal(run(path, tmp_path, GRID, valid=(4, 20))[0][0],
                                  np.where((values < 4) | (values > 20), np.nan, plain))
    # flags stay nodata where nodata stands for a value
    np.testing.assert_array_equal(run(path, tmp_path, GRID, absent="7", flags=(3,))[0][0],
                                  np.where(values == 3, np.nan, np.where(values == 23, 7, values)))
    # it can be taken from a preset that gives it a value
    where = p.cci_permafrost_v4(tmp_path)
    assert (run(where, tmp_path, SMALL)[0] == 0).any()
    assert not (run(where, tmp_path, SMALL, absent="nodata")[0] == 0).any()
    refused(tmp_path, path, "ABSENT is 'none'; write the value that nodata stands for, such as 0, or nodata.",
            absent="none")


def test_the_valid_range_is_in_the_unit_of_the_result(tmp_path):
    kelvin = np.linspace(260, 290, 24).reshape(4, 6).astype("float32")
    path = write_raster(tmp_path / "UiO_PEX_MAGTM_1.tif", kelvin, unit="K")
    found, _, _ = run(path, tmp_path, GRID, valid=(-5, 5))
    celsius = kelvin - 273.15
    np.testing.assert_allclose(found[0], np.where(np.abs(celsius) > 5, np.nan, celsius), atol=1e-4)


# classes ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype, of, options, form, nodata", [
    ("uint8", (0, 255), {}, "Int16", -32768), ("int16", (-5, 300), {}, "Int16", -32768),
    ("uint16", (1, 60000), {}, "Int32", -2147483648), ("int32", (1, 100000), {}, "Int32", -2147483648),
    ("float32", (1, 3), {}, "Int32", -2147483648), ("uint8", (1, 2), {"recode": "1=100;2=0"}, "Byte", 255),
    ("uint8", (1, 2), {"recode": "1=255;2=0"}, "Int16", -32768),
    ("uint8", (1, 2), {"recode": "1=-1;2=0"}, "Int16", -32768),
    ("uint8", (1, 2), {"recode": "1=40000;2=0"}, "Int32", -2147483648)])
def test_classes_take_the_least_type_that_holds_them_and_their_nodata(tmp_path, dtype, of, options, form, nodata):
    from osgeo import gdal

    values = np.resize(np.array(of, dtype), (4, 6))
    found, result, _ = run(write_raster(tmp_path / "a.tif", values), tmp_path, GRID, kind=CLASS, **options)
    table = dict(module.parse_recode(options.get("recode", "")))
    np.testing.assert_array_equal(found[0], [[table.get(int(value), value) for value in row] for row in values])
    dataset = gdal.Open(str(tmp_path / "out.tif"))
    assert dataset.GetRasterBand(1).GetNoDataValue() == nodata and result["unit"] == ""
    assert gdal.GetDataTypeName(dataset.GetRasterBand(1).DataType) == form
    dataset = None
    found, _, _ = run(p.peatland_map(tmp_path), tmp_path, SMALL)
    assert read_info(str(tmp_path / "out.tif")).dtypes == ("Byte",)


def test_the_kind_of_values_decides_how_they_are_mixed(tmp_path):
    from osgeo import gdal

    fine = (-100000.0, 6250.0, 0.0, 100000.0, 0.0, -6250.0)
    values = np.resize(np.array([1, 1, 9], "uint8"), (16, 24))
    path = write_raster(tmp_path / "a.tif", values, transform=fine)
    found, result, _ = run(path, tmp_path, GRID)
    assert (result["kind"], result["resampling"]) == (NUMBER, "average") and not set(np.unique(found)) <= {1, 9}
    found, result, _ = run(path, tmp_path, GRID, kind=CLASS)
    assert (result["kind"], result["resampling"]) == (CLASS, "mode") and set(np.unique(found)) == {1}
    found, result, _ = run(path, tmp_path, GRID, kind=CLASS, resampling="near")
    assert result["resampling"] == "near" and set(np.unique(found)) == {1, 9}
    assert run(path, tmp_path, GRID, resampling="max")[0].min() == 9
    refused(tmp_path, path, "RESAMPLING is average, but a.tif holds classes", kind=CLASS, resampling="average",
            target=GRID)
    shutil.rmtree(tmp_path / "out")
    refused(tmp_path, path, "RESAMPLING is 'sinc'; it must be one of auto, near", resampling="sinc")
    shutil.rmtree(tmp_path / "out")
    refused(tmp_path, path, "KIND is 'text'; it must be one of auto, number, class", kind="text")
    # without a word a colour table makes classes
    dataset, colours = gdal.Open(path, gdal.GA_Update), gdal.ColorTable()
    colours.SetColorEntry(1, (255, 0, 0, 255))
    dataset.GetRasterBand(1).SetColorTable(colours)
    dataset = None
    assert run(path, tmp_path, GRID)[1]["kind"] == CLASS
    # the preset knows, and can be overruled
    assert run(p.cavm(tmp_path), tmp_path, SMALL, kind=NUMBER)[1]["kind"] == NUMBER


def test_a_recode_names_all_codes_or_is_refused(tmp_path):
    values = np.resize(np.array([1, 2, 3, 4], "uint8"), (4, 6))
    path = write_raster(tmp_path / "a.tif", values, nodata=4)
    found, _, _ = run(path, tmp_path, GRID, kind=CLASS, recode="1=100; other=7")
    np.testing.assert_array_equal(found[0], np.where(values == 4, np.nan, np.where(values == 1, 100, 7)))
    refused(tmp_path, path, "RECODE does not name these codes of a.tif: 2 (6 cells), 3 (6 cells). Add them, or "
            "other=value.", kind=CLASS, recode="1=100", target=GRID)


def test_codes_that_the_product_does_not_have_are_refused(tmp_path):
    path = write_raster(tmp_path / "raster_cavm_v1.tif", np.resize(np.array([1, 2, 10, 11], "uint8"), (4, 6)))
    refused(tmp_path, path, "raster_cavm_v1.tif holds the codes 10, 11, which CAVM raster does not have. Set PRODUCT "
            "to the right one or to none", target=GRID)
    assert run(path, tmp_path, GRID, product=NONE)[1]["product"] is None
    shutil.rmtree(tmp_path / "out")
    path = write_raster(tmp_path / "raster_cavm_v1.tif", np.full((4, 6), 1.5, "float32"))
    refused(tmp_path, path, "holds the value 1.5 where whole-numbered codes are expected", target=GRID)


@pytest.mark.parametrize("place", [(600, 600), (7, 9), (1199, 2)])
def test_a_single_cell_of_another_code_is_refused(tmp_path, place):
    grid = Grid(GRID.wkt, (0.0, 1000.0, 0.0, 0.0, 0.0, -1000.0), 1200, 1200)
    values = np.full((1200, 1200), 21, "uint8")
    values[place] = 50
    path = write_raster(tmp_path / "raster_cavm_v1.tif", np.stack([np.full_like(values, 21), values]), nodata=127,
                        transform=grid.transform)
    refused(tmp_path, path, "raster_cavm_v1.tif (band 2) holds the codes 50, which CAVM raster does not have.",
            target=grid)
    # wide codes of a table of one's own
    own = tmp_path / "own.csv"
    own.write_text("product,kind,files,codes\nlithology,class,litho*,1;2;900000\n", encoding="utf-8")
    wide = np.where(values == 50, 900000, 2).astype("int32")
    path = write_raster(tmp_path / "litho.tif", wide, transform=grid.transform)
    assert set(np.unique(run(path, tmp_path, grid, products=str(own))[0])) == {2, 900000}
    shutil.rmtree(tmp_path / "out")
    path = write_raster(tmp_path / "litho.tif", np.where(values == 50, 3, wide).astype("int32"),
                        transform=grid.transform)
    refused(tmp_path, path, "litho.tif holds the codes 3, which lithology does not have", products=str(own),
            target=grid)


# what stops a run ---------------------------------------------------------------------------------------------------

def test_a_subdataset_that_does_not_exist_lists_those_that_do(tmp_path):
    refused(tmp_path, p.cci_permafrost_v3(tmp_path, "GTD"), "has no variable 'T3m'. Set VARIABLE to one of: GST, ",
            "T2m", variable="T3m")


def test_two_variables_where_one_is_asked_are_listed(tmp_path):
    path = p.cci_permafrost_v3(tmp_path, "GTD")
    mine = shutil.copy(path, str(tmp_path / "mine.nc"))
    refused(tmp_path, mine, "mine.nc holds several variables where one is asked for. Set VARIABLE to one of: GST, ")
    assert run(mine, tmp_path, SMALL, variable="T5m")[1]["unit"] == "celsius"
    # the preset chooses, VARIABLE goes before it
    by_preset, chosen = run(path, tmp_path, SMALL)[0], run(path, tmp_path, SMALL, variable="T10m")[0]
    np.testing.assert_allclose(chosen - by_preset, np.where(np.isnan(chosen), np.nan, 0.8), atol=0.02)


def test_a_file_of_another_product_is_refused(tmp_path):
    refused(tmp_path, p.worldclim_elevation(tmp_path), "wc2.1_30s_elev.tif is named like Elevation",
            "not like CAVM raster", product="cavm")
    shutil.rmtree(tmp_path / "out")
    mine = shutil.copy(p.mod10cm(tmp_path), str(tmp_path / "mine.hdf"))
    refused(tmp_path, mine, "mine.hdf is not LandCover_CCI: it has no variable lccs_class, but Snow_Cover",
            product="landcover_cci")
    shutil.rmtree(tmp_path / "out")
    refused(tmp_path, mine, "There is no product 'snow'. The products are", product="snow")


@pytest.mark.parametrize("name, share", [("ESACCI-PERMAFROST-L4-ALT-MODISLST_CRYOGRID-AREA4_PP-2005-fv03.0.nc", 0.5),
                                         ("MOD10CM.A2001001.061.2020039000000.hdf", 0.3),
                                         ("AMSR_36V_CO_FT_2005_day001_v02.h5", 0.6)])
def test_a_file_cut_short_is_refused(tmp_path, name, share):
    whole = {"nc": lambda: p.cci_permafrost_v3(tmp_path, "ALT"), "hdf": lambda: p.mod10cm(tmp_path),
             "h5": lambda: p.freeze_thaw_hdf5(tmp_path)}[name.rsplit(".", 1)[-1]]()
    data = Path(whole).read_bytes()
    Path(whole).write_bytes(data[:int(share * len(data))])
    refused(tmp_path, whole, name, target=SMALL)


def test_a_netcdf_with_a_damaged_middle_is_refused(tmp_path):
    path = Path(p.cci_permafrost_v3(tmp_path, "ALT"))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle:middle + 4000] = bytes(4000)
    path.write_bytes(data)
    refused(tmp_path, str(path), "cannot be", target=SMALL)


def test_a_web_page_with_the_name_of_a_product_is_refused(tmp_path):
    path = tmp_path / "MOD10CM.A2001001.061.2020039000000.hdf"
    path.write_text("<!DOCTYPE html><html><body>Earthdata Login</body></html>", encoding="utf-8")
    refused(tmp_path, str(path), f"The raster {path} cannot be opened", "such as a web page under the name of the file")


def test_a_raw_file_without_its_header_is_refused(tmp_path):
    path = p.ipa(tmp_path)
    Path(path).with_suffix(".hdr").unlink()
    refused(tmp_path, path, f"The raster {path} cannot be opened", "a raw file without its .hdr file beside it")


def test_a_request_that_the_disk_cannot_hold_is_refused_before_it_begins(tmp_path, monkeypatch):
    path = p.worldclim_elevation(tmp_path)
    disk = namedtuple("Usage", "total used free")(10 << 30, (10 << 30) - (40 << 20), 40 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: disk)
    monkeypatch.setattr(module, "run_blocks", lambda *arguments, **options: pytest.fail("it began"))
    grid = polar_grid(cell=265.0)
    assert grid.width * grid.height * 4 > 5e9
    refused(tmp_path, path, "out.tif will hold 5.07 GiB before compression, but only 40 MiB are free there. Free some "
            "space", error=OutputError, target=grid)


def test_a_place_beyond_the_target_is_refused(tmp_path):
    path = write_raster(tmp_path / "south.tif", np.ones((4, 6)), crs="EPSG:4326",
                        transform=(10.0, 1.0, 0.0, -40.0, 0.0, -1.0))
    refused(tmp_path, path, "south.tif does not overlap the target grid", error=GridError)


def test_a_layer_of_nothing_but_nodata_is_refused(tmp_path):
    numbers = write_raster(tmp_path / "UiO_PEX_MAGTM_1.tif", np.full((4, 6), np.nan, "float32"), nodata=-9999)
    refused(tmp_path, numbers, "UiO_PEX_MAGTM_1.tif has no data at all: every cell is nodata", target=GRID)
    shutil.rmtree(tmp_path / "out")
    for name in ("mine.tif", "raster_cavm_v1.tif"):
        path = write_raster(tmp_path / name, np.full((4, 6), 127, "uint8"), nodata=127)
        refused(tmp_path, path, f"No cell of the target grid gets a value from {name}. Check its CRS and extent",
                target=GRID)
        shutil.rmtree(tmp_path / "out")
    # so is one whose values all lie south of the limit
    refused(tmp_path, p.peatland_map(tmp_path), "No cell of the target grid gets a value", min_latitude=89.99)


def test_a_raster_without_a_place_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.ones((4, 6)), crs=None)
    refused(tmp_path, path, "The raster a.tif has no CRS", error=GridError)
    shutil.rmtree(tmp_path / "out")
    path = write_raster(tmp_path / "b.tif", np.ones((4, 6)), crs=None, transform=None)
    refused(tmp_path, path, "The raster b.tif has no georeference", wkt=epsg_wkt(6931), error=GridError)
    found, _, _ = run(path, tmp_path, GRID, wkt=epsg_wkt(6931), extent=(-100000, 50000, 0, 100000))
    assert (found == 1).all()


def test_no_file_is_refused(tmp_path):
    refused(tmp_path, [], "No file is given.")


def test_a_cancelled_run_leaves_nothing(years, tmp_path):
    output, log = tmp_path / "out.tif", Log()
    log.stop()
    with pytest.raises(Cancelled), Staging(years) as staging:
        align(years, str(output), staging, log, AlignOptions(), SMALL)
    assert standing(tmp_path) == {}


# CRS and extent -----------------------------------------------------------------------------------------------------

def test_a_crs_of_the_users_goes_before_the_files_and_is_said(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.arange(24.0).reshape(4, 6), crs="EPSG:3995")
    found, _, log = run(path, tmp_path, GRID, wkt=epsg_wkt(6931))
    assert (found[0] == np.arange(24).reshape(4, 6)).all()
    assert any("a.tif states another CRS than CRS; CRS is used." in warning for warning in log.warnings)
    _, _, log = run(path, tmp_path, GRID, wkt=epsg_wkt(3995))
    assert log.warnings == []


def test_a_product_that_was_projected_since_keeps_its_crs(tmp_path):
    """The presets replace wrong longitudes and latitudes, not coordinates in metres."""
    path = write_raster(tmp_path / "MOD10CM_2001-01.tif", np.full((4, 6), 50, "uint8"), crs="EPSG:6931")
    found, result, _ = run(path, tmp_path, GRID)
    assert result["product"] == "mod10cm" and (found == 50).all()


def test_the_presets_crs_is_said(tmp_path):
    _, _, log = run(p.mod10cm(tmp_path), tmp_path, SMALL)
    assert any("A2001001.061.2020039000000.hdf states another CRS; that of the product is used, EPSG:4326." in line
               for line in log.lines)
    assert any("read as MOD10CM snow cover, monthly, preset mod10cm" in line for line in log.lines)


def test_a_preset_of_ones_own(tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("product,kind,files,unit,low,high,flags,scale,offset,absent,crs\n"
                   "thaw,number,thaw_*.tif,cm,0,500,99,2,1,0,EPSG:6931\n", encoding="utf-8")
    values = np.arange(90, 114, dtype="int16").reshape(4, 6)
    path = write_raster(tmp_path / "thaw_1.tif", values, nodata=90, crs=None)
    found, result, _ = run(path, tmp_path, GRID, products=str(own))
    assert (result["product"], result["unit"]) == ("thaw", "cm")
    np.testing.assert_array_equal(found[0], np.where(values == 99, np.nan, np.where(values == 90, 0, values * 2 + 1)))
    own.write_text("product,kind,files,crs\nthaw,number,thaw_*.tif,EPSG:1\n", encoding="utf-8")
    refused(tmp_path, path, "'EPSG:1' is no CRS.", products=str(own))


# regional sources ---------------------------------------------------------------------------------------------------

#: a source of a few cells on the default target in coarse cells: CRS, transform, columns and rows
REGIONS = {
    "UTM zone 60": ("EPSG:32660", (450000.0, 10000.0, 0.0, 7600000.0, 0.0, -10000.0), 10, 10),
    "degrees": ("EPSG:4326", (100.0, 0.1, 0.0, 70.0, 0.0, -0.1), 30, 30),
}


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("kind", [NUMBER, CLASS])
def test_a_region_gives_values_where_it_lies_and_nowhere_else(tmp_path, region, kind):
    crs, transform, columns, rows = REGIONS[region]
    # as a class 0 is one of them
    values = np.resize(np.array([10, 20, 30, 40, 50 if kind == NUMBER else 0], "uint8"), (rows, columns))
    target = polar_grid(cell=10_000.0)
    found, result, _ = run(write_raster(tmp_path / "a.tif", values, crs=crs, transform=transform), tmp_path, target,
                           kind=kind, product=NONE)
    x, y = _carried(target, crs)
    column, row = (x - transform[0]) / transform[1], (y - transform[3]) / transform[5]
    beyond = np.maximum(np.maximum(-column, column - columns), np.maximum(-row, row - rows))
    beyond[np.isnan(beyond)] = np.inf
    width = 1 if region != "degrees" else 3
    assert not np.isnan(found[0][beyond < -1e-6]).any() and (beyond < 0).sum() > 80
    # a cell that the source touches with its rim only may have a value too
    assert np.isnan(found[0][beyond > width]).all()
    assert result["cells"]["valid"] == np.isfinite(found).sum() < 600
    assert values.min() <= np.nanmin(found) and np.nanmax(found) <= values.max()


def _carried(target, crs):
    """Return the coordinates of the centres of a target's cells in another CRS, by pyproj."""
    from pyproj import Transformer

    columns, rows = np.meshgrid(np.arange(target.width) + 0.5, np.arange(target.height) + 0.5)
    return np.array(Transformer.from_crs("EPSG:6931", crs, always_xy=True).transform(*target.xy(columns, rows)))
