"""Linear merges and task arithmetic: the algebra of weighted sums, and weights that leave nothing to divide by."""

import pytest
import torch
from heterosis.core.checkpoints import SourceSet
from heterosis.core.contracts import MergeParameters
from heterosis.core.errors import MaterialiseError
from heterosis.core.executors.compute import compute
from heterosis.core.executors.operands import Operands
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.plugins.merge.linear import Linear
from heterosis.plugins.merge.passthrough import Passthrough
from heterosis.plugins.merge.task_arithmetic import TaskArithmetic
from hypothesis import assume, given, settings
from hypothesis import strategies as st

COUNT = 3
TENSORS = st.lists(st.floats(-8, 8, width=16), min_size=5, max_size=5).map(
    lambda v: torch.tensor(v, dtype=torch.float64)
)
SOURCES = st.lists(TENSORS, min_size=COUNT, max_size=COUNT)
WEIGHTS = st.lists(st.floats(-2, 2), min_size=COUNT, max_size=COUNT).map(tuple)


def linear(sources, weights, normalize=True):
    return Linear().merge(None, sources, MergeParameters({"weight": weights}, {"normalize": normalize}))


def arithmetic(base, sources, weights, normalize=False, factor=1.0):
    shared = {"normalize": normalize, "lambda": factor}
    return TaskArithmetic().merge(base, sources, MergeParameters({"weight": weights}, shared))


@given(SOURCES, WEIGHTS)
@settings(deadline=None, max_examples=50)
def test_a_linear_merge_is_the_weighted_sum_or_mean(sources, weights):
    total = sum(weight * source for weight, source in zip(weights, sources, strict=True))
    assert torch.allclose(linear(sources, weights, normalize=False), total, atol=1e-9)
    assume(abs(sum(weights)) > 1e-3)
    assert torch.allclose(linear(sources, weights), total / sum(weights), rtol=1e-6, atol=1e-9)


@given(SOURCES, WEIGHTS, st.floats(0.1, 9))
@settings(deadline=None, max_examples=50)
def test_a_common_factor_of_the_weights_changes_no_mean(sources, weights, factor):
    assume(abs(sum(weights)) > 1e-3)
    scaled = tuple(factor * weight for weight in weights)
    assert torch.allclose(linear(sources, weights), linear(sources, scaled), rtol=1e-6, atol=1e-6)


@given(TENSORS, SOURCES, WEIGHTS, st.sampled_from([1.0, 0.5, -2.0]))
@settings(deadline=None, max_examples=50)
def test_task_arithmetic_adds_weighted_task_vectors(base, sources, weights, factor):
    total = sum(weight * (source - base) for weight, source in zip(weights, sources, strict=True))
    assert torch.allclose(arithmetic(base, sources, weights, factor=factor), base + factor * total, atol=1e-9)
    assume(abs(sum(weights)) > 1e-3)
    found = arithmetic(base, sources, weights, normalize=True, factor=factor)
    assert torch.allclose(found, base + factor * total / sum(weights), rtol=1e-6, atol=1e-9)


@given(TENSORS, SOURCES, WEIGHTS)
@settings(deadline=None, max_examples=50)
def test_normalised_task_arithmetic_is_the_linear_merge(base, sources, weights):
    assume(abs(sum(weights)) > 1e-2)
    assert torch.allclose(arithmetic(base, sources, weights, normalize=True), linear(sources, weights), atol=1e-6)


@given(TENSORS, SOURCES, WEIGHTS)
@settings(deadline=None, max_examples=50)
def test_a_weight_and_its_negative_undo_each_other(base, sources, weights):
    there = arithmetic(base, sources, weights)
    back = arithmetic(there, [there + source - base for source in sources], tuple(-weight for weight in weights))
    assert torch.allclose(back, base, atol=1e-9)


def test_bfloat16_is_summed_in_float32():
    sources = [torch.full((4,), 1.0, dtype=torch.bfloat16)] + [torch.full((4,), 2.0**-9, dtype=torch.bfloat16)] * 8
    merged = linear(sources, (1.0,) * 9, normalize=False)
    assert merged.dtype == torch.bfloat16
    assert torch.equal(merged.float(), torch.full((4,), 1.0 + 8 * 2.0**-9))


def test_passthrough_gives_the_same_bits_elsewhere():
    source = torch.tensor([float("nan"), -0.0, 1e-45])
    passed = Passthrough().merge(None, [source], MergeParameters({}, {}))
    assert torch.equal(passed.view(torch.int32), source.view(torch.int32))
    assert passed.data_ptr() != source.data_ptr()


@pytest.mark.parametrize("weights", [(1.0, -1.0), (0.0, 0.0), (0.25, -0.25)])
def test_weights_that_sum_to_zero_end_in_an_error_that_names_the_tensor(checkpoints, weights):
    models = "".join(
        f"- {{model: {name}, parameters: {{weight: {w}}}}}\n" for name, w in zip(("one", "two"), weights, strict=True)
    )
    recipe = Recipe.from_yaml(f"merge_method: linear\nmodels:\n{models}")
    planned = plan(recipe, SourceSet("one", ["two"], checkpoints))
    with pytest.raises(MaterialiseError, match=r"lm_head\.weight has values that are not finite after linear"):
        compute(planned.tensors[0], Operands(planned.sources))
    text = recipe.to_yaml().replace("linear", "task_arithmetic") + "base_model: base\n"
    based = plan(
        Recipe.from_yaml(text + "parameters: {normalize: true}\n"), SourceSet("base", ["one", "two"], checkpoints)
    )
    assert compute(based.tensors[0], Operands(based.sources)).isfinite().all()
