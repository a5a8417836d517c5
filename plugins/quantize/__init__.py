"""Quantisers: how codes and scales are chosen, one small file each."""
