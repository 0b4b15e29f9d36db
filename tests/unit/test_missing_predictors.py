"""Cells that lack predictors are sampled, learned from and predicted as XGBoost does, and none is lost unsaid."""

import dataclasses
import json

import numpy as np
import pytest
from osgeo import gdal
from sklearn.metrics.pairwise import nan_euclidean_distances

from learning_data import planted
from pti_plugin.core.common import ranks
from pti_plugin.core.common.errors import InputError
from pti_plugin.core.common.profiles import DEFENSIBLE
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.ensembles.features import Feature, missing_limit, read_stack
from pti_plugin.core.learning.class_weights import prior_of
from pti_plugin.core.learning.learner import TrainingOptions
from pti_plugin.core.learning.model_file import pack_samples, read_model, write_model
from pti_plugin.core.learning.training import manifest, train
from pti_plugin.core.mapping.applicability import applicability
from pti_plugin.core.mapping.drivers import DriverOptions, driver_maps
from pti_plugin.core.mapping.prediction import OUTPUTS, PredictionOptions, predict
from pti_plugin.core.mapping.tree_ensemble import XGBoostVotes, read_ensemble
from pti_plugin.core.rasters.blocks import Settings
from pti_plugin.core.rasters.exclusion import LeftOutClasses
from pti_plugin.core.samples.sampling import SampleOptions, sample_points
from pti_plugin.core.samples.sampling_rules import Rule
from support import Log, read_raster, write_raster

xgboost = pytest.importorskip("xgboost")

ROWS, COLUMNS, RUNS = 40, 60, 4
#: 60 km cells from 68° N to the pole
TRANSFORM = (-1800000.0, 60000.0, 0.0, 1200000.0, 0.0, -60000.0)
BANDS = ("lst", "land_cover", "slope", "snow", "soc")
KINDS = ["c" if name == "land_cover" else "q" for name in BANDS]
CODES = np.array([11, 13, 22, 31, 40])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A stack with gaps, more of them in the north, an index made of it, samples and a model that know gaps."""
    folder = tmp_path_factory.mktemp("gaps")
    rng = np.random.default_rng(4)
    layers = rng.uniform(0, 100, (len(BANDS), ROWS, COLUMNS))
    layers[1] = rng.choice([30, 130, 201], (ROWS, COLUMNS))
    place = np.clip((layers[0] // 25).astype(int) + (layers[1] == 201), 0, 4)
    place = np.where(rng.random(place.shape) < 0.2, rng.integers(0, 5, place.shape), place)
    index = CODES[place]
    index[rng.random(index.shape) < 0.1] = 0
    for layer in layers:
        layer[rng.random(index.shape) < 0.15] = np.nan
    stack = write_raster(folder / "stack.tif", layers, dtype="float32", nodata=-1, transform=TRANSFORM,
                         descriptions=list(BANDS))
    pti = write_raster(folder / "pti.tif", index, dtype="uint8", nodata=0, transform=TRANSFORM)
    samples, table = sample_points(pti, read_stack(stack), [Rule(code, 120, 0.0, 0.0) for code in ranks.CODES],
                                   Progress(), SampleOptions(1, max_missing=4))
    options = TrainingOptions(runs=RUNS, rounds=10, max_depth=4, block_km=600, shap_points=20, max_missing=4)
    prior = prior_of(samples.y, "area_matched", samples.areas)
    training = train(samples, options, Progress(), prior=prior)
    model = str(folder / "m.ptimodel")
    write_model(model, samples.features, training.codes, training.boosters,
                manifest(training, samples, options, DEFENSIBLE, prior=prior), pack_samples(samples, training.folds))
    return {"stack": stack, "pti": pti, "layers": layers.astype(np.float32), "index": index, "samples": samples,
            "table": table, "model": model, "training": training, "prior": prior}


def predicted(world, folder, **options):
    outputs = {name: str(folder / f"{name}.tif") for name in OUTPUTS}
    log = Log()
    with Staging() as staging:
        result = predict(world["stack"], options.pop("model", world["model"]), outputs, staging, log, **options)
        staging.commit()
    return result, {name: read_raster(path) for name, path in outputs.items()}, outputs, log


def boosters(training):
    for raw in training.boosters:
        booster = xgboost.Booster()
        booster.load_model(bytearray(raw))
        yield booster


def by_xgboost(world):
    """Class place of every cell by XGBoost's own predictions, factors applied before each vote; −1 where not voted."""
    missing = np.isnan(world["layers"]).sum(axis=0)
    known, training = missing <= 2, world["training"]
    x = world["layers"][:, known].T
    votes, sums = np.zeros((2, len(x), len(training.codes)))
    for booster in boosters(training):
        found = booster.predict(xgboost.DMatrix(x, feature_names=list(BANDS), feature_types=KINDS,
                                                enable_categorical=True))
        votes[np.arange(len(x)), (found * training.factors.astype(np.float32)).argmax(axis=1)] += 1
        sums += found
    place = np.full(known.shape, -1)
    place[known] = [max(range(len(vote)), key=lambda k, v=vote, c=chance: (v[k], c[k]))
                    for vote, chance in zip(votes, sums * training.factors)]
    return place, missing


