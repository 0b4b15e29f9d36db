"""Says which file is missing, how many layers too few are given, or which words there are to choose from, where QGIS
only calls a value incorrect."""

from qgis.core import (
    QgsProcessingParameterEnum,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterLayer,
    QgsProcessingUtils,
)

from ..core.common.errors import InputError
from ..core.rasters.raster import read_info


def layers_problem(definitions, parameters, context):
    """Return in a sentence what is wrong with the first faulty raster parameter, or None."""
    for definition in definitions:
        given = parameters.get(definition.name())
        several = isinstance(definition, QgsProcessingParameterMultipleLayers)
        if given in (None, "", []) or not (several or isinstance(definition, QgsProcessingParameterRasterLayer)):
            continue
        items = given if isinstance(given, (list, tuple)) else [given]
        for item in items:
            if isinstance(item, str) and item and QgsProcessingUtils.mapLayerFromString(
                    item, context, True, QgsProcessingUtils.LayerHint.Raster) is None:
                return f"{definition.name()}: {_why_not_loaded(item)}"
        if several and len(items) < definition.minimumNumberInputs():
            names = ", ".join(item if isinstance(item, str) else item.name() for item in items)
            return (f"{definition.name()} needs at least {definition.minimumNumberInputs()} layers; {len(items)} "
                    f"given ({names}). Add the others.")
    return None


def words_problem(definitions, parameters):
    """Return in a sentence what is wrong with the first choice whose word is not in its list, or None."""
    for definition in definitions:
        given = parameters.get(definition.name())
        if isinstance(definition, QgsProcessingParameterEnum) and definition.usesStaticStrings() and given \
                and isinstance(given, str) and given not in definition.options():
            return f"{definition.name()} is '{given}'; it must be one of {', '.join(definition.options())}."
    return None


def _why_not_loaded(path):
    try:
        read_info(path)
    except InputError as error:
        return str(error)
    return f"QGIS cannot load {path} as a layer."
