import pytest
from heterosis.core.metrics import characters, words_13a, words_chrf, words_squad
from hypothesis import example, given
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
from sacrebleu.tokenizers.tokenizer_char import TokenizerChar

texts = st.one_of(st.text(max_size=20), st.text(alphabet="a1 .,-'\"&;<>q\n(", max_size=20))


@example("It's 1,234.5 -- &quot;so&quot; they <skipped>say: re-\ndone, 3-4.")
@given(texts)
def test_words_are_mtevals(text):
    assert words_13a(text) == Tokenizer13a()(text.rstrip()).split()


@example("(hi) a.b 'x' -- ok!?")
@given(texts)
def test_words_of_chrf_are_sacrebleus(text):
    assert words_chrf(text) == CHRF()._remove_punctuation(text)


@given(texts)
def test_characters_are_sacrebleus(text):
    assert characters(text) == TokenizerChar()(text).split()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Eiffel Tower!", "eiffel tower"),
        ("a cat, an owl and the dog", "cat owl and dog"),
        ("theatre at 3.5%", "theatre at 35"),
        (" \n", ""),
    ],
)
def test_words_of_squad_lack_case_punctuation_and_articles(text, words):
    assert words_squad(text) == words.split()
