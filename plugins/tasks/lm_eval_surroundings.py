"""Lets the harness work quietly and with its own seeds, and leaves the global random state as it was."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ...core.errors import PluginError

_RANDOM_SEED, _NUMPY_SEED = 0, 1234
"""What the harness's own `simple_evaluate` sets: some of its tasks shuffle their choices with the global state."""


@contextmanager
def surroundings() -> Iterator[None]:
    """In this block the harness draws from its default seeds, and neither logs warnings nor draws progress bars.

    Raises:
        PluginError: the harness is not installed.
    """
    try:
        import datasets
        import lm_eval  # noqa: F401
    except ImportError as error:
        raise PluginError(
            f'the task type lm_eval needs the lm-evaluation-harness: pip install "heterosis[lm-eval]" ({error})'
        ) from error
    logger = logging.getLogger("lm_eval")
    level, bars = logger.level, datasets.are_progress_bars_disabled()
    state, numpy_state = random.getstate(), np.random.get_state()
    logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    random.seed(_RANDOM_SEED)
    np.random.seed(_NUMPY_SEED)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(state)
        if not bars:
            datasets.enable_progress_bars()
        logger.setLevel(level)
