"""Heterosis breeds a better, smaller language model out of fine-tunes that already exist."""

__version__ = "0.1.0"
