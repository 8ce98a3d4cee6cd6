"""DiffEqML/torchdyn: its tests of sensitivities, in which torchdiffeq is the reference."""

from __future__ import annotations

from programs.case import found, own_tests

CASES = {"its sensitivity tests": own_tests(found("torchdyn").parents[1] / "test", "test_sensitivity.py")}
