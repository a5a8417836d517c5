"""Schedulers by name, with their options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ...core import registry
from ...core.contracts.scheduler import Scheduler
from ...core.errors import ConfigurationError, did_you_mean

DEFAULT = "first_come"


def make(name: str = DEFAULT, options: Mapping[str, Any] | None = None) -> Scheduler:
    """A scheduler.

    Raises:
        ConfigurationError: it has no such option, or not with such a value.
        PluginError: there is none of that name.
    """
    found: type[Scheduler] = registry.load("schedulers", name)
    options = dict(options or {})
    parameters = inspect.signature(found).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for option in options:
            if option not in parameters:
                raise ConfigurationError(
                    f"the scheduler {name!r} has no option {option!r}. {did_you_mean(option, parameters)}"
                )
    return found(**options)
