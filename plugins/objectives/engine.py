"""What the objectives that are measured in an engine have in common."""

from __future__ import annotations

from ...core.contracts import Measured
from ...core.errors import ConfigurationError
from ...core.estimate import Estimate


def figure(measured: Measured, objective: str, name: str) -> Estimate:
    """The engine's figure of this name. Raises ConfigurationError if there is none."""
    if name not in measured.engine:
        raise ConfigurationError(f"{objective} needs {name!r}, which was not measured: the candidate was not run")
    return measured.engine[name]
