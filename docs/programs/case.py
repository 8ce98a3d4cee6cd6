"""What a driver of somebody's program is made of: cases, each with something to prepare and something to run."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

Run = Callable[[], Mapping[str, Tensor]]


class Case(NamedTuple):
    """One thing that a program does with its solver.

    `prepare` builds the model and the data; what it returns is run and timed, and returns tensors by name.
    `rtol` is the relative tolerance of the program's solves, None where all steps are fixed. `truth` says whether the
    case can be run with a fine solver in place of the program's own; `rounds` is the largest number of timed rounds.
    """

    prepare: Callable[[], Run]
    rtol: float | None = None
    truth: bool = True
    rounds: int = 9


def found(module: str) -> Path:
    """The file of a module or script on the path, which is not imported.

    Raises:
        ModuleNotFoundError: there is none.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module {module!r} on the path; see docs/programs/listing.py for where it is had")
    return Path(spec.origin)


def bare_package(name: str) -> None:
    """Let modules of a package be imported while its `__init__`, which wants far more, is not run."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"no package {name!r} on the path; see docs/programs/listing.py for where it is had")
    package = ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = package


def gradients(parameters: Iterable[Tensor]) -> Tensor:
    """The gradients of all parameters, end to end; that of one that took no part is zero, as an adjoint has it."""
    return torch.cat([(torch.zeros_like(each) if each.grad is None else each.grad).flatten() for each in parameters])


def own_tests(folder: Path, *files: str, rounds: int = 1) -> Case:
    """The program's own tests in `folder`, by pytest: how many pass and how many do not."""

    class Tally:
        def __init__(self) -> None:
            self.passed = self.failed = 0

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if type(report) is pytest.TestReport:  # a subtest's is reported beside its test's
                self.passed += report.when == "call" and report.passed
                self.failed += report.failed

    def prepare() -> Run:
        def run() -> Mapping[str, Tensor]:
            tally = Tally()
            options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(folder)]
            pytest.main([*options, *(str(folder / each) for each in files)], [tally])
            return {"passed": torch.tensor(tally.passed), "failed": torch.tensor(tally.failed)}

        return run

    return Case(prepare, truth=False, rounds=rounds)
