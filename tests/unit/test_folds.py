"""Folds keep class shares, and without a seed they are scikit-learn's."""

import numpy as np
import pytest

from pti_plugin.core.learning.folds import stratified_folds

LABELS = np.random.default_rng(1).choice(4, 203, p=[0.5, 0.3, 0.15, 0.05])


@pytest.mark.parametrize("seed", [None, 3])
def test_every_class_is_dealt_evenly(seed):
    folds = stratified_folds(LABELS, seed)
    for label in range(4):
        counts = np.bincount(folds[LABELS == label], minlength=5)
        assert len(counts) == 5 and counts.max() - counts.min() <= 1


def test_the_seed_decides():
    np.testing.assert_array_equal(stratified_folds(LABELS, 3), stratified_folds(LABELS, 3))
    assert (stratified_folds(LABELS, 3) != stratified_folds(LABELS, 4)).mean() > 0.5


def test_without_a_seed_each_class_is_cut_in_the_order_of_the_samples_as_scikit_learn_does():
    model_selection = pytest.importorskip("sklearn.model_selection")
    labels = np.repeat(np.arange(4), [100, 60, 30, 15])[np.random.default_rng(2).permutation(205)]
    expected = np.empty(205, dtype=int)
    for fold, (_, test) in enumerate(model_selection.StratifiedKFold(5).split(labels, labels)):
        expected[test] = fold
    np.testing.assert_array_equal(stratified_folds(labels), expected)
