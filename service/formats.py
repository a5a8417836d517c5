"""Numbers as people read them: durations, sizes, figures with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..core.estimate import Estimate

_SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_COUNTS = ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k"))


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> [duration(seconds) for seconds in (0.25, 3.42, 42, 136, 3900)]
    ['0.25 s', '3.4 s', '42 s', '2 min 16 s', '1 h 5 min']
    """
    if seconds < 1:
        return f"{max(seconds, 0):.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(bytes_: float) -> str:
    """Bytes with a decimal unit.

    >>> size(538_090_624), size(12)
    ('538 MB', '12 bytes')
    """
    return _scaled(bytes_, _SIZES) or f"{bytes_:.0f} bytes"


def engine_line(figures: Mapping[str, Any]) -> str:
    """What was measured of an exported model.

    >>> engine_line({"bytes": 81_000_000, "prefill_ms": 81.2, "decode_speed": 31.4, "memory": 412_000_000})
    '81.0 MB of weights, prefill 81.2 ms, 31.4 tokens/s, at its peak 412 MB of memory'
    """
    parts = [f"{size(figures['bytes'])} of weights"]
    if "prefill_ms" in figures:
        parts.append(f"prefill {figures['prefill_ms']:.3g} ms")
        parts.append(f"{figures['decode_speed']:.3g} tokens/s")
        parts.append(f"at its peak {size(figures['memory'])} of memory")
    return ", ".join(parts)


def number(value: float, unit: str = "") -> str:
    """A measured value; bytes and weights are scaled, shares have three decimals.

    >>> number(0.91666), number(134_515_008, "weights"), number(17.2543)
    ('0.917', '135 M', '17.25')
    """
    if unit == "bytes":
        return size(value)
    if unit == "weights":
        return _scaled(value, _COUNTS) or f"{value:.0f}"
    return f"{value:.3f}" if abs(value) <= 1 else f"{value:.4g}"


def figure(estimate: Estimate, share: bool, unit: str = "") -> str:
    """A figure with its interval, `0.93 [0.90, 0.95]`; without one if it is exact."""
    if not share and not estimate.standard_error > 0:
        return number(estimate.mean, unit)
    low, high = estimate.interval(share)
    if share:
        return f"{estimate.mean:.2f} [{low:.2f}, {high:.2f}]"
    return f"{number(estimate.mean, unit)} [{number(low, unit)}, {number(high, unit)}]"


def _scaled(value: float, units: Iterable[tuple[float, str]]) -> str | None:
    for scale, name in units:
        if abs(value) >= scale:
            scaled = value / scale
            digits = 0 if abs(scaled) >= 99.95 else 1
            return f"{scaled:.{digits}f} {name.strip()}"
    return None
