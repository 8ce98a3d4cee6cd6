"""torchsde in its ODE limit, as an SDE without noise. Importable without torch and without the library.

The module has the library's name and is not in its way: imports are absolute.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from odebench.controllers import Adaptive, Fixed
from odebench.errors import Divergence, Refusal, SolveError
from odebench.peers.method import Method
from odebench.registry import steppings
from odebench.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from odebench.problems import Bound

LIBRARY = "torchsde"
EXTRA = "torchsde"
HOMEPAGE = "https://github.com/google-research/torchsde"
REFERENCE = (
    "X. Li, T.-K. L. Wong, R. T. Q. Chen, D. Duvenaud, Scalable gradients for stochastic differential equations, "
    "AISTATS 2020; P. Kidger, J. Foster, X. Li, T. Lyons, Efficient and accurate gradients for neural SDEs, NeurIPS "
    "2021"
)

# Error estimates are by step doubling, one order above the scheme.
METHODS: dict[str, Method] = {
    "euler": Method(1, 2, adaptive=True, fixed=True, twin="euler"),
    "milstein": Method(1, 2, adaptive=True, fixed=True, twin="euler", note="Euler where there is no noise"),
    "euler_heun": Method(
        1, 2, adaptive=True, fixed=True, twin="euler", note="Euler where there is no noise: only the noise takes Heun"
    ),
    "heun": Method(2, 3, adaptive=True, fixed=True, twin="heun"),
    "midpoint": Method(2, 3, adaptive=True, fixed=True, twin="midpoint"),
    "log_ode": Method(2, 3, adaptive=True, fixed=True, twin="midpoint", note="midpoint where there is no noise"),
    "srk": Method(
        2,
        3,
        adaptive=True,
        fixed=True,
        note="SRA1 where there is no noise: slopes at 0 and 3/4 weighted 1/3 and 2/3; it evaluates the first one twice",
    ),
    "reversible_heun": Method(2, 3, adaptive=True, fixed=True, twin="reversible_heun"),
}

GRADIENTS: dict[str, str] = {
    "direct": "sdeint, backpropagated through",
    "adjoint": "sdeint_adjoint, solved back by the method that `adjoint_method` may be for it (see NOTE)",
    "reversible": "sdeint_adjoint with reversible_heun and adjoint_reversible_heun",
}

NOTE = (
    "An SDE library in its ODE limit: additive noise of zero channels. All of its machinery runs (diffusion, product "
    "with the increments, queries of a BrownianInterval that is told the step length), on tensors without entries; "
    "that is overhead of its own, and it has no path for ODEs. f is evaluated once more at the start, to check its "
    "shape. It adds up its time step by step, so that 0.1 ten times gives an eleventh step of 1e-16, at the other end "
    "on the way back, and reversible gradients wrong by 1e-4: here dt is longer by some units in the last place, just "
    "enough that both ways take the steps of the mesh; where no such dt can be (a shorter last step) reversible is "
    "refused. Times are float64 on the CPU whatever the state is. Saved times on the mesh are exact up to rounding; "
    "between steps it interpolates linearly, hence adaptive solves with saves are refused. Adaptive steps compare one "
    "step with two halves, carry on with the halves and start at the library's 1e-3; growth is at most 1.4 a step. "
    "The adjoint is solved back by the same method, but milstein and srk by euler, log_ode and reversible_heun by "
    "midpoint: the library allows no other. It solves forward in time only. It counts nothing itself."
)

# Of `adaptive`: taken here so that the refusal below says why.
STEPPING_OPTIONS = ("dense",)

# sde_type of each forward method, and what solves its adjoint back.
_ITO = ("euler", "milstein", "srk")
_BACK = {"milstein": "euler", "srk": "euler", "log_ode": "midpoint", "reversible_heun": "midpoint"}
# The library's own default, and its smallest step lowered: at that it would give up error control and go on.
_FIRST_STEP = 1e-3
_SMALLEST_OF_SPAN = 1e-13
_TYPICAL_OF_SPAN = 1e-3


def refusal(method: str, gradient: Spec, stepping: Spec, *, saves: int, dtype: str, device: str) -> str | None:
    """Why torchsde cannot do this, in one sentence, or None."""
    if gradient.name not in GRADIENTS:
        return f"torchsde has no `{gradient.name}` gradient; it has {', '.join(GRADIENTS)}"
    if gradient.name == "reversible" and method != "reversible_heun":
        return f"torchsde's {method} cannot be undone; its `reversible` gradient is for reversible_heun"
    if stepping.name == "adaptive":
        return _refuse_adaptive(gradient, steppings.build(stepping), saves)
    misfit = steppings.build(stepping).misfit(saves)
    return str(misfit) if misfit else None


def _refuse_adaptive(gradient: Spec, control: Adaptive, saves: int) -> str | None:
    if gradient.name == "reversible":
        return "torchsde keeps no record of adaptive steps, so that it would undo others than it took; use `fixed`"
    if saves > 1 or control.dense:
        return "torchsde interpolates linearly between its adaptive steps; use one save without `dense`, or `fixed`"
    own = {name: value for name, value in vars(Adaptive()).items() if name not in ("rtol", "atol", "first_step")}
    given = [name for name, value in own.items() if getattr(control, name) != value]
    if given:
        return f"torchsde's step control takes rtol, atol and first_step only, not {', '.join(given)}"
    return None


@dataclass(frozen=True)
class _Still:
    """An SDE as torchsde takes one, without noise: f reshaped to rows, and a diffusion of no channels."""

    f: Callable[[Tensor, Tensor], Tensor]
    nothing: Tensor  # shape (batch, components, 0)
    sde_type: str
    noise_type: str = "additive"  # the one kind that all methods take

    def g(self, t: Tensor, y: Tensor) -> Tensor:
        return self.nothing


def solve(method: str, gradient: Spec, stepping: Spec, bound: Bound, f: nn.Module) -> Tensor:
    """The solution at `bound.ts`, shape (len(ts), *y0.shape), differentiable by torchsde's own gradient.

    Raises:
        Refusal: time runs backwards, or the mesh has a shorter step where torchsde could not follow it.
        Divergence: the error estimate is not finite.
    """
    import torch

    library: Any = import_module(LIBRARY)
    if bound.ts[-1] < bound.ts[0]:
        raise Refusal("torchsde solves forward in time only")
    y0 = bound.y0.reshape(len(bound.y0), -1)
    nothing = y0.new_zeros((*y0.shape, 0))
    sde = _Still(_rows(f, bound.y0), nothing, "ito" if method in _ITO else "stratonovich")
    arguments, dt = _steps(steppings.build(stepping), bound.ts, gradient.name)
    levy = {"srk": "space-time", "log_ode": "foster"}.get(method, "none")
    noise = library.BrownianInterval(
        t0=bound.ts[0], t1=bound.ts[-1], size=(len(y0), 0), dtype=y0.dtype, device=y0.device, entropy=0, dt=dt,
        levy_area_approximation=levy,
    )  # fmt: skip
    ts = torch.tensor(bound.ts, dtype=torch.float64)
    try:
        if gradient.name == "direct":
            ys = library.sdeint(sde, y0, ts, bm=noise, method=method, **arguments)
        else:
            ys = _adjoint(sde, y0, ts, noise, method, gradient.name, bound.params, arguments)
    except AssertionError as error:
        raise fault(error) from error
    solution: Tensor = ys.reshape(len(ts), *bound.y0.shape)
    return solution


def reported(method: str, gradient: Spec, stepping: Spec, bound: Bound, f: nn.Module) -> dict[str, int]:
    """Nothing: torchsde keeps no counts."""
    return {}


def fault(error: AssertionError) -> SolveError:
    """What an assertion of torchsde's means, those of the solve back too."""
    if "nans" in str(error):
        return Divergence("the error estimate is not a number (torchsde)")
    return SolveError(f"torchsde: {str(error) or 'an assertion failed'}")


