"""The whole chain on the embedded sample, run once as 'make demo' runs it: every output, and what stands in it."""

import csv
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
from html.parser import HTMLParser
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import SimpleNamespace

import numpy as np
import pytest

from pti_plugin.core.common.departures import held_against_paper
from pti_plugin.core.ensembles.features import PREDICTORS, read_stack
from support import ROOT, read_raster, record_in

TOOLS = ("alignrasters", "compositeseries", "depthmean", "slope", "ensemblepermafrost", "ensemblelandcover",
         "trendrasters", "predictorstack", "buildpti", "samplepoints", "compareprofiles", "trainxgboost",
         "predictxgboost", "summarizezones", "validateboreholes")
RANKS = (11, 12, 13, 21, 22, 23, 31, 32, 33, 40)
LOADER = SourceFileLoader("demo", str(ROOT / "scripts" / "demo"))
DEMO = module_from_spec(spec_from_loader("demo", LOADER))
LOADER.exec_module(DEMO)
#: predictor → (lowest and highest value that the sample's climate, relief and soil allow, unit)
PLAUSIBLE = {
    "lst": (-35, 20, "degC"), "lst_trend": (-0.2, 0.3, "K/year"), "frozen_days": (30, 366, "d"),
    "peak_ndvi": (-0.1, 1, ""), "sum_ndvi": (0, 46, ""), "ndvi_trend": (-0.01, 0.01, "per year"),
    "snow": (0, 100, "%"), "snow_trend": (-1, 1, "%/year"), "soc": (1, 200, "g/kg"),
    "coarse_fragments": (0, 60, "vol%"), "bulk_density": (0.2, 1.7, "g/cm3"),
    "water_content": (3, 70, "vol%"), "peat": (0, 100, ""), "elevation": (-30, 6000, "m"),
    "slope": (0, 15, "degree"),
}
#: true area of a cell of the sample's equal-area grid
CELL_KM2 = 625.0


@pytest.fixture(scope="session")
def chain(qgis_process, tmp_path_factory):
    """The finished run: ``folder`` with the outputs and ``said``, what was printed."""
    folder = tmp_path_factory.mktemp("chain")
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "demo", "--runs", "4", "--rounds", "10", "--per-class", "100", "--output",
         folder], env=qgis_process.environment, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return SimpleNamespace(folder=folder, said=done.stdout)


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_qgis_process_lists_the_tools_and_the_model(qgis_process):
    listed = qgis_process(["list"])
    assert listed.code == 0, listed.stderr
    ids = set(re.findall(r"^\s*(pti:\w+)\s", listed.stdout, re.MULTILINE))
    assert {*(f"pti:{tool}" for tool in TOOLS), "pti:fullchain"} <= ids


def test_every_output_is_there_and_nothing_unfinished(chain):
    made = {path.name for path in chain.folder.iterdir()}
    assert set(DEMO.OUTPUTS.values()) <= made
    assert not [name for name in made if name.endswith((".partial", ".partial.aux.xml"))]
    assert len([name for name in made if name.endswith(".provenance.json")]) == 14


def test_the_records_name_their_run_its_chain_and_the_runs_of_their_inputs(chain):
    records = [record_in(path) for path in chain.folder.glob("*.provenance.json")]
    runs = {record["run"]: record["tool"] for record in records}
    # the page for print is drawn after the chain, by a run of its own
    assert len(runs) == 14 and len({record["chain"] for record in records if record["tool"] != "printlayout"}) == 1
    made = {os.path.basename(path): (record["run"], record["files_made"][name]["sha256"])
            for record in records for name, path in record["outputs"].items()}
    linked = 0
    for record in records:
        for name, path in record["outputs"].items():
            if os.path.dirname(path) != str(chain.folder):
                # a temporary layer, which is gone
                continue
            content = (chain.folder / os.path.basename(path)).read_bytes()
            assert record["files_made"][name] == {"size_bytes": len(content),
                                                  "sha256": hashlib.sha256(content).hexdigest()}
        for entry in record["inputs"]:
            if os.path.basename(entry["path"]) in made and os.path.dirname(entry["path"]) == str(chain.folder):
                assert (entry["run"], entry["sha256"]) == made[os.path.basename(entry["path"])]
                linked += 1
    assert linked >= 12


def test_the_conceptual_index_has_all_ten_ranks(chain):
    ranks = read_raster(chain.folder / "pti_conceptual.tif")
    assert set(np.unique(ranks[~np.isnan(ranks)])) == set(RANKS)


