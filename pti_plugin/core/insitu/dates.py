"""Dates as station files write them. Whether the day or the month comes first is decided over the whole column."""

import re
from datetime import datetime

import numpy as np

from ..common.errors import InputError
from .headers import folded

_EPOCH = datetime(1970, 1, 1).toordinal()
_NEVER = np.iinfo(np.int64).min
_YEARS = range(1800, 2201)
DAY_FIRST, MONTH_FIRST = "day first", "month first"

_NAMES = """january janvier januar enero gennaio januari janeiro январь января jan ene gen янв
february fevrier februar febrero febbraio februari fevereiro февраль февраля feb fev fevr фев
march mars marz maerz marzo marco март марта mar mrz мар
april avril abril aprile апрель апреля apr avr abr апр
may mai mayo maggio maj maio май мая mag
june juin juni junio giugno junho июнь июня jun giu июн
july juillet juli julio luglio julho июль июля jul juil lug июл
august aout agosto augusti август августа aug ago авг
september septembre septiembre settembre setembro сентябрь сентября sep sept set сен
october octobre oktober octubre ottobre outubro октябрь октября oct okt ott out окт
november novembre noviembre novembro ноябрь ноября nov ноя
december decembre dezember diciembre dicembre dezembro desember декабрь декабря dec dez dic des дек"""
#: name of a month, folded → its number
MONTHS = {folded(name): number for number, line in enumerate(_NAMES.split("\n"), start=1) for name in line.split()}

_TIME = (r"(?:[Tt\s,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?"
         r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?\s*(?:Z|z|UTC|GMT|[+-]\d{2}:?\d{2})?)?")
_YMD = re.compile(r"(?P<y>\d{4})([-/.])(?P<a>\d{1,2})(?:\2(?P<b>\d{1,2}))?" + _TIME)
_COMPACT = re.compile(r"(?P<y>\d{4})(?P<a>\d{2})(?P<b>\d{2})" + _TIME)
_DMY = re.compile(r"(?P<a>\d{1,2})([./-])(?P<b>\d{1,2})\2(?P<y>\d{4})" + _TIME)
_NAMED = [re.compile(pattern + _TIME) for pattern in (
    r"(?P<b>\d{1,2})[\s.\-/]+(?P<name>[^\W\d_]+)[\s.,\-/]+(?P<y>\d{4})",
    r"(?P<b>\d{1,2})(?P<name>[^\W\d_]+)(?P<y>\d{4})",
    r"(?P<name>[^\W\d_]+)[\s.\-/]+(?P<b>\d{1,2})[\s,\-/]+(?P<y>\d{4})", r"(?P<name>[^\W\d_]+)[\s.,\-/_]*(?P<y>\d{4})",
    r"(?P<y>\d{4})[\s.\-/_]*(?P<name>[^\W\d_]+)(?:[\s.\-/]+(?P<b>\d{1,2}))?")]
_YEAR = re.compile(r"(\d{4})(?:\.0*)?")
_SHORT = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2}(?:\s.*)?")


def month_number(text):
    """Return the number of the month that a text names or gives as 1 to 12, None where it does neither."""
    words = re.findall(r"[^\W_]+", folded(text))
    if len(words) != 1:
        return None
    if words[0].isdigit():
        return int(words[0]) if 1 <= int(words[0]) <= 12 else None
    return MONTHS.get(words[0])


def moment(year, month, day, match=None):
    """Return seconds since 1970 of a date with the time of ``match``, None where there is no such date."""
    try:
        found = datetime(year, month, day)
    except ValueError:
        return None
    if year not in _YEARS:
        return None
    hour = minute = second = 0
    if match is not None and match.group("hour"):
        hour, minute, second = (int(match.group(name) or 0) for name in ("hour", "minute", "second"))
        half = (match.group("half") or "").lower()
        if half:
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + (12 if half.startswith("p") else 0)
        if hour > 23 or minute > 59 or second > 59:
            return None
    return (found.toordinal() - _EPOCH) * 86400 + hour * 3600 + minute * 60 + second


