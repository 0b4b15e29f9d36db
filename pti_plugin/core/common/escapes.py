"""Text as what it is: written so that nothing that shows it takes it for an order.

Names, units, sentences and paths come out of files that others made. Where they are written to, some texts mean more:
QGIS evaluates ``[% … %]`` in labels, HTML and XML have tags, matplotlib sets what stands between dollars as
mathematics, a spreadsheet runs a cell that begins with ``=``. Each has its function here, and what is shown is the
text, letter by letter. (No SVG is written; it would take ``for_markup``.)
"""

from __future__ import annotations

import html
import re

#: control characters but for tab and line ends, and halves of letters: no encoding, font or XML has them
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
#: what a label of QGIS replaces: expressions, and the date
_EVALUATED = re.compile(r"\[%|\$(?=CURRENT_DATE)")
#: beginnings that a spreadsheet takes for a formula, by themselves or in full width
_FORMULA = re.compile("('*)([=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20])")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def is_text(value: str) -> bool:
    """Return whether a text can be written: none of its letters stands for a byte that was no letter."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def seen(value: object) -> str:
    """Return text with a sign in the place of every character that nothing can show."""
    return _UNSEEN.sub("\ufffd", str(value))


def for_message(value: object) -> str:
    """Return text for a log or a screen: nothing in it moves back to the beginning of a line."""
    return seen(value).replace("\r", "\ufffd")


def for_qgis(value: object) -> str:
    """Return text for a label of QGIS that shows it: the beginning of an expression is written as an expression."""
    return _EVALUATED.sub(lambda found: "[% '$' %]" if found.group() == "$" else "[% '[' || '%' %]", seen(value))


def for_markup(value: object) -> str:
    """Return text for HTML or XML, between tags or in an attribute, that shows it."""
    return html.escape(seen(value), quote=True)


def for_figure(value: object) -> str:
    """Return text for matplotlib that shows it, dollars and backslashes too."""
    return seen(value).replace("$", r"\$")


def for_cell(value: str) -> str:
    """Return text for a cell of a CSV table that a spreadsheet shows and never runs.

    An apostrophe before it is what spreadsheets themselves take for text; ``from_cell`` takes it off again. Numbers
    stay numbers.
    """
    return f"'{value}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value


def from_cell(text: str) -> str:
    """Return the text of a cell that ``for_cell`` wrote."""
    found = _FORMULA.match(text)
    return text[1:] if found and found.group(1) else text
