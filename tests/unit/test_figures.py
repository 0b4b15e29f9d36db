"""Figures: the right colour in the right place, the same bytes every time, and errors that name the remedy."""

import itertools
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, osr

matplotlib = pytest.importorskip("matplotlib")

from pti_plugin.core import figures  # noqa: E402
from pti_plugin.core.errors import InputError  # noqa: E402
from pti_plugin.core.ranks import BY_CODE, CODES, RANKS, hex_to_rgb  # noqa: E402

#: simulation of missing cones in linear RGB (Machado, Oliveira and Fernandes 2009, severity 1)
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.303900]]),
}


@pytest.fixture(autouse=True)
def coarse_maps(monkeypatch):
    """Maps of fewer cells than a printed page needs, for speed."""
    monkeypatch.setattr(figures, "MAP_CELLS", 600)
    monkeypatch.setattr(figures, "OVERVIEW_CELLS", 400)


def lab(colour, vision):
    channels = np.array(hex_to_rgb(colour)) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    linear = np.clip(VISION[vision] @ linear, 0, 1)
    xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                    [0.0193339, 0.1191920, 0.9503041]]) @ linear / (0.95047, 1, 1.08883)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def pixels(png):
    """Return a PNG as an array rows × columns × 3."""
    gdal.FileFromMemBuffer("/vsimem/figure.png", png)
    dataset = gdal.Open("/vsimem/figure.png")
    values = np.moveaxis(dataset.ReadAsArray()[:3], 0, -1)
    dataset = None
    gdal.Unlink("/vsimem/figure.png")
    return values


def share_of(image, colour):
    return (image == hex_to_rgb(colour)).all(axis=-1)


def centre(image, colour):
    """Return the mean (row, column) of a colour, from 0 to 1, above the legend."""
    rows, columns = np.nonzero(share_of(image, colour)[: int(image.shape[0] * 0.78)])
    assert rows.size, f"{colour} is not in the picture"
    return rows.mean() / image.shape[0], columns.mean() / image.shape[1]


def write(path, values, transform, epsg, nodata=0):
    values = np.asarray(values)
    kind = gdal.GDT_Byte if values.dtype == np.uint8 else gdal.GDT_Float32
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), values.shape[1], values.shape[0], 1, kind)
    dataset.SetGeoTransform(transform)
    if epsg:
        reference = osr.SpatialReference()
        reference.ImportFromEPSG(epsg)
        dataset.SetProjection(reference.ExportToWkt())
    if nodata is not None:
        dataset.GetRasterBand(1).SetNoDataValue(nodata)
    dataset.GetRasterBand(1).WriteArray(values)
    dataset = None
    return str(path)


@pytest.fixture
def four_quarters(tmp_path):
    """Rank 11 round 0°, 22 round 90° E, 33 round 180°, 40 round 90° W, from 50° to 75° N on a 0.5° grid."""
    longitude = np.arange(-180, 180, 0.5) + 0.25
    latitude = np.arange(90, 45, -0.5) - 0.25
    values = np.zeros((latitude.size, longitude.size), dtype=np.uint8)
    for code, meridian in ((11, 0), (22, 90), (33, 180), (40, -90)):
        near = np.abs((longitude - meridian + 180) % 360 - 180) < 25
        values[np.ix_((latitude > 50) & (latitude < 75), near)] = code
    return write(tmp_path / "quarters.tif", values, (-180, 0.5, 0, 90, 0, -0.5), 4326)


def assert_quarters(png):
    image = pixels(png)
    down, right = centre(image, BY_CODE[11].colour), centre(image, BY_CODE[22].colour)
    up, left = centre(image, BY_CODE[33].colour), centre(image, BY_CODE[40].colour)
    assert abs(down[1] - 0.5) < 0.02 and abs(up[1] - 0.5) < 0.02 and up[0] < left[0] < down[0]
    assert abs(right[0] - left[0]) < 0.02 and left[1] < 0.3 and right[1] > 0.7


def test_ranks_stay_apart_for_every_colour_vision_and_from_land_and_sea():
    colours = {str(rank.code): rank.colour for rank in RANKS}
    for vision, least in (("normal", 20), ("protanopia", 18), ("deuteranopia", 18), ("tritanopia", 15)):
        for one, other in itertools.combinations(colours, 2):
            distance = np.linalg.norm(lab(colours[one], vision) - lab(colours[other], vision))
            assert distance >= least, f"{one} and {other} under {vision}: {distance:.1f}"
        for one, ground in itertools.product(colours, (figures.SEA, figures.LAND)):
            assert np.linalg.norm(lab(colours[one], vision) - lab(ground, vision)) >= 15, (one, ground, vision)


def test_each_tier_darkens_with_each_positive_trend():
    for tier in ("cold", "cool", "warm"):
        light = [lab(rank.colour, "normal")[0] for rank in RANKS if rank.tier == tier]
        assert light == sorted(light, reverse=True)


