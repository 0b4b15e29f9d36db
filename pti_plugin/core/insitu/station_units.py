"""Units of station values: what a file or the user states counts before the size of the numbers, which decides only
where nothing is stated, and then is said."""

from statistics import median

from ..common.errors import InputError
from .columns import ALT, MAGT, QUANTITY_NAMES, UNITS
from .headers import CELSIUS, FAHRENHEIT, KELVIN, PER_METRE, Header, units_in

#: °C; without a stated unit a table whose middle value is warmer may be in °F
WARMEST_MIDDLE = 15.0
#: K; below the first no ground is, and above the second none either, while in °C none is above the first
_KELVIN_FROM, _KELVIN_TO = 150.0, 350.0


def to_units(records, path, report, given, header=None, depth_header=None):
    """Convert the values of ``records`` to °C or metres and their depths to metres, in place, and return them.

    ``given``: what the user states, with the keys unit and depth_unit; ``header`` and ``depth_header`` are those of the
    columns, as a Header, or None. A unit that is stated counts before the size of the numbers. Raises InputError.
    """
    if any(record.unit for record in records):
        unit = _rows_to_one_unit(records, path, report)
        if header and header.unit and header.unit != unit and "unit" not in given:
            raise InputError(f"{path}: the header '{header.text}' states {header.unit}, but its rows state {unit}. "
                             f"Correct the one or the other, or state 'unit=…' in the column list.")
        header = Header(f"unit of the rows, {unit}", "", unit)
    quantity = report.quantity
    unit = _stated_unit(path, report, (given.get("unit"), "unit"), header, UNITS[quantity], QUANTITY_NAMES[quantity])
    convert = _celsius if quantity == MAGT else _metres
    convert(records, unit, "unit" in given, path, report)
    if unit is None:
        _refuse_unit_above(path, report)
    if any(record.depth is not None for record in records):
        depth_unit = _stated_unit(path, report, (given.get("depth_unit"), "depth_unit"), depth_header, UNITS[ALT],
                                  "depth of a sensor")
        _depth_metres(records, depth_unit, report)
    return records


def _stated_unit(path, report, given, header, allowed, what):
    """Return the unit that the user, ``given`` (unit or None, key), or else the Header states; None where none does.

    Raises InputError for one that is not ``allowed``.
    """
    unit, key = given
    if unit:
        if unit not in allowed:
            raise InputError(f"{path}: '{key}={unit}' in the column list is no unit of a {what}; it is one of "
                             f"{', '.join(allowed)}.")
        written = header and (header.stray or header.unit)
        if written and written != unit:
            report.warnings.append(f"{report.path}: the header '{header.text}' states '{written}', but {unit} was "
                                   f"stated in the column list and was used.")
        return unit
    if header is None or not header.stray and header.unit is None:
        return None
    if header.stray or header.unit not in allowed:
        raise InputError(f"{path}: the column '{header.text}' states '{header.stray or header.unit}', which is not "
                         f"known as a unit of a {what} ({', '.join(allowed)}). State the unit that its numbers are in "
                         f"as '{key}={CELSIUS if CELSIUS in allowed else 'cm'}' in the column list, or convert the "
                         f"column.")
    return header.unit


def _refuse_unit_above(path, report):
    """Raise InputError where the text above the header names units, and none is the one found from the values."""
    for line in report.above:
        found = {unit: word for unit, word in units_in(line).items() if unit in UNITS[report.quantity]}
        if found and report.unit not in found:
            unit, word = next(iter(found.items()))
            raise InputError(f"{path}: no column states the unit of the {QUANTITY_NAMES[report.quantity]}, and the "
                             f"values look like {report.unit}, while the text above the header has '{word}' "
                             f"('{line.strip()[:80]}'). State the unit of the values in the column list, for example "
                             f"as 'unit={unit}'.")


def celsius(value, unit):
    """Return a temperature, or an array of them, in °C."""
    if unit == FAHRENHEIT:
        return (value - 32.0) / 1.8
    return value - 273.15 if unit == KELVIN else value


def some_lines(records):
    """Return the lines of records as text, the first five of them."""
    lines = sorted({record.line for record in records})
    return ("line " if len(lines) == 1 else "lines ") + ", ".join(map(str, lines[:5])) + (
        f" and {len(lines) - 5} more" if len(lines) > 5 else "")


def _rows_to_one_unit(records, path, report):
    """Convert values whose rows state different units, in place, to the unit that is returned."""
    stated = sorted({record.unit for record in records})
    allowed = UNITS[report.quantity]
    wrong = [record for record in records if record.unit not in allowed]
    if wrong:
        raise InputError(f"{path}, line {wrong[0].line}: {wrong[0].unit} is no unit of a "
                         f"{QUANTITY_NAMES[report.quantity]} ({some_lines(wrong)}); correct the unit.")
    if len(stated) == 1:
        return stated[0]
    to = CELSIUS if report.quantity == MAGT else records[0].unit
    for record in records:
        if report.quantity == MAGT:
            record.value = celsius(record.value, record.unit)
        elif record.unit != to:
            record.value *= PER_METRE[to] / PER_METRE[record.unit]
        record.unit = to
    report.warnings.append(f"{report.path}: its rows state different units ({', '.join(stated)}); each value was "
                           f"converted from the unit of its row.")
    return to


