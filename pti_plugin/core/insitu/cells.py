"""What a cell of a station file holds: a number, a coordinate, or one of the ways of saying that there is none."""

import math
import re

from ..common.errors import InputError
from .headers import BOTH_SIDES, OPPOSITE, SIDES, SOUTH, WEST, side_of

MISSING = {"", "-", "--", "---", "—", "–", "−", ".", "..", "...", "…", "?", "na", "n/a", "n.a.", "n.a", "n. a.", "n a",
           "#n/a", "#na", "#value!", "#div/0!", "#ref!", "#num!", "nan", "-nan", "nd", "n.d.", "n.d", "n/d", "null",
           "none", "nil", "void", "missing", "no data", "nodata", "no_data", "no value", "not measured",
           "not available", "unknown", "k.a.", "k. a.", "<na>", "(null)", "\\n"}
#: coordinates, elevations and depths of this and below are codes for none
_CODE = -999
_MINUS = re.compile(r"^(\(?)\s*[−﹣－‐‑‒–—](?=\s*[.,]?\d)")
_SPACES = str.maketrans(dict.fromkeys("\u00a0\u2007\u2009\u200a\u202f", " ") | dict.fromkeys("\u200b\u2060\ufeff"))
_DEGREE_MARK = re.compile(r"\s*(?:[°º˚]|deg(?:rees?|s)?\b\.?)\s*", re.IGNORECASE)
_SIDE = r"(north|south|east|west|nord|ouest|oeste|ovest|ost|este?|norte|sued|süd|sud|sur|[nsew])\.?"
_SIDES = re.compile(rf"(?:{_SIDE}\s*)?([+-]?[\d.].*?)\s*(?:{_SIDE})?", re.IGNORECASE)
_LETTERS = re.compile(r"([+-]?\d+)\s*d\s*(\d+)\s*m\s*(\d+(?:\.\d+)?)\s*s(?=\s*[nsew]?$)", re.IGNORECASE)
_DECIMAL = re.compile(r"([+-]?)\s*(\d+(?:\.\d*)?|\.\d+)\s*°?\s*")
#: 71 19', 71° 19' 30", 71:19:30, 71-19-30
_MINUTES = re.compile(r"""([+-]?)\s*(\d+)\s*(?:°|:|(-)|\s)\s*(\d+(?:\.\d+)?)\s*(?:['′’´`‘]\s*|[:-]\s*|\s+|$)"""
                      r"""(?:(\d+(?:\.\d+)?)\s*(?:["″”“]|''|′′|’’)?)?\s*""")


def plain(text):
    """Return a cell with plain spaces and, before its number, a plain minus; what is said stays the same."""
    if text.isascii():
        return text
    return _MINUS.sub(r"\1-", text.translate(_SPACES).strip())


def is_missing(text):
    """Say whether a cell says that there is no value."""
    return text.lower() in MISSING


def _says_none(text):
    return is_missing(text) or bool(re.fullmatch(r"-\d+(\.\d*)?", text)) and float(text) <= _CODE


def number(text, what, line, path):
    """Return the number in a cell; raises InputError naming its line where it holds none."""
    try:
        # Python would read 1_0 as 10
        found = math.nan if "_" in text else float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"{path}, line {line}: the {what} '{text}' is not a number"
                         + ("; give decimal degrees, or degrees with minutes and letter, as 71 19' N."
                            if what in SIDES else "."))
    return found


def height(text, what, line, path):
    """Return an elevation or a depth, None where the cell is empty or a no-data code."""
    if is_missing(text):
        return None
    found = number(text, what, line, path)
    return None if found <= _CODE else found


