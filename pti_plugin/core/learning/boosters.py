"""The strict reader of boosters: XGBoost gets none to see that has not passed here.

XGBoost trusts its models. A tree whose nodes point elsewhere, or counts that do not agree, end the process or keep it
busy for ever, so everything that XGBoost follows is checked: nodes, features, classes, categories, rounds. A booster
that is well formed but no sum of trees with one value a leaf is OtherKind; XGBoost may have it, and no model file
holds one.
"""

from __future__ import annotations

import json
import re

import numpy as np

from ..common import schema
from ..common.errors import InputError
from ..common.schema import Mismatch, listed, named, record, text
from . import ubjson

#: Most levels of a tree. The training tool makes 16 at the most; memory of TreeSHAP grows with the square of it.
MOST_LEVELS = 64
#: bytes that XGBoost may spend on the category sets of a booster: a bit for every category up to the largest of each
MOST_SET_BYTES = 1 << 26
#: categories are float32 to XGBoost, which holds whole numbers only so far
MOST_CATEGORY = 1 << 24
MULTICLASS = "multi:softprob"
#: what XGBoost writes as the parent of a root, by version, and as the feature of a node that pruning has left over
_NO_PARENT, _DELETED = (-1, 2**31 - 1), 2**31 - 1
_KINDS = {"left_children": ("i4",), "right_children": ("i4",), "parents": ("i4",), "split_indices": ("i4", "i8"),
          "split_conditions": ("f4",), "default_left": ("u1",), "split_type": ("u1",), "base_weights": ("f4",),
          "loss_changes": ("f4",), "sum_hessian": ("f4",)}
_SETS = {"categories": ("i4",), "categories_nodes": ("i4",), "categories_segments": ("i8",),
         "categories_sizes": ("i8",)}

_count = text(10, pattern=r"\d{1,10}")
_words = text(1000)
_COUNTS = re.compile(r"\d{1,10}(?:,\d{1,10})*")
_MODEL = record({
    "version": listed(schema.number(0, 999, whole=True), 3, 3),
    "learner": record({
        "learner_model_param": record({"num_class": _count, "num_feature": _count, "base_score": text(20_000)},
                                      {"num_target": text(2, among=("1",)),
                                       "boost_from_average": text(1, among=("0", "1"))}, _words),
        "objective": record({"name": _words}), "gradient_booster": record({"name": _words})},
        {"attributes": named(_words, text(schema.SENTENCE)), "feature_names": listed(text(1000)),
         "feature_types": listed(text(10, among=("q", "c", "float", "int", "i")))})})


class OtherKind(InputError):
    """A booster that only XGBoost itself can evaluate: of another kind than trees with one value a leaf."""


def read_booster(raw):
    """Return what the UBJ bytes of a booster hold (see ubjson.loads), every tree of it checked.

    Raises InputError where it is damaged, OtherKind where it is no gbtree or dart booster with one value a leaf.
    """
    model = ubjson.loads(raw)
    try:
        _MODEL(model, "")
        learner = model["learner"]
        parameters, booster = learner["learner_model_param"], learner["gradient_booster"]
        classes, features = max(1, int(parameters["num_class"])), int(parameters["num_feature"])
        _check_learner(learner, features, classes)
        forest = forest_of(booster)
        trees = len(_check_forest(forest, features, classes))
        if booster["name"] == "dart":
            drops = _numbers(booster.get("weight_drop"), "the weights of the trees")
            if len(drops) != trees or not np.isfinite(drops).all():
                raise Mismatch("the weights of its trees are not one a tree")
    except Mismatch as error:
        raise InputError(f"a booster is damaged: {error}") from None
    return model


def forest_of(booster):
    """Return the trees and what belongs to them, of the gradient_booster of a model; raises OtherKind for no trees."""
    if booster["name"] not in ("gbtree", "dart"):
        raise OtherKind(f"a booster of the kind {booster['name']} is not a plain sum of trees")
    inner = booster if booster["name"] == "gbtree" else booster.get("gbtree")
    if not isinstance(inner, dict) or not isinstance(inner.get("model"), dict):
        raise Mismatch("it holds no trees")
    return inner["model"]


