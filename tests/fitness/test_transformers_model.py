import copy

import pytest
import torch
from heterosis.core.errors import ConfigurationError, EvaluationError
from heterosis.fitness.transformers_model import TransformersModel
from heterosis.testing.tiny import FAMILIES, tiny_tokenizer

REQUESTS = [
    ("question one", [" two three", " two four", " two three four", " x"]),
    ("the quick brown fox jumps over the lazy dog and", [" one", " two five six"]),
    ("è", ["b", "bc", "bd", "b"]),
]
TEXTS = ["the quick brown fox", "a", "one two three four five six seven eight nine ten"]


class CountingTokenizer:
    """Counts how often the tokenizer is asked."""

    def __init__(self, tokenizer):
        self._tokenizer, self.calls = tokenizer, 0

    def __getattr__(self, name):
        return getattr(self._tokenizer, name)

    def __call__(self, *arguments, **options):
        self.calls += 1
        return self._tokenizer(*arguments, **options)


def _encode(tokenizer, text, special):
    return tokenizer(text, add_special_tokens=special)["input_ids"]


def _flat(rows):
    return [figure for row in rows for figure in row]


@pytest.mark.parametrize("family", FAMILIES)
def test_choices_score_as_if_each_were_alone(model_of, tokenizer, alone, family):
    model = model_of(family, 2)
    figures = TransformersModel(model, tokenizer).choice_log_likelihoods(REQUESTS)
    for (prompt, continuations), row in zip(REQUESTS, figures, strict=True):
        start = _encode(tokenizer, prompt, True)
        assert start[0] == tokenizer.bos_token_id
        expected = [alone(model, start, _encode(tokenizer, text, False)) for text in continuations]
        assert row == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_score_as_if_each_were_alone(model_of, tokenizer, alone, family):
    model = model_of(family, 2)
    answers = TransformersModel(model, tokenizer).text_log_likelihoods(TEXTS)
    for text, (figure, count) in zip(TEXTS, answers, strict=True):
        tokens = _encode(tokenizer, text, True)
        assert count == len(tokens) - 1
        assert figure == pytest.approx(alone(model, tokens[:1], tokens[1:]), abs=1e-4)


def test_a_text_of_one_token_has_nothing_to_predict(model_of):
    model = TransformersModel(model_of("llama", 2), tiny_tokenizer(add_bos=False))
    assert model.text_log_likelihoods(["a", "the dog"])[0] == (0.0, 0)
    assert model.text_log_likelihoods(["a"]) == [(0.0, 0)]


def test_nothing_asked_nothing_answered(model_of, tokenizer):
    model = TransformersModel(model_of("llama", 2), tokenizer)
    assert model.choice_log_likelihoods([]) == []
    assert model.choice_log_likelihoods([("a", [])]) == [[]]
    assert [len(row) for row in model.choice_log_likelihoods([("a", []), ("a", ["b", "c"]), ("a", [])])] == [0, 2, 0]
    assert model.text_log_likelihoods([]) == []
    assert model.generate([], 3) == []


def test_the_same_calls_give_the_same_floats(model_of, tokenizer):
    first, second = (TransformersModel(model_of("qwen3", 2), tokenizer) for _ in range(2))
    figures = first.choice_log_likelihoods(REQUESTS)
    assert first.choice_log_likelihoods(REQUESTS) == figures
    assert second.choice_log_likelihoods(REQUESTS) == figures
    assert first.text_log_likelihoods(TEXTS) == second.text_log_likelihoods(TEXTS)


@pytest.mark.parametrize("batch_tokens", [1, 20, 64])
def test_figures_do_not_depend_on_the_batch_size(model_of, tokenizer, batch_tokens):
    usual = TransformersModel(model_of("llama", 2), tokenizer).choice_log_likelihoods(REQUESTS)
    other = TransformersModel(model_of("llama", 2), tokenizer, batch_tokens).choice_log_likelihoods(REQUESTS)
    assert _flat(other) == pytest.approx(_flat(usual), abs=1e-4)


def test_the_next_candidate_pays_for_no_tokens_and_no_packing(model_of, tokenizer, monkeypatch):
    weights = copy.deepcopy(model_of("llama", 2))
    counting = CountingTokenizer(tokenizer)
    model = TransformersModel(weights, counting)
    before = model.choice_log_likelihoods(REQUESTS)
    asked = counting.calls
    with torch.no_grad():
        for parameter in weights.parameters():
            parameter.mul_(1.1)
    expected = TransformersModel(weights, tokenizer).choice_log_likelihoods(REQUESTS)
    assert expected != before
    monkeypatch.setattr("heterosis.fitness.transformers_model.plant", None)
    assert model.choice_log_likelihoods(REQUESTS) == expected
    assert counting.calls == asked


