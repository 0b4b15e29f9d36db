"""Probabilities that keep what they promise: one temperature, fitted on the out-of-bag probabilities.

The mean of many runs is drawn towards the middle, so an ensemble is more often right than it says. Raising its
probabilities to the power 1 / temperature and adding them up to 1 again (temperature scaling: Guo et al. 2017, On
calibration of modern neural networks, ICML) changes how sure they are and never their order, so no class changes.
"""

import numpy as np

#: temperatures that are looked at; beyond them the classes are told apart all but perfectly, or not at all
LOWEST, HIGHEST = 0.05, 20.0
#: of halvings of the interval: more than the digits that are kept need
_STEPS = 60
#: decimals of a stored temperature, few enough that sums in another order give the same
_DECIMALS = 4


def tempered(probability, temperature):
    """Return probabilities float64 (…, classes) at ``temperature``: below 1 surer, above 1 less sure; 1 changes none.

    NaN stays NaN.
    """
    if temperature == 1:
        return np.asarray(probability, dtype=np.float64)
    powers = _logarithms(probability) / temperature
    powers = np.exp(powers - powers.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def fit_temperature(probability, labels, weights=None):
    """Return the temperature with the least negative log-likelihood of the classes ``labels`` (n,), to four decimals.

    ``probability``: float (n, classes) of points that did not train what gave it; ``weights``: of the points (n,), or
    None. The likelihood is concave in 1 / temperature, so there is one best; it is found by halving.
    """
    logs = _logarithms(probability)
    own = logs[np.arange(len(labels)), labels]
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)

    def slope(power):
        """Derivative of the negative log-likelihood by the power 1 / temperature."""
        terms = power * logs
        terms = np.exp(terms - terms.max(axis=1, keepdims=True))
        mean = (terms * logs).sum(axis=1) / terms.sum(axis=1)
        return float((weights * (mean - own)).sum())

    low, high = np.log(1 / HIGHEST), np.log(1 / LOWEST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if slope(np.exp(middle)) > 0:
            high = middle
        else:
            low = middle
    return round(float(np.exp(-(low + high) / 2)), _DECIMALS)


def _logarithms(probability):
    return np.log(np.maximum(np.asarray(probability, dtype=np.float64), np.finfo(np.float64).tiny))
