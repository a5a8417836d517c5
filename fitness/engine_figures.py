"""How fast an exported model runs and what memory it takes, measured in a fresh process that does nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from ..core import registry
from ..core.errors import EvaluationError

PROMPT_TOKENS = 64
NEW_TOKENS = 16
_REPEATS = 3
_PREFIX = "figures: "


@dataclass(frozen=True)
class EngineFigures:
    """What was measured of a written model; None is what was not.

    Attributes:
        bytes: of its weight files.
        prefill_ms: milliseconds for a prompt of `PROMPT_TOKENS`, or what the model takes, the median of three.
        decode_speed: tokens a second after it, one sequence, the most likely token each time.
        memory: bytes that the process had at its peak, less what it had before the model was loaded.
    """

    bytes: int
    prefill_ms: float | None = None
    decode_speed: float | None = None
    memory: int | None = None

    def to_dict(self) -> dict[str, float]:
        """JSON-ready content, without what was not measured."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def measure_engine(exporter: str, directory: Path) -> EngineFigures:
    """Loads what this exporter wrote in a process of its own, with as many threads as this one, and measures.

    Raises:
        EvaluationError: it does not load or run there.
    """
    arguments = [exporter, str(directory), str(torch.get_num_threads())]
    command = [sys.executable, "-m", __name__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (this very program)
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
        prefill = _seconds(lambda: model(prompt, use_cache=True))
        decode = _seconds(lambda: _decode(model, prompt, new + 1)) - prefill
    return {
        "prefill_ms": 1000 * prefill,
        "decode_speed": new / max(decode, 1e-9),
        "memory": max(_peak() - before, 0),
    }


def _decode(model: Any, prompt: torch.Tensor, count: int) -> None:
    tokens, cache = prompt, None
    for _ in range(count):
        found = model(tokens, past_key_values=cache, use_cache=True)
        tokens, cache = found.logits[:, -1:].argmax(-1), found.past_key_values


def _seconds(run: Callable[[], object]) -> float:
    """The median, after a run that is not counted."""
    run()
    found = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return sorted(found)[len(found) // 2]


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
