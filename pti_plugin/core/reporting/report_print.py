"""The report for paper: the same parts in the few tags and properties that Qt's rich text knows.

Qt lays out no figures, flex boxes or style variables; tables have borders of their own, and pictures are named here
and handed over beside the text.
"""

import html
import re

from ..common.ranks import BY_CODE
from .figures import text_colour_on
from .report_page import (
    NUMBER,
    YEAR,
    Figure,
    Fold,
    Paragraph,
    Section,
    Warnings,
    cell_content,
    escaped,
    linked,
    plain,
    sentence,
    size_of_png,
)

#: pixels at 96 a inch that a picture may be wide and high on an A4 page with the margins of the PDF
PICTURE_WIDTH, PICTURE_HEIGHT = 520, 590
#: size of the letters of a table → characters across the page; the first that holds the longest words of all columns
#: is taken
SIZES = {8: 92, 7: 106, 6: 124}
#: characters that a column's margins take, and those of its text that widen it
PADDING, MOST_TEXT = 3, 60
#: how much wider letters of the bold header are
BOLD = 1.2
#: headings stay with what follows them; table captions are headings of this level
CAPTION_LEVEL = 4
#: Qt knows pixels only for margins, points for letters
STYLE = """
h1{font-size:19pt;margin-top:0px;margin-bottom:2px}
h2{font-size:13pt;margin-top:22px;margin-bottom:5px}
h3{font-size:10pt;margin-top:18px;margin-bottom:2px}
h4{font-size:9pt;font-weight:400;margin-top:12px;margin-bottom:4px;color:#333}
p{margin-top:3px;margin-bottom:5px}
.note{color:#444;font-size:8pt;margin-top:3px;margin-bottom:2px}
.n{text-align:right}
th{font-weight:600}
a{color:#0b5394;text-decoration:none}
.muted{color:#5b6670;font-style:italic}
.total{font-weight:600}
.code{font-size:7pt}
"""
HEAD_COLOUR, LINE_COLOUR, MUTED_COLOUR, WARNING_COLOUR = "#eef2f5", "#b5bcc2", "#f3f6f8", "#fff4dc"


def print_version(report, scale=1.0):
    """Return (HTML, {name: PNG bytes}) of a Report; ``scale`` is what a pixel of 1/96 inch counts in Qt's layout."""
    pictures = {}
    subtitle = f"<p>{escaped(report.subtitle)}</p>" if report.subtitle else ""
    body = "".join(_written(part, pictures, scale) for part in report.parts)
    return f"<html><body><h1>{escaped(report.title)}</h1>{subtitle}{body}</body></html>", pictures


def _written(part, pictures, scale):
    if isinstance(part, Section):
        return f"<h2>{escaped(part.title)}</h2>"
    if isinstance(part, Paragraph):
        return f"<p>{sentence(part.text)}</p>"
    if isinstance(part, Warnings):
        items = "".join(f"<p>{sentence(message)}</p>" for message in part.messages)
        return (f'<table width="100%" border="0" cellpadding="6" cellspacing="0"><tr>'
                f'<td bgcolor="{WARNING_COLOUR}">{items}</td></tr></table>')
    if isinstance(part, Fold):
        return f"<h3>{escaped(part.summary)}</h3>" + "".join(_written(inner, pictures, scale) for inner in part.parts)
    return _figure(part, pictures, scale) if isinstance(part, Figure) else _table(part)


def _figure(figure, pictures, scale):
    name = f"figure{figure.number}"
    pictures[name] = figure.png
    width, height = size_of_png(figure.png)
    shown = min(PICTURE_WIDTH, PICTURE_HEIGHT * width / height)
    return (f'<p align="center"><img src="{name}" width="{round(scale * shown)}" '
            f'height="{round(scale * shown * height / width)}"></p>'
            f'<p class="note"><b>Figure {figure.number}.</b> {escaped(figure.caption)}</p>'
            + _below(None, figure.source))


