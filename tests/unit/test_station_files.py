"""Every format of station data is found by its content and read; what is malformed is refused with its line."""

import json
import math
import tracemalloc
from datetime import date, timedelta

import numpy as np
import pytest
from osgeo import gdal, ogr

from pti_plugin.core.common.errors import Cancelled, DependencyError, InputError
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.insitu import spreadsheets
from pti_plugin.core.insitu.station_files import read_stations
from pti_plugin.core.insitu.stations import ALT, DEEPEST, MAGT, ZERO_AMPLITUDE

SITES = "id,name,latitude,longitude,elevation\nB7,Ridge,68.5,-149.5,410\nB9,Valley,69,-150,\n"


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.fixture
def sites(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return write(folder, "sites.csv", SITES)


def refusal(path, quantity=MAGT, **options):
    with pytest.raises(InputError) as error:
        read_stations(path, quantity, **options)
    return str(error.value)


def temperature(depth, day, mean=-3.0):
    """Mean and a wave that fades with depth: 6 °C at the surface, within 0.1 °C a year below 8.2 m."""
    return mean + 6 * math.exp(-depth / 1.7) * math.sin(2 * math.pi * day / 365)


def days(years=1, first=2010):
    start = date(first, 1, 1)
    return [start + timedelta(day) for day in range((date(first + years, 1, 1) - start).days)]


def wide(header, row, years=1, depths=(0.5, 2, 5, 10, 20), first=2010):
    """Return a table with a column a depth; ``row`` gives the cells before the depths of a date."""
    lines = [header + ",".join(depth if isinstance(depth, str) else f"{depth:g}" for depth in depths)]
    numbers = [float(str(depth).replace("_m", "")) for depth in depths]
    for number, day in enumerate(days(years, first)):
        lines.append(row(day) + ",".join(f"{temperature(depth, number):.5f}" for depth in numbers))
    return "\n".join(lines) + "\n"


def gtnp(**options):
    return wide("Date/Depth,", lambda day: f"{day} 00:00:00,", **options)


def permos(**options):
    return wide("time,", lambda day: f"{day} 00:00:00,", **options)


def ntgs(**options):
    return wide("project_name,site_id,latitude,longitude,date_YYYY-MM-DD,time_HH:MM:SS,",
                lambda day: f"P,B7,68.5,-149.5,{day},12:00:00,", depths=("2_m", "10_m"), **options)


def gtnp_long(depths=(1, 10), dataset=31, borehole=662, years=1):
    rows = ["id,date,depth,temperature,flag,dataset_id,borehole_id,site_id"]
    for depth in depths:
        rows += [f"{i},{day},{depth}.0,{temperature(depth, i):.4f},,{dataset},{borehole},124"
                 for i, day in enumerate(days(years))]
    return "\n".join(rows) + "\n"


def metadata(**changes):
    dataset = {"id": 31, "variable": "Ground Temperature", "unit": {"abbreviation": "degC"}, "borehole": {
        "id": 662, "name": "Hill", "generic_citation": "A. Author: Hill.",
        "location": {"latitude": 68.25, "longitude": -150.5, "elevation": 45.0}}}
    return json.dumps([{**dataset, **changes}])


def plain_long():
    rows = ["station;lat;lon;datum;tiefe_cm;temp"]
    for depth in (100, 1000):
        rows += [f"B7;68,5;-149,5;{day};{depth};{temperature(depth / 100, i):.4f}".replace(".", ",")
                 for i, day in enumerate(days())]
    return "\n".join(rows) + "\n"


CALM = """Site Code,Site Name,Location,,Method,SITE AVERAGES OF THE THAW DEPTH (cm),,,,Site Code
,,LAT,LONG,,2001,###,2003,2004,
U1,Ridge,71 19' N,156 36' W,100,30,>35,-,42,U1
U7 A,Slope , 70.5,-148.25,100,0,44*,*,50 ,U7A
Alaska Interior,,,,,,,,,
Site Code,Site Name,Location,,Method,SITE AVERAGES OF THE THAW DEPTH (cm),,,,Site Code
,,LAT,LONG,,2001,###,2003,2004,
U9,Bog,64°30'30" N,150,T,inactive,55,,60.5,U9
"""

PANGAEA = """/* DATA DESCRIPTION:
Citation:\tAuthor, A (2020): Thaw [dataset]. PANGAEA, https://doi.org/10.0/0
License:\tCreative Commons Attribution 4.0 International (CC-BY-4.0) (URI: https://example.org)
*/
Event\tSite\tLatitude\tLongitude\tDate/Time\tALD [cm]\tComment
E1\tU1\t71.3\t-156.6\t2001\t30\t
E1\tU1\t71.3\t-156.6\t2002\t>35\tbound
"""


def test_the_wide_export_of_gtnp_gives_annual_means_at_the_depth_of_zero_amplitude(tmp_path, sites):
    path = write(tmp_path, "B7.csv", gtnp(years=2))
    (station,), report = read_stations(path, MAGT, sites=sites)
    assert (station.site, station.name, station.latitude, station.longitude, station.elevation_m) == (
        "B7", "Ridge", 68.5, -149.5, 410)
    assert station.depth_m == 10 and sorted(station.values) == [2010, 2011]
    assert station.values[2010] == pytest.approx(
        np.mean([round(temperature(10, day), 5) for day in range(365)]), abs=1e-12)
    assert report.depths == {"B7": (10, "zero annual amplitude")}
    assert (report.format, report.rows, report.values) == ("GTN-P export", 730, 10)
    assert any("at least 350 days" in sentence for sentence in report.sentences())
    assert any("longitudes" in sentence and "negative longitudes are west" in sentence
               for sentence in report.sentences())


def test_line_ends_byte_order_mark_and_quotation_marks_do_not_matter(tmp_path, sites):
    expected = read_stations(write(tmp_path, "B7.csv", gtnp()), MAGT, sites=sites)[0]
    text = gtnp().replace("Date/Depth", '"Date/Depth"').replace("\n", "\r\n")
    assert read_stations(write(tmp_path, "B7.csv", text, "utf-8-sig"), MAGT, sites=sites)[0] == expected
    comma = gtnp().replace(",", ";").replace(".", ",")
    assert read_stations(write(tmp_path, "B7.csv", comma), MAGT, sites=sites)[0] == expected


def test_the_depth_rule_falls_to_the_deepest_and_says_so(tmp_path, sites):
    path = write(tmp_path, "B7.csv", gtnp(depths=(0.5, 2, 5)))
    (station,), report = read_stations(path, MAGT, sites=sites)
    assert station.depth_m == 5
    assert any("every sensor range by more than 0.1" in sentence for sentence in report.sentences())
    assert read_stations(path, MAGT, depth_rule=2, sites=sites)[0][0].depth_m == 2
    deep = write(tmp_path, "B9.csv", gtnp())
    assert read_stations(deep, MAGT, depth_rule=DEEPEST, sites=sites)[0][0].depth_m == 20


def test_annual_means_have_no_amplitude_and_the_count_of_sites_is_told(tmp_path):
    path = write(tmp_path, "a.csv", "site,lat,lon,depth_m,year,temp\nA,65,10,5,2000,-1\nA,65,10,9,2000,-2\n")
    (station,), report = read_stations(path, MAGT, depth_rule=ZERO_AMPLITUDE)
    assert station.depth_m == 9
    assert "only annual means are given, at 1 site(s)" in " ".join(report.sentences())


def test_codes_for_missing_readings_do_not_count_as_days(tmp_path, sites):
    rows = gtnp(depths=(10, 20)).split("\n")
    for i in range(1, 17):
        rows[i] = rows[i][:rows[i].rindex(",")] + ",-999"
    path = write(tmp_path, "B7.csv", "\n".join(rows))
    (station,), report = read_stations(path, MAGT, depth_rule=DEEPEST, sites=sites)
    assert station.depth_m == 10
    assert report.skipped == {"reading that is a no-data code (−99 or below)": 16,
                              "year of a sensor with too few readings": 1}


def test_the_text_metadata_of_gtnp_give_place_and_name(tmp_path):
    path = write(tmp_path, "2023_755-test-Dataset_2031.timeserie.csv", gtnp())
    write(tmp_path, "2023_755-test.metadata.txt",
          "Id: 755\nName: Arctic Village\nLongitude: -145.534\nLatitude: 68.129\nElevation: 623.9\n\tName: Somebody\n")
    station = read_stations(path, MAGT)[0][0]
    assert (station.site, station.name, station.latitude, station.longitude, station.elevation_m) == (
        "755", "Arctic Village", 68.129, -145.534, 623.9)


def test_the_long_export_of_gtnp_takes_places_and_citation_from_its_json(tmp_path):
    path = write(tmp_path, "data.csv", gtnp_long())
    write(tmp_path, "data_metadata.json", metadata())
    (station,), report = read_stations(path, MAGT)
    assert (station.site, station.name, station.latitude, station.elevation_m, station.depth_m) == (
        "662", "Hill", 68.25, 45, 10)
    assert (report.citation, report.unit_found) == ("A. Author: Hill.", "as stated")


def test_data_sets_of_another_variable_are_left_out_and_counted(tmp_path):
    path = write(tmp_path, "data.csv", gtnp_long() + "\n".join(gtnp_long(dataset=32).split("\n")[1:]))
    other = json.loads(metadata(id=32, variable="Air Temperature")) + json.loads(metadata())
    write(tmp_path, "data_metadata.json", json.dumps(other))
    series, report = read_stations(path, MAGT)
    assert len(series) == 1 and report.skipped["reading of a data set that is no ground temperature"] == 730


def test_two_data_sets_of_a_borehole_stay_apart(tmp_path, sites):
    path = write(tmp_path, "data.csv", gtnp_long() + "\n".join(gtnp_long(dataset=32).split("\n")[1:]))
    write(tmp_path, "data_metadata.json", json.dumps(json.loads(metadata()) + json.loads(metadata(id=32))))
    series, report = read_stations(path, MAGT)
    assert [station.site for station in series] == ["662 (data set 31)", "662 (data set 32)"]
    assert any("more than one data set" in warning for warning in report.warnings)


def test_a_borehole_without_a_full_year_is_named(tmp_path):
    short = gtnp_long(dataset=32, borehole=700).split("\n")[1:100]
    path = write(tmp_path, "data.csv", gtnp_long() + "\n".join(short))
    other = json.loads(metadata(id=32, borehole={"id": 700, "location": None, "generic_citation": "B. Author."}))
    write(tmp_path, "data_metadata.json", json.dumps(other + json.loads(metadata())))
    series, report = read_stations(path, MAGT)
    assert [station.site for station in series] == ["662"] and report.citation == "A. Author: Hill."
    assert "1 of 2 sites have no full year and were left out: 700" in report.warnings[0]


def test_a_permos_series_is_read_with_its_place_by_the_name_of_the_file(tmp_path, sites):
    text = permos().replace("2010-03-03 00:00:00,", "2010-03-03 00:00:00,NA,").split("\n")
    text[62] = text[62][:text[62].rindex(",")]
    (station,), report = read_stations(write(tmp_path, "PERMOS_B7_2010.csv", "\n".join(text)), MAGT, sites=sites)
    assert (station.site, station.depth_m, report.format) == ("B7", 10, "PERMOS time series")
    assert report.skipped["reading that is empty or says 'no value'"] == 1


def test_an_ntgs_report_holds_its_own_places(tmp_path):
    (station,), report = read_stations(write(tmp_path, "n.csv", ntgs()), MAGT)
    assert (station.site, station.latitude, station.depth_m, report.format) == (
        "B7", 68.5, 10, "NTGS ground temperature report")


def test_a_plain_table_of_readings_is_read_with_a_column_list(tmp_path):
    (station,), report = read_stations(write(tmp_path, "p.csv", plain_long()), MAGT,
                                       columns="year=datum; depth=tiefe_cm")
    assert (station.site, station.latitude, station.depth_m, report.decimal_mark) == ("B7", 68.5, 10, ",")
    assert report.depth_unit == "cm" and 2010 in station.values


def test_readings_in_kelvin_are_converted_and_mixed_units_are_refused(tmp_path):
    rows = ntgs().strip().split("\n")
    kelvin = [rows[0]] + [",".join([*row.split(",")[:6], *(str(float(cell) + 273.15) for cell in row.split(",")[6:])])
                          for row in rows[1:]]
    station, report = read_stations(write(tmp_path, "k.csv", "\n".join(kelvin)), MAGT)
    assert station[0].values[2010] == pytest.approx(-3, abs=0.01) and report.unit == "K"
    message = refusal(write(tmp_path, "m.csv", "\n".join(kelvin[:200] + rows[200:])))
    assert "line 2 reads as Kelvin, line 201 as °C" in message


def test_rows_that_state_their_own_unit_are_converted_each(tmp_path):
    text = "site,lat,lon,year,temp,unit\nA,65,10,2000,-1,degC\nA,65,10,2001,272.15,K\n"
    (station,), report = read_stations(write(tmp_path, "u.csv", text), MAGT)
    assert station.values == {2000: -1, 2001: pytest.approx(-1)}
    assert any("unit of its row" in warning for warning in report.warnings)
    thaw = "site,lat,lon,year,alt,unit\nA,65,10,2000,45,cm\nA,65,10,2001,0.5,m\n"
    assert read_stations(write(tmp_path, "t.csv", thaw), ALT)[0][0].values == {2000: 0.45, 2001: 0.5}
    assert "line 3" in refusal(write(tmp_path, "x.csv", text.replace(",K", ",furlong")))


def test_a_calm_table_is_read_with_angles_bounds_notes_and_hidden_years(tmp_path):
    series, report = read_stations(write(tmp_path, "calm.csv", CALM), ALT)
    assert [(station.site, station.name) for station in series] == [("U1", "Ridge"), ("U7A", "Slope"), ("U9", "Bog")]
    assert [station.values for station in series] == [{2001: 0.3, 2004: 0.42}, {2004: 0.5}, {2002: 0.55, 2004: 0.605}]
    assert (series[0].latitude, series[0].longitude) == (pytest.approx(71 + 19 / 60), pytest.approx(-156.6))
    assert series[2].latitude == pytest.approx(64.508333333)
    assert report.skipped == {"cell giving only a bound (>, <)": 1, "cell saying 'no value' (-, NA)": 1,
                              "thaw depth of 0 or below, meaning no measurement": 1, "cell marked *": 2,
                              "cell saying that the site was given up": 1, "empty cell": 1}
    assert (report.format, report.unit, report.unit_found) == ("CALM summary table", "cm", "as stated")
    assert any("the years 2002 stand as ###" in sentence for sentence in report.sentences())


def workbook(path, sheets):
    """Write {sheet: rows of text} as .xlsx."""
    book = gdal.GetDriverByName("XLSX").Create(str(path), 0, 0, 0, gdal.GDT_Unknown)
    for name, rows in sheets.items():
        layer = book.CreateLayer(name)
        for i in range(max(map(len, rows))):
            layer.CreateField(ogr.FieldDefn(rows[0][i] if i < len(rows[0]) else f"f{i}", ogr.OFTString))
        for row in rows[1:]:
            feature = ogr.Feature(layer.GetLayerDefn())
            for i, cell in enumerate(row):
                if cell:
                    feature.SetField(i, cell)
            layer.CreateFeature(feature)
    del book, layer
    return path


@pytest.fixture
def calm_rows():
    rows = [line.split(",") for line in CALM.strip().split("\n")]
    return [[cell or f"x{i}" for i, cell in enumerate(rows[0])], *rows[1:]]


def test_a_spreadsheet_gives_the_same_as_its_csv(tmp_path, calm_rows):
    path = workbook(tmp_path / "calm.xlsx", {"notes": [["about", "this"], ["a", "b"]], "north": calm_rows})
    series, report = read_stations(path, ALT)
    assert series == read_stations(write(tmp_path, "calm.csv", CALM), ALT)[0]
    assert any("no station data in the sheet(s) notes" in sentence for sentence in report.sentences())


def test_readings_in_a_spreadsheet_are_read(tmp_path):
    path = workbook(tmp_path / "n.xlsx", {"Site ID 1": [line.split(",") for line in ntgs().strip().split("\n")]})
    assert read_stations(path, MAGT)[0] == read_stations(write(tmp_path, "n.csv", ntgs()), MAGT)[0]


def test_a_missing_driver_is_said_plainly(tmp_path, calm_rows, monkeypatch):
    path = workbook(tmp_path / "calm.xlsx", {"north": calm_rows})
    monkeypatch.setattr(spreadsheets.gdal, "GetDriverByName", lambda name: None)
    with pytest.raises(DependencyError, match="no driver XLSX .* save the sheet as CSV"):
        read_stations(path, ALT)


def test_a_damaged_spreadsheet_is_refused(tmp_path):
    path = tmp_path / "broken.xlsx"
    path.write_bytes(b"PK\x03\x04 and nothing more")
    assert "cannot be read" in refusal(path)


def test_a_pangaea_table_carries_its_citation(tmp_path):
    (station,), report = read_stations(write(tmp_path, "p.tab", PANGAEA), ALT)
    assert station.values == {2001: 0.3} and report.unit_found == "as stated"
    assert (report.citation, report.licence) == (
        "Author, A (2020): Thaw [dataset]. PANGAEA, https://doi.org/10.0/0",
        "Creative Commons Attribution 4.0 International (CC-BY-4.0)")
    assert any("to be cited as: Author, A (2020)" in sentence for sentence in report.sentences())


PERMOS_ALT = 'id,borehole_id,year,alt,guess\n5,B7,2011,3.89,\n6,b7,2012,4,true\n7,B9,2011,2.5,\n8,Q1,2011,3,\n'


def test_tables_without_coordinates_are_joined_with_the_table_of_sites(tmp_path, sites):
    path = write(tmp_path, "alt.csv", PERMOS_ALT.replace("b7", "B7"))
    series, report = read_stations(path, ALT, sites=sites)
    assert [(station.site, station.name, station.latitude) for station in series] == [
        ("B7", "Ridge", 68.5), ("B9", "Valley", 69)]
    assert series[0].values == {2011: 3.89, 2012: 4} and (series[0].elevation_m, series[1].elevation_m) == (410, None)
    assert any("1 annual value(s) of 1 site(s) were left out (not in the table of sites: Q1)" in warning
               for warning in report.warnings)
    assert any("1 value(s) are marked as a guess" in warning for warning in report.warnings)
    assert "table of the sites" in refusal(path, ALT)
    others = write(tmp_path, "others.csv", SITES.replace("B7", "C7").replace("B9", "C9"))
    assert "None of the sites" in refusal(path, ALT, sites=others)


def test_a_site_without_coordinates_in_the_table_of_sites_is_named(tmp_path):
    table = write(tmp_path, "sites.csv", "id,name,lat,lon,h\nB7,Ridge,68.5,-149.5,1\nB9,Valley,,,\nQ1,Fen,60,10,2\n")
    series, report = read_stations(write(tmp_path, "alt.csv", PERMOS_ALT.replace("b7", "B7")), ALT, sites=table)
    assert [station.site for station in series] == ["B7", "Q1"]
    assert any("without coordinates in the table of sites: Valley" in warning for warning in report.warnings)


@pytest.mark.parametrize("text, told", [
    ("id,name\nB7,Ridge\n", "no column for the latitude and longitude"), ("id,lat,lon\n", "no rows"),
    ("id,lat,lon\nB7,60,10\nB7,61,10\n", "line 3"), ("id,lat,lon\nB7,60\n", "line 2"),
    ("id,lat,lon\nB7,north,10\n", "line 2"), ("id,lat,lon\n,60,10\n", "line 2"),
])
def test_a_wrong_table_of_sites_is_refused(tmp_path, text, told):
    path = write(tmp_path, "alt.csv", PERMOS_ALT)
    assert told in refusal(path, ALT, sites=write(tmp_path, "sites.csv", text))


def test_a_folder_is_read_a_borehole_a_file(tmp_path, sites):
    folder = tmp_path / "download"
    folder.mkdir()
    write(folder, "B7.csv", gtnp(years=2))
    write(folder, "B9.csv", permos(first=2015))
    write(folder, "short_B7.csv", "\n".join(gtnp().split("\n")[:40]))
    write(folder, "README.txt", "about")
    write(folder, "figure.svg", "")
    write(folder, "notes.pdf", "")
    series, report = read_stations(folder, MAGT, sites=sites)
    assert [(station.site, sorted(station.values)) for station in series] == [("B7", [2010, 2011]), ("B9", [2015])]
    assert any("1 of 3 files have no full year and were left out: short_B7.csv" in warning
               for warning in report.warnings)
    assert any("not taken for station data: README.txt, figure.svg" in warning for warning in report.warnings)
    assert report.rows == 730 + 365 + 39 and report.format.startswith("3 files: GTN-P export, PERMOS")
    assert report.skipped == {"year of a sensor with too few readings": 5}


def test_the_only_row_of_a_table_of_sites_serves_a_file_but_not_a_folder(tmp_path):
    folder = tmp_path / "download"
    folder.mkdir()
    path = write(folder, "borehole.csv", gtnp())
    only = write(tmp_path, "one.csv", "\n".join(SITES.split("\n")[:2]))
    assert read_stations(path, MAGT, sites=only)[0][0].site == "B7"
    assert "None of the sites" in refusal(folder, sites=only)


def test_what_the_files_of_a_folder_warn_of_reaches_the_report(tmp_path):
    folder = tmp_path / "download"
    folder.mkdir()
    write(folder, "data.csv", gtnp_long().replace(",,31,", ",suspect,31,", 3))
    write(folder, "data_metadata.json", metadata())
    report = read_stations(folder, MAGT)[1]
    assert report.warnings == ["data.csv: 3 reading(s) carry a flag; they were used."]
    assert report.citation == "A. Author: Hill."


def test_a_folder_without_data_and_without_full_years_is_refused(tmp_path, sites):
    assert "no file of station data" in refusal(tmp_path / "elsewhere", sites=sites)
    write(tmp_path, "B7.csv", "\n".join(gtnp().split("\n")[:40]))
    assert "None of the 2 files" in refusal_of_two(tmp_path, sites)


def refusal_of_two(folder, sites):
    sites.rename(folder / "sites.csv")
    write(folder, "B9.csv", "\n".join(gtnp().split("\n")[:40]))
    return refusal(folder, sites=folder / "sites.csv")


def test_what_a_folder_holds_wrongly_is_said_with_the_file(tmp_path, sites):
    folder = tmp_path / "download"
    folder.mkdir()
    write(folder, "B7.csv", gtnp())
    lines = gtnp().split("\n")
    lines[50] = lines[50][:lines[50].rindex(",")] + ",-4"
    write(folder, "again_B7.csv", "\n".join(lines))
    assert "site B7 at 20 m in 2010 (line 2 of again_B7.csv)" in refusal(folder, sites=sites)
    write(folder, "again_B7.csv", ntgs().replace("68.5,-149.5", "-149.5,68.5"))
    assert "again_B7.csv, line 2: site B7" in refusal(folder, sites=sites)


def test_a_large_file_needs_little_more_memory_than_its_size(tmp_path, sites):
    row = ",".join(f"{temperature(depth, 1):.5f}" for depth in range(12))
    lines = ["Date/Depth," + ",".join(map(str, range(12)))]
    lines += [f"{day} {hour:02}:00:00,{row}" for day in days(2) for hour in range(24)]
    path = write(tmp_path, "B7.csv", "\n".join(lines))
    tracemalloc.start()
    try:
        read_stations(path, MAGT, sites=sites)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * path.stat().st_size


#: format → (name, text, quantity, columns), whose line 40 (4 for annual tables) is malformed in turn
SAMPLES = {
    "GTN-P": ("B7.csv", gtnp, MAGT, None, 40), "PERMOS": ("B7.csv", permos, MAGT, None, 40),
    "NTGS": ("n.csv", ntgs, MAGT, None, 40), "GTN-P long": ("data.csv", gtnp_long, MAGT, None, 40),
    "plain": ("p.csv", plain_long, MAGT, "year=datum; depth=tiefe_cm", 40),
    "CALM": ("c.csv", lambda: CALM, ALT, None, 4), "PANGAEA": ("p.tab", lambda: PANGAEA, ALT, None, 7),
}


def spoil(line, delimiter, how):
    cells = line.split(delimiter)
    if how == "short":
        return delimiter.join(cells[:4])
    if how == "quote":
        return '"' + line
    column = {"word": {10: 8, 8: 3, 7: 5}.get(len(cells), 5)}[how]
    cells[column] = "cold"
    return delimiter.join(cells)


@pytest.mark.parametrize("how", ["short", "word", "quote"])
@pytest.mark.parametrize("kind", SAMPLES)
def test_a_malformed_line_gives_its_number_in_every_format(tmp_path, sites, kind, how):
    name, make, quantity, columns, number = SAMPLES[kind]
    lines = make().split("\n")
    delimiter = max(",;\t", key=lines[number - 1].count)
    lines[number - 1] = spoil(lines[number - 1], delimiter, how)
    message = refusal(write(tmp_path, name, "\n".join(lines)), quantity, columns=columns, sites=sites)
    assert f"line {number}" in message, message


@pytest.mark.parametrize("cell, told", [
    ("1_0", "'1_0' is not a number"), ("1,5", "the decimal mark of the file is '.'"), ("inf", "cannot be"),
    ("1e9", "cannot be a ground temperature"),
])
def test_a_wrong_reading_gives_its_line_and_reason(tmp_path, sites, cell, told):
    lines = gtnp().replace(",", ";").split("\n")
    lines[300] = lines[300][:lines[300].rindex(";") + 1] + cell
    message = refusal(write(tmp_path, "B7.csv", "\n".join(lines)), sites=sites)
    assert "line 301" in message and told in message


@pytest.mark.parametrize("kind", ["GTN-P", "PERMOS", "NTGS", "GTN-P long", "plain"])
def test_a_wrong_date_gives_its_line(tmp_path, sites, kind):
    name, make, quantity, columns, number = SAMPLES[kind]
    lines = make().split("\n")
    lines[number - 1] = lines[number - 1].replace("2010-02-", "2010-02-3")
    message = refusal(write(tmp_path, name, "\n".join(lines)), quantity, columns=columns, sites=sites)
    assert f"line {number}" in message and "is no date" in message


def test_a_malformed_row_of_a_spreadsheet_gives_its_number(tmp_path, calm_rows):
    calm_rows[3][8] = "deep"
    message = refusal(workbook(tmp_path / "calm.xlsx", {"north": calm_rows}), ALT)
    assert "line 4" in message and "(sheet 'north')" in message


def test_a_site_above_the_header_of_a_sheet_is_refused_with_its_line(tmp_path, calm_rows):
    early = ["U2", "Early", "70", "-150", "100", "30", "35", "36", "42", "U2"]
    message = refusal(workbook(tmp_path / "calm.xlsx", {"north": [early, *calm_rows]}), ALT)
    assert "line 1: a site stands before the row with LAT, LONG and the years" in message


def test_text_above_the_header_of_a_calm_table_is_passed_over(tmp_path):
    text = "Thaw depths,,,,,,,,,\nof 2024,,,,,,,,,\n" + CALM
    series, report = read_stations(write(tmp_path, "calm.csv", text), ALT)
    assert [station.site for station in series] == ["U1", "U7A", "U9"] and len(report.above) == 2


def test_the_sheets_of_a_book_are_read_together(tmp_path, calm_rows):
    south = [*calm_rows[:2], ["A1", "Byers", "-62.6", "-61.0", "100", "80", "85", "-", "90"]]
    series, report = read_stations(workbook(tmp_path / "calm.xlsx", {"north": calm_rows, "south": south}), ALT)
    assert [station.site for station in series] == ["A1", "U1", "U7A", "U9"]
    assert report.rows == 4 and report.skipped["cell saying 'no value' (-, NA)"] == 2


@pytest.mark.parametrize("change, told", [
    (("2003,2004", "2003,2005"), "line 2: '2005' stands where the year 2004"),
    ((",,LAT", ",,NORTH"), "line 2: LAT, LONG"), (("###", "19x2"), "line 2"),
    (("U1,Ridge", ",Ridge"), "line 3"), (("71 19' N", "71 99' N"), "line 3"), (("71 19' N", "71 19' E"), "line 3"),
    (("64°30'30\" N", "north"), "line 8"),
    # two units in one header, another one in the second block, and a site before any header
    ((",Site Code\n,,LAT", ",THAW DEPTH (m)\n,,LAT"), "line 1: the table states more than one unit"),
    (("Interior,,,,,,,,,\nSite Code,Site Name,Location,,Method,SITE AVERAGES OF THE THAW DEPTH (cm)",
      "Interior,,,,,,,,,\nSite Code,Site Name,Location,,Method,SITE AVERAGES OF THE THAW DEPTH (m)"),
     "line 6: the table states more than one unit"),
    (("Site Code,", "U2,Early,70,-150,100,30,35,36,42,U2\nSite Code,"),
     "a site stands before the row with LAT, LONG and the years: 'U2,Early"),
])
def test_a_malformed_calm_table_is_refused(tmp_path, change, told):
    assert told in refusal(write(tmp_path, "calm.csv", CALM.replace(*change, 1)), ALT)


def test_malformed_metadata_give_file_and_line(tmp_path):
    path = write(tmp_path, "data.csv", gtnp_long())
    write(tmp_path, "data_metadata.json", metadata() + "\n}")
    assert "data_metadata.json, line 2" in refusal(path)
    write(tmp_path, "data_metadata.json", '[{"name": 1}]')
    assert "does not hold the metadata" in refusal(path)
    assert "holds metadata" in refusal(tmp_path / "data_metadata.json")


def test_readings_without_coordinates_are_refused_with_the_site(tmp_path):
    assert "has coordinates: B7" in refusal(write(tmp_path, "B7.csv", gtnp()))
    assert "has coordinates: 662" in refusal(write(tmp_path, "data.csv", gtnp_long()))


def test_swapped_coordinates_of_readings_are_refused(tmp_path):
    path = write(tmp_path, "n.csv", ntgs().replace("68.5,-149.5", "-149.5,68.5"))
    assert "look swapped" in refusal(path)


def test_one_site_at_two_places_is_told(tmp_path):
    lines = ntgs(years=2).split("\n")
    lines[366:] = [line.replace("68.5,-149.5", "69.5,-149.5") for line in lines[366:]]
    series, report = read_stations(write(tmp_path, "n.csv", "\n".join(lines)), MAGT)
    assert len(series) == 2 and any("km apart" in warning for warning in report.warnings)


def test_a_reading_with_two_values_is_refused_and_a_repeated_one_counted(tmp_path):
    lines = ntgs().strip().split("\n")
    report = read_stations(write(tmp_path, "n.csv", "\n".join([*lines, lines[10]])), MAGT)[1]
    assert report.skipped["reading that repeats another"] == 2
    other = lines[10][:lines[10].rindex(",")] + ",-7"
    assert "line 367" in refusal(write(tmp_path, "n.csv", "\n".join([*lines, other])))


@pytest.mark.parametrize("header, told", [
    ("Date/Depth,1,2,2", "two columns for the depth 2"), ("Date/Depth,1,2,air", "'air' is no depth"),
    ("time,1_m,2_cm,3_m", "different units"),
])
def test_wrong_depths_in_a_header_are_refused(tmp_path, header, told):
    assert told in refusal(write(tmp_path, "B7.csv", header + "\n2010-01-01 00:00:00,1,2,3\n"))


def test_output_of_a_model_is_refused(tmp_path):
    text = "Date12[DDMMYYYYhhmm],Simulation_Period,Run,IDpoint,100.000\n31/05/2016 06:00,2,1,1,-16.4\n"
    assert "model GEOtop" in refusal(write(tmp_path, "g.csv", text))


def test_temperatures_are_not_taken_for_thaw_depths_nor_the_reverse(tmp_path):
    assert "not a thaw depth" in refusal(write(tmp_path, "B7.csv", gtnp()), ALT)
    assert "which holds thaw depths" in refusal(write(tmp_path, "calm.csv", CALM), MAGT)


@pytest.mark.parametrize("data, told", [(b"", "empty"), (b"\n\n", "empty"), (b"a,b\0", "not a text table"),
                                        (b"just words\n", "no columns")])
def test_what_holds_no_table_is_refused(tmp_path, data, told):
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    assert told in refusal(path)
    assert "does not exist" in refusal(tmp_path / "absent.csv")
    assert "unpack it" in refusal(write(tmp_path, "download.zip", "PK"))


def test_a_run_is_cancelled_while_it_reads(tmp_path, sites):
    progress = Progress()
    progress.stop()
    with pytest.raises(Cancelled):
        read_stations(write(tmp_path, "B7.csv", gtnp()), MAGT, sites=sites, progress=progress)


def test_progress_moves_to_the_end(tmp_path, sites):
    seen = []
    progress = Progress()
    progress.set = seen.append
    read_stations(write(tmp_path, "B7.csv", gtnp()), MAGT, sites=sites, progress=progress)
    assert seen == sorted(seen) and seen[-1] == 1


@pytest.fixture
def insitu(shared_data):
    return shared_data / "insitu"


#: file, quantity, table of sites → sites, annual values at the depth chosen, first and last year; counted apart
REAL = [
    ("pvir_MAGT_inSitu_v3_2020.csv", MAGT, None, 396, 5901, 1980, 2018),
    ("pvir_inSitu_alt.csv", ALT, None, 232, 2693, 1997, 2019),
    ("GTN-P_CALM_ALT_1990-2024_PANGAEA972777.tab", ALT, None, 262, 3663, 1990, 2024),
    ("CALM_Summary_table.xls", ALT, None, 262, 3697, 1990, 2025),
    ("permos2024_alt.csv", ALT, "permos2024_borehole.csv", 23, 410, 1987, 2023),
    ("tsp_samples/gtnp2026.csv", MAGT, None, 1, 1, 2008, 2008),
]


@pytest.mark.parametrize("name, quantity, places, count, values, first, last", REAL, ids=[row[0] for row in REAL])
def test_real_files_give_the_sites_and_years_counted_apart(insitu, name, quantity, places, count, values, first, last):
    series, report = read_stations(insitu / name, quantity, sites=places and insitu / places)
    years = [year for station in series for year in station.values]
    assert (len(series), len(years), min(years), max(years)) == (count, values, first, last)
    assert report.sites == count


def test_the_real_calm_tables_of_two_publishers_agree(insitu):
    sheet, report = read_stations(insitu / "CALM_Summary_table.xls", ALT)
    tab = {station.site.replace(" ", ""): station.values
           for station in read_stations(insitu / "GTN-P_CALM_ALT_1990-2024_PANGAEA972777.tab", ALT)[0]}
    same = [(station.values[year], tab[station.site][year]) for station in sheet if station.site in tab
            for year in station.values if year in tab[station.site]]
    # docs/stations.md
    assert len(same) == 3646 and sum(one != pytest.approx(other, abs=0.006) for one, other in same) == 9
    # which the other publisher changed to 145
    assert any("1.45 at site M13 in 2008, line 299" in warning for warning in report.warnings)
    assert report.skipped["cell marked *"] == 18 and report.skipped["cell giving only a bound (>, <)"] == 35


def test_the_real_daily_export_has_one_full_year_and_its_zero_amplitude_at_4_m(insitu, sites):
    only = write(sites.parent, "one.csv", "\n".join(SITES.split("\n")[:2]))
    (station,), report = read_stations(insitu / "tsp_samples" / "example_gtnp.csv", MAGT, sites=only)
    assert station.depth_m == 4 and station.values == {2015: pytest.approx(-0.214666, abs=1e-6)}
    assert report.skipped == {"reading that is a no-data code (−99 or below)": 2024,
                              "year of a sensor with too few readings": 61}


@pytest.mark.parametrize("name, told", [
    ("example_permos.csv", "10 × year of a sensor with too few readings"),
    ("NTGS_example_csv.csv", "of 4 rows, 5 × year of a sensor with too few readings"),
    ("NTGS_gtr_example_excel.xlsx", "of 99 rows, 5 × year of a sensor with too few readings"),
    ("example_geotop.csv", "model GEOtop"), ("gtnp2026_metadata.json", "holds metadata"),
])
def test_real_samples_without_a_full_year_or_measurement_are_refused_plainly(insitu, name, told):
    assert told in refusal(insitu / "tsp_samples" / name)


def test_the_exports_of_gtnp_read_as_by_tsp(insitu, sites):
    pandas, tsp = pytest.importorskip("pandas"), pytest.importorskip("tsp")
    folder = insitu / "tsp_samples"
    for name, year, depth, number in (("example_gtnp.csv", 2015, 7, 15), ("gtnp2026.csv", 2008, 0, 0)):
        reference = tsp.read_gtnp(str(folder / name))
        assert reference.depths[number] == depth
        column = pandas.Series(reference.values[:, number], pandas.DatetimeIndex(reference.times)).loc[str(year)]
        only = write(sites.parent, "one.csv", "\n".join(SITES.split("\n")[:2]))
        (station,), _ = read_stations(folder / name, MAGT, depth_rule=DEEPEST, sites=only)
        assert (station.depth_m, station.values) == (depth, {year: pytest.approx(column.mean(), abs=1e-9)})
