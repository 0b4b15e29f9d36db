"""What stands at an output path, what an input is made of, and what a user wrote is not lost by any tool."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from support import standing, write_raster


@pytest.fixture
def products(tmp_path):
    """Two products of permafrost percent and temperature; the first ones are virtual rasters of others."""
    made = {"PP": [], "MAGT": []}
    for name, value in (("PP", 60.0), ("MAGT", -3.0)):
        for i in range(2):
            made[name].append(write_raster(tmp_path / f"{name.lower()}_{i}.tif",
                                           np.full((6, 6), value + i, "float32"), nodata=-9999.0))
        virtual = str(tmp_path / f"{name.lower()}.vrt")
        gdal.BuildVRT(virtual, made[name][:1]).FlushCache()
        made[name][0] = virtual
    return made


def ensemble(run, products, out, **more):
    return run("ensemblepermafrost", {**products, "OUTPUT_BASE": str(out / "base.tif"),
                                      "OUTPUT_PP": str(out / "pp.tif"), "OUTPUT_MAGT": str(out / "magt.tif"), **more})


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def refused(run, products, out, said, **more):
    from qgis.core import QgsProcessingException

    before = standing(out.parent)
    with pytest.raises(QgsProcessingException, match=said) as caught:
        ensemble(run, products, out, **more)
    assert standing(out.parent) == before
    return str(caught.value)


@pytest.mark.parametrize("name", ["pp_0.tif", "magt_0.tif", "pp.vrt", "pp_1.tif"])
def test_a_file_that_an_input_is_made_of_is_no_output(run, products, out, name):
    refused(run, products, out, "or a file that an input is made of", OUTPUT_MAGT=str(out.parent / name))


def test_an_output_in_the_folder_of_a_series_is_refused_where_it_would_be_a_layer(run, out):
    from qgis.core import QgsProcessingException

    for year in range(2001, 2005):
        write_raster(out / f"lst_{year}.tif", np.full((3, 3), float(year), "float32"))
    (out / "below").mkdir()
    series = {"FOLDER": str(out), "PATTERN": "lst_*.tif"}
    for name in ("lst_2005.tif", "below/lst_mean.tif"):
        with pytest.raises(QgsProcessingException, match="the next one would take it for a layer"):
            run("compositeseries", {**series, "OUTPUT": str(out / name)})
    run("compositeseries", {**series, "OUTPUT": str(out / "mean.tif")})
    assert len(standing(out)) > 6


def test_the_record_names_the_files_behind_a_virtual_raster_and_those_it_made(run, products, out):
    ensemble(run, products, out)
    record = json.loads((out / "base.provenance.json").read_text(encoding="utf-8"))
    first = next(entry for entry in record["inputs"] if entry["path"].endswith("pp.vrt"))
    assert [Path(file["path"]).name for file in first["files"]] == ["pp_0.tif"]
    assert set(record["files_made"]) == {"OUTPUT_BASE", "OUTPUT_PP", "OUTPUT_MAGT"}
    assert record["files_made"]["OUTPUT_PP"]["size_bytes"] == (out / "pp.tif").stat().st_size


def test_a_run_that_is_refused_or_fails_leaves_the_earlier_results(run, products, out, monkeypatch):
    from pti_plugin.core.rasters import blocks

    ensemble(run, products, out)
    write_raster(out.parent / "other.tif", np.ones((3, 3), "float32"))
    refused(run, {**products, "PP": [products["PP"][0], str(out.parent / "other.tif")]}, out, "looks like fraction")

    def full(writer):
        raise blocks.output_error(str(out / "pp.tif"), "No space left on device")

    monkeypatch.setattr(blocks.RasterWriter, "close", full)
    refused(run, products, out, "disk is full")


def test_an_input_that_goes_away_during_the_run_is_named(run, products, out, monkeypatch):
    from pti_plugin.core.common import provenance

    ensemble(run, products, out)
    build = provenance.build_record

    def meanwhile(*arguments):
        os.rename(products["PP"][1], products["PP"][1] + ".away")
        try:
            return build(*arguments)
        finally:
            os.rename(products["PP"][1] + ".away", products["PP"][1])

    monkeypatch.setattr(provenance, "build_record", meanwhile)
    refused(run, products, out, r"pp_1\.tif was there when the run began and cannot be read any more: No such file")
    monkeypatch.undo()

    def gone(*_):
        raise OSError(5, "Input/output error", "/far/away")

    monkeypatch.setattr(provenance, "made_files", gone)
    refused(run, products, out, "/far/away cannot be read or written any more: Input/output error. Put it right")


def test_a_users_own_file_with_the_name_of_a_record_is_not_replaced(run, products, out):
    (out / "base.provenance.json").write_text('{"mine": true}', encoding="utf-8")
    refused(run, products, out, "base.provenance.json is no record of this plugin")
    ensemble(run, products, out, OUTPUT_BASE=str(out / "other.tif"))
    ensemble(run, products, out, OUTPUT_BASE=str(out / "other.tif"))
    assert (out / "base.provenance.json").read_text(encoding="utf-8") == '{"mine": true}'


def test_a_link_at_an_output_path_stays_and_its_target_is_replaced(run, products, out):
    (out.parent / "far").mkdir()
    (out.parent / "far" / "base.tif").write_text("earlier", encoding="utf-8")
    os.symlink(out.parent / "far" / "base.tif", out / "base.tif")
    ensemble(run, products, out)
    assert (out / "base.tif").is_symlink() and gdal.Open(str(out.parent / "far" / "base.tif")).RasterCount == 1


def test_an_output_that_is_locked_is_refused_with_the_layer_to_remove(run, products, out, monkeypatch, tmp_path):
    from qgis.core import QgsProject, QgsRasterLayer

    ensemble(run, products, out)
    locked = str(out / "pp.tif")
    replace = os.replace

    def refusing(source, target):
        if locked in (source, target):
            raise PermissionError(13, "Permission denied", source, None, target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", refusing)
    said = refused(run, products, out, "pp.tif cannot be replaced")
    assert "perhaps as a layer of QGIS" in said
    project = QgsProject.instance()
    try:
        project.addMapLayer(QgsRasterLayer(locked, "Mean of the products"))
        from qgis.core import QgsProcessingContext

        context = QgsProcessingContext()
        context.setProject(project)
        refused(lambda tool, parameters: _run_in(context, tool, parameters), products, out,
                "layer 'Mean of the products': remove that layer")
    finally:
        project.clear()


def _run_in(context, tool, parameters):
    import processing

    return processing.run(f"pti:{tool}", parameters, context=context)


def test_what_a_dead_run_left_is_put_right_before_results_are_read(run, products, out):
    ensemble(run, products, out)
    whole = standing(out)
    # what a run leaves that dies when its journal is written and nothing is moved
    dead = out / ".pti-run-0123456789ab"
    for part in ("new", "old", "claims"):
        (dead / part).mkdir(parents=True)
    (dead / "owner").write_text("{}", encoding="utf-8")
    files = []
    for name in ("base.tif", "pp.tif"):
        os.rename(out / name, dead / "new" / name)
        found = os.stat(dead / "new" / name)
        files.append([0, name, found.st_size, found.st_mtime_ns])
        (out / name).write_text("earlier", encoding="utf-8")
    (dead / "journal.json").write_text(json.dumps({
        "version": 1, "folders": [], "files": files, "earlier": [[0, "base.tif"], [0, "pp.tif"]]}), encoding="utf-8")
    run("depthmean", {"INPUT": [str(out.parent / "pp_0.tif"), str(out.parent / "pp_1.tif")],
                      "LAYERS": "pp_0.tif=0-1; pp_1.tif=1-2", "OUTPUT": str(out / "mean.tif")})
    after = standing(out)
    assert {name: after[name] for name in whole} == whole and not [name for name in after if name.startswith(".pti")]


def test_a_map_and_a_model_of_different_runs_are_not_joined(run, world, tmp_path):
    from qgis.core import QgsProcessingException

    index = write_raster(tmp_path / "index.tif", np.repeat([[11], [12], [21], [22]], 6, 0) * np.ones((1, 36)),
                         nodata=0, dtype="uint8", transform=(500000.0, 25000.0, 0.0, -500000.0, 0.0, -25000.0))
    run("trainxgboost", {"PTI": index, "STACK": world.stack, "RUNS": 2, "ROUNDS": 2, "PER_CLASS": 30, "BLOCK_KM": 150,
                         "OUTPUT_MODEL": str(tmp_path / "m.ptimodel"), "OUTPUT_METRICS": str(tmp_path / "m.csv")})
    predict = {"STACK": world.stack, "MODEL": str(tmp_path / "m.ptimodel"), "OUTPUT": str(tmp_path / "map.tif")}
    run("predictxgboost", {**predict, "REFERENCE": index})
    write_raster(index, np.repeat([[11], [12], [21], [40]], 6, 0) * np.ones((1, 36)), nodata=0, dtype="uint8",
                 transform=(500000.0, 25000.0, 0.0, -500000.0, 0.0, -25000.0))
    with pytest.raises(QgsProcessingException, match="m.ptimodel was made with index.tif as it was then, and REFER"):
        run("predictxgboost", {**predict, "REFERENCE": index})
    # a model may be applied to whatever stack
    run("predictxgboost", predict)
