"""Which vocabulary the model to be built gets, where its sources have different ones (mergekit's `tokenizer`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ConfigurationError
from .parsing import check_keys, mapping_of, text_of, whole_number_of
from .recipe_parts import parse_reference

UNION, BASE = "union", "base"


@dataclass(frozen=True)
class TokenSource:
    """Where the embedding of one token comes from.

    Attributes:
        model: the checkpoint that gives it; None for zeros.
        token, token_id: another of that checkpoint's tokens to take it from; at most one is given.
        force: whether models that have the token get this embedding too.
    """

    model: str | None
    token: str | None = None
    token_id: int | None = None
    force: bool = False


@dataclass(frozen=True)
class TokenizerPolicy:
    """The vocabulary of the model to be built.

    Attributes:
        source: `union` (the base's tokens, then what the others add), `base`, or a checkpoint's reference.
        tokens: tokens that must be there, each with where its embedding comes from.
        pad_to_multiple_of: the embeddings get rows until their number is a multiple of this.
    """

    source: str = UNION
    tokens: tuple[tuple[str, TokenSource], ...] = ()
    pad_to_multiple_of: int | None = None

    @property
    def references(self) -> list[str]:
        """The checkpoints that are named."""
        named = [] if self.source in (UNION, BASE) else [self.source]
        return [*named, *(source.model for _, source in self.tokens if source.model is not None)]


def parse_policy(content: Mapping[str, Any], origin: str) -> TokenizerPolicy | None:
    """Reads a recipe's `tokenizer_source` or `tokenizer`; None if it has neither."""
    short, whole = content.get("tokenizer_source"), content.get("tokenizer")
    if short is not None and whole is not None:
        raise ConfigurationError(f"{origin}: give `tokenizer_source` or `tokenizer`, not both")
    if short is not None:
        return TokenizerPolicy(parse_reference(short, f"{origin}: `tokenizer_source`"))
    if whole is None:
        return None
    where = f"{origin}: `tokenizer`"
    found = mapping_of(whole, where)
    check_keys(found, ("source", "tokens", "pad_to_multiple_of"), where)
    tokens = mapping_of(found.get("tokens") or {}, f"{where}: `tokens`")
    multiple = found.get("pad_to_multiple_of")
    return TokenizerPolicy(
        parse_reference(found.get("source", UNION), f"{where}: `source`"),
        tuple((token, _parse_token(entry, f"{where}: {token!r}")) for token, entry in tokens.items()),
        None if multiple is None else whole_number_of(multiple, f"{where}: `pad_to_multiple_of`", 1),
    )


def dump_policy(policy: TokenizerPolicy | None) -> dict[str, Any]:
    """What `parse_policy` reads back, as entries of a recipe."""
    if policy is None:
        return {}
    if policy == TokenizerPolicy(policy.source):
        return {"tokenizer_source": policy.source}
    content: dict[str, Any] = {"source": policy.source}
    if policy.tokens:
        content["tokens"] = {token: _dump_token(source) for token, source in policy.tokens}
    if policy.pad_to_multiple_of is not None:
        content["pad_to_multiple_of"] = policy.pad_to_multiple_of
    return {"tokenizer": content}


def _parse_token(content: Any, where: str) -> TokenSource:
    found = mapping_of(content, where)
    check_keys(found, ("source", "force"), where)
    force = found.get("force", False)
    if not isinstance(force, bool):
        raise ConfigurationError(f"{where}: `force` must be true or false, not {force!r}")
    source = found.get("source")
    if not isinstance(source, dict) or "kind" not in source:
        return TokenSource(parse_reference(source, f"{where}: `source`"), force=force)
    if source["kind"] == "zero":
        check_keys(source, ("kind",), where)
        return TokenSource(None, force=force)
    if source["kind"] != "model_token":
        raise ConfigurationError(f"{where}: the `kind` of a source is `zero` or `model_token`, not {source['kind']!r}")
    check_keys(source, ("kind", "model", "token", "token_id"), where)
    token, token_id = source.get("token"), source.get("token_id")
    if (token is None) == (token_id is None):
        raise ConfigurationError(f"{where}: give either `token` or `token_id` of the model to take it from")
    return TokenSource(
        parse_reference(source.get("model"), f"{where}: `model`"),
        None if token is None else text_of(token, f"{where}: `token`"),
        None if token_id is None else whole_number_of(token_id, f"{where}: `token_id`", 0),
        force,
    )


def _dump_token(source: TokenSource) -> dict[str, Any]:
    content: dict[str, Any] | str
    if source.model is None:
        content = {"kind": "zero"}
    elif source.token is None and source.token_id is None:
        content = source.model
    else:
        of = {"token_id": source.token_id} if source.token is None else {"token": source.token}
        content = {"kind": "model_token", "model": source.model, **of}
    return {"source": content, **({"force": True} if source.force else {})}
