"""Predicts with many XGBoost boosters at once: their margins to the last bit, in a fraction of XGBoost's time.

Boosters are read into arrays and evaluated by tree_numba, block by block of cells. Boosters trained on shared cut
points share their conditions (feature and threshold), which are then tested once a block for all of them. Where numba
is not installed, or a booster is of a kind that is not represented here, XGBoost itself predicts (``voting``).

XGBoost sends a cell to the left where x < threshold, or where its category is not in the node's set, which includes
categories that no set knows; a missing value (NaN) follows the node's default. The leaves of a class are added to its
base score in single precision, tree after tree.
"""

import importlib
import json
from dataclasses import dataclass

import numpy as np

from ..common.errors import InputError
from ..common.packages import require
from ..learning.boosters import OtherKind, read_booster

#: distinct conditions of the boosters that are evaluated together; their masks should stay in the processor's cache
CONDITIONS = 8192
#: XGBoost's own number of the rounds used, kept in a booster that was stopped early
_BEST = "best_iteration"
_PURPOSE = "predicting with the model"


def _compiled():
    try:
        return importlib.import_module(".tree_numba", __package__)
    except ImportError:
        return None


class _NotRepresented(InputError):
    """The booster is of a kind that only XGBoost itself can evaluate."""


def voting(model, check=None):
    """Return (what votes for the boosters of ``model``, a Model; why it is not the fast way, or "").

    Both kinds have ``votes(x, check)`` and know the factors of the ranks. ``check`` is called between boosters as they
    are read.
    """
    ensemble, reason = read_ensemble(model.boosters, check=check)
    if ensemble:
        ensemble.factors = model.factors
        return ensemble, ""
    return XGBoostVotes(model.load_boosters(), model.factors), reason


class XGBoostVotes:
    """The votes of xgboost Boosters (multi:softprob), as XGBoost predicts them; ``factors``: (classes,) or 1."""

    def __init__(self, boosters, factors=1):
        self._boosters, self.factors = boosters, np.float32(factors)

    def votes(self, x, check=None):
        """Return what TreeEnsemble.votes returns; at least one cell is needed."""
        votes = chances = None
        for booster in self._boosters:
            if check:
                check()
            probability = booster.inplace_predict(x, missing=np.nan)
            if votes is None:
                votes = np.zeros(probability.shape, dtype=np.uint16)
                chances = np.zeros(probability.shape)
            votes[np.arange(len(x)), (probability * self.factors).argmax(axis=1)] += 1
            chances += probability
        return votes, chances


def read_ensemble(boosters, to_best_iteration=False, check=None):
    """Return (TreeEnsemble of ``boosters``, "") or (None, the reason why only XGBoost can evaluate them).

    ``boosters``: UBJ bytes as ``Booster.save_raw("ubj")`` gives them, any objective. ``to_best_iteration``: leave out
    the rounds after the best one of a booster that was stopped early; otherwise all rounds count, as in
    ``Booster.inplace_predict``. ``check()`` is called before each booster and may raise.

    The first booster is compared with XGBoost on a few hundred rows, so that an XGBoost that adds up in another way is
    noticed. Raises InputError for a damaged booster, which XGBoost must not see either, DependencyError without
    xgboost.
    """
    if _compiled() is None:
        return None, "the package numba is not installed or does not work"
    xgboost = require("xgboost", _PURPOSE)
    groups, pending, features, classes = [], _Shared(), None, None
    try:
        for number, raw in enumerate(boosters):
            if check:
                check()
            trees = _read(xgboost, raw, to_best_iteration)
            if features is None:
                features, classes = trees.features, len(trees.base)
            if (trees.features, len(trees.base)) != (features, classes):
                raise _NotRepresented(f"booster {number} has {trees.features} features and {len(trees.base)} classes, "
                                      f"the first one {features} and {classes}")
            if not pending.has_room(trees):
                groups.append(pending.close(features))
                pending = _Shared()
            pending.add(trees)
            if number == 0:
                _compare(xgboost, raw, trees, features)
    except _NotRepresented as error:
        return None, str(error)
    if not features:
        return None, "there is no booster"
    return TreeEnsemble(features, classes, (*groups, pending.close(features))), ""


