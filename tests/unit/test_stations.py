"""Station tables are read as they are, and what cannot be told apart is refused with its line."""

from pathlib import Path

import pytest

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.insitu.station_files import read_stations
from pti_plugin.core.insitu.stations import ALT, DEEPEST, MAGT, site_key
from support import ROOT

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "insitu"
real = pytest.mark.skipif(not REAL.is_dir(), reason="the shared field data are not present")

LONG = """site,name,latitude,longitude,elevation_m,depth_m,year,magt_degC
B2,Beta,65.5,-150.25,310,10,2010,-2.5
B2,Beta,65.5,-150.25,310,10,2011,-2.25
B10,Gamma,70,20,,10,2010,-5
B1,Alpha,60,10,1861,10,2010,-1.75
"""


def read_series(path, quantity, columns=None, depth_rule=DEEPEST):
    return read_stations(path, quantity, columns, depth_rule)


def table(tmp_path, text, encoding="utf-8", name="stations.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def refusal(path, quantity=MAGT, **options):
    with pytest.raises(InputError) as error:
        read_series(path, quantity, **options)
    return str(error.value)


def test_a_long_table_gives_series_sorted_by_site_with_every_field(tmp_path):
    series, report = read_series(table(tmp_path, LONG), MAGT)
    assert [station.site for station in series] == ["B1", "B2", "B10"]
    beta = series[1]
    assert (beta.name, beta.latitude, beta.longitude, beta.elevation_m, beta.depth_m) == (
        "Beta", 65.5, -150.25, 310, 10)
    assert beta.values == {2010: -2.5, 2011: -2.25}
    assert series[2].elevation_m is None
    assert (report.delimiter, report.decimal_mark, report.unit, report.rows, report.values, report.sites) == (
        ",", ".", "°C", 4, 4, 3)
    assert report.warnings == []


def test_the_order_of_rows_does_not_matter(tmp_path):
    header, *rows = LONG.strip().split("\n")
    expected = read_series(table(tmp_path, LONG), MAGT)[0]
    assert read_series(table(tmp_path, "\n".join([header, *reversed(rows)])), MAGT)[0] == expected


@pytest.mark.parametrize("delimiter, comma", [(";", True), ("\t", True), ("\t", False), (";", False)])
def test_delimiter_and_decimal_comma_are_found_out(tmp_path, delimiter, comma):
    text = LONG.replace(",", delimiter)
    text = text.replace(".", ",") if comma else text
    series, report = read_series(table(tmp_path, text), MAGT)
    assert series == read_series(table(tmp_path, LONG), MAGT)[0]
    assert (report.delimiter, report.decimal_mark) == (delimiter, "," if comma else ".")


def test_quoted_decimal_commas_quoted_delimiters_and_line_breaks_are_read(tmp_path):
    text = 'site,name,lat,lon,year,magt\nA,"Ridge, upper\nplot","65,5","-150,25",2010,"-2,5"\n'
    station = read_series(table(tmp_path, text), MAGT)[0][0]
    assert (station.name, station.latitude, station.values) == ("Ridge, upper\nplot", 65.5, {2010: -2.5})


@pytest.mark.parametrize("encoding, told", [("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8"), ("latin-1", "Latin-1")])
def test_byte_order_mark_and_latin_1_are_understood(tmp_path, encoding, told):
    text = "Site;Name;Latitude;Longitude;Year;Temp\r\nN1;Juvvasshøe;61,68;8,37;2008;-1,8\r\n"
    series, report = read_series(table(tmp_path, text, encoding), MAGT)
    assert (series[0].site, series[0].name, report.encoding) == ("N1", "Juvvasshøe", told)


def test_comments_descriptions_and_empty_lines_are_passed_over(tmp_path):
    described = "/* DATA DESCRIPTION:\nCitation:\tsome, one\n*/\n" + LONG
    commented = "# SIMULATED, not measured\n\n" + LONG.replace("B10", "\n# remark\nB10") + ",,,,,,,\n"
    expected = read_series(table(tmp_path, LONG), MAGT)[0]
    assert read_series(table(tmp_path, described), MAGT)[0] == expected
    assert read_series(table(tmp_path, commented), MAGT)[0] == expected


def test_a_wide_table_has_a_column_a_year(tmp_path):
    text = "code,name,lat,long,ALT_2001,ALT_2002,2003,model_2004\nU1,Barrow,71.3,-156.6,30,-,>150,99\n"
    text += "U2,Atqasuk,70.5,-157.4,40,42,*44,99\n"
    series, report = read_series(table(tmp_path, text), ALT)
    assert [station.values for station in series] == [{2001: 0.3}, {2001: 0.4, 2002: 0.42}]
    assert report.columns["value"] == "3 year columns, 2001–2003"
    assert sum(report.skipped.values()) == 3 and len(report.skipped) == 3


def test_the_column_list_names_what_headers_do_not_tell(tmp_path):
    text = "who,breite,laenge,jahr,wert,tiefe\nA,65,-150,2010,272.15,500\nA,65,-150,2011,272.65,500\n"
    columns = "site=who; latitude=BREITE; longitude=laenge; year=jahr; value=wert; depth=tiefe; depth_unit=cm; unit=K"
    series, report = read_series(table(tmp_path, text), MAGT, columns)
    assert series[0].values == {2010: pytest.approx(-1.0), 2011: pytest.approx(-0.5)}
    assert series[0].depth_m == 5 and report.depth_unit == "cm"
    assert "'place'" in refusal(table(tmp_path, text), columns="site=place")
    assert "latitude" in refusal(table(tmp_path, text), columns="breadth=breite")
    assert "°C" in refusal(table(tmp_path, text), columns="unit=furlong")


def test_model_values_are_never_taken_for_the_measurement(tmp_path):
    text = "site,lat,lon,year,alt_model,alt_cci,Depth\nA,65,10,2010,1.4,1.5,77\n"
    series, report = read_series(table(tmp_path, text), ALT)
    assert series[0].values == {2010: 0.77} and report.columns["value"] == "Depth"
    only_model = "site,lat,lon,year,ALT_Permafrost_cci\nA,65,10,2010,1.4\n"
    assert "value" in refusal(table(tmp_path, only_model), ALT)


def test_two_candidate_columns_are_asked_about(tmp_path):
    text = "site,lat,lon,year,temp_upper,temp_lower\nA,65,10,2010,-1,-2\n"
    message = refusal(table(tmp_path, text))
    assert "temp_upper" in message and "temp_lower" in message


def test_a_missing_column_is_named_with_those_there(tmp_path):
    message = refusal(table(tmp_path, "site,lat,lon,temp\nA,65,10,-1\n"))
    assert "year" in message and "site, lat, lon, temp" in message


DEPTHS = "site,lat,lon,depth_m,year,temp\n" + "".join(
    f"A,65,10,{depth},{year},{-depth / 10}\n"
    for depth, years in ((2, range(2000, 2010)), (9, range(2000, 2004)), (11, range(2000, 2003)), (20, [2000]))
    for year in years) + "B,66,10,3,2000,-1\n"


def test_the_deepest_sensor_with_three_years_is_taken_and_said(tmp_path):
    series, report = read_series(table(tmp_path, DEPTHS), MAGT)
    assert [(station.site, station.depth_m, len(station.values)) for station in series] == [("A", 11, 3), ("B", 3, 1)]
    assert any("deepest sensor has fewer than 3 years" in warning for warning in report.warnings)


@pytest.mark.parametrize("rule, depth", [(10, 11), (2.4, 2), ("9.4", 9), (22, 20)])
def test_a_fixed_depth_takes_the_nearest_within_a_fifth(tmp_path, rule, depth):
    series, report = read_series(table(tmp_path, DEPTHS), MAGT, depth_rule=rule)
    assert [station.depth_m for station in series if station.site == "A"] == [depth]
    if rule != 2.4:
        assert any("1 of 2 sites have no sensor" in warning for warning in report.warnings)


def test_a_depth_that_no_site_has_is_refused(tmp_path):
    assert "within 20% of 5 m" in refusal(table(tmp_path, DEPTHS), depth_rule=5)
    assert DEEPEST in refusal(table(tmp_path, DEPTHS), depth_rule="shallow")


@pytest.mark.parametrize("header, depths, unit", [
    ("depth_cm", (20, 80), "cm"), ("depth", (20, 320), "cm"), ("depth", (5, 20), "m"), ("depth", (0.5, 150), "m"),
    ("Depth [m]", (100, 200), "m"), ("depth", (-5, -20), "m"),
])
def test_the_unit_of_depth_comes_from_the_header_else_from_the_range(tmp_path, header, depths, unit):
    text = f"site,lat,lon,{header},year,temp\n" + "".join(f"A,65,10,{depth},2000,-1\n" for depth in depths)
    series, report = read_series(table(tmp_path, text), MAGT)
    assert report.depth_unit == unit
    assert series[0].depth_m == pytest.approx(max(map(abs, depths)) / (100 if unit == "cm" else 1))
    assert any("unit of the sensor depths" in warning for warning in report.warnings) == (header == "depth")


def alt_table(tmp_path, values, header="alt"):
    rows = "".join(f"S{i},65,10,2000,{value}\n" for i, value in enumerate(values))
    return table(tmp_path, f"site,lat,lon,year,{header}\n{rows}")


@pytest.mark.parametrize("header, values, unit, metres", [
    ("alt", (45, 60, 80), "cm", 0.45), ("alt", (0.45, 1.6, 9), "m", 0.45), ("alt_cm", (8, 9, 9.5), "cm", 0.08),
    ("ALD [m]", (12, 14, 15), "m", 12), ("thaw_depth_mm", (450, 600, 800), "mm", 0.45),
])
def test_thaw_depths_become_metres(tmp_path, header, values, unit, metres):
    series, report = read_series(alt_table(tmp_path, values, header), ALT)
    assert report.unit == unit and series[0].values[2000] == pytest.approx(metres)
    assert ("median" in report.unit_found) == (header == "alt")


def test_mixed_units_are_refused_with_their_lines(tmp_path):
    message = refusal(alt_table(tmp_path, (45, 60, 0.8, 80, 1.2)), ALT)
    assert "lines 4, 6" in message and "mix units" in message
    text = "site,lat,lon,year,temp\nA,65,10,2000,-1\nB,65,11,2000,272.0\n"
    assert "line 3 read as Kelvin, line 2 as °C" in refusal(table(tmp_path, text))


def test_an_impossible_thaw_depth_in_the_unit_of_the_header_is_left_out_with_its_line(tmp_path):
    series, report = read_series(alt_table(tmp_path, (45, 60, 3), "alt_cm"), ALT)
    assert [station.site for station in series] == ["S0", "S1"]
    assert "3 at site S2 in 2000, line 4" in report.warnings[0]
    assert report.skipped == {"thaw depth outside 0.05–20 m": 1}
    assert "'unit=m'" in refusal(alt_table(tmp_path, (0.45, 0.6, 0.3), "alt_cm"), ALT)


def test_a_unit_given_by_the_user_keeps_an_unusual_thaw_depth_with_a_warning(tmp_path):
    series, report = read_series(alt_table(tmp_path, (45, 60, 3), "alt"), ALT, "unit=cm")
    assert series[2].values == {2000: 0.03} and "line 4" in report.warnings[0]


def test_kelvin_is_converted_and_said_unless_the_header_states_another_unit(tmp_path):
    text = "site,lat,lon,year,{}\nA,65,10,2000,270.15\n"
    for header in ("temp", "temp_K"):
        series, report = read_series(table(tmp_path, text.format(header)), MAGT)
        assert series[0].values[2000] == pytest.approx(-3)
        assert report.unit == "K" and any("Kelvin" in warning for warning in report.warnings)
    message = refusal(table(tmp_path, text.format("temp_degC")))
    assert "line 2" in message and "in °C, which is the unit stated" in message and "'unit=K'" in message
    (station,), _ = read_series(table(tmp_path, text.format("temp_degC")), MAGT, "unit=K")
    assert station.values[2000] == pytest.approx(-3)
    assert "in K, which is the unit stated" in refusal(table(tmp_path, "site,lat,lon,year,temp_K\nA,65,10,2000,-3\n"))


@pytest.mark.parametrize("values, header, kept", [
    # depths: from 5 cm to 20 m, both ends among them; temperatures: between -60 and 45 °C
    ((50, 5, 2000, 4.99, 2000.1), "alt_cm", 3), ((0.5, 0.05, 20, 0.0499, 20.001), "alt_m", 3)])
def test_the_limits_of_thaw_depths_are_possible_themselves(tmp_path, values, header, kept):
    series, report = read_series(alt_table(tmp_path, values, header), ALT)
    assert [station.site for station in series] == [f"S{i}" for i in range(kept)]
    assert sum(report.skipped.values()) == len(values) - kept


@pytest.mark.parametrize("value, possible", [(-59.99, True), (-60, False), (44.99, True), (45, False)])
def test_the_limits_of_ground_temperatures_are_impossible_themselves(tmp_path, value, possible):
    path = table(tmp_path, f"site,lat,lon,year,temp_degC\nA,65,10,2000,-1\nA,65,10,2001,{value}\n")
    if possible:
        assert read_series(path, MAGT)[0][0].values[2001] == value
    else:
        assert f"{value:g} °C in line 3 cannot be a mean annual ground temperature" in refusal(path)


def test_an_impossible_temperature_is_refused_with_its_line(tmp_path):
    assert "line 3" in refusal(table(tmp_path, "site,lat,lon,year,temp\nA,65,10,2000,-1\nA,65,10,2001,85\n"))


def test_cells_without_a_measurement_are_missing_and_counted(tmp_path):
    cells = ["60", "0", "-5", "-", "NA", "", ">150", "*70", "70*", "nan"]
    series, report = read_series(alt_table(tmp_path, cells), ALT)
    assert [station.site for station in series] == ["S0"]
    assert report.skipped == {"thaw depth of 0 or below, meaning no measurement": 2,
                              "cell saying 'no value' (-, NA)": 3, "empty cell": 1,
                              "cell giving only a bound (>, <)": 1, "cell marked *": 2}
    assert "2 × cell marked *" in report.sentences()[1]
    temperature = "site,lat,lon,year,temp\nA,65,10,2000,-999\nA,65,10,2001,-1\n"
    assert read_series(table(tmp_path, temperature), MAGT)[0][0].values == {2001: -1}


def test_a_table_without_a_usable_row_is_refused_with_the_counts(tmp_path):
    assert "2 × cell saying" in refusal(alt_table(tmp_path, ["-", "NA"]), ALT)
    assert "none has a value" in refusal(table(tmp_path, "site,lat,lon,year,temp\n"))


@pytest.mark.parametrize("row, told", [
    ("A,65,10,2001", "4 fields where the header has 5"), ("A,65,10,2001,-1,extra", "6 fields"),
    ("A,65,10,2001,cold", "'cold'"), ("A,65X,10,2001,-1", "decimal degrees"), ("A,65,10,01,-1", "'01'"),
    ('A,65,10,2001,"-1', "quotation"), (",65,10,2001,-1", "neither a site id nor a name"),
])
def test_a_malformed_line_gives_its_number(tmp_path, row, told):
    text = f"# remark\nsite,lat,lon,year,temp\nA,65,10,2000,-1\n\n{row}\nA,65,10,2002,-1\n"
    message = refusal(table(tmp_path, text))
    assert "line 5" in message and told in message


def test_mixed_decimal_marks_are_refused_with_a_line_of_each(tmp_path):
    text = 'site;lat;lon;year;alt\nA;65.5;10;2000;"1,861"\n'
    message = refusal(table(tmp_path, text), ALT)
    assert "'1,861'" in message and "'65.5'" in message


def test_sites_without_coordinates_are_left_out_and_named(tmp_path):
    header = "site,lat,lon,year,temp\n"
    rows = "".join(f"S{i},,{'n.a.' if i else ''},2000,-1\n" for i in range(7))
    series, report = read_series(table(tmp_path, header + "A,65,10,2000,-1\n" + rows), MAGT)
    assert [station.site for station in series] == ["A"]
    assert "7 annual value(s) of 7 site(s) without coordinates" in report.warnings[0]
    assert "S0, S1, S2, S3, S4, S5, S6" in report.warnings[0]
    assert report.skipped == {"value of a site without coordinates": 7}
    assert "none of its 7 site(s) has coordinates" in refusal(table(tmp_path, header + rows))
    # one row with coordinates is enough for a site
    text = "site,lat,lon,year,temp\nA,,,2000,-1\nA,65,10,2001,-1\n"
    assert read_series(table(tmp_path, text), MAGT)[0][0].values == {2000: -1, 2001: -1}


@pytest.mark.parametrize("latitude, longitude, told", [
    (-150.25, 65.5, "look swapped"), (95, 120, "beyond 90"), (65, 400, "outside −180 to 360"),
])
def test_swapped_and_impossible_coordinates_are_refused(tmp_path, latitude, longitude, told):
    text = f"site,lat,lon,year,temp\nA,65,10,2000,-1\nB,{latitude},{longitude},2000,-1\n"
    message = refusal(table(tmp_path, text))
    assert told in message and "line 3" in message and "site B" in message


def test_a_swap_that_stays_in_range_is_pointed_out(tmp_path):
    text = "site,lat,lon,year,temp\nA,8.37,61.68,2000,-1\nB,20,70,2000,-1\n"
    assert any("swapped" in warning for warning in read_series(table(tmp_path, text), MAGT)[1].warnings)
    assert not read_series(table(tmp_path, LONG), MAGT)[1].warnings


def test_longitudes_through_360_are_brought_to_180(tmp_path):
    series, report = read_series(table(tmp_path, "site,lat,lon,year,temp\nA,65,209.75,2000,-1\n"), MAGT)
    assert series[0].longitude == pytest.approx(-150.25) and "360" in report.warnings[0]


def test_duplicates_are_refused_unless_identical(tmp_path):
    text = "site,lat,lon,depth_m,year,temp\nA,65,10,5,2000,-1\nA,65,10,9,2000,-2\nA,65,10,5,2000,{}\n"
    message = refusal(table(tmp_path, text.format("-1.5")))
    assert "site A at 5 m in 2000 (line 4)" in message
    series, report = read_series(table(tmp_path, text.format("-1.0")), MAGT)
    assert len(series) == 1 and "1 row(s) repeat" in report.warnings[0]


def test_one_id_at_two_places_makes_two_sites(tmp_path):
    text = "site,name,lat,lon,year,alt\nU31,Creek,69.8,-144.8,2000,60\nU31,Mile,69.7,-148.7,2000,40\n"
    series, report = read_series(table(tmp_path, text), ALT)
    assert [station.site for station in series] == ["U31 (Creek)", "U31 (Mile)"]
    assert any("U31" in warning for warning in report.warnings)


def test_what_is_no_text_table_is_refused(tmp_path):
    book = tmp_path / "book.xls"
    book.write_bytes(b"\xd0\xcf\x11\xe0rest")
    assert "spreadsheet" in refusal(book)
    assert "empty" in refusal(table(tmp_path, "\n\n"))
    assert "no columns" in refusal(table(tmp_path, "just words\nand more\n"))
    assert "absent.csv" in refusal(tmp_path / "absent.csv")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"a,b\0c")
    assert "not a text table" in refusal(binary)


