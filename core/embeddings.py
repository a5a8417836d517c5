"""Which tensors have a row for every token, told from their names: the embeddings of input and output."""

from __future__ import annotations

_INPUT = {"embed_tokens", "wte", "embed_in", "word_embeddings", "tok_embeddings"}
_OUTPUT = {"lm_head", "embed_out", "output"}
_BEFORE_THE_LAYERS = {"wpe", "embed_positions", "word_embeddings_layernorm", "embeddings"}


def _module(name: str) -> str:
    return name.rpartition(".")[0].rpartition(".")[2]


def is_input_embedding(name: str) -> bool:
    """Whether the tensor has a row for every token that goes into the model."""
    return _module(name) in _INPUT


def is_output_embedding(name: str) -> bool:
    """Whether the tensor has a row (or a bias) for every token that comes out of the model."""
    return _module(name) in _OUTPUT


def embeds_input(name: str) -> bool:
    """Whether a tensor outside the layers stands before the first of them, and not after the last."""
    return is_input_embedding(name) or any(part in _BEFORE_THE_LAYERS for part in name.split("."))


def has_row_per_token(name: str) -> bool:
    """Whether the tensor is an embedding of input or output."""
    return is_input_embedding(name) or is_output_embedding(name)
