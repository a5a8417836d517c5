"""docs/study-file.md names every key of a study and of `quantize`; its examples of `quantize` are read."""

import re
from pathlib import Path

import pytest
import yaml
from heterosis.core import registry, study_spec
from heterosis.core.quantize_space import QUANTIZE_KEYS, Quantize

PAGE = (Path(__file__).parents[2] / "docs" / "study-file.md").read_text(encoding="utf-8")


def keys(heading):
    """The first column of the table that begins with `heading`."""
    table = PAGE.split(heading)[1].split("\n\n")[0]
    return set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))


def test_every_key_of_a_study_is_described():
    assert keys("| key | meaning | default |") == set(study_spec._KEYS)


def test_every_key_of_quantize_is_described():
    assert keys("| key of `quantize` | meaning | default |") == set(QUANTIZE_KEYS)


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(quantize:\n.*?)```", PAGE, re.DOTALL))
def test_examples_of_quantize_are_read(text):
    made = Quantize(**yaml.safe_load(text)["quantize"])
    assert Quantize(**made.to_dict()).to_dict() == made.to_dict()


def test_there_are_examples():
    assert PAGE.count("```yaml\nquantize:") == 2


def test_every_optimizer_is_in_the_tables():
    table = PAGE.split("| name | objectives | options |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(registry.names("optimizers"))
