"""Every file behind an input: sources of virtual rasters however deep, the file of a subdataset, archives, sidecars.

An output must be none of them, and the record names them with their checksums.
"""

from __future__ import annotations

import os
import re
from html import unescape

from osgeo import gdal

from ..common.source_files import file_inside
from .containers import VIRTUAL
from .gdal_errors import call

#: text formats and files of this plugin, which no further files belong to
_ALONE = (".csv", ".txt", ".tsv", ".json", ".ptimodel", ".xlsx", ".ods", ".xls", ".html", ".pdf", ".zip", ".gz", ".tar",
          ".tgz")
_SOURCE = re.compile(r"<Source(?:Filename|Dataset)\b([^>]*)>([^<]+)</Source", re.IGNORECASE)
#: a virtual raster is text; more of it is not searched
_MOST_BYTES = 64 << 20


def files_behind(path, check=None):
    """Return the real paths of the files that GDAL reads for ``path``, the one it names first; [] for a layer without.

    ``path``: a file, a subdataset, a path into an archive, a virtual raster or its text, or a source of a vector layer.
    ``check`` is called between files, to cancel.
    """
    found, pending, seen = {}, [(str(path), "")], set()
    while pending:
        text, folder = pending.pop(0)
        if (text, folder) in seen:
            continue
        seen.add((text, folder))
        if check is not None:
            check()
        if text.lstrip().startswith("<"):
            pending += _sources(text, folder)
            continue
        file = file_inside(os.path.join(folder, text) if folder else text) or file_inside(text, folder)
        if file is None:
            continue
        file = os.path.realpath(file)
        if file in found:
            continue
        found[file] = None
        if file.lower().endswith(_ALONE):
            continue
        listed = _listed(text if os.path.isabs(text) or not folder else os.path.join(folder, text), file)
        for other in listed:
            inside = file_inside(other)
            if inside:
                pending.append((inside, ""))
        if _is_virtual(file):
            with open(file, encoding="utf-8", errors="replace") as stream:
                pending += _sources(stream.read(_MOST_BYTES), os.path.dirname(file))
    return list(found)


def _listed(*paths):
    """Return what GDAL lists as the files of the first of ``paths`` that it opens."""
    for path in dict.fromkeys(paths):
        dataset, _ = call(gdal.OpenEx, path, gdal.OF_RASTER | gdal.OF_VECTOR)
        if dataset is not None:
            return call(dataset.GetFileList)[0] or ()
    return ()


def _sources(text, folder):
    """Return [(source, folder that it is named from)] of the text of a virtual raster."""
    found = []
    for attributes, name in _SOURCE.findall(text):
        name = unescape(unescape(name)).strip()
        # the text of a virtual raster inside another is relative to the same folder
        relative = re.search(r'relativeToVRT\s*=\s*["\']1', attributes) or name.startswith("<")
        found.append((name, folder if relative else ""))
    return found


def _is_virtual(file):
    try:
        with open(file, "rb") as stream:
            return VIRTUAL.encode() in stream.read(1024)
    except OSError:
        return False
