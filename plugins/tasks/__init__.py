"""Tasks: items with a scoring rule."""
