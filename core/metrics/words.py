"""Texts to tokens, as the metrics' own libraries cut them."""

from __future__ import annotations

import re
import string

_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_13A = (
    (re.compile(r"([!-&(-+/:-@\[-`{-~ ])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)


def words_13a(text: str) -> list[str]:
    """Words and punctuation as mteval-v13a.pl, which WMT uses, and sacrebleu's default cut them."""
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    text = f" {text} "
    for pattern, replacement in _13A:
        text = pattern.sub(replacement, text)
    return text.split()


def words_chrf(text: str) -> list[str]:
    """Words with one punctuation mark at their end, else at their beginning, cut off (Popovic's chrF++.py)."""
    words = []
    for word in text.split():
        if len(word) > 1 and word[-1] in _PUNCTUATION:
            words += [word[:-1], word[-1]]
        elif len(word) > 1 and word[0] in _PUNCTUATION:
            words += [word[0], word[1:]]
        else:
            words.append(word)
    return words


def words_squad(text: str) -> list[str]:
    """Words in small letters, without ASCII punctuation and English articles (SQuAD's evaluation script)."""
    plain = "".join(character for character in text.lower() if character not in _PUNCTUATION)
    return _ARTICLES.sub(" ", plain).split()


def characters(text: str) -> list[str]:
    """The characters that are no space."""
    return list("".join(text.split()))
