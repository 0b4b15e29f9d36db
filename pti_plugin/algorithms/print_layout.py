"""Tool: print layout of the PTI map."""

import os

import numpy as np
from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsFeature,
    QgsGeometry,
    QgsLayoutExporter,
    QgsMarkerSymbol,
    QgsPointXY,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProject,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsRendererCategory,
    QgsSingleSymbolRenderer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QBuffer, QByteArray, QIODevice, QSize
from qgis.PyQt.QtGui import QFontDatabase, QGuiApplication

from ..core.common.errors import DependencyError, InputError, OutputError
from ..core.common.provenance import collect_records
from ..core.common.ranks import BY_CODE, NO_RANK, RANKS, colour_table, hex_to_rgb
from ..core.common.staging import Staging
from ..core.common.styles import palette_qml
from ..core.insitu.map_thresholds import map_thresholds
from ..core.rasters.blocks import OutputSpec, RasterWriter, Window
from ..core.rasters.grid import Grid, epsg_wkt
from ..core.rasters.raster import display_name
from ..core.reporting.figures import INK, LAND
from ..core.reporting.polar_map import (
    OVERVIEW_CELLS,
    land_within,
    overview,
    polar_frame,
    rank_source,
    ranks_within,
    turned_wkt,
)
from . import compat
from .base import PtiAlgorithm
from .collections_input import crs_of
from .groups import STATIONS
from .map_layout import PAGES, MapTexts, View, map_cells, map_layout, page_factor, template_text
from .report_pdf import without_times
from .styling import apply_style

#: most cells a side that the map is drawn from: more than the eye resolves, 64 MB at the most
MOST_CELLS = 4000
EQUAL_AREA, STEREOGRAPHIC = "equal area", "stereographic"
#: projection → (EPSG code where 0° points down; name and PROJ text where another meridian does)
PROJECTIONS = {
    EQUAL_AREA: (6931, "Polar Lambert azimuthal equal area", "+proj=laea +lat_0=90 +datum=WGS84 +units=m"),
    STEREOGRAPHIC: (3995, "Polar stereographic, true at 71° N",
                    "+proj=stere +lat_0=90 +lat_ts=71 +datum=WGS84 +units=m"),
}
CIRCLE, RECTANGLE = "circle round the pole", "rectangle round the ranks"
RANK_FIELD = "site_rank"
#: code of land without a rank in the raster that the map is drawn from
_LAND_CODE = 1
#: room round the ranks in a rectangle, share of its side
_MARGIN = 0.04


