"""Estimators: a score on all items from responses to few. One file each; see `core/contracts/estimator.py`."""
