"""Tables for people: what fits, what folds, and that nothing is ever cut."""

from __future__ import annotations

import math
from typing import Any

import pytest
from rich.cells import cell_len

from odebench.errors import UsageError
from odebench.record import ALIASES, COLUMNS, Cell, Record
from odebench.report import choosing, folding, layout, table, text, units
from odebench.report.cards import Cards
from odebench.spec import Spec

COUPLED = {"coupled": {"base": "rk4", "coupling": 0.999}}
FIGURES = {
    "nfe_forward": 400,
    "nfe_backward": 400,
    "vjp_backward": 400,
    "wall_seconds": 0.01234,
    "overhead": 1.31,
    "peak_memory_bytes": 12345678,
    "solution_error": 1.2e-7,
    "reverse_error": 0.0,
    "gradient_error": 1.3e-7,
    "gradient_error_discrete": 1e-15,
}
REFUSAL = "its steps cannot be undone; use a reversible scheme: alf, reversible_heun or coupled"


def record(
    solver: Any = "rk4",
    gradient: Any = "direct",
    problem: Any = "logistic",
    status: str = "ok",
    reason: str = "",
    **more: Any,
) -> Record:
    specs = (Spec.from_data(each) for each in (problem, solver, gradient, {"fixed": {"steps": 100}}))
    figures = FIGURES if status in ("ok", "diverged") else {}
    return Record(Cell("s", *specs), status, reason, {**figures, **more})


MANY = [
    record(),
    record(gradient="symplectic", wall_seconds=0.001),
    record(COUPLED, "reversible", wall_seconds=2.5),
    record("dopri5", {"recursive": {"checkpoints": 8}}, status="diverged", reason="the gradient is not finite. " * 4),
    record("rk4", "reversible", status="refused", reason=REFUSAL),
    record("rk4", "direct", "van_der_pol"),
    record("rk4", "aca", "van_der_pol"),
]


def lines(records: list[Record], width: int | None, columns: list[str] | None = None) -> list[str]:
    made = table.chosen_table(records, columns) if columns else table.reading_table(records)
    return [line.text for line in layout.lines_of(made, layout.fit(made, width))]


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_a_table_fits_its_terminal_and_has_no_ellipsis(width: int) -> None:
    drawn = lines(MANY, width)
    assert max(map(cell_len, drawn)) <= width
    assert "…" not in "".join(drawn)
    assert "..." not in "".join(drawn)


def test_a_table_at_80_columns_looks_so() -> None:
    assert lines([MANY[0], MANY[2], MANY[4]], 80) == [
        "suite s, problem logistic, stepping fixed(steps=100), device cpu, dtype float64,",
        "  batch 1, seed 0",
        "coupled is coupled(base=rk4, coupling=0.999)",
        "",
        "                     nfe  nfe     wall      peak  solution  reverse  gradient",
        "solver   gradient    fwd  bwd     time    memory     error    error     error",
        "─" * 77,
        "rk4      direct      400  400  12.3 ms  11.8 MiB   1.2e-07        0   1.3e-07",
        "coupled  reversible  400  400   2.50 s  11.8 MiB   1.2e-07        0   1.3e-07",
        "rk4      reversible  refused: its steps cannot be undone; use a reversible",
        "                     scheme: alf, reversible_heun or coupled",
    ]


def test_names_that_are_not_clear_without_their_options_are_folded() -> None:
    other = {"coupled": {"base": "dopri5", "coupling": 0.99}}
    drawn = lines([MANY[0], MANY[2], record(other, "reversible")], 80)
    assert not any("coupled is " in line for line in drawn)
    index = next(i for i, line in enumerate(drawn) if line.startswith("coupled(base=rk4,"))
    assert drawn[index + 1] == " coupling=0.999)"
    assert drawn[index + 2].startswith("coupled(")


def test_a_table_at_160_columns_shows_every_figure_and_folds_no_name() -> None:
    drawn = lines(MANY, 160)
    assert drawn[4].split() == [
        "solver", "gradient", "fwd", "bwd", "vjp", "time", "head", "memory", "error", "error", "error", "error",
    ]  # fmt: skip
    assert any(line.startswith("coupled(base=rk4, coupling=0.999)  reversible") for line in drawn)


