"""Bad input gives a clear error, a non-zero exit code and nothing at the output path, whatever the tool.

The runs of qgis_process are made two at a time, before the first of them is judged.
"""

import json
import os
import subprocess
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from support import Finished, read_raster, refusal, standing, write_raster

Case = namedtuple("Case", "tool parameters said environment remedy", defaults=(None, None))
Case.__doc__ = """One bad call: tool, its parameters, the texts its message must hold, perhaps an environment, and the
parameters to change for the remedy that the message offers (None: no remedy to try)."""

#: outputs of every tool; {out} is a folder of the case's own
OUTPUTS = {
    "ensemblepermafrost": {"OUTPUT_BASE": "{out}/base.tif", "OUTPUT_PP": "{out}/pp.tif",
                           "OUTPUT_MAGT": "{out}/magt.tif", "OUTPUT_SPREAD": "{out}/spread.tif"},
    "ensemblelandcover": {"OUTPUT": "{out}/cover.tif", "OUTPUT_SOURCE": "{out}/source.tif"},
    "trendrasters": {"OUTPUT_SLOPE": "{out}/slope.tif", "OUTPUT_SIGN": "{out}/sign.tif"},
    "buildpti": {"OUTPUT": "{out}/pti.tif", "OUTPUT_REASON": "{out}/reason.tif", "OUTPUT_TABLE": "{out}/area.csv"},
    "trainxgboost": {"OUTPUT_MODEL": "{out}/model.ptimodel", "OUTPUT_METRICS": "{out}/metrics.csv"},
    "predictxgboost": {"OUTPUT": "{out}/map.tif", "OUTPUT_AGREEMENT": "{out}/agreement.tif"},
    "validateboreholes": {"OUTPUT": "{out}/stations.gpkg", "OUTPUT_TABLE": "{out}/stations.csv",
                          "OUTPUT_REPORT": "{out}/report.html"},
}
#: a call of every tool that succeeds; {in} is the folder of the inputs
GOOD = {
    "ensemblepermafrost": {"PP": ["{in}/pp_a.tif", "{in}/pp_b.tif"], "MAGT": ["{in}/magt_a.tif", "{in}/magt_b.tif"]},
    "ensemblelandcover": {"CCI": "{in}/cci_2020.tif"},
    "trendrasters": {"INPUT": [f"{{in}}/magt_{year}.tif" for year in range(2000, 2008)]},
    "buildpti": {"MAGT": "{in}/magt_a.tif", "PP": "{in}/pp_a.tif", "BASE": "{in}/base.tif",
                 "MAGT_TREND": "{in}/sign_25.tif", "ALT_TREND": "{in}/sign_25.tif"},
    "trainxgboost": {"PTI": "{in}/pti.tif", "STACK": "{in}/stack.tif", "RUNS": 2, "ROUNDS": 3, "BLOCK_KM": 100},
    "predictxgboost": {"STACK": "{in}/stack.tif", "MODEL": "{in}/good.ptimodel"},
    "validateboreholes": {"PTI": "{in}/pti.tif", "STATIONS_MAGT": "{in}/stations.csv"},
}


def bad(tool, changes, *said, environment=None, remedy=None):
    return Case(tool, {**GOOD[tool], **OUTPUTS[tool], **changes}, said, environment, remedy)


#: what the issue of the main job asks of every tool: each case is a run of qgis_process
HEADLESS = {
    **{f"no parameters, {tool}": Case(tool, {}, ("mandatory parameters were not specified", output))
       for tool, output in (("ensemblepermafrost", "OUTPUT_BASE"), ("validateboreholes", "STATIONS_MAGT"))},
    "missing file": bad("ensemblepermafrost", {"PP": ["{in}/pp_a.tif", "{in}/pp_gone.tif"]},
                        "PP: The raster {in}/pp_gone.tif does not exist"),
    "output not writable": bad("ensemblepermafrost", {"OUTPUT_MAGT": "{locked}/magt.tif"},
                               "{locked}/magt.tif cannot be written"),
    "output is an input": bad("ensemblepermafrost", {"OUTPUT_MAGT": "{in}/magt_a.tif"},
                              "{in}/magt_a.tif is an input of this run", "another name"),
    "xgboost missing": bad("trainxgboost", {}, "'xgboost' is needed for training", "pip install xgboost-cpu",
                           environment={"PYTHONPATH": "{hidden}"}),
    "xgboost broken": bad("predictxgboost", {}, "'xgboost' is needed for", "built for another numpy",
                          "pip install xgboost-cpu", environment={"PYTHONPATH": "{broken}"}),
    "malformed station line": bad("validateboreholes", {"STATIONS_MAGT": "{in}/stations_malformed.csv"},
                                  "{in}/stations_malformed.csv, line 4", "5 fields where the header has 6"),
}

