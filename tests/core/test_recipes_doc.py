"""The examples on docs/recipes.md are recipes, and its table names every key."""

import re
from pathlib import Path

from heterosis.core import recipe
from heterosis.core.recipe import Recipe

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")


def test_every_example_is_read():
    examples = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 3
    for text in examples:
        if "merge_method" not in text:
            text = f"merge_method: linear\nmodels: [one]\n{text}"
        again = Recipe.from_yaml(text)
        assert Recipe.from_yaml(again.to_yaml()) == again


def test_every_key_is_described():
    described = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE))))
    assert described == set(recipe._KEYS)
