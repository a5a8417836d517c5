"""Every merge method of mergekit 0.1.5 gives the same tensors here, over generated tensors, weights and densities.

Methods are called in memory on both sides. Whatever the stored dtype, they are compared in float32, where only the
order of a few roundings differs; and in the stored dtype, where mergekit rounds every intermediate result and some
methods here do not. Where a method decides (by sign, rank or threshold), elements are left out for which rounding
errors decide.
"""

from dataclasses import dataclass
from itertools import combinations

import pytest
import torch
from heterosis.core import registry
from heterosis.core.contracts import MergeParameters
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.mergekit

SOME = settings(deadline=None, max_examples=100)
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
SHAPES = st.sampled_from([(1,), (2,), (7,), (33,), (1, 1), (5, 3), (4, 6), (1, 9), (2, 3, 5)])
EIGHTHS = st.integers(-12, 12).map(lambda number: number / 8)  # their sums are exact in every dtype
POSITIVE = st.integers(1, 12).map(lambda number: number / 8)
SHARES = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.floats(0, 1))
FLAGS = st.booleans()
COARSE = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.0, 0.5, 1.0, 2.0])
FINE = st.floats(-4, 4, width=16, allow_subnormal=False)


@dataclass
class Case:
    """Tensors of one dtype.

    Attributes:
        exact: whether values are so coarse that sums of weighted task vectors have no rounding errors.
    """

    base: torch.Tensor
    sources: list[torch.Tensor]
    exact: bool = False

    @property
    def changes(self):
        """The task vectors, exactly: shape (sources, ...)."""
        return self.stacked - self.base.double()

    @property
    def stacked(self):
        return torch.stack(self.sources).double()

    def reach(self, with_base):
        """For each element, the largest magnitude that a sum of sources (or task vectors) could pass through."""
        origin = self.base.double().abs() if with_base else 0.0
        return (self.stacked.abs() + origin).sum(0)

    def in_float32(self):
        return Case(self.base.float(), [source.float() for source in self.sources], self.exact)


@st.composite
def cases(draw, least=1, most=4):
    """A base and sources that differ from it by little or much: some elements not at all, some by equal amounts."""
    count, shape, dtype = draw(st.integers(least, most)), draw(SHAPES), draw(st.sampled_from(DTYPES))
    size = torch.Size(shape).numel()
    values = draw(st.sampled_from([COARSE, FINE] if size < 10 else [COARSE]) | st.sampled_from([0.5, 0.01]))
    if isinstance(values, float):
        generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
        base, *noise = (torch.randn(shape, generator=generator) for _ in range(count + 1))
        changed = torch.rand((count, *shape), generator=generator) < 0.8
        return Case(base.to(dtype), [(base + values * n * c).to(dtype) for n, c in zip(noise, changed, strict=True)])
    tensors = [draw(st.lists(values, min_size=size, max_size=size)) for _ in range(count + 1)]
    base, *sources = (torch.tensor(tensor).view(shape).to(dtype) for tensor in tensors)
    return Case(base, sources, values is COARSE)


def by_mergekit(method, base, sources, own, shared):
    from mergekit.merge_methods import merge_tensors

    tensors = sources if base is None else [base, *sources]
    values = {**shared, **{name: list(values) for name, values in own.items()}}
    return merge_tensors(tensors, method, parameters=values, base_index=None if base is None else 0)


def by_heterosis(method, base, sources, own, shared, seed=0):
    plugin = registry.load("merge_methods", method)
    own = {
        spec.name: own.get(spec.name, (spec.default,) * len(sources))
        for spec in plugin.parameters
        if spec.scope == "source"
    }
    shared = {spec.name: shared.get(spec.name, spec.default) for spec in plugin.parameters if spec.scope == "shared"}
    return plugin().merge(base, sources, MergeParameters(own, shared, seed))


def check_same(method, case, own, shared, gain=1.0, with_base=True, besides=None, slack=0.0, stored=True):
    """Both give the same, up to four roundings of the largest number that an element's sum could pass through.

    Args:
        gain: what reach is to be multiplied by (a number, or a function of the case): the magnitude of the weights that
            the method ends up with, and of what rounding errors grow by on the way to them.
        besides: a function of the case that tells the elements that rounding errors may decide.
        slack: what a method's own tolerance adds to the error, as a share of reach.
        stored: whether to compare in the stored dtype, too, if it is not float32.
    """
    found = [case.in_float32()]
    if stored and case.base.dtype != torch.float32:
        found.append(case)
    for one in found:
        base = one.base if with_base else None
        ours = by_heterosis(method, base, one.sources, own, shared)
        theirs = by_mergekit(method, base, one.sources, own, shared)
        assert ours.dtype == one.base.dtype
        assert ours.shape == theirs.shape
        factor = gain(one) if callable(gain) else gain
        limit = factor * one.reach(with_base) * (4 * torch.finfo(ours.dtype).eps + slack) + torch.finfo(ours.dtype).tiny
        wrong = ~((ours.double() - theirs.to(ours.dtype).double()).abs() <= limit)
        if besides is not None:
            wrong &= ~besides(one)
        assert not wrong.any(), f"{ours[wrong]} instead of {theirs[wrong]}, which may differ by {limit[wrong]}"