def base_scores(parameters):
    """Return the base score of learner_model_param as a list of floats, one or one a class; raises Mismatch."""
    stated = parameters["base_score"]
    try:
        values = json.loads(stated) if stated.startswith("[") else [float(stated)]
        scores = [float(value) for value in values]
    except (ValueError, TypeError, RecursionError, OverflowError):
        scores = []
    if not scores or not np.isfinite(scores).all():
        raise Mismatch(f"base_score is {schema.shown(stated)}, not a number")
    return scores


def _check_learner(learner, features, classes):
    parameters, objective = learner["learner_model_param"], learner["objective"]
    if not 1 <= features <= 100_000 or classes > 1000:
        raise Mismatch(f"it states {features} features and {classes} classes")
    if len(base_scores(parameters)) not in (1, classes):
        raise Mismatch("base_score has not a number a class")
    stated = objective.get("softmax_multiclass_param")
    if stated is not None:
        record({"num_class": _count}, None, _words)(stated, "softmax_multiclass_param")
    if objective["name"].startswith("multi:") and (stated is None or max(1, int(stated["num_class"])) != classes):
        raise Mismatch("its objective has another number of classes")
    for name in ("feature_names", "feature_types"):
        if len(learner.get(name) or ()) not in (0, features):
            raise Mismatch(f"{name} are not one a feature")


def _check_forest(forest, features, classes):
    """Return the trees of a forest, checked."""
    trees = forest.get("trees")
    if not isinstance(trees, list) or not trees:
        raise Mismatch("it holds no trees")
    if not all(isinstance(tree, dict) and isinstance(tree.get("tree_param"), dict)
               and all(isinstance(value, str) for value in tree["tree_param"].values()) for tree in trees):
        raise Mismatch("a tree states nothing of itself, or no texts")
    if _stated(trees, "size_leaf_vector", "1").max() > 1:
        raise OtherKind("its leaves hold a value for every class")
    record({"num_trees": _count, "num_parallel_tree": _count}, None, _words)(
        forest.get("gbtree_model_param"), "gbtree_model_param")
    parameters = forest["gbtree_model_param"]
    a_round = classes * int(parameters["num_parallel_tree"])
    if int(parameters["num_trees"]) != len(trees) or not a_round or len(trees) % a_round:
        raise Mismatch(f"it holds {len(trees)} trees, which are not what it states")
    of_class = _numbers(forest.get("tree_info"), "tree_info", whole=True)
    if len(of_class) != len(trees) or (of_class < 0).any() or (of_class >= classes).any():
        raise Mismatch("tree_info has not a class a tree")
    if "iteration_indptr" in forest and not np.array_equal(
            _numbers(forest["iteration_indptr"], "iteration_indptr", whole=True),
            np.arange(0, len(trees) + 1, a_round)):
        raise Mismatch("iteration_indptr are not the rounds of its trees")
    cats = forest.get("cats")
    if cats is not None and (not isinstance(cats, dict) or any(
            not isinstance(part, (list, np.ndarray)) or np.any(np.asarray(part, dtype=object) != 0)
            for part in cats.values())):
        raise OtherKind("it recodes categories, which the training tool never does")
    _check_trees(trees, features)
    return trees


def _check_trees(trees, features):
    for place, tree in enumerate(trees):
        # XGBoost puts trees where their number says
        if tree.get("id") != place or isinstance(tree["id"], bool):
            raise Mismatch(f"tree {place} has another number")
    if (_stated(trees, "num_feature") != features).any():
        raise Mismatch("a tree has another number of features")
    sizes = _stated(trees, "num_nodes")
    nodes = {name: _joined(trees, name, kinds, sizes) for name, kinds in _KINDS.items()}
    if (sizes < 1).any():
        raise Mismatch("a tree has no nodes")
    _check_nodes(nodes, sizes, features, _stated(trees, "num_deleted", "0"))
    _check_sets(trees, nodes, sizes)


