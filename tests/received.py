"""Tables and records as this plugin writes them, to be damaged, and the report that is made of them."""

import json

from pti_plugin.core.assessment.accuracy_panel import accuracy_rows, confusion_of
from pti_plugin.core.common.provenance import SUFFIX
from pti_plugin.core.common.tables import to_csv
from pti_plugin.core.reporting.report import validation_report

#: each would do something where it is not shown as it is
PLANTED = ("[% @user_full_name %]", "$CURRENT_DATE", "<script>alert(1)</script>", '"><img src=x onerror=y>', "$x$",
           r"\frac{1}{2}$a$", "$\\undefined{$", "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "&amp;",
           "100%", "a\\$b", "$", "]]>", "{what.__class__}", "{", "_x")
METRICS = [
    {"section": "accuracy", "line": "out-of-bag vote", "value": 61.5, "low": 60.0, "high": 63.0, "n": 900, "unit": "%",
     "expected": None, "meaning": "of points", "source": "this run"},
    {"section": "confusion", "line": "classified 11, reference 12", "value": 7, "n": 7, "unit": "points"},
    {"section": "confusion", "line": "classified 11, reference 11", "value": 9, "n": 9, "unit": "points"},
    *({"section": name, "line": "probability 0.5 to 0.6", "value": 55.0, "n": 40, "expected": 54.0, "low": 50.0,
       "high": 60.0, "meaning": "x"} for name in ("calibration", "calibration before")),
    {"section": "temperature", "line": "temperature", "value": 0.8, "n": 5, "meaning": "surer"},
    *({"section": "coverage", "line": f"{kind}: rank all, latitude all", "value": 5.0, "n": 3, "unit": "km²",
       "meaning": "x"} for kind in ("ranked", "predicted", "incomplete", "not_predicted", "sampled")),
]
TABLES = {
    "METRICS": METRICS,
    "SHAP": [{"level": "feature", "name": "lst", "group": "thermal", "class": "all", "mean_abs_shap": 0.5,
              "share_percent": 60.0, "gain_share_percent": 50.0},
             {"level": "feature", "name": "soc", "group": "soil", "class": "all", "mean_abs_shap": 0.25,
              "share_percent": 40.0, "gain_share_percent": 50.0},
             {"level": "left_out", "name": "slope", "group": "topography", "class": "all"}],
    "SELECTION": [{"features": 2, "mean_accuracy": 60.0, "sd_accuracy": 1.0, "dropped_next": "soc", "chosen": 1,
                   "source": "this run"},
                  {"features": 1, "mean_accuracy": 50.0, "sd_accuracy": 2.0, "dropped_next": None, "chosen": 0,
                   "source": "this run"}],
    "ZONES": [{"zone": "Whole map", "area_km2": 10.0, "cells": 5, "first_rank": 11, "first_percent": 60.0,
               "cold_percent": 60.0, "area_11_km2": 6.0, "mean_lst": -3.5},
              {"zone": "7", "area_km2": 4.0, "cells": 2, "first_rank": 12, "first_percent": 60.0, "cold_percent": 1.0,
               "area_11_km2": 1.0, "mean_lst": -2.5}],
    "COMPARISON": [{"section": "transition", "item": "x", "from_rank": 11, "to_rank": 0, "cells": 3, "area_km2": 2.5,
                    "share_percent": 50.0, "cells_percent": 40.0}],
    "START_COMPARISON": [
        *({"section": "summary", "item": item, "cells": 3, "area_km2": 2.5, "share_percent": 50.0}
          for item in ("different rank", "higher in second map", "lower in second map")),
        {"section": "runs", "item": "trendrasters: FIRST_YEAR", "first": 1997, "second": 2003}],
}


def written(path, rows):
    columns = list(dict.fromkeys(key for row in rows for key in row))
    path.write_text(to_csv(rows, columns), encoding="utf-8")
    return str(path)


def report_of(learned, **more):
    """The report of tables as the tool makes it."""
    metrics = learned.get("METRICS", [])
    return validation_report(
        metrics_rows=accuracy_rows(metrics), confusion=confusion_of(metrics), map_rows=metrics,
        calibration_rows=[row for row in metrics if row["section"] in ("calibration", "calibration before",
                                                                       "temperature")],
        selection_rows=learned.get("SELECTION"), zone_rows=learned.get("ZONES"),
        comparison_rows=learned.get("COMPARISON"), start_rows=learned.get("START_COMPARISON"),
        shap_rows=[{"name": row["name"], "group": row["group"], "shap": row["mean_abs_shap"],
                    "share": row["share_percent"], "gain": row["gain_share_percent"]}
                   for row in learned.get("SHAP", []) if row["level"] == "feature"], **more)


def a_record(**more):
    return {"tool": "buildpti", "plugin": "PTI", "plugin_version": "0.1", "finished": "2024-01-01T00:00:00+00:00",
            "profile": "defensible", "parameters": {"COLD": -3.0, "COOL": -1.5, "WARM": 3.0, "ISOLATED": 10.0},
            "inputs": [{"role": "PP", "path": "pp.tif", "size_bytes": 1, "sha256": "0" * 64}],
            "outputs": {"OUTPUT": "map.tif"}, "versions": {"numpy": "1"}, "results": {"areas": [{"rank": 11}]},
            "warnings": ["careful"], **more}


def beside(tmp_path, content):
    (tmp_path / "map.tif").write_bytes(b"x")
    (tmp_path / f"map{SUFFIX}").write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return str(tmp_path / "map.tif")
