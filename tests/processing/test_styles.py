"""Styles: every layer a tool makes has one, beside the file and on what Processing loads, of the real classes only."""

import importlib
import pkgutil

import build_styles
import numpy as np
import pytest

from pti_plugin.core.common.ranks import RANKS
from pti_plugin.core.reporting import output_styles
from pti_plugin.core.reporting.figures import relative_luminance
from support import read_raster, write_raster

LAYERS = ("rasterDestination", "vectorDestination", "sink")


def without_style(algorithms):
    """Return the (tool, output) of every layer output of ``algorithms`` for which no style is stated."""
    return {(tool.name(), item.name()) for tool in algorithms for item in tool.parameterDefinitions()
            if item.isDestination() and item.type() in LAYERS and not output_styles.stated(tool.name(), item.name())}


def written_tools():
    """Return an instance of every tool there is a class of, registered or not."""
    from pti_plugin import algorithms
    from pti_plugin.algorithms.base import PtiAlgorithm

    for module in pkgutil.iter_modules(algorithms.__path__):
        importlib.import_module(f"{algorithms.__name__}.{module.name}")
    return [kind().create() for kind in PtiAlgorithm.__subclasses__() if kind.__module__.startswith("pti_plugin.")]


def layer_of(path):
    from qgis.core import QgsRasterLayer

    layer = QgsRasterLayer(str(path), "layer")
    assert layer.isValid()
    return layer


def shown(layer):
    """Return {value: (label, colour)} of a layer's legend."""
    renderer = layer.renderer()
    if renderer.type() == "categorizedSymbol":
        return {category.value(): (category.label(), category.symbol().color().name())
                for category in renderer.categories()}
    return {entry.value: (entry.label, entry.color.name()) for entry in renderer.classes()}


# every output -------------------------------------------------------------------------------------------------------

def test_every_layer_of_every_tool_has_a_stated_style(provider):
    from pti_plugin.algorithms.base import PtiAlgorithm

    assert without_style([tool for tool in provider.algorithms() if isinstance(tool, PtiAlgorithm)]) == set()


def test_an_output_without_a_style_is_found(provider):
    from pti_plugin.algorithms.base import PtiAlgorithm

    class Planted(PtiAlgorithm):
        ID = "planted"

        def initAlgorithm(self, configuration=None):
            self.add_raster_output("OUTPUT", "Raster", "No style.")
            self.add_file_output("OUTPUT_TABLE", "Table", "Needs none.", "CSV (*.csv)")

    planted = Planted()
    planted.initAlgorithm()
    assert without_style([planted]) == {("planted", "OUTPUT")}


def test_no_style_is_stated_for_what_no_tool_makes(provider):
    made = {(tool.name(), item.name()) for tool in written_tools() for item in tool.parameterDefinitions()
            if item.isDestination() and item.type() in LAYERS}
    assert set(output_styles.STYLES) - made == set()


# classes ------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def index(provider, tmp_path_factory):
    """The index of eleven columns, one a rank and one above 3 °C, as the tool writes it: {output: path}."""
    import processing

    folder = tmp_path_factory.mktemp("index")
    magt = np.tile([-5.0] * 3 + [-2.0] * 3 + [0.0] * 4 + [5.0], (4, 1))
    trends = np.array([(0, 0), (1, 0), (1, 1)] * 3 + [(0, 0)] * 2)
    layers = {"MAGT": magt, "PP": np.tile([80.0] * 9 + [5.0, 80.0], (4, 1)), "BASE": np.ones((4, 11)),
              "MAGT_TREND": np.tile(trends[:, 0], (4, 1)), "ALT_TREND": np.tile(trends[:, 1], (4, 1))}
    paths = {name: write_raster(folder / f"{name.lower()}.tif", values.astype("float32"), nodata=-9999)
             for name, values in layers.items()}
    return processing.run("pti:buildpti", {**paths, "OUTPUT": str(folder / "pti.tif"),
                                           "OUTPUT_REASON": str(folder / "reason.tif")})


