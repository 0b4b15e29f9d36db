"""Calls GDAL so that a failure is noticed whether or not exceptions are switched on.

``gdal.UseExceptions`` is process-wide inside QGIS and belongs to nobody, so this module never touches it: it
listens to GDAL's errors on the calling thread and reports the first one.
"""

import errno
import os
from contextlib import contextmanager

from osgeo import gdal

from ..common.errors import InputError, OutputError
from ..common.escapes import is_text
from ..common.source_files import file_inside
from .gdal_texts import subdatasets_of
from .netcdf_header import lists_too_much
from .process_state import gdal_options

_SUCCESSORS = "OSR_USE_NON_DEPRECATED"
#: how the names of netCDF files end
_NETCDF = (".nc", ".nc3", ".nc4", ".cdf")


class GdalErrors:
    """Context in which GDAL's errors are collected instead of printed; ``first`` is the first failure's text.

    Failures whose text holds ``harmless`` are passed over.
    """

    def __init__(self, harmless=None):
        self.first = ""
        self._harmless = harmless

    def passes_over(self, message):
        """True where a failure with this text is harmless."""
        return self._harmless is not None and self._harmless in message

    def _listen(self, level, number, message):
        if level >= gdal.CE_Failure and not self.first and not self.passes_over(message):
            self.first = message.strip()

    def __enter__(self):
        gdal.PushErrorHandler(self._listen)
        return self

    def __exit__(self, *exception):
        gdal.PopErrorHandler()
        return False


def call(function, *arguments, harmless=None, **options):
    """Run a GDAL function; return (result or None, text of the first failure or '').

    A failure whose text holds ``harmless`` is none; with GDAL's exceptions on, its result is None all the same.
    """
    with GdalErrors(harmless) as errors:
        try:
            result = function(*arguments, **options)
        except RuntimeError as error:
            return None, errors.first or ("" if errors.passes_over(str(error)) else str(error))
        except (SystemError, UnicodeDecodeError):
            # a message quotes bytes of a file that are no text, which no listener in Python can be told
            result, errors.first = _unheard(function, arguments, options)
    return result, "" if errors.passes_over(errors.first) else errors.first


def _unheard(function, arguments, options):
    """Return (result or None, text of the last failure or '') of a GDAL function that tells its errors to nobody."""
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    gdal.ErrorReset()
    try:
        result = function(*arguments, **options)
        return result, gdal.GetLastErrorMsg().strip() if gdal.GetLastErrorType() >= gdal.CE_Failure else ""
    except RuntimeError as error:
        return None, str(error)
    finally:
        gdal.PopErrorHandler()


@contextmanager
def codes_as_stated():
    """Context in which a CRS named by a code is that CRS.

    Left alone, GDAL takes what it knows as the successor of a deprecated one, depending on its version. A successor on
    an ellipsoid lies up to 20 km beside the deprecated one on a sphere, in which the data are.
    """
    with gdal_options(**{_SUCCESSORS: "NO"}):
        yield


def _open_options(path):
    """Return the options to open ``path`` with.

    GDAL takes a netCDF valid range for one of stored numbers, whatever its type, and overwrites what lies outside; the
    range is applied where it is known what it means.
    """
    netcdf = path.upper().startswith("NETCDF:") or path.lower().endswith(_NETCDF)
    return ["HONOUR_VALID_RANGE=NO"] if netcdf else []


def no_file_can_be_opened():
    """True where the process has as many open files as the system allows, which GDAL does not tell."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False


def refuse_damaged_header(path):
    """Raise InputError for a classic netCDF file whose header lists more than it holds, before a library tries it."""
    file = file_inside(path)
    if file and lists_too_much(file):
        raise InputError(f"The raster {path} cannot be opened: its header lists more than the file holds. The file is "
                         f"damaged or cut; fetch it again.")


def open_raster(path, with_crs=True):
    """Open a raster for reading; raises InputError saying what is wrong with ``path``.

    ``with_crs`` False: the CRS is not asked for, which takes longest of all.
    """
    path = str(path)
    refuse_damaged_header(path)
    options = _open_options(path)
    with codes_as_stated():
        dataset, failure = call(gdal.OpenEx, path, gdal.OF_RASTER, open_options=options)
        if options and dataset is not None and dataset.RasterCount \
                and dataset.GetRasterBand(1).DataType == gdal.GDT_Byte:
            # GDAL before 3.7 reads unsigned bytes only so
            dataset, failure = call(gdal.OpenEx, path, gdal.OF_RASTER)
        if dataset is not None and with_crs:
            # formats look for it when it is first asked for, and keep it
            stated, _ = call(dataset.GetProjection)
            if not is_text(stated or ""):
                raise InputError(f"The CRS of the raster {path} holds bytes that are no text. Assign the right CRS, "
                                 f"with the tool 'Assign projection'.")
    if dataset is None:
        if not os.path.exists(path) and ":" not in path[2:] and not path.startswith(("/vsi", "<")):
            raise InputError(f"The raster {path} does not exist. Check the path.")
        if no_file_can_be_opened():
            raise InputError(f"The raster {path} cannot be opened: too many open files. Allow more, on Linux with "
                             f"'ulimit -n 4096' before QGIS is started, or give fewer layers at once.")
        unknown = ("GDAL does not know its format. It may be a download that failed, such as a web page under the name "
                   "of the file, or a raw file without its .hdr file beside it")
        raise InputError(f"The raster {path} cannot be opened: {failure or unknown}.")
    if dataset.RasterCount == 0:
        names = [name for name, _ in subdatasets_of(dataset)]
        hint = f" Choose one of its variables: {', '.join(names)}." if names else ""
        raise InputError(f"{path} holds no raster band.{hint}")
    return dataset


def output_error(path, failure):
    """Return the OutputError for a failed write, naming a full disk when that is what it was."""
    try:
        status = os.statvfs(os.path.dirname(os.path.abspath(path)))
        full = status.f_bavail * status.f_frsize < 1 << 20
    except (AttributeError, OSError):
        full = False
    if full or os.strerror(errno.ENOSPC) in failure:
        return OutputError(f"Writing {path} failed because the disk is full. Free some space or choose another folder.")
    return OutputError(f"Writing {path} failed: {failure or 'no reason given'}. Check the disk and the permissions.")
