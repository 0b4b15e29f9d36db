"""Time stamps of layers: read from band metadata, band names or file names, put in order, gaps found.

A stamp is a year, or a year and a month; the rule that found it is told to the user.
"""

import re
from dataclasses import dataclass

from .errors import InputError
from .raster import read_info

_METADATA_KEYS = ("TIME", "time", "year", "YEAR", "date", "DATE")
_YEAR = r"(?:19|20|21)\d\d"
_STAMP = re.compile(rf"(?<!\d)({_YEAR})(?:[-_.]?(0[1-9]|1[0-2]))?(?!\d)")
_SPAN = re.compile(rf"(?<!\d){_YEAR}[-_]{_YEAR}(?!\d)")


@dataclass(frozen=True)
class Layer:
    """One layer of a series: raster ``path``, ``band``, and its time ``index`` in steps (None = not stamped)."""

    path: str
    band: int
    label: str
    index: int


def stamp_of(text, period):
    """Return the stamp in ``text`` as a whole number of steps since year 0, or None.

    ``period`` 1 counts years, 12 months; for other periods stamps are not read. Spans such as 1997-2021 are no stamps.
    """
    found = _STAMP.findall(_SPAN.sub(" ", text))
    if period == 1 and found:
        return int(found[-1][0])
    if period == 12 and found and found[-1][1]:
        return int(found[-1][0]) * 12 + int(found[-1][1]) - 1
    return None


def stamp_text(index, period):
    """Return the readable form of a stamp."""
    return str(index) if period == 1 else f"{index // 12}-{index % 12 + 1:02d}"


def series(paths, period, sort, progress):
    """Return the Layers of a series in time order: a list of rasters, or the bands of one.

    Stamps come from the band's metadata, else its name, else the file's name. With ``sort`` the layers are put in
    order of their stamps; without it layers out of order are an error. Layers without any stamp keep their order.
    Raises InputError for duplicates, for stamps on some layers only, and for lists that mix several bands a file.
    """
    infos = [read_info(path) for path in paths]
    if len(infos) > 1:
        several = [info.name for info in infos if info.bands > 1]
        if several:
            raise InputError(f"{several[0]} has {read_info(paths[[i.name for i in infos].index(several[0])]).bands} "
                             f"bands in a list of single layers. Give one multi-band file, or single layers.")
    layers = []
    for info in infos:
        for band in range(1, info.bands + 1):
            metadata = info.band_metadata[band - 1]
            texts = [metadata[key] for key in _METADATA_KEYS if key in metadata] + [info.descriptions[band - 1]]
            if info.bands == 1:
                texts.append(info.name)
            stamps = [stamp for stamp in (stamp_of(text, period) for text in texts) if stamp is not None]
            label = info.name if info.bands == 1 else f"{info.name} band {band}"
            layers.append(Layer(info.path, band, label, stamps[0] if stamps else None))
    stamped = [layer for layer in layers if layer.index is not None]
    if not stamped:
        progress.info("The layers carry no time stamps; they are taken in the order given, one step apart.")
        return [Layer(layer.path, layer.band, layer.label, i) for i, layer in enumerate(layers)]
    if len(stamped) < len(layers):
        missing = next(layer.label for layer in layers if layer.index is None)
        raise InputError(f"{missing} carries no time stamp while others do. Name all layers with their year "
                         f"(or year-month), or none.")
    ordered = sorted(layers, key=lambda layer: layer.index)
    for first, second in zip(ordered, ordered[1:]):
        if first.index == second.index:
            raise InputError(f"{first.label} and {second.label} carry the same time stamp, "
                             f"{stamp_text(first.index, period)}. Leave one out.")
    if ordered != layers:
        place = next(i for i, (a, b) in enumerate(zip(layers, layers[1:])) if b.index < a.index)
        if not sort:
            raise InputError(
                f"The layers are out of order: {layers[place + 1].label} "
                f"({stamp_text(layers[place + 1].index, period)}) comes after {layers[place].label} "
                f"({stamp_text(layers[place].index, period)}). Put them in order, or set SORT to true.")
        progress.info("The layers were put in the order of their time stamps.")
    gaps = [stamp_text(i, period) for a, b in zip(ordered, ordered[1:]) for i in range(a.index + 1, b.index)]
    if gaps:
        progress.warn(f"The series has no layer for {', '.join(gaps)}; the gap is kept in the time axis.")
    return ordered
