"""Formats: grids of values and how they are stored, a family a file."""
