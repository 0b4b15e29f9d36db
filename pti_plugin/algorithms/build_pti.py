"""Tool: conceptual Permafrost Thaw Index."""

from ..core import tables
from ..core.pti import PtiOptions, build_pti
from .base import UNITS_HELP, PtiAlgorithm
from .groups import INDEX

ROLES = ("MAGT", "MAGT_TREND", "ALT_TREND", "PP", "BASE")


class BuildPti(PtiAlgorithm):
    """Thin wrapper of core.pti.build_pti."""

    ID = "buildpti"
    TITLE = "Permafrost Thaw Index (PTI)"
    GROUP = INDEX
    TAGS = ("index", "rank", "thaw", "vulnerability", "magt", "alt")
    SHORT = "Builds the two-tier Permafrost Thaw Index of ten ranks."
    HELP = ("Tier 1 is the ground temperature (cold below -3 °C, cool to -1.5 °C, warm to 3 °C), tier 2 the number of "
            "significant positive trends of MAGT and ALT. PP below 10 % on the base map is rank 40; MAGT above 3 °C is "
            "excluded. OUTPUT_REASON says for every cell why it has its rank, or none. Areas are true ground areas in "
            "any CRS.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_raster("MAGT", "Mean annual ground temperature", "°C, of the ensemble.")
        self.add_raster("MAGT_TREND", "MAGT trend (significant sign)",
                        "Significant-sign raster (-1, 0, 1) of the trend tool for MAGT.")
        self.add_raster("ALT_TREND", "ALT trend (significant sign)",
                        "Significant-sign raster (-1, 0, 1) of the trend tool for the active layer thickness.")
        self.add_raster("PP", "Permafrost percent", "%, of the ensemble.")
        self.add_raster("BASE", "Permafrost base map", "1 permafrost, 0 none.")
        self.add_target()
        self.add_profile()
        self.add_number("COLD", "Cold below (°C)", "Upper limit of cold permafrost, open.", -3.0, advanced=True)
        self.add_number("COOL", "Cool up to (°C)", "Upper limit of cool permafrost, closed.", -1.5, advanced=True)
        self.add_number("WARM", "Warm up to (°C)", "Warmer cells are no permafrost and excluded.", 3.0, advanced=True)
        self.add_number("ISOLATED", "Isolated patches below (% PP)", "PP below it is rank 40.", 10.0, 0, 100,
                        advanced=True)
        self.add_choice("UNTESTABLE", "A trend that could not be tested",
                        "Counts as no positive trend (with a reason code of its own), or leaves the cell unranked.",
                        ("counts as no positive trend", "leaves the cell without a rank"), advanced=True)
        self.add_choice("ISOLATED_MAGT", "Rank 40 where MAGT is missing",
                        "Rank 40 rests on PP alone; choose nodata to ask for a MAGT as well.",
                        ("rank 40", "nodata"), advanced=True)
        self.add_text("UNITS", "Units of the layers (name=unit; …)", UNITS_HELP, advanced=True)
        self.add_settings()
        self.add_raster_output("OUTPUT", "Permafrost Thaw Index", "Ranks 11 to 40, 0 nodata.")
        self.add_raster_output("OUTPUT_REASON", "Reason codes", "Why each cell has its rank, or none.", optional=True)
        self.add_file_output("OUTPUT_TABLE", "Area by rank", "CSV: cells, true area, share, PP-weighted area by rank.",
                             "CSV (*.csv)", optional=True)

    def compute(self, parameters, context, progress):
        """Build the index."""
        paths = {role: self.raster_path(parameters, role, context) for role in ROLES}
        inputs = [*paths.items(), *self.target_input(parameters, context)]
        outputs = {name: self.output_path(parameters, name, context) for name in ("OUTPUT", "OUTPUT_REASON")}
        outputs["OUTPUT_TABLE"] = self.file_output_path(parameters, "OUTPUT_TABLE", context)
        profile = self.profile(parameters, context)
        options = PtiOptions(
            *(self.parameterAsDouble(parameters, name, context) for name in ("COLD", "COOL", "WARM", "ISOLATED")),
            isolated_needs_magt=self.parameterAsEnum(parameters, "ISOLATED_MAGT", context) == 1,
            untestable_is_nodata=self.parameterAsEnum(parameters, "UNTESTABLE", context) == 1, profile=profile,
            units=self.parameterAsString(parameters, "UNITS", context))
        with self.staging(inputs) as staging:
            result = build_pti(paths, {"pti": outputs["OUTPUT"], "reason": outputs["OUTPUT_REASON"]}, staging, progress,
                               options, self.target_grid(parameters, context), self.settings(parameters, context))
            for row in result["table"]:
                progress.info(f"{row['label']}: {row['area_km2']:,.0f} km² ({row['share_percent']:.2f} %)")
            if outputs["OUTPUT_TABLE"]:
                staging.write_text(outputs["OUTPUT_TABLE"], tables.to_csv(result["table"]))
            return self.finish(staging, parameters, context, progress, inputs, outputs, profile, results=result)
