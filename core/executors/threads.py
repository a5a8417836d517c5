"""Work for several threads: kernels release the GIL, and torch is told to use one core in each of these threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

import torch

T = TypeVar("T")


def in_threads(work: Callable[[T], None], pieces: Iterable[T]) -> None:
    """Calls `work` on every piece, as many at a time as torch has threads.

    Raises:
        Exception: the first that `work` raised; pieces that had not begun by then are left out. None is still being
            worked on when this returns or raises.
    """
    futures = [_threads().submit(work, piece) for piece in pieces]
    try:
        finished, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in finished:
            future.result()
    finally:
        for future in futures:
            future.cancel()
        wait(futures)


@cache
def _threads() -> ThreadPoolExecutor:
    count = torch.get_num_threads()
    ready = threading.Barrier(count + 1)

    def begin() -> None:
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(count, "compute", initializer=begin)
    for _ in range(count):
        pool.submit(lambda: None)
    ready.wait()
    torch.set_num_threads(count)  # what a thread asks for becomes what later ones begin with
    return pool
