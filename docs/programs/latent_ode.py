"""YuliaRubanova/latent_ode: `run_models.py --latent-ode` on its periodic data, one epoch."""

from __future__ import annotations

import random
from collections.abc import Mapping

from torch import Tensor

from programs.case import Case, Run, found
from programs.scripts import globals_of


def _epoch() -> Run:
    options = ["--niters", "1", "-n", "20", "-l", "10", "--noise-weight", "0.01", "--latent-ode"]

    def run() -> Mapping[str, Tensor]:
        random.seed(0)
        made = globals_of(found("run_models"), *options)
        return {"loss after training": made["test_res"]["loss"].detach()}

    return run


CASES = {"one epoch": Case(_epoch, rtol=1e-3, rounds=5)}
