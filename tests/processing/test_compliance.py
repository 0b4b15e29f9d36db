"""Every algorithm of the provider keeps the rules of the toolbox, the modeler and the command line."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from support import ROOT

#: ids that stand from the first version on; the other tests of this file walk whatever the provider holds
TOOLS = ("ensemblepermafrost", "ensemblelandcover", "trendrasters", "buildpti", "trainxgboost", "predictxgboost",
         "validateboreholes", "compositeseries", "depthmean", "alignrasters", "slope",
         "predictorstack", "samplepoints", "drivermaps", "assessaccuracy", "summarizezones", "compareprofiles",
         "printlayout")
MODELS = ("fullchain",)

#: parameter types of QGIS itself that the modeler of 3.22 can connect
STOCK_TYPES = {"band", "boolean", "crs", "distance", "enum", "extent", "field", "file", "fileDestination",
               "folderDestination", "layer", "matrix", "multilayer", "number", "point", "raster", "rasterDestination",
               "sink", "source", "string", "vector", "vectorDestination"}
#: what is written small even at the start of a title
SMALL = ("p value", "netCDF")
MARKUP = re.compile(r"</?[a-zA-Z][^>]*>|&[a-z]+;")


@pytest.fixture(scope="module", params=TOOLS + MODELS)
def algorithm(request, provider):
    found = provider.algorithm(request.param)
    assert found is not None, f"the provider has no {request.param}"
    return found


def texts_of(algorithm):
    """Yield (place, text) of everything the algorithm says in dialogs and in command-line help."""
    for place in ("displayName", "group", "shortDescription", "shortHelpString"):
        yield place, getattr(algorithm, place)()
    for definition in (*algorithm.parameterDefinitions(), *algorithm.outputDefinitions()):
        yield f"{definition.name()} description", definition.description()
    for definition in algorithm.parameterDefinitions():
        yield f"{definition.name()} help", definition.help()


def test_no_algorithm_escapes_these_tests(provider):
    assert {algorithm.name() for algorithm in provider.algorithms()} == {*TOOLS, *MODELS}


def test_provider_has_a_name_a_version_and_an_icon_of_its_own(provider):
    metadata = dict(line.split("=", 1) for line in (ROOT / "metadata.txt").read_text(encoding="utf-8").splitlines()
                    if "=" in line)
    assert provider.id() == "pti"
    assert provider.name() == metadata["name"]
    assert provider.versionInfo() == metadata["version"] and provider.longName().endswith(metadata["version"])
    assert not provider.icon().isNull()


def test_id_and_group_are_plain_words(algorithm):
    assert re.fullmatch(r"[a-z][a-z0-9]+", algorithm.name())
    assert algorithm.id() == f"pti:{algorithm.name()}"
    assert re.fullmatch(r"[a-z][a-z0-9]+", algorithm.groupId())
    # a number in front keeps the groups in the order of the method
    assert re.fullmatch(r"\d [A-Z][A-Za-z ]+", algorithm.group())


def test_a_group_id_has_one_group_name(provider):
    names = {}
    for algorithm in provider.algorithms():
        names.setdefault(algorithm.groupId(), set()).add(algorithm.group())
    assert all(len(group) == 1 for group in names.values()), names


def test_display_names_differ(provider):
    names = [algorithm.displayName() for algorithm in provider.algorithms()]
    assert len(set(names)) == len(names)


def test_tags_let_the_toolbox_find_it(algorithm):
    tags = algorithm.tags()
    assert len(tags) >= 4 and "permafrost" in tags
    assert all(tag and tag == tag.lower().strip() for tag in tags)
    assert len(set(tags)) == len(tags)


def test_short_description_is_one_sentence_that_starts_with_a_verb(algorithm):
    text = algorithm.shortDescription()
    assert re.match(r"[A-Z][a-z]+s ", text), text
    assert text.endswith(".") and ". " not in text, text
    assert len(text) <= 120


def test_help_says_more_than_the_short_description(algorithm):
    help_text = algorithm.shortHelpString()
    assert len(help_text) > len(algorithm.shortDescription()) + 80
    assert help_text.rstrip().endswith(".")


def test_no_text_holds_markup(algorithm):
    marked = [(place, text) for place, text in texts_of(algorithm) if MARKUP.search(text)]
    assert not marked


def test_every_parameter_and_output_has_a_title_and_a_help_sentence(algorithm):
    for definition in algorithm.parameterDefinitions():
        name, title, text = definition.name(), definition.description(), definition.help()
        assert title and title != name, f"{name} has no title"
        assert title[0].isupper() or title[0].isdigit() or title.startswith(SMALL), f"{name} is titled '{title}'"
        assert len(text) > 3 and text.endswith("."), f"the help of {name} is '{text}'"


def test_parameter_names_are_upper_snake(algorithm):
    child = r"(?:[a-z][a-z_]*:)?" if algorithm.name() in MODELS else ""
    wrong = [definition.name() for definition in (*algorithm.parameterDefinitions(), *algorithm.outputDefinitions())
             if not re.fullmatch(rf"{child}[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*", definition.name())]
    assert not wrong


def test_parameters_are_stock_types_that_the_modeler_connects(algorithm, qgis_app):
    registry = qgis_app.processingRegistry()
    for definition in algorithm.parameterDefinitions():
        assert definition.type() in STOCK_TYPES, f"{definition.name()} is of type {definition.type()}"
        assert type(definition).__module__.startswith("qgis."), f"{definition.name()} is a class of its own"
        kind = registry.parameterType(definition.type())
        assert kind is not None
        if not definition.isDestination():
            assert kind.flags() & kind.ExposeToModeler, f"the modeler does not offer {definition.type()}"


def test_mandatory_parameters_come_before_the_advanced_ones(algorithm):
    shown = [bool(definition.flags() & definition.FlagAdvanced) for definition in algorithm.parameterDefinitions()
             if not definition.isDestination()]
    mandatory = [definition for definition in algorithm.parameterDefinitions()
                 if not definition.flags() & definition.FlagOptional and definition.defaultValue() is None
                 and not definition.isDestination()]
    assert not [definition.name() for definition in mandatory if definition.flags() & definition.FlagAdvanced]
    assert not all(shown)


def test_numbers_have_defaults_inside_their_limits(algorithm):
    for definition in algorithm.parameterDefinitions():
        if definition.type() == "number":
            assert definition.minimum() <= definition.defaultValue() <= definition.maximum(), definition.name()


def test_optional_outputs_are_not_made_unless_asked_for(algorithm):
    destinations = [definition for definition in algorithm.parameterDefinitions() if definition.isDestination()]
    assert destinations
    if algorithm.name() in MODELS:
        return
    for definition in destinations:
        optional = bool(definition.flags() & definition.FlagOptional)
        assert definition.createByDefault() == (not optional), definition.name()
    assert not destinations[0].flags() & destinations[0].FlagOptional, "the first output carries the record"


def test_icon_is_a_file_that_draws_something(algorithm):
    path = algorithm.svgIconPath()
    assert ElementTree.parse(path).getroot().tag.endswith("svg")
    picture = algorithm.icon().pixmap(32, 32).toImage()
    colours = {picture.pixel(x, y) for x in range(32) for y in range(32)}
    assert len(colours) > 5


def test_help_page_lies_in_the_repository_of_the_metadata(algorithm):
    repository = next(line.split("=", 1)[1] for line in
                      (ROOT / "metadata.txt").read_text(encoding="utf-8").splitlines()
                      if line.startswith("repository="))
    assert algorithm.helpUrl().startswith(repository + "/")
    assert algorithm.helpUrl().endswith(f"#{algorithm.name()}")


def test_it_is_at_hand_runs_in_the_background_and_can_be_cancelled(algorithm):
    flags = algorithm.flags()
    # QGIS draws layouts in the main thread only, as its own tools that export them do
    assert bool(flags & algorithm.FlagNoThreading) == (algorithm.name() == "printlayout")
    for name in ("FlagHideFromToolbox", "FlagHideFromModeler", "FlagDeprecated",
                 "FlagKnownIssues", "FlagRequiresProject"):
        assert not flags & getattr(algorithm, name), name
    assert flags & algorithm.FlagCanCancel


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_hides_no_method_by_which_it_is_called(provider, name):
    # these are not virtual: a method of the same name is what processing.run would call instead
    taken = {"run", "prepare", "runPrepared", "postProcess", "create", "id", "provider", "parameterDefinition",
             "parameterDefinitions", "outputDefinition", "outputDefinitions", "addParameter", "addOutput"}
    own = [kind for kind in type(provider.algorithm(name)).__mro__ if kind.__module__.startswith("pti_plugin")]
    assert len(own) >= 2
    assert not {f"{kind.__name__}.{method}" for kind in own for method in taken & set(vars(kind))}


def test_a_copy_is_the_same_algorithm(algorithm):
    copy = algorithm.create()
    assert copy is not algorithm and copy.id() == algorithm.id()
    for method in ("displayName", "groupId", "shortHelpString", "helpUrl", "svgIconPath"):
        assert getattr(copy, method)() == getattr(algorithm, method)(), method
    for method in ("parameterDefinitions", "outputDefinitions"):
        assert ([(item.name(), item.type()) for item in getattr(copy, method)()]
                == [(item.name(), item.type()) for item in getattr(algorithm, method)()])


def test_running_without_parameters_is_a_processing_error(algorithm):
    from qgis.core import QgsProcessingContext, QgsProcessingException, QgsProcessingFeedback

    context = QgsProcessingContext()
    ready, message = algorithm.checkParameterValues({}, context)
    # the training tool has no single mandatory input: its inputs are alternatives
    assert algorithm.name() == "trainxgboost" or (not ready and message)
    with pytest.raises(QgsProcessingException, match="[A-Za-z]{3}"):
        algorithm.create().run({}, context, QgsProcessingFeedback(), {}, False)


@pytest.mark.parametrize("name", TOOLS)
def test_the_tool_itself_raises_no_other_exception(provider, name):
    from qgis.core import QgsProcessingContext, QgsProcessingException, QgsProcessingFeedback

    # called directly: QGIS would turn any Python exception into its own on the way out
    with pytest.raises(QgsProcessingException) as caught:
        provider.algorithm(name).create().processAlgorithm({}, QgsProcessingContext(), QgsProcessingFeedback())
    assert re.fullmatch(r"[A-Z].{10,}[.?]", str(caught.value), re.DOTALL), caught.value
