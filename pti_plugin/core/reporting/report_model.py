"""The sections of the report about the learned map: accuracy, areas, coverage, calibration, elimination, importance."""

import re

from ..assessment.accuracy_panel import CALIBRATION, PAPER, TEMPERATURE, UNTEMPERED
from ..common.ranks import BY_CODE
from ..ensembles.features import PREDICTORS
from .figures import (
    accuracy_panel_plot,
    area_estimates_plot,
    calibration_plot,
    confusion_matrix,
    is_in_sample,
    rfecv_curve,
    shap_bars,
)
from .report_page import NUMBER, RANK, TEXT, Column, is_missing
from .report_tables import COVERAGE_LINE

#: products share inputs with each other and with the predictors; method, section 8
SHARED_INPUTS = ("The products are not independent of each other. Permafrost_CCI is driven by MODIS land surface "
                 "temperature and LandCover_CCI, so the importance of land surface temperature, and of land cover, is "
                 "partly built in; NIEER was trained on 1,002 boreholes, so agreement with boreholes is partly built "
                 "in too.")


def accuracy_section(report, metrics_rows, confusion, sources):
    """Add the accuracy panel with an explanation of its gaps, and the confusion matrix."""
    report.section("Accuracy of the learned map")
    if not metrics_rows and confusion is None:
        report.paragraph("No accuracy was given: either no model was trained, or its metrics were not passed on.")
        return
    if metrics_rows:
        report.paragraph("Each line answers another question; none alone is the accuracy of the map.")
        report.table([Column("line", "Measure"), Column("value", "Value", "%", 2),
                      Column("interval", "95 % interval", "%", kind=NUMBER), Column("n", "n", "", 0),
                      Column("meaning", "What it says")],
                     [dict(row, interval=interval_text(row)) for row in metrics_rows], "Accuracy panel",
                     source=sources.get("metrics"), muted=is_in_sample,
                     note="Lines in italics on grey are in-sample: shown for comparison, not an accuracy.")
        for sentence in _gaps(metrics_rows):
            report.paragraph(sentence)
        drawn = [row for row in metrics_rows if not is_missing(row.get("value"))]
        if drawn:
            report.figure(accuracy_panel_plot(drawn),
                          "The lines of the panel side by side; hollow and grey: in-sample, not an accuracy.",
                          "Dots with intervals for every line of the panel; the numbers are in the table before.",
                          sources.get("metrics"))
    if confusion is not None:
        labels, matrix = confusion
        report.table([Column("classified", "Classified", kind=TEXT),
                      *(Column(str(label), str(label), "", 0) for label in labels)],
                     [{"classified": str(label), **{str(name): int(count) for name, count in zip(labels, row)}}
                      for label, row in zip(labels, matrix)],
                     "Confusion matrix, out-of-bag votes (points): rows classified, columns reference",
                     source=sources.get("confusion"))
        report.figure(confusion_matrix(matrix, labels),
                      "Confusion matrix: rows are what the map says, columns what the reference says.",
                      "Confusion matrix with its counts; the numbers are in the table before.",
                      sources.get("confusion"))


def _gaps(rows):
    """Return sentences that explain the gaps between the lines of the panel, in percentage points."""
    def value(*words):
        return next((row["value"] for row in rows if not is_missing(row.get("value"))
                     and all(word in str(row["line"]).lower() for word in words)), None)

    vote, blocks, folds, cells = (value("out-of-bag", "vote"), value("spatial-block"), value("random"),
                                  value("wall to wall"))
    sample = next((row["value"] for row in rows if is_in_sample(row) and not is_missing(row.get("value"))), None)
    sentences = []
    if None not in (blocks, folds):
        sentences.append(f"Spatial-block cross-validation lies {_points(blocks - folds)} the random one. Random folds "
                         f"leave near neighbours of every point they test in the training part, and neighbours are "
                         f"alike; blocks take them out. Away from the samples expect the line of the blocks.")
    if None not in (sample, vote):
        sentences.append(f"The vote on its own sample lies {_points(sample - vote)} the out-of-bag vote: it asks about "
                         f"points that trained most of the models, which then remember them.")
    if None not in (cells, vote):
        sentences.append(f"Wall to wall the agreement lies {_points(cells - vote)} the out-of-bag vote. It counts "
                         f"every cell by its area, so that common ranks weigh more than among samples drawn by rank, "
                         f"and it measures the smoothed map.")
    return sentences + ["The paper's two figures, 57 % in cross-validation and 91.79 % for the final map, differ for "
                        "one of the same two reasons: a vote on the sample itself, or neighbours in both parts of a "
                        "random split."]


def _points(difference):
    return f"{abs(difference):.2f} points {'above' if difference >= 0 else 'below'}"


