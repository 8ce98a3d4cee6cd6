"""torchdiffeq: its solvers on the problems, meshes and tolerances of a suite. Importable without torch and without it.

The module has the library's name and is not in its way: imports are absolute.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odebench.controllers import Adaptive, Fixed
from odebench.errors import Divergence, Refusal, SolveError
from odebench.peers.method import Method
from odebench.registry import steppings
from odebench.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from odebench.problems import Bound
    from odebench.types import Mesh

LIBRARY = "torchdiffeq"
EXTRA = "torchdiffeq"
HOMEPAGE = "https://github.com/rtqichen/torchdiffeq"
REFERENCE = "R. T. Q. Chen, torchdiffeq (2018); R. T. Q. Chen et al., Neural ordinary differential equations, 2018"

_ADAMS = (
    "starts by three-eighths steps and a third-order formula, then climbs to eleventh; takes all steps for equal; "
    "stability, not order, decides where it can be used"
)
_ITERATED = f"{_ADAMS}; corrected until two iterates agree to rtol 1e-7, atol 1e-9, at most 4 times, else it only warns"
_STALE = (
    "its last slope is handed on as the slope at the new solution, which it is not, so that every step but the first "
    "begins with a stale slope: second order still, with a larger error than the tableau's own"
)

METHODS: dict[str, Method] = {
    "dopri8": Method(8, 8, adaptive=True, fixed=True, twin="dopri8", note="14 stages, the last one for dense output"),
    "dopri5": Method(5, 5, adaptive=True, fixed=True, twin="dopri5", note="error estimate by Shampine's weights"),
    "bosh3": Method(3, 3, adaptive=True, fixed=True, twin="bosh3"),
    "fehlberg2": Method(2, 2, adaptive=True, fixed=True, note=_STALE),
    "adaptive_heun": Method(2, 2, adaptive=True, fixed=True, note=_STALE),
    "euler": Method(1, fixed=True, twin="euler"),
    "midpoint": Method(2, fixed=True, twin="midpoint"),
    "heun2": Method(2, fixed=True, twin="heun"),
    "heun3": Method(3, fixed=True),
    "rk4": Method(4, fixed=True, twin="rk38", note="Kutta's 3/8 rule, not the classic scheme"),
    "explicit_adams": Method(4, fixed=True, note=_ADAMS),
    "implicit_adams": Method(4, fixed=True, note=_ITERATED),
    "fixed_adams": Method(4, fixed=True, note=f"the older name of implicit_adams; {_ITERATED}"),
    "scipy_solver": Method(12, 12, adaptive=True, note="SciPy's LSODA, f through NumPy; order varies up to 12"),
}

GRADIENTS: dict[str, str] = {
    "direct": "odeint, backpropagated through",
    "adjoint": "odeint_adjoint, solved back by the same method, mesh or tolerances",
}

# Of `adaptive`, beside those that every library takes.
STEPPING_OPTIONS = ("dense",)

NOTE = (
    "Adaptive solves step past the saved times and interpolate there by a quartic, for dopri8 too, whether `dense` is "
    "given or not; the native solvers land unless it is, so that with `dense` the twin interpolates as well. The step "
    "size follows an I controller and never shrinks after an accepted step; max_steps counts anew "
    "between two saved times. The first step is chosen inside the tape, so that the direct gradient carries a term "
    "for it, of the size of the tolerance. The adjoint's norm is the largest RMS of y, of its adjoint and of each "
    "parameter by itself; the solve back finds its own first step. On fixed meshes the adaptive methods are driven "
    "through the very nodes by `step_t` and an infinite tolerance, and still make the error estimate and the "
    "interpolant of every step; the others get the nodes by `grid_constructor`. Where t decreases, odeint_adjoint "
    "hands these options to the solve back with the wrong sign of t; put right here. It counts no evaluations; its "
    "callbacks tell steps. implicit_adams only warns where its iteration does not converge. scipy_solver detaches "
    "from autograd, hence adjoint only."
)

_ADAMS_NAMES = ("explicit_adams", "implicit_adams", "fixed_adams")
# Grows the step beyond any ratio of neighbouring steps, so that the nodes alone decide.
_UNBOUNDED = 1e9


def refusal(method: str, gradient: Spec, stepping: Spec, *, saves: int, dtype: str, device: str) -> str | None:
    """Why torchdiffeq cannot do this, in one sentence, or None."""
    known = METHODS[method]
    if gradient.name not in GRADIENTS:
        return f"torchdiffeq has no `{gradient.name}` gradient; it has {' and '.join(GRADIENTS)}"
    if method == "scipy_solver" and gradient.name == "direct":
        return "torchdiffeq's scipy_solver leaves autograd, so that nothing can be backpropagated; use adjoint"
    if stepping.name == "adaptive":
        return _refuse_adaptive(method, known, steppings.build(stepping))
    if not known.fixed:
        return f"torchdiffeq's {method} chooses its own steps; use `adaptive`"
    misfit = steppings.build(stepping).misfit(saves)
    return str(misfit) if misfit else None


def _refuse_adaptive(method: str, known: Method, control: Adaptive) -> str | None:
    if not known.adaptive:
        return f"torchdiffeq's {method} estimates no error, so `adaptive` cannot drive it; use `fixed`"
    if method == "scipy_solver":
        own = {name: value for name, value in vars(Adaptive()).items() if name not in ("rtol", "atol", "dense")}
        given = [name for name, value in own.items() if getattr(control, name) != value]
        return f"scipy_solver takes rtol and atol only, not {', '.join(given)}" if given else None
    if control.controller != "i":
        return f"torchdiffeq has an I controller only, not {control.controller}"
    return None


@dataclass(frozen=True)
class Prepared:
    """A solve whose options are made; calling it solves and gives ys, shape (len(ts), *y0.shape)."""

    f: nn.Module
    bound: Bound
    method: str
    adjoint: bool
    ts: Tensor
    arguments: dict[str, Any]  # rtol, atol, options
    back: dict[str, Any]  # the options of the solve back

    def __call__(self) -> Tensor:
        """Solve.

        Raises:
            Divergence: the state is not finite.
            SolveError: the step size underflowed, or the step limit was reached.
        """
        import torchdiffeq

        try:
            if self.adjoint:
                ys = torchdiffeq.odeint_adjoint(
                    self.f, self.bound.y0, self.ts, method=self.method, **self.arguments,
                    adjoint_params=self.bound.params, adjoint_options=self.back,
                )  # fmt: skip
            else:
                ys = torchdiffeq.odeint(self.f, self.bound.y0, self.ts, method=self.method, **self.arguments)
        except AssertionError as error:
            raise fault(error) from error
        if len(ys) != len(self.ts):
            raise SolveError(f"torchdiffeq's {self.method} gave up after {len(ys)} of {len(self.ts)} saved times")
        solution: Tensor = ys
        return solution


def fault(error: AssertionError) -> SolveError:
    """What an assertion of torchdiffeq's means; it states all its failures so, those of the solve back too."""
    said = str(error)
    # A step that is not finite is made 0 before it is called too small.
    if "non-finite" in said or said == "underflow in dt 0.0":
        return Divergence(f"f or the solution is not finite (torchdiffeq: {said.partition(':')[0]})")
    return SolveError(f"torchdiffeq: {said or 'an assertion failed'}")


