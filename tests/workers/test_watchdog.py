"""The watchdog: it bites who is idle while messages wait, and nobody else."""

import pytest
from heterosis.core.errors import BrokerError
from heterosis.workers.watchdog import Watchdog


class Scene:
    """A worker and a broker on paper, and a clock that is moved by hand."""

    def __init__(self):
        self.now = 1000.0
        self.waiting = 1
        self.received = 0
        self.busy = False
        self.broker_is_down = False
        self.reasons = []
        self.dog = Watchdog(
            self._messages, lambda: self.received, lambda: self.busy, self.reasons.append, 90.0, lambda: self.now
        )

    def _messages(self):
        if self.broker_is_down:
            raise BrokerError("down")
        return self.waiting

    def pass_time(self, seconds, step=15):
        for _ in range(0, seconds, step):
            self.now += step
            self.dog.look()


@pytest.fixture
def scene():
    return Scene()


def test_it_ends_a_worker_that_ignores_its_messages(scene):
    scene.pass_time(120)
    assert "waited for 90 seconds" in scene.reasons[0]


def test_it_gives_a_worker_that_has_just_started_its_time(scene):
    scene.pass_time(90)
    assert scene.reasons == []


@pytest.mark.parametrize(
    ("name", "value"), [("waiting", 0), ("busy", True), ("broker_is_down", True)], ids=["empty", "busy", "down"]
)
def test_it_has_patience_with(scene, name, value):
    setattr(scene, name, value)
    scene.pass_time(100_000, step=1000)
    assert scene.reasons == []


@pytest.mark.parametrize(("name", "value"), [("waiting", 0), ("busy", True), ("broker_is_down", True), ("received", 1)])
def test_one_sign_of_life_starts_the_time_anew(scene, name, value):
    scene.pass_time(75)
    before = getattr(scene, name)
    setattr(scene, name, value)
    scene.pass_time(15)
    if name != "received":
        setattr(scene, name, before)
    scene.pass_time(90)
    assert scene.reasons == []
    scene.pass_time(30)
    assert len(scene.reasons) > 0
