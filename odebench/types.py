"""What the parts of odebench say to one another. Nothing here runs, and nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeGuard, TypeVar, runtime_checkable

T = TypeVar("T")

if TYPE_CHECKING:
    from torch import Tensor

    State = tuple[Tensor, ...]  # leaf 0 is the solution; the others belong to the scheme
    Params = tuple[Tensor, ...]
    # A problem's right-hand side is called f(t, y), t a 0-dim tensor. Inside a scheme `f` is that function behind an
    # adapter which also takes a Python float for t, so that schemes do their time arithmetic in float64.
    Field = Callable[[Any, Tensor], Tensor]
    Extension = Callable[[Sequence[float]], list[Tensor]]  # places θ in a step, 0 its start and 1 its end -> y there
else:  # names to import; what they stand for is the type checker's business
    State = Params = tuple
    Field = Extension = Callable


_KNOWN: dict[tuple[type, type], bool] = {}


def can(x: object, capability: type[T]) -> TypeGuard[T]:
    """Whether a part has a capability, a runtime protocol; asked once for each class.

    `isinstance` with such a protocol takes some 20 µs each time, as much as a small f.
    """
    key = (type(x), capability)
    known = _KNOWN.get(key)
    if known is None:
        known = _KNOWN[key] = isinstance(x, capability)
    return known


class Step(NamedTuple):
    """What one step gives."""

    state: State
    error: Tensor | None = None  # local error estimate, shaped like y; None if the scheme makes none


class Tick(NamedTuple):
    """One accepted step, from `t` to `t + dt`. `dt` is negative when time runs backwards."""

    t: float
    dt: float
    # How many saved times the step gives: one at its end, or none; with dense output any number, inside it. True is 1.
    lands: int


Mesh = tuple[Tick, ...]

# Steps of one solve. A mesh of more fills the memory, or outlasts any patience, before the first is taken.
MOST_STEPS = 10_000_000


@runtime_checkable
class Stepper(Protocol):
    """A one-step scheme. `order` and `error_order` are those of the configured scheme, not of its family."""

    @property
    def order(self) -> int:
        """Global order of convergence at fixed steps."""

    @property
    def error_order(self) -> int | None:
        """Power of dt with which `Step.error` shrinks; None if the scheme makes no estimate."""

    def init(self, f: Field, t: float, y: Tensor) -> State:
        """The scheme's state at the start."""

    def step(self, f: Field, t: float, dt: float, state: State) -> Step:
        """One step, with the error estimate. Must not change `state` in place."""


@runtime_checkable
class Advancing(Stepper, Protocol):
    """Can take the step without the cost of an error estimate, for steps that nobody judges."""

    def advance(self, f: Field, t: float, dt: float, state: State) -> State:
        """`step(f, t, dt, state).state`, cheaper."""


@runtime_checkable
class Sloped(Stepper, Protocol):
    """May hold the slope at the solution in its state."""

    def slope(self, state: State) -> Tensor | None:
        """f at the solution, or what the scheme takes for it; None where this configuration holds none."""


@runtime_checkable
class Continuous(Stepper, Protocol):
    """Can give the solution anywhere inside a step."""

    def extend(self, f: Field, t: float, dt: float, state: State) -> tuple[Step, Extension]:
        """(`step(f, t, dt, state)`, what interpolates in it; evaluations that only this needs are made when called)."""


@runtime_checkable
class Reversible(Stepper, Protocol):
    """Can undo itself: `unstep(f, t, dt, step(f, t, dt, s).state)` is `s` up to rounding.

    Optional, and looked up by name: `reverse_order`, where it is so only up to O(dt^(reverse_order + 1)); `reset`, how
    many steps apart states are to be stored, for the way back to start afresh from.
    """

    def unstep(self, f: Field, t: float, dt: float, state: State) -> State:
        """The state before the step from `t` to `t + dt`, from the one after it."""


@runtime_checkable
class Unpulling(Reversible, Protocol):
    """Can undo and transpose a step in one go, sharing the evaluations of f."""

    def unpull(
        self, f: Field, t: float, dt: float, state: State, bar: State, params: Params
    ) -> tuple[State, State, Params]:
        """(state before, its cotangent, this step's share of the cotangent of `params`)."""


@runtime_checkable
class Staged(Stepper, Protocol):
    """Can transpose itself one evaluation of f at a time."""

    def pull(self, f: Field, t: float, dt: float, state: State, bar: State, params: Params) -> tuple[State, Params]:
        """(cotangent of `state`, this step's share of the cotangent of `params`)."""


@runtime_checkable
class Graded(Continuous, Protocol):
    """Knows the order of what it gives inside a step."""

    @property
    def extension_order(self) -> int:
        """Of the solution inside a step, for every place: errors shrink with dt to this power, summed up over steps."""


@runtime_checkable
class Linear(Continuous, Protocol):
    """Gives the solution inside a step as y + dt·Σ b_i(θ)·k_i, of slopes k_i."""

    def looked_into(self, f: Field, t: float, dt: float, state: State) -> tuple[State, list[Tensor]]:
        """(the state after the step, these slopes)."""

    def spread(self, dt: float, places: Sequence[float], ys_bar: Tensor) -> list[Tensor]:
        """The cotangents of these slopes from those of the solution at `places`, shape (len(places), *y.shape)."""


@runtime_checkable
class StagedInside(Staged, Protocol):
    """Can do so also where the solution inside the step was given."""

    def pull_inside(
        self,
        f: Field,
        t: float,
        dt: float,
        state: State,
        bar: State,
        places: Sequence[float],
        ys_bar: Tensor,
        params: Params,
    ) -> tuple[State, Params]:
        """As `pull`, with `ys_bar`, the cotangents of the solution at `places`, shape (len(places), *y.shape)."""


