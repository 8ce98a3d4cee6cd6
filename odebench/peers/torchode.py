"""torchode: its solvers on the problems, meshes and tolerances of a suite. Importable without torch and without it.

The module has the library's name and is not in its way: imports are absolute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odebench.controllers import Adaptive, Fixed
from odebench.errors import Divergence, SolveError
from odebench.peers.method import Method
from odebench.peers.torchode_steps import first_step
from odebench.registry import steppings
from odebench.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from odebench.problems import Bound

LIBRARY = "torchode"
EXTRA = "torchode"
HOMEPAGE = "https://github.com/martenlienen/torchode"
REFERENCE = "M. Lienen, S. Günnemann, torchode: A parallel ODE solver for PyTorch, 2022 (arXiv 2210.12375)"

METHODS: dict[str, Method] = {
    "euler": Method(1, fixed=True, twin="euler", note="makes no error estimate; not among the names of solve_ivp"),
    "heun": Method(2, 2, adaptive=True, fixed=True, twin="heun"),
    "dopri5": Method(5, 5, adaptive=True, fixed=True, twin="dopri5", note="error estimate by Shampine's weights"),
    "tsit5": Method(5, 5, adaptive=True, fixed=True, twin="tsit5"),
}

GRADIENTS: dict[str, str] = {
    "direct": "AutoDiffAdjoint",
    "adjoint": "JointBacksolveAdjoint; with joint=False BacksolveAdjoint",
}

# Of `adaptive`, beside those that every library takes.
STEPPING_OPTIONS = ("per_sample", "dense")

NOTE = (
    "Adaptive steps are chosen for each sample by itself, with direct and with joint=False, whether `per_sample` is "
    "given or not; the joint adjoint solves the batch as one system, forward too, and is refused there. Samples that "
    "are done are evaluated on with the others. The end is landed on, saved times before it are interpolated, whether "
    "`dense` is given or not: by a quartic with dopri5 and tsit5, a cubic with heun, a line with euler. direct counts "
    "step sizes as constants (backprop_through_step_size_control=False), as elsewhere here; by default the library "
    "differentiates them too. The adjoints' norm is one RMS over y, its adjoint and all parameters, which drowns the "
    "state's error in many parameters; a first step is also that of the solve back. joint=False holds an adjoint of "
    "every parameter for every sample, and calls f by sample under vmap. f gets one t for the batch: a field that "
    "reads t is refused where samples step for themselves. Times are float64 with direct, of the state's dtype with "
    "the adjoints. Fixed steps are made longer by some ulps where their sum would fall short of the end and cost one "
    "more, if that helps. A failure, which torchode returns, and drops on the way back, is raised. solve_ivp is not "
    "used: it takes no method object and no adjoint. Its own count of evaluations misses BacksolveAdjoint's on the way "
    "back (it says 0), and its list of solves back holds each twice when times are saved."
)


def refusal(
    method: str, gradient: Spec, stepping: Spec, *, saves: int, dtype: str, device: str, joint: bool = True
) -> str | None:
    """Why torchode cannot do this, in one sentence, or None. `joint` as in `prepare`."""
    if gradient.name not in GRADIENTS:
        return f"torchode has no `{gradient.name}` gradient, and no checkpointing; it has {' and '.join(GRADIENTS)}"
    if not joint and gradient.name != "adjoint":
        return "joint=False names torchode's second adjoint; it goes with `adjoint` only"
    if stepping.name == "adaptive":
        if not METHODS[method].adaptive:
            return (
                f"torchode's {method} estimates no error, and would keep its first step under `adaptive`; use `fixed`"
            )
        if gradient.name == "adjoint" and joint and steppings.build(stepping).per_sample:
            return (
                "torchode's joint adjoint solves the batch as one system, so that no sample has steps of its own; give "
                "joint: false"
            )
        return None
    if gradient.name == "adjoint" and dtype not in ("float32", "float64"):
        return f"torchode's adjoints sum up time in the dtype of the state, and {dtype} is too coarse for that"
    misfit = steppings.build(stepping).misfit(saves)
    return str(misfit) if misfit else None


@dataclass(frozen=True)
class Prepared:
    """A solve whose solver is made; calling it solves and gives ys, shape (len(ts), *y0.shape)."""

    bound: Bound
    solver: Any
    term: Any
    times: dict[str, Any]  # of an InitialValueProblem
    dt0: Tensor | None

    def __call__(self) -> Tensor:
        """Solve.

        Raises:
            Divergence: the solution is not finite.
            SolveError: the step limit was reached.
        """
        return self.solved()[0]

    def solved(self) -> tuple[Tensor, dict[str, Any]]:
        """(ys, torchode's statistics)."""
        import torch
        import torchode

        y0 = self.bound.y0
        # torchode knows (batch, features) only.
        problem = torchode.InitialValueProblem(y0.reshape(len(y0), -1), **self.times)
        solution = self.solver.solve(problem, term=self.term, dt0=self.dt0)
        _check(solution.status)
        ys = solution.ys.transpose(0, 1).reshape(-1, *y0.shape)
        # Without saved times in between torchode is not asked for any, which spares it the search for them.
        return (torch.cat([y0[None], ys]) if self.times["t_eval"] is None else ys), solution.stats


def prepare(
    method: str, gradient: Spec, stepping: Spec, bound: Bound, f: nn.Module, *, joint: bool = True, stats: bool = False
) -> Prepared:
    """The solve with all that a user would make once, before the first iteration.

    Args:
        method: one of METHODS.
        gradient: `direct` or `adjoint`.
        stepping: `fixed` or `adaptive`.
        bound: the problem.
        f: its field, possibly wrapped; a module whose parameters are `bound.params`.
        joint: whether `adjoint` is JointBacksolveAdjoint, or else BacksolveAdjoint.
        stats: let torchode count evaluations; off where it is timed.

    Raises:
        Refusal: f reads t and each sample has its own, a parameter needs no gradient, or a step is shorter than those
            after it.
    """
    import torch
    import torchode

    from odebench.peers.torchode_field import RowField, check_field

    control, adjoint = steppings.build(stepping), gradient.name == "adjoint"
    y0 = bound.y0
    kind = y0.dtype if adjoint else torch.float64  # the adjoints stack t with the state
    check_field(bound, f, adjoint, alone=isinstance(control, Adaptive) and not (adjoint and joint))
    term = torchode.ODETerm(RowField(f, y0.shape[1:]), with_stats=stats)
    solver = _solver(term, method, control, adjoint, joint)
    batch = len(y0)
    dt0 = first_step(control, bound.ts, str(kind).removeprefix("torch."), adjoint)
    ts = torch.tensor(bound.ts, dtype=kind, device=y0.device)
    times = {
        "t_start": ts[0].expand(batch),
        "t_end": ts[-1].expand(batch),
        "t_eval": ts.expand(batch, -1) if len(ts) > 2 else None,
    }
    rows = 1 if adjoint and joint else batch
    given = None if dt0 is None else torch.full((rows,), dt0, dtype=kind, device=y0.device)
    # The adjoints hold their term; only AutoDiffAdjoint wants it named.
    return Prepared(bound, solver, None if adjoint else term, times, given)


def solve(method: str, gradient: Spec, stepping: Spec, bound: Bound, f: nn.Module, *, joint: bool = True) -> Tensor:
    """The solution at `bound.ts`, shape (len(ts), *y0.shape), differentiable by torchode's own gradient.

    Raises:
        Refusal: as `prepare` does.
        Divergence, SolveError: as `Prepared` does.
    """
    return prepare(method, gradient, stepping, bound, f, joint=joint)()


def reported(
    method: str, gradient: Spec, stepping: Spec, bound: Bound, f: nn.Module, *, joint: bool = True
) -> dict[str, int]:
    """What torchode's statistics tell of one solve and its gradient: evaluations and steps, forward and backward.

    Steps are those of the sample that took the most. The solve back is listed once per interval, though torchode lists
    it twice; of BacksolveAdjoint's evaluations it knows nothing and says 0.
    """
    import torch

    ys, stats = prepare(method, gradient, stepping, bound, f, joint=joint, stats=True).solved()
    torch.autograd.grad(bound.loss(ys), (bound.y0, *bound.params), allow_unused=True)
    steps, rejected, evaluations = _told(stats)
    figures = {"steps": steps, "rejected": rejected, "nfe_forward": evaluations}
    if gradient.name == "adjoint":
        told = [_told(each) for each in {id(each): each for each in stats["backsolve"]}.values()]
        names = ("steps_backward", "rejected_backward", "nfe_backward")
        figures |= {name: sum(column) for name, column in zip(names, zip(*told, strict=True), strict=True)}
    return figures


def _told(stats: dict[str, Any]) -> tuple[int, int, int]:
    """(accepted steps, rejected steps, evaluations) of the sample that took the most trials."""
    longest = int(stats["n_steps"].argmax())
    tried, accepted = int(stats["n_steps"][longest]), int(stats["n_accepted"][longest])
    return accepted, tried - accepted, int(stats["n_f_evals"].max())


def _check(status: Tensor) -> None:
    """Raise what a status says; torchode returns it and raises nothing."""
    if not bool(status.any()):
        return
    from torchode.status_codes import INFINITE_NORM, Status

    worst = int(status.max())
    if worst == INFINITE_NORM:
        raise Divergence("the error estimate is not finite (torchode: INFINITE_NORM)")
    raise SolveError(f"torchode stopped with {Status(worst).name}; raise max_steps or the tolerance")


def _raise_on_the_way_back(loop: Any) -> None:
    """torchode drops the status of the solve back: a solve that stopped half-way would pass for a gradient."""
    solve_loop = loop.solve

    def checked(*args: Any, **kwargs: Any) -> Any:
        solution = solve_loop(*args, **kwargs)
        try:
            _check(solution.status)
        except SolveError as error:
            raise type(error)(f"on the way back: {error}") from error
        return solution

    loop.solve = checked


def _solver(term: Any, method: str, control: Adaptive | Fixed, adjoint: bool, joint: bool) -> Any:
    """torchode's solver with its gradient, made to raise what it would keep to itself on the way back."""
    import torchode

    step = {"euler": torchode.Euler, "heun": torchode.Heun, "dopri5": torchode.Dopri5, "tsit5": torchode.Tsit5}[method]
    # torchode calls it a failure to arrive with the last step allowed.
    limit = control.max_steps + 1 if isinstance(control, Adaptive) else None
    if not adjoint:
        return torchode.AutoDiffAdjoint(
            step(term), _controller(control), max_steps=limit, backprop_through_step_size_control=False
        )
    maker = torchode.JointBacksolveAdjoint if joint else torchode.BacksolveAdjoint
    solver = maker(term, step(term), _controller(control))
    loops = (solver.forward_loop, solver.backward_loop) if joint else (solver.forward_adjoint, solver.backward_adjoint)
    for loop in loops:
        loop.max_steps = limit
    _raise_on_the_way_back(loops[1])
    return solver


def _controller(control: Adaptive | Fixed) -> Any:
    import torchode

    if isinstance(control, Fixed):
        return torchode.FixedStepController()
    given = {"safety": control.safety, "factor_min": control.min_factor, "factor_max": control.max_factor}
    if control.controller == "i":
        made = torchode.IntegralController(control.atol, control.rtol, **given)
    else:
        # (p, i, d) whose filter has the exponents i + p + d, −(p + 2d) and d of odebench's.
        p, i, d = {"pi": (0.4, 0.3, 0.0), "pid": (-2 / 9, 2 / 9, 1 / 18)}[control.controller]
        made = torchode.PIDController(control.atol, control.rtol, p, i, d, **given)
    # The tolerances are made float32. They stay on the CPU: one is read back as a number in every step.
    return made.double()
