"""Names of predictors: under which XGBoost knows them, and by which fields of a point layer they are found."""

import string

import numpy as np
import pytest

from learning_data import planted
from pti_plugin.core.common.errors import InputError
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.ensembles.features import PREDICTORS
from pti_plugin.core.learning.learner import Learner, TrainingOptions, booster_names
from pti_plugin.core.learning.model_file import Model
from pti_plugin.core.samples.sample_file import predictor_fields

xgboost = pytest.importorskip("xgboost")


@pytest.mark.parametrize("seed", range(40))
def test_booster_names_are_accepted_distinct_and_ordinary_ones_unchanged(seed):
    rng = np.random.default_rng(seed)
    letters = list("[]<%5BDC3 ab°")
    names = sorted({"".join(rng.choice(letters, rng.integers(1, 6))) for _ in range(30)})
    rng.shuffle(names)
    # what others would be called
    names += [name for name in booster_names(names) if name not in names][:3]
    given = booster_names(names)
    assert len(set(given)) == len(names)
    assert all(theirs == ours for theirs, ours in zip(given, names) if not set(ours) & set("[]<"))
    matrix = xgboost.DMatrix(np.zeros((2, len(names))), feature_names=given)
    assert matrix.feature_names == given


def test_boosters_differ_in_nothing_but_their_names():
    samples = planted(200, 1, classes=3)
    renamed = tuple(type(feature)(f"[{feature.name}] < 1", feature.group, feature.categorical)
                    for feature in samples.features)
    other = type(samples)(samples.x, samples.y, samples.longitude, samples.latitude, renamed)
    labels = np.searchsorted(np.unique(samples.y), samples.y)
    options = TrainingOptions(rounds=3)
    fits = [next(Learner(xgboost, given, labels, 3, options).side_by_side([np.arange(150)], Progress()))
            for given in (samples, other)]
    assert np.array_equal(fits[0].probability, fits[1].probability) and np.array_equal(fits[0].gain, fits[1].gain)
    models = [Model(given.features, (11, 12, 13), (fit.raw,), {}).load_boosters()[0] for given, fit in zip(
        (samples, other), fits)]
    assert models[0].feature_names == [feature.name for feature in samples.features]
    assert fits[0].raw != fits[1].raw
    models[1].feature_names = models[0].feature_names
    assert bytes(models[0].save_raw("ubj")) == bytes(models[1].save_raw("ubj"))


def test_a_model_whose_boosters_have_other_odd_names_is_refused():
    samples = planted(200, 1, classes=3)
    labels = np.searchsorted(np.unique(samples.y), samples.y)
    fit = next(Learner(xgboost, samples, labels, 3, TrainingOptions(rounds=1)).side_by_side([np.arange(150)],
                                                                                          Progress()))
    renamed = tuple(type(feature)(f"[{feature.name}]", feature.group, feature.categorical)
                    for feature in samples.features)
    with pytest.raises(InputError, match="damaged"):
        Model(renamed, (11, 12, 13), (fit.raw,), {}).load_boosters()


@pytest.mark.parametrize("seed", range(40))
def test_fields_of_a_layer_are_found_whatever_a_shapefile_did_to_their_names(seed):
    rng = np.random.default_rng(seed)
    wanted = list(PREDICTORS)
    there = [name for name in wanted if rng.integers(2)] or wanted[:1]
    own = ["".join(rng.choice(list(string.ascii_lowercase), 7)) + "_x" for _ in range(3)]
    case = str.upper if rng.integers(2) else str
    cut = 10 if rng.integers(2) else 99
    names = [case(name)[:cut] for name in [*there, *own, "pti", "row", "longitude"]]
    rng.shuffle(names)
    found = predictor_fields(wanted, names)
    assert found.fields == {name: case(name)[:cut] for name in there}
    assert sorted(found.renamed) == sorted((case(name)[:cut], name) for name in there if case(name)[:cut] != name)
    assert sorted(found.ignored) == sorted(case(name)[:cut] for name in own)


@pytest.mark.parametrize("names", [
    ["coarse_fr"], ["coarse_f_1"], ["water_co_1"], ["bulk_dens"], ["elevatio"], ["COARSE_FRA", "coarse_fra"],
    ["Snow", "SNOW"], ["frozen"],
])
def test_a_field_that_may_be_a_predictor_and_cannot_be_matched_is_refused(names):
    with pytest.raises(InputError) as error:
        predictor_fields(list(PREDICTORS), ["lst", *names])
    assert all(name in str(error.value) for name in names)


def test_own_predictors_that_share_their_first_letters_are_not_guessed():
    wanted = ["my_predictor_a", "my_predictor_b"]
    with pytest.raises(InputError, match="my_predict"):
        predictor_fields(wanted, ["my_predict"])
    assert predictor_fields(wanted[:1], ["my_predict"]).fields == {"my_predictor_a": "my_predict"}


def test_what_is_there_under_its_own_name_leaves_no_question():
    found = predictor_fields(list(PREDICTORS), ["snow", "snow_trend", "snow_tre", "slope", "slope_deg"])
    assert set(found.fields) == {"snow", "snow_trend", "slope"} and found.ignored == ["snow_tre", "slope_deg"]
