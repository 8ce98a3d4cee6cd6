"""Two stored results compared: what repeats is told, of times next to nothing; and runs that pass a gate or do not."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from odebench.compare.policy import Policy
from odebench.compare.sides import Results
from odebench.compare.stored import STORED_FACTOR, compare_results, confirmed, slower
from odebench.compare.verdicts import Comparison, Finding, Verdict
from odebench.peers import diffrax
from odebench.record import Record
from odebench.store import read_results
from tests.stored_sides import METRICS, cell, edited, folder, record, refused, table
from tests.test_cli import call

WORSE, SAME, BETTER, UNCLEAR = Verdict.WORSE, Verdict.SAME, Verdict.BETTER, Verdict.UNCLEAR
ALL = "status, exact, errors, times"
SUITE = """\
name: small
problems: [linear_decay]
solvers: [rk4, alf]
gradients: [direct, reversible]
stepping: [{fixed: {steps: 10}}]
measure: {repeats: 1, warmup: 0}
"""
PLUGIN = '''\
import odebench
@odebench.solver("mine")
class Mine:
    """Heun's method, and calls of f for nothing."""
    order, error_order = 2, None
    def init(self, f, t, y): return (y,)
    def step(self, f, t, dt, state):
        k = f(t, state[0])
        for _ in range(EXTRA): f(t, state[0])
        return odebench.Step((state[0] + dt / 2 * (k + f(t + dt, state[0] + dt * k)),))