#: further ways to the same refusals, run through Processing inside the test
INSIDE = {
    "PP 0 to 1": bad("ensemblepermafrost", {"PP": ["{in}/pp_a.tif", "{in}/pp_fraction.tif"]},
                     "pp_fraction.tif runs from 0.1 to 0.9", "set UNITS to pp_fraction.tif=fraction",
                     remedy={"UNITS": "pp_fraction.tif=fraction"}),
    "layers out of order": bad("trendrasters", {"INPUT": [f"{{in}}/magt_{year}.tif" for year in (
                                   2000, 2001, 2003, 2002, 2004, 2005, 2006, 2007)]},
                               "magt_2002.tif (2002) comes after magt_2003.tif (2003)", "SORT",
                               remedy={"SORT": "true"}),
    "output below a file": bad("buildpti", {"OUTPUT": "{in}/stations.csv/pti.tif"}, "{in}/stations.csv/pti.tif"),
    "a model with a flipped byte": bad("predictxgboost", {"MODEL": "{in}/flipped.ptimodel"}, "{in}/flipped.ptimodel",
                                       "damaged"),
    "Kelvin": bad("ensemblepermafrost", {"MAGT": ["{in}/magt_a.tif", "{in}/magt_kelvin.tif"]},
                  "magt_kelvin.tif runs from 266.1 to 274.1", "set UNITS to magt_kelvin.tif=K",
                  remedy={"UNITS": "magt_kelvin.tif=K"}),
    "different grids": bad("ensemblepermafrost", {"PP": ["{in}/pp_a.tif", "{in}/pp_coarse.tif"],
                                                  "MAGT": ["{in}/magt_a.tif", "{in}/magt_shifted.tif"]},
                           "pp_coarse.tif is not on the grid of pp_a.tif", "3 x 2 cells, not 6 x 4",
                           "magt_shifted.tif is not on the grid of pp_a.tif: it is shifted by 0.5 cells", "TARGET",
                           remedy={"TARGET": "{in}/pp_a.tif"}),
    "one product": bad("ensemblepermafrost", {"PP": "{in}/pp_a.tif"}, "PP needs at least 2", "1 given", "pp_a.tif"),
    "trends of 25 and 24 years": bad("buildpti", {"ALT_TREND": "{in}/sign_24.tif"},
                                     "sign_25.tif 1997–2021 (25 layers)", "sign_24.tif 1998–2021 (24 layers)",
                                     "same years", remedy={"ALT_TREND": "{in}/sign_25.tif"}),
    "no CRS": bad("ensemblepermafrost", {"PP": ["{in}/pp_a.tif", "{in}/pp_no_crs.tif"]}, "pp_no_crs.tif has no CRS",
                  "Assign"),
    "all nodata": bad("ensemblepermafrost", {"PP": ["{in}/pp_a.tif", "{in}/pp_empty.tif"]},
                      "pp_empty.tif has no data at all", "nodata"),
    "output in no folder": bad("ensemblepermafrost", {"OUTPUT_PP": "{out}/nowhere/pp.tif"},
                               "{out}/nowhere/pp.tif does not exist", "Create it"),
    "output is a folder": bad("trendrasters", {"OUTPUT_SIGN": "{in}/folder.tif"}, "{in}/folder.tif is a folder"),
    "a stack without a predictor": bad("predictxgboost", {"STACK": "{in}/stack_lacking.tif"},
                                       "stack_lacking.tif lacks elevation", "lst"),
    "unknown pattern in UNITS": bad("ensemblepermafrost", {"UNITS": "obu*=fraction"},
                                    "'obu*' in UNITS matches none of the inputs", "pp_a.tif"),
    "unknown land-cover code": bad("ensemblelandcover", {"CCI": "{in}/cci_2021.tif"}, "LandCover_CCI 33 (2 cells)",
                                   "CROSSWALK"),
    "faulty crosswalk": bad("ensemblelandcover", {"CROSSWALK": "{in}/crosswalk.csv"}, "crosswalk.csv, line 3", "999"),
    "a model that is garbage": bad("predictxgboost", {"MODEL": "{in}/garbage.ptimodel"},
                                   "{in}/garbage.ptimodel is not a PTI model file"),
    "doubled band names": bad("predictxgboost", {"STACK": "{in}/stack_doubled.tif"},
                              "stack_doubled.tif has lst twice"),
    "unknown pattern in ABSENT": bad("ensemblepermafrost", {"ABSENT": "cci*"},
                                     "'cci*' in ABSENT matches none of the inputs"),
    "nothing to learn from": bad("trainxgboost", {"PTI": "", "STACK": ""}, "give SAMPLES", "PTI and STACK"),
    "missing raster": bad("buildpti", {"MAGT": "{in}/magt_gone.tif"}, "MAGT", "{in}/magt_gone.tif does not exist"),
    "missing target": bad("ensemblepermafrost", {"TARGET": "{in}/grid_gone.tif"}, "{in}/grid_gone.tif does not exist"),
    "missing model": bad("predictxgboost", {"MODEL": "{in}/gone.ptimodel"}, "{in}/gone.ptimodel does not exist"),
    "missing samples": bad("trainxgboost", {"SAMPLES": "{in}/gone.gpkg", "PTI": "", "STACK": ""}, "{in}/gone.gpkg"),
    "missing station table": bad("validateboreholes", {"STATIONS_MAGT": "{in}/gone.csv"}, "{in}/gone.csv"),
    "missing crosswalk": bad("ensemblelandcover", {"CROSSWALK": "{in}/gone.csv"},
                             "{in}/gone.csv cannot be read: No such file"),
    "a text file for a raster": bad("buildpti", {"PP": "{in}/stations.csv"},
                                    "PP: The raster {in}/stations.csv cannot be opened"),
    "a truncated raster": bad("buildpti", {"PP": "{in}/truncated.tif", "TARGET": "{in}/grid.tif"},
                              "truncated.tif cannot be read"),
    "PP 0 to 1 in buildpti": bad("buildpti", {"PP": "{in}/pp_fraction.tif"}, "set UNITS to pp_fraction.tif=fraction",
                                 remedy={"UNITS": "pp_fraction.tif=fraction"}),
    "Kelvin in buildpti": bad("buildpti", {"MAGT": "{in}/magt_kelvin.tif"}, "set UNITS to magt_kelvin.tif=K",
                              remedy={"UNITS": "magt_kelvin.tif=K"}),
    "neither degC nor K": bad("ensemblepermafrost", {"MAGT": ["{in}/magt_a.tif", "{in}/pp_flagged.tif"]},
                              "pp_flagged.tif runs from 10 to 254", "flag codes"),
    "different CRS": bad("buildpti", {"BASE": "{in}/base_3995.tif"}, "base_3995.tif is not on the grid of magt_a.tif",
                         "its CRS is EPSG:3995, not EPSG:6931", "TARGET", remedy={"TARGET": "{in}/magt_a.tif"}),
    "one product twice": bad("ensemblepermafrost", {"MAGT": ["{in}/magt_a.tif"] * 2}, "MAGT product is given twice"),
    "a trend that is no sign raster": bad("buildpti", {"ALT_TREND": "{in}/pp_a.tif"}, "pp_a.tif holds the value"),
    "no CRS in a series": bad("trendrasters", {"INPUT": ["{in}/pp_no_crs.tif", "{in}/pp_a.tif"]},
                              "pp_no_crs.tif has no CRS"),
    "all nodata in buildpti": bad("buildpti", {"BASE": "{in}/base_empty.tif"}, "base_empty.tif has no data at all"),
    "all nodata in trendrasters": bad("trendrasters", {"INPUT": "{in}/series_empty.tif", "START": "2000"}, "empty",
                                      "nodata"),
    "no time in trendrasters": bad("trendrasters", {"INPUT": "{in}/series_empty.tif"}, "carries no time", "START"),
    "output is the target": bad("buildpti", {"OUTPUT": "{in}/grid.tif", "TARGET": "{in}/grid.tif"},
                                "{in}/grid.tif is an input of this run"),
    "output is the samples": bad("trainxgboost", {
        "PTI": "", "STACK": "", "SAMPLES": "{in}/samples.geojson", "RUNS": 2, "ROUNDS": 3, "BLOCK_KM": 50,
        "OUTPUT_METRICS": "{in}/samples.geojson"}, "{in}/samples.geojson is an input of this run"),
    "two outputs of one name": bad("ensemblepermafrost", {"OUTPUT_PP": "{out}/base.tif"}, "same name",
                                   "{out}/base.tif"),
    "output of another format": bad("buildpti", {"OUTPUT": "{out}/pti.png"}, "GeoTIFF", "{out}/pti.png"),
    "a band without a name": bad("trainxgboost", {"STACK": "{in}/stack_unnamed.tif"}, "Band 2", "stack_unnamed.tif",
                                 "has no name"),
    "unknown unit in UNITS": bad("ensemblepermafrost", {"UNITS": "pp_a.tif=promille"}, "'promille'", "fraction"),
    "UNITS without a unit": bad("ensemblepermafrost", {"UNITS": "pp_a.tif"}, "'pp_a.tif' in UNITS", "name=value"),
    "crosswalk without a column": bad("ensemblelandcover", {"CROSSWALK": "{in}/stations.csv"},
                                      "stations.csv lacks the column product"),
    "no PTI map": bad("validateboreholes", {"PTI": "{in}/pp_a.tif"}, "pp_a.tif holds the value"),
}

