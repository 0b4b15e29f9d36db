"""Series in time: gaps, composites, and the Mann-Kendall family of trends."""
