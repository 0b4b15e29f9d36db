"""The tools as PyQGIS, the toolbox and the modeler call them: inputs, outputs, styles, records, cancelling."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from pti_plugin.core.common.departures import paper_choices
from support import read_raster, record_in

TOOLS = ("ensemblepermafrost", "ensemblelandcover", "trendrasters", "buildpti", "trainxgboost", "predictxgboost",
         "validateboreholes")
#: parameters whose value the profile, or what is given beside them, decides
DECIDED = ("MAX_MISSING", "SHAP_RUNS")
QUICK = {"RUNS": 2, "ROUNDS": 3, "PER_CLASS": 30, "BLOCK_KM": 150, "SEED": 7}


def inputs_of(tool, world, made):
    """Return the parameters of ``tool`` without its outputs, every layer as a path."""
    index, ensemble = made["index"], made["ensemble"]
    return {
        "ensemblepermafrost": {"PP": world.pp, "MAGT": world.magt, "TARGET": world.glcc},
        "ensemblelandcover": {"CCI": world.cci, "GLCC": world.glcc, "CAVM": world.cavm},
        "trendrasters": {"INPUT": world.magt_series, "STEP_YEAR": 2006, "TARGET": world.glcc},
        "buildpti": {"MAGT": ensemble["OUTPUT_MAGT"], "PP": ensemble["OUTPUT_PP"], "BASE": ensemble["OUTPUT_BASE"],
                     "MAGT_TREND": made["magt_trend"]["OUTPUT_SIGN"], "ALT_TREND": made["alt_trend"]["OUTPUT_SIGN"],
                     "PROFILE": 1, "UNITS": "*magt.tif=degC"},
        "trainxgboost": {"PTI": index["OUTPUT"], "STACK": world.stack, **QUICK, "SELECT": "rfecv"},
        "predictxgboost": {"STACK": world.stack, "MODEL": made["train"]["OUTPUT_MODEL"],
                           "BASE": ensemble["OUTPUT_BASE"], "REFERENCE": index["OUTPUT"], "BUFFER_KM": 0},
        "validateboreholes": {"PTI": index["OUTPUT"], "STATIONS_MAGT": world.stations_magt,
                              "STATIONS_ALT": world.stations_alt, "MAGT": ensemble["OUTPUT_MAGT"],
                              "OTHER_MAPS": [index["OUTPUT"]],
                              "PP": ensemble["OUTPUT_PP"], "METRICS": made["train"]["OUTPUT_METRICS"],
                              "SHAP": made["train"]["OUTPUT_SHAP"]},
    }[tool]


def destinations(provider, tool):
    return [item for item in provider.algorithm(tool).parameterDefinitions() if item.isDestination()]


def outputs_in(folder, provider, tool):
    """Return a path below ``folder`` for every output of ``tool``."""
    made = {}
    for item in destinations(provider, tool):
        ending = {"rasterDestination": "tif", "vectorDestination": "gpkg"}.get(item.type())
        made[item.name()] = str(folder / f"{item.name().lower()}.{ending or item.defaultFileExtension()}")
    return made


def as_layers(provider, tool, parameters, change):
    """Return ``parameters`` with each raster path changed by ``change``."""
    kinds = {item.name(): item.type() for item in provider.algorithm(tool).parameterDefinitions()}
    changed = dict(parameters)
    for name, value in parameters.items():
        if kinds[name] == "raster":
            changed[name] = change(value)
        elif kinds[name] == "multilayer":
            changed[name] = [change(path) for path in value]
    return changed


def digest(path):
    """Return the checksum of an output; a GeoPackage, which holds its own time, is read as its rows."""
    if str(path).endswith(".gpkg"):
        from osgeo import ogr

        source = ogr.Open(str(path))
        return [feature.ExportToJson() for feature in source.GetLayer(0)]
    return digest_of_file(path)


def digest_of_file(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def digests(outputs, but=()):
    return {name: digest(path) for name, path in outputs.items() if name not in but}


@pytest.fixture(scope="module")
def from_paths(world, made, provider, tmp_path_factory):
    """Return a function of a tool's id: all outputs of the tool, run once on paths."""
    import processing

    kept = {}

    def run(tool):
        if tool not in kept:
            folder = tmp_path_factory.mktemp(tool)
            kept[tool] = processing.run(f"pti:{tool}", {**inputs_of(tool, world, made),
                                                        **outputs_in(folder, provider, tool)})
        return kept[tool]

    return run


