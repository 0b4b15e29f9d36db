"""Figures, styles, and the report as page and on paper."""
