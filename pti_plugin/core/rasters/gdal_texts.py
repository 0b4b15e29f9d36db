"""Texts of a file that GDAL hands over, as text: where the file holds bytes that are none, GDAL gives bytes too."""

from __future__ import annotations

from ..common.escapes import seen


def items_of(part) -> dict[str, str]:
    """Return the metadata items of a dataset or a band."""
    return {_text(key): _text(value) for key, value in (part.GetMetadata() or {}).items()}


def subdatasets_of(dataset) -> list[tuple[str, str]]:
    """Return (data source, description) of every subdataset."""
    return [(_text(place), _text(words)) for place, words in dataset.GetSubDatasets()]


def virtual_text(dataset) -> str:
    """Return the XML of a virtual raster, '' for any other."""
    return _text((dataset.GetMetadata("xml:VRT") or [""])[0])


def _text(given: str | bytes) -> str:
    return seen(given.decode("utf-8", "replace") if isinstance(given, bytes) else given)
