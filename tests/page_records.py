"""Records as suites give them, made by formulas in place of minutes of measuring; for the tests of the page."""

from __future__ import annotations

from itertools import product
from math import cos, exp, sin
from random import Random

from odebench.record import Cell, Record
from odebench.spec import Spec

MARKUP = "<img src=x onerror=alert(1)>"
PROBLEMS = [
    Spec.of(name, {"mu": mu, "span": (0.0, 10.0)})
    for name in ("van_der_pol", "pendulum")
    for mu in (0.1, 0.2, 0.5, 1.0, 2.0)
]
SOLVERS = [
    *map(Spec, ("bosh3", "dopri5", "tsit5", "dopri8", "rk4", "alf", "reversible_heun")),
    Spec.of("alf", {"eta": 0.9}),
    *(Spec.of("coupled", {"base": base, "coupling": 0.999}) for base in ("rk4", "dopri5")),
]
GRADIENTS = [Spec("direct"), Spec("adjoint"), Spec("aca"), Spec("reversible")]
STEPPINGS = [
    *(Spec.of("fixed", {"steps": steps}) for steps in (30, 100, 300)),
    *(Spec.of("adaptive", {"atol": tolerance, "rtol": tolerance}) for tolerance in (1e-4, 1e-8)),
]
MACHINE = {
    "machine": "AMD EPYC x2 #888f74",
    "version": "0.1.0",
    "commit": "4aa6fcabe695",
    "started": "2026-01-31T12:00:00Z",
}


def many(problems: int = 10, suite: str = "wide") -> list[Record]:
    """200 for each problem: two thirds measured with paths or meshes, some refused, some diverged."""
    random = Random(0)
    cells = product(PROBLEMS[:problems], SOLVERS, GRADIENTS, STEPPINGS)
    return [record(Cell(suite, *axes), random) for axes in cells]


def record(cell: Cell, random: Random) -> Record:
    """What a measurement of the cell might have given."""
    if cell.gradient.name == "reversible" and cell.solver.name in ("bosh3", "tsit5"):
        return Record(cell, "refused", f"{cell.solver} cannot undo a step, which reversible needs", **MACHINE)
    if random.random() < 0.03:
        return Record(cell, "diverged", "the solution is not finite", metrics(cell, random), **MACHINE)
    back = paths(random) if cell.gradient.name in ("adjoint", "reversible") else {}
    return Record(cell, "ok", "", metrics(cell, random), mesh=mesh(cell, random), curves=back, **MACHINE)


def steps_of(cell: Cell) -> int:
    """Of the forward pass."""
    options = dict(cell.stepping.options)
    return int(options.get("steps", 0) or 20 * options["rtol"] ** -0.2)


def metrics(cell: Cell, random: Random) -> dict[str, float | int]:
    """All figures of an ordinary cell, each with digits of its own."""
    steps = steps_of(cell)
    noise = [random.lognormvariate(0, 0.2) for _ in range(16)]
    forward, backward = steps * 1e-4 * noise[0], steps * 4e-4 * noise[1]
    held = 200 * steps if cell.gradient.name in ("direct", "aca") else 0
    error = 3.0 * steps**-2.0 * noise[2]
    return {
        "steps": steps, "rejected": int(3 * noise[3]), "nfe_forward": 6 * steps + 1, "nfe_backward": 6 * steps,
        "vjp_forward": 0, "vjp_backward": 6 * steps, "work": 24 * steps + 1,
        "forward_seconds": forward, "backward_seconds": backward, "wall_seconds": forward + backward,
        "wall_seconds_low": 0.97 * (forward + backward), "wall_seconds_high": 1.04 * (forward + backward),
        "repeats": 10,
        "overhead_forward": 1.6 * noise[4], "overhead": 1.4 * noise[5], "first_call_seconds": 0.2 * noise[6],
        "peak_memory_bytes": 5000 + held, "graph_bytes": held, "process_peak_bytes": int(4e8 * noise[7]),
        "solution_error": error, "reverse_error": 1e-12 * noise[8], "gradient_error": 4 * error * noise[9],
        "gradient_error_y0": 3 * error * noise[10], "gradient_error_parameters": 5 * error * noise[11],
        "gradient_error_discrete": 1e-15 * noise[12],
    }  # fmt: skip


def mesh(cell: Cell, random: Random) -> list[float]:
    """From 0 to 10, in steps of about one size."""
    sizes = [random.uniform(0.5, 1.5) for _ in range(steps_of(cell))]
    if cell.stepping.name == "fixed":
        sizes = [1.0] * len(sizes)
    nodes, total = [0.0], sum(sizes)
    for size in sizes:
        nodes.append(nodes[-1] + 10.0 * size / total)
    return nodes


def paths(random: Random) -> dict[str, list[float]]:
    """A spiral there and back, in as many points and digits as a measurement keeps."""
    rate, stray = random.uniform(0.01, 0.2), random.uniform(0, 1e-2)
    times = [round(10 * i / 78, 4) for i in range(79)]
    ways = [(digits(exp(-rate * t) * cos(2 * t)), digits(exp(-rate * t) * sin(2 * t))) for t in times]
    back = [(digits(x + stray * (10 - t)), digits(y)) for t, (x, y) in zip(times, ways, strict=True)]
    return {
        "forward_t": times, "forward_1": [x for x, _ in ways], "forward_2": [y for _, y in ways],
        "reversed_t": times[::-1], "reversed_1": [x for x, _ in back[::-1]], "reversed_2": [y for _, y in back[::-1]],
        "error_t": times[::-1], "error": [digits(stray * (10 - t) * random.uniform(0.9, 1.1)) for t in times[::-1]],
    }  # fmt: skip


def digits(value: float) -> float:
    """Four of them."""
    return float(f"{value:.4g}")
