"""Times in names: of files, of bands, and in texts such as a band's TIME. The one parser of them, with named forms.

A name alone can be read in several ways, so names are read as a set: what is the same in all of them (a version, the
years of a whole product) tells no layer from another, ranges of years are stamps only where they make a series, and the
order of day and month is known only where one of the two is above 12. What stays open is refused, and DATE_FORMAT says
how it is meant.
"""

import datetime
import re
from collections import namedtuple

from ..common.errors import InputError

Stamp = namedtuple("Stamp", "year month day day_of_year", defaults=(0, 0, 0))
Stamp.__doc__ = """The time in a name; 0 for what it does not say. Only one of day and day_of_year is given."""

Found = namedtuple("Found", "form text stamp last order", defaults=(None, ()))
Found.__doc__ = """A stamp in a name: its form and text, the stamp, the last one of a range, and two numbers of which it
is not known which one is the day; then the stamp holds the year alone."""

#: names of months, English; three letters or all of them
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december")
_MONTH_NAMES = {**{name: place + 1 for place, name in enumerate(MONTHS)},
                **{name[:3]: place + 1 for place, name in enumerate(MONTHS)}, "sept": 9}
_YEAR = r"(?:18|19|20|21)\d\d"
_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_DAY_OF_YEAR = r"(?:00[1-9]|0[1-9]\d|[12]\d\d|3[0-5]\d|36[0-6])"
_NAME = "|".join(sorted(_MONTH_NAMES, key=len, reverse=True))
_CLOCK = r"(?:[T_ -]?(?:[01]\d|2[0-4])(?::?[0-5]\d(?::?[0-6]\d(?:\.\d+)?)?)?Z?)"
_JOIN = r"(?:[-_]|-to-|_to_)"
#: units that make a height, a wavelength or a level of a number; the first ones may follow a year, as in ALT 2001 m
_LENGTH, _LEVEL = r"(?:[kdcm]?m|ft)", r"[ _]?(?:nm|hPa|mbar)"
_HEIGHT = re.compile(rf"\s*\d{{4}}\s*{_LENGTH}\s*")

