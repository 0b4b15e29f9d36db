"""Tool: area by rank and by zone."""

from qgis.core import (
    NULL,
    QgsFeatureRequest,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterVectorDestination,
)

from ..core.common.errors import InputError
from ..core.mapping.map_agreement import MOST_KM
from ..core.zonal.zone_polygons import ZoneLayer
from ..core.zonal.zones import ZoneInputs, summarize_zones, zone_sentence
from . import compat
from .base import UNITS_HELP, PtiAlgorithm
from .collections_input import crs_of, is_collection
from .exclusion_input import add_exclusion, exclusion_inputs, left_out_classes
from .groups import STATIONS

#: zones that the log names one by one
MOST_SENTENCES = 100


class SummarizeZones(PtiAlgorithm):
    """Thin wrapper of core.zonal.zones.summarize_zones."""

    ID = "summarizezones"
    TITLE = "Summarize by zones"
    GROUP = STATIONS
    TAGS = ("area", "zonal statistics", "ecoregion", "koeppen", "country", "biome", "mean", "share", "table 5")
    SHORT = "Sums up a PTI map: areas by rank over the whole map and by zone, shares, and means of predictors."
    HELP = ("For the whole map and for each zone (ecoregions, climate classes, countries): the ranked area, the same "
            "weighted with PP, the rank with the largest share, the second one where the first has under 50 %, the "
            "shares of the cold, cool and warm tier and of isolated patches, and area-weighted means of predictors "
            "(temperatures in °C). With REFERENCE, the conceptual index that a predicted map learned, also the cells "
            "and the area compared, the share of it that has the same rank, and the share at most one rank apart; with "
            "MODEL only away from the training points, the cells of the agreement wall to wall of the prediction "
            "tool.\n"
            "Areas are true ground areas on the WGS84 ellipsoid in any CRS. A cell belongs to a zone where its centre "
            "lies in it, so a zone smaller than the cells may get none; it is then listed with area 0 and named in a "
            "warning. Zones that overlap are each counted whole. Features with the same name are one zone.\n"
            "Edges of polygons are straight in the CRS of their layer, as QGIS draws them, and keep that course on the "
            "map. In a layer in degrees, longitudes may run on beyond 180, and -180 to 180 is the whole circle; an "
            "edge over more than half a circle otherwise is refused, since it may mean either way round: divide such "
            "polygons at 180°. In a projected layer a polygon round a pole holds that pole. Broken geometry is mended "
            "and said.")
    ONE_SET = ("PTI", "PP", "PREDICTORS", "EXCLUDE")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_raster("PTI", "PTI map", "Ranks 11 to 40, 0 nodata.")
        self.add(QgsProcessingParameterFeatureSource("ZONES", "Zones", [compat.VECTOR_POLYGON], optional=True),
                 "Polygons, in any CRS. Leave empty for the whole map only.")
        self.add(QgsProcessingParameterField("FIELD", "Field with the names of the zones",
                                             parentLayerParameterName="ZONES", optional=True),
                 "Polygons with the same value are one zone; those without one are the zone '(no name)'.")
        self.add_raster("ZONES_RASTER", "Zones as a raster of classes",
                        "In place of ZONES: a raster on the grid of the map, such as climate classes. Each code is a "
                        "zone, 0 as well unless it is nodata; codes without a ranked cell are left out.",
                        optional=True)
        self.add_raster("PP", "Permafrost percent", "%, on the grid of the map, for the PP-weighted areas.",
                        optional=True)
        self.add_rasters("PREDICTORS", "Predictors to average",
                         "Rasters on the grid of the map: a predictor stack, whose scaled bands are averaged in their "
                         "own unit again, or single layers. Classes have no mean and are left out.", optional=True)
        self.add_text("BANDS", "Bands to average", "Names of bands with commas between, for example elevation, lst; "
                      "empty takes all.")
        add_exclusion(self, "Cells of the classes EXCLUDE_CODES count in no area and no mean.")
        self.add_text("UNITS", "Units of the layers (name=unit; …)", UNITS_HELP, advanced=True)
        self.add_raster("REFERENCE", "Conceptual PTI to compare with",
                        "On the grid of the map: the index that the map learned. The table gets their agreement by "
                        "zone, weighted by area.", optional=True)
        self.add_file("MODEL", "Model of the map", "Model file of the training tool, which holds its training points; "
                      "cells near them are not compared with REFERENCE. Without it all cells are.", optional=True,
                      filters="PTI model (*.ptimodel)")
        self.add_number("BUFFER_KM", "Distance from the training points (km)",
                        "Cells nearer to a training point of MODEL do not count for the agreement with REFERENCE.",
                        25.0, 0.0, MOST_KM, advanced=True)
        self.add_settings()
        self.add_file_output("OUTPUT_TABLE", "Areas by zone", "CSV: a row a zone, the whole map first; with "
                             "REFERENCE the agreement in the last columns.", "CSV (*.csv)")
        self.add(QgsProcessingParameterVectorDestination("OUTPUT", "Zones with their areas", compat.VECTOR_POLYGON,
                                                         optional=True, createByDefault=False),
                 "Polygon layer with the same figures, in the CRS of ZONES, one feature a zone.")

    def compute(self, parameters, context, progress):
        """Summarize the map."""
        rasters = {name: self.raster_path(parameters, name, context)
                   for name in ("PTI", "ZONES_RASTER", "PP", "REFERENCE")}
        predictors = self.raster_paths(parameters, "PREDICTORS", context) if parameters.get("PREDICTORS") else []
        layer, zones_path = self._zones(parameters, context, progress)
        model = self.parameterAsFile(parameters, "MODEL", context) or None
        inputs = [(name, path) for name, path in (*rasters.items(), ("ZONES", zones_path), ("MODEL", model)) if path]
        inputs += [("PREDICTORS", path) for path in predictors]
        left_out = left_out_classes(self, parameters, context)
        inputs += exclusion_inputs(left_out)
        outputs = {"OUTPUT_TABLE": self.file_output_path(parameters, "OUTPUT_TABLE", context),
                   "OUTPUT": self.output_path(parameters, "OUTPUT", context)}
        wanted = ZoneInputs(rasters["PTI"], layer, rasters["ZONES_RASTER"], rasters["PP"], tuple(predictors),
                            self.parameterAsString(parameters, "BANDS", context),
                            self.parameterAsString(parameters, "UNITS", context), left_out, rasters["REFERENCE"],
                            model, self.parameterAsDouble(parameters, "BUFFER_KM", context))
        with self.staging(inputs, outputs, progress) as staging:
            result = summarize_zones(wanted, {"table": outputs["OUTPUT_TABLE"], "layer": outputs["OUTPUT"]}, staging,
                                     progress, self.settings(parameters, context))
            for row in [row for row in result["rows"] if row["cells"]][:MOST_SENTENCES]:
                progress.info(zone_sentence(row))
            return self.finish(staging, parameters, context, progress, inputs, outputs,
                               results={"zones": result["rows"],
                                        "units": {name: unit for name, _, unit, _ in result["fields"] if unit}})

    def _zones(self, parameters, context, progress):
        """Return (ZoneLayer, its file or other source), or (None, None) where ZONES is empty."""
        source = self.parameterAsSource(parameters, "ZONES", context)
        if source is None:
            if parameters.get("ZONES") not in (None, ""):
                raise InputError(f"ZONES: {parameters['ZONES']} cannot be read as a layer of polygons. Check the path.")
            return None, None
        names = [field.name() for field in source.fields()]
        field = self.parameterAsString(parameters, "FIELD", context)
        if field not in names:
            wrong = f"FIELD is '{field}', which is no field of ZONES" if field else "FIELD is empty"
            raise InputError(f"{wrong}. Choose the field with the names of the zones: "
                             f"{', '.join(names) or 'the layer has none'}.")
        place, features = names.index(field), []
        request = QgsFeatureRequest().setSubsetOfAttributes([place])
        # broken geometry is mended and reported by the core, while Processing would stop at it or pass it over
        for feature in source.getFeatures(request, compat.UNCHECKED_GEOMETRY):
            progress.check()
            value = feature.attributes()[place]
            shape = bytes(feature.geometry().asWkb()) if feature.hasGeometry() else None
            features.append((feature.id(), None if value == NULL else value, shape))
        layer = self.parameterAsVectorLayer(parameters, "ZONES", context)
        crs = crs_of(source, layer)
        if is_collection(source):
            progress.info("ZONES is a layer of geometry collections; the polygons in them are read.")
        path = layer.source().split("|")[0] if layer else source.sourceName()
        return ZoneLayer(source.sourceName(), crs.toWkt() if crs.isValid() else "", features), path
