"""The items of a task go to search, validation and test, and no question to two of them."""

import random

import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.core.stage import STAGES
from heterosis.core.study_spec import TaskSpec
from heterosis.fitness.item_sets import load_items


@pytest.fixture
def dealt(tmp_path, write_lines):
    """Deals the items of one file: the ids that each stage gets."""

    def deal(items, searched, seed=1):
        write_lines(tmp_path / "items.jsonl", items)
        spec = TaskSpec("multiple_choice", file="items.jsonl", items=searched)
        return ids_of(load_items("words", spec, tmp_path, seed))

    return deal


@pytest.fixture
def staged(tmp_path, write_lines):
    """Opens a file for each stage that is given: the ids that each stage gets."""

    def open_files(searched=None, **stages):
        files = {stage: write_lines(tmp_path / f"{stage}.jsonl", items).name for stage, items in stages.items()}
        return ids_of(load_items("words", TaskSpec("multiple_choice", files=files, items=searched), tmp_path, 1))

    return open_files


def ids_of(groups):
    return {stage: [item.id for item in group.items] for stage, group in groups.items()}


def test_one_file_is_dealt_into_disjoint_sets(dealt, choice_items):
    found = dealt(choice_items(21), 8)
    assert tuple(found) == STAGES
    assert [len(found[stage]) for stage in STAGES] == [8, 6, 7]
    assert sorted(item for ids in found.values() for item in ids) == sorted(item["id"] for item in choice_items(21))


def test_the_seed_deals(dealt, choice_items):
    items = choice_items(20)
    assert dealt(items, 8, seed=1) == dealt(items, 8, seed=1)
    assert dealt(items, 8, seed=1) != dealt(items, 8, seed=2)


def test_the_order_of_the_lines_does_not_matter(dealt, choice_items):
    items = choice_items(20)
    expected = dealt(items, 8)
    random.Random(5).shuffle(items)
    assert dealt(items, 8) == expected


def test_asking_more_in_the_search_leaves_those_that_were_asked(dealt, choice_items):
    assert set(dealt(choice_items(20), 5)["search"]) < set(dealt(choice_items(20), 9)["search"])


def test_a_file_needs_an_item_for_each_stage(dealt, choice_items):
    assert [len(ids) for ids in dealt(choice_items(10), 8).values()] == [8, 1, 1]
    with pytest.raises(ConfigurationError, match="'words' has 9 items; 8 for the search leave none"):
        dealt(choice_items(9), 8)


def test_one_question_under_two_ids_is_not_dealt_to_two_stages(dealt, choice_items):
    items = choice_items(20)
    found = dealt(items, 8)
    first, second = found["search"][0], found["test"][0]
    question = next(item for item in items if item["id"] == first)
    items = [{**question, "id": item["id"]} if item["id"] == second else item for item in items]
    with pytest.raises(ConfigurationError, match=f"item '{second}' of the test set .* search set \\(as '{first}'\\)"):
        dealt(items, 8)


def test_a_file_for_each_stage(staged, choice_items):
    found = staged(search=choice_items(4), validation=choice_items(3, first=4), test=choice_items(2, first=7))
    assert found == {"search": ["q0", "q1", "q2", "q3"], "validation": ["q4", "q5", "q6"], "test": ["q7", "q8"]}


def test_a_stage_without_a_file_is_left_out(staged, choice_items):
    assert staged(test=choice_items(2)) == {"test": ["q0", "q1"]}


def test_the_search_asks_the_first_so_many_of_its_file(staged, choice_items):
    found = staged(3, search=choice_items(6), test=choice_items(6, first=6))
    assert found["search"] == ["q0", "q1", "q2"]
    assert len(found["test"]) == 6


@pytest.mark.parametrize("other", [{"id": "another"}, {"prompt": "something else is"}])
def test_two_files_that_share_a_question_or_an_id_are_refused(staged, choice_items, other):
    shared = {**choice_items(1)[0], **other}
    with pytest.raises(ConfigurationError) as caught:
        staged(search=choice_items(4), test=[*choice_items(2, first=4), shared])
    assert f"item {shared['id']!r} of the test set is also in the search set (as 'q0')" in str(caught.value)


def test_what_the_search_does_not_ask_may_be_tested(staged, choice_items):
    assert staged(2, search=choice_items(4), test=choice_items(4, first=2))["test"] == ["q2", "q3", "q4", "q5"]


def test_a_file_that_is_missing_is_named(tmp_path):
    spec = TaskSpec("multiple_choice", files={"search": "nowhere.jsonl"})
    with pytest.raises(ConfigurationError, match=r"nowhere\.jsonl cannot be read"):
        load_items("words", spec, tmp_path, 1)