def test_the_limit_is_never_more_than_half_of_the_predictors():
    assert [missing_limit(4, number) for number in (1, 2, 5, 8, 16)] == [0, 1, 2, 4, 4]
    assert missing_limit(0, 16) == 0
    assert DEFENSIBLE.max_missing == 4


def test_the_fast_predictor_is_xgboosts_own_on_gaps_to_the_last_bit(world):
    rng = np.random.default_rng(8)
    x = np.array(world["samples"].x[rng.integers(0, len(world["samples"].y), 3000)])
    x[rng.random(x.shape) < 0.3] = np.nan
    assert np.isnan(x[:, 1]).any() and np.isnan(x).all(axis=1).any()
    ensemble, reason = read_ensemble(world["training"].boosters)
    assert not reason
    matrix = xgboost.DMatrix(x, feature_names=list(BANDS), feature_types=KINDS, enable_categorical=True)
    for ours, booster in zip(ensemble.margins(x), boosters(world["training"])):
        np.testing.assert_array_equal(ours, booster.predict(matrix, output_margin=True))
    ensemble.factors = np.array([0.3, 2.5, 1, 0.7, 1.9], dtype=np.float32)
    for ours, theirs in zip(ensemble.votes(x), XGBoostVotes(list(boosters(world["training"])),
                                                            ensemble.factors).votes(x)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert (ensemble.votes(x)[0] != read_ensemble(world["training"].boosters)[0].votes(x)[0]).any()


def test_sampling_draws_cells_up_to_the_limit_with_their_gaps(world):
    samples = world["samples"]
    assert (np.isnan(samples.x).sum(axis=1) > 0).any() and np.isnan(samples.x).sum(axis=1).max() == 2
    np.testing.assert_array_equal(samples.x, world["layers"][:, samples.rows, samples.columns].T)
    missing, total = np.isnan(world["layers"]).sum(axis=0), world["table"][-1]
    ranked = world["index"] > 0
    assert total["cells_complete"] == (ranked & (missing == 0)).sum()
    assert total["cells_usable"] == (ranked & (missing <= 2)).sum()
    beyond = ranked & (missing > 2)
    assert total["lacking"] == "; ".join(f"{name} {(beyond & np.isnan(layer)).sum()}"
                                         for name, layer in zip(BANDS, world["layers"]))
    assert samples.areas == pytest.approx({code: 3600.0 * (world["index"] == code).sum() for code in CODES}, rel=0.01)


def test_the_map_is_xgboosts_own_vote_and_each_gap_has_its_bit(world, tmp_path):
    result, layers, paths, log = predicted(world, tmp_path, options=PredictionOptions(smooth=False))
    place, missing = by_xgboost(world)
    expected = np.where(place >= 0, CODES[place], 0)
    np.testing.assert_array_equal(np.nan_to_num(layers["pti"]), expected)
    assert result["incomplete"] == ((missing > 0) & (missing <= 2)).sum() > 500
    flags = sum(np.isnan(layer).astype(int) << i for i, layer in enumerate(world["layers"]))
    np.testing.assert_array_equal(layers["missing"], np.where(missing == len(BANDS), np.nan, flags))
    dataset = gdal.Open(paths["missing"])
    assert [dataset.GetRasterBand(1).GetMetadataItem(f"PTI_BIT_{i}") for i in range(5)] == list(BANDS)
    assert any("cells lack a predictor, 2 at most" in line for line in log.lines)


def test_a_smaller_number_leaves_more_out_and_blocks_do_not_matter(world, tmp_path):
    _, layers, *_ = predicted(world, tmp_path, options=PredictionOptions(smooth=False, max_missing=1))
    missing = np.isnan(world["layers"]).sum(axis=0)
    np.testing.assert_array_equal(~np.isnan(layers["pti"]), missing <= 1)
    paths = []
    for number, size in enumerate((0, 16)):
        folder = tmp_path / str(number)
        folder.mkdir()
        paths.append(predicted(world, folder, reference_path=world["pti"], mask_path=world["pti"],
                               settings=Settings(2, size), options=PredictionOptions(buffer_km=0.0))[2])
    for name in OUTPUTS:
        assert open(paths[0][name], "rb").read() == open(paths[1][name], "rb").read(), name


def test_a_model_that_states_nothing_takes_no_gaps_and_gives_plain_probabilities(world, tmp_path):
    read = read_model(world["model"])
    old = str(tmp_path / "old.ptimodel")
    kept = {key: value for key, value in read.manifest.items() if key not in (
        "max_missing", "temperature", "rank_factors", "features", "codes", "boosters", "format", "format_version")}
    write_model(old, read.features, read.codes, read.boosters, kept, read.samples)
    model = read_model(old)
    assert (model.max_missing, model.temperature, model.factors.tolist()) == (0, 1.0, [1.0] * 5)
    _, layers, paths, _ = predicted(world, tmp_path, model=old, options=PredictionOptions(smooth=False))
    complete = ~np.isnan(world["layers"]).any(axis=0)
    np.testing.assert_array_equal(~np.isnan(layers["pti"]), complete)
    x = world["layers"][:, complete].T
    mean = np.mean([booster.inplace_predict(x) for booster in boosters(world["training"])], axis=0)
    np.testing.assert_allclose(read_raster(paths["probabilities"], 2)[complete], mean[:, 1], atol=1e-6)


def test_gaps_that_training_never_met_are_warned_of(world, tmp_path):
    read = read_model(world["model"])
    told = {**read.manifest, "samples_lacking": {**read.manifest["samples_lacking"], "soc": 0}}
    path = str(tmp_path / "m.ptimodel")
    write_model(path, read.features, read.codes, read.boosters, told, read.samples)
    log = predicted(world, tmp_path, model=path)[3]
    assert any("No training sample lacked soc, so" in text for text in log.warnings)
    assert not predicted(world, tmp_path)[3].warnings


def test_the_manifest_says_what_the_samples_lack_and_is_json(world):
    found = read_model(world["model"]).manifest
    samples = world["samples"]
    assert found["max_missing"] == 2 and "lacks more than 2 predictors" in found["nodata_rule"]
    assert found["samples_lacking"] == {name: int(np.isnan(samples.x[:, i]).sum()) for i, name in enumerate(BANDS)}
    assert found["categories"] == {"land_cover": [30, 130, 201]}
    assert found["sample_ranges"]["soc"] == [np.nanmin(samples.x[:, 4]), np.nanmax(samples.x[:, 4])]
    assert found["class_weights"] == "area_matched" and set(found["rank_factors"]) == {str(code) for code in CODES}
    json.loads(json.dumps(found, allow_nan=False))


def test_coverage_tells_of_every_ranked_cell_by_rank_and_latitude(world, tmp_path):
    base = np.where(np.arange(ROWS)[:, None] < 3, 0, world["index"])
    mask = write_raster(tmp_path / "base.tif", base, dtype="uint8", nodata=255, transform=TRANSFORM)
    result, layers, *_, log = predicted(world, tmp_path, mask_path=mask, reference_path=world["pti"],
                                        options=PredictionOptions(buffer_km=0.0))
    grid = read_stack(world["stack"]).grid
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    latitude = grid.lonlat(columns + 0.5, rows + 0.5)[1]
    index, missing, there = world["index"], np.isnan(world["layers"]).sum(axis=0), ~np.isnan(layers["pti"])
    lines = {(line["rank"], line["latitude"]): line for line in result["coverage"]}
    samples = world["samples"]
    for code in CODES:
        for south in (65, 70, 75, 80, 85):
            here = (index == code) & (latitude >= south) & (latitude < south + 5)
            line = lines.get((code, f"{south} to {south + 5}° N"))
            assert (line is None) == (not here.any())
            if line is None:
                continue
            own = here[samples.rows, samples.columns].sum()
            counts = (here.sum(), own, (here & there).sum(), (here & there & (missing > 0)).sum(),
                      (here & ~there).sum())
            assert tuple(line[name] for name in ("ranked_cells", "sampled_points", "predicted_cells",
                                                 "incomplete_cells", "not_predicted_cells")) == counts
            assert (line["ranked_km2"], line["sampled_km2"], line["not_predicted_km2"]) == pytest.approx(
                (3600 * counts[0], 3600 * own, 3600 * counts[4]), rel=1e-6)
            assert bool(line["why"]) == bool(counts[4])
    whole = lines["all", "all"]
    assert whole["ranked_cells"] == (index > 0).sum() == whole["predicted_cells"] + whole["not_predicted_cells"]
    outside = ((index > 0) & (base == 0)).sum()
    pattern = np.isnan(world["layers"])
    lack = (index > 0) & (base > 0) & (pattern == np.array([1, 1, 1, 0, 0])[:, None, None]).all(axis=0)
    assert f"outside BASE: {3600 * outside:,.0f} km² ({outside} cells)" in whole["why"]
    assert f"lack lst, land_cover, slope: {3600 * lack.sum():,.0f} km² ({lack.sum()} cells)" in whole["why"]
    assert any(f"({whole['not_predicted_cells']} cells) are not: " in text for text in log.warnings)
    rows_of = {row["line"]: row for row in result["metrics"] if row["section"] == "coverage"}
    told = rows_of["not_predicted: rank all, latitude all"]
    assert told["n"] == whole["not_predicted_cells"] and told["meaning"].startswith(whole["why"][:40])
    assert f"; and {whole['why'].count(';') - 3} further combinations" in told["meaning"]


def test_areas_stand_beside_those_of_the_index_and_are_corrected_by_it(world, tmp_path):
    result, layers, *_ = predicted(world, tmp_path, reference_path=world["pti"],
                                   options=PredictionOptions(buffer_km=0.0))
    predicted_rank, index = np.nan_to_num(layers["pti"]).astype(int), world["index"]
    both = (predicted_rank > 0) & (index > 0)
    lines, gaps = {line["rank"]: line for line in result["table"]}, 0.0
    whole = {code: 3600.0 * (predicted_rank == code).sum() for code in CODES}
    for code in CODES:
        conceptual, mapped = (3600.0 * (both & (layer == code)).sum() for layer in (index, predicted_rank))
        gaps += abs(mapped - conceptual)
        # the area predicted as each rank, dealt out by the index's shares of it
        adjusted = sum(whole[other] * (both & (predicted_rank == other) & (index == code)).sum()
                       / (both & (predicted_rank == other)).sum() for other in CODES)
        line = lines[code]
        assert [line[name] for name in ("conceptual_km2", "predicted_km2", "difference_percent", "adjusted_km2",
                                        "area_km2")] == pytest.approx(
            [conceptual, mapped, 100 * (mapped / conceptual - 1), adjusted, whole[code]], rel=1e-6, abs=1e-3)
    assert result["areas_compared"]["net area that changes its rank"] == pytest.approx(
        50 * gaps / (3600 * both.sum()), rel=1e-6)
    assert sum(line["adjusted_km2"] for line in lines.values()) == pytest.approx(sum(whole.values()))


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (2.0, 2.0, 2.0, 2.0)])
def test_dissimilarity_with_gaps_is_scikit_learns_distance(weights):
    rng = np.random.default_rng(3)
    train_x, new = rng.normal(size=(80, 4)), rng.normal(size=(60, 4)) * 1.5
    new[rng.random(new.shape) < 0.3] = np.nan
    features = [Feature(name, "soil", False) for name in "abcd"]
    found = applicability(train_x, features, weights, np.arange(80) % 5, Log())
    scale = np.array(weights) / train_x.std(axis=0, ddof=1)
    expected = nan_euclidean_distances(new * scale, train_x * scale).min(axis=1) / found.mean_distance
    nothing = np.isnan(new).all(axis=1)
    np.testing.assert_allclose(found.dissimilarity(new)[~nothing], expected[~nothing])
    assert np.isinf(found.dissimilarity(np.full((1, 4), np.nan)))


