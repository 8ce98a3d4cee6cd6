"""Comparisons measured now: what a side may be, what its processes do, and verdicts through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from math import log
from pathlib import Path

import pytest
from typer.testing import CliRunner

from odebench.cli.app import app
from odebench.cli.dueling import duration
from odebench.compare.arms import Arm, ArmLost, ArmTrouble
from odebench.compare.duel import ARMS, Bout, Limits, Match, fight
from odebench.compare.evidence import Test
from odebench.compare.trees import open_tree
from odebench.compare.verdicts import Verdict
from odebench.errors import OdebenchError, UsageError
from odebench.record import Cell
from odebench.spec import Spec

ROOT = Path(__file__).parent.parent
PLANTED = "odebench.measure.planted"
MEASURE = {"repeats": 1, "warmup": 0, "timeout": 60.0}
SUITE = """\
name: small
problems: [linear_decay]
solvers: [mine]
gradients: [direct, aca]
stepping: [{fixed: {steps: 10}}]
plugins: [mine.py]
measure: {warmup: 0}
"""
SCHEME = """\
from odebench import Step, solver

@solver("mine")
class Mine:
    order, error_order = 1, None
    def init(self, f, t, y):
        return (y,)
    def step(self, f, t, dt, state):
        (y,) = state
        return Step((y + dt * f(t, y),))
