"""What every test gets: one torch thread, and a skip by name for what needs a GPU where there is none."""

from __future__ import annotations

import sys

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests share the machine, so torch gets one thread; torch is not imported for the tests that do without it."""
    if item.get_closest_marker("cuda") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip(f"{item.name} needs a CUDA device")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
