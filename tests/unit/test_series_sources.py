"""A series of a product gives what numpy gives of its values, however it was delivered and whatever codes it holds."""

import datetime
import os
import shutil
import zipfile
from itertools import product as combinations

import numpy as np
import pytest

import products as p
from pti_plugin.core.common.errors import GridError, InputError
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.rasters.folders import files_in
from pti_plugin.core.rasters.grid import Grid, epsg_wkt
from pti_plugin.core.rasters.product_sources import Reading
from pti_plugin.core.rasters.products import NONE, read_products
from pti_plugin.core.rasters.raster import SourceReader, read_info
from pti_plugin.core.rasters.series_sources import Region, open_series
from pti_plugin.core.rasters.time_axis import DAILY, AxisOptions
from pti_plugin.core.series.composites import (
    AS_THEY_ARE,
    FROZEN_DAYS,
    MEAN,
    MONTHLY,
    CompositeOptions,
    composite_series,
)
from pti_plugin.core.series.trends import TrendOptions, trend_rasters
from support import Log, read_raster, write_raster

PRESETS = read_products()
SHAPE = (6, 8)
#: degrees round the Earth
DEGREES = {"crs": "EPSG:4326", "transform": (-180.0, 45.0, 0.0, 90.0, 0.0, -30.0)}
SINUSOIDAL = {"crs": p.MODIS_CRS}


def bands(path):
    return np.stack([read_raster(path, band) for band in range(1, read_info(path).bands + 1)])


def composite(paths, folder, names=("composite",), target=None, **options):
    """Return ({name: bands}, log, {name: path}) of a composite."""
    outputs = {name: str(folder / f"out_{name}.tif") for name in names}
    log = Log()
    with Staging(paths) as staging:
        composite_series(paths, outputs, staging, log, CompositeOptions(**options), None, target)
        staging.commit()
    return {name: bands(path) for name, path in outputs.items()}, log, outputs


def opened(paths, period=1, region=None, log=None, **reading):
    return open_series(paths, AxisOptions(period), Reading(**reading), log or Log(), region)


def read(series):
    """Return the values of all layers of a series."""
    reader = SourceReader()
    rows, columns = series.grid.height, series.grid.width
    return np.stack([reader.read(item, 0, rows, 0, columns) for item in series.items])


def date_of(step, days=8):
    return datetime.date(2001, 1, 1) + datetime.timedelta(days=days * step)


#: product: name of its n-th file, first and last stored value, codes that are no values, what they become, scale and
#: offset, steps a year, grid
DELIVERED = {
    "mod10cm": (lambda n: f"MOD10CM.A2001{datetime.date(2001, n + 1, 1).timetuple().tm_yday:03d}.061", "uint8", 0, 100,
                (211, 250, 253, 254, 255), np.nan, 1.0, 0.0, 12, DEGREES),
    "glass_ndvi": (lambda n: f"GLASS13B01.V10.A2001{1 + 8 * n:03d}.2023068", "int16", -1000, 10000, (25500,), np.nan,
                   1e-4, 0.0, 46, DEGREES),
    "glass_lst": (lambda n: f"GLASS_LST_monthly_2001{n + 1:02d}", "uint16", 22000, 30000, (0,), np.nan, 0.01, -273.15,
                  12, DEGREES),
    "cci_pfr": (lambda n: f"ESACCI-PERMAFROST-L4-PFR-MODISLST_CRYOGRID-AREA4_PP-{2003 + n}-fv05.0", "uint8", 1, 100,
                (255,), 0.0, 1.0, 0.0, 1, DEGREES),
    "cci_alt": (lambda n: f"ESACCI-PERMAFROST-L4-ALT-MODISLST_CRYOGRID-AREA4_PP-{2003 + n}-fv05.0", "uint16", 1, 1000,
                (65535,), np.nan, 0.01, 0.0, 1, DEGREES)}
#: nodata that the files state; the others state none
STATED = {"cci_pfr": 255}
#: how a file of the product is delivered: a GeoTIFF, one without an ending that counts, a virtual one, one in a zip
FORMS = ("tif", "TIFF", "vrt", "zip", "zip in zip")
NESTING = ("", "2001", "data/v1/2001")


