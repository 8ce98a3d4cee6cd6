"""What a person is told while a run goes on, by a clock that only moves when it is told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from odebench.cli.progress import Progress
from odebench.plan import Plan, Planned
from odebench.record import Cell, Record
from odebench.report.screen import Screen
from odebench.spec import Spec


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def cells(count: int) -> list[Cell]:
    fixed = Spec.of("fixed", {"steps": 10})
    return [Cell("s", Spec("logistic"), Spec("rk4"), Spec("direct"), fixed, seed=seed) for seed in range(count)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def started(
    clock: Clock, count: int, refused: int = 0, done: int = 0, rows: bool = False
) -> tuple[Progress, list[Cell]]:
    every = cells(count)
    planned = tuple(Planned(cell, "it cannot" if i < refused else None) for i, cell in enumerate(every))
    progress = Progress(Screen(), rows, clock)
    progress.start(Plan((), planned, 2), Path("out"), [Record(cell, "ok") for cell in every[count - done :]])
    return progress, every


def run(progress: Progress, clock: Clock, cell: Cell, seconds: float, status: str = "ok") -> None:
    progress.cell_started(cell)
    clock.now += seconds
    progress.cell_finished(Record(cell, status, "" if status == "ok" else "it was so"))


def test_time_left_is_what_the_measured_cells_took(clock: Clock) -> None:
    progress, every = started(clock, 6, refused=2)
    assert progress.time_left() is None
    for cell in every[:2]:
        progress.cell_finished(Record(cell, "refused", "it cannot"))
    assert progress.time_left() is None
    run(progress, clock, every[2], 30)
    assert progress.time_left() == 90
    run(progress, clock, every[3], 10, "timed_out")
    assert progress.time_left() == 40


def test_cells_of_an_earlier_run_count_as_done_and_take_no_time(clock: Clock) -> None:
    progress, every = started(clock, 4, done=2)
    assert progress.line() == "2/4, 0:00 elapsed"
    run(progress, clock, every[0], 5)
    assert progress.line() == "3/4, 0:05 elapsed, about 0:05 left"


def test_the_line_names_what_is_running_by_what_varies_and_counts_failures(clock: Clock) -> None:
    progress, every = started(clock, 3)
    progress.cell_started(every[0])
    clock.now += 7
    assert progress.line() == "0/3, 0:07 elapsed · 0:07 0"
    progress.cell_finished(Record(every[0], "crashed", "it died"))
    assert progress.line() == "1/3, 0:07 elapsed, about 0:14 left, 1 not ok"


def test_the_summary_counts_statuses_exclusions_and_what_is_missing(clock: Clock) -> None:
    progress, every = started(clock, 3, refused=1)
    progress.cell_finished(Record(every[0], "refused", "it cannot"))
    progress.cell_finished(Record(every[1], "out_of_memory", "too big"))
    clock.now += 61
    told = "2 of 3 cells: 1 refused, 1 out of memory; 2 excluded by the suite; 1:01\nresults in out"
    assert progress.summary() == told
    progress.cell_finished(Record(every[2], "ok"))
    assert progress.summary().startswith("3 cells: ")


def test_rows_appear_as_cells_end_below_one_header(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    progress, every = started(clock, 3, done=1, rows=True)
    progress.cell_finished(Record(every[0], "ok", metrics={"wall_seconds": 0.5}))
    progress.cell_finished(Record(every[1], "failed", "no luck"))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[-3:]] == [["2"], ["0", "500", "ms"], ["1", "failed:", "no", "luck"]]
    assert sum("─" in line for line in lines) == 1


def test_where_stderr_is_no_terminal_nothing_but_notes_is_written(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with started(clock, 2)[0] as progress:
        progress.cell_started(cells(1)[0])
        progress.note("a remark\x1b[2J")
        progress.cell_finished(Record(cells(1)[0], "ok"))
    assert capsys.readouterr() == ("", "a remark\\x1b[2J\n")
