"""Laws that merging obeys whatever the tensors: one source is itself, equal ones are too, and order means nothing."""

import pytest
import torch
from heterosis.core import registry
from heterosis.testing.merge_methods import TOLERANCE, Subject
from hypothesis import assume, given, settings
from hypothesis import strategies as st

SOME = settings(deadline=None, max_examples=12)
METHODS = {name: registry.load("merge_methods", name) for name in registry.names("merge_methods") if "/" not in name}
BETWEEN_TWO = {"slerp", "nearswap", "arcee_fusion"}  # the base is one end, and the one source the other
SPECTRAL = {"tsv", "iso_c", "iso_cts"}  # what sources share counts less, or all directions are made equally long
AT_RANDOM = {"dare_linear", "dare_ties", "della_linear", "della"}
ON_THE_SPHERE = {"nuslerp", "multislerp"}  # with weights of both signs, directions may cancel

ITSELF = [name for name, method in METHODS.items() if method.source_count[0] == 1]
AVERAGING = [name for name, method in METHODS.items() if method.source_count[1] != 1 and name not in SPECTRAL]
SEVERAL = [name for name, method in METHODS.items() if method.source_count[1] != 1]


@st.composite
def tensors(draw, count):
    """A base and sources whose elements are multiples of 1/8, so that sums of few have no rounding errors."""
    shape = draw(st.sampled_from([(7,), (2, 3), (5, 4), (2, 3, 4)]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    spread = draw(st.sampled_from([2, 6, 16]))
    dtype = draw(st.sampled_from(list(TOLERANCE)))
    base, *changes = (
        torch.randint(-spread, spread + 1, shape, generator=generator) / 8 * (1 if number else 2)
        for number in range(count + 1)
    )
    return base.to(dtype), [(base + change).to(dtype) for change in changes]


def merge(name, base, sources, own=None):
    """With the method's defaults, and equal weights that sum to one, unless `own` tells others."""
    subject = Subject(METHODS[name])
    parameters = subject.parameters(len(sources), usual=True)
    with_base = METHODS[name].base_required
    parameters.per_source.update(own or {})
    return subject.merge(base if with_base else None, sources, parameters)


def close(found, expected, times=1.0):
    limit = times * TOLERANCE[expected.dtype] * (1 + float(expected.abs().max()))
    return torch.allclose(found.double(), expected.double(), rtol=0, atol=limit)


@pytest.mark.parametrize("name", [name for name in ITSELF if name not in BETWEEN_TWO | SPECTRAL | {"passthrough"}])
@given(tensors(1))
@SOME
def test_one_source_with_weight_one_is_itself(name, drawn):
    base, sources = drawn
    assert close(merge(name, base, sources), sources[0])


@pytest.mark.parametrize("name", AVERAGING)
@given(tensors(1), st.integers(2, 4))
@SOME
def test_equal_sources_are_themselves(name, drawn, count):
    base, (source,) = drawn
    most = METHODS[name].source_count[1] or count
    assert close(merge(name, base, [source] * min(count, most)), source)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.base_required])
@given(tensors(1), st.integers(1, 4))
@SOME
def test_sources_that_equal_the_base_change_nothing(name, drawn, count):
    base, _ = drawn
    least, most = METHODS[name].source_count
    merged = merge(name, base, [base] * max(min(count, most or count), least))
    assert torch.equal(merged, base) if METHODS[name].keeps_base else close(merged, base)


@pytest.mark.parametrize("name", SEVERAL)
@given(st.data(), st.integers(2, 4))
@SOME
def test_the_order_of_sources_with_their_parameters_means_nothing(name, data, count):
    method = METHODS[name]
    base, sources = data.draw(tensors(min(count, method.source_count[1] or count)))
    own = {}
    for spec in method.parameters:
        if spec.scope == "source" and spec.search is not None and (spec.name == "weight" or name not in AT_RANDOM):
            signed = spec.name == "weight" and spec.low < 0 and name not in ON_THE_SPHERE
            values = st.integers(-8 if signed else 1, 8).map(lambda number: number / 8)
            own[spec.name] = tuple(data.draw(values) for _ in sources)
    order = data.draw(st.permutations(range(len(sources))))
    turned = {name: tuple(values[place] for place in order) for name, values in own.items()}
    there, back = merge(name, base, sources, own), merge(name, base, [sources[place] for place in order], turned)
    assume(there.isfinite().all())  # weights that sum to zero are no mean
    # Weights that nearly cancel magnify what other orders of summation round differently.
    weights = own.get("weight", (1.0,))
    assert close(back, there, times=max(1.0, sum(map(abs, weights)) / max(abs(sum(weights)), 1 / 8)))


@given(tensors(1))
@SOME
def test_between_two_models_the_ends_are_the_models(drawn):
    base, (source,) = drawn
    for name, at_base, at_source in [("slerp", 0.0, 1.0), ("nearswap", 0.0, 1e9)]:
        for t, end in ((at_base, base), (at_source, source)):
            subject = Subject(METHODS[name], {"t": t})
            assert close(subject.merge(base, [source], subject.parameters(1)), end)
    fused = merge("arcee_fusion", base, [source])
    assert ((fused == base) | (fused == source)).all()
