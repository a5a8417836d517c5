"""The errors a user may meet: each names the bad value and says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HeterosisError(Exception):
    """Anything that went wrong for a reason the user can read and act on."""


class ConfigurationError(HeterosisError):
    """A study file, a recipe or an argument that cannot be used as written."""


class CheckpointError(HeterosisError):
    """A checkpoint that is missing, damaged, or does not fit the others."""


class PluginError(HeterosisError):
    """A plugin that is unknown, cannot be imported, or breaks its contract."""


class MaterialiseError(HeterosisError):
    """A candidate whose weights could not be built (for example, they turned NaN)."""


class EvaluationError(HeterosisError):
    """A candidate that was built but could not be scored."""


class StorageError(HeterosisError):
    """A database or a disk that refuses to read or to write."""


class BrokerError(HeterosisError):
    """A broker that does not answer, or refuses; what was to be sent can be sent again later."""


class OptimizerError(HeterosisError):
    """An optimizer that was used out of turn, or that cannot work in the space it was given."""


def did_you_mean(given: str, valid: Iterable[str]) -> str:
    """A sentence for an error message: the nearest valid name, and all of them.

    >>> did_you_mean("tie", ["ties", "slerp"])
    "Did you mean 'ties'? Valid names: slerp, ties."
    """
    names = sorted(valid)
    nearest = difflib.get_close_matches(given, names, n=1)
    listing = f"Valid names: {', '.join(names)}." if names else "There are none."
    return f"Did you mean {nearest[0]!r}? {listing}" if nearest else listing
