"""The whole method, tool by tool, on real and proxy data of the Northern Hemisphere, 0.25°, with measured stations.

The temperature products are proxies trained on the very stations, so the accuracies here check the software and
validate nothing. Skipped where the data are absent: their licences differ, and none of them is in the repository.
"""

import csv
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from report_numbers import check_report

from support import read_raster

#: the size of a real study instead of the short form
FULL = bool(os.environ.get("PTI_TEST_FULL"))
#: countries of the world, which QGIS brings along
COUNTRIES = Path("/usr/share/qgis/resources/data/world_map.gpkg")
RANKS = (11, 12, 13, 21, 22, 23, 31, 32, 33, 40)


@pytest.fixture(scope="session", params=("defensible", "as_published") if FULL else ("defensible",))
def real(request, shared_data, provider, tmp_path_factory):
    """The finished run under a profile: ``folder`` with its outputs."""
    import processing

    folder, data = tmp_path_factory.mktemp("real"), tmp_path_factory.mktemp("data") / "real"
    # QGIS writes statistics beside the rasters it opens; beside links they disturb nobody
    shutil.copytree(shared_data, data, copy_function=os.symlink)
    assembled = data / "assembled_0.25deg_45N"
    target = str(assembled / "REAL_pp_cci_v3_median_pct.tif")

    def run(tool, inputs, outputs):
        if provider.algorithm(tool).parameterDefinition("PROFILE"):
            inputs = {**inputs, "PROFILE": ("defensible", "as_published").index(request.param)}
        return processing.run(f"pti:{tool}", {
            **inputs, **{name: str(folder / file) for name, file in outputs.items()}})

    products = {
        "PP": sorted(map(str, assembled.glob("*_pp_*_pct.tif"))), "ABSENT": "REAL_pp_*", "MIN_LATITUDE": 45,
        "MAGT": [str(assembled / f"PROXY_magt_{name}_degC.tif") for name in ("ttop", "insitu_ml", "cci_emulator_2m")],
        "TARGET": target}
    ensemble = run("ensemblepermafrost", products,
                   {"OUTPUT_BASE": "base.tif", "OUTPUT_PP": "pp.tif", "OUTPUT_MAGT": "magt.tif"})
    trends = {role: run("trendrasters", {"INPUT": [str(assembled / f"PROXY_{role}_annual_1988-2012_{unit}.tif")]},
                        {"OUTPUT_SIGN": f"{role}_sign.tif", "OUTPUT_SLOPE": f"{role}_slope.tif"})["OUTPUT_SIGN"]
              for role, unit in (("magt", "degC"), ("alt", "m"))}
    index = run("buildpti", {
        "MAGT": ensemble["OUTPUT_MAGT"], "PP": ensemble["OUTPUT_PP"], "BASE": ensemble["OUTPUT_BASE"],
        "MAGT_TREND": trends["magt"], "ALT_TREND": trends["alt"], "TARGET": target},
        {"OUTPUT": "concept.tif", "OUTPUT_TABLE": "concept.csv"})
    frozen = run("compositeseries", {"INPUT": [str(assembled / "PROXY_frozen_days_annual_1988-2012.tif")],
                                     "STATISTIC": 0, "PERIOD": 1}, {"OUTPUT": "frozen_days.tif"})
    # ETOPO5 holds the sea floor too
    relief = run("slope", {"INPUT": str(data / "dem" / "etopo5_5min_45N.tif"), "TARGET": target,
                           "MIN_ELEVATION": -30}, {"OUTPUT": "slope.tif", "OUTPUT_ELEVATION": "elevation.tif"})
    stack = run("predictorstack", {
        "FROZEN_DAYS": frozen["OUTPUT"], "ELEVATION": relief["OUTPUT_ELEVATION"], "SLOPE": relief["OUTPUT"],
        "LAND_COVER": str(data / "landcover" / "mcd12c1_2019_igbp_0.05deg_45N.tif"),
        "PEAK_NDVI": str(data / "ndvi" / "modis_NDVI_maximum_0.05deg_45N.tif"),
        "SOC": str(data / "soil" / "hwsd12_T_OC_pctweight_0.05deg_45N.tif"),
        "OWN": [str(data / "ndvi" / "modis_NDVI_minimum_0.05deg_45N.tif"),
                str(data / "soil" / "hwsd12_T_SAND_pctweight_0.05deg_45N.tif")],
        "OWN_ROLES": "modis_NDVI_minimum*=least_ndvi; hwsd12_T_SAND*=sand", "OWN_GROUPS": "sand=soil",
        "BASE": ensemble["OUTPUT_BASE"], "TARGET": target}, {"OUTPUT": "stack.tif", "OUTPUT_RANGES": "ranges.csv"})
    runs, rounds, per_class, step = (100, 100, 2000, 8) if FULL else (4, 20, 150, 40)
    samples = run("samplepoints", {
        "PTI": index["OUTPUT"], "STACK": stack["OUTPUT"], "SEED": 42, "PER_CLASS": per_class, "SPACING": 25,
        "EDGE_BUFFER": 0}, {"OUTPUT": "samples.gpkg", "OUTPUT_TABLE": "samples.csv"})
    trained = run("trainxgboost", {
        "SAMPLES": samples["OUTPUT"], "RUNS": runs, "ROUNDS": rounds, "SELECT": "rfecv", "SEED": 42},
        {"OUTPUT_MODEL": "pti.ptimodel", "OUTPUT_METRICS": "trained.csv", "OUTPUT_SHAP": "shap.csv",
         "OUTPUT_SELECTION": "selection.csv"})
    predicted = run("predictxgboost", {
        "STACK": stack["OUTPUT"], "MODEL": trained["OUTPUT_MODEL"], "BASE": index["OUTPUT"],
        "REFERENCE": index["OUTPUT"]},
        {"OUTPUT": "map.tif", "OUTPUT_TABLE": "map.csv", "OUTPUT_METRICS": "metrics.csv",
         "OUTPUT_APPLICABILITY": "applicability.tif", "OUTPUT_OUTSIDE": "outside.tif"})
    run("drivermaps", {"STACK": stack["OUTPUT"], "MODEL": trained["OUTPUT_MODEL"], "BASE": index["OUTPUT"],
                       "RUNS": 2, "STEP": step},
        {"OUTPUT": "drivers.tif", "OUTPUT_GROUPS": "groups.tif", "OUTPUT_TABLE": "drivers.csv"})
    comparison = run("compareprofiles", {
        **products, "MAGT_TREND": trends["magt"], "ALT_TREND": trends["alt"],
        "PRODUCTS": "*cci*=CCI; *ttop*=TTOP; *ipa*=IPA and ML; *insitu_ml*=IPA and ML"},
        {"OUTPUT": "difference.tif", "OUTPUT_STABILITY": "stability.tif", "OUTPUT_TABLE": "comparison.csv"})
    zones = run("summarizezones", {
        "PTI": predicted["OUTPUT"], "ZONES": f"{COUNTRIES}|layername=countries" if COUNTRIES.is_file() else None,
        "FIELD": "NAME", "PP": ensemble["OUTPUT_PP"], "PREDICTORS": [stack["OUTPUT"]]},
        {"OUTPUT_TABLE": "zones.csv"})
    run("assessaccuracy", {"CLASSIFIED": predicted["OUTPUT"], "REFERENCE": index["OUTPUT"]},
        {"OUTPUT_TABLE": "assessment.csv", "OUTPUT_REPORT": "assessment.html"})
    for name, thaw_depth in (("stations", "GTN-P_CALM_ALT_1990-2024_PANGAEA972777.tab"),
                             ("calm", "CALM_Summary_table.xls"), ("pvir", "pvir_inSitu_alt.csv")):
        run("validateboreholes", {
            "PTI": predicted["OUTPUT"], "BASE": ensemble["OUTPUT_BASE"], "MAGT": ensemble["OUTPUT_MAGT"],
            "STATIONS_MAGT": str(data / "insitu" / "pvir_MAGT_inSitu_v3_2020.csv"),
            "STATIONS_ALT": str(data / "insitu" / thaw_depth), "PRODUCTS": "insitu_ml; cci_emulator_2m",
            "METRICS": predicted["OUTPUT_METRICS"], "SHAP": trained["OUTPUT_SHAP"],
            "SELECTION": trained["OUTPUT_SELECTION"], "ZONES": zones["OUTPUT_TABLE"],
            "COMPARISON": comparison["OUTPUT_TABLE"],
            "NOTE": "Temperature proxies trained on these stations: a check of the software, not a validation."},
            {"OUTPUT": f"{name}.gpkg", "OUTPUT_TABLE": f"{name}.csv", "OUTPUT_REPORT": f"{name}.html",
             **({"OUTPUT_MAP": "map.png", "OUTPUT_PDF": "report.pdf", "OUTPUT_SCATTER": "scatter.png",
                 "OUTPUT_SCATTER_MAGT": "magt.png"} if name == "stations" else {})})
    return SimpleNamespace(folder=folder)


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_conceptual_index_has_all_ten_ranks(real):
    ranks = read_raster(real.folder / "concept.tif")
    rows = rows_of(real.folder / "concept.csv")
    for row in rows:
        print(f"{row['label']:<30}{row['cells']:>8}{float(row['area_km2']):>16,.0f} km²{row['share_percent']:>9} %")
    assert set(np.unique(ranks[~np.isnan(ranks)])) == set(RANKS)
    assert all(float(row["area_km2"]) > 10_000 for row in rows)


