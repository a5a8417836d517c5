"""Passes that begin where another candidate's differ from it score the same, bit for bit."""

import gc
import weakref

import numpy as np
import pytest
from heterosis.core.errors import MaterialiseError
from heterosis.core.genome import Genome
from heterosis.core.merge_space import Merge
from heterosis.core.quantize_space import Quantize
from heterosis.core.space import Space
from heterosis.core.study_spec import ObjectiveSpec, StudySpec, TaskSpec
from heterosis.fitness import prefix_reuse
from heterosis.fitness.evaluator import Evaluator
from heterosis.fitness.prefix_reuse import PrefixReuse
from heterosis.testing.tiny import FAMILIES

TEXT = "the quick brown fox jumps over the lazy dog and one two three four five six seven\n" * 4
LAYERS = 3


@pytest.fixture
def spec(tmp_path, checkpoints, choice_items, write_lines, monkeypatch):
    monkeypatch.setenv("HETEROSIS_TENSOR_STORE", "off")
    write_lines(tmp_path / "words.jsonl", choice_items(6))
    (tmp_path / "text.txt").write_text(TEXT)
    tasks = {
        "words": TaskSpec("multiple_choice", files={"search": "words.jsonl"}),
        "text": TaskSpec("perplexity", files={"search": "text.txt"}, options={"characters": 100}),
        "kl": TaskSpec("divergence", files={"search": "text.txt"}, options={"characters": 100}),
    }
    sources = [str(checkpoints / name) for name in ("one", "two")]
    quantize = Quantize(levels=("int2-g16", "int4-g16"))
    space = Space(str(checkpoints / "base"), sources, Merge("linear"), tmp_path, quantize)
    return StudySpec("tiny", space, tasks, (ObjectiveSpec("bytes", "minimize"),), optimizer="nsga2", folder=tmp_path)


def recipe(spec, changed=(), weight=0.5, other=0.5):
    """Uniform but for the genes whose names have one of the texts in them."""
    levels = {
        gene.name: "int2-g16" if any(part in gene.name for part in changed) else "int4-g16"
        for gene in spec.space.genes
        if gene.name.startswith("level/")
    }
    return spec.space.decode(Genome({**levels, "weight/one": weight, "weight/two": other}))


def fresh(spec, one):
    """What a process says that has computed nothing else, and reuses nothing."""
    evaluator = Evaluator(spec)
    evaluator._model.prefixes = None
    return evaluator.evaluate(one, "search").scores


def skipped(evaluator, one):
    """The share of layers that were not computed."""
    prefixes = evaluator._model.prefixes
    layers, left_out = prefixes.layers, prefixes.skipped
    scores = evaluator.evaluate(one, "search").scores
    return scores, (prefixes.skipped - left_out) / (prefixes.layers - layers)


def test_children_score_the_same_and_skip_what_they_share(spec):
    evaluator = Evaluator(spec)
    parent, late, middle, early = (recipe(spec, part) for part in ((), ["layer 2"], ["layer 1"], ["layer 0"]))
    shares = []
    for one in (parent, late, middle, early, parent, late):
        scores, share = skipped(evaluator, one)
        assert scores == fresh(spec, one)
        shares.append(share)
    # two tasks read the same text, and the second skips all; so does the merge that only the first is compared with
    assert shares[1] > shares[2] > shares[3]
    assert shares[4] == shares[5] == 1.0


def test_another_merge_shares_nothing_and_scores_the_same(spec):
    evaluator = Evaluator(spec)
    for weight in (0.5, 0.25, 0.5):
        one = recipe(spec, weight=weight)
        assert evaluator.evaluate(one, "search").scores == fresh(spec, one)


def test_when_something_else_was_resident_meanwhile_nothing_is_mistaken(spec):
    evaluator = Evaluator(spec)
    parent, child = recipe(spec), recipe(spec, ["layer 2"])
    evaluator.evaluate(parent, "search")
    evaluator.log_likelihoods(recipe(spec, weight=0.9), ["one two three", TEXT[:100]])
    assert evaluator.evaluate(child, "search").scores == fresh(spec, child)
    broken = recipe(spec, weight=0.0, other=0.0)
    with pytest.raises(MaterialiseError, match="finite"):
        evaluator.evaluate(broken, "search")
    assert evaluator._live.plan is None
    assert evaluator.evaluate(parent, "search").scores == fresh(spec, parent)


def test_memory_is_bounded_and_the_scores_are_the_same(spec):
    evaluator = Evaluator(spec)
    for limit in (0, 40_000, 300_000):
        evaluator._model.prefixes = PrefixReuse(evaluator._model.model, lambda: evaluator._live.plan, limit)
        for changed in ([], ["layer 2"], ["layer 0"], ["layer 1"], []):
            one = recipe(spec, changed)
            assert evaluator.evaluate(one, "search").scores == fresh(spec, one)
        held = sum(state.hidden.nbytes for state in evaluator._model.prefixes._states.values())
        assert held == evaluator._model.prefixes._held <= limit
    assert held > 0


def test_after_memory_ran_out_less_is_kept(spec):
    evaluator = Evaluator(spec)
    evaluator.evaluate(recipe(spec), "search")
    state = weakref.ref(next(iter(evaluator._model.prefixes._states.values())).hidden)
    evaluator._model.halve_batch()
    gc.collect()
    assert state() is None
    one = recipe(spec, ["layer 2"])
    scores = [
        np.concatenate(list(found.values())) for found in (evaluator.evaluate(one, "search").scores, fresh(spec, one))
    ]
    np.testing.assert_allclose(*scores, rtol=1e-4)


def test_layers_are_as_they_were_afterwards(spec):
    evaluator = Evaluator(spec)
    for changed in ([], ["layer 2"]):
        evaluator.evaluate(recipe(spec, changed), "search")
    assert not any("forward" in vars(module) for module in evaluator._model.model.modules())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_known_to_start_anywhere_or_left_out(model_of, family):
    from heterosis.fitness.batch import make_batch
    from heterosis.fitness.token_tree import TokenTree

    tree = TokenTree()
    tree.add((3, 5, 7), (11, 13, 17))
    model = model_of(family, 2)
    batch = make_batch([tree], model.device)
    stack = prefix_reuse._stack(model)
    assert len(stack) == LAYERS
    assert prefix_reuse._starts_anywhere(model, stack, batch) is True


def test_a_model_whose_layers_share_more_than_hidden_states_is_left_out(spec):
    evaluator = Evaluator(spec)
    layers, seen = evaluator._model.model.model.layers, {}

    def see(_layer, arguments):
        seen["first"] = arguments[0]

    def add(_layer, _arguments, given):
        return given + seen.pop("first", 0)

    # the last layer adds what the second was given, which no hidden state tells
    layers[1].self_attn.register_forward_pre_hook(
        lambda _layer, _given, options: see(_layer, [options["hidden_states"]]), with_kwargs=True
    )
    layers[2].mlp.register_forward_hook(add)
    scores = evaluator.evaluate(recipe(spec), "search").scores
    assert evaluator._model.prefixes.layers == 0
    evaluator._model.prefixes = None
    assert evaluator.evaluate(recipe(spec), "search").scores == scores
