"""Seconds to materialise a candidate, method by method, beside the memory's own speed and beside mergekit.

    python -m benchmarks.merge [--quick] [--json FILE] [--methods NAME ...] [--device cuda] [--shape 7b] [--sources 3]

SmolLM2-135M-Instruct in bfloat16 and two of the quickstart's experts are merged into a resident model, in float32
arithmetic, with other weights every time. Timed is everything between a recipe and the model (planning included). Bytes
moved are those that must be: each source read and the result written once. Beside each method the copy of a model's
bytes is timed, and the share is of its bandwidth. mergekit does the same merges in-process (its own in-memory path, in
float32 and in bfloat16, the faster counts) and from its command line. With `--shape` the models are random, of a larger
one's shape, and mergekit is left out; so it is with `--device cuda`.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from heterosis.core import registry
from heterosis.core.checkpoints import SourceSet
from heterosis.core.executors import LiveExecutor, resident_model
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe

from .bars import Bar, finish, parser
from .experts import dense_checkpoints
from .mergekit_paths import InProcess, by_command_line
from .synthetic import SHAPES, synthetic

Parameters = dict[str, Any]

PER_SOURCE: dict[str, Parameters] = {
    "linear": {},
    "task_arithmetic": {},
    "ties": {"density": 0.5},
    "dare_linear": {"density": 0.5},
    "dare_ties": {"density": 0.5},
    "breadcrumbs": {"density": 0.5},
    "breadcrumbs_ties": {"density": 0.5},
    "della_linear": {"density": 0.5},
    "della": {"density": 0.5},
    "nuslerp": {},
    "multislerp": {},
    "karcher": {},
    "model_stock": {},
    "sce": {},
    "slerp": {},
    "nearswap": {},
    "arcee_fusion": {},
    "tsv": {},
    "iso_c": {},
    "iso_cts": {},
}
QUICK = ("linear", "task_arithmetic", "ties", "dare_linear")
WITHOUT_BASE = ("linear",)
OF_ONE_SOURCE: dict[str, Parameters] = {"slerp": {"t": 0.4}, "nearswap": {"t": 0.001}, "arcee_fusion": {}}
SHARES = {"linear": 0.5, "task_arithmetic": 0.5, "ties": 0.2, "dare_linear": 0.2, "dare_ties": 0.2}
DEVICE_SHARES = {"linear": 0.6, "ties": 0.25}
RATIOS = ("linear", "task_arithmetic", "ties")
PATIENCE = 20.0
"""Seconds that a method is given for its repetitions."""
GROUPS = 5
"""Layer groups with weights of their own, of which a child changes one."""


@dataclass(frozen=True)
class Models:
    """What is merged: references, their open checkpoints, and the bytes of one model."""

    base: str
    sources: tuple[str, ...]
    checkpoints: Any
    resident: torch.nn.Module

    @property
    def nbytes(self) -> int:
        return sum(parameter.nbytes for parameter in self.resident.parameters())


def main() -> None:
    arguments = options().parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        models = synthetic_models(arguments) if arguments.shape or arguments.device != "cpu" else real(Path(folder))
        repetitions = 5 if arguments.quick else 9
        live = LiveExecutor(models.resident)
        methods = arguments.methods or (QUICK if arguments.quick else tuple(PER_SOURCE))
        with_mergekit = not (arguments.shape or arguments.device != "cpu")
        rows, bars = [], []
        for method in methods:
            print(f"{method} ...", file=sys.stderr, flush=True)
            bandwidth = copy_bandwidth(models)
            seconds = ours(live, models, method, repetitions)
            moved = (operands(models, method) + 1) * models.nbytes
            share = moved / seconds / bandwidth
            required = (DEVICE_SHARES if arguments.device != "cpu" else SHARES).get(method)
            if required is not None:
                bars.append(Bar(f"{method}: share of copy bandwidth", share, required))
            ratios = ["", ""]
            if with_mergekit and not (arguments.quick and method not in RATIOS[:2]):
                theirs = mergekit_seconds(models, method, arguments.quick)
                ratios = [f"{theirs[kind] / seconds:.0f}x" if kind in theirs else "-" for kind in ("memory", "disk")]
                if method in RATIOS:
                    bars.append(Bar(f"{method}: mergekit in-process / here", theirs["memory"] / seconds, 10))
                    bars.append(Bar(f"{method}: mergekit's command line / here", theirs["disk"] / seconds, 40))
            rows.append(
                (
                    method,
                    f"{seconds:.3f}",
                    f"{moved / 1e6:.0f}",
                    f"{moved / seconds / 1e9:.1f}",
                    f"{share:.0%}",
                    *ratios,
                )
            )
        whole, child = whole_and_child(live, models, repetitions)
        rows.append((f"child, 1 of {GROUPS} groups", f"{child:.3f}", "", "", "", "", ""))
        bars.append(Bar("task_arithmetic: full / child of one layer group", whole / child, 3))
    columns = ("method", "seconds", "MB moved", "GB/s", "of copy", "mergekit in-process", "mergekit CLI")
    title = (
        f"Materialising {models.nbytes / 1e6:.0f} MB, {len(models.sources)} sources, on {arguments.device} (medians)"
    )
    finish(title, columns, rows, bars, arguments.json)


def options() -> Any:
    found = parser(__doc__)
    found.add_argument("--device", default="cpu", help="where the models are: cpu (default) or cuda")
    found.add_argument("--methods", nargs="+", choices=tuple(PER_SOURCE), metavar="NAME", help="these only")
    found.add_argument("--shape", choices=sorted(SHAPES), help="random models of this shape, not SmolLM2")
    found.add_argument("--sources", type=int, default=2, metavar="N", help="how many random sources (default 2)")
    return found


def real(folder: Path) -> Models:
    base, experts = dense_checkpoints(folder)
    checkpoints = SourceSet(str(base), [str(expert) for expert in experts])
    return Models(
        str(base), tuple(map(str, experts)), checkpoints, resident_model(checkpoints[str(base)], torch.bfloat16)
    )


def synthetic_models(arguments: Any) -> Models:
    checkpoints, resident = synthetic(arguments.shape or "135m", arguments.sources, arguments.device)
    base, *sources = checkpoints
    return Models(base, tuple(sources), checkpoints, resident)


def configuration(models: Models, method: str, weight: Any) -> Parameters:
    """A mergekit configuration, which both read."""
    if method in OF_ONE_SOURCE:
        entries: list[Parameters] = [{"model": models.sources[0]}]
        shared = {name: value + 0.1 * value * weight for name, value in OF_ONE_SOURCE[method].items()}
    else:
        weights = (weight, 1.0 - weight) if not isinstance(weight, list) else (weight, weight)
        entries = [
            {"model": source, "parameters": {"weight": weights[number % 2], **PER_SOURCE[method]}}
            for number, source in enumerate(models.sources)
        ]
        shared = {}
    base = {} if method in WITHOUT_BASE else {"base_model": models.base}
    return {
        "merge_method": method,
        **base,
        "models": entries,
        **({"parameters": shared} if shared else {}),
        "dtype": "float32",
        "out_dtype": "bfloat16",
    }


def operands(models: Models, method: str) -> int:
    """How many models the method reads."""
    return 2 if method in OF_ONE_SOURCE else len(models.sources) + (method not in WITHOUT_BASE)


def ours(live: LiveExecutor, models: Models, method: str, repetitions: int) -> float:
    """The median of some candidates after a first; of fewer, perhaps only the first, where that takes long."""
    times: list[float] = []
    while len(times) <= repetitions and sum(times) < PATIENCE:
        times.append(build(live, models, Recipe.from_dict(accepted(models, method, 0.3 + 0.02 * len(times)))))
    return median(times) if len(times) > 1 else times[0]


def accepted(models: Models, method: str, weight: Any) -> Parameters:
    """The configuration without what this method has no parameter for."""
    content = configuration(models, method, weight)
    known = {spec.name for spec in registry.load("merge_methods", method).parameters}
    for entry in content["models"]:
        entry["parameters"] = {key: value for key, value in entry.get("parameters", {}).items() if key in known}
    return content


def build(live: LiveExecutor, models: Models, recipe: Recipe) -> float:
    synchronise(models)
    started = time.perf_counter()
    live.materialise(plan(recipe, models.checkpoints))
    synchronise(models)
    return time.perf_counter() - started


def whole_and_child(live: LiveExecutor, models: Models, repetitions: int) -> tuple[float, float]:
    """Seconds for a whole candidate and for one that differs from the one before in a fifth of the layers."""
    layers = int(models.checkpoints[models.base].config["num_hidden_layers"])
    edges = [layers * number // GROUPS for number in range(GROUPS + 1)]

    def recipe(weights: Sequence[float]) -> Recipe:
        rules = [
            {"layers": [edges[number], edges[number + 1]], "value": weight} for number, weight in enumerate(weights)
        ]
        return Recipe.from_dict(configuration(models, "task_arithmetic", [*rules, {"value": 0.5}]))

    whole, child = [], []
    weights = [0.5] * GROUPS
    for number in range(repetitions + 1):
        whole.append(
            build(live, models, Recipe.from_dict(configuration(models, "task_arithmetic", 0.31 + number / 50)))
        )
        build(live, models, recipe(weights))
        weights[number % GROUPS] += 0.01
        child.append(build(live, models, recipe(weights)))
    return median(whole), median(child)


def mergekit_seconds(models: Models, method: str, quick: bool) -> dict[str, float]:
    """mergekit's best of each way; a way is left out if mergekit has not the method."""
    from mergekit.merge_methods.registry import registered_methods

    if method not in {known.spec.name for known in registered_methods()}:
        return {}
    wanted = accepted(models, method, 0.4)
    targets = {name: target for name, target in models.resident.state_dict().items() if name != "lm_head.weight"}
    if method in ("slerp", "nearswap", "arcee_fusion"):
        wanted["models"] = [{"model": models.base}, *wanted["models"]]
    in_bfloat16 = {**wanted, "dtype": "bfloat16"}
    process = InProcess(targets, wanted)
    memory = []
    for content in (wanted, in_bfloat16):
        memory.append(process.seconds(content))
        if memory[-1] < PATIENCE / 10 and not quick:
            memory.append(process.seconds(content))
    return {"memory": min(memory), "disk": by_command_line(in_bfloat16)}


def copy_bandwidth(models: Models) -> float:
    """Bytes read and written per second when a model's bytes are copied: the median of some."""
    device = next(iter(models.resident.state_dict().values())).device
    source = torch.ones(models.nbytes // 2, dtype=torch.bfloat16, device=device)
    target = torch.empty_like(source)

    def copies() -> Iterator[float]:
        for _ in range(8):
            synchronise(models)
            started = time.perf_counter()
            target.copy_(source)
            synchronise(models)
            yield time.perf_counter() - started

    return 2 * source.nbytes / median(copies())


def median(times: Any) -> float:
    """Without the first, which warms up."""
    return statistics.median(list(times)[1:])


def synchronise(models: Models) -> None:
    if next(iter(models.resident.state_dict().values())).is_cuda:
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
