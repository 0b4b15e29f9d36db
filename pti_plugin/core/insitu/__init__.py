"""Stations: files of the networks, pairs of sites, ranks, and the comparison with the map."""
