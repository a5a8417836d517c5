"""TSV-Merge and isotropic merging: what becomes of singular values and vectors, and where there are none."""

import math

import pytest
import torch
from heterosis.core.contracts import MergeParameters
from heterosis.plugins.merge.isotropic import IsoC, IsoCts, sizes
from heterosis.plugins.merge.spectral import nearest_orthogonal, singular_triples
from heterosis.plugins.merge.tsv import Tsv
from hypothesis import given, settings
from hypothesis import strategies as st

METHODS = [Tsv, IsoC, IsoCts]
SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))
SEEDS = st.integers(0, 2**16)


def merge(method, sources, weight=1.0, base=None, factor=1.0, **shared):
    base = torch.zeros_like(sources[0]) if base is None else base
    weights = weight if isinstance(weight, tuple) else (weight,) * len(sources)
    usual = {spec.name: spec.default for spec in method.parameters if spec.scope == "shared"}
    return method().merge(base, sources, MergeParameters({"weight": weights}, {**usual, "lambda": factor, **shared}))


def random(shape, seed, count=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(count)]


def of_rank(shape, rank, seed):
    left, right = random((shape[0], rank), seed)[0], random((rank, shape[1]), seed + 1)[0]
    return left @ right


def disjoint(count, size, rank, seed):
    """Matrices (count * size)^2 whose row and column spaces are orthogonal to each other's."""
    turn, tilt = (torch.linalg.qr(matrix).Q for matrix in random((count * size, count * size), seed, 2))
    spans = [slice(number * size, number * size + rank) for number in range(count)]
    return [turn[:, span] * torch.linspace(3, 1, rank).double() @ tilt[span] for span in spans]


def test_tsv_of_diagonal_tasks_by_hand():
    one, two = torch.diag(torch.tensor([3.0, 1.0, 0.0, 0.0])), torch.diag(torch.tensor([0.0, 0.0, -2.0, 0.5]))
    assert torch.allclose(merge(Tsv, [one, two]), one + two, atol=1e-6)
    cut = merge(Tsv, [one, two], rank_fraction=0.5)
    assert torch.allclose(cut, torch.diag(torch.tensor([3.0, 0.0, -2.0, 0.0])), atol=1e-6)


def test_tsv_of_two_directions_at_an_angle_by_hand():
    """Unit vectors at 60 degrees become the orthonormal pair with the same bisector, each turned by 15 degrees."""
    angles = [math.radians(degrees) for degrees in (0, 60)]
    right = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])]
    left = [torch.tensor([math.cos(angle), math.sin(angle)]) for angle in angles]
    found = merge(Tsv, [2 * torch.outer(left[0], right[0]), 5 * torch.outer(left[1], right[1])])
    turned = [torch.tensor([math.cos(math.radians(x)), math.sin(math.radians(x))]) for x in (-15, 75)]
    expected = 2 * torch.outer(turned[0], right[0]) + 5 * torch.outer(turned[1], right[1])
    assert torch.allclose(found, expected, atol=1e-6)


@given(st.integers(1, 4), st.integers(1, 3), SEEDS)
@settings(deadline=None, max_examples=30)
def test_tsv_of_orthogonal_tasks_is_their_weighted_sum(count, size, seed):
    tasks = disjoint(count, size, size, seed)
    weights = tuple(0.5 + number for number in range(count))
    expected = sum(weight * task for weight, task in zip(weights, tasks, strict=True))
    assert torch.allclose(merge(Tsv, tasks, weights), expected, atol=1e-9)


@given(SHAPES, st.integers(1, 4), SEEDS)
@settings(deadline=None, max_examples=30)
def test_tsv_keeps_the_leading_singular_values_of_every_task(shape, count, seed):
    tasks = random(shape, seed, count)
    kept = min(shape) // count
    if kept:
        expected = torch.cat([torch.linalg.svdvals(task)[:kept] for task in tasks]).sort(descending=True).values
        assert torch.allclose(torch.linalg.svdvals(merge(Tsv, tasks))[: expected.numel()], expected, rtol=1e-6)


