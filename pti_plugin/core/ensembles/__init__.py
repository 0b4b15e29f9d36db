"""Ensembles of permafrost maps and of land cover, means over depth, relief, the predictors by role."""
