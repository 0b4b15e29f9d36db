"""Units are used where declared and right, said where contradicted, and never guessed in silence."""

import re

import numpy as np
import pytest

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.rasters.raster import SourceReader, on_grid, read_info, source
from pti_plugin.core.rasters.units import (
    QUANTITIES,
    Quantity,
    check_patterns,
    in_unit,
    is_no_unit,
    matching,
    parse_assignments,
    unit_named,
    unit_of,
)
from support import Log, write_raster

CELSIUS = np.array([[-12.0, -3.0, 0.0], [np.nan, 1.5, 4.0]])
PERCENT = np.array([[0.0, 3.0, 50.0], [np.nan, 88.0, 100.0]])


def guarded(path, quantity, stated="", log=None):
    """Set a raster up as the tools do and read it in the method's unit."""
    info, reader = read_info(path), SourceReader()
    item = source(path, single_band=True, info=info)
    item = in_unit(item, QUANTITIES[quantity], info.units[0], matching(parse_assignments(stated, "UNITS"), info.name),
                   reader.sample(item), log or Log())
    return reader.read(item, 0, item.grid.height, 0, item.grid.width)


def written(folder, values, unit=None, **options):
    return write_raster(folder / "layer.tif", values, nodata=-9999, dtype="float64", unit=unit, **options)


@pytest.mark.parametrize("unit, values, quantity, expected", [
    ("K", CELSIUS + 273.15, "magt", CELSIUS), ("kelvin", CELSIUS + 273.15, "magt", CELSIUS),
    ("degC", CELSIUS, "magt", CELSIUS), ("°C", CELSIUS, "magt", CELSIUS), (None, CELSIUS, "magt", CELSIUS),
    ("\u2103", CELSIUS, "magt", CELSIUS), ("degree Celsius", CELSIUS, "magt", CELSIUS),
    ("degrees_C", CELSIUS, "magt", CELSIUS), ("none", CELSIUS, "magt", CELSIUS),
    ("degF", CELSIUS * 1.8 + 32, "magt", CELSIUS), ("0.01 K", (CELSIUS + 273.15) * 100, "magt", CELSIUS),
    ("\u2030", PERCENT * 10, "pp", PERCENT), ("percent", PERCENT, "pp", PERCENT), ("0-1", PERCENT / 100, "pp", PERCENT),
    ("1", PERCENT / 100, "pp", PERCENT), ("fraction", PERCENT / 100, "pp", PERCENT), ("%", PERCENT, "pp", PERCENT),
    (None, PERCENT, "pp", PERCENT)])
def test_a_declared_unit_that_fits_is_used(tmp_path, unit, values, quantity, expected):
    log = Log()
    np.testing.assert_allclose(guarded(written(tmp_path, values, unit), quantity, log=log), expected, atol=1e-9)
    assert not log.warnings
    converted = not np.allclose(values, expected, equal_nan=True)
    assert bool(log.lines) is converted
    if converted:
        assert "converted to" in log.lines[0] and "layer.tif" in log.lines[0]


@pytest.mark.parametrize("unit, values, quantity", [("K", CELSIUS, "magt"), ("1", PERCENT, "pp")])
def test_a_declared_unit_that_the_values_contradict_is_said_and_not_believed(tmp_path, unit, values, quantity):
    log = Log()
    np.testing.assert_array_equal(guarded(written(tmp_path, values, unit), quantity, log=log), values)
    assert len(log.warnings) == 1
    assert f"declares its unit as '{unit}'" in log.warnings[0] and "layer.tif" in log.warnings[0]


@pytest.mark.parametrize("stated, values, quantity, expected", [
    ("layer.tif=K", CELSIUS + 273.15, "magt", CELSIUS), ("LAYER*=kelvin", CELSIUS + 273.15, "magt", CELSIUS),
    ("*=fraction", PERCENT / 100, "pp", PERCENT), ("*=fraction; layer*=%", PERCENT, "pp", PERCENT),
    ("layer.tif=%", PERCENT / 200, "pp", PERCENT / 200)])
def test_a_stated_unit_is_used(tmp_path, stated, values, quantity, expected):
    np.testing.assert_allclose(guarded(written(tmp_path, values), quantity, stated), expected, atol=1e-9)


def test_a_stated_unit_wins_over_the_declared_one(tmp_path):
    path = written(tmp_path, PERCENT / 100, unit="%")
    np.testing.assert_allclose(guarded(path, "pp", "layer.tif=fraction"), PERCENT)


@pytest.mark.parametrize("unit, values, quantity, looks", [
    (None, CELSIUS + 273.15, "magt", "K"), ("degC", CELSIUS + 273.15, "magt", "K"),
    (None, PERCENT / 100, "pp", "fraction"), ("%", PERCENT / 100, "pp", "fraction")])