def _celsius(records, stated, given, path, report):
    """Convert the values to °C in place, from the unit ``stated`` (None where it is not: Kelvin shows in numbers)."""
    unit = stated
    if stated != FAHRENHEIT:
        hot = [record for record in records if record.value > _KELVIN_TO]
        if hot:
            raise InputError(f"{path}, line {hot[0].line}: {hot[0].value:g} cannot be a mean annual ground temperature "
                             f"({some_lines(hot)}); correct it or mark it NA.")
        kelvin = [record for record in records if record.value > _KELVIN_FROM]
        others = [record for record in records if record.value <= _KELVIN_FROM]
        if kelvin and others:
            raise InputError(f"{path} mixes units: {some_lines(kelvin)} read as Kelvin, {some_lines(others)} as °C; "
                             f"convert the file to one unit.")
        shown = KELVIN if kelvin else CELSIUS
        if stated not in (None, shown):
            remedy = ("Correct the unit in the column list." if given else
                      f"Correct the header, or state the unit that the numbers are in, as 'unit={shown}', in the "
                      f"column list.")
            raise InputError(f"{path}: {records[0].value:g} in line {records[0].line} cannot be a mean annual ground "
                             f"temperature in {stated}, which is the unit stated; it looks like {shown}. {remedy}")
        unit = shown
        middle = median(record.value for record in records)
        if stated is None and not kelvin and WARMEST_MIDDLE < middle and all(map(_is_plausible, records)):
            raise InputError(f"{path} states no unit of its temperatures, and their median, {middle:g}, is too warm "
                             f"for permafrost in °C. State 'unit=°C' or 'unit=°F' in the column list.")
    report.unit = unit
    report.unit_found = "as stated" if stated else "found from the size of the values"
    if unit != CELSIUS:
        for record in records:
            record.value = celsius(record.value, unit)
            if record.amplitude is not None and unit == FAHRENHEIT:
                record.amplitude /= 1.8
        name = "Kelvin" if unit == KELVIN else "Fahrenheit"
        report.warnings.append(f"{report.path} holds temperatures in {name}; they were converted to °C.")
    wrong = [record for record in records if not _is_plausible(record)]
    if wrong:
        raise InputError(f"{path}: {wrong[0].value:g} °C in line {wrong[0].line} cannot be a mean annual ground "
                         f"temperature ({some_lines(wrong)}); correct it or mark it NA.")


def _is_plausible(record):
    """Say whether a value in °C can be a mean annual ground temperature."""
    return -60 < record.value < 45


def _metres(records, stated, given, path, report):
    """Convert thaw depths to metres in place, from the unit ``stated`` (None where it is not)."""
    if stated:
        report.unit, report.unit_found = stated, "as stated"
    else:
        middle = median(record.value for record in records)
        report.unit = "cm" if middle > 10 else "m"
        report.unit_found = f"found from the size of the values, median {middle:g}"
        report.warnings.append(f"{report.path}: the unit of the thaw depths is not stated; "
                               f"{min(record.value for record in records):g} to "
                               f"{max(record.value for record in records):g} were read as {report.unit}. If that is "
                               f"wrong, state it, for example as 'unit=in'.")
    for record in records:
        record.value /= PER_METRE[report.unit]
    # no mean thaw depth is below 5 cm or beyond 20 m: such a value is in another unit than the rest
    strange = [record for record in records if not 0.05 <= record.value <= 20]
    if len(strange) == len(records) and not given:
        raise InputError(f"{path}: read as {report.unit}, all its thaw depths would lie outside 0.05–20 m, as "
                         f"{strange[0].value:.4g} m in line {strange[0].line}. State the right unit, for example "
                         f"'unit={'m' if report.unit == 'cm' else 'cm'}'.")
    if strange and not stated:
        raise InputError(f"{path} seems to mix units: its thaw depths read as {report.unit}, but "
                         f"{some_lines(strange)} would give {strange[0].value:.4g} m. Bring the file to one unit, or "
                         f"state it as 'unit={report.unit}' if the values are right.")
    if strange and given:
        report.warnings.append(f"{report.path}: thaw depths outside 0.05–20 m in the unit given, {report.unit}, were "
                               f"used as they are: {some_lines(strange)}.")
    elif strange:
        # networks publish single values in another unit than their table's: CALM has 1.45 among its centimetres
        told = ", ".join(f"{record.value * PER_METRE[report.unit]:g} at site {record.site} in {record.year}, line "
                         f"{record.line}" for record in strange[:5])
        report.warnings.append(f"{report.path}: {len(strange)} value(s) cannot be thaw depths in {report.unit} and "
                               f"were left out ({told}{' …' if len(strange) > 5 else ''}). Correct them, or state "
                               f"'unit={report.unit}' to use them as they are.")
        report.skipped["thaw depth outside 0.05–20 m"] += len(strange)
        records[:] = [record for record in records if 0.05 <= record.value <= 20]


def _depth_metres(records, stated, report):
    """Convert sensor depths to metres, positive downwards, in place, from the unit ``stated`` (None where not)."""
    known = [record.depth for record in records if record.depth is not None]
    report.depth_unit = stated
    if not stated:
        # sensors in whole numbers down to 100 and more are in cm; a borehole in metres has fractions or ends above
        whole = all(depth == int(depth) for depth in known)
        report.depth_unit = "cm" if whole and max(map(abs, known)) >= 100 else "m"
        report.warnings.append(f"{report.path}: the unit of the sensor depths is not stated; "
                               f"{min(known):g} to {max(known):g} were read as {report.depth_unit}. If that is "
                               f"wrong, state it as 'depth_unit=m' or 'depth_unit=cm'.")
    sign = -1 if min(known) < 0 and max(known) <= 0 else 1
    for record in records:
        if record.depth is not None:
            record.depth = record.depth * sign / PER_METRE[report.depth_unit]
