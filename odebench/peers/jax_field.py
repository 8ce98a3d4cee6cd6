"""Problems under jax: the array namespace, the bound problem, exact counts under jit, and the bare loop.

This file and `diffrax.py` are the only ones that name jax, and neither imports it before a function is called.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from odebench.errors import Refusal
from odebench.problems.binding import pose, rows_of
from odebench.problems.problem import Problem

if TYPE_CHECKING:
    from odebench.spec import Spec

    JaxField = Callable[[Any, Any, tuple[Any, ...]], Any]  # (t, y, theta) -> dy/dt


def configure(dtype: str, device: str, threads: int = 1, tf32: bool = False) -> None:
    """Set jax up for this process: precision, platform, threads, no pre-allocation.

    For workers only, and before anything else starts jax: XLA reads the variables of the environment once.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ["JAX_PLATFORMS"] = "cpu" if device == "cpu" else "cuda,cpu"
    os.environ["NPROC"] = str(threads)  # the size of XLA's thread pool on a CPU; else one for each core
    if threads == 1:
        flag, given = "--xla_cpu_multi_thread_eigen=false", os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = given if flag in given else f"{given} {flag}".strip()
    import jax

    jax.config.update("jax_enable_x64", dtype == "float64")
    # A GPU multiplies float32 matrices in TF32 unless told otherwise.
    jax.config.update("jax_default_matmul_precision", None if tf32 else "highest")


def module_refusal(problem: Spec) -> str | None:
    """Why jax cannot run this problem, or None. Needs neither torch nor jax.

    Raises:
        UnknownName, OptionError: as `pose` does.
    """
    if isinstance(pose(problem).problem, Problem):
        return None
    return (
        f"problem {problem.name} is a torch module, which jax cannot run; "
        "give it parameters(seed) and field(xp, t, y, theta) and every engine can"
    )


@dataclass(frozen=True)
class JaxBound:
    """A problem on a jax device: the same f, weights, start and saved times as torch's `Bound`.

    `theta` is in the order of `Problem.parameters`, which is that of `Bound.params`; `y0` has shape (batch, dim…);
    `loss` takes the solution at `ts`, shape (len(ts), batch, dim…).
    """

    f: JaxField
    theta: tuple[Any, ...]
    y0: Any
    ts: tuple[float, ...]
    loss: Callable[[Any], Any]

    @property
    def device(self) -> Any:
        """The jax device that holds it."""
        (device,) = self.y0.devices()
        return device


