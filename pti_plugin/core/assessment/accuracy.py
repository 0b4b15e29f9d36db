"""Accuracy of a classification: confusion matrix, overall accuracy, precision, recall, F1, kappa, tier accuracy.

Rows are the classified ranks and columns the reference, everywhere. Method, sections 5 and 8.
"""

import math
from statistics import NormalDist

import numpy as np

from ..common import ranks
from .small_sample import wilson


def confusion(classified, reference, codes=ranks.CODES):
    """Return the confusion matrix (classes, classes) as int64: rows classified, columns reference."""
    place = {code: i for i, code in enumerate(codes)}
    matrix = np.zeros((len(codes), len(codes)), dtype=np.int64)
    pairs, counts = np.unique(np.stack([classified, reference]), axis=1, return_counts=True)
    for (row, column), count in zip(pairs.T, counts):
        matrix[place[int(row)], place[int(column)]] += count
    return matrix


def overall_accuracy(matrix):
    """Return the share of cases on the diagonal, NaN for an empty matrix."""
    return float(np.trace(matrix) / matrix.sum()) if matrix.sum() else float("nan")


def kappa(matrix):
    """Return Cohen's kappa, NaN where chance agreement is complete."""
    total = matrix.sum()
    chance = float((matrix.sum(axis=0) * matrix.sum(axis=1)).sum()) / float(total) ** 2 if total else 1.0
    return float((overall_accuracy(matrix) - chance) / (1 - chance)) if chance < 1 else float("nan")


def kappa_interval(matrix):
    """Return the 95 % interval (low, high) of kappa by its large-sample variance (Fleiss, Cohen & Everitt 1969).

    NaN where kappa is not defined.
    """
    value, total = kappa(matrix), matrix.sum()
    if not math.isfinite(value):
        return math.nan, math.nan
    shares = matrix / total
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    agreed, chance = float(np.trace(shares)), float((rows * columns).sum())
    diagonal = (np.diag(shares) * ((1 - chance) - (rows + columns) * (1 - agreed)) ** 2).sum()
    # the weight of an off-diagonal cell is its row's share as a column plus its column's share as a row
    others = shares * (columns[:, None] + rows[None, :]) ** 2
    others = (1 - agreed) ** 2 * (others.sum() - np.trace(others))
    variance = (diagonal + others - (agreed * chance - 2 * chance + agreed) ** 2) / (total * (1 - chance) ** 4)
    half = NormalDist().inv_cdf(0.975) * math.sqrt(max(variance, 0.0))
    return value - half, min(value + half, 1.0)


def f1_interval(hit, classified, reference):
    """Return the 95 % interval (low, high) of F1, NaN where it is not defined.

    F1 is 2j / (1 + j) of j, the share of the hits among the cases that are of the class by either; j is a plain
    share, and its Wilson interval is carried over.
    """
    low, high = wilson(hit, classified + reference - hit)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def by_class(matrix, codes=ranks.CODES):
    """Return a list of dicts rank, precision, recall, f1 (0–1, NaN where undefined), classified, reference."""
    rows = []
    for i, code in enumerate(codes):
        hit, classified, reference = int(matrix[i, i]), int(matrix[i].sum()), int(matrix[:, i].sum())
        precision = hit / classified if classified else float("nan")
        recall = hit / reference if reference else float("nan")
        f1 = 2 * hit / (classified + reference) if classified + reference else float("nan")
        rows.append({"rank": code, "precision": precision, "recall": recall, "f1": f1, "classified": classified,
                     "reference": reference})
    return rows


def tier_accuracy(matrix, codes=ranks.CODES):
    """Return the share of cases whose tier (cold, cool, warm, isolated) is right."""
    tiers = np.array([ranks.TIERS.index(ranks.BY_CODE[code].tier) for code in codes])
    return float(matrix[tiers[:, None] == tiers[None, :]].sum() / matrix.sum()) if matrix.sum() else float("nan")
