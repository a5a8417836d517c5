"""YAML is read as people mean it, and cannot harm: no key twice, no bombs, no Python objects."""

import pytest
from heterosis.core import strict_yaml
from heterosis.core.errors import ConfigurationError
from hypothesis import given, settings
from hypothesis import strategies as st

# YAML has no way to write some control characters.
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    TEXTS,
)
CONTENTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("abcvalue _-:#", max_size=6), inner)),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abcvalue _-:#", max_size=6), CONTENTS, max_size=4))
@settings(deadline=None, max_examples=50)
def test_what_is_dumped_reads_back_the_same(content):
    assert strict_yaml.parse(strict_yaml.dump(content), "test") == content


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "study.yaml: line 3: the key 'a' is given twice"),
        ("a: {b: 1, b: 1}\n", "the key 'b' is given twice"),
        ("a: [1, 2\n", "study.yaml is not YAML"),
        ("- a\n- b\n", "must hold a mapping"),
        ("just text", "must hold a mapping"),
        ("", "must hold a mapping"),
        ("1: a\n", "must hold a mapping"),
        ("a: 1\n---\nb: 2\n", "study.yaml is not YAML"),
        ("a: !!python/object/apply:os.system [ls]\n", "study.yaml is not YAML"),
        ("a: {[b]: 1}\n", "study.yaml: line 1: a key must be plain, not"),
        ("a: &a {b: 1}\nc: {<<: *a, d: 2}\n", "study.yaml: line 2: merge keys"),
        ("a: 2026-13-45\n", "study.yaml is not YAML: month"),
        ("a: " + "9" * 5000, "study.yaml is not YAML: .*digits"),
        ("a: \x00\n", "study.yaml is not YAML"),
        ("a: " + "[" * 60 + "]" * 60, "nested deeper than 50 levels"),
        ("a: " + "[" * 100_000, "nested deeper than 50 levels"),
        ("a: " + "x" * 1_000_001, "1000004 characters of YAML"),
        ("a: &a 1\nb: [" + "*a, " * 101 + "]\n", "more than 100 YAML aliases"),
        ("a: &a [1, *a]\n", "study.yaml: line 1: the alias 'a' contains itself"),
    ],
)
def test_what_is_refused_says_why(text, message):
    with pytest.raises(ConfigurationError, match=message):
        strict_yaml.parse(text, "study.yaml")


def test_a_billion_laughs_are_not_written_out():
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    with pytest.raises(ConfigurationError, match=r"stand for more than 100000 values"):
        strict_yaml.parse("\n".join(lines), "study.yaml")


def test_a_few_aliases_are_fine():
    assert strict_yaml.parse("a: &a [1, 2]\nb: [*a, *a]\n", "test") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


def test_a_file_is_read(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("name: größe\n", encoding="utf-8")
    assert strict_yaml.read(path) == {"name": "größe"}


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"there is no file .*study\.yaml"):
        strict_yaml.read(tmp_path / "study.yaml")
    with pytest.raises(ConfigurationError, match=r"cannot be read"):
        strict_yaml.read(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("name: größe\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"latin\.yaml cannot be read"):
        strict_yaml.read(tmp_path / "latin.yaml")


@pytest.mark.parametrize("text", ["\x85", "a\u2028b", "\u2029", "caffè", 'a: "b"\x85'])
def test_text_is_read_back_as_it_was_also_with_line_ends_of_unicode(text):
    assert strict_yaml.parse(strict_yaml.dump({text: [text]}), "here") == {text: [text]}
