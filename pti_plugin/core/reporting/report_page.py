"""A page of numbered tables and figures, built from top to bottom, as one offline HTML file.

The page holds its figures and styles itself, needs no network and no script, reads on a telephone, in the dark and in
print, and names beside every table and figure the file its numbers come from. What it is made of stays in ``parts``,
from which core/reporting/report_print.py makes the version for paper.
"""

import base64
import math
import numbers
import os
import re
import struct
from collections import namedtuple

from ..common.errors import InputError
from ..common.escapes import for_markup
from ..common.ranks import BY_CODE
from ..common.staging import Staging
from .figures import text_colour_on

#: how a column is written
NUMBER, TEXT, RANK, YEAR = "number", "text", "rank", "year"
MISSING = "\u2013"
#: input files listed of one step; series of thousands of files stand in the record
MOST_INPUTS = 30

Column = namedtuple("Column", "key title unit decimals kind", defaults=("", None, None))
Column.__doc__ = """A column: key in the rows, title, unit, decimals (None: by size), kind (None: by its values)."""

# what a page is made of; texts of Paragraph and Warnings are plain, links are made when they are written
Section = namedtuple("Section", "name title")
Paragraph = namedtuple("Paragraph", "text")
Table = namedtuple("Table", "number caption columns kinds cells marks note source")
Figure = namedtuple("Figure", "number caption alt png source")
Warnings = namedtuple("Warnings", "messages")
Fold = namedtuple("Fold", "summary parts")

_STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1f262c;--muted:#5b6670;--line:#d5dbe0;--soft:#f3f6f8;
--link:#0b5394;--warn:#fff4dc;--warn-edge:#c77700}
@media (prefers-color-scheme:dark){:root{--paper:#14191d;--ink:#e4e9ed;--muted:#9fabb5;--line:#36414a;--soft:#1c2329;
--link:#8bbcf0;--warn:#33290f;--warn-edge:#e0a030}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,"Segoe UI",Roboto,"Helvetica Neue",
Arial,"DejaVu Sans",sans-serif}
.page{max-width:58rem;margin:0 auto;padding:1.5rem 1.1rem 4rem;overflow-wrap:break-word}
h1{font-size:1.9rem;line-height:1.2;margin:.5rem 0 .3rem}
h2{font-size:1.35rem;line-height:1.25;margin:2.8rem 0 .8rem;padding-top:.8rem;border-top:1px solid var(--line)}
p{margin:.7rem 0;max-width:44rem}
a{color:var(--link)}
.subtitle{color:var(--muted);font-size:1.05rem;margin-top:0}
nav{margin:1.4rem 0;padding:.8rem 1.1rem;background:var(--soft);border-radius:.5rem}
nav ol{margin:.3rem 0;padding-left:0;columns:17rem;column-gap:2rem}
nav li{margin-left:2rem;padding:.12rem 0}
figure{margin:1.4rem 0}
figcaption{color:var(--muted);font-size:.92rem;line-height:1.45;max-width:46rem}
figcaption b{color:var(--ink)}
.picture .card{background:#fff;border:1px solid var(--line);border-radius:.5rem;padding:.5rem;text-align:center}
.picture img{display:block;max-width:100%;max-width:min(100%,42rem);height:auto;margin:0 auto}
.picture.tall img{max-width:100%}
.picture figcaption{margin-top:.5rem}
.numbers figcaption{margin-bottom:.45rem}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:.5rem}
table{border-collapse:collapse;width:100%;font-size:.92rem;line-height:1.4}
th,td{padding:.4rem .65rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
tbody tr:last-child th,tbody tr:last-child td{border-bottom:0}
thead th{background:var(--soft);vertical-align:bottom;font-weight:600}
tbody th{font-weight:400}
.mid,.long{overflow-wrap:anywhere}
.mid{min-width:9rem}
.long{min-width:15rem}
.pairs .mid,.pairs .long{min-width:0}
.pairs th{width:40%}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.unit{display:block;color:var(--muted);font-weight:400;white-space:nowrap}
.total th,.total td{font-weight:600;border-top:2px solid var(--line)}
.muted th,.muted td{color:var(--muted);font-style:italic;background:var(--soft)}
.swatch{display:inline-block;min-width:2.3em;padding:0 .35em;margin-right:.15em;border:1px solid #0006;
border-radius:.25em;text-align:center;font-weight:600;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.code{font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.85em;word-break:break-all}
.scroll .code{display:inline-block;min-width:11rem}
.note{color:var(--muted);font-size:.88rem;margin:.4rem 0 0}
.warnings{margin:1rem 0;padding:.7rem 1.1rem;background:var(--warn);border-left:.3rem solid var(--warn-edge);
border-radius:.3rem}
.warnings ul{margin:.2rem 0;padding-left:1.2rem}
details{margin:1.2rem 0 0}
summary{cursor:pointer;font-weight:600;padding:.5rem .8rem;background:var(--soft);border-radius:.4rem}
.folded{padding:.1rem 0 0 .8rem;border-left:.2rem solid var(--line)}
@media screen{details:not([open])+.folded{display:none}}
@media (max-width:32rem){.page{padding:1rem .8rem 3rem}h1{font-size:1.5rem}h2{font-size:1.2rem}
th,td{padding:.35rem .5rem}.picture .card{padding:.15rem}}
@page{size:A4;margin:16mm 14mm}
@media print{:root{--paper:#fff;--ink:#000;--muted:#444;--line:#bbb;--soft:#f2f2f2;--link:#000;--warn:#fff;
--warn-edge:#888}
body{font-size:10pt}.page{max-width:none;padding:0}nav ol{columns:2}
h2{break-after:avoid}tr,.picture,.warnings,li{break-inside:avoid}thead{display:table-header-group}
.numbers figcaption{break-after:avoid}.picture img{max-height:95mm;width:auto}
.picture.tall img{max-height:205mm}.mid,.long{min-width:0}
.scroll{overflow:visible;border:0}table{font-size:8.5pt}th,td{padding:2pt 4pt}.scroll .code{min-width:0}
details{break-after:avoid}summary{list-style:none;padding:0;background:none}}
"""


class Report:
    """A page built from top to bottom: call the parts in reading order, then ``write`` it. All text is escaped."""

    def __init__(self, title, subtitle=""):
        self.title, self.subtitle = str(title), str(subtitle)
        self.parts = []
        self._open = self.parts
        self._tables = self._figures = 0

    def section(self, title, anchor=None):
        """Begin a section and list it in the table of contents; ``anchor`` is made of the title where not given."""
        stem = re.sub(r"[^a-z0-9]+", "-", (anchor or title).lower()).strip("-") or "section"
        taken = {section.name for section in self.sections()}
        name = next(name for name in [stem] + [f"{stem}-{n}" for n in range(2, len(taken) + 3)] if name not in taken)
        self.parts.append(Section(name, str(title)))
        self._open = self.parts

    def sections(self):
        """Return the sections so far."""
        return [part for part in self.parts if isinstance(part, Section)]

    def paragraph(self, text):
        """Add a paragraph; web addresses in it become links."""
        self._open.append(Paragraph(str(text)))

    def table(self, columns, rows, caption, note=None, source=None, muted=None, total=None):
        """Add a table with a numbered caption.

        ``columns``: Columns or plain titles; ``rows``: mappings by column key, or sequences in column order;
        ``source``: the file the numbers come from; ``muted`` and ``total``: functions of a row that say whether it
        is set back, or is a sum. Numbers stand to the right with thousands separated, missing values as a dash.
        Raises InputError for a row with a value too few or too many.
        """
        columns = [column if isinstance(column, Column) else Column(column, column) for column in columns]
        if not columns:
            # of columns that are left out where no row fills them
            return
        rows = list(rows)
        cells = [[row.get(column.key) for column in columns] if hasattr(row, "get") else list(row) for row in rows]
        short = next((row for row in cells if len(row) != len(columns)), None)
        if short is not None:
            raise InputError(f"A row of the table '{caption}' has {len(short)} values for {len(columns)} columns.")
        kinds = [column.kind or _kind([row[i] for row in cells]) for i, column in enumerate(columns)]
        marks = [tuple(name for name, test in (("muted", muted), ("total", total)) if test is not None and test(row))
                 for row in rows]
        self._add_table(caption, columns, kinds, cells, marks, note, source)

    def key_values(self, pairs, caption, source=None):
        """Add a table of two columns without a header, name and value; whole numbers may be years or seeds."""
        self._add_table(caption, (), (TEXT, TEXT), [[str(name), plain(value)] for name, value in pairs], None, None,
                        source)

    def _add_table(self, *given):
        self._tables += 1
        caption, columns, kinds, cells, marks, note, source = given
        self._open.append(Table(self._tables, str(caption), tuple(columns), tuple(kinds), cells,
                                marks or [()] * len(cells), note, source and file_name(source)))

    def figure(self, png_bytes, caption, alt, source=None):
        """Add a picture with a numbered caption; ``alt`` says in words what it shows."""
        self._figures += 1
        self._open.append(Figure(self._figures, str(caption), str(alt), png_bytes, source and file_name(source)))

    def warnings(self, messages):
        """Add warnings as a marked list, each once; says so where there are none."""
        messages = list(dict.fromkeys(str(message) for message in messages))
        if messages:
            self._open.append(Warnings(messages))
        else:
            self.paragraph("The run gave no warnings.")

    def fold(self, summary):
        """Begin a part that is folded on the screen and open in print; it ends with the next fold or section."""
        self.parts.append(Fold(str(summary), []))
        self._open = self.parts[-1].parts

    def to_html(self):
        """Return the whole page as text."""
        contents = "".join(f'<li><a href="#{section.name}">{escaped(section.title)}</a></li>'
                           for section in self.sections())
        navigation = f'<nav aria-label="Contents"><b>Contents</b><ol>{contents}</ol></nav>' if contents else ""
        subtitle = f'<p class="subtitle">{escaped(self.subtitle)}</p>' if self.subtitle else ""
        body = "\n".join(map(_written, self.parts))
        return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
                '<meta name="viewport" content="width=device-width, initial-scale=1">'
                "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
                "style-src 'unsafe-inline'\">"
                f"<title>{escaped(self.title)}</title><style>{_STYLE}</style></head>\n"
                f'<body><main class="page"><h1>{escaped(self.title)}</h1>{subtitle}\n{navigation}\n{body}\n'
                "</main></body></html>\n")

    def write(self, path, staging=None):
        """Write the page, all or nothing, with the other outputs of ``staging`` where given; raises OutputError."""
        if staging is not None:
            staging.write_text(path, self.to_html())
            return
        with Staging() as own:
            own.write_text(path, self.to_html())
            own.commit()


# ---- the parts as HTML ----------------------------------------------------------------------------------------------

def _written(part):
    return _WRITERS[type(part)](part)


def _section_html(section):
    return f'<h2 id="{section.name}">{escaped(section.title)}</h2>'


def _paragraph_html(paragraph):
    return f"<p>{sentence(paragraph.text)}</p>"


def _table_html(table):
    """Return a table that scrolls inside its own box where the page is narrower."""
    head = "".join(_head_cell(column, kind) for column, kind in zip(table.columns, table.kinds))
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    body = "".join(_row_html(table, values, marks) for values, marks in zip(table.cells, table.marks))
    note = f'<p class="note">{linked(table.note)}</p>' if table.note else ""
    return (f'<figure class="numbers"><figcaption><b>Table {table.number}.</b> {escaped(table.caption)}</figcaption>'
            f'<div class="scroll{"" if table.columns else " pairs"}" tabindex="0" role="region" '
            f'aria-label="{escaped(table.caption)}"><table>'
            f"{head}<tbody>{body}</tbody></table></div>{note}{_source(table.source)}</figure>")


def _row_html(table, values, marks):
    mark = f' class="{" ".join(marks)}"' if marks else ""
    columns = table.columns or (None,) * len(values)
    return f"<tr{mark}>" + "".join(
        _cell(value, column, kind, first=place == 0)
        for place, (value, column, kind) in enumerate(zip(values, columns, table.kinds))) + "</tr>"


def _figure_html(figure):
    picture = base64.b64encode(figure.png).decode("ascii")
    width, height = size_of_png(figure.png)
    return (f'<figure class="picture{" tall" if height > 1.2 * width else ""}"><div class="card">'
            f'<img src="data:image/png;base64,{picture}" width="{width}" height="{height}" '
            f'alt="{escaped(figure.alt)}"></div><figcaption><b>Figure {figure.number}.</b> {escaped(figure.caption)}'
            f"</figcaption>{_source(figure.source)}</figure>")


def _warnings_html(warnings):
    items = "".join(f"<li>{sentence(message)}</li>" for message in warnings.messages)
    return f'<div class="warnings" role="note"><ul>{items}</ul></div>'


def _fold_html(fold):
    inside = "\n".join(map(_written, fold.parts))
    return f'<details><summary>{escaped(fold.summary)}</summary></details><div class="folded">{inside}</div>'


_WRITERS = {Section: _section_html, Paragraph: _paragraph_html, Table: _table_html, Figure: _figure_html,
            Warnings: _warnings_html, Fold: _fold_html}


def _source(source):
    return f'<p class="note">Source: <span class="code">{escaped(source)}</span></p>' if source else ""


def _head_cell(column, kind):
    side = ' class="n"' if kind in (NUMBER, YEAR) else ""
    unit = f' <span class="unit">({escaped(column.unit)})</span>' if column.unit else ""
    return f'<th scope="col"{side}>{escaped(column.title)}{unit}</th>'


def _cell(value, column, kind, first):
    tag, scope = ("th", ' scope="row"') if first else ("td", "")
    side = f' class="{_width(value) if kind in (TEXT, RANK) else "n"}"'.replace(' class=""', "")
    return f"<{tag}{scope}{side}>{cell_content(value, column, kind, swatch)}</{tag}>"


def _width(value):
    """Return the class that keeps longer text from being squeezed into a tower on a telephone."""
    length = 0 if value is None else len(str(value))
    return "long" if length > 40 else "mid" if length > 14 else ""


def swatch(code):
    """Return the HTML of a rank code on its own colour; other values as plain text."""
    rank = BY_CODE.get(code)
    if rank is None:
        return escaped(plain(code))
    return (f'<span class="swatch" style="background:{rank.colour};color:{text_colour_on(rank.colour)}" '
            f'title="{escaped(rank.label)}">{rank.code}</span>')


# ---- text and numbers -----------------------------------------------------------------------------------------------

def cell_content(value, column, kind, rank_swatch):
    """Return a cell's value as HTML; ``rank_swatch`` writes a rank code."""
    if is_missing(value):
        return "" if kind == RANK else MISSING
    if kind == RANK:
        return rank_swatch(value)
    if kind == YEAR:
        return str(int(value))
    if kind == NUMBER and _is_number(value):
        return escaped(format_number(value, column.decimals))
    if re.fullmatch(r"[0-9a-f]{40,}", str(value)):
        return f'<span class="code">{value}</span>'
    return linked(plain(value))


def escaped(value):
    """Return text that HTML shows as it is."""
    return for_markup(value)


def linked(value):
    """Return escaped text in which web addresses are links."""
    return re.sub(r"https?://[^\s<>&]*[^\s<>&.,;:)]", lambda found: f'<a href="{found.group()}">{found.group()}</a>',
                  escaped(value))


def sentence(text):
    """Return a sentence of a log as HTML, its links made and its numbers set as in the tables."""
    text = re.sub(r"(?<![\w./-])-?\d(?:\.\d+)?e[-+]\d+", lambda found: format_number(float(found.group())), str(text))
    return linked(re.sub(r"(?<=\d)%", "\u00a0%", re.sub(r"(?<![\w./-])-(?=\d)", "\u2212", text)))


def size_of_png(png):
    """Return (width, height) of PNG bytes in pixels."""
    return struct.unpack(">II", png[16:24])


def is_missing(value):
    """Return whether a value is None, empty, or no finite number."""
    return value is None or value == "" or (_is_number(value) and not math.isfinite(value))


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _kind(values):
    present = [value for value in values if not is_missing(value)]
    return NUMBER if present and all(_is_number(value) for value in present) else TEXT


def format_number(value, decimals=None):
    """Return a number as text: thousands separated; without ``decimals``, about three significant digits."""
    if decimals is None:
        if isinstance(value, numbers.Integral):
            decimals = 0
        elif value != 0 and abs(value) < 1e-3:
            mantissa, exponent = f"{value:.1e}".split("e")
            return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}".replace("-", "\u2212")
        else:
            size = 0 if value == 0 else math.floor(math.log10(abs(value)))
            decimals = min(max(2 - size, 0), 4)
    return f"{value:,.{decimals}f}".replace("-", "\u2212")


_SUPERSCRIPT = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


def plain(value):
    """Return any recorded value as text a reader understands, files by their base names."""
    if is_missing(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        # a parameter may be a year or a seed, where thousands separators would mislead
        return str(int(value)).replace("-", "\u2212")
    if _is_number(value):
        return f"{value:.6g}".replace("-", "\u2212")
    if isinstance(value, dict):
        return "; ".join(f"{key}: {plain(inner)}" for key, inner in value.items()) or MISSING
    if isinstance(value, (list, tuple)):
        return _listed([plain(inner) for inner in value]) or MISSING
    return _without_folders(str(value))


def _listed(words):
    more = len(words) - MOST_INPUTS
    return ", ".join(words[:MOST_INPUTS]) + (f" and {more:,} more" if more > 0 else "")


def _without_folders(text):
    """Return text in which an absolute path, alone or inside quotation marks as in NETCDF:"…":x, is its last part."""
    if os.path.isabs(text) or re.match(r"[A-Za-z]:[\\/]", text):
        return file_name(text)
    return re.sub(r'"([^"]*[\\/])([^"\\/]*)"', r'"\2"', text)


def file_name(path):
    """Return the last part of a path; the page goes to others, and folders of this machine are no concern of theirs."""
    return re.split(r"[\\/]", _inner(str(path)))[-1]


def _inner(path):
    quoted = re.search(r'"([^"]+)"', path)
    return quoted.group(1) if quoted else path
