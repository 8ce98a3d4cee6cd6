"""The trial of docs/ci.md: packages in git repositories, pull requests with planted faults, and the scripts of CI."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import test_docs_ci
from tests.gated_packages import LAYOUTS, ROOT, Machine, commit, git, make_machine, make_package, plant

ACTION = yaml.safe_load((ROOT / ".github/actions/gate/action.yml").read_text())
STEPS = {each.get("name", each.get("uses")): each for each in ACTION["runs"]["steps"]}
SHARED, SIDES, COMPARE, POST = list(STEPS)[1:]
DEFAULTS = {name: each.get("default", "") for name, each in ACTION["inputs"].items()}
EXACT = "status, exact, errors > 1%"
# Fault -> the rules that a slow machine tells it by, and the metric that is worse.
PLANTED = {
    "evaluation": (EXACT, "nfe_forward"),
    "leak": (EXACT, "peak_memory_bytes"),
    "time": ("wall_seconds > 20%", "wall_seconds"),
}
# A plug-in of the suite, beside it; Thirds takes an evaluation more.
MORE = """\
from odebench import solver
from gated_solvers.halves import Halves


class Thirds(Halves):
    def step(self, f, t, dt, state):
        f(t, state[0])
        return super().step(f, t, dt, state)


@solver("more")
def more():
    return {scheme}()
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return make_machine(tmp_path_factory.mktemp("machine") / "python")


