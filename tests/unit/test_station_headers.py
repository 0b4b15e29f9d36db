"""Station files as people write them: headers, units, hemispheres, encodings and dates over generated files.

The truth of every file is made first, in °C or metres and signed degrees, and written out in a way drawn at random;
what the reader gives is compared with that truth, and annual means with those of pandas.
"""

import csv
import datetime
import io

import numpy as np
import pandas as pd
import pytest

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.insitu.cells import coordinate, plain
from pti_plugin.core.insitu.dates import both_readings
from pti_plugin.core.insitu.headers import coordinate_header, parse_header
from pti_plugin.core.insitu.station_files import read_stations
from pti_plugin.core.insitu.stations import ALT, DEEPEST, MAGT

#: unit → (how to write a value that is in °C or metres, what headers state)
TEMPERATURES = {
    "°C": (lambda value: value, ("MAGT (°C)", "magt_degC", "Temp [°C]", "Temperature (Celsius)", "MAGT °C", "Temp C",
                                 "MAGT (annual mean, °C)", "Ground temperature (deg C)", "Temperatur / °C")),
    "°F": (lambda value: value * 9 / 5 + 32, ("MAGT (°F)", "MAGT [F]", "temp_f", "Temp. in °F", "MAGT (deg F)",
                                              "Temp_degF_mean", "Temperature (Fahrenheit)", "magt_fahrenheit",
                                              "MAGT (F°)", "Mean annual ground temp. (°F)", "MAGT (unit: F)")),
    "K": (lambda value: value + 273.15, ("MAGT (K)", "Temp (Kelvin)", "temp_K", "MAGT [K]", "magt, Kelvin")),
}
DEPTHS = {
    "m": (lambda value: value, ("ALT (m)", "thaw_depth_m", "ALD [m]", "Thaw depth (metres)")),
    "cm": (lambda value: value * 100, ("ALT (cm)", "ALD [cm]", "thaw depth in cm", "alt_cm", "Thaw (cm, probe)")),
    "mm": (lambda value: value * 1000, ("ALT (mm)", "thaw_depth_mm", "ALD, millimeters")),
    "in": (lambda value: value / 0.0254, ("ALT (in)", "ALT, inches", "thaw_depth_in", "ALD (inches)", 'ALT (")',
                                               "Max. thaw depth (inches)")),
    "ft": (lambda value: value / 0.3048, ("ALT (ft)", "thaw depth [ft]", "ALD (feet)", "alt_ft")),
}
LATITUDES = {"": ("Latitude", "lat", "LAT", "Lat (deg)", "Latitude (decimal degrees, WGS84)", "decimalLatitude",
                  "lat_dd", "Breite", "Site latitude"),
             "N": ("Latitude (°N)", "Lat N", "lat_n", "Latitude [deg N]", "North latitude", "latitude_north", "LatN",
                   "Lat (north)", "°N", "Latitude / °N")}
LONGITUDES = {"": ("Longitude", "lon", "LONG", "Lon (deg)", "lng", "Longitude (WGS84)", "decimalLongitude", "Länge"),
              "E": ("Longitude (°E)", "Lon E", "lon_e", "LON (deg E)", "longitude_degrees_east",
                    "Longitude (E positive)", "Longitude (+E/-W)", "East longitude", "Longitude (W is negative)"),
              "W": ("Longitude (°W)", "Lon W", "lon_w", "LON (deg W)", "longitude_west", "West longitude", "LonW",
                    "Longitude [° West]", "Long. W", "Longitude (West, positive)", "Westlänge", "WLON", "°W",
                    "LONGITUDE-W")}
YEARS = ("Year", "year", "YR", "Jahr")
SITES = ("Site", "site_id", "Station", "Borehole", "code")
ENCODINGS = ("utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be")
NONE = ("", "n.a.", "NaN", "-", "-9999", "NA", "–", "N/A", "-999.99")
PREAMBLES = ((), ("Boreholes of the north",), ("# made by hand",), ("Title,,,,,", "Notes: see paper,,,,,"),
             ("Data: thaw and temperature, all sites", "Contact: a person, an institute", ""))


