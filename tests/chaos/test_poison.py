"""A candidate that ends its process, hangs or shouts fails after three attempts, with a reason; the others go on."""

import heterosis as ht
import pytest
from heterosis.storage.tables import attempts
from heterosis.testing.invariants import check_finished
from sqlalchemy import select

pytestmark = pytest.mark.slow

POISON = {1: "kill", 2: "exit", 3: "loop", 5: "shout"}
CANDIDATES = 8


def test_poison_fails_and_the_others_go_on(study, trouble, tmp_path):
    goals = (ht.minimize("trouble"),)
    healthy = study(tmp_path / "healthy.db", goals, optimizer="nsga2").optimize(CANDIDATES)
    for number, what in POISON.items():
        trouble(healthy.candidate(number), what)
    poisoned = study(tmp_path / "poisoned.db", goals, optimizer="nsga2")
    poisoned.optimize(CANDIDATES, workers="processes", devices="cpu,cpu", limit_seconds=10.0, quiet=True)

    check_finished(poisoned.store, poisoned.record.id)
    for number, expected in enumerate(healthy.candidates):
        found = poisoned.candidate(number)
        assert found.genome == expected.genome
        if number not in POISON:
            assert found.measurements["search"] == expected.measurements["search"]
    ended = {number: poisoned.candidate(number).record for number in POISON}
    assert {record.state for record in ended.values()} == {"failed"}
    evaluations = {number: record.evaluations["search"] for number, record in ended.items()}
    kinds = {POISON[number]: (one.error_kind, one.attempt) for number, one in evaluations.items()}
    assert kinds == {"kill": ("lost", 3), "exit": ("lost", 3), "loop": ("timeout", 3), "shout": ("lost", 3)}
    assert "its worker was lost 3 times" in ended[1].failure
    assert "Signal 9 ended the last. The last that it wrote: " in ended[1].failure
    assert "told to kill" in ended[1].failure
    assert "Signal" not in ended[2].failure
    assert "the time limit was reached 3 times" in ended[3].failure
    for number, what in POISON.items():
        rows = _attempts(poisoned, evaluations[number].id)
        assert [row.exit_signal for row in rows] == [{"kill": 9, "shout": 9, "exit": None, "loop": None}[what]] * 3
        assert all(0 < len(row.log_tail.encode()) <= 8192 for row in rows)


def _attempts(study, evaluation_id):
    with study.store.database.read() as connection:
        return connection.execute(select(attempts).where(attempts.c.evaluation_id == evaluation_id)).all()
