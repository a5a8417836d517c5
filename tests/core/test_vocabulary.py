"""Embeddings follow their tokens: a token's row is the same wherever its number goes, and gaps are filled as told."""

import pytest
import torch
from heterosis.core.checkpoints import SourceSet
from heterosis.core.errors import CheckpointError
from heterosis.core.executors import write_model
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.testing.tiny import tiny_tokenizer
from heterosis.testing.vocabularies import write_tiny_with_tokens
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

EMBEDDINGS = ("model.embed_tokens.weight", "lm_head.weight")
PLAIN = sorted(token for token in tiny_tokenizer().get_vocab() if not token.startswith("<"))


def build(folder, text, out="out"):
    """What a recipe gives: the vocabulary, and the tensors."""
    recipe = Recipe.from_yaml(text)
    write_model(plan(recipe, SourceSet(recipe.base_model, recipe.references, folder)), folder / out)
    return AutoTokenizer.from_pretrained(folder / out).get_vocab(), load_file(folder / out / "model.safetensors")


def rows(folder, name=EMBEDDINGS[0]):
    """A stored model's embedding by token."""
    stored = load_file(folder / "model.safetensors")[name]
    vocabulary = AutoTokenizer.from_pretrained(folder).get_vocab()
    return {token: stored[number] for token, number in vocabulary.items() if number < len(stored)}


@given(st.lists(st.sampled_from(PLAIN), min_size=2, max_size=12, unique=True))
@settings(deadline=None, max_examples=5)
def test_a_model_under_other_numbers_merges_with_itself_to_itself(tmp_path_factory, tokens):
    folder = tmp_path_factory.mktemp("swapped")
    swapped = list(zip(tokens[::2], tokens[1::2], strict=False))
    write_tiny_with_tokens(folder / "base", seed=1)
    write_tiny_with_tokens(folder / "other", seed=1, swapped=swapped)
    stored = load_file(folder / "other" / "model.safetensors")
    vocabulary = tiny_tokenizer().get_vocab()
    for name in EMBEDDINGS:
        for one, other in swapped:
            stored[name][[vocabulary[one], vocabulary[other]]] = stored[name][[vocabulary[other], vocabulary[one]]]
    save_file(stored, folder / "other" / "model.safetensors", {"format": "pt"})
    text = "merge_method: linear\nbase_model: base\nmodels: [base, other]\nparameters: {weight: 1}\n"
    _, merged = build(folder, text + "tokenizer_source: union\n")
    base = load_file(folder / "base" / "model.safetensors")
    assert all(torch.equal(merged[name], base[name]) for name in base)


@pytest.fixture
def folder(tmp_path):
    """Three models: one with `<one>` and `<both>`, two with `<both>`, and a base with neither."""
    write_tiny_with_tokens(tmp_path / "base", seed=1, spare_rows=2)
    write_tiny_with_tokens(tmp_path / "one", seed=2, added=["<one>", "<both>"])
    write_tiny_with_tokens(tmp_path / "two", seed=3, added=["<both>"], swapped=[("a", "b")])
    return tmp_path


MERGE = "merge_method: linear\nbase_model: base\nmodels: [base, one, two]\nparameters: {weight: 1}\ndtype: float32\n"


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_a_token_that_some_lack_gets_the_only_ones_row_or_the_mean(name, folder):
    vocabulary, merged = build(folder, MERGE + "tokenizer: {source: union, pad_to_multiple_of: 10}\n")
    base, one, two = (rows(folder / model, name) for model in ("base", "one", "two"))
    embedding = merged[name]
    assert len(embedding) == 390
    assert torch.allclose(embedding[vocabulary["a"]], (base["a"] + one["a"] + two["a"]) / 3)
    assert torch.allclose(embedding[vocabulary["<one>"]], one["<one>"])
    assert torch.allclose(embedding[vocabulary["<both>"]], (one["<both>"] + two["<both>"]) / 2)
    assert torch.allclose(embedding[386:], embedding[:386].mean(0).expand(4, -1), atol=1e-6)


def test_a_token_that_the_base_has_gets_the_bases_row_where_it_is_missing(folder):
    write_tiny_with_tokens(folder / "base", seed=1, added=["<one>"])
    vocabulary, merged = build(folder, MERGE + "tokenizer_source: base\n")
    base, one = (rows(folder / model)["<one>"] for model in ("base", "one"))
    assert torch.allclose(merged[EMBEDDINGS[0]][vocabulary["<one>"]], (2 * base + one) / 3)


def test_a_listed_token_comes_from_where_the_policy_says(folder):
    tokens = (
        "tokens: {a: {source: one, force: true}, <both>: {source: {kind: model_token, model: two, token: b}}, "
        "<new>: {source: {kind: zero}}}"
    )
    vocabulary, merged = build(folder, MERGE + f"tokenizer: {{source: base, {tokens}}}\n")
    base, one, two = (rows(folder / model) for model in ("base", "one", "two"))
    embedding = merged[EMBEDDINGS[0]]
    assert set(vocabulary) == {*base, "<both>", "<new>"}
    assert torch.allclose(embedding[vocabulary["a"]], one["a"])
    assert torch.allclose(embedding[vocabulary["<both>"]], (two["b"] + one["<both>"] + two["<both>"]) / 3)
    assert not embedding[vocabulary["<new>"]].any()


def test_tokens_without_embeddings_are_taken_from_the_tokenizer(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    tokenizer.add_tokens([f"<{number}>" for number in range(4)])  # two more than the embedding has rows for
    tokenizer.save_pretrained(folder / "base")
    vocabulary, merged = build(folder, MERGE + "tokenizer_source: base\n")
    assert {"<0>", "<1>"} < set(vocabulary)
    assert {"<2>", "<3>"}.isdisjoint(vocabulary)
    assert len(merged[EMBEDDINGS[0]]) == 386


def test_a_base_without_a_tokenizer_cannot_say_what_its_rows_mean(folder):
    for file in (folder / "base").glob("tokenizer*"):
        file.unlink()
    with pytest.raises(CheckpointError, match="base has no tokenizer, so that nobody knows which tokens"):
        build(folder, MERGE + "tokenizer_source: union\n")


def test_special_tokens_keep_their_meaning_under_other_numbers(folder):
    write_tiny_with_tokens(folder / "shifted", seed=4, swapped=[("</s>", "<pad>")])
    recipe = Recipe.from_yaml(MERGE.replace("two", "shifted") + "tokenizer_source: shifted\n")
    planned = plan(recipe, SourceSet("base", recipe.references, folder))
    number = planned.vocabulary.tokens["</s>"]
    assert planned.config["eos_token_id"] == number != 2


def test_what_changes_reads_as_a_sentence(folder):
    recipe = Recipe.from_yaml(MERGE + "tokenizer: {source: base, tokens: {<both>: {source: two}}}\n")
    vocabulary = plan(recipe, SourceSet("base", recipe.references, folder)).vocabulary
    assert [str(change) for change in vocabulary.changes] == [
        "base: 386 rows, lacks 1 token ('<both>')",
        "one: 386 rows, 1 numbered anew, loses 1 token ('<one>')",
        "two: 385 rows, 2 numbered anew",
    ]
