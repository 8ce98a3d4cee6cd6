"""What `init` writes: a starter that runs as it is."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from odebench.errors import UsageError
from odebench.registry import load_shipped, solvers

SOLVER = '''\
"""A solver of one's own. Check it: odebench check {file}"""

from dataclasses import dataclass
from typing import ClassVar

from odebench import Step, solver


@solver("{name}", reference="whom to cite")
@dataclass(frozen=True)
class {title}:
    """Heun's third-order scheme with an error estimate, to be replaced by your own."""

    order: ClassVar[int] = 3  # at fixed steps the error shrinks as dt^order
    error_order: ClassVar[int] = 2  # the power of dt of the estimate below; None if there is none
    third: float = 1 / 3  # annotated fields are options: {name}(third=0.3) in a suite

    def init(self, f, t, y):
        return (y,)  # the state: the solution first, then whatever the scheme carries from step to step

    def step(self, f, t, dt, state):
        (y,) = state  # never changed in place: a step may be rejected, undone or taken again
        k1 = f(t, y)
        k2 = f(t + self.third * dt, y + self.third * dt * k1)
        k3 = f(t + 2 / 3 * dt, y + 2 / 3 * dt * k2)
        y1 = y + dt * (k1 / 4 + 3 / 4 * k3)
        euler = y + dt * k1
        return Step((y1,), error=y1 - euler)

    # With unstep(f, t, dt, state), the inverse of a step, it gets gradient `reversible` as well; with
    # pull(f, t, dt, state, bar, params), its transpose, `symplectic`. See odebench.types.
'''


def init_solver(name: str, output: str | None) -> Path:
    """Write the starter of a solver; the file.

    Raises:
        UsageError: the name is none, is taken, or the file is there already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,49}", name) or keyword.iskeyword(name):
        raise UsageError(f"{name!r} is no name for a solver; use lower-case letters, digits and _, such as my_scheme")
    load_shipped()
    if any(name in (entry.name, *entry.aliases) for entry in solvers):
        raise UsageError(f"odebench has a solver called {name!r}; choose another name")
    path = Path(output or f"{name}.py")
    if path.suffix != ".py":
        raise UsageError(f"{path}: a plugin is a Python file; let its name end in .py")
    title = "".join(word.capitalize() for word in name.split("_") if word)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(SOLVER.format(name=name, title=title, file=path.name))
    except FileExistsError as error:
        raise UsageError(f"{path} is there already, and is not overwritten; name another file with -o") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    return path
