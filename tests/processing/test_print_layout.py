"""The print layout: colours, stations and legend where they belong, the same bytes, and nothing left by a failure."""

import math
import os
import re
from pathlib import Path

import build_layout
import numpy as np
import pytest

from pti_plugin.core.common.ranks import RANKS, hex_to_rgb
from pti_plugin.core.reporting.figures import LAND, SEA
from support import standing, write_raster

#: 50 km cells of EASE-Grid 2.0 round the pole, to some 45° N
CELL, SIDE = 50000.0, 192
TRANSFORM = (-CELL * SIDE / 2, CELL, 0.0, CELL * SIDE / 2, 0.0, -CELL)
DPI = 100
#: the circle of the map on A4 portrait, mm: centre and radius
X, Y, RADIUS = 105.0, 121.0, 87.0
SOUTH = 50.0
#: a sector of 36° for each rank from 0° eastward, between 50 and 80° N
SECTOR = 360 / len(RANKS)


def authalic(latitude):
    """Return the distance of a parallel from the pole on the equal-area map, in radii of the sphere."""
    return 2 * math.sin(math.radians(90 - latitude) / 2)


def on_page(longitude, latitude, down=0.0):
    """Return millimetres on the page of a place, with the meridian ``down`` at the foot."""
    distance = RADIUS * authalic(latitude) / authalic(SOUTH)
    angle = math.radians(longitude - down)
    return X + distance * math.sin(angle), Y + distance * math.cos(angle)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A map with the ten ranks in sectors, a base map of its northern land, and stations with and without a rank."""
    folder = tmp_path_factory.mktemp("layout")
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    x, y = (columns + 0.5 - SIDE / 2) * CELL, (SIDE / 2 - rows - 0.5) * CELL
    longitude = np.degrees(np.arctan2(x, -y)) % 360
    latitude = 90 - 2 * np.degrees(np.arcsin(np.clip(np.hypot(x, y) / 2 / 6371007, 0, 1)))
    codes = np.array([rank.code for rank in RANKS])[(longitude // SECTOR).astype(int)]
    codes[(latitude < 50) | (latitude > 80)] = 0
    land = np.where((latitude > 50) & (latitude < 86), 1, 255)
    stations = folder / "stations.geojson"
    places = [(90.0, 88.5, 33), (-90.0, 88.5, None), (0.0, 20.0, 11)]
    stations.write_text('{"type": "FeatureCollection", "features": [' + ",".join(
        '{"type": "Feature", "properties": {"site_rank": %s}, "geometry": {"type": "Point", "coordinates": [%s, %s]}}'
        % (rank or "null", lon, lat) for lon, lat, rank in places) + "]}", encoding="utf-8")
    return {"PTI": write_raster(folder / "pti.tif", codes, dtype="uint8", nodata=0, transform=TRANSFORM),
            "BASE": write_raster(folder / "base.tif", land, dtype="uint8", nodata=255, transform=TRANSFORM),
            "STATIONS": str(stations)}


@pytest.fixture(scope="module")
def draw(provider):
    """Runs the tool: draw(parameters) → results."""
    import processing

    return lambda parameters: processing.run("pti:printlayout", {"DPI": DPI, **parameters})


@pytest.fixture(scope="module")
def page(draw, files, tmp_path_factory):
    """All outputs of a run with everything: {output: path}."""
    folder = tmp_path_factory.mktemp("page")
    return draw({**files, "NOTE": "A note.", "OUTPUT_PNG": str(folder / "map.png"),
                 "OUTPUT_PDF": str(folder / "map.pdf"), "OUTPUT_LAYOUT": str(folder / "map.qpt")})


class Picture:
    """A picture of a page, asked in millimetres."""

    def __init__(self, path):
        from qgis.PyQt.QtGui import QImage

        self.image = QImage(str(path))
        assert not self.image.isNull()
        self.width, self.height = (round(size / DPI * 25.4) for size in (self.image.width(), self.image.height()))

    def at(self, x, y):
        """Return the colour at a place."""
        return self.image.pixelColor(int(x / 25.4 * DPI), int(y / 25.4 * DPI)).name()

    def ink(self, x, y, width, height):
        """Return the share of dark dots in a box."""
        dark = [self.image.pixelColor(column, row).lightness() < 190
                for row in range(int(y / 25.4 * DPI), int((y + height) / 25.4 * DPI))
                for column in range(int(x / 25.4 * DPI), int((x + width) / 25.4 * DPI))]
        return sum(dark) / len(dark)


def test_every_rank_has_its_colour_where_it_lies_on_the_ground(page):
    picture = Picture(page["OUTPUT_PNG"])
    assert (picture.width, picture.height) == (210, 297)
    for place, rank in enumerate(RANKS):
        longitude = (place + 0.5) * SECTOR + 2
        assert picture.at(*on_page(longitude, 66)) == rank.colour, rank
        assert picture.at(*on_page(longitude, 83)) == LAND
        assert picture.at(*on_page(longitude, 87.5)) == SEA
    # beyond the circle is paper
    assert picture.at(X + RADIUS * 0.85, Y + RADIUS * 0.85) == "#ffffff"


@pytest.mark.parametrize("projection, name", [("equal area", "Polar Lambert azimuthal equal area, 100° W down"),
                                              ("stereographic", "Polar stereographic, true at 71° N, 100° W down")])
def test_the_chosen_meridian_points_down(draw, files, tmp_path, projection, name):
    made = draw({"PTI": files["PTI"], "CENTRAL_MERIDIAN": -100, "PROJECTION": projection,
                 "OUTPUT_PNG": str(tmp_path / "map.png"), "OUTPUT_LAYOUT": str(tmp_path / "map.qpt")})
    picture = Picture(made["OUTPUT_PNG"])
    for place, rank in enumerate(RANKS):
        assert picture.at(*on_page((place + 0.5) * SECTOR + 2, 66, down=-100)) == rank.colour, rank
    assert name in Path(made["OUTPUT_LAYOUT"]).read_text(encoding="utf-8")


def test_stations_are_drawn_in_the_colour_of_their_rank_and_counted_where_the_map_shows_them(page):
    picture = Picture(page["OUTPUT_PNG"])
    assert picture.at(*on_page(90, 88.5)) == "#b1381b"
    assert picture.at(*on_page(-90, 88.5)) == "#ffffff"
    texts = texts_of(page["OUTPUT_LAYOUT"])
    assert {"station (1), colour: its rank", "station without a rank (1)"} <= texts


def test_the_legend_has_two_tiers_with_every_rank_and_the_page_its_texts(page):
    picture = Picture(page["OUTPUT_PNG"])
    # beside the number of a swatch; columns none, one, both; rows cold, cool, warm; 40 apart
    places = [(42 + 17 * column, 234 + 9.6 * row) for row in range(3) for column in range(3)] + [(114, 231)]
    assert [picture.at(*place) for place in places] == [rank.colour for rank in RANKS]
    # a page without fonts would have neither title nor foot
    assert picture.ink(10, 9, 70, 9) > 0.05 and picture.ink(10, 275, 60, 15) > 0.02
    assert {"Permafrost Thaw Index", "Northern high latitudes", "Positive trends (MAGT, ALT)", "none", "one", "both",
            "Cold", "Cool", "Warm", "MAGT < −3 °C", "−3 to −1.5 °C", "> −1.5 to 3 °C",
            "isolated patches (PP < 10 %)", "land without a rank", "sea, or no data", "true along 70° N",
            "60° N", "75° N", "50° N", "90° E", "90° W", "0°", "180°",
            *(str(rank.code) for rank in RANKS)} <= texts_of(page["OUTPUT_LAYOUT"])
    foot = next(text for text in texts_of(page["OUTPUT_LAYOUT"]) if text.startswith("A note."))
    assert "pti.tif, of which no record is kept" in foot and "EPSG:6931" in foot


def test_thresholds_tool_and_profile_come_from_the_record_of_the_map(draw, tmp_path):
    import processing

    values = {"MAGT": -5.0, "MAGT_TREND": 1.0, "ALT_TREND": 0.0, "PP": 80.0, "BASE": 1.0}
    layers = {name: write_raster(tmp_path / f"{name.lower()}.tif", np.full((8, 8), value, "float32"))
              for name, value in values.items()}
    made = processing.run("pti:buildpti", {**layers, "PROFILE": 1, "COLD": -4, "ISOLATED": 12,
                                           "OUTPUT": str(tmp_path / "index.tif")})
    texts = texts_of(draw({"PTI": made["OUTPUT"], "OUTPUT_PNG": str(tmp_path / "map.png"),
                           "OUTPUT_LAYOUT": str(tmp_path / "map.qpt")})["OUTPUT_LAYOUT"])
    assert {"MAGT < −4 °C", "−4 to −1.5 °C", "isolated patches (PP < 12 %)"} <= texts
    assert any("index.tif, made by buildpti of" in text and "profile as_published" in text for text in texts)


def layout_of(path):
    """Return the layout of a template as the layout manager opens it, and its project."""
    from qgis.core import QgsPrintLayout, QgsProject, QgsReadWriteContext
    from qgis.PyQt.QtXml import QDomDocument

    project = QgsProject()
    layout, document = QgsPrintLayout(project), QDomDocument()
    document.setContent(Path(path).read_text(encoding="utf-8"))
    items, done = layout.loadFromTemplate(document, QgsReadWriteContext())
    assert done and items
    return layout, project


def texts_of(path):
    from qgis.core import QgsLayoutItemLabel

    layout, _project = layout_of(path)
    return {item.text() for item in layout.items() if isinstance(item, QgsLayoutItemLabel)}


def test_a_saved_layout_shows_the_layers_of_the_project_it_is_opened_in(page, files):
    from qgis.core import QgsLayoutExporter, QgsRasterLayer
    from qgis.PyQt.QtCore import QSize

    from pti_plugin.algorithms.styling import _Styler

    layout, project = layout_of(page["OUTPUT_LAYOUT"])
    layer = QgsRasterLayer(files["PTI"], "PTI")
    _Styler("buildpti", "OUTPUT").postProcessLayer(layer, None, None)
    project.addMapLayer(layer)
    image = QgsLayoutExporter(layout).renderPageToImage(0, QSize(), DPI)
    for place, rank in enumerate(RANKS):
        x, y = on_page((place + 0.5) * SECTOR + 2, 66)
        assert image.pixelColor(int(x / 25.4 * DPI), int(y / 25.4 * DPI)).name() == rank.colour


def test_a_map_of_a_region_is_cut_to_its_ranks(draw, files, tmp_path):
    made = draw({"PTI": files["PTI"], "EXTENT": "500000,2500000,-2600000,-600000", "PAGE": "A4 landscape",
                 "OUTPUT_PNG": str(tmp_path / "map.png"), "OUTPUT_LAYOUT": str(tmp_path / "map.qpt")})
    picture = Picture(made["OUTPUT_PNG"])
    assert (picture.width, picture.height) == (297, 210)
    # 16 to 190 mm across, 18 to 192 mm down: 36 and 54° E at their ranks, measured in the map's own metres
    for longitude, colour in ((24, RANKS[0].colour), (48, RANKS[1].colour)):
        distance = 6371007 * authalic(75)
        x, y = distance * math.sin(math.radians(longitude)), -distance * math.cos(math.radians(longitude))
        assert picture.at(16 + (x - 5e5) / 2e6 * 174, 18 + (-6e5 - y) / 2e6 * 174) == colour
    layout, _project = layout_of(made["OUTPUT_LAYOUT"])
    assert layout.referenceMap().extent().width() == pytest.approx(2e6)


def test_the_scale_bar_is_as_long_as_its_parallel_says(page):
    layout, _project = layout_of(page["OUTPUT_LAYOUT"])
    bar = layout.itemById("scale bar")
    degrees = math.degrees(1000 / (6371.007 * math.cos(math.radians(70))))
    (x, y), (to_x, to_y) = on_page(0, 70), on_page(degrees, 70)
    arc = 2 * math.hypot(x - X, y - Y) * math.asin(math.hypot(to_x - x, to_y - y) / 2 / math.hypot(x - X, y - Y))
    millimetres = bar.unitsPerSegment() * bar.numberOfSegments() / layout.itemById("map").extent().width() * 2 * RADIUS
    assert millimetres == pytest.approx(arc, rel=0.005)


def test_the_pdf_is_one_page_of_the_size_asked_for_without_a_date(page, draw, files, tmp_path):
    for path, size in ((page["OUTPUT_PDF"], (595, 842)), (draw({
            "PTI": files["PTI"], "PAGE": "A3 landscape", "OUTPUT_PNG": str(tmp_path / "a3.png"),
            "OUTPUT_PDF": str(tmp_path / "a3.pdf")})["OUTPUT_PDF"], (1191, 842))):
        data = Path(path).read_bytes()
        assert data.startswith(b"%PDF") and data.rstrip().endswith(b"%%EOF")
        assert len(re.findall(rb"/Type /Page\b", data)) == 1
        box = [float(part) for part in re.search(rb"/MediaBox \[([^\]]*)\]", data).group(1).split()]
        assert box == pytest.approx([0, 0, *size], abs=1)
        assert b"CreationDate" not in data


def test_the_same_input_gives_the_same_bytes(page, draw, files, tmp_path):
    again = draw({**files, "NOTE": "A note.", "OUTPUT_PNG": str(tmp_path / "map.png"),
                  "OUTPUT_PDF": str(tmp_path / "map.pdf"), "OUTPUT_LAYOUT": str(tmp_path / "map.qpt")})
    for name, path in page.items():
        assert Path(again[name]).read_bytes() == Path(path).read_bytes(), name


def test_the_open_project_stays_as_it_is(page, draw, files, tmp_path):
    from qgis.core import QgsProject, QgsRasterLayer

    project = QgsProject.instance()
    try:
        project.addMapLayer(QgsRasterLayer(files["PTI"], "mine"))
        project.setDirty(False)
        draw({**files, "OUTPUT_PNG": str(tmp_path / "map.png")})
        assert [layer.name() for layer in project.mapLayers().values()] == ["mine"]
        assert not project.layoutManager().layouts() and not project.isDirty()
    finally:
        project.clear()


def test_it_runs_headless(qgis_process, files, tmp_path):
    done = qgis_process.run("printlayout", {**files, "DPI": DPI, "OUTPUT_PNG": tmp_path / "map.png",
                                            "OUTPUT_PDF": tmp_path / "map.pdf"})
    assert done.code == 0, done
    picture = Picture(tmp_path / "map.png")
    assert picture.at(*on_page(0.5 * SECTOR + 2, 66)) == RANKS[0].colour and picture.ink(10, 9, 70, 9) > 0.05
    assert (tmp_path / "map.pdf").read_bytes().startswith(b"%PDF")


# what goes wrong ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("change, message", [
    ({"PTI": "{BASE}"}, "holds 1, which are no PTI ranks"),
    ({"OUTPUT_PNG": "{folder}/missing/map.png"}, "The folder of the output .* does not exist"),
    ({"OUTPUT_PDF": "{folder}"}, "is a folder"),
    ({"OUTPUT_PDF": "{folder}/map.png"}, "Two outputs have the same name"),
    ({"EXTENT": "6000000,7000000,6000000,7000000"}, "holds no PTI rank within the frame"),
    ({"PAGE": "A5"}, "must be one of A4 portrait, A4 landscape"),
])
def test_what_cannot_be_drawn_is_refused_and_leaves_nothing(draw, files, tmp_path, change, message):
    from qgis.core import QgsProcessingException

    given = {**files, "OUTPUT_PNG": "{folder}/map.png", **change}
    given = {name: value.format(folder=tmp_path, **files) for name, value in given.items()}
    with pytest.raises(QgsProcessingException, match=message):
        draw(given)
    assert standing(tmp_path) == {}


def test_an_export_that_fails_is_an_error_and_leaves_nothing(draw, files, tmp_path, monkeypatch):
    from qgis.core import QgsLayoutExporter, QgsProcessingException

    def full(_exporter, path, _settings):
        Path(path).write_bytes(b"%PDF-1.4 cut sh")
        return QgsLayoutExporter.ExportResult.PrintError

    monkeypatch.setattr(QgsLayoutExporter, "exportToPdf", full)
    with pytest.raises(QgsProcessingException, match=r"Writing .*map\.pdf failed.* Free some space"):
        draw({**files, "OUTPUT_PNG": str(tmp_path / "map.png"), "OUTPUT_PDF": str(tmp_path / "map.pdf")})
    assert standing(tmp_path) == {}


@pytest.mark.parametrize("share", [5, 40, 70])
def test_cancelling_leaves_nothing(provider, files, tmp_path, share):
    import processing
    from qgis.core import QgsProcessingException, QgsProcessingFeedback

    class Impatient(QgsProcessingFeedback):
        def setProgress(self, percent):
            super().setProgress(percent)
            if percent >= share:
                self.cancel()

    with pytest.raises(QgsProcessingException, match="cancelled"):
        processing.run("pti:printlayout", {**files, "DPI": DPI, "OUTPUT_PNG": str(tmp_path / "map.png"),
                                       "OUTPUT_PDF": str(tmp_path / "map.pdf")}, feedback=Impatient())
    assert standing(tmp_path) == {}


def test_a_map_that_cannot_be_drawn_whole_is_an_error_and_leaves_nothing(draw, files, tmp_path, monkeypatch):
    from qgis.core import QgsProcessingException

    from pti_plugin.algorithms import print_layout

    style = print_layout.apply_style

    def cut(layer, text):
        # what a disk does that fills up or fails behind the back of the run
        os.truncate(layer.source(), os.path.getsize(layer.source()) // 3)
        style(layer, text)

    monkeypatch.setattr(print_layout, "apply_style", cut)
    with pytest.raises(QgsProcessingException, match=r"map\.png cannot be drawn whole"):
        draw({"PTI": files["PTI"], "OUTPUT_PNG": str(tmp_path / "map.png")})
    assert standing(tmp_path) == {}


def test_the_raster_that_the_map_is_drawn_from_is_checked_like_an_output(draw, files, tmp_path, monkeypatch):
    from qgis.core import QgsProcessingException

    from pti_plugin.core.rasters import blocks

    def full(_writer):
        raise blocks.output_error(str(tmp_path / "x.tif"), "No space left on device")

    monkeypatch.setattr(blocks.RasterWriter, "close", full)
    with pytest.raises(QgsProcessingException, match="the disk is full"):
        draw({"PTI": files["PTI"], "OUTPUT_PNG": str(tmp_path / "map.png")})
    assert standing(tmp_path) == {}


# the template that comes with the plugin ----------------------------------------------------------------------------

def test_the_template_in_the_plugin_is_what_the_script_builds(provider):
    built, _project = build_layout.layout()
    kept, _other = layout_of(build_layout.TARGET)

    def described(layout):
        return sorted((item.id(), type(item).__name__, round(item.pos().x(), 3), round(item.pos().y(), 3),
                       item.text() if hasattr(item, "text") else "")
                      for item in layout.items() if hasattr(item, "id") and item.id())

    assert described(kept) == described(built), "run scripts/build_layout.py"
    colours = {hex_to_rgb(rank.colour) for rank in RANKS}
    assert colours <= {kept.itemById(f"swatch {rank.code}").symbol().color().getRgb()[:3] for rank in RANKS}


def test_text_from_a_record_and_of_the_page_is_shown_and_never_evaluated(draw, files, tmp_path):
    """An expression in a received record printed the name of the user; the date is one as well."""
    import json
    import shutil

    from qgis.core import QgsPrintLayout, QgsProject, QgsReadWriteContext
    from qgis.PyQt.QtXml import QDomDocument

    planted = "[% @user_full_name || @user_account_name %] $CURRENT_DATE(yyyy) <b>x</b> [%1+1%] %] $x$"
    shutil.copy(files["PTI"], tmp_path / "pti.tif")
    (tmp_path / "pti.provenance.json").write_text(json.dumps({
        "tool": planted, "plugin": planted, "plugin_version": planted, "profile": planted,
        "outputs": {"OUTPUT": "pti.tif"}}), encoding="utf-8")
    draw({"PTI": str(tmp_path / "pti.tif"), "TITLE": planted, "SUBTITLE": planted, "NOTE": planted,
          "OUTPUT_PNG": str(tmp_path / "map.png"), "OUTPUT_LAYOUT": str(tmp_path / "map.qpt")})
    document = QDomDocument()
    document.setContent((tmp_path / "map.qpt").read_text(encoding="utf-8"))
    project = QgsProject()
    layout = QgsPrintLayout(project)
    layout.loadFromTemplate(document, QgsReadWriteContext())
    for name in ("title", "subtitle"):
        assert layout.itemById(name).currentText() == planted
    note, origin, _ = layout.itemById("foot").currentText().split("\n")
    assert note == planted and origin == f"Map: pti.tif, made by {planted} of {planted} {planted}, profile {planted}"


def test_a_path_with_a_null_character_is_refused_in_a_sentence(draw, files, tmp_path):
    from qgis.core import QgsProcessingException

    with pytest.raises(QgsProcessingException, match="TITLE: .* holds a null character"):
        draw({**files, "TITLE": "a\0b", "OUTPUT_PNG": str(tmp_path / "map.png")})
