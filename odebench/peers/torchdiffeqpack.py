"""TorchDiffEqPack, the home of ACA and MALI. Importable without torch and without the library."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from odebench.controllers import Adaptive, Fixed
from odebench.errors import Refusal
from odebench.peers.method import Method
from odebench.registry import steppings
from odebench.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from odebench.problems import Bound

LIBRARY = "TorchDiffEqPack"
EXTRA = "torchdiffeqpack"
HOMEPAGE = "https://github.com/juntang-zhuang/TorchDiffEqPack"
REFERENCE = (
    "J. Zhuang et al., Adaptive checkpoint adjoint method for gradient estimation in neural ODE, ICML 2020 (ACA); J. "
    "Zhuang et al., MALI: a memory efficient and reverse accurate integrator for Neural ODEs, ICLR 2021"
)

_REPLAYED = "its fixed meshes go through `predefine_steps`, error estimate included"

METHODS: dict[str, Method] = {
    "Euler": Method(1, fixed=True, twin="euler"),
    "RK2": Method(2, fixed=True, twin="midpoint", note="the explicit midpoint rule"),
    "RK4": Method(4, fixed=True, twin="rk4", note="the classic scheme"),
    "RK12": Method(2, 2, adaptive=True, fixed=True, twin="heun", note=f"Heun with Euler inside; {_REPLAYED}"),
    "RK23": Method(
        3,
        3,
        adaptive=True,
        fixed=True,
        twin="bosh3",
        note=f"Bogacki–Shampine, 4 evaluations a step: its last slope is not used again; {_REPLAYED}",
    ),
    "Dopri5": Method(
        5,
        5,
        adaptive=True,
        fixed=True,
        twin="dopri5",
        note=f"7 evaluations a step: its last slope is not used again; {_REPLAYED}",
    ),
    "ode23s": Method(2, 3, adaptive=True, note="Rosenbrock; works in float32 with a batch of 1 only"),
    "sym12async": Method(2, 2, adaptive=True, twin="alf", note="asynchronous leapfrog without damping"),
    "fixedstep_sym12async": Method(2, fixed=True, twin="alf", note="asynchronous leapfrog without damping"),
}

GRADIENTS: dict[str, str] = {
    "direct": "odesolve_endtime, backpropagated through; odesolve where more than the end is saved",
    "aca": "odesolve_adjoint",
    "reversible": "odesolve_adjoint_sym12, which is MALI",
}

NOTE = (
    "It casts its times to float32, and on a fixed mesh each coefficient times the step with them. So meshes are "
    "solved in float64 with time counted in steps, one step being a whole number that makes halves, sixths or ninths "
    "of it exact in float32; that costs one multiplication per evaluation of f, and is true float64. Dopri5 has no "
    "such number. Adaptive steps are float64, but the time they add up to is not: against tight tolerances the end "
    "was off by 1e-8 to 1e-5, gradients going back use the rounded steps, and tolerances below 1e-6 are refused. Its "
    "`cubic` interpolation is linear, so that it gives saved times on meshes only, where they are nodes and exact; "
    "both adjoint forms give the end alone. The last adaptive step is cut to land on the end without error control. "
    "Its limit of steps would jump to the end in silence and is set out of reach, so that a state which is not finite "
    "shrinks the step for ever. It would stop before a shorter last step, which is refused. ACA fails on Euler, RK2 "
    "and RK4. Each accepted adaptive step is computed twice; going back costs two evaluations a step and stage. It is "
    "given a module that holds the trained parameters alone, since a frozen one breaks its way back, and new options "
    "each time, since it changes them; going back twice through one solve fails. It reports accepted steps and counts "
    "no evaluations."
)

# Of `adaptive`: taken here so that the refusal below says why.
STEPPING_OPTIONS = ("dense",)

_ALF = ("sym12async", "fixedstep_sym12async")
# How long a step is on the clock of a float64 fixed mesh, so that every coefficient times it is exact in float32.
_UNITS = {"Euler": 1.0, "RK2": 2.0, "RK4": 6.0, "RK12": 2.0, "RK23": 36.0, "fixedstep_sym12async": 2.0}
# Nodes are whole numbers up to here in float32.
_LARGEST = 2.0**24
# Below this a sum of steps in float32 is worse than the tolerance.
_FINEST = 1e-6


def refusal(method: str, gradient: Spec, stepping: Spec, *, saves: int, dtype: str, device: str) -> str | None:
    """Why TorchDiffEqPack cannot do this, in one sentence, or None."""
    if gradient.name not in GRADIENTS:
        return f"TorchDiffEqPack has no `{gradient.name}` gradient; it has {', '.join(GRADIENTS)}"
    if method == "ode23s":
        return "TorchDiffEqPack's ode23s works in float32 with a batch of 1 only, and fails on everything else"
    fault = _refuse_gradient(method, gradient.name, saves)
    if fault:
        return fault
    control = steppings.build(stepping)
    if isinstance(control, Adaptive):
        fault = _refuse_adaptive(method, control, saves, dtype)
    else:
        fault = _refuse_fixed(method, gradient.name, control, saves, dtype)
    return fault or _refuse_for_want()


def _refuse_for_want() -> str | None:
    lacking = [name for name in ("numpy", "matplotlib") if find_spec(name) is None]
    if not lacking or find_spec(LIBRARY) is None:
        return None
    return f"TorchDiffEqPack imports {' and '.join(lacking)} without asking for it; pip install 'odebench[{EXTRA}]'"


def _refuse_gradient(method: str, gradient: str, saves: int) -> str | None:
    if gradient == "reversible" and method not in _ALF:
        return f"TorchDiffEqPack's {method} cannot be undone; MALI is for {' and '.join(_ALF)}"
    if gradient == "aca" and method in _ALF:
        return f"TorchDiffEqPack refuses ACA for {method}; use reversible, which is MALI"
    if gradient == "aca" and not METHODS[method].adaptive:
        return f"TorchDiffEqPack's ACA fails in its backward pass for {method}, which estimates no error"
    if gradient != "direct" and saves > 1:
        return f"TorchDiffEqPack's {GRADIENTS[gradient].split(',')[0]} gives the end alone, whatever it is asked for"
    return None


def _refuse_adaptive(method: str, control: Adaptive, saves: int, dtype: str) -> str | None:
    if not METHODS[method].adaptive:
        return f"TorchDiffEqPack's {method} estimates no error, so `adaptive` cannot drive it; use `fixed`"
    if saves > 1 or control.dense:
        return "TorchDiffEqPack interpolates linearly between adaptive steps; use one save without `dense`, or `fixed`"
    own = {name: value for name, value in vars(Adaptive()).items() if name not in ("rtol", "atol", "first_step")}
    given = [name for name, value in own.items() if getattr(control, name) != value]
    if given:
        return f"TorchDiffEqPack's step control takes rtol, atol and first_step only, not {', '.join(given)}"
    if dtype == "float64" and max(control.rtol, control.atol) < _FINEST:
        return (
            f"TorchDiffEqPack adds up its adaptive steps in float32, which cannot honour tolerances below {_FINEST:g}"
        )
    return None


def _refuse_fixed(method: str, gradient: str, control: Fixed, saves: int, dtype: str) -> str | None:
    if not METHODS[method].fixed:
        return f"TorchDiffEqPack's {method} chooses its own steps; use `adaptive`, or fixedstep_sym12async"
    if gradient == "aca":
        return f"TorchDiffEqPack's ACA takes no given steps, and {method} chooses its own; use `adaptive`"
    if method == "Dopri5" and dtype == "float64":
        return "TorchDiffEqPack rounds Dopri5's coefficients to float32 on a fixed mesh; use `adaptive` or float32"
    return control.misfit(saves)


@dataclass(frozen=True)
class _Clock:
    """The time that the library sees, s, and the problem's, t = origin + rate·s."""

    s: tuple[float, ...]  # the saved times
    h: float | None  # length of a step, None to have it chosen
    origin: float = 0.0
    rate: float | None = None  # None: both are the same
    nodes: tuple[float, ...] = ()  # ends of the steps, for a method that would choose its own