def _table(table):
    columns = table.columns or (None,) * len(table.kinds)
    contents = [[_breakable(cell_content(value, column, kind, _swatch))
                 for value, column, kind in zip(values, columns, table.kinds)] for values in table.cells]
    size, widths = _widths(columns, table.kinds, contents, ["total" in marks for marks in table.marks])
    head = "".join(f'<th bgcolor="{HEAD_COLOUR}" width="{width}%"{_side(kind)}>{escaped(column.title)}'
                   + (f"<br>({escaped(column.unit)})" if column.unit else "") + "</th>"
                   for column, kind, width in zip(table.columns, table.kinds, widths))
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    body = "".join(_row(row, table.kinds, widths, marks) for row, marks in zip(contents, table.marks))
    return (f"<h{CAPTION_LEVEL}><b>Table {table.number}.</b> {escaped(table.caption)}</h{CAPTION_LEVEL}>"
            f'<table width="100%" border="1" cellspacing="0" cellpadding="3" '
            f'style="font-size:{size}pt;border-style:solid;border-color:{LINE_COLOUR};border-collapse:collapse">'
            f"{head}{body}</table>"
            + _below(table.note, table.source))


def _widths(columns, kinds, contents, bold):
    """Return (size of the letters in points, widths of the columns in %): room for the longest word, of the rest a
    share by the longest text.

    Qt would break words to share the width evenly. ``bold``: which rows are written bold.
    """
    needs, wants = [], []
    for place, (column, kind) in enumerate(zip(columns, kinds)):
        texts = [html.unescape(re.sub("<[^>]*>", "", row[place])) for row in contents]
        title = [BOLD * len(word) for word in (f"{column.title} ({column.unit})".split() if column else ())]
        words = [(BOLD if heavy else 1) * len(word) for text, heavy in zip(texts, bold)
                 for word in ([text] if kind == NUMBER else text.split())]
        needs.append(max([1, *title, *words]) + PADDING)
        wants.append(max(needs[-1], min(max([0, *map(len, texts)]), MOST_TEXT) + PADDING))
    size = next((name for name, across in SIZES.items() if sum(needs) <= across), list(SIZES)[-1])
    rest, more = max(0.0, SIZES[size] - sum(needs)), sum(wants) - sum(needs)
    share, each = min(rest / more, 1) if more else 0, max(0.0, rest - more) / len(needs)
    widths = [need + share * (want - need) + each for need, want in zip(needs, wants)]
    return size, [round(100 * width / sum(widths), 1) for width in widths]


def _row(contents, kinds, widths, marks):
    ground = f' bgcolor="{MUTED_COLOUR}"' if "muted" in marks else ""
    if marks:
        contents = [f'<span class="{marks[-1]}">{content}</span>' for content in contents]
    return "<tr>" + "".join(f'<td{ground} width="{width}%"{_side(kind)}>{content}</td>'
                            for content, kind, width in zip(contents, kinds, widths)) + "</tr>"


def _side(kind):
    return ' class="n"' if kind in (NUMBER, YEAR) else ""


def _breakable(content):
    """Return a checksum with places to break it, which Qt does not find."""
    if not content.startswith('<span class="code">'):
        return content
    text = content[len('<span class="code">'):-len("</span>")]
    return '<span class="code">' + " ".join(text[i:i + 16] for i in range(0, len(text), 16)) + "</span>"


def _below(note, source):
    lines = [linked(note)] if note else []
    lines += [f"Source: {escaped(source)}"] if source else []
    return "".join(f'<p class="note">{line}</p>' for line in lines)


def _swatch(code):
    rank = BY_CODE.get(code)
    if rank is None:
        return escaped(plain(code))
    return (f'<span style="background-color:{rank.colour};color:{text_colour_on(rank.colour)}">'
            f"&nbsp;{rank.code}&nbsp;</span>")
