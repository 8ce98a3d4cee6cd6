"""diffrax: ODE solvers in jax, compiled whole. Importing this imports neither jax nor diffrax."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import floor, sqrt
from typing import TYPE_CHECKING, Any

import odebench.controllers  # noqa: F401  registers the steppings
from odebench.controllers import Adaptive, Fixed
from odebench.errors import OptionError, SolveError, did_you_mean
from odebench.peers.jax_field import JaxBareLoop, JaxBound, Tally, bind, configure, counted
from odebench.peers.method import Method
from odebench.registry import steppings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from odebench.peers.jax_field import JaxField
    from odebench.spec import Spec

    Array = NDArray[np.float64]

LIBRARY = "diffrax"
EXTRA = "diffrax"
HOMEPAGE = "https://docs.kidger.site/diffrax"
REFERENCE = "P. Kidger, On Neural Differential Equations, PhD thesis, University of Oxford 2021 (arXiv 2202.02435)"

_IMPLICIT = "implicit: forms the Jacobian of the whole batch, (batch·dim)² numbers"

METHODS: dict[str, Method] = {
    "euler": Method(1, None, False, True, "euler"),
    "heun": Method(2, 2, True, True, "heun"),
    "midpoint": Method(2, 2, True, True, "midpoint"),
    "ralston": Method(2, 2, True, True, "ralston"),
    "bosh3": Method(3, 3, True, True, "bosh3"),
    "tsit5": Method(5, 5, True, True, "tsit5"),
    "dopri5": Method(5, 5, True, True, "dopri5"),
    "dopri8": Method(8, 8, True, True, "dopri8"),
    "reversible_heun": Method(2, 2, True, True, "reversible_heun"),
    "leapfrog_midpoint": Method(2, None, False, True, None, "two-step, started by an Euler step"),
    "implicit_euler": Method(1, 2, True, True, None, _IMPLICIT),
    "kvaerno3": Method(3, 3, True, True, None, _IMPLICIT),
    "kvaerno4": Method(4, 4, True, True, None, _IMPLICIT),
    "kvaerno5": Method(5, 5, True, True, None, _IMPLICIT),
}

# diffrax's other solver classes, by what keeps them out.
LEFT_OUT: dict[str, tuple[str, ...]] = {
    "needs f split into a stiff and a non-stiff part": ("Sil3", "KenCarp3", "KenCarp4", "KenCarp5"),
    "needs a state in two halves, each driven by the other": ("SemiImplicitEuler",),
    "solves stochastic equations only": (
        "EulerHeun", "ItoMilstein", "StratonovichMilstein", "SEA", "SRA1", "ShARK", "GeneralShARK", "SlowRK", "SPaRK",
        "ALIGN", "ShOULD", "QUICSORT",
    ),
    "wraps another solver, to estimate its error by two half steps": ("HalfSolver",),
}  # fmt: skip

GRADIENTS: dict[str, str] = {
    "direct": "DirectAdjoint: nested scans of 16 that remember their starts, so part of the solve is recomputed",
    "recursive": "RecursiveCheckpointAdjoint, its number of checkpoints always given",
    "adjoint": "BacksolveAdjoint, over the same mesh backwards where the mesh is fixed",
}

NOTE = (
    "The whole solve is compiled by jax.jit; first_call_seconds holds the compilation. Time and gradient come from one "
    "jitted value_and_grad, as diffrax is used in training: wall_seconds is that call, forward_seconds a jitted solve "
    "alone, and backward_seconds their difference, round by round. "
    "Fixed steps are StepTo on odebench's own mesh: ConstantStepSize would divide the span evenly instead of shortening "
    "the last step. Adaptive steps are PIDController with the factors and exponents of the suite, landing on saved "
    "times by step_ts; it accepts an error below 1 and not at 1, never shrinks the step after an accepted one, and "
    "grows it at most by max_factor from a step that was cut short to land. The first step is Hairer's, worked out and "
    "counted here and given as dt0, since with dt0=None diffrax 0.7.2 always starts with 0.01. "
    "How many steps an adaptive solve tries is learnt from one plain solve: `recursive` then takes "
    "floor(-1.5 + sqrt(2N + 0.25)) + 1 checkpoints for N tries where none are asked for, and max_steps is N and a "
    "twentieth. Even with all checkpoints diffrax recomputes each step once on the way back. "
    "In float32 time is float32 too. Implicit solvers on fixed steps find their roots by Chord to 1e-10 (1e-5 in "
    "float32): VeryChord, the default, gives up after its second iteration. "
    "BacksolveAdjoint's error norm runs over state, adjoint and parameters together."
)

GAUGE = (
    "peak_memory_bytes is the temporary memory of the compiled value_and_grad as XLA laid it out on a CPU, arguments "
    "and returned gradients not included; on a GPU the device's peak over this process, above what was held before"
)


def refusal(method: str, gradient: Spec, stepping: Spec, *, saves: int, dtype: str, device: str) -> str | None:
    """Why diffrax cannot do this, in one sentence, or None. Needs neither jax nor diffrax."""
    if method not in METHODS:
        return f"diffrax has no ODE solver {method!r}{did_you_mean(method, METHODS)}"
    return (
        _refused_gradient(gradient)
        or _refused_pair(method, gradient.name, stepping.name, saves)
        or _refused_place(dtype, device)
    )


def _refused_gradient(gradient: Spec) -> str | None:
    if gradient.name not in GRADIENTS:
        why = {
            "aca": "keeps no states chosen by odebench; `recursive` is its checkpointing",
            "reversible": "undoes no steps: its reversible solvers go forward only, and have no reversible adjoint",
            "symplectic": "has no stage-wise transpose",
        }.get(gradient.name, "does not know it")
        return f"diffrax {why}; it offers {', '.join(GRADIENTS)}"
    options = dict(gradient.options)
    checkpoints = options.pop("checkpoints", None) if gradient.name == "recursive" else None
    if options:
        return f"diffrax's {gradient.name} takes no option {', '.join(options)}"
    if checkpoints is not None and (isinstance(checkpoints, bool) or not isinstance(checkpoints, int)):
        return f"checkpoints must be a whole number, got {checkpoints!r}"
    if checkpoints is not None and checkpoints < 1:
        return f"checkpoints must be at least 1, got {checkpoints}"
    return None


def _refused_pair(method: str, gradient: str, stepping: str, saves: int) -> str | None:
    if stepping == "adaptive" and not METHODS[method].adaptive:
        return f"diffrax's {method} estimates no error, so `adaptive` cannot drive it; use `fixed`"
    if stepping not in ("fixed", "adaptive"):
        return f"diffrax is driven by fixed or adaptive steps here, not by {stepping}"
    if gradient == "adjoint" and method in ("leapfrog_midpoint", "reversible_heun") and saves > 1:
        return (
            f"on the way back diffrax carries {method}'s memory of the step before over a saved time, where the "
            "adjoint jumps, so that the gradient is silently wrong; use saves: 1, direct or recursive"
        )
    return None


def _refused_place(dtype: str, device: str) -> str | None:
    if dtype not in ("float32", "float64"):
        return f"diffrax is run in float32 and float64 here, not in {dtype}"
    platform = device.partition(":")[0]
    if platform not in ("cpu", "cuda"):
        return f"jax is run on cpu and cuda here, not on {platform}"
    if platform == "cuda" and not any(importlib.util.find_spec(f"jax_cuda{n}_plugin") for n in (12, 13)):
        return "the jax installed here has no CUDA; pip install 'jax[cuda13]' for one that has"
    return None


@dataclass
class DiffraxTrial:
    """One problem under one of diffrax's solvers, gradients and steppings, as the gauges hold it.

    jax is configured, for the whole process, when this is made. Every method blocks until the device is done. Compiling
    happens where a function is first called, so call `first_call` before anything else.

    Raises:
        Refusal: the problem is a torch module.
        SolveError: by the methods below; the solve did not get to its end.
    """

    problem: Spec
    method: str
    gradient: Spec
    stepping: Spec
    batch: int = 1
    seed: int = 0
    dtype: str = "float64"
    device: str = "cpu"
    threads: int = 1
    tf32: bool = False
    ys: Any = field(default=None, init=False)  # the solution at the saved times
    grads: Any = field(default=None, init=False)  # (dL/dy0, dL/dθ)
    _stats: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        configure(self.dtype, self.device, self.threads, self.tf32)
        self.control: Fixed | Adaptive = steppings.build(self.stepping)
        self.bound: JaxBound = bind(
            self.problem, batch=self.batch, seed=self.seed, dtype=self.dtype, device=self.device
        )

    def forward(self) -> None:
        """Solve, without a gradient; the solution is in `ys`."""
        self.ys, result, self._stats = self._run(self._forward)
        self._require(result)

    def forward_plain(self) -> None:
        """The same: nothing is ever kept beside it."""
        self.forward()

    def both(self) -> None:
        """Solve, take the loss and its gradient, in one compiled call; they are in `ys` and `grads`."""
        (_, (self.ys, result, self._stats)), self.grads = self._run(self._both)
        self._require(result)

    def clear(self) -> None:
        """Drop the solution and the gradients of an earlier round."""
        self.ys = self.grads = None

    def sync(self) -> None:
        """Nothing to wait for: every call has waited already."""

    def first_call(self, clock: Callable[[], float] = time.perf_counter) -> float:
        """Seconds of the first solve and gradient in this process: tracing, compiling, learning N, running."""
        start = clock()
        self.both()
        return clock() - start

    def answer(self) -> tuple[Array, Array, Array]:
        """(y(t1), dL/dy0, dL/dθ), flat, in float64, θ in the order of the torch side's parameters."""
        import numpy as np

        if self.grads is None:
            self.both()
        y0_bar, theta_bar = self.grads
        flat = [np.asarray(part, dtype=np.float64).reshape(-1) for part in (self.ys[-1], y0_bar, *theta_bar)]
        return flat[0], flat[1], np.concatenate(flat[2:]) if theta_bar else np.zeros(0)

    def counts(self) -> dict[str, int]:
        """Steps, evaluations and cotangents, counted at run time by an identity on f's output, in passes of its own."""
        tally = Tally()
        f = counted(self.bound.f, tally)
        self._run(self._compiled(self._solve_only(f)))
        forward = tally.take()
        self._run(self._compiled(self._solve_and_pull(f)))
        total = tally.take()
        nfe_forward, nfe_backward = forward["call"], total["call"] - forward["call"]
        vjps = total["cotangent"] + total["tangent"] - forward["tangent"]
        steps = self.reported()
        return {
            "steps": steps["steps"],
            "rejected": steps["rejected"],
            "nfe_forward": nfe_forward,
            "nfe_backward": nfe_backward,
            "vjp_backward": vjps,
            "work": nfe_forward + nfe_backward + 2 * vjps,
        }

    def reported(self) -> dict[str, int]:
        """What diffrax counts itself: accepted and rejected steps of the forward solve. It counts no evaluations."""
        if not self._stats:
            self.forward()
        return {
            "steps": int(self._stats["num_accepted_steps"]),
            "rejected": int(self._stats["num_rejected_steps"]),
        }

    def memory(self) -> dict[str, int]:
        """`peak_memory_bytes`, by another gauge than torch's: see `GAUGE`."""
        if self.device == "cpu":
            return {"peak_memory_bytes": int(self._both.memory_analysis().temp_size_in_bytes)}
        self.clear()
        floor_bytes = self.bound.device.memory_stats()["bytes_in_use"]
        self.both()
        return {"peak_memory_bytes": int(self.bound.device.memory_stats()["peak_bytes_in_use"] - floor_bytes)}

    def bare(self, counts: dict[str, int]) -> JaxBareLoop:
        """The bare loop of the same f with these counts, jitted."""
        return JaxBareLoop(self.bound, counts)

    def mesh(self) -> tuple[float, ...]:
        """The times between steps of the forward solve, from t0 to t1."""
        return self._mesh if isinstance(self.control, Fixed) else self._learnt[1]

    @property
    def checkpoints(self) -> int | None:
        """How many checkpoints `recursive` keeps; None for the other gradients."""
        if self.gradient.name != "recursive":
            return None
        given: int | None = dict(self.gradient.options).get("checkpoints")
        return given or floor(-1.5 + sqrt(2 * self._tries + 0.25)) + 1

    @cached_property
    def _forward(self) -> Any:
        return self._compiled(self._solve_only(self.bound.f))

    @cached_property
    def _both(self) -> Any:
        return self._compiled(self._solve_and_pull(self.bound.f))

    def _compiled(self, function: Callable[..., Any]) -> Any:
        import jax

        _ = self._max_steps  # what must be learnt by running is learnt before anything is traced
        # Compiled beforehand, so that the memory analysis is of the very thing that runs.
        return jax.jit(function).lower((self.bound.y0, self.bound.theta)).compile()

    def _run(self, compiled: Any) -> Any:
        import jax

        try:
            return jax.block_until_ready(compiled((self.bound.y0, self.bound.theta)))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" in str(error):
                raise MemoryError(str(error).partition("\n")[0]) from None
            raise SolveError(f"diffrax: {_sentence(str(error))}") from None

    def _require(self, result: Any) -> None:
        import diffrax

        if not bool(diffrax.is_successful(result)):
            raise SolveError(f"diffrax: {_sentence(diffrax.RESULTS[result])}")

    def _solve_only(self, f: JaxField) -> Callable[..., Any]:
        def solve(given: Any) -> Any:
            return self._solve(f, *given)

        return solve

    def _solve_and_pull(self, f: JaxField) -> Callable[..., Any]:
        import jax

        def loss(given: Any) -> Any:
            solved = self._solve(f, *given)
            return self.bound.loss(solved[0]), solved

        return jax.value_and_grad(loss, has_aux=True)

    def _solve(self, f: JaxField, y0: Any, theta: Any) -> Any:
        """(solution at the saved times, result, statistics), under the trial's own gradient."""
        import diffrax

        ts = self.bound.ts
        saveat = diffrax.SaveAt(t0=True, ts=list(ts[1:-1]) or None, t1=True)
        solved = self._diffeqsolve(f, y0, theta, saveat, self._adjoint(), self._max_steps)
        return solved.ys, solved.result, {k: v for k, v in solved.stats.items() if k != "max_steps"}

    def _diffeqsolve(self, f: JaxField, y0: Any, theta: Any, saveat: Any, adjoint: Any, max_steps: int) -> Any:
        import diffrax

        return diffrax.diffeqsolve(
            diffrax.ODETerm(f),
            self._solver(),
            t0=self.bound.ts[0],
            t1=self.bound.ts[-1],
            dt0=None if isinstance(self.control, Fixed) else self._first_step(f, y0, theta),
            y0=y0,
            args=theta,
            saveat=saveat,
            stepsize_controller=self._controller(),
            adjoint=adjoint,
            max_steps=max_steps,
            throw=False,  # the result is looked at afterwards: throwing would put a callback into what is timed
        )

    def _solver(self) -> Any:
        import diffrax

        solver = getattr(diffrax, class_name(self.method))
        if isinstance(self.control, Adaptive) or not issubclass(solver, diffrax.AbstractImplicitSolver):
            return solver()
        import optimistix

        tolerance = 1e-10 if self.dtype == "float64" else 1e-5
        return solver(root_finder=optimistix.Chord(rtol=tolerance, atol=tolerance, norm=optimistix.rms_norm))

    def _controller(self) -> Any:
        import diffrax
        import numpy as np

        control = self.control
        if isinstance(control, Fixed):
            return diffrax.StepTo(np.asarray(self._mesh, self.dtype))
        # Exponents on the last three errors, as odebench's own controllers have them, in diffrax's terms.
        p, i, d = {"i": (0, 1, 0), "pi": (0.4, 0.3, 0), "pid": (-2 / 9, 2 / 9, 1 / 18)}[control.controller]
        landing = np.asarray(self.bound.ts[1:-1], self.dtype)
        return diffrax.PIDController(
            rtol=control.rtol,
            atol=control.atol,
            pcoeff=p,
            icoeff=i,
            dcoeff=d,
            safety=control.safety,
            factormin=control.min_factor,
            factormax=control.max_factor,
            step_ts=landing if landing.size else None,
        )

    def _adjoint(self) -> Any:
        import diffrax

        if self.gradient.name == "direct":
            return diffrax.DirectAdjoint()
        if self.gradient.name == "recursive":
            return diffrax.RecursiveCheckpointAdjoint(checkpoints=self.checkpoints)
        # What goes wrong on the way back has no other way out than to be thrown.
        if isinstance(self.control, Adaptive):
            return diffrax.BacksolveAdjoint(max_steps=self.control.max_steps, throw=True)
        import numpy as np

        forward = self._mesh[-1] > self._mesh[0]
        nodes = np.asarray(self._mesh if forward else [-t for t in self._mesh], self.dtype)
        return diffrax.BacksolveAdjoint(stepsize_controller=_retrace(nodes[::-1]), throw=True)

    def _first_step(self, f: JaxField, y0: Any, theta: Any) -> Any:
        """Hairer, Nørsett & Wanner I, II.4, as odebench's own `Adaptive.first`; two evaluations."""
        import jax
        from jax import numpy as jnp

        control, ts = self.control, self.bound.ts
        assert isinstance(control, Adaptive)
        span, sign = abs(ts[-1] - ts[0]), 1.0 if ts[-1] > ts[0] else -1.0
        if control.first_step is not None:
            return sign * min(control.first_step, span)
        y, theta = jax.lax.stop_gradient((y0, theta))
        t, order = jnp.asarray(ts[0], y.dtype), METHODS[self.method].error_order or 1
        scale = control.atol + control.rtol * jnp.abs(y)

        def size(x: Any) -> Any:
            return jnp.sqrt(jnp.mean((x / scale) ** 2))

        k = f(t, y, theta)
        d0, d1 = size(y), size(k)
        h0 = jnp.minimum(jnp.where(jnp.minimum(d0, d1) < 1e-5, 1e-6, 0.01 * d0 / d1), span)
        d2 = size(f(t + sign * h0, y + sign * h0 * k, theta) - k) / h0
        largest = jnp.maximum(d1, d2)
        h1 = jnp.where(largest <= 1e-15, jnp.maximum(1e-6, h0 * 1e-3), (0.01 / largest) ** (1 / order))
        h = jnp.minimum(jnp.minimum(100 * h0, h1), span)
        return sign * jnp.where(jnp.isfinite(h) & (h > 0), h, min(1e-6, span))

    @cached_property
    def _mesh(self) -> tuple[float, ...]:
        import numpy as np

        assert isinstance(self.control, Fixed)
        nodes = (*(tick.t for tick in self.control.mesh(self.bound.ts)), self.bound.ts[-1])
        if len(set(np.asarray(nodes, self.dtype).tolist())) < len(nodes):
            raise SolveError(f"diffrax keeps time in {self.dtype}, in which {len(nodes) - 1} steps do not all move it")
        return nodes

    @property
    def _tries(self) -> int:
        """How many steps the forward solve tries, rejected ones included."""
        return len(self._mesh) - 1 if isinstance(self.control, Fixed) else self._learnt[0]

    @property
    def _max_steps(self) -> int:
        # A little more than was learnt: another compilation may round, accept and reject differently.
        return self._tries if isinstance(self.control, Fixed) else self._tries + 2 + self._tries // 20

    @cached_property
    def _learnt(self) -> tuple[int, tuple[float, ...]]:
        """(tries, times between accepted steps) of one adaptive solve without a gradient."""
        import diffrax
        import jax
        import numpy as np

        assert isinstance(self.control, Adaptive)
        limit = self.control.max_steps
        saveat = diffrax.SaveAt(t0=True, steps=True, fn=lambda t, y, args: None)

        def solve(given: Any) -> Any:
            solved = self._diffeqsolve(self.bound.f, *given, saveat, diffrax.ForwardMode(), limit)
            return solved.ts, solved.result, solved.stats["num_steps"], solved.stats["num_accepted_steps"]

        times, result, tries, accepted = self._run(jax.jit(solve))
        self._require(result)
        return int(tries), tuple(np.asarray(times, np.float64)[: int(accepted) + 1].tolist())