'''


def compared(base: Record | Sequence[Record], new: Record | Sequence[Record], rules: str = ALL) -> Comparison:
    sides = [(each,) if isinstance(each, Record) else tuple(each) for each in (base, new)]
    return compare_results(Results("old", sides[0]), Results("fresh", sides[1]), Policy.parse(rules))


def of(comparison: Comparison, metric: str) -> Finding:
    (finding,) = [each for each in comparison.findings if each.metric == metric]
    return finding


def test_the_same_results_are_the_same_but_for_times_of_which_nothing_can_be_told() -> None:
    comparison = compared(record(), record())
    verdicts = {each.metric: each.verdict for each in comparison.findings}
    noisy = {
        "forward_seconds",
        "backward_seconds",
        "wall_seconds",
        "first_call_seconds",
        "overhead_forward",
        "overhead",
    }
    assert {metric for metric, verdict in verdicts.items() if verdict is UNCLEAR} == noisy
    assert {metric for metric, verdict in verdicts.items() if verdict is SAME} == {
        "status", *set(METRICS) - noisy - {"repeats", "process_peak_bytes"}
    }  # fmt: skip
    assert (comparison.exit_code(), comparison.exit_code(strict=True)) == (0, 4)


def test_one_evaluation_more_is_worse_and_one_byte_less_is_better() -> None:
    comparison = compared(record(), record(nfe_backward=401, graph_bytes=49_999), "exact")
    worst = comparison.findings[0]
    assert (worst.metric, worst.verdict, worst.base, worst.new) == ("nfe_backward", WORSE, 400, 401)
    assert worst.ratio == pytest.approx(401 / 400)
    assert of(comparison, "graph_bytes").verdict is BETTER
    assert comparison.exit_code() == 1


def test_what_no_rule_names_is_told_and_closes_no_gate() -> None:
    comparison = compared(record(), record(nfe_backward=401), "errors, status")
    assert of(comparison, "nfe_backward").verdict is WORSE
    assert not of(comparison, "nfe_backward").gated
    assert comparison.exit_code(strict=True) == 0


def test_times_that_no_rule_names_are_not_listed_for_nothing() -> None:
    comparison = compared(record(), record(overhead=1.6), "exact")
    assert not [each for each in comparison.findings if each.metric == "overhead"]


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ("ok", "ok", SAME), ("refused", "refused", SAME), ("diverged", "diverged", SAME),
        ("ok", "diverged", WORSE), ("ok", "crashed", WORSE), ("ok", "refused", WORSE), ("refused", "failed", WORSE),
        ("failed", "ok", BETTER), ("refused", "ok", BETTER), ("failed", "timed_out", SAME), ("failed", "refused", SAME),
    ],
)  # fmt: skip
def test_a_status_that_becomes_bad_is_worse(before: str, after: str, verdict: Verdict) -> None:
    finding = of(compared(record(status=before), record(status=after, reason="so it is")), "status")
    assert (finding.verdict, finding.base, finding.new) == (verdict, before, after)
    assert finding.note == ("" if before == after else "so it is")


def test_a_cell_refused_on_both_sides_is_one_finding() -> None:
    comparison = compared(refused(), refused(reason="it still cannot"))
    assert [(each.metric, each.verdict) for each in comparison.findings] == [("status", SAME)]


def test_cells_that_are_missing_close_the_gate_and_new_ones_do_not() -> None:
    comparison = compared([record(), record(cell("alf"))], [record(), record(cell("heun"))], "status")
    told = {each.verdict: each.cell for each in comparison.findings if each.verdict is not SAME and each.gated}
    assert told == {Verdict.MISSING: cell("alf").key, Verdict.NEW: cell("heun").key}
    assert comparison.exit_code() == 1
    assert compared([record(), record(cell("alf"))], record(), "exact").exit_code() == 0


def test_what_a_diverged_cell_got_to_is_compared() -> None:
    lost = {name: None for name in METRICS if name not in ("nfe_forward", "solution_error")}
    old = record(status="diverged", **lost, solution_error=float("inf"))  # type: ignore[arg-type]
    new = record(status="diverged", **lost, nfe_forward=500, solution_error=float("nan"))  # type: ignore[arg-type]
    comparison = compared(old, new)
    assert {each.metric: each.verdict for each in comparison.findings} == {
        "status": SAME, "nfe_forward": WORSE, "solution_error": SAME
    }  # fmt: skip


def test_a_gated_figure_that_one_side_lacks_cannot_be_told() -> None:
    for sides in ((record(), record(nfe_backward=None)), (record(nfe_backward=None), record())):
        finding = of(compared(*sides), "nfe_backward")
        assert finding.verdict is UNCLEAR
        assert "not measured in the" in finding.note
    assert not [each for each in compared(*sides, "status").findings if each.metric == "nfe_backward"]


def test_a_rule_that_judges_nothing_is_told_of() -> None:
    assert compared(record(), record(), "wall_ratio > 5%, exact").notes == (
        "nothing is compared of wall_ratio: neither side has any",
    )
    assert not compared(record(), record(), "exact").notes


@pytest.mark.parametrize(
    ("factor", "verdict"), [(3.0, UNCLEAR), (1 / 3, UNCLEAR), (1.01 * STORED_FACTOR, WORSE), (0.09, BETTER)]
)
@pytest.mark.parametrize("metric", ["wall_seconds", "overhead", "first_call_seconds"])
def test_a_stored_time_is_told_only_beyond_all_noise(metric: str, factor: float, verdict: Verdict) -> None:
    finding = of(compared(record(), record(**{metric: METRICS[metric] * factor})), metric)
    assert finding.verdict is verdict
    assert finding.ratio == pytest.approx(factor)
    assert (finding.low, finding.high) == pytest.approx((factor / STORED_FACTOR, factor * STORED_FACTOR))


@pytest.mark.parametrize(
    ("about", "metrics", "told"),
    [
        ({"machine": "another"}, {}, "measured on different machines"),
        ({"machine": ""}, {}, "measured on different machines"),
        ({}, {"repeats": 5}, "fewer than 6 repeats"),
        ({}, {"repeats": None}, "fewer than 6 repeats"),
        ({}, {"wall_seconds": 0.0}, "too short to be timed"),
    ],
)
def test_times_of_another_machine_or_of_few_repeats_are_never_told(
    about: dict[str, str], metrics: dict[str, float], told: str
) -> None:
    finding = of(compared(record(), record(about=about, **{"wall_seconds": 30.0, **metrics})), "wall_seconds")
    assert finding.verdict is UNCLEAR
    assert told in finding.note
    assert (finding.low, finding.high) == (None, None)


def test_a_time_that_cannot_be_told_names_the_command_that_would_tell() -> None:
    new = record(about={"commit": "fedcba987654"})
    assert of(compared(record(), new), "wall_seconds").note.endswith(
        "`odebench compare --suite small --base 0123456789ab --new fedcba987654` tells"
    )
    dirty = record(about={"commit": "fedcba987654-dirty"})
    assert "--base 0123456789ab --new ." in of(compared(record(), dirty), "wall_seconds").note
    assert "--base REV --new ." in of(compared(record(), record()), "wall_seconds").note


def test_what_may_explain_a_change_is_noted_once() -> None:
    old = [record(), record(cell("alf"))]
    new = [replace(each, machine="a new box", settings={"torch": "2.99"}) for each in old]
    old = [replace(each, settings={"torch": "2.11"}) for each in old]
    assert compared(old, new, "exact").notes == (
        "another machine: base a box x2 #123456; new a new box",
        "another version of torch: base 2.11; new 2.99",
    )


def test_bytes_of_different_gauges_are_not_compared() -> None:
    measured = replace(record(), settings={"threads": 1})
    by_xla = replace(record(peak_memory_bytes=5), settings={"threads": 1}, notes=(diffrax.GAUGE,))
    finding = of(compared(measured, by_xla), "peak_memory_bytes")
    assert (finding.verdict, finding.note) == (UNCLEAR, "the two sides were weighed by different gauges")
    assert of(compared(by_xla, by_xla), "peak_memory_bytes").verdict is SAME
    # A row of a CSV tells nothing of its gauge.
    assert of(compared(record(peak_memory_bytes=6), by_xla), "peak_memory_bytes").verdict is BETTER


def test_a_metric_of_a_plugin_is_compared_only_if_it_is_named() -> None:
    old, new = record(smoothness=1.0), record(smoothness=1.2)
    assert not [each for each in compared(old, new).findings if each.metric == "smoothness"]
    named = compare_results(
        Results("a", (old,)), Results("b", (new,)), Policy.parse("smoothness > 10%", ["smoothness"])
    )  # fmt: skip
    assert of(named, "smoothness").verdict is WORSE


def test_a_time_that_is_not_slower_when_measured_again_is_not_worse() -> None:
    slow = compared([record(), record(cell("alf"))], [record(wall_seconds=3.0), record(cell("alf"), wall_seconds=3.0)])
    assert slower(slow) == {("small", cell().key), ("small", cell("alf").key)}
    again = compared([record(), record(cell("alf"))], [record(wall_seconds=2.7), record(cell("alf"))])
    walls = {each.cell: each for each in confirmed(slow, again).findings if each.metric == "wall_seconds"}
    first, second = walls[cell().key], walls[cell("alf").key]
    assert (first.verdict, first.ratio) == (WORSE, pytest.approx(90))
    assert (second.verdict, second.note) == (UNCLEAR, "the ratio was 100 at first, 1 again")


def test_compare_takes_folders_and_csvs_in_any_mix(tmp_path: Path) -> None:
    old, new = record(), record(nfe_backward=401)
    bases = [folder(tmp_path / "a", old), table(tmp_path / "a.csv", old), str(tmp_path / "a" / "records.jsonl")]
    for base in bases:
        for after in (folder(tmp_path / f"b{len(base)}", new), table(tmp_path / "b.csv", new)):
            result = call("compare", base, after, "--fail-on", "exact")
            assert result.exit_code == 1, result.stderr
            assert "nfe_backward" in result.stdout
            assert "1 worse" in result.stdout


def test_an_exit_code_says_what_was_found(tmp_path: Path) -> None:
    base = table(tmp_path / "base.csv", record())
    worse = table(tmp_path / "worse.csv", record(work=1601))
    assert call("compare", base, base).exit_code == 0
    assert call("compare", base, base, "--strict").exit_code == 4
    assert call("compare", base, base, "--strict", "--fail-on", "exact, errors").exit_code == 0
    assert call("compare", base, worse).exit_code == 1
    assert call("compare", base, worse, "--fail-on", "nfe, status", "--strict").exit_code == 0
    assert call("compare", base, worse, "-k", "solver=heun").exit_code == 5
    assert call("compare", base, worse, "--fail-on", "exat").exit_code == 2
    assert call("compare", base).exit_code == 2
    assert call("compare").exit_code == 2


def test_data_goes_to_stdout_and_one_line_about_it_to_stderr(tmp_path: Path) -> None:
    base, worse = table(tmp_path / "base.csv", record()), table(tmp_path / "worse.csv", record(work=1601))
    result = call("compare", base, worse, "--format", "csv", "--fail-on", "exact")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["metric"] for row in rows if row["verdict"] == "worse"] == ["work"]
    assert result.stderr.startswith("1 worse, ")
    assert result.stderr.count("\n") == 1
    assert not call("compare", base, worse, "--format", "json", "-q").stderr


def test_a_file_gets_what_stdout_would(tmp_path: Path) -> None:
    base, worse = table(tmp_path / "base.csv", record()), table(tmp_path / "worse.csv", record(work=1601))
    for form in ("table", "csv", "json", "markdown", "junit", "bencher", "github-action-benchmark"):
        file = tmp_path / "verdicts"
        result = call("compare", base, worse, "--format", form, "-o", str(file))
        assert (result.exit_code, result.stdout) == (1, "")
        assert file.read_text()
    nowhere = call("compare", base, worse, "-o", str(tmp_path / "no" / "file"))
    assert nowhere.exit_code == 2
    assert "name another file" in nowhere.stderr


def test_a_filter_leaves_no_cell_missing(tmp_path: Path) -> None:
    base = table(tmp_path / "base.csv", record(), record(cell("alf")))
    new = table(tmp_path / "new.csv", record())
    assert call("compare", base, new).exit_code == 1
    assert call("compare", base, new, "-k", "solver=rk4").exit_code == 0


def test_a_margin_of_times_is_a_percentage(tmp_path: Path) -> None:
    base = table(tmp_path / "base.csv", record())
    found = call("compare", base, base, "--fail-on", "times", "--margin", "7.5 %", "--format", "json")
    assert {row["margin"] for row in json.loads(found.stdout)["findings"] if row["metric"] == "overhead"} == {0.075}
    for wrong in ("0.1", "x", "3% 4", "", "-1%"):
        result = call("compare", base, base, "--margin", wrong)
        assert result.exit_code == 2
        assert "--margin" in result.stderr


@pytest.fixture
def suite(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE)
    return str(path)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The table that a run of the suite left."""
    path = tmp_path_factory.mktemp("ran")
    (path / "small.yaml").write_text(SUITE)
    assert call("run", str(path / "small.yaml"), "-o", str(path / "first"), "-q").exit_code == 0
    return (path / "first" / "results.csv").read_text()


@pytest.fixture
def base(ran: str, tmp_path: Path) -> str:
    """That table as a file."""
    (tmp_path / "base.csv").write_text(ran)
    return str(tmp_path / "base.csv")


RULES = ["--fail-on", "status, exact, errors > 1%"]


def test_a_run_passes_a_gate_that_nothing_closes(suite: str, base: str, tmp_path: Path) -> None:
    result = call("run", suite, "--baseline", base, *RULES, "-o", str(tmp_path / "out"), "--strict")
    assert result.exit_code == 0, result.stdout + result.stderr
    assert "PASS" in result.stderr
    assert result.stdout.index("rk4") < result.stdout.index("gated: status, exact, errors > 1%")


def test_a_run_that_takes_more_evaluations_than_its_baseline_exits_1(suite: str, base: str, tmp_path: Path) -> None:
    planted = edited(base, "nfe_forward", "39")
    for form in ("table", "markdown", "junit"):
        folder = str(tmp_path / form)
        result = call("run", suite, "--baseline", planted, *RULES, "-o", folder, "--format", form, "-k", "rk4")
        assert result.exit_code == 1, result.stderr
        assert "nfe_forward" in result.stdout
        assert "FAIL" in result.stderr
    quiet = call("run", suite, "--baseline", planted, *RULES, "-o", str(tmp_path / "q"), "-q", "--format", "csv")
    assert quiet.exit_code == 1
    assert "nfe_forward" in quiet.stderr
    assert [row["status"] for row in csv.DictReader(io.StringIO(quiet.stdout))].count("ok") == 3


def test_an_extra_evaluation_in_a_solver_of_a_plugin_is_found(tmp_path: Path) -> None:
    plugin, small = tmp_path / "mine.py", tmp_path / "small.yaml"
    small.write_text(SUITE.replace("[rk4, alf]", "[rk4, mine]") + "plugins: [mine.py]\n")
    plugin.write_text(PLUGIN.replace("EXTRA", "0"))
    assert call("run", str(small), "-o", str(tmp_path / "first"), "-q").exit_code == 0
    assert call("baseline", "update", str(tmp_path / "base.csv"), str(tmp_path / "first")).exit_code == 0
    words = ["run", str(small), "--baseline", str(tmp_path / "base.csv"), *RULES, "-o"]
    assert call(*words, str(tmp_path / "same")).exit_code == 0
    plugin.write_text(PLUGIN.replace("EXTRA", "1"))
    result = call(*words, str(tmp_path / "slow"))
    assert result.exit_code == 1
    assert "nfe_forward" in result.stdout
    assert "FAIL" in result.stdout


def test_a_baseline_or_rule_that_is_wrong_stops_a_run_before_it_begins(suite: str, base: str, tmp_path: Path) -> None:
    out, empty = tmp_path / "out", tmp_path / "empty.csv"
    empty.write_text(Path(base).read_text().partition("\n")[0] + "\n")
    foreign = table(tmp_path / "foreign.csv", record(cell(suite="elsewhere")))
    for words in (
        ["--baseline", base, "--fail-on", "exat"], ["--baseline", str(tmp_path / "none.csv")],
        ["--baseline", foreign], ["--baseline", str(empty)],
        ["--fail-on", "exact"], ["--strict"], ["--format", "junit"],
    ):  # fmt: skip
        result = call("run", suite, "-o", str(out), *words)
        assert result.exit_code == 2, words
        assert result.stderr
        assert not out.exists()
    assert call("run", suite, "-k", "solver=heun", "--baseline", base, "-o", str(out)).exit_code == 5


def test_cells_that_were_not_selected_are_not_missing(suite: str, base: str, tmp_path: Path) -> None:
    words = ["run", suite, "--baseline", base, *RULES, "-o"]
    assert call(*words, str(tmp_path / "a"), "-k", "solver=rk4").exit_code == 0
    added = call(*words, str(tmp_path / "b"), "-k", "direct", "--solver", "heun", "--format", "csv")
    assert added.exit_code == 0
    assert "1 new" in added.stderr
    Path(suite).write_text(SUITE.replace("[rk4, alf]", "[rk4]"))
    gone = call(*words, str(tmp_path / "c"))
    assert gone.exit_code == 1
    assert "2 missing" in gone.stderr


def test_a_run_whose_cells_failed_before_exits_as_it_did_then(suite: str, tmp_path: Path) -> None:
    Path(suite).write_text(SUITE.replace("linear_decay]", "{van_der_pol: {span: [0, 60]}}]").replace("10}}", "20}}"))
    first = call("run", suite, "-o", str(tmp_path / "first"), "-q", "-k", "rk4")
    assert first.exit_code == 3
    base = str(tmp_path / "first")
    again = call("run", suite, "-o", str(tmp_path / "again"), "-k", "rk4", "--baseline", base, *RULES)
    assert again.exit_code == 3, again.stdout
    (record_,) = [each for each in read_results(base) if each.status == "diverged"]
    healthy = table(tmp_path / "healthy.csv", record(record_.cell))
    result = call("run", suite, "-o", str(tmp_path / "third"), "-k", "rk4", "--baseline", healthy, *RULES)
    assert result.exit_code == 1
    assert "diverged" in result.stdout


def test_a_run_goes_on_after_an_interruption_under_the_same_gate(suite: str, base: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert call("run", suite, "-o", out, "-k", "solver=rk4", "-q").exit_code == 0
    result = call("run", "--resume", out, "--baseline", base, *RULES)
    assert result.exit_code == 0, result.stderr
    assert "missing" not in result.stderr


def test_a_run_that_seems_slower_is_measured_again_before_it_is_told(suite: str, tmp_path: Path) -> None:
    Path(suite).write_text(SUITE.replace("repeats: 1", "repeats: 6"))
    assert call("run", suite, "-o", str(tmp_path / "first"), "-q", "-k", "rk4 and direct").exit_code == 0
    base = str(tmp_path / "first" / "results.csv")
    wall = float(next(csv.DictReader(io.StringIO(Path(base).read_text())))["wall_seconds"])
    edited(base, "wall_seconds", repr(wall / 1e6))
    out = str(tmp_path / "out")
    result = call("run", suite, "-o", out, "-k", "rk4 and direct", "--baseline", base, "--fail-on", "wall > 3%")
    assert result.exit_code == 1
    assert "measured again: 1 cell\n" in result.stderr
    told = [line for line in result.stdout.splitlines() if "wall_seconds" in line and line.startswith("!")]
    assert len(told) == 1