#: the forms in the order in which a name is searched; a part that one has taken is not searched again
FORMS = (
    # MODIS and GLASS: A, year and day of the year of the acquisition
    ("acquisition", re.compile(rf"(?<![^._-])A(?P<year>{_YEAR})(?P<doy>{_DAY_OF_YEAR})(?!\d)")),
    ("range of days", re.compile(
        rf"(?<!\d)(?P<year>{_YEAR})(?P<sep>[-.]?)(?P<month>{_MONTH})(?P=sep)(?P<day>{_DAY}){_JOIN}"
        rf"(?P<year2>{_YEAR})(?P=sep)(?P<month2>{_MONTH})(?P=sep)(?P<day2>{_DAY})(?!\d)")),
    ("range of months", re.compile(
        rf"(?<!\d)(?P<year>{_YEAR})(?P<month>{_MONTH}){_JOIN}(?P<year2>{_YEAR})(?P<month2>{_MONTH})(?!\d)")),
    ("range of years", re.compile(rf"(?<!\d)(?P<year>{_YEAR}){_JOIN}(?P<year2>{_YEAR})(?!\d)(?![-_.]?{_MONTH}(?!\d))")),
    ("day and month name", re.compile(
        rf"(?<![\dA-Za-z])(?P<day>0?[1-9]|[12]\d|3[01])[-_. ]?(?P<name>{_NAME})[-_. ]?(?P<year>{_YEAR})(?!\d)", re.I)),
    ("day and month name", re.compile(
        rf"(?<!\d)(?P<year>{_YEAR})[-_. ]?(?P<name>{_NAME})[-_. ]?(?P<day>{_DAY})(?!\d)", re.I)),
    ("month name", re.compile(rf"(?<![A-Za-z])(?P<name>{_NAME})[-_. ]?(?P<year>{_YEAR})(?!\d)", re.I)),
    ("month name", re.compile(rf"(?<!\d)(?P<year>{_YEAR})[-_. ]?(?P<name>{_NAME})(?![A-Za-z])", re.I)),
    ("day", re.compile(rf"(?<!\d)(?P<year>{_YEAR})(?P<sep>[-_.:/])(?P<month>{_MONTH})(?P=sep)(?P<day>{_DAY})"
                       rf"(?:{_CLOCK})?(?!\d)")),
    ("day", re.compile(rf"(?<!\d)(?P<year>{_YEAR})(?P<month>{_MONTH})(?P<day>{_DAY})(?:[T_]?(?:[01]\d|2[0-4])"
                       rf"(?:[0-5]\d(?:[0-6]\d)?)?Z?)?(?!\d)")),
    ("day of the year", re.compile(rf"(?<!\d)(?P<year>{_YEAR})(?:[-_.]?|[-_.]day)(?P<doy>{_DAY_OF_YEAR})(?!\d)")),
    ("day and month in unknown order", re.compile(
        rf"(?<!\d)(?P<one>0?[1-9]|[12]\d|3[01])(?P<sep>[-_./])(?P<two>0?[1-9]|[12]\d|3[01])(?P=sep)"
        rf"(?P<year>{_YEAR})(?!\d)")),
    ("month", re.compile(rf"(?<!\d)(?P<year>{_YEAR})[-_./]?(?P<month>{_MONTH})(?!\d)")),
    ("month and year", re.compile(rf"(?<!\d\.)(?<![\dvV])(?P<month>{_MONTH})[-_./](?P<year>{_YEAR})(?!\d)")),
    ("range of two-digit years", re.compile(rf"(?<!\d)(?P<year>{_YEAR})[-_](?P<short>\d\d)(?!\d)")),
    ("year", re.compile(rf"(?<!\d)(?P<year>{_YEAR})(?!\d)(?!{_LENGTH}(?![A-Za-z\d]))(?!{_LEVEL}(?![A-Za-z\d]))")),
)
#: characters of a name that a message gives before a date
_HINT = 20
_RANGES = ("range of years", "range of months", "range of days")
_CODES = {"%Y": rf"(?P<year>{_YEAR})", "%m": r"(?P<month>0?[1-9]|1[0-2])", "%d": r"(?P<day>0?[1-9]|[12]\d|3[01])",
          "%j": r"(?P<doy>\d{3})", "%b": rf"(?P<name>{_NAME})", "%B": rf"(?P<name>{_NAME})", "%y": r"(?P<short>\d\d)"}
_CODES_OF_TWO = {"%m": rf"(?P<month>{_MONTH})", "%d": rf"(?P<day>{_DAY})"}


def stamp_in(text, date_format=""):
    """Return the Stamp in one text, or None; raises InputError as ``stamps_in`` does."""
    return stamps_in([text], date_format)[0][0]


def stamps_in(texts, date_format=""):
    """Return (stamps, notes): the Stamp in each of the ``texts``, or None, and what should be said of the reading.

    ``date_format``: how dates stand in them, with the codes of ``date_pattern``; '' finds out. Raises InputError where
    texts carry dates in several ways, or in one that can be read in several.
    """
    if date_format:
        pattern = date_pattern(date_format)
        return [_by_format(text, pattern, date_format) for text in texts], []
    found = [_all_in(text) for text in texts]
    notes = []
    found = _ranges_resolved(found)
    found = _without_versions(_without_constants(found))
    found = _in_day_order(found, texts, notes)
    return [_one(items, text, len(texts)) for items, text in zip(found, texts)], notes


