"""Rank factors make classified areas those of the ranks, and are what a general optimiser finds."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from pti_plugin.core.learning.rank_factors import LIMIT, SHARPNESS, fit_factors


def uneven(n, seed, classes=5):
    """Probabilities that are right, of classes that differ in size and in how easily they are told apart."""
    rng = np.random.default_rng(seed)
    size = rng.dirichlet(np.full(classes, 3.0))
    sharp = np.linspace(0.5, 4, classes)
    kind = rng.choice(classes, n, p=size)
    scores = rng.normal(0, 0.4, (n, classes)) + sharp[kind][:, None] * np.eye(classes)[kind] + np.log(size)
    probability = softmax(scores, axis=1)
    labels = (rng.random((n, 1)) > probability.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)
    return probability, labels


@pytest.mark.parametrize("seed", range(4))
def test_factors_are_those_of_a_general_optimiser(seed):
    probability, labels = uneven(3000, seed)
    areas = np.array([5.0, 1.0, 2.0, 8.0, 4.0])
    weights = (areas / areas.sum() / np.bincount(labels))[labels]
    logs = np.log(probability)

    def objective(free):
        factors = np.append(free, 0.0)
        return (weights @ logsumexp(SHARPNESS * (logs + factors), axis=1) / SHARPNESS
                - areas @ factors / areas.sum())

    free = np.append(minimize(objective, np.zeros(4), method="BFGS", options={"gtol": 1e-9}).x, 0.0)
    expected = np.exp(free - areas @ free / areas.sum())
    np.testing.assert_allclose(fit_factors(probability, labels, areas), expected, rtol=2e-3)


@pytest.mark.parametrize("seed", range(4))
def test_classified_areas_come_nearer_to_the_true_ones_on_new_points(seed):
    probability, labels = uneven(8000, seed)
    fresh, truth = uneven(16_000, seed)
    fresh, truth = fresh[8000:], truth[8000:]
    areas = np.bincount(labels, minlength=5).astype(float)
    factors = fit_factors(probability, labels, areas)
    true = np.bincount(truth, minlength=5)

    def net(voted):
        return 0.5 * np.abs(np.bincount(voted, minlength=5) - true).sum() / len(truth)

    before, after = net(fresh.argmax(axis=1)), net((fresh * factors).argmax(axis=1))
    assert before > 0.02 and after < 0.5 * before


def test_a_class_without_points_keeps_one_and_no_factor_leaves_its_bounds():
    probability, labels = uneven(500, 1)
    probability, labels = probability[labels != 2], labels[labels != 2]
    factors = fit_factors(probability, labels, np.array([1.0, 1, 7, 1, 1]))
    assert factors[2] == 1
    assert (fit_factors(probability, labels, np.array([1.0, 1, 1, 1, 1e9])) <= LIMIT * LIMIT).all()