def deliver(folder, name, number, form, nesting, codes):
    """Write a series as it might be delivered and return (paths as found in the folder, values by layer)."""
    stem, dtype, low, high, flags, becomes, scale, offset, _, place = DELIVERED[name]
    rng = np.random.default_rng([len(name), number, len(form), len(nesting)])
    values, written = [], []
    raw = folder / "raw"
    raw.mkdir()
    for n in range(number):
        stored = rng.integers(low, high + 1, SHAPE).astype(dtype)
        flagged = rng.random(SHAPE) < 0.3
        stored[flagged] = rng.choice(codes, flagged.sum())
        values.append(np.where(np.isin(stored, flags), becomes, stored * scale + offset))
        ending = "TIFF" if form == "TIFF" else "tif"
        written.append(write_raster(raw / f"{stem(n)}.{ending}", stored, nodata=STATED.get(name), **place))
    base = folder / "delivered"
    where = base / nesting
    where.mkdir(parents=True)
    if form in ("tif", "TIFF"):
        for path in written:
            shutil.move(path, where)
    elif form == "vrt":
        from osgeo import gdal
        for path in written:
            gdal.BuildVRT(str(where / f"{os.path.basename(path)[:-4]}.vrt"), [path]).FlushCache()
    else:
        archive = where / "order_17.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for path in written:
                file.write(path, os.path.basename(path))
        if form == "zip in zip":
            os.rename(archive, folder / "inner.zip")
            with zipfile.ZipFile(archive, "w") as file:
                file.write(folder / "inner.zip", "a/inner.zip")
    (base / "CHECKSUMS.md5").write_text("x")
    return files_in(base, "*.vrt" if form == "vrt" else "*.tif;*.TIFF", Log(), PRESETS), np.stack(values)


CASES = [(name, form, nesting) for number, (name, (form, nesting))
         in enumerate(combinations(DELIVERED, combinations(FORMS, NESTING))) if number % 2 == 0]


