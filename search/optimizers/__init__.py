"""Optimizers of pymoo and Optuna behind one ask/tell contract, and random search."""