def test_areas_are_those_of_the_ellipsoid_and_not_of_degrees(real):
    from pyproj import Geod

    ranks = read_raster(real.folder / "concept.tif")
    geod = Geod(ellps="WGS84")
    # the parallels of a cell are no geodesics, so many short steps stand in for them
    degrees = np.linspace(0, 0.25, 26)
    cells = np.array([abs(geod.polygon_area_perimeter(
        [*degrees, *degrees[::-1]], [90 - 0.25 * row] * 26 + [90 - 0.25 * (row + 1)] * 26)[0]) / 1e6
        for row in range(ranks.shape[0])])
    for row in rows_of(real.folder / "concept.csv"):
        expected = ((ranks == int(row["rank"])).sum(axis=1) * cells).sum()
        assert float(row["area_km2"]) == pytest.approx(expected, rel=1e-5)


def test_permafrost_area_and_its_tiers_are_plausible(real):
    rows = {int(row["rank"]): float(row["area_km2"]) for row in rows_of(real.folder / "concept.csv")}
    assert 14e6 < sum(rows.values()) < 24e6
    # half of Alaska's and most of Siberia's permafrost is colder than the rest
    assert sum(rows[rank] for rank in (11, 12, 13)) > sum(rows[rank] for rank in (21, 22, 23))