@pytest.mark.parametrize("name, form, nesting", CASES)
def test_flags_scale_and_absence_of_a_product_in_every_form_of_delivery(tmp_path, name, form, nesting):
    flags, steps = DELIVERED[name][4], DELIVERED[name][8]
    paths, values = deliver(tmp_path, name, 4, form, nesting, flags)
    series = opened(paths, steps)
    assert series.product.name == name
    np.testing.assert_allclose(read(series), values, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", DELIVERED)
def test_the_composite_is_the_mean_of_what_numpy_leaves(tmp_path, name):
    flags, steps = DELIVERED[name][4], DELIVERED[name][8]
    number = steps if steps > 1 else 5
    paths, values = deliver(tmp_path, name, number, "tif", "2001", flags)
    found, log, outputs = composite(paths, tmp_path, period=steps, fill=False)
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        expected = np.where(known.any(axis=0), np.nansum(values, axis=0) / known.sum(axis=0), np.nan)
    np.testing.assert_allclose(found["composite"][0], expected, rtol=1e-5)
    assert any(PRESETS[name].title in line for line in log.lines)
    assert read_info(outputs["composite"]).metadata["PTI_PRODUCT"] == name
    if steps == 1:
        outputs = {name: str(tmp_path / f"{name}.tif") for name in ("slope", "sign")}
        with Staging(paths) as staging:
            trend_rasters(paths, outputs, staging, Log(), TrendOptions())
            staging.commit()
        pairs = [(i, j) for i in range(number) for j in range(i + 1, number)]
        slope = np.nanmedian([(values[j] - values[i]) / (j - i) for i, j in pairs], axis=0)
        enough = (~np.isnan(values)).sum(axis=0) >= number * 0.8
        assert enough.any()
        np.testing.assert_allclose(read_raster(outputs["slope"])[enough], slope[enough], rtol=1e-4, atol=1e-6)


def test_with_none_the_codes_are_numbers_and_valid_leaves_them_out(tmp_path):
    paths, values = deliver(tmp_path, "mod10cm", 3, "tif", "", (250,))
    as_they_are = read(opened(paths, 12, product=NONE))
    assert (as_they_are[np.isnan(values)] == 250).all()
    np.testing.assert_array_equal(read(opened(paths, 12, product=NONE, flags=(250.0,))), values)
    # what the user states goes before the preset
    stated = read(opened(paths, 12, flags=(7.0,), valid=(0.0, 100.0)))
    assert np.isnan(stated[np.isnan(values) | (values == 7)]).all() and np.nanmax(stated) <= 100
    # and instead of it
    codes = np.arange(48, dtype="uint8").reshape(SHAPE) % 3 * 10
    cover = write_raster(tmp_path / "C3S-LC-L4-LCCS-Map-300m-P1Y-2016-v2.1.1.tif", codes, **DEGREES)
    np.testing.assert_array_equal(read(opened([cover]))[0], np.where(codes == 0, np.nan, codes))
    np.testing.assert_array_equal(read(opened([cover], flags=(10.0,)))[0], np.where(codes == 10, np.nan, codes))


def test_cloud_and_night_are_no_snow(tmp_path):
    """Twelve months of 60 %, one of them cloud everywhere and one night."""
    paths = []
    for month in range(1, 13):
        code = {4: 250, 8: 211}.get(month, 60)
        name = f"MOD10CM.A2001{datetime.date(2001, month, 1).timetuple().tm_yday:03d}.061.tif"
        paths.append(write_raster(tmp_path / name, np.full(SHAPE, code, "uint8"), **DEGREES))
    found, _, _ = composite(paths, tmp_path, period=12)
    np.testing.assert_array_equal(found["composite"][0], 60)


def test_years_of_the_permafrost_record_in_folders(tmp_path):
    pytest.importorskip("netCDF4")
    values = {}
    for year in (1997, 1998, 2003, 2004, 2005):
        (tmp_path / "v5" / str(year)).mkdir(parents=True)
        p.cci_permafrost_v4(tmp_path / "v5" / str(year), "PFR", year, p.ranging(0, 100), version="05.0")
        values[year] = year
    paths = files_in(tmp_path / "v5", "*.nc", Log(), PRESETS)
    series = opened(paths)
    assert [layer.index for layer in series.layers] == list(values)
    from netCDF4 import Dataset
    with Dataset(paths[0]) as file:
        file.set_auto_mask(False)
        stored = np.squeeze(file["PFR"][:])
    # the rows of the file begin in the south
    found = read(series)[0][::-1]
    # absence of permafrost is stored as nodata
    np.testing.assert_array_equal(found, np.where(stored == 255, 0, stored))
    assert (stored == 255).any()


def test_files_of_two_products_or_of_none_are_not_one_series(tmp_path):
    snow, _ = deliver(tmp_path, "mod10cm", 2, "tif", "", (250,))
    other = write_raster(tmp_path / "GLASS13B01.V10.A2001193.2023068.tif", np.zeros(SHAPE, "int16"), **DEGREES)
    own = write_raster(tmp_path / "mine_2002-01.tif", np.zeros(SHAPE, "uint8"), **DEGREES)
    for paths in ([*snow, other], [*snow, own], [own, snow[0]]):
        with pytest.raises(InputError, match="The layers are not of one product: .* Leave the others out, or set "):
            opened(paths, 12)
    assert len(opened([*snow, own], 12, product="mod10cm").items) == 3


def test_two_versions_given_as_layers_are_not_one_series(tmp_path):
    name = "ESACCI-PERMAFROST-L4-ALT-MODISLST_CRYOGRID-AREA4_PP-{}-fv{}.tif"
    first, second, third = (write_raster(tmp_path / name.format(*of), np.full(SHAPE, 2.0, "float32"), **DEGREES)
                            for of in ((2005, "04.0"), (2006, "05.0"), (2006, "04.0")))
    with pytest.raises(InputError, match=r"The layers are of two versions of Permafrost_CCI active layer thickness.*: "
                                         r".*-2005-fv04\.0\.tif and .*-2006-fv05\.0\.tif\. They are not to be mixed; "):
        opened([first, second])
    assert len(opened([first, third]).items) == len(opened([first, second], product="cci_alt").items) == 2
    # two makers of one product number their versions each by itself
    cover = [write_raster(tmp_path / f"{stem}.tif", np.full(SHAPE, 10, "uint8"), **DEGREES) for stem in (
        "ESACCI-LC-L4-LCCS-Map-300m-P1Y-2015-v2.0.7", "C3S-LC-L4-LCCS-Map-300m-P1Y-2016-v2.1.1")]
    assert len(opened(cover).items) == 2


def test_what_the_plugin_made_of_a_product_is_not_scaled_again(tmp_path):
    paths, values = deliver(tmp_path, "glass_lst", 12, "tif", "", (0,))
    found, _, outputs = composite(paths, tmp_path, ("composite", "series"), period=12, fill=False)
    log = Log()
    again = opened([outputs["series"]], log=log)
    assert again.product.title == PRESETS["glass_lst"].title and again.unit == "degC"
    np.testing.assert_array_equal(read(again), found["series"])
    # under the name of a published file it is still what it was made to be
    renamed = shutil.copy(outputs["composite"], tmp_path / "GLASS_LST_monthly_200101.tif")
    np.testing.assert_array_equal(read(opened([str(renamed)], 12)), found["composite"])


def days_of(number, seed=1, first=datetime.date(2001, 1, 1)):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (number, *SHAPE)).astype("uint8")
    codes[rng.random(codes.shape) < 0.05] = 254
    return codes, [first + datetime.timedelta(n) for n in range(number)]