def test_samples_with_the_same_gap_are_neighbours_and_weights_decide_what_a_gap_is_worth():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(100, 2))
    x[:30, 1] = np.nan
    features = [Feature("a", "soil", False), Feature("b", "soil", False)]
    found = applicability(x, features, [3.0, 1.0], np.arange(100) % 5, Log())
    new = np.array([[0.3, np.nan], [2.9, np.nan]])
    nearest = np.abs(new[:, :1] - x[:, 0]).min(axis=1) * 3 / x[:, 0].std(ddof=1)
    np.testing.assert_allclose(found.dissimilarity(new), nearest * np.sqrt(10 / 9) / found.mean_distance)
    never_both = np.where(np.arange(100)[:, None] % 2 == [0, 1], rng.normal(size=(100, 2)), np.nan)
    with pytest.raises(InputError, match="fewer than two training samples have all predictors"):
        applicability(never_both, features, [1.0, 1.0], np.arange(100) % 5, Log())


def test_drivers_explain_cells_with_gaps_as_xgboost_does(world, tmp_path):
    outputs = {"contributions": str(tmp_path / "c.tif")}
    with Staging() as staging:
        result = driver_maps(world["stack"], world["model"], outputs, staging, Progress(),
                             options=DriverOptions(runs=1, rank=22))
        staging.commit()
    missing = np.isnan(world["layers"]).sum(axis=0)
    assert result["cells"] == (missing <= 2).sum()
    cells = np.argwhere((missing > 0) & (missing <= 2))[:50]
    booster = next(boosters(world["training"]))
    matrix = xgboost.DMatrix(world["layers"][:, cells[:, 0], cells[:, 1]].T, feature_names=list(BANDS),
                             feature_types=KINDS, enable_categorical=True)
    expected = booster.predict(matrix, pred_contribs=True)[:, list(CODES).index(22)]
    for band in range(len(BANDS) + 1):
        np.testing.assert_allclose(read_raster(outputs["contributions"], band + 1)[cells[:, 0], cells[:, 1]],
                                   expected[:, band], atol=1e-5)


