"""Keeps transformers' progress bars off the screen while it works for us: whoever shows progress here has their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

_OWN_TQDM = ("transformers.modeling_gguf_pytorch_utils",)
"""Modules that draw bars with tqdm itself and so do not follow transformers' setting."""


@contextmanager
def no_progress_bars(*modules: str) -> Iterator[None]:
    """No bar of transformers is drawn in this block; afterwards the user's settings hold again.

    Args:
        modules: names of more modules that draw bars with tqdm.
    """
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars
    from transformers.utils import logging

    if not logging.is_progress_bar_enabled():
        with _no_bars_of_their_own(*modules):
            yield
        return
    hub_disabled = are_progress_bars_disabled()  # transformers switches the hub's bars together with its own
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with _no_bars_of_their_own(*modules):
            yield
    finally:
        logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        if hub_disabled:
            disable_progress_bars()


@contextmanager
def _no_bars_of_their_own(*names: str) -> Iterator[None]:
    drawn: list[tuple[Any, Any]] = []
    for name in (*_OWN_TQDM, *names):
        with suppress(ImportError, AttributeError):  # another version may have moved it
            module = import_module(name)
            drawn.append((module, module.tqdm))
    try:
        for module, _ in drawn:
            module.tqdm = _undrawn
        yield
    finally:
        for module, tqdm in drawn:
            module.tqdm = tqdm


def _undrawn(steps: Any, *_given: Any, **_named: Any) -> Any:
    return steps