def name_of_day(day, kind="AMSR_36V_CO_FT", ending="tif", version="v04"):
    return f"{kind}_{day.year}_day{day.timetuple().tm_yday:03d}_{version}.{ending}"


#: EASE-Grid 2.0 North as the freeze/thaw record has it, in 6 rows and 6 columns
EASE2 = (-9e6, 3e6, 0.0, 9e6, 0.0, -3e6)


@pytest.mark.parametrize("ending", ["tif", "h5"])
def test_frozen_days_of_the_record_with_and_without_georeference(tmp_path, ending):
    if ending == "h5":
        h5py = pytest.importorskip("h5py")
    codes, days = days_of(90)
    codes = codes[:, :, :6]
    where = p.cells(EASE2, 6, 6, p.EASE2_NORTH)
    for day, stored in zip(days, codes):
        path = tmp_path / "ft" / str(day.year) / f"{day.month:02d}" / name_of_day(day, ending=ending)
        path.parent.mkdir(parents=True, exist_ok=True)
        if ending == "tif":
            write_raster(path, stored, crs=p.EASE2_NORTH, transform=EASE2)
            continue
        with h5py.File(path, "w") as file:
            file["FT"], file["cell_lat"], file["cell_lon"] = stored, where.latitude, where.longitude
    paths = files_in(tmp_path / "ft", f"*.{ending}", Log(), PRESETS)
    found, log, outputs = composite(paths, tmp_path, ("composite", "series"), statistic=FROZEN_DAYS,
                                    gaps=AS_THEY_ARE, period=365,
                                    min_days=80)
    expected = np.where((codes < 4).sum(axis=0) >= 80, (codes == 0).sum(axis=0), np.nan)
    np.testing.assert_array_equal(found["series"][0], expected)
    assert read_info(outputs["series"]).grid.transform == EASE2
    assert "PTI_PRODUCT" not in read_info(outputs["series"]).metadata


def test_other_extents_are_stated_and_wrong_ones_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    extent = (-3e6, 3e6, -3e6, 3e6)
    where = p.cells((-3e6, 1e6, 0.0, 3e6, 0.0, -1e6), 6, 6, p.EASE2_NORTH)
    path = tmp_path / name_of_day(datetime.date(2001, 1, 1), ending="h5")
    with h5py.File(path, "w") as file:
        file["FT"], file["cell_lat"], file["cell_lon"] = np.zeros((6, 6), "uint8"), where.latitude, where.longitude
    with pytest.raises(InputError, match="latitudes and longitudes in the file lie up to .* cells away"):
        opened([str(path)], DAILY)
    assert opened([str(path)], DAILY, extent=extent).grid.transform == (-3e6, 1e6, 0, 3e6, 0, -1e6)