@pytest.mark.parametrize("tool", TOOLS)
def test_every_output_asked_for_is_made_with_one_record_beside_it(tool, from_paths, provider):
    results = from_paths(tool)
    assert set(results) == {item.name() for item in destinations(provider, tool)}
    folder = Path(next(iter(results.values()))).parent
    made = {Path(path).name for path in results.values()}
    found = {path.name for path in folder.iterdir() if not path.name.endswith((".aux.xml", ".qml"))}
    records = {name for name in found if name.endswith(".provenance.json")}
    assert found - records == made and len(records) == 1


# report and figure are slow and take no layer but the map, which the other tools cover
@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool != "validateboreholes"])
def test_layers_and_layers_of_the_project_give_what_paths_give(tool, from_paths, world, made, provider, tmp_path):
    import processing
    from qgis.core import QgsProject, QgsRasterLayer

    layers = {}

    def layer(path):
        layers[path] = layers.get(path) or QgsRasterLayer(path, Path(path).stem)
        return layers[path]

    def layer_id(path):
        QgsProject.instance().addMapLayer(layer(path))
        return layer(path).id()

    expected = digests(from_paths(tool))
    try:
        for kind, change in (("objects", layer), ("ids", layer_id)):
            (tmp_path / kind).mkdir()
            results = processing.run(f"pti:{tool}", {
                **as_layers(provider, tool, inputs_of(tool, world, made), change),
                **outputs_in(tmp_path / kind, provider, tool)})
            assert digests(results) == expected, kind
            record = record_beside(results)
            assert {entry["path"] for entry in record["inputs"]} <= {*all_paths(inputs_of(tool, world, made))}, kind
    finally:
        QgsProject.instance().clear()


def all_paths(parameters):
    """Yield every path among the parameters."""
    for value in parameters.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and Path(item).is_file():
                yield item


def record_beside(results):
    found = {path for output in results.values()
             for path in Path(output).parent.glob("*.provenance.json")}
    assert len(found) == 1
    return record_in(found.pop())


@pytest.mark.parametrize("tool", TOOLS)
def test_temporary_outputs_are_made_and_optional_ones_are_not(tool, world, made, provider):
    import processing

    mandatory = [item.name() for item in destinations(provider, tool) if not item.flags() & item.FlagOptional]
    results = processing.run(f"pti:{tool}", {**inputs_of(tool, world, made),
                                             **{name: "TEMPORARY_OUTPUT" for name in mandatory}})
    assert set(results) == set(mandatory)
    for name, result in results.items():
        path = result if isinstance(result, str) else result.source()
        assert Path(path.split("|")[0]).stat().st_size > 0, name


# the record

