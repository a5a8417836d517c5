"""Providers: checkpoints brought from elsewhere."""