def test_frozen_days_of_one_overpass_are_said_and_of_other_products_refused(tmp_path):
    codes, days = days_of(90)
    with pytest.raises(InputError, match="holds the codes 2, 3, which PER-FT freeze/thaw of one overpass"):
        opened([write_raster(tmp_path / name_of_day(days[0], "AMSR_36V_PM_FT"), codes[0, :, :6], crs=p.EASE2_NORTH,
                             transform=EASE2)], DAILY)
    codes = np.where(codes < 4, codes % 2, codes)
    paths = [write_raster(tmp_path / name_of_day(day, "AMSR_36V_AM_FT"), stored, crs=p.EASE2_NORTH, transform=EASE2)
             for day, stored in zip(days, codes[:, :, :6])]
    found, log, _ = composite(paths, tmp_path, statistic=FROZEN_DAYS, gaps=AS_THEY_ARE, period=365, min_days=60)
    assert any("one overpass" in warning and "combined files (CO)" in warning for warning in log.warnings)
    snow, _ = deliver(tmp_path, "mod10cm", 3, "tif", "", (250,))
    with pytest.raises(InputError, match="which has no frozen days. Choose another STATISTIC, or set PRODUCT"):
        composite(snow, tmp_path, statistic=FROZEN_DAYS, gaps=AS_THEY_ARE, period=365)
    with pytest.raises(InputError, match="whose codes have no mean of all layers. Set STATISTIC to majority"):
        composite(paths, tmp_path, statistic=MEAN, period=365)
    with pytest.raises(InputError, match="whose codes have no trend"), Staging(paths) as staging:
        trend_rasters(paths, {"slope": str(tmp_path / "s.tif")}, staging, Log(), TrendOptions(period=365))


# Tiles --------------------------------------------------------------------------------------------------------------

SIDE = p.MODIS_TILE / 4
TILES = ((20, 1), (20, 2), (21, 2))


def tiles(folder, days, left_out=(), places=TILES):
    """Write the tiles of days and return their values (day, row, column) in °C."""
    values = np.full((len(days), 8, 8), np.nan)
    for number, day in enumerate(days):
        for column, row in places:
            if (day, column, row) in left_out:
                continue
            stored = np.random.default_rng([day, column, row]).integers(23000, 30000, (4, 4)).astype("uint16")
            stored[0, 0] = 0
            place = folder / f"{day:03d}"
            place.mkdir(parents=True, exist_ok=True)
            write_raster(place / f"GLASS06A01.V01.A2001{day:03d}.h{column:02d}v{row:02d}.2022021.tif", stored,
                         crs=p.MODIS_CRS, transform=((column - 18) * p.MODIS_TILE, SIDE, 0.0,
                                                     (9 - row) * p.MODIS_TILE, 0.0, -SIDE))
            down, across = 4 * (row - 1), 4 * (column - 20)
            values[number, down:down + 4, across:across + 4] = np.where(stored == 0, np.nan, stored * 0.01 - 273.15)
    return values


def test_tiles_of_a_day_are_one_layer_and_missing_ones_are_said(tmp_path):
    values = tiles(tmp_path / "lst", (1, 32, 60), left_out={(32, 21, 2)})
    log = Log()
    series = opened(files_in(tmp_path / "lst", "*.tif", Log(), PRESETS), DAILY, log=log)
    np.testing.assert_allclose(read(series), values, atol=1e-9)
    assert [layer.index for layer in series.layers] == sorted(layer.index for layer in series.layers)
    assert any("h21v02" in warning and "2001-02-01" in warning for warning in log.warnings), log.warnings


def test_rasters_on_parts_of_a_grid_are_tiles_where_times_repeat_and_refused_otherwise(tmp_path):
    values = np.arange(48.0).reshape(2, 4, 6)

    def part(name, year, left):
        return write_raster(tmp_path / f"{name}_{year}.tif", values[year - 2001, :, left:left + 3].astype("float32"),
                            transform=(1000.0 * left, 1000.0, 0.0, 0.0, 0.0, -1000.0))

    paths = [part(name, year, left) for year in (2001, 2002) for name, left in (("west", 0), ("east", 3))]
    np.testing.assert_array_equal(read(opened(paths, 1)), values)
    with pytest.raises(GridError, match="All layers of a series must share one grid"):
        opened([paths[0], paths[3]], 1)


