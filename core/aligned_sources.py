"""The sources of a plan whose checkpoints have different vocabularies: embeddings are read in the common one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

import torch

from .alignment import AlignedCheckpoint, EmbeddingGroup
from .checkpoints import Checkpoint, SourceSet
from .checkpoints.base import promoted
from .checkpoints.token_numbers import differing_token
from .embeddings import has_row_per_token
from .errors import CheckpointError
from .genome import content_hash
from .recipe import Recipe, torch_dtype
from .slices import OutputTensor
from .tokenizer_policy import TokenizerPolicy, dump_policy
from .vocabulary import Vocabulary, common_vocabulary

Aligned: TypeAlias = Mapping[tuple[str, str], str]
"""For a tensor's name and a checkpoint's reference, under which key the aligned embedding stands among the sources."""

_POLICIES = (
    "say which vocabulary the model shall have: `tokenizer_source: union` (all tokens), `base` (the base model's), or "
    "the reference of the checkpoint whose tokenizer to take; embeddings then follow their tokens"
)


def aligned_sources(
    recipe: Recipe, tensors: Sequence[OutputTensor], sources: Mapping[str, Checkpoint]
) -> tuple[Mapping[str, Checkpoint], Aligned, Vocabulary | None]:
    """The sources with embeddings in the recipe's vocabulary among them, where they are, and that vocabulary.

    Embeddings that are in that vocabulary already are left out; without a policy, all are and there is no vocabulary.

    Raises:
        CheckpointError: vocabularies differ and the recipe has no policy; or a tokenizer does not load.
        ConfigurationError: the policy takes a token from a checkpoint that has it not.
    """
    embeddings = [tensor for tensor in tensors if tensor.place.layer is None and has_row_per_token(tensor.name)]
    if recipe.tokenizer is None:
        _check_same(recipe, embeddings, sources)
        return sources, {}, None
    merged = tuple((reference, sources[reference]) for reference in recipe.merged)
    named = tuple((reference, sources[reference]) for reference in recipe.tokenizer.references)
    vocabulary = _vocabulary(recipe.tokenizer, recipe.merged[0], merged, named)
    aligned: dict[tuple[str, str], str] = {}
    new: dict[str, Checkpoint] = {}
    forced = any(source.force for _, source in recipe.tokenizer.tokens)
    for tensor in embeddings:
        models = tensor.slice.models
        if not forced and all(vocabulary.leaves_alone(model) for model in models):
            continue
        stored = dict(zip(models, tensor.inputs, strict=True))
        dtype = _dtype(recipe, stored, sources)
        identity = [dump_policy(recipe.tokenizer), recipe.merged, stored, tensor.slice.base, str(dtype)]
        keys = {model: f"{tensor.name} of {model} [{content_hash([*identity, model])[:12]}]" for model in models}
        aligned |= {(tensor.name, model): key for model, key in keys.items()}
        if all(key in sources for key in keys.values()):
            continue
        members = {model: (sources[model], name) for model, name in stored.items()}
        group = EmbeddingGroup(vocabulary, recipe.tokenizer, members, tensor.slice.base, dtype)
        new |= {key: AlignedCheckpoint(group, model, tensor.name, key) for model, key in keys.items()}
    return _with(sources, new), aligned, vocabulary


def _with(sources: Mapping[str, Checkpoint], new: Mapping[str, Checkpoint]) -> Mapping[str, Checkpoint]:
    if not isinstance(sources, SourceSet):
        return {**sources, **new}
    for key, checkpoint in new.items():
        sources.include(key, checkpoint)
    return sources  # the same object, by which executors know that what they keep of it still holds


def _dtype(recipe: Recipe, stored: Mapping[str, str], sources: Mapping[str, Checkpoint]) -> torch.dtype:
    if recipe.dtype:
        return torch_dtype(recipe.dtype)
    return promoted(sources[model].stored_dtype(name) for model, name in stored.items())


@lru_cache(maxsize=4)
def _vocabulary(
    policy: TokenizerPolicy,
    base: str,
    merged: tuple[tuple[str, Checkpoint], ...],
    named: tuple[tuple[str, Checkpoint], ...],
) -> Vocabulary:
    return common_vocabulary(policy, base, dict(merged), dict((*merged, *named)))


def _check_same(recipe: Recipe, embeddings: Sequence[OutputTensor], sources: Mapping[str, Checkpoint]) -> None:
    for tensor in embeddings:
        read = zip(tensor.slice.models, tensor.inputs, strict=True)
        rows = {model: sources[model].tensors[name].shape[0] for model, name in read}
        if len(set(rows.values())) > 1:
            sizes = ", ".join(f"{count} tokens in {model}" for model, count in rows.items())
            raise CheckpointError(f"the vocabularies differ: {tensor.name} has {sizes}; {_POLICIES}")
    first, *others = recipe.merged
    for other in others:
        token = differing_token(sources[first].directory, sources[other].directory)
        if token is not None:
            raise CheckpointError(
                f"the vocabularies differ: {token!r} is another token in {other} than in {first}; {_POLICIES}"
            )