def magnitude(weights, normalize=False):
    """What a weighted sum multiplies its terms by at most."""
    total = sum(map(abs, weights))
    return total / abs(sum(weights)) if normalize and sum(weights) else total


def divisible(case, weights, normalize):
    """False where mergekit divides zero by zero: it replaces a divisor of less than 1e-8, which is zero in float16."""
    return bool(sum(weights)) or not normalize or case.base.dtype != torch.float16


def drawn(data, case, **strategies):
    """A value for each source."""
    return {name: tuple(data.draw(values) for _ in case.sources) for name, values in strategies.items()}


# Sums.


@given(cases(), st.data(), FLAGS)
@SOME
def test_linear(case, data, normalize):
    own = drawn(data, case, weight=EIGHTHS)
    assume(sum(own["weight"]) or not normalize)
    check_same("linear", case, own, {"normalize": normalize}, magnitude(own["weight"], normalize), with_base=False)


def test_linear_weights_that_sum_to_zero_leave_nothing_finite_on_either_side():
    arguments = "linear", None, [torch.ones(3), torch.zeros(3)], {"weight": (0.5, -0.5)}, {"normalize": True}
    assert not by_heterosis(*arguments)[0].isfinite()
    assert not by_mergekit(*arguments)[0].isfinite()


@given(cases(most=1), EIGHTHS)
@SOME
def test_passthrough(case, scale):
    check_same("passthrough", case, {"scale": (scale,)}, {}, with_base=False)


@given(cases(), st.data(), FLAGS, EIGHTHS)
@SOME
def test_task_arithmetic(case, data, normalize, factor):
    own = drawn(data, case, weight=EIGHTHS)
    gain = 1 + abs(factor) * magnitude(own["weight"], normalize)
    stored = divisible(case, own["weight"], normalize)
    check_same("task_arithmetic", case, own, {"normalize": normalize, "lambda": factor}, gain, stored=stored)


# On the sphere. Near 180 degrees there is no way that is the shortest, and rounding errors choose one.


def cosines(tensors):
    """Of all pairs, over the last dimension; zeros are orthogonal to everything."""
    units = tensors / tensors.norm(dim=-1, keepdim=True).clamp(min=1e-30)
    return torch.stack([(one * two).sum(-1) for one, two in combinations(units, 2)])


@given(cases(most=1), SHARES)
@SOME
def test_slerp(case, t):
    (cosine,) = cosines(torch.stack([case.base, *case.sources]).double().flatten(1))
    assume(-0.9 < cosine < 0.9994 or abs(cosine) > 0.9996)
    check_same("slerp", case, {}, {"t": t})


@given(cases(2, 2), st.data(), FLAGS, FLAGS, FLAGS)
@SOME
def test_nuslerp(case, data, flatten, by_column, with_base):
    own = drawn(data, case, weight=POSITIVE | EIGHTHS)
    first, second = own["weight"]
    assume(first + second == 0 or magnitude(own["weight"], normalize=True) < 3)
    vectors = case.changes if with_base else case.stacked
    vectors = vectors.flatten(1) if flatten else vectors.transpose(1, -1) if by_column else vectors
    assume((cosines(vectors) > -0.9).all())
    shared = {"nuslerp_flatten": flatten, "nuslerp_row_wise": by_column}
    check_same("nuslerp", case, own, shared, gain=6.0, with_base=with_base)


def sphere_gain(case, weights, with_base):
    """What multislerp and karcher multiply tensors by at most, and how often their mean direction magnifies errors."""
    vectors = (case.changes if with_base else case.stacked).flatten(1)
    norms = vectors.norm(dim=1)
    weights = torch.tensor(weights, dtype=torch.float64)
    units = vectors / norms.clamp(min=1e-30).unsqueeze(1)
    length = (units * weights.unsqueeze(1)).sum(0).norm()
    assume((norms > 0).any() and length > 0.2 * weights.abs().sum())
    largest = (norms * weights).abs().sum() / norms[norms > 0].min()
    return 1 + float(weights.abs().sum() / length) ** 2 * float(largest) * max(1.0, float(1 / length))


