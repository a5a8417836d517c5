"""Level swaps: small, within the limit, the same bytes where groups are of one size; every genome is within reach."""

import numpy as np
from heterosis.core.quantization.budget import LevelCosts
from heterosis.core.quantization.swaps import swapped

SIZES = {"int2": 200, "int3": 300, "int4": 400, "int8": 800}


def walk(costs, values, steps, seed=0):
    random = np.random.default_rng(seed)
    for _ in range(steps):
        change = swapped(costs, values, random)
        values = {**values, **change}
        yield change, values


def test_the_bytes_stay_the_same_among_groups_of_one_size():
    costs = LevelCosts(7, {f"g{n}": SIZES for n in range(6)}, limit=7 + 6 * 300)
    seen = set()
    for change, values in walk(costs, dict.fromkeys(costs.costs, "int3"), 300):
        assert len(change) >= 2
        assert costs.total(values) == costs.limit
        seen.add(tuple(sorted(values.values())))
    # what raises two bytes' worth: three and three, four and two, six lowered for one of eight...
    assert ("int2", "int2", "int3", "int3", "int4", "int4") in seen
    assert ("int2", "int2", "int2", "int2", "int2", "int8") in seen


def test_bits_move_between_kinds_of_other_sizes():
    large = {level: 3 * size for level, size in SIZES.items()}
    costs = LevelCosts(0, {**{f"s{n}": SIZES for n in range(3)}, **{f"l{n}": large for n in range(3)}}, limit=3600)
    visited = [values for _, values in walk(costs, dict.fromkeys(costs.costs, "int3"), 300)]
    assert all(costs.fits(values) for values in visited)
    assert len({sum(large[values[f"l{n}"]] for n in range(3)) for values in visited}) > 1


def test_room_is_used():
    costs = LevelCosts(0, {f"g{n}": SIZES for n in range(3)}, limit=900)
    *_, (_, last) = walk(costs, dict.fromkeys(costs.costs, "int2"), 30)
    assert costs.total(last) == 900


def test_without_a_limit_levels_go_up_and_down_a_step():
    costs = LevelCosts(0, {"a": SIZES})
    ranks = list(SIZES)
    before = {"a": "int3"}
    seen = set()
    for change, values in walk(costs, before, 60):
        assert abs(ranks.index(change["a"]) - ranks.index(before["a"])) == 1
        seen.add(values["a"])
        before = values
    assert seen == set(SIZES)


def test_levels_of_one_size_take_each_others_place():
    costs = LevelCosts(0, {"a": {"int4": 5, "gptq:int4": 5}}, limit=5)
    assert swapped(costs, {"a": "int4"}, np.random.default_rng(0)) == {"a": "gptq:int4"}


def test_where_nothing_can_change_nothing_does():
    costs = LevelCosts(0, {"a": {"int4": 5}, "b": {"int2": 5, "int4": 9}}, limit=10)
    assert swapped(costs, {"a": "int4", "b": "int2"}, np.random.default_rng(0)) == {}
