"""Grids, rasters, blocks, warping, products as published: all between a file and the numbers of a cell."""