def _adjoint(
    sde: _Still, y0: Tensor, ts: Tensor, noise: Any, method: str, gradient: str, params: Any, arguments: dict[str, Any]
) -> Tensor:
    library: Any = import_module(LIBRARY)
    back = "adjoint_reversible_heun" if gradient == "reversible" else _BACK.get(method, method)
    tolerances = {f"adjoint_{name}": arguments[name] for name in ("adaptive", "rtol", "atol") if name in arguments}
    with warnings.catch_warnings():
        # Said in NOTE: reversible_heun is solved back here by another method, for a continuous adjoint.
        warnings.filterwarnings("ignore", message=r"method='reversible_heun', but|A limitation of the current method")
        ys: Tensor = library.sdeint_adjoint(
            sde, y0, ts, bm=noise, method=method, adjoint_method=back, adjoint_params=params, **arguments, **tolerances
        )
    return ys


def _rows(f: nn.Module, like: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """f as torchsde calls it: a state of two axes, and times that are float64 on the CPU."""
    import torch

    plain = like.dim() == 2
    shape, dtype, device = like.shape, like.dtype, like.device
    ready = dtype == torch.float64 and device.type == "cpu"

    def drift(t: Tensor, y: Tensor) -> Tensor:
        if not ready:
            t = torch.scalar_tensor(float(t), dtype=dtype, device=device)
        slope: Tensor = f(t, y) if plain else f(t, y.reshape(shape)).reshape(y.shape)
        return slope

    return drift


def _steps(control: Any, ts: tuple[float, ...], gradient: str) -> tuple[dict[str, Any], float]:
    """(torchsde's arguments, the step length that the Brownian motion is told)."""
    span = ts[-1] - ts[0]
    if isinstance(control, Adaptive):
        first = min(_FIRST_STEP if control.first_step is None else control.first_step, span)
        smallest = _SMALLEST_OF_SPAN * span
        arguments = {"adaptive": True, "rtol": control.rtol, "atol": control.atol, "dt": first, "dt_min": smallest}
        # Left to guess, it takes the length of one query for typical, and a sliver before the end recurses for ever.
        return arguments, span * _TYPICAL_OF_SPAN
    dt = step_length(control, ts)
    if dt is None:
        raise Refusal("torchsde does not land on saved times, and these are not a whole number of steps apart")
    if gradient == "reversible" and not _even(control, ts):
        raise Refusal("torchsde would take the shorter step at the other end on its way back; use `steps`")
    return {"dt": dt}, dt


@lru_cache(maxsize=64)
def step_length(control: Fixed, ts: tuple[float, ...]) -> float | None:
    """The `dt` with which torchsde takes as many steps as the mesh has, in each interval and both ways; None if none.

    The step of the mesh itself, if its sums are exact enough, or one longer by at most a few roundings of the time: a
    step that is a hair too short leaves a sliver at the end.
    """
    mesh = control.mesh(ts)
    lands = [index + 1 for index, tick in enumerate(mesh) if tick.lands]
    h = max(tick.dt for tick in mesh)
    even = _even(control, ts)
    if len(ts) > 2 and not even:
        return None
    grain = math.ulp(max(abs(ts[0]), abs(ts[-1])))
    for dt in (h, *(h + grain * 2.0**k for k in range(-6, 4))):
        if _counts(ts, dt) != lands:
            continue
        back = [_counts((-end, -start), dt) for start, end in pairwise(ts)] if even else []
        if all(count == [len(mesh) // (len(ts) - 1)] for count in back):
            return dt
    return None


def _counts(ts: tuple[float, ...], dt: float) -> list[int]:
    """How many steps torchsde has taken when it is past each saved time: its own loop, without the steps."""
    taken, counts, t = 0, [], ts[0]
    for target in ts[1:]:
        while t < target:
            t = min(t + dt, ts[-1])
            taken += 1
        counts.append(taken)
    return counts


def _even(control: Fixed, ts: tuple[float, ...]) -> bool:
    sizes = [tick.dt for tick in control.mesh(ts)]
    return max(sizes) - min(sizes) <= 1e-9 * max(sizes)
