"""One solve of diffrax's: its solver, step sizes, gradient and mesh, put together from a suite's words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import floor, sqrt
from typing import TYPE_CHECKING, Any

from odebench.controllers import Adaptive, Fixed
from odebench.errors import SolveError
from odebench.peers.jax_field import JaxBound

if TYPE_CHECKING:
    from odebench.peers.jax_field import JaxField
    from odebench.spec import Spec

# p, i and d coefficients that put the same exponents on the last three errors as odebench's own controllers.
_FILTERS = {"i": (0, 1, 0), "pi": (0.4, 0.3, 0), "pid": (-2 / 9, 2 / 9, 1 / 18)}


@dataclass(frozen=True)
class Solve:
    """A bound problem under a solver, a gradient and a stepping of diffrax's. Reckons time in `dtype`, as diffrax does.

    Raises:
        SolveError: where steps cannot be told apart in `dtype`, or the plain solve that N is learnt from fails.
    """

    bound: JaxBound
    method: str
    gradient: Spec
    control: Fixed | Adaptive
    dtype: str
    tolerances: tuple[Any, Any] | None = None  # (rtol, atol) instead of the control's

    def solution(self, f: JaxField, y0: Any, theta: Any) -> Any:
        """(solution at the saved times, result, statistics), differentiable by the gradient."""
        import diffrax

        ts = self.bound.ts
        saveat = diffrax.SaveAt(t0=True, ts=list(ts[1:-1]) or None, t1=True)
        solved = self._diffeqsolve(f, y0, theta, saveat, self._adjoint(), self.max_steps)
        return solved.ys, solved.result, {k: v for k, v in solved.stats.items() if k != "max_steps"}

    def end(self, y0: Any, theta: Any, rtol: Any, atol: Any) -> tuple[Any, Any]:
        """(y(t1), result) of an adaptive solve at other tolerances, which may be traced; without a gradient."""
        import diffrax

        assert isinstance(self.control, Adaptive)
        other, saveat, limit = replace(self, tolerances=(rtol, atol)), diffrax.SaveAt(t1=True), self.control.max_steps
        solved = other._diffeqsolve(self.bound.f, y0, theta, saveat, diffrax.ForwardMode(), limit)
        return solved.ys[-1], solved.result

    @cached_property
    def mesh(self) -> tuple[float, ...]:
        """The times between steps of the forward solve, from t0 to t1."""
        if isinstance(self.control, Adaptive):
            return self._learnt[1]
        import numpy as np

        nodes = (*(tick.t for tick in self.control.mesh(self.bound.ts)), self.bound.ts[-1])
        if len(set(np.asarray(nodes, self.dtype).tolist())) < len(nodes):
            raise SolveError(f"diffrax keeps time in {self.dtype}, in which {len(nodes) - 1} steps do not all move it")
        return nodes

    @property
    def max_steps(self) -> int:
        """What the compiled solve may try: the steps where they are known, else a little more than was learnt."""
        # Another compilation may round, accept and reject differently.
        return self._tries if isinstance(self.control, Fixed) else self._tries + 2 + self._tries // 20

    @property
    def checkpoints(self) -> int | None:
        """How many checkpoints `recursive` keeps; None for the other gradients."""
        if self.gradient.name != "recursive":
            return None
        given: int | None = dict(self.gradient.options).get("checkpoints")
        return given or floor(-1.5 + sqrt(2 * self._tries + 0.25)) + 1

    @property
    def _tries(self) -> int:
        return len(self.mesh) - 1 if isinstance(self.control, Fixed) else self._learnt[0]

    @cached_property
    def _learnt(self) -> tuple[int, tuple[float, ...]]:
        """(steps tried, times between accepted ones) of one adaptive solve without a gradient."""
        import diffrax
        import jax
        import numpy as np

        assert isinstance(self.control, Adaptive)
        limit = self.control.max_steps
        saveat = diffrax.SaveAt(t0=True, steps=True, fn=lambda t, y, args: None)

        def solve(given: Any) -> Any:
            y0, theta = given
            solved = self._diffeqsolve(self.bound.f, y0, theta, saveat, diffrax.ForwardMode(), limit)
            return solved.ts, solved.result, solved.stats["num_steps"], solved.stats["num_accepted_steps"]

        times, result, tries, accepted = run(jax.jit(solve), (self.bound.y0, self.bound.theta))
        require(result)
        return int(tries), tuple(np.asarray(times, np.float64)[: int(accepted) + 1].tolist())

    def _diffeqsolve(self, f: JaxField, y0: Any, theta: Any, saveat: Any, adjoint: Any, max_steps: int) -> Any:
        import diffrax

        solver = self._solver()
        return diffrax.diffeqsolve(
            diffrax.ODETerm(f),
            solver,
            t0=self.bound.ts[0],
            t1=self.bound.ts[-1],
            dt0=None if isinstance(self.control, Fixed) else self._first_step(f, y0, theta, solver),
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
            return diffrax.StepTo(np.asarray(self.mesh, self.dtype))
        p, i, d = _FILTERS[control.controller]
        rtol, atol = self.tolerances or (control.rtol, control.atol)
        landing = np.asarray(() if control.dense else self.bound.ts[1:-1], self.dtype)
        return diffrax.PIDController(
            rtol=rtol,
            atol=atol,
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
        import numpy as np

        if self.gradient.name == "direct":
            return diffrax.DirectAdjoint()
        if self.gradient.name == "recursive":
            return diffrax.RecursiveCheckpointAdjoint(checkpoints=self.checkpoints)
        # What goes wrong on the way back has no other way out than to be thrown.
        if isinstance(self.control, Adaptive):
            return diffrax.BacksolveAdjoint(max_steps=self.control.max_steps, throw=True)
        # diffrax solves in a time that always grows.
        sign = 1 if self.mesh[-1] > self.mesh[0] else -1
        nodes = np.asarray([sign * t for t in reversed(self.mesh)], self.dtype)
        return diffrax.BacksolveAdjoint(stepsize_controller=_retrace(nodes), throw=True)

    def _first_step(self, f: JaxField, y0: Any, theta: Any, solver: Any) -> Any:
        """Hairer, Nørsett & Wanner I, II.4, as odebench's own `Adaptive.first`; two evaluations."""
        import diffrax
        import jax
        from jax import numpy as jnp

        control, ts = self.control, self.bound.ts
        assert isinstance(control, Adaptive)
        span, sign = abs(ts[-1] - ts[0]), 1.0 if ts[-1] > ts[0] else -1.0
        if control.first_step is not None:
            return sign * min(control.first_step, span)
        y, theta = jax.lax.stop_gradient((y0, theta))
        t, order = jnp.asarray(ts[0], y.dtype), solver.error_order(diffrax.ODETerm(f))
        rtol, atol = self.tolerances or (control.rtol, control.atol)
        scale = atol + rtol * jnp.abs(y)

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


def class_name(method: str) -> str:
    """`reversible_heun` -> `ReversibleHeun`."""
    return "".join(part.capitalize() for part in method.split("_"))


def run(compiled: Callable[[Any], Any], given: Any) -> Any:
    """Call, and wait until it is done.

    Raises:
        MemoryError: the device ran out.
        SolveError: something was thrown inside.
    """
    import jax

    try:
        return jax.block_until_ready(compiled(given))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            raise MemoryError(str(error).partition("\n")[0]) from None
        raise SolveError(f"diffrax: {_sentence(str(error))}") from None


def require(result: Any) -> None:
    """Raise SolveError, in diffrax's own words, unless `result` is a success."""
    import diffrax

    if not bool(diffrax.is_successful(result)):
        raise SolveError(f"diffrax: {_sentence(diffrax.RESULTS[result])}")


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

        def adapt_step_size(self, t0: Any, t1: Any, *rest: Any) -> Any:
            at = rest[-1]
            return True, t1, self.ts[at], False, at + 1, diffrax.RESULTS.successful

    return Retrace(jnp.asarray(nodes))
