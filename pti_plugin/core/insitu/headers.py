"""What the header of a column says: its name, its unit, and the side of the globe its coordinates are counted towards.

The one place where headers of station files are understood. A unit that is written and not known is kept as such, so
that no reader can take the column for one without a unit.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

NORTH, SOUTH, EAST, WEST = "N", "S", "E", "W"
#: a header that names both sides, or a letter that stands for either
BOTH_SIDES = "?"
OPPOSITE = {NORTH: SOUTH, SOUTH: NORTH, EAST: WEST, WEST: EAST}
SIDES = {"latitude": (NORTH, SOUTH), "longitude": (EAST, WEST)}

CELSIUS, KELVIN, FAHRENHEIT, DEGREE = "°C", "K", "°F", "degree"
#: unit → how many make a metre
PER_METRE = {"mm": 1000.0, "cm": 100.0, "dm": 10.0, "m": 1.0, "km": 0.001, "in": 1 / 0.0254, "ft": 1 / 0.3048,
             "yd": 1 / 0.9144}
TEMPERATURES = (CELSIUS, KELVIN, FAHRENHEIT)

#: unit → how it is written, in the words of a header (lower case, with _ between)
_SPELLINGS = {
    CELSIUS: "c degc deg_c celsius celcius deg_celsius deg_celcius degree_c degrees_c degree_celsius degrees_celsius "
             "degcelsius c_deg centigrade grad_c grad_celsius gr_c",
    KELVIN: "k kelvin kelvins degk deg_k deg_kelvin degree_k degrees_k degrees_kelvin",
    FAHRENHEIT: "f degf deg_f fahrenheit farenheit fahrenheight farenheight fahrenhiet fahr deg_fahr deg_fahrenheit "
                "degree_f degrees_f degree_fahrenheit degrees_fahrenheit f_deg",
    DEGREE: "deg degree degrees dd wgs84 decimal_degree decimal_degrees deg_dec",
    "mm": "mm millimetre millimetres millimeter millimeters",
    "cm": "cm cms centimetre centimetres centimeter centimeters zentimeter",
    "dm": "dm decimetre decimetres decimeter decimeters",
    "m": "m metre metres meter meters masl m_asl m_a_s_l mamsl m_amsl m_a_m_s_l m_u_m m_ue_m",
    "km": "km kilometre kilometres kilometer kilometers",
    "in": "in inch inches",
    "ft": "ft foot feet ft_asl ft_a_s_l ft_amsl feet_asl",
    "yd": "yd yds yard yards",
}
UNIT_WORDS = {word: unit for unit, words in _SPELLINGS.items() for word in words.split()}
#: units that no column of a station table can be converted from
_OTHER_UNITS = set("""m_v k_pa h_pa m_k d_n r rankine deg_r reaumur deg_re mk
furlong furlongs fathom fathoms mile miles rod rods chain
chains hand hands smoot arshin vershok um μm micron microns micrometre micrometer nm mv volt volts
ohm ohms kohm kpa hpa pa bar percent pct permille dn digits dm2 mm2 cm2 m2 ppm au psi rad radian radians gon""".split())
#: words in brackets that tell about a column and are no unit
_DESCRIPTIVE = set("""a active annual annually at average averaged avg below bottom by calculated calendar corrected
daily data date day days decimal depth end estimated final from grid ground hydrological hydrologic in interpolated
july june august september layer late manual mean measured measurement measurements
monthly near observed observation of on per permafrost probe probed probing raw season seasonal sensor series site soil
station summer surface table temp temperature thaw thawed thickness the top unit units value values with year yearly
yyyy magt alt ald t tp id no nr number code name""".split())
#: words that mark a column as something else than annual values
NOT_MEASURED = {"simulated", "predicted", "map", "trend", "slope", "std", "sd", "stdev", "error", "n", "count", "p",
                "flag", "quality", "source", "method", "name", "se", "rmse", "anomaly", "uncertainty"}
#: words of temperatures that are no annual mean of the ground
NOT_MEANS = {"max", "min", "maximum", "minimum", "median", "air", "snow", "amplitude", "range"}
_YEAR = re.compile(r"(?:19|20)\d\d")

_KINDS = {
    "latitude": {"latitude", "lat", "latitud", "latitudine", "breite", "breitengrad", "bredde", "breddegrad",
                 "широта"},
    "longitude": {"longitude", "lon", "long", "lng", "longitud", "longitudine", "lange", "laenge", "langengrad",
                  "laengengrad", "lengde", "lengdegrad", "langd", "долгота"},
}
#: words that may stand beside latitude or longitude and change nothing
_BESIDE = set("""deg degree degrees dd d decimal dec ddeg decdeg wgs wgs84 84 nad83 nad27 nad 83 27 etrs89 gps epsg 4326
geographic geographical geogr geographische coord coords coordinate coordinates position site station borehole in of the
dms dm ddm grad grader x y 0 90 180 360 to and or is ve crs datum format degs
greenwich meridian""".split())
#: words of a column with one part of an angle
_PARTS = {"min", "minute", "minutes", "minuten", "sec", "second", "seconds", "sekunden", "ss"}
_SIDE_WORDS = {
    NORTH: "n north northern nord nordl nordlich nordliche noerdlich noerdliche norte norr nordre",
    SOUTH: "s south southern sud sued sudl sudlich sudliche suedlich sur syd sor",
    EAST: "e east eastern eastward eastwards ost oest ostl oestlich ostlich ostliche est este øst",
    WEST: "w west western westward westwards westl westlich westliche ouest oeste vest ovest",
}
_SIDE_OF = {word: side for side, words in _SIDE_WORDS.items() for word in words.split()}
#: eastern in German, western in French
_EITHER = "o"
_PLUS, _MINUS = {"positive", "pos", "plus", "+"}, {"negative", "neg", "minus", "-"}
_FUSED = re.compile(r"([nsew])?(latitude|lat|longitude|long|lon|lng)(deg|dd|d)?([nsew])?")
#: a factor of the values, as in MAGT*10 or °C x 100
_FACTOR = re.compile(r"(?:[*×·^/]|\bx)\s*10+\b|\b10+\s*(?:[*×·]|x\b)|\b(?:tenths?|hundredths?)\b", re.IGNORECASE)
#: what makes another unit of one: a rate, a product
_OVER = re.compile(r"[/*×·^]|\bper\b", re.IGNORECASE)
_COMPOUND = re.compile(r"(west|ost|oest|east|nord|north|sued|sud|south)(?:liche?r?)?"
                       r"(latitude|lat|longitude|long|lon|breite|lange|laenge)?")
#: columns of projected coordinates
_PROJECTED_WORDS = set("easting eastings northing northings rechtswert hochwert ostwert nordwert utm".split())
_PROJECTED = re.compile(r"(?:proj|projected|map|tm|lv|lv03|lv95)?_?(?:x|y|e|n|east|north)(?:_?(?:coord|coordinate|m|"
                        r"zone|\d+\w?))*|epsg_?\d+_\w+")


@dataclass(frozen=True)
class Header:
    """A header understood: ``name`` in lower case without its unit, ``unit`` or None, and ``stray``, the text that
    stands where a unit does and is none that is known, or None."""

    text: str
    name: str
    unit: str = None
    stray: str = None


def folded(text):
    """Return a text in lower case without accents, signs of degrees as the word deg, words split by their case."""
    text = text.replace("º", "°").replace("˚", "°").replace("\u200b", "").replace("\ufeff", "")
    text = unicodedata.normalize("NFKC", text).replace("ß", "ss")
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    # an accent goes from Latin letters only: й is not и
    decomposed = unicodedata.normalize("NFKD", text.replace("°", " deg ").replace("%", " percent "))
    return "".join(c for c in decomposed if not unicodedata.combining(c)).lower()


def words_of(text):
    """Return the words and numbers of a header's text."""
    return re.findall(r"[^\W_]+", folded(text))