def test_suspicious_values_stop_with_a_remedy_that_works(tmp_path, unit, values, quantity, looks):
    path = written(tmp_path, values, unit)
    with pytest.raises(InputError, match=f"looks like {looks}") as caught:
        guarded(path, quantity)
    remedies = re.findall(r"set UNITS to (\S+=[^;.\s]+)", str(caught.value))
    assert len(remedies) == 2
    expected = CELSIUS if quantity == "magt" else PERCENT
    np.testing.assert_allclose(guarded(path, quantity, remedies[0]), expected, atol=1e-9)
    if quantity == "pp":
        # values under 1 % are rare, but the user may know better
        np.testing.assert_allclose(guarded(path, quantity, remedies[1]), values)
    else:
        with pytest.raises(InputError, match="outside the plausible"):
            guarded(path, quantity, remedies[1])


@pytest.mark.parametrize("values, quantity", [(PERCENT * 100, "pp"), (PERCENT - 20, "pp"), (CELSIUS * 100, "magt"),
                                              (CELSIUS - 9000, "magt")])
def test_values_in_no_known_unit_are_refused(tmp_path, values, quantity):
    with pytest.raises(InputError, match=r"layer\.tif runs from .* outside .* Check the layer, its nodata value"):
        guarded(written(tmp_path, values), quantity)


def test_a_wrong_statement_is_caught_by_the_plausible_range(tmp_path):
    with pytest.raises(InputError, match=r"holds the value -28\d.*outside the plausible -60 to 60"):
        guarded(written(tmp_path, CELSIUS), "magt", "layer.tif=K")
    with pytest.raises(InputError, match="outside the plausible 0 to 100"):
        guarded(written(tmp_path, PERCENT), "pp", "layer.tif=fraction")


def test_a_value_the_decimated_sample_missed_is_caught_when_it_is_read(tmp_path):
    values = np.full((1200, 1100), -4.0)
    values[777, 333] = 269.0
    path = write_raster(tmp_path / "layer.tif", values, dtype="float32")
    with pytest.raises(InputError, match="holds the value 269, outside the plausible -60 to 60"):
        guarded(path, "magt")


def test_rounding_in_a_file_does_not_overstep_the_range(tmp_path):
    values = np.array([[0.0, 0.5, np.nextafter(np.float32(1), np.float32(2))]])
    path = write_raster(tmp_path / "layer.tif", values, dtype="float32", unit="1")
    np.testing.assert_allclose(guarded(path, "pp"), [[0, 50, 100]], atol=1e-4)


def test_a_layer_of_nodata_only_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"layer\.tif has no data at all"):
        guarded(written(tmp_path, np.full((2, 2), np.nan)), "magt")


def test_sparse_data_is_found_where_the_sample_meets_none(tmp_path):
    values = np.full((1500, 1300), np.nan)
    values[1391, 1203] = -7.0
    path = write_raster(tmp_path / "layer.tif", values, nodata=-9999, dtype="float32")
    assert np.nansum(guarded(path, "magt")) == -7.0


def test_an_unknown_unit_is_refused_with_those_that_are_known(tmp_path):
    with pytest.raises(InputError, match="UNITS says 'm' for layer.tif.*known in degC or K"):
        guarded(written(tmp_path, CELSIUS), "magt", "layer.tif=m")


def test_units_survive_warping(tmp_path):
    path = write_raster(tmp_path / "layer.tif", np.full((20, 20), 271.15), dtype="float32", unit="K")
    target = read_info(write_raster(tmp_path / "target.tif", np.zeros((5, 5)),
                                    transform=(0, 50000, 0, 0, 0, -50000))).grid
    info, reader = read_info(path), SourceReader()
    item = in_unit(source(path), QUANTITIES["magt"], info.units[0], None, reader.sample(source(path)), Log())
    values = reader.read(on_grid(item, target), 0, 5, 0, 5)
    np.testing.assert_allclose(values[~np.isnan(values)], -2.0, atol=1e-4)
    assert (~np.isnan(values)).any()


@pytest.mark.parametrize("unit, quantity", [("furlong", "magt"), ("m", "magt"), ("K", "pp"), ("mg/m3", "pp")])
def test_a_declared_unit_of_something_else_is_refused_by_name(tmp_path, unit, quantity):
    with pytest.raises(InputError, match=rf"layer\.tif declares the unit '{unit}', which is not known for .*Set UNITS"):
        guarded(written(tmp_path, CELSIUS if quantity == "magt" else PERCENT, unit), quantity)
    # the remedy works
    own = QUANTITIES[quantity].unit
    guarded(written(tmp_path, CELSIUS if quantity == "magt" else PERCENT, unit), quantity, f"layer.tif={own}")


