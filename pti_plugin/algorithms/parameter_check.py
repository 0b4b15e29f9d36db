"""Says which file is missing, how many layers too few are given, or which words there are to choose from, where QGIS
only calls a value incorrect."""

from qgis.core import (
    QgsProcessingParameterEnum,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterLayer,
    QgsProcessingUtils,
)

from ..core.common.errors import InputError
from ..core.rasters.folders import archive, unpacked
from ..core.rasters.raster import read_info


def rasters_packed(name, item, several=True):
    """Return the rasters in an archive, such as a zip, that is given for a layer, or None for anything else.

    Raises InputError for an archive without rasters, and for one of several where a single layer is asked for.
    """
    if not isinstance(item, str) or not archive(item):
        return None
    found = unpacked(item)
    if not several and len(found) > 1:
        listed = ", ".join(member.rsplit("/", 1)[-1] for member in found[:10])
        raise InputError(f"{name}: {item} holds several rasters ({listed}). Unpack it and give the one wanted.")
    return found


def holds_archive(definition, parameters):
    """True where a raster parameter is given an archive, such as a zip."""
    given = parameters.get(definition.name())
    items = given if isinstance(given, (list, tuple)) else [given]
    return definition.type() in ("raster", "multilayer") and any(
        isinstance(item, str) and archive(item) for item in items)


def layers_problem(definitions, parameters, context):
    """Return in a sentence what is wrong with the first faulty raster parameter, or None."""
    for definition in definitions:
        given = parameters.get(definition.name())
        several = isinstance(definition, QgsProcessingParameterMultipleLayers)
        if given in (None, "", []) or not (several or isinstance(definition, QgsProcessingParameterRasterLayer)):
            continue
        items = given if isinstance(given, (list, tuple)) else [given]
        for item in items:
            try:
                # QGIS itself loads no layers from archives
                if rasters_packed(definition.name(), item, several):
                    continue
            except InputError as error:
                return str(error)
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


def refuse_null(parameters):
    """Raise InputError for a text or path that holds a null character, which ends it for some and not for others."""
    for name, value in parameters.items():
        for part in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(part, str) and "\0" in part:
                shown = part.replace("\0", "\ufffd")
                raise InputError(f"{name}: '{shown}' holds a null character, which no path and no text may. Correct "
                                 f"it.")