@pytest.mark.parametrize("raster, table", [("pti_conceptual.tif", "pti_conceptual_area.csv"),
                                           ("pti_map.tif", "pti_area.csv")])
def test_areas_by_rank_are_those_of_the_cells_and_add_up(chain, raster, table):
    ranks = read_raster(chain.folder / raster)
    rows = rows_of(chain.folder / table)
    assert [int(row["rank"]) for row in rows] == list(RANKS)
    for row in rows:
        count = int((ranks == int(row["rank"])).sum())
        assert int(row["cells"]) == count
        assert float(row["area_km2"]) == pytest.approx(CELL_KM2 * count, rel=1e-6)
    assert sum(float(row["share_percent"]) for row in rows) == pytest.approx(100, abs=0.01)


def test_every_cell_of_the_base_map_has_a_rank_or_a_reason(chain):
    base, ranks, reason = (read_raster(chain.folder / name)
                           for name in ("base_map.tif", "pti_conceptual.tif", "pti_reason.tif"))
    ranked = ~np.isnan(ranks)
    assert ranked.sum() > 30000
    assert not (ranked & (base != 1)).any()
    assert (reason[ranked] >= 10).all() and (reason[(base == 1) & ~ranked] < 10).all()
    assert not np.isnan(reason[base == 1]).any()


@pytest.fixture(scope="module")
def high_arctic(chain):
    """Where the index is cold, north of 72° N, and the snow of three months or more is never seen."""
    pyproj = pytest.importorskip("pyproj")
    from osgeo import gdal

    ranks = read_raster(chain.folder / "pti_conceptual.tif")
    west, cell, _, north, _, _ = gdal.Open(str(chain.folder / "pti_conceptual.tif")).GetGeoTransform()
    middle = west + cell * (np.arange(ranks.shape[1]) + 0.5), north - cell * (np.arange(ranks.shape[0]) + 0.5)
    latitude = pyproj.Transformer.from_crs("EPSG:6931", "EPSG:4326", always_xy=True).transform(
        *np.meshgrid(*middle))[1]
    snow = gdal.Open(str(ROOT / "resources" / "sample" / "series" / "snow_monthly_2000-2025.tif")).ReadAsArray()
    night = np.stack([(snow[month::12] > 100).all(axis=0) for month in range(12)]).sum(axis=0)
    # four cells of the target along a cell of the snow
    night = np.kron(np.where((snow <= 100).any(axis=0), night, 0), np.ones((4, 4), dtype=int))
    return np.isin(ranks, (11, 12, 13)) & (latitude > 72) & (night >= 3)


