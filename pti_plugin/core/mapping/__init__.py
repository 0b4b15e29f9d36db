"""Prediction of the map, its area of applicability, and what drives each cell."""
