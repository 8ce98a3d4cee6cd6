"""What `init` writes: starters that run as they are."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from odebench.errors import UsageError
from odebench.registry import load_shipped, solvers

SCHEMA = "odebench.schema.json"  # beside the suite, where an editor finds it without a network

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

SUITE = """\
# yaml-language-server: $schema={schema}
#
# A suite lists problems, solvers, gradients and so on; its cells are all their combinations.
#
#   odebench validate {file}            how many cells, which are refused and why; runs nothing
#   odebench run {file} --dry-run       the cells, and about how long they take
#   odebench run {file}                 the table, and a results folder
#
# The first line tells an editor (VS Code with its YAML extension, say) where the schema lies: it then completes names,
# explains them, and marks what is wrong. `odebench schema > {schema}` makes that file anew.

name: {name}                        # stands in every row, and names the results folder
description: Which gradient is exact, and what it costs.

# Everywhere a bare name takes its defaults, and a one-key mapping gives options. `odebench list problems` (solvers,
# gradients, stepping) says what there is, `odebench explain mlp` what one of them is and takes.
problems:
  - {{mlp: {{dim: 8, hidden: 32, span: [0, 5]}}}}   # a small neural ODE; every problem takes a span of time
  # - {{van_der_pol: {{mu: 2.0, saves: 5}}}}    # and saves: equal intervals between the times that are wanted
solvers:
  - dopri5
  - alf                             # asynchronous leapfrog, which can undo its steps
  # - {{coupled: {{base: rk4, coupling: 0.999}}}}
  # - torchdiffeq.dopri5            # of another library, on the very same problem
gradients:                          # direct, if this is left out
  - direct                          # backpropagation through every step
  - adjoint                         # another solve, backwards: little memory, not exact
  - aca                             # keeps the states, takes each step again
  - reversible                      # undoes the steps; with alf this is MALI
stepping:
  - {{fixed: {{steps: 40}}}}            # N equal steps, or dt: their length
  - {{adaptive: {{rtol: 1.0e-4, atol: 1.0e-5}}}}

# From here on everything may be left out; what stands here is the default, unless it says otherwise.
devices: [cpu]                      # cuda, cuda:1; auto is cuda where there is one
dtypes: [float64]                   # and float32
batches: [32]                       # rows of the state, solved together; the default is 1
seeds: [0]                          # of the other rows' starts, and of the weights
# exclude:                          # squares to leave out; a bare name means every configuration of it
#   - {{solver: alf, stepping: adaptive}}
measure:                            # how cells are measured; no part of what they are
  repeats: 6                        # timed ones; 6 are the fewest that give a 95 % interval. The default is 10
  warmup: auto                      # untimed ones before them, or a number
  timeout: 120                      # seconds for one cell
  threads: 1                        # for torch, in each cell
  # tf32: false                     # on CUDA
  # deterministic: false            # algorithms of torch
  # match_error: 1.0e-6             # search tolerance or steps until the error meets this, and measure there
  # match: solution_error           # or gradient_error: what match_error is about
  # beside: {{solver: rk4}}           # a pair that every row is timed in turns with
# plugins: [my_solver.py]           # Python that registers solvers and so on, relative to this file
# kind: benchmark                   # or train, which trains models: see `odebench explain kind`
"""


def init_suite(name: str | None, output: str | None, schema: str) -> tuple[Path, Path]:
    """Write the starter of a suite, and `schema` beside it unless a schema is there already; both files.

    Raises:
        UsageError: the name is none, is taken, or the suite is there already.
    """
    from odebench.suite.grammar import NAME
    from odebench.suite.loading import shipped_suites

    if name is None:
        name = Path(output).stem if output else "my_suite"
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a suite; use letters, digits and _, such as my_suite")
    if name in shipped_suites():
        raise UsageError(f"odebench ships a suite called {name}; choose another name")
    path = Path(output or f"{name}.yaml")
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{path}: a suite is a YAML file; let its name end in .yaml")
    _write(path, SUITE.format(name=name, file=path.name, schema=SCHEMA))
    beside = path.with_name(SCHEMA)
    if not beside.exists():  # one that is there may know of plugins
        _write(beside, schema)
    return path, beside


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
    _write(path, SOLVER.format(name=name, title=title, file=path.name))
    return path


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already, and is not overwritten; name another file with -o") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
