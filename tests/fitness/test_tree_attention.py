import copy
import logging

import pytest
import torch
from heterosis.fitness.transformers_model import TransformersModel
from heterosis.fitness.tree_attention import deepest_tree, reads_trees
from heterosis.testing.tiny import FAMILIES, tiny_model
from transformers import AutoModelForCausalLM, BloomConfig, GPT2Config, MambaConfig

REQUESTS = [("question one", [" two three", " two four", " two three four", " x"]), ("a", ["bc", "bde", "one"])]


def _check(model, tokenizer, alone):
    figures = TransformersModel(model, tokenizer).choice_log_likelihoods(REQUESTS)
    for (prompt, continuations), row in zip(REQUESTS, figures, strict=True):
        start = tokenizer(prompt)["input_ids"]
        rest = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in continuations]
        assert row == pytest.approx([alone(model, start, tokens) for tokens in rest], abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_common_families_read_trees(model_of, family, dtype):
    model = copy.deepcopy(model_of(family, 3)).to(dtype)
    assert deepest_tree(model) >= 64
    assert reads_trees(model)


def test_a_sliding_window_limits_the_depth_only_where_it_is_used(model_of):
    assert deepest_tree(model_of("mistral", 3)) == 64
    assert deepest_tree(model_of("gemma3", 3)) == 64
    assert deepest_tree(model_of("qwen2", 3)) > 10_000
    assert deepest_tree(tiny_model("qwen2", 3, use_sliding_window=True, sliding_window=9, max_window_layers=1)) == 9


@pytest.mark.parametrize(
    "config",
    [
        MambaConfig(vocab_size=384, hidden_size=32, state_size=8, num_hidden_layers=2, initializer_range=0.2),
        BloomConfig(vocab_size=384, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.2),
    ],
    ids=["state space", "positions by distance"],
)
def test_models_without_tree_attention_score_sequences(tokenizer, alone, config):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    assert deepest_tree(model) == 0
    _check(model, tokenizer, alone)


def test_learned_positions_are_told_by_the_tree(tokenizer, alone):
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=384, n_embd=32, n_layer=2, n_head=4, n_positions=64, initializer_range=0.2)
    model = AutoModelForCausalLM.from_config(config).eval()
    assert reads_trees(model)
    _check(model, tokenizer, alone)


def test_an_attention_kernel_with_its_own_mask_scores_sequences(model_of):
    model = copy.deepcopy(model_of("llama", 3))
    model.config._attn_implementation = "flash_attention_2"
    assert deepest_tree(model) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_ignores_the_mask_is_found_out(model_of, tokenizer, alone, caplog, dtype):
    model = copy.deepcopy(model_of("llama", 3)).to(dtype)
    forward = model.forward

    def careless(input_ids, attention_mask=None, position_ids=None, **options):
        return forward(input_ids, position_ids=position_ids, **options)

    model.forward = careless
    with caplog.at_level(logging.WARNING, logger="heterosis"):
        assert reads_trees(model) is False
    assert "does not honour a custom attention mask" in caplog.text
    if dtype == torch.float32:
        _check(model, tokenizer, alone)


def test_a_model_that_refuses_the_mask_scores_sequences(model_of, tokenizer, alone, caplog):
    model = copy.deepcopy(model_of("llama", 3))
    forward = model.forward

    def strict(input_ids, attention_mask=None, position_ids=None, **options):
        if attention_mask is not None:
            raise ValueError("two dimensions, please")
        return forward(input_ids, **options)

    model.forward = strict
    _check(model, tokenizer, alone)
    assert caplog.text.count("does not take a custom attention mask (two dimensions, please)") == 1


def test_only_the_logits_that_are_needed_are_computed(model_of, tokenizer):
    model = copy.deepcopy(model_of("llama", 3))
    seen = []
    model.lm_head.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape))
    assert len(tokenizer(" x", add_special_tokens=False)["input_ids"]) == 2
    TransformersModel(model, tokenizer).choice_log_likelihoods([("the quick brown fox jumps", [" x", " y", " z"])])
    # two: one after the prompt, and one after the space that the three have in common
    assert [shape[:2].numel() for shape in seen] == [2]
