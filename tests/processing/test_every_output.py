"""Every raster, vector layer and table that a tool makes equals a reference computed here with NumPy, cell by cell.

Inputs are small, with gaps, and stored as whole numbers with a scale and an offset. A test names what it proves in
the marker ``proves``; an output that no test proves fails here, so that a new one needs a reference. The numbers of
the scales are sums of powers of two: stored and decoded values are exact, and ties stay ties.
"""

import ast
import csv
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pymannkendall
import pytest
from scipy import stats
from sklearn import metrics

from pti_plugin.core.common.resources import resource
from pti_plugin.core.learning.folds import split, stratified_folds
from pti_plugin.core.learning.model_file import read_model
from pti_plugin.core.series.composites import GAPS, STATISTICS
from pti_plugin.core.series.gap_filling import NIGHTS
from support import TRANSFORM, majority_filtered, read_raster, write_raster

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


def watched(tool, parameters):
    """Run a tool; its progress must rise and stay within 0 to 1."""
    import processing

    from pti_plugin.algorithms.base import FeedbackProgress

    told, tell = [], FeedbackProgress.set

    def keep(progress, fraction):
        told.append(fraction)
        tell(progress, fraction)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeedbackProgress, "set", keep)
        results = processing.run(f"pti:{tool}", parameters)
    assert told and told == sorted(told) and 0 <= told[0] and told[-1] <= 1, (tool, told)
    return results


@pytest.fixture
def run(provider):
    """Runs a tool of the provider and watches its progress: run(id without prefix, parameters) → results."""
    return watched


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
    text = path.read_text(encoding="utf-8")
    for function in ast.walk(ast.parse(text)) if "mark.proves" in text else ():
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
        time = np.arange(steps)[:, None, None]
        cube += rising / period * time / period + 3 * (time % period)
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


# ensemble, index and their comparison

PP_SCALES, MAGT_SCALES = ((0.5, 2.0), (0.5, -6.0), (0.25, 10.0)), ((0.25, -40.0), (-0.25, 7.0), (0.125, 2.0))
#: km² of a cell of 25 km; the grid of these tests is equal-area
CELL_KM2 = 625.0
RANKS = (11, 12, 13, 21, 22, 23, 31, 32, 33, 40)


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """Paths and values of three PP and three MAGT products, and of the two trends, with gaps."""
    folder = tmp_path_factory.mktemp("products")
    rng = np.random.default_rng(3)
    shape = (40, 41)
    percent = np.round(rng.choice([0, 0, 5, 8, 10, 12, 40, 80, 100], shape) * 2.0) / 2
    warmth = np.round(rng.uniform(-5, 3.75, shape) * 4) / 4
    made = {"PP": [], "MAGT": []}
    for name, pp, magt in zip("abc", PP_SCALES, MAGT_SCALES):
        for role, values, (scale, offset), least, unit in (
                ("PP", percent + rng.choice([0, 0, 2], shape), pp, 0, "%"),
                ("MAGT", warmth + rng.choice([-0.25, 0, 0.25], shape), magt, -90, "degC")):
            values = np.clip(values, least, 100)
            values[rng.random(shape) < 0.12] = np.nan
            values[0, :2] = np.nan
            made[role].append(stored(folder / f"{role.lower()}_{name}.tif", values, scale, offset, unit=unit))
    for role in ("MAGT_TREND", "ALT_TREND"):
        signs = rng.choice([-1, 0, 1, 1], shape).astype(float)
        signs[rng.random(shape) < 0.15] = np.nan
        made[role] = (write_raster(folder / f"{role.lower()}.tif", signs, nodata=NODATA, dtype="int16"), signs)
    return made


def ensemble_of(pp, magt, least=2):
    """Return (base, PP, MAGT) of one cell: medians of the products that are there, NaN for none."""
    there = [value for value in pp if not np.isnan(value)]
    base = np.nan if not there else float(sum(value > 0 for value in there) >= least)
    warmth = [value for value in magt if not np.isnan(value)]
    return base, np.median(there) if base == 1 else np.nan, np.median(warmth) if len(warmth) >= 2 else np.nan


def rank_of(magt, pp, base, magt_trend, alt_trend):
    """Return (rank, reason) of one cell by Table 3 of the paper, 0 for none; NaN is nodata."""
    if np.isnan(base):
        return 0, 0
    if base != 1:
        return 0, 1
    if magt > 3:
        return 0, 2
    if np.isnan(pp):
        return 0, 3
    if pp < 10:
        return 40, 11 if np.isnan(magt) else 10
    if np.isnan(magt):
        return 0, 4
    tier = 10 if magt < -3 else 20 if magt <= -1.5 else 30
    return (tier + 1 + (magt_trend == 1) + (alt_trend == 1),
            20 + int(np.isnan(magt_trend)) + 2 * int(np.isnan(alt_trend)))


def ranks_of(products, places=(0, 1, 2), least=2):
    """Return (ranks, reasons, PP) of the cells from some of the products."""
    found = np.zeros((3, *products["PP"][0][1].shape))
    for cell in np.ndindex(found.shape[1:]):
        base, pp, magt = ensemble_of([products["PP"][i][1][cell] for i in places],
                                     [products["MAGT"][i][1][cell] for i in places], least)
        found[(slice(None), *cell)] = *rank_of(magt, pp, base, *(products[role][1][cell] for role in (
            "MAGT_TREND", "ALT_TREND"))), pp
    return found


def or_gap(values, gap=0):
    return np.where(np.asarray(values) == gap, np.nan, values)