@given(cases(), st.data(), FLAGS, FLAGS)
@SOME
def test_multislerp(case, data, normalize, with_base):
    own = drawn(data, case, weight=POSITIVE | EIGHTHS)
    total = sum(own["weight"])
    assume(total or not normalize)
    weights = [weight / total if normalize else weight for weight in own["weight"]]
    gain = 1.0 if len(weights) == 1 else sphere_gain(case, weights, with_base)
    # mergekit adds eps = 1e-8 to what it divides by, which is nothing in float16: it then divides zero by zero.
    shared = {"normalize_weights": normalize, "eps": 1e-8}
    check_same("multislerp", case, own, shared, gain, with_base, stored=case.base.dtype != torch.float16)


def test_multislerp_of_two_directions_that_cancel_is_linear():
    one = torch.tensor([1.0, -2.0, 0.5])
    case = Case(torch.zeros(3), [one, -2 * one])
    for with_base in (True, False):
        check_same("multislerp", case, {"weight": (0.5, 0.5)}, {}, with_base=with_base)


@given(cases(), st.sampled_from([1, 3, 10]), st.sampled_from([1e-5, 1e-3]))
@SOME
def test_karcher(case, steps, tolerance):
    count = len(case.sources)
    gain = 1.0 if count == 1 else sphere_gain(case, [1 / count] * count, False)
    vectors = case.stacked.flatten(1)
    units = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-30)
    # A source is passed over whose angle to the mean has a cosine that rounds to one, unlike one that is just larger.
    apart = 1 - cosines(torch.cat([units, units.mean(0, keepdim=True)]))
    assume(((apart < 1e-14) | (apart > 1e-5)).all() and (apart < 1.9).all())
    stored = bool(((apart < 1e-14) | (apart > 0.05)).all())
    # Rounding errors may decide which step is the last; it is shorter than the tolerance.
    shared = {"max_iter": steps, "tol": tolerance}
    check_same("karcher", case, {}, shared, gain, with_base=False, slack=tolerance, stored=stored)


def test_karcher_of_tensors_without_length_is_zero():
    zeros = [torch.zeros(4), torch.zeros(4)]
    check_same("karcher", Case(torch.zeros(4), zeros), {}, {}, with_base=False)
    check_same("karcher", Case(torch.zeros(4), [*zeros, torch.ones(4)]), {}, {}, gain=2.0, with_base=False)


@given(cases(least=2), FLAGS)
@SOME
def test_model_stock(case, filter_wise):
    def gain(one):
        changes = one.changes if filter_wise else one.changes.flatten(1)
        norms = changes.norm(dim=-1)
        assume(one.base.dtype != torch.float16 or (norms[norms > 0] > 0.05).all())  # their products underflow
        divisor = 1 + (len(one.sources) - 1) * cosines(changes).mean(0)
        assume((divisor > 0.3).all())
        return 1 + 2 * len(one.sources) / float(divisor.min()) ** 2

    check_same("model_stock", case, {}, {"filter_wise": filter_wise}, gain)


def test_model_stock_of_opposite_task_vectors_is_the_base():
    one = torch.tensor([0.5, -1.0, 0.25])
    check_same("model_stock", Case(torch.ones(3), [1 + one, 1 - one]), {}, {})


@given(cases(most=1), st.floats(1e-3, 2))
@SOME
def test_nearswap(case, t):
    check_same("nearswap", case, {}, {"t": t})


# Methods that decide.


def sign_is_open(case, changes, weights, scale=1.0):
    """Where the weighted sum of these task vectors is so near zero that rounding errors may turn its sign.

    Args:
        scale: by how much at most task vectors were multiplied.
    """
    if case.exact and scale == 1:
        return torch.zeros_like(case.base, dtype=torch.bool)
    weights = torch.tensor(weights, dtype=torch.float64).view(-1, *[1] * case.base.dim())
    error = ((case.stacked.abs() + case.base.double().abs()) * weights.abs()).sum(0)
    error *= scale * 4 * torch.finfo(case.base.dtype).eps
    return ((changes * weights).sum(0).abs() <= error) & (changes != 0).any(0)


