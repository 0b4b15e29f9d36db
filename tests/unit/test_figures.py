"""Figures: the right colour in the right place, the same bytes every time, and errors that name the remedy."""

import itertools
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from osgeo import gdal, osr

matplotlib = pytest.importorskip("matplotlib")

from pti_plugin.core.common.errors import InputError  # noqa: E402
from pti_plugin.core.common.ranks import BY_CODE, CODES, RANKS, hex_to_rgb  # noqa: E402
from pti_plugin.core.ensembles.features import GROUP_COLOURS  # noqa: E402
from pti_plugin.core.mapping.applicability import APPLICABILITY  # noqa: E402
from pti_plugin.core.reporting import figures, polar_map  # noqa: E402

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
    monkeypatch.setattr(polar_map, "OVERVIEW_CELLS", 400)


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
    item = polar_map.rank_source(path)
    frame = polar_map.polar_frame(item, polar_map.polar_wkt(item))
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
    item = polar_map.rank_source(path)
    frame = polar_map.frame_to(item.grid.wkt, 50)
    codes = polar_map.ranks_within(item, frame.wkt, frame.bounds, (figures.MAP_CELLS, figures.MAP_CELLS))
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
    with pytest.raises(InputError, match="bare.tif has no CRS"):
        figures.pti_map(bare, "Bare")
    with pytest.raises(InputError, match="bare.tif has no CRS"):
        figures.pti_map(four_quarters, "Bare background", background=bare)
    with pytest.raises(InputError, match="does not exist"):
        figures.pti_map(str(tmp_path / "nowhere.tif"), "Missing")


def applicability_layer(folder, name="applicability.tif", **codes):
    """Codes of the area of applicability in the quarters round 0° (down) and 90° E (right), nodata elsewhere."""
    longitude = np.arange(-180, 180, 0.5) + 0.25
    latitude = np.arange(90, 45, -0.5) - 0.25
    values = np.full((latitude.size, longitude.size), 255, dtype=np.uint8)
    for code, meridian in ((codes.get("down", 1), 0), (codes.get("right", 0), 90)):
        near = np.abs((longitude - meridian + 180) % 360 - 180) < 25
        values[np.ix_((latitude > 50) & (latitude < 75), near)] = code
    return write(folder / name, values, (-180, 0.5, 0, 90, 0, -0.5), 4326, nodata=255)


def test_the_area_of_applicability_lies_where_it_is_in_the_frame_of_the_map(four_quarters, tmp_path):
    layer = applicability_layer(tmp_path)
    base = write(tmp_path / "base.tif", np.full((90, 720), 0, dtype=np.uint8), (-180, 0.5, 0, 90, 0, -0.5), 4326,
                 nodata=255)
    image = pixels(figures.applicability_map(layer, four_quarters, base, width_px=800))
    outside, inside = (APPLICABILITY[code][1] for code in (0, 1))
    down, right = centre(image, inside), centre(image, outside)
    assert abs(down[1] - 0.5) < 0.02 and down[0] > 0.55 and right[1] > 0.65
    # mapped land without the raster is land like other
    assert not any(share_of(image, BY_CODE[code].colour).any() for code in (11, 22, 33, 40))
    assert share_of(image, figures.LAND).sum() > share_of(image, inside).sum()
    plain = pixels(figures.applicability_map(layer, four_quarters, width_px=800))
    assert not share_of(plain, figures.LAND).any() and share_of(plain, inside).any()


def test_a_raster_of_something_else_is_no_area_of_applicability(four_quarters, tmp_path):
    with pytest.raises(InputError, match="wrong.tif holds 7; the area of applicability has the codes 0, 1"):
        figures.applicability_map(applicability_layer(tmp_path, "wrong.tif", down=7), four_quarters)
    with pytest.raises(InputError, match="none.tif holds nothing within the frame of the map"):
        figures.applicability_map(applicability_layer(tmp_path, "none.tif", down=255, right=255), four_quarters)


def curve(means, chosen=None, spread=0.0):
    """Rows of a feature elimination for 1, 2 … predictors."""
    chosen = int(np.argmax(means)) + 1 if chosen is None else chosen
    return [{"features": float(i), "mean_accuracy": mean, "sd_accuracy": spread, "chosen": float(i == chosen)}
            for i, mean in enumerate(means, start=1)]


def panel_line(line, value, low=None, high=None, meaning=""):
    return {"line": line, "value": value, "low": low, "high": high, "n": 100, "meaning": meaning}


