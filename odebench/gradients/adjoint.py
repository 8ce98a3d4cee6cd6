"""The continuous adjoint. Importable without torch; the backward solve is in `adjoint_function`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from odebench.controllers import Adaptive
from odebench.types import Controller, Selective, Stepper, Trace, can

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.gradients.guard import Guard
    from odebench.types import Field, Params


@dataclass(frozen=True)
class Backsolve:
    """The continuous adjoint: solve for y, dL/dy and dL/dθ together, backwards in time from the end.

    Memory is that of one augmented state; nothing is kept but the saved times, where y is reset to its stored value.
    Inexact: y is integrated backwards and drifts from the forward trajectory, and the adjoint equation is discretised
    anew. Fixed steps go back over the nodes of the forward mesh; adaptive ones are chosen by the same controller, its
    norm the largest of those of the three parts. With `interpolated` y is not solved for: it is read off the forward
    walk, whose states are kept, and only dL/dy and dL/dθ are integrated. Then y does not drift.

    `seminorm` leaves dL/dθ out of the norm: it is a quadrature, nothing is computed from it, and its error does not
    grow. `solver` goes back by a scheme of its own, `rtol` and `atol` with tolerances of its own; where the forward
    steps are fixed these make the backward ones adaptive. `control` goes back by steps of its own choice, and `norm`
    sizes the tuple (y, dL/dy, dL/dθ parameter by parameter) for it; both are for Python, and `odeint_adjoint`.

    Source: R. T. Q. Chen et al., Neural ordinary differential equations, NeurIPS 2018 (arXiv 1806.07366); `seminorm`:
    P. Kidger, R. T. Q. Chen, T. Lyons, "Hey, that's not an ODE": faster ODE adjoints via seminorms, ICML 2021 (arXiv
    2009.09457).
    """

    interpolated: bool = False
    seminorm: bool = False
    solver: Stepper | None = None
    rtol: float | None = None
    atol: float | None = None
    control: Controller | None = None
    norm: Callable[[tuple[Tensor, ...]], Any] | None = None
    guard: Guard | None = field(default=None, repr=False)

    def within(self, guard: Guard) -> Backsolve:
        """The same for one solve of somebody else's f."""
        return replace(self, guard=guard)

    def __post_init__(self) -> None:
        self.adaptive(Adaptive())

    def refusal(self, stepper: Stepper) -> str | None:
        """A scheme that lives off the structure of f: the augmented system has another."""
        if can(self.solver or stepper, Selective):
            return "its steps follow the structure of f, which the adjoint's augmented system has not; use aca"
        if self.rtol is self.atol is None:
            return None
        said = Adaptive().refusal(self.solver or stepper)
        return said and f"rtol and atol ask for an adaptive solve back, and the scheme that goes back cannot: {said}"

    def misfit(self, control: Controller) -> str | None:
        """What goes back is one system."""
        if not getattr(control, "per_sample", False):
            return None
        return (
            "the adjoint of all samples and parameters is one system, so that with `per_sample` no sample could step "
            "by itself on the way back; use direct, aca, recursive or symplectic"
        )

    def adaptive(self, control: Controller) -> Adaptive | None:
        """What chooses the steps of the solve back, where they are chosen."""
        if self.control is not None:
            return self.control if isinstance(self.control, Adaptive) else None
        given: dict[str, Any] = {name: x for name, x in (("rtol", self.rtol), ("atol", self.atol)) if x is not None}
        if isinstance(control, Adaptive):
            return replace(control, first_step=None, dense=False, **given)
        return Adaptive(**given) if given else None

    def solve(
        self,
        f: Field,
        params: Params,
        y0: Tensor,
        ts: tuple[float, ...],
        stepper: Stepper,
        control: Controller,
        trace: Trace | None = None,
    ) -> Tensor:
        """The solution at `ts`, shape (len(ts), *y0.shape).

        Raises:
            Refusal: the steps back are to be adaptive, and `solver` estimates no error.
        """
        from odebench.gradients.adjoint_function import solve

        return solve(self, f, params, y0, ts, stepper, control, trace)