def angle(size, letter, rng):
    """Return a size in degrees, of whole seconds, as text with minutes and seconds and its letter."""
    total = round(size * 3600)
    degrees, minutes, seconds = total // 3600, total // 60 % 60, total % 60
    forms = [f"{degrees}°{minutes:02d}'{seconds:02d}\"{letter}", f"{degrees} {minutes} {seconds} {letter}",
             f"{degrees}° {minutes}′ {seconds}″ {letter}", f"{letter} {degrees}° {minutes}' {seconds}''",
             f"{degrees}:{minutes:02d}:{seconds:02d} {letter}", f"{degrees}d{minutes}m{seconds}s{letter}",
             f"{degrees}° {minutes + seconds / 60:.6f}' {letter}", f"{degrees}-{minutes:02d}-{seconds:02d}{letter}"]
    return forms[rng.integers(len(forms))]


class Made:
    """A table drawn at random: ``data`` its bytes, ``sites`` {site: (latitude, longitude, {year: value})}."""

    def __init__(self, seed, quantity):
        rng = self.rng = np.random.default_rng(seed)
        pick = self.pick
        self.side = pick(("", "E", "W", "letters", "angles", "column"))
        self.unit = pick(tuple(TEMPERATURES if quantity == MAGT else DEPTHS))
        convert, headers = (TEMPERATURES if quantity == MAGT else DEPTHS)[self.unit]
        self.comma = bool(rng.integers(2))
        self.delimiter = pick(";\t|" if self.comma else ",;\t|")
        self.encoding = pick(ENCODINGS)
        self.minus = "−" if self.encoding.startswith("utf") and rng.integers(2) else pick("-–") if (
            self.encoding != "latin-1") else "-"
        west = self.side == "W"
        self.sites = {}
        for i in range(rng.integers(2, 6)):
            longitude = rng.uniform(1, 179) * (-1 if west or rng.integers(2) else 1)
            latitude = rng.uniform(45, 80)
            # of whole seconds, so that angles can be written without loss
            latitude, longitude = (round(value * 3600) / 3600 for value in (latitude, longitude))
            values = {int(year): round(rng.uniform(-12, 2) if quantity == MAGT else rng.uniform(0.3, 3), 3)
                      for year in range(2000, 2000 + rng.integers(1, 5))}
            self.sites[f"S{i}"] = latitude, longitude, values
        unit_row = bool(rng.integers(4) == 0)
        header = [pick(SITES), *self._coordinate_headers(), pick(YEARS), pick(headers)]
        rows = self._rows(convert)
        if unit_row:
            header[-1], units = "MAGT" if quantity == MAGT else "ALT", [""] * len(header)
            units[-1] = self.unit
            rows.insert(0, units)
        #: a site that has no coordinates, or None
        self.lost = "Nowhere" if rng.integers(2) else None
        if self.lost:
            width = len(header)
            where = pick(NONE)
            row = [self.lost, *([where] * (width - 3)), "2001", self._number(convert(-3 if quantity == MAGT else 1))]
            if self.side == "column":
                row[2] = row[4] = ""
            rows.append(row)
        text = self._text(header, rows)
        try:
            self.data = text.encode(self.encoding)
        except UnicodeEncodeError:
            self.data = text.encode("utf-8")

    def pick(self, options):
        """Return one of ``options``."""
        return options[self.rng.integers(len(options))]

    def _coordinate_headers(self):
        if self.side == "column":
            return ["lat", self.pick(("NS", "lat_dir", "N/S")), "lon", self.pick(("EW", "lon_dir", "E/W"))]
        side = {"letters": "", "angles": ""}.get(self.side, self.side)
        latitude = self.pick(LATITUDES["N" if side and self.rng.integers(2) else ""])
        return [latitude, self.pick(LONGITUDES[side])]

    def _number(self, value):
        text = f"{abs(value):.6f}".rstrip("0").rstrip(".")
        text = (self.minus if value < 0 else "") + text
        return text.replace(".", ",") if self.comma else text

    def _place(self, latitude, longitude):
        letters = "N", "W" if longitude < 0 else "E"
        if self.side == "column":
            return [self._number(latitude), letters[0], self._number(abs(longitude)), letters[1]]
        if self.side == "angles":
            texts = [angle(abs(value), letter, self.rng) for value, letter in zip((latitude, longitude), letters)]
            return [text.replace(".", ",") if self.comma else text for text in texts]
        if self.side == "letters":
            gap = self.pick(("", " ", "° "))
            return [f"{self._number(abs(value))}{gap}{letter}" for value, letter in zip((latitude, longitude), letters)]
        return [self._number(latitude), self._number(abs(longitude) if self.side == "W" else longitude)]

    def _rows(self, convert):
        rows = []
        for site, (latitude, longitude, values) in self.sites.items():
            for year, value in values.items():
                rows.append([site, *self._place(latitude, longitude), str(year), self._number(convert(value))])
            rows.append([site, *self._place(latitude, longitude), "2010", self.pick(NONE)])
        self.rng.shuffle(rows)
        return rows

    def _text(self, header, rows):
        stream = io.StringIO()
        for line in self.pick(PREAMBLES):
            stream.write(line.replace(",", self.delimiter) + "\n")
        writer = csv.writer(stream, delimiter=self.delimiter, lineterminator=self.pick(("\n", "\r\n")))
        writer.writerow(header)
        writer.writerows(rows)
        return stream.getvalue()


