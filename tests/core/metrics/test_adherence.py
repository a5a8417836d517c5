import sys

import pytest
from heterosis.core.errors import ConfigurationError, PluginError
from heterosis.core.metrics import code_points, has_letters, in_language, languages, script_share

SENTENCES = {
    "it": "Il gatto dorme sul divano tutto il giorno e non vuole uscire.",
    "en": "The cat sleeps on the couch all day and does not want to go out.",
    "de": "Die Katze schläft den ganzen Tag auf dem Sofa und will nicht hinaus.",
    "ru": "Кошка весь день спит на диване и не хочет выходить.",
}


@pytest.mark.parametrize(
    ("text", "scripts", "share"),
    [
        ("Ciao, Мир 42!", ["Latin"], 4 / 7),
        ("Ciao, Мир 42!", ["Latin", "Cyrillic"], 1.0),
        ("perché", ["Latin"], 1.0),
        ("perche\u0301", ["Latin"], 1.0),
        ("ラーメンと寿司", ["Hiragana", "Katakana", "Han"], 1.0),
        ("ラーメン", ["Katakana"], 1.0),
        ("abc", ["Old_Italic"], 0.0),
        ("нет", ["Latin"], 0.0),
    ],
)
def test_the_share_is_of_letters(text, scripts, share):
    assert script_share(code_points([text]), scripts).tolist() == [share]


def test_a_batch_is_measured_at_once_and_an_answer_without_letters_has_no_share():
    characters = code_points(["abc де", "", "42 + 1 = 43!"])
    assert script_share(characters, ["Latin"]).nan_to_num(-1.0).tolist() == [0.6, -1.0, -1.0]
    assert has_letters(characters).tolist() == [True, False, False]


@pytest.mark.parametrize("script", ["Latn!", "Nowhere", "", "Latin}|."])
def test_an_unknown_script_is_named(script):
    with pytest.raises(ConfigurationError, match="unknown script"):
        script_share(code_points(["a"]), [script])


def test_no_script_is_refused():
    with pytest.raises(ConfigurationError, match="no script is named"):
        script_share(code_points(["a"]), [])


@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_are_told_apart(language):
    expected = [other == language for other in SENTENCES]
    assert in_language(list(SENTENCES.values()), language).tolist() == expected
    assert in_language(list(SENTENCES.values()), language, among=list(SENTENCES)).tolist() == expected


def test_the_language_itself_is_always_among_those_to_choose_from():
    assert in_language([SENTENCES["it"], SENTENCES["en"]], "it", among=["en"]).tolist() == [True, False]


def test_what_the_library_does_not_know_is_named():
    with pytest.raises(ConfigurationError, match="unknown language 'italian'"):
        in_language(["a"], "italian")
    with pytest.raises(ConfigurationError, match="unknown language 'italian'"):
        in_language(["a"], "it", among=["italian"])
    with pytest.raises(ConfigurationError, match="name another language"):
        in_language(["a"], "it", among=["it"])


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    languages._identifier.cache_clear()
    with pytest.raises(PluginError, match=r"heterosis\[language\]"):
        in_language(["a"], "it")
