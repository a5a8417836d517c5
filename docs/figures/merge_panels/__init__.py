"""The panels of docs/figures/merge_methods.py, a module for each sheet."""
