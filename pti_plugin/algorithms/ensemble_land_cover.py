"""Tool: ensemble land cover."""

import os

from qgis.core import QgsProcessingParameterFile

from ..core.common import tables
from ..core.common.errors import InputError
from ..core.ensembles.landcover import LandCoverOptions, ensemble_land_cover
from ..core.rasters.products import read_products
from ..core.series.composites import TIES
from . import compat
from .base import PtiAlgorithm
from .groups import ENSEMBLES
from .product_input import add_products_of_roles, products_of, table_input


class EnsembleLandCover(PtiAlgorithm):
    """Thin wrapper of core.ensembles.landcover.ensemble_land_cover."""

    ID = "ensemblelandcover"
    TITLE = "Ensemble land cover"
    GROUP = ENSEMBLES
    TAGS = ("land cover", "cci", "glcc", "cavm", "tundra", "crosswalk", "majority")
    SHORT = "Joins LandCover_CCI, GLCC and CAVM into one land cover of 21 classes."
    HELP = ("The majority of the annual LandCover_CCI maps is taken on their own grid (ties go to the most recent year "
            "unless TIE says otherwise), brought to TARGET by mode and recoded by a crosswalk. CAVM decides where it "
            "has a class; inside the GLCC tundra mask (9, 53, 63, 69) bare, sparse and lichen classes become tundra; "
            "GLCC alone decides where LandCover_CCI has nothing. The files may be as they are published: netCDF in a "
            "folder, one GeoTIFF with a band a year, GLCC in its projection on a sphere. These codes stand for no "
            "class: LandCover_CCI 0, GLCC 0, 99 and 100, CAVM 99 (not arctic) and 127. Any other code that the "
            "crosswalk does not map is an error naming it and its number of cells.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_rasters("CCI", "LandCover_CCI, one raster a year",
                         "Annual maps with the year in the file name, or one raster with a band a year, named after "
                         "the first and the last; one map is enough. Empty: CCI_FOLDER.", optional=True)
        self.add(QgsProcessingParameterFile("CCI_FOLDER", "Folder of LandCover_CCI maps", compat.FOLDER,
                                            optional=True),
                 "Instead of CCI: a folder with one file a year, netCDF as downloaded or GeoTIFF.")
        self.add_text("CCI_PATTERN", "File names in the folder", "Which files of CCI_FOLDER to take; * and ? may be "
                      "used, semicolons stand between several.", "*.nc;*.tif")
        self.add_text("YEARS", "Years of LandCover_CCI", "First and last of the years to take, such as 2018-2022, all "
                      "of which must be there. Empty: all years.")
        self.add_raster("GLCC", "GLCC Global Ecosystems", "Codes 1 to 96; 99 and 100 are missing.", optional=True)
        self.add_raster("CAVM", "CAVM raster", "Circumpolar Arctic Vegetation Map, raster values of version 2.",
                        optional=True)
        self.add_raster("BASE", "Permafrost base map", "1 permafrost, 0 none, of the permafrost ensemble; for the "
                        "table only, which then has the shares of permafrost land too.", optional=True)
        self.add_file("CROSSWALK", "Own crosswalk table (CSV)",
                      "Columns product, raster_value, ensemble_code, tundra_code. Empty: the plugin's own table.",
                      optional=True, filters="CSV (*.csv)")
        self.add_choice("TIE", "Tie of classes", "Among the classes most frequent over the years, the one seen "
                        "last, or the one with the lowest code.", TIES, advanced=True)
        add_products_of_roles(self)
        self.add_target()
        self.add_profile()
        self.add_settings()
        self.add_raster_output("OUTPUT", "Ensemble land cover", "Codes 10 to 220, 0 nodata.")
        self.add_raster_output("OUTPUT_SOURCE", "Deciding source", "Which product decided each cell.", optional=True)
        self.add_file_output("OUTPUT_TABLE", "Area by class", "CSV: code, name, cells, true area in km² and share of "
                             "each class; its share of the land without water (and sea) and glacier ice; with BASE its "
                             "area and share of the permafrost land without them; the paper's shares (Table 2), as "
                             "they are and without water and ice.", "CSV (*.csv)", optional=True)

    def compute(self, parameters, context, progress):
        """Run the join."""
        products = products_of(self, parameters, context)
        cci = self._annual_maps(parameters, context, progress)
        single = {name: self.raster_path(parameters, name, context) for name in ("GLCC", "CAVM", "BASE")}
        crosswalk = self.parameterAsFile(parameters, "CROSSWALK", context) or None
        inputs = [("CCI", path) for path in cci] + [
            (role, path) for role, path in (*single.items(), ("CROSSWALK", crosswalk)) if path]
        inputs += [*table_input(self, parameters, context), *self.target_input(parameters, context)]
        outputs = {name: self.output_path(parameters, name, context) for name in ("OUTPUT", "OUTPUT_SOURCE")}
        outputs["OUTPUT_TABLE"] = self.file_output_path(parameters, "OUTPUT_TABLE", context)
        profile = self.profile(parameters, context)
        options = LandCoverOptions(crosswalk, profile, self.parameterAsString(parameters, "YEARS", context),
                                   TIES[self.parameterAsEnum(parameters, "TIE", context)], products["product"],
                                   products["products"])
        with self.staging(inputs, outputs, progress) as staging:
            result = ensemble_land_cover(
                {"CCI": cci, **single}, {"cover": outputs["OUTPUT"], "source": outputs["OUTPUT_SOURCE"]}, staging,
                progress, options, self.target_grid(parameters, context), self.settings(parameters, context))
            if outputs["OUTPUT_TABLE"]:
                staging.write_text(outputs["OUTPUT_TABLE"], tables.to_csv(result["table"]))
            for row in result["table"]:
                progress.info(f"{row['code']:>4} {row['name']}: {row['area_km2']:,.0f} km² ({row['share_percent']} %)")
            progress.info("Cells by deciding source: " + "; ".join(
                f"{name} {cells}" for name, cells in result["source"].items()) + ".")
            return self.finish(staging, parameters, context, progress, inputs, outputs, profile, results=result,
                               choices={"CROSSWALK": os.path.basename(crosswalk or ""),
                                        "cci_202_is_tundra": profile.cci_202_is_tundra and not crosswalk})

    def _annual_maps(self, parameters, context, progress):
        """Return the files of whichever of CCI and CCI_FOLDER is given."""
        folder = self.parameterAsString(parameters, "CCI_FOLDER", context)
        layers = parameters.get("CCI")
        if bool(folder) == bool(layers):
            raise InputError("Give the LandCover_CCI maps by exactly one of CCI (layers) and CCI_FOLDER; "
                             f"{'both' if folder else 'none'} given.")
        if folder:
            pattern = self.parameterAsString(parameters, "CCI_PATTERN", context) or "*.nc;*.tif"
            own = self.parameterAsString(parameters, "PRODUCTS", context).strip()
            return self.folder_files(folder, pattern, progress, read_products(own or None))
        return self.raster_paths(parameters, "CCI", context)
