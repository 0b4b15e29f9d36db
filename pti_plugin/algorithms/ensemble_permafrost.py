"""Tool: ensemble of permafrost products."""

from ..core.ensembles.permafrost import ensemble_permafrost
from .base import PtiAlgorithm
from .groups import ENSEMBLES
from .index_input import add_ensemble_options, add_products, ensemble_options
from .product_input import add_products_of_roles, products_of, table_input

OUTPUTS = {"base": "OUTPUT_BASE", "pp": "OUTPUT_PP", "magt": "OUTPUT_MAGT", "count": "OUTPUT_COUNT",
           "spread": "OUTPUT_SPREAD"}


class EnsemblePermafrost(PtiAlgorithm):
    """Thin wrapper of core.ensembles.permafrost.ensemble_permafrost."""

    ID = "ensemblepermafrost"
    TITLE = "Ensemble of permafrost maps"
    GROUP = ENSEMBLES
    TAGS = ("ensemble", "median", "magt", "ground temperature", "permafrost percent", "obu", "cci", "nieer")
    SHORT = "Combines permafrost products into a base map, permafrost percent and ground temperature."
    HELP = ("The base map is 1 where at least MIN_PRODUCTS of the PP products exceed 0 %. PP is their median on the "
            "base map, MAGT the median of the temperature products. Products are matched by role, never by order; "
            "their spread and number are outputs. Files as published are read by their presets. Fractions and Kelvin "
            "are converted where the file declares them or UNITS says so, and refused where they only look like it.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        add_products(self)
        self.add_target()
        add_ensemble_options(self)
        add_products_of_roles(self)
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
        inputs += self.target_input(parameters, context) + table_input(self, parameters, context)
        outputs = {name: self.output_path(parameters, name, context) for name in OUTPUTS.values()}
        with self.staging(inputs, outputs, progress) as staging:
            result = ensemble_permafrost(
                percent, temperature, {key: outputs[name] for key, name in OUTPUTS.items()}, staging, progress,
                ensemble_options(self, parameters, context, **products_of(self, parameters, context)),
                self.target_grid(parameters, context), self.settings(parameters, context))
            progress.info(f"Permafrost on the base map: {result['area_km2']:,.0f} km².")
            return self.finish(staging, parameters, context, progress, inputs, outputs, results=result)
