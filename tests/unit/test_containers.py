"""Files as data centres publish them: the variables of netCDF, HDF4 and HDF5, folders, and a georeference put right."""

import os
import threading

import netCDF4
import numpy as np
import pytest

import products as p
from pti_plugin.core.common.errors import GridError, InputError
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.rasters.align import AlignOptions, align, polar_grid
from pti_plugin.core.rasters.containers import (
    georeferenced,
    inner_paths,
    only_variable,
    parse_extent,
    variable_of,
    variables,
)
from pti_plugin.core.rasters.dimensions import _has_time, _of_array
from pti_plugin.core.rasters.folders import files_in
from pti_plugin.core.rasters.grid import spatial_reference
from pti_plugin.core.rasters.raster import NUMBER, SourceReader, display_name, read_info, source
from support import Log, write_raster

pytest.importorskip("netCDF4")
pytest.importorskip("h5py")
pytest.importorskip("pyhdf")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Containers of one and of several variables: {name: path}."""
    import h5py

    folder = tmp_path_factory.mktemp("files")
    made = {"temperature": p.cci_permafrost_v3(folder, "GTD"), "snow": p.mod10cm(folder), "ndvi": p.glass_ndvi(folder),
            "cover": p.landcover_cci_netcdf(folder), "state": p.freeze_thaw_hdf5(folder)}
    made["plain"] = p.write_hdf4(folder / "plain.hdf", np.arange(12, dtype="int16").reshape(3, 4), "height", {})
    for name, places in (("groups", ("am/FT", "pm/FT", "pm/count")), ("single", ("data/FT",))):
        made[name] = str(folder / f"{name}.h5")
        with h5py.File(made[name], "w") as file:
            for value, place in enumerate(places):
                file.create_dataset(place, data=np.full((4, 6), value, "uint8"))
    made["one"] = p.write_netcdf(folder / "one.nc", {"y": 3, "x": 4}, [
        p.Variable("depth", ("y", "x"), np.arange(12, dtype="float32").reshape(3, 4), {"units": "m"})])
    return made


def read(place):
    from osgeo import gdal

    dataset = gdal.Open(place)
    return dataset.ReadAsArray()


def test_the_variables_of_every_kind_of_container(files):
    depths = [name for depth in p.PERMAFROST_DEPTHS for name in (depth, f"{depth}_uncertainty")]
    assert list(variables(files["temperature"])) == depths
    assert list(variables(files["snow"])) == ["Snow_Cover_Monthly_CMG", "Snow_Spatial_QA"]
    assert "lccs_class" in variables(files["cover"]) and "observation_count" in variables(files["cover"])
    assert list(variables(files["state"])) == ["FT", "cell_lat", "cell_lon"]
    # in groups: by the whole name, and by the short one where there is one of it
    assert list(variables(files["groups"])) == ["am/FT", "pm/FT", "pm/count", "count"]
    for name in ("ndvi", "plain", "single", "one"):
        assert variables(files[name]) == {}


def test_what_is_opened_holds_the_values_of_the_variable(files):
    from netCDF4 import Dataset

    with Dataset(files["temperature"]) as file:
        file.set_auto_maskandscale(False)
        for name in ("GST", "T2m", "T10m"):
            np.testing.assert_array_equal(read(variable_of(files["temperature"], name)), file[name][0])
    assert read(variable_of(files["groups"], "pm/FT")).tolist() == [[1] * 6] * 4
    assert (read(variable_of(files["groups"], "count")) == read(variable_of(files["groups"], "pm/count"))).all()
    assert set(np.unique(read(variable_of(files["snow"], "Snow_Spatial_QA")))) == {0, *p.SNOW_FLAGS, 255}


def test_a_pattern_finds_the_variable_where_none_is_named(files):
    assert variable_of(files["temperature"], "", ("T2m",)) == variable_of(files["temperature"], "T2m")
    assert variable_of(files["cover"], "", ("LCCS_*",)) == variable_of(files["cover"], "lccs_class")
    assert variable_of(files["groups"], "", ("nothing", "COUNT")) == variable_of(files["groups"], "pm/count")
    # what is named goes before the pattern
    assert variable_of(files["temperature"], "T5m", ("T2m",)) == variable_of(files["temperature"], "T5m")


def test_two_variables_where_one_is_asked_for_are_listed(files):
    with pytest.raises(InputError, match=r"groups\.h5 holds several variables where one is asked for\. Set VARIABLE to "
                                         r"one of: am/FT, count, pm/FT, pm/count\."):
        variable_of(files["groups"])
    # a pattern that fits two is no choice
    with pytest.raises(InputError, match="Set VARIABLE to one of: am/FT"):
        variable_of(files["groups"], "", ("*FT",))
    with pytest.raises(InputError, match=r"GTD.*several variables.*GST, GST_uncertainty, T10m"):
        variable_of(files["temperature"])


def test_a_variable_that_does_not_exist_lists_those_that_do(files):
    with pytest.raises(InputError, match=r"\.hdf has no variable 'snow'\. Set VARIABLE to one of: "
                                         r"Snow_Cover_Monthly_CMG, Snow_Spatial_QA\."):
        variable_of(files["snow"], "snow")
    # the name that two groups share is nobody's
    with pytest.raises(InputError, match=r"groups\.h5 has no variable 'FT'\. Set VARIABLE to one of: am/FT, "):
        variable_of(files["groups"], "FT")


def test_a_file_of_one_variable_needs_no_name(files):
    for name in ("one", "single", "ndvi", "plain"):
        assert variable_of(files[name]) == files[name]
    assert only_variable(files["one"]) == "depth" and variable_of(files["one"], "depth") == files["one"]
    assert only_variable(files["single"]) == "data/FT" and variable_of(files["single"], "data/FT") == files["single"]
    with pytest.raises(InputError, match=r"one\.nc has no variable 'height'\. Its only one is depth\."):
        variable_of(files["one"], "height")
    with pytest.raises(InputError, match=r"hdf has no variable 'NDVI'\. .*without names; leave VARIABLE empty"):
        variable_of(files["ndvi"], "NDVI")
    plain = write_raster(os.path.join(os.path.dirname(files["one"]), "plain.tif"), np.ones((2, 2)))
    assert variables(plain) == {} and only_variable(plain) == "" and variable_of(plain) == plain


def test_a_file_that_is_none_says_so(tmp_path, files):
    page = tmp_path / "MOD10CM.A2001001.061.2020039000000.hdf"
    page.write_text("<!DOCTYPE html><html><body>Please log in</body></html>", encoding="utf-8")
    with open(files["temperature"], "rb") as whole:
        (tmp_path / "cut.nc").write_bytes(whole.read()[:20000])
    for name in (page.name, "cut.nc", "missing.nc"):
        with pytest.raises(InputError, match=f"The raster .*{name} (cannot be opened|does not exist)"):
            variables(tmp_path / name)


def test_the_short_name_of_a_variable_says_file_and_variable(files):
    snow = variable_of(files["snow"], "Snow_Cover_Monthly_CMG")
    assert display_name(snow) == "MOD10CM.A2001001.061.2020039000000.hdf:Snow_Cover_Monthly_CMG"
    assert display_name(variable_of(files["groups"], "pm/FT")) == "groups.h5:pm/FT"
    assert display_name('NETCDF:"a b/c:d.nc":T2m') == "c:d.nc:T2m" and display_name("NETCDF:x/c.nc:T2m") == "c.nc:T2m"
    place = georeferenced(snow, extent=(-180, 180, -90, 90))
    assert inner_paths(place) == [snow] and display_name(place) == display_name(snow)


def test_files_of_a_folder(tmp_path):
    for name in ("b_2002.nc", "a_2001.nc", "a_2001.nc.aux.xml", "notes.txt"):
        (tmp_path / name).write_text("")
    assert files_in(tmp_path, "*.nc*") == [str(tmp_path / "a_2001.nc"), str(tmp_path / "b_2002.nc")]
    assert files_in(tmp_path, "a_????.nc") == [str(tmp_path / "a_2001.nc")]
    with pytest.raises(InputError, match=r"No file in .* matches \*\.tif\. The files there end in \.nc; set PATTERN"):
        files_in(tmp_path, "")
    with pytest.raises(InputError, match="The folder .*none does not exist"):
        files_in(tmp_path / "none", "*")


@pytest.mark.parametrize("text, extent", [
    ("0,10,20,30", (0, 10, 20, 30)), (" -9e6,9e6 , -9e6,9e6 [EPSG:6931]", (-9e6, 9e6, -9e6, 9e6)), (" ", ())])
def test_extents_are_read_as_qgis_writes_them(text, extent):
    assert parse_extent(text) == extent


@pytest.mark.parametrize("text, said", [
    ("0,10,20", "write four numbers"), ("0;10;20;30", "write four numbers"), ("a,b,c,d", "write four numbers"),
    ("10,0,20,30", "xmin must be less than xmax"), ("0,10,20,20", "ymin less than ymax"),
    ("0,inf,20,30", "xmin must be less"), ("nan,1,0,1", "xmin must be less")])
def test_a_wrong_extent_is_quoted(text, said):
    with pytest.raises(InputError, match=f"The extent is '{text.replace('[', '.')}'; .*{said}"):
        parse_extent(text)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A raster with all that may be said of a band, and without a place on the earth."""
    from osgeo import gdal

    values = np.arange(24, dtype="int16").reshape(2, 3, 4)
    values[:, 0, 0] = -9
    path = write_raster(tmp_path_factory.mktemp("packed") / "packed & more.tif", values, nodata=-9, crs=None,
                        transform=None, scale=0.1, offset=5.0, unit="K", descriptions=["2001", "2002"],
                        metadata={"origin": "a <test>"})
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.GetRasterBand(2).SetMetadata({"TIME": "2002", "note": 'x "y"'})
    dataset = None
    return path


