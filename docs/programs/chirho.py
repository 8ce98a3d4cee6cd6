"""BasisResearch/chirho: five files of the tests of its dynamical systems; its interventions are made of events."""

from __future__ import annotations

from programs.case import found, own_tests

# The two files on interventions take minutes.
FILES = (
    "test_log_trajectory.py",
    "test_noop_interruptions.py",
    "test_solver.py",
    "test_static_observation.py",
    "test_validate_dynamics.py",
)
TESTS = found("chirho").parents[1] / "tests" / "dynamical"

CASES = {file: own_tests(TESTS, file) for file in FILES}