@pytest.mark.parametrize("quantity", [MAGT, ALT])
@pytest.mark.parametrize("seed", range(80))
def test_what_is_written_in_whatever_way_is_read_as_it_was_meant(tmp_path, seed, quantity):
    made = Made((seed, quantity == ALT), quantity)
    path = tmp_path / "stations.csv"
    path.write_bytes(made.data)
    series, report = read_stations(path, quantity, None, DEEPEST)
    found = {station.site: station for station in series}
    assert set(found) == set(made.sites)
    for site, (latitude, longitude, values) in made.sites.items():
        assert found[site].latitude == pytest.approx(latitude, abs=1e-5)
        assert found[site].longitude == pytest.approx(longitude, abs=1e-5)
        assert found[site].values == pytest.approx(values, abs=1e-5)
    assert (report.unit, report.unit_found) == (made.unit, "as stated")
    assert any(made.lost in warning for warning in report.warnings) if made.lost else not any(
        "coordinates" in warning for warning in report.warnings)


@pytest.mark.parametrize("seed", range(60))
def test_a_header_unit_that_is_not_known_is_refused_with_file_column_unit_and_remedy(tmp_path, seed):
    rng = np.random.default_rng(seed)
    quantity, name = ((MAGT, "MAGT"), (ALT, "ALT"))[rng.integers(2)]
    unit = ("furlong", "°R", "fathoms", "mV", "0.1 °C", "cm/yr", "kPa", "x10 cm", "Rankine", "10 m", "°Ré", "psi", "u",
            "cm x 10", "degrees", "% of m", "µm", "cm/10", "°C*100")[rng.integers(19)]
    if (quantity, unit) == (ALT, "degrees"):
        unit = "°C"
    left, right = ("()", "[]", "{}")[rng.integers(3)]
    bare = unit in ("furlong", "fathoms", "mV", "kPa", "Rankine", "psi", "µm", "cm/10", "°C*100") and rng.integers(2)
    header = f"{name} {unit}" if bare else f"{name} {left}{unit}{right}"
    # values that would pass for a unit by their size
    value = -3 if quantity == MAGT else 45
    path = tmp_path / "stations.csv"
    path.write_text(f"site,lat,lon,year,{header}\nA,65,10,2000,{value}\n", encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_stations(path, quantity)
    for part in (str(path), header, "unit="):
        assert part in str(error.value)
    stated = "unit=°C" if quantity == MAGT else "unit=cm"
    (station,), report = read_stations(path, quantity, stated)
    assert station.values == {2000: value if quantity == MAGT else 0.45}
    assert any("was stated in the column list and was used" in warning for warning in report.warnings)


def refusal(tmp_path, text, quantity=MAGT, columns=None):
    path = tmp_path / "stations.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_stations(path, quantity, columns)
    return str(error.value)


def read(tmp_path, text, quantity=MAGT, columns=None):
    path = tmp_path / "stations.csv"
    path.write_text(text, encoding="utf-8")
    return read_stations(path, quantity, columns)


WEST = "Site,Latitude (°N),Longitude (°W),Year,MAGT (°C)\nS1,68.25,{},2000,-5\n"


@pytest.mark.parametrize("header, row", [
    ("lat,NS,lon,EW", "68,N,149,W"), ("lat,lat_h,lon,lon_h", "68,N,149,W"), ("lat,,lon,", "68,N,149,W"),
    ("lat,lon,hemisphere", "68,149,w"), ("lat,lon,E_or_W", "68,149,West"), ("EW,lon,lat", "W,149,68"),
    ("lat,lon,x,Long_dir", "68,149,1,W"),
])
def test_letters_in_a_column_of_their_own_count(tmp_path, header, row):
    (station,), report = read(tmp_path, f"site,year,{header},magt\nA,2000,{row},-3\n")
    assert (station.latitude, station.longitude) == (68, -149)
    assert any("taken from the column beside" in note for note in report.notes)
    # the way a slope faces is no hemisphere
    (station,), _ = read(tmp_path, "site,year,lat,lon,aspect,magt\nA,2000,68,149,W,-3\n")
    assert station.longitude == 149


@pytest.mark.parametrize("columns", [None, "latitude=Latitude (°N); longitude=Longitude (°W)"])
def test_a_column_of_degrees_west_lies_in_alaska_found_or_named(tmp_path, columns):
    (station,), report = read(tmp_path, WEST.format("149.5"), MAGT, columns)
    assert (station.latitude, station.longitude) == (68.25, -149.5)
    assert any("'Longitude (°W)' counts towards W" in note for note in report.notes)


def test_a_sign_or_letter_against_the_header_is_refused_unless_the_side_is_stated(tmp_path):
    message = refusal(tmp_path, WEST.format("-149.5"))
    assert "line 2" in message and "'Longitude (°W)'" in message and "longitude_side=E" in message
    (station,), _ = read(tmp_path, WEST.format("-149.5"), MAGT, "longitude_side=E")
    assert station.longitude == -149.5
    assert "contradicts 'Longitude (°W)'" in refusal(tmp_path, WEST.format("149.5E"))
    assert "no angle" in refusal(tmp_path, WEST.format("-149.5W"))
    # beyond the half circle westwards
    assert read(tmp_path, WEST.format("210"))[0][0].longitude == 150
    unsigned = WEST.replace("°W", "E/W").format("149.5")
    assert "longitude_side=W" in refusal(tmp_path, unsigned)
    assert read(tmp_path, unsigned, MAGT, "longitude_side=W")[0][0].longitude == -149.5


@pytest.mark.parametrize("header, row, told", [
    ("Site,Easting,Northing,year,magt", "A,400000,7600000,2000,-5", "Easting, Northing look like projected"),
    ("Site,utm_x,utm_y,year,magt", "A,400000,7600000,2000,-5", "utm_x, utm_y"),
    ("Site,lat_deg,lat_min,lon,year,magt", "A,68,15,149,2000,-5", "lat_deg, lat_min"),
    ("Site,Latitude (°W),lon,year,magt", "A,68,149,2000,-5", "cannot be the latitude"),
    ("Site,lat,lon_e,lon_w,year,magt", "A,68,149,149,2000,-5", "lon_e, lon_w"),
    ("Site,lat,lon,EW,year,magt", "A,68,149,,2000,-5", "'' stands where E or W"),
    ("Site,lat,lon,year,magt", "A,149.5,68,2000,-5", "line 2: site A has the latitude 149.5"),
    ("Site,lat,lon,year,magt", "A,68,149,2000/2001,-5", "span of two years"),
    ("Site,lat,lon,year,magt", "A,68,149,01/02/03,-5", "'01/02/03'"),
    ("Site,lat,lon,year,magt", "A,68,149,2000,23", "'unit=°F'"),
    ("Site,lat,lon,year,magt_K", "A,68,149,2000,-5", "in K, which is the unit stated"),
    ("Site,lat,lon,year,magt,magt", "A,68,149,2000,-5,-5", "magt, magt"),
    ("Site,lat,lon,year,year,magt", "A,68,149,2000,2001,-5", "'year' twice"),
    ("Site,lat,lon,year,temp_farenheit_x", "A,68,149,2000,999", "537.222"),
    ("Site,Länge (O),lat,year,magt", "A,10,68,2000,-5", "longitude_side=E"),
])
def test_what_cannot_be_told_is_refused_by_name(tmp_path, header, row, told):
    assert told in refusal(tmp_path, f"{header}\n{row}\n")


def test_what_is_no_annual_mean_of_the_ground_is_not_taken_for_one(tmp_path):
    for header in ("Temp (max, °C)", "temp_min", "Temperature (air)", "MAGT amplitude"):
        assert "no column recognised as value" in refusal(tmp_path, f"site,lat,lon,year,\"{header}\"\nA,68,9,2000,-3\n")
    text = "site,lat,lon,year,Temp (max),Temp (mean),Temp (min)\nA,68,9,2000,1,-3,-9\n"
    assert read(tmp_path, text)[0][0].values == {2000: -3}
    # the largest thaw depth of a year is what is looked for
    assert read(tmp_path, "site,lat,lon,year,\"ALT (max, cm)\"\nA,68,9,2000,45\n", ALT)[0][0].values == {2000: 0.45}
    (station,), report = read(tmp_path, "site,lat,lon,year,month,magt\nA,68,9,2000,8,-3\nA,68,9,2001,8,-3\n")
    assert station.values == {2000: -3, 2001: -3} and any("month or day" in told for told in report.warnings)


@pytest.mark.parametrize("form", ["{year} ({unit})", "ALT_{year} [{unit}]", "{unit}", "ALT {year}, {unit}"])
@pytest.mark.parametrize("unit", list(DEPTHS))
def test_a_column_a_year_states_its_unit_in_every_header(tmp_path, form, unit):
    values = {2001: 0.53, 2002: 1.25, 2003: 2.0}
    if form == "{unit}":
        head = ",".join(map(str, values)) + f"\n,,,{','.join([unit] * 3)}"
    else:
        head = ",".join(f'"{form.format(year=year, unit=unit)}"' for year in values)
    row = ",".join(f"{DEPTHS[unit][0](value):.6f}" for value in values.values())
    (station,), report = read(tmp_path, f"site,lat,lon,{head}\nA,68,-149,{row}\n", ALT)
    assert station.values == pytest.approx(values, abs=1e-5) and report.unit == unit


def test_the_altitude_is_not_taken_for_the_thaw_depth(tmp_path):
    text = "site,lat,lon,Alt (m),year,Thaw depth (cm)\nA,68,-149,350,2000,53\n"
    assert "Alt (m), Thaw depth (cm)" in refusal(tmp_path, text, ALT)
    (station,), _ = read(tmp_path, text, ALT, "value=Thaw depth (cm); elevation=Alt (m)")
    assert (station.values, station.elevation_m) == ({2000: 0.53}, 350)


@pytest.mark.parametrize("above, quantity, value, unit", [
    ("Ground temperature, degrees Fahrenheit", MAGT, 12.9, "°F"), ("# thaw depths, inches", ALT, 21, "in"),
    ("Thaw depth in feet, by probe", ALT, 2.1, "ft"), ("Temperatures are in Kelvin.", MAGT, -3, "K"),
])
def test_a_unit_in_the_text_above_the_header_is_not_passed_over(tmp_path, above, quantity, value, unit):
    text = f"{above}\nsite,lat,lon,year,{'temp' if quantity == MAGT else 'alt'}\nA,68,-149,2000,{value}\n"
    assert f"'unit={unit}'" in refusal(tmp_path, text, quantity)
    other = "Temperatures in °C\n" if quantity == MAGT else "Thaw depths in cm or m\n"
    if value != 2.1:
        assert read(tmp_path, other + text.split("\n", 1)[1], quantity)[0]


def test_elevations_and_sensor_depths_in_feet_become_metres(tmp_path):
    text = "site,lat,lon,Elevation (ft),Depth (ft),year,MAGT (°C)\nA,68,-149,1000,33,2000,-5\n"
    (station,), _ = read(tmp_path, text)
    assert (station.elevation_m, station.depth_m) == (pytest.approx(304.8), pytest.approx(10.0584))
    (station,), report = read(tmp_path, text.replace("Elevation (ft)", "Elevation (fathoms)"))
    assert station.elevation_m is None and any("elevations were not used" in told for told in report.warnings)


@pytest.mark.parametrize("seed", range(30))
def test_angles_of_every_form_are_read(seed):
    rng = np.random.default_rng(seed)
    for what, letters, limit in (("latitude", "NS", 90), ("longitude", "EW", 180)):
        size, negative = round(rng.uniform(0, limit) * 3600) / 3600, bool(rng.integers(2))
        text = angle(size, letters[negative], rng)
        assert coordinate(plain(text), what, 1, "f") == pytest.approx(-size if negative else size, abs=1e-6), text


@pytest.mark.parametrize("text", ["68.25E", "71 75' N", "71-19-30", "30°1.5'20\"", "north", "12.5.3", "1_0", "68 N S"])
def test_what_is_no_latitude_is_refused_with_its_line(text):
    with pytest.raises(InputError, match="line 7"):
        coordinate(text, "latitude", 7, "f.csv")


FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%b-%Y", "%d %B %Y", "%B %d, %Y", "%Y%m%d",
           "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%Y-%m-%dT%H:%M:%SZ", "%Y.%m.%d", "%d%b%Y")