class TreeEnsemble:
    """Boosters of one model as arrays; ``features`` and ``classes`` (1 where the objective has a single output).

    ``factors``: what each class's probability is multiplied with before a vote, float32 (classes,). Safe for use by
    several threads.
    """

    def __init__(self, features, classes, groups):
        self.features, self.classes, self._groups = features, classes, groups
        self.factors = np.ones(classes, dtype=np.float32)

    def __len__(self):
        return sum(len(group.boosters) for group in self._groups)

    def margins(self, x, first=0, last=None, check=None):
        """Return the margins of boosters ``first`` up to before ``last``, float32 (boosters, cells, classes).

        ``x``: (cells, features), taken as float32, NaN = missing. The numbers are those of ``inplace_predict(x,
        predict_type="margin")`` to the last bit. ``check()`` is called between blocks and may raise. Raises InputError
        for a wrong number of features.
        """
        last = len(self) if last is None else last
        result = np.empty((max(0, last - first), len(x), self.classes), dtype=np.float32)
        for start, number, margin in self._blocks(x, first, last, check):
            part = result[number - first, start:start + margin.shape[1]]
            part[:] = margin[:, :len(part)].T
        return result

    def votes(self, x, check=None):
        """Return (votes, chances): uint16 and float64 (cells, classes).

        ``votes``: boosters whose most probable class it is after multiplication with ``factors``, the first one of
        equals; ``chances``: the sum of their softmax probabilities, without factors. Same numbers as adding up
        XGBoost's own predictions of multi:softprob. For ``x``, ``check`` and errors see ``margins``.
        """
        if self.classes < 2:
            raise InputError("These boosters do not tell classes apart: their objective has a single output.")
        votes = np.zeros((len(x), self.classes), dtype=np.uint16)
        chances = np.zeros((len(x), self.classes))
        kernel = _compiled()
        for start, _, margin in self._blocks(x, 0, len(self), check):
            kernel.add_votes(margin, self.factors, start, votes, chances)
        return votes, chances

    def _blocks(self, x, first, last, check):
        """Yield (first cell, booster, its margins (classes, cells of a block)) block by block; the array is reused."""
        x = np.ascontiguousarray(x, dtype=np.float32)
        if x.ndim != 2 or x.shape[1] != self.features:
            raise InputError(f"The model has {self.features} features, the data have the shape {x.shape}.")
        kernel = _compiled()
        apart = bool(np.isnan(x).any())
        rows = max(len(group.thresholds) + max(len(booster.set_feature) for booster in group.boosters)
                   for group in self._groups)
        words = np.zeros((max(rows, 1) * (2 if apart else 1), kernel.WORDS), dtype=np.uint64)
        one_hot = np.zeros((max(len(group.categories) for group in self._groups), kernel.WORDS), dtype=np.uint64)
        missing = np.zeros((self.features, kernel.WORDS), dtype=np.uint64)
        margin = np.empty((self.classes, kernel.CELLS), dtype=np.float32)
        masks = words.view(np.uint8)
        for start in range(0, len(x), kernel.CELLS):
            number = 0
            for group in self._groups:
                if number < last and number + len(group.boosters) > first:
                    kernel.condition_masks(
                        x, start, group.thresholds, group.first_threshold, group.categories, group.first_category,
                        apart, masks, one_hot.view(np.uint8), missing.view(np.uint8))
                for trees in group.boosters:
                    if first <= number < last:
                        if check:
                            check()
                        kernel.set_masks(len(group.thresholds), trees.members, trees.first_member, trees.set_feature,
                                         apart, one_hot, missing, words)
                        kernel.margins(words, masks, apart, trees.nodes, trees.depth, trees.leaves, trees.deep,
                                       trees.below, trees.first_tree, trees.condition, trees.child, trees.value,
                                       trees.base, margin)
                        yield start, number, margin
                    number += 1


