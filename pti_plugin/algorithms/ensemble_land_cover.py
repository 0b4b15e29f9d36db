"""Tool: ensemble land cover."""

from ..core.landcover import ensemble_land_cover
from .base import PtiAlgorithm
from .groups import ENSEMBLES


class EnsembleLandCover(PtiAlgorithm):
    """Thin wrapper of core.landcover.ensemble_land_cover."""

    ID = "ensemblelandcover"
    TITLE = "Ensemble land cover"
    GROUP = ENSEMBLES
    TAGS = ("land cover", "cci", "glcc", "cavm", "tundra", "crosswalk", "majority")
    SHORT = "Joins LandCover_CCI, GLCC and CAVM into one land cover of 21 classes."
    HELP = ("The majority of the annual LandCover_CCI maps is taken (ties go to the most recent year) and recoded by "
            "a crosswalk. CAVM decides where it has a class; inside the GLCC tundra mask (9, 53, 63, 69) bare, sparse "
            "and lichen classes become tundra; GLCC alone decides where LandCover_CCI has nothing. A code that the "
            "crosswalk does not map is an error naming it.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_rasters("CCI", "LandCover_CCI, one raster a year",
                         "Annual maps with the year in the file name; one map is enough.")
        self.add_raster("GLCC", "GLCC Global Ecosystems", "Codes 1 to 96; 99 and 100 are missing.", optional=True)
        self.add_raster("CAVM", "CAVM raster", "Circumpolar Arctic Vegetation Map, raster values of version 2.",
                        optional=True)
        self.add_file("CROSSWALK", "Own crosswalk table (CSV)",
                      "Columns product, raster_value, ensemble_code, tundra_code. Empty: the plugin's own table.",
                      optional=True, filters="CSV (*.csv)")
        self.add_target()
        self.add_profile()
        self.add_settings()
        self.add_raster_output("OUTPUT", "Ensemble land cover", "Codes 10 to 220, 0 nodata.")
        self.add_raster_output("OUTPUT_SOURCE", "Deciding source", "Which product decided each cell.", optional=True)

    def compute(self, parameters, context, progress):
        """Run the join."""
        cci = self.raster_paths(parameters, "CCI", context)
        glcc, cavm = (self.raster_path(parameters, name, context) for name in ("GLCC", "CAVM"))
        crosswalk = self.parameterAsFile(parameters, "CROSSWALK", context) or None
        inputs = [("CCI", path) for path in cci] + [
            (role, path) for role, path in (("GLCC", glcc), ("CAVM", cavm), ("CROSSWALK", crosswalk)) if path]
        inputs += self.target_input(parameters, context)
        outputs = {name: self.output_path(parameters, name, context) for name in ("OUTPUT", "OUTPUT_SOURCE")}
        profile = self.profile(parameters, context)
        with self.staging(inputs) as staging:
            result = ensemble_land_cover(
                cci, glcc, cavm, {"cover": outputs["OUTPUT"], "source": outputs["OUTPUT_SOURCE"]}, staging, progress,
                crosswalk, self.target_grid(parameters, context), self.settings(parameters, context), profile)
            for row in result["table"]:
                progress.info(f"{row['code']:>4} {row['name']}: {row['area_km2']:,.0f} km² ({row['share_percent']} %)")
            return self.finish(staging, parameters, context, progress, inputs, outputs, profile, results=result)
