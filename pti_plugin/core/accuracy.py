"""Accuracy of a classification: confusion matrix, overall accuracy, precision, recall, F1, kappa, tier accuracy.

Rows are the classified ranks and columns the reference, everywhere. Method, sections 5 and 8.
"""

import numpy as np

from . import ranks


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