def calibration_section(report, calibration_rows, sources):
    """Add how often the ensemble is right against how probable it holds its class, before and after calibration."""
    report.section("How far to trust its probabilities")
    if not calibration_rows:
        report.paragraph("No calibration was given.")
        return
    report.paragraph("Points are gathered by how probable the ensemble holds the class it votes for, asking only runs "
                     "that did not train on them. A probability can be believed where as many of its points are right "
                     "as it promises.")
    before, tempered = ([row for row in calibration_rows if row.get("section") == name]
                        for name in (UNTEMPERED, TEMPERATURE))
    rows = [row for row in calibration_rows if row.get("section", CALIBRATION) == CALIBRATION]
    for row in tempered:
        report.paragraph(f"The probabilities are calibrated with a temperature of {row['value']:.3g}. {row['meaning']}")
    report.table([Column("line", "Bin"), Column("expected", "Promised", "%", 1), Column("value", "Right", "%", 1),
                  Column("interval", "95 % interval", "%", kind=NUMBER), Column("n", "n", "", 0)],
                 [dict(row, interval=interval_text(row)) for row in rows],
                 "Calibration" + (" of the probabilities as the map gives them" if before else ""),
                 source=sources.get("metrics"))
    if before:
        report.table([Column("line", "Bin"), Column("expected", "Promised", "%", 1), Column("value", "Right", "%", 1),
                      Column("n", "n", "", 0)], before, "Calibration before: the plain means of the runs",
                     source=sources.get("metrics"))
    report.figure(calibration_plot(rows, before),
                  "Share of points that are right against the mean probability of the class voted for, with 95 % "
                  "intervals; the bars below count the points."
                  + (" Orange diamonds: the same before the calibration." if before else ""),
                  "Dots along a diagonal, with bars of the numbers of points below; the numbers are in the table "
                  "before.", sources.get("metrics"))


def area_comparison_section(report, rows, sources):
    """Add the areas of the predicted map beside those of the conceptual index, where they were compared."""
    if not rows:
        return
    report.section("Areas by rank: conceptual and predicted")
    report.paragraph("A map counts its errors into its areas. The corrected area deals the area predicted as each rank "
                     "out to the ranks that the conceptual index has there (Olofsson et al. 2014); the index is known "
                     "everywhere, so this is a census without sampling intervals. Where the map covers nothing but "
                     "cells with a rank in the index, the corrected areas are the index's own.")
    by_line = {row["line"]: row for row in rows}
    for row in rows:
        if row["unit"] == "%":
            line = str(row["line"])
            report.paragraph(f"{line[:1].upper()}{line[1:]}: {row['value']:.2f} %. {row['meaning']}")
    shown = []
    for code, rank in BY_CODE.items():
        conceptual, predicted, adjusted = (by_line.get(f"{kind} area of rank {code}", {}).get("value")
                                           for kind in ("conceptual", "predicted", "adjusted"))
        if conceptual is not None:
            shown.append({"rank": code, "conceptual": conceptual, "predicted": predicted, "adjusted": adjusted,
                          "difference": predicted - conceptual, "label": rank.label,
                          "percent": 100 * (predicted / conceptual - 1) if conceptual else None})
    report.table([Column("rank", "Rank", kind=RANK), Column("conceptual", "Conceptual", "km²", 0),
                  Column("predicted", "Predicted", "km²", 0), Column("difference", "Difference", "km²", 0),
                  Column("percent", "Difference", "%", 1), Column("adjusted", "Corrected", "km²", 0)], shown,
                 "Area by rank of the conceptual index and of the predicted map", source=sources.get("metrics"),
                 note="Conceptual and predicted areas are those of the cells that have a rank in both; the corrected "
                      "area is that of the whole map.")
    report.figure(area_estimates_plot([{"label": row["label"], "mapped": row["predicted"] / 1e6, "area": row[
        "conceptual"] / 1e6, "low": None, "high": None} for row in shown], "million km²", ("predicted", "conceptual")),
                  "Predicted area of each rank (bars) and its area in the conceptual index (dots).",
                  "Bars of the predicted area by rank with dots of the conceptual area; the numbers are in the table "
                  "before.", sources.get("metrics"))


