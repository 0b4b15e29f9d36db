"""The grid of a raster: its CRS, geotransform, size and the true ground area of its cells.

This is the one place that compares grids, and the one that says which file differs in what.
"""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from osgeo import ogr, osr

from ..common.errors import GridError
from ..common.escapes import is_text
from .gdal_errors import call, codes_as_stated

#: share of a cell by which origins and cell sizes may differ and still be the same grid (rounding in headers)
TOLERANCE_CELLS = 1e-3

#: projections whose cells all have the same ground area
EQUAL_AREA_METHODS = (
    "lambert_azimuthal_equal_area",
    "albers_conic_equal_area",
    "cylindrical_equal_area",
    "sinusoidal",
    "mollweide",
    "eckert_iv",
    "eckert_vi",
    "equal_earth",
)

#: projections that PROJ puts together from others
COMPOSED_METHODS = ("+proj=igh", "+proj=goode")

#: points carried through a transformation in one call
_POINTS_AT_ONCE = 1 << 20

_kept, _starting = {}, threading.Lock()

#: which row of a grid is the first, by whether it is upright
_END = {True: "northernmost", False: "southernmost"}

#: integer unit of cell areas, square centimetres: sums of integers do not depend on their order
AREA_UNITS_PER_KM2 = 10**10


def spatial_reference(wkt):
    """Return the osr.SpatialReference of ``wkt`` with x = east (or longitude), y = north (or latitude)."""
    reference = osr.SpatialReference()
    if not is_text(wkt):
        raise GridError("A CRS holds bytes that are no text. Assign the right CRS to the layer it comes from.")
    reference.ImportFromWkt(wkt)
    reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return reference


def composed(*wkts):
    """True where one of the CRSs has a projection that PROJ puts together from others."""
    return any(map(_is_composed, wkts))


@lru_cache(maxsize=256)
def _is_composed(wkt):
    definition = spatial_reference(wkt).ExportToProj4()
    return any(method in definition for method in COMPOSED_METHODS)


def on_kept_thread(function, *arguments, **options):
    """Call ``function`` on one thread that lives as long as the program, and return what it returns.

    GDAL keeps transformations that are let go, for whoever asks next or to be cleared by anyone. Composed projections
    do not stand that: PROJ binds their parts to the thread they were made on, and its memory is written to after that
    thread has ended. So they are made and used here only.
    """
    if threading.current_thread() is _kept.get("thread"):
        return function(*arguments, **options)
    with _starting:
        if "pool" not in _kept:
            _kept["pool"] = ThreadPoolExecutor(1, "pti-projections")
            _kept["thread"] = _kept["pool"].submit(threading.current_thread).result()
    return _kept["pool"].submit(function, *arguments, **options).result()


class _KeptTransformation:
    """An osr.CoordinateTransformation of composed projections, which lives and works on the kept thread."""

    def __init__(self, source_wkt, target_wkt):
        self._change = on_kept_thread(_made_transformation, source_wkt, target_wkt)

    def TransformPoints(self, points):
        """The method of osr.CoordinateTransformation; raises RuntimeError where it gives nothing."""
        return self._called(self._change.TransformPoints, points)

    def TransformPoint(self, x, y):
        """The method of osr.CoordinateTransformation; raises RuntimeError where it gives nothing."""
        return self._called(self._change.TransformPoint, x, y)

    @staticmethod
    def _called(method, *arguments):
        found, failure = on_kept_thread(call, method, *arguments)
        if found is None:
            raise RuntimeError(failure)
        return found


def coordinate_transformation(source_wkt, target_wkt):
    """Return the osr.CoordinateTransformation between two CRSs given as WKT, x before y on both sides.

    Raises GridError where there is none, as between those of two celestial bodies.
    """
    if composed(source_wkt, target_wkt):
        return _KeptTransformation(source_wkt, target_wkt)
    return _made_transformation(source_wkt, target_wkt)