Made = namedtuple("Made", "places finished left")
Made.__doc__ = """What a bad call gave: its folders, its Finished and what stood in {out} after it."""


def percent_and_temperature(folder):
    value = np.linspace(10, 90, 24, dtype=np.float32).reshape(4, 6)
    half = (-100000.0 + 12500, 25000.0, 0.0, 100000.0, 0.0, -25000.0)
    coarse = (-100000.0, 50000.0, 0.0, 100000.0, 0.0, -50000.0)
    magt = value / 10 - 8

    def write(name, array, **options):
        write_raster(folder / f"{name}.tif", array, nodata=-9999.0, **options)

    write("pp_a", value)
    write("pp_b", value + 5)
    write("pp_fraction", value / 100)
    write("pp_flagged", np.where(value > 85, 254, value).astype(np.float32))
    write("pp_no_crs", value, crs=None)
    write("pp_empty", np.full_like(value, np.nan))
    write("pp_coarse", value[::2, ::2], transform=coarse)
    write("magt_a", magt)
    write("magt_b", magt - 1)
    write("magt_shifted", magt, transform=half)
    write("magt_kelvin", magt + 273.15)
    write_raster(folder / "grid.tif", np.zeros((4, 6), np.uint8))
    write_raster(folder / "base.tif", np.ones((4, 6), np.uint8), nodata=255)
    write_raster(folder / "base_3995.tif", np.ones((4, 6), np.uint8), nodata=255, crs="EPSG:3995")
    write_raster(folder / "base_empty.tif", np.full((4, 6), 255, np.uint8), nodata=255)
    write_raster(folder / "truncated.tif", np.random.default_rng(1).random((400, 400)))
    os.truncate(folder / "truncated.tif", 300_000)
    for year in range(2000, 2008):
        write(f"magt_{year}", magt + np.float32(0.1) * (year - 2000))
    write("series_empty", np.full((8, 4, 6), np.nan, np.float32))
    write("series_25", np.arange(25, dtype=np.float32)[:, None, None] + value,
          descriptions=[str(year) for year in range(1997, 2022)])
    write("series_24", np.arange(24, dtype=np.float32)[:, None, None] + value,
          descriptions=[str(year) for year in range(1998, 2022)])


