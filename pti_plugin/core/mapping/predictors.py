"""The predictors of cells as a model takes them, missing ones included, and which cells it can classify.

XGBoost sends a missing value (NaN) at every split the way that it learned for missing values in training. So a cell is
classified as long as it does not lack more predictors than allowed.
"""

from collections import namedtuple
from dataclasses import dataclass

import numpy as np

from ..ensembles.features import missing_limit
from ..learning.predictor_stack import scaled
from ..rasters.raster import NO_CLASS

Predictors = namedtuple("Predictors", "x valid unseen absent")
Predictors.__doc__ = """``x`` float32 (cells, features) of the cells ``valid``, NaN = missing; ``unseen``: cells with an
unknown category and otherwise enough predictors; ``absent``: bool (features, …), where each is missing. All but ``x``
have the shape of the block."""


@dataclass(frozen=True)
class Look:
    """How cells are looked at: ``features`` of the model, ``ranges`` (low, high) of those to be scaled and None of the
    others (see Stack.select), ``categories`` {name: codes seen in training}, ``limit`` of missing predictors, and
    ``whole``: whether to find out what a cell lacks where it lacks too much."""

    features: tuple
    ranges: tuple
    categories: dict
    limit: int
    whole: bool = False

    @classmethod
    def of(cls, model, ranges, max_missing=None, whole=False):
        """Return the Look of a Model; ``max_missing``: None for what the model states."""
        limit = model.max_missing if max_missing is None else max_missing
        return cls(model.features, tuple(ranges), model.manifest.get("categories", {}),
                   missing_limit(limit, len(model.features)), whole)


def predictors_of(layers, inside, look):
    """Return the Predictors of a block.

    ``layers``: arrays of the features, or an iterable that reads them one by one: unless ``look.whole``, the others are
    not asked for once no cell is left, and count as missing. ``inside``: mask of the cells to look at.
    """
    count, unseen = np.zeros(inside.shape, dtype=np.int32), np.zeros(inside.shape, dtype=bool)
    absent = np.ones((len(look.features), *inside.shape), dtype=bool)
    read, layers = [], iter(layers)
    for i, (feature, limits) in enumerate(zip(look.features, look.ranges)):
        # most blocks of a large map are sea
        if not look.whole and not (inside & (count <= look.limit)).any():
            nothing = np.zeros(inside.shape, dtype=bool)
            return Predictors(np.zeros((0, len(look.features)), dtype=np.float32), nothing, nothing.copy(), absent)
        layer = next(layers)
        if feature.categorical:
            absent[i] = layer == NO_CLASS
            unseen |= ~absent[i] & ~np.isin(layer, look.categories[feature.name])
            layer = np.where(absent[i], np.nan, layer)
        else:
            absent[i] = np.isnan(layer)
            layer = scaled(layer.astype(np.float32), *limits)[0] if limits else layer
        count += absent[i]
        read.append(layer)
    valid = inside & (count <= look.limit)
    unseen &= valid
    valid = valid & ~unseen
    return Predictors(np.stack([layer[valid] for layer in read], axis=1).astype(np.float32), valid, unseen, absent)


def wanted_cells(mask):
    """Return the cells of a mask layer, int with NO_CLASS, where something is to be done: neither nodata nor 0."""
    return (mask != NO_CLASS) & (mask != 0)
