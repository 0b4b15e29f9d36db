"""The comparison with stations as a tool: maps on any grid, limits, plots, and what it refuses or warns of."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pti_plugin.core.common.ranks import CODES, RANKS
from pti_plugin.core.reporting import figures
from support import record_in, write_raster

#: degrees: 20 rows from 80 to 60° N, 40 columns from 0 to 40° E
DEGREES = (0.0, 1.0, 0.0, 80.0, 0.0, -1.0)
#: 50 km cells round the North Pole
POLAR = (-4000000.0, 50000.0, 0.0, 4000000.0, 0.0, -50000.0)
YEARS = range(2008, 2016)
#: trends (temperature, thaw depth) of the second digit of a rank
TRENDS = {1: (0, 0), 2: (1, 0), 3: (1, 1)}
MEANS = {1: -6.0, 2: -2.0, 3: 1.0}


@pytest.fixture(autouse=True)
def coarse_maps(monkeypatch):
    """Maps of fewer cells than a printed page needs, for speed."""
    monkeypatch.setattr(figures, "MAP_CELLS", 150)


def polar_x(longitude, latitude):
    from osgeo import osr

    systems = [osr.SpatialReference(), osr.SpatialReference()]
    for system, code in zip(systems, (4326, 3995)):
        system.ImportFromEPSG(code)
        system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return osr.CoordinateTransformation(*systems).TransformPoint(longitude, latitude)[0]


def sites(count=9):
    """Return (rank, latitude, longitude): a site in the middle of a row of each rank of the map, 40 left out."""
    return [(CODES[i], 79.5 - i, 2.5 + 3 * i) for i in range(count)]


def station_table(path, kind, rows, swap=False):
    """Write a table of annual values whose stations get the ranks of ``rows``."""
    header = ["site", "latitude", "longitude", "elevation", "year", {"magt": "magt_degC", "alt": "alt_cm"}[kind]]
    lines = [",".join(header)]
    for i, (rank, latitude, longitude) in enumerate(rows):
        trend = TRENDS[rank % 10][kind == "alt"]
        place = (longitude, latitude) if swap else (latitude, longitude)
        for k, year in enumerate(YEARS):
            step = k if trend else (-1) ** k
            value = MEANS[rank // 10] + 0.05 * step if kind == "magt" else 80 + step
            # the thaw depth sites lie 1 km north, every third 300 m higher
            north = 0.009 if kind == "alt" and not swap else 0
            lines.append(f"{kind[0].upper()}{i},{place[0] + north:.4f},{place[1]:.4f},"
                         f"{100 + (300 if kind == 'alt' and i % 3 == 0 else 0)},{year},{value:.3f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stations")
    ranks = np.repeat(np.array([CODES[i % 10] for i in range(20)])[:, None], 40, axis=1)
    # the map misses the rank of the third station by three places
    ranks[2, :] = 23
    x = POLAR[0] + POLAR[1] * (np.arange(160) + 0.5)
    magt = np.tile(x / 1e6 - 5, (160, 1))
    return {
        "PTI": write_raster(folder / "pti.tif", ranks, nodata=0, crs="EPSG:4326", transform=DEGREES, dtype="uint8"),
        "STATIONS_MAGT": station_table(folder / "magt.csv", "magt", sites()),
        "STATIONS_ALT": station_table(folder / "alt.csv", "alt", sites()),
        # in K, and saying so
        "MAGT": write_raster(folder / "magt.tif", (magt + 273.15).astype("float32"), crs="EPSG:3995",
                             transform=POLAR, unit="K"),
    }


def outputs(folder, *names):
    endings = {"OUTPUT": "gpkg", "OUTPUT_TABLE": "csv", "OUTPUT_REPORT": "html"}
    return {name: str(folder / f"{name.lower()}.{endings.get(name, 'png')}")
            for name in ("OUTPUT", "OUTPUT_REPORT", *names)}


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def summary_beside(path):
    return json.loads(Path(path).with_suffix(".provenance.json").read_text(encoding="utf-8"))["results"]["summary"]


def drawn(path):
    """Return {label: points drawn} of the rules of the style that QGIS finds beside a layer."""
    from qgis.core import QgsVectorLayer

    layer = QgsVectorLayer(path, "stations")
    counts = {}
    for rule in layer.renderer().rootRule().descendants():
        if rule.symbol():
            layer.setSubsetString(rule.filterExpression())
            counts[rule.label()] = layer.featureCount()
    return counts


def refused(run, parameters, folder, told):
    from qgis.core import QgsProcessingException

    folder.mkdir(exist_ok=True)
    with pytest.raises(QgsProcessingException, match=told):
        run("validateboreholes", {**parameters, **outputs(folder)})
    assert not list(folder.iterdir())


def test_map_and_temperatures_on_grids_of_their_own_are_compared_at_the_stations(run, inputs, tmp_path):
    plots = ("OUTPUT_TABLE", "OUTPUT_SCATTER", "OUTPUT_SCATTER_MAGT")
    made = run("validateboreholes", {**inputs, "PRODUCTS": "NIEER", **outputs(tmp_path, *plots)})
    rows = rows_of(made["OUTPUT_TABLE"])
    assert [rows[0][name] for name in ("site_magt", "site_rank", "map_rank", "match")] == ["M2", "13", "23", "further"]
    assert {(row["site_rank"], row["map_rank"], row["match"]) for row in rows[1:]} == {
        (str(code), str(code), "exact") for code in CODES[:9] if code != 13}
    summary = summary_beside(made["OUTPUT"])
    assert (summary["paired"], summary["compared"], summary["exact"]["count"]) == (9, 9, 8)
    expected = [polar_x(longitude, latitude) / 1e6 - 5 - float(
        next(row["magt"] for row in rows if row["site_magt"] == f"M{i}"))
        for i, (_, latitude, longitude) in enumerate(sites())]
    found = {row["site_magt"]: float(row["magt_diff"]) for row in rows}
    # a value is that of its cell, 50 km wide
    assert [found[f"M{i}"] for i in range(9)] == pytest.approx(expected, abs=0.026)
    assert summary["magt_agreement"]["bias"] == pytest.approx(np.mean(list(found.values())))
    assert summary["tier_confusion"]["matrix"] == [[2, 0, 0, 0], [1, 3, 0, 0], [0, 0, 3, 0], [0, 0, 0, 0]]
    assert [Path(made[name]).read_bytes()[:4] for name in plots[1:]] == [b"\x89PNG"] * 2
    assert {label: count for label, count in drawn(made["OUTPUT"]).items() if count} == {
        "Same rank": 8, "Further off": 1, **{rank.label: 1 for rank in RANKS[:9]}}


def test_stations_on_water_are_searched_like_those_without_a_rank_and_listed(run, inputs, tmp_path):
    """Rows of the map are ranks; those of stations 0 and 4 to 6 are water, so that 5 has no other cell near it."""
    cover = np.full((20, 40), 130)
    cover[[0, 4, 5, 6]] = 210
    cover[2, 20:] = 220
    exclude = write_raster(tmp_path / "cover.tif", cover, nodata=0, crs="EPSG:4326", transform=DEGREES, dtype="uint8")
    folder = tmp_path / "made"
    folder.mkdir()
    made = run("validateboreholes", {**inputs, "EXCLUDE": exclude, **outputs(folder, "OUTPUT_TABLE", "OUTPUT_MAP")})
    rows = {row["site_magt"]: row for row in rows_of(made["OUTPUT_TABLE"])}
    by_row = [CODES[i % 10] for i in range(20)]
    by_row[2] = 23
    near = {0: 1, 4: 3, 6: 7}
    for i in range(9):
        row = rows[f"M{i}"]
        if i == 5:
            assert (row["map_rank"], row["match"]) == ("", "") and "its own has a class left out (210)" in row["note"]
            continue
        assert row["map_rank"] == str(by_row[near.get(i, i)])
        said = "map value from the nearest valid cell 1.0 cells away, its own has a class left out (210)"
        assert (said in row["note"]) == (i in near), row["note"]
    summary = summary_beside(made["OUTPUT"])
    assert (summary["left_out"], summary["no_data"], summary["from_neighbour"], summary["compared"]) == (4, 1, 3, 8)
    record = record_in(Path(made["OUTPUT"]).with_suffix(".provenance.json"))
    assert record["parameters"]["EXCLUDE_CODES"] == "210, 220"
    assert next(entry for entry in record["inputs"] if entry["role"] == "EXCLUDE")["path"] == exclude
    # the areas of the report leave the cells out, too
    kept = np.repeat(np.array(by_row)[:, None], 40, axis=1)[np.isin(cover, (210, 220), invert=True)]
    assert {row["rank"]: row["cells"] for row in record["results"]["areas"]} == {
        code: int((kept == code).sum()) for code in CODES}
    page = Path(made["OUTPUT_REPORT"]).read_text(encoding="utf-8")
    assert "4 temperature site(s) lie on a cell that is left out (classes 210, 220 of cover.tif)" in page


def test_temperature_and_percent_at_stations_leave_out_the_same_cells(run, inputs, tmp_path):
    cover = write_raster(tmp_path / "cover.tif", np.full((20, 40), 210), nodata=0, crs="EPSG:4326", transform=DEGREES,
                         dtype="uint8")
    half = np.full((20, 40), 130)
    half[3] = 220
    half = write_raster(tmp_path / "half.tif", half, nodata=0, crs="EPSG:4326", transform=DEGREES, dtype="uint8")
    magt = write_raster(tmp_path / "magt.tif", np.repeat(np.arange(20.0)[:, None] - 10, 40, axis=1), crs="EPSG:4326",
                        transform=DEGREES)
    folder = tmp_path / "made"
    folder.mkdir()
    made = run("validateboreholes", {**inputs, "MAGT": magt, "EXCLUDE": half, **outputs(folder, "OUTPUT_TABLE")})
    rows = {row["site_magt"]: row for row in rows_of(made["OUTPUT_TABLE"])}
    assert float(rows["M3"]["map_magt"]) == -8.0 and float(rows["M4"]["map_magt"]) == -6.0
    assert "MAGT from the nearest valid cell" in rows["M3"]["note"]
    refused(run, {**inputs, "EXCLUDE": cover}, tmp_path / "refused", "holds no PTI rank")
    refused(run, {**inputs, "EXCLUDE": half, "EXCLUDE_CODES": "water"}, tmp_path / "words", "whole numbers")


def test_other_maps_and_single_products_stand_side_by_side_at_the_same_stations(run, inputs, tmp_path):
    def rows_of_values(values, name, **options):
        layer = np.repeat(np.array(values, dtype="float32")[:, None], 40, axis=1)
        return write_raster(tmp_path / name, layer, crs="EPSG:4326", transform=DEGREES, **options)

    by_row = [CODES[i % 10] for i in range(20)]
    other = [*by_row[:7], 0, *by_row[8:]]
    other[1] = 13
    concept = rows_of_values(other, "concept.tif", nodata=0, dtype="uint8")
    truth = [MEANS.get(code // 10, -1.0) for code in by_row]
    # one product warm by 1 °C and in kelvin, one right but without a value at station 8 or near it
    magt = [rows_of_values(np.array(truth) + 274.15, "warm_magt.tif", unit="K"),
            rows_of_values([*truth[:7], *[-9999] * 3, *truth[10:]], "right_magt.tif", nodata=-9999)]
    pp = [rows_of_values(np.full(20, 90.0), f"{name}_pp.tif") for name in ("warm", "right")]
    trends = [rows_of_values([TRENDS[code % 10][k] if code != 40 else 0 for code in by_row], f"sign_{k}.tif")
              for k in (0, 1)]
    given = {**inputs, "OTHER_MAPS": [concept], "PRODUCTS_MAGT": magt, "PRODUCTS_PP": pp, "SEARCH": 0,
             "MAGT_TREND": trends[0], "ALT_TREND": trends[1]}
    folder = tmp_path / "made"
    folder.mkdir()
    made = run("validateboreholes", {**given, **outputs(folder, "OUTPUT_TABLE"),
                                     "OUTPUT_SIDE_BY_SIDE": str(folder / "beside.csv")})
    rows = {row["map"]: row for row in rows_of(made["OUTPUT_SIDE_BY_SIDE"])}
    assert [row["kind"] for row in rows.values()] == ["the map validated", "ground temperature", "PTI map",
                                                     "single product", "single product"]
    # stations 7 and 8 lack a rank in the other map or in a product: seven are common to all
    assert {row["with_rank"] for row in rows.values()} == {"9", "", "8", "7"}
    assert {row["ranks_compared"] for row in rows.values()} == {"7", ""}
    # the map misses station 2 by three places, the other one station 1 by one; warm shifts -2 to -1 °C: cool to warm
    right = {"pti.tif": (6, 6), "concept.tif": (6, 7), "right": (7, 7), "warm": (4, 4)}
    for name, (exact, near) in right.items():
        assert float(rows[name]["exact_percent"]) == pytest.approx(100 * exact / 7)
        assert float(rows[name]["within_one_percent"]) == pytest.approx(100 * near / 7)
    assert float(rows["warm"]["tier_percent"]) == pytest.approx(100 * 4 / 7)
    stations = {row["site_magt"]: float(row["magt"]) for row in rows_of(made["OUTPUT_TABLE"])}
    misses = np.array([truth[i] + 1 - stations[f"M{i}"] for i in range(7)])
    assert float(rows["warm"]["magt_bias"]) == pytest.approx(misses.mean(), abs=1e-4)
    assert float(rows["warm"]["magt_rmse"]) == pytest.approx(np.sqrt((misses ** 2).mean()), abs=1e-4)
    assert float(rows["right"]["magt_mae"]) == pytest.approx(np.abs(misses - 1).mean(), abs=1e-4)
    assert {row["magt_compared"] for row in rows.values()} == {"", "7"}
    page = Path(made["OUTPUT_REPORT"]).read_text(encoding="utf-8")
    assert "Maps and single products side by side, at the same stations" in page and "concept.tif" in page
    for changed, told in (({"ALT_TREND": None}, "Give both"), ({"PRODUCTS_MAGT": None}, "without PRODUCTS_MAGT"),
                          ({"PRODUCTS_PP": None}, "rank the single products"),
                          ({"OTHER_MAPS": None, "PRODUCTS_PP": None, "PRODUCTS_MAGT": None, "ALT_TREND": None,
                            "MAGT_TREND": None, "OUTPUT_SIDE_BY_SIDE": str(tmp_path / "refused" / "b.csv")},
                           "needs other maps or products"),
                          ({"OTHER_MAPS": [trends[0]]}, "no PTI rank")):
        refused(run, {**given, **changed}, tmp_path / "refused", told)


def without_coordinates(table, folder):
    """Write a station table as a folder of one file without coordinates, and a table of its sites; return both."""
    rows = rows_of(table)
    (folder / "data").mkdir(parents=True)
    values = ["site,year,magt_degC", *(f"{row['site']},{row['year']},{row['magt_degC']}" for row in rows)]
    places = sorted({f"{row['site']},{row['latitude']},{row['longitude']}" for row in rows})
    (folder / "data" / "values.csv").write_text("\n".join(values) + "\n", encoding="utf-8")
    (folder / "sites.csv").write_text("\n".join(["site,latitude,longitude", *places]) + "\n", encoding="utf-8")
    return str(folder / "data"), str(folder / "sites.csv")


def test_limits_thresholds_a_folder_and_a_table_of_sites_reach_the_result(run, inputs, tmp_path):
    made = run("validateboreholes", {**inputs, "ELEVATION_LIMIT": 50, "THRESHOLDS": "-1; 0; 3; 10",
                                     **outputs(tmp_path, "OUTPUT_TABLE")})
    rows = {row["site_magt"]: row for row in rows_of(made["OUTPUT_TABLE"])}
    assert (summary_beside(made["OUTPUT"])["paired"], rows["M3"]["site_alt"], rows["M4"]["site_alt"]) == (6, "", "A4")
    assert "m of elevation; the nearest, A3, lies 300 m higher" in rows["M3"]["note"]
    assert rows["M4"]["site_rank"] == "12", "-2 °C is cold where the limit is -1 °C"
    (tmp_path / "lone").mkdir()
    folder, table = without_coordinates(inputs["STATIONS_MAGT"], tmp_path / "bare")
    lone = run("validateboreholes", {"PTI": inputs["PTI"], "STATIONS_MAGT": folder, "SITES": table,
                                     **outputs(tmp_path / "lone", "OUTPUT_SCATTER")})
    record = json.loads((tmp_path / "lone" / "output.provenance.json").read_text(encoding="utf-8"))
    summary = record["results"]["summary"]
    assert (summary["magt_sites"], summary["paired"], summary["compared"], summary["tier"]["count"]) == (9, 0, 0, 8)
    assert any("No thaw-depth sites were given" in warning for warning in record["warnings"])
    assert Path(lone["OUTPUT_SCATTER"]).read_bytes()[:4] == b"\x89PNG"
    # a folder is recorded by its files, each with its checksum
    assert [Path(entry["path"]).name for entry in record["inputs"]] == ["pti.tif", "values.csv", "sites.csv"]
    assert all(len(entry["sha256"]) == 64 for entry in record["inputs"])


def test_what_is_wrong_with_maps_and_stations_is_refused_with_its_remedy(run, inputs, tmp_path):
    kelvin = write_raster(tmp_path / "kelvin.tif", np.full((160, 160), 268.0), crs="EPSG:3995", transform=POLAR)
    other = write_raster(tmp_path / "codes.tif", np.full((20, 40), 17), crs="EPSG:4326", transform=DEGREES,
                         dtype="uint8")
    nowhere = tmp_path / "nowhere.csv"
    nowhere.write_text("site,year,magt_degC\nT1,2010,-2\n", encoding="utf-8")
    refused(run, {**inputs, "MAGT": kelvin}, tmp_path / "out", "looks like K.*set UNITS to kelvin.tif=K")
    refused(run, {**inputs, "PTI": other}, tmp_path / "out", "codes.tif holds the value 17.*PTI map")
    refused(run, {**inputs, "STATIONS_MAGT": str(nowhere)}, tmp_path / "out", "latitude")
    swapped = station_table(tmp_path / "swapped.csv", "magt", sites(), swap=True)
    refused(run, {**inputs, "STATIONS_MAGT": swapped}, tmp_path / "out", "latitude and longitude")
    refused(run, {**inputs, "THRESHOLDS": "1; 2"}, tmp_path / "out", "four numbers")
    refused(run, {**inputs, "UNITS": "typo.tif=K"}, tmp_path / "out", "matches none")
    refused(run, {name: value for name, value in inputs.items() if name != "MAGT"}
            | {"OUTPUT_SCATTER_MAGT": str(tmp_path / "never.png")}, tmp_path / "out", "give MAGT")


def test_stations_of_degrees_west_in_fahrenheit_and_inches_lie_in_alaska_with_their_values(run, tmp_path):
    ranks = np.full((20, 40), 11)
    pti = write_raster(tmp_path / "alaska.tif", ranks, nodata=0, crs="EPSG:4326",
                       transform=(-170.0, 1.0, 0.0, 80.0, 0.0, -1.0), dtype="uint8")
    magt, alt = tmp_path / "magt.csv", tmp_path / "alt.csv"
    magt.write_text("Site,Latitude (°N),Longitude (°W),Year,MAGT (°F)\n" + "".join(
        f"S1,68.25,149.5,{year},23\n" for year in YEARS), encoding="utf-8")
    alt.write_text("Site;Lat;Lon;Year;ALT (in)\n" + "".join(
        f"T1;68,25N;149,5W;{year};21\n" for year in YEARS), encoding="utf-16")
    folder = tmp_path / "out"
    folder.mkdir()
    made = run("validateboreholes", {"PTI": pti, "STATIONS_MAGT": str(magt), "STATIONS_ALT": str(alt),
                                     **outputs(folder, "OUTPUT_TABLE")})
    (row,) = rows_of(made["OUTPUT_TABLE"])
    assert (row["site_magt"], row["site_alt"]) == ("S1", "T1")
    assert (float(row["latitude"]), float(row["longitude"])) == (68.25, -149.5)
    assert float(row["magt"]) == pytest.approx(-5) and row["map_rank"] == "11"