#: spellings of CF, UDUNITS and of people, and the unit each means
SPELLINGS = {
    "degC": ("degC", "degree Celsius", "degrees_celsius", "degree_C", "degrees_C", "deg C", "deg_C", "Celsius",
             "\u2103", "\u00b0C", "\u00b0 C", "\u00baC", "C", "celsius", "DEGC"),
    "K": ("K", "Kelvin", "kelvin", "deg K", "degrees_K", "degree_Kelvin", "\u212a"),
    "degF": ("degF", "degree_fahrenheit", "\u2109", "\u00b0F", "Fahrenheit"),
    "%": ("%", "percent", "per cent", "Percentage", "pct", "\uff05"), "fraction": ("1", "0-1", "0\u20131", "fraction"),
    "m": ("m", "metre", "meters", "Meter"), "cm": ("cm", "centimeters"), "d": ("d", "days", "day"),
    "kg/m3": ("kg m-3", "kg/m3", "kg/m^3", "kg m^-3", "kg m**-3", "kg.m-3", "kg\u00b7m\u207b\u00b3", "kg/m\u00b3",
              "kg m\u22123", "kg_m-3"),
    "g/cm3": ("g/cm3", "g/cm^3", "g cm-3", "g cm^-3", "g/cm\u00b3", "g cm**-3", "Mg/m3", "Mg m-3", "t/m3",
              "kg/dm\u00b3"),
    "g/kg": ("g/kg", "g kg-1", "g kg^-1", "g\u00b7kg\u207b\u00b9"), "dg/kg": ("dg/kg", "dg kg-1"),
    "cm3/dm3": ("cm3/dm3", "cm\u00b3/dm\u00b3", "cm^3 dm^-3", "10-3 cm3/cm3"),
    "vol%": ("vol%", "vol %", "% vol", "volume percent"),
}


@pytest.mark.parametrize("name, spelling", [(name, text) for name, texts in SPELLINGS.items() for text in texts])
def test_a_unit_is_known_by_every_usual_spelling(name, spelling):
    assert unit_named(spelling) == unit_named(f"  {spelling} ") == name


@pytest.mark.parametrize("text", ["", "mg/m3", "W m-2", "kgm", "degree", "%%", "K/yr", "m s-1", "10", "1e400 K",
                                  "0 K"])
def test_what_is_no_unit_of_the_table_is_none(text):
    assert unit_of(text) is None and unit_named(text) == text


def test_conversions_agree_with_the_definitions_of_the_units():
    temperature = Quantity("temperature", "degC", -200, 200, {})
    for unit, value, expected in (("K", 300.0, 26.85), ("degF", -40.0, -40.0), ("degF", 212.0, 100.0),
                                  ("0.01 K", 27315.0, 0.0), ("0.1 degC", 15.0, 1.5), ("1e-2*K", 27415.0, 1.0)):
        scale, offset = temperature.conversion(unit)
        assert value * scale + offset == pytest.approx(expected, abs=1e-9), unit
    fahrenheit = Quantity("temperature", "degF", -200, 200, {})
    scale, offset = fahrenheit.conversion("K")
    assert 273.15 * scale + offset == pytest.approx(32.0)
    density = Quantity("density", "g/cm3", 0, 3, {})
    assert density.conversion("kg m-3") == pytest.approx((0.001, 0)) and density.conversion("K") is None
    plain = Quantity("NDVI", "", -1, 1, {})
    assert plain.conversion("1") == plain.conversion("none") == plain.conversion("") == (1.0, 0.0)
    assert plain.conversion("%") is None and plain.conversion("K") is None


def test_words_for_no_unit():
    assert all(map(is_no_unit, ("", " ", "none", "None", "-", "unitless", "N/A", None)))
    assert not any(map(is_no_unit, ("1", "%", "m")))


@pytest.mark.parametrize("text", ["obu", "obu=", "=K", "a=K; b"])
def test_malformed_statements_are_refused(text):
    with pytest.raises(InputError, match="not of the form name=value, for example"):
        parse_assignments(text, "UNITS")


def test_patterns():
    pairs = parse_assignments(" obu*=fraction ; cci_?.tif=K,", "UNITS")
    assert pairs == [("obu*", "fraction"), ("cci_?.tif", "K")]
    assert parse_assignments(None, "UNITS") == []
    assert matching(pairs, "OBU_pp.tif") == "fraction" and matching(pairs, "cci_10.tif") is None
    check_patterns(pairs, ["obu_pp.tif", "cci_1.tif"], "UNITS")
    with pytest.raises(InputError, match=r"'cci_\?\.tif' in UNITS matches none of the inputs: obu_pp\.tif"):
        check_patterns(pairs, ["obu_pp.tif"], "UNITS")


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("pairs, name, wanted", [
    ("my_*=obu_pp; *=none", "my_pp.tif", "obu_pp"), ("my_*=obu_pp; *=none", "your_pp.tif", "none"),
    ("my_pp.tif=obu_pp; *.tif=none", "my_pp.tif", "obu_pp"), ("my_*=obu_pp; *.tif=none", "my_pp.tif", "obu_pp"),
    ("my_p*=obu_pp; my_*=none", "MY_PP.tif", "obu_pp"), ("my_p?.tif=none; my_pp.tif=obu_pp", "my_pp.tif", "obu_pp"),
    ("*=K; cci*=fraction", "cci_pp.nc:PFR", "fraction"), ("[mn]y_*=none; my_*=obu_pp", "my_pp.tif", "obu_pp")])
def test_the_closest_pattern_counts_in_whatever_order(order, pairs, name, wanted):
    assert matching(parse_assignments(pairs, "PRODUCT")[::order], name) == wanted


def test_of_equally_close_patterns_the_last_counts():
    assert matching(parse_assignments("*_pp=K; my_*=%", "UNITS"), "my_pp") == "%"
