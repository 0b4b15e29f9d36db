"""The ensemble land cover from products as users hold them, and what QGIS shows of it."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import products
from pti_plugin.core.ensembles.landcover import land_cover_classes, read_crosswalk
from support import ROOT, read_raster, standing, write_raster

CLASSES = {code: (name, "#{:02x}{:02x}{:02x}".format(*rgb)) for code, (name, rgb) in land_cover_classes().items()}
#: 50 km equal-area cells round the pole, to some 60° N
TARGET = (-3300000.0, 50000.0, 0.0, 3300000.0, 0.0, -50000.0)
SIDE = 132


@pytest.fixture(scope="module")
def run(provider):
    import processing

    return lambda parameters: processing.run("pti:ensemblelandcover", parameters)


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """The products under their published names, each with one class everywhere but in the areas without data."""
    folder = tmp_path_factory.mktemp("held")
    (folder / "cci").mkdir()
    for year, code in ((2018, 130), (2019, 140), (2020, 140), (2021, 130), (2022, 60)):
        products.landcover_cci_netcdf(folder / "cci", year, products.one_of((code,)))
    products.glcc_goode(folder, products.one_of((20, 9)), crs="EPSG:6933")
    products.cavm(folder, products.one_of((99, 99, 1, 33)))
    write_raster(folder / "target.tif", np.zeros((SIDE, SIDE), np.uint8), transform=TARGET)
    return folder


def renderer_of(layer):
    renderer = layer.renderer()
    assert renderer.type() == "paletted"
    return {int(item.value): (item.label, item.color.name()) for item in renderer.classes()}


def test_netcdf_years_glcc_with_a_wrong_crs_and_cavm_become_the_ensemble(run, held, tmp_path):
    made = run({"CCI_FOLDER": str(held / "cci"), "GLCC": str(held / "gbogeg20.tif"),
                "CAVM": str(held / "raster_cavm_v1.tif"), "TARGET": str(held / "target.tif"),
                "OUTPUT": str(tmp_path / "cover.tif"), "OUTPUT_SOURCE": str(tmp_path / "source.tif"),
                "OUTPUT_TABLE": str(tmp_path / "table.csv")})
    cover, source = read_raster(made["OUTPUT"]), read_raster(made["OUTPUT_SOURCE"])
    where = products.cells(TARGET, SIDE, SIDE, products.EASE2_NORTH)
    longitude, latitude = where.longitude, where.latitude

    def inside(west, east, south=62.0, north=80.0):
        # a margin of some cells of the coarse products
        return (longitude > west) & (longitude < east) & (latitude > south) & (latitude < north)

    # 130 and 140 are tied; 2021 is the most recent. Longitudes of the fixtures' areas without data are left out
    areas = [products.area(number) for number in range(3)]
    clear = np.ones(cover.shape, dtype=bool)
    for west, south, east, north in areas:
        clear &= ~((longitude > west - 4) & (longitude < east + 4) & (latitude > south - 4) & (latitude < north + 4))
    for west, east, code, by in ((-174, -94, 130, 3), (-86, -4, 130, 3), (4, 86, 201, 1), (94, 174, 204, 1)):
        place = inside(west, east) & clear
        assert place.sum() > 100
        assert (cover[place] == code).all() and (source[place] == by).all(), (west, east)
    rows = list(csv.DictReader(Path(made["OUTPUT_TABLE"]).read_text(encoding="utf-8").splitlines()))
    assert list(rows[0]) == ["code", "name", "cells", "area_km2", "share_percent", "land_percent", "paper_percent",
                             "paper_land_percent"]
    for row in rows:
        cells = int((cover == int(row["code"])).sum())
        assert int(row["cells"]) == cells and float(row["area_km2"]) == 2500.0 * cells
        assert row["name"] == CLASSES[int(row["code"])][0]
    assert sum(float(row["share_percent"]) for row in rows) == pytest.approx(100, abs=0.01)
    record = json.loads((tmp_path / "cover.provenance.json").read_text(encoding="utf-8"))
    assert record["results"]["years"] == [2018, 2019, 2020, 2021, 2022]
    assert record["results"]["source"]["LandCover_CCI"] == int((source == 3).sum())


def test_years_and_tie_choose(run, held, tmp_path):
    def cover_of(name, **more):
        made = run({"CCI_FOLDER": str(held / "cci"), "TARGET": str(held / "target.tif"),
                    "OUTPUT": str(tmp_path / f"{name}.tif"), **more})
        return set(np.unique(read_raster(made["OUTPUT"])[60:70, 60:70]))

    assert cover_of("recent", YEARS="2018-2021") == {130.0}
    assert cover_of("lowest", TIE=1, YEARS="2019-2021") == {150.0}
    # 60 of 2022 against 130 of 2021
    assert cover_of("recent of two", YEARS="2021-2022") == {60.0}
    assert cover_of("one year", YEARS="2022-2022") == {60.0}
    assert cover_of("pattern", CCI_PATTERN="*2019*; *2020*") == {150.0}


def test_one_raster_with_a_band_a_year(run, tmp_path):
    bands = np.stack([np.full((3, 4), 10 if year < 2013 else 60) for year in range(1992, 2016)])
    path = write_raster(tmp_path / "ESACCI-LC-L4-LCCS-Map-300m-P1Y-1992_2015-v2.0.7.tif", bands, dtype="uint8")
    for years, code in (("", 10), ("2011-2015", 60), ("2010-2013", 10)):
        made = run({"CCI": [path], "YEARS": years, "OUTPUT": str(tmp_path / "out.tif")})
        assert (read_raster(made["OUTPUT"]) == code).all(), years


def test_no_data_neither_votes_nor_decides(run, tmp_path):
    paths = [write_raster(tmp_path / f"lc_{year}.tif", np.array([[0, 0, codes]]), dtype="uint8")
             for year, codes in ((2018, 10), (2019, 0), (2020, 0))]
    glcc = write_raster(tmp_path / "ecosystems.tif", np.array([[20, 100, 20]]), dtype="uint8")
    cavm = write_raster(tmp_path / "arctic.tif", np.array([[127, 99, 127]]), dtype="uint8")
    made = run({"CCI": paths, "GLCC": glcc, "CAVM": cavm, "OUTPUT": str(tmp_path / "out.tif")})
    np.testing.assert_array_equal(read_raster(made["OUTPUT"]), [[70, np.nan, 10]])


@pytest.mark.parametrize(("parameters", "message"), [
    ({}, "exactly one of CCI .* and CCI_FOLDER; none given"),
    ({"CCI": "glcc", "CCI_FOLDER": "cci"}, "exactly one of CCI .* both given"),
    ({"CCI_FOLDER": "cci", "CCI_PATTERN": "*.hdf"}, r"No file in .* matches \*\.hdf"),
    ({"CCI_FOLDER": "cci", "YEARS": "2017-2023"}, "no LandCover_CCI map for 2017, 2023 of YEARS 2017-2023"),
    ({"CCI_FOLDER": "cci", "YEARS": "2018"}, "YEARS is '2018'; write the first and the last"),
    ({"CCI": "glcc"}, r"gbogeg20\.tif is given as CCI but is GLCC Global Ecosystems"),
    ({"CCI_FOLDER": "cci", "GLCC": "cavm"}, r"raster_cavm_v1\.tif is given as GLCC but is CAVM raster\."),
    ({"CCI_FOLDER": "cci", "GLCC": "glcc"}, "TARGET"),
])
def test_bad_input_is_refused_in_plain_words(run, held, tmp_path, parameters, message):
    from qgis.core import QgsProcessingException

    files = {"glcc": "gbogeg20.tif", "cavm": "raster_cavm_v1.tif"}
    given = {name: str(held / files.get(value, value)) if name in ("CCI", "CCI_FOLDER", "GLCC") else value
             for name, value in parameters.items()}
    with pytest.raises(QgsProcessingException, match=message):
        run({**given, "OUTPUT": str(tmp_path / "out.tif")})
    assert standing(tmp_path) == {}


def test_a_file_without_the_class_layer_is_refused(run, tmp_path):
    from qgis.core import QgsProcessingException

    where = products.cells(products.DEGREE, 360, 180, products.LONGITUDE_LATITUDE)
    longitude, latitude = products.centres(where)
    grid = np.ones((180, 360), "uint8")
    products.write_netcdf(tmp_path / "ESACCI-LC-L4-LCCS-Map-300m-P1Y-2010-v2.0.7.nc", {"lat": 180, "lon": 360}, [
        products.Variable("lat", ("lat",), latitude, {"units": "degrees_north"}),
        products.Variable("lon", ("lon",), longitude, {"units": "degrees_east"}),
        products.Variable("change_count", ("lat", "lon"), grid, {}),
        products.Variable("processed_flag", ("lat", "lon"), grid, {})])
    with pytest.raises(QgsProcessingException, match="holds several variables.*change_count, processed_flag"):
        run({"CCI_FOLDER": str(tmp_path), "CCI_PATTERN": "*.nc", "OUTPUT": str(tmp_path / "out.tif")})


# what QGIS shows ---------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def every_class(run, tmp_path_factory):
    """A land cover with each of the 21 classes, one a column, from an own crosswalk of codes 1 to 21."""
    folder = tmp_path_factory.mktemp("classes")
    rows = [f"LandCover_CCI,{i},{code}" for i, code in enumerate(CLASSES, start=1)]
    (folder / "own.csv").write_text("\n".join(["product,raster_value,ensemble_code", *rows]) + "\n", encoding="utf-8")
    codes = np.tile(np.arange(1, 22), (21, 1))
    path = write_raster(folder / "lc_2018.tif", codes, dtype="uint8")
    made = run({"CCI": [path], "CROSSWALK": str(folder / "own.csv"), "OUTPUT": str(folder / "cover.tif"),
                "OUTPUT_SOURCE": str(folder / "source.tif")})
    return folder, made


def test_the_file_as_qgis_adds_it_shows_the_21_classes_by_name_and_colour(every_class):
    from qgis.core import QgsRasterLayer

    _, made = every_class
    assert renderer_of(QgsRasterLayer(made["OUTPUT"], "cover")) == CLASSES
    assert [label for label, _ in renderer_of(QgsRasterLayer(made["OUTPUT_SOURCE"], "source")).values()] == [
        "CAVM", "LandCover_CCI in the GLCC tundra mask", "LandCover_CCI", "GLCC alone"]


def test_the_colour_table_alone_names_and_colours_the_classes(every_class, tmp_path):
    from qgis.core import QgsRasterLayer

    for name in ("cover.tif", "cover.tif.aux.xml"):
        shutil.copy(every_class[0] / name, tmp_path / name)
    shown = renderer_of(QgsRasterLayer(str(tmp_path / "cover.tif"), "cover"))
    assert {code: shown[code] for code in CLASSES} == CLASSES


def test_the_picture_has_the_colours_of_the_table(every_class):
    from qgis.core import QgsMapRendererSequentialJob, QgsMapSettings, QgsRasterLayer
    from qgis.PyQt.QtCore import QSize

    layer = QgsRasterLayer(every_class[1]["OUTPUT"], "cover")
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(layer.extent())
    settings.setOutputSize(QSize(210, 210))
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    assert [image.pixelColor(5 + 10 * i, 105).name() for i in range(21)] == [colour for _, colour in CLASSES.values()]


def test_the_style_to_load_by_hand_is_the_table_of_classes(every_class, tmp_path):
    from qgis.core import QgsRasterLayer

    plain = write_raster(tmp_path / "plain.tif", read_raster(every_class[1]["OUTPUT"]), dtype="uint8", nodata=0)
    layer = QgsRasterLayer(plain, "plain")
    _, done = layer.loadNamedStyle(str(ROOT / "resources" / "styles" / "land_cover.qml"))
    assert done and renderer_of(layer) == CLASSES


def test_the_help_names_every_code_without_a_class(provider):
    codes = read_crosswalk().codes
    without = {product: {code for code, ensemble in table.items() if not ensemble} for product, table in codes.items()}
    assert without == {"LandCover_CCI": {0}, "GLCC": {99, 100}, "CAVM": {99}}
    text = provider.algorithm("ensemblelandcover").shortHelpString()
    assert "LandCover_CCI 0, GLCC 0, 99 and 100, CAVM 99 (not arctic) and 127" in text


def test_years_in_a_zip_or_under_other_names_and_glcc_by_its_preset_give_the_same(run, held, tmp_path):
    def cover_of(**given):
        made = run({"TARGET": str(held / "target.tif"), "OUTPUT": str(tmp_path / "cover.tif"), **given})
        return read_raster(made["OUTPUT"])

    (tmp_path / "2019").mkdir()
    (tmp_path / "packed").mkdir()
    for number, file in enumerate(sorted((held / "cci").iterdir())):
        shutil.copy(file, tmp_path / "2019" / f"lc_{2018 + number}.nc")
    shutil.make_archive(str(tmp_path / "packed" / "order"), "zip", held / "cci")
    expected = cover_of(CCI_FOLDER=str(held / "cci"), GLCC=str(held / "gbogeg20.tif"))
    np.testing.assert_array_equal(
        cover_of(CCI_FOLDER=str(tmp_path / "2019"), GLCC=str(held / "gbogeg20.tif")), expected)
    np.testing.assert_array_equal(
        cover_of(CCI_FOLDER=str(tmp_path / "packed"), GLCC=str(held / "gbogeg20.tif")), expected)
    other = shutil.copy(held / "gbogeg20.tif", tmp_path / "ecosystems.tif")
    named = cover_of(CCI_FOLDER=str(held / "cci"), GLCC=str(other), PRODUCT="ecosystems.tif=glcc_goode")
    np.testing.assert_array_equal(named, expected)
    assert np.nanmax(expected) > 0
