"""How fast an exported model runs and what memory it takes, measured in a fresh process that does nothing else."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import psutil
import torch

from ..core import registry
from ..core.errors import EvaluationError
from ..core.estimate import Estimate

PROMPT_TOKENS = 64
NEW_TOKENS = 16
REPEATS = 5
_PREFIX = "figures: "


@dataclass(frozen=True)
class EngineFigures:
    """What was measured of a written model; None is what was not.

    Attributes:
        bytes: of its weight files.
        prefill_ms: milliseconds for a prompt of `PROMPT_TOKENS`, or what the model takes, the median of `REPEATS`.
        decode_speed: tokens a second after it, one sequence, the most likely token each time; the median too.
        memory: bytes that the process had at its peak, less what it had before the model was loaded.
        prefill_error, decode_error: standard errors of the medians, in the same units.
    """

    bytes: int
    prefill_ms: float | None = None
    decode_speed: float | None = None
    memory: int | None = None
    prefill_error: float | None = None
    decode_error: float | None = None

    def to_dict(self) -> dict[str, float]:
        """JSON-ready content, without what was not measured."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> EngineFigures:
        """Reads what `to_dict` wrote; other keys are left alone."""
        return cls(**{one.name: content[one.name] for one in fields(cls) if one.name in content})

    @property
    def estimates(self) -> dict[str, Estimate]:
        """`prefill_ms`, `decode_speed` and `memory`, as far as measured; the last once, so its error is unknown."""
        found = {
            "prefill_ms": (self.prefill_ms, self.prefill_error, REPEATS),
            "decode_speed": (self.decode_speed, self.decode_error, REPEATS),
            "memory": (self.memory, None, 1),
        }
        return {
            name: Estimate(float(value), math.nan if error is None else error, items)
            for name, (value, error, items) in found.items()
            if value is not None
        }


def measure_engine(exporter: str, directory: Path) -> EngineFigures:
    """Loads what this exporter wrote in a process of its own, with as many threads as this one, and measures.

    Raises:
        EvaluationError: it does not load or run there.
    """
    arguments = [exporter, str(directory), str(torch.get_num_threads())]
    command = [sys.executable, "-m", __name__, *arguments]
    done = subprocess.run(  # noqa: S603  (this very program)
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    lines = [line.removeprefix(_PREFIX) for line in done.stdout.splitlines() if line.startswith(_PREFIX)]
    if done.returncode or not lines:
        words = done.stderr.strip().splitlines() or [f"it ended with {done.returncode} and said nothing"]
        raise EvaluationError(f"{directory} does not run in a process of its own: {words[-1]}")
    found: Mapping[str, Any] = json.loads(lines[-1])
    return EngineFigures(weight_bytes(directory), **found)


def weight_bytes(directory: Path) -> int:
    """Bytes of the weight files in a folder."""
    return sum(path.stat().st_size for path in weight_files(directory))


def weight_files(directory: Path) -> list[Path]:
    """The weight files in a folder, sorted."""
    return sorted(path for path in directory.iterdir() if path.suffix in (".safetensors", ".gguf"))


def _measure(exporter: str, directory: Path) -> dict[str, float]:
    plugin = registry.load("exporters", exporter)()
    import transformers  # noqa: F401  (before the model: what libraries take is not the model's)

    before = psutil.Process().memory_info().rss
    model = plugin.load(directory)
    config = model.config
    most = int(getattr(config, "max_position_embeddings", None) or PROMPT_TOKENS + NEW_TOKENS)
    new = min(NEW_TOKENS, most // 4)
    prompt = torch.arange(min(PROMPT_TOKENS, most - new))[None] * 7 % int(config.vocab_size)
    with torch.inference_mode():
        _run(model, prompt, new)  # the first run is slower, and not counted
        runs = [_run(model, prompt, new) for _ in range(REPEATS)]
    prefill, prefill_error = _median([1000 * seconds for seconds, _ in runs])
    speed, speed_error = _median([new / max(seconds, 1e-9) for _, seconds in runs])
    return {
        "prefill_ms": prefill,
        "decode_speed": speed,
        "memory": max(_peak() - before, 0),
        "prefill_error": prefill_error,
        "decode_error": speed_error,
    }


def _run(model: Any, prompt: torch.Tensor, new: int) -> tuple[float, float]:
    """Seconds for the prompt, and for `new` tokens after it."""
    started = time.perf_counter()
    found = model(prompt, use_cache=True)
    prefilled = time.perf_counter()
    for _ in range(new):
        found = model(found.logits[:, -1:].argmax(-1), past_key_values=found.past_key_values, use_cache=True)
    return prefilled - started, time.perf_counter() - prefilled


def _median(values: Sequence[float]) -> tuple[float, float]:
    """The median of at least two values, and its standard error where they are spread normally."""
    error = math.sqrt(math.pi / 2 / len(values)) * statistics.stdev(values)
    return statistics.median(values), error


def _peak() -> int:
    """Most bytes that this process has had in memory."""
    if sys.platform == "linux":  # where `ru_maxrss` is no less than that of the process that started this one
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _main() -> None:
    exporter, directory, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    print(_PREFIX + json.dumps(_measure(exporter, Path(directory))))


if __name__ == "__main__":
    _main()