@dataclass
class _Booster:
    """A booster's trees as tree_numba.margins wants them, and its category sets as tree_numba.set_masks does."""

    nodes: np.ndarray
    depth: np.ndarray
    leaves: np.ndarray
    deep: np.ndarray
    below: np.ndarray
    first_tree: np.ndarray
    condition: np.ndarray
    child: np.ndarray
    value: np.ndarray
    base: np.ndarray
    members: np.ndarray
    first_member: np.ndarray
    set_feature: np.ndarray


@dataclass
class _Group:
    """Boosters with common conditions, sorted by feature; see tree_numba.condition_masks."""

    thresholds: np.ndarray
    first_threshold: np.ndarray
    categories: np.ndarray
    first_category: np.ndarray
    boosters: list


@dataclass
class _Trees:
    """All nodes of a booster in one row, its trees in the order of their classes (``first_tree`` [class]).

    ``left`` and ``right``: children, -1 at a leaf; ``value``: threshold or leaf; ``sets``: {node: categories};
    ``rounds``: boosting rounds they come from, 0 for all of the booster.
    """

    features: int
    base: np.ndarray
    first_tree: np.ndarray
    root: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    value: np.ndarray
    default_left: np.ndarray
    sets: dict
    rounds: int

    @property
    def threshold_nodes(self):
        """Nodes that compare with a threshold."""
        inner = self.left >= 0
        inner[list(self.sets)] = False
        return np.flatnonzero(inner)

    def threshold_keys(self):
        """One number for feature and threshold of every threshold node, in their order."""
        nodes = self.threshold_nodes
        return _keys(self.feature[nodes], self.value[nodes])


def _keys(feature, value):
    """Return uint64 keys that sort by feature, then by value (float32, no NaN)."""
    # a sum with zero makes -0 into 0, which is the same threshold
    bits = (value + np.float32(0)).view(np.uint32)
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return feature.astype(np.uint64) << np.uint64(32) | ordered


def _split(keys, features):
    """Return (values float32, first key of every feature and the end) of sorted keys."""
    ordered = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    bits = np.where(ordered >> 31, ordered ^ np.uint32(1 << 31), ~ordered)
    first = np.searchsorted(keys >> np.uint64(32), np.arange(features + 1, dtype=np.uint64))
    return bits.view(np.float32), first.astype(np.int64)


class _Numbered:
    """Distinct keys, numbered as they come."""

    def __init__(self):
        self.keys, self._numbers = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)

    def new(self, keys):
        return np.setdiff1d(keys, self.keys)

    def number(self, keys):
        new = self.new(keys)
        place = np.searchsorted(self.keys, new)
        self._numbers = np.insert(self._numbers, place, len(self.keys) + np.arange(len(new)))
        self.keys = np.insert(self.keys, place, new)
        return self._numbers[np.searchsorted(self.keys, keys)]

    def ranks(self):
        """Return the place of every number among the sorted keys; for one number at least."""
        ranks = np.zeros(max(1, len(self.keys)), dtype=np.int64)
        ranks[self._numbers] = np.arange(len(self.keys))
        return ranks


