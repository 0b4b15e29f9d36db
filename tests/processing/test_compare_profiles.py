"""The comparison of profiles as a tool: its two ways of use, what it says of half-given ones, and the record."""

import csv
import json
import shutil

import numpy as np
import pytest

from pti_plugin.core.index.rank_comparison import COLUMNS
from support import read_raster, standing, write_raster

ROWS, WIDE = 6, 8
NAMES = ("cci", "nieer", "obu")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Parameters of a run: three products that disagree in the last columns, trends without a test in one cell."""
    folder = tmp_path_factory.mktemp("given")
    columns = np.mgrid[0:ROWS, 0:WIDE][1].astype(float)

    def write(name, values, **options):
        return write_raster(folder / f"{name}.tif", values, **options)

    signs = np.zeros((2, ROWS, WIDE), "int16")
    signs[0, :2] = 1
    signs[0, 3, 0] = -32768
    return {
        "PP": [write(f"{name}_pp", np.where(columns < 7 - i, 90.0, 0.0)) for i, name in enumerate(NAMES)],
        "MAGT": [write(f"{name}_magt", -6.0 + columns + 0.3 * i) for i, name in enumerate(NAMES)],
        **{role: write(role.lower(), sign, nodata=-32768)
           for role, sign in zip(("MAGT_TREND", "ALT_TREND"), signs)}}


@pytest.fixture
def tool(run):
    return lambda parameters: run("compareprofiles", parameters)


def outputs(folder, *names):
    return {name: str(folder / f"{name.lower()}.{'csv' if name == 'OUTPUT_TABLE' else 'tif'}")
            for name in ("OUTPUT", "OUTPUT_TABLE", *names)}


def read_table(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_products_and_two_maps_give_the_same_comparison(tool, given, tmp_path):
    made = tool({**given, **outputs(tmp_path, "OUTPUT_STABILITY", "OUTPUT_AS_PUBLISHED", "OUTPUT_DEFENSIBLE")})
    rows = read_table(made["OUTPUT_TABLE"])
    assert tuple(rows[0]) == COLUMNS
    left = {row["item"]: int(row["cells"]) for row in rows if row["section"] == "leave_one_out"}
    # PP > 0 in 7, 6 and 5 columns: two of three agree in 6, all in 5, so column 5 hangs on the first two products
    assert read_raster(made["OUTPUT_STABILITY"])[0].tolist()[5] == 2.0
    assert np.isnan(read_raster(made["OUTPUT_STABILITY"])[:, 6:]).all()
    assert left["cci"] >= ROWS and left["nieer"] >= ROWS and left["any product"] >= max(left.values())
    reasons = [row for row in rows if row["section"] == "reason"]
    assert [(row["item"], row["cells"]) for row in reasons] == [
        ("20 to 21: Ranked; MAGT trend not testable, taken as none", "1")]
    record = json.loads((tmp_path / "output.provenance.json").read_text(encoding="utf-8"))
    assert record["tool"] == "compareprofiles" and record["results"]["products"] == list(NAMES)
    assert len(record["inputs"]) == 8

    folder = tmp_path / "maps"
    folder.mkdir()
    again = tool({"FIRST": made["OUTPUT_AS_PUBLISHED"], "SECOND": made["OUTPUT_DEFENSIBLE"], **outputs(folder)})
    np.testing.assert_array_equal(read_raster(again["OUTPUT"]), read_raster(made["OUTPUT"]))
    transitions = [[row for row in table if row["section"] == "transition"]
                   for table in (rows, read_table(again["OUTPUT_TABLE"]))]
    assert transitions[0] == transitions[1] and transitions[0]


def test_half_given_inputs_are_refused_in_plain_words(tool, given, tmp_path):
    from qgis.core import QgsProcessingException

    first = write_raster(tmp_path / "first.tif", np.full((ROWS, WIDE), 11, "uint8"), nodata=0)
    maps = {"FIRST": first, "SECOND": first}
    before = standing(tmp_path)
    for parameters, said in (
            ({}, "PP and MAGT and MAGT_TREND and ALT_TREND are empty. The comparison takes PP, MAGT"),
            ({**given, "MAGT_TREND": None}, "MAGT_TREND is empty. The comparison takes"),
            ({"FIRST": first}, "Of FIRST and SECOND only FIRST is given. Give both maps"),
            ({**given, "SECOND": first}, "Of FIRST and SECOND only SECOND is given"),
            ({**maps, "PP": given["PP"]}, "FIRST and SECOND are given, and PP as well. Give either two maps"),
            ({**maps, "PRODUCTS": "a=b", "OUTPUT_STABILITY": str(tmp_path / "s.tif")},
             "OUTPUT_STABILITY and PRODUCTS: two maps do not tell"),
            ({**given, "PP": given["PP"][:1]}, "An ensemble needs at least 2 PP products; 1 given"),
            ({**given, "MIN_PRODUCTS": 3}, "Lower MIN_PRODUCTS, or set MIN_PRODUCTS_LEFT"),
            ({**given, "COLD": 0}, "The MAGT thresholds must rise")):
        with pytest.raises(QgsProcessingException) as refused:
            tool({**parameters, **outputs(tmp_path)})
        assert said in str(refused.value)
        assert standing(tmp_path) == before


def test_products_whose_names_do_not_pair_stop_only_those_who_ask_for_stability(tool, given, tmp_path):
    from qgis.core import QgsProcessingException

    renamed = []
    for i, path in enumerate(given["MAGT"]):
        renamed.append(str(tmp_path / f"temperature_{'xyz'[i]}.tif"))
        shutil.copy(path, renamed[-1])
    parameters = {**given, "MAGT": renamed}
    with pytest.raises(QgsProcessingException, match="do not tell which MAGT layer"):
        tool({**parameters, **outputs(tmp_path, "OUTPUT_STABILITY")})
    made = tool({**parameters, **outputs(tmp_path)})
    assert {row["section"] for row in read_table(made["OUTPUT_TABLE"])} == {"summary", "transition", "reason"}
    record = json.loads((tmp_path / "output.provenance.json").read_text(encoding="utf-8"))
    assert any("No product is left out" in warning for warning in record["warnings"])
