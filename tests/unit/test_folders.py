"""Folders and archives as downloaded: everything wanted is found in a fixed order, and nothing else."""

import gzip
import os
import tarfile
import zipfile
from itertools import product as combinations

import numpy as np
import pytest

import products as p
from pti_plugin.core.common.errors import InputError
from pti_plugin.core.rasters.folders import archive, files_in, one_version, unpacked
from pti_plugin.core.rasters.products import read_products
from pti_plugin.core.rasters.raster import read_info
from support import Log, read_raster, write_raster

PRODUCTS = read_products()


def raster(path, value=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_raster(path, np.full((3, 4), value, "int16"), nodata=-1)


def packed(path, *members):
    """Write a zip of (name inside, file) pairs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name, source in members:
            file.write(source, name)
    return str(path)


def test_folders_of_any_depth_in_a_fixed_order(tmp_path):
    for place in ("2001/b_2001.tif", "2000/x/y/c_2000.tif", "a.tif", "2001/a_2001.TIF", "2000/readme.txt"):
        raster(tmp_path / place) if place.lower().endswith("tif") else (tmp_path / place).write_text("")
    found = [os.path.relpath(path, tmp_path).replace(os.sep, "/") for path in files_in(tmp_path, "*.tif")]
    assert found == ["2000/x/y/c_2000.tif", "2001/a_2001.TIF", "2001/b_2001.tif", "a.tif"]
    assert [os.path.basename(path) for path in files_in(tmp_path, "2001/*")] == ["a_2001.TIF", "b_2001.tif"]
    assert [os.path.basename(path) for path in files_in(tmp_path, "c_*; a.*")] == ["c_2000.tif", "a.tif"]


@pytest.mark.parametrize("name", ["x.tif.aux.xml", "x.tif.ovr", "x.tif.md5", "Thumbs.db", ".DS_Store", "._x.tif",
                                  "desktop.ini", "CHECKSUMS.txt", "x.hdf.xml", "x.hdf.met", "x.tfw", "x.prj",
                                  "README.pdf", "00README_catalogue_and_licence.txt", "x.tif.sha256", "manifest.json"])
def test_what_lies_beside_the_data_is_passed_over(tmp_path, name):
    (tmp_path / name).write_text("x")
    path = raster(tmp_path / "y.tif")
    assert files_in(tmp_path, "*") == [path]


def test_hidden_folders_are_passed_over_and_unfinished_downloads_said(tmp_path):
    raster(tmp_path / ".ipynb_checkpoints" / "x.tif"), raster(tmp_path / "__MACOSX" / "x.tif")
    path = raster(tmp_path / "y.tif")
    (tmp_path / "z.tif.part").write_text("")
    (tmp_path / "w.hdf.crdownload").write_text("")
    log = Log()
    assert files_in(tmp_path, "*", log) == [path]
    assert log.warnings == ["Passed over, because their download did not end: w.hdf.crdownload, z.tif.part."]


def test_a_pattern_that_fits_nothing_names_the_endings_there(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.nc").write_text("")
    with pytest.raises(InputError, match=r"No file in .* or the folders below it matches \*\.tif\. .*end in \.nc; set"):
        files_in(tmp_path, "")
    with pytest.raises(InputError, match=r"The folder .*none does not exist"):
        files_in(tmp_path / "none", "*")


@pytest.mark.parametrize("depth, inside", list(combinations((1, 2, 3), ("", "folder/", "a/b/"))))
def test_archives_in_archives_are_read_in_place(tmp_path, depth, inside):
    source = raster(tmp_path / "raw" / "x_2001.tif", 7)
    path = packed(tmp_path / "d" / "deep.zip", (f"{inside}x_2001.tif", source), (f"{inside}x.tfw", __file__),
                  ("__MACOSX/._x_2001.tif", __file__))
    for level in range(depth - 1):
        path = packed(tmp_path / f"level{level}" / f"deep{level}.zip", (f"{inside}in.zip", path))
    found = files_in(os.path.dirname(path), "*.tif")
    assert len(found) == 1 and unpacked(path) == found and found[0].startswith("/vsizip/")
    np.testing.assert_array_equal(read_raster(found[0]), 7)
    assert read_info(found[0]).name == "x_2001.tif"
    # an archive that fits counts with all in it
    assert files_in(os.path.dirname(path), "deep*") == found


def test_archives_deeper_than_that_are_to_be_unpacked(tmp_path):
    path = packed(tmp_path / "0" / "0.zip", ("x.tif", raster(tmp_path / "x.tif")))
    for level in range(1, 4):
        path = packed(tmp_path / str(level) / f"{level}.zip", (f"{level - 1}.zip", path))
    with pytest.raises(InputError, match=r"holds archives in archives, more than 3 deep\. Unpack it"):
        unpacked(path)


def test_tar_and_gzip(tmp_path):
    source = raster(tmp_path / "raw" / "x.tif", 5)
    folder = tmp_path / "d"
    folder.mkdir()
    for name, mode in (("a.tar", "w"), ("b.tar.gz", "w:gz"), ("c.tgz", "w:gz")):
        with tarfile.open(folder / name, mode) as file:
            file.add(source, f"{name[0]}.tif")
    with open(source, "rb") as plain, gzip.open(folder / "d.tif.gz", "wb") as file:
        file.write(plain.read())
    found = files_in(folder, "*.tif;*.tif.gz")
    assert len(found) == 4
    for path in found:
        np.testing.assert_array_equal(read_raster(path), 5)


def test_a_damaged_archive_and_one_without_rasters_are_said(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match=r"The archive .*x\.zip cannot be opened"):
        files_in(tmp_path, "*.tif")
    path = packed(tmp_path / "e" / "e.zip", ("readme.txt", __file__))
    with pytest.raises(InputError, match=r"e\.zip holds no raster"):
        unpacked(path)
    assert unpacked("x.tif") == ["x.tif"] and archive("x.tif") == ""


def test_formats_that_gdal_reads_only_unpacked_are_said(tmp_path):
    pytest.importorskip("pyhdf")
    packed(tmp_path / "d" / "snow.zip", ("s/MOD10CM.A2001001.061.hdf", p.mod10cm(tmp_path)))
    with pytest.raises(InputError, match=r"061\.hdf cannot be read inside its archive.*Unpack .*snow"):
        files_in(tmp_path / "d", "*.hdf")


def test_the_peatland_map_as_delivered(tmp_path):
    """A zip in a zip, and a world file with decimal commas."""
    values = np.full((6, 8), 255, "uint8")
    values[2, 3], values[4, 5] = 1, 2
    source = write_raster(tmp_path / "peatGPA22WGS_2cl.tif", values, nodata=255, crs=None, transform=None)
    (tmp_path / "peatGPA22WGS_2cl.tfw").write_text("0,01\n0,0\n0,0\n-0,01\n-179,995\n83,995\n")
    inner = packed(tmp_path / "GLOpeat_GPA22WGS_2cl_1x1km.zip", ("a/peatGPA22WGS_2cl.tif", source),
                   ("a/peatGPA22WGS_2cl.tfw", tmp_path / "peatGPA22WGS_2cl.tfw"))
    outer = packed(tmp_path / "d" / "GPM2022_GMC.zip", ("GLOpeat_GPA22WGS_2cl_1x1km.zip", inner))
    path, = unpacked(outer)
    from osgeo import gdal
    dataset = gdal.Open(path)
    assert dataset.GetGeoTransform() == pytest.approx((-180, 0.01, 0, 84, 0, -0.01), abs=1e-9)
    np.testing.assert_array_equal(dataset.ReadAsArray(), values)


VERSIONS = [
    ("ESACCI-PERMAFROST-L4-PFR-MODISLST_CRYOGRID-AREA4_PP-{}-fv04.0.nc",
     "ESACCI-PERMAFROST-L4-PFR-MODISLST_CRYOGRID-AREA4_PP-{}-fv05.0.nc"),
    ("ESACCI-PERMAFROST-L4-PFR-ERA5_MODISLST_BIASCORRECTED-AREA4_PP-{}-fv04.0.nc",
     "ESACCI-PERMAFROST-L4-PFR-MODISLST_CRYOGRID-AREA4_PP-{}-fv05.0.nc"),
    ("MOD10CM.A{}001.006.2016039043917.hdf", "MOD10CM.A{}001.061.2020039043917.hdf"),
    ("MOD10CM.A{}001.006.tif", "MOD10CM.A{}001.061.tif"),
    ("MOD10CM.A{}001.006.tif", "MOD10CM.A{}001.061.2020039043917.hdf"),
    ("GLASS13B01.V10.A{}193.2023068.hdf", "GLASS13B01.V40.A{}193.2023068.hdf"),
    ("AMSR_36V_CO_FT_{}_day360_v02.h5", "AMSR_36V_CO_FT_{}_day360_v04.h5"), ("mine_{}_v1.tif", "mine_{}_v2.tif")]


@pytest.mark.parametrize("first, second", VERSIONS)
@pytest.mark.parametrize("years", [(2005, 2005), (2004, 2006)])
def test_two_versions_of_a_product_are_refused_by_name(first, second, years):
    paths = [f"{years[0]}/{first.format(years[0])}", f"{years[1]}/{second.format(years[1])}"]
    with pytest.raises(InputError) as caught:
        one_version(paths, Log(), PRODUCTS)
    for path in paths:
        assert os.path.basename(path) in str(caught.value)
    assert one_version(paths[:1], Log(), PRODUCTS) == paths[:1]


@pytest.mark.parametrize("older, newer", [
    ("MOD10CM.A2001001.061.2020039043917.hdf", "MOD10CM.A2001001.061.2021139043917.hdf"),
    ("GLASS06A01.V01.A2001001.h20v01.2022021.hdf", "GLASS06A01.V01.A2001001.h20v01.2023100.hdf")])
def test_of_two_productions_the_newest_is_used_and_said(older, newer):
    other = older.replace("A2001001", "A2001032")
    log = Log()
    assert one_version([f"a/{newer}", f"b/{older}", other], log, PRODUCTS) == [f"a/{newer}", other]
    assert log.warnings == [f"Of granules that were produced more than once the newest production is used; left out: "
                            f"{older}."]


@pytest.mark.parametrize("names", [
    ["ESACCI-LC-L4-LCCS-Map-300m-P1Y-2015-v2.0.7.nc", "C3S-LC-L4-LCCS-Map-300m-P1Y-2016-v2.1.1.nc"],
    [f"GLASS06A01.V01.A2001001.h{h}v01.2022021.hdf" for h in (20, 21, 22)],
    [f"GLASS13B01.V10.A2001{day:03d}.2023068.hdf" for day in (1, 9, 17)],
    ["MOD10CM.A2001001.061.hdf", "MOD10CM.A2001032.061.hdf"],
    ["ESACCI-PERMAFROST-L4-ALT-MODISLST_CRYOGRID-AREA4_PP-2003-fv05.0.nc",
     "ESACCI-PERMAFROST-L4-PFR-MODISLST_CRYOGRID-AREA4_PP-2003-fv04.0.nc"], ["lst_200101.tif", "lst_200102.tif"],
    ["AMSR_36V_CO_FT_2010_day360_v04.h5", "AMSR_36V_CO_FT_2010_day361_v04.h5"], ["x.A2001001.tif", "x.A2001009.tif"],
    ["soc_0-5cm_mean.tif", "soc_5-15cm_mean.tif"]])
def test_layers_of_one_series_are_no_versions(names):
    log = Log()
    assert one_version(names, log, PRODUCTS) == names and not log.warnings


def test_one_file_twice_is_refused_but_the_unpacked_one_goes_before_its_archive(tmp_path):
    with pytest.raises(InputError, match=r"The same file lies in the folder twice: a/x_2001\.tif and b/x_2001\.tif"):
        one_version(["a/x_2001.tif", "b/x_2001.tif"], Log())
    source = raster(tmp_path / "x_2001.tif")
    packed(tmp_path / "x_2001.zip", ("x_2001.tif", source))
    log = Log()
    assert files_in(tmp_path, "*.tif", log) == [source] and "the unpacked file is used" in log.lines[0]
