"""Says what a study will need: memory, disk, time for a merge, tokens; and what is unusual about its sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ..core.stage import STAGES, Stage
from .console import BAD, QUIET, pairs, table
from .fetching import working
from .formats import duration, size

if TYPE_CHECKING:
    from ..core.preflight import Needs
    from ..fitness.evaluator import Evaluator
    from ..fitness.token_counts import TokenCount
    from .outputs import Outputs


@dataclass(frozen=True)
class Foresight:
    """What was measured and counted; `tokens` of a candidate by stage and task, None where a task cannot be asked."""

    needs: Needs
    tokens: Mapping[Stage, Mapping[str, TokenCount | None]]
    folder: str
    exports: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        tokens = {
            stage: {task: count and asdict(count) for task, count in counts.items()}
            for stage, counts in self.tokens.items()
        }
        return {**asdict(self.needs), "memory": self.needs.memory, "tokens": tokens, "shortages": self.shortages}

    @property
    def shortages(self) -> list[str]:
        """`memory` or `disk`, where there is less than is needed."""
        return [what for what in self.needs.shortages if what != "disk" or self.exports]


def foresee(evaluator: Evaluator, outputs: Outputs, console: Console) -> Foresight:
    """Measures what a study whose checkpoints are open will need.

    Raises:
        EvaluationError: an item is empty, or too long for the model.
        CheckpointError: a checkpoint is damaged.
    """
    from ..core.preflight import needs
    from ..fitness.token_counts import token_counts

    space = evaluator.spec.space
    with working(console, "Measuring what the study will need"):
        directory = space.checkpoints[space.base].directory
        tokens = {stage: token_counts(evaluator.items[stage], directory) for stage in STAGES}
        found = needs(space, outputs.folder, evaluator.device)
    return Foresight(found, tokens, str(outputs.folder), outputs.export)


def lines(found: Foresight) -> Iterator[RenderableType]:
    """A table, and a line for each thing that is unusual."""
    needs = found.needs
    rows: list[tuple[str, str | Text]] = [("memory", _memory(needs))]
    if found.exports:
        rows.append(("disk", f"{size(needs.export)} for the model; {size(needs.free)} free"))
    counted = ", ".join(_tokens(stage, counts) for stage, counts in found.tokens.items() if counts)
    rows.append(("tokens", f"a candidate reads {counted}"))
    yield ""
    yield _merges(needs)
    yield ""
    yield pairs(rows)
    if needs.remarks or found.shortages:
        yield ""
    for remark in needs.remarks:
        yield Text(f"Note: {remark}.")
    for shortage in found.shortages:
        yield Text(_SHORT[shortage], style=BAD)


_SHORTEST = 0.01
_SHORT = {
    "memory": "There is less memory than this needs: close other programs, or expect the machine to swap or to stop.",
    "disk": "There is less disk than the model needs: free some, or choose another folder with --out.",
}


def _memory(needs: Needs) -> str:
    prepared = max(merge.prepared for merge in needs.merges.values())
    parts = [f"{size(needs.model)} for the model"]
    if prepared:
        parts.append(f"{size(prepared)} prepared for merging")
    if needs.unpacked:
        parts.append(f"{size(needs.unpacked)} of unpacked float8")
    available = "" if needs.available is None else f"; {size(needs.available)} available"
    return f"{', '.join(parts)}, and {size(needs.mapped)} of files mapped{available}"


def _merges(needs: Needs) -> Table:
    """A row for each method; the last column is what moving its bytes would take if nothing were computed."""
    columns = ("the first", "every other", "moves", "as a copy")
    made = table("merging takes", *columns, right=columns)
    for method, merge in needs.merges.items():
        copied = merge.moved / needs.copy_bandwidth
        cells = (_about(merge.first_seconds), _about(merge.seconds), size(merge.moved), _about(copied))
        made.add_row(Text(method, style=QUIET), *cells)
    return made


def _about(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return duration(seconds) if seconds >= _SHORTEST else f"< {_SHORTEST} s"


def _tokens(stage: Stage, counts: Mapping[str, TokenCount | None]) -> str:
    known = [count for count in counts.values() if count is not None]
    written = sum(count.written for count in known)
    text = f"{sum(count.read for count in known):,} in {stage}"
    text += f" and up to {written:,} written" if written else ""
    return text if len(known) == len(counts) else f"{text} (without those of {_uncounted(counts)})"


def _uncounted(counts: Mapping[str, TokenCount | None]) -> str:
    return " and ".join(task for task, count in counts.items() if count is None)
