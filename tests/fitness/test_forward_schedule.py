from functools import partial

import numpy as np
import pytest
from heterosis.fitness.batch import groups
from heterosis.fitness.forward import edge_log_likelihoods
from heterosis.fitness.forward_schedule import ForwardSchedule, line_up, plant
from heterosis.fitness.tree_attention import deepest_tree
from heterosis.testing.tiny import FAMILIES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# few distinct tokens, so that sequences begin alike often
sequence = st.lists(st.integers(3, 6), min_size=1, max_size=7).map(tuple)
requests = st.lists(st.tuples(sequence, st.lists(sequence, min_size=1, max_size=4)), min_size=1, max_size=4)
quick = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _alone(alone, model, asked):
    return [alone(model, start, continuation) for start, continuations in asked for continuation in continuations]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
@quick
@given(asked=requests, batch_tokens=st.integers(1, 200))
def test_trees_give_what_each_sequence_gives_alone(model_of, alone, family, attention, asked, batch_tokens):
    model = model_of(family, 1, attn_implementation=attention)
    schedule = ForwardSchedule(plant(asked, deepest_tree(model), 1024), model.device, batch_tokens)
    np.testing.assert_allclose(
        schedule.run(partial(edge_log_likelihoods, model)), _alone(alone, model, asked), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("family", FAMILIES)
@quick
@given(asked=requests, batch_tokens=st.integers(1, 200))
def test_chains_give_what_each_sequence_gives_alone(model_of, alone, family, asked, batch_tokens):
    model = model_of(family, 1)
    schedule = ForwardSchedule(line_up(asked), model.device, batch_tokens)
    assert not schedule.has_branches
    np.testing.assert_allclose(
        schedule.run(partial(edge_log_likelihoods, model)), _alone(alone, model, asked), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("family", ["gemma3", "mistral"])
def test_a_sequence_longer_than_the_sliding_window_stands_alone(model_of, alone, family):
    model = model_of(family, 1, sliding_window=8)
    asked = [(tuple(range(3, 13)), [(20, 21), (20, 22)]), ((3, 4), [(20, 21, 22), (20, 23, 24)])]
    forest = plant(asked, deepest_tree(model), 1024)
    assert [tree.is_chain for tree in forest.trees].count(False) == 1
    schedule = ForwardSchedule(forest, model.device, 512)
    np.testing.assert_allclose(
        schedule.run(partial(edge_log_likelihoods, model)), _alone(alone, model, asked), atol=1e-4, rtol=0
    )


def test_requests_that_begin_with_the_same_examples_share_them(model_of, alone):
    examples = tuple(range(3, 63))
    asked = [((*examples, 70 + number), [(80, 81), (80, 82), (83,)]) for number in range(10)]
    forest = plant(asked, 1 << 30, 1024)
    assert len(forest.trees) == 1
    assert len(forest.trees[0]) == 60 + 10 * 2
    model = model_of("llama", 1)
    figures = ForwardSchedule(forest, model.device, 512).run(partial(edge_log_likelihoods, model))
    np.testing.assert_allclose(figures, _alone(alone, model, asked), atol=1e-4, rtol=0)


def test_requests_that_share_little_keep_their_own_trees():
    forest = plant([((1, 5, number), [(80, 81), (80, 82)]) for number in range(10)], 1 << 30, 1024)
    assert len(forest.trees) == 10


@given(lengths=st.lists(st.integers(1, 50), max_size=30), batch_tokens=st.integers(1, 120))
def test_groups_hold_everything_once_and_keep_to_the_size(lengths, batch_tokens):
    found = groups(lengths, batch_tokens)
    assert sorted(index for group in found for index in group) == list(range(len(lengths)))
    for group in found:
        assert len(group) == 1 or len(group) * max(lengths[index] for index in group) <= batch_tokens
