"""Folders and archives as downloaded: which rasters they hold, in a fixed order, one version of each.

Folders may be nested, archives lie in them packed, and what portals and systems leave beside the data is passed over.
Members of archives get the path by which GDAL reads them in place. When a layer is from is told in time_axis.py.
"""

import os
import re
from fnmatch import fnmatchcase

from osgeo import gdal

from ..common.errors import InputError
from .containers import exists
from .gdal_errors import call
from .recognition import recognise, stem_of

#: files that are no data: statistics, overviews, checksums, metadata, place and palette files, leavings of systems
PASSED_OVER = ("*.aux.xml", "*.ovr", "*.md5", "*.md5sum", "*.sha1", "*.sha256", "*.sha512", "*.crc", "*.sig", "*.xml",
               "*.met", "*.dmrpp", "*.json", "*.txt", "*.html", "*.htm", "*.pdf", "*.hdr", "*.prj", "*.tfw", "*.tifw",
               "*.wld", "*.bpw", "*.blw", "*.qml", "*.sld", "*.clr", "*.idx", "*.lock", "*.log", "*.csv", "*.db",
               "thumbs.db", "desktop.ini", "checksums*", "manifest*", "md5sum*", "sha256sum*", "readme*", ".*", "~$*")
#: downloads that did not end
UNFINISHED = ("*.part", "*.partial", "*.crdownload", "*.download", "*.tmp", "*.filepart", "*.aria2")
#: ending of an archive and GDAL's name for what reads it
ARCHIVES = ((".zip", "zip"), (".tar", "tar"), (".tgz", "tar"), (".tar.gz", "tar"))
#: archives in archives that are followed
DEPTH = 3
DEFAULT_PATTERN = "*.tif"

_MADE = re.compile(r"(?<=\.)(?:\d{13}|\d{7})$")
_COLLECTION = re.compile(r"(?<=\.)\d{3}\.?$")
_VERSION = re.compile(r"(?<=[-_.])f?v(\d{1,2}(?:\.\d{1,2})*)(?=$|[-_.])")
_GRANULE = re.compile(r"\.a\d{7}(?=\.|$)")


def files_in(folder, pattern, progress=None, products=None):
    """Return the rasters in ``folder`` and all folders and archives below it, sorted by their place.

    ``pattern``: patterns of file names, split by semicolons, upper and lower case alike; one with a ``/`` is held
    against the place below ``folder``; an archive whose own name fits counts with all rasters in it. ``products``:
    presets by which versions of one product are told. Raises InputError where there are none, where two versions of one
    product or one file twice lie there, and where an archive holds what GDAL reads only unpacked.
    """
    if not os.path.isdir(folder):
        raise InputError(f"The folder {folder} does not exist.")
    patterns = _patterns(pattern)
    found, seen, unfinished = [], [], []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in names:
            path = os.path.join(place, name)
            if _any(name, UNFINISHED):
                unfinished.append(name)
            elif not _any(name, PASSED_OVER):
                seen.append(name)
                found += _matching(path, os.path.relpath(path, folder).replace(os.sep, "/"), patterns)
    if progress and unfinished:
        progress.warn(f"Passed over, because their download did not end: {_some(sorted(unfinished))}.")
    if not found:
        endings = sorted({os.path.splitext(name)[1].lower() for name in seen} - {""})
        raise InputError(f"No file in {folder} or the folders below it matches {pattern or DEFAULT_PATTERN}."
                         + (f" The files there end in {', '.join(endings[:8])}; set PATTERN. The first is "
                            f"{sorted(seen)[0]}." if endings else ""))
    paths = [path for _, path in sorted(found)]
    _refuse_packed(paths)
    return one_version(paths, progress, products)


def takes(folder, pattern, path):
    """True where ``files_in`` would take a file at ``path`` for one of the folder's layers."""
    place = os.path.relpath(os.path.realpath(path), os.path.realpath(folder)).replace(os.sep, "/")
    *above, name = place.split("/")
    return not any(part.startswith(".") for part in above) and not _any(name, PASSED_OVER) and any(
        _fits(place, part) for part in _patterns(pattern))


def _patterns(pattern):
    return [part.strip().lower() for part in (pattern or DEFAULT_PATTERN).split(";") if part.strip()]


def archive(path):
    """Return GDAL's path of what is in an archive, or '' for any other file."""
    kind = next((kind for ending, kind in ARCHIVES if str(path).lower().endswith(ending)), "")
    if not kind:
        return ""
    # braces tell an archive in an archive apart; QGIS loads only paths without
    place = _absolute(path)
    return f"/vsi{kind}/{{{place}}}" if place.startswith("/vsi") else f"/vsi{kind}/{place}"


def unpacked(path):
    """Return the rasters in an archive, sorted, or ``[path]`` for any other file; raises InputError for none."""
    if not archive(path):
        return [str(path)]
    paths = [member for _, member in sorted(_members(path, ""))]
    if not paths:
        raise InputError(f"{path} holds no raster. Unpack it and give the file wanted.")
    _refuse_packed(paths)
    return paths