def test_predictors_of_five_grids_and_the_users_own_are_scaled_by_plausible_ranges(real):
    rows = {row["role"]: row for row in rows_of(real.folder / "ranges.csv")}
    assert list(rows) == ["frozen_days", "land_cover", "peak_ndvi", "soc", "elevation", "slope", "least_ndvi", "sand"]
    plausible = {"frozen_days": (0, 366), "peak_ndvi": (-0.2, 1), "least_ndvi": (-0.5, 1), "soc": (0, 60),
                 "sand": (0, 100), "elevation": (-30, 7000), "slope": (0, 45)}
    for role, (low, high) in plausible.items():
        assert low <= float(rows[role]["low"]) < float(rows[role]["high"]) <= high, rows[role]
        assert int(rows[role]["cells"]) > 0.9 * (int(rows[role]["cells"]) + int(rows[role]["missing"])), rows[role]
    assert rows["sand"]["group"] == "soil" and rows["least_ndvi"]["group"] == "other"


def test_the_map_is_learned_with_an_honest_order_of_accuracies(real):
    panel = {row["line"]: float(row["value"]) for row in rows_of(real.folder / "metrics.csv")
             if row["section"] == "accuracy"}
    in_sample = next(value for line, value in panel.items() if line.startswith("in-sample"))
    blocks = next(value for line, value in panel.items() if line.startswith("spatial-block"))
    assert 25 < blocks < panel["out-of-bag vote"] < in_sample
    wall_to_wall = next(value for line, value in panel.items() if line.startswith("wall to wall"))
    # away from the samples lie the wide and easy parts of the large ranks, so it may be above all that points say
    assert blocks < wall_to_wall
    for row in rows_of(real.folder / "metrics.csv"):
        if row["section"] in ("accuracy", "agreement"):
            print(f"{row['line']:<60}{float(row['value']):>8.2f} {row['low']:>12} {row['high']:>12}{row['n']:>9}")
    learned = read_raster(real.folder / "map.tif")
    assert len(np.unique(learned[~np.isnan(learned)])) == 10


def test_the_samples_keep_their_distance_and_say_what_limited_them(real):
    rows = {row["rank"]: row for row in rows_of(real.folder / "samples.csv")}
    print(*rows.values(), sep="\n")
    assert {int(rank) for rank in rows if rank.isdigit()} == set(RANKS)
    assert all(float(row["nearest_km"]) >= 25 for row in rows.values() if row["rank"].isdigit())


