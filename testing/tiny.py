"""Tiny random causal language models and a tiny tokenizer, built in memory: for tests, ours and a plugin author's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from ..core.errors import ConfigurationError, did_you_mean

VOCABULARY = 384
_SPECIAL = ("<pad>", "<s>", "</s>")
_CORPUS = (
    "the quick brown fox jumps over the lazy dog and the dog sleeps",
    "one two three four five six seven eight nine ten eleven twelve",
    "question answer question answer what is the capital of the country",
    "every good boy deserves fudge while nobody knows where summer went",
)
_COMMON: Mapping[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    # the usual 0.02 gives logits so alike that neither scores nor greedy text would tell right from wrong
    "initializer_range": 0.15,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GROUPED: Mapping[str, Any] = {**_COMMON, "num_key_value_heads": 2}
_FAMILIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("llama", _GROUPED),
    "qwen2": ("qwen2", {**_GROUPED, "tie_word_embeddings": True}),
    "qwen3": ("qwen3", {**_GROUPED, "head_dim": 16}),
    "gemma3": (
        "gemma3_text",
        {
            **_GROUPED,
            "head_dim": 16,
            "query_pre_attn_scalar": 16,
            "sliding_window": 64,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
            "final_logit_softcapping": 5.0,
        },
    ),
    "mistral": ("mistral", {**_GROUPED, "head_dim": 12, "sliding_window": 64}),
    "gpt_neox": ("gpt_neox", {**_COMMON, "rotary_pct": 0.5}),
    "phi3": ("phi3", _GROUPED),
    "mixtral": ("mixtral", {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2}),
}
FAMILIES: tuple[str, ...] = tuple(_FAMILIES)


def tiny_model(family: str = "llama", seed: int = 0, **overrides: Any) -> PreTrainedModel:
    """A random float32 model of a family on the CPU: 3 layers, hidden size 48, 384 tokens, 128 positions.

    The same family, seed and overrides always give the same weights; the global random state is left as it was.

    Args:
        family: one of `FAMILIES`.
        seed: of the weights.
        overrides: fields of the family's configuration class.

    Raises:
        ConfigurationError: the family is unknown.
    """
    if family not in _FAMILIES:
        raise ConfigurationError(f"there is no tiny model {family!r}. {did_you_mean(family, _FAMILIES)}")
    model_type, fields = _FAMILIES[family]
    config = CONFIG_MAPPING[model_type](**{**fields, **overrides})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    model.eval()  # type: ignore[no-untyped-call]
    return model


def tiny_tokenizer(add_bos: bool = True) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of `VOCABULARY` tokens: any text in, the same text out.

    `<pad>`, `<s>` and `</s>` are tokens 0, 1 and 2. With `add_bos`, special tokens are a `<s>` in front, as in Llama.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    if add_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
        )
    special = dict(zip(("pad_token", "bos_token", "eos_token"), _SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **special)  # type: ignore[no-untyped-call]