def land_cover_and_tables(folder):
    cover = np.full((4, 6), 70, np.uint8)
    write_raster(folder / "cci_2020.tif", cover, nodata=0)
    cover[1, :2] = 33
    write_raster(folder / "cci_2021.tif", cover, nodata=0)
    (folder / "crosswalk.csv").write_text("product,raster_value,ensemble_code,tundra_code\n"
                                          "LandCover_CCI,70,70,\nLandCover_CCI,33,999,\n")
    header = "site,latitude,longitude,year,depth_m,magt_degC\n"
    rows = [f"A,80.0,{40 + i},{year},10,{-5 + i}\n" for i in range(3) for year in range(2007, 2013)]
    (folder / "stations.csv").write_text(header + "".join(rows))
    (folder / "stations_malformed.csv").write_text(header + "".join(rows[:2]) + "A,80.0,40,2009,10\n" + rows[3])
    (folder / "folder.tif").mkdir()


def predictors(folder):
    rng = np.random.default_rng(7)
    pti = np.repeat(np.array([11, 21, 31], np.uint8), 12)[:, None] * np.ones(30, np.uint8)
    bands = np.stack([pti + rng.normal(0, 1, pti.shape), rng.normal(0, 1, pti.shape)]).astype(np.float32)
    write_raster(folder / "pti.tif", pti, nodata=0)
    for name, descriptions in (("stack", ["lst", "elevation"]), ("stack_doubled", ["lst", "lst"]),
                               ("stack_unnamed", ["lst", ""])):
        write_raster(folder / f"{name}.tif", bands, nodata=-9999.0, descriptions=descriptions)
    write_raster(folder / "stack_lacking.tif", bands[:1], nodata=-9999.0, descriptions=["lst"])
    (folder / "garbage.ptimodel").write_bytes(rng.bytes(2000))
    points = [{"type": "Feature", "geometry": {"type": "Point", "coordinates": [10.0 * x, 60 + row / 2]},
               "properties": {"pti": int(pti[row, 0]), "lst": float(bands[0, row, x]),
                              "elevation": float(bands[1, row, x])}} for row in range(36) for x in range(5)]
    (folder / "samples.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": points}))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, provider):
    """The folder of all inputs, with sign rasters and a model that the tools themselves made of them."""
    import processing

    folder, made = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("made")
    percent_and_temperature(folder)
    land_cover_and_tables(folder)
    predictors(folder)
    for years in (25, 24):
        processing.run("pti:trendrasters", {
            "INPUT": [str(folder / f"series_{years}.tif")], "OUTPUT_SLOPE": str(made / f"slope_{years}.tif"),
            "OUTPUT_SIGN": str(folder / f"sign_{years}.tif")})
    processing.run("pti:trainxgboost", {**filled(GOOD["trainxgboost"], {"in": folder}),
                                        "OUTPUT_MODEL": str(folder / "good.ptimodel"),
                                        "OUTPUT_METRICS": str(made / "metrics.csv")})
    model = bytearray((folder / "good.ptimodel").read_bytes())
    model[len(model) // 2] ^= 1
    (folder / "flipped.ptimodel").write_bytes(model)
    return folder


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """A folder that nobody may write to: without the right to, or for root a file system mounted read-only."""
    folder = tmp_path_factory.mktemp("locked")
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", folder], capture_output=True,
                             check=False)
    if mounted.returncode != 0:
        yield None
        return
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="module")
def no_xgboost(tmp_path_factory):
    """Two folders for PYTHONPATH with an xgboost that is not there, and with one that fails on import."""
    folders = {}
    for name, error in (("hidden", 'ImportError("no xgboost here")'),
                        ("broken", 'ValueError("built for another numpy")')):
        folders[name] = tmp_path_factory.mktemp(name)
        (folders[name] / "xgboost").mkdir()
        (folders[name] / "xgboost" / "__init__.py").write_text(f"raise {error}\n")
    return folders


