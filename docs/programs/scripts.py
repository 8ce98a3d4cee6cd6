"""Runs somebody's script as its user would, in this process."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any
from unittest import mock


def globals_of(script: Path, *arguments: str) -> dict[str, Any]:
    """What the script's globals are once `python script arguments` is through.

    Raises:
        whatever the script raises.
    """
    with mock.patch.object(sys, "argv", [str(script), *arguments]):
        return runpy.run_path(str(script), run_name="__main__")
