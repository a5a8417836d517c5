"""Checks of the options that schedulers share."""

from __future__ import annotations

import math
from typing import Any

from ...core.errors import ConfigurationError


def seconds_of(value: Any, option: str) -> float:
    """The value, if it is a number of seconds of at least 0; else raises ConfigurationError."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ConfigurationError(f"{option} must be a number of seconds, 0 or more, not {value!r}")
    return float(value)


def probability_of(value: Any, option: str) -> float:
    """The value, if it is a number from 0 to less than 1; else raises ConfigurationError."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
        raise ConfigurationError(f"{option} must be a number from 0 to less than 1, not {value!r}")
    return float(value)
