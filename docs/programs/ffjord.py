"""rtqichen/ffjord: the models of its builder in eight set-ups, three training steps of each."""

from __future__ import annotations

import train_misc

from programs.cnf_training import training

CASES = {
    "exact trace": training(train_misc),
    "estimated trace": training(train_misc, divergence_fn="approximate", rademacher=True),
    "regularised": training(train_misc, l2int=0.01, JFrobint=0.01),
    "spectral norm": training(train_misc, spectral_norm=True),
    "batch norm, two blocks": training(train_misc, batch_norm=True, num_blocks=2),
    "rk4": training(train_misc, solver="rk4", step_size=0.1),
    "midpoint": training(train_misc, solver="midpoint", step_size=0.05),
    "explicit_adams": training(train_misc, solver="explicit_adams", step_size=0.05),
}