def solve(method: str, gradient: Spec, stepping: Spec, bound: Bound, f: nn.Module) -> Tensor:
    """The solution at `bound.ts`, shape (len(ts), *y0.shape), differentiable by TorchDiffEqPack's own gradient.

    Raises:
        Refusal: the mesh has a shorter step.
    """
    import torch

    pack: Any = import_module(LIBRARY)
    clock, field, options = _prepare(method, stepping, bound, f)
    if gradient.name == "aca":
        end = pack.odesolve_adjoint(field, bound.y0, options)
    elif gradient.name == "reversible":
        end = pack.odesolve_adjoint_sym12(field, bound.y0, options)
    elif len(bound.ts) == 2 and not clock.nodes:
        end = pack.odesolve_endtime(field, bound.y0, options)
    elif len(bound.ts) == 2:
        end = _march(pack.odesolve_endtime, field, bound.y0, options, clock)
    else:
        options["t_eval"] = list(clock.s)
        if clock.nodes:
            saved: Tensor = _march(pack.odesolve, field, bound.y0, options, clock)
        else:
            saved = pack.odesolve(field, bound.y0, options)
        return saved
    return torch.stack([bound.y0, end])


def reported(method: str, gradient: Spec, stepping: Spec, bound: Bound, f: nn.Module) -> dict[str, int]:
    """The accepted steps that TorchDiffEqPack returns from a forward solve."""
    import torch

    pack: Any = import_module(LIBRARY)
    clock, field, options = _prepare(method, stepping, bound, f)
    with torch.no_grad():
        y0: Any = bound.y0
        solver = pack.odesolve_endtime(field, y0, options, return_solver=True)
        if method in _ALF:  # its state is (y, v), which only the functions around the solver set up
            y0 = (y0, field(options["t0"], y0))
        given = {"predefine_steps": list(clock.nodes)} if clock.nodes else {}
        _, steps = solver.integrate(y0, t0=options["t0"], return_steps=True, **given)
    return {"steps": len(steps)}


