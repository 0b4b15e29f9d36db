"""Where a PTI map lies on a page: a polar projection, a frame round the pole, and the ranks and the land within it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from osgeo import osr

from ..common.errors import GridError, InputError
from ..common.progress import Progress
from ..common.ranks import BY_CODE, CODES, NO_RANK
from ..rasters.grid import (
    Grid,
    coordinate_transformation,
    epsg_wkt,
    geographic_wkt,
    spatial_reference,
    transform_points,
)
from ..rasters.process_state import bounded_cache
from ..rasters.raster import CLASS, NO_CLASS, NUMBER, Source, SourceReader, on_grid, read_info, source

#: cells a side of the first look that finds how far south the ranks reach
OVERVIEW_CELLS = 1024
#: the map's southern limit is looked for no further south than this, and never north of the second
SOUTHERN_LIMITS = (25, 60)
EASE_GRID_NORTH = 6931
#: rows of the map read between two looks at whether to stop: those of a warped tile
_ROWS = 256
POLAR_PROJECTIONS = ("Lambert_Azimuthal_Equal_Area", "Azimuthal_Equidistant", "Polar_Stereographic", "Stereographic")


@dataclass(frozen=True)
class Frame:
    """A circle round the pole in a polar azimuthal CRS, down to the parallel ``south``."""

    wkt: str
    projection_name: str
    x: float
    y: float
    radius: float
    south: int

    @property
    def bounds(self):
        """West, south, east and north edge of the square round the circle, in the CRS."""
        return self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius

    def project(self, longitudes, latitudes):
        """Return x and y of points in degrees."""
        return self._carried(geographic_wkt(self.wkt), self.wkt, longitudes, latitudes)

    def unproject(self, x, y):
        """Return longitudes and latitudes of points in the CRS."""
        return self._carried(self.wkt, geographic_wkt(self.wkt), x, y)

    @staticmethod
    def _carried(start, end, x, y):
        return transform_points(coordinate_transformation(start, end), np.atleast_1d(x), np.atleast_1d(y))

    def scale_along_parallel(self, latitude):
        """Return the length of the parallel at ``latitude`` on the map over that on the ellipsoid."""
        x, y = self.project(0.0, latitude)
        reference = spatial_reference(self.wkt)
        inverse = reference.GetInvFlattening()
        flattening = 1 / inverse if inverse else 0
        sine = math.sin(math.radians(latitude))
        radius = (reference.GetSemiMajor() * math.cos(math.radians(latitude))
                  / math.sqrt(1 - flattening * (2 - flattening) * sine ** 2))
        return math.hypot(x[0] - self.x, y[0] - self.y) / radius


def rank_source(path: str | Source) -> Source:
    """Return the Source of a raster of PTI codes in which a cell without data reads as one without a rank.

    ``path`` may be a Source of the codes.
    """
    item = path if isinstance(path, Source) else source(path, CLASS, info=read_info(path))
    return replace(item, absent=NO_RANK)


def polar_wkt(item: Source) -> str:
    """Return the raster's CRS where it is polar with the 0° meridian down, else EASE-Grid 2.0 North's."""
    wkt = item.grid.wkt
    reference = spatial_reference(wkt)
    if reference.GetAttrValue("PROJECTION") not in POLAR_PROJECTIONS:
        return epsg_wkt(EASE_GRID_NORTH)
    origin = max(reference.GetProjParm(name, 0.0) for name in (osr.SRS_PP_LATITUDE_OF_CENTER,
                                                               osr.SRS_PP_LATITUDE_OF_ORIGIN))
    meridian = [reference.GetProjParm(name, 0.0) for name in (osr.SRS_PP_LONGITUDE_OF_CENTER,
                                                              osr.SRS_PP_CENTRAL_MERIDIAN)]
    return wkt if origin > 45 and not any(meridian) else epsg_wkt(EASE_GRID_NORTH)


def turned_wkt(definition, name, meridian):
    """Return the WKT of a polar CRS by its PROJ text, with ``meridian`` pointing down, under a name that says so."""
    reference = osr.SpatialReference()
    reference.ImportFromProj4(f"{definition} +lon_0={meridian:g}")
    reference.SetProjCS(f"{name}, {abs(meridian):g}° {'E' if meridian > 0 else 'W'} down")
    return reference.ExportToWkt()


def polar_frame(item: Source, wkt: str) -> Frame:
    """Return the frame from the pole to the parallel (a multiple of 5°) that holds every rank of the raster."""
    pole, x, y = _pole(wkt)
    widest = _frame_to(pole, x, y, SOUTHERN_LIMITS[0])
    ranks = overview(item, widest)
    centres = (np.arange(OVERVIEW_CELLS) + 0.5) * 2 * widest.radius / OVERVIEW_CELLS - widest.radius
    furthest = np.hypot(centres[:, None], centres[None, :])[ranks != NO_RANK].max()
    south = SOUTHERN_LIMITS[1]
    while south > SOUTHERN_LIMITS[0] and _frame_to(pole, x, y, south - 1).radius < furthest:
        south -= 5
    return _frame_to(pole, x, y, south)


def frame_to(wkt, south):
    """Return the frame of a polar CRS from the pole to the parallel ``south``."""
    return _frame_to(*_pole(wkt), south)


def overview(item: Source, frame: Frame) -> np.ndarray:
    """Return a first look at the ranks within a frame (OVERVIEW_CELLS × OVERVIEW_CELLS, uint8, 0 = no rank)."""
    return ranks_within(item, frame.wkt, frame.bounds, (OVERVIEW_CELLS, OVERVIEW_CELLS), "near")


def _pole(wkt):
    pole = Frame(wkt, _projection_name(spatial_reference(wkt)), 0.0, 0.0, 0.0, 90)
    x, y = (float(value[0]) for value in pole.project(0.0, 90.0))
    return pole, x, y


def _frame_to(pole, x, y, south):
    edge_x, edge_y = pole.project(0.0, south)
    radius = math.hypot(float(edge_x[0]) - x, float(edge_y[0]) - y)
    return Frame(pole.wkt, pole.projection_name, x, y, radius, south)


def _projection_name(reference):
    code = reference.GetAuthorityCode(None)
    return f"{reference.GetName()} (EPSG:{code})" if code else reference.GetName()


def _read_within(item: Source, wkt: str, bounds: tuple, size: tuple, resampling: str,
                 progress: Progress | None) -> np.ndarray:
    """Return a Source as it reads within ``bounds`` (west, south, east, north) in ``size`` (columns, rows) cells."""
    west, south, east, north = bounds
    columns, rows = size
    grid = Grid(wkt, (west, (east - west) / columns, 0.0, north, 0.0, (south - north) / rows), columns, rows)
    moved = on_grid(item, grid)
    if moved.target is not None:
        moved = replace(moved, resampling=resampling)
    reader, parts = SourceReader(), []
    with bounded_cache():
        for row in range(0, rows, _ROWS):
            if progress is not None:
                progress.check()
            parts.append(reader.read(moved, row, min(_ROWS, rows - row), 0, columns))
    reader.close()
    return np.concatenate(parts)


def ranks_within(item: Source, wkt: str, bounds: tuple, size: tuple, resampling: str = "mode",
                 progress: Progress | None = None) -> np.ndarray:
    """Return the PTI codes of a rank_source within ``bounds`` of a CRS (rows × columns, uint8, 0 = no rank).

    ``size`` is (columns, rows). Cells without a rank take part in the majority. Raises InputError for codes that are
    no ranks, and where there is none at all, and Cancelled where ``progress`` is.
    """
    try:
        values = _read_within(item, wkt, bounds, size, resampling, progress)
    except GridError:
        values = np.array([NO_RANK])
    values[values == NO_CLASS] = NO_RANK
    found = np.unique(values)
    strange = [str(value) for value in found.tolist() if value != NO_RANK and value not in BY_CODE]
    if strange:
        raise InputError(f"{item.name} holds {', '.join(strange[:5])}, which are no PTI ranks; the map needs a PTI "
                         f"raster with the codes {', '.join(map(str, CODES))} and 0.")
    if not (found != NO_RANK).any():
        raise InputError(f"{item.name} holds no PTI rank within the frame of the map; there is nothing to map.")
    return values.astype(np.uint8)


def classes_within(path: str | Source, frame: Frame, size: tuple, known: Iterable[int], title: str) -> np.ndarray:
    """Return the classes of a raster, or its Source, in ``size`` (columns, rows) cells of a frame, NO_CLASS for nodata.

    Raises InputError for codes that are not ``known``, and where there is none at all; ``title`` says of what.
    """
    item = path if isinstance(path, Source) else source(path, CLASS, info=read_info(path))
    try:
        values = _read_within(item, frame.wkt, frame.bounds, size, "mode", None)
    except GridError:
        values = np.array([NO_CLASS])
    found = set(np.unique(values).tolist()) - {NO_CLASS}
    strange = sorted(found - set(known))
    if strange:
        raise InputError(f"{item.name} holds {', '.join(map(str, strange[:5]))}; {title} has the codes "
                         f"{', '.join(map(str, known))}.")
    if not found:
        raise InputError(f"{item.name} holds nothing within the frame of the map; {title} cannot be drawn.")
    return values


def land_within(background: str, wkt: str, bounds: tuple, codes: np.ndarray) -> np.ndarray:
    """Return where ``background`` holds data, or where ``codes`` has a rank (rows × columns, bool)."""
    item = source(background, NUMBER, info=read_info(background))
    return ~np.isnan(_read_within(item, wkt, bounds, codes.shape[::-1], "near", None)) | (codes != NO_RANK)