@pytest.fixture(scope="module")
def places(inputs, locked, no_xgboost):
    """What {in}, {locked} and the like stand for; with the files of the inputs as they were before any run."""
    return {"in": inputs, "locked": locked, **no_xgboost, "before": own_files(inputs)}


@pytest.fixture(scope="module")
def made(request, tmp_path_factory, qgis_process, places):
    """{name: Made} of the headless cases that were selected."""
    chosen = [item.callspec.params["name"] for item in request.session.items
              if item.getparent(pytest.Module) is request.node and hasattr(item, "callspec")]
    chosen = [name for name in chosen if name in HEADLESS]

    def make(name):
        case, here = HEADLESS[name], {**places, "out": tmp_path_factory.mktemp("out")}
        finished = qgis_process.run(case.tool, filled(case.parameters, here), 60, filled(case.environment or {}, here))
        return Made(here, finished, standing(here["out"]))

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(chosen, pool.map(make, chosen)))


def own_files(folder):
    """Return what stands in a folder, without the statistics that QGIS puts beside every raster it opens."""
    return {name: content for name, content in standing(folder).items() if not name.endswith(".aux.xml")}


def filled(parameters, places):
    """Return the parameters with {in}, {out} and the like replaced by their folders."""
    def fill(value):
        if isinstance(value, (list, tuple)):
            return [fill(item) for item in value]
        return value.format_map(places) if isinstance(value, str) else value
    return {key: fill(value) for key, value in parameters.items()}


