"""Whether a winner is clear of the references: shares and other figures, maximised and minimised."""

import math

import pytest
from heterosis.core.estimate import Estimate
from heterosis.search.report import Report, Row


def report(direction, share, winner, *references):
    rows = [Row(f"reference {place}", {"figure": estimate}) for place, estimate in enumerate(references)]
    shares = frozenset({"figure"} if share else ())
    return Report(("figure",), (), (*rows, Row("winner", {"figure": winner})), direction, shares)


def share(right, items=400):
    return Estimate(right, math.sqrt(right * (1 - right) / items), items)


@pytest.mark.parametrize(
    ("direction", "is_share", "winner", "references", "clear", "worse"),
    [
        ("maximize", True, share(0.9), [share(0.5), share(0.7)], True, False),
        ("maximize", True, share(0.72), [share(0.5), share(0.7)], False, False),
        ("maximize", True, share(0.5), [share(0.5), share(0.7)], False, True),
        ("minimize", True, share(0.1), [share(0.5), share(0.7)], True, False),
        ("minimize", True, share(0.9), [share(0.5), share(0.7)], False, True),
        ("minimize", False, Estimate(12.0, 0.5, 30), [Estimate(20.0, 1.0, 30), Estimate(17.0, 0.5, 30)], True, False),
        ("minimize", False, Estimate(16.0, 0.5, 30), [Estimate(20.0, 1.0, 30), Estimate(17.0, 0.5, 30)], False, False),
        ("minimize", False, Estimate(22.0, 0.5, 30), [Estimate(20.0, 1.0, 30), Estimate(17.0, 0.5, 30)], False, True),
        ("minimize", False, Estimate(99.0, 0.0, 1), [Estimate(100.0, 0.0, 1)], True, False),
        ("minimize", False, Estimate(100.0, 0.0, 1), [Estimate(100.0, 0.0, 1)], False, False),
        ("maximize", False, Estimate(101.0, 0.0, 1), [Estimate(100.0, 0.0, 1)], True, False),
        ("minimize", False, Estimate(12.0, math.nan, 1), [Estimate(20.0, 1.0, 30)], False, False),
        ("maximize", True, Estimate(1.0, math.nan, 1), [share(0.5)], False, False),
    ],
)
def test_clear_of_the_references(direction, is_share, winner, references, clear, worse):
    found = report(direction, is_share, winner, *references)
    assert found.clear_of_references() is clear
    assert found.clearly_worse() is worse


def test_the_best_reference_is_the_one_to_beat():
    figures = [Estimate(0.5, 0.1, 9), Estimate(0.7, 0.1, 9), Estimate(0.6, 0.1, 9)]
    assert report("maximize", True, share(0.9), *figures).best_reference.name == "reference 1"
    assert report("minimize", True, share(0.9), *figures).best_reference.name == "reference 0"


def test_a_reference_that_is_uncertain_counts_as_much_as_the_best():
    vague = Estimate(0.6, 0.2, 6)
    assert not report("maximize", True, share(0.9), share(0.7), vague).clear_of_references()
