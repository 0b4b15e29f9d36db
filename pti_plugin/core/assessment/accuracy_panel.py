"""The accuracy panel: every line with its number of cases, an interval and a sentence that says what it means.

One table holds all of it, a section a kind of row, with the columns COLUMNS. Method, section 8.
"""

import re

import numpy as np

from ..common import ranks
from ..common.tables import read_csv
from .accuracy import by_class, f1_interval, kappa, kappa_interval, tier_accuracy
from .small_sample import wilson

COLUMNS = ("section", "line", "value", "low", "high", "n", "unit", "expected", "meaning", "source")
OURS, PAPER = "this run", "paper"
#: bins of the calibration table
BINS = 10
#: sections of the calibration of the probabilities as they are given, and of the plain means of the runs
CALIBRATION, UNTEMPERED, TEMPERATURE = CALIBRATION_SECTIONS = ("calibration", "calibration before", "temperature")
_OUT_OF_BAG = "out-of-bag; rows classified, columns reference"


def row(section, line, value, n, unit="%", low=None, high=None, meaning="", expected=None, source=OURS):
    """Return one row of the table: ``low`` to ``high`` is a 95 % interval unless ``meaning`` says otherwise."""
    return dict(zip(COLUMNS, (section, line, value, low, high, n, unit, expected, meaning, source)))


def share_row(section, line, right, n, meaning="", expected=None, sampled=True):
    """Return the row of a share of ``right`` cases among ``n`` in %, with its Wilson interval where ``sampled``."""
    low, high = (100 * bound for bound in wilson(right, n)) if sampled else (None, None)
    return row(section, line, 100 * right / n, n, low=low, high=high, meaning=meaning, expected=expected)


def runs_row(shares):
    """Return the row of the runs' own hold-out accuracies ``shares`` (runs,), 0 to 1."""
    low, high = 100 * np.quantile(shares, (0.025, 0.975))
    return row("accuracy", "single-run hold-out, mean", 100 * float(np.mean(shares)), len(shares), low=float(low),
               high=float(high), meaning="Each run on its own held-out points, n runs; low and high hold the middle "
               "95 % of the runs. How steady the runs are says nothing about how right they are.")


def spread_rows(shares):
    """Return the standard deviation and the coefficient of variation of the runs' accuracies ``shares`` (runs,)."""
    sd = float(np.std(shares, ddof=1)) if len(shares) > 1 else None
    mean = float(np.mean(shares))
    return [row("spread", "single-run hold-out, standard deviation", None if sd is None else 100 * sd, len(shares),
                unit="points"),
            row("spread", "single-run hold-out, coefficient of variation", 100 * sd / mean if sd and mean else None,
                len(shares))]


def matrix_rows(matrix, codes=ranks.CODES):
    """Return tier accuracy and kappa, the figures by class, and the confusion matrix of out-of-bag votes."""
    n = int(matrix.sum())
    low, high = kappa_interval(matrix)
    rows = [share_row("accuracy", "tier accuracy (out-of-bag)", round(n * tier_accuracy(matrix, codes)), n,
                      "Whether cold, cool, warm or isolated is right, whatever the trends."),
            row("agreement", "kappa (out-of-bag)", kappa(matrix), n, "", low, high,
                "Agreement beyond chance, at most 1.")]
    rows += class_rows(matrix, [f"rank {code}" for code in codes], " (out-of-bag)")
    return rows + confusion_rows(matrix, codes, "points", _OUT_OF_BAG)


def class_rows(matrix, names, mark="", units="points", sampled=True):
    """Return precision, recall and F1 of each class, ``names`` in the matrix's order, with n and intervals.

    ``mark`` follows each name, ``units`` is what the matrix counts; where not ``sampled`` there are no intervals.
    """
    rows = []
    for i, of_class in enumerate(by_class(matrix, names)):
        hit, classified, reference = int(matrix[i, i]), of_class["classified"], of_class["reference"]
        name = f"of {of_class['rank']}{mark}"
        if classified:
            rows.append(share_row("class", f"precision {name}", hit, classified,
                                  f"Of the {units} classified so, how many are.", sampled=sampled))
        if reference:
            rows.append(share_row("class", f"recall {name}", hit, reference,
                                  f"Of the {units} that are so, how many are classified so.", sampled=sampled))
        if classified + reference:
            low, high = (100 * bound for bound in f1_interval(hit, classified, reference)) if sampled else (None, None)
            rows.append(row("class", f"f1 {name}", 100 * of_class["f1"], classified + reference - hit, low=low,
                            high=high, meaning=f"Both in one; n {units} are of the class by either."))
    return rows