def date_pattern(date_format):
    """Return the compiled pattern of a DATE_FORMAT; raises InputError.

    Codes: %Y year, %y year of two digits (1970 to 2069), %m month, %d day, %j day of the year, %b or %B English name of
    the month; * for any text; all else as it stands.
    """
    parts, used = [], []
    pieces = re.findall(r"%.|\*|[^%*]+|%", date_format)
    for place, piece in enumerate(pieces):
        if piece in _CODES:
            beside = place and pieces[place - 1] in _CODES or place + 1 < len(pieces) and pieces[place + 1] in _CODES
            code = (_CODES_OF_TWO.get(piece) if beside else None) or _CODES[piece]
            parts.append(code)
            used.append(re.search(r"<(\w+)>", code)[1])
        elif piece.startswith("%"):
            raise InputError(f"DATE_FORMAT is '{date_format}'; '{piece}' is none of its codes, which are "
                             f"{', '.join(_CODES)}.")
        else:
            parts.append(".*?" if piece == "*" else re.escape(piece))
    known = set(used)
    if len(known) < len(used) or not known & {"year", "short"} or {"year", "short"} <= known or {
            "month", "name"} <= known or "doy" in known and known & {"day", "month", "name"} or "day" in known and not (
            known & {"month", "name"}):
        raise InputError(f"DATE_FORMAT is '{date_format}'; write the year (%Y), and the month (%m, or %b for its name) "
                         f"or the day of the year (%j) where there is one, and the day (%d), each once, such as "
                         f"%d.%m.%Y.")
    edge = r"(?<!\d)" if pieces[0] in _CODES else ""
    return re.compile(edge + "".join(parts) + (r"(?!\d)" if pieces[-1] in _CODES else ""), re.IGNORECASE)


def _by_format(text, pattern, date_format):
    stamps = {_stamp(match.groupdict()) for match in pattern.finditer(text)} - {None}
    if len(stamps) > 1:
        raise InputError(f"'{text}' holds DATE_FORMAT '{date_format}' several times with different dates. Write more "
                         f"of the text beside the date into DATE_FORMAT.")
    return stamps.pop() if stamps else None


def _stamp(parts, suffix=""):
    """Return the Stamp of the groups of a match, or None where there is no such day."""
    def number(key):
        return int(parts.get(key + suffix) or 0)

    year, month, day, doy = number("year"), number("month"), number("day"), number("doy")
    if not year:
        year = int(parts["short"]) + (1900 if int(parts["short"]) >= 70 else 2000)
    if not month and parts.get("name"):
        month = _MONTH_NAMES[parts["name"].lower()]
    try:
        datetime.date(year, month or 1, day or 1)
        if doy and (datetime.date(year, 1, 1) + datetime.timedelta(doy - 1)).year != year:
            return None
    except (ValueError, OverflowError):
        return None
    return Stamp(year, month, day, doy)


def _all_in(text):
    """Return the Founds of a text, none of which overlap."""
    if _HEIGHT.fullmatch(text):
        return []
    taken = text
    found = []
    for form, pattern in FORMS:
        for match in list(pattern.finditer(taken)):
            item = _found(form, match)
            if item is not None:
                found.append((match.start(), item))
                taken = taken[:match.start()] + "\0" * (match.end() - match.start()) + taken[match.end():]
    return [item for _, item in sorted(found, key=lambda pair: pair[0]) if item.stamp is not None]


def _found(form, match):
    """Return the Found of a match, with the stamp None for a day that does not exist, or None where it is none."""
    parts = match.groupdict()
    if "one" in parts:
        return Found(form, match[0], Stamp(int(parts["year"])), order=(int(parts["one"]), int(parts["two"])))
    if form == "range of two-digit years":
        year = int(parts["year"])
        follows = (year + 1) % 100 == int(parts["short"])
        return _winter(match[0], year) if follows else None
    first = _stamp(parts)
    last = _stamp(parts, "2") if form in _RANGES else None
    if form in _RANGES and (first is None or last is None or last < first):
        return None
    return Found(form, match[0], first, last)


def _winter(text, year):
    return Found("range of years", text, Stamp(year), Stamp(year + 1))


