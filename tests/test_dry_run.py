"""A dry run says how many cells there are and about how long they take, and does nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from odebench.cli.app import app
from odebench.cli.forecasting import sentence
from odebench.execute.forecast import Forecast, forecast
from odebench.execute.planning import prepare_plan
from odebench.measure.pacing import pace_solves
from odebench.record import Cell, Record
from odebench.spec import Spec

SUITE = """\
name: small
problems: [linear_decay]
solvers: [heun, alf]
gradients: [direct, reversible]
stepping: [{fixed: {steps: 10}}, {fixed: {steps: 1000}}, adaptive]
measure: {repeats: 5, warmup: 1}
"""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ODEBENCH_CACHE", str(tmp_path / "cache"))
    Path("small.yaml").write_text(SUITE)
    return "small.yaml"


def call(*words: str) -> Any:
    return CliRunner().invoke(app, words, prog_name="odebench")


def test_a_dry_run_tells_cells_and_time_and_leaves_nothing_behind(suite: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = call("run", suite, "--dry-run")
    assert result.exit_code == 0
    cells, time = result.stderr.splitlines()
    assert cells == "12 cells, 9 to measure, 3 refused; 0 excluded by the suite; nothing was run"
    # heun and alf, direct and reversible (heun has none): each at fixed steps and at adaptive ones.
    assert time.startswith("about 0:")
    assert "from 6 kinds of solve tried here; not counted: 1 true answer that must be worked out first" in time
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("words", [["--format", "json"], ["--format", "csv"], ["-q"]])
def test_programs_and_the_quiet_do_not_wait_for_an_estimate(suite: str, words: list[str]) -> None:
    result = call("run", suite, "--dry-run", *words)
    assert result.exit_code == 0
    assert "about" not in result.stderr


def test_an_estimate_counts_only_what_is_left_of_a_run(suite: str) -> None:
    call("run", suite, "-o", "out", "-q", "-k", "stepping=fixed(steps=10)", "--repeats", "1")
    result = call("run", suite, "--resume", "out", "--dry-run")
    assert "8 cells, 6 to measure, 2 refused; 4 done already" in result.stderr
    everything = call("run", suite, "--resume", "out", "--dry-run", "-k", "stepping=fixed(steps=10)")
    assert "0 cells, 0 to measure" in everything.stderr
    assert "about" not in everything.stderr


def test_a_cell_of_which_another_seed_is_measured_is_not_tried(suite: str) -> None:
    Path(suite).write_text(SUITE + "seeds: [0, 1]\n")
    call("run", suite, "-o", "out", "-q", "-k", "seed=0 and solver=heun and stepping=fixed", "--repeats", "1")
    told = call(
        "run", suite, "--resume", "out", "--dry-run", "-k", "solver=heun and stepping=fixed and gradient=direct"
    )
    assert told.stderr.splitlines()[-1].startswith("about 0:")
    assert "tried here" not in told.stderr


def estimate(suite: str, text: str, wall: float | None = None, jobs: int = 1) -> Forecast | None:
    """Of a suite with the seeds 1 and 2; `wall` is what a cell took with seed 0, so that nothing need be tried."""
    Path(suite).write_text(f"{text}seeds: [1, 2]\n")
    made = prepare_plan({"suites": [suite]})
    first = replace(made.cells[0].cell, seed=0)
    done = [] if wall is None else [Record(first, "ok", metrics={"wall_seconds": wall})]
    return forecast(made.cells, made.suites, jobs, done)


ONE = "name: x\nproblems: [linear_decay]\nsolvers: [rk4]\nstepping: [{fixed: {steps: 100}}]\n"


def test_an_estimate_grows_with_repeats_and_warm_up_and_shrinks_with_jobs(suite: str) -> None:
    def middle(measure: str, jobs: int = 1) -> float:
        found = estimate(suite, f"{ONE}measure: {{{measure}}}\n", wall=1.0, jobs=jobs)
        assert found is not None
        return found.middle

    few = middle("repeats: 1, warmup: 0")
    assert middle("repeats: 11, warmup: 0") - few == pytest.approx(2 * 10 * 2.0)
    assert middle("repeats: 1, warmup: 3") - few == pytest.approx(2 * 3 * 1.0)
    assert middle("repeats: 1, warmup: auto") - few == pytest.approx(2 * 1 * 1.0)  # one solve is long enough
    assert middle("repeats: 1, warmup: 0", jobs=2) == pytest.approx(few / 2)
    assert middle("repeats: 1000, timeout: 20") == 2 * 20.0


def test_what_cannot_be_told_is_said(suite: str) -> None:
    text = SUITE.replace("warmup: 1", "warmup: 1, match_error: 1e-3").replace("{fixed: {steps: 10}}, ", "")
    assert estimate(suite, text) is None
    assert "cannot be told beforehand" in call("run", suite, "--dry-run").stderr


def test_a_solve_of_millions_of_steps_is_told_without_taking_them(suite: str) -> None:
    found = estimate(suite, ONE.replace("100", "9000000") + "measure: {timeout: 20}\n")
    assert found is not None
    assert found.middle > 2 * 19


def answers(cells: Sequence[Cell], seconds: float = 60.0) -> dict[str, Any]:
    """What the worker's job says, each cell a group of its own."""
    said: list[dict[str, Any]] = []
    groups = [[[index, cell.to_data(), 1]] for index, cell in enumerate(cells)]
    pace_solves({"groups": groups, "plugins": [], "seconds": seconds}, said.append)
    return said[-1]["answer"] if said else {}


def cell(stepping: Spec, **words: Any) -> Cell:
    return Cell("x", Spec("linear_decay"), Spec("heun"), Spec("direct"), stepping, **words)


def test_a_pace_is_in_proportion_to_the_steps() -> None:
    groups = [[[n, cell(Spec.of("fixed", {"steps": 100 * (n + 1)})).to_data(), 1] for n in range(3)]]
    said: list[dict[str, Any]] = []
    pace_solves({"groups": groups, "plugins": [], "seconds": 60.0}, said.append)
    one, two, three = said[-1]["answer"]["solves"].values()
    assert (two / one, three / one) == (pytest.approx(2), pytest.approx(3))


def test_a_solve_that_takes_too_long_is_broken_off_and_scaled() -> None:
    endless = cell(Spec.of("adaptive", {"rtol": 1e-13, "atol": 1e-14, "max_steps": 10**8}))
    told = answers([endless])
    assert told["late"] == [0]
    assert told["solves"][0] > 0.7


def test_a_cell_that_fails_costs_the_others_nothing() -> None:
    broken = Cell("x", Spec("nonsense"), Spec("heun"), Spec("direct"), Spec.of("fixed", {"steps": 4}))
    assert list(answers([broken, cell(Spec.of("fixed", {"steps": 4}))])["solves"]) == [1]


def test_the_trials_end_when_their_time_is_over() -> None:
    assert answers([cell(Spec("adaptive"))], seconds=-1.0) == {}


def test_the_sentence_says_what_the_figure_rests_on() -> None:
    assert sentence(Forecast(100.0, 3, 5, 1, 2, ("4 training runs",))) == (
        "about 1:40 (1:10 to 2:30), from 3 of 5 kinds of solve tried here, 1 of them broken off; "
        "not counted: 4 training runs and 2 true answers that must be worked out first"
    )
    assert sentence(Forecast(10.0)) == "about 0:10 (0:07 to 0:15)"