@lru_cache(maxsize=4096)
def parse_header(text):
    """Return the Header of the text at the head of a column."""
    base, brackets = [], []
    for part in re.split(r"([(\[{<][^()\[\]{}<>]*[)\]}>]?)", text):
        (brackets if part[:1] in ("(", "[", "{", "<") else base).append(part)
    words = words_of(" ".join(base))
    words, unit, stray = _trailing_unit(words)
    for part in brackets:
        more, found, strange = _in_brackets(part.strip("()[]{}<> \t"))
        words += more
        if found and unit and found != unit:
            stray = stray or text
        unit, stray = unit or found, stray or strange
    if _FACTOR.search(text):
        stray = stray or text.strip()
    return Header(text, "_".join(words), None if stray else unit, stray)


def _trailing_unit(words):
    """Return (words without their unit, unit or None, what is no known unit or None)."""
    for count in (3, 2, 1):
        rest, last = words[:-count], "_".join(words[-count:])
        if not rest or len(words) < count:
            continue
        # the 10 of temp_10_m is a depth, while the year of alt_1997_cm is none
        labelled = rest[-1].isdigit() and not _YEAR.fullmatch(rest[-1])
        if last in UNIT_WORDS and not (labelled and UNIT_WORDS[last] in PER_METRE):
            if len(rest) > 1 and rest[-1] == "in":
                rest = rest[:-1]
            return rest, UNIT_WORDS[last], None
        if last in _OTHER_UNITS and not labelled:
            return rest, None, last.replace("_", " ")
    for place in range(1, len(words)):
        for count in (2, 1):
            word = "_".join(words[place:place + count])
            after = words[place + count:]
            if len(words) < place + count or word not in UNIT_WORDS:
                continue
            only_year = bool(after) and all(map(_YEAR.fullmatch, after))
            if word in ("in", "m", "deg", "d"):
                if not only_year or word in ("deg", "d"):
                    continue
                # 'thaw depth in 1997' or inches
                if word == "in":
                    return words[:place] + after, None, "in"
            if UNIT_WORDS[word] in PER_METRE and words[place - 1].isdigit() and not _YEAR.fullmatch(words[place - 1]):
                continue
            return words[:place] + after, UNIT_WORDS[word], None
    return words, None, None


