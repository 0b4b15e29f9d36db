"""Driver maps hold true contributions: they add up to the margin, as XGBoost and shap have them, cell by cell."""

import time

import numpy as np
import pytest
from osgeo import gdal

from pti_plugin.core.common.errors import Cancelled, InputError
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.ensembles.features import GROUPS, PREDICTORS, Feature
from pti_plugin.core.learning.model_file import write_model
from pti_plugin.core.mapping import drivers
from pti_plugin.core.mapping.class_boosters import class_boosters
from pti_plugin.core.mapping.drivers import DriverOptions, driver_codes, driver_maps
from pti_plugin.core.rasters.blocks import Settings
from support import Log, read_raster, standing, write_raster

xgboost = pytest.importorskip("xgboost")

ROWS, COLUMNS, RUNS = 37, 53, 4
TRANSFORM = (-2400000.0, 80000.0, 0.0, 1600000.0, 0.0, -80000.0)
CODES = (11, 13, 31, 40)
#: soil carbon takes no part in any split
FEATURES = (Feature("lst", "thermal", False, -20.0, 20.0), Feature("land_cover", "biophysical", True),
            Feature("soc", "soil", False), Feature("slope", "topography", False), Feature("wetness", "other", False))
NAMES = [feature.name for feature in FEATURES]
CATEGORIES = [30, 130, 201]


@pytest.fixture(autouse=True, scope="module")
def short_trial():
    """Measure the time on few cells, for speed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drivers, "_MEASURED_SECONDS", 0.02)
        yield


def trained(seed, runs=RUNS, rounds=6, depth=4, n=1500):
    """Boosters as UBJ bytes on noisy labels of four classes."""
    rng = np.random.default_rng(seed)
    raws = []
    for run in range(runs):
        x = rng.uniform(0, 100, (n, 5)).astype(np.float32)
        x[:, 1] = rng.choice(CATEGORIES, n)
        x[:, 2] = 5
        score = x[:, 0] / 60 + (x[:, 1] == 201) + x[:, 3] * x[:, 4] / 4000 + rng.normal(0, 0.4, n)
        matrix = xgboost.DMatrix(x, label=np.clip(score.astype(int), 0, 3), feature_names=NAMES,
                                 feature_types=["q", "c", "q", "q", "q"], enable_categorical=True)
        booster = xgboost.train({"objective": "multi:softprob", "num_class": 4, "tree_method": "hist", "nthread": 1,
                                 "max_depth": depth, "max_cat_to_onehot": 1, "seed": run, "base_score": 0.3},
                                matrix, rounds)
        raws.append(bytes(booster.save_raw("ubj")))
    return raws


def write_stack(path, layers, names=NAMES, low="-20"):
    path = write_raster(path, np.stack([layers[name] for name in names]), dtype="float32", nodata=-9999,
                        transform=TRANSFORM, descriptions=list(names))
    dataset = gdal.Open(path, gdal.GA_Update)
    if low:
        dataset.GetRasterBand(names.index("lst") + 1).SetMetadataItem("PTI_MIN", low)
        dataset.GetRasterBand(names.index("lst") + 1).SetMetadataItem("PTI_MAX", "20")
    dataset.FlushCache()
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Paths of stack and model, the layers, and the boosters."""
    folder = tmp_path_factory.mktemp("drivers")
    rng = np.random.default_rng(3)
    layers = {name: rng.uniform(0, 100, (ROWS, COLUMNS)).astype(np.float32) for name in NAMES}
    layers["land_cover"] = rng.choice(CATEGORIES, (ROWS, COLUMNS)).astype(np.float32)
    for name in NAMES:
        layers[name][rng.random((ROWS, COLUMNS)) < 0.03] = np.nan
    raws = trained(1)
    model = str(folder / "m.ptimodel")
    write_model(model, FEATURES, CODES, raws, {"versions": {"xgboost": xgboost.__version__},
                                               "categories": {"land_cover": CATEGORIES}})
    return write_stack(folder / "stack.tif", layers), model, layers, raws


