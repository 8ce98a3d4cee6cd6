"""The matrix: its order, its refusals, and that it travels as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from odebench.errors import SuiteError
from odebench.plan import Plan, make_plan, needs_isolation, prepare, refused
from odebench.suite.loading import load_suites, shipped_suites

SUITE = """\
name: matrix
problems: [linear_decay, {lotka_volterra: {saves: 3}}]
solvers: [rk4, dopri5, alf]
gradients: [direct, mali]
stepping: [{fixed: {steps: 10}}, {fixed: {dt: 0.1}}, adaptive]
"""


def plan(folder: Path, text: str, cuda_devices: int = 0, name: str = "x.yaml") -> Plan:
    path = folder / name
    path.write_text(text)
    return make_plan(load_suites([path]), cuda_devices)


def reason(plan: Plan, key: str) -> str | None:
    (found,) = [each.refusal for each in plan.cells if each.cell.key.startswith(key)]
    return found


def test_every_square_is_a_cell_in_the_order_of_the_axes(tmp_path: Path) -> None:
    made = plan(tmp_path, f"{SUITE}batches: [1, 2]\nseeds: [0, 1]\n")
    assert len(made.cells) == 2 * 3 * 2 * 3 * 2 * 2
    assert len({each.cell.key for each in made.cells}) == len(made.cells)
    assert [each.cell.key for each in made.cells[:5]] == [
        "linear_decay/rk4/direct/fixed(steps=10)/cpu/float64/1/0",
        "linear_decay/rk4/direct/fixed(steps=10)/cpu/float64/1/1",
        "linear_decay/rk4/direct/fixed(steps=10)/cpu/float64/2/0",
        "linear_decay/rk4/direct/fixed(steps=10)/cpu/float64/2/1",
        "linear_decay/rk4/direct/fixed(dt=0.1)/cpu/float64/1/0",
    ]


def test_what_cannot_be_computed_is_refused_with_a_sentence(tmp_path: Path) -> None:
    made = plan(tmp_path, SUITE)
    assert reason(made, "linear_decay/rk4/direct/fixed(steps=10)") is None
    assert (reason(made, "linear_decay/rk4/direct/adaptive") or "").startswith("rk4 estimates no error")
    assert reason(made, "linear_decay/dopri5/direct/adaptive") is None
    assert reason(made, "linear_decay/alf/reversible/adaptive") is None
    mali = "mali is the reversible gradient of alf, and dopri5 is not alf; ask for `reversible`"
    assert reason(made, "linear_decay/dopri5/reversible/adaptive") == mali
    misfit = reason(made, "lotka_volterra(saves=3)/dopri5/direct/fixed(steps=10)") or ""
    assert "make steps a multiple of 3" in misfit
    assert reason(made, "lotka_volterra(saves=3)/dopri5/direct/fixed(dt=0.1)") is None
    assert all(each.refusal and "\n" not in each.refusal for each in refused(made))


def test_reversible_by_its_own_name_is_for_every_reversible_solver(tmp_path: Path) -> None:
    text = SUITE.replace("mali", "reversible").replace("rk4", "reversible_heun")
    made = plan(tmp_path, text)
    assert reason(made, "linear_decay/reversible_heun/reversible/fixed(dt=0.1)") is None
    refusal = reason(made, "linear_decay/dopri5/reversible/fixed(dt=0.1)") or ""
    assert refusal.startswith("dopri5's steps cannot be undone")


@pytest.mark.parametrize(
    ("devices", "cuda_devices", "expected"),
    [
        ("[auto]", 0, {"cpu": None}),
        ("[auto]", 1, {"cuda": None}),
        ("[cpu, auto]", 0, {"cpu": None}),
        ("[cpu, auto]", 1, {"cpu": None, "cuda": None}),
        ("[cuda]", 0, {"cuda": "no CUDA device here, so cuda cannot be measured; use cpu or auto"}),
        ("['cuda:1']", 2, {"cuda:1": None}),
        ("['cuda:1']", 1, {"cuda:1": "there is no cuda:1 here: the 1 CUDA device(s) count from cuda:0"}),
    ],
)
def test_devices_are_resolved_or_refused(
    tmp_path: Path, devices: str, cuda_devices: int, expected: dict[str, str | None]
) -> None:
    text = "name: d\nproblems: [linear_decay]\nsolvers: [rk4]\nstepping: [{fixed: {steps: 1}}]\n"
    made = plan(tmp_path, f"{text}devices: {devices}\n", cuda_devices)
    assert {each.cell.device: each.refusal for each in made.cells} == expected


@pytest.mark.parametrize(
    ("rule", "excluded"),
    [
        ("{solver: alf}", 12),
        ("{solver: alf, stepping: adaptive}", 4),
        ("{stepping: fixed}", 24),
        ("{stepping: {fixed: {steps: 10}}}", 12),
        ("{stepping: fixed(steps=10)}", 12),
        ("{gradient: mali}", 18),
        ("{gradient: naive, problem: lotka_volterra}", 9),
        ("{solver: alf}, {stepping: adaptive}", 20),
    ],
)
def test_excluded_squares_are_counted_and_are_no_cells(tmp_path: Path, rule: str, excluded: int) -> None:
    made = plan(tmp_path, f"{SUITE}exclude: [{rule}]\n")
    assert made.excluded == excluded
    assert len(made.cells) == 36 - excluded


def test_a_rule_about_cuda_is_no_error_where_auto_turns_out_to_be_cpu(tmp_path: Path) -> None:
    text = f"{SUITE}devices: [auto]\nexclude: [{{device: cuda, solver: alf}}]\n"
    assert plan(tmp_path, text, 0).excluded == 0
    assert plan(tmp_path, text, 1).excluded == 12


def test_two_suites_of_one_name_must_not_share_a_cell(tmp_path: Path) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text(SUITE)
    other.write_text(SUITE.replace("alf]", "heun]"))
    with pytest.raises(SuiteError) as caught:
        make_plan(load_suites([one, other]), 0)
    (line,) = caught.value.findings
    assert line.startswith(
        f"{other}:1:7: name: another suite of this run ({one}:1:7) has this name and the cell linear_"
    )
    other.write_text(SUITE.replace("[rk4, dopri5, alf]", "[heun]"))
    assert len(make_plan(load_suites([one, other]), 0).cells) == 48


def test_a_plan_travels_as_json(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        f"{SUITE}exclude: [{{solver: alf(eta=1), stepping: adaptive}}]\n".replace("alf]", "{alf: {eta: 1}}]")
    )
    request = {"suites": [str(tmp_path / "x.yaml")], "overrides": {"solvers": ["coupled(base=rk4)"]}, "cuda_devices": 0}
    answer = json.loads(json.dumps(prepare(json.loads(json.dumps(request)))))
    made = Plan.from_data(answer["plan"])
    assert made == make_plan(load_suites(request["suites"], request["overrides"]), 0)  # type: ignore[arg-type]
    assert Plan.from_data(json.loads(json.dumps(made.to_data()))) == made
    assert [str(suite.path) for suite in made.suites] == request["suites"]


@pytest.mark.parametrize(
    "request_",
    [
        {"suites": ["no_such_suite"]},
        {"suites": [], "plugins": ["gone.py"]},
        {"suites": [], "plugins": ["no_such_module_anywhere"]},
    ],
)
def test_what_is_wrong_with_a_request_comes_back_as_findings(request_: dict[str, Any]) -> None:
    answer = prepare(request_)
    assert list(answer) == ["findings"]
    assert len(answer["findings"]) == 1


def test_only_plugins_need_isolation(tmp_path: Path) -> None:
    plain, pluggy, broken = (tmp_path / f"{name}.yaml" for name in ("plain", "pluggy", "broken"))
    plain.write_text(SUITE)
    pluggy.write_text(f"{SUITE}plugins: [import_me_not.py]\n")
    broken.write_text("a: [")
    (tmp_path / "import_me_not.py").write_text("raise SystemExit('it was run')")
    assert not needs_isolation({"suites": [str(plain), str(broken), "no_such_suite"]})
    assert needs_isolation({"suites": [str(plain), str(pluggy)]})
    assert needs_isolation({"suites": [str(plain)], "plugins": ["anything"]})


def test_a_plugin_of_the_command_line_goes_with_every_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan_probe.py").write_text(
        "from odebench.registry import solver\n@solver('plan_probe')\nclass P:\n"
        "    order, error_order = 1, None\n    def init(self): ...\n    def step(self): ...\n"
    )
    (tmp_path / "x.yaml").write_text(SUITE.replace("alf]", "plan_probe]"))
    made = Plan.from_data(prepare({"suites": ["x.yaml"], "plugins": ["plan_probe.py"]})["plan"])
    assert made.suites[0].plugins == (str((tmp_path / "plan_probe.py").resolve()),)
    assert Counter(each.cell.solver.name for each in made.cells)["plan_probe"] == 12


def test_every_shipped_suite_plans(tmp_path: Path) -> None:
    for name, path in shipped_suites().items():
        # A suite for a GPU is all refused where there is none, with the reason.
        made = make_plan(load_suites([path]), cuda_devices=int(name.endswith("_gpu")))
        assert any(each.refusal is None for each in made.cells), name


def test_planning_imports_no_torch(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(SUITE)
    code = (
        "import sys; from odebench.plan import prepare; "
        f"assert 'plan' in prepare({{'suites': [{str(tmp_path / 'x.yaml')!r}]}}); "
        "assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
