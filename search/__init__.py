"""Optimizers, the study loop, Pareto sets."""