def run(folder, world, settings=None, progress=None, mask=None, stack=None, model=None, **options):
    """Run it and return (result, top drivers, group layers, contribution layers)."""
    folder.mkdir(exist_ok=True)
    outputs = {name: str(folder / f"{name}.tif") for name in drivers.OUTPUTS}
    with Staging() as staging:
        result = driver_maps(stack or world[0], model or world[1], outputs, staging, progress or Progress(), mask,
                             DriverOptions(**options), settings or Settings(threads=2))
        staging.commit()
    bands = {name: gdal.Open(path).RasterCount for name, path in outputs.items()}
    read = {name: np.stack([read_raster(path, band + 1) for band in range(bands[name])])
            for name, path in outputs.items()}
    return result, read["drivers"][0], read["groups"], read["contributions"]


@pytest.fixture(scope="module")
def mapped(world, tmp_path_factory):
    """What ``run`` gives with the default options, and the folder of its rasters."""
    folder = tmp_path_factory.mktemp("mapped") / "o"
    return (*run(folder, world), folder)


def cells_of(layers):
    """Return (float32 (cells, features), mask of the cells with all predictors)."""
    known = ~np.isnan(np.stack([layers[name] for name in NAMES])).any(axis=0)
    return np.stack([layers[name][known] for name in NAMES], axis=1).astype(np.float32), known


def loaded(raw):
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(raw))
    return booster


def voted(x, raws):
    """The class place of most runs, ties by the larger summed probability."""
    chances = np.stack([loaded(raw).inplace_predict(x) for raw in raws])
    votes = np.eye(4)[chances.argmax(axis=2)].sum(axis=0)
    return np.array([max(range(4), key=lambda label: (v[label], p[label])) for v, p in zip(votes, chances.sum(axis=0))])


def mean_margin(x, raws):
    return np.mean([loaded(raw).inplace_predict(x, predict_type="margin").astype(float) for raw in raws], axis=0)


def test_contributions_and_bias_add_up_to_the_mean_margin_of_the_voted_class(world, mapped):
    _, _, layers, raws = world
    result, _, _, contributions, _ = mapped
    x, known = cells_of(layers)
    np.testing.assert_array_equal(np.isnan(contributions), np.broadcast_to(~known, contributions.shape))
    place = voted(x, raws)
    assert len(np.unique(place)) == 4 and result["runs"] == [0, 1, 2, 3]
    expected = mean_margin(x, raws)[np.arange(len(x)), place]
    np.testing.assert_allclose(contributions[:, known].sum(axis=0), expected, rtol=0, atol=1e-5)
    # of another class they would not
    assert np.abs(contributions[:, known].sum(axis=0) - mean_margin(x, raws)[:, 0]).max() > 0.5


def test_every_contribution_is_that_of_xgboost_for_a_stated_rank_and_some_runs(world, tmp_path):
    _, _, layers, raws = world
    result, _, _, contributions = run(tmp_path / "o", world, runs=2, rank=31)
    assert result["runs"] == [0, 2]
    x, known = cells_of(layers)
    matrix = xgboost.DMatrix(x, feature_names=NAMES, feature_types=["q", "c", "q", "q", "q"], enable_categorical=True)
    expected = np.mean([loaded(raws[i]).predict(matrix, pred_contribs=True)[:, 2].astype(float) for i in (0, 2)],
                       axis=0)
    np.testing.assert_array_equal(contributions[:, known].T, expected.astype(np.float32))
    dataset = gdal.Open(str(tmp_path / "o" / "contributions.tif"))
    assert [dataset.GetRasterBand(i).GetDescription() for i in range(1, 7)] == [*NAMES, "bias"]
    assert dataset.GetMetadataItem("PTI_EXPLAINED") == "rank 31" and dataset.GetMetadataItem("PTI_RUNS") == "2 of 4"


def test_a_booster_of_another_kind_is_not_taken_apart():
    x = np.random.default_rng(5).normal(size=(50, 2)).astype(np.float32)
    matrix = xgboost.DMatrix(x, label=(x[:, 0] > 0).astype(int))
    for options in ({"objective": "binary:logistic"}, {"objective": "multi:softprob", "num_class": 2,
                                                       "booster": "dart"}):
        raw = bytes(xgboost.train(options, matrix, 2).save_raw("ubj"))
        with pytest.raises(InputError, match="only a multi:softprob booster of plain trees"):
            list(class_boosters(xgboost, raw, lambda: None))
    with pytest.raises(InputError):
        list(class_boosters(xgboost, raw[:-200], lambda: None))


