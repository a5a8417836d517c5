"""References taken apart without opening anything, and pinned to what was fetched, without a network."""

from pathlib import Path

import pytest
from heterosis.core.checkpoints.references import models_of, part_of, parts_of, pinned, pinned_as
from heterosis.core.merge_space import Merge
from heterosis.core.space import Space

MAIN, TAGGED, OTHER = "a" * 40, "b" * 40, "c" * 40


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache in which the hub's `owner/name` was fetched, its main branch and its tag v1."""
    folder = tmp_path / "cache"
    refs = folder / "hub" / "models--owner--name" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(MAIN)
    (refs / "v1").write_text(TAGGED)
    monkeypatch.setenv("HETEROSIS_CACHE", str(folder))
    return folder


@pytest.mark.parametrize(
    ("reference", "after"),
    [
        ("hub:owner/name", f"hub:owner/name@{MAIN}"),
        ("hub:owner/name@v1", f"hub:owner/name@{TAGGED}"),
        ("owner/name", f"hub:owner/name@{MAIN}"),
        (f"hub:owner/name@{OTHER}", f"hub:owner/name@{OTHER}"),
        ("hub:owner/other", "hub:owner/other"),
        ("hub:owner/name@v2", "hub:owner/name@v2"),
        ("folder/name", "folder/name"),
        ("hub:owner/name | base", f"hub:owner/name@{MAIN} | base"),
        ("base+owner/name", f"base+hub:owner/name@{MAIN}"),
        ("hub:owner/name+hub:owner/name@v1", f"hub:owner/name@{MAIN}+hub:owner/name@{TAGGED}"),
        ("pypi:a==1.0+cpu/m.gguf#sha256=" + "d" * 64, "pypi:a==1.0+cpu/m.gguf#sha256=" + "d" * 64),
    ],
)
def test_what_was_fetched_is_written_out(reference, after, cache, tmp_path):
    (tmp_path / "folder").mkdir()
    found = pinned(reference, tmp_path, cache)
    assert found == after
    assert pinned(found, tmp_path, cache) == found
    assert pinned_as(reference, found, tmp_path) == found


@pytest.mark.parametrize(
    ("reference", "recorded"),
    [
        (f"hub:owner/name@{MAIN}", f"hub:owner/name@{OTHER}"),
        ("hub:owner/name", f"hub:owner/other@{MAIN}"),
        ("hub:owner/name", "hub:owner/name@v1"),
        ("base", f"hub:owner/name@{MAIN}"),
        ("hub:owner/name", f"hub:owner/name@{MAIN} | base"),
        ("hub:owner/name | one", f"hub:owner/name@{MAIN} | two"),
    ],
)
def test_another_reference_is_no_pinned_form(reference, recorded, tmp_path):
    assert pinned_as(reference, recorded, tmp_path) == reference


def test_alternatives_after_one_that_is_here_are_not_asked(checkpoints, tmp_path):
    text = f"nowhere | hub:owner/name | {checkpoints / 'one'} | hub:owner/other"
    assert [(part.scheme, part.rest) for part in parts_of(text, tmp_path)] == [
        (None, "nowhere"),
        ("hub", "owner/name"),
        (None, str(checkpoints / "one")),
    ]
    assert [part.rest for part in parts_of("base+lora-one", checkpoints)] == ["base", "lora-one"]


def test_a_plus_may_be_part_of_a_name(tmp_path):
    (tmp_path / "a+b").mkdir()
    assert models_of("a+b", tmp_path) == ["a+b"]
    assert models_of("c+d", tmp_path) == ["c", "d"]


def test_a_home_folder_is_local():
    assert part_of("~/models/base", None).path == Path.home() / "models" / "base"


def test_a_space_is_pinned_with_its_labels_kept(cache, tmp_path):
    space = Space("hub:owner/name", ["owner/name@v1", "experts/it"], Merge("ties"), tmp_path)
    found = space.pinned()
    assert found.base == f"hub:owner/name@{MAIN}"
    assert found.labelled == {"name": f"hub:owner/name@{TAGGED}", "it": "experts/it"}
    assert found.pinned() is found
    assert space.pinned_as(found.to_dict()).to_dict() == found.to_dict()
    local = Space("base", ["one", "two"], Merge("ties"), tmp_path)
    assert local.pinned() is local
    assert local.pinned_as(found.to_dict()) is local
