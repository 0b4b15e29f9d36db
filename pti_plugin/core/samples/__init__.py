"""Training points by class, with exact spacing and edge buffers."""
