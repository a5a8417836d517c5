"""Heterosis breeds a better, smaller language model out of fine-tunes that already exist.

import heterosis as ht

space = ht.Space(base="base", sources=["math", "italian"], merge=ht.Merge("ties", groups="layers:6"))
study = ht.Study("math-in-italian", space, [ht.maximize("accuracy", task="math_it.jsonl", items=20)])
study.optimize(candidates=100)
study.best().export("merged")
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Threads that spin while they wait make PyTorch ten times slower wherever another program uses the cores. It reads this
# when it is first imported; whoever has set it keeps their setting.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from .core.errors import HeterosisError
    from .core.genome import Genome
    from .core.merge_space import Merge
    from .core.quantize_space import Quantize
    from .core.recipe import Recipe
    from .core.space import Space
    from .core.study_spec import StudySpec, TaskSpec
    from .search.goals import maximize, minimize
    from .search.study import Study
    from .service.figures import plot_front, plot_history

__version__ = "0.1.0"

_HOMES = {
    "Genome": "core.genome",
    "HeterosisError": "core.errors",
    "Merge": "core.merge_space",
    "Quantize": "core.quantize_space",
    "Recipe": "core.recipe",
    "Space": "core.space",
    "Study": "search.study",
    "StudySpec": "core.study_spec",
    "TaskSpec": "core.study_spec",
    "maximize": "search.goals",
    "minimize": "search.goals",
    "plot_front": "service.figures",
    "plot_history": "service.figures",
}

__all__ = [
    "Genome",
    "HeterosisError",
    "Merge",
    "Quantize",
    "Recipe",
    "Space",
    "Study",
    "StudySpec",
    "TaskSpec",
    "maximize",
    "minimize",
    "plot_front",
    "plot_history",
]


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first used: `heterosis --help` need not wait for PyTorch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
