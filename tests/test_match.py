"""Matched accuracy: the loosest setting that meets an error, found and measured at."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from odebench import registry
from odebench.controllers import Adaptive, Fixed
from odebench.errors import Divergence, OutOfReach, Refusal, SolveError
from odebench.measure.cell import measure_cell
from odebench.measure.match import match
from odebench.measure.peer_subject import JaxSubject, build_alone
from odebench.measure.search import MOST_SOLVES, Search, Steps, Tolerances
from odebench.record import Cell, Measure
from odebench.spec import Spec
from odebench.truth import ensure_truth

registry.load_builtins()
LOTKA = {"lotka_volterra": {"span": [0.0, 2.0]}}
GROWTH = {"growth": {"alpha": 1.0, "span": [0.0, 1.0]}}


def cell(problem: Any, solver: str, stepping: Any, gradient: str = "direct", **rest: Any) -> Cell:
    return Cell("s", *(Spec.from_data(each) for each in (problem, solver, gradient, stepping)), **rest)


@pytest.fixture(scope="module")
def truths(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("truths")

    def of(subject: Cell) -> Path:
        path = folder / f"{abs(hash((subject.problem, subject.dtype, subject.batch, subject.seed)))}.npz"
        if not path.exists():
            spec, dtype, batch, seed = subject.problem, subject.dtype, subject.batch, subject.seed
            ensure_truth(spec, dtype=dtype, batch=batch, seed=seed, path=path)
        return path

    return of


def found(subject: Cell, truth: Path, target: float, of: str = "solution_error") -> tuple[Cell, dict[str, Any]]:
    at, settings = match(subject, Measure(match_error=target, match=of), truth)
    return at, settings["matched"]


def options(subject: Cell) -> dict[str, Any]:
    return dict(subject.stepping.options)


def error_of(subject: Cell, truth: Path, metric: str = "solution_error") -> float:
    metrics: dict[str, float] = {}
    measure = Measure(repeats=1, warmup=0)
    measure_cell(subject, measure, truth, lambda message: metrics.update(message.get("metrics", {})))
    return metrics[metric]


def fixed(**given: Any) -> dict[str, Any]:
    return {"fixed": given}


@pytest.mark.parametrize("start", [1, 4, 300])
def test_fixed_steps_of_order_four_land_where_theory_says_whatever_the_start(truths: Any, start: int) -> None:
    # One step of the classic scheme loses h⁵/120 of e^h: the error at t = 1 is N⁻⁴/120 and a little less.
    subject = cell(GROWTH, "rk4", fixed(steps=start))
    at, matched = found(subject, truths(subject), 1e-8)
    theory = (120 * 1e-8) ** -0.25
    assert theory * 0.97 <= matched["steps"] <= theory * 1.13
    assert matched["error"] <= 1e-8
    assert options(at) == {"steps": matched["steps"]}


def test_steps_stay_a_multiple_of_the_saves(truths: Any) -> None:
    subject = cell({"growth": {"alpha": 1.0, "span": [0.0, 1.0], "saves": 3}}, "rk4", fixed(steps=3))
    at, matched = found(subject, truths(subject), 1e-8)
    assert matched["steps"] % 3 == 0
    assert error_of(at, truths(subject)) <= 1e-8


def test_a_dt_is_searched_among_the_whole_parts_of_the_span(truths: Any) -> None:
    by_steps = cell(GROWTH, "rk4", fixed(steps=4))
    by_dt = cell(GROWTH, "rk4", fixed(dt=0.25))
    steps, dt = (found(each, truths(each), 1e-8)[1] for each in (by_steps, by_dt))
    assert dt["dt"] == pytest.approx(1 / steps["steps"], rel=1e-15)
    assert dt["solves"] == steps["solves"]


@pytest.mark.parametrize("start", [1e-3, 1e-5, 1e-11])
def test_a_tolerance_meets_the_target_closely_or_the_next_looser_one_does_not(truths: Any, start: float) -> None:
    subject = cell(LOTKA, "dopri5", {"adaptive": {"rtol": start, "atol": start / 10}})
    at, matched = found(subject, truths(subject), 1e-6)
    assert error_of(at, truths(subject)) == matched["error"] <= 1e-6
    assert matched["rtol"] / matched["atol"] == pytest.approx(10, rel=1e-5)
    looser = {name: options(at)[name] * 10**0.125 for name in ("rtol", "atol")}
    closely = matched["error"] > 1e-6 / 10**0.125
    assert closely or error_of(cell(LOTKA, "dopri5", {"adaptive": looser}), truths(subject)) > 1e-6


def test_other_options_of_the_stepping_stay(truths: Any) -> None:
    subject = cell(LOTKA, "tsit5", {"adaptive": {"controller": "pi", "rtol": 1e-4, "atol": 1e-4}})
    assert options(found(subject, truths(subject), 1e-6)[0])["controller"] == "pi"


def test_the_gradient_error_can_be_what_is_matched(truths: Any) -> None:
    subject = cell(LOTKA, "rk4", fixed(steps=10), "adjoint")
    at, matched = found(subject, truths(subject), 1e-6, "gradient_error")
    assert error_of(at, truths(subject), "gradient_error") == matched["error"] <= 1e-6
    assert matched["steps"] > found(subject, truths(subject), 1e-6)[1]["steps"]


def test_the_search_finds_the_same_twice(truths: Any) -> None:
    subject = cell({"mlp": {"dim": 3, "hidden": 5}}, "tsit5", "adaptive", batch=2)
    assert found(subject, truths(subject), 1e-7) == found(subject, truths(subject), 1e-7)


def test_a_target_out_of_reach_is_a_sentence_with_the_best_that_was_reached(truths: Any) -> None:
    subject = cell(LOTKA, "dopri5", "adaptive")
    with pytest.raises(OutOfReach, match=r"solution_error 1e-30 was not met in 4 solves: the best was .* at rtol = "):
        found(subject, truths(subject), 1e-30)


def test_steps_beyond_the_limit_of_a_solve_end_the_search_with_that_reason(truths: Any) -> None:
    subject = cell(LOTKA, "bosh3", {"adaptive": {"rtol": 1e-4, "atol": 1e-4, "max_steps": 200}})
    with pytest.raises(OutOfReach, match=r"the best was .*200 steps were tried"):
        found(subject, truths(subject), 1e-11)


def test_without_a_truth_nothing_can_be_matched() -> None:
    with pytest.raises(OutOfReach, match="cannot be matched: the true solution could not be worked out"):
        match(cell(LOTKA, "rk4", fixed(steps=10)), Measure(match_error=1e-6), None)


def test_a_record_holds_the_setting_and_figures_are_of_that_setting(truths: Any) -> None:
    subject = cell(GROWTH, "rk4", fixed(steps=2), "aca")
    said: dict[str, dict[str, Any]] = {"metrics": {}, "settings": {}}
    notes: list[str] = []

    def send(message: dict[str, Any]) -> None:
        json.dumps(message)
        notes.extend(message.get("notes", ()))
        for key in said:
            said[key] |= message.get(key, {})

    measure_cell(subject, Measure(repeats=1, warmup=0, match_error=1e-6), truths(subject), send)
    matched, metrics = said["settings"]["matched"], said["metrics"]
    assert metrics["steps"] == matched["steps"] > 2
    assert metrics["solution_error"] == matched["error"] <= 1e-6
    assert metrics["nfe_forward"] == 4 * matched["steps"]
    assert "first_call_seconds starts warm" in notes[0]


def by_steps(start: int = 5, order: float = 2.0, saves: int = 1) -> Steps:
    return Steps(Fixed(steps=start * saves), saves, 1.0, order)


def by_tolerance(rtol: float = 1e-6, atol: float = 1e-7) -> Tolerances:
    return Tolerances(Adaptive(rtol, atol))


@pytest.mark.parametrize("order", [1, 2, 4, 8])
@pytest.mark.parametrize("start", [1, 30, 5000])
def test_an_error_that_falls_as_theory_has_it_takes_a_solve_a_factor_of_ten_at_most(order: int, start: int) -> None:
    for wanted in (2, 17, 300, 20_000):
        search = Search(by_steps(start, order), lambda at: at**-order, 1.0001 * wanted**-order)
        at = search.find()
        assert at is not None
        assert wanted <= at <= 1.1 * wanted + 1
        assert len(search.errors) <= 3 + abs(math.log10(wanted / start))


def test_a_tolerance_that_is_proportional_to_the_error_is_found_at_the_second_solve() -> None:
    for constant in (0.3, 4.0, 30.0):
        search = Search(by_tolerance(), lambda at, c=constant: c * 10.0 ** (-6 - at / 8), 1e-8)
        at = search.find()
        assert at is not None
        assert 1e-8 / 10**0.125 <= search.errors[at] <= 1e-8
        assert len(search.errors) <= 2


def test_a_slope_that_is_not_the_theory_s_is_learnt() -> None:
    for slope in (0.55, 0.8, 1.3, 1.9):
        search = Search(by_tolerance(1e-3, 1e-3), lambda at, s=slope: 10.0 ** (-s * at / 8), 1e-5)
        at = search.find()
        assert at is not None
        assert search.errors[at] <= 1e-5
        assert search.errors[at] >= 1e-5 / 10**0.125 or search.errors[at - 1] > 1e-5
        assert len(search.errors) <= 6


def test_what_is_found_has_met_the_target_itself_although_errors_are_not_monotone() -> None:
    def wavy(at: int) -> float:
        return at**-2.0 * (1.5 + math.sin(at))

    for start in (1, 5, 90, 3000):
        for target in (1e-1, 1e-2, 1e-3, 1e-4):
            search = Search(by_steps(start), wavy, target)
            at = search.find()
            assert at is not None
            assert wavy(at) <= target
            assert len(search.errors) <= MOST_SOLVES


def test_what_is_solved_exactly_is_solved_in_one_step() -> None:
    search = Search(by_steps(5000), lambda at: 0.0, 1e-3)
    assert search.find() == 1
    assert len(search.errors) <= 5


def test_no_setting_is_solved_twice_however_wild_the_errors() -> None:
    for seed in range(200):
        tried: list[int] = []

        def wild(at: int, seed: int = seed, tried: list[int] = tried) -> float:
            tried.append(at)
            dice = math.sin(12.9898 * at + 78.233 * seed) * 43758.5453 % 1
            if dice < 0.2 and len(tried) > 1:
                raise (Divergence("not finite"), SolveError("underflow"), Refusal("no"))[seed % 3]
            return 10.0 ** (-at / 8 + 3 * dice)

        search = Search(by_tolerance(1e-5, 1e-5), wild, 1e-4)
        at = search.find()
        assert len(tried) == len(set(tried)) == len(search.errors) <= MOST_SOLVES
        assert at is None or search.errors[at] <= 1e-4
        assert at is not None or search.wall


def test_an_error_that_falls_no_further_ends_the_search_at_the_finest_with_the_best_told() -> None:
    search = Search(by_tolerance(), lambda at: max(10.0 ** (-at / 8), 1e-5), 1e-9)
    assert search.find() is None
    assert search.wall == "nothing finer is tried"
    assert search.best is not None
    assert search.errors[search.best] == 1e-5
    assert len(search.errors) <= 4


def test_diverging_and_refused_looser_settings_count_as_misses() -> None:
    def errors(at: int) -> float:
        if at < 10:
            raise Divergence("not finite")
        if at < 20:
            raise Refusal("not such steps")
        return 1 / at

    search = Search(by_steps(80, 1), errors, 0.5)
    assert search.find() in (20, 21)


def test_what_cannot_be_solved_yet_is_refined_and_what_no_longer_can_ends_the_search() -> None:
    def errors(at: int) -> float:
        if at < 8:
            raise SolveError("underflow")
        if at > 64:
            raise SolveError("too many steps")
        return 1 / at

    assert Search(by_steps(2, 1), errors, 0.1).find() in (10, 11)
    none = Search(by_steps(2, 1), errors, 1e-3)
    assert none.find() is None
    assert none.wall == "too many steps"
    assert none.best is not None
    assert 58 <= none.best <= 64


def test_the_finest_tolerance_that_is_not_refused_is_tried() -> None:
    def errors(at: int) -> float:
        if at > 13:
            raise Refusal("float32")
        return 10.0 ** (-at / 8)

    met = Search(by_tolerance(), errors, 10.0**-1.55)
    assert met.find() == 13
    missed = Search(by_tolerance(), errors, 1e-6)
    assert missed.find() is None
    assert (missed.best, missed.wall) == (13, "float32")


def test_a_refusal_of_the_stepping_as_given_is_a_refusal() -> None:
    def errors(at: int) -> float:
        raise Refusal("never")

    with pytest.raises(Refusal, match="never"):
        Search(by_steps(2), errors, 0.1).find()


def test_a_search_out_of_solves_keeps_what_it_has() -> None:
    search = Search(by_tolerance(1e-3, 1e-3), lambda at: 10.0 ** (-((at / 40) ** 3)), 1e-1, 4)
    at = search.find()
    assert len(search.errors) == 4
    assert at is None or search.errors[at] <= 1e-1
    lost = Search(by_tolerance(1e-3, 1e-3), lambda at: math.inf, 1e-4, 6)
    assert (lost.find(), lost.best, lost.wall) == (None, None, "6 solves were tried")


def test_tolerances_stay_between_1e_14_and_1() -> None:
    for control in (Adaptive(1e-5, 1e-6), Adaptive(1e-6, 1e-3), Adaptive(0.0, 1e-6), Adaptive(3e-7, 2e-7)):
        scale = Tolerances(control)
        coarsest, finest = scale.ends
        leading = scale.options(finest)["rtol"] or scale.options(finest)["atol"]
        assert 0.999e-14 <= leading < 1.34e-14
        assert 0.74 < max(scale.options(coarsest).values()) <= 1.0


def test_steps_go_from_one_to_a_hundred_thousand_in_all() -> None:
    scale = by_steps(5, saves=4)
    assert scale.ends == (1, 25_000)
    assert scale.options(25_000) == {"steps": 100_000}
    assert Steps(Fixed(dt=1e-6), 1, 1.0, 4).ends == (1, 1_000_000)


PEERS = [
    ("torchdiffeq", "torchdiffeq.dopri5", "adaptive"),
    ("torchdiffeq", "torchdiffeq.rk4", fixed(steps=10)),
    ("torchode", "torchode.tsit5", "adaptive"),
    ("torchsde", "torchsde.reversible_heun", fixed(steps=16)),
    ("diffrax", "diffrax.tsit5", "adaptive"),
]


@pytest.mark.parametrize(("library", "solver", "stepping"), PEERS, ids=[each[1] for each in PEERS])
def test_a_peer_meets_the_target_too(library: str, solver: str, stepping: Any, truths: Any) -> None:
    pytest.importorskip(library)
    subject = cell(LOTKA, solver, stepping)
    target = 1e-3 if "heun" in solver else 1e-6
    at, matched = found(subject, truths(subject), target)
    assert matched["error"] <= target
    assert matched["solves"] <= MOST_SOLVES
    assert error_of(at, truths(subject)) == pytest.approx(matched["error"], rel=1e-3)


def test_a_tolerance_that_a_library_refuses_is_out_of_reach(truths: Any) -> None:
    pytest.importorskip("TorchDiffEqPack")
    subject = cell(LOTKA, "torchdiffeqpack.Dopri5", {"adaptive": {"rtol": 1e-4, "atol": 1e-4}})
    with pytest.raises(OutOfReach, match=r"the best was .*adds up its adaptive steps in float32"):
        found(subject, truths(subject), 1e-10)


def test_diffrax_ends_at_a_given_tolerance_where_it_ends_compiled_for_it_alone() -> None:
    pytest.importorskip("diffrax")
    loose, tight = ({"adaptive": {"rtol": rtol, "atol": rtol / 10}} for rtol in (1e-4, 1e-8))
    subject, other = (build_alone(cell(LOTKA, "diffrax.tsit5", each), Measure()) for each in (loose, tight))
    assert isinstance(subject, JaxSubject)
    for rtol, expected in ((1e-4, subject.end()), (1e-8, other.end())):
        gap = (subject.end_at(rtol, rtol / 10) - expected).abs().max()
        assert float(gap) <= 1e-12
