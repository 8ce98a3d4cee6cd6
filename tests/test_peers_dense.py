"""`dense: true` for other libraries: taken by those that interpolate at saved times, refused by the others."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import odebench
from odebench.peers.peer import Peer
from odebench.problems import Bound, bind
from odebench.registry import load_builtins, solvers
from odebench.spec import Spec

load_builtins()
TOLERANCES = {"rtol": 1e-4, "atol": 1e-5}
LANDING, DENSE = (Spec.of("adaptive", TOLERANCES | more) for more in ({}, {"dense": True}))
ASKED = {"saves": 9, "dtype": "float64", "device": "cpu"}
SUITE = """\
name: dense
problems: [{mlp: {dim: 3, hidden: 5, span: [0, 2], saves: 40}}]
solvers: [torchdiffeq.dopri5, dopri5]
gradients: [direct, adjoint]
stepping: [{adaptive: {rtol: 1e-4, atol: 1e-5}}, {adaptive: {rtol: 1e-4, atol: 1e-5, dense: true}}]
batches: [4]
measure: {repeats: 1, warmup: 0}
"""


class Tallied(nn.Module):
    def __init__(self, f: nn.Module) -> None:
        super().__init__()
        self.f, self.calls = f, 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.calls += 1
        slope: Tensor = self.f(t, y)
        return slope


def network(saves: int) -> Bound:
    options = {"dim": 3, "hidden": 5, "span": (0.0, 2.0), "saves": saves}
    return bind(Spec.of("mlp", options), batch=4, seed=0, dtype="float64", device="cpu")


def solved(library: str, method: str, gradient: str, stepping: Spec, saves: int = 40) -> tuple[Tensor, Tensor, int]:
    """(ys, dL/dy0 of all saved times, calls of f, both ways)."""
    bound = network(saves)
    f = Tallied(bound.f)
    ys = Peer(library, method).prepare(Spec(gradient), stepping, bound, f)()
    (bar,) = torch.autograd.grad(ys.square().sum(), bound.y0)
    return ys.detach(), bar, f.calls


@pytest.mark.parametrize("library", ["torchdiffeq", "torchode"])
@pytest.mark.parametrize("gradient", ["direct", "adjoint"])
def test_a_library_that_always_interpolates_runs_the_same_with_dense_and_without(library: str, gradient: str) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed here")
    assert Peer(library, "dopri5").misfit(Spec(gradient), DENSE, **ASKED) is None
    (ys, bar, calls), (same, same_bar, same_calls) = (
        solved(library, "dopri5", gradient, each) for each in (LANDING, DENSE)
    )
    assert torch.equal(ys, same)
    assert torch.equal(bar, same_bar)
    assert calls == same_calls


@pytest.mark.parametrize("library", ["torchdiffeq", "torchode"])
def test_saves_cost_a_library_that_interpolates_no_calls(library: str) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed here")
    assert solved(library, "dopri5", "direct", DENSE, 1)[2] == solved(library, "dopri5", "direct", DENSE, 40)[2]


def test_scipys_solver_takes_dense_too() -> None:
    assert Peer("torchdiffeq", "scipy_solver").misfit(Spec("adjoint"), DENSE, **ASKED) is None


@pytest.mark.parametrize(("library", "method"), [("torchsde", "heun"), ("torchdiffeqpack", "Dopri5")])
@pytest.mark.parametrize("saves", [1, 9])
def test_a_library_that_draws_lines_between_its_steps_is_refused(library: str, method: str, saves: int) -> None:
    peer = solvers.build(Spec(f"{library}.{method}"))
    said = peer.misfit(Spec("direct"), DENSE, **ASKED | {"saves": saves})
    assert said is not None
    assert "interpolates linearly between" in said
    assert "use one save without `dense`" in said
    assert peer.misfit(Spec("direct"), LANDING, **ASKED | {"saves": 1}) is None


def test_diffrax_lands_on_saved_times_unless_dense_is_given_and_then_solves_as_it_does_for_its_users() -> None:
    diffrax = pytest.importorskip("diffrax", reason="diffrax is not installed here")
    from jax import numpy as jnp

    made = importlib.import_module("odebench.peers.diffrax").DiffraxTrial
    counts, last = {}, {}
    for stepping in (LANDING, DENSE):
        for saves in (1, 40):
            problem = Spec.of("mlp", {"dim": 3, "hidden": 5, "span": (0.0, 2.0), "saves": saves})
            last = made(problem, "dopri5", Spec("direct"), stepping, 4)
            counts[stepping, saves] = last.counts()
    assert counts[DENSE, 40] == counts[DENSE, 1] == counts[LANDING, 1]
    assert counts[LANDING, 40]["steps"] == 40
    last.forward()
    # As a user calls it: saved times are named, and nothing is said of steps but the tolerances.
    bound = last.bound
    plain = diffrax.diffeqsolve(
        diffrax.ODETerm(bound.f),
        diffrax.Dopri5(),
        bound.ts[0],
        bound.ts[-1],
        dt0=last.mesh()[1] - last.mesh()[0],
        y0=bound.y0,
        args=bound.theta,
        saveat=diffrax.SaveAt(ts=jnp.asarray(bound.ts)),
        stepsize_controller=diffrax.PIDController(rtol=1e-4, atol=1e-5),
    )
    assert float(abs(plain.ys - last.ys).max()) < 1e-12


def test_a_suite_takes_dense_for_a_peer_and_its_twin_is_dense_as_well(tmp_path: Path) -> None:
    pytest.importorskip("torchdiffeq", reason="torchdiffeq is not installed here")
    (tmp_path / "dense.yaml").write_text(SUITE)
    records = odebench.run(tmp_path / "dense.yaml", output=tmp_path / "results")
    assert {record.status for record in records} == {"ok"}
    calls = {
        (each.cell.solver.name, each.cell.gradient.name, "dense" in str(each.cell.stepping)): each for each in records
    }
    for gradient in ("direct", "adjoint"):
        with_dense, without = (calls["torchdiffeq.dopri5", gradient, dense] for dense in (True, False))
        for name in ("steps", "rejected", "nfe_forward", "nfe_backward", "vjp_backward", "gradient_error"):
            assert with_dense.metrics[name] == without.metrics[name], name
        assert "wall_ratio" in with_dense.metrics
        # What the peer stands beside under `dense` takes no step for a save either.
        native, landing = (calls["dopri5", gradient, dense].metrics["steps"] for dense in (True, False))
        assert native < 40 <= landing
