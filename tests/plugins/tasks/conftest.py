"""A model whose answers a test writes down, and files of items."""

import json

import pytest
from heterosis.core.contracts import LanguageModel


class ScriptedModel(LanguageModel):
    """Answers by table: a choice's figure, a prompt's text, a text's figure."""

    def __init__(self, choices=None, texts=None, figures=None):
        self.choices, self.texts, self.figures = choices or {}, texts or {}, figures or {}
        self.asked = []

    def choice_log_likelihoods(self, requests):
        return [[self.choices[continuation] for continuation in continuations] for _, continuations in requests]

    def generate(self, prompts, max_tokens, stop=()):
        self.asked.append((list(prompts), max_tokens, tuple(stop)))
        return [self.texts[prompt] for prompt in prompts]

    def text_log_likelihoods(self, texts):
        return [self.figures[text] for text in texts]


@pytest.fixture(scope="session")
def scripted():
    return ScriptedModel


@pytest.fixture
def write(tmp_path):
    """Writes lines (dictionaries as JSON) to a file and returns its path."""

    def write_lines(*lines, name="task.jsonl"):
        path = tmp_path / name
        texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
        path.write_text("\n".join(texts), encoding="utf-8")
        return path

    return write_lines