def test_most_of_the_map_lies_in_the_area_of_applicability(real):
    inside, learned = read_raster(real.folder / "applicability.tif"), read_raster(real.folder / "map.tif")
    np.testing.assert_array_equal(np.isnan(inside), np.isnan(learned))
    assert 0.8 < np.nanmean(inside) <= 1


def test_every_explained_cell_has_a_driver_and_shares_that_add_up(real):
    drivers = read_raster(real.folder / "drivers.tif")
    # five groups, and that of the user's own predictors
    shares = np.stack([read_raster(real.folder / "groups.tif", band) for band in range(1, 7)])
    known = ~np.isnan(drivers)
    assert known.sum() > 20 and len(np.unique(drivers[known])) > 1
    np.testing.assert_allclose(shares[:, known].sum(axis=0), 100, rtol=1e-4)
    print(*rows_of(real.folder / "drivers.csv")[:12], sep="\n")


def test_the_map_agrees_with_its_reference_as_the_prediction_says(real):
    rows = {row["line"]: row for row in rows_of(real.folder / "assessment.csv")}
    learned, concept = read_raster(real.folder / "map.tif"), read_raster(real.folder / "concept.tif")
    both = ~np.isnan(learned) & ~np.isnan(concept)
    assert int(rows["overall accuracy (cells)"]["n"]) == both.sum()
    assert float(rows["overall accuracy (cells)"]["value"]) == pytest.approx(100 * (learned == concept)[both].mean())


def test_zones_and_the_stability_of_ranks_are_told(real):
    zones = {row["zone"]: row for row in rows_of(real.folder / "zones.csv")}
    areas = {row["rank"]: float(row["area_km2"]) for row in rows_of(real.folder / "map.csv")}
    for rank in RANKS:
        assert float(zones["Whole map"][f"area_{rank}_km2"]) == pytest.approx(areas[str(rank)], rel=1e-6)
    if COUNTRIES.is_file():
        largest = max((row for name, row in zones.items() if name != "Whole map"),
                      key=lambda row: float(row["area_km2"]))
        assert largest["zone"] == "Russia" and 8e6 < float(largest["area_km2"]) < 14e6
    rows = [row for row in rows_of(real.folder / "comparison.csv") if row["section"] == "leave_one_out"]
    print(*rows, sep="\n")
    assert {row["item"] for row in rows} == {"CCI", "TTOP", "IPA and ML", "any product"}
    assert all(0 < float(row["share_percent"]) < 60 for row in rows)


@pytest.mark.parametrize("name", ["stations", "calm", "pvir"])
def test_measured_stations_are_read_paired_and_compared(real, name):
    record = json.loads((real.folder / f"{name}.provenance.json").read_text(encoding="utf-8"))
    summary = record["results"]["summary"]
    print(name, {key: summary[key] for key in ("magt_sites", "alt_sites", "paired", "compared", "exact", "within_one",
                                               "tier", "spearman", "magt_agreement")})
    rows = rows_of(real.folder / f"{name}.csv")
    assert len(rows) > 400
    pairs = [row for row in rows if row["pair_km"]]
    assert len(pairs) > 10 and all(float(row["pair_km"]) <= 5 for row in pairs)
    # a decimal comma read wrongly would put temperatures in the millions
    assert all(-25 < float(row["magt"]) < 20 for row in rows if row["magt"])
    # two sites in Mongolia report 7 and 12 m, all others less than 6
    assert sum(not 0.1 < float(row["alt"]) < 6 for row in rows if row["alt"]) <= 4
    assert -1 <= summary["spearman"]["r"] <= 1 and summary["spearman"]["n"] >= 5
    assert "insitu_ml" in " ".join(record["warnings"])


def test_every_number_of_the_report_is_that_of_the_file_it_names(real):
    figures, kinds = check_report(real.folder / "stations.html", real.folder / "stations.provenance.json")
    assert len(figures) > 40 and {"zones", "comparison", "stations", "selection", "trends"} <= kinds
    page = (real.folder / "stations.html").read_text(encoding="utf-8")
    assert "10.1594/PANGAEA.972777" in page and str(real.folder) not in page
    assert (real.folder / "report.pdf").read_bytes().startswith(b"%PDF-")
