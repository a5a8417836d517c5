"""Progress, numbers and tables: what fits on a screen, and how often a line is printed."""

import io
from dataclasses import replace

import pytest
from heterosis.core.estimate import Estimate
from heterosis.search.progress import Progress
from heterosis.service import formats
from heterosis.service.figure_table import figure_tables
from heterosis.service.stages import LineDisplay, LiveDisplay
from rich.console import Console


def progress(done, stage="search", whole=40, failed=0, best="candidate 17: 0.917"):
    return Progress(stage, done, whole, failed, "candidate 1", best, 3.42, 3.42 * (whole - done))


def screen(width=80, terminal=True):
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, markup=False, color_system=None)


def test_a_line_now_and_then_and_the_last_of_each_stage():
    console = screen(terminal=False)
    with LineDisplay(console, seconds=1000) as listener:
        for done in range(1, 41):
            listener(progress(done))
        listener(progress(1, "validation", 2))
        listener(progress(2, "validation", 2, failed=1))
    lines = console.file.getvalue().splitlines()
    assert lines == [
        "loading the model, evaluating the first",
        "search 1 of 40, best candidate 17: 0.917, 3.4 s each, about 2 min 13 s left",
        "search 40 of 40, best candidate 17: 0.917, 3.4 s each",
        "validation 2 of 2, best candidate 17: 0.917, 3.4 s each, 1 failed",
    ]


def test_before_the_first_candidates_race_it_says_that_sources_answer():
    start = Progress("search", 0, 40, 0, "", "", None, None, "the sources answer every item")
    later = replace(start, doing="the sources answer every item (2 of 3 have)", asked=0)
    racing = replace(progress(9, best="candidate 4: 0.917 from 12 items"), doing="8 candidates race", asked=1234)
    lines, live = screen(terminal=False), screen(120)
    with LineDisplay(lines, seconds=0, doing=start.doing) as listener:
        listener(later)
        listener(racing)
    assert lines.file.getvalue().splitlines() == [
        "loading the model, the sources answer every item",
        "search 0 of 40, the sources answer every item (2 of 3 have)",
        "search 9 of 40, 8 candidates race, 1,234 items asked, best candidate 4: 0.917 from 12 items, 3.4 s each, "
        "about 1 min 46 s left",
    ]
    listener = LiveDisplay(live, start)
    for heard in (None, later, racing):
        if heard is not None:
            listener(heard)
        live.print(listener._render())
    shown = live.file.getvalue()
    assert "loading the model, the sources answer every item: 0.00 s so far" in shown
    assert "the sources answer every item (2 of 3 have): 0.00 s so far" in shown
    assert "1,234 items asked, 3.4 s each" in shown


@pytest.mark.parametrize("width", [60, 80, 120])
def test_live_progress_fits_the_screen(width):
    console = screen(width)
    listener = LiveDisplay(console, progress(0))
    listener(progress(12, failed=3))
    console.print(listener._render())
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 2
    assert all(len(line) <= width for line in lines)
    assert "12 of 40" in lines[0]


def test_tables_break_into_blocks_that_fit():
    names = [f"task number {place}" for place in range(7)]
    rows = [("uniform average", {name: Estimate(0.5, 0.1, 20) for name in names})]
    console = screen(80)
    blocks = list(figure_tables(rows, names, console.width, held_out=names[-1:], shares=names))
    for block in blocks:
        console.print(block)
    printed = console.file.getvalue()
    assert len(blocks) == 3
    assert all(len(line) <= 80 for line in printed.splitlines())
    assert all(f"{name}" in printed for name in names)
    assert printed.count("0.50 [0.32, 0.68]") == 7


@pytest.mark.parametrize(
    ("estimate", "share", "unit", "shown"),
    [
        (Estimate(0.93, 0.0128, 400), True, "", "0.93 [0.90, 0.95]"),
        (Estimate(1.0, 0.0, 20), True, "", "1.00 [0.84, 1.00]"),
        (Estimate(0.5, float("nan"), 1), True, "", "0.50 [0.05, 0.95]"),
        (Estimate(17.25, 0.5, 30), False, "", "17.25 [16.27, 18.23]"),
        (Estimate(17.25, float("nan"), 1), False, "", "17.25"),
        (Estimate(538_090_624.0, 0.0, 1), False, "bytes", "538 MB"),
        (Estimate(134_515_008.0, 0.0, 1), False, "weights", "135 M"),
    ],
)
def test_figures(estimate, share, unit, shown):
    assert formats.figure(estimate, share, unit) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0.00 s"), (3.42, "3.4 s"), (9.97, "10 s"), (59.7, "1 min 0 s"), (136, "2 min 16 s"), (3900, "1 h 5 min")],
)
def test_durations(seconds, shown):
    assert formats.duration(seconds) == shown
