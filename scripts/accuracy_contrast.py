"""Two reasons why an accuracy of 92 % and one of 57 % can belong to the same map, shown on data made for it.

Usage: python scripts/accuracy_contrast.py [--samples N] [--runs N] [--rounds N] [--page FILE]

Writes the table of docs/accuracy.md. The first set of samples has noise planted in its labels, so the accuracy that
can be attained is known; the ensemble's vote is scored on points held out and on its own points. The second has
smooth predictors and smooth ranks that know nothing of each other; random folds are set against folds in the order of
location and against spatial blocks. Everything is seeded.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from learning_data import autocorrelated, planted  # noqa: E402
from pti_plugin.core.common.packages import require  # noqa: E402
from pti_plugin.core.common.progress import Progress  # noqa: E402
from pti_plugin.core.ensembles.features import PREDICTORS  # noqa: E402
from pti_plugin.core.learning.folds import block_folds, split, stratified_folds  # noqa: E402
from pti_plugin.core.learning.learner import Learner, TrainingOptions  # noqa: E402
from pti_plugin.core.learning.residual_range import correlation_range, correlogram, suggested_block_km  # noqa: E402
from pti_plugin.core.learning.training import Runs, cross_validate  # noqa: E402

#: the number of samples of the paper, and the share of its labels that is exchanged in the first set
SAMPLES, NOISE, DEPTHS = 61_325, 0.35, (6, 9, 12)
#: the second set: half the side of its square, and the distance over which its fields vary, in km; and the rounds of
#: its runs, few enough that the neighbours do not give away everything
HALF_KM, SCALE_KM, NEIGHBOUR_ROUNDS = 2150.0, 600.0, 40
BEGIN, END = "<!-- table of scripts/accuracy_contrast.py -->", "<!-- end of table -->"


def trained(samples, options, fresh=None):
    """Return (labels, Learner, Runs, accuracy of the runs' vote on ``fresh`` Samples or None)."""
    labels = np.searchsorted(np.unique(samples.y), samples.y)
    classes = int(labels.max()) + 1
    learner = Learner(require("xgboost", "the contrast"), samples, labels, classes, options)
    # splits as the paper's: at random, not stratified
    splits = [split(labels, options.test_share, (options.seed, run), False) for run in range(options.runs)]
    runs = Runs(len(labels), classes)
    for (_, test), fit in zip(splits, learner.side_by_side([rows for rows, _ in splits], Progress())):
        runs.add(fit, test)
    return labels, learner, runs, None if fresh is None else _on_fresh(runs, fresh)


def _on_fresh(runs, fresh):
    xgboost = require("xgboost", "the contrast")
    labels = np.searchsorted(np.unique(fresh.y), fresh.y)
    votes = np.zeros((len(labels), int(labels.max()) + 1))
    for raw in runs.boosters:
        booster = xgboost.Booster({"nthread": 2})
        booster.load_model(bytearray(raw))
        votes[np.arange(len(labels)), booster.inplace_predict(fresh.x).argmax(axis=1)] += 1
    return float((votes.argmax(axis=1) == labels).mean())


def voted(runs, labels):
    """Return (out-of-bag vote, in-sample vote, mean hold-out of the runs) as shares."""
    tested = runs.tested()
    return (float((runs.vote()[0] == labels)[tested].mean()), float((runs.in_sample() == labels).mean()),
            float(np.mean(runs.hold_out(labels))))


def table(options, samples):
    """Return the two tables as lines of Markdown."""
    lines = [f"{samples:,} points, 10 ranks, {len(planted(20, 0).features)} predictors, {options.runs} runs of "
             f"{options.rounds} rounds at a learning rate of {options.learning_rate:g}, 80 % / 20 % at random.", "",
             f"**In-sample vote.** {100 * NOISE:.0f} % of the labels exchanged: no classifier can be right more often "
             f"than {100 - 100 * NOISE:.0f} %.", "",
             "| depth of the trees | single run, held out | out-of-bag vote | new points | in-sample vote |",
             "|---|---|---|---|---|"]
    first, fresh = planted(samples, 1, NOISE), planted(20_000, 2, NOISE)
    for depth in DEPTHS:
        labels, _, runs, new = trained(first, replace(options, max_depth=depth), fresh)
        out_of_bag, in_sample, single = voted(runs, labels)
        lines.append(f"| {depth} | {_percent(single)} | {_percent(out_of_bag)} | {_percent(new)} | "
                     f"{_percent(in_sample)} |")
        print(lines[-1], flush=True)
    second = autocorrelated(samples, 3, SCALE_KM, classes=10, features=tuple(PREDICTORS), half_km=HALF_KM)
    # as they come out of a polar raster, row by row
    order = np.argsort((90 - second.latitude) * np.cos(np.radians(second.longitude)), kind="stable")
    second = replace(second, **{name: getattr(second, name)[order] for name in ("x", "y", "longitude", "latitude")})
    labels, learner, runs, _ = trained(second, replace(options, rounds=NEIGHBOUR_ROUNDS))
    chance = runs.chance_of(labels)
    tested = runs.tested()
    reach = correlation_range(correlogram(1 - chance[tested], second.longitude[tested], second.latitude[tested], 1))
    out_of_bag, in_sample, single = voted(runs, labels)
    folds = [("random 5 folds", stratified_folds(labels, options.seed)),
             ("5 folds in the order of location (rows of the map)", stratified_folds(labels))]
    folds += [(f"spatial blocks of {size:g} km", block_folds(second, size, options.seed)[0]) for size in (500,)]
    rows = [("single run, random 20 % held out", single), ("out-of-bag vote", out_of_bag)]
    rows += [(name, float(cross_validate(learner, labels, of_points, Progress()).mean())) for name, of_points in folds]
    rows.append(("in-sample vote", in_sample))
    lines += ["", f"**Neighbours.** Ranks and {len(second.features)} predictors are smooth fields that vary over "
              f"{SCALE_KM:.0f} km and know nothing of each other: away from the points, luck is right in 10 %. "
              f"{NEIGHBOUR_ROUNDS} rounds.", "",
              "| how it is measured | share right |", "|---|---|", *(f"| {name} | {_percent(value)} |"
                                                                     for name, value in rows), "",
              f"The out-of-bag residuals are correlated up to {reach:.0f} km; the blocks they suggest have "
              f"{suggested_block_km(reach):g} km."]
    return lines


def _percent(share):
    return f"{100 * share:.1f} %"


def main():
    """Run and put the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--threads", type=int, default=0, help="0 = all cores")
    parser.add_argument("--page", default=str(ROOT / "docs" / "accuracy.md"))
    given = parser.parse_args()
    page = Path(given.page)
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = table(TrainingOptions(runs=given.runs, rounds=given.rounds, learning_rate=0.3, threads=given.threads),
                  given.samples)
    page.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