def _made_transformation(source_wkt, target_wkt):
    source, target = spatial_reference(source_wkt), spatial_reference(target_wkt)
    change, failure = call(osr.CreateCoordinateTransformation, source, target)
    if change is None:
        raise GridError(f"Places in the CRS {source.GetName()} cannot be found in {target.GetName()}: "
                        f"{(failure or 'PROJ knows no way').rstrip('.')}. Assign the right CRS.")
    return change


def transform_points(change, x, y):
    """Return (x, y) carried through an osr.CoordinateTransformation, NaN where a point has no image.

    With GDAL's exceptions on, one such point makes the whole call fail, so failing calls are halved until only the
    points concerned are left.
    """
    points = np.column_stack([np.ravel(x), np.ravel(y)]).astype(float, copy=False)
    moved = np.full(points.shape, np.nan)
    parts = []
    for first in range(0, len(points), _POINTS_AT_ONCE):
        last = min(first + _POINTS_AT_ONCE, len(points))
        together = _moved_together(change, points[first:last])
        if together is None:
            parts.append((first, last))
        else:
            moved[first:last] = together
    while parts:
        first, last = parts.pop()
        found, _ = call(change.TransformPoints, points[first:last])
        if found is not None:
            moved[first:last] = np.array(found, dtype=float)[:, :2]
        elif last - first > 1:
            middle = (first + last) // 2
            parts += [(first, middle), (middle, last)]
    moved[~np.isfinite(moved).all(axis=1)] = np.nan
    return moved[:, 0].reshape(np.shape(x)), moved[:, 1].reshape(np.shape(y))


def _moved_together(change, points):
    """Return (n, 2) points carried as the vertices of one line, without an object each, or None where that fails."""
    if not isinstance(change, osr.CoordinateTransformation) or len(points) < 2 or not np.isfinite(points).all():
        return None
    # well-known binary: byte order, 2 = line, number of points
    head = b"\x01" + np.array([2, len(points)], dtype="<u4").tobytes()
    line = ogr.CreateGeometryFromWkb(head + points.astype("<f8", copy=False).tobytes())
    if call(line.Transform, change) != (0, ""):
        return None
    moved = np.frombuffer(bytes(line.ExportToWkb(ogr.wkbNDR)), dtype="<f8", offset=len(head)).reshape(-1, 2)
    return moved if np.isfinite(moved).all() else None


def geographic_wkt(wkt):
    """Return the geographic CRS that the CRS ``wkt`` is built on."""
    reference = spatial_reference(wkt)
    base = reference.CloneGeogCS() or reference
    return base.ExportToWkt()


def epsg_wkt(code):
    """Return the WKT of an EPSG code."""
    reference = osr.SpatialReference()
    with codes_as_stated():
        reference.ImportFromEPSG(int(code))
    return reference.ExportToWkt()


