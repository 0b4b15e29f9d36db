"""What all tools share: parameters with help, the way to the core, and the one place where errors are translated."""

import os
import signal
import threading
from contextlib import contextmanager
from decimal import Decimal

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)
from qgis.PyQt.QtCore import QThread
from qgis.PyQt.QtGui import QIcon

from ..core.common import provenance
from ..core.common.cancellation import stopped_by
from ..core.common.commit_journal import recover
from ..core.common.errors import InputError, OutputError, PtiError
from ..core.common.escapes import for_message
from ..core.common.one_set import refuse_mixed
from ..core.common.profiles import BY_PROFILE, PROFILES
from ..core.common.progress import Progress
from ..core.common.record_file import record_paths
from ..core.common.resources import resource
from ..core.common.source_files import file_inside
from ..core.common.staging import Staging
from ..core.rasters.blocks import DEFAULT_MEMORY_MB, Settings
from ..core.rasters.folders import DEFAULT_PATTERN, files_in, takes
from ..core.rasters.gdal_errors import open_raster
from ..core.rasters.input_files import files_behind
from ..core.rasters.process_state import require_memory
from ..core.rasters.raster import read_info
from ..crs_lookup import restore_crs_lookup
from . import compat
from .parameter_check import holds_archive, layers_problem, rasters_packed, refuse_null, values_problem
from .styling import style_beside, style_on_completion

#: parameters that say how to run; they never change a result
SETTINGS = ("THREADS", "BLOCK_SIZE", "MEMORY")

HELP_PAGE = "https://github.com/permafrost-thaw-index/pti-plugin/blob/main/docs/tools.md"

#: messages and help name parameters by their ids, which dialogs show in tooltips only
NAMES_HELP = "Words in capitals are the names of parameters; the tooltip of a field shows its name."

UNITS_HELP = ("Units of products that do not say theirs, as name=unit pairs separated by semicolons, for example "
              "obu_pp.tif=fraction; cci*.tif=K. Names may hold * and ?. PP: % or fraction; MAGT: degC or K.")


class FeedbackProgress(Progress):
    """Carries the core's progress to a QgsProcessingFeedback."""

    def __init__(self, feedback):
        super().__init__()
        self._feedback = feedback

    def set(self, fraction):
        """Set the progress bar."""
        self._feedback.setProgress(100.0 * fraction)

    def info(self, message):
        """Write a line to the log."""
        self._feedback.pushInfo(for_message(message))

    def warn(self, message):
        """Write a warning to the log and keep it for the record."""
        super().warn(message)
        self._feedback.pushWarning(for_message(message))

    def cancelled(self):
        """True once the user, or a signal, asked to stop."""
        return super().cancelled() or self._feedback.isCanceled()


