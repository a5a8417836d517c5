"""A plugin that makes trouble: an objective that does to its process what a file named after the candidate says."""

import os
import signal
import sys
import time
from pathlib import Path

from heterosis.core.contracts import Objective
from heterosis.core.estimate import Estimate

LOUD_BYTES = 2**28


class Trouble(Objective):
    """Always 0. `kill`: its process is killed; `exit`: it exits; `shout`: it writes much to its log, and is killed;
    `loop`: it never ends; `wait`: it goes on when the file is gone."""

    name = "trouble"

    def measure(self, measured):
        order = Path(os.environ["TROUBLE"]) / measured.recipe.hash
        what = order.read_text() if order.exists() else ""
        if what:
            print(f"told to {what}", flush=True)
        if what == "shout":
            for _ in range(LOUD_BYTES // 2**20):
                print("A" * 2**20, flush=True)
        if what in ("kill", "shout"):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "exit":
            sys.exit(0)
        while what == "loop" or (what == "wait" and order.exists()):
            time.sleep(0.05)
        return Estimate(0.0, 0.0, 1)
