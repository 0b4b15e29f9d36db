"""The one place for differences between QGIS versions (3.22 to the newest)."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsWkbTypes,
)

ADVANCED = QgsProcessingParameterDefinition.Flag.FlagAdvanced
NO_THREADING = QgsProcessingAlgorithm.Flag.FlagNoThreading
INTEGER = QgsProcessingParameterNumber.Type.Integer
DOUBLE = QgsProcessingParameterNumber.Type.Double
RASTER = QgsProcessing.SourceType.TypeRaster
VECTOR_POINT = QgsProcessing.SourceType.TypeVectorPoint
POINT = QgsWkbTypes.GeometryType.PointGeometry
FILE = QgsProcessingParameterFile.Behavior.File
FOLDER = QgsProcessingParameterFile.Behavior.Folder