def test_the_map_has_the_0_meridian_down_and_east_to_the_right(four_quarters):
    assert_quarters(figures.pti_map(four_quarters, "Quarters", width_px=800))


@pytest.mark.parametrize("epsg", [6931, 3995, 3413, 3571])
def test_the_map_is_turned_alike_from_every_polar_crs(four_quarters, tmp_path, epsg):
    target = str(tmp_path / f"{epsg}.tif")
    gdal.Warp(target, four_quarters, dstSRS=f"EPSG:{epsg}", xRes=50000, yRes=50000, resampleAlg="near",
              outputBounds=(-5.2e6, -5.2e6, 5.2e6, 5.2e6))
    assert_quarters(figures.pti_map(target, "Quarters", width_px=800))


@pytest.mark.parametrize("lowest, south", [(66, 60), (56, 55), (51, 50), (46, 45), (41, 40)])
def test_the_map_is_cut_at_the_parallel_that_holds_every_rank(tmp_path, lowest, south):
    values = np.zeros((70, 360), dtype=np.uint8)
    values[10: 90 - lowest, 200:260] = 11
    path = write(tmp_path / "band.tif", values, (-180, 1, 0, 90, 0, -1), 4326)
    dataset = gdal.Open(path)
    frame = figures._frame(dataset, path, figures._polar_wkt(dataset, path))
    assert frame.south == south
    # equal-area radius on the sphere of the same area, to half a percent
    assert frame.radius == pytest.approx(2 * 6371007 * np.sin(np.radians((90 - south) / 2)), rel=5e-3)


def test_land_and_sea_come_from_the_background(four_quarters, tmp_path):
    base = np.full((90, 720), 255, dtype=np.uint8)
    base[:, 480:600] = 0
    background = write(tmp_path / "base.tif", base, (-180, 0.5, 0, 90, 0, -0.5), 4326, nodata=255)
    with_background = pixels(figures.pti_map(four_quarters, "Land", background=background, width_px=800))
    plain = pixels(figures.pti_map(four_quarters, "No land", width_px=800))
    row, column = centre(with_background, figures.LAND)
    assert column > 0.6
    assert share_of(with_background, figures.SEA).sum() > 20 * share_of(plain, figures.SEA).sum()
    assert not share_of(plain, figures.LAND).any()


def test_a_station_is_drawn_where_it_lies_in_the_colour_of_its_rank(four_quarters):
    image = pixels(figures.pti_map(four_quarters, "Station", stations=[{"lon": 90, "lat": 80, "rank": 13},
                                                                       {"lon": 0, "lat": 10, "rank": 13}],
                                   width_px=1200))
    row, column = centre(image, BY_CODE[13].colour)
    assert 0.5 < column < 0.68 and abs(row - centre(image, BY_CODE[22].colour)[0]) < 0.01