@pytest.mark.parametrize("form", FORMATS)
def test_annual_means_of_dates_in_every_usual_form_are_those_of_pandas(tmp_path, form):
    rng = np.random.default_rng(len(form))
    days = pd.date_range("2000-03-05 06:30", "2003-02-20 06:30", freq="D")
    values = np.round(rng.normal(-4, 2, len(days)), 3)
    rows = "".join(f'A;68;-149;{day.strftime(form)};{value}\n' for day, value in zip(days, values))
    (station,), report = read(tmp_path, "site;lat;lon;date;temp (°C)\n" + rows)
    yearly = pd.Series(values, index=days).groupby(days.year)
    expected = {year: mean for year, mean in yearly.mean().items() if yearly.size()[year] >= 350}
    assert sorted(expected) == [2001, 2002] and station.values == pytest.approx(expected, abs=1e-9)
    assert any("dates have the" in note for note in report.notes) == (form[:2] in ("%d", "%m") and form[3:5] in (
        "%m", "%d"))


def monthly(form):
    return "site,lat,lon,date,temp (°C)\n" + "".join(
        f"A,68,-149,{datetime.date(2001, month, 1).strftime(form)},{-month}\n" for month in range(1, 13))


@pytest.mark.parametrize("form, order, other", [("%d.%m.%Y", "day first", "month first"),
                                                ("%m/%d/%Y", "month first", "day first")])
