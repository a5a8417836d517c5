"""The same items, the same model: each score is the harness's own."""

import math
import re
from pathlib import Path

import pytest
from heterosis.core.genome import content_hash
from heterosis.plugins.tasks.lm_eval import LmEval

TEXT = {
    "task": "tiny_text",
    "output_type": "generate_until",
    "doc_to_text": "question {{question}} answer",
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 12, "do_sample": False},
    "filter_list": [
        {
            "name": f"{which}-word",
            "filter": [
                {"function": "regex", "regex_pattern": r"(\w+)", "group_select": place},
                {"function": "take_first"},
            ],
        }
        for which, place in (("first", 0), ("last", -1))
    ],
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}


def harness_tasks():
    import lm_eval.tasks

    return Path(lm_eval.tasks.__file__).parent


def compare(path, model, theirs, filter_name, metric, options):
    """Our scores and theirs, by document; returns ours."""
    task = LmEval.open(path, filter=filter_name, metric=metric, **options)
    ours = {content_hash(i.data["doc"]): s for i, s in zip(task.items, task.score(model, task.items), strict=True)}
    expected = {content_hash(document): float(figures[metric]) for document, figures in theirs[filter_name]}
    assert ours == pytest.approx(expected)
    return list(ours.values())


@pytest.mark.parametrize("shots", [0, 2])
def test_multiple_choice(write_task, choice, model, evaluate, shots):
    config, questions = choice
    path = write_task(config, questions[6:], shots=questions[:6], num_fewshot=shots)
    theirs = evaluate(path)
    for metric in ("acc", "acc_norm", "exact_match"):
        scores = compare(path, model, theirs, "none", metric, {})
        assert metric == "exact_match" or 0 < sum(scores) < len(scores)


def test_a_number_of_examples_that_is_asked_for(write_task, choice, model, evaluate):
    config, questions = choice
    path = write_task(config, questions[6:], shots=questions[:6])
    compare(path, model, evaluate(path, num_fewshot=1), "none", "acc", {"num_fewshot": 1})


def test_choices_in_front_of_one_ending(write_task, model, evaluate):
    config = {
        "task": "tiny_inputs",
        "output_type": "multiple_choice",
        "doc_to_text": "{{label}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{ending}}",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    words = ["one", "two", "three", "four", "five", "six"]
    documents = [
        {"label": place % 2, "choices": [f"the {word}", f"a dog and {word}"], "ending": f"is {words[-place]}"}
        for place, word in enumerate(words)
    ]
    path = write_task(config, documents)
    compare(path, model, evaluate(path), "none", "acc", {})


def test_sentences_without_a_prompt(write_task, model, evaluate):
    config = {
        "task": "tiny_sentences",
        "output_type": "multiple_choice",
        "doc_to_text": "",
        "doc_to_choice": "{{[good, bad]}}",
        "doc_to_target": 0,
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    documents = [
        {"good": f"the {word} and the {other}", "bad": f"the {other} and the {word}"}
        for word, other in zip(words, words[1:] + words[:1], strict=True)
    ]
    path = write_task(config, documents)
    scores = compare(path, model, evaluate(path), "none", "acc", {})
    assert 0 < sum(scores) < len(scores)


def test_two_filters(write_task, model, evaluate):
    prompts = [f"question {word} answer" for word in ("one", "fox", "dog", "lazy", "seven", "capital", "ten", "boy")]
    written = [re.findall(r"\w+", text) for text in model.generate(prompts, 12, ["\n"])]
    documents = [
        {"question": prompt.split()[1], "answer": (words or ["?"])[0 if place % 2 else -1]}
        for place, (prompt, words) in enumerate(zip(prompts, written, strict=True))
    ]
    path = write_task(TEXT, documents)
    theirs = evaluate(path)
    first, last = (compare(path, model, theirs, name, "exact_match", {}) for name in ("first-word", "last-word"))
    assert first != last
    assert sum(first)
    assert sum(last)


def test_the_harness_own_gsm8k(write_task, model, evaluate):
    documents = [{"question": f"What is {n} + {n}?", "answer": f"It is.\n#### {2 * n}"} for n in range(3, 9)]
    kwargs = {"until": ["Question:"], "max_gen_toks": 16, "do_sample": False}
    path = write_task({"include": str(harness_tasks() / "gsm8k" / "gsm8k.yaml")}, documents, shots=documents[:3])
    path.write_text(path.read_text() + f"task: gsm8k_local\nnum_fewshot: 2\ngeneration_kwargs: {kwargs}\n")
    theirs = evaluate(path)
    assert set(theirs) == {"strict-match", "flexible-extract"}
    for name in theirs:
        compare(path, model, theirs, name, "exact_match", {})


def test_the_harness_own_lambada(write_task, model, evaluate):
    starts = ["the quick brown fox", "one two three", "nobody knows where", "question answer question"]
    greedy = model.generate(starts, 1)
    texts = [start + text for start, text in zip(starts[:2], greedy[:2], strict=True) if text.startswith(" ")]
    documents = [{"text": text} for text in (*texts, *(f"{start} jumps" for start in starts))]
    path = write_task({"include": str(harness_tasks() / "lambada" / "lambada_openai.yaml")}, documents)
    path.write_text(path.read_text() + "task: lambada_local\n")
    compare(path, model, evaluate(path), "none", "acc", {})


def test_whole_texts(write_task, model, evaluate):
    config = {
        "task": "tiny_rolling",
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "metric_list": [{"metric": "word_perplexity"}, {"metric": "byte_perplexity"}],
    }
    documents = [{"text": "the quick brown fox"}, {"text": "one two three four five six"}, {"text": "nobody knows è"}]
    path = write_task(config, documents)
    # with a tokenizer that begins texts with <s>, the harness counts how likely that token is after itself
    found = evaluate(path, add_bos_token=False)["none"]
    theirs = {content_hash(document): figures for document, figures in found}
    for metric in ("word_perplexity", "byte_perplexity"):
        task = LmEval.open(path, metric=metric)
        for item, score in zip(task.items, task.score(model, task.items), strict=True):
            log_likelihood, count = theirs[content_hash(item.data["doc"])][metric]
            assert score == pytest.approx(math.exp(log_likelihood / count), rel=1e-4)