def _in_brackets(text):
    """Return (words for the name, unit or None, what is no known unit or None) of a text in brackets."""
    mark = text.strip()
    if mark in ('"', "″", "''", "”"):
        return [], "in", None
    if mark in ("'", "′", "’"):
        return [], "ft", None
    kept, unit = [], None
    for piece in re.split(r"[,;|]", text):
        words = words_of(piece)
        if len(words) > 1 and words[0] == "in":
            words = words[1:]
        if not words:
            continue
        exact = UNIT_WORDS.get("_".join(words))
        rest = words if exact else [word for word in words if word not in _DESCRIPTIVE | NOT_MEASURED | NOT_MEANS]
        found = exact or UNIT_WORDS.get("_".join(rest))
        # a unit over or times something is another one
        if rest and (found is None or unit not in (None, found)) or found and _OVER.search(piece):
            return kept, None, text.strip()
        unit = found or unit
        kept += [word for word in words if word in NOT_MEASURED | NOT_MEANS and not exact]
    return kept, unit, None


@dataclass(frozen=True)
class CoordinateHeader:
    """What a header says of a coordinate: ``kind`` latitude, longitude or None, ``side`` of SIDES that unsigned numbers
    lie on (None where it is not said), and whether the column is a ``part`` of an angle (degrees, minutes apart)."""

    kind: str
    side: str
    part: bool = False


