"""Where a PTI map lies on a page: a polar projection, a frame round the pole, and the ranks and the land within it."""

import math
from dataclasses import dataclass

import numpy as np
from osgeo import gdal, osr

from ..common.errors import InputError
from ..common.ranks import BY_CODE, CODES, NO_RANK
from ..rasters.gdal_errors import call, open_raster
from ..rasters.grid import coordinate_transformation, epsg_wkt, geographic_wkt, spatial_reference, transform_points

#: cells a side of the first look that finds how far south the ranks reach
OVERVIEW_CELLS = 1024
#: the map's southern limit is looked for no further south than this, and never north of the second
SOUTHERN_LIMITS = (25, 60)
EASE_GRID_NORTH = 6931
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


def polar_wkt(dataset, source):
    """Return the raster's CRS where it is polar with the 0° meridian down, else EASE-Grid 2.0 North's."""
    wkt = dataset.GetProjection()
    if not wkt:
        raise InputError(f"The raster {source} has no coordinate reference system; assign one before mapping it.")
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


def polar_frame(dataset, source, wkt):
    """Return the frame from the pole to the parallel (a multiple of 5°) that holds every rank of the raster."""
    pole, x, y = _pole(wkt)
    widest = _frame_to(pole, x, y, SOUTHERN_LIMITS[0])
    ranks = overview(dataset, source, widest)
    centres = (np.arange(OVERVIEW_CELLS) + 0.5) * 2 * widest.radius / OVERVIEW_CELLS - widest.radius
    furthest = np.hypot(centres[:, None], centres[None, :])[ranks != NO_RANK].max()
    south = SOUTHERN_LIMITS[1]
    while south > SOUTHERN_LIMITS[0] and _frame_to(pole, x, y, south - 1).radius < furthest:
        south -= 5
    return _frame_to(pole, x, y, south)


def frame_to(wkt, south):
    """Return the frame of a polar CRS from the pole to the parallel ``south``."""
    return _frame_to(*_pole(wkt), south)


def overview(dataset, source, frame):
    """Return a first look at the ranks within a frame (OVERVIEW_CELLS × OVERVIEW_CELLS, uint8, 0 = no rank)."""
    return ranks_within(dataset, source, frame.wkt, frame.bounds, (OVERVIEW_CELLS, OVERVIEW_CELLS), "near")


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


def _warped(dataset, source, wkt, bounds, size, resampling, **options):
    warped, failure = call(gdal.Warp, "", dataset, format="MEM", dstSRS=wkt, outputBounds=bounds, width=size[0],
                           height=size[1], resampleAlg=resampling, **options)
    if warped is None:
        raise InputError(f"The raster {source} cannot be projected for the map: {failure or 'no reason given'}.")
    return warped


def ranks_within(dataset, source, wkt, bounds, size, resampling="mode", progress=None):
    """Return the PTI codes of a raster within ``bounds`` of a CRS (rows × columns, uint8, 0 = no rank).

    ``size`` is (columns, rows). Cells without a rank take part in the majority. Raises InputError for codes that are
    no ranks, and where there is none at all, and Cancelled where ``progress`` is.
    """
    options = {} if progress is None else {"callback": lambda *_: 0 if progress.cancelled() else 1}
    nodata = dataset.GetRasterBand(1).GetNoDataValue()
    try:
        warped = _warped(dataset, source, wkt, bounds, size, resampling, srcNodata="None", dstNodata="None",
                         warpOptions=[f"INIT_DEST={NO_RANK}"], outputType=gdal.GDT_Float32, **options)
    except InputError:
        if progress is not None:
            progress.check()
        raise
    values = warped.GetRasterBand(1).ReadAsArray()
    if nodata is not None:
        values[values == np.float32(nodata)] = NO_RANK
    values[np.isnan(values)] = NO_RANK
    found = np.unique(values)
    strange = [f"{value:g}" for value in found if value != NO_RANK and value not in BY_CODE]
    if strange:
        raise InputError(f"{source} holds {', '.join(strange[:5])}, which are no PTI ranks; the map needs a PTI "
                         f"raster with the codes {', '.join(map(str, CODES))} and 0.")
    if not (found != NO_RANK).any():
        raise InputError(f"{source} holds no PTI rank within the frame of the map; there is nothing to map.")
    return values.astype(np.uint8)


def land_within(background, wkt, bounds, codes):
    """Return where ``background`` holds data, or where ``codes`` has a rank (rows × columns, bool)."""
    dataset = open_raster(background)
    if not dataset.GetProjection():
        raise InputError(f"The raster {background} has no coordinate reference system; assign one before mapping it.")
    warped = _warped(dataset, background, wkt, bounds, codes.shape[::-1], "near", dstAlpha=True)
    return (warped.GetRasterBand(warped.RasterCount).ReadAsArray() > 0) | (codes != NO_RANK)