class _Shared:
    """Collects boosters that share conditions. Until it is closed, conditions are numbered as they come and category
    sets are negative numbers."""

    def __init__(self):
        self._conditions, self._categories, self._boosters = _Numbered(), _Numbered(), []

    def has_room(self, trees):
        """Say whether the conditions of ``trees`` fit in; a first booster always does."""
        return not self._boosters or (
            len(self._conditions.keys) + len(self._conditions.new(trees.threshold_keys())) <= CONDITIONS)

    def add(self, trees):
        """Take the booster of ``trees`` in."""
        condition = np.zeros(len(trees.left), dtype=np.int64)
        condition[trees.threshold_nodes] = self._conditions.number(trees.threshold_keys())
        numbers, members, features = {}, [], []
        for node, categories in trees.sets.items():
            feature = int(trees.feature[node])
            name = feature, categories.tobytes()
            if name not in numbers:
                numbers[name] = len(numbers)
                features.append(feature)
                members.append(categories)
            condition[node] = -1 - numbers[name]
        features, lengths = np.array(features, dtype=np.int64), [len(categories) for categories in members]
        members = np.concatenate([np.empty(0, dtype=np.float32), *members]).astype(np.float32)
        members = self._categories.number(_keys(np.repeat(features, lengths), members))
        condition = (2 * condition + trees.default_left).astype(np.int32)
        sliced, depth = _compiled().LEVELS, _depths(trees)
        reached = trees.root[:, None]
        nodes = np.zeros((len(depth), (1 << sliced) - 1), dtype=np.int32)
        for level in range(sliced):
            inner = trees.left[reached] >= 0
            nodes[:, (1 << level) - 1:(2 << level) - 1] = np.where(inner, condition[reached], 0)
            reached = np.stack([np.where(inner, trees.left[reached], reached),
                                np.where(inner, trees.right[reached], reached)], axis=2).reshape(len(depth), -1)
        # the number of a leaf has the first level in its lowest bit
        number = np.arange(1 << sliced)
        reached = reached[:, sum(((number >> level) & 1) << (sliced - 1 - level) for level in range(sliced))]
        is_deep = depth > sliced
        kept = len(trees.left) if is_deep.any() else 0
        child = np.stack([trees.left[:kept], trees.right[:kept]], axis=1)
        child = np.where(child < 0, np.arange(kept, dtype=np.int32)[:, None], child).reshape(-1)
        self._boosters.append(_Booster(
            nodes, depth, trees.value[reached], np.where(is_deep, np.cumsum(is_deep) - 1, -1),
            reached[is_deep].astype(np.int32), trees.first_tree, condition[:kept], child, trees.value[:kept],
            trees.base, members, np.cumsum([0, *lengths], dtype=np.int64), features))

    def close(self, features):
        """Return the _Group of what was taken in."""
        ranks, category_ranks = self._conditions.ranks(), self._categories.ranks()
        shared = len(self._conditions.keys)
        for booster in self._boosters:
            for name in ("nodes", "condition"):
                code = getattr(booster, name)
                number = code >> 1
                place = np.where(number >= 0, ranks[np.maximum(number, 0)], shared - 1 - number)
                setattr(booster, name, (2 * place + (code & 1)).astype(np.int32))
            booster.members = category_ranks[booster.members]
        return _Group(*_split(self._conditions.keys, features), *_split(self._categories.keys, features),
                      self._boosters)


def _depths(trees):
    """Return the number of levels of every tree."""
    depth = np.zeros(len(trees.root), dtype=np.int64)
    reached, tree, level = trees.root, np.arange(len(trees.root)), 0
    while True:
        inner = trees.left[reached] >= 0
        reached, tree = reached[inner], tree[inner]
        if not reached.size:
            return depth
        level += 1
        depth[tree] = level
        reached, tree = np.concatenate([trees.left[reached], trees.right[reached]]), np.concatenate([tree, tree])


def _read(xgboost, raw, to_best_iteration):
    """Return the _Trees of UBJ bytes. Raises _NotRepresented, and InputError where the booster is damaged."""
    try:
        model = read_booster(raw)
    except OtherKind as error:
        raise _NotRepresented(str(error)) from error
    learner = model["learner"]
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree":
        raise _NotRepresented(f"a booster of the kind {booster['name']} is not a plain sum of trees")
    forest = booster["model"]
    trees, tree_class = forest["trees"], np.asarray(forest["tree_info"], dtype=np.int64)
    rounds = 0
    if to_best_iteration and _BEST in learner.get("attributes", {}):
        try:
            rounds = int(learner["attributes"][_BEST]) + 1
            number = int(np.asarray(forest["iteration_indptr"])[rounds])
        except (ValueError, KeyError, IndexError) as error:
            raise _NotRepresented(f"its best round is not known ({error})") from error
        trees, tree_class = trees[:number], tree_class[:number]
    features = int(learner["learner_model_param"]["num_feature"])
    return _flatten(trees, tree_class, features, _base_margin(xgboost, model, forest, features), rounds)


