"""The shared tiny checkpoints, open, and plans over them."""

import pytest
from heterosis.core.checkpoints import SourceSet
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe


@pytest.fixture(scope="session")
def sources(checkpoints):
    """The open checkpoints."""
    return SourceSet("base", ["one", "two", "three", "lora-one", "lora-two"], checkpoints)


@pytest.fixture(scope="session")
def planned(sources):
    """Plans the recipe that a YAML text holds."""
    return lambda text: plan(Recipe.from_yaml(text), sources)