def _stated(trees, name, absent=""):
    """Return a count that every tree states, int64 (trees,)."""
    given = [tree["tree_param"].get(name, absent) for tree in trees]
    # all at once: a model has hundreds of thousands of trees
    if not all(type(value) is str for value in given) or not _COUNTS.fullmatch(",".join(given)) or (
            "," in "".join(given)):
        raise Mismatch(f"{name} of a tree is no number")
    return np.array([int(value) for value in given], dtype=np.int64)


def _joined(trees, name, kinds, sizes=None):
    """Return the arrays ``name`` of all trees as one, each of one of ``kinds`` and, where given, of its size."""
    parts = [tree.get(name) for tree in trees]
    if set(map(type, parts)) != {np.ndarray} or not {part.dtype for part in parts} <= {
            np.dtype(kind).newbyteorder(order) for kind in kinds for order in "<>"}:
        raise Mismatch(f"{name} of a tree is missing or of another type")
    if sizes is not None and not np.array_equal(np.fromiter(map(len, parts), np.int64, len(parts)), sizes):
        raise Mismatch(f"{name} of a tree has not a value a node")
    joined = np.concatenate(parts)
    return joined.astype(joined.dtype.newbyteorder("="))


def _check_nodes(nodes, sizes, features, deleted):
    """Check the nodes of all trees in one row: that they are trees, and what they decide by."""
    root = np.cumsum(sizes) - sizes
    first, size = np.repeat(root, sizes), np.repeat(sizes, sizes)
    here = np.arange(len(first))
    own = here - first
    left, right, parent = (nodes[name].astype(np.int64) for name in ("left_children", "right_children", "parents"))
    inner = left >= 0
    if ((left < -1) | (right < -1) | (inner != (right >= 0))).any():
        raise Mismatch("a node has one child")
    if (inner & ((left >= size) | (right >= size) | (left <= own) | (right <= own) | (left == right))).any():
        raise Mismatch("a node points outside its tree, or back")
    is_root = own == 0
    if not np.isin(parent[is_root], _NO_PARENT).all() or (~is_root & ((parent < 0) | (parent >= size))).any():
        raise Mismatch("a node has a parent outside its tree")
    above = np.where(is_root, here, first + parent)
    attached = is_root | (inner[above] & ((left[above] == own) | (right[above] == own)))
    for child in (left, right):
        if (parent[first[inner] + child[inner]] != own[inner]).any():
            raise Mismatch("a node is not the child of its parent")
    # what pruning has left over
    feature, split_type = nodes["split_indices"].astype(np.int64), nodes["split_type"]
    marked = feature == _DELETED
    if (attached == marked).any() or (marked & inner).any() or not np.array_equal(
            np.add.reduceat(marked.astype(np.int64), root), deleted):
        raise Mismatch("a node belongs to no tree")
    if (inner & ((feature < 0) | (feature >= features))).any():
        raise Mismatch("a node decides by a feature that is not there")
    if (nodes["default_left"] > 1).any() or (split_type > 1).any():
        raise Mismatch("a node decides in no way that is known")
    values = nodes["split_conditions"]
    if not np.isfinite(values[attached & ~(inner & (split_type == 1))]).all():
        raise Mismatch("a threshold or a leaf is no number")
    for name in ("base_weights", "loss_changes", "sum_hessian"):
        if not np.isfinite(nodes[name][attached]).all():
            raise Mismatch(f"{name} of a node is no number")
    level = root
    for _ in range(MOST_LEVELS + 1):
        level = level[inner[level]]
        if not level.size:
            return
        level = np.concatenate([first[level] + left[level], first[level] + right[level]])
    raise Mismatch(f"a tree has more than {MOST_LEVELS} levels")


