"""The gradients odebench holds. Importing this registers them; nothing here imports torch."""

from __future__ import annotations

from odebench.errors import OptionError
from odebench.gradients.adjoint import Backsolve
from odebench.gradients.direct import Direct
from odebench.gradients.recall import Invert, Recompute, StoreAll
from odebench.gradients.sweep import Sweep
from odebench.registry import gradient

__all__ = ["Backsolve", "Direct", "Invert", "Recompute", "StoreAll", "Sweep"]


@gradient(
    "direct",
    aliases=("naive", "backprop"),
    reference="Discretise-then-optimise; backpropagation through the solver",
)
def direct() -> Direct:
    """Backpropagation through every step: exact, memory grows with steps × stages."""
    return Direct()


@gradient(
    "adjoint",
    aliases=("backsolve",),
    reference="R. T. Q. Chen et al., Neural ordinary differential equations, NeurIPS 2018 (arXiv 1806.07366)",
)
def adjoint() -> Backsolve:
    """The continuous adjoint, solved backwards in time: memory O(1) in steps, inexact."""
    return Backsolve()


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
