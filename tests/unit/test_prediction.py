"""The map is the vote of the ensemble in every cell, whatever the order of the bands, smoothed as stated."""

import subprocess
import sys

import numpy as np
import pytest
from osgeo import gdal

from pti_plugin.core.common import ranks
from pti_plugin.core.common.errors import Cancelled, InputError
from pti_plugin.core.common.profiles import DEFENSIBLE
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.ensembles.features import read_stack
from pti_plugin.core.learning.learner import TrainingOptions
from pti_plugin.core.learning.model_file import pack_samples, read_model, write_model
from pti_plugin.core.learning.training import manifest, train
from pti_plugin.core.mapping.applicability import applicability
from pti_plugin.core.mapping.prediction import OUTPUTS, PredictionOptions, majority_filter, predict
from pti_plugin.core.rasters.blocks import Settings
from pti_plugin.core.rasters.geodesic import distance_m
from pti_plugin.core.samples.sampling import draw_samples
from support import ROOT, Log, majority_filtered, read_raster, write_raster

xgboost = pytest.importorskip("xgboost")

ROWS, COLUMNS, RUNS = 40, 60, 5
TRANSFORM = (-2400000.0, 80000.0, 0.0, 1600000.0, 0.0, -80000.0)
BANDS = ("lst", "land_cover", "slope")
CATEGORIES = (30, 130, 201)


def write_stack(path, layers, bands=BANDS, low="0"):
    path = write_raster(path, np.stack([layers[name] for name in bands]), dtype="float32", nodata=-1,
                        transform=TRANSFORM, descriptions=list(bands))
    dataset = gdal.Open(path, gdal.GA_Update)
    for number, name in enumerate(bands, start=1):
        if name != "land_cover":
            dataset.GetRasterBand(number).SetMetadataItem("PTI_MIN", low)
            dataset.GetRasterBand(number).SetMetadataItem("PTI_MAX", "100")
    dataset.FlushCache()
    return path


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A stack with holes, and a model trained on the index made from it with noise."""
    folder = tmp_path_factory.mktemp("learned")
    rng = np.random.default_rng(9)
    layers = {"lst": rng.uniform(0, 100, (ROWS, COLUMNS)), "slope": rng.uniform(0, 100, (ROWS, COLUMNS)),
              "land_cover": rng.choice(CATEGORIES, (ROWS, COLUMNS)).astype(float)}
    place = np.clip((layers["lst"] // 25).astype(int) + (layers["land_cover"] == 201), 0, 4)
    place = np.where(rng.random(place.shape) < 0.3, rng.integers(0, 5, place.shape), place)
    for name in BANDS:
        layers[name][rng.random(place.shape) < 0.04] = np.nan
    stack = write_stack(folder / "stack.tif", layers)
    pti = write_raster(folder / "pti.tif", np.array([11, 13, 22, 31, 40])[place], dtype="uint8", nodata=0,
                       transform=TRANSFORM)
    samples = draw_samples(pti, read_stack(stack), 80, 0, 1, Progress())
    options = TrainingOptions(runs=RUNS, rounds=10, max_depth=4, block_km=600)
    training = train(samples, options, Progress())
    model = str(folder / "m.ptimodel")
    write_model(model, samples.features, training.codes, training.boosters,
                manifest(training, samples, options, DEFENSIBLE), pack_samples(samples, training.folds))
    return stack, model, layers, training


def run(folder, stack, model, progress=None, **options):
    outputs = {name: str(folder / f"{name}.tif") for name in ("pti", "agreement", "entropy")}
    with Staging() as staging:
        result = predict(stack, model, outputs, staging, progress or Progress(), **options)
        staging.commit()
    return result, *(read_raster(path) for path in outputs.values())


def direct(layers, training):
    """Votes and summed probabilities by xgboost itself; (rows, columns, classes), and the cells that have all."""
    x = np.stack([layers[name] for name in BANDS], axis=-1).reshape(-1, 3).astype(np.float32)
    known = ~np.isnan(x).any(axis=1)
    votes, chances = np.zeros((2, len(x), len(training.codes)))
    for raw in training.boosters:
        booster = xgboost.Booster()
        booster.load_model(bytearray(raw))
        found = booster.predict(xgboost.DMatrix(x[known], feature_names=list(BANDS), feature_types=["q", "c", "q"],
                                                enable_categorical=True))
        votes[np.flatnonzero(known), found.argmax(axis=1)] += 1
        chances[known] += found
    shape = (ROWS, COLUMNS, len(training.codes))
    return votes.reshape(shape), chances.reshape(shape), known.reshape(ROWS, COLUMNS)


def calibrated(share, training):
    """Mean probabilities as the model's temperature makes them."""
    assert training.temperature != 1
    powers = share ** (1 / training.temperature)
    return powers / powers.sum(axis=-1, keepdims=True)


