"""Areas and means by zone, with polygons measured on the ellipsoid."""
