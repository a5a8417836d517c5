import sys

import pytest
import sacrebleu
from heterosis.core.errors import ConfigurationError, PluginError
from heterosis.core.metrics import languages
from heterosis.plugins.tasks.generation import Generation

ANSWERS = ["Il gatto dorme sul divano, tutto il giorno.", "The cat sleeps on the couch."]
TEXTS = [
    "Il gatto dorme sul divano, tutto il giorno.",
    "il gatto non dorme mai sul divano.",
    "The cat sleeps",
    "кошка спит",
    "42",
    "",
]


def _scores(write, scripted, texts=TEXTS, answer=ANSWERS, **options):
    lines = [{"id": str(number), "prompt": f"{number}:", "answer": answer} for number in range(len(texts))]
    task = Generation.open(write(*lines), **options)
    model = scripted(texts={line["prompt"]: text for line, text in zip(lines, texts, strict=True)})
    return task.score(model, task.items)


def _percent(scores):
    return pytest.approx([score / 100 for score in scores], abs=1e-12)


def test_bleu_of_texts_is_sacrebleus(write, scripted):
    expected = [sacrebleu.sentence_bleu(text, ANSWERS).score for text in TEXTS]
    assert _scores(write, scripted) == _percent(expected)
    expected = [sacrebleu.sentence_bleu(text, ANSWERS, smooth_method="floor", tokenize="char").score for text in TEXTS]
    assert _scores(write, scripted, smoothing="floor", tokens="characters") == _percent(expected)


def test_chrf_of_texts_is_sacrebleus(write, scripted):
    for metric, word_order in (("chrf", 0), ("chrf++", 2)):
        expected = [sacrebleu.sentence_chrf(text, ANSWERS, word_order=word_order).score for text in TEXTS]
        assert _scores(write, scripted, metric=metric) == _percent(expected)


def test_f1_and_exact_match_are_squads(write, scripted):
    texts = ["the Eiffel tower!", "a tower", "Rome"]
    answers = ["Eiffel Tower", "the leaning tower of Pisa"]
    assert _scores(write, scripted, texts, answers, metric="exact_match") == [1.0, 0.0, 0.0]
    assert _scores(write, scripted, texts, answers, metric="f1") == pytest.approx([1.0, 2 / 3, 0.0])
    # "東京都" and "東京" share two characters of three and two, and no word
    assert _scores(write, scripted, ["東京都"], "東京", metric="f1") == [0.0]
    assert _scores(write, scripted, ["東京都"], "東京", metric="f1", tokens="characters") == pytest.approx([0.8])


def test_an_answer_in_another_language_scores_nothing(write, scripted):
    free = _scores(write, scripted, metric="chrf")
    held = _scores(write, scripted, metric="chrf", language="it", among=["en", "ru"])
    assert min(free[:3]) > 0.3
    assert held == [free[0], free[1], 0.0, 0.0, 0.0, 0.0]


def test_the_score_is_multiplied_by_the_share_of_letters_in_the_script(write, scripted):
    texts, answer = ["Мир abc", "Мир мир"], "Мир abc"
    assert _scores(write, scripted, texts, answer, metric="f1", script="Cyrillic") == [0.5, 0.5]
    assert _scores(write, scripted, texts, answer, metric="f1", script=["Cyrillic", "Latin"]) == [1.0, 0.5]


def test_a_number_is_in_any_language_but_shows_none(write, scripted):
    asked = {"language": "it", "among": ["en", "ru"], "script": "Latin"}
    assert _scores(write, scripted, ["42"], "42", metric="exact_match", **asked) == [1.0]
    assert _scores(write, scripted, metric="adherence", **asked) == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_adherence_needs_no_answers(write, scripted):
    task = Generation.open(write({"prompt": "a"}, {"prompt": "b"}), metric="adherence", script="Latin")
    assert task.score(scripted(texts={"a": "x", "b": "я"}), task.items[::-1]) == [0.0, 1.0]


def test_the_rule_tells_what_a_score_depends_on(write):
    path = write({"prompt": "a", "answer": "b"})
    options = [
        {},
        {"metric": "f1"},
        {"metric": "f1", "tokens": "characters"},
        {"smoothing": "none"},
        {"script": "Latin"},
        {"language": "it"},
        {"language": "it", "among": ["it", "en"]},
        {"stop": "."},
        {"max_tokens": 3},
    ]
    rules = [Generation.open(path, **chosen).rule for chosen in options]
    assert all(rules.count(rule) == 1 for rule in rules)


@pytest.mark.parametrize(
    ("line", "options", "complaint"),
    [
        ({"prompt": "a"}, {}, "line 1: `answer` is missing"),
        ({"prompt": "a", "answer": [" "]}, {}, "line 1: the prompt or an answer is empty"),
        ({"prompt": "", "answer": "b"}, {}, "line 1: the prompt or an answer is empty"),
        ({"prompt": "a", "answer": 3}, {}, "line 1: `answer` must be text"),
        ({"prompt": "a", "answer": "b"}, {"metric": "blue"}, "unknown metric 'blue'. Did you mean 'bleu'"),
        (
            {"prompt": "a", "answer": "b"},
            {"metric": "chrf", "smoothing": "exp"},
            "metric chrf: unknown key 'smoothing'",
        ),
        ({"prompt": "a", "answer": "b"}, {"smoothing": "flor"}, "unknown smoothing 'flor'. Did you mean 'floor'"),
        ({"prompt": "a", "answer": "b"}, {"tokens": "word"}, "unknown tokens 'word'. Did you mean 'words'"),
        ({"prompt": "a", "answer": "b"}, {"max_tokens": 0}, "max_tokens must be a whole number of at least 1"),
        ({"prompt": "a", "answer": "b"}, {"stop": [""]}, "a stop text is empty"),
        ({"prompt": "a", "answer": "b"}, {"metric": "adherence"}, "needs a `language`, a `script`, or both"),
        ({"prompt": "a", "answer": "b"}, {"among": ["it"]}, "`among` needs `language`"),
        ({"prompt": "a", "answer": "b"}, {"language": "italian"}, "unknown language 'italian'"),
        ({"prompt": "a", "answer": "b"}, {"script": "Latein"}, "unknown script 'Latein'"),
    ],
)
def test_what_cannot_be_used_is_named(write, line, options, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        Generation.open(write(line), **options)


def test_a_language_without_the_extra_is_refused_when_the_task_is_opened(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    languages._identifier.cache_clear()
    with pytest.raises(PluginError, match=r"heterosis\[language\]"):
        Generation.open(write({"prompt": "a", "answer": "b"}), language="it")
