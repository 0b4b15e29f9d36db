"""The method itself, free of QGIS. Its packages, in the order of the method; each imports only from those before it.

common      errors, progress, record, profiles, ranks, tables
rasters     grids, rasters, blocks, warping, products as published
series      composites and trends
ensembles   permafrost maps, land cover, depth means, relief, predictors by role
index       the index in ten ranks, comparison of profiles
samples     training points
assessment  accuracy, and areas estimated from samples
learning    predictor stack, classifiers, elimination of features, model file
mapping     prediction, area of applicability, drivers
insitu      stations and their comparison with the map
zonal       areas and means by zone
reporting   figures, styles, report
"""
