"""What every benchmark shares: its options, its table, its bars, and on what it ran."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Bar:
    """A figure that must not fall below a bound (`at_least`), or not rise above it (`at_most`); give one of them."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"the bar {self.name!r} needs either at_least or at_most")

    @property
    def met(self) -> bool:
        if self.at_most is not None:
            return self.value <= self.at_most
        return self.at_least is not None and self.value >= self.at_least

    @property
    def bound(self) -> str:
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"


def parser(description: str | None) -> argparse.ArgumentParser:
    """With `--quick` and `--json FILE`; a benchmark may add its own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions; ends within a minute or so")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    return parser


def processor() -> str:
    """The processor's name, and how many threads PyTorch uses on it."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def finish(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    bars: Sequence[Bar],
    json_file: Path | None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Prints the table and a line per bar, writes the JSON (with `details`), and exits with 1 if a bar is missed."""
    table = Table(title=f"{title}\non {processor()}", title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 110).print(table)
    for bar in bars:
        print(f"{bar.name}: {bar.value:.2f}, bound {bar.bound}, {'met' if bar.met else 'MISSED'}")
    if json_file is not None:
        content = {
            "title": title,
            "processor": processor(),
            "columns": list(columns),
            "rows": [list(row) for row in rows],
            "bars": [{**asdict(bar), "met": bar.met} for bar in bars],
            **(details or {}),
        }
        json_file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if all(bar.met for bar in bars) else 1)
