"""Mixes of levels that people have made by hand, as rules: how many levels above the lowest each group is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..core.quantization.groups import EXPERTS, Group

_TOP = 1000


class Mix(NamedTuple):
    """Attributes: `steps`: of a group, in a model of so many layers, how many sizes above the lowest it is."""

    name: str
    steps: Callable[[Group, int], int]


def _q4_k_m(group: Group, layers: int) -> int:
    """llama.cpp's Q4_K_M (and its like): attn_v and ffn_down get more in the first and last eighth of the layers, and
    in every third between. Here q, k and v share a level."""
    layer = group.layer or 0
    more = layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
    return int(more and group.kind in ("qkv", "v_proj", "down_proj"))


def _dq3_k_m(group: Group, layers: int) -> int:
    """DQ3_K_M (Zhao et al., 2025, for DeepSeek-R1): of 58 layers of experts, the first 2 get most, 12 of the others
    more; what is no expert gets more everywhere."""
    if group.kind != EXPERTS:
        return 1
    layer = group.layer or 0
    first = max(round(layers * 2 / 58), 1)
    if layer < first:
        return 2
    others, more = layers - first, round(layers * 12 / 58)
    place = layer - first
    return int(place * more // others != (place - 1) * more // others) if others else 0


def _moqe(group: Group, layers: int) -> int:
    """MoQE (Kim et al., 2023): experts alone are quantised as low as can be, all else as little as can be."""
    return 0 if group.kind == EXPERTS else _TOP


def _ends(group: Group, layers: int) -> int:
    """The first and the last layer a level higher, as quantisers have it by habit."""
    return int(group.layer in (0, layers - 1))


MIXES = (Mix("Q4_K_M mix", _q4_k_m), Mix("ends higher", _ends), Mix("DQ3_K_M mix", _dq3_k_m), Mix("MoQE", _moqe))
