"""The method itself, free of QGIS: grids and rasters, ensembles, trends, ranks, learning, validation, report.

Modules import one way, down the order of the method; nothing here may import ``qgis``.
"""