def test_dates_that_have_two_orders_are_refused_and_read_as_stated(tmp_path, form, order, other):
    message = refusal(tmp_path, monthly(form))
    assert "line 3" in message and f"dates={order}" in message
    assert read(tmp_path, monthly(form), MAGT, f"dates={order}")[0][0].values == {2001: -6.5}
    # in the other order all readings are of January
    assert "no usable" in refusal(tmp_path, monthly(form), MAGT, f"dates={other}")
    # one more date tells the order
    told = f"A,68,-149,{datetime.date(2001, 1, 31).strftime(form)},0\n"
    (station,), _ = read(tmp_path, monthly(form) + told)
    assert station.values == {2001: pytest.approx((-0.5 - sum(range(2, 13))) / 12)}
    swapped = {"%d.%m.%Y": "%m.%d.%Y"}.get(form, "%d/%m/%Y")
    both = told + f"A,68,-149,{datetime.date(2001, 1, 30).strftime(swapped)},0\n"
    assert "two orders" in refusal(tmp_path, monthly(form) + both)


def test_a_date_needs_four_digits_of_its_year_and_must_be_one():
    assert both_readings("31.02.2001") == (None, None) and both_readings("15.07.01") == (None, None)
    day, month = both_readings("03.04.2001")
    assert np.datetime64(day, "s") == np.datetime64("2001-04-03") and np.datetime64(month, "s") == np.datetime64(
        "2001-03-04")


