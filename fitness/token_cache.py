"""Texts to tokens: each text once, prompt and continuation apart."""

from __future__ import annotations

from functools import lru_cache

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..core.errors import EvaluationError

_TEXTS = 1 << 16
"""How many texts are remembered: the same items are asked of hundreds of candidates."""


class TokenCache:
    """Tokenises for one model.

    Attributes:
        limit: how many tokens the model has positions for, or None if it sets no limit.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.limit: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._encode = lru_cache(maxsize=_TEXTS)(self._encode_afresh)

    def prompt(self, text: str) -> tuple[int, ...]:
        """Token ids of the start of a sequence, with the special tokens that the tokenizer puts in front.

        Raises:
            EvaluationError: the text is empty.
        """
        return self._some(text, True, text)

    def continuation(self, text: str, prompt: str) -> tuple[int, ...]:
        """Token ids of what follows `prompt`, with no special tokens.

        Raises:
            EvaluationError: the text is empty.
        """
        return self._some(text, False, prompt)

    def check_length(self, tokens: int, item: str) -> None:
        """Raises EvaluationError, naming `item`, if the model has no positions for so many tokens."""
        if self.limit is not None and tokens > self.limit:
            raise EvaluationError(
                f"{tokens} tokens do not fit the model's {self.limit} positions; shorten or drop the item {short(item)}"
            )

    def _some(self, text: str, start: bool, item: str) -> tuple[int, ...]:
        tokens = self._encode(text, start) if text else ()
        if not tokens:
            what = "prompt" if start else "continuation"
            raise EvaluationError(f"the {what} {text!r} has no tokens, in the item {short(item)}")
        return tokens

    def _encode_afresh(self, text: str, start: bool) -> tuple[int, ...]:
        bos, eos = self._tokenizer.bos_token, self._tokenizer.eos_token
        # a prompt from a chat template brings its own first token: a second one would be read as text
        special = start and not (isinstance(bos, str) and text.startswith(bos))
        tokens = self._tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
        # some tokenizers close what they encode, and nothing would follow a closed prompt
        if special and isinstance(eos, str) and tokens[-1:] == [self._tokenizer.eos_token_id]:
            tokens = tokens if text.endswith(eos) else tokens[:-1]
        return tuple(tokens)


def short(text: str, characters: int = 80) -> str:
    """The text in quotes, cut in its middle if it is long: enough to find an item by."""
    if len(text) > characters:
        text = f"{text[: characters // 2]} ... {text[-characters // 2 :]}"
    return repr(text)