class PtiAlgorithm(QgsProcessingAlgorithm):
    """Base of every tool. Subclasses state the class attributes, ``initAlgorithm`` and ``compute``."""

    #: frozen id, display name, group (id, name, icon file), tags, one sentence starting with a verb in -s, help text
    ID = ""
    TITLE = ""
    GROUP = ("", "", "")
    TAGS = ()
    SHORT = ""
    HELP = ""
    #: inputs that are parts of one result and must not be of different runs
    ONE_SET = ()

    def __init__(self):
        super().__init__()
        self._loaded, self._found, self._folders = {}, {}, []

    def createInstance(self):
        """Return a new tool of the same class."""
        return type(self)()

    def name(self):
        """Frozen id."""
        return self.ID

    def displayName(self):
        """Name in the toolbox."""
        return self.TITLE

    def group(self):
        """Name of the group."""
        return self.GROUP[1]

    def groupId(self):
        """Frozen id of the group."""
        return self.GROUP[0]

    def tags(self):
        """Words the toolbox search finds the tool by."""
        return [*self.TAGS, "permafrost", "pti"]

    def shortDescription(self):
        """One sentence."""
        return self.SHORT

    def shortHelpString(self):
        """Help text, plain, so that it reads well on the command line too."""
        return f"{self.SHORT}\n\n{self.HELP}\n\n{NAMES_HELP}"

    def helpUrl(self):
        """Page of the tool in the documentation."""
        return f"{HELP_PAGE}#{self.ID}"

    def icon(self):
        """Icon of the tool's group."""
        return QIcon(self.svgIconPath())

    def svgIconPath(self):
        """Path of the icon."""
        return str(resource("icons", self.GROUP[2]))

    # parameters ------------------------------------------------------------------------------------------------

    def add(self, parameter, text, advanced=False):
        """Add a parameter with its help."""
        parameter.setHelp(text)
        if advanced:
            parameter.setFlags(parameter.flags() | compat.ADVANCED)
        self.addParameter(parameter)

    def add_raster(self, name, title, text, optional=False, advanced=False):
        """Add a raster layer."""
        self.add(QgsProcessingParameterRasterLayer(name, title, optional=optional), text, advanced)

    def add_rasters(self, name, title, text, optional=False, minimum=1):
        """Add a list of raster layers."""
        parameter = QgsProcessingParameterMultipleLayers(name, title, compat.RASTER, optional=optional)
        if not optional:
            parameter.setMinimumNumberInputs(minimum)
        self.add(parameter, text)

    def add_file(self, name, title, text, optional=False, filters="All files (*)"):
        """Add an input file."""
        self.add(QgsProcessingParameterFile(name, title, compat.FILE, fileFilter=filters, optional=optional), text)

    def add_integer(self, name, title, text, default, low, high=None, advanced=False):
        """Add a whole number."""
        limits = {} if high is None else {"maxValue": high}
        self.add(QgsProcessingParameterNumber(name, title, compat.INTEGER, default, minValue=low, **limits), text,
                 advanced)

    def add_number(self, name, title, text, default, low=None, high=None, advanced=False):
        """Add a decimal number."""
        limits = {key: value for key, value in (("minValue", low), ("maxValue", high)) if value is not None}
        parameter = QgsProcessingParameterNumber(name, title, compat.DOUBLE, default, **limits)
        # QGIS shows six decimals of every number unless told; one more than the limits have leaves room
        places = max(-Decimal(str(value)).normalize().as_tuple().exponent for value in (default, *limits.values()))
        parameter.setMetadata({"widget_wrapper": {"decimals": max(2, places + 1)}})
        self.add(parameter, text, advanced)

    def add_text(self, name, title, text, default="", advanced=False):
        """Add an optional text."""
        self.add(QgsProcessingParameterString(name, title, default, optional=True), text, advanced)

    def add_choice(self, name, title, text, options, default=0, advanced=False, static=False):
        """Add a choice from a list, by its place, or by its word where ``static``: for lists that grow."""
        self.add(QgsProcessingParameterEnum(name, title, list(options), defaultValue=default, usesStaticStrings=static),
                 text, advanced)

    def add_target(self):
        """Add the optional target grid."""
        self.add_raster("TARGET", "Target grid (like this layer)",
                        "A raster whose CRS, extent and cell size the result takes. Layers on other grids are warped "
                        "on the fly: classes by mode or nearest, numbers by average or bilinear. Leave empty when all "
                        "layers share one grid.", optional=True)

    def add_profile(self):
        """Add the choice of the profile."""
        self.add_choice("PROFILE", "Profile",
                        "defensible: the choices this plugin recommends where the paper is silent or can be improved. "
                        "as_published: every choice as the paper states it. The record beside the result lists the "
                        "differences.", [profile.name for profile in PROFILES])

    def add_choice_by_profile(self, name, title, text, options, advanced=False):
        """Add a choice from a list that by default is made by PROFILE."""
        options = (*options, BY_PROFILE)
        self.add_choice(name, title, f"{text} {BY_PROFILE}: as PROFILE says.", options, options.index(BY_PROFILE),
                        advanced)

    def add_max_missing(self, default_says):
        """Add the most predictors that a cell may lack; −1 stands for what ``default_says``."""
        self.add_integer("MAX_MISSING", "Most missing predictors (-1 = default)",
                         f"A cell or point that lacks more predictors than this is left out and counted; other gaps "
                         f"follow XGBoost's own rule for missing values. Never more than half of the predictors. -1: "
                         f"{default_says}", -1, -1, advanced=True)

    def add_settings(self):
        """Add the advanced parameters that say how to run; they never change the result."""
        self.add_integer("THREADS", "Threads (0 = all cores)", "Number of threads. The result does not depend on it.",
                         0, 0, advanced=True)
        self.add_integer("BLOCK_SIZE", "Block size in cells (0 = automatic)",
                         "Side of the blocks read at once; 0 chooses it from the files. The result does not depend on "
                         "it.", 0, 0, advanced=True)
        self.add_integer("MEMORY", "Memory for blocks (MB)", "How much memory the blocks under way may take. QGIS, the "
                         "packages and the rows being written need about 450 MB beside it.",
                         DEFAULT_MEMORY_MB, 16, advanced=True)

    def add_raster_output(self, name, title, text, optional=False):
        """Add a raster output; optional ones are not made unless asked for."""
        self.add(QgsProcessingParameterRasterDestination(name, title, optional=optional, createByDefault=not optional),
                 text)

    def add_file_output(self, name, title, text, filters, optional=False):
        """Add a file output; optional ones are not made unless asked for."""
        self.add(QgsProcessingParameterFileDestination(name, title, filters, optional=optional,
                                                       createByDefault=not optional), text)

    # values ----------------------------------------------------------------------------------------------------

    def checkParameterValues(self, parameters, context):
        """Return (True, "") or (False, what is wrong)."""
        definitions = self.parameterDefinitions()
        problem = layers_problem(definitions, parameters, context) or values_problem(definitions, parameters)
        if problem:
            return False, problem
        # QGIS loads no layers from archives in archives
        loaded = [definition for definition in definitions if not holds_archive(definition, parameters)]
        if len(loaded) < len(definitions) and all(
                definition.checkValueIsAcceptable(parameters.get(definition.name()), context)
                for definition in loaded):
            return True, ""
        return super().checkParameterValues(parameters, context)

    def raster_path(self, parameters, name, context):
        """Return the data source of a raster parameter, or None where it is empty.

        Raises InputError for a layer that does not exist or is not read by GDAL.
        """
        given = parameters.get(name)
        packed = rasters_packed(name, given, several=False)
        if packed:
            return packed[0]
        layer = self.parameterAsRasterLayer(parameters, name, context)
        if layer is None:
            if given in (None, ""):
                self._refuse_empty(name)
                return None
            read_info(given if isinstance(given, str) else str(given))
            raise InputError(f"{name}: {given} is not a raster layer.")
        return _gdal_source(layer, name)

    def raster_paths(self, parameters, name, context):
        """Return the data sources of a list of rasters; raises InputError for one that does not exist."""
        given = parameters.get(name)
        items = given if isinstance(given, (list, tuple)) else [given]
        packed = [member for item in items for member in rasters_packed(name, item) or ()]
        others = [item for item in items if rasters_packed(name, item) is None] if packed else given
        for item in others if isinstance(others, (list, tuple)) else [others]:
            if isinstance(item, str) and item and context.getMapLayer(item) is None:
                open_raster(item)
        layers = self.parameterAsLayerList({**parameters, name: others}, name, context) if others or not packed else []
        if not layers and not packed:
            self._refuse_empty(name)
        return [_gdal_source(layer, name) for layer in layers] + packed

    def _refuse_empty(self, name):
        definition = self.parameterDefinition(name)
        if not definition.flags() & definition.FlagOptional:
            raise InputError(f"{name} is empty. Give it a layer: {definition.description()}.")

    def target_grid(self, parameters, context):
        """Return the Grid of TARGET, or None."""
        path = self.raster_path(parameters, "TARGET", context)
        return read_info(path).grid if path else None

    def target_input(self, parameters, context):
        """Return [("TARGET", path)], or an empty list, for the list of a run's inputs."""
        path = self.raster_path(parameters, "TARGET", context)
        return [("TARGET", path)] if path else []

    def output_path(self, parameters, name, context):
        """Return the path of an output, or None where it is skipped."""
        return self.parameterAsOutputLayer(parameters, name, context) or None

    def file_output_path(self, parameters, name, context):
        """Return the path of a file output, or None where it is skipped."""
        return self.parameterAsFileOutput(parameters, name, context) or None

    def profile(self, parameters, context):
        """Return the chosen profile."""
        return PROFILES[self.parameterAsEnum(parameters, "PROFILE", context)]

    def choice_by_profile(self, parameters, name, context, options, of_profile):
        """Return the option of a choice added by ``add_choice_by_profile``; ``of_profile`` is that of the profile."""
        place = self.parameterAsEnum(parameters, name, context)
        return options[place] if place < len(options) else of_profile

    def settings(self, parameters, context):
        """Return how to run."""
        return Settings(self.parameterAsInt(parameters, "THREADS", context),
                        self.parameterAsInt(parameters, "BLOCK_SIZE", context),
                        self.parameterAsInt(parameters, "MEMORY", context))

    # running ---------------------------------------------------------------------------------------------------

    def processAlgorithm(self, parameters, context, feedback):
        """Run the tool; every error of the core becomes a QgsProcessingException here and nowhere else."""
        progress = FeedbackProgress(feedback)
        try:
            refuse_null(parameters)
            # a model checks none of the values that it hands on
            problem = values_problem(self.parameterDefinitions(), parameters)
            if problem:
                raise InputError(problem)
            require_memory()
            with _stopped_by_signals(progress), stopped_by(progress.check):
                _recover_beside(parameters.values(), progress)
                restore_crs_lookup()
                progress.info(self._headline(parameters))
                return self.compute(parameters, context, progress)
        except PtiError as error:
            raise QgsProcessingException(str(error)) from error
        except OSError as error:
            # disks and folders go away while a run is under way, wherever it is
            told = f"{error.filename or 'A file'} cannot be read or written any more: {error.strerror or error}."
            raise QgsProcessingException(f"{for_message(told)} Put it right and run again.") from error
        except MemoryError as error:
            raise QgsProcessingException("There is not enough memory. Lower MEMORY or BLOCK_SIZE and run again.") \
                from error
        finally:
            restore_crs_lookup()

    def _headline(self, parameters):
        """Return the tool and the names of its lasting outputs: in the log of a model nothing else parts the steps."""
        given = [parameters.get(definition.name()) for definition in self.destinationParameterDefinitions()]
        # from a model, or to be loaded afterwards, the place is inside a definition
        places = [value.sink.staticValue() if hasattr(value, "sink") else value for value in given]
        names = [os.path.basename(place) for place in places if isinstance(place, str)]
        names = [name for name in names if name and not name.startswith(("OUTPUT", "TEMPORARY_OUTPUT"))]
        return f"{self.TITLE} (pti:{self.ID})" + (f": {', '.join(names)}" if names else "")

    def compute(self, parameters, context, progress):
        """Do the work; return {output name: path}. Not called run: that is QGIS's own way into an algorithm."""
        raise NotImplementedError

    def prepareAlgorithm(self, parameters, context, feedback):
        """Remember which files the project has loaded, while it may be asked: Windows cannot replace those."""
        project = context.project()
        if project is not None and project.thread() is QThread.currentThread():
            self._loaded = {layer.source().split("|")[0]: layer.name() for layer in project.mapLayers().values()}
        return super().prepareAlgorithm(parameters, context, feedback)

    def finish(self, staging, parameters, context, progress, inputs, outputs, profile=None, seed=None, results=None,
               record=None, choices=None):
        """Write record and styles beside the outputs, put all in place, and style what will be loaded.

        ``inputs``: list of (role, path); ``outputs``: {parameter name: path or None}; ``record``: the run's record
        where it was built before; ``choices``: what was used where it is not what the parameters say, None
        for what had no part. Returns the outputs made.
        """
        made = {name: path for name, path in outputs.items() if path}
        if made:
            record = record or self.record(parameters, context, progress, inputs, outputs, profile, seed, results,
                                           choices)
            files = provenance.made_files({name: staging.partial(path) for name, path in made.items()}, progress)
            record = {**record, "files_made": files, "warnings": list(progress.warnings)}
            for path in record_paths(made.values()):
                staging.write_text(path, provenance.to_json(record, os.path.dirname(path)))
        styles = {path: style_beside(staging, self.ID, name, path, progress) for name, path in made.items()}
        progress.check()
        staging.commit()
        for name, path in made.items():
            style_on_completion(context, self.ID, name, path, styles[path])
        return made

    def record(self, parameters, context, progress, inputs, outputs, profile=None, seed=None, results=None,
               choices=None):
        """Return the record of the run, for outputs that tell of it; what they are given is that of ``finish``."""
        stated = {definition.name(): self._stated(definition, parameters, context)
                  for definition in self.parameterDefinitions()}
        made = {name: path for name, path in outputs.items() if path}
        return provenance.build_record(self.ID, stated, inputs, made, profile, progress, seed, results,
                                       {name: value for name, value in
                                        {**self._choices(stated), **(choices or {})}.items() if value is not None},
                                       self._files_behind)

    def _choices(self, stated):
        """Return {name: value} of the parameters that are no files, places, or ways to run; choices as words."""
        found = {}
        for definition in self.parameterDefinitions():
            name, value = definition.name(), stated[definition.name()]
            if definition.type() not in ("number", "boolean", "string", "enum") or name in SETTINGS:
                continue
            if name == "EXCLUDE_CODES" and not stated.get("EXCLUDE"):
                value = ""
            by_number = definition.type() == "enum" and not definition.usesStaticStrings()
            found[name] = definition.options()[value] if by_number else value
        return found

    def _stated(self, definition, parameters, context):
        """Return a parameter's value as JSON holds it and as the tool can be run with again: files, not layer ids."""
        name, kind = definition.name(), definition.type()
        if kind == "multilayer":
            return self.raster_paths(parameters, name, context)
        if kind == "raster":
            return self.raster_path(parameters, name, context)
        if kind == "source":
            layer = self.parameterAsVectorLayer(parameters, name, context)
            return layer.source() if layer else _plain(parameters.get(name))
        if kind == "number":
            whole = definition.dataType() == compat.INTEGER
            return (self.parameterAsInt if whole else self.parameterAsDouble)(parameters, name, context)
        if kind == "enum" and definition.usesStaticStrings():
            return self.parameterAsEnumString(parameters, name, context)
        if kind == "crs":
            crs = self.parameterAsCrs(parameters, name, context)
            return crs.authid() or crs.toWkt()
        if kind == "enum":
            return self.parameterAsEnum(parameters, name, context)
        if kind == "boolean":
            return self.parameterAsBool(parameters, name, context)
        if kind in ("string", "file"):
            return self.parameterAsString(parameters, name, context)
        return _plain(parameters.get(name, definition.defaultValue()))

    @contextmanager
    def staging(self, inputs, outputs, progress):
        """Context with the Staging of a run, all its ``outputs`` {name: path or None} claimed before the work begins.

        ``inputs``: list of (role, path). Raises InputError where those of ONE_SET are of different runs, and
        OutputError for an output that cannot be made.
        """
        refuse_mixed(self.one_set(inputs), progress)
        files = [file for _, path in inputs for file in self._files_behind(path, progress.check)]
        made = [path for path in outputs.values() if path]
        for path in made:
            for folder, pattern in self._folders:
                if takes(folder, pattern, path):
                    raise OutputError(f"The output {path} lies in {folder}, whose files {pattern} are the layers of "
                                      f"this run; the next one would take it for a layer. Choose another folder.")
        _recover_beside(made, progress)
        with Staging(files, self._loaded) as staging:
            staging.reserve(*made, *record_paths(made))
            yield staging

    def folder_files(self, folder, pattern, progress, products):
        """Return the rasters of an input folder, in which no output may lie that would be taken for one of them."""
        self._folders.append((folder, pattern or DEFAULT_PATTERN))
        return files_in(folder, pattern, progress, products)

    def one_set(self, inputs):
        """Return those of ``inputs`` that must not be of different runs."""
        return [(role, path) for role, path in inputs if role in self.ONE_SET]

    def _files_behind(self, path, check=None):
        """Return the files behind the path of an input, looked for once a run."""
        if path not in self._found:
            self._found[path] = files_behind(path, check)
        return self._found[path]