@pytest.mark.parametrize("crs, extent", [("EPSG:3995", (-2e6, 2e6, -1.5e6, 1.5e6)), ("EPSG:4326", (-180, 180, 0, 90)),
                                         (p.IPA_CRS, (-8e6, 4e6, 0, 6e6)), (p.MODIS_CRS, (0, 4000, 0, 3000))])
def test_the_georeference_is_what_gdal_translate_makes_of_it(packed, tmp_path, crs, extent):
    from osgeo import gdal

    west, east, south, north = extent
    reference = str(tmp_path / "reference.tif")
    gdal.Translate(reference, packed, options=f'-a_srs "{crs}" -a_ullr {west} {north} {east} {south}')
    place = georeferenced(packed, p._wkt(crs), extent)
    found, expected = gdal.Open(place), gdal.Open(reference)
    assert found.GetGeoTransform() == pytest.approx(expected.GetGeoTransform(), rel=1e-15)
    assert found.GetSpatialRef().IsSame(expected.GetSpatialRef())
    assert read_info(place).grid.same(read_info(reference).grid)
    np.testing.assert_array_equal(found.ReadAsArray(), expected.ReadAsArray())
    assert found.GetMetadataItem("origin") == "a <test>"
    for number in (1, 2):
        band, other = found.GetRasterBand(number), expected.GetRasterBand(number)
        assert (band.GetScale(), band.GetOffset(), band.GetNoDataValue(), band.GetUnitType()) == (0.1, 5, -9, "K")
        assert band.GetMetadata() == other.GetMetadata() and band.GetDescription() == other.GetDescription()
    assert found.GetRasterBand(2).GetMetadata() == {"TIME": "2002", "note": 'x "y"'}
    reader = SourceReader()
    values = reader.read(source(place, NUMBER, band=2), 0, 3, 0, 4)
    assert np.isnan(values[0, 0]) and values[2, 3] == pytest.approx(23 * 0.1 + 5)