def test_a_large_raster_is_thinned_by_majority_and_ranks_without_majority_vanish(tmp_path):
    size = 3000
    values = np.full((size, size), 11, dtype=np.uint8)
    values[1::2, 1::2] = 33
    values[:, : size // 2] = 0
    values[1::4, 1: size // 2: 4] = 40
    path = write(tmp_path / "large.tif", values, (-4.8e6, 3200, 0, 4.8e6, 0, -3200), 6931)
    dataset = gdal.Open(path)
    wkt = dataset.GetProjection()
    frame = figures._frame_to(figures._Frame(wkt, "", 0.0, 0.0, 0.0, 90), 0.0, 0.0, 50)
    codes = figures._ranks_in_frame(dataset, path, frame, figures.MAP_CELLS)
    assert codes.shape == (figures.MAP_CELLS, figures.MAP_CELLS)
    half = figures.MAP_CELLS // 2
    assert (codes[:, half + 2:] == 11).all()
    assert (codes[:, : half - 2] == 0).all()


def test_another_nodata_value_is_no_rank(tmp_path):
    values = np.full((90, 720), 255, dtype=np.uint8)
    values[40:60, 480:600] = 12
    path = write(tmp_path / "nodata.tif", values, (-180, 0.5, 0, 90, 0, -0.5), 4326, nodata=255)
    assert centre(pixels(figures.pti_map(path, "Nodata 255", width_px=800)), BY_CODE[12].colour)[1] > 0.6


def test_a_raster_of_other_codes_is_refused_with_their_names(tmp_path):
    values = np.full((90, 720), 140, dtype=np.uint8)
    path = write(tmp_path / "landcover.tif", values, (-180, 0.5, 0, 90, 0, -0.5), 4326)
    with pytest.raises(InputError, match="landcover.tif holds 140, which are no PTI ranks"):
        figures.pti_map(path, "Wrong")


def test_an_empty_raster_a_raster_without_crs_and_a_missing_one_are_refused(tmp_path, four_quarters):
    empty = write(tmp_path / "empty.tif", np.zeros((90, 720), np.uint8), (-180, 0.5, 0, 90, 0, -0.5), 4326)
    with pytest.raises(InputError, match="holds no PTI rank"):
        figures.pti_map(empty, "Empty")
    bare = write(tmp_path / "bare.tif", np.full((9, 9), 11, np.uint8), (0, 1, 0, 0, 0, -1), None)
    with pytest.raises(InputError, match="bare.tif has no coordinate reference system"):
        figures.pti_map(bare, "Bare")
    with pytest.raises(InputError, match="bare.tif has no coordinate reference system"):
        figures.pti_map(four_quarters, "Bare background", background=bare)
    with pytest.raises(InputError, match="does not exist"):
        figures.pti_map(str(tmp_path / "nowhere.tif"), "Missing")


def test_figures_are_the_same_bytes_whatever_the_users_plotting_defaults(four_quarters):
    def draw():
        return [figures.pti_map(four_quarters, "Map", "Sub", note="Note", width_px=600),
                figures.station_scatter([11, 12, 12, 33], [12, 12, 12, 40], "Scatter"),
                figures.area_bars([{"rank": 11, "label": "11", "area_km2": 1e6, "share_percent": 100}]),
                figures.confusion_matrix([[3, 1], [0, 2]], ["11", "12"]),
                figures.shap_bars(["LST"], ["thermal"], [1.0])]

    first = draw()
    with matplotlib.rc_context({"figure.facecolor": "red", "savefig.dpi": 30, "axes.grid": True, "font.size": 30,
                                "savefig.bbox": "tight", "image.origin": "lower"}):
        assert draw() == first


def test_figures_carry_no_software_or_date_and_the_width_asked_for(four_quarters):
    png = figures.pti_map(four_quarters, "Map", width_px=640)
    assert struct.unpack(">I", png[16:20])[0] == 640
    place, names = 8, set()
    while place < len(png):
        length, name = struct.unpack(">I4s", png[place:place + 8])
        names.add(name)
        place += 12 + length
    assert names <= {b"IHDR", b"pHYs", b"IDAT", b"IEND"}


def test_drawing_never_loads_pyplot():
    code = ("import sys; from pti_plugin.core import figures; figures.shap_bars(['a'], ['soil'], [1.0]); "
            "sys.exit('matplotlib.pyplot' in sys.modules)")
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_the_scatter_has_the_station_across_and_the_map_up():
    image = pixels(figures.station_scatter([11], [33], "One station"))
    rows, columns = np.nonzero(share_of(image, BY_CODE[11].colour))
    assert columns.mean() / image.shape[1] < 0.25 and rows.mean() / image.shape[0] < 0.3


def test_stations_in_one_place_lie_side_by_side_inside_their_square():
    for count in (1, 2, 5, 9, 40):
        offsets = figures._side_by_side(count)
        assert len(np.unique(offsets.round(6), axis=0)) == count
        assert np.abs(offsets).max() < 0.5


def test_the_scatter_refuses_unequal_lists_and_unknown_ranks():
    with pytest.raises(InputError, match="2 station ranks but 1 map ranks"):
        figures.station_scatter([11, 12], [11], "Unequal")
    with pytest.raises(InputError, match="14 is no PTI rank"):
        figures.station_scatter([14], [11], "Unknown")


def test_bars_are_as_long_as_the_areas():
    rows = [{"rank": code, "label": str(code), "area_km2": area, "share_percent": 1.0}
            for code, area in ((12, 1e6), (33, 2e6))]
    image = pixels(figures.area_bars(rows))
    short, long = (share_of(image, BY_CODE[code].colour).any(axis=0).sum() for code in (12, 33))
    assert long / short == pytest.approx(2, rel=0.02)
    assert centre(image, BY_CODE[12].colour)[0] < centre(image, BY_CODE[33].colour)[0]


def test_the_confusion_matrix_has_classified_down_and_reference_across():
    matrix = np.zeros((10, 10))
    matrix[0, 9] = 7
    image = pixels(figures.confusion_matrix(matrix, [str(code) for code in CODES]))
    rows, columns = np.nonzero(share_of(image, "#08397c"))
    assert rows.mean() / image.shape[0] < 0.3 and columns.mean() / image.shape[1] > 0.85


def test_the_confusion_matrix_refuses_a_shape_that_its_labels_do_not_fit():
    with pytest.raises(InputError, match=r"shape \(2, 3\), but there are 2 labels"):
        figures.confusion_matrix(np.ones((2, 3)), ["11", "12"])


def test_predictors_stand_largest_first_in_the_colour_of_their_group():
    image = pixels(figures.shap_bars(["small", "large"], ["soil", "topography"], [1, 3]))
    bars = {group: np.nonzero(share_of(image[:, : image.shape[1] * 4 // 10], figures.GROUP_COLOURS[group]))[0].mean()
            for group in ("soil", "topography")}
    assert bars["topography"] < bars["soil"]
    with pytest.raises(InputError, match="2 predictors but 1 importance values"):
        figures.shap_bars(["a", "b"], ["soil", "soil"], [1])