def test_sites_sort_by_their_numbers():
    assert sorted(["N10", "N2", "10", "2", "N"], key=site_key) == ["2", "10", "N", "N2", "N10"]


@real
def test_the_pvir_temperature_table_reads_as_it_is():
    series, report = read_series(REAL / "pvir_MAGT_inSitu_v3_2020.csv", MAGT)
    assert (report.rows, report.values, len(series), report.decimal_mark, report.depth_unit) == (
        29373, 29373, 396, ",", "cm")
    assert report.columns["value"] == "Temp" and report.columns["depth"] == "Depth"
    wiese = series[0]
    assert (wiese.site, wiese.depth_m, len(wiese.values)) == ("1", 0.8, 26)
    assert (wiese.values[1989], wiese.values[2015]) == (-13.37610215, -8.702912187)
    assert min(year for station in series for year in station.values) == 1980
    assert max(year for station in series for year in station.values) == 2018


@real
def test_the_pvir_thaw_depth_table_gives_measurements_not_the_model():
    series, report = read_series(REAL / "pvir_inSitu_alt.csv", ALT)
    assert (report.rows, report.values, len(series), report.unit) == (2694, 2693, 232, "cm")
    assert report.columns["value"] == "Depth"
    pump = next(station for station in series if station.site == "C10")
    assert pump.values == {1997: 0.77, 1998: 0.78, 1999: 0.77, 2000: 0.80}