def run_inside(tool, parameters):
    """Run a tool through Processing in this process; return a Finished as qgis_process would."""
    import processing
    from qgis.core import QgsProcessingException

    try:
        processing.run(f"pti:{tool}", parameters)
    except QgsProcessingException as error:
        return Finished(1, "", f"ERROR:{error}")
    return Finished(0, "", "")


def judge(case, made):
    """Assert that a call was refused and left nothing behind, and that it works once its remedy is followed."""
    message = refusal(made.finished, *[text.format_map(made.places) for text in case.said])
    assert not case.parameters or message.endswith((".", "not found")), message
    assert made.left == {}
    if case.remedy:
        remedied = run_inside(case.tool, filled({**case.parameters, **case.remedy}, made.places))
        assert remedied.code == 0, remedied
        written = standing(made.places["out"])
        outputs = {os.path.basename(path) for key, path in case.parameters.items() if key.startswith("OUTPUT")}
        assert outputs <= set(written)
        assert not [path for path in written if ".partial" in path]


@pytest.mark.parametrize("name", HEADLESS)
def test_bad_input_is_refused_in_a_sentence_and_leaves_nothing(name, made):
    if made[name].places["locked"] is None and "{locked}" in str(HEADLESS[name].parameters):
        pytest.skip("a root user without the right to mount cannot have a folder it may not write to")
    judge(HEADLESS[name], made[name])


@pytest.mark.parametrize("name", INSIDE)
def test_bad_input_is_refused_inside_qgis_too(name, places, tmp_path):
    case, here = INSIDE[name], {**places, "out": tmp_path}
    finished = run_inside(case.tool, filled(case.parameters, here))
    judge(case, Made(here, finished, standing(tmp_path)))


def test_bad_runs_leave_their_inputs_as_they_were(places, made):
    after = own_files(places["in"])
    assert sorted(after) == sorted(places["before"])
    assert [name for name in after if after[name] != places["before"][name]] == []


def test_without_xgboost_the_other_tools_work(qgis_process, places, tmp_path):
    parameters = filled({**GOOD["ensemblepermafrost"], **OUTPUTS["ensemblepermafrost"]}, {**places, "out": tmp_path})
    finished = qgis_process.run("ensemblepermafrost", parameters, environment={"PYTHONPATH": str(places["hidden"])})
    assert finished.code == 0, finished
    assert (read_raster(tmp_path / "base.tif") == 1).all()
