import numpy as np
from heterosis.fitness.token_tree import TokenTree
from hypothesis import given
from hypothesis import strategies as st

tokens = st.lists(st.integers(0, 3), min_size=1, max_size=6)


def test_the_prompt_and_shared_first_tokens_are_fed_once_and_last_tokens_never():
    tree = TokenTree()
    paths = [tree.add([1, 2, 3], continuation) for continuation in ([7, 8], [7, 9], [7, 8, 5], [6])]
    assert tree.tokens == [1, 2, 3, 7, 8]
    assert tree.depths == [0, 1, 2, 3, 4]
    assert tree.edges == [(2, 7), (3, 8), (3, 9), (4, 5), (2, 6)]
    assert paths == [[0, 1], [0, 2], [0, 1, 3], [4]]


def test_a_tree_of_one_sequence_is_a_chain():
    tree = TokenTree()
    tree.add([1, 2], [3, 4])
    assert tree.is_chain
    tree.add([1, 2], [5, 4, 4])
    assert not tree.is_chain


@given(start=tokens, continuations=st.lists(tokens, min_size=1, max_size=5))
def test_a_path_spells_its_sequence(start, continuations):
    tree = TokenTree()
    for continuation in continuations:
        path = [tree.edges[number] for number in tree.add(start, continuation)]
        assert [token for _, token in path] == continuation
        node, fed = path[-1][0], []
        while node >= 0:
            fed.append(tree.tokens[node])
            node = tree.parents[node]
        assert fed[::-1] == start + continuation[:-1]


@given(start=tokens, continuations=st.lists(tokens, min_size=1, max_size=5))
def test_a_node_sees_as_many_nodes_as_it_is_deep(start, continuations):
    tree = TokenTree()
    for continuation in continuations:
        tree.add(start, continuation)
    seen = tree.ancestors()
    assert seen.sum(axis=1).tolist() == [depth + 1 for depth in tree.depths]
    assert not np.triu(seen, 1).any()
    assert len(tree) == len({(*start, *c[:n]) for c in continuations for n in range(len(c))}) + len(start) - 1