class PrintLayout(PtiAlgorithm):
    """Draws the layout of map_layout and writes it."""

    ID = "printlayout"
    TITLE = "Print layout of the PTI map"
    GROUP = STATIONS
    TAGS = ("print", "layout", "map", "figure", "legend", "graticule", "pdf", "png", "polar", "template")
    SHORT = "Draws the PTI map for print, in polar projection with graticule, two-tier legend and stations."
    HELP = ("The map is laid out on a page and written as PNG, as PDF, or as a layout template (.qpt) that the layout "
            "manager of QGIS opens: map, graticule, legend and texts can be edited there, and the map shows the layers "
            "of the project. Graticule and labels are drawn for the extent of this run and do not follow a map that is "
            "moved. Thresholds in the legend and the line on where the map comes from are taken from the records "
            "beside the map. The raster is thinned to the dots of the page by majority. The scale bar is true along "
            "one parallel only, which it names, since no polar map has one scale. There is no north arrow: north is "
            "towards the pole, another direction at every place; the meridians show it. The project that is open stays "
            "as it is. The same input gives the same bytes; PDF files carry no date. An empty template for the layout "
            "manager is in the plugin's resources/layouts/pti_map.qpt.")
    ONE_SET = ("PTI", "BASE", "STATIONS")

    def flags(self):
        """Layouts belong to the main thread."""
        return super().flags() | compat.NO_THREADING

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_raster("PTI", "PTI map", "Ranks 11 to 40, 0 nodata.")
        self.add(QgsProcessingParameterFeatureSource("STATIONS", "Stations", [compat.VECTOR_POINT], optional=True),
                 "Points with the rank in the field 'site_rank', as the validation tool makes them; those without a "
                 "rank are small and white.")
        self.add_raster("BASE", "Land or base map", "Cells with a value are drawn as grey land under the ranks, "
                        "nodata as sea.", optional=True)
        self.add_text("TITLE", "Title", "Heading of the page.", "Permafrost Thaw Index")
        self.add_text("SUBTITLE", "Subtitle", "Line below the title.", "Northern high latitudes")
        self.add_text("NOTE", "Note", "Line at the foot of the page, above the one on where the map comes from.")
        self.add_choice("PROJECTION", "Projection", "equal area: EASE-Grid 2.0 North (EPSG:6931), areas are true. "
                        "stereographic: Arctic Polar Stereographic (EPSG:3995), shapes are true.", list(PROJECTIONS),
                        EQUAL_AREA, static=True)
        self.add_number("CENTRAL_MERIDIAN", "Meridian that points down (degrees east)", "Turns the map: 0 has Europe "
                        "at the foot, -100 North America.", 0.0, -180.0, 180.0)
        self.add_choice("FRAME", "Frame", "circle round the pole: down to the parallel that holds every rank. "
                        "rectangle round the ranks: for maps of a region.", [CIRCLE, RECTANGLE], CIRCLE, static=True)
        self.add(QgsProcessingParameterExtent("EXTENT", "Extent instead of the frame", optional=True),
                 "xmin,xmax,ymin,ymax in its own CRS, or in the CRS of the map; it is widened to the square of the "
                 "map.", advanced=True)
        self.add_choice("PAGE", "Page", "Size and orientation.", list(PAGES), next(iter(PAGES)), static=True)
        self.add_integer("DPI", "Resolution (dots per inch)", "Of the PNG, and of the map in the PDF.", 300, 72, 600)
        self.add_file_output("OUTPUT_PNG", "Picture", "The page as PNG.", "PNG (*.png)")
        self.add_file_output("OUTPUT_PDF", "PDF", "The page as PDF.", "PDF (*.pdf)", optional=True)
        self.add_file_output("OUTPUT_LAYOUT", "Layout template", "The page as a template (.qpt) for the layout manager "
                             "of QGIS.", "QGIS layout template (*.qpt)", optional=True)

    def compute(self, parameters, context, progress):
        """Draw the page."""
        pti, base = (self.raster_path(parameters, name, context) for name in ("PTI", "BASE"))
        stations, stations_path = self._stations(parameters, context, progress)
        inputs = [("PTI", pti)] + [(role, path) for role, path in (("BASE", base), ("STATIONS", stations_path)) if path]
        outputs = {name: self.file_output_path(parameters, name, context)
                   for name in ("OUTPUT_PNG", "OUTPUT_PDF", "OUTPUT_LAYOUT")}
        _require_fonts()
        page = self.parameterAsEnumString(parameters, "PAGE", context)
        dpi = self.parameterAsInt(parameters, "DPI", context)
        with self.staging(inputs, outputs, progress) as staging:
            view = self._view(parameters, context, pti)
            progress.check()
            progress.set(0.1)
            cells = map_cells(page, dpi, MOST_CELLS)
            codes = ranks_within(rank_source(pti), view.frame.wkt, view.bounds, (cells, cells), progress=progress)
            progress.check()
            progress.set(0.4)
            if base:
                codes[land_within(base, view.frame.wkt, view.bounds, codes) & (codes == NO_RANK)] = _LAND_CODE
            ranked, bare = _within(view, stations)
            foot = [self.parameterAsString(parameters, "NOTE", context), _origin(pti),
                    f"Projection: {view.frame.projection_name}"]
            thresholds, where = map_thresholds(pti)
            progress.info(f"The legend has the thresholds {where}.")
            texts = MapTexts(self.parameterAsString(parameters, "TITLE", context),
                             self.parameterAsString(parameters, "SUBTITLE", context), tuple(filter(None, foot)),
                             thresholds, bool(base), (len(ranked), len(bare)))
            self._write(view, codes, (ranked, bare), texts, page, dpi, outputs, staging, progress)
            return self.finish(staging, parameters, context, progress, inputs, outputs, results={
                "stations": len(ranked), "stations_without_rank": len(bare), "extent": list(view.bounds),
                "projection": view.frame.projection_name})

    def _stations(self, parameters, context, progress):
        """Return ([(longitude, latitude, rank or None)], path of the layer or None)."""
        source = self.parameterAsSource(parameters, "STATIONS", context)
        if source is None:
            if parameters.get("STATIONS"):
                raise InputError(f"STATIONS: {parameters['STATIONS']} is no point layer that QGIS can read.")
            return [], None
        place = source.fields().lookupField(RANK_FIELD)
        if place < 0:
            progress.warn(f"STATIONS has no field '{RANK_FIELD}'; its points are drawn without a rank.")
        layer = self.parameterAsVectorLayer(parameters, "STATIONS", context)
        crs = crs_of(source, layer)
        if not crs.isValid():
            raise InputError("STATIONS has no coordinate reference system; assign one first.")
        change = QgsCoordinateTransform(crs, QgsCoordinateReferenceSystem("EPSG:4326"),
                                        context.transformContext())
        found = []
        for feature in source.getFeatures():
            if feature.hasGeometry() and not feature.geometry().isEmpty():
                point = change.transform(feature.geometry().centroid().asPoint())
                rank = feature[place] if place >= 0 else None
                found.append((point.x(), point.y(), int(rank) if rank in BY_CODE else None))
        parts = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source()) if layer else {}
        return found, parts.get("path")

    def _view(self, parameters, context, pti):
        """Return the View that projection, frame and extent ask for."""
        item = rank_source(pti)
        code, name, text = PROJECTIONS[self.parameterAsEnumString(parameters, "PROJECTION", context)]
        meridian = self.parameterAsDouble(parameters, "CENTRAL_MERIDIAN", context)
        wkt = turned_wkt(text, name, meridian) if meridian else epsg_wkt(code)
        frame = polar_frame(item, wkt)
        crs = QgsCoordinateReferenceSystem.fromWkt(wkt)
        if parameters.get("EXTENT"):
            place = self.parameterAsExtent(parameters, "EXTENT", context, crs)
            if place.isEmpty():
                raise InputError(f"EXTENT is '{parameters['EXTENT']}'; write four numbers, xmin,xmax,ymin,ymax, each "
                                 f"first one the smaller.")
            return View(frame, _square(place.xMinimum(), place.yMinimum(), place.xMaximum(), place.yMaximum()), False)
        if self.parameterAsEnumString(parameters, "FRAME", context) == CIRCLE:
            return View(frame, frame.bounds, True)
        return View(frame, _round_ranks(overview(item, frame), frame), False)

    def _write(self, view, codes, marks, texts, page, dpi, outputs, staging, progress):
        """Lay the page out in a project of its own and stage the outputs."""
        project = QgsProject()
        # else the PDF names the user of this machine
        metadata = project.metadata()
        metadata.setAuthor("Permafrost Thaw Index (PTI)")
        project.setMetadata(metadata)
        raster = _raster_layer(codes, view, staging.scratch(outputs["OUTPUT_PNG"]))
        layers = [*_station_layers(*marks, page_factor(page)), raster]
        layout, item = map_layout(project, view, texts, page)
        layout.renderContext().setDpi(dpi)
        item.setLayers(layers)
        item.setKeepLayerSet(True)
        exporter = QgsLayoutExporter(layout)
        progress.check()
        progress.set(0.5)
        image = exporter.renderPageToImage(0, QSize(), dpi)
        if image.isNull():
            raise OutputError(f"{outputs['OUTPUT_PNG']} cannot be drawn at {dpi} dots per inch on {page}: there is not "
                              f"enough memory. Lower DPI.")
        _refuse_errors(item, outputs["OUTPUT_PNG"])
        staging.write_bytes(outputs["OUTPUT_PNG"], _png(image, outputs["OUTPUT_PNG"]))
        progress.check()
        progress.set(0.75)
        if outputs["OUTPUT_PDF"]:
            _write_pdf(exporter, outputs["OUTPUT_PDF"], dpi, staging)
            _refuse_errors(item, outputs["OUTPUT_PDF"])
        progress.check()
        progress.set(0.95)
        if outputs["OUTPUT_LAYOUT"]:
            # without layers of its own a map shows those of the project it is opened in
            item.setKeepLayerSet(False)
            item.setLayers([])
            staging.write_text(outputs["OUTPUT_LAYOUT"], template_text(layout))