def test_a_class_raster_as_qgis_adds_it_lists_the_real_classes_only(index):
    assert sorted(np.unique(read_raster(index["OUTPUT"])[:, :10])) == [rank.code for rank in RANKS]
    assert shown(layer_of(index["OUTPUT"])) == {rank.code: (rank.label, rank.colour) for rank in RANKS}
    assert len(shown(layer_of(index["OUTPUT_REASON"]))) == 12


def test_processing_gets_the_same_style_as_the_file(index):
    from pti_plugin.algorithms.styling import _Styler

    beside, brought = layer_of(index["OUTPUT_REASON"]), layer_of(index["OUTPUT"])
    _Styler("buildpti", "OUTPUT_REASON").postProcessLayer(brought, None, None)
    assert shown(brought) == shown(beside)


@pytest.mark.parametrize("tool, geometry, field", [("samplepoints", "Point", "pti"),
                                                   ("summarizezones", "Polygon", "first_rank")])
def test_points_and_zones_have_the_colour_and_the_name_of_their_rank(provider, tool, geometry, field):
    from qgis.core import QgsFeature, QgsRenderContext, QgsVectorLayer

    from pti_plugin.algorithms.styling import _Styler

    layer = QgsVectorLayer(f"{geometry}?crs=EPSG:4326&field={field}:integer", "ranked", "memory")
    _Styler(tool, "OUTPUT").postProcessLayer(layer, None, None)
    legend = shown(layer)
    assert {int(code): legend[code] for code in legend if str(code).strip()} == {
        rank.code: (rank.label, rank.colour) for rank in RANKS}
    # what the renderer draws rank 22 with, and a feature without a rank: zones have some, samples none
    renderer, context, drawn = layer.renderer(), QgsRenderContext(), []
    renderer.startRender(context, layer.fields())
    for rank in (22, None):
        feature = QgsFeature(layer.fields())
        feature.setAttributes([rank])
        symbol = renderer.symbolForFeature(feature, context)
        drawn.append(symbol and symbol.color().name())
    renderer.stopRender(context)
    assert drawn == ["#43b96c", "#e8e6e1" if geometry == "Polygon" else None]


def test_codes_that_no_table_names_are_found_in_the_raster(provider, tmp_path):
    rng = np.random.default_rng(4)
    values = rng.choice([0, 7, 12], (300, 40))
    # one code in the first row alone, one in the last
    values[0, 3], values[-1, 5] = 220, 9
    path = write_raster(tmp_path / "codes.tif", values, dtype="uint8", nodata=0)
    calls = []
    found = output_styles.codes_found(path, lambda: calls.append(1))
    assert {code: name for code, (name, _) in found.items()} == {7: "7", 9: "9", 12: "12", 220: "220"}
    assert len({rgb for _, rgb in found.values()}) == 4 and len(calls) == 2
    many = write_raster(tmp_path / "many.tif", np.arange(100).reshape(10, 10), dtype="int16")
    floats = write_raster(tmp_path / "floats.tif", values.astype("float32"))
    assert output_styles.codes_found(many, lambda: None) == output_styles.codes_found(floats, lambda: None) == {}


# ramps --------------------------------------------------------------------------------------------------------------

def styled(tool, output, path):
    from pti_plugin.algorithms.styling import _Styler

    layer = layer_of(path)
    _Styler(tool, output).postProcessLayer(layer, None, None)
    shader = layer.renderer().shader().rasterShaderFunction()
    # the layer goes along, since the shader dies with it
    return {round(item.value, 6): item.color.name() for item in shader.colorRampItemList()}, layer


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    values = np.linspace(-4, 9, 400).reshape(20, 20).astype("float32")
    return write_raster(tmp_path_factory.mktemp("numbers") / "numbers.tif", values, nodata=-9999)


def test_temperature_is_white_at_zero_and_has_the_limits_of_the_tiers(provider, numbers):
    items, layer = styled("ensemblepermafrost", "OUTPUT_MAGT", numbers)
    shader = layer.renderer().shader().rasterShaderFunction()
    assert items[0] == "#f7f7f7" and {-3, -1.5, 3} <= set(items)
    # beyond the ends the colours of the ends
    assert shader.shade(-40.0)[1:4] == shader.shade(-15.0)[1:4] == (0x05, 0x30, 0x61)
    assert shader.shade(25.0)[1:4] == shader.shade(6.0)[1:4]