@runtime_checkable
class Noded(Stepper, Protocol):
    """Knows where in a step it asks f; elsewhere than inside it, some schemes do."""

    @property
    def reach(self) -> tuple[float, float]:
        """(earliest, latest) node, in steps from the start of one: (0, 1), or a wider interval."""


@runtime_checkable
class Tabled(Stepper, Protocol):
    """Is an explicit Runge–Kutta scheme: dt and f enter a step by their product alone, and no sample sees another."""

    @property
    def tableau(self) -> Any:
        """Its coefficients."""

    def stages(self, f: Field, t: float, dt: float, state: State, count: int) -> tuple[Tensor, list[Tensor]]:
        """(y1, the first `count` slopes)."""

    def judged(self, dt: float, y1: Tensor, ks: list[Tensor]) -> Step:
        """What `step` gives, of what `stages` gave for all stages."""


@runtime_checkable
class Selective(Stepper, Protocol):
    """Solves problems of one structure only."""

    def refusal(self, problem: Any) -> str | None:
        """Why it cannot solve `problem`, or None."""


@runtime_checkable
class Structured(Stepper, Protocol):
    """Can look whether f has the structure that its steps take for granted."""

    def structure_fault(self, f: Field, t: float, y: Tensor) -> str | None:
        """What of the structure f has not, or None; a few evaluations at `t` near `y`, random numbers as they were."""


class Verdict(NamedTuple):
    """What a controller says of a trial step."""

    accept: bool
    dt: float  # to try next
    memory: Any  # what the controller wants to see again; passed, never stored


class Controller(Protocol):
    """Step sizes."""

    def refusal(self, stepper: Stepper) -> str | None:
        """Why this controller cannot drive `stepper`, or None."""

    def mesh(self, ts: tuple[float, ...]) -> Mesh | None:
        """All steps through `ts`, where they are known before walking; None where they are searched."""

    def first(self, f: Field, stepper: Stepper, ts: tuple[float, ...], state: State) -> tuple[float, Any]:
        """(first trial step, fresh memory)."""

    def judge(self, dt: float, before: State, step: Step, order: int, memory: Any) -> Verdict:
        """Accept or reject the trial step `dt` from `before`."""


@runtime_checkable
class Passing(Controller, Protocol):
    """May step over saved times, where the solution is then interpolated."""

    def landings(self, ts: tuple[float, ...]) -> Sequence[int]:
        """The places in `ts` of the times to land on: rising, without the first and with the last."""

    def approach(self, dt: float, left: float) -> float:
        """The length of a step, `dt` or less, where more than `dt` is left to the next time to land on."""


class Recall(Protocol):
    """How the backward sweep gets back the state before each step."""

    needs: type

    def keeper(self, memo: dict[int, State]) -> Callable[[int, State, int | None], None]:
        """What sees (index, the state before that step, the number of steps if known) all along one walk, in order, and
        keeps in `memo` what it wants.
        """

    def rewind(self, memo: dict[int, State], f: Field, stepper: Stepper, mesh: Mesh, last: State) -> Iterator[State]:
        """States before each step, newest first. May be called again after it was exhausted."""


class Trace(Protocol):
    """An observer of one solve; every method may be left to do nothing.

    Where samples step by themselves it sees the saved times and the steps of the slowest sample, the one of the most
    trials. Optional, and looked up by name: `went_apart(rounds)`, which gets the steps of them all.
    """

    def went(self, mesh: Mesh, rejected: int) -> None:
        """The forward walk is over."""

    def returned(self, steps: int, rejected: int) -> None:
        """A backward solve of its own took this many steps."""

    def saw(self, t: float, y: Tensor) -> None:
        """The solution at the start of the walk and after each accepted step."""

    def recalled(self, t: float, y: Tensor) -> None:
        """The state that the backward pass used at `t`, before any reset to a stored value."""


class Gradient(Protocol):
    """How dL/dy0 and dL/dθ are got.

    Optional, and looked up by name: `misfit(control)`, why it cannot be taken of steps that are so chosen, or None. A
    gradient that has none is refused where samples step by themselves.
    """

    def refusal(self, stepper: Stepper) -> str | None:
        """Why this gradient cannot be taken through `stepper`, or None."""

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
        """The solution at `ts`, shape (len(ts), *y0.shape), differentiable in `y0` and `params`."""


@runtime_checkable
class Asking(Gradient, Protocol):
    """Evaluates f again on the way back, and can be told how to find f as it was."""

    def within(self, guard: Any) -> Gradient:
        """The same gradient for one solve, under a `gradients.guard.Guard`."""


class Trial(Protocol):
    """What the stopwatch holds: one bound solve, native or a peer's."""

    def clear(self) -> None:
        """Let go of what an earlier round left."""

    def forward(self) -> None:
        """Solve, with what the gradient needs kept."""

    def forward_plain(self) -> None:
        """Solve, with nothing kept."""

    def both(self) -> None:
        """Solve, and take the gradient of the loss."""

    def sync(self) -> None:
        """Wait until the device is idle."""


@runtime_checkable
class Split(Trial, Protocol):
    """A trial whose gradient is a call of its own. Where all is compiled into one it is not."""

    def backward(self) -> None:
        """The loss of the last forward and its gradient; frees what was kept."""


class Loop(Protocol):
    """The floor under a solve: the same calls of the same f, and nothing else."""

    def forward(self) -> None:
        """Those of the forward pass, without a graph."""

    def both(self) -> None:
        """Those of forward and backward pass, with their cotangents."""
