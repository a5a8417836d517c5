"""What an evaluating process keeps warm: the studies that it has loaded, each with its sources and resident model."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..fitness.evaluator import Evaluator
from .admission import admit
from .environment import environment
from .memory import foreseen_bytes


@dataclass
class Loaded:
    """A study, ready to evaluate its candidates.

    Attributes:
        bytes: what it takes on the device, as foreseen.
        environment: what computes its results here (`environment.environment`).
        fresh: whether it was loaded just now.
    """

    evaluator: Evaluator
    bytes: int
    environment: Mapping[str, Any]
    fresh: bool = True


class Bench:
    """Evaluators by study. One that would not fit beside the others sends off the one that was used longest ago.

    Args:
        device: where candidates are evaluated.
        memory_bytes: what all studies together may take of it.
    """

    def __init__(self, device: str, memory_bytes: int) -> None:
        self._device = device
        self._memory_bytes = memory_bytes
        self._studies: OrderedDict[str, Loaded] = OrderedDict()

    def loaded(self, study: Mapping[str, Any]) -> Loaded:
        """The study that a worker's request describes, loaded and admitted if it was not.

        Raises:
            ConfigurationError, PluginError, CheckpointError: this process cannot evaluate it; see the messages.
        """
        study_id = study["id"]
        known = self._studies.get(study_id)
        if known is not None:
            self._studies.move_to_end(study_id)
            known.fresh = False
            return known
        spec = admit(study["spec"], study["versions"], study["models"], study["roots"], study["folders"])
        need = foreseen_bytes(spec)
        while self._studies and need + sum(one.bytes for one in self._studies.values()) > self._memory_bytes:
            self._studies.popitem(last=False)
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        made = Loaded(Evaluator(spec, self._device), need, environment(spec, self._device))
        self._studies[study_id] = made
        return made