def test_in_a_pipe_every_cell_is_one_line_however_long() -> None:
    made = table.reading_table(MANY)
    place = layout.fit(made, None)
    assert place.left_out == ()
    drawn = lines(MANY, None)
    row = next(line for line in drawn if line.startswith("rk4") and "refused" in line)
    assert row.endswith(f"refused: {REFUSAL}")


def test_numbers_are_right_aligned() -> None:
    drawn = lines([record(nfe_forward=7), record("dopri5", nfe_forward=123456)], 160)
    ends = [line.index(text) + len(text) for line, text in zip(drawn[-2:], ("   7", "123456"), strict=True)]
    assert ends[0] == ends[1]


def test_a_row_that_diverged_keeps_its_figures_and_tells_its_reason_below() -> None:
    drawn = lines(MANY, 80)
    index = next(i for i, line in enumerate(drawn) if line.startswith("dopri5"))
    assert "1.3e-07" in drawn[index]
    assert drawn[index + 1].startswith("    diverged: the gradient is not finite.")


def test_axes_that_never_change_are_told_once_and_problems_become_groups() -> None:
    drawn = lines(MANY, 160)
    assert drawn[0] == "suite s, stepping fixed(steps=100), device cpu, dtype float64, batch 1, seed 0"
    assert drawn.count("logistic") == drawn.count("van_der_pol") == 1


def test_problems_with_nothing_else_varying_are_rows() -> None:
    made = table.reading_table([record(), record(problem="growth")])
    assert made.group_by == ()
    assert made.columns[0] == "problem"


def test_figures_that_no_cell_has_take_no_column() -> None:
    made = table.reading_table([Record(record().cell, "ok", metrics={"nfe_forward": 3})])
    assert made.columns == ("solver", "nfe_forward")


def test_a_ratio_to_the_native_twin_is_shown_where_some_row_has_one_and_is_left_out_late() -> None:
    peer = record("torchdiffeq.rk4", wall_ratio=2.5)
    titles, _, first, second = (line.split() for line in lines([record(), peer], 50)[-4:])
    assert titles == ["solver", "time", "ratio", "memory", "error"]
    assert first == ["rk4", "12.3", "ms", "11.8", "MiB", "0"]
    assert second == ["torchdiffeq.rk4", "12.3", "ms", "2.50", "11.8", "MiB", "0"]
    assert not any("ratio" in line for line in lines([record()], 160))


def test_a_table_to_come_keeps_room_for_ratios_only_where_peers_are_planned() -> None:
    native = table.planned_table([record().cell, record(COUPLED).cell])
    assert "wall_ratio" not in native.columns
    assert "wall_ratio" in table.planned_table([record("torchdiffeq.rk4").cell]).columns


def test_chosen_columns_are_never_left_out() -> None:
    columns = choosing.parse_columns("solver,errors,wall,nfe,memory,graph,process,repeats,status")
    made = table.chosen_table(MANY, columns)
    blocks = folding.blocks_of(made, 80)
    assert blocks is not None
    names, figures = ["solver", "status"], [column for column in columns if column not in ("solver", "status")]
    assert [name for block in blocks for name in block.columns if name not in names] == figures
    assert all(name in block.columns for block in blocks for name in names)


def test_short_names_stand_for_columns_and_unknown_ones_get_a_suggestion() -> None:
    assert choosing.parse_columns("solver,nfe,wall,wall") == ["solver", "nfe_forward", "nfe_backward", "wall_seconds"]
    with pytest.raises(UsageError, match=r"no column is called 'solvr'; did you mean 'solver'\?"):
        choosing.parse_columns("solvr")
    with pytest.raises(UsageError, match="names no column"):
        choosing.parse_columns(" , ")


def test_every_short_name_means_columns_of_the_contract() -> None:
    assert {column for columns in ALIASES.values() for column in columns} <= set(COLUMNS)
    assert not set(ALIASES) & set(COLUMNS)


@pytest.mark.parametrize(("text", "expected"), [("wall", [0.001, 0.01234, 2.5]), ("-wall", [2.5, 0.01234, 0.001])])
def test_sorted_rows_have_those_without_a_value_last(text: str, expected: list[float]) -> None:
    made = choosing.sorted_table(table.reading_table([MANY[2], MANY[4], MANY[0], MANY[1]]), *choosing.parse_sort(text))
    assert [row["wall_seconds"] for row in made.rows] == [*expected, None]