def _ranges_resolved(found):
    """Return the Founds with ranges kept as stamps where each name has one of equal length.

    Those of a single name, or of all names alike, are left out; others become the two times they are written as. Names
    such as 2000-01, 2001-02, 2002-03, each one year on, are winters and not months.
    """
    if len(found) > 1:
        ranges = any(item.form in _RANGES for items in found for item in items)
        months = [[item for item in items if item.form == "month"] for items in found]
        if ranges or all(len(items) == 1 and _next_year(items[0]) for items in months):
            found = [[_winter(item.text, item.stamp.year) if _next_year(item) and not any(
                other.form in _RANGES for other in items) else item for item in items] for items in found]
    if len(found) < 2:
        return [[item for item in items if item.form not in _RANGES] for items in found]
    shared = set.intersection(*(set(items) for items in found))
    found = [[item for item in items if item.form not in _RANGES or item not in shared] for items in found]
    series = _are_a_series([[item for item in items if item.form in _RANGES] for items in found])
    return [[part for item in items for part in ([item] if item.form not in _RANGES or series else _parted(item))]
            for items in found]


def _parted(item):
    """Return the two times that a range is written as."""
    size = {"range of years": 4, "range of months": 6}.get(item.form, 10 if item.text[4] in "-." else 8)
    form = {"range of years": "year", "range of months": "month"}.get(item.form, "day")
    return [Found(form, item.text[:size], item.stamp), Found(form, item.text[-size:].lstrip("-_"), item.last)]


def _next_year(item):
    """True where what reads as year and month, with something between, may be a year and the next in two digits."""
    return (item.form == "month" and len(item.text) == 7 and item.text[4] in "-_"
            and (item.stamp.year + 1) % 100 == item.stamp.month)


def _are_a_series(ranges):
    """True where each name has one range, all of them of equal length."""
    if any(len(items) != 1 for items in ranges):
        return False
    lengths = [(_first_day(items[0].last) - _first_day(items[0].stamp)).days for items in ranges]
    years = {items[0].last.year - items[0].stamp.year for items in ranges}
    # months and years do not all have the same number of days
    return max(lengths) - min(lengths) <= 3 or ranges[0][0].form == "range of years" and len(years) == 1


def _first_day(stamp):
    return datetime.date(stamp.year, stamp.month or 1, stamp.day or 1)


def _without_constants(found):
    """Return the Founds without those that all names share, as long as each name has another one."""
    if len(found) < 2:
        return found
    shared = [item for item in dict.fromkeys(found[0]) if item.form != "acquisition"
              and all(item in items for items in found)]
    # a year that stands in every name and is also the stamp of one stands twice there
    kept = [list(items) for items in found]
    for items in kept:
        for item in shared:
            items.remove(item)
    return kept if all(kept) else found


def _without_versions(found):
    """Return the Founds with the year alone where one number behind it, 2001.061, is no day but the same each year."""
    days = [item for items in found for item in items if item.form == "day of the year" and len(item.text) > 7]
    if len({item.stamp.year for item in days}) < 3 or len({item.stamp.day_of_year for item in days}) > 1:
        return found
    return [[Found("year", item.text, Stamp(item.stamp.year)) if item in days else item for item in items]
            for items in found]


def _in_day_order(found, texts, notes):
    """Return the Founds with day and month told apart; where nothing tells, only the year is left, and a mark."""
    open_ones = [item for items in found for item in items if item.order]
    if not open_ones:
        return found
    first_is_day = any(item.order[0] > 12 for item in open_ones)
    second_is_day = any(item.order[1] > 12 for item in open_ones)
    if first_is_day and second_is_day:
        raise InputError(f"The dates in {texts[0]} and the other names do not all have day and month in one order. "
                         f"State it in DATE_FORMAT, such as %d.%m.%Y, or rename the files to 2001-07-31.")
    known = first_is_day or second_is_day
    if known:
        notes.append(f"Dates such as {open_ones[0].text} are read as {'day, month' if first_is_day else 'month, day'} "
                     f"and year, since one of the names has a number above 12 there.")
    result = []
    for items in found:
        changed = []
        for item in items:
            if item.order and known:
                day, month = item.order if first_is_day else item.order[::-1]
                stamp = _stamp({"year": item.stamp.year, "month": month, "day": day})
                if stamp is not None:
                    changed.append(Found("day", item.text, stamp))
            else:
                changed.append(item)
        result.append(changed)
    return result


