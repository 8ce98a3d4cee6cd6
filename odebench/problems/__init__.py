"""Initial-value problems: analytic, classical and neural. Importing this registers them, and needs no torch."""

from odebench.problems import analytic, arenstorf, cde_as_ode, classical, hamiltonian, neural, one_stiff, stiff
from odebench.problems.binding import Bound, Posed, bind, check_problem, initial_rows, pose
from odebench.problems.problem import BatchProblem, Broken, ModuleProblem, Problem

__all__ = [
    "BatchProblem",
    "Bound",
    "Broken",
    "ModuleProblem",
    "Posed",
    "Problem",
    "analytic",
    "arenstorf",
    "bind",
    "cde_as_ode",
    "check_problem",
    "classical",
    "hamiltonian",
    "initial_rows",
    "neural",
    "one_stiff",
    "pose",
    "stiff",
]