def test_a_figure_that_is_no_number_sorts_last_too() -> None:
    records = [record(gradient_error=math.nan), record(gradient_error=math.inf), record(gradient_error=1.0)]
    made = choosing.sorted_table(table.reading_table(records), "gradient_error", False)
    assert [str(row["gradient_error"]) for row in made.rows] == ["1.0", "inf", "nan"]


def test_sorting_dissolves_groups_into_a_column() -> None:
    made = choosing.sorted_table(table.reading_table(MANY), "wall_seconds", False)
    assert made.group_by == ()
    assert made.columns[0] == "problem"


def test_metrics_of_plugins_are_columns_like_any_other() -> None:
    assert lines([record(kinetic_energy=2.5)], 80, ["solver", "kinetic_energy"])[0].strip() == "kinetic"


def test_names_cannot_reach_the_terminal_as_escapes() -> None:
    hostile = record({"x\x1b[31m\u202e[bold]\x07\nz": {"a": 1}}, reason="\x1b[2J", status="failed")
    drawn = "\n".join(lines([hostile, record()], 160))
    assert "\x1b" not in drawn
    assert "\u202e" not in drawn
    assert "[bold]" in drawn
    assert "failed: \\x1b[2J" in drawn


def test_wide_characters_are_counted_in_cells() -> None:
    drawn = lines([record("積分器積分器積分器積分器"), record(gradient="aca")], 80)
    assert max(map(cell_len, drawn)) <= 80


def test_a_growing_table_keeps_room_for_figures_to_come() -> None:
    place = folding.growing(table.planned_table(each.cell for each in MANY), 80)
    for each in MANY:
        for line in place.row(table.record_to_row(each)):
            assert cell_len(line.text) <= 80


def test_a_table_that_grows_in_a_very_narrow_terminal_grows_by_cards() -> None:
    place = folding.growing(table.planned_table(each.cell for each in MANY), 40)
    assert isinstance(place, Cards)
    drawn = [line.text for each in MANY for line in place.row(table.record_to_row(each))]
    assert max(map(cell_len, drawn)) <= 40
    assert drawn[:3] == ["rk4 · direct", "  nfe fwd 400, nfe bwd 400, vjp 400,", "  wall time 12.3 ms, overhead 1.31,"]


@pytest.mark.parametrize("width", [5, 8, 13, 40])
def test_folding_loses_nothing_but_blanks(width: int) -> None:
    words = "coupled(base=dopri5, coupling=0.999) and a_very_long_name/with.parts"
    folded = text.fold(words, width, 1, "(")
    assert "".join("".join(folded).split()) == "".join(words.split())
    assert max(map(len, folded)) <= width


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0123, "12.3 ms"),
        (0.0009996, "1.00 ms"),
        (0.9999, "1.00 s"),
        (1234.5, "1234 s"),
        (1.5e-6, "1.50 µs"),
        (3e-10, "0.300 ns"),
        (0, "0"),
        (math.inf, "inf"),
    ],
)
def test_seconds_have_three_digits_and_a_unit(value: float, text: str) -> None:
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1000, "1000 B"),
        (1024, "1.00 KiB"),
        (12345678, "11.8 MiB"),
        (1048575, "1.00 MiB"),
        (2**50, "1024 TiB"),
    ],
)
def test_bytes_have_three_digits_and_a_binary_unit(value: int, text: str) -> None:
    assert units.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1.2345e-7, "1.2e-07"), (0.0, "0"), (math.nan, "nan"), (math.inf, "inf"), (0.5, "5.0e-01")]
)
def test_errors_have_two_digits(value: float, text: str) -> None:
    assert units.error(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.306, "1.31"), (0.9996, "1.00"), (123.4, "123"), (1e7, "1.00e+07"), (0, "0"), (math.nan, "nan")],
)
def test_plain_numbers_have_three_digits(value: float, text: str) -> None:
    assert units.digits(value) == text


@pytest.mark.parametrize(("value", "text"), [(7.4, "0:07"), (750, "12:30"), (3723, "1:02:03"), (-1, "0:00")])
def test_durations_are_told_as_on_a_clock(value: float, text: str) -> None:
    assert units.duration(value) == text