MONTHS = {"en": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", "number": "01 02 03 04 05 06 07 08 09 10 11 12",
          "de": "Jan. Feb. März April Mai Juni Juli Aug. Sept. Okt. Nov. Dez.",
          "long": "January February March April May June July August September October November December",
          "coded": "M01 M02 M03 M04 M05 M06 M07 M08 M09 M10 M11 M12"}


@pytest.mark.parametrize("names", list(MONTHS))
@pytest.mark.parametrize("unit", list(TEMPERATURES))
def test_a_column_a_month_gives_annual_means_of_full_years(tmp_path, names, unit):
    rng = np.random.default_rng(3)
    truth = {year: np.round(rng.uniform(-15, 3, 12), 2) for year in (2000, 2001, 2002)}
    header = [f"{name} ({unit})" for name in MONTHS[names].split()]
    rows = [["A", "68", "-149", str(year), *(f"{TEMPERATURES[unit][0](value):.4f}" for value in values)]
            for year, values in truth.items()]
    # two months less are no year
    rows[2][6:8] = "n.a.", "-9999"
    text = "\n".join(",".join(row) for row in [["site", "lat", "lon", "year", *header], *rows]) + "\n"
    (station,), report = read(tmp_path, text)
    assert station.values == pytest.approx({year: truth[year].mean() for year in (2000, 2001)}, abs=1e-4)
    assert report.unit == unit and report.skipped["year of a sensor with too few readings"] == 1
    joined = "site,lat,lon," + ",".join(f"{name} {year}" for year in (2000, 2001) for name in MONTHS["en"].split())
    values = [f"{value}" for year in (2000, 2001) for value in truth[year]]
    (station,), _ = read(tmp_path, f"{joined}\nA,68,-149,{','.join(values)}\n")
    assert station.values == pytest.approx({year: truth[year].mean() for year in (2000, 2001)}, abs=1e-9)
    without = "\n".join(",".join(row[:3] + row[4:]) for row in [["site", "lat", "lon", "year", *header], *rows[:1]])
    assert "no column of the year" in refusal(tmp_path, without + "\n")