@pytest.mark.parametrize("tool", TOOLS)
def test_record_tells_inputs_parameters_profile_versions_seed_and_warnings(tool, from_paths, world, made, provider):
    record = record_beside(from_paths(tool))
    assert record["tool"] == tool and record["plugin_version"] == provider.versionInfo()
    for entry in record["inputs"]:
        content = Path(entry["path"]).read_bytes()
        assert entry["size_bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    given = inputs_of(tool, world, made)
    assert {entry["path"] for entry in record["inputs"]} == {*all_paths(given)}
    assert {entry["role"] for entry in record["inputs"]} <= set(given)
    for name, value in given.items():
        assert record["parameters"][name] == value, name
    assert set(record["parameters"]) == {item.name() for item in provider.algorithm(tool).parameterDefinitions()}
    assert record["outputs"] == from_paths(tool)
    assert {"python", "numpy", "gdal"} <= set(record["versions"])
    assert isinstance(record["warnings"], list) and record["results"]
    if "PROFILE" in record["parameters"]:
        published = given.get("PROFILE") == 1
        assert record["profile"] == ("as_published" if published else "defensible")
        # the world of these tests has no water to leave out
        assert not published or set(record["departures_from_the_paper"]) <= {"EXCLUDE_CODES"}
    if tool == "trainxgboost":
        assert record["seed"] == 7 and record["versions"]["xgboost"]


@pytest.mark.parametrize("tool", TOOLS)
def test_the_record_holds_every_choice_that_the_paper_states(tool, from_paths, provider):
    record = record_beside(from_paths(tool))
    choices = record["choices"]
    stated = {paper.choice for paper in paper_choices() if paper.tool == record["tool"]}
    assert stated <= set(choices), stated - set(choices)
    assert "by_profile" not in choices.values() and "auto" not in choices.values()
    for item in provider.algorithm(tool).parameterDefinitions():
        if item.type() in ("number", "boolean") and item.name() in choices and item.name() not in DECIDED:
            assert choices[item.name()] == record["parameters"][item.name()], item.name()
        if item.type() == "enum" and item.name() in choices and not item.usesStaticStrings():
            word = item.options()[record["parameters"][item.name()]]
            assert word in ("by_profile", choices[item.name()]) or item.name() in DECIDED


@pytest.mark.parametrize("tool", TOOLS)
def test_a_run_repeated_from_its_record_gives_the_same_bytes(tool, from_paths, provider, tmp_path):
    import processing

    record = record_beside(from_paths(tool))
    outputs = outputs_in(tmp_path, provider, record["tool"])
    results = processing.run(f"pti:{record['tool']}", {**record["parameters"], **outputs})
    # the report names the files it was made of, which stand elsewhere the second time
    but = ("OUTPUT_REPORT",)
    assert digests(results, but) == digests(from_paths(tool), but)


# what the toolbox does with results

def test_loaded_rasters_are_styled(world, made, provider, qgis_app, tmp_path):
    from processing.core.Processing import Processing
    from processing.gui.Postprocessing import handleAlgorithmResults
    from qgis.core import QgsProcessingContext, QgsProcessingFeedback, QgsProject

    from pti_plugin.core.common.ranks import RANKS

    project, context = QgsProject(), QgsProcessingContext()
    context.setProject(project)
    results = {}
    for tool, names in (("buildpti", ("OUTPUT", "OUTPUT_REASON")), ("trendrasters", ("OUTPUT_SLOPE", "OUTPUT_SIGN"))):
        outputs = {name: str(tmp_path / f"{tool}_{name}.tif") for name in names}
        for name, path in outputs.items():
            context.addLayerToLoadOnCompletion(
                path, QgsProcessingContext.LayerDetails(name, project, name))
        results.update({f"{tool} {name}": path for name, path in Processing.runAlgorithm(
            f"pti:{tool}", {**inputs_of(tool, world, made), **outputs}, context=context,
            feedback=QgsProcessingFeedback()).items()})
    handleAlgorithmResults(provider.algorithm("buildpti"), context, QgsProcessingFeedback(), False)
    loaded = {layer.source(): layer for layer in project.mapLayers().values()}

    def classes(key):
        return {item.value: (item.label, item.color.name()) for item in loaded[results[key]].renderer().classes()}

    assert classes("buildpti OUTPUT") == {rank.code: (rank.label, rank.colour) for rank in RANKS}
    assert "Isolated: PP below the limit" in [label for label, _ in classes("buildpti OUTPUT_REASON").values()]
    assert set(classes("trendrasters OUTPUT_SIGN")) == {-1, 0, 1}
    slope = loaded[results["trendrasters OUTPUT_SLOPE"]].renderer()
    assert slope.type() == "singlebandpseudocolor"
    shader = slope.shader().rasterShaderFunction()
    assert shader.minimumValue() == -shader.maximumValue() < 0


def test_classes_carry_names_and_colours_in_the_file_itself(from_paths):
    from osgeo import gdal

    from pti_plugin.core.common.ranks import RANKS, hex_to_rgb

    dataset = gdal.Open(from_paths("buildpti")["OUTPUT"])
    band = dataset.GetRasterBand(1)
    # GDAL 3.6 reads the names with the description only
    assert band.GetDescription() == "Permafrost Thaw Index"
    for rank in RANKS:
        assert band.GetCategoryNames()[rank.code] == rank.label
        assert band.GetColorTable().GetColorEntry(rank.code)[:3] == hex_to_rgb(rank.colour)


def test_a_tool_runs_as_a_background_task(world, made, provider, qgis_app, tmp_path, monkeypatch):
    from qgis.core import QgsProcessingAlgRunnerTask, QgsProcessingContext, QgsProcessingFeedback, QgsRasterLayer
    from qgis.PyQt.QtCore import QThread

    context, feedback, finished = QgsProcessingContext(), QgsProcessingFeedback(), []
    tool, threads = provider.algorithm("ensemblepermafrost"), []
    compute = type(tool).compute
    monkeypatch.setattr(type(tool), "compute", lambda *arguments: (
        threads.append(QThread.currentThread() is qgis_app.thread()), compute(*arguments))[1])
    parameters = as_layers(provider, "ensemblepermafrost", inputs_of("ensemblepermafrost", world, made),
                           lambda path: QgsRasterLayer(path, "layer"))
    task = QgsProcessingAlgRunnerTask(tool, {**parameters, **outputs_in(tmp_path, provider, "ensemblepermafrost")},
                                      context, feedback)
    task.executed.connect(lambda good, results: finished.append((good, results)))
    qgis_app.taskManager().addTask(task)
    for _ in range(1000):
        qgis_app.processEvents()
        if finished:
            break
        QThread.msleep(20)
    (good, results), = finished
    assert good, feedback.textLog()
    assert digests(results) == digests(made["ensemble"])
    assert threads == [False]


# learning from points

def point_layer(world, made, multi=False, crs="EPSG:6931"):
    """Return a memory layer with a point on every ranked cell of the small world, on its grid's CRS."""
    from osgeo import gdal
    from qgis.core import QgsFeature, QgsGeometry, QgsPointXY, QgsVectorLayer

    names = ("lst", "land_cover", "elevation", "soc")
    fields = "&".join(f"field={name}:{'integer' if name in ('pti', 'land_cover') else 'double'}"
                      for name in ("pti", *names))
    layer = QgsVectorLayer(f"{'MultiPoint' if multi else 'Point'}?crs={crs}&{fields}", "samples", "memory")
    ranks = read_raster(made["index"]["OUTPUT"])
    bands = [read_raster(world.stack, band) for band in range(1, 5)]
    dataset = gdal.Open(world.stack)
    left, size, _, top, _, _ = dataset.GetGeoTransform()
    features = []
    for row, column in np.argwhere(ranks > 0):
        values = [band[row, column] for band in bands]
        if np.isnan(values).any():
            continue
        feature = QgsFeature(layer.fields())
        point = QgsPointXY(left + size * (column + 0.5), top - size * (row + 0.5))
        feature.setGeometry(QgsGeometry.fromMultiPointXY([point]) if multi else QgsGeometry.fromPointXY(point))
        feature.setAttributes([int(ranks[row, column]), float(values[0]), int(values[1]), *map(float, values[2:])])
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    return layer, len(features)


def model_of(path):
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("manifest.json"))


