"""Accuracy: matrices, intervals, tests for few values, and areas estimated from a sample."""
