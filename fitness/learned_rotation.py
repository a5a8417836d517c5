"""Learning an orthogonal matrix that makes a model's layer inputs as flat as a uniform distribution (KurTail, 2025)."""

from __future__ import annotations

import torch

from ..core.quantization.rotation import HADAMARD, Rotation

UNIFORM = 1.8
"""Kurtosis of a uniform distribution, of which a uniform grid wastes nothing; a normal one has 3."""
STEPS = 100
BATCH = 48
RATE = 2e-3


def kurtosis(inputs: torch.Tensor) -> torch.Tensor:
    """E[(x - m)^4] / E[(x - m)^2]^2 over all of a layer's values.

    Args:
        inputs: of each layer: (..., rows, features), not all alike.

    Returns:
        Of each layer: shape (...), at least 1.
    """
    squares = (inputs - inputs.mean((-2, -1), keepdim=True)).square()
    return squares.square().mean((-2, -1)) / squares.mean((-2, -1)).square()


def learned_rotation(inputs: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """The orthogonal R for which layers' |kurtosis(X R) - 1.8| is small on average (KurTail, arXiv 2503.01483).

    R = H (I + S)^-1 (I - S), Cayley's form: H is a Hadamard rotation, where it starts, and S is skew-symmetric, moved
    by Adam. At each step some rows of every layer are looked at, others each time.

    Args:
        inputs: of each layer, as they come from a norm without its gain: shape (layers, rows, features), float32.
        seed: of the signs of H, and of the rows.

    Returns:
        Shape (features, features), float32: orthogonal but for rounding.
    """
    size, device = inputs.shape[-1], inputs.device
    start = Rotation(HADAMARD, size, seed)
    turned = start.apply(inputs)
    free = torch.zeros(size, size, device=device, requires_grad=True)
    optimizer = torch.optim.Adam([free], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    random = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        rows = torch.randperm(inputs.shape[1], generator=random)[:BATCH].to(device)
        with torch.enable_grad():
            loss = (kurtosis(turned[:, rows] @ _cayley(free)) - UNIFORM).abs().mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    # in float64, so that what is not quite orthogonal is only the rounding at the end
    rest = _cayley(free.detach().cpu().double())
    return start.apply(torch.eye(size, dtype=torch.float64)).matmul(rest).float()


def _cayley(free: torch.Tensor) -> torch.Tensor:
    skew = free - free.T
    eye = torch.eye(len(free), dtype=free.dtype, device=free.device)
    turn: torch.Tensor = torch.linalg.solve(eye + skew, eye - skew)
    return turn