def _prepare(method: str, stepping: Spec, bound: Bound, f: nn.Module) -> tuple[_Clock, nn.Module, dict[str, Any]]:
    control = steppings.build(stepping)
    options: dict[str, Any] = {"method": method, "neval_max": 10**12}
    if isinstance(control, Adaptive):
        clock = _Clock(bound.ts, control.first_step)
        options |= {"rtol": control.rtol, "atol": control.atol}
    else:
        clock = _counted(method, control, bound)
    options |= {"h": clock.h, "t0": clock.s[0], "t1": clock.s[-1]}
    return clock, _module(f, bound, clock), options


def _counted(method: str, control: Fixed, bound: Bound) -> _Clock:
    import torch

    mesh, ts = control.mesh(bound.ts), bound.ts
    sizes = [abs(tick.dt) for tick in mesh]
    if max(sizes) - min(sizes) > 1e-9 * max(sizes):
        raise Refusal("TorchDiffEqPack takes equal steps only, and would stop before a shorter last one; use `steps`")
    adaptive, count = METHODS[method].adaptive, len(mesh)
    if len(ts) == 2 and bound.y0.dtype != torch.float64:
        nodes = (*(tick.t for tick in mesh[1:]), ts[-1]) if adaptive else ()
        return _Clock(ts, sizes[0], nodes=nodes)
    unit = _UNITS.get(method, 1.0)
    if count * unit > _LARGEST:
        raise Refusal(f"TorchDiffEqPack counts time in float32, which {count} steps overflow")
    lands = (0, *(index + 1 for index, tick in enumerate(mesh) if tick.lands))
    nodes = tuple(unit * (index + 1) for index in range(count)) if adaptive else ()
    rate = (ts[-1] - ts[0]) / (count * unit)
    return _Clock(tuple(unit * index for index in lands), unit, ts[0], rate, nodes)


def _march(entry: Any, field: nn.Module, y0: Tensor, options: dict[str, Any], clock: _Clock) -> Tensor:
    """Over the given steps, by the library's own loop, which its functions do not reach."""
    solver = entry(field, y0, options, return_solver=True)
    times = options.get("t_eval", [options["t1"]])
    ys: Tensor = solver.integrate(y0, t0=options["t0"], predefine_steps=list(clock.nodes), t_eval=times)
    return ys


def _module(f: nn.Module, bound: Bound, clock: _Clock) -> nn.Module:
    """f with the trained parameters alone, on the problem's own time and in the state's dtype."""
    import torch
    from torch import nn

    dtype, device, rate, params = bound.y0.dtype, bound.y0.device, clock.rate, bound.params
    origin = torch.scalar_tensor(clock.origin, dtype=torch.float64, device=device)

    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for index, parameter in enumerate(params):
                self.register_parameter(str(index), parameter)  # type: ignore[arg-type]

        def forward(self, t: Any, y: Tensor) -> Tensor:
            if not isinstance(t, torch.Tensor):
                t = torch.scalar_tensor(t, dtype=torch.float64, device=device)
            if rate is None:
                same: Tensor = f(t.to(dtype), y)
                return same
            scaled: Tensor = f(torch.add(origin, t, alpha=rate).to(dtype), y).mul(rate)
            return scaled

    return Field()