@dataclass(frozen=True)
class Grid:
    """A raster grid: ``wkt``, GDAL ``transform`` (6 numbers), ``width`` and ``height`` in cells."""

    wkt: str
    transform: tuple
    width: int
    height: int

    @property
    def cell_size(self):
        """Width and height of a cell in units of the CRS, both positive."""
        _, a, b, _, d, e = self.transform
        return math.hypot(a, d), math.hypot(b, e)

    @property
    def is_geographic(self):
        """True where the coordinates are degrees."""
        return bool(spatial_reference(self.wkt).IsGeographic())

    @property
    def is_equal_area(self):
        """True where the projection gives every cell the same ground area."""
        projection = spatial_reference(self.wkt).GetAttrValue("PROJECTION") or ""
        return projection.lower() in EQUAL_AREA_METHODS

    @property
    def name(self):
        """Short name of the CRS: authority code, else its title."""
        reference = spatial_reference(self.wkt)
        authority, code = reference.GetAuthorityName(None), reference.GetAuthorityCode(None)
        return f"{authority}:{code}" if authority and code else (reference.GetName() or "unnamed CRS")

    def describe(self):
        """Return one readable phrase: CRS, cell size, columns and rows."""
        x, y = self.cell_size
        return f"{self.name}, cells of {x:.10g} x {y:.10g}, {self.width} columns x {self.height} rows"

    def xy(self, columns, rows):
        """Return the coordinates of positions in cells (0, 0 is the outer corner of the first cell)."""
        x0, a, b, y0, d, e = self.transform
        columns, rows = np.asarray(columns, dtype=float), np.asarray(rows, dtype=float)
        return x0 + a * columns + b * rows, y0 + d * columns + e * rows

    def cells_at(self, x, y):
        """Return (columns, rows) as floats of coordinates ``x``, ``y`` in the grid's CRS."""
        x0, a, b, y0, d, e = self.transform
        determinant = a * e - b * d
        dx, dy = np.asarray(x, dtype=float) - x0, np.asarray(y, dtype=float) - y0
        return (e * dx - b * dy) / determinant, (a * dy - d * dx) / determinant

    def lonlat(self, columns, rows):
        """Return WGS 84 longitudes and latitudes of positions in cells (arrays of the inputs' shape, NaN off Earth)."""
        x, y = np.broadcast_arrays(*self.xy(columns, rows))
        return transform_points(coordinate_transformation(self.wkt, epsg_wkt(4326)), x, y)

    def south_of(self, latitude, row, rows, column, columns):
        """Return a mask of the cells of a window whose centre lies south of a WGS 84 ``latitude`` or off the Earth."""
        if latitude <= -90.0:
            return np.zeros((rows, columns), dtype=bool)
        lattice = self.lonlat(*np.meshgrid(np.linspace(column, column + columns, 17),
                                           np.linspace(row, row + rows, 17)))[1]
        if np.isfinite(lattice).all():
            # latitude changes between neighbours of the lattice by no more than between any two of them
            step = max(np.abs(np.diff(lattice, axis=axis)).max() for axis in (0, 1))
            if lattice.min() - step >= latitude or lattice.max() + step < latitude:
                return np.full((rows, columns), lattice.max() + step < latitude)
        places = np.meshgrid(np.arange(column, column + columns) + 0.5, np.arange(row, row + rows) + 0.5)
        return ~(self.lonlat(*places)[1] >= latitude)

    def differences(self, other):
        """Return a list of phrases saying in what ``other`` differs from this grid; empty when it is the same."""
        found = []
        if not _same_crs(self.wkt, other.wkt):
            found.append(f"its CRS is {other.name}, not {self.name}")
        if (self.width, self.height) != (other.width, other.height):
            found.append(f"it has {other.width} x {other.height} cells, not {self.width} x {self.height}")
        x, y = self.cell_size
        other_x, other_y = other.cell_size
        allowed_x, allowed_y = TOLERANCE_CELLS * x / self.width, TOLERANCE_CELLS * y / self.height
        if abs(x - other_x) > allowed_x or abs(y - other_y) > allowed_y:
            found.append(f"its cells are {other_x:.10g} x {other_y:.10g}, not {x:.10g} x {y:.10g}")
        elif self._upright != other._upright:
            found.append(f"its first row is the {_END[other._upright]} one, not the {_END[self._upright]} one "
                         f"(gdalwarp turns it)")
        elif not found:
            corners = np.array([0, self.width, 0, self.width]), np.array([0, 0, self.height, self.height])
            columns, rows = self.cells_at(*other.xy(*corners))
            shift = max(np.abs(columns - corners[0]).max(), np.abs(rows - corners[1]).max())
            if shift > TOLERANCE_CELLS:
                found.append(f"it is shifted by {shift:.4g} cells")
        return found

    @property
    def _upright(self):
        """Whether northings fall from row to row, as they usually do."""
        return self.transform[5] < 0

    def same(self, other):
        """True where ``other`` is this grid."""
        return not self.differences(other)

    def cell_areas(self, row, rows, column, columns):
        """Return true ground areas as int64 in square centimetres, shape (rows, columns).

        Equal-area projections and geographic grids are exact on the CRS's ellipsoid; in every other CRS the cell's
        corners are carried to an equal-area projection and the quadrilateral is measured there.
        """
        if self.is_equal_area:
            _, a, b, _, d, e = self.transform
            metres = spatial_reference(self.wkt).GetLinearUnits()
            area = abs(a * e - b * d) * metres * metres
            return np.full((rows, columns), round(area * 1e4), dtype=np.int64)
        if self.is_geographic and self.transform[2] == 0 and self.transform[4] == 0:
            return np.repeat(self._geographic_row_areas(row, rows)[:, None], columns, axis=1)
        return self._measured_areas(row, rows, column, columns)

    def _geographic_row_areas(self, row, rows):
        reference = spatial_reference(self.wkt)
        major, flattening = reference.GetSemiMajor(), 1 / reference.GetInvFlattening() if reference.GetInvFlattening() \
            else 0.0
        radians = reference.GetAngularUnits()
        edges = self.transform[3] + self.transform[5] * np.arange(row, row + rows + 1, dtype=float)
        edges = np.clip(edges * radians, -math.pi / 2, math.pi / 2)
        band = area_to_latitude(edges, major, flattening)
        width = abs(self.transform[1]) * radians
        return np.rint(np.abs(np.diff(band)) * width * 1e4).astype(np.int64)

    def _measured_areas(self, row, rows, column, columns):
        lattice_columns, lattice_rows = np.meshgrid(
            np.arange(column, column + columns + 1, dtype=float), np.arange(row, row + rows + 1, dtype=float))
        x, y = self.xy(lattice_columns, lattice_rows)
        longitude, latitude = self.lonlat(self.width / 2, self.height / 2)
        equal_area = osr.SpatialReference()
        equal_area.ImportFromProj4(
            f"+proj=laea +lat_0={round(float(latitude))} +lon_0={round(float(longitude))} +datum=WGS84 +units=m")
        change = coordinate_transformation(self.wkt, equal_area.ExportToWkt())
        px, py = transform_points(change, x, y)
        # shoelace formula by the two diagonals of every quadrilateral
        area = 0.5 * np.abs((px[1:, 1:] - px[:-1, :-1]) * (py[1:, :-1] - py[:-1, 1:])
                            - (px[1:, :-1] - px[:-1, 1:]) * (py[1:, 1:] - py[:-1, :-1]))
        return np.where(np.isfinite(area), np.rint(area * 1e4), 0).astype(np.int64)


