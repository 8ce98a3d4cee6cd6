"""One cell from its names to its figures, and the gauges behind them."""

from __future__ import annotations

import gc
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from odebench import registry
from odebench.controllers import Fixed
from odebench.errors import Divergence, SolveError
from odebench.measure.bare import BareLoop
from odebench.measure.cell import measure_cell
from odebench.measure.check import Trajectory
from odebench.measure.clock import time_rounds, warm_up
from odebench.measure.count import Counts, StepLog
from odebench.measure.peer_subject import build_subject
from odebench.measure.statistics import median_interval, time_metrics
from odebench.record import METRICS, Cell, Measure
from odebench.spec import Spec
from odebench.truth import ensure_truth

registry.load_builtins()
QUICK = Measure(repeats=2, warmup=0)


def cell(problem: Any, solver: Any, gradient: Any, stepping: Any = None, **rest: Any) -> Cell:
    stepping = stepping or {"fixed": {"steps": 20}}
    return Cell("s", *(Spec.from_data(each) for each in (problem, solver, gradient, stepping)), **rest)


def measured(subject: Cell, measure: Measure = QUICK, truth: Path | None = None) -> dict[str, Any]:
    """All that was sent, merged."""
    found: dict[str, Any] = {"metrics": {}, "samples": {}, "settings": {}, "curves": {}, "notes": []}

    def send(message: dict[str, Any]) -> None:
        json.dumps(message)
        for key, value in message.items():
            if key == "notes":
                found["notes"] += value
            elif isinstance(value, dict):
                found[key] |= value
            else:
                found[key] = value

    try:
        measure_cell(subject, measure, truth, send)
    except Exception as error:
        found["error"] = error
    return found


def truth_for(subject: Cell, folder: Path) -> Path:
    path = folder / "truth.npz"
    ensure_truth(subject.problem, dtype=subject.dtype, batch=subject.batch, seed=subject.seed, path=path)
    return path


def test_a_cell_gives_every_figure_that_a_cpu_can_give(tmp_path: Path) -> None:
    subject = cell({"van_der_pol": {"mu": 0.15, "span": [0.0, 5.0]}}, "rk4", "aca", batch=3)
    found = measured(subject, Measure(repeats=6, warmup=1), truth_for(subject, tmp_path))
    elsewhere = {"steps_backward", "rejected_backward", "wall_ratio", "peak_requested_bytes"}
    assert set(METRICS) - set(found["metrics"]) == elsewhere
    assert len(found["samples"]["forward"]) == 6
    assert len(found["mesh"]) == 21
    assert found["mesh"][-1] == 5.0
    assert found["settings"]["threads"] == 1


def test_figures_come_in_the_order_of_the_gauges_so_that_a_dying_cell_keeps_them(tmp_path: Path) -> None:
    subject = cell("growth", "rk4", "direct")
    order: list[str] = []
    measure_cell(subject, QUICK, truth_for(subject, tmp_path), lambda message: order.extend(message.get("metrics", ())))
    gauges = ["first_call_seconds", "nfe_forward", "gradient_error", "peak_memory_bytes", "wall_seconds"]
    assert [name for name in order if name in gauges] == gauges


def test_without_a_truth_only_what_needs_one_is_left_out() -> None:
    found = measured(cell("growth", "rk4", "aca"))["metrics"]
    assert "gradient_error" not in found
    assert "solution_error" not in found
    assert found["gradient_error_discrete"] < 1e-15
    assert found["reverse_error"] == 0


def test_analytic_gradients_are_met_at_the_order_of_the_scheme(tmp_path: Path) -> None:
    errors = []
    for steps in (20, 40):
        subject = cell({"growth": {"alpha": 0.5, "span": [0.0, 2.0]}}, "rk4", "adjoint", {"fixed": {"steps": steps}})
        errors.append(measured(subject, QUICK, truth_for(subject, tmp_path))["metrics"]["gradient_error"])
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.1)


def test_the_reverse_error_of_the_adjoint_is_that_of_solving_back() -> None:
    # Back over the same nodes Euler returns to y0·((1 − h)(1 + h))^N = y0·(1 − h²)^N.
    found = measured(cell({"growth": {"alpha": 1.0, "span": [0.0, 1.0]}}, "euler", "adjoint"))["metrics"]
    n, h = 20, 1 / 20
    gap = max(abs((1 + h) ** n * (1 - h) ** (n - i) - (1 + h) ** i) for i in range(n + 1))
    assert found["reverse_error"] == pytest.approx(gap / (1 + h) ** n, rel=1e-10)