def test_only_what_is_given_is_put_right(files):
    place = variable_of(files["temperature"], "T2m")
    own = read_info(place)
    assert georeferenced(place) == place
    elsewhere = read_info(georeferenced(place, p._wkt("EPSG:3413")))
    assert elsewhere.grid.transform == pytest.approx(own.grid.transform) and elsewhere.grid.name == "EPSG:3413"
    moved = read_info(georeferenced(place, extent=(0, 295, 0, 207)))
    assert moved.grid.transform == (0, 1, 0, 207, 0, -1)
    assert spatial_reference(moved.grid.wkt).IsSame(spatial_reference(own.grid.wkt))
    for info in (elsewhere, moved):
        assert (info.units, info.scales, info.band_metadata, info.name) == (own.units, own.scales, own.band_metadata,
                                                                           own.name)
    # twice, one after the other
    both = georeferenced(georeferenced(place, p._wkt("EPSG:3413")), extent=(0, 295, 0, 207))
    assert read_info(both).grid.name == "EPSG:3413" and read_info(both).grid.transform == (0, 1, 0, 207, 0, -1)


def test_a_relative_path_is_found(packed, monkeypatch):
    monkeypatch.chdir(os.path.dirname(packed))
    place = georeferenced(os.path.basename(packed), p._wkt("EPSG:3995"), (0, 4, 0, 3))
    monkeypatch.chdir("/")
    assert read(place).shape == (2, 3, 4)
    assert inner_paths(place)[0] == packed


