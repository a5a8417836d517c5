"""Runs a candidate as it would ship: exported for the study's target, loaded in its engine, measured, and removed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..core import registry
from ..core.errors import ConfigurationError
from ..core.plan import Plan
from ..core.quantization.projection import plan_for
from ..core.quantization.target import NO_TARGET
from ..core.space import Space
from ..core.study_spec import StudySpec
from .engine_figures import EngineFigures, measure_engine


def uses_engine(spec: StudySpec) -> bool:
    """Whether an objective, or what is watched, is measured in the engine of the study's target."""
    return _asking(spec) is not None


def check_engine(spec: StudySpec) -> None:
    """Whether candidates can be run, where an objective needs that; no checkpoint is opened.

    Raises:
        ConfigurationError: nothing is quantised, or for no target; its engine is not installed here; fitness is
            estimated.
    """
    asking = _asking(spec)
    if asking is None:
        return
    quantize = spec.space.quantize
    if quantize is None:
        raise ConfigurationError(
            f"the objective {asking!r} is measured in the engine of the target of `space.quantize`, and the space has "
            "no `quantize`: add it, or choose another objective"
        )
    exporter = quantize.legal.exporter
    if exporter is None:
        raise ConfigurationError(
            f"the objective {asking!r} is measured in the engine of the target, and `space.quantize` has the target "
            f"{NO_TARGET!r}: choose one that has an engine, such as compressed-tensors or gguf"
        )
    if (missing := exporter.missing()) is not None:
        raise ConfigurationError(
            f"the objective {asking!r} is measured in the engine of the target {quantize.target!r}: {missing}"
        )
    if spec.fitness is not None:
        raise ConfigurationError(
            f"the objective {asking!r} is measured where a candidate is asked everything, and with estimated fitness "
            "few are: say `fitness: full` (--fitness full)"
        )


def run_candidate(planned: Plan, space: Space) -> EngineFigures:
    """Exports a planned model for the target of the space's quantisation, runs it in a process of its own on the CPU,
    and removes it.

    What is quantised for another target, or not at all (a source), is exported as `heterosis export` would do it.

    Raises:
        MaterialiseError: the weights are not finite.
        StorageError: the disk of temporary files is full, or refuses.
        EvaluationError: what was written does not load or run.
    """
    target, recipe = target_name(space), planned.recipe
    if recipe.quantize is None or recipe.quantize.target != target:
        planned, _ = plan_for(recipe, space.checkpoints, target)
    with tempfile.TemporaryDirectory(prefix="heterosis-") as parent:
        folder = Path(parent) / "candidate"
        registry.load("exporters", target)().write(planned, folder)
        return measure_engine(target, folder)


def target_name(space: Space) -> str:
    """What candidates are run in, of a space that `check_engine` let pass."""
    assert space.quantize is not None
    return space.quantize.target


def _asking(spec: StudySpec) -> str | None:
    """The name of the first objective that needs an engine."""
    names = (objective.name for objective in (*spec.objectives, *spec.watch))
    return next((name for name in names if registry.load("objectives", name).uses_engine), None)