def _require_fonts():
    if QGuiApplication.instance() is None:
        raise DependencyError("QGIS runs without its graphical part here, so no page can be drawn. Set "
                              "QT_QPA_PLATFORM=offscreen.")
    if not compat.font_families(QFontDatabase):
        raise DependencyError("There are no fonts here, so the page would have no text. Install one, such as "
                              "fonts-dejavu-core.")


def _square(west, south, east, north):
    half = max(east - west, north - south) / 2
    x, y = (west + east) / 2, (south + north) / 2
    return x - half, y - half, x + half, y + half


def _round_ranks(ranks, frame):
    """Return the bounds of the square round all ranks of an overview, with a margin."""
    rows, columns = (np.flatnonzero((ranks != NO_RANK).any(axis=axis)) for axis in (1, 0))
    cell = 2 * frame.radius / OVERVIEW_CELLS
    west, south, _, north = frame.bounds
    tight = _square(west + columns[0] * cell, north - (rows[-1] + 1) * cell, west + (columns[-1] + 1) * cell,
                    north - rows[0] * cell)
    margin = _MARGIN * (tight[2] - tight[0])
    return tight[0] - margin, tight[1] - margin, tight[2] + margin, tight[3] + margin


def _within(view, stations):
    """Return the stations that the map shows, in its CRS, as (those with a rank, those without)."""
    found = [], []
    if not stations:
        return found
    longitudes, latitudes, ranks = zip(*stations)
    x, y = view.frame.project(longitudes, latitudes)
    west, south, east, north = view.bounds
    inside = (x >= west) & (x <= east) & (y >= south) & (y <= north)
    if view.round:
        inside = np.hypot(x - view.frame.x, y - view.frame.y) <= view.frame.radius
    for i in np.flatnonzero(inside):
        found[0 if ranks[i] else 1].append((float(x[i]), float(y[i]), ranks[i]))
    return tuple([(px, py, rank, view.frame.wkt) for px, py, rank in part] for part in found)


