"""Tool: slope in true metres."""

from ..core.ensembles.topography import ELEVATION_LIMITS, UNITS, SlopeOptions, slope
from .base import PtiAlgorithm
from .groups import DATASET
from .product_input import add_product, add_units, products_of, table_input

OUTPUTS = {"slope": "OUTPUT", "elevation": "OUTPUT_ELEVATION"}


class Slope(PtiAlgorithm):
    """Thin wrapper of core.ensembles.topography.slope."""

    ID = "slope"
    TITLE = "Slope in true metres"
    GROUP = DATASET
    TAGS = ("slope", "dem", "elevation", "topography", "terrain", "horn")
    SHORT = "Computes slope from an elevation model on any grid, in metres on the ground."
    HELP = ("Other slope tools take the cells of a projection, or degrees, for metres: at 60 degrees north a grid of "
            "longitudes doubles slopes to the east. Here the differences between a cell and its neighbours (Horn's, 3 "
            "by 3 cells) are divided by their length on the ellipsoid, so that grids in degrees, in polar "
            "stereographic and in equal-area projections give the same slope. The paper takes it from the 1 km "
            "elevation: with TARGET the elevation is averaged to the target grid first, and slope is computed there. "
            "At the edge of the elevation and beside nodata, differences are taken from the neighbours that are there "
            "(one-sided, exact on a plane); a cell without a neighbour in a direction is nodata. Elevation models that "
            "hold the sea floor, such as ETOPO, need MIN_ELEVATION. Other units of length are converted where the file "
            "declares them or UNITS states them; elevations outside -12,000 to 9,000 m are refused.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_raster("INPUT", "Elevation", "One band of elevation in metres, on any grid.")
        self.add_target()
        self.add_choice("UNIT", "Unit of the slope", "degrees: the angle, 0 to 90. percent: rise over run, 45 degrees "
                        "are 100 %.", UNITS)
        self.add_number("MIN_ELEVATION", "Lowest elevation of land (m)", "Cells of the input below it are sea floor "
                        "and become nodata before anything is averaged; 0 cuts off the sea, but also land below sea "
                        "level. -12000 for no limit.", ELEVATION_LIMITS[0], *ELEVATION_LIMITS)
        add_product(self, advanced=True)
        add_units(self)
        self.add_settings()
        self.add_raster_output("OUTPUT", "Slope", "Degrees or percent.")
        self.add_raster_output("OUTPUT_ELEVATION", "Elevation on the same grid", "The elevation that the slope is "
                               "taken from, m.", optional=True)

    def compute(self, parameters, context, progress):
        """Make the slope."""
        path = self.raster_path(parameters, "INPUT", context)
        inputs = [("INPUT", path), *self.target_input(parameters, context), *table_input(self, parameters, context)]
        outputs = {name: self.output_path(parameters, name, context) for name in OUTPUTS.values()}
        options = SlopeOptions(UNITS[self.parameterAsEnum(parameters, "UNIT", context)],
                               self.parameterAsDouble(parameters, "MIN_ELEVATION", context),
                               **products_of(self, parameters, context))
        with self.staging(inputs, outputs, progress) as staging:
            result = slope(path, {key: outputs[name] for key, name in OUTPUTS.items()}, staging, progress, options,
                           self.target_grid(parameters, context), self.settings(parameters, context))
            return self.finish(staging, parameters, context, progress, inputs, outputs, results=result)
