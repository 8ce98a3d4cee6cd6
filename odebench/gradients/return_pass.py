"""The backward pass of a gradient that evaluates f again: f as it was, its answers looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from warnings import warn

import torch
from torch import Tensor

from odebench.autodiff import graphs_kept, held_by_somebody, leaves, unhooked
from odebench.errors import UsageError
from odebench.gradients.guard import Guard, Moments, Otherwise, refuse_stranger
from odebench.types import Field, Params

_SECOND = "backward through the graph a second time"
_EVERY = 61  # calls between two looks at what f depends on, once the first few are past; a look costs 20 µs
# The first few: not powers of 2, which in a scheme of seven stages would fall on three of them again and again.
_EARLY = frozenset((1, 2, 3, 5, 8, 13, 21, 34, 55))
_PROBES = 3  # times that a suspicion of a cache is looked into, an evaluation each
_NUDGE = 1e-7  # of the span: as near to a time as makes no difference to f, and another key to a cache


@dataclass
class Return:
    """One way back under guard. Without a guard nothing is looked at."""

    guard: Guard | None
    moments: Moments | None
    tolerance: float  # relative, above which two answers differ
    calls: int = 0
    probes: int = 0
    expected: dict[float, tuple[Tensor, Tensor]] = field(default_factory=dict)  # time -> (state, f there)
    size: Tensor | None = None
    misses: list[tuple[float, str, Tensor]] = field(default_factory=list)

    @classmethod
    @contextmanager
    def of(cls, guard: Guard | None, moments: Moments | None, params: Params, tolerance: float) -> Iterator[Return]:
        """f as it was, parameters without their hooks (these are for the whole gradient, not for the share of a step);
        in the end what was found is said.

        Raises:
            UsageError: f depends on what it may not, or on tensors that it made in an earlier call.
        """
        with unhooked(params), graphs_kept(guard is not None and guard.keeps):
            if guard is None:
                yield cls(None, None, tolerance)
                return
            back = cls(guard, moments, tolerance)
            if guard.y0 is not None and guard.answer is not None:
                back.expect(guard.t0, guard.y0, guard.answer)
            try:
                with guard.world.again():
                    yield back
            except RuntimeError as error:
                if _SECOND not in str(error):
                    raise
                raise UsageError(
                    f"{guard.name}: f uses again a tensor that it made in an earlier call, of what requires a "
                    "gradient, and this gradient takes each call by itself; let f compute it anew at each call, make "
                    "it before the solve, or use gradient `direct`"
                ) from error
            back.say()

    def field(self, f: Field) -> Field:
        """f, its answers looked at."""
        return f if self.guard is None else lambda t, y: self._looked_at(f, t, y)

    def put(self, index: int | None) -> None:
        """Random states and buffers as they were before step `index`; before the start with None."""
        if self.moments is not None:
            self.moments.world.put(self.moments.start if index is None else self.moments.at[index])

    def compare(self, t: float, kept: Tensor, got: Tensor, ys: Tensor) -> None:
        """The solution `got` on the way back should be `kept`, up to a share of the largest of `ys`, the solution at
        all saved times. Read on the device once, at the end.
        """
        if self.guard is None:
            return
        with torch.no_grad():
            if self.size is None:
                self.size = torch.linalg.vector_norm(ys.detach().reshape(len(ys), -1), dim=1).max()
            off = torch.linalg.vector_norm(got.detach() - kept.detach())
            self.misses.append((t, "the solution", off / self.size.clamp_min(_tiny(off))))

    def expect(self, t: float, y: Tensor, slope: Tensor) -> None:
        """Where f is asked for its value at `y` and time `t`, it should be `slope`."""
        if self.guard is not None:
            self.expected[t] = (y.detach(), slope.detach())

    def say(self) -> None:
        """Warn where what was compared differs, and of data that was written to."""
        changed = [] if self.guard is None else self.guard.world.changed_in_place()
        if changed and self.guard is not None:
            warn(
                f"{self.guard.name}: {', '.join(sorted(set(changed)))} of f was changed in place since the solve, and "
                "the gradient is of the f that is there now; give f a tensor of its own for each solve",
                Otherwise,
                stacklevel=2,
            )
        if not self.misses:
            return
        sizes = torch.stack([miss for _, _, miss in self.misses]).tolist()
        worst = max(range(len(sizes)), key=lambda i: (sizes[i] == sizes[i], sizes[i]))
        if sizes[worst] > self.tolerance:
            t, what, _ = self.misses[worst]
            assert self.guard is not None
            warn(
                f"{self.guard.name}: on the way back {what} at t = {t:.6g} was off by {sizes[worst]:.2g} of its size, "
                "and so may the gradient be. Either f is no longer what it was (data, modes, random numbers), or "
                "steps cannot be taken back so far; compare with gradient `direct`",
                Otherwise,
                stacklevel=2,
            )

    def _looked_at(self, f: Field, t: float | Tensor, y: Tensor) -> Tensor:
        dy, guard = f(t, y), self.guard
        assert guard is not None
        if torch.is_grad_enabled():
            self.calls += 1
            n = self.calls
            lost = bool(guard.used) and not dy.requires_grad
            if lost or guard.suspects or n in _EARLY or n % _EVERY == 0:
                self._look_at_dependence(f, t, y, dy)
        if isinstance(t, float) and t in self.expected:
            self._look_at_slope(t, y, dy)
        return dy

    def _look_at_slope(self, t: float, y: Tensor, dy: Tensor) -> None:
        """f asked at a time at which its value is known: where the state is the same, so must be the value."""
        y0, answer = self.expected[t]
        if y.shape != y0.shape:
            return
        with torch.no_grad():
            near = torch.linalg.vector_norm(y.detach() - y0) <= 0.01 * self.tolerance * torch.linalg.vector_norm(y0)
            off = torch.linalg.vector_norm(dy.detach() - answer)
            miss = off / torch.linalg.vector_norm(answer).clamp_min(_tiny(off))
            self.misses.append((t, "f", torch.where(near, miss, torch.zeros_like(miss))))

    def _look_at_dependence(self, f: Field, t: float | Tensor, y: Tensor, dy: Tensor) -> None:
        guard = self.guard
        assert guard is not None
        if not dy.requires_grad:
            found: set[int] = set()
        else:
            stops = [x for x in (y, *guard.known) if not x.is_leaf]
            known = {id(y), *map(id, guard.known)}
            seen = leaves([dy], stops)
            for leaf in held_by_somebody(seen) if guard.strict else ():
                if id(leaf) not in known:
                    refuse_stranger(guard.name, leaf, float(t), guard.argument)
            found = {id(leaf) for leaf in seen} | {id(x) for x in stops}
        if self.probes < _PROBES and isinstance(t, float) and guard.used - found:
            self.probes += 1
            self._look_for_cache(f, t, y, guard.used - found)

    def _look_for_cache(self, f: Field, t: float, y: Tensor, missing: frozenset[int]) -> None:
        """Either f depends on other parameters at this time, or it gave back what it had kept, without a graph."""
        guard = self.guard
        assert guard is not None
        before = guard.world.now() if guard.world.moving else None
        # From both sides: f may change at this very time from one network to the next.
        aside = _NUDGE * abs(guard.span)
        low, high = sorted((guard.t0, guard.t0 + guard.span))
        seen = [
            {id(leaf) for leaf in leaves([f(at, y)])} & missing for at in (t - aside, t + aside) if low <= at <= high
        ]
        if before is not None:
            guard.world.put(before)
        if all(seen):
            raise UsageError(
                f"{guard.name}: at t = {t:.6g} f gave back something that it kept from the way there, where nothing "
                "is recorded for a gradient: a cache? Let f compute it anew at each call, or use gradient `direct`"
            )


def _tiny(like: Tensor) -> Any:
    return torch.finfo(like.dtype).tiny