def spots(image, colour, least=15):
    """Return the (row, column) centres, left to right, of the patches of a colour with ``least`` pixels or more."""
    from scipy.ndimage import center_of_mass, label

    found, count = label(share_of(image, colour), np.ones((3, 3)))
    sizes = np.bincount(found.ravel())
    large = [i for i in range(1, count + 1) if sizes[i] >= least]
    return sorted(center_of_mass(found > 0, found, large), key=lambda place: place[1])


def test_figures_are_the_same_bytes_whatever_the_users_plotting_defaults(four_quarters):
    def draw():
        return [figures.pti_map(four_quarters, "Map", "Sub", note="Note", width_px=600),
                figures.station_scatter([11, 12, 12, 33], [12, 12, 12, 40], "Scatter"),
                figures.area_bars([{"rank": 11, "label": "11", "area_km2": 1e6, "share_percent": 100}]),
                figures.confusion_matrix([[3, 1], [0, 2]], ["11", "12"]),
                figures.shap_bars(["LST"], ["thermal"], [1.0]),
                figures.rfecv_curve(curve([40, 50]), {"features": 2, "mean_accuracy": 45}),
                figures.calibration_plot([{"expected": 55.0, "value": 50.0, "low": 40.0, "high": 60.0, "n": 7}]),
                figures.accuracy_panel_plot([panel_line("out-of-bag vote", 60.0)])]

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
    code = ("import sys; from pti_plugin.core.reporting import figures; figures.shap_bars(['a'], ['soil'], [1.0]); "
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


def test_the_temperature_scatter_has_the_station_across_the_map_up_and_the_tier_as_colour():
    image = pixels(figures.magt_scatter([-9.0, 2.0, -2.0, None], [1.0, -8.0, None, 1.0], "Two stations"))
    rows, columns = np.nonzero(share_of(image, BY_CODE[32].colour))
    # the legend has the colour in the upper left corner too, the warm station that the map has cold lies lower right
    assert rows.max() / image.shape[0] > 0.7 and columns.max() / image.shape[1] > 0.7
    assert np.nonzero(share_of(image, BY_CODE[12].colour))[0].max() / image.shape[0] < 0.4
    assert not share_of(image, BY_CODE[22].colour).any(), "a station without a value on the map is drawn"
    assert figures.magt_scatter([], [], "None") != figures.magt_scatter([1.0], [1.0], "None")
    with pytest.raises(InputError, match="2 station temperatures but 1 of the map"):
        figures.magt_scatter([1.0, 2.0], [1.0], "Unequal")


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


def test_cells_of_the_confusion_matrix_that_hold_nothing_are_pale(monkeypatch):
    from matplotlib.axes import Axes

    colours, text = {}, Axes.text

    def recorded(axes, x, y, words, **options):
        if "color" in options:
            colours[words] = options["color"]
        return text(axes, x, y, words, **options)

    monkeypatch.setattr(Axes, "text", recorded)
    figures.confusion_matrix(np.array([[96, 0], [4, 100]]), ["11", "12"])
    assert colours["96"] == colours["100"] == "#ffffff"
    assert colours["4"] == figures.INK and colours["0"] == "#9aa4ac"


class Recorder:
    """Axes that keep what is drawn on them."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *values, **options: self.calls.append((name, values, options))

    def named(self, name):
        return [(values, options) for called, values, options in self.calls if called == name]


def test_bars_of_the_calibration_stand_in_the_bins_they_count(monkeypatch):
    from matplotlib.axes import Axes

    bars, bar = [], Axes.bar
    monkeypatch.setattr(Axes, "bar", lambda axes, places, heights, **options: (
        bars.append((list(places), list(heights))) or bar(axes, places, heights, **options)))
    figures.calibration_plot([{"expected": expected, "value": 50.0, "low": None, "high": None, "n": number}
                              for expected, number in ((12.0, 3), (30.0, 4), (39.9, 5), (100.0, 6))])
    assert bars[0] == ([15, 35, 35, 95], [3, 4, 5, 6])


@pytest.mark.parametrize("south, kilometres", [(45.0, 1000), (65.0, 500)])
def test_the_scale_bar_is_as_long_as_it_says_in_two_halves(south, kilometres):
    axes, frame = Recorder(), SimpleNamespace(south=south, radius=4e6, scale_along_parallel=lambda latitude: 1.25)
    figures._draw_scale_bar(axes, frame)
    (first, _), (second, _) = axes.named("fill_between")
    assert first[0][1] == second[0][0] and second[0][1] - first[0][0] == pytest.approx(kilometres * 1000 * 1.25)
    assert first[0][1] - first[0][0] == pytest.approx(second[0][1] - second[0][0])
    marks = {words[2]: words[0] for words, _ in axes.named("text")[:3]}
    assert marks == {"0": first[0][0], f"{kilometres / 2:,.0f}": first[0][1],
                     f"{kilometres:,.0f}": pytest.approx(second[0][1])}


def test_ranks_of_the_legend_stand_below_the_number_of_their_trends():
    axes = Recorder()
    figures._draw_map_legend(axes, (-5, -1, 0), 10, True, (0, 0))
    words = {options[0][2]: options[0][:2] for options in axes.named("text")}
    for rank in RANKS:
        if rank.code != 40:
            of_tier = [other.code for other in RANKS if other.tier == rank.tier]
            heading = ("none", "one", "both")[of_tier.index(rank.code)]
            assert words[str(rank.code)][0] == pytest.approx(words[heading][0])
            assert words[str(rank.code)][1] == pytest.approx(words[rank.tier.capitalize()][1])


def test_the_confusion_matrix_refuses_a_shape_that_its_labels_do_not_fit():
    with pytest.raises(InputError, match=r"shape \(2, 3\), but there are 2 labels"):
        figures.confusion_matrix(np.ones((2, 3)), ["11", "12"])


def test_predictors_stand_largest_first_in_the_colour_of_their_group():
    image = pixels(figures.shap_bars(["small", "large"], ["soil", "topography"], [1, 3]))
    bars = {group: np.nonzero(share_of(image[:, : image.shape[1] * 4 // 10], GROUP_COLOURS[group]))[0].mean()
            for group in ("soil", "topography")}
    assert bars["topography"] < bars["soil"]
    with pytest.raises(InputError, match="2 predictors but 1 importance values"):
        figures.shap_bars(["a", "b"], ["soil", "soil"], [1])


def upper_left(image):
    """The picture without the legend in its lower right corner."""
    cut = image.copy()
    cut[int(image.shape[0] * 0.66):, int(image.shape[1] * 0.55):] = 255
    return cut


def test_the_elimination_curve_rings_the_chosen_number_and_marks_the_paper():
    # 80 % at every number, so that the ring alone tells which one is chosen
    places = {}
    for chosen in (1, 3, 6):
        (row, column), = spots(upper_left(pixels(figures.rfecv_curve(curve([80.0] * 6, chosen)))), figures.ORANGE)
        places[chosen] = column
    assert places[3] - places[1] == pytest.approx(2 / 5 * (places[6] - places[1]), abs=2)
    plain = upper_left(pixels(figures.rfecv_curve(curve([80.0, 60.0], 1))))
    with_paper = upper_left(pixels(figures.rfecv_curve(curve([80.0, 60.0], 1), {"features": 1, "mean_accuracy": 70})))
    new = share_of(with_paper, figures.INK) & ~share_of(plain, figures.INK)
    row, column = (values.mean() for values in np.nonzero(new))
    (ring_row, ring_column), = spots(with_paper, figures.ORANGE)
    # below the chosen number, in its column
    assert abs(column - ring_column) < 4 and row > ring_row + 100


def test_the_band_of_the_elimination_is_as_wide_as_the_standard_deviation():
    heights = []
    for spread in (1.0, 4.0):
        rows = curve([50.0, 60.0, 60.0, 60.0], 4)
        for row in rows[2:]:
            row["sd_accuracy"] = spread
        image = pixels(figures.rfecv_curve(rows))
        column = share_of(upper_left(image), figures.BAND)[:, int(image.shape[1] * 0.8)]
        axis = image.shape[0] * 0.845
        low, high = min(50.0, 60 - spread), 60 + spread
        heights.append(np.ptp(np.nonzero(column)[0]) / axis * (high - low) * 1.2 / spread)
    assert heights == pytest.approx([2, 2], rel=0.05)


@pytest.mark.parametrize("means, spread, paper, low, high", [
    ([50.0, 60.0, 70.0], 0.0, None, 48.0, 72.0), ([50.0, 60.0, 70.0], 5.0, None, 42.0, 78.0),
    ([50.0, 60.0, 70.0], 0.0, 90.0, 46.0, 94.0), ([50.0, 60.0, 70.0], 0.0, 30.0, 26.0, 74.0),
    # one value: two per cent points of room; no accuracy is below 0, and little is drawn above 100
    ([80.0, 80.0], 0.0, None, 79.8, 80.2), ([90.0, 100.0], 0.0, None, 89.0, 100.2),
    ([1.0, 41.0], 0.0, None, 0.0, 45.0)])
def test_the_axes_of_the_elimination_leave_a_tenth_of_room(monkeypatch, means, spread, paper, low, high):
    from matplotlib.figure import Figure

    drawn, added = [], Figure.add_axes
    monkeypatch.setattr(Figure, "add_axes", lambda self, *given, **options: drawn.append(added(self, *given, **options))
                        or drawn[-1])
    figures.rfecv_curve(curve(means, 1, spread), paper and {"features": 2, "mean_accuracy": paper})
    assert drawn[0].get_ylim() == pytest.approx((low, high))
    assert drawn[0].get_xlim() == (0.5, len(means) + 0.5)


def test_the_elimination_needs_one_chosen_row():
    with pytest.raises(InputError, match="0 of the 0 rows of the feature elimination are marked"):
        figures.rfecv_curve([])
    with pytest.raises(InputError, match="2 of the 2 rows"):
        figures.rfecv_curve([{**row, "chosen": 1} for row in curve([40, 50])])


def test_calibration_has_the_promise_across_and_the_result_up():
    rows = [{"expected": 25.0, "value": 90.0, "low": None, "high": None, "n": 10},
            {"expected": 75.0, "value": 40.0, "low": None, "high": None, "n": 30}]
    image = pixels(figures.calibration_plot(rows))
    height, width = image.shape[:2]
    # where the axes put 0 and 100
    left, right = 0.125 * width, 0.97 * width
    top, bottom = (1 - 0.30 - 0.845 * 5.6 / 6.2 * 0.9) * height, 0.70 * height
    points = spots(image[:int(bottom)], figures.BLUE, 60)
    for (row, column), (across, up) in zip(points, ((0.25, 0.9), (0.75, 0.4))):
        assert (column - left) / (right - left) == pytest.approx(across, abs=0.01)
        assert (bottom - row) / (bottom - top) == pytest.approx(up, abs=0.01)
    assert len(points) == 2
    bars = share_of(image[int(bottom):], figures.BAND)
    few, many = (bars[:, part].any(axis=1).sum() for part in (slice(0, width // 2), slice(width // 2, width)))
    assert many / few == pytest.approx(3, rel=0.1)
    before = [{"expected": 45.0, "value": 70.0, "low": None, "high": None, "n": 40}]
    assert share_of(pixels(figures.calibration_plot(rows, before)), figures.ORANGE).any()
    assert not share_of(image, figures.ORANGE).any()
    with pytest.raises(InputError, match="no rows of the calibration"):
        figures.calibration_plot([])


def test_the_in_sample_line_of_the_panel_is_hollow_grey_and_labelled(monkeypatch):
    texts = []
    axes = matplotlib.axes.Axes
    real = axes.annotate
    monkeypatch.setattr(axes, "annotate", lambda self, text, *given, **options: (
        texts.append(text), real(self, text, *given, **options))[1])
    rows = [panel_line("out-of-bag vote", 60.0), panel_line("in-sample vote (in-sample, not an accuracy)", 92.0)]
    image = pixels(figures.accuracy_panel_plot(rows))
    assert figures.IN_SAMPLE_MARK in texts and len(texts) == 3
    inside = image[:, int(image.shape[1] * 0.345):int(image.shape[1] * 0.865)]
    (blue_row, blue_column), = spots(inside, figures.BLUE, 30)
    (grey_row, grey_column), = [place for place in spots(inside, figures.SET_BACK, 30)
                                if place[0] < 0.6 * image.shape[0]]
    assert grey_row > blue_row and grey_column > blue_column
    # hollow: white in the middle
    assert (inside[round(grey_row), round(grey_column)] == 255).all()
    assert tuple(inside[round(blue_row), round(blue_column)]) == hex_to_rgb(figures.BLUE)
    # a line of no accuracy must not be drawn as one, by its meaning too
    assert figures.is_in_sample(panel_line("vote", 90.0, meaning="In-sample, not an accuracy"))
    assert not figures.is_in_sample(rows[0])


def test_the_panel_needs_a_value_and_leaves_out_lines_without_one():
    one = figures.accuracy_panel_plot([panel_line("out-of-bag vote", 60.0)])
    assert figures.accuracy_panel_plot([panel_line("out-of-bag vote", 60.0), panel_line("later", None)]) == one
    with pytest.raises(InputError, match="No line of the accuracy panel has a value"):
        figures.accuracy_panel_plot([panel_line("later", None)])


def test_marks_of_curves_stay_apart_for_every_colour_vision():
    for vision in VISION:
        for one, other in itertools.combinations((figures.BLUE, figures.ORANGE, figures.INK, figures.BAND), 2):
            assert np.linalg.norm(lab(one, vision) - lab(other, vision)) >= 25, (one, other, vision)
