"""Every file behind an input is known, so that no output replaces one and the record names them all."""

import hashlib
import os
import tarfile
import zipfile

import numpy as np
import pytest
from osgeo import gdal, ogr

from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.provenance import build_record
from pti_plugin.core.common.source_files import file_inside
from pti_plugin.core.rasters.containers import georeferenced
from pti_plugin.core.rasters.grid import epsg_wkt
from pti_plugin.core.rasters.input_files import files_behind
from support import write_raster


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rasters, virtual rasters three deep, a subdataset in one, archives, sidecars and a shapefile."""
    place = tmp_path_factory.mktemp("inputs")
    for name in "abc":
        write_raster(place / f"{name}.tif", np.ones((4, 4), np.uint8))
    (place / "c.tif.aux.xml").write_text("<PAMDataset/>", encoding="utf-8")
    (place / "below").mkdir()
    gdal.Translate(str(place / "below" / "n.nc"), str(place / "a.tif"), format="netCDF")
    for name, parts in {"low.vrt": ["a.tif", "b.tif"], "middle.vrt": ["low.vrt"],
                        "top.vrt": ["middle.vrt", "c.tif"]}.items():
        gdal.BuildVRT(str(place / name), [str(place / part) for part in parts]).FlushCache()
    gdal.Warp(str(place / "warped.vrt"), str(place / "low.vrt"), format="VRT").FlushCache()
    (place / "variable.vrt").write_text(
        '<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">NETCDF:&quot;below/n.nc&quot;:Band1</SourceFilename>'
        '<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>', encoding="utf-8")
    with zipfile.ZipFile(place / "z.zip", "w") as packed:
        packed.write(place / "a.tif", "inner/a.tif")
    with tarfile.open(place / "t.tgz", "w:gz") as packed:
        packed.add(place / "a.tif", "a.tif")
    points = ogr.GetDriverByName("ESRI Shapefile").CreateDataSource(str(place / "p.shp"))
    points.CreateLayer("p", None, ogr.wkbPoint).CreateField(ogr.FieldDefn("x", ogr.OFTInteger))
    return place


CASES = {
    "{0}/a.tif": {"a.tif"},
    "{0}/c.tif": {"c.tif", "c.tif.aux.xml"},
    "{0}/low.vrt": {"low.vrt", "a.tif", "b.tif"},
    "{0}/top.vrt": {"top.vrt", "middle.vrt", "low.vrt", "a.tif", "b.tif", "c.tif", "c.tif.aux.xml"},
    "{0}/warped.vrt": {"warped.vrt", "low.vrt", "a.tif", "b.tif"},
    "{0}/variable.vrt": {"variable.vrt", "n.nc"},
    'NETCDF:"{0}/below/n.nc":Band1': {"n.nc"},
    "NETCDF:{0}/below/n.nc:Band1": {"n.nc"},
    'HDF5:"{0}/below/n.nc"://Band1': {"n.nc"},
    "GTIFF_DIR:1:{0}/a.tif": {"a.tif"},
    "/vsizip/{0}/z.zip/inner/a.tif": {"z.zip"},
    "/vsizip/{{{0}/z.zip}}/inner/a.tif": {"z.zip"},
    "/vsitar/{0}/t.tgz/a.tif": {"t.tgz"},
    "/vsitar//vsigzip/{0}/t.tgz/a.tif": {"t.tgz"},
    "{0}/p.shp|layername=p": {"p.shp", "p.dbf", "p.shx"},
    "{0}/p.shp": {"p.shp", "p.dbf", "p.shx"},
    "{0}/missing.tif": set(),
    "memory?geometry=Point": set(),
    "/vsicurl/https://example.org/a.tif": set(),
    "a\0b": set(),
}


@pytest.mark.parametrize("source", list(CASES))
def test_the_files_behind_a_source_are_found(folder, source):
    found = files_behind(source.format(folder))
    assert {os.path.basename(path) for path in found} == CASES[source]
    assert len(found) == len(set(found)) and all(os.path.isabs(path) and os.path.isfile(path) for path in found)
    assert not found or found[0] == file_inside(source.format(folder))


def test_the_text_of_a_virtual_raster_is_followed(folder):
    text = georeferenced(str(folder / "top.vrt"), epsg_wkt(4326), (0, 1, 0, 1))
    assert text.startswith("<VRT")
    assert {"top.vrt", "low.vrt", "a.tif", "c.tif"} <= {os.path.basename(path) for path in files_behind(text)}


def test_relative_paths_and_links_lead_to_the_real_file(folder, monkeypatch):
    monkeypatch.chdir(folder)
    os.symlink("a.tif", folder / "link.tif")
    for path in ("a.tif", "link.tif", "./below/../a.tif"):
        assert files_behind(path) == [str(folder / "a.tif")]


def test_virtual_rasters_that_name_each_other_end(tmp_path):
    for one, other in ("xy", "yx"):
        (tmp_path / f"{one}.vrt").write_text(
            f'<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
            f'<SourceFilename relativeToVRT="1">{other}.vrt</SourceFilename></SimpleSource></VRTRasterBand>'
            f'</VRTDataset>', encoding="utf-8")
    assert {os.path.basename(path) for path in files_behind(tmp_path / "x.vrt")} == {"x.vrt", "y.vrt"}


def test_the_search_can_be_cancelled(folder):
    class Stop(Exception):
        pass

    seen = []

    def check():
        seen.append(1)
        if len(seen) == 3:
            raise Stop

    with pytest.raises(Stop):
        files_behind(folder / "top.vrt", check)


def test_the_record_has_a_checksum_of_every_file(folder):
    record = build_record("slope", {}, [("INPUT", str(folder / "top.vrt"))], {}, None, Progress(), behind=files_behind)
    entry, = record["inputs"]

    def described(name):
        content = (folder / name).read_bytes()
        return {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    assert {key: entry[key] for key in ("size_bytes", "sha256")} == described("top.vrt")
    assert sorted(file["path"] for file in entry["files"]) == sorted(
        str(folder / name) for name in CASES["{0}/top.vrt"] - {"top.vrt"})
    for file in entry["files"]:
        assert file == {"path": file["path"], **described(os.path.basename(file["path"]))}
