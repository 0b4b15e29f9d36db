"""Reads the sheets of .xls, .xlsx and .ods files as text, through GDAL's drivers for them."""

from pathlib import Path

from osgeo import gdal

from ..common.errors import DependencyError, InputError
from ..rasters.gdal_errors import call
from ..rasters.process_state import gdal_options

#: first bytes of a file → the driver that reads it
SIGNATURES = {b"PK\x03\x04": "XLSX", b"\xd0\xcf\x11\xe0": "XLS"}
#: driver → the file's ending
_DRIVERS = {"XLSX": ".xlsx", "XLS": ".xls", "ODS": ".ods"}


def is_spreadsheet(path):
    """Say by its first bytes whether a file is a spreadsheet; raises InputError where it cannot be read."""
    return _signature(path) in SIGNATURES


def read_sheets(path):
    """Return {sheet name: [(row number, cells)]} of the rows that are not empty; every cell is text, '' where empty.

    Raises InputError where the file is damaged or no spreadsheet, DependencyError where this GDAL lacks the driver.
    """
    path = Path(path)
    driver = SIGNATURES.get(_signature(path))
    if driver == "XLSX" and path.suffix.lower() == ".ods":
        driver = "ODS"
    if gdal.GetDriverByName(driver) is None:
        raise DependencyError(f"{path} is a spreadsheet ({_DRIVERS[driver]}), and this GDAL has no driver {driver} to "
                              f"read it; save the sheet as CSV and give that file.")
    # no row is a header here and no cell a number: what stands in the sheet is judged by its own rules
    options = {f"OGR_{driver}_HEADERS": "DISABLE", f"OGR_{driver}_FIELD_TYPES": "STRING"}
    with gdal_options(**options):
        book, failure = call(gdal.OpenEx, str(path), gdal.OF_VECTOR, allowed_drivers=[driver])
        if book is None:
            raise InputError(f"The spreadsheet {path} cannot be read: {failure or 'it is damaged'}. Save the sheet as "
                             f"CSV and give that file.")
        return {book.GetLayer(i).GetName(): _rows(book.GetLayer(i)) for i in range(book.GetLayerCount())}


def _signature(path):
    try:
        with open(path, "rb") as stream:
            return stream.read(4)
    except OSError as error:
        raise InputError(f"The file {path} cannot be read: {error.strerror or error}.") from error


def _rows(layer):
    rows = []
    count = layer.GetLayerDefn().GetFieldCount()
    for feature in layer:
        cells = [(feature.GetFieldAsString(i) or "").strip() for i in range(count)]
        if any(cells):
            rows.append((feature.GetFID(), cells))
    return rows