@lru_cache(maxsize=4096)
def coordinate_header(text, kind=None):
    """Return the CoordinateHeader of a header's text.

    ``kind``: latitude or longitude where the user names the column; the words in it are then only asked for the side.
    """
    words = []
    for word in words_of(text):
        fused, compound = _FUSED.fullmatch(word), _COMPOUND.fullmatch(word)
        if fused and fused.group(0) not in _KINDS["latitude"] | _KINDS["longitude"]:
            words += [part for part in fused.groups() if part]
        elif compound:
            words += [part for part in compound.groups() if part]
        else:
            words.append(word)
    found, sides, rest = set(), [], []
    for word in words:
        of = next((name for name, aliases in _KINDS.items() if word in aliases), None)
        if of:
            found.add(of)
        elif word in _SIDE_OF:
            sides.append(_SIDE_OF[word])
        elif word not in _BESIDE and word not in _PLUS | _MINUS:
            rest.append(word)
    if not found and len(sides) == 1 and not rest and set(words) & {"deg", "degree", "degrees"}:
        # °N, deg W
        found = {"latitude" if sides[0] in SIDES["latitude"] else "longitude"}
    known = kind or (found.pop() if len(found) == 1 else None)
    if known is None:
        return CoordinateHeader(None, None)
    part = any(word in _PARTS for word in rest)
    if kind is None and any(word not in _PARTS and word != _EITHER for word in rest):
        return CoordinateHeader(None, None)
    if _EITHER in rest and known == "longitude":
        return CoordinateHeader(known, BOTH_SIDES, part)
    signed = _stated_signs(text)
    sides = set(signed or sides)
    return CoordinateHeader(known, None if not sides else sides.pop() if len(sides) == 1 else BOTH_SIDES, part)


def _stated_signs(text):
    """Return the sides that a header says are positive, as in (+E), 'east positive' or 'W is negative'."""
    # a hyphen before a letter divides words; within brackets, after nothing else, it is a sign
    text = re.sub(r"(?<=[(\[/,;=\s])[-−–](?=\s*[NSEWnsew]\b)", " minus ", text) if re.search(r"[(\[]", text) else text
    text = re.sub(r"(?<=[NSEWnsew])\s*=?\s*[-−–](?=\s*[)\],;/])", " minus ", text).replace("+", " plus ")
    words = [word for word in words_of(text) if word not in ("is", "ve", "to", "values", "numbers")]
    stated = []
    for place, word in enumerate(words):
        if word not in _PLUS | _MINUS:
            continue
        # the side on the one hand or the other, the nearer reading first: '+E', 'W negative'
        before, after = words[place - 1] if place else "", words[place + 1] if place + 1 < len(words) else ""
        first, second = (after, before) if word in ("plus", "minus") else (before, after)
        side = _SIDE_OF.get(first) or _SIDE_OF.get(second)
        if side:
            stated.append(side if word in _PLUS else OPPOSITE[side])
    return stated


def is_projected(text):
    """Say whether a header is surely that of projected coordinates, such as Easting or UTM_N."""
    return any(word in _PROJECTED_WORDS or word.startswith("utm") for word in words_of(text))


def may_be_projected(text):
    """Say whether a header is that of projected coordinates, or a letter as X or N that often is."""
    return is_projected(text) or bool(_PROJECTED.fullmatch("_".join(words_of(text))))


def side_of(text):
    """Return the side that a cell with nothing but its letter or word states, None where it states none."""
    words = words_of(text)
    return _SIDE_OF.get(words[0]) if len(words) == 1 else None


def units_in(text):
    """Return the units that a line of text names in more than a letter, {unit: how it is written}."""
    words = words_of(text)
    found = {}
    for count in (2, 1):
        for place in range(len(words) - count + 1):
            word = "_".join(words[place:place + count])
            if len(word) > 2 and word in UNIT_WORDS and UNIT_WORDS[word] != DEGREE or word in ("mm", "cm", "ft"):
                found.setdefault(UNIT_WORDS[word], word.replace("_", " "))
    return found


def is_unit(text):
    """Say whether a cell states a unit, be it one that is known or not."""
    word = "_".join(words_of(text))
    return "°" in text or word in UNIT_WORDS or word in _OTHER_UNITS