def _base_margin(xgboost, model, forest, features):
    """Return the margins before the first tree, float32 (classes,), as XGBoost makes them of the base score.

    XGBoost predicts with the same booster without trees. Empties ``forest``.
    """
    forest.update(trees=[], tree_info=[], iteration_indptr=[0])
    forest["gbtree_model_param"]["num_trees"] = "0"
    # without trees, XGBoost would take a base score that it had estimated for one still to be estimated
    model["learner"]["learner_model_param"]["boost_from_average"] = "0"
    empty = xgboost.Booster({"nthread": 1})
    try:
        empty.load_model(bytearray(json.dumps(model, default=lambda array: array.tolist()), "utf-8"))
        margin = empty.inplace_predict(np.zeros((1, features), dtype=np.float32), predict_type="margin")
    except xgboost.core.XGBoostError as error:
        raise _NotRepresented(f"XGBoost does not tell the base score ({str(error).splitlines()[0]})") from error
    return np.ascontiguousarray(margin, dtype=np.float32).reshape(-1)


def _flatten(trees, tree_class, features, base, rounds):
    """Return the _Trees of checked trees."""
    order = np.argsort(tree_class, kind="stable")
    if not len(trees) or tree_class.max() >= len(base):
        raise _NotRepresented("its trees do not match its classes, or it has none")
    trees = [trees[i] for i in order]
    sizes = np.array([len(tree["left_children"]) for tree in trees])
    root = np.cumsum(sizes) - sizes
    start = np.repeat(root, sizes)
    names = ("left_children", "right_children", "split_indices", "split_conditions", "default_left", "split_type")
    kinds = (np.int64, np.int64, np.int64, np.float32, np.int64, np.int64)
    left, right, feature, value, default_left, split_type = (
        np.concatenate([tree[name] for tree in trees]).astype(kind) for name, kind in zip(names, kinds))
    inner = left >= 0
    left, right = np.where(inner, left + start, -1), np.where(inner, right + start, -1)
    sets = {}
    for tree, first in zip(trees, root.tolist()):
        categories = tree["categories"]
        if not len(categories):
            continue
        for node, begin, number in zip(*(np.asarray(tree[f"categories_{name}"]).tolist()
                                         for name in ("nodes", "segments", "sizes"))):
            # a leaf that pruning made of a split keeps its categories
            if inner[first + node]:
                sets[first + node] = categories[begin:begin + number]
    return _Trees(features, base, np.searchsorted(tree_class[order], np.arange(len(base) + 1)), root,
                  left.astype(np.int32), right.astype(np.int32), feature.astype(np.int32), value,
                  (default_left != 0).astype(np.int64), sets, rounds)


def _compare(xgboost, raw, trees, features):
    """Raise _NotRepresented where XGBoost gives other margins than the arrays made of ``trees``.

    The rows hold the booster's own thresholds, their lower neighbours, its categories and missing values.
    """
    alone = _Shared()
    alone.add(trees)
    group = alone.close(features)
    rng = np.random.default_rng(0)
    x = np.full((512, features), np.nan, dtype=np.float32)
    for feature in range(features):
        own = group.thresholds[group.first_threshold[feature]:group.first_threshold[feature + 1]]
        sets = group.categories[group.first_category[feature]:group.first_category[feature + 1]]
        candidates = np.concatenate([own, np.nextafter(own, np.float32(-np.inf)), sets])
        if candidates.size:
            x[:, feature] = rng.choice(candidates, len(x))
    x[rng.random(x.shape) < 0.05] = np.nan
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(raw))
    except xgboost.core.XGBoostError as error:
        raise InputError(f"A booster is damaged: xgboost {xgboost.__version__} does not read it "
                         f"({str(error).splitlines()[0][:200]}).") from error
    theirs = booster.inplace_predict(x, predict_type="margin", missing=np.nan, iteration_range=(0, trees.rounds))
    ours = TreeEnsemble(features, len(trees.base), (group,)).margins(x)[0]
    if not np.array_equal(ours, theirs.reshape(ours.shape)):
        raise _NotRepresented(f"xgboost {xgboost.__version__} gives other margins than the fast predictor")
