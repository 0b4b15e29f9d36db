"""Tool: conceptual Permafrost Thaw Index."""

from ..core.common import tables
from ..core.index.pti import build_pti
from .base import PtiAlgorithm
from .exclusion_input import add_exclusion, codes_text, exclusion_inputs, left_out_classes
from .groups import INDEX
from .index_input import add_index_options, add_trends, index_options
from .product_input import add_products_of_roles, add_units, products_of, table_input

ROLES = ("MAGT", "MAGT_TREND", "ALT_TREND", "PP", "BASE")


class BuildPti(PtiAlgorithm):
    """Thin wrapper of core.index.pti.build_pti."""

    ID = "buildpti"
    TITLE = "Permafrost Thaw Index (PTI)"
    GROUP = INDEX
    TAGS = ("index", "rank", "thaw", "vulnerability", "magt", "alt")
    SHORT = "Builds the two-tier Permafrost Thaw Index of ten ranks."
    HELP = ("Tier 1 is the ground temperature (cold below -3 °C, cool to -1.5 °C, warm to 3 °C), tier 2 the number of "
            "significant positive trends of MAGT and ALT. PP below 10 % on the base map is rank 40; MAGT above 3 °C is "
            "excluded. Water and glaciers are left out where EXCLUDE, a land cover, says so. OUTPUT_REASON says for "
            "every cell why it has its rank, or none. Areas are true ground areas in any CRS.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_raster("MAGT", "Mean annual ground temperature", "°C, of the ensemble.")
        add_trends(self)
        self.add_raster("PP", "Permafrost percent", "%, of the ensemble.")
        self.add_raster("BASE", "Permafrost base map", "1 permafrost, 0 none.")
        add_exclusion(self, "Cells of the classes EXCLUDE_CODES get no rank, and a reason code of their own.")
        self.add_target()
        self.add_profile()
        add_index_options(self)
        add_products_of_roles(self)
        add_units(self)
        self.add_settings()
        self.add_raster_output("OUTPUT", "Permafrost Thaw Index", "Ranks 11 to 40, 0 nodata.")
        self.add_raster_output("OUTPUT_REASON", "Reason codes", "Why each cell has its rank, or none.", optional=True)
        self.add_file_output("OUTPUT_TABLE", "Area by rank", "CSV: cells, true area, share, PP-weighted area by rank.",
                             "CSV (*.csv)", optional=True)

    def compute(self, parameters, context, progress):
        """Build the index."""
        paths = {role: self.raster_path(parameters, role, context) for role in ROLES}
        left_out = left_out_classes(self, parameters, context)
        inputs = [*paths.items(), *exclusion_inputs(left_out), *self.target_input(parameters, context),
                  *table_input(self, parameters, context)]
        outputs = {name: self.output_path(parameters, name, context) for name in ("OUTPUT", "OUTPUT_REASON")}
        outputs["OUTPUT_TABLE"] = self.file_output_path(parameters, "OUTPUT_TABLE", context)
        profile = self.profile(parameters, context)
        options = index_options(self, parameters, context, profile=profile, left_out=left_out,
                                **products_of(self, parameters, context))
        with self.staging(inputs, outputs, progress) as staging:
            result = build_pti(paths, {"pti": outputs["OUTPUT"], "reason": outputs["OUTPUT_REASON"]}, staging, progress,
                               options, self.target_grid(parameters, context), self.settings(parameters, context))
            for row in result["table"]:
                progress.info(f"{row['label']}: {row['area_km2']:,.0f} km² ({row['share_percent']:.2f} %)")
            if outputs["OUTPUT_TABLE"]:
                staging.write_text(outputs["OUTPUT_TABLE"], tables.to_csv(result["table"]))
            return self.finish(staging, parameters, context, progress, inputs, outputs, profile, results=result,
                               choices={"EXCLUDE_CODES": codes_text(left_out),
                                        "report_untestable_trend": profile.report_untestable_trend})
