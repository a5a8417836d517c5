"""Memory classes: the queues of the broker, by how much device memory an evaluation takes."""

from __future__ import annotations

ANY = "any"
"""The class of what is not known to fit any other; every worker takes it, and its claim decides."""

_GIGABYTES = (1, 2, 4, 8, 16, 24, 48, 80, 160)

# A device sold as 24 GB shows between 23.5 and 25.8 billion bytes, one of 16 GB as few as 15.8, one of 141 GB 150.1.
_SHARE_USABLE = 0.93

_LIMITS = {f"{size}g": int(size * 10**9 * _SHARE_USABLE) for size in _GIGABYTES}

MEMORY_CLASSES = (*_LIMITS, ANY)
"""All names, smallest first: `1g` ... `160g`, `any`."""


def class_of(need_bytes: int | None) -> str:
    """The smallest class that an evaluation fits; `any` if its need is unknown or more than the largest class holds.

    >>> class_of(20 * 10**9), class_of(None)
    ('24g', 'any')
    """
    if need_bytes is None:
        return ANY
    return next((name for name, limit in _LIMITS.items() if need_bytes <= limit), ANY)


def classes_for(memory_bytes: int) -> tuple[str, ...]:
    """The classes whose every evaluation fits a device with this much memory, largest first, and `any`.

    >>> classes_for(5 * 10**9)
    ('4g', '2g', '1g', 'any')
    """
    fitting = [name for name, limit in _LIMITS.items() if limit <= memory_bytes]
    return (*reversed(fitting), ANY)