def winner(votes, chances):
    return max(range(len(votes)), key=lambda label: (votes[label], chances[label]))


def test_the_map_is_the_direct_vote_with_agreement_and_entropy(learned, tmp_path):
    stack, model, layers, training = learned
    result, index, agreement, entropy = run(tmp_path, stack, model, options=PredictionOptions(smooth=False))
    votes, chances, known = direct(layers, training)
    assert 200 < (~known).sum() < 400
    np.testing.assert_array_equal(np.isnan(index), ~known)
    for place in zip(*np.nonzero(known)):
        label = winner(votes[place], chances[place])
        assert index[place] == training.codes[label]
        assert agreement[place] == pytest.approx(100 * votes[place][label] / RUNS, rel=1e-6)
        share = calibrated(chances[place] / RUNS, training)
        assert entropy[place] == pytest.approx(-(share * np.log(share)).sum() / np.log(5), abs=1e-5)
    for raster in (agreement, entropy):
        np.testing.assert_array_equal(np.isnan(raster), ~known)
    assert len(np.unique(agreement[known])) > 2 and 0 <= np.nanmin(entropy) < np.nanmax(entropy) <= 1
    assert {row["rank"]: row["cells"] for row in result["table"]} == {
        code: int((index == code).sum()) for code in ranks.CODES}
    assert {row["rank"]: row["area_km2"] for row in result["table"]} == {
        code: 6400.0 * (index == code).sum() for code in ranks.CODES}
    assert (result["changed_percent"], result["unseen"]) == (0, 0)


@pytest.mark.parametrize("classes, seed", [(2, 1), (3, 2), (5, 3), (10, 4)])
def test_the_majority_filter_equals_brute_force_with_ties_and_nodata(classes, seed):
    place = np.random.default_rng(seed).integers(-1, classes, (60, 70)).astype(np.int16)
    found = majority_filter(place, classes)
    np.testing.assert_array_equal(found, majority_filtered(place))
    assert (found != place).any()


@pytest.mark.parametrize("place, expected", [
    ([[0, 0, 0], [1, 1, 1], [2, 2, 2]], 1), ([[0, 0, 0], [0, 1, 1], [1, 1, 2]], 1),
    ([[0, 0, 0], [0, 2, 1], [1, 1, 1]], 2), ([[0, 0, -1], [-1, 1, -1], [-1, -1, -1]], 0),
    ([[-1, -1, -1], [-1, 1, -1], [-1, -1, -1]], 1),
    ([[0, 0, 0], [0, -1, 0], [0, 0, 0]], -1), ([[0, 1, 2], [3, 4, 5], [6, 7, 8]], 4)])
def test_the_centre_of_a_neighbourhood(place, expected):
    assert majority_filter(np.array(place, dtype=np.int16), 9)[1, 1] == expected


def test_the_smoothed_map_is_the_filter_of_the_vote(learned, tmp_path):
    stack, model, layers, training = learned
    progress = Progress()
    result, index, agreement, _ = run(tmp_path, stack, model, progress)
    votes, chances, known = direct(layers, training)
    place = np.full((ROWS, COLUMNS), -1)
    place[known] = [winner(votes[cell], chances[cell]) for cell in zip(*np.nonzero(known))]
    expected = majority_filtered(place)
    np.testing.assert_array_equal(np.nan_to_num(index), np.where(known, np.array(training.codes)[expected], 0))
    assert result["changed_percent"] == pytest.approx(100 * (expected != place).sum() / known.sum(), abs=1e-3)
    assert result["changed_percent"] > 10
    # the agreement is with the class on the map, also where the filter changed it
    for cell in zip(*np.nonzero(known)):
        assert agreement[cell] == pytest.approx(100 * votes[cell][expected[cell]] / RUNS, rel=1e-6)


