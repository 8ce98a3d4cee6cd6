"""What a gradient that evaluates f again needs to know of one solve, for f to be then what it was.

A solve of an f that somebody else wrote has a guard. Gradients that evaluate f again take it by `within`, keep the
`Moments` of the forward pass where f moves from call to call, and go back under it: see `return_pass`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from odebench.errors import Refusal, UsageError
from odebench.surroundings import Moment, Surroundings
from odebench.types import Params, State

Keep = Callable[[int, State, int | None], None]


class Otherwise(UserWarning):
    """f answered otherwise on the way back than on the way there."""


@dataclass
class Guard:
    """`known` are the tensors that f may depend on and `used` those that its first answer does; `answer` is that
    answer, at time `t0` and state `y0`. In suites there is none, and nothing is compared.
    """

    world: Surroundings
    name: str
    known: Params = ()
    used: frozenset[int] = frozenset()
    t0: float = 0.0
    y0: Tensor | None = None
    answer: Tensor | None = None
    span: float = 0.0
    strict: bool = True  # what else f depends on is an error; else it is a constant
    is_module: bool = True  # so that data which changed since can be put back
    keeps: bool = False  # graphs that are older than the solve are gone through at every evaluation
    argument: str = "params"  # by which `known` are named, for messages
    suspects: bool = False  # f can reach a leaf that requires a gradient and is none of `known`

    def moments(self) -> Moments | None:
        """What keeps the moments of a forward pass, where f moves from call to call."""
        return Moments(self.world) if self.world.moving else None

    def repeats(self, undone: bool) -> bool:
        """The forward pass is over: whether it has to be gone through again, with moments kept.

        Raises:
            Refusal: f draws random numbers from call to call, and steps are `undone`, so that no state was kept.
        """
        world = self.world
        drew, more = world.drew_on(), world.wrote_more()
        if drew and undone:
            raise Refusal(
                f"{self.name}: f draws random numbers at every call (dropout?), and steps are undone from the last "
                "state, with nothing kept by which to draw the same again; use aca or recursive, which draw them "
                "again, or put f into eval mode"
            )
        world.settle()
        if undone:
            world.moving = bool(world.written)
        elif world.moving:
            world.moving = drew or bool(world.written)
        elif drew or more:
            world.moving = True
            world.restart()
            return True
        return False

    def refuse_drawing(self) -> None:
        """
        Raises:
            Refusal: f drew random numbers after its first call, and the way back asks it at other points.
        """
        world = self.world
        if world.drew_on():
            raise Refusal(
                f"{self.name}: f draws random numbers at every call (dropout?), and the adjoint is solved over other "
                "points, where it would draw others; use aca or recursive, which draw the same again, or put f into "
                "eval mode"
            )
        world.wrote_more()
        world.settle()
        world.moving = bool(world.written)


class Moments:
    """The moments of the accepted steps of one walk, and that of its start."""

    def __init__(self, world: Surroundings) -> None:
        self.world, self.start = world, world.now()
        self.at: dict[int, Moment] = {}
        self._tried = self.start

    def begin(self) -> None:
        """Before each trial of a step."""
        self._tried = self.world.now()

    def keeping(self, keep: Keep) -> Keep:
        """`keep`, and the moment before that step."""

        def both(index: int, state: State, total: int | None) -> None:
            self.at[index] = self.world.now() if total is not None else self._tried
            keep(index, state, total)

        return both


def refuse_stranger(name: str, leaf: Tensor, t: float | None = None, argument: str = "params") -> None:
    """
    Raises:
        UsageError: f depends on `leaf`, whose gradient would be lost.
    """
    when = "" if t is None else f" at t = {t:.6g}"
    raise UsageError(
        f"{name}: f depends{when} on a tensor of shape {tuple(leaf.shape)} that requires a gradient and is none of its "
        f"parameters; name all that f depends on in {argument}=(…), or detach it"
    )
