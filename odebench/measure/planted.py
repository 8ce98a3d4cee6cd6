"""A plugin with a solver that is made worse by a known amount, so that a gate can be shown what it has to find.

Only workers import it. It registers `planted`, which walks as its base does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odebench.errors import OptionError
from odebench.registry import solver, solvers
from odebench.spec import Spec
from odebench.types import Step, Stepper

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Field, State


@dataclass(frozen=True)
class Planted:
    """`base`, slower by the fraction `slow`, with `evaluations` of f too many and `leak` bytes lost in each solve.

    After each step it idles in proportion to the time since it last did, which is the step and, on the way back, the
    transpose before it: so forward and backward pass are slower by the same fraction. Its work is the same.
    """

    base: Stepper
    slow: float
    evaluations: int
    leak: int
    _since: list[float] = field(default_factory=lambda: [0.0], repr=False, compare=False)
    _lost: list[Any] = field(default_factory=list, repr=False, compare=False)

    @property
    def order(self) -> int:
        """That of `base`."""
        return self.base.order

    @property
    def error_order(self) -> int | None:
        """That of `base`."""
        return self.base.error_order

    def init(self, f: Field, t: float, y: Tensor) -> State:
        """The state of `base`."""
        import torch

        for _ in range(self.evaluations):
            with torch.no_grad():
                f(t, y)
        if self.leak:
            self._lost.append(torch.empty(self.leak, dtype=torch.uint8, device=y.device))
        self._since[0] = time.perf_counter()  # what happened since the last solve is not of this one
        return self.base.init(f, t, y)

    def step(self, f: Field, t: float, dt: float, state: State) -> Step:
        """The step of `base`, and idling."""
        made = self.base.step(f, t, dt, state)
        if self.slow:
            now = time.perf_counter()
            until = now + self.slow * (now - self._since[0])
            # Not `time.sleep`: it ends late, by more than a small step takes.
            while (now := time.perf_counter()) < until:
                pass
            self._since[0] = now
        return made


_DOPRI5 = Spec("dopri5")


@solver("planted")
def planted(base: Spec = _DOPRI5, slow: float = 0.0, evaluations: int = 0, leak: int = 0) -> Planted:
    """A scheme of odebench's own, made worse on purpose.

    Raises:
        OptionError: `base` is none, or a fault is negative.
    """
    scheme = solvers.build(base)
    if not isinstance(scheme, Stepper):
        raise OptionError(f"planted walks one of odebench's own schemes, and {base} is none", ("base",))
    for name, value in (("slow", slow), ("evaluations", evaluations), ("leak", leak)):
        if value < 0:
            raise OptionError(f"{name} must not be negative; got {value!r}", (name,))
    return Planted(scheme, slow, evaluations, leak)
