"""Values that an expression of a model gives are checked: QGIS checks none, and takes the default for what it cannot
read."""

import numpy as np
import pytest

from support import record_in, write_raster

#: parameter, expression, what is told or the value used
CASES = [
    ("PROFILE", "'as_published'", "PROFILE is 'as_published'; it must be the number of a choice: 0 for defensible, 1 "),
    ("PROFILE", "-1", "PROFILE is -1; it must be the number of a choice"),
    ("PROFILE", "7", "PROFILE is 7; it must be the number of a choice"),
    ("METHOD", "'original'", "METHOD is 'original'; it must be the number of a choice: 0 for original"),
    ("METHOD", "-1", "METHOD is -1; it must be"), ("METHOD", "0.5", "METHOD is 0.5; it must be"),
    ("ALPHA", "'five percent'", "ALPHA is 'five percent'; it must be a number from 0.0001 to 0.5"),
    ("FIRST_YEAR", "'2001 on'", "FIRST_YEAR is '2001 on'; it must be a whole number of at least 0"),
    ("FIRST_YEAR", "-5", "FIRST_YEAR is -5; it must be"), ("FIRST_YEAR", "2000.5", "FIRST_YEAR is 2000.5; it must be"),
    ("FILL", "'no'", "FILL is 'no'; it must be true or false"),
    ("PROFILE", "1", 1), ("PROFILE", "'1'", 1), ("METHOD", "2 - 2", 0), ("ALPHA", "'0.1'", 0.1),
    ("FIRST_YEAR", "'2001'", 2001), ("FILL", "'false'", False), ("FILL", "1 = 1", True),
    # without a value the tool has its default
    ("FIRST_YEAR", "NULL", 0),
]


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Five years of months."""
    values = np.random.default_rng(0).normal(size=(60, 3, 4))
    return write_raster(tmp_path_factory.mktemp("series") / "series.tif", values, dtype="float32",
                        descriptions=[f"{2000 + i // 12}-{i % 12 + 1:02d}" for i in range(60)])


@pytest.mark.parametrize(("name", "expression", "outcome"), CASES)
def test_what_an_expression_gives_is_used_or_refused(provider, series, tmp_path, name, expression, outcome):
    from qgis.core import (
        QgsProcessingContext,
        QgsProcessingFeedback,
        QgsProcessingModelAlgorithm,
        QgsProcessingModelChildAlgorithm,
        QgsProcessingModelChildParameterSource,
        QgsProcessingModelOutput,
    )

    source = QgsProcessingModelChildParameterSource
    model, child = QgsProcessingModelAlgorithm("m", "m", "m"), QgsProcessingModelChildAlgorithm("pti:trendrasters")
    child.setChildId("trend")
    for fixed, value in (("INPUT", [series]), ("PERIOD", 12)):
        child.addParameterSources(fixed, [source.fromStaticValue(value)])
    child.addParameterSources(name, [source.fromExpression(expression)])
    output = QgsProcessingModelOutput("slope", "slope")
    output.setChildId("trend")
    output.setChildOutputName("OUTPUT_SLOPE")
    child.setModelOutputs({"slope": output})
    model.addChildAlgorithm(child)
    feedback = QgsProcessingFeedback(False)
    _, done = model.create().run({"trend:slope": str(tmp_path / "slope.tif")}, QgsProcessingContext(), feedback)
    if isinstance(outcome, str):
        assert not done and outcome in feedback.textLog()
    else:
        assert done and record_in(tmp_path / "slope.provenance.json")["parameters"][name] == outcome


def test_what_a_tool_is_given_by_hand_is_told_in_the_same_words(provider, series):
    from qgis.core import QgsProcessingContext

    for tool, name, value, told in (("trendrasters", "METHOD", "original", "METHOD is 'original'; it must be"),
                                    ("trendrasters", "ALPHA", float("nan"), "ALPHA is nan; it must be a number from"),
                                    ("trainxgboost", "SELECT", "rfvec", "SELECT is 'rfvec'; it must be one of none"),
                                    ("trainxgboost", "RUNS", 0, "RUNS is 0; it must be a whole number from 1 to 1000")):
        algorithm = provider.algorithm(tool).create()
        good, problem = algorithm.checkParameterValues({"INPUT": [series], name: value}, QgsProcessingContext())
        assert not good and problem.startswith(told)
