"""The one place for differences between QGIS versions (3.22 to the newest)."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingFeatureSource,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsTextFormat,
    QgsUnitTypes,
    QgsWkbTypes,
)

ADVANCED = QgsProcessingParameterDefinition.Flag.FlagAdvanced
NO_THREADING = QgsProcessingAlgorithm.Flag.FlagNoThreading
INTEGER = QgsProcessingParameterNumber.Type.Integer
DOUBLE = QgsProcessingParameterNumber.Type.Double
RASTER = QgsProcessing.SourceType.TypeRaster
VECTOR_POINT = QgsProcessing.SourceType.TypeVectorPoint
VECTOR_POLYGON = QgsProcessing.SourceType.TypeVectorPolygon
#: found beside its enum in every version, within it by different names
UNCHECKED_GEOMETRY = QgsProcessingFeatureSource.FlagSkipGeometryValidityChecks
MAP_UNITS = QgsUnitTypes.DistanceUnknownUnit
POINT = QgsWkbTypes.GeometryType.PointGeometry
GEOMETRY_COLLECTION = QgsWkbTypes.Type.GeometryCollection
FILE = QgsProcessingParameterFile.Behavior.File
FOLDER = QgsProcessingParameterFile.Behavior.Folder


def font_families(database):
    """Return the names of the fonts there are; QFontDatabase is an object in Qt 5 and a set of functions in Qt 6."""
    try:
        return database.families()
    except TypeError:
        return database().families()


def set_label_font(label, font, colour):
    """Give a layout label its font and colour; newer versions take both as a text format."""
    if hasattr(label, "setTextFormat"):
        label.setTextFormat(text_format(font, colour))
    else:
        label.setFont(font)
        label.setFontColor(colour)


def text_format(font, colour):
    """Return the text format of a font, which states its size in points, and a colour."""
    text = QgsTextFormat()
    text.setFont(font)
    text.setSize(font.pointSizeF())
    text.setColor(colour)
    return text