def test_a_file_of_one_site_takes_its_place_from_the_table_of_sites(tmp_path):
    sites = tmp_path / "sites.csv"
    sites.write_text("id,Lat (°N),Lon (°W)\nB7,68.5,149.5\nB8,69,150\n", encoding="utf-8")
    path = tmp_path / "B7_monthly.csv"
    path.write_text(f"Year,{','.join(MONTHS['en'].split())}\n2001,{','.join(['-3'] * 12)}\n", encoding="utf-8")
    (station,), _ = read_stations(path, MAGT, sites=sites)
    assert (station.site, station.longitude, station.values) == ("B7", -149.5, {2001: -3})
    path.write_text("lat,lon °W,date,temp_F\n" + "".join(f"68,149,2001-{month:02d}-15,23\n" for month in range(1, 13)),
                    encoding="utf-8")
    (station,), _ = read_stations(path, MAGT)
    assert (station.site, station.longitude, station.values) == ("B7_monthly", -149, {2001: pytest.approx(-5)})


def test_columns_headed_by_numbers_are_not_guessed_to_be_months(tmp_path):
    head, row = "site,lat,lon,year,", "A,68,-149,2000,"
    numbers = ",".join(map(str, range(1, 13)))
    assert "months or depths" in refusal(tmp_path, f"{head}{numbers}\n{row}{numbers}\n")
    for depths in ("1,2,3,4,5,6,8,10,12", f"{numbers},15,20", "T1,T2,T3,T4,T5,T6,T7,T8"):
        assert "no column recognised as value" in refusal(tmp_path, f"{head}{depths}\n{row}{depths}\n")