@pytest.mark.parametrize("base_score, features, depth", [(0.5, 3, 2), (0.2, 7, 6)])
def test_class_boosters_give_the_margins_and_contributions_of_the_whole_to_the_last_bit(base_score, features, depth):
    rng = np.random.default_rng(depth)
    x = rng.normal(size=(400, features)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[:, 1] = rng.integers(0, 30, 400)
    kinds = ["q", "c"] + ["q"] * (features - 2)
    matrix = xgboost.DMatrix(x, label=rng.integers(0, 5, 400), feature_types=kinds, enable_categorical=True)
    whole = xgboost.train({"objective": "multi:softprob", "num_class": 5, "max_depth": depth, "nthread": 1,
                           "base_score": base_score, "num_parallel_tree": 2}, matrix, 7)
    alone = list(class_boosters(xgboost, bytes(whole.save_raw("ubj")), lambda: None))
    assert len(alone) == 5
    for options in ({"pred_contribs": True}, {"output_margin": True}):
        expected = whole.predict(matrix, **options)
        for label, booster in enumerate(alone):
            np.testing.assert_array_equal(booster.predict(matrix, **options), expected[:, label])


def test_contributions_are_those_of_shap(tmp_path):
    shap = pytest.importorskip("shap")
    rng = np.random.default_rng(8)
    names = ["lst", "soc", "slope"]
    features = tuple(Feature(name, PREDICTORS[name].group, False) for name in names)
    x = rng.uniform(0, 100, (300, 3)).astype(np.float32)
    y = np.clip((x[:, 0] + x[:, 2] / 2 + rng.normal(0, 10, 300)) // 40, 0, 2).astype(int)
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3, "max_depth": 3, "base_score": 0.5},
                            xgboost.DMatrix(x, label=y, feature_names=names), 5)
    model = str(tmp_path / "m.ptimodel")
    write_model(model, features, (11, 22, 33), [bytes(booster.save_raw("ubj"))],
                {"versions": {"xgboost": xgboost.__version__}})
    layers = x[:288].reshape(16, 18, 3)
    stack = write_raster(tmp_path / "s.tif", np.moveaxis(layers, -1, 0), dtype="float32", nodata=-9999,
                         transform=TRANSFORM, descriptions=names)
    explained = np.asarray(shap.TreeExplainer(booster).shap_values(x[:288]))
    explained = explained if explained.shape[0] == 288 else np.moveaxis(explained, 0, -1)
    for label, rank in enumerate((11, 22, 33)):
        *_, contributions = run(tmp_path / str(rank), None, stack=stack, model=model, rank=rank)
        np.testing.assert_allclose(np.moveaxis(contributions[:3], 0, -1).reshape(288, 3), explained[..., label],
                                   rtol=0, atol=1e-4)


def test_top_driver_and_groups_follow_from_the_contributions_and_vary(mapped):
    _, top, groups, contributions, folder = mapped
    known = ~np.isnan(top)
    size = np.abs(contributions[:-1, known])
    codes = driver_codes(FEATURES)
    in_order = [next(code for code, (feature, _) in codes.items() if feature.name == name) for name in NAMES]
    assert in_order == [1, 4, 10, 16, 17]
    np.testing.assert_array_equal(top[known], np.array(in_order)[size.argmax(axis=0)])
    members = {"thermal": [0], "biophysical": [1], "hydrological": [], "soil": [2], "topography": [3], "other": [4]}
    assert tuple(members) == (*GROUPS, "other")
    for band, places in enumerate(members.values()):
        np.testing.assert_allclose(groups[band, known], 100 * size[places].sum(axis=0) / size.sum(axis=0), atol=1e-3)
    np.testing.assert_allclose(groups[:, known].sum(axis=0), 100, atol=1e-3)
    assert set(np.unique(top[known])) == {1, 4, 16, 17}
    assert all(np.std(contributions[i, known]) > 0.01 for i in (0, 1, 3, 4))
    # every fifth of the maps differs from every other
    assert len({tuple(np.bincount(part.astype(int), minlength=18)) for part in np.array_split(top[known], 5)}) == 5
    dataset = gdal.Open(str(folder / "groups.tif"))
    assert [(dataset.GetRasterBand(i).GetDescription(), dataset.GetRasterBand(i).GetUnitType())
            for i in range(1, 7)] == [(name, "%") for name in members]