def class_name(method: str) -> str:
    """`reversible_heun` -> `ReversibleHeun`."""
    if method not in METHODS:
        raise OptionError(f"diffrax has no ODE solver {method!r}{did_you_mean(method, METHODS)}")
    return "".join(part.capitalize() for part in method.split("_"))


def _sentence(message: str) -> str:
    """The first line that says something of what equinox or XLA said."""
    lines = [line.strip() for line in message.splitlines() if line.strip(" -")]
    raised = [line.partition(":")[2].strip() for line in lines if "EquinoxRuntimeError:" in line]
    return (raised or lines or ["the solve failed"])[0]


def _retrace(nodes: Any) -> Any:
    """A step-size controller that goes through `nodes` from wherever it is started.

    diffrax solves back from each saved time to the one before; its StepTo insists on starting at its own first node.
    """
    import diffrax
    from jax import numpy as jnp

    class Retrace(diffrax.AbstractStepSizeController):  # type: ignore[misc]
        ts: Any

        def wrap(self, direction: Any) -> Any:
            return Retrace(self.ts * direction)

        def init(self, terms: Any, t0: Any, t1: Any, *rest: Any) -> Any:
            at = jnp.searchsorted(self.ts, t0, side="right")
            return self.ts[at], at + 1

        def adapt_step_size(self, t0: Any, t1: Any, y0: Any, y1: Any, args: Any, error: Any, order: Any, at: Any) -> Any:
            return True, t1, self.ts[at], False, at + 1, diffrax.RESULTS.successful

    return Retrace(jnp.asarray(nodes))