def test_tsv_shares_what_tasks_have_in_common():
    task = of_rank((8, 6), 3, 1)
    assert torch.allclose(merge(Tsv, [task, task]), task, atol=1e-9)


@given(SHAPES, SEEDS)
@settings(deadline=None, max_examples=30)
def test_tsv_of_one_source_gives_it(shape, seed):
    task = random(shape, seed)[0]
    assert torch.allclose(merge(Tsv, [task]), task, atol=1e-9)


def test_iso_c_by_hand():
    total = torch.tensor([[0.0, 3.0], [-1.0, 0.0]])
    parts = [total - 1, torch.ones(2, 2)]
    assert torch.allclose(merge(IsoC, parts), torch.tensor([[0.0, 2.0], [-2.0, 0.0]]), atol=1e-6)


@pytest.mark.parametrize("method", [IsoC, IsoCts])
@given(shape=SHAPES, count=st.integers(1, 4), seed=SEEDS)
@settings(deadline=None, max_examples=30)
def test_isotropic_means_that_all_singular_values_are_equal(method, shape, count, seed):
    values = torch.linalg.svdvals(merge(method, random(shape, seed, count)))
    assert torch.allclose(values, values[0].expand_as(values), rtol=1e-6)


@given(SHAPES, st.integers(1, 4), SEEDS)
@settings(deadline=None, max_examples=30)
def test_iso_c_keeps_the_nuclear_norm_and_the_singular_vectors_of_the_sum(shape, count, seed):
    tasks = random(shape, seed, count)
    found, total = merge(IsoC, tasks), sum(tasks)
    assert torch.linalg.matrix_norm(found, "nuc") == pytest.approx(float(torch.linalg.matrix_norm(total, "nuc")))
    product = found.T @ total  # symmetric and positive just if the directions are the same
    assert torch.allclose(product, product.T, atol=1e-8)
    assert torch.linalg.eigvalsh(product).min() > -1e-8


def test_iso_puts_nothing_into_directions_that_no_task_has():
    task = of_rank((9, 7), 2, 3)
    for method in (IsoC, IsoCts):
        values = torch.linalg.svdvals(merge(method, [task]))
        assert torch.allclose(values[:2], torch.linalg.svdvals(task)[:2].mean().expand(2))
        assert float(values[2:].abs().max()) < 1e-9


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.8])
def test_iso_cts_of_one_source_is_iso_c(fraction):
    task = random((9, 7), 5)
    assert torch.allclose(merge(IsoCts, task, common_space_fraction=fraction), merge(IsoC, task), atol=1e-9)


def test_iso_cts_with_common_directions_only_is_iso_c():
    tasks = random((6, 8), 6, 3)
    assert torch.allclose(merge(IsoCts, tasks, common_space_fraction=1.0), merge(IsoC, tasks), atol=1e-9)


def test_iso_cts_gives_every_task_room_of_its_own_by_hand():
    """Both tasks share e1 -> e1; besides, the first takes e2 from e2 and the second, a little weaker, from e3."""
    one, two = torch.diag(torch.tensor([9.0, 4.0, 0.0])), torch.diag(torch.tensor([9.0, 0.0, 0.0]))
    two[1, 2] = 3.0
    assert sizes(3, 2, 0.4) == (1, 1)
    unit = torch.eye(3)
    strongest = torch.outer(unit[0], unit[0])
    own = torch.outer(unit[1], (unit[1] + unit[2]) / 2**0.5)
    found = merge(IsoCts, [one, two], common_space_fraction=0.4)
    assert torch.allclose(found, (18 + 4 + 3) / 3 * (strongest + own), atol=1e-5)
    in_the_sum = torch.outer(unit[1], 0.8 * unit[1] + 0.6 * unit[2])
    assert torch.allclose(merge(IsoC, [one, two]), (18 + 5) / 2 * (strongest + in_the_sum), atol=1e-5)


@given(st.integers(0, 50), st.integers(1, 8), st.floats(0, 1))
def test_common_and_own_directions_fill_the_rank(rank, count, fraction):
    common, own = sizes(rank, count, fraction)
    assert common + own * count == rank
    assert common >= 0
    assert own >= 0
    assert abs(common - rank * fraction) <= count