def test_the_order_of_the_bands_does_not_change_a_byte(learned, tmp_path):
    stack, model, layers, _ = learned
    run(tmp_path, stack, model)
    expected = [(tmp_path / f"{name}.tif").read_bytes() for name in ("pti", "agreement", "entropy")]
    for number, bands in enumerate((("slope", "lst", "land_cover"), ("land_cover", "slope", "lst"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        run(folder, write_stack(folder / "stack.tif", layers, bands), model)
        assert [(folder / f"{name}.tif").read_bytes() for name in ("pti", "agreement", "entropy")] == expected


def test_a_missing_an_unknown_and_a_rescaled_predictor_are_refused_and_leave_nothing(learned, tmp_path):
    _, model, layers, _ = learned
    for bands, low, text in ((("lst", "land_cover"), "0", r"s\.tif lacks slope"),
                             ((*BANDS, "extra"), "0", r"s\.tif holds extra, which the model was not trained with"),
                             (BANDS, "-5", r"lst in s\.tif is scaled by -5\.0 to 100\.0")):
        stack = write_stack(tmp_path / "s.tif", {**layers, "extra": layers["slope"]}, bands, low)
        with pytest.raises(InputError, match=text):
            run(tmp_path, stack, model)
    assert [path.name for path in tmp_path.iterdir() if path.name != "s.tif"] == []


def test_a_category_the_model_never_saw_is_nodata_and_counted(learned, tmp_path):
    _, model, layers, training = learned
    known = direct(layers, training)[2]
    changed = {name: values.copy() for name, values in layers.items()}
    cells = [cell for cell in zip(*np.nonzero(known))][7:60:9]
    for cell in cells:
        changed["land_cover"][cell] = 190
    # without another predictor the cell is missing anyway, and not counted
    row, column = np.argwhere(np.isnan(layers["slope"]) & ~np.isnan(layers["land_cover"]))[0]
    changed["land_cover"][row, column] = 190
    progress = Progress()
    result, index, *_ = run(tmp_path, write_stack(tmp_path / "s.tif", changed), model, progress)
    assert result["unseen"] == len(cells) == 6
    assert all(np.isnan(index[cell]) for cell in cells)
    assert progress.warnings == ["6 cells have a category that the model never saw; they are nodata."]
    assert (~np.isnan(index)).sum() == known.sum() - 6


def test_a_mask_limits_the_map(learned, tmp_path):
    stack, model, layers, training = learned
    base = np.zeros((ROWS, COLUMNS))
    base[5:20, 10:50] = 1
    base[0] = 255
    mask = write_raster(tmp_path / "base.tif", base, dtype="uint8", nodata=255, transform=TRANSFORM)
    _, index, *_ = run(tmp_path, stack, model, mask_path=mask)
    np.testing.assert_array_equal(~np.isnan(index), direct(layers, training)[2] & (base == 1))
    other = write_raster(tmp_path / "other.tif", base[:, :50], dtype="uint8", transform=TRANSFORM)
    with pytest.raises(InputError, match=r"other\.tif \(MASK\) is not on the grid of stack\.tif: it has 50 x 40"):
        run(tmp_path, stack, model, mask_path=other)


def everything(folder, stack, model, **options):
    outputs = {name: str(folder / f"{name}.tif") for name in OUTPUTS}
    with Staging() as staging:
        result = predict(stack, model, outputs, staging, Progress(), **options)
        staging.commit()
    return result, outputs


def test_margin_and_probabilities_are_those_of_the_votes(learned, tmp_path):
    stack, model, layers, training = learned
    _, outputs = everything(tmp_path, stack, model, options=PredictionOptions(smooth=False))
    votes, chances, known = direct(layers, training)
    margin = read_raster(outputs["margin"])
    probabilities = np.stack([read_raster(outputs["probabilities"], band) for band in range(1, 6)], axis=-1)
    most = np.sort(votes[known], axis=1)
    np.testing.assert_allclose(margin[known], 100 * (most[:, -1] - most[:, -2]) / RUNS, rtol=1e-6)
    np.testing.assert_allclose(probabilities[known], calibrated(chances[known] / RUNS, training), atol=1e-6)
    np.testing.assert_allclose(probabilities[known].sum(axis=1), 1, atol=1e-5)
    assert np.isnan(margin[~known]).all() and np.isnan(probabilities[~known]).all()


def test_the_applicability_of_a_cell_is_that_of_its_predictors_whatever_the_blocks(learned, tmp_path):
    stack, model, layers, training = learned
    changed = {name: values.copy() for name, values in layers.items()}
    # a block unlike anything trained on
    changed["lst"][5:12, 5:12], changed["slope"][5:12, 5:12] = 300.0, -200.0
    stack = write_stack(tmp_path / "far.tif", changed)
    result, outputs = everything(tmp_path, stack, model, options=PredictionOptions(smooth=False))
    read, samples = read_model(model), read_model(model).training_samples()
    gains = read.manifest["gain_share_percent"]
    assert set(gains) == set(BANDS) and sum(gains.values()) == pytest.approx(100)
    expected = applicability(samples["x"], read.features, [gains[feature.name] for feature in read.features],
                             samples["block_fold"], Progress())
    x = np.stack([changed[feature.name] for feature in read.features], axis=-1).astype(np.float32)
    known = ~np.isnan(x).any(axis=-1)
    index, inside, beyond = (read_raster(outputs[name]) for name in ("dissimilarity", "applicability", "outside"))
    np.testing.assert_allclose(index[known], expected.dissimilarity(x[known]), rtol=1e-6)
    np.testing.assert_array_equal(inside[known], index[known] <= expected.threshold)
    far = np.zeros(known.shape, dtype=bool)
    far[5:12, 5:12] = True
    assert (inside[far & known] == 0).all() and (beyond[far & known] == 2).all() and (inside[~far & known] == 1).any()
    assert (beyond[~far & known] == 0).mean() > 0.9
    for layer in (index, inside, beyond):
        np.testing.assert_array_equal(np.isnan(layer), ~known)
    assert result["outside_percent"] == pytest.approx(100 * (inside[known] == 0).mean(), abs=1e-3)
    codes = read_raster(outputs["pti"])
    rows = {row["line"]: row for row in result["metrics"] if row["section"] == "area of applicability"}
    assert rows["threshold of the dissimilarity index"]["value"] == pytest.approx(expected.threshold)
    for name, here in (("all ranks", known), *((f"rank {code}", known & (codes == code)) for code in ranks.CODES)):
        if not here.any():
            assert f"inside: {name}" not in rows
            continue
        numbers = [int((inside[here] == side).sum()) for side in (1, 0)]
        # cells of 80 km of an equal-area grid
        for kind, number in zip(("inside", "outside"), numbers):
            assert (rows[f"{kind}: {name}"]["value"], rows[f"{kind}: {name}"]["n"]) == (
                pytest.approx(6400 * number, rel=1e-6), number)
        assert rows[f"share outside: {name}"]["value"] == pytest.approx(100 * numbers[1] / sum(numbers), rel=1e-6)
        assert rows[f"share outside: {name}"]["n"] == sum(numbers)
    assert 0 < rows["outside: all ranks"]["n"] < known.sum()
    again = tmp_path / "again"
    again.mkdir()
    _, others = everything(again, stack, model, options=PredictionOptions(smooth=False), settings=Settings(2, 16))
    for name, path in outputs.items():
        assert open(others[name], "rb").read() == open(path, "rb").read(), name


class Stopping(Progress):
    """Stops at the first block."""

    def set(self, fraction):
        if fraction > 0:
            self.stop()


def test_a_stop_leaves_nothing(learned, tmp_path):
    stack, model, *_ = learned
    with pytest.raises(Cancelled):
        run(tmp_path, stack, model, Stopping(), settings=Settings(2, 16))
    assert not list(tmp_path.iterdir())


def test_the_model_gives_the_same_bytes_in_a_fresh_process_and_other_blocks(learned, tmp_path):
    stack, model, *_ = learned
    run(tmp_path, stack, model)
    other = tmp_path / "other"
    other.mkdir()
    script = """if True:
        import sys
        from pti_plugin.core.rasters.blocks import Settings
        from pti_plugin.core.mapping.prediction import predict
        from pti_plugin.core.common.progress import Progress
        from pti_plugin.core.common.staging import Staging
        stack, model, folder = sys.argv[1:]
        with Staging() as staging:
            predict(stack, model, {name: f"{folder}/{name}.tif" for name in ("pti", "agreement", "entropy")}, staging,
                    Progress(), settings=Settings(1, 23))
            staging.commit()
        """
    subprocess.run([sys.executable, "-c", script, stack, model, str(other)], check=True, cwd=ROOT)
    for name in ("pti", "agreement", "entropy"):
        assert (other / f"{name}.tif").read_bytes() == (tmp_path / f"{name}.tif").read_bytes()


def test_a_stack_in_raw_units_is_scaled_by_the_ranges_of_the_model(learned, tmp_path):
    stack, model, layers, training = learned
    run(tmp_path, stack, model)
    expected = (tmp_path / "pti.tif").read_bytes()
    # the stack's 0 to 100 stood for 0 to 100, so raw values are the same, and those beyond are clipped
    raw = {name: values.copy() for name, values in layers.items()}
    top = np.nanargmax(raw["lst"])
    raw["lst"].flat[top] = 100.0
    folder = tmp_path / "raw"
    folder.mkdir()
    path = write_raster(folder / "raw.tif", np.stack([raw[name] for name in BANDS]), dtype="float32", nodata=-9999,
                        transform=TRANSFORM, descriptions=list(BANDS))
    log = Log()
    run(folder, path, model, log)
    assert (folder / "pti.tif").read_bytes() == expected
    assert any("the model's ranges are applied" in line for line in log.lines)


def test_the_agreement_wall_to_wall_counts_every_cell_away_from_the_samples(learned, tmp_path):
    stack, model, layers, training = learned
    rng = np.random.default_rng(3)
    _, index, *_ = run(tmp_path, stack, model)
    reference = np.nan_to_num(index)
    wrong = (rng.random(reference.shape) < 0.3) & (reference > 0)
    reference[wrong] = rng.choice([11, 13, 22, 31, 40], wrong.sum())
    reference[:3] = 0
    path = write_raster(tmp_path / "reference.tif", reference, dtype="uint8", nodata=0, transform=TRANSFORM)
    samples = read_model(model).training_samples()
    buffer_km = 60.0
    result, *_ = run(tmp_path, stack, model, reference_path=path, options=PredictionOptions(buffer_km=buffer_km))
    grid = read_stack(stack).grid
    matrix = np.zeros((10, 10))
    cells = 0
    for row, column in zip(*np.nonzero(~np.isnan(index) & (reference > 0))):
        longitude, latitude = (float(part) for part in grid.lonlat(column + 0.5, row + 0.5))
        if distance_m(latitude, longitude, samples["latitude"], samples["longitude"]).min() >= 1000 * buffer_km:
            matrix[ranks.ORDER[int(index[row, column])], ranks.ORDER[int(reference[row, column])]] += 1
            cells += 1
    line = next(row for row in result["metrics"] if row["line"].startswith("wall to wall"))
    assert 50 < cells < (reference > 0).sum() and line["n"] == cells
    # cells of an equal-area grid weigh alike
    assert line["value"] == pytest.approx(100 * np.trace(matrix) / matrix.sum())
    bands = {row["line"]: row for row in result["metrics"] if row["section"] == "agreement by latitude"}
    for kind, share in (("agreement", np.trace(matrix)),
                        ("within one rank", np.triu(np.tril(matrix, 1), -1).sum())):
        assert bands[f"{kind}: latitude all"]["value"] == pytest.approx(100 * share / matrix.sum())
    assert bands["compared: latitude all"]["n"] == cells == sum(
        row["n"] for name, row in bands.items() if name.startswith("compared") and not name.endswith("all"))
    assert "lie 60 km or more from the training points" in bands["agreement: latitude all"]["meaning"]
    names = [row["line"] for row in result["metrics"]]
    assert names.index(line["line"]) < next(i for i, name in enumerate(names) if name.startswith("in-sample"))
    with pytest.raises(InputError, match="No cell of the map .* Lower BUFFER_KM"):
        run(tmp_path, stack, model, reference_path=path, options=PredictionOptions(buffer_km=5000.0))


def test_a_map_without_any_cell_is_an_error_and_leaves_nothing(learned, tmp_path):
    _, model, layers, _ = learned
    empty = write_stack(tmp_path / "s.tif", {**layers, "lst": np.full((ROWS, COLUMNS), np.nan)})
    with pytest.raises(InputError, match="no cell has enough predictors"):
        run(tmp_path, empty, model)
    assert [path.name for path in tmp_path.iterdir()] == ["s.tif"]


def test_a_model_replaced_under_the_same_name_is_read_again(learned, tmp_path):
    stack, model, _, training = learned
    _, first, *_ = run(tmp_path, stack, model, options=PredictionOptions(smooth=False))
    loaded = read_model(model)
    again = str(tmp_path / "m.ptimodel")
    write_model(again, loaded.features, loaded.codes, loaded.boosters[:1],
                {key: loaded.manifest[key] for key in ("versions", "categories")})
    _, single, *_ = run(tmp_path, stack, again, options=PredictionOptions(smooth=False))
    write_model(again, loaded.features, loaded.codes, loaded.boosters,
                {key: loaded.manifest[key] for key in ("versions", "categories")})
    _, second, *_ = run(tmp_path, stack, again, options=PredictionOptions(smooth=False))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, single, equal_nan=True)