def test_without_any_georeference_a_raster_is_refused(packed):
    with pytest.raises(GridError, match="has no CRS"):
        read_info(packed)
    with pytest.raises(GridError, match="has no georeference"):
        read_info(georeferenced(packed, p._wkt("EPSG:3995")))


def test_netcdf_in_a_virtual_raster_is_read_on_the_calling_thread(files, tmp_path, monkeypatch):
    """The libraries below are not made for threads, and a virtual raster hides them."""
    place = variable_of(files["cover"], "lccs_class")
    assert read_info(georeferenced(place, p._wkt("EPSG:4326"))).driver == "netCDF"
    for name, driver in (("snow", "HDF4Image"), ("state", "HDF5Image")):
        inner = next(iter(variables(files[name]).values()))
        assert read_info(georeferenced(inner, p._wkt("EPSG:4326"), (0, 1, 0, 1))).driver == driver
    threads = set()
    reading = SourceReader.read

    def watched(self, *arguments):
        threads.add(threading.current_thread())
        return reading(self, *arguments)

    monkeypatch.setattr(SourceReader, "read", watched)
    with Staging([files["cover"]]) as staging:
        align([files["cover"]], str(tmp_path / "out.tif"), staging, Log(), AlignOptions(), polar_grid(cell=200_000))
    assert threads == {threading.main_thread()}
    threads.clear()
    tif = p.landcover_cci_geotiff(tmp_path)
    with Staging([tif]) as staging:
        align([tif], str(tmp_path / "out.tif"), staging, Log(), AlignOptions(wkt=p._wkt("EPSG:4258")),
              polar_grid(cell=200_000))
    assert threads and threading.main_thread() not in threads


@pytest.mark.parametrize("limits", ["time_bnds", "time_bounds", "lat_bnds", "climatology_bounds"])
def test_limits_of_coordinates_are_no_variable_to_choose(tmp_path, limits):
    path = str(tmp_path / "tas.nc")
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 3), ("lat", 4), ("lon", 5), ("nv", 2)):
            file.createDimension(name, size)
        for name, values, units in (("time", [15, 45, 75], "days since 2000-01-01"), ("lat", [70, 69, 68, 67],
                                    "degrees_north"), ("lon", [1, 2, 3, 4, 5], "degrees_east")):
            axis = file.createVariable(name, "f8", (name,))
            axis[:], axis.units = values, units
        dimension = "lat" if limits.startswith("lat") else "time"
        file.createVariable(limits, "f8", (dimension, "nv"))[:] = 0
        file.createVariable("tas", "f4", ("time", "lat", "lon"))[:] = np.arange(60).reshape(3, 4, 5)
    assert variable_of(path).endswith(":tas")
    assert variable_of(path, limits).endswith(f":{limits}")


@pytest.mark.parametrize("places", [("am/FT", "pm/count"), ("pm/count", "am/FT"), ("FT", "pm/count")])
def test_the_dimensions_of_a_variable_are_found_by_its_short_name_in_any_group(tmp_path, places):
    import h5py

    path = str(tmp_path / "groups.h5")
    with h5py.File(path, "w") as file:
        for place in places:
            group, _, name = place.rpartition("/")
            group = file.require_group(group or "/")
            group[f"t_{name}"] = np.array([3.0, 4.0] if name == "FT" else [8.0, 9.0])
            group[f"t_{name}"].attrs["units"] = "days since 2001-01-01"
            group[f"t_{name}"].make_scale()
            group.create_dataset(name, data=np.zeros((2, 4, 6), "uint8")).dims[0].attach_scale(group[f"t_{name}"])
    assert [tuple(found.values) for found in _of_array(path, "FT", 2) if _has_time(found)] == [(3.0, 4.0)]
    assert [tuple(found.values) for found in _of_array(path, "count", 2) if _has_time(found)] == [(8.0, 9.0)]
    assert _of_array(path, "none", 2) == ()