def test_a_predictor_that_no_sample_has_is_refused_and_gaps_do_not_change_the_checksum():
    samples = planted(60, 1, classes=3)
    x = samples.x.copy()
    x[:, 4] = np.nan
    with pytest.raises(InputError, match="No sample has the predictor peak_ndvi"):
        dataclasses.replace(samples, x=x).check()
    other = x.copy()
    # another bit pattern of NaN
    other[:, 4].view(np.uint32)[:] = 0x7FC00001
    assert np.isnan(other[:, 4]).all()
    assert dataclasses.replace(samples, x=x).checksum() == dataclasses.replace(samples, x=other).checksum()


def test_nothing_is_predicted_or_compared_on_water_and_glaciers(world, tmp_path):
    cover = np.random.default_rng(8).choice([0, 130, 210, 220], (ROWS, COLUMNS), p=[0.1, 0.6, 0.2, 0.1])
    out = np.isin(cover, (210, 220))
    exclude = write_raster(tmp_path / "cover.tif", cover, nodata=0, dtype="uint8", transform=TRANSFORM)
    kept = write_raster(tmp_path / "kept.tif", np.where(out, 0, world["index"]), nodata=0, dtype="uint8",
                        transform=TRANSFORM)
    land = write_raster(tmp_path / "land.tif", (~out).astype("uint8"), transform=TRANSFORM)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    result, layers, _, log = predicted(world, tmp_path / "a", reference_path=world["pti"],
                                       options=PredictionOptions(buffer_km=0.0, left_out=LeftOutClasses(exclude)))
    # a mask and an index that lack these cells give the very same
    expected, others, _, _ = predicted(world, tmp_path / "b", mask_path=land, reference_path=kept,
                                       options=PredictionOptions(buffer_km=0.0))
    for name in set(OUTPUTS) - {"missing"}:
        np.testing.assert_array_equal(layers[name], others[name], err_msg=name)
        assert np.isnan(layers[name][out]).all(), name
    assert np.isnan(layers["missing"][out]).all() and not np.isnan(layers["pti"]).all()
    assert {key: result[key] for key in ("table", "coverage", "wall_to_wall", "unseen")} == {
        key: expected[key] for key in ("table", "coverage", "wall_to_wall", "unseen")}
    assert any(f"{out.sum():,} of {out.size:,} cells of stack.tif" in line for line in log.lines)
    whole, _, _, _ = predicted(world, tmp_path, reference_path=world["pti"], options=PredictionOptions(buffer_km=0.0))
    assert sum(row["cells"] for row in whole["table"]) > sum(row["cells"] for row in result["table"])
