"""A classic netCDF file that lists more than it holds is refused before a library makes room for what it lists."""

import netCDF4
import numpy as np
import pytest
from osgeo import gdal

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.rasters.gdal_errors import open_raster
from pti_plugin.core.rasters.netcdf_header import lists_too_much

FORMATS = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA")


def written(path, form, records=3):
    """Write a file with an endless dimension, attributes of every length and a variable without dimensions."""
    with netCDF4.Dataset(path, "w", format=form) as data:
        for name, size in (("time", None), ("y", 4), ("x", 5)):
            data.createDimension(name, size)
        data.title, data.odd, data.numbers = "abc", "abcde", np.arange(3, dtype="i2")
        data.createVariable("crs", "i4", ()).code = 4326
        layer = data.createVariable("lst", "i2", ("time", "y", "x"), fill_value=-9)
        layer.units, layer.scale_factor = "K", 0.5
        for number in range(records):
            layer[number] = np.arange(20).reshape(4, 5)
    return str(path)


@pytest.mark.parametrize("form", FORMATS)
def test_whole_files_are_let_through(tmp_path, form):
    for records in (0, 3):
        assert not lists_too_much(written(tmp_path / "a.nc", form, records))
    with netCDF4.Dataset(tmp_path / "empty.nc", "w", format=form):
        pass
    assert not lists_too_much(tmp_path / "empty.nc")


@pytest.mark.parametrize("form", FORMATS)
def test_a_header_that_is_cut_or_lists_too_much_is_told(tmp_path, form):
    content = open(written(tmp_path / "a.nc", form), "rb").read()
    # the data are 3 records of 40 bytes and a number; of what comes before, only the last place may be lost unseen
    for length in range(4, len(content) - 3 * 40 - 8 - 12, 7):
        (tmp_path / "cut.nc").write_bytes(content[:length])
        assert lists_too_much(tmp_path / "cut.nc"), length
    width = 8 if form == FORMATS[2] else 4
    for tag in (b"\0\0\0\x0a", b"\0\0\0\x0b", b"\0\0\0\x0c"):
        place = content.index(tag + bytes(width - 1)) + 4
        for count in (2**31 - 1, 2**24):
            changed = content[:place] + count.to_bytes(width, "big") + content[place + width:]
            (tmp_path / "many.nc").write_bytes(changed)
            assert lists_too_much(tmp_path / "many.nc"), (tag, count)


def test_others_are_left_to_others(tmp_path):
    for name, content in (("a.nc", b""), ("b.nc", b"\x89HDF\r\n\x1a\n"), ("c.nc", b"CD"), ("d.nc", b"II*\0")):
        (tmp_path / name).write_bytes(content)
        assert not lists_too_much(tmp_path / name)
    assert not lists_too_much(tmp_path) and not lists_too_much(tmp_path / "none.nc")


@pytest.mark.parametrize("source", ["{}", 'NETCDF:"{}":lst'])
def test_it_is_refused_before_gdal_opens_it(tmp_path, source, monkeypatch):
    path = written(tmp_path / "a.nc", FORMATS[0])
    assert open_raster(source.format(path)).RasterCount == 3
    content = open(path, "rb").read()
    place = content.index(b"\0\0\0\x0b\0\0\0\x02") + 4
    (tmp_path / "a.nc").write_bytes(content[:place] + b"\x1a\0\0\x02" + content[place + 4:])
    monkeypatch.setattr(gdal, "OpenEx", lambda *_, **__: pytest.fail("GDAL opens it"))
    with pytest.raises(InputError, match=r"a\.nc.* cannot be opened: its header lists more than the file holds"):
        open_raster(source.format(path))
