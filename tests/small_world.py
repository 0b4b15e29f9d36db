"""A world of 24 x 36 cells with everything the tools take, small enough that each runs in a second; and a call of every
tool on it."""

import json
from types import SimpleNamespace

import numpy as np

from support import write_raster

#: 25 km cells, near 80° N
TRANSFORM = (500000.0, 25000.0, 0.0, -500000.0, 0.0, -25000.0)
ROWS, COLUMNS, YEARS = 24, 36, range(2001, 2011)
#: training parameters for the small world
QUICK = {"RUNS": 2, "ROUNDS": 3, "PER_CLASS": 30, "BLOCK_KM": 150, "SEED": 7}
#: endings of outputs that do not say theirs
ENDINGS = {"rasterDestination": "tif", "vectorDestination": "gpkg"}


def _ground_temperature(rows, columns):
    """°C: cold in the west, above 3 °C in the last columns."""
    return -7.0 + 10.8 * columns / (COLUMNS - 1) + 0.02 * rows


def _series(start, rising, step, rng):
    """Return (years, rows, columns): a clear rise where ``rising``, elsewhere an alternation without a trend."""
    layers = []
    for i, _ in enumerate(YEARS):
        swing = step * (1 if i % 2 else -1)
        layers.append(start + np.where(rising, step * i, swing) + rng.normal(0, step / 20, start.shape))
    return np.array(layers, dtype=np.float32)


