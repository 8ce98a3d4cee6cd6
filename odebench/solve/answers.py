"""f's answers, looked at in its first calls and made such as schemes may keep them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from odebench.errors import UsageError

Asked = Callable[[Tensor, Any], Any]

_SETTLING = 2  # calls after which it is known what f does with what it returns


class Answers:
    """f as schemes call it.

    The first answer must have the shapes of y (broadcasting would turn another one into a wrong solution), in a tuple
    but for axes of length 1, and be on its device, and y must be left alone. An answer in another floating-point dtype
    is cast to that of y.

    Schemes keep answers, so one in memory that f keeps and writes to again is copied. Copying every answer would do
    as well, and cost every f a copy a call. Where no gradient is recorded, an answer that carries a graph (f switched
    recording on) lets go of it. An f that marks y as requiring a gradient, or that differentiates in y although nobody
    records, gets a y of its own to do so.

    Raises:
        UsageError: the first answer cannot be meant.
    """

    def __init__(self, f: Asked) -> None:
        self.f = f
        self.recorded = False  # f asks whether a graph is recorded, and is to find that it is
        self._calls = 0
        self._plain = False  # nothing below is needed any more
        self._copies = self._marks = self._differentiates = self._casts = self._records = False
        self._hands = 0  # on an answer that nobody else holds, as this class counts them; 0 where that cannot be asked
        # Memory of answers, held while it is settled whether it comes again. The answers are let go of, for a leaf that
        # f made for one would look like somebody else's.
        self._first: list[tuple[torch.UntypedStorage, ...]] = []

    def __call__(self, t: Tensor, y: Any) -> Any:
        """dy/dt, shaped like `y`: a tensor, or a tuple of them."""
        if self._plain:
            try:
                dy = self.f(t, y)
            except RuntimeError as error:
                if not _wants_recording(error):
                    raise
                self._plain = False
            else:
                # Some take to a buffer late: captured graphs, after their warm-up.
                kept = self._hands and sys.getrefcount(dy) > self._hands and isinstance(dy, Tensor)
                return dy.clone() if kept else dy
        self._calls += 1
        first, settling = self._calls == 1, self._calls <= _SETTLING and not _traced()
        before, recording = _parts(y), torch.is_grad_enabled()
        given = self._own(before) if first or self._marks or self._differentiates else before
        versions = [_version(part) for part in given] if first else []
        dy = self._asked(t, given, isinstance(y, tuple))
        self._hands = sys.getrefcount(dy) if settling else 0
        held = settling and _are_tensors(dy) and _is_held(dy)
        if first:
            _look(dy, y, any(v is not None and _version(x) != v for x, v in zip(given, versions, strict=True)))
            marked = any(new.requires_grad and not old.requires_grad for new, old in zip(given, before, strict=True))
            self._marks = marked and not self._differentiates
        answers = _parts(dy)
        if settling:
            self._copies = self._copies or held or self._comes_again(answers)
            self._casts = self._casts or any(d.dtype != part.dtype for d, part in zip(answers, before, strict=True))
        if self._copies or (first and settling):
            answers = tuple(d.clone() for d in answers)
        if not recording and any(d.requires_grad for d in answers):
            self._records = True
            answers = tuple(d.detach() for d in answers)
        if self._casts:
            answers = tuple(d.to(part.dtype) for d, part in zip(answers, before, strict=True))
        if self._calls == _SETTLING:
            self._first.clear()
            self._plain = not (
                self.recorded or self._copies or self._marks or self._differentiates or self._casts or self._records
            )
        return answers if isinstance(y, tuple) else answers[0]

    def _own(self, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Tensors that may be marked, where the state's own must not be."""
        if self._differentiates:
            recording = torch.is_grad_enabled()
            return tuple(x if recording and x.requires_grad else x.detach().requires_grad_() for x in parts)
        return tuple(part if part.requires_grad else part.detach() for part in parts)

    def _asked(self, t: Tensor, given: tuple[Tensor, ...], many: bool) -> Any:
        if self._differentiates or self.recorded:
            with torch.enable_grad():
                return self.f(t, given if many else given[0])
        try:
            return self.f(t, given if many else given[0])
        except RuntimeError as error:
            if not _wants_recording(error):
                raise
        # f takes a gradient in y, and relies on y's being recorded, as it is in backpropagation through the solver.
        own = tuple(x.detach().requires_grad_() for x in given)
        with torch.enable_grad():
            dy = self.f(t, own if many else own[0])
        self._differentiates = True
        return dy

    def _comes_again(self, answers: tuple[Tensor, ...]) -> bool:
        """An answer lies where an earlier one does that is still there."""
        taken = {memory.data_ptr() for earlier in self._first for memory in earlier} - {0}
        self._first.append(tuple(d.untyped_storage() for d in answers))
        return any(memory.data_ptr() in taken for memory in self._first[-1])


