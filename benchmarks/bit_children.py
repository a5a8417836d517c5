"""Seconds for a generation of bit-width children, and for evaluating each of them from scratch, on SmolLM2-135M.

    python -m benchmarks.bit_children [--quick] [--json FILE]

A parent has levels drawn for each group of weights (round to nearest and GPTQ, 3, 4 and 8 bits); each child swaps
levels within pairs of its groups, one to three times, which keeps a budget. Asked are items of the quickstart's
tasks, and the divergence from the unquantised merge on a text. From scratch, a child meets a resident model that
holds nothing, no store and no kept activations. The generation comes after its parent in the same evaluator, as in a
search: tensors that the resident model holds already are left alone, others are looked for in the tensor store, and
passes start where the children differ from what was computed. Each of these is switched on in turn (`--quick`: all at
once). The last row is another worker of the machine, which finds its tensors in the store. Loading the model is in none
of the figures, kernels are compiled before, and all ways must give the same scores, bit for bit.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import transformers
from heterosis.core.executors.tensor_store import VARIABLE
from heterosis.core.genome import Genome
from heterosis.core.quantize_space import Quantize
from heterosis.core.recipe import Recipe
from heterosis.core.space import Space
from heterosis.core.study_spec import ObjectiveSpec, StudySpec, TaskSpec
from heterosis.fitness.evaluator import Evaluation, Evaluator

from .bars import Bar, finish, parser
from .experts import QUICKSTART

LEVELS = tuple(f"{quantizer}int{bits}-g64" for quantizer in ("", "gptq:") for bits in (3, 4, 8))
ITEMS_EACH = 7
TEXT = QUICKSTART.parent.parent / "docs" / "study-file.md"
CHARACTERS, MOST_PIECES = 1000, 8
BOUND = 1 / 3
ALL = "and the store"
ORDER = ("from scratch", "resident model", "and kept activations", ALL, "another worker, filled store")


def main() -> None:
    arguments = parser(__doc__).parse_args()
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    count = 2 if arguments.quick else 10
    with tempfile.TemporaryDirectory() as folder:
        spec = study(Path(folder), 2 if arguments.quick else MOST_PIECES)
        parent, *children = family(spec.space, count)
        store = str(Path(folder) / "store")
        # their parents compile the kernels and gather the statistics that the others need, too
        runs = {ALL: evaluated(spec, children, parent, store, prefixes=True)}
        if not arguments.quick:
            runs["another worker, filled store"] = evaluated(spec, children, None, store, prefixes=True)
            runs["resident model"] = evaluated(spec, children, parent, None, prefixes=False)
            runs["and kept activations"] = evaluated(spec, children, parent, None, prefixes=True)
        alone = [evaluated(spec, [child], None, None, prefixes=False) for child in children]
        scratch = runs["from scratch"] = Run([one for run in alone for one in run.evaluations])
        for name, run in runs.items():
            if [one.scores for one in run.evaluations] != [one.scores for one in scratch.evaluations]:
                raise SystemExit(f"{name}: other scores than from scratch")
    rows = [row(name, runs[name], scratch) for name in ORDER if name in runs]
    bars = [Bar("a child of the generation / from scratch", runs[ALL].seconds / scratch.seconds, at_most=BOUND)]
    columns = ("way", "build s", "score s", "child s", "of scratch", "layers skipped", "tensors found")
    finish(f"Seconds per child, {count} children of one parent, same scores", columns, rows, bars, arguments.json)


class Run(NamedTuple):
    """Attributes: `skipped`, the share of layers that passes did not compute; `found`, tensors read from the store."""

    evaluations: Sequence[Evaluation]
    skipped: float = 0.0
    found: int = 0

    def of(self, phase: str) -> float:
        return sum(one.seconds[phase] for one in self.evaluations) / len(self.evaluations)

    @property
    def seconds(self) -> float:
        return self.of("merge") + self.of("score")


def evaluated(
    spec: StudySpec, children: Sequence[Recipe], parent: Recipe | None, store: str | None, prefixes: bool
) -> Run:
    """What comes of the children in an evaluator of their own, after their parent, if there is one."""
    os.environ[VARIABLE] = store or "off"
    evaluator = Evaluator(spec)
    model, live = evaluator._model, evaluator._live
    if not prefixes:
        model.prefixes = None
    if parent is not None:
        evaluator.evaluate(parent, "search")
    layers, skipped = (model.prefixes.layers, model.prefixes.skipped) if model.prefixes else (0, 0)
    found = live.store.found if live.store else 0
    evaluations = [evaluator.evaluate(child, "search") for child in children]
    if model.prefixes:
        skipped, layers = model.prefixes.skipped - skipped, model.prefixes.layers - layers
    return Run(evaluations, skipped / max(layers, 1), live.store.found - found if live.store else 0)


def row(name: str, run: Run, scratch: Run) -> tuple[str, ...]:
    seconds = (f"{run.of('merge'):.2f}", f"{run.of('score'):.2f}", f"{run.seconds:.2f}")
    return (name, *seconds, f"{run.seconds / scratch.seconds:.3f}", f"{run.skipped:.0%}", str(run.found))


def study(folder: Path, pieces: int) -> StudySpec:
    """The quickstart's merge with levels to be chosen, its tasks, and the divergence on a text."""
    own = StudySpec.from_file(QUICKSTART)
    text = TEXT.read_text(encoding="utf-8")[: pieces * CHARACTERS]
    (folder / "text.txt").write_text(text, encoding="utf-8")
    calibration = own.folder / own.tasks["italian"].files["search"]
    quantize = Quantize(levels=LEVELS, calibration=str(calibration))
    space = Space(own.space.base, own.space.labelled, own.space.merge, own.folder, quantize)
    tasks = {
        name: TaskSpec(task.type, files={"search": task.files["search"]}, items=ITEMS_EACH)
        for name, task in own.tasks.items()
    }
    options = {"characters": CHARACTERS}
    tasks["divergence"] = TaskSpec("divergence", files={"search": str(folder / "text.txt")}, options=options)
    objective = ObjectiveSpec("divergence", "minimize", ("divergence",))
    return StudySpec("bit children", space, tasks, (objective,), folder=own.folder)


def family(space: Space, count: int) -> list[Recipe]:
    """A parent, and `count` children that differ from it in one to three pairs of groups of the same kind."""
    random = np.random.default_rng(0)
    parent: dict[str, str | float] = {
        gene.name: str(random.choice(LEVELS)) if gene.name.startswith("level/") else 0.5 for gene in space.genes
    }
    children: list[dict[str, str | float]] = []
    while len(children) < count:
        child = dict(parent)
        for _ in range(random.integers(1, 4)):
            kinds = sorted({name.split("/")[1] for name in child if name.startswith("level/")})
            kind = kinds[random.integers(len(kinds))]
            places = [name for name in child if name.startswith(f"level/{kind}/")]
            one, other = random.choice(places, 2, replace=False)
            child[one], child[other] = child[other], child[one]
        if child != parent:
            children.append(child)
    return [space.decode(Genome(values)) for values in (parent, *children)]


if __name__ == "__main__":
    main()
