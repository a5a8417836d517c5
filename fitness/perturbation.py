"""Sensitivity by perturbation: the divergence that each level of each group alone causes, measured one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ..core.checkpoints.open import quiet
from ..core.contracts.provider import Progress
from ..core.executors import LiveExecutor
from ..core.genome import Genome
from ..core.plan import Plan
from ..core.space import Space
from .sensitivity import Levelled, Sensitivities, built


def perturbed(
    space: Space,
    genome: Genome,
    texts: Sequence[str],
    device: torch.device | str = "cpu",
    progress: Progress = quiet,
    seed: int = 0,
    tokens: int = 512,
) -> Sensitivities:
    """As `sensitivities`, measured: a model and a forward pass for every gene and level, and no estimate.

    Args, Raises: as for `sensitivities`.
    """
    levelled = Levelled.of(space, genome, seed)
    model, pieces = built(space, levelled.plain.recipe, texts, device, tokens)
    live = LiveExecutor(model)
    live.materialise(levelled.plain)
    sequences = [torch.tensor([piece.tokens], device=device) for piece in pieces]

    def logs() -> list[torch.Tensor]:
        with torch.inference_mode():
            return [model(ids, use_cache=False).logits[0].float().log_softmax(-1) for ids in sequences]

    plain = logs()
    count = sum(one.shape[0] for one in plain)
    found: dict[str, dict[str, float]] = {gene: {} for gene in dict.fromkeys(levelled.genes.values())}
    pairs = [(gene, label) for label in levelled.plans for gene in _genes_at(levelled, label)]
    for number, (gene, label) in enumerate(pairs):
        progress(f"measuring {gene} at {label}", number, len(pairs))
        live.materialise(_only(levelled, gene, label))
        divergence = sum(float((p.exp() * (p - q)).sum()) for p, q in zip(plain, logs(), strict=True))
        found[gene][label] = max(divergence / count, 0.0)
    progress("measuring levels", len(pairs), len(pairs))
    return found


def _genes_at(levelled: Levelled, label: str) -> list[str]:
    return list(dict.fromkeys(levelled.genes[tensor.name] for tensor in levelled.at(label)))


def _only(levelled: Levelled, gene: str, label: str) -> Plan:
    changed = {tensor.name: tensor for tensor in levelled.at(label) if levelled.genes[tensor.name] == gene}
    tensors = tuple(changed.get(tensor.name, tensor) for tensor in levelled.plain.tensors)
    return replace(levelled.plain, tensors=tensors)
