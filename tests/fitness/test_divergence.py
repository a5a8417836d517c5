"""Divergence from a reference is what its definition says, whatever was evaluated before."""

import dataclasses

import pytest
import torch
from heterosis.core.errors import ConfigurationError, EvaluationError
from heterosis.core.genome import Genome
from heterosis.core.merge_space import Merge
from heterosis.core.plan import plan
from heterosis.core.quantize_space import Quantize
from heterosis.core.space import Space
from heterosis.core.study_spec import ObjectiveSpec, StudySpec, TaskSpec
from heterosis.fitness.divergence import Expectations, ExpectationsCache
from heterosis.fitness.evaluator import Evaluator
from heterosis.fitness.transformers_model import TransformersModel
from heterosis.search.eval_keys import EvaluationKeys
from hypothesis import example, given
from hypothesis import strategies as st

TEXT = "the quick brown fox jumps over the lazy dog and one two three four five six seven\n" * 6
VOCABULARY = 20
KL = ObjectiveSpec("divergence", "minimize", ("text",))
# logits of two models at some places
logits = st.integers(0, 2**32 - 1).map(lambda seed: torch.randn(2, 7, VOCABULARY, generator=_generator(seed)) * 4)


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _whole(reference, other):
    ours, theirs = (one.double().log_softmax(-1) for one in (reference, other))
    return (ours.exp() * (ours - theirs)).sum(-1)


@given(logits)
def test_with_all_tokens_it_is_the_divergence_by_definition(two):
    found = Expectations.of(two[0], VOCABULARY).divergence(two[1])
    torch.testing.assert_close(found, _whole(*two), atol=1e-5, rtol=1e-4)


@given(logits, st.integers(1, VOCABULARY - 1))
@example(torch.randn(2, 7, VOCABULARY, generator=torch.Generator().manual_seed(215)) * 4, 17)
def test_fewer_tokens_never_say_more_and_more_never_less(two, top):
    few, more = (Expectations.of(two[0], count).divergence(two[1]) for count in (top, top + 1))
    assert (few >= 0).all()
    # Logs are float32 and the rest is a difference of sums, so a small rest is known to some digits only.
    assert (few <= more * (1 + 1e-4) + 1e-5).all()
    assert (more <= _whole(*two) * (1 + 1e-4) + 1e-5).all()


@given(logits, st.integers(1, VOCABULARY))
def test_a_model_does_not_diverge_from_itself(two, top):
    assert not Expectations.of(two[0], top).divergence(two[0]).any()


@pytest.fixture
def spec(tmp_path, checkpoints):
    (tmp_path / "text.txt").write_text(TEXT)

    def make(labels=("int3-g16", "int4-g16", "none"), **options):
        tasks = {"text": TaskSpec("divergence", files={"search": "text.txt"}, options={"characters": 100, **options})}
        sources = [str(checkpoints / name) for name in ("one", "two")]
        quantize = Quantize(levels=labels) if labels else None
        space = Space(str(checkpoints / "base"), sources, Merge("linear"), tmp_path, quantize)
        return StudySpec("tiny", space, tasks, (KL,), optimizer="nsga2", folder=tmp_path)

    return make


def recipe(spec, level, weight=0.5):
    genes = {gene.name: level for gene in spec.space.genes if gene.name.startswith("level/")}
    return spec.space.decode(Genome({**genes, "weight/one": weight, "weight/two": 1 - weight}))


def mean(evaluator, *arguments):
    return evaluator.evaluate(recipe(evaluator.spec, *arguments), "search").measured["divergence text"].mean


def test_fewer_bits_diverge_more_and_no_quantisation_not_at_all(spec):
    evaluator = Evaluator(spec())
    found = [mean(evaluator, level) for level in ("none", "int4-g16", "int3-g16")]
    assert found[0] == 0.0
    assert 0 < found[1] < found[2]