def _recover_beside(values, progress):
    """Put right what runs that were cut short left in the folders of files among the values of parameters."""
    places = {}
    for value in values:
        for item in value if isinstance(value, (list, tuple)) else [value]:
            source = getattr(item, "source", None)
            file = source() if callable(source) else item
            if isinstance(file, str):
                file = os.path.realpath(file_inside(file) or file)
                places[file if os.path.isdir(file) else os.path.dirname(file)] = None
    for place in places:
        for sentence in recover(place):
            progress.warn(sentence)


def _gdal_source(layer, name):
    if layer.providerType() not in ("gdal",):
        raise InputError(f"{name}: the layer {layer.name()} is not a raster file (it comes from "
                         f"{layer.providerType()}). Export it to a file first.")
    return layer.source()


def _plain(value):
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    for attribute in ("source", "sink"):
        part = getattr(value, attribute, None)
        if callable(part):
            return str(part())
        if hasattr(part, "staticValue"):
            return str(part.staticValue())
    return str(value)


@contextmanager
def _stopped_by_signals(progress):
    """Let SIGINT and SIGTERM cancel a run on the main thread (qgis_process), so that it cleans up after itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            kept[number] = signal.signal(number, lambda *_: progress.stop())
        yield
    finally:
        for number, handler in kept.items():
            if handler is not None:
                signal.signal(number, handler)
