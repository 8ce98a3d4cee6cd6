"""KrishnaswamyLab/TrajectoryNet: the models of its builder in four set-ups, three training steps of each.

Its regularised flows with dopri5 hand lists of tolerances to the adjoint, which torchdiffeq refuses.
"""

from __future__ import annotations

from programs.case import bare_package
from programs.cnf_training import training

bare_package("TrajectoryNet")

from TrajectoryNet import train_misc  # noqa: E402

CASES = {
    "regularised, rk4": training(train_misc, solver="rk4", step_size=0.1, l2int=0.01, sl2int=0.01),
    "estimated trace, midpoint": training(train_misc, solver="midpoint", step_size=0.05, divergence_fn="approximate"),
    "explicit_adams": training(train_misc, solver="explicit_adams", step_size=0.05),
    "dopri5": training(train_misc),
}
