"""The forms: what the kernels give is what plain torch gives, bit for bit, in blocks and whole."""

import shutil

import pytest
import torch
from heterosis.core import kernels
from heterosis.core.draws import drawn
from heterosis.core.forms import TaskVectorSum, Term, WeightedSum
from heterosis.core.kernels import device
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

STORED = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])
OUT = st.sampled_from([torch.float32, torch.bfloat16])
WEIGHT = st.floats(-2, 2, width=32)
TERM = st.builds(
    Term,
    weight=WEIGHT,
    low=st.sampled_from([0.0, 0.1, 0.5, float("inf")]),
    high=st.sampled_from([float("inf"), 1.0, 0.4]),
    keep=st.sampled_from([1.0, 0.9, 0.5, 1e-3]),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1.0, 1.7]),
)


@st.composite
def merges(draw):
    """A form, a base and as many sources as the form wants."""
    terms = tuple(draw(st.lists(TERM, min_size=1, max_size=4)))
    weights = tuple(term.weight for term in terms)
    form = draw(
        st.one_of(
            st.builds(WeightedSum, st.just(weights), st.sampled_from([0.0, 0.7])),
            st.builds(TaskVectorSum, st.just(terms), st.booleans(), st.booleans(), st.sampled_from([1.0, -0.3])),
        )
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape = draw(st.sampled_from([(1,), (37,), (5, 7), (4000,)]))
    make = lambda: torch.randn(shape, generator=generator).to(draw(STORED))  # noqa: E731
    return form, make(), [make() for _ in terms]


def run(form, base, sources, out, first=0):
    """The kernel on tensors."""
    arrays = [kernels.array(source) for source in sources]
    return kernels.run(form, None if base is None else kernels.array(base), arrays, kernels.array(out), first)


def bits(tensor):
    return tensor.contiguous().view({4: torch.int32, 2: torch.int16}[tensor.element_size()])


@given(merges(), OUT, st.integers(0, 2**33))
@settings(deadline=None, max_examples=150)
def test_a_kernel_gives_the_bits_of_plain_torch(merge, out, first):
    form, base, sources = merge
    expected = form.apply(base.float(), [source.float() for source in sources], first).to(out)
    found = torch.empty(base.shape, dtype=out)
    assert kernels.runs(form, torch.float32, found)
    assert run(form, base, sources, found, first)
    assert torch.equal(bits(found), bits(expected))


@given(merges(), st.integers(1, 3999))
@settings(deadline=None, max_examples=50)
def test_blocks_give_the_bits_of_the_whole(merge, size):
    form, base, sources = merge
    flat, others = base.view(-1).float(), [source.view(-1).float() for source in sources]
    whole = form.apply(flat, others)
    parts = [
        form.apply(flat[start : start + size], [other[start : start + size] for other in others], start)
        for start in range(0, len(flat), size)
    ]
    assert torch.equal(bits(torch.cat(parts)), bits(whole))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("out", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "form",
    [
        WeightedSum((0.5, 0.5)),
        TaskVectorSum((Term(0.5), Term(1.0))),
        TaskVectorSum((Term(0.5, 0.1), Term(1.0, 0.2)), consensus=True, normalize=True),
        TaskVectorSum((Term(0.5, high=3.0), Term(1.0, keep=0.5)), consensus=True),
    ],
)
def test_what_is_not_finite_is_told(form, out, value):
    base, sources = torch.zeros(5000), [torch.ones(5000), torch.ones(5000)]
    target = torch.empty(5000, dtype=out)
    assert run(form, base, sources, target)
    sources[0][4321] = value
    finite = form.apply(base, sources).to(out).isfinite().all()
    assert run(form, base, sources, target) == bool(finite)


def test_overflow_of_bfloat16_is_told():
    largest = torch.full((3,), 3.4e38)
    assert run(WeightedSum((1.0,)), None, [largest], torch.empty(3))
    stored = torch.empty(3, dtype=torch.bfloat16)
    assert run(WeightedSum((1.0,)), None, [largest], stored) == bool(largest.bfloat16().isfinite().all())


def test_a_smaller_probability_draws_a_part_of_what_a_larger_one_draws():
    few, many = drawn(10_000, 0.2, seed=5), drawn(10_000, 0.6, seed=5)
    assert not (few & ~many).any()
    assert few.float().mean() == pytest.approx(0.2, abs=0.02)
    assert torch.equal(drawn(100, 0.6, seed=5, start=50), many[50:150])


def test_other_seeds_draw_others():
    masks = torch.stack([drawn(20_000, 0.5, seed) for seed in (0, 1, 2, 2**31, 2**32 - 1)]).float()
    together = torch.corrcoef(masks) - torch.eye(5)
    assert together.abs().max() < 6 / 20_000**0.5


def check_device_kernels(merge, out):
    form, base, sources = merge
    found = torch.empty(base.shape, dtype=out)
    expected = form.apply(base.float(), [source.float() for source in sources]).to(out)
    assert kernels.run_on_device(form, base, sources, found)
    assert torch.equal(bits(found), bits(expected))
    sources[-1].view(-1)[0] = float("nan")
    expected = form.apply(base.float(), [source.float() for source in sources])
    assert bool(kernels.run_on_device(form, base, sources, found)) == bool(expected.isfinite().all())


@given(merges(), OUT)
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_functions_that_are_fused_for_a_device_give_the_same_bits(monkeypatch, merge, out):
    monkeypatch.setattr(device, "_fused", lambda function: function)
    check_device_kernels(merge, out)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler for the CPU")
def test_fused_they_give_the_same_bits_too():
    generator = torch.Generator().manual_seed(1)
    base, *sources = (torch.randn(4000, generator=generator).bfloat16() for _ in range(3))
    terms = (Term(0.5, low=0.2), Term(0.3, keep=0.5, seed=7, scale=2.0))
    for form in (WeightedSum((0.3, 0.7)), TaskVectorSum(terms), TaskVectorSum(terms, consensus=True, normalize=True)):
        check_device_kernels((form, base, [source.clone() for source in sources]), torch.bfloat16)
