"""The examples on docs/recipes.md are recipes, and its table names every key."""

import re
from pathlib import Path

from heterosis.core import recipe
from heterosis.core.quantization import quantization
from heterosis.core.recipe import Recipe

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")


def test_every_example_is_read():
    examples = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 4
    for text in examples:
        if "merge_method" not in text:
            text = f"merge_method: linear\nmodels: [one]\n{text}"
        again = Recipe.from_yaml(text)
        assert Recipe.from_yaml(again.to_yaml()) == again


def test_every_key_is_described():
    whole, quantize = re.split(r"^\| key of `quantize`", PAGE, flags=re.MULTILINE)
    assert described(whole) == set(recipe._KEYS)
    assert described(quantize) == set(quantization._KEYS)


def described(page):
    return set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE))))
