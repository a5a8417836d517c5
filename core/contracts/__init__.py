"""The plugin contracts: a small abstract class each, with shapes, units and errors in its docstring."""

from .bridge import Bridge
from .estimator import Estimator, References, Scores
from .executor import Executor
from .exporter import Exporter
from .format import Format, Grid
from .language_model import LanguageModel
from .merge_method import MergeMethod, MergeParameters, OnePassMethod, ParameterSpec
from .objective import Direction, Measured, Objective
from .optimizer import Optimizer, Proposal, Told
from .provider import Provider
from .quantizer import Calibration, Quantizer
from .scheduler import Scheduler, Standing, Work
from .statistics import Statistics
from .task import Item, Task

__all__ = [
    "Bridge",
    "Calibration",
    "Direction",
    "Estimator",
    "Executor",
    "Exporter",
    "Format",
    "Grid",
    "Item",
    "LanguageModel",
    "Measured",
    "MergeMethod",
    "MergeParameters",
    "Objective",
    "OnePassMethod",
    "Optimizer",
    "ParameterSpec",
    "Proposal",
    "Provider",
    "Quantizer",
    "References",
    "Scheduler",
    "Scores",
    "Standing",
    "Statistics",
    "Task",
    "Told",
    "Work",
]
