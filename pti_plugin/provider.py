"""The Processing provider: the explicit list of tools, and the bundled models."""

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms.align_rasters import AlignRasters
from .algorithms.assess_accuracy import AssessAccuracy
from .algorithms.build_pti import BuildPti
from .algorithms.compare_profiles import CompareProfiles
from .algorithms.composite_series import CompositeSeries
from .algorithms.depth_mean import DepthMean
from .algorithms.driver_maps import DriverMaps
from .algorithms.ensemble_land_cover import EnsembleLandCover
from .algorithms.ensemble_permafrost import EnsemblePermafrost
from .algorithms.predict_xgboost import PredictXgboost
from .algorithms.predictor_stack import PredictorStack
from .algorithms.print_layout import PrintLayout
from .algorithms.sample_points import SamplePoints
from .algorithms.slope import Slope
from .algorithms.summarize_zones import SummarizeZones
from .algorithms.train_xgboost import TrainXgboost
from .algorithms.trend_rasters import TrendRasters
from .algorithms.validate_boreholes import ValidateBoreholes
from .bundled_model import BundledModel
from .core.common.resources import plugin_version, resource

ALGORITHMS = (
    EnsemblePermafrost,
    EnsembleLandCover,
    TrendRasters,
    BuildPti,
    TrainXgboost,
    PredictXgboost,
    ValidateBoreholes,
    CompositeSeries,
    DepthMean,
    AlignRasters,
    Slope,
    PredictorStack,
    SamplePoints,
    DriverMaps,
    AssessAccuracy,
    SummarizeZones,
    CompareProfiles,
    PrintLayout,
)


class PtiProvider(QgsProcessingProvider):
    """Provider ``pti``."""

    def id(self):
        """Frozen id."""
        return "pti"

    def name(self):
        """Short name in the toolbox."""
        return "Permafrost Thaw Index (PTI)"

    def longName(self):
        """Name with the version."""
        return f"{self.name()} {plugin_version()}"

    def versionInfo(self):
        """Version of the plugin."""
        return plugin_version()

    def icon(self):
        """Icon of the provider."""
        return QIcon(self.svgIconPath())

    def svgIconPath(self):
        """Path of the icon."""
        return str(resource("icons", "pti.svg"))

    def loadAlgorithms(self):
        """Add every tool and every bundled model."""
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())
        for path in sorted(resource("models").glob("*.model3")):
            model = BundledModel()
            if model.fromFile(str(path)):
                model.explain()
                self.addAlgorithm(model)
