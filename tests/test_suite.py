"""Suites: what is accepted, what it becomes, and what every mistake is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from odebench.errors import OptionError, SuiteError, UsageError
from odebench.record import Measure
from odebench.spec import Spec
from odebench.suite.loading import Suite, find_suite, load_suites, shipped_suites
from odebench.suite.options import canonical
from odebench.suite.yaml_source import dump_documents

GOOD = """\
name: good
problems: [linear_decay]
solvers: [rk4, {alf: {eta: 1}}]
stepping:
  - {fixed: {steps: 10}}
  - {adaptive: {rtol: 1e-5, atol: 1e-6}}
"""


def load(folder: Path, text: str, **overrides: Any) -> Suite:
    path = folder / "x.yaml"
    path.write_text(text)
    (suite,) = load_suites([path], overrides)
    return suite


def findings(folder: Path, text: str, **overrides: Any) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load(folder, text, **overrides)
    return [line.removeprefix(f"{folder / 'x.yaml'}:") for line in caught.value.findings]


def with_line(line: str) -> str:
    """The good suite with one key more, or one replaced; the line stands last."""
    key = line.partition(":")[0]
    kept: list[str] = []
    skip = False
    for each in GOOD.splitlines():
        skip = each.startswith(f"{key}:") or (skip and each.startswith(" "))
        kept += [] if skip else [each]
    return "\n".join([*kept, line, ""])


def test_absent_keys_have_the_documented_defaults(tmp_path: Path) -> None:
    suite = load(tmp_path, GOOD)
    assert (suite.devices, suite.dtypes, suite.batches, suite.seeds) == (("cpu",), ("float64",), (1,), (0,))
    assert suite.gradients == (Spec("direct"),)
    assert suite.measure == Measure(repeats=10, warmup="auto", timeout=120.0, threads=1)


def test_an_integer_is_a_float_where_a_float_is_wanted(tmp_path: Path) -> None:
    one, other = load(tmp_path, GOOD), load(tmp_path, GOOD.replace("eta: 1", "eta: 1.0"))
    assert one == other
    assert [str(each) for each in one.solvers] == ["rk4", "alf(eta=1.0)"]
    assert load(tmp_path, with_line("measure: {timeout: 5}")).measure.timeout == 5.0


def test_an_error_to_match_is_kept_in_the_resolved_suite_and_only_there(tmp_path: Path) -> None:
    suite = load(tmp_path, with_line("measure: {match_error: 1e-6, match: gradient_error}"))
    assert (suite.measure.match_error, suite.measure.match) == (1e-6, "gradient_error")
    assert suite.to_data()["measure"]["match_error"] == 1e-6
    assert Suite.from_data(suite.to_data()) == suite
    plain = load(tmp_path, GOOD)
    assert "match_error" not in plain.to_data()["measure"]
    assert Suite.from_data(plain.to_data()) == plain


def test_aliases_become_the_canonical_name(tmp_path: Path) -> None:
    suite = load(tmp_path, with_line("gradients: [naive, backsolve]"))
    assert [str(each) for each in suite.gradients] == ["direct", "adjoint"]
    assert not suite.mali


def test_mali_is_remembered_until_the_plan(tmp_path: Path) -> None:
    suite = load(tmp_path, with_line("gradients: [direct, mali]"))
    assert [str(each) for each in suite.gradients] == ["direct", "reversible"]
    assert suite.mali
    assert suite.to_data()["gradients"] == ["direct", "mali"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("name: 5", "6:7: name: expected a string of at most 100 letters"),
        ("name: a/b", "6:7: name: expected a string of at most 100 letters"),
        ("description: 1.5", "7:14: description: expected a string, got 1.5; put it in quotes"),
        ("solverz: [rk4]", "7:1: solverz: a suite has no key 'solverz'; did you mean 'solvers'?"),
        ("problems: linear_decay", "6:11: problems: expected a list, got 'linear_decay'; write [linear_decay]"),
        ("problems: []", "6:11: problems: the list is empty; name at least one"),
        ("problems:", "6:10: problems: expected a list, got nothing"),
        ("problems: [lotka_voltera]", "6:12: problems.0: no problem is called 'lotka_voltera'; did you mean"),
        ("problems: [3]", "6:12: problems.0: expected a problem: a name, or a one-key mapping"),
        ("problems: [{a: 1, b: 2}]", "6:12: problems.0: expected a problem: a name, or a one-key mapping"),
        ("problems: [{linear_decay: 3}]", "6:27: problems.0.linear_decay: expected the options of linear_decay as a"),
        (
            "problems: [{linear_decay: {span: 3}}]",
            "6:34: problems.0.linear_decay.span: expected a list of 2: a number, a",
        ),
        ("problems: [{linear_decay: {span: [1, 1]}}]", "6:34: problems.0.linear_decay.span: expected two finite times"),
        ("problems: [{linear_decay: {span: [1, .inf]}}]", "6:34: problems.0.linear_decay.span: expected two finite"),
        ("problems: [{linear_decay: {span: [0, x]}}]", "6:38: problems.0.linear_decay.span.1: expected a number, got"),
        ("problems: [{linear_decay: {saves: 0}}]", "6:35: problems.0.linear_decay.saves: must be at least 1, got 0"),
        ("solvers: [rk4, rk5]", "6:16: solvers.1: no solver is called 'rk5'; did you mean 'rk4'?"),
        ("solvers: [rk4, {rk4: {}}]", "6:16: solvers.1: rk4 is given twice, first at line 6, column 11"),
        ("solvers: [{alf: {eta: 1}}, {alf: {eta: 1.0}}]", "6:28: solvers.1: alf(eta=1.0) is given twice, first at"),
        (
            "solvers: [{alf: {etha: 1}}]",
            "6:18: solvers.0.alf.etha: solver alf has no option 'etha'; did you mean 'eta'?",
        ),
        ("solvers: [{rk4: {eta: 1}}]", "6:18: solvers.0.rk4.eta: solver rk4 has no option 'eta'; it takes none"),
        ("solvers: [{alf: {eta: '1'}}]", "6:23: solvers.0.alf.eta: expected a number, got '1'"),
        ("solvers: [{alf: {eta: true}}]", "6:23: solvers.0.alf.eta: expected a number, got true"),
        ("solvers: [{alf: {eta: .nan}}]", "6:23: solvers.0.alf.eta: not a number is no value here"),
        ("solvers: [{alf: {eta: 0.5}}]", "6:23: solvers.0.alf.eta: solver alf: eta must be in (0, 1] and not 0.5"),
        ("solvers: [{coupled: {base: rk5}}]", "6:28: solvers.0.coupled.base: no solver is called 'rk5'; did you mean"),
        (
            "solvers: [{coupled: {base: {alf: {eta: x}}}}]",
            "6:40: solvers.0.coupled.base.alf.eta: expected a number, got",
        ),
        ("solvers: [{coupled: {base: alf}}]", "6:28: solvers.0.coupled.base: coupled needs a one-step base"),
        ("solvers: [coupled(base=rk4)]", "6:11: solvers.0: no solver is called 'coupled(base=rk4)'"),
        ("gradients: [direct, naive]", "7:21: gradients.1: direct is given twice, first at line 7, column 13"),
        ("gradients: [mali, reversible]", "7:19: gradients.1: reversible is given twice, first at line 7, column 13"),
        ("stepping: [fixed]", "4:12: stepping.0: stepping fixed: give either steps or dt"),
        ("stepping: [{fixed: {steps: 1, dt: 1}}]", "4:20: stepping.0.fixed: stepping fixed: give either steps or dt"),
        ("stepping: [{adaptive: {rtol: -1, atol: 1}}]", "4:30: stepping.0.adaptive.rtol: stepping adaptive: rtol and"),
        ("stepping: [{fixed: {dt: .inf}}]", "4:25: stepping.0.fixed.dt: "),
        ("stepping: [{fixed: {steps: 1.0}}]", "4:28: stepping.0.fixed.steps: expected a whole number, got 1.0"),
        ("stepping: [{adaptive: {rtoll: 1}}]", "4:24: stepping.0.adaptive.rtoll: stepping adaptive has no option"),
        (
            "stepping: [{adaptive: {controller: pie}}]",
            "4:36: stepping.0.adaptive.controller: expected one of 'i', 'pi'",
        ),
        ("devices: [gpu]", "7:11: devices.0: expected cpu, cuda, cuda:N or auto; got 'gpu'"),
        ("dtypes: [float16]", "7:10: dtypes.0: expected float64 or float32, got 'float16'; did you mean"),
        ("batches: [1, 0]", "7:14: batches.1: expected a whole number of at least 1; got 0"),
        ("batches: [true]", "7:11: batches.0: expected a whole number of at least 1; got true"),
        ("batches: [2, 2]", "7:14: batches.1: 2 is given twice, first at line 7, column 11"),
        ("seeds: [-1]", "7:9: seeds.0: expected a whole number of at least 0; got -1"),
        ("seeds: [0x8000000000000000]", "7:9: seeds.0: expected a whole number of at least 0; got"),
        ("measure: {repeats: 0}", "7:20: measure.repeats: expected a whole number of at least 1; got 0"),
        ("measure: {repeat: 5}", "7:11: measure.repeat: measure has no key 'repeat'; did you mean 'repeats'?"),
        ("measure: {warmup: often}", "7:19: measure.warmup: expected a whole number of at least 0, or auto; got"),
        ("measure: {timeout: 0}", "7:20: measure.timeout: expected a number of seconds above 0"),
        ("measure: {tf32: no}", "7:17: measure.tf32: expected true or false, got 'no'"),
        ("measure: {match_error: 0}", "7:24: measure.match_error: expected an error to meet, a number above 0; got 0"),
        ("measure: {match_error: .inf}", "7:24: measure.match_error: expected an error to meet, a number above 0"),
        (
            "measure: {match_error: 1e-6, match: gradient_eror}",
            "7:37: measure.match: expected solution_error or gradient_error, got 'gradient_eror'; did you mean",
        ),
        ("measure: {match: gradient_error}", "7:18: measure.match: nothing is matched without match_error"),
        ("measure: fast", "7:10: measure: expected a mapping of repeats"),
        ("exclude: [{solvr: rk4}]", "7:12: exclude.0.solvr: no axis is called 'solvr'; did you mean 'solver'?"),
        ("exclude: [{solver: rk5}]", "7:20: exclude.0.solver: no solver is called 'rk5'; did you mean 'rk4'?"),
        ("exclude: [{solver: dopri5}]", "7:20: exclude.0.solver: the rule matches no square: no solver is dopri5"),
        ("exclude: [{batch: 2}]", "7:19: exclude.0.batch: the rule matches no square: no batch is 2; the suite has 1"),
        ("exclude: [{solver: alf(eta=0.9)}]", "7:20: exclude.0.solver: the rule matches no square"),
        ("exclude: [{solver: alf(eta}]", "7:20: exclude.0.solver: name 'alf(eta', column 8: expected '='"),
        ("exclude: [rk4]", "7:11: exclude.0: expected a mapping of axes to values"),
        ("exclude: [{dtype: float64}]", "7:10: exclude: the rules exclude every square; leave some"),
        ("plugins: my_solver.py", "7:10: plugins: expected a list of files or modules"),
        ("plugins: [7]", "7:11: plugins.0: expected a file or a module, got 7"),
        ("plugins: [gone.py]", "7:11: plugins.0: plugin "),
    ],
)
def test_a_mistake_is_located_and_explained(tmp_path: Path, line: str, expected: str) -> None:
    (found,) = findings(tmp_path, with_line(line))
    assert found.startswith(expected)


def test_all_mistakes_are_found_at_once(tmp_path: Path) -> None:
    text = "solvers: [rk5, {alf: {eta: x, etha: 1}}]\nstepping: [{fixed: {steps: no}}]\nseeds: [a]\nnmae: x\n"
    assert [line.split(": ")[:2] for line in findings(tmp_path, text)] == [
        ["1:1", "'name' must be given"],
        ["1:1", "'problems' must be given"],
        ["1:11", "solvers.0"],
        ["1:28", "solvers.1.alf.eta"],
        ["1:31", "solvers.1.alf.etha"],
        ["2:28", "stepping.0.fixed.steps"],
        ["3:9", "seeds.0"],
        ["4:1", "nmae"],
    ]


def test_a_suite_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    (line,) = findings(tmp_path, "- a\n")
    assert line == "1:1: expected a mapping with name, problems, solvers and stepping; got a list of 1"


def test_a_product_of_absurd_size_is_refused(tmp_path: Path) -> None:
    many = ", ".join(map(str, range(1, 1000)))
    (line,) = findings(tmp_path, f"{GOOD}batches: [{many}]\nseeds: [{many}]\n")
    assert line.startswith("1:1: the suite has 3992004 squares; at most 100000 are run")


def test_an_alias_of_yaml_shares_options_and_is_still_a_duplicate(tmp_path: Path) -> None:
    text = with_line("solvers: [{alf: &o {eta: 0.9}}, {coupled: {base: {alf: *o}}}]")
    assert findings(tmp_path, text)[0].startswith("6:50: solvers.1.coupled.base: coupled needs a one-step base")
    (line,) = findings(tmp_path, with_line("solvers: [&a {alf: {eta: 0.9}}, *a]"))
    assert line.startswith("6:33: solvers.1: alf(eta=0.9) is given twice, first at line 6, column 11")


@pytest.mark.parametrize(
    "rule",
    [
        "{solver: alf, stepping: adaptive}",
        "{solver: {alf: {eta: 1}}}",
        "{solver: alf(eta=1)}",
        "{gradient: naive, stepping: {fixed: {steps: 10}}}",
        "{device: cpu, dtype: float64, batch: 1, seed: 0, problem: linear_decay, solver: rk4}",
    ],
)
def test_a_resolved_suite_reads_back_equal(tmp_path: Path, rule: str) -> None:
    suite = load(tmp_path, f"{GOOD}description: 'no'\ngradients: [naive, mali]\nexclude: [{rule}]\n")
    again = load(tmp_path, dump_documents([suite.to_data()]))
    assert again == suite
    assert Suite.from_data(suite.to_data()) == suite


def test_overrides_replace_and_add(tmp_path: Path) -> None:
    suite = load(
        tmp_path,
        f"{GOOD}devices: [cpu, cuda]\nexclude: [{{device: cuda, solver: alf}}]\n",
        devices=["cpu"],
        repeats=3,
        timeout=1,
        solvers=["rk4", "coupled(base=rk4, coupling=1)"],
    )
    assert suite.devices == ("cpu",)
    assert (suite.measure.repeats, suite.measure.timeout) == (3, 1.0)
    assert [str(each) for each in suite.solvers] == ["rk4", "alf(eta=1.0)", "coupled(base=rk4, coupling=1.0)"]
    assert load(tmp_path, dump_documents([suite.to_data()])) == suite


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"solvers": ["rk5"]}, "--solver: no solver is called 'rk5'; did you mean 'rk4'?"),
        ({"solvers": ["alf(eta=)"]}, "--solver: solver 'alf(eta=)', column 9: expected a value, got ')'"),
        ({"devices": ["gpu"]}, "--device: expected cpu, cuda, cuda:N or auto; got 'gpu'"),
        ({"repeats": 0}, "--repeats: expected a whole number of at least 1; got 0"),
        ({"timeout": -1.0}, "--timeout: expected a number of seconds above 0 and at most 10000000, got -1.0"),
    ],
)
def test_a_wrong_override_is_named(tmp_path: Path, overrides: dict[str, Any], expected: str) -> None:
    assert findings(tmp_path, GOOD, **overrides) == [expected]


PLUGIN = '''
from dataclasses import dataclass
from typing import Literal

from odebench.registry import solver


@solver
@dataclass(frozen=True)
class SuiteProbe:
    """A solver with one option of every type."""

    weights: tuple[float, ...] = (1.0,)
    pair: tuple[int, str] | None = None
    kind: Literal["a", "b"] = "a"
    limit: int | float = 1
    free: object = None
    order: int = 1
    error_order: None = None

    def __post_init__(self):
        if self.kind == "b":
            raise KeyError("b is not\\nfor today")
'''


def test_a_plugin_next_to_the_suite_is_found_and_its_options_are_checked(tmp_path: Path) -> None:
    (tmp_path / "suite_probe.py").write_text(PLUGIN)
    head = "name: p\nplugins: [suite_probe.py]\nproblems: [linear_decay]\nstepping: [{fixed: {steps: 1}}]\n"
    suite = load(tmp_path, f"{head}solvers: [{{suite_probe: {{weights: [1, 2], pair: [3, x], limit: 4, free: no}}}}]\n")
    assert str(suite.solvers[0]) == "suite_probe(free=no, limit=4, pair=[3, x], weights=[1.0, 2.0])"
    assert suite.plugins == (str((tmp_path / "suite_probe.py").resolve()),)
    assert load(tmp_path, dump_documents([suite.to_data()])) == suite
    wrong = "[{suite_probe: {weights: 1, pair: [3], kind: c, limit: x}}, {suite_probe: {kind: b}}]"
    assert [line.partition(": ")[2] for line in findings(tmp_path, f"{head}solvers: {wrong}\n")] == [
        "solvers.0.suite_probe.weights: expected a list, each a number, got 1",
        "solvers.0.suite_probe.pair: expected a list of 2: a whole number, a string, got a list of 1",
        "solvers.0.suite_probe.kind: expected one of 'a', 'b', got 'c'",
        "solvers.0.suite_probe.limit: expected a whole number or a number, got 'x'",
        "solvers.1.suite_probe.kind: solver suite_probe: KeyError: 'b is not\\nfor today'",
    ]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('not\\ntoday')", "RuntimeError: not today"),
        ("import sys; sys.exit(3)", "it asked Python to exit (3) while it was imported"),
        ("def (", "SyntaxError"),
    ],
)
def test_a_plugin_that_fails_at_import_is_a_finding_at_its_name(tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "broken_probe.py").write_text(source)
    (line,) = findings(tmp_path, with_line("plugins: [broken_probe.py]"))
    assert line.startswith("7:11: plugins.0: plugin ")
    assert reason in line


def test_a_path_comes_before_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = "quickstart"
    assert find_suite(shipped).name == f"{shipped}.yaml"
    assert find_suite(f"{shipped}.yaml").name == f"{shipped}.yaml"
    monkeypatch.chdir(tmp_path)
    (tmp_path / shipped).write_text(GOOD)
    assert find_suite(shipped) == Path(shipped)
    (tmp_path / shipped).unlink()
    (tmp_path / shipped).mkdir()
    assert find_suite(shipped).name == f"{shipped}.yaml", "a folder is no suite"


@pytest.mark.parametrize("name", ["quickstrat", "gone/x.yaml", "\0", "x" * 5000])
def test_a_suite_that_is_nowhere_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError):
        find_suite(name)


def test_every_shipped_suite_is_valid_and_reads_back_equal(tmp_path: Path) -> None:
    for name, path in shipped_suites().items():
        suites = load_suites([path])
        copy = tmp_path / f"{name}.yaml"
        copy.write_text(dump_documents(suite.to_data() for suite in suites))
        assert load_suites([copy]) == suites, name
        # A suite that measures the same cells in several ways has a name for each.
        assert all(suite.name == name or suite.name.startswith(f"{name}_") for suite in suites)


def test_code_gets_the_same_checks_as_a_suite() -> None:
    assert canonical("solver", {"coupled": {"base": {"rk4": None}, "coupling": 1}}) == Spec.of(
        "coupled", {"base": "rk4", "coupling": 1.0}
    )
    assert canonical("gradient", "naive") == Spec("direct")
    with pytest.raises(OptionError, match="expected a number, got 'x'") as caught:
        canonical("solver", {"alf": {"eta": "x"}})
    assert caught.value.path == ("alf", "eta")
