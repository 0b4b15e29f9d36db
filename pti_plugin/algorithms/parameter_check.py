"""Says which file is missing, how many layers too few are given, or which words there are to choose from, where QGIS
only calls a value incorrect, or takes the default in its place: a model hands on what an expression gives unchecked."""

import math

from qgis.core import (
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterLayer,
    QgsProcessingUtils,
)

from ..core.common.errors import InputError
from ..core.rasters.folders import archive, unpacked
from ..core.rasters.gdal_errors import refuse_damaged_header
from ..core.rasters.raster import read_info
from . import compat

#: texts that a switch may be given as
_SWITCHES = ("true", "false", "1", "0")


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
                if isinstance(item, str):
                    # QGIS would have GDAL open it at once
                    refuse_damaged_header(item)
            except InputError as error:
                return str(error)
            if isinstance(item, str) and item and not _loaded(item, context):
                return f"{definition.name()}: {_why_not_loaded(item)}"
        if several and len(items) < definition.minimumNumberInputs():
            names = ", ".join(item if isinstance(item, str) else item.name() for item in items)
            return (f"{definition.name()} needs at least {definition.minimumNumberInputs()} layers; {len(items)} "
                    f"given ({names}). Add the others.")
    return None


def values_problem(definitions, parameters):
    """Return in a sentence what is wrong with the first number, choice or switch that is none, or None.

    What has no value, or one that is still to be evaluated, is left to QGIS.
    """
    for definition in definitions:
        given = parameters.get(definition.name())
        if not isinstance(given, (str, bool, int, float)) or given == "":
            continue
        asked = _ASKED.get(definition.type(), lambda *_: None)(definition, given)
        if asked:
            shown = f"'{given}'" if isinstance(given, str) else f"{given}"
            return f"{definition.name()} is {shown}; it must be {asked}."
    return None


def _number_asked(definition, given):
    """Return what a number must be where ``given`` is not that, else None."""
    low, high = definition.minimum(), definition.maximum()
    whole = definition.dataType() == compat.INTEGER
    value = _number(given)
    if value is not None and low <= value <= high and not (whole and value % 1):
        return None
    kind = "a whole number" if whole else "a number"
    if high < _NO_LIMIT:
        return f"{kind} from {low:g} to {high:g}"
    return f"{kind} of at least {low:g}" if low > -_NO_LIMIT else kind


def _choice_asked(definition, given):
    """Return what a choice must be where ``given`` is not that, else None."""
    options = definition.options()
    if definition.usesStaticStrings():
        return None if given in options else f"one of {', '.join(options)}"
    value = _number(given)
    if value is not None and value in range(len(options)):
        return None
    return f"the number of a choice: {', '.join(f'{place} for {word}' for place, word in enumerate(options))}"


def _switch_asked(definition, given):
    """Return what a switch must be where ``given`` is not that, else None: QGIS takes any other text for true."""
    return "true or false" if isinstance(given, str) and given.strip().lower() not in _SWITCHES else None


#: limits beyond which there is none
_NO_LIMIT = 1e300
#: type of a parameter → function of its definition and a value that gives what it must be
_ASKED = {"number": _number_asked, "enum": _choice_asked, "boolean": _switch_asked}


def _number(given):
    try:
        value = float(given)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _loaded(path, context):
    """Return whether QGIS loads a raster; for some damaged ones its own code raises an Exception, "unknown"."""
    try:
        return QgsProcessingUtils.mapLayerFromString(path, context, True,
                                                     QgsProcessingUtils.LayerHint.Raster) is not None
    except Exception:
        return False


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
