"""Heterosis breeds a better, smaller language model out of fine-tunes that already exist."""

import os

# Threads that spin while they wait make PyTorch ten times slower wherever another program uses the cores. It reads this
# when it is first imported; whoever has set it keeps their setting.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