def prepare(method: str, gradient: Spec, stepping: Spec, bound: Bound, f: nn.Module) -> Prepared:
    """The solve with all that a user would make once, before the first iteration.

    Times are float64 whatever the dtype of the state; torchdiffeq casts what it hands to f.

    Raises:
        Refusal: the mesh is not equidistant, and the method takes it to be.
    """
    import torch

    place, control = bound.y0.device, steppings.build(stepping)
    ts = torch.tensor(bound.ts, dtype=torch.float64, device=place)
    if isinstance(control, Adaptive):
        arguments, back = _searched(method, control, bound.ts)
    else:
        arguments, back = _known(method, control, bound.ts, place)
    return Prepared(f, bound, method, gradient.name == "adjoint", ts, arguments, back)


def solve(method: str, gradient: Spec, stepping: Spec, bound: Bound, f: nn.Module) -> Tensor:
    """The solution at `bound.ts`, shape (len(ts), *y0.shape), differentiable by torchdiffeq's own gradient.

    Raises:
        Refusal: the mesh is not equidistant, and the method takes it to be.
        Divergence, SolveError: as `Prepared` does.
    """
    return prepare(method, gradient, stepping, bound, f)()


def reported(method: str, gradient: Spec, stepping: Spec, bound: Bound, f: nn.Module) -> dict[str, int]:
    """What torchdiffeq's callbacks tell of one solve and its gradient: steps, forward and backward."""
    import torch

    if method == "scipy_solver":
        return {}
    watched, tallies = _watched(f, METHODS[method].adaptive)
    ys = prepare(method, gradient, stepping, bound, watched)()
    torch.autograd.grad(bound.loss(ys), (bound.y0, *bound.params), allow_unused=True)
    figures = {"steps": tallies["accept"], "rejected": tallies["reject"]}
    if gradient.name == "adjoint":
        figures |= {"steps_backward": tallies["accept_back"], "rejected_backward": tallies["reject_back"]}
    return figures