def test_a_feature_that_no_tree_uses_contributes_exactly_nothing(mapped):
    result, top, groups, contributions, _ = mapped
    known = ~np.isnan(top)
    assert (contributions[2, known] == 0).all() and (groups[GROUPS.index("soil"), known] == 0).all()
    row = next(row for row in result["table"] if row["name"] == "soc")
    assert (row["mean_abs_contribution"], row["top_cells"], row["top_area_km2"]) == (0, 0, 0)
    assert not (top == 10).any()


def test_trees_without_a_split_have_no_driver(tmp_path):
    x = np.random.default_rng(1).normal(size=(60, 1)).astype(np.float32)
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 2, "gamma": 1e9},
                            xgboost.DMatrix(x, label=np.arange(60) % 3 > 0, feature_names=["lst"]), 3)
    model = str(tmp_path / "m.ptimodel")
    write_model(model, (Feature("lst", "thermal", False),), (11, 12), [bytes(booster.save_raw("ubj"))],
                {"versions": {"xgboost": xgboost.__version__}})
    stack = write_raster(tmp_path / "s.tif", x.reshape(6, 10), dtype="float32", nodata=-9999, transform=TRANSFORM,
                         descriptions=["lst"])
    _, top, groups, contributions = run(tmp_path / "o", None, stack=stack, model=model)
    assert (top == drivers.NONE).all() and np.isnan(groups).all()
    assert (contributions[0] == 0).all() and (contributions[1] != 0).all()


def test_the_table_is_weighted_by_true_area(world, tmp_path):
    """On a geographic grid, where the cells of the north are smaller."""
    _, model, layers, _ = world
    transform = (10.0, 1.0, 0.0, 85.0, 0.0, -1.0)
    stack = write_raster(tmp_path / "s.tif", np.stack([layers[name] for name in NAMES]), dtype="float32",
                         nodata=-9999, transform=transform, crs="EPSG:4326", descriptions=NAMES)
    result, top, groups, contributions = run(tmp_path / "o", world, stack=stack, runs=2)
    known = ~np.isnan(top)
    edges = np.radians(85.0 - np.arange(ROWS + 1))
    # zones of the ellipsoid by numerical integration
    e2, major = 0.00669437999014, 6378137.0
    area = np.empty(ROWS)
    for i in range(ROWS):
        phi = np.linspace(edges[i + 1], edges[i], 2001)
        area[i] = np.trapz(major**2 * (1 - e2) * np.cos(phi) / (1 - e2 * np.sin(phi)**2)**2, phi) * np.radians(1) / 1e6
    weights = np.repeat(area[:, None], COLUMNS, axis=1)[known]
    assert weights.max() > 5 * weights.min()
    for i, name in enumerate(NAMES):
        row = next(row for row in result["table"] if row["level"] == "predictor" and row["name"] == name)
        expected = (np.abs(contributions[i, known]) * weights).sum() / weights.sum()
        assert row["mean_abs_contribution"] == pytest.approx(expected, rel=1e-5, abs=1e-9)
        here = top[known] == row["code"]
        assert row["top_cells"] == here.sum() and row["cells"] == known.sum()
        assert row["top_area_km2"] == pytest.approx(weights[here].sum(), rel=1e-6, abs=1e-3)
        assert row["top_area_percent"] == pytest.approx(100 * weights[here].sum() / weights.sum(), rel=1e-6, abs=1e-9)
    largest = np.array([*GROUPS, "other"])[groups[:, known].argmax(axis=0)]
    of_groups = [row for row in result["table"] if row["level"] == "group"]
    assert [row["group"] for row in of_groups][-1] in ("hydrological", "soil")
    for row in of_groups:
        assert row["top_cells"] == (largest == row["name"]).sum()
    assert sum(row["share_percent"] for row in of_groups) == pytest.approx(100)


@pytest.mark.parametrize("step", [1, 3])
def test_blocks_and_threads_do_not_change_a_byte_of_rasters_and_table(world, tmp_path, step):
    first = None
    for number, settings in enumerate((Settings(threads=1), Settings(threads=4, block_size=7),
                                       Settings(threads=2, block_size=300))):
        result, *_ = run(tmp_path / str(number), world, settings, step=step)
        made = standing(tmp_path / str(number)), result
        first = first or made
        assert made == first