def _stack(folder, rows, columns, rng):
    def noise(size):
        return rng.normal(0, size, rows.shape)

    bands = np.array([
        columns / COLUMNS * 100 + noise(4),
        np.where((rows // 3 + columns // 9) % 2, 150, 202) + 0.0,
        50 + 40 * np.sin(rows / 4) + noise(5),
        rows / ROWS * 100 + noise(4),
    ], dtype=np.float32)
    bands[:, 0, 0] = np.nan
    return write_raster(folder / "stack.tif", bands, nodata=-9999, transform=TRANSFORM,
                        descriptions=("lst", "land_cover", "elevation", "soc"))


def _stations(folder):
    from osgeo import osr

    polar, degrees = osr.SpatialReference(), osr.SpatialReference()
    polar.ImportFromEPSG(6931)
    degrees.ImportFromEPSG(4326)
    for system in (polar, degrees):
        system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    change = osr.CoordinateTransformation(polar, degrees)
    tables = {"magt": ["site,latitude,longitude,year,magt_degC"], "alt": ["site,latitude,longitude,year,alt_cm"]}
    for i in range(10):
        row, column = 1 + 2 * i, 2 + 3 * i
        longitude, latitude, _ = change.TransformPoint(TRANSFORM[0] + 25000 * (column + 0.5),
                                                       TRANSFORM[3] - 25000 * (row + 0.5))
        for k, year in enumerate(YEARS):
            temperature = _ground_temperature(row, column) + (0.1 * k if i % 2 else 0.1 * (-1) ** k)
            depth = 60 + (2 * k if i % 3 else 2 * (-1) ** k)
            tables["magt"].append(f"T{i},{latitude:.5f},{longitude:.5f},{year},{temperature:.3f}")
            tables["alt"].append(f"A{i},{latitude:.5f},{longitude:.5f},{year},{depth:.1f}")
    paths = []
    for name, lines in tables.items():
        paths.append(folder / f"stations_{name}.csv")
        paths[-1].write_text("\n".join(lines) + "\n", encoding="utf-8")
    return map(str, paths)


def build(folder):
    """Make the small world in a folder and return its paths: lists ``pp``, ``magt``, ``magt_series``, ``cci``; files
    ``alt_series`` (one band a year), ``glcc``, ``cavm``, ``stack``, ``stations_magt``, ``stations_alt``."""
    rng = np.random.default_rng(20)
    rows, columns = np.mgrid[0:ROWS, 0:COLUMNS].astype(float)
    temperature = _ground_temperature(rows, columns)
    percent = np.clip(104.0 - 3.1 * columns, 0, 100)

    def write(name, values, **options):
        return write_raster(folder / name, values, transform=TRANSFORM, **{"nodata": -9999, **options})

    made = SimpleNamespace(folder=folder)
    made.pp = [write(f"pp_{name}.tif", np.clip(percent + shift, 0, 100).astype("float32"))
               for name, shift in (("a", -2), ("b", 0), ("c", 1))]
    made.magt = [write(f"magt_{name}.tif", (temperature + shift).astype("float32"))
                 for name, shift in (("a", -0.3), ("b", 0), ("c", 0.2))]
    magt_years = _series(temperature, rows < ROWS / 2, 0.1, rng)
    made.magt_series = [write(f"magt_{year}.tif", layer) for year, layer in zip(YEARS, magt_years)]
    made.alt_series = write("alt.tif", _series(np.full_like(rows, 0.6), rows % 8 < 4, 0.02, rng),
                            descriptions=[str(year) for year in YEARS])
    cover = rng.choice([70, 130, 140, 150, 202], (2, ROWS, COLUMNS))
    made.cci = [write(f"cci_{2018 + i}.tif", layer, nodata=0, dtype="uint8") for i, layer in enumerate(cover)]
    made.glcc = write("glcc.tif", np.where(rows < 12, 9, 24), nodata=None, dtype="uint8")
    made.cavm = write("cavm.tif", np.full((ROWS, COLUMNS), 99), nodata=127, dtype="uint8")
    made.stack = _stack(folder, rows, columns, rng)
    made.stations_magt, made.stations_alt = _stations(folder)
    return made


def chain(world, processing_run):
    """Run the chain on the small world, each tool once, with a function of (tool, parameters); return {tool: {output:
    path}}."""
    folder, results = world.folder / "chain", {}
    folder.mkdir()

    def run(key, tool, parameters, outputs):
        named = {name: str(folder / f"{key}_{name.lower()}.{ending}") for name, ending in outputs.items()}
        results[key] = processing_run(f"pti:{tool}", {**parameters, **named})

    run("ensemble", "ensemblepermafrost", {"PP": world.pp, "MAGT": world.magt},
        {"OUTPUT_BASE": "tif", "OUTPUT_PP": "tif", "OUTPUT_MAGT": "tif", "OUTPUT_COUNT": "tif", "OUTPUT_SPREAD": "tif"})
    run("magt_trend", "trendrasters", {"INPUT": world.magt_series}, {"OUTPUT_SLOPE": "tif", "OUTPUT_SIGN": "tif"})
    run("alt_trend", "trendrasters", {"INPUT": [world.alt_series]}, {"OUTPUT_SLOPE": "tif", "OUTPUT_SIGN": "tif"})
    ensemble = results["ensemble"]
    run("index", "buildpti", {
        "MAGT": ensemble["OUTPUT_MAGT"], "PP": ensemble["OUTPUT_PP"], "BASE": ensemble["OUTPUT_BASE"],
        "MAGT_TREND": results["magt_trend"]["OUTPUT_SIGN"], "ALT_TREND": results["alt_trend"]["OUTPUT_SIGN"]},
        {"OUTPUT": "tif", "OUTPUT_REASON": "tif", "OUTPUT_TABLE": "csv"})
    run("train", "trainxgboost", {"PTI": results["index"]["OUTPUT"], "STACK": world.stack, **QUICK},
        {"OUTPUT_MODEL": "ptimodel", "OUTPUT_METRICS": "csv", "OUTPUT_SHAP": "csv"})
    return results


def calls(world, made):
    """Return {tool: its inputs} for every tool, on the small world and the outputs of its ``chain``."""
    ensemble, index, train = made["ensemble"], made["index"]["OUTPUT"], made["train"]
    signs = {"MAGT_TREND": made["magt_trend"]["OUTPUT_SIGN"], "ALT_TREND": made["alt_trend"]["OUTPUT_SIGN"]}
    corners = [(TRANSFORM[0] + 25000 * column, TRANSFORM[3] - 25000 * row)
               for row, column in ((0, 0), (0, 12), (20, 12), (20, 0), (0, 0))]
    zones = world.folder / "zones.geojson"
    zones.write_text(json.dumps({
        "type": "FeatureCollection", "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::6931"}},
        "features": [{"type": "Feature", "properties": {"name": "west"},
                      "geometry": {"type": "Polygon", "coordinates": [corners]}}]}), encoding="utf-8")
    return {
        "ensemblepermafrost": {"PP": world.pp, "MAGT": world.magt},
        "ensemblelandcover": {"CCI": world.cci, "GLCC": world.glcc, "CAVM": world.cavm,
                              "BASE": ensemble["OUTPUT_BASE"]},
        "trendrasters": {"INPUT": world.magt_series, "METHOD": 0, "STEP_YEAR": 2006},
        "buildpti": {"MAGT": ensemble["OUTPUT_MAGT"], "PP": ensemble["OUTPUT_PP"], "BASE": ensemble["OUTPUT_BASE"],
                     **signs},
        "trainxgboost": {"PTI": index, "STACK": world.stack, "SELECT": "rfecv", "SELECT_ROUNDS": 2, **QUICK},
        "predictxgboost": {"STACK": world.stack, "MODEL": train["OUTPUT_MODEL"], "REFERENCE": index},
        "validateboreholes": {"PTI": index, "STATIONS_MAGT": world.stations_magt, "STATIONS_ALT": world.stations_alt,
                              "METRICS": train["OUTPUT_METRICS"], "SHAP": train["OUTPUT_SHAP"],
                              "MAGT": ensemble["OUTPUT_MAGT"], "PP": ensemble["OUTPUT_PP"],
                              "PRODUCTS_MAGT": world.magt[:2]},
        "compositeseries": {"INPUT": world.magt_series, "PRODUCT": "none"},
        "depthmean": {"INPUT": world.pp[:2], "LAYERS": "pp_a.tif=0-5; pp_b.tif=5-15", "PRODUCT": "none"},
        "alignrasters": {"INPUT": world.magt_series, "TARGET": world.magt_series[0], "PRODUCT": "none"},
        "slope": {"INPUT": world.pp[0], "PRODUCT": "none"},
        "predictorstack": {"LST": world.magt[0], "ELEVATION": world.pp[0], "LAND_COVER": world.cci[0],
                           "BASE": ensemble["OUTPUT_BASE"]},
        "samplepoints": {"PTI": index, "STACK": world.stack, "PER_CLASS": 20, "SPACING": 0, "EDGE_BUFFER": 0},
        "drivermaps": {"STACK": world.stack, "MODEL": train["OUTPUT_MODEL"], "RUNS": 0},
        "assessaccuracy": {"CLASSIFIED": index, "REFERENCE": index},
        "summarizezones": {"PTI": index, "ZONES": str(zones), "FIELD": "name", "PP": ensemble["OUTPUT_PP"]},
        "compareprofiles": {"PP": world.pp, "MAGT": world.magt, **signs},
        "printlayout": {"PTI": index, "DPI": 72, "BASE": ensemble["OUTPUT_BASE"]},
    }


def destinations(definitions, folder):
    """Return {name: path in ``folder``} of every output among the parameters of a tool or a model."""
    return {item.name(): f"{folder}/{item.name().lower().replace(':', '_')}."
                         f"{ENDINGS.get(item.type()) or item.defaultFileExtension()}"
            for item in definitions if item.isDestination()}
