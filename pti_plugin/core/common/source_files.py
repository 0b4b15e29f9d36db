"""The file on the disk that a data source names."""

from __future__ import annotations

import os
import re

#: parts of a source between colons that are joined again, as in C:\\file.nc
_MOST_PARTS = 12


def file_inside(source, folder: str = "") -> str | None:
    """Return the file that a data source is in, or None where there is none.

    ``source``: a path, a subdataset as in NETCDF:"file":variable or GTIFF_DIR:2:file, a layer as in file|layername=x,
    or a path into an archive as in /vsizip/file.zip/inner.tif. ``folder``: where relative ones begin.
    """
    return next((file for file in (os.path.join(folder, part) for part in _candidates(str(source)))
                 if os.path.isfile(file)), None)


def _candidates(source: str):
    yield source
    yield source.split("|")[0]
    quoted = source.split('"')[1::2]
    yield from quoted
    for part in [source, *quoted]:
        if part.startswith("/vsi"):
            yield from _outside(part)
    parts = source.replace('"', "").split(":", _MOST_PARTS)
    if len(parts) > 1:
        for first in range(1, len(parts)):
            for last in range(len(parts), first, -1):
                joined = ":".join(parts[first:last])
                if joined.startswith("/vsi"):
                    yield from _outside(joined)
                elif joined:
                    yield joined


def _outside(path: str):
    """Yield what may be the archive on the disk that a path into archives begins with."""
    plain = re.sub(r"/vsi(?:zip|tar|gzip|7z|rar|sparse|cached|crypt)/\{?|/vsisubfile/[\d_]+,", "/", path)
    pieces = plain.replace("}", "").replace("//", "/").lstrip("/").split("/")
    for end in range(1, len(pieces) + 1):
        joined = "/".join(pieces[:end])
        yield "/" + joined
        yield joined
