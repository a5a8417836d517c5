"""`benchmarks` is no part of the installed package: it is found in the repository's root, after everything else."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