"""


def call(*words: str, **environment: str):
    return CliRunner().invoke(app, words, env=environment, prog_name="odebench")


def cell(solver: object, gradient: str = "aca") -> Cell:
    names = ("linear_decay", solver, gradient, {"fixed": {"steps": 5}})
    return Cell("small", *map(Spec.from_data, names), "cpu", "float64", 2, 0)


def git(*words: str, where: Path) -> str:
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    done = subprocess.run(["git", *words], cwd=where, env={**os.environ, **who}, capture_output=True, check=True)
    return done.stdout.decode().strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody's own scheme under git: one commit, and a working tree in which it calls f once too often."""
    git("init", "-q", "-b", "main", where=tmp_path)
    (tmp_path / "small.yaml").write_text(SUITE)
    (tmp_path / "mine.py").write_text(SCHEME)
    git("add", ".", where=tmp_path)
    git("commit", "-q", "-m", "one", where=tmp_path)
    (tmp_path / "mine.py").write_text(SCHEME.replace("return (y,)", "f(t, y)\n        return (y,)"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_a_revision_is_unpacked_beside_the_working_tree_and_removed_again(repository: Path) -> None:
    with open_tree("main") as tree:
        assert "f(t, y)\n        return" not in (tree.root / "mine.py").read_text()
        assert tree.place(str(repository / "mine.py")) == str(tree.root / "mine.py")
        assert tree.place("some.module") == "some.module"
        root = tree.root
    assert not root.exists()
    assert git("status", "--porcelain", where=repository) == "M mine.py"
    assert git("worktree", "list", where=repository).count("\n") == 0


def test_the_working_tree_and_other_folders_are_taken_as_they_are(repository: Path, tmp_path: Path) -> None:
    with open_tree(".") as tree:
        assert tree.root == repository
        assert tree.place(str(repository / "mine.py")) == str(repository / "mine.py")


def test_an_environment_brings_its_own_odebench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "other", symlinks=True)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with open_tree(str(tmp_path / "other")) as tree:
        assert "PYTHONPATH" not in tree.environment
        arm = Arm(tree, [], MEASURE)
        with pytest.raises(OdebenchError, match=r"other: cannot be timed: .*No module named .*odebench"):
            arm.open()
        arm.close()


@pytest.mark.parametrize("named", ["no-such-branch", "--help", "main^{tree}", "../missing"])
def test_what_is_no_side_is_refused_by_name(repository: Path, named: str) -> None:
    with pytest.raises(UsageError, match="is neither a revision of the git repository"), open_tree(named):
        pass


def test_an_arm_prepares_and_times_cells_of_the_code_it_was_given(here: None) -> None:
    with open_tree(".") as tree:
        arm = Arm(tree, [PLANTED], MEASURE)
        try:
            arm.open()
            assert arm.ask({"cell": cell("rk4").to_data(), "bare": True}, 60)["seconds"] > 0
            row = arm.ask({"time": 2}, 60)
            assert set(row) == {
                "forward_seconds", "backward_seconds", "plain_seconds", "bare_forward_seconds", "bare_seconds", "busy",
            }  # fmt: skip
            assert min(row.values()) > 0
            with pytest.raises(ArmTrouble, match="no solver is called 'nobody'"):
                arm.ask({"cell": cell("nobody").to_data()}, 60)
            assert set(arm.ask({"cell": cell({"planted": {"base": "rk4"}}).to_data()}, 60)) == {"seconds"}
            assert set(arm.ask({"time": 1}, 60)) == {"forward_seconds", "backward_seconds", "busy"}
        finally:
            arm.close()


def test_an_arm_that_dies_or_hangs_is_lost_and_leaves_no_process(tmp_path: Path, here: None) -> None:
    plugin = tmp_path / "bad.py"
    plugin.write_text(
        SCHEME.replace("f(t, y),))", "f(t, y),))\n\n@solver('hangs')\nclass Hangs(Mine):\n    def step(self, *_):\n"
                       "        while True: pass\n\n@solver('dies')\nclass Dies(Mine):\n    def step(self, *_):\n"
                       "        import os; print('{\"seconds\": 1}'); os._exit(7)")
    )  # fmt: skip
    with open_tree(".") as tree:
        for solver, told in (("dies", "its process ended with code 7"), ("hangs", "no answer within 1 s")):
            arm = Arm(tree, [str(plugin)], MEASURE)
            arm.open()
            with pytest.raises(ArmLost, match=told):
                arm.ask({"cell": cell(solver).to_data()}, 60 if solver == "dies" else 1)
            pid = arm._process.pid
            arm.close()
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def test_rounds_pair_three_processes_and_one_broken_cell_spoils_no_other(here: None) -> None:
    good = Match(cell("rk4"), cell({"planted": {"base": "rk4"}}), (PLANTED,), MEASURE)
    bad = Match(cell("rk4"), cell("nobody"), (PLANTED,), MEASURE)
    bouts = [Bout(match, metric, Test(0.03, 0.05)) for match in (good, bad) for metric in ("wall_seconds", "overhead")]
    with open_tree(".") as tree:
        assert fight(bouts, tree, tree, Limits(rounds=2)) == 2
    for bout in bouts[:2]:
        assert not bout.trouble
        assert bout.test.verdict is Verdict.UNCLEAR
        assert len(bout.ratios) == len(bout.control) == 2
        base, again, new = (bout.values[arm] for arm in ARMS)
        found = [log(n) - (log(b) + log(a)) / 2 for b, a, n in zip(base, again, new, strict=True)]
        assert bout.ratios == pytest.approx(found)
    assert all("no solver is called 'nobody'" in bout.trouble for bout in bouts[2:])


def test_a_scheme_that_calls_f_once_more_than_at_its_last_commit_is_found(repository: Path) -> None:
    words = ("compare", "--suite", "small.yaml", "--base", "main", "--fail-on", "status, exact, errors > 1%")
    done = call(*words, "--format", "json")
    assert done.exit_code == 1, done.output
    rows = json.loads(done.stdout)["findings"]
    worse = {row["metric"]: (row["base"], row["new"]) for row in rows if row["verdict"] == "worse"}
    assert worse["nfe_forward"] == (10, 11)
    assert not any(row["metric"].endswith("_seconds") for row in rows)
    git("commit", "-q", "-a", "-m", "two", where=repository)
    done = call(*words[:-3], "main", "--new", ".", "--fail-on", "exact")
    assert done.exit_code == 0, done.output


def test_two_solvers_are_compared_on_the_cells_of_one_suite(here: None) -> None:
    done = call(
        "compare", "--suite", "selftest", "--solver", "rk4", "--against", "heun", "-k", "aca",
        "--fail-on", "nfe_forward", "--all", "--format", "json",
    )  # fmt: skip
    assert done.exit_code == 1, done.output
    document = json.loads(done.stdout)
    assert (document["base"], document["new"]) == ("heun", "rk4")
    found = [row for row in document["findings"] if row["metric"] == "nfe_forward"]
    assert {(row["base"], row["new"], row["verdict"]) for row in found} == {(16, 32, "worse")}
    assert len(found) == 2


def test_times_that_the_budget_leaves_open_cannot_be_told_and_say_what_would_tell(here: None) -> None:
    done = call(
        "compare", "--suite", "selftest", "--solver", "rk4", "--against", "rk4", "-k", "aca and mlp",
        "--fail-on", "wall_seconds > 3%", "--budget", "1s", "--strict", "--format", "json",
    )  # fmt: skip
    assert done.exit_code == 4, done.output
    document = json.loads(done.stdout)
    (row,) = [row for row in document["findings"] if row["metric"] == "wall_seconds"]
    assert row["verdict"] == "cannot tell"
    assert "--budget" in row["note"]
    (samples,) = document["samples"].values()
    assert len(samples["log_ratios"]) == row["samples"] >= 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--suite", "selftest"), "name what to compare with"),
        (("--suite", "selftest", "--solver", "rk4"), "--solver and --against go together"),
        (("--suite", "selftest", "--base", "no-such-branch"), "neither a revision"),
        (("--suite", "nowhere.yaml", "--base", "."), "no file 'nowhere.yaml'"),
        (("--suite", "selftest", "--base", ".", "--budget", "soon"), "--budget takes a time"),
        (("--suite", "selftest", "--base", ".", "--fail-on", "wall_seconds > 0.1"), "give the margin in percent"),
        (("--suite", "selftest", "--base", ".", "-k", "solver="), "filter"),
        (("--base", "main"), "name the cells with --suite"),
        (("a", "b", "--suite", "selftest", "--base", "."), "is stored"),
    ],
)
def test_a_comparison_that_is_not_clear_is_refused_before_anything_is_measured(
    here: None, words: tuple[str, ...], told: str
) -> None:
    done = call("compare", *words)
    assert done.exit_code == 2
    assert told in done.stderr


