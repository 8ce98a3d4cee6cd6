"""The memory gauge: to the byte, the same in every process, and flat where a method says it is."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from odebench import registry
from odebench.controllers import Fixed
from odebench.measure.subject import TorchSubject
from odebench.measure.trial import NativePair, TorchTrial
from odebench.measure.weigh import allocations, process_peak_bytes, weigh
from odebench.problems import bind
from odebench.spec import Spec

registry.load_builtins()

# Eight times Linear(256, 256) and tanh on a batch of 1024 in float32: saved tanh outputs, one gradient of an output,
# one of a weight and one of a bias, and two scalars.
CHAIN_BYTES = 8 * 1024 * 256 * 4 + 1024 * 256 * 4 + 256 * 256 * 4 + 256 * 4 + 2 * 4

CHAIN = """
import torch
from odebench.measure.weigh import allocations
torch.set_num_threads(1)
chain = torch.nn.Sequential(*(m for _ in range(8) for m in (torch.nn.Linear(256, 256), torch.nn.Tanh())))
x = torch.zeros(1024, 256)
live = peak = 0
for size in allocations(lambda: chain(x).sum().backward()):
    live += size
    peak = max(peak, live)
print(peak, len(allocations(lambda: None)))
"""


def peak_of(sizes: list[int]) -> int:
    live = peak = 0
    for size in sizes:
        live += size
        peak = max(peak, live)
    return peak


def trial(solver: Spec, gradient: Spec, steps: int, batch: int = 8, problem: str = "mlp") -> TorchTrial:
    sizes = {"dim": 16, "hidden": 16} if problem == "mlp" else {}
    spec = Spec.of(problem, {**sizes, "span": (0.0, 1.0)})
    bound = bind(spec, batch=batch, seed=0, dtype="float64", device="cpu")
    return TorchTrial.of(
        NativePair(bound, registry.solvers.build(solver), registry.gradients.build(gradient), Fixed(steps=steps))
    )


def weighed(solver: Spec, gradient: Spec, steps: int) -> dict[str, int]:
    subject = trial(solver, gradient, steps)
    subject.forward()
    subject.backward()
    return weigh(subject)


def test_the_closed_form_chain_is_met_to_the_byte_in_five_fresh_processes() -> None:
    answers = {
        subprocess.run([sys.executable, "-c", CHAIN], capture_output=True, text=True, check=True).stdout
        for _ in range(5)
    }
    assert answers == {f"{CHAIN_BYTES} 0\n"}
    assert CHAIN_BYTES == 9_700_360


def test_an_explicit_script_of_allocations_is_met_to_the_byte() -> None:
    def script() -> None:
        a = torch.empty(1 << 20, dtype=torch.float32)
        b = torch.empty(1 << 20, dtype=torch.float64)
        del a
        c = torch.empty(1000, dtype=torch.uint8)
        del b, c

    sizes = allocations(script)
    assert sizes == [4 << 20, 8 << 20, -(4 << 20), 1000, -(8 << 20), -1000]
    assert peak_of(sizes) == 12 << 20


def test_the_public_profiler_gives_the_same_sizes() -> None:
    from odebench.measure.weigh import _allocations_by_public_profiler

    layer, x = torch.nn.Linear(32, 32), torch.zeros(4, 32)

    peaks = []
    for gauge in (allocations, _allocations_by_public_profiler):
        layer.weight.grad = layer.bias.grad = None
        peaks.append(peak_of(gauge(lambda: layer(x).tanh().sum().backward())))
    assert peaks[0] == peaks[1] > 32 * 32 * 4


def test_direct_holds_what_autograd_saves_and_nothing_else() -> None:
    # Each evaluation of Linear-tanh-Linear saves the input of the first layer and the output of tanh; the stage inputs
    # are distinct tensors but for the first of each step, which is the step's own state.
    held = weighed(Spec("euler"), Spec("direct"), 50)["graph_bytes"]
    state = 8 * 16 * 8
    assert held == (50 + 49) * state  # y0 is below the floor, and the last state is no input of f


@pytest.mark.parametrize(
    ("solver", "gradient", "factor"),
    [
        ("rk4", "direct", 50.0),
        ("rk4", "adjoint", 1.02),
        ("alf", "reversible", 1.02),
        ("reversible_heun", "reversible", 1.02),
        ("coupled", "reversible", 1.02),
    ],
)
def test_peak_memory_from_10_to_1000_steps(solver: str, gradient: str, factor: float) -> None:
    few, many = (weighed(Spec(solver), Spec(gradient), steps)["peak_memory_bytes"] for steps in (10, 1000))
    if gradient == "direct":
        assert many / few >= factor
    else:
        assert many / few <= factor


@pytest.mark.parametrize("gradient", ["aca", "symplectic"])
def test_stored_states_are_all_that_grows(gradient: str) -> None:
    few, many = (weighed(Spec("rk4"), Spec(gradient), steps)["peak_memory_bytes"] for steps in (10, 210))
    assert many - few == 200 * 8 * 16 * 8


def test_aca_holds_the_states_before_its_steps_and_nothing_else() -> None:
    assert weighed(Spec("rk4"), Spec("aca"), 20)["graph_bytes"] == 19 * 8 * 16 * 8  # y0 is below the floor
    assert weighed(Spec("dopri5"), Spec("aca"), 20)["graph_bytes"] == (19 + 20) * 8 * 16 * 8  # and slopes beside them


def test_recursive_grows_by_its_checkpoints_only() -> None:
    spec = Spec.of("recursive", {"checkpoints": 4})
    assert weighed(Spec("rk4"), spec, 50)["peak_memory_bytes"] == weighed(Spec("rk4"), spec, 400)["peak_memory_bytes"]


def test_weighing_twice_gives_the_same_bytes() -> None:
    subject = trial(Spec("dopri5"), Spec("aca"), 20)
    subject.forward()
    subject.backward()
    assert weigh(subject) == weigh(subject)


def test_the_solution_that_is_returned_is_not_held_for_the_backward_pass() -> None:
    # MALI keeps its last state (y, v) beside the returned solution.
    assert weighed(Spec("alf"), Spec("reversible"), 20)["graph_bytes"] == 2 * 8 * 16 * 8


def test_the_high_water_mark_of_a_child_is_its_own() -> None:
    block = bytearray(400 << 20)
    block[:: 1 << 12] = b"x" * len(block[:: 1 << 12])
    code = "from odebench.measure.weigh import process_peak_bytes as p\nimport torch\nprint(p())"
    child = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    own = process_peak_bytes()
    assert own is not None
    assert own > 400 << 20
    assert child < own
    del block


@pytest.mark.cuda
def test_on_a_gpu_the_requested_bytes_are_those_of_the_cpu_gauge() -> None:
    problem = Spec.of("mlp", {"dim": 16, "hidden": 16})
    figures = []
    for device in ("cpu", "cuda"):
        bound = bind(problem, batch=8, seed=0, dtype="float32", device=device)
        subject = TorchTrial.of(
            NativePair(
                bound, registry.solvers.build(Spec("rk4")), registry.gradients.build(Spec("aca")), Fixed(steps=20)
            )
        )
        for _ in range(2):
            subject.clear()
            subject.forward()
            subject.backward()
        figures.append(weigh(subject))
    assert figures[1]["peak_requested_bytes"] == pytest.approx(figures[0]["peak_memory_bytes"], rel=0.05)
    assert figures[1]["graph_bytes"] == figures[0]["graph_bytes"]


def test_a_solve_whose_allocations_cannot_all_be_listed_is_not_weighed_and_says_so() -> None:
    subject = TorchSubject(trial(Spec("rk4"), Spec("aca"), 10).pair)
    counts = subject.count()
    assert set(subject.weigh(counts)[0]) == {"peak_memory_bytes", "graph_bytes"}
    figures, notes = subject.weigh(replace(counts, nfe_forward=100_000, nfe_backward=100_000))
    assert figures == {}
    assert "memory is not weighed: on a CPU this solve makes some" in notes[0]


@pytest.mark.parametrize("gradient", ["direct", "aca", "adjoint", "forward"])
def test_the_number_of_allocations_is_foreseen_within_a_factor_of_two(gradient: str) -> None:
    problem = "lotka_volterra" if gradient == "forward" else "mlp"
    subject = TorchSubject(trial(Spec("rk4"), Spec(gradient), 40, problem=problem).pair)
    subject.trial.both()
    listed = len(allocations(subject.trial.both))
    assert listed / 2 <= subject.events(subject.count()) <= 2 * listed