def train(parameters, folder):
    import processing

    outputs = {"OUTPUT_MODEL": str(folder / "m.ptimodel"), "OUTPUT_METRICS": str(folder / "m.csv")}
    return processing.run("pti:trainxgboost", {**QUICK, **parameters, **outputs})


def test_training_from_points_equals_training_from_the_rasters_they_were_taken_from(world, made, provider, tmp_path):
    layer, count = point_layer(world, made)
    (tmp_path / "points").mkdir()
    (tmp_path / "rasters").mkdir()
    points = train({"SAMPLES": layer}, tmp_path / "points")
    # so many a rank that every cell is drawn
    rasters = train({"PTI": made["index"]["OUTPUT"], "STACK": world.stack, "PER_CLASS": 10000}, tmp_path / "rasters")
    first, second = model_of(points["OUTPUT_MODEL"]), model_of(rasters["OUTPUT_MODEL"])
    assert first["samples"] == second["samples"] == count
    assert first["codes"] == second["codes"] and len(first["codes"]) == 10
    assert [feature["name"] for feature in first["features"]] == ["lst", "land_cover", "soc", "elevation"]
    assert [feature["name"] for feature in first["features"] if feature["categorical"]] == ["land_cover"]
    record = json.loads((tmp_path / "points" / "m.provenance.json").read_text(encoding="utf-8"))
    assert [entry["role"] for entry in record["inputs"]] == ["SAMPLES"]
    assert record["results"]["samples"] == count and len(record["results"]["samples_sha256"]) == 64
    assert [warning for warning in record["warnings"] if "not in a file" in warning]


def test_points_from_a_file_are_in_the_record_with_their_checksum(world, made, provider, tmp_path):
    import processing

    path = str(tmp_path / "samples.gpkg")
    processing.run("native:savefeatures", {"INPUT": point_layer(world, made)[0], "OUTPUT": path})
    # points alone have no area, which is warned of unless it is not asked for
    train({"SAMPLES": f"{path}|layername=samples", "CLASS_WEIGHTS": "none"}, tmp_path)
    record = record_in(tmp_path / "m.provenance.json")
    entry, = record["inputs"]
    assert entry["path"] == path and entry["sha256"] == digest_of_file(path)
    first = digest_of_file(tmp_path / "m.ptimodel")
    train({**record["parameters"]}, tmp_path)
    assert digest_of_file(tmp_path / "m.ptimodel") == first and not record["warnings"]