def require_same(reference, grids, remedy):
    """Check that all ``grids`` (a list of (name, Grid)) equal ``reference`` (one (name, Grid) pair).

    Raises GridError naming every file that differs and in what, followed by ``remedy``.
    """
    reference_name, reference_grid = reference
    complaints = []
    for name, grid in grids:
        differences = reference_grid.differences(grid)
        if differences:
            complaints.append(f"{name} is not on the grid of {reference_name}: {'; '.join(differences)}.")
    if complaints:
        raise GridError(" ".join(complaints) + " " + remedy)


def _same_crs(wkt, other):
    if wkt == other:
        return True
    first, second = spatial_reference(wkt), spatial_reference(other)
    return bool(first.IsSame(second)) or (first.ExportToProj4().strip() == second.ExportToProj4().strip() != "")


def area_to_latitude(latitudes, major, flattening):
    """Return the area per radian of longitude from the equator to ``latitudes`` (radians) on an ellipsoid, m²."""
    sine = np.sin(latitudes)
    if flattening == 0:
        return major * major * sine
    e2 = flattening * (2 - flattening)
    e = math.sqrt(e2)
    minor2 = major * major * (1 - e2)
    return minor2 / 2 * (sine / (1 - e2 * sine * sine) + np.arctanh(e * sine) / e)