def _check_sets(trees, nodes, sizes):
    """Check the sets of categories: one for every node that decides by one, in their order, and none else."""
    codes, owners, begins, lengths = (_joined(trees, name, kinds) for name, kinds in _SETS.items())
    numbers = np.array([len(tree["categories_nodes"]) for tree in trees])
    if any(len(tree[f"categories_{name}"]) != number for name in ("segments", "sizes")
           for tree, number in zip(trees, numbers.tolist())):
        raise Mismatch("the sets of categories of a tree do not agree")
    root = np.cumsum(sizes) - sizes
    if not np.array_equal(np.flatnonzero(nodes["split_type"] == 1), owners + np.repeat(root, numbers)) or (
            owners < 0).any() or (owners >= np.repeat(sizes, numbers)).any():
        raise Mismatch("a set of categories belongs to no node, or a node has none")
    held = np.array([len(tree["categories"]) for tree in trees])
    ends = np.cumsum(lengths)
    if (lengths < 1).any() or (lengths > len(codes)).any() or (ends[-1] if len(ends) else 0) != len(codes):
        raise Mismatch("the sets of categories of a tree do not agree")
    before = np.repeat(np.cumsum(held) - held, numbers)
    if not np.array_equal(begins + before, ends - lengths):
        raise Mismatch("the sets of categories of a tree do not agree")
    if not len(codes):
        return
    if codes.min() < 0 or codes.max() >= MOST_CATEGORY:
        raise Mismatch("a category is out of range")
    if (np.maximum.reduceat(codes, ends - lengths).astype(np.int64) // 8 + 8).sum() > MOST_SET_BYTES:
        raise Mismatch("its sets of categories would take more memory than any training makes")


def largest_categories(model, features):
    """Return the largest category that any set of a checked booster holds, by feature, int64 (features,), −1 for none.
    """
    largest = np.full(features, -1, dtype=np.int64)
    for tree in forest_of(model["learner"]["gradient_booster"])["trees"]:
        if len(tree["categories"]):
            top = np.maximum.reduceat(tree["categories"].astype(np.int64), tree["categories_segments"].astype(np.int64))
            owners = tree["split_indices"][tree["categories_nodes"]].astype(np.int64)
            known = owners < features
            np.maximum.at(largest, owners[known], top[known])
    return largest


def _numbers(values, what, whole=False):
    """Return a list or an array of numbers as an array, int64 where ``whole``."""
    if isinstance(values, list) and all(type(value) in ((int,) if whole else (int, float)) for value in values):
        return np.array(values, dtype=np.int64 if whole else np.float64)
    if isinstance(values, np.ndarray) and (values.dtype.kind in "iu" or not whole):
        return values.astype(np.int64 if whole else np.float64)
    raise Mismatch(f"{what} is missing or of another type")


def check_against(model, names, categorical, classes, categories=None):
    """Check a booster that read_booster gave against what a model file says of it.

    ``names``: booster_names of the features, ``categorical``: which of them are, ``categories``: {place: largest code}
    of the categorical ones, or None. Raises InputError where they differ.
    """
    learner = model["learner"]
    features, objective = int(learner["learner_model_param"]["num_feature"]), learner["objective"]["name"]
    if learner.get("feature_names") != names:
        own = learner.get("feature_names") or ["predictors without names"]
        raise InputError(f"a booster was trained on {', '.join(own[:50])}, but the model names {', '.join(names)}")
    if features != len(names) or objective != MULTICLASS or int(learner["learner_model_param"]["num_class"]) != classes:
        raise InputError(f"a booster is one of {features} features with the objective {schema.shown(objective)}; the "
                         f"model has {len(names)} features and {classes} classes")
    stated = learner.get("feature_types") or ["q"] * features
    if [kind == "c" for kind in stated] != list(categorical):
        raise InputError("a booster takes numbers for categories, or categories for numbers")
    largest = largest_categories(model, features)
    for place, top in enumerate(largest.tolist()):
        if top >= 0 and (not categorical[place] or (categories or {}).get(place, MOST_CATEGORY) < top):
            raise InputError(f"a booster decides by the category {top} of {names[place]}, which the model does not "
                             f"know")


def version_of(model):
    """Return (major, minor) of the XGBoost that wrote a checked booster."""
    return tuple(int(part) for part in model["version"][:2])
