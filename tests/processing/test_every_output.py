"""Every raster, vector layer and table that a tool makes equals a reference computed here with NumPy, cell by cell.

Inputs are small, with gaps, and stored as whole numbers with a scale and an offset. A test names what it proves in
the marker ``proves``; an output that no test proves fails here, so that a new one needs a reference. The numbers of
the scales are sums of powers of two: stored and decoded values are exact, and ties stay ties.
"""

import ast
import csv
import warnings
from pathlib import Path

import numpy as np
import pymannkendall
import pytest
from scipy import stats

from support import read_raster, write_raster

TESTS = Path(__file__).resolve().parents[1]
NODATA = -32768
ROWS, COLUMNS = 6, 7


def stored(path, values, scale=0.25, offset=-40.0, **options):
    """Write ``values`` (NaN = gap) as int16 with a scale and an offset; return (path, what the file says)."""
    values = np.asarray(values, dtype=float)
    numbers = np.where(np.isnan(values), NODATA, np.rint((np.nan_to_num(values) - offset) / scale))
    write_raster(path, numbers, nodata=NODATA, dtype="int16", scale=scale, offset=offset, **options)
    return str(path), np.where(numbers == NODATA, np.nan, numbers * scale + offset)


def outputs_of(folder, **endings):
    """Return {output: path} for ``OUTPUT="tif"`` and the like."""
    return {name: str(folder / f"{name.lower()}.{ending}") for name, ending in endings.items()}


def bands(path):
    from osgeo import gdal

    return np.stack([read_raster(path, band + 1) for band in range(gdal.Open(str(path)).RasterCount)])


def table(path):
    with open(path, newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


def equal(path, expected, rtol=1e-5, atol=1e-5):
    """Assert that a raster holds ``expected``, (rows, columns) or (bands, rows, columns), gaps in the same places."""
    expected = np.asarray(expected, dtype=float)
    np.testing.assert_allclose(bands(path), expected if expected.ndim == 3 else expected[None], rtol=rtol, atol=atol)


# no output without a proof

def numbers_of(provider):
    """Return {(tool, output)} of all rasters, vector layers and CSV tables."""
    found = set()
    for tool in provider.algorithms():
        for item in tool.parameterDefinitions():
            if item.isDestination() and (item.type() != "fileDestination" or item.defaultFileExtension() == "csv"):
                found.add((tool.name(), item.name()))
    return found


def proofs(path):
    """Yield (test, tool, output, whether the test looks at it) of all markers ``proves`` of a file of tests."""
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef):
            continue
        read = {node.slice.value for line in function.body for node in ast.walk(line)
                if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)}
        for mark in function.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.proves":
                tool, *outputs = (argument.value for argument in mark.args)
                for output in outputs:
                    yield function.name, tool, output, function.name.startswith("test_") and output in read


def test_every_output_of_every_tool_has_a_test_that_looks_at_its_values(provider):
    found = [proof for path in sorted(TESTS.glob("*/test_*.py")) for proof in proofs(path)]
    unread = [proof[:3] for proof in found if not proof[3]]
    assert not unread, f"asked for, but never looked at: {unread}"
    proved, made = {(tool, output) for _, tool, output, _ in found}, numbers_of(provider)
    # the chain makes nothing of its own: its outputs are named after the tools that are proved
    steps = {(tool, output) for tool, output in made if ":" in output}
    assert {tool for tool, _ in steps} == {"fullchain"}
    assert not proved - made, f"no such output: {sorted(proved - made)}"
    assert not made - steps - proved, f"no test compares: {sorted(made - steps - proved)}"


def test_a_marker_that_does_not_look_is_found(tmp_path):
    path = tmp_path / "test_x.py"
    path.write_text("@pytest.mark.proves('slope', 'OUTPUT', 'OUTPUT_ELEVATION')\n"
                    "def test_x(run):\n    made = run({'OUTPUT_ELEVATION': 1})\n    assert made['OUTPUT'] == 1\n")
    assert [(output, looked) for _, _, output, looked in proofs(path)] == [("OUTPUT", True),
                                                                        ("OUTPUT_ELEVATION", False)]


# trends

