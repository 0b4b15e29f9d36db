"""Tool: ensemble of permafrost products."""

from ..core.permafrost import EnsembleOptions, ensemble_permafrost
from .base import UNITS_HELP, PtiAlgorithm
from .groups import ENSEMBLES

OUTPUTS = {"base": "OUTPUT_BASE", "pp": "OUTPUT_PP", "magt": "OUTPUT_MAGT", "count": "OUTPUT_COUNT",
           "spread": "OUTPUT_SPREAD"}


class EnsemblePermafrost(PtiAlgorithm):
    """Thin wrapper of core.permafrost.ensemble_permafrost."""

    ID = "ensemblepermafrost"
    TITLE = "Ensemble of permafrost maps"
    GROUP = ENSEMBLES
    TAGS = ("ensemble", "median", "magt", "ground temperature", "permafrost percent", "obu", "cci", "nieer")
    SHORT = "Combines permafrost products into a base map, permafrost percent and ground temperature."
    HELP = ("The base map is 1 where at least MIN_PRODUCTS of the PP products exceed 0 %. PP is their median on the "
            "base map, MAGT the median of the temperature products. Products are matched by role, never by order; "
            "their spread and number are outputs. Fractions and Kelvin are converted where the file declares them or "
            "UNITS says so, and refused where they only look like it.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_rasters("PP", "Permafrost percent products (PP)",
                         "Two or more rasters of permafrost percent or probability, 0 to 100 %.", minimum=2)
        self.add_rasters("MAGT", "Ground temperature products (MAGT)",
                         "Two or more rasters of mean annual ground temperature in °C.", minimum=2)
        self.add_target()
        self.add_text("UNITS", "Units of the products (name=unit; …)", UNITS_HELP)
        self.add_text("ABSENT", "PP products whose nodata means 'no permafrost'",
                      "File names or patterns, separated by semicolons (* for all). In these products a cell without "
                      "data counts as 0 % wherever another product has a value, as in Permafrost_CCI and the Obu map.")
        self.add_integer("MIN_PRODUCTS", "PP products needed for permafrost",
                         "A cell is permafrost where at least so many products exceed 0 %.", 2, 1, advanced=True)
        self.add_integer("MIN_MAGT", "MAGT products needed",
                         "A cell has a MAGT where at least so many products have one.", 2, 1, advanced=True)
        self.add_number("MIN_LATITUDE", "Southern limit (degrees north)",
                        "Cells whose centre lies south of it are nodata; the paper maps the land north of 45. -90 for "
                        "no limit.", -90.0, -90.0, 90.0, advanced=True)
        self.add_settings()
        self.add_raster_output("OUTPUT_BASE", "Permafrost base map", "1 permafrost, 0 land without, 255 nodata.")
        self.add_raster_output("OUTPUT_PP", "Permafrost percent", "Median PP on the base map, %.")
        self.add_raster_output("OUTPUT_MAGT", "Mean annual ground temperature", "Median MAGT, °C.")
        self.add_raster_output("OUTPUT_COUNT", "Number of products", "Band 1 PP products, band 2 MAGT products.",
                               optional=True)
        self.add_raster_output("OUTPUT_SPREAD", "Spread of the products",
                               "Largest minus smallest product: band 1 PP in %, band 2 MAGT in °C.", optional=True)

    def compute(self, parameters, context, progress):
        """Run the ensemble."""
        percent = self.raster_paths(parameters, "PP", context)
        temperature = self.raster_paths(parameters, "MAGT", context)
        inputs = [("PP", path) for path in percent] + [("MAGT", path) for path in temperature]
        inputs += self.target_input(parameters, context)
        outputs = {name: self.output_path(parameters, name, context) for name in OUTPUTS.values()}
        options = EnsembleOptions(
            self.parameterAsInt(parameters, "MIN_PRODUCTS", context),
            self.parameterAsInt(parameters, "MIN_MAGT", context),
            self.parameterAsDouble(parameters, "MIN_LATITUDE", context),
            self.parameterAsString(parameters, "UNITS", context),
            self.parameterAsString(parameters, "ABSENT", context))
        with self.staging(inputs) as staging:
            result = ensemble_permafrost(
                percent, temperature, {key: outputs[name] for key, name in OUTPUTS.items()}, staging, progress, options,
                self.target_grid(parameters, context), self.settings(parameters, context))
            progress.info(f"Permafrost on the base map: {result['area_km2']:,.0f} km².")
            return self.finish(staging, parameters, context, progress, inputs, outputs, results=result)