def confusion_rows(matrix, names, units, meaning, section="confusion"):
    """Return a row for each cell of a confusion matrix that is not 0; ``names``: of the classes in its order."""
    n = int(matrix.sum())
    return [row(section, f"classified {classified}, reference {reference}", int(matrix[i, j]), n, units,
                meaning=meaning)
            for i, classified in enumerate(names) for j, reference in enumerate(names) if matrix[i, j]]


def calibration_rows(probability, right, weights=None, section=CALIBRATION):
    """Return for ten bins of the mean probability of the voted class the share of points that are right.

    ``probability``: 0 to 1 (n,), ``right``: bool (n,), ``weights``: what each point stands for (n,), or None where all
    stand for the same. ``expected`` of a row is the bin's mean probability in %. Intervals are Wilson's, of weighted
    points for the number of equal points that tell as much, (Σ weight)² / Σ weight².
    """
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    weights = np.ones(len(right)) if weights is None else np.asarray(weights, dtype=float)
    rows = []
    for i in range(BINS):
        here = place == i
        if here.any():
            own = weights[here] / weights[here].sum()
            # sums of NumPy's own: the last digit of a BLAS product depends on the process
            share, worth = float((own * right[here]).sum()), 1 / float((own ** 2).sum())
            low, high = wilson(min(share, 1.0) * worth, worth)
            promised = float((own * probability[here]).sum())
            rows.append(row(section, f"probability {i / BINS:.1f} to {(i + 1) / BINS:.1f}", 100 * share,
                            int(here.sum()), low=100 * low, high=100 * high, expected=100 * promised,
                            meaning="Share of points that are right; expected is what their mean probability "
                            "promises."))
    return rows


def temperature_row(temperature, before, after, n):
    """Return the row of the temperature of the probabilities; ``before``, ``after``: mean negative log-likelihood of
    the true class of ``n`` out-of-bag points without and with it."""
    surer = "surer" if temperature < 1 else "less sure"
    return row(TEMPERATURE, "temperature of the probabilities", temperature, n, "",
               meaning=f"Probabilities to the power 1 / temperature, which makes them {surer}; fitted on the "
               f"out-of-bag probabilities, whose mean negative log-likelihood it takes from {before:.4f} to "
               f"{after:.4f}. No class changes by it.")


def block_rows(used_km, blocks, suggested_km, range_km, lags):
    """Return the block size used and suggested, and the correlogram of the residuals that suggests it."""
    pairs = sum(lag.pairs for lag in lags)
    how = ("an exponential model fitted to the correlogram of the out-of-bag residuals (1 less the mean probability "
           "of the true class)")
    suggestion = (f"The residuals are correlated up to {range_km:.0f} km (95 % of it is gone there), by {how}; blocks "
                  f"should not be smaller." if suggested_km else
                  f"The residuals show no correlation with distance, by {how}; any size of block will do.")
    rows = [row("blocks", "block size used", used_km, blocks, "km", meaning="n blocks hold samples."),
            row("blocks", "block size suggested", suggested_km, pairs, "km", meaning=suggestion)]
    return rows + [row("correlogram", f"{lag.low:.0f} to {lag.high:.0f} km", lag.correlation, lag.pairs, "",
                       lag.correlation - 1.96 * lag.error, lag.correlation + 1.96 * lag.error,
                       "Correlation of the residuals of n pairs of points so far apart.") for lag in lags]


def paper_rows(path):
    """Return the paper's own figures from the table of its results, to stand beside those of a run."""
    return [row("paper", of_paper["title"], of_paper["value"], of_paper["n"] and int(of_paper["n"]),
                of_paper["unit"] or "", meaning=of_paper["meaning"] or "", source=PAPER)
            for of_paper in read_csv(path) if of_paper["title"]]


def accuracy_rows(metrics):
    """Return the rows of the accuracy panel of a metrics table."""
    return [of_table for of_table in metrics if of_table["section"] == "accuracy"]


def confusion_of(metrics):
    """Return (labels, matrix) of the confusion matrix in a metrics table, or None where it holds none."""
    matrix = np.zeros((len(ranks.CODES), len(ranks.CODES)), dtype=np.int64)
    for of_table in metrics:
        if of_table["section"] == "confusion":
            classified, reference = (int(word) for word in re.findall(r"\d+", of_table["line"]))
            matrix[ranks.ORDER[classified], ranks.ORDER[reference]] = int(of_table["value"])
    return (list(ranks.CODES), matrix) if matrix.any() else None