def bind(problem: Spec, *, batch: int, seed: int, dtype: str, device: str) -> JaxBound:
    """The problem that `problem` names, on a jax device. Call `configure` first.

    Raises:
        UnknownName, OptionError: as `pose` does.
        Refusal: its field is a torch module.
    """
    refused = module_refusal(problem)
    if refused:
        raise Refusal(refused)
    import jax
    import numpy as np

    posed, kind = pose(problem), np.dtype(dtype)
    platform, _, index = device.partition(":")
    place = jax.devices(platform)[int(index or 0)]
    arrays = jax_arrays()

    def put(value: Any) -> Any:
        return jax.device_put(np.asarray(value, dtype=np.float64).astype(kind), place)

    def f(t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        return posed.problem.field(arrays, t, y, theta)

    def loss(ys: Any) -> Any:
        if posed.own_loss:
            return posed.problem.loss(arrays, ys)
        return ((ys if posed.every_save else ys[-1]) ** 2).sum()

    theta = tuple(put(value) for value in posed.problem.parameters(seed).values())
    return JaxBound(f, theta, put(rows_of(posed.problem, batch, seed)), posed.ts, loss)


@cache
def jax_arrays() -> Any:
    """The array namespace of problems in jax.numpy, name for name that of `TorchArrays`."""
    import jax
    from jax import nn
    from jax import numpy as jnp
    from jax.scipy.linalg import expm

    class JaxArrays:
        sin, cos, exp, sqrt, tanh, sigmoid = jnp.sin, jnp.cos, jnp.exp, jnp.sqrt, jnp.tanh, nn.sigmoid
        relu, elu, silu = nn.relu, nn.elu, nn.silu

        @staticmethod
        def softplus(x: Any) -> Any:
            # torch's is x itself above 20, where log(1 + eˣ) still differs by up to 2e-9.
            return jnp.where(x > 20, x, jnp.log1p(jnp.exp(jnp.minimum(x, 20))))

        @staticmethod
        def gelu(x: Any) -> Any:
            return nn.gelu(x, approximate=False)

        @staticmethod
        def linear(x: Any, w: Any, b: Any = None) -> Any:
            # Contracting over w's last axis, instead of x @ w.T, leaves no transpose for the compiler to place.
            y = jax.lax.dot_general(x, w, (((x.ndim - 1,), (w.ndim - 1,)), ((), ())))
            return y if b is None else y + b

        @staticmethod
        def concat(parts: tuple[Any, ...]) -> Any:
            return jnp.concatenate(parts, -1)

        @staticmethod
        def expm(x: Any) -> Any:
            return expm(x)

        @staticmethod
        def stack(parts: tuple[Any, ...]) -> Any:
            return jnp.stack(parts, -1)

        @staticmethod
        def unstack(y: Any) -> tuple[Any, ...]:
            return tuple(y[..., i] for i in range(y.shape[-1]))

        @staticmethod
        def conv2d(x: Any, w: Any, b: Any) -> Any:
            y = jax.lax.conv_general_dilated(x, w, (1, 1), [(size // 2, size // 2) for size in w.shape[2:]])
            return y + b[:, None, None]

        @staticmethod
        def sum(x: Any) -> Any:
            return x.sum()

    return JaxArrays


@dataclass(eq=False)
class Tally:
    """Evaluations of f, and what passed through them backwards (cotangents) and forwards (tangents)."""

    hits: dict[str, int] = field(default_factory=lambda: {"call": 0, "cotangent": 0, "tangent": 0})

    def take(self) -> dict[str, int]:
        """The counts so far; starts again from 0."""
        taken, self.hits = self.hits, dict.fromkeys(self.hits, 0)
        return taken


def counted(f: JaxField, tally: Tally) -> JaxField:
    """f with an identity of jax's own on its output, which counts at run time, compiled or not.

    It counts what is executed: an evaluation that the compiler drops because nobody reads it is not counted, one that
    is recomputed is counted again, and a batched (vmapped) pass counts once.
    """
    tick = _tick()

    def observed(t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        return tick.bind(f(t, y, theta), kind="call", tally=tally)

    return observed


@cache
def _tick() -> Any:
    """A primitive rather than a custom_vjp: implicit solvers push tangents through f, recursive ones replay it."""
    import jax
    import numpy as np
    from jax.extend.core import Primitive
    from jax.interpreters import ad, batching, mlir

    tick = Primitive("odebench_tick")

    def run(x: Any, *, kind: str, tally: Tally) -> Any:
        def hit(_: Any) -> Any:
            tally.hits[kind] += 1
            return np.zeros((), x.dtype)

        # Only one number crosses over to Python: handing it whole arrays may deadlock on a CPU. What comes back is 0,
        # which the compiler cannot know; so the count and the value need one another, and neither is dropped alone.
        return x + jax.pure_callback(hit, jax.ShapeDtypeStruct((), x.dtype), x.reshape(-1)[0])

    def push(primals: Any, tangents: Any, *, kind: str, tally: Tally) -> Any:
        out, (tangent,) = tick.bind(*primals, kind=kind, tally=tally), tangents
        if type(tangent) is ad.Zero:
            return out, ad.Zero.from_primal_value(out)
        # A linear map is its own derivative: a tangent of a pullback is a pullback.
        return out, tick.bind(tangent, kind="tangent" if kind == "call" else kind, tally=tally)

    def pull(bar: Any, x: Any, *, kind: str, tally: Tally) -> Any:
        if type(bar) is ad.Zero:
            return [ad.Zero(x.aval)]
        return [tick.bind(bar, kind="cotangent" if kind == "tangent" else "tangent", tally=tally)]

    tick.def_abstract_eval(lambda x, **_: x)
    tick.def_impl(run)
    mlir.register_lowering(tick, mlir.lower_fun(run, multiple_results=False))
    ad.primitive_jvps[tick] = push
    ad.primitive_transposes[tick] = pull
    batching.primitive_batchers[tick] = lambda xs, axes, **options: (tick.bind(*xs, **options), axes[0])
    return tick


@dataclass(frozen=True)
class JaxBareLoop:
    """As many calls of f as a solve makes, jitted as one loop, on the fixed start with a fixed random cotangent.

    f's output is never fed back. That alone would let XLA see that every round computes the same and move the call out
    of the loop, through an `optimization_barrier` too. So after each round one entry of y, and one of the cotangent,
    has 0 times one entry of f's output added, in place; the 0 is an argument, which the compiler cannot know. The
    number of rounds is one as well, so that nothing is unrolled. The first call of each method compiles.
    """

    bound: JaxBound
    counts: dict[str, int]  # nfe_forward, nfe_backward, vjp_backward

    def forward(self) -> None:
        """`nfe_forward` calls; returns when they are done."""
        self._run(self._plain, self.counts["nfe_forward"])

    def both(self) -> None:
        """All calls, those that carry a cotangent together with their VJP in state and parameters."""
        vjps = self.counts["vjp_backward"]
        self._run(self._pulls, vjps)
        self._run(self._plain, max(0, self.counts["nfe_forward"] + self.counts["nfe_backward"] - vjps))

    def _run(self, loop: Any, rounds: int) -> None:
        import jax

        jax.block_until_ready(loop(rounds, *self._given))

    @cached_property
    def _given(self) -> tuple[Any, ...]:
        import jax
        import numpy as np

        y0 = self.bound.y0
        bar = np.random.Generator(np.random.PCG64(0)).standard_normal(y0.shape)
        t, zero, bar = (jax.device_put(np.asarray(x, y0.dtype), self.bound.device) for x in (self.bound.ts[0], 0, bar))
        return zero, t, y0, self.bound.theta, bar

    @cached_property
    def _plain(self) -> Any:
        import jax

        def plain(rounds: Any, zero: Any, t: Any, y: Any, theta: Any, bar: Any) -> Any:
            def once(_: Any, carried: Any) -> Any:
                out = self.bound.f(t, carried[0], theta)
                return _unmoved(carried[0], zero, out), out

            return jax.lax.fori_loop(0, rounds, once, (y, y))

        return jax.jit(plain)

    @cached_property
    def _pulls(self) -> Any:
        import jax

        def pulls(rounds: Any, zero: Any, t: Any, y: Any, theta: Any, bar: Any) -> Any:
            def once(_: Any, carried: Any) -> Any:
                y, bar, *_ = carried
                out, pull = jax.vjp(lambda y, theta: self.bound.f(t, y, theta), y, theta)
                # The cotangent must not rest either: its products with the weights would move out of the loop.
                return _unmoved(y, zero, out), _unmoved(bar, zero, out), out, pull(bar)

            return jax.lax.fori_loop(0, rounds, once, (y, bar, y, (y, theta)))

        return jax.jit(pulls)


def _unmoved(y: Any, zero: Any, out: Any) -> Any:
    first = (0,) * y.ndim
    return y.at[first].add(zero * out[first])
