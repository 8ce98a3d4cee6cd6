"""The libraries that are installed, through `odebench.run`: each pair is measured, or refused with a sentence."""

from __future__ import annotations

import importlib
import math
from importlib.metadata import version
from pathlib import Path

import pytest

import odebench
from odebench.cli.explain import find
from odebench.record import Record
from odebench.registry import load_builtins

load_builtins()
GRADIENTS = ("direct", "adjoint", "aca", "recursive", "reversible")
CASES = {
    "torchdiffeq": ("dopri5", "heun3"),
    "torchode": ("dopri5",),
    "torchsde": ("reversible_heun", "srk"),
    "TorchDiffEqPack": ("Dopri5", "fixedstep_sym12async"),
    "diffrax": ("heun", "leapfrog_midpoint"),
}
SUITE = """\
name: peers_here
problems: [{{mlp: {{dim: 3, hidden: 5, span: [0, 1]}}}}]
solvers: [{solvers}]
gradients: [{gradients}]
stepping: [{{fixed: {{steps: 4}}}}, {{adaptive: {{rtol: 1e-3, atol: 1e-4}}}}]
batches: [2]
measure: {{repeats: 2, warmup: 0, timeout: 120}}
"""


@pytest.fixture(scope="module", params=CASES)
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Record]]:
    """(library, records of all its pairs here)."""
    name: str = request.param
    pytest.importorskip(name, reason=f"{name} is not installed here")
    folder = tmp_path_factory.mktemp(name)
    suite = folder / "peers_here.yaml"
    own = [f"{name.lower()}.{method}" for method in CASES[name]]
    gradients = ("direct", "aca") if name == "diffrax" else GRADIENTS  # compiling takes seconds
    suite.write_text(SUITE.format(solvers=", ".join(own), gradients=", ".join(gradients)))
    return name, odebench.run(suite, output=folder / "results")


def measured(records: list[Record]) -> list[Record]:
    return [record for record in records if record.status == "ok"]


def test_every_pair_is_measured_or_refused_with_a_sentence(library: tuple[str, list[Record]]) -> None:
    _, records = library
    assert {record.status for record in records} <= {"ok", "refused"}, [(r.cell.key, r.reason) for r in records]
    assert measured(records)
    for record in records:
        assert (record.status == "refused") == bool(record.reason)
        assert "not installed" not in record.reason


def test_a_row_with_a_twin_has_a_wall_ratio_and_a_row_without_has_none(library: tuple[str, list[Record]]) -> None:
    _, records = library
    for record in measured(records):
        twin = find(f"solver:{record.cell.solver.name}")[0].build({}).facts.twin
        assert ("wall_ratio" in record.metrics) == _native_can(twin, record), record.cell.key


def _native_can(twin: str | None, record: Record) -> bool:
    if twin is None:
        return False
    stepper = find(f"solver:{twin}")[0].build({})
    gradient = find(f"gradient:{record.cell.gradient.name}")[0].build(dict(record.cell.gradient.options))
    stepping = find(f"stepping:{record.cell.stepping.name}")[0].build(dict(record.cell.stepping.options))
    return gradient.refusal(stepper) is None and stepping.refusal(stepper) is None


def test_figures_are_all_there_and_the_library_and_its_counts_are_in_the_settings(
    library: tuple[str, list[Record]],
) -> None:
    name, records = library
    for record in measured(records):
        figures = record.metrics
        assert record.settings[name] == version(name)
        assert figures["solution_error"] < 0.1
        assert all(math.isfinite(figures[each]) for each in ("overhead", "peak_memory_bytes", "gradient_error"))
        assert figures["nfe_forward"] > 0
        told = record.settings.get("reported", {})
        assert bool(told) == (name != "torchsde"), record.notes
        for each, count in told.items():
            said = f"{name} reports {each} {count}, counted {figures[each]}"
            assert figures[each] == count or said in record.notes


def test_rows_of_jax_say_that_their_memory_is_another_gauge(library: tuple[str, list[Record]]) -> None:
    name, records = library
    gauge = importlib.import_module("odebench.peers.diffrax").GAUGE
    assert all((gauge in record.notes) == (name == "diffrax") for record in measured(records))


def test_torchode_is_caught_reporting_no_evaluations_on_the_way_back(tmp_path: Path) -> None:
    pytest.importorskip("torchode", reason="torchode is not installed here")
    suite = tmp_path / "peers_here.yaml"
    suite.write_text(SUITE.format(solvers="{torchode.dopri5: {joint: false}}", gradients="adjoint"))
    fixed, _ = odebench.run(suite, output=tmp_path / "results")
    assert fixed.status == "ok", fixed.reason
    assert fixed.settings["reported"]["nfe_backward"] == 0
    assert f"torchode reports nfe_backward 0, counted {fixed.metrics['nfe_backward']}" in fixed.notes


def test_a_library_whose_own_counts_fail_is_measured_all_the_same(tmp_path: Path) -> None:
    pytest.importorskip("torchdiffeq", reason="torchdiffeq is not installed here")
    (tmp_path / "forgetful.py").write_text(
        "from odebench.peers import torchdiffeq\n"
        "def reported(*_, **__):\n    raise KeyError('accept')\ntorchdiffeq.reported = reported\n"
    )
    suite = tmp_path / "peers_here.yaml"
    suite.write_text(SUITE.format(solvers="torchdiffeq.rk4", gradients="direct") + "plugins: [forgetful.py]\n")
    (record,) = odebench.run(suite, output=tmp_path / "results", where="stepping=fixed")
    assert record.status == "ok"
    assert "what torchdiffeq counts itself cannot be had: KeyError: 'accept'" in record.notes
    assert "steps" not in record.metrics