@pytest.mark.parametrize("step, rows, columns", [(2, 19, 27), (5, 8, 11), (40, 1, 2)])
def test_a_step_explains_the_middle_cell_of_each_block(world, mapped, tmp_path, step, rows, columns):
    _, top, groups, contributions, _ = mapped
    coarse, top_coarse, groups_coarse, contributions_coarse = run(tmp_path / "step", world, step=step)
    grid = gdal.Open(str(tmp_path / "step" / "drivers.tif"))
    assert (grid.RasterYSize, grid.RasterXSize) == (rows, columns)
    assert grid.GetGeoTransform() == (TRANSFORM[0], step * TRANSFORM[1], 0, TRANSFORM[3], 0, step * TRANSFORM[5])
    for i in range(rows):
        for j in range(columns):
            # at the lower and right edge the middle may lie outside; the last cell stands for the block then
            cell = min(i * step + step // 2, ROWS - 1), min(j * step + step // 2, COLUMNS - 1)
            np.testing.assert_array_equal(top_coarse[i, j], top[cell])
            np.testing.assert_array_equal(groups_coarse[:, i, j], groups[(..., *cell)])
            np.testing.assert_array_equal(contributions_coarse[:, i, j], contributions[(..., *cell)])
    # a block counts with its area inside the stack
    inside = np.outer(np.minimum(step, ROWS - step * np.arange(rows)),
                      np.minimum(step, COLUMNS - step * np.arange(columns)))
    assert coarse["table"][0]["area_km2"] == pytest.approx(6400 * inside[~np.isnan(top_coarse)].sum(), rel=1e-9)


def test_overviews_of_the_stack_are_not_taken_for_its_cells(world, tmp_path):
    _, _, layers, _ = world
    stack = write_stack(tmp_path / "s.tif", layers)
    *_, expected = run(tmp_path / "before", world, stack=stack, step=4)
    dataset = gdal.Open(stack, gdal.GA_Update)
    dataset.BuildOverviews("AVERAGE", [2, 4])
    dataset = None
    *_, found = run(tmp_path / "after", world, stack=stack, step=4)
    np.testing.assert_array_equal(found, expected)


def test_cells_without_a_predictor_with_an_unseen_category_or_off_the_mask_are_nodata(world, tmp_path):
    _, _, layers, _ = world
    changed = {name: values.copy() for name, values in layers.items()}
    _, known = cells_of(layers)
    unseen = np.zeros((ROWS, COLUMNS), dtype=bool)
    unseen.flat[np.flatnonzero(known)[5:200:20]] = True
    changed["land_cover"][unseen] = 77
    base = np.zeros((ROWS, COLUMNS))
    base[:30, 10:] = 1
    base[3] = 255
    mask = write_raster(tmp_path / "base.tif", base, dtype="uint8", nodata=255, transform=TRANSFORM)
    progress = Progress()
    result, top, groups, contributions = run(tmp_path / "o", world, progress=progress, mask=mask,
                                             stack=write_stack(tmp_path / "s.tif", changed))
    expected = known & ~unseen & (base == 1)
    assert 0 < (unseen & (base == 1)).sum() < unseen.sum()
    for layer in (top, *groups, *contributions):
        np.testing.assert_array_equal(~np.isnan(layer), expected)
    assert result["cells"] == expected.sum() and result["unseen"] == (unseen & (base == 1)).sum()
    assert progress.warnings == [f"{result['unseen']} cells have a category that the model never saw; they are nodata."]


def test_a_raw_stack_in_another_band_order_gives_the_same_with_the_ranges_of_the_model(world, mapped, tmp_path):
    _, _, layers, _ = world
    expected = mapped[3]
    # 0 to 100 is -20 to 20 in the model
    raw = {**layers, "lst": layers["lst"] * np.float32(0.4) - 20}
    log = Log()
    *_, found = run(tmp_path / "raw", world, progress=log,
                    stack=write_stack(tmp_path / "s.tif", raw, names=NAMES[::-1], low=""))
    known = ~np.isnan(expected[0])
    # rounding of the raw values moves a few cells across a threshold
    same = np.isclose(found[:, known], expected[:, known], atol=1e-6).all(axis=0)
    assert same.mean() > 0.98
    assert "s.tif is in raw units; the model's ranges are applied." in log.lines


@pytest.mark.parametrize("names, low, text", [
    (NAMES[:-1], "-20", r"s\.tif lacks wetness"), (NAMES, "-5", r"lst in s\.tif is scaled by -5\.0 to 20\.0"),
    ([*NAMES, "peat"], "-20", r"s\.tif holds peat, which the model was not trained with")])
def test_a_stack_of_another_model_is_refused_and_leaves_nothing(world, tmp_path, names, low, text):
    layers = {**world[2], "peat": world[2]["slope"]}
    stack = write_stack(tmp_path / "s.tif", layers, list(names), low)
    with pytest.raises(InputError, match=text):
        run(tmp_path / "o", world, stack=stack)
    assert not list((tmp_path / "o").iterdir())


def test_a_model_whose_boosters_know_other_predictors_is_refused(world, tmp_path):
    renamed = tuple(Feature("peat", "soil", False) if feature.name == "soc" else feature for feature in FEATURES)
    model = str(tmp_path / "m.ptimodel")
    write_model(model, renamed, CODES, world[3], {"versions": {"xgboost": xgboost.__version__},
                                                  "categories": {"land_cover": CATEGORIES}})
    stack = write_stack(tmp_path / "s.tif", {**world[2], "peat": world[2]["soc"]}, [one.name for one in renamed])
    with pytest.raises(InputError, match="a booster was trained on lst, land_cover, soc"):
        run(tmp_path / "o", world, stack=stack, model=model, rank=31)


@pytest.mark.parametrize("options, text", [({"rank": 12}, "does not know rank 12; it was trained on 11, 13, 31, 40"),
                                           ({"runs": -1}, "RUNS is -1"), ({"step": 0}, "STEP is 0")])
def test_wrong_options_are_refused(world, tmp_path, options, text):
    with pytest.raises(InputError, match=text):
        run(tmp_path / "o", world, **options)


def test_a_mask_on_another_grid_and_a_stack_without_cells_are_refused(world, tmp_path):
    other = write_raster(tmp_path / "other.tif", np.ones((ROWS, 50)), dtype="uint8", transform=TRANSFORM)
    with pytest.raises(InputError, match=r"other\.tif \(BASE\) is not on the grid of stack\.tif: it has 50 x 37"):
        run(tmp_path / "o", world, mask=other)
    empty = write_raster(tmp_path / "empty.tif", np.zeros((ROWS, COLUMNS)), dtype="uint8", transform=TRANSFORM)
    with pytest.raises(InputError, match="No cell could be explained"):
        run(tmp_path / "o", world, mask=empty)
    assert not list((tmp_path / "o").iterdir())


@pytest.mark.parametrize("runs, chosen", [(5, [0, 20, 40, 60, 80]), (0, list(range(100))), (200, list(range(100))),
                                          (3, [0, 33, 66])])
def test_runs_are_spread_evenly(runs, chosen):
    assert DriverOptions(runs=runs).chosen(100) == chosen


def test_without_boosters_by_class_the_whole_ones_give_the_same(world, mapped, tmp_path, monkeypatch):
    def another_layout(*_):
        raise InputError("the booster is not laid out as expected")

    monkeypatch.setattr(drivers, "class_boosters", another_layout)
    log = Log()
    run(tmp_path / "whole", world, progress=log)
    assert standing(tmp_path / "whole") == standing(mapped[4])
    assert "All classes are explained at once, which is slower: the booster is not laid out as expected" in log.lines


def test_boosters_by_class_that_contribute_otherwise_are_noticed(world, mapped, tmp_path, monkeypatch):
    real = drivers.class_boosters
    monkeypatch.setattr(drivers, "class_boosters", lambda *given: list(real(*given))[::-1])
    log = Log()
    run(tmp_path / "wrong", world, progress=log)
    assert any("gives other contributions for a class alone" in line for line in log.lines)
    assert standing(tmp_path / "wrong") == standing(mapped[4])


def test_the_time_is_told_before_and_a_step_that_keeps_it_under_an_hour(world, tmp_path, monkeypatch):
    log = Log()
    result, *_ = run(tmp_path / "a", world, progress=log)
    assert log.lines[-1].startswith(f"{result['cells']:,} cells are explained with 4 of 4 runs: about ")
    assert "STEP" not in log.lines[-1]
    monkeypatch.setattr(drivers.Explainer, "measure", lambda *_: 90.0)
    log = Log()
    run(tmp_path / "b", world, progress=log, settings=Settings(threads=1))
    hours = result["cells"] * 90 / 3600
    step = next(step for step in range(1, 99) if hours / step**2 <= 1)
    assert log.lines[-1].endswith(f"about {hours:.1f} hours on 1 thread. STEP {step} would take less than an hour.")


@pytest.mark.parametrize("seconds, text", [(0.01, "1 seconds"), (89.5, "90 seconds"), (91, "2 minutes"),
                                           (5399, "90 minutes"), (5400, "1.5 hours"), (1e6, "12 days")])
def test_durations_read_well(seconds, text):
    assert drivers._duration(seconds) == f"about {text}"


def test_the_survey_of_a_large_stack_counts_its_cells_well(world, tmp_path, monkeypatch):
    monkeypatch.setattr(drivers, "_SURVEY", (9, 13))
    log = Log()
    result, *_ = run(tmp_path / "a", world, progress=log)
    told = int(log.lines[-1].split()[1].replace(",", ""))
    assert log.lines[-1].startswith("About ") and told == pytest.approx(result["cells"], rel=0.15)


class Stopped(Progress):
    """Asks to stop some tenths of a second after the run said how long it will take."""

    def __init__(self):
        super().__init__()
        self.told = self.asked = None

    def info(self, message):
        if " cells are explained " in message:
            self.told = time.monotonic()

    def cancelled(self):
        now = time.monotonic()
        if self.asked is None and self.told is not None and now > self.told + 0.3:
            self.asked = now
        return self.asked is not None


@pytest.mark.parametrize("block", [0, 300])
def test_a_run_that_would_take_minutes_stops_within_a_second_and_leaves_nothing(tmp_path, block):
    rng = np.random.default_rng(2)
    layers = {name: rng.uniform(0, 100, (300, 300)).astype(np.float32) for name in NAMES}
    layers["land_cover"] = rng.choice(CATEGORIES, (300, 300)).astype(np.float32)
    model = str(tmp_path / "m.ptimodel")
    write_model(model, FEATURES, CODES, trained(1, 1, 50, 6) * 2, {
        "versions": {"xgboost": xgboost.__version__}, "categories": {"land_cover": CATEGORIES}})
    stack = write_stack(tmp_path / "s.tif", layers)
    before = standing(tmp_path)
    progress = Stopped()
    with pytest.raises(Cancelled):
        run(tmp_path, None, Settings(threads=2, block_size=block), progress, stack=stack, model=model)
    assert progress.asked is not None and time.monotonic() - progress.asked < 1.5
    assert standing(tmp_path) == before


def test_codes_and_colours_of_a_role_do_not_depend_on_the_model():
    everything = tuple(Feature(name, known.group, known.categorical) for name, known in PREDICTORS.items())
    full = driver_codes(everything)
    assert list(full) == list(range(1, 17)) and len({colour for _, colour in full.values()}) == 16
    own = (Feature("ice", "thermal", False), Feature("road", "other", False), Feature("town", "other", False))
    some = driver_codes((*own, everything[15], everything[0]))
    assert {code: feature.name for code, (feature, _) in some.items()} == {
        1: "lst", 16: "slope", 17: "ice", 18: "road", 19: "town"}
    assert some[1] == full[1] and some[16] == full[16]
    assert len({colour for _, colour in (*some.values(), *full.values())}) == 19
    with pytest.raises(InputError, match="has 239 predictors of its own; a map of top drivers has codes for 238"):
        driver_codes(tuple(Feature(f"p{i}", "other", False) for i in range(239)))


def test_the_map_of_top_drivers_carries_names_by_group_and_colours(world, mapped):
    path = str(mapped[4] / "drivers.tif")
    dataset = gdal.Open(path)
    band = dataset.GetRasterBand(1)
    assert band.GetNoDataValue() == 255
    found = drivers.legend(path)
    assert {code: label for code, (label, _) in found.items()} == {
        0: "none: no predictor contributes", 1: "thermal: land surface temperature",
        4: "biophysical: ensemble land cover", 10: "soil: soil organic carbon", 16: "topography: slope",
        17: "other: wetness"}
    assert {code: colour for code, (_, colour) in found.items() if code} == {
        code: colour for code, (_, colour) in driver_codes(FEATURES).items()}
    assert drivers.legend(world[0]) == {}
    assert band.GetColorTable().GetColorEntry(255)[3] == 0
    for code, (_, colour) in found.items():
        assert "#" + "".join(f"{part:02x}" for part in band.GetColorTable().GetColorEntry(code)[:3]) == colour
