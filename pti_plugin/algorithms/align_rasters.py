"""Tool: bring products to the target grid."""

from qgis.core import QgsProcessingParameterCrs, QgsProcessingParameterExtent

from ..core.rasters.align import DEFAULT_LATITUDE, AlignOptions, align, polar_grid
from ..core.rasters.products import AUTO, NONE, RECOGNISE, RESAMPLINGS, read_products
from ..core.rasters.raster import CLASS, NUMBER
from .base import UNITS_HELP, PtiAlgorithm
from .groups import DATASET
from .product_input import PRODUCT_HELP, add_own_products, table_input
from .series_input import add_nodata, add_series, extent_of, reading_of, series_files, time_of, wkt_of

KINDS = (AUTO, NUMBER, CLASS)


class AlignRasters(PtiAlgorithm):
    """Thin wrapper of core.rasters.align.align."""

    ID = "alignrasters"
    TITLE = "Align a product to the target grid"
    GROUP = DATASET
    TAGS = ("align", "warp", "reproject", "resample", "unit", "netcdf", "hdf", "modis", "soilgrids", "product")
    SHORT = "Brings a satellite product or permafrost map to the target grid, in the unit of the method."
    HELP = ("Takes GeoTIFFs, VRTs, variables of netCDF and HDF files, raw binaries with a header beside them, and "
            "folders of yearly or monthly files. The preset of the product knows its variable, unit, scale, flags, "
            "what nodata means, CRS quirks, resampling and recoding; it is recognised by file name and variable, or "
            "chosen. Values that contradict the preset stop the run, a unit attribute that the values contradict is "
            "said and not believed. Without a target layer the grid is EPSG:6931 at 1 km, north of 45 degrees. Long "
            "series: make the composite or the trend first and align the result.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        add_series(self, "Rasters", "CRS instead of the file's",
                   "For files that state none or a wrong one; the presets know those of their products.")
        self.add_choice("PRODUCT", "Product", PRODUCT_HELP, [RECOGNISE, NONE, *read_products()], RECOGNISE, static=True)
        add_own_products(self)
        self.add_target()
        self.add(QgsProcessingParameterCrs("TARGET_CRS", "Target CRS without a layer", optional=True),
                 "Instead of TARGET, with CELL_SIZE and TARGET_EXTENT. Empty: EPSG:6931.", advanced=True)
        self.add(QgsProcessingParameterExtent("TARGET_EXTENT", "Target extent without a layer", optional=True),
                 "In the target CRS: xmin,xmax,ymin,ymax. Empty: all north of 45 degrees.", advanced=True)
        self.add_number("CELL_SIZE", "Target cell size (0 = 1 km)", "In units of the target CRS.", 0.0, 0.0,
                        advanced=True)
        self.add_number("MIN_LATITUDE", "Southern limit (degrees north)", "Cells whose centre lies south of it become "
                        "nodata; -90 for none.", DEFAULT_LATITUDE, -90.0, 90.0)
        self.add_text("UNITS", "Units of the files", UNITS_HELP)
        self.add_choice("KIND", "Kind of values", "Numbers are averaged or interpolated, classes take the most "
                        "frequent or the nearest. auto: as the preset says, else classes where the file has a colour "
                        "table.",
                        KINDS, AUTO, advanced=True, static=True)
        self.add_choice("RESAMPLING", "Resampling", "auto: to larger cells average, or mode for classes; to smaller "
                        "ones bilinear, or nearest for classes. mode, average, min, max and med go by the area of each "
                        "source cell within the outline of the cell; of classes with equal areas mode takes the one at "
                        "the centre, else the lowest code. The result is the same with every version of GDAL.",
                        RESAMPLINGS, AUTO, advanced=True, static=True)
        add_nodata(self, advanced=True)
        self.add_text("ABSENT", "What nodata stands for", "A value such as 0 where nodata inside the file means that "
                      "there is none; nodata where it means nothing. Empty: as the preset says.", advanced=True)
        self.add_text("RECODE", "Recode", "For classes: pairs such as 1=100; 2=50; other=0, after the resampling.",
                      advanced=True)
        self.add_integer("PERIOD", "Layers a year (0 = as the preset says)", "1 for annual layers, 12 for monthly, 46 "
                         "for 8-day composites, 365 for daily ones. Then they are put in order of their time stamps.",
                         0, 0, advanced=True)
        self.add_text("YEARS", "Years that must be there", "First and last, such as 1997-2021. Others are left out; a "
                      "missing one is an error.", advanced=True)
        self.add_integer("BAND", "Band (0 = all)", "The only band to take of every file.", 0, 0, advanced=True)
        self.add(QgsProcessingParameterExtent("EXTENT", "Extent instead of the file's", optional=True),
                 "xmin,xmax,ymin,ymax of the file's outer edges in its own CRS, for files without a georeference.",
                 advanced=True)
        self.add_settings()
        self.add_raster_output("OUTPUT", "Aligned raster", "Numbers in the preset's unit, or codes; one band a layer, "
                               "with its time.")

    def compute(self, parameters, context, progress):
        """Bring the files to the grid."""
        files = series_files(self, parameters, context, progress)
        text = {name: self.parameterAsString(parameters, name, context).strip()
                for name in ("VARIABLE", "ABSENT", "RECODE", "YEARS")}
        text.update({name: self.parameterAsEnumString(parameters, name, context) for name in ("KIND", "RESAMPLING")})
        options = AlignOptions(
            **{**reading_of(self, parameters, context), **{name.lower(): value for name, value in text.items()}},
            **time_of(self, parameters, context), period=self.parameterAsInt(parameters, "PERIOD", context),
            min_latitude=self.parameterAsDouble(parameters, "MIN_LATITUDE", context),
            band=self.parameterAsInt(parameters, "BAND", context))
        target = self.target_grid(parameters, context) or polar_grid(
            wkt_of(self, parameters, "TARGET_CRS", context), self.parameterAsDouble(parameters, "CELL_SIZE", context),
            extent_of(self, parameters, "TARGET_EXTENT", context,
                      self.parameterAsCrs(parameters, "TARGET_CRS", context)))
        inputs = [("INPUT", path) for path in files] + self.target_input(parameters, context)
        inputs += table_input(self, parameters, context)
        outputs = {"OUTPUT": self.output_path(parameters, "OUTPUT", context)}
        with self.staging(inputs, outputs, progress) as staging:
            result = align(files, outputs["OUTPUT"], staging, progress, options, target,
                           self.settings(parameters, context))
            return self.finish(staging, parameters, context, progress, inputs, outputs, results=result,
                               choices={"PRODUCT": result["product"] or "none"})
