"""The models people train. Importing this registers them; nothing here imports torch."""

from __future__ import annotations

from odebench.workloads import (
    annuli,
    cnf,
    hybrid_pharmacology,
    identification,
    latent_ode,
    odenet,
    physionet,
    poisson_process,
)

__all__ = [
    "annuli",
    "cnf",
    "hybrid_pharmacology",
    "identification",
    "latent_ode",
    "odenet",
    "physionet",
    "poisson_process",
]