@pytest.mark.proves("ensemblepermafrost", "OUTPUT_BASE", "OUTPUT_PP", "OUTPUT_MAGT", "OUTPUT_COUNT", "OUTPUT_SPREAD")
def test_the_ensemble(run, products, tmp_path):
    given = {role: [path for path, _ in products[role]] for role in ("PP", "MAGT")}
    made = run("ensemblepermafrost", {**given, **outputs_of(
        tmp_path, OUTPUT_BASE="tif", OUTPUT_PP="tif", OUTPUT_MAGT="tif", OUTPUT_COUNT="tif", OUTPUT_SPREAD="tif")})
    pp, magt = (np.stack([values for _, values in products[role]]) for role in ("PP", "MAGT"))
    cells = np.array([[ensemble_of(pp[:, i, j], magt[:, i, j]) for j in range(pp.shape[2])]
                      for i in range(pp.shape[1])])
    equal(made["OUTPUT_BASE"], cells[..., 0])
    equal(made["OUTPUT_PP"], cells[..., 1])
    equal(made["OUTPUT_MAGT"], cells[..., 2])
    equal(made["OUTPUT_COUNT"], [(~np.isnan(stack)).sum(axis=0) for stack in (pp, magt)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        equal(made["OUTPUT_SPREAD"], [np.nanmax(stack, axis=0) - np.nanmin(stack, axis=0) for stack in (pp, magt)])


@pytest.mark.proves("buildpti", "OUTPUT", "OUTPUT_REASON", "OUTPUT_TABLE")
def test_the_index(run, tmp_path):
    """With cells that lie on every limit of Table 3 exactly."""
    rng = np.random.default_rng(5)
    shape = (30, 31)
    magt = rng.choice([-6, -3.25, -3, -2.75, -1.5, -1.25, 3, 3.25, np.nan], shape)
    pp = rng.choice([2, 9.5, 10, 10.5, 80, 100, np.nan], shape)
    base = rng.choice([1, 1, 1, 0, np.nan], shape)
    trends = rng.choice([-1, 0, 1, np.nan], (2, *shape))
    paths = {"MAGT": stored(tmp_path / "magt.tif", magt, unit="degC")[0],
             "PP": stored(tmp_path / "pp.tif", pp, 0.5, 2.0, unit="%")[0],
             "BASE": write_raster(tmp_path / "base.tif", base, nodata=255, dtype="uint8")}
    for role, signs in zip(("MAGT_TREND", "ALT_TREND"), trends):
        paths[role] = write_raster(tmp_path / f"{role}.tif", signs, nodata=NODATA, dtype="int16")
    made = run("buildpti", {**paths, **outputs_of(tmp_path, OUTPUT="tif", OUTPUT_REASON="tif", OUTPUT_TABLE="csv")})
    cells = [rank_of(*values) for values in zip(magt.flat, pp.flat, base.flat, *(signs.flat for signs in trends))]
    index, reason = np.array(cells).T.reshape(2, *shape)
    assert set(np.unique(index)) == {0, *RANKS} and set(np.unique(reason)) >= {0, 1, 2, 3, 4, 10, 11, 20, 21, 22, 23}
    equal(made["OUTPUT"], or_gap(index))
    equal(made["OUTPUT_REASON"], or_gap(reason))
    rows = {int(row["rank"]): row for row in table(made["OUTPUT_TABLE"])}
    assert tuple(rows) == RANKS
    for code, row in rows.items():
        here = index == code
        assert int(row["cells"]) == here.sum()
        assert float(row["area_km2"]) == pytest.approx(CELL_KM2 * here.sum(), rel=1e-6)
        assert float(row["share_percent"]) == pytest.approx(100 * here.sum() / (index > 0).sum(), abs=1e-3)
        assert float(row["pp_weighted_km2"]) == pytest.approx(CELL_KM2 * np.nansum(pp[here]) / 100, rel=1e-5)


@pytest.mark.proves("compareprofiles", "OUTPUT", "OUTPUT_STABILITY", "OUTPUT_AS_PUBLISHED", "OUTPUT_DEFENSIBLE",
                    "OUTPUT_TABLE")
def test_the_profiles_and_what_hangs_on_a_product(run, products, tmp_path):
    made = run("compareprofiles", {
        **{role: [path for path, _ in products[role]] for role in ("PP", "MAGT")},
        **{role: products[role][0] for role in ("MAGT_TREND", "ALT_TREND")},
        **outputs_of(tmp_path, OUTPUT="tif", OUTPUT_STABILITY="tif", OUTPUT_AS_PUBLISHED="tif", OUTPUT_DEFENSIBLE="tif",
                     OUTPUT_TABLE="csv")})
    index, reason, _ = ranks_of(products)
    without = {name: ranks_of(products, [i for i in range(3) if i != place])[0] for place, name in enumerate("abc")}
    flips = sum((other != index).astype(int) for other in without.values())
    gained = np.any([other > 0 for other in without.values()], axis=0)
    stability = np.where(index > 0, flips, np.where(gained, 100, np.nan))
    assert set(np.unique(stability[~np.isnan(stability)])) == {0, 1, 2, 3, 100}
    equal(made["OUTPUT_AS_PUBLISHED"], or_gap(index))
    equal(made["OUTPUT_DEFENSIBLE"], or_gap(index))
    equal(made["OUTPUT"], np.where(index > 0, 0, np.nan))
    equal(made["OUTPUT_STABILITY"], stability)
    rows = table(made["OUTPUT_TABLE"])
    ranked = (index > 0).sum()

    def cells(section, item):
        row = next(row for row in rows if (row["section"], row["item"]) == (section, item))
        assert float(row["area_km2"]) == pytest.approx(CELL_KM2 * int(row["cells"]), rel=1e-6)
        assert float(row["share_percent"]) == pytest.approx(100 * int(row["cells"]) / ranked, abs=1e-3)
        return int(row["cells"])

    assert cells("summary", "same rank") == cells("summary", "ranked in both") == ranked
    for name, other in without.items():
        assert cells("leave_one_out", name) == ((index > 0) & (other != index)).sum()
        assert cells("leave_one_out_changed", name) == ((index > 0) & (other != index) & (other > 0)).sum()
        assert cells("leave_one_out_lost", name) == ((index > 0) & (other == 0)).sum()
        assert cells("leave_one_out_gained", name) == ((index == 0) & (other > 0)).sum()
    for code, item in ((0, "Same rank whichever product is left out"), (1, "Flips without one of the products"),
                       (100, "Not ranked, but ranked without a product")):
        assert cells("stability", item) == (stability == code).sum()
    for row in rows:
        if row["section"] == "reason":
            before, after = row["item"].split(":")[0].split(" to ")
            assert before == "20" and int(row["cells"]) == ((reason == int(after)) & (index > 0)).sum() > 0


@pytest.mark.proves("compareprofiles", "OUTPUT", "OUTPUT_TABLE")
def test_two_maps(run, tmp_path):
    rng = np.random.default_rng(6)
    maps = rng.choice([0, 0, *RANKS], (2, 14, 15))
    paths = [write_raster(tmp_path / f"{name}.tif", codes, nodata=0, dtype="uint8")
             for name, codes in zip(("one", "two"), maps)]
    made = run("compareprofiles", {"FIRST": paths[0], "SECOND": paths[1],
                                   **outputs_of(tmp_path, OUTPUT="tif", OUTPUT_TABLE="csv")})
    place = {code: i for i, code in enumerate(RANKS)}
    difference = np.full(maps[0].shape, np.nan)
    for cell in np.ndindex(difference.shape):
        one, two = maps[(slice(None), *cell)]
        if one or two:
            difference[cell] = place[two] - place[one] if one and two else 100 if one else 101
    equal(made["OUTPUT"], difference)
    rows = table(made["OUTPUT_TABLE"])
    pairs = {(int(row["from_rank"]), int(row["to_rank"])): int(row["cells"]) for row in rows
             if row["section"] == "transition"}
    assert pairs == {(one, two): ((maps[0] == one) & (maps[1] == two)).sum()
                     for one in (0, *RANKS) for two in (0, *RANKS) if (one or two)
                     and ((maps[0] == one) & (maps[1] == two)).any()}
    both = difference[difference < 100]
    summary = {row["item"]: int(row["cells"]) for row in rows if row["section"] == "summary"}
    assert [summary[item] for item in ("same rank", "different rank", "within one rank", "higher in second map",
                                       "lower in second map", "only in first map", "only in second map")] == [
        (both == 0).sum(), (both != 0).sum(), (np.abs(both) <= 1).sum(), (both > 0).sum(), (both < 0).sum(),
        (difference == 100).sum(), (difference == 101).sum()]


# layers of the data set

@pytest.mark.proves("depthmean", "OUTPUT", "OUTPUT_THICKNESS")
@pytest.mark.parametrize("gaps", [0, 1])
def test_the_mean_over_depth(run, tmp_path, gaps):
    """The third layer alone is exactly half of the thickness, and enough."""
    rng = np.random.default_rng(7)
    values = np.round(rng.uniform(0, 60, (3, ROWS, COLUMNS)) * 4) / 4
    values[rng.random(values.shape) < 0.35] = np.nan
    weights = np.array([5.0, 10.0, 15.0])
    paths = [stored(tmp_path / f"soc_{depths}cm_mean.tif", layer, unit="g/kg")[0]
             for depths, layer in zip(("0-5", "5-15", "15-30"), values)]
    made = run("depthmean", {"INPUT": paths, "GAPS": gaps, "PRODUCT": "none",
                             **outputs_of(tmp_path, OUTPUT="tif", OUTPUT_THICKNESS="tif")})
    known = ~np.isnan(values)
    thickness = np.tensordot(weights, known, 1)
    enough = (thickness >= 15) if gaps else known.all(axis=0)
    assert (thickness == 15).any() and enough.any() and not enough.all()
    with np.errstate(invalid="ignore"):
        mean = np.tensordot(weights, np.nan_to_num(values), 1) / thickness
    equal(made["OUTPUT"], np.where(enough, mean, np.nan))
    equal(made["OUTPUT_THICKNESS"], np.where(enough, thickness, np.nan))


@pytest.mark.proves("slope", "OUTPUT", "OUTPUT_ELEVATION")
@pytest.mark.parametrize("unit", [0, 1])
def test_the_slope_of_a_plane_with_gaps(run, tmp_path, unit):
    rows, columns = np.mgrid[0:9, 0:9]
    elevation = 40.0 + 12.5 * columns - 7.25 * rows
    elevation[2, 3] = elevation[5, 0] = elevation[0, 8] = np.nan
    # a cell without a neighbour above or below has no slope
    elevation[[6, 6, 6], [6, 7, 8]] = elevation[[4, 4, 4], [6, 7, 8]] = np.nan
    transform = (20.0, 0.01, 0.0, 70.0, 0.0, -0.01)
    path, values = stored(tmp_path / "dem.tif", elevation, 0.25, 300.0, crs="EPSG:4326", transform=transform, unit="m")
    made = run("slope", {"INPUT": path, "UNIT": unit, "PRODUCT": "none",
                         **outputs_of(tmp_path, OUTPUT="tif", OUTPUT_ELEVATION="tif")})
    latitude = np.radians(70.0 - 0.01 * (rows + 0.5))
    e2, root = 0.0066943799901413165, np.sqrt(1 - 0.0066943799901413165 * np.sin(latitude) ** 2)
    degree = np.radians(0.01)
    east, north = 6378137 / root * np.cos(latitude) * degree, 6378137 * (1 - e2) / root ** 3 * degree
    slope = np.hypot(12.5 / east, 7.25 / north)
    slope[np.isnan(elevation)] = np.nan
    slope[5, 7] = slope[5, 8] = np.nan
    equal(made["OUTPUT_ELEVATION"], values)
    equal(made["OUTPUT"], 100 * slope if unit == 1 else np.degrees(np.arctan(slope)), rtol=1e-4)


@pytest.fixture(scope="module")
def months(tmp_path_factory):
    """Paths, months since 2001-01 and values of monthly layers to March 2004, without May 2002."""
    folder = tmp_path_factory.mktemp("months")
    rng = np.random.default_rng(8)
    steps = [step for step in range(39) if step != 16]
    values = rng.normal(3, 8, (39, ROWS, COLUMNS)) + 6 * np.sin(np.arange(39) / 2)[:, None, None]
    values[rng.random(values.shape) < 0.15] = np.nan
    values[:, 0, 0] = values[:12, 1, 1] = values[16] = np.nan
    paths = []
    for step in steps:
        name = f"layer_{2001 + step // 12}-{step % 12 + 1:02d}.tif"
        path, values[step] = stored(folder / name, values[step], unit="K")
        paths.append(path)
    return paths, values


@pytest.mark.proves("compositeseries", "OUTPUT", "OUTPUT_SERIES", "OUTPUT_COUNT", "OUTPUT_VALUES")
@pytest.mark.parametrize("statistic", ["mean", "annual_maximum", "annual_positive_sum", "snow_year_mean"])
def test_the_composite(run, months, tmp_path, statistic):
    """A year with exactly MIN_SHARE of its layers counts; a mean takes the years that are not complete too."""
    paths, values = months
    made = run("compositeseries", {
        "INPUT": paths, "PERIOD": 12, "STATISTIC": STATISTICS.index(statistic), "FILL": False, "PRODUCT": "none",
        "GAPS": GAPS.index("as_they_are"), "NIGHT": NIGHTS.index("none"),
        **outputs_of(tmp_path, OUTPUT="tif", OUTPUT_SERIES="tif", OUTPUT_COUNT="tif", OUTPUT_VALUES="tif")})
    years = {"mean": [(0, 12), (12, 24), (24, 36), (36, 39)],
             # July 2003 to March 2004 are nine of twelve months, 75 %
             "snow_year_mean": [(6, 18), (18, 30), (30, 39)]}.get(statistic, [(0, 12), (12, 24), (24, 36)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        of_years = [values[first:last] for first, last in years]
        none = [np.isnan(year).all(axis=0) for year in of_years]
        series = np.stack([{"annual_maximum": np.nanmax, "annual_positive_sum": lambda year, axis: np.nansum(
            np.maximum(year, 0), axis=axis)}.get(statistic, np.nanmean)(year, axis=0) for year in of_years])
        series[np.stack(none)] = np.nan
        whole = values if statistic == "mean" else series
        composite = np.nanmean(whole, axis=0)
    number = np.sum([(~np.isnan(year)).sum(axis=0) for year in of_years], axis=0)
    equal(made["OUTPUT"], composite)
    equal(made["OUTPUT_SERIES"], series)
    equal(made["OUTPUT_COUNT"], (~np.isnan(whole)).sum(axis=0))
    equal(made["OUTPUT_VALUES"], number)


@pytest.mark.proves("alignrasters", "OUTPUT")
def test_layers_that_are_aligned_to_their_own_grid(run, months, tmp_path):
    paths, values = months
    made = run("alignrasters", {"INPUT": paths[:3], "TARGET": paths[0], "PRODUCT": "none", "PERIOD": 12,
                                **outputs_of(tmp_path, OUTPUT="tif")})
    equal(made["OUTPUT"], values[:3])


@pytest.mark.proves("ensemblelandcover", "OUTPUT", "OUTPUT_SOURCE", "OUTPUT_TABLE")
def test_the_land_cover(run, tmp_path):
    rows = table(resource("tables", "landcover_crosswalk.csv"))
    codes = {product: {int(row["raster_value"]): int(row["ensemble_code"] or 0) for row in rows
                       if row["product"] == product} for product in ("LandCover_CCI", "GLCC", "CAVM")}
    tundra = {int(row["raster_value"]): int(row["tundra_code"]) for row in rows if row["tundra_code"]}
    rng, shape = np.random.default_rng(9), (20, 21)
    some = [code for code in codes["LandCover_CCI"] if code][::4] + list(tundra)[:2]
    cci = rng.choice(some, (3, *shape))
    cci[rng.random(cci.shape) < 0.1] = 0
    cci[:, rng.random(shape) < 0.1] = 0
    glcc = rng.choice([9, 53, *list(codes["GLCC"])[1::9]], shape)
    cavm = np.where(rng.random(shape) < 0.5, 127, rng.choice([code for code in codes["CAVM"] if code != 127], shape))
    base = rng.choice([0, 1, 255], shape)
    given = {"CCI": [write_raster(tmp_path / f"cci_{2018 + i}.tif", year, nodata=0, dtype="uint8")
                     for i, year in enumerate(cci)],
             "GLCC": write_raster(tmp_path / "glcc.tif", glcc, dtype="uint8"),
             "CAVM": write_raster(tmp_path / "cavm.tif", cavm, nodata=127, dtype="uint8"),
             "BASE": write_raster(tmp_path / "base.tif", base, nodata=255, dtype="uint8")}
    made = run("ensemblelandcover", {**given, **outputs_of(tmp_path, OUTPUT="tif", OUTPUT_SOURCE="tif",
                                                           OUTPUT_TABLE="csv")})
    cover, source = np.zeros((2, *shape), dtype=int)
    for cell in np.ndindex(shape):
        votes = [code for code in cci[(slice(None), *cell)] if code]
        # of those tied the one seen last
        voted = max(votes, key=lambda code: (votes.count(code), max(i for i, v in enumerate(votes) if v == code)),
                    default=0)
        of = [0 if cavm[cell] == 127 else codes["CAVM"][cavm[cell]],
              tundra.get(voted, 0) if glcc[cell] in (9, 53, 63, 69) else 0,
              codes["LandCover_CCI"].get(voted, 0), codes["GLCC"][glcc[cell]]]
        source[cell] = next((place for place, code in enumerate(of, start=1) if code), 0)
        cover[cell] = of[source[cell] - 1] if source[cell] else 0
    assert set(np.unique(source)) >= {1, 2, 3, 4}
    equal(made["OUTPUT"], or_gap(cover))
    equal(made["OUTPUT_SOURCE"], or_gap(source))
    found = {int(row["code"]): row for row in table(made["OUTPUT_TABLE"])}
    assert set(found) == set(np.unique(cover)) - {0}
    for code, row in found.items():
        assert int(row["cells"]) == (cover == code).sum()
        assert float(row["area_km2"]) == pytest.approx(CELL_KM2 * (cover == code).sum(), rel=1e-6)
        assert float(row["permafrost_km2"]) == pytest.approx(CELL_KM2 * ((cover == code) & (base == 1)).sum(), rel=1e-6)
        assert float(row["share_percent"]) == pytest.approx(100 * (cover == code).sum() / (cover > 0).sum(), abs=1e-3)


@pytest.mark.proves("predictorstack", "OUTPUT", "OUTPUT_RANGES")
def test_the_stack(run, tmp_path):
    rng, shape = np.random.default_rng(10), (9, 10)

    def gappy(values):
        return np.where(rng.random(shape) < 0.1, np.nan, values)

    lst, lst_values = stored(tmp_path / "lst.tif", gappy(rng.uniform(-20, 10, shape)), unit="degC")
    height, height_values = stored(tmp_path / "height.tif", gappy(rng.uniform(0, 900, shape)), 0.5, 100.0, unit="m")
    cover_values = gappy(rng.choice([30.0, 130, 201], shape))
    cover = write_raster(tmp_path / "cover.tif", cover_values, nodata=0, dtype="uint8")
    base = rng.choice([0, 1, 1, 1], shape)
    base_path = write_raster(tmp_path / "base.tif", base, nodata=255, dtype="uint8")
    made = run("predictorstack", {"LST": lst, "ELEVATION": height, "LAND_COVER": cover, "BASE": base_path,
                                  **outputs_of(tmp_path, OUTPUT="tif", OUTPUT_RANGES="csv")})
    rows = {row["role"]: row for row in table(made["OUTPUT_RANGES"])}
    expected = []
    for role, values in (("lst", lst_values), ("land_cover", cover_values), ("elevation", height_values)):
        inside = values[(base == 1) & ~np.isnan(values)]
        row = rows[role]
        assert (float(row["lowest"]), float(row["highest"])) == (inside.min(), inside.max())
        assert int(row["cells"]) == inside.size and int(row["missing"]) == (base == 1).sum() - inside.size
        assert int(row["outside_base"]) == ((base != 1) & ~np.isnan(values)).sum()
        if role == "land_cover":
            assert row["low"] == row["high"] == ""
            expected.append(values)
            continue
        low, high = inside.min(), inside.max()
        assert (float(row["low"]), float(row["high"])) == (low, high)
        assert int(row["clipped"]) == ((values < low) | (values > high)).sum()
        expected.append(np.clip(100 * (values - low) / (high - low), 0, 100))
    assert list(rows) == ["lst", "land_cover", "elevation"]
    equal(made["OUTPUT"], expected)


# learning and mapping

LEARN_ROWS, LEARN_COLUMNS, CATEGORIES = 26, 34, (30, 130, 201)
NAMES = ("lst", "land_cover", "elevation")


@pytest.fixture(scope="module")
def learned(tmp_path_factory, provider):
    """A stack of int16 with scales, offsets and gaps, the index, and a model trained on both by the tool."""
    from osgeo import gdal

    folder, rng, shape = tmp_path_factory.mktemp("learned"), np.random.default_rng(11), (LEARN_ROWS, LEARN_COLUMNS)
    # so fine that no cell is as far from the samples as another by chance
    numbers = {"lst": rng.integers(-8000, 8000, shape), "land_cover": rng.choice(CATEGORIES, shape),
               "elevation": rng.integers(0, 25_000, shape)}
    layers, encoding = {}, {"lst": (2 ** -9, -5.0), "land_cover": (1.0, 0.0), "elevation": (2 ** -5, 50.0)}
    for name, values in numbers.items():
        gaps = rng.random(shape) < 0.08
        numbers[name] = np.where(gaps, NODATA, values)
        layers[name] = np.where(gaps, np.nan, values * encoding[name][0] + encoding[name][1])
    # every predictor decides, so that none is eliminated
    place = (layers["lst"] > -5).astype(int) + (layers["land_cover"] == 201) + (layers["elevation"] > 440)
    place = np.where(rng.random(shape) < 0.2, rng.integers(0, 4, shape), place)
    index = np.array([11, 13, 22, 40])[place]
    index[rng.random(shape) < 0.1] = 0
    stack = write_raster(folder / "stack.tif", np.stack(list(numbers.values())), nodata=NODATA, dtype="int16",
                         descriptions=NAMES)
    dataset = gdal.Open(stack, gdal.GA_Update)
    for band, name in enumerate(NAMES, start=1):
        if name != "land_cover":
            dataset.GetRasterBand(band).SetScale(encoding[name][0])
            dataset.GetRasterBand(band).SetOffset(encoding[name][1])
    dataset = None
    made = watched("trainxgboost", {
        "PTI": write_raster(folder / "pti.tif", index, nodata=0, dtype="uint8"), "STACK": stack, "RUNS": 4, "ROUNDS": 4,
        "PER_CLASS": 80, "BLOCK_KM": 150, "SELECT": "rfecv", "SELECT_ROUNDS": 2, "SHAP_RUNS": 4, "SHAP_POINTS": 10_000,
        "EARLY_STOPPING": 0, "MAX_MISSING": 1, **outputs_of(folder, OUTPUT_MODEL="ptimodel", OUTPUT_METRICS="csv",
                                                            OUTPUT_SHAP="csv", OUTPUT_SELECTION="csv")})
    model = read_model(made["OUTPUT_MODEL"])
    return SimpleNamespace(made=made, layers=layers, index=index, model=model, stack=stack,
                           pti=str(folder / "pti.tif"), names=[feature.name for feature in model.features],
                           samples=model.training_samples(), boosters=model.load_boosters())


def matrix_of(names, x):
    import xgboost

    return xgboost.DMatrix(np.asarray(x, np.float32), feature_names=list(names), enable_categorical=True,
                           feature_types=["c" if name == "land_cover" else "q" for name in names])


def voted(votes, chances):
    """Return the class place of most votes of every row, ties by the larger sum of probabilities."""
    return np.array([max(range(len(v)), key=lambda label: (v[label], c[label])) for v, c in zip(votes, chances)])


def runs_on(learned, x):
    """Return (votes, summed probabilities) of the runs by XGBoost itself, each (cells, classes)."""
    votes, chances = np.zeros((2, len(x), len(learned.model.codes)))
    for booster in learned.boosters:
        found = booster.predict(matrix_of(learned.names, x))
        votes[np.arange(len(x)), (found * learned.model.factors).argmax(axis=1)] += 1
        chances += found
    return votes, chances


def dissimilarities(learned, x):
    """Return (index of the cells ``x``, threshold) of Meyer & Pebesma 2021 with partial distances, by brute force."""
    samples, gains = learned.samples["x"].astype(float), learned.model.manifest["gain_share_percent"]
    sides = [[], []]
    variances = []
    for column, name in enumerate(learned.names):
        for category in CATEGORIES if name == "land_cover" else (None,):
            parts = [values[:, column].astype(float) for values in (samples, x)]
            if category:
                parts = [np.where(np.isnan(part), np.nan, part == category) for part in parts]
            centre, spread = np.nanmean(parts[0]), np.nanstd(parts[0], ddof=1)
            if gains[name] > 0 and spread > 0:
                for side, part in zip(sides, parts):
                    side.append((part - centre) * gains[name] / spread)
                variances.append(gains[name] ** 2)
    (own, cells), variances = (np.array(side).T for side in sides), np.array(variances)

    def nearest(place, among):
        known = ~np.isnan(place)
        usable = among[~np.isnan(among[:, known]).any(axis=1)]
        if not known.any() or not len(usable):
            return np.inf
        return np.sqrt(((usable[:, known] - place[known]) ** 2).sum(axis=1).min()
                       * variances.sum() / variances[known].sum())

    complete = own[~np.isnan(own).any(axis=1)]
    pairs = np.sqrt(((complete[:, None] - complete[None]) ** 2).sum(axis=-1))
    mean = pairs.sum() / len(complete) / (len(complete) - 1)
    folds = learned.samples["block_fold"]
    among = np.array([nearest(place, own[folds != fold]) for place, fold in zip(own, folds)]) / mean
    among = np.sort(among[np.isfinite(among)])
    half = (len(among) + 1) // 2
    low, high = np.median(among[:half]), np.median(among[len(among) - half:])
    return (np.array([nearest(place, own) for place in cells]) / mean,
            among[among <= high + 1.5 * (high - low)].max())


@pytest.mark.proves("predictxgboost", "OUTPUT", "OUTPUT_AGREEMENT", "OUTPUT_ENTROPY", "OUTPUT_MARGIN",
                    "OUTPUT_PROBABILITIES", "OUTPUT_OUTSIDE", "OUTPUT_DISSIMILARITY", "OUTPUT_APPLICABILITY",
                    "OUTPUT_MISSING", "OUTPUT_METRICS", "OUTPUT_TABLE", "OUTPUT_COVERAGE")
def test_the_predicted_map(run, learned, tmp_path):
    rng = np.random.default_rng(12)
    base = rng.choice([0, 1, 1, 1, 1, 255], learned.index.shape)
    made = run("predictxgboost", {
        "STACK": learned.stack, "MODEL": learned.made["OUTPUT_MODEL"], "REFERENCE": learned.pti, "BUFFER_KM": 0,
        "BASE": write_raster(tmp_path / "base.tif", base, nodata=255, dtype="uint8"), **outputs_of(
            tmp_path, OUTPUT="tif", OUTPUT_AGREEMENT="tif", OUTPUT_ENTROPY="tif", OUTPUT_MARGIN="tif",
            OUTPUT_PROBABILITIES="tif", OUTPUT_OUTSIDE="tif", OUTPUT_DISSIMILARITY="tif", OUTPUT_APPLICABILITY="tif",
            OUTPUT_MISSING="tif", OUTPUT_METRICS="csv", OUTPUT_TABLE="csv", OUTPUT_COVERAGE="csv")})
    codes, layers = np.array(learned.model.codes), np.stack([learned.layers[name] for name in learned.names])
    lacking = np.isnan(layers)
    known = (base == 1) & (lacking.sum(axis=0) <= 1)
    assert (known & lacking.any(axis=0)).any() and ((base == 1) & ~known).any()
    x = layers[:, known].T
    votes, chances = runs_on(learned, x)
    place = np.full(known.shape, -1)
    place[known] = voted(votes, chances * learned.model.factors)
    final = majority_filtered(place)
    assert (final != place).any()
    index = np.where(known, codes[final], 0)

    def spread(values):
        values = np.asarray(values, dtype=float)
        layer = np.full((*values.shape[1:], *known.shape), np.nan)
        layer[..., known] = values.T
        return layer

    share = (chances / 4) ** (1 / learned.model.temperature)
    share /= share.sum(axis=1, keepdims=True)
    most = np.sort(votes, axis=1)
    numeric = [i for i, name in enumerate(learned.names) if name != "land_cover"]
    low, high = np.nanmin(learned.samples["x"], axis=0), np.nanmax(learned.samples["x"], axis=0)
    dissimilar, threshold = dissimilarities(learned, x)
    equal(made["OUTPUT"], or_gap(index))
    equal(made["OUTPUT_AGREEMENT"], spread(100 * votes[np.arange(len(x)), final[known]] / 4))
    equal(made["OUTPUT_MARGIN"], spread(100 * (most[:, -1] - most[:, -2]) / 4))
    equal(made["OUTPUT_ENTROPY"], spread(-(share * np.log(share)).sum(axis=1) / np.log(len(codes))), atol=1e-4)
    equal(made["OUTPUT_PROBABILITIES"], spread(share), atol=1e-4)
    equal(made["OUTPUT_OUTSIDE"], spread(((x < low) | (x > high))[:, numeric].sum(axis=1)))
    equal(made["OUTPUT_DISSIMILARITY"], spread(np.where(np.isfinite(dissimilar), dissimilar, np.nan)), rtol=1e-4)
    equal(made["OUTPUT_APPLICABILITY"], spread(dissimilar <= threshold * (1 + 1e-9)))
    bits = sum(layer.astype(int) << i for i, layer in enumerate(lacking))
    equal(made["OUTPUT_MISSING"], np.where(base == 1, bits, np.nan))

    both = (index > 0) & (learned.index > 0)
    for row in table(made["OUTPUT_TABLE"]):
        code = int(row["rank"])
        assert int(row["cells"]) == (index == code).sum()
        assert float(row["area_km2"]) == pytest.approx(CELL_KM2 * (index == code).sum(), rel=1e-6)
        conceptual = (both & (learned.index == code)).sum()
        assert float(row["conceptual_km2"]) == pytest.approx(CELL_KM2 * conceptual, rel=1e-6)
        assert float(row["predicted_km2"]) == pytest.approx(CELL_KM2 * (both & (index == code)).sum(), rel=1e-6)
        adjusted = sum((index == other).sum() * (both & (index == other) & (learned.index == code)).sum()
                       / (both & (index == other)).sum() for other in codes if (both & (index == other)).any())
        assert float(row["adjusted_km2"]) == pytest.approx(CELL_KM2 * adjusted, rel=1e-5)
    rows = {row["line"]: row for row in table(made["OUTPUT_METRICS"])}
    same = rows["agreement: latitude all"]
    assert float(same["value"]) == pytest.approx(100 * (index == learned.index)[both].mean(), abs=1e-6)
    assert int(same["n"]) == both.sum()
    for name, here in (("all ranks", index > 0), *((f"rank {code}", index == code) for code in codes)):
        inside = spread(dissimilar <= threshold * (1 + 1e-9)) == 1
        assert int(rows[f"inside: {name}"]["n"]) == (here & inside).sum()
        assert float(rows[f"outside: {name}"]["value"]) == pytest.approx(CELL_KM2 * (here & ~inside).sum(), rel=1e-6)
    found = {row["rank"]: row for row in table(made["OUTPUT_COVERAGE"]) if row["latitude"] == "all"}
    assert set(found) == {"all", *map(str, codes)}
    for code, row in found.items():
        ranked = (learned.index > 0) if code == "all" else learned.index == int(code)
        incomplete = ranked & known & lacking.any(axis=0)
        points = len(learned.samples) if code == "all" else (learned.samples["pti"] == int(code)).sum()
        assert [int(row[f"{name}_cells"]) for name in ("ranked", "predicted", "incomplete", "not_predicted")] == [
            ranked.sum(), (ranked & known).sum(), incomplete.sum(), (ranked & ~known).sum()]
        assert float(row["incomplete_km2"]) == pytest.approx(CELL_KM2 * incomplete.sum(), rel=1e-6)
        assert int(row["sampled_points"]) == points
        assert float(row["sampled_km2"]) == pytest.approx(CELL_KM2 * points, rel=1e-6)


@pytest.mark.proves("drivermaps", "OUTPUT", "OUTPUT_GROUPS", "OUTPUT_CONTRIBUTIONS", "OUTPUT_TABLE")
def test_the_driver_maps(run, learned, tmp_path):
    made = run("drivermaps", {"STACK": learned.stack, "MODEL": learned.made["OUTPUT_MODEL"], "RUNS": 0, **outputs_of(
        tmp_path, OUTPUT="tif", OUTPUT_GROUPS="tif", OUTPUT_CONTRIBUTIONS="tif", OUTPUT_TABLE="csv")})
    layers = np.stack([learned.layers[name] for name in learned.names])
    known = np.isnan(layers).sum(axis=0) <= 1
    x = layers[:, known].T
    # the class that the plain votes of the runs choose, which the factors of the ranks do not touch
    votes, chances = np.zeros((2, len(x), len(learned.model.codes)))
    parts = 0
    for booster in learned.boosters:
        found = booster.predict(matrix_of(learned.names, x))
        votes[np.arange(len(x)), (found * learned.model.factors).argmax(axis=1)] += 1
        chances += found
        parts = parts + booster.predict(matrix_of(learned.names, x), pred_contribs=True).astype(float) / 4
    of_class = parts[np.arange(len(x)), voted(votes, chances)]
    size = np.abs(of_class[:, :-1])
    code_of = {row["name"]: int(row["code"]) for row in table(made["OUTPUT_TABLE"]) if row["level"] == "predictor"}
    group_of = {"lst": "thermal", "land_cover": "biophysical", "elevation": "topography"}

    def spread(values):
        layer = np.full((values.shape[1], *known.shape), np.nan)
        layer[:, known] = values.T
        return layer

    equal(made["OUTPUT_CONTRIBUTIONS"], spread(of_class), atol=1e-4)
    top = np.array([code_of[name] for name in learned.names])[size.argmax(axis=1)]
    equal(made["OUTPUT"], spread(top[:, None].astype(float)))
    groups = ("thermal", "biophysical", "hydrological", "soil", "topography")
    shares = np.stack([100 * size[:, [group_of[name] == group for name in learned.names]].sum(axis=1)
                       / size.sum(axis=1) for group in groups], axis=1)
    equal(made["OUTPUT_GROUPS"], spread(shares), atol=1e-2)
    for row in table(made["OUTPUT_TABLE"]):
        of = [name == row["name"] if row["level"] == "predictor" else group_of[name] == row["name"]
              for name in learned.names]
        assert float(row["mean_abs_contribution"]) == pytest.approx(size[:, of].sum(axis=1).mean(), rel=1e-4, abs=1e-9)
        assert float(row["share_percent"]) == pytest.approx(100 * size[:, of].sum() / size.sum(), rel=1e-4, abs=1e-9)
        first = (top == code_of[row["name"]] if row["level"] == "predictor"
                 else shares.argmax(axis=1) == groups.index(row["name"]))
        assert int(row["top_cells"]) == first.sum() and int(row["cells"]) == known.sum()
        assert float(row["top_area_km2"]) == pytest.approx(CELL_KM2 * first.sum(), rel=1e-6)


@pytest.mark.proves("trainxgboost", "OUTPUT_METRICS", "OUTPUT_SHAP", "OUTPUT_SELECTION")
def test_the_tables_of_the_training(learned):
    x, codes, model = learned.samples["x"], np.array(learned.model.codes), learned.model
    labels = np.searchsorted(codes, learned.samples["pti"])
    options, n = model.manifest["options"], len(labels)
    tests = [split(labels, options["test_share"], (options["seed"], run), True)[1] for run in range(4)]
    votes, chances, times, all_votes, all_chances, right, contributions = (
        np.zeros((n, len(codes))), np.zeros((n, len(codes))), np.zeros(n), np.zeros((n, len(codes))),
        np.zeros((n, len(codes))), [], [])
    for booster, test in zip(learned.boosters, tests):
        found = booster.predict(matrix_of(learned.names, x))
        all_votes[np.arange(n), found.argmax(axis=1)] += 1
        all_chances += found
        place = (found[test] * model.factors).argmax(axis=1)
        votes[test, place] += 1
        chances[test] += found[test]
        times[test] += 1
        right.append((place == labels[test]).mean())
        contributions.append(np.abs(booster.predict(matrix_of(learned.names, x[test]),
                                                    pred_contribs=True).astype(float))[..., :-1])
    tested = times > 0
    out_of_bag = voted(votes[tested], chances[tested] * model.factors)
    rows = {row["line"]: row for row in table(learned.made["OUTPUT_METRICS"]) if row["source"] == "this run"}

    def figure(line):
        return float(rows[line]["value"]), int(rows[line]["n"])

    assert figure("out-of-bag vote") == (pytest.approx(100 * (out_of_bag == labels[tested]).mean()), tested.sum())
    low, high = wilson_95((out_of_bag == labels[tested]).sum(), tested.sum())
    assert (float(rows["out-of-bag vote"]["low"]), float(rows["out-of-bag vote"]["high"])) == (
        pytest.approx(100 * low, abs=1e-3), pytest.approx(100 * high, abs=1e-3))
    assert figure("in-sample vote (in-sample, not an accuracy)") == (
        pytest.approx(100 * (voted(all_votes, all_chances) == labels).mean()), n)
    assert figure("single-run hold-out, mean") == (pytest.approx(100 * np.mean(right)), 4)
    assert figure("single-run hold-out, standard deviation")[0] == pytest.approx(100 * np.std(right, ddof=1))
    assert figure("kappa (out-of-bag)")[0] == pytest.approx(metrics.cohen_kappa_score(labels[tested], out_of_bag))
    tier = codes // 10
    assert figure("tier accuracy (out-of-bag)")[0] == pytest.approx(
        100 * (tier[out_of_bag] == tier[labels[tested]]).mean())
    for i, code in enumerate(codes):
        classified, true = out_of_bag == i, labels[tested] == i
        assert figure(f"precision of rank {code} (out-of-bag)") == (
            pytest.approx(100 * (classified & true).sum() / classified.sum()), classified.sum())
        assert figure(f"recall of rank {code} (out-of-bag)") == (
            pytest.approx(100 * (classified & true).sum() / true.sum()), true.sum())

    means = np.concatenate(contributions).mean(axis=0)
    shap = table(learned.made["OUTPUT_SHAP"])
    for level, label, values in (("feature", "all", means.mean(axis=0)),
                                 *(("feature_of_class", str(code), means[i]) for i, code in enumerate(codes))):
        found = {row["name"]: row for row in shap if (row["level"], row["class"]) == (level, label)}
        for name, value in zip(learned.names, values):
            assert float(found[name]["mean_abs_shap"]) == pytest.approx(value, rel=1e-4, abs=1e-9)
            assert float(found[name]["share_percent"]) == pytest.approx(100 * value / values.sum(), rel=1e-4, abs=1e-9)
            assert int(found[name]["points"]) == sum(map(len, tests))
    gains = np.array([[booster.get_score(importance_type="total_gain").get(name, 0) for name in learned.names]
                      for booster in learned.boosters]).mean(axis=0)
    for name, gain in zip(learned.names, gains):
        row = next(row for row in shap if (row["level"], row["name"]) == ("feature", name))
        assert float(row["gain_share_percent"]) == pytest.approx(100 * gain / gains.sum(), rel=1e-4)

    curve = {int(row["features"]): row for row in table(learned.made["OUTPUT_SELECTION"])
             if row["source"] == "this run"}
    assert curve[3]["kept"].split() == list(NAMES) == learned.names and curve[3]["chosen"] == "1"
    folds = stratified_folds(labels, options["seed"])
    # ranks count as their areas on the map
    weights = np.array([(learned.index == code).sum() for code in codes])[labels] / np.bincount(labels)[labels]
    weights = (weights / weights.mean()).astype(np.float32)
    of_folds = [eliminated(x, labels, folds != fold, weights, model.manifest["parameters"], options["seed"])
                for fold in range(5)]
    accuracy = {count: [scores[count] for scores in of_folds] for count in (3, 2, 1)}
    for count, scores in accuracy.items():
        assert [float(curve[count][f"fold_{fold + 1}"]) for fold in range(5)] == pytest.approx(100 * np.array(scores))
        assert float(curve[count]["mean_accuracy"]) == pytest.approx(100 * np.mean(scores))
        assert float(curve[count]["sd_accuracy"]) == pytest.approx(100 * np.std(scores, ddof=1))


def wilson_95(right, n):
    """Wilson's interval of a share."""
    z, share = stats.norm.ppf(0.975), right / n
    middle, half = share + z ** 2 / 2 / n, z * np.sqrt(share * (1 - share) / n + z ** 2 / 4 / n ** 2)
    return (middle - half) / (1 + z ** 2 / n), (middle + half) / (1 + z ** 2 / n)


def eliminated(x, labels, training, weights, parameters, seed):
    """Return {number of features: accuracy beside the rows ``training``}, the least mean gain dropped in turn."""
    import xgboost

    left, found = list(NAMES), {}
    while left:
        columns = [NAMES.index(name) for name in left]
        kinds = {"feature_names": left, "feature_types": ["c" if name == "land_cover" else "q" for name in left]}
        matrix = xgboost.QuantileDMatrix(x[training][:, columns], label=labels[training], weight=weights[training],
                                         enable_categorical=True, max_bin=256, **kinds)
        booster = xgboost.train({**parameters, "seed": seed, "nthread": 1}, matrix, 2)
        rest = xgboost.DMatrix(x[~training][:, columns], enable_categorical=True, **kinds)
        found[len(left)] = (booster.predict(rest).argmax(axis=1) == labels[~training]).mean()
        gains = booster.get_score(importance_type="gain")
        left.remove(min(left, key=lambda name: gains.get(name, 0)))
    return found


# samples, zones, accuracy and stations

@pytest.mark.proves("samplepoints", "OUTPUT", "OUTPUT_TABLE")
def test_the_sample_points(run, learned, tmp_path):
    """Without spacing or buffer all cells that lack no more than MAX_MISSING predictors are drawn."""
    made = run("samplepoints", {"PTI": learned.pti, "STACK": learned.stack, "PER_CLASS": 10_000, "SPACING": 0,
                                "EDGE_BUFFER": 0, "MAX_MISSING": 1,
                                **outputs_of(tmp_path, OUTPUT="gpkg", OUTPUT_TABLE="csv")})
    layers = np.stack([learned.layers[name] for name in NAMES])
    lacking = np.isnan(layers)
    usable = (learned.index > 0) & (lacking.sum(axis=0) <= 1)
    rows, features = np.argwhere(usable), features_of(made["OUTPUT"])
    found = {(feature["row"], feature["column"]): feature for feature in features}
    assert len(found) == len(features) == len(rows) and set(found) == set(map(tuple, rows.tolist()))
    change = coordinates_of(6931)
    for cell, feature in found.items():
        assert feature["pti"] == learned.index[cell]
        values = [np.nan if feature[name] is None else feature[name] for name in NAMES]
        np.testing.assert_array_equal(values, layers[(slice(None), *cell)])
        longitude, latitude = change(TRANSFORM[0] + 25000 * (cell[1] + 0.5), TRANSFORM[3] - 25000 * (cell[0] + 0.5))
        assert (feature["longitude"], feature["latitude"]) == (pytest.approx(longitude), pytest.approx(latitude))
    for row in table(made["OUTPUT_TABLE"]):
        here = learned.index > 0 if row["rank"] == "all" else learned.index == int(row["rank"])
        assert [int(row[name]) for name in ("cells", "cells_inside", "cells_complete", "cells_usable", "achieved")] == [
            here.sum(), here.sum(), (here & ~lacking.any(axis=0)).sum(), (here & usable).sum(), (here & usable).sum()]
        assert float(row["area_km2"]) == pytest.approx(CELL_KM2 * here.sum(), rel=1e-3)
        told = dict(part.rsplit(" ", 1) for part in row["lacking"].split("; ") if part)
        closed = here & ~usable
        assert {name: int(count) for name, count in told.items()} == {
            name: (closed & lacking[i]).sum() for i, name in enumerate(NAMES) if (closed & lacking[i]).any()}


def features_of(path):
    from osgeo import ogr

    source = ogr.Open(str(path))
    return [feature.items() for feature in source.GetLayer(0)]


def coordinates_of(code):
    """Return the function that gives longitude and latitude of coordinates of an EPSG code."""
    import pyproj

    return pyproj.Transformer.from_crs(code, 4326, always_xy=True).transform


@pytest.mark.proves("summarizezones", "OUTPUT_TABLE", "OUTPUT")
def test_the_zones(run, learned, tmp_path):
    """The first zone is half of one rank and half of another exactly: half rules, and no second is named."""
    rng, shape = np.random.default_rng(13), learned.index.shape
    index = learned.index.copy()
    index[:4, :10] = np.where(np.arange(10) < 5, 22, 13)
    reference = np.where(rng.random(shape) < 0.3, rng.choice([0, 11, 12, 13], shape), index)
    percent = np.where(rng.random(shape) < 0.1, np.nan, rng.integers(0, 100, shape) + 0.0)
    depth = np.where(rng.random(shape) < 0.1, np.nan, rng.uniform(-30, 30, shape))
    pp, percent = stored(tmp_path / "pp.tif", percent, 0.5, 2.0, unit="%")
    own, depth = stored(tmp_path / "depth.tif", depth, unit="cm")
    corners = {"a": (0, 4, 0, 10), "b": (6, 20, 3, 30), "c": (18, 26, 0, 12)}
    zones = tmp_path / "zones.csv"
    zones.write_text("name,wkt\n" + "".join('{},"POLYGON(({}))"\n'.format(name, ",".join(
        f"{TRANSFORM[0] + 25000 * column} {TRANSFORM[3] - 25000 * row}" for row, column in (
            (top, left), (top, right), (bottom, right), (bottom, left), (top, left))))
        for name, (top, bottom, left, right) in corners.items()), encoding="utf-8")
    layer = polygon_layer(zones)
    made = run("summarizezones", {
        "PTI": write_raster(tmp_path / "pti.tif", index, nodata=0, dtype="uint8"), "ZONES": layer, "FIELD": "name",
        "PP": pp, "PREDICTORS": [own],
        "REFERENCE": write_raster(tmp_path / "ref.tif", reference, nodata=0, dtype="uint8"),
        **outputs_of(tmp_path, OUTPUT_TABLE="csv", OUTPUT="gpkg")})
    rows = {row["zone"]: row for row in table(made["OUTPUT_TABLE"])}
    assert set(rows) == {"Whole map", *corners}
    place = {code: i for i, code in enumerate(RANKS)}
    for name, row in rows.items():
        here = index > 0
        if name in corners:
            top, bottom, left, right = corners[name]
            inside = np.zeros(shape, dtype=bool)
            inside[top:bottom, left:right] = True
            here = here & inside
            assert float(row["polygon_km2"]) == pytest.approx(CELL_KM2 * inside.sum(), rel=1e-4)
        counts = {code: (here & (index == code)).sum() for code in RANKS}
        order = sorted((code for code in RANKS if counts[code]), key=lambda code: (-counts[code], code))
        assert int(row["cells"]) == here.sum() and int(row["first_rank"]) == order[0]
        assert float(row["area_km2"]) == pytest.approx(CELL_KM2 * here.sum(), rel=1e-6)
        assert float(row["first_percent"]) == pytest.approx(100 * counts[order[0]] / here.sum(), abs=1e-3)
        second = str(order[1]) if 2 * counts[order[0]] < here.sum() else ""
        assert row["second_rank"] == second
        if second:
            assert float(row["second_percent"]) == pytest.approx(100 * counts[order[1]] / here.sum(), abs=1e-3)
        for tier, of in (("cold", (11, 12, 13)), ("cool", (21, 22, 23)), ("warm", (31, 32, 33)), ("isolated", (40,))):
            assert float(row[f"{tier}_percent"]) == pytest.approx(
                100 * sum(counts[code] for code in of) / here.sum(), abs=1e-3)
        for code in RANKS:
            assert float(row[f"area_{code}_km2"]) == pytest.approx(CELL_KM2 * counts[code], rel=1e-6)
        assert float(row["pp_area_km2"]) == pytest.approx(CELL_KM2 * np.nansum(percent[here]) / 100, rel=1e-6)
        assert float(row["mean_depth"]) == pytest.approx(np.nanmean(depth[here]), rel=1e-6)
        compared = here & (reference > 0)
        apart = np.abs([place[one] - place[two] for one, two in zip(index[compared], reference[compared])])
        assert int(row["compared_cells"]) == compared.sum()
        assert float(row["agreement_percent"]) == pytest.approx(100 * (apart == 0).mean(), abs=1e-3)
        assert float(row["within_one_percent"]) == pytest.approx(100 * (apart <= 1).mean(), abs=1e-3)
    assert (rows["a"]["first_rank"], rows["a"]["first_percent"], rows["a"]["second_rank"]) == ("13", "50", "")
    drawn = {feature["zone"]: feature for feature in features_of(made["OUTPUT"])}
    assert set(drawn) == set(corners)
    for name, feature in drawn.items():
        for column, value in feature.items():
            assert str(value) == rows[name][column] or value is None and rows[name][column] == "" or \
                value == pytest.approx(float(rows[name][column]), rel=1e-6), column


def polygon_layer(path):
    """Return a layer in memory of the polygons of a CSV with the columns name and wkt."""
    from qgis.core import QgsFeature, QgsGeometry, QgsVectorLayer

    layer, made = QgsVectorLayer("Polygon?crs=EPSG:6931&field=name:string", "zones", "memory"), []
    for row in table(path):
        made.append(QgsFeature(layer.fields()))
        made[-1].setAttributes([row["name"]])
        made[-1].setGeometry(QgsGeometry.fromWkt(row["wkt"]))
    layer.dataProvider().addFeatures(made)
    return layer


@pytest.mark.proves("assessaccuracy", "OUTPUT_TABLE")
def test_the_accuracy_of_two_rasters(run, tmp_path):
    rng = np.random.default_rng(14)
    true = rng.choice(3, (20, 30))
    mapped = np.where(rng.random(true.shape) < 0.7, true, rng.choice(3, true.shape))
    mapped[rng.random(true.shape) < 0.1] = true[3:5] = 255
    paths = [write_raster(tmp_path / f"{name}.tif", codes, nodata=255, dtype="uint8")
             for name, codes in (("mapped", mapped), ("true", true))]
    made = run("assessaccuracy", {"CLASSIFIED": paths[0], "REFERENCE": paths[1],
                                  **outputs_of(tmp_path, OUTPUT_TABLE="csv")})
    rows = {row["line"]: row for row in table(made["OUTPUT_TABLE"])}
    both = (mapped < 255) & (true < 255)
    one, two = mapped[both], true[both]
    assert float(rows["overall accuracy (cells)"]["value"]) == pytest.approx(100 * metrics.accuracy_score(two, one))
    assert float(rows["overall accuracy (area-weighted)"]["value"]) == pytest.approx(
        100 * metrics.accuracy_score(two, one), rel=1e-6)
    assert float(next(row["value"] for line, row in rows.items() if line.startswith("kappa"))) == pytest.approx(
        metrics.cohen_kappa_score(two, one), rel=1e-6)
    for code in range(3):
        assert float(rows[f"recall of class {code} (area-weighted)"]["value"]) == pytest.approx(
            100 * metrics.recall_score(two, one, average=None)[code], rel=1e-6)
        assert float(rows[f"precision of class {code} (area-weighted)"]["value"]) == pytest.approx(
            100 * metrics.precision_score(two, one, average=None)[code], rel=1e-6)
        assert float(rows[f"reference area of class {code}"]["value"]) == pytest.approx(CELL_KM2 * (two == code).sum())
        for other in range(3):
            assert float(rows[f"classified class {code}, reference class {other}"]["value"]) == pytest.approx(
                ((one == code) & (two == other)).sum())


@pytest.mark.proves("validateboreholes", "OUTPUT", "OUTPUT_TABLE", "OUTPUT_SIDE_BY_SIDE")
def test_the_stations(run, tmp_path, monkeypatch):
    """Stations in the middle of cells, one of them on a gap of each layer; the last percent is the limit exactly."""
    from pti_plugin.core.reporting import figures

    monkeypatch.setattr(figures, "MAP_CELLS", 100)
    rng, shape, years = np.random.default_rng(15), (12, 12), np.arange(2001, 2013)
    cells = [(1 + i, 1 + (5 * i) % 11) for i in range(10)]
    index, other = rng.choice(RANKS, (2, *shape))
    layers = {"magt": rng.uniform(-6, 2, shape), "warm_magt": rng.uniform(-6, 2, shape),
              "pp": rng.uniform(20, 100, shape), "warm_pp": rng.uniform(20, 100, shape)}
    index[cells[0]] = other[cells[1]] = 0
    layers["magt"][cells[2]] = layers["warm_magt"][cells[3]] = np.nan
    layers["pp"][cells[8]], layers["pp"][cells[9]] = 9.5, 10.0
    encodings = {"magt": (0.25, -40.0, "degC"), "warm_magt": (0.125, 273.0, "K"), "pp": (0.5, 2.0, "%"),
                 "warm_pp": (0.25, 10.0, "%")}
    paths = {}
    for name, (scale, offset, unit) in encodings.items():
        kelvin = 273.15 if unit == "K" else 0
        paths[name], values = stored(tmp_path / f"{name}.tif", layers[name] + kelvin, scale, offset, unit=unit)
        layers[name] = values - kelvin
    signs = rng.choice([-1, 0, 1], (2, *shape))
    for name, codes, nodata, dtype in (("pti", index, 0, "uint8"), ("other", other, 0, "uint8"),
                                       ("magt_sign", signs[0], NODATA, "int16"),
                                       ("alt_sign", signs[1], NODATA, "int16")):
        paths[name] = write_raster(tmp_path / f"{name}.tif", codes, nodata=nodata, dtype=dtype)
    change, lines, series = coordinates_of(6931), {"magt": [], "alt": []}, {"magt": [], "alt": []}
    for i, cell in enumerate(cells):
        longitude, latitude = change(TRANSFORM[0] + 25000 * (cell[1] + 0.5), TRANSFORM[3] - 25000 * (cell[0] + 0.5))
        for kind, start, rise, noise in (("magt", rng.uniform(-5, 1.5), 0.08 * (i % 2), 0.2),
                                         ("alt", 80, 2.0 * (i % 3 == 0), 4)):
            values = np.round(start + rise * np.arange(12) + rng.normal(0, noise, 12), 4)
            series[kind].append(values)
            lines[kind] += [f"{kind[0].upper()}{i},{latitude:.7f},{longitude:.7f},{year},{value}"
                            for year, value in zip(years, values)]
    for kind, unit in (("magt", "degC"), ("alt", "cm")):
        path = tmp_path / f"stations_{kind}.csv"
        header = f"site,latitude,longitude,year,{kind}_{unit}"
        path.write_text("\n".join([header, *lines[kind]]) + "\n", encoding="utf-8")
        paths[f"stations_{kind}"] = str(path)
    made = run("validateboreholes", {
        "PTI": paths["pti"], "STATIONS_MAGT": paths["stations_magt"], "STATIONS_ALT": paths["stations_alt"],
        "SEARCH": 0, "MAGT": paths["magt"], "PP": paths["pp"], "OTHER_MAPS": [paths["other"]],
        "PRODUCTS_MAGT": [paths["warm_magt"]], "PRODUCTS_PP": [paths["warm_pp"]],
        "MAGT_TREND": paths["magt_sign"], "ALT_TREND": paths["alt_sign"],
        **outputs_of(tmp_path, OUTPUT="gpkg", OUTPUT_TABLE="csv", OUTPUT_SIDE_BY_SIDE="csv", OUTPUT_REPORT="html")})
    rows = {row["site_magt"]: row for row in table(made["OUTPUT_TABLE"])}
    assert set(rows) == {f"M{i}" for i in range(10)}
    own, tiers = [], {1: "cold", 2: "cool", 3: "warm", 4: "isolated"}
    place = {code: i for i, code in enumerate(RANKS)}
    for i, cell in enumerate(cells):
        row, trends = rows[f"M{i}"], []
        for kind, factor in (("magt", 1), ("alt", 0.01)):
            p = stats.kendalltau(years, series[kind][i], method="exact").pvalue
            slope = stats.theilslopes(series[kind][i], years).slope
            trends.append(int(np.sign(slope)) if p < 0.05 else 0)
            assert float(row[kind]) == pytest.approx(factor * series[kind][i].mean(), rel=1e-6)
            assert float(row[f"{kind}_slope"]) == pytest.approx(factor * slope, rel=1e-5, abs=1e-9)
            assert float(row[f"{kind}_p"]) == pytest.approx(p, rel=1e-5)
            assert int(row[f"{kind}_trend"]) == trends[-1] and int(row[f"{kind}_n"]) == 12
        mean = series["magt"][i].mean()
        rank, _ = rank_of(mean, layers["pp"][cell], 1, *trends)
        own.append(rank)
        assert (int(row["site_rank"]), row["map_rank"]) == (rank, str(index[cell]) if index[cell] else "")
        assert row["map_magt"] == "" if i == 2 else float(row["map_magt"]) == layers["magt"][cell]
        assert row["magt_diff"] == "" if i == 2 else float(row["magt_diff"]) == pytest.approx(
            layers["magt"][cell] - mean, abs=1e-6)
        assert float(row["map_pp"]) == layers["pp"][cell] and float(row["pair_km"]) == 0
        if index[cell]:
            apart = place[index[cell]] - place[rank]
            assert int(row["rank_diff"]) == apart
            assert row["match"] == ("exact", "one off", "further")[min(abs(apart), 2)]
    assert own[8] == 40 and own[9] != 40
    for feature in features_of(made["OUTPUT"]):
        row = rows[feature["site_magt"]]
        assert {name: "" if value is None else str(value) if isinstance(value, (str, int)) else pytest.approx(value)
                for name, value in feature.items()} == {
            name: float(row[name]) if isinstance(value, float) else row[name] for name, value in feature.items()}
    single = [rank_of(layers["warm_magt"][cell], layers["warm_pp"][cell], 1, *signs[(slice(None), *cell)])[0]
              for cell in cells]
    maps = {"pti.tif": [index[cell] for cell in cells], "other.tif": [other[cell] for cell in cells], "warm": single}
    common = [i for i in range(10) if all(codes[i] for codes in maps.values())]
    beside = {row["map"]: row for row in table(made["OUTPUT_SIDE_BY_SIDE"])}
    assert common and len(beside) == 4
    for name, codes in maps.items():
        row, apart = beside[name], np.array([abs(place[codes[i]] - place[own[i]]) for i in common])
        assert (int(row["with_rank"]), int(row["ranks_compared"])) == (sum(map(bool, codes)), len(common))
        assert float(row["exact_percent"]) == pytest.approx(100 * (apart == 0).mean())
        assert float(row["within_one_percent"]) == pytest.approx(100 * (apart <= 1).mean())
        assert float(row["spearman"]) == pytest.approx(stats.spearmanr(
            [place[codes[i]] for i in common], [place[own[i]] for i in common])[0], rel=1e-6)
    misses = np.array([layers["warm_magt"][cells[i]] - series["magt"][i].mean() for i in range(10) if i not in (2, 3)])
    assert int(beside["warm"]["magt_compared"]) == len(misses) and int(beside["warm"]["with_magt"]) == 9
    assert float(beside["warm"]["magt_bias"]) == pytest.approx(misses.mean(), abs=1e-5)
    assert float(beside["warm"]["magt_rmse"]) == pytest.approx(np.sqrt((misses ** 2).mean()), abs=1e-5)
    assert float(beside["warm"]["magt_mae"]) == pytest.approx(np.abs(misses).mean(), abs=1e-5)
    assert tiers[own[8] // 10] == "isolated"


# progress

def test_the_page_watched(run, learned, tmp_path):
    assert run("printlayout", {"PTI": learned.pti, "DPI": 100, **outputs_of(tmp_path, OUTPUT_PNG="png")})


#: what the tools need beside the map whose classes are left out
BESIDE = {"samplepoints": {"PER_CLASS": 20, "SPACING": 0, "EDGE_BUFFER": 0}, "predictxgboost": {},
          "trainxgboost": {"RUNS": 2, "ROUNDS": 2, "BLOCK_KM": 150, "PER_CLASS": 40}, "summarizezones": {},
          "compareprofiles": {}, "assessaccuracy": {}, "buildpti": {}, "validateboreholes": {}}


def test_every_tool_that_leaves_out_classes_is_watched(provider):
    assert set(BESIDE) == {tool.name() for tool in provider.algorithms() if tool.parameterDefinition("EXCLUDE")}


@pytest.mark.parametrize("tool", BESIDE)
def test_progress_rises_with_classes_left_out(run, learned, world, tmp_path, tool):
    """Counting what is left out comes before the work itself."""
    given = {"STACK": learned.stack, "PTI": learned.pti, "MODEL": learned.made["OUTPUT_MODEL"]}
    cover = np.where(np.arange(LEARN_COLUMNS) < 3, 210, 10)[None].repeat(LEARN_ROWS, axis=0)
    if tool in ("buildpti", "validateboreholes"):
        cover = np.where(np.arange(36) < 3, 210, 10)[None].repeat(24, axis=0)
        place = (500000.0, 25000.0, 0.0, -500000.0, 0.0, -25000.0)
        codes = np.where(np.arange(36) < 18, 11, 33)[None].repeat(24, axis=0)
        flat = {name: write_raster(tmp_path / f"{name}.tif", np.full((24, 36), value), dtype="float32", transform=place)
                for name, value in (("PP", 60.0), ("MAGT", -2.0), ("MAGT_TREND", 1), ("ALT_TREND", 0), ("BASE", 1))}
        given = flat if tool == "buildpti" else {
            "PTI": write_raster(tmp_path / "index.tif", codes, nodata=0, dtype="uint8", transform=place),
            "STATIONS_MAGT": world.stations_magt, "STATIONS_ALT": world.stations_alt}
    elif tool == "compareprofiles":
        given = {"FIRST": learned.pti, "SECOND": learned.pti}
    elif tool == "assessaccuracy":
        given = {"CLASSIFIED": learned.pti, "REFERENCE": learned.pti}
    elif tool == "summarizezones":
        zones = tmp_path / "zones.csv"
        zones.write_text('name,wkt\na,"POLYGON((-100000 100000,300000 100000,300000 -200000,-100000 -200000,-100000 '
                         '100000))"\n', encoding="utf-8")
        given = {"PTI": learned.pti, "ZONES": polygon_layer(zones), "FIELD": "name"}
    elif tool == "predictxgboost":
        given.pop("PTI")
    transform = place if tool in ("buildpti", "validateboreholes") else TRANSFORM
    outputs = [item for item in provider_outputs(tool) if not item.flags() & item.FlagOptional]
    made = run(tool, {
        **{name: value for name, value in given.items() if name != "MODEL" or tool == "predictxgboost"}, **BESIDE[tool],
        # no parameter of some tools, and then ignored
        "BLOCK_SIZE": 8,
        "EXCLUDE": write_raster(tmp_path / "cover.tif", cover, dtype="uint8", transform=transform),
        **{item.name(): str(tmp_path / f"{item.name()}.{ENDINGS.get(item.type()) or item.defaultFileExtension()}")
           for item in outputs}})
    assert made


ENDINGS = {"rasterDestination": "tif", "vectorDestination": "gpkg"}


def provider_outputs(tool):
    """Return the parameters of a tool that are outputs."""
    from qgis.core import QgsApplication

    definitions = QgsApplication.processingRegistry().algorithmById(f"pti:{tool}").parameterDefinitions()
    return [item for item in definitions if item.isDestination()]