@pytest.mark.parametrize("method", METHODS)
@given(shape=SHAPES, seed=SEEDS)
@settings(deadline=None, max_examples=20)
def test_the_order_of_the_sources_means_nothing(method, shape, seed):
    tasks, weights = random(shape, seed, 3), (0.4, 1.3, -0.7)
    assert torch.allclose(merge(method, tasks, weights), merge(method, tasks[::-1], weights[::-1]), atol=1e-6)


@pytest.mark.parametrize("method", [Tsv, IsoC])  # Iso-CTS takes the common directions out of the left side only
def test_rows_and_columns_are_alike(method):
    tasks = random((7, 4), 8, 2)
    assert torch.allclose(merge(method, tasks), merge(method, [task.T for task in tasks]).T, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_lambda_scales_the_change_and_weights_scale_the_task_vectors(method):
    base, *tasks = random((5, 6), 9, 3)
    sources = [base + task for task in tasks]
    change = merge(method, tasks)
    assert torch.allclose(merge(method, sources, base=base, factor=0.3), base + 0.3 * change, atol=1e-9)
    scaled = merge(method, [0.5 * tasks[0], 2 * tasks[1]])
    assert torch.allclose(merge(method, sources, (0.5, 2.0), base=base), base + scaled, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), ()])
def test_what_is_no_matrix_is_averaged(method, shape):
    tasks = random(shape, 10, 2)
    assert torch.allclose(merge(method, tasks, (1.0, 3.0)), (tasks[0] + 3 * tasks[1]) / 2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(4, 6), (0, 3), (1, 1)])
def test_sources_equal_to_the_base_give_it_back(method, shape):
    base = random(shape, 11)[0]
    assert torch.equal(merge(method, [base, base], base=base), base)


@pytest.mark.parametrize("method", METHODS)
def test_a_source_that_changed_nothing_leaves_only_its_share_empty(method):
    task = of_rank((8, 8), 2, 12)
    found = merge(method, [task, torch.zeros_like(task)])
    assert found.isfinite().all()
    if method is Tsv:
        assert torch.allclose(found, task, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_shows_in_the_result_instead_of_an_error(method, value):
    broken = torch.ones(4, 3)
    broken[2, 1] = value
    assert not merge(method, [torch.ones(4, 3), broken]).isfinite().all()


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_is_decomposed_in_float32(method):
    base, *tasks = random((12, 9), 13, 3)
    coarse = [tensor.bfloat16() for tensor in (base, *(base + task for task in tasks))]
    found = merge(method, coarse[1:], base=coarse[0])
    fine = merge(method, [tensor.float() for tensor in coarse[1:]], base=coarse[0].float())
    assert torch.equal(found, fine.bfloat16())


def test_the_nearest_orthogonal_matrix_is_the_polar_factor():
    matrix = random((6, 4), 14)[0]
    near = nearest_orthogonal(matrix)
    assert torch.allclose(near.T @ near, torch.eye(4).double())
    stretch = near.T @ matrix
    assert torch.allclose(near @ stretch, matrix)
    assert torch.linalg.eigvalsh((stretch + stretch.T) / 2).min() > 0


@pytest.mark.parametrize("shape", [(300, 200), (40, 2000), (2000, 40)])
def test_rounding_is_no_direction(shape):
    low_rank = of_rank(shape, 5, 15).float()
    assert singular_triples(low_rank).values.numel() == 5
    assert singular_triples(random(shape, 16)[0].float()).values.numel() == min(shape)


def test_a_decomposition_that_does_not_converge_is_made_another_way(monkeypatch):
    matrix = torch.randn(12, 5, generator=torch.Generator().manual_seed(3))
    expected = singular_triples(matrix)

    def failing(*_, **__):
        raise torch.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(torch.linalg, "svd", failing)
    found = singular_triples(matrix)
    assert torch.allclose(found.values, expected.values, atol=1e-5)
    assert torch.allclose(found.left * found.values @ found.right, matrix, atol=1e-5)