TRENDS = dict.fromkeys(("OUTPUT_SLOPE", "OUTPUT_SIGN", "OUTPUT_P", "OUTPUT_Z", "OUTPUT_S", "OUTPUT_TAU", "OUTPUT_COUNT",
                        "OUTPUT_SEASONS", "OUTPUT_LAG1", "OUTPUT_SLOPE_SIGNIFICANT", "OUTPUT_LIMITS", "OUTPUT_STEP"),
                       "tif")


def trend_of(x, period, step, alpha=0.05):
    """Return what all outputs hold for a series with gaps, by pymannkendall and scipy; ``step``: first one after."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test = (pymannkendall.original_test(x, alpha) if period == 1
                else pymannkendall.seasonal_test(x, period, alpha))
    t = np.arange(len(x))
    pairs = [(x[j] - x[i]) / ((j - i) / period) for i in t for j in t[i + 1:]
             if (j - i) % period == 0 and not np.isnan(x[i] + x[j])]
    slopes, half = np.sort(pairs), stats.norm.ppf(1 - alpha / 2) * np.sqrt(test.var_s)
    limits = (slopes[max(int(np.round((len(slopes) - half) / 2)) - 1, 0)],
              slopes[min(int(np.round((len(slopes) + half) / 2)), len(slopes) - 1)])
    # the pair of values that gives the Sen slope is a tie once it is taken out, whatever the last digit says
    rest = np.round(x - t / period * test.slope, 9)
    before, after = rest[:step][~np.isnan(rest[:step])], rest[step:][~np.isnan(rest[step:])]
    shift = np.median(after) - np.median(before), stats.ranksums(after, before).statistic
    centred = rest.copy()
    for season in range(period):
        centred[season::period] -= np.nanmean(rest[season::period]) if np.isfinite(rest[season::period]).any() else 0
    lag = np.nanmean(centred[1:] * centred[:-1]) / np.nanmean(centred ** 2)
    sign = np.sign(test.s) if test.p < alpha else 0
    return {"SLOPE": test.slope, "SIGN": sign, "P": test.p, "Z": test.z, "S": test.s, "TAU": test.s / len(pairs),
            "LAG1": lag, "SLOPE_SIGNIFICANT": test.slope if sign else 0.0, "LIMITS": limits, "STEP": shift}


@pytest.fixture(scope="module")
def trend_series(tmp_path_factory):
    """A function of (scale, period): paths of a series of 16 years from 1998 without 2003, and its values by step."""
    def make(scale, period):
        rng = np.random.default_rng(int(abs(scale) * 8) + period)
        steps = 16 * period
        cube = rng.normal(0, 2, (steps, ROWS, COLUMNS))
        rising = np.linspace(-0.8, 0.8, ROWS * COLUMNS).reshape(ROWS, COLUMNS)
        cube += rising / period * (np.arange(steps) / period)[:, None, None] + 3 * (np.arange(steps) % period)[:, None, None]
        cube[9 * period:, :, 3] += 4 / period
        cube[rng.random(cube.shape) < 0.06] = np.nan
        cube[:, 0, 0] = np.nan
        cube[6 * period:, 0, 1] = np.nan
        if period > 1:
            cube[1::period, 2, 2] = np.nan
            cube[period + 2::period, 3, :] = np.nan
        cube[5 * period:6 * period] = np.nan
        folder = tmp_path_factory.mktemp("series")
        paths = []
        for i, layer in enumerate(cube):
            if np.isnan(layer).all():
                continue
            year, month = 1998 + i // period, i % period * 12 // period + 1
            name = f"layer_{year}.tif" if period == 1 else f"layer_{year}-{month:02d}-05.tif"
            path, cube[i] = stored(folder / name, layer, scale, unit="K")
            paths.append(path)
        return paths, cube
    return make


@pytest.mark.proves("trendrasters", "OUTPUT_SLOPE", "OUTPUT_SIGN", "OUTPUT_P", "OUTPUT_Z", "OUTPUT_S", "OUTPUT_TAU",
                    "OUTPUT_COUNT", "OUTPUT_SEASONS", "OUTPUT_LAG1", "OUTPUT_SLOPE_SIGNIFICANT", "OUTPUT_LIMITS",
                    "OUTPUT_STEP")
@pytest.mark.parametrize("period, scale", [(1, 0.25), (1, -0.25), (4, 0.5)])
def test_trends(run, trend_series, tmp_path, period, scale):
    paths, cube = trend_series(scale, period)
    made = run("trendrasters", {"INPUT": paths, "PERIOD": period, "METHOD": 0, "STEP_YEAR": 2007, "MIN_SHARE": 0.7,
                                **outputs_of(tmp_path, **TRENDS)})
    step = (2007 - 1998) * period
    expected = {name: np.full((2 if name in ("LIMITS", "STEP") else 1, ROWS, COLUMNS), np.nan)
                for name in ("SLOPE", "SIGN", "P", "Z", "S", "TAU", "LAG1", "SLOPE_SIGNIFICANT", "LIMITS", "STEP")}
    seasons = np.zeros((ROWS, COLUMNS))
    needed = int(np.ceil(0.7 * 16))
    for row, column in np.ndindex(ROWS, COLUMNS):
        x = cube[:, row, column].copy()
        if period == 1:
            testable = (~np.isnan(x)).sum() >= needed
            seasons[row, column] = testable
        else:
            for season in range(period):
                if (~np.isnan(x[season::period])).sum() < needed:
                    x[season::period] = np.nan
                else:
                    seasons[row, column] += 1
            testable = seasons[row, column] >= 1
        if not testable:
            continue
        for name, value in trend_of(x, period, step).items():
            expected[name][:, row, column] = value
    assert (np.abs(expected["SIGN"]) == 1).sum() > 8 and (expected["SIGN"] == 0).sum() > 8
    equal(made["OUTPUT_SLOPE"], expected["SLOPE"])
    equal(made["OUTPUT_SIGN"], expected["SIGN"])
    equal(made["OUTPUT_P"], expected["P"])
    equal(made["OUTPUT_Z"], expected["Z"])
    equal(made["OUTPUT_S"], expected["S"])
    equal(made["OUTPUT_TAU"], expected["TAU"])
    equal(made["OUTPUT_COUNT"], (~np.isnan(cube)).sum(axis=0))
    equal(made["OUTPUT_SEASONS"], seasons)
    equal(made["OUTPUT_LAG1"], expected["LAG1"])
    equal(made["OUTPUT_SLOPE_SIGNIFICANT"], expected["SLOPE_SIGNIFICANT"])
    equal(made["OUTPUT_LIMITS"], expected["LIMITS"])
    equal(made["OUTPUT_STEP"], expected["STEP"])


@pytest.mark.proves("trendrasters", "OUTPUT_SIGN", "OUTPUT_SLOPE_SIGNIFICANT")
def test_trends_with_the_false_discovery_rate(run, trend_series, tmp_path):
    paths, cube = trend_series(0.25, 1)
    made = run("trendrasters", {"INPUT": paths, "METHOD": 0, "FDR": True, "MIN_SHARE": 0.7, **outputs_of(
        tmp_path, OUTPUT_SLOPE="tif", OUTPUT_SIGN="tif", OUTPUT_SLOPE_SIGNIFICANT="tif")})
    tests = {place: pymannkendall.original_test(cube[(slice(None), *place)]) for place in np.ndindex(ROWS, COLUMNS)
             if (~np.isnan(cube[(slice(None), *place)])).sum() >= 12}
    # Benjamini & Hochberg 1995: the largest rank k with p(k) <= k α / m
    p = np.sort([test.p for test in tests.values()])
    threshold = p[p <= 0.05 * np.arange(1, len(p) + 1) / len(p)].max()
    sign, slope = np.full((2, ROWS, COLUMNS), np.nan)
    for place, test in tests.items():
        found = test.p <= threshold
        sign[place], slope[place] = (np.sign(test.s), test.slope) if found else (0, 0)
    plain = sum(test.p < 0.05 for test in tests.values())
    assert 4 < np.nansum(np.abs(sign)) < plain
    equal(made["OUTPUT_SIGN"], sign)
    equal(made["OUTPUT_SLOPE_SIGNIFICANT"], slope)