@pytest.mark.parametrize("header, cells", [
    ("year,month", lambda day: f"{day.year},{day.month}"),
    ("Year,Month", lambda day: f"{day.year},{day.strftime('%b')}"),
    ("year,month,day", lambda day: f"{day.year},{day.month},{day.day}"),
    ("year,doy", lambda day: f"{day.year},{day.dayofyear}"),
])
def test_a_date_in_several_columns_is_put_together(tmp_path, header, cells):
    days = pd.date_range("2001-01-01", "2001-12-31", freq="MS" if header.lower() == "year,month" else "D")
    values = np.round(np.random.default_rng(1).normal(-4, 2, len(days)), 3)
    text = f"site,lat,lon,{header},temp_c\n" + "".join(
        f"A,68,-149,{cells(day)},{value}\n" for day, value in zip(days, values))
    (station,), _ = read(tmp_path, text)
    assert station.values == {2001: pytest.approx(values.mean())}
    impossible = {"year,month": "2001,13", "Year,Month": "2001,Juy", "year,month,day": "2001,2,30",
                  "year,doy": "2001,400"}
    wrong = text.replace(f"A,68,-149,{cells(days[3])},", f"A,68,-149,{impossible[header]},", 1)
    assert "line 5" in refusal(tmp_path, wrong)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_long_file_of_readings_may_be_in_any_unicode(tmp_path, encoding):
    days = pd.date_range("2001-01-01", "2004-12-31", freq="D")
    text = "Ort;lat;lon;date;depth (m);temp (°C)\n" + "".join(
        f"Höhe;68,5;−149,5;{day:%d.%m.%Y};{depth};−{depth},25\n" for depth in (1, 5) for day in days)
    path = tmp_path / "long.csv"
    path.write_bytes(text.encode(encoding))
    assert path.stat().st_size > 1 << 16
    (station,), report = read_stations(path, MAGT, "site=Ort", DEEPEST)
    assert (station.site, station.longitude, station.depth_m, station.values[2003]) == ("Höhe", -149.5, 5, -5.25)
    assert report.encoding == encoding[:6].upper()


def test_headers_of_every_generated_table_are_known_for_what_they_are():
    for kind, columns in (("latitude", LATITUDES), ("longitude", LONGITUDES)):
        for side, texts in columns.items():
            assert {(coordinate_header(text).kind, coordinate_header(text).side or "") for text in texts} == {
                (kind, side)}
    for units in (TEMPERATURES, DEPTHS):
        for unit, (_, texts) in units.items():
            assert {(parse_header(text).unit, parse_header(text).stray) for text in texts} == {(unit, None)}
    for text in ("year", "site_id", "Comment (°W of the road)", "latent heat", "longest series", "elevation", "plate"):
        assert coordinate_header(text).kind is None


@pytest.mark.parametrize("unit", ["°C per year", "°C per decade", "deg C per a", "K per year", "°C/yr", "°C/decade",
                                  "°C yr-1", "per °C"])
def test_a_rate_is_no_temperature(tmp_path, unit):
    assert parse_header(f"MAGT ({unit})").unit is None and parse_header(f"MAGT ({unit})").stray == unit
    path = tmp_path / "rates.csv"
    path.write_text(f"site,latitude,longitude,year,MAGT ({unit})\nA,68,149,2001,-0.5\n", encoding="utf-8")
    with pytest.raises(InputError, match="not known as a unit of a mean annual ground temperature"):
        read_stations(path, MAGT)


def test_a_table_of_sites_keeps_its_hemisphere_and_its_feet(tmp_path):
    sites = tmp_path / "sites.csv"
    sites.write_text("id;Lat (°N);Lon (°W);Elevation (ft)\nB7;68,5;149,5;1000\n", encoding="cp1252")
    path = tmp_path / "magt.csv"
    path.write_text("site,year,magt_degC\nB7,2000,-3\n", encoding="utf-8")
    (station,), report = read_stations(path, MAGT, sites=sites)
    assert (station.latitude, station.longitude, station.elevation_m) == (68.5, -149.5, pytest.approx(304.8))
    assert any("table of sites sites.csv: 'Lon (°W)' counts towards W" in note for note in report.notes)
    sites.write_text("id;lat;Lon (°W)\nB7;68,5;-149,5\n", encoding="cp1252")
    with pytest.raises(InputError, match="into the header, as in 'longitude"):
        read_stations(path, MAGT, sites=sites)