def test_a_reversible_scheme_loses_what_a_contracting_flow_contracts() -> None:
    lost = [
        measured(
            cell({"linear_decay": {"rate": 1.0, "span": [0.0, span]}}, "alf", "reversible", {"fixed": {"dt": 0.01}})
        )
        for span in (1.0, 20.0)
    ]
    assert lost[0]["metrics"]["reverse_error"] < 1e-14 < lost[1]["metrics"]["reverse_error"]


def test_saved_times_reset_the_adjoint_and_the_drift_before_the_reset_is_told() -> None:
    problem = {"linear_decay": {"rate": 3.0, "span": [0.0, 4.0]}}
    whole = measured(cell(problem, "heun", "adjoint", {"fixed": {"steps": 40}}))["metrics"]["reverse_error"]
    problem["linear_decay"]["saves"] = 4
    reset = measured(cell(problem, "heun", "adjoint", {"fixed": {"steps": 40}}))["metrics"]["reverse_error"]
    assert 0 < reset < whole


def test_nodes_are_compared_although_the_way_back_meets_them_a_bit_beside() -> None:
    seen = Trajectory((0.0, 0.7), everywhere=True)
    nodes = [tick.t for tick in Fixed(steps=2048).mesh((0.0, 0.7))]  # every other one lies where keys are rounded
    for t in nodes:
        seen.saw(t, torch.ones(1))
    missed = 0
    for t in nodes:
        seen.worst = 0.0
        seen.recalled(math.nextafter(t, 1.0), torch.zeros(1))
        missed += seen.worst == 0.0
    assert missed == 0


def test_work_is_evaluations_and_twice_the_cotangents() -> None:
    found = measured(cell("growth", "rk4", "aca"))["metrics"]
    assert found["work"] == 80 + 80 + 2 * 80


def test_an_adaptive_adjoint_reports_the_steps_of_its_own_solve() -> None:
    found = measured(cell({"van_der_pol": {"span": [0.0, 2.0]}}, "dopri5", "adjoint", "adaptive"))["metrics"]
    assert found["steps_backward"] > 0
    assert found["rejected_backward"] >= 0
    assert found["nfe_backward"] >= 6 * found["steps_backward"]


def test_a_solution_that_is_not_finite_is_a_divergence_with_its_figures_kept(tmp_path: Path) -> None:
    subject = cell({"van_der_pol": {"mu": 5.0, "span": [0.0, 20.0]}}, "euler", "direct", {"fixed": {"steps": 40}})
    found = measured(subject, QUICK, truth_for(subject, tmp_path))
    assert isinstance(found["error"], Divergence)
    assert found["metrics"]["nfe_forward"] == 40
    assert not found["metrics"]["solution_error"] < 1e300


def test_a_step_limit_is_an_error_with_the_reason() -> None:
    found = measured(cell("growth", "heun", "direct", {"adaptive": {"rtol": 1e-12, "atol": 1e-12, "max_steps": 5}}))
    assert isinstance(found["error"], SolveError)
    assert "5 steps" in str(found["error"])


def test_too_short_a_timeout_times_fewer_repeats_and_says_so() -> None:
    found = measured(cell("growth", "rk4", "direct"), Measure(repeats=50, warmup=0, timeout=1e-6))
    assert found["metrics"]["repeats"] == 1
    assert "timed 1 of 50 repeats" in found["notes"][0]