@pytest.mark.parametrize("tool, output, low, high", [
    ("ensemblepermafrost", "OUTPUT_PP", 0, 100), ("predictxgboost", "OUTPUT_AGREEMENT", 0, 100),
    ("predictxgboost", "OUTPUT_ENTROPY", 0, 1), ("predictxgboost", "OUTPUT_PROBABILITIES", 0, 1),
    ("trendrasters", "OUTPUT_P", 0, 1), ("trendrasters", "OUTPUT_TAU", -1, 1)])
def test_quantities_with_a_range_of_their_own_keep_it_whatever_the_cells_hold(provider, numbers, tool, output, low,
                                                                            high):
    items, _ = styled(tool, output, numbers)
    assert (min(items), max(items)) == (low, high)


def test_signed_numbers_are_white_at_zero_and_end_as_far_below_as_above(provider, numbers):
    items, _ = styled("trendrasters", "OUTPUT_SLOPE", numbers)
    assert items[0] == "#f7f7f7" and max(items) == -min(items) == pytest.approx(9)


def test_counts_begin_at_zero(provider, numbers):
    items, _ = styled("trendrasters", "OUTPUT_COUNT", numbers)
    assert min(items) == 0 and max(items) == pytest.approx(9)


@pytest.mark.parametrize("low, high, ends", [(0.0, 90.033297, (0, 90.1)), (-0.0312, 0.04811, (-0.0312, 0.0482)),
                                             (9991.26, 10012.7, (9991.2, 10012.7)), (-5.0, 5.0, (-5.0, 5.0))])
def test_a_range_from_the_cells_ends_at_round_numbers_beyond_them(low, high, ends):
    stops = output_styles.Ramp(("#000000", "#ffffff")).stops(low, high, (low + high) / 2, high - low)
    assert (stops[0][0], stops[-1][0]) == pytest.approx(ends, abs=1e-3 * (high - low))
    assert stops[0][0] <= low + 1e-6 * (high - low) and stops[-1][0] >= high - 1e-6 * (high - low)


def test_a_raster_of_one_value_keeps_the_style_of_qgis(provider, tmp_path):
    from pti_plugin.algorithms.styling import _Styler

    layer = layer_of(write_raster(tmp_path / "flat.tif", np.full((5, 5), 2.5, "float32")))
    before = layer.renderer().type()
    _Styler("slope", "OUTPUT_ELEVATION").postProcessLayer(layer, None, None)
    assert layer.renderer().type() == before


def test_ramps_get_darker_from_little_to_much_and_from_zero_to_both_ends():
    for colours in (output_styles.LIGHT_TO_DARK, output_styles.CERTAIN_TO_UNCERTAIN):
        light = [relative_luminance(colour) for colour in colours]
        assert light == sorted(light, reverse=True)
    for colours in (output_styles.FALL_TO_RISE, [colour for _, colour in output_styles.MAGT_STOPS]):
        light = [relative_luminance(colour) for colour in colours]
        top = light.index(max(light))
        assert light[:top] == sorted(light[:top]) and light[top:] == sorted(light[top:], reverse=True)


# files for use by hand ----------------------------------------------------------------------------------------------

def test_the_style_files_are_what_the_script_builds_and_nothing_else_lies_there():
    texts = build_styles.texts()
    assert {path: path.read_text(encoding="utf-8") for path in build_styles.FOLDER.iterdir()} == texts, (
        "run scripts/build_styles.py")


@pytest.mark.parametrize("name", sorted(build_styles.FILES))
def test_each_style_file_is_taken_by_a_layer_of_its_kind(provider, numbers, name):
    from qgis.core import QgsVectorLayer

    points = name in ("sample_points", "stations")
    layer = QgsVectorLayer("Point?crs=EPSG:4326&field=pti:integer", "", "memory") if points else layer_of(numbers)
    _, done = layer.loadNamedStyle(str(build_styles.FOLDER / f"{name}.qml"))
    assert done and layer.renderer().type() in (
        ("categorizedSymbol", "RuleRenderer") if points else ("paletted", "singlebandpseudocolor"))
