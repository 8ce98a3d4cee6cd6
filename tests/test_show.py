"""`show`: what is the best, multiples of a base, groups, bars and sparklines."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from odebench.cli.app import app
from odebench.record import Cell, Record
from odebench.report import layout
from odebench.report.bars import LENGTH, bar
from odebench.report.best import with_best
from odebench.report.layout import BEST
from odebench.report.table import chosen_table
from odebench.rows import write_csv
from odebench.spec import Spec

TIMES = {
    ("rk4", "direct"): (0.010, 4000), ("rk4", "aca"): (0.020, 1000), ("rk4", "adjoint"): (0.015, 500),
    ("alf", "direct"): (0.004, 2000), ("alf", "aca"): (0.008, 900), ("alf", "adjoint"): (0.030, 500),
}  # fmt: skip


def record(
    solver: str = "rk4", gradient: str = "direct", steps: int = 10, status: str = "ok", reason: str = "", **more: Any
) -> Record:
    specs = (Spec("logistic"), Spec(solver), Spec(gradient), Spec.of("fixed", {"steps": steps}))
    seed = more.pop("seed", 0)
    return Record(Cell("s", *specs, seed=seed), status, reason, more)


def matrix(*steps: int) -> list[Record]:
    """Times and bytes that grow with the steps, and an error that is 0 for `direct`."""
    return [
        record(
            *pair, number, wall_seconds=seconds * number / 10, peak_memory_bytes=size,
            gradient_error_discrete=0.0 if pair[1] == "direct" else 1e-16,
        )
        for number in steps for pair, (seconds, size) in TIMES.items()
    ]  # fmt: skip


def best(records: list[Record], column: str, group_by: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    made = with_best(chosen_table(records, [column], group_by))
    named = {(row["suite"], row["cell"]): (row["solver"], row["gradient"], row["stepping"]) for row in made.rows}
    return [named[row["suite"], row["cell"]] for row in made.rows if (row["suite"], row["cell"], column) in made.best]


def show(tmp_path: Path, records: list[Record], *words: str) -> Any:
    path = tmp_path / "results.csv"
    write_csv(path, records)
    return CliRunner().invoke(app, ["show", str(path), *words], env={"NO_COLOR": "1"}, prog_name="odebench")


def rows(tmp_path: Path, records: list[Record], *words: str) -> list[list[str]]:
    """The lines below the rule, in fields."""
    result = show(tmp_path, records, *words)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    below = lines[next(i for i, line in enumerate(lines) if line.startswith("─")) + 1 :]
    return [[field.strip() for field in line.split("  ") if field.strip()] for line in below]


# The best


def test_the_best_is_marked_among_rows_that_differ_in_solver_and_gradient_only() -> None:
    fixed = ("fixed(steps=10)", "fixed(steps=20)")
    assert best(matrix(10, 20), "wall_seconds") == [("alf", "direct", stepping) for stepping in fixed]


def test_in_groups_of_a_solver_the_best_gradient_of_each_is_marked() -> None:
    assert best(matrix(10), "wall_seconds", ("solver",)) == [
        ("rk4", "direct", "fixed(steps=10)"), ("alf", "direct", "fixed(steps=10)"),
    ]  # fmt: skip


def test_figures_that_look_the_same_are_both_the_best() -> None:
    assert [pair[:2] for pair in best(matrix(10), "peak_memory_bytes")] == [("rk4", "adjoint"), ("alf", "adjoint")]


def test_what_most_rows_share_is_not_marked() -> None:
    alike = [record(solver, solution_error=error) for solver, error in (("rk4", 1.0), ("rk38", 1.0), ("heun", 2.0))]
    assert best(alike, "solution_error") == []


def test_a_time_whose_interval_reaches_the_best_one_cannot_be_told_from_it() -> None:
    def timed(solver: str, wall: float, low: float, high: float) -> Record:
        return record(solver, wall_seconds=wall, wall_seconds_low=low, wall_seconds_high=high)

    records = [timed("a", 1.0, 0.9, 1.2), timed("b", 1.3, 1.1, 1.5), timed("c", 1.4, 1.25, 1.5), timed("d", 2, 2, 2)]
    assert [solver for solver, *_ in best(records, "wall_seconds")] == ["a", "b"]


def test_errors_below_rounding_are_alike() -> None:
    errors = {"a": 3e-16, "b": 8e-14, "c": 1e-3, "d": 2e-3}
    found = best([record(solver, gradient_error=error) for solver, error in errors.items()], "gradient_error")
    assert [solver for solver, *_ in found] == ["a", "b"]


@pytest.mark.parametrize("column", ["nfe_forward", "overhead", "reverse_error", "gradient_error_discrete"])
def test_what_nobody_chooses_by_has_no_best(column: str) -> None:
    assert best([record("a", **{column: 1}), record("b", **{column: 2}), record("c", **{column: 3})], column) == []


@pytest.mark.parametrize("figure", [float("nan"), float("-inf")])
def test_only_finite_figures_of_cells_that_are_ok_compete(figure: float) -> None:
    records = [record("a", status="diverged", wall_seconds=0.1), record("b", wall_seconds=figure)]
    records += [record("c", wall_seconds=3.0), record("d", wall_seconds=4.0)]
    assert [solver for solver, *_ in best(records, "wall_seconds")] == ["c"]


def test_a_row_without_a_rival_is_not_marked() -> None:
    assert best([record(wall_seconds=1.0), record(steps=20, wall_seconds=2.0)], "wall_seconds") == []


def test_the_mark_stands_behind_the_digits_and_stands_out_without_colour() -> None:
    made = with_best(chosen_table(matrix(10), ["solver", "gradient", "wall_seconds", "peak_memory_bytes"]))
    place = layout.fit(made, 80)
    drawn = [line for row in made.rows for line in place.row(row)]
    assert [line.text for line in drawn] == [
        "rk4     direct    10.0 ms  3.91 KiB",
        "rk4     aca       20.0 ms    1000 B",
        "rk4     adjoint   15.0 ms     500 B*",
        "alf     direct    4.00 ms* 1.95 KiB",
        "alf     aca       8.00 ms     900 B",
        "alf     adjoint   30.0 ms     500 B*",
    ]
    assert [(line.text[start:stop], style) for line in drawn for start, stop, style in line.spans] == [
        ("500 B*", BEST), ("4.00 ms*", BEST), ("500 B*", BEST),
    ]  # fmt: skip


def test_the_caption_says_what_the_mark_means_and_only_where_there_is_one(tmp_path: Path) -> None:
    told = "* best of the rows that differ only in solver and gradient, and what cannot be told from it"
    assert told in show(tmp_path, matrix(10)).stdout
    assert "best of the rows that differ only in gradient," in show(tmp_path, matrix(10), "-k", "solver=rk4").stdout
    assert "best" not in show(tmp_path, [record(wall_seconds=1.0)]).stdout


# Relative to a base


def test_figures_are_multiples_of_the_base_at_the_same_stepping(tmp_path: Path) -> None:
    words = ("--relative-to", "solver=rk4 and gradient=direct", "--columns", "solver,gradient,stepping,wall")
    found = rows(tmp_path, matrix(10, 20), *words)
    assert [row[-1].strip(" *") for row in found] == [
        "10.0 ms", "×2.00", "×1.50", "×0.400", "×0.800", "×3.00",
        "20.0 ms", "×2.00", "×1.50", "×0.400", "×0.800", "×3.00",
    ]  # fmt: skip


def test_an_axis_that_the_base_leaves_open_is_held(tmp_path: Path) -> None:
    found = rows(tmp_path, matrix(10), "--relative-to", "solver=rk4", "--columns", "solver,gradient,wall")
    assert [row[-1].strip(" *") for row in found[3:]] == ["×0.400", "×0.400", "×2.00"]


def test_a_stepping_that_the_base_names_is_divided_by_at_every_other(tmp_path: Path) -> None:
    words = ("--relative-to", "stepping='fixed(steps=10)'", "-k", "stepping='fixed(steps=20)'", "--columns", "wall")
    assert {row[-1].strip(" *") for row in rows(tmp_path, matrix(10, 20), *words)} == {"×2.00"}


def test_what_cannot_be_divided_stands_as_measured(tmp_path: Path) -> None:
    records = [*matrix(10), record("heun", "direct", 40, wall_seconds=0.5)]
    words = ("--relative-to", "solver=rk4 and gradient=direct", "--columns", "solver,gradient,wall,discrete")
    result = show(tmp_path, records, *words)
    found = rows(tmp_path, records, *words)
    assert found[1][-1].strip() == "1.0e-16"  # over 0
    assert found[-1][-1].strip() == "500 ms"  # no base at 40 steps
    assert (
        "× is a multiple of the row with solver rk4, gradient direct at the same stepping; other figures stand as "
        "measured" in result.stdout
    )


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("solver=euler", "takes none of the 6 rows"),
        ("gradient!=adjoint", 'takes rows of 2 gradients, direct, aca; say which one to divide by, such as "gradient='),
        ("solver=", "expected a value of solver"),
    ],
)
def test_a_base_that_is_none_or_several_is_wrong_usage(tmp_path: Path, base: str, message: str) -> None:
    result = show(tmp_path, matrix(10), "--relative-to", base)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_csv_and_json_keep_what_was_measured_and_have_the_multiples_beside_it(tmp_path: Path) -> None:
    words = ("--relative-to", "gradient=direct", "--columns", "solver,gradient,wall")
    found = list(csv.DictReader(io.StringIO(show(tmp_path, matrix(10), *words, "--format", "csv").stdout)))
    assert found[1] == {"solver": "rk4", "gradient": "aca", "wall_seconds": "0.02", "wall_seconds_relative": "2.0"}
    document = json.loads(show(tmp_path, matrix(10), *words, "--format", "json").stdout)
    assert document["rows"][1]["wall_seconds"] == 0.02
    assert document["rows"][1]["wall_seconds_relative"] == 2.0


def test_multiples_are_what_rows_are_sorted_by(tmp_path: Path) -> None:
    records = [*matrix(10), *matrix(20)]
    words = ("--relative-to", "solver=rk4 and gradient=direct", "--sort", "wall", "--columns", "solver,gradient,wall")
    assert [row[-1].strip(" *") for row in rows(tmp_path, records, *words)][:4] == ["×0.400"] * 2 + ["×0.800"] * 2


# Groups


def test_rows_are_grouped_by_any_axes_and_sorted_within(tmp_path: Path) -> None:
    found = rows(tmp_path, matrix(10), "--group-by", "gradient", "--sort", "wall", "--columns", "solver,gradient,wall")
    assert [row[0] for row in found if row] == [
        "direct", "alf", "rk4", "aca", "alf", "rk4", "adjoint", "rk4", "alf",
    ]  # fmt: skip


def test_a_number_that_heads_a_group_is_told_with_its_axis(tmp_path: Path) -> None:
    result = show(tmp_path, [record(wall_seconds=1.0, seed=seed) for seed in (0, 1)], "--group-by", "seed")
    assert "\nseed 1\n" in result.stdout


def test_none_dissolves_groups_and_an_unknown_axis_gets_a_suggestion(tmp_path: Path) -> None:
    other = replace(record(), cell=replace(record().cell, problem=Spec("growth")))
    drawn = show(tmp_path, [other, *matrix(10)], "--group-by", "none").stdout
    assert any(line.split()[:3] == ["problem", "solver", "gradient"] for line in drawn.splitlines())
    result = show(tmp_path, matrix(10), "--group-by", "solvr")
    assert result.exit_code == 2
    assert "--group-by: no axis is called 'solvr'; did you mean 'solver'?" in result.stderr


def test_csv_has_the_rows_of_a_group_together_and_all_columns(tmp_path: Path) -> None:
    text = show(tmp_path, matrix(10), "--group-by", "gradient", "--format", "csv").stdout
    assert [row["gradient"] for row in csv.DictReader(io.StringIO(text))] == sorted(
        (gradient for _, gradient in TIMES), key=["direct", "aca", "adjoint"].index
    )


# Bars and sparklines


@pytest.mark.parametrize(
    ("value", "drawn"),
    [(8.0, "█" * LENGTH), (4.0, "█" * (LENGTH // 2)), (1.5, "█▌"), (1e-9, "▏"), (0.0, None), (-1.0, None)],
)
def test_a_bar_is_as_long_as_its_share(value: float, drawn: str | None) -> None:
    assert bar(value, 8.0) == drawn


def test_bars_stand_beside_time_and_memory_and_the_longest_is_the_worst_of_its_group(tmp_path: Path) -> None:
    words = ("--bars", "--group-by", "solver", "--columns", "solver,gradient,wall,memory")
    drawn = show(tmp_path, matrix(10), *words).stdout
    full = "█" * LENGTH
    assert [line.split()[0] for line in drawn.splitlines() if line.count(full) == 1] == [
        "direct", "aca", "direct", "adjoint",
    ]  # fmt: skip
    assert "bars: share of the largest in its group" in drawn
    assert "█" not in show(tmp_path, matrix(10), *words, "--format", "csv").stdout
    assert "█" not in show(tmp_path, matrix(10), *words, "--format", "markdown").stdout


def test_a_sparkline_shows_all_values_of_an_axis_on_one_scale(tmp_path: Path) -> None:
    words = ("--across", "stepping", "--columns", "solver,gradient,wall,memory")
    records = [each for each in matrix(10, 100, 1000) if each.cell.solver.name == "rk4"]
    del records[4]  # aca at 100 steps
    assert rows(tmp_path, records, *words) == [
        ["rk4", "direct", "▁▄▇ 1.00 s", "███ 3.91 KiB"],
        ["rk4", "aca", "▂·█ 2.00 s", "▃·▃ 1000 B"],
        ["rk4", "adjoint", "▁▅█ 1.50 s", "▂▂▂ 500 B"],
    ]


def test_of_seeds_the_middle_figure_is_told(tmp_path: Path) -> None:
    records = [record(wall_seconds=wall, seed=seed) for seed, wall in enumerate((1.0, 9.0, 3.0))]
    assert rows(tmp_path, records, "--across", "seed", "--columns", "wall") == [["▁█▃ 3.00 s"]]


def test_a_row_of_which_nothing_was_measured_keeps_its_reason(tmp_path: Path) -> None:
    records = [*matrix(10, 20), *(record("alf", "symplectic", n, "refused", "it cannot") for n in (10, 20))]
    drawn = show(tmp_path, records, "--across", "stepping").stdout
    assert drawn.count("refused: it cannot") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--across", "stepping"), "--across stepping: all rows have stepping fixed(steps=10); name an axis that"),
        (("--across", "steps"), "--across: no axis is called 'steps'"),
        (
            ("--across", "solver", "--bars", "--sort", "wall"),
            "--across shows many rows as one, to which --sort, --bars",
        ),
    ],
)
def test_sparklines_that_make_no_sense_are_wrong_usage(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    result = show(tmp_path, matrix(10), *words)
    assert result.exit_code == 2
    assert message in result.stderr
