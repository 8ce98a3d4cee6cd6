"""A method of another library, as the planner and a worker hold it. Torch-free."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from odebench.controllers import Adaptive
from odebench.peers.method import Method
from odebench.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.problems import Bound

# Of `adaptive`. Some libraries have one or the other in a form of their own, which would be another measurement. An
# adapter lists in STEPPING_OPTIONS those that it takes, or refuses by a sentence of its own.
_NATIVE = ("norm", "min_step", "max_step", "dense", "per_sample", "carry")


@dataclass(frozen=True)
class Peer:
    """`library` is a module of this package, `method` a key of its METHODS, `options` go to its functions."""

    library: str
    method: str
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def module(self) -> Any:
        """The adapter."""
        return importlib.import_module(f"odebench.peers.{self.library}")

    @property
    def facts(self) -> Method:
        """What is known of the method."""
        method: Method = self.module.METHODS[self.method]
        return method

    @property
    def order(self) -> int:
        """The method's."""
        return self.facts.order

    @property
    def error_order(self) -> int | None:
        """The method's; None if it estimates no error."""
        return self.facts.error_order

    @property
    def in_jax(self) -> bool:
        """The library computes in jax, and provides a whole trial."""
        return hasattr(self.module, "DiffraxTrial")

    def prepare(self, gradient: Spec, stepping: Spec, bound: Bound, f: Any) -> Callable[[], Tensor]:
        """The solve of a torch library with all its options made: calling it solves, and gives ys."""
        module = self.module
        made = getattr(module, "prepare", None)
        if made is not None:
            prepared: Callable[[], Tensor] = made(self.method, gradient, stepping, bound, f, **dict(self.options))
            return prepared
        return partial(module.solve, self.method, gradient, stepping, bound, f, **dict(self.options))

    def reported(self, gradient: Spec, stepping: Spec, bound: Bound, f: Any) -> dict[str, int]:
        """What a torch library counts itself, over one solve and its gradient; empty where it counts nothing."""
        told: dict[str, int] = self.module.reported(self.method, gradient, stepping, bound, f, **dict(self.options))
        return told

    def fault(self, error: AssertionError) -> Exception:
        """What an assertion of the library's means: a solve that could not go on, for those that say it so."""
        told = getattr(self.module, "fault", None)
        return error if told is None else told(error)

    @property
    def install(self) -> str:
        """The line that installs the library."""
        return f"pip install 'odebench[{self.module.EXTRA}]'"

    @property
    def absent(self) -> str | None:
        """The sentence that says how to install the library, or None if it is there. Imports nothing."""
        if importlib.util.find_spec(self.module.LIBRARY) is not None:
            return None
        return f"{self.module.LIBRARY} is not installed; {self.install}"

    @property
    def versions(self) -> dict[str, str]:
        """Name -> version of the library, and of what it computes with beside torch, as far as they are installed."""
        found = {}
        for name in (self.module.LIBRARY, *(("jax", "jaxlib", "equinox") if self.in_jax else ())):
            with suppress(importlib.metadata.PackageNotFoundError):
                found[name] = importlib.metadata.version(name)
        return found

    def refusal(self, gradient: Spec, stepping: Spec, *, saves: int, dtype: str, device: str) -> str | None:
        """Why the library cannot do this here, or None."""
        return self.misfit(gradient, stepping, saves=saves, dtype=dtype, device=device) or self.absent

    def misfit(self, gradient: Spec, stepping: Spec, *, saves: int, dtype: str, device: str) -> str | None:
        """Why the library could not do this if it were installed, or None."""
        module = self.module
        if gradient.name not in module.GRADIENTS:
            known = ", ".join(module.GRADIENTS)
            return f"{module.LIBRARY} has no gradient that is {gradient.name}; it offers {known}"
        taken = getattr(module, "GRADIENT_OPTIONS", {}).get(gradient.name, ())
        unknown = [name for name, _ in gradient.options if name not in taken]
        if unknown:
            return f"{module.LIBRARY}'s {gradient.name} takes no option {', '.join(unknown)}"
        foreign = set(_NATIVE) - set(getattr(module, "STEPPING_OPTIONS", ()))
        beyond = [name for name, value in stepping.options if name in foreign and value != getattr(Adaptive, name)]
        if beyond:
            taken = ", ".join(beyond)
            return f"{module.LIBRARY} is not driven by {taken}, which odebench's own solvers take; leave it out"
        said: str | None = module.refusal(
            self.method, gradient, stepping, saves=saves, dtype=dtype, device=device, **dict(self.options)
        )
        return said
