"""The gradients odebench holds. Importing this registers them; nothing here imports torch."""

from __future__ import annotations

from odebench.errors import OptionError, UnknownName
from odebench.gradients.adjoint import Backsolve
from odebench.gradients.direct import Direct
from odebench.gradients.forward import Forward
from odebench.gradients.pairing import misfit
from odebench.gradients.recall import Invert, Recompute, StoreAll
from odebench.gradients.sweep import Sweep
from odebench.registry import gradient, solvers
from odebench.spec import Spec
from odebench.types import Stepper

__all__ = ["Backsolve", "Direct", "Forward", "Invert", "Recompute", "StoreAll", "Sweep", "misfit"]


@gradient(
    "direct",
    aliases=("naive", "backprop"),
    reference="Discretise-then-optimise; backpropagation through the solver",
)
def direct(control: bool = False) -> Direct:
    """Backpropagation through every step: exact, memory grows with steps × stages.

    With `control` also through the choice of adaptive steps, which then count as functions of y0 and the parameters.
    """
    return Direct(control)


@gradient(
    "adjoint",
    aliases=("backsolve",),
    reference="R. T. Q. Chen et al., Neural ordinary differential equations, NeurIPS 2018 (arXiv 1806.07366); "
    "`seminorm`: P. Kidger, R. T. Q. Chen, T. Lyons, ICML 2021 (arXiv 2009.09457)",
)
def adjoint(
    seminorm: bool = False, solver: Spec | None = None, rtol: float | None = None, atol: float | None = None
) -> Backsolve:
    """The continuous adjoint, solved backwards in time: memory O(1) in steps, inexact.

    Raises:
        OptionError: `solver` is unknown or none of odebench's own, or a tolerance is out of range.
    """
    return Backsolve(False, seminorm, _scheme(solver), rtol, atol)


@gradient(
    "interpolated",
    reference="C. Rackauckas et al., A comparison of automatic differentiation and continuous sensitivity analysis "
    "for derivatives of differential equation solutions (arXiv 1812.01892): interpolating adjoint",
)
def interpolated(
    seminorm: bool = False, solver: Spec | None = None, rtol: float | None = None, atol: float | None = None
) -> Backsolve:
    """The continuous adjoint along the kept forward solution, interpolated: no drift, N states kept, inexact.

    Raises:
        OptionError: `solver` is unknown or none of odebench's own, or a tolerance is out of range.
    """
    return Backsolve(True, seminorm, _scheme(solver), rtol, atol)


@gradient(
    "aca",
    reference="J. Zhuang et al., Adaptive checkpoint adjoint method for gradient estimation in Neural ODE, ICML 2020 "
    "(arXiv 2006.02493)",
)
def aca() -> Sweep:
    """Every accepted state kept, each step taped anew: exact, memory one step's graph and N states."""
    return Sweep(StoreAll())


@gradient(
    "recursive",
    reference="A. Griewank, A. Walther, Algorithm 799: revolve, ACM TOMS 26 (2000)",
)
def recursive(checkpoints: int | None = None) -> Sweep:
    """Binomial checkpointing: exact, memory one step's graph and c states, the rest recomputed.

    `checkpoints` counts the start too; without it about sqrt(2N) are kept, and no step is recomputed more than twice.

    Raises:
        OptionError: fewer than one checkpoint.
    """
    if checkpoints is not None and checkpoints < 1:
        raise OptionError(f"checkpoints must be at least 1, the start; got {checkpoints}", ("checkpoints",))
    return Sweep(Recompute(checkpoints))


@gradient(
    "reversible",
    aliases=("mali",),
    reference="J. Zhuang et al., MALI, ICLR 2021 (arXiv 2102.04668); P. Kidger et al., NeurIPS 2021 "
    "(arXiv 2105.13493); S. McCallum, J. Foster (arXiv 2410.11648)",
)
def reversible() -> Sweep:
    """Steps undone in closed form: exact to rounding, memory one step's graph. With alf this is MALI."""
    return Sweep(Invert())


@gradient(
    "symplectic",
    reference="T. Matsubara, Y. Miyatake, T. Yaguchi, Symplectic adjoint method, NeurIPS 2021 (arXiv 2102.09750)",
)
def symplectic() -> Sweep:
    """Every state kept, steps transposed stage by stage: exact, memory one evaluation's graph and N states."""
    return Sweep(StoreAll(), by_stage=True)


@gradient(
    "forward",
    reference="A. Griewank, A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, chapter 3; E. Hairer, "
    "S. P. Nørsett, G. Wanner, Solving Ordinary Differential Equations I, section I.14",
)
def forward(directions: int = 64) -> Forward:
    """Forward sensitivities: exact, nothing kept for a backward pass, work grows with the number of derivatives.

    `directions` is the most that may be wanted: components of y0, the whole batch's, and of the parameters.

    Raises:
        OptionError: fewer than one direction.
    """
    if directions < 1:
        raise OptionError(f"directions must be at least 1; got {directions}", ("directions",))
    return Forward(directions)


def _scheme(solver: Spec | None) -> Stepper | None:
    """What goes back by a scheme of its own."""
    if solver is None:
        return None
    try:
        scheme = solvers.build(solver)
    except OptionError as error:
        raise OptionError(str(error), ("solver", *error.path)) from error
    except UnknownName as error:
        raise OptionError(str(error), ("solver",)) from error
    if not isinstance(scheme, Stepper):
        raise OptionError(f"the way back is walked by one of odebench's own schemes, and {solver} is none", ("solver",))
    return scheme