def tied_across(case, number, kept_from, kept_to):
    """Elements of a magnitude of which, in order from the largest, only some are among `kept_from` to `kept_to`."""
    sizes = (case.sources[number] - case.base).abs()
    ordered = sizes.flatten().sort(descending=True).values
    tied = torch.zeros_like(sizes, dtype=torch.bool)
    for place in (kept_from, kept_to):
        if 0 < place < sizes.numel() and ordered[place - 1] == ordered[place]:
            tied |= sizes == ordered[place]
    return tied


def agreed_gain(weights, normalize):
    """What the sum over any of the sources is multiplied by at most."""
    subsets = [sum(some) for count in range(1, len(weights) + 1) for some in combinations(weights, count)]
    smallest = min((abs(total) for total in subsets if total), default=1.0)
    return magnitude(weights) / smallest if normalize else magnitude(weights)


TRIMMED = ["ties", "breadcrumbs", "breadcrumbs_ties"]
AT_RANDOM = ["dare_linear", "dare_ties", "della_linear", "della"]


@pytest.mark.parametrize("method", [*TRIMMED, *AT_RANDOM])
@given(cases(), st.data(), FLAGS, FLAGS, EIGHTHS)
@SOME
def test_sparsified_task_vectors(method, case, data, normalize, rescale, factor):
    own = drawn(data, case, weight=EIGHTHS, density=SHARES if method in TRIMMED else st.just(1.0))
    if method.startswith("breadcrumbs"):
        own |= drawn(data, case, gamma=st.sampled_from([0.0, 0.01, 0.1, 0.3]))
    consensus = method not in ("breadcrumbs", "dare_linear", "della_linear")
    gain = agreed_gain(own["weight"], normalize) if consensus else magnitude(own["weight"], normalize)

    def kept(number, size):
        density = own["density"][number]
        if method == "ties":
            return 0, max(1, int(density * size)) if density else 0
        above = min(int(own["gamma"][number] * size), size - int(density * size))
        return above, above + int(density * size)

    def thinned(one):
        """The task vectors without what is dropped, rescaled; by how much at most; and which elements may be either."""
        changes, scale, tied = one.changes, 1.0, torch.zeros_like(one.base, dtype=torch.bool)
        for number, density in enumerate(own["density"]):
            if density == 1:
                continue
            first, last = kept(number, one.base.numel())
            either = tied_across(one, number, first, last)
            sizes = (one.sources[number] - one.base).abs()
            places = sizes.flatten().sort(descending=True).values[first:last]
            whole = changes[number].abs().sum()
            changes[number] *= ((sizes <= places[0]) & (sizes >= places[-1])) if last > first else 0
            if rescale and (part := changes[number].abs().sum()) > 0:
                assume(not either.any() and part > 1e-3)  # the factor depends on them
                changes[number] *= whole / part
                scale = max(scale, float(whole / part))
            tied |= either
        return changes, scale, tied

    def grown(one):
        return 1 + abs(factor) * gain * thinned(one)[1]

    def undecided(one):
        changes, scale, tied = thinned(one)
        return tied | sign_is_open(one, changes, own["weight"], scale) if consensus else tied

    if case.base.dtype == torch.float16:  # smaller ones vanish when they are multiplied by their weight
        assume((case.changes[case.changes != 0].abs() > 1e-4).all())
    shared = {"normalize": normalize, "rescale": rescale, "lambda": factor}
    stored = divisible(case, own["weight"], normalize)
    check_same(method, case, own, shared, grown, besides=undecided, stored=stored)


@given(cases(), st.one_of(st.just(1.0), SHARES))
@SOME
def test_sce(case, select_topk):
    energy = float(case.changes.square().flatten(1).mean(1).sum())
    assume(not 0.9e-6 < energy < 1.1e-6)
    if select_topk < 1:
        variance = case.in_float32().changes.var(0, correction=0).flatten().sort(descending=True).values
        place = int(variance.count_nonzero() * select_topk)
        if 0 < place < variance.numel():
            assume(variance[place - 1] > 1.001 * variance[place])
            selected = case.changes.var(0, correction=0) >= variance[place - 1] * (1 - 1e-6)
            assume(not 0.9e-6 < float((case.changes * selected).square().flatten(1).mean(1).sum()) < 1.1e-6)
    # In other dtypes, variances and small energies are what is left of them by rounding and underflow.
    stored = select_topk == 1 and (case.base.dtype == torch.bfloat16 or energy > 0.1)
    ones = [1.0] * len(case.sources)
    shared = {"select_topk": select_topk}
    check_same(
        "sce", case, {}, shared, gain=2.0, besides=lambda one: sign_is_open(one, one.changes, ones), stored=stored
    )