def cells_of(path, points):
    """Return (rows, columns) of the cells of a raster that hold the points of a layer."""
    from osgeo import gdal, ogr, osr

    grid, source = gdal.Open(str(path)), ogr.Open(str(points))
    layer, system = source.GetLayer(0), osr.SpatialReference(grid.GetProjection())
    given = layer.GetSpatialRef()
    for each in (system, given):
        each.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    change = osr.CoordinateTransformation(given, system)
    x, y = np.array([change.TransformPoint(feature.geometry().GetX(), feature.geometry().GetY())[:2]
                     for feature in layer]).T
    west, cell, _, north, _, _ = grid.GetGeoTransform()
    return ((north - y) // cell).astype(int), ((x - west) // cell).astype(int)


def test_nothing_stands_on_water_or_glaciers(chain):
    """A tenth of the ranked cells lay there, and 489 of 6,000 training points."""
    out = np.isin(read_raster(chain.folder / "land_cover.tif"), (210, 220))
    base, reason = (read_raster(chain.folder / name) for name in ("base_map.tif", "pti_reason.tif"))
    assert ((reason == 6) == (out & (base == 1))).all()
    for name in ("pti_conceptual.tif", "pti_map.tif", "pti_agreement.tif", "rank_stability.tif"):
        assert np.isnan(read_raster(chain.folder / name)[out]).all(), name
    ranked = (~np.isnan(read_raster(chain.folder / "pti_conceptual.tif"))).sum()
    assert 0.09 < (reason == 6).sum() / (ranked + (reason == 6).sum()) < 0.11
    rows, columns = cells_of(chain.folder / "land_cover.tif", chain.folder / "samples.gpkg")
    assert len(rows) > 800 and not out[rows, columns].any()


def test_no_ranked_cell_is_lost_without_a_reason(chain):
    concept, learned = (~np.isnan(read_raster(chain.folder / name)) for name in ("pti_conceptual.tif", "pti_map.tif"))
    told = {row["line"]: row for row in rows_of(chain.folder / "metrics_of_the_map.csv")
            if row["section"] == "coverage"}
    whole = {what: told[f"{what}: rank all, latitude all"] for what in ("ranked", "predicted", "not_predicted")}
    lost = concept & ~learned
    assert [int(float(row["n"])) for row in whole.values()] == [concept.sum(), (concept & learned).sum(), lost.sum()]
    assert lost.sum() < 0.001 * concept.sum()
    # cells in brackets, of every reason
    assert sum(map(int, re.findall(r"\((\d+) cells?\)", whole["not_predicted"]["meaning"]))) == lost.sum()


def test_the_high_arctic_is_tested_sampled_and_predicted(chain, stack, high_arctic):
    assert high_arctic.sum() > 1000
    # three months of night are a quarter of all steps, and say nothing about the others
    assert not np.isnan(stack["snow_trend"][0][high_arctic]).any()
    assert not np.isnan(read_raster(chain.folder / "pti_map.tif")[high_arctic]).any()
    rows, columns = cells_of(chain.folder / "land_cover.tif", chain.folder / "samples.gpkg")
    assert high_arctic[rows, columns].sum() > 20


def test_all_rasters_share_the_target_grid(chain):
    from osgeo import gdal

    def grid(path):
        dataset = gdal.Open(str(path))
        return dataset.GetGeoTransform(), dataset.RasterXSize, dataset.RasterYSize

    target = grid(ROOT / "resources" / "sample" / "grid.tif")
    # a trend stays on the grid of its series
    rasters = [name for name in DEMO.OUTPUTS.values() if name.endswith(".tif") and "trend" not in name]
    assert len(rasters) == 14 and "pti_map.tif" in rasters
    assert {grid(chain.folder / name) for name in rasters} == {target}


@pytest.fixture(scope="module")
def stack(chain):
    """The stack of the run: {role: (values with NaN, band metadata)} in the order of its bands."""
    from osgeo import gdal

    path = chain.folder / "predictor_stack.tif"
    dataset = gdal.Open(str(path))
    bands = [dataset.GetRasterBand(number + 1) for number in range(dataset.RasterCount)]
    return {band.GetDescription(): (read_raster(path, band.GetBand()), band.GetMetadata()) for band in bands}


def unscaled(values, items):
    """Values of a band of the stack in their own unit."""
    low, high = float(items["PTI_MIN"]), float(items["PTI_MAX"])
    return values / 100 * (high - low) + low


def test_the_stack_has_the_sixteen_roles_by_name_with_their_groups(chain, stack):
    read = read_stack(str(chain.folder / "predictor_stack.tif"))
    assert [feature.name for feature in read.features] == list(PREDICTORS) == list(stack)
    for feature in read.features:
        assert (feature.group, feature.categorical) == PREDICTORS[feature.name][1:3]


def test_every_predictor_is_there_on_most_of_the_base_map_and_scaled_over_it(chain, stack):
    base = read_raster(chain.folder / "base_map.tif") == 1
    for role, (values, items) in stack.items():
        found = values[base & ~np.isnan(values)]
        assert found.size > 0.9 * base.sum(), role
        if role in PLAUSIBLE:
            assert (found.min(), found.max()) == (0, 100), role
            low, high, unit = PLAUSIBLE[role]
            assert low <= float(items["PTI_MIN"]) < float(items["PTI_MAX"]) <= high, (role, items)
            assert items.get("PTI_RAW_UNIT", "") == unit, role
    assert set(stack) - set(PLAUSIBLE) == {"land_cover"}


def test_the_table_of_ranges_says_what_the_bands_say(chain, stack):
    base = read_raster(chain.folder / "base_map.tif") == 1
    rows = rows_of(chain.folder / "predictor_ranges.csv")
    assert [row["role"] for row in rows] == list(stack)
    for row in rows:
        values, items = stack[row["role"]]
        assert (row["low"], row["high"]) == (items.get("PTI_MIN", ""), items.get("PTI_MAX", "")), row["role"]
        assert int(row["cells"]) == (base & ~np.isnan(values)).sum() == base.sum() - int(row["missing"])


def test_predictors_hold_the_products_they_are_made_of(chain, stack):
    from osgeo import gdal

    base = read_raster(chain.folder / "base_map.tif") == 1
    cover, _ = stack["land_cover"]
    np.testing.assert_array_equal(cover, read_raster(chain.folder / "land_cover.tif"))
    assert set(np.unique(stack["peat"][0][base])) == {0, 50, 100}
    # relief, by the mean of many points in every cell
    grid = gdal.Open(str(ROOT / "resources" / "sample" / "grid.tif"))
    west, cell, _, north, _, _ = grid.GetGeoTransform()
    warped = gdal.Warp("", str(ROOT / "resources" / "sample" / "dem" / "elevation_wc21.tif"), format="MEM",
                       dstSRS=grid.GetProjection(), width=16 * grid.RasterXSize, height=16 * grid.RasterYSize,
                       outputBounds=(west, north - cell * grid.RasterYSize, west + cell * grid.RasterXSize, north),
                       resampleAlg="near", dstNodata=-32768)
    points = np.ma.masked_equal(warped.ReadAsArray(), -32768)
    metres = points.reshape(grid.RasterYSize, 16, grid.RasterXSize, 16).mean(axis=(1, 3)).filled(np.nan)
    known = base & ~np.isnan(stack["elevation"][0]) & ~np.isnan(metres)
    difference = np.abs(unscaled(*stack["elevation"]) - metres)[known]
    assert known.sum() > 0.99 * base.sum() and np.median(difference) < 0.5 and np.percentile(difference, 99) < 10


@pytest.mark.parametrize("one, other, least", [
    ("lst", "frozen_days", -0.8), ("snow", "frozen_days", 0.8), ("peak_ndvi", "sum_ndvi", 0.7), ("soc", "peat", 0.5),
    ("soc", "bulk_density", -0.8), ("elevation", "slope", 0.3)])
def test_predictors_vary_together_as_climate_and_soil_do(chain, stack, one, other, least):
    pair = [stack[role][0][read_raster(chain.folder / "base_map.tif") == 1] for role in (one, other)]
    known = ~np.isnan(pair).any(axis=0)
    assert np.corrcoef(pair[0][known], pair[1][known])[0, 1] / least > 1


def test_the_learned_map_agrees_with_the_index_far_beyond_chance(chain):
    concept, learned = (read_raster(chain.folder / name) for name in ("pti_conceptual.tif", "pti_map.tif"))
    both = ~np.isnan(concept) & ~np.isnan(learned)
    # cells with a gap in a predictor, or a land cover too rare to be drawn, stay empty
    assert both.sum() > 0.9 * (~np.isnan(concept)).sum()
    assert (concept[both] == learned[both]).mean() > 0.3
    agreement, entropy = (read_raster(chain.folder / name) for name in ("pti_agreement.tif", "pti_entropy.tif"))
    for values, high in ((agreement, 100), (entropy, 1)):
        assert (np.isnan(values) == np.isnan(learned)).all()
        assert np.nanmin(values) >= 0 and np.nanmax(values) <= high
    # the filter puts a few cells into a class that no run voted for
    assert np.nanmedian(agreement) >= 50
    assert np.nanmean(entropy[agreement == 100]) < np.nanmean(entropy[agreement <= 50])


def test_station_table_and_points_say_the_same_and_match_the_map(chain):
    from osgeo import gdal, ogr

    rows = rows_of(chain.folder / "stations.csv")
    source = ogr.Open(str(chain.folder / "stations.gpkg"))
    layer = source.GetLayer(0)
    assert layer.GetFeatureCount() == len(rows) >= 45
    assert [feature.GetField("site_magt") or "" for feature in layer] == [row["site_magt"] for row in rows]
    paired = [row for row in rows if row["pair_km"]]
    assert len(paired) == 32 and all(float(row["pair_km"]) <= 5 for row in paired)
    assert {row["match"] for row in paired} >= {"exact"}
    dataset = gdal.Open(str(chain.folder / "pti_map.tif"))
    assert dataset.GetRasterBand(1).GetMaximum() is None or dataset.GetRasterBand(1).GetMaximum() <= 40
    assert {int(row["map_rank"]) for row in rows if row["map_rank"]} <= set(RANKS)


def test_record_of_the_validation_holds_the_printed_station_result(chain):
    record = json.loads((chain.folder / "stations.provenance.json").read_text(encoding="utf-8"))
    summary = record["results"]["summary"]
    assert 0 < summary["exact"]["count"] <= summary["within_one"]["count"] <= summary["exact"]["of"]
    spearman = summary["spearman"]
    assert spearman["low"] < spearman["r"] < spearman["high"] and spearman["n"] >= 15
    assert f"r = {spearman['r']:.2f}" in chain.said
    assert re.search(rf"exact\s+{summary['exact']['count']} of {summary['exact']['of']}", chain.said)


def test_demo_prints_areas_accuracy_and_where_the_map_is(chain):
    for text in ("33 Warm, both positive", "out-of-bag vote", "Stations (simulated)",
                 str(chain.folder / "pti_map.tif"), str(chain.folder / "pti_map.png"),
                 str(chain.folder / "report.html"), str(chain.folder / "report.pdf")):
        assert text in chain.said


def test_kappas_interval_is_shown_with_the_decimals_of_kappa(tmp_path, capsys):
    table = tmp_path / "metrics.csv"
    table.write_text("section,line,value,low,high,n,unit\n"
                     "accuracy,out-of-bag vote,70.123,69.31,71.02,6000,%\n"
                     "agreement,kappa (out-of-bag),0.6712,0.6581,0.6843,6000,\n", encoding="utf-8")
    DEMO.show_accuracy(table)
    said = capsys.readouterr().out
    assert re.search(r"kappa \(out-of-bag\) +0\.67 +\(0\.66 to 0\.68\)", said)
    assert re.search(r"out-of-bag vote +70\.12 % +\(69\.3 to 71\.0\)", said)


def test_map_figure_is_a_large_picture_with_many_colours(chain):
    content = (chain.folder / "pti_map.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert width >= 1500 and height >= 1500 and len(content) > 100_000


def test_the_departures_are_those_of_the_profile_and_of_the_small_numbers(chain):
    record = json.loads((chain.folder / "stations.provenance.json").read_text(encoding="utf-8"))
    held = held_against_paper([*record["steps"], record])
    assert not held.unknown and not held.absent
    found = {(departure.choice.tool, departure.choice.choice) for departure in held.departures}
    small = {("samplepoints", "PER_CLASS"), ("trainxgboost", "RUNS"), ("trainxgboost", "SHAP_RUNS")}
    assert found == small | {
        ("compositeseries", "GAPS"), ("compositeseries", "NIGHT"), ("trendrasters", "METHOD"),
        ("trendrasters", "COVERAGE"), ("trendrasters", "FILL"), ("ensemblelandcover", "cci_202_is_tundra"),
        ("buildpti", "report_untestable_trend"), ("samplepoints", "MAX_MISSING"), ("trainxgboost", "CLASS_WEIGHTS"),
        ("trainxgboost", "stratified_split"), ("trainxgboost", "MAX_MISSING"), ("predictxgboost", "MAX_MISSING"),
        ("validateboreholes", "station_min_years"), ("validateboreholes", "report_untestable_trend")}


def test_the_change_with_later_trends_is_a_layer_and_a_line_of_the_report(chain):
    change = read_raster(chain.folder / "change_with_later_trends.tif")
    differs = ~np.isnan(change) & (change != 0)
    share = 100 * differs.sum() / (~np.isnan(change)).sum()
    assert 5 < share < 40
    page = " ".join(Page((chain.folder / "report.html").read_text(encoding="utf-8")).words)
    assert f"With the trends from 2003 on instead, {share:.2f} % of the ranked area" in re.sub(r"\s+", " ", page)
    runs = [row for row in rows_of(chain.folder / "change_with_later_trends.csv") if row["section"] == "runs"]
    assert [(row["item"].rsplit(" ", 1)[1], row["first"], row["second"]) for row in runs] == [
        ("FIRST_YEAR", "0", "2003")] * 2


class Page(HTMLParser):
    """Collects what a page loads, and its text."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.tags, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            link_to_read = tag == "a" and name == "href"
            if name in ("src", "srcset", "data", "poster", "href", "action") and not link_to_read:
                self.loads.append(value)
            if name == "style":
                self.loads += re.findall(r"url\(([^)]*)\)", value)

    def handle_data(self, data):
        self.loads += re.findall(r"@import\s*(\S+)|url\(([^)]*)\)", data) if self.tags[-1:] == ["style"] else []
        self.words.append(data)


def test_report_is_one_offline_page_with_the_figures_of_the_run(chain):
    page = Page((chain.folder / "report.html").read_text(encoding="utf-8"))
    assert page.loads and all(str(load).startswith("data:") for load in page.loads)
    assert not {"script", "iframe", "object", "embed"} & set(page.tags)
    text = re.sub(r"\s+", " ", " ".join(page.words))
    for row in rows_of(chain.folder / "pti_area.csv"):
        assert f"{int(row['cells']):,}" in text, row["label"]
    for expected in ("SIMULATED", "out-of-bag vote", "spatial-block cross-validation", "Spearman", "45 temperature",
                     "32 pairs"):
        assert expected in text, expected
    assert page.tags.count("img") >= 4 and page.tags.count("table") >= 4
