"""Work for several threads: kernels release the GIL, and torch is told to use one core in each of these threads."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

import torch

T = TypeVar("T")


def in_threads(work: Callable[[T], None], pieces: Iterable[T]) -> None:
    """Calls `work` on every piece, as many at a time as torch has threads.

    Raises:
        Exception: one that `work` raised; pieces that had not begun by then are left out. None is still being worked
            on when this returns or raises.
    """
    left = deque(pieces)
    stopped = threading.Event()

    def work_off() -> None:
        while not stopped.is_set():
            try:
                piece = left.popleft()
            except IndexError:
                return
            try:
                work(piece)
            except BaseException:
                stopped.set()
                raise

    pool, count = _threads()
    futures = [pool.submit(work_off) for _ in range(min(count, len(left)))]
    try:
        for future in futures:
            future.result()
    finally:
        stopped.set()
        wait(futures)


@cache
def _threads() -> tuple[ThreadPoolExecutor, int]:
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
    return pool, count


os.register_at_fork(after_in_child=_threads.cache_clear)
