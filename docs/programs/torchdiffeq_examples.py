"""rtqichen/torchdiffeq: its examples, some iterations of each.

odenet_mnist is left out: it downloads its data.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from programs.case import Case, Run, found
from programs.scripts import globals_of


def _script(name: str, *arguments: str, value: str, rtol: float = 1e-7, truth: bool = True, rounds: int = 5) -> Case:
    """`value` is a global of the script: a number or a tensor, or a module whose parameters are looked at.

    Losses are preferred: an optimiser's first steps go by the signs of gradients, which rounding may decide.
    """

    def prepare() -> Run:
        def run() -> Mapping[str, Tensor]:
            made = globals_of(found(name), *arguments)[value]
            if isinstance(made, torch.nn.Module):
                return {value: torch.cat([each.detach().flatten() for each in made.parameters()])}
            return {value: torch.as_tensor(made).detach()}

        return run

    return Case(prepare, rtol=rtol, truth=truth, rounds=rounds)


ODE_DEMO = ("--niters", "20", "--test_freq", "20", "--data_size", "500")
LATENT_ODE = ("--niters", "2")
CNF = ("--niters", "3", "--num_samples", "128")
# Of learn_physics the very data are made by events, and its loss is no global.
PHYSICS = ("--num_iterations", "2")

CASES = {
    "ode_demo": _script("ode_demo", *ODE_DEMO, value="loss"),
    "ode_demo --adjoint": _script("ode_demo", *ODE_DEMO, "--adjoint", value="loss"),
    "latent_ode": _script("latent_ode", *LATENT_ODE, value="loss", truth=False),
    "latent_ode --adjoint": _script("latent_ode", *LATENT_ODE, "--adjoint", "True", value="loss", truth=False),
    "cnf": _script("cnf", *CNF, value="loss", rtol=1e-5),
    "cnf --adjoint": _script("cnf", *CNF, "--adjoint", value="loss", rtol=1e-5),
    "bouncing_ball": _script("bouncing_ball", "3", value="trajectory", truth=False),
    "learn_physics": _script("learn_physics", *PHYSICS, value="model", truth=False),
    "learn_physics --no_events": _script("learn_physics", *PHYSICS, "--no_events", value="model", truth=False),
}
