"""The predictor stack: bands by role, ranges over the base map, own predictors, and what is refused."""

import csv
from fractions import Fraction

import numpy as np
import pytest

from pti_plugin.core.common.errors import Cancelled, GridError, InputError, OutputError
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.ensembles.features import PREDICTORS, read_stack
from pti_plugin.core.learning.predictor_stack import COLUMNS, StackOptions, predictor_stack, scaled
from pti_plugin.core.rasters.blocks import Settings
from pti_plugin.core.rasters.grid import Grid
from pti_plugin.core.rasters.products import read_products
from pti_plugin.core.rasters.raster import read_info
from pti_plugin.core.rasters.recognition import recognise
from support import TRANSFORM, Log, read_raster, standing, write_raster

SHAPE = (9, 8)
FINE = (TRANSFORM[0], 5000.0, 0.0, TRANSFORM[3], 0.0, -5000.0)


def run(given, folder, own=(), base=None, target=None, settings=None, log=None, table=True, **options):
    outputs = {"stack": str(folder / "stack.tif"), "ranges": str(folder / "ranges.csv") if table else None}
    log = log or Log()
    inputs = [*given.values(), *own, *([base] if base else [])]
    with Staging(inputs) as staging:
        result = predictor_stack(given, list(own), base, outputs, staging, log, StackOptions(**options), target,
                                 settings)
        staging.commit()
    return {row["role"]: row for row in result["predictors"]}, result["cells"], log


def bands_of(path):
    return {feature.name: read_raster(path, i) for i, feature in enumerate(read_stack(str(path)).features, start=1)}


