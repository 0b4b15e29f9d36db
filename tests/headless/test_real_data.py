"""The bundled chain on real and proxy data of the Northern Hemisphere, 0.25°, with measured stations.

The temperature products are proxies trained on the very stations, so the accuracies here check the software and
validate nothing. Skipped where the data are absent: their licences differ, and none of them is in the repository.
"""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from support import ROOT, read_raster, run_arguments

RANKS = (11, 12, 13, 21, 22, 23, 31, 32, 33, 40)
#: predictor → (file below the data folder, how cells are joined)
PREDICTORS = {
    "land_cover": ("landcover/mcd12c1_2019_igbp_0.05deg_45N.tif", "mode"),
    "peak_ndvi": ("ndvi/modis_NDVI_maximum_0.05deg_45N.tif", "average"),
    "least_ndvi": ("ndvi/modis_NDVI_minimum_0.05deg_45N.tif", "average"),
    "elevation": ("dem/etopo5_5min_45N.tif", "average"),
    "soc": ("soil/hwsd12_T_OC_pctweight_0.05deg_45N.tif", "average"),
    "sand": ("soil/hwsd12_T_SAND_pctweight_0.05deg_45N.tif", "average"),
}


def make_stack(data, path):
    """Write a predictor stack on the grid of the assembled set from real layers."""
    from osgeo import gdal

    series = gdal.Open(str(data / "assembled_0.25deg_45N" / "PROXY_frozen_days_annual_1988-2012.tif"))
    days = series.ReadAsArray().astype("float32")
    days[days == series.GetRasterBand(1).GetNoDataValue()] = np.nan
    layers = {"frozen_days": np.nanmean(np.where(np.isnan(days).all(axis=0), 0, days), axis=0) * 0.1}
    layers["frozen_days"][np.isnan(days).all(axis=0)] = np.nan
    west, step, _, north, _, _ = series.GetGeoTransform()
    bounds = (west, north - step * series.RasterYSize, west + step * series.RasterXSize, north)
    for name, (file, method) in PREDICTORS.items():
        warped = gdal.Warp("", str(data / file), format="MEM", outputBounds=bounds, width=series.RasterXSize,
                           height=series.RasterYSize, resampleAlg=method, outputType=gdal.GDT_Float32)
        band = warped.GetRasterBand(1)
        values = band.ReadAsArray()
        values[values == band.GetNoDataValue()] = np.nan
        layers[name] = values
    target = gdal.GetDriverByName("GTiff").Create(str(path), series.RasterXSize, series.RasterYSize, len(layers),
                                                  gdal.GDT_Float32, ["COMPRESS=DEFLATE"])
    target.SetGeoTransform(series.GetGeoTransform())
    target.SetProjection(series.GetProjection())
    for number, (name, values) in enumerate(layers.items(), start=1):
        band = target.GetRasterBand(number)
        band.SetDescription(name)
        band.SetNoDataValue(-9999)
        band.WriteArray(np.where(np.isnan(values), -9999, values))
    target.FlushCache()


@pytest.fixture(scope="session")
def real(shared_data, qgis_process, tmp_path_factory):
    """The finished run: ``folder`` with its outputs."""
    folder = tmp_path_factory.mktemp("real")
    assembled, cover = shared_data / "assembled_0.25deg_45N", ROOT / "resources" / "sample" / "landcover"
    make_stack(shared_data, folder / "stack.tif")
    done = qgis_process(run_arguments("fullchain", {
        "PP": sorted(assembled.glob("*_pp_*_pct.tif")),
        "MAGT": [assembled / f"PROXY_magt_{name}_degC.tif" for name in ("ttop", "insitu_ml", "cci_emulator_2m")],
        "ABSENT": "REAL_pp_*",
        "MAGT_SERIES": assembled / "PROXY_magt_annual_1988-2012_degC.tif",
        "ALT_SERIES": assembled / "PROXY_alt_annual_1988-2012_m.tif",
        "CCI": sorted(cover.glob("cci_lc_*.tif")), "GLCC": cover / "glcc_ecosystems.tif", "CAVM": cover / "cavm.tif",
        "TARGET": assembled / "REAL_pp_cci_v3_median_pct.tif", "STACK": folder / "stack.tif",
        "STATIONS_MAGT": shared_data / "insitu" / "pvir_MAGT_inSitu_v3_2020.csv",
        "STATIONS_ALT": shared_data / "insitu" / "pvir_inSitu_alt.csv",
        "RUNS": 4, "ROUNDS": 20, "PER_CLASS": 200, "SEED": 42,
        "NOTE": "Proxies trained on these stations: a check of the software, not a validation.",
        "ensemble:BASE": folder / "base.tif", "ensemble:PP": folder / "pp.tif", "ensemble:MAGT": folder / "magt.tif",
        "magt_trend:SIGN": folder / "magt_sign.tif", "alt_trend:SIGN": folder / "alt_sign.tif",
        "magt_trend:SLOPE": folder / "magt_slope.tif", "alt_trend:SLOPE": folder / "alt_slope.tif",
        "landcover:COVER": folder / "cover.tif",
        "index:PTI": folder / "concept.tif", "index:TABLE": folder / "concept.csv",
        "train:MODEL": folder / "pti.ptimodel", "train:METRICS": folder / "metrics.csv",
        "train:SHAP": folder / "shap.csv",
        "predict:PTI": folder / "map.tif", "predict:TABLE": folder / "map.csv",
        "validate:STATIONS": folder / "stations.gpkg", "validate:TABLE": folder / "stations.csv",
        "validate:MAP": folder / "map.png", "validate:REPORT": folder / "report.html"}))
    assert done.code == 0, done.stdout + done.stderr
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


def test_the_map_is_learned_with_an_honest_order_of_accuracies(real):
    panel = {row["line"]: float(row["value"]) for row in rows_of(real.folder / "metrics.csv")
             if row["section"] == "accuracy"}
    in_sample = next(value for line, value in panel.items() if line.startswith("in-sample"))
    blocks = next(value for line, value in panel.items() if line.startswith("spatial-block"))
    assert 25 < blocks < panel["out-of-bag vote"] < in_sample
    learned = read_raster(real.folder / "map.tif")
    assert len(np.unique(learned[~np.isnan(learned)])) == 10


def test_measured_stations_are_read_paired_and_compared(real):
    record = json.loads((real.folder / "stations.provenance.json").read_text(encoding="utf-8"))
    summary = record["results"]["summary"]
    rows = rows_of(real.folder / "stations.csv")
    assert len(rows) > 400
    pairs = [row for row in rows if row["pair_km"]]
    assert len(pairs) > 10 and all(float(row["pair_km"]) <= 5 for row in pairs)
    # a decimal comma read wrongly would put temperatures in the millions
    assert all(-25 < float(row["magt"]) < 20 for row in rows if row["magt"])
    # two sites in Mongolia report 7 and 12 m, all others less than 6
    assert sum(not 0.1 < float(row["alt"]) < 6 for row in rows if row["alt"]) <= 2
    assert -1 <= summary["spearman"]["r"] <= 1 and summary["spearman"]["n"] >= 5
    assert (real.folder / "report.html").stat().st_size > 100_000
