"""A library that is missing, broken or of another version, and a plugin's metric that raises: records, not tracebacks.

The libraries here are folders of a few lines, found before any installed one; none need be installed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

import odebench
from odebench.record import Record

PEERS = ("torchdiffeq.dopri5", "torchode.dopri5", "torchsde.heun", "torchdiffeqpack.RK4", "diffrax.dopri5")
# These ask for other packages beside their own before they are tried.
NEEDY = {"torchdiffeqpack.RK4": "matplotlib", "diffrax.dopri5": "equinox"}
TRIED = tuple(peer for peer in PEERS if find_spec(NEEDY.get(peer, "torch")))
SUITE = """\
name: broken
problems: [{{pendulum: {{span: [0, 1]}}}}]
solvers: [dopri5, {solvers}]
gradients: [direct]
stepping: [{{fixed: {{steps: 4}}}}]
measure: {{repeats: 1, warmup: 0, timeout: 60}}
"""
Run = Callable[..., dict[str, Record]]


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the native dopri5 and peers, with `body` for every library they come from; records by solver."""

    def run(body: str | None, *peers: str) -> dict[str, Record]:
        suite = tmp_path / "broken.yaml"
        suite.write_text(SUITE.format(solvers=", ".join(peers)))
        if body is not None:
            for name in ("torchdiffeq", "torchode", "torchsde", "TorchDiffEqPack", "diffrax", "jax"):
                (tmp_path / "libraries" / name).mkdir(parents=True)
                (tmp_path / "libraries" / name / "__init__.py").write_text(body)
            folder = str(tmp_path / "libraries")
            monkeypatch.syspath_prepend(folder)
            monkeypatch.setenv("PYTHONPATH", os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")]))
        found = odebench.run(suite, output=tmp_path / "results")
        return {record.cell.solver.name: record for record in found}

    return run


def test_a_library_that_is_not_there_is_a_refused_row_with_the_line_that_installs_it(
    records: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torchdiffeq", "torchode", "torchsde", "TorchDiffEqPack", "diffrax"):
        monkeypatch.setitem(sys.modules, name, None)
    found = records(None, *PEERS)
    assert found.pop("dopri5").status == "ok"
    for solver, record in found.items():
        assert record.status == "refused"
        assert record.reason.endswith(f"is not installed; pip install 'odebench[{solver.partition('.')[0]}]'")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise ImportError('libnothing.so: cannot open')", "ImportError: libnothing.so: cannot open (__init__.py:1)"),
        ("import sys\nsys.nothing_of_the_kind", "AttributeError: module 'sys' has no attribute 'nothing_of_the_kind'"),
    ],
)
def test_a_library_that_cannot_be_imported_is_a_failed_row_that_says_what_it_said(
    records: Run, body: str, told: str
) -> None:
    found = records(body, *TRIED)
    assert found.pop("dopri5").status == "ok"
    for record in found.values():
        assert (record.status, record.reason[: len(told)]) == ("failed", told)


def test_a_library_of_a_version_without_the_function_is_a_failed_row(records: Run) -> None:
    found = records("__version__ = '0.0.1'", *TRIED)
    assert found.pop("dopri5").status == "ok"
    assert {record.status for record in found.values()} == {"failed"}
    assert all("has no attribute" in record.reason or "cannot import" in record.reason for record in found.values())


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ("raise RuntimeError('mat1 and mat2')", "failed", "RuntimeError: mat1 and mat2 (__init__.py:"),
        ("import os; os._exit(3)", "crashed", "the worker exited with code 3"),
        ("import sys; sys.exit(1)", "failed", "SystemExit: 1"),
        ("return None", "failed", "TypeError: "),
    ],
)
def test_a_library_that_fails_inside_is_a_row_that_says_how(records: Run, body: str, status: str, told: str) -> None:
    found = records(f"def odeint(*_, **__):\n    {body}\n", "torchdiffeq.rk4")
    assert found["dopri5"].status == "ok"
    assert found["torchdiffeq.rk4"].status == status
    assert found["torchdiffeq.rk4"].reason.startswith(told)


def test_a_metric_of_a_plugin_that_raises_is_a_note_and_the_other_figures_stay(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "from odebench import metric\n"
        "@metric('odd')\ndef odd(trial):\n    '''Fails.'''\n    raise ZeroDivisionError('nothing to divide by')\n"
        "@metric('wordy')\ndef wordy(trial):\n    '''No number.'''\n    return 'many'\n"
        "@metric('fine')\ndef fine(trial):\n    '''Seven.'''\n    return 7\n"
    )
    suite = tmp_path / "broken.yaml"
    suite.write_text(SUITE.format(solvers="rk4") + "plugins: [broken.py]\n")
    for record in odebench.run(suite, output=tmp_path / "results"):
        assert record.status == "ok"
        assert "metric odd failed: ZeroDivisionError: nothing to divide by" in record.notes
        assert any(note.startswith("metric wordy failed: ValueError") for note in record.notes)
        assert record.metrics["fine"] == 7
        assert {"wall_seconds", "peak_memory_bytes"} <= set(record.metrics)
