"""The report as PDF, drawn by the Qt that QGIS brings: no further package, no browser, no network."""

import hashlib
import re

from qgis.PyQt.QtCore import QByteArray, QMarginsF, QRectF, QSizeF, Qt, QUrl
from qgis.PyQt.QtGui import (
    QAbstractTextDocumentLayout,
    QFont,
    QFontDatabase,
    QGuiApplication,
    QImage,
    QPageLayout,
    QPageSize,
    QPainter,
    QPalette,
    QPdfWriter,
    QTextCursor,
    QTextDocument,
    QTextFormat,
    QTextOption,
)

from ..core.reporting.report_print import STYLE, print_version
from . import compat

DPI = 300
MARGINS_MM = (16, 15, 16, 18)
#: sans-serif fonts of Linux, Windows and macOS, the first that is there is taken
FONTS = ("DejaVu Sans", "Segoe UI", "Arial", "Helvetica Neue")
FONT_POINTS, FOOTER_POINTS = 9, 7.5


def write_pdf(report, path, staging, progress):
    """Stage a Report as PDF; return whether it could be made, a warning says why not. Raises OutputError, Cancelled.

    The same report gives the same bytes: the time of making is blanked.
    """
    problem = _problem()
    if problem:
        progress.warn(f"The report was not written as PDF: {problem}. The HTML page holds the same and prints well "
                      f"from any browser.")
        return False
    with staging.writing(path) as partial:
        drawn = _draw(report, partial, progress)
        if drawn:
            with open(partial, "rb") as stream:
                data = without_times(stream.read())
            with open(partial, "wb") as stream:
                stream.write(data)
    if not drawn:
        staging.drop(path)
        progress.warn(f"The report was not written as PDF: Qt could not draw {path}. The HTML page holds the same and "
                      f"prints well from any browser.")
    return drawn


def _problem():
    if QGuiApplication.instance() is None:
        return "QGIS runs without its graphical part here"
    if not compat.font_families(QFontDatabase):
        return "there are no fonts here"
    return ""


def _draw(report, path, progress):
    """Draw the report on A4 pages with their numbers; return whether it worked."""
    writer = QPdfWriter(path)
    writer.setResolution(DPI)
    writer.setPageSize(QPageSize(QPageSize.PageSizeId.A4))
    writer.setPageMargins(QMarginsF(*MARGINS_MM), QPageLayout.Unit.Millimeter)
    writer.setTitle(report.title)
    writer.setCreator("Permafrost Thaw Index (PTI)")
    document = _document(report, writer)
    width, height = writer.width(), writer.height()
    painter = QPainter()
    if not painter.begin(writer):
        return False
    try:
        pages = document.pageCount()
        # black on white also where QGIS itself is dark
        look = QAbstractTextDocumentLayout.PaintContext()
        palette = QPalette(look.palette)
        palette.setColor(QPalette.ColorRole.Text, Qt.GlobalColor.black)
        look.palette = palette
        for page in range(pages):
            progress.check()
            if page:
                writer.newPage()
            painter.save()
            painter.translate(0, -page * height)
            look.clip = QRectF(0, page * height, width, height)
            painter.setClipRect(look.clip)
            document.documentLayout().draw(painter, look)
            painter.restore()
            _footer(painter, document.defaultFont(), report.title, page + 1, pages, width, height)
    finally:
        ended = painter.end()
    return ended


def _document(report, writer):
    """Return the laid-out text document of a report."""
    screen = QGuiApplication.primaryScreen()
    markup, pictures = print_version(report, (screen.logicalDotsPerInchY() if screen else 96) / 96)
    document = QTextDocument()
    document.documentLayout().setPaintDevice(writer)
    document.setDefaultFont(_font(FONT_POINTS))
    document.setDefaultStyleSheet(STYLE)
    document.setDocumentMargin(0)
    for name, png in pictures.items():
        document.addResource(QTextDocument.ResourceType.ImageResource, QUrl(name), QImage.fromData(QByteArray(png)))
    document.setHtml(markup)
    document.setPageSize(QSizeF(writer.width(), writer.height()))
    _keep_headings(document, writer.height())
    return document


def _keep_headings(document, height):
    """Move headings and captions that stand last on a page to the next, for Qt keeps nothing together."""
    layout = document.documentLayout()
    block = document.begin()
    first = None
    while block.isValid():
        if block.blockFormat().headingLevel():
            # of headings that follow each other the first one takes the others with it
            first = block if first is None else first
        elif first is not None:
            page, next_page = (int(layout.blockBoundingRect(each).top() // height) for each in (first, block))
            if next_page > page:
                cursor = QTextCursor(first)
                chosen = first.blockFormat()
                chosen.setPageBreakPolicy(QTextFormat.PageBreakFlag.PageBreak_AlwaysBefore)
                cursor.setBlockFormat(chosen)
                # laid out anew in part only, what follows would overlap
                document.markContentsDirty(0, document.characterCount())
            first = None
        block = block.next()


def _font(points):
    families = compat.font_families(QFontDatabase)
    font = QFont(next((name for name in FONTS if name in families), QFont().family()))
    font.setPointSizeF(points)
    return font


def _footer(painter, font, title, page, pages, width, height):
    """Write title and page number into the lower margin."""
    font = QFont(font)
    font.setPointSizeF(FOOTER_POINTS)
    painter.setFont(font)
    line = QRectF(0, height + 0.2 * DPI, width, 0.25 * DPI)
    painter.drawText(line, title, QTextOption(Qt.AlignmentFlag.AlignLeft))
    painter.drawText(line, f"{page} of {pages}", QTextOption(Qt.AlignmentFlag.AlignRight))


def without_times(data):
    """Return PDF bytes with dates blanked and the document's random IDs made of its content; lengths stay the same."""
    for date in (rb"/(?:CreationDate|ModDate) \(D:[^)]*\)", rb' xmp:(?:Create|Modify|Metadata)Date="[^"]*"'):
        data = re.sub(date, lambda found: b" " * len(found.group()), data)
    patterns = rb"/ID \[ *<([0-9A-Fa-f]+)> *<([0-9A-Fa-f]+)> *\]", rb'xmpMM:DocumentID="uuid:([^"]+)"'
    numbers = [number for pattern in patterns for found in re.finditer(pattern, data) for number in found.groups()]
    blank = data
    for number in numbers:
        blank = blank.replace(number, b"")
    digest = hashlib.sha256(blank).hexdigest().encode("ascii")
    for number in numbers:
        data = data.replace(number, (digest * 2)[:len(number)])
    return data