def test_points_in_another_crs_and_multipoints_train_the_same_model(world, made, provider, tmp_path):
    import processing

    layer, _ = point_layer(world, made)
    degrees = processing.run("native:reprojectlayer", {"INPUT": layer, "TARGET_CRS": "EPSG:4326",
                                                       "OUTPUT": "memory:"})["OUTPUT"]
    found = []
    for name, samples in (("polar", layer), ("degrees", degrees), ("multi", point_layer(world, made, multi=True)[0])):
        (tmp_path / name).mkdir()
        found.append([booster["sha256"] for booster in
                      model_of(train({"SAMPLES": samples}, tmp_path / name)["OUTPUT_MODEL"])["boosters"]])
    assert found[0] == found[1] == found[2]


def test_points_without_a_value_are_left_out_and_counted(world, made, provider, tmp_path):
    layer, count = point_layer(world, made)
    ids = [feature.id() for feature in layer.getFeatures()]
    lst = layer.fields().indexOf("lst")
    layer.dataProvider().changeAttributeValues({ids[0]: {lst: None}, ids[1]: {lst: float("nan")}})
    results = train({"SAMPLES": layer, "MAX_MISSING": 0}, tmp_path)
    assert model_of(results["OUTPUT_MODEL"])["samples"] == count - 2
    record = json.loads((tmp_path / "m.provenance.json").read_text(encoding="utf-8"))
    assert [warning for warning in record["warnings"] if warning.startswith(f"2 of {count} ") and "lst 2" in warning]
    # a gap is no reason to leave a point out unless it is one too many
    found = model_of(train({"SAMPLES": layer}, tmp_path)["OUTPUT_MODEL"])
    assert found["samples"] == count and found["samples_lacking"]["lst"] == 2


@pytest.mark.parametrize("crs, drop, said", [
    ("", None, "no CRS"),
    ("EPSG:6931", ["pti"], "no field 'pti'"),
    ("EPSG:6931", ["lst", "land_cover", "elevation", "soc"], "none of the predictors"),
])
def test_unusable_points_are_refused_by_name(world, made, provider, tmp_path, crs, drop, said):
    layer, _ = point_layer(world, made, crs=crs)
    if drop:
        layer.dataProvider().deleteAttributes([layer.fields().indexOf(name) for name in drop])
        layer.updateFields()
    message = failure("trainxgboost", {**QUICK, "SAMPLES": layer, "OUTPUT_MODEL": str(tmp_path / "m.ptimodel"),
                                       "OUTPUT_METRICS": str(tmp_path / "m.csv")})
    assert said in message
    assert not list(tmp_path.iterdir())


def test_a_layer_that_holds_no_points_is_refused(provider, tmp_path):
    from qgis.core import QgsVectorLayer

    layer = QgsVectorLayer("Polygon?crs=EPSG:6931&field=pti:integer&field=lst:double", "areas", "memory")
    assert "not a point layer" in failure("trainxgboost", {
        "SAMPLES": layer, "OUTPUT_MODEL": str(tmp_path / "m.ptimodel"), "OUTPUT_METRICS": str(tmp_path / "m.csv")})


def failure(tool, parameters, feedback=None):
    """Return the message of a run that must fail."""
    import processing
    from qgis.core import QgsProcessingException, QgsProcessingFeedback

    with pytest.raises(QgsProcessingException) as caught:
        processing.run(f"pti:{tool}", parameters, feedback=feedback or QgsProcessingFeedback())
    return str(caught.value)


# cancelling

@pytest.mark.parametrize("tool", TOOLS)
def test_cancelling_a_running_tool_fails_it_and_leaves_no_file(tool, world, made, provider, tmp_path):
    from qgis.core import QgsProcessingFeedback

    feedback = QgsProcessingFeedback()
    seen = []

    def stop(percent):
        seen.append(percent)
        feedback.cancel()

    feedback.progressChanged.connect(stop)
    # BLOCK_SIZE is no parameter of some tools and then ignored
    told = failure(tool, {**inputs_of(tool, world, made), **outputs_in(tmp_path, provider, tool), "BLOCK_SIZE": 8},
                   feedback)
    assert seen and seen[0] < 100, "the tool never reported progress"
    assert "cancelled" in told
    assert not list(tmp_path.iterdir())