def table_of(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return {row["role"]: row for row in csv.DictReader(stream)}


def numbers(seed, shape=SHAPE, gaps=0.1):
    """Values that every role of the paper may hold."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.05 + 0.003 * seed, 0.01 + 0.0005 * seed, shape).clip(0.0, 0.2)
    values[rng.random(shape) < gaps] = np.nan
    return values


def layer(folder, role, values, **options):
    options = {"nodata": -99, "dtype": "float32", **options}
    return write_raster(folder / f"{role}.tif", values, **options)


@pytest.fixture
def sixteen(tmp_path):
    """All sixteen roles with random values, land cover as codes; {role: path} and {role: array}."""
    values = {role: numbers(i + 1) for i, role in enumerate(PREDICTORS)}
    values["land_cover"] = np.random.default_rng(0).choice([10, 70, 202], SHAPE).astype(float)
    values["land_cover"][0, 3] = np.nan
    paths = {role: layer(tmp_path, role, array, **({"nodata": 0, "dtype": "uint8"} if role == "land_cover" else {}))
             for role, array in values.items()}
    return paths, {role: array.astype("float32").astype(float) for role, array in values.items()}


def base_map(folder, seed=9):
    values = np.random.default_rng(seed).choice([0, 1, 255], SHAPE, p=[0.3, 0.6, 0.1])
    return write_raster(folder / "base.tif", values, nodata=255, dtype="uint8"), values == 1


def test_sixteen_roles_are_scaled_over_the_base_map(sixteen, tmp_path):
    paths, values = sixteen
    base, inside = base_map(tmp_path)
    rows, cells, log = run(dict(reversed(paths.items())), tmp_path, base=base)
    stack = read_stack(str(tmp_path / "stack.tif"))
    assert [feature.name for feature in stack.features] == list(PREDICTORS)
    assert read_info(str(tmp_path / "stack.tif")).metadata["PTI_SCALING"] == "minmax_0_100"
    got = bands_of(tmp_path / "stack.tif")
    complete = np.ones(SHAPE, dtype=bool)
    for feature in stack.features:
        raw = values[feature.name]
        there = ~np.isnan(raw)
        complete &= there
        assert feature.group == PREDICTORS[feature.name].group
        row = rows[feature.name]
        assert row["cells"] == (there & inside).sum() and row["missing"] == (~there & inside).sum()
        assert row["outside_base"] == (there & ~inside).sum()
        if feature.name == "land_cover":
            assert feature.categorical and feature.low is None
            np.testing.assert_array_equal(got["land_cover"], raw)
            continue
        low, high = raw[there & inside].min(), raw[there & inside].max()
        assert np.float32(feature.low) == low and np.float32(feature.high) == high
        np.testing.assert_allclose(got[feature.name], np.clip((raw - low) / (high - low) * 100, 0, 100), rtol=1e-6,
                                   atol=1e-6)
        assert got[feature.name][there & inside].min() == 0 and got[feature.name][there & inside].max() == 100
        assert row["clipped"] == (there & ((raw < low) | (raw > high))).sum()
    assert sum(row["clipped"] for row in rows.values()) > 0
    assert cells == {"domain": inside.sum(), "complete": (complete & inside).sum()}
    warning = next(w for w in log.warnings if "lack a predictor" in w)
    for role, row in rows.items():
        assert (f"{role} {row['missing']} (" in warning) == bool(row["missing"])
    assert f"{cells['domain'] - cells['complete']} of {cells['domain']} lack at least one" in warning
    assert not any("outside the ranges" in w for w in log.warnings)


def test_cells_outside_the_base_map_stay_in_the_stack(tmp_path):
    values = np.arange(72.0).reshape(SHAPE)
    inside = np.zeros(SHAPE, dtype=np.uint8)
    inside[4] = 7
    base = write_raster(tmp_path / "base.tif", inside)
    rows, _, _ = run({"soc": layer(tmp_path, "soc", values)}, tmp_path, base=base)
    assert (rows["soc"]["low"], rows["soc"]["high"]) == (32, 39)
    got = bands_of(tmp_path / "stack.tif")["soc"]
    assert (got[:4] == 0).all() and (got[5:] == 100).all()
    np.testing.assert_allclose(got[4], np.arange(8) / 7 * 100, rtol=1e-6)


def test_units_kinds_and_ranges_are_kept_with_the_bands(tmp_path):
    # the unit of the file is not that of the method, the result's is
    given = {"soc": layer(tmp_path, "soc", numbers(1), unit="dg/kg"),
             "land_cover": layer(tmp_path, "land_cover", np.full(SHAPE, 140), dtype="uint8", nodata=0, unit="class")}
    rows, _, _ = run(given, tmp_path)
    info = read_info(str(tmp_path / "stack.tif"))
    assert info.units == ("", "") and info.dtypes == ("Float32", "Float32")
    cover, soc = info.band_metadata
    assert cover == {"PTI_KIND": "categorical", "PTI_GROUP": "biophysical"}
    assert soc == {"PTI_KIND": "number", "PTI_GROUP": "soil", "PTI_RAW_UNIT": "g/kg",
                   "PTI_MIN": str(rows["soc"]["low"]), "PTI_MAX": str(rows["soc"]["high"])}
    table = table_of(tmp_path / "ranges.csv")
    assert list(table["soc"]) == list(COLUMNS)
    assert rows["soc"]["high"] == pytest.approx(np.nanmax(numbers(1)) / 10, rel=1e-6)
    assert table["soc"]["unit"] == "g/kg" and table["land_cover"]["low"] == ""
    assert float(table["soc"]["low"]) == rows["soc"]["low"]


def test_raw_keeps_values_units_and_no_range(sixteen, tmp_path):
    paths, values = sixteen
    layer(tmp_path, "soc", values["soc"], unit="g kg-1")
    layer(tmp_path, "peat", np.full(SHAPE, 50))
    rows, _, log = run(paths, tmp_path, scaling="raw")
    got = bands_of(tmp_path / "stack.tif")
    for role, raw in values.items():
        np.testing.assert_array_equal(got[role], np.full(SHAPE, 50.0) if role == "peat" else raw)
    info = read_info(str(tmp_path / "stack.tif"))
    assert info.units[list(PREDICTORS).index("soc")] == "g/kg"
    assert all(feature.low is None for feature in read_stack(info.path).features)
    assert np.float32(rows["soc"]["low"]) == np.nanmin(values["soc"])
    assert any("peat (peat.tif) has one value only, 50" in warning for warning in log.warnings)


def test_a_second_stack_is_scaled_by_the_ranges_of_the_first(sixteen, tmp_path):
    paths, values = sixteen
    base, inside = base_map(tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    one, _, _ = run(paths, first, base=base)
    two, _, log = run(paths, second, ranges=str(first / "ranges.csv"))
    assert (first / "stack.tif").read_bytes() == (second / "stack.tif").read_bytes()
    assert all((one[role]["low"], one[role]["high"]) == (two[role]["low"], two[role]["high"]) for role in PREDICTORS)
    warning = next(w for w in log.warnings if "outside the ranges of ranges.csv" in w)
    for role, row in two.items():
        share = row["clipped"] / row["cells"]
        assert (f"{role} {100 * share:.2g} %" in warning) == bool(share)
    # the ranges of a raw stack are the same
    third = tmp_path / "third"
    third.mkdir()
    run(paths, third, base=base, scaling="raw")
    raw, scaled_by = table_of(third / "ranges.csv"), table_of(first / "ranges.csv")
    assert [(row["low"], row["high"]) for row in raw.values()] == [(row["low"], row["high"])
                                                                   for row in scaled_by.values()]


def test_a_model_gives_its_ranges(tmp_path):
    from pti_plugin.core.learning.model_file import write_model

    given = {"soc": layer(tmp_path, "soc", numbers(1)),
             "land_cover": layer(tmp_path, "land_cover", np.full(SHAPE, 140), dtype="uint8", nodata=0)}
    run(given, tmp_path, scaling="minmax_0_100")
    stack = read_stack(str(tmp_path / "stack.tif"))
    xgboost = pytest.importorskip("xgboost")
    model = tmp_path / "m.ptimodel"
    manifest = {"versions": {"xgboost": xgboost.__version__}, "categories": {"land_cover": [140]}}
    write_model(model, stack.features, (11, 12), [b"booster"], manifest)
    other = {**given, "soc": layer(tmp_path, "soc_b", numbers(2))}
    (tmp_path / "b").mkdir()
    run(other, tmp_path / "b", ranges=str(model))
    # the second stack fits a model trained on the first
    assert len(read_stack(str(tmp_path / "b" / "stack.tif")).select(stack.features)[0]) == 2
    run(given, tmp_path, scaling="raw")
    write_model(model, read_stack(str(tmp_path / "stack.tif")).features, (11, 12), [b"booster"], manifest)
    with pytest.raises(InputError, match="m.ptimodel was trained on soc as it is.*SCALING to raw"):
        run(given, tmp_path, ranges=str(model))
    (tmp_path / "broken.ptimodel").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a PTI model file"):
        run(given, tmp_path, ranges=str(tmp_path / "broken.ptimodel"))


def test_own_predictors_join_by_role(tmp_path):
    wet = layer(tmp_path, "twi_1km", numbers(3))
    classes = layer(tmp_path, "geology", np.random.default_rng(1).integers(1, 5, SHAPE), dtype="uint8", nodata=0)
    many = write_raster(tmp_path / "climate.tif", np.stack([numbers(4), numbers(5), numbers(6)]), nodata=-99,
                        dtype="float32", descriptions=("rain", "Annual Mean", "bulk_density"), unit="mm")
    given = {"elevation": layer(tmp_path, "elevation", numbers(7))}
    texts = {"own_roles": "TWI*=wetness; geology.tif=rock; annual*=mean_rain", "own_kind": "rock=class",
             "own_groups": "wetness=hydrological"}
    run(given, tmp_path, own=[wet, classes, many], **texts)
    stack = read_stack(str(tmp_path / "stack.tif"))
    assert [(f.name, f.group, f.categorical) for f in stack.features] == [
        ("elevation", "topography", False), ("bulk_density", "soil", False), ("mean_rain", "other", False),
        ("rain", "other", False), ("rock", "other", True), ("wetness", "hydrological", False)]
    first = (tmp_path / "stack.tif").read_bytes()
    run(given, tmp_path, own=[many, classes, wet], **texts)
    assert (tmp_path / "stack.tif").read_bytes() == first
    got = bands_of(tmp_path / "stack.tif")["mean_rain"]
    raw = numbers(5)
    np.testing.assert_allclose(got, (raw - np.nanmin(raw)) / np.ptp(raw[~np.isnan(raw)]) * 100, rtol=1e-4, atol=1e-4)


def test_scaled_integers_keep_their_short_ranges(tmp_path):
    path = layer(tmp_path, "bulk_density", np.arange(72).reshape(SHAPE) + 103, dtype="int16", scale=0.01, unit="kg/dm3")
    rows, _, _ = run({"bulk_density": path}, tmp_path)
    assert (rows["bulk_density"]["low"], rows["bulk_density"]["high"]) == (1.03, 1.74)
    got = bands_of(tmp_path / "stack.tif")["bulk_density"]
    assert got.min() == 0 and got.max() == 100


def test_scaling_is_exact_against_fractions():
    rng = np.random.default_rng(8)
    for _ in range(50):
        values = (rng.normal(0, 1, 30) * 10.0 ** rng.integers(-6, 7)).astype(np.float32)
        low, high = np.sort(rng.choice(values, 2, replace=False))
        got, clipped = scaled(values, float(low), float(high))
        for value, result, cut in zip(values, got, clipped):
            exact = Fraction(float(value)) - Fraction(float(low))
            exact = min(max(100 * exact / (Fraction(float(high)) - Fraction(float(low))), Fraction(0)), Fraction(100))
            assert result == pytest.approx(float(exact), rel=1e-7, abs=1e-30)
            assert cut == (value < low or value > high)


def test_layers_on_other_grids_are_warped_once_and_scaled(tmp_path, monkeypatch):
    from pti_plugin.core.rasters.warping import Target

    fine = np.arange(45 * 40.0).reshape(45, 40) / 2
    cover = np.repeat(np.repeat(np.random.default_rng(2).choice([10, 202], SHAPE), 5, 0), 5, 1)
    base, inside = base_map(tmp_path)
    given = {"soc": layer(tmp_path, "soc", fine, transform=FINE),
             "elevation": layer(tmp_path, "elevation", numbers(2, gaps=0)),
             "land_cover": layer(tmp_path, "land_cover", cover, transform=FINE, dtype="uint8", nodata=0)}
    with pytest.raises(GridError, match="elevation.tif is not on the grid.*TARGET"):
        run(given, tmp_path, base=base)
    warped = []
    make = Target.warped
    monkeypatch.setattr(Target, "warped", lambda self, *rest: warped.append(
        (self.footprint.source, rest[1])) or make(self, *rest))
    target = Grid(read_info(base).grid.wkt, TRANSFORM, SHAPE[1], SHAPE[0])
    rows, _, log = run(given, tmp_path, base=base, target=target)
    assert len(warped) == 2 == len(set(warped))
    got = bands_of(tmp_path / "stack.tif")
    mean = fine.reshape(9, 5, 8, 5).mean(axis=(1, 3))
    low, high = mean[inside].min(), mean[inside].max()
    np.testing.assert_allclose(got["soc"], np.clip((mean - low) / (high - low) * 100, 0, 100), rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(got["land_cover"], cover[::5, ::5])
    assert sorted(name for name in standing(tmp_path) if "stack" in name) == ["stack.tif"]
    # one reading with given ranges is the same as two
    first = (tmp_path / "stack.tif").read_bytes()
    (tmp_path / "second").mkdir()
    run(given, tmp_path / "second", target=target, ranges=str(tmp_path / "ranges.csv"))
    assert (tmp_path / "second" / "stack.tif").read_bytes() == first


def test_block_size_and_threads_do_not_change_a_byte(tmp_path):
    shape = (290, 300)
    base = write_raster(tmp_path / "base.tif", np.random.default_rng(1).integers(0, 2, shape), dtype="uint8")
    given = {role: layer(tmp_path, role, numbers(i, shape)) for i, role in enumerate(("lst", "soc", "slope"))}
    seen = []
    for block, threads in ((64, 1), (100, 2), (1000, 2), (0, 1)):
        folder = tmp_path / f"b{block}_{threads}"
        folder.mkdir()
        run(given, folder, base=base, settings=Settings(threads, block))
        seen.append(standing(folder))
    assert all(files == seen[0] for files in seen[1:])


def test_progress_runs_over_both_readings_and_a_cancel_in_either_leaves_nothing(tmp_path):
    shape = (64, 64)
    given = {"lst": layer(tmp_path, "lst", numbers(1, shape)),
             "soc": layer(tmp_path, "soc", numbers(2, (320, 320)), transform=FINE)}
    target = read_info(given["lst"]).grid
    out = tmp_path / "out"
    out.mkdir()

    class Stopping(Log):
        def __init__(self, at):
            super().__init__()
            self.at, self.seen = at, []

        def set(self, fraction):
            self.seen.append(fraction)
            if fraction >= self.at:
                self.stop()

    whole = Stopping(2)
    run(given, out, log=whole, target=target, settings=Settings(1, 16))
    assert whole.seen == sorted(whole.seen) and whole.seen[-1] == 1 and len(whole.seen) == 32
    earlier = standing(out)
    for at in (0.2, 0.7):
        with pytest.raises(Cancelled):
            run(given, out, log=Stopping(at), target=target, settings=Settings(1, 16))
        assert standing(out) == earlier


def test_values_that_look_like_nodata_are_said(tmp_path):
    values = numbers(1, gaps=0)
    values[0, 0] = 65535
    with pytest.raises(InputError, match="wet.tif holds the stored value 65535.*does not declare"):
        run({}, tmp_path, [layer(tmp_path, "wet", values)], own_roles="wet*=wet")
    # not far from the others, it may be one of them
    values[0, 1:8] = 50000
    values[1, 1:8] = 30000
    _, _, log = run({}, tmp_path, [layer(tmp_path, "wet", values)], own_roles="wet*=wet")
    assert any("wet reaches 65535 in wet.tif" in warning for warning in log.warnings)
    # nor is -9999 far from -10400, but the stack itself needs it
    values[0, :2] = -9999, -10400
    with pytest.raises(InputError, match="wet.tif holds the value -9999.*nodata value of that file"):
        run({}, tmp_path, [layer(tmp_path, "wet", values)], own_roles="wet*=wet")


@pytest.mark.parametrize("role", PREDICTORS)
def test_a_value_beyond_the_plausible_range_of_its_role_stops_the_stack(tmp_path, role):
    quantity = PREDICTORS[role].quantity
    dtype = "int32" if PREDICTORS[role].categorical else "float32"
    values = np.tile(np.array([quantity.low, quantity.high]), (9, 4))
    run({role: layer(tmp_path, role, values, dtype=dtype, nodata=-9999)}, tmp_path)
    for beyond in (quantity.low - 1, quantity.high + 1, 25500):
        values[4, 3] = beyond
        with pytest.raises(InputError, match=rf"{role}\.tif holds the value .*, outside the plausible {quantity.low:g} "
                                             f"to {quantity.high:g}"):
            run({role: layer(tmp_path, role, values, dtype=dtype, nodata=-9999)}, tmp_path)
        # the same band under a name of one's own is not held against it
    own = layer(tmp_path, "own", values, dtype=dtype, nodata=-9999)
    run({}, tmp_path, [own], own_roles="own*=mine")
    with pytest.raises(InputError, match="outside the plausible"):
        run({}, tmp_path, [own], own_roles=f"own*={role}")


@pytest.mark.parametrize("role, stem, stored, factor", [
    ("soc", "soc_0-5cm_mean", 305, 0.1), ("coarse_fragments", "cfvo_0-5cm_mean", 120, 0.1),
    ("bulk_density", "bdod_0-5cm_mean_1000", 131, 0.01), ("water_content", "wv0033_0-5cm_mean", 310, 0.1),
    ("peak_ndvi", "GLASS13B01.V10.A2001193.2023068", 5000, 0.0001)])
def test_a_product_as_published_is_read_by_its_preset(tmp_path, role, stem, stored, factor):
    values = np.arange(72, dtype="int16").reshape(SHAPE) + stored
    path = write_raster(tmp_path / f"{stem}.tif", values)
    rows, _, log = run({role: path}, tmp_path)
    assert rows[role]["low"] == pytest.approx(stored * factor) and rows[role]["unit"] == PREDICTORS[role].quantity.unit
    assert any(line.startswith(f"{stem}.tif: read as") for line in log.lines)
    mine, preset = write_raster(tmp_path / "mine.tif", values), recognise(read_products(), stem).name
    # whole numbers of an unknown file may be scaled or not
    with pytest.raises(InputError, match=f"mine.tif is given as {role}, but it is not known what its values mean: .*"
                                         f"Set PRODUCT to {preset}"):
        run({role: mine}, tmp_path)
    high = PREDICTORS[role].quantity.high
    if stored + 71 <= high:
        assert run({role: mine}, tmp_path, product="none")[0][role]["low"] == stored
    else:
        with pytest.raises(InputError, match="outside the plausible"):
            run({role: mine}, tmp_path, product="none")
    named = run({role: mine}, tmp_path, product=f"mine*={preset}")[0][role]
    assert named["low"] == pytest.approx(stored * factor)


def test_codes_of_peat_are_not_taken_for_shares(tmp_path):
    # 1, peat dominated, is more than 2, peat in soil mosaic
    codes = np.arange(72, dtype="uint8").reshape(SHAPE) % 3
    mine = write_raster(tmp_path / "peat_1km.tif", codes)
    with pytest.raises(InputError, match="peat_1km.tif is given as peat, but it is not known what its values mean.*Set "
                                         "PRODUCT to gpm2, or to none"):
        run({"peat": mine}, tmp_path)
    assert run({"peat": mine}, tmp_path, product="none")[0]["peat"]["high"] == 2
    for shares in (np.choose(codes, [0, 100, 50]), codes * 33, codes * 0.5, codes * 0):
        kind = "uint8" if shares.dtype.kind in "iu" else "float32"
        run({"peat": write_raster(tmp_path / "shares.tif", shares.astype(kind))}, tmp_path, scaling="raw")


def test_a_product_in_another_role_is_refused(tmp_path):
    path = write_raster(tmp_path / "soc_0-5cm_mean.tif", np.arange(72, dtype="int16").reshape(SHAPE))
    with pytest.raises(InputError, match="is given as bulk_density but is SoilGrids soil organic carbon"):
        run({"bulk_density": path}, tmp_path)
    peat = write_raster(tmp_path / "peatGPA22WGS_2cl.tif", np.ones(SHAPE, dtype="uint8"))
    with pytest.raises(InputError, match="Global Peatland Map 2.0 as published, whose codes have to be recoded"):
        run({"peat": peat}, tmp_path)


def test_a_stated_unit_is_brought_to_that_of_the_role(tmp_path):
    path = layer(tmp_path, "lst", numbers(1) + 270)
    with pytest.raises(InputError, match="lst.tif holds the value 270.*outside the plausible -90 to 60"):
        run({"lst": path}, tmp_path)
    for options, unit in (({"units": "lst*=K"}, None), ({}, "kelvin")):
        rows, _, _ = run({"lst": layer(tmp_path, "lst", numbers(1) + 270, unit=unit)}, tmp_path, **options)
        assert rows["lst"]["high"] == pytest.approx(np.nanmax(numbers(1)) - 3.15, abs=1e-4)
        assert rows["lst"]["unit"] == "degC"
    with pytest.raises(InputError, match="'snow' in UNITS matches none of the inputs: lst.tif"):
        run({"lst": path}, tmp_path, units="snow=K")


GOOD = np.arange(72.0).reshape(SHAPE) / 2
BAD = [
    ({}, {}, {}, "No predictor is given"),
    ({"moisture": GOOD}, {}, {}, "'moisture' is none of the roles lst, "),
    ({"soc": np.full(SHAPE, 3.5)}, {}, {}, r"one value only and cannot be scaled: soc \(soc.tif: 3.5\)"),
    ({"soc": np.full(SHAPE, np.nan), "lst": GOOD}, {}, {}, r"no valid cell on the grid: soc \(soc.tif\)"),
    ({"soc": np.full(SHAPE, np.nan)}, {}, {}, "No predictor has a valid cell"),
    ({"soc": np.stack([GOOD, GOOD])}, {}, {}, "SOC: soc.tif has 2 bands where a single layer is expected"),
    ({"land_cover": GOOD * 2 + 0.5}, {}, {}, "land_cover.tif holds the value 0.5 where whole-numbered codes"),
    ({}, {"wet": GOOD * 2e6}, {"own_roles": "wet*=wet", "own_kind": "wet=class"},
     "wet.tif holds class codes above 16777216"),
    # the first whole number that single precision does not hold, on either side
    ({}, {"wet": GOOD * 2 + 16777217 - 71}, {"own_roles": "wet*=wet", "own_kind": "wet=class"}, "class codes above"),
    ({}, {"wet": 71 - 16777217 - GOOD * 2}, {"own_roles": "wet*=wet", "own_kind": "wet=class"}, "class codes above"),
    ({"soc": GOOD}, {"wet": GOOD}, {}, r"wet.tif is given under OWN without a role.*wet.tif=my_predictor"),
    ({"soc": GOOD}, {"wet": GOOD}, {"own_roles": "wet*=soc"}, "role soc is given twice, by soc.tif and wet.tif"),
    ({"soc": GOOD}, {"a": GOOD, "b": GOOD}, {"own_roles": "*=wet"}, "role wet is given twice, by a.tif and b.tif"),
    ({}, {"wet": GOOD}, {"own_roles": "wet*=Wet Ness"}, "'Wet Ness' cannot be the role of wet.tif"),
    ({}, {"wet": GOOD}, {"own_roles": "dry*=dry"}, r"'dry\*' in OWN_ROLES matches none of the inputs: wet.tif"),
    ({}, {"wet": GOOD}, {"own_roles": "wet"}, "'wet' in OWN_ROLES is not of the form"),
    ({}, {"wet": np.stack([GOOD, GOOD])}, {}, r"'' cannot be the role of wet.tif \(band 1\)"),
    ({}, {"wet": GOOD}, {"own_roles": "wet*=wet", "own_kind": "dry=class"}, "OWN_KIND names 'dry'.*OWN: wet"),
    ({}, {"wet": GOOD}, {"own_roles": "wet*=wet", "own_kind": "wet=float"}, "OWN_KIND says 'float' for wet; it must"),
    ({}, {"wet": GOOD}, {"own_roles": "wet*=wet", "own_groups": "wet=water"}, "OWN_GROUPS says 'water'.*hydrological"),
    ({}, {"wet": GOOD}, {"own_roles": "wet*=soc", "own_kind": "soc=class"}, "OWN_KIND names 'soc', whose kind"),
    ({}, {"wet": GOOD}, {"own_roles": "wet*=wet", "own_kind": "wet=class"}, "wet.tif holds the value 0.5 where"),
    ({"soc": GOOD}, {}, {"scaling": "zscore"}, "SCALING is 'zscore'"),
    ({"soc": GOOD}, {}, {"scaling": "raw", "ranges": "x.csv"}, "RANGES is given, but SCALING is raw"),
]


@pytest.mark.parametrize(("given", "own", "options", "message"), BAD)
def test_what_does_not_fit_is_named(tmp_path, given, own, options, message):
    given = {role: layer(tmp_path, role, values, dtype="float64") for role, values in given.items()}
    own = [layer(tmp_path, name, values, dtype="float64") for name, values in own.items()]
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError, match=message):
        run(given, out, own=own, **options)
    assert standing(out) == {}


@pytest.mark.parametrize(("text", "message"), [
    ("role,low,high\nlst,0,1\n", "RANGES, r.csv, has no soc, land_cover|has no land_cover, soc"),
    ("role,low,high\nsoc,0,1\n", "has no land_cover. It has soc"),
    ("role,low,high,kind\nsoc,5,5,number\nland_cover,,,categorical\n", "says 5 to 5 for soc"),
    ("role,low,high,kind\nsoc,9,5,number\nland_cover,,,categorical\n", "says 9 to 5 for soc; the second"),
    ("role,low,high,kind\nsoc,,,categorical\nland_cover,,,categorical\n", "soc is a number here, but categorical in"),
    ("role,low,high,kind\nsoc,0,1,number\nland_cover,0,1,number\n", "land_cover is categorical here, but a number"),
    ("role,low,high,kind\nsoc,0,x,number\nland_cover,,,categorical\n", "line 2: low and high of soc are '0.0' and 'x'"),
    ("role,low,high,kind\nsoc,0,1,number\nsoc,0,1,number\n", "has soc twice, the second time in line 3"),
    ("name,min,max\nsoc,0,1\n", "not a table with the columns role, low and high"),
    ("", "not a table with the columns"),
    (None, "r.csv cannot be read"),
])
def test_ranges_that_do_not_fit_are_named(tmp_path, text, message):
    given = {"soc": layer(tmp_path, "soc", GOOD),
             "land_cover": layer(tmp_path, "land_cover", GOOD, dtype="uint8")}
    if text is not None:
        (tmp_path / "r.csv").write_text(text, encoding="utf-8")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError, match=message):
        run(given, out, ranges=str(tmp_path / "r.csv"))
    assert standing(out) == {}


def test_files_that_do_not_fit_are_named(tmp_path):
    soc = layer(tmp_path, "soc", GOOD)
    with pytest.raises(InputError, match="soc.tif is given twice, as lst and as soc"):
        run({"soc": soc, "lst": soc}, tmp_path)
    with pytest.raises(GridError, match="slope.tif is not on the grid of soc.tif.*TARGET"):
        run({"soc": soc, "slope": layer(tmp_path, "slope", np.ones((3, 3)))}, tmp_path)
    with pytest.raises(InputError, match="base map has no cell other than 0"):
        run({"soc": soc}, tmp_path, base=write_raster(tmp_path / "base.tif", np.zeros(SHAPE, dtype="uint8")))
    gap = np.where(np.arange(8) < 4, np.nan, GOOD)
    inside = np.where(np.arange(8) < 4, 1, 0) * np.ones(SHAPE)
    with pytest.raises(InputError, match="no valid cell on the base map: lst"):
        run({"soc": soc, "lst": layer(tmp_path, "lst", gap)}, tmp_path,
            base=write_raster(tmp_path / "base.tif", inside.astype("uint8")))
    run({"soc": soc}, tmp_path)
    (tmp_path / "again").mkdir()
    with pytest.raises(InputError, match=r"stack.tif is scaled already \(its band has PTI_MIN\)"):
        run({"soc": str(tmp_path / "stack.tif")}, tmp_path / "again")


def test_an_input_is_never_written_over(tmp_path):
    soc = layer(tmp_path, "stack", GOOD)
    before = (tmp_path / "stack.tif").read_bytes()
    with pytest.raises(OutputError, match="stack.tif is an input of this run"):
        run({"soc": soc}, tmp_path)
    assert standing(tmp_path) == {"stack.tif": before}
