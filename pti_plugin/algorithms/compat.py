"""The one place for differences between QGIS versions (3.22 to the newest)."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
)

ADVANCED = QgsProcessingParameterDefinition.Flag.FlagAdvanced
INTEGER = QgsProcessingParameterNumber.Type.Integer
DOUBLE = QgsProcessingParameterNumber.Type.Double
RASTER = QgsProcessing.SourceType.TypeRaster
VECTOR_POINT = QgsProcessing.SourceType.TypeVectorPoint
FILE = QgsProcessingParameterFile.Behavior.File
