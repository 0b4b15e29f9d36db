"""The temperature is the likeliest one, makes probabilities keep their promise, and changes no class."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from pti_plugin.core.assessment.accuracy_panel import calibration_rows
from pti_plugin.core.learning.calibration import HIGHEST, LOWEST, fit_temperature, tempered


def drawn(n, classes, power, seed):
    """Return (probabilities that say too little or too much, labels drawn from their ``power``, the true ones)."""
    rng = np.random.default_rng(seed)
    given = softmax(rng.normal(0, 1.2, (n, classes)), axis=1)
    true = given ** power
    true /= true.sum(axis=1, keepdims=True)
    return given, (rng.random((n, 1)) > true.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1), true


@pytest.mark.parametrize("power, classes, seed", [(1.8, 3, 1), (0.6, 10, 2), (1.0, 5, 3), (2.5, 10, 4), (0.3, 2, 5)])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_temperature_is_that_of_a_general_optimiser(power, classes, seed, weighted):
    given, labels, _ = drawn(4000, classes, power, seed)
    weights = np.random.default_rng(seed).uniform(0.1, 8, 4000) if weighted else None

    def loss(temperature):
        return -np.average(log_softmax(np.log(given) / temperature, axis=1)[np.arange(4000), labels], weights=weights)

    expected = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8}).x
    found = fit_temperature(given, labels, weights)
    assert found == pytest.approx(expected, rel=1e-3) and found == pytest.approx(1 / power, rel=0.25)
    assert loss(found) <= loss(1.0) and loss(found) <= min(loss(found * 0.98), loss(found * 1.02))


def test_reliability_is_mended_on_planted_probabilities():
    given, labels, true = drawn(40_000, 5, 2.0, 7)
    other, other_labels, _ = drawn(40_000, 5, 2.0, 8)
    temperature = fit_temperature(other, other_labels)
    after = tempered(given, temperature)
    np.testing.assert_allclose(after, true, atol=0.01)
    voted, points = given.argmax(axis=1), np.arange(len(given))
    gaps = [max(abs(row["value"] - row["expected"]) for row in calibration_rows(
        part[points, voted], voted == labels) if row["n"] > 1000) for part in (given, after)]
    assert gaps[0] > 10 and gaps[1] < 3


def test_no_class_changes_and_one_changes_nothing():
    given = drawn(500, 7, 1.0, 3)[0]
    given[0] = [1, 0, 0, 0, 0, 0, 0]
    for temperature in (LOWEST, 0.4, 0.75, 1.7, HIGHEST):
        after = tempered(given, temperature)
        np.testing.assert_array_equal(after.argmax(axis=1), given.argmax(axis=1))
        np.testing.assert_allclose(after.sum(axis=1), 1)
        assert np.isfinite(after).all()
    np.testing.assert_array_equal(tempered(given, 1), given)
    assert np.isnan(tempered(np.full((1, 3), np.nan), 0.5)).all()


def test_classes_told_apart_perfectly_or_not_at_all_stay_within_bounds():
    labels = np.array([0, 1, 2, 0])
    right = np.where(np.eye(3)[labels] > 0, 0.6, 0.2)
    assert fit_temperature(right, labels) == pytest.approx(LOWEST, rel=1e-3)
    assert fit_temperature(right, (labels + 1) % 3) == pytest.approx(HIGHEST, rel=1e-3)


def test_weighted_calibration_tells_of_the_population_that_the_weights_stand_for():
    rng = np.random.default_rng(5)
    # a rare kind that is always right and was drawn ten times too often
    rare = rng.random(30_000) < 0.5
    right = np.where(rare, True, rng.random(30_000) < 0.5)
    weights = np.where(rare, 0.1, 1.0)
    plain, = calibration_rows(np.full(30_000, 0.55), right)
    weighted, = calibration_rows(np.full(30_000, 0.55), right, weights)
    assert plain["value"] == pytest.approx(75, abs=1) and weighted["value"] == pytest.approx(50 + 50 / 11, abs=1)
    assert weighted["n"] == 30_000 and weighted["expected"] == pytest.approx(55)
    # fewer equal points would tell as much
    assert weighted["high"] - weighted["low"] > 1.1 * (plain["high"] - plain["low"])