class Ambiguous(Stamp):
    """A Stamp of which only the year is sure; ``text`` is what can be read in two ways."""

    text = ""


def _one(items, text, several):
    """Return the Stamp among the Founds of one name, or None."""
    acquired = [item for item in items if item.form == "acquisition"]
    items = acquired[-1:] or items
    if not items:
        return None
    best = items[0]
    for item in items[1:]:
        if _agree(best.stamp, item.stamp):
            best = item if _exactness(item.stamp) > _exactness(best.stamp) else best
        elif several > 1:
            raise InputError(f"{text} carries two times, {best.text} and {item.text}. State in DATE_FORMAT which one "
                             f"is meant and what stands beside it, such as {_hint(text, best)}, or rename the files.")
        else:
            best = item if _exactness(item.stamp) >= _exactness(best.stamp) else best
    if best.order:
        stamp = Ambiguous(*best.stamp)
        stamp.text = best.text
        return stamp
    return best.stamp


def _agree(one, other):
    """True where two Stamps do not contradict each other, each as far as it goes."""
    if one.year != other.year:
        return False
    days = [stamp.day_of_year or stamp.month and stamp.day and datetime.date(*stamp[:3]).timetuple().tm_yday
            for stamp in (one, other)]
    if all(days):
        return days[0] == days[1]
    months = [stamp.month or stamp.day_of_year and (datetime.date(stamp.year, 1, 1) + datetime.timedelta(
        stamp.day_of_year - 1)).month for stamp in (one, other)]
    return not all(months) or months[0] == months[1]


def _exactness(stamp):
    return 3 if stamp.day or stamp.day_of_year else 2 if stamp.month else 1


def _hint(text, item):
    shape = item.text.replace(str(item.stamp.year), "%Y", 1)
    for number, code in ((item.stamp.month, "%m"), (item.stamp.day, "%d")):
        head, found, tail = shape.partition(f"{number:02d}") if number else (shape, "", "")
        shape = f"{head}{code}{tail}" if found else shape
    return text[:text.index(item.text)][-_HINT:] + shape


def years_of_span(text, length):
    """Return the years of a range of ``length`` years in a text, such as that of a file with a band a year, or None."""
    for item in _all_in(text):
        if item.form in ("range of years", "range of months") and item.last.year - item.stamp.year + 1 == length:
            return list(range(item.stamp.year, item.last.year + 1))
    return None


def natural_order(names):
    """Return a number for each name that tells its place, or None where the names tell no order.

    They do where they are alike but for one number, or one name of a month, which differs: magt_1, magt_2, magt_10.
    """
    split = [re.findall(rf"\d+|(?<![A-Za-z])(?:{_NAME})(?![A-Za-z])|[^\d]", name, re.IGNORECASE) for name in names]
    if len({len(tokens) for tokens in split}) != 1:
        return None
    differing = [place for place, tokens in enumerate(zip(*split)) if len(set(tokens)) > 1]
    if len(differing) != 1:
        return None
    tokens = [tokens[differing[0]].lower() for tokens in split]
    if all(token.isdigit() for token in tokens):
        places = [int(token) for token in tokens]
    elif all(token in _MONTH_NAMES for token in tokens):
        places = [_MONTH_NAMES[token] for token in tokens]
    else:
        return None
    return places if len(set(places)) == len(places) else None
