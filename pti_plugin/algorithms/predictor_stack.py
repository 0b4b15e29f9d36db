"""Tool: predictor stack."""

import os

from ..core.ensembles.features import GROUPS, PREDICTORS
from ..core.learning.predictor_stack import OTHER, SCALINGS, StackOptions, predictor_stack
from .base import PtiAlgorithm
from .groups import DATASET
from .product_input import add_products_of_roles, add_units, products_of, table_input

#: what each role should hold, in the units of the paper
_HELP = {
    "lst": "Mean land surface temperature, 2000 to 2020.",
    "lst_trend": "Significant slope of monthly land surface temperature, 0 where there is none.",
    "frozen_days": "Mean number of days a year frozen in the morning and in the evening.",
    "land_cover": "Codes of the ensemble land cover; stays categorical.",
    "peak_ndvi": "Mean of the annual maximum of NDVI.",
    "sum_ndvi": "Mean of the annual sum of positive NDVI.",
    "ndvi_trend": "Significant slope of 8-day NDVI, 0 where there is none.",
    "snow": "Mean snow cover of snow years, %.",
    "snow_trend": "Significant slope of monthly snow cover, 0 where there is none.",
    "soc": "Soil organic carbon, mean over 0 to 100 cm.",
    "coarse_fragments": "Coarse fragments, mean over 0 to 100 cm.",
    "bulk_density": "Bulk density, mean over 0 to 100 cm.",
    "water_content": "Volumetric water content at 33 kPa, mean over 0 to 100 cm.",
    "peat": "0 none, 50 peat in soil mosaic, 100 peat dominated.",
    "elevation": "Elevation, m.",
    "slope": "Slope of the elevation at the cell size of the stack.",
}


class PredictorStack(PtiAlgorithm):
    """Thin wrapper of core.learning.predictor_stack.predictor_stack."""

    ID = "predictorstack"
    TITLE = "Predictor stack"
    GROUP = DATASET
    TAGS = ("predictors", "stack", "features", "scaling", "normalization", "environmental data")
    SHORT = "Joins predictors by role into one raster, scaled to 0 to 100."
    HELP = ("Bands are named after their roles, and the tools for training and prediction match them by name. Numbers "
            "are scaled by their minimum and maximum over the base map, (x - min) / (max - min) x 100; values beyond, "
            "outside the base map, are clipped. Land cover stays categorical. The ranges and raw units are stored with "
            "the bands and written to OUTPUT_RANGES. A stack for another region or time must be scaled by the same "
            "ranges: give the table, or the trained model, as RANGES. Predictors of your own go under OWN and get a "
            "role in OWN_ROLES; the bands of a raster with several take their names as roles. Values outside the "
            "plausible range of their role stop the run, and so do whole numbers of an unknown file that may be "
            "packed. The log says which predictor is missing on how many cells; MAX_MISSING of the later tools says "
            "how many a cell may lack. Trends are those of OUTPUT_SLOPE_SIGNIFICANT; others are told.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        for role, predictor in PREDICTORS.items():
            title = predictor.title[0].upper() + predictor.title[1:]
            self.add_raster(role.upper(), f"{title} ({predictor.group})", _HELP[role], optional=True)
        self.add_rasters("OWN", "Predictors of your own", "Rasters with a role in OWN_ROLES; a raster with several "
                         "bands gives one predictor a band, named after it.", optional=True)
        self.add_text("OWN_ROLES", "Roles of your own predictors", "name=role pairs separated by semicolons, such as "
                      "twi_1km.tif=wetness; ice*.tif=ground_ice. Names are of files, or of bands where a raster has "
                      "several, and may hold * and ?. Roles are lower-case letters, digits and _.")
        self.add_text("OWN_KIND", "Kind of your own predictors", "role=class for rasters of codes, which stay "
                      "categorical; the others are numbers.")
        self.add_text("OWN_GROUPS", "Groups of your own predictors",
                      f"role=group pairs; groups are {', '.join(GROUPS)} and {OTHER}.")
        self.add_raster("BASE", "Base map", "Ranges are taken where it is neither 0 nor nodata; cells outside stay in "
                        "the stack. Empty: all cells.", optional=True)
        self.add_target()
        self.add_choice("SCALING", "Scaling", "minmax_0_100: minimum 0 and maximum 100. raw: values in their own "
                        "units.", SCALINGS)
        self.add_file("RANGES", "Ranges to scale by", "Instead of the minimum and maximum found: a table with the "
                      "columns role, low and high, as OUTPUT_RANGES writes it, or a model file. Values beyond are "
                      "clipped, and the log states their share.", optional=True,
                      filters="Ranges (*.csv *.ptimodel);;All files (*)")
        add_products_of_roles(self)
        add_units(self)
        self.add_settings()
        self.add_raster_output("OUTPUT", "Predictor stack", "One band a predictor, named after its role.")
        self.add_file_output("OUTPUT_RANGES", "Ranges", "Role, group, kind, unit, range and numbers of cells of every "
                             "predictor.", "CSV (*.csv)", optional=True)

    def compute(self, parameters, context, progress):
        """Make the stack."""
        given = {role: self.raster_path(parameters, role.upper(), context) for role in PREDICTORS}
        own = self.raster_paths(parameters, "OWN", context) if parameters.get("OWN") else []
        base = self.raster_path(parameters, "BASE", context)
        ranges = self.parameterAsFile(parameters, "RANGES", context)
        inputs = [(role.upper(), path) for role, path in given.items() if path] + [("OWN", path) for path in own]
        inputs += [(name, path) for name, path in (("BASE", base), ("RANGES", ranges)) if path]
        inputs += self.target_input(parameters, context) + table_input(self, parameters, context)
        outputs = {"OUTPUT": self.output_path(parameters, "OUTPUT", context),
                   "OUTPUT_RANGES": self.file_output_path(parameters, "OUTPUT_RANGES", context)}
        options = StackOptions(
            scaling=SCALINGS[self.parameterAsEnum(parameters, "SCALING", context)], ranges=ranges,
            own_roles=self.parameterAsString(parameters, "OWN_ROLES", context),
            own_kind=self.parameterAsString(parameters, "OWN_KIND", context),
            own_groups=self.parameterAsString(parameters, "OWN_GROUPS", context),
            **products_of(self, parameters, context))
        with self.staging(inputs, outputs, progress) as staging:
            result = predictor_stack(
                given, own, base, {"stack": outputs["OUTPUT"], "ranges": outputs["OUTPUT_RANGES"]}, staging, progress,
                options, self.target_grid(parameters, context), self.settings(parameters, context))
            others = sum(row["role"] not in PREDICTORS for row in result["predictors"])
            return self.finish(staging, parameters, context, progress, inputs, outputs, results=result,
                               choices={"predictors": f"{len(result['predictors']) - others}"
                                                      + (f" and {others} of one's own" if others else ""),
                                        "RANGES": os.path.basename(ranges), "slopes": result["slopes"]})
