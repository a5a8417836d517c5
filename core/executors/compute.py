"""The tensors of a plan, computed: what the live and the disk executor share, so that they agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import zip_longest

import torch

from ..plan import TensorPlan
from ..quantized_tensor import QuantizedTensor
from .job import Job
from .operands import Operands
from .quantize import quantize
from .rotate import rotate_into
from .stored import quantize_and_keep, read_stored
from .threads import in_threads


def compute_merged(tensor: TensorPlan, operands: Operands) -> torch.Tensor:
    """The planned tensor before it is quantised (rotated, if it is to be), in its final dtype, on the CPU.

    Raises as `compute` does.
    """
    return compute(replace(tensor, quantize=None), operands)


def compute_quantized(tensor: TensorPlan, operands: Operands) -> QuantizedTensor:
    """A planned weight, merged and quantised, on the CPU: what an exporter packs. Raises as `compute` does."""
    merged = compute_merged(tensor, operands)
    found: list[QuantizedTensor] = []
    # in a thread as `compute_all` does it: with another number of threads, torch might round otherwise
    in_threads(lambda weight: found.append(quantize(tensor, weight, operands)), [merged])
    return found[0]


def compute(tensor: TensorPlan, operands: Operands) -> torch.Tensor:
    """The planned tensor, in its final dtype, on the CPU; a quantised one is what its codes stand for.

    Raises:
        MaterialiseError: the result is not finite, or has not the planned shape.
    """
    result = torch.empty(tensor.info.shape, dtype=tensor.info.dtype)
    compute_all([(tensor, result)], operands)
    return result


def compute_all(
    planned: Sequence[tuple[TensorPlan, torch.Tensor]],
    operands: Operands,
    done: Callable[[TensorPlan], None] = lambda _tensor: None,
) -> None:
    """Computes planned tensors into tensors that are there: of the planned shapes and dtypes, contiguous.

    Args:
        planned: small tensors are computed side by side, a thread each; then large ones in blocks, if their method
            allows.
        done: called with each tensor when it is finished, perhaps from another thread.

    Raises:
        MaterialiseError: a result is not finite, or has not the planned shape. What was not reported as done may be
            half written then.
    """
    jobs = [Job(tensor, operands, target) for tensor, target in read_stored(planned, operands, done)]
    if on_device := [job for job in jobs if job.target.device.type != "cpu"]:
        _on_device(on_device, operands, done)
    large = [job for job in jobs if job.target.device.type == "cpu" and job.is_large]
    small = [job for job in jobs if job.target.device.type == "cpu" and not job.is_large]

    def begin_or_run(job: Job) -> None:
        if job.is_large:
            job.begin()
        else:
            job.run()
            finish(job)

    def finish(job: Job) -> None:
        rotate_into(job.tensor, job.target, operands)
        quantize_and_keep(job.tensor, job.target, operands)
        done(job.tensor)

    in_threads(begin_or_run, [*large, *small])
    for job in large:
        if job.goes_in_blocks:
            in_threads(job.run_rows, job.blocks())
        else:
            job.run()
    in_threads(finish, large)


def _on_device(jobs: Sequence[Job], operands: Operands, done: Callable[[TensorPlan], None]) -> None:
    """One after the other; what the next one needs is on its way meanwhile, and the host waits once, at the end."""
    finite = []
    for job, following in zip_longest(jobs, jobs[1:]):
        finite.append(job.run_on_device())
        if following is not None:
            following.fetch()
    for job, is_finite in zip(jobs, torch.stack(finite).tolist(), strict=True):
        if not is_finite:
            raise job.not_finite()
        rotate_into(job.tensor, job.target, operands)
        quantize_and_keep(job.tensor, job.target, operands)
        done(job.tensor)