def test_a_suite_that_one_side_cannot_run_is_told_with_that_side(repository: Path) -> None:
    (repository / "small.yaml").write_text(SUITE.replace("mine.py", "later.py").replace("[mine]", "[later]"))
    (repository / "later.py").write_text(SCHEME.replace('"mine"', '"later"'))
    done = call("compare", "--suite", "small.yaml", "--base", "main", "--fail-on", "exact")
    assert done.exit_code == 2
    assert "main (" in done.stderr
    assert "later.py" in done.stderr


def test_the_self_test_finds_what_can_be_counted_and_tallies_what_it_planted(tmp_path: Path, here: None) -> None:
    suite = tmp_path / "small.yaml"
    suite.write_text(SUITE.replace("mine.py", "").replace("[mine]", "[rk4]").replace("plugins: []\n", ""))
    words = ("--levels", "0,50", "--comparisons", "1", "--budget", "1s", "--format", "json")
    done = call("selftest", str(suite), *words)
    assert done.exit_code == 0, done.output
    evaluations, leak, nothing, slower = json.loads(done.stdout)["rows"]
    assert evaluations["verdicts"] == leak["verdicts"] == {"worse": 2}
    assert nothing["total"] == slower["total"] == 2
    assert slower["planted"] == "50 % slower"


@pytest.mark.parametrize("levels", ["fast", "-1", ""])
def test_levels_that_are_no_slowdowns_are_refused(here: None, levels: str) -> None:
    assert call("selftest", f"--levels={levels}").exit_code == 2


def test_times_are_written_with_or_without_a_unit() -> None:
    assert [duration(text) for text in ("90", "90s", " 1.5 m", "2h")] == [90.0, 90.0, 90.0, 7200.0]
    for text in ("", "soon", "-1s", "0", "1d"):
        with pytest.raises(UsageError):
            duration(text)


def test_a_duel_leaves_no_process_when_its_parent_is_killed(here: None) -> None:
    code = (
        "import os, signal\n"
        "from odebench.compare.trees import open_tree\n"
        "from odebench.compare.arms import Arm\n"
        "with open_tree('.') as tree:\n"
        "    arm = Arm(tree, [], {'repeats': 1})\n"
        "    arm.open()\n"
        "    print(arm._process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path},
        timeout=60, check=False,
    )  # fmt: skip
    pid = int(done.stdout)
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            break
        if state == "Z":
            break
        os.sched_yield()
        time.sleep(0.02)
    else:
        pytest.fail(f"the arm {pid} outlived its parent")