def coordinate(text, what, line, path, side=None, header="", remedy=""):
    """Return a latitude or longitude in degrees, north and east positive; None where the cell says that there is none.

    ``what``: latitude or longitude; ``side``: the side of SIDES that unsigned numbers lie on as ``header`` or a cell
    beside says, or None; ``remedy``: how the user may state another. The cell may be decimal degrees, or degrees with
    minutes and seconds, and may state its side.
    Raises InputError naming the line where it is no angle or contradicts the side.
    """
    if _says_none(text):
        return None
    wrong = InputError(f"{path}, line {line}: the {what} '{text}' is no angle; write it as 71 19' N or in decimal "
                       f"degrees.")
    found = _SIDES.fullmatch(_LETTERS.sub(r"\1 \2 \3", _DEGREE_MARK.sub("° ", text)))
    match = found and (_DECIMAL.fullmatch(found[2]) or _MINUTES.fullmatch(found[2]))
    if not match:
        # says what is no number at all, too
        number(text, what, line, path)
        raise wrong
    sign, whole, *finer = match.groups()
    hyphens, minutes, seconds = finer or (None, None, None)
    degrees, minutes, seconds = float(whole), float(minutes or 0), float(seconds or 0)
    negative = sign == "-"
    stated = [side_of(letter) for letter in (found[1], found[3]) if letter]
    if (minutes >= 60 or seconds >= 60 or minutes % 1 and finer[2] is not None or len(stated) > 1 or negative and stated
            or stated and stated[0] not in SIDES[what] or hyphens and not stated):
        raise wrong
    size = degrees + minutes / 60 + seconds / 3600
    if stated and side and stated[0] != side and side == OPPOSITE[stated[0]] and side in (SOUTH, WEST):
        raise InputError(f"{path}, line {line}: the {what} '{text}' contradicts '{header}', which counts towards "
                         f"{side}. Correct the one or the other.")
    if negative and side in (SOUTH, WEST):
        raise InputError(f"{path}, line {line}: the {what} '{text}' has a minus sign, but '{header}' counts towards "
                         f"{side}, so which side is meant cannot be told. Remove the minus signs, or, if negative "
                         f"numbers lie towards {side}, "
                         f"{remedy or f'state {what}_side={OPPOSITE[side]} in the column list'}.")
    towards = stated[0] if stated else side
    if towards == WEST and 180 < size <= 360:
        return 360 - size
    # never −0
    return 0.0 - size if negative or towards in (SOUTH, WEST) else size


class CoordinateColumn:
    """Reads the latitudes or longitudes of a table.

    ``kind``: which of them; ``column``: its index; ``side``: the one that unsigned numbers lie on, BOTH_SIDES where the
    ``header`` names both; ``letters``: index of a column with the letter of the hemisphere, or None. ``remedy``: how
    the user may state another side where there is no column list.
    """

    def __init__(self, kind, column, header, side=None, letters=None):
        self.remedy = ""
        self.kind, self.column, self.header, self.side, self._letters = kind, column, header, side, letters
        self._told = False

    def read(self, cells, line, path, comma=False):
        """Return the coordinate of a row, None where it has none; raises InputError naming the line."""
        text, side, source = cells[self.column], self.side, self.header
        text = text.replace(",", ".") if comma else text
        if self._letters is not None and not _says_none(text):
            source = cells[self._letters]
            side = side_of(source)
            if side not in SIDES[self.kind]:
                raise InputError(f"{path}, line {line}: '{source}' stands where {' or '.join(SIDES[self.kind])} of the "
                                 f"{self.kind} should. Correct it.")
        if side == BOTH_SIDES:
            side, self._told = None, self._told or bool(re.search(r"[A-Za-z-]", text))
        return coordinate(text, self.kind, line, path, side, source, self.remedy)

    def finish(self, path):
        """Raise InputError where the header names both sides and no number has said which."""
        if self.side == BOTH_SIDES and not self._told:
            one, other = SIDES[self.kind]
            raise InputError(f"{path}: the header '{self.header}' does not tell which side its numbers lie on, and no "
                             f"number has a sign or a letter. "
                             + (f"{self.remedy[0].upper()}{self.remedy[1:]}." if self.remedy else
                                f"State {self.kind}_side={one} or {self.kind}_side={other} in the column list."))

    def sentence(self):
        """Return what the log should say of the side, '' where numbers are as usual."""
        if self._letters is not None:
            return f"the side of the {self.kind} is taken from the column beside it."
        if self.side in (SOUTH, WEST):
            return (f"'{self.header}' counts towards {self.side}: 100 in it was read as −100." if self.side == WEST else
                    f"'{self.header}' counts towards {self.side}: 50 in it was read as −50.")
        return ""
