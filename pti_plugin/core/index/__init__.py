"""The Permafrost Thaw Index in ten ranks, and what changes between profiles or without a product."""