@pytest.fixture(params=LAYOUTS)
def package(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make_package(tmp_path / "package", request.param)


def shell(machine: Machine, script: str, where: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """As GitHub runs a `run:`."""
    return machine.run("bash", "-eo", "pipefail", "-c", script, where=where, check=False, **variables)


def act(machine: Machine, package: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """All scripts of the action up to the comparison, in a pull request whose base is the commit before the last."""
    temp = package.parent / "temp"
    temp.mkdir(exist_ok=True)
    given = {**DEFAULTS, "suite": "benchmarks/suite.yaml", "base": git("rev-parse", "HEAD~1", where=package), **inputs}
    runner = {"RUNNER_TEMP": str(temp), "GITHUB_WORKSPACE": str(package), "GITHUB_STEP_SUMMARY": str(temp / "summary")}
    for name in (SHARED, SIDES, COMPARE):
        variables = {key: _filled(text, given) for key, text in STEPS[name]["env"].items()}
        done = shell(machine, STEPS[name]["run"], package, **runner, **variables)
        if done.returncode and name != COMPARE:
            pytest.fail(done.stdout + done.stderr)
    return done


def _filled(text: str, inputs: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: inputs[found[1]], text)


def verdicts(package: Path) -> str:
    return (package.parent / "temp" / "verdicts.md").read_text()


def test_the_action_takes_what_it_is_given_and_puts_none_of_it_into_a_script() -> None:
    assert not any("${{" in each.get("run", "") for each in STEPS.values())
    used = re.findall(r"inputs\.([\w-]+)", json.dumps(ACTION["runs"]))
    assert set(used) == set(DEFAULTS)
    table = dict(re.findall(r"^\| `([\w-]+)`(?:, `strict`)? \| .* \|(.*)\|$", test_docs_ci.PAGE, re.MULTILINE))
    assert set(table) | {"strict"} == set(DEFAULTS)


def test_an_evaluation_planted_in_a_package_in_src_closes_the_gate(machine: Machine, tmp_path: Path) -> None:
    package = make_package(tmp_path / "package", "src")
    plant(package, "evaluation")
    done = act(machine, package, **{"fail-on": EXACT})
    assert done.returncode == 1, done.stdout + done.stderr
    assert "odebench: FAIL" in verdicts(package)
    assert re.search(r"\| nfe.forward \| 20 \| 30 \|", verdicts(package).replace("\\", ""))
    assert verdicts(package) in (tmp_path / "temp" / "summary").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("fault", PLANTED)
def test_every_planted_fault_closes_the_gate_of_the_action(machine: Machine, package: Path, fault: str) -> None:
    plant(package, fault)
    rules, metric = PLANTED[fault]
    done = act(machine, package, **{"fail-on": rules, "budget": "15m"})
    assert done.returncode == 1, done.stdout + done.stderr
    worse = verdicts(package).partition(" worse</summary>")[2]
    assert metric in worse.replace("\\", "")


@pytest.mark.slow
def test_a_pull_request_that_touches_documents_only_passes_and_spends_no_time(machine: Machine, package: Path) -> None:
    (package / "README.md").write_text("Better words.\n")
    commit(package)
    done = act(machine, package)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same code on both sides" in verdicts(package)
    assert "rounds of three fresh processes" not in verdicts(package)


@pytest.mark.slow
def test_plugins_of_the_suite_that_are_files_are_each_side_s_own(machine: Machine, package: Path) -> None:
    suite, plugin = package / "benchmarks" / "suite.yaml", package / "benchmarks" / "more.py"
    suite.write_text(suite.read_text().replace("[halves]", "[more]") + "plugins: [more.py]\n")
    plugin.write_text(MORE.format(scheme="Halves"))
    commit(package)
    plugin.write_text(MORE.format(scheme="Thirds"))
    commit(package)
    done = act(machine, package, **{"fail-on": EXACT})
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"\| nfe.forward \| 20 \| 30 \|", verdicts(package).replace("\\", ""))


def test_where_a_side_cannot_be_measured_the_comment_says_that_there_is_no_verdict(
    machine: Machine, tmp_path: Path
) -> None:
    package = make_package(tmp_path / "package", "flat")
    (package / "README.md").write_text("More.\n")
    commit(package)
    done = act(machine, package, install="", suite="benchmarks/other.yaml")
    assert done.returncode == 2, done.stdout + done.stderr
    assert verdicts(package).startswith("## odebench: no verdict (exit code 2)")


# --- the workflow by hand ---


def job(name: str) -> list[dict[str, Any]]:
    return [each for each in test_docs_ci.workflow()["jobs"][name]["steps"] if "run" in each]


def follow(machine: Machine, package: Path, name: str, change: Callable[[str], str] = str) -> list[int]:
    """The scripts of a job of docs/ci.md, in their order; the exit codes."""
    summary = package.parent / "summary"
    variables = {
        "SUITE": "benchmarks/suite.yaml", "BASE": git("rev-parse", "HEAD~1", where=package), "TORCH_INDEX": "",
        "GITHUB_WORKSPACE": str(package), "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": os.devnull,
    }  # fmt: skip
    codes = []
    for step in job(name):
        done = shell(machine, change(step["run"]), package, **variables)
        codes.append(done.returncode)
        print(done.stdout, done.stderr)
        if done.returncode and not step.get("if"):
            break
    return codes


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["evaluation", "leak"])
def test_the_job_of_the_base_measures_the_base(machine: Machine, package: Path, fault: str) -> None:
    plant(package, fault)
    assert follow(machine, package, "base") == [0, 0, 0, 0, 1]
    told = (package.parent / "summary").read_text()
    assert "odebench: FAIL" in told
    assert "the same code" not in told


@pytest.mark.slow
def test_the_job_of_the_base_says_when_nothing_has_changed(machine: Machine, package: Path) -> None:
    (package / "README.md").write_text("Better words.\n")
    commit(package)
    assert follow(machine, package, "base") == [0, 0, 0, 0, 0]
    assert "the same code on both sides: the sources of all plug-ins are equal" in (
        (package.parent / "summary").read_text()
    )


@pytest.mark.slow
@pytest.mark.parametrize("fault", PLANTED)
def test_the_job_of_times_measures_both_sides(machine: Machine, package: Path, fault: str) -> None:
    plant(package, fault)
    rules, _ = PLANTED[fault]
    soon = {"status, exact, wall_seconds > 3%": rules}

    def hurried(script: str) -> str:
        for old, new in soon.items():
            script = script.replace(old, new)
        return script

    assert follow(machine, package, "times", hurried) == [0, 1]
    assert "odebench: FAIL" in (package.parent / "summary").read_text()


@pytest.mark.slow
def test_the_job_of_the_baseline_gates_the_package_that_was_installed(package: Path, tmp_path: Path) -> None:
    machine = make_machine(tmp_path / "python")  # this job installs into the machine itself

    def installing(script: str) -> str:  # a newer version is not taken for the one that is there
        return script.replace("pip install odebench .", "pip install --force-reinstall .")

    machine.install(package)
    base = ("odebench", "run", "benchmarks/suite.yaml", "--repeats", "1", "-q", "-o", "results/base")
    machine.run(*base, where=package)
    machine.run("odebench", "baseline", "update", "benchmarks/baseline.csv", "results/base", where=package)
    commit(package, "baseline")
    plant(package, "evaluation")
    assert follow(machine, package, "exact", installing) == [0, 1]
    assert "odebench: FAIL" in (package.parent / "summary").read_text()


# --- the comment ---


class GitHub(BaseHTTPRequestHandler):
    """The three questions that a comment takes, and their answers."""

    comments: list[dict[str, Any]]

    def do_GET(self) -> None:
        page = int(re.findall(r"[?&]page=(\d+)", self.path)[0])
        self.answer(self.comments[100 * (page - 1) : 100 * page])

    def do_POST(self) -> None:
        assert self.path == "/repos/me/mine/issues/7/comments"
        self.comments.append({"id": 1000 + len(self.comments), "user": {"type": "Bot"}, **self.body()})
        self.answer(self.comments[-1])

    def do_PATCH(self) -> None:
        (found,) = [each for each in self.comments if self.path == f"/repos/me/mine/issues/comments/{each['id']}"]
        found |= self.body()
        self.answer(found)

    def body(self) -> Any:
        assert self.headers["Authorization"] == "Bearer secret"
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, data: Any) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(data).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def github() -> Iterator[ThreadingHTTPServer]:
    GitHub.comments = [
        {"id": each, "user": {"type": "User"}, "body": "<!-- odebench: s.yaml -->\nmine"} for each in range(150)
    ]
    with ThreadingHTTPServer(("127.0.0.1", 0), GitHub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_comment_is_posted_once_and_then_renewed(
    machine: Machine, github: ThreadingHTTPServer, tmp_path: Path
) -> None:
    variables = {
        "GITHUB_API_URL": f"http://127.0.0.1:{github.server_port}", "GITHUB_REPOSITORY": "me/mine", "NUMBER": "7",
        "GH_TOKEN": "secret", "SUITE": "s.yaml", "RUNNER_TEMP": str(tmp_path), "no_proxy": "*",
    }  # fmt: skip
    for text in ("first", "second"):
        (tmp_path / "verdicts.md").write_text(text, encoding="utf-8")
        machine.run("python", "-c", STEPS[POST]["run"], where=tmp_path, **variables)
    machine.run("python", "-c", STEPS[POST]["run"], where=tmp_path, **{**variables, "SUITE": "other.yaml"})
    ours = [each["body"] for each in GitHub.comments if each["user"]["type"] == "Bot"]
    assert ours == ["<!-- odebench: s.yaml -->\nsecond", "<!-- odebench: other.yaml -->\nsecond"]
    assert all(each["body"].endswith("mine") for each in GitHub.comments if each["user"]["type"] == "User")