def test_one_tile_twice_is_refused_by_name(tmp_path):
    tiles(tmp_path / "lst", (1, 32))
    twice = tmp_path / "lst" / "001" / "GLASS06A01.V01.A2001001.h20v01.2022021.tif"
    other = shutil.copy(twice, tmp_path / "copy_of_GLASS06A01.V01.A2001001.h20v01.tif")
    paths = [*files_in(tmp_path / "lst", "*.tif", Log(), PRESETS), str(other)]
    with pytest.raises(InputError, match="GLASS06A01.V01.A2001001.h20v01"):
        opened(paths, DAILY, product="glass_lst")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_monthly_means_of_days_need_their_share_of_the_days(tmp_path, share):
    days = [day for day in range(1, 61) if day not in range(35, 45)]
    values = tiles(tmp_path / "lst", days, places=TILES[:1])[:, :4, :4]
    found, _, outputs = composite(files_in(tmp_path / "lst", "*.tif", Log(), PRESETS), tmp_path,
                                  ("composite", "series", "count"), statistic=MONTHLY, period=365, min_share=share)
    months = np.array([(datetime.date(2001, 1, 1) + datetime.timedelta(day - 1)).month for day in days])
    expected = []
    # a month of too few days altogether is left out
    lengths = {month: length for month, length in ((1, 31), (2, 28), (3, 31))
               if (months == month).sum() >= share * length}
    for month, length in lengths.items():
        part = values[months == month]
        known = (~np.isnan(part)).sum(axis=0)
        with np.errstate(invalid="ignore"):
            expected.append(np.where((known > 0) & (known >= share * length), np.nansum(part, axis=0) / known, np.nan))
    expected = np.array(expected)
    np.testing.assert_allclose(found["series"], expected, atol=1e-5)
    known = (~np.isnan(expected)).sum(axis=0)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found["composite"][0], np.nansum(expected, axis=0) / known, atol=1e-5)
    assert list(read_info(outputs["series"]).descriptions) == [f"2001-{month:02d}" for month in lengths]
    # the series goes on into the trend and composite tools
    assert [layer.index % 12 for layer in opened([outputs["series"]], 12).layers] == [n - 1 for n in lengths]


# Regions ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("limit", [-90.0, 0.0, 30.0, 44.0, 61.0])
def test_a_southern_limit_computes_only_what_lies_north_of_it(tmp_path, limit):
    paths, values = deliver(tmp_path, "cci_pfr", 5, "tif", "", (255,))
    whole, _, _ = composite(paths, tmp_path)
    found, _, outputs = composite(paths, tmp_path, min_latitude=limit)
    rows = [row for row in range(SHAPE[0]) if 75.0 - 30.0 * row >= limit]
    np.testing.assert_array_equal(found["composite"][0], whole["composite"][0][:len(rows)])
    assert read_info(outputs["composite"]).grid.transform == DEGREES["transform"]
    with pytest.raises(InputError, match="MIN_LATITUDE|north"):
        composite(paths, tmp_path, min_latitude=89.0)


def test_a_target_crops_the_series_and_changes_no_value(tmp_path):
    paths, values = deliver(tmp_path, "glass_ndvi", 46, "tif", "", (25500,))
    target = Grid(epsg_wkt(6931), (-500000.0, 100000.0, 0.0, 500000.0, 0.0, -100000.0), 10, 10)
    series = opened(paths, 46, Region(target, -90.0))
    whole = read(opened(paths, 46))
    part = read(series)
    x, _, _, y, _, _ = series.grid.transform
    row, column = round((90 - y) / 30), round((x + 180) / 45)
    rows, columns = part.shape[1:]
    assert rows < SHAPE[0]
    np.testing.assert_array_equal(part, whole[:, row:row + rows, column:column + columns])


@pytest.mark.parametrize("unit, zero_is", [("degC", 0.0), ("K", np.nan), ("kelvin", np.nan)])
def test_zero_is_a_value_among_real_numbers_in_degrees_and_fill_among_kelvins(tmp_path, unit, zero_is):
    offset = 0.0 if unit == "degC" else 273.15
    stored = (np.linspace(-20, 15, 48).reshape(SHAPE) + offset).astype(np.float32)
    stored[3, 4] = 0
    paths = [write_raster(tmp_path / f"GLASS_LST_monthly_20010{month}.tif", stored, unit=unit, **DEGREES)
             for month in (1, 2)]
    series = opened(paths, 12)
    assert series.product.name == "glass_lst"
    expected = stored.astype(float) - offset
    expected[3, 4] = zero_is
    np.testing.assert_allclose(read(series)[0], expected, atol=1e-4)
