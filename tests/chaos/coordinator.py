"""Leads the study of a database until it is complete: `python coordinator.py STORAGE NAME CANDIDATES EXECUTOR OPTIONS`.

Prints a line whenever an evaluation is over. OPTIONS are the executor's, in JSON; with `"lead_seconds"`, the lease of
whoever leads is as short.
"""

import json
import sys

import torch
from heterosis.core.errors import HeterosisError
from heterosis.search import leading
from heterosis.search.study import Study

torch.set_num_threads(1)
storage, name, candidates, executor, options = sys.argv[1:]
chosen = json.loads(options)
leading.LEAD_SECONDS = chosen.pop("lead_seconds", leading.LEAD_SECONDS)
try:
    study = Study.load(name, storage)
    print("leads", flush=True)
    study.optimize(int(candidates), lambda progress: print(progress.stage, flush=True), executor, **chosen)
    study.close()
except HeterosisError as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    raise SystemExit(3) from None
