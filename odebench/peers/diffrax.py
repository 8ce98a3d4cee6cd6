"""diffrax: ODE solvers in jax, compiled whole. What it offers, and what it is refused for; the trial is next door.

Importing this imports neither jax nor diffrax.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from odebench.errors import did_you_mean
from odebench.peers.diffrax_trial import DiffraxTrial
from odebench.peers.method import Method

if TYPE_CHECKING:
    from odebench.spec import Spec

__all__ = ["DiffraxTrial"]

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
GRADIENT_OPTIONS = {"recursive": ("checkpoints",)}

# Of `adaptive`, beside those that every library takes.
STEPPING_OPTIONS = ("dense",)

NOTE = (
    "The whole solve is compiled by jax.jit; first_call_seconds holds the compilation. Time and gradient come from one "
    "jitted value_and_grad, as diffrax is used in training: wall_seconds is that call, forward_seconds a jitted solve "
    "alone, and backward_seconds their difference, round by round. "
    "Fixed steps are StepTo on odebench's own mesh: ConstantStepSize would divide the span evenly instead of "
    "shortening the last step. Adaptive steps are PIDController with the factors and exponents of the suite, landing "
    "on saved times by step_ts, or with `dense` stepping over them and interpolating, which diffrax does unless told "
    "otherwise; it accepts an error below 1 and not at 1, never shrinks the step after an accepted one, and grows it "
    "at most by max_factor from one that was cut short to land. The first step is Hairer's, worked out and counted "
    "here and given as dt0, since with dt0=None diffrax 0.7.2 always starts with 0.01. "
    "How many steps an adaptive solve tries is learnt from one plain solve: `recursive` then takes "
    "floor(-1.5 + sqrt(2N + 0.25)) + 1 checkpoints for N tries where none are asked for, and max_steps is N and a "
    "twentieth. Even with all checkpoints diffrax recomputes each step once on the way back. "
    "In float32 time is float32 too. Implicit solvers on fixed steps find their roots by Chord to 1e-10 (1e-5 in "
    "float32): VeryChord, the default, gives up after its second iteration. "
    "BacksolveAdjoint's error norm runs over state, adjoint and parameters together; with saved times in between it "
    "goes on with reversible_heun's second track from before the saved time, which costs the gradient an order or two."
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
        or _refused_stepping(method, stepping)
        or _refused_memory(method, gradient, saves)
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
    checkpoints = dict(gradient.options).get("checkpoints")
    if checkpoints is not None and (isinstance(checkpoints, bool) or not isinstance(checkpoints, int)):
        return f"checkpoints must be a whole number, got {checkpoints!r}"
    if checkpoints is not None and checkpoints < 1:
        return f"checkpoints must be at least 1, got {checkpoints}"
    return None


def _refused_stepping(method: str, stepping: Spec) -> str | None:
    if stepping.name == "adaptive" and not METHODS[method].adaptive:
        return f"diffrax's {method} estimates no error, so `adaptive` cannot drive it; use `fixed`"
    if stepping.name not in ("fixed", "adaptive"):
        return f"diffrax is driven by fixed or adaptive steps here, not by {stepping.name}"
    return None


def _refused_memory(method: str, gradient: Spec, saves: int) -> str | None:
    if method != "leapfrog_midpoint" or gradient.name != "adjoint" or saves == 1:
        return None
    return (
        "on the way back diffrax carries leapfrog_midpoint's earlier state over the jump that a loss makes at a saved "
        "time, and the gradient is wrong by tenths without a word; use saves: 1, direct or recursive"
    )


def _refused_place(dtype: str, device: str) -> str | None:
    if dtype not in ("float32", "float64"):
        return f"diffrax is run in float32 and float64 here, not in {dtype}"
    platform = device.partition(":")[0]
    if platform not in ("cpu", "cuda"):
        return f"jax is run on cpu and cuda here, not on {platform}"
    if platform == "cuda" and not any(importlib.util.find_spec(f"jax_cuda{n}_plugin") for n in (12, 13)):
        return "the jax installed here has no CUDA; pip install 'jax[cuda13]' for one that has"
    return None
