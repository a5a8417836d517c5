"""Bit-widths: levels, the groups of weights that share one, what targets allow, budgets."""
