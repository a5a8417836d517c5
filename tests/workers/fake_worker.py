"""A worker process around a worker that only pretends: run by tests as `python fake_worker.py SETTINGS_AS_JSON`.

It appends one JSON line for each thing that happens to the file `record`. An evaluation `sleep-2-x` takes two seconds.
"""

import json
import logging
import os
import sys
import threading
import time

from heterosis.workers.broker import parse_broker
from heterosis.workers.celery_worker import run_celery_worker


class FakeWorker:
    def __init__(self, record):
        self._record = record
        self._draining = threading.Event()
        self._hand_back_at = None
        self._threads = set()

    def note(self, **what):
        with open(self._record, "a") as lines:
            lines.write(json.dumps({"at": time.time(), **what}) + "\n")

    def work_one(self, evaluation_id=None):
        self._threads.add(threading.get_ident())
        if evaluation_id is None:
            self.note(look=True)
            return False
        if self._draining.is_set():
            return False
        self.note(begun=evaluation_id, threads=len(self._threads))
        ends_at = time.monotonic() + float(evaluation_id.split("-")[1])
        while time.monotonic() < ends_at:
            time.sleep(0.02)
            if self._hand_back_at is not None and time.monotonic() > self._hand_back_at:
                self.note(handed_back=evaluation_id)
                return True
        self.note(done=evaluation_id)
        return True

    def drain(self, grace_seconds):
        self.note(drain=grace_seconds)
        self._hand_back_at = time.monotonic() + grace_seconds
        self._draining.set()

    def stop(self):
        self.note(stopped=True)


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO)
    worker = FakeWorker(settings["record"])
    if settings.get("deaf"):  # connected, answers pings, and never takes a message
        from celery.worker.consumer.tasks import Tasks

        start = Tasks.start
        Tasks.start = lambda self, consumer: (
            start(self, consumer),
            setattr(consumer.task_consumer.channel.qos, "can_consume", lambda: False),
        )
    status = run_celery_worker(
        worker,
        parse_broker(os.environ["HETEROSIS_BROKER"]),
        settings.get("queues", ["8g", "any"]),
        settings.get("name", "fake"),
        grace_seconds=settings.get("grace_seconds", 1.0),
        look_seconds=settings.get("look_seconds", 600.0),
        watchdog_seconds=settings.get("watchdog_seconds", 90.0),
        note_end=lambda reason: (worker.note(reason=reason), worker.stop()),
        changes=settings.get("changes"),
    )
    worker.note(status=status)
    sys.exit(status)
