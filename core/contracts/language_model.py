"""What a task may ask of a model: log-likelihoods and greedy text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ..errors import EvaluationError


class LanguageModel(ABC):
    """A resident model with its tokenizer. Log-likelihoods are natural logarithms, summed over tokens."""

    @abstractmethod
    def choice_log_likelihoods(self, requests: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """For each (prompt, continuations): log P(continuation | prompt) of every continuation, in order.

        Prompt and continuation are tokenised apart. Raises EvaluationError if one is empty or too long for the model.
        """

    @abstractmethod
    def generate(self, prompts: Sequence[str], max_tokens: int, stop: Sequence[str] = ()) -> list[str]:
        """Greedy continuation of each prompt: at most `max_tokens` tokens, cut before the first of `stop`."""

    @abstractmethod
    def text_log_likelihoods(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """For each text: log-likelihood of its tokens after the first, and how many those are."""

    def divergences(self, texts: Sequence[str], reference: str, top: int) -> list[tuple[float, int]]:
        """For each text: how far the model is from another, summed over its tokens after the first; how many those are.

        At each token it is the Kullback-Leibler divergence KL(reference || model) of what the two expect there, in
        nats, with all tokens but the `top` that the reference expects most counted as one: a lower bound of the
        divergence over the whole vocabulary, and the same if `top` is that large.

        Args:
            reference: as `Task.reference` says it.
            top: at least 1.

        Raises:
            EvaluationError: the model has nothing to compare with.
        """
        raise EvaluationError(f"a {type(self).__name__} has no reference to compare with")
