"""Tool: sample points."""

from qgis.core import QgsProcessingParameterBoolean, QgsProcessingParameterVectorDestination

from ..core.common import tables
from ..core.ensembles.features import read_stack
from ..core.samples.sample_file import check_samples_file, write_samples
from ..core.samples.sampling import SampleOptions, sample_points
from ..core.samples.sampling_rules import override, read_rules, stated
from . import compat
from .base import PtiAlgorithm
from .exclusion_input import add_exclusion, codes_text, exclusion_inputs, left_out_classes
from .groups import LEARNING


class SamplePoints(PtiAlgorithm):
    """Thin wrapper of core.samples.sampling.sample_points."""

    ID = "samplepoints"
    TITLE = "Sample points"
    GROUP = LEARNING
    TAGS = ("samples", "training", "stratified", "random points", "spacing", "minimum distance", "edge", "buffer")
    SHORT = "Draws random points of every PTI rank, a least distance apart and inside the edge of their rank."
    HELP = ("Distances are true ground distances (WGS 84) from cell centre to cell centre, whatever the projection. "
            "The edge of a rank is every cell of another rank or without one, and everything beyond the raster. The "
            "number, spacing and edge buffer of each rank are those of the paper's Table 3 unless RULES or the other "
            "parameters state others. Before it draws, the tool states how many points the ground can hold at all; no "
            "rule is ever relaxed. The table says what was asked, possible and achieved, the distances to the nearest "
            "neighbours, and what limited every rank, with the predictors that the cells left out lack. The points "
            "carry the rank in the field 'pti' and the raw values of all predictors by name, empty where one is "
            "missing, and the layer the area of every rank, all for trainxgboost.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_raster("PTI", "PTI raster", "Ranks to sample, on the grid of the stack.")
        self.add_raster("STACK", "Predictor stack", "Multi-band raster whose band names are the predictors. Cells that "
                        "lack more than MAX_MISSING of them are not drawn.")
        self.add_file("RULES", "Rules by rank", "CSV with the columns rank, samples, spacing_km and edge_buffer_km. "
                      "Empty: the paper's. Ranks without a line are not sampled.", optional=True,
                      filters="CSV (*.csv)")
        add_exclusion(self, "Cells of the classes EXCLUDE_CODES are not drawn and are an edge, like cells without a "
                            "rank.")
        self.add_integer("PER_CLASS", "Samples per rank (-1 = by the rules)", "The same number for all ranks.", -1, -1)
        self.add_number("SPACING", "Spacing (km, -1 = by the rules)", "Least ground distance between two points, the "
                        "same for all ranks; 0 for none.", -1.0, -1.0, 20000.0)
        self.add_number("EDGE_BUFFER", "Edge buffer (km, -1 = by the rules)", "Least ground distance to a cell of "
                        "another rank or without one, the same for all ranks; 0 for none.", -1.0, -1.0, 20000.0)
        self.add(QgsProcessingParameterBoolean("ACROSS", "Spacing across ranks", False),
                 "The spacing holds between points of different ranks too, the larger of the two ranks' spacings.")
        self.add_integer("SEED", "Seed", "Same seed and input give the same points.", 42, 0)
        self.add_profile()
        self.add_max_missing("4 in the profile defensible, 0 in as_published.")
        self.add(QgsProcessingParameterBoolean("STRICT", "Refuse what cannot fit", False),
                 "More points asked for than the ground can hold are an error instead of a warning.", advanced=True)
        self.add_settings()
        self.add(QgsProcessingParameterVectorDestination("OUTPUT", "Sample points", compat.VECTOR_POINT),
                 "Points with the rank (pti), the cell (row, column), the place and a field a predictor. A GeoPackage "
                 "holds the scaling ranges of the predictors itself; other formats have a file beside them.")
        self.add_file_output("OUTPUT_TABLE", "What was asked and achieved", "CSV: a rank a row: asked, the bound, "
                             "achieved, distances to the nearest neighbours, limited by.", "CSV (*.csv)", optional=True)

    def compute(self, parameters, context, progress):
        """Draw the points."""
        pti, stack_path = (self.raster_path(parameters, name, context) for name in ("PTI", "STACK"))
        rules_path = self.parameterAsString(parameters, "RULES", context)
        inputs = [("PTI", pti), ("STACK", stack_path), *([("RULES", rules_path)] if rules_path else [])]
        left_out = left_out_classes(self, parameters, context)
        inputs += exclusion_inputs(left_out)
        rules = override(read_rules(rules_path or None), self.parameterAsInt(parameters, "PER_CLASS", context),
                         self.parameterAsDouble(parameters, "SPACING", context),
                         self.parameterAsDouble(parameters, "EDGE_BUFFER", context))
        asked = stated(rules)
        stack = read_stack(stack_path)
        outputs = {"OUTPUT": self.output_path(parameters, "OUTPUT", context),
                   "OUTPUT_TABLE": self.file_output_path(parameters, "OUTPUT_TABLE", context)}
        profile, most = self.profile(parameters, context), self.parameterAsInt(parameters, "MAX_MISSING", context)
        options = SampleOptions(seed=self.parameterAsInt(parameters, "SEED", context),
                                across=self.parameterAsBool(parameters, "ACROSS", context),
                                strict=self.parameterAsBool(parameters, "STRICT", context),
                                max_missing=profile.max_missing if most < 0 else most, left_out=left_out)
        with self.staging(inputs, outputs, progress) as staging:
            if outputs["OUTPUT"]:
                check_samples_file(outputs["OUTPUT"], stack.features)
            samples, table = sample_points(pti, stack, rules, progress, options, self.settings(parameters, context))
            if outputs["OUTPUT"]:
                write_samples(outputs["OUTPUT"], samples, staging)
            if outputs["OUTPUT_TABLE"]:
                staging.write_text(outputs["OUTPUT_TABLE"], tables.to_csv(table, list(table[0])))
            total = table[-1]
            progress.info(f"{total['achieved']} points of {total['asked']} asked for, the nearest two "
                          f"{total['nearest_km'] or 0:.3f} km apart.")
            return self.finish(staging, parameters, context, progress, inputs, outputs, profile, options.seed,
                               results={"ranks": table, "samples_sha256": samples.checksum()},
                               choices={"PER_CLASS": asked["samples"], "SPACING": asked["spacing_km"],
                                        "EDGE_BUFFER": asked["edge_buffer_km"], "MAX_MISSING": options.max_missing,
                                        "EXCLUDE_CODES": codes_text(left_out)})