@real
def test_the_pangaea_thaw_depth_table_reads_as_it_is():
    series, report = read_series(REAL / "GTN-P_CALM_ALT_1990-2024_PANGAEA972777.tab", ALT)
    assert (report.rows, report.values, len(series), report.unit_found) == (3819, 3663, 262, "as stated")
    assert report.skipped == {"empty cell": 122, "cell giving only a bound (>, <)": 34}


def test_an_excerpt_of_the_pangaea_table_gives_every_value_of_its_rows():
    path = ROOT / "tests" / "data" / "real" / "PANGAEA.972777_excerpt.tab"
    lines = path.read_text(encoding="utf-8").split("*/\n", 1)[1].splitlines()
    header, *rows = [line.split("\t") for line in lines]
    of = {name: header.index(name) for name in ("Site", "Latitude", "Longitude", "Date/Time", "ALD [cm]")}
    expected, left_out = {}, {"empty cell": 0, "cell giving only a bound (>, <)": 0}
    for row in rows:
        text = row[of["ALD [cm]"]].strip()
        if not text or text[0] in "<>":
            left_out["cell giving only a bound (>, <)" if text else "empty cell"] += 1
            continue
        place = row[of["Site"]], float(row[of["Latitude"]]), float(row[of["Longitude"]])
        expected.setdefault(place, {})[int(row[of["Date/Time"]][:4])] = pytest.approx(float(text) / 100)
    series, report = read_series(path, ALT)
    assert {(station.site, station.latitude, station.longitude): station.values for station in series} == expected
    assert len(series) > 20 and min(left_out.values()) > 0 and dict(report.skipped) == left_out
    if REAL.is_dir():
        whole = (REAL / "GTN-P_CALM_ALT_1990-2024_PANGAEA972777.tab").read_text(encoding="utf-8").splitlines()
        assert set(lines) <= set(whole)