def test_it_is_what_one_computes_by_hand(spec, tokenizer):
    evaluator = Evaluator(spec(top=10**6))
    model = evaluator._live.model
    item = evaluator.items["search"]["text"].items[0]
    tokens = torch.tensor([tokenizer(item.data["text"])["input_ids"]])
    found = []
    for one in (recipe(evaluator.spec, "none"), recipe(evaluator.spec, "int3-g16")):
        evaluator._live.materialise(plan(one, evaluator.spec.space.checkpoints))
        with torch.inference_mode():
            found.append(model(tokens).logits[0, :-1])
    scores = evaluator.evaluate(recipe(evaluator.spec, "int3-g16"), "search", {"text": [item.id]}).scores["text"]
    assert scores == pytest.approx([float((-_whole(*found).mean()).exp())], abs=1e-5)


def test_the_merge_is_asked_once_while_only_levels_change(spec, monkeypatch):
    asked = []
    remember = TransformersModel.remember
    monkeypatch.setattr(TransformersModel, "remember", lambda *all: asked.append(all[1]) or remember(*all))
    evaluator = Evaluator(spec())
    found = [mean(evaluator, level) for level in ("int4-g16", "int3-g16", "int4-g16")]
    assert len(asked) == 1
    mean(evaluator, "int4-g16", 0.25)
    assert len(set(asked)) == 2
    assert [mean(Evaluator(spec()), level) for level in ("int4-g16", "int3-g16")] == found[:2]
    assert found[2] == found[0]


def test_what_it_is_compared_with_can_be_the_base_or_a_source(spec):
    for reference in ("base", "one"):
        evaluator = Evaluator(spec(labels=(), reference=reference))
        own = evaluator.spec.space.references()
        found = {
            label: evaluator.evaluate(one, "search").measured["divergence text"].mean for label, one in own.items()
        }
        assert found.pop(reference) == 0.0
        assert min(found.values()) > 0


def test_an_unknown_reference_is_refused_before_any_work(spec):
    with pytest.raises(ConfigurationError, match=r"unknown reference 'on'.*'one'"):
        Evaluator(spec(reference="on"))


def test_a_model_without_a_reference_says_so(model_of, tokenizer):
    with pytest.raises(EvaluationError, match="nothing is known of what the reference 'merge' expects"):
        TransformersModel(model_of("llama"), tokenizer).divergences(["one two three"], "merge", 4)


def test_smaller_batches_after_memory_ran_out_compare_with_the_same(spec):
    evaluator, other = Evaluator(spec()), Evaluator(spec())
    expected = mean(evaluator, "int3-g16")
    mean(other, "none")
    while other._model.halve_batch():
        pass
    assert mean(other, "int3-g16") == pytest.approx(expected, rel=1e-3)


def test_equal_keys_mean_the_same_reference(spec, checkpoints):
    def key(one, base="base"):
        if base != "base":
            space = Space(str(checkpoints / base), one.space.labelled, one.space.merge, one.folder)
            one = dataclasses.replace(one, space=space)
        return EvaluationKeys(Evaluator(one)).key(recipe(spec(labels=()), "none"), "search")

    assert key(spec(labels=(), reference="base")) == key(spec(labels=(), reference="base"))
    # the recipe, a linear merge, does not name the base
    assert key(spec(labels=(), reference="base")) != key(spec(labels=(), reference="base"), "three")
    assert key(spec(labels=(), reference="merge")) == key(spec(labels=(), reference="merge"), "three")


def test_what_was_used_longest_ago_is_forgotten_first_and_what_is_needed_never():
    cache = ExpectationsCache(3 * 8 * 7)
    for name in "abc":
        cache.keep(name, Expectations.of(torch.randn(7, VOCABULARY), 1))
    cache.get("a")
    cache.keep("d", Expectations.of(torch.randn(7, VOCABULARY), 1))
    cache.shrink(1)
    assert [name for name in "abcd" if name in cache] == ["a", "c", "d"]
    cache.keep("large", Expectations.of(torch.randn(100, VOCABULARY), 10))
    cache.shrink(1)
    assert [name for name in (*"abcd", "large") if name in cache] == ["large"]
