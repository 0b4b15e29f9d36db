"""Takes a multi-class XGBoost booster apart into one booster a class.

TreeSHAP costs by the tree, and the contributions to one class need that class's trees alone: with ten classes a tenth
of the time. The trees stay as they are and in their order, so margins and contributions are the same to the last bit.
"""

import json

import numpy as np

from ..common.errors import InputError
from ..learning.boosters import base_scores, read_booster


def class_boosters(xgboost, raw, check):
    """Yield one Booster a class, each with a single output and one thread, of a gbtree multi:softprob booster.

    ``raw``: UBJ bytes; ``check`` is called between classes and may raise. Raises InputError where the booster is of
    another kind.
    """
    try:
        model = read_booster(raw)
        learner = model["learner"]
        if learner["objective"]["name"] != "multi:softprob" or learner["gradient_booster"]["name"] != "gbtree":
            raise InputError("only a multi:softprob booster of plain trees can be taken apart")
        forest, parameters = learner["gradient_booster"]["model"], learner["learner_model_param"]
        trees, of_class = forest["trees"], np.asarray(forest["tree_info"])
        base, classes = base_scores(parameters), int(parameters["num_class"])
        # its margin is the plain sum of base score and leaves, as a class's margin is
        learner["objective"] = {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}}
        # the base score is given, never to be estimated
        parameters.update(num_class="0", boost_from_average="0")
        for label in range(classes):
            check()
            own = [{**trees[i], "id": number} for number, i in enumerate(np.flatnonzero(of_class == label))]
            forest.update(trees=own, tree_info=[0] * len(own), iteration_indptr=list(range(len(own) + 1)))
            forest["gbtree_model_param"]["num_trees"] = str(len(own))
            parameters["base_score"] = str(base[label if len(base) > 1 else 0])
            booster = xgboost.Booster({"nthread": 1})
            booster.load_model(bytearray(json.dumps(model, default=lambda array: array.tolist()), "utf-8"))
            booster.set_param({"nthread": 1})
            yield booster
    except (KeyError, IndexError, ValueError, TypeError, xgboost.core.XGBoostError) as error:
        raise InputError(f"the booster is not laid out as expected ({type(error).__name__})") from error
