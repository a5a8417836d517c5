"""The checkpoints that benchmarks merge: SmolLM2-135M-Instruct and two experts of the quickstart as full models."""

from __future__ import annotations

from pathlib import Path

from heterosis.core.executors import write_model
from heterosis.core.plan import plan
from heterosis.core.study_spec import StudySpec

QUICKSTART = Path(__file__).parent.parent / "examples" / "quickstart.yaml"
EXPERTS = ("italian", "addition")


def dense_checkpoints(folder: Path) -> tuple[Path, list[Path]]:
    """The base, and the experts as full bfloat16 checkpoints in `folder` (mergekit would else make them every time)."""
    space = StudySpec.from_file(QUICKSTART).space
    checkpoints = space.checkpoints
    experts = []
    for expert in EXPERTS:
        alone = space.references()[expert]
        write_model(plan(alone, checkpoints), folder / expert)
        experts.append(folder / expert)
    return checkpoints[space.base].directory, experts
