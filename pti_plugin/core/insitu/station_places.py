"""Where stations are, for files that hold no coordinates: a table of sites, and the metadata GTN-P puts beside data."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from ..common.errors import InputError
from .cells import coordinate, height, is_missing
from .columns import coordinate_columns
from .headers import SIDES, TEMPERATURES, UNIT_WORDS, parse_header, words_of
from .stations import ReadReport, elevation_factor, place_of, read_table, tell_coordinates

#: role → header names of a table of sites, best first
_COLUMNS = {
    "site": ("id", "site", "site_id", "station", "station_id", "borehole_id", "borehole", "code", "site_code", "name"),
    "name": ("name", "site_name", "station_name", "borehole_name"),
    "elevation": ("elevation", "elev", "altitude", "height", "h"),
}


@dataclass(frozen=True)
class Place:
    """Id, name, latitude and longitude in degrees, elevation in metres; None where it is not known."""

    site: str
    name: str
    latitude: float = None
    longitude: float = None
    elevation: float = None
    #: unit of the readings, where metadata state it
    unit: str = None
    citation: str = ""


class Places:
    """The rows of a table of sites, found by id or name in whatever case."""

    def __init__(self, path, places, notes=(), warnings=()):
        #: where the table is
        self.path = path
        #: what the log should say of how it was read
        self.notes, self.warnings = notes, warnings
        self._all = places
        self._by_key = {}
        for key in ("name", "site"):
            own = {}
            for place in places:
                own.setdefault(_key(getattr(place, key)), place)
            self._by_key.update(own)

    def find(self, *keys):
        """Return the Place whose id, or else name, is the first of ``keys`` that any has; None where none has."""
        return next((self._by_key[_key(key)] for key in keys if _key(key) in self._by_key), None)

    def find_in(self, stem, alone):
        """Return the Place for a file called ``stem``: the longest id or name that is a word of it.

        Where the file stands ``alone`` and the table has one row, it is that row. None where nothing fits.
        """
        place = self.find(stem)
        if place is None:
            words = [key for key in self._by_key if len(key) > 1 and re.search(
                rf"(?<![a-z0-9]){re.escape(key)}(?![a-z0-9])", stem.lower())]
            place = self._by_key[max(words, key=len)] if words else None
        return self._all[0] if place is None and alone and len(self._all) == 1 else place


def _key(text):
    return " ".join((text or "").split()).lower()


def read_places(path):
    """Return the Places of a delimited text table with columns id, name, latitude, longitude and elevation.

    Rows without coordinates are kept, since only a site that has measurements must have them. Raises InputError
    where columns are missing, a number is malformed, or an id stands twice with different coordinates.
    """
    report = ReadReport(Path(path).name, "")
    table = read_table(path, report)
    names = [parse_header(header).name for header in table.header]
    columns = {role: next((names.index(alias) for alias in aliases if alias in names), None)
               for role, aliases in _COLUMNS.items()}
    places = coordinate_columns(table, {}, {})
    for column in places.values():
        example = f"{column.kind} ({SIDES[column.kind][1]})"
        column.remedy = f"write the side that unsigned numbers lie on into the header, as in '{example}'"
    missing = [role for role in ("site", *SIDES) if role not in places and columns.get(role) is None]
    if missing:
        raise InputError(f"The table of sites {path} has no column for the {' and '.join(missing)}; its columns are "
                         f"{', '.join(table.header)}. Name them id, name, latitude, longitude and elevation.")
    of_latitude = places["latitude"].column
    decimal_comma = not any("." in cells[of_latitude] for _, cells in table.rows)
    metres = None if columns["elevation"] is None else elevation_factor(table.header[columns["elevation"]], report)
    found = {}
    for line, cells in table.rows:
        def cell(role, cells=cells):
            text = "" if columns[role] is None else cells[columns[role]]
            return "" if is_missing(text) else text

        if not cell("site"):
            raise InputError(f"{path}, line {line}: the site has no id.")
        text = cell("elevation")
        elevation = height(text.replace(",", ".") if decimal_comma else text, "elevation", line, path)
        place = Place(cell("site"), cell("name") or cell("site"),
                      *place_of(places, cells, line, path, decimal_comma),
                      None if elevation is None or metres is None else elevation * metres)
        known = found.setdefault(_key(place.site), place)
        if (known.latitude, known.longitude) != (place.latitude, place.longitude):
            raise InputError(f"{path}, line {line}: the site {place.site} stands twice with different coordinates; "
                             f"keep one row of it.")
    tell_coordinates(places, path, report)
    if not found:
        raise InputError(f"The table of sites {path} has no rows below its header.")
    return Places(str(path), list(found.values()), tuple(report.notes), tuple(report.warnings))


def locate(records, places, path, report):
    """Give ``records`` without coordinates those of the table of sites; return those that then have some.

    Sites that the table does not have, or has without coordinates, are left out and named in the report. Raises
    InputError where none is left.
    """
    lost, kept = {}, []
    for record in records:
        if record.latitude is None or record.longitude is None:
            place = places.find(record.site, record.name)
            if place is None or place.latitude is None or place.longitude is None:
                why = "not in the table of sites" if place is None else "without coordinates in the table of sites"
                lost.setdefault((why, place.name if place else record.name), []).append(record)
                continue
            record.latitude, record.longitude = place.latitude, place.longitude
            record.elevation = place.elevation if record.elevation is None else record.elevation
            record.name = place.name if record.name == record.site else record.name
        kept.append(record)
    told = "; ".join(f"{why}: {', '.join(sorted(name for reason, name in lost if reason == why))}"
                     for why in sorted({why for why, _ in lost}))
    if lost and not kept:
        raise InputError(f"None of the sites of {path} has coordinates in {places.path} ({told}). The ids or names "
                         f"must be the same in both.")
    if lost:
        report.warnings.append(f"{report.path}: {sum(map(len, lost.values()))} annual value(s) of {len(lost)} "
                               f"site(s) were left out ({told}). Add latitude and longitude to use them.")
    return kept


def gtnp_text_metadata(path):
    """Return the Place in the .metadata.txt beside a GTN-P export of before 2026, or None where there is none."""
    path = Path(path)
    suffix = ".metadata.txt"
    beside = [other for other in path.parent.glob("*" + suffix) if path.name.startswith(other.name[:-len(suffix)])]
    if not beside:
        return None
    file = max(beside, key=lambda other: len(other.name))
    known = {}
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").split("\n"), start=1):
        # what stands further in belongs to a contact or an organization, not to the borehole
        match = re.fullmatch(r"(Id|Name|Latitude|Longitude|Elevation): *(\S.*?)\s*", line)
        if match:
            known.setdefault(match.group(1).lower(), (match.group(2), number))
    numbers = [(height if role == "elevation" else coordinate)(known[role][0], role, known[role][1], file)
               if role in known else None for role in (*SIDES, "elevation")]
    site = known.get("id", known.get("name", (path.stem, 0)))[0]
    return Place(site, known.get("name", (site, 0))[0], *numbers)


def gtnp_json_metadata(path):
    """Return {data set id: Place, None where it is no ground temperature} from the JSON beside a GTN-P export.

    Exports have it since 2026. The file is looked for as <name>_metadata.json, <name>.metadata.json, <name>.json and
    metadata.json; {} where there is none. Raises InputError with the line where it is malformed.
    """
    path = Path(path)
    names = (f"{path.stem}_metadata.json", f"{path.stem}.metadata.json", f"{path.stem}.json", "metadata.json")
    file = next((path.parent / name for name in names if (path.parent / name).is_file()), None)
    if file is None:
        return {}
    try:
        datasets = json.loads(file.read_text(encoding="utf-8-sig"))
        datasets = datasets if isinstance(datasets, list) else [datasets]
        return {str(dataset["id"]): _json_place(dataset, file) for dataset in datasets}
    except json.JSONDecodeError as error:
        raise InputError(f"{file}, line {error.lineno}: the metadata cannot be read ({error.msg}); download them "
                         f"again.") from error
    # RecursionError: nested without end
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{file} does not hold the metadata of a GTN-P export of 2026 ({error}); download them "
                         f"again.") from error


def _json_place(dataset, file):
    if "ground temperature" not in str(dataset.get("variable", "")).lower():
        return None
    borehole = dataset["borehole"]
    location = borehole.get("location") or {}
    numbers = [(height if role == "elevation" else coordinate)(
        "" if location.get(role) is None else str(location[role]), role, 1, file) for role in (*SIDES, "elevation")]
    written = str((dataset.get("unit") or {}).get("abbreviation") or "")
    unit = UNIT_WORDS.get("_".join(words_of(written)))
    if written and unit not in TEMPERATURES:
        raise InputError(f"{file}: the unit '{written}' of the data set {dataset['id']} is none of a temperature "
                         f"({', '.join(TEMPERATURES)}). Correct it.")
    return Place(str(borehole["id"]), str(borehole.get("name") or borehole["id"]), *numbers, unit,
                 str(borehole.get("generic_citation") or ""))
