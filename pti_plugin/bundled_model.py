"""A model that comes with the plugin: a fixed id for the command line, a readable name in the toolbox."""

from qgis.core import QgsProcessingModelAlgorithm
from qgis.PyQt.QtGui import QIcon

from .algorithms import compat
from .algorithms.base import HELP_PAGE
from .algorithms.parameter_check import layers_problem, values_problem
from .core.common.provenance import one_chain
from .core.common.resources import resource

#: model name (its id) → name in the toolbox
TITLES = {"fullchain": "Permafrost thaw index, full chain"}
TAGS = ("model", "workflow", "chain", "permafrost", "pti")


class BundledModel(QgsProcessingModelAlgorithm):
    """A model whose display name is not its id."""

    def displayName(self):
        """Name in the toolbox."""
        return TITLES.get(self.name(), self.name())

    def icon(self):
        """The provider's icon."""
        return QIcon(self.svgIconPath())

    def svgIconPath(self):
        """Path of the icon."""
        return str(resource("icons", "pti.svg"))

    def groupId(self):
        """Frozen id of the group; a model file keeps the name of its group only."""
        return "models"

    def tags(self):
        """Words the toolbox search finds the model by."""
        return list(TAGS)

    def shortHelpString(self):
        """Help text, plain: QGIS's own is HTML, which the command line shows as it stands."""
        return f"{self.shortDescription()}\n\n{self.helpContent().get('ALG_DESC', '')}"

    def helpUrl(self):
        """Page of the model in the documentation."""
        return f"{HELP_PAGE}#{self.name()}"

    def flags(self):
        """Let the model run in the background, as all its steps can: older QGIS keeps every model in the foreground."""
        return super().flags() & ~compat.NO_THREADING

    def checkParameterValues(self, parameters, context):
        """Return (True, "") or (False, what is wrong)."""
        definitions = self.parameterDefinitions()
        problem = layers_problem(definitions, parameters, context) or values_problem(definitions, parameters)
        return (False, problem) if problem else super().checkParameterValues(parameters, context)

    def processAlgorithm(self, parameters, context, feedback):
        """Run the steps as one chain, whose id is in all their records."""
        with one_chain():
            return super().processAlgorithm(parameters, context, feedback)

    def createInstance(self):
        """Return a copy of the model."""
        copy = BundledModel()
        copy.loadVariant(self.toVariant())
        copy.explain()
        return copy

    def explain(self):
        """Give each parameter its help; a model file keeps them in the help of the model."""
        texts = self.helpContent()
        for definition in self.parameterDefinitions():
            if definition.name() in texts:
                definition.setHelp(texts[definition.name()])
