"""Tool: mean over depth."""

from ..core.ensembles.depth_mean import GAPS, DepthOptions, depth_mean
from .base import PtiAlgorithm
from .groups import DATASET
from .product_input import add_product, add_units, products_of, table_input

OUTPUTS = {"mean": "OUTPUT", "thickness": "OUTPUT_THICKNESS"}


class DepthMean(PtiAlgorithm):
    """Thin wrapper of core.ensembles.depth_mean.depth_mean."""

    ID = "depthmean"
    TITLE = "Mean over depth"
    GROUP = DATASET
    TAGS = ("soil", "soilgrids", "depth", "thickness", "weighted mean")
    SHORT = "Averages soil layers over depth, weighted with their thickness."
    HELP = ("Depths are read from the names as SoilGrids writes them (soc_0-5cm_mean, or the names of the bands of one "
            "file), or stated in LAYERS. Layers that overlap or leave a depth out are an error naming it. The result "
            "has the unit of the layers, and layers of SoilGrids come out in g/kg, volume % or g/cm3; the log states "
            "the weight of every layer, how many cells lack a layer, and how many are nodata for that.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_rasters("INPUT", "Layers of one property", "One raster a depth, on one grid, or one raster with a "
                         "band a depth.")
        self.add_text("LAYERS", "Depths of the layers", "Where the names do not tell them: name=top-bottom pairs in "
                      "cm separated by semicolons, such as soc_top.tif=0-30; soc_sub.tif=30-100. Names may hold * "
                      "and ?.")
        self.add_number("DEPTH", "Lower limit (cm, 0 = the deepest layer)", "The mean reaches down to here; a layer "
                        "that goes deeper counts with its part above.", 0.0, 0.0)
        self.add_choice("GAPS", "Cells that lack a layer", "all_layers: they are nodata. layers_there: the mean of the "
                        "layers there, where these make up MIN_THICKNESS of the thickness.", GAPS)
        self.add_number("MIN_THICKNESS", "Share of the thickness a cell needs", "For GAPS layers_there.", 0.5, 0.0, 1.0,
                        advanced=True)
        self.add_number("TOP", "Upper limit (cm)", "The mean begins here.", 0.0, 0.0, advanced=True)
        add_product(self)
        add_units(self)
        self.add_settings()
        self.add_raster_output("OUTPUT", "Mean over depth", "Unit of the layers.")
        self.add_raster_output("OUTPUT_THICKNESS", "Thickness used", "Sum of the weights of every cell, cm.",
                               optional=True)

    def compute(self, parameters, context, progress):
        """Make the mean."""
        layers = self.raster_paths(parameters, "INPUT", context)
        inputs = [("INPUT", path) for path in layers] + table_input(self, parameters, context)
        outputs = {name: self.output_path(parameters, name, context) for name in OUTPUTS.values()}
        options = DepthOptions(
            layers=self.parameterAsString(parameters, "LAYERS", context),
            top=self.parameterAsDouble(parameters, "TOP", context),
            bottom=self.parameterAsDouble(parameters, "DEPTH", context),
            gaps=GAPS[self.parameterAsEnum(parameters, "GAPS", context)],
            min_thickness=self.parameterAsDouble(parameters, "MIN_THICKNESS", context),
            **products_of(self, parameters, context))
        with self.staging(inputs, outputs, progress) as staging:
            result = depth_mean(layers, {key: outputs[name] for key, name in OUTPUTS.items()}, staging, progress,
                                options, self.settings(parameters, context))
            return self.finish(staging, parameters, context, progress, inputs, outputs, results=result,
                               choices={"TOP": max(options.top, min(layer["top_cm"] for layer in result["layers"])),
                                        "DEPTH": options.bottom or max(layer["bottom_cm"]
                                                                       for layer in result["layers"])})
