"""Checkpoints with different vocabularies give the same embeddings, token by token, as in mergekit 0.1.5."""

import json

import pytest
import torch
from heterosis.testing.vocabularies import write_tiny_with_tokens
from transformers import AutoTokenizer

pytestmark = pytest.mark.mergekit

LINEAR = """
merge_method: linear
models:
- {model: base, parameters: {weight: 0.5}}
- {model: one, parameters: {weight: 0.3}}
- {model: two, parameters: {weight: 0.4}}
base_model: base
dtype: float32
"""
TASK = """
merge_method: task_arithmetic
base_model: base
models:
- {model: one, parameters: {weight: 0.6}}
- {model: two, parameters: {weight: 0.3}}
"""
POLICIES = {
    "union": "tokenizer_source: union\n",
    "base": "tokenizer_source: base\n",
    "a model": "tokenizer_source: PATH/two\n",
    "a model that is not merged": "tokenizer_source: PATH/three\n",
    "padded": "tokenizer: {source: union, pad_to_multiple_of: 64}\n",
    "tokens of their own": """
tokenizer:
  source: union
  tokens:
    <|one|>: {source: {kind: model_token, model: PATH/two, token: <s>}}
    <|two|>: {source: {kind: zero}}
    <|both|>: {source: PATH/two, force: true}
    <|new|>: {source: {kind: model_token, model: PATH/one, token_id: 7}}
    the: {source: PATH/one, force: true}
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A base that shares a token with one model only, and models that add tokens, swap tokens and leave rows unused."""
    folder = tmp_path_factory.mktemp("vocabularies")
    swap = [("a", "b"), ("Ġdog", "Ġthe")]
    write_tiny_with_tokens(folder / "base", seed=1, added=["<|ours|>"], spare_rows=5)
    write_tiny_with_tokens(folder / "one", seed=2, added=["<|one|>", "<|both|>", "plain", "<|ours|>"])
    write_tiny_with_tokens(folder / "two", seed=3, added=["<|both|>", "<|two|>"], swapped=swap, spare_rows=3)
    write_tiny_with_tokens(folder / "three", seed=4, added=["<|three|>"], swapped=[("c", "d")])
    return folder


def with_paths(text, folder):
    for name in ("base", "one", "two", "three"):
        text = text.replace(f"model: {name}", f"model: {folder / name}")
    return text.replace("PATH", str(folder))


def by_token(folder, tensors):
    """The tensors, with the rows of embeddings in the order of the tokens' texts, padding last."""
    vocabulary = AutoTokenizer.from_pretrained(folder).get_vocab()
    order = [vocabulary[token] for token in sorted(vocabulary)]
    order += sorted(set(range(len(tensors["model.embed_tokens.weight"]))) - set(order))
    return sorted(vocabulary), {
        name: tensor[order] if tensor.shape[0] == len(order) and ".layers." not in name else tensor
        for name, tensor in tensors.items()
    }


@pytest.mark.parametrize("method", [LINEAR, TASK, TASK + "dtype: bfloat16\n"], ids=["linear", "task", "bfloat16"])
@pytest.mark.parametrize("policy", POLICIES)
def test_same_yaml_same_rows(policy, method, folder, ours, theirs, check_equal):
    text = with_paths(method + POLICIES[policy], folder)
    (our_folder, our_tensors), (their_folder, their_tensors) = ours(text), theirs(text)
    our_tokens, our_tensors = by_token(our_folder, our_tensors)
    their_tokens, their_tensors = by_token(their_folder, their_tensors)
    assert our_tokens == their_tokens
    # mergekit numbers new tokens as sets come, and with them the order that the mean of all rows is added up in
    padding = slice(len(our_tokens), None)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        left, right = our_tensors.pop(name), their_tensors.pop(name)
        check_equal({name: left[: len(our_tokens)]}, {name: right[: len(our_tokens)]})
        assert torch.allclose(left[padding], right[padding], rtol=0.02, atol=2e-3)
    check_equal(our_tensors, their_tensors)
    sizes = [json.loads((out / "config.json").read_text())["vocab_size"] for out in (our_folder, their_folder)]
    assert sizes[0] == sizes[1] == len(left)


def test_a_stack_takes_each_embedding_from_its_end(folder, ours, theirs, check_equal):
    text = with_paths(
        """
merge_method: passthrough
base_model: base
slices:
- sources: [{model: one, layer_range: [0, 2]}]
- sources: [{model: base, layer_range: [2, 3]}]
tokenizer_source: union
dtype: float32
""",
        folder,
    )
    (our_folder, our_tensors), (their_folder, their_tensors) = ours(text), theirs(text)
    (our_tokens, our_tensors), (their_tokens, their_tensors) = (
        by_token(our_folder, our_tensors),
        by_token(their_folder, their_tensors),
    )
    assert our_tokens == their_tokens
    check_equal(our_tensors, their_tensors, steps=0, relative=0)


@pytest.mark.parametrize("tied", ["base", "one"])
def test_a_tied_embedding_stands_in_for_an_output_embedding(tied, tmp_path, ours, theirs, check_equal):
    for seed, name in enumerate(("base", "one"), start=1):
        write_tiny_with_tokens(tmp_path / name, "qwen2", seed, tie_word_embeddings=name == tied)
    text = with_paths(
        "merge_method: linear\nbase_model: base\nmodels: [{model: base}, {model: one}]\nparameters: {weight: 1}\n",
        tmp_path,
    )
    (our_folder, our_tensors), (_, their_tensors) = ours(text), theirs(text)
    check_equal(our_tensors, their_tensors)
    assert "lm_head.weight" in our_tensors
    assert json.loads((our_folder / "config.json").read_text())["tie_word_embeddings"] is False


@pytest.mark.parametrize(
    "template", ["chatml", "mistral", "auto", "{% for message in messages %}{{ message }}{% endfor %}"]
)
@pytest.mark.parametrize("policy", ["", "tokenizer_source: union\n"])
def test_same_chat_template(template, policy, folder, tmp_path, ours, theirs):
    models = tmp_path / "models"
    for seed, (name, text) in enumerate({"base": "{{ 'base' }}", "one": "{{ 'most' }}", "two": "{{ 'most' }}"}.items()):
        write_tiny_with_tokens(models / name, seed=seed)
        tokenizer = AutoTokenizer.from_pretrained(models / name)
        tokenizer.chat_template = text
        tokenizer.save_pretrained(models / name)
    text = with_paths(LINEAR + policy, models) + f"chat_template: {json.dumps(template)}\n"
    (our_folder, _), (their_folder, _) = ours(text), theirs(text)
    talk = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    said = [
        AutoTokenizer.from_pretrained(out).apply_chat_template(talk, tokenize=False).strip()
        for out in (our_folder, their_folder)
    ]
    assert said[0] == said[1]
    assert said[0]