def _watched(f: nn.Module, adaptive: bool) -> tuple[nn.Module, dict[str, int]]:
    """f with torchdiffeq's callbacks, and where they tally. Fixed-grid solvers know `callback_step` alone."""
    from torch import nn

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f = f

        def forward(self, t: Tensor, y: Tensor) -> Any:
            return self.f(t, y)

    tallies = dict.fromkeys(("accept", "reject", "accept_back", "reject_back"), 0)

    def tally(name: str) -> Callable[..., None]:
        def called(t0: Tensor, y0: Tensor, dt: Tensor) -> None:
            tallies[name] += 1

        return called

    watched: Any = Watched()
    for suffix, back in (("", ""), ("_adjoint", "_back")):
        if adaptive:
            setattr(watched, f"callback_accept_step{suffix}", tally(f"accept{back}"))
            setattr(watched, f"callback_reject_step{suffix}", tally(f"reject{back}"))
        else:
            setattr(watched, f"callback_step{suffix}", tally(f"accept{back}"))
    return watched, tallies


def _searched(method: str, control: Adaptive, ts: tuple[float, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(arguments of a solve by tolerance, options of the solve back)."""
    tolerances = {"rtol": control.rtol, "atol": control.atol}
    if method == "scipy_solver":
        return tolerances, {}
    back: dict[str, Any] = {
        "safety": control.safety,
        "dfactor": control.min_factor,
        "ifactor": control.max_factor,
        "max_num_steps": control.max_steps,
    }
    options = dict(back)
    if control.first_step is not None:
        options["first_step"] = min(control.first_step, abs(ts[-1] - ts[0]))
    return {**tolerances, "options": options}, back


def _known(method: str, control: Fixed, ts: tuple[float, ...], place: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(arguments of a solve over a known mesh, options of the solve back)."""
    import torch

    mesh = control.mesh(ts)
    if method in _ADAMS_NAMES and not _even(mesh):
        raise Refusal(
            f"torchdiffeq's {method} takes all steps for equal, and a shorter one is among these; use `steps`"
        )
    nodes = torch.tensor([*(tick.t for tick in mesh), ts[-1]], dtype=torch.float64, device=place)
    # odeint_adjoint turns time around where it decreases, and never tells the options of the solve back.
    nodes_back = nodes if ts[-1] > ts[0] else -nodes
    if not METHODS[method].adaptive:
        back = {"grid_constructor": _between(nodes_back)}
        return {"options": {"grid_constructor": _between(nodes)}}, back
    # First step and growth exceed every gap, so that each step is cut at the next node, whatever its error.
    always = {"first_step": 2 * abs(ts[-1] - ts[0]), "ifactor": _UNBOUNDED}
    return {"rtol": 0.0, "atol": math.inf, "options": {"step_t": nodes, **always}}, {"step_t": nodes_back, **always}


def _even(mesh: Mesh) -> bool:
    sizes = [abs(tick.dt) for tick in mesh]
    return max(sizes) - min(sizes) <= 1e-9 * max(sizes)


def _between(nodes: Tensor) -> Callable[[Any, Tensor, Tensor], Tensor]:
    """What gives the nodes from t[0] to t[-1], in the order of t: the whole span, or one interval on the way back."""

    def grid(f: Any, y0: Tensor, t: Tensor) -> Tensor:
        inside = nodes[(nodes >= t.min()) & (nodes <= t.max())]
        return inside if inside[0] == t[0] else inside.flip(0)

    return grid
