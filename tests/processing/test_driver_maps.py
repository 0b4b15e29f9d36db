"""Driver maps as PyQGIS calls them: parameters reach the core, the layer's legend names the predictors."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pti_plugin.core.common.record_file import record_path
from pti_plugin.core.ensembles.features import GROUPS
from pti_plugin.core.learning.model_file import read_model
from support import read_raster


@pytest.fixture(scope="module")
def run(provider):
    import processing

    from pti_plugin.algorithms.driver_maps import DriverMaps

    return lambda parameters, **options: processing.run(DriverMaps(), parameters, **options)


@pytest.fixture
def inputs(world, made):
    return {"STACK": world.stack, "MODEL": made["train"]["OUTPUT_MODEL"], "BASE": made["index"]["OUTPUT"]}


def test_the_maps_the_table_and_the_record(run, inputs, tmp_path):
    made = run({**inputs, "STEP": 2, "RUNS": 1, "OUTPUT": str(tmp_path / "top.tif"),
                "OUTPUT_GROUPS": str(tmp_path / "groups.tif"), "OUTPUT_TABLE": str(tmp_path / "drivers.csv"),
                "OUTPUT_CONTRIBUTIONS": str(tmp_path / "contributions.tif")})
    top = read_raster(made["OUTPUT"])
    known = ~np.isnan(top)
    assert top.shape == (12, 18) and 50 < known.sum() < 216
    contributions = np.stack([read_raster(made["OUTPUT_CONTRIBUTIONS"], band) for band in range(1, 6)])
    names = ["lst", "land_cover", "elevation", "soc"]
    codes = np.array([1, 4, 15, 10])
    size = np.abs(contributions[:4, known])
    np.testing.assert_array_equal(top[known], np.where(size.sum(axis=0) > 0, codes[size.argmax(axis=0)], 0))
    groups = np.stack([read_raster(made["OUTPUT_GROUPS"], band) for band in range(1, len(GROUPS) + 1)])
    np.testing.assert_allclose(groups[:, known & (top > 0)].sum(axis=0), 100, atol=1e-3)
    with open(made["OUTPUT_TABLE"], encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["name"] for row in rows if row["level"] == "predictor"} == set(names)
    assert [row["level"] for row in rows] == ["predictor"] * 4 + ["group"] * 5
    assert sum(float(row["share_percent"]) for row in rows) == pytest.approx(200)
    record = json.loads(Path(record_path(made["OUTPUT"])).read_text(encoding="utf-8"))
    assert record["tool"] == "drivermaps" and record["parameters"]["CLASS_OF"] == "predicted"
    assert record["parameters"]["STEP"] == 2 and record["results"]["runs"] == [0]


def test_a_stated_rank_is_explained_in_all_cells(run, inputs, tmp_path):
    outputs = {name: str(tmp_path / f"{name.lower()}.tif")
               for name in ("OUTPUT", "OUTPUT_GROUPS", "OUTPUT_CONTRIBUTIONS")}
    bias = []
    for code in read_model(inputs["MODEL"]).codes[:2]:
        run({**inputs, "STEP": 2, "CLASS_OF": str(code), **outputs})
        values = read_raster(outputs["OUTPUT_CONTRIBUTIONS"], 5)
        # the bias belongs to a class, not to a cell
        assert np.nanmax(values) - np.nanmin(values) < 1e-5
        bias.append(np.nanmean(values))
    assert bias[0] != pytest.approx(bias[1])


def test_the_legend_names_the_predictors_by_group(run, inputs, tmp_path):
    from qgis.core import QgsRasterLayer

    from pti_plugin.algorithms.styling import _Styler

    made = run({**inputs, "STEP": 3, "OUTPUT": str(tmp_path / "top.tif"), "OUTPUT_GROUPS": str(tmp_path / "g.tif")})
    layer = QgsRasterLayer(made["OUTPUT"], "top")
    _Styler("drivermaps", "OUTPUT").postProcessLayer(layer, None, None)
    assert [(entry.value, entry.label) for entry in layer.renderer().classes()] == [
        (0, "none: no predictor contributes"), (1, "thermal: land surface temperature"),
        (4, "biophysical: ensemble land cover"), (10, "soil: soil organic carbon"), (15, "topography: elevation")]
    assert len({entry.color.name() for entry in layer.renderer().classes()}) == 5


def test_cancelling_leaves_nothing(run, inputs, tmp_path):
    from qgis.core import QgsProcessingException, QgsProcessingFeedback

    class Impatient(QgsProcessingFeedback):
        def pushInfo(self, text):
            if " cells are explained " in text:
                self.cancel()

    with pytest.raises(QgsProcessingException):
        run({**inputs, "OUTPUT": str(tmp_path / "top.tif"), "OUTPUT_GROUPS": str(tmp_path / "g.tif")},
            feedback=Impatient())
    assert not list(tmp_path.iterdir())
