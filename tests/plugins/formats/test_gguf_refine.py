"""Codes of K-quants' scales: refining them never costs, and undoes what rounding them did."""

from __future__ import annotations

import torch
from heterosis.plugins.formats.gguf_refine import refined
from hypothesis import given, settings
from hypothesis import strategies as st

GROUP, TOP, SCALE_TOP = 32, 15, 63


def error(
    x: torch.Tensor, w: torch.Tensor, steps: tuple[torch.Tensor, ...], codes: tuple[torch.Tensor, ...]
) -> torch.Tensor:
    """Of each group, every weight at its nearest code."""
    scale, minimum = (step * code for step, code in zip(steps, codes, strict=True))
    q = ((x + minimum[..., None]) / scale[..., None]).round().clamp(0, TOP)
    return ((q * scale[..., None] - minimum[..., None] - x).square() * w).sum(-1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.booleans())
def test_no_group_has_more_error_than_before(seed: int, rows: int, sparse: bool) -> None:
    draw = torch.Generator().manual_seed(seed)
    x, w = torch.randn(rows, 8, GROUP, generator=draw), torch.rand(rows, 8, GROUP, generator=draw)
    w = torch.where(w < 0.5, 0, w) if sparse else w
    steps = torch.full((rows, 1), 0.01).half(), torch.full((rows, 1), 0.05).half()
    codes = tuple(torch.randint(1, SCALE_TOP + 1, (rows, 8), generator=draw).float() for _ in steps)
    found = refined(x, w, steps, (codes[0], codes[1]), (0, TOP), (0, SCALE_TOP))
    assert all(((one >= 0) & (one <= SCALE_TOP)).all() for one in found)
    wide = tuple(step.float() for step in steps)
    nonzero = (found[0].clamp_min(1), found[1])  # a scale of zero is worth as much as any where all weights are zero
    before, after = error(x, w, wide, codes), error(x, w, wide, nonzero)
    assert (after <= before * (1 + 1e-4) + 1e-6).all()


def test_values_of_a_grid_get_their_codes_back() -> None:
    draw = torch.Generator().manual_seed(0)
    scales, minima = (torch.randint(8, SCALE_TOP - 8, (4, 8), generator=draw).float() for _ in range(2))
    steps = torch.full((4, 1), 2.0**-6).half(), torch.full((4, 1), 2.0**-6).half()
    q = torch.randint(0, TOP + 1, (4, 8, GROUP), generator=draw).float()
    x = (q * scales[..., None] - minima[..., None]) * 2.0**-6
    found = refined(x, torch.ones_like(x), steps, (scales + 1, minima - 1), (0, TOP), (0, SCALE_TOP))
    assert torch.equal(found[0], scales)
    assert torch.equal(found[1], minima)


def test_weights_of_no_importance_leave_codes_as_they_are() -> None:
    x, codes = torch.randn(2, 8, GROUP, generator=torch.Generator().manual_seed(0)), torch.full((2, 8), 7.0)
    steps = torch.ones(2, 1).half(), torch.ones(2, 1).half()
    found = refined(x, torch.zeros_like(x), steps, (codes, codes), (0, TOP), (0, SCALE_TOP))
    assert torch.equal(found[0], codes)
    assert torch.equal(found[1], codes)
