"""The right-hand side by either of its names: `f`, as odebench calls it, and `func`, as torchdiffeq does."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from odebench.solve.faults import WrongType


def by_either_name(solve: Callable[..., Any]) -> Callable[..., Any]:
    """`solve`, whose first argument `f` may be given as `func` too. Its signature and its docstring stay.

    Raises (when it is called):
        UsageError: both are given, or neither; a TypeError too.
    """

    @wraps(solve)
    def called(*args: Any, func: Any = None, **kwargs: Any) -> Any:
        given = bool(args) or kwargs.get("f") is not None
        if func is not None:
            if given:
                raise WrongType(f"{solve.__name__} got func beside f, and both are the right-hand side; give one")
            kwargs["f"] = func
        elif not given:
            raise WrongType(
                f"{solve.__name__} got no right-hand side; give f, called as f(t, y), first or by the name f or func"
            )
        return solve(*args, **kwargs)

    return called
