"""diffrax under the gauges: what is timed, counted and weighed of a solve. jax is imported when a trial is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import odebench.controllers  # noqa: F401  registers the steppings
from odebench.peers.diffrax_solve import Solve, require, run
from odebench.peers.jax_field import JaxBareLoop, JaxBound, Tally, bind, configure, counted
from odebench.registry import steppings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from odebench.peers.jax_field import JaxField
    from odebench.spec import Spec

    Array = NDArray[np.float64]


@dataclass
class DiffraxTrial:
    """One problem under one of diffrax's solvers, gradients and steppings, as the gauges hold it.

    jax is configured, for the whole process, when this is made. Every method blocks until the device is done, and each
    function is compiled where it is first called.

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
        self.bound: JaxBound = bind(
            self.problem, batch=self.batch, seed=self.seed, dtype=self.dtype, device=self.device
        )
        self.solve = Solve(self.bound, self.method, self.gradient, steppings.build(self.stepping), self.dtype)

    def forward(self) -> None:
        """Solve, without a gradient; the solution is in `ys`."""
        self.ys, result, self._stats = self._run(self._forward)
        require(result)

    def forward_plain(self) -> None:
        """The same: nothing is ever kept beside it."""
        self.forward()

    def both(self) -> None:
        """Solve, take the loss and its gradient, in one compiled call; they are in `ys` and `grads`."""
        (_, (self.ys, result, self._stats)), self.grads = self._run(self._both)
        require(result)

    def clear(self) -> None:
        """Drop the solution and the gradients of an earlier round."""
        self.ys = self.grads = None

    def sync(self) -> None:
        """Nothing to wait for: every call has waited already."""

    def answer(self) -> tuple[Array, Array, Array]:
        """(y(t1), dL/dy0, dL/dθ), flat, in float64, θ in the order of the torch side's parameters."""
        import numpy as np

        if self.grads is None:
            self.both()
        y0_bar, theta_bar = self.grads
        flat = [np.asarray(part, dtype=np.float64).reshape(-1) for part in (self.ys[-1], y0_bar, *theta_bar)]
        return flat[0], flat[1], np.concatenate(flat[2:]) if theta_bar else np.zeros(0)

    def end(self, rtol: float, atol: float) -> Array:
        """y(t1), flat, in float64, of an adaptive solve at these tolerances; compiled once for them all.

        The compiler may round otherwise than where the tolerances are constants.
        """
        import numpy as np

        given = (self.bound.y0, self.bound.theta, *(np.asarray(each, self.dtype) for each in (rtol, atol)))
        y1, result = run(self._end, given)
        require(result)
        return np.array(y1, dtype=np.float64).reshape(-1)

    def counts(self) -> dict[str, int]:
        """Steps, evaluations and cotangents, counted at run time by an identity on f's output, in passes of its own."""
        tally = Tally()
        f = counted(self.bound.f, tally)
        self._run(self._compiled(self._solving(f)))
        forward = tally.take()
        self._run(self._compiled(self._pulling(f)))
        total = tally.take()
        nfe_forward, nfe_backward = forward["call"], total["call"] - forward["call"]
        vjps = total["cotangent"] + total["tangent"] - forward["tangent"]
        work = nfe_forward + nfe_backward + 2 * vjps
        counts = {"nfe_forward": nfe_forward, "nfe_backward": nfe_backward, "vjp_backward": vjps, "work": work}
        return self.reported() | counts

    def reported(self) -> dict[str, int]:
        """What diffrax counts itself: accepted and rejected steps of the forward solve. It counts no evaluations."""
        if not self._stats:
            self.forward()
        names = {"steps": "num_accepted_steps", "rejected": "num_rejected_steps"}
        return {ours: int(self._stats[theirs]) for ours, theirs in names.items()}

    def memory(self) -> dict[str, int]:
        """`peak_memory_bytes`, by another gauge than torch's: see `GAUGE`."""
        if self.device == "cpu":
            return {"peak_memory_bytes": int(self._both.memory_analysis().temp_size_in_bytes)}
        self.clear()
        floor = self.bound.device.memory_stats()["bytes_in_use"]
        self.both()
        return {"peak_memory_bytes": int(self.bound.device.memory_stats()["peak_bytes_in_use"] - floor)}

    def bare(self, counts: dict[str, int]) -> JaxBareLoop:
        """The bare loop of the same f with these counts, jitted."""
        return JaxBareLoop(self.bound, counts)

    def mesh(self) -> tuple[float, ...]:
        """The times between steps of the forward solve, from t0 to t1."""
        return self.solve.mesh

    @property
    def checkpoints(self) -> int | None:
        """How many checkpoints `recursive` keeps; None for the other gradients."""
        return self.solve.checkpoints

    @cached_property
    def _forward(self) -> Any:
        return self._compiled(self._solving(self.bound.f))

    @cached_property
    def _both(self) -> Any:
        return self._compiled(self._pulling(self.bound.f))

    @cached_property
    def _end(self) -> Any:
        import jax

        return jax.jit(lambda given: self.solve.end(*given))

    def _compiled(self, function: Callable[..., Any]) -> Any:
        import jax

        _ = self.solve.max_steps  # what must be learnt by running is learnt before anything is traced
        # Compiled beforehand, so that the memory analysis is of the very thing that runs.
        return jax.jit(function).lower((self.bound.y0, self.bound.theta)).compile()

    def _run(self, compiled: Any) -> Any:
        return run(compiled, (self.bound.y0, self.bound.theta))

    def _solving(self, f: JaxField) -> Callable[[Any], Any]:
        def solve(given: Any) -> Any:
            y0, theta = given
            return self.solve.solution(f, y0, theta)

        return solve

    def _pulling(self, f: JaxField) -> Callable[[Any], Any]:
        import jax

        def loss(given: Any) -> Any:
            y0, theta = given
            solved = self.solve.solution(f, y0, theta)
            return self.bound.loss(solved[0]), solved

        pull: Callable[[Any], Any] = jax.value_and_grad(loss, has_aux=True)
        return pull