def _wants_recording(error: RuntimeError) -> bool:
    """f took a gradient where nothing was recorded."""
    return "does not require grad" in str(error)


def _is_held(dy: Any) -> bool:
    """Whether somebody else has a hand on what f returned, or on the whole of which it is a part."""
    one, each, base = _hands_of_nobody()
    if any(hands > (one if isinstance(dy, Tensor) else each) for hands in _hands(dy)):
        return True
    bases = [d._base for d in _parts(dy) if d._base is not None]
    return any(hands > base for hands in _hands(bases))


def _hands(x: Any) -> list[int]:
    """Python's references to an object, or to each of several."""
    return [sys.getrefcount(x)] if isinstance(x, Tensor) else [sys.getrefcount(x[i]) for i in range(len(x))]


@cache
def _hands_of_nobody() -> tuple[int, int, int]:
    """What `_hands` counts where nobody else holds an answer, one of a tuple of answers, or what an answer views.

    Measured, since it depends on the versions of Python and of torch.
    """

    def asked() -> Tensor:
        return torch.zeros(2, 1)

    def seen(x: Any) -> int:
        return _hands(x)[0]

    dy, view = asked(), asked().squeeze(-1)
    return seen(dy), _hands([asked()])[0], _hands([view._base])[0]


def _are_tensors(dy: Any) -> bool:
    return all(isinstance(d, Tensor) for d in _parts(dy))


def _traced() -> bool:
    """Under a transform or a compiler tensors stand for others, and nothing can be asked of them."""
    return torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None


def _version(part: Tensor) -> int | None:
    return None if part.is_inference() else part._version


def _look(dy: Any, y: Any, changed: bool) -> None:
    before, answer = _parts(y), _parts(dy)
    shapes, wanted = [getattr(d, "shape", type(d)) for d in answer], [part.shape for part in before]
    single = isinstance(y, Tensor)
    # Parts of a tuple are laid end to end, so axes of length 1 make no difference; those of one tensor would broadcast.
    meant = shapes == wanted or (not single and _without_ones(shapes) == _without_ones(wanted))
    if not meant or single is not isinstance(dy, Tensor):
        what = "a tensor" if single else "a tuple of tensors"
        raise UsageError(f"f must return {what} shaped like y, {[*map(tuple, wanted)]}; got {shapes}")
    for d, part in zip(answer, before, strict=True):
        if d.device != part.device:
            raise UsageError(f"f answered on {d.device} and y is on {part.device}; move f and its parameters there")
        if not (d.dtype.is_floating_point or d.dtype.is_complex) or (d.dtype.is_complex and not part.dtype.is_complex):
            raise UsageError(f"f answered in {d.dtype} and y is {part.dtype}; cast the answer, or y0, to the other's")
    if changed:
        raise UsageError("f changed y in place; it must return dy/dt as a tensor of its own")


def _without_ones(shapes: list[Any]) -> list[Any]:
    """The lengths of axes above 1; what is no shape stays."""
    return [[n for n in shape if n != 1] if isinstance(shape, torch.Size) else shape for shape in shapes]


def _parts(y: Any) -> tuple[Any, ...]:
    return tuple(y) if isinstance(y, (tuple, list)) else (y,)
