import math

import pytest
from heterosis.core.errors import ConfigurationError, EvaluationError
from heterosis.fitness.transformers_model import TransformersModel
from heterosis.plugins.tasks.divergence import Divergence
from heterosis.testing.tasks import check_task
from heterosis.testing.tiny import tiny_model, tiny_tokenizer

TEXT = "the quick brown fox jumps over the lazy dog. " * 20


class Diverging(TransformersModel):
    """Diverges from a reference that gives every token a probability of one half, by what it thinks of the text."""

    def divergences(self, texts, reference, top):
        assert (reference, top) == ("base", 8)
        return [
            (max(-figure - tokens * math.log(2), 0.0), tokens) for figure, tokens in self.text_log_likelihoods(texts)
        ]


def test_conformance(write):
    model = Diverging(tiny_model("llama", 5), tiny_tokenizer())
    check_task("divergence", write(TEXT, name="text.txt"), model, characters=60, reference="base", top=8)


class Fixed(TransformersModel):
    def __init__(self, answers):
        self.answers = answers

    def divergences(self, texts, reference, top):
        return self.answers[: len(texts)]


def test_the_summary_is_the_mean_divergence_per_token(write):
    task = Divergence.open(write(TEXT, name="text.txt"), characters=300)
    scores = task.score(Fixed([(5.0, 50), (10.0, 50), (15.0, 50)]), task.items)
    assert scores == pytest.approx([math.exp(-0.1), math.exp(-0.2), math.exp(-0.3)])
    summary = task.summarise(task.items, scores)
    assert summary.mean == pytest.approx(0.2)
    assert summary.standard_error == pytest.approx(0.1 / math.sqrt(3))
    assert task.score(Fixed([(1e9, 1)] * 3), task.items)[0] > 0


def test_a_piece_without_a_token_to_foresee_is_refused(write):
    task = Divergence.open(write("ab", name="text.txt"))
    with pytest.raises(EvaluationError, match="'ab' is too short"):
        task.score(Fixed([(0.0, 0)]), task.items)


def test_options_are_checked_and_part_of_the_rule(write):
    path = write(TEXT, name="text.txt")
    assert Divergence.open(path).reference == "merge"
    assert Divergence.open(path, top=3).rule != Divergence.open(path).rule
    for options in ({"top": 0}, {"reference": 3}, {"characters": "many"}, {"tops": 3}):
        with pytest.raises(ConfigurationError, match="divergence"):
            Divergence.open(path, **options)