def both_readings(text):
    """Return (seconds since 1970 with the day first, the same with the month first); None for one that is no date.

    Both are the same where the text leaves no choice. A zone is not applied; a month without a day is its 15th.
    """
    for pattern in (_YMD, _COMPACT):
        match = pattern.fullmatch(text)
        if match:
            found = moment(int(match["y"]), int(match["a"]), int(match["b"] or 15), match)
            return found, found
    match = _DMY.fullmatch(text)
    if match:
        year, first, second = int(match["y"]), int(match["a"]), int(match["b"])
        return moment(year, second, first, match), moment(year, first, second, match)
    # a name of a month has letters of any script
    text = folded(text)
    for pattern in _NAMED:
        match = pattern.fullmatch(text)
        month = MONTHS.get(match["name"]) if match else None
        if month:
            found = moment(int(match["y"]), month, int(match.groupdict().get("b") or 15), match)
            return found, found
    return None, None


def year_of(text, line, path):
    """Return the year of a cell that holds a year or a date; raises InputError naming the line."""
    match = _YEAR.fullmatch(text)
    if match and int(match.group(1)) in _YEARS:
        return int(match.group(1))
    found = next((reading for reading in both_readings(text) if reading is not None), None)
    if found is None:
        why = "is a span of two years" if re.fullmatch(r"\d{4}\s*[-/–]\s*\d{2,4}", text) else "is not a year or a date"
        raise InputError(f"{path}, line {line}: the year '{text}' {why}; write it with four digits, or a date as "
                         f"2015-07-31.")
    return int(str(np.datetime64(found, "s"))[:4])


class DateColumn:
    """The dates of a column, in the order of its rows; day or month first is decided once all are known.

    ``order`` is DAY_FIRST or MONTH_FIRST where the user states it, else None.
    """

    def __init__(self, path, order=None):
        self._path, self._order = path, order
        #: {order: (line, text) of the first date that is none in it}, and the first that is one in both
        self._impossible, self._ambiguous = {}, None

    def read(self, text, line):
        """Return (seconds with the day first, with the month first) of a cell; raises InputError naming the line."""
        if text[4:5] in ("-", "/"):
            try:
                found = datetime.fromisoformat(text.replace("/", "-").rstrip("Zz"))
                found = ((found.toordinal() - _EPOCH) * 86400 + found.hour * 3600 + found.minute * 60 + found.second)
                return found, found
            except ValueError:
                pass
        day, month = both_readings(text)
        if day is None and month is None:
            why = ": its year has two digits" if _SHORT.fullmatch(text) else ""
            raise InputError(f"{self._path}, line {line}: the date '{text}' is no date{why}; write it as 2015-07-31 or "
                             f"2015-07-31 12:00:00.")
        if day is None:
            self._impossible.setdefault(DAY_FIRST, (line, text))
        elif month is None:
            self._impossible.setdefault(MONTH_FIRST, (line, text))
        elif day != month and self._ambiguous is None:
            self._ambiguous = line, text
        return _NEVER if day is None else day, _NEVER if month is None else month

    def order(self):
        """Return DAY_FIRST or MONTH_FIRST; raises InputError where the dates leave both or neither."""
        if self._order:
            if self._order in self._impossible:
                line, text = self._impossible[self._order]
                raise InputError(f"{self._path}, line {line}: '{text}' is no date with the {self._order}, as the "
                                 f"column list states. Correct the one or the other.")
            return self._order
        if len(self._impossible) == 2:
            (day_line, day), (month_line, month) = self._impossible[MONTH_FIRST], self._impossible[DAY_FIRST]
            raise InputError(f"{self._path} has dates in two orders: '{day}' in line {day_line} has the day first, "
                             f"'{month}' in line {month_line} the month. Write all dates as 2015-07-31.")
        if self._impossible:
            return MONTH_FIRST if DAY_FIRST in self._impossible else DAY_FIRST
        if self._ambiguous:
            line, text = self._ambiguous
            raise InputError(f"{self._path}, line {line}: '{text}' may have the day or the month first, and no date "
                             f"of the column tells which. State 'dates={DAY_FIRST}' or 'dates={MONTH_FIRST}' in the "
                             f"column list, or write the dates as 2015-07-31.")
        return DAY_FIRST

    @property
    def told(self):
        """Whether any date could be read in two orders, so that the order is worth saying."""
        return bool(self._impossible or self._ambiguous)