def _origin(path):
    """Return the line on which run made a map, from its record."""
    records = collect_records([path])
    if not records:
        return f"Map: {display_name(path)}, of which no record is kept beside it"
    record = records[-1]
    profile = next((found["profile"] for found in reversed(records) if found.get("profile")), None)
    version = f"{record.get('plugin', '')} {record.get('plugin_version', '')}".strip()
    return (f"Map: {display_name(path)}, made by {record['tool']}" + (f" of {version}" if version else "")
            + (f", profile {profile}" if profile else ""))


def _raster_layer(codes, view, folder):
    """Write the codes of the map as a raster in ``folder``, whole, and return its layer, styled."""
    west, _, _, north = view.bounds
    rows, columns = codes.shape
    cell = (view.bounds[2] - west) / columns
    path = os.path.join(folder, "map.tif")
    with Staging() as own:
        writer = RasterWriter(OutputSpec(path, "uint8", NO_RANK, working=True),
                              Grid(view.frame.wkt, (west, cell, 0, north, 0, -cell), columns, rows), own)
        try:
            writer.write(Window(0, rows, 0, columns), codes)
            writer.close()
        finally:
            writer.abandon()
        own.commit()
    layer = QgsRasterLayer(path, "PTI")
    if not layer.isValid():
        raise OutputError(f"The intermediate raster {path} cannot be read back. Free some space in its folder.")
    apply_style(layer, palette_qml({**colour_table(), _LAND_CODE: ("land without a rank", hex_to_rgb(LAND))}))
    return layer


def _refuse_errors(item, path):
    """Raise OutputError where QGIS could not draw everything on the map of the layout."""
    errors = item.renderingErrors()
    if errors:
        raise OutputError(f"{path} cannot be drawn whole: {errors[0].message.strip()}. Run again; if it fails again, "
                          f"lower DPI or choose another folder.")


def _station_layers(ranked, bare, factor):
    """Return the layers of stations, uppermost first: those with a rank, a white rim round them, those without."""
    rim = QgsSingleSymbolRenderer(_circle("#ffffff", 3.6 * factor, "#ffffff"))
    ranks = QgsCategorizedSymbolRenderer("rank", [
        QgsRendererCategory(rank.code, _circle(rank.colour, 2.8 * factor), rank.label) for rank in RANKS])
    small = QgsSingleSymbolRenderer(_circle("#ffffff", 1.6 * factor))
    return [_points(name, marks, renderer) for name, marks, renderer in
            (("stations", ranked, ranks), ("rim", ranked, rim), ("stations without a rank", bare, small)) if marks]


def _circle(colour, size, outline=INK):
    return QgsMarkerSymbol.createSimple({"name": "circle", "color": colour, "size": str(size), "outline_color": outline,
                                         "outline_width": "0.25", "outline_width_unit": "MM"})


def _points(name, marks, renderer):
    layer = QgsVectorLayer("Point?field=rank:integer", name, "memory")
    layer.setCrs(QgsCoordinateReferenceSystem.fromWkt(marks[0][3]))
    features = []
    for x, y, rank, _ in marks:
        feature = QgsFeature(layer.fields())
        feature.setAttributes([rank])
        feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(x, y)))
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    layer.setRenderer(renderer)
    return layer


def _png(image, path):
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    if not image.save(buffer, "PNG"):
        raise OutputError(f"{path} cannot be written as PNG. Lower DPI.")
    return bytes(data)


def _write_pdf(exporter, path, dpi, staging):
    settings = QgsLayoutExporter.PdfExportSettings()
    settings.dpi = dpi
    settings.exportMetadata = False
    settings.appendGeoreference = False
    with staging.writing(path) as partial:
        result = exporter.exportToPdf(partial, settings)
        with open(partial, "rb") as stream:
            data = stream.read()
        if result != QgsLayoutExporter.ExportResult.Success or not data.rstrip().endswith(b"%%EOF"):
            raise OutputError(f"Writing {path} failed. Free some space, lower DPI or choose another folder.")
        with open(partial, "wb") as stream:
            stream.write(without_times(data))
