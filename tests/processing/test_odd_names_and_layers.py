"""Names and layers that other programs make: bands that XGBoost refuses, fields that were cut, geometry collections."""

import csv
import json
import zipfile

import numpy as np
import pytest
from osgeo import gdal, ogr, osr

from pti_plugin.core.common.record_file import record_path
from support import read_raster, write_raster

QUICK = {"RUNS": 2, "ROUNDS": 5, "PER_CLASS": 60, "BLOCK_KM": 300, "SEED": 7, "SHAP_POINTS": 20}
ODD = ("NDVI [mean]", "snow < 50", "lst", "a%5Bb")
PLAIN = ("ndvi_a", "snow_b", "lst", "own_c")


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def record_of(path):
    return json.loads(open(record_path(path), encoding="utf-8").read())


def manifest_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("manifest.json"))


@pytest.fixture(scope="module")
def grids(tmp_path_factory):
    """A map of four ranks in 24 × 24 cells and {names: stack of the same four bands under those names}."""
    folder = tmp_path_factory.mktemp("odd")
    rng = np.random.default_rng(5)
    ranks = np.repeat(np.repeat(np.array([[11, 13], [22, 40]]), 12, 0), 12, 1)
    noise = rng.normal(0, 1, (4, *ranks.shape))
    bands = np.array([ranks % 10 * 10 + 4 * noise[0], ranks // 20 * 30 + 6 * noise[1], noise[2], 5 + noise[3]],
                     dtype=np.float32)
    stacks = {names: write_raster(folder / f"stack{i}.tif", bands, nodata=-9999, descriptions=names)
              for i, names in enumerate((ODD, PLAIN))}
    return write_raster(folder / "pti.tif", ranks, nodata=0, dtype="uint8"), stacks


def chain(run, folder, pti, stack):
    """Train, predict and explain; return the paths of what was made."""
    folder.mkdir()
    made = run("trainxgboost", {**QUICK, "PTI": pti, "STACK": stack, "OUTPUT_MODEL": str(folder / "m.ptimodel"),
                                "OUTPUT_METRICS": str(folder / "m.csv"), "OUTPUT_SHAP": str(folder / "s.csv"),
                                "SELECT": "rfecv", "OUTPUT_SELECTION": str(folder / "f.csv")})
    made["map"] = run("predictxgboost", {"STACK": stack, "MODEL": made["OUTPUT_MODEL"],
                                         "OUTPUT": str(folder / "map.tif")})["OUTPUT"]
    made.update({f"drivers {name}": path for name, path in run("drivermaps", {
        "STACK": stack, "MODEL": made["OUTPUT_MODEL"], "RUNS": 2, "OUTPUT": str(folder / "d.tif"),
        "OUTPUT_GROUPS": str(folder / "g.tif"), "OUTPUT_CONTRIBUTIONS": str(folder / "c.tif"),
        "OUTPUT_TABLE": str(folder / "d.csv")}).items()})
    return made


def test_names_that_xgboost_refuses_go_through_the_chain_and_change_nothing_else(run, grids, tmp_path):
    pti, stacks = grids
    odd, plain = (chain(run, tmp_path / name, pti, stacks[names]) for name, names in (("odd", ODD), ("plain", PLAIN)))
    real = dict(zip(PLAIN, ODD))
    assert [feature["name"] for feature in manifest_of(odd["OUTPUT_MODEL"])["features"]] == [
        real[feature["name"]] for feature in manifest_of(plain["OUTPUT_MODEL"])["features"]]
    assert rows_of(odd["OUTPUT_METRICS"]) == rows_of(plain["OUTPUT_METRICS"])

    def shap(made, names):
        return {(row["level"], names.get(row["name"], row["name"]), row["class"]): row["mean_abs_shap"]
                for row in rows_of(made["OUTPUT_SHAP"])}

    assert shap(odd, {}) == shap(plain, real)
    np.testing.assert_array_equal(read_raster(odd["map"]), read_raster(plain["map"]))
    bands = [gdal.Open(made["drivers OUTPUT_CONTRIBUTIONS"]) for made in (odd, plain)]
    for number in range(1, bands[0].RasterCount + 1):
        name = bands[1].GetRasterBand(number).GetDescription()
        assert bands[0].GetRasterBand(number).GetDescription() == real.get(name, name)
    np.testing.assert_array_equal(*(source.ReadAsArray() for source in bands))
    table = {row["name"]: row["share_percent"] for row in rows_of(plain["drivers OUTPUT_TABLE"])}
    assert {row["name"]: row["share_percent"] for row in rows_of(odd["drivers OUTPUT_TABLE"])} == {
        real.get(name, name): value for name, value in table.items()}


def test_odd_names_pass_through_a_layer_of_samples(run, grids, tmp_path):
    pti, stacks = grids
    points = run("samplepoints", {"PTI": pti, "STACK": stacks[ODD], "PER_CLASS": 60, "SEED": 7,
                                  "OUTPUT": str(tmp_path / "points.gpkg")})["OUTPUT"]
    made = run("trainxgboost", {**QUICK, "SAMPLES": points, "OUTPUT_MODEL": str(tmp_path / "m.ptimodel"),
                                "OUTPUT_METRICS": str(tmp_path / "m.csv")})
    assert [feature["name"] for feature in manifest_of(made["OUTPUT_MODEL"])["features"]] == list(ODD)


def layer(path, driver, kind, fields, rows):
    """Write a layer in EPSG:4326; ``fields`` {name: OGR type}, ``rows`` [(WKT, values)]."""
    source = ogr.GetDriverByName(driver).CreateDataSource(str(path))
    system = osr.SpatialReference()
    system.ImportFromEPSG(4326)
    system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    made = source.CreateLayer(path.stem, system, kind)
    for name, of_type in fields.items():
        made.CreateField(ogr.FieldDefn(name, of_type))
    for wkt, values in rows:
        feature = ogr.Feature(made.GetLayerDefn())
        for i, value in enumerate(values):
            feature.SetField(i, value)
        feature.SetGeometry(ogr.CreateGeometryFromWkt(wkt))
        made.CreateFeature(feature)
    del made, source
    return str(path)


def points_with(path, names, driver="ESRI Shapefile", more=()):
    rng = np.random.default_rng(2)
    fields = {"pti": ogr.OFTInteger, **dict.fromkeys(names, ogr.OFTReal), **dict.fromkeys(more, ogr.OFTString)}
    rows = [(f"POINT({6 * i} {60 + i % 7})", [11 if i % 2 else 40, *(float(value) for value in rng.normal(i % 2 * 9, 2,
                                                                                                     len(names)))])
            for i in range(60)]
    return layer(path, driver, ogr.wkbPoint, fields, rows)


def trained(run, folder, samples):
    made = run("trainxgboost", {**QUICK, "BLOCK_KM": 500, "SAMPLES": samples,
                                "OUTPUT_MODEL": str(folder / "m.ptimodel"), "OUTPUT_METRICS": str(folder / "m.csv")})
    return ([feature["name"] for feature in manifest_of(made["OUTPUT_MODEL"])["features"]],
            record_of(made["OUTPUT_MODEL"])["warnings"])


def test_a_shapefile_that_cut_names_trains_on_all_predictors_and_says_so(run, tmp_path):
    given = ("elevation", "coarse_fragments", "water_content", "frozen_days", "extra")
    path = points_with(tmp_path / "p.shp", given, more=("remark",))
    names, warnings = trained(run, tmp_path, path)
    assert set(names) == set(given) - {"extra"}
    told = " ".join(warnings)
    for part in ("coarse_fra as coarse_fragments", "water_cont as water_content", "frozen_day as frozen_days",
                 "not used: extra."):
        assert part in told


@pytest.mark.parametrize("names, told", [
    (("elevation", "coarse_fr"), "'coarse_fr', which looks like coarse_fragments"),
    (("elevation", "water_co_1"), "'water_co_1', which looks like water_content"),
    (("lst", "COARSE_FRA", "coarse_fra"), "leave a choice"),
])
def test_a_field_that_looks_like_a_predictor_and_is_none_is_refused(run, tmp_path, names, told):
    from qgis.core import QgsProcessingException

    path = points_with(tmp_path / "p.geojson", names, "GeoJSON")
    with pytest.raises(QgsProcessingException, match=told):
        trained(run, tmp_path, path)


def test_a_predictor_that_holds_text_is_refused(run, tmp_path):
    from qgis.core import QgsProcessingException

    path = points_with(tmp_path / "p.gpkg", ("lst",), "GPKG", more=("elevation",))
    with pytest.raises(QgsProcessingException, match="'elevation' of the sample points is a predictor"):
        trained(run, tmp_path, path)


SQUARE = "POLYGON(({0} {1},{2} {1},{2} {3},{0} {3},{0} {1}))"


def square(west, north, size=4):
    return SQUARE.format(west, north, west + size, north - size)


@pytest.fixture(scope="module")
def degrees(tmp_path_factory):
    """Twenty rows from 80 to 60° N of 20 columns from 0 to 20° E, five rows a rank."""
    ranks = np.repeat(np.array([11, 12, 13, 21]), 5)[:, None] * np.ones((1, 20), dtype=int)
    return write_raster(tmp_path_factory.mktemp("degrees") / "pti.tif", ranks, nodata=0, crs="EPSG:4326",
                        transform=(0.0, 1.0, 0.0, 80.0, 0.0, -1.0), dtype="uint8")


FORMS = [("GPKG", "gpkg", ogr.wkbGeometryCollection), ("GPKG", "gpkg", ogr.wkbUnknown), ("GeoJSON", "geojson",
                                                                                     ogr.wkbUnknown)]


@pytest.mark.parametrize("driver, ending, kind", FORMS)
def test_zones_in_geometry_collections_are_those_of_their_polygons(run, degrees, tmp_path, driver, ending, kind):
    shapes = {"a": [square(0, 80)], "b": [square(5, 75), square(10, 75)]}
    fields = {"name": ogr.OFTString}
    plain = layer(tmp_path / "plain.gpkg", "GPKG", ogr.wkbMultiPolygon, fields, [
        ("MULTIPOLYGON(" + ",".join(shape[7:] for shape in parts) + ")", [name]) for name, parts in shapes.items()])
    odd = layer(tmp_path / f"odd.{ending}", driver, kind, fields, [
        (f"GEOMETRYCOLLECTION({','.join(parts)},POINT(1 1),LINESTRING(0 0,1 1))", [name])
        for name, parts in shapes.items()])
    tables = []
    for path in (plain, odd):
        made = run("summarizezones", {"PTI": degrees, "ZONES": path, "FIELD": "name",
                                      "OUTPUT_TABLE": str(tmp_path / "z.csv")})
        tables.append(rows_of(made["OUTPUT_TABLE"]))
    assert [row["zone"] for row in tables[0]] == ["Whole map", "a", "b"] and tables[0] == tables[1]


@pytest.mark.parametrize("driver, ending, kind", FORMS)
def test_points_in_geometry_collections_are_compared_and_learned_from(run, degrees, tmp_path, driver, ending, kind):
    fields = {"cls": ogr.OFTInteger, "pti": ogr.OFTInteger, "lst": ogr.OFTReal}
    rows = [(f"GEOMETRYCOLLECTION(POINT({0.5 + i % 18} {79.5 - i % 20}))",
             [(11, 12, 13, 21)[i % 20 // 5] if i % 3 else 40, 11 if i % 2 else 40, float(i % 2)]) for i in range(40)]
    # two points leave a choice, a polygon is no point, and a point beside a polygon is one
    rows += [("GEOMETRYCOLLECTION(POINT(1 79),POINT(2 78))", [11, 11, 0.0]),
             (f"GEOMETRYCOLLECTION({square(0, 70)})", [11, 11, 0.0]),
             (f"GEOMETRYCOLLECTION(POINT(19.5 61.5),{square(0, 70)})", [21, 11, 0.0])]
    path = layer(tmp_path / f"points.{ending}", driver, kind, fields, rows)
    made = run("assessaccuracy", {"CLASSIFIED": degrees, "REFERENCE_POINTS": path, "FIELD": "cls",
                                  "OUTPUT_TABLE": str(tmp_path / "a.csv")})
    overall = next(row for row in rows_of(made["OUTPUT_TABLE"]) if row["line"] == "overall accuracy")
    right = sum(i % 3 > 0 for i in range(40)) + 1
    assert float(overall["value"]) == pytest.approx(100 * right / 41, abs=0.01) and int(overall["n"]) == 41
    names, warnings = trained(run, tmp_path, path)
    assert names == ["lst"] and any("2 of 43 sample points lack a place" in warning for warning in warnings)


def test_a_layer_that_holds_no_points_is_refused_for_what_it_is(run, tmp_path):
    from qgis.core import QgsProcessingException

    path = layer(tmp_path / "p.gpkg", "GPKG", ogr.wkbPolygon, {"pti": ogr.OFTInteger, "lst": ogr.OFTReal},
                 [(square(0, 70), [11, 1.0])])
    with pytest.raises(QgsProcessingException, match="not a point layer, but one of Polygon"):
        trained(run, tmp_path, path)
