"""Stores on both databases, and short ways to fill them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from heterosis.core.genome import Genome, content_hash
from heterosis.storage import ItemSet, NewProposal, Responses, Store, StudyRecord

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)]


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a table, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'heterosis.db'}"
    else:
        with request.getfixturevalue("new_database")("template0") as url:
            yield url


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a row, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'heterosis.db'}"
    found: str = request.getfixturevalue("postgresql_url")
    return found


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def study(store: Store) -> StudyRecord:
    return store.studies.create("first", {"budget": 10}, seed=7, plugin_versions={"ga": "1.0"})


@pytest.fixture
def proposal() -> Callable[..., NewProposal]:
    """`proposal(0.5)`: a proposal whose recipe and keys follow from its one gene."""

    def make(weight: float, operator: str = "random", parents: tuple[int, ...] = ()) -> NewProposal:
        recipe: dict[str, Any] = {"merge": "linear", "weight": weight}
        key = content_hash({"recipe": recipe, "items": "all"})
        return NewProposal(Genome({"weight": weight}), recipe, content_hash(recipe), key, operator, parents)

    return make


@pytest.fixture
def answers() -> Callable[..., Responses]:
    """`answers(0.0, 1.0)`: responses of one task."""

    def make(*scores: float, task: str = "maths") -> Responses:
        item_ids = tuple(f"q{place}" for place in range(len(scores)))
        return Responses(task, ItemSet(content_hash(list(item_ids)), item_ids), scores)

    return make