def coverage_section(report, rows, sources):
    """Add what becomes of the ranked cells, by rank and by latitude, where it was counted."""
    if not rows:
        return
    report.section("Coverage: what becomes of the ranked cells")
    lines = {}
    for row in rows:
        kind, rank, latitude = re.fullmatch(COVERAGE_LINE, row["line"]).groups()
        lines.setdefault((rank, latitude), {})[kind] = row
    for caption, chosen, title in (
            ("Coverage by rank", [key for key in lines if key[1] == "all"], "Rank"),
            ("Coverage by latitude", [key for key in lines if key[0] == "all"], "Latitude")):
        shown = [{"what": key[0] if title == "Rank" else key[1],
                  **{kind: row["value"] for kind, row in lines[key].items()},
                  "points": lines[key]["sampled"]["n"],
                  "why": lines[key]["not_predicted"]["meaning"] or ""} for key in chosen]
        report.table([Column("what", title, kind=TEXT), Column("ranked", "Ranked", "km²", 0),
                      Column("points", "Training points", "", 0), Column("sampled", "Sampled", "km²", 0),
                      Column("predicted", "Predicted", "km²", 0),
                      Column("incomplete", "of it with a missing predictor", "km²", 0),
                      Column("not_predicted", "Not predicted", "km²", 0), Column("why", "Why not")], shown, caption,
                     source=sources.get("metrics"), total=lambda row: row["what"] == "all",
                     note="Sampled: area of the cells that hold training points. The coverage table of the prediction "
                          "tool has ranks and latitudes together.")


def selection_section(report, selection_rows, sources):
    """Add the curve of accuracy against the number of predictors."""
    report.section("How many predictors are worth having")
    if not selection_rows:
        report.paragraph("No feature elimination was given: the model was trained on all predictors it got.")
        return
    ours = [row for row in selection_rows if row.get("source") != PAPER]
    paper = next((row for row in selection_rows if row.get("source") == PAPER), None)
    chosen = next(row for row in ours if row["chosen"])
    sentence = (f"Recursive feature elimination keeps {chosen['features']:g} predictors, with a cross-validated "
                f"accuracy of {chosen['mean_accuracy']:.2f} %.")
    if paper is not None:
        sentence += f" The paper kept {paper['features']:g}, with {paper['mean_accuracy']:g} %."
    report.paragraph(sentence + " The accuracy that chose the predictors is no test of the model: the accuracy panel "
                                "is.")
    report.table([Column("features", "Predictors", "", 0), Column("mean_accuracy", "Accuracy", "%", 2),
                  Column("sd_accuracy", "Standard deviation", "points", 2), Column("dropped_next", "Dropped next"),
                  Column("mark", "Note", "", None, TEXT)],
                 [dict(row, mark=_selection_mark(row)) for row in selection_rows], "Elimination of the predictors",
                 source=sources.get("selection"), muted=lambda row: row.get("source") == PAPER,
                 total=lambda row: row.get("source") != PAPER and row["chosen"],
                 note="The standard deviation is that among the folds, in percentage points.")
    report.figure(rfecv_curve(ours, paper),
                  "Cross-validated accuracy against the number of predictors left; ring: chosen"
                  + ("." if paper is None else ", diamond: the paper."),
                  "Curve of accuracy by number of predictors; the numbers are in the table before.",
                  sources.get("selection"))


def _selection_mark(row):
    return "the paper" if row.get("source") == PAPER else "chosen" if row["chosen"] else ""


def importance_section(report, shap_rows, sources):
    """Add what the model looks at, with what of it is built in."""
    report.section("What the model looks at")
    if not shap_rows:
        report.paragraph("No predictor importance was given.")
        return
    rows = [dict(row, name=predictor_title(row["name"])) for row in sorted(shap_rows, key=lambda row: -row["shap"])]
    gains = [row.get("gain") for row in rows]
    gains = None if any(gain is None for gain in gains) else gains
    columns = [Column("name", "Predictor"), Column("group", "Group"), Column("shap", "Mean |SHAP|", "log-odds", 4),
               Column("share", "Share of it", "%", 1), Column("gain", "Gain", "%", 1)]
    report.table([column for column in columns if any(row.get(column.key) is not None for row in rows)], rows,
                 "Importance of the predictors, largest first", source=sources.get("shap"),
                 note="Mean |SHAP| over ranks and held-out points, in units of the class margin; gain is the share of "
                      "the loss that splits on the predictor take away.")
    report.paragraph(SHARED_INPUTS)
    report.figure(shap_bars([row["name"] for row in rows], [row["group"] for row in rows],
                            [row["shap"] for row in rows], gains),
                  "Importance of the predictors, coloured by group.",
                  "Bars of predictor importance; the numbers are in the table before.", sources.get("shap"))


def predictor_title(name):
    """Return the title of a predictor of the method; other names as they are."""
    known = PREDICTORS.get(str(name).lower())
    return known.title if known else str(name)


def interval_text(row):
    """Return "low to high" of a row to two decimals, or '' where it has not both."""
    if is_missing(row.get("low")) or is_missing(row.get("high")):
        return ""
    return f"{row['low']:.2f} to {row['high']:.2f}".replace("-", "\u2212")