def test_a_subset_of_the_items_is_not_tokenised_again(model_of, tokenizer):
    counting = CountingTokenizer(tokenizer)
    model = TransformersModel(model_of("llama", 2), counting)
    model.choice_log_likelihoods(REQUESTS)
    asked = counting.calls
    assert len(model.choice_log_likelihoods(REQUESTS[1:])) == 2
    assert counting.calls == asked


def test_half_precision_is_followed(model_of, tokenizer):
    exact = TransformersModel(model_of("llama", 2), tokenizer).choice_log_likelihoods(REQUESTS)
    half = copy.deepcopy(model_of("llama", 2)).to(torch.bfloat16)
    rounded = TransformersModel(half, tokenizer).choice_log_likelihoods(REQUESTS)
    assert _flat(rounded) == pytest.approx(_flat(exact), abs=0.5)


def test_a_prompt_that_brings_its_own_first_token_gets_no_second(model_of, tokenizer):
    model = TransformersModel(model_of("llama", 2), tokenizer)
    plain, templated = model.choice_log_likelihoods([("the dog", [" one"]), ("<s>the dog", [" one"])])
    assert plain == pytest.approx(templated, abs=1e-5)


@pytest.mark.parametrize("request_", [("", ["a"]), ("the fox", ["a", ""])])
def test_an_empty_text_is_refused(model_of, tokenizer, request_):
    model = TransformersModel(model_of("llama", 2), tokenizer)
    with pytest.raises(EvaluationError, match=f"no tokens, in the item '{request_[0]}'"):
        model.choice_log_likelihoods([("fine", ["a", "b"]), request_])


def test_what_does_not_fit_the_model_is_refused_by_name(model_of, tokenizer):
    model = TransformersModel(model_of("llama", 2), tokenizer)
    long = "zebra " + "q" * 130
    for ask in (
        lambda: model.choice_log_likelihoods([("a", ["b"]), (long, ["b"])]),
        lambda: model.text_log_likelihoods(["a", long]),
        lambda: model.generate(["a", long], 1),
    ):
        with pytest.raises(EvaluationError, match=r"128 positions.*'zebra qqq"):
            ask()
    with pytest.raises(EvaluationError, match=r"128 positions.*'the dog'"):
        model.generate(["the dog"], 127)
    assert len(model.choice_log_likelihoods([("q" * 100, ["q" * 27, "q"])])[0]) == 2


def test_scores_that_turn_nan_name_the_first_item(model_of, tokenizer):
    broken = copy.deepcopy(model_of("llama", 2))
    model = TransformersModel(broken, tokenizer)
    with torch.no_grad():
        broken.get_input_embeddings().weight[_encode(tokenizer, "z", False)[0]] = float("nan")
    model.choice_log_likelihoods([("q", ["a", "bc", "bd"])])
    with pytest.raises(EvaluationError, match=r"scores turned NaN.*'z two'"):
        model.choice_log_likelihoods([("one", [" a", " b"]), ("z two", [" a", " b"])])
    with pytest.raises(EvaluationError, match=r"scores turned NaN.*'z two'"):
        model.text_log_likelihoods(["one", "z two"])
    with pytest.raises(EvaluationError, match=r"scores turned NaN.*z two"):
        model.generate(["one", "z two"], 2)


def test_a_first_candidate_of_nan_does_not_decide_about_trees(model_of, tokenizer, alone):
    weights = copy.deepcopy(model_of("llama", 2))
    model = TransformersModel(weights, tokenizer)
    whole = {name: tensor.clone() for name, tensor in weights.state_dict().items()}
    with torch.no_grad():
        for parameter in weights.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(EvaluationError, match="NaN"):
        model.choice_log_likelihoods(REQUESTS)
    weights.load_state_dict(whole)
    expected = TransformersModel(weights, tokenizer).choice_log_likelihoods(REQUESTS)
    assert model.choice_log_likelihoods(REQUESTS) == expected


def test_a_batch_of_no_tokens_is_refused(model_of, tokenizer):
    with pytest.raises(ConfigurationError, match="batch_tokens is 0"):
        TransformersModel(model_of("llama", 2), tokenizer, batch_tokens=0)