class FakeClock:
    """Ticks once per reading."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


class SpyTrial:
    """Stands where a trial stands and writes down what is asked of it."""

    def __init__(self, said: list[str]) -> None:
        self.said, self.bound = said, type("B", (), {"y0": torch.zeros(1)})

    def __getattr__(self, name: str) -> Any:
        return lambda: self.said.append(name)


def test_each_round_alternates_solve_and_bare_loop() -> None:
    said: list[str] = []
    bare = type(
        "Bare", (), {"both": lambda self: said.append("bare"), "forward": lambda self: said.append("bare_forward")}
    )()
    rounds = time_rounds(SpyTrial(said), bare, 3, 1e9, FakeClock())  # type: ignore[arg-type]
    round_ = ["forward", "backward", "bare", "forward_plain", "bare_forward"]
    assert [each for each in said if each not in ("clear", "sync")] == round_ * 3
    assert rounds.forward == rounds.backward == rounds.bare == [1.0] * 3


def test_rounds_stop_before_the_deadline_but_never_before_the_first() -> None:
    bare = type("Bare", (), {"both": lambda self: None, "forward": lambda self: None})()
    assert len(time_rounds(SpyTrial([]), bare, 100, 30.0, FakeClock()).forward) == 2  # type: ignore[arg-type]
    assert len(time_rounds(SpyTrial([]), bare, 100, 0.0, FakeClock()).forward) == 1  # type: ignore[arg-type]


def test_what_a_plugin_leaves_in_cycles_does_not_pile_up_from_round_to_round() -> None:
    alive = 0

    class Leaky(SpyTrial):
        def forward(self) -> None:
            knot = Knot()
            knot.self = knot

    class Knot:
        self: Any

        def __init__(self) -> None:
            nonlocal alive
            alive += 1

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    bare = type("Bare", (), {"both": lambda self: None, "forward": lambda self: None})()
    time_rounds(Leaky([]), bare, 20, 1e9, FakeClock())  # type: ignore[arg-type]
    assert alive <= 2  # of the last round
    assert gc.isenabled()
    gc.collect()


def test_a_given_number_of_warm_up_runs_is_run() -> None:
    said: list[str] = []
    assert warm_up(SpyTrial(said), 4) == 4  # type: ignore[arg-type]
    assert said.count("both") == 4
    assert warm_up(SpyTrial([]), 0) == 0  # type: ignore[arg-type]
    assert warm_up(SpyTrial([]), "auto", FakeClock()) == 1  # type: ignore[arg-type]


def test_the_bare_loop_makes_the_very_calls_and_never_feeds_back() -> None:
    subject = build_subject(cell({"mlp": {"dim": 3}}, "rk4", "direct"), QUICK)[0]
    calls: list[tuple[bool, Tensor]] = []

    class Spy(torch.nn.Module):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            out: Tensor = inner(t, y)
            calls.append((out.requires_grad, y))
            return out

    inner = subject.trial.bound.f
    bound = type(subject.trial.bound)(
        Spy(), subject.trial.bound.params, subject.trial.bound.y0, subject.trial.bound.ts, subject.trial.bound.loss
    )
    loop = BareLoop.of(bound, Counts(7, 5, 4, StepLog()))
    loop.both()
    assert [graph for graph, _ in calls] == [True] * 4 + [False] * 8
    assert all(y is bound.y0 for _, y in calls)
    calls.clear()
    loop.forward()
    assert [graph for graph, _ in calls] == [False] * 7


def test_counters_leave_the_solve_as_it_is() -> None:
    subject = build_subject(cell({"mlp": {"dim": 3}}, "reversible_heun", "reversible"), QUICK)[0]
    first, second = subject.count(), subject.count()
    assert first.metrics() == second.metrics()
    assert first.metrics()["nfe_backward"] == 22
    assert first.metrics()["vjp_backward"] == 21


def test_the_interval_of_a_median_needs_six_samples() -> None:
    assert median_interval([1.0] * 5) is None
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == (1.0, 6.0)
    assert median_interval([float(x) for x in range(1, 11)]) == (2.0, 9.0)
    assert median_interval([float(x) for x in range(1, 101)]) == (40.0, 61.0)


def test_time_columns_are_recomputed_from_the_raw_samples() -> None:
    samples = {
        "forward": [1.0, 2.0, 3.0], "backward": [2.0, 2.0, 2.0], "forward_plain": [2.0, 4.0, 6.0],
        "bare_forward": [1.0, 1.0, 2.0], "bare": [1.0, 4.0, 5.0],
    }  # fmt: skip
    assert time_metrics(samples) == {
        "forward_seconds": 2.0, "backward_seconds": 2.0, "wall_seconds": 4.0, "repeats": 3, "overhead_forward": 3.0,
        "overhead": 1.0,
    }  # fmt: skip


def test_a_metric_of_ones_own_adds_a_column() -> None:
    @registry.metric("final_norm")
    def final_norm(trial: Any) -> float:
        """Norm of the end state."""
        trial.clear()
        trial.forward()
        return float(trial.ys[-1].detach().norm())

    try:
        assert measured(cell("growth", "rk4", "direct"))["metrics"]["final_norm"] > 0
    finally:
        del registry.metrics.entries["final_norm"]


@pytest.mark.cuda
@pytest.mark.parametrize("gradient", ["direct", "adjoint", "aca", "recursive", "reversible"])
def test_a_cuda_cell_gives_every_figure(gradient: str, tmp_path: Path) -> None:
    subject = cell({"mlp": {"dim": 8}}, "alf", gradient, device="cuda", dtype="float32", batch=4)
    found = measured(subject, Measure(repeats=6), truth_for(subject, tmp_path))
    assert "error" not in found
    assert {"peak_memory_bytes", "peak_requested_bytes", "graph_bytes", "overhead"} <= set(found["metrics"])
    assert found["metrics"]["gradient_error_discrete"] < 1e-5