def one_version(paths, progress=None, products=None):
    """Return ``paths`` with the newest production of each granule only; raises InputError for two versions of one
    product, which are not to be mixed, and for a file that is there twice."""
    granules, versions = {}, {}
    for path in paths:
        name = os.path.basename(path)
        key, version, made = _parts(stem_of(name))
        versions.setdefault(family_of(name, recognise(products or {}, name)), {}).setdefault(version, path)
        granules.setdefault((key, version), {}).setdefault(made, []).append(path)
    for known in versions.values():
        if len(known) > 1:
            first, second = (os.path.basename(known[version]) for version in sorted(known)[:2])
            raise InputError(f"Two versions of one product lie in the folder: {first} and {second}. They are not to be "
                             f"mixed; name one in PATTERN, such as *{sorted(known)[-1]}*.")
    kept, older = set(), []
    for productions in granules.values():
        newest = max(productions)
        kept.add(_only(productions[newest], progress))
        older += [os.path.basename(path) for made in productions if made != newest for path in productions[made]]
    if older and progress:
        progress.warn(f"Of granules that were produced more than once the newest production is used; left out: "
                      f"{_some(sorted(older))}.")
    return [path for path in paths if path in kept]


def family_of(name, product=None):
    """Return what files have in common that may differ in nothing but date and place: the ``product`` of the name and
    its maker, or the name without its numbers. Two versions of one family are not to be mixed."""
    stem = stem_of(name)
    return (product.name, re.split(r"[-_.]", stem)[0]) if product else re.sub(r"\d+", "#", _parts(stem)[0])


def version_of(name):
    """Return the version that a file's name states, as 061, v10 or fv05.0, or ''."""
    return _parts(stem_of(name))[1]


def _only(paths, progress):
    """Return the one of equal files that is used: the unpacked one where the others lie in archives."""
    plain = [path for path in paths if not path.startswith("/vsi")]
    if len(plain) > 1 or not plain and len(paths) > 1:
        raise InputError(f"The same file lies in the folder twice: {paths[0]} and {paths[1]}. Leave one out, or name "
                         f"the right folder in PATTERN, such as 2005/*.")
    if len(paths) > 1 and progress:
        progress.info(f"{os.path.basename(plain[0])} lies there packed as well; the unpacked file is used.")
    return (plain or paths)[0]


def _parts(stem):
    """Return (stem without version and day of making, version, day of making) of a file's stem."""
    made = version = ""
    if _GRANULE.search(stem):
        found = _MADE.search(stem)
        # the date itself may stand last
        if found and not _GRANULE.search(stem[found.start() - 2:]):
            made, stem = found[0], stem[:found.start()]
        found = _COLLECTION.search(stem)
        if found:
            version, stem = found[0].rstrip("."), stem[:found.start()]
    found = None if version else _VERSION.search(stem)
    if found:
        version, stem = found[0], stem[:found.start()] + "*" + stem[found.end():]
    return stem.rstrip("."), version, made.ljust(13, "0") if made else ""


def _matching(path, place, patterns):
    """Return [(place, path)] of a file that fits, or of what fits in an archive."""
    fits = any(_fits(place, part) for part in patterns)
    if archive(path):
        return [(inner, member) for inner, member in _members(path, place)
                if fits or any(_fits(inner, part) for part in patterns)]
    if fits and path.lower().endswith(".gz"):
        return [(place, f"/vsigzip/{_absolute(path)}")]
    return [(place, path)] if fits else []


def _fits(place, pattern):
    place = place.lower()
    return fnmatchcase(place if "/" in pattern else place.rsplit("/", 1)[-1], pattern)


def _members(path, place, depth=DEPTH):
    """Return [(place, path)] of the files in an archive and in archives inside it."""
    inside = archive(path)
    names, failure = call(gdal.ReadDirRecursive, inside)
    if failure or names is None:
        raise InputError(f"The archive {path} cannot be opened: {failure or 'it is damaged or empty'}. Get it again, "
                         f"or unpack it.")
    found = []
    for name in names:
        short = name.rsplit("/", 1)[-1]
        if not short or _any(short, PASSED_OVER) or name.startswith("__MACOSX") or "/__MACOSX" in name:
            continue
        member, inner = f"{inside}/{name}", f"{place}/{name}" if place else name
        if not archive(name):
            found.append((inner, member))
        elif depth > 1:
            found += _members(member, inner, depth - 1)
        else:
            raise InputError(f"{path} holds archives in archives, more than {DEPTH} deep. Unpack it.")
    return found


def _refuse_packed(paths):
    """Raise InputError where GDAL does not read a format inside an archive; one file of each ending is tried."""
    tried = set()
    for path in paths:
        ending = os.path.splitext(path)[1].lower()
        if not path.startswith("/vsi") or ending in tried:
            continue
        tried.add(ending)
        if exists(path) and call(gdal.OpenEx, path, gdal.OF_RASTER)[0] is None:
            raise InputError(f"{os.path.basename(path)} cannot be read inside its archive, as HDF4 and some others "
                             f"cannot. Unpack {_outermost(path)} and give the folder.")


def _outermost(path):
    """Return the archive on the disc that a path inside archives begins with."""
    parts = re.sub(r"/vsi[a-z]+/\{?", "", path).replace("}", "").split("/")
    return next(("/".join(parts[:end]) for end in range(1, len(parts) + 1) if os.path.isfile("/".join(parts[:end]))),
                path)


def _absolute(path):
    path = str(path)
    return path if path.startswith("/vsi") else os.path.abspath(path).replace(os.sep, "/")


def _any(name, patterns):
    return any(fnmatchcase(name.lower(), pattern) for pattern in patterns)


def _some(names):
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
