"""Tokens are counted as the model will be asked, without one."""

import pytest
from heterosis.core.errors import EvaluationError
from heterosis.fitness.item_sets import StagedItems
from heterosis.fitness.token_counts import TokenCount, token_counts
from heterosis.plugins.tasks.exact_match import ExactMatch
from heterosis.plugins.tasks.multiple_choice import MultipleChoice
from heterosis.plugins.tasks.perplexity import Perplexity
from heterosis.testing.tiny import tiny_tokenizer


@pytest.fixture
def directory(checkpoints):
    return checkpoints / "base"


def tokens(text, start=True):
    return len(tiny_tokenizer()(text, add_special_tokens=start)["input_ids"])


def staged(task):
    return {"task": StagedItems(task, task.items)}


def test_choices_share_their_prompt(directory, choice_items, write_lines, tmp_path):
    task = MultipleChoice.open(write_lines(tmp_path / "items.jsonl", choice_items(1)))
    (item,) = task.items
    # the last token of each choice is read off its parent; the first ones of these four choices differ
    prompt = tokens(item.data["prompt"])
    choices = [tiny_tokenizer()(choice, add_special_tokens=False)["input_ids"] for choice in item.data["choices"]]
    inner = {tuple(choice[:end]) for choice in choices for end in range(1, len(choice))}
    assert token_counts(staged(task), directory) == {"task": TokenCount(prompt + len(inner), 0)}


def test_what_is_generated_counts_apart(directory, write_lines, tmp_path):
    items = [{"id": "a", "prompt": "one two", "answer": "three"}, {"id": "b", "prompt": "one", "answer": "two"}]
    task = ExactMatch.open(write_lines(tmp_path / "items.jsonl", items), max_tokens=5)
    assert token_counts(staged(task), directory) == {"task": TokenCount(tokens("one two") + tokens("one"), 10)}


def test_texts_are_read_whole(directory, tmp_path):
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog")
    task = Perplexity.open(tmp_path / "text.txt")
    assert token_counts(staged(task), directory) == {
        "task": TokenCount(tokens("the quick brown fox jumps over the lazy dog"), 0)
    }


def test_an_item_that_is_too_long_is_told_before_any_candidate_is_built(directory, write_lines, tmp_path):
    long = {"id": "a", "prompt": "nobody knows " * 200, "answer": "three"}
    task = ExactMatch.open(write_lines(tmp_path / "items.jsonl", [long]), max_tokens=5)
    with pytest.raises(
        EvaluationError, match=r"do not fit the model's 128 positions; shorten or drop the item 'nobody"
    ):
        token_counts(staged(task), directory)


def test_a_task_that_cannot_be_asked_without_a_model_is_left_open(directory, write_lines, tmp_path):
    class Peculiar(ExactMatch):
        def score(self, model, items):
            return [1 / len(text) for text in model.generate([item.data["prompt"] for item in items], 3)]

    task = Peculiar.open(write_lines(tmp_path / "i.jsonl", [{"id": "a", "prompt": "one", "answer": "two"}]))
    assert token_counts(staged(task), directory) == {"task": None}
