"""What the command line says of other libraries' methods; none of them is imported, and none need be installed."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import odebench
from odebench.cli.app import app
from odebench.errors import OptionError
from odebench.registry import load_builtins, solvers
from odebench.spec import Spec
from tests.test_cli_explain import facts

load_builtins()
LIBRARIES = ("torchdiffeq", "torchode", "torchsde", "TorchDiffEqPack", "diffrax")
PEERS = [entry.name for entry in solvers if entry.name.lower().startswith(tuple(f"{n.lower()}." for n in LIBRARIES))]


def call(*words: str) -> str:
    result = CliRunner().invoke(app, words, prog_name="odebench")
    assert result.exit_code == 0, result.stderr
    return result.stdout


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def test_other_libraries_are_listed_after_the_native_solvers_with_their_versions() -> None:
    natives, *others = call("list", "solvers").split("\n\n")
    assert "rk4" in natives
    assert not any(name.lower() in natives.lower() for name in ("torchode", "diffrax"))
    for name, block in zip(LIBRARIES, others, strict=True):
        title = block.splitlines()[0]
        found = installed(name)
        assert title.startswith(f"{name} {found}" if found else f"{name}: not installed; pip install 'odebench[")


def test_programs_are_told_the_library_its_version_and_its_extra() -> None:
    data = {each["name"]: each for each in json.loads(call("list", "solvers", "--json"))}
    assert "library" not in data["rk4"]
    assert data["torchdiffeqpack.RK4"]["library"] == {
        "name": "TorchDiffEqPack",
        "version": installed("TorchDiffEqPack"),
        "extra": "torchdiffeqpack",
    }


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_that_is_hidden_is_listed_as_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    assert f"{name}: not installed; pip install 'odebench[{name.lower()}]'" in call("list", "solvers").splitlines()
    data = [each.get("library") for each in json.loads(call("list", "solvers", "--json"))]
    assert next(each["version"] for each in data if each and each["name"] == name) is None


def test_a_page_of_a_peer_tells_what_its_gradients_are_in_the_library() -> None:
    told = facts("torchdiffeq.rk4")
    assert (told["order"], told["error order"]) == ("4", "no error estimate")
    assert told["twin"].startswith("rk38")
    assert told["stepping"] == "fixed"
    assert told["direct"] == "odeint, backpropagated through"
    assert told["adjoint"].startswith("odeint_adjoint")
    assert told["no gradient"] == "interpolated, aca, recursive, reversible, symplectic, forward"
    assert told["install"] == "pip install 'odebench[torchdiffeq]'"
    assert "interpolate" in call("explain", "torchdiffeq.rk4")
    assert facts("torchdiffeqpack.rk4")["not reversible"]
    assert facts("torchode.tsit5")["joint"].endswith("default: true")


@pytest.mark.parametrize("name", ["reversible", "direct", "adaptive"])
def test_pages_of_gradients_and_steppings_list_native_solvers_and_name_libraries_in_one_line(name: str) -> None:
    told = facts(name)
    assert "." not in told["solvers"] + told.get("not with", "")
    assert "torchsde" in told["libraries"]


def test_a_filter_and_a_schema_know_the_names() -> None:
    rows = json.loads(call("run", "peers", "--dry-run", "-k", "solver=torchdiffeq.dopri5", "--format", "json"))["rows"]
    assert {row["solver"] for row in rows} == {"torchdiffeq.dopri5"}
    assert {row["status"] for row in rows} <= {"planned", "refused"}
    schema = call("schema")
    assert all(f'"{name}"' in schema for name in PEERS)


def test_no_page_of_words_imports_a_library(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom odebench.cli import complete, pages\n"
        "assert ('diffrax.tsit5',) == tuple(n for n, _ in complete.solvers('diffrax.ts'))\n"
        "pages.page('list', [], of='solvers', width=80)\npages.page('schema', [])\n"
        "for name in ('torchdiffeq.dopri5', 'diffrax.tsit5', 'reversible', 'adaptive'):\n"
        "    pages.page('explain', [], name=name, width=80)\n"
        f"assert not {{'torch', 'jax', *{LIBRARIES!r}}} & {{*sys.modules}}, sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_odeint_refuses_a_method_of_another_library_with_a_sentence() -> None:
    with pytest.raises(odebench.Refusal, match=r"own schemes, and torchdiffeq\.dopri5 is none"):
        odebench.odeint(lambda t, y: -y, torch.ones(1), torch.tensor([0.0, 1.0]), method="torchdiffeq.dopri5")


def test_a_method_of_another_library_is_no_base_of_coupled() -> None:
    with pytest.raises(OptionError, match=r"own schemes, and torchdiffeq\.rk4 is none") as raised:
        solvers.build(Spec.of("coupled", {"base": Spec("torchdiffeq.rk4")}))
    assert raised.value.path == ("base",)
