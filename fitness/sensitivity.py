"""Sensitivity: what each level of each group of weights is estimated to cost, from one backward pass."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import torch
from transformers import AutoTokenizer, PreTrainedModel

from ..core.checkpoints.open import cache_folder, quiet
from ..core.contracts.provider import Progress
from ..core.errors import CheckpointError, ConfigurationError, StorageError
from ..core.executors import LiveExecutor, resident_model
from ..core.executors.operands import Operands
from ..core.executors.quantize import calibration, quantize
from ..core.genome import Genome, content_hash
from ..core.plan import Plan, TensorPlan, plan
from ..core.recipe import Recipe, torch_dtype
from ..core.space import Space
from ..core.whole_file import whole_file
from .calibration import Piece, pieces_of
from .gathering import stored_form, stored_tensors
from .squared_gradients import squared_gradients
from .token_cache import TokenCache

Sensitivities: TypeAlias = Mapping[str, Mapping[str, float]]
"""By gene and level: nats per token, 0 or more."""

TOKENS, LENGTH = 2048, 128
_VERSION = 1


@dataclass(frozen=True)
class Levelled:
    """One merge of a space, plain and at each level.

    Attributes:
        plain: not quantised.
        plans: by label, at that level wherever it is legal.
        genes: by tensor, the gene that decides about it.
    """

    plain: Plan
    plans: Mapping[str, Plan]
    genes: Mapping[str, str]

    @classmethod
    def of(cls, space: Space, genome: Genome, seed: int = 0) -> Levelled:
        """The merge that a genome of the space stands for, with its levels left out.

        Raises:
            ConfigurationError: the space has no levels.
        """
        if space.levels is None:
            raise ConfigurationError("the space has no `quantize`, so it has no levels to be sensitive to")
        recipe = space.decode(genome, seed)
        recipe = replace(recipe, quantize=recipe.quantize.without_levels if recipe.quantize else None)
        plans = {}
        for label in space.levels.labels:
            uniform = space.levels.uniform(label)
            assert uniform is not None
            levels = space.levels.quantization(uniform, space.labelled)
            plans[label] = plan(replace(recipe, quantize=levels), space.checkpoints)
        return cls(plan(recipe, space.checkpoints), plans, space.levels.gene_of)

    def at(self, label: str) -> list[TensorPlan]:
        """The tensors that a gene decides about and that have this level."""
        found = []
        for tensor in self.plans[label].tensors:
            level = tensor.level
            if tensor.name in self.genes and (level.label if level else "none") == label:
                found.append(tensor)
        return found


def sensitivities(
    space: Space,
    genome: Genome,
    texts: Sequence[str],
    device: torch.device | str = "cpu",
    progress: Progress = quiet,
    seed: int = 0,
    tokens: int = TOKENS,
) -> Sensitivities:
    """Estimates the divergence that each level of each gene alone causes: KL(merged || merged and quantised there).

    To second order it is d F d / 2, d being the change of the weights and F the Fisher information of the merged
    model. Of F the diagonal is taken (Li et al., 2017, Fisher-weighted squared error), from one backward pass. Where
    calibration is known, F of a row is the second moments of the inputs instead, scaled to that row's share of the
    diagonal (as in K-FAC, Martens and Grosse, 2015): GPTQ trades errors of one column for those of another, which a
    diagonal takes for damage.

    The result is kept in the cache, by its contents.

    Args:
        genome: which merge of the space; its levels do not matter.
        texts: their first `tokens` tokens are run over, in pieces of 128.
        seed: of methods that merge at random.

    Raises:
        ConfigurationError: the space has no levels, or the texts are too short.
        CheckpointError: the tokenizer does not load.
        MaterialiseError: a level cannot be had with these numbers.
    """
    levelled = Levelled.of(space, genome, seed)
    target = cache_folder() / "sensitivity" / f"{_identity(levelled, texts, tokens)[:32]}.json"
    if target.exists():
        found: Sensitivities = json.loads(target.read_text(encoding="utf-8"))
        return found
    model, pieces = built(space, levelled.plain.recipe, texts, device, tokens)
    sequences = [torch.tensor([piece.tokens], device=device) for piece in pieces]
    squares = stored_form(model, squared_gradients(model, sequences, progress))
    found = _estimated(levelled, squares, stored_tensors(model), progress)
    _write(found, target)
    return found


def built(
    space: Space, recipe: Recipe, texts: Sequence[str], device: torch.device | str, tokens: int
) -> tuple[PreTrainedModel, list[Piece]]:
    """The model that a recipe of the space describes, and texts as it reads them.

    Raises:
        CheckpointError: the tokenizer does not load.
        ConfigurationError: the texts are too short.
    """
    base = space.checkpoints[space.base]
    model = resident_model(base, torch_dtype(space.out_dtype), device)
    assert isinstance(model, PreTrainedModel)
    try:
        tokenizer = AutoTokenizer.from_pretrained(base.directory, local_files_only=True, trust_remote_code=False)
    except (ValueError, OSError) as error:
        raise CheckpointError(f"the tokenizer of {space.base} does not load: {error}") from error
    pieces = pieces_of(list(texts), TokenCache(model, tokenizer), tokens, LENGTH)
    LiveExecutor(model).materialise(plan(recipe, space.checkpoints))
    return model, pieces


def _estimated(
    levelled: Levelled, squares: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor], progress: Progress
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {gene: {} for gene in levelled.genes.values()}
    operands = Operands(levelled.plain.sources)
    whole = len(levelled.plans) * sum(weights[name].nbytes for name in levelled.genes)
    done = 0
    for label in levelled.plans:
        what = f"what {label} costs each group of weights"
        for tensor in levelled.at(label):
            progress(what, done, whole)
            of_gene = found[levelled.genes[tensor.name]]
            weight = weights[tensor.name].detach()
            of_gene[label] = of_gene.get(label, 0.0) + _error(tensor, weight, squares[tensor.name], operands)
            done += weight.nbytes
    progress("what levels cost", whole, whole)
    return found


def _error(tensor: TensorPlan, weight: torch.Tensor, square: torch.Tensor, operands: Operands) -> float:
    if tensor.quantize is None:
        return 0.0
    change = quantize(tensor, weight, operands).dequantize(weight.dtype).float() - weight.float()
    known = calibration(tensor, operands)
    if known is None:
        return float((square.to(change) * change.square()).sum()) / 2
    gram = known.gram.to(change)
    rows = square.to(change).sum(1) / gram.diagonal().sum().clamp_min(torch.finfo(torch.float32).tiny)
    return max(float(rows @ ((change @ gram) * change).sum(1)), 0.0) / 2


def _identity(levelled: Levelled, texts: Sequence[str], tokens: int) -> str:
    plans = {label: [tensor.hash for tensor in levelled.at(label)] for label in levelled.plans}
    plain = [tensor.hash for tensor in levelled.plain.tensors]
    models = {reference: source.fingerprint for reference, source in levelled.plain.sources.items()}
    return content_hash([_VERSION, plain, plans, dict(levelled.genes), models, list(texts), tokens, LENGTH])


def _write(found: Sensitivities, target: Path) -> None:
    try:
        with whole_file(target) as partial:
            partial.write_text(json.dumps(found), encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"writing {target} failed ({error}) and nothing was kept; free some space, or set HETEROSIS_CACHE to a "
            "folder on another disk"
        ) from error
