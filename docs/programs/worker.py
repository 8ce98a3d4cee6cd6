"""One process that runs a driver's cases when asked to, on torchdiffeq, on its stand-in, or on a fine solver."""

from __future__ import annotations

import importlib
import os
import random
import sys
import tempfile
import time
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SIDES = ("torchdiffeq", "odebench", "truth")


class Answer(NamedTuple):
    """What one run of a case gave. Times in seconds; `failure` is empty where it ran through."""

    values: dict[str, Any]
    calls: int
    seconds: float
    failure: str
    where: str
    warned: tuple[str, ...]


def serve(asked: Connection, side: str, program: str, folders: list[Path], front: str, loud: bool) -> None:
    """Answer names of cases until None comes; the first answer is what the cases are, or why there are none."""
    if not loud:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 for as long as the process lives
    sys.path[:0] = [str(each) for each in folders]
    os.chdir(tempfile.mkdtemp(prefix="programs-"))  # some of them write files
    import torch

    from programs.front import Calls, put

    torch.set_num_threads(1)
    calls = Calls()
    try:
        put(_library(side, front), calls)
        cases = importlib.import_module(f"programs.{program}").CASES
    except Exception as error:
        asked.send((type(error).__name__, str(error), traceback.format_exc()))
        return
    asked.send({name: case._replace(prepare=None) for name, case in cases.items()})
    while (name := asked.recv()) is not None:
        asked.send(_answer(cases[name], calls))


def _library(side: str, front: str) -> Any:
    if side == "truth":
        return importlib.import_module("programs.truth").library()
    return importlib.import_module("torchdiffeq" if side == "torchdiffeq" else front)


def _answer(case: Any, calls: Any) -> Answer:
    import torch

    def seed() -> None:
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)

    values: dict[str, Any] = {}
    failure = where = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seed()
        started, calls.made = time.perf_counter(), 0
        try:
            run = case.prepare()
            seed()
            calls.made, started = 0, time.perf_counter()
            values = run()
        except Exception as error:
            failure, where = f"{type(error).__name__}: {error}", traceback.format_exc()
        seconds = time.perf_counter() - started
    torch.set_default_dtype(torch.float32)
    plain = {name: each.detach().cpu().numpy().copy() for name, each in values.items()}
    warned = tuple(dict.fromkeys(str(each.message) for each in caught))
    return Answer(plain, calls.made, seconds, failure, where, warned)