def nearly(case, epsilon):
    """Task vectors' elements of about this magnitude, in any source."""
    error = (case.stacked.abs() + case.base.double().abs()) * torch.finfo(case.base.dtype).eps
    return ((case.changes.abs() - epsilon).abs() <= error + epsilon * 2**-8).any(0)


@given(cases(), st.sampled_from([1e-5, 0.3]))
@SOME
def test_ram(case, epsilon):
    check_same("ram", case, {}, {"epsilon": epsilon}, besides=lambda one: nearly(one, epsilon))


@given(cases(), st.sampled_from([1e-5, 0.3]), POSITIVE, POSITIVE)
@SOME
def test_ramplus_tl(case, epsilon, r, alpha):
    assume(not nearly(case, epsilon).any())
    check_same("ramplus_tl", case, {}, {"epsilon": epsilon, "r": r, "alpha": alpha}, gain=1 + r * alpha)


@given(cases(most=1))
@SOME
def test_arcee_fusion(case):
    def undecided(one):
        before, after = (tensor.double().softmax(-1) + 1e-8 for tensor in (one.base, one.sources[0]))
        sizes = one.changes[0].abs()
        scores = sizes * (after * (after / before).log()).sum(-1, keepdim=True)
        ordered = scores.flatten().sort().values
        lower, median, upper = (ordered[int(share * (ordered.numel() - 1))] for share in (0.25, 0.5, 0.75))
        # A divergence is a sum of terms up to one, and with it the threshold, known up to float32's roundings.
        return (scores - (median + 1.5 * (upper - lower))).abs() <= 1e-6 * sizes.max()

    # mergekit's softmax in bfloat16 has two digits, and importance is mostly their rounding: float32 is compared.
    check_same("arcee_fusion", case, {}, {}, besides=undecided, stored=False)


# Chance.


@pytest.mark.parametrize("method", AT_RANDOM)
@pytest.mark.parametrize("density", [0.3, 0.65])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_drawn_has_the_same_distribution(method, density, dtype):
    torch.manual_seed(3)
    size = 400 * 500
    change = torch.randn(400, 500).to(dtype)
    arguments = torch.zeros_like(change), [change], {"weight": (1.0,), "density": (density,)}, {"normalize": False}
    small = change.abs() < change.abs().median(dim=1, keepdim=True).values
    wide = change.double()
    for merged in (by_heterosis(method, *arguments, seed=5).double(), by_mergekit(method, *arguments).double()):
        kept = merged != 0
        five_sigma = 5 * (density * (1 - density) / size) ** 0.5
        assert float(kept.double().mean()) == pytest.approx(density, abs=five_sigma + 1e-3)  # few changes are zero
        expected = density - 0.075 if method.startswith("della") else density
        assert float(kept[small].double().mean()) == pytest.approx(expected, abs=2 * five_sigma + 2e-3)
        # Rescaling restores the l1 norm, up to the factor's own rounding and those of the sums that it comes from.
        rounding = max(torch.finfo(dtype).eps, 1e-5)
        assert float(merged.abs().sum()) == pytest.approx(float(wide.abs().sum()), rel=rounding)
        assert float((merged * wide).mean()) == pytest.approx(float((wide * wide).mean()), rel=0.12)


# All of them.


def test_every_method_of_mergekit_is_compared():
    from mergekit.merge_methods import registered_methods

    theirs = {method.spec.name for method in registered_methods()}
    compared = {name.removeprefix("test_") for name in globals()} | {*TRIMMED, *AT_RANDOM}
    assert theirs <= compared
    assert theirs <= set(registry.names("merge_methods"))


WITHOUT_EFFECT = {"int8_mask": None, "density": ["task_arithmetic"], "rescale": ["task_arithmetic"]}


@pytest.mark.parametrize("method", registry.names("merge_methods"))
def test_parameters_have_mergekits_names_scopes_and_defaults(method):
    from mergekit.merge_methods import registered_methods
    from mergekit.merge_methods.base import MISSING

    specs = {one.spec.name: one.spec for one in registered_methods()}
    if method not in specs:
        pytest.skip("not one of mergekit's")
    ours = {(spec.name, spec.scope): spec.default for spec in registry.load("merge_methods", method).parameters}
    for spec in specs[method].parameters:
        if spec.name in WITHOUT_EFFECT and method in (WITHOUT_EFFECT[spec.name] or [method]):
            continue
        scope = "shared" if spec.scope.value == "shared" else "source"
        neutral = 1.0 if spec.name == "scale" else None
        assert ours.pop((spec.name, scope)) == (neutral if spec.default in (MISSING, None) else spec.default)
    assert not ours
