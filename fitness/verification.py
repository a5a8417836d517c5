"""The gate of exports: what was written is reloaded, compared with the simulated candidate and measured, or is gone."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..core.contracts import Exporter
from ..core.contracts.target import QuantizingExporter
from ..core.errors import CheckpointError, EvaluationError
from ..core.executors import LiveExecutor, resident_model
from ..core.executors.tokenizer import write_tokenizer
from ..core.plan import Plan
from .engine_figures import EngineFigures, measure_engine, weight_bytes

MOST_PERPLEXITY_CHANGE = 1e-3
_MOST_TOKENS = 96
_TEXTS = (
    "The quick brown fox jumps over the lazy dog, and then it sleeps under an old tree until the evening comes.",
    "A train leaves the station at seven and arrives two hours later. How far is that at ninety miles an hour?",
    "def area(width, height):\n    return width * height\n\nprint(area(3, 4))",
)


def write_export(
    exporter: Exporter, plan: Plan, directory: Path, verify: bool = True, known: EngineFigures | None = None
) -> EngineFigures | None:
    """Writes a planned model; what was measured of it, if it is quantised for this exporter and to be verified.

    Args:
        known: what was measured of it before, and need not be again.

    Raises as `export_verified` does.
    """
    if verify and isinstance(exporter, QuantizingExporter) and any(tensor.level for tensor in plan.tensors):
        found = export_verified(exporter, plan, directory, measure=known is None)
        return found if known is None else known
    exporter.write(plan, directory)
    return None


def export_verified(exporter: QuantizingExporter, plan: Plan, directory: Path, measure: bool = True) -> EngineFigures:
    """Writes a planned model, and gives it its name only when it has been found to be the simulated one.

    Args:
        measure: whether it is also run, in a process of its own, for its speed and memory.

    Raises:
        ConfigurationError, StorageError, MaterialiseError: see `Exporter.write`; nothing is left.
        EvaluationError: what was written does not load, or is not the simulated model (with the tensor or figure that
            differs); nothing is left.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        exporter.write(plan, directory)  # which refuses
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as parent:
        partial = Path(parent) / directory.name
        exporter.write(plan, partial)
        verify(exporter, plan, partial)
        found = measure_engine(exporter.name, partial) if measure else EngineFigures(weight_bytes(partial))
        if directory.exists():
            shutil.rmtree(directory)  # an empty folder, which some systems do not rename onto
        os.replace(partial, directory)
    return found


def verify(exporter: QuantizingExporter, plan: Plan, directory: Path) -> None:
    """Reloads what an exporter wrote and compares it with the plan.

    Raises:
        EvaluationError: a size, a tensor, the logits or the perplexity is not the one foretold.
    """
    foretold, written = exporter.nbytes(plan), weight_bytes(directory)
    if foretold != written:
        raise _mismatch(exporter, f"its weight files have {written:,} bytes, and {foretold:,} were foretold")
    try:
        loaded: Any = exporter.load(directory)
    except CheckpointError as error:
        raise _mismatch(exporter, str(error)) from error
    simulated = _simulated(plan)
    texts = _token_ids(plan)
    if exporter.exact:
        _compare_logits(exporter, simulated, loaded, texts)
    else:
        _compare_perplexity(exporter, simulated, loaded, texts)


def _simulated(plan: Plan) -> Any:
    floating = [tensor.info for tensor in plan.tensors if tensor.info.dtype.is_floating_point]
    dtype = max(floating, key=lambda info: info.elements).dtype
    model = resident_model(plan.template, dtype, config=plan.config)
    LiveExecutor(model).materialise(plan)
    return model


def _compare_logits(exporter: QuantizingExporter, simulated: Any, loaded: Any, texts: Sequence[torch.Tensor]) -> None:
    ours, theirs = _logits(simulated, texts), _logits(loaded, texts)
    most = max((one.float() - other.float()).abs().max().item() for one, other in zip(ours, theirs, strict=True))
    if most == 0:
        return
    raise _mismatch(exporter, f"logits differ by up to {most:g} when it is reloaded{_culprit(simulated, loaded)}")


def _compare_perplexity(
    exporter: QuantizingExporter, simulated: Any, loaded: Any, texts: Sequence[torch.Tensor]
) -> None:
    # Engines may give weights digits that the candidate's dtype has not; and in few digits arithmetic itself is noisy.
    dtype = simulated.dtype
    for parameter in (*simulated.parameters(), *loaded.parameters()):
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype).float()
    ours, theirs = (_perplexity(_logits(model, texts), texts) for model in (simulated, loaded))
    if not abs(theirs / ours - 1) <= MOST_PERPLEXITY_CHANGE:
        what = f"its perplexity is {theirs:.6g} when reloaded, and was {ours:.6g}"
        raise _mismatch(exporter, what + _culprit(simulated, loaded))


def _culprit(simulated: Any, loaded: Any) -> str:
    """The weight that has changed most, relative to its size."""
    weights = loaded.state_dict()
    changes = {
        name: ((weights[name].float() - weight.float()).norm() / weight.float().norm().clamp_min(1e-9)).item()
        for name, weight in simulated.state_dict().items()
        if name in weights and weights[name].shape == weight.shape and weights[name].is_floating_point()
    }
    name = max(changes, key=lambda one: changes[one])
    if changes[name]:
        return f", {name} by {changes[name]:.2%} of its norm"
    codes = any(not weight.is_floating_point() for weight in weights.values())
    return ", though no weight does" + (" that is not in codes" if codes else "")


def _logits(model: Any, texts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    with torch.inference_mode():
        return [model(ids).logits for ids in texts]


def _perplexity(logits: Sequence[torch.Tensor], texts: Sequence[torch.Tensor]) -> float:
    losses = [
        torch.nn.functional.cross_entropy(found[0, :-1].float(), ids[0, 1:], reduction="none")
        for found, ids in zip(logits, texts, strict=True)
    ]
    return math.exp(torch.cat(losses).mean().item())


def _token_ids(plan: Plan) -> list[torch.Tensor]:
    """A few texts, each of shape (1, tokens)."""
    from transformers import AutoTokenizer

    most = min(_MOST_TOKENS, int(plan.config.get("max_position_embeddings") or _MOST_TOKENS))
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(plan, Path(folder))
        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (ValueError, OSError):  # checkpoints without one can be merged too
            return [torch.arange(most)[None] * 7 % int(plan.config["vocab_size"])]
    return [torch.tensor([tokenizer(text)["input_ids"][:most]]) for text in _TEXTS]


def _mismatch(exporter: QuantizingExporter, reason: str) -> EvaluationError:
    return EvaluationError(
        f"the {exporter.name} export is not the model that was measured, and was not kept: {reason}. "
        "That is a fault of the exporter or of its engine's version, not of the candidate"
    )
